"""How long the sensitivity bench of one outcome takes, section by section, and the subsets of fifteen trials.

Run: python3 -m uv run python benchmarks/sensitivity.py

The 35 rows of fatigue up to 12 weeks (shared controls, so that some methods refuse) and 35 simulated independent rows,
on which every method runs. Machines differ and are noisy: the last column is a ratio to one 200 x 200 symmetric
eigenproblem of the same run.
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import bayesmeta as bm
from bayesmeta.sensitivity import SECTIONS, SLOW, sensitivity_analyses
from bayesmeta.studies import read_outcome

ROOT = Path(__file__).resolve().parents[1]


def seconds(function: Callable[[], object], runs: int = 5) -> float:
    """The fastest of some runs, after one that is not counted."""
    function()
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def fatigue() -> tuple[bm.Fit, Callable[[Mapping[str, Any]], bm.Effects]]:
    """The outcome with its thresholds, and how its effects are computed anew."""
    protocol = bm.read_protocol(ROOT / "models" / "cancer_exercise.toml")
    outcome = protocol.outcomes["fatigue_short"]
    fit = bm.fit(bm.read_effects(protocol, "fatigue_short"), outcome.model.on(), outcome=outcome)

    def recompute(options: Mapping[str, Any]) -> bm.Effects:
        changed = dataclasses.replace(outcome, measure_options=dict(options))
        return read_outcome(dataclasses.replace(protocol, outcomes={"fatigue_short": changed}), "fatigue_short").effects

    return fit, recompute


def independent() -> bm.Fit:
    """Thirty-five independent rows with counts, so that no section refuses."""
    rng = np.random.default_rng(35)
    n = rng.integers(20, 90, (35, 2))
    control = rng.beta(4, 8, 35)
    treated = 1 / (1 + np.exp(-(np.log(control / (1 - control)) + rng.normal(-0.4, 0.3, 35))))
    import pandas as pd

    frame = pd.DataFrame(
        {
            "study": [f"trial {i}" for i in range(35)],
            "events_t": rng.binomial(n[:, 0], treated),
            "n_t": n[:, 0],
            "events_c": rng.binomial(n[:, 1], control),
            "n_c": n[:, 1],
        }
    )
    effects = bm.effect_sizes(frame, "OR", better="lower")
    threshold = bm.threshold(0.75, measure_name="OR", better="lower")
    outcome = bm.Outcome(
        "events", "Events", {}, "OR", "lower", bm.Normal(0, 2), bm.HalfNormal(0.5), thresholds=(threshold,)
    )
    return bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)), outcome=outcome)


def main() -> None:
    """Print seconds and ratios."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 200))
    matrix = matrix + matrix.T
    unit = seconds(lambda: np.linalg.eigh(matrix), 20)
    fit, recompute = fatigue()
    events = independent()
    names = [name for name in SECTIONS if name not in (*SLOW, "declared")]
    print(f"{'seconds, fastest of five':24}{'fatigue, 35 rows':>18}{'events, 35 rows':>18}{'ratio':>8}")
    for name in names:
        first = seconds(lambda name=name: sensitivity_analyses(fit, [name], recompute=recompute))  # type: ignore[misc]
        second = seconds(lambda name=name: sensitivity_analyses(events, [name]))  # type: ignore[misc]
        print(f"{name:24}{first:18.3f}{second:18.3f}{second / unit:8.1f}")
    first = seconds(lambda: sensitivity_analyses(fit, recompute=recompute))
    second = seconds(lambda: sensitivity_analyses(events))
    print(f"{'all of it':24}{first:18.3f}{second:18.3f}{second / unit:8.1f}")
    few = events.effects.subset(range(15))
    for method in ("REML", "DL"):
        found = seconds(lambda method=method: bm.classical.gosh(few, method=method), 1)  # type: ignore[misc]
        print(f"{f'GOSH, k = 15, {method}':24}{'':18}{found:18.3f}{found / unit:8.1f}")


if __name__ == "__main__":
    main()
