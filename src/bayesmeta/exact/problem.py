"""One model for one set of effects, in the form that is integrated.

Everything here is a function of arrays: given the standard deviations (tau, that between rows of a cluster, those of
exchangeable coefficients) and the mixing scales of Student-t priors all that is unknown is Gaussian.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.exact import clusters, spreads
from bayesmeta.exact.axes import moment_limit, power_count, require_proper
from bayesmeta.exact.clusters import ClusterLayout
from bayesmeta.exact.likelihood import (
    MAX_ELEMENTS,
    ConditionalMoments,
    LinearModel,
    Rotation,
    combine,
    condition,
    reduce_rows,
    rotate,
    stack,
)
from bayesmeta.exact.spreads import SpreadLayout
from bayesmeta.exact.supported import location, require_supported, why_unsupported
from bayesmeta.model import Columns, Design, Model, build_design, effect_correlations
from bayesmeta.priors import Prior, resolve

__all__ = [
    "IntegrationProblem",
    "Scale",
    "Truncation",
    "build_problem",
    "log_interval",
    "rotation_of",
    "why_unsupported",
]

FloatArray = NDArray[np.float64]


class Truncation(NamedTuple):
    """A truncated coefficient: which one, and its ends; the log of its prior's normaliser."""

    column: int
    low: float
    high: float
    log_mass: float


class Scale(NamedTuple):
    """A Student-t prior as a scale mixture: the columns that share the scale, and its degrees of freedom."""

    columns: slice
    df: float


class StandardDeviation(NamedTuple):
    """One SD that is integrated over.

    ``name`` is ``tau`` (of study effects; between clusters where there are any), ``tau[LEVEL]`` where it differs by
    level, ``tau_within`` (between rows of one cluster) or ``sd[TERM]`` (of the coefficients in ``columns``).
    ``moments`` is its highest existing moment.
    """

    name: str
    prior: Prior
    columns: slice | None
    moments: int


