"""Pictures: what is drawn is what the tables say, nothing overlaps or is cut off, and files are the same every time.

Authorities: closed forms where there are any (inverse-variance means, the change of variables from tau to I2, normal
quantiles printed in any statistics table); elsewhere the functions that other files test against R, since a picture
must show their numbers and no others.
"""

from __future__ import annotations

import json
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Polygon
from PIL import Image

import bayesmeta as bm
from bayesmeta.classical import pool, tau2_interval
from bayesmeta.fits import marginal
from bayesmeta.plots import (
    FORMATS,
    Plot,
    benefit_plot,
    bubble_plot,
    bubble_table,
    forest_plot,
    forest_table,
    funnel_plot,
    funnel_table,
    heterogeneity_curves,
    heterogeneity_plot,
    plot_bytes,
    save_plot,
    text_width,
    tick_positions,
)
from bayesmeta.questions import typical_variance
from pictures import assert_texts_apart, axes_of, line, texts

ROOT = Path(__file__).parents[2]
# the same number stored in an artist and computed again
SAME = 1e-12
# trapezoid rule on the 401 drawn points of a smooth density, whose tails are cut at 0.2 %
DRAWN_MASS = 5e-3
# the same between two points in the middle of the range, where nothing is cut
INNER_MASS = 1e-3
# quantiles of the normal distribution are printed with four decimals
PRINTED = 5e-5
# millimetres by which two texts may come near without a reader taking them for one
TOUCH = 0.1
# a printed letter below this many points is not readable
SMALLEST_TYPE = 7.0
# height of a page of a journal with a caption below the picture
PAGE_MM = 250.0


# -- real data ---------------------------------------------------------------------------------------------------------


@cache
def real(protocol: str, key: str, moderated: bool = False) -> bm.Fit:
    chosen = bm.read_protocol(ROOT / f"models/{protocol}.toml")
    outcome = chosen.outcome(key)
    with warnings.catch_warnings():
        # one trial of the interval data has |SMD| > 2, and the reader says so
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        effects = bm.read_effects(chosen, key)
    model = outcome.model.on(effects if moderated else None)
    return bm.fit(effects, model, outcome=outcome, analysis="moderated" if moderated else "pooled")


@cache
def bcg() -> bm.Fit:
    case = json.loads((ROOT / "tests/reference/bcg_rr.json").read_text(encoding="utf-8"))
    effects = bm.Effects(
        case["label"], case["yi"], np.sqrt(case["vi"]), measure="RR", better="lower", name="BCG against tuberculosis"
    )
    return bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))


@cache
def small(k: int = 3, tau: str = "halfnormal(10)") -> bm.Fit:
    effects = bm.Effects(
        ["A trial", "B trial", "C"][:k],
        [12.0, -3.0, 8.0][:k],
        [4.0, 5.0, 3.0][:k],
        measure="MD",
        better="higher",
        unit="m in 6 min",
        name="Walking distance",
    )
    prior = None if tau == "none" else bm.priors.parse(tau)
    return bm.fit(effects, bm.Model(bm.Normal(0, 50), prior))


