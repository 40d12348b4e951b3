"""Clenshaw-Curtis rules and Chebyshev series: nested nodes, spectral accuracy, and an antiderivative in closed form."""

from __future__ import annotations

import functools

import numpy as np
from numpy.polynomial.chebyshev import chebval
from numpy.typing import NDArray

__all__ = ["antiderivative", "coefficients", "evaluate", "on_nodes", "rule"]

FloatArray = NDArray[np.float64]
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
