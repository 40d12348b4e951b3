"""Where to put quadrature nodes: variables of integration, and which moments exist.

Given tau everything is Gaussian, so one integral over tau is all there is; a Student-t prior of a coefficient adds
one over the scale of its normal mixture. Each integral is taken in a variable in which the integrand is smooth, on
the window where it is within 46 nats of its maximum, and its nodes are doubled until every answer settles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import ModelError
from bayesmeta.marginals import Variable
from bayesmeta.priors import HalfNormal, InverseGamma, LogNormal, LogStudentT, Prior, Truncated

__all__ = [
    "TOLERANCE",
    "Axis",
    "PowerCount",
    "hierarchical_sd_axis",
    "log_scale",
    "moment_limit",
    "power_count",
    "require_proper",
    "scale_axis",
    "scale_log_density",
    "tau_axis",
    "tau_log_prior",
]

FloatArray = NDArray[np.float64]
# nested rules differ by this much, relative, before nodes are doubled again
TOLERANCE = 1e-8
# below this share of its typical size the hierarchical SD of coefficients is a linear variable, above it a logarithm
_SPIKE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One variable of integration.

    Attributes
    ----------
    variable : Variable
    scan : array
        Where to look for the integrand before its window is known, ascending.
    root : bool
        For a mixing scale lambda: the variable is ``lambda**-0.5``, not ``log(lambda)``.
    floor : float
        Smallest value at which the integrand is evaluated; below it, it does not change.
    """

    variable: Variable
    scan: FloatArray
    root: bool = False
    floor: float = 0.0


def _kernel(prior: Prior) -> Prior:
    return prior.prior if isinstance(prior, Truncated) else prior


def tau_axis(prior: Prior, typical_se: float) -> Axis:
    """Choose the variable for tau under a prior.

    ``asinh(tau / typical_se)`` where the density is bounded at zero; the prior's own logarithm where it is not, or
    where it vanishes there faster than any power; stretched by a sinh where the logarithm has polynomial tails.
    """
    kernel = _kernel(prior)
    low, high = (0.0, math.inf) if prior.name == "flat" else prior.support
    if isinstance(kernel, LogStudentT):
        variable = Variable("logsinh", kernel.loc, kernel.scale)
        # within this window neither x nor the density, which may fall as fast as its square, leaves the range of normal
        # floating point numbers; beyond it lies less than 1e-11 of any integral that exists
        limit = math.asinh(max(300 - abs(kernel.loc), 1.0) / kernel.scale)
        scan = np.linspace(-limit, limit, 161)
    elif isinstance(kernel, LogNormal):
        variable = Variable("log", kernel.meanlog, kernel.sdlog)
        scan = np.concatenate([np.linspace(-40, -13, 19), np.arange(-12, 12.1, 0.25), np.linspace(13, 80, 30)])
    elif isinstance(kernel, InverseGamma):
        variable = Variable("log", math.log(kernel.scale), 1.0)
        scan = np.concatenate([np.arange(-9, 25.1, 0.25), np.linspace(26, 330, 80)])
    else:
        # a prior with a scale far above the standard errors must not fall between two points of the scan
        variable = Variable("asinh", 0.0, typical_se)
        scan = np.concatenate([np.arange(0, 10, 0.25), np.arange(10, 30, 1.0), np.linspace(30, 330, 31)])
    # the ends of a bounded prior are ends of the integral
    first, last = float(variable.z(low)), float(variable.z(high))
    if low > 0:
        scan = np.concatenate([[first], scan[scan > first]])
    if math.isfinite(high):
        scan = np.concatenate([scan[scan < last], [last]])
    if scan.size < 12:
        scan = np.linspace(scan[0], scan[-1], 33)
    return Axis(variable, scan)


