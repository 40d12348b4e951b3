"""Integrands of models with tau as the only standard deviation, of many posteriors at once.

Tables of refits ask for hundreds of posteriors that differ in a prior or in a few rows. Each takes the same steps
(seek the window, put nodes there, double them until every answer has settled), so that the steps are taken together
and each is one pass over arrays of shape (posteriors, nodes). A single posterior is a batch of one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayesmeta.exact.axes import Axis, tau_log_prior
from bayesmeta.exact.likelihood import ConditionalMoments, StackedRows, condition, stack
from bayesmeta.exact.problem import IntegrationProblem
from bayesmeta.exact.windows import seek
from bayesmeta.marginals import Variable, VariableKind
from bayesmeta.priors import Prior

__all__ = ["Integrand", "Values", "WithOneSd", "has_one_sd", "is_heavy_tailed", "shared_fields", "together"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]


def has_one_sd(problem: IntegrationProblem) -> bool:
    """Whether tau is all that is integrated over."""
    return problem.simple and problem.tau is not None and not problem.scales


def is_heavy_tailed(problem: IntegrationProblem) -> bool:
    """Whether moments of tau need nodes in the tail, where the posterior itself is negligible."""
    return problem.tau_moments > 0 and problem.tau is not None and math.isfinite(problem.tau.tail[0])


class Values(NamedTuple):
    """At N nodes of each of F problems: log of prior times likelihood times Jacobian, and what that depends on.

    ``log`` has the shape (F, N); ``sds`` (S, F, N) and ``log_scales`` (L, F, N) are standard deviations and mixing
    scales; ``mean`` (p, F, N) and ``cov`` (p, p, F, N) moments of the coefficients given them.
    """

    log: FloatArray
    sds: FloatArray
    log_scales: FloatArray
    mean: FloatArray
    cov: FloatArray


class _Group(NamedTuple):
    """Posteriors with one prior of tau: their rows, and the variables of their axes, location and scale as columns."""

    prior: Prior
    variable: Variable
    rows: IntArray | slice


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Integrand:
    """F problems with p coefficients and S standard deviations, each integrated over d axes.

    Attributes
    ----------
    number : array of int of shape (F,)
        Index of each among all that were requested.
    problems : tuple of length F
    axes : tuple of tuples of Axis
        Of each problem.
    ends : array of shape (F, d, 2)
        Of each axis.
    typical_se, mu_moments : arrays of shape (F, 1)
    moments : array of shape (S, F, 1)
        Of the standard deviations.
    """

    number: IntArray
    problems: tuple[IntegrationProblem, ...]
    axes: tuple[tuple[Axis, ...], ...]
    ends: FloatArray
    typical_se: FloatArray
    moments: IntArray
    mu_moments: IntArray


def shared_fields(problems: Sequence[IntegrationProblem], axes: Sequence[tuple[Axis, ...]]) -> dict[str, Any]:
    """Fields of an `Integrand` of problems with one number of axes."""
    return {
        "number": np.arange(len(problems)),
        "problems": tuple(problems),
        "axes": tuple(axes),
        "ends": np.array([[axis.scan[[0, -1]] for axis in own] for own in axes]),
        "typical_se": np.array([[problem.typical_se] for problem in problems]),
        "moments": np.array([[axis.moments for axis in p.axes] for p in problems], np.intp).T[:, :, None],
        # a truncated coefficient has other moments than its normal kernel, which may have none
        "mu_moments": np.array([[problem.mu_moments if problem.cut is None else 0] for problem in problems]),
    }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WithOneSd(Integrand):
    """Problems with tau as the only standard deviation: one axis, rows padded to one number.

    Attributes
    ----------
    groups : tuple of _Group
    rows : StackedRows
    """

    groups: tuple[_Group, ...]
    rows: StackedRows

    def take(self, chosen: BoolArray) -> WithOneSd:
        """Some of them."""
        if chosen.all():
            return self
        places = np.flatnonzero(chosen).tolist()
        problems, axes = tuple(self.problems[i] for i in places), tuple(self.axes[i] for i in places)
        return WithOneSd(
            number=self.number[chosen],
            problems=problems,
            axes=axes,
            groups=_grouped(problems, axes),
            ends=self.ends[chosen],
            rows=self.rows.take(chosen),
            typical_se=self.typical_se[chosen],
            moments=self.moments[:, chosen],
            mu_moments=self.mu_moments[chosen],
        )

    def values(self, z: Sequence[FloatArray]) -> Values:
        """Log integrand at points (F, n) of the axis of tau."""
        points = z[0]
        tau, log = np.empty_like(points), np.empty_like(points)
        for prior, variable, some in self.groups:
            tau[some] = variable.x(points[some])
            log[some] = tau_log_prior(prior, points[some], variable, self.rows.a[some], self.rows.b[some])
        found = condition(self.rows, tau)
        log += found.log_marginal
        for i, problem in enumerate(self.problems):
            if problem.cut is not None:
                log[i] += problem.log_cut(ConditionalMoments(log[i], found.mean[:, i], found.cov[:, :, i]))
        return Values(log, tau[None], np.empty((0, *tau.shape)), found.mean, found.cov)

    def windows(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Integration intervals of the posteriors and of existing moments, (F, 1); where an integrand is finite."""
        size = max(axis.scan.size for (axis,) in self.axes)
        scan = np.array([np.pad(axis.scan, (0, size - axis.scan.size), mode="edge") for (axis,) in self.axes])
        heavy_tailed = any(is_heavy_tailed(problem) for problem in self.problems)

        def at(z: FloatArray, going: BoolArray) -> list[FloatArray]:
            part = self.take(going)
            found = part.values([z])
            if not heavy_tailed:
                return [found.log]
            return [found.log, found.log + part.moments[0] * np.log1p(found.sds[0] / part.typical_se)]

        low, high, somewhere = seek(at, scan)
        return low[:, None], high[:, None], somewhere

    def within(self, points: Sequence[FloatArray]) -> None:
        """Every node is evaluated."""


def _grouped(problems: Sequence[IntegrationProblem], axes: Sequence[tuple[Axis, ...]]) -> tuple[_Group, ...]:
    members: dict[tuple[Prior, VariableKind], list[int]] = {}
    for i, (problem, (axis,)) in enumerate(zip(problems, axes, strict=True)):
        members.setdefault((problem.axes[0].prior, axis.variable.kind), []).append(i)
    groups = []
    for (prior, kind), some in members.items():
        loc = np.array([[axes[i][0].variable.loc] for i in some])
        scale = np.array([[axes[i][0].variable.scale] for i in some])
        rows = slice(None) if len(members) == 1 else np.array(some)
        groups.append(_Group(prior, Variable(kind, loc, scale), rows))
    return tuple(groups)


def together(problems: Sequence[IntegrationProblem], axes: Sequence[tuple[Axis, ...]]) -> WithOneSd:
    """Put problems with one number of coefficients together, each with its axis of tau."""
    rows = stack([problem.linear for problem in problems])
    return WithOneSd(**shared_fields(problems, axes), groups=_grouped(problems, axes), rows=rows)
