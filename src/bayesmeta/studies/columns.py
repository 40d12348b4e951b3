"""Names of columns, filters over rows, and where a fault stands in the file."""

from __future__ import annotations

import copy
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.boundary import as_names, as_numbers
from bayesmeta.errors import DataError, Fault
from bayesmeta.measures import RowFault
from bayesmeta.plan import ARM_STEMS
from bayesmeta.studies.cells import (
    PACKED_COLUMNS,
    ambiguous_counts,
    is_missing,
    merge_spellings,
    one_spelling,
    split_cells,
)
from bayesmeta.studies.formats.sheet import address

__all__ = [
    "NUMBER_COLUMNS",
    "STANDARD_COLUMNS",
    "TEXT_COLUMNS",
    "FrameFaults",
    "date_faults",
    "map_columns",
    "match_rows",
    "note_row_faults",
    "note_text_cells",
    "number_columns",
    "numbers_of",
    "plain_name",
]

#: Columns that hold what a row found, where a table has them (`number_columns`).
NUMBER_COLUMNS = frozenset(
    [f"{stem}_{arm}" for stem in ARM_STEMS for arm in "tc"]
    + ["estimate", "se", "var", "ci_low", "ci_high", "t", "p", "df", "md", "r", "n", "correlation"]
    + ["d", "g", "f", "f_df", "sign", "sd", "adjusted_difference", "r_squared", "covariates", "sd_residual"]
    + ["events", "time", "mean"]
    + ["icc", "cluster_size", "cluster_size_t", "cluster_size_c", "design_effect"]
)
#: Columns that stay text even where every cell looks like a number.
TEXT_COLUMNS = frozenset(
    {"study", "outcome", "horizon", "arm_t", "arm_c", "coded_better", "cluster"}
    | {"design", "clustering", "estimate_measure"}
)
#: Columns of numbers that papers fill with words too ("< 0.001", "+"), which what reads them judges.
_WORDED = {"p", "sign"}
#: Columns that mean something by their names.
STANDARD_COLUMNS = NUMBER_COLUMNS | TEXT_COLUMNS | PACKED_COLUMNS
_SHOWN = 12


def _listed(names: Iterable[Any]) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:_SHOWN]) + (f", ... ({len(texts)} in all)" if len(texts) > _SHOWN else "")


def number_columns(frame: pd.DataFrame) -> frozenset[str]:
    """Columns of a table that hold what a row found, by our names; every other column may distinguish rows.

    A column ``time`` is person-time beside ``events``; without them it says when a row was measured.
    """
    held = NUMBER_COLUMNS if "events" in frame.columns else NUMBER_COLUMNS - {"time"}
    return frozenset(held & set(map(str, frame.columns)))


def plain_name(name: str) -> str:
    """Write the name of a column so that case, spaces and separators do not matter."""
    return re.sub(r"[\s_.-]+", "", name.casefold())


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
        name = None if column is None else self.theirs.get(column, column)
        where = address({**self.attrs, "source": self.source}, None if row is None else self.index[row], name)
        self.found.append(Fault(where, what, remedy))

    def copy(self) -> FrameFaults:
        """The same faults, to which others can be added."""
        same = copy.copy(self)
        same.found = list(self.found)
        return same

    def missing_column(self, column: str, frame: pd.DataFrame, remedy: str = "") -> None:
        """Note that a column is not there, with the nearest name."""
        # a column that has a meaning of its own is not a misspelling of another
        plain = {plain_name(str(name)): str(name) for name in frame.columns if name not in STANDARD_COLUMNS}
        near = difflib.get_close_matches(plain_name(column), plain, n=1, cutoff=0.6)
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
    for column in sorted(number_columns(frame) - _WORDED):
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


