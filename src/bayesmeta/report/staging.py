"""Files that appear only once all of them are written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["staged"]


@contextmanager
def staged(folder: Path, *, last: str = "") -> Iterator[Path]:
    """Give a temporary folder whose files and folders take the place of those of the same name in ``folder``.

    Nothing of what was there is touched until everything is written. What is called ``last`` moves last, so that it
    never describes files that are not there.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=folder, prefix=".bayesmeta-"))
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
        shutil.rmtree(place, ignore_errors=True)
        if new and not any(folder.iterdir()):
            folder.rmdir()
