"""Benefit curve: how probable it is that the effect is beyond any value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator

from bayesmeta.columns import percent
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure, require_null
from bayesmeta.plan import Threshold
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    INK,
    LINE,
    MARGIN,
    SIZE,
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
from bayesmeta.plots.wording import (
    axis_label,
    effect_sentence,
    name_of,
    new_study,
    numbers_of,
    size_line,
    stated_thresholds,
)
from bayesmeta.questions import CAVEAT, benefit_curve, benefit_table, direction

__all__ = ["benefit_plot"]

# millimetres
_HEIGHT, _AXIS, _SCALE = 62.0, 5.0, 12.0
_NULL: dict[str, Any] = {"color": INK, "linewidth": 0.6}
_TARGETS = (("mean effect", "p_mean", BAYES, "-", "o"), ("new study", "p_new", CLASSICAL, (0, (5, 1.5)), "s"))


def benefit_plot(
    fit: Fit,
    *,
    thresholds: Threshold | float | Sequence[Threshold | float] | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw P(effect beyond t) over t, for the mean effect and for a new study, in the direction of benefit.

    The axis runs from worse to better, with effects on their natural scale. Below it stand the probabilities at no
    effect and at every threshold.

    Parameters
    ----------
    fit : Fit
        Its effects say which direction is better.
    thresholds : Threshold, float or several of them, optional
        Default: all of the fit's outcome.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.benefit_curve`.

    Raises
    ------
    ModelError
        If no direction is stated.

    Examples
    --------
    >>> benefit_plot(fit).table.columns.tolist()
    ['x', 'natural', 'p_mean', 'p_new']
    """
    require_null(fit.effects.measure, "the curve of benefit")
    width = check_width(width_mm)
    direction(fit)
    chosen = stated_thresholds(fit, thresholds)
    odds = _probabilities(fit, chosen)
    table = _curve(fit, odds)
    title = f"{title or name_of(fit)}: probability of benefit"
    with drawing():
        sheet = _draw(fit, table, odds, title, width)
    return Plot(sheet.figure, table, _alt(fit, odds, title, level), title)


def _probabilities(fit: Fit, thresholds: tuple[Threshold, ...]) -> pd.DataFrame:
    """Lines of the small table: where on the axis, what it is called, and both probabilities."""
    sign, numbers = direction(fit), numbers_of(fit.effects)
    null = numbers.value(0.0)
    curve = benefit_curve(fit, [0.0])
    rows = [
        {
            "x": 0.0,
            "words": f"Any benefit (beyond {null})",
            "side": "null",
            "mean": curve["p_mean"].iloc[0],
            "new": curve["p_new"].iloc[0],
        }
    ]
    if not thresholds:
        return pd.DataFrame(rows)
    table = benefit_table(fit, thresholds)
    harm: list[dict[str, Any]] = []
    for name, part in table.groupby("threshold", sort=False):
        # the average over a distribution of thresholds belongs to no single point of the axis
        averaged = str(name).endswith("(averaged)")
        for column, side, word, comparison, probability, into in (
            ("benefit", 1, "Benefit", "or better", "p_important_benefit", rows),
            ("worse", -1, "Harm", "or worse", "p_important_harm", harm),
        ):
            x, p = side * float(part[column].iloc[0]), part[probability].to_numpy(float)
            where = "" if averaged else f" ({numbers.value(sign * x)} {comparison})"
            into.append(
                {
                    "x": math.nan if averaged else x,
                    "words": f"{word}, {name}{where}",
                    "side": "averaged" if averaged else word.lower(),
                    "mean": p[0],
                    "new": p[1],
                }
            )
    return pd.DataFrame([*rows, *harm])


def _curve(fit: Fit, odds: pd.DataFrame) -> pd.DataFrame:
    """Take the default curve, widened so that every threshold of benefit is on it."""
    table = benefit_curve(fit)
    low, high = min(table["x"].min(), odds["x"].min()), max(table["x"].max(), odds["x"].max())
    if low < table["x"].min() or high > table["x"].max():
        room = 0.04 * (high - low)
        table = benefit_curve(fit, np.linspace(low - room, high + room, len(table)))
    return table


