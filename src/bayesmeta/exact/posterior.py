"""A posterior on the nodes of its integrals: a weighted list of Gaussians, one per node."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.effects import Effects
from bayesmeta.exact import clusters, spreads
from bayesmeta.exact.likelihood import MAX_ELEMENTS, ConditionalMoments, study_moments
from bayesmeta.exact.problem import IntegrationProblem, log_interval
from bayesmeta.marginals import Gridded
from bayesmeta.model import effect_correlations, level_shares

__all__ = [
    "Functional",
    "NodePosterior",
    "conditional_draws",
    "left_out_covariance",
    "linear",
    "new_variance",
    "node_draws",
    "predict_rows",
    "row_weights",
    "studies",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NodePosterior:
    """The posterior on its nodes.

    Attributes
    ----------
    tau : array of shape (N,)
        Zero under a common effect.
    weights, coarse : arrays of shape (N,)
        Posterior weights by the full rule, and by the embedded rule with half the nodes of each axis.
    mean, cov : arrays of shape (p, N), (p, p, N)
        Coefficients given the node, before truncation.
    log_evidence : float or None
        Log density of the data; None under an improper prior.
    error : float
        Largest relative difference between the two rules that was accepted.
    nodes : tuple of int
        Nodes per axis: standard deviations, then mixing scales.
    sds : array of shape (S, N)
        All standard deviations, in the order of ``problem.sds``.
    sd_marginals : mapping of str to Gridded
        Posterior of each standard deviation, by the names of ``problem.sds``.
    """

    problem: IntegrationProblem
    tau: FloatArray
    log_scales: FloatArray
    weights: FloatArray
    coarse: FloatArray
    mean: FloatArray
    cov: FloatArray
    tau_marginal: Gridded | None
    log_evidence: float | None
    error: float
    nodes: tuple[int, ...]
    sds: FloatArray = None  # type: ignore[assignment]
    sd_marginals: Mapping[str, Gridded] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        put = object.__setattr__
        if self.sds is None:
            put(
                self,
                "sds",
                np.array(self.tau)[None, :] if self.problem.tau is not None else np.empty((0, self.tau.size)),
            )
        if self.sd_marginals is None:
            put(self, "sd_marginals", {} if self.tau_marginal is None else {"tau": self.tau_marginal})
        put(self, "sd_marginals", MappingProxyType(dict(self.sd_marginals)))
        # one memory layout, so that sums run in one order and a loaded fit answers bit for bit as before
        for name in ("tau", "log_scales", "weights", "coarse", "mean", "cov", "sds"):
            array = np.array(getattr(self, name), float, order="C")
            array.flags.writeable = False
            put(self, name, array)


@dataclass(frozen=True, slots=True, eq=False)
class Functional:
    """Quantities that are Gaussian at each node.

    Attributes
    ----------
    mean, var : arrays of shape (M, N)
        Given the node, before truncation.
    cut_cov : array of shape (M, N) or None
        Covariance with the truncated coefficient, where there is one.
    moments : array of int of shape (M,)
        Highest posterior moment that exists, per quantity.
    """

    mean: FloatArray
    var: FloatArray
    cut_cov: FloatArray | None
    moments: NDArray[np.intp]


def linear(
    quadrature: NodePosterior,
    rows: FloatArray,
    new: Sequence[str | None],
    spread: tuple[str, float] | None = None,
) -> Functional:
    """Linear functions of the coefficients, with the spread of a new study added where requested.

    Parameters
    ----------
    rows : array of shape (M, p)
    new : sequence of M names or None
        ``"theta_new"`` is one estimate in a new study, with clusters of the variance ``tau**2 + within**2``;
        ``"theta_trial"`` its mean over estimates, with ``tau**2``.
    spread : (str, float), optional
        One more deviation, of so many times the named standard deviation.
    """
    problem = quadrature.problem
    if rows.shape[1] == 1:
        # a mean alone, which is nearly every refit
        mean, var = rows * quadrature.mean[0], np.square(rows) * quadrature.cov[0, 0]
    else:
        mean = rows @ quadrature.mean
        var = np.einsum("mp,pqn,mq->mn", rows, quadrature.cov, rows)
    moments = np.where(rows != 0, problem.column_moments, 2).min(axis=1)
    added = [
        ("tau", 1.0, [name is not None for name in new]),
        ("tau_within", 1.0, [name == "theta_new" for name in new]),
    ]
    if spread is not None:
        added.append((*spread, [True] * len(new)))
    # a quantity has the moments of the worst coefficient that it holds, and a new study also those of its spread
    if problem.spread is not None:
        var, moments = _with_levels(quadrature, rows, np.array([name is not None for name in new]), var, moments)
    for name, factor, flags in added:
        if name in problem.sds and any(flags):
            place, inside = problem.sds.index(name), np.array(flags)
            with np.errstate(over="ignore"):
                var = var + np.where(inside[:, None], np.square(factor * quadrature.sds[place]), 0.0)
            moments = np.where(inside, np.minimum(moments, problem.axes[place].moments), moments)
    cut_cov = None if problem.cut is None else np.einsum("mp,pn->mn", rows, quadrature.cov[:, problem.cut.column])
    return Functional(mean, var, cut_cov, moments)


def _with_levels(
    quadrature: NodePosterior, rows: FloatArray, inside: NDArray[np.bool_], var: FloatArray, moments: NDArray[np.intp]
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Add to the rows marked the variance of a new study, by their levels."""
    var, moments = var + np.where(inside[:, None], new_variance(quadrature, rows), 0.0), moments.copy()
    for axis, used in zip(quadrature.problem.axes, _shares(quadrature, rows).T > 0, strict=False):
        moments = np.where(inside & used, np.minimum(moments, axis.moments), moments)
    return var, moments


