"""Pictures of the sensitivity bench show the numbers of their tables, at both widths, and say them in words.

Authorities: R metafor 3.8.1 (``tests/reference/influence_metafor.json``, ``small_study_metafor.json``) for what is
drawn of leave-one-out, Baujat and trim and fill; closed forms (normal and t tails, regression through the origin,
quantiles by adaptive quadrature); elsewhere the tables, which other files test.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from functools import cache

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.classical import gosh, influence_table, pool
from bayesmeta.fits import marginal
from bayesmeta.plots import (
    BAYES,
    CLASSICAL,
    FORMATS,
    Plot,
    baujat_plot,
    cumulative_plot,
    deletion_plot,
    drapery_plot,
    funnel_plot,
    funnel_table,
    gosh_plot,
    influence_plot,
    ladder_plot,
    plot_bytes,
    radial_plot,
    radial_table,
    specification_plot,
)
from bayesmeta.questions import summarize
from bayesmeta.sensitivity import NamedPrior, leave_one_out, multiverse_table, prior_bench_table
from pictures import assert_texts_apart, axes_of, line, texts
from references import ROOT, effects_of, reference

# the same number stored in an artist and computed again
SAME = 1e-12
# metafor iterated REML to convergence
ITERATED = 1e-6
# differences of numbers near zero
FLOOR = 1e-9
# two refits of one posterior, each with nodes of its own (architecture: 1e-8 of every answer)
REFIT = 1e-7
# quantiles by halving of a distribution that is itself a quadrature
HALVED = 1e-7
# millimetres by which two texts may come near, and the height of a page, as in plots/test_plots.py
TOUCH, PAGE_MM, SMALLEST_TYPE = 0.1, 250.0, 7.0
# bytes
SVG_LIMIT = 1_000_000


# -- data --------------------------------------------------------------------------------------------------------------


@cache
def real(protocol: str, key: str) -> bm.Fit:
    chosen = bm.read_protocol(ROOT / f"models/{protocol}.toml")
    outcome = chosen.outcome(key)
    return bm.fit(bm.read_effects(chosen, key), outcome.model.on(), outcome=outcome)


@cache
def bcg() -> bm.Fit:
    effects = dataclasses.replace(effects_of("bcg_rr", better="lower"), name="BCG against tuberculosis")
    return bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))


@cache
def small(k: int, sign: int = 1, scale: float = 1.0) -> bm.Fit:
    """Mean differences of few trials with names of any length."""
    names = ["A trial whose name is as long as the titles that some registries ask for, and longer", "B", "Trial C"]
    y, se = sign * scale * np.array([12.0, -3.0, 8.0]), scale * np.array([4.0, 5.0, 3.0])
    effects = bm.Effects(
        names[:k],
        y[:k],
        se[:k],
        measure="MD",
        unit="m in 6 min",
        better="higher" if sign > 0 else "lower",
        name="Walking distance",
    )
    return bm.fit(effects, bm.Model(bm.Normal(0, 50 * scale), bm.HalfNormal(10 * scale)))


@cache
def equal() -> bm.Fit:
    effects = bm.Effects(list("ABCD"), [0.2] * 4, [0.1, 0.001, 0.2, 0.1], measure="SMD", better="higher")
    return bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


FATIGUE = ("cancer_exercise", "fatigue_short")
DEPRESSION = ("exercise_depression", "depression")
ANXIETY = ("cancer_exercise", "anxiety_long")
RATIO = bm.threshold(0.75, worse=1.25, measure_name="RR", better="lower", name="appreciable")

PICTURES: dict[str, Callable[[float], Plot]] = {
    "deletion fatigue": lambda w: deletion_plot(real(*FATIGUE), width_mm=w),
    "deletion ratio": lambda w: deletion_plot(bcg(), threshold=RATIO, width_mm=w),
    "deletion k = 2": lambda w: deletion_plot(small(2), width_mm=w),
    "deletion k = 3, long name": lambda w: deletion_plot(small(3), width_mm=w),
    "deletion, all equal": lambda w: deletion_plot(equal(), width_mm=w),
    "cumulative depression": lambda w: cumulative_plot(real(*DEPRESSION), width_mm=w),
    "cumulative ratio": lambda w: cumulative_plot(bcg(), width_mm=w),
    "cumulative k = 1": lambda w: cumulative_plot(small(1), width_mm=w),
    "cumulative shared controls": lambda w: cumulative_plot(real(*ANXIETY), width_mm=w),
    "baujat shared controls": lambda w: baujat_plot(real(*FATIGUE), width_mm=w),
    "baujat depression": lambda w: baujat_plot(real(*DEPRESSION), width_mm=w),
    "baujat ratio": lambda w: baujat_plot(bcg(), width_mm=w),
    "baujat k = 3, long name": lambda w: baujat_plot(small(3), width_mm=w),
    "baujat, all equal": lambda w: baujat_plot(equal(), width_mm=w),
    "influence ratio": lambda w: influence_plot(bcg(), width_mm=w),
    "subsets sample": lambda w: gosh_plot(real(*FATIGUE), max_subsets=3000, width_mm=w),
    "subsets all": lambda w: gosh_plot(real(*DEPRESSION), width_mm=w),
    "subsets tau": lambda w: gosh_plot(real(*ANXIETY), spread="tau", width_mm=w),
    "subsets k = 2": lambda w: gosh_plot(small(2), width_mm=w),
    "subsets, all equal": lambda w: gosh_plot(equal(), width_mm=w),
    "subsets ratio": lambda w: gosh_plot(bcg(), highlight="8 TPT Madras 1980", width_mm=w),
    "specification fatigue": lambda w: specification_plot(real(*FATIGUE), width_mm=w),
    "specification new study": lambda w: specification_plot(real(*DEPRESSION), target="new study", width_mm=w),
    "specification ratio": lambda w: specification_plot(bcg(), threshold=RATIO, width_mm=w),
    "specification k = 2": lambda w: specification_plot(small(2), width_mm=w),
    "drapery fatigue": lambda w: drapery_plot(real(*FATIGUE), width_mm=w),
    "drapery ratio": lambda w: drapery_plot(bcg(), width_mm=w),
    "drapery k = 1": lambda w: drapery_plot(small(1), width_mm=w),
    "radial fatigue": lambda w: radial_plot(real(*FATIGUE), width_mm=w),
    "radial total": lambda w: radial_plot(real(*DEPRESSION), scale="total", width_mm=w),
    "radial ratio": lambda w: radial_plot(bcg(), width_mm=w),
    "radial k = 1": lambda w: radial_plot(small(1), width_mm=w),
    "radial k = 3, long name": lambda w: radial_plot(small(3), width_mm=w),
    "ladder fatigue": lambda w: ladder_plot(real(*FATIGUE), width_mm=w),
    "ladder ratio": lambda w: ladder_plot(bcg(), threshold=RATIO, width_mm=w),
    "ladder k = 1": lambda w: ladder_plot(small(1), width_mm=w),
    "funnel filled": lambda w: funnel_plot(real(*DEPRESSION), fill="L0", width_mm=w),
    "funnel filled, shared controls": lambda w: funnel_plot(real(*FATIGUE), fill="R0", width_mm=w),
    "funnel filled, ratio": lambda w: funnel_plot(bcg(), fill="Q0", width_mm=w),
}


@cache
def usual(name: str) -> Plot:
    return PICTURES[name](180.0)


def picture(name: str, width: float = 180.0) -> Plot:
    # those of other widths are asked for once, and eighty figures need not be kept
    return usual(name) if width == 180.0 else PICTURES[name](width)


def scattered(axes: Axes, label: str) -> np.ndarray:
    (found,) = [item for item in axes.collections if item.get_label() == label]
    return np.asarray(found.get_offsets())


def segments(axes: Axes, label: str) -> np.ndarray:
    (found,) = [item for item in axes.collections if item.get_label() == label and isinstance(item, LineCollection)]
    return np.array(found.get_segments())


# -- every picture -----------------------------------------------------------------------------------------------------


def test_every_picture_of_the_bench_is_drawn() -> None:
    kinds = {name.partition(" ")[0].rstrip(",") for name in PICTURES}
    assert kinds == {
        "deletion",
        "cumulative",
        "baujat",
        "influence",
        "subsets",
        "specification",
        "drapery",
        "radial",
        "ladder",
        "funnel",
    }
    assert len(PICTURES) >= 39


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("width", [180.0, 85.0])
def test_every_text_is_on_the_page_and_apart_from_every_other(name: str, width: float) -> None:
    assert_texts_apart(picture(name, width), TOUCH)


@pytest.mark.parametrize("name", PICTURES)
def test_pages_are_printable_told_in_words_and_in_every_format(name: str) -> None:
    plot = picture(name)
    assert min(text.get_fontsize() for text, _ in texts(plot)) >= SMALLEST_TYPE
    width, height = plot.figure.get_size_inches() * 25.4
    assert width == pytest.approx(180.0, abs=1e-9)
    assert height <= PAGE_MM
    assert re.search(r"\d+ estimate", plot.alt)
    assert len(plot.alt) > 150
    assert "\n" not in plot.alt
    assert not re.search(r"\bnan\b|\binf\b|None", plot.alt)
    for words in (plot.alt, *(text.get_text() for text, _ in texts(plot))):
        assert not re.search(r"(?<![\d.<>])(0|0\.0|100|100\.0) %", words), words
    for fmt in FORMATS:
        content = plot_bytes(plot, fmt, dpi=40)
        assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[fmt])
        if fmt == "svg":
            assert len(content) < SVG_LIMIT


def test_drawing_leaves_settings_alone_and_is_the_same_every_time() -> None:
    before = dict(mpl.rcParams)
    for name in ("radial ratio", "subsets all", "specification ratio"):
        assert plot_bytes(PICTURES[name](180.0), "png", dpi=50) == plot_bytes(PICTURES[name](180.0), "png", dpi=50)
    assert dict(mpl.rcParams) == before


def test_ratios_have_ticks_on_the_natural_scale() -> None:
    for name, label in (
        ("deletion ratio", "deletion"),
        ("drapery ratio", "drapery"),
        ("subsets ratio", "gosh"),
        ("ladder ratio", "ladder"),
    ):
        axes = axes_of(picture(name), label)
        written = [float(text.get_text()) for text in axes.get_xticklabels()]
        np.testing.assert_allclose(np.exp(axes.xaxis.get_majorticklocs()), written, rtol=1e-9)
        assert any("Risk ratio (log scale)" in text.get_text() for text, _ in texts(picture(name)))
    axes = axes_of(picture("specification ratio"), "curve")
    written = [float(text.get_text()) for text in axes.get_yticklabels()]
    np.testing.assert_allclose(np.exp(axes.yaxis.get_majorticklocs()), written, rtol=1e-9)


@pytest.mark.parametrize("draw", [baujat_plot, influence_plot, gosh_plot, drapery_plot, radial_plot, ladder_plot])
def test_pictures_of_the_pooled_analysis_refuse_moderators(draw: Callable[[bm.Fit], Plot]) -> None:
    effects = bm.Effects(list("ABCD"), [0.1, 0.2, 0.3, 0.1], [0.1] * 4, measure="SMD", moderators={"x": [1, 2, 3, 4]})
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"x": bm.Normal(0, 1)}))
    with pytest.raises(bm.ModelError, match="pooled analysis; this fit has moderators"):
        draw(fit)


# -- leave-one-out and cumulative --------------------------------------------------------------------------------------


def test_rows_without_a_trial_are_refits_without_it() -> None:
    fit, plot = bcg(), picture("deletion ratio")
    axes = axes_of(plot, "deletion")
    for out in (0, 7):
        keep = np.arange(fit.effects.k) != out
        rest = fit.effects.subset(keep)
        mu = summarize(bm.fit(rest, fit.model)).loc["mu"]
        np.testing.assert_allclose(
            line(axes, f"interval: {out + 1}").get_xdata(), [mu["lower"], mu["upper"]], rtol=REFIT
        )
        np.testing.assert_allclose(line(axes, f"median: {out + 1}").get_xdata(), [mu["median"]], rtol=REFIT)
    mu = summarize(fit).loc["mu"]
    np.testing.assert_allclose(line(axes, "interval: 0").get_xdata(), [mu["lower"], mu["upper"]], rtol=SAME)
    np.testing.assert_allclose(line(axes, "mean of all trials").get_xdata(), [mu["median"]] * 2, rtol=SAME)
    assert line(axes, "Threshold of benefit, appreciable (0.75)").get_xdata()[0] == pytest.approx(math.log(0.75))


def test_classical_rows_without_a_trial_are_those_of_metafor() -> None:
    theirs = reference("influence_metafor")["leave_one_out"]["bcg_rr"]["REML_hksj"]
    axes = axes_of(picture("deletion ratio"), "deletion")
    assert len(theirs["estimate"]) == 13
    for i, (estimate, low, high) in enumerate(
        zip(theirs["estimate"], theirs["ci.lb"], theirs["ci.ub"], strict=True), start=1
    ):
        assert line(axes, f"classical estimate: {i}").get_xdata()[0] == pytest.approx(estimate, rel=ITERATED)
        np.testing.assert_allclose(line(axes, f"classical interval: {i}").get_xdata(), [low, high], rtol=ITERATED)


def test_a_trial_that_the_others_predict_badly_is_a_diamond() -> None:
    fit, plot = real(*FATIGUE), picture("deletion fatigue")
    table = leave_one_out(fit)
    axes = axes_of(plot, "deletion")
    marked = [i for i in range(len(table)) if line(axes, f"median: {i + 1}").get_marker() == "D"]
    assert marked == np.flatnonzero(table["p_value"] < 0.05).tolist()
    assert len(marked) == 2
    for name in table["left_out"][table["p_value"] < 0.05]:
        assert f"{name} (<0.01)" in plot.alt
    assert any(text.get_text().endswith("(2 rows)") for text, _ in texts(plot))
    # a table that was made before is drawn as it is
    again = deletion_plot(fit, table)
    pd.testing.assert_frame_equal(again.table, plot.table)


def test_what_cannot_be_refitted_says_why() -> None:
    plot = deletion_plot(bm.fit(small(2).effects, bm.Model(bm.Flat(), bm.HalfNormal(10))))
    assert (plot.table["classical_estimate"].isna() == [False, True, True]).all()
    assert any("too few estimates" in text.get_text() for text, _ in texts(plot))
    improper = cumulative_plot(bm.fit(small(3).effects, bm.Model(bm.Flat(), bm.Jeffreys())))
    first = improper.table.iloc[0]
    assert math.isnan(first["mu"])
    assert first["note"]
    assert first["note"] in improper.alt
    with pytest.raises(bm.ModelError, match="at least two trials"):
        deletion_plot(small(1))


def test_cumulative_rows_are_fits_of_the_first_trials_in_the_order_of_entry() -> None:
    fit = bcg()
    order = list(fit.effects.study)[::-1]
    plot = cumulative_plot(fit, order=order)
    axes = axes_of(plot, "deletion")
    assert plot.table["added"].tolist() == order
    rest = fit.effects.subset([12, 11, 10, 9])
    mu = summarize(bm.fit(rest, fit.model)).loc["mu"]
    np.testing.assert_allclose(line(axes, "interval: 3").get_xdata(), [mu["lower"], mu["upper"]], rtol=REFIT)
    found = pool(rest, ci="hksj")
    assert line(axes, "classical estimate: 3").get_xdata()[0] == pytest.approx(found.estimate, rel=SAME)
    clear = (plot.table["lower"] > 0) | (plot.table["upper"] < 0)
    first = plot.table[clear.iloc[::-1].cummin().iloc[::-1]].iloc[0]
    assert f"excludes no effect from {first['added']} on" in plot.alt


def test_a_flipped_outcome_is_a_mirrored_picture() -> None:
    here, there = (axes_of(deletion_plot(small(3, sign)), "deletion") for sign in (1, -1))
    for i in range(4):
        low, high = line(here, f"interval: {i}").get_xdata()
        np.testing.assert_allclose(line(there, f"interval: {i}").get_xdata(), [-high, -low], rtol=REFIT, atol=REFIT)
    large = axes_of(deletion_plot(small(3, 1, 1e3)), "deletion")
    np.testing.assert_allclose(
        line(large, "interval: 2").get_xdata(), 1e3 * np.array(line(here, "interval: 2").get_xdata()), rtol=REFIT
    )


# -- influence ---------------------------------------------------------------------------------------------------------


def test_baujat_points_are_those_of_metafor() -> None:
    theirs = reference("influence_metafor")["influence"]["bcg_rr"]["REML"]
    axes = axes_of(picture("baujat ratio"), "baujat")
    points = np.concatenate([scattered(axes, "estimates"), scattered(axes, "flagged").reshape(-1, 2)])
    expected = np.column_stack([theirs["baujat_x"], theirs["baujat_y"]])
    assert len(points) == 13
    np.testing.assert_allclose(points[np.argsort(points[:, 0])], expected[np.argsort(expected[:, 0])], rtol=ITERATED)
    named = {text.get_text() for text, _ in texts(picture("baujat ratio"))}
    # the largest of each in R
    for column in ("baujat_x", "baujat_y"):
        assert bcg().effects.label[int(np.argmax(theirs[column]))] in named


def test_flagged_trials_have_a_mark_of_their_own_and_a_name() -> None:
    fit, plot = real(*FATIGUE), picture("baujat shared controls")
    table = influence_table(fit.effects, rho=fit.model.rho)
    flagged = table[table["influential"] | table["outlier"]]
    axes = axes_of(plot, "influence")
    np.testing.assert_allclose(scattered(axes, "flagged"), flagged[["hat", "rstudent"]].to_numpy(float), rtol=SAME)
    words = {text.get_text() for text, _ in texts(plot)}
    assert set(flagged["label"]) <= words
    assert "coordinates are not defined, because rows of one trial" in plot.alt
    assert any("coordinates are not defined" in text for text in words)
    bands = sorted(float(item.get_ydata()[0]) for item in axes.lines if item.get_label() == "band")
    np.testing.assert_allclose(bands, [-1.9600, 1.9600], atol=5e-5)


def test_areas_grow_with_cooks_distance() -> None:
    axes = axes_of(picture("influence ratio"), "influence")
    (dots,) = [item for item in axes.collections if item.get_label() == "estimates"]
    cook = np.array(reference("influence_metafor")["influence"]["bcg_rr"]["REML"]["cook"])
    area = np.asarray(dots.get_sizes())
    slope = np.diff(area[np.argsort(cook)]) / np.diff(np.sort(cook))
    np.testing.assert_allclose(slope, slope[0], rtol=1e-4)


@pytest.mark.parametrize("k", [1, 2])
def test_influence_needs_something_left(k: int) -> None:
    with pytest.raises(bm.ModelError, match="influence is not defined"):
        baujat_plot(small(k))


# -- subsets -----------------------------------------------------------------------------------------------------------


def test_few_subsets_are_points_and_the_median_of_each_kind_is_told() -> None:
    fit, plot = real(*DEPRESSION), picture("subsets all")
    found = gosh(fit.effects, rho=fit.model.rho)
    assert len(plot.table) == 2**10 - 1
    cook = influence_table(fit.effects)["cook"]
    most = fit.effects.label[int(cook.idxmax())]
    inside = found.member[:, found.trials.index(most)]
    assert (plot.table["highlighted"] == inside).all()
    axes = axes_of(plot, "gosh")
    for name, group in (("with", inside), ("without", ~inside)):
        shown = group & ~np.isnan(found.i2)
        expected = np.column_stack([found.estimate[shown], found.i2[shown]])
        np.testing.assert_allclose(np.asarray(line(axes, name).get_xydata()), expected, rtol=SAME)
        assert (
            f"subsets {name} {most} the median of the mean effect is {np.median(found.estimate[group]):.2f}" in plot.alt
        )
    whole = pool(fit.effects, rho=fit.model.rho).estimate
    assert line(axes, "all trials").get_xdata()[0] == pytest.approx(whole, rel=SAME)
    assert "All 1,023 subsets of the 10 trials" in plot.alt


def test_many_subsets_are_cells_that_hold_them_all() -> None:
    plot = picture("subsets sample")
    table, axes = plot.table, axes_of(plot, "gosh")
    assert len(table) == 3000
    (image,) = axes.images
    left, right, bottom, top = image.get_extent()
    pixels = np.asarray(image.get_array())
    shown = table[table["i2"].notna()]
    size = (pixels.shape[1], pixels.shape[0])
    counts = np.histogram2d(shown["estimate"], shown["i2"], bins=size, range=((left, right), (bottom, top)))[0].T
    assert counts.sum() == len(shown)
    np.testing.assert_array_equal(pixels[..., 3] > 0, counts > 0)
    # a cell of one kind has its pure colour
    inside = shown[shown["highlighted"]]
    with_it = np.histogram2d(inside["estimate"], inside["i2"], bins=size, range=((left, right), (bottom, top)))[0].T
    pure = (with_it == counts) & (counts > 0)
    assert pure.sum() > 10
    np.testing.assert_allclose(pixels[pure][:, :3], np.tile(to_rgba(CLASSICAL)[:3], (int(pure.sum()), 1)), atol=1e-9)
    other = (with_it == 0) & (counts > 0)
    np.testing.assert_allclose(pixels[other][:, :3], np.tile(to_rgba(BAYES)[:3], (int(other.sum()), 1)), atol=1e-9)
    # the highest cell is opaque
    assert pixels[..., 3].max() == pytest.approx(1.0)
    assert re.search(r"random sample of 3,000 of 4,294,967,295 subsets of the 32 trials, seed \d+", plot.alt)


@pytest.mark.parametrize("name", ["subsets sample", "subsets all"])
def test_histograms_beside_the_axes_hold_every_subset(name: str) -> None:
    plot = picture(name)
    shown = plot.table[plot.table["i2"].notna()]
    for label, place, height in (("estimates", 0, 1), ("spread", 1, 0)):
        axes = axes_of(plot, label)
        for group, part in (("with", shown[shown["highlighted"]]), ("without", shown[~shown["highlighted"]])):
            data = np.asarray(line(axes, group).get_xydata())
            edges, counts = data[::2, place], data[1::2, height][:-1]
            assert counts.sum() == len(part)
            column = "estimate" if label == "estimates" else "i2"
            np.testing.assert_array_equal(counts, np.histogram(part[column], bins=edges)[0])


def test_a_trial_to_highlight_must_be_one_and_one_trial_has_no_subsets() -> None:
    with pytest.raises(bm.ModelError, match=r"highlight = 'nobody' is not a trial. Allowed: 1 Aronson 1948"):
        gosh_plot(bcg(), highlight="nobody")
    with pytest.raises(bm.ModelError, match="at least two trials"):
        gosh_plot(small(1))
    with pytest.raises(bm.ModelError, match=r"unknown spread 'q'. Allowed: i2, tau"):
        gosh_plot(bcg(), spread="q")  # type: ignore[arg-type]
    assert "Subsets with 8 TPT Madras 1980" in {text.get_text() for text, _ in texts(picture("subsets ratio"))}


# -- specification curve -----------------------------------------------------------------------------------------------


def drawn_specifications(plot: Plot) -> pd.DataFrame:
    axes, rows = axes_of(plot, "curve"), []
    for item in axes.collections:
        verdict = str(item.get_label()).removeprefix("intervals: ")
        ends = segments(axes, f"intervals: {verdict}")
        rows += [(x, low, high, verdict) for (x, low), (_, high) in ends]
    return pd.DataFrame(rows, columns=["rank", "lower", "upper", "verdict"]).sort_values("rank", ignore_index=True)


@pytest.mark.parametrize("name", ["specification fatigue", "specification new study", "specification ratio"])
def test_specifications_are_sorted_and_each_stands_once(name: str) -> None:
    plot = picture(name)
    table, drawn = plot.table, drawn_specifications(plot)
    assert (np.diff(table["estimate"]) >= 0).all()
    assert drawn["rank"].tolist() == list(range(1, len(table) + 1))
    assert drawn["verdict"].tolist() == table["verdict"].tolist()
    low, high = axes_of(plot, "curve").get_ylim()
    for column in ("lower", "upper"):
        inside = table[column].between(low, high)
        assert inside.mean() > 0.5
        np.testing.assert_allclose(drawn[column][inside], table[column][inside], rtol=SAME)
        # what is cut is cut outside the drawing
        assert (drawn[column][~inside].lt(low) | drawn[column][~inside].gt(high)).all()
    main = table[table["stated"]].iloc[0]
    axes = axes_of(plot, "curve")
    np.testing.assert_allclose(line(axes, "main").get_xydata(), [[main["rank"], main["estimate"]]], rtol=SAME)
    row = summarize(bcg() if "ratio" in name else real(*(DEPRESSION if "new" in name else FATIGUE)))
    row = row.loc["theta_new" if "new" in name else "mu"]
    np.testing.assert_allclose(line(axes, "main interval").get_ydata(), [row["lower"], row["upper"]], rtol=SAME)
    assert f"number {main['rank']}" in plot.alt


def test_marks_of_choices_stand_under_their_specifications() -> None:
    plot = picture("specification new study")
    table, axes = plot.table, axes_of(plot, "choices")
    marks = {str(item.get_label()).partition(": ")[2]: item for item in axes.collections}
    for column, value, words in (
        ("tau2_method", "REML", "REML"),
        ("engine", "Bayesian", "Bayesian"),
        ("prediction", "hts_t_km2", "HTS, t(k \u2212 2)"),
        ("interval", "hksj", "HKSJ"),
        ("tau_prior", "Cochrane, all fields", "Cochrane, all fields"),
    ):
        ranks = [segment[0][0] for segment in marks[words].get_segments()]
        assert ranks == table.loc[table[column] == value, "rank"].tolist(), words
    # every specification has an engine and a verdict
    engines = [s[0][0] for name in ("classical", "Bayesian") for s in marks[name].get_segments()]
    assert sorted(engines) == table["rank"].tolist()
    assert sum(len(marks[verdict].get_segments()) for verdict in table["verdict"].unique()) == len(table)


def test_two_thousand_specifications_stay_a_small_file() -> None:
    fit = real(*DEPRESSION)
    table = multiverse_table(fit)
    parts = []
    for shift in range(40):
        part = table.copy()
        part["vtype"] = f"way {shift % 5}"
        part[["estimate", "lower", "upper"]] += 0.002 * shift
        part["stated"] &= shift == 0
        parts.append(part)
    whole = pd.concat(parts, ignore_index=True)
    whole.attrs = {**table.attrs, "data_choices": ["vtype"]}
    for width in (180.0, 85.0):
        plot = specification_plot(fit, whole, width_mm=width)
        assert len(plot.table) == 40 * int((table["target"] == "mean effect").sum())
        assert len(plot.table) > 1500
        assert len(plot_bytes(plot, "svg", dpi=150)) < SVG_LIMIT
        assert "Variance formula" in {text.get_text() for text, _ in texts(plot)}
        assert len(drawn_specifications(plot)) == len(plot.table)


def test_a_target_that_is_not_there_is_refused() -> None:
    with pytest.raises(bm.ModelError, match=r"unknown target 'tau'. Allowed: mean effect, new study"):
        specification_plot(bcg(), target="tau")  # type: ignore[arg-type]
    table = multiverse_table(bcg())
    with pytest.raises(bm.ModelError, match="no specification for the new study"):
        specification_plot(bcg(), table[table["target"] == "mean effect"], target="new study")


# -- drapery -----------------------------------------------------------------------------------------------------------


def test_curtains_are_normal_and_t_tails_and_posterior_tails() -> None:
    fit, plot = bcg(), picture("drapery ratio")
    axes = axes_of(plot, "drapery")
    for i, label in enumerate(fit.effects.label):
        x, p = np.asarray(line(axes, f"trial: {label}").get_xydata()).T
        np.testing.assert_allclose(p, 2 * stats.norm.sf(np.abs(x - fit.effects.y[i]) / fit.effects.se[i]), rtol=1e-9)
        assert p.max() == 1.0
    classical = pool(fit.effects, ci="hksj")
    x, p = np.asarray(line(axes, "classical").get_xydata()).T
    np.testing.assert_allclose(p, 2 * stats.t.sf(np.abs(x - classical.estimate) / classical.se, 12), rtol=1e-9)
    # the confidence interval is where the curve is above 0.05
    inside = (x > classical.lower) & (x < classical.upper)
    assert (p[inside] > 0.05).all()
    assert (p[~inside] < 0.05).all()
    table = summarize(fit)
    for kind, name in (("mean", "mu"), ("new study", "theta_new")):
        x, p = np.asarray(line(axes, kind).get_xydata()).T
        cdf = marginal(fit, name).cdf(x)
        np.testing.assert_allclose(p, np.minimum(2 * np.minimum(cdf, 1 - cdf), 1), atol=1e-9)
        inside = (x > table.loc[name, "lower"]) & (x < table.loc[name, "upper"])
        assert (p[inside] > 0.05 - 1e-7).all()
        assert (p[~inside] < 0.05 + 1e-7).all()
    assert [text.get_text() for text, _ in texts(plot)].count("95 %") == 1


def test_a_common_effect_has_no_new_study_and_one_trial_no_classical_curve() -> None:
    alone = picture("drapery k = 1")
    assert set(alone.table["kind"]) == {"trial", "mean", "new study"}
    assert any("not defined for these data" in text.get_text() for text, _ in texts(alone))
    common = drapery_plot(bm.fit(bcg().effects, bm.Model(bm.Normal(0, 2), None)))
    assert set(common.table["kind"]) == {"trial", "classical", "mean"}


# -- radial ------------------------------------------------------------------------------------------------------------


def test_slopes_through_the_origin_are_effects() -> None:
    fit, plot = bcg(), picture("radial ratio")
    axes = axes_of(plot, "radial")
    x, z = np.asarray(line(axes, "estimates").get_xydata()).T
    np.testing.assert_allclose(x, 1 / fit.effects.se, rtol=SAME)
    np.testing.assert_allclose(z / x, fit.effects.y, rtol=1e-12)
    # Galbraith 1988: least squares through the origin gives the inverse-variance mean; metafor's EE fit of these data
    slope = np.linalg.lstsq(x[:, None], z, rcond=None)[0][0]
    fitted = reference("influence_metafor")["influence"]["bcg_rr"]["EE"]["fitted"][0]
    assert slope == pytest.approx(fitted, rel=1e-9)
    for label, effect in (("mean", summarize(fit).loc["mu", "median"]), ("classical mean", pool(fit.effects).estimate)):
        ends = np.asarray(line(axes, label).get_xydata())
        assert ends[1, 1] / ends[1, 0] == pytest.approx(effect, rel=1e-12)
        np.testing.assert_array_equal(ends[0], 0.0)
    outside = plot.table.query("outside")
    by_hand = np.abs(z - x * summarize(fit).loc["mu", "median"]) > 1.959964
    assert outside["label"].tolist() == [label for label, out in zip(fit.effects.label, by_hand, strict=True) if out]
    assert f"{by_hand.sum()} of 13 estimates lie further" in plot.alt


def test_with_heterogeneity_in_the_precision_points_spread_as_the_model_says() -> None:
    fit = real(*DEPRESSION)
    table = radial_table(fit, scale="total").query("kind == 'estimate'")
    tau = float(marginal(fit, "tau").quantile(0.5))
    np.testing.assert_allclose(table["x"], 1 / np.sqrt(fit.effects.se**2 + tau**2), rtol=SAME)
    np.testing.assert_allclose(table["z"], table["x"] * fit.effects.y, rtol=SAME)
    with pytest.raises(bm.ModelError, match=r"unknown scale 'both'. Allowed: se, total"):
        radial_plot(fit, scale="both")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in PICTURES if name.startswith("radial")])
@pytest.mark.parametrize("width", [180.0, 85.0])
def test_the_arc_is_a_circle_about_the_origin_beyond_every_point(name: str, width: float) -> None:
    plot = picture(name, width)
    axes = axes_of(plot, "radial")
    x, z = np.asarray(line(axes, "estimates").get_xydata()).T
    box = axes.get_position()
    size = np.array([box.width, box.height]) * plot.figure.get_size_inches() * 25.4
    per = size / np.array([np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())])
    ends = [np.asarray(line(axes, label).get_xydata())[1] for label in ("mean",)]
    radius = np.hypot(*(ends[0] * per))
    assert np.hypot(x * per[0], z * per[1]).max() < radius
    overlay = axes_of(plot, "overlay")
    arc = max(overlay.lines, key=lambda item: len(item.get_xdata()))
    page = plot.figure.get_size_inches() * 25.4
    origin = np.array([box.x0 * page[0], (1 - box.y1) * page[1] + axes.get_ylim()[1] * per[1]])
    np.testing.assert_allclose(np.hypot(*(np.asarray(arc.get_xydata()) - origin).T), radius, rtol=1e-9)


# -- ladder ------------------------------------------------------------------------------------------------------------


def test_grey_lines_are_prior_quantiles() -> None:
    plot = picture("ladder fatigue")
    axes, table = axes_of(plot, "ladder"), plot.table
    z = 1.959963984540054
    assert table["varied"].tolist() == ["stated"] + ["mu"] * 3 + ["tau"] * 8
    first = table.iloc[0]
    np.testing.assert_allclose([first["prior_lower"], first["prior_upper"]], [-z, z], rtol=1e-9)
    # mean normal(0, 1) and tau half-normal(0.5): the distribution of a new study by adaptive quadrature over tau
    for scale, label in ((0.5, first["label"]), (0.25, "tau: halfnormal(0.25)"), (1.0, "tau: halfnormal(1)")):
        row = table[table["label"] == label].iloc[0]

        def mass(tau: float, q: float = float(row["prior_new_upper"]), scale: float = scale) -> float:
            return float(special.ndtr(q / math.sqrt(1 + tau**2)) * stats.halfnorm.pdf(tau, scale=scale))

        below = integrate.quad(mass, 0, 12 * scale, epsabs=1e-12, epsrel=1e-12)[0]
        assert below == pytest.approx(0.975, abs=HALVED)
        assert row["prior_new_lower"] == pytest.approx(-row["prior_new_upper"], rel=HALVED)
    sceptic = int(np.flatnonzero(table["label"] == "Mean: normal(0, 0.2)")[0])
    np.testing.assert_allclose(line(axes, f"prior: {sceptic}").get_xdata(), [-0.2 * z, 0.2 * z], rtol=1e-9)
    flat = int(np.flatnonzero(table["label"] == "Mean: flat")[0])
    assert not [item for item in axes.lines if item.get_label() == f"prior: {flat}"]


def test_blue_lines_are_refits_and_probabilities_go_from_prior_to_posterior() -> None:
    fit, plot = real(*FATIGUE), picture("ladder fatigue")
    axes, table = axes_of(plot, "ladder"), plot.table
    model = bm.Model(bm.Normal(0, 0.2), bm.HalfNormal(0.5), rho=fit.model.rho)
    refit = summarize(bm.fit(fit.effects, model))
    i = int(np.flatnonzero(table["label"] == "Mean: normal(0, 0.2)")[0])
    for label, name in (("interval", "mu"), ("new study", "theta_new")):
        ends = refit.loc[name, ["lower", "upper"]].to_numpy(float)
        np.testing.assert_allclose(line(axes, f"{label}: {i}").get_xdata(), ends, rtol=REFIT)
    np.testing.assert_allclose(line(axes, f"median: {i}").get_xdata(), [refit.loc["mu", "median"]], rtol=REFIT)
    # before any trial: P(mean < -0.5) under normal(0, 0.2), from a table of the normal distribution
    assert f"{bm.percent(float(special.ndtr(-2.5)))} \u2192" in " ".join(text.get_text() for text, _ in texts(plot))


def test_priors_of_ones_own_have_their_lines() -> None:
    fit = small(3)
    mine = [NamedPrior("the panel's", bm.Normal(5.0, 10.0), "panel")]
    table = prior_bench_table(fit, mu=mine, tau=[])
    row = ladder_plot(fit, table, mu=mine).table.iloc[1]
    np.testing.assert_allclose([row["prior_lower"], row["prior_upper"]], 5 + 10 * np.array([-1, 1]) * 1.959963984540054)
    unknown = ladder_plot(fit, table)
    assert math.isnan(unknown.table["prior_lower"].iloc[1])
    assert any("not known here" in text.get_text() for text, _ in texts(unknown))
    assert len(picture("ladder k = 1").table) == 1


# -- funnel with filled trials -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bcg_rr", "hackshaw_logor", "raudenbush_smd"])
def test_hollow_markers_are_the_trials_that_metafor_fills_in(name: str) -> None:
    effects = effects_of(name)
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))
    pinned = reference("small_study_metafor")["sets"][name]["trimfill"]["L0 REML auto"]
    plot = funnel_plot(fit, fill="L0")
    axes = axes_of(plot, "funnel")
    k0 = pinned["k0"]
    assert k0 > 0
    assert f"Trim and fill (L0) fills in {k0} trial{'s' if k0 > 1 else ''} on the {pinned['side']}" in plot.alt
    drawn = np.asarray(line(axes, "filled").get_xydata())
    theirs = np.column_stack([np.atleast_1d(pinned["filled_y"]), np.sqrt(np.atleast_1d(pinned["filled_v"]))])
    np.testing.assert_allclose(drawn, theirs, rtol=ITERATED, atol=FLOOR)
    assert line(axes, "filled").get_markerfacecolor() == "white"
    assert line(axes, "filled mean").get_xdata()[0] == pytest.approx(pinned["estimate"], rel=ITERATED)
    assert plot.table["kind"].value_counts()["filled"] == k0
    low, high = axes.get_xlim()
    assert (drawn[:, 0] > low).all()
    assert (drawn[:, 0] < high).all()


def test_nothing_filled_is_said_and_nothing_is_drawn_unasked() -> None:
    pinned = reference("small_study_metafor")["sets"]["bcg_rr"]["trimfill"]["R0 REML auto"]
    assert pinned["k0"] == 0
    plot = funnel_plot(bcg(), fill="R0")
    assert "Trim and fill (R0) fills in no trial." in plot.alt
    assert not [item for item in axes_of(plot, "funnel").lines if item.get_label().startswith("filled")]
    assert set(funnel_table(bcg())["kind"]) == {"estimate", "mean"}
    assert "Trim" not in funnel_plot(bcg()).alt
    with pytest.raises(bm.ModelError, match="one estimate has no funnel"):
        funnel_plot(small(1), fill="L0")
    assert "taken as independent" in funnel_plot(real(*FATIGUE), fill="L0").alt
