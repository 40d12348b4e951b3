"""The posterior of mean and heterogeneity from an estimate, a typical standard error and Q, by quadrature over tau."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta import numerics
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.exact import moment_limit, narrow, tau_axis, tau_log_prior
from bayesmeta.marginals import Gridded, NormalMixture
from bayesmeta.priors import Flat, Normal, Prior, resolve

__all__ = ["JointPosterior", "mean_and_heterogeneity", "mean_posterior"]

FloatArray = NDArray[np.float64]
TOLERANCE = 1e-10
FIRST_NODES, MOST_NODES = 129, 8193
# where distribution functions of nested rules are compared, in SDs about the middle
_POINTS = np.linspace(-4, 4, 17)
_NONE = np.empty((0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class JointPosterior:
    """Posterior of the mean, of the effect in a new study, and of tau.

    Attributes
    ----------
    mu, theta_new : NormalMixture
    tau : Gridded
    error : float
        Largest change of a distribution function when every second node is left out.
    """

    mu: NormalMixture
    theta_new: NormalMixture
    tau: Gridded
    error: float


def _check_priors(mu: Prior, tau: Prior | None = None) -> None:
    if not isinstance(mu, (Normal, Flat)):
        raise ModelError(f"{mu!r} for the mean: a published result is re-analysed with a normal prior, or flat().")
    if tau is not None and (not tau.proper or tau.support[0] < 0):
        raise ModelError(f"{tau!r} for tau: give a proper prior of a positive quantity, such as halfnormal(0.5).")


def _given(y: float, variance: FloatArray, mu: Prior) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and variance of mu given tau, and the log density of the estimate."""
    if isinstance(mu, Normal):
        prior = mu.sd**2
        total = variance + prior
        mean = mu.mean + (y - mu.mean) * (prior / total)
        return mean, prior * (variance / total), -0.5 * (np.log(total) + (y - mu.mean) ** 2 / total)
    return np.full(variance.shape, y), variance, np.zeros(variance.shape)


def mean_posterior(y: float, se: float, mu: Prior) -> NormalMixture:
    """Posterior of a mean whose estimate has a known standard error.

    Parameters
    ----------
    y, se : float
    mu : Normal or Flat

    Examples
    --------
    >>> posterior = mean_posterior(-0.5, 0.3, Normal(0, 0.4))
    >>> round(posterior.mean, 3), round(posterior.sd, 3)
    (-0.32, 0.24)
    """
    mu = resolve(mu)
    _check_priors(mu)
    mean, variance, _ = _given(y, np.array([se * se]), mu)
    return NormalMixture(np.ones(1), mean, np.sqrt(variance))


