"""Brute-force posteriors of models without a closed form, in plain numpy; nothing of the library is used.

Each function takes arrays and log densities of priors, puts whatever is not Gaussian on a dense grid (`oracle_core`),
and returns an `Oracle`: marginals with ``mean``, ``sd``, ``cdf(x)``, ``quantile(p)``. Accuracy: means, SDs and
quantiles to about 1e-3 of a posterior SD, most to 1e-5; ``tests/nuts/test_brute_force.py`` shows it by finer grids and
against closed forms, metafor and Stan.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from oracle_core import (
    LOG_2PI,
    Array,
    Axis,
    Grid,
    LogDensity,
    Marginal,
    Mixture,
    Oracle,
    Predicted,
    integrate,
    mixture,
    refine,
)
from oracle_counts import binomial, conditional_logit_ml
from oracle_joint import joint_outcomes
from oracle_regression import missing_levels, missing_numeric, monotone
from oracle_spread import exact_j, missing_sd, uncertain_number

__all__ = [
    "Axis",
    "Oracle",
    "binomial",
    "conditional_logit_ml",
    "exact_j",
    "joint_outcomes",
    "missing_levels",
    "missing_numeric",
    "missing_sd",
    "monotone",
    "normal_normal",
    "outlier_effects",
    "student_effects",
    "uncertain_number",
]


def _arrays(y: ArrayLike, se: ArrayLike) -> tuple[Array, Array]:
    return np.asarray(y, float), np.asarray(se, float)


def _mu_axis(y: Array, se: Array, tau_high: float) -> Axis:
    reach = 8 * (np.ptp(y) + se.max()) + tau_high
    return Axis.real(float(y.mean() - reach), float(y.mean() + reach))


def _log_normal(x: Array | float, mean: Array, variance: Array) -> Array:
    return -0.5 * (LOG_2PI + np.log(variance) + (x - mean) ** 2 / variance)


def normal_normal(
    y: ArrayLike,
    se: ArrayLike,
    mu: LogDensity,
    tau: LogDensity,
    *,
    tau_high: float = 5.0,
    n: tuple[int, int] = (180, 80),
) -> Oracle:
    """``y_i ~ N(mu, se_i^2 + tau^2)`` on a grid of (mu, tau), with any priors.

    Parameters
    ----------
    y, se : arrays of shape (k,)
    mu, tau : log densities

    Returns
    -------
    Oracle
        ``mu``, ``tau``, ``theta_new``, ``theta[i]`` (i from 0).
    """
    y, se = _arrays(y, se)

    def density(m: Array, t: Array) -> tuple[Array, Mapping[str, Array]]:
        value = mu(m) + tau(t)
        for a, s in zip(y, se, strict=True):
            value = value + _log_normal(a, m, s**2 + t**2)
        return value, {}

    grid = integrate(density, {"mu": _mu_axis(y, se, tau_high), "tau": Axis.positive(tau_high)}, n, scout=81)
    found: dict[str, Marginal] = {"mu": grid.over("mu"), "tau": grid.over("tau")}
    mass, m, floor = refine(grid.mass, grid.x[0], 8)
    M, T = m[:, None], grid.value("tau")
    found["theta_new"] = mixture(mass, M, np.maximum(T, floor))
    thetas = {f"theta[{i}]": _study(mass, M, T**2, a, s, floor) for i, (a, s) in enumerate(zip(y, se, strict=True))}
    return Oracle(found | thetas, grid.log_evidence, {})


def _study(mass: Array, mean: Array, variance: Array, y: float, se: float, floor: float) -> Mixture:
    """A study's effect given its mean and variance: precision weighted, a normal mixture."""
    keep = se**2 / (se**2 + variance)
    return mixture(mass, keep * mean + (1 - keep) * y, np.maximum(np.sqrt((1 - keep) * se**2), keep * floor))


