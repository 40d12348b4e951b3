"""Paper: sizes in millimetres, colours, measured text, legends and axes that people can read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Affine2D
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError
from bayesmeta.measures import Measure
from bayesmeta.plots.fonts import drawable, families, width_per_size

__all__ = [
    "BAYES",
    "BENEFIT",
    "CLASSICAL",
    "DENSITY",
    "GREY",
    "INK",
    "LINE",
    "MARGIN",
    "MM",
    "SIZE",
    "THRESHOLD",
    "WORSE",
    "Entry",
    "Sheet",
    "check_width",
    "draw_area",
    "draw_line",
    "footer_height",
    "head_height",
    "notes_height",
    "signed",
    "text_width",
    "tick_positions",
    "ticks",
    "wrap",
]

FloatArray = NDArray[np.float64]

# Okabe & Ito's palette, told apart under every common form of colour blindness; every colour also has a shape, a
# filling or a line style of its own, so that a grey copy says the same
INK = "#1a1a1a"
GREY = "#767676"
BAYES = "#0072B2"
DENSITY = "#B3D9F0"
CLASSICAL = "#D55E00"
BENEFIT = "#009E73"
WORSE = "#AA4499"

#: How thresholds of benefit (True) and of harm (False) are drawn.
THRESHOLD: dict[bool, dict[str, Any]] = {
    True: {"color": BENEFIT, "linestyle": (0, (4, 2)), "linewidth": 0.8},
    False: {"color": WORSE, "linestyle": (0, (1, 1.5)), "linewidth": 0.8},
}

MM = 25.4
SIZE = 7.0
TITLE_SIZE = 9.0
MARGIN = 3.0
LINE = 3.6
# on a coarse screen the renderer moves letters to whole dots, which makes lines up to this much longer than outlines
_HINTING = 1.06
NARROWEST, WIDEST = 80.0, 420.0


def signed(text: str) -> str:
    """Typographic minus signs.

    Examples
    --------
    >>> signed("-0.28 [-0.40, -0.15]") == "\u22120.28 [\u22120.40, \u22120.15]"
    True
    """
    return re.sub(r"(?<![\w.])-(?=[\d.])", "\u2212", text)


def text_width(text: str, size: float = SIZE, *, bold: bool = False) -> float:
    """Width of a line of text in millimetres.

    Examples
    --------
    >>> 1.0 < text_width("m") < 3.0
    True
    """
    return _HINTING * width_per_size(text, bold=bold) * size / 72 * MM


def wrap(text: str, width: float, size: float = SIZE, *, bold: bool = False) -> list[str]:
    """Break text into lines no wider than ``width`` millimetres; a longer word stands alone.

    Examples
    --------
    >>> wrap("one two three", 12.0)
    ['one two', 'three']
    """
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size, bold=bold) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


def check_width(width_mm: float) -> float:
    """Refuse a page on which the text does not fit."""
    if not NARROWEST <= width_mm <= WIDEST:
        raise ModelError(
            f"width_mm = {width_mm:g} is not between {NARROWEST:g} and {WIDEST:g}; journals use 90 and 180."
        )
    return float(width_mm)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a legend: the properties of a line, or of a patch where it has a ``facecolor``, and its words."""

    look: Mapping[str, Any]
    text: str


