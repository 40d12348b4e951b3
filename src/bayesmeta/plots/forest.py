"""Forest plot: reported and shrinkage estimates, Bayesian and classical means, and the effect in a new study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from bayesmeta.classical import check_words, is_clustered
from bayesmeta.digits import bayes_factor_text, p_value
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.measures import measure
from bayesmeta.moderators import classical_regression, moderator_test_table
from bayesmeta.plan import Threshold
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    DENSITY,
    INK,
    LINE,
    MARGIN,
    MM,
    THRESHOLD,
    Entry,
    Sheet,
    check_width,
    draw_line,
    footer_height,
    head_height,
    signed,
    text_width,
    ticks,
    wrap,
)
from bayesmeta.plots.tables import Order, forest_table, threshold_lines
from bayesmeta.plots.wording import (
    axis_label,
    benefit_sentence,
    effect_sentence,
    heterogeneity_sentence,
    level_text,
    name_of,
    new_study,
    numbers_of,
    size_line,
    stated_thresholds,
)
from bayesmeta.questions import hksj_remark

__all__ = ["forest_plot"]

FloatArray = NDArray[np.float64]

# millimetres
_GAP = 3.0
_ROW, _TIGHT_ROW = 4.2, 3.3
_MANY = 40
_LABEL_LINE = 2.9
_DENSITY = 6.0
_SQUARE = 2.1
_SMALLEST_PLOT, _PLOT_SHARE = 30.0, 0.23
# beyond this share of the axis a whisker is cut with an arrow, so that one wide interval does not squeeze all others
_STRETCH = 0.6
# below the axis line: ticks and their labels
_AXIS = 5.0
_POINT = 72 / MM
_ABOVE, _BELOW = 0.6, 0.75
_COMMON = "#F7C9A9"
_BAYESIAN = ("level mean", "mean", "new study")
_TESTED = ("p_value", "bayes_factor")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where things stand from left to right, in millimetres: text columns by name, with their right ends."""

    labels: float
    plot_left: float
    plot_right: float
    texts: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Row:
    data: dict[str, Any]
    words: tuple[str, ...]
    top: float
    height: float

    @property
    def middle(self) -> float:
        return self.top + 0.5 * self.height


