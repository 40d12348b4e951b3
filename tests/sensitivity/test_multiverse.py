"""The multiverse: every specification is an answer that something else gives, and the summary is arithmetic on them.

Authorities: metafor's estimators, intervals and prediction intervals of pinned data (tests/reference); the exact engine
asked alone; escalc's variances (tests/reference/presets_metafor.json); sums of squares by hand.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayesmeta as bm
from bayesmeta.classical import CI_METHODS, PI_FORMULAS, pool
from bayesmeta.effects import Effects
from bayesmeta.model import Model
from bayesmeta.plan import Threshold
from bayesmeta.priors import Flat, HalfCauchy, HalfNormal, InverseGamma, Normal
from bayesmeta.sensitivity import (
    NamedPrior,
    Variant,
    data_choices,
    multiverse_summary,
    multiverse_table,
    named_priors,
    variants_of,
)
from bayesmeta.sensitivity.multiverse import _eta_squared
from bayesmeta.sensitivity.verdicts import conclusion
from references import effects_of, reference

# metafor iterated to 1e-10
RTOL, ATOL = 1e-6, 1e-9
# the same computation asked in another way
SAME = 1e-12

Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15])
MODEL = Model(Normal(0, 1), HalfNormal(0.5))
METHODS = ("EE", "DL", "PM", "REML", "ML", "HE", "HS", "SJ")


def make(y: Any = Y, se: Any = SE, **options: Any) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, **{"measure": "SMD", "better": "lower", **options})


def mid(benefit: float = 0.2, better: str = "lower") -> Threshold:
    return bm.threshold(benefit, measure_name="SMD", better=better)


def classical(table: pd.DataFrame, target: str = "mean effect") -> pd.DataFrame:
    return table[(table["engine"] == "classical") & (table["target"] == target)]


def bayesian(table: pd.DataFrame, target: str = "mean effect") -> pd.DataFrame:
    return table[(table["engine"] == "Bayesian") & (table["target"] == target)]


# -------------------------------------------------------------------------------------------- every specification


@pytest.mark.parametrize("name", ["normand_smd", "gibson_smd", "bcg_rr", "hine_or", "crins_or", "raudenbush_smd"])
def test_classical_specifications_are_metafor_s(name: str) -> None:
    """Wald and Hartung-Knapp of every estimator, with metafor's prediction intervals: normal, and t(k - 1)."""
    pinned = reference(name)["classical"]
    effects = effects_of(name)
    table = multiverse_table(bm.fit(effects, Model(Normal(0, 5), HalfNormal(1))), tau=())
    mean = classical(table).set_index(["tau2_method", "interval"])
    new = classical(table, "new study").set_index(["tau2_method", "interval", "prediction"])
    seen = 0
    for method, (ci, suffix, formula) in itertools.product(
        METHODS, (("wald", "", "normal"), ("hksj", "_knha", "t_km1"))
    ):
        key = f"{method}{suffix}"
        if key not in pinned:
            continue
        expected, row = pinned[key], mean.loc[(method, ci)]
        assert row[["estimate", "lower", "upper"]].tolist() == pytest.approx(
            [expected["estimate"], expected["ci_low"], expected["ci_high"]], rel=RTOL, abs=ATOL
        )
        assert row["tau"] == pytest.approx(math.sqrt(expected["tau2"]), rel=RTOL, abs=1e-5)
        seen += 1
        if method == "EE":
            continue
        row = new.loc[(method, ci, formula)]
        # at tau2 = 0 the root of what is left of an iteration is in the width
        assert row[["lower", "upper"]].tolist() == pytest.approx([expected["pi_low"], expected["pi_high"]], rel=1e-5)
    assert seen >= 14
    adhoc, t = pinned["REML_adhoc"], pinned["REML_t"]
    for ci, expected in (("hksj_adhoc", adhoc), ("t", t)):
        assert mean.loc[("REML", ci), ["lower", "upper"]].tolist() == pytest.approx(
            [expected["ci_low"], expected["ci_high"]], rel=RTOL, abs=ATOL
        )


