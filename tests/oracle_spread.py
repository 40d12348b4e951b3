"""Estimates that rest on a number nobody reported: a correlation, or standard deviations of some trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from oracle_core import Array, Axis, LogDensity, Marginal, OnAxis, Oracle, Predicted, gaussian, integrate, mixture

Gaussian = tuple[float, float]


def _mean_only(y: Array, V: Array, mu: Gaussian) -> tuple[Array, Array, Array]:
    """Log evidence, mean and variance of mu for diagonal variances V; arrays of shape (..., k) to (...)."""
    X = np.ones((*V.shape, 1))
    log, b, cov = gaussian(np.broadcast_to(y, V.shape), X, V, np.array([mu[0]]), np.array([[mu[1] ** 2]]))
    return log, b[..., 0], cov[..., 0, 0]


def uncertain_number(
    y: Callable[[float], ArrayLike],
    se: Callable[[float], ArrayLike],
    mu: Gaussian,
    tau: LogDensity,
    number: LogDensity,
    axis: Axis,
    *,
    log_jacobian: Callable[[float], float] | None = None,
    tau_high: float = 5.0,
    n: tuple[int, int] = (60, 64),
) -> Oracle:
    """Estimates as functions of one number r with a prior: normal-normal evidences, weighted over r.

    Parameters
    ----------
    y, se : callables
        Of r; arrays of shape (k,).
    mu : (mean, sd)
    tau, number : log densities
    axis : Axis
        The support of r.
    log_jacobian : callable, optional
        Sum over rows of ``log |d y_i / d datum_i|`` at r. Where an estimate is the datum times a function of r, a
        density of the estimate is not one of the datum without it; left out, ``N(y(r); theta, se(r))`` stands as it is.

    Returns
    -------
    Oracle
        ``mu``, ``tau``, ``number``, ``theta_new``.
    """

    def density(r: Array, t: Array) -> tuple[Array, Mapping[str, Array]]:
        ys, ses = (np.array([np.asarray(f(v), float) for v in r.ravel().tolist()]) for f in (y, se))
        V = ses[:, None, :] ** 2 + t.reshape(1, -1, 1) ** 2
        log, m, v = _mean_only(ys[:, None, :], V, mu)
        if log_jacobian is not None:
            log = log + np.array([log_jacobian(value) for value in r.ravel().tolist()])[:, None]
        return log + number(r) + tau(t), {"m": m, "v": v}

    grid = integrate(density, {"number": axis, "tau": Axis.positive(tau_high)}, n, scout=51)
    m, v = grid.extra["m"], grid.extra["v"]
    return Oracle(
        {
            "mu": mixture(grid.mass, m, np.sqrt(v)),
            "tau": grid.over("tau"),
            "number": grid.over("number"),
            "theta_new": mixture(grid.mass, m, np.sqrt(v + grid.value("tau") ** 2)),
        },
        grid.log_evidence,
        {},
    )


def exact_j(m: ArrayLike) -> Array:
    """Hedges' small-sample factor at m degrees of freedom, doi:10.3102/10769986006002107."""
    m = np.asarray(m, float)
    return np.exp(special.gammaln(m / 2) - special.gammaln((m - 1) / 2)) / np.sqrt(m / 2)


