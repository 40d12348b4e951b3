"""The exact engine: a finite mixture of normals over quadrature nodes, as accurate as double precision shows.

Accuracy is checked, not hoped for: rules are nested, every answer is computed on the full and on the half set of
nodes, and nodes are doubled until the two agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta import numerics
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
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
    hierarchical_sd_axis,
    log_scale,
    narrow,
    scale_axis,
    scale_log_density,
    tau_axis,
    tau_log_prior,
    unsettled,
)
from bayesmeta.exact.batched import has_one_sd, solve_batch
from bayesmeta.exact.likelihood import ConditionalMoments, Rotation
from bayesmeta.exact.problem import IntegrationProblem, NodePosterior, StandardDeviation, build_problem, rotation_of
from bayesmeta.marginals import Gridded
from bayesmeta.model import Model

__all__ = ["refined", "solve", "solve_all"]

FloatArray = NDArray[np.float64]

MAX_TENSOR_NODES = 2_000_000
# with several standard deviations most of the box is empty and costs nothing
MAX_BOX_NODES = 6_000_000
# log mixing scales that are tried when the window of tau is sought: the last lets a prior reach data 1e9 scales away
TRIAL_SCALES = np.arange(-3.0, 43.0, 3.0)
# beyond so many nodes those that hold this share of all weight are left out: every answer costs time per node
MANY_NODES = 20_000
# nats below the maximum at which windows of several axes end: 1e-15 is left out, and every nat costs nodes on each axis
BOX_WINDOW = 34.0
# nats below the maximum, beyond which a node changes no digit whatever its weight in a rule
NODE_WINDOW = 34.0
LIGHT = 1e-11
# points per axis of the boxes that are searched where there are several standard deviations, by number of axes
BOX_POINTS = {1: 161, 2: 41, 3: 21}
# rounds of that search; each may shrink a box tenfold, and a prior may be 1e12 times narrower than the standard errors
BOX_ROUNDS = 20


def _windows(problem: IntegrationProblem, axes: list[Axis]) -> list[tuple[float, float]]:
    """Stretch of each axis that holds the posterior, and the integrands of the moments that exist."""
    if not problem.simple:
        return _boxed_windows(problem, axes)
    if len(axes) == 1:
        return [narrow(lambda z: _log_integrand(problem, axes, [z])[0], axes[0].scan)]
    trials = [np.exp(-0.5 * TRIAL_SCALES[::-1]) if axis.root else TRIAL_SCALES for axis in axes]
    # mixing scales move the posterior of tau little, so a few of them show where it lies; then each scale in turn
    windows: list[tuple[float, float]] = []
    position = 0
    if problem.tau is not None:
        trial = np.array(np.meshgrid(*trials[1:])).reshape(len(problem.scales), -1)

        def profile(z: FloatArray, moments: bool) -> FloatArray:
            others = [np.tile(v, z.size) for v in trial]
            values = _log_integrand(problem, axes, [np.repeat(z, trial.shape[1]), *others])[0]
            best = values.reshape(z.size, trial.shape[1]).max(axis=1)
            return best + _moment_weight(problem, axes[0].variable.x(z)) if moments else best

        low, high = narrow(lambda z: profile(z, False), axes[0].scan)
        if problem.tau_moments > 0 and math.isfinite(problem.tau.tail[0]):
            high = max(high, narrow(lambda z: profile(z, True), axes[0].scan)[1])
        windows.append((low, high))
        position = 1
    inner = [np.linspace(low, high, 17) for low, high in windows]
    for axis in range(position, len(axes)):
        others = [trials[i] if i != axis else axes[axis].scan for i in range(position, len(axes))]
        grids = np.meshgrid(*inner, *others, indexing="ij")
        values = _log_integrand(problem, axes, [g.ravel() for g in grids])[0].reshape(grids[0].shape)
        best = values.max(axis=tuple(i for i in range(len(axes)) if i != axis))
        inside = np.flatnonzero(best >= best.max() - WINDOW)
        scan = axes[axis].scan
        windows.append((float(scan[max(inside[0] - 1, 0)]), float(scan[min(inside[-1] + 1, scan.size - 1)])))
    return windows


def _boxed_windows(problem: IntegrationProblem, axes: list[Axis]) -> list[tuple[float, float]]:
    """Search all axes together: the box that holds what is within 34 nats of the maximum, on finer and finer grids.

    Standard deviations trade against each other, so that none has a window of its own. Each round keeps one point
    beyond what it found on every side; what it missed all the same shows at an end of a window (`_widened`).
    """
    number = BOX_POINTS[len(axes)]
    points = [_spread_out(axis.scan, number) for axis in axes]
    heavy_tailed = [i for i, axis in enumerate(problem.axes) if axis.moments > 0 and math.isfinite(axis.prior.tail[0])]
    for _ in range(BOX_ROUNDS):
        grids = [g.ravel() for g in np.meshgrid(*points, indexing="ij")]
        value, sds, _, _ = _log_integrand(problem, axes, grids)
        if not np.any(np.isfinite(value)):
            raise InferenceError(NOWHERE)
        inside = value >= np.nanmax(value) - BOX_WINDOW
        for i in heavy_tailed:
            pulled = value + problem.axes[i].moments * np.log1p(sds[i] / problem.typical_se)
            inside |= pulled >= np.nanmax(pulled) - BOX_WINDOW
        shape = tuple(p.size for p in points)
        places = np.nonzero(inside.reshape(shape))
        windows, shrunk = [], False
        for axis, place in zip(points, places, strict=True):
            first, last = max(int(place.min()) - 1, 0), min(int(place.max()) + 1, axis.size - 1)
            windows.append((float(axis[first]), float(axis[last])))
            shrunk |= last - first < 0.7 * (axis.size - 1)
        if not shrunk:
            break
        points = [np.linspace(low, high, number) for low, high in windows]
    return windows


def _spread_out(scan: FloatArray, number: int) -> FloatArray:
    """Some of the points of a scan, both ends among them."""
    return scan[np.unique(np.linspace(0, scan.size - 1, number).round().astype(int))]


def _moment_weight(problem: IntegrationProblem, tau: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return problem.tau_moments * np.log1p(tau / problem.typical_se)


def _log_integrand(
    problem: IntegrationProblem, axes: list[Axis], z: list[FloatArray]
) -> tuple[FloatArray, FloatArray, list[FloatArray], ConditionalMoments]:
    """Log of prior times likelihood times Jacobian at points of the axes; also SDs, log scales and coefficients.

    The SDs have the shape (S, N).
    """
    size = z[0].size if z else 1
    log_prior = np.zeros(size)
    sds = np.empty((len(problem.axes), size))
    for i, (deviation, axis, points) in enumerate(zip(problem.axes, axes, z, strict=False)):
        # on a grid the first axis stays where it is while the others run
        starts = np.flatnonzero(np.concatenate([[True], np.diff(points) != 0])) if i == 0 else np.arange(size)
        runs = np.diff(np.append(starts, size))
        sd = axis.variable.x(points[starts])
        if axis.floor:
            sd = np.maximum(sd, axis.floor)
        density = tau_log_prior(deviation.prior, points[starts], axis.variable, problem.rotation.a, problem.rotation.b)
        sds[i] = np.repeat(sd, runs)
        log_prior = log_prior + np.repeat(density, runs)
    position = len(problem.axes)
    log_scales = []
    for scale, axis, points in zip(problem.scales, axes[position:], z[position:], strict=True):
        log_prior = log_prior + scale_log_density(axis, points, scale.df)
        log_scales.append(log_scale(axis, points))
    tau = sds[0] if problem.tau is not None else np.zeros(size)
    conditional = problem.conditional(tau, log_scales, sds)
    return conditional.log_marginal + log_prior + problem.log_cut(conditional), sds, log_scales, conditional


def _axis(problem: IntegrationProblem, deviation: StandardDeviation) -> Axis:
    choose = tau_axis if deviation.columns is None else hierarchical_sd_axis
    return choose(deviation.prior, problem.typical_se)


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
    if has_one_sd(problem):
        found = solve_batch([problem], first_nodes=nodes[0] if nodes else first_nodes, tolerance=tolerance)[0]
        if isinstance(found, InferenceError):
            raise found
        return found
    return _solve(problem, first_nodes, tolerance, nodes)


def solve_all(tasks: Sequence[tuple[Effects, Model]]) -> list[NodePosterior | ModelError]:
    """`solve` for many models, those with tau as their only standard deviation batched.

    Parameters
    ----------
    tasks : sequence of (Effects, Model)

    Returns
    -------
    list of Quadrature or ModelError
        In the order of the tasks; where the posterior is improper the error that says so stands in its place.

    Raises
    ------
    InferenceError
        Where the nodes do not settle.
    """
    found: list[IntegrationProblem | NodePosterior | ModelError] = []
    # refits under other priors have the same rows
    rotations: dict[tuple[int, float, bool], Rotation] = {}
    for effects, model in tasks:
        key = (id(effects), model.rho, model.cluster_tau is None)
        if key not in rotations:
            rotations[key] = rotation_of(effects, model)
        try:
            found.append(build_problem(effects, model, rotations[key]))
        except ModelError as error:
            found.append(error)
    places = [i for i, item in enumerate(found) if isinstance(item, IntegrationProblem) and has_one_sd(item)]
    solved = solve_batch([found[i] for i in places])  # type: ignore[misc]
    for i, item in zip(places, solved, strict=True):
        if isinstance(item, InferenceError):
            raise item
        found[i] = item
    return [
        _solve(item, FIRST_NODES, TOLERANCE, None) if isinstance(item, IntegrationProblem) else item for item in found
    ]


def _solve(
    problem: IntegrationProblem, first_nodes: int, tolerance: float, nodes: tuple[int, ...] | None
) -> NodePosterior:
    axes = [_axis(problem, deviation) for deviation in problem.axes]
    axes += [scale_axis(scale.df) for scale in problem.scales]
    if not axes:
        return _without_axes(problem)
    windows = _windows(problem, axes)
    counts = [first_nodes] + [max(33, first_nodes // 2 + 1)] * (len(axes) - 1) if len(axes) > 1 else [first_nodes]
    if nodes is not None:
        counts = list(nodes)
    while True:
        result, errors, wider = _on_nodes(problem, axes, windows, counts, tolerance)
        if wider != windows:
            # the search for the windows rests on a few trial scales; what it missed shows at an end
            windows = wider
            continue
        if result is not None:
            return result
        counts = [n if error <= tolerance else 2 * n - 1 for n, error in zip(counts, errors, strict=True)]
        if max(counts) > MAX_NODES or math.prod(counts) > (MAX_TENSOR_NODES if problem.simple else MAX_BOX_NODES):
            raise InferenceError(unsettled(tolerance, max(counts) // 2 + 1, max(errors)))


def _without_axes(problem: IntegrationProblem) -> NodePosterior:
    value, _, _, conditional = _log_integrand(problem, [], [])
    one = np.ones(1)
    evidence = float(value[0]) if problem.proper else None
    return NodePosterior(
        problem, np.zeros(1), np.empty((0, 1)), one, one, conditional.mean, conditional.cov, None, evidence, 0.0, ()
    )


def _on_nodes(
    problem: IntegrationProblem,
    axes: list[Axis],
    windows: list[tuple[float, float]],
    counts: list[int],
    tolerance: float,
) -> tuple[NodePosterior | None, list[float], list[tuple[float, float]]]:
    """Integrate on given rules.

    Returns
    -------
    Quadrature or None
        None where a window cuts something off or an answer has not settled.
    errors : list of float
        What halving the rule of each axis changes; empty where a window cuts something off.
    windows : list of (low, high)
        The windows, wider where they cut something off.
    """
    points, fine, half = [], [], []
    for (low, high), n in zip(windows, counts, strict=True):
        nodes, weights = numerics.rule(n)
        scale = 0.5 * (high - low)
        points.append(0.5 * (high + low) + scale * nodes)
        fine.append(scale * weights)
        embedded = np.zeros(n)
        embedded[::2] = scale * numerics.rule((n + 1) // 2)[1]
        half.append(embedded)
    grids = [g.ravel() for g in np.meshgrid(*points, indexing="ij")]
    # the corners of a large box hold nothing, and are not evaluated
    used = None if problem.simple or grids[0].size <= MANY_NODES else _within_window(problem, axes, points)
    value, sds, log_scales, conditional = _log_integrand(problem, axes, [_at(g, used) for g in grids])
    if np.isnan(value).any() or np.isposinf(value).any():
        raise InferenceError(UNDEFINED)
    peak = float(value.max())
    density = np.exp(value - peak)
    table = density.reshape(counts) if used is None else np.zeros(counts)
    if used is not None:
        table[used.reshape(counts)] = density
    wider = _widened(table, axes, windows)
    if wider != windows:
        return None, [], wider

    def integrate(rules: list[FloatArray]) -> FloatArray:
        weights = rules[0]
        for rule in rules[1:]:
            weights = (weights[:, None] * rule).ravel()
        return _at(weights, used) * density

    full = integrate(fine)
    variants = [integrate([half[i] if i == axis else fine[i] for i in range(len(axes))]) for axis in range(len(axes))]
    errors = _differences(problem, sds, conditional, full, variants)
    columns = [_column(table, fine, i) for i in range(len(problem.axes))]
    for i, column in enumerate(columns):
        # the distribution function is that of the interpolant, so its last coefficients must have vanished too
        series = numerics.coefficients(column)
        errors[i] = max(errors[i], 0.1 * float(np.abs(series[-3:]).max() / np.abs(series).max()))
    if not max(errors) <= tolerance:
        return None, errors, wider
    marginals = {
        deviation.name: Gridded(np.array(window), column[None, :], axis.variable, deviation.moments)
        for deviation, window, column, axis in zip(problem.axes, windows, columns, axes, strict=False)
    }
    keep = _matters(problem, sds, full)
    for variant in variants:
        keep |= _matters(problem, sds, np.abs(variant))
    if keep.sum() > MANY_NODES:
        keep &= _non_negligible(problem, sds, np.max(np.abs([full, *variants]), axis=0))
    coarse = integrate(half)
    result = NodePosterior(
        problem,
        sds[0, keep] if problem.tau is not None else np.zeros(int(keep.sum())),
        np.array([v[keep] for v in log_scales]).reshape(len(log_scales), int(keep.sum())),
        full[keep] / full[keep].sum(),
        coarse[keep] / coarse[keep].sum(),
        conditional.mean[:, keep],
        conditional.cov[:, :, keep],
        marginals.get("tau"),
        peak + math.log(float(full.sum())) if problem.proper else None,
        max(errors),
        tuple(counts),
        sds[:, keep],
        marginals,
    )
    return result, errors, wider


def _at(values: FloatArray, used: NDArray[np.bool_] | None) -> FloatArray:
    return values if used is None else values[used]


def _within_window(problem: IntegrationProblem, axes: list[Axis], points: list[FloatArray]) -> NDArray[np.bool_]:
    """Nodes that can change a digit of an integral, or of a moment that exists, from every fourth node of each axis.

    A node counts with the largest value at a coarse node within two steps of the coarse rule. The difference of two
    coarse neighbours is a few nats, and what is left out lies `NODE_WINDOW` below the maximum.
    """
    from scipy import ndimage

    coarse = [axis[::4] for axis in points]
    value, sds, _, _ = _log_integrand(problem, axes, [g.ravel() for g in np.meshgrid(*coarse, indexing="ij")])
    shape = [axis.size for axis in coarse]
    forms = [value]
    forms += [
        value + deviation.moments * np.log1p(sd / problem.typical_se)
        for deviation, sd in zip(problem.axes, sds, strict=True)
        if deviation.moments > 0
    ]
    near = np.zeros(shape, bool)
    for form in forms:
        near |= (form >= np.nanmax(form) - NODE_WINDOW).reshape(shape)
    near = ndimage.binary_dilation(near, np.ones([3] * len(shape)))
    for number, axis in enumerate(points):
        near = near.take(np.round(np.arange(axis.size) / 4).astype(int), axis=number)
    return near.ravel()


def _column(density: FloatArray, rules: list[FloatArray], axis: int) -> FloatArray:
    """Density along one axis, the others integrated out, with integral one."""
    if len(rules) == 1:
        return density / float(rules[0] @ density)
    table = np.moveaxis(density, axis, 0).reshape(density.shape[axis], -1)
    others = [rule for i, rule in enumerate(rules) if i != axis]
    if others:
        weights = others[0]
        for rule in others[1:]:
            weights = (weights[:, None] * rule).ravel()
        table = table @ weights[:, None]
    return table[:, 0] / float(rules[axis] @ table[:, 0])


def _widened(density: FloatArray, axes: list[Axis], windows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Windows without ends at which the integrand is still high, unless the axis ends there too."""
    wider = []
    for number, (axis, (low, high)) in enumerate(zip(axes, windows, strict=True)):
        profile = density.max(axis=tuple(i for i in range(len(axes)) if i != number))
        half_width = 0.5 * (high - low)
        first, last = float(axis.scan[0]), float(axis.scan[-1])
        if profile[0] > CUT_OFF * profile.max() and low > first:
            low = max(first, low - half_width)
        if profile[-1] > CUT_OFF * profile.max() and high < last:
            high = min(last, high + half_width)
        wider.append((low, high))
    return wider


