"""Forest plots for a journal: columns of arms and of one's own, lights, ridges, limits, order, pages and looks.

Authorities: the tables that the rows were read from (BCG data as metafor prints them), closed forms of normal
posteriors (a common effect, a known tau), and counting by hand; elsewhere the functions that other files test
against R.
"""

from __future__ import annotations

import json
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Ellipse, Polygon
from matplotlib.text import Text
from scipy import stats

import bayesmeta as bm
from bayesmeta.classical import pool
from bayesmeta.plots import arms_table, forest_plot, forest_table, judgement_table, plot_bytes, risk_of_bias_plot
from pictures import assert_texts_apart, axes_of, line, texts

ROOT = Path(__file__).parents[2]
# millimetres by which two texts may come near, as in plots/test_plots.py
TOUCH = 0.1
# the same number stored in an artist and computed again
SAME = 1e-12
# heights of one density at the same points, computed twice and scaled to their largest
DENSITY = 1e-9
# a share of the width that is computed in millimetres and read from the axes' box
LANE = 1e-9
STYLES = ("journal", "revman", "jama", "bmj")
DOMAINS = ("Randomisation process", "Deviations", "Missing data", "Measurement", "Selection", "Overall")


@cache
def counts() -> bm.Fit:
    """BCG against tuberculosis, from events and totals (metafor's dat.bcg)."""
    case = json.loads((ROOT / "tests/reference/bcg_rr.json").read_text(encoding="utf-8"))
    frame = pd.DataFrame(case["raw"]).assign(study=case["label"])
    effects = bm.effect_sizes(frame, "RR", better="lower", name="BCG against tuberculosis")
    return bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))


@cache
def fatigue() -> bm.Fit:
    protocol = bm.read_protocol(ROOT / "models/cancer_exercise.toml")
    outcome = protocol.outcome("fatigue_short")
    return bm.fit(bm.read_effects(protocol, outcome.key), outcome.model.on(), outcome=outcome)


@cache
def made(k: int, sign: int = 1) -> bm.Fit:
    """So many trials with arms, some labels long, and one interval that is very wide."""
    rng = np.random.default_rng(k)
    n = rng.integers(8, 90, (k, 2))
    means, sds = rng.normal([12.0, 10.0], 2.0, (k, 2)), rng.uniform(3.0, 9.0, (k, 2))
    names = [
        f"Trial of walking and resistance, number {i}" if i % 7 == 3 else f"Trial {i} {1990 + i % 30}" for i in range(k)
    ]
    frame = pd.DataFrame({"study": names, "n_t": n[:, 0], "n_c": n[:, 1]})
    for column, values in (("mean", sign * means), ("sd", sds)):
        frame[f"{column}_t"], frame[f"{column}_c"] = values.T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        effects = bm.effect_sizes(frame, "SMD", better="higher" if sign > 0 else "lower", name="Strength")
    return bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


def judged(fit: bm.Fit, words: tuple[str, ...] = ("Low", "Some concerns", "high risk", "")) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame({name: rng.choice(words, fit.effects.k) for name in DOMAINS})


def words_of(plot: bm.plots.Plot) -> list[str]:
    return [text.get_text() for figure in plot.figures for text in figure.findobj(Text) if text.get_text().strip()]


# -- nothing overlaps, whatever is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("k", [1, 2, 3, 60, 141])
def test_texts_are_apart_and_the_drawing_takes_40_percent(style: str, k: int) -> None:
    fit = made(k)
    plots = {
        "default": forest_plot(fit, style=style),
        "full": forest_plot(
            fit,
            style=style,
            arms=True,
            columns={"Weeks": list(range(k)), "Exercise": ["walking"] * k},
            risk_of_bias=judged(fit),
            ridge=k < 60,
            limits=(-1.0, 2.0),
            page_mm=200.0,
        ),
    }
    for name, plot in plots.items():
        for figure in plot.figures:
            page = bm.plots.Plot(figure, plot.table, plot.alt, plot.title)
            assert_texts_apart(page, TOUCH)
            box = axes_of(page, "forest").get_position()
            assert box.width >= 0.4 - LANE, name
            if name == "full":
                assert figure.get_size_inches()[1] * 25.4 <= 200.0


def test_a_narrow_page_keeps_its_drawing_and_too_many_columns_are_refused() -> None:
    fit = made(3)
    narrow = forest_plot(fit, width_mm=90.0)
    assert axes_of(narrow, "forest").get_position().width >= 0.4 - LANE
    assert_texts_apart(narrow, TOUCH)
    with pytest.raises(bm.ModelError, match="do not fit beside the drawing on 90 mm"):
        forest_plot(fit, width_mm=90.0, arms=True, columns={"A long column": ["many words in a row"] * 3})


