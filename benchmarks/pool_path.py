"""Files that the numbers of a table pass through, from the reader to the printed mean of `bayesmeta pool`.

Run: python3 -m uv run python benchmarks/pool_path.py [--list]

A file counts where a function of it receives or gives back estimates, standard errors or what is made of them: an
array, a frame, or a noun of the library that holds one. ``__init__`` files and what runs at import are left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd

import bayesmeta
import bayesmeta_cli.main as command_line

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = [Path(module.__file__ or "").parent for module in (bayesmeta, command_line)]
TABLE = ROOT / "data" / "exercise_depression_10_trials.csv"


def carries(value: Any, depth: int = 2) -> bool:
    """Whether a value is or holds numbers of the table."""
    if isinstance(value, np.ndarray | pd.DataFrame | pd.Series):
        return value.size > 0
    if depth and isinstance(value, tuple | list):
        return any(carries(item, depth - 1) for item in value)
    if depth and isinstance(value, dict):
        return any(carries(item, depth - 1) for item in value.values())
    if depth and dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(carries(getattr(value, item.name, None), depth - 1) for item in dataclasses.fields(value))
    return False


def main() -> None:
    executed: set[Path] = set()
    passed: set[Path] = set()

    def watch(frame: FrameType, event: str, result: Any) -> None:
        if event not in ("call", "return") or frame.f_code.co_name == "<module>":
            return
        path = Path(frame.f_code.co_filename)
        if path.name == "__init__.py" or not any(folder in path.parents for folder in FOLDERS):
            return
        executed.add(path)
        if path in passed:
            return
        given = [frame.f_locals.get(name) for name in frame.f_code.co_varnames[: frame.f_code.co_argcount]]
        if carries(result if event == "return" else given):
            passed.add(path)

    columns = ["--column", "estimate=smd", "--column", "se=sesmd", "--measure", "SMD"]
    sys.setprofile(watch)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            command_line.main(["pool", str(TABLE), *columns])
    finally:
        sys.setprofile(None)
    print(f"{len(passed)} files pass on numbers, {len(executed)} run")
    if "--list" in sys.argv:
        print("\n".join(sorted(str(path.relative_to(path.parents[2])) for path in passed)))


if __name__ == "__main__":
    main()
