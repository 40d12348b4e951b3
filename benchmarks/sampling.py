"""What sampling costs: effective draws a second beside plain PyMC models, first answers, and compilations.

Run: python3 -m uv run python benchmarks/sampling.py [ess] [first] [protocol] [models]

Every part prints ratios of things that were measured in turns within one run; machines differ and are noisy. ``ess``:
draws of the mean and the heterogeneity with study effects integrated out, against the centred and the non-centred model
as one writes them down. All rows stand as independent ones, so that the three are one model. ``first``: seconds to a
first answer in a new process, with an empty and with a filled compile cache. ``protocol``: all outcomes of a protocol
with one compilation per shape, against one per outcome. ``models``: joint outcomes and Student effects.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import bayesmeta as bm

MODELS = Path(__file__).parents[1] / "models"
SETTINGS = bm.Settings(target_accept=0.9)
ROUNDS = 5


Drawn = tuple[dict[str, np.ndarray], float]


def of_tree(tree) -> Drawn:
    """Draws of mean and heterogeneity, and gradients that were evaluated for them."""
    draws = {name: tree["posterior"][name].values for name in ("mu", "tau")}
    return draws, float(tree["sample_stats"]["n_steps"].values.sum())


def effective(draws: dict[str, np.ndarray]) -> float:
    """Smallest bulk effective sample size of arrays of shape (chains, draws)."""
    from arviz_stats.base import array_stats

    return min(float(array_stats.ess(values, method="bulk")) for values in draws.values())


def eight_schools() -> tuple[bm.Effects, bm.Model]:
    y, se = [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]
    effects = bm.Effects([f"school {i + 1}" for i in range(8)], y, se, measure="MD")
    return effects, bm.Model(bm.Normal(0, 20), bm.HalfNormal(20))


def fatigue() -> tuple[bm.Effects, bm.Model]:
    found = read("fatigue_short")
    k = found.k
    # plain models ignore that rows share patients; here all do, so that all sample one posterior
    rows = bm.Effects([f"row {i}" for i in range(k)], found.y, found.se, measure="SMD")
    return rows, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))


def read(outcome: str) -> bm.Effects:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bm.read_effects(bm.read_protocol(MODELS / "cancer_exercise.toml"), outcome)


def plain(effects: bm.Effects, model: bm.Model, centred: bool):
    """The model as a textbook writes it."""
    import pymc as pm

    with pm.Model() as made:
        mu = pm.Normal("mu", model.mu.mean, model.mu.sd)  # type: ignore[attr-defined]
        tau = pm.HalfNormal("tau", model.tau.scale)  # type: ignore[union-attr]
        if centred:
            theta = pm.Normal("theta", mu, tau, shape=effects.k)
        else:
            theta = pm.Deterministic("theta", mu + tau * pm.Normal("z", shape=effects.k))
        pm.Normal("y", theta, effects.se, observed=effects.y)
    return made


def ess_per_second() -> None:
    import logging

    import nutpie
    import pymc as pm

    from bayesmeta.nuts import build_graph, build_rows, run, signature

    logging.getLogger("pymc").setLevel(logging.ERROR)
    print(
        "Effective draws a second (bulk ESS, the smaller of mean and heterogeneity; 4 x 1000 draws after 1000, "
        f"target acceptance {SETTINGS.target_accept:g}; compiled before; {ROUNDS} seeds in turns)"
    )
    for title, (effects, model) in {"eight schools": eight_schools(), "fatigue, short": fatigue()}.items():
        h = build_rows(effects, model)
        graph, key = build_graph(h), signature(h)

        def ours(seed: int) -> Drawn:
            raw = run(key, lambda: graph, graph.data, SETTINGS, seed, SETTINGS.target_accept)  # noqa: B023
            return {"mu": raw.draws["coefficients"][0], "tau": raw.draws["tau"]}, raw.stats["n_steps"].sum()

        def whole(seed: int) -> Drawn:
            drawn = bm.fit(effects, model, engine="nuts", seed=seed, settings=SETTINGS).sample  # noqa: B023
            return {"mu": drawn.coefficients[0], "tau": drawn.tau}, drawn.stats["n_steps"].sum()

        def by_nutpie(compiled: object) -> Callable[[int], Drawn]:
            def draw(seed: int) -> Drawn:
                tree = nutpie.sample(
                    compiled,
                    chains=4,
                    draws=1000,
                    tune=1000,
                    seed=seed,
                    progress_bar=False,
                    save_warmup=False,
                    target_accept=SETTINGS.target_accept,
                )
                return of_tree(tree)

            return draw  # noqa: B023

        centred, free = plain(effects, model, True), plain(effects, model, False)

        def by_pymc(seed: int) -> Drawn:
            with free:  # noqa: B023
                tree = pm.sample(
                    1000,
                    tune=1000,
                    chains=4,
                    cores=2,
                    random_seed=seed,
                    progressbar=False,
                    nuts_sampler="pymc",
                    target_accept=SETTINGS.target_accept,
                    compute_convergence_checks=False,
                )
            return of_tree(tree)

        lines = {
            "study effects integrated out": ours,
            "the same, with study effects drawn and checks": whole,
            "plain, non-centred, nutpie": by_nutpie(nutpie.compile_pymc_model(free)),
            "plain, centred, nutpie": by_nutpie(nutpie.compile_pymc_model(centred)),
            "plain, non-centred, PyMC (compiles each time)": by_pymc,
        }
        found: dict[str, list[tuple[float, float, float]]] = {label: [] for label in lines}
        for number in range(ROUNDS + 1):
            for label, draw in lines.items():
                if draw is by_pymc and number > 2:
                    continue
                start = time.perf_counter()
                draws, gradients = draw(number)
                seconds = time.perf_counter() - start
                if number:  # the first round compiles
                    found[label].append((seconds, effective(draws), gradients))
        reference = found["plain, non-centred, nutpie"]
        per_second = np.median([n / s for s, n, _ in reference])
        per_gradient = np.median([n / g for _, n, g in reference])
        print(f"\n{title}, k = {effects.k}")
        print(
            f"{'':48}{'fastest':>9}{'median':>9}{'ESS':>7}{'ESS/s':>8}{'ratio':>7}{'ESS/1000 gradients':>20}"
            f"{'ratio':>7}"
        )
        for label, pairs in found.items():
            seconds, sizes = [s for s, _, _ in pairs], [n for _, n, _ in pairs]
            rate, yielded = np.median([n / s for s, n, _ in pairs]), np.median([n / g for _, n, g in pairs])
            print(
                f"{label:48}{min(seconds):7.2f} s{np.median(seconds):7.2f} s{np.median(sizes):7.0f}{rate:8.0f}"
                f"{rate / per_second:7.2f}{1e3 * yielded:20.1f}{yielded / per_gradient:7.2f}"
            )
    print("""
