"""What each estimate does to the pooled result: residuals, leverage and deletion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.coding import treatment_design
from bayesmeta.classical.intervals import critical
from bayesmeta.classical.refits import refit
from bayesmeta.classical.rows import FloatArray, Rows, effect_rows, moments
from bayesmeta.classical.tau2 import Tau2Method, tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError

__all__ = ["influence_table"]

_NUMBERS = [
    "fitted",
    "hat",
    "rstandard",
    "rstudent",
    "dffits",
    "cook",
    "cov_ratio",
    "tau2_deleted",
    "qe_deleted",
    "weight",
    "se_residual",
    "baujat_x",
    "baujat_y",
]
# a residual below this share of the largest estimate is rounding (in metafor: this much, in any unit)
ROUNDING = 100 * np.finfo(float).eps
INDEPENDENT = "dffits and the Baujat coordinates are defined for independent rows; rows leave with their whole trial"


@on_effects()
def influence_table(
    effects: Effects,
    *,
    method: Tau2Method = "REML",
    moderators: Sequence[str] | None = None,
    level: float = 0.95,
    rho: float = 0.5,
) -> pd.DataFrame:
    r"""Residuals, leverage and case-deletion diagnostics of every estimate.

    With H = X(X'WX)^-1 X'W, and the subscript (i) for a true refit without estimate i, tau2 included:

    - ``rstandard``: ``e_i / sqrt(((I-H) V (I-H)')_ii)``.
    - ``rstudent``: ``(y_i - x_i b_(i)) / se_residual``, ``se_residual^2 = se_i^2 + tau2_(i) + x_i Var(b_(i)) x_i'``.
    - ``dffits``: ``(x_i b - x_i b_(i)) / sqrt(h_i (tau2_(i) + se_i^2))``.
    - ``cook``: ``(b - b_(i))' Var(b)^-1 (b - b_(i))``.
    - ``cov_ratio``: ``det Var(b_(i)) / det Var(b)``.
    - ``dfbeta``: ``(b - b_(i)) / sqrt(diag (X' W(tau2_(i)) X)^-1)``, one column per coefficient.
    - ``baujat_x``: ``e_i^2 / (se_i^2 + tau2)``; ``baujat_y``: ``(x_i b - x_i b_(i))^2 / (x_i Var(b_(i)) x_i')``.
    - ``influential``: one of ``|dffits| > 3 sqrt(p/(k-p))``, chi2(p) probability of ``cook`` above 0.5,
      ``hat > 3 p/k``, ``|dfbeta| > 1``.

    Where rows share patients (blocks) or a trial has several rows, the whole trial is left out (``effects.units``),
    ``cook`` and ``cov_ratio`` are those of the trial, and ``dffits`` and the Baujat coordinates are not defined.

    Parameters
    ----------
    effects : Effects
    method : str
        Estimator of tau2, in the whole and in every refit.
    moderators : sequence of str, optional
        As in `metaregression`; intercept alone where not given.
    level : float
        A studentized residual beyond this level of the normal distribution is an ``outlier``.
    rho : float
        Correlation of the true effects of rows in one block.

    Returns
    -------
    pandas.DataFrame
        One line per estimate: ``label study y fitted hat rstandard rstudent dffits cook cov_ratio tau2_deleted
        qe_deleted weight dfbeta se_residual baujat_x baujat_y influential outlier note``; ``weight`` in percent; with
        moderators ``dfbeta[term]`` per coefficient. A number that is not defined is nan, and ``note`` says why.

    Raises
    ------
    ModelError
        For a design that cannot be estimated or a level that is not a probability.

    References
    ----------
    Viechtbauer & Cheung 2010, doi:10.1002/jrsm.11; Baujat et al. 2002, doi:10.1002/sim.1221. Agrees with
    ``influence.rma.uni`` and ``baujat`` of R metafor (doi:10.18637/jss.v036.i03).

    Examples
    --------
    >>> trials = bm.Effects(list("ABCDE"), [0.1, 0.3, 0.4, 0.2, 2.8], [0.1, 0.1, 0.2, 0.2, 0.2], measure="SMD")
    >>> table = influence_table(trials)
    >>> table.label[table.influential].tolist(), table.label[table.outlier].tolist()
    (['E'], ['E'])
    """
    names = list(moderators or [])
    k = effects.k
    design = treatment_design(effects.moderators, names, k)
    terms = ["dfbeta"] if len(design.terms) == 1 else [f"dfbeta[{term}]" for term in design.terms]
    frame = pd.DataFrame({"label": list(effects.label), "study": list(effects.study), "y": np.array(effects.y)})
    X = design.X if names else None
    rows = effect_rows(effects, X, rho=rho)
    try:
        if k == 1:
            raise ModelError("one estimate: there is nothing to leave out.")
        columns, dfbetas, note = _diagnostics(effects, rows, method)
    except (ModelError, InferenceError) as error:
        columns = {name: np.full(k, np.nan) for name in _NUMBERS}
        dfbetas, note = np.full((k, rows.p), np.nan), [str(error)] * k
    for name in _NUMBERS[: _NUMBERS.index("se_residual")]:
        frame[name] = columns[name]
    for column, term in enumerate(terms):
        frame[term] = dfbetas[:, column]
    for name in ("se_residual", "baujat_x", "baujat_y"):
        frame[name] = columns[name]
    frame["influential"] = _influential(columns, dfbetas, k, rows.p)
    frame["outlier"] = np.abs(columns["rstudent"]) > critical(level)
    frame["note"] = note
    return frame


def _influential(columns: dict[str, FloatArray], dfbetas: FloatArray, k: int, p: int) -> np.ndarray:
    """Comparisons with nan are False: what is not defined flags nothing."""
    limit = 3.0 * (p / (k - p)) ** 0.5 if k > p else np.inf
    return np.asarray(
        (np.abs(columns["dffits"]) > limit)
        | (special.gammainc(0.5 * p, 0.5 * columns["cook"]) > 0.5)
        | (columns["hat"] > 3.0 * p / k)
        | (np.abs(dfbetas) > 1.0).any(axis=1)
    )


def _diagnostics(
    effects: Effects, rows: Rows, method: Tau2Method
) -> tuple[dict[str, FloatArray], FloatArray, list[str]]:
    k, p = rows.k, rows.p
    names, unit = effects.units
    tau2 = tau2_of(rows, method).value
    at = moments(rows, [tau2])
    back = np.linalg.inv(rows.triangle)
    beta = rows.start + back @ at.gamma[0]
    X = rows.basis @ rows.triangle
    vcov = back @ at.cov[0] @ back.T
    hat, diagonal, standard = _leverage(rows, X, vcov, tau2)
    fitted = X @ beta
    e = effects.y - fitted
    rounding = ROUNDING * float(np.abs(effects.y).max())
    e = np.where(np.abs(e) < rounding, 0.0, e)
    total = effects.se**2 + tau2

    member = unit[None, :] != np.arange(len(names))[:, None]
    deleted = refit(rows, member, method)
    tau2_deleted = deleted.tau2
    # with tau2 of the deletion but all rows
    whole = moments(rows, np.where(np.isnan(tau2_deleted), 0.0, tau2_deleted)).cov
    scale = np.sqrt(np.diagonal(back @ whole @ back.T, axis1=1, axis2=2))
    shift = beta - deleted.estimate
    with np.errstate(divide="ignore", invalid="ignore"):
        dfbeta = shift / scale
        cook = np.einsum("mi,ij,mj->m", shift, np.linalg.inv(vcov), shift)
        cov_ratio = np.linalg.det(deleted.vcov) / np.linalg.det(vcov)
        # one line per row from here on
        predicted = np.einsum("kp,kp->k", X, deleted.estimate[unit])
        variance = np.einsum("kp,kpq,kq->k", X, deleted.vcov[unit], X)
        residual = effects.y - predicted
        residual = np.where(np.abs(residual) < rounding, 0.0, residual)
        se_residual = np.sqrt(effects.se**2 + tau2_deleted[unit] + variance)
        # where the trial determines a coefficient alone its row has leverage 1 and no residual
        rstandard = np.where(standard > 0, e / np.sqrt(np.where(standard > 0, standard, 1.0)), np.nan)
        move = fitted - predicted
        columns = {
            "fitted": fitted,
            "hat": hat,
            "rstandard": rstandard,
            "rstudent": residual / se_residual,
            "dffits": move / np.sqrt(hat * (tau2_deleted[unit] + effects.se**2)),
            "cook": cook[unit],
            "cov_ratio": cov_ratio[unit],
            "tau2_deleted": tau2_deleted[unit],
            "qe_deleted": np.where(deleted.k > p, deleted.q, np.where(np.isnan(tau2_deleted), np.nan, 0.0))[unit],
            "weight": 100.0 * diagonal / diagonal.sum(),
            "se_residual": se_residual,
            "baujat_x": e**2 / total,
            "baujat_y": move**2 / variance,
        }
    note = [_why(deleted.k[u], p, deleted.estimate[u], names[u]) for u in unit]
    if len(names) < k:
        for name in ("dffits", "baujat_x", "baujat_y"):
            columns[name] = np.full(k, np.nan)
        note = [text or INDEPENDENT for text in note]
    return columns, dfbeta[unit], note


def _why(left: int, p: int, estimate: FloatArray, name: str) -> str:
    if not np.isnan(estimate).any():
        return ""
    if left <= p:
        return f"without {name}, {left} estimates for {p} coefficients leave nothing to estimate tau2 from"
    return f"without {name} a coefficient or tau2 cannot be estimated"


def _leverage(rows: Rows, X: FloatArray, vcov: FloatArray, tau2: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Diagonals of H = X(X'WX)^-1 X'W, of W, and of (I-H)V(I-H)' = V - X(X'WX)^-1 X'; block by block."""
    total = rows.se**2 + tau2
    weight = 1.0 / total
    weighted = weight[:, None] * X
    for (indices, covariance), correlation in zip(rows.blocks, rows.correlations, strict=True):
        inverse = np.linalg.inv(covariance + tau2 * correlation)
        weight[indices] = np.diagonal(inverse)
        weighted[indices] = inverse @ X[indices]
    projected = X @ vcov
    hat = (projected * weighted).sum(axis=1)
    standard = total - (projected * X).sum(axis=1)
    return hat, weight, np.where(standard > 16 * np.finfo(float).eps * total, standard, 0.0)
