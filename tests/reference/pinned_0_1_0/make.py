"""Write the pins: what bayesmeta 0.1.0 gives. It is kept to be read: no later version writes them again.

    python -m uv run python tests/reference/pinned_0_1_0/make.py      in the commit that added it

The protocols and tables beside it are those that 0.1.0 shipped, so that later changes of either leave the pins alone.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
#: Exact fits carry so many draws a chain (1000 by default): files of a twentieth, and no exact answer depends on them.
FEW = 25
SEEDS = 16


def outcomes() -> dict[str, Any]:
    """What is asked, with everything that a stored outcome may hold."""
    import bayesmeta as bm
    from bayesmeta.plan import BaselineRisk, BetaRisk, Exclusion, Moderator, NaturalUnit, Outcome, PointsThreshold

    limit = bm.Threshold("MID", 0.3, 0.2, 0.3, 0.2, "a panel", "panel", True)
    ranged = bm.Threshold("range", (0.2, 0.5), 0.2, (0.2, 0.5), 0.2, "two papers", "anchor", False)
    spread = bm.Threshold("spread", bm.HalfNormal(0.3), 0.2, bm.HalfNormal(0.3), 0.2, "a survey", "distribution", False)
    ratio = bm.Threshold("a fifth", 0.8, 1.25, -math.log(0.8), math.log(1.25), "a panel", "panel", True)
    unit = NaturalUnit(
        "FACIT-Fatigue", 10.5, "control arms", None, "higher", PointsThreshold((3.0, 6.0), "a paper", "anchor")
    )
    return {
        "SMD": Outcome(
            "fatigue",
            "Fatigue",
            {"outcome": "fatigue"},
            "SMD",
            "lower",
            bm.Normal(0, 1),
            bm.HalfNormal(0.5),
            thresholds=(limit,),
        ),
        "everything": Outcome(
            "fatigue",
            "Fatigue",
            {"outcome": "fatigue"},
            "SMD",
            "lower",
            bm.Normal(0, 1),
            bm.HalfNormal(0.5),
            sources={"mu": "weak"},
            moderators=(Moderator("kind", reference="b"), Moderator("weeks", per=6.0)),
            thresholds=(limit, ranged, spread),
            exclude=(Exclusion({"study": "X"}, "no control"),),
            natural_unit=unit,
        ),
        "ratio": Outcome(
            "death",
            "Death",
            {},
            "RR",
            "lower",
            bm.Normal(0, 2),
            bm.HalfNormal(0.5),
            thresholds=(ratio,),
            baseline_risk=(
                BaselineRisk("low", 0.05, "a registry"),
                BaselineRisk("known roughly", BetaRisk(20, 80), "trial"),
            ),
        ),
    }


def exact_cases() -> dict[str, tuple[Any, Any, str]]:
    """Effects, model and the outcome's name, by kind of model."""
    import numpy as np

    import bayesmeta as bm

    y, se = np.array([-0.9, -0.2, -0.5, 0.1, -0.35, -0.6]), np.array([0.3, 0.2, 0.25, 0.4, 0.15, 0.3])
    block = np.array([[0.04, 0.02], [0.02, 0.16]])

    def made(k: int = 6, **options: Any) -> bm.Effects:
        study = [f"trial {i}" for i in range(k)]
        if options.pop("shared", False):
            study[3] = study[1]
            arms = [("exercise", "usual")] * k
            arms[3] = ("yoga", "usual")
            options |= {"blocks": ((np.array([1, 3]), block),), "arms": arms}
        if options.get("cluster") is not None:
            study = list(options["cluster"])
        return bm.Effects(
            study, y[:k], se[:k], measure="SMD", better="lower", name="Fatigue", n=np.full((k, 2), 25.0), **options
        )

    mods: dict[str, Any] = {"kind": list("abacbc"), "weeks": [6.0, 12, 8, 24, 10, 9]}
    n01, hn = bm.Normal(0, 1), bm.HalfNormal(0.5)
    kind, weeks = bm.Coefficient(bm.Normal(0, 0.5), reference="b"), bm.Coefficient(bm.Normal(0, 0.25), per=6)
    counts = bm.effect_sizes(_counts(), measure="RR", better="lower", name="Death")
    return {
        "pooled": (made(3), bm.Model(n01, hn), "everything"),
        "moderated": (made(moderators=mods), bm.Model(n01, hn, {"kind": kind, "weeks": weeks}), "SMD"),
        "interaction": (
            made(moderators=mods),
            bm.Model(n01, hn, {"kind": kind, "weeks": weeks, "kind:weeks": weeks}),
            "SMD",
        ),
        "shared_patients": (made(shared=True), bm.Model(bm.Flat(), hn), "SMD"),
        "shared_moderated": (
            made(shared=True, moderators=mods),
            bm.Model(n01, bm.HalfCauchy(0.5), {"weeks": weeks}, rho=1.0),
            "SMD",
        ),
        "clusters": (made(cluster=list("aabccd")), bm.Model(n01, hn, cluster_tau=bm.HalfNormal(0.25)), "SMD"),
        "exchangeable": (
            made(moderators={"kind": list("abaabb")}),
            bm.Model(n01, hn, {"kind": bm.Exchangeable(bm.HalfNormal(0.5))}),
            "SMD",
        ),
        "spline": (
            made(moderators=mods),
            bm.Model(n01, hn, {"weeks": bm.Spline(bm.Normal(0, 0.5), bm.HalfNormal(0.25), 6, 3)}),
            "SMD",
        ),
        "student_t_mu": (made(4), bm.Model(bm.StudentT(0, 0.4, 5), hn), "SMD"),
        "truncated_mu": (made(3), bm.Model(bm.Truncated(n01, -0.4, math.inf), hn), "SMD"),
        "common_effect": (made(4), bm.Model(bm.Flat(), None), "SMD"),
        "jeffreys": (made(4), bm.Model(bm.Flat(), bm.Jeffreys()), "SMD"),
        "rhodes": (made(4), bm.Model(n01, bm.Rhodes2015()), "SMD"),
        "log_student_t_tau": (made(4), bm.Model(bm.Cauchy(0, 0.5), bm.LogStudentT(-1, 0.7, 5)), "SMD"),
        "ratio": (counts, bm.Model(bm.Normal(0, 2), hn), "ratio"),
    }


