"""Files that are read whole, and the characters that may stand in them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bayesmeta.errors import DataError, Fault, warn

__all__ = ["file_bytes", "printable", "require_plain_text", "require_plain_values"]

# C0 without tab and ends of lines, DEL and C1, lone surrogates, and what Unicode says is no character
_NO_CHARACTER = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef" + "".join(
    chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
# what turns the order of the letters that follow
_OVERRIDES = "\u202a-\u202e\u2066-\u2069"
_WRONG = re.compile(f"[{_NO_CHARACTER}]")
_TURNING = re.compile(f"[{_OVERRIDES}]")
_NOT_SHOWN = re.compile(f"[{_NO_CHARACTER}{_OVERRIDES}]")


def printable(text: str) -> str:
    r"""Write controls, non-characters and overrides of the writing direction as escapes; everything else as it is.

    Examples
    --------
    >>> printable("Smith\u202e 2019\x00")
    'Smith\\u202e 2019\\u0000'
    """
    if text.isascii() and text.isprintable():
        return text
    return _NOT_SHOWN.sub(lambda found: _code(found[0]), text)


def _code(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def require_plain_text(text: str, name: str) -> None:
    r"""Refuse a text with control characters or non-characters; warn of overrides of the writing direction.

    Parameters
    ----------
    text : str
        All of a file.
    name : str
        Of the file.

    Raises
    ------
    DataError
        With one fault, which names the first place and how many there are.

    Examples
    --------
    >>> require_plain_text("study\nA\x07", "trials.csv")
    Traceback (most recent call last):
    ...
    bayesmeta.errors.DataError: trials.csv line 2: \u0007 is a control character or no character at all. Remove it.
    """
    if found := _WRONG.search(text):
        number = len(_WRONG.findall(text))
        more = f", the first of {number} such" if number > 1 else ""
        line = text.count("\n", 0, found.start()) + 1
        what = f"{_code(found[0])} is a control character or no character at all{more}"
        raise DataError([Fault(f"{name} line {line}", what, "Remove it.")])
    if found := _TURNING.search(text):
        line = text.count("\n", 0, found.start()) + 1
        what = f"{_code(found[0])} turns the order in which letters are shown"
        warn(f"{name} line {line}: {what}; what is seen may not be what is read.")


def require_plain_values(values: Any, name: str) -> None:
    """Refuse the same in what a file of keys holds, where they may stand as escapes; `require_plain_text`.

    Raises
    ------
    DataError
        With one fault for all keys and values.
    """
    wrong = [(place, text) for place, text in _texts(values, ()) if _WRONG.search(text)]
    if wrong:
        place, text = wrong[0]
        found = _WRONG.search(text)
        assert found is not None
        more = f", the first of {len(wrong)} such texts" if len(wrong) > 1 else ""
        what = f"{_code(found[0])} is a control character or no character at all{more}"
        raise DataError([Fault(f"{name} key {printable('.'.join(place))}", what, "Remove it.")])
    for place, text in _texts(values, ()):
        if found := _TURNING.search(text):
            key = printable(".".join(place))
            warn(f"{name} key {key}: {_code(found[0])} turns the order in which letters are shown.")
            return


def _texts(values: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every key and text, with its place."""
    if isinstance(values, str):
        yield place, values
    elif isinstance(values, Mapping):
        for key, value in values.items():
            yield (*place, str(key)), str(key)
            yield from _texts(value, (*place, str(key)))
    elif isinstance(values, (list, tuple)):
        for number, value in enumerate(values):
            yield from _texts(value, (*place, str(number)))


def file_bytes(path: Path) -> bytes:
    """Read a file whole.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        If it is no regular file (a folder, a pipe, a device: reading may never end), or its name can be none.
    FileNotFoundError
        If there is no such file.
    """
    if "\x00" in str(path):
        raise DataError([Fault(printable(str(path)), "a file's name holds no zero character", "Correct the name.")])
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a folder" if path.is_dir() else "a pipe or a device, not a file"
        raise DataError([Fault(path.name, f"it is {kind}", "Name a file.")])
    return path.read_bytes()
