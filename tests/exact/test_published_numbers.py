"""The exact engine against published worked examples, and against tests/reference/exact.json.

Every number stands in tests/reference/published.md section 6, with its source. Kinds of source: a table or text of a
paper (Roever, J Stat Softw 2020;93(6), "JSS"; Gronau et al. 2017, Compr Results Soc Psychol 2:123-138; NICE TSD 2 and
3), the test file or vignette of a package (metaBMA, RoBMA, multinma, posteriordb), or quadrature on log tau.

Misprints and wrong places, noted and not copied:

- Roever & Friede 2023 print -1.38 for basiliximab; their own program gives -1.283 (published.md 6.2).
- published.md 6.3 lists the study means 11.095, 10.336 and 8.475 of JSS under the uniform prior of tau; R bayesmeta
  gives 11.640, 10.684 and 8.638 there (eight_schools.json, uniform_tau), and the listed ones under the half-Cauchy(25).
- Its summaries of tau for Normand under the three Rhodes priors (medians .86188, .85492, .91087) are 3e-5 to 6e-5 below
  those of exact.json, which are tested instead.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, special

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.fits import marginal
from bayesmeta.marginals import IntervalKind
from bayesmeta.priors import Prior
from references import effects_of, exact_effects, reference

FloatArray = NDArray[np.float64]

# numbers that were printed with d digits after the point are right to half a unit of the last one
HALF_UNIT = 0.5000001
# exact.json prints 11 significant digits
PRINTED_EXACT = 2e-10
# its quantiles of tau are interpolated in a table of the distribution function with 400,001 points
INTERPOLATED = 1e-7
# its Rhodes priors are cut at 1e-14, which moves no answer by more than this (tests/reference/README.md says 1e-6)
CUT_AT_ZERO = 1.5e-6
# published.md 6.9, against R bayesmeta's vignette (delta = 0.01): share of the posterior SD; probabilities
R_QUANTILE = 5e-3
R_PROBABILITY = 1e-3
# the same approximation moved the two-trial probability and Pr(mu > 0) by less than this
R_SMALL = 5e-5
# multinma's own tests compare with NICE TSD 3 at this tolerance; their binomial likelihood is our normal one here
TSD = 0.05
# posteriordb's reference draws: four Monte Carlo standard errors of at most 0.056
POSTERIORDB = 4 * 0.056
# metaBMA's averaged posterior is a smoothed density of samples; the exact mean is 0.001 away, the tails hold 0.003 more
SMOOTHED_MEAN = 2e-3
# the length of a shortest interval hardly changes where it is shortest, so its ends are known to three digits
SHORTEST_END = 1e-3
SMOOTHED_TAIL = 5e-3


# --------------------------------------------------------------------------------------------------- exact.json

PRIORS: dict[str, Prior] = {
    "halfnormal(0.25)": bm.HalfNormal(0.25),
    "halfnormal(0.5)": bm.HalfNormal(0.5),
    "halfnormal(1)": bm.HalfNormal(1),
    "halfcauchy(0.5)": bm.HalfCauchy(0.5),
    "turner_general lognormal tau2(-2.56,1.74)": bm.Turner2015(),
    "rhodes_general logt5 tau2(-3.44,2.59)": bm.Rhodes2015(),
    "rhodes_other_nonpharm_pain logt5 tau2(-3.02,2.27)": bm.Rhodes2015(
        "other",
        "general physical health and adverse event and pain and quality of life / functioning",
        "non-pharmacological (any)",
    ),
    "rhodes_cancer_nonpharm_pain logt5 tau2(-0.46,2.40)": bm.Rhodes2015(
        "cancer",
        "general physical health and adverse event and pain and quality of life / functioning",
        "non-pharmacological (any)",
    ),
    "invgamma tau(1.71,0.40)": bm.InverseGamma(1.71, 0.40),
}
MEANS: dict[str, Prior] = {"mu flat": bm.Flat(), "mu normal(0,1)": bm.Normal(0, 1)}
EXACT = [(name, key) for name, case in reference("exact").items() if name != "meta" for key in case["bayes"]]


@cache
def exact_fit(name: str, key: str, *, cut: bool = False) -> bm.Fit:
    tau, mu = key.split(" | ")
    prior = PRIORS[tau]
    return bm.fit(exact_effects(name), bm.Model(MEANS[mu], bm.Truncated(prior, 1e-14, 1e6) if cut else prior))


def test_no_exact_case_has_disappeared() -> None:
    assert len(EXACT) == 66
    assert len({name for name, _ in EXACT}) == 6
    assert sum("theta_mean" in reference("exact")[name]["bayes"][key] for name, key in EXACT) == 66
    assert sum(len(reference("exact")[name]["bayes"][key]["pr"]) for name, key in EXACT) == 264
    assert sum("log_marginal_likelihood" in reference("exact")[name]["bayes"][key] for name, key in EXACT) == 12
    assert sum(key.startswith("rhodes") for _, key in EXACT) == 18


def exact_differences(fit: bm.Fit, case: dict[str, Any]) -> dict[str, float]:
    """Largest absolute difference by kind of answer."""
    table = bm.summarize(fit)
    worst = {"tau quantile": 0.0, "other": 0.0}

    def record(ours: float, theirs: float, kind: str = "other") -> None:
        worst[kind] = max(worst[kind], abs(ours - theirs))

    for name, key in (("mu", "mu"), ("tau", "tau"), ("theta_new", "new")):
        for statistic, value in case[key].items():
            column = {"q025": "lower", "q975": "upper"}.get(statistic, statistic)
            if statistic == "pr_lt_0":
                record(bm.probability(fit, name, below=0), value)
            else:
                record(table.loc[name, column], value, "other" if name != "tau" or column == "mean" else "tau quantile")
    for label, value in zip(fit.effects.label, case["theta_mean"], strict=True):
        record(marginal(fit, f"theta[{label}]").mean, value)
    for at, pair in case["pr"].items():
        record(bm.probability(fit, "mu", below=float(at)), pair["mu_lt"])
        record(bm.probability(fit, "theta_new", below=float(at)), pair["new_lt"])
    if "log_marginal_likelihood" in case:
        assert fit.log_evidence is not None
        record(fit.log_evidence, case["log_marginal_likelihood"])
    return worst


@pytest.mark.parametrize(("name", "key"), EXACT)
def test_exact_json(name: str, key: str) -> None:
    """All numbers of a case; under a Rhodes prior both as published and cut as the reference was."""
    case = reference("exact")[name]["bayes"][key]
    rhodes = key.startswith("rhodes")
    if rhodes:
        assert max(exact_differences(exact_fit(name, key), case).values()) < CUT_AT_ZERO
    worst = exact_differences(exact_fit(name, key, cut=rhodes), case)
    assert worst["other"] < PRINTED_EXACT
    assert worst["tau quantile"] < INTERPOLATED


# ---------------------------------------------------------------------------------------- numbers by printed digits


def half_unit(printed: str) -> float:
    return HALF_UNIT * 10.0 ** -len(printed.partition(".")[2])


def check(ours: float, printed: str, slack: float = 0.0) -> None:
    """Compare with a number as it is printed, to half a unit of its last digit."""
    assert ours == pytest.approx(float(printed), rel=0, abs=half_unit(printed) + slack), printed


def check_row(fit: bm.Fit, name: str, printed: dict[str, str], interval: IntervalKind = "central") -> None:
    row = bm.summarize(fit, interval=interval).loc[name]
    # the references under priors that are unbounded at zero were cut there, before they were printed
    slack = CUT_AT_ZERO if isinstance(fit.model.tau, bm.Rhodes2015) else 0.0
    for column, value in printed.items():
        check(float(row[column]), value, slack)


BCG, CRINS, NORMAND, RAUDENBUSH = "bcg_rr", "crins_or", "normand_smd", "raudenbush_smd"
GENERAL, UNIFORM = bm.Turner2015(), bm.Flat()
UNIT = bm.Normal(0, 4)
SCHOOLS = "eight_schools"

# data set, mu prior, tau prior, quantity, columns as printed in published.md 6.1 to 6.5
SUMMARIES: list[tuple[str, Prior, Prior, str, dict[str, str]]] = [
    (
        BCG,
        bm.Flat(),
        bm.HalfNormal(0.5),
        "mu",
        {"median": "-0.709151", "mean": "-0.711860", "sd": "0.187327", "lower": "-1.091197", "upper": "-0.347000"},
    ),
    (
        BCG,
        bm.Flat(),
        bm.HalfNormal(0.5),
        "tau",
        {"median": "0.553754", "mean": "0.571910", "lower": "0.345504", "upper": "0.901895"},
    ),
    (BCG, bm.Flat(), bm.HalfNormal(0.5), "theta_new", {"lower": "-1.958110", "upper": "0.517247"}),
    (BCG, bm.Flat(), GENERAL, "mu", {"median": "-0.70682", "lower": "-1.08217", "upper": "-0.35343"}),
    (BCG, bm.Flat(), GENERAL, "tau", {"median": "0.53384", "lower": ".33140", "upper": ".90280"}),
    (BCG, bm.Flat(), UNIFORM, "mu", {"median": "-0.71402", "lower": "-1.14113", "upper": "-0.30923"}),
    (BCG, bm.Flat(), UNIFORM, "tau", {"median": "0.61369", "lower": ".36658", "upper": "1.10745"}),
    (
        CRINS,
        UNIT,
        bm.HalfNormal(0.5),
        "mu",
        {"median": "-1.573495", "mean": "-1.576425", "sd": "0.329368", "lower": "-2.237895", "upper": "-0.933506"},
    ),
    (
        CRINS,
        UNIT,
        bm.HalfNormal(0.5),
        "tau",
        {"median": "0.3445023", "mean": "0.3810562", "sd": "0.2593672", "lower": "0.017735", "upper": "0.972960"},
    ),
    (CRINS, UNIT, bm.HalfNormal(0.5), "theta_new", {"lower": "-2.773027", "upper": "-0.417299"}),
    (CRINS, bm.Flat(), GENERAL, "mu", {"median": "-1.58008", "lower": "-2.22641", "upper": "-0.96166"}),
    (CRINS, bm.Flat(), GENERAL, "tau", {"median": "0.28098"}),
    (CRINS, UNIT, GENERAL, "mu", {"median": "-1.57070", "lower": "-2.20990", "upper": "-0.95256"}),
    (CRINS, UNIT, GENERAL, "tau", {"median": "0.28037", "lower": ".05233", "upper": ".98019"}),
    (CRINS, bm.Flat(), UNIFORM, "mu", {"median": "-1.60358", "lower": "-2.64125", "upper": "-0.68260"}),
    (CRINS, bm.Flat(), UNIFORM, "tau", {"median": "0.62441"}),
    (CRINS, UNIT, UNIFORM, "mu", {"median": "-1.58651", "lower": "-2.56966", "upper": "-0.65777"}),
    (CRINS, UNIT, UNIFORM, "tau", {"median": "0.62006"}),
    (SCHOOLS, bm.Normal(0, 50), bm.HalfCauchy(25), "tau", {"median": "4.758539", "mean": "5.884511"}),
    (
        SCHOOLS,
        bm.Normal(0, 50),
        bm.HalfCauchy(25),
        "mu",
        {"median": "7.963499", "mean": "7.986042", "sd": "4.995598", "lower": "-1.764473", "upper": "17.879717"},
    ),
    (SCHOOLS, bm.Flat(), UNIFORM, "tau", {"median": "5.227732"}),
    (
        NORMAND,
        bm.Flat(),
        bm.HalfNormal(0.5),
        "mu",
        {"median": "-.531502", "mean": "-.532968", "sd": ".294570", "lower": "-1.122651", "upper": ".048956"},
    ),
    (
        NORMAND,
        bm.Flat(),
        bm.HalfNormal(0.5),
        "tau",
        {"median": ".803942", "lower": ".530364", "upper": "1.242560"},
    ),
    (NORMAND, bm.Flat(), bm.HalfNormal(0.5), "theta_new", {"lower": "-2.322479", "upper": "1.248234"}),
    (NORMAND, bm.Flat(), bm.Rhodes2015(), "mu", {"median": "-.53317", "mean": "-.53512"}),
    (NORMAND, bm.Flat(), bm.Rhodes2015(), "mu", {"lower": "-1.19365", "upper": ".11311"}),
    (NORMAND, bm.Flat(), UNIFORM, "mu", {"median": "-.53715", "lower": "-1.32199", "upper": ".23344"}),
    (NORMAND, bm.Flat(), UNIFORM, "tau", {"median": "1.00233", "lower": ".59750", "upper": "1.99274"}),
    (
        RAUDENBUSH,
        bm.Flat(),
        bm.HalfNormal(0.5),
        "mu",
        {"median": ".081608", "mean": ".085571", "sd": ".058986", "lower": "-.020470", "upper": ".214440"},
    ),
    (
        RAUDENBUSH,
        bm.Flat(),
        bm.HalfNormal(0.5),
        "tau",
        {"median": ".139073", "lower": ".009865", "upper": ".330691"},
    ),
    (RAUDENBUSH, bm.Flat(), bm.HalfNormal(0.5), "theta_new", {"lower": "-.273193", "upper": ".480368"}),
]
PAIN = {
    area: PRIORS[f"rhodes_{area}_nonpharm_pain logt5 tau2({text})"]
    for area, text in (("other", "-3.02,2.27"), ("cancer", "-0.46,2.40"))
}
SUMMARIES += [
    (NORMAND, bm.Flat(), PAIN["other"], "mu", {"median": "-.53295", "lower": "-1.18718", "upper": ".10717"}),
    (NORMAND, bm.Flat(), PAIN["cancer"], "mu", {"median": "-.53485", "lower": "-1.23207", "upper": ".14877"}),
]
for _tau, _mu_median, _tau_median in (
    (bm.HalfNormal(0.25), ".07949", ".12707"),
    (bm.HalfNormal(1), ".08222", ".14255"),
    (bm.HalfCauchy(0.5), ".08104", ".13579"),
    (GENERAL, ".08504", ".14982"),
    (UNIFORM, ".08244", ".14377"),
    (bm.Rhodes2015(), ".07611", ".10597"),
    (PAIN["other"], ".07870", ".12098"),
    (PAIN["cancer"], ".08273", ".14486"),
):
    SUMMARIES.append((RAUDENBUSH, bm.Flat(), _tau, "mu", {"median": _mu_median}))
    SUMMARIES.append((RAUDENBUSH, bm.Flat(), _tau, "tau", {"median": _tau_median}))

# data set, mu prior, tau prior, quantity, below, as printed
PROBABILITIES: list[tuple[str, Prior, Prior, str, float, str]] = [
    (BCG, bm.Flat(), bm.HalfNormal(0.5), "mu", 0.0, "0.9996204"),
    (BCG, bm.Flat(), bm.HalfNormal(0.5), "theta_new", 0.0, "0.886091"),
    (BCG, bm.Flat(), bm.HalfNormal(0.5), "mu", math.log(0.8), "0.994136"),
    (BCG, bm.Flat(), bm.HalfNormal(0.5), "theta_new", math.log(0.8), "0.800262"),
    (BCG, bm.Flat(), bm.HalfNormal(0.5), "mu", math.log(0.9), "0.998609"),
    (BCG, bm.Flat(), bm.HalfNormal(0.5), "theta_new", math.log(0.9), "0.850140"),
    (CRINS, UNIT, bm.HalfNormal(0.5), "mu", 0.0, "0.9999399"),
    (SCHOOLS, bm.Normal(0, 50), bm.HalfCauchy(25), "theta_new", 0.0, "0.134946"),
    (SCHOOLS, bm.Normal(0, 50), bm.HalfCauchy(25), "mu", 0.0, f"{1 - 0.9487691:.7f}"),
    (NORMAND, bm.Flat(), bm.HalfNormal(0.5), "mu", 0.0, ".9650670"),
    (NORMAND, bm.Flat(), bm.HalfNormal(0.5), "theta_new", 0.0, ".736067"),
    (NORMAND, bm.Flat(), bm.HalfNormal(0.5), "mu", -0.2, ".879020"),
    (NORMAND, bm.Flat(), bm.HalfNormal(0.5), "theta_new", -0.2, ".653855"),
    (NORMAND, bm.Flat(), bm.HalfNormal(0.5), "mu", -0.5, ".545191"),
    (NORMAND, bm.Flat(), bm.HalfNormal(0.5), "theta_new", -0.5, ".514979"),
    (NORMAND, bm.Flat(), bm.Rhodes2015(), "mu", 0.0, ".952480"),
    (NORMAND, bm.Flat(), PAIN["other"], "mu", 0.0, ".953678"),
    (NORMAND, bm.Flat(), PAIN["cancer"], "mu", 0.0, ".944893"),
    (RAUDENBUSH, bm.Flat(), bm.HalfNormal(0.5), "mu", 0.0, ".0565059"),
    (RAUDENBUSH, bm.Flat(), bm.HalfNormal(0.5), "theta_new", 0.0, ".259862"),
    (RAUDENBUSH, bm.Flat(), bm.HalfNormal(0.5), "mu", 0.2, f"{1 - 0.036825:.6f}"),
    (RAUDENBUSH, bm.Flat(), bm.HalfNormal(0.5), "theta_new", 0.2, f"{1 - 0.201758:.6f}"),
]


@cache
def published_fit(name: str, mu: Prior, tau: Prior) -> bm.Fit:
    return bm.fit(effects_of(name), bm.Model(mu, tau))


def test_no_published_row_has_disappeared() -> None:
    assert len(SUMMARIES) == 49
    assert len(PROBABILITIES) == 22


@pytest.mark.parametrize(("name", "mu", "tau", "quantity", "printed"), SUMMARIES)
def test_published_summary(name: str, mu: Prior, tau: Prior, quantity: str, printed: dict[str, str]) -> None:
    check_row(published_fit(name, mu, tau), quantity, printed)


@pytest.mark.parametrize(("name", "mu", "tau", "quantity", "below", "printed"), PROBABILITIES)
def test_published_probability(name: str, mu: Prior, tau: Prior, quantity: str, below: float, printed: str) -> None:
    check(bm.probability(published_fit(name, mu, tau), quantity, below=below), printed)


# ------------------------------------------------------------------------------------ R bayesmeta's vignette and JSS


def test_crins_vignette() -> None:
    """JSS 93(6), section 3: shortest intervals, tail probabilities and quantiles of tau, shrinkage of two trials."""
    fit = published_fit(CRINS, UNIT, bm.HalfNormal(0.5))
    tau = marginal(fit, "tau")
    lower, upper = tau.interval(0.95, "shortest")
    assert lower == 0.0
    check(upper, "0.8607193")
    check(float(tau.sf(1.0)), "0.02097488")
    check(float(tau.quantile(0.99)), "1.109186")
    low, high = tau.interval(0.99)
    check(low, "0.003547657")
    check(high, "1.205400562")
    assert bm.probability(fit, "mu", above=0) == pytest.approx(6.187343e-05, abs=R_SMALL)
    vignette = {
        "mu": (-2.2311251, -0.9263075, 0.3295301),
        "theta_new": (-2.7661319, -0.4072970, 0.5671855),
        "theta[1 Heffron (2003)]": (-2.6561049, -0.9920023, 0.4230),
        "theta[2 Gibelli (2004)]": (-2.0455088, -0.3089461, 0.4433),
    }
    for name, (left, right, sd) in vignette.items():
        low, high = marginal(fit, name).interval(0.95, "shortest")
        assert (low, high) == pytest.approx((left, right), abs=R_QUANTILE * sd)
    for name, median in (("theta[1 Heffron (2003)]", -1.7411356), ("theta[2 Gibelli (2004)]", -1.2821722)):
        assert float(marginal(fit, name).quantile(0.5)) == pytest.approx(median, abs=R_QUANTILE * 0.42)
    summary = bm.summarize(fit)
    assert summary.loc["theta_new", "median"] == pytest.approx(-1.5701653, abs=R_QUANTILE * 0.567)
    assert summary.loc["theta_new", "sd"] == pytest.approx(0.5671855, abs=R_QUANTILE * 0.567)


def test_crins_two_randomised_trials() -> None:
    """JSS section 3.7: the two randomised trials alone."""
    both = effects_of(CRINS).subset([0, 4])
    fit = bm.fit(both, bm.Model(UNIT, bm.HalfNormal(0.5)))
    check_row(fit, "mu", {"median": "-1.78", "lower": "-2.86", "upper": "-0.69"}, "shortest")
    assert bm.probability(fit, "mu", below=0) == pytest.approx(0.9974968, abs=R_SMALL)


def test_crins_two_drugs() -> None:
    """published.md 6.2 (bmr): effects by interleukin-2 antagonist, shortest intervals."""
    drug = reference(CRINS)["metareg"]["IL2RA"]["values"]
    effects = effects_of(CRINS, moderators={"drug": drug})
    fit = bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(0.5), {"drug": bm.Flat()}))
    expected = {"basiliximab": (-1.283287, -2.040794, -0.525235), "daclizumab": (-2.307241, -3.458997, -1.155418)}
    for level, numbers in expected.items():
        row = bm.predict(fit, {"drug": level}, interval="shortest").loc["mu"]
        ours = row[["median", "lower", "upper"]].to_numpy(float)
        np.testing.assert_allclose(ours, numbers, rtol=0, atol=R_QUANTILE * row["sd"])
        assert abs(row["median"] + 1.38) > 0.09
    difference = bm.summarize(fit, interval="shortest").loc["beta[drug: daclizumab - basiliximab]"]
    np.testing.assert_allclose(
        difference[["lower", "upper"]].to_numpy(float), [-2.402393, 0.354489], rtol=0, atol=R_QUANTILE * 0.7
    )
    check_row(fit, "tau", {"median": "0.297546"})


def test_eight_schools_vignette() -> None:
    """R bayesmeta's vignette: half-Cauchy(25), mu normal(0, 50)."""
    fit = published_fit(SCHOOLS, bm.Normal(0, 50), bm.HalfCauchy(25))
    lower, upper = marginal(fit, "tau").interval(0.95, "shortest")
    assert lower == 0.0
    check(upper, "15.165894")
    sd = 4.995762
    low, high = marginal(fit, "mu").interval(0.95, "shortest")
    assert (low, high) == pytest.approx((-1.823353, 17.824562), abs=R_QUANTILE * sd)
    assert bm.probability(fit, "mu", above=0) == pytest.approx(0.9487521, abs=R_PROBABILITY)
    assert bm.summarize(fit).loc["theta_new", "sd"] == pytest.approx(9.126767, abs=R_QUANTILE * 9.13)
    # the study means that the notes list under the uniform prior are those of this one
    for label, mean in (("1 A", 11.095255), ("7 G", 10.336032), ("8 H", 8.474644)):
        assert marginal(fit, f"theta[{label}]").mean == pytest.approx(mean, abs=R_QUANTILE * 8.5)
    flat = bm.summarize(published_fit(SCHOOLS, bm.Flat(), bm.Flat()))
    assert flat.loc["mu", "median"] == pytest.approx(8.055861, abs=R_QUANTILE * 5.2)


