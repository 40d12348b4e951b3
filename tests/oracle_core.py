"""Axes, grids and marginals of brute-force posteriors; nothing of the library is used.

Every unknown that has no closed form is put on a uniform grid of a variable ``u`` in which the posterior decays at both
ends, so that the trapezoidal rule converges exponentially (Trefethen and Weideman 2014, doi:10.1137/130932132). Its
distribution function is the integral of the sinc series through the grid, which is as exact as the rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]
LogDensity = Callable[[Any], Any]

LOG_2PI = math.log(2 * math.pi)


# ------------------------------------------------------------------------------------------------------------- priors


def normal(mean: float, sd: float) -> LogDensity:
    return lambda x: -0.5 * ((np.asarray(x) - mean) / sd) ** 2 - math.log(sd) - 0.5 * LOG_2PI


def half_normal(scale: float) -> LogDensity:
    return lambda x: math.log(2) - 0.5 * (np.asarray(x) / scale) ** 2 - math.log(scale) - 0.5 * LOG_2PI


def half_cauchy(scale: float) -> LogDensity:
    return lambda x: math.log(2 / (math.pi * scale)) - np.log1p((np.asarray(x) / scale) ** 2)


def uniform(low: float, high: float) -> LogDensity:
    return lambda x: np.where((np.asarray(x) >= low) & (np.asarray(x) <= high), -math.log(high - low), -np.inf)


def exponential(rate: float, low: float = 0.0) -> LogDensity:
    """Exponential, cut below at ``low``."""
    return lambda x: np.where(np.asarray(x) >= low, math.log(rate) - rate * (np.asarray(x) - low), -np.inf)


def gamma(shape: float, rate: float, low: float = 0.0) -> LogDensity:
    """Gamma, cut below at ``low``."""
    mass = math.log(stats.gamma.sf(low, shape, scale=1 / rate))
    return lambda x: np.where(np.asarray(x) >= low, stats.gamma.logpdf(x, shape, scale=1 / rate) - mass, -np.inf)


def truncated_normal(mean: float, sd: float, low: float, high: float) -> LogDensity:
    mass = math.log(special.ndtr((high - mean) / sd) - special.ndtr((low - mean) / sd))
    whole = normal(mean, sd)
    return lambda x: np.where((np.asarray(x) >= low) & (np.asarray(x) <= high), whole(x) - mass, -np.inf)


def beta(a: float, b: float, low: float = 0.0, high: float = 1.0) -> LogDensity:
    """Beta, stretched to an interval."""
    return lambda x: stats.beta.logpdf(x, a, b, loc=low, scale=high - low)


# --------------------------------------------------------------------------------------------------------------- axes


@dataclass(frozen=True)
class Axis:
    """A range of one unknown and the variable in which it is uniform.

    ``real``: ``x = low .. high`` itself. ``positive``: ``x = exp(u - exp(-u))`` times a scale, from about zero to
    ``high``. ``interval``: ``x = low + (high - low) / (1 + exp(-pi sinh u))``. ``above``: ``low`` plus a positive one.
    """

    kind: str
    u_low: float
    u_high: float
    low: float = 0.0
    scale: float = 1.0

    @staticmethod
    def real(low: float, high: float) -> Axis:
        return Axis("real", low, high)

    @staticmethod
    def positive(high: float, scale: float = 1.0, low: float = 0.0) -> Axis:
        """From ``low`` to ``high``; ``scale`` is where the unknown lives, about."""
        top = max(math.log((high - low) / scale), 0.0) + 0.6
        return Axis("positive", -2.4, top, low, scale)

    @staticmethod
    def interval(low: float, high: float) -> Axis:
        return Axis("interval", -2.5, 2.5, low, high - low)

    def map(self, u: Array) -> tuple[Array, Array]:
        """Values and ``log |dx/du|``."""
        if self.kind == "real":
            return u, np.zeros_like(u)
        if self.kind == "positive":
            log = u - np.exp(-u)
            return self.low + self.scale * np.exp(log), math.log(self.scale) + log + np.log1p(np.exp(-u))
        t = math.pi * np.sinh(u)
        slope = math.log(self.scale * math.pi) + np.log(np.cosh(u)) - np.logaddexp(0, t) - np.logaddexp(0, -t)
        return self.low + self.scale * special.expit(t), slope

    def inverse(self, x: float) -> float:
        if self.kind == "real":
            return x
        z = (x - self.low) / self.scale
        if self.kind == "positive":
            if z <= 0:
                return -math.inf
            # u - exp(-u) = log z
            return math.log(z) + float(special.lambertw(1 / z).real) if z > 1e-300 else -math.inf
        if not 0 < z < 1:
            return -math.inf if z <= 0 else math.inf
        return math.asinh(float(special.logit(z)) / math.pi)

    def nodes(self, n: int) -> tuple[Array, Array, Array]:
        """Grid ``u``, values ``x`` and log weights, shape ``(n,)`` each."""
        u = np.linspace(self.u_low, self.u_high, n)
        x, slope = self.map(u)
        return u, x, slope + math.log(u[1] - u[0])


# ---------------------------------------------------------------------------------------------------------- marginals


class Marginal(Protocol):
    """One unknown's posterior."""

    @property
    def mean(self) -> float: ...
    @property
    def sd(self) -> float: ...
    def cdf(self, x: float) -> float: ...
    def quantile(self, p: float) -> float: ...


