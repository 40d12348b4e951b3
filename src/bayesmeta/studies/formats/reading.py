"""Which kind of file it is, and its table."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from types import MappingProxyType

from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.formats.cochrane import cochrane_package, data_rows_table, is_data_rows
from bayesmeta.studies.formats.grid import chosen_grid, table_of
from bayesmeta.studies.formats.revman import is_revman_table, revman_sheet, revman_table
from bayesmeta.studies.formats.sheet import Sheet
from bayesmeta.studies.formats.spelled import spelled_columns

__all__ = ["is_text", "read_file", "recognised", "require_applicable"]

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PACKED = b"PK\x03\x04"
_BINARY = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods", ".zip")
_REMEDY = "Save it as .xlsx, .ods or CSV (UTF-8)."


def is_text(content: bytes, name: str) -> bool:
    """Whether a file is a table in text, by its first bytes and its name.

    Examples
    --------
    >>> is_text(b"study,estimate,se", "trials.csv"), is_text(b"PK" + bytes([3, 4]), "trials.xlsx")
    (True, False)
    """
    return not (content[:4] == _PACKED or content[:8] == _OLE or name.lower().endswith(_BINARY) or _is_review(content))


def _is_review(content: bytes) -> bool:
    return b"<COCHRANE_REVIEW" in content[:4096].replace(b"\x00", b"")


def require_applicable(name: str, what: str, stated: Mapping[str, str | None], allowed: Mapping[str, str]) -> None:
    """Refuse what is stated of how to read a file and has no meaning for a file of its kind.

    Parameters
    ----------
    name : str
        Of the file.
    what : str
        Which kind of file it is.
    stated : mapping of str to str or None
        ``sheet``, ``encoding``, ``delimiter``, ``decimal``, ``format``.
    allowed : mapping of str to str
        Those that have a meaning, each with the only value that it may have; empty where any may be stated.

    Raises
    ------
    DataError
        With a fault for each.

    Examples
    --------
    >>> require_applicable("r.rm5", "a review of RevMan 5", {"sheet": "A", "format": "revman"}, {"format": "revman"})
    Traceback (most recent call last):
    ...
    bayesmeta.errors.DataError: r.rm5: sheet 'A' is stated, and it is a review of RevMan 5. Leave it out; of such a file
    may be stated: format = 'revman'.
    """
    listed = ", ".join(f"{key} = {value!r}" if value else key for key, value in allowed.items())
    faults = [
        Fault(
            name,
            f"{key} {value!r} is stated, and it is {what}",
            f"Leave it out; of such a file may be stated: {listed}.",
        )
        for key, value in stated.items()
        if value is not None and (key not in allowed or allowed[key] not in ("", value))
    ]
    if faults:
        raise DataError(faults)


def read_file(
    content: bytes, name: str, sheet: str | None = None, stated: Mapping[str, str | None] = MappingProxyType({})
) -> Sheet:
    """Read a workbook, an OpenDocument spreadsheet, a RevMan review or a Cochrane data package.

    Parameters
    ----------
    content : bytes
    name : str
        Of the file; its content decides what it is.
    sheet : str, optional
        Of a workbook.
    stated : mapping, optional
        What else is stated of how to read it: ``encoding``, ``delimiter``, ``decimal``, ``format``.

    Raises
    ------
    DataError
        If it is none of these, is damaged, holds what is refused, or what is stated has no meaning for it.
    """
    stated = {"sheet": sheet, **stated}
    if name.startswith("~$"):
        what = "it is the lock file that Excel leaves beside an open workbook"
        raise DataError([Fault(name, what, f"Name {name.removeprefix('~$')}.")])
    if _is_review(content):
        require_applicable(name, "a review of RevMan 5", stated, {"format": "revman"})
        return revman_sheet(content, name)
    if content[:8] == _OLE:
        what = "it is a workbook of the old kind (.xls), or protected by a password"
        raise DataError([Fault(name, what, f"Remove the password. {_REMEDY}")])
    if content[:4] != _PACKED:
        raise DataError([Fault(name, "by its name it is a packed file, and its content is not", _REMEDY)])
    members = _members(content, name)
    if any(member.endswith(("-rows.csv", "-data.zip", "-dataPackage.zip", "-data-package.zip")) for member in members):
        require_applicable(name, "a Cochrane data package", stated, {"format": "cochrane"})
        return cochrane_package(content, name)
    workbook = {"sheet": "", "decimal": "", "format": ""}
    if "xl/workbook.xml" in members:
        from bayesmeta.studies.formats.workbook import workbook_grids

        require_applicable(name, "a workbook", stated, workbook)
        return table_of(chosen_grid(workbook_grids(content, name), sheet, name), name)
    if "content.xml" in members:
        from bayesmeta.studies.formats.opendocument import opendocument_grids

        require_applicable(name, "a workbook", stated, workbook)
        return table_of(chosen_grid(opendocument_grids(content, name), sheet, name), name)
    if any(member.endswith("xl/workbook.bin") for member in members):
        raise DataError([Fault(name, "it is a binary workbook (.xlsb)", _REMEDY)])
    listed = ", ".join(members[:6]) or "nothing"
    raise DataError(
        [Fault(name, "it is packed, and neither a workbook nor a Cochrane data package", f"In it: {listed}.")]
    )


def _members(content: bytes, name: str) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            return packed.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(
            [Fault(name, f"it is damaged: {error}", "Save it anew with the program that made it.")]
        ) from None


def recognised(sheet: Sheet, stated: str | None = None, decimal: str = ".") -> Sheet:
    """Find what other programs made in a table, by the names of its columns.

    Parameters
    ----------
    sheet : Sheet
    stated : str, optional
        One of `FILE_FORMATS`; found out unless stated.
    decimal : str
        How decimals of the table are written.

    Raises
    ------
    DataError
        If a format is stated and the columns are not those of it.
    """
    if sheet.analyses or stated == "table":
        return sheet
    if stated in (None, "cochrane") and is_data_rows(sheet.header):
        return data_rows_table(sheet, decimal)
    if stated in (None, "revman") and is_revman_table(sheet.header):
        return revman_table(sheet, decimal)
    if stated in ("cochrane", "revman"):
        what = f"format = {stated!r}, and its columns are not those of that"
        raise DataError([Fault(sheet.source, what, f"Columns: {', '.join(filter(None, sheet.header))[:200]}.")])
    found = spelled_columns(sheet)
    if stated == "metafor" and not found.spelled:
        what = "format = 'metafor', and no columns are named as metafor names them (yi vi, ai n1i, m1i sd1i)"
        raise DataError([Fault(sheet.source, what, f"Columns: {', '.join(filter(None, sheet.header))[:200]}.")])
    return found
