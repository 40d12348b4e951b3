"""Estimators of the between-study variance tau2, under any within-study covariance, of many data sets at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.rows import Blocks, FloatArray, Moments, Rows, moments, quadratic, rows_of
from bayesmeta.errors import InferenceError, ModelError, find_name
from bayesmeta.numerics import newton

__all__ = [
    "TAU2_METHODS",
    "Tau2",
    "Tau2Method",
    "estimate_tau2",
    "log_likelihood",
    "solve_q",
    "tau2_of",
    "tau2_values",
]

IntArray = NDArray[np.intp]
# what a closed formula gave; constant, linear and square term of its variance in tau2; what it was divided by
Closed = tuple[FloatArray, tuple[Any, Any, Any], Any]

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
_WITHOUT_BLOCKS = "{} is not defined for estimates that share patients (blocks). Use REML, ML, PM, EB, DL or HE."


@dataclass(frozen=True, slots=True, repr=False)
class Tau2(ClassicalResult):
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
    """`estimate_tau2` for rows that are already rotated.

    Raises
    ------
    ModelError
        If the estimator is not defined for these rows.
    InferenceError
        If the likelihood has no maximum that was found.
    """
    method = find_name("estimator of tau2", method, TAU2_METHODS)
    if method == "EE":
        return Tau2(method, 0.0, None, 0.0)
    if rows.k <= rows.p:
        raise ModelError(
            f"{method}: k = {rows.k} estimates for {rows.p} coefficients leave nothing to estimate tau2 from. "
            'Use method="EE", or a model with a prior on tau.'
        )
    if method in ("HS", "SJ") and rows.blocks:
        raise ModelError(_WITHOUT_BLOCKS.format(method))
    if rows.blocks and rows.rho == 1.0 and not _identified(rows):
        raise ModelError(
            f"{method}: tau2 is not identified: within one trial true effects with rho = {rows.rho} are the same. "
            'Use method="EE" or a smaller rho.'
        )
    part, n = rows.several(), np.array([rows.k])
    raw, se, maxima = _estimate(part, n, method)
    value = max(0.0, float(raw[0]))
    notes: tuple[str, ...] = ()
    if not np.isfinite(value) or np.isnan(raw[0]):
        why = (
            f"no tau2 brings y'Py down to k - p = {rows.k - rows.p}: rows of one trial disagree too much."
            if method in ("PM", "EB")
            else "the likelihood still rises at the largest tau2; tau2 is not identified."
        )
        raise InferenceError(f"{method}: {why}")
    if raw[0] < 0:
        notes += (f"{method}: the formula gave tau2 = {raw[0]:.6g}, reported as 0",)
    if len(maxima) > 1:
        listed = ", ".join(f"{height:.6g}" for height in maxima)
        notes += (f"{method}: the likelihood has local maxima at tau2 = {listed}; the highest is reported",)
    if method in ("REML", "ML") and np.isnan(se[0]):
        notes += (f"{method}: one study is so precise that the standard error of tau2 is lost to rounding",)
    if method == "SJ" and not rows.residual.any():
        notes += ("SJ: all estimates are equal, tau2 = 0",)
        # moderators that leave no residual do not make the formula's SE one of anything
        se = np.where(se > 0, np.nan, se)
    return Tau2(method, value, None if np.isnan(se[0]) else float(se[0]), float(raw[0]), notes)


def tau2_values(rows: Rows, method: Tau2Method) -> FloatArray:
    """tau2 of each of several data sets; nan where it has no more rows than coefficients, or is not identified.

    Parameters
    ----------
    rows : Rows
        Several data sets.
    method : str

    Returns
    -------
    ndarray, shape (m,)

    Raises
    ------
    ModelError
        If the method is not defined with blocks.
    """
    member = np.isfinite(rows.a)
    n = member.sum(axis=1)
    if method == "EE":
        return np.zeros(len(n))
    if method in ("HS", "SJ") and rows.blocks:
        raise ModelError(_WITHOUT_BLOCKS.format(method))
    out = np.full(len(n), np.nan)
    enough = n > rows.p
    if rows.blocks and (method == "HE" or rows.rho == 1.0):
        # rotated rows do not have the weights that HE needs, and with rho = 1 a subset may not determine tau2
        out[enough] = [_alone(rows, inside, method) for inside in member[enough]]
    elif enough.any():
        found = _estimate(rows.take(enough), n[enough], method)[0]
        out[enough] = np.where(np.isfinite(found), np.maximum(0.0, found), np.nan)
    return out


def _alone(rows: Rows, inside: NDArray[np.bool_], method: Tau2Method) -> float:
    """One subset by itself, in the original coordinates."""
    number = np.cumsum(inside) - 1
    whole = [inside[indices].all() for indices, _ in rows.blocks]
    blocks = [(number[indices], covariance) for indices, covariance in compress(rows.blocks, whole)]
    correlations = list(compress(rows.correlations, whole))
    given = (rows.residual[inside], rows.se[inside], rows.basis[inside])
    try:
        return tau2_of(rows_of(*given, blocks=blocks, rho=rows.rho, correlations=correlations), method).value
    except (ModelError, InferenceError):
        return math.nan


def _identified(rows: Rows) -> bool:
    at0 = moments(rows, [0.0])
    return bool(at0.trpr[0] > NOISE * rows.k * at0.trwr[0])


# -- estimators of m data sets with n rows each ------------------------------------------------------------------------


def _estimate(part: Rows, n: IntArray, method: Tau2Method) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What the formula gave, its standard error (nan where rounding hides it), and local maxima of the likelihoods."""
    none = np.empty(0)
    if method in ("PM", "EB"):
        df = n - part.p
        raw = solve_q(part, df.astype(float))
        weight = moments(part, np.where(np.isfinite(raw), raw, 0.0)).trwr
        return raw, np.sqrt(2.0 * n * n / df) / weight, none
    if method in ("REML", "ML"):
        return _likelihood(part, n, restricted=method == "REML")
    raw, spread, divisor = {"DL": _weighted, "HS": _hs, "HE": _he, "SJ": _sj}[method](part, n)
    value = np.maximum(0.0, raw)
    # the variance of a quadratic form of normal data is a polynomial in tau2
    constant, linear, square = spread
    with np.errstate(invalid="ignore"):
        return raw, np.sqrt(2.0 * (constant + 2.0 * value * linear + value * value * square)) / divisor, none


