"""Pooling within levels of a moderator, and the test that levels differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.coding import category_levels
from bayesmeta.classical.heterogeneity import chi2_sf
from bayesmeta.classical.intervals import CiMethod
from bayesmeta.classical.pooling import ClassicalFit, pool
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.regression import metaregression
from bayesmeta.classical.rows import FloatArray
from bayesmeta.classical.tau2 import Tau2Method
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name

__all__ = ["SubgroupTest", "subgroup_test"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SubgroupTest(ClassicalResult):
    """Pooled effects per level and the test between them.

    Attributes
    ----------
    by : str
        The moderator.
    levels : tuple of str
        In alphabetical order.
    k : tuple of int
        Estimates per level.
    estimate, se, lower, upper, tau2 : ndarray, shape (levels,)
    q_between, df, p : float, int, float
        Chi-squared test that all levels have the same mean.
    fits : tuple of ClassicalFit
        One per level; empty where tau2 is common.
    notes : tuple of str
    """

    by: str
    levels: tuple[str, ...]
    k: tuple[int, ...]
    estimate: FloatArray
    se: FloatArray
    lower: FloatArray
    upper: FloatArray
    tau2: FloatArray
    q_between: float
    df: int
    p: float
    fits: tuple[ClassicalFit, ...]
    notes: tuple[str, ...]


@on_effects()
def subgroup_test(
    effects: Effects,
    by: str,
    *,
    method: Tau2Method = "REML",
    ci: CiMethod = "wald",
    level: float = 0.95,
    common_tau2: bool = False,
    rho: float = 0.5,
) -> SubgroupTest:
    """Pool within each level of a categorical moderator and test whether levels differ.

    ``Q = sum(w (m - mbar)^2)`` with w = 1/SE^2 of the level means m and chi2(levels - 1) under no difference
    (Borenstein & Higgins 2013, doi:10.1007/s11121-013-0377-7). SEs in Q are the classic ones whatever `ci` is. With
    `common_tau2` one tau2 is estimated over all levels (meta-regression on the levels).

    Parameters
    ----------
    effects : Effects
    by : str
        A categorical moderator.
    method, ci, level, rho
        As in `pool`.
    common_tau2 : bool
        One tau2 for all levels instead of one each. A level with one estimate needs it; else its own estimate and SE
        stand for it, and `notes` says so.

    Returns
    -------
    SubgroupTest

    Raises
    ------
    ModelError
        If the moderator is numeric or has one level, or if rows of one block stand in different levels and tau2 is not
        common (level means would then be dependent).

    Examples
    --------
    >>> found = subgroup_test(effects, "type")  # walk -0.35 (SE**2 1 / 50), yoga -0.06 (1 / 125)
    >>> round(found.q_between, 6), found.df, round(0.29**2 / (1 / 50 + 1 / 125), 6)
    (3.003571, 1, 3.003571)
    """
    by = find_name("moderator", by, effects.moderators, place="of these effects")
    values = effects.moderators[by]
    if values.dtype.kind == "f":
        raise ModelError(f"moderator {by!r} is numeric; use metaregression, or make categories of it.")
    if missing := [str(row + 1) for row, value in enumerate(values) if not isinstance(value, str) or not value.strip()]:
        raise ModelError(f"moderator {by!r} is missing in rows {', '.join(missing)} (counted from 1). Leave them out.")
    levels = tuple(category_levels(values))
    if len(levels) < 2:
        raise ModelError(f"moderator {by!r} has one level, {levels[0]!r}: there is nothing to compare.")
    masks = [values == name for name in levels]
    counts = tuple(int(mask.sum()) for mask in masks)
    df = len(levels) - 1
    if common_tau2:
        X = np.column_stack(masks).astype(float)
        shown = metaregression(effects, X=X, method=method, ci=ci, level=level, rho=rho)
        tested = metaregression(effects, [by], method=method, level=level, rho=rho)
        if tested.qm is None:
            raise ModelError(f"the levels of {by!r} cannot be tested: {'; '.join(tested.notes)}.")
        return SubgroupTest(
            by=by,
            levels=levels,
            k=counts,
            estimate=shown.estimate,
            se=shown.se,
            lower=shown.lower,
            upper=shown.upper,
            tau2=np.full(len(levels), shown.tau2),
            q_between=tested.qm,
            df=df,
            p=chi2_sf(tested.qm, df),
            fits=(),
            notes=shown.notes,
        )
    for members, _ in effects.blocks:
        inside = sorted({str(values[row]) for row in members})
        if len(inside) > 1:
            rows = ", ".join(effects.label[row] for row in members)
            raise ModelError(
                f"{rows} share patients and stand in levels {', '.join(inside)}: level means are dependent. "
                "Use common_tau2=True, which keeps their covariance."
            )
    fits, classic = [], []
    notes: list[str] = []
    for name, mask, count in zip(levels, masks, counts, strict=True):
        part = effects.subset(mask)
        if count == 1 and method != "EE":
            fit = pool(part, method="EE", ci="wald", level=level)
            notes.append(f"{name}: one estimate, which stands for its level with its own SE (no tau2, normal interval)")
        else:
            fit = pool(part, method=method, ci=ci, level=level, rho=rho)
            notes += [f"{name}: {note}" for note in fit.notes]
        fits.append(fit)
        classic.append(fit.se if fit.ci == "wald" else pool(part, method=fit.method, level=level, rho=rho).se)
    estimate = np.array([fit.estimate for fit in fits])
    w = np.array(classic) ** -2.0
    mean = (w @ estimate) / w.sum()
    q = float(w @ (estimate - mean) ** 2)
    return SubgroupTest(
        by=by,
        levels=levels,
        k=counts,
        estimate=estimate,
        se=np.array([fit.se for fit in fits]),
        lower=np.array([fit.lower for fit in fits]),
        upper=np.array([fit.upper for fit in fits]),
        tau2=np.array([fit.tau2 for fit in fits]),
        q_between=q,
        df=df,
        p=chi2_sf(q, df),
        fits=tuple(fits),
        notes=tuple(notes),
    )
