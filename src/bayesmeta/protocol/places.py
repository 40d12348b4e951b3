"""Where files lie that belong together: the table of a protocol, the protocols of a provenance file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from bayesmeta.boundary import file_bytes
from bayesmeta.errors import BayesmetaError, Fault, ProtocolError

__all__ = ["data_file", "require_protocol"]


def data_file(folder: Path, named: str) -> Path:
    r"""Find a file that a protocol names, with either separator of folders.

    Examples
    --------
    >>> data_file(Path("models"), "..\\data\\trials.xlsx").as_posix()
    'models/../data/trials.xlsx'
    """
    place = folder / named
    return folder / PureWindowsPath(named).as_posix() if "\\" in named and not place.exists() else place


def require_protocol(path: Path, raw: Mapping[str, Any]) -> None:
    """Refuse a provenance file where a protocol is asked for, and name the protocols of its table.

    Raises
    ------
    ProtocolError
        If the file tells where a table comes from, and states no analysis.
    """
    described = "data" not in raw and isinstance(raw.get("file"), str)
    if not described or not (path.name.lower().endswith(".provenance.toml") or {"column", "source"} & raw.keys()):
        return
    folder = path.resolve().parent
    found = [
        other.name if other.parent == folder else Path("..", *other.parts[-2:]).as_posix()
        for place in (folder, folder.parent / "models")
        for other in sorted(place.glob("*.toml"))
        if _table_of(other) == raw["file"]
    ]
    what = f"it is the provenance file of {raw['file']}, which says where that table comes from, and no protocol"
    none = f"No protocol beside it reads that table: bayesmeta init {raw['file']} writes one."
    named = f"Name the protocol: {' or '.join(dict.fromkeys(found))}."
    raise ProtocolError([Fault(path.name, what, named if found else none)])


def _table_of(path: Path) -> str | None:
    """The name of the table that a protocol reads; None of a file that is no protocol."""
    try:
        data = tomllib.loads(file_bytes(path).decode("utf-8-sig")).get("data")
    except (BayesmetaError, OSError, ValueError, RecursionError):
        return None
    named = data.get("path") if isinstance(data, Mapping) else None
    return PureWindowsPath(named).name if isinstance(named, str) else None
