"""Normal likelihood with the study effects and the coefficients integrated out; functions of arrays.

Rows in one block have the covariance ``S_b + tau**2 R_b``. One rotation per block makes both matrices diagonal for
every tau at once, so that rotated rows are independent with variances ``a + tau**2 b``: a row alone has
``a = se**2`` and ``b = 1``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LOG_2PI",
    "MAX_ELEMENTS",
    "ConditionalMoments",
    "LinearModel",
    "Reduced",
    "Rotation",
    "StackedRows",
    "combine",
    "condition",
    "factor",
    "near_estimate",
    "reduce_rows",
    "rotate",
    "square",
    "stack",
    "study_moments",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
LOG_2PI = math.log(2 * math.pi)
# nodes times rows that are worked on at once
MAX_ELEMENTS = 4e6
# standard deviations above this are as good as infinite, and their squares are still numbers
_LARGEST = 1e140


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """A change of basis in which sampling errors and study effects are independent between rows.

    Attributes
    ----------
    a, b : arrays of shape (k,)
        Rotated row j has variance ``a[j] + tau**2 * b[j]``.
    logdet : float
        ``log det(S + tau**2 R) = sum(log(a + tau**2 b)) + logdet``.
    blocks : tuple of (rows, forward, backward)
        Per block of m rows, the (m, m) matrices that rotate and rotate back.
    """

    a: FloatArray
    b: FloatArray
    logdet: float
    blocks: tuple[tuple[IntArray, FloatArray, FloatArray], ...]

    def apply(self, M: FloatArray) -> FloatArray:
        """Rotate rows: ``T @ M`` for ``M`` of shape (k,) or (k, m)."""
        result = np.array(M, float)
        for rows, forward, _ in self.blocks:
            result[rows] = forward @ result[rows]
        return result

    def unapply(self, M: FloatArray) -> FloatArray:
        """Rotate back: the inverse of `apply`."""
        result = np.array(M, float)
        for rows, _, backward in self.blocks:
            result[rows] = backward @ result[rows]
        return result


def rotate(
    se: FloatArray, blocks: Sequence[tuple[IntArray, FloatArray]], correlations: Sequence[FloatArray] | float
) -> Rotation:
    """Diagonalise sampling covariance and study-effect correlation together, block by block.

    With ``S_b = L L'`` and ``L**-1 R_b L**-T = U D U'``, the rows ``U' L**-1 y`` have variances ``1 + tau**2 D``.

    Parameters
    ----------
    se : array of shape (k,)
    blocks : sequence of (rows, covariance)
    correlations : sequence of arrays, or float
        Correlations R_b of the study effects of every block (`bayesmeta.model.effect_correlations`), or that of any two
        rows.

    Examples
    --------
    >>> S = np.array([[0.04, 0.01], [0.01, 0.09]])
    >>> turned = rotate(np.array([0.2, 0.3]), [(np.array([0, 1]), S)], 0.5)
    >>> V = S + 0.25 * np.array([[1, 0.5], [0.5, 1]])
    >>> bool(np.isclose(np.log(turned.a + 0.25 * turned.b).sum() + turned.logdet, np.log(np.linalg.det(V))))
    True
    """
    a, b = np.square(se), np.ones_like(se)
    logdet = 0.0
    turned = []
    if isinstance(correlations, (int, float)):
        correlations = [np.where(np.eye(rows.size) > 0, 1.0, correlations) for rows, _ in blocks]
    for (rows, covariance), R in zip(blocks, correlations, strict=True):
        L = np.linalg.cholesky(covariance)
        inverse = np.linalg.inv(L)
        D, U = np.linalg.eigh(inverse @ R @ inverse.T)
        # correlations of 1 leave eigenvalues that are zero but for rounding
        D = np.where(1e-13 * D.max() < D, D, 0.0)
        forward = U.T @ inverse
        a[rows], b[rows] = 1.0, D
        logdet += 2 * float(np.log(np.diag(L)).sum())
        turned.append((rows, forward, L @ U))
    return Rotation(a, b, logdet, tuple(turned))


@dataclass(frozen=True, slots=True, eq=False)
class ConditionalMoments:
    """The coefficients given tau, at N nodes; of F problems (`condition`), N is the two axes (F, n).

    Attributes
    ----------
    log_marginal : array of shape (N,)
        Log density of the data with study effects and coefficients integrated out; a flat coefficient has density 1.
    mean : array of shape (p, N)
    cov : array of shape (p, p, N)
    """

    log_marginal: FloatArray
    mean: FloatArray
    cov: FloatArray


def factor(A: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Inverse Cholesky factor and log determinant of N matrices at once; ``A`` has shape (p, p, N)."""
    p = A.shape[0]
    L = np.zeros_like(A)
    for j in range(p):
        L[j, j] = np.sqrt(A[j, j] - np.einsum("in,in->n", L[j, :j], L[j, :j]))
        for i in range(j + 1, p):
            L[i, j] = (A[i, j] - np.einsum("in,in->n", L[i, :j], L[j, :j])) / L[j, j]
    inverse = np.zeros_like(A)
    for j in range(p):
        inverse[j, j] = 1.0 / L[j, j]
        for i in range(j + 1, p):
            inverse[i, j] = -np.einsum("kn,kn->n", L[i, j:i], inverse[j:i, j]) / L[i, i]
    diagonal = np.array([L[j, j] for j in range(p)])
    return inverse, 2 * np.log(diagonal).sum(axis=0)


