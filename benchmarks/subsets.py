"""How long all subsets of the trials take, beside one 200 x 200 symmetric eigenproblem of the same run.

Run: python3 -m uv run python benchmarks/subsets.py

Machines differ and are noisy: read the ratios, and subsets per second. Every line is the fastest of three runs.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np

import bayesmeta as bm
from bayesmeta.classical import gosh, influence_table


def timed(function: Callable[[], object], runs: int = 3) -> float:
    function()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds)


def example(k: int) -> bm.Effects:
    rng = np.random.default_rng(k)
    return bm.Effects(
        [f"trial {i}" for i in range(k)], rng.normal(-0.3, 0.3, k), rng.uniform(0.1, 0.4, k), measure="SMD"
    )


def main() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 200))
    matrix = matrix + matrix.T
    ten, fifteen, fifty = example(10), example(15), example(50)
    lines: list[tuple[str, int, Callable[[], object]]] = [
        ("numpy.linalg.eigh, 200 x 200", 1, lambda: np.linalg.eigh(matrix)),
        ("all subsets, k = 10, REML", 2**10 - 1, lambda: gosh(ten)),
        ("all subsets, k = 15, EE", 2**15 - 1, lambda: gosh(fifteen, method="EE")),
        ("all subsets, k = 15, DL", 2**15 - 1, lambda: gosh(fifteen, method="DL")),
        ("all subsets, k = 15, REML", 2**15 - 1, lambda: gosh(fifteen)),
        ("one by one, 200 subsets of k = 15, REML", 200, lambda: [bm.classical.pool(fifteen) for _ in range(200)]),
        ("20,000 random subsets, k = 50, REML", 20_000, lambda: gosh(fifty, max_subsets=20_000)),
        ("influence of every trial, k = 50, REML", 50, lambda: influence_table(fifty)),
    ]
    unit = None
    print(f"{'':44}{'fastest':>12}{'ratio':>9}{'fits/s':>12}")
    for label, fits, function in lines:
        fastest = timed(function)
        unit = unit or fastest
        print(f"{label:44}{fastest:9.1f} ms{fastest / unit:9.1f}{1e3 * fits / fastest:12,.0f}")
    tracemalloc.start()
    gosh(fifteen)
    print(f"peak memory of all subsets, k = 15, REML: {tracemalloc.get_traced_memory()[1] / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
