"""`priors = "published"`: one line in place of two priors, and what stands where it is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

import bayesmeta as bm

HEAD = """schema = 2
title = "t"
[data]
path = "t.csv"
[defaults]
better = "lower"
"""


def read(tmp_path: Path, defaults: str, outcome: str = "") -> bm.plan.Protocol:
    (tmp_path / "t.csv").write_text("study,estimate,se\nA,-1,0.5\nB,-2,0.5\n")
    path = tmp_path / "p.toml"
    path.write_text(f'{HEAD}{defaults}\n[outcome.pain]\nlabel = "Pain"\n{outcome}\n')
    return bm.read_protocol(path)


def test_under_defaults_and_per_outcome(tmp_path: Path) -> None:
    for defaults, outcome in (
        ('measure = "SMD"\npriors = "published"', ""),
        ('measure = "SMD"', 'priors = "published"'),
    ):
        plan = read(tmp_path, defaults, outcome).outcomes["pain"].model
        assert (plan.mu, plan.tau) == (bm.Normal(0, 1), bm.HalfNormal(0.5))
        assert plan.sources["mu"].startswith("published default")
        assert "10.1002/jrsm.1217" in plan.sources["tau"]


def test_a_stated_prior_stands_beside_them_and_an_outcome_goes_back_to_them(tmp_path: Path) -> None:
    plan = (
        read(tmp_path, 'measure = "SMD"\npriors = "published"', 'priors.tau = "halfnormal(1)"').outcomes["pain"].model
    )
    assert (plan.mu, plan.tau) == (bm.Normal(0, 1), bm.HalfNormal(1))
    stated = 'measure = "SMD"\npriors.mu = "normal(0, 9)"\npriors.tau = "halfnormal(9)"'
    plan = read(tmp_path, stated, 'priors = "published"').outcomes["pain"].model
    assert (plan.mu, plan.tau) == (bm.Normal(0, 1), bm.HalfNormal(0.5))


def test_a_reference_sd_scales_them_and_has_a_source(tmp_path: Path) -> None:
    scaled = 'measure = "MD"\npriors = "published"\nref_sd = 8.0'
    plan = read(tmp_path, f'{scaled}\nref_sd_source = "norms"').outcomes["pain"].model
    assert (plan.mu, plan.tau, plan.ref_sd) == (bm.Normal(0, 8), bm.HalfNormal(4), 8.0)
    assert "(norms)" in plan.sources["mu"]
    for broken, what in (
        (scaled, "ref_sd_source"),
        ('measure = "MD"\npriors = "published"', "no general recommendation"),
        ('measure = "SMD"\npriors = "published"\nref_sd = 8.0\nref_sd_source = "x"', "a reference SD is for"),
        ('measure = "SMD"\npriors = "publishd"', "no table of priors"),
    ):
        with pytest.raises(bm.errors.ProtocolError, match=what):
            read(tmp_path, broken)


def test_without_any_priors_the_fault_prints_the_line_to_paste(tmp_path: Path) -> None:
    with pytest.raises(bm.errors.ProtocolError) as caught:
        read(tmp_path, 'measure = "SMD"')
    assert {fault.where.rpartition("outcome.")[2] for fault in caught.value.faults} >= {
        "pain.priors.mu",
        "pain.priors.tau",
    }
    assert all('priors = "published"' in fault.remedy for fault in caught.value.faults)


def test_thresholds_of_one_arm_are_values(tmp_path: Path) -> None:
    line = 'thresholds = [ {{ name = "T", benefit = {}, {} source = "s", kind = "panel" }} ]'
    start = 'measure = "PLO"\npriors = "published"\n'
    outcome = read(tmp_path, start + line.format(0.2, "")).outcomes["pain"]
    assert outcome.model.likelihood == "binomial"
    (item,) = outcome.decision.thresholds
    # logit(0.2) = -log 4, and lower is better
    assert item.benefit_distance == pytest.approx(1.3862943611198906)
    for benefit, worse, what in ((0.2, "worse = 0.1,", "side of benefit"), (20, "", "lies between 0 and 1")):
        with pytest.raises(bm.errors.ProtocolError, match=what):
            read(tmp_path, start + line.format(benefit, worse))
    with pytest.raises(bm.errors.ProtocolError, match="worse"):
        read(tmp_path, 'measure = "SMD"\npriors = "published"\n' + line.format(0.2, ""))