def _require_plain(frame: pd.DataFrame, ours: Mapping[str, str]) -> None:
    """Refuse what no file holds: columns of one name, and truth values or dates as numbers or names."""
    faults: list[Fault] = []
    source = frame.attrs.get("source", "table")
    for name, number in Counter(map(str, frame.columns)).items():
        if number > 1:
            faults.append(Fault(source, f"{number} columns are named {name!r}", "Rename all but one."))
    faults_of = {} if faults else {str(name): frame[name] for name in frame.columns}
    for name, column in faults_of.items():
        # files give floats and texts
        if column.dtype.kind in "iuf" or isinstance(column.dtype, pd.StringDtype):
            continue
        place, plain = f"{source}, column {name}", ours.get(name, name).casefold()
        try:
            if plain in NUMBER_COLUMNS:
                as_numbers(place, [None if isinstance(cell, str) else cell for cell in column])
            elif plain in TEXT_COLUMNS:
                as_names(place, ["empty" if empty else cell for cell, empty in zip(column, column.isna(), strict=True)])
        except DataError as error:
            faults.extend(error.faults)
    if faults:
        raise DataError(faults)


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
    _require_plain(frame, {name: ours for ours, name in columns.items()})
    # what was made of columns when the shape of the table was changed
    consumed = frame.attrs.get("consumed", ())
    columns = {
        ours.casefold() if ours.casefold() in STANDARD_COLUMNS else ours: name
        for ours, name in columns.items()
        if ours not in consumed
    }
    # case and spaces of a header do not matter: "Study", "Mean T"; one letter alone may mean anything
    alike = {plain_name(str(name)): str(name) for name in reversed(frame.columns)}
    unmapped = sorted(STANDARD_COLUMNS - {*frame.columns, *columns, *(constants or ())})
    columns |= {name: alike[plain_name(name)] for name in unmapped if len(name) > 1 and plain_name(name) in alike}
    columns |= _spelled(frame, {*columns, *(constants or ())}, set(columns.values()))
    columns = {
        ours: name if name in frame.columns else alike.get(plain_name(name), name) for ours, name in columns.items()
    }
    frame = _levels_in_one_spelling(frame, columns)
    if not (columns or constants or values):
        return _numbers_apart(frame, columns)
    faults = FrameFaults(frame)
    new: dict[str, Any] = {}
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
        # case and spaces of a value do not matter
        spelled = {one_spelling(str(value)): new_value for value, new_value in translation.items()}
        extra = {x: spelled[one_spelling(x)] for x in column.dropna().unique() if one_spelling(str(x)) in spelled}
        translation = {**extra, **translation}
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
    return _numbers_apart(mapped, columns)


def _levels_in_one_spelling(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Levels that differ in case and spaces alone are one level; names of trials are left as they are."""
    new, merged = merge_spellings(frame, {"study", columns.get("study", "study"), "note"})
    if merged:
        new.attrs = {**frame.attrs, "merged": (*frame.attrs.get("merged", ()), *merged)}
    return new


def _spelled(frame: pd.DataFrame, taken: set[str], used: set[str]) -> dict[str, str]:
    """Columns whose names another program has given, where nothing else is said of them."""
    return {
        ours: theirs
        for ours, theirs in frame.attrs.get("spelled", {}).items()
        if ours not in taken and ours not in frame.columns and theirs in frame.columns and theirs not in used
    }


def date_faults(attrs: Mapping[Any, Any], column: str, dates: Mapping[Any, str]) -> list[Fault]:
    """Return a fault for every cell of a column that holds a date.

    Examples
    --------
    >>> fault, = date_faults({"source": "trials.csv"}, "n_t", {4: "2026-04-03"})
    >>> str(fault).partition(". ")[0]
    'trials.csv row 4, column n_t: it holds the date 2026-04-03; spreadsheets make a date of texts such as 3-4'
    """
    what = "spreadsheets make a date of texts such as 3-4"
    remedy = "Format the cell as text or number, and type its content again."
    return [
        Fault(address(attrs, row, column), f"it holds the date {date}; {what}", remedy) for row, date in dates.items()
    ]


def _numbers_apart(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Counts that can be read in two ways are faults; cells with several numbers become several cells."""
    faults = FrameFaults(frame)
    theirs = {name: columns.get(name, name) for name in map(str, frame.columns)}
    faults.found += ambiguous_counts(frame.attrs.get("grouped", {}), theirs, {**faults.attrs, "source": faults.source})
    for ours in sorted(STANDARD_COLUMNS & theirs.keys()):
        faults.found += date_faults(faults.attrs, theirs[ours], frame.attrs.get("dates", {}).get(theirs[ours], {}))
    emptied = {
        name: frame[name].map(lambda cell: None if isinstance(cell, str) and is_missing(cell.strip()) else cell)
        for name in number_columns(frame) - {"sign"}
        if isinstance(frame[name], pd.Series) and not pd.api.types.is_numeric_dtype(frame[name])
    }
    elsewhere = {name for ours, name in {**frame.attrs.get("columns", {}), **columns}.items() if ours != name}
    new, notes, wrong = split_cells(frame.assign(**emptied) if emptied else frame, elsewhere)
    for label, column, what, remedy in wrong:
        faults.add(what, remedy, row=int(np.flatnonzero(frame.index == label)[0]), column=column)
    faults.raise_if_any()
    if notes.rows:
        new.attrs = {**frame.attrs, "cells": {**frame.attrs.get("cells", {}), **notes.rows}}
    return new


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
            if not same.any() and isinstance(value, str):
                # case and spaces of a level do not matter
                same = np.array([isinstance(x, str) and one_spelling(x) == one_spelling(value) for x in column])
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
