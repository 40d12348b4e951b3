"""The exact engine: a finite mixture of normals over quadrature nodes, as accurate as double precision shows.

Accuracy is checked, not hoped for: rules are nested, every answer is computed on the full and on the embedded rule,
and nodes are doubled until the two agree. All problems with tau as their only standard deviation take these steps
together; a model with several axes takes them alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

import bayesmeta.numerics as numerics
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.exact.axes import TOLERANCE, tau_axis
from bayesmeta.exact.batched import Values, WithOneSd, has_one_sd, is_heavy_tailed, together
from bayesmeta.exact.likelihood import MAX_ELEMENTS, Rotation
from bayesmeta.exact.posterior import NodePosterior
from bayesmeta.exact.problem import IntegrationProblem, build_problem, rotation_of
from bayesmeta.exact.tensor import MANY_NODES, WithSeveralAxes, alone, mesh
from bayesmeta.exact.windows import NOWHERE
from bayesmeta.marginals import Gridded
from bayesmeta.model import Model

__all__ = ["FIRST_NODES", "MAX_NODES", "refined", "settled", "solve", "solve_all"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]
AnyIntegrand = WithOneSd | WithSeveralAxes | Any

FIRST_NODES = 65
# of one axis; of all together
MAX_NODES = 16385
MAX_TENSOR_NODES = 2_000_000
# with several standard deviations most of the box is empty and costs nothing
MAX_BOX_NODES = 6_000_000
# where the distribution function of mu is compared, in posterior standard deviations
POINTS = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
# an end of a window at which the integrand is above this share of its maximum cuts something off
CUT_OFF = 1e-12
# nodes whose weight is below this share of the largest change no digit
NEGLIGIBLE = 1e-24
# of many nodes those that hold this share of all weight are left out: every answer costs time per node
LIGHT = 1e-11


def solve(
    effects: Effects,
    model: Model,
    *,
    first_nodes: int = FIRST_NODES,
    tolerance: float = TOLERANCE,
    nodes: tuple[int, ...] | None = None,
) -> NodePosterior:
    """Integrate the model exactly.

    Parameters
    ----------
    effects : Effects
    model : Model
    first_nodes : int
        Nodes per axis to start with, ``2**m + 1``.
    nodes : tuple of int, optional
        Nodes of each axis to start with, instead.
    tolerance : float
        Largest relative difference between nested rules.

    Raises
    ------
    ModelError
        Where the posterior is improper or beyond this engine.
    InferenceError
        Where the nodes do not settle.
    """
    problem = build_problem(effects, model)
    (found,) = _solve([problem], first_nodes, tolerance, nodes)
    if isinstance(found, InferenceError):
        raise found
    return found


def solve_all(tasks: Sequence[tuple[Effects, Model]]) -> list[NodePosterior | ModelError]:
    """`solve` for many models, those with tau as their only standard deviation batched.

    Parameters
    ----------
    tasks : sequence of (Effects, Model)

    Returns
    -------
    list of NodePosterior or ModelError
        In the order of the tasks; where the posterior is improper the error that says so stands in its place.

    Raises
    ------
    InferenceError
        Where the nodes do not settle.
    """
    found: list[IntegrationProblem | NodePosterior | ModelError] = []
    # refits under other priors have the same rows
    rotations: dict[tuple[object, ...], Rotation] = {}
    for effects, model in tasks:
        key = (id(effects), model.rho, model.cluster_tau is None, model.tau_by and model.tau_by.moderator)
        if key not in rotations:
            rotations[key] = rotation_of(effects, model)
        try:
            found.append(build_problem(effects, model, rotations[key]))
        except ModelError as error:
            found.append(error)
    places = [i for i, item in enumerate(found) if isinstance(item, IntegrationProblem)]
    solved = _solve([item for item in found if isinstance(item, IntegrationProblem)])
    for i, item in zip(places, solved, strict=True):
        if isinstance(item, InferenceError):
            raise item
        found[i] = item
    return [item for item in found if not isinstance(item, IntegrationProblem)]


def _solve(
    problems: Sequence[IntegrationProblem],
    first_nodes: int = FIRST_NODES,
    tolerance: float = TOLERANCE,
    nodes: tuple[int, ...] | None = None,
) -> list[NodePosterior | InferenceError]:
    """Integrate problems; where nodes do not settle the error that says so stands in the place of the posterior."""
    found: list[NodePosterior | InferenceError] = [InferenceError(NOWHERE)] * len(problems)
    batches: dict[tuple[object, ...], list[int]] = {}
    axes = {}
    # far out squares overflow and logarithms are of zero: what is undefined is looked for at the nodes
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for i, problem in enumerate(problems):
            if has_one_sd(problem):
                axes[i] = (tau_axis(problem.axes[0].prior, problem.typical_se),)
                kind = (problem.X.shape[1], is_heavy_tailed(problem), axes[i][0].variable.kind)
                batches.setdefault(kind, []).append(i)
            elif problem.axes or problem.scales:
                single = alone(problem)
                others = max(33, first_nodes // 2 + 1)
                counts = nodes or (first_nodes, *[others] * (single.ends.shape[1] - 1))
                most = MAX_TENSOR_NODES if problem.simple else MAX_BOX_NODES
                (found[i],) = settled(single, counts, tolerance, most)
            else:
                found[i] = _without_axes(problem)
        for members in batches.values():
            rows = max(problems[i].y.size for i in members)
            step = max(1, int(MAX_ELEMENTS // (256 * max(rows, problems[members[0]].X.shape[1] ** 2))))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                batch = together([problems[i] for i in part], [axes[i] for i in part])
                first = nodes or (first_nodes,)
                for i, item in zip(part, settled(batch, first, tolerance, MAX_NODES), strict=True):
                    found[i] = item
    return found


def _without_axes(problem: IntegrationProblem) -> NodePosterior:
    conditional = problem.conditional(np.zeros(1), [])
    value, one = conditional.log_marginal + problem.log_cut(conditional), np.ones(1)
    evidence = float(value[0]) if problem.proper else None
    return NodePosterior(
        problem, np.zeros(1), np.empty((0, 1)), one, one, conditional.mean, conditional.cov, None, evidence, 0.0, ()
    )


def settled(
    batch: AnyIntegrand, first: tuple[int, ...], tolerance: float, most: int
) -> list[NodePosterior | InferenceError]:
    """Double the nodes of each axis of each problem, from `first` to `most` in all, until its answers have settled."""
    found: list[NodePosterior | InferenceError] = [InferenceError(NOWHERE)] * len(batch.problems)
    low, high, pending = batch.windows()
    counts = np.tile(np.array(first), (pending.size, 1))
    while pending.any():
        # those with the fewest nodes, as many as fit in memory, with their covariances at every node
        n = min(counts[pending].tolist(), key=math.prod)
        few = np.flatnonzero(pending & (counts == n).all(axis=1))
        few = few[: max(1, int(MAX_ELEMENTS // (math.prod(n) * (batch.problems[0].X.shape[1] ** 2 + 8))))]
        chosen = np.zeros(pending.size, bool)
        chosen[few] = True
        part = batch.take(chosen)
        answers, low[part.number], high[part.number] = _on_nodes(
            part, low[part.number], high[part.number], n, tolerance
        )
        for number, item in zip(part.number.tolist(), answers, strict=True):
            if item is None:
                continue
            if isinstance(item, np.ndarray):
                counts[number] = np.where(item <= tolerance, n, 2 * np.array(n) - 1)
                if counts[number].max() <= MAX_NODES and counts[number].prod() <= most:
                    continue
                item = InferenceError(
                    f"the integral did not settle to {tolerance:g} with {max(n)} nodes (reached {item.max():.1e}). "
                    "Check for a standard error far below all others, or use a smoother prior."
                )
            found[number], pending[number] = item, False
    return found


def _on_nodes(
    batch: AnyIntegrand, low: FloatArray, high: FloatArray, counts: Sequence[int], tolerance: float
) -> tuple[list[NodePosterior | InferenceError | FloatArray | None], FloatArray, FloatArray]:
    """Integrate on one rule of each axis.

    Parameters
    ----------
    low, high : arrays of shape (F, d)
        The windows.
    counts : sequence of int, length d

    Returns
    -------
    list
        The posterior; where it has not settled what halving the rule of each axis changes; None where a window cut
        something off.
    low, high : arrays of shape (F, d)
        The windows, wider where they cut something off.
    """
    count, d = low.shape
    half = 0.5 * (high - low)
    fine, coarse = [numerics.rule(n)[1] for n in counts], [numerics.embedded(n) for n in counts]
    points = [0.5 * (high + low)[:, i, None] + half[:, i, None] * numerics.rule(n)[0] for i, n in enumerate(counts)]
    used = batch.within(points)
    values = batch.values([grid if used is None else grid[:, used] for grid in mesh(points)])
    undefined = (np.isnan(values.log) | np.isposinf(values.log)).any(axis=1)
    values.log[undefined] = 0.0
    peak = values.log.max(axis=1)
    density = np.exp(values.log - peak[:, None])
    table = density
    if used is not None:
        table = np.zeros((count, used.size))
        table[:, used] = density
    table = table.reshape(count, *counts)
    wider, low, high = _widened(batch, table, low, high, ~undefined)
    scale = half.prod(axis=1)[:, None]

    def integrate(rules: Sequence[FloatArray]) -> FloatArray:
        weights = rules[0]
        for rule in rules[1:]:
            weights = (weights[:, None] * rule).ravel()
        return density * (scale * (weights if used is None else weights[used]))

    full = integrate(fine)
    columns = [_column(table, fine, half, i) for i in range(len(values.sds))]
    errors = np.zeros((count, d))
    for i, column in enumerate(columns):
        # the distribution function is that of the interpolant, so its last coefficients must have vanished too
        series = np.abs(numerics.coefficients(column))
        errors[:, i] = 0.1 * series[:, -3:].max(axis=1) / series.max(axis=1)
    close = (errors <= tolerance).all(axis=1) & ~undefined & ~wider
    if d > 1 or close.any():
        variants = [integrate([coarse[j] if j == i else fine[j] for j in range(d)]) for i in range(d)]
        matters = _matters(batch, values.sds, full)
        keep = matters.copy()
        for variant in variants:
            keep |= _matters(batch, values.sds, np.abs(variant))
        change = np.column_stack(_differences(batch, values, full, variants, matters))
        errors = np.where((close | (d > 1))[:, None], np.maximum(errors, change), errors)
        halved = integrate(coarse) if d > 1 else variants[0]
        if d > 1 and keep.sum() > MANY_NODES:
            keep &= _non_negligible(batch, values.sds, np.max(np.abs([full, *variants]), axis=0))

    def finished(f: int) -> NodePosterior:
        problem, kept = batch.problems[f], keep[f]
        marginals = {
            deviation.name: Gridded(edges[f, [0, -1]], column[f][None], axis.variable, deviation.moments)
            for deviation, edges, column, axis in zip(problem.axes, points, columns, batch.axes[f], strict=False)
        }
        weights, embedded, sds = full[f, kept], halved[f, kept], values.sds[:, f, kept]
        return NodePosterior(
            problem,
            sds[0] if problem.tau is not None else np.zeros(weights.size),
            values.log_scales[:, f, kept],
            weights / weights.sum(),
            embedded / embedded.sum(),
            values.mean[:, f, kept],
            values.cov[:, :, f, kept],
            marginals.get("tau"),
            float(peak[f]) + math.log(float(full[f].sum())) if problem.proper else None,
            float(errors[f].max()),
            tuple(counts),
            sds,
            marginals,
        )

    answers: list[NodePosterior | InferenceError | FloatArray | None] = []
    for f in range(count):
        if undefined[f]:
            answers.append(
                InferenceError("the posterior density is undefined at a node; check the scale of the data and priors.")
            )
        elif wider[f]:
            answers.append(None)
        else:
            answers.append(finished(f) if (errors[f] <= tolerance).all() else errors[f])
    return answers, low, high


def _column(table: FloatArray, rules: Sequence[FloatArray], half: FloatArray, axis: int) -> FloatArray:
    """Density along one axis, shape (F, n), the others integrated out, with integral one."""
    column = table
    for i in reversed(range(len(rules))):
        if i != axis:
            column = np.moveaxis(column, i + 1, -1) @ rules[i]
    return np.asarray(column / (half[:, axis] * (column @ rules[axis]))[:, None])


def _widened(
    batch: AnyIntegrand, table: FloatArray, low: FloatArray, high: FloatArray, defined: BoolArray
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Windows without ends at which the integrand is still high, unless the axis ends there too."""
    d = low.shape[1]
    profiles = [table.max(axis=tuple(j for j in range(1, d + 1) if j != i + 1)) if d > 1 else table for i in range(d)]
    first, last = (np.column_stack([profile[:, end] for profile in profiles]) > CUT_OFF for end in (0, -1))
    half = 0.5 * (high - low)
    first &= (low > batch.ends[:, :, 0]) & defined[:, None]
    last &= (high < batch.ends[:, :, 1]) & defined[:, None]
    low = np.where(first, np.maximum(batch.ends[:, :, 0], low - half), low)
    high = np.where(last, np.minimum(batch.ends[:, :, 1], high + half), high)
    return (first | last).any(axis=1), low, high


