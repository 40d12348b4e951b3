"""Sampled models against brute force: every case of ``oracle_cases``, whose answers share nothing with the library.

Posterior means and the probabilities of lying below the oracle's 2.5 %, 50 % and 97.5 % points, in Monte Carlo standard
errors of the draws (ArviZ's, by effective sample size). Study effects, probabilities of outliers and of levels, and the
rises of a curve are compared by their means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.marginals import Draws
from nuts_cases import BUILDERS, distances, drawn, far, sampled
from oracle_cases import CASES, case
from oracle_core import Oracle

# 405 comparisons over the cases, 168 of them in those that always run, at four standard errors (6.3e-5 each by chance):
# a right engine is off somewhere in 2.6 % (1.1 %) of all sets of draws, and what is off is drawn once more (`sampled`)
POINTS = (0.025, 0.5, 0.975)
# compiling is what costs: of models of one kind one is tested always, and the rest with -m slow
SLOW = {
    "bcg_or",
    "blocker_or",
    "zeros_or",
    "bcg_rr",
    "hine_rd",
    "bcg_latitude",
    "bcg_allocation",
    "training_prepost",
    "stay_md",
    "weeks_four_knots",
    "bcg_allocation_shifted",
    "stay_smd",
    "outliers_normand",
}

# names in the library of what the oracle calls otherwise
NAMES = {
    "slope": "beta[x per 10]",
    "x[1]": "missing[x: trial 2]",
    "x[7]": "missing[x: trial 8]",
    "random - alternate": "beta[level: random - alternate]",
    "systematic - alternate": "beta[level: systematic - alternate]",
    "number": "correlation",
    "log_sd[3]": "missing_sd[trial 4]",
    "log_sd[6]": "missing_sd[trial 7]",
    "total": "beta[x (4 to 12)]",
}
# not quantities of the library: what the population of a moderator or of SDs is, one share of a curve (its rise is
# compared instead), and the effect of a new trial that is known not to be an outlier
UNNAMED = {"mean", "sd", "meanlog", "sdlog", "share[0]", "theta_typical"}


def comparisons(name: str, fit: bm.Fit) -> dict[str, float]:
    """Every distance of a case, by what is compared."""
    oracle = case(name).oracle()
    found: dict[str, float] = {}
    for theirs, truth in oracle.marginals.items():
        if theirs in UNNAMED:
            continue
        form = drawn(fit, NAMES.get(theirs, theirs))
        if theirs.startswith("log_sd"):
            form = Draws(np.log(form.values))
        points = {truth.quantile(p): p for p in POINTS}
        # the mean of a t mixture whose variance is infinite has no Monte Carlo standard error
        table = distances(form, truth.mean if math.isfinite(truth.sd) else None, points)
        found |= {f"{theirs}, {key}": value for key, value in table.items()}
    return found | means(fit, oracle.probabilities)


def means(fit: bm.Fit, known: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Distances of what is compared by its mean alone."""
    effects = fit.effects
    truths: dict[str, tuple[Draws, float]] = {}
    for i, mean in enumerate(known.get("theta_mean", ())):
        truths[f"theta[{i}]"] = drawn(fit, f"theta[{effects.label[i]}]"), mean
    for i, mean in enumerate(known.get("outlier", ())):
        truths[f"outlier[{i}]"] = drawn(fit, f"outlier[{effects.study[i]}]"), mean
    for j, mean in enumerate(known.get("rise_mean", ())):
        truths[f"rise[{j}]"] = Draws(fit.sample.coefficients[1 + j]), mean
    for key in [key for key in known if key.startswith("level[")]:
        trial = effects.study[int(key[6:-1])]
        for level, mean in zip(("alternate", "random", "systematic"), known[key], strict=True):
            truths[f"{key} = {level}"] = drawn(fit, f"missing[level: {trial} = {level}]"), mean
    return {key: (form.mean - truth) / form.mcse for key, (form, truth) in truths.items()}


def test_no_case_has_disappeared() -> None:
    """All but the joint ones (joint/test_joint.py) and the density that the library does not use."""
    assert set(CASES) - set(BUILDERS) == {"gums", "gums_partly", "stay_smd_plain"}
    assert len(BUILDERS) == 17


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in BUILDERS]
)
def test_against_brute_force(name: str) -> None:
    assert isinstance(case(name).oracle(), Oracle)
    fit = sampled(name, lambda fit: far(comparisons(name, fit)))
    assert len(comparisons(name, fit)) >= 16
