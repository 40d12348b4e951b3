"""Forest plot: reported and shrinkage estimates, Bayesian and classical means, and the effect in a new study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.forest.bias import Lights, lights_of
from bayesmeta.plots.forest.columns import Column, OwnColumns, arm_columns, arms_table, own_columns, own_frame
from bayesmeta.plots.forest.layout import BAYESIAN, LIGHT, Layout, Row, arranged, pages_of, rows_of
from bayesmeta.plots.forest.marks import Marks, draw_frame, draw_marks, ridges_of
from bayesmeta.plots.forest.styles import StyleName, style_of
from bayesmeta.plots.forest.table import forest_table
from bayesmeta.plots.forest.words import alt_of, legend_of, moderator_sentences, notes_of
from bayesmeta.plots.frame import shorten
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    INK,
    LINE,
    MARGIN,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    signed,
    text_width,
    wrap,
)
from bayesmeta.plots.tables import threshold_lines
from bayesmeta.plots.wording import arm_names, axis_label, level_text, name_of, size_line, stated_thresholds

__all__ = ["forest_plot"]

FloatArray = NDArray[np.float64]

# millimetres
_LABEL_LINE = 2.9
# below the axis line: ticks and their labels
_AXIS = 5.0
_LOWEST_PAGE = 120.0
# beyond this share of the axis a whisker is cut with an arrow, so that one wide interval does not squeeze all others
_STRETCH = 0.6


@dataclass(frozen=True, slots=True)
class _Picture:
    """Everything that the pages of one picture share."""

    marks: Marks
    layout: Layout
    lights: Lights | None
    lines: list[tuple[str, float, bool]]
    favours: tuple[str, str]
    title: str
    head: list[str]
    entries: list[Entry]
    notes: list[str]

    @property
    def fit(self) -> Fit:
        return self.marks.fit


def forest_plot(
    fit: Fit,
    *,
    subgroup: str | None = None,
    moderated: Fit | None = None,
    thresholds: Threshold | float | Sequence[Threshold | float] | None = None,
    favours: tuple[str, str] | None = None,
    order: str = "given",
    arms: pd.DataFrame | bool = False,
    columns: OwnColumns | None = None,
    risk_of_bias: pd.DataFrame | None = None,
    shrinkage: bool | None = None,
    ridge: bool = False,
    limits: tuple[float, float] | None = None,
    style: StyleName = "journal",
    common_effect: bool = False,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float | None = None,
    page_mm: float | None = None,
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
    favours : (str, str), optional
        Words for the side of benefit and the other; shown where the effects say which direction is better. Default:
        ``Favours`` and the name of the arm, where all rows agree on one.
    arms : pandas.DataFrame or bool
        Columns with what both arms had: True for `arms_table`, or a frame with its columns, one line per estimate.
    columns : pandas.DataFrame or mapping of str to sequence, optional
        Further columns by their headings, one text or number per estimate in the order of ``fit.effects.label``.
    risk_of_bias : pandas.DataFrame, optional
        One line per estimate in that order and one column per domain, with judgements of RoB 2, ROBINS-I or the first
        tool as cells (``low``, ``some concerns``, ``high``; ``moderate``, ``serious``, ``critical``; ``unclear``, ``no
        information``), drawn as lights with signs.
    shrinkage : bool, optional
        Show shrinkage estimates; default as the style does.
    ridge : bool
        Draw the exact posterior density of every trial's effect.
    limits : (float, float), optional
        Ends of the axis on the natural scale; an interval that leaves it ends in an arrow.
    style : {"journal", "revman", "jama", "bmj"}
        Colours and places of columns. All are in one font, whose widths are known.
    title : str, optional
        Default: the outcome's label.
    width_mm : float, optional
        The drawing takes at least 40 % of it; columns that do not fit are left out, those of the shrinkage estimates
        first, then weights. Default: 180, and up to 300 where columns are asked for. The height follows from the rows.
    page_mm : float, optional
        Height of a page; a longer picture goes on on further ones (``plot.figures``). Default: one page, as high as it
        takes.

    Returns
    -------
    Plot
        ``table`` is that of `forest_table`.

    Raises
    ------
    ModelError
        As `forest_table`, for a width outside 80 to 420 mm, a page below 120 mm, limits that do not ascend, columns of
        another length, and what is no judgement.

    Examples
    --------
    >>> forest_plot(fit, title="Fatigue").alt.split(".")[0]
    'Forest plot of Fatigue: 4 estimates from 4 trials, 700 participants'
    """
    width = None if width_mm is None else check_width(width_mm)
    if page_mm is not None and not page_mm >= _LOWEST_PAGE:
        raise ModelError(f"page_mm = {page_mm:g} is below {_LOWEST_PAGE:g}; A4 is 297 high, with margins 260.")
    look = style_of(style)
    own = own_frame(columns, fit.effects, "columns")
    lights = None if risk_of_bias is None else lights_of(risk_of_bias, fit)
    if arms is True:
        arms = arms_table(fit)
    table = forest_table(
        fit,
        subgroup=subgroup,
        moderated=moderated,
        order=order,
        columns=columns,
        common_effect=common_effect,
        level=level,
    )
    chosen = stated_thresholds(fit, thresholds, primary=True)
    title = title or name_of(fit)
    lines = threshold_lines(fit, chosen)
    groups: dict[str, list[Column]] = {"own": own_columns(own, fit.effects)}
    if isinstance(arms, pd.DataFrame):
        groups["arms"] = arm_columns(own_frame(arms, fit.effects, "arms"), fit.effects, split=look.split)
    favours = favours or tuple(f"Favours {name}" for name in arm_names(fit.effects))  # type: ignore[assignment]
    more: list[str] = []
    if moderated is not None:
        fit = moderated
        more = moderator_sentences(fit, str(subgroup))
    shown = look.shrinkage if shrinkage is None else shrinkage
    ends = _limits(fit, table, lines, shown or ridge) if limits is None else _stated_limits(fit, limits)
    cut = bool(((table["lower"] < ends[0]) | (table["upper"] > ends[1])).any())
    with drawing():
        counted = fit.model.likelihood == "binomial" and measure(fit.effects.measure).single_arm
        groups |= _number_columns(table, level, shown, look.posterior, counted=counted)
        layout = arranged(table, groups, lights, look, width)
        square = look.squares[fit.effects.counts is not None]
        ridges = ridges_of(fit, table) if ridge else {}
        marks = Marks(fit, look, ends, float(table["weight"].max()), square, shown, ridges)
        better = fit.effects.better
        unsummed = bool(groups.get("arms") and fit.effects.blocks)
        picture = _Picture(
            marks,
            layout,
            lights,
            lines,
            favours,  # type: ignore[arg-type]
            title,
            [size_line(fit.effects) + (f"; {better} is better" if better else "")],
            legend_of(marks, table, lines, lights, level),
            [*notes_of(fit, table, cut=cut, total=unsummed, lights=lights, level=level), *more],
        )
        figures = _pages(picture, rows_of(table, layout, ridge=ridge), look.label, page_mm)
    alt = " ".join([alt_of(fit, table, chosen, title, level), *more])
    return Plot(figures[0], table, alt, title, tuple(figures[1:]))


