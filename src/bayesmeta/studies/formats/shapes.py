"""Tables of other shapes to one row per comparison, as a protocol declares them; where each cell came from is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bayesmeta.errors import DataError, Fault, pick
from bayesmeta.plan import ARM_STEMS, ArmColumns, LongTable, TableShape
from bayesmeta.studies.cells import is_missing
from bayesmeta.studies.formats.sheet import Places, Sheet

__all__ = ["reshaped"]

_TOGETHER = ("outcome", "horizon")


@dataclass(slots=True)
class _Made:
    """A table in the making: its cells by name, and the place in the file of each."""

    sheet: Sheet
    header: list[str]
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    places: dict[tuple[int, str], str] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    dates: dict[str, dict[int, str]] = field(default_factory=dict)
    percents: dict[str, dict[int, str]] = field(default_factory=dict)

    def take(self, number: int, name: str, row: int, column: str, cell: str) -> None:
        """Put the cell of a row and column of the file into a row and column of the table."""
        self.rows[-1][1][name] = cell
        self.places[number, name] = (self.sheet.places or Places()).cell(row, column)
        for held, kept in ((self.sheet.dates, self.dates), (self.sheet.percents, self.percents)):
            if row in held.get(column, {}):
                kept.setdefault(name, {})[number] = held[column][row]

    def begin(self, number: int, row: int, words: str, *notes: str) -> None:
        self.rows.append((number, {}))
        self.words[number] = f"{(self.sheet.places or Places()).row(row)}{words}"
        self.notes[number] = (*self.sheet.row_notes.get(row, ()), *notes)

    def done(self, note: str) -> Sheet:
        header = tuple(dict.fromkeys(self.header))
        return replace(
            self.sheet,
            header=header,
            rows=tuple((n, tuple(cells.get(name, "") for name in header)) for n, cells in self.rows),
            places=Places((self.sheet.places or Places()).sheet, rows=self.words, cells=self.places),
            notes=(*self.sheet.notes, note),
            row_notes=self.notes,
            dates=self.dates,
            made_dates={},
            percents=self.percents,
        )


def reshaped(
    sheet: Sheet, shape: TableShape, columns: Mapping[str, str], plain: Callable[[str], str]
) -> tuple[Sheet, dict[str, str]]:
    """Make one row per comparison of a table of another shape.

    Parameters
    ----------
    sheet : Sheet
    shape : TableShape
        What is declared.
    columns : mapping of str to str
        Our name of a column to the file's.
    plain : callable
        Writes the name of a column so that case and separators do not matter.

    Returns
    -------
    sheet : Sheet
    columns : dict of str to str
        Names that still are to be mapped.

    Raises
    ------
    DataError
        If a column is not there, an arm is not named, or a trial has no control or several.
    """
    found = _Finder(sheet, columns, plain)
    if shape.wide:
        sheet = _per_outcome(sheet, shape.wide, found)
        found = _Finder(sheet, columns, plain)
    used: set[str] = set()
    if shape.long is not None:
        sheet, used = _per_arm(sheet, shape.long, found)
    elif shape.arms:
        sheet = _several_arms(sheet, shape.arms, found)
    left = {ours: theirs for ours, theirs in columns.items() if ours not in used}
    return sheet, left


class _Finder:
    """Columns of a table by our names or the file's."""

    def __init__(self, sheet: Sheet, columns: Mapping[str, str], plain: Callable[[str], str]) -> None:
        self.sheet, self.columns = sheet, columns
        self.alike = {plain(name): name for name in reversed(sheet.header) if name}
        self.plain = plain

    def get(self, name: str) -> str | None:
        """The file's name of a column; None if there is none."""
        wanted = self.columns.get(name, name)
        return wanted if wanted in self.sheet.header else self.alike.get(self.plain(wanted))

    def must(self, name: str, why: str) -> str:
        """The same, which must be there."""
        found = self.get(name)
        if found is None:
            what = f"there is no column {self.columns.get(name, name)!r}, which {why}"
            raise DataError([Fault(self.sheet.source, what, pick(name, [n for n in self.sheet.header if n]))])
        return found

    def cells(self, values: Sequence[str]) -> dict[str, str]:
        return dict(zip(self.sheet.header, values, strict=True))


def _per_outcome(sheet: Sheet, groups: Sequence[tuple[str, tuple[tuple[str, str], ...]]], found: _Finder) -> Sheet:
    named = {
        outcome: {ours: found.must(theirs, f"data.wide.{outcome} names") for ours, theirs in pairs}
        for outcome, pairs in groups
    }
    grouped = {theirs for pairs in named.values() for theirs in pairs.values()}
    shared = [name for name in sheet.header if name and name not in grouped]
    if "outcome" in shared:
        what = "there is a column 'outcome', and data.wide makes one"
        raise DataError([Fault(sheet.source, what, "Rename it, or declare the outcomes in one way.")])
    ours = list(dict.fromkeys(name for pairs in named.values() for name in pairs))
    made = _Made(sheet, [*shared, "outcome", *ours])
    number, empty = 1, []
    study, places = found.get("study"), sheet.places or Places()
    for row, values in sheet.rows:
        cells = found.cells(values)
        filled = {outcome: pairs for outcome, pairs in named.items() if _filled(cells, pairs.values())}
        if not filled:
            empty.append(places.row(row) + (f" ({cells[study]})" if study and cells[study] else ""))
        for outcome, pairs in filled.items():
            number += 1
            made.begin(number, row, f" ({outcome})", f"from the columns of {outcome}")
            for name in shared:
                made.take(number, name, row, name, cells[name])
            made.rows[-1][1]["outcome"] = outcome
            for name, theirs in pairs.items():
                made.take(number, name, row, theirs, cells[theirs])
    sheet = made.done(f"one row per outcome, of {len(named)} groups of columns: {', '.join(named)}")
    if not empty:
        return sheet
    return replace(sheet, notes=(*sheet.notes, f"no outcome has a number there, not read: {', '.join(empty)}"))


