"""One drawing with words on both axes and a legend below; labels of points; bars that end in an arrow at the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.measures import measure
from bayesmeta.plots.sheet import (
    GREY,
    LINE,
    MARGIN,
    SIZE,
    Entry,
    Sheet,
    footer_height,
    head_height,
    signed,
    text_width,
    wrap,
)

__all__ = ["WIDE", "Box", "Panel", "bar", "framed", "name_points", "pooled_only", "shorten", "stretched_limits"]

FloatArray = NDArray[np.float64]
Box = tuple[float, float, float, float]

# millimetres
_HEIGHT, _NARROW_HEIGHT, _AXIS, _SCALE = 90.0, 65.0, 5.0, 10.5
WIDE = 140.0


def pooled_only(fit: Fit, what: str) -> None:
    """Refuse a fit with moderators, whose mean effect is not that of the classical analysis drawn beside it."""
    if fit.model.beta:
        raise ModelError(f"{what} is of the pooled analysis; this fit has moderators ({', '.join(fit.model.beta)}).")


def shorten(text: str, width: float) -> str:
    """Cut a text to a width in millimetres, with an ellipsis where something is missing; an arm in brackets stays.

    Examples
    --------
    >>> shorten("a trial", 30.0), shorten("a trial with a very long name", 15.0)
    ('a trial', 'a trial wit\u2026')
    >>> shorten("a trial with a very long name [yoga]", 25.0)
    'a trial wit\u2026 [yoga]'
    """
    if text_width(text) <= width:
        return text
    text, bracket, arm = text.rpartition(" [") if text.endswith("]") else (text, "", "")
    end = f"\u2026{bracket}{arm}"
    if text_width(end) > 0.7 * width:
        text, end = f"{text}{bracket}{arm}", "\u2026"
    while text and text_width(f"{text}{end}") > width:
        text = text[:-1].rstrip(" ,;")
    return f"{text}{end}"


@dataclass(frozen=True, slots=True)
class Panel:
    """Axes on a sheet, with where they are in millimetres from its top left corner."""

    sheet: Sheet
    axes: Axes
    left: float
    top: float
    length: float
    height: float

    def place(self, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Millimetres of points given in the units of the axes."""
        (x0, x1), (y0, y1) = self.axes.get_xlim(), self.axes.get_ylim()
        across = self.left + (np.asarray(x, float) - x0) / (x1 - x0) * self.length
        down = self.top + (y1 - np.asarray(y, float)) / (y1 - y0) * self.height
        return across, down


def framed(
    name: str,
    title: str,
    head: Sequence[str],
    entries: Sequence[Entry],
    notes: Sequence[str],
    words: tuple[str, str],
    width: float,
    *,
    right: float = 2.0,
    above: float = 0.0,
    height: float | None = None,
) -> Panel:
    """Lay out a page with one drawing: title, axes with words along both, legend and notes.

    Parameters
    ----------
    name : str
        Of the axes.
    words : (str, str)
        Along the x and the y axis.
    right, above : float
        Millimetres kept free beside and above the axes.
    height : float, optional
        Of the axes in millimetres.

    Returns
    -------
    Panel
        Its axes are empty and have no ticks.
    """
    height = height or (_HEIGHT if width >= WIDE else _NARROW_HEIGHT)
    across = wrap(words[1], height)
    left = MARGIN + LINE * len(across) + _SCALE
    length = width - MARGIN - left - right
    below = wrap(words[0], length)
    top = head_height(title, head, width) + 2.0 + above
    footer = top + height + _AXIS + LINE * len(below) + 1.5
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    axes = sheet.axes(left, top, length, height, name)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=SIZE)
    for i, line in enumerate(below):
        sheet.text(left + 0.5 * length, top + height + _AXIS + (i + 0.5) * LINE, line, ha="center")
    for i, line in enumerate(across):
        sheet.text(MARGIN + (i + 0.5) * LINE, top + 0.5 * height, line, rotation=90, ha="center")
    sheet.notes(sheet.legend(footer, entries), notes)
    return Panel(sheet, axes, left, top, length, height)


