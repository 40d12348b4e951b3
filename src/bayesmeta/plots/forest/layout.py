"""Where everything of a forest plot stands: columns from left to right, rows from top to bottom, pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bayesmeta.errors import ModelError
from bayesmeta.plots.forest.bias import Lights
from bayesmeta.plots.forest.columns import Column
from bayesmeta.plots.forest.styles import Style
from bayesmeta.plots.sheet import MARGIN, signed, text_width, wrap

__all__ = ["BAYESIAN", "DENSITY_HEIGHT", "LIGHT", "Layout", "Placed", "Row", "arranged", "pages_of", "rows_of"]

# millimetres
_GAP = 3.0
_ROW, _TIGHT_ROW = 4.2, 3.2
_MANY = 40
_LABEL_LINE = 2.9
DENSITY_HEIGHT = 6.0
_RIDGE_ROW = 7.2
LIGHT = 3.9
_LONGEST, _SHORT = 45.0, 16.0
# the drawing takes at least this share of the page
LANE = 0.4
_NARROWEST_LANE = 30.0
_NARROW_LABELS = 38.0
_USUAL = 180.0
#: Where columns are asked for, from a page of a journal to a landscape one; text of 7 points is 12 px high where a page
#: of 240 mm is shown with 1180 px.
_WIDER = (180.0, 200.0, 220.0, 240.0, 260.0, 280.0, 300.0)
#: What is left out where the page is narrow, in this order.
_DISPENSABLE = ("theta", "weight", "text")
BAYESIAN = ("level mean", "mean", "new study")


@dataclass(frozen=True, slots=True)
class Placed:
    """A column with its heading in lines and its ends in millimetres."""

    column: Column
    group: str
    heading: tuple[str, ...]
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns from left to right, in millimetres.

    Attributes
    ----------
    labels : float
        Width of the first column.
    left, right : float
        Ends of the drawing.
    lights : float or None
        Middle of the first light.
    """

    width: float
    labels: float
    left: float
    right: float
    placed: tuple[Placed, ...]
    lights: float | None

    @property
    def groups(self) -> frozenset[str]:
        """Groups of columns that are shown."""
        return frozenset(item.group for item in self.placed)

    @property
    def head_lines(self) -> int:
        """Lines of the headings."""
        lines = [len(item.heading) + bool(item.column.over) for item in self.placed]
        return max([*lines, 2 * (self.lights is not None)], default=0)


def arranged(
    table: pd.DataFrame,
    groups: Mapping[str, Sequence[Column]],
    lights: Lights | None,
    style: Style,
    width: float | None,
) -> Layout:
    """Place columns so that the drawing takes at least 40 % of the width; what does not fit is left out.

    Raises
    ------
    ModelError
        Where the columns that someone asked for do not fit.
    """
    added = bool(lights or groups.get("arms") or groups.get("own"))
    widths = _WIDER if width is None and added else (width or _USUAL,)
    wanted = {name: columns for name, columns in groups.items() if columns}
    for page in widths:
        found = _arranged(table, wanted, lights, style, page)
        # shrinkage estimates are no reason for a wider page; they are in the table too
        if found is not None and found.groups >= ({"text"} if style.shrinkage else {"text", "weight"}):
            break
    if found is None:
        raise ModelError(
            f"these columns do not fit beside the drawing on {widths[-1]:g} mm; give a larger width_mm (to 420) or "
            "fewer columns."
        )
    return found


def _arranged(
    table: pd.DataFrame, wanted: Mapping[str, Sequence[Column]], lights: Lights | None, style: Style, width: float
) -> Layout | None:
    bold = table["kind"].isin(["heading", "mean"])
    needed = max(text_width(label, bold=b) for label, b in zip(table["label"], bold, strict=True))
    labels = min(needed + 0.5, _NARROW_LABELS, 0.42 * width)
    asked = LIGHT * len(lights.domains) + _GAP if lights else 0.0
    for dropped in range(len(_DISPENSABLE) + 1):
        shown = {name: columns for name, columns in wanted.items() if name not in _DISPENSABLE[:dropped]}
        sizes = {name: [_column_width(column) for column in columns] for name, columns in shown.items()}
        for name, columns in shown.items():
            sizes[name] = _with_over(columns, sizes[name])
        used = sum(sum(part) + _GAP * len(part) for part in sizes.values())
        lane = width - 2 * MARGIN - labels - _GAP - used - asked
        if lane >= max(LANE * width, _NARROWEST_LANE):
            break
    else:
        # on a narrow page the drawing may be narrower, but not so narrow that nothing is seen
        if lane < _NARROWEST_LANE:
            return None
    # words of rows get what the drawing has beyond its share, so that fewer are broken into lines
    more = min(max(lane - max(LANE * width, _NARROWEST_LANE), 0.0), max(needed + 0.5 - labels, 0.0))
    labels, lane = labels + more, lane - more
    x = MARGIN + labels
    placed: list[Placed] = []

    def place(names: Sequence[str]) -> None:
        nonlocal x
        for name in names:
            for column, size in zip(shown.get(name, ()), sizes.get(name, ()), strict=True):
                heading = tuple(wrap(column.heading, size + 0.1)) if column.heading else ()
                placed.append(Placed(column, name, heading, x + _GAP, x + _GAP + size))
                x += _GAP + size

    place(style.before)
    left = x + _GAP
    x = right = left + lane
    place(style.after)
    return Layout(width, labels, left, right, tuple(placed), x + _GAP + 0.5 * LIGHT if lights else None)