# -- columns -----------------------------------------------------------------------------------------------------------


def test_arms_of_counts_are_those_of_the_table() -> None:
    case = json.loads((ROOT / "tests/reference/bcg_rr.json").read_text(encoding="utf-8"))
    table = arms_table(counts())
    pd.testing.assert_frame_equal(
        table[["events_t", "n_t", "events_c", "n_c"]], pd.DataFrame(case["raw"], dtype=float), check_like=True
    )
    words = words_of(forest_plot(counts(), arms=True))
    # Aronson 1948 has 4 of 123 and 11 of 139; all trials 1,065 of 191,064 and 1,510 of 166,283 (sums of dat.bcg)
    assert {"4/123", "11/139", "1,065/191,064", "1,510/166,283", "Events/n"} <= set(words)
    split = set(words_of(forest_plot(counts(), arms=True, style="revman")))
    assert {"Events", "Total", "123", "139", "191,064", "166,283"} <= split
    assert "4/123" not in split


def test_arms_of_means_are_those_of_the_table_in_the_direction_of_the_analysis() -> None:
    # two significant digits of an SD and one decimal at least: Dhillon 2017 has -39.38 (10.6961), n 40 in the data
    found = arms_table(fatigue()).loc[list(fatigue().effects.label).index("Dhillon 2017")]
    assert found.to_dict() == {
        **{"n_t": 40, "mean_t": -39.38, "sd_t": 10.6961},
        **{"n_c": 33, "mean_c": -35.33, "sd_c": 10.6961},
    }
    words = words_of(forest_plot(fatigue(), arms=True))
    assert "\u221239.4 (10.7)" in words
    # all controls are called so, the exercises differ
    assert {"No exercise", "Treatment", "\u2190 Favours treatment", "Favours no exercise \u2192"} <= set(words)
    # some arms stand in two rows, so that a sum would count people twice
    assert any("not added up" in text for text in words)


def test_standard_deviations_from_standard_errors_are_shown_as_such() -> None:
    # closed form: sd = se sqrt(n)
    frame = pd.DataFrame({"study": ["A"], "n_t": [25], "mean_t": [10.0], "se_t": [2.0], "n_c": [16], "mean_c": [9.0]})
    effects = bm.effect_sizes(frame.assign(se_c=[3.0]), "MD")
    assert arms_table(effects)[["sd_t", "sd_c"]].to_numpy().tolist() == [[10.0, 12.0]]


def test_own_columns_stand_beside_their_rows() -> None:
    fit = counts()
    plot = forest_plot(fit, columns={"Latitude": np.arange(13), "Place": list("ABCDEFGHIJKLM")}, order="-Latitude")
    order = plot.table.query("kind == 'estimate'")["label"].tolist()
    assert order == list(fit.effects.label)[::-1]
    heights = {text.get_text(): box.y0 + box.y1 for text, box in texts(plot)}
    for place, label in zip("ABCDEFGHIJKLM", fit.effects.label, strict=True):
        assert heights[place] == pytest.approx(heights[label], abs=12.0)
    with pytest.raises(bm.ModelError, match="'Place' does not hold 13 values"):
        forest_plot(fit, columns={"Place": ["A"]})
    with pytest.raises(bm.ModelError, match="arms: 1 lines for 13 estimates"):
        forest_plot(fit, arms=pd.DataFrame({"n_t": [3]}))
    with pytest.raises(bm.ModelError, match="arms: none of the columns"):
        forest_plot(fit, arms=pd.DataFrame({"people": range(13)}))


# -- order and limits --------------------------------------------------------------------------------------------------


def test_rows_are_ordered_by_what_is_asked_for() -> None:
    fit = counts()

    def rows(order: str, **more: object) -> list[str]:
        return forest_table(fit, order=order, **more).query("kind == 'estimate'")["label"].tolist()

    label, y, se = np.array(fit.effects.label), fit.effects.y, fit.effects.se
    assert rows("effect") == rows("estimate") == label[np.argsort(y, kind="stable")].tolist()
    assert rows("-effect") == label[np.argsort(-y, kind="stable")].tolist()
    assert rows("precision") == label[np.argsort(se, kind="stable")].tolist()
    years = np.array([int(re.findall(r"\d{4}", text)[0]) for text in label])
    assert rows("year") == label[np.argsort(years, kind="stable")].tolist()
    # numbers as text are numbers, and what is missing stands last
    column = {"dose": ["10", "9", None, *["100"] * 10]}
    assert rows("dose", columns=column)[:3] == [label[1], label[0], label[3]]
    assert rows("dose", columns=column)[-1] == label[2]
    with pytest.raises(bm.ModelError, match="dose"):
        rows("doze", columns=column)