def test_classical_specifications_are_those_of_pool_and_stand_once() -> None:
    effects = make()
    table = multiverse_table(bm.fit(effects, MODEL), tau=())
    mean = classical(table)
    assert len(mean) == len(METHODS) * len(CI_METHODS)
    assert set(mean["tau2_method"]) == set(METHODS)
    for row in mean.itertuples():
        found = pool(effects, method=row.tau2_method, ci=row.interval)
        assert [row.estimate, row.lower, row.upper] == [found.estimate, found.lower, found.upper]
        assert row.tau == math.sqrt(found.tau2)
        assert math.isnan(row.p_any_benefit)
        assert row.prediction == row.tau_prior == row.mu_prior == "-"
    new = classical(table, "new study")
    # per estimator: two formulas with the SE of the interval, beside three SEs (Wald's and t's are one), and two others
    assert len(new) == (len(METHODS) - 1) * (2 * 3 + 2)
    assert "EE" not in set(new["tau2_method"])
    assert not new.duplicated(["tau2_method", "interval", "prediction"]).any()
    for row in new.itertuples():
        own = row.prediction in ("normal", "t_km1")
        assert (row.interval == "-") is not own
        found = pool(effects, method=row.tau2_method, ci=row.interval if own else "hksj")
        assert (row.lower, row.upper) == found.pi[row.prediction]
    # Hartung-Knapp's SE is the classic one where y'Py = k - 1: always with PM above zero, by coincidence if ad hoc
    distinct = new[(new["interval"] != "hksj_adhoc") & (new["tau2_method"] != "PM")].round(10)
    assert not distinct.duplicated(["tau2_method", "lower", "upper"]).any()


@pytest.mark.parametrize("cis", [("t",), ("t", "wald"), ("hksj", "t"), ("wald",)])
def test_no_prediction_interval_is_lost_when_intervals_are_chosen(cis: Any) -> None:
    table = multiverse_table(bm.fit(make(), MODEL), tau=(), methods=("REML",), cis=cis)
    new = classical(table, "new study")
    errors = len({"classic" if ci in ("wald", "t") else ci for ci in cis})
    assert len(new) == 2 * errors + 2
    assert set(new["prediction"]) == set(PI_FORMULAS)


def test_bayesian_specifications_are_fits() -> None:
    effects = make()
    fit = bm.fit(effects, MODEL)
    tau = [NamedPrior("half-Cauchy", HalfCauchy(0.5), ""), NamedPrior("the same", HalfNormal(0.5), "")]
    table = multiverse_table(fit, threshold=mid(), tau=tau)
    found = bayesian(table).set_index(["tau_prior", "mu_prior"])
    assert found.index.tolist() == [
        ("halfnormal(0.5)", "normal(0, 1)"),
        ("halfnormal(0.5)", "flat()"),
        ("half-Cauchy", "normal(0, 1)"),
        ("half-Cauchy", "flat()"),
    ]
    assert found["stated"].tolist() == [True, False, False, False]
    new = bayesian(table, "new study").set_index(["tau_prior", "mu_prior"])
    for (name, mu), row in found.iterrows():
        model = Model(Normal(0, 1) if mu == "normal(0, 1)" else Flat(), tau[0].prior if "Cauchy" in name else MODEL.tau)
        other = bm.fit(effects, model)
        summary = bm.summarize(other)
        for target, line, end in (("mu", row, ""), ("theta_new", new.loc[(name, mu)], "_new")):
            assert line[["estimate", "lower", "upper"]].tolist() == pytest.approx(
                summary.loc[target, ["median", "lower", "upper"]].tolist(), abs=SAME
            )
            assert line["tau"] == pytest.approx(summary.loc["tau", "median"], abs=SAME)
            chance = bm.probability(other, target, below=0.0)
            assert line["p_any_benefit"] == pytest.approx(chance, abs=SAME), end
            assert line["p_important_benefit"] == pytest.approx(bm.probability(other, target, below=-0.2), abs=SAME)
            assert line["tau2_method"] == line["interval"] == line["prediction"] == "-"


