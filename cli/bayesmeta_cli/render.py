"""Numbers and tables as text that fits 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayesmeta.columns import UNDEFINED, amount, is_number, number, p_words, ratios, together

if TYPE_CHECKING:
    from bayesmeta.columns import Readable

__all__ = ["UNDEFINED", "WIDTH", "amount", "is_number", "laid_out", "number", "p_words", "ratios", "table", "title"]
__all__ += ["together", "wrapped"]

WIDTH = 80
_GAP = 2


#: The definition below the first table that shows a new study.
NEW_STUDY = "New study: the true effect in a new study like these, not its result."


def wrapped(text: str, indent: str = "") -> str:
    """Wrap a paragraph at 80 columns, never between a number and its percent sign."""
    held = text.replace(" %", "\0%")
    filled = textwrap.fill(held, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return filled.replace("\0", " ")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Lay out a table within 80 columns: the first column wraps, others keep their width.

    Parameters
    ----------
    headers : sequence of str
        A header with spaces is broken into lines where its column is narrower.
    rows : sequence of sequences of str
    left : int
        How many columns are flush left; the first of them wraps.

    Examples
    --------
    >>> print(table(["", "median"], [["mean effect", "-0.28"]]))
                 median
    mean effect   -0.28
    """
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in headers]
    filled = [max((len(cell) for cell in column), default=0) for column in columns]
    widths = [max(width, len(header), 1) for width, header in zip(filled, headers, strict=True)]
    if sum(widths) + _GAP * (len(widths) - 1) > WIDTH:
        # headers are broken into lines before names are
        widths[1:] = [max(width, _header_width(header)) for width, header in zip(filled, headers, strict=True)][1:]
    spare = WIDTH - sum(widths[1:]) - _GAP * (len(widths) - 1)
    widths[0] = max(min(widths[0], spare), 8)
    lines: list[str] = []
    heads = [textwrap.wrap(header, width) or [""] for header, width in zip(headers, widths, strict=True)]
    depth = max(len(item) for item in heads)
    for i in range(depth):
        cells = [item[i - depth + len(item)] if i >= depth - len(item) else "" for item in heads]
        lines.append(_line(cells, widths, left))
    for row in rows:
        first = textwrap.wrap(row[0], widths[0], subsequent_indent="  ") or [""]
        # the numbers stand on the last line of a name that takes several
        lines += first[:-1]
        lines.append(_line([first[-1], *row[1:]], widths, left))
    return "\n".join(lines)


def laid_out(read: Readable, *notes: str, left: int = 1) -> str:
    """Lay out a readable table, with notes below."""
    return "\n".join([table(read.headers, read.cells, left=left), *(wrapped(note) for note in notes if note)])


def _header_width(header: str) -> int:
    return max((len(word) for word in header.split()), default=0)


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    parts = [
        cell.ljust(width) if i < left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return (" " * _GAP).join(parts).rstrip()


def title(text: str) -> str:
    """Underline a title."""
    lines = textwrap.wrap(text, WIDTH)
    return "\n".join([*lines, "=" * max(map(len, lines))])