def student_effects(
    y: ArrayLike,
    se: ArrayLike,
    mu: LogDensity,
    tau: LogDensity,
    df: LogDensity,
    *,
    df_axis: Axis | None = None,
    tau_high: float = 5.0,
    n: tuple[int, int, int] = (72, 44, 36),
    inner: int = 72,
) -> Oracle:
    """``theta_i ~ mu + tau t_df``, ``y_i ~ N(theta_i, se_i^2)`` on a grid of (mu, tau, df), rows independent.

    A row's likelihood is integrated over the precision ``l ~ Gamma(df/2, df/2)`` of its own scale mixture, uniformly in
    ``log l``: ``y_i ~ N(mu, se_i^2 + tau^2 / l)``.

    Parameters
    ----------
    y, se : arrays of shape (k,)
    mu, tau, df : log densities
    df_axis : Axis
        Where df lives; default ``1 .. 400``.
    n : nodes of mu, tau, df
    inner : nodes of each mixture

    Returns
    -------
    Oracle
        ``mu``, ``tau``, ``df``, ``theta_new`` (SD infinite where df may be at most 2), and the means and SDs of the
        study effects in ``probabilities["theta_mean"]``, ``["theta_sd"]``, shape (k,).
    """
    y, se = _arrays(y, se)
    axes = {
        "mu": _mu_axis(y, se, tau_high),
        "tau": Axis.positive(tau_high),
        "df": df_axis or Axis.positive(400.0, 8.0, 1.0),
    }

    def density(m: Array, t: Array, v: Array) -> tuple[Array, Mapping[str, Array]]:
        shape = np.broadcast_shapes(m.shape, t.shape, v.shape)
        log = np.zeros((y.size, *shape))
        first, second = np.zeros_like(log), np.zeros_like(log)
        for j, nu in enumerate(v.ravel()):
            low, high = np.log(stats.gamma.ppf([1e-9, 1 - 1e-13], nu / 2, scale=2 / nu))
            u = np.linspace(low, high, inner)
            weight = stats.gamma.pdf(np.exp(u), nu / 2, scale=2 / nu) * np.exp(u) * (u[1] - u[0])
            # shape (mu, 1, 1), (tau, 1), (inner,)
            spread = t[:, :, 0].reshape(-1, 1) ** 2 / np.exp(u)
            for i, (a, s) in enumerate(zip(y, se, strict=True)):
                total = s**2 + spread
                base = weight / np.sqrt(2 * np.pi * total)
                gap = (a - m.ravel()) ** 2
                piece = base * np.exp(-0.5 * gap[:, None, None] / total)
                value = piece.sum(axis=-1)
                away = spread / total  # theta - mu given l: mean away * (y - mu), variance away * s^2
                log[i, :, :, j] = np.log(np.maximum(value, 1e-300))
                first[i, :, :, j] = (piece * away).sum(-1) / np.maximum(value, 1e-300)
                second[i, :, :, j] = (piece * away**2).sum(-1) / np.maximum(value, 1e-300)
        return mu(m) + tau(t) + df(v) + log.sum(axis=0), {"first": first, "second": second}

    def scouting(m: Array, t: Array, v: Array) -> tuple[Array, Mapping[str, Array]]:
        # where the posterior is: twice over, since t_df tails are bounded by those of the scout's own df grid
        return density(m, t, v)[0], {}

    scouted = integrate(scouting, axes, (21, 15, 9), scout=None)
    axes = _trim(scouted)
    scouted = integrate(scouting, axes, (31, 21, 13))
    axes = _trim(scouted)
    grid = integrate(density, axes, n)
    M, T, V = grid.value("mu"), grid.value("tau"), grid.value("df")
    gap = y[:, None, None, None] - M
    centre = M + grid.extra["first"] * gap
    square = grid.extra["first"] * (se**2)[:, None, None, None] + grid.extra["second"] * gap**2
    theta_mean = (grid.mass * centre).sum(axis=(1, 2, 3))
    theta_square = (grid.mass * (square + 2 * M * grid.extra["first"] * gap + M**2)).sum(axis=(1, 2, 3))
    found = {name: grid.over(name) for name in axes}
    # a new effect: its distribution function per node, on a finer grid of mu
    smooth, fine, floor = refine(grid.mass, grid.x[0], 2)
    kept = smooth > 1e-9 * smooth.max()
    m, t, v = (np.broadcast_to(a, smooth.shape)[kept] for a in (fine[:, None, None], np.maximum(T, floor), V))
    mass = smooth[kept] / smooth[kept].sum()

    def below(x: float) -> float:
        return float(mass @ special.stdtr(v, (x - m) / t))

    finite = V.min() > 2
    variance = grid.mass * (T**2 * V / np.maximum(V - 2, 1e-12) + (M - found["mu"].mean) ** 2)
    sd = float(np.sqrt(variance.sum())) if finite else np.inf
    spread = float(np.sqrt(found["tau"].mean ** 2 + found["mu"].sd ** 2))
    return Oracle(
        {**found, "theta_new": Predicted(found["mu"].mean, sd, below, spread)},
        grid.log_evidence,
        {"theta_mean": theta_mean, "theta_sd": np.sqrt(theta_square - theta_mean**2)},
    )


