"""What classical results share: fields, and how they show their numbers in a terminal, in Jupyter and as a table."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.columns import UNDEFINED, amount, number, numbers, p_value, together

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClassicalResult", "CoefficientsResult", "MeanResult"]

FloatArray = NDArray[np.float64]

_WIDTH = 110
# what a result calls its lines, where it has several
_LINES = ("terms", "levels")
# settings stand in the heading, names of lines beside them, and notes below
_HEADING = ("method", "ci", "model", "kind", "working", "name", "form", "measure", "estimator", "side", "by", "k")
_WORDS = {
    "se_tau2": "SE of tau2",
    "i2": "I2 (%)",
    "i2_q": "I2 from Q (%)",
    "i2_tau2": "I2 from tau2 (%)",
    "i2_between": "I2 between (%)",
    "i2_within": "I2 within (%)",
    "r2": "R2 (%)",
    "h2": "H2",
    "g2": "G2",
    "q": "Q",
    "qm": "QM",
    "qe": "QE",
    "lrt": "likelihood ratio",
    "loglik": "log likelihood",
    "pi": "prediction interval",
    "_lr": "likelihood interval",
}


class ClassicalResult:
    """Base of the results of classical analyses, which print their numbers.

    Examples
    --------
    >>> found = bm.classical.pool(effects, method="DL")
    >>> print(found.summary())
    ClassicalFit: method DL, ci wald, k 4
     estimate    se  lower upper  stat     p
       -0.154 0.093 -0.336 0.029 -1.65 0.099
    level 0.95; tau2 0.00867; I2 from Q (%) 23.64; I2 from tau2 (%) 23.64; H2 1.31; Q 3.93; Q df 3; Q p 0.269;
    prediction interval -0.573 to 0.266; prediction interval formula t_km1; SE of tau2 0.0301; log likelihood 1.27
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if isinstance(value := getattr(self, field.name), np.ndarray):
                value.flags.writeable = False

    def to_frame(self) -> pd.DataFrame:
        """Numbers as a table: one row per coefficient or subgroup, or one row with every number there is."""
        import pandas as pd

        names, columns = _lines(self)
        if names:
            return pd.DataFrame(columns, index=pd.Index(names, name=_label(self)))
        numbers = {name: value for name, value in _values(self) if not isinstance(value, tuple) or _is_pair(value)}
        flat: dict[str, Any] = {}
        for name, value in numbers.items():
            if isinstance(value, tuple):
                flat |= {f"{name}_lower": value[0], f"{name}_upper": value[1]}
            else:
                flat[name] = value
        return pd.DataFrame([flat])

    def summary(self) -> str:
        """Numbers as text: settings, estimates, what else was found, and notes."""
        return "\n".join([*_text(self), *_notes(self)])

    def __repr__(self) -> str:
        return "\n".join(_text(self))

    def _repr_html_(self) -> str:
        heading, *_ = _text(self)
        names, columns = _table(self)
        cells = "".join(f"<th>{escape(name)}</th>" for name in columns)
        rows = "".join(
            f"<tr><th>{escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells_of)}</tr>"
            for name, cells_of in zip(names, zip(*columns.values(), strict=True), strict=True)
        )
        below = "".join(f"<p>{escape(line)}</p>" for line in (_rest(self), *_notes(self)) if line)
        return f"<p><b>{escape(heading)}</b></p><table><tr><th></th>{cells}</tr>{rows}</table>{below}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MeanResult(ClassicalResult):
    """A result with one estimate. Undefined numbers are None, and `notes` says why.

    Attributes
    ----------
    level : float
        Level of every interval.
    k : int
        Number of estimates, or of tables of counts.
    estimate, se, lower, upper : float
        Mean effect on the scale of y (ratios: their logarithm), its standard error and its confidence interval.
    stat, df, p : float or None
        z, or t with df degrees of freedom, and the two-sided p value of zero.
    notes : tuple of str
        What a reader should know.
    """

    level: float
    k: int
    estimate: float
    se: float
    lower: float
    upper: float
    stat: float | None = None
    df: float | None = None
    p: float | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CoefficientsResult(ClassicalResult):
    """A result with p coefficients. Undefined numbers are None (nan inside arrays), and `notes` says why.

    Attributes
    ----------
    level : float
    k : int
        Number of estimates.
    terms : tuple of str
        Names of the coefficients: ``("intercept",)`` for the mean effect alone.
    estimate, se, stat, p, lower, upper : ndarray, shape (p,)
    vcov : ndarray, shape (p, p)
        Covariance of the coefficients that belongs to `se`.
    notes : tuple of str
    """

    level: float
    k: int
    terms: tuple[str, ...]
    estimate: FloatArray
    se: FloatArray
    stat: FloatArray
    p: FloatArray
    lower: FloatArray
    upper: FloatArray
    vcov: FloatArray
    notes: tuple[str, ...] = ()


