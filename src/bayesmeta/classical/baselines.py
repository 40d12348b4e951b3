"""Two binomial arms whose baselines and log odds ratios both vary between trials (UM.RS), by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesmeta.classical.rows import FloatArray
from bayesmeta.errors import InferenceError
from bayesmeta.numerics import ascend

__all__ = ["RandomBaselines", "baseline_likelihood", "random_baselines"]

# Gauss-Hermite nodes per axis, about each trial's mode and in its own coordinates; doubled where that moves the log
# likelihood by more than SETTLED of its size.
NODES = 24
SETTLED = 1e-9
STEP = 1e-11
# Steps that stay below this without ending are rounding.
ACCEPTED = 1e-8
STARTS = (0.15, 0.5, 1.5)
# A standard deviation below this has the likelihood of zero.
ZERO = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class RandomBaselines:
    """The maximum, or the likelihood at one point.

    Attributes
    ----------
    mu, tau, baseline, sigma : float
        Mean and SD of log odds ratios, mean and SD of baselines (the mean of a trial's two logits).
    loglik : float
    gradient, hessian : ndarray, shapes (4,) and (4, 4)
        In (mu, tau, baseline, sigma).
    slope_tau2 : float
        Derivative of the log likelihood in tau2, which is not zero where tau is.
    """

    mu: float
    tau: float
    baseline: float
    sigma: float
    loglik: float
    gradient: FloatArray
    hessian: FloatArray
    slope_tau2: float


Pieces = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


def _pieces(counts: FloatArray, theta: FloatArray, alpha: FloatArray) -> Pieces:
    """Log likelihood of two arms and its derivatives in theta and alpha, arrays of shape (k, n)."""
    a, n_t, c, n_c = (column[:, None] for column in counts.T)
    above, below = alpha + 0.5 * theta, alpha - 0.5 * theta
    p, q = special.expit(above), special.expit(below)
    value = a * above - n_t * np.logaddexp(0.0, above) + c * below - n_c * np.logaddexp(0.0, below)
    s, r = a - n_t * p, c - n_c * q
    v, w = n_t * p * (1.0 - p), n_c * q * (1.0 - q)
    return value, 0.5 * (s - r), -0.25 * (v + w), s + r, -(v + w), -0.5 * (v - w)


def baseline_likelihood(
    counts: FloatArray, mu: float, tau: float, baseline: float, sigma: float, nodes: int = NODES
) -> RandomBaselines:
    """Log likelihood and its derivatives, by adaptive Gauss-Hermite quadrature in two dimensions.

    ``logit p = alpha +- theta / 2`` with ``theta ~ N(mu, tau^2)`` and ``alpha ~ N(baseline, sigma^2)`` independent.

    Parameters
    ----------
    counts : ndarray, shape (k, 4)
    mu, tau, baseline, sigma : float
    nodes : int
        Per axis.

    Returns
    -------
    RandomBaselines
    """
    mode, spread = _modes(counts, mu, tau, baseline, sigma)
    x, weight = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.array(np.meshgrid(x, x, indexing="ij")).reshape(2, -1)
    log_weight = np.add.outer(np.log(weight), np.log(weight)).ravel()
    points = mode[:, :, None] + spread @ grid
    z, v = points[:, 0], points[:, 1]
    value, t, tt, s, ss, st = _pieces(counts, mu + tau * z, baseline + sigma * v)
    exponent = value - 0.5 * (z * z + v * v) + log_weight + 0.5 * (grid**2).sum(axis=0)
    top = exponent.max(axis=1)
    share = np.exp(exponent - top[:, None])
    total = share.sum(axis=1)
    share /= total[:, None]
    a, n_t, c, n_c = counts.T
    constant = -special.betaln(n_t - a + 1.0, a + 1.0) - np.log(n_t + 1.0)
    constant += -special.betaln(n_c - c + 1.0, c + 1.0) - np.log(n_c + 1.0)
    # the density of (z, v) is exp(-(z^2 + v^2) / 2) / (2 pi); the area of the coordinates is |spread|
    loglik = constant + top + np.log(total) + np.linalg.slogdet(spread)[1] - np.log(2.0 * np.pi)
    one = np.ones_like(z)
    factor = np.array([one, z, one, v])
    score = factor * np.array([t, t, s, s])
    second = np.array([[tt, tt, st, st], [tt, tt, st, st], [st, st, ss, ss], [st, st, ss, ss]])
    g = np.einsum("kn,ikn->ik", share, score)
    H = np.einsum("kn,ikn,jkn,ijkn->ij", share, factor, factor, second, optimize=True)
    H += np.einsum("kn,ikn,jkn->ij", share, score, score, optimize=True) - g @ g.T
    slope = 0.5 * float((share * (tt + t * t)).sum())
    point = (float(mu), float(tau), float(baseline), float(sigma))
    return RandomBaselines(*point, float(loglik.sum()), g.sum(axis=1), H, slope)


def _modes(counts: FloatArray, mu: float, tau: float, baseline: float, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Mode of (z, v) of each trial, shape (k, 2), and a root of the inverse curvature there, shape (k, 2, 2)."""
    k = counts.shape[0]
    scale = np.array([tau, sigma])

    def at(point: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        value, t, tt, s, ss, st = (
            part[:, 0] for part in _pieces(counts, mu + tau * point[:, :1], baseline + sigma * point[:, 1:])
        )
        slope = scale * np.column_stack([t, s]) - point
        curvature = np.eye(2) - np.outer(scale, scale) * np.array([[tt, st], [st, ss]]).transpose(2, 0, 1)
        return value - 0.5 * (point**2).sum(axis=1), slope, curvature

    point = ascend(at, np.zeros((k, 2)), settled=1e-8)[0]
    curvature = at(point)[2]
    return point, np.linalg.cholesky(np.linalg.inv(curvature))


def random_baselines(counts: FloatArray, *, common: bool = False) -> RandomBaselines:
    """Maximum likelihood, with tau = 0 where `common`.

    Parameters
    ----------
    counts : ndarray, shape (k, 4)
        Whole numbers: events_t, n_t, events_c, n_c; enough of them that the maximum is finite.
    common : bool

    Returns
    -------
    RandomBaselines

    Raises
    ------
    InferenceError
        If the maximum was not found, or integrals do not settle.
    """
    a, n_t, c, n_c = counts.T
    logits = special.logit((np.array([a, c]) + 0.5) / (np.array([n_t, n_c]) + 1.0))
    mu, baseline = float((logits[0] - logits[1]).mean()), float(logits.mean())
    sigma = max(0.1, float(logits.mean(axis=0).std()))
    if common:
        return _settled(counts, _climb(counts, baseline_likelihood(counts, mu, 0.0, baseline, sigma), NODES))
    without = random_baselines(counts, common=True)
    start = [baseline_likelihood(counts, without.mu, tau, without.baseline, max(without.sigma, 0.05)) for tau in STARTS]
    if without.slope_tau2 > 0.0:
        start.append(baseline_likelihood(counts, without.mu, 0.05, without.baseline, max(without.sigma, 0.05)))
    first = max(start, key=lambda point: point.loglik)
    found = _settled(counts, _climb(counts, first, NODES))
    return found if found.tau > 0.0 and found.loglik > without.loglik else without


def _settled(counts: FloatArray, point: RandomBaselines) -> RandomBaselines:
    nodes = NODES
    for _ in range(4):
        finer = baseline_likelihood(counts, point.mu, point.tau, point.baseline, point.sigma, 2 * nodes)
        if abs(finer.loglik - point.loglik) <= SETTLED * (1.0 + abs(point.loglik)):
            return point
        nodes *= 2
        point = _climb(counts, finer, nodes)
    raise InferenceError("UM.RS: integrals over baselines and effects did not settle; are the counts right?")


def _climb(counts: FloatArray, point: RandomBaselines, nodes: int) -> RandomBaselines:
    def likelihood(x: FloatArray) -> RandomBaselines:
        mu, tau, baseline, sigma = x[0].tolist()
        return baseline_likelihood(counts, mu, tau, baseline, sigma, nodes)

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        found = likelihood(x)
        return np.array([found.loglik]), found.gradient[None], -found.hessian[None]

    # a standard deviation of zero stays there: its slope is zero
    free = (True, point.tau > 0.0, True, point.sigma > 0.0)
    start = [[point.mu, point.tau, point.baseline, point.sigma]]
    x, length = ascend(at, start, low=(-np.inf, 0.0, -np.inf, 0.0), most=1.0, free=free, settled=STEP)
    if length[0] > ACCEPTED:
        raise InferenceError("UM.RS: the maximum was not found.")
    x[0, [1, 3]] = np.where(x[0, [1, 3]] < ZERO, 0.0, x[0, [1, 3]])
    return likelihood(x)