def test_named_priors_that_resolve_to_the_stated_one_are_not_repeated() -> None:
    table = multiverse_table(bm.fit(make(), Model(Normal(0, 1), InverseGamma(1.69, 0.42))), methods=(), cis=())
    assert len(bayesian(table)) == 2 * len(named_priors("SMD")[1])


def test_a_common_effect_has_its_specification_too() -> None:
    fit = bm.fit(make(), Model(Normal(0, 1), None))
    found = bayesian(multiverse_table(fit, threshold=mid()))
    assert found["mu_prior"].tolist() == ["normal(0, 1)", "flat()"]
    assert found["stated"].tolist() == [True, False]
    assert found["tau"].tolist() == [0.0, 0.0]
    assert found["tau_prior"].tolist() == ["-", "-"]
    w = SE**-2
    flat = found.iloc[1]
    assert flat["estimate"] == pytest.approx((w @ Y) / w.sum(), abs=1e-9)
    assert flat["upper"] - flat["lower"] == pytest.approx(2 * 1.959963984540054 / math.sqrt(w.sum()), abs=1e-8)


def test_any_benefit_needs_no_threshold() -> None:
    fit = bm.fit(make(), MODEL)
    found = multiverse_table(fit, tau=())
    for target, name in (("mean effect", "mu"), ("new study", "theta_new")):
        row = bayesian(found, target).iloc[0]
        assert row["p_any_benefit"] == pytest.approx(bm.probability(fit, name, below=0.0), abs=SAME)
        assert math.isnan(row["p_important_benefit"])
    undirected = multiverse_table(bm.fit(make(better=None), MODEL), tau=())
    assert undirected["p_any_benefit"].isna().all()
    assert set(undirected["verdict"]) <= {"above zero", "below zero", "not clear"}


def test_a_sign_flip_mirrors_every_specification() -> None:
    one = multiverse_table(bm.fit(make(), MODEL), threshold=mid())
    other = multiverse_table(bm.fit(make(-Y, better="higher"), MODEL), threshold=mid(better="higher"))
    # Cochrane's and Rhodes's priors are of tau, so all priors are symmetric
    np.testing.assert_allclose(one["estimate"], -other["estimate"], atol=1e-7)
    np.testing.assert_allclose(one["lower"], -other["upper"], atol=1e-7)
    assert one["verdict"].tolist() == other["verdict"].tolist()
    np.testing.assert_allclose(one["p_important_benefit"], other["p_important_benefit"], atol=1e-7)


# -------------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("lower", "upper", "distance", "verdict"),
    [
        (0.3, 0.8, 0.2, "important benefit"),
        (0.2, 0.8, 0.2, "important benefit"),
        (0.1, 0.8, 0.2, "benefit, perhaps important"),
        (0.1, 0.2, 0.2, "benefit, perhaps important"),
        (0.05, 0.15, 0.2, "benefit, not important"),
        (0.05, 0.15, None, "benefit"),
        (-0.1, 0.8, 0.2, "not clear"),
        (0.0, 0.8, 0.2, "not clear"),
        (-0.8, 0.0, 0.2, "not clear"),
        (-0.8, -0.1, 0.2, "harm"),
        (-0.8, -0.1, None, "harm"),
        (-math.inf, math.inf, 0.2, "not clear"),
    ],
)
def test_verdicts(lower: float, upper: float, distance: float | None, verdict: str) -> None:
    assert conclusion(lower, upper, 1, distance) == verdict
    assert conclusion(-upper, -lower, -1, distance) == verdict


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [(0.1, 0.2, "above zero"), (-0.2, -0.1, "below zero"), (-0.1, 0.1, "not clear"), (0.0, 0.1, "not clear")],
)
def test_verdicts_without_a_direction(lower: float, upper: float, verdict: str) -> None:
    assert conclusion(lower, upper, 0, 0.2) == verdict


