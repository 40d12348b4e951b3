"""Posteriors of quantities when one coefficient is truncated, tabulated from densities that are closed at each node."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayesmeta.exact.posterior import Functional, NodePosterior
from bayesmeta.exact.problem import Truncation, log_interval
from bayesmeta.marginals import SETTLED, Gridded, Marginal, Marginals, from_density

__all__ = ["TruncatedMarginals", "truncated_below"]

FloatArray = NDArray[np.float64]


def _density(
    quadrature: NodePosterior, cut: Truncation, functional: Functional, row: int, *, coarse: bool = False
) -> Callable[[FloatArray], FloatArray]:
    """Density of a quantity when one coefficient is truncated; in closed form at each node.

    Given the node, quantity q and truncated coefficient c are jointly normal, so that the density of q is its normal
    density times P(low < c < high | q) / P(low < c < high).
    """
    assert functional.cut_cov is not None
    column = cut.column
    # lighter nodes change no digit of a density that is tabulated to 1e-11
    heavy = quadrature.weights > 1e-16 * quadrature.weights.max()
    weights = (quadrature.coarse if coarse else quadrature.weights)[heavy]
    centre, spread = quadrature.mean[column, heavy], quadrature.cov[column, column, heavy]
    mean, var, cov = functional.mean[row, heavy], functional.var[row, heavy], functional.cut_cov[row, heavy]
    left = np.maximum(spread - cov**2 / var, 0.0)
    whole = log_interval((cut.low - centre) / np.sqrt(spread), (cut.high - centre) / np.sqrt(spread))
    # where the quantity is the truncated coefficient itself, or as good as fixes it, the interval is all or nothing
    fixed = left <= 1e-18 * spread
    sd = np.sqrt(np.where(fixed, 1.0, left))

    def density(x: FloatArray) -> FloatArray:
        step = max(1, int(2e6 // mean.size))
        return np.concatenate([piece(x[start : start + step]) for start in range(0, x.size, step)])

    def piece(x: FloatArray) -> FloatArray:
        z = (x[:, None] - mean) / np.sqrt(var)
        given = centre + cov / np.sqrt(var) * z
        slack = 1e-12 * (abs(given) + np.sqrt(spread))
        all_or_nothing = np.where((given >= cut.low - slack) & (given <= cut.high + slack), 0.0, -np.inf)
        inside = np.where(fixed, all_or_nothing, log_interval((cut.low - given) / sd, (cut.high - given) / sd))
        log = inside - whole - 0.5 * z * z - 0.5 * np.log(2 * np.pi * var)
        return np.exp(np.where(np.isnan(log), -np.inf, log)) @ weights

    return density


def _shift(quadrature: NodePosterior, cut: Truncation) -> FloatArray:
    """Shift of the truncated coefficient's mean by truncation, at each node, shape (N,)."""
    centre, sd = quadrature.mean[cut.column], np.sqrt(quadrature.cov[cut.column, cut.column])
    low, high = (cut.low - centre) / sd, (cut.high - centre) / sd
    whole = log_interval(low, high)
    # normal densities at the ends over the probability between them, in logs because both may underflow
    with np.errstate(over="ignore"):
        ends = [
            np.exp(-0.5 * np.minimum(end * end, 1e300) - 0.5 * math.log(2 * math.pi) - whole) for end in (low, high)
        ]
    return sd * (ends[0] - ends[1])


def _tabulated(
    quadrature: NodePosterior, cut: Truncation, functional: Functional, row: int, *, coarse: bool = False
) -> Gridded:
    """Tabulate the posterior of one quantity."""
    assert functional.cut_cov is not None
    own = quadrature.cov[cut.column, cut.column]
    slope = functional.cut_cov[row] / own
    mean, sd = functional.mean[row] + slope * _shift(quadrature, cut), np.sqrt(functional.var[row])
    used = quadrature.weights > 1e-20
    low, high = float((mean - 9 * sd)[used].min()), float((mean + 9 * sd)[used].max())
    if np.allclose(functional.cut_cov[row], own, rtol=1e-12) and np.allclose(functional.var[row], own, rtol=1e-12):
        # the truncated coefficient itself
        low, high = max(low, cut.low), min(high, cut.high)
        if not low < high:
            # all mass lies in the outer tail at one end of the truncation
            low, high = cut.low, cut.high
    inner = [edge for edge in (cut.low, cut.high) if low < edge < high]
    breaks = np.unique(np.concatenate([np.linspace(low, high, 9), inner]))
    return from_density(
        _density(quadrature, cut, functional, row, coarse=coarse), breaks, moments=int(functional.moments[row])
    )


class TruncatedMarginals(Marginals):
    """Quantities of a posterior with a truncated coefficient, each tabulated when it is first asked for."""

    def __init__(
        self, nodes: NodePosterior, cut: Truncation, functional: Functional, more: Callable[[], Marginals]
    ) -> None:
        self._given = (nodes, cut, functional)
        self.finer = more  # type: ignore[method-assign]

    def __len__(self) -> int:
        return len(self._given[2].mean)

    @cached_property
    def _forms(self) -> list[Gridded]:
        return [_tabulated(*self._given, row) for row in range(len(self))]

    def __getitem__(self, row: int) -> Marginal:
        return self._forms[row]

    def tails(self, x: FloatArray, upper: bool) -> tuple[FloatArray, FloatArray]:
        """Tail probabilities, of which the density was tabulated to 1e-11."""
        return np.array([form.sf(x) if upper else form.cdf(x) for form in self._forms]), np.zeros(len(self))

    def quantiles(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Quantiles, and what the embedded rule would change in probability there."""
        values = np.array([form.quantile(p) for form in self._forms]).reshape(len(self), p.size)
        return values, np.array([self._change(row, x) for row, x in enumerate(values)])

    def _change(self, row: int, x: FloatArray) -> float:
        # densities at the quantiles, in units of the spread, by the full and by the embedded rule
        full, half = (_density(*self._given, row, coarse=coarse)(x) for coarse in (False, True))
        change = float(np.abs(full - half).max() * np.ptp(x))
        if change > SETTLED:
            # a sharp density may differ where probabilities agree; they are what is reported
            change = float(np.abs(_tabulated(*self._given, row, coarse=True).cdf(x) - self._forms[row].cdf(x)).max())
        return change


def truncated_below(quadrature: NodePosterior, cut: Truncation, sign: int, edge: FloatArray) -> FloatArray:
    """P(s mu <= edge) at each node when mu itself is truncated."""
    mean, sd = quadrature.mean[0], np.sqrt(quadrature.cov[0, 0])
    low, high = (cut.low - mean) / sd, (cut.high - mean) / sd
    x = np.clip((sign * edge - mean) / sd, low, high)
    with np.errstate(divide="ignore"):
        below = np.exp(log_interval(np.broadcast_to(low, x.shape), x) - log_interval(low, high))
    return below if sign > 0 else 1.0 - below
