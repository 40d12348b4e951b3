"""Priors against scipy.stats, and the shipped tables against the transcriptions they came from.

Authorities: scipy.stats for every family; Turner et al. 2015 (Stat Med 34:984-998) and Rhodes et al. 2015 (J Clin
Epidemiol 68:52-60) by their parameters in R bayesmeta, whose vignette (JSS 93(6), p. 31) prints quantiles; Bartos et
al. 2021 (Stat Med 40:6743-6761) by BayesTools.
"""

from __future__ import annotations

import csv
import itertools
import math
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta import priors
from bayesmeta.measures import MEASURES
from bayesmeta.priors import Prior, from_dict, parse, resolve, to_dict

# scipy evaluates the same closed forms in another order
CLOSED_FORM = 1e-10
# special functions and their inverses (stdtrit, gammainccinv) keep at least this much
INVERSE = 1e-8
# QUADPACK on a density with an integrable singularity or a polynomial tail
MASS = 1e-7
# a slope by finite differences over two decades, where the tail has its limiting form
SLOPE = 5e-3

FAMILIES: list[tuple[Prior, Any]] = [
    (bm.Normal(0.3, 1.7), stats.norm(0.3, 1.7)),
    (bm.StudentT(-0.2, 0.43, 5), stats.t(5, -0.2, 0.43)),
    (bm.StudentT(1.0, 2.0, 0.7), stats.t(0.7, 1.0, 2.0)),
    (bm.Cauchy(0.1, 0.707), stats.cauchy(0.1, 0.707)),
    (bm.HalfNormal(0.5), stats.halfnorm(scale=0.5)),
    (bm.HalfCauchy(0.5), stats.halfcauchy(scale=0.5)),
    (bm.LogNormal(-1.28, 0.87), stats.lognorm(0.87, scale=math.exp(-1.28))),
    (bm.InverseGamma(1.71, 0.40), stats.invgamma(1.71, scale=0.40)),
    (bm.InverseGamma(1, 0.15), stats.invgamma(1, scale=0.15)),
    (bm.Exponential(2.5), stats.expon(scale=0.4)),
    (bm.Uniform(-0.5, 2.0), stats.uniform(-0.5, 2.5)),
    (bm.Truncated(bm.Normal(0.2, 1), -0.5, 2), stats.truncnorm(-0.7, 1.8, 0.2, 1)),
    (bm.Truncated(bm.Cauchy(0, 0.5), 0, math.inf), stats.halfcauchy(scale=0.5)),
    (bm.Truncated(bm.HalfNormal(1), 0.5, 2), stats.truncnorm(0.5, 2, 0, 1)),
]
# families that scipy lacks: the absolute value and the exponential of a Student-t
HALF_T = bm.HalfStudentT(0.5, 4)
LOG_T = bm.LogStudentT(-1.72, 1.295, 5)
EVERY_FAMILY = [prior for prior, _ in FAMILIES] + [HALF_T, LOG_T]
TABLED: list[Prior] = [
    bm.Rhodes2015(),
    bm.Rhodes2015("cancer", "mental health outcome", "non-pharmacological (any)"),
    bm.Turner2015("pain", "non-pharmacological vs. placebo / control"),
    bm.Cochrane("smd", "Musculoskeletal"),
    bm.Cochrane("rd", "Cochrane"),
    bm.Cochrane("logor", "Cochrane", "mu"),
]
P = np.array([1e-6, 0.01, 0.025, 0.3, 0.5, 0.77, 0.975, 0.999])


@pytest.mark.parametrize(("prior", "theirs"), FAMILIES, ids=lambda item: repr(item) if isinstance(item, Prior) else "")
def test_family_against_scipy(prior: Prior, theirs: Any) -> None:
    x = np.concatenate([theirs.ppf(P), [-3.0, -0.1, 0.05, 0.4, 4.0]])
    np.testing.assert_allclose(np.exp(prior.logpdf(x)), theirs.pdf(x), rtol=CLOSED_FORM, atol=0)
    np.testing.assert_allclose(prior.cdf(x), theirs.cdf(x), rtol=INVERSE, atol=1e-15)
    np.testing.assert_allclose(prior.ppf(P), theirs.ppf(P), rtol=INVERSE)


