"""Selection by p value: where p lies, what a trial's chances are, and the integral over the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.bias.specification import StepSelection
from bayesmeta.bias.stated import StatedSelection

__all__ = ["Cells", "Chances", "WeightRule", "cell_probabilities", "cells_of", "log_weight_integral", "weight_rule"]

FloatArray = NDArray[np.float64]
#: Probabilities that are multiplied before a logarithm is taken: none is below 1e-17 where anything depends on it.
_MULTIPLIED = 16
#: Numbers in one array of points by weights: it stays in the cache, and a product of matrices of this size starts no
#: threads of its own, which would wait for each other.
_ROOM = 6e4


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Estimates under a step function of p.

    Attributes
    ----------
    cuts : array of shape (k, C)
        Values of y that part the cells of constant weight, ascending.
    member : array of shape (C + 1, J)
        To which interval of p a cell belongs, from the most to the least significant.
    group : array of int of shape (k,)
        The interval of each estimate.
    trials : array of int of shape (J,)
        Estimates per interval.
    """

    cuts: FloatArray
    member: FloatArray
    group: NDArray[np.intp]
    trials: NDArray[np.intp]


def cells_of(y: FloatArray, se: FloatArray, form: StepSelection | StatedSelection) -> Cells:
    """Put estimates into the intervals of p, effects turned so that the direction of selection is positive."""
    steps, two = np.array(form.steps), form.sides == "two"
    critical = -special.ndtri(steps * (0.5 if two else 1.0))
    p = 2.0 * special.ndtr(-np.abs(y / se)) if two else special.ndtr(-y / se)
    group, count = np.searchsorted(steps, p, side="left"), steps.size
    if two:
        z, order = np.concatenate([-critical, critical[::-1]]), [*range(count + 1), *range(count)[::-1]]
    else:
        z, order = critical[::-1], [*range(count + 1)][::-1]
    return Cells(se[:, None] * z, np.eye(count + 1)[order], group, np.bincount(group, minlength=count + 1))


def cell_probabilities(cells: Cells, centre: FloatArray, spread: FloatArray) -> FloatArray:
    """Probability of each interval of p before selection.

    Parameters
    ----------
    centre, spread : arrays of shape (G, k)
        Mean and SD of each estimate, at G points.

    Returns
    -------
    array of shape (G, k, J)
    """
    u = (cells.cuts - centre[..., None]) / spread[..., None]
    # each difference in the tail where both terms are small, so that nothing is lost far from the mean
    tail, negative = special.ndtr(-np.abs(u)), u < 0
    below, above = np.where(negative, tail, 1.0 - tail), np.where(negative, 1.0 - tail, tail)
    middle = np.where(u[..., :-1] > 0, above[..., :-1] - above[..., 1:], below[..., 1:] - below[..., :-1])
    return np.asarray(np.concatenate([below[..., :1], middle, above[..., -1:]], axis=-1) @ cells.member)


@dataclass(frozen=True, slots=True, eq=False)
class WeightRule:
    """Nodes of the weights under their prior.

    Attributes
    ----------
    weights : array of shape (W, J)
        Of the intervals of p; the first is 1.
    log_mass : array of shape (W,)
        Logarithm of the prior mass of a node.
    """

    weights: FloatArray
    log_mass: FloatArray


def weight_rule(form: StepSelection | StatedSelection, nodes: Sequence[int]) -> WeightRule:
    r"""Gauss rule for cumulative Dirichlet weights.

    ``w_j+1 = w_j s_j`` with independent ``s_j ~ Beta(sum_{l>j} alpha_l, alpha_j)``; in ``t = sqrt(s)`` the poles that
    the likelihood has at small weights are far enough away for a Gauss-Jacobi rule.

    Parameters
    ----------
    nodes : sequence of int
        Per ratio of two neighbouring weights, from the most to the least significant; none where they are stated.
    """
    if isinstance(form, StatedSelection):
        return WeightRule(np.array([form.weights]) / form.weights[0], np.zeros(1))
    alpha = np.array(form.alpha)
    weights, log_mass = np.ones((1, 1)), np.zeros(1)
    for j in range(alpha.size - 1):
        a, b = float(alpha[j + 1 :].sum()), float(alpha[j])
        n = nodes[j]
        x, mass = special.roots_jacobi(n, b - 1.0, 2.0 * a - 1.0)
        t = 0.5 * (1.0 + x)
        log = np.log(mass) + (b - 1.0) * np.log1p(t)
        log -= special.logsumexp(log)
        last = np.repeat(weights[:, -1], n) * np.tile(t * t, len(weights))
        weights = np.column_stack([np.repeat(weights, n, axis=0), last])
        log_mass = np.repeat(log_mass, n) + np.tile(log, log_mass.size)
    return WeightRule(weights, log_mass)


@dataclass(frozen=True, slots=True, eq=False)
class Chances:
    """Probabilities of the intervals of p before selection, at G points.

    Attributes
    ----------
    single : array of shape (G, n, J)
        Of estimates that stand alone.
    double : array of shape (G, m, J * J)
        Of pairs of estimates that share patients, together.
    """

    single: FloatArray
    double: FloatArray

    def part(self, chosen: slice) -> Chances:
        """At some of the points."""
        return Chances(self.single[chosen], self.double[chosen])


def log_weight_integral(chances: Chances, trials: NDArray[np.intp], rule: WeightRule) -> FloatArray:
    """Logarithm of the integral over the weights of ``prod_j w_j^n_j / prod_i sum_j w_j P_ij``.

    A pair of estimates that share patients is divided by ``sum_jl w_j w_l P_jl``, with P of their bivariate normal.

    Parameters
    ----------
    chances : Chances
    trials : array of shape (J,)
    rule : WeightRule

    Returns
    -------
    array of shape (G,)
    """
    log_seen = rule.log_mass + np.log(rule.weights) @ trials
    found = np.empty(len(chances.single))
    step = max(1, int(_ROOM // log_seen.size))
    for start in range(0, found.size, step):
        log = log_seen - log_chance_of_being_seen(chances.part(slice(start, start + step)), rule.weights)
        peak = log.max(axis=1)
        found[start : start + step] = peak + np.log(np.exp(log - peak[:, None]).sum(axis=1))
    return found


def log_chance_of_being_seen(chances: Chances, weights: FloatArray) -> FloatArray:
    """Logarithm of the product over estimates, and pairs, of their chances, (G, W), for weights of shape (W, J)."""
    shape, turned = (len(chances.single), len(weights)), np.ascontiguousarray(weights.T)
    log, product, alone, pairs = np.zeros(shape), np.ones(shape), chances.single.shape[1], chances.double.shape[1]
    intervals = weights.shape[1]
    for i in range(alone + pairs):
        if i < alone:
            product *= chances.single[:, i] @ turned
        else:
            both = chances.double[:, i - alone].reshape(-1, intervals, intervals)
            # one weight after the other, for products of matrices this small start no threads
            product *= sum(turned[j] * (both[:, j] @ turned) for j in range(intervals))
        if i % _MULTIPLIED == _MULTIPLIED - 1:
            log += np.log(product)
            product[:] = 1.0
    return log + np.log(product)
