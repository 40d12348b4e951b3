"""One-dimensional posteriors that answer every question exactly.

Two forms share one interface (``mean sd cdf sf quantile density interval rvs mcse``): a finite mixture of normals,
and a density on nodes whose interpolant is integrated in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta import chebyshev
from bayesmeta.errors import InferenceError, ModelError

__all__ = [
    "Gridded",
    "IntervalKind",
    "Marginal",
    "NormalMixture",
    "Variable",
    "check_interval",
    "check_probabilities",
    "from_density",
    "mixture_cdf",
    "mixture_quantile",
]

FloatArray = NDArray[np.float64]
IntervalKind = Literal["central", "shortest"]
INTERVAL_KINDS: tuple[IntervalKind, ...] = ("central", "shortest")

_SQRT_2PI = math.sqrt(2 * math.pi)
# a quantile is accepted when its probability is right to this much; rounding in the sum of a few hundred terms is 1e-15
_PROBABILITY_TOLERANCE = 1e-13
# the distribution function of a tabulated density is a polynomial of high degree, good to about 1e-13 itself
_GRID_TOLERANCE = 1e-12
_MAX_STEPS = 200


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
    """Refuse a level or a kind of interval that does not exist."""
    if not 0 < level < 1:
        raise ModelError(f"level = {level} is not between 0 and 1; 0.95 is usual.")
    if kind not in INTERVAL_KINDS:
        raise ModelError(f"unknown interval kind {kind!r}. Allowed: {', '.join(INTERVAL_KINDS)}.")


def check_probabilities(p: ArrayLike) -> FloatArray:
    """Give probabilities as an array, and refuse what is none."""
    p = np.asarray(p, float)
    if not np.all((p >= 0) & (p <= 1)):
        raise ModelError("probabilities lie between 0 and 1.")
    return p


def _probit(p: FloatArray) -> FloatArray:
    inside: FloatArray = np.minimum(np.maximum(p, 1e-300), 1 - 1e-16)
    return np.asarray(special.ndtri(inside), float)


def _shortest(marginal: Marginal, level: float) -> tuple[float, float]:
    """Shortest interval: the lower tail area that minimises the length, by zooming in and then equalising the ends."""
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
        for _ in range(60):
            tail = 0.5 * (low + high)
            if gap(tail) < 0:
                low = tail
            else:
                high = tail
        tail = 0.5 * (low + high)
    ends = marginal.quantile(np.array([tail, min(tail + level, 1.0)]))
    return float(ends[0]), float(ends[1])


def mixture_cdf(x: FloatArray, weights: FloatArray, means: FloatArray, sds: FloatArray) -> FloatArray:
    """Distribution functions of several mixtures that share their weights.

    Parameters
    ----------
    x : array of shape (M, P)
        Points, per mixture.
    weights : array of shape (N,)
    means, sds : arrays of shape (M, N)

    Returns
    -------
    array of shape (M, P)
    """
    return special.ndtr((x[:, :, None] - means[:, None, :]) / sds[:, None, :]) @ weights


def mixture_quantile(p: FloatArray, weights: FloatArray, means: FloatArray, sds: FloatArray) -> FloatArray:
    """Quantiles of several mixtures of normals that share their weights.

    Newton's method on the probit scale, on which a near-normal mixture is near-linear, inside a bracket made of the
    components' own quantiles, which always holds the mixture's quantile.

    Parameters
    ----------
    p : array of shape (P,)
        Probabilities strictly between 0 and 1.
    weights : array of shape (N,)
    means, sds : arrays of shape (M, N), ``sds`` positive

    Returns
    -------
    array of shape (M, P)
    """
    z = special.ndtri(p)
    used = weights > 0
    reach = sds[:, :, None] * z
    low = (np.where(used, means, np.inf)[:, :, None] + reach).min(axis=1)
    high = (np.where(used, means, -np.inf)[:, :, None] + reach).max(axis=1)
    # brackets may span a hundred orders of magnitude: they are halved on an asinh scale around the heaviest component
    heaviest = int(np.argmax(weights))
    origin, unit = means[:, [heaviest]], sds[:, used].min(axis=1, keepdims=True)

    def middle() -> FloatArray:
        return origin + unit * np.sinh(0.5 * (np.arcsinh((low - origin) / unit) + np.arcsinh((high - origin) / unit)))

    with np.errstate(over="ignore", invalid="ignore"):
        centre = means @ weights
        spread = np.sqrt(np.maximum((sds**2 + (means - centre[:, None]) ** 2) @ weights, 0))
        x = centre[:, None] + spread[:, None] * z
    x = np.where((x > low) & (x < high), x, middle())
    for _ in range(_MAX_STEPS):
        scaled = (x[:, :, None] - means[:, None, :]) / sds[:, None, :]
        below = special.ndtr(scaled) @ weights
        error = below - p
        # what has arrived stays: its bracket has an end there, and halving it would throw it away
        done = (np.abs(error) <= _PROBABILITY_TOLERANCE) | (high - low <= 4e-16 * np.abs(x))
        if done.all():
            return x
        low, high = np.where(error < 0, x, low), np.where(error >= 0, x, high)
        density = (np.exp(-0.5 * scaled * scaled) / sds[:, None, :]) @ weights / _SQRT_2PI
        probit = _probit(below)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = (probit - z) * np.exp(-0.5 * probit * probit) / _SQRT_2PI / density
            trial = x - step
        inside = (trial > low) & (trial < high)
        x = np.where(done, x, np.where(inside, trial, middle() if not inside.all() else trial))
    return x


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
        return special.ndtr(self._scaled(np.asarray(x, float))) @ self.weights

    def sf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value above ``x``, accurate when it is small."""
        return special.ndtr(-self._scaled(np.asarray(x, float))) @ self.weights

    def density(self, x: ArrayLike) -> FloatArray:
        """Density at ``x``; infinite at an atom."""
        scaled = self._scaled(np.asarray(x, float))
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = np.exp(-0.5 * scaled * scaled) / (_SQRT_2PI * self.sds)
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
        for _ in range(_MAX_STEPS):
            middle = 0.5 * (low + high)
            above = self.cdf(middle) >= p
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return high

    def interval(self, level: float = 0.95, kind: IntervalKind = "central") -> tuple[float, float]:
        """Interval that holds probability ``level``: equal tails, or the shortest."""
        check_interval(level, kind)
        if kind == "shortest":
            return _shortest(self, level)
        low, high = self.quantile(np.array([(1 - level) / 2, (1 + level) / 2]))
        return float(low), float(high)

    def rvs(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Independent draws, shape ``(size,)``."""
        chosen = rng.choice(self.weights.size, size=size, p=self.weights / self.weights.sum())
        return rng.normal(self.means[chosen], self.sds[chosen])


@dataclass(frozen=True, slots=True)
class Variable:
    """The variable in which a density is tabulated: ``x`` as an increasing function of ``z``.

    ``identity``: x = z; ``asinh``: x = scale sinh(z); ``log``: x = exp(loc + scale z);
    ``logsinh``: x = exp(loc + scale sinh(z)).

    Examples
    --------
    >>> Variable("asinh", 0.0, 0.3).x(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.3526])
    """

    kind: Literal["identity", "asinh", "log", "logsinh"] = "identity"
    loc: float = 0.0
    scale: float = 1.0

    # beyond this many nats the square of x leaves the range of floating point numbers
    _LOG_LIMIT = 340.0

    def _log_x(self, z: FloatArray) -> FloatArray:
        u = np.sinh(z) if self.kind == "logsinh" else z
        return np.clip(self.loc + self.scale * u, -self._LOG_LIMIT, self._LOG_LIMIT)

    def x(self, z: ArrayLike) -> FloatArray:
        """Value at ``z``."""
        z = np.asarray(z, float)
        if self.kind == "identity":
            return z
        return self.scale * np.sinh(z) if self.kind == "asinh" else np.exp(self._log_x(z))

    def z(self, x: ArrayLike) -> FloatArray:
        """Inverse of `x`."""
        x = np.asarray(x, float)
        if self.kind == "identity":
            return x
        if self.kind == "asinh":
            return np.arcsinh(x / self.scale)
        with np.errstate(divide="ignore"):
            u = (np.log(np.maximum(x, 0.0)) - self.loc) / self.scale
        return np.arcsinh(u) if self.kind == "logsinh" else u

    def log_jacobian(self, z: ArrayLike) -> FloatArray:
        """Logarithm of dx/dz."""
        z = np.asarray(z, float)
        if self.kind == "identity":
            return np.zeros_like(z)
        if self.kind == "asinh":
            return math.log(self.scale) + np.logaddexp(z, -z) - math.log(2)
        stretch = np.logaddexp(z, -z) - math.log(2) if self.kind == "logsinh" else 0.0
        return math.log(self.scale) + stretch + self._log_x(z)


@dataclass(frozen=True, slots=True, eq=False)
class Gridded:
    """A density tabulated on Chebyshev nodes of one or more panels.

    Parameters
    ----------
    edges : array of shape (panels + 1,)
        Ascending, in the variable ``z``.
    values : array of shape (panels, n)
        Density with respect to ``z`` at the nodes of ``chebyshev.rule(n)`` in each panel; rescaled to integrate to one.
    variable : Variable
        How ``x`` follows from ``z``.
    moments : int
        Highest moment of ``x`` that exists.

    Examples
    --------
    >>> nodes, _ = chebyshev.rule(65)
    >>> normal = Gridded(np.array([-9.0, 9.0]), np.exp(-0.5 * (9 * nodes) ** 2)[None, :])
    >>> float(normal.cdf(1.959963984540054).round(10)), float(normal.quantile(0.5).round(10))
    (0.975, 0.0)
    """

    edges: FloatArray
    values: FloatArray
    variable: Variable = field(default_factory=Variable)
    moments: int = 2
    _series: FloatArray = field(init=False, repr=False)
    _integral: FloatArray = field(init=False, repr=False)
    _before: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        edges = np.array(self.edges, float)
        values = np.array(self.values, float, ndmin=2)
        half = 0.5 * np.diff(edges)
        integral = chebyshev.antiderivative(chebyshev.coefficients(values)) * half[:, None]
        total = float(integral.sum())  # a Chebyshev series at +1 is the sum of its coefficients
        if not (math.isfinite(total) and total > 0):
            raise InferenceError("a density on a grid has no finite positive mass; please report these data.")
        # a stored table is normalised already; dividing again would change its last bits
        if abs(total - 1) > 1e-12:
            values = values / total
        series = chebyshev.coefficients(values)
        integral = chebyshev.antiderivative(series) * half[:, None]
        before = np.concatenate([[0.0], np.cumsum(integral.sum(axis=-1))])
        for name, array in (
            ("edges", edges),
            ("values", values),
            ("_series", series),
            ("_integral", integral),
            ("_before", before),
        ):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def support(self) -> tuple[float, float]:
        """First and last value of the table."""
        ends = self.variable.x(self.edges[[0, -1]])
        return float(ends[0]), float(ends[1])

    def _expect(self, power: int, centre: float = 0.0) -> float:
        nodes, weights = chebyshev.rule(self.values.shape[1])
        middle, half = 0.5 * (self.edges[1:] + self.edges[:-1]), 0.5 * np.diff(self.edges)
        x = self.variable.x(middle[:, None] + half[:, None] * nodes)
        return float(((x - centre) ** power * self.values * half[:, None]).sum(axis=0) @ weights)

    @property
    def mean(self) -> float:
        """Expectation, or infinity where it does not exist."""
        return self._expect(1) if self.moments >= 1 else math.inf

    @property
    def sd(self) -> float:
        """Standard deviation, or infinity where it does not exist."""
        return math.sqrt(max(self._expect(2, self._expect(1)), 0.0)) if self.moments >= 2 else math.inf

    @property
    def mcse(self) -> float:
        """Zero: nothing is simulated."""
        return 0.0

    def _locate(self, z: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
        last = self.values.shape[0] - 1
        panel = np.minimum(np.maximum(self.edges.searchsorted(z, side="right") - 1, 0), last)
        low, high = self.edges[panel], self.edges[panel + 1]
        return panel, np.minimum(np.maximum((2 * z - low - high) / (high - low), -1.0), 1.0)

    def _evaluate(self, series: FloatArray, panel: NDArray[np.intp], t: FloatArray) -> FloatArray:
        """Value of each point's own panel, in pieces that fit in memory."""
        result = np.empty(t.size)
        step = max(1, int(4e6 // series.shape[1]))
        for start in range(0, t.size, step):
            part = slice(start, start + step)
            chosen = series[0] if series.shape[0] == 1 else series[panel[part]]
            result[part] = chebyshev.evaluate(chosen, t[part])
        return result

    def _cdf_z(self, z: FloatArray) -> FloatArray:
        panel, t = self._locate(z)
        inside = self._before[panel] + self._evaluate(self._integral, panel, t)
        return np.minimum(
            np.maximum(np.where(z >= self.edges[-1], 1.0, np.where(z <= self.edges[0], 0.0, inside)), 0.0), 1.0
        )

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value not above ``x``, of the shape of ``x``."""
        x = np.asarray(x, float)
        return self._cdf_z(self.variable.z(x).ravel()).reshape(x.shape)

    def sf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value above ``x``."""
        return 1.0 - self.cdf(x)

    def density(self, x: ArrayLike) -> FloatArray:
        """Density at ``x``, zero outside the table."""
        x = np.asarray(x, float)
        z = self.variable.z(x).ravel()
        panel, t = self._locate(z)
        value = np.maximum(self._evaluate(self._series, panel, t), 0.0)
        with np.errstate(over="ignore"):
            value = value * np.exp(-self.variable.log_jacobian(z))
        return np.where((z < self.edges[0]) | (z > self.edges[-1]), 0.0, value).reshape(x.shape)

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Quantiles at probabilities ``p``: Newton's method from the nearest node, safeguarded by bisection."""
        p = check_probabilities(p)
        target = p.ravel()
        panel = np.minimum(np.maximum(self._before.searchsorted(target, side="right") - 1, 0), self.values.shape[0] - 1)
        left, width = self.edges[panel], self.edges[panel + 1] - self.edges[panel]
        nodes = chebyshev.rule(self.values.shape[1])[0]
        t = np.empty(target.size)
        for index in set(panel.tolist()):
            here = panel == index
            known = self._before[index] + chebyshev.on_nodes(self._integral[index])
            t[here] = np.interp(_probit(target[here]), _probit(np.maximum.accumulate(known)), nodes)
        low, high, goal = np.full(target.size, -1.0), np.full(target.size, 1.0), _probit(target)
        for _ in range(_MAX_STEPS):
            below = self._before[panel] + self._evaluate(self._integral, panel, t)
            error = below - target
            done = (np.abs(error) <= _GRID_TOLERANCE) | (high - low <= 4e-16)
            if done.all():
                break
            low, high = np.where(error < 0, t, low), np.where(error >= 0, t, high)
            slope = self._evaluate(self._series, panel, t) * (0.5 * width)
            probit = _probit(below)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                trial = t - (probit - goal) * np.exp(-0.5 * probit * probit) / _SQRT_2PI / slope
            t = np.where(done, t, np.where((trial > low) & (trial < high), trial, 0.5 * (low + high)))
        z = left + 0.5 * width * (t + 1.0)
        z = np.where(target <= 0, self.edges[0], np.where(target >= 1, self.edges[-1], z))
        return self.variable.x(z).reshape(p.shape)

    def interval(self, level: float = 0.95, kind: IntervalKind = "central") -> tuple[float, float]:
        """Interval that holds probability ``level``: equal tails, or the shortest."""
        check_interval(level, kind)
        if kind == "shortest":
            return _shortest(self, level)
        low, high = self.quantile(np.array([(1 - level) / 2, (1 + level) / 2]))
        return float(low), float(high)

    def rvs(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Independent draws by inversion, shape ``(size,)``."""
        return self.quantile(rng.random(size))


def from_density(
    density: Callable[[FloatArray], FloatArray],
    breaks: ArrayLike,
    *,
    moments: int = 2,
    tolerance: float = 1e-11,
    points: int = 33,
) -> Gridded:
    """Tabulate a density by halving panels until each one's Chebyshev series has ended.

    Parameters
    ----------
    density : callable
        Density up to a constant, from points of shape (P,) to values of shape (P,).
    breaks : array
        Ends of the range and the places where the density may be rough, ascending.
    tolerance : float
        A panel is accepted when its last three coefficients, as mass, are below this share of the total.
    """
    nodes, weights = chebyshev.rule(points)
    pending = [
        (float(a), float(b), 0) for a, b in zip(np.asarray(breaks)[:-1], np.asarray(breaks)[1:], strict=True) if b > a
    ]
    done: list[tuple[float, float, FloatArray]] = []
    total = 0.0
    while pending:
        low, high = np.array([item[0] for item in pending]), np.array([item[1] for item in pending])
        half, middle = 0.5 * (high - low), 0.5 * (high + low)
        values = density((middle[:, None] + half[:, None] * nodes).ravel()).reshape(len(pending), points)
        total = max(
            total, float(half @ (values @ weights)) + sum(0.5 * (b - a) * float(v @ weights) for a, b, v in done)
        )
        rough = np.abs(chebyshev.coefficients(values)[:, -3:]).max(axis=1) * half > tolerance * total
        following: list[tuple[float, float, int]] = []
        for index, (a, b, depth) in enumerate(pending):
            if rough[index] and depth < 45 and 0.5 * (a + b) not in (a, b):
                following += [(a, 0.5 * (a + b), depth + 1), (0.5 * (a + b), b, depth + 1)]
            else:
                done.append((a, b, values[index]))
        pending = following
    done.sort(key=lambda panel: panel[0])
    return Gridded(
        np.array([panel[0] for panel in done] + [done[-1][1]]), np.array([p[2] for p in done]), moments=moments
    )
