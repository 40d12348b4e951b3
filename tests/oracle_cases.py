"""Real data and priors for the models without a closed form: what an engine is given, and the oracle's answer.

Priors are text as the library spells them (``bayesmeta.priors.parse``) beside the log densities that the oracles take,
so that a test builds its model from ``case.priors`` and compares with ``case.oracle()``. Data come from
``tests/reference`` and ``data``.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import oracles
from oracle_core import Array, Axis, LogDensity, Oracle, exponential, half_normal, normal, truncated_normal, uniform

HERE = Path(__file__).parent
SHIFTED = "truncated(exponential(0.0345), 1, inf)"


@cache
def pinned(name: str) -> dict[str, Any]:
    return json.loads((HERE / "reference" / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Case:
    """Data, priors as text, and the brute-force posterior.

    Attributes
    ----------
    data : mapping of str to object
        Plain arrays and lists; which, depends on the model (see the functions below).
    priors : mapping of str to str
        By the name of the library's argument.
    """

    name: str
    data: Mapping[str, Any]
    priors: Mapping[str, str]
    solve: Callable[[], Oracle]

    def oracle(self) -> Oracle:
        """The answer; computed once."""
        return _solved(self.name)


CASES: dict[str, Callable[[], Case]] = {}


def case(name: str) -> Case:
    """One case by name; see ``CASES``."""
    return CASES[name]()


@cache
def _solved(name: str) -> Oracle:
    return CASES[name]().solve()


def _register(function: Callable[[], Case]) -> Callable[[], Case]:
    CASES[function.__name__] = function
    return function


def _estimates(name: str) -> tuple[Array, Array]:
    data = pinned(name)
    return np.array(data["yi"]), np.sqrt(data["vi"])


def depression() -> list[dict[str, str]]:
    """Ten trials of exercise for depression."""
    with (HERE.parent / "data" / "exercise_depression_10_trials.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counts_of(name: str) -> Array:
    """Events and participants, treated then control, shape (k, 4), of a set in ``counts_metafor.json``."""
    rows = pinned("counts_metafor")["sets"][name]["raw"]
    return np.array([[row[key] for key in ("events_t", "n_t", "events_c", "n_c")] for row in rows], float)


MU, TAU = ("normal(0, 1)", normal(0, 1)), ("halfnormal(0.5)", half_normal(0.5))


# ------------------------------------------------------------------------------------------------------ heavy tails


@_register
def student_normand() -> Case:
    """Length of stay: two trials far from the rest; also in ``hierarchical_brms.json``."""
    y, se = _estimates("normand_smd")
    return Case(
        "student_normand",
        {"y": y, "se": se},
        {"mu": MU[0], "tau": TAU[0], "df": SHIFTED},
        lambda: oracles.student_effects(y, se, MU[1], TAU[1], exponential(0.0345, 1.0)),
    )


@_register
def outliers_normand() -> Case:
    y, se = _estimates("normand_smd")
    return Case(
        "outliers_normand",
        {"y": y, "se": se},
        {"mu": MU[0], "tau": TAU[0], "share": "uniform(0, 0.5)", "extra": "halfnormal(2)"},
        lambda: oracles.outlier_effects(y, se, MU[1], TAU[1], uniform(0, 0.5), half_normal(2), share_range=(0.0, 0.5)),
    )


# ----------------------------------------------------------------------------------------------------------- counts


def _counts(
    name: str,
    data: str,
    measure: Any,
    mu: tuple[str, LogDensity],
    tau: tuple[str, LogDensity],
    baseline: tuple[str, LogDensity],
) -> Case:
    table = counts_of(data)
    return Case(
        name,
        {"counts": table, "measure": measure},
        {"mu": mu[0], "tau": tau[0], "baseline": baseline[0]},
        lambda: oracles.binomial(table, measure, mu[1], tau[1], baseline[1]),
    )


WIDE = ("normal(0, 10)", normal(0, 10))
RISK = ("normal(-2, 2)", normal(-2, 2))


@_register
def bcg_or() -> Case:
    """Priors of NICE TSD 3, so that its published numbers apply."""
    return _counts("bcg_or", "bcg", "OR", WIDE, ("uniform(0, 5)", uniform(0, 5)), WIDE)


@_register
def blocker_or() -> Case:
    """Priors of NICE TSD 2, so that its published numbers apply."""
    vague = ("normal(0, 100)", normal(0, 100))
    return _counts("blocker_or", "blocker", "OR", vague, ("uniform(0, 5)", uniform(0, 5)), vague)


@_register
def zeros_or() -> Case:
    """Catheter infections: six of eighteen trials have an arm without events, one of them both."""
    return _counts("zeros_or", "nielweise2007", "OR", MU, TAU, RISK)


@_register
def crins_or() -> Case:
    return _counts("crins_or", "crins2014", "OR", MU, TAU, ("normal(0, 2)", normal(0, 2)))


@_register
def bcg_rr() -> Case:
    return _counts("bcg_rr", "bcg", "RR", MU, TAU, ("normal(-4, 3)", normal(-4, 3)))


@_register
def hine_rd() -> Case:
    tight = ("halfnormal(0.1)", half_normal(0.1))
    return _counts("hine_rd", "hine1989", "RD", ("normal(0, 0.5)", normal(0, 0.5)), tight, RISK)


# ---------------------------------------------------------------------------------------------- missing moderators


def _latitude(name: str, family: str, shift: float) -> Case:
    y, se = _estimates("bcg_rr")
    x = np.array(pinned("bcg_rr")["metareg"]["ablat"]["values"], float)
    x[[1, 7]] = np.nan
    if family == "normal":
        mean, sd = ("normal(33, 20)", normal(33, 20)), ("halfnormal(20)", half_normal(20))
        axes = {"mean": Axis.real(-100, 160), "sd": Axis.positive(200.0, 10.0), "x": Axis.real(-200, 250)}
    else:
        mean, sd = ("normal(3.5, 1)", normal(3.5, 1)), ("halfnormal(1)", half_normal(1))
        axes = {"mean": Axis.real(-2, 9), "sd": Axis.positive(4.0), "x": Axis.positive(4000.0, 30.0)}
    return Case(
        name,
        {"y": y, "se": se, "x": x, "per": 10.0, "family": family, "shift": shift},
        {"mu": MU[0], "tau": TAU[0], "slope": "normal(0, 0.5)", "mean": mean[0], "sd": sd[0]},
        lambda: oracles.missing_numeric(
            y, se, x, (0, 1), (0, 0.5), TAU[1], mean[1], sd[1], per=10.0, family=family, shift=shift, axes=axes
        ),
    )


@_register
def bcg_latitude() -> Case:
    """Latitude of trials 2 and 8 hidden; also in ``hierarchical_brms.json``."""
    return _latitude("bcg_latitude", "normal", 0.0)


@_register
def bcg_latitude_shifted() -> Case:
    """The same, log-normal, with the missing log latitudes 0.2 higher."""
    return _latitude("bcg_latitude_shifted", "lognormal", 0.2)


def _allocation(name: str, shift: Mapping[str, float]) -> Case:
    y, se = _estimates("bcg_rr")
    level: list[str | None] = list(pinned("bcg_rr")["metareg"]["alloc"]["values"])
    level[2] = level[9] = None
    return Case(
        name,
        {"y": y, "se": se, "level": level, "concentration": 1.0, "shift": dict(shift)},
        {"mu": MU[0], "tau": TAU[0], "contrast": "normal(0, 0.5)"},
        lambda: oracles.missing_levels(y, se, level, (0, 1), 0.5, TAU[1], concentration=1.0, shift=shift),
    )


@_register
def bcg_allocation() -> Case:
    """Three kinds of allocation; those of trials 3 and 10 hidden."""
    return _allocation("bcg_allocation", {})


@_register
def bcg_allocation_shifted() -> Case:
    return _allocation("bcg_allocation_shifted", {"random": 1.0})


# ------------------------------------------------------------------------------------------------ unreported numbers


@_register
def training_prepost() -> Case:
    """Morris 2008: standardised mean changes as functions of one pre-post correlation."""
    data = pinned("prepost_metafor")
    arms = [{key: np.array(values) for key, values in data[name].items()} for name in ("treated", "control")]
    g = [oracles.exact_j(a["n"] - 1) * (a["m_post"] - a["m_pre"]) / a["sd_pre"] for a in arms]

    def y(r: float) -> Array:
        return g[0] - g[1]

    def se(r: float) -> Array:
        return np.sqrt(sum(2 * (1 - r) / a["n"] + v**2 / (2 * a["n"]) for a, v in zip(arms, g, strict=True)))

    return Case(
        "training_prepost",
        {"treated": arms[0], "control": arms[1], "y": y, "se": se, "low": 0.0, "high": 0.95},
        {"mu": MU[0], "tau": TAU[0], "correlation": "truncated(normal(0.6, 0.2), 0, 0.95)"},
        lambda: oracles.uncertain_number(
            y, se, (0, 1), TAU[1], truncated_normal(0.6, 0.2, 0.0, 0.95), Axis.interval(0.0, 0.95)
        ),
    )


def _stay(name: str, measure: str, jacobian: bool) -> Case:
    raw = pinned("normand_md")["raw"]
    n_t, n_c, sd_t, sd_c, mean_t, mean_c = (
        np.array([row[key] for row in raw], float) for key in ("n_t", "n_c", "sd_t", "sd_c", "mean_t", "mean_c")
    )
    sd = np.sqrt(((n_t - 1) * sd_t**2 + (n_c - 1) * sd_c**2) / (n_t + n_c - 2))
    sd[[3, 6]] = np.nan
    mu = ("normal(0, 1)", (0.0, 1.0)) if measure == "SMD" else ("normal(0, 20)", (0.0, 20.0))
    tau = TAU if measure == "SMD" else ("halfnormal(10)", half_normal(10))
    return Case(
        name,
        {"difference": mean_t - mean_c, "sd": sd, "n_t": n_t, "n_c": n_c, "measure": measure},
        {"mu": mu[0], "tau": tau[0], "meanlog": "normal(3, 1)", "sdlog": "halfnormal(1)"},
        lambda: oracles.missing_sd(
            mean_t - mean_c,
            sd,
            n_t,
            n_c,
            measure,
            mu[1],
            tau[1],
            normal(3, 1),
            half_normal(1),
            jacobian=jacobian,
            tau_high=5.0 if measure == "SMD" else 80.0,
        ),
    )


@_register
def stay_smd() -> Case:
    """Length of stay, SDs of trials 4 and 7 hidden; what was observed is the difference in days."""
    return _stay("stay_smd", "SMD", True)


@_register
def stay_smd_plain() -> Case:
    """The same with ``N(y; theta, se)`` as it stands, without the density of the difference."""
    return _stay("stay_smd_plain", "SMD", False)


@_register
def stay_md() -> Case:
    return _stay("stay_md", "MD", False)


# ---------------------------------------------------------------------------------------------------- dose-response


def _weeks(name: str, knots: list[float]) -> Case:
    rows = depression()
    y, se, x = (np.array([float(row[key]) for row in rows]) for key in ("smd", "sesmd", "duration"))
    return Case(
        name,
        {"y": y, "se": se, "x": x, "knots": knots},
        {"mu": MU[0], "tau": TAU[0], "total": "normal(0, 2)"},
        lambda: oracles.monotone(y, se, x, knots, (0, 1), (0, 2), TAU[1]),
    )


@_register
def weeks_three_knots() -> Case:
    return _weeks("weeks_three_knots", [4.0, 8.0, 12.0])


@_register
def weeks_four_knots() -> Case:
    return _weeks("weeks_four_knots", [4.0, 6.0, 9.0, 12.0])


# --------------------------------------------------------------------------------------------------- joint outcomes


def _gums(name: str, lost: list[tuple[int, int]]) -> Case:
    data = pinned("joint_metafor")
    y, S = np.array(data["y"], float), np.array(data["S"], float)
    for trial, outcome in lost:
        y[trial, outcome] = np.nan
    return Case(
        name,
        {"y": y, "S": S, "eta": 2.0},
        {"mu": MU[0], "tau": TAU[0]},
        lambda: oracles.joint_outcomes(y, S, ((0, 1), (0, 1)), (TAU[1], TAU[1]), 2.0, at=(0.3, -0.3)),
    )


@_register
def gums() -> Case:
    """Berkey 1998: probing depth and attachment level of five trials."""
    return _gums("gums", [])


@_register
def gums_partly() -> Case:
    """The same; two trials report one outcome only."""
    return _gums("gums_partly", [(1, 0), (3, 1)])