def _draw(fit: Fit, table: pd.DataFrame, odds: pd.DataFrame, title: str, width: float) -> Sheet:
    better = fit.effects.better
    # under a common effect every study has the mean effect
    targets = _TARGETS if fit.model.tau is not None else _TARGETS[:1]
    head = [f"{size_line(fit.effects)}; {better} is better"]
    label = f"t: {axis_label(fit.effects)}; better to the right"
    entries = [
        Entry(
            {
                "color": color,
                "linestyle": style,
                "linewidth": 1.4,
                "marker": marker,
                "markersize": 3.6,
                "markerfacecolor": "white" if marker == "s" else color,
            },
            f"P({target} beyond t)",
        )
        for target, _, color, style, marker in targets
    ]
    if (odds["side"] == "benefit").any():
        entries.append(Entry(THRESHOLD[True], "Threshold of benefit"))
        entries.append(Entry(THRESHOLD[False], "Threshold of harm"))
    notes = [*new_study(fit), CAVEAT]
    top = head_height(title, head, width) + 3.0
    axis_words = wrap(label, width - 2 * MARGIN)
    legend_top = top + _HEIGHT + _AXIS + LINE * len(axis_words) + 2.0
    columns = _odds_columns(odds, width)
    odds_height = LINE * (1 + sum(len(words) for words, _ in columns)) + 3.0
    footer = footer_height(entries, [], width) - MARGIN
    sheet = Sheet(width, legend_top + footer + 1.5 + odds_height + footer_height([], notes, width))
    sheet.head(title, head)
    left = MARGIN + _SCALE
    length = width - MARGIN - left - 2.0
    axes = sheet.axes(left, top, length, _HEIGHT, "benefit")
    axes.set_xlim(float(table["x"].min()), float(table["x"].max()))
    axes.set_ylim(0, 100)
    for item in odds.to_dict("records"):
        if item["side"] == "averaged":
            continue
        look = _NULL if item["side"] == "null" else THRESHOLD[item["side"] == "benefit"]
        axes.axvline(item["x"], zorder=1, label=item["words"], **look)
    for target, column, color, style, marker in targets:
        draw_line(
            axes, table["x"], 100 * table[column], color=color, linestyle=style, linewidth=1.4, zorder=3, label=target
        )
        marked = odds[odds["side"].isin(["null", "benefit"])]
        values = 100 * marked["mean" if column == "p_mean" else "new"].to_numpy(float)
        face = "white" if marker == "s" else color
        draw_line(
            axes,
            marked["x"],
            values,
            linestyle="none",
            marker=marker,
            markersize=3.6,
            markerfacecolor=face,
            markeredgecolor=color,
            zorder=4,
            clip_on=False,
            label=f"{target} at thresholds",
        )
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    axes.yaxis.set_major_locator(FixedLocator([0, 20, 40, 60, 80, 100]))
    axes.tick_params(axis="y", labelsize=SIZE)
    sheet.text(MARGIN + 1.5, top + 0.5 * _HEIGHT, "Probability, percent", rotation=90, ha="center")
    sign = direction(fit)
    ends = np.sort(sign * np.array(axes.get_xlim()))
    ticks(axes.xaxis, measure(fit.effects.measure), float(ends[0]), float(ends[1]), length, sign=sign)
    for i, words in enumerate(axis_words):
        sheet.text(left + 0.5 * length, top + _HEIGHT + _AXIS + (i + 0.5) * LINE, words, ha="center")
    y = sheet.legend(legend_top, entries)
    y = _draw_odds(sheet, y + 1.5, columns, len(targets))
    sheet.notes(y + 1.0, notes)
    return sheet


def _odds_columns(odds: pd.DataFrame, width: float) -> list[tuple[list[str], tuple[str, str]]]:
    room = width - 2 * MARGIN - 2 * _NUMBER
    return [
        (wrap(signed(item["words"]), room), (percent(item["mean"]), percent(item["new"])))
        for item in odds.to_dict("records")
    ]


# room for a column headed "New study"
_NUMBER = 19.0


def _draw_odds(sheet: Sheet, y: float, columns: list[tuple[list[str], tuple[str, str]]], shown: int) -> float:
    words = max((text_width(line) for lines, _ in columns for line in lines), default=0.0)
    first = MARGIN + min(words, sheet.width - 2 * MARGIN - 2 * _NUMBER) + _NUMBER
    places = (first, first + _NUMBER)[:shown]
    headings = (("Mean effect", BAYES), ("New study", CLASSICAL))[:shown]
    sheet.text(MARGIN, y + 0.5 * LINE, "Probability of", weight="bold")
    for x, (text, color) in zip(places, headings, strict=True):
        sheet.text(x, y + 0.5 * LINE, text, ha="right", color=color)
    sheet.rule(y + LINE + 0.2, MARGIN, places[-1])
    y += LINE + 0.6
    for lines, values in columns:
        for i, line in enumerate(lines):
            sheet.text(MARGIN, y + (i + 0.5) * LINE, line)
        for x, value in zip(places, values[:shown], strict=True):
            sheet.text(x, y + 0.5 * LINE, value, ha="right")
        y += LINE * len(lines)
    return y


def _alt(fit: Fit, odds: pd.DataFrame, title: str, level: float) -> str:
    several = fit.model.tau is not None
    whose = "the mean effect, and the effect in a new study, is" if several else "the mean effect is"
    parts = [
        f"Benefit curve of {title.removesuffix(': probability of benefit')}: {size_line(fit.effects)}. "
        f"Probability that {whose} better than each value.",
        effect_sentence(fit, level),
    ]
    for item in odds.to_dict("records"):
        new = f", {percent(item['new'])} in a new study" if several else ""
        parts.append(f"{item['words']}: {percent(item['mean'])} for the mean effect{new}.")
    return " ".join([*parts, CAVEAT])
