"""The one answer in points or in people per 1000.

Authorities: closed forms of a normal posterior (flat prior, common effect); QUADPACK over the distributions of an SD, a
minimal important difference, a mean score or a share of responders; for numbers needed to treat of scores the area of a
shifted normal beyond a cut (Furukawa and Leucht 2011, doi:10.1371/journal.pone.0019070).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.fits import dumps, loads, marginal
from bayesmeta.plan import (
    BaselineRisk,
    BetaRisk,
    ControlMean,
    Decision,
    ModelPlan,
    NaturalUnit,
    Outcome,
    PointsThreshold,
    Quotient,
    Selection,
    quotient,
)
from bayesmeta.questions import natural_words as words
from bayesmeta.questions.natural import natural_answer, natural_answers, natural_threshold

# the same closed form in another order
CLOSED = 1e-9
# QUADPACK over an exact posterior's distribution function
NESTED = 1e-8
# quantiles of a quotient are followed to 1e-8 in probability by a Chebyshev series
FOLLOWED = 2e-8

FLAT = bm.Model(bm.Flat(), None)
BAYES = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))


def normal(mean: float, se: float, measure: str = "SMD", better: str | None = "lower") -> bm.Fit:
    """A fit whose posterior is the normal with this mean and SD, in closed form."""
    two = math.sqrt(2) * se
    return bm.fit(bm.Effects(["A", "B"], [mean, mean], [two, two], measure=measure, better=better), FLAT)


def spread(better: str = "lower") -> bm.Fit:
    y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35]) * (1 if better == "lower" else -1)
    return bm.fit(bm.Effects(list("ABCDE"), y, [0.3, 0.2, 0.25, 0.4, 0.15], measure="SMD", better=better), BAYES)


def points(benefit: Any, worse: Any = None) -> PointsThreshold:
    return PointsThreshold(benefit, "a panel", "panel", worse)


# -- points ------------------------------------------------------------------------------------------------------------


def test_known_numbers_are_products_and_normal_areas() -> None:
    fit, z = normal(-0.41, 0.1), stats.norm.ppf(0.975)
    unit = NaturalUnit("FACIT-Fatigue", 10.0, "x", better="higher", mid=points(3.0, 2.0), scale=(0, 52))
    answer = natural_answer(fit, unit)
    assert answer is not None
    # lower is better for the outcome, higher for the instrument: less fatigue is more points
    assert answer.mean.difference == pytest.approx((4.1, 4.1 - z, 4.1 + z), rel=CLOSED)
    assert answer.mean.benefit == pytest.approx(answer.mean.difference, rel=CLOSED)
    assert answer.mean.words == "4.1 points better (2.1 to 6.1)"
    assert answer.mean.p_any_benefit == pytest.approx(stats.norm.cdf(4.1), rel=CLOSED)
    assert answer.mean.p_important_benefit == pytest.approx(stats.norm.sf((0.3 - 0.41) / 0.1), rel=CLOSED)
    assert answer.mean.p_important_harm == pytest.approx(stats.norm.cdf((-0.2 - 0.41) / 0.1), rel=CLOSED)
    assert answer.mean.p_trivial == pytest.approx(
        1 - answer.mean.p_important_benefit - answer.mean.p_important_harm, rel=CLOSED
    )
    assert answer.mean.mid_units == pytest.approx(np.array(answer.mean.benefit) / 3, rel=CLOSED)
    assert answer.sd == (10.0, 10.0, 10.0)
    assert (answer.mid, answer.mid_words, answer.mid_kind) == ((3.0, 3.0), "3 points", "panel")
    assert answer.unit_words == "points on FACIT-Fatigue (0 to 52, higher is better)"
    # nothing is said of "without exercise" where nobody states it
    assert (answer.without, answer.without_words, answer.mean.with_exercise, answer.mean.nnt) == (None, "", None, "")
    assert answer.notes == ()


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("instrument", ["lower", "higher", None])
def test_direction_of_the_instrument_changes_the_sign_of_points_alone(better: str, instrument: Any) -> None:
    sign = -1 if better == "lower" else 1
    answer = natural_answer(normal(sign * 0.3, 0.1, better=better), NaturalUnit("s", 10.0, "x", better=instrument))
    assert answer is not None
    # better by 3 points whatever the directions; up on the instrument where its higher scores are better
    assert answer.mean.benefit[0] == pytest.approx(3.0, rel=CLOSED)
    up = (instrument or better) == "higher"
    assert answer.mean.difference[0] == pytest.approx(3.0 if up else -3.0, rel=CLOSED)
    assert answer.mean.words.startswith("3.0 points better (1.0 to ")
    assert answer.better == (instrument or better)


SD = (bm.LogNormal(math.log(10), 0.2), stats.lognorm(0.2, scale=10))


def product_cdf(form: Any, x: float, factor: Any) -> float:
    """P(theta F <= x) by QUADPACK over the distribution of the factor F."""
    return integrate.quad(
        lambda z: form.cdf(x / factor.ppf(stats.norm.cdf(z))) * stats.norm.pdf(z), -7.5, 7.5, epsabs=1e-12, limit=400
    )[0]


def test_an_uncertain_sd_is_integrated() -> None:
    fit = spread()
    answer = natural_answer(fit, NaturalUnit("s", SD[0], "x", mid=points(3.0)))
    assert answer is not None
    for effect, name in ((answer.mean, "mu"), (answer.new, "theta_new")):
        form = marginal(fit, name)
        assert effect.p_important_benefit == pytest.approx(product_cdf(form, -3.0, SD[1]), abs=NESTED)
        assert effect.p_important_harm == pytest.approx(1 - product_cdf(form, 3.0, SD[1]), abs=NESTED)
        for value, p in zip(effect.difference, (0.5, 0.025, 0.975), strict=True):
            assert product_cdf(form, value, SD[1]) == pytest.approx(p, abs=NESTED)
    assert answer.sd == pytest.approx(SD[1].ppf([0.5, 0.025, 0.975]), rel=CLOSED)
    assert answer.threshold_ends == pytest.approx(3 / SD[1].ppf([0.5, 0.975, 0.025]), rel=CLOSED)


def test_a_precise_effect_beside_a_vague_sd_keeps_its_digits() -> None:
    """The edge of the threshold is narrow among the nodes of the SD."""
    form = stats.norm(-0.3, 0.003)
    answer = natural_answer(normal(-0.3, 0.003), NaturalUnit("s", SD[0], "x", mid=points(3.0)))
    assert answer is not None
    expected = integrate.quad(
        lambda z: form.cdf(-3 / SD[1].ppf(stats.norm.cdf(z))) * stats.norm.pdf(z), -7, 7, points=[0.0], limit=2000
    )[0]
    assert answer.mean.p_important_benefit == pytest.approx(expected, abs=NESTED)


def test_a_range_of_differences_is_averaged_over_and_said_to_be() -> None:
    fit, form = spread(), marginal(spread(), "mu")
    answer = natural_answer(fit, NaturalUnit("s", SD[0], "x", mid=points((3.0, 6.0))))
    assert answer is not None

    def beyond(mid: float) -> float:
        return product_cdf(form, -mid, SD[1]) / 3

    assert answer.mean.p_important_benefit == pytest.approx(integrate.quad(beyond, 3, 6, epsabs=1e-10)[0], abs=NESTED)
    assert (answer.mid, answer.mid_words) == ((3.0, 6.0), "3 to 6 points")
    assert "stated as a range, 3 to 6, and averaged over" in answer.notes[0]
    # between what the ends say alone
    low, high = (
        natural_answer(fit, NaturalUnit("s", SD[0], "x", mid=points(end))).mean.p_important_benefit
        for end in (3.0, 6.0)
    )
    assert high < answer.mean.p_important_benefit < low

    def units_cdf(x: float) -> float:
        return integrate.quad(lambda mid: (1 - product_cdf(form, -x * mid, SD[1])) / 3, 3, 6, epsabs=1e-9)[0]

    for value, p in zip(answer.mean.mid_units, (0.5, 0.025, 0.975), strict=True):
        assert 1 - units_cdf(value) == pytest.approx(1 - p, abs=FOLLOWED)


def test_a_range_of_sds_is_averaged_over() -> None:
    answer = natural_answer(normal(-0.4, 0.1), NaturalUnit("s", (8.0, 12.0), "x"))
    assert answer is not None
    for value, p in zip(answer.mean.difference, (0.5, 0.025, 0.975), strict=True):
        below = integrate.quad(lambda sd, x=value: stats.norm.cdf(x / sd, -0.4, 0.1) / 4, 8, 12, epsabs=1e-12)[0]
        assert below == pytest.approx(p, abs=NESTED)
    assert "The SD is stated as a range, 8 to 12" in answer.notes[0]


def test_differences_found_within_people_are_marked() -> None:
    mid = PointsThreshold(1.4, "x", "distribution", compared="within")
    answer = natural_answer(normal(-0.4, 0.1), NaturalUnit("HADS-D", 3.6, "x", mid=mid))
    assert answer is not None
    assert any("within people over time" in note and "convention" in note for note in answer.notes)
    assert ("minimal important difference", "x (distribution)") in answer.sources


# -- scores with and without -------------------------------------------------------------------------------------------


def test_scores_stand_only_where_a_mean_is_stated() -> None:
    z = stats.norm.ppf(0.975)
    unit = NaturalUnit("s", 10.0, "x", better="higher", scale=(0, 52), control_mean=ControlMean(34.0, "a cohort"))
    answer = natural_answer(normal(-0.4, 0.1), unit)
    assert answer is not None
    assert answer.without_words == "34.0 points"
    assert answer.mean.with_exercise == pytest.approx((38, 38 - z, 38 + z), rel=CLOSED)
    assert answer.mean.with_words == "38.0 points (36.0 to 40.0)"
    assert ("without exercise", "a cohort") in answer.sources
    assert not answer.mean.capped


@pytest.mark.parametrize("instrument", ["lower", "higher"])
def test_an_uncertain_mean_and_sd_are_convolved(instrument: Any) -> None:
    control, sd = bm.LogNormal(math.log(34), 0.05), bm.LogNormal(math.log(10), 0.1)
    unit = NaturalUnit("s", sd, "x", better=instrument, control_mean=ControlMean(control, "a cohort"))
    answer = natural_answer(normal(-0.4, 0.1), unit)
    assert answer is not None
    flip = 1 if instrument == "lower" else -1
    c_of, s_of = stats.lognorm(0.05, scale=34), stats.lognorm(0.1, scale=10)

    # a rule of 80 points on either probit takes this smooth integrand to 1e-10
    nodes, weights = np.polynomial.legendre.leggauss(80)
    z, weights = 7 * nodes, 7 * weights * stats.norm.pdf(7 * nodes)
    scores, sds = c_of.ppf(stats.norm.cdf(z))[:, None], s_of.ppf(stats.norm.cdf(z))

    def below(x: float) -> float:
        return float(weights @ stats.norm.cdf((x - scores) / sds, flip * -0.4, 0.1) @ weights)

    for value, p in zip(answer.mean.with_exercise, (0.5, 0.025, 0.975), strict=True):
        assert below(value) == pytest.approx(p, abs=NESTED)
    assert answer.without == pytest.approx(c_of.ppf([0.5, 0.025, 0.975]), rel=CLOSED)


def test_a_score_beyond_the_instrument_is_cut_and_flagged() -> None:
    unit = NaturalUnit("s", 10.0, "x", better="higher", scale=(0, 52), control_mean=ControlMean(50.0, "a cohort"))
    answer = natural_answer(normal(-0.4, 0.1), unit)
    assert answer is not None
    assert answer.mean.with_exercise[2] == 52
    assert answer.mean.capped
    assert any("beyond the ends of the instrument" in note for note in answer.notes)
    # the difference itself is not cut
    assert answer.mean.difference[2] > 5.9


# -- numbers needed to treat of scores ---------------------------------------------------------------------------------


def responders(d: float, share: float) -> float:
    """How many more of 1000 lie beyond the score that a share of untreated people reaches: an area, by QUADPACK."""
    cut = stats.norm.isf(share)
    return 1000 * (integrate.quad(lambda x: stats.norm.pdf(x, d, 1), cut, np.inf, epsabs=1e-13)[0] - share)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_responders_are_areas_of_a_shifted_normal(share: float, better: str) -> None:
    """Furukawa and Leucht: NNT = 1 / (Phi(d + Phi^-1(CER)) - CER), d in the direction of benefit."""
    sign = -1 if better == "lower" else 1
    unit = NaturalUnit("s", 10.0, "x", control_share=BaselineRisk("responders", share, "a cohort"))
    answer = natural_answer(normal(sign * 0.5, 0.1, better=better), unit)
    assert answer is not None
    z = 0.1 * stats.norm.ppf(0.975)
    expected = [responders(d, share) for d in (0.5, 0.5 - z, 0.5 + z)]
    assert answer.mean.responders == pytest.approx(expected, rel=1e-8)
    need = 1000 / expected[0]
    assert answer.mean.nnt.startswith(f"NNTB {need:.{1 if need < 9.95 else 0}f} (NNTB ")
    assert ("responders without exercise", "a cohort") in answer.sources


def test_an_interval_that_holds_no_difference_passes_through_infinity() -> None:
    unit = NaturalUnit("s", 10.0, "x", control_share=BaselineRisk("responders", 0.2, "a cohort"))
    answer = natural_answer(normal(-0.1, 0.1), unit)
    assert answer is not None
    assert "to infinity to NNTB" in answer.mean.nnt
    assert "(NNTH" in answer.mean.nnt
    # harm: the number is one for harm
    assert natural_answer(normal(0.5, 0.1), unit).mean.nnt.startswith("NNTH")


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_an_uncertain_share_is_averaged_over(better: str) -> None:
    sign = -1 if better == "lower" else 1
    unit = NaturalUnit("s", 10.0, "x", control_share=BaselineRisk("responders", BetaRisk(20, 80), "20 of 100"))
    answer = natural_answer(normal(sign * 0.5, 0.1, better=better), unit)
    assert answer is not None

    def below(x: float) -> float:
        """P(responders <= x): the benefit is at most what leads there, averaged over the share."""

        def inner(share: float) -> float:
            reach = share + x / 1000
            limit = stats.norm.ppf(reach) - stats.norm.ppf(share) if 0 < reach < 1 else math.copysign(40, x)
            return stats.norm.cdf(limit, 0.5, 0.1) * stats.beta.pdf(share, 20, 80)

        return integrate.quad(inner, 0.03, 0.6, epsabs=1e-12, limit=400)[0]

    for value, p in zip(answer.mean.responders, (0.5, 0.025, 0.975), strict=True):
        assert below(value) == pytest.approx(p, abs=NESTED)


# -- people per 1000 ---------------------------------------------------------------------------------------------------


def test_people_per_1000_of_a_risk_ratio() -> None:
    z = stats.norm.ppf(0.975)
    fit = normal(math.log(0.83), 0.05, "RR")
    [answer] = natural_answers(fit, BaselineRisk("usual care", 0.2, "a registry"))
    ratio = np.exp(math.log(0.83) + np.array([0, -z, z]) * 0.05)
    assert answer.mean.difference == pytest.approx(200 * ratio - 200, rel=CLOSED)
    assert answer.mean.benefit == pytest.approx((200 - 200 * ratio)[[0, 2, 1]], rel=CLOSED)
    assert answer.mean.with_exercise == pytest.approx(200 * ratio, rel=CLOSED)
    assert answer.mean.words == "34 fewer per 1000 (17 to 49 fewer)"
    assert (answer.without_words, answer.mean.with_words) == ("200 per 1000", "166 per 1000 (151 to 183)")
    assert (answer.unit, answer.unit_words, answer.kind) == ("usual care", "people per 1000", "risk")
    assert answer.mean.p_any_benefit == pytest.approx(stats.norm.cdf(-math.log(0.83) / 0.05), rel=CLOSED)
    assert answer.mean.nnt == "NNTB 29 (NNTB 20 to NNTB 59)"


def test_each_stated_risk_gets_an_answer_and_none_gets_none() -> None:
    fit = normal(math.log(0.83), 0.05, "RR")
    assert natural_answers(fit) == ()
    assert natural_answer(fit) is None
    risks = (BaselineRisk("low", 0.05, "x"), BaselineRisk("vague", (0.1, 0.3), "y"))
    plan = ModelPlan(bm.Normal(0, 1), bm.HalfNormal(0.5))
    outcome = Outcome("a", "A", Selection("RR", "lower"), plan, Decision(baseline_risk=risks))
    low, vague = natural_answers(dataclasses.replace(fit, outcome=outcome))
    assert (low.unit, vague.unit) == ("low", "vague")
    assert "The risk is stated as a range, 0.1 to 0.3" in vague.notes[0]
    # a uniform risk times an independent ratio, by QUADPACK
    below = integrate.quad(
        lambda p: stats.norm.cdf(math.log(1 + vague.mean.difference[0] / 1000 / p), math.log(0.83), 0.05) / 0.2,
        0.1,
        0.3,
    )[0]
    assert below == pytest.approx(0.5, abs=NESTED)


def test_risks_beyond_one_are_cut_and_flagged() -> None:
    [answer] = natural_answers(normal(math.log(2.0), 0.1, "RR"), BaselineRisk("high", 0.7, "x"))
    assert answer.mean.with_exercise == (1000, 1000, 1000)
    assert answer.mean.capped
    assert answer.mean.words == "300 more per 1000 (300 to 300 more)"
    assert any("beyond a risk of 0 or 1" in note for note in answer.notes)
    [kept] = natural_answers(normal(math.log(1.2), 0.05, "RR"), BaselineRisk("low", 0.2, "x"))
    assert not kept.mean.capped
    assert kept.notes == ()


def test_a_risk_difference_needs_no_risk() -> None:
    [answer] = natural_answers(normal(-0.034, 0.02, "RD"))
    assert answer.mean.words == "34 fewer per 1000 (73 fewer to 5 more)"
    assert (answer.without, answer.mean.with_exercise, answer.mean.with_words) == (None, None, "")
    assert answer.mean.nnt == "NNTB 29 (NNTH 192 to infinity to NNTB 14)"
    [stated] = natural_answers(normal(-0.034, 0.02, "RD"), BaselineRisk("usual", 0.05, "x"))
    assert stated.mean.with_words.startswith("16 per 1000 (0 to ")
    assert stated.mean.capped


def test_people_are_counted_per_what_is_asked_for() -> None:
    [answer] = natural_answers(normal(-0.034, 0.02, "RD"), per=100)
    assert (answer.unit_words, answer.mean.words) == ("people per 100", "3.4 fewer per 100 (7.3 fewer to 0.5 more)")
    with pytest.raises(ModelError, match="positive number of people"):
        natural_answers(normal(-0.034, 0.02, "RD"), per=0)


# -- others ------------------------------------------------------------------------------------------------------------


def test_a_mean_difference_is_in_its_own_unit_with_the_outcomes_threshold() -> None:
    fit = normal(4.0, 1.0, "MD", "higher")
    answer = natural_answer(fit)
    assert answer is not None
    assert (answer.unit, answer.mean.words, answer.sd, answer.mid) == (
        "points",
        "4.0 points better (2.0 to 6.0)",
        None,
        None,
    )
    threshold = bm.threshold(3.0, measure_name="MD", better="higher")
    plan = ModelPlan(bm.Normal(0, 1), bm.HalfNormal(0.5))
    outcome = Outcome("a", "A", Selection("MD", "higher", unit="kg"), plan, Decision(thresholds=(threshold,)))
    again = natural_answer(dataclasses.replace(fit, outcome=outcome))
    assert again is not None
    assert again.mean.p_important_benefit == pytest.approx(stats.norm.sf(-1.0), rel=CLOSED)
    assert again.threshold is threshold


def test_without_a_direction_points_are_higher_or_lower() -> None:
    answer = natural_answer(normal(-0.4, 0.1, better=None), NaturalUnit("s", 10.0, "x", mid=points(3.0)))
    assert answer is not None
    assert answer.mean.words == "4.0 points lower (2.0 to 6.0)"
    assert (answer.mean.p_any_benefit, answer.mean.p_important_benefit) == (None, None)


@pytest.mark.parametrize("measure", ["ROM", "ZCOR"])
def test_other_measures_have_no_such_unit(measure: str) -> None:
    assert natural_answer(normal(0.1, 0.1, measure), NaturalUnit("s", 10.0, "x")) is None
    assert natural_answer(normal(0.1, 0.1)) is None


# -- the threshold -----------------------------------------------------------------------------------------------------


def test_thresholds_on_the_scale_of_the_analysis() -> None:
    def of(sd: Any, mid: Any, worse: Any = None) -> bm.Threshold:
        found = natural_threshold(NaturalUnit("s", sd, "x", mid=points(mid, worse)))
        assert found is not None
        return found

    assert of(10.0, 3.0).benefit_distance == 0.3
    assert of((8.0, 12.0), (3.0, 6.0)).benefit_distance == (0.25, 0.75)
    assert of(SD[0], 3.0).benefit_distance == bm.LogNormal(math.log(3) - math.log(10), 0.2)
    assert of(SD[0], bm.LogNormal(1.0, 0.3)).benefit_distance == bm.LogNormal(1.0 - math.log(10), math.hypot(0.2, 0.3))
    assert isinstance(of(SD[0], (3.0, 6.0)).benefit_distance, Quotient)
    assert (of(10.0, 3.0, 2.0).worse_distance, of(10.0, 3.0).worse_distance) == (0.2, 0.3)
    assert natural_threshold(NaturalUnit("s", 10.0, "x")) is None


@pytest.mark.parametrize("mid", [3.0, (3.0, 6.0)])
def test_the_threshold_answers_as_the_answer_does(mid: Any) -> None:
    """Two ways to one number: the average over nodes here, and `benefit_table` over the threshold's distribution."""
    fit = spread()
    answer = natural_answer(fit, NaturalUnit("s", SD[0], "x", mid=points(mid)))
    assert answer is not None
    table = bm.benefit_table(fit, answer.threshold).set_index(["threshold", "target"])
    averaged = table[[name.endswith("(averaged)") for name, _ in table.index]].droplevel(0)
    for effect in (answer.mean, answer.new):
        row = averaged.loc[effect.target]
        assert row["p_important_benefit"] == pytest.approx(effect.p_important_benefit, abs=NESTED)
        assert row["p_important_harm"] == pytest.approx(effect.p_important_harm, abs=NESTED)