def _counts() -> Any:
    import pandas as pd

    return pd.DataFrame(
        {
            "study": ["A", "B", "C", "D"],
            "events_t": [4.0, 0, 12, 7],
            "n_t": [50.0, 30, 110, 64],
            "events_c": [9.0, 2, 15, 12],
            "n_c": [52.0, 28, 105, 60],
        }
    )


def drawn_cases() -> dict[str, tuple[Any, Any, str | None]]:
    """The same for the sampling engine; models that only it has are those of ``oracle_cases``, and small."""
    from nuts_cases import problem

    exact = exact_cases()
    own = {
        "student": "student_normand",
        "outliers": "outliers_normand",
        "binomial": "crins_or",
        "missing_numeric": "bcg_latitude",
        "missing_levels": "bcg_allocation",
        "derived": "training_prepost",
        "missing_sd": "stay_smd",
        "monotone": "weeks_three_knots",
    }
    found: dict[str, Any] = {}
    for name, case in own.items():
        effects, model = problem(case)
        found[name] = dataclasses.replace(effects, better="lower"), model, None
    return found | {
        name: exact[name] for name in ("pooled", "moderated", "shared_patients", "clusters", "common_effect")
    }


def fits() -> None:
    """Save one fit of each engine and kind of model, with its answers."""
    import bayesmeta as bm
    from bayesmeta.fits import tree
    from bayesmeta.plan import analysis_model
    from pinned import PINS, answers, write

    asking = outcomes()
    place = PINS / "fits"
    place.mkdir()

    def keep(name: str, fit: bm.Fit) -> None:
        loaded = bm.load(fit.save(place / f"{name}.nc"))
        write(f"fits/{name}.json.gz", answers(name, loaded))
        print(name, flush=True)

    tree.DRAWS = FEW
    for name, (effects, model, about) in exact_cases().items():
        fit = bm.fit(
            effects,
            model,
            engine="exact",
            seed=20261122,
            outcome=asking[about],
            hashes={"data": "ab" * 32},
            analysis="moderated" if model.beta else "pooled",
        )
        keep(f"exact_{name}", fit)
    protocol = bm.read_protocol(HERE / "models" / "cancer_exercise.toml")
    outcome, effects = protocol.outcomes["anxiety_long"], bm.read_effects(protocol, "anxiety_long")
    keep("exact_protocol", bm.fit(effects, analysis_model(outcome), outcome=outcome, seed=3))
    tree.DRAWS = 1000
    settings = bm.Settings(chains=2, draws=100, tune=500)
    for name, (effects, model, about) in drawn_cases().items():
        keep(
            f"nuts_{name}",
            bm.fit(
                effects,
                model,
                engine="nuts",
                seed=20261122,
                settings=settings,
                outcome=None if about is None else asking[about],
                analysis="moderated" if model.beta else "pooled",
            ),
        )
    joint = bm.fit_joint(
        {"fatigue": asked_effects("anxiety_long"), "qol": asked_effects("qol_long")},
        joint_model(),
        seed=5,
        settings=settings,
    )
    keep("nuts_joint", joint.fits["qol"])


