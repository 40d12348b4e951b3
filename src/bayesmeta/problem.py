"""One model for one set of effects, in the form that is integrated, and its posterior on nodes.

Everything here is a function of arrays: given tau (and the mixing scales of Student-t priors) all that is unknown is
Gaussian, so that a posterior is a weighted list of Gaussians, one per node.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.design import Design, build_design
from bayesmeta.distributions import Cauchy, Normal, Prior, StudentT, Truncated, Uniform
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.likelihood import Conditional, Rotation, condition, rotate, study_moments
from bayesmeta.marginals import Gridded
from bayesmeta.model import Model
from bayesmeta.nodes import moment_limit, require_proper
from bayesmeta.prior_tables import resolve

__all__ = ["Cut", "Functional", "Problem", "Quadrature", "Scale", "build_problem", "linear", "log_interval", "studies"]

FloatArray = NDArray[np.float64]
# two scale integrals beside tau are a few hundred thousand nodes; a third is out of reach of a tensor grid
MAX_SCALES = 2
# nodes times rows that are worked on at once
MAX_ELEMENTS = 4e6


class Cut(NamedTuple):
    """A truncated coefficient: which one, and its ends; the log of its prior's normaliser."""

    column: int
    low: float
    high: float
    log_mass: float


class Scale(NamedTuple):
    """A Student-t prior as a scale mixture: the columns that share the scale, and its degrees of freedom."""

    columns: slice
    df: float


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One model for one set of effects, in the rotated basis: all that the integrals need.

    Attributes
    ----------
    y, X : arrays of shape (k,) and (k, p), rotated
    prior_mean, prior_precision : arrays of shape (p,)
        Of the normal kernel of each coefficient, before any mixing scale; precision 0 is flat.
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
    cut: Cut | None
    proper: bool
    tau_moments: int
    column_moments: NDArray[np.intp]
    typical_se: float

    @property
    def mu_moments(self) -> int:
        """Highest moment of mu that exists."""
        return int(self.column_moments[0])

    def conditional(self, tau: FloatArray, log_scales: list[FloatArray]) -> Conditional:
        """Integrate the coefficients out at nodes given by tau and the log mixing scales, each of shape (N,)."""
        precision = np.broadcast_to(self.prior_precision[:, None], (self.prior_mean.size, tau.size))
        if self.scales:
            precision = precision.copy()
            for scale, v in zip(self.scales, log_scales, strict=True):
                precision[scale.columns] = precision[scale.columns] * np.exp(-v)
        # in pieces that fit in memory: tensor grids and large k multiply
        step = max(1, int(MAX_ELEMENTS // self.y.size))
        parts = [
            condition(
                tau[start : start + step],
                self.y,
                self.X,
                self.rotation,
                self.prior_mean,
                precision[:, start : start + step],
            )
            for start in range(0, tau.size, step)
        ]
        if len(parts) == 1:
            return parts[0]
        return Conditional(
            np.concatenate([part.log_marginal for part in parts]),
            np.concatenate([part.mean for part in parts], axis=-1),
            np.concatenate([part.cov for part in parts], axis=-1),
        )

    def log_cut(self, conditional: Conditional) -> FloatArray:
        """Log probability that the untruncated posterior gives to the truncated coefficient's interval."""
        if self.cut is None:
            return np.zeros(conditional.log_marginal.size)
        mean, sd = conditional.mean[self.cut.column], np.sqrt(conditional.cov[self.cut.column, self.cut.column])
        return log_interval((self.cut.low - mean) / sd, (self.cut.high - mean) / sd) - self.cut.log_mass


def log_interval(low: FloatArray, high: FloatArray) -> FloatArray:
    """Log of ``Phi(high) - Phi(low)``, accurate in both tails."""
    flip = low > 0
    lower, upper = np.where(flip, -high, low), np.where(flip, -low, high)
    log_upper, log_lower = special.log_ndtr(upper), special.log_ndtr(lower)
    with np.errstate(divide="ignore", invalid="ignore"):
        return log_upper + np.log(-np.expm1(np.minimum(log_lower - log_upper, 0.0)))


def _location(prior: Prior) -> tuple[float, float, float, tuple[float, float] | None, float]:
    """``(mean, scale, df, cut, log_mass)`` of a location prior; scale infinite is flat, df infinite is normal."""
    kernel = resolve(prior)
    if isinstance(kernel, Uniform):
        return 0.0, math.inf, math.inf, (kernel.low, kernel.high), math.log(kernel.high - kernel.low)
    if isinstance(kernel, Truncated):
        mean, scale, df, cut, _ = _location(kernel.prior)
        if cut is not None:
            raise ModelError(f"{prior!r}: write uniform({kernel.support[0]:g}, {kernel.support[1]:g}) instead.")
        return mean, scale, df, (kernel.low, kernel.high), math.log(kernel.mass)
    if isinstance(kernel, Normal):
        return kernel.mean, kernel.sd, math.inf, None, 0.0
    if isinstance(kernel, StudentT):
        return kernel.loc, kernel.scale, kernel.df, None, 0.0
    if isinstance(kernel, Cauchy):
        return kernel.loc, kernel.scale, 1.0, None, 0.0
    return 0.0, math.inf, math.inf, None, 0.0


def build_problem(effects: Effects, model: Model) -> Problem:
    """Put effects and model into the form that is integrated.

    Raises
    ------
    ModelError
        Where the posterior is improper, the design has not full rank under flat priors, or a combination of priors
        is beyond the exact engine; the message says which.
    """
    _refuse_clusters(effects)
    design = build_design(effects, model)
    rotation = rotate(effects.se, effects.blocks, model.rho)
    p = design.p
    mean, precision = np.zeros(p), np.zeros(p)
    scales: list[Scale] = []
    cuts: list[Cut] = []
    column_df = np.full(p, math.inf)
    proper = True
    for item in design.terms:
        term, columns, prior = item.name, item.columns, item.prior
        assert prior is not None
        loc, scale, df, cut, log_mass = _location(prior)
        categorical = term != "mu" and any(design.factors[part].levels for part in term.split(":"))
        if categorical and (loc != 0 or cut is not None):
            raise ModelError(
                f"moderator {term}: {prior!r} is not symmetric about zero, so its levels would not be exchangeable. "
                "Use a normal, Student-t or Cauchy prior with location 0, or flat()."
            )
        mean[columns] = loc
        if math.isfinite(scale):
            precision[columns] = 1.0 / np.square(scale * design.prior_scale[columns])
        if math.isfinite(df) and math.isfinite(scale):
            scales.append(Scale(columns, df))
        if cut is not None:
            cuts.append(Cut(columns.start, *cut, log_mass))
        proper = proper and prior.proper
        bounded = cut is not None and math.isfinite(cut[0]) and math.isfinite(cut[1])
        column_df[columns] = math.inf if bounded else 0.0 if not math.isfinite(scale) else df
    if len(cuts) > 1:
        raise ModelError(
            "only one coefficient can have a truncated or uniform prior; use normal priors for the others."
        )
    if len(scales) > MAX_SCALES:
        raise ModelError(
            f"{len(scales)} coefficients have Student-t or Cauchy priors; the exact engine integrates at most "
            f"{MAX_SCALES}. Use normal priors for the others."
        )
    cut_flat = bool(cuts) and precision[cuts[0].column] == 0
    # a flat coefficient between finite ends is proper: it does not cost a row's worth of information
    flat = int((precision == 0).sum()) - int(cut_flat)
    X = rotation.apply(design.X)
    if flat and np.linalg.matrix_rank(X[:, precision == 0]) < int((precision == 0).sum()):
        raise ModelError(
            f"the design has rank {np.linalg.matrix_rank(X)} and {p} coefficients, and flat priors cannot tell them "
            "apart. Use proper priors or fewer moderators."
        )
    tau = None if model.tau is None else resolve(model.tau)
    random_rows = int((rotation.b > 0).sum())
    if flat and random_rows < effects.k:
        # contrasts within a trial whose rows share one true effect do not widen with tau: they give no factor back
        flat -= int(np.linalg.matrix_rank(X[rotation.b == 0][:, precision == 0]))
    if tau is not None:
        require_proper(tau, random_rows, flat)
        proper = proper and tau.proper
    limits = {df: moment_limit(tau, random_rows, flat, df) for df in set(column_df.tolist())}
    tau_moments = next(iter(limits.values()))[0]
    column_moments = np.array([limits[df][1] for df in column_df.tolist()], np.intp)
    return Problem(
        design,
        rotation,
        rotation.apply(effects.y),
        X,
        tau,
        mean,
        precision,
        tuple(scales),
        cuts[0] if cuts else None,
        proper,
        tau_moments,
        column_moments,
        float(np.median(effects.se)),
    )


def _refuse_clusters(effects: Effects) -> None:
    """Rows of one cluster outside a block depend on each other in a way that no model here describes."""
    if effects.cluster is None:
        return
    block = {int(row): number for number, (rows, _) in enumerate(effects.blocks) for row in rows}
    seen: dict[str, int] = {}
    for row, name in enumerate(effects.cluster):
        place = block.get(row, -1 - row)
        if seen.setdefault(name, place) != place:
            raise ModelError(
                f"cluster {name!r} has several rows that share no covariance, and this version has no model for "
                "clusters. State a working_correlation, keep one row per cluster, or leave cluster out."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Quadrature:
    """The posterior on its nodes.

    Attributes
    ----------
    tau : array of shape (N,)
        Zero under a common effect.
    weights, coarse : arrays of shape (N,)
        Posterior weights by the full rule, and by the rule with half the nodes of each axis.
    mean, cov : arrays of shape (p, N), (p, p, N)
        Coefficients given the node, before truncation.
    log_evidence : float or None
        Log density of the data; None under an improper prior.
    error : float
        Largest relative difference between the two rules that was accepted.
    """

    problem: Problem
    tau: FloatArray
    log_scales: FloatArray
    weights: FloatArray
    coarse: FloatArray
    mean: FloatArray
    cov: FloatArray
    tau_marginal: Gridded | None
    log_evidence: float | None
    error: float
    nodes: tuple[int, ...]

    def __post_init__(self) -> None:
        # one memory layout, so that sums run in one order and a loaded fit answers bit for bit as before
        for name in ("tau", "log_scales", "weights", "coarse", "mean", "cov"):
            array = np.array(getattr(self, name), float, order="C")
            array.flags.writeable = False
            object.__setattr__(self, name, array)


@dataclass(frozen=True, slots=True, eq=False)
class Functional:
    """Quantities that are Gaussian at each node.

    Attributes
    ----------
    mean, var : arrays of shape (M, N)
        Given the node, before truncation.
    cut_cov : array of shape (M, N) or None
        Covariance with the truncated coefficient, where there is one.
    moments : array of int of shape (M,)
        Highest posterior moment that exists, per quantity.
    """

    mean: FloatArray
    var: FloatArray
    cut_cov: FloatArray | None
    moments: NDArray[np.intp]


def linear(quadrature: Quadrature, rows: FloatArray, new_study: NDArray[np.bool_]) -> Functional:
    """Linear functions of the coefficients, with the spread of a new study added where asked.

    Parameters
    ----------
    rows : array of shape (M, p)
    new_study : array of bool of shape (M,)
    """
    problem = quadrature.problem
    mean = rows @ quadrature.mean
    var = np.einsum("mp,pqn,mq->mn", rows, quadrature.cov, rows)
    with np.errstate(over="ignore"):
        var = var + np.where(new_study[:, None], np.square(quadrature.tau), 0.0)
    cut_cov = None if problem.cut is None else np.einsum("mp,pn->mn", rows, quadrature.cov[:, problem.cut.column])
    # a quantity has the moments of the worst coefficient that it holds, and a new study also those of tau
    moments = np.where(rows != 0, problem.column_moments, 2).min(axis=1)
    moments = np.where(new_study, np.minimum(moments, problem.tau_moments), moments)
    return Functional(mean, var, cut_cov, moments)


def studies(quadrature: Quadrature) -> Functional:
    """Study effects, in row order of the effects."""
    problem = quadrature.problem
    conditional = Conditional(np.empty(0), quadrature.mean, quadrature.cov)
    mean, var, slope = study_moments(quadrature.tau, problem.y, problem.X, problem.rotation, conditional)
    cut_cov = None
    if problem.cut is not None:
        cut_cov = np.einsum("kpn,pn->kn", slope, quadrature.cov[:, problem.cut.column])
    return Functional(mean, var, cut_cov, np.full(mean.shape[0], 2))
