"""A table and the rows of it that an outcome uses: prepared once, chosen once, for everything that asks the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.errors import DataError
from bayesmeta.measures import effect_rows
from bayesmeta.measures import measure as find_measure
from bayesmeta.studies.columns import FrameFaults, map_columns, match_rows, note_row_faults, note_text_cells, plain_name
from bayesmeta.studies.selecting import (
    RowRecord,
    align_rows,
    assume_cells,
    check_structure,
    moderator_columns,
    records_of,
    row_numbers,
    rows_alike,
)

if TYPE_CHECKING:
    from bayesmeta.plan import Assumption, DataSource, Outcome

__all__ = ["PreparedTable", "SelectedRows", "choose", "chosen_once", "prepare", "prepared_once"]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedTable:
    """A table as every outcome of a protocol finds it, before anything is asked of it.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its trials named in text, its cells filled as assumed. Its attributes are kept with the faults: pandas would
        copy them with every column that is looked at.
    assumed : tuple of RowRecord
    duplicate : array of bool
        Rows that no column tells from all others.
    faults : FrameFaults
        Of the assumptions.
    """

    frame: pd.DataFrame
    assumed: tuple[RowRecord, ...]
    duplicate: NDArray[np.bool_]
    faults: FrameFaults


@dataclass(frozen=True, slots=True, eq=False)
class SelectedRows:
    """The rows that an outcome uses, before anything is computed from them.

    Parameters
    ----------
    part, raw : pandas.DataFrame
        The rows, aligned, and as the file has them.
    reversed_rows : array of bool
        Rows that were multiplied by -1.
    moderators : mapping of str to array
    excluded, assumed : tuple of RowRecord
    faults : FrameFaults
        Of the moderators and directions.
    """

    part: pd.DataFrame
    raw: pd.DataFrame
    reversed_rows: NDArray[np.bool_]
    moderators: Mapping[str, NDArray[Any]]
    excluded: tuple[RowRecord, ...]
    assumed: tuple[RowRecord, ...]
    faults: FrameFaults


def prepare(frame: pd.DataFrame, assume: Sequence[Assumption] = ()) -> PreparedTable:
    """Do what does not depend on the outcome."""
    faults = FrameFaults(frame)
    frame = frame.copy(deep=False)
    frame.attrs = {}
    if "study" not in frame.columns:
        return PreparedTable(frame, (), np.zeros(len(frame), dtype=bool), faults)
    frame, assumed = assume_cells(frame.assign(study=frame["study"].astype("str")), assume, faults)
    return PreparedTable(frame, tuple(assumed), rows_alike(frame, faults), faults)


def choose(table: PreparedTable, outcome: Outcome) -> SelectedRows:
    """Choose and align rows, in the order that the rules state; faults are raised together at the end of each stage."""
    find_measure(outcome.selection.measure)
    frame, faults = table.frame, table.faults.copy()
    if "study" not in frame.columns:
        faults.missing_column("study", frame, 'Name the trials in a column "study", or map it with columns.')
        _note_cells(frame, outcome, faults)
        faults.raise_if_any()
    frame = _named_as_asked(frame, outcome, faults)
    left_out = np.zeros(len(frame), dtype=bool)
    excluded: list[tuple[NDArray[np.bool_], str]] = []
    for number, item in enumerate(outcome.selection.exclude):
        rows = match_rows(frame, item.where, faults, f"exclude[{number}]")
        excluded.append((rows & ~left_out, item.reason))
        left_out |= rows
    if isinstance(control := outcome.selection.control, Mapping):
        match_rows(frame, {"study": tuple(control)}, faults, "control", must=False)
    faults.raise_if_any()
    chosen = match_rows(frame, outcome.selection.where, faults, "where")
    records = [r for rows, reason in excluded for r in records_of(frame, rows & chosen, reason)]
    numbers = row_numbers(frame)
    assumed_here = {numbers[i] for i in np.flatnonzero(chosen)}
    whole = frame[~left_out] if left_out.any() else frame
    faults.index = whole.index
    check_structure(whole, outcome, faults, table.duplicate & ~left_out)
    if chosen.any() and not (chosen & ~left_out).any():
        faults.add("no row is left: all rows of this outcome are excluded", "Correct where or exclude.")
    faults.raise_if_any()
    part = frame[chosen & ~left_out]
    faults.index = part.index
    moderators = moderator_columns(part, outcome, faults)
    aligned, reversed_rows = align_rows(part, outcome, faults)
    assumed = tuple(record for record in table.assumed if record.row in assumed_here)
    return SelectedRows(aligned, part, reversed_rows, moderators, tuple(records), assumed, faults)


def _named_as_asked(frame: pd.DataFrame, outcome: Outcome, faults: FrameFaults) -> pd.DataFrame:
    """Give columns the names by which the outcome asks for them: case and spaces of a header do not matter."""
    selection = outcome.selection
    asked = {*selection.where, *selection.subgroups, *(item.name for item in outcome.model.moderators)}
    asked |= {name for item in selection.exclude for name in item.where}
    asked |= {selection.cluster} if selection.cluster else set()
    alike: dict[str, list[str]] = {}
    for name in map(str, frame.columns):
        alike.setdefault(plain_name(name), []).append(name)
    found = {
        name: same[0]
        for name in asked - set(map(str, frame.columns))
        if len(same := alike.get(plain_name(name), [])) == 1
    }
    faults.theirs = {**faults.theirs, **found}
    return frame.rename(columns={theirs: ours for ours, theirs in found.items()}) if found else frame


def _note_cells(frame: pd.DataFrame, outcome: Outcome, faults: FrameFaults) -> None:
    """Note faulty cells of a table that cannot be read further, so that they need not wait for the next try."""
    options = {name: value for name, value in outcome.selection.measure_options.items() if name != "form"}
    try:
        found = effect_rows(frame, outcome.selection.measure, options=options).faults
    except DataError:
        note_text_cells(frame, faults)
        return
    note_row_faults(found, frame, faults)


# -- once for everything that asks the same ----------------------------------------------------------------------------
#
# The outcomes of a protocol and their variations read one file, and most variations use the rows that the outcome
# uses. What is kept is known by what was asked, word for word, and by the hash of the file's bytes; it leaves this
# folder only as copies. Faults are not kept: they are found anew.


@dataclass(frozen=True, slots=True)
class _Requested:
    """Words that say what is asked, and what they stand for."""

    words: str
    of: Any
    meant: Any = field(compare=False)


def prepared_once(frame: pd.DataFrame, data: DataSource) -> PreparedTable:
    """Map and `prepare` a table that was read from a protocol's file."""
    return _prepared(_Requested(repr(data), frame.attrs["sha256"], (frame, data)))


@lru_cache(maxsize=4)
def _prepared(request: _Requested) -> PreparedTable:
    frame, data = request.meant
    mapped = map_columns(frame, data.columns, data.constants, data.values)
    if data.where:
        faults = FrameFaults(mapped)
        rows = match_rows(mapped, data.where, faults, "where")
        faults.raise_if_any()
        attrs, mapped = mapped.attrs, mapped[rows]
        mapped.attrs = attrs
    return prepare(mapped, data.assume)


def chosen_once(table: PreparedTable, outcome: Outcome) -> SelectedRows:
    """`choose`, once for outcomes that are read alike."""
    return _chosen(_Requested(repr((outcome.selection, outcome.model)), table, outcome))


@lru_cache(maxsize=8)
def _chosen(request: _Requested) -> SelectedRows:
    return choose(request.of, request.meant)