def _solve(cdf: Callable[[float], float], p: float, low: float, high: float) -> float:
    return float(optimize.brentq(lambda x: cdf(x) - p, low, high, xtol=1e-10 * (high - low), rtol=1e-12))


@dataclass(frozen=True)
class OnAxis:
    """The posterior of an unknown on a grid: masses at uniform ``u``."""

    axis: Axis
    u: Array
    x: Array
    mass: Array

    @cached_property
    def mean(self) -> float:
        return float(self.mass @ self.x)

    @cached_property
    def sd(self) -> float:
        return math.sqrt(float(self.mass @ (self.x - self.mean) ** 2))

    def cdf(self, x: float) -> float:
        u = self.axis.inverse(x)
        if u <= self.u[0] or u >= self.u[-1]:
            return float(u >= self.u[-1])
        h = self.u[1] - self.u[0]
        return float(np.clip(self.mass @ (0.5 + special.sici(math.pi * (u - self.u) / h)[0] / math.pi), 0, 1))

    def quantile(self, p: float) -> float:
        def inside(u: float) -> float:
            h = self.u[1] - self.u[0]
            return float(self.mass @ (0.5 + special.sici(math.pi * (u - self.u) / h)[0] / math.pi))

        return float(self.axis.map(np.array([_solve(inside, p, self.u[0], self.u[-1])]))[0][0])


@dataclass(frozen=True)
class Mixture:
    """A normal mixture: weights, means and SDs of shape ``(n,)``."""

    weight: Array
    means: Array
    sds: Array

    @cached_property
    def mean(self) -> float:
        return float(self.weight @ self.means)

    @cached_property
    def sd(self) -> float:
        return math.sqrt(float(self.weight @ (self.sds**2 + (self.means - self.mean) ** 2)))

    def cdf(self, x: float) -> float:
        return float(self.weight @ special.ndtr((x - self.means) / self.sds))

    def quantile(self, p: float) -> float:
        reach = 10.0
        while not self.cdf(self.mean - reach * self.sd) < p < self.cdf(self.mean + reach * self.sd):
            reach *= 2
        return _solve(self.cdf, p, self.mean - reach * self.sd, self.mean + reach * self.sd)


@dataclass(frozen=True)
class Predicted:
    """A posterior that is known by its distribution function."""

    mean: float
    sd: float
    function: Callable[[float], float]
    spread: float

    def cdf(self, x: float) -> float:
        return self.function(x)

    def quantile(self, p: float) -> float:
        reach = 4.0
        while not self.cdf(self.mean - reach * self.spread) < p < self.cdf(self.mean + reach * self.spread):
            reach *= 2
        return _solve(self.cdf, p, self.mean - reach * self.spread, self.mean + reach * self.spread)


def refine(mass: Array, u: Array, factor: int) -> tuple[Array, Array, float]:
    """Masses on a grid (first axis) by their sinc series on a finer one; its places, and the least SD of a kernel.

    A normal kernel at every node adds up to a smooth density if its SD is at least half the step: a narrower one is to
    be widened to that, which is harmless where the step is a small part of the spread of the nodes.
    """
    step = u[1] - u[0]
    fine = np.linspace(u[0], u[-1], (u.size - 1) * factor + 1)
    kernel = np.sinc((fine[:, None] - u) / step) / factor
    return np.maximum(np.tensordot(kernel, mass, axes=1), 0.0), fine, 0.55 * step / factor


def mixture(weight: ArrayLike, means: ArrayLike, sds: ArrayLike) -> Mixture:
    """Flatten and drop what weighs nothing."""
    w, m, s = (a.ravel() for a in np.broadcast_arrays(*(np.asarray(v, float) for v in (weight, means, sds))))
    kept = w > 1e-14 * w.max()
    return Mixture(w[kept] / w[kept].sum(), m[kept], np.maximum(s[kept], 1e-300))


@dataclass(frozen=True)
class Oracle:
    """A posterior: marginals by name, probabilities of events by name, and the log evidence.

    ``oracle["mu"].mean``, ``oracle["tau"].quantile(0.975)``, ``oracle["theta_new"].cdf(0.0)``,
    ``oracle.probabilities["outlier"]``.
    """

    marginals: Mapping[str, Marginal]
    log_evidence: float
    probabilities: Mapping[str, Array]

    def __getitem__(self, name: str) -> Marginal:
        return self.marginals[name]

    def table(self) -> dict[str, tuple[float, float, float, float, float]]:
        """Mean, SD, 2.5 %, 50 % and 97.5 % of every unknown."""
        return {
            name: (m.mean, m.sd, m.quantile(0.025), m.quantile(0.5), m.quantile(0.975))
            for name, m in self.marginals.items()
        }


