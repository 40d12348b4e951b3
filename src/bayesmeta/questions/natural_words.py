"""How answers in points and in people are written: true minus signs, each side of no effect in its own word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayesmeta.columns import UNDEFINED, amount, number
from bayesmeta.fits import LEVEL
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Amount, BetaRisk
from bayesmeta.priors import Prior

__all__ = ["amount_words", "difference_words", "level_words", "people_decimals", "point_decimals"]

Ends = tuple[float, float, float]


def minus(text: str) -> str:
    """The same with a true minus sign."""
    return text.replace("-", "\N{MINUS SIGN}")


def point_decimals(values: Sequence[float]) -> int:
    """Decimals of points: one, or two where all are below one, none from a hundred on."""
    largest = max(abs(value) for value in values)
    return 2 if largest < 1 else 1 if largest < 100 else 0


def amount_words(stated: Amount | BetaRisk) -> str:
    """A stated number, the ends of a range, or the median of a distribution with its interval."""
    if isinstance(stated, tuple):
        return minus(f"{amount(stated[0])} to {amount(stated[1])}")
    if isinstance(stated, (Prior, BetaRisk)):
        low, middle, high = np.asarray(stated.ppf(interval_ends(LEVEL)), float)
        return minus(f"{amount(middle)} ({amount(low)} to {amount(high)})")
    return minus(amount(float(stated)))


def difference_words(ends: Ends, up: str, down: str, unit: str, decimals: int, per: str = "") -> str:
    """A difference with its interval, each side of zero in its own word: "4.1 points better (2.2 to 6.0)"."""
    if not np.isfinite(ends).all():
        return UNDEFINED
    median, lower, upper = (float(number(value, decimals)) for value in ends)

    def written(value: float) -> str:
        return number(abs(value), decimals)

    word = up if median > 0 else down if median < 0 else ""
    said = f"{written(median)} {unit} {word}".rstrip() if not per else f"{written(median)} {word or up} {per}"
    if lower >= 0 or upper <= 0:
        near, far = sorted((lower, upper), key=abs)
        # a median that rounds to nothing has no word of its own
        side = f" {up if upper > 0 else down}" if per or not word else ""
        return f"{said} ({written(near)} to {written(far)}{side})"
    return f"{said} ({written(lower)} {down} to {written(upper)} {up})"


def level_words(ends: Ends, unit: str, decimals: int) -> str:
    """A level with its interval, or alone where it is known: "34.0 points", "166 per 1000 (150 to 188)"."""
    median, lower, upper = (minus(number(value, decimals)) for value in ends)
    level = f"{median} {unit}".rstrip()
    return level if lower == upper else f"{level} ({lower} to {upper})"


def people_decimals(ends: Ends) -> int:
    """People are whole, but where all are fewer than ten."""
    return 0 if max(abs(value) for value in ends) >= 9.95 else 1
