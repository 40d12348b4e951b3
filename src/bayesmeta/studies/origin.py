"""What the reader of a file did to it: notes of rows for the ledger, findings for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bayesmeta.columns import plural
from bayesmeta.errors import Finding, warn
from bayesmeta.measures import Derivation
from bayesmeta.studies.cells import COUNT_COLUMNS
from bayesmeta.studies.columns import FrameFaults

__all__ = ["Noted", "as_read", "known_scale"]


class Noted(Sequence[Derivation]):
    """A ledger with more assumptions in some rows."""

    __slots__ = ("_ledger", "_notes")

    def __init__(self, ledger: Sequence[Derivation], notes: Sequence[tuple[str, ...]]) -> None:
        self._ledger, self._notes = ledger, notes

    def __len__(self) -> int:
        return len(self._ledger)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return tuple(self[i] for i in range(*row.indices(len(self))))
        made, notes = self._ledger[row], self._notes[row]
        return dataclasses.replace(made, assumptions=(*notes, *made.assumptions)) if notes else made

    def __iter__(self) -> Iterator[Derivation]:
        return (self[row] for row in range(len(self)))


def known_scale(options: Mapping[str, Any], faults: FrameFaults) -> dict[str, Any]:
    """Add the scale of estimates where the name of their column says it and nothing else does.

    Examples
    --------
    >>> table = pd.DataFrame({"yi": [0.1]})
    >>> table.attrs = {"spelled": {"estimate": "yi"}, "columns": {"estimate": "yi"}, "scale": "analysis"}
    >>> known_scale({}, FrameFaults(table))
    {'scale': 'analysis'}
    """
    scale, theirs = faults.attrs.get("scale"), faults.theirs.get("estimate")
    if scale is None or "scale" in options or theirs != faults.attrs.get("spelled", {}).get("estimate"):
        return dict(options)
    return {**options, "scale": scale}


def as_read(part: pd.DataFrame, faults: FrameFaults) -> tuple[list[tuple[str, ...]], list[Finding]]:
    """Say what was done to a file: a note per row, and what someone should look at.

    Parameters
    ----------
    part : pandas.DataFrame
        Rows of one outcome.
    faults : FrameFaults
        Of the table, with what it carries.
    """
    attrs = faults.attrs
    notes = [list(attrs.get("made", {}).get(label, ())) for label in part.index]
    findings = [Finding("file read as", "info", text, "Check it against the file.") for text in attrs.get("notes", ())]
    findings += [
        Finding("hidden cells read", "warning", text, "Show them, or take away what does not belong to the table.")
        for text in attrs.get("warnings", ())
    ]
    ours = {theirs: name for name, theirs in faults.theirs.items()}
    places = {label: place for place, label in enumerate(part.index)}
    for theirs, shown in attrs.get("percents", {}).items():
        rows = [label for label in shown if label in places]
        for label in rows:
            notes[places[label]].append(f"{theirs}: the cell shows {shown[label]}, read as {part[theirs].loc[label]}")
        if not rows:
            continue
        counted = ours.get(theirs, theirs) in COUNT_COLUMNS
        what = f"{plural(len(rows), 'cell')} of {theirs} {'is' if len(rows) == 1 else 'are'} shown in percent: "
        what += f"{shown[rows[0]]} is read as {part[theirs].loc[rows[0]]}"
        remedy = "Give the number of people." if counted else "Check that proportions are meant."
        findings.append(Finding("percent cells", "warning" if counted else "info", what, remedy))
        if counted:
            warn(f"{faults.source}: {what}. {remedy}")
    return [tuple(row) for row in notes], findings