def _matters(
    problem: IntegrationProblem, sds: FloatArray, weights: FloatArray, share: float = NEGLIGIBLE
) -> NDArray[np.bool_]:
    """Nodes that change a digit of a probability, or of a moment that exists."""
    matters = weights > share * weights.max()
    for axis, sd in zip(problem.axes, sds, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            pull = weights * (1.0 + (sd / problem.typical_se) ** max(axis.moments, 0))
        pull = np.where(np.isfinite(pull), pull, 0.0)
        matters |= pull > share * pull.max()
    return matters


def _non_negligible(problem: IntegrationProblem, sds: FloatArray, weights: FloatArray) -> NDArray[np.bool_]:
    """Nodes without the lightest, which together hold a negligible share of every probability and existing moment."""
    kept = np.zeros(weights.size, bool)
    pulls = [weights]
    for axis, sd in zip(problem.axes, sds, strict=True):
        if axis.moments > 0:
            with np.errstate(over="ignore", invalid="ignore"):
                pull = weights * (sd / problem.typical_se) ** axis.moments
            pulls.append(np.where(np.isfinite(pull), pull, 0.0))
    for pull in pulls:
        order = np.argsort(pull)
        total = np.cumsum(pull[order])
        kept[order[total > LIGHT * total[-1]]] = True
    return kept


def _differences(
    problem: IntegrationProblem,
    sds: FloatArray,
    conditional: ConditionalMoments,
    fine: FloatArray,
    variants: list[FloatArray],
) -> list[float]:
    """Largest relative difference of evidence, existing moments and tail probabilities, between one rule and others."""
    total = float(fine.sum())
    # no rule changes a digit at other nodes; of very many the lightest move an answer by less than 1e-10 together
    share = NEGLIGIBLE if fine.size <= MANY_NODES else 1e-10 / fine.size
    inner = _matters(problem, sds, fine, share)
    weight = fine[inner] / total
    mean, sd = conditional.mean[0, inner], np.sqrt(conditional.cov[0, 0, inner])
    centre = float(weight @ mean)
    # with infinite moments the spread in the middle of the posterior is the scale that matters
    spread = math.sqrt(float(weight @ np.minimum(sd, 10 * sd[np.argmax(weight)]) ** 2)) or 1.0
    # what is compared: one row per answer, its value at each node, and its scale
    answers = [special.ndtr((point - mean) / sd) for point in centre + spread * POINTS]
    scales = [1.0] * POINTS.size
    for axis, values in zip(problem.axes, sds, strict=True):
        for power in range(1, axis.moments + 1):
            answers.append(values[inner] ** power)
            scales.append(float(weight @ answers[-1]))
    # a truncated coefficient has other moments than its normal kernel, which may have none
    if problem.mu_moments >= 1 and problem.cut is None:
        answers.append(mean)
        scales.append(max(abs(centre), spread))
    if problem.mu_moments >= 2 and problem.cut is None:
        answers.append(sd**2 + (mean - centre) ** 2)
        scales.append(float(weight @ answers[-1]))
    differences = []
    for variant in variants:
        other = float(variant.sum())
        if not other > 0:
            differences.append(math.inf)
            continue
        change = weight - variant[inner] / other
        worst = max(abs(float(change @ answer)) / scale for answer, scale in zip(answers, scales, strict=True))
        differences.append(max(abs(math.log(total / other)), worst))
    return differences


def refined(quadrature: NodePosterior, effects: Effects, model: Model) -> NodePosterior:
    """Integrate again with twice the nodes, for a question that had not settled."""
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
