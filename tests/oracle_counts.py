"""Counts of two arms without continuity correction: the posterior, and the conditional maximum likelihood.

A trial's counts tell of its effect through one function of theta: the likelihood with the control risk integrated out
(or conditioned away). Given that function on a fine grid, (mu, tau) need one integral per trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import interpolate, optimize, special

from oracle_core import LOG_2PI, Array, Axis, LogDensity, Oracle, integrate, mixture, refine

Measure = Literal["OR", "RR", "RD"]


@dataclass(frozen=True)
class Evidence:
    """What one trial says of its effect: log likelihood at uniform ``theta``, and the width of its narrowest part."""

    theta: Array
    log: Array
    width: float

    def __call__(self, theta: Array) -> Array:
        line = interpolate.CubicSpline(self.theta, self.log)
        inside = np.clip(theta, self.theta[0], self.theta[-1])
        # beyond the grid the likelihood is below 1e-17 of its largest, or has long been constant
        return line(inside)

    def moments(self, m: Array, t: Array) -> tuple[Array, Array, Array]:
        """Log of the likelihood of (m, t), and first and second moment of theta; m (n, 1) and t (1, q) to (n, q).

        Where t is below the width of the likelihood the rule follows the normal density of theta, elsewhere the
        likelihood: either way the product is wide against the step.
        """
        shape = np.broadcast_shapes(m.shape, t.shape)
        out = np.empty((3, *shape))
        t_row = np.asarray(t).ravel()
        z = np.linspace(-7.5, 7.5, 61)
        for j, tau in enumerate(t_row):
            if tau < self.width:
                theta = m.reshape(-1, 1) + tau * z
                log = self(theta) - 0.5 * (LOG_2PI + z**2) + np.log(z[1] - z[0])
            else:
                theta = np.broadcast_to(self.theta, (m.size, self.theta.size))
                away = (theta - m.reshape(-1, 1)) / tau
                log = self.log - 0.5 * (LOG_2PI + away**2) - np.log(tau) + np.log(self.theta[1] - self.theta[0])
            total = special.logsumexp(log, axis=1)
            weight = np.exp(log - total[:, None])
            out[0, :, j] = total
            out[1, :, j] = (weight * theta).sum(axis=1)
            out[2, :, j] = (weight * theta**2).sum(axis=1)
        return out[0], out[1], out[2]


def _log_choose(n: float, x: Array | float) -> Array:
    return special.gammaln(n + 1) - special.gammaln(np.asarray(x) + 1) - special.gammaln(n - np.asarray(x) + 1)


def _on_grid(function: object, low: float, high: float, width: float, fine: float) -> Evidence:
    """Tabulate a log likelihood where it is above exp(-42) of its largest, with steps of a fraction of its width."""
    assert callable(function)
    coarse = np.linspace(low, high, 601)
    value = function(coarse)
    alive = np.flatnonzero(value > value.max() - 42)
    start, stop = coarse[max(alive[0] - 1, 0)], coarse[min(alive[-1] + 1, 600)]
    theta = np.linspace(start, stop, max(int((stop - start) / (width * fine)), 120))
    return Evidence(theta, np.maximum(function(theta), value.max() - 300), width)


def trial(
    x_t: float,
    n_t: float,
    x_c: float,
    n_c: float,
    measure: Measure,
    baseline: LogDensity,
    *,
    reach: float = 25.0,
    nodes: int = 200,
    fine: float = 0.2,
) -> Evidence:
    """Integrate the control risk out: ``log int Bin(x_c | p_c) Bin(x_t | p_t(p_c, theta)) p(alpha) d alpha``.

    ``logit p_c = alpha``; ``logit p_t = alpha + theta`` (OR), ``log p_t = log p_c + theta`` (RR), ``p_t = p_c + theta``
    (RD). Where ``p_t`` leaves 0 to 1 the likelihood is zero: Gauss-Legendre runs over the alpha that are allowed.
    """
    x, w = np.polynomial.legendre.leggauss(nodes)
    constant = float(_log_choose(n_t, x_t) + _log_choose(n_c, x_c))

    def control(alpha: Array) -> Array:
        return -x_c * np.logaddexp(0, -alpha) - (n_c - x_c) * np.logaddexp(0, alpha) + baseline(alpha)

    wide = np.linspace(-40, 40, 4001)
    height = control(wide)
    alive = np.flatnonzero(height > height.max() - 40)
    bottom, top = wide[max(alive[0] - 1, 0)], wide[min(alive[-1] + 1, wide.size - 1)]

    def log_likelihood(theta: Array) -> Array:
        low, high = np.full_like(theta, bottom), np.full_like(theta, top)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if measure == "RR":  # p_c < exp(-theta)
                limit = np.where(theta > 0, -np.log(np.expm1(np.maximum(theta, 1e-300))), np.inf)
                high = np.minimum(high, limit)
            elif measure == "RD":  # -theta < p_c < 1 - theta
                low = np.maximum(low, np.where(theta < 0, special.logit(np.clip(-theta, 0, 1)), -np.inf))
                high = np.minimum(high, np.where(theta > 0, special.logit(np.clip(1 - theta, 0, 1)), np.inf))
        possible = high > low
        half = 0.5 * np.where(possible, high - low, 1.0)[:, None]
        alpha = np.where(possible, low, 0.0)[:, None] + half * (1 + x)
        if measure == "OR":
            log_p, log_q = -np.logaddexp(0, -(alpha + theta[:, None])), -np.logaddexp(0, alpha + theta[:, None])
        else:
            log_pc = -np.logaddexp(0, -alpha)
            p = np.exp(log_pc + theta[:, None]) if measure == "RR" else special.expit(alpha) + theta[:, None]
            p = np.clip(p, 1e-300, 1 - 1e-16)
            log_p, log_q = np.log(p), np.log1p(-p)
        log = control(alpha) + x_t * log_p + (n_t - x_t) * log_q + np.log(half * w)
        return np.where(possible, special.logsumexp(log, axis=1) + constant, -np.inf)

    p_t, p_c = (x_t + 0.5) / (n_t + 1), (x_c + 0.5) / (n_c + 1)
    variance = {
        "OR": 1 / (n_t * p_t * (1 - p_t)) + 1 / (n_c * p_c * (1 - p_c)),
        "RR": (1 - p_t) / (n_t * p_t) + (1 - p_c) / (n_c * p_c),
        "RD": p_t * (1 - p_t) / n_t + p_c * (1 - p_c) / n_c,
    }[measure]
    reach = 1.0 - 1e-9 if measure == "RD" else reach
    return _on_grid(log_likelihood, -reach, reach, float(np.sqrt(variance)), fine)


def binomial(
    counts: ArrayLike,
    measure: Measure,
    mu: LogDensity,
    tau: LogDensity,
    baseline: LogDensity,
    *,
    tau_high: float = 5.0,
    n: tuple[int, int] = (128, 48),
    nodes: int = 200,
    fine: float = 0.2,
) -> Oracle:
    """Binomial counts around normal effects: ``theta_i ~ N(mu, tau^2)``, one control risk per trial with its own prior.

    Parameters
    ----------
    counts : array of shape (k, 4)
        Events and participants of the treated arm, then of the control arm.
    measure : {"OR", "RR", "RD"}
    mu, tau : log densities
    baseline : log density
        Of the log odds of the control risk, in every measure.

    Returns
    -------
    Oracle
        ``mu``, ``tau``, ``theta_new``; ``probabilities["theta_mean"]``, ``["theta_sd"]`` of shape (k,).
    """
    rows = [
        trial(x_t, n_t, x_c, n_c, measure, baseline, nodes=nodes, fine=fine)
        for x_t, n_t, x_c, n_c in np.asarray(counts, float).tolist()
    ]

    def density(m: Array, t: Array) -> tuple[Array, Mapping[str, Array]]:
        found = [row.moments(m, t) for row in rows]
        return mu(m) + tau(t) + np.sum([f[0] for f in found], axis=0), {
            "first": np.array([f[1] for f in found]),
            "second": np.array([f[2] for f in found]),
        }

    span = 1.0 if measure == "RD" else 6.0
    axes = {"mu": Axis.real(-span, span), "tau": Axis.positive(tau_high, 0.1 if measure == "RD" else 1.0)}
    grid = integrate(density, axes, n, scout=33)
    first = (grid.mass * grid.extra["first"]).sum(axis=(1, 2))
    second = (grid.mass * grid.extra["second"]).sum(axis=(1, 2))
    mass, m, floor = refine(grid.mass, grid.x[0], 8)
    new = mixture(mass, m[:, None], np.maximum(grid.x[1], floor))
    return Oracle(
        {"mu": grid.over("mu"), "tau": grid.over("tau"), "theta_new": new},
        grid.log_evidence,
        {"theta_mean": first, "theta_sd": np.sqrt(second - first**2)},
    )


def conditional(x_t: float, n_t: float, x_c: float, n_c: float, *, fine: float = 0.1) -> Evidence:
    """Log probability of the treated arm's events given all margins: noncentral hypergeometric in theta."""
    total = x_t + x_c
    x = np.arange(max(0, total - n_c), min(n_t, total) + 1)
    base = _log_choose(n_t, x) + _log_choose(n_c, total - x)
    own = float(_log_choose(n_t, x_t) + _log_choose(n_c, x_c))

    def log_likelihood(theta: Array) -> Array:
        return own + x_t * theta - special.logsumexp(base + x * theta[:, None], axis=1)

    width = np.sqrt(1 / (x_t + 0.5) + 1 / (n_t - x_t + 0.5) + 1 / (x_c + 0.5) + 1 / (n_c - x_c + 0.5))
    return _on_grid(log_likelihood, -25.0, 25.0, float(width), fine)


def conditional_logit_ml(counts: ArrayLike) -> tuple[float, float, float]:
    """Maximum likelihood of (mu, tau) in metafor's ``CM.EL``: estimate, tau, log likelihood.

    Trials without events, or with events only, say nothing and contribute nothing.

    References
    ----------
    Stijnen T, Hamza TH, Ozdemir P. Stat Med 2010;29:3046-3067. doi:10.1002/sim.4040
    """
    table = np.asarray(counts, float)
    told = (table[:, 0] + table[:, 2] > 0) & (table[:, 0] + table[:, 2] < table[:, 1] + table[:, 3])
    rows = [conditional(*row) for row in table[told].tolist()]

    def negative(p: Array) -> float:
        m, t = np.array([[p[0]]]), np.array([[np.exp(p[1])]])
        return -sum(float(row.moments(m, t)[0][0, 0]) for row in rows)

    best = optimize.minimize(
        negative, [0.0, np.log(0.3)], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 2000}
    )
    return float(best.x[0]), float(np.exp(best.x[1])), -float(best.fun)
