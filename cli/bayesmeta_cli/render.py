"""Numbers and tables as text that fits 80 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH = 80
UNDEFINED = "not defined"
_GAP = 2


def _decimals(values: Iterable[float]) -> int:
    """Decimals of a column: three below one, two below a hundred, one beyond."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0 or largest >= 0.1:
        return 3 if largest < 1 else 2 if largest < 100 else 1
    return min(2 - math.floor(math.log10(largest)), 8)


def is_number(value: Any) -> bool:
    """Whether a cell is a number that exists."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, decimals: int | None = None) -> str:
    """Write a number with a fixed number of decimals; what does not exist is "not defined".

    Examples
    --------
    >>> number(-0.27704), number(12.345), number(float("nan")), number(-0.0001, 2)
    ('-0.277', '12.35', 'not defined', '0.00')
    """
    if value is None or not is_number(float(value)):
        return UNDEFINED
    text = f"{float(value):.{_decimals([float(value)]) if decimals is None else decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def numbers(values: Sequence[Any]) -> list[str]:
    """Write a column of numbers with the same number of decimals.

    Examples
    --------
    >>> numbers([-0.277, 1.5, None])
    ['-0.28', '1.50', 'not defined']
    """
    shared = _decimals(float(value) for value in values if is_number(value))
    return [number(value, shared) for value in values]


def together(columns: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Write several columns of numbers on one scale with the same number of decimals.

    Examples
    --------
    >>> together([[-0.277], [1.5]])
    [['-0.28'], ['1.50']]
    """
    shared = _decimals(float(value) for column in columns for value in column if is_number(value))
    return [[number(value, shared) for value in column] for column in columns]


def ratios(columns: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Write columns of ratios, each number with the digits it needs: a ratio is never zero.

    Examples
    --------
    >>> ratios([[0.534, 0.0123, 9902.3, 1e-7]])
    [['0.53', '0.012', '9902', '<0.0001']]
    """
    return [[_ratio(value) for value in column] for column in columns]


def _ratio(value: Any) -> str:
    if value is None or not is_number(float(value)):
        return UNDEFINED
    value = float(value)
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 0.1 or value <= 0:
        return f"{value:.2f}"
    return "<0.0001" if value < 1e-4 else f"{value:.2g}"


def amount(value: float) -> str:
    """Write a number that someone stated, as they stated it.

    Examples
    --------
    >>> amount(0.5), amount(0.75)
    ('0.5', '0.75')
    """
    return f"{value:.4g}"


def p_value(value: Any) -> str:
    """Write a p value; never 0.

    Examples
    --------
    >>> p_value(0.04321), p_value(1e-9), p_value(None)
    ('0.043', '<0.001', 'not defined')
    """
    if value is None or not is_number(value):
        return UNDEFINED
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def p_words(value: Any) -> str:
    """Write a p value in a sentence.

    Examples
    --------
    >>> p_words(0.04321), p_words(1e-9)
    ('p = 0.043', 'p < 0.001')
    """
    text = p_value(value)
    return f"p {text.replace('<', '< ')}" if text.startswith("<") else f"p = {text}"


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
