"""Cluster-robust standard errors: right for any dependence within trials, whatever the working model says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.multilevel import LikelihoodMethod, cluster_numbers, design_of, pool_multilevel
from bayesmeta.classical.printing import CoefficientsResult
from bayesmeta.classical.rows import FloatArray, rows_of
from bayesmeta.classical.tau2 import tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

__all__ = ["ROBUST_KINDS", "RobustFit", "RobustKind", "Working", "cluster_robust", "coefficient_table", "sandwich"]

RobustKind = Literal["CR0", "CR1", "CR1p", "CR1S", "CR2"]
ROBUST_KINDS: tuple[RobustKind, ...] = get_args(RobustKind)
Working = Literal["common", "random", "multilevel"]

# Eigenvalues below this are those of a cluster that a coefficient is spent on; clubSandwich's limit.
ZERO = 1e-12
# Tipton 2015: below four degrees of freedom the t approximation of CR2 no longer holds the level.
FEW_DF = 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RobustFit(CoefficientsResult):
    """Coefficients with cluster-robust standard errors. Undefined numbers are nan inside arrays; `notes` says why.

    Beside what a `CoefficientsResult` has.

    Attributes
    ----------
    kind : str
        CR0, CR1, CR1p, CR1S or CR2.
    working : str
        "common", "random" or "multilevel": the model whose inverse covariance are the weights.
    k, n_clusters : int
    estimate, se, df, stat, p, lower, upper : ndarray, shape (p,)
        With t on `df`: Satterthwaite's for CR2, clusters minus coefficients for the others.
    tau2 : float
        Working variance between trials ("random": between rows).
    cluster_tau2 : float
        Working variance between rows of one trial.
    """

    kind: RobustKind
    working: Working
    n_clusters: int
    df: FloatArray
    tau2: float
    cluster_tau2: float


@on_effects(method=get_args(LikelihoodMethod), kind=ROBUST_KINDS, working=get_args(Working))
def cluster_robust(
    effects: Effects,
    moderators: Sequence[str] | None = None,
    X: ArrayLike | pd.DataFrame | None = None,
    *,
    working: Working = "random",
    kind: RobustKind = "CR2",
    cluster: Sequence[str] | None = None,
    method: LikelihoodMethod = "REML",
    level: float = 0.95,
) -> RobustFit:
    r"""Meta-analysis or meta-regression with cluster-robust standard errors.

    Weights are W = V^-1 with V the covariance of the working model at its estimated variances, and

    ``vcov = M sum_j X_j' W_j A_j e_j e_j' A_j' W_j X_j M``, M = (X'WX)^-1, e the residuals of cluster j.

    - CR0: A = I. CR1: CR0 times m / (m - 1). CR1p: times m / (m - p), what metafor's ``robust`` gives by default.
      CR1S: times m (k - 1) / ((m - 1) (k - p)), Stata's. Tests on t(m - p).
    - CR2: A_j = D_j' B_j^{-1/2} D_j with D_j'D_j = V_j and B_j = D_j (V_j - X_j M X_j') D_j', whose generalised inverse
      root leaves out directions that a coefficient is spent on. Unbiased if the working model is true. Tests on t with
      Satterthwaite's degrees of freedom (Pustejovsky & Tipton 2018), as R clubSandwich.

    Parameters
    ----------
    effects : Effects
    moderators : sequence of str, optional
    X : array or DataFrame, optional
        As in `metaregression`; with neither, the mean effect.
    working : {"common", "random", "multilevel"}
        V = S; S + tau2 I; or S + tau2 ZZ' + cluster_tau2 I as in `pool_multilevel`. S holds ``effects.blocks``.
    kind : {"CR0", "CR1", "CR1p", "CR1S", "CR2"}
        Names of clubSandwich.
    cluster : sequence of str, optional
        Rows that may depend on each other. Default: ``effects.cluster``, else ``effects.study``.
    method : {"REML", "ML"}
        Estimator of the working variances.
    level : float

    Returns
    -------
    RobustFit

    Raises
    ------
    ModelError
        If there are no more clusters than coefficients, a block reaches into two clusters, or the working model cannot
        be estimated.

    References
    ----------
    Hedges, Tipton & Johnson 2010, doi:10.1002/jrsm.5; Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004;
    Tipton 2015, doi:10.1037/met0000011.

    Examples
    --------
    >>> rows = bm.Effects(list("AABBCD"), [0.1, 0.4, 0.7, 0.6, -0.2, 0.3], [0.2, 0.2, 0.1, 0.2, 0.1, 0.3],
    ...                   measure="SMD", cluster=list("AABBCD"))
    >>> fit = cluster_robust(rows)
    >>> round(float(fit.se[0]), 4), round(float(fit.df[0]), 2)
    (0.1936, 2.53)
    """
    design, terms = design_of(effects, moderators, X)
    groups = cluster_numbers(effects, cluster)
    m, p = int(groups.max()) + 1, design.shape[1]
    if m <= p:
        raise ModelError(
            f"{m} cluster{'s' if m > 1 else ''} for {p} coefficient{'s' if p > 1 else ''}: robust standard errors need "
            "more clusters. "
            'Use pool with method="EE", or a Bayesian model.'
        )
    notes: tuple[str, ...] = ()
    tau2 = cluster_tau2 = 0.0
    if working == "multilevel":
        fit = pool_multilevel(effects, X=design, cluster=cluster, method=method)
        tau2, cluster_tau2, notes = fit.tau2, fit.cluster_tau2, fit.notes
    else:
        rows = rows_of(effects.y, effects.se, design, blocks=effects.blocks, rho=0.0)
        if working == "random":
            found = tau2_of(rows, method)
            tau2, notes = found.value, found.notes
    by_row, between = (cluster_tau2, tau2) if working == "multilevel" else (tau2, 0.0)
    V = _marginal(effects, groups, between, by_row)
    estimate, vcov, df = sandwich(effects.y, design, V, kind=kind)
    se = np.sqrt(np.maximum(np.diagonal(vcov), 0.0))
    safe = np.where(se > 0, se, np.nan)
    stat = estimate / safe
    half = -special.stdtrit(df, 0.5 * (1.0 - level)) * se
    if (se == 0).any():
        notes += ("the design fits the rows of every cluster exactly: SEs are 0 and tests are not defined",)
    if (few := [term for term, value in zip(terms, df, strict=True) if value < FEW_DF]) and kind == "CR2":
        notes += (f"{', '.join(few)}: Satterthwaite df below 4, p values are unreliable (Tipton 2015)",)
    return RobustFit(
        kind=kind,
        working=working,
        level=level,
        k=effects.k,
        n_clusters=m,
        terms=terms,
        estimate=estimate,
        se=se,
        df=df,
        stat=stat,
        p=2.0 * special.stdtr(df, -np.abs(stat)),
        lower=estimate - half,
        upper=estimate + half,
        vcov=vcov,
        tau2=tau2,
        cluster_tau2=cluster_tau2,
        notes=notes,
    )


def coefficient_table(fit: RobustFit) -> pd.DataFrame:
    """Coefficients of a robust fit as a table: ``term estimate se df stat p lower upper note``.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCD"), [0.1, 0.4, 0.7, 0.6], [0.2, 0.2, 0.1, 0.2], measure="SMD")
    >>> row = coefficient_table(cluster_robust(trials, kind="CR1p")).iloc[0]
    >>> row["term"], [round(float(row[name]), 3) for name in ("estimate", "se", "df", "stat", "p")]
    ('intercept', [0.481, 0.135, 3.0, 3.569, 0.038])
    """
    names = ("estimate", "se", "df", "stat", "p", "lower", "upper")
    table = pd.DataFrame({"term": fit.terms, **{name: np.array(getattr(fit, name)) for name in names}})
    table["note"] = "; ".join(fit.notes)
    return table


Stacks = list[tuple[NDArray[np.intp], FloatArray]]


def _marginal(effects: Effects, groups: NDArray[np.intp], between: float, by_row: float) -> Stacks:
    """Covariances of clusters, stacked by size: row numbers (g, n) and matrices (g, n, n)."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    where = np.empty((groups.size, 3), np.intp)
    by_size: dict[int, list[NDArray[np.intp]]] = {}
    for rows in members:
        same = by_size.setdefault(rows.size, [])
        where[rows, 0], where[rows, 1], where[rows, 2] = rows.size, len(same), np.arange(rows.size)
        same.append(rows)
    stacks = {}
    for size, same in by_size.items():
        index = np.array(same)
        V = np.full((len(same), size, size), between)
        V[:, np.arange(size), np.arange(size)] += effects.se[index] ** 2 + by_row
        stacks[size] = (index, V)
    for rows, covariance in effects.blocks:
        if np.ptp(groups[rows]):
            raise ModelError(
                f"blocks: rows {rows.tolist()} share patients across clusters. Give a cluster that holds them all."
            )
        size, number = int(where[rows[0], 0]), int(where[rows[0], 1])
        at = where[rows, 2]
        off = covariance - np.diag(np.diagonal(covariance))
        stacks[size][1][number][np.ix_(at, at)] += off
    return list(stacks.values())


def sandwich(
    y: ArrayLike, X: FloatArray, stacks: Stacks, *, kind: RobustKind = "CR2"
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted least squares with W = V^-1, its cluster-robust covariance, and degrees of freedom per coefficient.

    Parameters
    ----------
    y : array_like, shape (k,)
    X : ndarray, shape (k, p)
    stacks : list of (ndarray of int (g, n), ndarray (g, n, n))
        Rows and working covariance of the g clusters of n rows, for every n.
    kind : str
        As in `cluster_robust`.

    Returns
    -------
    estimate, vcov, df : ndarray, shapes (p,), (p, p), (p,)

    Examples
    --------
    >>> one = [(np.arange(3)[:, None], np.full((3, 1, 1), 2.0))]
    >>> estimate, vcov, df = sandwich([0.0, 1.0, 2.0], np.ones((3, 1)), one)
    >>> [float(round(x, 6)) for x in (estimate[0], vcov[0, 0], df[0])]
    [1.0, 0.333333, 2.0]
    """
    y = np.asarray(y, float)
    k, p = X.shape
    # an orthonormal basis keeps moderators of very different units apart from rounding
    basis, triangle = np.linalg.qr(X)
    offset = basis.T @ y
    left = y - basis @ offset
    parts = []
    product, moment = np.zeros((p, p)), np.zeros(p)
    for index, V in stacks:
        Z = basis[index]
        WZ = np.linalg.solve(V, Z)
        product += np.einsum("gna,gnb->ab", Z, WZ)
        moment += np.einsum("gna,gn->a", WZ, left[index])
        parts.append((index, V, Z, WZ))
    M = np.linalg.inv(product)
    gamma = M @ moment
    residual = left - basis @ gamma
    m = sum(index.shape[0] for index, _ in stacks)
    inverse = np.linalg.inv(triangle)
    # columns: what each coefficient of X is of those of the basis
    contrasts = M @ inverse.T
    meat = np.zeros((p, p))
    own, projected = [], []
    for index, V, Z, WZ in parts:
        G = WZ @ contrasts
        if kind == "CR2":
            G = _adjusted(V, Z, M, G)
        score = np.einsum("gna,gn->ga", G, residual[index])
        meat += score.T @ score
        own.append(np.einsum("gna,gnm,gma->ga", G, V, G))
        projected.append(np.einsum("gna,gnb->gab", G, Z))
    factor = {
        "CR0": 1.0,
        "CR1": m / (m - 1) if m > 1 else np.nan,
        "CR1p": m / (m - p),
        "CR1S": m * (k - 1) / ((m - 1) * (k - p)) if k > p else np.nan,
        "CR2": 1.0,
    }[kind]
    estimate = inverse @ (offset + gamma)
    if kind != "CR2":
        return estimate, factor * meat, np.full(p, float(m - p))
    a, K = np.concatenate(own), np.concatenate(projected)
    df = np.empty(p)
    for j in range(p):
        # trace and sum of squares of diag(a) - K M K', the covariance of the clusters' scores if the model is true
        KM = K[:, j] @ M
        spent = (KM * K[:, j]).sum(axis=1)
        KKM = K[:, j].T @ KM
        squares = (a[:, j] ** 2).sum() - 2.0 * (a[:, j] * spent).sum() + (KKM * KKM.T).sum()
        trace = (a[:, j] - spent).sum()
        df[j] = trace**2 / squares
    return estimate, meat, df


def _adjusted(V: FloatArray, Z: FloatArray, M: FloatArray, G: FloatArray) -> FloatArray:
    """A' G per cluster, with A = D' (D (V - Z M Z') D')^{-1/2} D and D'D = V."""
    lower = np.linalg.cholesky(V)
    upper = lower.swapaxes(1, 2)
    B = upper @ (V - Z @ M @ Z.swapaxes(1, 2)) @ lower
    # in units of the cluster's variance, so that the limit does not depend on the scale of y
    scale = np.trace(V, axis1=1, axis2=2)[:, None] / V.shape[1]
    values, vectors = np.linalg.eigh(0.5 * (B + B.swapaxes(1, 2)) / scale[:, :, None] ** 2)
    root = np.where(values > ZERO, 1.0 / np.sqrt(np.where(values > ZERO, values, 1.0)), 0.0) / scale
    turned = vectors.swapaxes(1, 2) @ (upper @ G)
    return lower @ (vectors @ (root[:, :, None] * turned))
