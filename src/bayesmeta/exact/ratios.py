"""The posterior of the ratio of two taus, from their joint density.

``u = log(tau_b / tau_a)`` and ``v = log(tau_a tau_b) / 2`` are integrated in place of the two taus: the density of u is
the integral over v. Both are stretched by a sinh about the peak, so that tails of any kind are short, and the table of
u has an edge wherever the rectangle that holds the taus has a corner, so that the density is smooth between edges.
Other axes, such as mixing scales, are integrated on their windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import bayesmeta.numerics as numerics
from bayesmeta.errors import InferenceError
from bayesmeta.exact.axes import TOLERANCE
from bayesmeta.exact.posterior import NodePosterior
from bayesmeta.exact.tensor import alone
from bayesmeta.marginals import Gridded, Variable

__all__ = ["ratio_marginal"]

FloatArray = NDArray[np.float64]
# a tau with a finite density at zero changes no digit below its largest value by so many nats
_LOWEST = 40.0
# where the peak of v is looked for, by its share of the stretched distance from the upper end
_SCAN = np.linspace(0.0, 1.0, 81)
# nodes of u per panel, and of v
_FIRST, _MOST = 65, 1025
# points at once
_ROOM = 200_000


def ratio_marginal(nodes: NodePosterior) -> Gridded:
    """Posterior of the tau on the second axis over that on the first.

    Parameters
    ----------
    nodes : NodePosterior
        Of a problem whose taus are the first two axes.

    Raises
    ------
    InferenceError
        If it does not settle to 1e-8.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        joint = _Joint(nodes)
        n, before = _FIRST, None
        while n <= _MOST:
            found = joint.table(n)
            at = found.quantile(np.array([0.005, 0.025, 0.25, 0.5, 0.75, 0.975, 0.995]))
            if before is not None and np.abs(before.cdf(at) - found.cdf(at)).max() <= TOLERANCE:
                return found
            n, before = 2 * n - 1, found
    raise InferenceError(
        f"the ratio of the standard deviations did not settle to {TOLERANCE:g} with {_MOST} nodes; use smoother priors."
    )


class _Joint:
    """The joint density of the logarithms of two taus."""

    def __init__(self, nodes: NodePosterior) -> None:
        self.batch = batch = alone(nodes.problem)
        (axes,) = batch.axes
        # where u and v lie and how widely they spread, of which a floor is enough: a tau at zero counts little
        log_a, log_b = np.log(np.maximum(nodes.sds[:2], 1e-3 * nodes.problem.typical_se))
        self.centre, self.spread = [], []
        for item in (log_b - log_a, 0.5 * (log_a + log_b)):
            mean = float(nodes.weights @ item)
            self.centre.append(mean)
            self.spread.append(math.sqrt(float(nodes.weights @ np.square(item - mean))))
        self.variables = [axis.variable for axis in axes[:2]]
        low, high, _ = batch.windows()
        # the rectangle that holds the logarithms of the taus
        lower, self.upper = (
            np.log([float(variable.x(z)) for variable, z in zip(self.variables, ends[0], strict=False)])
            for ends in (low, high)
        )
        self.lower = np.where(np.isfinite(lower), lower, self.upper - _LOWEST)
        self.points, self.log_weights = _others(low[0], high[0], nodes.nodes)

    def log_density(self, u: FloatArray, v: FloatArray) -> FloatArray:
        """Log density at points (n,) of u and v, up to a constant."""
        step = max(1, _ROOM // self.log_weights.size)
        parts = [self._log_density(u[i : i + step], v[i : i + step]) for i in range(0, u.size, step)]
        found = np.concatenate(parts)
        return np.where(np.isnan(found), -math.inf, found)

    def _log_density(self, u: FloatArray, v: FloatArray) -> FloatArray:
        z, log_jacobian = [], np.zeros(u.size)
        for variable, log_tau in zip(self.variables, (v - 0.5 * u, v + 0.5 * u), strict=True):
            own = variable.z(np.exp(log_tau))
            # from the variable of the axis to the logarithm
            log_jacobian = log_jacobian + log_tau - variable.log_jacobian(own)
            z.append(np.repeat(own, self.log_weights.size))
        z += [np.tile(item, u.size) for item in self.points]
        value = self.batch.values([item[None] for item in z]).log.reshape(u.size, -1) + self.log_weights
        peak = value.max(axis=1)
        return log_jacobian + peak + np.log(np.exp(value - peak[:, None]).sum(axis=1))

    def table(self, n: int) -> Gridded:
        """The density of the ratio on n nodes per panel, by n nodes of v."""
        (a0, a1), (b0, b1) = self.lower, self.upper
        variable = Variable("logsinh", self.centre[0], self.spread[0])
        edges = np.unique(variable.z(np.exp([a1 - b0, *sorted([a1 - a0, b1 - b0]), b1 - a0])))
        edges = edges[np.concatenate([[True], np.diff(edges) > 1e-9])]
        nodes, weights = numerics.rule(n)
        half = 0.5 * np.diff(edges)[:, None]
        z = (0.5 * (edges[1:] + edges[:-1])[:, None] + half * nodes).ravel()
        u = variable.loc + variable.scale * np.sinh(z)
        first = np.maximum(a0 + 0.5 * u, a1 - 0.5 * u)
        last = np.maximum(np.minimum(b0 + 0.5 * u, b1 - 0.5 * u), first)
        scan = last[:, None] - np.sinh(np.arcsinh(last - first)[:, None] * _SCAN)
        seen = self.log_density(np.repeat(u, _SCAN.size), scan.ravel()).reshape(scan.shape)
        centre = scan[np.arange(u.size), seen.argmax(axis=1)]
        width = self.spread[1]
        w_first, w_last = np.arcsinh((first - centre) / width), np.arcsinh((last - centre) / width)
        w_half = 0.5 * (w_last - w_first)
        w = 0.5 * (w_last + w_first)[:, None] + w_half[:, None] * nodes
        v = np.clip(centre[:, None] + width * np.sinh(w), first[:, None], last[:, None])
        log = self.log_density(np.repeat(u, n), v.ravel()).reshape(v.shape) + np.log(np.cosh(w))
        peak = log.max()
        density = (np.exp(log - peak) @ weights) * w_half * np.cosh(z)
        return Gridded(edges, density.reshape(-1, n), variable, 0)


def _others(low: FloatArray, high: FloatArray, nodes: Sequence[int]) -> tuple[list[FloatArray], FloatArray]:
    """Points on the axes beyond the two taus, as one product, and the logarithms of their weights."""
    points: list[FloatArray] = []
    weights = np.ones(1)
    for number in range(2, low.size):
        rule, weight = numerics.rule(nodes[number])
        half = 0.5 * (high[number] - low[number])
        own = 0.5 * (high[number] + low[number]) + half * rule
        points = [*(np.repeat(item, own.size) for item in points), np.tile(own, weights.size)]
        weights = np.repeat(weights, own.size) * np.tile(half * weight, weights.size)
    return points, np.log(weights)