class Sheet:
    """A figure measured in millimetres from its top left corner.

    Attributes
    ----------
    figure : Figure
    width, height : float
        In millimetres.
    overlay : Axes
        The whole page in millimetres, for what belongs to no axes of its own.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / MM, height / MM), facecolor="white")
        FigureCanvasAgg(self.figure)
        self._millimetres = Affine2D().scale(1 / width, -1 / height).translate(0, 1) + self.figure.transSubfigure

    @cached_property
    def overlay(self) -> Axes:
        """The whole page in millimetres."""
        # axes take long to make, and most pages need none but those of their drawings
        axes = self.figure.add_axes((0, 0, 1, 1), label="overlay", zorder=-1)
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        axes.set_axis_off()
        return axes

    def _add(self, artist: Artist, zorder: float) -> None:
        """Put an artist on the page, in millimetres, below every axes."""
        artist.set_transform(self._millimetres)
        artist.set_zorder(zorder)
        self.figure.add_artist(artist)

    def text(self, x: float, y: float, text: str, **look: Any) -> Text:
        """Write at a point; the baseline's middle unless ``va`` says otherwise."""
        text = drawable(text)
        look = {
            "size": SIZE,
            "color": INK,
            "va": "center",
            "family": families(text, bold=look.get("weight") == "bold"),
            **look,
        }
        return self.figure.text(x / self.width, 1 - y / self.height, text, **look)

    def rule(self, y: float, left: float, right: float) -> None:
        """Draw a thin horizontal line."""
        self._add(Line2D([left, right], [y, y], color=INK, linewidth=0.5), -1)

    def dot(self, x: float, y: float, diameter: float, **look: Any) -> None:
        """Draw a circle."""
        self._add(Ellipse((x, y), diameter, diameter, **look), -1)

    def axes(self, left: float, top: float, width: float, height: float, label: str) -> Axes:
        """Axes with their plotting area at these millimetres."""
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box, label=label, facecolor="none")

    def head(self, title: str, lines: Sequence[str]) -> float:
        """Title and the lines below it; returns where they end."""
        y = MARGIN + 0.5 * LINE
        for line in wrap(title, self.width - 2 * MARGIN, TITLE_SIZE, bold=True):
            self.text(MARGIN, y, line, size=TITLE_SIZE, weight="bold")
            y += 1.2 * LINE
        return self.notes(y - 0.5 * LINE, lines)

    def notes(self, y: float, lines: Sequence[str], *, color: str = INK) -> float:
        """Paragraphs over the width of the page from ``y`` down; returns where they end."""
        for paragraph in lines:
            for line in wrap(paragraph, self.width - 2 * MARGIN):
                self.text(MARGIN, y + 0.5 * LINE, signed(line), color=color)
                y += LINE
        return y

    def legend(self, y: float, entries: Sequence[Entry]) -> float:
        """Legend entries side by side, as many per line as fit; returns where they end."""
        for line in _legend_lines(entries, self.width):
            x = MARGIN
            for entry in line:
                self._handle(x, y + 0.5 * LINE, entry.look)
                words = wrap(entry.text, self.width - 2 * MARGIN - _HANDLE)
                for i, part in enumerate(words):
                    self.text(x + _HANDLE, y + (i + 0.5) * LINE, signed(part))
                x += _HANDLE + text_width(signed(entry.text)) + _GAP
            y += LINE * max(_entry_lines(entry, self.width) for entry in line)
        return y

    def _handle(self, x: float, y: float, look: Mapping[str, Any]) -> None:
        if "facecolor" in look:
            self._add(Rectangle((x, y - 1.0), 5.0, 2.0, **look), -2)
            return
        ends = [x + 2.5] if look.get("linestyle") == "none" else [x, x + 2.5, x + 5.0]
        # a marker stands once, in the middle of its line
        self._add(Line2D(ends, [y] * len(ends), **{"markevery": [len(ends) // 2], **look}), -1)


def draw_line(axes: Axes, x: ArrayLike, y: ArrayLike, **look: Any) -> None:
    """Draw a line, or markers, in axes whose limits are set; `Axes.plot` would look for limits each time."""
    axes.add_artist(Line2D(np.asarray(x, float), np.asarray(y, float), **look))


def draw_area(axes: Axes, x: ArrayLike, y: ArrayLike, **look: Any) -> None:
    """Fill from zero up to a curve, in axes whose limits are set."""
    across, up = np.asarray(x, float), np.asarray(y, float)
    if across.size:
        outline = np.column_stack([[across[0], *across, across[-1]], [0.0, *up, 0.0]])
        axes.add_artist(PolyCollection([outline], **look))


_HANDLE, _GAP = 6.5, 4.0


def _entry_lines(entry: Entry, width: float) -> int:
    return len(wrap(entry.text, width - 2 * MARGIN - _HANDLE))


def _legend_lines(entries: Sequence[Entry], width: float) -> list[list[Entry]]:
    lines: list[list[Entry]] = []
    used = np.inf
    for entry in entries:
        needed = _HANDLE + text_width(signed(entry.text)) + _GAP
        if used + needed - _GAP > width - 2 * MARGIN:
            lines.append([])
            used = 0.0
        lines[-1].append(entry)
        used += needed
    return lines


def head_height(title: str, lines: Sequence[str], width: float) -> float:
    """Height in millimetres that `Sheet.head` will use."""
    title_lines = len(wrap(title, width - 2 * MARGIN, TITLE_SIZE, bold=True))
    return MARGIN + 1.2 * LINE * title_lines + notes_height(lines, width)


def notes_height(lines: Sequence[str], width: float) -> float:
    """Height in millimetres that `Sheet.notes` will use."""
    return LINE * sum(len(wrap(line, width - 2 * MARGIN)) for line in lines)


def footer_height(entries: Sequence[Entry], notes: Sequence[str], width: float) -> float:
    """Height in millimetres of a legend with notes below it, and the margin."""
    legend = LINE * sum(max(_entry_lines(entry, width) for entry in line) for line in _legend_lines(entries, width))
    return legend + notes_height(notes, width) + MARGIN


# ratios that people name, from coarse to fine; each list is used where it leaves few enough ticks
_RATIOS = (
    (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0),
    (0.01, 0.05, 0.2, 1.0, 5.0, 20.0, 100.0),
    (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    (0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0),
    (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0),
    (0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5),
    (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4),
    (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15),
)


def tick_positions(kind: Measure, low: float, high: float, most: int) -> FloatArray:
    """Round values on the natural scale between two ends, which are on the scale of the analysis.

    Examples
    --------
    >>> from bayesmeta.measures import measure
    >>> tick_positions(measure("RR"), -1.5, 0.5, 6).tolist()
    [0.25, 0.5, 0.75, 1.0, 1.5]
    """
    if kind.log:
        ends = np.exp([low, high])
        inside = [[r for r in ratios if ends[0] <= r <= ends[1]] for ratios in _RATIOS]
        fitting = [ratios for ratios in inside if 2 <= len(ratios) <= most]
        # ticks should span the axis, not crowd one end of it; among those that do, the more the better
        if fitting:
            return np.array(max(fitting, key=lambda r: (min(np.log(r[-1] / r[0]) / (high - low), 0.9), len(r))))
    ends = kind.back(np.array([low, high]))
    values = MaxNLocator(nbins=max(most - 1, 2), steps=[1, 2, 2.5, 5, 10]).tick_values(ends[0], ends[1])
    slack = 1e-9 * (ends[1] - ends[0])
    return values[(values >= ends[0] - slack) & (values <= ends[1] + slack)]


def tick_labels(values: FloatArray) -> list[str]:
    """Labels with one number of decimals, just enough to tell the values apart.

    Examples
    --------
    >>> tick_labels(np.array([0.25, 0.5, 1.0]))
    ['0.25', '0.5', '1']
    >>> tick_labels(np.array([0.0, 0.5, 1.0]))
    ['0.0', '0.5', '1.0']
    """
    short = [f"{value:.6g}" for value in values]
    decimals = max((len(text.partition(".")[2]) for text in short), default=0)
    steps = np.diff(values)
    if steps.size and np.allclose(steps, steps[0]):
        short = [f"{value + 0.0:.{decimals}f}" for value in values]
    return [signed(text.replace("-0.0", "0.0") if float(text) == 0 else text) for text in short]


def ticks(axis: Axis, kind: Measure, low: float, high: float, length: float, *, sign: int = 1) -> None:
    """Put natural ticks on an axis that is drawn on the scale of the analysis (times ``sign``).

    Parameters
    ----------
    axis : matplotlib Axis
    low, high : float
        Ends on the scale of the analysis, ascending.
    length : float
        Of the axis in millimetres, which bounds the number of ticks.
    """
    across = isinstance(axis, XAxis)
    # about ten ticks on a wide axis, and as many as fit on a narrow one
    room = max(8.0 if across else 6.0, length / 11)
    for most in range(max(int(length // room), 2), 1, -1):
        natural = tick_positions(kind, low, high, most)
        labels = tick_labels(natural)
        places = sign * kind.transform(natural)
        if not across or natural.size < 2:
            break
        widths = np.array([text_width(label) for label in labels])
        order = np.argsort(places)
        gaps = np.diff(places[order]) * length / (high - low) - 0.5 * (widths[order][1:] + widths[order][:-1])
        if gaps.min() > 1.0:
            break
    axis.set_major_locator(FixedLocator(places.tolist()))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FixedFormatter(labels))
    axis.set_tick_params(labelsize=SIZE)