def test_eight_schools_posteriordb() -> None:
    """posteriordb `eight_schools`: reference draws (four MCSE), the exact moments of published.md 6.3."""
    labels = list("ABCDEFGH")
    effects = Effects(labels, [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18], measure="MD")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 5), bm.HalfCauchy(5)))
    table = bm.summarize(fit)
    draws = [6.15050, 4.93958, 3.90591, 4.79602, 3.61444, 4.05115, 6.31717, 4.88400]
    by_r = [6.20947, 4.93935, 3.92813, 4.75687, 3.61903, 4.04420, 6.29192, 4.85409]
    for label, mean, r in zip(labels, draws, by_r, strict=True):
        ours = marginal(fit, f"theta[{label}]")
        assert ours.mean == pytest.approx(mean, abs=POSTERIORDB)
        assert ours.mean == pytest.approx(r, abs=R_QUANTILE * ours.sd)
    assert table.loc["mu", "mean"] == pytest.approx(4.41052, abs=POSTERIORDB)
    assert table.loc["tau", "mean"] == pytest.approx(3.60206, abs=POSTERIORDB)
    check_row(fit, "mu", {"mean": "4.396821", "sd": "3.317704", "median": "4.415221"})
    check_row(fit, "tau", {"mean": "3.597705", "median": "2.748731", "lower": "0.123105", "upper": "11.931958"})
    check_row(fit, "theta_new", {"lower": "-7.695191", "upper": "15.780831"})