@dataclass(frozen=True, slots=True, eq=False)
class IntegrationProblem:
    """One model for one set of effects, in the rotated basis: all that the integrals need.

    Attributes
    ----------
    y, X : arrays of shape (k,) and (k, p), rotated
    prior_mean, prior_precision : arrays of shape (p,)
        Of the normal kernel of each coefficient, before any mixing scale; precision 0 is flat. A coefficient with a
        hierarchical SD is in units of it.
    hierarchical_scale : array of shape (p,)
        What a hierarchical SD is multiplied by to give that of the coefficient.
    axes : tuple of StandardDeviation
        The SDs, in the order of their axes; tau, or that of every level, first.
    cluster : ClusterLayout or None
    spread : SpreadLayout or None
        Where tau differs by level.
    column_moments : array of int of shape (p,)
        Highest posterior moment that exists, per coefficient.
    """

    design: Design
    rotation: Rotation
    y: FloatArray
    X: FloatArray
    tau: Prior | None
    prior_mean: FloatArray
    prior_precision: FloatArray
    scales: tuple[Scale, ...]
    cut: Truncation | None
    proper: bool
    tau_moments: int
    column_moments: NDArray[np.intp]
    typical_se: float
    hierarchical_scale: FloatArray
    axes: tuple[StandardDeviation, ...]
    cluster: ClusterLayout | None
    spread: SpreadLayout | None = None

    @property
    def sds(self) -> tuple[str, ...]:
        """Names of the standard deviations that are integrated over."""
        return tuple(axis.name for axis in self.axes)

    @property
    def simple(self) -> bool:
        """Whether tau is the only standard deviation."""
        return self.sds in ((), ("tau",))

    @property
    def linear(self) -> LinearModel:
        """Rows and priors, without mixing scales and truncation."""
        return LinearModel(self.y, self.X, self.rotation, self.prior_mean, self.prior_precision)

    @property
    def mu_moments(self) -> int:
        """Highest moment of mu that exists."""
        return int(self.column_moments[0])

    def sd(self, name: str, sds: FloatArray) -> FloatArray:
        """Row of an array of SDs, shape (S, N), by name; zeros where the model has none of that name."""
        return sds[self.sds.index(name)] if name in self.sds else np.zeros(sds.shape[1])

    def conditional(
        self, tau: FloatArray, log_scales: list[FloatArray], sds: FloatArray | None = None
    ) -> ConditionalMoments:
        """Integrate the coefficients out at nodes.

        Parameters
        ----------
        tau : array of shape (N,)
        log_scales : list of arrays of shape (N,)
            Log mixing scales.
        sds : array of shape (S, N), optional
            All standard deviations, tau among them; needed where tau is not the only one.
        """
        precision = np.broadcast_to(self.prior_precision[:, None], (self.prior_mean.size, tau.size))
        if self.scales:
            precision = precision.copy()
            for scale, v in zip(self.scales, log_scales, strict=True):
                precision[scale.columns] = precision[scale.columns] * np.exp(-v)
        if not self.simple or self.scales:
            # on a grid of nodes tau stays the same over many priors of the coefficients
            return self._from_reduced(tau, np.empty((0, tau.size)) if sds is None else sds, precision)
        found = condition(stack([self.linear]), tau[None])
        return ConditionalMoments(found.log_marginal[0], found.mean[:, 0], found.cov[:, :, 0])

    def _from_reduced(self, tau: FloatArray, sds: FloatArray, precision: FloatArray) -> ConditionalMoments:
        """Reduce the rows once per run of equal variances, then vary the priors."""
        within = self.sd("tau_within", sds)
        taus = np.vstack([tau, within]) if self.spread is None else sds[: len(self.spread.priors)]
        changes = np.concatenate([[False], (np.diff(taus) != 0).any(axis=0)])
        index = np.cumsum(changes)
        first = np.concatenate([[0], np.flatnonzero(changes)])
        p = self.prior_mean.size
        hierarchical = self._hierarchical_sd(tau.size, sds)
        result = ConditionalMoments(np.empty(tau.size), np.empty((p, tau.size)), np.empty((p, p, tau.size)))
        # pieces of whole runs, and within these as many nodes as fit in memory
        step = max(1, int(MAX_ELEMENTS // ((p + 2) * self.y.size)))
        wide = max(1, int(MAX_ELEMENTS // (16 * p * p)))
        for start in range(0, first.size, step):
            used = first[start : start + step]
            given = (self.y, self.X, self.rotation)
            if self.spread is not None:
                reduced = spreads.reduce_rows(taus[:, used], *given, self.spread)
            elif self.cluster is not None:
                reduced = clusters.reduce_rows(tau[used], within[used], *given, self.cluster)
            else:
                reduced = reduce_rows(tau[used], *given)
            stop = int(first[start + step]) if start + step < first.size else tau.size
            for begin in range(int(used[0]), stop, wide):
                part = slice(begin, min(begin + wide, stop))
                scale = None if hierarchical is None else hierarchical[:, part]
                piece = combine(reduced, index[part] - start, self.prior_mean, precision[:, part], scale)
                result.log_marginal[part] = piece.log_marginal
                result.mean[:, part], result.cov[:, :, part] = piece.mean, piece.cov
        return result

    def _hierarchical_sd(self, size: int, sds: FloatArray | None) -> FloatArray | None:
        """The hierarchical SD of every coefficient, one elsewhere, shape (p, N); None where there is none."""
        if all(axis.columns is None for axis in self.axes):
            return None
        assert sds is not None
        scale = np.ones((self.prior_mean.size, size))
        for axis, sd in zip(self.axes, sds, strict=True):
            if axis.columns is not None:
                # an SD as large as this has no posterior weight, and its square must stay a number
                scale[axis.columns] = np.minimum(sd, 1e100) * self.hierarchical_scale[axis.columns, None]
        return scale

    def log_cut(self, conditional: ConditionalMoments) -> FloatArray:
        """Log probability that the untruncated posterior gives to the truncated coefficient's interval."""
        if self.cut is None:
            return np.zeros(conditional.log_marginal.shape)
        mean, sd = conditional.mean[self.cut.column], np.sqrt(conditional.cov[self.cut.column, self.cut.column])
        return log_interval((self.cut.low - mean) / sd, (self.cut.high - mean) / sd) - self.cut.log_mass


def log_interval(low: FloatArray, high: FloatArray) -> FloatArray:
    """Log of ``Phi(high) - Phi(low)``, accurate in both tails."""
    flip = low > 0
    lower, upper = np.where(flip, -high, low), np.where(flip, -low, high)
    log_upper, log_lower = special.log_ndtr(upper), special.log_ndtr(lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        return log_upper + np.log(-np.expm1(np.minimum(log_lower - log_upper, 0.0)))


@dataclass(slots=True)
class _Locations:
    """Priors of the coefficients, collected term by term."""

    mean: FloatArray
    precision: FloatArray
    hierarchical_scale: FloatArray
    df: FloatArray
    scales: list[Scale]
    cut: Truncation | None = None
    proper: bool = True

    def add(self, item: Columns, design: Design) -> None:
        term, columns, prior = item.name, item.columns, item.prior
        if prior is None:
            # in units of the hierarchical SD
            self.precision[columns] = 1.0
            self.hierarchical_scale[columns] = design.prior_scale[columns]
            self.df[columns] = math.nan
            return
        loc, scale, df, cut, log_mass = location(prior)
        categorical = any(design.factors[part].levels for part in item.moderators)
        if categorical and (loc != 0 or cut is not None):
            raise ModelError(
                f"moderator {term}: {prior!r} is not symmetric about zero, so its levels would not be exchangeable. "
                "Use a normal, Student-t or Cauchy prior with location 0, or flat()."
            )
        self.mean[columns] = loc
        if math.isfinite(scale):
            self.precision[columns] = 1.0 / np.square(scale * design.prior_scale[columns])
        if math.isfinite(df) and math.isfinite(scale):
            self.scales.append(Scale(columns, df))
        if cut is not None:
            self.cut = Truncation(columns.start, *cut, log_mass)
        self.proper = self.proper and prior.proper
        bounded = cut is not None and math.isfinite(cut[0]) and math.isfinite(cut[1])
        self.df[columns] = math.inf if bounded else 0.0 if not math.isfinite(scale) else df


def _deviations(design: Design, model: Model, spread: SpreadLayout | None) -> list[StandardDeviation]:
    """The SDs of a model, before it is known which of their moments exist."""
    axes = []
    taus = {"tau": model.tau} if spread is None else dict(zip(spread.names, spread.priors.values(), strict=True))
    for name, prior in (*taus.items(), ("tau_within", model.cluster_tau)):
        if prior is not None:
            axes.append(StandardDeviation(name, resolve(prior), None, 2))
    for item in design.terms:
        if item.sd is not None:
            axes.append(StandardDeviation(f"sd[{item.name}]", resolve(item.sd), item.columns, 2))
    return axes


def _refuse_improper(axes: list[StandardDeviation], k: int, count: int, flat: int) -> None:
    shown = ", ".join(f"{axis.prior!r} for {axis.name}" for axis in axes)
    raise ModelError(
        f"the posterior is improper: {shown} with {k} rows{f' in {count} clusters' if count else ''} and {flat} flat "
        f"coefficient{'' if flat == 1 else 's'} leaves too little information. Use proper priors for the standard "
        "deviations, such as halfnormal(0.5), or more trials."
    )


def rotation_of(effects: Effects, model: Model) -> Rotation:
    """The basis in which rows are independent."""
    if model.tau_by is not None:
        return spreads.rotation(effects, model)
    # rows of a cluster are independent given its effect, so that the correlation within blocks plays no part
    return rotate(
        effects.se, effects.blocks, effect_correlations(effects, model.rho) if model.cluster_tau is None else 0.0
    )


def build_problem(effects: Effects, model: Model, rotation: Rotation | None = None) -> IntegrationProblem:
    """Put effects and model into the form that is integrated.

    Parameters
    ----------
    effects : Effects
    model : Model
    rotation : Rotation, optional
        What `rotation_of` gives, where it is known already.

    Raises
    ------
    ModelError
        Where the posterior is improper, the design has not full rank under flat priors, or the model is beyond the
        exact engine; the message says which.
    """
    require_supported(effects, model)
    design = build_design(effects, model)
    rotation = rotation_of(effects, model) if rotation is None else rotation
    layout = None if model.cluster_tau is None else clusters.layout(effects, rotation)
    spread = None if model.tau_by is None else spreads.layout(effects, model, design)
    p = design.p
    given = _Locations(np.zeros(p), np.zeros(p), np.ones(p), np.full(p, math.inf), [])
    for item in design.terms:
        given.add(item, design)
    precision = given.precision
    cut_flat = given.cut is not None and precision[given.cut.column] == 0
    # a flat coefficient between finite ends is proper: it does not cost a row's worth of information
    flat = int((precision == 0).sum()) - int(cut_flat)
    X = rotation.apply(design.X)
    if flat and np.linalg.matrix_rank(X[:, precision == 0]) < int((precision == 0).sum()):
        raise ModelError(
            f"the design has rank {np.linalg.matrix_rank(X)} and {p} coefficients, and flat priors cannot tell them "
            "apart. Use proper priors or fewer moderators."
        )
    axes = _deviations(design, model, spread)
    tau = None if model.tau is None else resolve(model.tau)
    if len(axes) > (tau is not None):
        unbounded = precision == 0
        if cut_flat and given.cut is not None:
            unbounded[given.cut.column] = False
        space: dict[str, str | tuple[int, ...]]
        space = {"tau": "rows" if layout is None else "clusters", "tau_within": "rows"}
        if spread is not None:
            space |= dict(zip(spread.names, spread.spaces(rotation), strict=True))
        count = power_count(
            [axis.prior for axis in axes],
            [axis.columns or space[axis.name] for axis in axes],
            design.X,
            unbounded,
            None if layout is None else layout.number,
        )
        if not count.proper:
            _refuse_improper(axes, effects.k, 0 if layout is None else len(layout.names), flat)
        axes = [axis._replace(moments=count.of_sd(i)) for i, axis in enumerate(axes)]
        # a coefficient with a hierarchical SD has no tail of its own
        df = np.where(np.isnan(given.df), 0.0, given.df)
        moments = [count.of_column(j, df[j]) if np.isfinite(df[j]) else 2 for j in range(p)]
    else:
        random_rows = int((rotation.b > 0).sum())
        if flat and random_rows < effects.k:
            # contrasts within a trial whose rows share one true effect do not widen with tau: they give no factor back
            flat -= int(np.linalg.matrix_rank(X[rotation.b == 0][:, precision == 0]))
        if tau is not None:
            require_proper(tau, random_rows, flat)
        limits = {df: moment_limit(tau, random_rows, flat, df) for df in set(given.df.tolist())}
        axes = [axis._replace(moments=next(iter(limits.values()))[0]) for axis in axes]
        moments = [limits[df][1] for df in given.df.tolist()]
    return IntegrationProblem(
        design,
        rotation,
        rotation.apply(effects.y),
        X,
        tau,
        given.mean,
        precision,
        tuple(given.scales),
        given.cut,
        given.proper and all(axis.prior.proper for axis in axes),
        axes[0].moments if tau is not None else 2,
        np.array(moments, np.intp),
        float(np.median(effects.se)),
        given.hierarchical_scale,
        tuple(axes),
        layout,
        spread,
    )
