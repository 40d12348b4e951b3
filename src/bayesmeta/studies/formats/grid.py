"""Cells of a sheet to a table: titles above it, headers of several rows, a row of units, what is hidden."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from bayesmeta.columns import plural
from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.formats.sheet import ExactText, Places, Sheet

__all__ = ["Cell", "Grid", "chosen_grid", "letters", "number_text", "table_of", "units_row"]

#: Rows above the first number in which a header is looked for.
_TOP = 20
_SHOWN = 10
_UNITS = frozenset(
    [
        *("n", "no.", "number", "mean", "m", "sd", "se", "sem", "ci", "95%ci", "%", "percent", "score", "scores"),
        *("point", "points", "unit", "units", "events", "total", "day", "days", "week", "weeks", "wk", "wks", "month"),
        *("months", "mo", "year", "years", "yr", "yrs", "min", "minutes", "h", "hours", "kg", "kg/m2", "kg/m\u00b2"),
        *("cm", "mmhg", "ml", "ml/kg/min", "mets", "met-h/week", "steps", "text", "date", "yes/no", "y/n", "name"),
        *("lower", "upper", "low", "high"),
    ]
)
_BRACKETED = re.compile(r"[(\[].*[)\]]")


class Cell(NamedTuple):
    """One cell: its text, what it holds, and how it is shown."""

    text: str
    kind: Literal["text", "number", "percent", "date", "error", "unsaved"]
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A sheet of a workbook: its filled cells by row and column (from 1), and what hides or joins them.

    Parameters
    ----------
    name : str
    cells : mapping of (int, int) to Cell
    merged : tuple of (int, int, int, int)
        First row and column, last row and column.
    hidden_rows, hidden_columns : frozenset of int
    filtered : bool
        Whether a filter is on.
    hidden : bool
        Whether the sheet itself is.
    formulas : int
        How many cells are formulas.
    """

    name: str
    cells: Mapping[tuple[int, int], Cell]
    merged: tuple[tuple[int, int, int, int], ...] = ()
    hidden_rows: frozenset[int] = frozenset()
    hidden_columns: frozenset[int] = frozenset()
    filtered: bool = False
    hidden: bool = False
    formulas: int = 0
    by_row: Mapping[int, Mapping[int, Cell]] = field(init=False)

    def __post_init__(self) -> None:
        rows: dict[int, dict[int, Cell]] = defaultdict(dict)
        for (row, column), cell in sorted(self.cells.items()):
            rows[row][column] = cell
        object.__setattr__(self, "by_row", dict(rows))


def letters(column: int) -> str:
    """Name a column as spreadsheets do.

    Examples
    --------
    >>> letters(6), letters(28)
    ('F', 'AB')
    """
    name = ""
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def number_text(value: float) -> ExactText:
    """Write a number so that it reads back the same.

    Examples
    --------
    >>> number_text(12.0), number_text(0.1 + 0.2)
    ('12', '0.30000000000000004')
    """
    whole = float(value).is_integer() and abs(value) < 1e15
    return ExactText(str(int(value)) if whole else repr(float(value)))


def chosen_grid(grids: Mapping[str, Grid], wanted: str | None, source: str) -> Grid:
    """Choose a sheet by its name, or the only visible one that has rows.

    Raises
    ------
    DataError
        If there is no such sheet, or several have rows and none is named; the names are listed.
    """
    names = ", ".join(f"{name} (hidden)" if grids[name].hidden else name for name in grids)
    if wanted is not None:
        alike = [name for name in grids if name.strip().casefold() == wanted.strip().casefold()]
        if wanted not in grids and len(alike) != 1:
            raise DataError([Fault(source, f"there is no sheet {wanted!r}", f"Sheets: {names}.")])
        return grids[wanted if wanted in grids else alike[0]]
    # a page of text has one column
    filled = [
        grid
        for grid in grids.values()
        if not grid.hidden and len(grid.by_row) > 1 and any(len(cells) > 1 for cells in grid.by_row.values())
    ]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        raise DataError([Fault(source, "no visible sheet has a header and rows", f"Sheets: {names or 'none'}.")])
    what = f"{len(filled)} sheets have rows, and none is named"
    remedy = f'State sheet = "..." under [data], or --sheet NAME. Sheets: {names}.'
    raise DataError([Fault(source, what, remedy)])


