"""How often the judge flags an engine with a mistake of practical size, by the number of worlds.

Run: python3 -m uv run python tests/calibration/power.py

The mistakes are planted in the data that the engine is given. Four thousand worlds of each are placed once by the exact
engine; runs of fewer are drawn from them with replacement. A run is flagged where any quantity of this one model is, at
the level that each quantity of the whole grid has.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bayesmeta.effects import Effects
from calibration.generate import RESULTS, SEED
from calibration.judge import LEVEL, critical, depth
from calibration.ranks import BINS, place
from calibration.worlds import world

POWER = Path(__file__).with_name("power.json")
MISTAKES: dict[str, Callable[[Effects], Effects]] = {
    "standard errors 1.3 times too large": lambda e: dataclasses.replace(e, se=1.3 * e.se),
    "standard errors 1.3 times too small": lambda e: dataclasses.replace(e, se=e.se / 1.3),
    "estimates shifted by 0.3 of an error": lambda e: dataclasses.replace(e, y=e.y + 0.3 * e.se),
}
WORLDS, SIZES, RUNS = 4000, (200, 400, 4000), 400


def power(mistake: Callable[[Effects], Effects]) -> dict[str, float]:
    """Share of runs that are flagged, by their number of worlds."""
    found = []
    for number in range(WORLDS):
        made = world("pooled", number, SEED)
        found.append(place(dataclasses.replace(made, effects=mistake(made.effects)), "exact", SEED + number).places)
    table = np.array([list(item.values()) for item in found])
    cells = json.loads(RESULTS.read_text(encoding="utf-8"))["cells"]
    level = LEVEL / sum(len(cell["places"]) for cell in cells.values())
    draw = np.random.default_rng(SEED)
    shares = {}
    for size in SIZES:
        limit = critical(size, BINS, level)
        hits = 0
        for _ in range(RUNS):
            run = table[draw.integers(WORLDS, size=size)]
            hits += any(depth(np.bincount(column, minlength=BINS).tolist()) <= limit for column in run.T)
        shares[str(size)] = hits / RUNS
    return shares


if __name__ == "__main__":
    np.seterr(over="ignore", under="ignore")
    told = {name: power(mistake) for name, mistake in MISTAKES.items()}
    POWER.write_text(json.dumps({"worlds": WORLDS, "runs": RUNS, "flagged": told}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1))