def asked_effects(key: str) -> Any:
    """Rows of one outcome of the cancer protocol."""
    import bayesmeta as bm

    return bm.read_effects(bm.read_protocol(HERE / "models" / "cancer_exercise.toml"), key)


def joint_model() -> Any:
    """Two outcomes together."""
    import bayesmeta as bm

    one = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    return bm.JointModel({"fatigue": one, "qol": one}, correlation=0.5)


def commands() -> None:
    """Keep what every command prints, and a report's numbers."""
    import json

    from pinned import COMMANDS, PINS, REPORT, run, write

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, arguments in COMMANDS.items():
            write(f"commands/{name}.json.gz", run([*arguments, "--json"], place))
            print(name, flush=True)
        run(REPORT, place)
        report = place / "report"
        write("report/results.json.gz", json.loads((report / "results.json").read_text("utf-8")))
        shutil.copytree(report / "tables", PINS / "report" / "tables")


def sampled() -> None:
    """Keep the means and SDs, over seeds, of every number that a sampling command prints."""
    import numpy as np

    from pinned import OF_THE_RUN, PINS, SAMPLED, leaves, run, write

    for name, arguments in SAMPLED.items():
        runs = []
        for seed in range(1, SEEDS + 1):
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder)
                shutil.copytree(PINS / "data", place / "data")
                shutil.copytree(PINS / "models", place / "models")
                for path in (place / "models").glob("*.toml"):
                    path.write_text(re.sub(r"(?m)^seed = \d+", f"seed = {seed}", path.read_text("utf-8")), "utf-8")
                try:
                    runs.append(run([*arguments, "--json"], place, models=place / "models"))
                except AssertionError as error:
                    print(error)
            print(name, seed, flush=True)
        found = [
            {way: value for way, value in leaves(item) if not OF_THE_RUN.intersection(map(str, way))} for item in runs
        ]
        ways = []
        for way, first in found[0].items():
            every = [item[way] for item in found]
            if isinstance(first, float):
                ways.append([list(way), float(np.mean(every)), float(np.std(every, ddof=1))])
            elif all(item == first for item in every):
                ways.append([list(way), first, None])
        write(f"sampled/{name}.json.gz", {"seeds": len(runs), "leaves": ways})


def main() -> None:
    """Write everything."""
    import bayesmeta
    from bayesmeta.fits import SCHEMA_VERSION

    if bayesmeta.__version__ != "0.1.0" or SCHEMA_VERSION != 1 or (HERE / "fits").exists():
        raise SystemExit("The pins are those of 0.1.0, and are there: nothing is written.")
    for name in ("models", "data"):
        shutil.copytree(ROOT / name, HERE / name, ignore=shutil.ignore_patterns("*.provenance.toml"))
    fits()
    commands()
    sampled()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    warnings.simplefilter("ignore")
    main()
