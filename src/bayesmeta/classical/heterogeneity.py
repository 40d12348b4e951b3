"""Cochran's Q, I2, H2 and the Q-profile interval of tau2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.intervals import check_level
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.rows import Blocks, FloatArray, Moments, Rows, effect_rows, moments, quadratic, rows_of
from bayesmeta.classical.tau2 import Tau2, solve_q
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

__all__ = [
    "Heterogeneity",
    "HeterogeneityInterval",
    "chi2_sf",
    "heterogeneity_of",
    "i2_h2",
    "q_profile",
    "q_profile_of",
    "tau2_interval",
]


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """What does not depend on the estimator of tau2.

    Attributes
    ----------
    q : float
        Cochran's Q, or QE with moderators.
    q_df : int
        k - p.
    q_p : float or None
        Its p value; None where k = p.
    s2_typical : float or None
        Typical sampling variance (k - p) / tr(P) with W = S^-1 (Higgins & Thompson 2002,
        doi:10.1002/sim.1186); None where k = p.
    """

    q: float
    q_df: int
    q_p: float | None
    s2_typical: float | None


@dataclass(frozen=True, slots=True, repr=False)
class HeterogeneityInterval(ClassicalResult):
    """Q-profile limits of tau2, and of I2 and H2 derived from them.

    Attributes
    ----------
    level : float
    tau2, i2, h2 : (lower, upper)
        I2 in percent. An upper limit that does not exist is None.
    notes : tuple of str
    """

    level: float
    tau2: tuple[float, float | None]
    i2: tuple[float, float | None]
    h2: tuple[float, float | None]
    notes: tuple[str, ...] = ()


def chi2_sf(q: float, df: int) -> float:
    """Upper tail of the chi-squared distribution.

    Examples
    --------
    >>> round(chi2_sf(3.841458820694124, 1), 12)
    0.05
    """
    return float(special.gammaincc(0.5 * df, 0.5 * q))


def heterogeneity_of(rows: Rows) -> Heterogeneity:
    """Q, its p value and the typical sampling variance."""
    df = rows.k - rows.p
    if df <= 0:
        return Heterogeneity(0.0, 0, None, None)
    q = float(quadratic(rows, np.zeros(1))[0][0])
    return Heterogeneity(
        q, df, chi2_sf(q, df), df / float(trace_p(rows, np.ones((1, rows.k), bool), moments(rows, [0.0]))[0])
    )


def trace_p(rows: Rows, member: NDArray[np.bool_], at0: Moments) -> FloatArray:
    """tr(P) with W = S^-1 of each subset of the rows, in the coordinates of y: R plays no part in it."""
    if not rows.blocks:
        return at0.trpr
    weight = rows.se**-2
    weighted = weight[:, None] * rows.basis
    for indices, covariance in rows.blocks:
        inverse = np.linalg.inv(covariance)
        weight[indices] = np.diagonal(inverse)
        weighted[indices] = inverse @ rows.basis[indices]
    squares = (weighted[:, :, None] * weighted[:, None, :]).reshape(rows.k, -1)
    inside = member.astype(float)
    return inside @ weight - (at0.cov.reshape(len(member), rows.p**2) * (inside @ squares)).sum(axis=1)


def i2_h2(spread: Heterogeneity, tau2: Tau2) -> tuple[float | None, float | None, float | None]:
    """I2 from Q, I2 from tau2 (both in percent), and H2 (from tau2; from Q for a common effect, as metafor)."""
    if spread.s2_typical is None:
        return None, None, None
    i2_q = max(0.0, 100.0 * (spread.q - spread.q_df) / spread.q) if spread.q > 0 else 0.0
    if tau2.method == "EE":
        return i2_q, 0.0, spread.q / spread.q_df
    i2, h2 = _derived(tau2.value, spread.s2_typical)
    return i2_q, i2, h2


def _derived(tau2: float, s2_typical: float) -> tuple[float, float]:
    return 100.0 * tau2 / (tau2 + s2_typical), tau2 / s2_typical + 1.0


def q_profile(
    y: ArrayLike,
    se: ArrayLike,
    X: ArrayLike | None = None,
    *,
    level: float = 0.95,
    blocks: Blocks = (),
    rho: float = 0.5,
) -> HeterogeneityInterval:
    """Q-profile confidence interval of tau2: the tau2 at which y'P(tau2)y passes the quantiles of chi2(k - p).

    Viechtbauer 2007, doi:10.1002/sim.2514. With a within-study covariance y'P(tau2)y is taken with
    V = S + tau2 R, where it has the same distribution.

    Parameters
    ----------
    y, se : array_like, shape (k,)
    X : array_like, shape (k, p), optional
    level : float
    blocks, rho
        As in `estimate_tau2`.

    Returns
    -------
    HeterogeneityInterval
        tau2 in squared units of y. (0, 0) with a note where even tau2 = 0 is too much: estimates agree better than
        their standard errors allow.

    Raises
    ------
    ModelError
        If k <= p or the level is not a probability.

    Examples
    --------
    >>> ci = q_profile([0.0, 1.0, 2.5], [0.2, 0.3, 0.25])
    >>> round(ci.tau2[0], 4), round(ci.tau2[1], 4)
    (0.3763, 62.4853)
    """
    return q_profile_of(rows_of(y, se, X, blocks=blocks, rho=rho), level)


def q_profile_of(rows: Rows, level: float) -> HeterogeneityInterval:
    """`q_profile` for rows that are already rotated."""
    check_level(level)
    spread = heterogeneity_of(rows)
    if spread.s2_typical is None:
        raise ModelError(f"k = {rows.k} estimates for {rows.p} coefficients: tau2 has no confidence interval.")
    half_df, tail = 0.5 * spread.q_df, 0.5 * (1.0 - level)
    high_target = 2.0 * float(special.gammainccinv(half_df, tail))
    low_target = 2.0 * float(special.gammaincinv(half_df, tail))
    notes: tuple[str, ...] = ()
    lower = float(solve_q(rows.several(), np.array([high_target]))[0])
    upper: float | None
    if spread.q < low_target:
        upper = 0.0
        notes = (
            f"Q = {spread.q:.4g} is below the {100 * tail:.4g} % point of chi2({spread.q_df}): estimates agree better "
            "than their standard errors allow, the interval is empty and reported as [0, 0]",
        )
    else:
        upper = float(solve_q(rows.several(), np.array([low_target]))[0])
    if not np.isfinite(lower):
        raise ModelError("no tau2 explains how much rows of one trial disagree; check rho and the standard errors.")
    if upper is not None and not np.isfinite(upper):
        upper = None
        notes = ("no tau2 brings Q down to the lower quantile: the interval has no upper limit",)
    i2_low, h2_low = _derived(lower, spread.s2_typical)
    i2_high, h2_high = (None, None) if upper is None else _derived(upper, spread.s2_typical)
    return HeterogeneityInterval(level, (lower, upper), (i2_low, i2_high), (h2_low, h2_high), notes)


@on_effects()
def tau2_interval(effects: Effects, *, level: float = 0.95, rho: float = 0.5) -> HeterogeneityInterval:
    """Q-profile interval of tau2, I2 and H2 for the pooled model of `effects`.

    Parameters
    ----------
    effects : Effects
    level : float
    rho : float
        Correlation of the true effects of rows in one block; no effect without blocks.

    Returns
    -------
    HeterogeneityInterval

    See Also
    --------
    q_profile : the same for arrays, with the formula and its source.

    Examples
    --------
    >>> tau2_interval(effects).i2[0]  # Q is 3.9, below its 97.5 % quantile of 9.3
    0.0
    """
    return q_profile_of(effect_rows(effects, rho=rho), level)
