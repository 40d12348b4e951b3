"""One model fitted to many subsets of the rows, or to many versions of y, at once.

A row that is left out has infinite variance, so that its weight is zero: every sum over rows that a single fit needs
is then the sum of the subset, for all subsets in one array operation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical.intervals import CiMethod
from bayesmeta.classical.rows import FloatArray, Moments, Rows, column_rank, moments, rows_of
from bayesmeta.classical.tau2 import (
    GRID_START,
    MAX_STEPS,
    NODES_PER_DECADE,
    NOISE,
    STEP,
    TAU2_METHODS,
    Tau2Method,
    tau2_of,
)
from bayesmeta.errors import InferenceError, ModelError

__all__ = ["ClassicalRefits", "intervals_of", "refit", "refit_tau2"]

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
    >>> rows = rows_of([0.0, 1.0, 5.0], [0.5, 0.5, 0.5])
    >>> refit(rows, np.array([[True, True, False], [True, True, True]]), "DL").estimate[:, 0].round(6).tolist()
    [0.5, 2.0]
    """
    if method not in TAU2_METHODS:
        raise ModelError(f"method = {method!r} is not an estimator of tau2. Allowed: {', '.join(TAU2_METHODS)}.")
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
    batch = _batch(rows, member, None if y is None else y[fitted])
    tau2 = refit_tau2(batch, member, method)
    at = moments(batch, np.where(np.isnan(tau2), 0.0, tau2))
    at0 = moments(batch, np.zeros(len(member)))
    back = np.linalg.inv(rows.triangle)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = inside - p
        typical = np.where(df > 0, df / _trace_p(rows, member, at0), np.nan)
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


def _batch(rows: Rows, member: BoolArray, y: FloatArray | None) -> Rows:
    """Rows whose variances, and estimates, have one line per subset."""
    return replace(rows, a=np.where(member, rows.a, np.inf), y=rows.y[None, :] if y is None else y)


def _trace_p(rows: Rows, member: BoolArray, at0: Moments) -> FloatArray:
    """tr(P) with W = S^-1 of each subset, in the coordinates of y."""
    weight = rows.se**-2
    weighted = weight[:, None] * rows.basis
    for indices, covariance in rows.blocks:
        inverse = np.linalg.inv(covariance)
        weight[indices] = np.diagonal(inverse)
        weighted[indices] = inverse @ rows.basis[indices]
    squares = (weighted[:, :, None] * weighted[:, None, :]).reshape(rows.k, -1)
    inside = member.astype(float)
    return inside @ weight - (at0.cov.reshape(len(member), rows.p**2) * (inside @ squares)).sum(axis=1)


def refit_tau2(batch: Rows, member: BoolArray, method: Tau2Method) -> FloatArray:
    """tau2 of each subset; nan where it has no more rows than coefficients.

    Parameters
    ----------
    batch : Rows
        With ``a`` and ``y`` of one line per subset.
    member : ndarray of bool, shape (m, k)
    method : str

    Returns
    -------
    ndarray, shape (m,)
    """
    m = len(member)
    if method == "EE":
        return np.zeros(m)
    if method in ("HS", "SJ") and batch.blocks:
        raise ModelError(
            f"{method} is not defined for estimates that share patients (blocks). Use REML, ML, PM, EB, DL or HE."
        )
    out = np.full(m, np.nan)
    enough = member.sum(axis=1) > batch.p
    if batch.blocks and method != "EE" and (method == "HE" or batch.rho == 1.0):
        # rotated rows do not have the weights that HE needs, and with rho = 1 a subset may not determine tau2
        out[enough] = [_single(batch, inside, method) for inside in member[enough]]
        return out
    if not enough.any():
        return out
    member = member[enough]
    part = replace(batch, a=batch.a[enough], y=batch.y if len(batch.y) == 1 else batch.y[enough])
    n = member.sum(axis=1)
    df = n - batch.p
    if method in ("DL", "HS"):
        at0 = moments(part, np.zeros(len(member)))
        raw = (at0.rss - df) / at0.trpr if method == "DL" else (at0.rss - n) / at0.trwr
        out[enough] = np.maximum(0.0, raw)
    elif method == "HE":
        out[enough] = _he(part, member, df)
    elif method == "SJ":
        out[enough] = _sj(part, member, df)
    elif method in ("PM", "EB"):
        out[enough] = _pm(part, df)
    else:
        out[enough] = _likelihood(part, member, n, restricted=method == "REML")
    return out


def _single(rows: Rows, inside: BoolArray, method: Tau2Method) -> float:
    """One subset by itself, in the original coordinates."""
    number = np.cumsum(inside) - 1
    blocks = [(number[indices], covariance) for indices, covariance in rows.blocks if inside[indices].all()]
    try:
        return tau2_of(
            rows_of(rows.residual[inside], rows.se[inside], rows.basis[inside], blocks=blocks, rho=rows.rho), method
        ).value
    except (ModelError, InferenceError):
        return math.nan


def _he(part: Rows, member: BoolArray, df: NDArray[np.intp]) -> FloatArray:
    flat = replace(part, a=np.where(member, 1.0, np.inf), b=np.zeros(part.k))
    at = moments(flat, np.zeros(len(member)))
    p = part.p
    leverage = (at.cov.reshape(len(member), p * p) @ part.ZZ.T) * member
    sampled = np.where(member, part.a, 0.0)
    raw = (at.rss - (sampled * (1.0 - leverage)).sum(axis=1)) / df
    return np.maximum(0.0, raw)