# -------------------------------------------------------------------------------------------------------------- grids


@dataclass(frozen=True)
class Grid:
    """A normalised posterior on a tensor grid.

    Attributes
    ----------
    mass : array of shape (n_1, ..., n_d)
        Posterior mass of every node.
    extra : mapping of str to array
        What the density function returned beside its value, on the same grid (leading axes).
    """

    axes: Mapping[str, Axis]
    u: tuple[Array, ...]
    x: tuple[Array, ...]
    mass: Array
    extra: Mapping[str, Array]
    log_evidence: float

    def over(self, name: str) -> OnAxis:
        """The marginal of one unknown."""
        place = list(self.axes).index(name)
        rest = tuple(i for i in range(self.mass.ndim) if i != place)
        return OnAxis(self.axes[name], self.u[place], self.x[place], self.mass.sum(axis=rest))

    def value(self, name: str) -> Array:
        """An unknown's nodes, shaped so that they broadcast against ``mass``."""
        place = list(self.axes).index(name)
        return self.x[place].reshape([-1 if i == place else 1 for i in range(self.mass.ndim)])


def integrate(
    density: Callable[..., tuple[Array, Mapping[str, Array]]],
    axes: Mapping[str, Axis],
    n: int | Sequence[int],
    *,
    scout: int | None = None,
) -> Grid:
    """Integrate ``exp(density)`` over the axes.

    Parameters
    ----------
    density : callable
        Takes one array per axis, shaped to broadcast; returns the log density and a mapping of arrays kept with it.
    axes : mapping of str to Axis
    n : int or sequence of int
        Nodes per axis of the final grid.
    scout : int, optional
        Nodes per axis of a first grid, which finds where the posterior is; twice.
    """
    sizes = [n] * len(axes) if isinstance(n, int) else list(n)
    current = dict(axes)
    for _ in range(0 if scout is None else 2):
        grid = _evaluate(density, current, [max(scout or 0, 3)] * len(axes))
        for i, (name, axis) in enumerate(list(current.items())):
            marginal = grid.mass.sum(axis=tuple(j for j in range(grid.mass.ndim) if j != i))
            alive = np.flatnonzero(marginal > 1e-8 * marginal.max())
            low, high = grid.u[i][max(alive[0] - 1, 0)], grid.u[i][min(alive[-1] + 1, marginal.size - 1)]
            current[name] = Axis(axis.kind, float(low), float(high), axis.low, axis.scale)
    return _evaluate(density, current, sizes)


def _evaluate(
    density: Callable[..., tuple[Array, Mapping[str, Array]]], axes: Mapping[str, Axis], sizes: Sequence[int]
) -> Grid:
    us, xs, log_weights = [], [], np.zeros([1] * len(axes))
    shaped = []
    for i, (axis, size) in enumerate(zip(axes.values(), sizes, strict=True)):
        u, x, w = axis.nodes(size)
        shape = [-1 if j == i else 1 for j in range(len(axes))]
        us.append(u)
        xs.append(x)
        shaped.append(x.reshape(shape))
        log_weights = log_weights + w.reshape(shape)
    value, extra = density(*shaped)
    value = value + log_weights
    total = float(special.logsumexp(value))
    return Grid(axes, tuple(us), tuple(xs), np.exp(value - total), extra, total)


# ----------------------------------------------------------------------------------------- the Gaussian part, in dense


def gaussian(y: Array, X: Array, V: Array, mean: Array, cov: Array) -> tuple[Array, Array, Array]:
    """Integrate the coefficients out: ``y ~ N(X b, V)``, ``b ~ N(mean, cov)``; everything may have leading axes.

    Parameters
    ----------
    y : array of shape (..., k)
    X : array of shape (..., k, p)
    V : array of shape (..., k, k), or (..., k) for a diagonal
    mean, cov : arrays of shape (p,) and (p, p)

    Returns
    -------
    log_likelihood : array of shape (...)
    b : array of shape (..., p)
    cov_b : array of shape (..., p, p)
    """
    k = y.shape[-1]
    prior = np.linalg.inv(cov)
    if V.shape[-1:] == V.shape[-2:-1] and V.ndim > 1 and V.shape[-1] == k and V.shape[-2] == k:
        WX, Wy = np.linalg.solve(V, X), np.linalg.solve(V, y[..., None])[..., 0]
        logdet = np.linalg.slogdet(V)[1]
    else:
        WX, Wy, logdet = X / V[..., None], y / V, np.log(V).sum(axis=-1)
    A = np.swapaxes(X, -1, -2) @ WX + prior
    rhs = np.einsum("...ki,...k->...i", X, Wy) + prior @ mean
    b = np.linalg.solve(A, rhs[..., None])[..., 0]
    quadratic = (y * Wy).sum(axis=-1) + mean @ prior @ mean - (b * rhs).sum(axis=-1)
    log = -0.5 * (k * LOG_2PI + logdet + quadratic + np.linalg.slogdet(A)[1] + np.linalg.slogdet(cov)[1])
    return log, b, np.linalg.inv(A)