def test_half_student_t_against_scipy() -> None:
    x = np.array([0.0, 0.1, 0.7, 3.0])
    base = stats.t(4, 0, 0.5)
    np.testing.assert_allclose(HALF_T.logpdf(x), base.logpdf(x) + math.log(2), rtol=CLOSED_FORM)
    np.testing.assert_allclose(HALF_T.cdf(x), 2 * base.cdf(x) - 1, rtol=INVERSE, atol=1e-15)
    np.testing.assert_allclose(HALF_T.ppf(P[1:]), base.ppf((1 + P[1:]) / 2), rtol=INVERSE)
    np.testing.assert_allclose(HALF_T.logpdf([-0.1, -2.0]), [-np.inf, -np.inf])
    # scipy's own doubling cancels near zero; the density there is flat
    tiny = 1e-9
    assert float(HALF_T.cdf(tiny)) == pytest.approx(tiny * 2 * base.pdf(0), rel=INVERSE)
    assert HALF_T.cdf([-1.0, math.inf]).tolist() == [0.0, 1.0]
    assert HALF_T.ppf([0.0, 1.0]).tolist() == [0.0, math.inf]
    np.testing.assert_allclose(bm.HalfStudentT(0.5, 1).logpdf(x), bm.HalfCauchy(0.5).logpdf(x), rtol=CLOSED_FORM)