@pytest.mark.parametrize(
    ("over", "under"),
    [
        (stats.uniform(5, 5), stats.lognorm(0.038, scale=21.2)),
        (stats.lognorm(0.28, scale=3.6), stats.uniform(1.41, 0.16)),
        (stats.uniform(3, 1), stats.lognorm(0.11, scale=10.3)),
    ],
)
def test_quotients_have_the_distribution_of_quotients(over: Any, under: Any) -> None:
    def prior(item: Any) -> bm.Uniform | bm.LogNormal:
        if item.dist.name == "uniform":
            return bm.Uniform(*item.support())
        return bm.LogNormal(math.log(item.kwds["scale"]), item.args[0])

    found = Quotient(prior(over), prior(under))
    flat = over if over.dist.name == "uniform" else under
    low, high = flat.support()

    def cdf(x: float) -> float:
        def inner(value: float) -> float:
            return under.sf(value / x) if flat is over else over.cdf(value * x)

        return integrate.quad(inner, low, high, epsabs=1e-13, limit=400)[0] / (high - low)

    for p in (1e-4, 0.025, 0.5, 0.975, 0.9999):
        x = float(found.ppf(p))
        assert cdf(x) == pytest.approx(p, abs=FOLLOWED)
        assert found.cdf(x) == pytest.approx(cdf(x), abs=1e-11)
    x, step = float(found.ppf(0.3)), 1e-5
    # a central difference, good to its step squared
    assert np.exp(found.logpdf(x)) == pytest.approx((cdf(x + step) - cdf(x - step)) / (2 * step), rel=1e-6)