RATIO = bm.threshold(0.75, worse=1.25, measure_name="RR", better="lower", name="appreciable")
DISTANCE = bm.threshold(14, measure_name="MD", better="higher", name="MID")
PICTURES: dict[str, Callable[[float], Plot]] = {
    "forest fatigue": lambda w: forest_plot(real("cancer_exercise", "fatigue_short"), width_mm=w),
    "forest fatigue by exercise": lambda w: forest_plot(
        real("cancer_exercise", "fatigue_short"),
        subgroup="exercise",
        moderated=real("cancer_exercise", "fatigue_short", True),
        width_mm=w,
    ),
    "forest quality of life": lambda w: forest_plot(real("cancer_exercise", "qol_short"), width_mm=w),
    "forest k = 2": lambda w: forest_plot(real("cancer_exercise", "anxiety_medium"), width_mm=w),
    "forest k = 1": lambda w: forest_plot(small(1), width_mm=w),
    "forest 48 rows": lambda w: forest_plot(
        real("hiit", "vo2max"), favours=("Favours intervals", "Favours continuous"), width_mm=w
    ),
    "forest ratio": lambda w: forest_plot(bcg(), thresholds=[RATIO], common_effect=True, width_mm=w),
    "forest mean difference": lambda w: forest_plot(
        small(), thresholds=[DISTANCE], favours=("Favours exercise of any kind", "Favours usual care"), width_mm=w
    ),
    "heterogeneity fatigue": lambda w: heterogeneity_plot(real("cancer_exercise", "fatigue_short"), width_mm=w),
    "heterogeneity k = 2": lambda w: heterogeneity_plot(real("cancer_exercise", "anxiety_medium"), width_mm=w),
    "heterogeneity k = 1": lambda w: heterogeneity_plot(small(1), width_mm=w),
    "heterogeneity ratio": lambda w: heterogeneity_plot(bcg(), thresholds=[RATIO], width_mm=w),
    "heterogeneity empirical prior": lambda w: heterogeneity_plot(small(3, "rhodes2015()"), width_mm=w),
    "benefit fatigue": lambda w: benefit_plot(real("cancer_exercise", "fatigue_short"), width_mm=w),
    "benefit quality of life": lambda w: benefit_plot(real("cancer_exercise", "qol_short"), width_mm=w),
    "benefit k = 2": lambda w: benefit_plot(real("cancer_exercise", "anxiety_medium"), width_mm=w),
    "benefit ratio": lambda w: benefit_plot(bcg(), thresholds=[RATIO], width_mm=w),
    "benefit common effect": lambda w: benefit_plot(small(3, "none"), thresholds=[DISTANCE], width_mm=w),
    "funnel fatigue": lambda w: funnel_plot(real("cancer_exercise", "fatigue_short"), width_mm=w),
    "funnel k = 2": lambda w: funnel_plot(real("cancer_exercise", "anxiety_medium"), width_mm=w),
    "funnel ratio": lambda w: funnel_plot(bcg(), width_mm=w),
    "bubble depression": lambda w: bubble_plot(
        real("exercise_depression", "depression", True), "duration", x_label="Duration, weeks", width_mm=w
    ),
    "bubble 48 rows": lambda w: bubble_plot(real("hiit", "vo2max", True), "age", width_mm=w),
}


@cache
def picture(name: str, width: float) -> Plot:
    return PICTURES[name](width)


EACH = pytest.mark.parametrize("name", PICTURES)
BOTH_WIDTHS = pytest.mark.parametrize("width", [180.0, 90.0])


def polygon(axes: Axes, label: str) -> np.ndarray:
    (found,) = [item for item in axes.patches if item.get_label() == label]
    assert isinstance(found, Polygon)
    return np.asarray(found.get_xy())


# -- nothing overlaps, nothing is cut off ------------------------------------------------------------------------------


@EACH
@BOTH_WIDTHS
def test_every_text_is_on_the_page_and_apart_from_every_other(name: str, width: float) -> None:
    assert_texts_apart(picture(name, width), TOUCH)


@EACH
def test_type_is_readable_at_journal_width(name: str) -> None:
    plot = picture(name, 180.0)
    assert min(text.get_fontsize() for text, _ in texts(plot)) >= SMALLEST_TYPE
    width, height = plot.figure.get_size_inches() * 25.4
    assert width == pytest.approx(180.0, abs=1e-9)
    assert height <= PAGE_MM


def test_measured_text_is_as_wide_as_drawn_text() -> None:
    # columns are laid out by `text_width`; what the renderer draws at print resolution must not be wider
    plot = forest_plot(bcg())
    flat = [(text, box) for text, box in texts(plot) if text.get_rotation() == 0]
    assert len(flat) > 50
    for text, box in flat:
        bold = text.get_fontweight() == "bold"
        measured = text_width(text.get_text(), text.get_fontsize(), bold=bold)
        assert box.width / 300 * 25.4 <= measured + TOUCH, text