def square(sd: FloatArray) -> FloatArray:
    """Square standard deviations; those that are as good as infinite stay numbers."""
    return np.square(np.minimum(sd, _LARGEST))


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """What the data say of the coefficients at M settings of the variances, study effects integrated out.

    The quadratic form of the data is ``rest - 2 (beta - centre)' score + (beta - centre)' A (beta - centre)``, where
    the centre is close to the generalised least squares estimate, so that no digit is lost.

    Attributes
    ----------
    A : array of shape (p, p, M)
        ``X' V**-1 X``.
    right, centre, score : arrays of shape (p, M)
        ``X' V**-1 y``; the centre; ``X' V**-1 (y - X centre)``.
    rest, logdet : arrays of shape (M,)
        ``(y - X centre)' V**-1 (y - X centre)`` and ``log det V``.
    k : int
    """

    A: FloatArray
    right: FloatArray
    centre: FloatArray
    score: FloatArray
    rest: FloatArray
    logdet: FloatArray
    k: int


def reduce_rows(tau: FloatArray, y: FloatArray, X: FloatArray, rotation: Rotation) -> Reduced:
    """Integrate study effects out at each tau, shape (M,); ``y`` and ``X`` are rotated."""
    k, p = X.shape
    variance = rotation.a + square(tau)[:, None] * rotation.b
    precision = 1.0 / variance
    A = (precision @ (X[:, :, None] * X[:, None, :]).reshape(k, p * p)).T.reshape(p, p, -1)
    right = (precision @ (X * y[:, None])).T
    centre = near_estimate(A, right)
    weighted = y - centre.T @ X.T
    rest = np.einsum("nk,nk,nk->n", precision, weighted, weighted)
    score = ((precision * weighted) @ X).T
    return Reduced(A, right, centre, score, rest, np.log(variance).sum(axis=1) + rotation.logdet, k)


def near_estimate(A: FloatArray, right: FloatArray) -> FloatArray:
    """Coefficients near the least squares estimate from the normal equations, even where these are singular: (p, M)."""
    unit = 1.0 / np.sqrt(np.einsum("iin->in", A))
    scaled = A * (unit[:, None] * unit)
    scaled[np.arange(len(A)), np.arange(len(A))] += 1e-8
    inverse, _ = factor(scaled)
    return unit * np.einsum("jin,jn->in", inverse, np.einsum("ijn,jn->in", inverse, unit * right))


def combine(
    reduced: Reduced,
    index: IntArray,
    prior_mean: FloatArray,
    prior_precision: FloatArray,
    scale: FloatArray | None,
) -> ConditionalMoments:
    """Integrate the coefficients out at N nodes, each at one of M settings of the variances.

    A coefficient with a hierarchical SD s is ``s c``: prior and equations are those of c, whose precision is one
    however small s is, so that nothing is divided by s.

    Parameters
    ----------
    index : array of int of shape (N,)
        Setting of each node.
    prior_mean, prior_precision : arrays of shape (p,) and (p, N)
        Of c; precision zero is a flat prior.
    scale : array of shape (p, N) or None
        The s of each coefficient; None is one.
    """
    if scale is None and len(reduced.A) == 1:
        return _combine_one(reduced, index, float(prior_mean[0]), prior_precision[0])
    A = reduced.A[:, :, index]
    B, right = A.copy(), reduced.right[:, index]
    outer = None
    if scale is not None:
        outer = scale[:, None] * scale
        B *= outer
        right = right * scale
    for j in range(B.shape[0]):
        B[j, j] += prior_precision[j]
    inverse, logdet = factor(B)
    right = right + prior_precision * prior_mean[:, None]
    c = np.einsum("jin,jn->in", inverse, np.einsum("ijn,jn->in", inverse, right))
    cov = np.einsum("kin,kjn->ijn", inverse, inverse)
    mean = c if scale is None else scale * c
    if outer is not None:
        cov *= outer
    step = mean - reduced.centre[:, index]
    quadratic = reduced.rest[index] + np.einsum(
        "in,in->n", step, np.einsum("ijn,jn->in", A, step) - 2 * reduced.score[:, index]
    )
    quadratic = quadratic + (prior_precision * np.square(c - prior_mean[:, None])).sum(axis=0)
    proper = prior_precision > 0
    log_prior = 0.5 * np.log(np.where(proper, prior_precision, 1.0)).sum(axis=0)
    flat = (~proper).sum(axis=0)
    log_marginal = -0.5 * ((reduced.k - flat) * LOG_2PI + reduced.logdet[index] + logdet + quadratic)
    return ConditionalMoments(log_marginal + log_prior, mean, cov)


