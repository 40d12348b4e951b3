"""Several outcomes together: how their true effects go along, and how many of them benefit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bayesmeta.columns import percent
from bayesmeta.fits import LEVEL
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    GREY,
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
    ticks,
    wrap,
)
from bayesmeta.plots.wording import NEW_STUDY, level_text, name_of

if TYPE_CHECKING:
    from bayesmeta.joint import JointFit

__all__ = ["joint_plot"]

# millimetres
_CELL, _NUMBER, _BAR, _AXIS = 18.0, 5.0, 12.0, 5.0
_SIDE_BY_SIDE = 140.0


def joint_plot(
    joint: JointFit,
    thresholds: Mapping[str, Threshold],
    *,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the correlations of true effects between trials, and the probability that at least m outcomes benefit.

    Parameters
    ----------
    joint : JointFit
    thresholds : mapping of str to Threshold
        Smallest important benefit of every outcome.
    level, title, width_mm
        As in `forest_plot`; below 140 mm the two panels stand above each other.

    Returns
    -------
    Plot
        ``table`` stacks `bayesmeta.joint.correlation_table` (``part`` is ``correlation``) and
        `bayesmeta.joint.at_least_table` (``part`` is ``at least``).
    """
    width = check_width(width_mm)
    # only sampled fits are joint, and their engine is heavy
    from bayesmeta.joint import at_least_table, correlation_table

    pairs, counts = correlation_table(joint, level=level), at_least_table(joint, thresholds)
    title = title or "Several outcomes together"
    with drawing():
        sheet = _draw(joint, pairs, counts, title, level, width)
    table = pd.concat([pairs.assign(part="correlation"), counts.assign(part="at least")], ignore_index=True)
    table.insert(0, "part", table.pop("part"))
    return Plot(sheet.figure, table, _alt(joint, pairs, counts, title, level), title)


def _labels(joint: JointFit) -> list[str]:
    return [name_of(part) if part.outcome is not None else name for name, part in joint.fits.items()]


def _size(joint: JointFit) -> str:
    return f"{len(joint.names)} outcomes, {joint.effects.y.size} estimates from {len(joint.effects.trials)} trials"


def _draw(joint: JointFit, pairs: pd.DataFrame, counts: pd.DataFrame, title: str, level: float, width: float) -> Sheet:
    n = len(joint.names)
    beside = width >= _SIDE_BY_SIDE
    room = width - 2 * MARGIN
    half = 0.5 * (room - 8.0) if beside else room
    cell = min(_CELL, (half - _NUMBER - 2.0) / n)
    named = [wrap(f"{i + 1}  {label}", half) for i, label in enumerate(_labels(joint))]
    words = [
        wrap(
            f"Correlation of true effects between trials, towards benefit: median, {level_text(level)} interval", half
        ),
        wrap("Important benefit in at least m outcomes", half),
    ]
    matrix = LINE * len(words[0]) + 1.0 + LINE + n * cell + 2.0 + LINE * sum(len(lines) for lines in named)
    bars = LINE * len(words[1]) + 1.0 + n * _BAR + _AXIS + LINE
    entries = [
        Entry({"facecolor": BAYES, "edgecolor": "none"}, "Mean effects"),
        Entry({"facecolor": "white", "edgecolor": BAYES, "linewidth": 1.0}, "A new study"),
        Entry(
            {"color": CLASSICAL, "marker": "|", "markersize": 7, "markeredgewidth": 1.2, "linestyle": "none"},
            "If outcomes were independent",
        ),
    ]
    notes = [
        f"Working correlation of sampling errors within trials, an assumption: {joint.model.correlation:g}.",
        NEW_STUDY,
    ]
    head = [_size(joint)]
    top = head_height(title, head, width) + 2.0
    footer = top + (max(matrix, bars) if beside else matrix + 4.0 + bars) + 2.0
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    _draw_matrix(sheet, joint, pairs, top, cell, words[0], named)
    left = MARGIN + half + 8.0 if beside else MARGIN
    _draw_bars(sheet, counts, left, top if beside else top + matrix + 4.0, half, words[1], n)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _draw_matrix(
    sheet: Sheet, joint: JointFit, pairs: pd.DataFrame, y: float, cell: float, words: list[str], named: list[list[str]]
) -> None:
    n = len(joint.names)
    for i, line in enumerate(words):
        sheet.text(MARGIN, y + (i + 0.5) * LINE, line, weight="bold")
    y += LINE * len(words) + 1.0
    left = MARGIN + _NUMBER
    for i in range(n):
        sheet.text(left + (i + 0.5) * cell, y + 0.5 * LINE, str(i + 1), ha="center")
        sheet.text(MARGIN + 1.0, y + LINE + (i + 0.5) * cell, str(i + 1))
    axes = sheet.axes(left, y + LINE, n * cell, n * cell, "correlations")
    axes.set_xlim(0, n)
    axes.set_ylim(n, 0)
    axes.set_axis_off()
    places = {name: i for i, name in enumerate(joint.names)}
    for item in pairs.to_dict("records"):
        i, j = places[item["first"]], places[item["second"]]
        # above the diagonal the correlation, below it how many trials tell it
        axes.add_patch(
            Rectangle(
                (j, i),
                1,
                1,
                facecolor=_colour(item["median"]),
                edgecolor="white",
                linewidth=1.0,
                label=f"{item['first']}, {item['second']}",
            )
        )
        ink = "white" if abs(item["median"]) > 0.6 else INK
        x, middle = left + (j + 0.5) * cell, y + LINE + (i + 0.5) * cell
        middle_value = signed(f"{item['median']:z.2f}")
        sheet.text(x, middle - 0.9, middle_value, ha="center", va="bottom", color=ink, weight="bold")
        interval = signed(f"{item['lower']:.1f} to {item['upper']:.1f}")
        if text_width(interval) < cell - 1.0:
            sheet.text(x, middle + 0.4, interval, ha="center", va="top", color=ink)
        sheet.text(
            left + (i + 0.5) * cell, y + LINE + (j + 0.5) * cell, f"{item['trials']} trials", ha="center", color=GREY
        )
    for i in range(n):
        axes.add_patch(Rectangle((i, i), 1, 1, facecolor="#EDEDED", edgecolor="white", linewidth=1.0))
    y += LINE + n * cell + 2.0
    row = 0
    for lines in named:
        for line in lines:
            sheet.text(MARGIN, y + (row + 0.5) * LINE, line)
            row += 1