# -- forest ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", [real("cancer_exercise", "fatigue_short"), bcg()], ids=["fatigue", "bcg"])
def test_forest_draws_the_study_table_and_the_summaries(fit: bm.Fit) -> None:
    plot = forest_plot(fit)
    axes = axes_of(plot, "forest")
    studies = bm.study_table(fit)
    for row in studies.to_dict("records"):
        for what, ends, centre in (
            ("reported", (row["lower"], row["upper"]), row["y"]),
            ("shrinkage", (row["theta_lower"], row["theta_upper"]), row["theta"]),
        ):
            whisker = np.asarray(line(axes, f"{what} whisker: {row['label']}").get_xdata())
            np.testing.assert_allclose(whisker, ends, rtol=SAME)
            np.testing.assert_allclose(line(axes, f"{what}: {row['label']}").get_xdata(), [centre], rtol=SAME)
    sides = [line(axes, f"reported: {label}").get_markersize() for label in studies["label"]]
    area, weight = np.square(sides), studies["weight"].to_numpy()
    np.testing.assert_allclose(area / area.max(), weight / weight.max(), rtol=1e-9)
    mu, new = (bm.predict(fit).loc[name] for name in ("mu", "theta_new"))
    corners = polygon(axes, "Bayesian mean effect")
    np.testing.assert_allclose(corners[:4, 0], [mu["lower"], mu["median"], mu["upper"], mu["median"]], rtol=SAME)
    np.testing.assert_allclose(line(axes, "Effect in a new study").get_xdata(), [new["lower"], new["upper"]], rtol=SAME)
    classical = pool(fit.effects, method="REML", ci="hksj", rho=fit.model.rho)
    corners = polygon(axes, "Classical mean (REML, HKSJ)")
    np.testing.assert_allclose(
        corners[:4, 0], [classical.lower, classical.estimate, classical.upper, classical.estimate], rtol=SAME
    )
    bar = line(axes, "REML prediction, t(k \u2212 1)").get_xdata()
    np.testing.assert_allclose(bar, [classical.pi_lower, classical.pi_upper], rtol=SAME)


def test_forest_density_is_that_of_the_effect_in_a_new_study() -> None:
    fit = real("cancer_exercise", "fatigue_short")
    outline = polygon(axes_of(forest_plot(fit), "forest"), "predictive density")
    x, y = outline[1:-2, 0], outline[0, 1] - outline[1:-2, 1]
    density = marginal(fit, "theta_new").density(x)
    np.testing.assert_allclose(y / y.max(), density / density.max(), atol=1e-9)


def test_forest_of_a_common_effect_is_the_inverse_variance_mean() -> None:
    # closed form under a flat prior: sum(w y) / sum(w) with variance 1 / sum(w)
    effects = bm.Effects(["A", "B"], [-0.4, -0.1], [0.2, 0.1], measure="SMD", better="lower")
    w = effects.se**-2.0
    mean, half = (w @ effects.y) / w.sum(), 1.959963984540054 / np.sqrt(w.sum())
    plot = forest_plot(bm.fit(effects, bm.Model(bm.Flat(), None)), common_effect=True)
    for label in ("Bayesian mean effect", "Common effect (classical)"):
        corners = polygon(axes_of(plot, "forest"), label)
        np.testing.assert_allclose(corners[:3, 0], [mean - half, mean, mean + half], rtol=1e-9)
    assert "new study" not in plot.table["kind"].tolist()
    assert "one true effect in all studies" in plot.alt


def test_forest_groups_rows_and_gives_each_level_the_moderated_mean() -> None:
    fit, moderated = real("cancer_exercise", "fatigue_short"), real("cancer_exercise", "fatigue_short", True)
    plot = forest_plot(fit, subgroup="exercise", moderated=moderated)
    kinds = plot.table.groupby("group", sort=False)["kind"].apply(list)
    values = fit.effects.moderators["exercise"]
    for level in ("aerobic", "resistance", "yoga"):
        number = int((values == level).sum())
        assert kinds[level] == ["heading", *["estimate"] * number, "level mean"]
        mu = bm.predict(moderated, {"exercise": level}).loc["mu"]
        trials = len({study for study, value in zip(fit.effects.study, values, strict=True) if value == level})
        name = f"Mean effect, {level} ({trials} trials)"
        corners = polygon(axes_of(plot, "forest"), name)
        np.testing.assert_allclose(corners[:3, 0], mu[["lower", "median", "upper"]].to_numpy(float), rtol=SAME)
        assert f"{name}: {mu['median']:.2f}" in plot.alt
    # trials, level means, the mean and a new study are of one model, the moderated one
    theirs = bm.study_table(moderated).set_index("label")["theta"]
    estimates = plot.table[plot.table["kind"] == "estimate"].set_index("label")["theta"]
    np.testing.assert_allclose(estimates, theirs[estimates.index], rtol=SAME)
    mean = plot.table.set_index("kind").loc["mean", "estimate"]
    assert mean == bm.summarize(moderated).loc["mu", "median"]
    assert "classical mean" not in plot.table["kind"].tolist()
    # metafor 3.8: rma.mv, test of exercise beside timing, scaled by s2 of the residuals (tests/moderators)
    assert "Test of exercise: F(2, 28) = 1.00, p = 0.380" in plot.alt
    assert set(plot.table.loc[plot.table["kind"] == "estimate", "label"]) == set(fit.effects.label)
    headings_only = forest_table(fit, subgroup="exercise")
    assert "level mean" not in headings_only["kind"].tolist()