def _weighted(part: Rows, n: IntArray) -> Closed:
    at, df = moments(part, np.zeros(len(n))), n - part.p
    return (at.rss - df) / at.trpr, (df, at.trpr, at.trprpr), at.trpr


def _hs(part: Rows, n: IntArray) -> Closed:
    at = moments(part, np.zeros(len(n)))
    return (at.rss - n) / at.trwr, (n - part.p, at.trpr, at.trprpr), at.trwr


def _he(part: Rows, n: IntArray) -> Closed:
    df = n - part.p
    if not part.blocks:
        # with unit weights, and the sampling variances in the place of R, tr(MS) and tr(MSMS) are tr(PR) and tr(PRPR)
        inside = np.isfinite(part.a)
        flat = replace(part, a=np.where(inside, 1.0, np.inf), b=np.where(inside, part.a, 0.0))
        at = moments(flat, np.zeros(len(n)))
        return (at.rss - at.trpr) / df, (at.trprpr, at.trpr, df), df
    from scipy import sparse

    blocks = [indices for indices, _ in part.blocks]
    alone = np.setdiff1d(np.arange(part.k), np.concatenate(blocks))
    i = np.concatenate([alone, *(np.repeat(indices, indices.size) for indices in blocks)])
    j = np.concatenate([alone, *(np.tile(indices, indices.size) for indices in blocks)])
    sampling = np.concatenate([part.se[alone] ** 2, *(covariance.ravel() for _, covariance in part.blocks)])
    correlation = np.concatenate([np.ones(alone.size), *(R.ravel() for R in part.correlations)])
    S, R = sparse.csr_array((sampling, (i, j))), sparse.csr_array((correlation, (i, j)))
    basis = part.basis

    def trace(A: Any, B: Any) -> float:
        """tr(MAMB), for M = 1 - basis basis'."""
        a, b = A @ basis, B @ basis
        return float((A * B).sum() - 2.0 * (a * b).sum() + ((basis.T @ a) * (basis.T @ b).T).sum())

    tr_ms, tr_mr = (A.diagonal().sum() - np.trace(basis.T @ (A @ basis)) for A in (S, R))
    raw = (part.residual @ part.residual - tr_ms) / tr_mr
    return np.array([raw]), (trace(S, S), trace(S, R), trace(R, R)), tr_mr