def _colour(value: float) -> tuple[float, float, float]:
    """White at zero, blue towards 1, vermilion towards -1."""
    end = np.array([0, 114, 178] if value > 0 else [213, 94, 0]) / 255
    mixed = 1 - abs(value) * (1 - end)
    return (float(mixed[0]), float(mixed[1]), float(mixed[2]))


def _draw_bars(
    sheet: Sheet, counts: pd.DataFrame, left: float, y: float, room: float, words: list[str], n: int
) -> None:
    for i, line in enumerate(words):
        sheet.text(left, y + (i + 0.5) * LINE, line, weight="bold")
    y += LINE * len(words) + 1.0
    start, number = 18.0, 14.0
    length = room - start - number
    axes = sheet.axes(left + start, y, length, n * _BAR, "at least")
    axes.set_xlim(0, 100)
    axes.set_ylim(n + 0.5, 0.5)
    axes.yaxis.set_visible(False)
    for target, shift, face in (("mean effect", -0.2, BAYES), ("new study", 0.2, "white")):
        part = counts[counts["target"] == target]
        m = part["at_least"].to_numpy(float)
        p = 100 * part["p_important_benefit"].to_numpy(float)
        axes.barh(m + shift, p, height=0.34, facecolor=face, edgecolor=BAYES, linewidth=1.0, zorder=2, label=target)
        axes.plot(
            100 * part["if_independent"].to_numpy(float),
            m + shift,
            linestyle="none",
            marker="|",
            markersize=7,
            markeredgewidth=1.2,
            color=CLASSICAL,
            zorder=3,
            label=f"{target}, independent",
        )
        for item in part.to_dict("records"):
            at = y + (item["at_least"] - 0.5 + shift) * _BAR
            sheet.text(left + room, at, percent(item["p_important_benefit"]), ha="right")
    for row in range(1, n + 1):
        sheet.text(left, y + (row - 0.5) * _BAR, f"{row} of {n}" if row == n else f"{row} or more")
    _trim(axes)
    ticks(axes.xaxis, measure("generic"), 0.0, 100.0, length)
    sheet.text(left + start + 0.5 * length, y + n * _BAR + _AXIS + 0.5 * LINE, "Probability, percent", ha="center")


def _trim(axes: Axes) -> None:
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)


def _alt(joint: JointFit, pairs: pd.DataFrame, counts: pd.DataFrame, title: str, level: float) -> str:
    label = dict(zip(joint.names, _labels(joint), strict=True))
    medians = "; ".join(
        f"{label[item['first']]} with {label[item['second']]} {item['median']:.2f} ({item['lower']:.2f} to "
        f"{item['upper']:.2f}, {item['trials']} trials)"
        for item in pairs.to_dict("records")
    )
    chances = []
    for target, part in counts.groupby("target", sort=False):
        each = ", ".join(
            f"{item['at_least']}: {percent(item['p_important_benefit'])}" for item in part.to_dict("records")
        )
        chances.append(f"{'mean effects' if target == 'mean effect' else 'a new study'}: {each}")
    return (
        f"{title}: {_size(joint)}. Correlations of true effects between trials, posterior median with "
        f"{level_text(level)} central credible interval: {medians}. Probability of an important benefit in at least m "
        f"of {len(joint.names)} outcomes, {'; '.join(chances)}."
    )