def table_of(grid: Grid, source: str, more: tuple[str, ...] = ()) -> Sheet:
    """Make a table of a sheet.

    Titles above the header are skipped; a header of several rows is one whose upper cells are merged over those below,
    and its texts are joined; a row of units below it is skipped. All of that is noted.

    Raises
    ------
    DataError
        If no header is found, a row may be units or may be a trial, a cell holds an error or a formula without a value.
    """
    place = Places(grid.name)
    if not grid.by_row:
        raise DataError([Fault(f"{source} {grid.name}", "the sheet is empty", "Name a sheet with a table.")])
    header_rows, first, titles = _header_rows(grid, source)
    names = _joined(grid, header_rows)
    columns = sorted(set(names) | {c for row, cells in grid.by_row.items() if row >= first for c in cells})
    header = tuple(names.get(column, "") for column in columns)
    notes = list(more)
    if titles:
        notes.append(f"above the header, not read: {'; '.join(titles)}")
    if len(header_rows) > 1:
        notes.append(f"a header of rows {header_rows[0]} to {header_rows[-1]}: texts of merged cells joined")
    body = {row: dict(cells) for row, cells in grid.by_row.items() if row >= first}
    notes += _filled_down(grid, body)
    if grid.formulas:
        notes.append(f"{plural(grid.formulas, 'cell')} with a formula: read by the value that was saved")
    at = Places(grid.name, {name: letters(c) for c, name in zip(columns, header, strict=True) if name})
    rows: list[tuple[int, tuple[str, ...]]] = []
    faults = _unnamed(grid, source, columns, header, first)
    dates: dict[str, dict[int, str]] = defaultdict(dict)
    percents: dict[str, dict[int, str]] = defaultdict(dict)
    made_dates: dict[str, set[int]] = defaultdict(set)
    for row, cells in body.items():
        texts = []
        for column, name in zip(columns, header, strict=True):
            cell = cells.get(column)
            texts.append("" if cell is None else cell.text)
            if cell is None or cell.kind in ("text", "number"):
                continue
            where = f"{source} {at.cell(row, name) if name else f'{place.row(row)}, column {letters(column)}'}"
            if cell.kind == "error":
                faults.append(
                    Fault(where, f"the cell holds the error {cell.text}", "Correct its formula, or empty it.")
                )
            elif cell.kind == "unsaved":
                remedy = "Open the file in Excel or LibreOffice and save it, so that values stand beside formulas."
                faults.append(Fault(where, f"the formula {cell.shown} has no saved value", remedy))
            else:
                (dates if cell.kind == "date" else percents)[name][row] = cell.shown
                if cell.kind == "date" and _is_made(cell.shown):
                    made_dates[name].add(row)
        rows.append((row, tuple(texts)))
    if faults:
        raise DataError(faults)
    sheet = Sheet(
        source,
        header,
        tuple(rows),
        at,
        tuple(notes),
        tuple(_hidden(grid, columns, header, body)),
        dates={name: dict(found) for name, found in dates.items()},
        percents={name: dict(found) for name, found in percents.items()},
        made_dates={name: frozenset(found) for name, found in made_dates.items()},
    )
    return units_row(sheet, ask=True)


def _is_made(shown: str) -> bool:
    """Whether a date is shown by two parts, as a spreadsheet shows what it made of a text: 3-Apr, Oct-20, 1:30."""
    plain = re.sub(r"\[[^\]]*\]", "", shown.partition("shown as ")[2])
    return len(re.findall(r"[A-Za-z]+|\d+", plain)) < 3


def _header_rows(grid: Grid, source: str) -> tuple[list[int], int, list[str]]:
    """Rows of the header, the first row below it, and the titles above."""
    last = max(column for cells in grid.by_row.values() for column in cells)
    first = min(column for cells in grid.by_row.values() for column in cells)
    wide = {
        row: [(c1, c2) for r1, c1, r2, c2 in grid.merged if r1 <= row <= r2 and c2 > c1 and (c1 > first or c2 < last)]
        for row in grid.by_row
    }

    def reach(row: int) -> int:
        filled = set(grid.by_row[row])
        if filled == {first}:
            # alone, and over the names of the trials: a title, wherever its merged cell ends
            return 1
        return len(filled.union(*(range(c1, c2 + 1) for c1, c2 in wide[row]))) if wide[row] else len(filled)

    full = max(reach(row) for row in list(grid.by_row)[: _TOP * 2])
    top: list[int] = []
    for row, cells in grid.by_row.items():
        numbers = any(cell.kind in ("number", "percent", "date", "unsaved") for cell in cells.values())
        # a title may hold a year
        if len(top) == _TOP or (numbers and reach(row) * 2 > full):
            break
        top.append(row)
    titles: list[int] = []
    for row in top:
        if full > 1 and reach(row) * 2 > full:
            break
        if full == 1:
            break
        titles.append(row)
    rest = [row for row in top if row not in titles]
    if not rest:
        row = next(iter(grid.by_row))
        what = "no row of texts stands above the first numbers: there is no header"
        raise DataError(
            [Fault(f"{source} {Places(grid.name).row(row)}", what, "Write the names of the columns in one row.")]
        )
    header = [rest[0]]
    for row in rest[1:]:
        if not wide[header[-1]]:
            break
        header.append(row)
    after = next((row for row in grid.by_row if row > header[-1]), header[-1] + 1)
    words = [" ".join(cell.text for cell in grid.by_row[row].values())[:80] for row in titles]
    return header, after, [repr(text) for text in words]


