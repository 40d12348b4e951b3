"""The integrand of one model with several axes: standard deviations beside tau, mixing scales, or both.

Nodes are a product of one rule per axis, as one long axis. Most of a large box is empty and is not evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import InferenceError
from bayesmeta.exact.axes import (
    Axis,
    hierarchical_sd_axis,
    log_scale,
    scale_axis,
    scale_log_density,
    tau_axis,
    tau_log_prior,
)
from bayesmeta.exact.batched import Integrand, Values, is_heavy_tailed, shared_fields
from bayesmeta.exact.likelihood import ConditionalMoments
from bayesmeta.exact.problem import IntegrationProblem
from bayesmeta.exact.windows import NOWHERE, WINDOW, narrow, seek

__all__ = ["MANY_NODES", "WithSeveralAxes", "alone", "axes_of", "mesh"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

# log mixing scales that are tried when the window of tau is sought: the last lets a prior reach data 1e9 scales away
TRIAL_SCALES = np.arange(-3.0, 43.0, 3.0)
# beyond so many nodes those in empty corners, and those that hold next to nothing, are left out
MANY_NODES = 20_000
# nats below the maximum at which windows of several axes end: 1e-15 is left out, and every nat costs nodes on each axis
BOX_WINDOW = 34.0
# nats below the maximum, beyond which a node changes no digit whatever its weight in a rule
NODE_WINDOW = 34.0
# points per axis of the boxes that are searched where there are several standard deviations, by number of axes
BOX_POINTS = {1: 161, 2: 41, 3: 21}
# rounds of that search; each may shrink a box tenfold, and a prior may be 1e12 times narrower than the standard errors
BOX_ROUNDS = 20


def axes_of(problem: IntegrationProblem) -> tuple[Axis, ...]:
    """Variables of its standard deviations, then of its mixing scales."""
    return (
        *(
            (tau_axis if deviation.columns is None else hierarchical_sd_axis)(deviation.prior, problem.typical_se)
            for deviation in problem.axes
        ),
        *(scale_axis(scale.df) for scale in problem.scales),
    )


def mesh(points: Sequence[FloatArray]) -> list[FloatArray]:
    """Coordinates of a product of axes, points of shape (..., n) each, with the product as one long axis."""
    if len(points) == 1:
        return list(points)
    lead, sizes = points[0].shape[:-1], tuple(item.shape[-1] for item in points)
    grids = []
    for number, item in enumerate(points):
        shape = (*lead, *(sizes[number] if i == number else 1 for i in range(len(sizes))))
        grids.append(np.broadcast_to(item.reshape(shape), (*lead, *sizes)).reshape(*lead, -1))
    return grids


def alone(problem: IntegrationProblem) -> WithSeveralAxes:
    """One problem with its axes."""
    return WithSeveralAxes(**shared_fields([problem], [axes_of(problem)]))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WithSeveralAxes(Integrand):
    """One problem, F = 1, with any number of axes."""

    def take(self, chosen: BoolArray) -> WithSeveralAxes:
        """Itself."""
        return self

    def values(self, z: Sequence[FloatArray]) -> Values:
        """Log integrand at points (1, N) of each axis."""
        value, sds, log_scales, found = _log_integrand(self.problems[0], self.axes[0], [points[0] for points in z])
        scales = np.array(log_scales).reshape(len(log_scales), 1, value.size)
        return Values(value[None], sds[:, None], scales, found.mean[:, None], found.cov[:, :, None])

    def windows(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Integration interval of each axis, (1, d)."""
        search = _windows if self.problems[0].simple else _boxed_windows
        found = np.array(search(self.problems[0], self.axes[0]))
        return found[None, :, 0], found[None, :, 1], np.ones(1, bool)

    def within(self, points: Sequence[FloatArray]) -> BoolArray | None:
        """Nodes that can change a digit; None is all."""
        if self.problems[0].simple or math.prod(item.shape[1] for item in points) <= MANY_NODES:
            return None
        return _within_window(self.problems[0], self.axes[0], [item[0] for item in points])


def _windows(problem: IntegrationProblem, axes: Sequence[Axis]) -> list[tuple[float, float]]:
    """Stretch of each axis that holds the posterior, and the integrands of the moments that exist."""
    if len(axes) == 1:
        return [narrow(lambda z: _log_integrand(problem, axes, [z])[0], axes[0].scan)]
    trials = [np.exp(-0.5 * TRIAL_SCALES[::-1]) if axis.root else TRIAL_SCALES for axis in axes]
    # mixing scales move the posterior of tau little, so a few of them show where it lies; then each scale in turn
    windows: list[tuple[float, float]] = []
    position = 0
    if problem.tau is not None:
        trial = np.array(np.meshgrid(*trials[1:])).reshape(len(problem.scales), -1)

        def profile(z: FloatArray, _: BoolArray) -> list[FloatArray]:
            others = [np.tile(v, z.size) for v in trial]
            values = _log_integrand(problem, axes, [np.repeat(z[0], trial.shape[1]), *others])[0]
            best = values.reshape(z.size, trial.shape[1]).max(axis=1)
            if not is_heavy_tailed(problem):
                return [best[None]]
            with np.errstate(divide="ignore"):
                weight = problem.tau_moments * np.log1p(axes[0].variable.x(z[0]) / problem.typical_se)
            return [best[None], (best + weight)[None]]

        lows, highs, somewhere = seek(profile, axes[0].scan[None])
        if not somewhere[0]:
            raise InferenceError(NOWHERE)
        low, high = float(lows[0]), float(highs[0])
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


def _boxed_windows(problem: IntegrationProblem, axes: Sequence[Axis]) -> list[tuple[float, float]]:
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


def _log_integrand(
    problem: IntegrationProblem, axes: Sequence[Axis], z: list[FloatArray]
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


def _within_window(problem: IntegrationProblem, axes: Sequence[Axis], points: list[FloatArray]) -> NDArray[np.bool_]:
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