def test_forest_orders_rows_as_asked() -> None:
    fit = bcg()
    rows = {
        order: forest_table(fit, order=order).query("kind == 'estimate'") for order in ("given", "estimate", "weight")
    }
    assert rows["given"]["label"].tolist() == list(fit.effects.label)
    assert rows["estimate"]["estimate"].is_monotonic_increasing
    assert rows["weight"]["weight"].is_monotonic_decreasing


def test_ratios_are_written_as_ratios() -> None:
    # BCG data as printed in metafor's dat.bcg: Aronson 1948 has RR 0.41 [0.13, 1.26] (forest plot of its documentation)
    plot = forest_plot(bcg(), thresholds=[RATIO])
    table = plot.table.set_index("label")
    assert table.loc["Aronson 1948", "text"] == "0.41 [0.13, 1.26]"
    axes = axes_of(plot, "forest")
    places = axes.xaxis.get_majorticklocs()
    labels = [float(label.get_text()) for label in axes.get_xticklabels()]
    np.testing.assert_allclose(np.exp(places), labels, rtol=1e-9)
    assert "Risk ratio (log scale)" in [text.get_text() for text, _ in texts(plot)]
    np.testing.assert_allclose(
        line(axes, "Threshold of benefit, appreciable (0.75)").get_xdata(), [np.log(0.75)] * 2, rtol=SAME
    )


def test_whiskers_beyond_the_axis_end_in_an_arrow_and_the_picture_says_so() -> None:
    effects = bm.Effects(["A", "B", "C"], [0.1, 0.2, 0.0], [0.1, 0.1, 9.0], measure="SMD", better="lower")
    plot = forest_plot(bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))))
    axes = axes_of(plot, "forest")
    low, high = axes.get_xlim()
    whisker = np.asarray(line(axes, "reported whisker: C").get_xdata(), float)
    assert whisker[0] < low
    assert whisker[1] > high
    arrows = [item for item in axes.lines if item.get_marker() in ("<", ">")]
    assert {float(np.asarray(item.get_xdata())[0]) for item in arrows} == {low, high}
    assert any("arrowhead" in text.get_text() for text, _ in texts(plot))
    quiet = picture("forest fatigue", 180.0)
    inner = axes_of(quiet, "forest")
    table = quiet.table.query("kind == 'estimate'")
    assert inner.get_xlim()[0] <= table["lower"].min()
    assert inner.get_xlim()[1] >= table["upper"].max()


def test_one_estimate_has_no_classical_random_effects_and_says_why() -> None:
    plot = forest_plot(small(1))
    row = plot.table.query("kind == 'classical mean'").iloc[0]
    assert row["text"].startswith("not defined: REML: one estimate")
    assert "not defined: REML: one estimate" in plot.alt


@pytest.mark.parametrize(
    ("better", "left", "right"), [("lower", "treatment", "control"), ("higher", "control", "treatment")]
)
def test_words_stand_on_the_side_that_is_favoured(better: str, left: str, right: str) -> None:
    effects = bm.Effects(["A", "B"], [-0.4, -0.1], [0.2, 0.1], measure="SMD", better=better)
    plot = forest_plot(bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))))
    found = {text.get_text(): box for text, box in texts(plot) if "Favours" in text.get_text()}
    assert set(found) == {f"\u2190 Favours {left}", f"Favours {right} \u2192"}
    assert found[f"\u2190 Favours {left}"].x1 < found[f"Favours {right} \u2192"].x0


# -- heterogeneity -----------------------------------------------------------------------------------------------------


