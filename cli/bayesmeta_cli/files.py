"""Files: what kind they are, where outputs go, and writing them whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import typer

from bayesmeta import DataError

PLOT_SUFFIXES = (".png", ".svg", ".pdf")


def existing(path: Path, allowed: Sequence[str]) -> Path:
    """Return the path if there is such a file of a kind that the command takes."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder. Give a file.")
    if not path.is_file():
        raise DataError(f"{path}: it is a pipe or a device, not a file. Name a file.")
    kind = {".toml": "protocol", ".nc": "fit"}.get(suffix, "table")
    if kind not in allowed:
        takes = {"protocol": "a protocol (.toml)", "fit": "a fit (.nc)", "table": "a table (.csv .xlsx .ods .rm5 .zip)"}
        raise typer.BadParameter(f"{path} is not {' or '.join(takes[item] for item in allowed)}.")
    return path


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


def copy_example(folder: Path) -> list[Path]:
    """Copy the example's protocol, table and provenance; no file is overwritten."""
    sources = [item for item in resources.files("bayesmeta").joinpath("example").iterdir() if item.is_file()]
    targets = [folder / item.name for item in sorted(sources, key=lambda item: item.name)]
    taken = [str(path) for path in targets if path.exists()]
    if taken:
        raise FileExistsError(f"{', '.join(taken)}: there already. Choose another folder.")
    from bayesmeta.boundary import staged

    with staged(folder) as place:
        for item in sources:
            (place / item.name).write_bytes(item.read_bytes())
    return targets
