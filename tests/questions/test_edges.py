"""Answers at the edges of what other tests hold: found by mistakes that were planted and that no test noticed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.fits import marginal
from bayesmeta.marginals import NormalMixture
from bayesmeta.priors import Normal
from bayesmeta.questions import between_words, conflict_table, natural_answer, next_trial, next_trial_table, robust_map

# closed forms, and distribution functions that are settled to 1e-8
CLOSED, SETTLED = 1e-12, 1e-7
EFFECTS = bm.Effects(list("ABCD"), [-0.4, -0.1, -0.3, 0.2], [0.2, 0.1, 0.2, 0.3], measure="SMD", better="lower")
FIT = bm.fit(EFFECTS, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


def test_participants_gained_are_precision_gained_in_units_of_one_participant() -> None:
    """A review that is sure to be kept: its prediction N(-0.3, 0.1^2) is worth (2 / 0.1)^2 participants.

    Without it the vague component N(0, 2^2) stands, of one participant of unit information.
    """
    found = robust_map(NormalMixture([1.0], [-0.3], [0.1]), -0.2, 0.2, weight=0.0, vague=Normal(0, 2), n=100)
    # se sqrt(n) = 2 is what one participant contributes
    assert found.ess_gained == pytest.approx(4 * (1 / 0.1**2 - 1 / 2**2), rel=CLOSED)


@pytest.mark.parametrize("y", [-0.2, -3.0, 3.0])
def test_results_that_are_shown_by_default_reach_beyond_where_the_source_is_discarded(y: float) -> None:
    found = robust_map(NormalMixture([1.0], [-0.3], [0.1]), y, 0.2, vague=Normal(0, 2), better="lower")
    assert found.kept_lower is not None
    assert found.kept_upper is not None
    shown = conflict_table(found)["y"]
    # half as far again from the middle of the source as the result that discards it, or as far as the trial's own
    assert shown.max() == pytest.approx(max(-0.3 + 1.5 * (found.kept_upper + 0.3), y), rel=1e-9)
    assert shown.min() == pytest.approx(min(-0.3 + 1.5 * (found.kept_lower + 0.3), y), rel=1e-9)


def test_a_curve_of_benefit_spans_the_middle_of_a_new_study() -> None:
    new = marginal(FIT, "theta_new")
    curve = bm.benefit_curve(FIT)
    # lower is better: benefit is the negative effect, and no effect lies between the ends
    ends = -new.quantile(np.array([0.999, 0.001]))
    assert ends[0] < 0 < ends[1]
    assert (curve["x"].min(), curve["x"].max()) == pytest.approx(tuple(ends), abs=SETTLED)


@pytest.mark.parametrize("sign", [-1, 1])
def test_no_effect_is_on_a_curve_of_benefit_that_lies_on_one_side_of_it(sign: int) -> None:
    far = bm.Effects(list("ABC"), sign * np.array([2.0, 2.01, 1.99]), [0.01] * 3, measure="SMD", better="higher")
    curve = bm.benefit_curve(bm.fit(far, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.01))))
    low, high = sorted((0.0, sign * 2.0))
    assert (curve["x"].min(), curve["x"].max()) == pytest.approx((low, high), abs=0.2)
    assert 0.0 in (curve["x"].min(), curve["x"].max())


def test_points_without_a_score_to_start_from_are_not_cut() -> None:
    unit = bm.plan.NaturalUnit("FACIT-Fatigue", 10.0, "an example", better="higher", scale=(0, 52))
    answer = natural_answer(FIT, unit)
    assert answer is not None
    assert answer.mean.capped is False


def test_a_threshold_that_is_a_range_does_not_say_which_is_the_smallest() -> None:
    number = bm.threshold(0.3, measure_name="SMD", better="lower", name="MID")
    spread = bm.Threshold("range", (0.2, 0.5), (0.2, 0.5), (0.2, 0.5), (0.2, 0.5), "a source", "panel", True)
    assert between_words(number, [number, spread]) == "little to no effect"
    smaller = bm.threshold(0.1, measure_name="SMD", better="lower", name="small")
    assert between_words(number, [number, spread, smaller]) == "less than MID"


def test_a_refit_moves_a_crossing_that_the_present_nodes_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    threshold = bm.threshold(0.2, measure_name="SMD", better="lower")
    expected = next_trial_table(FIT, threshold, se=0.15)
    found = next_trial._roots
    monkeypatch.setattr(next_trial, "_roots", lambda *given: found(*given) + 0.01)
    moved = next_trial_table(FIT, threshold, se=0.15)
    assert moved["estimate"].notna().sum() == expected["estimate"].notna().sum() > 0
    assert moved["estimate"].to_numpy() == pytest.approx(expected["estimate"].to_numpy(), abs=1e-5, nan_ok=True)


def test_the_first_rows_of_a_study_table_are_those_of_the_whole() -> None:
    fit = bm.example()[2]
    whole = bm.study_table(fit)
    pd.testing.assert_frame_equal(bm.study_table(fit, first=2), whole.head(2))
    pd.testing.assert_frame_equal(bm.study_table(fit, first=99), whole)