def test_heterogeneity_bars_are_the_posterior_and_the_q_profile() -> None:
    fit = real("cancer_exercise", "fatigue_short")
    plot = heterogeneity_plot(fit)
    table = bm.heterogeneity_table(fit)
    limits = tau2_interval(fit.effects, rho=fit.model.rho)
    classical = pool(fit.effects, method="REML", ci="hksj", rho=fit.model.rho)
    assert limits.tau2[1] is not None
    assert limits.i2[1] is not None
    tau, i2 = axes_of(plot, "tau"), axes_of(plot, "i2")
    for axes, name in ((tau, "tau"), (i2, "i2")):
        bar = line(axes, f"{name}: posterior interval").get_xdata()
        np.testing.assert_allclose(bar, table.loc[name, ["lower", "upper"]].to_numpy(float), rtol=SAME)
        dot = line(axes, f"{name}: posterior estimate").get_xdata()
        np.testing.assert_allclose(dot, [table.loc[name, "median"]], rtol=SAME)
    np.testing.assert_allclose(line(tau, "tau: classical interval").get_xdata(), np.sqrt(limits.tau2), rtol=SAME)
    np.testing.assert_allclose(line(tau, "tau: classical estimate").get_xdata(), [np.sqrt(classical.tau2)], rtol=SAME)
    np.testing.assert_allclose(line(i2, "i2: classical interval").get_xdata(), limits.i2, rtol=SAME)
    new = axes_of(plot, "theta_new")
    bar = line(new, "theta_new: classical interval").get_xdata()
    np.testing.assert_allclose(bar, [classical.pi_lower, classical.pi_upper], rtol=SAME)


@pytest.mark.parametrize("fit", [real("cancer_exercise", "fatigue_short"), bcg()], ids=["fatigue", "bcg"])
def test_densities_are_densities(fit: bm.Fit) -> None:
    table = heterogeneity_curves(fit)
    curves = table[table["kind"] == "posterior density"]
    tau, typical = marginal(fit, "tau"), typical_variance(fit)
    assert typical is not None
    for panel, part in curves.groupby("panel"):
        x, y = part["x"].to_numpy(), part["y"].to_numpy()
        assert np.trapezoid(y, x) == pytest.approx(1.0, abs=DRAWN_MASS), panel
    # closed form: P(I2 <= q) = P(tau <= s sqrt(q / (1 - q)))
    part = curves[curves["panel"] == "i2"]
    x, y = part["x"].to_numpy(), part["y"].to_numpy()
    for low, high in ((100, 250), (150, 380)):
        q = x[[low, high]] / 100
        below = tau.cdf(np.sqrt(typical * q / (1 - q)))
        mass = np.trapezoid(y[low : high + 1], x[low : high + 1])
        assert mass == pytest.approx(below[1] - below[0], abs=INNER_MASS)
    prior = table[(table["panel"] == "tau") & (table["kind"] == "prior density")]
    x = prior["x"].to_numpy()
    # the half-normal density with scale 1/2, by its formula
    np.testing.assert_allclose(prior["y"], np.sqrt(2 / np.pi) / 0.5 * np.exp(-2 * x**2), rtol=1e-10)


def test_an_improper_prior_has_no_curve() -> None:
    fit = bm.fit(bcg().effects, bm.Model(bm.Flat(), bm.Jeffreys()))
    plot = heterogeneity_plot(fit)
    assert "prior density" not in plot.table["kind"].tolist()
    assert any("improper" in text.get_text() for text, _ in texts(plot))


def test_a_common_effect_has_no_heterogeneity() -> None:
    with pytest.raises(bm.ModelError, match="common-effect model"):
        heterogeneity_plot(small(3, "none"))


# -- benefit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fit", "thresholds"),
    [(real("cancer_exercise", "fatigue_short"), None), (real("cancer_exercise", "qol_short"), None), (bcg(), [RATIO])],
    ids=["lower is better", "higher is better", "ratio"],
)
def test_benefit_curve_runs_towards_benefit_and_passes_through_the_table(
    fit: bm.Fit, thresholds: list[bm.Threshold] | None
) -> None:
    plot = benefit_plot(fit, thresholds=thresholds)
    axes = axes_of(plot, "benefit")
    sign = 1 if fit.effects.better == "higher" else -1
    odds = bm.benefit_table(fit, thresholds)
    for target, column, name in (("mean effect", "p_mean", "mu"), ("new study", "p_new", "theta_new")):
        curve = line(axes, target)
        x, y = np.asarray(curve.get_xdata(), float), np.asarray(curve.get_ydata(), float)
        np.testing.assert_allclose(y, 100 * plot.table[column], rtol=SAME)
        assert (np.diff(y) <= 1e-9).all()
        form = marginal(fit, name)
        expected = form.sf(sign * x) if sign > 0 else form.cdf(sign * x)
        np.testing.assert_allclose(y, 100 * expected, atol=1e-6)
        marks = line(axes, f"{target} at thresholds")
        rows = odds[odds["target"] == target]
        np.testing.assert_allclose(np.asarray(marks.get_xdata())[1:], rows["benefit"], rtol=SAME)
        np.testing.assert_allclose(np.asarray(marks.get_ydata())[1:], 100 * rows["p_important_benefit"], rtol=SAME)
        for p in (*rows["p_any_benefit"], *rows["p_important_benefit"], *rows["p_important_harm"]):
            assert bm.percent(p) in plot.alt
    # labels are natural effects, better to the right
    labels = [label.get_text().replace("\u2212", "-") for label in axes.get_xticklabels()]
    natural = np.array([float(label) for label in labels])
    places = np.asarray(axes.xaxis.get_majorticklocs())
    back = np.exp(sign * places) if fit.effects.measure == "RR" else sign * places
    np.testing.assert_allclose(natural, back, atol=1e-9)