def test_limits_are_on_the_printed_scale_and_intervals_beyond_end_in_arrows() -> None:
    fit = counts()
    plot = forest_plot(fit, limits=(0.2, 2.0))
    axes = axes_of(plot, "forest")
    np.testing.assert_allclose(axes.get_xlim(), np.log([0.2, 2.0]), rtol=SAME)
    table = plot.table[plot.table["kind"] != "heading"]
    # reported and shrinkage intervals, and those of the pooled rows (a classical interval ends in one too)
    beyond = [
        (row[f"{kind}lower"] < np.log(0.2), row[f"{kind}upper"] > np.log(2.0))
        for row in table.to_dict("records")
        for kind in (("", "theta_") if row["kind"] == "estimate" else ("",))
    ]
    arrows = [item.get_marker() for item in axes.lines if item.get_marker() in ("<", ">")]
    assert (arrows.count("<"), arrows.count(">")) == tuple(map(sum, zip(*beyond, strict=True)))
    assert arrows.count("<") > 0
    assert any("arrowhead" in text for text in words_of(plot))
    for wrong in ((2.0, 0.2), (-1.0, 2.0), (0.0, 2.0), (float("nan"), 2.0)):
        with pytest.raises(bm.ModelError, match="limits"):
            forest_plot(fit, limits=wrong)


# -- posteriors --------------------------------------------------------------------------------------------------------


def test_ridges_are_the_posterior_densities_of_the_trials() -> None:
    # closed form: given tau (here a narrow uniform prior) and mu = 0 (a narrow normal), the effect of a trial is normal
    # with precision 1 / se^2 + 1 / tau^2 and mean y / se^2 over it
    effects = bm.Effects(["A", "B"], [-0.8, 0.3], [0.2, 0.4], measure="SMD", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1e-5), bm.Uniform(0.5 - 1e-5, 0.5 + 1e-5)))
    axes = axes_of(forest_plot(fit, ridge=True), "forest")
    precision = effects.se**-2.0 + 0.5**-2.0
    mean, sd = effects.y * effects.se**-2.0 / precision, precision**-0.5
    tops = {}
    for label, m, s in zip(effects.label, mean, sd, strict=True):
        (outline,) = [item for item in axes.patches if item.get_label() == f"ridge: {label}"]
        assert isinstance(outline, Polygon)
        x, y = np.asarray(outline.get_xy())[1:-2].T
        height = np.asarray(outline.get_xy())[0, 1] - y
        # the prior is not a point: it moves moments by its width, 1e-5
        np.testing.assert_allclose(height / height.max(), np.exp(-0.5 * ((x - m) / s) ** 2), atol=1e-3)
        tops[label] = height.max()
    # areas are alike, so that heights are as 1 / SD
    assert tops["A"] / tops["B"] == pytest.approx(sd[1] / sd[0], rel=1e-3)


def test_ridges_are_those_of_the_engine_in_real_data() -> None:
    fit = fatigue()
    axes = axes_of(forest_plot(fit, ridge=True), "forest")
    posteriors = fit.posterior.studies()
    for place in (0, 9, 34):
        label = fit.effects.label[place]
        (outline,) = [item for item in axes.patches if item.get_label() == f"ridge: {label}"]
        points = np.asarray(outline.get_xy())
        x, height = points[1:-2, 0], points[0, 1] - points[1:-2, 1]
        density = posteriors[place].density(x)
        np.testing.assert_allclose(height / height.max(), density / density.max(), atol=DENSITY)


def test_shrinkage_estimates_are_drawn_by_choice() -> None:
    fit = counts()
    for style in STYLES:
        for shown in (None, True, False):
            plot = forest_plot(fit, style=style, shrinkage=shown)
            labels = {str(item.get_label()) for item in axes_of(plot, "forest").lines}
            expected = style == "journal" if shown is None else shown
            assert any(label.startswith("shrinkage:") for label in labels) == expected
            assert any("Shrinkage" in text for text in words_of(plot)) == expected
            np.testing.assert_allclose(
                line(axes_of(plot, "forest"), "reported whisker: Aronson 1948").get_xdata(),
                plot.table.set_index("label").loc["Aronson 1948", ["lower", "upper"]].to_numpy(float),
                rtol=SAME,
            )


