"""A study file to a table: encodings, delimiters, decimal commas, and the places that a spreadsheet shows."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from bayesmeta.boundary import file_bytes, require_plain_text
from bayesmeta.errors import DataError, Fault, find_name, warn
from bayesmeta.plan import TableShape
from bayesmeta.studies.cells import COMMA_NUMBER, GROUPED, NUMBER, is_missing
from bayesmeta.studies.columns import TEXT_COLUMNS, date_faults, map_columns, plain_name
from bayesmeta.studies.formats.grid import units_row
from bayesmeta.studies.formats.reading import is_text, read_file, recognised, require_applicable
from bayesmeta.studies.formats.shapes import reshaped
from bayesmeta.studies.formats.sheet import FILE_FORMATS, ExactText, Places, Sheet

__all__ = ["parse_table", "read_table", "table_bytes"]

_DELIMITERS = (",", ";", "\t", "|")
_POINT_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
# of the common spreadsheets; more are no table of trials
_MOST_COLUMNS = 16_384
_SAVE_AS_CSV = "Save it as CSV (UTF-8)."


def _decode(content: bytes, name: str, encoding: str | None) -> str:
    if encoding is not None:
        try:
            return content.decode(encoding).removeprefix("\ufeff")
        except (LookupError, ValueError) as error:
            # the name of a codec may be any text, and a codec may be of something else than text
            raise DataError([Fault(name, f"it cannot be read as {encoding!r}: {error}", _SAVE_AS_CSV)]) from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError as error:
            raise DataError([Fault(name, f"it begins as UTF-16 but is not: {error}", _SAVE_AS_CSV)]) from error
    if b"\x00" in content:
        raise DataError([Fault(name, "it holds zero bytes: UTF-16 without a mark, or not text", _SAVE_AS_CSV)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
    try:
        text, used = content.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        text, used = content.decode("latin-1"), "latin-1"
    warn(f"{name} is not UTF-8 (line {line}); it was read as {used}. Check names with accents, or save it as UTF-8.")
    return text


def _records(text: str, delimiter: str, name: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [[cell.strip() for cell in record] for record in reader]
    except csv.Error as error:
        fault = Fault(f"{name} line {reader.line_num}", f"not valid CSV: {error}", "Check the quotation marks there.")
        raise DataError([fault]) from error


def _delimiter(text: str, name: str) -> str:
    """Choose the delimiter that splits the header, and of several the one that fits most rows."""
    best, score = ",", (-1.0, 0)
    for candidate in _DELIMITERS:
        # only the beginning: enough to choose by, and a large file is not parsed four times
        try:
            records = [r for r in _records("\n".join(text.splitlines()[:200]), candidate, name) if any(r)]
        except DataError:
            continue
        if records and len(records[0]) > 1:
            fitting = sum(len(record) == len(records[0]) for record in records) / len(records)
            if (fitting, len(records[0])) > score:
                best, score = candidate, (fitting, len(records[0]))
    return best


def _decimal(rows: list[tuple[int, list[str]]], header: list[str], name: str) -> str:
    """Find out whether decimals are written with a comma; both in one file is a fault."""
    first: dict[str, str] = {}
    for row, record in rows:
        for column, cell in zip(header, record, strict=False):
            for mark, pattern in ((",", COMMA_NUMBER), (".", _POINT_NUMBER)):
                if mark not in first and mark in cell and pattern.fullmatch(cell):
                    first[mark] = f"{cell!r} in row {row}, column {column}"
    if len(first) == 2:
        what = f"decimals are written with a point ({first['.']}) and with a comma ({first[',']})"
        raise DataError([Fault(name, what, 'Write them all in one way, or state decimal = "," or "." under [data].')])
    return "," if "," in first else "."


def _header(record: list[str], rows: list[tuple[int, list[str]]], name: str, faults: list[Fault]) -> list[int]:
    """Check the names of the columns; return which are used (a column without name and cells is not)."""
    used = []
    for index, column in enumerate(record):
        if column:
            used.append(index)
        elif any(index < len(cells) and not is_missing(cells[index]) for _, cells in rows):
            faults.append(
                Fault(f"{name} row 1, column {index + 1}", "it has cells but no name", "Name it, or empty it.")
            )
    for column, number in Counter(record[index] for index in used).items():
        if number > 1:
            faults.append(Fault(f"{name} row 1", f"{number} columns are named {column!r}", "Rename all but one."))
    return used


@dataclass(frozen=True, slots=True)
class _How:
    """How a table is to be read, beyond the bytes of its file."""

    decimal: str | None
    text_columns: frozenset[str]
    format: str | None
    shape: TableShape
    columns: tuple[tuple[str, str], ...]


def parse_table(
    content: bytes,
    name: str,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    text_columns: frozenset[str] = TEXT_COLUMNS,
    sheet: str | None = None,
    format: str | None = None,
    shape: TableShape | None = None,
    columns: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Make a table of the bytes of a file; see `read_table`.

    Bytes that were just parsed are not parsed again: a protocol's outcomes and variations all read one file. What there
    is to say of them is said each time, and each table is the caller's own.

    Raises
    ------
    DataError
        As `read_table`.
    """
    if format is not None:
        format = find_name("format", format, FILE_FORMATS)
    if decimal is not None:
        decimal = find_name("decimal", decimal, (".", ","))
    if delimiter is not None and len(delimiter) != 1:
        raise DataError([Fault(name, f"delimiter {delimiter!r} is stated", "A delimiter is one character.")])
    how = _How(decimal, text_columns, format, shape or TableShape(), tuple(sorted((columns or {}).items())))
    if is_text(content, name):
        allowed = dict.fromkeys(("encoding", "delimiter", "decimal", "format"), "")
        require_applicable(name, "a text file", {"sheet": sheet}, allowed)
        text = _decode(content, name, encoding)
        require_plain_text(text, name)
        kept = _of_text(text, name, delimiter, how)
    else:
        kept = _of_file(content, name, sheet, encoding, delimiter, how)
    frame = kept.copy()
    frame.attrs = {**kept.attrs, "source": name, "sha256": hashlib.sha256(content).hexdigest()}
    for text in kept.attrs.get("warnings", ()):
        warn(f"{name}: {text}.")
    return frame


