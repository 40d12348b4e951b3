"""Files that appear only once all of them are written, and what runs that were killed left behind."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["replaced", "staged"]

_PREFIX = ".bayesmeta-"
_LOCK = "lock"
# seconds after which a folder that nobody locked was not made just now
_OLD = 3600.0


def _lock(path: Path, *, create: bool) -> Any | None:
    """Lock a file as long as it is open; None if another process has it, or the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        return open(path, "ab") if create else None
    file = open(path, "ab" if create else "rb+")  # noqa: SIM115 (the lock lasts as long as it is open)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # another process has it, or the file system has no locks: then nothing is known to be stale
        if not create:
            file.close()
            return None
    return file


def sweep(folder: Path) -> None:
    """Remove staging folders whose process is gone: it has let go of their lock."""
    for place in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = place / _LOCK
            if lock.exists():
                if (held := _lock(lock, create=False)) is None:
                    continue
                held.close()
            elif not place.is_dir() or time.time() - place.stat().st_mtime < _OLD:
                continue
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def staged(folder: Path, *, last: str = "") -> Iterator[Path]:
    """Give a temporary folder whose files and folders take the place of those of the same name in ``folder``.

    Nothing of what was there is touched until everything is written. What is called ``last`` moves last, so that it
    never describes files that are not there. What earlier runs left that were killed is removed.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    place = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
    try:
        held = _lock(place / _LOCK, create=True)
        try:
            inside = place / "new"
            inside.mkdir()
            yield inside
            for item in sorted(inside.iterdir(), key=lambda item: (item.name == last, item.name)):
                target = folder / item.name
                if target.is_dir():
                    os.replace(target, place / f"old-{item.name}")
                os.replace(item, target)
        finally:
            if held is not None:
                held.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if new and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a place for a file of the same name, which replaces ``path`` once all is written.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        If its folder does not exist, or a folder has its name.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    with staged(path.parent) as place:
        yield place / path.name