# ------------------------------------------------------------------------------------------------- ways of the data


def smd_effects(options: Mapping[str, Any], name: str = "gibson") -> Effects:
    frame = pd.DataFrame(reference("presets_metafor")["sets"][name]["raw"])
    frame = frame.assign(study=[f"trial {i + 1}" for i in range(len(frame))])
    chosen = {key: options[key] for key in ("vtype", "j") if key in options}
    return bm.effect_sizes(frame, "SMD", better="lower", options=chosen)


def test_variances_of_an_smd_are_escalc_s() -> None:
    """LS and UB as metafor's escalc has them, RevMan's by its formula; each with the factor it goes with."""
    variants = variants_of(smd_effects({}), {}, smd_effects)
    assert [dict(item.choices) for item in variants] == [{"vtype": v} for v in ("LS", "LS2", "UB", "AV", "RevMan")]
    pinned = reference("presets_metafor")["sets"]["gibson"]["presets"]
    for place, key in ((0, "metafor"), (2, "meta"), (4, "revman5")):
        effects = variants[place].effects
        assert isinstance(effects, Effects)
        np.testing.assert_allclose(effects.y, pinned[key]["yi"], rtol=1e-11)
        np.testing.assert_allclose(effects.se**2, pinned[key]["vi"], rtol=1e-11)
    table = multiverse_table(bm.fit(smd_effects({}), MODEL), variants, methods=("DL",), cis=("wald",), tau=())
    rows = classical(table).set_index("vtype")
    assert rows.loc["RevMan", ["estimate", "lower", "upper"]].tolist() == pytest.approx(
        [pinned["revman5"][column] for column in ("estimate", "lower", "upper")], rel=RTOL
    )
    assert table["stated"].sum() == 2
    assert set(table.loc[table["stated"], "vtype"]) == {"LS"}
    assert table.attrs["data_choices"] == ["vtype"]


def test_a_stated_factor_that_is_not_the_usual_one_is_a_choice_of_its_own() -> None:
    stated = {"vtype": "LS", "j": "approx"}
    variants = variants_of(smd_effects(stated), stated, smd_effects)
    assert variants[0].choices == {"vtype": "LS", "j": "approx"}
    assert len(variants) == 6
    assert {"vtype": "LS", "j": "exact"} in [dict(item.choices) for item in variants]
    revman = {"vtype": "RevMan", "j": "approx"}
    assert [item["vtype"] for item in data_choices(make(), revman)] == ["RevMan", "LS", "LS2", "UB", "AV"]


def test_zero_cells_are_a_choice_where_there_are_any() -> None:
    frame = pd.DataFrame(reference("presets_metafor")["sets"]["zero"]["raw"])
    frame = frame.assign(study=[f"trial {i + 1}" for i in range(len(frame))])

    def recompute(options: Mapping[str, Any]) -> Effects:
        return bm.effect_sizes(frame, "OR", better="lower", options=dict(options))

    effects = recompute({})
    variants = variants_of(effects, {}, recompute)
    assert [item.choices["zero"] for item in variants] == ["half", "half_all", "treatment_arm"]
    a, n, c, m = frame.loc[0, ["events_t", "n_t", "events_c", "n_c"]].tolist()
    share = n / (n + m)
    for item, (add_t, add_c) in zip(variants, ((0.5, 0.5), (0.5, 0.5), (share, 1 - share)), strict=True):
        assert isinstance(item.effects, Effects)
        expected = math.log((a + add_t) * (m - c + add_c) / ((n - a + add_t) * (c + add_c)))
        assert item.effects.y[0] == pytest.approx(expected, abs=1e-12)
    # the second trial has no zero: only "half_all" touches it
    second = [item.effects.y[1] for item in variants if isinstance(item.effects, Effects)]
    assert second[0] == second[2] != second[1]
    # without a zero there is nothing to choose
    assert data_choices(effects.subset([1, 3, 4, 5]), {}) == [{}]
    assert len(data_choices(effects, {"zero": "none"})) == 4