def _is_pair(value: tuple[Any, ...]) -> bool:
    return len(value) == 2 and all(item is None or isinstance(item, (int, float)) for item in value)


def _label(result: Any) -> str | None:
    return next((name for name in _LINES if hasattr(result, name)), None)


def _values(result: Any) -> list[tuple[str, Any]]:
    """Fields that are numbers, words or pairs of numbers; those of a fit inside first."""
    found: dict[str, Any] = {}
    inner = getattr(result, "fit", None)
    if isinstance(inner, ClassicalResult):
        found.update(_values(inner))
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if isinstance(value, np.generic):
            value = value.item()
        pair = isinstance(value, tuple) and _is_pair(value)
        if value is None or pair or isinstance(value, (bool, int, float, str)):
            found[field.name] = value
    return list(found.items())


def _lines(result: Any) -> tuple[list[str], dict[str, list[Any]]]:
    """Names of the lines and columns of numbers, where a result has several lines."""
    label = _label(result)
    if label is None:
        return [], {}
    names = [str(name) for name in getattr(result, label)]
    columns = {}
    for field in dataclasses.fields(result):
        value = getattr(result, field.name)
        if isinstance(value, np.ndarray) and value.shape == (len(names),):
            columns[field.name] = value.tolist()
        elif field.name in ("df", "p") and isinstance(value, tuple) and len(value) == len(names):
            columns[field.name] = list(value)
    return names, columns


def _table(result: Any) -> tuple[list[str], dict[str, list[str]]]:
    """The estimates, written."""
    names, columns = _lines(result)
    if not names:
        known = dict(_values(result))
        headline = ("estimate", "value", "se", "lower", "upper", "stat", "df", "p")
        names, columns = [""], {name: [known[name]] for name in headline if known.get(name) is not None}
    same = [name for name in ("estimate", "se", "lower", "upper") if name in columns]
    written = {
        name: numbers(column) if name == "stat" else [_cell(name, value) for value in column]
        for name, column in columns.items()
    }
    written |= dict(zip(same, together([columns[name] for name in same]), strict=True))
    return names, written


def _cell(name: str, value: Any) -> str:
    if value is None:
        return UNDEFINED
    if isinstance(value, (bool, str)):
        return str(value)
    if name in ("level", "alpha"):
        return amount(value)
    if isinstance(value, int) or (name in ("k", "df") and float(value).is_integer()):
        return str(int(value))
    if name == "p" or name.endswith("_p"):
        return p_value(value)
    return number(value)


def _text(result: Any) -> list[str]:
    known = dict(_values(result))
    settings = ", ".join(f"{name} {known[name]}" for name in _HEADING if known.get(name) is not None)
    names, columns = _table(result)
    lines = [f"{type(result).__name__}{': ' if settings else ''}{settings}"]
    if columns:
        cells = [[head, *column] for head, column in columns.items()]
        widths = [max(map(len, column)) for column in cells]
        first = max(map(len, names))
        for number, name in enumerate(("", *names)):
            row = " ".join(column[number].rjust(width) for column, width in zip(cells, widths, strict=True))
            lines.append(f"{name.ljust(first)} {row}".rstrip())
    return lines + textwrap.wrap(_rest(result), _WIDTH)


def _rest(result: Any) -> str:
    """Every other number in a sentence; what is not defined is left out."""
    known = {name: value for name, value in _values(result) if value is not None}
    shown = {*_HEADING, *_table(result)[1]}
    parts = []
    for name, value in known.items():
        if name in shown or (isinstance(value, float) and math.isnan(value)):
            continue
        stem = name.removesuffix("_lower")
        if stem != name and f"{stem}_upper" in known:
            value, shown = (value, known[f"{stem}_upper"]), shown | {f"{stem}_upper"}
        if isinstance(value, tuple):
            interval = stem != name or "interval" in f"{name} {type(result).__name__}".lower()
            words = (" to " if interval else ", ").join(
                _cell(stem, item) for item in value if interval or item is not None
            )
        else:
            words = _cell(stem, value)
        parts.append(f"{_words(stem.removesuffix('_interval'))} {words}")
    return "; ".join(parts)


def _words(name: str) -> str:
    stem, _, last = name.rpartition("_")
    if name in _WORDS:
        return _WORDS[name]
    return f"{_words(stem)} {last}" if stem else last


def _notes(result: Any) -> list[str]:
    return [f"note: {note}" for note in getattr(result, "notes", ())]
