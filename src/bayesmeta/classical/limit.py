"""Limit meta-analysis: the effect in trials of infinite precision, allowing for small-study effects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bayesmeta.classical.asymmetry import at_least_three, dependence_note, weighted_line
from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.heterogeneity import chi2_sf, heterogeneity_of
from bayesmeta.classical.intervals import interval
from bayesmeta.classical.printing import MeanResult
from bayesmeta.classical.rows import FloatArray, rows_of
from bayesmeta.classical.tau2 import Tau2Method, tau2_of
from bayesmeta.effects import Effects
from bayesmeta.measures import require_null

__all__ = ["LIMIT_FORMS", "LimitMetaAnalysis", "limit_meta_analysis"]

LimitForm = Literal["beta0", "betalim", "mulim"]
LIMIT_FORMS: tuple[LimitForm, ...] = get_args(LimitForm)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LimitMetaAnalysis(MeanResult):
    """A limit meta-analysis. Undefined numbers are None, and `notes` says why.

    Beside what a `MeanResult` has, whose estimate is the adjusted effect.

    Attributes
    ----------
    form : {"beta0", "betalim", "mulim"}
    tau2 : float
    alpha, beta : float
        Intercept and slope of the generalised radial plot: bias per unit of standardised effect, and effect.
    adjusted : ndarray, shape (k,)
        Effects of the trials in the limit of infinite precision.
    q, q_p : float
        Cochran's Q, k - 1 degrees of freedom.
    q_small, q_small_p : float
        What small-study effects explain of it, 1 degree of freedom.
    q_resid, q_resid_p : float
        The rest, k - 2 degrees of freedom.
    g2 : float or None
        Share of the variance of the adjusted effects, on the radial plot, that small-study effects do not explain;
        from 0 to 1.
    """

    form: LimitForm
    tau2: float
    alpha: float
    beta: float
    adjusted: FloatArray
    q: float
    q_p: float
    q_small: float
    q_small_p: float
    q_resid: float
    q_resid_p: float
    g2: float | None


@on_effects(form=LIMIT_FORMS)
def limit_meta_analysis(
    effects: Effects, *, form: LimitForm = "beta0", method: Tau2Method = "REML", level: float = 0.95
) -> LimitMetaAnalysis:
    r"""Adjust for small-study effects by a limit meta-analysis.

    The model is ``y = beta + sqrt(se^2 + tau2) (alpha + e)`` with standard normal e. As precision grows without end a
    trial's effect tends to ``beta + tau alpha + tau e``:

    - "beta0": its expectation ``beta + tau alpha``.
    - "betalim": the slope of the radial plot of the trials' limits
      ``beta + sqrt(tau2 / (se^2 + tau2)) (y - beta)``, with an intercept.
    - "mulim": their mean with weights 1 / se^2.

    Parameters
    ----------
    effects : Effects
        Rows are taken as independent; `notes` says so where they are not.
    form : {"beta0", "betalim", "mulim"}
    method : str
        Estimator of tau2 in the model without alpha, as in `pool`. The authors used "DL".
    level : float

    Returns
    -------
    LimitMetaAnalysis
        The SE of beta0 is that of ``beta + tau alpha`` given tau2. (R metasens used that of "betalim" for it in earlier
        versions.)

    Raises
    ------
    ModelError
        For fewer than three estimates, or standard errors that are all equal.

    References
    ----------
    Ruecker 2011, doi:10.1093/biostatistics/kxq046; Q and G2: doi:10.1002/bimj.201000151.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCDEFGH"), [0.02, 0.3, 0.35, 0.5, 0.8, 0.9, 0.1, 0.6],
    ...                     [0.1, 0.15, 0.2, 0.22, 0.35, 0.4, 0.12, 0.28], measure="SMD")
    >>> round(limit_meta_analysis(trials, method="REML").estimate, 4)
    -0.0004
    """
    require_null(effects.measure, "the limit meta-analysis")
    at_least_three(effects.k, "limit meta-analysis")
    y, se = effects.y, effects.se
    rows = rows_of(y, se)
    tau2 = tau2_of(rows, method)
    spread = heterogeneity_of(rows)
    wide = np.sqrt(se**2 + tau2.value)
    # the line of the radial plot is a regression of y on its SE with weights 1 / SE^2: slope alpha, intercept beta
    line = weighted_line(wide, y, wide**-2)
    tau = math.sqrt(tau2.value)
    alpha, beta = line.slope, line.intercept
    adjusted = beta + (tau / wide) * (y - beta)
    notes = tau2.notes + dependence_note(effects)
    radial = weighted_line(se, adjusted, se**-2)
    if form == "beta0":
        estimate = beta + tau * alpha
        se_found = math.sqrt(line.var_intercept + tau2.value * line.var_slope + 2.0 * tau * line.covariance)
    elif form == "betalim":
        estimate, se_found = radial.intercept, math.sqrt(radial.var_intercept)
    else:
        w = se**-2
        estimate, se_found = float(w @ adjusted / w.sum()), float(w.sum()) ** -0.5
    found = interval(estimate, se_found, level, None)
    z = adjusted / se
    total = float(((z - z.mean()) ** 2).sum())
    g2: float | None = radial.rss / total if total > 0.0 else None
    if g2 is None:
        notes += ("G2: standardised adjusted effects do not vary, so that there is no share to explain",)
    if tau2.value == 0.0:
        notes += ("tau2 = 0: trials of infinite precision would all show the same effect, beta",)
    q_resid = min(weighted_line(se, y, se**-2).rss, spread.q)
    k = effects.k
    return LimitMetaAnalysis(
        form=form,
        level=level,
        k=k,
        estimate=estimate,
        se=se_found,
        **found._asdict(),
        tau2=tau2.value,
        alpha=alpha,
        beta=beta,
        adjusted=adjusted,
        q=spread.q,
        q_p=chi2_sf(spread.q, k - 1),
        q_small=spread.q - q_resid,
        q_small_p=chi2_sf(spread.q - q_resid, 1),
        q_resid=q_resid,
        q_resid_p=chi2_sf(q_resid, k - 2),
        g2=g2,
        notes=notes,
    )
