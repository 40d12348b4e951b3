"""Rules that numbers of a trial must obey before anything is computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import DataError, Fault, ModelError

__all__ = ["RowFault", "Rules", "choose", "level_of", "overflow_faults"]

Columns = Mapping[str, np.ndarray]


class RowFault(NamedTuple):
    """One broken rule in one row of a table.

    Parameters
    ----------
    row : int
        Position of the row, counted from 0.
    column : str
        Name of the column (several names joined with commas where the rule concerns several).
    value : object
        What stands there.
    rule : str
        The rule that is broken, written so that "value rule" reads as a sentence: ``"is not > 0"``.
    remedy : str
        What to do about it.

    Examples
    --------
    >>> RowFault(13, "sd_t", 0.0, "is not > 0", "Correct the row or exclude it.").column
    'sd_t'
    """

    row: int
    column: str
    value: object
    rule: str
    remedy: str

    def at(self, where: str) -> Fault:
        """Return the fault as it is reported, ``where`` being the file and line."""
        value = f"{self.value:g}" if isinstance(self.value, float) else str(self.value)
        value = "(empty)" if value == "nan" else value
        return Fault(f"{where}, column {self.column}", f"{value} {self.rule}", self.remedy)


class Rules:
    """Collect what is wrong with columns of numbers, all of it, before anything is raised.

    Parameters
    ----------
    columns : mapping of str to array (k,)
        The numbers, by column.

    Examples
    --------
    >>> rules = Rules({"sd_t": np.array([2.0, 0.0])})
    >>> rules.positive("sd_t", remedy="Correct the row.")
    >>> [fault.row for fault in rules.faults]
    [1]
    """

    __slots__ = ("columns", "faults")

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.faults: list[RowFault] = []

    def require(self, ok: ArrayLike, column: str, rule: str, remedy: str, value: ArrayLike | None = None) -> None:
        """Note a fault for every row where ``ok`` is false; a row whose number is missing is not noted twice."""
        values = self.columns[column] if value is None else np.asarray(value)
        for row in np.flatnonzero(~np.asarray(ok)):
            shown: Any = values[row]
            self.faults.append(RowFault(int(row), column, shown.item(), rule, remedy))

    def present(self, *names: str) -> None:
        """Every number is there and finite."""
        for name in names:
            self.require(
                np.isfinite(self.columns[name]), name, "is not a finite number", f"Give {name} or exclude the row."
            )

    def positive(self, *names: str, remedy: str = "Correct the row or exclude it.") -> None:
        """Every number is greater than zero."""
        for name in names:
            self.require(~(self.columns[name] <= 0), name, "is not > 0", remedy)

    def at_least(self, least: float, *names: str, why: str = "Correct the row or exclude it.") -> None:
        """Every number is at least ``least``."""
        for name in names:
            self.require(~(self.columns[name] < least), name, f"is less than {least:g}", why)

    def within(self, low: float, high: float, *names: str, why: str = "Correct the row or exclude it.") -> None:
        """Every number lies strictly between two others."""
        for name in names:
            x = self.columns[name]
            self.require(~((x <= low) | (x >= high)), name, f"is not between {low:g} and {high:g}", why)

    def counts(self, events: str, n: str) -> None:
        """Events are whole numbers from 0 to n."""
        self.whole_count(events, "people with the event")
        x, size = self.columns[events], self.columns[n]
        self.require(~(x > size), events, f"is more than {n}", "Correct the count or the arm's size.")

    def whole_count(self, name: str, what: str) -> None:
        """Numbers are whole and not negative."""
        x = self.columns[name]
        self.require(~(x < 0), name, "is negative", "Correct the count.")
        whole = ~np.isfinite(x) | (x == np.rint(x))
        self.require(whole, name, "is not a whole number", f"Give the number of {what}, not a percentage.")

    def refuse(self, where: str = "row") -> None:
        """Raise :class:`~bayesmeta.errors.DataError` if any rule was broken."""
        if self.faults:
            raise DataError(fault.at(f"{where} {fault.row}") for fault in self.faults)


def columns_of(**numbers: ArrayLike) -> dict[str, np.ndarray]:
    """Broadcast numbers against each other, as float arrays of one dimension."""
    try:
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, dtype=float)) for x in numbers.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name} {np.shape(x)}" for name, x in numbers.items())
        raise ModelError(f"{', '.join(numbers)}: not numbers of one length ({shapes}; {error}).") from error
    if arrays and arrays[0].ndim != 1:
        raise ModelError(f"{', '.join(numbers)}: {arrays[0].ndim} dimensions; give one number per row.")
    return dict(zip(numbers, arrays, strict=True))


def choose(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return ``value`` if it is one of those allowed, else raise :class:`~bayesmeta.errors.ModelError`."""
    allowed = tuple(allowed)
    if not isinstance(value, str) or value not in allowed:
        raise ModelError(f"{name}={value!r} is not one of those allowed: {', '.join(allowed)}.")
    return value


def level_of(level: float) -> float:
    """Return a confidence level, refusing 95 for 0.95."""
    if not 0 < level < 1:
        raise ModelError(f"level={level!r} is not between 0 and 1: write 0.95, not 95.")
    return float(level)


def frozen(x: ArrayLike) -> np.ndarray:
    """Return a read-only float copy."""
    array = np.array(x, dtype=float)
    array.setflags(write=False)
    return array


def overflow_faults(y: np.ndarray, se: np.ndarray, rows: np.ndarray, measure: str) -> list[RowFault]:
    """Faults of computed rows whose numbers left the range of floating point."""
    lost = rows[~(np.isfinite(y[rows]) & np.isfinite(se[rows]) & (se[rows] > 0))]
    rule = f"no {measure} with a standard error can be computed: the numbers differ too much in size"
    return [RowFault(int(row), measure, float(y[row]), rule, "Check the row's units.") for row in lost]
