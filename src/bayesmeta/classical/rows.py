"""Estimates whose covariance is S + tau2 R, turned into independent rows with variances a + tau2 b.

Every classical estimator is then a sum over rows, whatever the dependence was. Several data sets are done at once: a
row that one of them lacks has infinite variance there, so that its weight is zero and every sum is that of the subset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.exact import rotate
from bayesmeta.model import effect_correlations

__all__ = ["Blocks", "FloatArray", "Moments", "Rows", "column_rank", "effect_rows", "moments", "quadratic", "rows_of"]

FloatArray = NDArray[np.float64]
Blocks = Sequence[tuple[NDArray[np.intp], FloatArray]]

# A residual below this share of the largest estimate is rounding, not data: identical estimates leave about one
# unit in the last place after subtracting their mean.
ROUNDING = 16 * np.finfo(float).eps
# The diagonal of a block is se**2 up to the rounding of a square root taken and squared again.
DIAGONAL = 1e-8
_RHO = "rho = {}: the correlation of true effects within a trial must lie in [0, 1]."


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A linear model ready for every estimator: rotated rows, and the original numbers for those that need them.

    Attributes
    ----------
    y, Z : ndarray, shapes (k,) and (k, p)
        Rotated residuals of ordinary least squares, and a rotated orthonormal basis of the columns of X. Both make
        sums of squares accurate when estimates share a large offset or columns are nearly collinear.
    ZZ : ndarray, shape (k, p * p)
        Products of the entries of each row of `Z`, so that Z'WZ is one product for many tau2 at once.
    a, b : ndarray, shape (k,)
        Row i has variance ``a[i] + tau2 * b[i]``. For m data sets at once, `y` and `a` have one line for each
        (`several`).
    logdet : float
        Constant of the log determinant.
    start : ndarray, shape (p,)
        Coefficients of ordinary least squares, to which those of `y` on `Z` are added after `triangle`.
    triangle : ndarray, shape (p, p)
        X = (basis) @ triangle.
    basis, residual : ndarray
        `Z` and `y` before the rotation.
    se : ndarray, shape (k,)
    blocks : tuple
    rho : float
    correlations : tuple
        Correlations of the true effects of every block.
    units : int
        Independent units: rows joined by a block or, where there are blocks, by the name of their trial.
    """

    y: FloatArray
    Z: FloatArray
    ZZ: FloatArray
    a: FloatArray
    b: FloatArray
    logdet: float
    start: FloatArray
    triangle: FloatArray
    basis: FloatArray
    residual: FloatArray
    se: FloatArray
    blocks: tuple[tuple[NDArray[np.intp], FloatArray], ...]
    rho: float
    correlations: tuple[FloatArray, ...]
    units: int

    def __post_init__(self) -> None:
        for name in ("y", "Z", "ZZ", "a", "b", "start", "triangle", "basis", "residual", "se"):
            getattr(self, name).flags.writeable = False

    @property
    def k(self) -> int:
        """Number of estimates."""
        return self.Z.shape[0]

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return self.Z.shape[1]

    def several(self, member: NDArray[np.bool_] | None = None, y: FloatArray | None = None) -> Rows:
        """Data sets with the rows of `member`, shape (m, k), and rotated estimates `y`; all rows as one set without."""
        a = self.a[None] if member is None else np.where(member, self.a, np.inf)
        return replace(self, a=a, y=self.y[None] if y is None else y)

    def take(self, sets: NDArray[np.bool_] | NDArray[np.intp]) -> Rows:
        """Some of several data sets."""
        return replace(self, a=self.a[sets], y=self.y if len(self.y) == 1 else self.y[sets])