def name_points(
    panel: Panel,
    x: ArrayLike,
    y: ArrayLike,
    names: Sequence[str],
    *,
    others: tuple[ArrayLike, ArrayLike] | None = None,
    other_radius: ArrayLike = 0.5,
    radius: ArrayLike = 1.0,
    avoid: Sequence[Box] = (),
) -> list[str]:
    """Write names beside points so that none touches another; far ones get a line to their point.

    Parameters
    ----------
    x, y : arrays of shape (m,)
        In the units of the axes, the most important first.
    names : sequence of str, length m
    others : pair of arrays, optional
        Every point drawn, which names avoid where they can.
    other_radius : float or array
        Of those, in millimetres.
    radius : float or array of shape (m,)
        Of the points in millimetres.
    avoid : sequence of (left, top, right, bottom)
        Where other texts stand, in millimetres.

    Returns
    -------
    list of str
        Names for which no place was found.
    """
    across, down = panel.place(x, y)
    radius = np.broadcast_to(np.asarray(radius, float), across.shape)
    dots = np.column_stack(panel.place(*(others or (x, y))))
    sizes = np.broadcast_to(np.asarray(other_radius, float), dots.shape[:1])
    taken = list(avoid)
    missing: list[str] = []
    for i, name in enumerate(names):
        text = signed(shorten(name, 0.55 * panel.length))
        wide, high = text_width(text), 0.85 * LINE
        best: tuple[float, Box, float] | None = None
        for distance in (0.9, 2.0, 4.0, 7.0, 11.0, 16.0, 24.0):
            for turn in range(16):
                angle = math.pi * turn / 8
                reach = float(radius[i]) + distance
                middle = (
                    float(across[i]) + reach * math.cos(angle) + 0.5 * wide * math.cos(angle),
                    float(down[i]) + reach * math.sin(angle) + 0.5 * high * math.sin(angle),
                )
                box = (middle[0] - wide / 2, middle[1] - high / 2, middle[0] + wide / 2, middle[1] + high / 2)
                centre = (float(across[i]), float(down[i]))
                if not _fits(panel, box, taken) or _distance(centre, box) < float(radius[i]) + 0.4:
                    continue
                covered = _near(dots, box, sizes)
                # a name over a point is worse than one far away, and one beside another point could be that one's
                cost = (
                    12.0 * covered + 3.0 * max(_near(dots, box, sizes + 1.3) - 1, 0) + distance + 0.3 * (turn % 8 != 0)
                )
                if best is None or cost < best[0]:
                    best = (cost, box, distance)
        if best is None:
            missing.append(name)
            continue
        _, box, distance = best
        taken.append(box)
        if distance >= 2.0:
            end = (min(max(float(across[i]), box[0]), box[2]), min(max(float(down[i]), box[1]), box[3]))
            panel.sheet.overlay.add_line(
                Line2D([float(across[i]), end[0]], [float(down[i]), end[1]], color=GREY, linewidth=0.4)
            )
        panel.sheet.text(0.5 * (box[0] + box[2]), 0.5 * (box[1] + box[3]), text, ha="center")
    return missing


def _near(dots: FloatArray, box: Box, room: FloatArray) -> int:
    inside = (dots > np.array(box[:2]) - room[:, None]) & (dots < np.array(box[2:]) + room[:, None])
    return int(inside.all(axis=1).sum())


def _distance(point: tuple[float, float], box: Box) -> float:
    """From a point to a box, zero inside."""
    return math.hypot(*(max(box[i] - point[i], 0.0, point[i] - box[i + 2]) for i in (0, 1)))


def _fits(panel: Panel, box: Box, taken: list[Box]) -> bool:
    inside = (
        box[0] >= panel.left + 0.5
        and box[2] <= panel.left + panel.length
        and box[1] >= panel.top
        and box[3] <= panel.top + panel.height - 0.5
    )
    return inside and all(
        box[2] + 0.8 < other[0] or other[2] + 0.8 < box[0] or box[3] + 0.2 < other[1] or other[3] + 0.2 < box[1]
        for other in taken
    )


def stretched_limits(kind_name: str, core: ArrayLike, every: ArrayLike, *, stretch: float = 0.6) -> tuple[float, float]:
    """Ends that hold what must be seen, and everything else unless it would squeeze that.

    Parameters
    ----------
    kind_name : str
        Of the measure, whose null effect, where it has one, is always inside.
    core, every : arrays
        What must be seen; everything that is drawn.
    stretch : float
        How far, in lengths of the core, the axis is stretched on each side for the rest.

    Examples
    --------
    >>> stretched_limits("SMD", [-1.0, 0.5], [-1.5, 40.0])
    (-1.56, 0.56)
    """
    inner = _finite(core, measure(kind_name).null)
    outer = _finite(every, measure(kind_name).null)
    low, high = float(inner.min()), float(inner.max())
    span = high - low if high > low else 1.0
    widest = (min(float(outer.min()), low), max(float(outer.max()), high))
    low = widest[0] if low - widest[0] <= stretch * span else low
    high = widest[1] if widest[1] - high <= stretch * span else high
    room = 0.03 * max(high - low, span)
    return low - room, high + room


def _finite(values: ArrayLike, null: float | None) -> FloatArray:
    flat = np.append(np.asarray(values, float).ravel(), np.nan if null is None else null)
    return flat[np.isfinite(flat)]


def bar(axes: Axes, ends: tuple[float, float], y: float, limits: tuple[float, float], name: str, **look: Any) -> None:
    """Draw a horizontal interval, with an arrowhead where it goes on beyond the axis; nothing where it is undefined."""
    if math.isnan(ends[0]) or math.isnan(ends[1]):
        return
    # an end that is infinite, or very far, cannot be drawn; anything beyond the axis looks the same
    span = 4 * (limits[1] - limits[0])
    shown = [max(ends[0], limits[0] - span), min(ends[1], limits[1] + span)]
    axes.plot(shown, [y, y], **{"solid_capstyle": "butt", "dash_capstyle": "butt", "zorder": 3, "label": name, **look})
    for beyond, x, marker in ((ends[0] < limits[0], limits[0], "<"), (ends[1] > limits[1], limits[1], ">")):
        if beyond:
            axes.plot(
                [x], [y], marker=marker, markersize=3.0, color=look["color"], markeredgewidth=0, clip_on=False, zorder=6
            )
