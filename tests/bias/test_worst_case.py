"""Worst cases and S-values against the published formula, the output of R PublicationBias and brute force."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

import bayesmeta as bm
from bayesmeta import bias
from references import effects_of

FloatArray = NDArray[np.float64]
# the package prints seven digits of common effects, three of random ones
PRINTED, FEW_PRINTED = 2e-7, 2e-3
COMMON, ROBUST = "common effect", "random effects, robust SE"


@pytest.fixture(scope="module")
def bcg() -> bm.Effects:
    """Thirteen trials of BCG; log risk ratios, lower is better."""
    return effects_of("bcg_rr", better="lower")


def ratios(effects: bm.Effects, q: float, **options: object) -> pd.DataFrame:
    return bias.s_value(effects, q, **options).set_index(["method", "of"])  # type: ignore[arg-type]


def test_common_effect_of_the_package(bcg: bm.Effects) -> None:
    """Help page of `pubbias_svalue`: 7.58431 for q = 0, 8.261336 and 3.406779 for a risk ratio of 0.9.

    Its -76.90313 for the estimate at q = 0 is no ratio of at least 1: not possible, as its later versions say.
    """
    found = ratios(bcg, 0.0).loc[COMMON]
    assert found.loc["limit", "ratio"] == pytest.approx(7.58431, rel=PRINTED)
    assert found.loc["estimate", "answer"] == "not possible"
    assert math.isinf(found.loc["estimate", "ratio"])
    found = ratios(bcg, math.log(0.9)).loc[COMMON]
    assert found.loc["estimate", "ratio"] == pytest.approx(8.261336, rel=PRINTED)
    assert found.loc["limit", "ratio"] == pytest.approx(3.406779, rel=PRINTED)


def test_random_effects_of_the_package(bcg: bm.Effects) -> None:
    """4.17 on the same page, by robumeta, and 0.7145323 without selection in the package's tests."""
    found = ratios(bcg, 0.0).loc[ROBUST]
    assert found.loc["limit", "ratio"] == pytest.approx(4.17, rel=FEW_PRINTED)
    assert found.loc["estimate", "answer"] == "not possible"
    assert found.loc["estimate", "uncorrected"] == pytest.approx(-0.7145323, abs=6e-6)


def weighted(effects: bm.Effects, ratio: float, extra: float) -> tuple[float, float, float]:
    """Brute force: every trial counted `ratio` times by matrices; estimate, CR2 SE, df of robumeta."""
    y, v = -effects.y, effects.se**2
    affirmative = (2 * stats.norm.sf(np.abs(y) / effects.se) < 0.05) & (y > 0)
    w = np.where(affirmative, 1.0, ratio) / (v + extra)
    kept = w > 0
    y, v, w = y[kept], v[kept], w[kept]
    X = np.ones((y.size, 1))
    hat = X @ np.linalg.inv(X.T @ np.diag(w) @ X) @ X.T @ np.diag(w)
    rest = np.eye(y.size) - hat
    adjust = np.diag(np.sqrt(v / np.diagonal(rest @ np.diag(v) @ rest.T)))
    residual = rest @ y
    bread = w / w.sum()
    meat = np.diag((np.diagonal(adjust) * residual) ** 2)
    vectors = rest.T @ adjust @ np.diag(bread)
    spectrum = np.linalg.eigvalsh(vectors @ vectors.T)
    return float(bread @ y), math.sqrt(bread @ meat @ bread), spectrum.sum() ** 2 / (spectrum**2).sum()


def test_random_effects_by_brute_force(bcg: bm.Effects) -> None:
    tau2 = bm.classical.pool(bcg).tau2

    def lower(ratio: float) -> float:
        centre, se, df = weighted(bcg, ratio, tau2)
        return centre - stats.t.ppf(0.975, df) * se

    for q in (0.0, -0.1):
        ratio = optimize.brentq(lambda eta, q=q: lower(eta) + q, 1, 100)
        assert ratios(bcg, q).loc[(ROBUST, "limit"), "ratio"] == pytest.approx(ratio, rel=1e-8)
    # the estimate at a threshold that the worst case of 0.131 does not reach
    ratio = optimize.brentq(lambda eta: weighted(bcg, eta, tau2)[0] - 0.3, 1, 100)
    assert ratios(bcg, -0.3).loc[(ROBUST, "estimate"), "ratio"] == pytest.approx(ratio, rel=1e-8)
    centre, se, df = weighted(bcg, 1e9, tau2)
    table = bias.worst_case_table(bcg).set_index(["trials", "method"])
    row = table.loc[("worst case", ROBUST)]
    assert [row["estimate"], row["se"], row["df"]] == pytest.approx([-centre, se, df], rel=1e-6)
    assert row["upper"] == pytest.approx(-(centre - stats.t.ppf(0.975, df) * se), rel=1e-6)


def test_worst_case_of_the_common_effect(bcg: bm.Effects) -> None:
    left = bcg.subset([0, 4, 7, 11, 12])
    w = left.se**-2
    row = bias.worst_case_table(bcg).set_index(["trials", "method"]).loc[("worst case", COMMON)]
    assert row["k"] == 5
    assert row["estimate"] == pytest.approx(float(w @ left.y / w.sum()), rel=1e-12)
    assert row["upper"] == pytest.approx(float(w @ left.y / w.sum() + 1.9599639845400545 / math.sqrt(w.sum())))
    assert not row["beyond"]


