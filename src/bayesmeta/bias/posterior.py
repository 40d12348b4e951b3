"""What one candidate model answers: linear functions of its mean, its heterogeneity and the parameters of its bias."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.bias.cells import log_chance_of_being_seen
from bayesmeta.bias.dependence import shrink
from bayesmeta.bias.importance import Sampled
from bayesmeta.bias.integration import Table
from bayesmeta.bias.mixing import atom, mixed
from bayesmeta.bias.specification import PEESE, PET, StepSelection
from bayesmeta.bias.stated import CopasSelection
from bayesmeta.errors import ModelError
from bayesmeta.marginals import Gridded, Marginal, NormalMixture, from_density
from bayesmeta.numerics import coefficients, embedded, evaluate, rule
from bayesmeta.priors import Normal

__all__ = [
    "draws_of",
    "heavy_nodes",
    "mean_of",
    "new_study_of",
    "share_above",
    "slope_of",
    "study_of",
    "tau_of",
    "weight_of",
]

FloatArray = NDArray[np.float64]
#: Nodes that hold less than this change no digit of an answer.
_LIGHT = 1e-13
#: Nodes that hold less than this together are left out of marginals that cost an integral at each.
_LIGHT_INNER = 1e-8
#: Normal components stand for a density where neighbours are nearer than this many of their SDs, and at most how many.
_SPACING, _MOST = 0.9, 4097
#: Of a mean given tau, what a node holds whose distance from its neighbours is felt.
_FELT = 1e-9
#: Where panels of a tabulated density begin, as shares of the mass before them.
_PANELS = (0.0, 1e-8, 1e-4, 0.02, 0.2, 0.5, 0.8, 0.98, 1 - 1e-4, 1 - 1e-8, 1.0)
_WEIGHT_NODES = 65
#: Draws on which the marginal of a weight is averaged where coefficients are drawn.
_SOME = 400


def _moments(table: Table) -> int:
    """Highest posterior moment of the mean that surely exists: a heavy prior may leave a heavy tail."""
    prior = table.model.mu
    power = math.inf if prior is None else prior.tail[0]
    return 2 if power > 3 or table.rows.y.size > 3 else 1 if power > 2 or table.rows.y.size > 2 else 0


def mean_of(tables: Sequence[Table], shares: Sequence[float] | FloatArray, scale: float = 1.0) -> Marginal:
    """``scale`` times the mean effect, averaged over models.

    Parameters
    ----------
    tables : sequence of Table
    shares : array of shape (N,)
        Posterior probabilities, up to their sum.
    scale : float
        Not zero.

    Returns
    -------
    Marginal
        With an atom at zero where a model has no effect.
    """
    shares = np.asarray(shares, float)
    shares = shares / shares.sum()
    free = [
        (share, table) for share, table in zip(shares, tables, strict=True) if table.model.mu is not None and share > 0
    ]
    held = 1.0 - math.fsum(share for share, _ in free)
    if not free:
        return atom(0.0)
    columns: list[list[FloatArray]] = [[], [], [], [], []]
    for share, table in free:
        weights = share * table.mass.sum(axis=1)
        kept = weights > _LIGHT
        series = coefficients(table.density[kept])
        for column, values in zip(
            columns, (weights[kept], table.centre[kept], table.scale[kept], table.ends[kept]), strict=False
        ):
            column.append(values)
        columns[4].append(series)
    weights, centre, spread, ends = (np.concatenate(column) for column in columns[:4])
    longest = max(series.shape[1] for series in columns[4])
    series = np.concatenate([np.pad(item, ((0, 0), (0, longest - item.shape[1]))) for item in columns[4]])

    def density(x: FloatArray) -> FloatArray:
        total = np.zeros(x.size)
        mu = x / scale
        for w, c, s, (low, high), own in zip(weights, centre, spread, ends, series, strict=True):
            u = (mu - c) / s
            z = np.arcsinh(u)
            inside = (z >= low) & (z <= high)
            # rounding must not leave the interval of the series
            t = np.clip((2.0 * z[inside] - low - high) / (high - low), -1.0, 1.0)
            total[inside] += w * np.maximum(evaluate(t, own)[0], 0.0) / (s * np.sqrt(1.0 + u[inside] ** 2))
        return total / abs(scale)

    x = np.concatenate([scale * table.mu[table.mass > _LIGHT] for _, table in free])
    mass = np.concatenate([share * table.mass[table.mass > _LIGHT] for share, table in free])
    limits = scale * np.concatenate([(centre + spread * np.sinh(ends[:, i])) for i in (0, 1)])
    order = np.argsort(x)
    before = np.cumsum(mass[order])
    inner = np.interp(_PANELS[1:-1], before / before[-1], x[order])
    breaks = np.unique(np.concatenate([[limits.min()], inner, [limits.max()]]))
    found = from_density(density, breaks, moments=min(_moments(table) for _, table in free), tolerance=1e-10)
    return found if held <= 1e-15 else mixed([held, 1.0 - held], [atom(0.0), found])


def new_study_of(table: Table, scale: float = 1.0) -> Marginal:
    """``scale`` times the effect in a new study."""
    if table.model.tau is None:
        return mean_of([table], [1.0], scale)
    ones = np.ones(table.tau.size)
    return _linear(table, 0.0 * ones, scale * ones, abs(scale) * table.tau)


def study_of(table: Table, row: int, scale: float = 1.0) -> Marginal:
    """``scale`` times the true effect of one trial.

    Raises
    ------
    ModelError
        Under PET and PEESE with a prior of the mean that is not normal, and under Copas selection, where being seen
        says something of a trial's error.
    """
    if isinstance(table.model.bias, CopasSelection):
        raise ModelError(f"the true effect of one trial under {table.model.bias.name} is not available.")
    if isinstance(table.model.bias, PET | PEESE):
        return _study_with_slope(table, row, scale)
    if table.model.tau is None:
        return mean_of([table], [1.0], scale)
    own, other, partner, variance = shrink(table.rows.se, table.rows.pairs, row, table.tau)
    start = own * table.rows.y[row] + other * table.rows.y[partner]
    return _linear(table, scale * start, scale * (1.0 - own - other), abs(scale) * np.sqrt(variance))


def tau_of(table: Table) -> Marginal:
    """The between-study SD; an atom at zero under a common effect."""
    if table.model.tau is None:
        return atom(0.0)
    k, power = table.rows.y.size, table.model.tau.tail[0]
    moments = 2 if power + k - 1 > 3 else 1 if power + k - 1 > 2 else 0
    return Gridded(np.array(table.tau_ends), table.tau_density[None, :], table.tau_variable, moments)


def _linear(table: Table, start: FloatArray, slope: FloatArray, sd: FloatArray) -> Marginal:
    """``start + slope mu + sd Z`` at each tau, as a mixture of normals."""
    weights = table.mass.sum(axis=1)
    if table.model.mu is None:
        kept = weights > _LIGHT
        return NormalMixture(weights[kept] / weights[kept].sum(), start[kept], sd[kept])
    # how far apart neighbours of the mean are at most where there is mass, times the number of nodes
    t, _ = rule(table.mu.shape[1])
    z = 0.5 * table.ends.sum(axis=1)[:, None] + 0.5 * np.diff(table.ends) * t
    stretch = np.where(table.mass > _FELT * weights[:, None], np.cosh(z) * np.sqrt(1.0 - t * t), 0.0).max(axis=1)
    width = np.diff(table.ends)[:, 0] * table.scale * np.maximum(stretch, 1e-3)
    with np.errstate(divide="ignore"):
        needed = np.abs(slope) * width * math.pi / (2.0 * _SPACING * sd)
    levels = np.clip(np.ceil(np.log2(np.maximum(needed, 2.0))), 5, math.log2(_MOST - 1)).astype(int)
    # where even those are too far apart the deviation is so small that it may as well be their distance
    floor = np.abs(slope) * width * math.pi / (2.0 * _SPACING * 2.0**levels)
    parts = []
    for level in sorted(set(levels[weights > _LIGHT].tolist())):
        here = np.flatnonzero((levels == level) & (weights > _LIGHT))
        t, quadrature = rule(2**level + 1)
        z = 0.5 * table.ends[here].sum(axis=1)[:, None] + 0.5 * np.diff(table.ends[here]) * t
        density = np.array([evaluate(t, own)[0] for own in coefficients(table.density[here])])
        share = np.maximum(density, 0.0) * quadrature
        share *= (weights[here] / share.sum(axis=1))[:, None]
        mu = table.centre[here, None] + table.scale[here, None] * np.sinh(z)
        spread = np.broadcast_to(np.maximum(sd[here], floor[here])[:, None], mu.shape)
        kept = share > _LIGHT
        parts.append(np.array([share[kept], (start[here, None] + slope[here, None] * mu)[kept], spread[kept]]))
    shares, means, sds = np.concatenate(parts, axis=1)
    return NormalMixture(shares / shares.sum(), means, sds, _moments(table))


def share_above(table: Table, distance: ArrayLike, normal: ArrayLike, scale: float) -> FloatArray:
    """P(``scale mu > distance + |scale| tau normal``) for pairs of distance and normal quantile, shape (Q,).

    Of true effects a share above Phi(-normal) lies beyond the distance with that probability.
    """
    distance, normal = np.broadcast_arrays(np.asarray(distance, float), np.asarray(normal, float))
    weights = table.mass.sum(axis=1)
    edge = distance + np.where(table.tau[:, None] > 0, abs(scale) * table.tau[:, None] * normal, 0.0)
    if table.model.mu is None:
        return np.asarray(weights @ (edge < 0.0))
    total = np.zeros(distance.size)
    for n in np.flatnonzero(weights > _LIGHT):
        own = Gridded(table.ends[n], table.density[n][None, :])
        z = np.arcsinh((edge[n] / scale - table.centre[n]) / table.scale[n])
        total += weights[n] * (own.sf(z) if scale > 0 else own.cdf(z))
    return total


# -- parameters of bias ------------------------------------------------------------------------------------------------


def heavy_nodes(table: Table) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Nodes (mu, tau) with what they hold, by the embedded rules, those that hold next to nothing left out.

    Integrals have settled on these nodes too: that was the check.
    """
    mass, mu, tau = table.mass, table.mu, np.broadcast_to(table.tau[:, None], table.mass.shape)
    for axis in (0, 1):
        n = mass.shape[axis]
        if n > 1:
            ratio = np.moveaxis((embedded(n) / rule(n)[1])[::2].reshape(-1, 1), 0, axis)
            mass, mu, tau = (np.take(item, np.arange(0, n, 2), axis) for item in (mass, mu, tau))
            mass = mass * ratio
    order = np.argsort(mass, axis=None)
    light = np.cumsum(mass.ravel()[order]) < _LIGHT_INNER
    kept = order[~light]
    chosen = mass.ravel()[kept]
    return mu.ravel()[kept], tau.ravel()[kept], chosen / chosen.sum()


