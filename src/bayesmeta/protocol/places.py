"""Where the file of trials lies that a protocol names."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

__all__ = ["data_file"]


def data_file(folder: Path, named: str) -> Path:
    r"""Find a file that a protocol names, with either separator of folders.

    Examples
    --------
    >>> data_file(Path("models"), "..\\data\\trials.xlsx").as_posix()
    'models/../data/trials.xlsx'
    """
    place = folder / named
    return folder / PureWindowsPath(named).as_posix() if "\\" in named and not place.exists() else place