def _sj(part: Rows, n: IntArray) -> Closed:
    # the start is the spread of y itself, as in metafor; a constant added to all of y does not change it
    fit = part.basis @ (part.triangle @ part.start)
    inside, df = np.isfinite(part.a), n - part.p
    y = np.where(inside, part.y + (fit - fit.mean()), 0.0)
    centred = np.where(inside, y - (y.sum(axis=1) / n)[:, None], 0.0)
    start = (centred**2).sum(axis=1) / n
    at = moments(part, np.where(start > 0, start, 1.0))
    # tr(PVPV), tr(PVP) and tr(PP) for V = diag(se^2) = (S + start) - start, from the traces of P alone
    pvp = at.trpr - start * at.trprpr
    pvpv = df - 2.0 * start * at.trpr + start**2 * at.trprpr
    with np.errstate(divide="ignore"):
        return start * at.rss / df, (pvpv, pvp, at.trprpr), df / start


def solve_q(rows: Rows, target: FloatArray) -> FloatArray:
    """The tau2 >= 0 at which y'P(tau2)y, which never increases, equals `target`; 0 if it is below already.

    1/(y'Py) is concave in tau2, so Newton steps on it climb to the root from below and never pass it.

    Parameters
    ----------
    rows : Rows
        Several data sets.
    target : ndarray, shape (m,)

    Returns
    -------
    ndarray, shape (m,)
        ``inf`` if y'Py stays above the target for every tau2.

    Raises
    ------
    InferenceError
        If Newton steps do not arrive.

    Examples
    --------
    >>> solve_q(rows_of([0.0, 2.0], [0.5, 0.5]).several(), np.array([1.0])).round(12).tolist()
    [1.75]
    """
    tau2, moving = np.zeros(len(target)), np.arange(len(target))
    widest = np.where(np.isfinite(rows.a), rows.a, 0.0) / np.where(rows.b > 0, rows.b, 1.0)
    ceiling = 1e15 * float((rows.y * rows.y).sum(axis=1).max() + widest.max())
    for _ in range(MAX_STEPS):
        q, slope = quadratic(_some(rows, moving), tau2[moving])
        excess = q / target[moving] - 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(excess > NOISE, q / slope * excess, 0.0)
        new = tau2[moving] + step
        tau2[moving] = np.where(new > ceiling, np.inf, new)
        moving = moving[(step > STEP * new) & (new <= ceiling)]
        if not moving.size:
            return tau2
    raise InferenceError(f"y'Py = k - p was not solved in {MAX_STEPS} steps; are standard errors plausible?")


def _some(part: Rows, sets: IntArray | NDArray[np.bool_]) -> Rows:
    # one data set serves any number of tau2
    return part if len(part.a) == 1 else part.take(sets)


def _score(at: Moments, *, restricted: bool) -> tuple[FloatArray, FloatArray]:
    """Twice the score for tau2 and its derivative; tr(WR) is the size of the sums that cancel in it."""
    if restricted:
        return at.yprpy - at.trpr, at.trprpr - 2.0 * at.yprprpy
    return at.yprpy - at.trwr, at.trwrwr - 2.0 * at.yprprpy


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