def test_worst_case_of_a_bayesian_fit(bcg: bm.Effects) -> None:
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    table = bias.worst_case_table(bcg, 0.9, model=model).set_index(["trials", "method"])
    row = table.loc[("worst case", "Bayesian")]
    fit = bm.fit(bcg.subset([0, 4, 7, 11, 12]), model)
    assert row["estimate"] == bm.summarize(fit).loc["mu", "median"]
    assert row["p_any_benefit"] == pytest.approx(bm.probability(fit, "mu", below=0.0), abs=1e-9)
    assert row["p_important_benefit"] == pytest.approx(bm.probability(fit, "mu", below=math.log(0.9)), abs=1e-9)
    assert table.loc[("all", "Bayesian"), "beyond"]


def test_directions_mirror_each_other(bcg: bm.Effects) -> None:
    turned = dataclasses.replace(bcg, y=-bcg.y, better="higher", counts=None)
    here, there = ratios(bcg, -0.1), ratios(turned, 0.1)
    np.testing.assert_allclose(there["ratio"].to_numpy(float), here["ratio"].to_numpy(float), rtol=1e-10)
    np.testing.assert_allclose(there["worst_case"].to_numpy(float), -here["worst_case"].to_numpy(float), rtol=1e-12)
    stated = bias.worst_case_table(dataclasses.replace(bcg, better=None), direction="lower")
    np.testing.assert_allclose(stated["upper"], bias.worst_case_table(bcg)["upper"])
    # the other way round one trial is affirmative at most, and the worst case is nearer to harm
    assert bias.worst_case_table(bcg, direction="higher")["k"].tolist()[-1] == 13


def test_rows_of_one_trial_are_a_cluster() -> None:
    """Two copies of every row in one trial carry no more information than one."""
    y, se = np.array([0.1, 0.25, 0.7, 0.8, -0.2]), np.array([0.2, 0.2, 0.2, 0.3, 0.2])
    names = list("abcde")
    once = bm.Effects(names, y, se, measure="SMD", better="higher")
    with pytest.warns(bm.BayesmetaWarning, match="independent"):
        twice = bm.Effects(
            [*names, *names], [*y, *y], [*se, *se], measure="SMD", better="higher", label=[*"abcdefghij"]
        )
    one, two = (bias.worst_case_table(rows).set_index(["trials", "method"]) for rows in (once, twice))
    # tau2 differs: equal weights where it dominates or the variances are equal, as those of the worst case are
    row, other = one.loc[("worst case", ROBUST)], two.loc[("worst case", ROBUST)]
    assert other["estimate"] == pytest.approx(row["estimate"], rel=1e-9)
    assert other["se"] == pytest.approx(row["se"], rel=1e-9)
    assert other["df"] == pytest.approx(row["df"], rel=1e-9)
    assert "independent" in two.loc[("worst case", COMMON), "note"]


def test_what_has_no_answer() -> None:
    def table(y: list[float], se: float = 0.1) -> pd.DataFrame:
        return ratios(bm.Effects([*"abcdef"][: len(y)], y, [se] * len(y), measure="SMD", better="higher"), 0.0)

    every = table([0.5, 0.6, 0.7])
    assert (every["answer"] == "not defined").all()
    assert every["note"].str.contains("every trial is affirmative").all()
    none = table([0.19, 0.18, 0.17, 0.19, 0.15, 0.16])
    assert (none["answer"] == "not possible").all()
    np.testing.assert_allclose(none["worst_case"].to_numpy(float), none["uncorrected"].to_numpy(float))
    already = table([-0.5, 0.3, -0.2])
    assert (already["answer"] == "without selection").all()
    assert (already["ratio"] == 1.0).all()
    single = table([0.1])
    # k - 1 = 0 degrees of freedom, and no heterogeneity
    assert single["answer"].tolist() == ["not possible", "not defined", "not defined", "not defined"]
    worst = bias.worst_case_table(bm.Effects([*"abc"], [0.5, 0.6, 0.7], [0.1] * 3, measure="SMD", better="higher"))
    assert worst["k"].tolist() == [3, 3, 0, 0]
    assert worst.loc[2:, "estimate"].isna().all()
    one = bias.worst_case_table(bm.Effects([*"abc"], [0.1, 0.6, 0.7], [0.1] * 3, measure="SMD", better="higher"))
    # one trial left: its own interval
    assert one.loc[3, ["lower", "upper"]].tolist() == pytest.approx([0.1 - 0.1959964, 0.1 + 0.1959964], abs=1e-7)


def test_what_is_refused(bcg: bm.Effects) -> None:
    with pytest.raises(bm.ModelError, match="which results are favoured"):
        bias.s_value(dataclasses.replace(bcg, better=None))
    with pytest.raises(bm.ModelError, match="finite number"):
        bias.s_value(bcg, math.nan)
    with pytest.raises(bm.ModelError, match="ratio below 1"):
        bias.worst_case_table(bcg, 1.5)
    mid = bm.threshold(0.9, measure_name="RR", better="lower")
    at = bias.s_value(bcg, mid)["ratio"]
    np.testing.assert_allclose(at, bias.s_value(bcg, math.log(0.9))["ratio"])
    with pytest.raises(bm.ModelError, match="range"):
        bias.s_value(bcg, dataclasses.replace(mid, benefit_distance=(0.1, 0.2)))
