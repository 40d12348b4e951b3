"""Simulation-based calibration of both engines; writes results.json beside this file.

Run: python3 -m uv run python tests/calibration/generate.py [--only MODEL ...] [--engine exact|nuts] [--worlds N]

About half an hour on two cores; models that are named replace their part of the file, the others stay.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from calibration.judge import counted, p_value
from calibration.ranks import BINS, SETTINGS, graph_density, log_likelihood, place
from calibration.worlds import BOTH, DESIGNS, world

RESULTS = Path(__file__).with_name("results.json")
SEED = 20260
WORLDS = {"exact": 4000, "nuts": 200}
#: Worlds whose numbers are written down, so that a quick test sees an engine or a simulation that has changed.
PINNED = 3
PACKAGES = ("numpy", "scipy", "pymc", "pytensor", "nutpie", "numba")


def engines(name: str) -> tuple[str, ...]:
    """Engines that cover a model."""
    return ("exact", "nuts") if name in BOTH else ("nuts",)


def fingerprint(name: str, engine: str) -> list[dict[str, float]]:
    """Numbers of the first worlds that say that worlds and engine are as they were, in milliseconds.

    Exact: the probability below each truth. NUTS: the log density of the graph, and the log likelihood at the truth
    with study effects integrated out, by which they are drawn afterwards.
    """
    made = [world(name, number, SEED) for number in range(PINNED)]
    if engine == "exact":
        return [dict(place(item, engine, SEED).probabilities) for item in made]
    return [{**graph_density(item), "log likelihood": float(log_likelihood(item, item.parameters)[0])} for item in made]


def calibrate(name: str, engine: str, worlds: int, seed: int = SEED) -> dict[str, Any]:
    """Run one model in one engine."""
    start = time.perf_counter()
    found = [place(world(name, number, seed), engine, seed + number) for number in range(worlds)]
    counts = {quantity: counted((item.places[quantity] for item in found), BINS) for quantity in found[0].places}
    result: dict[str, Any] = {
        "worlds": worlds,
        "failed_checks": sum(not item.ok for item in found),
        "p": {quantity: float(f"{p_value(values):.3g}") for quantity, values in counts.items()},
        "places": counts,
        "pinned": [
            {quantity: float(f"{value:.9g}") for quantity, value in item.items()} for item in fingerprint(name, engine)
        ],
        "packages": {package: metadata.version(package) for package in PACKAGES},
    }
    low = min(result["p"], key=result["p"].__getitem__)
    print(
        f"{name:28}{engine:6}{worlds:5} worlds {result['failed_checks']:4} failed checks  smallest p "
        f"{result['p'][low]:.3g} ({low})  {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return result


def written(stored: dict[str, Any]) -> str:
    """JSON with one line per list, models in the order of the grid."""
    cells = {}
    for name in DESIGNS:
        cells |= {f"{name} / {engine}": stored["cells"].get(f"{name} / {engine}") for engine in engines(name)}
    stored = {**stored, "cells": {key: value for key, value in cells.items() if value}}
    lines = ["{"]
    lines += [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in stored.items() if key != "cells"]
    lines.append(' "cells": {')
    for key, cell in stored["cells"].items():
        lines.append(f"  {json.dumps(key)}: {{")
        for item, value in cell.items():
            if item == "places":
                inner = ",\n".join(
                    f"    {json.dumps(q)}: {json.dumps(c, separators=(',', ':'))}" for q, c in value.items()
                )
                lines.append(f'   "places": {{\n{inner}\n   }},')
            else:
                lines.append(f"   {json.dumps(item)}: {json.dumps(value)},")
        lines[-1] = lines[-1].rstrip(",")
        lines.append("  },")
    lines[-1] = lines[-1].rstrip(",")
    return "\n".join([*lines, " }", "}"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(DESIGNS), default=list(DESIGNS))
    parser.add_argument("--engine", choices=["exact", "nuts"])
    parser.add_argument("--worlds", type=int)
    arguments = parser.parse_args()
    for name in arguments.only:
        for engine in engines(name):
            if arguments.engine not in (None, engine):
                continue
            cell = calibrate(name, engine, arguments.worlds or WORLDS[engine])
            stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"cells": {}}
            sampling = {"chains": SETTINGS.chains, "draws": SETTINGS.draws, "tune": SETTINGS.tune}
            stored |= {"seed": SEED, "python": platform.python_version(), "bins": BINS, "sampling": sampling}
            stored["cells"][f"{name} / {engine}"] = cell
            RESULTS.write_text(written(stored), encoding="utf-8")


if __name__ == "__main__":
    np.seterr(over="ignore", under="ignore")
    main()
