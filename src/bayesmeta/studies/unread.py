"""What a table says that nothing was computed with, and what its numbers gave reason to warn of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayesmeta.errors import Finding, warn
from bayesmeta.measures import EffectRows
from bayesmeta.plan import Outcome
from bayesmeta.studies.cells import PACKED_COLUMNS
from bayesmeta.studies.columns import TEXT_COLUMNS, FrameFaults, number_columns

__all__ = ["note_warnings", "unread_columns"]

_SHOWN = 5
#: Numbers of people, which stand in any table.
_SIZES = {"n", "n_t", "n_c"}
#: Columns for people to read, and those of other parts of the library.
_REMARKS = {"note", "notes", "year", "doi", "risk_of_bias"}


def note_warnings(
    part: pd.DataFrame, made: EffectRows, outcome: Outcome, faults: FrameFaults, findings: list[Finding]
) -> None:
    """Say aloud what the numbers of rows gave reason to look at, and which known columns no way has read."""
    names = part["study"].to_numpy(dtype=object)
    given: dict[str, np.ndarray] = {}
    for text, mask in made.warnings:
        given[text] = given.get(text, np.zeros(len(part), dtype=bool)) | mask
    for text, mask in given.items():
        where = ", ".join(
            map(str, dict.fromkeys(names[mask].tolist()).keys() if mask.sum() <= _SHOWN else names[mask][:_SHOWN])
        )
        what = f"{int(mask.sum())} of {len(part)} rows ({where}{' ...' if mask.sum() > _SHOWN else ''}): {text}"
        findings.append(Finding("numbers to check", "warning", what, "Check these rows against the trials' reports."))
        warn(f"{faults.source}: {what}.")
    filled = {str(name) for name in part.columns if part[name].notna().any()}
    idle = sorted((number_columns(part) & filled) - made.read - _SIZES - _named(outcome) - set(faults.theirs.values()))
    if idle:
        what = f"{', '.join(idle)}: known columns that {outcome.selection.measure} is not computed from"
        remedy = "Correct the measure or the columns' names, if they were meant."
        findings.append(Finding("columns not used", "warning", what, remedy))
        warn(f"{faults.source}: {what}. {remedy}")


def _named(outcome: Outcome) -> set[str]:
    """Columns that an outcome names."""
    selection, model = outcome.selection, outcome.model
    names = {*selection.where, *selection.subgroups, *(item.name for item in model.moderators)}
    for item in selection.exclude:
        names |= set(item.where)
    if selection.cluster is not None:
        names.add(selection.cluster)
    if selection.risk_of_bias is not None:
        names |= {selection.risk_of_bias.overall, *selection.risk_of_bias.domains.values()}
    return names


def unread_columns(part: pd.DataFrame, outcome: Outcome | None = None) -> tuple[str, ...]:
    """Columns of a table whose names mean nothing to an outcome, or to any."""
    theirs: Mapping[str, str] = part.attrs.get("columns", {})
    known = (
        number_columns(part)
        | TEXT_COLUMNS
        | PACKED_COLUMNS
        | _REMARKS
        | (_named(outcome) if outcome else set())
        | set(theirs.values())
        | set(theirs)
    )
    return tuple(str(name) for name in part.columns if str(name) not in known)
