"""A candidate model with moderators and no selection by p: coefficients analytic, integrals over tau and a slope."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.bias.dependence import ALONE, Pairs, log_determinant, precision_times, shrink
from bayesmeta.bias.integration import TOLERANCE, tau_variable, tau_window
from bayesmeta.bias.likelihood import Rows
from bayesmeta.bias.specification import PEESE, PET, CandidateModel
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.marginals import Gridded, Marginal, NormalMixture, from_density
from bayesmeta.numerics import embedded, rule
from bayesmeta.priors import Normal

__all__ = ["Columns", "Regression", "regress"]

FloatArray = NDArray[np.float64]
_FIRST, _MOST, _SLOPES = 65, 2049, 257
_LIGHT = 1e-13


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Columns of moderators, and what a row of the design makes of them.

    Attributes
    ----------
    X : array of shape (k, p)
        A column of ones, then those of the moderators, whose mean over levels, or over rows, is zero.
    sd : array of shape (p - 1,)
        Prior SD of each coefficient after the first; their prior means are zero.
    shift : array of shape (p - 1,)
        Mean of each column over the rows: ``mu`` of a design, the mean over the observed mix, is the first coefficient
        plus ``shift`` times the others.
    """

    X: FloatArray
    sd: FloatArray
    shift: FloatArray

    def weights(self, row: FloatArray) -> FloatArray:
        """Weights of the coefficients in a quantity of the design, shape (p,)."""
        return np.concatenate([row[:1], row[1:] + row[0] * self.shift])


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """Posterior on nodes of tau and, with PET and PEESE, of the slope.

    Attributes
    ----------
    used : array of int
        Which columns are in the model.
    weights, tau : arrays of shape (N,)
        Of the nodes; tau is zero under a common effect.
    slope : array of shape (N,)
    mean, cov : arrays of shape (N, q), (N, q, q)
        Coefficients given the node.
    tau_marginal : Gridded or None
    given_tau : tuple of three arrays of shape (T,)
        What nodes of tau hold, and the linear and quadratic part of the log likelihood of a slope there.
    """

    model: CandidateModel
    rows: Rows
    columns: Columns
    used: NDArray[np.intp]
    log_evidence: float
    error: float
    weights: FloatArray
    tau: FloatArray
    slope: FloatArray
    mean: FloatArray
    cov: FloatArray
    tau_marginal: Gridded | None
    given_tau: tuple[FloatArray, FloatArray, FloatArray]

    def quantity(self, row: FloatArray, scale: float, *, new: bool) -> Marginal:
        """``scale`` times a linear function of the coefficients, with the deviation of a new study."""
        w = scale * self.columns.weights(row)[self.used]
        variance = np.einsum("i,nij,j->n", w, self.cov, w) + (scale * row[0] * self.tau) ** 2 * new
        return NormalMixture(self.weights, self.mean @ w, np.sqrt(np.maximum(variance, 0.0)))

    def study(self, index: int, scale: float) -> Marginal:
        """``scale`` times the true effect of one trial."""
        x = self.columns.X[:, self.used]
        own, other, partner, variance = shrink(self.rows.se, self.rows.pairs, index, self.tau)
        shift = (
            self.slope * self.rows.regressor[:, None]
            if self.model.bias is not None
            else np.zeros((self.rows.y.size, 1))
        )
        away = self.rows.y[:, None] - shift
        row = x[index] - own[:, None] * x[index] - other[:, None] * x[partner]
        mean = own * away[index] + other * away[partner] + np.einsum("ni,ni->n", row, self.mean)
        variance = variance + np.einsum("ni,nij,nj->n", row, self.cov, row)
        return NormalMixture(self.weights, scale * mean, abs(scale) * np.sqrt(np.maximum(variance, 0.0)))

    def share_above(self, row: FloatArray, distance: FloatArray, normal: FloatArray, scale: float) -> FloatArray:
        """P(quantity > distance + tau normal), of pairs of distance and normal quantile."""
        w = scale * self.columns.weights(row)[self.used]
        sd = np.sqrt(np.einsum("i,nij,j->n", w, self.cov, w))[:, None]
        edge = distance + np.where(self.tau[:, None] > 0, abs(scale) * self.tau[:, None] * normal, 0.0)
        away = (self.mean @ w)[:, None] - edge
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.where(sd > 0, special.ndtr(away / sd), away > 0)
        return np.asarray(self.weights @ inside)

    def slope_of(self) -> Marginal:
        """The slope of PET or PEESE."""
        form = self.model.bias
        assert isinstance(form, PET | PEESE)
        held, lin, quad = self.given_tau
        _, log_mass = _slopes(form, lin, quad)
        slope = _slopes(form, lin, quad)[0]
        log_total = special.logsumexp(log_mass + slope * lin[:, None] - 0.5 * slope**2 * quad[:, None], axis=1)

        def density(b: FloatArray) -> FloatArray:
            log = form.slope.logpdf(b) + lin[:, None] * b - 0.5 * quad[:, None] * b * b - log_total[:, None]
            return np.asarray(held @ np.exp(log))

        top = float(slope.max())
        return from_density(density, top * np.array([0.0, 0.02, 0.1, 0.25, 0.5, 1.0]), tolerance=1e-9)

    def draws(self, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Draws of all coefficients (p, size), those that are not in the model zero, and of tau (size,)."""
        node = rng.choice(self.weights.size, size, p=self.weights)
        found = np.zeros((self.columns.X.shape[1], size))
        if self.used.size:
            vectors = np.linalg.cholesky(self.cov[node] + 1e-300 * np.eye(self.used.size))
            found[self.used] = (
                self.mean[node] + np.einsum("nij,nj->ni", vectors, rng.standard_normal((size, self.used.size)))
            ).T
        return found, self.tau[node]


def _closed(
    rows: Rows, X: FloatArray, prior_mean: FloatArray, prior_sd: FloatArray, tau: FloatArray
) -> tuple[FloatArray, ...]:
    """Closed forms at each tau, the coefficients integrated out.

    Returns
    -------
    log0, linear, quadratic : arrays of shape (T,)
        Log density at slope zero, and what it gains with the slope: ``linear s - quadratic s^2 / 2``.
    mean, push : arrays of shape (T, q)
        The coefficients' mean at slope 0, and what a unit of slope takes from it.
    cov : array of shape (T, q, q)
    """
    r = rows.y - X @ prior_mean
    x = rows.regressor if rows.bias is not None else np.zeros_like(r)
    XtW = precision_times(rows.se, rows.pairs, tau, X).transpose(0, 2, 1)
    A = XtW @ X + np.diag(prior_sd**-2)
    products = rows.sums(tau, r, x)
    cov = np.linalg.inv(A) if X.shape[1] else np.zeros((tau.size, 0, 0))
    pull, push = XtW @ r, XtW @ x
    half, other = np.einsum("tij,tj->ti", cov, pull), np.einsum("tij,tj->ti", cov, push)
    rr = products[:, 0, 0] - (pull * half).sum(axis=1)
    xr = products[:, 0, 1] - (push * half).sum(axis=1)
    xx = products[:, 1, 1] - (push * other).sum(axis=1)
    log0 = -0.5 * (r.size * math.log(2.0 * math.pi) + log_determinant(rows.se, rows.pairs, tau) + rr)
    log0 -= 0.5 * np.linalg.slogdet(A)[1] + np.log(prior_sd).sum()
    return log0, xr, xx, half + prior_mean, other, cov


def regress(
    y: FloatArray,
    se: FloatArray,
    columns: Columns,
    model: CandidateModel,
    used: NDArray[np.intp],
    pairs: Pairs = ALONE,
) -> Regression:
    """Integrate a model without selection by p.

    Parameters
    ----------
    used : array of int
        Columns that are in the model.
    pairs : Pairs
        Estimates that share patients; all others are independent.

    Raises
    ------
    ModelError
        For a prior of mu that is not normal.
    InferenceError
        Where the nodes do not settle.
    """
    rows = Rows.of(y, se, model.bias, pairs)
    prior_mean, prior_sd = np.zeros(columns.X.shape[1]), np.concatenate([[1.0], columns.sd])
    if model.mu is not None:
        if not isinstance(model.mu, Normal):
            raise ModelError(f"an average with moderators needs a normal prior of mu, and this one is {model.mu!r}.")
        prior_mean[0], prior_sd[0] = model.mu.mean, model.mu.sd
    X, m, s = columns.X[:, used], prior_mean[used], prior_sd[used]
    variable = tau_variable(model.tau, se)

    def at(u: FloatArray) -> tuple[FloatArray, ...]:
        tau = u if model.tau is None else variable.x(u)
        log0, lin, quad, mean, push, cov = _closed(rows, X, m, s, tau)
        if model.tau is not None:
            with np.errstate(divide="ignore"):
                log0 = log0 + model.tau.logpdf(tau) + variable.log_jacobian(u)
        if not isinstance(model.bias, PET | PEESE):
            return tau, np.zeros((u.size, 1)), log0[:, None], mean, push, cov
        slope, log_mass = _slopes(model.bias, lin, quad)
        log = log0[:, None] + log_mass + slope * lin[:, None] - 0.5 * slope**2 * quad[:, None]
        return tau, slope, log, mean, push, cov

    low, high = (
        (0.0, 0.0)
        if model.tau is None
        else tau_window(lambda u: special.logsumexp(at(u)[2], axis=1), model.tau, variable, se, float(np.ptp(y)))
    )
    count = 1 if model.tau is None else _FIRST
    while True:
        u = np.array([0.0]) if count == 1 else 0.5 * (low + high) + 0.5 * (high - low) * rule(count)[0]
        tau, slope, log, mean, push, cov = at(u)
        peak = float(log.max())
        value = np.exp(log - peak)
        full, coarse = (np.ones(1),) * 2 if count == 1 else (rule(count)[1], embedded(count))
        reach = 1.0 if count == 1 else 0.5 * (high - low)
        held = reach * value.sum(axis=1)
        total = float(full @ held)
        change = abs(math.log(float(coarse @ held) / total)) if count > 1 else 0.0
        if count > 1:
            t = np.tanh((tau - full * held @ tau / total) / max(float(np.sqrt(full * held @ tau**2 / total)), 1e-300))
            change = max(change, abs(float((coarse - full) * held @ t / total)))
        if change <= TOLERANCE:
            break
        count = 2 * count - 1
        if count > _MOST:
            raise InferenceError(f"bias model: the integral did not settle to {TOLERANCE:g} (reached {change:.1e}).")
    mass = full[:, None] * reach * value / total
    kept = mass > _LIGHT
    node, number = np.nonzero(kept)
    shares = mass[kept] / mass[kept].sum()
    marginal = None if model.tau is None else Gridded(np.array([low, high]), (held / reach / total)[None, :], variable)
    _, lin, quad, *_ = _closed(rows, X, m, s, tau)
    held = mass.sum(axis=1)
    return Regression(
        model=model,
        rows=rows,
        columns=columns,
        used=used,
        log_evidence=peak + math.log(total),
        error=change,
        weights=shares,
        tau=tau[node],
        slope=slope[node, number],
        mean=mean[node] - slope[node, number, None] * push[node],
        cov=cov[node],
        tau_marginal=marginal,
        given_tau=(held[held > _LIGHT], lin[held > _LIGHT], quad[held > _LIGHT]),
    )


def _slopes(form: PET | PEESE, lin: FloatArray, quad: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Nodes of a slope, and log prior mass at each, (T, S); over its root, as most priors have their mass near zero."""
    quad = np.maximum(quad, 1e-300)
    best, sd = lin / quad, 1.0 / np.sqrt(quad)
    low, high = np.sqrt(np.maximum(best - 9.0 * sd, 0.0)), np.sqrt(np.maximum(best, 0.0) + 9.0 * sd)
    t, weights = rule(_SLOPES)
    root = 0.5 * (low + high)[:, None] + 0.5 * (high - low)[:, None] * t
    with np.errstate(divide="ignore"):
        log = np.log(weights) + np.log(0.5 * (high - low))[:, None] + np.log(2.0 * root)
    return root**2, log + form.slope.logpdf(root**2)
