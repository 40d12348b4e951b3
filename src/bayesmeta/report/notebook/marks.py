"""Marks of intervals as small inline SVG pictures, one per row of a table, on one common axis."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bayesmeta.columns import number, with_minus
from bayesmeta.measures import Measure

__all__ = ["Axis", "Mark", "Shape", "axis_of", "axis_svg", "mark_svg"]

#: Pixels of one row's picture, and of the axis below the rows.
WIDTH, HEIGHT, AXIS_HEIGHT = 260, 22, 24
_PAD = 10
#: At least 3 to 1 against white and against the usual dark pages, as WCAG asks of graphics.
POSTERIOR = "#2f7fdb"
_RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
Shape = Literal["square", "diamond", "bar"]


@dataclass(frozen=True, slots=True)
class Mark:
    """An estimate with its interval on the scale of the analysis, and how it is drawn.

    Attributes
    ----------
    size : float
        Side of a square in pixels.
    posterior : bool
        Whether it is a posterior, which has a colour.
    """

    estimate: float
    lower: float
    upper: float
    shape: Shape = "square"
    size: float = 6.0
    posterior: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """Where values lie: limits on the scale of the analysis, and lines through all rows.

    Attributes
    ----------
    lines : tuple of (float, bool)
        Places, and whether the line is of a threshold, which is dashed.
    """

    low: float
    high: float
    lines: tuple[tuple[float, bool], ...] = ()

    def x(self, value: float) -> float:
        """Pixels from the left edge; beyond the limits at the edge.

        Examples
        --------
        >>> [Axis(-1.0, 1.0).x(value) for value in (-1.0, 0.0, 7.0)]
        [10.0, 130.0, 250.0]
        """
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return _PAD + share * (WIDTH - 2 * _PAD)


def axis_of(marks: Sequence[Mark], lines: Sequence[tuple[float, bool]] = ()) -> Axis:
    """Limits that hold every estimate and line, and intervals unless they are very wide.

    Examples
    --------
    >>> usual = [Mark(0.0, -1.0, 1.0), Mark(1.0, 0.0, 2.0)]
    >>> axis_of([*usual, Mark(1.0, -50.0, 52.0)], [(0.0, False)])
    Axis(low=-3.0, high=4.0, lines=((0.0, False),))
    """
    kept = [place for place in lines if math.isfinite(place[0])]
    places = [place for place, _ in kept]
    inner = np.array([*places, *(item.estimate for item in marks)], float)
    inner = inner[np.isfinite(inner)]
    if not inner.size:
        return Axis(-1.0, 1.0, tuple(kept))
    low, high = float(inner.min()), float(inner.max())
    ends = np.array([[item.lower, item.upper] for item in marks], float)
    finite = ends[np.isfinite(ends).all(axis=1)] if len(marks) else ends
    if finite.size:
        # of many intervals the usual one fits in; one that is far wider ends in an arrow
        room = high - low + float(np.median(finite[:, 1] - finite[:, 0]))
        low, high = max(low - room, min(low, float(finite.min()))), min(high + room, max(high, float(finite.max())))
    if not high > low:
        low, high = low - 1.0, high + 1.0
    return Axis(low, high, tuple(kept))


def mark_svg(mark: Mark | None, axis: Axis) -> str:
    """One row's picture; it has no text, which stands in the cell beside it. Without a mark the lines alone.

    Examples
    --------
    >>> picture = mark_svg(Mark(0.0, -0.5, 9.0), Axis(-1.0, 1.0))
    >>> picture.startswith("<svg"), picture.count("<path")
    (True, 1)
    """
    return _svg(HEIGHT, [*_lines(axis, HEIGHT), *([] if mark is None else _drawn(mark, axis))])


def axis_svg(axis: Axis, kind: Measure) -> str:
    """The axis with its numbers, on the natural scale of a measure.

    Examples
    --------
    >>> import re
    >>> from bayesmeta.measures import measure
    >>> re.findall(">([0-9.\u2212]+)<", axis_svg(Axis(-1.0, 1.0), measure("SMD")))
    ['−1.0', '−0.5', '0.0', '0.5', '1.0']
    >>> re.findall(">([0-9.-]+)<", axis_svg(Axis(-1.0, 1.0), measure("RR")))
    ['0.5', '1', '2']
    """
    edge = f'<path d="M{_PAD} 4H{WIDTH - _PAD}" stroke="currentColor"/>'
    ticks = []
    for place, text in _ticks(axis, kind):
        x = axis.x(place)
        ticks.append(
            f'<path d="M{x:.1f} 4v4" stroke="currentColor"/><text x="{x:.1f}" y="19" font-size="10" '
            f'text-anchor="middle" fill="currentColor">{text}</text>'
        )
    return _svg(AXIS_HEIGHT, [edge, *ticks])


def _svg(height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'fill="none" aria-hidden="true" style="display:block">{"".join(parts)}</svg>'
    )


def _lines(axis: Axis, height: int) -> Iterator[str]:
    for place, dashed in axis.lines:
        dash = ' stroke-dasharray="3 3"' if dashed else ""
        yield f'<path d="M{axis.x(place):.1f} 0V{height}" stroke="currentColor" stroke-opacity="0.5"{dash}/>'


def _drawn(mark: Mark, axis: Axis) -> Iterator[str]:
    if not all(map(math.isfinite, (mark.estimate, mark.lower, mark.upper))):
        return
    colour = POSTERIOR if mark.posterior else "currentColor"
    middle = HEIGHT / 2
    left, x, right = (axis.x(value) for value in (mark.lower, mark.estimate, mark.upper))
    if mark.shape == "diamond":
        corners = f"M{left:.1f} {middle}L{x:.1f} {middle - 6}L{right:.1f} {middle}L{x:.1f} {middle + 6}z"
        yield f'<path d="{corners}" fill="{colour}"/>'
        return
    width = 4 if mark.shape == "bar" else 1.4
    arrows = (f"M{left + 5:.1f} {middle - 4}L{left:.1f} {middle}l5 4" if mark.lower < axis.low else "") + (
        f"M{right - 5:.1f} {middle - 4}L{right:.1f} {middle}l-5 4" if mark.upper > axis.high else ""
    )
    yield f'<path d="M{left:.1f} {middle}H{right:.1f}{arrows}" stroke="{colour}" stroke-width="{width}"/>'
    if mark.shape == "square":
        side = f"{mark.size:.1f}"
        corner = f'x="{x - mark.size / 2:.1f}" y="{middle - mark.size / 2:.1f}"'
        yield f'<rect {corner} width="{side}" height="{side}" fill="{colour}"/>'


def _ticks(axis: Axis, kind: Measure) -> list[tuple[float, str]]:
    """Places with their texts: round ratios where the scale is logarithmic, else round steps."""
    if kind.log:
        found = [(math.log(value), f"{value:g}") for value in _RATIOS if axis.low <= math.log(value) <= axis.high]
        if len(found) >= 2:
            return found[:: -(-len(found) // 5)]
    # one of 1, 2 and 5 times a power of ten that divides the axis in three or more
    raw = (axis.high - axis.low) / 3
    power = 10.0 ** math.floor(math.log10(raw))
    step = max(size * power for size in (1, 2, 5) if size * power <= raw)
    places = step * np.arange(math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9) + 1)
    if kind.transformed:
        return [(float(place), number(float(kind.back(place)))) for place in places]
    decimals = max(0, -math.floor(math.log10(step)))
    return [(float(place), with_minus(f"{place:.{decimals}f}")) for place in places]