def test_a_pre_post_correlation_is_varied_where_one_is_stated() -> None:
    listed = data_choices(make(measure="MD"), {"correlation": 0.6})
    assert [item["correlation"] for item in listed] == [0.6, 0.3, 0.5, 0.7, 0.9]
    assert [item["correlation"] for item in data_choices(make(measure="MD"), {"correlation": 0.5})] == [
        0.5,
        0.3,
        0.7,
        0.9,
    ]
    crossed = data_choices(make(), {"correlation": 0.5})
    assert len(crossed) == 4 * 5
    assert crossed[0] == {"correlation": 0.5, "vtype": "LS", "j": "exact"}
    calls = []

    def recompute(options: Mapping[str, Any]) -> Effects:
        calls.append(dict(options))
        return make()

    variants = variants_of(make(), {"correlation": 0.5}, recompute)
    assert len(calls) == 19
    assert variants[0].choices == {"correlation": "0.5", "vtype": "LS"}


def test_pre_post_effects_use_the_correlation() -> None:
    """SD of change^2 = a^2 + b^2 - 2 r a b, by hand."""
    frame = pd.DataFrame(
        {
            "study": ["A", "B"],
            "n_t": [20, 30],
            "n_c": [22, 28],
            "mean_pre_t": [10, 11],
            "sd_pre_t": [2, 3.0],
            "mean_post_t": [8, 9],
            "sd_post_t": [2.5, 3.0],
            "mean_pre_c": [10, 11],
            "sd_pre_c": [2, 2.5],
            "mean_post_c": [9.5, 10],
            "sd_post_c": [2.2, 2.0],
        }
    )

    def recompute(options: Mapping[str, Any]) -> Effects:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bm.BayesmetaWarning)
            return bm.effect_sizes(frame, "MD", better="lower", options=dict(options))

    stated = {"correlation": 0.5}
    variants = variants_of(recompute(stated), stated, recompute)
    assert [item.choices["correlation"] for item in variants] == ["0.5", "0.3", "0.7", "0.9"]
    for item in variants:
        r = float(item.choices["correlation"])
        treated = 2**2 + 2.5**2 - 2 * r * 2 * 2.5
        control = 2**2 + 2.2**2 - 2 * r * 2 * 2.2
        assert isinstance(item.effects, Effects)
        assert item.effects.se[0] == pytest.approx(math.sqrt(treated / 20 + control / 22), abs=1e-12)


def test_a_way_that_these_rows_do_not_allow_is_left_out_with_the_reason() -> None:
    """A row with a mean difference and its SE has no SDs to average g over: AV is refused, the others are not lost."""
    frame = pd.DataFrame(
        {
            "study": ["A", "B", "C"],
            "md": [-2.0, -1.0, -3.0],
            "se": [1.0, 0.8, 1.1],
            "n_t": [20, 30, 25],
            "n_c": [20, 28, 24],
        }
    )

    def recompute(options: Mapping[str, Any]) -> Effects:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bm.BayesmetaWarning)
            return bm.effect_sizes(frame, "SMD", better="lower", options=dict(options))

    variants = variants_of(recompute({}), {}, recompute)
    assert [isinstance(item.effects, str) for item in variants] == [False, False, False, True, False]
    table = multiverse_table(bm.fit(recompute({}), MODEL), variants, methods=("REML",), cis=("wald",), tau=())
    assert set(table["vtype"]) == {"LS", "LS2", "UB", "RevMan"}
    assert "AV" in table.attrs["left_out"]["vtype = AV"]


