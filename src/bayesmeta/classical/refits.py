"""One model fitted to many subsets of the rows, or to many versions of y, at once.

A row that is left out has infinite variance, so that its weight is zero: every sum over rows that a single fit needs
is then the sum of the subset, for all subsets in one array operation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical.heterogeneity import trace_p
from bayesmeta.classical.intervals import CiMethod
from bayesmeta.classical.rows import FloatArray, Rows, column_rank, moments
from bayesmeta.classical.tau2 import Tau2Method, tau2_values
from bayesmeta.errors import ModelError

__all__ = ["ClassicalRefits", "intervals_of", "refit"]

BoolArray = NDArray[np.bool_]
# numbers (subsets times rows) per pass: a pass then stays in the second-level cache
CHUNK = 60_000


@dataclass(frozen=True, slots=True, eq=False)
class ClassicalRefits:
    """Fits of m subsets. A number that is not defined is nan.

    Attributes
    ----------
    k : ndarray of int, shape (m,)
        Number of estimates.
    tau2 : ndarray, shape (m,)
        nan where a subset has no more rows than coefficients, unless the method is EE.
    estimate : ndarray, shape (m, p)
        Coefficients.
    vcov : ndarray, shape (m, p, p)
        Their classic covariance.
    rss : ndarray, shape (m,)
        y'Py at tau2.
    q : ndarray, shape (m,)
        Cochran's Q, or QE with moderators.
    i2, h2 : ndarray, shape (m,)
        I2 in percent and H2, from tau2; from Q for EE.
    """

    k: NDArray[np.intp]
    tau2: FloatArray
    estimate: FloatArray
    vcov: FloatArray
    rss: FloatArray
    q: FloatArray
    i2: FloatArray
    h2: FloatArray


def refit(rows: Rows, member: BoolArray, method: Tau2Method, y: FloatArray | None = None) -> ClassicalRefits:
    """Fit every subset of `rows`.

    Parameters
    ----------
    rows : Rows
        All rows.
    member : ndarray of bool, shape (m, k)
        Rows of each subset; rows of one block are in or out together.
    method : str
        Estimator of tau2.
    y : ndarray, shape (m, k), optional
        Rotated estimates per subset, in place of ``rows.y`` and with coefficients that start from zero.

    Returns
    -------
    Refits

    Examples
    --------
    >>> from bayesmeta.classical import rows_of
    >>> rows = rows_of([0.0, 1.0, 5.0], [0.5, 0.5, 0.5])
    >>> refit(rows, np.array([[True, True, False], [True, True, True]]), "DL").estimate[:, 0].round(6).tolist()
    [0.5, 2.0]
    """
    size = max(1, CHUNK // rows.k)
    parts = [
        _refit(rows, member[start : start + size], method, None if y is None else y[start : start + size])
        for start in range(0, len(member), size)
    ]
    if len(parts) == 1:
        return parts[0]
    return ClassicalRefits(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ClassicalRefits.__slots__)
    )


def _refit(rows: Rows, member: BoolArray, method: Tau2Method, y: FloatArray | None) -> ClassicalRefits:
    k = member.sum(axis=1)
    p = rows.p
    if y is not None:
        rows = replace(rows, start=np.zeros(p))
        if rows.blocks and (method == "HE" or rows.rho == 1.0):
            raise ModelError(f"{method} with rho = {rows.rho}: not available here for blocks. Use REML and rho < 1.")
    fitted = _fitted(rows, member)
    member, inside = member[fitted], k[fitted]
    batch = rows.several(member, None if y is None else y[fitted])
    tau2 = tau2_values(batch, method)
    at = moments(batch, np.where(np.isnan(tau2), 0.0, tau2))
    at0 = moments(batch, np.zeros(len(member)))
    back = np.linalg.inv(rows.triangle)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = inside - p
        typical = np.where(df > 0, df / trace_p(rows, member, at0), np.nan)
        q = np.where(df > 0, at0.rss, 0.0)
        if method == "EE":
            i2 = np.where(q > 0, np.maximum(0.0, 100.0 * (q - df) / q), 0.0)
            i2, h2 = np.where(df > 0, i2, np.nan), np.where(df > 0, q / df, np.nan)
        else:
            i2, h2 = 100.0 * tau2 / (tau2 + typical), tau2 / typical + 1.0
    defined = np.isfinite(tau2)[:, None]
    estimate = np.where(defined, rows.start + at.gamma @ back.T, np.nan)
    vcov = np.where(defined[:, :, None], back @ at.cov @ back.T, np.nan)
    found = (tau2, estimate, vcov, np.where(defined[:, 0], np.where(df > 0, at.rss, 0.0), np.nan), q, i2, h2)
    out = []
    for values in found:
        whole = np.full((len(k), *values.shape[1:]), np.nan)
        whole[fitted] = values
        out.append(whole)
    return ClassicalRefits(k, *out)


def _fitted(rows: Rows, member: BoolArray) -> BoolArray:
    """Subsets in which every coefficient can be told apart."""
    if rows.p == 1:
        return member.any(axis=1)
    return np.array([column_rank(rows.basis[inside]) == rows.p for inside in member], bool)


def intervals_of(
    fits: ClassicalRefits, ci: CiMethod, level: float, units: NDArray[np.intp]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """SE, limits and p value of the intercept of each subset under an interval method.

    Parameters
    ----------
    fits : ClassicalRefits
        Of models with an intercept alone.
    ci : {"wald", "t", "hksj", "hksj_adhoc"}
    level : float
    units : ndarray of int, shape (m,)
        Independent units in each subset.

    Returns
    -------
    se, lower, upper, p : ndarray, shape (m,)
        nan where there are no degrees of freedom; p is nan where the SE is zero too.
    """
    estimate = fits.estimate[:, 0]
    se = np.sqrt(fits.vcov[:, 0, 0])
    tail = 0.5 * (1.0 - level)
    with np.errstate(divide="ignore", invalid="ignore"):
        if ci in ("hksj", "hksj_adhoc"):
            factor = fits.rss / np.where(fits.k > 1, fits.k - 1, np.nan)
            se = se * np.sqrt(factor if ci == "hksj" else np.maximum(1.0, factor))
        stat = np.where(se > 0, np.abs(estimate / se), np.nan)
        if ci == "wald":
            critical: FloatArray | float = -float(special.ndtri(tail))
            p = 2.0 * special.ndtr(-stat)
        else:
            df = np.where(units > 1, units - 1, np.nan)
            critical = -special.stdtrit(df, tail)
            p = 2.0 * special.stdtr(df, -stat)
    return se, estimate - critical * se, estimate + critical * se, p