def rows_of(
    y: ArrayLike,
    se: ArrayLike,
    X: ArrayLike | None = None,
    *,
    blocks: Blocks = (),
    rho: float = 0.5,
    study: Sequence[str] | None = None,
    correlations: Sequence[FloatArray] | None = None,
) -> Rows:
    """Check the arrays of a linear model and rotate them.

    Parameters
    ----------
    y, se : array_like, shape (k,)
        Estimates and standard errors.
    X : array_like, shape (k, p), optional
        Design; a column of ones where it is left out.
    blocks : sequence of (indices, covariance)
        Dependent rows and their sampling covariance.
    rho : float
        Correlation of the true effects of rows in one block, from 0 to 1. No effect without blocks.
    study : sequence of str, optional
        Trial of each row, to count independent units where there are blocks.
    correlations : sequence of arrays, optional
        Correlations of the true effects of every block; ``rho`` between any two rows of one where it is left out.

    Returns
    -------
    Rows

    Raises
    ------
    ModelError
        Where shapes differ, a number is not finite, an SE is not > 0, or X has not full column rank.
    """
    # se is kept and made read-only, so it must not be the caller's own array
    y, se = np.asarray(y, dtype=float), np.array(se, dtype=float)
    if y.ndim != 1 or y.shape != se.shape or y.size == 0:
        raise ModelError(f"y and se: shapes {y.shape} and {se.shape}; give two vectors of one length >= 1.")
    if not (np.isfinite(y).all() and np.isfinite(se).all() and (se > 0).all()):
        bad = np.flatnonzero(~(np.isfinite(y) & np.isfinite(se) & (se > 0)))
        raise ModelError(f"rows {bad.tolist()}: y must be finite and se finite and > 0. Correct or leave out the rows.")
    if not 0.0 <= rho <= 1.0:
        raise ModelError(_RHO.format(rho))
    k = y.size
    if X is None:
        basis, triangle = np.full((k, 1), k**-0.5), np.array([[k**0.5]])
    else:
        X = np.asarray(X, dtype=float)
        if X.ndim != 2 or X.shape[0] != k or X.shape[1] == 0 or not np.isfinite(X).all():
            raise ModelError(f"X: shape {X.shape} must be ({k}, p) with p >= 1, and every entry finite.")
        rank = column_rank(X)
        if rank < X.shape[1]:
            raise ModelError(
                f"X has {X.shape[1]} columns but rank {rank} with k = {k} rows: the coefficients are not estimable. "
                "Leave out columns that others determine."
            )
        basis, triangle = np.linalg.qr(X)
    ols = basis.T @ y
    residual = y - basis @ ols
    # A second pass removes what rounding left of the first where y has a large offset.
    correction = basis.T @ residual
    residual = residual - basis @ correction
    ols = ols + correction
    if np.abs(residual).max() <= ROUNDING * np.abs(y).max():
        residual = np.zeros(k)
    kept = tuple((np.asarray(indices, dtype=np.intp), np.asarray(cov, dtype=float)) for indices, cov in blocks)
    for indices, cov in kept:
        _check_block(indices, cov, se)
    if correlations is not None:
        correlations = [np.asarray(R, dtype=float) for R in correlations]
        if [R.shape for R in correlations] != [cov.shape for _, cov in kept] or not all(
            np.allclose(R, R.T) and np.allclose(np.diagonal(R), 1.0) for R in correlations
        ):
            raise ModelError("correlations: give one correlation matrix of true effects per block, of its shape.")
    else:
        correlations = [np.where(np.eye(indices.size) > 0, 1.0, rho) for indices, _ in kept]
    turned = rotate(se, kept, correlations)
    Z = turned.apply(basis)
    return Rows(
        y=turned.apply(residual),
        Z=Z,
        ZZ=(Z[:, :, None] * Z[:, None, :]).reshape(k, -1),
        a=turned.a,
        b=turned.b,
        logdet=turned.logdet,
        start=np.linalg.solve(triangle, ols),
        triangle=triangle,
        basis=basis,
        residual=residual,
        se=se,
        blocks=kept,
        rho=float(rho),
        correlations=tuple(correlations),
        units=independent_units(k, kept, study),
    )


def effect_rows(effects: Effects, X: ArrayLike | None = None, *, rho: float = 0.5) -> Rows:
    """`rows_of` for effects: their blocks, trials, and the roles that arms have in rows of one trial.

    Examples
    --------
    >>> effect_rows(effects).k
    4
    """
    if not 0.0 <= rho <= 1.0:
        raise ModelError(_RHO.format(rho))
    found = effect_correlations(effects, rho)
    return rows_of(effects.y, effects.se, X, blocks=effects.blocks, rho=rho, study=effects.study, correlations=found)


def _check_block(indices: NDArray[np.intp], covariance: FloatArray, se: FloatArray) -> None:
    if covariance.shape != (len(indices), len(indices)) or np.any(
        np.abs(np.diagonal(covariance) - se[indices] ** 2) > DIAGONAL * se[indices] ** 2
    ):
        raise ModelError(
            f"blocks: rows {indices.tolist()}: the covariance must be square with se**2 on its diagonal. "
            "Give the same variances in both places."
        )
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError as error:
        raise ModelError(
            f"blocks: the covariance of rows {indices.tolist()} is not positive definite. "
            "Check the covariances, or leave out a row that repeats another."
        ) from error


def column_rank(X: FloatArray) -> int:
    """Rank of the columns, each scaled to length 1 so that units do not matter.

    Examples
    --------
    >>> column_rank(np.array([[1.0, 2e6], [1.0, 2e6], [1.0, 2e6]]))
    1
    """
    lengths = np.sqrt((X**2).sum(axis=0))
    return int(np.linalg.matrix_rank(X / np.where(lengths > 0, lengths, 1.0)))


