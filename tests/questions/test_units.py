"""Points of an instrument, absolute risks, information sizes.

Authorities: metafor 3.8.1's `predict(transf=)` for risks under a flat common effect and R 4.2.2's `power.prop.test`
(tests/reference/units_metafor.R); GRADE guidelines 6 (785 participants for 0.2 SD); closed forms of a product of a
normal with a known number; QUADPACK over the distribution of an SD, a threshold or a baseline risk.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import dumps, loads, marginal
from bayesmeta.plan import BaselineRisk, BetaRisk, NaturalUnit, PointsThreshold
from bayesmeta.questions import information, units
from references import effects_of, reference
from sampled import drawn_until

# the same closed form in another order
CLOSED = 1e-9
# R's uniroot stops at 1e-13 in n, and power.prop.test leaves out the other tail (of order 1e-9 of the power)
UNIROOT = 1e-7
# QUADPACK over an exact posterior's distribution function
NESTED = 1e-8
# a quantile by brentq on such an integral
ROOT = 1e-6

R = reference("units_metafor")
FLAT = bm.Model(bm.Flat(), None)
BAYES = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
Y, SE = np.array([-0.9, -0.2, -0.5, 0.1, -0.35]), np.array([0.3, 0.2, 0.25, 0.4, 0.15])
NAMES = [f"trial {i}" for i in range(5)]


def smd(scale: float = 1.0, better: str | None = "lower", model: bm.Model = BAYES) -> bm.Fit:
    return bm.fit(Effects(NAMES, scale * Y, abs(scale) * SE, measure="SMD", better=better), model)


def points(benefit: Any, worse: Any = None) -> PointsThreshold:
    return PointsThreshold(benefit, "a panel", "panel", worse)


# ------------------------------------------------------------------------------------------------- information size


def test_information_sizes_are_those_of_r() -> None:
    assert len(R["binary"]) == 18
    for case in R["binary"]:
        mine = information.information_size_binary(case["control"], case["reduction"], power=case["power"])
        assert mine == pytest.approx(case["total"], rel=UNIROOT)
    assert len(R["continuous"]) == 6
    for case in R["continuous"]:
        assert information.information_size(case["delta"], power=case["power"]) == pytest.approx(
            case["total"], rel=CLOSED
        )
    # FIELD and GRADE guidelines 6: 0.2 SD needs 785 participants
    assert math.ceil(information.information_size(0.2)) == 785


@pytest.mark.parametrize("delta", [0.0, -0.2, math.nan, math.inf])
def test_information_size_refuses(delta: float) -> None:
    with pytest.raises(ModelError, match="positive difference"):
        information.information_size(delta)


@pytest.mark.parametrize(("risk", "drop"), [(0.0, 0.2), (1.0, 0.2), (0.6, -0.7), (0.2, 0.0), (0.2, 1.0)])
def test_binary_information_size_refuses(risk: float, drop: float) -> None:
    with pytest.raises(ModelError, match="both risks lie between 0 and 1"):
        information.information_size_binary(risk, drop)


def test_information_table() -> None:
    effects = Effects(["A", "B"], [-0.4, -0.1], [0.2, 0.1], measure="SMD", n=[[50, 50], [200, 200]])
    table = information.information_table(bm.fit(effects, BAYES), 0.2)
    assert table["participants"].tolist() == [500.0]
    assert table["ratio"].iloc[0] == pytest.approx(500 * 0.2**2 / (4 * (1.959963984540054 + 0.8416212335729143) ** 2))
    risky = Effects(["A"], [-0.4], [0.2], measure="OR", n=[[50, 50]])
    table = information.information_table(bm.fit(risky, BAYES), risks=0.2)
    assert len(table) == 2
    assert table["needed"].iloc[1] == pytest.approx(information.information_size_binary(0.2, 0.25))
    assert "no risk without treatment" in information.information_table(bm.fit(risky, BAYES))["note"].iloc[0]
    unknown = information.information_table(smd(), 0.5)
    assert unknown["note"].tolist() == ["participants not stated"]
    assert unknown["needed"].iloc[0] == pytest.approx(information.information_size(0.5))
    other = Effects(["A"], [1.0], [0.2], measure="MD")
    assert "needs a standardised difference" in information.information_table(bm.fit(other, BAYES))["note"].iloc[0]


# ------------------------------------------------------------------------------------------------------ natural units


def test_known_sd_scales_everything() -> None:
    fit = smd()
    table = units.natural_table(fit, NaturalUnit("scale", 12.0, "made up", mid=points(3.0, 6.0))).set_index("target")
    for target, name in (("mean effect", "mu"), ("new study", "theta_new")):
        form, row = marginal(fit, name), table.loc[target]
        assert row[["lower", "median", "upper"]].to_numpy(float) == pytest.approx(
            12 * form.quantile([0.025, 0.5, 0.975]), rel=CLOSED
        )
        assert row["p_any_benefit"] == pytest.approx(form.cdf(0.0), rel=CLOSED)
        assert row["p_important_benefit"] == pytest.approx(form.cdf(-0.25), rel=CLOSED)
        assert row["p_important_harm"] == pytest.approx(form.sf(0.5), rel=CLOSED)
        assert row["p_trivial"] == pytest.approx(form.cdf(0.5) - form.cdf(-0.25), rel=CLOSED)
        # in units of the threshold, in the direction of benefit
        assert row["mid_units"] == pytest.approx(-4 * form.quantile(0.5), rel=CLOSED)
        assert row["mid_units_lower"] < row["mid_units"] < row["mid_units_upper"]
    assert set(table["note"]) == {""}


def test_instrument_that_points_the_other_way() -> None:
    """Less fatigue is a higher score: points change their sign, probabilities do not."""
    same, other = (
        units.natural_table(smd(), NaturalUnit("scale", 12.0, "x", better=better, mid=points(3.0)))
        for better in ("lower", "higher")
    )
    assert other["median"].to_numpy() == pytest.approx(-same["median"].to_numpy(), rel=CLOSED)
    assert other["lower"].to_numpy() == pytest.approx(-same["upper"].to_numpy(), rel=CLOSED)
    for column in ("p_any_benefit", "p_important_benefit", "p_important_harm", "mid_units", "mid_units_lower"):
        assert other[column].to_numpy() == pytest.approx(same[column].to_numpy(), rel=CLOSED)


def product_cdf(form: Any, x: float, sd: Any) -> float:
    """P(theta S <= x) by QUADPACK over the distribution of S."""
    inner = stats.norm.isf(1e-14)
    return integrate.quad(
        lambda z: form.cdf(x / sd.ppf(stats.norm.cdf(z))) * stats.norm.pdf(z), -inner, inner, epsabs=1e-12, limit=400
    )[0]


@pytest.mark.parametrize(
    ("unit", "distribution"),
    [
        (NaturalUnit("s", bm.LogNormal(math.log(10), 0.2), "x"), stats.lognorm(0.2, scale=10)),
        (NaturalUnit("s", bm.Uniform(7, 14), "x"), stats.uniform(7, 7)),
        (NaturalUnit("s", 10.0, "x", sd_se=2.0), stats.lognorm(math.sqrt(math.log1p(0.04)), scale=10)),
    ],
)
def test_uncertain_sd(unit: NaturalUnit, distribution: Any) -> None:
    fit = smd()
    table = units.natural_table(fit, unit, thresholds=[points(4.0)]).set_index("target")
    assert set(table["sd_form"]) == {"averaged"}
    assert table["sd"].iloc[0] == pytest.approx(distribution.mean(), rel=1e-8)
    for target, name in (("mean effect", "mu"), ("new study", "theta_new")):
        form, row = marginal(fit, name), table.loc[target]
        assert row["p_important_benefit"] == pytest.approx(product_cdf(form, -4.0, distribution), abs=NESTED)
        assert row["p_important_harm"] == pytest.approx(1 - product_cdf(form, 4.0, distribution), abs=NESTED)
        for column, p in (("lower", 0.025), ("median", 0.5), ("upper", 0.975)):
            value = float(row[column])
            assert product_cdf(form, value, distribution) == pytest.approx(p, abs=NESTED)
    assert table.loc["mean effect", "mid_units"] == pytest.approx(-table.loc["mean effect", "median"] / 4, rel=1e-8)


def test_uncertainty_of_the_sd_widens_the_interval() -> None:
    sure, unsure = (units.natural_table(smd(), NaturalUnit("s", 10.0, "x", sd_se=se)).iloc[0] for se in (None, 4.0))
    assert unsure["upper"] - unsure["lower"] > sure["upper"] - sure["lower"]
    assert unsure["note"] == "no smallest important difference in points is stated"
    assert math.isnan(unsure["p_important_benefit"])


def test_uncertain_sd_and_threshold() -> None:
    """Both distributions: their quotient is log-normal, which is one distribution for QUADPACK."""
    fit = smd()
    unit = NaturalUnit("s", bm.LogNormal(math.log(10), 0.2), "x", mid=points(bm.LogNormal(math.log(4), 0.3)))
    quotient = stats.lognorm(math.hypot(0.2, 0.3), scale=2.5)
    table = units.natural_table(fit, unit).set_index("target")
    for target, name in (("mean effect", "mu"), ("new study", "theta_new")):
        form, row = marginal(fit, name), table.loc[target]
        assert row["p_important_benefit"] == pytest.approx(product_cdf(form, -1.0, quotient), abs=NESTED)
        # in threshold units: minus theta times the quotient
        for column, p in (("mid_units_lower", 0.975), ("mid_units", 0.5), ("mid_units_upper", 0.025)):
            assert product_cdf(form, -float(row[column]), quotient) == pytest.approx(p, abs=NESTED)
    assert row["mid_form"] == "averaged"


def test_ranges_are_told_at_both_ends() -> None:
    table = units.natural_table(smd(), NaturalUnit("s", (8.0, 12.0), "x", mid=points((3.0, 6.0), 5.0)))
    assert len(table) == 8
    assert table["sd_form"].value_counts().to_dict() == {"low end": 4, "high end": 4}
    alone = units.natural_table(smd(), NaturalUnit("s", 12.0, "x", mid=points(6.0, 5.0)))
    columns = ["median", "p_important_benefit", "p_important_harm", "mid_units_upper"]
    assert table[columns].tail(2).to_numpy() == pytest.approx(alone[columns].to_numpy(), rel=CLOSED)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scale_does_not_matter(scale: float) -> None:
    """An SMD 1000 times as large in units of an SD 1000 times as small is the same number of points."""
    model = bm.Model(bm.Normal(0, scale), bm.HalfNormal(0.5 * scale))
    far = units.natural_table(smd(scale, model=model), NaturalUnit("s", 10.0 / scale, "x", sd_se=2.0 / scale))
    near = units.natural_table(smd(), NaturalUnit("s", 10.0, "x", sd_se=2.0))
    columns = ["median", "lower", "upper", "p_any_benefit"]
    assert far[columns].to_numpy() == pytest.approx(near[columns].to_numpy(), rel=ROOT)


def test_sign_flip_negates() -> None:
    unit = NaturalUnit("s", 10.0, "x", sd_se=2.0, mid=points(3.0))
    one, other = units.natural_table(smd(), unit), units.natural_table(smd(-1.0, "higher"), unit)
    assert other["median"].to_numpy() == pytest.approx(-one["median"].to_numpy(), rel=ROOT)
    assert other["p_important_benefit"].to_numpy() == pytest.approx(one["p_important_benefit"].to_numpy(), abs=NESTED)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_few_or_equal_trials(k: int) -> None:
    effects = Effects(NAMES[:k], [-0.3] * k, [1e-4, 0.2, 0.2][:k], measure="SMD", better="lower")
    table = units.natural_table(bm.fit(effects, BAYES), NaturalUnit("s", 10.0, "x", sd_se=1.0, mid=points(3.0)))
    assert np.isfinite(table[["median", "lower", "upper", "mid_units"]].to_numpy()).all()


def test_draws_answer_too() -> None:
    """A sampled fit goes through the same functions; 4000 draws give a probability to about 0.01."""
    fit = smd()
    unit = NaturalUnit("s", 10.0, "x", sd_se=2.0, mid=points(3.0))
    exact = units.natural_table(fit, unit)

    def wrong(drawn: bm.Fit) -> str:
        table = units.natural_table(drawn, unit)
        gaps = {column: np.abs(table[column] - exact[column]).max() for column in ("p_important_benefit", "median")}
        limits = {"p_important_benefit": 0.04, "median": 0.2}
        return ", ".join(f"{column} by {gap:.3f}" for column, gap in gaps.items() if gap > limits[column])

    drawn_until(
        lambda seed, settings: bm.fit(fit.effects, fit.model, engine="nuts", seed=seed, settings=settings), wrong
    )


def test_what_cannot_be_told_says_why() -> None:
    unit = NaturalUnit("s", 10.0, "x")
    ratio = bm.fit(Effects(["A"], [0.1], [0.1], measure="OR", better="lower"), BAYES)
    for fit, stated, words in (
        (ratio, unit, "only a standardised mean difference"),
        (smd(), None, "no instrument is stated"),
        (smd(better=None), unit, "no direction"),
    ):
        table = units.natural_table(fit, stated)
        assert len(table) == 1
        assert words in table["note"].iloc[0]
        assert math.isnan(table["median"].iloc[0])
    # the columns do not depend on whether there is an answer
    assert list(table.columns) == list(units.natural_table(smd(), unit).columns)


# ------------------------------------------------------------------------------------------------------ absolute risk


def test_risks_are_those_of_metafor() -> None:
    assert len(R["risks"]) == 12
    names = {"OR": "hine_or", "RR": "bcg_rr", "HR": "bcg_rr", "RD": "hine_rd"}
    for case in R["risks"]:
        data = effects_of(names[case["measure"]])
        effects = Effects(data.study, data.y, data.se, measure=case["measure"], better="lower")
        row = units.risk_table(bm.fit(effects, FLAT), case["baseline"], per=1).iloc[0]
        assert row["without"] == case["baseline"]
        # a common effect with a flat prior is the classical one
        for column, key in (("with_treatment", "risk"), ("with_lower", "lower"), ("with_upper", "upper")):
            assert row[column] == pytest.approx(case[key], rel=1e-7)
            shift = {"with_treatment": "difference"}.get(column, f"difference_{key}")
            assert row[shift] == pytest.approx(case[key] - case["baseline"], abs=1e-8)


def ratio_fit(measure: str = "OR", better: str | None = "lower") -> bm.Fit:
    return bm.fit(Effects(NAMES, Y, SE, measure=measure, better=better), BAYES)


@pytest.mark.parametrize("measure", ["OR", "RR", "HR"])
def test_uncertain_baseline(measure: str) -> None:
    """Beta(20, 80) without treatment: P(difference <= d) by QUADPACK over the baseline."""
    fit = ratio_fit(measure)
    risk = stats.beta(20, 80)
    table = units.risk_table(fit, [BaselineRisk("b", BetaRisk(20, 80), "x")], per=1, important=0.02)
    table = table.set_index("target")
    inverse = {
        "OR": lambda p, q: special.logit(q) - special.logit(p),
        "RR": lambda p, q: math.log(q / p),
        "HR": lambda p, q: math.log(math.log1p(-q) / math.log1p(-p)),
    }[measure]

    def below(name: str, reached: Any) -> float:
        form = marginal(fit, name)

        def integrand(p: float) -> float:
            q = reached(p)
            if not 0 < q < 1:
                return float(q >= 1) * risk.pdf(p)
            return float(form.cdf(inverse(p, q))) * risk.pdf(p)

        return integrate.quad(integrand, 1e-6, 0.8, epsabs=1e-12, limit=400, points=[0.1, 0.2, 0.3])[0]

    for target, name in (("mean effect", "mu"), ("new study", "theta_new")):
        row = table.loc[target]
        assert row["without"] == pytest.approx(risk.ppf(0.5), rel=CLOSED)
        assert row["without_upper"] == pytest.approx(risk.ppf(0.975), rel=CLOSED)
        for suffix, p in (("_lower", 0.025), ("", 0.5), ("_upper", 0.975)):
            shift = float(row[f"difference{suffix}"])
            assert below(name, lambda b, shift=shift: b + shift) == pytest.approx(p, abs=1e-7)
            treated = float(row["with_treatment" if not suffix else f"with{suffix}"])
            assert below(name, lambda b, treated=treated: treated) == pytest.approx(p, abs=1e-7)
        assert row["p_important"] == pytest.approx(below(name, lambda b: b - 0.02), abs=1e-7)


def test_several_baselines_and_a_range() -> None:
    risks = [BaselineRisk("low", 0.05, "x"), BaselineRisk("high", (0.2, 0.4), "y")]
    table = units.risk_table(ratio_fit(), risks)
    assert table["baseline"].tolist() == ["low", "low", "high", "high", "high", "high"]
    assert table["form"].tolist()[2:] == ["low end", "low end", "high end", "high end"]
    assert table["without"].tolist() == pytest.approx([50, 50, 200, 200, 400, 400])


def test_number_needed_to_treat() -> None:
    """Log RD -0.1 +- 0.02 of an outcome to avoid: NNTB 10 (7.2 to 16.4); across zero it passes through infinity."""
    sure = Effects(["A"], [-0.1], [0.02], measure="RD", better="lower")
    row = units.risk_table(bm.fit(sure, FLAT), 0.3).iloc[0]
    assert row["nnt"] == "NNTB 10 (NNTB 7.2 to NNTB 16)"
    unsure = Effects(["A"], [-0.1], [0.1], measure="RD", better="lower")
    row = units.risk_table(bm.fit(unsure, FLAT), 0.4).iloc[0]
    assert row["nnt"] == "NNTB 10 (NNTH 10 to infinity to NNTB 3.4)"
    harm = Effects(["A"], [-0.1], [0.02], measure="RD", better="higher")
    assert units.risk_table(bm.fit(harm, FLAT), 0.3)["nnt"].iloc[0] == "NNTH 10 (NNTH 16 to NNTH 7.2)"


def test_beyond_a_risk_of_one() -> None:
    effects = Effects(["A"], [math.log(3)], [0.2], measure="RR", better="higher")
    row = units.risk_table(bm.fit(effects, FLAT), 0.5).iloc[0]
    assert "leads beyond a risk of 0 or 1" in row["note"]
    assert (row["with_treatment"], row["difference"]) == (1000, 500)
    # the same through a distribution around that baseline
    spread = units.risk_table(bm.fit(effects, FLAT), [BaselineRisk("b", BetaRisk(5000, 5000), "x")]).iloc[0]
    assert "leads beyond a risk of 0 or 1" in spread["note"]
    assert spread["with_treatment"] == pytest.approx(1000, abs=1e-6)


def test_risks_that_cannot_be_told_say_why() -> None:
    for fit, risks, words in (
        (smd(), 0.2, "absolute risks follow from"),
        (ratio_fit(), None, "no risk without treatment"),
        (ratio_fit(), 1.2, "not between 0 and 1"),
        (ratio_fit(), [BaselineRisk("b", bm.Normal(0.2, 0.1), "x")], "not between 0 and 1"),
    ):
        table = units.risk_table(fit, risks)
        assert len(table) == 1
        assert words in table["note"].iloc[0]
    nowhere = units.risk_table(ratio_fit(better=None), 0.2)
    assert set(nowhere["nnt"]) == {""}
    assert "direction is not stated" in nowhere["note"].iloc[0]
    assert np.isfinite(nowhere["difference"]).all()


def test_absolute_risk_refuses_other_measures() -> None:
    with pytest.raises(ModelError, match="OR, RR, RD, HR, SMD"):
        units.absolute_risk("MD", 0.2, 0.1)


def test_a_median_risk_is_the_risk_of_the_median() -> None:
    """Monotone: no integral is needed, and a root of the distribution function is the same number."""
    fit = ratio_fit()
    row = units.risk_table(fit, 0.2, per=1).iloc[1]
    form = marginal(fit, "theta_new")
    median = optimize.brentq(lambda q: form.cdf(special.logit(q) - special.logit(0.2)) - 0.5, 0.01, 0.5, xtol=1e-14)
    assert row["with_treatment"] == pytest.approx(median, rel=CLOSED)


# ---------------------------------------------------------------------------------------------------------- storage


def test_units_are_stored_with_a_fit() -> None:
    unit = NaturalUnit("s", bm.Uniform(7, 14), "x", mid=points((3.0, 6.0)))
    risk = BaselineRisk("b", BetaRisk(20, 80), "x")
    assert loads(dumps(unit)) == unit
    assert loads(dumps(risk)) == risk