@lru_cache(maxsize=4)
def _of_text(text: str, name: str, delimiter: str | None, how: _How) -> pd.DataFrame:
    offset = 0
    first, _, rest = text.partition("\n")
    line = first.rstrip("\r")
    if line.startswith('"') and line.endswith('"'):
        line = line[1:-1]
    if line.startswith("sep="):
        # Excel's own first line, which says the delimiter; where it says none it is found out
        stated = line.removeprefix("sep=")
        if stated not in ("", *_DELIMITERS):
            remedy = f"Allowed: {', '.join(map(repr, _DELIMITERS))}."
            raise DataError([Fault(f"{name} line 1", f"{stated[:20]!r} is not a delimiter", remedy)])
        delimiter, text, offset = stated or delimiter, rest, 1
    delimiter = delimiter or _delimiter(text, name)
    # an empty row is counted, because a spreadsheet counts it, and carries nothing
    numbered = [(n, r) for n, r in enumerate(_records(text, delimiter, name), 1 + offset) if any(r)]
    if not numbered:
        raise DataError([Fault(name, "it is empty", "Give a table with a header and one row per estimate.")])
    (_, header), rows = numbered[0], numbered[1:]
    _require_rows(header, rows, name)
    faults: list[Fault] = []
    used = _header(header, rows, name, faults)
    for row, record in rows:
        if len(record) != len(header):
            remedy = "Check delimiters and quotation marks there"
            remedy += "; a decimal comma in a comma-separated file needs quotation marks." if delimiter == "," else "."
            faults.append(Fault(f"{name} row {row}", f"{len(record)} cells, but the header has {len(header)}", remedy))
    if faults:
        raise DataError(faults)
    decimal = how.decimal or ("." if delimiter == "," else _decimal(rows, header, name))
    kept = tuple((row, tuple(record[i] for i in used)) for row, record in rows)
    return _framed(units_row(Sheet(name, tuple(header[i] for i in used), kept)), decimal, how)