def test_without_a_way_to_compute_again_the_effects_stand_alone() -> None:
    effects = make()
    assert variants_of(effects, {}, None) == [Variant({}, effects)]
    assert variants_of(make(measure="HR"), {}, lambda options: effects)[0].choices == {}
    table = multiverse_table(bm.fit(effects, MODEL), tau=())
    assert table.attrs["data_choices"] == []
    assert table.columns.tolist() == [
        "target",
        "engine",
        "tau2_method",
        "interval",
        "prediction",
        "tau_prior",
        "mu_prior",
        "estimate",
        "lower",
        "upper",
        "tau",
        "p_any_benefit",
        "p_important_benefit",
        "verdict",
        "stated",
        "level",
    ]


# ------------------------------------------------------------------------------------------------------- degenerate


def test_one_trial_has_a_common_effect_and_priors() -> None:
    table = multiverse_table(bm.fit(make(Y[:1], SE[:1]), MODEL))
    found = classical(table)
    assert found[["tau2_method", "interval"]].to_numpy().tolist() == [["EE", "wald"]]
    assert set(table.attrs["left_out"]) == {"EE, t", "EE, hksj", "EE, hksj_adhoc"}
    assert all(table.attrs["left_out"].values())
    assert len(bayesian(table)) == 2 * len(named_priors("SMD")[1])


def test_two_trials_have_no_prediction_on_t_with_no_degrees_of_freedom() -> None:
    table = multiverse_table(bm.fit(make(Y[:2], SE[:2]), MODEL), tau=[NamedPrior("flat tau", Flat(), "asked")])
    assert set(classical(table, "new study")["prediction"]) == {"normal", "t_km1"}
    # flat tau: improper under the flat mu only
    assert list(table.attrs["left_out"]) == ["flat(), flat tau"]
    assert "improper" in table.attrs["left_out"]["flat(), flat tau"]
    assert bayesian(table)["tau_prior"].tolist() == ["halfnormal(0.5)", "halfnormal(0.5)", "flat tau"]


def test_equal_estimates() -> None:
    table = multiverse_table(bm.fit(make([-0.3] * 4, SE[:4]), MODEL), threshold=mid())
    assert table[["estimate", "lower", "upper"]].notna().all(axis=None)
    spread, choices = multiverse_summary(table)
    mean = choices[(choices["engine"] == "classical") & (choices["target"] == "mean effect")]
    assert (mean["estimate_share"] == 0).all()
    assert spread["share"].between(0, 1).all()


def test_scales_without_general_priors_keep_the_stated_one_and_say_so() -> None:
    table = multiverse_table(bm.fit(make(measure="MD"), MODEL))
    assert set(bayesian(table)["tau_prior"]) == {"halfnormal(0.5)"}
    assert "ref_sd" in table.attrs["left_out"]["named priors of tau"]


def test_what_is_left_out_is_named_in_the_order_of_the_specifications() -> None:
    """Variant by variant, classical before Bayesian: so it stands below the picture."""
    one = make(Y[:1], SE[:1], measure="MD")
    variants = [Variant({"form": "as stated"}, one), Variant({"form": "change"}, "no such column")]
    table = multiverse_table(bm.fit(one, MODEL), variants)
    assert list(table.attrs["left_out"]) == [
        "EE, t",
        "EE, hksj",
        "EE, hksj_adhoc",
        "named priors of tau",
        "form = change",
    ]


def test_rows_of_one_trial_leave_out_estimators_that_are_not_defined() -> None:
    S = np.array([[0.04, 0.015], [0.015, 0.16]])
    effects = Effects(
        ["a", "star", "b", "star", "c"],
        Y,
        [0.3, 0.2, 0.25, 0.4, 0.15],
        measure="SMD",
        better="lower",
        blocks=((np.array([1, 3]), S),),
    )
    fit = bm.fit(effects, Model(Normal(0, 1), HalfNormal(0.5), rho=0.3))
    table = multiverse_table(fit, tau=())
    assert set(classical(table)["tau2_method"]) == set(METHODS) - {"HS", "SJ"}
    row = classical(table).set_index(["tau2_method", "interval"]).loc[("REML", "hksj")]
    assert row["lower"] == pool(effects, ci="hksj", rho=0.3).lower


