"""What many rooms compute with: Clenshaw-Curtis rules, Chebyshev series, roots and maxima of functions, probits."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.polynomial.chebyshev import chebval
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.errors import ModelError

__all__ = [
    "antiderivative",
    "ascend",
    "coefficients",
    "embedded",
    "evaluate",
    "interval_ends",
    "newton",
    "on_nodes",
    "probit",
    "probit_rule",
    "roots",
    "rule",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
#: Steps after which a search ends; halving alone needs some 60 on the scale of a double, 1100 over all of them.
MAX_STEPS = 200
#: Secant steps before every other one halves.
_SECANT = 16
#: A bracket this narrow, relative, cannot be halved.
NARROW = 4e-16
#: Beyond so many points numpy's recurrence is faster, thirty times and more for ten thousand. For one point its loop
#: over the terms takes twenty times as long, and one point is what most questions ask (benchmarks/series.py).
MANY = 200


@functools.cache
def rule(n: int) -> tuple[FloatArray, FloatArray]:
    """Nodes and weights of the Clenshaw-Curtis rule with ``n = 2**m + 1`` points on [-1, 1], ascending.

    Every second node of ``rule(2 * n - 1)`` is a node of ``rule(n)``, so doubling keeps all earlier work.

    References
    ----------
    Waldvogel J. BIT Numer Math 2006;46:195-202. doi:10.1007/s10543-006-0045-4

    Examples
    --------
    >>> x, w = rule(9)
    >>> bool(np.isclose(w @ x**8, 2 / 9))
    True
    """
    m = n - 1
    nodes = -np.cos(np.pi * np.arange(n) / m)
    # the end points and the middle are exact in exact arithmetic; keep them so
    nodes[0], nodes[-1], nodes[m // 2] = -1.0, 1.0, 0.0
    moments = np.zeros(n)
    even = np.arange(0, n, 2)
    moments[even] = 2.0 / (1.0 - even**2)
    full = np.concatenate([moments, moments[-2:0:-1]])
    weights = np.fft.irfft(full[: m + 1], n=2 * m)[:n] * 2
    weights[0] /= 2
    weights[-1] /= 2
    nodes.flags.writeable = False
    weights.flags.writeable = False
    return nodes, weights


@functools.cache
def embedded(n: int) -> FloatArray:
    """Weights on the nodes of ``rule(n)`` of the rule with half of them; zero at the others."""
    weights = np.zeros(n)
    weights[::2] = rule((n + 1) // 2)[1]
    weights.flags.writeable = False
    return weights


def coefficients(values: FloatArray) -> FloatArray:
    """Chebyshev coefficients of the interpolant through ``values`` at the nodes of `rule`.

    Parameters
    ----------
    values : array of shape (..., n)

    Returns
    -------
    array of shape (..., n)
    """
    n = values.shape[-1]
    down = values[..., ::-1]
    mirrored = np.concatenate([down, down[..., -2:0:-1]], axis=-1)
    series = np.fft.rfft(mirrored, axis=-1).real[..., :n] / (n - 1)
    series[..., 0] /= 2
    series[..., -1] /= 2
    return series


def antiderivative(series: FloatArray) -> FloatArray:
    """Coefficients of the antiderivative that is zero at -1.

    What numpy's ``chebint`` gives, which loops over the terms: thirty times as long for one series of 129.

    Parameters
    ----------
    series : array of shape (..., n)

    Returns
    -------
    array of shape (..., n + 1)
    """
    n = series.shape[-1]
    padded = np.concatenate([series, np.zeros((*series.shape[:-1], 2))], axis=-1)
    result = np.zeros((*series.shape[:-1], n + 1))
    k = np.arange(1, n + 1)
    previous = padded[..., 0:n].copy()
    previous[..., 0] *= 2
    result[..., 1:] = (previous - padded[..., 2 : n + 2]) / (2 * k)
    signs = np.where(np.arange(n + 1) % 2 == 0, 1.0, -1.0)
    result[..., 0] = -(result[..., 1:] * signs[1:]).sum(axis=-1)
    return result


def evaluate(t: FloatArray, *series: FloatArray) -> list[FloatArray]:
    """Values of Chebyshev series at the same points, one array of shape (P,) for each of ``series``.

    Parameters
    ----------
    t : array of shape (P,), in [-1, 1]
    *series : arrays of shape (n,) or (P, n)
        One series for all points, or one for each; ``n`` may differ between them.

    Examples
    --------
    >>> x, _ = rule(17)
    >>> sine = antiderivative(coefficients(np.cos(x)))
    >>> evaluate(np.array([1.0]), sine)[0].round(12) == (2 * np.sin(1.0)).round(12)
    array([ True])
    """
    if t.size > MANY:
        return [np.asarray(chebval(t, item.T, tensor=False), float) for item in series]
    values = np.cos(np.arccos(t)[:, None] * np.arange(max(item.shape[-1] for item in series)))
    return [
        values[:, : item.shape[-1]] @ item
        if item.ndim == 1
        else np.einsum("pn,pn->p", values[:, : item.shape[-1]], item)
        for item in series
    ]


def on_nodes(series: FloatArray) -> FloatArray:
    """Values of series of shape (..., n + 1) at the n nodes of `rule`, ascending; the inverse of `coefficients`."""
    n = series.shape[-1] - 1
    padded = np.zeros((*series.shape[:-1], 2 * n - 1))
    padded[..., : n + 1] = series
    padded[..., 1:] /= 2
    padded[..., -1] *= 2
    # the grid with twice the intervals holds every node of the rule
    down = np.fft.irfft(padded, n=4 * (n - 1), axis=-1)[..., : 2 * n - 1] * 4 * (n - 1)
    return down[..., ::-2]


def interval_ends(level: float) -> FloatArray:
    """Probabilities at the lower end, the middle and the upper end of a central interval.

    Raises
    ------
    ModelError
        For a level that is not between 0 and 1.

    Examples
    --------
    >>> interval_ends(0.9).round(12).tolist()
    [0.05, 0.5, 0.95]
    """
    if not 0 < level < 1:
        raise ModelError(f"level = {level} is not between 0 and 1; 0.95 is usual.")
    return np.array([(1 - level) / 2, 0.5, (1 + level) / 2])


def probit(p: ArrayLike) -> FloatArray:
    """Normal quantile, of probabilities that rounding may have put at 0 or 1."""
    inside = np.minimum(np.maximum(p, 1e-300), 1 - 1e-16)
    return np.asarray(special.ndtri(inside), float)


def probit_rule(size: int = 513) -> tuple[FloatArray, FloatArray]:
    """Probabilities and weights that integrate a function of a quantile, as over a standard normal."""
    nodes, weights = rule(size)
    z = 8.2 * nodes
    weights = weights * np.exp(-0.5 * z * z)
    return np.asarray(special.ndtr(z)), weights / weights.sum()


def roots(
    function: Callable[[FloatArray], FloatArray],
    low: ArrayLike,
    high: ArrayLike,
    *,
    values: tuple[FloatArray, FloatArray] | None = None,
    close: float = 0.0,
    width: float = NARROW,
) -> FloatArray:
    """Where functions change sign, each inside its bracket, all at once.

    Secant steps by the Illinois rule (Dowell & Jarratt 1971, doi:10.1007/BF01934364); what has not arrived after a few
    is also halved, so that a function with jumps is served too: its point at or above the jump.

    Parameters
    ----------
    function : callable
        From points of shape (P,) to values of shape (P,), at each point its own function.
    low, high : array_like, shape (P,) or ()
        Ends of the brackets, at which the signs differ; where they do not, the end with the smaller value is given.
    values : tuple of arrays of shape (P,), optional
        The values there, where they are known.
    close : float
        A value this small is a root.
    width : float
        A bracket this narrow, relative to its ends or to a thousandth of the first, is a root.

    Returns
    -------
    array of shape (P,)

    Examples
    --------
    >>> roots(lambda x: x * x - np.array([2.0, 9.0]), [0.0, 0.0], 5.0).round(12).tolist()
    [1.414213562373, 3.0]
    """
    a, b = (np.array(end, float, ndmin=1) for end in np.broadcast_arrays(low, high))
    fa, fb = (function(a), function(b)) if values is None else values
    # b is the newest point and a the other end of the bracket; its weight halves whenever it stays where it is
    weight, floor, moving = fa, 1e-3 * np.abs(b - a), (fa >= 0) != (fb >= 0)
    best = a
    for step in range(MAX_STEPS):
        nearer = (np.abs(fb) < np.abs(fa)) | ((np.abs(fb) == np.abs(fa)) & (fa < 0))
        best = np.where(moving | (step == 0), np.where(nearer, b, a), best)
        narrow = np.abs(b - a) <= width * np.maximum(np.abs(best), floor)
        moving &= (np.minimum(np.abs(fa), np.abs(fb)) > close) & ~narrow
        if not moving.any():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            x = b - fb * (b - a) / (fb - weight)
        inside = (x > np.minimum(a, b)) & (x < np.maximum(a, b))
        x = np.where(inside & ((step < _SECANT) | (step % 2 == 0)), x, 0.5 * (a + b))
        x = np.where(moving, x, best)
        fx = function(x)
        crossed = (fx >= 0) != (fb >= 0)
        a, fa, weight = np.where(crossed, b, a), np.where(crossed, fb, fa), np.where(crossed, fb, 0.5 * weight)
        b, fb = x, fx
    return best


def newton(
    at: Callable[[FloatArray, BoolArray], tuple[FloatArray, Callable[[], FloatArray]]],
    x: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    close: float,
    settled: float = 0.0,
    middle: Callable[[FloatArray, FloatArray], FloatArray] = lambda low, high: 0.5 * (low + high),
) -> tuple[FloatArray, BoolArray]:
    """Where rising functions are zero, each by Newton steps that are kept inside its bracket by halving it.

    Parameters
    ----------
    at : callable
        From points and which of them still move (both of one shape) to the errors, whose sign says on which side the
        root lies, and a function that gives what to subtract; both may be stale where nothing moves.
    x, low, high : arrays of one shape
        Where to start, and the brackets.
    close : float
        An error this small is none.
    settled : float
        A relative step this small is the last.
    middle : callable
        Halves brackets.

    Returns
    -------
    x : array
    moving : array of bool
        What has not arrived.

    Examples
    --------
    >>> def at(x, moving):
    ...     return x**3 - 8.0, lambda: (x**3 - 8.0) / (3 * x**2)
    >>> x, moving = newton(at, np.array([1.0]), np.array([0.0]), np.array([9.0]), close=1e-12)
    >>> float(x[0].round(12)), bool(moving[0])
    (2.0, False)
    """
    moving = np.ones(x.shape, bool)
    for _ in range(MAX_STEPS):
        error, step = at(x, moving)
        # what has arrived stays: its bracket has an end there, and halving it would throw it away
        moving &= (np.abs(error) > close) & (high - low > NARROW * np.abs(x))
        if not moving.any():
            break
        low, high = np.where(error < 0, x, low), np.where(error >= 0, x, high)
        with np.errstate(all="ignore"):
            trial = x - step()
        inside = (trial > low) & (trial < high)
        new = np.where(moving, trial if inside.all() else np.where(inside, trial, middle(low, high)), x)
        if settled:
            moving &= np.abs(new - x) > settled * np.abs(new)
        x = new
    return x, moving


def ascend(
    at: Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]],
    x: ArrayLike,
    *,
    low: ArrayLike = -np.inf,
    most: ArrayLike = np.inf,
    free: ArrayLike = True,
    scale: float = 1.0,
    settled: float = 1e-12,
    steps: int = MAX_STEPS,
) -> tuple[FloatArray, FloatArray]:
    """Newton steps to local maxima of many functions at once, each within bounds, and never downhill.

    A direction in which a function is not concave is followed uphill by the size of its curvature. A step across a
    bound goes nine tenths of the way, and to the bound itself once that is near; it is left where the slope points
    inwards.

    Parameters
    ----------
    at : callable
        From points (N, d) to values (N,), gradients (N, d) and curvatures, the negative Hessians, (N, d, d).
    x : array_like, shape (N, d)
        Where to start.
    low, most, free : array_like, shape (d,) or ()
        Lower bounds, the largest step of each coordinate, and which coordinates move at all.
    scale, settled : float
        Steps below ``settled * (scale + abs(x))`` are the last.
    steps : int

    Returns
    -------
    x : array of shape (N, d)
    length : array of shape (N,)
        The last relative step; where it is not small no maximum was reached.

    Examples
    --------
    >>> def at(x):  # -(x - 1)^2 - (y + 1)^2, with y >= 0
    ...     return -((x - [1, -1]) ** 2).sum(axis=1), -2 * (x - [1, -1]), np.broadcast_to(2 * np.eye(2), (len(x), 2, 2))
    >>> ascend(at, [[5.0, 5.0]], low=[-np.inf, 0.0])[0].round(12).tolist()
    [[1.0, 0.0]]
    """
    x = np.array(x, float)
    low, shrink, length = np.broadcast_to(low, x.shape), np.ones(len(x)), np.full(len(x), np.inf)
    value, gradient, curvature = at(x)
    for _ in range(steps):
        open_ = ((x > low) | (gradient > 0)) & np.asarray(free, bool)
        new = x + shrink[:, None] * np.clip(_uphill(gradient, curvature, open_), -np.asarray(most), most)
        near = x - low <= 1e-6 * scale
        new = np.where(new < low, np.where(near, low, 0.9 * low + 0.1 * x), new)
        found = at(new)
        with np.errstate(invalid="ignore"):
            better = found[0] >= value - 1e-13 * np.abs(value)
        change = (np.abs(new - x) / (scale + np.abs(x))).max(axis=1)
        length = np.where(better, change, np.where(shrink < 1e-9, 0.0, length))
        shrink = np.where(better, 1.0, 0.25 * shrink)
        x, gradient = np.where(better[:, None], new, x), np.where(better[:, None], found[1], gradient)
        value, curvature = np.where(better, found[0], value), np.where(better[:, None, None], found[2], curvature)
        if (length <= settled).all():
            break
    return x, length


def _uphill(gradient: FloatArray, curvature: FloatArray, free: BoolArray) -> FloatArray:
    """Newton steps in the free coordinates, with the absolute values of the curvature along its own directions."""
    inside = free[:, :, None] & free[:, None, :] & np.isfinite(curvature)
    matrix = np.where(inside, curvature, np.eye(free.shape[1]))
    # a unit diagonal, so that parameters known to very different precision do not drown in each other's rounding
    size = np.sqrt(np.maximum(np.abs(np.einsum("nii->ni", matrix)), 1e-300))
    values, vectors = np.linalg.eigh(matrix / (size[:, :, None] * size[:, None, :]))
    values = np.maximum(np.abs(values), 1e-12 * np.abs(values).max(axis=1, keepdims=True))
    pull = np.where(free & np.isfinite(gradient), gradient, 0.0) / size
    along = (pull[:, None, :] @ vectors)[:, 0] / values
    # what is held is held exactly
    return np.where(free, (vectors @ along[:, :, None])[:, :, 0] / size, 0.0)