@lru_cache(maxsize=4)
def _of_file(
    content: bytes, name: str, sheet: str | None, encoding: str | None, delimiter: str | None, how: _How
) -> pd.DataFrame:
    stated = {"encoding": encoding, "delimiter": delimiter, "decimal": how.decimal, "format": how.format}
    found = read_file(content, name, sheet, stated)
    _require_rows(found.header, found.rows, name)
    places = found.places or Places()
    for row, cells in found.rows:
        require_plain_text(" ".join(cells), f"{name} {places.row(row)}")
    # numbers of a workbook have no separators; what was typed as text may have a comma
    typed = [(row, ["" if isinstance(cell, ExactText) else cell for cell in cells]) for row, cells in found.rows]
    return _framed(found, how.decimal or _decimal(typed, list(found.header), name), how)


def _require_rows(header: Sequence[str], rows: Sequence[Any], name: str) -> None:
    if not rows:
        raise DataError([Fault(name, "it has a header but no rows", "Add one row per estimate.")])
    if len(header) > _MOST_COLUMNS:
        what = f"{len(header):,} columns; spreadsheets hold {_MOST_COLUMNS:,}"
        raise DataError([Fault(name, what, "Keep the columns that are needed.")])


def _framed(sheet: Sheet, decimal: str, how: _How) -> pd.DataFrame:
    """Make a frame of a sheet, in the shape that is declared; what was done to it goes into ``attrs``."""
    # before the shape changes, while each column is what someone typed
    _require_no_dates_between(sheet)
    sheet = recognised(sheet, how.format, decimal)
    sheet, left = reshaped(sheet, how.shape, dict(how.columns), plain_name)
    index = pd.Index([row for row, _ in sheet.rows], name="row")
    lowered = {column.casefold() for column in how.text_columns | sheet.texts}
    cells = {name: [row[i] for _, row in sheet.rows] for i, name in enumerate(sheet.header) if name}
    frame = pd.DataFrame(
        {name: _column(name, texts, index, decimal, name.casefold() in lowered) for name, texts in cells.items()}
    )
    grouped = {
        name: {
            row: text
            for row, text in zip(index, texts, strict=True)
            if not isinstance(text, ExactText) and GROUPED.fullmatch(text)
        }
        for name, texts in cells.items()
    }
    frame.attrs = {
        "grouped": {column: held for column, held in grouped.items() if held},
        "places": sheet.places,
        "notes": sheet.notes,
        "warnings": sheet.warnings,
        "made": dict(sheet.row_notes),
        "dates": dict(sheet.dates),
        "percents": dict(sheet.percents),
        "spelled": dict(sheet.spelled),
        "scale": sheet.scale,
        "analyses": sheet.analyses,
        "not_estimable": sheet.not_estimable,
        "consumed": tuple(name for name, _ in how.columns if name not in left),
    }
    frame.attrs = {name: held for name, held in frame.attrs.items() if held}
    return frame


def _require_no_dates_between(sheet: Sheet) -> None:
    """A column that holds dates and other things was meant to hold the other things; so are dates of two parts."""
    faults = []
    attrs = {"source": sheet.source, "places": sheet.places}
    for name, dates in sheet.dates.items():
        index = sheet.header.index(name)
        mixed = any(not is_missing(cells[index]) and row not in dates for row, cells in sheet.rows)
        made = sheet.made_dates.get(name, ())
        faults += date_faults(attrs, name, {row: date for row, date in dates.items() if mixed or row in made})
    if faults:
        raise DataError(faults)


