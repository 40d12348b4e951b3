"""The bench: every section on ordinary and on degenerate data; nothing is raised, nothing is missing without a reason.

What each section computes is tested with the function that computes it; here it is that the bench asks the right
question of it, with the fit's own threshold, level, correlation and order.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.classical import pool
from bayesmeta.effects import Effects
from bayesmeta.model import Model
from bayesmeta.priors import HalfNormal, Normal
from bayesmeta.sensitivity import (
    SECTIONS,
    SLOW,
    SensitivityAnalyses,
    concordance_table,
    cumulative_fits_table,
    estimators_table,
    inconsistency_table,
    leave_one_out,
    multiverse_table,
    permutation_table,
    prior_bench_table,
    sensitivity_analyses,
    tipping_table,
    usual_sections,
)
from references import ROOT, reference

# the same table asked directly
SAME = 1e-10

MODEL = Model(Normal(0, 1), HalfNormal(0.5))
Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15])


def make(y: Any = Y, se: Any = SE, **options: Any) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, **{"measure": "SMD", "better": "lower", **options})


def mid(benefit: float = 0.2, measure: str = "SMD") -> bm.Threshold:
    return bm.threshold(benefit, measure_name=measure, better="lower")


def fatigue() -> bm.Fit:
    protocol = bm.read_protocol(ROOT / "models" / "cancer_exercise.toml")
    outcome = protocol.outcomes["fatigue_short"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        effects = bm.read_effects(protocol, "fatigue_short")
    return bm.fit(effects, outcome.model.on(), outcome=outcome)


def counted() -> bm.Fit:
    frame = pd.DataFrame(reference("presets_metafor")["sets"]["zero"]["raw"])
    frame = frame.assign(study=[f"trial {i + 1}" for i in range(len(frame))])
    effects = bm.effect_sizes(frame, "OR", better="lower")
    return bm.fit(effects, Model(Normal(0, 2), HalfNormal(0.5)))


CASES: dict[str, tuple[Callable[[], bm.Fit], float | None]] = {
    "fatigue": (fatigue, None),
    "five": (lambda: bm.fit(make(), MODEL), 0.2),
    "one": (lambda: bm.fit(make(Y[:1], SE[:1]), MODEL), 0.2),
    "two": (lambda: bm.fit(make(Y[:2], SE[:2]), MODEL), 0.2),
    "equal": (lambda: bm.fit(make([-0.3] * 5), MODEL), 0.2),
    "tiny": (lambda: bm.fit(make(se=[1e-6, 0.2, 0.25, 0.4, 0.15]), MODEL), 0.2),
    "zero cells": (counted, 0.8),
    "hazard ratio": (lambda: bm.fit(make(measure="HR"), Model(Normal(0, 2), HalfNormal(0.5))), 0.8),
    "difference": (
        lambda: bm.fit(make(1e3 * Y, 1e3 * SE, measure="MD"), Model(Normal(0, 1e3), HalfNormal(500.0))),
        200.0,
    ),
    "common effect": (lambda: bm.fit(make(), Model(Normal(0, 1), None)), 0.2),
    "undirected": (lambda: bm.fit(make(better=None), MODEL), None),
}


@cache
def done(name: str) -> tuple[bm.Fit, SensitivityAnalyses]:
    build, benefit = CASES[name]
    fit = build()
    limit = None if benefit is None else mid(benefit, fit.effects.measure)
    # everything but the two slow sections
    return fit, sensitivity_analyses(fit, threshold=limit)


@pytest.mark.parametrize("name", CASES)
def test_every_section_is_done_or_says_why_not(name: str) -> None:
    fit, bench = done(name)
    # these fits are pooled ones alone: nothing is to be said of moderators that nobody stated
    expected = [key for key in usual_sections() if key != "declared" and not SECTIONS[key].moderated]
    assert not set(expected) & {*SLOW, "publication-bias"}
    assert [section for section in expected if section in bench.tables or section in bench.not_done] == expected
    assert not set(bench.tables) & set(bench.not_done)
    for reason in bench.not_done.values():
        assert len(reason) > 20
    for section, table in bench.tables.items():
        assert isinstance(table, pd.DataFrame), section
        assert len(table) or section in ("dependence", "small-study"), section
    assert fit.effects.k


NOT_DONE = {
    "fatigue": {"counts"},
    "five": {"counts"},
    "hazard ratio": {"counts"},
    "zero cells": set(),
    "difference": {"counts", "priors"},
    "common effect": {"counts", "priors"},
    "undirected": {"counts", "tipping", "inconsistency"},
}


@pytest.mark.parametrize("name", NOT_DONE)
def test_what_is_not_done_is_what_cannot_be(name: str) -> None:
    _, bench = done(name)
    # rows of separate trials have no dependence to ask about, and nobody judged these trials' risk of bias
    assert set(bench.not_done) - {"dependence", "risk-of-bias"} == NOT_DONE[name]
    assert "risk-of-bias" in bench.not_done


@pytest.mark.parametrize("name", ["one", "two", "equal", "tiny"])
def test_degenerate_data_keep_the_bayesian_sections(name: str) -> None:
    _, bench = done(name)
    assert {"priors", "tipping", "scaling", "cumulative", "inconsistency", "multiverse"} <= set(bench.tables)
    if name == "one":
        assert {"concordance", "leave-one-out"} <= set(bench.not_done)
    else:
        assert {"concordance", "leave-one-out", "heterogeneity", "estimators"} <= set(bench.tables)


@pytest.mark.parametrize("name", CASES)
def test_lines_without_numbers_have_notes(name: str) -> None:
    """Sections whose lines are all there, or say in ``note`` why they are not."""
    _, bench = done(name)
    for section, main in (
        ("concordance", "estimate"),
        ("priors", "mu"),
        ("cumulative", "mu"),
        ("leave-one-out", "mu"),
        ("estimators", "estimate"),
    ):
        if section not in bench.tables:
            continue
        table = bench.tables[section]
        blank = table[table[main].isna()] if main in table else table
        if len(blank):
            assert blank["note"].map(lambda text: isinstance(text, str) and len(text) > 10).all(), section


def test_sections_are_the_functions_with_the_fit_s_own_questions() -> None:
    fit = fatigue()
    chosen = fit.outcome.decision.primary if fit.outcome is not None else None
    assert chosen is not None
    _, bench = done("fatigue")
    names = list(fit.effects.trials)
    direct = {
        "concordance": concordance_table(fit),
        "priors": prior_bench_table(fit),
        "inconsistency": inconsistency_table(fit),
        "leave-one-out": leave_one_out(fit),
        "multiverse": multiverse_table(fit),
    }
    for section, table in direct.items():
        pd.testing.assert_frame_equal(bench.tables[section], table, rtol=SAME, atol=SAME)
    # another level, threshold, cut-off and order reach their sections
    order = list(reversed(cumulative_fits_table(fit.effects, fit.model)["added"].tolist()))
    limit = mid(0.3)
    other = sensitivity_analyses(
        fit, ["tipping", "cumulative", "concordance", "inconsistency"], threshold=limit, cut=0.9, order=order, level=0.9
    )
    assert set(other.tables) == {"tipping", "cumulative", "concordance", "inconsistency"}
    pd.testing.assert_frame_equal(other.tables["tipping"], tipping_table(fit, limit, cut=0.9))
    pd.testing.assert_frame_equal(other.tables["concordance"], concordance_table(fit, limit, level=0.9))
    assert other.tables["inconsistency"]["benefit"].tolist() == [0.3]
    assert other.tables["cumulative"]["added"].tolist() == order
    assert other.tables["cumulative"]["level"].unique().tolist() == [0.9]
    assert len(names) >= 10


def test_the_multiverse_section_computes_effects_anew() -> None:
    frame = pd.DataFrame(reference("presets_metafor")["sets"]["zero"]["raw"])
    frame = frame.assign(study=[f"trial {i + 1}" for i in range(len(frame))])

    def recompute(options: Mapping[str, Any]) -> Effects:
        return bm.effect_sizes(frame, "OR", better="lower", options=dict(options))

    bench = sensitivity_analyses(counted(), ["multiverse"], recompute=recompute, options={})
    assert set(bench.tables["multiverse"]["zero"]) == {"half", "half_all", "treatment_arm"}


def test_a_reference_sd_makes_priors_for_scales_without_a_unit() -> None:
    fit, bench = done("difference")
    assert "ref_sd" in bench.not_done["priors"]
    assert len(sensitivity_analyses(fit, ["priors"], ref_sd=1e3).tables["priors"]) >= 12


def test_slow_sections_are_made_when_they_are_named() -> None:
    fit, bench = done("five")
    assert not set(SLOW) & (set(bench.tables) | set(bench.not_done))
    named = sensitivity_analyses(fit, list(SLOW))
    assert list(named.tables) == list(SLOW)
    # five trials have 32 sign patterns, and p is a share of them
    found = named.tables["permutation"]
    assert (found["number"] == 32).all()
    assert found["exact"].all()
    usual = pool(fit.effects, method="REML", ci="wald")
    assert found.loc[0, ["estimate", "p_usual"]].tolist() == [usual.estimate, usual.p]
    few = sensitivity_analyses(bm.fit(make(Y[:1], SE[:1]), MODEL), list(SLOW))
    assert set(few.not_done) == set(SLOW)


def test_unknown_sections_are_answered_with_the_list() -> None:
    fit, _ = done("five")
    with pytest.raises(
        bm.ModelError, match=r"'prior'. Did you mean priors\? Allowed: declared, concordance, priors, .*gosh"
    ):
        sensitivity_analyses(fit, ["prior"])
    assert sensitivity_analyses(fit, []).tables == {}
    twice = sensitivity_analyses(fit, ["influence", "influence"])
    assert list(twice.tables) == ["influence"]


def test_rows_that_share_patients_use_the_model_s_rho() -> None:
    S = np.array([[0.04, 0.015], [0.015, 0.16]])
    effects = Effects(
        ["a", "star", "b", "star", "c"],
        Y,
        [0.3, 0.2, 0.25, 0.4, 0.15],
        measure="SMD",
        better="lower",
        blocks=((np.array([1, 3]), S),),
    )
    fit = bm.fit(effects, dataclasses.replace(MODEL, rho=0.2))
    bench = sensitivity_analyses(fit, ["estimators", "concordance", "heterogeneity", "influence", "dependence"])
    found = pool(effects, method="REML", ci="hksj", rho=0.2)
    for section in ("estimators", "concordance"):
        assert bench.tables[section].iloc[0][["estimate", "lower"]].tolist() == [found.estimate, found.lower]


def test_the_estimators_begin_with_reml_and_end_with_a_prediction() -> None:
    table = estimators_table(make())
    found = pool(make(), method="REML", ci="hksj")
    first = table.iloc[0]
    assert first["method"] == "REML + HKSJ"
    assert first[["estimate", "lower", "upper", "pi_lower"]].tolist() == [
        found.estimate,
        found.lower,
        found.upper,
        found.pi_lower,
    ]
    assert table["method"].iloc[-1] == "confidence distribution of tau2"
    one = estimators_table(make(Y[:1], SE[:1]))
    assert one.loc[one["estimate"].isna(), "note"].ne("").all()
    flipped = estimators_table(make(-Y))
    np.testing.assert_allclose(flipped["estimate"], -table["estimate"], rtol=1e-6)


def test_permutation_of_one_trial_is_refused() -> None:
    with pytest.raises(bm.ModelError):
        permutation_table(make(Y[:1], SE[:1]))
    table = permutation_table(make([-0.3] * 4, SE[:4]))
    assert table.loc[0, "p"] == pytest.approx(2 / 16)
    assert math.isfinite(table.loc[0, "stat"])
