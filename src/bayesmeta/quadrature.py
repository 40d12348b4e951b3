"""The exact engine: a finite mixture of normals over quadrature nodes, as accurate as double precision shows.

Accuracy is checked, not hoped for: rules are nested, every answer is computed on the full and on the half set of
nodes, and nodes are doubled until the two agree.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta import chebyshev
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError
from bayesmeta.likelihood import Conditional
from bayesmeta.marginals import Gridded
from bayesmeta.model import Model
from bayesmeta.nodes import WINDOW, Axis, log_scale, narrow, scale_axis, scale_log_density, tau_axis, tau_log_prior
from bayesmeta.problem import Problem, Quadrature, build_problem

__all__ = ["refined", "solve"]

FloatArray = NDArray[np.float64]

# nested rules differ by this much, relative, before nodes are doubled again
TOLERANCE = 1e-8
FIRST_NODES = 65
MAX_NODES = 16385
MAX_TENSOR_NODES = 2_000_000
# log mixing scales that are tried when the window of tau is sought: the last lets a prior reach data 1e9 scales away
TRIAL_SCALES = np.arange(-3.0, 43.0, 3.0)
# an end of a window at which the integrand is above this share of its maximum cuts something off
CUT_OFF = 1e-12
# nodes whose weight is below this share of the largest change no digit
NEGLIGIBLE = 1e-24


def _windows(problem: Problem, axes: list[Axis]) -> list[tuple[float, float]]:
    """Stretch of each axis that holds the posterior, and the integrands of the moments that exist."""
    if len(axes) == 1:

        def along(z: FloatArray) -> FloatArray:
            return _log_integrand(problem, axes, [z])[0]

        def with_moment(z: FloatArray) -> FloatArray:
            return along(z) + _moment_weight(problem, axes[0].variable.x(z))

        low, high = narrow(along, axes[0].scan)
        if problem.tau is not None and problem.tau_moments > 0 and math.isfinite(problem.tau.tail[0]):
            high = max(high, narrow(with_moment, axes[0].scan)[1])
        return [(low, high)]
    trials = [np.exp(-0.5 * TRIAL_SCALES[::-1]) if axis.root else TRIAL_SCALES for axis in axes]
    # mixing scales move the posterior of tau little, so a few of them show where it lies; then each scale in turn
    windows: list[tuple[float, float]] = []
    position = 0
    if problem.tau is not None:
        trial = np.array(np.meshgrid(*trials[1:])).reshape(len(problem.scales), -1)

        def profile(z: FloatArray, moments: bool) -> FloatArray:
            others = [np.repeat(v, z.size) for v in trial]
            values = _log_integrand(problem, axes, [np.tile(z, trial.shape[1]), *others])[0]
            best = values.reshape(trial.shape[1], z.size).max(axis=0)
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


def _moment_weight(problem: Problem, tau: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return problem.tau_moments * np.log1p(tau / problem.typical_se)


def _log_integrand(
    problem: Problem, axes: list[Axis], z: list[FloatArray]
) -> tuple[FloatArray, FloatArray, list[FloatArray], Conditional]:
    """Log of prior times likelihood times Jacobian at points of the axes; also tau, log scales and coefficients."""
    position = 0
    tau = np.zeros(z[0].size if z else 1)
    log_prior = np.zeros(tau.size)
    if problem.tau is not None:
        tau = axes[0].variable.x(z[0])
        log_prior = tau_log_prior(problem.tau, z[0], axes[0].variable, problem.rotation.a, problem.rotation.b)
        position = 1
    log_scales = []
    for scale, axis, points in zip(problem.scales, axes[position:], z[position:], strict=True):
        log_prior = log_prior + scale_log_density(axis, points, scale.df)
        log_scales.append(log_scale(axis, points))
    conditional = problem.conditional(tau, log_scales)
    return conditional.log_marginal + log_prior + problem.log_cut(conditional), tau, log_scales, conditional


def solve(
    effects: Effects, model: Model, *, first_nodes: int = FIRST_NODES, tolerance: float = TOLERANCE
) -> Quadrature:
    """Integrate the model exactly.

    Parameters
    ----------
    effects : Effects
    model : Model
    first_nodes : int
        Nodes per axis to start with, ``2**m + 1``.
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
    axes = [] if problem.tau is None else [tau_axis(problem.tau, problem.typical_se)]
    axes += [scale_axis(scale.df) for scale in problem.scales]
    if not axes:
        return _without_axes(problem)
    windows = _windows(problem, axes)
    counts = [first_nodes] + [max(33, first_nodes // 2 + 1)] * (len(axes) - 1) if len(axes) > 1 else [first_nodes]
    while True:
        result, unsettled, wider = _on_nodes(problem, axes, windows, counts, tolerance)
        if wider != windows:
            # the search for the windows rests on a few trial scales; what it missed shows at an end
            windows = wider
            continue
        if not unsettled:
            return result
        for axis in unsettled:
            counts[axis] = 2 * counts[axis] - 1
        if max(counts) > MAX_NODES or math.prod(counts) > MAX_TENSOR_NODES:
            raise InferenceError(
                f"the integral did not settle to {tolerance:g} with {max(counts) // 2 + 1} nodes (reached "
                f"{result.error:.1e}). Check for a standard error far below all others, or use a smoother prior."
            )


def _without_axes(problem: Problem) -> Quadrature:
    value, tau, _, conditional = _log_integrand(problem, [], [])
    one = np.ones(1)
    evidence = float(value[0]) if problem.proper else None
    return Quadrature(
        problem, tau, np.empty((0, 1)), one, one, conditional.mean, conditional.cov, None, evidence, 0.0, ()
    )


def _on_nodes(
    problem: Problem, axes: list[Axis], windows: list[tuple[float, float]], counts: list[int], tolerance: float
) -> tuple[Quadrature, list[int], list[tuple[float, float]]]:
    """Integrate on given rules; name the axes on which halving the rule changes an answer, and widen cut windows."""
    points, fine, half = [], [], []
    for (low, high), n in zip(windows, counts, strict=True):
        nodes, weights = chebyshev.rule(n)
        scale = 0.5 * (high - low)
        points.append(0.5 * (high + low) + scale * nodes)
        fine.append(scale * weights)
        thin = np.zeros(n)
        thin[::2] = scale * chebyshev.rule((n + 1) // 2)[1]
        half.append(thin)
    grids = [g.ravel() for g in np.meshgrid(*points, indexing="ij")]
    value, tau, log_scales, conditional = _log_integrand(problem, axes, grids)
    if np.isnan(value).any() or np.isposinf(value).any():
        raise InferenceError("the posterior density is undefined at a node; check the scale of the data and priors.")
    peak = float(value.max())
    density = np.exp(value - peak)

    def integrate(rules: list[FloatArray]) -> FloatArray:
        weights = rules[0]
        for rule in rules[1:]:
            weights = (weights[:, None] * rule).ravel()
        return weights * density

    full = integrate(fine)
    total = float(full.sum())
    evidence = peak + math.log(total)
    tau_marginal = None
    variants = [integrate([half[i] if i == axis else fine[i] for i in range(len(axes))]) for axis in range(len(axes))]
    roughness = 0.0
    if problem.tau is not None:
        table = density.reshape(counts[0], -1)
        if len(axes) > 1:
            others = fine[1]
            for rule in fine[2:]:
                others = (others[:, None] * rule).ravel()
            table = table @ others[:, None]
        column = table[:, 0] / float(fine[0] @ table[:, 0])
        tau_marginal = Gridded(np.array(windows[0]), column[None, :], axes[0].variable, problem.tau_moments)
        series = chebyshev.coefficients(column)
        roughness = float(np.abs(series[-3:]).max() / np.abs(series).max())
    errors = [
        _difference(problem, tau, conditional, full, variant) if variant.sum() > 0 else math.inf for variant in variants
    ]
    # the distribution function of tau is that of the interpolant, so its last coefficients must have vanished too
    if problem.tau is not None:
        errors[0] = max(errors[0], 0.1 * roughness)
    keep = _matters(problem, tau, full)
    for variant in variants:
        keep |= _matters(problem, tau, np.abs(variant))
    coarse = integrate(half)
    result = Quadrature(
        problem,
        tau[keep],
        np.array([v[keep] for v in log_scales]).reshape(len(log_scales), int(keep.sum())),
        full[keep] / full[keep].sum(),
        coarse[keep] / coarse[keep].sum(),
        conditional.mean[:, keep],
        conditional.cov[:, :, keep],
        tau_marginal,
        evidence if problem.proper else None,
        max(errors),
        tuple(counts),
    )
    unsettled = [axis for axis, error in enumerate(errors) if not error <= tolerance]
    return result, unsettled, _widened(density.reshape(counts), axes, windows)


def _widened(density: FloatArray, axes: list[Axis], windows: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Windows without ends at which the integrand is still high, unless the axis ends there too."""
    wider = []
    for number, (axis, (low, high)) in enumerate(zip(axes, windows, strict=True)):
        profile = density.max(axis=tuple(i for i in range(len(axes)) if i != number))
        reach = 0.5 * (high - low)
        first, last = float(axis.scan[0]), float(axis.scan[-1])
        if profile[0] > CUT_OFF * profile.max() and low > first:
            low = max(first, low - reach)
        if profile[-1] > CUT_OFF * profile.max() and high < last:
            high = min(last, high + reach)
        wider.append((low, high))
    return wider


def _matters(problem: Problem, tau: FloatArray, weights: FloatArray) -> NDArray[np.bool_]:
    """Nodes that change a digit of a probability, or of a moment that exists."""
    with np.errstate(over="ignore", invalid="ignore"):
        pull = weights * (1.0 + (tau / problem.typical_se) ** max(problem.tau_moments, 0))
    pull = np.where(np.isfinite(pull), pull, 0.0)
    return (weights > NEGLIGIBLE * weights.max()) | (pull > NEGLIGIBLE * pull.max())


def _difference(
    problem: Problem, tau: FloatArray, conditional: Conditional, fine: FloatArray, coarse: FloatArray
) -> float:
    """Largest relative difference of evidence, existing moments and tail probabilities between two rules."""
    total, other = fine.sum(), coarse.sum()
    w, c = fine / total, coarse / other
    differences = [abs(math.log(total / other))]

    if problem.tau is not None:
        for power in range(1, problem.tau_moments + 1):
            with np.errstate(over="ignore"):
                moment = np.where(w + np.abs(c) > 0, tau, 0.0) ** power
            differences.append(abs(float((w - c) @ moment)) / float(w @ moment))
    mean, sd = conditional.mean[0], np.sqrt(conditional.cov[0, 0])
    inner = _matters(problem, tau, w)
    mean, sd, change = mean[inner], sd[inner], (w - c)[inner]
    centre = float(w[inner] @ mean)
    # with infinite moments the spread in the middle of the posterior is the scale that matters
    spread = math.sqrt(float(w[inner] @ np.minimum(sd, 10 * sd[np.argmax(w[inner])]) ** 2)) or 1.0
    # a truncated coefficient has other moments than its normal kernel, which may have none
    if problem.mu_moments >= 1 and problem.cut is None:
        differences.append(abs(float(change @ mean)) / max(abs(centre), spread))
    if problem.mu_moments >= 2 and problem.cut is None:
        second = sd**2 + (mean - centre) ** 2
        differences.append(abs(float(change @ second)) / float(w[inner] @ second))
    points = centre + spread * np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    differences.append(float(np.abs(special.ndtr((points[:, None] - mean) / sd) @ change).max()))
    return max(differences)


def refined(quadrature: Quadrature, effects: Effects, model: Model) -> Quadrature:
    """Integrate again with twice the nodes, for a question that had not settled."""
    if not quadrature.nodes or max(quadrature.nodes) * 2 > MAX_NODES:
        raise InferenceError("an answer did not settle with the largest number of nodes; use a smoother prior.")
    return solve(effects, model, first_nodes=2 * max(quadrature.nodes) - 1)
