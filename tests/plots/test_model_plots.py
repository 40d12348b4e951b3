"""Pictures of the models show the numbers of their tables; the code of docs/models.md runs and prints what it shows.

Authorities: the tables, which other files test against closed forms and other formulations; drawing adds nothing.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.patches import Rectangle

import bayesmeta as bm
from bayesmeta.checking import overlap_table, ppc_table, predictive_table
from bayesmeta.joint import JointFit, JointModel, fit_joint
from bayesmeta.plots import (
    FORMATS,
    Plot,
    curve_plot,
    joint_plot,
    outlier_plot,
    plot_bytes,
    ppc_plot,
    prior_posterior_plot,
    profile_plot,
)
from bayesmeta.questions import NEW_TYPE
from pictures import assert_texts_apart, axes_of, line, texts

ROOT = Path(__file__).parents[2]
# the same number stored in an artist and computed again
SAME = 1e-12
# millimetres by which two texts may come near, and the height of a page, as in plots/test_plots.py
TOUCH, PAGE_MM, SMALLEST_TYPE = 0.1, 250.0, 7.0
# printed numbers of fits by draws on another machine: other draws, in the second decimal
PRINTED, PRINTED_SHARE = 0.06, 0.15
# but for ends of intervals of imputed durations, log-normal with SD 1.3 on the log scale: for 1,500 effective draws the
# standard error of the 2.5 % quantile, sqrt(0.025 * 0.975 / n) / (phi(1.96) / 1.3), is 9 % of it, so that two machines
# differ by 13 % (one SD)
IMPUTED_SHARE = 0.4
# and chances in percent, which are shares of draws: four standard errors of a difference, for 2,000 effective draws
CHANCE_SDS, CHANCE_DRAWS = 4, 2000


@cache
def real(protocol: str, key: str, moderated: bool = True) -> bm.Fit:
    chosen = bm.read_protocol(ROOT / f"models/{protocol}.toml")
    outcome, effects = chosen.outcome(key), bm.read_effects(chosen, key)
    return bm.fit(effects, outcome.model.on(effects if moderated else None), outcome=outcome)


@cache
def types() -> bm.Fit:
    fit = real("cancer_exercise", "fatigue_short")
    exchangeable = {"exercise": bm.Exchangeable(bm.HalfNormal(0.35))}
    return bm.fit(fit.effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), exchangeable), outcome=fit.outcome)


@cache
def ratio() -> bm.Fit:
    effects = bm.Effects(
        ["Long ago 1948", "B", "C", "D"],
        np.log([0.4, 0.6, 0.9, 1.2]),
        [0.3, 0.2, 0.25, 0.4],
        measure="RR",
        better="lower",
        name="Falls",
        moderators={"dose": [1.0, 2.0, 3.0, 5.0]},
    )
    return bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"dose": bm.Normal(0, 0.5)}))


@cache
def outliers() -> bm.Fit:
    effects = bm.Effects(
        list("ABCDE"), [-0.3, -0.2, -0.35, -0.25, -1.6], [0.1, 0.1, 0.15, 0.1, 0.15], measure="SMD", better="lower"
    )
    random = bm.OutlierEffects(bm.Uniform(0, 0.5), bm.HalfNormal(1))
    return bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.3), random=random))


THRESHOLDS = {
    key: bm.threshold(0.5, measure_name="SMD", better=better, name="important")
    for key, better in (("pain", "lower"), ("function", "higher"))
}


@cache
def joint() -> JointFit:
    """Eight trials of two outcomes, made up."""
    names = [f"Trial {i}" for i in range(8)]
    y = np.array([-0.7, -0.5, -0.9, -0.2, -0.6, -0.4, -0.8, -0.1])
    effects = {
        "pain": bm.Effects(names, y, [0.15] * 8, measure="SMD", better="lower"),
        "function": bm.Effects(names, -y + 0.1, [0.2] * 8, measure="SMD", better="higher"),
    }
    plain = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    return fit_joint(effects, JointModel({"pain": plain, "function": plain}))


PICTURES: dict[str, Callable[[float], Plot]] = {
    "profiles": lambda w: profile_plot(real("cancer_exercise", "fatigue_short"), width_mm=w),
    "types": lambda w: profile_plot(types(), width_mm=w),
    "checks": lambda w: ppc_plot(real("cancer_exercise", "fatigue_short"), width_mm=w),
    "checks of ratios": lambda w: ppc_plot(ratio(), width_mm=w),
    "learned": lambda w: prior_posterior_plot(types(), width_mm=w),
    "learned, ratios": lambda w: prior_posterior_plot(ratio(), ["mu", "tau"], width_mm=w),
    "curve": lambda w: curve_plot(real("depression_dose", "spline"), "duration", np.linspace(3, 14, 23), width_mm=w),
    "curve of ratios": lambda w: curve_plot(ratio(), "dose", x_label="Dose, hours per week", width_mm=w),
    "outliers": lambda w: outlier_plot(outliers(), width_mm=w),
    "joint": lambda w: joint_plot(joint(), THRESHOLDS, width_mm=w),
}


@cache
def picture(name: str, width: float) -> Plot:
    return PICTURES[name](width)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("width", [180.0, 90.0])
def test_every_text_is_on_the_page_and_apart_from_every_other(name: str, width: float) -> None:
    assert_texts_apart(picture(name, width), TOUCH)


@pytest.mark.parametrize("name", PICTURES)
def test_pages_are_printable_told_in_words_and_in_every_format(name: str) -> None:
    plot = picture(name, 180.0)
    assert min(text.get_fontsize() for text, _ in texts(plot)) >= SMALLEST_TYPE
    assert plot.figure.get_size_inches()[1] * 25.4 <= PAGE_MM
    assert re.search(r"\d+ estimates", plot.alt)
    assert "\n" not in plot.alt
    assert not re.search(r"(?<![\d.<>])(0|0\.0|100|100\.0) %", plot.alt)
    for text, _ in texts(plot):
        assert not re.search(r"(?<![\d.<>])(0|0\.0|100|100\.0) %", text.get_text()), text
    for fmt in FORMATS:
        assert plot_bytes(plot, fmt, dpi=40).startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[fmt])


def test_profiles_are_drawn_from_their_table() -> None:
    plot = picture("types", 180.0)
    axes, table = axes_of(plot, "profile"), plot.table
    for i, row in enumerate(table.to_dict("records")):
        np.testing.assert_allclose(line(axes, f"median: {i}").get_xydata(), [[row["median"], i]], rtol=SAME)
        np.testing.assert_allclose(line(axes, f"interval: {i}").get_xdata(), [row["lower"], row["upper"]], rtol=SAME)
        np.testing.assert_allclose(
            line(axes, f"new study: {i}").get_xdata(), [row["new_lower"], row["new_upper"]], rtol=SAME
        )
    hatched = [item.get_label() for item in axes.patches if isinstance(item, Rectangle) and item.get_hatch()]
    assert hatched == [f"hatched: {NEW_TYPE}"]
    assert "a new type (no trial, extrapolated)" in plot.alt
    assert not [item for item in axes_of(picture("profiles", 180.0), "profile").patches if item.get_hatch()]


def test_checks_are_drawn_from_their_tables() -> None:
    fit, plot = real("cancer_exercise", "fatigue_short"), picture("checks", 180.0)
    axes = axes_of(plot, "predicted")
    outside = []
    for row in predictive_table(fit).to_dict("records"):
        bar = line(axes, f"predicted: {row['label']}")
        np.testing.assert_allclose(bar.get_xdata(), [row["lower"], row["upper"]], rtol=SAME)
        dot = line(axes, f"observed: {row['label']}")
        np.testing.assert_allclose(dot.get_xdata(), [row["observed"]], rtol=SAME)
        if dot.get_marker() == "D":
            outside.append(row["label"])
    assert sorted(outside) == ["Cantarero-Villanueva 2013", "Hu 2020"]
    statistics = axes_of(plot, "statistics")
    for kind, part in ppc_table(fit).groupby("replicated"):
        np.testing.assert_allclose(line(statistics, str(kind)).get_xdata(), 100 * part["below"], rtol=SAME)


def test_panels_show_both_densities_and_the_verdict() -> None:
    plot = picture("learned", 180.0)
    shared = overlap_table(types()).set_index("quantity")
    for name, part in plot.table.groupby("quantity"):
        axes = axes_of(plot, str(name))
        np.testing.assert_allclose(line(axes, "posterior").get_ydata(), part["posterior"], rtol=SAME)
        np.testing.assert_allclose(line(axes, "prior").get_ydata(), part["prior"], rtol=SAME)
        assert f"overlap {shared.loc[name, 'overlap']:.2f}: {shared.loc[name, 'verdict']}" in plot.alt


def test_a_curve_is_drawn_from_its_table_and_hatched_beyond_the_data() -> None:
    plot = picture("curve", 180.0)
    axes, table = axes_of(plot, "curve"), plot.table
    np.testing.assert_allclose(line(axes, "median").get_xydata(), table[["x", "median"]], rtol=SAME)
    np.testing.assert_allclose(line(axes, "new_upper").get_ydata(), table["new_upper"], rtol=SAME)
    (dots,) = [item for item in axes.collections if item.get_label() == "estimates"]
    fit = real("depression_dose", "spline")
    np.testing.assert_array_equal(
        dots.get_offsets(), np.column_stack([fit.effects.moderators["duration"], fit.effects.y])
    )
    spans = [item for item in axes.patches if item.get_label() == "beyond"]
    edges = sorted(float(x) for item in spans for x in np.asarray(item.get_corners())[:, 0])
    assert len(spans) == 2
    assert {4.0, 12.0} <= set(np.round(edges, 9))
    assert len(axes_of(picture("curve of ratios", 180.0), "curve").patches) == 0


def test_outlier_bars_are_probabilities() -> None:
    plot = picture("outliers", 180.0)
    axes = axes_of(plot, "outliers")
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, 100 * plot.table["probability"], rtol=SAME)
    assert plot.table["trial"].iloc[0] == "E"
    np.testing.assert_allclose(line(axes, "prior").get_xdata(), [25.0, 25.0], atol=1e-4)
    assert "E >99" in plot.alt or "E 9" in plot.alt


def test_joint_cells_and_bars_are_the_tables() -> None:
    plot = picture("joint", 180.0)
    pairs, counts = (plot.table[plot.table["part"] == part] for part in ("correlation", "at least"))
    cells = {item.get_label(): item for item in axes_of(plot, "correlations").patches}
    assert {f"{row['first']}, {row['second']}" for row in pairs.to_dict("records")} <= set(cells)
    # blue for a positive correlation, the deeper the nearer to 1
    blue = cells["pain, function"].get_facecolor()
    assert blue[0] == pytest.approx(1 - pairs["median"].iloc[0], abs=1e-9)
    widths = [bar.get_width() for bar in axes_of(plot, "at least").patches]
    np.testing.assert_allclose(widths, 100 * counts["p_important_benefit"], rtol=SAME)
    assert f"{pairs['median'].iloc[0]:.2f}" in plot.alt


# -- docs/models.md ----------------------------------------------------------------------------------------------------


def drawer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_models", ROOT / "docs/figures/draw_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# chances beyond the first digit are bounds: "<0.1 %" on one machine may be "0.1 %" on another
_NUMBER = re.compile(r"[<>]?-?\d+(?:\.\d+)?(?: %)?")


def test_every_figure_of_the_page_exists_and_is_described() -> None:
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    images = re.findall(r"!\[(.*?)\]\((figures/\w+\.png)\)", page)
    assert len(images) >= 9
    for words, path in images:
        assert len(words) > 20
        assert (ROOT / "docs" / path).exists()
    assert len(re.findall(r"^## \d+\. ", page, flags=re.MULTILINE)) == 11
    assert page.count("**Use it**") == page.count("**Not**") == 11


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bayesmeta.BayesmetaWarning")
def test_the_code_of_the_page_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    module = drawer()
    drawn, exact = 0, 0
    for block, printed, plot, sampled in module.run(page):
        drawn += plot is not None
        shown = block["printed"] or ""
        if not sampled:
            # settled to 1e-8: every printed digit
            assert printed == shown
            exact += bool(shown)
            continue
        assert re.sub(r"\s+", " ", _NUMBER.sub("#", printed)) == re.sub(r"\s+", " ", _NUMBER.sub("#", shown))
        share = IMPUTED_SHARE if "imputed_table" in block["code"] else PRINTED_SHARE
        for now, then in zip(_NUMBER.findall(printed), _NUMBER.findall(shown), strict=True):
            ours, theirs = (float(text.strip("<> %")) for text in (now, then))
            gap, allowed = abs(ours - theirs), PRINTED + share * abs(theirs)
            if then.endswith("%"):
                p = max(theirs, 0.1) / 100
                # printed to a tenth of a percent
                allowed = 0.1 + 100 * CHANCE_SDS * math.sqrt(2 * p * max(1 - p, 0.001) / CHANCE_DRAWS)
            assert gap <= allowed, (now, then, printed)
    assert drawn >= 10
    assert exact >= 3