def test_log_student_t_against_scipy() -> None:
    x = np.array([1e-8, 0.01, 0.2, 5.0])
    base = stats.t(5, -1.72, 1.295)
    np.testing.assert_allclose(LOG_T.logpdf(x), base.logpdf(np.log(x)) - np.log(x), rtol=CLOSED_FORM)
    np.testing.assert_allclose(LOG_T.cdf(x), base.cdf(np.log(x)), rtol=INVERSE)
    np.testing.assert_allclose(LOG_T.ppf(P), np.exp(base.ppf(P)), rtol=INVERSE)
    assert LOG_T.logpdf(0.0) == math.inf
    assert LOG_T.logpdf(-1.0) == -math.inf
    assert LOG_T.cdf([-1.0, 0.0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("prior", EVERY_FAMILY + TABLED, ids=repr)
def test_quantiles_invert_and_mass_is_one(prior: Prior) -> None:
    np.testing.assert_allclose(prior.cdf(prior.ppf(P)), P, rtol=INVERSE, atol=1e-12)
    low, high = prior.support
    # in the logarithm where the support is positive, and between the prior's own quantiles, so that no spike or tail
    # falls between two points of the rule
    inner = prior.ppf(np.array([1e-8, 1e-6, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999, 1 - 1e-6, 1 - 1e-8]))

    def mass(a: float, b: float) -> float:
        if low < 0:
            return integrate.quad(lambda x: math.exp(float(prior.logpdf(x))), a, b, epsabs=1e-12, epsrel=1e-9)[0]
        ends = math.log(a), math.log(b)
        return integrate.quad(lambda u: math.exp(float(prior.logpdf(math.exp(u))) + u), *ends, epsabs=1e-12)[0]

    assert sum(mass(a, b) for a, b in itertools.pairwise(inner)) == pytest.approx(1 - 2e-8, abs=MASS)
    for outside in (low - 1.0, high + 1.0):
        if math.isfinite(outside):
            assert prior.logpdf(outside) == -math.inf
            assert float(prior.cdf(outside)) in (0.0, 1.0)


@pytest.mark.parametrize("prior", EVERY_FAMILY, ids=repr)
def test_shapes_are_kept(prior: Prior) -> None:
    x = np.full((2, 3), 0.4)
    for function in (prior.logpdf, prior.cdf, prior.ppf):
        assert np.shape(function(x)) == (2, 3)
        assert np.shape(function(0.4)) == ()


@pytest.mark.parametrize(
    "prior",
    [bm.StudentT(0, 1, 5), bm.Cauchy(0, 1), bm.HalfStudentT(0.5, 4), bm.HalfCauchy(0.5), bm.InverseGamma(1.71, 0.4)],
    ids=repr,
)
def test_declared_tail_is_the_slope_of_the_log_density(prior: Prior) -> None:
    x = np.array([1e7, 1e9])
    slope = np.diff(prior.logpdf(x)) / np.diff(np.log(x))
    assert -slope[0] == pytest.approx(prior.tail[0], rel=SLOPE)
    assert prior.tail[1] == 0.0


def test_log_student_t_tail_is_one_over_x_times_a_power_of_the_logarithm() -> None:
    log_x = np.array([300.0, 600.0])
    slope = np.diff(LOG_T.logpdf(np.exp(log_x)) + log_x) / np.diff(np.log(log_x))
    power, log_power = LOG_T.tail
    assert power == 1.0
    assert -slope[0] == pytest.approx(log_power, rel=0.02)  # the location still matters at these x


@pytest.mark.parametrize(
    "prior",
    [
        bm.Normal(0, 1),
        bm.HalfNormal(1),
        bm.Exponential(1),
        bm.LogNormal(0, 1),
        bm.Uniform(0, 1),
        bm.Truncated(bm.HalfCauchy(1), 0, 5),
    ],
    ids=repr,
)
def test_light_tails_fall_faster_than_any_power(prior: Prior) -> None:
    assert math.isinf(prior.tail[0])
    x = np.array([1e20, 1e40])
    slope = np.diff(prior.logpdf(x)) / np.diff(np.log(x)) if prior.support[1] == math.inf else [-math.inf]
    assert slope[0] < -20


# ----------------------------------------------------------------------------------------------- text and tables

_number = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: value + 0.0)
_positive = st.floats(1e-6, 1e6, allow_nan=False)
_simple = st.one_of(
    st.builds(bm.Normal, _number, _positive),
    st.builds(bm.StudentT, _number, _positive, _positive),
    st.builds(bm.Cauchy, _number, _positive),
    st.builds(bm.HalfNormal, _positive),
    st.builds(bm.HalfStudentT, _positive, _positive),
    st.builds(bm.HalfCauchy, _positive),
    st.builds(bm.LogNormal, _number, _positive),
    st.builds(bm.LogStudentT, _number, _positive, _positive),
    st.builds(bm.InverseGamma, _positive, _positive),
    st.builds(bm.Exponential, _positive),
    st.builds(lambda low, width: bm.Uniform(low, low + width), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)),
    st.builds(lambda mean, sd: bm.Truncated(bm.Normal(mean, sd), mean, math.inf), _number, _positive),
    st.builds(lambda mean, sd: bm.Truncated(bm.Normal(mean, sd), -math.inf, mean), _number, _positive),
    st.just(bm.Flat()),
    st.just(bm.Jeffreys()),
    st.sampled_from(TABLED),
)


@settings(max_examples=150, deadline=None)
@given(_simple)
def test_text_and_table_forms_round_trip(prior: Prior) -> None:
    assert parse(repr(prior)) == prior
    assert from_dict(to_dict(prior)) == prior
    assert hash(parse(repr(prior))) == hash(prior)


