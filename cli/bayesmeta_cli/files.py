"""Files: what kind they are, where outputs go, and writing them whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import typer

from bayesmeta import DataError, ProtocolError

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
_WORKBOOKS = (".xlsx", ".xls", ".xlsm", ".ods")


def existing(path: Path, allowed: Sequence[str]) -> Path:
    """Return the path if there is such a file of a kind that the command takes."""
    suffix = path.suffix.lower()
    if suffix in _WORKBOOKS:
        raise DataError(f"{path}: a workbook is not read. Save it as CSV (UTF-8).")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder. Give a file.")
    kind = {".toml": "protocol", ".nc": "fit"}.get(suffix, "table")
    if kind not in allowed:
        takes = {"protocol": "a protocol (.toml)", "fit": "a fit (.nc)", "table": "a table (.csv)"}
        raise typer.BadParameter(f"{path} is not {' or '.join(takes[item] for item in allowed)}.")
    return path


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``, which takes its place once all is written."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        yield Path(name)
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def plot_paths(output: Path, keys: Sequence[str], name: str) -> list[Path]:
    """Name one file per outcome: the file itself for one, a folder or ``{outcome}`` in the name for several."""
    text = str(output)
    suffix = output.suffix.lower()
    if "{outcome}" in text or (suffix in PLOT_SUFFIXES and len(keys) == 1):
        paths = [Path(text.replace("{outcome}", key)) for key in keys]
    elif output.is_dir() or not suffix:
        paths = [output / f"{key}.{name}.png" for key in keys]
    elif suffix in PLOT_SUFFIXES:
        raise typer.BadParameter(
            f"{len(keys)} outcomes, one file: {output}. Give a folder, put {{outcome}} in the name, or choose one "
            "with --outcome."
        )
    else:
        paths = [output]
    for path in paths:
        if path.suffix.lower() not in PLOT_SUFFIXES:
            raise typer.BadParameter(f"{path}: the suffix chooses the format. Allowed: {', '.join(PLOT_SUFFIXES)}.")
    return paths


def pin(path: Path) -> str:
    """Write the data's SHA-256 into a protocol, leaving every other character as it is; return the hash."""
    try:
        content = path.read_bytes().decode("utf-8")
        table = tomllib.loads(content.removeprefix("\ufeff")).get("data", {})
    except ValueError:
        from bayesmeta import read_protocol

        # the reader of protocols says where and what to do
        read_protocol(path)
        raise
    if not isinstance(table, dict) or not isinstance(table.get("path"), str):
        raise ProtocolError(f'{path.name} key data.path: the key is missing. Add [data] with path = "...".')
    data = path.parent / table["path"]
    found = hashlib.sha256(data.read_bytes()).hexdigest()
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


def copy_example(folder: Path) -> list[Path]:
    """Copy the example's protocol, table and provenance; no file is overwritten."""
    sources = [item for item in resources.files("bayesmeta").joinpath("example").iterdir() if item.is_file()]
    targets = [folder / item.name for item in sorted(sources, key=lambda item: item.name)]
    taken = [str(path) for path in targets if path.exists()]
    if taken:
        raise FileExistsError(f"{', '.join(taken)}: there already. Choose another folder.")
    from bayesmeta.report import staged

    with staged(folder) as place:
        for item in sources:
            (place / item.name).write_bytes(item.read_bytes())
    return targets
