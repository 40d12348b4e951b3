"""Selection by p with moderators: coefficients and tau by importance sampling, the weights of p by quadrature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats
from scipy.stats import qmc

from bayesmeta.bias.dependence import ALONE, Pairs, shrink
from bayesmeta.bias.likelihood import Rows, log_likelihood
from bayesmeta.bias.regression import Columns
from bayesmeta.bias.specification import CandidateModel, StepSelection
from bayesmeta.errors import InferenceError
from bayesmeta.marginals import NormalMixture

__all__ = ["LIMIT", "Sampled", "sample_model"]

FloatArray = NDArray[np.float64]
#: Largest standard error of an evidence, relative.
LIMIT = 0.01
#: Scrambled nets whose spread is the error, the points of each to begin with, and at most (powers of two).
_NETS, _FIRST, _MOST = 8, 9, 14
#: Nodes of each weight, by how many weights there are: right to a thousandth.
_NODES = {1: 16, 2: 10, 3: 8}
#: Degrees of freedom of the proposal, whose tails must be heavier than the posterior's, and how much wider it is.
_DF, _WIDER = 5.0, 1.15
#: A kernel of this share of a quantity's SD stands for each draw; draws are pulled in so that the variance stays.
_KERNEL = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Weighted draws of coefficients and tau.

    Attributes
    ----------
    used : array of int
        Which columns are in the model.
    weights, tau : arrays of shape (N,)
    beta : array of shape (N, q)
    inner : tuple of int
        Nodes of each weight of p.
    """

    model: CandidateModel
    rows: Rows
    columns: Columns
    used: NDArray[np.intp]
    log_evidence: float
    error: float
    weights: FloatArray
    tau: FloatArray
    beta: FloatArray
    inner: tuple[int, ...]

    def some(self, count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Draws of equal weight: means of all trials (n, k), tau (n,), and the weights."""
        at = np.searchsorted(np.cumsum(self.weights), (np.arange(count) + 0.5) / count)
        at = np.minimum(at, self.weights.size - 1)
        return self.beta[at] @ self.columns.X[:, self.used].T, self.tau[at], np.full(count, 1.0 / count)

    def _smooth(self, values: FloatArray, sds: FloatArray) -> NormalMixture:
        centre = float(self.weights @ values)
        spread = math.sqrt(float(self.weights @ (values - centre) ** 2))
        pulled = centre + math.sqrt(1.0 - _KERNEL**2) * (values - centre)
        return NormalMixture(self.weights, pulled, np.sqrt(sds**2 + (_KERNEL * spread) ** 2))

    def quantity(self, row: FloatArray, scale: float, *, new: bool) -> NormalMixture:
        """``scale`` times a linear function of the coefficients, with the deviation of a new study."""
        w = scale * self.columns.weights(row)[self.used]
        return self._smooth(self.beta @ w, abs(scale * row[0]) * self.tau * new)

    def study(self, index: int, scale: float) -> NormalMixture:
        """``scale`` times the true effect of one trial, which selection of the estimate does not touch."""
        own, other, partner, variance = shrink(self.rows.se, self.rows.pairs, index, self.tau)
        means = self.beta @ self.columns.X[[index, partner]][:, self.used].T
        mean = own * self.rows.y[index] + other * self.rows.y[partner] + (1.0 - own) * means[:, 0] - other * means[:, 1]
        return self._smooth(scale * mean, abs(scale) * np.sqrt(variance))

    def share_above(self, row: FloatArray, distance: FloatArray, normal: FloatArray, scale: float) -> FloatArray:
        """P(quantity > distance + tau normal), of pairs of distance and normal quantile."""
        value = self.beta @ (scale * self.columns.weights(row)[self.used])
        edge = distance + np.where(self.tau[:, None] > 0, abs(scale) * self.tau[:, None] * normal, 0.0)
        return np.asarray(self.weights @ (value[:, None] > edge))

    @property
    def tau_marginal(self) -> NormalMixture | None:
        """Between-study SD; None under a common effect."""
        return None if self.model.tau is None else self._smooth(self.tau, np.zeros_like(self.tau))

    def draws(self, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draws of all coefficients (p, size), those that are not in the model zero, and of tau (size,)."""
        node = rng.choice(self.weights.size, size, p=self.weights)
        found = np.zeros((self.columns.X.shape[1], size))
        found[self.used] = self.beta[node].T
        return found, self.tau[node]


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """Log posterior of coefficients and the logarithm of tau, up to the evidence."""

    rows: Rows
    X: FloatArray
    sd: FloatArray
    model: CandidateModel
    nodes: tuple[int, ...]
    intercept: bool

    def log(self, theta: FloatArray) -> FloatArray:
        """At points (G, d)."""
        q = self.X.shape[1]
        beta = theta[:, :q]
        tau = np.zeros(len(theta)) if self.model.tau is None else np.exp(np.clip(theta[:, q], -300.0, 300.0))
        first = 1 if self.intercept else 0
        log = np.asarray(stats.norm.logpdf(beta[:, first:], 0.0, self.sd), float).sum(axis=1)
        with np.errstate(divide="ignore"):
            if self.intercept and self.model.mu is not None:
                log = log + self.model.mu.logpdf(beta[:, 0])
            if self.model.tau is not None:
                log = log + self.model.tau.logpdf(tau) + theta[:, q]
        found = np.full(len(theta), -np.inf)
        fine = np.isfinite(log)
        if fine.any():
            found[fine] = log[fine] + log_likelihood(self.rows, beta[fine] @ self.X.T, tau[fine], self.nodes)
        return np.where(np.isnan(found), -np.inf, found)


def sample_model(
    y: FloatArray,
    se: FloatArray,
    columns: Columns,
    model: CandidateModel,
    used: NDArray[np.intp],
    pairs: Pairs = ALONE,
    *,
    seed: int = 1,
) -> Sampled:
    """Integrate a model with selection by p and moderators, which do not integrate out analytically.

    A multivariate t around the mode, moved to the moments of a first round; scrambled Sobol points, whose independent
    nets tell the error.

    Parameters
    ----------
    used : array of int
        Columns that are in the model.
    pairs : Pairs
        Estimates that share patients; all others are independent.

    Raises
    ------
    InferenceError
        Where the error of the evidence stays above one percent.
    """
    assert isinstance(model.bias, StepSelection)
    rows = Rows.of(y, se, model.bias, pairs)
    count = len(model.bias.parameters)
    nodes = (_NODES.get(count, 6),) * count
    intercept = bool(used.size) and used[0] == 0
    target = _Target(
        rows,
        columns.X[:, used],
        columns.sd[used[1:] - 1] if intercept else columns.sd[used - 1],
        model,
        nodes,
        intercept,
    )
    centre, spread = _mode(target, y, se)
    power, rng = _FIRST, np.random.default_rng(seed)
    for _ in range(3):
        theta, log, _ = _round(target, centre, spread, power, rng)
        share = np.exp(log - special.logsumexp(log))
        centre = share @ theta
        away = theta - centre
        spread = np.linalg.cholesky((share[:, None] * away).T @ away + 1e-12 * np.diag(np.diag(spread @ spread.T)))
    while True:
        theta, log, error = _round(target, centre, spread, power, rng)
        if error <= LIMIT:
            break
        power += 1
        if power > _MOST:
            raise InferenceError(
                f"bias model {model.bias.name} with moderators: the evidence is known to {100 * error:.1f} % only, and "
                f"{100 * LIMIT:.0f} % is the limit. Leave a moderator out, or use PET and PEESE (ensemble 'pp')."
            )
    share = np.exp(log - special.logsumexp(log))
    kept = share > 1e-9
    q = used.size
    tau = np.zeros(theta.shape[0]) if model.tau is None else np.exp(theta[:, q])
    evidence = float(special.logsumexp(log) - math.log(log.size))
    return Sampled(
        model,
        rows,
        columns,
        used,
        evidence,
        error,
        share[kept] / share[kept].sum(),
        tau[kept],
        theta[kept][:, :q],
        nodes,
    )


def _mode(target: _Target, y: FloatArray, se: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The highest point, and a triangular factor of the covariance there."""
    q = target.X.shape[1]
    precision = 1.0 / (se**2 + np.var(y) / 2.0)
    sd = np.concatenate([[10.0], target.sd]) if target.intercept else target.sd
    cov = np.linalg.inv((target.X.T * precision) @ target.X + np.diag(sd**-2)) if q else np.empty((0, 0))
    start = cov @ (target.X.T @ (precision * y))
    scale = np.sqrt(np.diag(cov))
    if target.model.tau is not None:
        start, scale = np.append(start, math.log(0.5 * float(np.std(y)) + 0.1 * float(se.min()))), np.append(scale, 0.5)

    def lost(z: FloatArray) -> float:
        return -float(target.log((start + scale * z)[None])[0])

    found = optimize.minimize(lost, np.zeros(start.size), method="BFGS", options={"maxiter": 80, "gtol": 1e-3})
    step = 0.05 * np.eye(start.size)
    points = np.array([found.x + a + b for a in step for b in step] + [found.x + a - b for a in step for b in step])
    values = target.log(start + scale * points).reshape(2, start.size, start.size)
    hessian = -(values[0] - 0.5 * (values[1] + values[1].T)) / (2 * 0.05**2)
    hessian = 0.5 * (hessian + hessian.T)
    size, vectors = np.linalg.eigh(np.where(np.isfinite(hessian), hessian, 0.0))
    # a direction in which it is flat, or not a top, is as wide as without selection
    inverse = (vectors / np.clip(size, 0.2, None)) @ vectors.T
    return start + scale * found.x, np.linalg.cholesky(inverse * np.outer(scale, scale))


def _round(
    target: _Target, centre: FloatArray, spread: FloatArray, power: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, float]:
    """Points, log importance weights, and the relative standard error of their mean."""
    d = centre.size
    points, logs = [], []
    for _ in range(_NETS):
        u = qmc.Sobol(d + 1, seed=rng).random_base2(power)
        u = np.clip(u, 1e-12, 1 - 1e-12)
        normal = special.ndtri(u[:, :d])
        chi = special.chdtri(_DF, 1.0 - u[:, d]) / _DF
        t = normal / np.sqrt(chi)[:, None]
        theta = centre + _WIDER * t @ spread.T
        log_proposal = (
            special.gammaln(0.5 * (_DF + d))
            - special.gammaln(0.5 * _DF)
            - 0.5 * d * math.log(_DF * math.pi)
            - np.log(np.abs(np.diag(spread))).sum()
            - d * math.log(_WIDER)
            - 0.5 * (_DF + d) * np.log1p((t * t).sum(axis=1) / _DF)
        )
        points.append(theta)
        logs.append(target.log(theta) - log_proposal)
    each = np.array([special.logsumexp(log) for log in logs])
    means = np.exp(each - each.max())
    error = float(means.std(ddof=1) / math.sqrt(_NETS) / means.mean())
    return np.concatenate(points), np.concatenate(logs), error
