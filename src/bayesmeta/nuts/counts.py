"""The binomial likelihood with study effects and control risks integrated out, for model comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.exact import arm_log_marginal
from bayesmeta.nuts.rows import HierarchicalRows, control_arms
from bayesmeta.priors import resolve

__all__ = ["marginal_log_likelihood"]

FloatArray = NDArray[np.float64]
# nodes per dimension of the adaptive rule: against 41 the log likelihood of BCG moves by less than 1e-4
NODES = 15
# spread of the proposal relative to the normal approximation, so that its tails cover those of the integrand
WIDER = 1.5


def log_binomial(x: FloatArray, n: FloatArray, log_p: FloatArray, log_q: FloatArray) -> FloatArray:
    """Log probability of x events among n; ``log_q`` is the log of one minus the risk."""
    constant = special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1)
    with np.errstate(invalid="ignore"):
        return constant + np.where(x > 0, x * log_p, 0.0) + np.where(n - x > 0, (n - x) * log_q, 0.0)


def treated_log_risks(measure: str, alpha: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logs of the treated arm's risk and of its complement; minus infinity where the risk leaves 0 to 1."""
    if measure == "OR":
        logit = alpha + theta
        return -np.logaddexp(0, -logit), -np.logaddexp(0, logit)
    risk = np.exp(-np.logaddexp(0, -alpha) + theta) if measure == "RR" else special.expit(alpha) + theta
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p, log_q = np.log(risk), np.log1p(-risk)
    outside = ~((risk > 0) & (risk < 1))
    return np.where(outside, -np.inf, log_p), np.where(outside, -np.inf, log_q)


def marginal_log_likelihood(h: HierarchicalRows, draws: Mapping[str, FloatArray]) -> FloatArray:
    """Log probability of each unit's counts given the parameters, shape (units, N).

    Of one arm by `bayesmeta.exact.arm_log_marginal`. Of a unit with one row of two arms, by a Gauss-Hermite rule in two
    dimensions around its crude estimates. Units with rows that share a control arm are evaluated row by row given the
    drawn control risk, which is the conditional density of the treated arms plus that of the control.
    """
    effects, tau = h.effects, draws["tau"]
    assert effects.counts is not None
    eta = h.X @ draws["coefficients"]
    if h.one_arm:
        result = np.zeros((len(h.units), tau.size))
        for row in range(effects.k):
            result[h.row_unit[row]] += arm_log_marginal(effects.counts[row : row + 1], eta[row], tau)[0]
        return result
    controls, arm = control_arms(effects)
    result = np.zeros((len(h.units), tau.size))
    single = np.bincount(arm)[arm] == 1
    for row in range(effects.k):
        if single[row]:
            result[h.row_unit[row]] += _one_row(h, row, eta[row], tau)
            continue
        x_t, n_t = effects.counts[row, :2]
        alpha = draws["baseline"][arm[row]]
        value = log_binomial(x_t, n_t, *treated_log_risks(effects.measure, alpha, draws["theta"][row]))
        if arm.tolist().index(arm[row]) == row:
            x_c, n_c = controls[arm[row]]
            value = value + log_binomial(x_c, n_c, -np.logaddexp(0, -alpha), -np.logaddexp(0, alpha))
        result[h.row_unit[row]] += value
    return result


def _one_row(h: HierarchicalRows, row: int, eta: FloatArray, tau: FloatArray) -> FloatArray:
    effects, prior = h.effects, h.model.baseline
    assert effects.counts is not None
    assert prior is not None
    x_t, n_t, x_c, n_c = effects.counts[row]
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    log_weights = np.log(weights) - 0.5 * math.log(2 * math.pi) + 0.5 * nodes**2
    # the control risk around its crude log odds; the effect around the normal approximation given the draw
    centre, spread = (
        math.log((x_c + 0.5) / (n_c - x_c + 0.5)),
        WIDER * math.sqrt(1 / (x_c + 0.5) + 1 / (n_c - x_c + 0.5)),
    )
    alpha = centre + spread * nodes
    control = log_binomial(x_c, n_c, -np.logaddexp(0, -alpha), -np.logaddexp(0, alpha))
    control = control + resolve(prior).logpdf(alpha) + math.log(spread) + log_weights
    if h.model.tau is None:
        treated = log_binomial(x_t, n_t, *treated_log_risks(effects.measure, alpha[:, None], eta))
        return np.asarray(special.logsumexp(control[:, None] + treated, axis=0))
    # given the control risk the treated arm alone informs the effect, with about the variance of its own log odds
    own = _own_variance(effects.measure, x_t, n_t)
    target = _own_estimate(effects.measure, x_t, n_t, alpha)[:, None]
    variance = 1 / (1 / own + 1 / np.maximum(tau, 1e-12) ** 2)
    middle = variance * (target / own + eta / np.maximum(tau, 1e-12) ** 2)
    sd = WIDER * np.sqrt(variance)
    theta = middle[:, None, :] + sd * nodes[:, None]
    treated = log_binomial(x_t, n_t, *treated_log_risks(effects.measure, alpha[:, None, None], theta))
    z = (theta - eta) / np.maximum(tau, 1e-12)
    treated = treated - 0.5 * math.log(2 * math.pi) - np.log(np.maximum(tau, 1e-12)) - 0.5 * z * z + np.log(sd)
    inner = special.logsumexp(treated + log_weights[:, None], axis=1)
    return np.asarray(special.logsumexp(control[:, None] + inner, axis=0))


def _own_variance(measure: str, x: float, n: float) -> float:
    p = (x + 0.5) / (n + 1)
    return {"OR": 1 / (n * p * (1 - p) + 0.25), "RR": (1 - p) / (n * p + 0.25), "RD": p * (1 - p) / n}[measure]


def _own_estimate(measure: str, x: float, n: float, alpha: FloatArray) -> FloatArray:
    p = (x + 0.5) / (n + 1)
    if measure == "OR":
        return math.log(p / (1 - p)) - alpha
    return math.log(p) + np.logaddexp(0, -alpha) if measure == "RR" else p - special.expit(alpha)
