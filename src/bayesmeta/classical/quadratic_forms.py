"""Distribution of weighted sums of chi-squared variables, and of Q with any weights as tau2 varies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.classical.rows import FloatArray
from bayesmeta.errors import ModelError
from bayesmeta.numerics import roots

__all__ = ["WeightedQ", "weighted_chi2_cdf", "weighted_q"]

# The trapezoidal rule on the contour: halving the step, or a longer contour, changes the 14th digit.
STEP = 0.08
NODES = 95
X = STEP * np.arange(NODES)
# how far the contour bends towards the negative axis, in units of the width of the saddle
BEND = 0.5


def weighted_chi2_cdf(q: ArrayLike, weights: ArrayLike) -> FloatArray:
    r"""P(sum_i w_i X_i <= q) for independent chi-squared X_i with one degree of freedom and weights w_i >= 0.

    The Laplace transform of the distribution function is ``1/s prod (1 + 2 w_i s)^(-1/2)``, whose singularities all
    lie on the negative real axis. It is inverted on a hyperbola through its saddle point that opens towards them: the
    trapezoidal rule then converges geometrically, whatever the number and the ratio of the weights (Farebrother's
    series needs ever more terms, Imhof's integral decays slowly for few weights). The relative error is below 1e-11; an
    upper tail taken as 1 - p has the absolute error of double precision.

    Parameters
    ----------
    q : array_like, shape (m,) or ()
    weights : array_like, shape (m, n) or (n,)

    Returns
    -------
    ndarray, shape (m,)

    Raises
    ------
    ModelError
        If a weight is negative or not finite.

    References
    ----------
    Imhof 1961, doi:10.1093/biomet/48.3-4.419, whose integral this replaces.

    Examples
    --------
    >>> weighted_chi2_cdf([3.841458820694124, 5.991464547107979], [[1.0, 0.0], [1.0, 1.0]]).round(10).tolist()
    [0.95, 0.95]
    """
    weights = np.atleast_2d(np.asarray(weights, float))
    q = np.atleast_1d(np.asarray(q, float))
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ModelError("weights of chi-squared variables must be finite and not negative.")
    q, weights = np.broadcast_arrays(q[:, None], weights)
    q = q[:, 0]
    out = np.zeros(len(q))
    positive = q > 0
    if positive.any():
        out[positive] = np.clip(_invert(q[positive], weights[positive]), 0.0, 1.0)
    return out


def _invert(q: FloatArray, weights: FloatArray) -> FloatArray:
    def slope(s: FloatArray) -> FloatArray:
        return q - (weights / (1.0 + 2.0 * weights * s[:, None])).sum(axis=1) - 1.0 / s

    # a saddle need not be exact: the contour through any point near it gives the same integral
    saddle = roots(slope, 1.0 / q, (1.0 + 0.5 * weights.shape[1]) / q, width=1e-6)
    curvature = (2.0 * (weights / (1.0 + 2.0 * weights * saddle[:, None])) ** 2).sum(axis=1) + saddle**-2
    width = curvature**-0.5
    path = 1j * np.sinh(X) + BEND * (1.0 - np.cosh(X))
    slopes = 1j * np.cosh(X) - BEND * np.sinh(X)
    s = saddle[:, None] + width[:, None] * path
    # a sum of principal logarithms: their cuts are on the negative axis, which the contour does not cross
    logs = np.zeros_like(s)
    for column in range(weights.shape[1]):
        logs += np.log1p(2.0 * weights[:, column, None] * s)
    integrand = np.exp(q[:, None] * s - 0.5 * logs - np.log(s)) * slopes
    integrand[:, 0] *= 0.5
    return STEP / np.pi * width * integrand.imag.sum(axis=1)


class WeightedQ:
    """Generalised Q with fixed weights a: ``sum a (y - mean_a)^2``, and its distribution for every tau2.

    Attributes
    ----------
    q : float
    tau2 : float
        Moment estimator: the tau2 at which E(Q) = q, not below 0.
    """

    __slots__ = ("_matrix", "_variance", "q", "tau2")

    def __init__(self, y: FloatArray, se: FloatArray, a: FloatArray) -> None:
        centred = y - (a @ y) / a.sum()
        self.q = float(a @ centred**2)
        # Q = y'My, M = diag(a) - aa'/sum(a)
        self._matrix = np.diag(a) - np.outer(a, a) / a.sum()
        self._variance = se**2
        diagonal = np.diagonal(self._matrix)
        self.tau2 = max(0.0, (self.q - float(diagonal @ self._variance)) / float(diagonal.sum()))

    def exceeds(self, tau2: ArrayLike) -> FloatArray:
        """P(Q > q) at each tau2; it rises with tau2.

        Examples
        --------
        >>> y, se = np.array([0.0, 1.0]), np.array([0.5, 0.5])
        >>> float(WeightedQ(y, se, se**-2).exceeds([0.0])[0].round(6))  # the tail of chi2(1) at 2
        0.157299
        """
        tau2 = np.atleast_1d(np.asarray(tau2, float))
        out = np.empty(len(tau2))
        k = len(self._variance)
        size = max(1, 400_000 // k**2)
        for start in range(0, len(tau2), size):
            sd = np.sqrt(self._variance + tau2[start : start + size, None])
            spectrum = np.linalg.eigvalsh(sd[:, :, None] * self._matrix * sd[:, None, :])[:, 1:]
            out[start : start + size] = 1.0 - weighted_chi2_cdf(self.q, np.maximum(spectrum, 0.0))
        return out

    def quantile(self, p: float) -> float:
        """The tau2 at which P(Q > q) = p; 0 where it is more at tau2 = 0 already.

        Examples
        --------
        >>> y, se = np.array([0.0, 1.0]), np.array([0.1, 0.1])
        >>> found = WeightedQ(y, se, se**-2)
        >>> round(float(found.exceeds([found.quantile(0.9)])[0]), 9)
        0.9
        """
        if self.q == 0.0 or float(self.exceeds([0.0])[0]) >= p:
            return 0.0
        unit = float(np.median(self._variance))
        low, high = 0.0, max(unit, self.tau2)
        while float(self.exceeds([high])[0]) < p:
            low, high = high, 4.0 * high
            if high > 1e15 * unit:
                return float("inf")
        return float(roots(lambda tau2: self.exceeds(tau2) - p, [low], [high], width=1e-13)[0])


def weighted_q(y: FloatArray, se: FloatArray, a: FloatArray) -> WeightedQ:
    """Make a `WeightedQ`, refusing what it is not defined for.

    Raises
    ------
    ModelError
        With fewer than two estimates, or a weight that is not positive and finite.
    """
    if len(y) < 2:
        raise ModelError(f"k = {len(y)}: Q needs at least two estimates.")
    if not (a.shape == se.shape == y.shape and (a > 0).all() and np.isfinite(a).all()):
        raise ModelError("the weights of Q must be positive and finite, one for each estimate.")
    return WeightedQ(y, se, a)
