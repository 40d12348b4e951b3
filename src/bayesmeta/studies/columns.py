"""Names of columns, filters over rows, and where a fault stands in the file."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.errors import DataError, Fault
from bayesmeta.measures import RowFault

__all__ = [
    "NUMBER_COLUMNS",
    "TEXT_COLUMNS",
    "FrameFaults",
    "map_columns",
    "match_rows",
    "note_row_faults",
    "note_text_cells",
    "numbers_of",
]

_ARM_STEMS = (
    "n",
    "mean",
    "sd",
    "se",
    "events",
    "mean_change",
    "sd_change",
    "se_change",
    "mean_pre",
    "sd_pre",
    "mean_post",
    "sd_post",
    "median",
    "q1",
    "q3",
    "low",
    "high",
    "ci_low",
    "ci_high",
)
#: Columns that hold what a row found; every other column may tell rows apart.
NUMBER_COLUMNS = frozenset(
    [f"{stem}_{arm}" for stem in _ARM_STEMS for arm in "tc"]
    + ["estimate", "se", "var", "ci_low", "ci_high", "t", "p", "df", "md", "r", "n", "correlation"]
)
#: Columns that stay text even where every cell looks like a number.
TEXT_COLUMNS = frozenset({"study", "outcome", "horizon", "arm_t", "arm_c", "coded_better", "cluster"})
_STANDARD = NUMBER_COLUMNS | TEXT_COLUMNS
_SHOWN = 12


def _listed(names: Iterable[Any]) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:_SHOWN]) + (f", ... ({len(texts)} in all)" if len(texts) > _SHOWN else "")


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "").replace(".", "")


class FrameFaults:
    """Faults of a table, told by the file's own rows and columns."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.attrs = dict(frame.attrs)
        self.source: str = self.attrs.get("source", "table")
        self.theirs: Mapping[str, str] = self.attrs.get("columns", {})
        self.index = frame.index
        self.found: list[Fault] = []

    def add(self, what: str, remedy: str, *, row: int | None = None, column: str | None = None) -> None:
        """Note a fault, ``row`` being the position in the table."""
        where = self.source if row is None else f"{self.source} row {self.index[row]}"
        if column is not None:
            where += f", column {self.theirs.get(column, column)}"
        self.found.append(Fault(where, what, remedy))

    def copy(self) -> FrameFaults:
        """The same faults, to which others can be added."""
        same = copy.copy(self)
        same.found = list(self.found)
        return same

    def missing_column(self, column: str, frame: pd.DataFrame, remedy: str = "") -> None:
        """Note that a column is not there, with the nearest name."""
        # a column that has a meaning of its own is not a misspelling of another
        plain = {_plain(str(name)): str(name) for name in frame.columns if name not in _STANDARD}
        near = difflib.get_close_matches(_plain(column), plain, n=1, cutoff=0.6)
        hint = f"Did you mean {plain[near[0]]!r}? " if near else ""
        self.add(f"there is no column {column!r}", f"{hint}{remedy or f'Columns: {_listed(frame.columns)}.'}")

    def raise_if_any(self) -> None:
        """Raise all of them at once."""
        if self.found:
            raise DataError(self.found)


def _remedy_of_text(cell: str, remedy: str) -> str:
    """Say what to do about a cell that should be a number, where it shows what went wrong."""
    if re.search("[\u2012-\u2015\u2212]", cell):
        return 'It is written with a typographic dash; write the minus as "-".'
    if re.fullmatch(r"[+-]?\d+,\d+", cell):
        return "Write the decimals with a point."
    return remedy