def forest_plot(
    fit: Fit,
    *,
    subgroup: str | None = None,
    moderated: Fit | None = None,
    thresholds: Threshold | float | Sequence[Threshold | float] | None = None,
    favours: tuple[str, str] = ("Favours treatment", "Favours control"),
    order: Order = "given",
    common_effect: bool = False,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the reported and the shrinkage estimate of every row, with Bayesian and classical pooled effects below.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    subgroup, moderated, order, common_effect, level
        As in `forest_table`.
    thresholds : Threshold, float or several of them, optional
        Drawn as lines. Default: the primary one of the fit's outcome.
    favours : (str, str)
        Words for the side of benefit and the other; shown where the effects say which direction is better.
    title : str, optional
        Default: the outcome's label.
    width_mm : float
        Text columns that do not fit are left out, those of the shrinkage estimates first. The height follows from the
        rows.

    Returns
    -------
    Plot
        ``table`` is that of `forest_table`.

    Raises
    ------
    ModelError
        As `forest_table`, and for a width outside 80 to 420 mm.

    Examples
    --------
    >>> forest_plot(fit, title="Fatigue").alt.split(".")[0]
    'Forest plot of Fatigue: 4 estimates from 4 trials, 700 participants'
    """
    width = check_width(width_mm)
    table = forest_table(
        fit, subgroup=subgroup, moderated=moderated, order=order, common_effect=common_effect, level=level
    )
    chosen = stated_thresholds(fit, thresholds, primary=True)
    title = title or name_of(fit)
    more: list[str] = []
    if moderated is not None:
        lines, fit = threshold_lines(fit, chosen), moderated
        more = _moderator_sentences(fit, str(subgroup))
    else:
        lines = threshold_lines(fit, chosen)
    with drawing():
        picture = _draw(fit, table, lines, favours, title, level, width, more)
    alt = " ".join([_alt(fit, table, chosen, title, level), *more])
    return Plot(picture.figure, table, alt, title)


def _headings(level: float) -> dict[str, str]:
    stated = level_text(level)
    return {"text": f"Reported [{stated} CI]", "theta_text": f"Shrinkage [{stated} CrI]", "weight": "Weight, %"}


def _weight(value: float) -> str:
    return "<0.1" if 0 < value < 0.1 else f"{value:.1f}"


def _cells(table: pd.DataFrame, name: str) -> list[str]:
    if name == "weight":
        return [_weight(value) for value in table["weight"].dropna()]
    return [signed(text) for text in table[name] if not text.startswith("not defined")]


def _columns(table: pd.DataFrame, width: float, level: float) -> _Columns:
    headings = _headings(level)
    needed = max(text_width(row["label"], bold=row["kind"] in ("heading", "mean")) for row in table.to_dict("records"))
    labels = min(needed + 0.5, 0.42 * width)
    room = width - 2 * MARGIN - labels - _GAP
    for names in (("text", "theta_text", "weight"), ("text", "weight"), ("weight",), ()):
        widths = [max(text_width(text) for text in [headings[n], *_cells(table, n)]) + _GAP for n in names]
        plot = room - sum(widths)
        if plot >= max(_SMALLEST_PLOT, _PLOT_SHARE * width) or not names:
            break
    left = MARGIN + labels + _GAP
    right = left + plot
    ends = (right + np.cumsum(widths)).tolist()
    return _Columns(labels, left, right, dict(zip(names, ends, strict=True)))


def _rows(table: pd.DataFrame, columns: _Columns, top: float) -> list[_Row]:
    base = _TIGHT_ROW if len(table) > _MANY else _ROW
    rows: list[_Row] = []
    for item in table.to_dict("records"):
        bold = item["kind"] in ("heading", "mean")
        words = wrap(item["label"], columns.labels, bold=bold)
        if "text" not in columns.texts and item["kind"] not in ("estimate", "heading"):
            words += wrap(signed(item["text"].partition(":")[0]), columns.labels)
        height = max(base, _LABEL_LINE * len(words) + 1.0) if len(words) > 1 else base
        if item["kind"] == "new study":
            height = max(height, _DENSITY + 3.0)
        if item["kind"] == "mean":
            # the rule between estimates and summaries needs air
            top += 1.5
        if item["kind"] == "heading" and rows:
            top += 1.0
        rows.append(_Row({str(name): value for name, value in item.items()}, tuple(words), top, height))
        top += height
    return rows


def _limits(fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]]) -> tuple[float, float]:
    estimates, summaries = table[table["kind"] == "estimate"], table[table["kind"].isin(_BAYESIAN)]
    core = [estimates[["estimate", "theta_lower", "theta_upper"]], summaries[["lower", "upper"]]]
    inner = np.concatenate([*(part.to_numpy(float).ravel() for part in core), [x for _, x, _ in lines], [0.0]])
    every = np.concatenate([inner, table[["lower", "upper"]].to_numpy(float).ravel()])
    low, high = float(inner.min()), float(inner.max())
    span = high - low
    widest = (float(np.nanmin(every)), float(np.nanmax(every)))
    low = widest[0] if low - widest[0] <= _STRETCH * span else low
    high = widest[1] if widest[1] - high <= _STRETCH * span else high
    room = 0.03 * (high - low)
    return low - room, high + room


def _draw(
    fit: Fit,
    table: pd.DataFrame,
    lines: list[tuple[str, float, bool]],
    favours: tuple[str, str],
    title: str,
    level: float,
    width: float,
    more: Sequence[str],
) -> Sheet:
    better = fit.effects.better
    head = [size_line(fit.effects) + (f"; {better} is better" if better else "")]
    limits = _limits(fit, table, lines)
    cut = bool(((table["lower"] < limits[0]) | (table["upper"] > limits[1])).any())
    entries = _legend(fit, table, lines, level)
    notes = [*_notes(fit, table, cut, level), *more]
    columns = _columns(table, width, level)
    title_end = head_height(title, head, width)
    rows_top = title_end + (LINE + 2.0 if columns.texts else 1.0)
    rows = _rows(table, columns, rows_top)
    rows_end = rows[-1].top + rows[-1].height + 0.5
    sides = _favour_lines(fit, favours, columns, limits, width)
    middle = 0.5 * (columns.plot_left + columns.plot_right)
    axis_words = wrap(axis_label(fit.effects), 2 * min(middle, width - middle) - 2 * MARGIN)
    axis_height = _AXIS + LINE * (len(axis_words) + len(sides)) + 1.5
    sheet = Sheet(width, rows_end + axis_height + footer_height(entries, notes, width))
    sheet.head(title, head)
    _draw_headings(sheet, columns, rows_top, level)
    axes = sheet.axes(
        columns.plot_left, rows_top, columns.plot_right - columns.plot_left, rows_end - rows_top, "forest"
    )
    axes.set_xlim(*limits)
    axes.set_ylim(rows_end, rows_top)
    _draw_frame(axes, fit, columns, lines)
    for row in rows:
        _draw_words(sheet, columns, row)
        _draw_row(axes, fit, row, float(table["weight"].max()), limits)
    split = next(row for row in rows if row.data["kind"] == "mean")
    sheet.rule(split.top - 0.75, MARGIN, width - MARGIN)
    y = rows_end + _AXIS + 0.5 * LINE
    for line in [[(middle, words, "center")] for words in axis_words] + sides:
        for x, text, ha in line:
            sheet.text(x, y, text, ha=ha)
        y += LINE
    y = sheet.legend(rows_end + axis_height, entries)
    sheet.notes(y, notes, color=INK)
    return sheet


def _draw_headings(sheet: Sheet, columns: _Columns, rows_top: float, level: float) -> None:
    if not columns.texts:
        return
    y = rows_top - 1.0 - 0.5 * LINE
    sheet.text(MARGIN, y, "Estimate", weight="bold")
    for name, right in columns.texts.items():
        sheet.text(right, y, _headings(level)[name], ha="right", color=BAYES if name == "theta_text" else INK)
    sheet.rule(rows_top - 0.6, MARGIN, sheet.width - MARGIN)


def _draw_frame(axes: Axes, fit: Fit, columns: _Columns, lines: list[tuple[str, float, bool]]) -> None:
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.yaxis.set_visible(False)
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for name, x, benefit in lines:
        axes.axvline(x, zorder=1, label=name, **THRESHOLD[benefit])
    low, high = axes.get_xlim()
    ticks(axes.xaxis, measure(fit.effects.measure), low, high, columns.plot_right - columns.plot_left)


def _draw_words(sheet: Sheet, columns: _Columns, row: _Row) -> None:
    kind = row.data["kind"]
    weight = "bold" if kind in ("heading", "mean") else "normal"
    start = row.middle - 0.5 * _LABEL_LINE * (len(row.words) - 1)
    for i, words in enumerate(row.words):
        sheet.text(MARGIN, start + i * _LABEL_LINE, words, weight=weight)
    if kind == "heading":
        return
    bayesian = kind in _BAYESIAN
    if bayesian and "theta_text" in columns.texts:
        sheet.text(columns.texts["theta_text"], row.middle, signed(row.data["text"]), ha="right", weight=weight)
    elif "text" in columns.texts:
        text = "not defined" if row.data["text"].startswith("not defined") else signed(row.data["text"])
        sheet.text(columns.texts["text"], row.middle, text, ha="right", weight=weight)
    if kind == "estimate":
        if "theta_text" in columns.texts:
            sheet.text(columns.texts["theta_text"], row.middle, signed(row.data["theta_text"]), ha="right", color=BAYES)
        if "weight" in columns.texts:
            sheet.text(columns.texts["weight"], row.middle, signed(_weight(row.data["weight"])), ha="right")


def _draw_row(axes: Axes, fit: Fit, row: _Row, heaviest: float, limits: tuple[float, float]) -> None:
    data, kind, y = row.data, row.data["kind"], row.middle
    if kind == "heading" or not np.isfinite(data["estimate"]):
        return
    ends = (data["lower"], data["upper"])
    name = data["label"]
    if kind == "estimate":
        _whisker(axes, ends, y - _ABOVE, limits, f"reported whisker: {name}", color=INK, linewidth=0.8)
        side = max(_SQUARE * np.sqrt(max(data["weight"], 0.0) / heaviest), 0.5)
        draw_line(
            axes,
            [data["estimate"]],
            [y - _ABOVE],
            marker="s",
            markersize=side * _POINT,
            color=INK,
            markeredgewidth=0,
            zorder=4,
            label=f"reported: {name}",
        )
        shrinkage = (data["theta_lower"], data["theta_upper"])
        _whisker(axes, shrinkage, y + _BELOW, limits, f"shrinkage whisker: {name}", color=BAYES, linewidth=0.8)
        draw_line(
            axes,
            [data["theta"]],
            [y + _BELOW],
            marker="o",
            markersize=2.6,
            markerfacecolor="white",
            markeredgecolor=BAYES,
            markeredgewidth=0.8,
            linestyle="none",
            zorder=5,
            label=f"shrinkage: {name}",
        )
    elif kind == "new study":
        _draw_density(axes, fit, row, limits)
    elif kind == "classical prediction":
        _whisker(axes, ends, y, limits, name, color=CLASSICAL, linewidth=1.4, linestyle=(0, (5, 1)))
    else:
        bayesian = kind in _BAYESIAN
        half = 1.1 if kind == "level mean" else 1.5
        face = BAYES if bayesian else (_COMMON if kind == "common effect" else "white")
        _diamond(axes, data["estimate"], ends, y, half, limits, name, color=BAYES if bayesian else CLASSICAL, face=face)


def _whisker(
    axes: Axes, ends: tuple[float, float], y: float, limits: tuple[float, float], name: str, **look: Any
) -> None:
    draw_line(axes, list(ends), [y, y], solid_capstyle="butt", dash_capstyle="butt", zorder=3, label=name, **look)
    _arrows(axes, ends, y, limits, look["color"])


def _arrows(axes: Axes, ends: tuple[float, float], y: float, limits: tuple[float, float], color: str) -> None:
    for beyond, x, marker in ((ends[0] < limits[0], limits[0], "<"), (ends[1] > limits[1], limits[1], ">")):
        if beyond:
            draw_line(
                axes, [x], [y], marker=marker, markersize=3.2, color=color, markeredgewidth=0, clip_on=False, zorder=6
            )


def _diamond(
    axes: Axes,
    estimate: float,
    ends: tuple[float, float],
    y: float,
    half: float,
    limits: tuple[float, float],
    name: str,
    *,
    color: str,
    face: str,
) -> None:
    corners = [(ends[0], y), (estimate, y - half), (ends[1], y), (estimate, y + half)]
    axes.add_patch(Polygon(corners, closed=True, facecolor=face, edgecolor=color, linewidth=0.9, zorder=4, label=name))
    _arrows(axes, ends, y, limits, color)


def _draw_density(axes: Axes, fit: Fit, row: _Row, limits: tuple[float, float]) -> None:
    form = marginal(fit, "theta_new")
    low, high = form.quantile(np.array([0.001, 0.999]))
    x = np.linspace(low, high, 401)
    height = form.density(x)
    base = row.top + _DENSITY + 0.5
    y = base - _DENSITY * height / height.max()
    axes.add_patch(
        Polygon(
            np.column_stack([np.concatenate([[low], x, [high]]), np.concatenate([[base], y, [base]])]),
            closed=True,
            facecolor=DENSITY,
            edgecolor=BAYES,
            linewidth=0.6,
            zorder=2,
            label="predictive density",
        )
    )
    ends = (row.data["lower"], row.data["upper"])
    _whisker(axes, ends, base + 1.1, limits, row.data["label"], color=BAYES, linewidth=1.8)
    draw_line(
        axes,
        [row.data["estimate"]],
        [base + 1.1],
        marker="|",
        markersize=4,
        color=BAYES,
        markeredgewidth=1.2,
        zorder=5,
        label="predictive median",
    )


def _favour_lines(
    fit: Fit, favours: tuple[str, str], columns: _Columns, limits: tuple[float, float], width: float
) -> list[list[tuple[float, str, str]]]:
    """Words on either side of no effect, one line where they fit on the page, else two."""
    if fit.effects.better is None:
        return []
    left, right = favours if fit.effects.better == "lower" else favours[::-1]
    left, right = f"\u2190 {left}", f"{right} \u2192"
    first, second = (columns.plot_left, left, "left"), (columns.plot_right, right, "right")
    share = (0.0 - limits[0]) / (limits[1] - limits[0])
    null = columns.plot_left + share * (columns.plot_right - columns.plot_left)
    if null - 1.5 - text_width(left) >= MARGIN and null + 1.5 + text_width(right) <= width - MARGIN:
        return [[(null - 1.5, left, "right"), (null + 1.5, right, "left")]]
    # stacked, and words wider than the axis end at its right so that they stay on the page
    if text_width(left) > columns.plot_right - columns.plot_left:
        first = (columns.plot_right, left, "right")
    return [[first], [second]]


def _legend(fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]], level: float) -> list[Entry]:
    kinds, stated, words = set(table["kind"]), level_text(level), check_words(fit.effects)
    dot: dict[str, Any] = {"marker": "o", "markersize": 2.6, "markerfacecolor": "white", "markeredgewidth": 0.8}
    open_diamond = {"marker": "D", "markersize": 4.5, "markerfacecolor": "white", "linestyle": "none"}
    entries = [
        Entry(
            {"color": INK, "marker": "s", "markersize": 4.5, "linewidth": 0.8},
            f"Reported estimate, {stated} normal confidence interval (CI); area of the square: weight",
        ),
        Entry(
            {"color": BAYES, "linewidth": 0.8, **dot},
            f"Shrinkage estimate (posterior of the trial's effect): median, {stated} central credible interval (CrI)",
        ),
        Entry(
            {"color": BAYES, "marker": "D", "markersize": 4.5, "linestyle": "none"},
            f"Bayesian mean effect: posterior median, {stated} central credible interval",
        ),
    ]
    if "new study" in kinds:
        entries.append(
            Entry(
                {"facecolor": DENSITY, "edgecolor": BAYES, "linewidth": 0.6},
                f"Effect in a new study: posterior predictive density; bar: {stated} central prediction interval",
            )
        )
    if table.loc[table["kind"] == "classical mean", "estimate"].notna().any():
        entries.append(
            Entry(
                {"color": CLASSICAL, **open_diamond},
                f"Classical mean: {words.model}, {stated} {words.interval} confidence interval",
            )
        )
    if "common effect" in kinds:
        entries.append(
            Entry(
                {"color": CLASSICAL, **open_diamond, "markerfacecolor": _COMMON},
                f"Common effect: inverse variance, {stated} normal confidence interval",
            )
        )
    if "classical prediction" in kinds:
        counted = "; k counts trials" if fit.effects.blocks and not is_clustered(fit.effects) else ""
        entries.append(
            Entry(
                {"color": CLASSICAL, "linewidth": 1.4, "linestyle": (0, (5, 1))},
                f"Classical {stated} prediction interval: {words.model}, {words.prediction}{counted}",
            )
        )
    for name, _, benefit in lines:
        entries.append(Entry(THRESHOLD[benefit], name))
    return entries


def _notes(fit: Fit, table: pd.DataFrame, cut: bool, level: float) -> list[str]:
    notes = [heterogeneity_sentence(fit, level), *new_study(fit)]
    if cut:
        notes.append("An arrowhead marks an interval that goes on beyond the axis.")
    if remark := hksj_remark(fit, level=level):
        notes.append(f"* REML, HKSJ: {remark}.")
    for item in table[table["text"].str.startswith("not defined")].to_dict("records"):
        notes.append(f"{item['label']}: {item['text']}")
    return notes


def _moderator_sentences(fit: Fit, subgroup: str) -> list[str]:
    """The one model behind a picture of subgroups, and the test that they differ."""
    regression, _ = classical_regression(fit)
    found = moderator_test_table(fit, regression=regression).reindex(columns=["moderator", "f", "df1", "df2", *_TESTED])
    test: Any = found[found["moderator"] == subgroup].iloc[0]
    parts = []
    if np.isfinite(test["f"]):
        p = p_value(test["p_value"])
        parts.append(f"F({test['df1']:g}, {test['df2']:g}) = {test['f']:.2f}, p {p if p[0] == '<' else f'= {p}'}")
    if np.isfinite(test["bayes_factor"]):
        parts.append(f"Bayes factor {bayes_factor_text(test['bayes_factor'])}")
    others = [name for name in fit.design.factors if name != subgroup]
    mix = f", averaged over the observed mix of {' and '.join(others)}" if others else ""
    tested = f" Test of {subgroup}: {'; '.join(parts)}." if parts else ""
    return [f"One model with one tau for all levels: trials, level means and a new study are of it{mix}.{tested}"]


def _alt(fit: Fit, table: pd.DataFrame, thresholds: tuple[Threshold, ...], title: str, level: float) -> str:
    numbers = numbers_of(fit.effects)
    estimates = table[table["kind"] == "estimate"]
    parts = [
        f"Forest plot of {title}: {size_line(fit.effects)}.",
        f"Reported estimates range from {numbers.interval(estimates['estimate'].min(), estimates['estimate'].max())}, "
        f"shrinkage estimates from {numbers.interval(estimates['theta'].min(), estimates['theta'].max())}.",
        effect_sentence(fit, level),
    ]
    for item in table[table["kind"].isin(["classical mean", "common effect", "classical prediction"])].to_dict(
        "records"
    ):
        if not np.isfinite(item["estimate"]):
            parts.append(f"{item['label']}: {item['text']}")
        elif item["kind"] == "classical prediction":
            parts.append(f"Classical {item['interval']}: {numbers.interval(item['lower'], item['upper'])}.")
        else:
            parts.append(
                f"{item['label']}: {numbers.value(item['estimate'])} "
                f"({item['interval']} {numbers.interval(item['lower'], item['upper'])})."
            )
    for item in table[table["kind"] == "level mean"].to_dict("records"):
        parts.append(
            f"{item['label']}: {numbers.value(item['estimate'])} "
            f"({item['interval']} {numbers.interval(item['lower'], item['upper'])})."
        )
    parts += [heterogeneity_sentence(fit, level), benefit_sentence(fit, thresholds)]
    return " ".join(part for part in parts if part).replace("\u2212", "-")