def independent_units(k: int, blocks: Blocks, study: Sequence[str] | None) -> int:
    """Count independent units: k rows without blocks; with them, rows joined by a block or by the name of a trial.

    Examples
    --------
    >>> independent_units(3, [(np.array([0, 1]), np.eye(2))], ["START", "START", "HELP"])
    2
    """
    if not blocks:
        return k
    parent = list(range(k))

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for indices, _ in blocks:
        for row in indices[1:]:
            parent[find(int(row))] = find(int(indices[0]))
    first: dict[str, int] = {}
    for row, name in enumerate(study or ()):
        parent[find(row)] = find(first.setdefault(name, row))
    return len({find(row) for row in range(k)})


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Generalised least squares at each of G values of tau2, with W = (S + tau2 R)^-1.

    P = W - W X (X'WX)^-1 X'W throughout; `trpr` is tr(PR), `yprpy` is y'PRPy, and so on.

    Attributes
    ----------
    gamma : ndarray, shape (G, p)
        Coefficients of `Rows.y` on `Rows.Z`.
    cov : ndarray, shape (G, p, p)
        Their covariance.
    rss, yprpy, yprprpy, trpr, trprpr, trwr, trwrwr : ndarray, shape (G,)
        y'Py, y'PRPy, y'PRPRPy, tr(PR), tr(PRPR), tr(WR), tr(WRWR).
    logdet_v, logdet_m : ndarray, shape (G,)
        log|S + tau2 R| and log|Z'WZ|.
    """

    gamma: FloatArray
    cov: FloatArray
    rss: FloatArray
    yprpy: FloatArray
    yprprpy: FloatArray
    trpr: FloatArray
    trprpr: FloatArray
    trwr: FloatArray
    trwrwr: FloatArray
    logdet_v: FloatArray
    logdet_m: FloatArray


def moments(rows: Rows, tau2: ArrayLike) -> Moments:
    """Generalised least squares at each value of tau2: sums over rows only.

    Parameters
    ----------
    rows : Rows
    tau2 : array_like, shape (G,)

    Returns
    -------
    Moments

    Examples
    --------
    >>> rows = rows_of([0.1, 0.3], [0.1, 0.2])
    >>> float(moments(rows, [0.0]).rss[0].round(12))
    0.8
    """
    b, p = rows.b, rows.p
    variance, w, cov, gamma, e = _solve(rows, np.asarray(tau2, dtype=float))
    bw = b * w
    we = w * e
    v = bw * e
    wv = w * v
    wbw = w * bw
    zwv = wv @ rows.Z
    trwr = bw.sum(axis=1)
    trwrwr = (bw * bw).sum(axis=1)
    if p == 1:
        inverse = cov[:, 0, 0]
        first = inverse * (wbw @ rows.ZZ)[:, 0]
        trpr = trwr - first
        trprpr = trwrwr - 2.0 * inverse * ((wbw * bw) @ rows.ZZ)[:, 0] + first * first
        yprprpy = (wv * v).sum(axis=1) - inverse * zwv[:, 0] ** 2
        logdet_m = -np.log(inverse)
    else:
        product = cov @ (wbw @ rows.ZZ).reshape(-1, p, p)
        second = (cov * ((wbw * bw) @ rows.ZZ).reshape(-1, p, p)).sum(axis=(1, 2))
        trpr = trwr - np.trace(product, axis1=1, axis2=2)
        trprpr = trwrwr - 2.0 * second + (product * product.swapaxes(1, 2)).sum(axis=(1, 2))
        yprprpy = (wv * v).sum(axis=1) - (zwv[:, None, :] @ cov @ zwv[:, :, None])[:, 0, 0]
        logdet_m = -np.linalg.slogdet(cov)[1]
    return Moments(
        gamma=gamma,
        cov=cov,
        rss=(we * e).sum(axis=1),
        yprpy=(we * v).sum(axis=1),
        yprprpy=yprprpy,
        trpr=trpr,
        trprpr=trprpr,
        trwr=trwr,
        trwrwr=trwrwr,
        logdet_v=np.log(np.where(np.isinf(variance), 1.0, variance)).sum(axis=1) + rows.logdet,
        logdet_m=logdet_m,
    )


def quadratic(rows: Rows, tau2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """y'P(tau2)y and y'PRPy = minus its derivative at each of G values, without the traces that `moments` adds.

    Examples
    --------
    >>> [float(value[0].round(12)) for value in quadratic(rows_of([0.0, 2.0], [1.0, 1.0]), np.ones(1))]
    [1.0, 0.5]
    """
    _, w, _, _, e = _solve(rows, tau2)
    we = w * e
    return (we * e).sum(axis=1), (rows.b * we * we).sum(axis=1)


def _solve(rows: Rows, tau2: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Variances, weights, covariance of the coefficients, coefficients and residuals at each tau2."""
    p = rows.p
    variance = rows.a + tau2[:, None] * rows.b
    w = 1.0 / variance
    m = w @ rows.ZZ
    zwy = (w * rows.y) @ rows.Z
    if p == 1:
        cov = (1.0 / m)[:, :, None]
        gamma = zwy / m
        return variance, w, cov, gamma, rows.y - gamma * rows.Z[:, 0]
    cov = np.linalg.inv(m.reshape(-1, p, p))
    gamma = (cov @ zwy[:, :, None])[:, :, 0]
    return variance, w, cov, gamma, rows.y - gamma @ rows.Z.T
