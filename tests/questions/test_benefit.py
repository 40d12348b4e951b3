"""Probability of benefit: worked numbers, direction, ratios, ranges, wording.

Worked numbers: tests/reference/published.md 6.1 and 6.5 (quadrature on log tau; shares by 4 million draws). Everything
else follows from the definitions at the top of bayesmeta.questions.benefit and is recomputed here from `marginal` or
scipy.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.columns import percent
from bayesmeta.effects import Effects
from bayesmeta.fits import marginal
from bayesmeta.questions import direction
from references import effects_of

# published probabilities have six digits
PRINTED = 5.001e-7
# four million draws: four Monte Carlo standard errors of a probability, and of the shares' quantiles, are below this
DRAWS = 1e-3
# the same numbers by another route through the engine
SAME = 1e-9
# one-dimensional QUADPACK over the table of tau
NESTED = 1e-8
# an average over a distribution of thresholds by 64 nodes over its quantiles
AVERAGED = 2e-5

FLAT = bm.Model(bm.Flat(), bm.HalfNormal(0.5))
Y, SE = np.array([-0.9, -0.2, -0.5, 0.1, -0.35]), np.array([0.3, 0.2, 0.25, 0.4, 0.15])


def smd(better: Any = "lower", sign: int = 1, **options: Any) -> bm.Fit:
    names = [f"trial {i}" for i in range(5)]
    effects = Effects(names, sign * Y, SE, measure="SMD", better=better, name="Fatigue", **options)
    return bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


def mid(benefit: Any = 0.5, worse: Any = None, **options: Any) -> bm.Threshold:
    worse = benefit if worse is None else worse
    values = {"name": "MID", "source": "a panel", "kind": "panel", "primary": True, **options}
    return bm.Threshold(benefit=benefit, worse=worse, benefit_distance=benefit, worse_distance=worse, **values)


# ---------------------------------------------------------------------------------------------- published numbers


def test_bcg() -> None:
    """RR < 0.8: Pr .994136 for the mean and .800262 in a new study; shares .8003, .8134 [.5757, .9528]."""
    fit = bm.fit(effects_of("bcg_rr", better="lower"), FLAT)
    limit = bm.threshold(0.8, measure_name="RR", better="lower")
    table = bm.benefit_table(fit, [limit]).set_index("target")
    mean, new = table.loc["mean effect"], table.loc["new study"]
    assert mean["p_important_benefit"] == pytest.approx(0.994136, abs=PRINTED)
    assert new["p_important_benefit"] == pytest.approx(0.800262, abs=PRINTED)
    assert mean["p_any_benefit"] == pytest.approx(0.9996204, abs=PRINTED / 10)
    assert new["p_any_benefit"] == pytest.approx(0.886091, abs=PRINTED)
    expected = {
        "share_mean": 0.8003,
        "share_median": 0.8134,
        "share_lower": 0.5757,
        "share_upper": 0.9528,
        "p_majority": 0.994,
        "p_share_80": 0.552,
    }
    share = bm.share_of_true_effects(fit, -math.log(0.8))
    for name, value in expected.items():
        assert share[name] == pytest.approx(value, abs=DRAWS)
    assert new["share_median"] == share["share_median"]
    assert np.isnan(mean["share_median"])
    nine = bm.benefit_table(fit, [bm.threshold(0.9, measure_name="RR", better="lower")])
    assert nine["p_important_benefit"].tolist() == pytest.approx([0.998609, 0.850140], abs=PRINTED)


def test_normand() -> None:
    """SMD < -0.5 and -0.2: published.md 6.5; share .5149 [.2584, .7665], Pr(majority) .545."""
    fit = bm.fit(effects_of("normand_smd", better="lower"), FLAT)
    large, small = (bm.benefit_table(fit, [mid(x)]) for x in (0.5, 0.2))
    assert large["p_important_benefit"].tolist() == pytest.approx([0.545191, 0.514979], abs=PRINTED)
    assert small["p_important_benefit"].tolist() == pytest.approx([0.879020, 0.653855], abs=PRINTED)
    share = bm.share_of_true_effects(fit, 0.5)
    assert large["share_lower"].tolist()[1] == share["share_lower"]
    for name, value in {
        "share_mean": 0.5149,
        "share_lower": 0.2584,
        "share_upper": 0.7665,
        "p_majority": 0.545,
    }.items():
        assert share[name] == pytest.approx(value, abs=DRAWS)


# ----------------------------------------------------------------------------------------- definitions, direction


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_definitions(better: str) -> None:
    """Items 1 to 6 of the definitions, from the distribution of each target; s = -1 where lower is better."""
    fit = smd(better)
    s = 1 if better == "higher" else -1
    assert direction(fit) == s
    table = bm.benefit_table(fit, [mid(0.4, 0.1)]).set_index("target")
    for target, name in (("mean effect", "mu"), ("new study", "theta_new")):
        form, row = marginal(fit, name), table.loc[target]
        beyond = (lambda x, form=form: float(form.sf(x))) if s > 0 else (lambda x, form=form: float(form.cdf(-x)))
        assert row["p_any_benefit"] == pytest.approx(beyond(0.0), abs=SAME)
        assert row["p_important_benefit"] == pytest.approx(beyond(0.4), abs=SAME)
        assert row["p_important_harm"] == pytest.approx(1 - beyond(-0.1), abs=SAME)
        assert row[["p_important_benefit", "p_trivial", "p_important_harm"]].sum() == pytest.approx(1, abs=1e-12)
    assert (table["mcse"] == 0).all()
    assert table["source"].tolist() == ["a panel (panel)"] * 2


def test_the_two_directions_are_mirror_images() -> None:
    one, other = smd("lower"), smd("higher", sign=-1)
    columns = [c for c in bm.benefit_table(one, [mid()]).columns if c.startswith(("p_", "share"))]
    a, b = (bm.benefit_table(fit, [mid(0.5, 0.2)])[columns].to_numpy(float) for fit in (one, other))
    np.testing.assert_allclose(a, b, rtol=0, atol=SAME)
    assert smd("higher").effects.better == "higher"
    wrong = bm.benefit_table(smd("higher"), [mid()])["p_any_benefit"]
    right = bm.benefit_table(one, [mid()])["p_any_benefit"]
    np.testing.assert_allclose(wrong + right, 1, atol=1e-12)


def test_share_of_settings_against_quadrature() -> None:
    """P(q <= x) = E over tau of P(s mu <= M + tau Phi^-1(x) | tau), with mu | tau in closed form."""
    effects = effects_of("normand_smd", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    tau = marginal(fit, "tau")
    share = bm.share_of_true_effects(fit, 0.5)

    def cdf(q: float) -> float:
        z = special.ndtri(q)

        def integrand(t: float) -> float:
            w = 1 / (effects.se**2 + t * t)
            v = 1 / (w.sum() + 1)
            return float(special.ndtr((0.5 + t * z + v * (w @ effects.y)) / math.sqrt(v)) * tau.density(t))

        edges = [0.2, 0.5, 0.7, 1.0, 1.5, 4]
        return sum(integrate.quad(integrand, a, b, epsabs=1e-11)[0] for a, b in pairwise(edges))

    for name, p in (("share_median", 0.5), ("share_lower", 0.025), ("share_upper", 0.975)):
        assert cdf(share[name]) == pytest.approx(p, abs=NESTED)
    assert share["p_share_80"] == pytest.approx(1 - cdf(0.8), abs=NESTED)
    assert share["p_majority"] == pytest.approx(1 - cdf(0.5), abs=NESTED)


def test_share_under_a_common_effect_is_all_or_nothing() -> None:
    fit = bm.fit(smd().effects, bm.Model(bm.Flat(), None))
    p = bm.probability(fit, "mu", below=-0.3)
    share = bm.share_of_true_effects(fit, 0.3)
    assert p > 0.5
    ends = [share["share_lower"], share["share_median"], share["share_upper"]]
    assert ends == pytest.approx([0.0, 1.0, 1.0], abs=1e-15)
    for name in ("share_mean", "p_majority", "p_share_80"):
        assert share[name] == pytest.approx(p, abs=SAME)


@pytest.mark.parametrize("mu", [bm.Truncated(bm.Normal(0, 1), -math.inf, 0), bm.StudentT(0, 0.5, 4)], ids=repr)
def test_share_under_other_priors_of_the_mean(mu: Any) -> None:
    """E(q) = P(theta_new beyond), and the majority benefits when mu does."""
    fit = bm.fit(smd().effects, bm.Model(mu, bm.HalfNormal(0.5)))
    share = bm.share_of_true_effects(fit, 0.3)
    assert share["share_mean"] == pytest.approx(float(marginal(fit, "theta_new").cdf(-0.3)), abs=SAME)
    assert share["p_majority"] == pytest.approx(float(marginal(fit, "mu").cdf(-0.3)), abs=1e-7)
    assert share["share_lower"] < share["share_median"] < share["share_upper"]


def test_no_direction_is_refused_with_the_remedy() -> None:
    fit = smd(None)
    calls = (
        lambda: bm.benefit_table(fit, [mid()]),
        lambda: bm.benefit_curve(fit),
        lambda: bm.band_table(fit, [0.2]),
        lambda: bm.responder_table(fit, 0.3),
        lambda: bm.share_of_true_effects(fit, 0.2),
        lambda: bm.benefit_sentence(fit, mid()),
    )
    for call in calls:
        with pytest.raises(bm.ModelError, match='say whether "higher" or "lower" is better'):
            call()


def test_no_threshold_is_refused() -> None:
    with pytest.raises(bm.ModelError, match="no threshold is stated"):
        bm.benefit_table(smd())


# ---------------------------------------------------------------------------------------------------- thresholds


@pytest.mark.parametrize(
    ("benefit", "worse", "measure", "better", "distances"),
    [
        (0.5, None, "SMD", "lower", (0.5, 0.5)),
        (0.5, 0.2, "SMD", "higher", (0.5, 0.2)),
        (0.75, None, "RR", "lower", (math.log(4 / 3), math.log(4 / 3))),
        (0.75, 1.25, "RR", "lower", (math.log(4 / 3), math.log(1.25))),
        (1.25, 0.75, "OR", "higher", (math.log(1.25), math.log(4 / 3))),
        (0.1, None, "RD", "lower", (0.1, 0.1)),
        (0.3, None, "ZCOR", "higher", (math.atanh(0.3), math.atanh(0.3))),
    ],
)
def test_threshold_distances(
    benefit: float, worse: float | None, measure: str, better: str, distances: tuple[float, float]
) -> None:
    limit = bm.threshold(benefit, worse=worse, measure_name=measure, better=better)
    assert limit.benefit_distance == pytest.approx(distances[0], rel=1e-14)
    assert limit.worse_distance == pytest.approx(distances[1], rel=1e-14)


@pytest.mark.parametrize(
    ("benefit", "worse", "measure", "better", "message"),
    [
        (1.25, None, "RR", "lower", "give a ratio below 1"),
        (0.8, None, "RR", "higher", "give a ratio above 1"),
        (0.8, 0.9, "RR", "lower", "give a ratio above 1"),
        (1.0, None, "OR", "higher", "give a ratio above 1"),
        (-0.8, None, "RR", "lower", "give a ratio below 1"),
        (-0.5, None, "SMD", "lower", "positive distance"),
        (0.0, None, "MD", "lower", "positive distance"),
        (math.nan, None, "MD", "lower", "finite"),
        (math.inf, None, "MD", "lower", "finite"),
    ],
)
def test_bad_thresholds(benefit: float, worse: float | None, measure: str, better: str, message: str) -> None:
    with pytest.raises(bm.ModelError, match=message):
        bm.threshold(benefit, worse=worse, measure_name=measure, better=better)


def test_a_range_of_thresholds_is_its_two_ends() -> None:
    fit = smd()
    table = bm.benefit_table(fit, [mid((0.2, 0.5), (0.1, 0.3))])
    assert table["threshold"].unique().tolist() == ["MID (low end)", "MID (high end)"]
    low, high = (bm.benefit_table(fit, [mid(*pair)]) for pair in ((0.2, 0.1), (0.5, 0.3)))
    columns = ["p_any_benefit", "p_important_benefit", "p_trivial", "p_important_harm"]
    np.testing.assert_array_equal(table[columns].to_numpy()[:2], low[columns].to_numpy())
    np.testing.assert_array_equal(table[columns].to_numpy()[2:], high[columns].to_numpy())


def test_a_distribution_of_thresholds_is_averaged_and_its_ends_are_shown() -> None:
    """P(s mu >= M) over M ~ the stated distribution, by QUADPACK; then its central 95 % range."""
    fit = smd()
    table = bm.benefit_table(fit, [mid(bm.LogNormal(math.log(0.4), 0.2))])
    limits = stats.lognorm(0.2, scale=0.4)
    assert table["threshold"].tolist()[::2] == ["MID (averaged)", "MID (low end)", "MID (high end)"]
    np.testing.assert_allclose(table["benefit"].tolist()[2::2], limits.ppf([0.025, 0.975]), rtol=1e-9)
    for row, name in ((0, "mu"), (1, "theta_new")):
        form = marginal(fit, name)

        def average(function: Any) -> float:
            edges = limits.ppf([1e-12, 0.01, 0.3, 0.7, 0.99, 1 - 1e-12])
            return sum(
                integrate.quad(lambda m: float(function(m)) * limits.pdf(m), a, b, epsabs=1e-10)[0]
                for a, b in pairwise(edges)
            )

        # 64 Gauss-Legendre nodes over the quantile function, whose slope is infinite at its ends
        benefit = average(lambda m, form=form: form.cdf(-m))
        harm = average(lambda m, form=form: form.sf(m))
        assert table.loc[row, "p_important_benefit"] == pytest.approx(benefit, abs=AVERAGED)
        assert table.loc[row, "p_important_harm"] == pytest.approx(harm, abs=AVERAGED)
        assert table.loc[row, "p_trivial"] == pytest.approx(1 - benefit - harm, abs=2 * AVERAGED)


def test_several_thresholds_keep_their_order_and_source() -> None:
    table = bm.benefit_table(smd(), [mid(0.5, name="large"), mid(0.2, name="small", source="Norman 2003")])
    assert table["threshold"].tolist() == ["large", "large", "small", "small"]
    assert table["source"].tolist()[2] == "Norman 2003 (panel)"
    assert table["target"].tolist() == ["mean effect", "new study"] * 2


# ---------------------------------------------------------------------------------------------- curves and bands


def test_curve() -> None:
    fit = smd()
    curve = bm.benefit_curve(fit, [-0.2, 0.0, 0.35])
    for row in curve.itertuples():
        assert row.p_mean == pytest.approx(float(marginal(fit, "mu").cdf(-row.x)), abs=SAME)
        assert row.p_new == pytest.approx(float(marginal(fit, "theta_new").cdf(-row.x)), abs=SAME)
        assert row.natural == -row.x
    whole = bm.benefit_curve(fit)
    assert len(whole) == 201
    assert (np.diff(whole["x"]) > 0).all()
    assert (np.diff(whole[["p_mean", "p_new"]].to_numpy(), axis=0) <= 0).all()
    assert whole["p_new"].iloc[0] > 0.998
    assert whole["p_new"].iloc[-1] < 0.002
    assert whole["x"].min() <= 0 <= whole["x"].max()


def test_curve_of_a_ratio_measure_is_told_as_ratios() -> None:
    fit = bm.fit(effects_of("bcg_rr", better="lower"), FLAT)
    curve = bm.benefit_curve(fit, [-math.log(0.8)])
    assert curve["natural"].tolist() == pytest.approx([0.8])
    assert curve["p_mean"].tolist() == pytest.approx([0.994136], abs=PRINTED)


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_bands_sum_to_one(better: str) -> None:
    fit = smd(better)
    table = bm.band_table(fit, [-0.2, 0.2, 0.5, 0.8], ["worse", "trivial", "small", "moderate", "large"])
    assert table[["p_mean", "p_new"]].sum().tolist() == pytest.approx([1, 1], abs=1e-12)
    s = -1 if better == "lower" else 1
    ends = np.sort(s * np.array([0.2, 0.5]))
    expected = float(np.diff(marginal(fit, "mu").cdf(ends))[0])
    assert table.set_index("band").loc["small", "p_mean"] == pytest.approx(expected, abs=SAME)
    assert (table[["p_mean", "p_new"]].to_numpy() >= 0).all()
    assert bm.band_table(fit, [0.0])["band"].tolist() == ["-inf to 0", "0 to inf"]


def test_bad_bands() -> None:
    for cuts in ([0.5, 0.2], [], [0.2, 0.2]):
        with pytest.raises(bm.ModelError, match="ascending"):
            bm.band_table(smd(), cuts)
    with pytest.raises(bm.ModelError, match="2 bands; 3 names"):
        bm.band_table(smd(), [0.2], ["a", "b", "c"])


# ------------------------------------------------------------------------------------------------------ responders


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("risk", [0.05, 0.3, 0.8])
def test_responders_against_scipy(better: str, risk: float) -> None:
    """Furukawa & Leucht 2011: Phi(Phi^-1(risk) + s SMD) - risk, at the quantiles of the effect."""
    fit = smd(better)
    s = 1 if better == "higher" else -1
    table = bm.responder_table(fit, risk).set_index("target")
    for target, name in (("mean effect", "mu"), ("new study", "theta_new")):
        effect = np.sort(s * marginal(fit, name).quantile([0.025, 0.5, 0.975]))
        expected = 100 * (stats.norm.cdf(stats.norm.ppf(risk) + effect) - risk)
        np.testing.assert_allclose(table.loc[target, ["lower", "median", "upper"]].to_numpy(float), expected, atol=1e-6)


def test_number_needed_to_treat() -> None:
    """1 / difference, through infinity where the interval holds zero."""
    table = bm.responder_table(smd(), 0.3).set_index("target")
    for row in table.itertuples():
        median, lower, upper = row.median / 100, row.lower / 100, row.upper / 100
        assert lower < upper
        inner = (
            f"NNTH {-1 / lower:.1f} to infinity to NNTB {1 / upper:.1f}"
            if lower < 0 < upper
            else f"NNTB {1 / upper:.1f} to NNTB {1 / lower:.1f}"
        )
        assert row.nnt == f"NNT{'B' if median > 0 else 'H'} {abs(1 / median):.1f} ({inner})"
    assert "infinity" in table.loc["new study", "nnt"]
    assert "infinity" not in table.loc["mean effect", "nnt"]
    harmful = bm.responder_table(smd("higher"), 0.3).set_index("target").loc["mean effect", "nnt"]
    assert harmful.startswith("NNTH ")
    assert harmful.count("NNTH") == 3


def test_responders_need_an_smd_and_a_risk() -> None:
    with pytest.raises(bm.ModelError, match="standardised mean difference"):
        bm.responder_table(bm.fit(effects_of("bcg_rr", better="lower"), FLAT), 0.3)
    for risk in (0.0, 1.0, 30):
        with pytest.raises(bm.ModelError, match="between 0 and 1"):
            bm.responder_table(smd(), risk)


# ---------------------------------------------------------------------------------------------------------- words


@given(st.floats(0, 1))
def test_percent_is_never_certain(p: float) -> None:
    text = percent(p)
    assert text.endswith(" %")
    assert text not in ("100.0 %", "0.0 %", "100 %", "0 %")
    number = float(text.strip("<> %"))
    if text[0] in "<>":
        assert (p < 0.001) if text[0] == "<" else (p > 0.999)
    else:
        assert number == pytest.approx(100 * p, abs=0.05000001)


@pytest.mark.parametrize(
    ("p", "digits", "text"),
    [
        (0.0, 1, "<0.1 %"),
        (1.0, 1, ">99.9 %"),
        (0.5, 0, "50 %"),
        (0.999, 1, "99.9 %"),
        (0.9990001, 1, ">99.9 %"),
        (0.99951, 2, "99.95 %"),
        (0.994136, 1, "99.4 %"),
        (math.nan, 1, "not defined"),
        (-0.1, 1, "not defined"),
    ],
)
def test_percent(p: float, digits: int, text: str) -> None:
    assert percent(p, digits) == text


def test_sentence_holds_the_numbers_of_the_tables() -> None:
    bcg = effects_of("bcg_rr")
    named = Effects(bcg.study, bcg.y, bcg.se, measure="RR", better="lower", name="Tuberculosis")
    sentence = bm.benefit_sentence(bm.fit(named, FLAT), bm.threshold(0.8, measure_name="RR", better="lower"))
    # exp of the published median and interval of mu: -0.709151 [-1.091197, -0.347000]
    for part in ("Tuberculosis", "0.49", "0.34 to 0.71", "lower is better", "ratio of 0.8", "95 %", "central"):
        assert part in sentence
    # published probabilities, in percent: .9996204 and .886091; .994136 and .800262
    for part in (">99.9 % for the mean effect and 88.6 % in a new study", "99.4 % for the mean effect and 80.0 %"):
        assert part in sentence


def test_honesty_line() -> None:
    """Field notes 3.1, word for word."""
    assert bm.CAVEAT == (
        "These probabilities are conditional on the model, the priors and the included studies. They do not include "
        "risk of bias, indirectness or unpublished studies unless a bias model is selected. They are not GRADE "
        "certainty ratings."
    )
