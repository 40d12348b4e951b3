"""Are places uniform? By simultaneous bands of their distribution function, with their exact coverage.

Places 0 to 99 are ranks among 99 draws, or percentiles of an exact distribution function: under a right engine the
number of places below i is binomial with probability i / 100, for every i at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]

#: Probability that a right engine is flagged anywhere in the grid; each cell has its share (Bonferroni).
LEVEL = 0.01


def depth(counts: Sequence[int]) -> float:
    """Smallest two-sided binomial tail of the distribution function (Saeilynoja et al. 2022, eq. 11)."""
    total, points = sum(counts), len(counts)
    below = np.cumsum(counts)[:-1]
    z = np.arange(1, points) / points
    tails = np.minimum(stats.binom.cdf(below, total, z), stats.binom.sf(below - 1, total, z))
    return float(min(1.0, 2 * tails.min()))


def p_value(counts: Sequence[int]) -> float:
    """Probability under uniformity of a depth as small as this one, exactly."""
    return 1 - _inside(sum(counts), len(counts), depth(counts))


def _inside(total: int, points: int, gamma: float) -> float:
    """Probability that the whole distribution function stays within the band of a depth.

    Counts of bins are Poisson given their sum, so that cumulative counts are a random walk with one step distribution;
    walks that leave the band are removed at every point.
    """
    z = np.arange(1, points) / points
    r = np.arange(total + 1)
    tails = np.minimum(stats.binom.cdf(r, total, z[:, None]), stats.binom.sf(r - 1, total, z[:, None]))
    # ties count as outside, with room for rounding
    allowed = 2 * tails > gamma * (1 + 1e-9)
    step = stats.poisson.pmf(r, total / points)
    # steps that are too long to move the ninth digit of any probability
    step = np.trim_zeros(np.where(step < 1e-30, 0.0, step), "b")
    walk = np.zeros(total + 1)
    walk[0] = 1.0
    for keep in allowed:
        walk = np.convolve(walk, step)[: total + 1] * keep
    final = np.convolve(walk, step)[total]
    return float(final / stats.poisson.pmf(total, total))


@functools.cache
def critical(total: int, points: int, level: float) -> float:
    """Depth below which a distribution function of `total` places is flagged with probability `level`."""
    low, high = level / points / 10, level
    for _ in range(16):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if 1 - _inside(total, points, middle) < level else (low, middle)
    return float(low)


def flagged(cells: Iterable[tuple[str, Sequence[int]]], number: int | None = None) -> list[str]:
    """Names of the cells that are not uniform, at a family-wise level of one percent.

    Parameters
    ----------
    cells : iterable of (name, counts per place)
    number : int, optional
        Of cells that share the level; default: those given.
    """
    listed = list(cells)
    level = LEVEL / (number or len(listed))
    return [name for name, counts in listed if depth(counts) <= critical(sum(counts), len(counts), level)]


def counted(places: Iterable[int], bins: int) -> list[int]:
    """Number of worlds per place."""
    return np.bincount(list(places), minlength=bins).tolist()
