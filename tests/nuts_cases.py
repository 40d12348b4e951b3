"""The cases of ``oracle_cases`` as effects and models of the library, and sampled fits that test modules share.

Draws are compared with the truth by `distances`; what fails is drawn once more (`sampled.drawn_until`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

import bayesmeta as bm
from bayesmeta.fits import marginal
from bayesmeta.marginals import Draws
from bayesmeta.numerics import rule
from bayesmeta.nuts import crude_effect
from bayesmeta.priors import parse
from oracle_cases import Case, case
from sampled import LIMIT, drawn_until

Problem = tuple[bm.Effects, bm.Model]


def labels(k: int) -> list[str]:
    return [f"trial {i + 1}" for i in range(k)]


def _base(found: Case) -> dict[str, Any]:
    return {"mu": parse(found.priors["mu"]), "tau": parse(found.priors["tau"])}


def _plain(found: Case, **options: Any) -> bm.Effects:
    data = found.data
    return bm.Effects(labels(len(data["y"])), data["y"], data["se"], measure="SMD", **options)


def _student(found: Case) -> Problem:
    return _plain(found), bm.Model(**_base(found), random=bm.StudentEffects(parse(found.priors["df"])))


def _outliers(found: Case) -> Problem:
    random = bm.OutlierEffects(parse(found.priors["share"]), parse(found.priors["extra"]))
    return _plain(found), bm.Model(**_base(found), random=random)


def _counts(found: Case) -> Problem:
    counts, measure = found.data["counts"], found.data["measure"]
    x_t, n_t, x_c, n_c = counts.T
    y = crude_effect(measure, x_t, n_t, x_c, n_c)
    # crude standard errors of a log odds ratio with halves: with counts the model does not read them
    half = counts + 0.5
    se = np.sqrt(1 / half[:, 0] + 1 / (n_t - x_t + 0.5) + 1 / half[:, 2] + 1 / (n_c - x_c + 0.5))
    effects = bm.Effects(labels(len(counts)), y, se, measure=measure, counts=counts)
    return effects, bm.Model(**_base(found), likelihood="binomial", baseline=parse(found.priors["baseline"]))


def _latitude(found: Case) -> Problem:
    data, priors = found.data, found.priors
    population = bm.MissingNumeric(parse(priors["mean"]), parse(priors["sd"]), data["family"], data["shift"])
    beta = {"x": bm.Coefficient(parse(priors["slope"]), per=data["per"])}
    effects = _plain(found, moderators={"x": data["x"]})
    return effects, bm.Model(**_base(found), beta=beta, missing={"x": population})


def _allocation(found: Case) -> Problem:
    data = found.data
    population = bm.MissingLevels(data["concentration"], data["shift"])
    beta = {"level": bm.Coefficient(parse(found.priors["contrast"]))}
    effects = _plain(found, moderators={"level": data["level"]})
    return effects, bm.Model(**_base(found), beta=beta, missing={"level": population})


def _correlation(found: Case) -> Problem:
    data = found.data
    low, high = data["low"], data["high"]
    nodes = low + (high - low) * (rule(33)[0] + 1) / 2
    y, se = (np.column_stack([data[name](r) for r in nodes]) for name in ("y", "se"))
    effects = bm.Effects(
        labels(len(y)),
        data["y"](0.5),
        data["se"](0.5),
        measure="SMD",
        tabulated={"correlation": bm.ConditionalEstimates(low, high, y, se)},
    )
    return effects, bm.Model(**_base(found), derived={"correlation": parse(found.priors["correlation"])})


def _stay(found: Case) -> Problem:
    data = found.data
    difference, sd, n_t, n_c = (data[name] for name in ("difference", "sd", "n_t", "n_c"))
    # rows without an SD rest on a constant that the model does not read
    stated = np.where(np.isnan(sd), 20.0, sd)
    y = difference / stated if data["measure"] == "SMD" else difference
    se = np.sqrt(1 / n_t + 1 / n_c) * (1.0 if data["measure"] == "SMD" else stated)
    if data["measure"] == "SMD":
        from oracles import exact_j

        y = exact_j(n_t + n_c - 2) * y
        se = np.sqrt(se**2 + y**2 / (2 * (n_t + n_c)))
    effects = bm.Effects(
        labels(len(y)),
        y,
        se,
        measure=data["measure"],
        n=np.column_stack([n_t, n_c]),
        spreads=bm.RawDifferences(difference, sd),
    )
    population = bm.MissingSD(parse(found.priors["meanlog"]), parse(found.priors["sdlog"]))
    return effects, bm.Model(**_base(found), missing_sd=population)


def _weeks(found: Case) -> Problem:
    beta = {"x": bm.Monotone(parse(found.priors["total"]), tuple(found.data["knots"]))}
    return _plain(found, moderators={"x": found.data["x"]}), bm.Model(**_base(found), beta=beta)


BUILDERS: dict[str, Callable[[Case], Problem]] = {
    "student_normand": _student,
    "outliers_normand": _outliers,
    **dict.fromkeys(("bcg_or", "blocker_or", "zeros_or", "crins_or", "bcg_rr", "hine_rd"), _counts),
    **dict.fromkeys(("bcg_latitude", "bcg_latitude_shifted"), _latitude),
    **dict.fromkeys(("bcg_allocation", "bcg_allocation_shifted"), _allocation),
    "training_prepost": _correlation,
    **dict.fromkeys(("stay_smd", "stay_md"), _stay),
    **dict.fromkeys(("weeks_three_knots", "weeks_four_knots"), _weeks),
}


@cache
def problem(name: str) -> Problem:
    """Effects and model of an oracle case."""
    return BUILDERS[name](case(name))


# what often diverges at 0.9 is sampled at once as its automatic repetition would be, which saves the first run
CAREFUL = {"hine_rd", "bcg_allocation_shifted", "bcg_allocation", "outliers_normand"}


def sampled(name: str, wrong: Callable[[bm.Fit], str] | None = None) -> bm.Fit:
    """A sampled fit of an oracle case, whose checks passed and of which nothing is wrong."""
    effects, model = problem(name)
    settings = bm.Settings(draws=4000, target_accept=0.99 if name in CAREFUL else 0.9)
    return drawn_until(
        lambda seed, given: bm.fit(effects, model, engine="nuts", seed=seed, settings=given), wrong, settings
    )


def drawn(fit: bm.Fit, name: str) -> Draws:
    """Draws of one quantity."""
    form = marginal(fit, name)
    assert isinstance(form, Draws)
    return form


def distances(form: Draws, mean: float | None, cdf: Mapping[float, float]) -> dict[str, float]:
    """How far draws are from the truth, in Monte Carlo standard errors.

    Parameters
    ----------
    mean : float, optional
        The true mean.
    cdf : mapping of float to float
        Points, and the true probability of lying below each.
    """
    found = {} if mean is None else {"mean": (form.mean - mean) / form.mcse}
    for x, p in cdf.items():
        drawn, error = float(form.cdf(x)), form.cdf_mcse(x)
        # few draws know the standard error in a tail, and those that drew too few there think it small: the true share
        # stands in for the drawn one, and draws are worth no more than those of the whole quantity
        worth = drawn * (1 - drawn) / error**2 if error > 0 else math.inf
        worth = min(worth, form.diagnostics.bulk, form.diagnostics.tail)
        found[f"P(below {p:.3g})"] = (drawn - p) / math.sqrt(p * (1 - p) / worth)
    return found


def far(table: Mapping[str, float]) -> str:
    """Say which distances are beyond four standard errors; empty where none is."""
    return ", ".join(f"{name} by {value:.1f} standard errors" for name, value in table.items() if abs(value) > LIMIT)
