"""Meta-regression: how effects differ with moderators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.coding import check_full_rank, treatment_design
from bayesmeta.classical.heterogeneity import chi2_sf, heterogeneity_of, i2_h2
from bayesmeta.classical.intervals import CiMethod, check_ci, interval_arrays, scale_factor
from bayesmeta.classical.printing import CoefficientsResult
from bayesmeta.classical.rows import FloatArray, Rows, effect_rows, moments, quadratic
from bayesmeta.classical.tau2 import Tau2Method, log_likelihood, tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

__all__ = ["MetaRegression", "coefficient_test", "metaregression"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MetaRegression(CoefficientsResult):
    """A classical meta-regression. Undefined numbers are None (nan inside arrays), and `notes` says why.

    Beside what a `CoefficientsResult` has; its covariance is that under `ci`.

    Attributes
    ----------
    method, ci : str
    df : int or None
        Degrees of freedom of t.
    tau2, se_tau2 : float, float or None
        Residual between-study variance.
    qm, qm_df, qm_p : float, (int, int or None), float
        Test of all coefficients but the intercept: chi2, or F (with its second df) where `ci` is not "wald". None where
        there is an intercept only.
    qe, qe_df, qe_p : float, int, float or None
        Test of residual heterogeneity.
    r2 : float or None
        Percent of tau2 that the moderators explain, not below 0 (EE: adjusted R2 of the weighted regression). None
        without an intercept or without moderators.
    i2_q, i2_tau2, h2 : float or None
        Residual I2 in percent and H2.
    loglik : float
    design : ndarray, shape (k, p)
    reference, centre : dict
        Reference level of each category; what was subtracted from each numeric moderator.
    """

    method: Tau2Method
    ci: CiMethod
    df: int | None
    tau2: float
    se_tau2: float | None
    qm: float | None
    qm_df: tuple[int, int | None] | None
    qm_p: float | None
    qe: float
    qe_df: int
    qe_p: float | None
    r2: float | None
    i2_q: float | None
    i2_tau2: float | None
    h2: float | None
    loglik: float
    design: FloatArray
    reference: dict[str, str] = field(default_factory=dict)
    centre: dict[str, float] = field(default_factory=dict)


@on_effects()
def metaregression(
    effects: Effects,
    moderators: Sequence[str] | None = None,
    X: ArrayLike | pd.DataFrame | None = None,
    *,
    method: Tau2Method = "REML",
    ci: CiMethod = "wald",
    level: float = 0.95,
    rho: float = 0.5,
    reference: Mapping[str, str] | None = None,
    centre: bool = False,
) -> MetaRegression:
    """Regress effects on moderators: ``y ~ N(X beta, S + tau2 R)``.

    Parameters
    ----------
    effects : Effects
    moderators : sequence of str
        Names in ``effects.moderators``; interactions as ``"a:b"`` after ``"a"`` and ``"b"``. Categories are coded
        against their reference level. Give either this or `X`.
    X : array or DataFrame, shape (k, p)
        A whole design, with its column of ones if an intercept is wanted; columns of a DataFrame name the terms.
    method, ci, level, rho
        As in `pool`; t and F have k - p denominator degrees of freedom, k counting trials where rows share patients.
        With "hksj" the covariance is multiplied by y'Py / (k - p).
    reference : mapping of str to str, optional
        Reference level by moderator; the first in alphabetical order where not given.
    centre : bool
        Centre numeric moderators at their mean over rows.

    Returns
    -------
    MetaRegression

    Raises
    ------
    ModelError
        For a design without full column rank (the message says rank and k), a missing value, an unknown name, and
        whatever `pool` refuses.

    References
    ----------
    Knapp & Hartung 2003, doi:10.1002/sim.1482; R2: Raudenbush 2009, as in R metafor (doi:10.18637/jss.v036.i03).

    Examples
    --------
    >>> found = metaregression(effects, ["weeks"])
    >>> found.terms, found.estimate.round(9).tolist()
    (('intercept', 'weeks'), [-0.7, 0.05])
    """
    k = len(effects.y)
    found_reference: dict[str, str] = {}
    found_centre: dict[str, float] = {}
    if (moderators is None) == (X is None):
        raise ModelError("give either moderators=[names] or a design X, not both and not neither.")
    if moderators is not None:
        if isinstance(moderators, str):
            raise ModelError(f"moderators must be a list of names: [{moderators!r}].")
        coded = treatment_design(effects.moderators, moderators, k, reference=reference, centre=centre)
        design, terms, found_reference, found_centre = coded.X, coded.terms, coded.reference, coded.centre
    else:
        if reference or centre:
            raise ModelError("reference and centre are for moderators=[names]; a design X is used as it is.")
        design, terms = _given(X, k)
    rows = effect_rows(effects, design, rho=rho)
    tau2 = tau2_of(rows, method)
    spread = heterogeneity_of(rows)
    p = rows.p
    df = check_ci(ci, rows.units, p, dependent=bool(rows.blocks))
    at = moments(rows, [tau2.value])
    inverse = np.linalg.inv(rows.triangle)
    estimate = rows.start + inverse @ at.gamma[0]
    notes = tau2.notes
    factor = scale_factor(ci, float(at.rss[0]), k - p) if k > p else 1.0
    vcov = factor * (inverse @ at.cov[0] @ inverse.T)
    se = np.sqrt(np.diagonal(vcov))
    if factor == 0.0:
        notes += (f"{ci}: the design fits every estimate exactly, so SEs are 0 and tests are not defined",)
    i2_q, i2_tau2, h2 = i2_h2(spread, tau2)
    intercept = np.flatnonzero(np.ptp(design, axis=0) == 0)
    others = np.delete(np.arange(p), intercept[:1])
    qm, qm_df, qm_p = _test(estimate, vcov, others, df) if factor > 0 else (None, None, None)
    return MetaRegression(
        method=tau2.method,
        ci=ci,
        level=level,
        k=k,
        terms=terms,
        estimate=estimate,
        se=se,
        **interval_arrays(estimate, se, level, df),
        df=df,
        vcov=vcov,
        tau2=tau2.value,
        se_tau2=tau2.se,
        qm=qm,
        qm_df=qm_df,
        qm_p=qm_p,
        qe=spread.q,
        qe_df=spread.q_df,
        qe_p=spread.q_p,
        r2=_r2(effects, rows, tau2.method, tau2.value) if intercept.size and p > 1 else None,
        i2_q=i2_q,
        i2_tau2=i2_tau2,
        h2=h2,
        loglik=float(log_likelihood(rows, at, restricted=method == "REML")[0]),
        design=design,
        reference=found_reference,
        centre=found_centre,
        notes=notes,
    )


def coefficient_test(fit: MetaRegression, which: Sequence[int]) -> tuple[float, int, int | None, float]:
    r"""Test that some coefficients of a meta-regression are all zero.

    :math:`F = b' V^{-1} b / m` on m and ``fit.df`` degrees of freedom, with V the covariance of these m coefficients
    under the fit's ``ci`` (Knapp-Hartung: scaled by :math:`s^2 = y' P y / (k - p)`); chi-squared with ``ci="wald"``.

    Parameters
    ----------
    fit : MetaRegression
    which : sequence of int
        Numbers of coefficients, the first is 0.

    Returns
    -------
    statistic, df1, df2, p
        ``df2`` is None for chi-squared.

    Raises
    ------
    ModelError
        If no coefficient is named, or the design fits every estimate exactly.

    References
    ----------
    Knapp G, Hartung J. Stat Med 2003;22:2693-2710. doi:10.1002/sim.1482

    Examples
    --------
    >>> found = metaregression(effects, ["type"], ci="hksj")
    >>> statistic, df1, df2, p = coefficient_test(found, [1])
    >>> bool(abs(statistic - (found.estimate[1] / found.se[1]) ** 2) < 1e-9), df1, df2
    (True, 1, 2)
    """
    chosen = np.asarray(which, int)
    if not chosen.size or not np.isin(chosen, np.arange(len(fit.terms))).all():
        raise ModelError(f"coefficients {list(which)}: name one or more of 0 to {len(fit.terms) - 1}.")
    statistic, degrees, p = _test(fit.estimate, fit.vcov, chosen, fit.df)
    if statistic is None or degrees is None or p is None or not np.isfinite(statistic):
        raise ModelError("the design fits every estimate exactly: tests are not defined.")
    return statistic, *degrees, p


def _given(X: ArrayLike | pd.DataFrame | None, k: int) -> tuple[FloatArray, tuple[str, ...]]:
    design = np.array(X, dtype=float)
    if design.ndim != 2 or design.shape[0] != k or not np.isfinite(design).all():
        raise ModelError(f"X: shape {design.shape} must be ({k}, p), and every entry finite.")
    terms = (
        tuple(map(str, X.columns))
        if isinstance(X, pd.DataFrame)
        else tuple(f"x{column + 1}" for column in range(design.shape[1]))
    )
    check_full_rank(design, terms)
    return design, terms


def _test(
    estimate: FloatArray, vcov: FloatArray, which: np.ndarray, df: int | None
) -> tuple[float | None, tuple[int, int | None] | None, float | None]:
    """Wald test that the coefficients `which` are all zero: chi2(m), or F(m, df)."""
    m = len(which)
    if m == 0:
        return None, None, None
    chosen = estimate[which]
    if not np.diagonal(vcov)[which].all():
        return None, None, None
    # Scaling to correlations keeps moderators of very different units apart from rounding.
    scale = np.sqrt(np.diagonal(vcov)[which])
    quadratic_form = float(
        (chosen / scale) @ np.linalg.solve(vcov[np.ix_(which, which)] / np.outer(scale, scale), chosen / scale)
    )
    if df is None:
        return quadratic_form, (m, None), chi2_sf(quadratic_form, m)
    return quadratic_form / m, (m, df), float(special.fdtrc(m, df, quadratic_form / m))


def _r2(effects: Effects, rows: Rows, method: Tau2Method, tau2: float) -> float | None:
    null = effect_rows(effects, rho=rows.rho)
    if method == "EE":
        if rows.k <= rows.p:
            return None
        total = float(quadratic(null, np.zeros(1))[0][0])
        share = float(quadratic(rows, np.zeros(1))[0][0]) / total if total > 0 else 1.0
        return max(0.0, 100.0 * (1.0 - share * (rows.k - 1) / (rows.k - rows.p)))
    before = tau2_of(null, method).value
    return max(0.0, 100.0 * (before - tau2) / before) if before > 0 else 0.0
