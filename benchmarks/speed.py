"""How long an exact answer takes, beside one 200 x 200 symmetric eigenproblem of the same run.

Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python3 -m uv run python benchmarks/speed.py

Machines differ and are noisy: read the ratios. Every line is the fastest and the median of 200 runs, one thread.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import time
from collections.abc import Callable

import numpy as np

import bayesmeta as bm


def timed(function: Callable[[], object], runs: int = 200) -> tuple[float, float]:
    function()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds), 1e3 * float(np.median(seconds))


def example(k: int) -> bm.Effects:
    rng = np.random.default_rng(k)
    return bm.Effects(
        [f"trial {i}" for i in range(k)],
        rng.normal(-0.3, 0.3, k),
        rng.uniform(0.1, 0.4, k),
        measure="SMD",
        better="lower",
        moderators={"weeks": rng.uniform(4, 24, k), "kind": np.array(list("abc" * k)[:k], object)},
    )


def main() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 200))
    matrix = matrix + matrix.T
    plain = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    moderated = bm.Model(
        bm.Normal(0, 1),
        bm.HalfNormal(0.5),
        {"weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6), "kind": bm.Normal(0, 0.5)},
    )
    ten, fifty = example(10), example(50)
    ten_fit, fifty_fit = bm.fit(ten, plain), bm.fit(fifty, moderated)
    lines: list[tuple[str, Callable[[], object]]] = [
        ("numpy.linalg.eigh, 200 x 200", lambda: np.linalg.eigh(matrix)),
        ("fit, k = 10", lambda: bm.fit(ten, plain)),
        ("fit + summarize, k = 10", lambda: bm.summarize(bm.fit(ten, plain))),
        ("study_table, k = 10", lambda: bm.study_table(ten_fit)),
        ("fit, k = 50, 3 coefficients", lambda: bm.fit(fifty, moderated)),
        ("fit + summarize, k = 50, 3 coefficients", lambda: bm.summarize(bm.fit(fifty, moderated))),
        ("study_table, k = 50, 3 coefficients", lambda: bm.study_table(fifty_fit)),
        ("classical REML + HKSJ, k = 10", lambda: bm.classical.pool(ten, method="REML", ci="hksj")),
    ]
    unit = None
    print(f"{'':44}{'fastest':>10}{'median':>10}{'ratio':>8}")
    for label, function in lines:
        fastest, median = timed(function)
        unit = unit or fastest
        print(f"{label:44}{fastest:8.2f} ms{median:7.2f} ms{fastest / unit:8.2f}")


if __name__ == "__main__":
    main()
