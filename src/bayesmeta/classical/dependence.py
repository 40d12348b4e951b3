"""Rows of one trial under every usual treatment of their dependence, side by side."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.multilevel import cluster_numbers, pool_multilevel
from bayesmeta.classical.pooling import pool
from bayesmeta.classical.robust import FEW_DF, cluster_robust
from bayesmeta.effects import Effects, component_labels
from bayesmeta.errors import BayesmetaWarning, InferenceError, ModelError

if TYPE_CHECKING:
    from bayesmeta.classical.rows import FloatArray

__all__ = [
    "CHE_COLUMNS",
    "CORRELATIONS",
    "DEPENDENCE_COLUMNS",
    "aggregate_trials",
    "correlated_hierarchical",
    "dependence_table",
    "working_covariance",
]

CORRELATIONS = (0.2, 0.4, 0.5, 0.6, 0.8)
"""Sampling correlations that are tried where none is known."""
CHE_COLUMNS = (
    "correlation",
    "estimate",
    "se",
    "lower",
    "upper",
    "df",
    "p",
    "tau",
    "cluster_tau",
    "i2_between",
    "i2_within",
    "n_clusters",
    "note",
)
DEPENDENCE_COLUMNS = (
    "method",
    "correlation",
    "k",
    "n_clusters",
    "estimate",
    "se",
    "lower",
    "upper",
    "df",
    "p",
    "tau",
    "cluster_tau",
    "note",
)
FEW = f"Satterthwaite df below {FEW_DF:.0f}: p values are unreliable (Tipton 2015)"
# An eigenvalue of a correlation matrix below this is rounding, as in `Effects`.
DEFINITE = 1e-12


@on_effects()
def working_covariance(effects: Effects, correlation: float, *, cluster: Sequence[str] | None = None) -> Effects:
    """Give rows of one trial a constant sampling correlation where their covariance is not known.

    Two rows of one trial get the covariance ``correlation * se_i * se_j``, unless they stand in one block of
    ``effects.blocks`` already: a covariance that is known (a shared control arm) is kept, also where it is zero. What
    rests on an assumed correlation (``effects.working``) is made anew with this one.

    Parameters
    ----------
    effects : Effects
    correlation : float
        From 0 to below 1.
    cluster : sequence of str, optional
        The trial of each row. Default: ``effects.cluster``, else ``effects.study``.

    Returns
    -------
    Effects
        The same rows with these blocks.

    Raises
    ------
    ModelError
        If the correlation is not in [0, 1), or together with known covariances no covariance matrix.

    References
    ----------
    Pustejovsky & Tipton 2022, doi:10.1007/s11121-021-01246-3; the same as metafor's ``vcalc`` with ``rho`` alone.

    Examples
    --------
    >>> rows = bm.Effects(["A", "A", "B"], [0.1, 0.3, 0.2], [0.1, 0.2, 0.1], measure="SMD", cluster=["A", "A", "B"])
    >>> working_covariance(rows, 0.5).blocks[0][1].round(3).tolist()
    [[0.01, 0.01], [0.01, 0.04]]
    """
    if not 0.0 <= correlation < 1.0:
        raise ModelError(f"correlation = {correlation}: give a number from 0 to below 1, such as 0.6.")
    groups = cluster_numbers(effects, cluster)
    blocks, slopes = [], []
    assumed, growth = effects.working or (0.0, [np.zeros(known.shape) for _, known in effects.blocks])
    for rows in _linked(effects, groups):
        se = effects.se[rows]
        slope = np.where(groups[rows][:, None] == groups[rows], np.outer(se, se), 0.0)
        np.fill_diagonal(slope, 0.0)
        covariance = np.diag(se**2)
        place = {int(row): i for i, row in enumerate(rows)}
        for (members, known), own in zip(effects.blocks, growth, strict=True):
            if int(members[0]) in place:
                at = np.ix_(*[[place[int(row)] for row in members]] * 2)
                covariance[at], slope[at] = known - assumed * own, own
        covariance += correlation * slope
        if np.linalg.eigvalsh(covariance / np.outer(se, se)).min() <= DEFINITE:
            names = ", ".join(effects.label[row] for row in rows)
            raise ModelError(
                f"correlation = {correlation} between {names} contradicts their known covariances (blocks): the "
                "matrix is not positive definite. Try a correlation nearer to the known ones."
            )
        blocks.append((rows, covariance))
        slopes.append(slope)
    return _replaced(effects, blocks=tuple(blocks), working=(correlation, slopes))


def _linked(effects: Effects, groups: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Rows joined by trial or block, for every such set of two or more."""
    # on clusters rather than on rows: k rows would make a matrix of k x k
    m = int(groups.max()) + 1
    label = np.arange(m)
    if across := [np.unique(groups[rows]) for rows, _ in effects.blocks if np.ptp(groups[rows])]:
        linked = np.eye(m, dtype=bool)
        for touched in across:
            linked[np.ix_(touched, touched)] = True
        label = component_labels(linked)
    of_row = label[groups]
    order = np.argsort(of_row, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(of_row[order])) + 1)
    return [rows for rows in parts if rows.size > 1]