Ratios are to the non-centred model by nutpie. With few rows what the sampler does between gradients takes most of the
time, so that seconds show less of the difference than gradients do.""")


FIRST = """
import json, sys, time, warnings
start = time.perf_counter()
warnings.simplefilter("ignore")
import bayesmeta as bm
y, se = [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]
effects = bm.Effects([f"school {i + 1}" for i in range(8)], y, se, measure="MD")
model = bm.Model(bm.Normal(0, 20), bm.HalfNormal(20))
found = []
for seed in (1, 2):
    bm.summarize(bm.fit(effects, model, engine=sys.argv[1], seed=seed))
    found.append(time.perf_counter() - start)
print(json.dumps([found[0], found[1] - found[0]]))
"""


def first_answer() -> None:
    print("\nSeconds to a first answer in a new process (import, fit and summary; median of 3) and to the second")
    found: dict[str, list[list[float]]] = {}
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            flags = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={folder}"}
            for label, engine in {"exact": "exact", "NUTS, empty cache": "nuts", "NUTS, filled cache": "nuts"}.items():
                done = subprocess.run([sys.executable, "-c", FIRST, engine], env=flags, capture_output=True, check=True)
                found.setdefault(label, []).append(json.loads(done.stdout))
    unit = np.median([pair[0] for pair in found["exact"]])
    print(f"{'':24}{'first':>9}{'fastest':>10}{'ratio':>8}{'second':>10}")
    for label, pairs in found.items():
        first, second = np.median(pairs, axis=0)
        print(f"{label:24}{first:7.2f} s{min(p[0] for p in pairs):8.2f} s{first / unit:8.1f}{second:8.2f} s")


def protocol() -> None:
    from bayesmeta.nuts import running

    made = bm.read_protocol(MODELS / "cancer_exercise.toml")
    pairs = []
    for key, outcome in made.outcomes.items():
        effects = read(key)
        if effects.n_trials > 1:
            pairs.append((effects, outcome.model.on()))
    compiled, original = [0], running.compiled

    def counting(key, build, progress):
        compiled[0] += key not in running._COMPILED
        return original(key, build, progress)

    running.compiled = counting
    print(f"\nThe {len(pairs)} outcomes of cancer_exercise.toml by NUTS, pooled")
    print(f"{'':24}{'compilations':>14}{'total':>10}{'ratio':>8}")
    unit = None
    for label, forget in (("once per shape", False), ("once per outcome", True)):
        running._COMPILED.clear()
        compiled[0] = 0
        start = time.perf_counter()
        for effects, model in pairs:
            if forget:
                running._COMPILED.clear()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                bm.fit(effects, model, engine="nuts")
        total = time.perf_counter() - start
        unit = unit or total
        print(f"{label:24}{compiled[0]:14}{total:8.1f} s{total / unit:8.1f}")
    running.compiled = original


def other_models() -> None:
    from bayesmeta.joint import JointModel, fit_joint
    from bayesmeta.priors import parse

    made = bm.read_protocol(MODELS / "cancer_exercise.toml")
    assert made.joint is not None
    joint = {name: read(name) for name in made.joint.outcomes}
    model = JointModel(
        {name: bm.Model(made.outcomes[name].model.mu, made.outcomes[name].model.tau) for name in joint},
        made.joint.correlation,
    )
    effects, pooled = fatigue()
    student = bm.Model(pooled.mu, pooled.tau, random=bm.StudentEffects(parse("truncated(exponential(0.0345), 1, inf)")))
    lines: dict[str, Callable[[int], object]] = {
        "normal effects": lambda seed: bm.fit(effects, pooled, engine="nuts", seed=seed),
        "Student effects": lambda seed: bm.fit(effects, student, seed=seed),
        f"{len(joint)} outcomes jointly, {sum(e.k for e in joint.values())} rows": lambda seed: fit_joint(
            joint, model, seed=seed
        ),
    }
    print("\nSeconds of a fit with 4 x 1000 draws: the first compiles; ratio of the later to normal effects")
    print(f"{'':34}{'first':>9}{'fastest':>10}{'median':>9}{'ratio':>8}")
    first, later = {}, {label: [] for label in lines}
    for seed in range(4):
        for label, fit in lines.items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit(seed)
            seconds = time.perf_counter() - start
            if seed:
                later[label].append(seconds)
            else:
                first[label] = seconds
    unit = np.median(later["normal effects"])
    for label, values in later.items():
        print(
            f"{label:34}{first[label]:7.2f} s{min(values):8.2f} s{np.median(values):7.2f} s"
            f"{np.median(values) / unit:8.1f}"
        )


PARTS = {"ess": ess_per_second, "first": first_answer, "protocol": protocol, "models": other_models}


def main() -> None:
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
