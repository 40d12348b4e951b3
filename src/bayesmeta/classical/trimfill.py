"""Trim and fill: how many trials a symmetric funnel would need, and the effect with them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from bayesmeta.classical.asymmetry import dependence_note
from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.heterogeneity import heterogeneity_of
from bayesmeta.classical.intervals import CiMethod
from bayesmeta.classical.pooling import ClassicalFit, pool_rows
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.rows import FloatArray, moments, rows_of
from bayesmeta.classical.tau2 import Tau2Method, tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.measures import require_null

__all__ = ["FILL_ESTIMATORS", "SIDES", "FillEstimator", "TrimFill", "trim_and_fill"]

FillEstimator = Literal["L0", "R0", "Q0"]
FILL_ESTIMATORS: tuple[FillEstimator, ...] = get_args(FillEstimator)
Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)
MAX_ROUNDS = 100


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrimFill(ClassicalResult):
    """Trim and fill. Undefined numbers are None, and `notes` says why.

    Attributes
    ----------
    estimator : {"L0", "R0", "Q0"}
    side : {"left", "right"}
        Where trials are thought to be missing.
    k, k0 : int
        Trials observed, and trials filled in.
    se_k0 : float or None
        Standard error of the number before rounding.
    p_k0 : float or None
        One-sided p value of no missing trials; R0 only.
    y, se : ndarray, shape (k + k0,)
        Observed estimates, then those filled in.
    filled : ndarray of bool, shape (k + k0,)
    fit : ClassicalFit
        Of all k + k0; the interval takes filled trials for observed ones.
    notes : tuple of str
    """

    estimator: FillEstimator
    side: Side
    k: int
    k0: int
    se_k0: float | None
    p_k0: float | None
    y: FloatArray
    se: FloatArray
    filled: np.ndarray
    fit: ClassicalFit
    notes: tuple[str, ...] = ()


@on_effects(estimator=FILL_ESTIMATORS, side=SIDES)
def trim_and_fill(
    effects: Effects,
    *,
    estimator: FillEstimator = "L0",
    side: Side | None = None,
    method: Tau2Method = "REML",
    ci: CiMethod = "wald",
    level: float = 0.95,
) -> TrimFill:
    """Fill in the mirror images of the trials that make a funnel asymmetric.

    Trims the most extreme trials on one side until their estimated number no longer changes, then adds the mirror image
    of each about the trimmed mean and pools all (``trimfill`` of R metafor).

    Parameters
    ----------
    effects : Effects
        Rows are taken as independent; `notes` says so where they are not.
    estimator : {"L0", "R0", "Q0"}
        Of the number of missing trials. R0 rests on the run of extreme ranks on one side, L0 and Q0 on a rank sum.
    side : {"left", "right"}, optional
        Where trials are missing. If left out: "right" where the slope of effects on their SE (meta-regression by
        `method`) is negative, else "left".
    method, ci, level
        As in `pool`.

    Returns
    -------
    TrimFill

    Raises
    ------
    ModelError
        For one estimate, where a side cannot be chosen from the data, and where the estimator is not defined.
    InferenceError
        If the number of missing trials does not settle.

    References
    ----------
    Duval & Tweedie 2000, doi:10.1111/j.0006-341X.2000.00455.x and doi:10.1080/01621459.2000.10473905.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCDEF"), [0.1, 0.3, 0.35, 0.5, 0.8, 0.9], [0.1, 0.15, 0.2, 0.22, 0.35, 0.4],
    ...                     measure="SMD")
    >>> found = trim_and_fill(trials)
    >>> found.side, found.k0, round(found.fit.estimate, 4)
    ('left', 3, 0.2165)
    """
    require_null(effects.measure, "trim and fill")
    y, se = effects.y, effects.se
    if effects.k == 1:
        raise ModelError("trim and fill: one estimate has no funnel. Report it as it is.")
    notes = dependence_note(effects)
    if side is None:
        side = _chosen_side(y, se, method)
        notes += (f"side: {side}, chosen from the slope of effects on their SE",)
    flip = -1.0 if side == "right" else 1.0
    order = np.argsort(flip * y, kind="stable")
    turned, errors = flip * y[order], se[order]
    k0, centre, se_k0 = _settle(turned, errors, estimator, method)
    taken = slice(effects.k - k0, effects.k)
    all_y = np.concatenate([y, flip * (2.0 * centre - turned[taken])])
    all_se = np.concatenate([se, errors[taken]])
    rows = rows_of(all_y, all_se)
    fit = pool_rows(rows, heterogeneity_of(rows), tau2_of(rows, method), ci, level)
    if se_k0 is None:
        notes += (f"{estimator}: the variance of the number of missing trials is negative, so that it has no SE",)
    if k0:
        notes += (
            "filled trials are mirror images and not data: the interval is too narrow, and other reasons for asymmetry "
            "than missing trials are not considered",
        )
    return TrimFill(
        estimator=estimator,
        side=side,
        k=effects.k,
        k0=k0,
        se_k0=se_k0,
        p_k0=0.5 ** (k0 + 1) if estimator == "R0" else None,
        y=all_y,
        se=all_se,
        filled=np.arange(effects.k + k0) >= effects.k,
        fit=replace(fit, notes=fit.notes + dependence_note(effects)),
        notes=notes,
    )


def _chosen_side(y: FloatArray, se: FloatArray, method: Tau2Method) -> Side:
    if np.ptp(se) == 0.0 or len(y) < 3:
        why = "all standard errors are equal" if np.ptp(se) == 0.0 else f"k = {len(y)} estimates say nothing"
        raise ModelError(f'trim and fill: {why}, so that a side cannot be chosen. Give side="left" or side="right".')
    rows = rows_of(y, se, np.column_stack([np.ones(len(y)), se]))
    at = moments(rows, [tau2_of(rows, method).value])
    slope = float((rows.start + np.linalg.solve(rows.triangle, at.gamma[0]))[1])
    return "right" if slope < 0 else "left"


def _settle(
    y: FloatArray, se: FloatArray, estimator: FillEstimator, method: Tau2Method
) -> tuple[int, float, float | None]:
    """Trim from the right until the number of missing trials repeats; y ascends. Returns number, centre and SE."""
    k, k0 = len(y), 0
    for _ in range(MAX_ROUNDS):
        centre = _centre(y[: k - k0], se[: k - k0], method)
        distance = y - centre
        ranks = np.empty(k)
        ranks[np.argsort(np.abs(distance), kind="stable")] = np.arange(1, k + 1)
        found, se_k0 = _missing(ranks * np.sign(distance), estimator)
        before, k0 = k0, max(0, round(found))
        if k0 == before:
            return k0, centre, se_k0
        if k0 >= k:
            raise ModelError(f"trim and fill: {estimator} would trim all of k = {k} trials. Use another estimator.")
    raise InferenceError(
        f"trim and fill: the number of missing trials did not settle in {MAX_ROUNDS} rounds. Use another estimator."
    )


def _centre(y: FloatArray, se: FloatArray, method: Tau2Method) -> float:
    rows = rows_of(y, se)
    tau2 = 0.0 if rows.k == 1 else tau2_of(rows, method).value
    return float(rows.start[0] + moments(rows, [tau2]).gamma[0, 0] / rows.triangle[0, 0])


def _missing(signed: FloatArray, estimator: FillEstimator) -> tuple[float, float | None]:
    """Estimated number of missing trials from signed ranks, before rounding, and its SE."""
    k = len(signed)
    if estimator == "R0":
        if not (signed < 0).any():
            raise ModelError("trim and fill: R0 needs an estimate below the centre. Use L0.")
        k0 = k - float((-signed[signed < 0]).max()) - 1.0
        return k0, math.sqrt(2.0 * max(0.0, k0) + 2.0)
    total = float(signed[signed > 0].sum())
    if estimator == "L0":
        k0 = (4.0 * total - k * (k + 1.0)) / (2.0 * k - 1.0)
        scale = 4.0 / (2.0 * k - 1.0)
    else:
        inside = 2.0 * k**2 - 4.0 * total + 0.25
        if inside < 0.0:
            raise ModelError("trim and fill: Q0 is not defined, too many of the large ranks are on one side. Use L0.")
        k0 = k - 0.5 - math.sqrt(inside)
        below = (k - 0.5) ** 2 - k0 * (2.0 * k - k0 - 1.0)
        scale = 2.0 / math.sqrt(below) if below > 0.0 else math.nan
    variance = (
        k * (k + 1.0) * (2.0 * k + 1.0)
        + 10.0 * k0**3
        + 27.0 * k0**2
        + 17.0 * k0
        - 18.0 * k * k0**2
        - 18.0 * k * k0
        + 6.0 * k**2 * k0
    ) / 24.0
    if variance < 0.0 or math.isnan(scale):
        return k0, None
    return k0, scale * math.sqrt(variance)