def test_the_footer_names_heterogeneity_by_its_estimators() -> None:
    # metafor 5.1.12, REML with Knapp-Hartung (tests/reference/bcg_rr.json): tau2 0.3132, I2 92.2 %, Q 152.2, p 0.0019
    case = json.loads((ROOT / "tests/reference/bcg_rr.json").read_text(encoding="utf-8"))["classical"]["REML_knha"]
    text = " ".join(words_of(forest_plot(counts())))
    assert f"tau (log scale) {np.sqrt(case['tau2']):.2f} (REML)" in text
    assert f"I\u00b2 {case['I2']:.0f} %" in text
    assert f"Q {case['Q']:.1f} (12 df, p < 0.001)" in text
    assert f"t(12), p = {case['pval']:.3f} (HKSJ)" in text
    # one trial has none of it
    assert "Classical heterogeneity" not in " ".join(words_of(forest_plot(made(1))))


def test_subgroups_say_how_many_rows_they_have() -> None:
    fit = fatigue()
    heads = forest_table(fit, subgroup="exercise").query("kind == 'heading'")["label"].tolist()
    values = [str(value) for value in fit.effects.moderators["exercise"]]
    assert heads == [f"Exercise: {level} (k = {values.count(level)})" for level in sorted(set(values))]


# -- risk of bias ------------------------------------------------------------------------------------------------------


def test_every_light_has_the_colour_and_the_sign_of_its_judgement() -> None:
    fit, words = made(3), ("Low", "Some_concerns", "high risk of bias")
    frame = pd.DataFrame(
        {"D1": words, "D2": ["serious", "CRITICAL", None], "Overall": ["no information", "low", "low"]}
    )
    plot = forest_plot(fit, risk_of_bias=frame)
    lights = [item for item in plot.figure.findobj(Ellipse) if isinstance(item, Ellipse)]
    assert len(lights) == 9
    colors = [to_hex(item.get_facecolor()).lower() for item in lights]
    # row by row: low, serious, no information / some concerns, critical, low / high, not judged, low
    low, some, high, critical, unknown, none = "#009e73", "#f0e442", "#d55e00", "#5c1a00", "#c4c4c4", "#ffffff"
    assert colors == [low, high, unknown, some, critical, low, high, none, low]
    shown = words_of(plot)
    signs = [text for text in shown if text in ("+", "\u2212", "\u00d7", "!", "?")]
    assert sorted(signs) == sorted(["+", "\u00d7", "?", "\u2212", "!", "+", "\u00d7", "+"])
    assert {"+ Low", "\u2212 Some concerns", "\u00d7 High", "\u00d7 Serious", "! Critical", "Not judged"} <= set(shown)
    with pytest.raises(bm.ModelError, match=r"'lo', 'medium' is not a judgement. Allowed: low, some concerns"):
        forest_plot(fit, risk_of_bias=frame.assign(D1=["lo", "medium", "low"]))
    with pytest.raises(bm.ModelError, match="2 lines for 3 estimates"):
        forest_plot(fit, risk_of_bias=frame.iloc[:2])


def test_colours_of_judgements_differ_in_grey_or_in_sign() -> None:
    from bayesmeta.plots.forest.bias import JUDGEMENTS

    by_sign: dict[str, set[str]] = {}
    for item in JUDGEMENTS:
        by_sign.setdefault(item.sign, set()).add(item.color)
    # a sign has one colour, so that either says it
    assert all(len(colors) == 1 for colors in by_sign.values())
    assert len({color for colors in by_sign.values() for color in colors}) == len(by_sign)


def test_shares_of_trials_are_counted_by_hand_and_drawn() -> None:
    effects = bm.Effects(
        ["A", "A", "B", "C"],
        [0.1, 0.2, 0.3, 0.1],
        [0.2] * 4,
        measure="SMD",
        better="higher",
        label=["A1", "A2", "B", "C"],
        blocks=[([0, 1], [[0.04, 0.02], [0.02, 0.04]])],
    )
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    # trial A has two rows: the worst of its judgements counts
    frame = pd.DataFrame({"D1": ["low", "high", "low", "low"], "D2": ["low", "low", "low", ""]})
    table = judgement_table(fit, frame).set_index(["domain", "judgement"])["trials"]
    assert table.to_dict() == {
        **{("D1", "low"): 2, ("D1", "high"): 1, ("D1", "not judged"): 0},
        **{("D2", "low"): 2, ("D2", "high"): 0, ("D2", "not judged"): 1},
    }
    plot = risk_of_bias_plot(fit, frame)
    widths = {item.get_label(): item.get_width() for item in axes_of(plot, "risk of bias").patches}
    assert widths["D1: low"] == pytest.approx(200 / 3)
    assert widths["D2: not judged"] == pytest.approx(100 / 3)
    assert_texts_apart(risk_of_bias_plot(fatigue(), judged(fatigue())), TOUCH)
    assert_texts_apart(risk_of_bias_plot(fatigue(), judged(fatigue()), width_mm=90.0), TOUCH)