def _replaced(effects: Effects, **changes: Any) -> Effects:
    with warnings.catch_warnings():
        # whatever there was to say of repeated trials was said of the data as given
        warnings.simplefilter("ignore", BayesmetaWarning)
        return dataclasses.replace(effects, **changes)


def _assumed(effects: Effects, correlation: float | None) -> float:
    stated = 0.5 if effects.working is None else effects.working[0]
    return stated if correlation is None else correlation


@on_effects()
def aggregate_trials(
    effects: Effects, correlation: float | None = None, *, cluster: Sequence[str] | None = None
) -> Effects:
    """One row per trial: the inverse-covariance weighted mean of its rows, as metafor's ``aggregate``.

    Within a trial ``(1'V^-1 y) / (1'V^-1 1)`` with variance ``1 / (1'V^-1 1)``, V from `working_covariance`.

    Parameters
    ----------
    effects : Effects
    correlation : float, optional
        Sampling correlation between rows of one trial where it is not known. Default: the one that the effects were
        made with, else 0.5.
    cluster : sequence of str, optional

    Returns
    -------
    Effects
        Trials in order of appearance, without moderators. Blocks that link trials are an error.

    Raises
    ------
    ModelError
        As `working_covariance`, and where trials share patients with each other.

    Examples
    --------
    >>> rows = bm.Effects(["A", "A", "B"], [0.1, 0.3, 0.2], [0.1, 0.1, 0.1], measure="SMD", cluster=["A", "A", "B"])
    >>> one = aggregate_trials(rows, 0.5)
    >>> one.study, one.y.round(3).tolist(), (one.se**2).round(4).tolist()
    (('A', 'B'), [0.2, 0.2], [0.0075, 0.01])
    """
    groups = cluster_numbers(effects, cluster)
    if any(np.ptp(groups[rows]) for rows, _ in effects.blocks):
        raise ModelError("trials share patients with each other (blocks): give a cluster that holds them all.")
    full = working_covariance(effects, _assumed(effects, correlation), cluster=cluster)
    m = int(groups.max()) + 1
    names = (effects.cluster or effects.study) if cluster is None else tuple(str(name) for name in cluster)
    first = np.unique(groups, return_index=True)[1]
    y, variance = np.empty(m), np.empty(m)
    y[:], variance[:] = effects.y[first], effects.se[first] ** 2
    for rows, covariance in full.blocks:
        weights = np.linalg.solve(covariance, np.ones(rows.size))
        total = weights.sum()
        y[groups[rows[0]]], variance[groups[rows[0]]] = weights @ effects.y[rows] / total, 1.0 / total
    return Effects(
        [names[row] for row in first],
        y,
        np.sqrt(variance),
        measure=effects.measure,
        name=effects.name,
        better=effects.better,
        unit=effects.unit,
    )


