"""Location-scale models: heterogeneity that depends on moderators, as the mean effect does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.coding import treatment_design
from bayesmeta.classical.heterogeneity import chi2_sf
from bayesmeta.classical.intervals import interval_arrays
from bayesmeta.classical.printing import CoefficientsResult
from bayesmeta.classical.rows import FloatArray
from bayesmeta.classical.tau2 import estimate_tau2
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.numerics import ascend

__all__ = ["LocationScale", "location_scale"]

LikelihoodMethod = Literal["ML", "REML"]
# a tau2 below this share of the typical sampling variance changes no digit of the likelihood that is looked at
_NOTHING = 1e-8
# nats of tau2 per step: the likelihood has a saddle where all heterogeneity is in one group
_STEP = 2.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LocationScale(CoefficientsResult):
    """A location-scale model. Undefined numbers are None (nan inside arrays), and `notes` says why.

    Beside what a `CoefficientsResult` has, of the mean effect:

    Attributes
    ----------
    method : str
    scale_terms : tuple of str
    scale, scale_se, scale_stat, scale_p : ndarray, shape (q,)
        Coefficients of log(tau2), with Wald tests. Not numbers where tau2 of some row is zero.
    tau2 : ndarray, shape (k,)
        Of every row.
    loglik : float
    lrt, lrt_df, lrt_p : float, int, float or None
        Likelihood ratio test against one tau2.
    """

    method: LikelihoodMethod
    scale_terms: tuple[str, ...]
    scale: FloatArray
    scale_se: FloatArray
    scale_stat: FloatArray
    scale_p: FloatArray
    tau2: FloatArray
    loglik: float
    lrt: float
    lrt_df: int
    lrt_p: float | None


def _at(
    y: FloatArray, v: FloatArray, X: FloatArray, Z: FloatArray, alpha: FloatArray, *, restricted: bool
) -> tuple[float, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Log likelihood, its gradient and curvature in alpha; coefficients of the mean and their covariance."""
    tau2 = np.exp(np.clip(Z @ alpha, -600.0, 600.0))
    w = 1 / (v + tau2)
    R = np.linalg.qr(X * np.sqrt(w)[:, None], mode="r")
    cov = np.linalg.inv(R.T @ R)
    beta = cov @ (X.T @ (w * y))
    residual = y - X @ beta
    k, p = X.shape
    loglik = 0.5 * float(np.log(w).sum() - w @ residual**2)
    P = np.diag(w) - (w[:, None] * X) @ cov @ (X * w[:, None]).T
    T = P if restricted else np.diag(w)
    if restricted:
        loglik += 0.5 * float(np.linalg.slogdet(X.T @ X)[1]) - float(np.log(np.abs(np.diag(R))).sum())
    loglik -= 0.5 * (k - p if restricted else k) * math.log(2 * math.pi)
    u = w * residual
    D = Z * tau2[:, None]
    pull = 0.5 * (np.square(u) - np.diag(T))
    gradient = D.T @ pull
    curvature = D.T @ (P * np.outer(u, u)) @ D - 0.5 * D.T @ (T * T) @ D - Z.T @ (D * pull[:, None])
    return loglik, gradient, curvature, beta, cov