def mean_and_heterogeneity(
    y: float,
    mu: Prior,
    tau: Prior,
    *,
    se: float | None = None,
    s: float | None = None,
    k: int = 1,
    q: float | None = None,
    at_most: bool = False,
) -> JointPosterior:
    """Posterior of mean and heterogeneity for k trials of one variance, of which estimate and Q are known.

    Given tau the estimate is ``normal(mu, (s**2 + tau**2) / k)`` and, independently of it, Q is
    ``(1 + tau**2 / s**2)`` times a chi-squared variable with k - 1 degrees of freedom. All is Gaussian given tau, so
    that one integral is left; nodes are doubled until distribution functions settle to 1e-10.

    Parameters
    ----------
    y : float
        Pooled estimate.
    mu : Normal or Flat
        Prior of the mean.
    tau : Prior
        Of the heterogeneity, proper.
    se : float, optional
        Standard error of the estimate where ``s`` is not known; tau then has its prior.
    s : float, optional
        Standard error of one trial.
    k : int
        Number of trials.
    q : float, optional
        Cochran's Q; None where nothing is known of it.
    at_most : bool
        Only ``Q <= q`` is known: an I2 of zero.

    Returns
    -------
    Joint

    Raises
    ------
    ModelError
        For another family of priors.
    InferenceError
        If the integral does not settle.

    Examples
    --------
    >>> joint = mean_and_heterogeneity(-0.62, bm.Normal(0, 1), bm.HalfNormal(0.5), s=0.27, k=7, q=21.1)
    >>> round(float(joint.tau.quantile(0.5)), 2), round(float(joint.mu.cdf(0.0)), 3)
    (0.42, 0.995)
    """
    mu, tau = resolve(mu), resolve(tau)
    _check_priors(mu, tau)
    flat = isinstance(mu, Flat)
    if s is None and se is None:
        raise ModelError("give se, the standard error of the estimate, or s, that of one trial.")
    scale = s if s is not None else se
    assert scale is not None
    # rows that hold tau down: the k - 1 of Q, and the estimate itself where its variance depends on tau
    rows = 0 if s is None else 1 if q is None else k
    of_tau, of_mu, _ = moment_limit(tau, rows, int(flat and s is not None), 0.0 if flat and s is not None else math.inf)
    axis = tau_axis(tau, scale)

    def parts(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        at = axis.variable.x(z)
        log = tau_log_prior(tau, z, axis.variable, _NONE, _NONE)
        variance = np.full(at.shape, scale * scale) if s is None else (s * s + at * at) / k
        mean, inner, log_estimate = _given(y, variance, mu)
        if s is not None:
            log = log + log_estimate
            if q is not None:
                log = log + _log_q(q, k - 1, 1 + (at / s) ** 2, at_most)
        return at, log, mean, inner

    def integrand(z: FloatArray) -> FloatArray:
        return parts(z)[1]

    def with_moments(z: FloatArray) -> FloatArray:
        at, log, _, _ = parts(z)
        return log + max(of_tau, of_mu) * np.log1p(at / scale)

    first, second = narrow(integrand, axis.scan), narrow(with_moments, axis.scan)
    window = (min(first[0], second[0]), max(first[1], second[1]))
    n = FIRST_NODES
    while True:
        nodes, rule = numerics.rule(n)
        half = 0.5 * (window[1] - window[0])
        at, log, mean, inner = parts(0.5 * (window[0] + window[1]) + half * nodes)
        density = np.exp(log - log.max())
        fine, coarse = rule * density, np.zeros(n)
        coarse[::2] = numerics.rule((n + 1) // 2)[1] * density[::2]
        series = numerics.coefficients(density)
        tail = float(np.abs(series[-3:]).max() / np.abs(series).max())
        error = max(_change(fine, coarse, mean, inner, at), 0.1 * tail)
        if error <= TOLERANCE:
            break
        n = 2 * n - 1
        if n > MOST_NODES:
            raise InferenceError(f"the integral over tau did not settle (reached {error:.1e}); use a smoother prior.")
    keep = fine > 0
    weights = fine[keep] / fine[keep].sum()
    mean, inner, at = mean[keep], inner[keep], at[keep]
    return JointPosterior(
        NormalMixture(weights, mean, np.sqrt(inner), of_mu),
        NormalMixture(weights, mean, np.sqrt(inner + at * at), min(of_tau, of_mu)),
        Gridded(np.array(window), density[None, :], axis.variable, of_tau),
        error,
    )


def _log_q(q: float, df: int, phi: FloatArray, at_most: bool) -> FloatArray:
    """Log likelihood of Q = q, or of Q <= q, where Q is phi times chi-squared with df degrees of freedom."""
    if df < 1:
        return np.zeros(phi.shape)
    if at_most:
        with np.errstate(divide="ignore", under="ignore"):
            return np.log(special.gammainc(df / 2, q / (2 * phi)))
    return -0.5 * df * np.log(phi) - q / (2 * phi)


def _change(fine: FloatArray, coarse: FloatArray, mean: FloatArray, inner: FloatArray, at: FloatArray) -> float:
    """Largest difference that half of the nodes makes to mass and distribution functions."""
    if not (fine.sum() > 0 and coarse.sum() > 0):
        return math.inf
    change = float(abs(coarse.sum() / fine.sum() - 1))
    weights, thin = fine / fine.sum(), coarse / coarse.sum()
    for variance in (inner, inner + at * at):
        heaviest = int(np.argmax(weights))
        points = mean[heaviest] + math.sqrt(float(variance[heaviest])) * _POINTS
        below = special.ndtr((points[:, None] - mean) / np.sqrt(variance))
        change = max(change, float(np.abs(below @ (weights - thin)).max()))
    return change
