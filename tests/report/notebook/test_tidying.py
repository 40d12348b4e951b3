"""One tidy table of any results holds the numbers that each has, under the same columns."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmeta as bm
from pinned import PINS

EFFECTS, MODEL, FIT = bm.example()
COLUMNS = (
    *("fit", "term", "estimate", "std_error", "lower", "upper", "statistic", "p", "p_benefit"),
    *("level", "interval", "engine", "method", "measure", "scale"),
)
RATIOS = bm.Effects(list("ABC"), np.log([0.5, 0.8, 1.1]), [0.2, 0.3, 0.2], measure="RR", better="lower")
MORE = bm.Effects(list("ABCDE"), [0.1, 0.4, 0.7, 0.6, -0.2], [0.2, 0.2, 0.1, 0.2, 0.1], measure="SMD")
CLUSTERED = dataclasses.replace(MORE, cluster=tuple("AABBC"))
ANALYSIS = bm.analyse("models/cancer_exercise.toml", "qol_short", declared=False)

ONE = {
    "exact": FIT,
    "sampled": bm.load(PINS / "fits" / "nuts_moderated.nc"),
    "common effect": bm.load(PINS / "fits" / "exact_common_effect.nc"),
    "clusters": bm.load(PINS / "fits" / "exact_clusters.nc"),
    "analysis": ANALYSIS,
    "pool": bm.classical.pool(EFFECTS, ci="hksj"),
    "common": bm.classical.pool(EFFECTS, method="EE"),
    "regression": bm.classical.metaregression(EFFECTS, ["weeks"]),
    "multilevel": bm.classical.pool_multilevel(
        bm.Effects(
            list("AABBC"), [0.1, 0.4, 0.7, 0.6, -0.2], [0.2, 0.2, 0.1, 0.2, 0.1], measure="MD", cluster=[*"AABBC"]
        )
    ),
    "preset": bm.classical.apply_preset(MORE, bm.classical.preset("iqwig8")),
    "trim and fill": bm.classical.trim_and_fill(EFFECTS),
}


@pytest.mark.parametrize("name", ONE)
def test_columns_and_their_types_are_those_of_every_result(name: str) -> None:
    table, overview = bm.tidy(ONE[name]), bm.glance(ONE[name])
    assert tuple(table.columns) == COLUMNS
    numbers = table[["estimate", "std_error", "lower", "upper", "statistic", "p", "p_benefit", "level"]]
    assert {kind.kind for kind in numbers.dtypes} == {"f"}
    assert set(table["engine"]) <= {"exact", "nuts", "classical"}
    ordered = table.dropna(subset=["lower", "upper"])
    assert ((ordered["lower"] <= ordered["estimate"]) & (ordered["estimate"] <= ordered["upper"])).all()
    assert "mu" in set(table["term"]) or name == "regression"
    assert overview["k"].dtype.kind == "i"
    assert overview["ok"].dtype == bool
    assert {overview[name].dtype.kind for name in ("tau", "i2", "q", "q_p", "log_evidence", "log_lik")} == {"f"}
    # every part of a result has a line in both
    assert list(overview["method"]) == list(dict.fromkeys(table["method"]))


def test_a_posterior_is_as_the_questions_answer_it() -> None:
    """Against `probability` of the normal posterior that a flat mean and no heterogeneity give by hand."""
    common = bm.fit(EFFECTS, bm.Model(mu=bm.Flat(), tau=None))
    row = bm.tidy(common, level=0.9).set_index("term").loc["mu"]
    mean, se = -1 / 7, 1 / math.sqrt(175)
    # closed form: only rounding of doubles
    assert row["estimate"] == pytest.approx(mean, abs=1e-9)
    assert row["std_error"] == pytest.approx(se, abs=1e-9)
    assert [row["lower"], row["upper"]] == pytest.approx(stats.norm.interval(0.9, mean, se), abs=1e-9)
    assert row["p_benefit"] == pytest.approx(stats.norm.cdf(0, mean, se), abs=1e-9)
    assert (row["level"], row["interval"], row["engine"], row["method"]) == (0.9, "central", "exact", "pooled")
    higher = bm.Effects(list("ABCD"), EFFECTS.y, EFFECTS.se, measure="SMD", better="higher")
    other = bm.tidy(bm.fit(higher, bm.Model(mu=bm.Flat(), tau=None))).set_index("term").loc["mu"]
    assert other["p_benefit"] == pytest.approx(stats.norm.sf(0, mean, se), abs=1e-9)


def test_a_common_effect_is_by_hand() -> None:
    """Weights of 25, 100, 25 and 25: -25 / 175, with a standard error of 175 ** -0.5."""
    row = bm.tidy(bm.classical.pool(EFFECTS, method="EE", ci="wald")).set_index("term").loc["mu"]
    z = -1 / 7 * math.sqrt(175)
    assert row["estimate"] == pytest.approx(-1 / 7, abs=1e-12)
    assert row["std_error"] == pytest.approx(175**-0.5, abs=1e-12)
    assert (row["statistic"], row["p"]) == pytest.approx((z, 2 * stats.norm.sf(-z)), abs=1e-12)
    seen = bm.glance(bm.classical.pool(EFFECTS, method="EE", ci="wald")).iloc[0]
    q = 25 * (0.4 - 1 / 7) ** 2 + 100 * (0.1 - 1 / 7) ** 2 + 25 * (0.3 - 1 / 7) ** 2 + 25 * (0.1 + 1 / 7) ** 2
    assert (seen["q"], seen["q_df"], seen["i2"]) == pytest.approx((q, 3, 100 * (q - 3) / q), abs=1e-10)


def test_an_analysis_has_its_fits_and_its_check() -> None:
    table = bm.tidy(ANALYSIS)
    assert list(dict.fromkeys(zip(table["engine"], table["method"], strict=True))) == [
        ("exact", "pooled"),
        ("exact", "moderated"),
        ("classical", "REML + HKSJ"),
    ]
    check = table[(table["engine"] == "classical") & (table["term"] == "mu")].iloc[0]
    assert (check["estimate"], check["lower"]) == (ANALYSIS.classical.estimate, ANALYSIS.classical.lower)
    assert set(table["measure"]) == {ANALYSIS.effects.measure}
    overview = bm.glance(ANALYSIS)
    assert set(overview["trials"]) == {ANALYSIS.effects.n_trials}
    assert overview["log_evidence"].iloc[0] == ANALYSIS.pooled.log_evidence
    assert math.isnan(overview["log_evidence"].iloc[2])


def test_the_natural_scale_of_ratios() -> None:
    fit = bm.fit(RATIOS, MODEL)
    logs, ratios = (bm.tidy(fit, scale=scale, studies=True).set_index("term") for scale in ("analysis", "natural"))
    assert list(ratios.index) == ["mu", "tau", "theta_new", "theta[A]", "theta[B]", "theta[C]"]
    for column in ("estimate", "lower", "upper"):
        expected = np.exp(logs[column]).where(logs.index != "tau", logs[column])
        np.testing.assert_allclose(ratios[column], expected, rtol=1e-12)
    assert ratios["std_error"].drop("tau").isna().all()
    np.testing.assert_allclose(ratios["p_benefit"], logs["p_benefit"], rtol=0, atol=0)
    analysed = bm.tidy(bm.analysis_of(fit), scale="natural")
    check = analysed[(analysed["engine"] == "classical") & (analysed["term"] == "mu")]["estimate"].item()
    assert check == pytest.approx(math.exp(bm.classical.pool(RATIOS).estimate), rel=1e-12)


def test_names_of_several() -> None:
    twice = [FIT, ANALYSIS.pooled, ANALYSIS.pooled, bm.classical.pool(EFFECTS)]
    assert list(bm.glance(twice)["fit"]) == ["1", "qol_short 2", "qol_short 3", "4"]
    assert list(bm.glance({"b": FIT, "a": FIT})["fit"]) == ["b", "a"]

    class Joint:
        fits = {"one": FIT}  # noqa: RUF012

    assert list(bm.glance(Joint())["fit"]) == ["one"]


def test_what_a_classical_result_around_a_fit_says_of_its_own() -> None:
    """A preset prints its own prediction interval and I2, or none."""
    item: Any = ONE["preset"]
    table = bm.tidy(item).set_index("term")
    assert table.loc["mu", "estimate"] == item.fit.estimate
    assert ("theta_new" in table.index) == (item.pi_lower is not None)
    assert bm.glance(item)["i2"].item() == pytest.approx(item.i2, nan_ok=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("x", "no tidy table of a str; give a Fit, an Analysis"),
        ([FIT, 3], "no tidy table of a int"),
        ([], "no tidy table of nothing"),
        (pd.DataFrame({"x": [1]}), "no tidy table of a DataFrame"),
        (EFFECTS, "no tidy table of a Effects"),
    ],
)
def test_what_has_no_tidy_table(wrong: object, said: str) -> None:
    for verb in (bm.tidy, bm.glance):
        with pytest.raises(bm.ModelError, match=said):
            verb(wrong)


def test_refusals() -> None:
    with pytest.raises(bm.ModelError, match="a AsymmetryTest is a test or a table"):
        bm.tidy(bm.classical.egger_test(EFFECTS))
    with pytest.raises(bm.ModelError, match="does not know its measure"):
        bm.tidy(bm.classical.pool(EFFECTS), scale="natural")
    with pytest.raises(bm.ModelError, match="unknown scale"):
        bm.tidy(FIT, scale="x")  # type: ignore[arg-type]