def slope_of(table: Table) -> Marginal:
    """The slope of PET or PEESE."""
    form = table.model.bias
    assert isinstance(form, PET | PEESE)
    given = _given_slope(table)
    log_total = given.log_total

    def density(b: FloatArray) -> FloatArray:
        found = np.empty(b.size)
        for start in range(0, b.size, 128):
            part = b[start : start + 128]
            log = form.slope.logpdf(part) + given.log(np.broadcast_to(part, (given.tau.size, part.size)))
            found[start : start + 128] = given.mass @ np.exp(log - log_total[:, None])
        return found

    top = float(given.slope.max())
    breaks = np.unique(np.concatenate([[0.0], top * np.array([0.02, 0.1, 0.25, 0.5, 1.0])]))
    return from_density(density, breaks, tolerance=1e-9)


@dataclass(frozen=True, slots=True, eq=False)
class _GivenSlope:
    """PET or PEESE with the mean integrated out, at nodes of tau (T,), which hold `mass`, and of the slope (T, S).

    `share` (T, S) is what a node of both holds, `log_total` (T,) the logarithm of the integral over the slope.
    """

    table: Table
    tau: FloatArray
    mass: FloatArray
    slope: FloatArray
    share: FloatArray
    log_total: FloatArray

    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Sums that the likelihood is made of, (T,): precision, its products with y and with x, and of y with x."""
        rows = self.table.rows
        found = rows.sums(self.tau, np.ones_like(rows.y), rows.y, rows.regressor)
        return found[:, 0, 0], found[:, 0, 1], found[:, 0, 2], found[:, 1, 2]

    def square(self) -> FloatArray:
        """Product of x with itself at each tau, (T,)."""
        return self.table.rows.sums(self.tau, self.table.rows.regressor)[:, 0, 0]

    def log(self, slope: FloatArray) -> FloatArray:
        """Logarithm of the likelihood of slopes (T, S) up to a constant of each tau, the mean integrated out."""
        total, pull, push, both = (item[:, None] for item in self.moments())
        quad = self.square()[:, None]
        base = slope * both - 0.5 * slope**2 * quad
        prior = self.table.model.mu
        if prior is None:
            return np.asarray(base)
        left = pull - slope * push
        if isinstance(prior, Normal):
            more = total + prior.sd**-2
            return np.asarray(base + 0.5 * (left + prior.mean / prior.sd**2) ** 2 / more)
        # of another prior: over the mean, where its likelihood is
        t, weights = rule(129)
        centre, sd = (left / total)[..., None], (1.0 / np.sqrt(total))[..., None]
        low = np.clip(centre - 9.0 * sd, *prior.support)
        high = np.clip(centre + 9.0 * sd, *prior.support)
        mu = 0.5 * (low + high) + 0.5 * (high - low) * t
        with np.errstate(divide="ignore"):
            log = prior.logpdf(mu) - 0.5 * ((mu - centre) / sd) ** 2 + np.log(0.5 * (high - low)) + np.log(weights)
        return np.asarray(base + 0.5 * left**2 / total + special.logsumexp(log, axis=-1))


def _given_slope(table: Table) -> _GivenSlope:
    """Nodes of tau and of the slope where the posterior has mass."""
    form = table.model.bias
    assert isinstance(form, PET | PEESE)
    held = table.mass.sum(axis=1)
    kept = held > _LIGHT
    empty = np.empty(0)
    start = _GivenSlope(table, table.tau[kept], held[kept] / held[kept].sum(), empty, empty, empty)
    total, pull, push, both = start.moments()
    quad = start.square()
    if table.model.mu is None:
        best, sd = both / quad, 1.0 / np.sqrt(quad)
    else:
        # a flat mean leaves the widest slope; where that is not known at all its prior ends it
        left = np.maximum(quad - push**2 / total, 1e-12 * quad)
        best, sd = (both - pull * push / total) / left, 1.0 / np.sqrt(left)
    low, high = np.maximum(best - 9.0 * sd, 0.0), np.maximum(best, 0.0) + 9.0 * sd
    t, weights = rule(513)
    # the square root puts nodes where a prior of a fixed scale has its mass, however long the window is
    root = 0.5 * (np.sqrt(low) + np.sqrt(high))[:, None] + 0.5 * (np.sqrt(high) - np.sqrt(low))[:, None] * t
    slope = root**2
    with np.errstate(divide="ignore"):
        log = form.slope.logpdf(slope) + start.log(slope) + np.log(weights) + np.log(2.0 * root)
        log += np.log(0.5 * (np.sqrt(high) - np.sqrt(low)))[:, None]
    log_total = special.logsumexp(log, axis=1)
    share = start.mass[:, None] * np.exp(log - log_total[:, None])
    return _GivenSlope(table, start.tau, start.mass, slope, share, log_total)


def weight_of(part: Table | Sampled, index: int) -> Marginal:
    """Weight of an interval of p after the first, ``index`` from 1.

    With ``w_j = sum_{l >= j} eta_l`` and a Dirichlet ``eta``, one weight x is Beta(sum of alpha from j, sum before),
    and the shares of x and of 1 - x are Dirichlet vectors of their own: x can be the outermost variable.
    """
    form, rows = part.model.bias, part.rows
    assert isinstance(form, StepSelection)
    assert rows.cells is not None
    if isinstance(part, Table):
        mu, tau, mass = heavy_nodes(part)
        centre = mu[:, None]
    else:
        centre, tau, mass = part.some(_SOME)
    chances = rows.chances(centre, tau)
    alpha, trials, inner = np.array(form.alpha), rows.cells.trials, part.inner
    a, b = float(alpha[index:].sum()), float(alpha[:index].sum())
    t, _ = rule(_WEIGHT_NODES)
    t = 0.5 * (1.0 + t)
    lower, log_lower = _simplex(alpha[index:], inner[index:])
    upper, log_upper = _simplex(alpha[:index], inner[: index - 1])
    # weights below x are its shares from the far end; those above are what 1 - x leaves
    below = np.cumsum(lower[:, ::-1], axis=1)[:, ::-1]
    above = np.cumsum(upper[:, ::-1], axis=1)[:, ::-1]
    log_mass = (log_upper[:, None] + log_lower).ravel()
    values = np.empty((t.size, tau.size))
    for i, x in enumerate(t * t):
        first = np.repeat(x + (1.0 - x) * above, len(below), axis=0)
        weights = np.column_stack([first, np.tile(x * below, (len(above), 1))])
        seen = log_mass + np.where(trials > 0, np.log(np.maximum(weights, 1e-300)) * trials, 0.0).sum(axis=1)
        values[i] = special.logsumexp(seen - log_chance_of_being_seen(chances, weights), axis=1)
    values += (special.xlogy(2.0 * a - 1.0, t) + special.xlog1py(b - 1.0, -t * t))[:, None]
    column = np.exp(values - values.max(axis=0))
    area = rule(_WEIGHT_NODES)[1] @ column
    series = coefficients((column / area) @ mass)

    def density(x: FloatArray) -> FloatArray:
        # rounding of the series would be divided by nothing; so near zero there is no mass
        root = np.maximum(np.sqrt(x), 1e-5)
        return np.maximum(evaluate(2.0 * root - 1.0, series)[0], 0.0) / root

    return from_density(density, [0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0], tolerance=1e-8)


def _simplex(alpha: FloatArray, nodes: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Gauss rule for a Dirichlet vector of any length: nodes (N, len(alpha)), logarithms of their mass."""
    rest, parts, log_mass = np.ones(1), np.empty((1, 0)), np.zeros(1)
    for j in range(alpha.size - 1):
        a, b = float(alpha[j + 1 :].sum()), float(alpha[j])
        x, mass = special.roots_jacobi(nodes[j], b - 1.0, 2.0 * a - 1.0)
        left = (0.5 * (1.0 + x)) ** 2
        log = np.log(mass) + (b - 1.0) * np.log1p(0.5 * (1.0 + x))
        log -= special.logsumexp(log)
        parts = np.column_stack(
            [np.repeat(parts, x.size, axis=0), np.repeat(rest, x.size) * np.tile(1.0 - left, rest.size)]
        )
        rest = np.repeat(rest, x.size) * np.tile(left, rest.size)
        log_mass = np.repeat(log_mass, x.size) + np.tile(log, log_mass.size)
    return np.column_stack([parts, rest]), log_mass


