"""One-dimensional densities on Chebyshev nodes, whose interpolant is integrated in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import bayesmeta.numerics as numerics
from bayesmeta.errors import InferenceError
from bayesmeta.marginals.mixture import IntervalKind, check_interval, check_probabilities, probit_step, shortest

__all__ = ["Gridded", "Variable", "VariableKind", "from_density", "grid_quantiles"]

FloatArray = NDArray[np.float64]
VariableKind = Literal["identity", "asinh", "log", "logsinh"]

# the distribution function of a tabulated density is a polynomial of high degree, good to about 1e-13 itself
_GRID_TOLERANCE = 1e-12
#: Numbers in one array of points by terms, so that it fits in memory.
_ROOM = 4e6


@dataclass(frozen=True, slots=True)
class Variable:
    """The variable in which a density is tabulated: ``x`` as an increasing function of ``z``.

    ``identity``: x = z; ``asinh``: x = scale sinh(z); ``log``: x = exp(loc + scale z);
    ``logsinh``: x = exp(loc + scale sinh(z)). Location and scale may be arrays, for several variables at once.

    Examples
    --------
    >>> Variable("asinh", 0.0, 0.3).x(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.3526])
    """

    kind: VariableKind = "identity"
    loc: float | FloatArray = 0.0
    scale: float | FloatArray = 1.0

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
            return np.log(self.scale) + np.logaddexp(z, -z) - math.log(2)
        stretch = np.logaddexp(z, -z) - math.log(2) if self.kind == "logsinh" else 0.0
        return np.log(self.scale) + stretch + self._log_x(z)


@dataclass(frozen=True, slots=True, eq=False)
class Gridded:
    """A density tabulated on Chebyshev nodes of one or more panels.

    Parameters
    ----------
    edges : array of shape (panels + 1,)
        Ascending, in the variable ``z``.
    values : array of shape (panels, n)
        Density with respect to ``z`` at the nodes of ``numerics.rule(n)`` in each panel; rescaled to integrate to one.
    variable : Variable
        How ``x`` follows from ``z``.
    moments : int
        Highest moment of ``x`` that exists.

    Examples
    --------
    >>> nodes, _ = numerics.rule(65)
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
        series = numerics.coefficients(values)
        integral = numerics.antiderivative(series) * half[:, None]
        total = float(integral.sum())  # a Chebyshev series at +1 is the sum of its coefficients
        if not (math.isfinite(total) and total > 0):
            raise InferenceError("a density on a grid has no finite positive mass; please report these data.")
        # a stored table is normalised already; dividing again would change its last bits
        if abs(total - 1) > 1e-12:
            values = values / total
            series = numerics.coefficients(values)
            integral = numerics.antiderivative(series) * half[:, None]
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
        nodes, weights = numerics.rule(self.values.shape[1])
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

    def _cdf_z(self, z: FloatArray) -> FloatArray:
        panel, t = self._locate(z)
        inside = self._before[panel] + _evaluate(self._integral, panel, t)
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
        value = np.maximum(_evaluate(self._series, panel, t), 0.0)
        with np.errstate(over="ignore"):
            value = value * np.exp(-self.variable.log_jacobian(z))
        return np.where((z < self.edges[0]) | (z > self.edges[-1]), 0.0, value).reshape(x.shape)

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Quantiles at probabilities ``p``: Newton's method from the nearest node, safeguarded by bisection."""
        p = check_probabilities(p)
        target = p.ravel()
        panel = np.minimum(np.maximum(self._before.searchsorted(target, side="right") - 1, 0), self.values.shape[0] - 1)
        table = (self.edges[:-1], np.diff(self.edges), self._before[:-1], self._integral, self._series)
        z = _table_quantile(target, panel, *table)
        z = np.where(target <= 0, self.edges[0], np.where(target >= 1, self.edges[-1], z))
        return self.variable.x(z).reshape(p.shape)

    def interval(self, level: float = 0.95, kind: IntervalKind = "central") -> tuple[float, float]:
        """Interval that holds probability ``level``: equal tails, or the shortest."""
        check_interval(level, kind)
        if kind == "shortest":
            return shortest(self, level)
        low, _, high = self.quantile(numerics.interval_ends(level))
        return float(low), float(high)

    def rvs(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Independent draws by inversion, shape ``(size,)``."""
        return self.quantile(rng.random(size))


def _evaluate(series: FloatArray, panel: NDArray[np.intp], t: FloatArray) -> FloatArray:
    """Value of each point's own panel, in pieces that fit in memory."""
    result = np.empty(t.size)
    step = max(1, int(_ROOM // series.shape[1]))
    for start in range(0, t.size, step):
        part = slice(start, start + step)
        chosen = series[0] if series.shape[0] == 1 else series[panel[part]]
        (result[part],) = numerics.evaluate(t[part], chosen)
    return result


def _table_quantile(
    target: FloatArray,
    panel: NDArray[np.intp],
    left: FloatArray,
    width: FloatArray,
    before: FloatArray,
    integral: FloatArray,
    series: FloatArray,
) -> FloatArray:
    """Where distribution functions reach probabilities, each in a given panel; shape of ``target``.

    Nearly all the work is in the series, so that a point that has arrived is left alone.

    Parameters
    ----------
    target : array of shape (P,)
    panel : array of int of shape (P,)
    left, width, before : arrays of shape (panels,)
        First end and width of each panel, and the probability before it.
    integral, series : arrays of shape (panels, n + 1), (panels, n)
        Chebyshev series of the distribution function less ``before``, and of the density.
    """
    n = series.shape[1]
    step = max(1, int(_ROOM // (n + 1)))
    if target.size > step:
        table = (left, width, before, integral, series)
        pieces = [slice(start, start + step) for start in range(0, target.size, step)]
        return np.concatenate([_table_quantile(target[piece], panel[piece], *table) for piece in pieces])
    nodes = numerics.rule(n)[0]
    known = before[:, None] + numerics.on_nodes(integral)
    t, start = np.empty(target.size), numerics.probit(np.maximum.accumulate(known, axis=1))
    goal = numerics.probit(target)
    for index in set(panel.tolist()):
        here = panel == index
        t[here] = np.interp(goal[here], start[index], nodes)
    left, width, before = left[panel], width[panel], before[panel]
    integral, series = (form[0] if form.shape[0] == 1 else form[panel] for form in (integral, series))
    below, slope = np.empty(target.size), np.empty(target.size)

    def at(t: FloatArray, moving: NDArray[np.bool_]) -> tuple[FloatArray, Callable[[], FloatArray]]:
        own = (form if form.ndim == 1 else form[moving] for form in (integral, series))
        inside, slope[moving] = numerics.evaluate(t[moving], *own)
        below[moving] = before[moving] + inside
        return below - target, lambda: probit_step(below, goal, 0.5 * width * slope)

    ends = np.full(target.size, -1.0), np.full(target.size, 1.0)
    t = numerics.newton(at, t, *ends, close=_GRID_TOLERANCE)[0]
    return left + 0.5 * width * (t + 1.0)


def grid_quantiles(forms: Sequence[Gridded], p: FloatArray) -> FloatArray:
    """Quantiles of many tabulated densities at once.

    Parameters
    ----------
    forms : sequence of Gridded
    p : array of shape (P,)
        Probabilities strictly between 0 and 1.

    Returns
    -------
    array of shape (len(forms), P)

    Examples
    --------
    >>> nodes, _ = numerics.rule(65)
    >>> normals = [Gridded(np.array([-9.0, 9.0]), np.exp(-0.5 * (9 * nodes - m) ** 2)[None, :]) for m in (0.0, 1.0)]
    >>> grid_quantiles(normals, np.array([0.5])).round(8).tolist()
    [[0.0], [1.0]]
    """
    found = np.empty((len(forms), p.size))
    sizes: dict[int, list[int]] = {}
    for i, form in enumerate(forms):
        if form.values.shape[0] == 1:
            sizes.setdefault(form.values.shape[1], []).append(i)
        else:
            found[i] = form.quantile(p)
    for some in sizes.values():
        chosen = [forms[i] for i in some]
        edges = np.array([form.edges for form in chosen])
        series = np.concatenate([form._series for form in chosen])
        integral = np.concatenate([form._integral for form in chosen])
        panel = np.repeat(np.arange(len(some)), p.size)
        table = (edges[:, 0], edges[:, 1] - edges[:, 0], np.zeros(len(some)), integral, series)
        z = _table_quantile(np.tile(p, len(some)), panel, *table)
        for i, form, row in zip(some, chosen, z.reshape(len(some), p.size), strict=True):
            found[i] = form.variable.x(row)
    return found


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
    nodes, weights = numerics.rule(points)
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
        rough = np.abs(numerics.coefficients(values)[:, -3:]).max(axis=1) * half > tolerance * total
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