def test_text_form_takes_names_and_any_case() -> None:
    assert parse("Normal(mean=0, sd=1)") == bm.Normal(0, 1)
    assert parse(" halfnormal( scale = 0.5 ) ") == bm.HalfNormal(0.5)
    assert parse("truncated(normal(0, 1), -inf, 0)") == bm.Truncated(bm.Normal(0, 1), -math.inf, 0)
    assert from_dict({"dist": "HalfNormal", "scale": 0.5}) == bm.HalfNormal(0.5)
    nested = {"dist": "truncated", "prior": {"dist": "cauchy", "loc": 0, "scale": 0.5}, "low": 0, "high": math.inf}
    assert from_dict(nested) == bm.Truncated(bm.Cauchy(0, 0.5), 0, math.inf)
    assert repr(bm.HalfNormal(0.5)) == "halfnormal(0.5)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("halfnorml(0.5)", "Did you mean halfnormal"),
        ("gamma(1, 2)", "Allowed: cauchy, cochrane, exponential"),
        ("normal(0)", r"missing field 'sd'. Its fields are \(mean, sd\)"),
        ("normal(0, 1, 2)", "3 values are too many"),
        ("normal(0, sigma=1)", "unknown field 'sigma'"),
        ("normal(0, -1)", "sd = -1 is not > 0"),
        ("normal(0, inf)", "is not finite"),
        ("halfnormal('a')", "is not a number"),
        ("uniform(2, 1)", "is not below high"),
        ("truncated(flat(), 0, 1)", "cannot be truncated"),
        ("truncated(normal(0, 1), 50, 60)", "no mass"),
        ("halfnormal", "Write it like halfnormal"),
        ("0.5", "is not a prior"),
        ("__import__('os').getcwd()", "is not a prior"),
        ("normal(0, 1", "is not a prior"),
        ("cochrane('smd', 'Musculoskeletal', 'theta')", "not one of tau, mu"),
    ],
)
def test_bad_text_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(bm.ModelError, match=message):
        parse(text)


@pytest.mark.parametrize("spec", [{}, {"scale": 0.5}, {"dist": 3}, "halfnormal(0.5)"])
def test_bad_tables_are_refused(spec: Any) -> None:
    with pytest.raises(bm.ModelError, match=r"is not a prior|give a mapping"):
        from_dict(spec)


@pytest.mark.parametrize("prior", [bm.Flat(), bm.Jeffreys()], ids=repr)
def test_improper_priors_have_no_distribution_function(prior: Prior) -> None:
    assert not prior.proper
    for question in (prior.cdf, prior.ppf):
        with pytest.raises(bm.ModelError, match="improper"):
            question(0.5)


def test_flat_is_one_and_jeffreys_needs_data() -> None:
    assert bm.Flat().logpdf([-3.0, 0.0, 1e9]).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(bm.ModelError, match="within a fit"):
        bm.Jeffreys().logpdf(0.3)


@pytest.mark.parametrize("value", [True, "0.5", None, math.nan, math.inf, 0.0, -0.5])
def test_scales_are_positive_numbers(value: Any) -> None:
    with pytest.raises(bm.ModelError, match="scale"):
        bm.HalfNormal(value)


# ---------------------------------------------------------------------------------------------- published tables