def _number_columns(
    table: pd.DataFrame, level: float, shrinkage: bool, color: str, *, counted: bool
) -> dict[str, list[Column]]:
    """Columns of estimates, shrinkage estimates and weights, which are approximate where trials are taken by counts."""
    stated = level_text(level)
    texts: dict[str, str] = {}
    thetas: dict[str, str] = {}
    weights: dict[str, str] = {}
    for row in table.to_dict("records"):
        label, kind = row["label"], row["kind"]
        if kind == "heading":
            continue
        text = "not defined" if row["text"].startswith("not defined") else signed(row["text"])
        texts[label] = text
        if kind in BAYESIAN:
            thetas[label] = text
        if kind == "estimate":
            thetas[label] = signed(row["theta_text"])
            weights[label] = signed(_weight(row["weight"]))
    found = {"text": [Column(f"{'Reported' if shrinkage else 'Effect'} [{stated} CI]", texts)]}
    if shrinkage:
        found["theta"] = [Column(f"Shrinkage [{stated} CrI]", thetas, color=color)]
    found["weight"] = [Column("Weight, % (approx.)" if counted else "Weight, %", weights)]
    return found


def _weight(value: float) -> str:
    return "<0.1" if 0 < value < 0.1 else f"{value:.1f}"


# -- the axis ----------------------------------------------------------------------------------------------------------