def test_quotients_and_units_survive_a_file() -> None:
    amount = quotient((3.0, 6.0), SD[0])
    assert loads(dumps(amount)) == amount
    unit = NaturalUnit(
        "s",
        SD[0],
        "x",
        scale=(0.0, 52.0),
        mid=PointsThreshold(3.0, "x", "anchor", compared="within"),
        control_mean=ControlMean(34.0, "a cohort"),
        control_share=BaselineRisk("responders", BetaRisk(20, 80), "20 of 100"),
    )
    assert loads(dumps(unit)) == unit


def test_two_thresholds_are_told_in_both_units() -> None:
    primary = bm.Threshold("important", 0.5, 0.5, 0.5, 0.5, "x", "convention", True)
    unit = NaturalUnit("FACIT-Fatigue", SD[0], "x", better="higher", mid=points(3.0))
    plan = ModelPlan(bm.Normal(0, 1), bm.HalfNormal(0.5))
    decision = Decision(thresholds=(primary,), natural_unit=unit)
    fit = dataclasses.replace(normal(-0.4, 0.1), outcome=Outcome("a", "A", Selection("SMD", "lower"), plan, decision))
    answer = natural_answer(fit)
    assert answer is not None
    low, high = SD[1].ppf([0.025, 0.975])
    own, mid = f"{low / 2:.1f} to {high / 2:.1f}", f"{3 / high:.2f} to {3 / low:.2f}"
    assert answer.threshold_words == (
        f"The threshold important, 0.5, is 5.0 points ({own}); the minimal important difference, 3 points, "
        f"is 0.30 ({mid}) on that scale."
    )
    assert natural_answer(normal(-0.4, 0.1), unit).threshold_words == ""


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((4.1, 2.2, 6.0), "4.1 points better (2.2 to 6.0)"),
        ((-0.8, -1.4, -0.2), "0.8 points worse (0.2 to 1.4)"),
        ((0.5, -0.9, 1.9), "0.5 points better (0.9 worse to 1.9 better)"),
        ((-0.5, -1.9, 0.9), "0.5 points worse (1.9 worse to 0.9 better)"),
        # an end that rounds to nothing has no side
        ((1.0, 0.04, 2.0), "1.0 points better (0.0 to 2.0)"),
        ((0.0, -1.0, 1.0), "0.0 points (1.0 worse to 1.0 better)"),
        ((0.01, 0.0, 2.0), "0.0 points (0.0 to 2.0 better)"),
        ((math.nan, 0.0, 2.0), "not defined"),
    ],
)
def test_differences_in_words(ends: Any, said: str) -> None:
    assert words.difference_words(ends, "better", "worse", "points", 1) == said


def test_decimals_and_minus_signs() -> None:
    assert [words.point_decimals((x, 0, x)) for x in (0.5, 4.0, 99.0, 120.0)] == [2, 1, 1, 0]
    assert words.level_words((-3.0, -4.0, -2.0), "points", 1) == "\u22123.0 points (\u22124.0 to \u22122.0)"
    assert words.amount_words((0.3, 0.5)) == "0.3 to 0.5"