@on_effects()
def correlated_hierarchical(
    effects: Effects,
    *,
    correlations: Sequence[float] = CORRELATIONS,
    cluster: Sequence[str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Correlated and hierarchical effects (CHE) with CR2 standard errors, at several sampling correlations.

    The recipe of Pustejovsky & Tipton (2022, doi:10.1007/s11121-021-01246-3): a working model with a constant sampling
    correlation within trials (`working_covariance`) and two variances (`pool_multilevel`, REML), and cluster-robust
    standard errors that stay right where the working model is not (`cluster_robust`, CR2).

    Parameters
    ----------
    effects : Effects
    correlations : sequence of float
    cluster : sequence of str, optional
    level : float

    Returns
    -------
    DataFrame
        One row per correlation: ``correlation estimate se lower upper df p tau cluster_tau i2_between i2_within
        n_clusters note``. Where the model is not defined numbers are nan and `note` says why.

    Examples
    --------
    >>> rows = bm.Effects(list("AABBCD"), [0.1, 0.4, 0.7, 0.6, -0.2, 0.3], [0.2, 0.2, 0.1, 0.2, 0.1, 0.3],
    ...                   measure="SMD", cluster=list("AABBCD"))
    >>> correlated_hierarchical(rows, correlations=(0.6,)).note[0]
    'Satterthwaite df below 4: p values are unreliable (Tipton 2015)'
    """
    lines = []
    for correlation in correlations:

        def line(correlation: float = correlation) -> dict[str, Any]:
            return _che(effects, correlation, cluster, level)

        lines.append(
            {
                "correlation": correlation,
                "n_clusters": int(cluster_numbers(effects, cluster).max()) + 1,
                **_attempt(line, CHE_COLUMNS[1:-2]),
            }
        )
    return pd.DataFrame(lines, columns=list(CHE_COLUMNS))


def _che(effects: Effects, correlation: float, cluster: Sequence[str] | None, level: float) -> dict[str, Any]:
    rows = working_covariance(effects, correlation, cluster=cluster)
    fit = pool_multilevel(rows, cluster=cluster, level=level)
    return {
        **_che_line(effects, correlation, cluster, level),
        "i2_between": fit.i2_between,
        "i2_within": fit.i2_within,
    }


def _che_line(effects: Effects, correlation: float, cluster: Sequence[str] | None, level: float) -> dict[str, Any]:
    rows = working_covariance(effects, correlation, cluster=cluster)
    line = _robust_line(rows, cluster, level)
    if rows.working is not None and not any(slope.any() for slope in rows.working[1]):
        line["note"] = "; ".join(
            filter(None, ("all covariances are known, the correlation changes nothing", line["note"]))
        )
    return line


def _robust_line(effects: Effects, cluster: Sequence[str] | None, level: float) -> dict[str, Any]:
    robust = cluster_robust(effects, working="multilevel", cluster=cluster, level=level)
    few = [FEW] if robust.df[0] < FEW_DF else []
    others = [note for note in robust.notes if "Tipton" not in note]
    return {
        **{name: float(getattr(robust, name)[0]) for name in ("estimate", "se", "lower", "upper", "df", "p")},
        "tau": math.sqrt(robust.tau2),
        "cluster_tau": math.sqrt(robust.cluster_tau2),
        "note": "; ".join(few + others),
    }


def _attempt(line: Callable[[], dict[str, Any]], numbers: Sequence[str]) -> dict[str, Any]:
    try:
        return line()
    except (ModelError, InferenceError) as error:
        return {**dict.fromkeys(numbers, np.nan), "note": str(error)}


@on_effects()
def dependence_table(
    effects: Effects,
    *,
    correlations: Sequence[float] = CORRELATIONS,
    aggregate_correlation: float | None = None,
    cluster: Sequence[str] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Every usual treatment of several rows per trial, one line each.

    Parameters
    ----------
    effects : Effects
    correlations : sequence of float
        Sampling correlations of CHE.
    aggregate_correlation : float, optional
        Sampling correlation behind "one row per trial". Default: the one that the effects were made with, else 0.5.
    cluster : sequence of str, optional
        The trial of each row. Default: ``effects.cluster``, else ``effects.study``.
    level : float

    Returns
    -------
    DataFrame
        ``method correlation k n_clusters estimate se lower upper df p tau cluster_tau note``. `tau` is the SD between
        trials (where rows count as independent: between rows), `cluster_tau` between rows of one trial. What is not
        defined is nan, and `note` says why. A single line where no trial has two rows.

    Examples
    --------
    >>> rows = bm.Effects(list("AABBCDE"), [0.1, 0.4, 0.7, 0.6, -0.2, 0.3, 0.2], [0.2, 0.2, 0.1, 0.2, 0.1, 0.3, 0.2],
    ...                   measure="SMD", cluster=list("AABBCDE"))
    >>> dependence_table(rows, correlations=(0.6,)).method.tolist()
    ['rows as independent', 'multilevel', 'multilevel, CR2', 'CHE, CR2', 'one row per trial']
    """
    groups = cluster_numbers(effects, cluster)
    m = int(groups.max()) + 1
    single = m == effects.k and not effects.blocks
    lines: list[dict[str, Any]] = []

    def add(
        method: str, line: Callable[[], dict[str, Any]], *, correlation: float = np.nan, k: int = effects.k
    ) -> None:
        found = _attempt(line, DEPENDENCE_COLUMNS[4:-1])
        lines.append({"method": method, "correlation": correlation, "k": k, "n_clusters": m, **found})

    def independent() -> dict[str, Any]:
        found = _pooled(_replaced(effects, blocks=(), working=None), level)
        if single:
            found["note"] = "; ".join(
                part for part in ("no trial has two rows: rows are independent, nothing to do", found["note"]) if part
            )
        return found

    add("rows as independent", independent)
    if single:
        if np.isnan(lines[0]["estimate"]):
            lines[0]["note"] = f"no trial has two rows: rows are independent, nothing to do; {lines[0]['note']}"
        return pd.DataFrame(lines, columns=list(DEPENDENCE_COLUMNS))
    if effects.blocks:
        name = "known covariance" if effects.working is None else "one SD, stated correlation"
        add(name, lambda: _pooled(effects, level))
    add("multilevel", lambda: _multilevel_line(effects, cluster, level))
    add("multilevel, CR2", lambda: _robust_line(effects, cluster, level))
    for correlation in correlations:

        def che(correlation: float = correlation) -> dict[str, Any]:
            return _che_line(effects, correlation, cluster, level)

        add("CHE, CR2", che, correlation=correlation)
    add(
        "one row per trial",
        lambda: _pooled(aggregate_trials(effects, aggregate_correlation, cluster=cluster), level),
        correlation=_assumed(effects, aggregate_correlation),
        k=m,
    )
    return pd.DataFrame(lines, columns=list(DEPENDENCE_COLUMNS))


def _pooled(effects: Effects, level: float) -> dict[str, Any]:
    """REML with the Hartung-Knapp interval."""
    fit = pool(effects, method="REML", ci="hksj", level=level)
    return {
        "estimate": fit.estimate,
        "se": fit.se,
        "lower": fit.lower,
        "upper": fit.upper,
        "df": np.nan if fit.df is None else float(fit.df),
        "p": np.nan if fit.p is None else fit.p,
        "tau": math.sqrt(fit.tau2),
        "cluster_tau": np.nan,
        "note": "; ".join((*fit.notes, "no variance within trials in this model")),
    }


def _multilevel_line(effects: Effects, cluster: Sequence[str] | None, level: float) -> dict[str, Any]:
    fit = pool_multilevel(effects, cluster=cluster, ci="t", level=level)
    numbers: dict[str, FloatArray] = {name: getattr(fit, name) for name in ("estimate", "se", "lower", "upper", "p")}
    return {
        **{name: float(values[0]) for name, values in numbers.items()},
        "df": np.nan if fit.df is None else float(fit.df),
        "tau": fit.tau,
        "cluster_tau": fit.cluster_tau,
        "note": "; ".join(fit.notes),
    }