def _likelihood(part: Rows, n: IntArray, *, restricted: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The global maximum of each likelihood, nan where it still rises at the end, its SE, and all local maxima.

    Signs of the score on one grid, then Newton steps in each bracket.
    """
    m = len(n)
    # beyond the sum of squares of y / sqrt(b) the score is negative; rho = 1, where some b are zero, has no such bound
    positive = part.b > 0
    y = np.where(np.isfinite(part.a), part.y, 0.0)
    squares = (y[:, positive] ** 2 / part.b[positive]).sum(axis=1)
    if not positive.all():
        squares = 1e3 * (y**2).sum(axis=1)
    low, high = GRID_START * float((part.a[:, positive] / part.b[positive]).min()), float(squares.max())
    grid = np.zeros(1)
    if high > 0:
        count = max(1, math.ceil(NODES_PER_DECADE * math.log10(high / low))) if high > low else 0
        grid = np.append(
            grid, high * np.exp(math.log(low / high) * np.linspace(1.0, 0.0, count + 1)) if count else high
        )
    score, known = _scores(part, n, grid, restricted=restricted)
    # the last node before each whose score is more than rounding
    seen = np.maximum.accumulate(np.where(known, np.arange(grid.size)[:, None], -1), axis=0)
    node, sets = np.nonzero(known[1:] & (score[1:] <= 0))
    before = seen[node, sets]
    rises = (before >= 0) & (score[before, sets] > 0)
    inner, right, left = sets[rises], grid[node[rises] + 1], grid[before[rises]]
    first, last = known.argmax(axis=0), seen[-1]
    which, tau2 = np.arange(m), np.zeros(m)
    if inner.size:
        tau2 = np.concatenate([_zeros(_some(part, inner), left, right, restricted=restricted), tau2])
        which = np.concatenate([inner, which])
    at = moments(_some(part, which), tau2)
    # zero comes last, so that it wins where it is as high as another
    order = np.lexsort((np.arange(which.size), log_likelihood(part, at, restricted=restricted), which))
    best = np.empty(m, np.intp)
    best[which[order]] = order
    out = tau2[best]
    each = np.arange(m)
    out[(squares > 0) & ((last < 0) | (score[last, each] > 0))] = np.nan
    rising = known.any(axis=0) & (score[first, each] > 0)
    information = (at.trprpr if restricted else at.trwrwr)[best]
    known_well = information > NOISE * n * at.trwrwr[best]
    se = np.sqrt(2.0 / np.where(known_well, information, np.nan))
    return out, se, np.sort(tau2[(tau2 > 0) | ~rising[which]])


def _scores(part: Rows, n: IntArray, grid: FloatArray, *, restricted: bool) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Scores of m data sets at G nodes, (G, m), and whether they are more than rounding.

    Where one study is vastly more precise than the others the score near zero is rounding: its sign says nothing.
    """
    # one data set at all nodes in one pass, since a pass costs more than its arithmetic; else all sets node by node
    passes = [grid] if len(n) == 1 else [np.full(len(n), node) for node in grid]
    found = [moments(part, tau2) for tau2 in passes]
    score = np.array([_score(at, restricted=restricted)[0] for at in found]).reshape(grid.size, -1)
    return score, np.abs(score) > NOISE * n * np.array([at.trwr for at in found]).reshape(grid.size, -1)


def _zeros(part: Rows, low: FloatArray, high: FloatArray, *, restricted: bool) -> FloatArray:
    """Zero of the score in each bracket, positive at low and negative at high."""
    error, slope, size = np.empty(len(low)), np.empty(len(low)), np.empty(len(low))

    def at(tau2: FloatArray, moving: NDArray[np.bool_]) -> tuple[FloatArray, Callable[[], FloatArray]]:
        found = moments(_some(part, moving), tau2[moving])
        score, slope[moving] = _score(found, restricted=restricted)
        error[moving], size[moving] = -score / found.trwr, found.trwr
        return error, lambda: np.where(slope < 0, -error * size / slope, np.inf)

    tau2, moving = newton(at, 0.5 * (low + high), low, high, close=NOISE, settled=STEP)
    if moving.any():
        raise InferenceError(f"tau2 of {moving.sum()} data sets was not found; are standard errors plausible?")
    return tau2
