"""Two outcomes of the same trials: known covariance within trials, correlated true effects between them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from oracle_core import Array, Axis, LogDensity, Marginal, Oracle, beta, integrate, mixture

Gaussian = tuple[float, float]


def both_below(h: Array, k: Array, r: Array) -> Array:
    """Standard bivariate normal distribution function, by Plackett's integral over the angle.

    References
    ----------
    Drezner Z, Wesolowsky GO. J Stat Comput Simul 1990;35:101-107. doi:10.1080/00949659008811236
    """
    x, w = np.polynomial.legendre.leggauss(40)
    angle = np.arcsin(np.clip(r, -1, 1))[..., None] * 0.5 * (x + 1)
    h, k = np.asarray(h)[..., None], np.asarray(k)[..., None]
    inner = np.exp(-(h**2 + k**2 - 2 * h * k * np.sin(angle)) / (2 * np.cos(angle) ** 2))
    integral = 0.5 * np.arcsin(np.clip(r, -1, 1)) * (inner @ w)
    return special.ndtr(h[..., 0]) * special.ndtr(k[..., 0]) + integral / (2 * np.pi)


def joint_evidence(
    y: Array, S: Array, mean: Array, cov: Array, t1: Array, t2: Array, r: Array
) -> tuple[Array, Array, Array, Array]:
    """Log evidence given (tau1, tau2, r), mean and covariance of the two means, and the covariance between trials."""
    shape = np.broadcast_shapes(t1.shape, t2.shape, r.shape)
    between = np.empty((*shape, 2, 2))
    between[..., 0, 0], between[..., 1, 1] = t1**2, t2**2
    between[..., 0, 1] = between[..., 1, 0] = r * t1 * t2
    # precision and right-hand side of the two means, one trial after another
    A = np.broadcast_to(np.linalg.inv(cov), (*shape, 2, 2)).copy()
    rhs = np.broadcast_to(np.linalg.inv(cov) @ mean, (*shape, 2)).copy()
    log = np.full(shape, -0.5 * (mean @ np.linalg.inv(cov) @ mean + np.linalg.slogdet(cov)[1]))
    for row, within in zip(y, S, strict=True):
        seen = np.flatnonzero(~np.isnan(row))
        if seen.size == 0:
            continue
        part = np.ix_(seen, seen)
        V = between[..., part[0], part[1]] + within[part]
        if seen.size == 1:
            i = int(seen[0])
            v = V[..., 0, 0]
            A[..., i, i] += 1 / v
            rhs[..., i] += row[i] / v
            log -= 0.5 * (row[i] ** 2 / v + np.log(v) + np.log(2 * np.pi))
            continue
        a, b, c = V[..., 0, 0], V[..., 0, 1], V[..., 1, 1]
        det = a * c - b * b
        A[..., 0, 0] += c / det
        A[..., 1, 1] += a / det
        A[..., 0, 1] -= b / det
        A[..., 1, 0] -= b / det
        first, second = (c * row[0] - b * row[1]) / det, (a * row[1] - b * row[0]) / det
        rhs[..., 0] += first
        rhs[..., 1] += second
        log -= 0.5 * (row[0] * first + row[1] * second + np.log(det)) + np.log(2 * np.pi)
    det = A[..., 0, 0] * A[..., 1, 1] - A[..., 0, 1] ** 2
    C = np.empty_like(A)
    C[..., 0, 0], C[..., 1, 1] = A[..., 1, 1] / det, A[..., 0, 0] / det
    C[..., 0, 1] = C[..., 1, 0] = -A[..., 0, 1] / det
    b = np.einsum("...ij,...j->...i", C, rhs)
    log = log + 0.5 * (b * rhs).sum(axis=-1) - 0.5 * np.log(det)
    return log, b, C, between


def joint_outcomes(
    y: ArrayLike,
    S: ArrayLike,
    mu: tuple[Gaussian, Gaussian],
    tau: tuple[LogDensity, LogDensity],
    eta: float,
    *,
    at: tuple[float, float] = (0.0, 0.0),
    tau_high: tuple[float, float] = (5.0, 5.0),
    n: tuple[int, int, int] = (36, 36, 32),
) -> Oracle:
    """Two outcomes: ``y_i ~ N(theta_i, S_i)``, ``theta_i ~ N(mu, D Omega D)`` on a grid of (tau1, tau2, r).

    Parameters
    ----------
    y : array of shape (k, 2)
        ``nan`` where a trial does not report an outcome.
    S : array of shape (k, 2, 2)
        Within-trial covariance; entries of what is not reported are not read.
    mu : two of (mean, sd)
    tau : two log densities
    eta : float
        Omega ~ LKJ(eta): of its one correlation, density proportional to ``(1 - r^2)^(eta - 1)``.
    at : (float, float)
        Limits of ``probabilities["both_below"]``: of the means ``[0]``, of a new trial's effects ``[1]``.

    Returns
    -------
    Oracle
        ``mu[0]``, ``mu[1]``, ``tau[0]``, ``tau[1]``, ``correlation``, ``theta_new[0]``, ``theta_new[1]``.

    References
    ----------
    Lewandowski D, Kurowicka D, Joe H. J Multivar Anal 2009;100:1989-2001. doi:10.1016/j.jmva.2009.04.008
    """
    y, S = np.asarray(y, float), np.asarray(S, float)
    prior_r = beta(eta, eta, -1.0, 1.0)
    mean, cov = np.array([m for m, _ in mu]), np.diag([s**2 for _, s in mu])

    def density(t1: Array, t2: Array, r: Array) -> tuple[Array, Mapping[str, Array]]:
        log, b, C, between = joint_evidence(y, S, mean, cov, t1, t2, r)
        return log + tau[0](t1) + tau[1](t2) + prior_r(r), {"b": b, "cov": C, "between": between}

    axes = {
        "tau[0]": Axis.positive(tau_high[0]),
        "tau[1]": Axis.positive(tau_high[1]),
        "correlation": Axis.interval(-1.0, 1.0),
    }
    grid = integrate(density, axes, n, scout=21)
    b, C, between = grid.extra["b"], grid.extra["cov"], grid.extra["between"]
    found: dict[str, Marginal] = {name: grid.over(name) for name in axes}
    together = []
    for more, label in ((0.0, "mu"), (between, "theta_new")):
        total = C + more
        sds = np.sqrt(np.stack([total[..., 0, 0], total[..., 1, 1]], axis=-1))
        for i in (0, 1):
            found[f"{label}[{i}]"] = mixture(grid.mass, b[..., i], sds[..., i])
        z = (np.asarray(at) - b) / sds
        r = total[..., 0, 1] / (sds[..., 0] * sds[..., 1])
        together.append(float((grid.mass * both_below(z[..., 0], z[..., 1], r)).sum()))
    return Oracle(found, grid.log_evidence, {"both_below": np.array(together)})
