"""How long refits take together, beside one by one: priors of tau, and trials left out.

Run: python3 -m uv run python benchmarks/refits.py

Machines differ and are noisy: the last column is the ratio within one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import bayesmeta as bm
from bayesmeta.fits import main_quantiles
from bayesmeta.sensitivity import named_priors

ROOT = Path(__file__).resolve().parents[1]
Tasks = list[tuple[bm.Effects, bm.Model]]


def seconds(function: Callable[[], object], runs: int = 7) -> float:
    """The fastest of some runs, after one that is not counted."""
    function()
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def one_by_one(tasks: Tasks) -> list[dict[str, tuple[float, float, float]]]:
    """Fit and ask each alone."""
    return [main_quantiles([bm.fit(effects, model)])[0] for effects, model in tasks]


def together(tasks: Tasks) -> list[dict[str, tuple[float, float, float]]]:
    """Fit and ask all at once."""
    return main_quantiles([item for item in bm.fit_many(tasks) if isinstance(item, bm.Fit)])


def main() -> None:
    """Print both for a small and a large outcome."""
    protocol = bm.read_protocol(ROOT / "models" / "cancer_exercise.toml")
    print(f"{'refits':34}{'number':>8}{'alone, ms':>12}{'together, ms':>14}{'times as fast':>15}")
    for key in ("depression_long", "fatigue_short"):
        effects = bm.read_effects(protocol, key)
        priors = [
            (effects, bm.Model(mu, item.prior))
            for item in named_priors("SMD")[1]
            for mu in (bm.Flat(), *(bm.Normal(0, sd) for sd in (0.2, 0.5, 1.0, 2.0)))
        ]
        model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
        names = np.array(effects.study)
        left_out = [(effects.subset(names != name), model) for name in dict.fromkeys(effects.study)]
        for words, tasks in (("priors", priors), ("trials left out", left_out)):
            alone, both = seconds(lambda t=tasks: one_by_one(t)), seconds(lambda t=tasks: together(t))  # type: ignore[misc]
            label = f"{words}, {effects.k} rows"
            print(f"{label:34}{len(tasks):8}{1e3 * alone:12.1f}{1e3 * both:14.1f}{alone / both:15.1f}")


if __name__ == "__main__":
    main()
