"""Posteriors of models with tau as the only standard deviation, batched.

Tables of refits ask for hundreds of posteriors that differ in a prior or in a few rows. Each takes the same steps
(seek the window, put nodes there, double them until every answer has settled), so that the steps are taken together
and each is one pass over arrays of shape (posteriors, nodes). A single posterior is a batch of one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta import numerics
from bayesmeta.errors import InferenceError
from bayesmeta.exact.axes import (
    CUT_OFF,
    FIRST_NODES,
    MAX_NODES,
    NEGLIGIBLE,
    NOWHERE,
    POINTS,
    TOLERANCE,
    UNDEFINED,
    WINDOW,
    Axis,
    tau_axis,
    tau_log_prior,
    unsettled,
)
from bayesmeta.exact.likelihood import LOG_2PI, ConditionalMoments, factor
from bayesmeta.exact.problem import MAX_ELEMENTS, IntegrationProblem, NodePosterior
from bayesmeta.marginals import Gridded, Variable, VariableKind
from bayesmeta.priors import Prior

__all__ = ["has_one_sd", "solve_batch"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

# rounds in which a window is sought; the maximum and both ends are looked at more closely in each
_ROUNDS = 5
_AROUND, _BETWEEN = np.linspace(0, 1, 11)[1:-1], np.linspace(0, 1, 8)[1:-1]


def has_one_sd(problem: IntegrationProblem) -> bool:
    """Whether tau is all that is integrated over."""
    return problem.simple and problem.tau is not None and not problem.scales


class _Group(NamedTuple):
    """Posteriors with one prior of tau: their rows, and the variables of their axes, location and scale as columns."""

    prior: Prior
    variable: Variable
    rows: IntArray | slice


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """F problems with p coefficients, their rows padded to one number k.

    Attributes
    ----------
    number : array of int of shape (F,)
        Index of each among all that were requested.
    problems, axes : tuples of length F
    groups : tuple of _Group
    ends : array of shape (F, 2)
        Of each axis.
    y, a, b : arrays of shape (F, 1, k)
        A row that is padding has variance one, no observation and no coefficient: it adds nothing.
    X, products : arrays of shape (F, k, p), (F, k, p**2 + p)
        Coefficients of each row; products of them and with the observation, from which normal equations are summed.
    constant : array of shape (F, 1)
        Of the log density.
    mean, precision : arrays of shape (p, F, 1)
        Priors of the coefficients.
    typical_se, tau_moments, mu_moments : arrays of shape (F, 1)
    """

    number: IntArray
    problems: tuple[IntegrationProblem, ...]
    axes: tuple[Axis, ...]
    groups: tuple[_Group, ...]
    ends: FloatArray
    y: FloatArray
    a: FloatArray
    b: FloatArray
    X: FloatArray
    products: FloatArray
    constant: FloatArray
    mean: FloatArray
    precision: FloatArray
    typical_se: FloatArray
    tau_moments: IntArray
    mu_moments: IntArray

    def take(self, chosen: BoolArray) -> _Batch:
        """Some of them."""
        if chosen.all():
            return self
        places = np.flatnonzero(chosen).tolist()
        problems, axes = tuple(self.problems[i] for i in places), tuple(self.axes[i] for i in places)
        return dataclasses.replace(
            self,
            number=self.number[chosen],
            problems=problems,
            axes=axes,
            groups=_grouped(problems, axes),
            ends=self.ends[chosen],
            y=self.y[chosen],
            a=self.a[chosen],
            b=self.b[chosen],
            X=self.X[chosen],
            products=self.products[chosen],
            constant=self.constant[chosen],
            mean=self.mean[:, chosen],
            precision=self.precision[:, chosen],
            typical_se=self.typical_se[chosen],
            tau_moments=self.tau_moments[chosen],
            mu_moments=self.mu_moments[chosen],
        )


def _grouped(problems: Sequence[IntegrationProblem], axes: Sequence[Axis]) -> tuple[_Group, ...]:
    members: dict[tuple[Prior, VariableKind], list[int]] = {}
    for i, (problem, axis) in enumerate(zip(problems, axes, strict=True)):
        members.setdefault((problem.axes[0].prior, axis.variable.kind), []).append(i)
    groups = []
    for (prior, kind), some in members.items():
        loc = np.array([[axes[i].variable.loc] for i in some])
        scale = np.array([[axes[i].variable.scale] for i in some])
        rows = slice(None) if len(members) == 1 else np.array(some)
        groups.append(_Group(prior, Variable(kind, loc, scale), rows))
    return tuple(groups)


def _together(problems: Sequence[IntegrationProblem], axes: Sequence[Axis]) -> _Batch:
    count, k, p = len(problems), max(problem.y.size for problem in problems), problems[0].X.shape[1]
    y, a, b = np.zeros((count, k)), np.ones((count, k)), np.zeros((count, k))
    X = np.zeros((count, k, p))
    for i, problem in enumerate(problems):
        rows = problem.y.size
        y[i, :rows], X[i, :rows] = problem.y, problem.X
        a[i, :rows], b[i, :rows] = problem.rotation.a, problem.rotation.b
    products = (X[:, :, :, None] * X[:, :, None, :]).reshape(count, k, p * p)
    precision = np.array([problem.prior_precision for problem in problems])
    proper = precision > 0
    shown = np.array([problem.y.size for problem in problems]) - (p - proper.sum(axis=1))
    logdet = np.array([problem.rotation.logdet for problem in problems])
    constant = 0.5 * (np.log(np.where(proper, precision, 1.0)).sum(axis=1) - shown * LOG_2PI - logdet)
    # a truncated coefficient has other moments than its normal kernel, which may have none
    moments = [(problem.tau_moments, problem.mu_moments if problem.cut is None else 0) for problem in problems]
    tau_moments, mu_moments = np.array(moments).T[:, :, None]
    return _Batch(
        np.arange(count),
        tuple(problems),
        tuple(axes),
        _grouped(problems, axes),
        np.array([axis.scan[[0, -1]] for axis in axes]),
        y[:, None, :],
        a[:, None, :],
        b[:, None, :],
        X,
        np.concatenate([products, X * y[:, :, None]], axis=2),
        constant[:, None],
        np.array([problem.prior_mean for problem in problems]).T[:, :, None],
        precision.T[:, :, None],
        np.array([[problem.typical_se] for problem in problems]),
        tau_moments,
        mu_moments,
    )


def _conditional(batch: _Batch, tau: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Integrate study effects and coefficients out: log density (F, n), means (p, F, n), covariances (p, p, F, n)."""
    step = max(1, int(MAX_ELEMENTS // (batch.y.shape[0] * batch.y.shape[2])))
    pieces = [_piece(batch, tau[:, start : start + step]) for start in range(0, tau.shape[1], step)]
    if len(pieces) == 1:
        return pieces[0]
    log, mean, cov = (np.concatenate(part, axis=-1) for part in zip(*pieces, strict=True))
    return log, mean, cov


def _piece(batch: _Batch, tau: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    X, p = batch.X, batch.X.shape[2]
    # near the ends of a heavy-tailed prior tau squared overflows; a weight of zero is then the limit
    variance = batch.a + np.square(tau)[:, :, None] * batch.b
    precision = 1.0 / variance
    sums = precision @ batch.products
    if p == 1:
        A = sums[:, :, 0] + batch.precision[0]
        mean = ((sums[:, :, 1] + batch.precision[0] * batch.mean[0]) / A)[None]
        log_A, cov = np.log(A), (1.0 / A)[None, None]
        residual = batch.y - mean[0][:, :, None] * X.transpose(0, 2, 1)
    else:
        A = np.moveaxis(sums[:, :, : p * p], 2, 0).reshape(p, p, -1).copy()
        full = np.broadcast_to(batch.precision, (p, *tau.shape)).reshape(p, -1)
        for j in range(p):
            A[j, j] += full[j]
        right = (np.moveaxis(sums[:, :, p * p :], 2, 0) + batch.precision * batch.mean).reshape(p, -1)
        inverse, log_A = factor(A)
        mean = np.einsum("jin,jn->in", inverse, np.einsum("ijn,jn->in", inverse, right)).reshape(p, *tau.shape)
        cov = np.einsum("kin,kjn->ijn", inverse, inverse).reshape(p, p, *tau.shape)
        log_A = log_A.reshape(tau.shape)
        residual = batch.y - np.moveaxis(mean, 0, 2) @ X.transpose(0, 2, 1)
    quadratic = np.einsum("fnk,fnk,fnk->fn", precision, residual, residual)
    quadratic += (batch.precision * np.square(mean - batch.mean)).sum(axis=0)
    return batch.constant - 0.5 * (np.log(variance).sum(axis=2) + log_A + quadratic), mean, cov


class _Values(NamedTuple):
    """At points (F, n): log of prior times likelihood times Jacobian, tau, and moments of the coefficients given it."""

    log: FloatArray
    tau: FloatArray
    mean: FloatArray
    cov: FloatArray


def _integrand(batch: _Batch, z: FloatArray) -> _Values:
    tau, log = np.empty_like(z), np.empty_like(z)
    for prior, variable, rows in batch.groups:
        tau[rows] = variable.x(z[rows])
        log[rows] = tau_log_prior(prior, z[rows], variable, batch.a[rows], batch.b[rows])
    log_marginal, mean, cov = _conditional(batch, tau)
    log += log_marginal
    for i, problem in enumerate(batch.problems):
        if problem.cut is not None:
            log[i] += problem.log_cut(ConditionalMoments(log[i], mean[:, i], cov[:, :, i]))
    return _Values(log, tau, mean, cov)


def _at(values: FloatArray, index: IntArray) -> FloatArray:
    return values[np.arange(index.size), index]


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Where an integrand has its maximum, whether that stands out, and the points within 46 nats of it; per row."""

    best: IntArray
    sharp: BoolArray
    first: IntArray
    last: IntArray


def _look(f: FloatArray) -> _Look:
    size = f.shape[1]
    f = np.where(np.isnan(f), -np.inf, f)
    best = f.argmax(axis=1)
    top = _at(f, best)
    with np.errstate(invalid="ignore"):
        beside = np.minimum(_at(f, np.maximum(best - 1, 0)), _at(f, np.minimum(best + 1, size - 1)))
        inside = f >= top[:, None] - WINDOW
        sharp = top - beside >= 1.0
    return _Look(best, sharp, inside.argmax(axis=1), size - 1 - inside[:, ::-1].argmax(axis=1))


def _closer(z: FloatArray, look: _Look, *, low: bool) -> FloatArray:
    """Points around a sharp maximum and at the ends of the window; none but known ones where none help."""
    size = z.shape[1]
    best, after_last = look.best, np.minimum(look.last + 1, size - 1)
    sharp = look.sharp
    around = (np.where(sharp, np.maximum(best - 1, 0), best), np.where(sharp, np.minimum(best + 1, size - 1), best))
    pieces = [_between(z, *around, _AROUND), _between(z, look.last, after_last, _BETWEEN)]
    if low:
        pieces.append(_between(z, np.maximum(look.first - 1, 0), look.first, _BETWEEN))
    return np.concatenate(pieces, axis=1)


def _between(z: FloatArray, start: IntArray, stop: IntArray, shares: FloatArray) -> FloatArray:
    low = _at(z, start)[:, None]
    return low + (_at(z, stop)[:, None] - low) * shares


def _windows(batch: _Batch) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Find the integration intervals of the posteriors and of existing moments, as `nodes.narrow` does one by one.

    Returns
    -------
    low, high : arrays of shape (F,)
    somewhere : array of bool of shape (F,)
        Whether the integrand is finite anywhere.
    """
    size = max(axis.scan.size for axis in batch.axes)
    z = np.array([np.pad(axis.scan, (0, size - axis.scan.size), mode="edge") for axis in batch.axes])
    f, tau, _, _ = _integrand(batch, z)
    somewhere = np.isfinite(f).any(axis=1)
    low, high = np.empty(somewhere.size), np.empty(somewhere.size)
    heavy_tailed = any(_is_heavy_tailed(problem) for problem in batch.problems)
    for step in range(_ROUNDS + 1):
        looks = [_look(f)]
        if heavy_tailed:
            looks.append(_look(f + batch.tau_moments * np.log1p(tau / batch.typical_se)))
        size = z.shape[1]
        sharp, last = looks[0].sharp, looks[0].last
        for look in looks[1:]:
            sharp, last = sharp | look.sharp, np.maximum(last, look.last)
        going = (step < _ROUNDS) & (sharp | ((step < 2) & ((last < size - 1) | (looks[0].first > 0))))
        if not going.all():
            ended = ~going
            first, last = np.maximum(looks[0].first - 1, 0), np.minimum(last + 1, size - 1)
            low[batch.number[ended]], high[batch.number[ended]] = _at(z, first)[ended], _at(z, last)[ended]
            if ended.all():
                break
        more = np.concatenate([_closer(z, look, low=i == 0) for i, look in enumerate(looks)], axis=1)
        if not going.all():
            batch, more, z, f, tau = batch.take(going), more[going], z[going], f[going], tau[going]
        added = _integrand(batch, more)
        z = np.concatenate([z, more], axis=1)
        order = (np.arange(len(z))[:, None], z.argsort(axis=1, kind="stable"))
        z = z[order]
        f, tau = np.concatenate([f, added.log], axis=1)[order], np.concatenate([tau, added.tau], axis=1)[order]
    return low, high, somewhere


def _is_heavy_tailed(problem: IntegrationProblem) -> bool:
    """Whether moments of tau need nodes in the tail, where the posterior itself is negligible."""
    assert problem.tau is not None
    return problem.tau_moments > 0 and math.isfinite(problem.tau.tail[0])


def solve_batch(
    problems: Sequence[IntegrationProblem], *, first_nodes: int = FIRST_NODES, tolerance: float = TOLERANCE
) -> list[NodePosterior | InferenceError]:
    """Integrate problems with tau as the only standard deviation (`has_one_sd`).

    Parameters
    ----------
    problems : sequence of IntegrationProblem
    first_nodes : int
        Nodes to start with, ``2**m + 1``.
    tolerance : float
        Largest relative difference between nested rules.

    Returns
    -------
    list of Quadrature or InferenceError
        In the order of the problems; where the nodes do not settle the error that says so stands in its place.

    Examples
    --------
    >>> from bayesmeta.exact import build_problem
    >>> models = [bm.Model(model.mu, bm.HalfNormal(0.25)), model]
    >>> found = solve_batch([build_problem(effects, model) for model in models])
    >>> [round(item.log_evidence, 4) for item in found]
    [-1.4091, -1.8332]
    """
    found: list[NodePosterior | InferenceError] = [InferenceError(NOWHERE)] * len(problems)
    axes = [tau_axis(problem.axes[0].prior, problem.typical_se) for problem in problems]
    batches: dict[tuple[object, ...], list[int]] = {}
    for i, problem in enumerate(problems):
        kind = axes[i].variable.kind
        batches.setdefault((problem.X.shape[1], _is_heavy_tailed(problem), kind), []).append(i)
    for members in batches.values():
        rows = max(problems[i].y.size for i in members)
        step = max(1, int(MAX_ELEMENTS // (256 * max(rows, problems[members[0]].X.shape[1] ** 2))))
        for start in range(0, len(members), step):
            part = members[start : start + step]
            batch = _together([problems[i] for i in part], [axes[i] for i in part])
            # far out squares overflow and logarithms are of zero: what is undefined is looked for at the nodes
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                for i, item in zip(part, _solved(batch, first_nodes, tolerance), strict=True):
                    found[i] = item
    return found


def _solved(batch: _Batch, first_nodes: int, tolerance: float) -> list[NodePosterior | InferenceError]:
    found: list[NodePosterior | InferenceError] = [InferenceError(NOWHERE)] * len(batch.problems)
    low, high, pending = _windows(batch)
    counts = np.full(pending.size, first_nodes)
    while pending.any():
        # those with the fewest nodes; what has not settled goes on with twice as many
        n = int(counts[pending].min())
        # as many as fit in memory, with their covariances at every node
        few = np.flatnonzero(pending & (counts == n))[: max(1, int(MAX_ELEMENTS // (n * (batch.X.shape[2] ** 2 + 8))))]
        part = batch.take(np.isin(np.arange(pending.size), few))
        answers, wider = _on_nodes(part, low[part.number], high[part.number], n, tolerance)
        low[part.number], high[part.number] = wider
        for number, item in zip(part.number.tolist(), answers, strict=True):
            if item is None:
                continue
            if isinstance(item, float):
                counts[number] = 2 * n - 1
                if counts[number] <= MAX_NODES:
                    continue
                item = InferenceError(unsettled(tolerance, n, item))
            found[number], pending[number] = item, False
    return found


def _on_nodes(
    batch: _Batch, low: FloatArray, high: FloatArray, n: int, tolerance: float
) -> tuple[list[NodePosterior | InferenceError | float | None], tuple[FloatArray, FloatArray]]:
    """Integrate on one rule.

    Returns
    -------
    list
        The posterior; what halving the rule changes, where that is too much; None where the window cut something off.
    low, high : arrays of shape (F,)
        The windows, wider where they cut something off.
    """
    rule, weights = numerics.rule(n)
    half = 0.5 * (high - low)
    z = 0.5 * (high + low)[:, None] + half[:, None] * rule
    value, tau, mean, cov = _integrand(batch, z)
    undefined = (np.isnan(value) | np.isposinf(value)).any(axis=1)
    value[undefined] = 0.0
    peak = value.max(axis=1)
    density = np.exp(value - peak[:, None])
    wider_low = (density[:, 0] > CUT_OFF) & (low > batch.ends[:, 0]) & ~undefined
    wider_high = (density[:, -1] > CUT_OFF) & (high < batch.ends[:, 1]) & ~undefined
    low = np.where(wider_low, np.maximum(batch.ends[:, 0], low - half), low)
    high = np.where(wider_high, np.minimum(batch.ends[:, 1], high + half), high)
    wider = wider_low | wider_high
    embedded = np.zeros(n)
    embedded[::2] = numerics.rule((n + 1) // 2)[1]
    full, other = density * (half[:, None] * weights), density * (half[:, None] * embedded)
    column = density / full.sum(axis=1)[:, None]
    # the distribution function is that of the interpolant, so its last coefficients must have vanished too
    series = np.abs(numerics.coefficients(column))
    error = 0.1 * series[:, -3:].max(axis=1) / series.max(axis=1)
    close = (error <= tolerance) & ~undefined & ~wider
    if close.any():
        matters = _matters(batch, tau, full)
        keep = matters | _matters(batch, tau, np.abs(other))
        error = np.where(
            close, np.maximum(error, _differences(batch, tau, mean[0], cov[0, 0], full, other, matters)), error
        )

    def finished(i: int) -> NodePosterior:
        problem, kept = batch.problems[i], keep[i]
        marginal = Gridded(z[i, [0, -1]], column[i], batch.axes[i].variable, problem.axes[0].moments)
        fine, coarse, sds = full[i, kept], other[i, kept], tau[i, kept]
        return NodePosterior(
            problem,
            sds,
            np.empty((0, sds.size)),
            fine / fine.sum(),
            coarse / coarse.sum(),
            mean[:, i, kept],
            cov[:, :, i, kept],
            marginal,
            float(peak[i]) + math.log(float(full[i].sum())) if problem.proper else None,
            float(error[i]),
            (n,),
            sds[None, :],
            {problem.axes[0].name: marginal},
        )

    answers: list[NodePosterior | InferenceError | float | None] = []
    for i in range(len(batch.problems)):
        if undefined[i]:
            answers.append(InferenceError(UNDEFINED))
        elif wider[i]:
            answers.append(None)
        else:
            answers.append(finished(i) if error[i] <= tolerance else float(error[i]))
    return answers, (low, high)


def _matters(batch: _Batch, tau: FloatArray, weights: FloatArray) -> BoolArray:
    """Nodes that change a digit of a probability, or of a moment that exists."""
    matters = weights > NEGLIGIBLE * weights.max(axis=1)[:, None]
    pull = weights * (1.0 + (tau / batch.typical_se) ** batch.tau_moments)
    pull = np.where(np.isfinite(pull), pull, 0.0)
    return matters | (pull > NEGLIGIBLE * pull.max(axis=1)[:, None])


def _differences(
    batch: _Batch,
    tau: FloatArray,
    mean: FloatArray,
    var: FloatArray,
    fine: FloatArray,
    half: FloatArray,
    inner: BoolArray,
) -> FloatArray:
    """Largest relative difference of evidence, existing moments and tail probabilities between two rules, (F,).

    Nodes outside of ``inner`` change no digit, and may have infinite moments.
    """
    total, other = fine.sum(axis=1), half.sum(axis=1)
    weight = np.where(inner, fine / total[:, None], 0.0)
    change = weight - np.where(inner, half / other[:, None], 0.0)
    tau, mean, sd = np.where(inner, tau, 0.0), np.where(inner, mean, 0.0), np.sqrt(np.where(inner, var, 1.0))

    def expect(values: FloatArray, by: FloatArray) -> FloatArray:
        return np.einsum("fn,fn->f", by, values)

    centre = expect(mean, weight)
    # with infinite moments the spread in the middle of the posterior is the scale that matters
    usual = 10 * _at(sd, weight.argmax(axis=1))
    spread = np.sqrt(expect(np.square(np.minimum(sd, usual[:, None])), weight))
    spread = np.where(spread > 0, spread, 1.0)
    points = (centre[:, None] + spread[:, None] * POINTS)[:, :, None]
    tails = special.ndtr((points - mean[:, None, :]) / sd[:, None, :])
    worst = np.maximum(np.abs((tails @ change[:, :, None])[:, :, 0]).max(axis=1), np.abs(np.log(total / other)))
    around = np.square(sd) + np.square(mean - centre[:, None])
    answers = (
        (batch.tau_moments, 1, tau, None),
        (batch.tau_moments, 2, np.square(tau), None),
        (batch.mu_moments, 1, mean, np.maximum(np.abs(centre), spread)),
        (batch.mu_moments, 2, around, None),
    )
    for exists, power, values, scale in answers:
        given = exists[:, 0] >= power
        if given.any():
            relative = np.abs(expect(values, change)) / (expect(values, weight) if scale is None else scale)
            worst = np.where(given, np.maximum(worst, relative), worst)
    return np.where(np.isnan(worst) | ~(other > 0), np.inf, worst)
