"""Numbers at the edges of what other tests hold: found by mistakes that were planted and that no test noticed.

Expected values are by hand, by enumeration, or from base NumPy and SciPy.
"""

from __future__ import annotations

import itertools
import math

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from scipy import stats

from bayesmeta.classical import (
    begg_test,
    counts_of,
    egger_test,
    estimate_tau2,
    influence_table,
    permutation_test,
    pet_peese,
    working_covariance,
    zero_cell_table,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

# the same sums in another order
CLOSED = 1e-9


def trials(y, se, **options) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, measure="SMD", **options)


@pytest.mark.parametrize(
    ("predictor", "of"),
    [
        ("n", lambda n: n),
        ("sqrt_n", lambda n: n**0.5),
        ("inverse_n", lambda n: 1 / n),
        ("inverse_sqrt_n", lambda n: n**-0.5),
    ],
)
def test_sizes_enter_as_their_name_says(predictor, of):
    arms = np.array([[10.0, 12.0], [30.0, 31.0], [55.0, 50.0], [90.0, 88.0], [20.0, 27.0]])
    y, se = np.array([0.6, 0.3, 0.25, 0.1, 0.35]), np.array([0.4, 0.25, 0.2, 0.15, 0.3])
    found = egger_test(trials(y, se, n=arms), form="weighted", predictor=predictor)
    # polyfit minimises the sum of (weight times residual) squared
    slope, _ = np.polyfit(of(arms.sum(axis=1)), y, 1, w=1 / se)
    assert found.estimate == pytest.approx(slope, rel=CLOSED)


def test_a_line_that_fits_better_than_sampling_error_is_noted():
    se = np.array([0.1, 0.2, 0.3, 0.4])
    # 0.01 off a line: the residual variance is about (0.01 / 0.2)^2
    found = pet_peese(trials(0.1 + se + [0.01, -0.01, 0.01, -0.01], se), form="weighted")
    assert sum("residual variance" in note and "< 1" in note for note in found.notes) == 2
    rough = pet_peese(trials([0.9, -0.9, 1.5, -1.2], se), form="weighted")
    assert not any("residual variance" in note for note in rough.notes)


def test_a_rank_correlation_of_zero_has_an_exact_p_of_one():
    """Of four trials with three of six pairs concordant, the doubled tail is 2 x 15/24: a p value is at most 1."""
    se = np.array([0.1, 0.2, 0.3, 0.4])
    found = begg_test(trials([0.0, 0.3, -0.6, 0.25], se))
    assert found.form == "exact"
    assert found.estimate == pytest.approx(0.0, abs=CLOSED)
    assert found.p == 1.0


def test_the_variance_of_a_score_with_ties_in_both_is_that_over_all_orders():
    """Two trials are alike, and so tied in both ranks; the variance is enumerated over all 120 orders."""
    y, se = np.array([0.1, 0.1, 0.5, -0.2, 0.3]), np.array([0.1, 0.1, 0.2, 0.2, 0.3])
    w = 1 / se**2
    z = (y - w @ y / w.sum()) / np.sqrt(se**2 - 1 / w.sum())

    def score(order):
        return sum(np.sign(z[j] - z[i]) * np.sign(se[order[j]] - se[order[i]]) for i in range(5) for j in range(i))

    z = z.round(12)
    scores = np.array([score(order) for order in itertools.permutations(range(5))])
    found = begg_test(trials(y, se), form="normal")
    assert found.stat == pytest.approx(score(range(5)) / scores.std(), rel=CLOSED)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_an_assumed_correlation_is_the_same_in_every_unit(unit):
    rows = Effects(
        ["A", "A", "B"], unit * np.array([0.1, 0.3, 0.2]), unit * np.array([0.1, 0.2, 0.1]), measure="MD",
        cluster=["A", "A", "B"],
    )  # fmt: skip
    ((_, covariance),) = working_covariance(rows, 0.5).blocks
    assert covariance / unit**2 == pytest.approx(np.array([[0.01, 0.01], [0.01, 0.04]]), rel=CLOSED)


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_influence_is_the_same_in_every_unit(unit):
    y, se = np.array([0.1, 0.5, -0.2, 0.4, 0.9]), np.array([0.1, 0.2, 0.15, 0.3, 0.2])
    columns = ["rstandard", "rstudent", "dffits", "cook", "hat", "weight"]
    one, other = (influence_table(trials(by * y, by * se))[columns].to_numpy() for by in (1.0, unit))
    # tau2 is iterated in each unit
    assert other == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_a_regression_on_standard_errors_is_the_same_in_every_unit(unit):
    y, se = np.array([0.1, 0.5, -0.2, 0.4, 0.9]), np.array([0.1, 0.2, 0.15, 0.3, 0.2])
    one, other = (egger_test(trials(by * y, by * se), form="mixed") for by in (1.0, unit))
    assert other.stat == pytest.approx(one.stat, rel=1e-6)