def _limits(
    fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]], posteriors: bool
) -> tuple[float, float]:
    estimates, summaries = table[table["kind"] == "estimate"], table[table["kind"].isin(BAYESIAN)]
    seen = ["estimate", "theta_lower", "theta_upper"] if posteriors else ["estimate"]
    core = [estimates[seen], summaries[["lower", "upper"]]]
    inner = np.concatenate([*(part.to_numpy(float).ravel() for part in core), [x for _, x, _ in lines]])
    if not measure(fit.effects.measure).single_arm:
        inner = np.append(inner, 0.0)
    every = np.concatenate([inner, table[["lower", "upper"]].to_numpy(float).ravel()])
    low, high = float(inner.min()), float(inner.max())
    span = high - low
    widest = (float(np.nanmin(every)), float(np.nanmax(every)))
    low = widest[0] if low - widest[0] <= _STRETCH * span else low
    high = widest[1] if widest[1] - high <= _STRETCH * span else high
    room = 0.03 * (high - low)
    return low - room, high + room


def _stated_limits(fit: Fit, limits: tuple[float, float]) -> tuple[float, float]:
    """Ends of the axis on the scale of the analysis."""
    kind = measure(fit.effects.measure)
    with np.errstate(all="ignore"):
        low, high = (float(kind.transform(float(end))) for end in limits)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        positive = "; ratios are above 0" if kind.log else ""
        raise ModelError(
            f"limits = {tuple(limits)}: give the lower end of the axis and then the upper, on the scale on which "
            f"effects are printed{positive}."
        )
    return low, high


def _favour_lines(picture: _Picture) -> list[list[tuple[float, str, str]]]:
    """Words on either side of no effect, one line where they fit on the page, else two."""
    fit, layout, limits = picture.fit, picture.layout, picture.marks.limits
    if fit.effects.better is None or measure(fit.effects.measure).single_arm:
        return []
    left, right = picture.favours if fit.effects.better == "lower" else picture.favours[::-1]
    left, right = f"\u2190 {left}", f"{right} \u2192"
    first, second = (layout.left, left, "left"), (layout.right, right, "right")
    share = min(max((0.0 - limits[0]) / (limits[1] - limits[0]), 0.0), 1.0)
    null = layout.left + share * (layout.right - layout.left)
    if null - 1.5 - text_width(left) >= MARGIN and null + 1.5 + text_width(right) <= layout.width - MARGIN:
        return [[(null - 1.5, left, "right"), (null + 1.5, right, "left")]]
    # stacked, and words wider than the axis end at its right so that they stay on the page
    if text_width(left) > layout.right - layout.left:
        first = (layout.right, left, "right")
    return [[first], [second]]


# -- pages -------------------------------------------------------------------------------------------------------------


def _pages(picture: _Picture, rows: list[Row], label: str, page_mm: float | None) -> list[Figure]:
    layout, width = picture.layout, picture.layout.width
    sides = _favour_lines(picture)
    middle = 0.5 * (layout.left + layout.right)
    axis_words = wrap(axis_label(picture.fit.effects), 2 * min(middle, width - middle) - 2 * MARGIN)
    below = 0.5 + _AXIS + LINE * (len(axis_words) + len(sides)) + 1.5
    above = LINE * layout.head_lines + 2.0 if layout.head_lines else 1.0
    footer = footer_height(picture.entries, picture.notes, width)
    fixed = head_height(f"{picture.title} (page 99 of 99)", picture.head, width) + above + below + LINE + MARGIN
    found = pages_of(rows, None if page_mm is None else page_mm - fixed, footer - LINE - MARGIN)
    figures = []
    for number, part in enumerate(found, 1):
        last, title = number == len(found), picture.title
        if len(found) > 1:
            title += f" (page {number} of {len(found)})"
        rows_top = head_height(title, picture.head, width) + above
        rows_end = rows_top + part[-1].top + part[-1].height + 0.5
        end = rows_end + below - 0.5
        sheet = Sheet(width, end + (footer if last else LINE + MARGIN))
        sheet.head(title, picture.head)
        _draw_headings(sheet, picture, rows_top, label)
        axes = sheet.axes(layout.left, rows_top, layout.right - layout.left, rows_end - rows_top, "forest")
        axes.set_xlim(*picture.marks.limits)
        axes.set_ylim(rows_end, rows_top)
        draw_frame(axes, picture.fit, layout.right - layout.left, picture.lines)
        for row in (row.moved(rows_top) for row in part):
            if row.data["kind"] == "mean":
                sheet.rule(row.top - 0.75, MARGIN, width - MARGIN)
            _draw_words(sheet, picture, row)
            draw_marks(axes, picture.marks, row)
        y = rows_end + _AXIS + 0.5 * LINE
        for line in [[(middle, words, "center")] for words in axis_words] + sides:
            for x, text, ha in line:
                sheet.text(x, y, text, ha=ha)
            y += LINE
        if last:
            sheet.notes(sheet.legend(end, picture.entries), picture.notes, color=INK)
        else:
            sheet.notes(end, ["Continued on the next page, with the pooled effects, the legend and notes at the end."])
        figures.append(sheet.figure)
    return figures


