"""Probabilities that several normal variables are all positive; functions of arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["Orthant", "both_positive", "largest", "orthant"]

FloatArray = NDArray[np.float64]
#: Probabilities and standard errors.
Orthant = tuple[FloatArray, FloatArray]
# independent scramblings of one point set, from whose differences the error is known
_REPEATS = 8
_MOST_POINTS = 1024
# points times nodes that are worked on at once
_ROOM = 2e6
# points times nodes of one scrambling in all
_WORK = 1e6
# nodes that together hold less than this of every average are left out of a numerical integral
_LIGHT = 1e-9


def both_positive(m1: FloatArray, m2: FloatArray, rho: FloatArray) -> FloatArray:
    """``P(Z1 > -m1, Z2 > -m2)`` of standard normals with correlation rho, by Owen's T function.

    References
    ----------
    Owen DB. Ann Math Stat 1956;27:1075-1090. doi:10.1214/aoms/1177728074

    Examples
    --------
    >>> both_positive(np.zeros(2), np.zeros(2), np.array([0.0, 0.5])).round(12).tolist()
    [0.25, 0.333333333333]
    """
    # at zero itself the slopes below are undefined, and beside it they are right
    h, k = (np.where(m == 0, 1e-150, m) for m in (np.asarray(m1, float), np.asarray(m2, float)))
    root = np.sqrt(np.maximum((1 - rho) * (1 + rho), 1e-300))
    opposite = np.where((h > 0) == (k > 0), 0.0, 1.0)
    with np.errstate(over="ignore"):
        parts = special.owens_t(h, (k - rho * h) / (h * root)) + special.owens_t(k, (h - rho * k) / (k * root))
    return np.clip(0.5 * (special.ndtr(h) + special.ndtr(k) - opposite) - parts, 0.0, 1.0)


def orthant(mean: FloatArray, cov: FloatArray, weights: FloatArray) -> Orthant:
    """Averages over nodes of the probability that d normal variables are all positive.

    Exact for one and two variables. Beyond, Genz's transformation to the unit cube, integrated on scrambled Sobol
    points, the same at every node; the standard error is that of independent scramblings.

    Parameters
    ----------
    mean, cov : arrays of shape (d, N), (d, d, N)
    weights : array of shape (W, N)
        Several averages at once.

    Returns
    -------
    probability, error : arrays of shape (W,)

    References
    ----------
    Genz A. J Comput Graph Stat 1992;1:141-149. doi:10.1080/10618600.1992.10477010

    Examples
    --------
    Three exchangeable variables with correlation one half are all positive in one case of four.

    >>> p, error = orthant(np.zeros((3, 1)), (np.eye(3) + 1)[:, :, None] / 2, np.ones((1, 1)))
    >>> bool(abs(p[0] - 0.25) < 5 * error[0] < 1e-3)
    True
    """
    d = len(mean)
    if d > 2:
        heaviest = np.abs(weights).max(axis=0)
        order = np.argsort(heaviest)
        used = np.sort(order[np.cumsum(heaviest[order]) > _LIGHT * heaviest.sum()])
        mean, cov, weights = mean[:, used], cov[:, :, used], weights[:, used]
    sd = np.sqrt(np.einsum("iin->in", cov))
    scaled = mean / sd
    if d <= 2:
        at = special.ndtr(scaled[0]) if d == 1 else both_positive(scaled[0], scaled[1], cov[0, 1] / (sd[0] * sd[1]))
        return weights @ at, np.zeros(len(weights))
    # only here: it takes as long to import as most answers
    from scipy.stats import qmc

    correlation = np.moveaxis(cov / (sd[:, None] * sd), -1, 0)
    # variables that determine each other leave a singular matrix
    L = np.moveaxis(np.linalg.cholesky(correlation + 1e-13 * np.eye(d)), 0, -1)
    nodes = scaled.shape[1]
    points = 2 ** int(math.log2(min(max(_WORK / nodes, 64), _MOST_POINTS)))
    found = np.zeros((_REPEATS, len(weights)))
    step = max(1, int(_ROOM // points))
    for repeat in range(_REPEATS):
        u = qmc.Sobol(d - 1, rng=repeat).random(points)
        for start in range(0, nodes, step):
            part = slice(start, start + step)
            found[repeat] += weights[:, part] @ _on_cube(scaled[:, part], L[:, :, part], u)
    return found.mean(axis=0), found.std(axis=0, ddof=1) / math.sqrt(_REPEATS)


def _on_cube(mean: FloatArray, L: FloatArray, u: FloatArray) -> FloatArray:
    """Mean over points (Q, d - 1) of Genz's integrand at every node, shape (N,)."""
    product = np.ones((mean.shape[1], len(u)))
    drawn: list[FloatArray] = []
    for i in range(len(mean)):
        above = mean[i][:, None] + sum((L[i, j][:, None] * y for j, y in enumerate(drawn)), np.zeros(1))
        share = special.ndtr(above / L[i, i][:, None])
        product = product * share
        if i + 1 < len(mean):
            drawn.append(-special.ndtri(np.maximum(u[:, i] * share, 1e-300)))
    return product.mean(axis=1)


def largest(
    rows: FloatArray, mean: FloatArray, cov: FloatArray, weights: FloatArray, above: float | None = None
) -> Orthant:
    """Averages over nodes of the probability that each of L linear functions of normal variables is the largest.

    Parameters
    ----------
    rows : array of shape (L, p)
        Their differences are formed before anything else, so that a difference of small variance loses no digit.
    mean, cov : arrays of shape (p, N), (p, p, N)
    weights : array of shape (W, N)
    above : float, optional
        And exceeds this.

    Returns
    -------
    probability, error : arrays of shape (W, L)

    Examples
    --------
    >>> p, _ = largest(np.eye(3), np.array([[0.0], [0.0], [1.0]]), np.eye(3)[:, :, None], np.ones((1, 1)))
    >>> p.round(4).tolist(), float(p.sum().round(12))
    ([[0.1831, 0.1831, 0.6337]], 1.0)
    """
    p, error = np.empty((len(weights), len(rows))), np.empty((len(weights), len(rows)))
    for own, row in enumerate(rows):
        C, shift = row - np.delete(rows, own, axis=0), np.zeros((len(rows) - 1, 1))
        if above is not None:
            C, shift = np.vstack([C, row]), np.append(shift, [[-above]], axis=0)
        p[:, own], error[:, own] = orthant(C @ mean + shift, np.einsum("ai,ijn,bj->abn", C, cov, C), weights)
    return p, error