def _combine_one(
    reduced: Reduced, index: IntArray, prior_mean: float, prior_precision: FloatArray
) -> ConditionalMoments:
    """`combine` for one coefficient, in closed form."""
    A = reduced.A[0, 0, index]
    B = A + prior_precision
    mean = (reduced.right[0, index] + prior_precision * prior_mean) / B
    step = mean - reduced.centre[0, index]
    quadratic = reduced.rest[index] + step * (A * step - 2 * reduced.score[0, index])
    quadratic += prior_precision * np.square(mean - prior_mean) + reduced.logdet[index] + np.log(B)
    proper = prior_precision > 0
    quadratic += (reduced.k - ~proper) * LOG_2PI - np.log(np.where(proper, prior_precision, 1.0))
    return ConditionalMoments(-0.5 * quadratic, mean[None], (1.0 / B)[None, None])


@dataclass(frozen=True, slots=True, eq=False)
class StackedRows:
    """Rotated rows and normal priors of F problems with p coefficients, padded to one number of rows k.

    Attributes
    ----------
    y, a, b : arrays of shape (F, 1, k)
        A row that is padding has variance one, no observation and no coefficient: it adds nothing.
    X, products : arrays of shape (F, k, p), (F, k, p**2 + p)
        Coefficients of each row; products of them and with the observation, from which normal equations are summed.
    constant : array of shape (F, 1)
        Of the log density.
    mean, precision : arrays of shape (p, F, 1)
        Priors of the coefficients; precision zero is flat.
    """

    y: FloatArray
    a: FloatArray
    b: FloatArray
    X: FloatArray
    products: FloatArray
    constant: FloatArray
    mean: FloatArray
    precision: FloatArray

    def take(self, chosen: NDArray[np.bool_]) -> StackedRows:
        """Some of them."""
        return StackedRows(
            self.y[chosen],
            self.a[chosen],
            self.b[chosen],
            self.X[chosen],
            self.products[chosen],
            self.constant[chosen],
            self.mean[:, chosen],
            self.precision[:, chosen],
        )


class LinearModel(NamedTuple):
    """Rotated rows, and normal priors of the coefficients, (p,), of which those with precision zero are flat."""

    y: FloatArray
    X: FloatArray
    rotation: Rotation
    prior_mean: FloatArray
    prior_precision: FloatArray


def stack(problems: Sequence[LinearModel]) -> StackedRows:
    """Put the rows of problems with one number of coefficients together."""
    count, k, p = len(problems), max(problem.y.size for problem in problems), problems[0].X.shape[1]
    y, a, b = np.zeros((count, k)), np.ones((count, k)), np.zeros((count, k))
    X = np.zeros((count, k, p))
    for i, problem in enumerate(problems):
        rows = problem.y.size
        y[i, :rows], X[i, :rows] = problem.y, problem.X
        a[i, :rows], b[i, :rows] = problem.rotation.a, problem.rotation.b
    products = (X[:, :, :, None] * X[:, :, None, :]).reshape(count, k, p * p)
    precision = np.array([problem.prior_precision for problem in problems])
    proper = precision > 0
    shown = np.array([problem.y.size for problem in problems]) - (p - proper.sum(axis=1))
    logdet = np.array([problem.rotation.logdet for problem in problems])
    constant = 0.5 * (np.log(np.where(proper, precision, 1.0)).sum(axis=1) - shown * LOG_2PI - logdet)
    return StackedRows(
        y[:, None, :],
        a[:, None, :],
        b[:, None, :],
        X,
        np.concatenate([products, X * y[:, :, None]], axis=2),
        constant[:, None],
        np.array([problem.prior_mean for problem in problems]).T[:, :, None],
        precision.T[:, :, None],
    )