def _joined(grid: Grid, rows: list[int]) -> dict[int, str]:
    """Name of each column: the texts above it, those of merged cells repeated, joined."""
    named: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        texts = {column: cell.text for column, cell in grid.by_row[row].items()}
        for r1, c1, r2, c2 in grid.merged:
            if r1 <= row <= r2 and (anchor := grid.cells.get((r1, c1))) is not None and r1 in rows:
                texts |= dict.fromkeys(range(c1, c2 + 1), anchor.text)
        for column, text in texts.items():
            plain = " ".join(text.split())
            if plain and plain not in named[column]:
                named[column].append(plain)
    return {column: " ".join(texts) for column, texts in named.items()}


def _filled_down(grid: Grid, body: dict[int, dict[int, Cell]]) -> list[str]:
    """Give cells that are merged over several rows to each of them, in their first column; say which are merged."""
    notes = []
    last = max(body, default=0)
    for r1, c1, r2, c2 in sorted(grid.merged):
        if r1 not in body or (cell := grid.cells.get((r1, c1))) is None:
            continue
        for row in range(r1 + 1, min(r2, last) + 1):
            if row in body:
                body[row][c1] = cell
        where = " ".join(["in each row"] * (r2 > r1) + [f"in column {letters(c1)} alone"] * (c2 > c1))
        notes.append(f"{letters(c1)}{r1}:{letters(c2)}{r2} are merged: {cell.text!r} read {where}")
    return notes


def _unnamed(grid: Grid, source: str, columns: list[int], header: tuple[str, ...], first: int) -> list[Fault]:
    """Columns that have cells and no name, or the same name."""
    where = f"{source} {grid.name}"
    faults = []
    for column, name in zip(columns, header, strict=True):
        if not name:
            row = next(row for row, cells in grid.by_row.items() if row >= first and column in cells)
            at = f"{where}!{letters(column)}{row}"
            faults.append(Fault(at, f"column {letters(column)} has cells but no name", "Name it, or empty it."))
    for name in dict.fromkeys(filter(None, header)):
        same = [letters(c) for c, other in zip(columns, header, strict=True) if other == name]
        if len(same) > 1:
            remedy = "Rename all but one; a heading over several columns must be merged over them."
            faults.append(Fault(where, f"columns {' and '.join(same)} are named {name!r}", remedy))
    return faults


def _hidden(
    grid: Grid, columns: list[int], header: tuple[str, ...], body: Mapping[int, Mapping[int, Cell]]
) -> list[str]:
    """Say what is hidden and read."""
    rows = sorted(grid.hidden_rows & set(body))
    notes = []
    if rows:
        listed = ", ".join(map(str, rows[:_SHOWN])) + (" ..." if len(rows) > _SHOWN else "")
        why = " (a filter is on)" if grid.filtered else ""
        notes.append(
            f"{plural(len(rows), 'row')} of {grid.name} {'is' if len(rows) == 1 else 'are'} hidden and "
            f"{'was' if len(rows) == 1 else 'were'} read: {listed}{why}"
        )
    names = [name or letters(c) for c, name in zip(columns, header, strict=True) if c in grid.hidden_columns]
    if names:
        notes.append(
            f"{plural(len(names), 'column')} of {grid.name} {'is' if len(names) == 1 else 'are'} hidden and "
            f"{'was' if len(names) == 1 else 'were'} read: {', '.join(names)}"
        )
    return notes


def _unit(text: str) -> bool:
    return bool(_BRACKETED.fullmatch(text)) or re.sub(r"\s", "", text.casefold()) in _UNITS


def units_row(sheet: Sheet, *, ask: bool = False) -> Sheet:
    """Take a row of units below the header away, if there is one.

    Parameters
    ----------
    sheet : Sheet
    ask : bool
        Whether a row that may be units or may be a trial is a fault; else it is a row like others.

    Raises
    ------
    DataError
        For such a row.

    Examples
    --------
    >>> made = units_row(Sheet("t.csv", ("study", "weeks"), ((2, ("", "(weeks)")), (3, ("A", "12")))))
    >>> made.rows, made.notes
    (((3, ('A', '12')),), ('row 2 holds units, not read: weeks (weeks)',))
    """
    if len(sheet.rows) < 2:
        return sheet
    (number, cells), rest = sheet.rows[0], sheet.rows[1:]
    filled = [(name, cell) for name, cell in zip(sheet.header, cells, strict=False) if cell]
    if not filled or any(re.search(r"\d", cell) and not _unit(cell) for _, cell in filled):
        return sheet
    units = [_unit(cell) for _, cell in filled]
    below = any(isinstance(cell, ExactText) or re.fullmatch(r"[+-]?\d.*", cell) for _, row in rest for cell in row)
    if below and all(units):
        shown = "; ".join(f"{name} {cell}" for name, cell in filled)
        return replace(sheet, rows=rest, notes=(*sheet.notes, f"row {number} holds units, not read: {shown}"))
    if ask and below and any(units) and not cells[0]:
        where = f"{sheet.source} {(sheet.places or Places()).row(number)}"
        what = "it may be a row of units or a trial without a name"
        raise DataError([Fault(where, what, "Write units in parentheses, or name the trial, or take the row away.")])
    return sheet