def test_models_that_are_not_pooled_are_refused() -> None:
    effects = make(moderators={"weeks": [6.0, 12, 8, 24, 10]})
    model = Model(Normal(0, 1), HalfNormal(0.5), {"weeks": Normal(0, 0.25)})
    with pytest.raises(bm.ModelError, match="no moderators"):
        multiverse_table(bm.fit(effects, model))


# ----------------------------------------------------------------------------------------------------------- summary


def test_spread_counts_verdicts() -> None:
    table = multiverse_table(bm.fit(make(), MODEL), threshold=mid())
    spread, _ = multiverse_summary(table)
    for (target, engine), part in spread.groupby(["target", "engine"]):
        whole = table[(table["target"] == target) & (table["engine"] == engine)]
        every = part[part["verdict"] == "all"].iloc[0]
        rest = part[part["verdict"] != "all"]
        assert every["specifications"] == len(whole) == rest["specifications"].sum()
        assert rest["share"].sum() == pytest.approx(1)
        assert every["estimate_median"] == np.median(whole["estimate"])
        assert [every["lower_min"], every["upper_max"]] == [whole["lower"].min(), whole["upper"].max()]
        for row in rest.itertuples():
            assert row.specifications == (whole["verdict"] == row.verdict).sum()


def test_shares_of_variance_by_hand() -> None:
    """Estimates 1, 3 at level a and 5, 7 at b: between 16, total 20. Widths by their logarithms."""
    frame = pd.DataFrame(
        {
            "target": "mean effect",
            "engine": "classical",
            "tau2_method": ["a", "a", "b", "b"],
            "interval": ["x", "y", "x", "y"],
            "prediction": "-",
            "tau_prior": "-",
            "mu_prior": "-",
            "estimate": [1.0, 3.0, 5.0, 7.0],
            "lower": 0.0,
            "upper": [1.0, math.e, 1.0, math.e],
            "verdict": ["not clear", "benefit", "not clear", "not clear"],
            "stated": False,
        }
    )
    _, choices = multiverse_summary(frame)
    found = choices.set_index("choice")
    assert found.index.tolist() == ["tau2_method", "interval"]
    assert found["estimate_share"].tolist() == pytest.approx([16 / 20, 4 / 20])
    assert found["width_share"].tolist() == pytest.approx([0, 1])
    assert found["estimate_range"].tolist() == pytest.approx([4, 2])
    # from the first specification (a, x): the estimator moves nothing, the interval does
    assert found["verdicts"].tolist() == [1, 2]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-5, 5)), min_size=2, max_size=12))
def test_eta_squared_is_one_less_the_share_within_groups(rows: list[tuple[str, float]]) -> None:
    groups, values = pd.Series([g for g, _ in rows]), pd.Series([v for _, v in rows])
    total = float(((values - values.mean()) ** 2).sum())
    found = _eta_squared(values.to_numpy(float), pd.factorize(groups)[0])
    assert 0 <= found <= 1 + 1e-9
    if total > 1e-6:
        within = sum(float(((part - part.mean()) ** 2).sum()) for _, part in values.groupby(groups))
        assert found == pytest.approx(1 - within / total, abs=1e-9)


def test_verdicts_over_prediction_formulas_count_those_that_have_one_standard_error() -> None:
    """HTS and Partlett-Riley intervals stand without an interval method: they belong to every one of them."""
    frame = pd.DataFrame(
        {
            "target": "new study",
            "engine": "classical",
            "tau2_method": "REML",
            "interval": ["wald", "wald", "hksj", "-"],
            "prediction": ["normal", "t_km1", "normal", "hts_t_km2"],
            "tau_prior": "-",
            "mu_prior": "-",
            "estimate": 1.0,
            "lower": [0.1, -0.1, 0.1, -2.0],
            "upper": 2.0,
            "verdict": ["benefit", "not clear", "benefit", "harm"],
            "stated": False,
        }
    )
    _, choices = multiverse_summary(frame)
    assert choices.set_index("choice").loc["prediction", "verdicts"] == 3
