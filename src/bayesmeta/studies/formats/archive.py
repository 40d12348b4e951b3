"""Packed files and XML that came from elsewhere: what may be unpacked, and what is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from types import MappingProxyType

from bayesmeta.errors import DataError, Fault

__all__ = ["MEMBERS", "refuse_declarations", "unpacked"]

#: Most bytes that are unpacked of one file; a review of several hundred trials has some ten million.
MOST_BYTES = 256 * 2**20
#: Most members of one file.
MEMBERS = 10_000
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")


def refuse_declarations(content: bytes, name: str) -> None:
    """Refuse XML that declares a document type or entities: these can name other files, or grow without end.

    Raises
    ------
    DataError
    """
    # the same in an encoding of two bytes a character
    plain = content.replace(b"\x00", b"") if b"\x00" in content[:200] else content
    if any(mark in plain or mark.lower() in plain for mark in _DECLARATIONS):
        what = "its XML declares a document type or entities, which no file of this kind needs"
        raise DataError([Fault(name, what, "Save it anew with the program that made it.")])


def unpacked(content: bytes, name: str, inside: Mapping[str, bytes] = MappingProxyType({})) -> Mapping[str, bytes]:
    """Members of a packed file, by name.

    Parameters
    ----------
    content : bytes
    name : str
        Of the file.
    inside : mapping of str to bytes, optional
        What was unpacked before of the file that this one lies in; both together may not be larger than one.

    Raises
    ------
    DataError
        If it is damaged, protected by a password, larger than any table when it is unpacked, or declares entities.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            members = packed.infolist()
            size = sum(item.file_size for item in members) + sum(map(len, inside.values()))
            if size > MOST_BYTES or len(members) + len(inside) > MEMBERS:
                what = f"it unpacks to {size:,} bytes in {len(members) + len(inside):,} files; "
                what += f"allowed are {MOST_BYTES:,} and {MEMBERS:,}"
                raise DataError([Fault(name, what, "Keep the sheet that is needed, and save that alone.")])
            if any(item.flag_bits & 1 for item in members):
                raise DataError([Fault(name, "it is protected by a password", "Remove the password, and save it.")])
            found = {item.filename: packed.read(item) for item in members if not item.is_dir()}
    except DataError:
        raise
    except Exception as error:
        # whatever zipfile, zlib and their like may raise, which have no base in common
        raise DataError(
            [Fault(name, f"it is damaged: {error}", "Save it anew with the program that made it.")]
        ) from None
    for member, data in found.items():
        if member.lower().endswith((".xml", ".rels", ".vml", ".rdf")):
            refuse_declarations(data, f"{name} ({member})")
    return found