def test_a_distribution_over_thresholds_is_in_the_table_and_not_on_the_axis() -> None:
    # P(benefit >= M) averaged over M ~ uniform(0.2, 0.4): the trapezoid rule over M as an independent integral
    fit = real("cancer_exercise", "fatigue_short")
    spread = bm.Threshold("MID", 0.3, 0.3, bm.Uniform(0.2, 0.4), bm.Uniform(0.2, 0.4), "made up", "panel", True)
    plot = benefit_plot(fit, thresholds=[spread])
    axes = axes_of(plot, "benefit")
    m = np.linspace(0.2, 0.4, 2001)
    expected = float(np.trapezoid(marginal(fit, "theta_new").cdf(-m), m) / 0.2)
    written = next(text for text, _ in texts(plot) if text.get_text() == bm.percent(expected))
    assert written is not None
    marks = np.asarray(line(axes, "mean effect at thresholds").get_xdata(), float)
    assert len(marks) == 3
    assert np.isfinite(marks).all()
    assert any(text.get_text() == "Benefit, MID (averaged)" for text, _ in texts(plot))
    assert forest_plot(fit, thresholds=[spread]).alt


def test_no_probability_is_written_as_certain() -> None:
    for name in PICTURES:
        plot = picture(name, 180.0)
        words = [plot.alt, *(text.get_text() for text, _ in texts(plot))]
        certain = [word for word in words if re.search(r"(?<!I\u00b2 )(?<![\d.<>])(0|0\.0|100|100\.0) %", word)]
        assert not certain, name


def test_benefit_needs_a_direction() -> None:
    effects = bm.Effects(["A", "B"], [-0.4, -0.1], [0.2, 0.1], measure="SMD")
    with pytest.raises(bm.ModelError, match="higher"):
        benefit_plot(bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))))


# -- funnel and bubble -------------------------------------------------------------------------------------------------


def test_funnel_points_are_the_data_and_contours_are_normal_quantiles() -> None:
    fit = bcg()
    axes = axes_of(funnel_plot(fit), "funnel")
    dots = line(axes, "estimates")
    np.testing.assert_array_equal(dots.get_xdata(), fit.effects.y)
    np.testing.assert_array_equal(dots.get_ydata(), fit.effects.se)
    deepest, top = axes.get_ylim()
    assert top == 0.0
    assert deepest > fit.effects.se.max()
    # two-sided 10, 5 and 1 % points of the normal distribution, as printed in any table
    for p, z in ((0.1, 1.6449), (0.05, 1.9600), (0.01, 2.5758)):
        corners = polygon(axes, f"p = {p}")
        np.testing.assert_allclose(np.abs(corners[1:3, 0]) / deepest, z, atol=PRINTED)
    mu = float(bm.predict(fit).loc["mu", "median"])
    np.testing.assert_allclose(line(axes, "mean").get_xdata(), [mu, mu], rtol=SAME)
    limits = [np.asarray(item.get_xdata())[1] for item in axes.lines if item.get_label() == "pseudo limit"]
    np.testing.assert_allclose((np.array(limits) - mu) / deepest, [-1.9600, 1.9600], atol=PRINTED)


def test_funnel_p_values_and_counts_agree_with_a_hand_count() -> None:
    # z = -0.8893/0.5706 = 1.56 and so on: the BCG table has 6 of 13 trials with |z| > 2.5758
    case = json.loads((ROOT / "tests/reference/bcg_rr.json").read_text(encoding="utf-8"))
    z = np.abs(np.array(case["yi"])) / np.sqrt(case["vi"])
    table = funnel_table(bcg())
    assert int((table["p"] < 0.01).sum()) == int((z > 2.5758).sum())
    assert f"{int((z > 2.5758).sum())} below 0.01" in funnel_plot(bcg()).alt