@on_effects(method=get_args(LikelihoodMethod))
def location_scale(
    effects: Effects,
    moderators: Sequence[str],
    scale: Sequence[str] | None = None,
    *,
    method: LikelihoodMethod = "REML",
    level: float = 0.95,
) -> LocationScale:
    """Let mean and heterogeneity depend on moderators: ``y ~ N(X beta, se^2 + tau2)``, ``log(tau2) = Z alpha``.

    Parameters
    ----------
    effects : Effects
        Without rows that share patients.
    moderators : sequence of str
        Of the mean effect, as in `metaregression`.
    scale : sequence of str, optional
        Of the heterogeneity; default the same.
    method : {"REML", "ML"}
    level : float

    Returns
    -------
    LocationScale
        With Wald intervals and tests, as R metafor's ``rma(yi, vi, mods = ~ x, scale = ~ x)`` has them.

    Raises
    ------
    ModelError
        For rows that share patients, a design without full column rank, and fewer rows than parameters.

    References
    ----------
    Viechtbauer W, Lopez-Lopez JA. Res Synth Methods 2022;13:697-715. doi:10.1002/jrsm.1562

    Examples
    --------
    >>> found = location_scale(effects, ["timing"], [])
    >>> found.scale_terms, found.lrt
    (('intercept',), 0.0)
    """
    if effects.blocks:
        raise ModelError(
            "location_scale is not defined for estimates that share patients (blocks): R metafor has no counterpart. "
            "A Bayesian model with tau_by is."
        )
    names = [moderators, moderators if scale is None else scale]
    for name, given in zip(("moderators", "scale"), names, strict=True):
        if isinstance(given, str):
            raise ModelError(f"{name} must be a list of names: [{given!r}].")
    k = effects.k
    mean, spread = (treatment_design(effects.moderators, given, k) for given in names)
    X, Z, y, v = mean.X, spread.X, effects.y, np.square(effects.se)
    if k <= X.shape[1] + 1 or k < X.shape[1] + Z.shape[1]:
        raise ModelError(
            f"{k} estimates are too few for {X.shape[1]} coefficients of the mean and {Z.shape[1]} of tau2."
        )
    restricted = method == "REML"
    # columns of one size, so that steps and bounds mean the same for all
    centre = Z.mean(axis=0) * (np.ptp(Z, axis=0) > 0)
    size = np.where(np.ptp(Z, axis=0) > 0, np.maximum(Z.std(axis=0), 1e-300), 1.0)
    scaled = (Z - centre) / size
    floor = _NOTHING * float(np.median(v))

    def at(points: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        found = [_at(y, v, X, scaled, point, restricted=restricted)[:3] for point in points]
        return tuple(np.array(item) for item in zip(*found, strict=True))  # type: ignore[return-value]

    null = estimate_tau2(y, effects.se, X, method=method).value
    start = math.log(max(null, 0.05 * float(np.median(v))))
    starts = np.zeros((1 + 2 * (Z.shape[1] - 1), Z.shape[1]))
    starts[:, 0] = start
    for j in range(1, Z.shape[1]):
        starts[2 * j - 1, j], starts[2 * j, j] = 1.0, -1.0
    points, length = ascend(at, starts, most=_STEP, steps=400)
    values = at(points)[0]
    alpha = points[int(np.argmax(values))]
    if length[int(np.argmax(values))] > 1e-8 and math.exp(float((scaled @ alpha).min())) > floor:
        raise InferenceError("the heterogeneity of a location-scale model was not found; use fewer moderators of it.")
    loglik, _, curvature, beta, cov = _at(y, v, X, scaled, alpha, restricted=restricted)
    tau2 = np.exp(np.maximum(scaled @ alpha, -700.0))
    gone = tau2 < floor
    notes: tuple[str, ...] = ()
    tau2[gone] = 0.0
    # of the coefficients as they are asked for
    back = np.diag(1 / size)
    back[0] -= centre / size
    estimate, scale_se = back @ alpha, np.full(size.size, np.nan)
    if gone.any():
        estimate = np.full(size.size, np.nan)
        notes = (f"tau2 is 0 in {int(gone.sum())} of {k} rows, so that log(tau2) has no coefficients there",)
    else:
        scale_se = np.sqrt(np.diagonal(back @ np.linalg.inv(curvature) @ back.T))
    common = np.zeros(size.size)
    common[0] = math.log(null) if null > 0 else -600.0
    lrt = max(2 * (loglik - _at(y, v, X, scaled, common, restricted=restricted)[0]), 0.0)
    df = size.size - 1
    se = np.sqrt(np.diagonal(cov))
    return LocationScale(
        method=method,
        level=level,
        k=k,
        terms=mean.terms,
        estimate=beta,
        se=se,
        **interval_arrays(beta, se, level, None),
        vcov=cov,
        scale_terms=spread.terms,
        scale=estimate,
        scale_se=scale_se,
        scale_stat=estimate / scale_se,
        scale_p=2 * special.ndtr(-np.abs(estimate / scale_se)),
        tau2=tau2,
        loglik=loglik,
        lrt=lrt if df else 0.0,
        lrt_df=df,
        lrt_p=chi2_sf(lrt, df) if df else None,
        notes=notes,
    )