def _column_width(column: Column) -> float:
    # a short heading stays on one line
    whole = text_width(column.heading)
    words = [whole] if whole < _SHORT else [text_width(signed(word)) for word in column.heading.split()]
    # the longest may stand in the row of the mean, which is bold
    longest = max(column.texts.values(), key=text_width, default="")
    return min(max([text_width(longest, bold=not column.left), *words, 3.0]), _LONGEST)


def _with_over(columns: Sequence[Column], sizes: list[float]) -> list[float]:
    """Widen columns below a common heading until it fits, up to a length at which it is cut."""
    for over in dict.fromkeys(column.over for column in columns if column.over):
        inside = [i for i, column in enumerate(columns) if column.over == over]
        room = sum(sizes[i] for i in inside) + _GAP * (len(inside) - 1)
        more = (min(text_width(over, bold=True) + 1.0, _LONGEST) - room) / len(inside)
        for i in inside:
            sizes[i] += max(more, 0.0)
    return sizes


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table with its words and its place on the page."""

    data: Mapping[str, Any]
    words: tuple[str, ...]
    top: float
    height: float

    @property
    def middle(self) -> float:
        """Where its words stand."""
        return self.top + 0.5 * self.height

    def moved(self, by: float) -> Row:
        """The same row so much lower."""
        return Row(self.data, self.words, self.top + by, self.height)


def rows_of(table: pd.DataFrame, layout: Layout, *, ridge: bool) -> list[Row]:
    """Heights of rows, one below the other from zero."""
    base = _TIGHT_ROW if len(table) > _MANY else _ROW
    rows: list[Row] = []
    top = 0.0
    for item in table.to_dict("records"):
        kind = item["kind"]
        words = wrap(item["label"], layout.labels, bold=kind in ("heading", "mean"))
        if "text" not in layout.groups and kind not in ("estimate", "heading"):
            words += wrap(signed(item["text"].partition(":")[0]), layout.labels)
        height = max(base, _LABEL_LINE * len(words) + 1.0) if len(words) > 1 else base
        if kind == "new study":
            height = max(height, DENSITY_HEIGHT + 3.0)
        if kind == "estimate" and ridge:
            height = max(height, _RIDGE_ROW)
        if kind == "mean":
            # the rule between estimates and summaries needs air
            top += 1.5
        if kind == "heading" and rows:
            top += 1.0
        rows.append(Row({str(name): value for name, value in item.items()}, tuple(words), top, height))
        top += height
    return rows


def pages_of(rows: Sequence[Row], room: float | None, footer: float) -> list[list[Row]]:
    """Break rows into pages, each from zero; headings stay with the row below, summaries and the footer together.

    Parameters
    ----------
    room : float or None
        Millimetres for rows on a page; None for one page.
    footer : float
        Millimetres that the last page needs below its rows.
    """
    if room is None or rows[-1].top + rows[-1].height + footer <= room:
        return [list(rows)]
    split = next(i for i, row in enumerate(rows) if row.data["kind"] == "mean")
    pages: list[list[Row]] = [[]]
    for i, row in enumerate(rows):
        start = pages[-1][0].top if pages[-1] else row.top
        follower = rows[min(i + 1, len(rows) - 1)] if row.data["kind"] == "heading" else row
        end = follower.top + follower.height
        if i == split:
            end = rows[-1].top + rows[-1].height + footer
        if i <= split and pages[-1] and end - start > room:
            pages.append([])
        pages[-1].append(row)
    return [[row.moved(-page[0].top) for row in page] for page in pages]