# ------------------------------------------------------------------------------------------------------ NICE TSD 3


def test_bcg_by_latitude() -> None:
    """NICE TSD 3 by multinma: log odds ratios with latitude, Pr(effect in a new trial > 0) at three latitudes.

    Their priors: normal(0, 100) for location and slope, tau uniform(0, 5); a normal likelihood for the log odds ratio
    stands for their binomial one.
    """
    raw = reference(BCG)["raw"]
    events_t, n_t, events_c, n_c = (
        np.array([row[key] for row in raw], float) for key in ("events_t", "n_t", "events_c", "n_c")
    )
    y = special.logit(events_t / n_t) - special.logit(events_c / n_c)
    se = np.sqrt(1 / events_t + 1 / (n_t - events_t) + 1 / events_c + 1 / (n_c - events_c))
    latitude = np.array(reference(BCG)["metareg"]["ablat"]["values"], float)
    effects = Effects([f"{i}" for i in range(13)], y, se, measure="OR", moderators={"latitude": latitude})
    wide = bm.Normal(0, 100)
    table = bm.summarize(bm.fit(effects, bm.Model(wide, bm.Uniform(0, 5))))
    assert table.loc["mu", ["mean", "sd", "lower", "upper"]].tolist() == pytest.approx(
        [-0.762, 0.22, -1.21, -0.34], abs=TSD
    )
    assert table.loc["theta_new", ["lower", "upper"]].tolist() == pytest.approx([-2.27, 0.72], abs=TSD)
    assert table.loc["tau", ["median", "sd", "lower", "upper"]].tolist() == pytest.approx(
        [0.649, 0.202, 0.39, 1.17], abs=TSD
    )
    fit = bm.fit(effects, bm.Model(wide, bm.Uniform(0, 5), {"latitude": wide}))
    table = bm.summarize(fit)
    assert table.loc["mu", ["mean", "sd", "lower", "upper"]].tolist() == pytest.approx(
        [-0.763, 0.126, -1.04, -0.52], abs=TSD
    )
    assert table.loc["beta[latitude]", ["mean", "sd"]].tolist() == pytest.approx([-0.032, 0.009], abs=0.001)
    assert table.loc["tau", "median"] == pytest.approx(0.272, abs=TSD)
    for at, printed in ((0.0, "0.8"), (13.0, "0.35"), (50.0, "0.006")):
        check(bm.probability(fit, "theta_new", above=0, at={"latitude": at}), printed)