def _filled(cells: Mapping[str, str], names: Iterable[str]) -> bool:
    """Whether one of these cells holds anything."""
    return not all(is_missing(cells[name]) for name in names)


def _one(text: str) -> str:
    return " ".join(text.casefold().split())


def _per_arm(sheet: Sheet, long: LongTable, found: _Finder) -> tuple[Sheet, set[str]]:
    arm = found.must(long.arm, "data.long names as that of the arms")
    study = found.must("study", "names the trial")
    by = [found.must(name, "data.long.by names") for name in long.by] or [
        column for name in _TOGETHER if (column := found.get(name)) is not None
    ]
    stems = {stem: column for stem in ARM_STEMS if (column := found.get(stem)) is not None}
    if not stems:
        what = "no column holds what is known of an arm"
        raise DataError([Fault(sheet.source, what, f"Name them, or map them under columns: {', '.join(ARM_STEMS)}.")])
    controls = {_one(name) for name in long.control}
    shared = [name for name in sheet.header if name and name not in {arm, *stems.values()}]
    made = _Made(sheet, [*shared, "arm_t", "arm_c", *(f"{stem}_{a}" for stem in stems for a in "tc")])
    places = sheet.places or Places()
    faults: list[Fault] = []
    groups: dict[tuple[str, ...], list[tuple[int, dict[str, str]]]] = {}
    for row, values in sheet.rows:
        cells = found.cells(values)
        for column, remedy in ((study, "Name the trial."), (arm, "Name the arm.")):
            if is_missing(cells[column]):
                faults.append(Fault(f"{sheet.source} {places.cell(row, column)}", "the cell is empty", remedy))
        groups.setdefault(tuple(_one(cells[name]) for name in (study, *by)), []).append((row, cells))
    for rows in groups.values():
        first, head = rows[0]
        where = f"{sheet.source} {places.row(first)} ({head[study]})"
        held = [(row, cells) for row, cells in rows if _one(cells[arm]) in controls]
        listed = ", ".join(dict.fromkeys(cells[arm] for _, cells in rows))
        if len(held) != 1 or len(rows) < 2:
            what = f"of its arms ({listed}) {len(held)} are controls; one is needed, and another arm beside it"
            remedy = "Name the control arms under data.long.control, and what tells its rows apart under data.long.by."
            faults.append(Fault(where, what, remedy))
            continue
        (base, control) = held[0]
        for row, cells in rows:
            if row == base:
                continue
            made.begin(row, row, "", f"from the rows of two arms: {cells[arm]} against {control[arm]}")
            for name in shared:
                made.take(row, name, row, name, cells[name])
            made.take(row, "arm_t", row, arm, cells[arm])
            made.take(row, "arm_c", base, arm, control[arm])
            for stem, column in stems.items():
                made.take(row, f"{stem}_t", row, column, cells[column])
                made.take(row, f"{stem}_c", base, column, control[column])
    if faults:
        raise DataError(faults)
    note = f"one row per arm: {len(made.rows)} comparisons with {', '.join(long.control)}"
    return made.done(note), {*stems, "arm_t", "arm_c"}


def _several_arms(sheet: Sheet, arms: Sequence[ArmColumns], found: _Finder) -> Sheet:
    named = [
        {stem: found.must(theirs, f"data.arms ({item.arm}) names") for stem, theirs in item.columns} for item in arms
    ]
    base = next(i for i, item in enumerate(arms) if item.control)
    heads = [found.get(item.arm) for item in arms]
    taken = {theirs for pairs in named for theirs in pairs.values()} | {name for name in heads if name}
    shared = [name for name in sheet.header if name and name not in taken]
    stems = list(dict.fromkeys(stem for pairs in named for stem in pairs))
    made = _Made(sheet, [*shared, "arm_t", "arm_c", *(f"{stem}_{a}" for stem in stems for a in "tc")])
    places = sheet.places or Places()
    number, faults = 1, []
    for row, values in sheet.rows:
        cells = found.cells(values)
        filled = [_filled(cells, pairs.values()) for pairs in named]
        others = [i for i in range(len(arms)) if filled[i] and i != base]
        if not filled[base] or not others:
            what = "the control arm is empty" if not filled[base] else "only the control arm is filled"
            faults.append(Fault(f"{sheet.source} {places.row(row)}", what, "Fill both arms, or take the row away."))
            continue
        names = [item.arm if head is None else cells[head] for item, head in zip(arms, heads, strict=True)]
        for i in others:
            number += 1
            made.begin(number, row, f" ({names[i]})", f"from a row of several arms: {names[i]} against {names[base]}")
            for name in shared:
                made.take(number, name, row, name, cells[name])
            for letter, which in (("t", i), ("c", base)):
                made.rows[-1][1][f"arm_{letter}"] = names[which]
                if (head := heads[which]) is not None:
                    made.take(number, f"arm_{letter}", row, head, cells[head])
                for stem, theirs in named[which].items():
                    made.take(number, f"{stem}_{letter}", row, theirs, cells[theirs])
    if faults:
        raise DataError(faults)
    return made.done(f"several arms in a row: {len(made.rows)} comparisons with {arms[base].arm}")