def test_residuals_of_a_perfect_line_are_zero_and_not_rounding():
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0])
    table = influence_table(trials(0.1 * x, np.linspace(0.1, 0.4, 7), moderators={"x": x}), moderators=["x"])
    assert (table["rstandard"] == 0.0).all()
    assert (table["rstudent"] == 0.0).all()


def test_an_exact_test_of_22_trials_is_not_too_large():
    effects = trials(np.linspace(-1, 1, 22), np.full(22, 0.3))
    # refused for what is asked next, before 4 million patterns are gone through
    with pytest.raises(ModelError, match="rho"):
        permutation_test(effects, exact=True, rho=2.0)
    more = trials(np.linspace(-1, 1, 23), np.full(23, 0.3))
    with pytest.raises(ModelError, match=r"2\^23 patterns"):
        permutation_test(more, exact=True)


def test_sidik_jonkman_has_no_standard_error_where_nothing_is_left():
    x = np.arange(5.0)
    found = estimate_tau2(0.3 - 0.1 * x, np.linspace(0.1, 0.3, 5), np.column_stack([np.ones(5), x]), method="SJ")
    assert (found.value, found.se) == (0.0, None)


def test_rounding_beside_a_precise_study_is_not_a_local_maximum():
    """One standard error of 1e-10: the score at zero is a difference of numbers of 1e20, and its sign is rounding.

    With 60 digits it is positive, so that the likelihood has no maximum at zero.
    """
    y, se = [-1.34, 0.77, 0.67, 1.36], [1e-10, 0.31, 0.33, 0.33]

    def restricted(tau2):
        total = [mpmath.mpf(s) ** 2 + tau2 for s in se]
        weight = [1 / v for v in total]
        mean = mpmath.fsum(w * v for w, v in zip(weight, y, strict=True)) / mpmath.fsum(weight)
        squares = mpmath.fsum(w * (v - mean) ** 2 for w, v in zip(weight, y, strict=True))
        return -(mpmath.fsum(map(mpmath.log, total)) + mpmath.log(mpmath.fsum(weight)) + squares) / 2

    with mpmath.workdps(60):
        assert restricted(mpmath.mpf("1e-30")) > restricted(mpmath.mpf(0))
    found = estimate_tau2(y, se, method="REML")
    assert found.value > 0.01
    assert found.notes == ()


@pytest.mark.parametrize("row", [[1, 10, 12, 10], [1, 10, -1, 10], [12, 10, 1, 10], [-1, 10, 1, 10]])
def test_events_of_either_arm_lie_between_none_and_its_size(row):
    with pytest.raises(ModelError, match="events from 0 to the size of the arm"):
        counts_of([[3, 10, 4, 12], row])


def test_without_a_correction_a_table_with_an_empty_cell_is_left_out():
    counts = np.array([[4, 20, 6, 22], [3, 15, 2, 14], [5, 30, 9, 28]])
    for empty in ([0, 9, 4, 9], [9, 9, 4, 9], [4, 9, 0, 9], [4, 9, 9, 9]):
        table = zero_cell_table(np.vstack([counts, [empty]]), "OR")
        line = table[(table["method"] == "REML + HKSJ") & (table["policy"] == "none")].iloc[0]
        assert line["k"] == 3, empty
        assert math.isfinite(line["estimate"])
        assert math.isfinite(line["se"])


def test_exact_ranks_are_those_of_scipy():
    y, se = np.array([0.2, 0.5, -0.1, 0.3]), np.array([0.1, 0.2, 0.3, 0.4])
    w = 1 / se**2
    z = (y - w @ y / w.sum()) / np.sqrt(se**2 - 1 / w.sum())
    found = begg_test(trials(y, se))
    theirs = stats.kendalltau(z, se**2, method="exact")
    assert (found.estimate, found.p) == pytest.approx((theirs.statistic, theirs.pvalue), abs=CLOSED)
