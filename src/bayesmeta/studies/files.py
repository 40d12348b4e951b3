"""A study file to a table: encodings, delimiters, decimal commas, and the row numbers that a spreadsheet shows."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from bayesmeta.errors import DataError, Fault, warn
from bayesmeta.studies.columns import TEXT_COLUMNS, map_columns

__all__ = ["MISSING", "parse_table", "read_table"]

#: What counts as an empty cell.
MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "#N/A"})
_DELIMITERS = (",", ";", "\t", "|")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA_NUMBER = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")
_SAVE_AS_CSV = "Save it as CSV (UTF-8)."


def _decode(content: bytes, name: str, encoding: str | None) -> str:
    if content[:4] == b"PK\x03\x04" or name.lower().endswith(_WORKBOOKS):
        raise DataError([Fault(name, "it is a workbook, not a CSV file", _SAVE_AS_CSV)])
    if encoding is not None:
        try:
            return content.decode(encoding).removeprefix("\ufeff")
        except (LookupError, UnicodeDecodeError) as error:
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
            for mark, pattern in ((",", _COMMA_NUMBER), (".", _POINT_NUMBER)):
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
        elif any(index < len(cells) and cells[index] not in MISSING for _, cells in rows):
            faults.append(
                Fault(f"{name} row 1, column {index + 1}", "it has cells but no name", "Name it, or empty it.")
            )
    for column, number in Counter(record[index] for index in used).items():
        if number > 1:
            faults.append(Fault(f"{name} row 1", f"{number} columns are named {column!r}", "Rename all but one."))
    return used


def parse_table(
    content: bytes,
    name: str,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    text_columns: frozenset[str] = TEXT_COLUMNS,
) -> pd.DataFrame:
    """Make a table of the bytes of a CSV file; see `read_table`.

    Bytes that were just parsed are not parsed again: a protocol's outcomes and variations all read one file. What there
    is to say of them is said each time, and each table is the caller's own.
    """
    text = _decode(content, name, encoding)
    frame = _parsed(text, name, delimiter, decimal, text_columns).copy()
    frame.attrs = {"source": name, "sha256": hashlib.sha256(content).hexdigest()}
    return frame


@lru_cache(maxsize=4)
def _parsed(
    text: str, name: str, delimiter: str | None, decimal: str | None, text_columns: frozenset[str]
) -> pd.DataFrame:
    offset = 0
    if (line := text.split("\n", 1)[0].strip()).startswith("sep=") and len(line) == 5:
        # Excel's own first line, which says the delimiter
        delimiter, text, offset = line[-1], text.split("\n", 1)[1], 1
    delimiter = delimiter or _delimiter(text, name)
    # an empty row is counted, because a spreadsheet counts it, and carries nothing
    numbered = [(n, r) for n, r in enumerate(_records(text, delimiter, name), 1 + offset) if any(r)]
    if not numbered:
        raise DataError([Fault(name, "it is empty", "Give a table with a header and one row per estimate.")])
    (_, header), rows = numbered[0], numbered[1:]
    if not rows:
        raise DataError([Fault(name, "it has a header but no rows", "Add one row per estimate.")])
    faults: list[Fault] = []
    used = _header(header, rows, name, faults)
    for row, record in rows:
        if len(record) != len(header):
            remedy = "Check delimiters and quotation marks there"
            remedy += "; a decimal comma in a comma-separated file needs quotation marks." if delimiter == "," else "."
            faults.append(Fault(f"{name} row {row}", f"{len(record)} cells, but the header has {len(header)}", remedy))
    if faults:
        raise DataError(faults)
    if decimal is None:
        decimal = "." if delimiter == "," else _decimal(rows, header, name)
    index = pd.Index([row for row, _ in rows], name="row")
    lowered = {column.casefold() for column in text_columns}
    return pd.DataFrame(
        {
            header[i]: _column([record[i] for _, record in rows], index, decimal, header[i].casefold() in lowered)
            for i in used
        }
    )


def _column(cells: list[str], index: pd.Index, decimal: str, text: bool) -> pd.Series:
    """Make numbers of a column in which every filled cell is one; else leave it text, for the reader to judge."""
    if decimal == "," and not text:
        cells = [cell.replace(",", ".") if _COMMA_NUMBER.fullmatch(cell) else cell for cell in cells]
    values: list[Any] = [None if cell in MISSING else cell for cell in cells]
    filled = [value for value in values if value is not None]
    if not text and filled and all(_NUMBER.fullmatch(value) for value in filled):
        return pd.Series([float("nan") if value is None else float(value) for value in values], index, dtype=float)
    return pd.Series(values, index, dtype="str")


def read_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
) -> pd.DataFrame:
    """Read a CSV file as people save it.

    Parameters
    ----------
    path : str or Path
        Separated by commas, semicolons, tabs or bars; UTF-8 with or without a byte-order mark, UTF-16 with one, or
        (with a warning) cp1252.
    columns : mapping, optional
        Our column name to the file's, ``{"estimate": "smd", "se": "sesmd"}``. The file's columns stay beside ours.
    encoding, delimiter, decimal : str, optional
        How to read it; found out unless stated. A decimal comma is looked for where the delimiter is not a comma.

    Returns
    -------
    pandas.DataFrame
        Index ``row``: the row as a spreadsheet numbers it (the header is row 1). A column in which every filled cell is
        a number holds floats, any other holds text; empty cells and ``NA`` are missing. ``attrs`` holds ``source`` (the
        file's name) and ``sha256``.

    Raises
    ------
    DataError
        For a file that is empty, has no rows, repeats a column's name, or has rows of another length than the header;
        all such places are listed.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> table = read_table("data/exercise_depression_10_trials.csv", columns={"se": "sesmd"})
    >>> table.loc[2, "study"], float(table.loc[2, "se"])
    ('Mutrie', 0.4)
    """
    path = Path(path)
    if path.is_dir():
        raise DataError([Fault(path.name, "it is a folder", "Name a CSV file.")])
    ours = frozenset((columns or {})[name] for name in TEXT_COLUMNS if name in (columns or {}))
    frame = parse_table(
        path.read_bytes(),
        path.name,
        encoding=encoding,
        delimiter=delimiter,
        decimal=decimal,
        text_columns=TEXT_COLUMNS | ours,
    )
    return map_columns(frame, columns or {})