# --------------------------------------------------------------------------------------------------- Bayes factors

POWER_POSE = Effects(
    [f"study {i}" for i in range(1, 7)],
    [0.2507640179, 0.2275179728, 0.3186068502, 0.2832081857, 0.1463948549, 0.1509773271],
    [0.2071399180, 0.1931046163, 0.1423227881, 0.1421355599, 0.1416106586, 0.1221165930],
    measure="SMD",
)
# metaBMA's "0.707" is the square root of one half: with .707 itself its printed 89.570 would be 89.581
HALF_CAUCHY = bm.Truncated(bm.Cauchy(0, 1 / math.sqrt(2)), 0, math.inf)
INFORMED = bm.Truncated(bm.StudentT(0.34999, 0.1021, 3), 0, math.inf)


def null_evidence(effects: Effects, tau: Prior | None) -> float:
    """Density of the data when mu is zero, by QUADPACK: the null models are no models of the library."""

    data = list(zip(effects.y.tolist(), effects.se.tolist(), strict=True))

    def likelihood(t: float) -> float:
        variances = [(y, s * s + t * t) for y, s in data]
        return math.exp(sum(-0.5 * math.log(2 * math.pi * v) - 0.5 * y * y / v for y, v in variances))

    if tau is None:
        return likelihood(0.0)
    pieces = (0.0, 0.05, 0.2, 0.6, 2.0, math.inf)
    return sum(
        integrate.quad(lambda t: likelihood(t) * math.exp(float(tau.logpdf(t))), a, b, epsabs=0, epsrel=1e-10)[0]
        for a, b in pairwise(pieces)
    )