def _column(name: str, cells: list[str], index: pd.Index, decimal: str, text: bool) -> pd.Series:
    """Make numbers of a column in which every filled cell is one; else leave it text, for the reader to judge."""
    if decimal == "," and not text:
        cells = [cell.replace(",", ".") if COMMA_NUMBER.fullmatch(cell) else cell for cell in cells]
    # in a column of signs, or of symbols of risk of bias, "-" is one, and not a word for nothing
    signs = name.casefold() == "sign" or not {"+", "x", "X", "!", "?"}.isdisjoint(cells)
    values: list[Any] = [None if is_missing(cell) and not (signs and cell == "-") else cell for cell in cells]
    filled = [value for value in values if value is not None]
    if not text and filled and all(NUMBER.fullmatch(value) for value in filled):
        return pd.Series([float("nan") if value is None else float(value) for value in values], index, dtype=float)
    return pd.Series(values, index, dtype="str")


def table_bytes(path: Path) -> bytes:
    """Read a study file whole.

    Raises
    ------
    DataError
        If it may not be read: it is open in another program, or its permissions forbid it.
    """
    try:
        return file_bytes(path)
    except PermissionError as error:
        what = "it may not be read: it is open in another program, or its permissions forbid it"
        raise DataError([Fault(path.name, what, "Close it in Excel, or copy it.")]) from error


def read_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    sheet: str | None = None,
    format: str | None = None,
    shape: TableShape | None = None,
) -> pd.DataFrame:
    """Read a file of trials as people save it.

    Parameters
    ----------
    path : str or Path
        Text separated by commas, semicolons, tabs or bars (UTF-8 with or without a byte-order mark, UTF-16 with one, or
        with a warning cp1252); a workbook (``.xlsx``, ``.ods``); a review of RevMan 5 (``.rm5``); a Cochrane data
        package (``.zip``). The content decides which it is.
    columns : mapping, optional
        Our column name to the file's, ``{"estimate": "smd", "se": "sesmd"}``. The file's columns stay beside ours.
    encoding, delimiter, decimal : str, optional
        How to read text, ``decimal`` in cells of a workbook too; found out unless stated. A decimal comma is looked for
        where the delimiter is not a comma.
    sheet : str, optional
        Of a workbook; needed where several sheets have rows.
    format : {"table", "metafor", "revman", "cochrane"}, optional
        What made the columns; found out by their names unless stated. ``"table"``: nothing but their names.
    shape : TableShape, optional
        How a table that does not have one row per comparison becomes one that has.

    Returns
    -------
    pandas.DataFrame
        Index ``row``: the row as a spreadsheet numbers it (the header is row 1). A column in which every filled cell is
        a number holds floats, any other holds text; empty cells and ``NA`` are missing. ``attrs`` holds ``source`` (the
        file's name) and ``sha256``, and what was done to the file.

    Raises
    ------
    DataError
        For a file that is empty, has no rows, repeats a column's name, or has rows of another length than the header;
        for cells that hold an error, a formula without a value, or a date where a number or name belongs; for macros,
        links to other files and XML with declarations; for what is stated and means nothing for a file of its kind. All
        such places are listed.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> table = read_table("data/exercise_depression_10_trials.csv", columns={"se": "sesmd"})
    >>> table.loc[2, "study"], float(table.loc[2, "se"])
    ('Mutrie', 0.4)
    """
    path = Path(path)
    ours = frozenset((columns or {})[name] for name in TEXT_COLUMNS if name in (columns or {}))
    frame = parse_table(
        table_bytes(path),
        path.name,
        encoding=encoding,
        delimiter=delimiter,
        decimal=decimal,
        text_columns=TEXT_COLUMNS | ours,
        sheet=sheet,
        format=format,
        shape=shape,
        columns=columns,
    )
    return map_columns(frame, columns or {})
