"""Inconsistency: indices against contingency tables of draws, shares against closed forms of the normal distribution.

Authorities: the indices as R metainc 0.2-1 computes them (``inc`` cuts equally many draws of every trial at the
thresholds, takes Cramer's V of the table of trials by categories, and rescales it where a category is empty), rebuilt
here with scipy's chi-squared test; posterior shares by brute force over tau; pairs and counts by hand.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.plan import Threshold
from bayesmeta.sensitivity import across_trials_index, decision_index, inconsistency_table, side_table

# the engine's promise for probabilities, and that of a trapezoidal rule over tau with 4,001 nodes
ENGINE = 5e-8
# closed forms
EXACT = 1e-12
# 400,000 draws per trial: the standard error of a share is below 8e-4, of an index in percent below 0.15; four of them
DRAWS, MC = 400_000, 0.6

Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35, 0.6])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15, 0.3])
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))


def make(y: Any = Y, se: Any = SE, **options: Any) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, **{"measure": "SMD", "better": "lower", **options})


def limit(benefit: float = 0.3, worse: float | None = None, better: str = "lower", name: str = "") -> Threshold:
    return bm.threshold(benefit, worse=worse, measure_name="SMD", better=better, name=name)


def metainc(draws: np.ndarray, cuts: np.ndarray) -> tuple[float, float]:
    """DI and ASI as metainc's `inc` makes them; draws of shape (draws, trials).

    Its rescaling of V where categories are empty (its branches for three and for seven categories) is chi-squared over
    N times the smaller of trials and *all* categories, less one.
    """
    n, trials = draws.shape
    categories = cuts.size + 1
    table = np.array([np.bincount(np.searchsorted(cuts, column), minlength=categories) for column in draws.T])
    shares = table.sum(axis=0) / table.sum()
    di = 100 * (1 - 0.5 * np.abs(1 / categories - shares).sum() / ((categories - 1) / categories))
    used = table[:, table.sum(axis=0) > 0]
    nc = used.shape[1]
    if nc == 1:
        return di, 0.0
    v = math.sqrt(stats.chi2_contingency(used, correction=False).statistic / (n * trials) / min(trials - 1, nc - 1))
    if categories == 3 and nc == 2 and trials > 2:
        v = math.sqrt(v**2 / 2)
    elif categories == 7 and nc < 7 <= trials:
        v = math.sqrt(v**2 * (nc - 1) / 6)
    elif categories == 7 and nc < 7 and trials < 7 and nc < trials:
        v = math.sqrt(v**2 * (nc - 1) / (trials - 1))
    return di, 100 * v


@pytest.mark.parametrize(
    ("y", "se", "cuts"),
    [
        (Y, SE, [-0.3, 0.3]),
        (Y, SE, [-0.1, 0.5]),
        (Y, SE, [-0.8, -0.5, -0.2, 0.2, 0.5, 0.8]),
        ([0.0, 0.1], [0.2, 0.1], [-0.1, 0.1]),
        ([0.9, 0.5, 0.7], [0.02, 0.02, 0.02], [-0.7, 0.7]),
        ([0.9, 0.5, 0.7, 0.65], [0.02] * 4, [-0.9, -0.7, -0.6, 0.6, 0.7, 0.9]),
        ([0.9, 0.5, 0.7, 0.65, 0.95, 0.8, 0.6, 0.55], [0.02] * 8, [-0.9, -0.7, -0.6, 0.6, 0.7, 0.9]),
    ],
)
def test_indices_are_those_of_a_contingency_table_of_draws(y: Any, se: Any, cuts: list[float]) -> None:
    y, se, edges = np.asarray(y, float), np.asarray(se, float), np.asarray(cuts, float)
    draws = np.random.default_rng(7).normal(y, se, (DRAWS, y.size))
    di, asi = metainc(draws, edges)
    below = stats.norm.cdf(edges, y[:, None], se[:, None])
    shares = np.diff(below, axis=1, prepend=0, append=1)
    assert decision_index(shares) == pytest.approx(di, abs=MC)
    assert across_trials_index(shares) == pytest.approx(asi, abs=MC)


def test_the_table_s_indices_of_estimates_are_metainc_s() -> None:
    table = inconsistency_table(bm.fit(make(), MODEL), [limit()])
    di, asi = metainc(np.random.default_rng(11).normal(Y, SE, (DRAWS, Y.size)), np.array([-0.3, 0.3]))
    assert table.loc[0, "di_estimates"] == pytest.approx(di, abs=MC)
    assert table.loc[0, "asi_estimates"] == pytest.approx(asi, abs=MC)


def test_extreme_shares() -> None:
    eye = np.eye(3)
    assert decision_index(eye[[0, 0, 0]]) == 0.0
    assert across_trials_index(eye[[0, 0, 0]]) == 0.0
    assert decision_index(eye) == pytest.approx(100, abs=EXACT)
    assert across_trials_index(eye) == pytest.approx(100)
    third = np.full((4, 3), 1 / 3)
    assert decision_index(third) == pytest.approx(100)
    assert across_trials_index(third) == pytest.approx(0, abs=1e-6)
    # two of three categories, all trials sure: V over all categories is sqrt(1/2), as metainc rescales it
    assert across_trials_index(eye[[0, 0, 2, 2]]) == pytest.approx(100 * math.sqrt(0.5))
    assert decision_index(eye[[0, 0, 2, 2]]) == pytest.approx(50)
    # two trials, each sure of another category
    assert across_trials_index(eye[[0, 2]]) == pytest.approx(100)
    assert math.isnan(across_trials_index(eye[:1]))


@given(
    st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=2, max_size=8), st.permutations(range(3))
)
def test_indices_stay_in_range_and_ignore_order(rows: list[list[float]], order: list[int]) -> None:
    shares = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    for index in (decision_index, across_trials_index):
        value = index(shares)
        assert -1e-9 <= value <= 100 + 1e-9
        assert index(shares[:, order]) == pytest.approx(value, abs=1e-8)
        assert index(shares[::-1]) == pytest.approx(value, abs=1e-8)
        # every trial twice: the shares of the average are the same, and so is V where categories limit it
        if shares.shape[0] > 3:
            assert index(np.repeat(shares, 2, axis=0)) == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [[1.0]], [[0.7, 0.7]], [[1.2, -0.2]]])
def test_what_are_not_shares_is_refused(shares: Any) -> None:
    for index in (decision_index, across_trials_index):
        with pytest.raises(bm.ModelError, match="sum to one"):
            index(shares)


# -------------------------------------------------------------------------------------------------- posterior shares


def brute(y: np.ndarray, se: np.ndarray, sd: float, scale: float) -> tuple[np.ndarray, ...]:
    """tau nodes, weights, and mean and SD of every theta given tau, from dense Gaussian algebra."""
    tau = np.linspace(0, 7 * scale, 4001)
    v = se**2 + tau[:, None] ** 2
    precision = (1 / v).sum(axis=1) + sd**-2
    mu = (y / v).sum(axis=1) / precision
    rest = (np.square(y) / v).sum(axis=1) - np.square(mu) * precision
    log = -0.5 * (np.log(v).sum(axis=1) + np.log(precision) + rest) + stats.halfnorm.logpdf(tau, scale=scale)
    weight = np.exp(log - log.max())
    weight[[0, -1]] *= 0.5
    # theta_i = B_i mu + (1 - B_i) y_i + noise, B_i = se^2 / v
    shrink = se**2 / v
    mean = shrink * mu[:, None] + (1 - shrink) * y
    var = shrink * tau[:, None] ** 2 + shrink**2 / precision[:, None]
    return weight / weight.sum(), mean, np.sqrt(var), mu, 1 / precision, tau


@pytest.mark.parametrize(("better", "sign"), [("lower", -1), ("higher", 1)])
def test_shares_of_true_effects_are_mixtures_of_normals(better: str, sign: int) -> None:
    fit = bm.fit(make(better=better), MODEL)
    item = limit(0.3, 0.2, better)
    weight, mean, sd, *_ = brute(Y, SE, 1.0, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        benefit = weight @ stats.norm.sf(0.3, sign * mean, sd)
        harm = weight @ stats.norm.cdf(-0.2, sign * mean, sd)
    lines = side_table(fit, item)
    np.testing.assert_allclose(lines["p_important_benefit"], benefit, atol=ENGINE)
    np.testing.assert_allclose(lines["p_important_harm"], harm, atol=ENGINE)
    np.testing.assert_allclose(lines["p_trivial"], 1 - benefit - harm, atol=2 * ENGINE)
    table = inconsistency_table(fit, [item]).loc[0]
    assert table["theta_benefit"] == pytest.approx(benefit.mean(), abs=ENGINE)
    assert table["theta_harm"] == pytest.approx(harm.mean(), abs=ENGINE)
    shares = np.column_stack([harm, 1 - benefit - harm, benefit])
    assert table["di"] == pytest.approx(decision_index(shares), abs=1e-4)
    assert table["asi"] == pytest.approx(across_trials_index(shares), abs=1e-4)
    assert table["sure_benefit"] == (benefit >= 0.95).sum()
    assert table["sure_harm"] == (harm >= 0.95).sum()
    y = sign * Y
    assert table["estimates_benefit"] == (y >= 0.3).mean()
    assert table["estimates_harm"] == (y <= -0.2).mean()
    assert table[["estimates_benefit", "estimates_trivial", "estimates_harm"]].sum() == pytest.approx(1)


def test_tau_and_prediction_in_units_of_the_threshold() -> None:
    weight, _, _, mu, var, tau = brute(Y, SE, 1.0, 0.5)
    fit = bm.fit(make(), MODEL)
    table = inconsistency_table(fit, [limit(0.3)], level=0.9).loc[0]
    cdf = np.cumsum(weight) - 0.5 * weight
    for p, column in ((0.05, "tau_units_lower"), (0.5, "tau_units"), (0.95, "tau_units_upper")):
        # a step function's quantile is good to half a step, 4e-4 of tau
        assert 0.3 * table[column] == pytest.approx(np.interp(p, cdf, tau), abs=5e-4)
    # the prediction interval in the direction of benefit: lower is better, so its ends change places
    spread = np.sqrt(var + tau**2)
    for x, p in ((table["new_lower"], 0.05), (table["new_upper"], 0.95)):
        assert weight @ stats.norm.cdf(0.3 * x, -mu, spread) == pytest.approx(p, abs=1e-6)
    assert table["new_crosses"] == int(table["new_lower"] < 1 < table["new_upper"]) + int(
        table["new_lower"] < -1 < table["new_upper"]
    )


def test_mirrored_effects_give_the_same_line() -> None:
    down = inconsistency_table(bm.fit(make(), MODEL), [limit(0.3, 0.2)])
    up = inconsistency_table(bm.fit(make(-Y, better="higher"), MODEL), [limit(0.3, 0.2, "higher")])
    numeric = down.select_dtypes("number").columns.drop("threshold", errors="ignore")
    np.testing.assert_allclose(down[numeric].to_numpy(float), up[numeric].to_numpy(float), atol=1e-7)


def test_scaled_effects_give_the_same_line() -> None:
    far = bm.Model(bm.Normal(0, 1e3), bm.HalfNormal(500.0))
    one = inconsistency_table(bm.fit(make(), MODEL), [limit(0.3)])
    item = bm.threshold(300.0, measure_name="MD", better="lower")
    other = inconsistency_table(bm.fit(make(1e3 * Y, 1e3 * SE, measure="MD"), far), [item])
    columns = ["theta_benefit", "theta_trivial", "theta_harm", "di", "asi", "di_estimates", "tau_units", "new_upper"]
    np.testing.assert_allclose(one[columns].to_numpy(float), other[columns].to_numpy(float), rtol=1e-6)


def test_overlap_by_hand() -> None:
    """Intervals at 95 %: a and b overlap, b and c overlap, a and c do not."""
    half = stats.norm.ppf(0.975)
    effects = make([0.0, 1.0, 2.0], np.array([0.6, 0.6, 0.6]) / half)
    table = inconsistency_table(bm.fit(effects, MODEL), [limit(5.0)])
    assert table.loc[0, "overlap"] == pytest.approx(2 / 3)
    # at 50 % none does
    narrow = inconsistency_table(bm.fit(effects, MODEL), [limit(5.0)], level=0.5)
    assert narrow.loc[0, "overlap"] == 0.0


def test_several_thresholds_have_a_line_together() -> None:
    """The primary one first; together the categories are those between all cuts, each an interval of one mixture."""
    small, large = limit(0.2, name="small"), limit(0.5, 0.4, name="large")
    small = Threshold("small", 0.2, 0.2, 0.2, 0.2, small.source, "convention", False)
    table = inconsistency_table(bm.fit(make(), MODEL), [small, large])
    assert table["threshold"].tolist() == ["large", "small", "all thresholds"]
    below = stats.norm.cdf([-0.4, -0.2, 0.2, 0.5], -Y[:, None], SE[:, None])
    shares = np.diff(below, axis=1, prepend=0, append=1)
    assert table.loc[2, "di_estimates"] == pytest.approx(decision_index(shares), abs=1e-9)
    assert table.loc[2, "asi_estimates"] == pytest.approx(across_trials_index(shares), abs=1e-9)
    single = ["benefit", "estimates_benefit", "theta_benefit", "sure_benefit", "tau_units", "new_lower", "new_crosses"]
    assert table.loc[2, single].isna().all()
    assert table.loc[:1, single].notna().all(axis=None)


def test_ranges_and_distributions_are_passed_over() -> None:
    stated = Threshold("range", (0.2, 0.5), (0.2, 0.5), (0.2, 0.5), (0.2, 0.5), "panel", "panel", True)
    fit = bm.fit(make(), MODEL)
    assert inconsistency_table(fit, [stated, limit(name="number")])["threshold"].tolist() == ["number"]
    for ask in (lambda: inconsistency_table(fit, [stated]), lambda: side_table(fit, stated), lambda: side_table(fit)):
        with pytest.raises(bm.ModelError, match="no threshold that is a number"):
            ask()


def test_a_ratio_measure_counts_in_logarithms() -> None:
    y = np.log([0.5, 0.9, 1.4])
    effects = make(y, [0.1, 0.1, 0.1], measure="HR")
    item = bm.threshold(0.75, worse=1.25, measure_name="HR", better="lower")
    table = inconsistency_table(bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5))), [item]).loc[0]
    assert table[["estimates_benefit", "estimates_trivial", "estimates_harm"]].tolist() == [1 / 3] * 3
    assert table["benefit"] == pytest.approx(-math.log(0.75))
    assert table["worse"] == pytest.approx(math.log(1.25))


# ------------------------------------------------------------------------------------------------------- degenerate


def test_a_common_effect_puts_every_trial_in_one_place() -> None:
    fit = bm.fit(make(), bm.Model(bm.Normal(0, 1), None))
    table = inconsistency_table(fit, [limit()]).loc[0]
    assert table["asi"] == pytest.approx(0, abs=1e-4)
    assert table[["tau_units", "tau_units_lower", "tau_units_upper"]].tolist() == [0.0, 0.0, 0.0]
    precision = (SE**-2).sum() + 1
    mean, sd = (Y / SE**2).sum() / precision, precision**-0.5
    assert table["theta_benefit"] == pytest.approx(stats.norm.sf(0.3, -mean, sd), abs=EXACT)
    assert 0.3 * table["new_upper"] == pytest.approx(stats.norm.ppf(0.975, -mean, sd), abs=1e-8)


def test_one_trial_has_no_inconsistency_across_trials() -> None:
    table = inconsistency_table(bm.fit(make(Y[:1], SE[:1]), MODEL), [limit()]).loc[0]
    assert math.isnan(table["asi"])
    assert math.isnan(table["asi_estimates"])
    assert math.isnan(table["overlap"])
    assert 0 <= table["di"] <= 100


def test_equal_estimates_and_a_tiny_standard_error() -> None:
    table = inconsistency_table(bm.fit(make([-0.6] * 4, [1e-4, 0.1, 0.1, 0.1]), MODEL), [limit()]).loc[0]
    assert table["estimates_benefit"] == 1.0
    assert table["overlap"] == 1.0
    assert table["sure_benefit"] == 4
    assert table["di"] < 5


def test_sides_are_named_from_95_percent_on() -> None:
    effects = make([-0.9, -0.1, 0.8, -0.3], [0.05, 0.05, 0.05, 0.05])
    lines = side_table(bm.fit(effects, MODEL), limit())
    assert lines["side"].tolist() == ["important benefit", "trivial", "important harm", "unclear"]
    assert lines["label"].tolist() == list(effects.label)
    sums = lines[["p_important_benefit", "p_trivial", "p_important_harm"]].sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=EXACT)


def test_without_a_direction_it_refuses() -> None:
    fit = bm.fit(make(better=None), MODEL)
    with pytest.raises(bm.ModelError, match="no direction"):
        inconsistency_table(fit, [limit()])
    with pytest.raises(bm.ModelError, match="no direction"):
        side_table(fit, limit())


def test_columns() -> None:
    table = inconsistency_table(bm.fit(make(), MODEL), [limit()])
    sides = [f"{kind}_{side}" for kind in ("estimates", "theta", "sure") for side in ("benefit", "trivial", "harm")]
    documented = {
        "threshold",
        "benefit",
        "worse",
        "k",
        *sides,
        "di",
        "asi",
        "di_estimates",
        "asi_estimates",
        "tau_units",
        "tau_units_lower",
        "tau_units_upper",
        "new_lower",
        "new_upper",
        "new_crosses",
        "overlap",
        "level",
    }
    assert set(table.columns) == documented
    assert table["level"].tolist() == [0.95]
    assert table["k"].tolist() == [6]