def numbers_of(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Numbers of a column; nan where a cell holds none, and everywhere if there is no such column."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    column = frame[name]
    if column.dtype == np.float64:
        return column.to_numpy()
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def note_text_cells(frame: pd.DataFrame, faults: FrameFaults) -> None:
    """Note text in columns that hold numbers by their names."""
    for column in sorted(NUMBER_COLUMNS & set(map(str, frame.columns))):
        cells = frame[column]
        wrong = cells.notna() & pd.to_numeric(cells, errors="coerce").isna()
        for row in np.flatnonzero(wrong.to_numpy()):
            cell = str(cells.iloc[row])
            faults.add(
                f"{cell!r} is not a number", _remedy_of_text(cell, "Give a number."), row=int(row), column=column
            )


def note_row_faults(found: Iterable[RowFault], raw: pd.DataFrame, faults: FrameFaults) -> None:
    """Note what the effect measures found, with the cells as the file has them.

    A column that is not there at all is one fault, not one in every row.
    """
    absent: dict[str, str] = {}
    for fault in found:
        columns = [name.strip() for name in fault.column.split(",")]
        lacking = [name for name in columns if name not in raw.columns]
        if lacking:
            absent.update(dict.fromkeys(lacking, fault.remedy))
            continue
        cell = raw[columns[0]].iloc[fault.row]
        if pd.isna(cell):
            faults.add("the cell is empty", fault.remedy, row=fault.row, column=fault.column)
        elif isinstance(cell, str):
            remedy = _remedy_of_text(cell, fault.remedy)
            faults.add(f"{cell!r} {fault.rule}", remedy, row=fault.row, column=fault.column)
        else:
            faults.add(f"{cell:g} {fault.rule}", fault.remedy, row=fault.row, column=fault.column)
    for name, remedy in absent.items():
        faults.missing_column(name, raw, remedy)


def map_columns(
    frame: pd.DataFrame,
    columns: Mapping[str, str],
    constants: Mapping[str, Any] | None = None,
    values: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Add our columns beside the file's.

    Parameters
    ----------
    frame : pandas.DataFrame
        A table.
    columns : mapping
        Our name to the file's.
    constants : mapping, optional
        Our name to one value for all rows.
    values : mapping, optional
        Column to a mapping of the file's values to ours; every value that stands there must be in it.

    Returns
    -------
    pandas.DataFrame
        A new table; ``attrs["columns"]`` remembers the names, so that faults name the file's columns.

    Raises
    ------
    DataError
        If a column is not there, a name is taken, or a value has no translation; all are listed.

    Examples
    --------
    >>> table = pd.DataFrame({"trial": ["A"], "aim": ["up"]})
    >>> map_columns(table, {"study": "trial", "coded_better": "aim"}, values={"coded_better": {"up": "higher"}})
      trial aim study coded_better
    0     A  up     A       higher
    """
    columns = {ours.casefold() if ours.casefold() in _STANDARD else ours: name for ours, name in columns.items()}
    # a header may be in another case: "Study", "Mean_T"; one letter alone may mean anything
    alike = {str(name).casefold(): str(name) for name in reversed(frame.columns)}
    unmapped = sorted(_STANDARD - {*frame.columns, *columns, *(constants or ())})
    columns |= {name: alike[name] for name in unmapped if len(name) > 1 and name in alike}
    if not (columns or constants or values):
        return frame
    faults = FrameFaults(frame)
    new: dict[str, Any] = {}
    columns = {
        ours: name if name in frame.columns else alike.get(name.casefold(), name) for ours, name in columns.items()
    }
    for ours, theirs in columns.items():
        if theirs not in frame.columns:
            faults.missing_column(theirs, frame)
        elif ours in frame.columns and ours != theirs:
            faults.add(f"{ours!r} is mapped to {theirs!r}, but there is a column {ours!r} too", "Rename one of them.")
        else:
            new[ours] = frame[theirs]
    for ours, value in (constants or {}).items():
        if ours in frame.columns or ours in columns:
            faults.add(f"{ours!r} is a constant, but there is a column {ours!r} too", "Remove one of them.")
        else:
            new[ours] = pd.Series([value] * len(frame), index=frame.index)
    for ours, translation in (values or {}).items():
        if (column := new.get(ours, frame.get(ours))) is None:
            if ours not in columns:
                faults.missing_column(ours, frame)
            continue
        for value in column.dropna().unique():
            if value not in translation:
                faults.add(
                    f"column {columns.get(ours, ours)}: {value!r} has no translation",
                    f"Add it under [data.values.{ours}]. Translated: {_listed(translation)}.",
                )
        new[ours] = column.map(translation)
    faults.raise_if_any()
    mapped = frame.assign(**new)
    mapped.attrs = {**frame.attrs, "columns": {**frame.attrs.get("columns", {}), **columns}}
    return mapped


def match_rows(
    frame: pd.DataFrame, where: Mapping[str, Any], faults: FrameFaults, context: str, *, must: bool = True
) -> NDArray[np.bool_]:
    """Find the rows whose columns hold the values of a filter.

    Notes a fault for a column or a value that is not there, and (if ``must``) for a filter that no row passes.
    """
    chosen = np.ones(len(frame), dtype=bool)
    known = True
    for name, wanted in where.items():
        if name not in frame.columns:
            faults.missing_column(name, frame)
            known = False
            continue
        column = frame[name]
        passed = np.zeros(len(frame), dtype=bool)
        for value in wanted if isinstance(wanted, (tuple, list)) else (wanted,):
            equal = column == value
            same = (equal if equal.dtype == bool else equal.fillna(False)).to_numpy(dtype=bool)
            if not same.any():
                levels = sorted(map(str, column.dropna().unique()))
                near = difflib.get_close_matches(str(value), levels, n=1)
                hint = f"Did you mean {near[0]!r}? " if near else ""
                faults.add(f"{context}: no row has {name} = {value!r}", f"{hint}Values: {_listed(levels)}.")
                known = False
            passed |= same
        chosen &= passed
    if must and known and not chosen.any():
        shown = ", ".join(f"{name} = {value!r}" for name, value in where.items())
        faults.add(f"{context}: no row has all of {shown}", "Correct the filter.")
    return chosen
