"""Seconds of an average over RoBMA's 36 models, by the number of trials, and with two moderators (144 models).

Run: python3 -m uv run python benchmarks/averaging.py

Elapsed and CPU seconds of `bayesmeta.average`, the best of three; trials drawn around 0.25 with an SD of 0.2.
RoBMA takes minutes for the same models by JAGS.
"""

from __future__ import annotations

import time

import numpy as np

import bayesmeta as bm


def effects(k: int, seed: int = 3) -> bm.Effects:
    """k trials with a level and a number each."""
    rng = np.random.default_rng(seed)
    se = rng.uniform(0.1, 0.4, k)
    moderators = {"type": [*"ab"] * (k // 2), "weeks": rng.uniform(4, 20, k)}
    y = rng.normal(0.25, 0.2, k) + rng.normal(0, 1, k) * se
    names = [f"trial {i}" for i in range(k)]
    return bm.Effects(names, y, se, measure="SMD", better="higher", moderators=moderators)


def main() -> None:
    """Print one line for each size."""
    priors = {"type": bm.Normal(0, 0.25), "weeks": bm.Normal(0, 0.05)}
    print(f"{'':24}{'models':>8}{'elapsed':>10}{'CPU':>10}")
    for k, moderators in ((10, {}), (20, {}), (50, {}), (100, {}), (20, priors)):
        rows, best = effects(k), (np.inf, np.inf)
        for _ in range(3):
            elapsed, cpu = time.perf_counter(), time.process_time()
            fit = bm.average(rows, "psma", moderators=moderators)
            best = min(best, (time.perf_counter() - elapsed, time.process_time() - cpu))
        name = f"k = {k}" + (", two moderators" if moderators else "")
        print(f"{name:24}{len(fit.posterior.tables):8}{best[0]:10.2f}{best[1]:10.2f}")  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