def _shares(quadrature: NodePosterior, rows: FloatArray) -> FloatArray:
    problem = quadrature.problem
    assert problem.spread is not None
    # a row that is no profile has no level, and no new study is one of it
    return np.clip(level_shares(problem.design, problem.spread.moderator, rows), 0.0, 1.0)


def new_variance(quadrature: NodePosterior, rows: FloatArray) -> FloatArray:
    """Variance of a new study's effect about its mean at each node, shape (M, N).

    Where tau differs by level it is that of the row's level; in a row that averages over levels it is averaged too.
    """
    problem = quadrature.problem
    with np.errstate(over="ignore"):
        if problem.spread is not None:
            return _shares(quadrature, rows) @ np.square(quadrature.sds[: len(problem.spread.priors)])
        # one estimate in a new trial varies by all of the SDs between and within trials
        places = [problem.sds.index(name) for name in ("tau", "tau_within") if name in problem.sds]
        return np.broadcast_to(np.square(quadrature.sds[places]).sum(axis=0), (len(rows), quadrature.tau.size))


def studies(quadrature: NodePosterior) -> Functional:
    """Study effects, in row order of the effects."""
    problem = quadrature.problem
    k, p = problem.X.shape
    size = quadrature.tau.size
    # in pieces that fit in memory: every study effect depends on every coefficient at every node
    step = max(1, int(4 * MAX_ELEMENTS // (k * p)))
    pieces = [_studies(quadrature, slice(start, start + step)) for start in range(0, size, step)]
    mean, var, cut_cov = pieces[0]
    if len(pieces) > 1:
        mean, var = (np.concatenate([piece[i] for piece in pieces], axis=1) for i in (0, 1))
        if cut_cov is not None:
            cut_cov = np.concatenate([piece[2] for piece in pieces if piece[2] is not None], axis=1)
    return Functional(mean, var, cut_cov, np.full(k, 2))


def _studies(quadrature: NodePosterior, part: slice) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    problem = quadrature.problem
    conditional = ConditionalMoments(np.empty(0), quadrature.mean[:, part], quadrature.cov[:, :, part])
    given = (problem.y, problem.X, problem.rotation)
    tau = quadrature.tau[part]
    if problem.spread is not None:
        taus = quadrature.sds[: len(problem.spread.priors), part]
        mean, var, slope = spreads.study_moments(taus, *given, problem.spread, conditional)
    elif problem.cluster is None:
        mean, var, slope = study_moments(tau, *given, conditional)
    else:
        within = problem.sd("tau_within", quadrature.sds)[part]
        mean, var, slope = clusters.study_moments(tau, within, *given, problem.cluster, conditional)
    if problem.cut is None:
        return mean, var, None
    return mean, var, np.einsum("kpn,pn->kn", slope, conditional.cov[:, problem.cut.column])


def node_draws(
    quadrature: NodePosterior, size: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Draw standard deviations, and the coefficients' moments given them.

    A single SD is drawn from its density. With several axes nodes are drawn, which are as fine as the answers.

    Returns
    -------
    sds : array of shape (S, size)
    mean, cov : arrays of shape (p, size), (p, p, size)
    """
    problem = quadrature.problem
    if len(problem.sds) + len(problem.scales) > 1:
        node = rng.choice(quadrature.tau.size, size=size, p=quadrature.weights)
        return quadrature.sds[:, node], quadrature.mean[:, node], quadrature.cov[:, :, node]
    sds = np.array([quadrature.sd_marginals[name].rvs(size, rng) for name in problem.sds]).reshape(-1, size)
    if problem.scales:
        node = rng.choice(quadrature.tau.size, size=size, p=quadrature.weights)
        return sds, quadrature.mean[:, node], quadrature.cov[:, :, node]
    conditional = problem.conditional(problem.sd("tau", sds), [], sds)
    return sds, conditional.mean, conditional.cov


def conditional_draws(quadrature: NodePosterior, size: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Draw the parameters of an exact fit together, as `nuts.condition` takes them.

    Returns
    -------
    dict
        ``coefficients`` (p, size), ``tau`` (size,) and, where the model has them, ``tau_within`` and ``sd{term}``.
    """
    problem = quadrature.problem
    sds, mean, cov = node_draws(quadrature, size, rng)
    factor = np.linalg.cholesky(np.moveaxis(cov, -1, 0))
    noise = rng.standard_normal((size, mean.shape[0]))
    beta = mean + np.einsum("nij,nj->in", factor, noise)
    if problem.cut is not None:
        beta = _truncate(beta, mean, cov, problem.cut.column, problem.cut.low, problem.cut.high, rng)
    draws = {"coefficients": beta, "tau": np.zeros(size)}
    if problem.spread is not None:
        # averaged over the observed mix
        shares = np.bincount(problem.spread.number) / problem.y.size
        draws["tau"] = np.sqrt(shares @ np.square(sds[: shares.size]))
    names = {f"sd[{term.name}]": f"sd{number}" for number, term in enumerate(problem.design.terms)}
    return draws | {names.get(name, name): values for name, values in zip(problem.sds, sds, strict=True)}


def _truncate(
    beta: FloatArray,
    mean: FloatArray,
    cov: FloatArray,
    column: int,
    low: float,
    high: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Replace one coefficient by a draw between two ends and move the others with it."""
    sd = np.sqrt(cov[column, column])
    a, b = (low - mean[column]) / sd, (high - mean[column]) / sd
    # in logarithms, and in the lower tail, so that a truncation that leaves only a far tail keeps its shape
    flip = a > 0
    lower, upper = np.where(flip, -b, a), np.where(flip, -a, b)
    log_p = np.logaddexp(special.log_ndtr(lower), np.log1p(-rng.random(sd.size)) + log_interval(lower, upper))
    z = special.ndtri_exp(np.minimum(log_p, 0.0))
    inside = np.clip(mean[column] + sd * np.where(flip, -z, z), low, high)
    return beta + cov[:, column] / cov[column, column] * (inside - beta[column])


def row_weights(quadrature: NodePosterior) -> FloatArray:
    """Coefficients of the estimates in the mean of mu, before truncation and averaged over nodes, shape ``(k,)``."""
    problem = quadrature.problem
    rows = np.einsum("pn,kp->kn", quadrature.cov[0], problem.X)
    if problem.spread is not None:
        taus = quadrature.sds[: len(problem.spread.priors)]
        rows = spreads.weigh_rows(rows, taus, problem.rotation, problem.spread)
    elif problem.cluster is None:
        with np.errstate(over="ignore"):
            rows = rows / (problem.rotation.a[:, None] + np.square(quadrature.tau) * problem.rotation.b[:, None])
    else:
        within = problem.sd("tau_within", quadrature.sds)
        rows = clusters.weigh_rows(rows, quadrature.tau, within, problem.rotation, problem.cluster)
    weights = rows @ quadrature.weights
    for members, forward, _ in problem.rotation.blocks:
        weights[members] = forward.T @ weights[members]
    return weights


def left_out_covariance(quadrature: NodePosterior, left: Effects, rho: float) -> FloatArray:
    """Covariance given the coefficients of rows that were not fitted, none of whose clusters was: shape ``(m, m, N)``.

    Sampling errors and study effects; ``rho`` is between study effects of one block, and plays no part with clusters.
    """
    problem = quadrature.problem
    shared = np.eye(left.k)
    if problem.cluster is None:
        for (members, _), R in zip(left.blocks, effect_correlations(left, rho), strict=True):
            shared[np.ix_(members, members)] = R
    elif left.cluster is not None:
        shared = np.equal.outer(np.array(left.cluster, object), np.array(left.cluster, object)).astype(float)
    if problem.spread is not None:
        taus = quadrature.sds[: len(problem.spread.priors)]
        return left.covariance()[:, :, None] + spreads.left_out(problem.spread, left, taus, shared)
    V = left.covariance()[:, :, None] + np.square(quadrature.tau) * shared[:, :, None]
    if problem.cluster is not None:
        V = V + np.square(problem.sd("tau_within", quadrature.sds)) * np.eye(left.k)[:, :, None]
    return V


def predict_rows(quadrature: NodePosterior, left: Effects, X: FloatArray, rho: float) -> tuple[float, float]:
    """Predict rows that were not fitted, none of whose clusters was, jointly.

    Parameters
    ----------
    X : array of shape (m, p)
        Their rows of the design.
    rho : float
        Correlation of study effects of one block.

    Returns
    -------
    log_density, p_value : float
        Log predictive density, and the two-sided p-value of their inverse-variance mean.
    """
    y, weights = left.y, quadrature.weights
    mean = X @ quadrature.mean
    V = left_out_covariance(quadrature, left, rho)
    V = V + np.einsum("ip,pqn,jq->ijn", X, quadrature.cov, X)
    if y.size == 1:
        sd = np.sqrt(V[0, 0])
        z = (y[0] - mean[0]) / sd
        density = np.exp(-0.5 * z * z) / (sd * math.sqrt(2 * math.pi))
        below = float(special.ndtr(z) @ weights)
        return math.log(float(density @ weights)), 2 * min(below, 1 - below)
    L = np.linalg.cholesky(np.moveaxis(V, -1, 0))
    scaled = np.linalg.solve(L, (y[:, None] - mean).T[:, :, None])[:, :, 0]
    log = -0.5 * (scaled**2).sum(axis=1) - np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
    log = log - 0.5 * y.size * math.log(2 * math.pi)
    peak = float(log.max())
    total = np.linalg.solve(left.covariance(), np.ones(y.size))
    total = total / total.sum()
    z = (total @ y - total @ mean) / np.sqrt(np.einsum("i,ijn,j->n", total, V, total))
    below = float(special.ndtr(z) @ weights)
    return peak + math.log(float(np.exp(log - peak) @ weights)), 2 * min(below, 1 - below)
