"""Intervals that must not stand alone, and weights that no selection gives.

Authorities: the definition q t^2 < z^2 with scipy's quantiles; Newton-free brute force (Nelder-Mead on the likelihood
written out again) for the bounded selection model; for the unbounded one the stated 14.80 and -0.672 (R metafor).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import optimize, stats

import bayesmeta as bm
from bayesmeta.classical import pool, selection_model, small_study_table

CANCER = "models/cancer_exercise.toml"
# where a simplex search stops; the likelihood is flat to rounding there
SIMPLEX = 2e-4


@cache
def outcomes() -> dict[str, bm.Effects]:
    protocol = bm.read_protocol(CANCER)
    return {key: bm.read_effects(protocol, key) for key in protocol.outcomes}


def effects_of(y, se=0.2) -> bm.Effects:
    return bm.Effects([f"{i}" for i in range(len(y))], y, np.broadcast_to(se, len(y)), measure="SMD")


def test_two_of_the_twelve_outcomes_are_narrower_than_wald_and_two_more_have_the_ad_hoc_form_beside_them():
    marked, beside = [], []
    for key, effects in outcomes().items():
        found, wald = (pool(effects, ci=ci) for ci in ("hksj", "wald"))
        narrower = found.upper - found.lower < wald.upper - wald.lower
        assert (found.mark == "narrower than Wald") == narrower
        marked += [key] if found.mark else []
        beside += [key] if found.adhoc_beside else []
        few = found.tau2 == 0 and len(effects.units[0]) <= 4
        assert found.adhoc_beside == (narrower or few)
    assert marked == ["fatigue_medium", "depression_short"]
    assert beside == ["fatigue_medium", "qol_long", "depression_short", "anxiety_medium"]


def test_the_mark_is_the_definition():
    found = pool(effects_of([0.1, 0.3, 0.25, 0.2]), ci="hksj")
    q = (found.se / pool(effects_of([0.1, 0.3, 0.25, 0.2])).se) ** 2
    assert q * stats.t.ppf(0.975, 3) ** 2 < stats.norm.ppf(0.975) ** 2
    assert found.mark == "narrower than Wald"
    assert pool(effects_of([0.5, 0.5, 0.5]), ci="hksj").mark == "no width"
    wide = pool(effects_of([-1.0, 0.3, 0.9, 0.2]), ci="hksj")
    assert wide.mark is None
    for ci in ("wald", "t", "hksj_adhoc"):
        assert pool(effects_of([0.5, 0.5, 0.5]), ci=ci).mark is None


def test_the_ad_hoc_interval_has_its_closed_form_where_there_is_no_width():
    """Equal estimates, tau2 = 0: SE = (sum 1/se^2)^(-1/2), t with two degrees of freedom."""
    half = stats.t.ppf(0.975, 2) * 0.2 / math.sqrt(3)
    fit = bm.fit(effects_of([0.5, 0.5, 0.5]), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    expected = f"no width: all estimates are equal; ad hoc {0.5 - half:.3f} to {0.5 + half:.3f}"
    assert bm.hksj_remark(fit) == expected
    table = bm.compare_table(fit).set_index("method")
    assert table["mark"].to_dict() == {name: "no width" if name == "REML + HKSJ" else "" for name in table.index}


def test_a_weight_above_1_is_marked_and_at_the_bound_there_is_no_selection():
    """Stated: weight 14.80 and mean -0.672 for short fatigue, step 0.025, alternative less."""
    effects = outcomes()["fatigue_short"]
    found = selection_model(effects, steps=(0.025,), alternative="less")
    assert (round(found.delta[1], 2), round(found.estimate, 3)) == (14.80, -0.672)
    assert found.mark == "a weight above 1"
    assert found.bounded_delta == (1.0, 1.0)
    assert (found.bounded_lrt, found.bounded_lrt_p) == (pytest.approx(0, abs=1e-9), 1.0)
    # rows are taken as independent by both
    alone = effects_of(effects.y, effects.se)
    plain = pool(alone, method="ML")
    assert found.bounded_estimate == pytest.approx(plain.estimate, abs=1e-8)
    # the SE is of the observed information with tau2 free, here within 2 % of that with tau2 known
    assert found.bounded_se == pytest.approx(plain.se, rel=0.02)
    table = small_study_table(effects).set_index("form")
    line = table.loc["one step at .025"]
    assert (line["mark"], line["bounded_estimate"]) == ("a weight above 1", found.bounded_estimate)


def _negative(theta: np.ndarray, y: np.ndarray, se: np.ndarray, steps: tuple[float, ...]) -> float:
    """Minus the log likelihood of Vevea and Hedges, p one-sided for negative effects, written out again."""
    mu, tau2, delta = theta[0], theta[1] ** 2, np.concatenate([[1.0], 1 / (1 + np.exp(-theta[2:]))])
    sd = np.sqrt(se**2 + tau2)
    edges = np.concatenate([[-np.inf], stats.norm.ppf(steps), [np.inf]])[:, None] * se
    share = np.diff(stats.norm.cdf((edges - mu) / sd), axis=0)
    where = np.searchsorted(steps, stats.norm.cdf(y / se))
    density = stats.norm.logpdf(y, mu, sd) + np.log(delta[where]) - np.log(delta @ share)
    return -float(density.sum())


def test_bounded_weights_by_brute_force():
    """Two steps: weights are logistic and so below 1; a simplex from several starts finds the same mean."""
    effects, steps = outcomes()["fatigue_short"], (0.025, 0.5)
    found = selection_model(effects, steps=steps, alternative="less")
    assert found.mark is not None
    tries = [
        optimize.minimize(
            _negative,
            np.array([mu, 0.3, a, b]),
            args=(effects.y, effects.se, steps),
            method="Nelder-Mead",
            options={"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-8, "fatol": 1e-12},
        )
        for mu in (-0.3, 0.0)
        for a, b in ((8.0, 0.0), (2.0, 2.0))
    ]
    best = min(tries, key=lambda item: item.fun)
    assert found.bounded_estimate == pytest.approx(best.x[0], abs=SIMPLEX)
    assert found.loglik_unselected + found.bounded_lrt / 2 == pytest.approx(-best.fun, abs=SIMPLEX)
    assert max(found.bounded_delta) == 1.0
    assert found.bounded_lrt_p is None


def test_without_a_weight_above_1_both_results_are_one():
    trials = effects_of(
        [0.12, 0.31, 0.5, 0.4, 0.8, 0.9, 0.1, 0.6, -0.1, 0.2],
        [0.1, 0.15, 0.2, 0.25, 0.35, 0.4] * 1 + [0.12, 0.28, 0.2, 0.11],
    )
    found = selection_model(trials)
    assert found.mark is None
    assert found.delta[1] < 1
    assert (found.bounded_estimate, found.bounded_lower, found.bounded_delta) == (
        found.estimate,
        found.lower,
        found.delta,
    )
    assert found.bounded_lrt_p == pytest.approx(0.5 * stats.chi2.sf(found.lrt, 1), rel=1e-9)
