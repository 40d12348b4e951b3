"""How numbers are written: digits that a column shares, ratios, p values; never more than the number is worth."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any

__all__ = [
    "DIGITS",
    "UNDEFINED",
    "amount",
    "bayes_factor_text",
    "is_number",
    "number",
    "numbers",
    "p_value",
    "p_words",
    "percent",
    "plural",
    "ratios",
    "together",
    "with_minus",
]

UNDEFINED = "not defined"
#: Where the digits of numbers change. The page's scripts read them from here.
DIGITS = MappingProxyType(
    {
        # digits before the point from which nobody counts them
        "large": 1e9,
        # of a column: significant digits below this, three decimals below one, two below `wide`, one beyond
        "small": 0.1,
        "wide": 100.0,
        # the smallest ratio, and the smallest chance in percent, that are written as numbers
        "least_ratio": 1e-4,
        "least_percent": 0.1,
    }
)


def _decimals(values: Iterable[float]) -> int:
    """Decimals of a column: three below one, two below a hundred, one beyond."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0 or largest >= DIGITS["small"]:
        return 3 if largest < 1 else 2 if largest < DIGITS["wide"] else 1
    return min(2 - math.floor(math.log10(largest)), 8)


def is_number(value: Any) -> bool:
    """Whether a cell is a number that exists."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: Any, decimals: int | None = None) -> str:
    """Write a number with a fixed number of decimals; what does not exist is "not defined".

    Examples
    --------
    >>> number(-0.27704), number(12.345), number(float("nan")), number(-0.0001, 2), number(1e64)
    ('-0.277', '12.35', 'not defined', '0.00', '1.00e+64')
    """
    if value is None or not is_number(float(value)):
        return UNDEFINED
    if abs(value) >= DIGITS["large"]:
        return f"{float(value):.2e}"
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
    if abs(value) >= DIGITS["wide"]:
        return f"{value:.0f}" if abs(value) < DIGITS["large"] else f"{value:.2e}"
    if abs(value) >= DIGITS["small"] or value <= 0:
        return f"{value:.2f}"
    return f"<{DIGITS['least_ratio']:.4f}" if value < DIGITS["least_ratio"] else f"{value:.2g}"


def amount(value: float) -> str:
    """Write a number that someone stated, as they stated it.

    Examples
    --------
    >>> amount(0.5), amount(0.75)
    ('0.5', '0.75')
    """
    return f"{value:.4g}"


def bayes_factor_text(value: float) -> str:
    """Write a Bayes factor, beyond a thousand to one in either direction as that.

    Examples
    --------
    >>> bayes_factor_text(0.2134), bayes_factor_text(3.14159), bayes_factor_text(1e6), bayes_factor_text(1e-9)
    ('0.21', '3.1', '>1000', '<0.001')
    """
    if value < 1:
        return "<0.001" if value < 0.001 else f"{value:.2g}"
    return ">1000" if value > 1000 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


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


def percent(p: float, digits: int = 1) -> str:
    """Write a probability in percent; never 100 % or 0 %, which no analysis can give.

    Examples
    --------
    >>> percent(0.9132), percent(0.99996), percent(1e-7)
    ('91.3 %', '>99.9 %', '<0.1 %')
    """
    if not 0 <= p <= 1 + 1e-12:
        return UNDEFINED
    step = 10.0**-digits
    if 100 * p > 100 - step:
        return f">{100 - step:.{digits}f} %"
    if 100 * p < step:
        return f"<{step:.{digits}f} %"
    return f"{100 * p:.{digits}f} %"


def plural(count: int, noun: str) -> str:
    """Count a noun.

    Examples
    --------
    >>> plural(1, "trial"), plural(3, "trial")
    ('1 trial', '3 trials')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


_MINUS = re.compile(r"(?<![\w.])-(?=[\d.])")


def with_minus(text: str) -> str:
    """Write the minus of negative numbers as one.

    Examples
    --------
    >>> with_minus("-0.3 (-0.4 to 2e-7), 3-4")
    '\u22120.3 (\u22120.4 to 2e-7), 3-4'
    """
    return _MINUS.sub("\u2212", text)
