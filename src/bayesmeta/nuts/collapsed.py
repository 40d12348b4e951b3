"""What follows from draws of the parameters: study effects integrated out, and drawn; functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.model import OutlierEffects, StudentEffects
from bayesmeta.nuts.rows import HierarchicalRows
from bayesmeta.priors import Normal, resolve

__all__ = [
    "MIXING_PLACES",
    "MIXING_STEP",
    "CollapsedLikelihood",
    "collapsible",
    "component_count",
    "condition",
    "draw_coefficients",
    "estimates",
    "from_sd",
    "mixing_nodes",
    "spreads",
    "study_draws",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
_LOG_2PI = math.log(2 * math.pi)
Mixed = tuple[IntArray, FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class CollapsedLikelihood:
    """What follows from N draws of the parameters, study effects integrated out.

    Attributes
    ----------
    log_weight : array of shape (C, S, N)
        Log probability of a unit's data under each component and scenario, with that component's and scenario's own.
    log_likelihood : array of shape (units, N)
    mean, residual, a : arrays of shape (E, N)
        Rotated: mean of the study effects, estimates minus it, sampling variance.
    spread : array of shape (C, E, N)
        Rotated variance of the study effects, per component (without the cluster's part).
    cluster_variance : array of shape (N,) or None
    mixed : sequence of (rows, V, C)
        Blocks with several taus, which are not rotated: covariances (N, m, m) of estimates and of study effects.
    """

    log_weight: FloatArray
    log_likelihood: FloatArray
    mean: FloatArray
    residual: FloatArray
    a: FloatArray
    spread: FloatArray
    cluster_variance: FloatArray | None
    mixed: Sequence[Mixed] = ()


def estimates(
    h: HierarchicalRows, draws: Mapping[str, FloatArray], size: int
) -> tuple[FloatArray, FloatArray, FloatArray | float]:
    """Estimates and rotated sampling variances, from derived numbers and imputed SDs too.

    Returns
    -------
    y, a : arrays of shape (E, N) or (E, 1)
    log_scale : array of shape (E, N), or 0
        What the log density of each row gains because a raw difference was observed and not ``y``.
    """
    y, a = h.y[:, None], h.a[:, None]
    if not (h.polynomials or h.sd_rows.size):
        return y, a, 0.0
    y, a = np.repeat(y, size, 1), np.repeat(a, size, 1)
    log_scale = np.zeros_like(y)
    for item in h.polynomials:
        z = np.clip((2 * draws[item.name] - item.low - item.high) / (item.high - item.low), -1, 1)
        basis = np.cos(np.arange(item.y.shape[1])[:, None] * np.arccos(z))
        moving = item.moving
        y[moving], a[moving] = (item.y @ basis)[moving], np.square(item.se @ basis)[moving]
        log_scale[moving] = (item.log_scale @ basis)[moving]
    if h.sd_rows.size:
        effects = h.effects
        assert effects.spreads is not None
        assert effects.n is not None
        rows = h.row[h.sd_rows]
        n = effects.n[rows]
        y[h.sd_rows], a[h.sd_rows] = from_sd(
            effects.measure, effects.spreads.difference[rows][:, None], draws["sd"], n[:, :1], n[:, 1:]
        )
        if effects.measure == "SMD":
            log_scale[h.sd_rows] = -np.log(draws["sd"])
    return y, a, log_scale


def from_sd(
    measure: str, difference: FloatArray, sd: FloatArray, n_t: FloatArray, n_c: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Estimate and sampling variance of an MD or SMD (exact J, large-sample variance) for a standard deviation."""
    base = 1 / n_t + 1 / n_c
    if measure == "MD":
        return np.broadcast_to(difference, sd.shape), sd**2 * base
    m = n_t + n_c - 2
    J = np.exp(special.gammaln(m / 2) - 0.5 * np.log(m / 2) - special.gammaln((m - 1) / 2))
    g = J * difference / sd
    return g, base + g**2 / (2 * (n_t + n_c))


def condition(h: HierarchicalRows, draws: Mapping[str, FloatArray]) -> CollapsedLikelihood:
    """Integrate study effects out at N draws of the parameters.

    Parameters
    ----------
    draws : mapping
        ``coefficients`` (p, N), ``tau`` (N,) and, where the model has them, ``tau_within``, ``df``, ``share`` and
        ``extra`` (N,), ``missing[NAME]`` (n, N), ``levels[NAME]`` (L, N), ``sd`` (n, N) and derived
        numbers by name.
    """
    beta, tau = draws["coefficients"], draws["tau"]
    size = tau.size
    eta = h.X @ beta
    for item in h.imputed:
        x = draws[f"missing[{item.name}]"]
        eta = eta + item.place @ ((x - item.centre) / item.per) * beta[item.column]
    y, a, log_scale = estimates(h, draws, size)
    residual = h.rotate(y - eta)
    a = np.broadcast_to(a, residual.shape)
    spread = spreads(h, draws)
    components = _components(h, draws)
    cluster_variance = tau**2 if h.cluster is not None else None
    prior = _scenario_prior(h, draws, size)
    log_weight = np.empty((len(components), h.unit.size, size))
    for c, component in enumerate(components):
        variance = a + spread[c]
        rows = -0.5 * (_LOG_2PI + np.log(variance) + residual**2 / variance) + log_scale
        for members, V, _ in _mixed(h, draws):
            L = np.linalg.cholesky(V)
            white = np.linalg.solve(L, residual[members].T[:, :, None])[:, :, 0].T
            own = np.log(np.diagonal(L, axis1=1, axis2=2)).T
            rows[members] = -0.5 * (_LOG_2PI + white**2) - own
        total = h.by_scenario(rows) - 0.5 * h.logdet[:, None]
        if h.cluster is not None and cluster_variance is not None:
            g = h.cluster[:, None]
            s, t = h.by_scenario(g * g / variance), h.by_scenario(g * residual / variance)
            total = total - 0.5 * np.log1p(cluster_variance * s)
            total = total + 0.5 * cluster_variance * t**2 / (1 + cluster_variance * s)
        log_weight[c] = total + prior + component
    summed = special.logsumexp(log_weight, axis=0)
    log_likelihood = np.full((len(h.units), size), -np.inf)
    if h.unit.size == len(h.units):
        log_likelihood[h.unit] = summed
    else:
        for number, values in zip(h.unit.tolist(), summed, strict=True):
            log_likelihood[number] = np.logaddexp(log_likelihood[number], values)
    mixed = _mixed(h, draws)
    return CollapsedLikelihood(log_weight, log_likelihood, h.rotate(eta), residual, a, spread, cluster_variance, mixed)


def _mixed(h: HierarchicalRows, draws: Mapping[str, FloatArray]) -> list[Mixed]:
    """Covariances of the blocks with several taus."""
    if h.spread is None or not h.spread.mixed:
        return []
    taus, found = h.spread.taus(draws), []
    for members, S in h.spread.mixed:
        R = np.full(S.shape, h.model.rho)
        np.fill_diagonal(R, 1.0)
        C = R * taus[members].T[:, :, None] * taus[members].T[:, None, :]
        found.append((members, S + C, C))
    return found


def collapsible(h: HierarchicalRows) -> bool:
    """Whether the coefficients are integrated out as well: with imputed numeric moderators, in plain normal models.

    A slope and the values that it multiplies have a posterior that is hard to walk in; given those values the
    coefficients are Gaussian, and need not be walked in at all.
    """
    model = h.model
    plain = model.random is None and model.likelihood == "normal" and not h.levels and h.cluster is None
    normal = all(
        term.sd is not None or (term.prior is not None and resolve(term.prior).name in ("normal", "flat"))
        for term in h.design.terms
    )
    return bool(h.imputed) and plain and normal and (h.spread is None or not h.spread.mixed)


def draw_coefficients(h: HierarchicalRows, draws: Mapping[str, FloatArray], rng: np.random.Generator) -> FloatArray:
    """Draw the coefficients given everything else, where `collapsible`; shape (p, N)."""
    tau = draws["tau"]
    size, p = tau.size, h.design.p
    X = np.repeat(h.X[:, :, None], size, axis=2)
    for item in h.imputed:
        X[:, item.column] += item.place @ ((draws[f"missing[{item.name}]"] - item.centre) / item.per)
    y, a, _ = estimates(h, draws, size)
    X, y = h.rotate(X), h.rotate(np.broadcast_to(y, (h.row.size, size)))
    weight = 1 / (a + spreads(h, draws)[0])
    mean, precision = np.zeros((p, size)), np.zeros((p, size))
    for number, term in enumerate(h.design.terms):
        scale = h.design.prior_scale[term.columns][:, None]
        if term.sd is not None:
            precision[term.columns] = 1 / (scale * draws[f"sd{number}"]) ** 2
        elif term.prior is not None and isinstance(kernel := resolve(term.prior), Normal):
            mean[term.columns], precision[term.columns] = kernel.mean, 1 / (scale * kernel.sd) ** 2
    A = np.einsum("ein,en,ejn->nij", X, weight, X) + np.einsum("in,ij->nij", precision, np.eye(p))
    b = np.einsum("ein,en->ni", X, weight * y) + (precision * mean).T
    L = np.linalg.cholesky(A)
    half = np.linalg.solve(L, b[:, :, None]) + rng.standard_normal((size, p, 1))
    return np.linalg.solve(np.swapaxes(L, 1, 2), half)[:, :, 0].T


def spreads(h: HierarchicalRows, draws: Mapping[str, FloatArray]) -> FloatArray:
    """Variance of the study effects in the rotated basis, per component, shape (C, E, N).

    Components are the two populations of outlier effects, or the nodes of the mixing scale of Student-t effects.
    """
    random = h.model.random
    tau = draws["tau_within"] if h.cluster is not None else draws["tau"]
    if h.spread is not None:
        tau = h.spread.taus(draws)
    plain = h.b[:, None] * tau**2
    if isinstance(random, StudentEffects):
        scale, _ = mixing_nodes(draws["df"])
        return plain * scale[:, None, :]
    if isinstance(random, OutlierEffects):
        return np.stack([plain, h.b[:, None] * (tau**2 + draws["extra"] ** 2)])
    return plain[None]


#: Places of the nodes of a Student-t's mixing scale, in units of the spread of its logarithm, and their step.
MIXING_STEP = 0.3
MIXING_PLACES = np.arange(-6.0, 18.0, MIXING_STEP)


def mixing_nodes(df: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Discretise the mixing scale of a Student-t: ``t = sqrt(scale) z`` with ``scale ~ inverse gamma(df/2, df/2)``.

    The trapezoidal rule in ``log(scale)``, on nodes that widen as the degrees of freedom fall; for a smooth integrand
    that vanishes at both ends it converges exponentially (Trefethen & Weideman 2014, doi:10.1137/130932132).

    Parameters
    ----------
    df : array of shape (N,)

    Returns
    -------
    scale, log_weight : arrays of shape (C, N)

    Examples
    --------
    >>> scale, log_weight = mixing_nodes(np.array([1.0, 4.0, 100.0]))
    >>> np.exp(log_weight).sum(axis=0).round(5).tolist()
    [1.0, 1.0, 1.0]
    """
    spread = np.sqrt(2 / df + 3 / df**2)
    log_scale = 1 / df + spread * MIXING_PLACES[:, None]
    half = df / 2
    log_density = half * np.log(half) - special.gammaln(half) - half * log_scale - half * np.exp(-log_scale)
    return np.exp(log_scale), log_density + np.log(MIXING_STEP * spread)


def component_count(h: HierarchicalRows) -> int:
    """Number of components of the study effects' distribution."""
    if isinstance(h.model.random, StudentEffects):
        return MIXING_PLACES.size
    return 2 if isinstance(h.model.random, OutlierEffects) else 1


def _components(h: HierarchicalRows, draws: Mapping[str, FloatArray]) -> list[FloatArray | float]:
    """Log prior probability of each component, shape (N,)."""
    if isinstance(h.model.random, OutlierEffects):
        return [np.log1p(-draws["share"]), np.log(draws["share"])]
    if isinstance(h.model.random, StudentEffects):
        return list(mixing_nodes(draws["df"])[1])
    return [0.0]


def _scenario_prior(h: HierarchicalRows, draws: Mapping[str, FloatArray], size: int) -> FloatArray:
    """Log probability of each scenario's levels, shape (S, N)."""
    total = np.zeros((h.unit.size, size))
    for item in h.levels:
        log_p = np.log(draws[f"levels[{item.name}]"]) + item.shift[:, None]
        log_p = log_p - special.logsumexp(log_p, axis=0)
        for position in range(len(item.trials)):
            taken = item.taken[:, position]
            total += np.where((taken >= 0)[:, None], log_p[taken], 0.0)
    return total


def study_draws(
    h: HierarchicalRows, conditional: CollapsedLikelihood, rng: np.random.Generator
) -> tuple[FloatArray, IntArray, IntArray]:
    """Draw component, scenario and study effects given N draws of the parameters.

    Returns
    -------
    theta : array of shape (k, N)
    component, scenario : arrays of int of shape (units, N)
    """
    C, _, N = conditional.log_weight.shape
    K = len(h.units)
    component, scenario = np.zeros((K, N), np.intp), np.zeros((K, N), np.intp)
    theta = np.empty((h.effects.k, N))
    for number in range(K):
        own = np.flatnonzero(h.unit == number)
        log_p = conditional.log_weight[:, own].reshape(-1, N)
        gumbel = -np.log(-np.log(rng.random(log_p.shape))) if log_p.shape[0] > 1 else np.zeros(log_p.shape)
        best = np.argmax(log_p + gumbel, axis=0)
        component[number], scenario[number] = best // own.size, own[best % own.size]
    noise = rng.standard_normal((h.row.size, N))
    cluster_noise = rng.standard_normal((h.unit.size, N))
    draws = np.empty((C, h.row.size, N))
    for c in range(C):
        variance = conditional.a + conditional.spread[c]
        share = conditional.spread[c] / variance
        common: FloatArray | float = 0.0
        if h.cluster is not None and conditional.cluster_variance is not None:
            g = h.cluster[:, None]
            s, t = h.by_scenario(g * g / variance), h.by_scenario(g * conditional.residual / variance)
            left = conditional.cluster_variance / (1 + conditional.cluster_variance * s)
            common = g * (left * t + np.sqrt(left) * cluster_noise)[h.scenario]
        rotated = conditional.mean + common + share * (conditional.residual - common)
        rotated = rotated + np.sqrt(share * conditional.a) * noise
        for members, V, C in conditional.mixed:
            # theta | y ~ N(mean + C V**-1 residual, C - C V**-1 C)
            B = np.linalg.solve(V, C).transpose(0, 2, 1)
            moved = np.einsum("nij,jn->in", B, conditional.residual[members])
            L = np.linalg.cholesky(C - B @ C + 1e-12 * np.einsum("nii->n", C)[:, None, None] * np.eye(members.size))
            rotated[members] = conditional.mean[members] + moved + np.einsum("nij,jn->in", L, noise[members])
        draws[c] = h.unrotate(rotated)
    chosen = scenario[h.row_unit] == h.scenario[:, None]
    picked = np.take_along_axis(draws, component[h.row_unit][None], axis=0)[0]
    for e in range(h.row.size):
        theta[h.row[e], chosen[e]] = picked[e, chosen[e]]
    return theta, component, scenario
