"""What the files of fits cost: one fit written and read by xarray's two engines, and `bayesmeta fit` with and without.

Run: python3 -m uv run python benchmarks/files.py

The twelve outcomes of models/cancer_exercise.toml with their files take at most 6 s on two idle cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

import bayesmeta as bm

CANCER = Path(__file__).parent.parent / "models" / "cancer_exercise.toml"
RUN = "import sys; sys.argv[0] = 'bayesmeta'; from bayesmeta_cli.main import run; run()"
ENGINES: tuple[Literal["netcdf4", "h5netcdf"], ...] = ("netcdf4", "h5netcdf")


def milliseconds(action: Callable[[], object], runs: int = 10) -> float:
    """Processor time of one call: files need no waiting for other processes."""
    action()
    times = []
    for _ in range(runs):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return 1e3 * float(np.median(times))


def command(*options: str) -> tuple[float, float]:
    """Wall and processor seconds of `bayesmeta fit`, median of three."""
    found = []
    for _ in range(3):
        before, start = os.times(), time.perf_counter()
        arguments = [sys.executable, "-c", RUN, "fit", str(CANCER), "--json", *options]
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = os.times()
        spent = sum(after[2:4]) - sum(before[2:4])
        found.append((time.perf_counter() - start, spent))
    wall, spent = np.median(found, axis=0)
    return float(wall), float(spent)


def main() -> None:
    protocol = bm.read_protocol(CANCER)
    outcome, effects = protocol.outcomes["anxiety_short"], bm.read_effects(protocol, "anxiety_short")
    tree = bm.fit(effects, outcome.model.on(), outcome=outcome).tree
    variables = sum(len(node.to_dataset(inherit=False).variables) for node in tree.subtree)
    with tempfile.TemporaryDirectory() as folder:
        print(f"one fit, k = {effects.k}, {variables} variables in {len(tree.children)} groups")
        for engine in ENGINES:
            path = Path(folder, f"{engine}.nc")
            write = milliseconds(lambda path=path, engine=engine: tree.to_netcdf(path, engine=engine))
            read = milliseconds(lambda path=path, engine=engine: xr.load_datatree(path, engine=engine))
            print(f"{engine:10s} {write:6.0f} ms written, {read:6.0f} ms read")
        for name, options in {"twelve outcomes": [], "with their files": ["-o", str(Path(folder, "out"))]}.items():
            wall, spent = command(*options)
            print(f"{name:18s} {wall:6.2f} s, of the processor {spent:6.2f} s")


if __name__ == "__main__":
    main()