class FourModels:
    """Fixed and random effect, with and without an effect, each with prior probability 1/4."""

    def __init__(self, effects: Effects, mu: Prior, tau: Prior) -> None:
        self.fits = bm.fit(effects, bm.Model(mu, None)), bm.fit(effects, bm.Model(mu, tau))
        evidence = [math.exp(fit.log_evidence or math.nan) for fit in self.fits]
        # fixed H0, fixed H1, random H0, random H1
        self.evidence = np.array([null_evidence(effects, None), evidence[0], null_evidence(effects, tau), evidence[1]])
        self.posterior = self.evidence / self.evidence.sum()

    @property
    def weights(self) -> FloatArray:
        """Of the two models with an effect."""
        return self.posterior[[1, 3]] / self.posterior[[1, 3]].sum()

    def averaged_cdf(self, x: FloatArray) -> FloatArray:
        """Distribution function of mu, averaged over the two models with an effect."""
        fixed, random = (marginal(fit, "mu").cdf(x) for fit in self.fits)
        return self.weights[0] * fixed + self.weights[1] * random

    def averaged_mean(self) -> float:
        return float(self.weights @ [marginal(fit, "mu").mean for fit in self.fits])

    def averaged_interval(self) -> tuple[float, float]:
        """Shortest 95 % interval, which metaBMA prints."""
        x = np.linspace(-0.5, 1.5, 4001)
        cdf = self.averaged_cdf(x)
        tail = np.linspace(0, 0.05, 1001)
        low, high = np.interp(tail, cdf, x), np.interp(tail + 0.95, cdf, x)
        best = int(np.argmin(high - low))
        return float(low[best]), float(high[best])


