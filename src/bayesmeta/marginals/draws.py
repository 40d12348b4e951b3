"""A one-dimensional posterior known by draws: the same questions as of the exact forms, each with its simulation error.

The estimators of Monte Carlo error, effective sample size and R-hat are ArviZ's; nothing of ArviZ is imported until a
diagnostic is requested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError
from bayesmeta.marginals.mixture import IntervalKind, check_interval, check_probabilities
from bayesmeta.numerics import interval_ends

__all__ = ["Draws", "Ess", "mcse_of_mean"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ess:
    """Convergence of one quantity: rank-normalised split R-hat, bulk and tail effective sample size.

    References
    ----------
    Vehtari A, Gelman A, Simpson D, Carpenter B, Buerkner PC. Bayesian Anal 2021;16:667-718. doi:10.1214/20-BA1221
    """

    rhat: float
    bulk: float
    tail: float


def mcse_of_mean(values: FloatArray) -> float:
    """Monte Carlo standard error of the mean of draws of shape ``(chains, draws)``; zero where all are equal."""
    from arviz_stats.base import array_stats

    return 0.0 if np.ptp(values) == 0 else float(array_stats.mcse(values, method="mean"))


# not slotted: what is costly is computed once, on first access
@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of one quantity, shape ``(chains, draws)``.

    Parameters
    ----------
    values : array of shape (chains, draws)
    low, high : float
        Ends of the support, for the density estimate.

    Examples
    --------
    >>> form = Draws(np.random.default_rng(1).normal(size=(4, 1000)))
    >>> bool(abs(form.mean) < 4 * form.mcse), bool(abs(form.cdf(0.0) - 0.5) < 0.05)
    (True, True)
    """

    values: FloatArray
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        values = np.array(self.values, float, ndmin=2, order="C")
        if values.ndim != 2 or not np.isfinite(values).all():
            raise ModelError("draws are finite numbers in an array of shape (chains, draws).")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @cached_property
    def _sorted(self) -> FloatArray:
        return np.sort(self.values, axis=None)

    @property
    def constant(self) -> bool:
        """Whether all draws are equal, as those of a quantity that is not random."""
        return bool(self._sorted[0] == self._sorted[-1])

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """Standard deviation of the draws."""
        return float(self.values.std())

    @cached_property
    def mcse(self) -> float:
        """Monte Carlo standard error of `mean`."""
        return mcse_of_mean(self.values)

    @cached_property
    def diagnostics(self) -> Ess:
        """R-hat and effective sample sizes."""
        from arviz_stats.base import array_stats

        if self.constant:
            return Ess(1.0, float(self.values.size), float(self.values.size))
        # chains that stand still have no variance to divide by
        with np.errstate(divide="ignore", invalid="ignore"):
            return Ess(
                float(array_stats.rhat(self.values, method="rank")),
                float(array_stats.ess(self.values, method="bulk")),
                float(array_stats.ess(self.values, method="tail", prob=(0.05, 0.95))),
            )

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Share of draws not above ``x``, of the shape of ``x``.

        Where no draw, or every draw, is, half a draw is counted: n draws cannot tell a probability from one that is
        smaller than 1 / n. It is 0 or 1 beyond the support, and for a quantity that is not random.
        """
        x, n = np.asarray(x, float), self._sorted.size
        share = np.searchsorted(self._sorted, x, side="right") / n
        if self.constant:
            return share
        return np.where(x < self.low, 0.0, np.where(x >= self.high, 1.0, np.clip(share, 0.5 / n, 1 - 0.5 / n)))

    def sf(self, x: ArrayLike) -> FloatArray:
        """Share of draws above ``x``."""
        return 1.0 - self.cdf(x)

    def cdf_mcse(self, x: float) -> float:
        """Monte Carlo standard error of ``cdf(x)``.

        Where no draw or every draw lies on one side, the standard error of one draw on the other side.
        """
        below = (self.values <= x).astype(float)
        return 1.0 / below.size if np.ptp(below) == 0 else mcse_of_mean(below)

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Quantiles of the draws at probabilities ``p``, of the shape of ``p``."""
        return np.quantile(self._sorted, check_probabilities(p))

    @cached_property
    def _kde(self) -> tuple[FloatArray, FloatArray]:
        from arviz_stats.base import array_stats

        low, high = float(self._sorted[0]), float(self._sorted[-1])
        reach = 0.1 * (high - low)
        # a draw near an end of the support is reflected there; elsewhere the estimate may run out beyond the draws
        limits = [max(self.low, low - reach), min(self.high, high + reach)]
        grid, density, _ = array_stats.kde(self.values.ravel(), custom_lims=limits, bound_correction=True)
        return np.asarray(grid), np.asarray(density)

    def density(self, x: ArrayLike) -> FloatArray:
        """Kernel estimate of the density at ``x``, zero outside the draws' range."""
        if self.constant:
            return np.where(np.asarray(x, float) == self._sorted[0], math.inf, 0.0)
        grid, density = self._kde
        return np.interp(np.asarray(x, float), grid, density, left=0.0, right=0.0)

    def interval(self, level: float = 0.95, kind: IntervalKind = "central") -> tuple[float, float]:
        """Interval that holds the share ``level`` of the draws: equal tails, or the shortest."""
        check_interval(level, kind)
        if kind == "shortest":
            inside = math.ceil(level * self._sorted.size)
            lengths = self._sorted[inside - 1 :] - self._sorted[: self._sorted.size - inside + 1]
            best = int(np.argmin(lengths))
            return float(self._sorted[best]), float(self._sorted[best + inside - 1])
        low, _, high = self.quantile(interval_ends(level))
        return float(low), float(high)

    def rvs(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Draw from the draws, shape ``(size,)``."""
        return rng.choice(self._sorted, size=size)