def _study_with_slope(table: Table, row: int, scale: float) -> Marginal:
    """A true effect under PET or PEESE: normal given tau and the slope, because the mean is."""
    prior, form = table.model.mu, table.model.bias
    assert isinstance(form, PET | PEESE)
    if not (prior is None or isinstance(prior, Normal)):
        raise ModelError(
            f"the true effect of one trial under {form.name} needs a normal prior of mu, and this one is {prior!r}."
        )
    given = _given_slope(table)
    y, x, slope, share, tau = table.rows.y, table.rows.regressor, given.slope, given.share, given.tau
    total, pull, push, _ = given.moments()
    own, other, partner, variance = (
        item if isinstance(item, int) else item[:, None] for item in shrink(table.rows.se, table.rows.pairs, row, tau)
    )
    centre, left = np.zeros(slope.shape), np.zeros((tau.size, 1))
    if prior is not None:
        total, pull = total + prior.sd**-2, pull + prior.mean / prior.sd**2
        centre, left = (pull[:, None] - slope * push[:, None]) / total[:, None], (1.0 / total)[:, None]
    means = own * (y[row] - slope * x[row]) + other * (y[partner] - slope * x[partner]) + (1.0 - own - other) * centre
    sds = np.sqrt(variance + (1.0 - own - other) ** 2 * left)[:, 0]
    sds = np.broadcast_to(abs(scale) * sds[:, None], means.shape)
    heavy = share > _LIGHT
    return NormalMixture(share[heavy] / share[heavy].sum(), scale * means[heavy], sds[heavy])


def draws_of(table: Table, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Independent draws of mean and between-study SD, shape (size,) each; the mean from the node's own density."""
    weights = table.mass.sum(axis=1)
    if table.model.tau is None:
        node, tau = np.zeros(size, int), np.zeros(size)
    else:
        tau = tau_of(table).rvs(size, rng)
        node = np.abs(np.subtract.outer(tau, table.tau)).argmin(axis=1)
        node = np.where(weights[node] > 0, node, int(weights.argmax()))
    mu = np.zeros(size)
    if table.model.mu is not None:
        for n in np.unique(node):
            here = node == n
            z = Gridded(table.ends[n], table.density[n][None, :]).rvs(int(here.sum()), rng)
            mu[here] = table.centre[n] + table.scale[n] * np.sinh(z)
    return mu, tau
