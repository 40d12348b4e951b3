"""Rows of a table: which are used, what is assumed of them, which way they point, what moderates them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.measures import signs_of
from bayesmeta.model import MissingLevels, MissingNumeric
from bayesmeta.studies.cells import PACKED_COLUMNS
from bayesmeta.studies.columns import FrameFaults, match_rows, number_columns, numbers_of

if TYPE_CHECKING:
    from bayesmeta.plan import Assumption, Outcome

__all__ = [
    "RowRecord",
    "align_rows",
    "assume_cells",
    "check_structure",
    "moderator_columns",
    "records_of",
    "row_numbers",
    "rows_alike",
]

_REVERSIBLE_MEASURES = ("MD", "SMD", "SMDH", "ZCOR", "generic")
_NEGATED = ("mean", "mean_change", "mean_pre", "mean_post", "median")
_NEGATED_ROW = ("estimate", "md", "t", "r", "d", "g", "adjusted_difference")
_SWAPPED = (
    ("ci_low", "ci_high"),
    ("ci_low_t", "ci_high_t"),
    ("ci_low_c", "ci_high_c"),
    ("ci_low_change_t", "ci_high_change_t"),
    ("ci_low_change_c", "ci_high_change_c"),
    ("q1_t", "q3_t"),
    ("q1_c", "q3_c"),
    ("low_t", "high_t"),
    ("low_c", "high_c"),
)
_NOT_REPORTED = "not reported"


@dataclass(frozen=True, slots=True)
class RowRecord:
    """A row that was left out, filled or reversed in sign: its number in the file, its trial, and why."""

    row: int
    study: str
    reason: str


def row_numbers(frame: pd.DataFrame) -> list[int]:
    """Return the file's row numbers, or positions where the index is not made of numbers."""
    if pd.api.types.is_integer_dtype(frame.index.dtype):
        return [int(row) for row in frame.index]
    return list(range(len(frame)))


def records_of(frame: pd.DataFrame, rows: NDArray[np.bool_], reason: str) -> list[RowRecord]:
    """Record the rows of a mask, each with the reason."""
    numbers, studies = row_numbers(frame), frame["study"].tolist()
    return [RowRecord(numbers[i], str(studies[i]), reason) for i in np.flatnonzero(rows)]


def assume_cells(
    frame: pd.DataFrame, assume: Sequence[Assumption], faults: FrameFaults
) -> tuple[pd.DataFrame, list[RowRecord]]:
    """Fill cells as the protocol says; only empty ones, since a filled one is the file's to correct."""
    records: list[RowRecord] = []
    for number, item in enumerate(assume):
        rows = match_rows(frame, item.where, faults, f"assume[{number}]")
        for name, value in item.set.items():
            if name not in frame.columns:
                faults.missing_column(name, frame)
                continue
            column = frame[name].copy()
            for i in np.flatnonzero(rows & frame[name].notna().to_numpy()):
                held = f"the cell holds {frame[name].iloc[i]!r}; an assumption fills empty cells only"
                faults.add(held, "Correct the file instead, or remove the assumption.", row=int(i), column=name)
            try:
                column[rows & frame[name].isna().to_numpy()] = value
            except TypeError:
                faults.add(f"assume[{number}]: {value!r} does not fit column {name!r}", "Give a value of its kind.")
            frame = frame.assign(**{name: column})
            records += records_of(frame, rows, f"{name} = {value!r} assumed: {item.reason}")
    return frame, records


def check_structure(frame: pd.DataFrame, outcome: Outcome, faults: FrameFaults, duplicate: NDArray[np.bool_]) -> None:
    """Look for faults that concern every row, whichever outcome is asked for.

    Parameters
    ----------
    duplicate : array of bool
        Rows that `rows_alike` found in the table or in one of which it is a part.
    """
    for item in outcome.model.moderators:
        if item.reference is not None and item.name in frame.columns:
            match_rows(frame, {item.name: item.reference}, faults, f"reference of moderator {item.name}")
    for i in np.flatnonzero(frame["study"].isna().to_numpy()):
        faults.add("the cell is empty", "Name the trial.", row=int(i), column="study")
    if "coded_better" in frame.columns:
        coded = frame["coded_better"]
        unknown = ~coded.isin(["lower", "higher"]).to_numpy()
        missing = unknown & coded.isna().to_numpy() if unknown.any() else unknown
        for i in np.flatnonzero(unknown & ~missing):
            faults.add(
                f"{coded.iloc[i]!r} is not lower or higher",
                "Write which direction of the stored numbers is better.",
                row=int(i),
                column="coded_better",
            )
        for i in np.flatnonzero(missing):
            faults.add(
                "the cell is empty: the direction of the scale is not known",
                "State it in the file, or list the row under assume or exclude in [data], with a reason.",
                row=int(i),
                column="coded_better",
            )
    if duplicate.any():
        _note_duplicates(frame, faults)