def missing_sd(
    difference: ArrayLike,
    sd: ArrayLike,
    n_t: ArrayLike,
    n_c: ArrayLike,
    measure: str,
    mu: Gaussian,
    tau: LogDensity,
    meanlog: LogDensity,
    sdlog: LogDensity,
    *,
    jacobian: bool,
    sdlog_axis: Axis = Axis.positive(4.0),  # noqa: B008
    tau_high: float = 5.0,
    n: tuple[int, int, int] = (36, 36, 36),
) -> Oracle:
    """Mean differences whose pooled SD one or two trials do not report.

    True SDs: ``log sigma_i ~ N(m, w^2)``. A reported one is ``N(log sigma_i, 1 / (2 (n_i - 2)))`` around its own,
    ``n_i = n_t + n_c``. A missing one enters as ``y = J difference / sigma``, ``se^2 = 1/n_t + 1/n_c + y^2 / (2 n_i)``
    (SMD) or ``y = difference``, ``se = sigma sqrt(1/n_t + 1/n_c)`` (MD).

    Parameters
    ----------
    difference, sd, n_t, n_c : arrays of shape (k,)
        ``sd`` is ``nan`` where it is not reported.
    measure : {"MD", "SMD"}
    mu : (mean, sd)
    tau, meanlog, sdlog : log densities
    jacobian : bool
        SMD only. What was observed is the difference: its density has the factor ``J / sigma`` beside
        ``N(y; theta, se)``. True is Bayes' theorem for the reported difference; False takes ``N(y; theta, se)`` as is.
    sdlog_axis : Axis
    n : nodes of tau, of meanlog and sdlog, of each missing standardised log SD

    Returns
    -------
    Oracle
        ``mu``, ``tau``, ``meanlog``, ``sdlog``, ``log_sd[i]`` for each missing row, ``theta_new``.
    """
    difference, sd, n_t, n_c = (np.asarray(v, float) for v in (difference, sd, n_t, n_c))
    size = n_t + n_c
    J = exact_j(size - 2)
    lost = np.flatnonzero(np.isnan(sd))
    known = ~np.isnan(sd)

    def estimates(sigma: Array, i: int) -> tuple[Array, Array, Array]:
        """Estimate, variance and log Jacobian of a row at its SD."""
        if measure == "MD":
            return np.full_like(sigma, difference[i]), sigma**2 * (1 / n_t[i] + 1 / n_c[i]), np.zeros_like(sigma)
        y = J[i] * difference[i] / sigma
        return y, 1 / n_t[i] + 1 / n_c[i] + y**2 / (2 * size[i]), np.log(J[i] / sigma)

    reported, own = np.log(sd[known]), 0.5 / (size[known] - 2)

    def place_of_mean(w: Array) -> tuple[Array, Array]:
        """Mean and SD of meanlog given w, its prior aside: where its grid stands."""
        precision = 1 / (w[..., None] ** 2 + own)
        total = precision.sum(axis=-1)
        return (precision * reported).sum(axis=-1) / total, total**-0.5

    def population(a: Array, w: Array) -> tuple[Array, Mapping[str, Array]]:
        centre, scale = place_of_mean(w)
        m = centre + scale * a
        V = w[..., None] ** 2 + own
        log = -0.5 * ((reported - m[..., None]) ** 2 / V + np.log(2 * np.pi * V)).sum(axis=-1)
        return meanlog(m) + sdlog(w) + log + np.log(scale), {"m": m, "w": np.broadcast_to(w, m.shape)}

    pop = integrate(population, {"a": Axis.real(-9, 9), "sdlog": sdlog_axis}, n[1])
    # a missing log SD is m + w z with z standard normal, so that the grid follows w to zero
    z = np.linspace(-7.5, 7.5, n[2])
    log_z = -0.5 * (z**2 + np.log(2 * np.pi)) + np.log(z[1] - z[0])
    count = lost.size
    # (m, w) below are one flattened axis of those that weigh anything; then one axis per missing row
    alive = pop.mass > 1e-12 * pop.mass.max()
    M, W = pop.extra["m"][alive], pop.extra["w"][alive]
    log_sd = M[:, None] + W[:, None] * z
    log_prior = np.log(pop.mass[alive]).reshape([-1] + [1] * count)
    parts = []
    for place, i in enumerate(lost.tolist()):
        form = [M.size] + [z.size if j == place else 1 for j in range(count)]
        value, variance, log_slope = (v.reshape(form) for v in estimates(np.exp(log_sd), i))
        log_prior = log_prior + log_z.reshape([1] + [z.size if j == place else 1 for j in range(count)])
        log_prior = log_prior + (log_slope if jacobian else 0.0)
        parts.append((value, variance))
    fixed = [estimates(np.array(sd[i]), int(i)) for i in np.flatnonzero(known)]

    def given(t: float) -> tuple[Array, Array, Array]:
        """Log evidence, mean and variance of mu at one tau, shape (M.size, z.size, ...)."""
        precision, weighted, log = np.array(1 / mu[1] ** 2), np.array(mu[0] / mu[1] ** 2), -np.log(mu[1])
        square = np.array(mu[0] ** 2 / mu[1] ** 2)
        for value, variance in [(a, b) for a, b, _ in fixed] + parts:
            V = variance + t**2
            precision = precision + 1 / V
            weighted = weighted + value / V
            square = square + value**2 / V
            log = log - 0.5 * np.log(2 * np.pi * V)
        mean = weighted / precision
        return log - 0.5 * (np.log(precision) + square - mean * weighted) + log_prior, mean, 1 / precision

    def density(t: Array) -> tuple[Array, Mapping[str, Array]]:
        return np.array([special.logsumexp(given(v)[0]) for v in t.tolist()]) + tau(t), {}

    grid = integrate(density, {"tau": Axis.positive(tau_high)}, n[0], scout=31)
    joint = np.zeros(log_prior.shape)
    kept: list[tuple[Array, Array, Array, float]] = []
    for t, mass in zip(grid.x[0].tolist(), grid.mass.tolist(), strict=True):
        log, mean, variance = given(t)
        weight = mass * np.exp(log - special.logsumexp(log))
        joint += weight
        chosen = weight > 1e-8 * weight.max()
        spread = (np.broadcast_to(a, weight.shape)[chosen] for a in (weight, mean, variance))
        kept.append((*spread, t))
    weights = np.concatenate([a for a, _, _, _ in kept])
    means = np.concatenate([a for _, a, _, _ in kept])
    variances = np.concatenate([a for _, _, a, _ in kept])
    taus = np.concatenate([np.full(a.size, t) for a, _, _, t in kept])
    found: dict[str, Marginal] = {"tau": grid.over("tau")}
    by_population = np.zeros(pop.mass.shape)
    by_population[alive] = joint.sum(axis=tuple(range(1, count + 1)))
    found["sdlog"] = OnAxis(pop.axes["sdlog"], pop.u[1], pop.x[1], by_population.sum(axis=0))
    found["meanlog"] = _standardised(by_population.T, *place_of_mean(pop.x[1]), pop.x[0])
    for place, i in enumerate(lost.tolist()):
        single = joint.sum(axis=tuple(j + 1 for j in range(count) if j != place))
        found[f"log_sd[{i}]"] = _standardised(single, M, W, z)
    found["mu"] = mixture(weights, means, np.sqrt(variances))
    found["theta_new"] = mixture(weights, means, np.sqrt(variances + taus**2))
    return Oracle(found, grid.log_evidence + pop.log_evidence, {})


def _standardised(mass: Array, m: Array, w: Array, z: Array) -> Predicted:
    """The distribution of ``m + w z`` with masses of shape (m, z) on a uniform grid of z, by its sinc series."""
    value = m[:, None] + w[:, None] * z
    mean = float((mass * value).sum())
    sd = float(np.sqrt((mass * (value - mean) ** 2).sum()))
    step = z[1] - z[0]
    kept = mass.sum(axis=1) > 1e-9 * mass.sum(axis=1).max()

    def below(x: float) -> float:
        at = ((x - m[kept]) / w[kept])[:, None]
        share = 0.5 + special.sici(np.pi * (at - z) / step)[0] / np.pi
        return float((mass[kept] * share).sum() / mass[kept].sum())

    return Predicted(mean, sd, below, sd)