@pytest.mark.parametrize(("key", "few"), [("anxiety_medium", True), ("fatigue_short", False)])
def test_few_trials_say_nothing_about_asymmetry(key: str, few: bool) -> None:
    plot = funnel_plot(real("cancer_exercise", key))
    phrase = "cannot be judged with fewer than 10 trials"
    assert any(phrase in text.get_text() for text, _ in texts(plot)) is few
    assert (phrase in plot.alt) is few


def test_bubbles_are_the_data_and_the_band_ends_with_them() -> None:
    fit = real("exercise_depression", "depression", True)
    plot = bubble_plot(fit, "duration")
    axes = axes_of(plot, "bubble")
    (dots,) = [item for item in axes.collections if item.get_label() == "estimates"]
    weeks = fit.effects.moderators["duration"]
    np.testing.assert_array_equal(np.asarray(dots.get_offsets()), np.column_stack([weeks, fit.effects.y]))
    weight = bm.study_table(fit)["weight"].to_numpy()
    areas = dots.get_sizes()
    np.testing.assert_allclose(areas / areas.max(), weight / weight.max(), rtol=1e-9)
    median = line(axes, "median")
    x = np.asarray(median.get_xdata(), float)
    assert (x.min(), x.max()) == (weeks.min(), weeks.max())
    for at in (0, 20, 40):
        mu = bm.predict(fit, {"duration": float(x[at])}).loc["mu"]
        assert np.asarray(median.get_ydata())[at] == pytest.approx(mu["median"], abs=SAME)
    slope = bm.contrast_table(fit).set_index("moderator").loc["duration"]
    assert f"{slope['median']:.3f}" in plot.alt


def test_bubble_refuses_categories_and_lists_what_there_is() -> None:
    fit = real("cancer_exercise", "fatigue_short", True)
    with pytest.raises(bm.ModelError, match="categorical; a bubble plot needs numbers"):
        bubble_plot(fit, "exercise")
    with pytest.raises(bm.ModelError, match=r"is numeric\. Allowed: age, duration"):
        bubble_table(real("hiit", "vo2max", True), "weeks")


# -- alt text, files, and what is left alone ---------------------------------------------------------------------------


@EACH
def test_alt_text_holds_the_size_and_the_mean_effect(name: str) -> None:
    plot = picture(name, 180.0)
    assert re.search(r"\d+ estimates? from \d+ trials?", plot.alt)
    assert "95 % central credible interval" in plot.alt
    assert "\n" not in plot.alt
    assert plot.title
    assert isinstance(plot.table, pd.DataFrame)


def test_forest_alt_text_holds_the_numbers() -> None:
    fit = real("cancer_exercise", "fatigue_short")
    alt = forest_plot(fit).alt
    table = bm.predict(fit)
    for name in ("mu", "theta_new"):
        for column in ("median", "lower", "upper"):
            assert f"{table.loc[name, column]:.2f}" in alt
    classical = pool(fit.effects, method="REML", ci="hksj", rho=fit.model.rho)
    assert f"{classical.lower:.2f} to {classical.upper:.2f}" in alt
    tau = bm.heterogeneity_table(fit).loc["tau"]
    assert f"tau {tau['median']:.2f} (95 % central credible interval {tau['lower']:.2f} to {tau['upper']:.2f})" in alt
    row = bm.benefit_table(fit).iloc[0]
    assert bm.percent(float(row["p_important_benefit"])) in alt
    assert "35 estimates from 32 trials, 3,102 participants" in alt


@pytest.mark.parametrize("fmt", FORMATS)
def test_files_are_written_whole_carry_the_alt_text_and_are_the_same_every_time(fmt: str, tmp_path: Path) -> None:
    contents = []
    for run in range(2):
        plot = forest_plot(bcg(), thresholds=[RATIO])
        path = save_plot(plot, tmp_path / f"forest {run}.{fmt}", dpi=100)
        contents.append(path.read_bytes())
        # and again from the same figure
        assert save_plot(plot, path, dpi=100).read_bytes() == contents[-1]
    assert contents[0] == contents[1]
    assert len(contents[0]) > 5000
    assert sorted(item.name for item in tmp_path.iterdir()) == [f"forest 0.{fmt}", f"forest 1.{fmt}"]
    if fmt == "png":
        with Image.open(tmp_path / "forest 0.png") as image:
            assert image.info["Description"] == plot.alt
            assert image.info["Title"] == plot.title
    elif fmt == "svg":
        root = ET.fromstring(contents[0])
        space = "{http://www.w3.org/2000/svg}"
        assert root.attrib["role"] == "img"
        assert [(child.tag, child.text) for child in root[:2]] == [
            (f"{space}title", plot.title),
            (f"{space}desc", plot.alt),
        ]
    else:
        assert b"/Subject" in contents[0]
        assert b"/CreationDate" not in contents[0]


