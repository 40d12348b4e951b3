"""The classical check of a headline: REML with Hartung-Knapp, or two variances where rows lie in clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.intervals import critical
from bayesmeta.classical.multilevel import MultilevelFit, pool_multilevel
from bayesmeta.classical.pooling import ClassicalFit, pool
from bayesmeta.classical.printing import MeanResult
from bayesmeta.classical.robust import RobustFit, cluster_robust
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError

__all__ = ["CheckWords", "MultilevelMean", "check_name", "check_words", "is_clustered", "pool_check", "pool_clustered"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MultilevelMean(MeanResult):
    """The mean effect of rows in clusters, with two variances. Undefined numbers are None, and `notes` says why.

    Beside what a `MeanResult` has.

    Attributes
    ----------
    method : str
        REML.
    ci : str
        "t": on clusters minus one degrees of freedom; "CR2": cluster-robust, on Satterthwaite's.
    n_clusters : int
    tau2, cluster_tau2 : float
        Variance between clusters, and between rows of one.
    pi_lower, pi_upper : float or None
        Prediction interval of one row of a new cluster: ``estimate +- t(m - 1) sqrt(se^2 + tau2 + cluster_tau2)``;
        not for "CR2".
    pi_formula : str or None
        ``"t_clusters"``.
    """

    method: Literal["REML"]
    ci: Literal["t", "CR2"]
    n_clusters: int
    tau2: float
    cluster_tau2: float
    pi_lower: float | None
    pi_upper: float | None
    pi_formula: str | None


def is_clustered(effects: Effects) -> bool:
    """Whether clusters are named and one of them has two rows.

    Examples
    --------
    >>> is_clustered(effects)
    False
    """
    return effects.cluster is not None and len(set(effects.cluster)) < effects.k


@on_effects()
def pool_clustered(effects: Effects, *, level: float = 0.95, robust: bool = False) -> MultilevelMean:
    """Mean effect of rows in clusters, by REML with one variance between and one within clusters.

    Parameters
    ----------
    effects : Effects
        With clusters; their sampling covariance enters as it is, the stated working correlation included.
    level : float
    robust : bool
        CR2 standard error with Satterthwaite's degrees of freedom in place of the model's own.

    Returns
    -------
    MultilevelMean

    Raises
    ------
    ModelError
        As `pool_multilevel`, also where the likelihood has no maximum that was found.

    References
    ----------
    Pustejovsky & Tipton 2022, doi:10.1007/s11121-021-01246-3. metafor: ``rma.mv(y, V, random = ~ 1 | cluster/row,
    test = "t", dfs = "contain")`` and its ``predict``; ``robust(..., clubSandwich = TRUE)``.

    Examples
    --------
    >>> rows = bm.Effects(list("AABBC"), [0.1, 0.4, 0.7, 0.6, -0.2], [0.2, 0.2, 0.1, 0.2, 0.1], measure="SMD",
    ...                   cluster=list("AABBC"))
    >>> found = pool_clustered(rows)
    >>> round(found.estimate, 4), found.df
    (0.2447, 2)
    """
    try:
        fit = pool_multilevel(effects, ci="t", level=level)
        found: MultilevelFit | RobustFit = fit
        df: float | None = fit.df
        if robust:
            found = cluster_robust(effects, working="multilevel", level=level)
            df = float(found.df[0])
    except InferenceError as error:
        raise ModelError(str(error)) from error
    estimate, se = float(found.estimate[0]), float(found.se[0])
    stat, p = float(found.stat[0]), float(found.p[0])
    half = critical(level, fit.df) * math.sqrt(se**2 + fit.tau2 + fit.cluster_tau2)
    return MultilevelMean(
        method="REML",
        ci="CR2" if robust else "t",
        level=level,
        k=effects.k,
        n_clusters=fit.n_clusters,
        estimate=estimate,
        se=se,
        lower=float(found.lower[0]),
        upper=float(found.upper[0]),
        stat=None if math.isnan(stat) else stat,
        df=df,
        p=None if math.isnan(p) else p,
        tau2=fit.tau2,
        cluster_tau2=fit.cluster_tau2,
        pi_lower=None if robust else estimate - half,
        pi_upper=None if robust else estimate + half,
        pi_formula=None if robust else "t_clusters",
        notes=found.notes,
    )


@on_effects()
def pool_check(effects: Effects, *, level: float = 0.95, rho: float = 0.5) -> ClassicalFit | MultilevelMean:
    """Pool by the classical method that stands beside the Bayesian mean.

    Parameters
    ----------
    effects : Effects
    level, rho : float
        As in `pool`; with clusters ``rho`` plays no part.

    Returns
    -------
    ClassicalFit or MultilevelMean
        REML with the Hartung-Knapp interval; with clusters `pool_clustered`.

    Raises
    ------
    ModelError
        As `pool` and `pool_clustered`.

    Examples
    --------
    >>> pool_check(effects).ci
    'hksj'
    """
    if is_clustered(effects):
        return pool_clustered(effects, level=level)
    return pool(effects, method="REML", ci="hksj", level=level, rho=rho)


def check_name(effects: Effects) -> str:
    """What tables call `pool_check` of these effects.

    Examples
    --------
    >>> check_name(effects)
    'REML + HKSJ'
    """
    return "multilevel REML + t" if is_clustered(effects) else "REML + HKSJ"


class CheckWords(NamedTuple):
    """What figures call `pool_check`: its model, its interval, and what its prediction interval is made of."""

    model: str
    interval: str
    prediction: str


def check_words(effects: Effects) -> CheckWords:
    """The words of figures for `pool_check`.

    Examples
    --------
    >>> check_words(effects)
    CheckWords(model='REML', interval='HKSJ', prediction='HKSJ standard error, t(k - 1)')
    """
    if is_clustered(effects):
        return CheckWords("multilevel REML", "t", "t(clusters - 1)")
    return CheckWords("REML", "HKSJ", "HKSJ standard error, t(k - 1)")