def _sj(part: Rows, member: BoolArray, df: NDArray[np.intp]) -> FloatArray:
    # The start is the spread of y itself, as in metafor; a constant added to all of y does not change it.
    fit = part.basis @ (part.triangle @ part.start)
    y = np.where(member, part.y + (fit - fit.mean()), 0.0)
    n = member.sum(axis=1)
    centred = np.where(member, y - (y.sum(axis=1) / n)[:, None], 0.0)
    start = (centred**2).sum(axis=1) / n
    at = moments(part, np.where(start > 0, start, 1.0))
    return np.where(start > 0, start * at.rss / df, 0.0)


def _pm(part: Rows, df: NDArray[np.intp]) -> FloatArray:
    """Newton steps on 1/(y'Py), which is concave in tau2: they climb to the root from below and never pass it."""
    tau2 = np.zeros(len(df))
    moving = np.ones(len(df), bool)
    for _ in range(MAX_STEPS):
        at = moments(_some(part, moving), tau2[moving])
        excess = at.rss / df[moving] - 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(excess > NOISE, at.rss / at.yprpy * excess, 0.0)
        step = np.where(np.isfinite(step), step, np.nan)
        new = tau2[moving] + step
        tau2[moving] = new
        moving[moving] = step > STEP * new
        if not moving.any():
            return tau2
    raise InferenceError(f"y'Py = k - p was not solved in {MAX_STEPS} steps; are standard errors plausible?")


def _some(part: Rows, which: NDArray[np.bool_] | NDArray[np.intp]) -> Rows:
    return replace(part, a=part.a[which], y=part.y if len(part.y) == 1 else part.y[which])


def _score(at: Moments, *, restricted: bool) -> tuple[FloatArray, FloatArray]:
    """Twice the score for tau2 and its derivative."""
    if restricted:
        return at.yprpy - at.trpr, at.trprpr - 2.0 * at.yprprpy
    return at.yprpy - at.trwr, at.trwrwr - 2.0 * at.yprprpy


def _likelihood(part: Rows, member: BoolArray, n: NDArray[np.intp], *, restricted: bool) -> FloatArray:
    """The global maximum of each subset's likelihood: signs of the score on one grid, then Newton in each bracket."""
    m = len(member)
    # beyond the sum of squares of y / sqrt(b) the score is negative
    squares = (np.where(member, part.y, 0.0) ** 2 / part.b).sum(axis=1)
    low = GRID_START * float((part.a / part.b).min())
    high = float(squares.max())
    grid = [0.0]
    if high > low:
        count = max(1, math.ceil(NODES_PER_DECADE * math.log10(high / low)))
        grid += (high * np.exp(math.log(low / high) * np.linspace(1.0, 0.0, count + 1))).tolist()
    elif high > 0:
        grid.append(high)
    sign = np.zeros(m)
    last = np.zeros(m)
    at_zero = np.zeros(m)
    found: list[tuple[NDArray[np.intp], FloatArray, FloatArray]] = []
    for node in grid:
        at = moments(part, np.full(m, node))
        score, _ = _score(at, restricted=restricted)
        # Where one study is vastly more precise than the others the score is rounding: its sign says nothing.
        known = np.abs(score) > NOISE * n * at.trwr
        crossing = np.flatnonzero(known & (sign > 0) & (score <= 0))
        if crossing.size:
            found.append((crossing, last[crossing], np.full(crossing.size, node)))
        sign = np.where(known, np.sign(score), sign)
        at_zero = np.where(known & (at_zero == 0), np.sign(score), at_zero)
        last = np.where(known, node, last)
    out = np.zeros(m)
    if found:
        which, left, right = (np.concatenate(items) for items in zip(*found, strict=True))
        roots = _newton(_some(part, which), left, right, n[which], restricted=restricted)
        best = np.full(m, -np.inf)
        zero = _log_likelihood(part, member, np.zeros(m), restricted=restricted)
        best[at_zero <= 0] = zero[at_zero <= 0]
        height = _log_likelihood(_some(part, which), member[which], roots, restricted=restricted)
        for position in np.argsort(height, kind="stable"):
            subset = which[position]
            if height[position] > best[subset]:
                best[subset], out[subset] = height[position], roots[position]
    out[sign > 0] = np.nan
    return out


def _newton(part: Rows, low: FloatArray, high: FloatArray, n: NDArray[np.intp], *, restricted: bool) -> FloatArray:
    """Zero of the score in each bracket, positive at low and negative at high."""
    t = 0.5 * (low + high)
    low, high = low.copy(), high.copy()
    moving = np.arange(len(t))
    for _ in range(MAX_STEPS):
        at = moments(_some(part, moving), t[moving])
        value, slope = _score(at, restricted=restricted)
        exact = np.abs(value) <= NOISE * at.trwr
        here = t[moving]
        low[moving] = np.where(value > 0, here, low[moving])
        high[moving] = np.where(value > 0, high[moving], here)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = np.where(slope < 0, here - value / slope, low[moving])
        inside = (new > low[moving]) & (new < high[moving])
        new = np.where(inside, new, 0.5 * (low[moving] + high[moving]))
        new = np.where(exact, here, new)
        t[moving] = new
        moving = moving[~exact & (np.abs(new - here) > STEP * new)]
        if not moving.size:
            return t
    raise InferenceError(f"tau2 of {moving.size} subsets was not found in {MAX_STEPS} steps.")


def _log_likelihood(part: Rows, member: BoolArray, tau2: FloatArray, *, restricted: bool) -> FloatArray:
    """Up to what does not depend on tau2."""
    at = moments(part, tau2)
    logdet = np.log(np.where(member, part.a + tau2[:, None] * part.b, 1.0)).sum(axis=1)
    return -0.5 * (logdet + at.rss + (at.logdet_m if restricted else 0.0))


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
