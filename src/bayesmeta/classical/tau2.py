"""Estimators of the between-study variance tau2, under any within-study covariance."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.classical.rows import Blocks, Moments, Rows, moments, quadratic, rows_of
from bayesmeta.errors import InferenceError, ModelError

__all__ = ["TAU2_METHODS", "Tau2", "Tau2Method", "estimate_tau2", "log_likelihood", "solve_q", "tau2_of"]

Tau2Method = Literal["EE", "DL", "PM", "EB", "REML", "ML", "HE", "HS", "SJ"]
TAU2_METHODS: tuple[Tau2Method, ...] = get_args(Tau2Method)

# Newton steps end here, two digits below the 1e-12 that is promised.
STEP = 1e-14
# A score below this share of its two parts is their rounding, and its sign means nothing.
NOISE = 4 * np.finfo(float).eps
# Likelihoods have no structure below the smallest a/b, so the grid starts at this share of it ...
GRID_START = 0.05
# ... and a pair of stationary points closer than a factor 10**(1/10) differs in likelihood by nothing that matters.
NODES_PER_DECADE = 10
MAX_STEPS = 200


@dataclass(frozen=True, slots=True)
class Tau2:
    """An estimate of the between-study variance.

    Attributes
    ----------
    method : str
    value : float
        tau2, never below 0.
    se : float or None
        Its standard error; None for EE, and where rounding hides it (`notes` says so).
    untruncated : float
        What the formula gave; below 0 where `value` was set to 0 (closed forms only).
    notes : tuple of str
        What a reader should know.
    """

    method: Tau2Method
    value: float
    se: float | None
    untruncated: float
    notes: tuple[str, ...] = ()


def estimate_tau2(
    y: ArrayLike,
    se: ArrayLike,
    X: ArrayLike | None = None,
    *,
    method: Tau2Method = "REML",
    blocks: Blocks = (),
    rho: float = 0.5,
) -> Tau2:
    r"""Estimate the between-study variance tau2 of ``y ~ N(X beta, S + tau2 R)``.

    With V = S + tau2 R, W = V^-1, P = W - W X (X'WX)^-1 X'W, and R = 1 on the diagonal, `rho` within a block:

    - REML, ML: the global maximum of the (restricted) likelihood; zeros of ``y'PRPy - tr(PR)`` (ML: ``- tr(WR)``).
    - PM = EB: ``y'P y = k - p`` (Paule-Mandel 1982, doi:10.6028/jres.087.022; empirical Bayes, Morris 1983,
      doi:10.1080/01621459.1983.10477920).
    - DL: ``(Q - (k - p)) / tr(PR)`` with W = S^-1 (DerSimonian-Laird 1986, doi:10.1016/0197-2456(86)90046-2). The
      divisor is the one that makes it a moment estimator; it is tr(P) where rho = 0 or there are no blocks.
    - HE: the same with W = I: ``(y'My - tr(MS)) / tr(MR)`` (Hedges-Olkin 1985, p. 194).
    - HS: ``(Q - k) / sum(w)`` (Hunter-Schmidt 2004); SJ: Sidik-Jonkman 2005 (doi:10.1111/j.1467-9876.2005.00489.x)
      started from ``mean((y - mean(y))^2)``. Neither is defined with blocks.
    - EE: zero, the common-effect model.

    Definitions without blocks are those of ``rma.uni`` of R metafor (Viechtbauer 2010, doi:10.18637/jss.v036.i03).

    Parameters
    ----------
    y, se : array_like, shape (k,)
        Estimates and standard errors, in any unit.
    X : array_like, shape (k, p), optional
        Design including its column of ones; that column alone if left out.
    method : {"EE", "DL", "PM", "EB", "REML", "ML", "HE", "HS", "SJ"}
    blocks : sequence of (indices, covariance)
        Dependent rows and their sampling covariance.
    rho : float
        Correlation of the true effects of rows in one block; no effect without blocks.

    Returns
    -------
    Tau2
        In squared units of y.

    Raises
    ------
    ModelError
        If the method is not one of those, is not defined for these data, or k <= p.
    InferenceError
        If an equation could not be solved.

    Examples
    --------
    >>> y = [-0.581, 0.530, 0.771, 1.031, 0.553, 0.295, 0.078, 0.573, -0.176, -0.232]
    >>> v = [0.023, 0.052, 0.060, 0.115, 0.095, 0.203, 0.200, 0.211, 0.051, 0.040]
    >>> round(estimate_tau2(y, np.sqrt(v), method="DL").value, 4)
    0.2768
    """
    return tau2_of(rows_of(y, se, X, blocks=blocks, rho=rho), method)


def tau2_of(rows: Rows, method: Tau2Method) -> Tau2:
    """`estimate_tau2` for rows that are already rotated."""
    if method not in TAU2_METHODS:
        raise ModelError(f"method = {method!r} is not an estimator of tau2. Allowed: {', '.join(TAU2_METHODS)}.")
    if method == "EE":
        return Tau2(method, 0.0, None, 0.0)
    if rows.k <= rows.p:
        raise ModelError(
            f"{method}: k = {rows.k} estimates for {rows.p} coefficients leave nothing to estimate tau2 from. "
            'Use method="EE", or a model with a prior on tau.'
        )
    if method in ("HS", "SJ") and rows.blocks:
        raise ModelError(
            f"{method} is not defined for estimates that share patients (blocks). Use REML, ML, PM, EB, DL or HE."
        )
    if rows.blocks and rows.rho == 1.0 and not _identified(rows):
        raise ModelError(
            f"{method}: tau2 is not identified: within one trial true effects with rho = {rows.rho} are the same. "
            'Use method="EE" or a smaller rho.'
        )
    return ESTIMATORS[method](rows)


def _identified(rows: Rows) -> bool:
    at0 = moments(rows, [0.0])
    return bool(at0.trpr[0] > NOISE * rows.k * at0.trwr[0])


def _closed(method: Tau2Method, raw: float, variance: Callable[[float], float]) -> Tau2:
    value = max(0.0, raw)
    notes = () if raw >= 0 else (f"{method}: the formula gave tau2 = {raw:.6g}, reported as 0",)
    return Tau2(method, value, variance(value) ** 0.5, raw, notes)


def _dl(rows: Rows) -> Tau2:
    at0 = moments(rows, [0.0])
    df, trpr, trprpr = rows.k - rows.p, float(at0.trpr[0]), float(at0.trprpr[0])
    return _closed(
        "DL",
        (float(at0.rss[0]) - df) / trpr,
        lambda t: (2.0 * df + 4.0 * t * trpr + 2.0 * t * t * trprpr) / trpr**2,
    )


def _hs(rows: Rows) -> Tau2:
    at0 = moments(rows, [0.0])
    df, trpr, trprpr, weight = rows.k - rows.p, float(at0.trpr[0]), float(at0.trprpr[0]), float(at0.trwr[0])
    return _closed(
        "HS",
        (float(at0.rss[0]) - rows.k) / weight,
        lambda t: (2.0 * df + 4.0 * t * trpr + 2.0 * t * t * trprpr) / weight**2,
    )


def _he(rows: Rows) -> Tau2:
    basis = rows.basis
    sampled, correlated = rows.sampling_times(basis), rows.correlation_times(basis)
    ss, sr, rr = rows.se**4, rows.se**2, np.ones(rows.k)
    for indices, covariance in rows.blocks:
        # tr(AB) of symmetric blocks is the sum of products of their entries; put it on the block's first row.
        correlation = np.full_like(covariance, rows.rho)
        np.fill_diagonal(correlation, 1.0)
        for total, left, right in (
            (ss, covariance, covariance),
            (sr, covariance, correlation),
            (rr, correlation, correlation),
        ):
            total[indices] = 0.0
            total[indices[0]] = (left * right).sum()
    zsz, zrz = basis.T @ sampled, basis.T @ correlated
    tr_ms = float((rows.se**2).sum() - np.trace(zsz))
    tr_mr = float(rows.k - np.trace(zrz))
    tr_msms = float(ss.sum() - 2.0 * (sampled * sampled).sum() + (zsz * zsz.T).sum())
    tr_msmr = float(sr.sum() - 2.0 * (sampled * correlated).sum() + (zsz * zrz.T).sum())
    tr_mrmr = float(rr.sum() - 2.0 * (correlated * correlated).sum() + (zrz * zrz.T).sum())
    return _closed(
        "HE",
        (float(rows.residual @ rows.residual) - tr_ms) / tr_mr,
        lambda t: 2.0 * (tr_msms + 2.0 * t * tr_msmr + t * t * tr_mrmr) / tr_mr**2,
    )


def _sj(rows: Rows) -> Tau2:
    # The start is the spread of y itself, not of its residuals, as in metafor: y is residual + fit.
    fit = rows.basis @ (rows.triangle @ rows.start)
    y = rows.residual + fit - fit.mean()
    start = float(((y - y.mean()) ** 2).mean())
    if start == 0.0 or not rows.residual.any():
        return Tau2("SJ", 0.0, 0.0 if start == 0.0 else None, 0.0, ("SJ: all estimates are equal, tau2 = 0",))
    at = moments(rows, [start])
    df = rows.k - rows.p
    # tr(PVPV), tr(PVP) and tr(PP) for V = diag(se^2) = (S + start) - start, from the traces of P alone.
    pp, trp = float(at.trprpr[0]), float(at.trpr[0])
    pvp = trp - start * pp
    pvpv = df - 2.0 * start * trp + start**2 * pp
    value = start * float(at.rss[0]) / df
    se = start / df * (2.0 * pvpv + 4.0 * value * pvp + 2.0 * value**2 * pp) ** 0.5
    return Tau2("SJ", value, se, value)


def solve_q(rows: Rows, target: float) -> float:
    """The tau2 >= 0 at which y'P(tau2)y, which never increases, equals `target`; 0 if it is below already.

    1/(y'Py) is concave in tau2, so Newton steps on it climb to the root from below and never pass it.

    Returns
    -------
    float
        ``inf`` if y'Py stays above the target for every tau2.

    Examples
    --------
    >>> round(solve_q(rows_of([0.0, 2.0], [0.5, 0.5]), 1.0), 12)
    1.75
    """
    t = 0.0
    ceiling = 1e15 * float(rows.residual @ rows.residual + (rows.a / np.where(rows.b > 0, rows.b, 1.0)).max())
    for _ in range(MAX_STEPS):
        q, slope = quadratic(rows, t)
        excess = q / target - 1.0
        if excess <= NOISE:
            return t
        step = q / slope * excess if slope > 0 else np.inf
        t += step
        if t > ceiling:
            return np.inf
        if step <= STEP * t:
            return t
    raise InferenceError(f"Q(tau2) = {target:.6g} was not solved in {MAX_STEPS} steps; are standard errors plausible?")


def _pm(rows: Rows, method: Tau2Method = "PM") -> Tau2:
    df = rows.k - rows.p
    value = solve_q(rows, float(df))
    if not np.isfinite(value):
        raise InferenceError(
            f"{method}: no tau2 brings y'Py down to k - p = {df}: rows of one trial disagree too much."
        )
    weight = float(moments(rows, [value]).trwr[0])
    return Tau2(method, value, (2.0 * rows.k**2 / df) ** 0.5 / weight, value)


def _score(at: Moments, *, restricted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twice the score for tau2, its derivative, and the size of the sums that cancel in it."""
    if restricted:
        return at.yprpy - at.trpr, at.trprpr - 2.0 * at.yprprpy, at.trwr
    return at.yprpy - at.trwr, at.trwrwr - 2.0 * at.yprprpy, at.trwr


def log_likelihood(rows: Rows, at: Moments, *, restricted: bool) -> np.ndarray:
    """Log likelihood at each value of tau2, with the constants of metafor (restricted: with + log|X'X| / 2).

    Parameters
    ----------
    rows : Rows
    at : Moments
        At G values of tau2.
    restricted : bool
        REML, else ML.

    Returns
    -------
    ndarray, shape (G,)

    Examples
    --------
    >>> rows = rows_of([0.0], [1.0])
    >>> float(log_likelihood(rows, moments(rows, [0.0]), restricted=False)[0].round(6))
    -0.918939
    """
    if restricted:
        return -0.5 * ((rows.k - rows.p) * np.log(2.0 * np.pi) + at.logdet_v + at.logdet_m + at.rss)
    return -0.5 * (rows.k * np.log(2.0 * np.pi) + at.logdet_v + at.rss)


def _newton(rows: Rows, low: float, high: float, *, restricted: bool) -> float:
    """Zero of the score in (low, high), positive at low and negative at high."""
    t = 0.5 * (low + high)
    for _ in range(MAX_STEPS):
        values, slopes, sizes = _score(moments(rows, [t]), restricted=restricted)
        value, slope = float(values[0]), float(slopes[0])
        if abs(value) <= NOISE * float(sizes[0]):
            return t
        if value > 0:
            low = t
        else:
            high = t
        new = t - value / slope if slope < 0 else low
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - t) <= STEP * new:
            return new
        t = new
    raise InferenceError(f"tau2 was not found in {MAX_STEPS} steps between {low:.6g} and {high:.6g}.")


def _likelihood(rows: Rows, *, restricted: bool) -> Tau2:
    method: Tau2Method = "REML" if restricted else "ML"
    squares = float(rows.residual @ rows.residual)
    candidates = [0.0]
    if squares > 0:
        # Beyond squares / (1 - rho) each contrast's share of the score is negative; rho = 1 has no such bound.
        rho = rows.rho if rows.blocks else 0.0
        high = squares / (1.0 - rho) if rho < 1.0 else 1e3 * squares
        positive = rows.b > 0
        low = GRID_START * float((rows.a[positive] / rows.b[positive]).min())
        count = max(1, math.ceil(NODES_PER_DECADE * math.log10(high / low))) if high > low else 0
        grid = np.zeros(count + 2)
        grid[1:] = high * np.exp(math.log(low / high) * np.linspace(1.0, 0.0, count + 1)) if count else high
        score, _, sizes = _score(moments(rows, grid), restricted=restricted)
        # Where one study is vastly more precise than the others the score near zero is rounding: its sign says nothing.
        known = np.abs(score) > NOISE * rows.k * sizes
        grid, score = grid[known], score[known]
        for left in np.flatnonzero((score[:-1] > 0) & (score[1:] <= 0)):
            candidates.append(_newton(rows, float(grid[left]), float(grid[left + 1]), restricted=restricted))
        if not score.size or score[-1] > 0:
            raise InferenceError(f"{method}: the likelihood still rises at tau2 = {high:.6g}; tau2 is not identified.")
        maxima = candidates if score[0] <= 0 else candidates[1:]
    else:
        maxima = candidates
    at = moments(rows, candidates)
    best = int(np.argmax(log_likelihood(rows, at, restricted=restricted)))
    information = float(at.trprpr[best] if restricted else at.trwrwr[best])
    notes: tuple[str, ...] = ()
    if len(maxima) > 1:
        listed = ", ".join(f"{value:.6g}" for value in maxima)
        notes = (f"{method}: the likelihood has local maxima at tau2 = {listed}; the highest is reported",)
    if information <= NOISE * rows.k * float(at.trwrwr[best]):
        notes += (f"{method}: one study is so precise that the standard error of tau2 is lost to rounding",)
        return Tau2(method, candidates[best], None, candidates[best], notes)
    return Tau2(method, candidates[best], (2.0 / information) ** 0.5, candidates[best], notes)


ESTIMATORS: dict[Tau2Method, Callable[[Rows], Tau2]] = {
    "DL": _dl,
    "PM": _pm,
    "EB": lambda rows: _pm(rows, "EB"),
    "REML": lambda rows: _likelihood(rows, restricted=True),
    "ML": lambda rows: _likelihood(rows, restricted=False),
    "HE": _he,
    "HS": _hs,
    "SJ": _sj,
}
