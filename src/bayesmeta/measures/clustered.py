"""Trials of clusters: the design effect, and where it belongs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.measures.rules import Rules, columns_of
from bayesmeta.measures.work import Work

__all__ = ["design_effect"]

CLUSTERING = ("adjusted", "ignored")
SAY = (
    'Say clustering = "adjusted" if the printed uncertainty allows for clusters, "ignored" if it is as of independent '
    "people."
)
GIVE = "Give icc and cluster_size, or design_effect"
COLUMNS = ("icc", "cluster_size", "cluster_size_t", "cluster_size_c", "design_effect")


def design_effect(cluster_size: ArrayLike, icc: ArrayLike) -> np.ndarray:
    """Return the design effect of a trial that randomised clusters, ``1 + (m - 1) ICC``.

    The variance of a comparison of clusters is that of as many independent people times this (Cochrane Handbook
    23.1.4; Donner & Klar 2000).

    Parameters
    ----------
    cluster_size : array_like (k,)
        Mean number m of people per cluster, at least 1.
    icc : array_like (k,)
        Intracluster correlation coefficient, in [0, 1].

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If a size is below 1, an ICC is not in [0, 1] or a number is missing.

    Examples
    --------
    >>> design_effect(29.8, 0.02).round(3)
    array([1.576])
    """
    c = columns_of(cluster_size=cluster_size, icc=icc)
    rules = Rules(c)
    rules.present(*c)
    _check(rules)
    rules.refuse()
    return 1 + (c["cluster_size"] - 1) * c["icc"]


def _check(rules: Rules) -> None:
    for name in rules.columns:
        if name == "icc":
            x = rules.columns[name]
            rules.require(~((x < 0) | (x > 1)), name, "is not between 0 and 1", "Give the ICC, such as 0.02.")
        else:
            rules.at_least(1, name, why="Give people per cluster, or a ratio of variances.")


def inflate(work: Work) -> None:
    """Find each row's design effect, and multiply the standard errors that do not allow for clusters by its root.

    Means, SDs, sizes and small-sample factors stay those of the people who took part.
    """
    table = work.table
    stated = table.words("clustering", CLUSTERING, SAY)
    size, by_arm = table.has("cluster_size"), table.has("cluster_size_t") & table.has("cluster_size_c")
    sized = size | by_arm
    printed = table.has("design_effect")
    own_icc, assumed = table.has("icc"), work.options.icc
    clustered = (
        (work.design == "cluster")
        | sized
        | printed
        | own_icc
        | table.has("cluster_size_t")
        | table.has("cluster_size_c")
    )
    known = printed | (sized & (own_icc | (assumed is not None)))
    done = np.isfinite(work.y) & np.isfinite(work.se)
    adjusted = stated == "adjusted"
    work.allowed_for = adjusted
    for row in np.flatnonzero(adjusted & done & work.through):
        rule = "gives no standard deviation where it allows for clusters"
        work.fault(
            int(row), "clustering", rule, "Give the SD of the scores (sd, or sd_t and sd_c) beside the difference."
        )
    for row in np.flatnonzero(clustered & done & ~known & ~adjusted):
        column = "icc" if sized[row] else "cluster_size"
        more = ", or state measure_options.icc or priors.derived.icc" if sized[row] else ""
        work.fault(
            int(row), column, "is missing for a trial of clusters", f'{GIVE}{more}; or say clustering = "adjusted".'
        )
    rows = np.flatnonzero(done & known)
    unclear = [fault.row for fault in table.faults if fault.column == "clustering"]
    unsaid = work.printed[rows] & (stated[rows] == "") & ~np.isin(rows, unclear)
    for row in rows[unsaid]:
        work.fault(int(row), "clustering", "is not said beside a printed uncertainty and a design effect", SAY)
    rows = rows[~unsaid]
    rows = rows[work.sound(rows, _rules(rows, work))]
    work.note(rows[adjusted[rows]], "the numbers allow for clusters already: no design effect is applied")
    rows = rows[~adjusted[rows]]
    if not rows.size:
        return
    work.deff[rows], told = _effects(rows, work, printed[rows], size[rows])
    work.se[rows] *= np.sqrt(work.deff[rows])
    for mask, text, names in told:
        if mask.any():
            work.step(rows[mask], text, names)
    if assumed is not None:
        work.note(rows[~own_icc[rows] & ~printed[rows]], f"ICC {assumed:g} assumed: the trial does not report it")


def _rules(rows: np.ndarray, work: Work) -> Rules:
    rules = Rules({name: work.table[name][rows] for name in COLUMNS})
    _check(rules)
    return rules


Told = list[tuple[np.ndarray, str, tuple[str, ...]]]


def _effects(rows: np.ndarray, work: Work, printed: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, Told]:
    """Design effects, shape (r,), and what the ledger says of which rows."""
    table = work.table
    c = {name: table[name][rows] for name in (*COLUMNS, "n_t", "n_c")}
    icc = np.where(np.isnan(c["icc"]), np.nan if work.options.icc is None else work.options.icc, c["icc"])
    whole = 1 + (c["cluster_size"] - 1) * icc
    weight = {arm: 1 / np.where(c[f"n_{arm}"] > 0, c[f"n_{arm}"], np.nan) for arm in "tc"}
    # nothing says which arm is the larger: both count alike
    weight = {arm: np.where(np.isnan(weight["t"] + weight["c"]), 1.0, weight[arm]) for arm in "tc"}
    arms = {arm: 1 + (c[f"cluster_size_{arm}"] - 1) * icc for arm in "tc"}
    mean = (weight["t"] * arms["t"] + weight["c"] * arms["c"]) / (weight["t"] + weight["c"])
    deff = np.where(printed, c["design_effect"], np.where(size, whole, mean))
    root = "se times sqrt(design effect)"
    return deff, [
        (printed, f"{root}, as given", ("design_effect",)),
        (size & ~printed, f"{root}, 1 + (m - 1) ICC (Cochrane Handbook 23.1.4)", ("icc", "cluster_size")),
        (
            ~size & ~printed,
            f"{root}, the arms' 1 + (m - 1) ICC weighted by 1/n (one variance in both arms)",
            ("icc", "cluster_size_t", "cluster_size_c"),
        ),
    ]