def rows(file: str) -> list[dict[str, str]]:
    text = resources.files("bayesmeta.priors").joinpath("tables", file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_no_row_of_a_table_has_disappeared() -> None:
    table = rows("priors_turner_rhodes.csv")
    assert sum(row["source"] == "Turner2015" for row in table) == 81  # 16 outcomes x 5 comparisons, and the general one
    assert sum(row["source"] == "Rhodes2015" for row in table) == 73  # 3 areas x 8 outcomes x 3, and the general one
    assert len(rows("priors_cochrane_bayestools.csv")) == 419


def test_every_turner_and_rhodes_row_is_halved() -> None:
    """The tables are of tau squared: log(tau) = log(tau squared) / 2 halves location and scale."""
    for row in rows("priors_turner_rhodes.csv"):
        location, scale = float(row["location"]), float(row["scale"])
        if row["source"] == "Turner2015":
            prior: Prior = bm.Turner2015(row["outcome"], row["comparison"])
            squared = stats.norm(location, scale)
        else:
            prior = bm.Rhodes2015(row["area"], row["outcome"], row["comparison"])
            squared = stats.t(5, location, scale)
        np.testing.assert_allclose(2 * np.log(prior.ppf(P[1:])), squared.ppf(P[1:]), rtol=INVERSE, atol=1e-9)


def test_every_cochrane_row_is_read() -> None:
    read = 0
    for row in rows("priors_cochrane_bayestools.csv"):
        if row["subfield"] in ("van Erp", "Oosterwijk"):
            continue
        parameter = "tau" if row["parameter"] == "heterogeneity" else "mu"
        prior = bm.Cochrane(row["effect_measure"], row["subfield"], parameter)
        number = {k.strip(): float(v) for k, v in (item.split("=") for item in row["params"].split(";"))}
        if row["distribution"] == "invgamma":
            expected = stats.invgamma.ppf(0.8, number["shape"], scale=number["scale"])
        elif row["distribution"] == "t":
            expected = stats.t.ppf(0.8, number["df"], number["location"], number["scale"])
        else:
            expected = stats.halfnorm.ppf(0.8, scale=number["sd"])
        assert float(prior.ppf(0.8)) == pytest.approx(expected, rel=INVERSE)
        assert (prior.support[0] == 0) == (parameter == "tau")
        read += 1
    assert read == 417


@pytest.mark.parametrize("name", ["van Erp", "Oosterwijk"])
def test_psychology_priors_are_not_offered_as_cochrane_ones(name: str) -> None:
    """BayesTools lists them beside the Cochrane priors: one is of tau for SMDs, one of an effect."""
    with pytest.raises(bm.ModelError, match="no subfield"):
        bm.Cochrane("loghr", name)


PH, NON = "pharmacological vs. placebo / control", "non-pharmacological vs. placebo / control"


@pytest.mark.parametrize(
    ("outcome", "comparison", "printed", "digits"),
    [
        ("surgical / device related success / failure", PH, (0.06233896, 0.34300852, 1.88734045), 8),  # JSS p. 31
        ("pain", NON, (0.067, 0.359, 1.917), 3),
        ("quality of life / functioning (dichotomized)", NON, (0.046, 0.250, 1.364), 3),
        ("adverse events", NON, (0.065, 0.350, 1.870), 3),
    ],
)
def test_turner_quantiles(outcome: str, comparison: str, printed: tuple[float, ...], digits: int) -> None:
    ours = bm.Turner2015(outcome, comparison).ppf([0.025, 0.5, 0.975])
    np.testing.assert_allclose(ours, printed, rtol=0, atol=0.5001 * 10.0**-digits)


QOL = "general physical health and adverse event and pain and quality of life / functioning"
SIGNS = (
    "signs / symptoms reflecting continuation / end of condition and infection / onset of new acute / chronic disease"
)
ANY = "non-pharmacological (any)"


@pytest.mark.parametrize(
    ("area", "outcome", "comparison", "printed"),
    [
        # 2.5 %, 50 %, 95 % and P(tau > 1), as they are printed in the field notes 4.2
        ("any", "any", "any", ("0.006", "0.179", "2.43", ".12")),
        ("other", QOL, ANY, ("0.012", "0.221", "2.18", ".12")),
        ("cancer", QOL, ANY, ("0.036", "0.795", "8.92", ".43")),
        ("cancer", SIGNS, ANY, ("0.036", "0.861", "10.3", ".45")),
        ("cancer", "biological marker", ANY, ("0.020", "0.701", "11.5", ".40")),
        ("other", "biological marker", ANY, ("0.006", "0.195", "2.84", ".14")),
    ],
)
def test_rhodes_quantiles(area: str, outcome: str, comparison: str, printed: tuple[str, ...]) -> None:
    prior = bm.Rhodes2015(area, outcome, comparison)
    ours = [*prior.ppf([0.025, 0.5, 0.95]), 1 - float(prior.cdf(1.0))]
    for value, text in zip(ours, printed, strict=True):
        assert value == pytest.approx(float(text), abs=0.5001 * 10.0 ** -len(text.partition(".")[2]))


@pytest.mark.parametrize(
    ("measure", "subfield", "median", "upper"),
    [
        ("smd", "Cochrane", "0.288", "1.63"),
        ("smd", "Pain, Palliative and Supportive Care", "0.306", "1.76"),
        ("smd", "Gynaecological, Neuro-oncology and Orphan Cancer", "0.340", "1.98"),
    ],
)
def test_cochrane_quantiles(measure: str, subfield: str, median: str, upper: str) -> None:
    prior = bm.Cochrane(measure, subfield)
    assert float(prior.ppf(0.5)) == pytest.approx(float(median), abs=5.001e-4)
    assert float(prior.ppf(0.95)) == pytest.approx(float(upper), abs=5.001e-3)


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        (bm.Rhodes2015(), bm.LogStudentT(-1.72, 1.295, 5)),
        (bm.Rhodes2015("other", "mental health outcome", ANY), bm.LogStudentT(-1.925, 0.965, 5)),
        (
            bm.Rhodes2015("cancer", "internal and external structure-related outcome", PH),
            bm.LogStudentT(-0.065, 1.305, 5),
        ),
        (bm.Rhodes2015("respiratory", "obstetric outcome", ANY), bm.LogStudentT(-2.945, 1.105, 5)),
        (bm.Turner2015(), bm.LogNormal(-1.28, 0.87)),
        (bm.Cochrane("logor", "Cochrane"), bm.InverseGamma(1.77, 0.55)),
        (bm.Cochrane("logrr", "Cochrane"), bm.InverseGamma(1.51, 0.23)),
        (bm.Cochrane("loghr", "Cochrane"), bm.InverseGamma(2.42, 0.30)),
        (bm.Cochrane("rd", "Cochrane"), bm.HalfNormal(0.099)),
        (bm.Cochrane("smd", "Cochrane", "mu"), bm.StudentT(0, 0.43, 5)),
        (bm.Cochrane("rd", "Cochrane", "mu"), bm.StudentT(0, 0.034, 1)),
        (bm.Truncated(bm.Turner2015(), 0, 1), bm.Truncated(bm.LogNormal(-1.28, 0.87), 0, 1)),
        (bm.HalfNormal(0.5), bm.HalfNormal(0.5)),
    ],
)
def test_resolved_cells(prior: Prior, expected: Prior) -> None:
    """Cells of the printed tables (field notes 4.2 to 4.4), halved by hand where they are of tau squared."""
    assert resolve(prior) == expected
    np.testing.assert_array_equal(prior.logpdf([0.1, 0.7]), expected.logpdf([0.1, 0.7]))