def _draw_headings(sheet: Sheet, picture: _Picture, rows_top: float, label: str) -> None:
    layout = picture.layout
    if not layout.head_lines:
        return
    bottom = rows_top - 1.0 - 0.5 * LINE
    sheet.text(MARGIN, bottom, label, weight="bold")
    for item in layout.placed:
        x, ha = (item.left, "left") if item.column.left else (item.right, "right")
        for i, line in enumerate(item.heading[::-1]):
            sheet.text(x, bottom - i * LINE, signed(line), ha=ha, color=item.column.color)
    arms = [item for item in layout.placed if item.column.over]
    for over in dict.fromkeys(item.column.over for item in arms):
        members = [item for item in arms if item.column.over == over]
        y = bottom - LINE * max(len(item.heading) for item in arms)
        left, right = members[0].left, members[-1].right
        words = shorten(over, right - left)
        sheet.text(right, y, words, ha="right", weight="bold")
        sheet.rule(y + 0.5 * LINE, left, right)
    if picture.lights and layout.lights is not None:
        count = len(picture.lights.domains)
        words = "Risk of bias" if LIGHT * count > text_width("Risk of bias", bold=True) else "Bias"
        end = layout.lights + LIGHT * (count - 0.5)
        sheet.text(end, bottom - LINE, words, ha="right", weight="bold")
        for i, mark in enumerate(picture.lights.marks):
            sheet.text(layout.lights + LIGHT * i, bottom, mark, ha="center")
    sheet.rule(rows_top - 0.6, MARGIN, sheet.width - MARGIN)


def _draw_words(sheet: Sheet, picture: _Picture, row: Row) -> None:
    layout, kind, label = picture.layout, row.data["kind"], row.data["label"]
    weight = "bold" if kind in ("heading", "mean") else "normal"
    start = row.middle - 0.5 * _LABEL_LINE * (len(row.words) - 1)
    for i, words in enumerate(row.words):
        sheet.text(MARGIN, start + i * _LABEL_LINE, words, weight=weight)
    if kind == "heading":
        return
    for item in layout.placed:
        name = "" if kind == "mean" and item.group == "arms" else label
        text = item.column.texts.get(name, "")
        # pooled posteriors stand with the reported estimates where there is no column of shrinkage estimates
        if not text or (item.group == "text" and kind in BAYESIAN and "theta" in layout.groups):
            continue
        x, ha = (item.left, "left") if item.column.left else (item.right, "right")
        color = item.column.color if kind == "estimate" else INK
        bold = weight if item.group in ("text", "theta") or kind != "estimate" else "normal"
        text = shorten(text, item.right - item.left + 0.1) if item.group == "own" else text
        sheet.text(x, row.middle, text, ha=ha, weight=bold, color=color)
    if kind == "estimate" and picture.lights and layout.lights is not None:
        for i, judged in enumerate(picture.lights.rows[label]):
            x = layout.lights + LIGHT * i
            sheet.dot(x, row.middle, min(LIGHT, row.height) - 0.4, facecolor=judged.color, edgecolor=INK, linewidth=0.4)
            if judged.sign:
                sheet.text(x, row.middle, judged.sign, ha="center", weight="bold", color=judged.ink)
