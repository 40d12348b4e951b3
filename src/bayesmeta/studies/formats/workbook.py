"""Workbooks (.xlsx), by the cells and the values that were saved with them."""

from __future__ import annotations

import datetime
import io
import re
import warnings
from typing import Any

from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.formats.archive import unpacked
from bayesmeta.studies.formats.grid import Cell, Grid, number_text

__all__ = ["workbook_grids"]

# of a sheet; a file may hide as many as it likes
_COLUMNS = 16_384
_DATES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)


def workbook_grids(content: bytes, name: str) -> dict[str, Grid]:
    """Sheets of a workbook, by name.

    Parameters
    ----------
    content : bytes
        Of the file.
    name : str
        Of the file.

    Raises
    ------
    DataError
        If it is damaged, holds macros or links to other workbooks, or declares entities.
    """
    members = unpacked(content, name)
    if any(member.endswith("vbaProject.bin") for member in members):
        raise DataError([Fault(name, "it holds macros", "Save it as a workbook without macros (.xlsx).")])
    if any("externalLinks/" in member for member in members):
        what = "its cells take values from other workbooks, which may have changed"
        raise DataError([Fault(name, what, "Break the links (Data, Edit Links), so that the values stand here.")])
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():
            # of what styles and extensions it does not know; cells are not concerned
            warnings.simplefilter("ignore")
            values = load_workbook(io.BytesIO(content), data_only=True, keep_links=False)
            written = load_workbook(io.BytesIO(content), data_only=False, keep_links=False)
    except Exception as error:
        # whatever a parser of foreign bytes may raise
        what = f"it cannot be read as a workbook: {' '.join(str(error).split()) or type(error).__name__}"
        raise DataError([Fault(name, what, "Open it in Excel or LibreOffice, and save it anew.")]) from error
    return {sheet.title: _grid(sheet, written[sheet.title]) for sheet in values.worksheets}


def _grid(sheet: Any, written: Any) -> Grid:
    # only cells that the file has: one formatted cell at the end of a sheet would make a billion of them otherwise
    formulas = {place for place, cell in written._cells.items() if cell.data_type == "f"}
    cells: dict[tuple[int, int], Cell] = {}
    for place, cell in sheet._cells.items():
        if place in formulas and cell.value is None:
            shown = written._cells[place].value
            cells[place] = Cell("", "unsaved", str(getattr(shown, "text", shown))[:60])
        elif (made := _cell(cell)) is not None:
            cells[place] = made
    hidden_columns = {
        number
        for item in sheet.column_dimensions.values()
        if item.hidden
        for number in range(item.min or item.index, min(item.max or item.min or item.index, _COLUMNS) + 1)
    }
    return Grid(
        sheet.title,
        cells,
        tuple((r.min_row, r.min_col, r.max_row, r.max_col) for r in sheet.merged_cells.ranges),
        frozenset(number for number, item in sheet.row_dimensions.items() if item.hidden),
        frozenset(hidden_columns),
        bool(sheet.auto_filter.ref and sheet.auto_filter.filterColumn),
        sheet.sheet_state != "visible",
        len(formulas & cells.keys()),
    )


def _cell(cell: Any) -> Cell | None:
    value = cell.value
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, _DATES):
        return Cell(str(value), "date", f"{_date(value)}, shown as {cell.number_format}")
    if isinstance(value, bool):
        return Cell(str(value).upper(), "text")
    if isinstance(value, (int, float)):
        text = number_text(value)
        if "%" in re.sub(r'"[^"]*"|\\.', "", cell.number_format or ""):
            return Cell(text, "percent", f"{100 * value:.10g} %")
        return Cell(text, "number")
    plain = str(value).strip()
    # what says that there is nothing is empty in any table
    if cell.data_type == "e" and plain.upper() != "#N/A":
        return Cell(plain, "error")
    return Cell(plain, "text")


def _date(value: Any) -> str:
    midnight = isinstance(value, datetime.datetime) and value.time() == datetime.time(0)
    return str(value.date() if midnight else value)
