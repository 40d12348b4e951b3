"""The hash of a protocol's data, written into the protocol."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

from bayesmeta.boundary import file_bytes, replaced
from bayesmeta.errors import ProtocolError
from bayesmeta.protocol.places import data_file, require_protocol

__all__ = ["pin_data"]


def pin_data(path: Path) -> str:
    """Write the data's SHA-256 into a protocol, leaving every other character as it is; return the hash.

    Raises
    ------
    ProtocolError
        If the protocol names no data, or there is no place for the hash.
    FileNotFoundError
        If there is no such protocol, or no such data.

    Examples
    --------
    >>> import shutil, tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     path = shutil.copytree("src/bayesmeta/example", place, dirs_exist_ok=True) + "/protocol.toml"
    ...     pin_data(Path(path)) == bm.read_protocol(path).data.sha256
    True
    """
    try:
        content = file_bytes(path).decode("utf-8")
        raw = tomllib.loads(content.removeprefix("\ufeff"))
    except ValueError:
        from bayesmeta.protocol.reading import read_protocol

        # the reader of protocols says where and what to do
        read_protocol(path)
        raise
    require_protocol(path, raw)
    table = raw.get("data", {})
    if not isinstance(table, dict) or not isinstance(table.get("path"), str):
        raise ProtocolError(f'{path.name} key data.path: the key is missing. Add [data] with path = "...".')
    data = data_file(path.parent, table["path"])
    found = hashlib.sha256(file_bytes(data)).hexdigest()
    start = re.search(r"^[ \t]*\[[ \t]*data[ \t]*\][^\n]*\n", content, re.MULTILINE)
    if start is None:
        raise ProtocolError(f'{path.name}: write the data under a [data] header, or add sha256 = "{found}" by hand.')
    following = re.compile(r"^[ \t]*\[", re.MULTILINE).search(content, start.end())
    end = len(content) if following is None else following.start()
    section = content[start.end() : end]
    line = f'sha256 = "{found}"'
    ending = "\r\n" if start.group().endswith("\r\n") else "\n"
    section, replacements = re.subn(
        r"^([ \t]*)sha256[ \t]*=[ \t]*(\"[^\"\n]*\"|'[^'\n]*')", rf"\1{line}", section, count=1, flags=re.MULTILINE
    )
    if not replacements:
        # beside the path where that is a line of its own, else first in the table
        section, placed = re.subn(
            r"^([ \t]*)(path[ \t]*=[^\n]*)\n", rf"\1\2\n\1{line}{ending}", section, count=1, flags=re.MULTILINE
        )
        section = section if placed else line + ending + section
    changed = content[: start.end()] + section + content[end:]
    if tomllib.loads(changed.removeprefix("\ufeff")).get("data", {}).get("sha256") != found:
        raise ProtocolError(f'{path.name}: sha256 could not be placed; write sha256 = "{found}" under [data] by hand.')
    with replaced(path) as place:
        place.write_bytes(changed.encode("utf-8"))
    return found