def _matters(batch: AnyIntegrand, sds: FloatArray, weights: FloatArray, share: float = NEGLIGIBLE) -> BoolArray:
    """Nodes, (F, N), that change a digit of a probability, or of a moment that exists."""
    matters = weights > share * weights.max(axis=1)[:, None]
    for sd, moments in zip(sds, batch.moments, strict=True):
        pull = weights * (1.0 + (sd / batch.typical_se) ** moments)
        pull = np.where(np.isfinite(pull), pull, 0.0)
        matters |= pull > share * pull.max(axis=1)[:, None]
    return matters


def _non_negligible(batch: AnyIntegrand, sds: FloatArray, weights: FloatArray) -> BoolArray:
    """Nodes without the lightest, which together hold a negligible share of every probability and existing moment."""
    kept = np.zeros(weights.shape, bool)
    pulls = [weights]
    for sd, moments in zip(sds, batch.moments, strict=True):
        if moments[0, 0] > 0:
            pull = weights * (sd / batch.typical_se) ** moments
            pulls.append(np.where(np.isfinite(pull), pull, 0.0))
    for pull in pulls:
        order = np.argsort(pull[0])
        total = np.cumsum(pull[0, order])
        kept[0, order[total > LIGHT * total[-1]]] = True
    return kept


def _differences(
    batch: AnyIntegrand, values: Values, fine: FloatArray, variants: Sequence[FloatArray], matters: BoolArray
) -> list[FloatArray]:
    """Largest relative difference of evidence, existing moments and tail probabilities between a rule and others, (F,).

    Nodes that do not matter change no digit, and may have infinite moments.
    """
    total, inner = fine.sum(axis=1), matters
    sds, mean, var, others = values.sds, values.mean[0], values.cov[0, 0], variants
    if fine.shape[1] > MANY_NODES and len(fine) == 1:
        # of very many the lightest move an answer by less than 1e-10 together
        used = _matters(batch, sds, fine, 1e-10 / fine.shape[1])[0]
        inner, fine, mean, var = inner[:, used], fine[:, used], mean[:, used], var[:, used]
        sds, others = sds[:, :, used], [variant[:, used] for variant in variants]
    weight = np.where(inner, fine / total[:, None], 0.0)
    mean, sd = np.where(inner, mean, 0.0), np.sqrt(np.where(inner, var, 1.0))

    def expect(items: FloatArray, by: FloatArray) -> FloatArray:
        return np.einsum("fn,fn->f", by, items)

    centre = expect(mean, weight)
    # with infinite moments the spread in the middle of the posterior is the scale that matters
    usual = 10 * sd[np.arange(len(sd)), weight.argmax(axis=1)]
    spread = np.sqrt(expect(np.square(np.minimum(sd, usual[:, None])), weight))
    spread = np.where(spread > 0, spread, 1.0)
    points = (centre[:, None] + spread[:, None] * POINTS)[:, :, None]
    tails = special.ndtr((points - mean[:, None, :]) / sd[:, None, :])
    # what is compared beside probabilities: where it exists, its value at each node, and its scale
    answers = [(batch.mu_moments >= 1, mean, np.maximum(np.abs(centre), spread))]
    around = np.square(sd) + np.square(mean - centre[:, None])
    answers.append((batch.mu_moments >= 2, around, expect(around, weight)))
    for values_of_sd, moments in zip(np.where(inner, sds, 0.0), batch.moments, strict=True):
        for power, raised in ((1, values_of_sd), (2, np.square(values_of_sd))):
            answers.append((moments >= power, raised, expect(raised, weight)))
    found = []
    for variant, other in zip(variants, others, strict=True):
        mass = variant.sum(axis=1)
        change = weight - np.where(inner, other / mass[:, None], 0.0)
        worst = np.maximum(np.abs((tails @ change[:, :, None])[:, :, 0]).max(axis=1), np.abs(np.log(total / mass)))
        for exists, items, scale in answers:
            relative = np.abs(expect(items, change)) / scale
            worst = np.where(exists[:, 0], np.maximum(worst, relative), worst)
        found.append(np.where(np.isnan(worst) | ~(mass > 0), np.inf, worst))
    return found


def refined(quadrature: NodePosterior, effects: Effects, model: Model) -> NodePosterior:
    """Integrate again with twice the nodes, for a question that had not settled.

    Raises
    ------
    InferenceError
        If an answer does not settle with the largest number of nodes.
    """
    if not quadrature.nodes or max(quadrature.nodes) * 2 > MAX_NODES:
        raise InferenceError("an answer did not settle with the largest number of nodes; use a smoother prior.")
    if not quadrature.problem.simple:
        nodes = tuple(2 * n - 1 for n in quadrature.nodes)
        if math.prod(nodes) > MAX_BOX_NODES:
            raise InferenceError(
                f"an answer did not settle with {math.prod(quadrature.nodes)} nodes. Use smoother priors, or "
                'engine="nuts".'
            )
        return solve(effects, model, nodes=nodes)
    return solve(effects, model, first_nodes=2 * max(quadrature.nodes) - 1)