@pytest.mark.parametrize(
    ("mu", "fixed", "random", "inclusion", "estimate", "interval"),
    [
        (HALF_CAUCHY, "89.570", "9.374", "33.136", ".22", (".09", ".34")),
        (INFORMED, "191.751", "20.689", "71.373", ".26", (".14", ".37")),
    ],
    ids=["half-Cauchy", "informed"],
)
def test_power_pose(
    mu: Prior, fixed: str, random: str, inclusion: str, estimate: str, interval: tuple[str, str]
) -> None:
    """metaBMA's own tests, and Gronau et al. 2017, table 2 and figure 5."""
    models = FourModels(POWER_POSE, mu, bm.InverseGamma(1, 0.15))
    f0, f1, r0, r1 = models.evidence
    check(f1 / f0, fixed)
    check(r1 / r0, random)
    check((f1 + r1) / (f0 + r0), inclusion)
    check(models.averaged_mean(), estimate)
    for end, printed in zip(models.averaged_interval(), interval, strict=True):
        check(end, printed, SHORTEST_END)


def test_power_pose_model_probabilities() -> None:
    models = FourModels(POWER_POSE, HALF_CAUCHY, bm.InverseGamma(1, 0.15))
    for ours, printed in zip(models.posterior, (".00868", ".77745", ".02061", ".19325"), strict=True):
        check(ours, printed)
    f0, f1, r0, r1 = models.evidence
    check(f1 / f0, "89.57038")
    check(r1 / r0, "9.374478")
    check((f1 + r1) / (f0 + r0), "33.13586")
    # the library's own ratio of evidences is that of the table
    common, random = models.fits
    assert bm.bayes_factor(common, random) == pytest.approx(models.posterior[1] / models.posterior[3], rel=1e-12)


