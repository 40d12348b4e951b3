"""Moderators that are partly missing, and a monotone dose-response: the coefficients are Gaussian given the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from oracle_core import Array, Axis, LogDensity, Marginal, OnAxis, Oracle, gaussian, integrate, mixture

Gaussian = tuple[float, float]


def _prior(*parts: Gaussian) -> tuple[Array, Array]:
    return np.array([m for m, _ in parts]), np.diag([s**2 for _, s in parts])


def _log_normal(x: Array, mean: Array, sd: Array) -> Array:
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def missing_numeric(
    y: ArrayLike,
    se: ArrayLike,
    x: ArrayLike,
    mu: Gaussian,
    slope: Gaussian,
    tau: LogDensity,
    mean: LogDensity,
    sd: LogDensity,
    *,
    per: float = 1.0,
    family: str = "normal",
    shift: float = 0.0,
    axes: Mapping[str, Axis],
    tau_high: float = 5.0,
    n: tuple[int, int, int] = (40, 72, 44),
) -> Oracle:
    """One numeric moderator that one or two trials do not state.

    ``y_i ~ N(mu + b (x_i - c) / per, se_i^2 + tau^2)``, c the mean of the stated values; stated ``x ~ N(m, s^2)``, not
    stated ``x ~ N(m + shift, s^2)``; both of ``log x`` in the log-normal family. (mu, b) are integrated in closed form
    given tau and the missing x; (m, s) given the x alone, so that the two grids meet in the missing x only.

    Parameters
    ----------
    y, se, x : arrays of shape (k,)
        ``x`` is ``nan`` where it is not stated.
    mu, slope : (mean, sd)
        Normal priors; the slope is per ``per``.
    tau, mean, sd : log densities
    axes : mapping of str to Axis
        ``"mean"``, ``"sd"`` and ``"x"``: generous ranges on the moderator's scale (``"mean"``, ``"sd"`` on that of its
        logarithm in the log-normal family); they are trimmed.
    n : nodes of tau, of each missing x, of mean and sd

    Returns
    -------
    Oracle
        ``mu``, ``slope``, ``tau``, ``mean``, ``sd``, ``x[i]`` for each missing row i, ``theta_new`` (at mu).
    """
    y, se, x = (np.asarray(v, float) for v in (y, se, x))
    lost = np.flatnonzero(np.isnan(x))
    stated = x[~np.isnan(x)]
    centre = stated.mean()
    told = np.log(stated) if family == "lognormal" else stated
    beta_mean, beta_cov = _prior(mu, slope)
    names = [f"x[{i}]" for i in lost]

    def values(missing: Sequence[Array], m: Array, s: Array) -> Array:
        """Log density of stated and missing moderators given (m, s)."""
        log = np.zeros(np.broadcast_shapes(m.shape, s.shape))
        for a in told:
            log = log + _log_normal(a, m, s)
        for a in missing:
            where = np.log(a) if family == "lognormal" else a
            log = log + _log_normal(where, m + shift, s) - (where if family == "lognormal" else 0.0)
        if family == "lognormal":
            log = log - told.sum()
        return log

    def coefficients(t: Array, missing: Sequence[Array]) -> tuple[Array, Array, Array]:
        shape = np.broadcast_shapes(t.shape, *(a.shape for a in missing))
        column = np.broadcast_to(np.where(np.isnan(x), 0.0, (x - centre) / per), (*shape, y.size)).copy()
        for i, a in zip(lost, missing, strict=True):
            column[..., i] = (a - centre) / per
        X = np.stack([np.ones_like(column), column], axis=-1)
        V = se**2 + np.broadcast_to(t, shape)[..., None] ** 2
        return gaussian(np.broadcast_to(y, column.shape), X, V, beta_mean, beta_cov)

    # scouting on all axes at once, coarsely; then the final grid in two factors
    def population(*arguments: Array) -> tuple[Array, Mapping[str, Array]]:
        *missing, m, s = arguments
        return values(missing, m, s) + mean(m) + sd(s), {}

    pop_axes = {**dict.fromkeys(names, axes["x"]), "mean": axes["mean"], "sd": axes["sd"]}
    for _ in range(2):
        pop = integrate(population, pop_axes, [41 if len(names) == 1 else 25] * len(pop_axes))
        pop_axes = _trimmed(pop_axes, pop.mass, pop.u, 1e-10)
    pop = integrate(population, pop_axes, [n[1]] * len(names) + [n[2]] * 2)
    # joint grid of (missing x, m, s): marginal over (m, s) is the prior of the missing x
    among = tuple(range(len(names)))
    log_x = np.log(np.maximum(pop.mass.sum(axis=(-2, -1)), 1e-300))

    def outcome(t: Array, *missing: Array) -> tuple[Array, Mapping[str, Array]]:
        log, b, cov = coefficients(t, missing)
        return log + tau(t), {"b": b, "cov": cov}

    shaped = [pop.x[i].reshape([1] + [-1 if j == i else 1 for j in among]) for i in among]
    tau_axis = Axis.positive(tau_high)
    for size in (31, 31, n[0]):
        u, t, w = tau_axis.nodes(size)
        log, extra = outcome(t.reshape([-1] + [1] * len(names)), *shaped)
        log = log + w.reshape([-1] + [1] * len(names)) + log_x
        total = special.logsumexp(log)
        mass = np.exp(log - total)
        alive = np.flatnonzero((m_tau := mass.sum(axis=tuple(i + 1 for i in among))) > 1e-10 * m_tau.max())
        if size != n[0]:
            low, high = u[max(alive[0] - 1, 0)], u[min(alive[-1] + 1, size - 1)]
            tau_axis = Axis("positive", float(low), float(high))
    # back to (m, s): the outcome's factor depends on them through the missing x alone
    factor = mass.sum(axis=0) / np.exp(log_x)
    joint = pop.mass * factor[..., None, None]
    joint = joint / joint.sum()
    found: dict[str, Marginal] = {"tau": OnAxis(tau_axis, u, t, m_tau)}
    for place, name in enumerate(pop_axes):
        rest = tuple(i for i in range(joint.ndim) if i != place)
        found[name] = OnAxis(pop_axes[name], pop.u[place], pop.x[place], joint.sum(axis=rest))
    for place, name in enumerate(("mu", "slope")):
        found[name] = mixture(mass, extra["b"][..., place], np.sqrt(extra["cov"][..., place, place]))
    spread = extra["cov"][..., 0, 0] + t.reshape([-1] + [1] * len(names)) ** 2
    found["theta_new"] = mixture(mass, extra["b"][..., 0], np.sqrt(spread))
    return Oracle(found, float(total + pop.log_evidence), {})


def _trimmed(axes: Mapping[str, Axis], mass: Array, u: Sequence[Array], floor: float) -> dict[str, Axis]:
    result = {}
    for i, (name, axis) in enumerate(axes.items()):
        marginal = mass.sum(axis=tuple(j for j in range(mass.ndim) if j != i))
        alive = np.flatnonzero(marginal > floor * marginal.max())
        low, high = u[i][max(alive[0] - 1, 0)], u[i][min(alive[-1] + 1, marginal.size - 1)]
        result[name] = Axis(axis.kind, float(low), float(high), axis.low, axis.scale)
    return result


def level_probabilities(counts: ArrayLike, scenario: Sequence[int], concentration: float, shift: ArrayLike) -> float:
    """Probability of a scenario of missing levels: Dirichlet(c, ..., c) updated by stated levels, one after another.

    With shifts the frequencies of the missing are ``pi_l exp(shift_l)``, scaled, which has no closed form: the
    Dirichlet is then integrated by Gauss-Legendre over its stick-breaking fractions.
    """
    counts, shift = np.asarray(counts, float), np.asarray(shift, float)
    posterior = counts + concentration
    if np.all(shift == shift[0]):
        value, seen = 1.0, posterior.copy()
        for level in scenario:
            value *= seen[level] / seen.sum()
            seen[level] += 1
        return value
    x, w = np.polynomial.legendre.leggauss(120)
    x, w = 0.5 * (x + 1), 0.5 * w
    fractions = np.stack(np.meshgrid(*[x] * (counts.size - 1), indexing="ij"), axis=-1).reshape(-1, counts.size - 1)
    weight = np.prod(np.stack(np.meshgrid(*[w] * (counts.size - 1), indexing="ij"), -1).reshape(-1, counts.size - 1), 1)
    pi, left = np.empty((fractions.shape[0], counts.size)), np.ones(fractions.shape[0])
    for level in range(counts.size - 1):
        pi[:, level] = left * fractions[:, level]
        # the density of each fraction is a beta: the remaining concentration goes to the rest
        a, b = posterior[level], posterior[level + 1 :].sum()
        log = (a - 1) * np.log(fractions[:, level]) + (b - 1) * np.log1p(-fractions[:, level]) - special.betaln(a, b)
        weight = weight * np.exp(log)
        left = left * (1 - fractions[:, level])
    pi[:, -1] = left
    tilted = pi * np.exp(shift)
    tilted = tilted / tilted.sum(axis=1, keepdims=True)
    return float(weight @ np.prod(tilted[:, list(scenario)], axis=1))


def missing_levels(
    y: ArrayLike,
    se: ArrayLike,
    level: Sequence[str | None],
    mu: Gaussian,
    contrast_sd: float,
    tau: LogDensity,
    *,
    concentration: float = 1.0,
    shift: Mapping[str, float] | None = None,
    tau_high: float = 5.0,
    n: int = 80,
) -> Oracle:
    """One categorical moderator that some trials do not state, by enumeration of what they may be.

    ``theta_i = mu + d_l(i) - sum_l f_l d_l`` with ``d_l ~ N(0, contrast_sd^2 / 2)`` independent and f the frequencies
    of the stated levels: mu is the effect averaged over the stated mix. (The overparameterised form, not a basis.)

    Parameters
    ----------
    y, se : arrays of shape (k,)
    level : sequence of str or None
        None where it is not stated; rows are trials.
    mu : (mean, sd)
    contrast_sd : float
        Prior SD of the difference of two levels.
    tau : log density

    Returns
    -------
    Oracle
        ``mu``, ``tau``, ``theta_new`` (at mu), ``b - a`` for each level b against the first a;
        ``probabilities["level[i]"]``: of each level (sorted) for each row i that does not state its own.
    """
    y, se = np.asarray(y, float), np.asarray(se, float)
    levels = sorted({v for v in level if v is not None})
    lost = [i for i, v in enumerate(level) if v is None]
    counts = np.array([sum(v == name for v in level) for name in levels], float)
    frequency = counts / counts.sum()
    tilt = np.array([(shift or {}).get(name, 0.0) for name in levels])
    parts = [mu, *[(0.0, contrast_sd / np.sqrt(2))] * len(levels)]
    beta_mean, beta_cov = _prior(*parts)
    scenarios = list(product(range(len(levels)), repeat=len(lost)))
    log_prior = np.log([level_probabilities(counts, s, concentration, tilt) for s in scenarios])
    index = np.array([levels.index(v) if v is not None else 0 for v in level])
    X = np.empty((len(scenarios), y.size, 1 + len(levels)))
    for number, scenario in enumerate(scenarios):
        index[lost] = scenario
        X[number] = np.column_stack([np.ones(y.size), np.eye(len(levels))[index] - frequency])

    def density(t: Array) -> tuple[Array, Mapping[str, Array]]:
        V = (se**2 + t.reshape(-1, 1) ** 2)[:, None, :]
        V = np.broadcast_to(V, (t.size, len(scenarios), y.size))
        log, b, cov = gaussian(
            np.broadcast_to(y, V.shape), np.broadcast_to(X, (t.size, *X.shape)), V, beta_mean, beta_cov
        )
        log = log + log_prior
        total = special.logsumexp(log, axis=1)
        return total + tau(t), {"weight": np.exp(log - total[:, None]), "b": b, "cov": cov}

    grid = integrate(density, {"tau": Axis.positive(tau_high)}, n, scout=60)
    weight = grid.mass[:, None] * grid.extra["weight"]
    b, cov = grid.extra["b"], grid.extra["cov"]

    def linear(row: Array, more: Array | float = 0.0) -> Marginal:
        return mixture(weight, b @ row, np.sqrt(np.einsum("i,...ij,j->...", row, cov, row) + more))

    first = np.eye(1 + len(levels))
    found: dict[str, Marginal] = {"mu": linear(first[0]), "tau": grid.over("tau")}
    found["theta_new"] = linear(first[0], grid.x[0][:, None] ** 2)
    for number, name in enumerate(levels[1:], 2):
        found[f"{name} - {levels[0]}"] = linear(first[number] - first[1])
    by_scenario = weight.sum(axis=0)
    chance = {
        f"level[{i}]": np.array(
            [by_scenario[[s[place] == l for s in scenarios]].sum() for l in range(len(levels))]  # noqa: E741
        )
        for place, i in enumerate(lost)
    }
    return Oracle(found, grid.log_evidence, chance)


def monotone(
    y: ArrayLike,
    se: ArrayLike,
    x: ArrayLike,
    knots: ArrayLike,
    mu: Gaussian,
    total: Gaussian,
    tau: LogDensity,
    *,
    tau_high: float = 5.0,
    n: tuple[int, int] = (48, 40),
) -> Oracle:
    """A monotone dose-response: ``theta_i = mu + total * (F(x_i) - mean F)``, ``F = sum_j share_j ramp_j``.

    Ramps rise from 0 to 1, each between two knots; shares ~ Dirichlet(1, ..., 1), of 2 or 3 segments; means are over
    the rows. (mu, total) are Gaussian given tau and the shares.

    Returns
    -------
    Oracle
        ``mu``, ``tau``, ``total``, ``share[j]``, ``theta_new`` (at mu), and ``rise[j] = total * share_j`` as means and
        SDs in ``probabilities["rise_mean"]``, ``["rise_sd"]``.
    """
    y, se, x, knots = (np.asarray(v, float) for v in (y, se, x, knots))
    ramps = np.clip((x[:, None] - knots[:-1]) / np.diff(knots), 0, 1)
    ramps = ramps - ramps.mean(axis=0)
    segments = knots.size - 1
    if segments not in (2, 3):
        raise ValueError(f"{segments} segments: 2 or 3.")
    beta_mean, beta_cov = _prior(mu, total)
    # the flat Dirichlet by stick-breaking: the first share has density (segments - 1) (1 - s)^(segments - 2)
    u, s, w = Axis.interval(0, 1).nodes(n[1])
    if segments == 2:
        shares, log_w = np.column_stack([s, 1 - s]), w
    else:
        a, b = (v.ravel() for v in np.meshgrid(s, s, indexing="ij"))
        shares = np.column_stack([a, (1 - a) * b, (1 - a) * (1 - b)])
        log_w = (w[:, None] + w[None, :]).ravel() + np.log(2) + np.log1p(-a)
    column = ramps @ shares.T  # (k, shares)
    X = np.stack([np.ones_like(column.T), column.T], axis=-1)

    def density(t: Array) -> tuple[Array, Mapping[str, Array]]:
        V = np.broadcast_to((se**2 + t.reshape(-1, 1) ** 2)[:, None, :], (t.size, shares.shape[0], y.size))
        log, coef, cov = gaussian(
            np.broadcast_to(y, V.shape), np.broadcast_to(X, (t.size, *X.shape)), V, beta_mean, beta_cov
        )
        log = log + log_w
        sums = special.logsumexp(log, axis=1)
        return sums + tau(t), {"weight": np.exp(log - sums[:, None]), "b": coef, "cov": cov}

    grid = integrate(density, {"tau": Axis.positive(tau_high)}, n[0], scout=41)
    weight = grid.mass[:, None] * grid.extra["weight"]
    coef, cov = grid.extra["b"], grid.extra["cov"]
    by_share = weight.sum(axis=0)
    found: dict[str, Marginal] = {
        "mu": mixture(weight, coef[..., 0], np.sqrt(cov[..., 0, 0])),
        "total": mixture(weight, coef[..., 1], np.sqrt(cov[..., 1, 1])),
        "tau": grid.over("tau"),
        "theta_new": mixture(weight, coef[..., 0], np.sqrt(cov[..., 0, 0] + grid.x[0][:, None] ** 2)),
    }
    first = by_share if segments == 2 else by_share.reshape(s.size, s.size).sum(axis=1)
    found["share[0]"] = OnAxis(Axis.interval(0, 1), u, s, first)
    share_mean = by_share @ shares
    rise = coef[..., 1, None] * shares
    rise_mean = (weight[..., None] * rise).sum(axis=(0, 1))
    rise_square = (weight[..., None] * (rise**2 + cov[..., 1, 1, None] * shares**2)).sum(axis=(0, 1))
    return Oracle(
        found,
        grid.log_evidence,
        {"share_mean": share_mean, "rise_mean": rise_mean, "rise_sd": np.sqrt(rise_square - rise_mean**2)},
    )
