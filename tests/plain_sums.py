"""Posteriors of models of publication bias by plain sums over dense grids; shares nothing with the library."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sum:
    """Midpoints of a grid over mean, between-study SD and one parameter of bias, with what each holds."""

    mu: FloatArray
    tau: FloatArray
    extra: FloatArray
    mass: FloatArray
    log_evidence: float

    def of(self, values: FloatArray, axis: int, p: list[float]) -> FloatArray:
        """Quantiles of one axis, by linear interpolation of its distribution function."""
        share = self.mass.sum(axis=tuple(i for i in range(3) if i != axis))
        edges = np.concatenate([values - 0.5 * (values[1] - values[0]), values[-1:] + 0.5 * (values[1] - values[0])])
        return np.interp(p, np.concatenate([[0.0], np.cumsum(share)]), edges)


def middles(low: float, high: float, count: int) -> FloatArray:
    """Midpoints of equal parts."""
    return low + (np.arange(count) + 0.5) * (high - low) / count


def step_likelihood(y: FloatArray, se: FloatArray, mu: Any, tau: Any, step: float, weight: Any, *, two: bool) -> Any:
    """Log likelihood with one step of p, broadcast over the parameters."""
    total = 0.0
    z = stats.norm.isf(step / 2 if two else step)
    for one, error in zip(y, se, strict=True):
        sd = np.sqrt(error**2 + tau**2)
        seen = stats.norm.sf(z * error, mu, sd) + (stats.norm.cdf(-z * error, mu, sd) if two else 0.0)
        significant = abs(one) > z * error if two else one > z * error
        total = total + stats.norm.logpdf(one, mu, sd) - np.log(seen + weight * (1 - seen))
        if not significant:
            total = total + np.log(weight)
    return total


def slope_likelihood(y: FloatArray, se: FloatArray, mu: Any, tau: Any, slope: Any, power: int) -> Any:
    """Log likelihood of PET (power 1) and PEESE (power 2)."""
    total = 0.0
    for one, error in zip(y, se, strict=True):
        total = total + stats.norm.logpdf(one, mu + slope * error**power, np.sqrt(error**2 + tau**2))
    return total


def summed(
    likelihood: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
    priors: tuple[Any, Any, Any],
    axes: tuple[FloatArray, FloatArray, FloatArray],
) -> Sum:
    """The posterior on midpoints; a prior that is None holds its axis at its one value."""
    mu, tau, extra = np.meshgrid(*axes, indexing="ij", sparse=True)
    log = np.empty(tuple(axis.size for axis in axes))
    # a few means at a time, for the sake of memory
    for start in range(0, axes[0].size, 16):
        part = slice(start, start + 16)
        log[part] = likelihood(mu[part], tau, extra)
    volume = 0.0
    for prior, values, axis in zip(priors, (mu, tau, extra), axes, strict=True):
        if prior is not None:
            log += prior.logpdf(values)
            volume += math.log(axis[1] - axis[0])
    top = float(log.max())
    mass = np.exp(np.subtract(log, top, out=log), out=log)
    total = float(mass.sum())
    mass /= total
    return Sum(*axes, mass, top + math.log(total) + volume)