def test_power_pose_flat() -> None:
    fit = bm.fit(POWER_POSE, bm.Model(bm.Flat(), bm.HalfNormal(0.5)))
    row = bm.summarize(fit).loc["mu"]
    assert row[["median", "lower", "upper"]].tolist() == pytest.approx(
        [0.22386, 0.07325, 0.37708], abs=R_QUANTILE * row["sd"]
    )
    check_row(fit, "tau", {"median": ".06445"})


def test_poulsen() -> None:
    """RoBMA's MedicineBMA vignette: published inclusion Bayes factors 218.53 and 3.52, estimate 1.082 [.686, 1.412]."""
    effects = exact_effects("poulsen2006_smd")
    models = FourModels(effects, bm.StudentT(0, 0.51, 5), bm.InverseGamma(1.79, 0.28))
    f0, f1, r0, r1 = models.evidence
    check((f1 + r1) / (f0 + r0), "218.53")
    check((r0 + r1) / (f0 + f1), "3.52")
    # the published estimate averages samples through a smoothed density: neither its central nor its shortest interval
    assert models.averaged_mean() == pytest.approx(1.082, abs=SMOOTHED_MEAN)
    for p, end in ((0.025, 0.686), (0.975, 1.412)):
        assert models.averaged_cdf(np.array(end)) == pytest.approx(p, abs=SMOOTHED_TAIL)
    flat = bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(0.5)))
    # R bayesmeta's approximation: 1.17728 for a median that exact.json gives as 1.17732
    row = bm.summarize(flat).loc["mu"]
    assert row[["median", "lower", "upper"]].tolist() == pytest.approx(
        [1.17728, 0.73672, 1.65520], abs=R_QUANTILE * row["sd"]
    )
    check_row(flat, "tau", {"median": ".35532"})


# ----------------------------------------------------------------------------------------------- share of true effects


@pytest.mark.parametrize(
    ("name", "benefit", "expected"),
    [
        # FIELD's 4 million draws: four Monte Carlo standard errors are below 1e-3 for every entry
        (
            BCG,
            -math.log(0.8),
            {
                "share_mean": 0.8003,
                "share_median": 0.8134,
                "share_lower": 0.5757,
                "share_upper": 0.9528,
                "p_majority": 0.994,
                "p_share_80": 0.552,
            },
        ),
        (NORMAND, 0.5, {"share_mean": 0.5149, "share_lower": 0.2584, "share_upper": 0.7665, "p_majority": 0.545}),
    ],
)
def test_share_of_true_effects(name: str, benefit: float, expected: dict[str, float]) -> None:
    fit = bm.fit(effects_of(name, better="lower"), bm.Model(bm.Flat(), bm.HalfNormal(0.5)))
    share = bm.share_of_true_effects(fit, benefit)
    for key, value in expected.items():
        assert share[key] == pytest.approx(value, abs=1e-3)
