"""How long an exact fit and its summary take in two versions of the sources, turn by turn in one run.

Run: OMP_NUM_THREADS=1 python3 -m uv run python benchmarks/before_after.py OTHER/src

Machines differ and are noisy: read the last column, the time of these sources over that of the others. Beside them
stands one 200 x 200 symmetric eigenproblem.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROUNDS, RUNS = 7, 200


def measured() -> dict[str, float]:
    """Fastest of some runs of each task, in milliseconds, with the sources that are imported here."""
    import numpy as np

    import bayesmeta as bm

    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 200))
    matrix = matrix + matrix.T
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    tasks: dict[str, Callable[[], object]] = {"eigh, 200 x 200": lambda: np.linalg.eigh(matrix)}
    for k in (10, 35):
        rng = np.random.default_rng(k)
        y, se = rng.normal(-0.3, 0.3, k), rng.uniform(0.1, 0.4, k)
        effects = bm.Effects([f"trial {i}" for i in range(k)], y, se, measure="SMD", better="lower")
        fit = bm.fit(effects, model)
        tasks[f"fit, k = {k}"] = lambda e=effects: bm.fit(e, model)  # type: ignore[misc]
        tasks[f"summarize, k = {k}"] = lambda f=fit: bm.summarize(f)  # type: ignore[misc]
        tasks[f"fit and summarize, k = {k}"] = lambda e=effects: bm.summarize(bm.fit(e, model))  # type: ignore[misc]
        for method in ("REML", "PM", "DL"):
            tasks[f"classical.pool, {method}, k = {k}"] = lambda e=effects, m=method: bm.classical.pool(e, method=m)  # type: ignore[misc]
    found = {}
    for name, task in tasks.items():
        task()
        times = []
        for _ in range(RUNS):
            start = time.perf_counter()
            task()
            times.append(time.perf_counter() - start)
        found[name] = 1e3 * min(times)
    return found


def main() -> None:
    """Print the fastest of all rounds with either."""
    here = Path(__file__).resolve().parents[1] / "src"
    best: list[dict[str, float]] = [{}, {}]
    for _ in range(ROUNDS):
        for number, source in enumerate((here, Path(sys.argv[1]).resolve())):
            environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, __file__, "--measure"], env=environment, capture_output=True, text=True, check=True
            )
            for name, value in json.loads(done.stdout).items():
                best[number][name] = min(value, best[number].get(name, value))
    print(f"{'task':34}{'here, ms':>12}{'there, ms':>12}{'ratio':>8}")
    for name, value in best[0].items():
        print(f"{name:34}{value:12.3f}{best[1][name]:12.3f}{value / best[1][name]:8.2f}")


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(json.dumps(measured()))
    else:
        main()
