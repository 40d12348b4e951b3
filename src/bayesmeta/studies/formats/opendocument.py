"""OpenDocument spreadsheets (.ods)."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator
from typing import Any

from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.formats.archive import unpacked
from bayesmeta.studies.formats.grid import Cell, Grid, number_text

__all__ = ["opendocument_grids"]

_ERROR = re.compile(r"#(DIV/0!|REF!|NAME\?|VALUE!|NUM!|NULL!)|Err:\d+")
_CONTAINERS = {"table-header-rows", "table-row-group", "table-rows", "table-header-columns", "table-column-group"}
_CONTAINERS |= {"table-columns"}
# of the common spreadsheets
_ROWS, _COLUMNS = 1_048_576, 16_384
#: Most filled cells of a sheet. A file may repeat one cell or row as often as it likes in a few bytes.
MOST_CELLS = 1_000_000


def opendocument_grids(content: bytes, name: str) -> dict[str, Grid]:
    """Sheets of an OpenDocument spreadsheet, by name.

    Raises
    ------
    DataError
        If it is damaged, protected by a password, holds macros or links, declares entities, or repeats cells beyond
        what a sheet holds.
    """
    members = unpacked(content, name)
    if b"manifest:encryption-data" in members.get("META-INF/manifest.xml", b""):
        raise DataError([Fault(name, "it is protected by a password", "Remove the password, and save it.")])
    if any(
        member.startswith("Basic/") and not member.endswith(("script-lc.xml", "script-lb.xml")) for member in members
    ):
        raise DataError([Fault(name, "it holds macros", "Save it without macros.")])
    if b"<table:table-source" in members.get("content.xml", b""):
        what = "a sheet takes its values from another file, which may have changed"
        raise DataError([Fault(name, what, "Break the links (Edit, Links), so that the values stand here.")])
    from odf.opendocument import load
    from odf.table import Table

    try:
        document = load(io.BytesIO(content))
        unseen = _unseen(document)
        tables = document.spreadsheet.getElementsByType(Table)
        grids = [_grid(table, name, unseen) for table in tables]
    except DataError:
        raise
    except Exception as error:
        # whatever a parser of foreign bytes may raise
        what = f"it cannot be read as a spreadsheet: {' '.join(str(error).split()) or type(error).__name__}"
        raise DataError([Fault(name, what, "Open it in LibreOffice, and save it anew.")]) from error
    return {grid.name: grid for grid in grids}


def _tag(node: Any) -> str:
    return node.qname[1] if hasattr(node, "qname") else ""


def _children(node: Any, tag: str) -> Iterator[Any]:
    """Rows or columns of a table, those in groups too."""
    for child in node.childNodes:
        if _tag(child) == tag:
            yield child
        elif _tag(child) in _CONTAINERS:
            yield from _children(child, tag)


def _repeated(node: Any, name: str) -> int:
    return max(1, int(node.getAttribute(name) or 1))


def _unseen(document: Any) -> set[str]:
    """Names of the styles whose sheets are not displayed."""
    from odf.style import Style, TableProperties

    return {
        str(style.getAttribute("name"))
        for style in document.automaticstyles.getElementsByType(Style)
        for item in style.getElementsByType(TableProperties)
        if str(item.getAttribute("display")) == "false"
    }


def _grid(table: Any, source: str, unseen: Collection[str]) -> Grid:
    title = str(table.getAttribute("name"))
    cells: dict[tuple[int, int], Cell] = {}
    merged: list[tuple[int, int, int, int]] = []
    hidden_rows: set[int] = set()
    filtered, formulas, number = False, 0, 0
    for row in _children(table, "table-row"):
        times = _repeated(row, "numberrowsrepeated")
        found: dict[int, Cell] = {}
        column = 0
        for node in row.childNodes:
            if _tag(node) not in ("table-cell", "covered-table-cell"):
                continue
            wide = _repeated(node, "numbercolumnsrepeated")
            made = _cell(node) if _tag(node) == "table-cell" else None
            if made is not None:
                _require_room(f"{source} {title}", number + times, column + wide, len(cells) + len(found) + wide)
                formulas += bool(node.getAttribute("formula")) * wide
                found |= dict.fromkeys(range(column + 1, column + 1 + wide), made)
            if _tag(node) == "table-cell":
                down, across = _repeated(node, "numberrowsspanned"), _repeated(node, "numbercolumnsspanned")
                if down > 1 or across > 1:
                    merged.append((number + 1, column + 1, min(number + down, _ROWS), min(column + across, _COLUMNS)))
            column += wide
        # the rows that repeat to the end of a sheet are empty
        if found:
            _require_room(f"{source} {title}", number + times, max(found), len(cells) + len(found) * times)
            for place in range(number + 1, number + 1 + times):
                cells |= {(place, c): cell for c, cell in found.items()}
            if (seen := row.getAttribute("visibility")) in ("collapse", "filter"):
                hidden_rows |= set(range(number + 1, number + 1 + times))
                filtered |= seen == "filter"
        number += times
    hidden_columns: set[int] = set()
    place = 0
    for node in _children(table, "table-column"):
        times = _repeated(node, "numbercolumnsrepeated")
        if node.getAttribute("visibility") in ("collapse", "filter"):
            hidden_columns |= set(range(place + 1, min(place + times, _COLUMNS) + 1))
        place += times
    return Grid(
        title,
        cells,
        tuple(merged),
        frozenset(hidden_rows),
        frozenset(hidden_columns),
        filtered,
        str(table.getAttribute("stylename")) in unseen,
        formulas,
    )


def _require_room(where: str, row: int, column: int, cells: int) -> None:
    """Refuse filled cells beyond the end of a sheet, or more of them than any table of trials has."""
    if row > _ROWS or column > _COLUMNS or cells > MOST_CELLS:
        what = f"filled cells are repeated to row {row:,}, column {column:,}: {cells:,} cells"
        remedy = (
            f"A sheet may have {_ROWS:,} rows, {_COLUMNS:,} columns and {MOST_CELLS:,} filled cells. Delete the others."
        )
        raise DataError([Fault(where, what, remedy)])


def _text(node: Any) -> str:
    from odf.teletype import extractText

    # notes that hang at a cell are no part of its text
    return "\n".join(extractText(child) for child in node.childNodes if _tag(child) == "p").strip()


def _cell(node: Any) -> Cell | None:
    kind, text = node.getAttribute("valuetype"), _text(node)
    if _ERROR.fullmatch(text):
        return Cell(text, "error")
    if kind in ("float", "currency", "percentage"):
        value = float(node.getAttribute("value"))
        if kind == "percentage":
            return Cell(number_text(value), "percent", f"{100 * value:.10g} %")
        return Cell(number_text(value), "number")
    if kind in ("date", "time"):
        value = node.getAttribute("datevalue" if kind == "date" else "timevalue")
        return Cell(str(value), "date", f"{str(value).removesuffix('T00:00:00')}, shown as {text}")
    if kind == "boolean":
        return Cell(str(node.getAttribute("booleanvalue")).upper(), "text")
    if not text:
        formula = node.getAttribute("formula")
        return Cell("", "unsaved", str(formula)[:60]) if formula and kind is None else None
    return Cell(text, "text")
