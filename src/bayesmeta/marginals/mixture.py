"""One-dimensional posteriors that answer every question exactly.

Two forms share one interface (``mean sd cdf sf quantile density interval rvs mcse``): a finite mixture of normals,
and a density on nodes whose interpolant is integrated in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.numerics import interval_ends, newton, probit, roots

__all__ = [
    "IntervalKind",
    "Marginal",
    "NormalMixture",
    "check_interval",
    "check_probabilities",
    "mixture_cdf",
    "mixture_quantile",
    "probit_step",
    "shortest",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntervalKind = Literal["central", "shortest"]
INTERVAL_KINDS: tuple[IntervalKind, ...] = ("central", "shortest")

SQRT_2PI = math.sqrt(2 * math.pi)
# a quantile is accepted when its probability is right to this much; rounding in the sum of a few hundred terms is 1e-15
_PROBABILITY_TOLERANCE = 1e-13
# components from which on the lightest are looked for
_MANY = 512


class Marginal(Protocol):
    """What every form of one-dimensional posterior answers; the only thing that later modules rely on."""

    @property
    def mean(self) -> float:
        """Expectation; ``inf`` where it does not exist."""
        ...

    @property
    def sd(self) -> float:
        """Standard deviation; ``inf`` where it does not exist."""
        ...

    @property
    def mcse(self) -> float:
        """Monte Carlo standard error of the mean; zero where nothing is simulated."""
        ...

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value not above ``x``."""
        ...

    def sf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value above ``x``."""
        ...

    def density(self, x: ArrayLike) -> FloatArray:
        """Density at ``x``."""
        ...

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Value whose distribution function is ``p``."""
        ...

    def interval(self, level: float = 0.95, kind: IntervalKind = "central") -> tuple[float, float]:
        """Interval with probability ``level``."""
        ...

    def rvs(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Independent draws."""
        ...


def check_interval(level: float, kind: str) -> None:
    """Refuse a level or a kind of interval that does not exist.

    Raises
    ------
    ModelError
        For a level outside (0, 1), or an unknown kind.
    """
    if not 0 < level < 1:
        raise ModelError(f"level = {level} is not between 0 and 1; 0.95 is usual.")
    if kind not in INTERVAL_KINDS:
        raise ModelError(f"unknown interval kind {kind!r}. Allowed: {', '.join(INTERVAL_KINDS)}.")


def check_probabilities(p: ArrayLike) -> FloatArray:
    """Give probabilities as an array, and refuse what is none.

    Raises
    ------
    ModelError
        If one lies outside [0, 1].
    """
    p = np.asarray(p, float)
    if not np.all((p >= 0) & (p <= 1)):
        raise ModelError("probabilities lie between 0 and 1.")
    return p


def shortest(marginal: Marginal, level: float) -> tuple[float, float]:
    """Find the shortest interval: zoom in on the lower tail area that minimises the length, then equalise the ends."""
    low, high = 0.0, 1.0 - level
    for _ in range(3):
        tails = np.linspace(low, high, 33)
        length = marginal.quantile(np.minimum(tails + level, 1.0)) - marginal.quantile(tails)
        best = int(np.argmin(np.where(np.isfinite(length), length, np.inf)))
        low, high = tails[max(best - 1, 0)], tails[min(best + 1, 32)]

    def gap(tail: float) -> float:
        ends = marginal.density(marginal.quantile(np.array([tail, min(tail + level, 1.0)])))
        return float(ends[0] - ends[1])

    # the length falls where the density at the lower end is below that at the upper end
    if gap(low) >= 0:
        tail = low
    elif gap(high) <= 0:
        tail = high
    else:
        tail = float(roots(lambda tails: np.array([gap(tails[0])]), low, high)[0])
    ends = marginal.quantile(np.array([tail, min(tail + level, 1.0)]))
    return float(ends[0]), float(ends[1])


def mixture_cdf(x: FloatArray, weights: FloatArray, means: FloatArray, sds: FloatArray) -> FloatArray:
    """Distribution functions of several mixtures.

    Parameters
    ----------
    x : array of shape (M, P)
        Points, per mixture.
    weights : array of shape (N,) or (M, N)
        Shared, or of each mixture.
    means, sds : arrays of shape (M, N)

    Returns
    -------
    array of shape (M, P)
    """
    return _weighed(special.ndtr((x[:, :, None] - means[:, None, :]) / sds[:, None, :]), weights)


def _weighed(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Sums over the last axis of values of shape (M, P, N) by weights of shape (N,) or (M, N)."""
    return values @ weights if weights.ndim == 1 else (values @ weights[:, :, None])[:, :, 0]


def mixture_quantile(p: FloatArray, weights: FloatArray, means: FloatArray, sds: FloatArray) -> FloatArray:
    """Quantiles of several mixtures of normals.

    Newton's method on the probit scale, on which a near-normal mixture is near-linear, inside a bracket made of the
    components' own quantiles, which always holds the mixture's quantile.

    Parameters
    ----------
    p : array of shape (P,)
        Probabilities strictly between 0 and 1.
    weights : array of shape (N,) or (M, N)
        Shared, or of each mixture.
    means, sds : arrays of shape (M, N), ``sds`` positive

    Returns
    -------
    array of shape (M, P)
    """
    z = special.ndtri(p)
    if weights.ndim == 1 and weights.size > _MANY:
        # thousands of the lightest hold together less than what a quantile is accepted to
        heavy = weights > 1e-3 * _PROBABILITY_TOLERANCE / weights.size
        weights, means, sds = weights[heavy], means[:, heavy], sds[:, heavy]
    used = weights > 0
    reach = sds[:, :, None] * z
    low = (np.where(used, means, np.inf)[:, :, None] + reach).min(axis=1)
    high = (np.where(used, means, -np.inf)[:, :, None] + reach).max(axis=1)
    # brackets may span a hundred orders of magnitude: they are halved on an asinh scale around the heaviest component
    origin = means[np.arange(len(means)), weights.argmax(axis=-1)][:, None]
    unit = np.where(used, sds, np.inf).min(axis=1, keepdims=True)

    def middle(low: FloatArray, high: FloatArray) -> FloatArray:
        return origin + unit * np.sinh(0.5 * (np.arcsinh((low - origin) / unit) + np.arcsinh((high - origin) / unit)))

    with np.errstate(over="ignore", invalid="ignore"):
        centre = (means * weights).sum(axis=1)
        spread = np.sqrt(np.maximum(((sds**2 + (means - centre[:, None]) ** 2) * weights).sum(axis=1), 0))
        x = centre[:, None] + spread[:, None] * z

    def at(x: FloatArray, moving: BoolArray) -> tuple[FloatArray, Callable[[], FloatArray]]:
        scaled = (x[:, :, None] - means[:, None, :]) / sds[:, None, :]
        below = _weighed(special.ndtr(scaled), weights)

        def step() -> FloatArray:
            density = _weighed(np.exp(-0.5 * scaled * scaled) / sds[:, None, :], weights) / SQRT_2PI
            return probit_step(below, z, density)

        return below - p, step

    x = np.where((x > low) & (x < high), x, middle(low, high))
    return newton(at, x, low, high, close=_PROBABILITY_TOLERANCE, middle=middle)[0]


def probit_step(below: FloatArray, goal: FloatArray, density: FloatArray) -> FloatArray:
    """Newton step towards a quantile on the probit scale, on which a near-normal distribution is near-linear.

    Parameters
    ----------
    below, density : arrays
        Distribution function and density at the present points.
    goal : array
        Probits of the probabilities that are sought.
    """
    reached = probit(below)
    return (reached - goal) * np.exp(-0.5 * reached * reached) / SQRT_2PI / density


@dataclass(frozen=True, slots=True, eq=False)
class NormalMixture:
    """A finite mixture of normals.

    Parameters
    ----------
    weights, means, sds : arrays of shape (N,)
        Weights sum to one. ``sd = 0`` is an atom.
    moments : int
        Highest moment that exists; above it `mean` and `sd` are infinite.

    Examples
    --------
    >>> mixture = NormalMixture([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0])
    >>> float(mixture.cdf(0.0)), round(mixture.sd, 6)
    (0.5, 1.414214)
    """

    weights: FloatArray
    means: FloatArray
    sds: FloatArray
    moments: int = 2

    def __post_init__(self) -> None:
        for name in ("weights", "means", "sds"):
            array = np.array(getattr(self, name), float, ndmin=1)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not (self.weights.shape == self.means.shape == self.sds.shape):
            raise ModelError("weights, means and sds of a mixture have one shape.")
        if np.any(self.sds < 0) or abs(self.weights.sum() - 1) > 1e-9:
            raise ModelError("a mixture needs sds >= 0 and weights that sum to one.")

    @property
    def mean(self) -> float:
        """Expectation, or infinity where it does not exist."""
        return float(self.weights @ self.means) if self.moments >= 1 else math.inf

    @property
    def sd(self) -> float:
        """Standard deviation, or infinity where it does not exist."""
        if self.moments < 2:
            return math.inf
        centre = self.weights @ self.means
        return math.sqrt(float(self.weights @ (self.sds**2 + (self.means - centre) ** 2)))

    @property
    def mcse(self) -> float:
        """Zero: nothing is simulated."""
        return 0.0

    def _scaled(self, x: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = (x[..., None] - self.means) / self.sds
        # at an atom the distance is 0/0; the distribution function is continuous from the right
        return np.where(np.isnan(scaled), np.inf, scaled)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value not above ``x``, of the shape of ``x``."""
        # weights add up to 1 but for rounding
        return np.minimum(special.ndtr(self._scaled(np.asarray(x, float))) @ self.weights, 1.0)

    def sf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value above ``x``, accurate when it is small."""
        return np.minimum(special.ndtr(-self._scaled(np.asarray(x, float))) @ self.weights, 1.0)

    def density(self, x: ArrayLike) -> FloatArray:
        """Density at ``x``; infinite at an atom."""
        scaled = self._scaled(np.asarray(x, float))
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.exp(-0.5 * scaled * scaled) / (SQRT_2PI * self.sds)
        return np.where(np.isnan(parts), 0.0, parts) @ self.weights

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Quantiles at probabilities ``p``, of the shape of ``p``."""
        p = check_probabilities(p)
        flat = p.ravel()
        x = np.where(flat == 0, -np.inf, np.inf)
        inner = (flat > 0) & (flat < 1)
        if np.any(self.sds == 0):
            x[inner] = self._quantile_with_atoms(flat[inner])
        elif np.any(inner):
            x[inner] = mixture_quantile(flat[inner], self.weights, self.means[None, :], self.sds[None, :])[0]
        return x.reshape(p.shape)

    def _quantile_with_atoms(self, p: FloatArray) -> FloatArray:
        reach = self.sds[:, None] * special.ndtri(p)
        low, high = (self.means[:, None] + reach).min(axis=0), (self.means[:, None] + reach).max(axis=0)
        low = low - 1e-9 * (1 + np.abs(low))
        return roots(lambda x: np.where(self.cdf(x) >= p, 1.0, -1.0), low, high, width=0.0)

    def interval(self, level: float = 0.95, kind: IntervalKind = "central") -> tuple[float, float]:
        """Interval that holds probability ``level``: equal tails, or the shortest."""
        check_interval(level, kind)
        if kind == "shortest":
            return shortest(self, level)
        low, _, high = self.quantile(interval_ends(level))
        return float(low), float(high)

    def rvs(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Independent draws, shape ``(size,)``."""
        chosen = rng.choice(self.weights.size, size=size, p=self.weights / self.weights.sum())
        return rng.normal(self.means[chosen], self.sds[chosen])