# -- pages -------------------------------------------------------------------------------------------------------------


def test_pages_hold_every_row_once_and_the_pooled_effects_at_the_end(tmp_path: Path) -> None:
    plot = forest_plot(made(141), page_mm=250.0)
    count = len(plot.figures)
    assert count >= 3
    rows: list[str] = []
    for figure in plot.figures:
        page = bm.plots.Plot(figure, plot.table, plot.alt, plot.title)
        marks = [str(item.get_label()) for item in axes_of(page, "forest").lines]
        rows += [label.removeprefix("reported: ") for label in marks if label.startswith("reported: ")]
        limits = axes_of(page, "forest").get_xlim()
        assert limits == axes_of(plot, "forest").get_xlim()
    assert rows == plot.table.query("kind == 'estimate'")["label"].tolist()
    last = [item.get_label() for item in axes_of(bm.plots.Plot(plot.more[-1], plot.table, "", ""), "forest").patches]
    assert {"Bayesian mean effect", "predictive density"} <= set(last)
    # PDF: one file with all pages; PNG and SVG: numbered files
    plot.save(tmp_path / "forest.pdf")
    assert (tmp_path / "forest.pdf").read_bytes().count(b"/Type /Page ") == count
    assert plot.save(tmp_path / "forest.svg") == tmp_path / "forest.svg"
    names = {"forest.svg", *(f"forest-{page}.svg" for page in range(2, count + 1))}
    assert {path.name for path in tmp_path.glob("*.svg")} == names
    assert plot_bytes(plot, "pdf") == (tmp_path / "forest.pdf").read_bytes()
    with pytest.raises(bm.ModelError, match=f"the picture has {count}"):
        plot_bytes(plot, "svg", page=count + 1)
    with pytest.raises(bm.ModelError, match="page_mm = 50"):
        forest_plot(made(3), page_mm=50.0)
    assert len(forest_plot(made(3), page_mm=250.0).figures) == 1


def test_looks_differ_and_an_unknown_one_is_refused() -> None:
    colors = {}
    for style in STYLES:
        axes = axes_of(forest_plot(counts(), style=style), "forest")
        (diamond,) = [item for item in axes.patches if item.get_label() == "Bayesian mean effect"]
        square = line(axes, "reported: Aronson 1948").get_color()
        colors[style] = (square, to_hex(diamond.get_facecolor()))
        # the numbers are the same in every look
        mu = bm.predict(counts()).loc["mu"]
        np.testing.assert_allclose(np.asarray(diamond.get_xy())[:3, 0], mu[["lower", "median", "upper"]].astype(float))
    assert len(set(colors.values())) == len(STYLES)
    assert colors["revman"] == ("#0000cc", "#1a1a1a")
    assert (
        line(axes_of(forest_plot(made(3), style="revman"), "forest"), "reported: Trial 0 1990").get_color() == "#009900"
    )
    with pytest.raises(bm.ModelError, match="revman"):
        forest_plot(counts(), style="revmann")


def test_the_common_effect_and_the_classical_mean_are_those_of_the_check() -> None:
    fit = made(60)
    plot = forest_plot(fit, style="bmj", common_effect=True)
    for method, ci, label in (
        ("EE", "wald", "Common effect (classical)"),
        ("REML", "hksj", "Classical mean (REML, HKSJ)"),
    ):
        found = pool(fit.effects, method=method, ci=ci)
        (diamond,) = [item for item in axes_of(plot, "forest").patches if item.get_label() == label]
        corners = np.asarray(diamond.get_xy())[:3, 0]
        np.testing.assert_allclose(corners, [found.lower, found.estimate, found.upper], rtol=SAME)


def test_weights_are_those_of_the_inverse_variance_under_a_common_effect() -> None:
    # closed form; the area of a square is its weight
    effects = bm.Effects(["A", "B"], [-0.4, -0.1], [0.2, 0.1], measure="SMD", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Flat(), None))
    axes = axes_of(forest_plot(fit, style="jama"), "forest")
    area = [line(axes, f"reported: {label}").get_markersize() ** 2 for label in "AB"]
    assert area[0] / area[1] == pytest.approx((0.1 / 0.2) ** 2)
    lower = line(axes, "reported whisker: A").get_xdata()[0]
    assert lower == pytest.approx(-0.4 + 0.2 * stats.norm.ppf(0.025))