@pytest.mark.parametrize(
    "name", ["forest k = 2", "heterogeneity k = 2", "benefit ratio", "funnel ratio", "bubble depression"]
)
@pytest.mark.parametrize("fmt", FORMATS)
def test_every_kind_of_picture_becomes_every_format(name: str, fmt: str) -> None:
    content = plot_bytes(picture(name, 180.0), fmt, dpi=50)
    assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[fmt])


def test_other_formats_and_widths_are_refused(tmp_path: Path) -> None:
    plot = funnel_plot(small())
    with pytest.raises(bm.ModelError, match=r"Allowed: \.png, \.svg, \.pdf"):
        save_plot(plot, tmp_path / "funnel.eps")
    with pytest.raises(bm.ModelError, match="Allowed: png, svg, pdf"):
        plot_bytes(plot, "jpg")
    with pytest.raises(bm.ModelError, match="dpi"):
        plot_bytes(plot, "png", dpi=0)
    with pytest.raises(bm.ModelError, match="journals use 90 and 180"):
        funnel_plot(small(), width_mm=20)
    assert not list(tmp_path.iterdir())


def test_wrong_questions_are_refused_with_what_is_allowed() -> None:
    fit, moderated = real("cancer_exercise", "fatigue_short"), real("cancer_exercise", "fatigue_short", True)
    other = real("cancer_exercise", "qol_short", True)
    with pytest.raises(bm.ModelError, match="Allowed: exercise, timing"):
        forest_plot(fit, subgroup="type")
    with pytest.raises(bm.ModelError, match="numeric"):
        forest_plot(real("hiit", "vo2max"), subgroup="age")
    with pytest.raises(bm.ModelError, match="without subgroup"):
        forest_plot(fit, moderated=moderated)
    with pytest.raises(bm.ModelError, match="other estimates"):
        forest_plot(fit, subgroup="exercise", moderated=other)
    with pytest.raises(bm.ModelError, match="It has: none"):
        forest_plot(fit, subgroup="exercise", moderated=fit)
    with pytest.raises(bm.ModelError, match="Allowed: given, effect, estimate, precision, weight, year, exercise"):
        forest_plot(fit, order="size")


def test_drawing_changes_neither_the_fit_nor_the_users_settings() -> None:
    fit = bcg()
    before = [array.copy() for array in (fit.effects.y, fit.effects.se, fit.quadrature.weights, fit.quadrature.tau)]
    with mpl.rc_context({"font.size": 20.0, "svg.fonttype": "none", "axes.facecolor": "black"}):
        settings = dict(mpl.rcParams)
        theirs = plot_bytes(forest_plot(fit), "svg")
        assert dict(mpl.rcParams) == settings
    after = [fit.effects.y, fit.effects.se, fit.quadrature.weights, fit.quadrature.tau]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    assert theirs == plot_bytes(forest_plot(fit), "svg")


def test_pyplot_sees_no_figure() -> None:
    import matplotlib.pyplot as plt

    # whatever was drawn by pyplot before, by a page of the docs or a peer's library, is not ours
    before = plt.get_fignums()
    forest_plot(small())
    assert plt.get_fignums() == before


@pytest.mark.parametrize(("low", "high"), [(-3.0, 1.0), (-0.2, 0.15), (-0.7, 0.9), (-6.0, 6.0), (0.5, 2.5)])
def test_ratio_ticks_are_inside_ascend_and_are_few_enough(low: float, high: float) -> None:
    for most in (3, 5, 8, 11):
        ticks = tick_positions(bm.measures.measure("RR"), low, high, most)
        assert 2 <= len(ticks) <= most + 1
        assert (np.diff(ticks) > 0).all()
        assert np.exp(low) * (1 - 1e-9) <= ticks[0]
        assert ticks[-1] <= np.exp(high) * (1 + 1e-9)
