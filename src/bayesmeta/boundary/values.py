"""Arrays, Series and lists that people give, as numbers and names; what is neither is refused, and nothing is lost."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Set
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import DataError, Fault

__all__ = ["as_levels", "as_names", "as_numbers", "require_one_index"]

_SHOWN = 5


def _missing(value: object) -> bool:
    """Whether a cell holds nothing: None, nan, a masked cell, `pandas.NA`, `pandas.NaT`."""
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Real) and bool(value != value)


def _kind(value: object) -> str:
    """What a cell is that is no number, in words."""
    if isinstance(value, (bool, np.bool_)):
        return "is true or false"
    if isinstance(value, (datetime.date, datetime.timedelta, np.datetime64, np.timedelta64)):
        return "is a date or a time"
    return "is a text" if isinstance(value, (str, bytes)) else f"is of type {type(value).__name__}"


def _cells(name: str, value: Any) -> NDArray[Any]:
    """Give the values as an array of objects, in which masked cells are None."""
    used_up = isinstance(value, Iterable) and not hasattr(value, "__len__") and not hasattr(value, "__array__")
    if isinstance(value, (Mapping, Set)) or used_up:
        raise DataError([Fault(name, f"a {type(value).__name__} is no list", "Give a list or an array.")])
    try:
        if isinstance(value, np.ma.MaskedArray):
            return _unmasked(value)
        dtype = getattr(value, "dtype", None)
        if isinstance(dtype, np.dtype) and dtype.kind in "mM":
            # objects of these types would be whole numbers
            value = np.asarray(value).astype(f"{'datetime64' if dtype.kind == 'M' else 'timedelta64'}[us]")
        return np.asarray(value, object)
    except (TypeError, ValueError) as error:
        raise DataError([Fault(name, f"it is no array: {error}", "Give a list or an array of numbers.")]) from error


def _unmasked(value: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """The cells, with None for those that are masked."""
    cells: NDArray[Any] = np.array(value.data, object)
    cells[np.ma.getmaskarray(value)] = None
    return cells


def _number(value: Any) -> float | None:
    """A cell as a number; nan if it holds nothing, None if it holds something else."""
    if _missing(value):
        return math.nan
    if isinstance(value, (bool, np.bool_, np.timedelta64)) or not isinstance(value, (Real, Decimal)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def as_numbers(name: str, value: Any) -> NDArray[np.float64]:
    """Give numbers as an array of floats.

    Parameters
    ----------
    name : str
        What they are called, for messages.
    value : array, Series, list or number
        Of any shape. Masked cells and cells that hold None, ``nan`` or `pandas.NA` become ``nan``.

    Returns
    -------
    array of float
        Of the same shape; an array of floats is returned as it is.

    Raises
    ------
    DataError
        For truth values, dates, texts, complex numbers and everything else that is no number; every cell is named.

    Examples
    --------
    >>> as_numbers("y", np.ma.array([1, 2], mask=[False, True]))
    array([ 1., nan])
    >>> as_numbers("y", [0.5, True])
    Traceback (most recent call last):
    ...
    bayesmeta.errors.DataError: y, row 2: True is true or false, not a number. Give a number.
    """
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf" and not isinstance(value, np.ma.MaskedArray):
        return np.asarray(value, float)
    cells = _cells(name, value)
    numbers = [_number(item) for item in cells.ravel().tolist()] if cells.dtype == object else []
    faults = [
        Fault(
            name if cells.ndim == 0 else f"{name}, row {np.unravel_index(place, cells.shape)[0] + 1}",
            f"{str(cell)[:40]} {'is too large' if isinstance(cell, int) and type(cell) is not bool else _kind(cell)}"
            ", not a number",
            "Give a number.",
        )
        for place, (cell, number) in enumerate(zip(cells.ravel().tolist(), numbers, strict=True))
        if number is None
    ]
    if faults:
        raise DataError(_first(name, faults))
    return np.array(numbers, float).reshape(cells.shape)


def as_names(name: str, value: Any) -> tuple[str, ...]:
    """Give names as texts, one per row.

    Parameters
    ----------
    name : str
        What they are called, for messages.
    value : array, Series or list
        Whole numbers are names too.

    Returns
    -------
    tuple of str

    Raises
    ------
    DataError
        Where there is no name (None, ``nan``, a masked cell, nothing but spaces), and for bytes and truth values; every
        row is named.

    Examples
    --------
    >>> as_names("study", ["A", 2])
    ('A', '2')
    >>> as_names("study", ["A", None])
    Traceback (most recent call last):
    ...
    bayesmeta.errors.DataError: study, row 2: there is no name. Name every row.
    """
    if isinstance(value, (bytes, Mapping, Set)) or not isinstance(value, Iterable):
        raise DataError([Fault(name, f"a {type(value).__name__} is no list of names", "Give a list.")])
    if isinstance(value, np.ma.MaskedArray):
        value = _unmasked(value)
    cells = list(value)
    faults = [
        Fault(f"{name}, row {row}", "there is no name", "Name every row.")
        if _missing(cell) or isinstance(cell, str)
        else Fault(f"{name}, row {row}", f"{cell!r} {_kind(cell)}, not a name", "Give a text.")
        for row, cell in enumerate(cells, 1)
        if _missing(cell) or isinstance(cell, (bytes, bool, np.bool_)) or not str(cell).strip()
    ]
    texts = [str(cell) for cell in cells]
    # half of a surrogate pair is no character, and no file could hold it
    faults += [
        Fault(f"{name}, row {row}", f"{text!r} holds half of a character", "Write the name anew.")
        for row, text in enumerate(texts, 1)
        if any("\ud800" <= letter <= "\udfff" for letter in text)
    ]
    if faults:
        raise DataError(_first(name, faults))
    return tuple(texts)


def as_levels(name: str, values: Any) -> NDArray[Any]:
    """Give a moderator as numbers, or as texts where a cell is one; what is missing stays missing.

    Parameters
    ----------
    name : str
        What it is called, for messages.
    values : array, Series or list
        Truth values are the numbers 1 and 0 where all cells are such.

    Returns
    -------
    array of float, or of str and None
        ``nan`` and None where a cell holds nothing.

    Raises
    ------
    DataError
        For dates and bytes.

    Examples
    --------
    >>> as_levels("kind", ["a", None, "b"]).tolist(), as_levels("weeks", [6, None]).tolist()
    (['a', None, 'b'], [6.0, nan])
    """
    cells = _cells(name, values)
    found = cells.tolist() if cells.ndim else [cells.item()]
    filled = [cell for cell in found if not _missing(cell)]
    if filled and all(isinstance(cell, (bool, np.bool_)) for cell in filled):
        return np.array([math.nan if _missing(cell) else float(cell) for cell in found])
    if all(_number(cell) is not None for cell in filled):
        return as_numbers(name, cells)
    wrong = [
        (row, cell) for row, cell in enumerate(found, 1) if isinstance(cell, (bytes, datetime.date, datetime.timedelta))
    ]
    if wrong:
        faults = [
            Fault(f"{name}, row {row}", f"{cell!r} {_kind(cell)}", "Give numbers or texts.") for row, cell in wrong
        ]
        raise DataError(_first(name, faults))
    return np.array([None if _missing(cell) else str(cell) for cell in found], object)


def _first(name: str, faults: list[Fault]) -> list[Fault]:
    """The first of many alike, and how many more there are."""
    if len(faults) <= _SHOWN:
        return faults
    return [*faults[:_SHOWN], Fault(name, f"{len(faults) - _SHOWN} more rows are so", "See the first of them.")]


def require_one_index(values: Mapping[str, Any]) -> None:
    """Refuse Series whose indexes differ: by position they would be paired with each other's rows.

    Parameters
    ----------
    values : mapping of str to anything
        By name; what has no index is passed over.

    Raises
    ------
    DataError
        Naming the first and the one that differs from it.

    Examples
    --------
    >>> import pandas as pd
    >>> y = pd.Series([0.1, 0.2], index=["A", "B"])
    >>> require_one_index({"y": y, "se": pd.Series([0.3, 0.4], index=["B", "A"])})
    Traceback (most recent call last):
    ...
    bayesmeta.errors.DataError: se: its index is not that of y. Align them, or give arrays without an index.
    """
    indexed = {name: value.index for name, value in values.items() if hasattr(value, "iloc")}
    first = next(iter(indexed), "")
    for name, other in indexed.items():
        if not other.equals(indexed[first]):
            what = f"its index is not that of {first}"
            raise DataError([Fault(name, what, "Align them, or give arrays without an index.")])
