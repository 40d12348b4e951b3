"""Axes that rows of the panel's view share, and the small picture of each row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.fits import distribution
from bayesmeta.measures import Measure, measure
from bayesmeta.questions import direction
from bayesmeta.report.summary import SummaryRow

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis

__all__ = ["WIDTH", "Axis", "axes_of", "row_picture"]

#: Points of a density in a picture of a row.
POINTS = 64
WIDTH, HEIGHT = 320.0, 56.0


@dataclass(frozen=True, slots=True)
class Axis:
    """The axis that the pictures of some rows share, in the direction of benefit.

    Parameters
    ----------
    low, high : float
        Its ends on the scale of the analysis; benefit is to the right.
    ticks : tuple of (float, str)
        Place between 0 and 1, and the number there on the natural scale.
    words : str
        What is measured.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    words: str

    def place(self, x: float, width: float = WIDTH) -> float:
        """Where a number in the direction of benefit lies; ends beyond the axis lie at its ends."""
        share = (x - self.low) / (self.high - self.low)
        return round(width * min(max(share, 0.0), 1.0), 1)


def axes_of(parts: Sequence[Analysis], rows: Sequence[SummaryRow]) -> dict[str, Axis]:
    """One axis for all outcomes that are measured alike, wide enough for new studies and thresholds; by outcome."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(rows):
        if not row.reasons and row.better:
            groups.setdefault((row.measure, row.unit), []).append(i)
    found = {}
    for members in groups.values():
        ends = []
        for i in members:
            sign = direction(parts[i].pooled)
            table: Any = parts[i].summary_table
            ends += [sign * float(table.loc["theta_new", end]) for end in ("lower", "upper")]
            ends += [item.distance for item in rows[i].yardsticks]
        if not measure(rows[members[0]].measure).single_arm:
            ends.append(0.0)
        low, high = min(ends), max(ends)
        pad = 0.04 * (high - low)
        for i in members:
            found[rows[i].key] = _axis(parts[i], low - pad, high + pad)
    return found


def _axis(part: Analysis, low: float, high: float) -> Axis:
    """Round numbers of the natural scale inside the ends."""
    kind, sign = measure(part.effects.measure), direction(part.pooled)
    if kind.single_arm and kind.transformed:
        shown = _values_between(kind, *sorted((sign * low, sign * high)))
        places = sorted((sign * float(kind.transform(x)), f"{x:g}") for x in shown)
    elif kind.log:
        candidates = np.array([0.05, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0])
        inside = [x for x in candidates if low < sign * math.log(x) < high]
        shown = inside if len(inside) <= 7 else [x for x in inside if x in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
        places = [(sign * math.log(x), f"{x:g}") for x in shown]
    else:
        step = 10.0 ** math.floor(math.log10((high - low) / 4))
        step *= next(m for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * step) <= 6)
        marks = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
        places = [(float(x), f"{sign * x + 0.0:.10g}") for x in marks]
    ticks = tuple((round((x - low) / (high - low), 4), "0" if text == "-0" else text) for x, text in places)
    return Axis(low, high, ticks, kind.axis)


def _values_between(kind: Measure, low: float, high: float) -> list[float]:
    """Round values of a proportion or a rate between two ends on the scale of the analysis, at most seven."""
    small = [m * 10.0**e for e in range(-6, 0 if kind.name == "PLO" else 6) for m in (1, 2, 5)]
    candidates = [*small, *(1 - x for x in reversed(small) if x < 0.5)] if kind.name == "PLO" else small
    inside = [round(x, 9) for x in candidates if low < float(kind.transform(x)) < high]
    return inside[:: math.ceil(len(inside) / 7) or 1]


def row_picture(part: Analysis, row: SummaryRow, axis: Axis) -> dict[str, Any]:
    """Both posteriors of a row against its thresholds, as paths of a small drawing.

    Returns
    -------
    dict
        ``mean`` and ``new``: paths of the densities, each as high as its own place allows; ``dot ends new_ends`` of the
        medians and intervals; ``zero``, None for one arm; ``marks`` of the yardsticks on both sides; ``tick``: the
        classical mean.
    """
    sign, fit = direction(part.pooled), part.pooled
    table: Any = part.summary_table
    picture: dict[str, Any] = {"zero": None if row.single_arm else axis.place(0.0)}
    x = np.linspace(axis.low, axis.high, 4 * POINTS + 1)
    for name, half in (("mu", HEIGHT - 16), ("theta_new", HEIGHT - 26)):
        # slopes of the distribution function: the same for every form of posterior
        below = distribution(fit, name, np.sort(sign * x))
        density = np.diff(below)[::sign]
        middle = 0.5 * (x[1:] + x[:-1])
        kept = density > 1e-4 * density.max()
        first, last = int(np.argmax(kept)), len(kept) - int(np.argmax(kept[::-1]))
        steps = np.unique(np.linspace(first, last - 1, min(POINTS, last - first)).astype(int))
        tops = HEIGHT - 14 - (half - 4) * density / density.max()
        points = " ".join(f"{axis.place(float(middle[i]))},{tops[i]:.1f}" for i in steps)
        base = HEIGHT - 14
        picture[name] = (
            f"M{axis.place(float(middle[steps[0]]))},{base} L{points} L{axis.place(float(middle[steps[-1]]))},{base}"
        )
        ends = sorted(sign * float(table.loc[name, end]) for end in ("lower", "upper"))
        picture[f"{name}_ends"] = [axis.place(end) for end in ends]
        picture[f"{name}_dot"] = axis.place(sign * float(table.loc[name, "median"]))
    picture["marks"] = [
        (axis.place(item.distance), axis.place(-item.worse_distance), item.words) for item in row.yardsticks
    ]
    picture["tick"] = None
    if row.classical:
        picture["tick"] = axis.place(sign * float(part.classical.estimate))
    return picture