def _trim(grid: Grid) -> dict[str, Axis]:
    """Axes cut to where the posterior has mass, with a node to spare."""
    result = {}
    for i, (name, axis) in enumerate(grid.axes.items()):
        marginal = grid.mass.sum(axis=tuple(j for j in range(grid.mass.ndim) if j != i))
        alive = np.flatnonzero(marginal > 1e-9 * marginal.max())
        low, high = grid.u[i][max(alive[0] - 1, 0)], grid.u[i][min(alive[-1] + 1, marginal.size - 1)]
        result[name] = Axis(axis.kind, float(low), float(high), axis.low, axis.scale)
    return result


def outlier_effects(
    y: ArrayLike,
    se: ArrayLike,
    mu: LogDensity,
    tau: LogDensity,
    share: LogDensity,
    extra: LogDensity,
    *,
    share_range: tuple[float, float] = (0.0, 1.0),
    tau_high: float = 5.0,
    extra_high: float = 8.0,
    n: tuple[int, int, int, int] = (56, 36, 25, 32),
) -> Oracle:
    """``theta_i ~ (1 - p) N(mu, tau^2) + p N(mu, tau^2 + extra^2)`` on a grid of (mu, tau, p, extra).

    Parameters
    ----------
    y, se : arrays of shape (k,)
    mu, tau, share, extra : log densities
    share_range : (float, float)
        Support of the prior of the share.

    Returns
    -------
    Oracle
        ``mu``, ``tau``, ``share``, ``extra``, ``theta_new`` (a new trial may be an outlier), ``theta_typical`` (one
        that is not); ``probabilities["outlier"]`` of shape (k,), ``["theta_mean"]`` of shape (k,).
    """
    y, se = _arrays(y, se)

    def pieces(m: Array, t: Array, x: Array, a: float, s: float) -> tuple[Array, Array]:
        return _log_normal(a, m, s**2 + t**2), _log_normal(a, m, s**2 + t**2 + x**2)

    def density(m: Array, t: Array, p: Array, x: Array) -> tuple[Array, Mapping[str, Array]]:
        value = mu(m) + tau(t) + share(p) + extra(x)
        for a, s in zip(y, se, strict=True):
            narrow, wide = pieces(m, t, x, a, s)
            # shifted by the narrow part: the wide one may win by much
            shift = np.maximum(narrow, wide)
            value = value + shift + np.log((1 - p) * np.exp(narrow - shift) + p * np.exp(wide - shift))
        return value, {}

    axes = {
        "mu": _mu_axis(y, se, tau_high),
        "tau": Axis.positive(tau_high),
        "share": Axis.interval(*share_range),
        "extra": Axis.positive(extra_high),
    }
    grid = integrate(density, axes, n, scout=25)
    M, T, P, E = (grid.value(name) for name in axes)
    outlier, theta_mean = np.zeros(y.size), np.zeros(y.size)
    for i, (a, s) in enumerate(zip(y, se, strict=True)):
        narrow, wide = pieces(M, T, E, a, s)
        shift = np.maximum(narrow, wide)
        w1, w0 = P * np.exp(wide - shift), (1 - P) * np.exp(narrow - shift)
        chance = w1 / (w0 + w1)
        outlier[i] = (grid.mass * chance).sum()
        away0, away1 = T**2 / (T**2 + s**2), (T**2 + E**2) / (T**2 + E**2 + s**2)
        theta_mean[i] = (grid.mass * (M + (a - M) * ((1 - chance) * away0 + chance * away1))).sum()
    found = {name: grid.over(name) for name in axes}
    mass, m, floor = refine(grid.mass.sum(axis=(2, 3)), grid.x[0], 8)
    typical = mixture(mass, m[:, None], np.maximum(grid.x[1], floor))
    inside, m, floor = refine((grid.mass * (1 - P)).sum(axis=(2, 3)), grid.x[0], 4)
    outside, _, _ = refine((grid.mass * P).sum(axis=2), grid.x[0], 4)
    spread = np.hypot(grid.x[1][:, None], grid.x[3])
    means, sds = (
        [np.broadcast_to(v, w.shape).ravel() for v, w in zip(pair, (inside, outside), strict=True)]
        for pair in ((m[:, None], m[:, None, None]), (grid.x[1], spread))
    )
    weight = np.concatenate([inside.ravel(), outside.ravel()])
    new = mixture(weight, np.concatenate(means), np.maximum(np.concatenate(sds), floor))
    return Oracle(
        {**found, "theta_new": new, "theta_typical": typical},
        grid.log_evidence,
        {"outlier": outlier, "theta_mean": theta_mean},
    )