def hierarchical_sd_axis(prior: Prior, typical_se: float) -> Axis:
    """Choose the variable for the hierarchical SD s of coefficients.

    Given s, a coefficient is about ``N(0, s**2)`` near ``s = 0``, so that its distribution function at x changes where
    s is of the size of x. A variable that is logarithmic down to a small share of the typical size of s shows that
    change for every x. At ``s = 0`` itself the coefficient would be an atom; an s below the floor changes no digit.
    """
    typical = min(float(prior.ppf(np.array([0.5]))[0]), typical_se)
    axis = tau_axis(prior, _SPIKE * typical)
    return Axis(axis.variable, axis.scan, floor=1e-9 * _SPIKE * typical)


def tau_log_prior(prior: Prior, z: FloatArray, variable: Variable, a: FloatArray, b: FloatArray) -> FloatArray:
    """Log prior density of tau with respect to ``z``.

    Parameters
    ----------
    z : array of shape (n,), or (A, n) for several posteriors
    variable : Variable
        For several posteriors its location and scale have the shape (A, 1).
    a, b : arrays of shape (k,), or (A, 1, k)
        Jeffreys' prior needs the rotated variances ``a + tau**2 b``; the others ignore them.
    """
    tau = variable.x(z)
    kernel = _kernel(prior)
    if isinstance(kernel, LogStudentT):
        # 1 / tau and d tau / dz cancel exactly; computing both would overflow at the ends
        u = np.sinh(z)
        constant = math.lgamma((kernel.df + 1) / 2) - math.lgamma(kernel.df / 2) - 0.5 * math.log(kernel.df * math.pi)
        value = constant - (kernel.df + 1) / 2 * np.log1p(u * u / kernel.df) + np.logaddexp(z, -z) - math.log(2)
        return value - (math.log(prior.mass) if isinstance(prior, Truncated) else 0.0)
    jacobian = variable.log_jacobian(z)
    if prior.name == "jeffreys":
        step = max(1, int(4e6 // a.size))
        information = np.empty_like(tau)
        with np.errstate(divide="ignore", over="ignore"):
            for start in range(0, tau.shape[-1], step):
                part = (..., slice(start, start + step))
                information[part] = np.square(b / (a + np.square(tau[part])[..., None] * b)).sum(axis=-1)
            return np.log(tau) + 0.5 * np.log(information) + jacobian
    low, high = (0.0, math.inf) if prior.name == "flat" else prior.support
    # the map to z and back may leave an end of the support by one unit in the last place
    return prior.logpdf(np.clip(tau, low, high)) + jacobian


def scale_axis(df: float) -> Axis:
    """Choose the variable for the mixing scale of a Student-t prior: ``beta | lambda ~ N(loc, scale**2 lambda)``.

    ``lambda**-0.5``, in which the integrand is a power of that variable times something smooth and Gaussian; where the
    power is not whole, ``log(lambda)``, which any power suits.
    """
    if float(df).is_integer():
        return Axis(
            Variable(),
            np.concatenate([np.geomspace(1e-10, 0.05, 40), np.arange(0.1, 2, 0.1), np.arange(2, 12, 0.5)]),
            True,
        )
    return Axis(Variable(), np.concatenate([np.arange(-8, 8, 0.5), np.arange(8, 40, 1.0), np.arange(40, 400, 8.0)]))


def log_scale(axis: Axis, z: FloatArray) -> FloatArray:
    """Give ``log(lambda)`` at points of a scale's axis."""
    return -2 * np.log(z) if axis.root else z


def scale_log_density(axis: Axis, z: FloatArray, df: float) -> FloatArray:
    """Log density of the variable of a scale's axis, where lambda is inverse gamma(df/2, df/2)."""
    half = df / 2
    constant = half * math.log(half) - math.lgamma(half)
    if axis.root:
        return constant + math.log(2) + (df - 1) * np.log(z) - half * z * z
    return constant - half * z - half * np.exp(-z)


def moment_limit(prior: Prior | None, random_rows: int, flat: int, mu_df: float) -> tuple[int, int, bool]:
    """Which posterior moments exist, from the tails of prior and likelihood.

    As tau grows the likelihood, with p0 flat coefficients integrated out, falls as ``tau**-(k - p0)``: each of the k
    rows contributes ``1 / tau`` and each flat coefficient gives one factor back. A prior that falls as
    ``tau**-power * log(tau)**-q`` makes the posterior fall as ``tau**-(power + k - p0) log(tau)**-q``, so that

    - it is proper if ``power + k - p0 > 1``, or equal to 1 with ``q > 1``;
    - tau has its m-th moment if ``power + k - p0 - m > 1`` (or equal to 1 with ``q > 1``);
    - given tau, a flat mu is as wide as tau and needs the same moment; a mu with a Student-t prior of df degrees of
      freedom needs ``max(0, m - df)`` instead; a normal mu has all moments;
    - ``theta_new`` needs both.

    Study effects always have all moments: given tau they tend to the estimates as tau grows.

    Parameters
    ----------
    prior : Prior or None
        Of tau; None is the common-effect model.
    random_rows : int
        Rows with a random effect of their own (k, less when rho is 1).
    flat : int
        Number of coefficients with a flat prior.
    mu_df : float
        Degrees of freedom of the prior of mu: 0 for flat, infinite for normal.

    Returns
    -------
    tau_moments, mu_moments : int
        Highest existing moment, at most 2.
    proper : bool

    Examples
    --------
    Two trials, flat mu, half-Cauchy tau: means exist, standard deviations do not.

    >>> moment_limit(bm.HalfCauchy(0.5), 2, 1, 0.0)
    (1, 1, True)
    """
    if prior is None:
        return 2, 2, True
    power, log_power = prior.tail
    fall = power + random_rows - flat

    def exists(order: float) -> bool:
        left = fall - order
        return left > 1 or (left == 1 and log_power > 1)

    tau_moments = max((m for m in (0, 1, 2) if exists(m)), default=-1)
    mu_moments = max((m for m in (0, 1, 2) if exists(max(0.0, m - mu_df))), default=-1)
    return max(tau_moments, 0), max(mu_moments, 0), exists(0)


def require_proper(prior: Prior, random_rows: int, flat: int) -> None:
    """Refuse an improper posterior with the reason."""
    if not moment_limit(prior, random_rows, flat, 0.0)[2]:
        raise ModelError(
            f"the posterior is improper: {prior!r} for tau with {random_rows} rows and {flat} flat coefficient"
            f"{'' if flat == 1 else 's'} leaves too little information (k - flat = {random_rows - flat}). "
            f"Use a proper prior for tau, such as {HalfNormal(0.5)!r}, or more trials."
        )


@dataclass(frozen=True, slots=True, eq=False)
class PowerCount:
    """What is left for moments when sets T of standard deviations grow together; see `power_count`.

    Attributes
    ----------
    members : array of bool of shape (sets, S)
        SDs in each set.
    left : array of shape (sets,)
        A moment exists if its exponent is below this for every set.
    grows : array of bool of shape (sets, p)
        Whether a coefficient becomes as wide as the SDs of the set.
    proper : bool
        Whether the posterior is.
    """

    members: NDArray[np.bool_]
    left: FloatArray
    grows: NDArray[np.bool_]
    proper: bool

    def _highest(self, along: NDArray[np.bool_], spare: float) -> int:
        return max((m for m in (0, 1, 2) if m == 0 or np.all(self.left > along * max(0.0, m - spare))), default=0)

    def of_sd(self, number: int) -> int:
        """Highest moment of an SD that exists, at most 2."""
        return self._highest(self.members[:, number], 0.0)

    def of_column(self, column: int, df: float) -> int:
        """Highest moment of a coefficient whose prior has moments below ``df``: 0 for flat, infinite for normal."""
        return self._highest(self.grows[:, column], df)


def power_count(
    priors: Sequence[Prior],
    spaces: Sequence[slice | str | tuple[int, ...]],
    X: FloatArray,
    flat: NDArray[np.bool_],
    cluster: NDArray[np.intp] | None,
) -> PowerCount:
    """Which posterior moments exist with several standard deviations, by power counting.

    Let the SDs in a set T grow together as L. The random effects of T span the columns ``B_T``. With p0 flat
    coefficients (columns ``X0``) integrated out the likelihood falls as ``L**-l(T)`` with ``l(T) = rank([B_T, X0]) -
    p0``, and the priors fall as ``L**-power`` each. The exponents depend on the order of the SDs only, so that an
    integral exists if and only if for every T

        l(T) + sum over T of (power - 1) > the exponent along T of the moment that is requested.

    The m-th moment of an SD has the exponent m in every T that holds it; that of a coefficient where its column lies in
    the span of ``B_T`` and of the other flat columns, so that it becomes as wide as L. With one SD this is
    `moment_limit`.

    It is on the safe side: where both sides are equal the moment counts as not existing, although a logarithm in a
    prior's tail may save it. Proper priors of the SDs are never refused, because the likelihood is bounded.

    Parameters
    ----------
    priors : sequence of Prior
        Of the SDs.
    spaces : sequence of slice, tuple of int or {"rows", "clusters"}
        What each SD scales: one effect per row, of all or of those numbered, one per cluster, or the coefficients of
        some columns of ``X``.
    X : array of shape (k, p)
    flat : array of bool of shape (p,)
        Coefficients with an unbounded flat prior.
    cluster : array of int of shape (k,), optional
        Cluster of each row.

    References
    ----------
    Weinberg S. Phys Rev 1960;118:838-849, the theorem on convergence by counting powers. doi:10.1103/PhysRev.118.838

    Examples
    --------
    Flat priors of mu and of two SDs: four clusters of two rows leave the SD between clusters a mean and no variance.

    >>> cluster = np.repeat(np.arange(4), 2)
    >>> count = power_count([bm.Flat(), bm.Flat()], ["clusters", "rows"], np.ones((8, 1)), np.array([True]), cluster)
    >>> count.proper, count.of_sd(0), count.of_sd(1)
    (True, 1, 2)
    """
    k, p = X.shape
    learned = [space for space in spaces if isinstance(space, slice)]
    none, everything = np.zeros(p, bool), np.arange(p)

    def columns_of(chosen: Sequence[slice | str | tuple[int, ...]]) -> NDArray[np.bool_]:
        mask = none.copy()
        for space in chosen:
            if isinstance(space, slice):
                mask[space] = True
        return mask

    def rank(chosen: Sequence[slice | str | tuple[int, ...]], mask: NDArray[np.bool_]) -> int:
        """Rank of the random effects of some SDs beside some columns."""
        if "rows" in chosen:
            return k
        M = X[:, mask | columns_of(chosen)]
        base = 0
        if "clusters" in chosen and cluster is not None:
            base = int(cluster.max()) + 1
            size = np.bincount(cluster)
            M = M - np.array([np.bincount(cluster, column) / size for column in M.T]).reshape(-1, base).T[cluster]
        moved = [row for space in chosen if isinstance(space, tuple) for row in space]
        if moved:
            base, M = base + len(moved), np.delete(M, moved, axis=0)
        norms = np.sqrt(np.square(X[:, mask | columns_of(chosen)]).sum(axis=0))
        return base + (int(np.linalg.matrix_rank(M / norms, tol=1e-9)) if M.size else 0)

    def growing(column: int, chosen: tuple[slice | str | tuple[int, ...], ...]) -> bool:
        own = next((space for space in learned if space.start <= column < space.stop), None)
        if own is not None and own not in chosen:
            return False
        others = [space for space in chosen if space is not own]
        mask = (flat | columns_of([own] if own else [])) & (everything != column)
        with_it = mask | (everything == column)
        return rank(others, mask) == rank(others, with_it)

    members, left, grows = [], [], []
    for size in range(1, len(priors) + 1):
        for chosen in combinations(range(len(priors)), size):
            inside = tuple(spaces[i] for i in chosen)
            members.append([i in chosen for i in range(len(priors))])
            fall = rank(inside, flat) - int(flat.sum())
            left.append(fall + sum(priors[i].tail[0] - 1 for i in chosen))
            grows.append([growing(column, inside) for column in range(p)])
    remaining = np.array(left, float)
    proper = all(prior.proper for prior in priors) or bool(np.all(remaining > 0))
    return PowerCount(np.array(members, bool), remaining, np.array(grows, bool), proper)
