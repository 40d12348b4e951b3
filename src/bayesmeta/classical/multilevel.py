"""Several rows per trial: two variances, between trials and between rows of one trial, by (restricted) likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.coding import check_full_rank, treatment_design
from bayesmeta.classical.intervals import interval_arrays
from bayesmeta.classical.nested import NestedRows, NestedSums, nested_rows, nested_sums
from bayesmeta.classical.printing import CoefficientsResult
from bayesmeta.classical.rows import FloatArray
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.numerics import ascend, newton

__all__ = [
    "LikelihoodMethod",
    "MultilevelCi",
    "MultilevelFit",
    "cluster_numbers",
    "design_of",
    "pool_multilevel",
]

LikelihoodMethod = Literal["REML", "ML"]
MultilevelCi = Literal["wald", "t"]

# Newton steps end here: two digits below the 1e-12 that doubles can hold of a variance.
STEP = 1e-13
# ... or where the score is the rounding of its parts; steps that stay below ACCEPTED without settling are rounding too.
ROUNDING = 4 * np.finfo(float).eps
ACCEPTED = 1e-8
# Starting values of either variance: zero, and this many from a twentieth of the smallest sampling variance upwards.
GRID = 9
# An information matrix with a reciprocal condition below this tells one variance from the other by rounding only.
SINGULAR = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MultilevelFit(CoefficientsResult):
    """Rows in trials with two variances. Undefined numbers are None (nan inside arrays), and `notes` says why.

    Beside what a `CoefficientsResult` has.

    Attributes
    ----------
    method : str
        REML or ML.
    ci : str
        "wald" or "t".
    k, n_clusters : int
        Rows, and trials (clusters) that hold them.
    df : int or None
        Degrees of freedom of t, trials minus coefficients; None for "wald".
    tau2 : float
        Variance between trials. ``tau`` is its root.
    cluster_tau2 : float
        Variance between rows of one trial.
    tau2_interval, cluster_tau2_interval : (lower, upper) or None
        Profile-likelihood limits, where asked for; an upper limit that does not exist is None.
    loglik : float
        Restricted for REML, with the constants of metafor.
    i2_between, i2_within : float
        Percent of the total variance that lies between trials, and between rows of one trial.
    """

    method: LikelihoodMethod
    ci: MultilevelCi
    n_clusters: int
    df: int | None
    tau2: float
    cluster_tau2: float
    tau2_interval: tuple[float, float | None] | None
    cluster_tau2_interval: tuple[float, float | None] | None
    loglik: float
    i2_between: float
    i2_within: float

    @property
    def tau(self) -> float:
        """Standard deviation between trials."""
        return math.sqrt(self.tau2)

    @property
    def cluster_tau(self) -> float:
        """Standard deviation between rows of one trial."""
        return math.sqrt(self.cluster_tau2)


def cluster_numbers(effects: Effects, cluster: Sequence[str] | None = None) -> NDArray[np.intp]:
    """Number of each row's cluster, in order of appearance; by default ``effects.cluster``, else ``effects.study``.

    Raises
    ------
    ModelError
        If the lengths differ.

    Examples
    --------
    >>> cluster_numbers(bm.Effects(["A", "B", "A"], [0.1, 0.2, 0.3], [0.1] * 3, measure="SMD", cluster=["A", "B", "A"]))
    array([0, 1, 0])
    """
    names = (effects.cluster or effects.study) if cluster is None else tuple(str(name) for name in cluster)
    if len(names) != effects.k:
        raise ModelError(f"cluster: {len(names)} names for {effects.k} rows. Give one per row.")
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], np.intp)


def design_of(
    effects: Effects, moderators: Sequence[str] | None, X: ArrayLike | pd.DataFrame | None
) -> tuple[FloatArray, tuple[str, ...]]:
    """Design and names of its columns, from moderators, a matrix, or neither (a column of ones)."""
    if moderators is not None and X is not None:
        raise ModelError("give moderators=[names] or a design X, not both.")
    if isinstance(moderators, str):
        raise ModelError(f"moderators must be a list of names: [{moderators!r}].")
    if X is not None:
        design = np.array(X, dtype=float)
        if design.ndim != 2 or design.shape[0] != effects.k or not np.isfinite(design).all():
            raise ModelError(f"X: shape {design.shape} must be ({effects.k}, p), and every entry finite.")
        named = X.columns if isinstance(X, pd.DataFrame) else [f"x{column + 1}" for column in range(design.shape[1])]
        terms = tuple(map(str, named))
        check_full_rank(design, terms)
        return design, terms
    coded = treatment_design(effects.moderators, moderators or (), effects.k)
    return coded.X, coded.terms


def _climb(
    rows: NestedRows, start: FloatArray, *, restricted: bool, free: tuple[bool, bool] = (True, True)
) -> tuple[FloatArray, NestedSums]:
    """Local maxima with both variances >= 0, uphill from N pairs; the pairs and their sums."""

    def at(theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        found = nested_sums(rows, theta[:, 0], theta[:, 1], restricted=restricted)
        return found.loglik, np.where(np.abs(found.score) > ROUNDING * found.size, found.score, 0.0), found.curvature

    typical = float(np.median(rows.variance))
    theta, length = ascend(at, start, low=0.0, free=free, scale=1e-3 * typical, settled=STEP)
    if length.max() > ACCEPTED:
        raise InferenceError("variances between and within trials were not found; are standard errors plausible?")
    return theta, nested_sums(rows, theta[:, 0], theta[:, 1], restricted=restricted)


def _start_values(rows: NestedRows) -> FloatArray:
    squares = float(rows.values[:, -1] @ rows.values[:, -1])
    low = 0.05 * float(rows.variance.min())
    high = max(squares, 2.0 * low)
    return np.concatenate([[0.0], np.geomspace(low, high, GRID)])


def _maximum(rows: NestedRows, *, restricted: bool) -> tuple[FloatArray, NestedSums, tuple[str, ...]]:
    """The highest maximum: local maxima of a grid, each climbed from."""
    axis = _start_values(rows)
    pairs = np.array(np.meshgrid(axis, axis, indexing="ij")).reshape(2, -1).T
    on_grid = nested_sums(rows, pairs[:, 0], pairs[:, 1], restricted=restricted).loglik.reshape(axis.size, axis.size)
    around = np.full((axis.size + 2, axis.size + 2), -np.inf)
    around[1:-1, 1:-1] = on_grid
    peak = np.ones_like(on_grid, bool)
    for i in range(3):
        for j in range(3):
            peak &= on_grid >= around[i : i + axis.size, j : j + axis.size]
    best = pairs[peak.ravel()][np.argsort(-on_grid[peak])][:6]
    theta, at = _climb(rows, best, restricted=restricted)
    top = int(np.argmax(at.loglik))
    notes: tuple[str, ...] = ()
    apart = np.abs(theta - theta[top]).max(axis=1) > 1e-6 * (theta[top].max() + float(np.median(rows.variance)))
    if apart.any():
        listed = "; ".join(f"{u:.6g}, {w:.6g}" for u, w in theta[apart])
        notes = (f"the likelihood has other local maxima (tau2, cluster_tau2) = {listed}; the highest is reported",)
    chosen = NestedSums(*(getattr(at, name)[top : top + 1] for name in NestedSums.__dataclass_fields__))
    return theta[top], chosen, notes


def _profile(rows: NestedRows, which: int, values: FloatArray, *, restricted: bool) -> tuple[FloatArray, FloatArray]:
    """Likelihood with variance `which` fixed at each of N values and the other at its best, and its slope there."""
    axis = _start_values(rows)
    pairs = np.empty((values.size, axis.size, 2))
    pairs[:, :, which] = values[:, None]
    pairs[:, :, 1 - which] = axis
    flat = pairs.reshape(-1, 2)
    on_grid = nested_sums(rows, flat[:, 0], flat[:, 1], restricted=restricted).loglik.reshape(values.size, -1)
    start = pairs[np.arange(values.size), on_grid.argmax(axis=1)]
    _, at = _climb(rows, start, restricted=restricted, free=(which != 0, which != 1))
    return at.loglik, at.score[:, which]


def _profile_interval(
    rows: NestedRows, which: int, estimate: float, loglik: float, level: float, *, restricted: bool
) -> tuple[float, float | None]:
    target = loglik - float(special.gammaincinv(0.5, level))
    typical = float(np.median(rows.variance))

    def excess(value: float) -> tuple[float, float]:
        found, slope = _profile(rows, which, np.array([value]), restricted=restricted)
        return float(found[0]) - target, float(slope[0])

    def root(inside: float, outside: float) -> float:
        """Newton steps from outside, kept between the two."""
        sign = 1.0 if outside < inside else -1.0

        def at(x: FloatArray, _: NDArray[np.bool_]) -> tuple[FloatArray, Callable[[], FloatArray]]:
            value, slope = excess(float(x[0]))
            return np.array([sign * value]), lambda: np.array([value / slope if slope else np.nan])

        ends = np.array([[min(inside, outside)], [max(inside, outside)]])
        found, moving = newton(at, np.array([outside]), *ends, close=1e-12, settled=1e-11)
        if moving[0]:
            raise InferenceError("a profile-likelihood limit was not found.")
        return float(found[0])

    lower = 0.0 if estimate == 0.0 or excess(0.0)[0] >= 0 else root(estimate, 0.0)
    inside, outside = estimate, 2.0 * estimate + typical
    while excess(outside)[0] >= 0:
        inside, outside = outside, 4.0 * outside
        if outside > 1e8 * (estimate + typical):
            return lower, None
    return lower, root(inside, outside)


@on_effects(method=get_args(LikelihoodMethod), ci=get_args(MultilevelCi))
def pool_multilevel(
    effects: Effects,
    moderators: Sequence[str] | None = None,
    X: ArrayLike | pd.DataFrame | None = None,
    *,
    cluster: Sequence[str] | None = None,
    method: LikelihoodMethod = "REML",
    ci: MultilevelCi = "wald",
    level: float = 0.95,
    profile: bool = False,
) -> MultilevelFit:
    r"""Fit rows in trials: ``y = X beta + u[trial] + w[row] + e``, u ~ N(0, tau2), w ~ N(0, cluster_tau2), e ~ N(0, S).

    S holds ``effects.blocks``, and is diagonal without them. The model of metafor's
    ``rma.mv(y, V, random = ~ 1 | trial/row)``. Both variances are the highest maximum of the (restricted) likelihood
    among local ones that a grid finds, by Newton steps.

    The shares of variance are those of Viechtbauer (metafor's website, "I^2 for multilevel and multivariate models"):
    ``100 tau2 / (tau2 + cluster_tau2 + (k - p) / tr(P))`` with P = W - W X (X'WX)^-1 X'W and W = S^-1.

    Parameters
    ----------
    effects : Effects
    moderators : sequence of str, optional
        Names in ``effects.moderators``, as in `metaregression`.
    X : array or DataFrame, shape (k, p), optional
        A whole design instead. With neither, the mean effect.
    cluster : sequence of str, optional
        The trial of each row. Default: ``effects.cluster``, else ``effects.study``.
    method : {"REML", "ML"}
    ci : {"wald", "t"}
        Normal, or t with as many degrees of freedom as there are trials minus coefficients (metafor's
        ``dfs = "contain"`` for coefficients that vary between trials).
    level : float
    profile : bool
        Also give profile-likelihood intervals of both variances; they cost as much as some hundred fits.

    Returns
    -------
    MultilevelFit

    Raises
    ------
    ModelError
        If no trial has two rows, if trials or rows are too few to tell the variances apart, if a block reaches into two
        clusters, and for a design without full column rank.

    References
    ----------
    Konstantopoulos 2011, doi:10.1002/jrsm.35; Van den Noortgate et al. 2013, doi:10.3758/s13428-012-0261-6.

    Examples
    --------
    >>> rows = bm.Effects(list("AABBC"), [0.1, 0.4, 0.7, 0.6, -0.2], [0.2, 0.2, 0.1, 0.2, 0.1], measure="SMD",
    ...                   cluster=list("AABBC"))
    >>> fit = pool_multilevel(rows)
    >>> fit.n_clusters, round(float(fit.estimate[0]), 4), round(fit.tau, 4)
    (3, 0.2447, 0.4338)
    """
    design, terms = design_of(effects, moderators, X)
    groups = cluster_numbers(effects, cluster)
    m, k, p = int(groups.max()) + 1, effects.k, design.shape[1]
    rows = nested_rows(effects.y, effects.se, groups, design, blocks=effects.blocks)
    if m == k:
        raise ModelError("no trial has two rows: variances between and within trials are one. Use pool.")
    if m <= p or k <= p + 1:
        raise ModelError(
            f"{k} rows of {m} trial{'s' if m > 1 else ''} for {p} coefficient{'s' if p > 1 else ''} and two variances: "
            "too few. "
            'Use pool with method="EE", or a model with priors on both SDs.'
        )
    restricted = method == "REML"
    typical = float(np.median(rows.variance))
    _check_identified(rows, typical)
    theta, at, notes = _maximum(rows, restricted=restricted)
    inverse = np.linalg.inv(rows.triangle)
    estimate = rows.start + inverse @ at.gamma[0]
    vcov = inverse @ at.cov[0] @ inverse.T
    se = np.sqrt(np.diagonal(vcov))
    df = m - p if ci == "t" else None
    limits: list[tuple[float, float | None] | None] = [None, None]
    if profile:
        limits = [
            _profile_interval(rows, i, float(theta[i]), float(at.loglik[0]), level, restricted=restricted)
            for i in range(2)
        ]
        notes += tuple(
            f"the likelihood stays within the interval's bound however large {name} is: it has no upper limit"
            for name, limit in zip(("tau2", "cluster_tau2"), limits, strict=True)
            if limit is not None and limit[1] is None
        )
    s2 = _typical_variance(rows)
    total = float(theta.sum()) + s2
    return MultilevelFit(
        method=method,
        ci=ci,
        level=level,
        k=k,
        n_clusters=m,
        terms=terms,
        estimate=estimate,
        se=se,
        **interval_arrays(estimate, se, level, df),
        df=df,
        vcov=vcov,
        tau2=float(theta[0]),
        cluster_tau2=float(theta[1]),
        tau2_interval=limits[0],
        cluster_tau2_interval=limits[1],
        loglik=float(at.loglik[0]),
        i2_between=100.0 * float(theta[0]) / total,
        i2_within=100.0 * float(theta[1]) / total,
        notes=notes,
    )


def _typical_variance(rows: NestedRows) -> float:
    """(k - p) / tr(P) with W = S^-1."""
    Z = rows.values[:, :-1]
    weighted = Z / rows.variance[:, None]
    trace = float((1.0 / rows.variance).sum() - np.trace(np.linalg.solve(Z.T @ weighted, weighted.T @ weighted)))
    return (rows.k - rows.p) / trace


def _check_identified(rows: NestedRows, typical: float) -> None:
    """Refuse a design that leaves nothing to tell a variance by, or the two from each other."""
    information = nested_sums(rows, [typical], [typical], restricted=True).information[0]
    scale = np.sqrt(np.maximum(np.diagonal(information), 0.0))
    weak = scale * typical <= math.sqrt(SINGULAR)
    if weak.any() or np.linalg.det(information / np.outer(scale, scale)) <= SINGULAR:
        raise ModelError(
            "the design leaves nothing to tell the variance between trials from that within: some column says which "
            "trial a row is from. Leave it out, or pool one row per trial."
        )
