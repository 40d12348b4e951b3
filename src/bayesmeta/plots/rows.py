"""Rows of words, a drawing and numbers, on one axis: the frame of pictures that list trials or combinations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bayesmeta.plots.sheet import INK, LINE, MARGIN, Sheet, signed, text_width, wrap

__all__ = ["PlotRows", "Row"]

# millimetres
_GAP, _AXIS, _NARROWEST_AXES = 3.0, 5.0, 34.0
_BESIDE, _CLOSE, _STACKED = 1.25 * LINE, 1.06 * LINE, 2.2 * LINE
# more rows than this stand closer
_MANY = 24
_HATCH = "#8A8A8A"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what it is of, its numbers, and whether it is hatched."""

    label: str
    cells: tuple[str, ...]
    hatched: bool = False


@dataclass(frozen=True, slots=True)
class PlotRows:
    """A list of rows with their headings and the words of the axis.

    On a narrow page the words of a row stand above its drawing.

    Attributes
    ----------
    name : str
        Of the axes.
    headings : tuple of str
        Of the words, then of every column of numbers.
    """

    name: str
    headings: tuple[str, ...]
    rows: Sequence[Row]
    axis: str
    width: float
    _widths: tuple[float, ...] = field(init=False)
    _label: float = field(init=False)

    def __post_init__(self) -> None:
        widths = tuple(
            max(text_width(signed(row.cells[i])) for row in self.rows) for i in range(len(self.headings) - 1)
        )
        # a heading may be as wide as its longest word
        words = [max(text_width(word) for word in heading.split()) for heading in self.headings[1:]]
        widths = tuple(max(a, b) for a, b in zip(widths, words, strict=True))
        object.__setattr__(self, "_widths", widths)
        object.__setattr__(self, "_label", max(text_width(row.label) for row in self.rows))

    @property
    def _numbers(self) -> float:
        return sum(self._widths) + _GAP * len(self._widths)

    @property
    def beside(self) -> bool:
        """Whether words, drawing and numbers stand on one line."""
        return self.width - 2 * MARGIN - self._label - _GAP - self._numbers >= _NARROWEST_AXES

    @property
    def pitch(self) -> float:
        """Millimetres from row to row."""
        if not self.beside:
            return _STACKED
        return _BESIDE if len(self.rows) <= _MANY else _CLOSE

    @property
    def length(self) -> float:
        """Length of the axis in millimetres."""
        left = self._label + _GAP if self.beside else 1.0
        return self.width - 2 * MARGIN - left - self._numbers

    def _heads(self) -> list[list[str]]:
        first = wrap(self.headings[0], max(self._label, 12.0)) if self.headings[0] else [""]
        return [first, *(wrap(text, w + 0.1) for text, w in zip(self.headings[1:], self._widths, strict=True))]

    @property
    def height(self) -> float:
        """Millimetres from the headings to the words of the axis."""
        head = LINE * max(len(lines) for lines in self._heads()) + 1.5
        return head + self.pitch * len(self.rows) + _AXIS + LINE * len(wrap(self.axis, self.length)) + 1.0

    def draw(self, sheet: Sheet, y: float) -> Axes:
        """Write the words and numbers from ``y`` down; give axes in which row i stands at height i."""
        heads = self._heads()
        deepest = max(len(lines) for lines in heads)
        places = np.cumsum([self.width - MARGIN, *(-w - _GAP for w in self._widths[::-1])])[:-1][::-1]
        for column, lines in enumerate(heads):
            for i, line in enumerate(lines):
                at = y + (deepest - len(lines) + i + 0.5) * LINE
                where = MARGIN if column == 0 else float(places[column - 1])
                sheet.text(
                    where, at, line, weight="bold" if column == 0 else "normal", ha="left" if column == 0 else "right"
                )
        y += deepest * LINE + 0.8
        sheet.rule(y, MARGIN, self.width - MARGIN)
        y += 0.7
        left = MARGIN + (self._label + _GAP if self.beside else 1.0)
        count = len(self.rows)
        axes = sheet.axes(left, y, self.length, self.pitch * count, self.name)
        # in stacked rows the drawing stands in the lower half, below its words
        offset = 0.0 if self.beside else 0.25
        axes.set_ylim(count - 0.5 - offset, -0.5 - offset)
        axes.yaxis.set_visible(False)
        for i, row in enumerate(self.rows):
            middle = y + (i + 0.5) * self.pitch
            word, drawing = (middle, middle) if self.beside else (middle - 0.5 * LINE, middle + offset * self.pitch)
            # lines of the drawing pass behind words that stand above it
            behind = {} if self.beside else {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.3}}
            sheet.text(MARGIN, word, signed(row.label), **behind)
            for place, cell in zip(places, row.cells, strict=True):
                sheet.text(float(place), drawing, signed(cell), ha="right")
            if row.hatched:
                half = 0.42 if self.beside else 0.22
                axes.add_patch(
                    Rectangle(
                        (0.0, i - half),
                        1.0,
                        2 * half,
                        transform=axes.get_yaxis_transform(),
                        facecolor="none",
                        edgecolor=_HATCH,
                        hatch="////",
                        linewidth=0,
                        alpha=0.55,
                        zorder=0,
                        label=f"hatched: {row.label}",
                    )
                )
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(INK)
        for i, line in enumerate(wrap(self.axis, self.length)):
            at = y + self.pitch * count + _AXIS + (i + 0.5) * LINE
            sheet.text(left + 0.5 * self.length, at, line, ha="center")
        return axes
