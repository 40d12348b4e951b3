"""Draws of parameters and study effects from a posterior on nodes; functions of arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bayesmeta import clusters
from bayesmeta.effects import Effects
from bayesmeta.problem import Problem, Quadrature

__all__ = ["node_draws", "prior_sds", "study_draws", "trial_log_likelihood"]

FloatArray = NDArray[np.float64]


def node_draws(
    quadrature: Quadrature, size: int, rng: np.random.Generator
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


def study_draws(problem: Problem, sds: FloatArray, beta: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw the study effects given draws of the SDs, shape (S, size), and coefficients, (p, size): shape (k, size)."""
    tau = problem.sd("tau", sds) if problem.sds else np.zeros(beta.shape[1])
    if problem.cluster is not None:
        within = problem.sd("tau_within", sds)
        return clusters.study_draws(tau, within, beta, problem.y, problem.X, problem.rotation, problem.cluster, rng)
    a, b = problem.rotation.a[:, None], problem.rotation.b[:, None]
    share = np.square(tau) * b / (a + np.square(tau) * b)
    mean = problem.X @ beta
    rotated = mean + share * (problem.y[:, None] - mean)
    rotated = rotated + np.sqrt(share * a) * rng.standard_normal(rotated.shape)
    return problem.rotation.unapply(rotated)


def trial_log_likelihood(
    problem: Problem, effects: Effects, sds: FloatArray, beta: FloatArray
) -> tuple[tuple[str, ...], FloatArray]:
    """Log density of each trial's rows with its study effects integrated out, shape ``(trials, size)``.

    Trials that share patients or a cluster are one.
    """
    tau = problem.sd("tau", sds) if problem.sds else np.zeros(beta.shape[1])
    if problem.cluster is not None:
        within = problem.sd("tau_within", sds)
        rows = clusters.log_likelihood(tau, within, beta, problem.y, problem.X, problem.rotation, problem.cluster)
        names, unit = clusters.units(effects, problem.cluster)
    else:
        variance = problem.rotation.a[:, None] + np.square(tau) * problem.rotation.b[:, None]
        residual = problem.y[:, None] - problem.X @ beta
        rows = -0.5 * (math.log(2 * math.pi) + np.log(variance) + residual**2 / variance)
        for members, forward, _ in problem.rotation.blocks:
            rows[members[0]] += math.log(abs(np.linalg.det(forward)))
        names, unit = effects.units
    result = np.zeros((len(names), tau.size))
    np.add.at(result, unit, rows)
    return names, result


def prior_sds(problem: Problem, uniform: FloatArray) -> FloatArray:
    """Draws of the SDs from their priors, from uniform numbers, each of shape (S, size)."""
    return np.array([axis.prior.ppf(u) for axis, u in zip(problem.axes, uniform, strict=True)]).reshape(uniform.shape)