def test_three_doubtful_cells_carry_a_note_and_no_other_does() -> None:
    noted = []
    for row in rows("priors_turner_rhodes.csv"):
        if row["source"] == "Rhodes2015":
            key = row["area"], row["outcome"], row["comparison"]
            if bm.Rhodes2015(*key).note is not None:
                noted.append(key)
    assert sorted(noted) == sorted(
        [
            ("other", "mental health outcome", ANY),
            ("cancer", "internal and external structure-related outcome", PH),
            ("respiratory", "obstetric outcome", ANY),
        ]
    )


def test_names_are_found_in_any_case_and_kept_as_printed() -> None:
    assert bm.Turner2015("PAIN", PH.upper()) == bm.Turner2015("pain", PH)
    assert bm.Cochrane("SMD", "musculoskeletal").subfield == "Musculoskeletal"
    assert bm.Rhodes2015("Cancer", QOL.title(), ANY).area == "cancer"


@pytest.mark.parametrize(
    ("build", "nearest"),
    [
        (lambda: bm.Turner2015("mortality", PH), "all-cause mortality"),
        (lambda: bm.Turner2015("pain", "exercise vs placebo"), "placebo / control"),
        (lambda: bm.Rhodes2015("oncology"), "Nearest"),
        (lambda: bm.Rhodes2015("cancer", "quality of life", ANY), "quality of life / functioning"),
        (lambda: bm.Cochrane("smd", "Breast Cancer"), "Orphan Cancer|Nearest"),
        (lambda: bm.Cochrane("md", "Musculoskeletal"), "cochrane: no measure 'md'. Nearest: .*smd"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(build: Any, nearest: str) -> None:
    with pytest.raises(bm.ModelError, match=nearest):
        build()


def test_every_tabled_prior_names_its_source() -> None:
    for prior in TABLED:
        assert "doi:10." in prior.source  # type: ignore[attr-defined]


# --------------------------------------------------------------------------------------------------- suggestions


#: The table of defaults as the design states it: SDs of normal mu and scales of half-normal tau.
PUBLISHED = {
    **dict.fromkeys(("SMD", "SMDH"), (1, 0.5)),
    **dict.fromkeys(("OR", "RR", "HR", "IRR", "ROM"), (2, 0.5)),
    "ZCOR": (0.5, 0.25),
    "RD": (0.25, 0.1),
    "PLO": (2, 1),
}


@pytest.mark.parametrize("measure", list(MEASURES))
def test_published_priors_are_the_table_with_sources(measure: str) -> None:
    """Half-normal(0.5) has the published quantiles (JSS p. 30): median 0.337, 95 % 0.980."""
    if measure not in PUBLISHED:
        with pytest.raises(bm.ModelError, match="no general recommendation"):
            priors.published_priors(measure)
        return
    found, (sd, scale) = priors.published_priors(measure), PUBLISHED[measure]
    assert (found.mu, found.tau) == (bm.Normal(0, sd), bm.HalfNormal(scale))
    np.testing.assert_allclose(
        found.tau.ppf([0.5, 0.95]), 2 * scale * np.array([0.337, 0.980]), atol=1.1e-3 * scale / 0.5
    )
    assert found.mu_source
    assert found.tau_source
    assert "doi" in found.tau_source or found.tau_source.startswith("convention")


@pytest.mark.parametrize("measure", ["MD", "generic", "MN"])
def test_measures_with_a_unit_need_a_reference_sd(measure: str) -> None:
    found = priors.published_priors(measure, ref_sd=10)
    assert (found.mu, found.tau) == (bm.Normal(0, 10), bm.HalfNormal(5))
    with pytest.raises(bm.ModelError, match="reference SD"):
        priors.published_priors(measure)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(bm.ModelError, match="not a positive number"):
            priors.published_priors(measure, ref_sd=bad)
    with pytest.raises(bm.ModelError, match="not of SMD"):
        priors.published_priors("SMD", ref_sd=10)


def test_the_same_trials_answer_alike_as_md_and_as_smd() -> None:
    """Estimates and standard errors in points are S times those in SDs: the posterior is the same up to the unit.

    An SMD made of raw arms has also J and a term of g in its variance; estimates stated on both scales have neither, so
    that what is left is the change of unit, which is exact.
    """
    S, g, se = 8.0, np.array([-0.4, -0.1, -0.7, 0.1]), np.array([0.2, 0.3, 0.25, 0.4])
    fits = []
    for measure, unit, ref_sd in (("SMD", 1.0, None), ("MD", S, S)):
        advice = priors.published_priors(measure, ref_sd=ref_sd)
        rows = bm.Effects(list("ABCD"), unit * g, unit * se, measure=measure, better="lower")
        fits.append(bm.benefit_table(bm.fit(rows, bm.Model(advice.mu, advice.tau)), 0.2 * unit))
    for column in ("p_any_benefit", "p_important_benefit", "p_important_harm"):
        # both are settled to 1e-8
        np.testing.assert_allclose(fits[0][column], fits[1][column], atol=2e-8)