def _identifying(frame: pd.DataFrame, faults: FrameFaults) -> list[str]:
    """Columns that can tell rows apart."""
    held = number_columns(frame) | PACKED_COLUMNS
    numbers = held | {faults.theirs[name] for name in held if name in faults.theirs}
    return [name for name in frame.columns if name not in numbers and name != "note"]


def rows_alike(frame: pd.DataFrame, faults: FrameFaults) -> NDArray[np.bool_]:
    """Find rows that no column tells from all others."""
    return frame.duplicated(_identifying(frame, faults), keep=False).to_numpy()


def _note_duplicates(frame: pd.DataFrame, faults: FrameFaults) -> None:
    identifying = _identifying(frame, faults)
    candidates = frame[rows_alike(frame, faults)]
    equal = candidates.duplicated(keep=False).to_numpy()
    for part, what, remedy in (
        (candidates[equal], "all their columns are equal", "Remove all but one."),
        (
            candidates[~equal],
            "one trial, and every column that could tell them apart is equal, but not their numbers",
            "Correct or exclude one, or add a column that tells them apart (outcome, horizon, arm_t, arm_c, ...).",
        ),
    ):
        for _, group in part.groupby(identifying, dropna=False, sort=False):
            shown = ", ".join(str(row) for row in group.index)
            faults.add(f"rows {shown} ({group['study'].iloc[0]}): {what}", remedy)


def align_rows(frame: pd.DataFrame, outcome: Outcome, faults: FrameFaults) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Multiply by -1 what is coded in the other direction than the outcome's, before anything is computed."""
    reversed_rows = np.zeros(len(frame), dtype=bool)
    if "coded_better" not in frame.columns:
        return frame, reversed_rows
    coded = frame["coded_better"]
    if outcome.selection.better is None:
        if len(coded.dropna().unique()) > 1:
            faults.add(
                "rows are coded in both directions, and the outcome does not say which is better",
                'State better = "lower" or "higher".',
                column="coded_better",
            )
        return frame, reversed_rows
    reversed_rows = (coded.notna() & (coded != outcome.selection.better)).to_numpy(dtype=bool)
    if not reversed_rows.any():
        return frame, reversed_rows
    if outcome.selection.measure not in _REVERSIBLE_MEASURES:
        for i in np.flatnonzero(reversed_rows):
            faults.add(
                f"coded {coded.iloc[i]!r}, but {outcome.selection.better} is better: "
                f"{outcome.selection.measure} cannot be reversed by a sign",
                "Recode the row (events that are bad, or the inverse ratio).",
                row=int(i),
                column="coded_better",
            )
        return frame, reversed_rows
    if "estimate_measure" in frame.columns:
        ratios = frame["estimate_measure"].astype("str").str.strip().str.casefold().eq("or").to_numpy(dtype=bool)
        for i in np.flatnonzero(reversed_rows & ratios):
            faults.add(
                f"coded {coded.iloc[i]!r}, but {outcome.selection.better} is better: an odds ratio cannot be reversed "
                "by a sign",
                "Recode the row (the inverse ratio).",
                row=int(i),
                column="coded_better",
            )
    new: dict[str, Any] = {}
    if "sign" in frame.columns:
        signs, broken = signs_of(frame["sign"])
        # a cell that is no sign is a fault of its own, and is kept for it
        if not broken:
            new["sign"] = np.where(reversed_rows, 0.0 - signs, signs)
    for name in [f"{stem}_{arm}" for stem in _NEGATED for arm in "tc"] + list(_NEGATED_ROW):
        if name in frame.columns and pd.api.types.is_numeric_dtype(frame[name]):
            # 0 - x, not -x: no negative zeros
            new[name] = frame[name].where(~reversed_rows, 0.0 - frame[name])
    for low, high in _SWAPPED:
        pair = [frame[name] for name in (low, high) if name in frame.columns]
        if len(pair) == 2 and all(pd.api.types.is_numeric_dtype(column) for column in pair):
            new[low] = pair[0].where(~reversed_rows, 0.0 - pair[1])
            new[high] = pair[1].where(~reversed_rows, 0.0 - pair[0])
    aligned = frame.assign(**new)
    aligned.attrs = frame.attrs
    return aligned, reversed_rows


