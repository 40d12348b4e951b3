"""Incidence rate ratios and measures of one arm: numbers by metafor, refusals, thresholds that are values."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import bayesmeta as bm
from bayesmeta.errors import DataError, ModelError
from bayesmeta.exact import arm_log_marginal
from bayesmeta.measures import MEASURES, effect_rows
from bayesmeta.questions import chance_notes
from bayesmeta.studies import effect_sizes
from references import reference

#: closed forms in double precision; metafor prints 15 digits
CLOSED = 1e-12
#: metafor's optimizer stops when the deviance moves by less than about 1e-8, so its estimates have four to five digits
OPTIMISED = 1e-4
ONE_ARM = ("PLO", "MN", "IRLN")


def metafor() -> dict:
    return reference("single_arm_metafor")


@pytest.mark.parametrize("zero", ["half", "half_all"])
def test_incidence_rate_ratios_are_those_of_escalc(zero: str) -> None:
    data = metafor()["irr"]
    assert 0 in data["x1i"] + data["x2i"]
    columns = dict(zip(("events_t", "time_t", "events_c", "time_c"), ("x1i", "t1i", "x2i", "t2i"), strict=True))
    frame = pd.DataFrame({ours: data[theirs] for ours, theirs in columns.items()})
    rows = effect_rows(frame, "IRR", options={"zero": zero})
    np.testing.assert_allclose(rows.y, data[zero]["yi"], rtol=CLOSED)
    np.testing.assert_allclose(rows.se**2, data[zero]["vi"], rtol=CLOSED)


def test_the_classical_mean_of_rate_ratios_is_that_of_metafor() -> None:
    data = metafor()["irr"]
    rows = bm.Effects(
        [str(i) for i in range(len(data["x1i"]))], data["half"]["yi"], np.sqrt(data["half"]["vi"]), measure="IRR"
    )
    found = bm.classical.pool(rows, method="REML", ci="hksj")
    expected = data["reml"]
    # metafor's REML stops at a relative step of 1e-5 of tau2
    np.testing.assert_allclose(
        [found.estimate, found.lower, found.upper],
        [expected["b"], expected["ci.lb"], expected["ci.ub"]],
        rtol=OPTIMISED,
    )


@pytest.mark.parametrize(
    ("measure", "columns"),
    [
        ("PLO", {"events": "xi", "n": "ni"}),
        ("MN", {"mean": "mi", "sd": "sdi", "n": "ni"}),
        ("IRLN", {"events": "xi", "time": "ti"}),
    ],
)
def test_measures_of_one_arm_are_those_of_escalc(measure: str, columns: dict[str, str]) -> None:
    data = metafor()[measure.lower()]
    expected = data.get("half", data)
    rows = effect_rows(pd.DataFrame({ours: data[theirs] for ours, theirs in columns.items()}), measure)
    np.testing.assert_allclose(rows.y, expected["yi"], rtol=CLOSED)
    np.testing.assert_allclose(rows.se**2, expected["vi"], rtol=CLOSED)


def test_other_ways_to_one_arm() -> None:
    # se sd/sqrt(n), and the t interval of a mean with n - 1 degrees of freedom: 2.063899 for 24
    frame = pd.DataFrame(
        {"mean": [30.0, 30.0], "se": [2.0, np.nan], "ci_low": np.nan, "ci_high": np.nan, "n": [25, 25]}
    )
    frame.loc[1, ["ci_low", "ci_high"]] = 30 - 2.0638985616 * 2, 30 + 2.0638985616 * 2
    np.testing.assert_allclose(effect_rows(frame, "MN").se, 2.0, rtol=1e-9)
    stated = pd.DataFrame({"estimate": [0.2], "ci_low": [0.1], "ci_high": [0.4]})
    rows = effect_rows(stated, "PLO")
    assert rows.y[0] == pytest.approx(math.log(0.2 / 0.8))
    assert rows.se[0] == pytest.approx((math.log(0.4 / 0.6) - math.log(0.1 / 0.9)) / (2 * 1.959963984540054))


@pytest.mark.parametrize(
    ("measure", "frame", "column"),
    [
        ("IRR", {"events_t": [-1], "time_t": [10], "events_c": [2], "time_c": [10]}, "events_t"),
        ("IRR", {"events_t": [1.5], "time_t": [10], "events_c": [2], "time_c": [10]}, "events_t"),
        ("IRR", {"events_t": [1], "time_t": [0], "events_c": [2], "time_c": [10]}, "time_t"),
        ("PLO", {"events": [11], "n": [10]}, "events"),
        ("PLO", {"estimate": [20], "ci_low": [10], "ci_high": [30]}, "estimate"),
        ("IRLN", {"events": [3], "time": [-2]}, "time"),
        ("MN", {"mean": [3], "sd": [0], "n": [5]}, "sd"),
    ],
)
def test_impossible_rows_are_faults_with_their_column(measure: str, frame: dict, column: str) -> None:
    assert column in [fault.column for fault in effect_rows(pd.DataFrame(frame), measure).faults]


def test_a_test_of_one_arm_gives_no_standard_error() -> None:
    with pytest.raises(DataError, match="No columns"):
        effect_rows(pd.DataFrame({"estimate": [0.2], "p": [0.03]}).drop(columns="estimate"), "PLO")
    rows = effect_rows(pd.DataFrame({"estimate": [0.2], "p": [0.03]}), "PLO")
    assert rows.faults
    assert np.isnan(rows.y).all()


# -- the exact binomial likelihood -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pritz1997", "zeros"])
def test_the_marginal_likelihood_has_the_maximum_of_rma_glmm(name: str) -> None:
    data = metafor()["glmm"][name]
    counts = np.column_stack([data["xi"], data["ni"]]).astype(float)

    def deviance(at: np.ndarray) -> float:
        return -float(arm_log_marginal(counts, at[:1], np.exp(at[1:])).sum())

    found = optimize.minimize(
        deviance,
        [data["b"], math.log(math.sqrt(data["tau2"]))],
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-12},
    )
    assert found.x[0] == pytest.approx(data["b"], abs=OPTIMISED)
    assert math.exp(found.x[1]) ** 2 == pytest.approx(data["tau2"], rel=10 * OPTIMISED)


@pytest.mark.parametrize("name", ["pritz1997", "zeros"])
def test_the_log_likelihood_that_metafor_prints_is_that_at_the_modes(name: str) -> None:
    # rma.glmm prints the likelihood of the saturated model less half of lme4's deviance, which is that of the most
    # likely true effects and not integrated over them: 10.94 and 9.92 above the integral that its optimum is one of
    data = metafor()["glmm"][name]
    at, spread = data["b"], math.sqrt(data["tau2"])
    total = 0.0
    for x, n in zip(data["xi"], data["ni"], strict=True):

        def height(theta: float, x: int = x, n: int = n) -> float:
            return float(stats.binom.logpmf(x, n, special.expit(theta)) + stats.norm.logpdf(theta, at, spread))

        mode = optimize.minimize_scalar(
            lambda theta: -height(theta), bounds=(-30, 30), method="bounded", options={"xatol": 1e-10}
        ).x
        total += stats.binom.logpmf(x, n, special.expit(mode))
    assert total == pytest.approx(data["ll"], abs=OPTIMISED)
    # lme4's Laplace approximation of the integral is within a tenth of it
    counts = np.column_stack([data["xi"], data["ni"]]).astype(float)
    integral = float(arm_log_marginal(counts, np.array([at]), np.array([spread])).sum())
    assert integral == pytest.approx(data["laplace"], abs=0.2)


# -- no null -----------------------------------------------------------------------------------------------------------


def one_arm(measure: str, better: str | None = "higher") -> bm.Effects:
    y = {"PLO": -1.0, "MN": 30.0, "IRLN": -3.0}[measure] + np.array([0.1, -0.2, 0.4, 0.0, -0.5])
    sizes = np.array([[30.0], [40.0], [20.0], [55.0], [25.0]])
    return bm.Effects(list("ABCDE"), y, [0.2, 0.3, 0.4, 0.25, 0.35], measure=measure, better=better, n=sizes)


def fitted(measure: str, better: str | None = "higher") -> bm.Fit:
    mu = bm.Normal(30, 10) if measure == "MN" else bm.Normal(0, 4)
    return bm.fit(one_arm(measure, better), bm.Model(mu, bm.HalfNormal(0.5)))


@pytest.mark.parametrize("measure", ONE_ARM)
@pytest.mark.parametrize(
    "name",
    [
        "egger_test",
        "begg_test",
        "pet_peese",
        "trim_and_fill",
        "fail_safe_n",
        "selection_model",
        "limit_meta_analysis",
        "small_study_table",
        "peters_test",
        "harbord_test",
    ],
)
def test_what_needs_a_null_is_refused_in_one_sentence(measure: str, name: str) -> None:
    with pytest.raises(ModelError, match="compared with nothing and has no null value"):
        getattr(bm.classical, name)(one_arm(measure))


@pytest.mark.parametrize("measure", ONE_ARM)
def test_bayesian_questions_about_no_effect_are_refused_or_not_a_number(measure: str) -> None:
    fit = fitted(measure)
    at = {"PLO": 0.3, "MN": 30.0, "IRLN": 0.05}[measure]
    table = bm.benefit_table(fit, at)
    assert table["p_any_benefit"].isna().all()
    assert math.isnan(bm.questions.benefit_probabilities(fit, at)["p_any_benefit"])
    for question in (bm.size_table, bm.information_table, bm.next_trial_table):
        with pytest.raises(ModelError, match="no null value"):
            question(fit, [at]) if question is bm.size_table else question(fit)
    compared = bm.compare_table(fit)
    assert compared["p_value"].isna().all()
    assert compared["p_below_null"].isna().all()
    assert "any benefit" not in bm.benefit_sentence(fit, at)


@pytest.mark.parametrize(("measure", "at"), [("PLO", 0.3), ("MN", 30.2), ("IRLN", 0.05)])
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_thresholds_are_values_on_the_natural_scale(measure: str, at: float, better: str) -> None:
    fit = fitted(measure, better)
    place = float(MEASURES[measure].transform(at))
    side = {"above": place} if better == "higher" else {"below": place}
    for row, name in zip(bm.benefit_table(fit, at).itertuples(), ("mu", "theta_new"), strict=True):
        p = bm.probability(fit, name, **side)
        # two routes to one mixture of normals, settled to 1e-8
        assert row.p_important_benefit == pytest.approx(p, abs=1e-8)
        # what is no benefit is harm, where nothing else is stated
        assert row.p_important_harm == pytest.approx(1 - p, abs=1e-8)


def test_a_worse_on_the_side_of_benefit_is_refused() -> None:
    made = bm.threshold(0.3, worse=0.2, measure_name="PLO", better="higher")
    assert made.benefit_distance == pytest.approx(math.log(0.3 / 0.7))
    assert made.worse_distance == pytest.approx(-math.log(0.2 / 0.8))
    for better, benefit, worse in (("higher", 0.2, 0.3), ("lower", 0.3, 0.2)):
        with pytest.raises(ModelError, match="lies on the side of benefit"):
            bm.threshold(benefit, worse=worse, measure_name="PLO", better=better)
    for measure, value in (("PLO", 20.0), ("PLO", 0.0), ("IRLN", -1.0)):
        with pytest.raises(ModelError, match="lies between"):
            bm.threshold(value, measure_name=measure, better="higher")
    # a mean may be negative
    assert bm.threshold(-5.0, measure_name="MN", better="lower").benefit_distance == 5.0


def test_words_of_one_arm_speak_of_no_effect_and_no_benefit():
    """A proportion is compared with nothing: neither the forest plot nor the note of a threshold says otherwise."""
    events, n = np.array([3.0, 7.0, 1.0]), np.array([40.0, 50.0, 30.0])
    table = pd.DataFrame({"study": list("ABC"), "events": events, "n": n})
    effects = effect_sizes(table, "PLO", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(1), likelihood="binomial"))
    labels = bm.plots.forest_plot(fit).table["label"].tolist()
    assert {"Bayesian mean", "Value in a new study"} <= set(labels)
    assert not any("effect" in str(label).lower() for label in labels)
    stated = bm.threshold(0.2, measure_name="PLO", better="lower", name="acceptable")
    (note,) = chance_notes(fit, [stated], [stated], share=True).values()
    assert "Share of studies whose true value is on that side" in note
    assert "such a benefit" not in note


def test_priors_to_vary_are_named_for_every_measure_with_a_published_default():
    """A grid around the published default; what has no scale of its own says what is missing."""
    mu, tau = bm.sensitivity.named_priors("PLO")
    assert [item.name for item in mu] == ["flat", "normal(0, 2)"]
    assert [item.name for item in tau] == ["halfnormal(0.5)", "halfnormal(1)", "halfnormal(2)", "halfcauchy(1)"]
    assert [item.name for item in bm.sensitivity.named_priors("RD")[1]][1] == "halfnormal(0.1)"
    with pytest.raises(ModelError, match="State both priors"):
        bm.sensitivity.named_priors("IRLN")