def condition(stacked: StackedRows, tau: FloatArray) -> ConditionalMoments:
    """Integrate study effects and coefficients out at each tau.

    Parameters
    ----------
    stacked : StackedRows
        F problems.
    tau : array of shape (F, n)

    Returns
    -------
    ConditionalMoments
        With log densities of shape (F, n), means (p, F, n), covariances (p, p, F, n).
    """
    # in pieces that fit in memory
    step = max(1, int(MAX_ELEMENTS // (stacked.y.shape[0] * stacked.y.shape[2])))
    pieces = [_condition(stacked, tau[:, start : start + step]) for start in range(0, tau.shape[1], step)]
    if len(pieces) == 1:
        return ConditionalMoments(*pieces[0])
    return ConditionalMoments(*(np.concatenate(part, axis=-1) for part in zip(*pieces, strict=True)))


def _condition(stacked: StackedRows, tau: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    X, p = stacked.X, stacked.X.shape[2]
    # near the ends of a heavy-tailed prior tau squared overflows; a weight of zero is then the limit
    with np.errstate(over="ignore"):
        variance = stacked.a + np.square(tau)[:, :, None] * stacked.b
    precision = 1.0 / variance
    sums = precision @ stacked.products
    if p == 1:
        A = sums[:, :, 0] + stacked.precision[0]
        mean = ((sums[:, :, 1] + stacked.precision[0] * stacked.mean[0]) / A)[None]
        log_A, cov = np.log(A), (1.0 / A)[None, None]
        residual = stacked.y - mean[0][:, :, None] * X.transpose(0, 2, 1)
    else:
        A = np.moveaxis(sums[:, :, : p * p], 2, 0).reshape(p, p, -1).copy()
        full = np.broadcast_to(stacked.precision, (p, *tau.shape)).reshape(p, -1)
        for j in range(p):
            A[j, j] += full[j]
        right = (np.moveaxis(sums[:, :, p * p :], 2, 0) + stacked.precision * stacked.mean).reshape(p, -1)
        inverse, log_A = factor(A)
        mean = np.einsum("jin,jn->in", inverse, np.einsum("ijn,jn->in", inverse, right)).reshape(p, *tau.shape)
        cov = np.einsum("kin,kjn->ijn", inverse, inverse).reshape(p, p, *tau.shape)
        log_A = log_A.reshape(tau.shape)
        residual = stacked.y - np.moveaxis(mean, 0, 2) @ X.transpose(0, 2, 1)
    quadratic = np.einsum("fnk,fnk,fnk->fn", precision, residual, residual)
    quadratic += (stacked.precision * np.square(mean - stacked.mean)).sum(axis=0)
    return stacked.constant - 0.5 * (np.log(variance).sum(axis=2) + log_A + quadratic), mean, cov


def study_moments(
    tau: FloatArray, y: FloatArray, X: FloatArray, rotation: Rotation, conditional: ConditionalMoments
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Study effects given tau: mean, variance and their dependence on the coefficients.

    ``theta = T**-1 theta~`` with ``theta~ | beta ~ N(X~ beta + B (y~ - X~ beta), B a)`` and
    ``B = tau**2 b / (a + tau**2 b)``.

    Parameters
    ----------
    tau : array of shape (N,)
    y, X : rotated, shapes (k,) and (k, p)

    Returns
    -------
    mean, variance : arrays of shape (k, N)
    slope : array of shape (k, p, N)
        ``theta = const + slope @ beta + noise``.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.square(tau)[:, None] * rotation.b
        share = np.where(np.isfinite(spread), spread / (rotation.a + spread), 1.0).T
    noise = share * rotation.a[:, None]
    slope = (1.0 - share)[:, None, :] * X[:, :, None]
    mean = share * y[:, None] + np.einsum("kpn,pn->kn", slope, conditional.mean)
    for rows, _, backward in rotation.blocks:
        noise[rows] = np.square(backward) @ noise[rows]
        mean[rows] = backward @ mean[rows]
        slope[rows] = np.einsum("ij,jpn->ipn", backward, slope[rows])
    variance = noise + np.einsum("kpn,pqn,kqn->kn", slope, conditional.cov, slope)
    return mean, variance, slope