def _moderator(frame: pd.DataFrame, name: str, kind: str | None, faults: FrameFaults) -> NDArray[Any] | None:
    """Values of one moderator: floats where numeric, text where categorical; None where a fault stands in the way."""
    if name not in frame.columns:
        faults.missing_column(name, frame)
        return None
    column = frame[name]
    numbers = numbers_of(frame, name)
    filled = column.notna().to_numpy()
    is_number = np.isfinite(numbers)
    if kind != "categorical" and (kind == "numeric" or is_number.any()):
        for i in np.flatnonzero(filled & ~is_number):
            remedy = "Correct it" + (', or state kind = "categorical".' if kind is None else ".")
            faults.add(
                f"{column.iloc[i]!r} is not a number, as other rows of this moderator are"
                if kind is None
                else f"{column.iloc[i]!r} is not a number",
                remedy,
                row=int(i),
                column=name,
            )
        return None if (filled & ~is_number).any() else numbers
    values = column.astype(object).to_numpy()
    texts = [f"{v:g}" if isinstance(v, float) and math.isfinite(v) else v for v in values]
    return np.array([text if seen else None for text, seen in zip(texts, filled, strict=True)], dtype=object)


def moderator_columns(frame: pd.DataFrame, outcome: Outcome, faults: FrameFaults) -> dict[str, NDArray[Any]]:
    """Return the values of moderators and subgroups by name; what may not be empty is a fault.

    Rows without a value stay: with ``missing = "exclude"`` the moderated analysis alone is made without them.
    """
    columns: dict[str, NDArray[Any]] = {}
    for item in outcome.model.moderators:
        if (values := _moderator(frame, item.name, item.kind, faults)) is not None:
            columns[item.name] = values
    for name in outcome.selection.subgroups:
        if name not in columns and (values := _moderator(frame, name, "categorical", faults)) is not None:
            columns[name] = values
    entering = {item.name for item in outcome.model.moderators}
    for name, values in columns.items():
        empty = pd.isna(values)
        if not empty.any() or outcome.selection.missing == "exclude":
            continue
        if outcome.selection.missing == "level" and values.dtype == object:
            columns[name] = np.where(empty, _NOT_REPORTED, values)
        elif outcome.selection.missing == "impute":
            # a subgroup is of the rows that state it; only a moderator of the model is drawn
            if name in entering:
                _check_population(name, values, empty, outcome, faults)
        else:
            for i in np.flatnonzero(empty):
                remedy = (
                    'Fill it, exclude the row, or state missing = "exclude" (from the moderated analysis alone; '
                    '"level" for categories, "impute" to draw moderators from a stated population).'
                )
                faults.add("the cell is empty", remedy, row=int(i), column=name)
    return columns


def _check_population(
    name: str, values: NDArray[Any], empty: NDArray[np.bool_], outcome: Outcome, faults: FrameFaults
) -> None:
    """Note what stands in the way of imputing a moderator."""
    population, numeric = outcome.model.impute.get(name), values.dtype != object
    table = f"[outcome.{outcome.key}.impute.{name}]"
    if empty.all():
        faults.add("no row states it, so nothing can be learned of it", "Leave the moderator out.", column=name)
        return
    if population is None or isinstance(population, MissingNumeric) != numeric:
        what = f"{int(empty.sum())} of {empty.size} cells are empty, and " + (
            "nothing says what they are drawn from"
            if population is None
            else f"its population is {'categorical' if numeric else 'numeric'}, but the column is not"
        )
        example = (
            f'family = "normal" (or "lognormal"), mean = "normal({np.mean(values[~empty].astype(float)):.3g}, ...)", '
            'sd = "halfnormal(...)"'
            if numeric
            else "concentration = 1.0"
        )
        faults.add(what, f"Write {table} with {example}.", column=name)
        return
    if isinstance(population, MissingNumeric) and population.family == "lognormal":
        for i in np.flatnonzero(~empty & ~(np.where(empty, 1.0, values.astype(float)) > 0)):
            faults.add(
                f"{values[i]:g} is not > 0, and the moderator is log-normal",
                f'Correct it, or state family = "normal" in {table}.',
                row=int(i),
                column=name,
            )
    if isinstance(population, MissingLevels):
        levels = sorted(set(values[~empty].tolist()))
        for level in population.shift:
            if level not in levels:
                faults.add(
                    f"impute.{name}.shift: there is no level {level!r}", f"Levels: {', '.join(levels)}.", column=name
                )
