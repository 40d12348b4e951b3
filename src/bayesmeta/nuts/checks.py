"""Whether draws can be trusted: every diagnostic as a value, its limit, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import Check, warn
from bayesmeta.marginals import Draws
from bayesmeta.nuts.posterior import DrawPosterior
from bayesmeta.nuts.running import Settings, versions

__all__ = ["BFMI", "ESS", "RHAT", "checks_of", "failed", "judge", "reported", "until_sound"]

FloatArray = NDArray[np.float64]
# Vehtari et al. 2021, doi:10.1214/20-BA1221: R-hat below 1.01, and 100 effective draws per chain of four
RHAT = 1.01
ESS = 400.0
# Betancourt 2018, arXiv:1701.02434: below 0.3 the momentum resampling does not explore the energy
BFMI = 0.3


def reported(sample: DrawPosterior) -> Iterator[tuple[str, FloatArray]]:
    """Every quantity that a table may print, by name, with its draws of shape (chains, draws)."""
    yield "mu", sample.coefficients[0]
    if sample.model.tau is not None:
        yield "tau", sample.tau
    for name in sample.deviations:
        yield name, sample.coefficients[0] + sample.deviations[name]
    for contrast in sample.design.contrasts:
        yield f"beta[{contrast.name}]", sample.linear(contrast.weights)
    for number, values in enumerate(sample.theta):
        yield f"theta row {number + 1}", values
    yield from sample.others.items()


def checks_of(sample: DrawPosterior, max_depth: int) -> tuple[Check, ...]:
    """Judge the draws.

    Returns
    -------
    tuple of Check
        ``R-hat``, ``bulk ESS``, ``tail ESS`` (the worst quantity's, named in the advice), ``divergences``, ``BFMI``
        (the worst chain's) and ``tree depth`` (the share of draws at the limit).
    """
    return judge(reported(sample), sample.stats, max_depth)


def judge(
    quantities: Iterable[tuple[str, FloatArray]], stats: Mapping[str, NDArray[Any]], max_depth: int
) -> tuple[Check, ...]:
    """Judge named draws, shape (chains, draws) each, with the sampler's statistics."""
    rhat, bulk, tail = (1.0, "mu"), (math.inf, "mu"), (math.inf, "mu")
    for name, values in quantities:
        found = Draws(values).diagnostics
        # indicators of rare events have no tails to speak of; their mean is what is reported
        binary = bool(np.isin(values, (0.0, 1.0)).all())
        rhat = max(rhat, (_worst(found.rhat), name))
        bulk = min(bulk, (found.bulk, name))
        tail = tail if binary else min(tail, (found.tail, name))
    from arviz_stats.base import array_stats

    divergences = int(np.sum(stats["diverging"]))
    bfmi = float(np.min(array_stats.bfmi(np.asarray(stats["energy"], float))))
    depth = float(np.mean(stats["reached_max_treedepth"]))
    longer = "Draw more (sampling.draws), or use a more informative prior for it."
    return (
        Check("R-hat", rhat[0] <= RHAT, rhat[0], RHAT, f"Worst for {rhat[1]}: chains disagree. {longer}"),
        Check("bulk ESS", bulk[0] >= ESS, bulk[0], ESS, f"Fewest for {bulk[1]}. {longer}"),
        Check("tail ESS", tail[0] >= ESS, tail[0], ESS, f"Fewest for {tail[1]}. {longer}"),
        Check(
            "divergences",
            divergences == 0,
            float(divergences),
            0.0,
            "Parts of the posterior were not reached. Raise sampling.target_accept, or use a tighter prior for the "
            "standard deviations.",
        ),
        Check("BFMI", bfmi >= BFMI, bfmi, BFMI, "The energy is explored poorly. Use priors with lighter tails."),
        Check(
            "tree depth",
            depth == 0,
            depth,
            0.0,
            f"Trajectories stopped at {2**max_depth - 1} steps. Rescale moderators, or use more informative priors.",
        ),
    )


def _worst(value: float) -> float:
    return math.inf if math.isnan(value) else value


def failed(checks: Sequence[Check]) -> list[Check]:
    """Checks that did not pass."""
    return [check for check in checks if not check.ok]


def until_sound[T](
    attempt: Callable[[float, Mapping[str, Any]], tuple[T, tuple[Check, ...]]], settings: Settings, name: str
) -> tuple[T, tuple[Check, ...]]:
    """Sample; where a check fails, once more with the higher target acceptance, and say so.

    Parameters
    ----------
    attempt : callable
        From a target acceptance, and what a sample records of its making, to the result and its checks.
    settings : Settings
    name : str
        What the warning is about.
    """
    accept, attempts = settings.target_accept, 1
    while True:
        made = {
            "target_accept": accept,
            "attempts": attempts,
            "chains": settings.chains,
            "draws": settings.draws,
            "tune": settings.tune,
            "max_depth": settings.max_depth,
            **versions(),
        }
        result, checks = attempt(accept, made)
        worst = failed(checks)
        # a second run with the same acceptance would be the same run
        if not worst or attempts == 2 or accept >= settings.retry_accept:
            return result, checks
        warn(
            f"{name}: {', '.join(check.name for check in worst)} failed with target acceptance {accept:g}; sampled "
            f"once more with {settings.retry_accept:g}."
        )
        accept, attempts = settings.retry_accept, 2
