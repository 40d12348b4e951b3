"""Tests of small-study effects, and effects predicted at a standard error of zero (PET, PEESE).

They ask whether trials with larger standard errors report other effects. Publication bias is one reason of several:
see Sterne 2011, doi:10.1136/bmj.d4002.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.intervals import CiMethod, interval
from bayesmeta.classical.printing import ClassicalResult, MeanResult
from bayesmeta.classical.regression import metaregression
from bayesmeta.classical.rows import ROUNDING, FloatArray
from bayesmeta.classical.tau2 import Tau2Method
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.measures import require_null

__all__ = [
    "EGGER_FORMS",
    "PREDICTORS",
    "AsymmetryTest",
    "PetPeese",
    "WeightedLine",
    "at_least_three",
    "dependence_note",
    "egger_test",
    "harbord_test",
    "pet_peese",
    "peters_test",
    "weighted_line",
]

EggerForm = Literal["weighted", "mixed"]
EGGER_FORMS: tuple[EggerForm, ...] = get_args(EggerForm)
Predictor = Literal["se", "variance", "n", "sqrt_n", "inverse_n", "inverse_sqrt_n", "modified_se"]
PREDICTORS: tuple[Predictor, ...] = get_args(Predictor)

# Predictors that vanish as a trial grows without end, so that the intercept is the effect in such a trial.
VANISHING = ("se", "variance", "inverse_n", "inverse_sqrt_n", "modified_se")


@dataclass(frozen=True, slots=True, repr=False)
class AsymmetryTest(ClassicalResult):
    """A test of small-study effects. Undefined numbers are None, and `notes` says why.

    Attributes
    ----------
    name, form : str
        Which test, and in which form.
    predictor : str or None
        What effects are regressed on.
    level : float
        Level of the intervals.
    k : int
        Estimates that take part.
    estimate, se, lower, upper : float or None
        The slope, or Kendall's tau. A rank correlation has no SE here.
    stat, df, p : float, int, float or None
        t (or z where `df` is None), and the two-sided p value of no small-study effect.
    tau2 : float or None
        Residual between-study variance of the mixed form.
    dispersion : float or None
        Residual variance of the weighted form in units of the sampling variance.
    limit, limit_se, limit_lower, limit_upper, limit_p : float or None
        The effect predicted where the predictor is zero, that is in a trial without sampling error.
    notes : tuple of str
    """

    name: str
    form: str
    predictor: str | None
    level: float
    k: int
    estimate: float
    se: float | None
    lower: float | None
    upper: float | None
    stat: float | None
    df: int | None
    p: float | None
    tau2: float | None = None
    dispersion: float | None = None
    limit: float | None = None
    limit_se: float | None = None
    limit_lower: float | None = None
    limit_upper: float | None = None
    limit_p: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WeightedLine:
    """A weighted straight line ``y = intercept + slope x``.

    Attributes
    ----------
    intercept, slope : float
    var_intercept, var_slope, covariance : float
        Where the variance of y is exactly 1 / w.
    rss : float
        Weighted residual sum of squares; 0 where residuals are rounding.
    """

    intercept: float
    slope: float
    var_intercept: float
    var_slope: float
    covariance: float
    rss: float


def weighted_line(x: ArrayLike, y: ArrayLike, w: ArrayLike) -> WeightedLine:
    """Fit a straight line by weighted least squares.

    Parameters
    ----------
    x, y, w : array_like, shape (k,)
        Weights are inverse variances.

    Returns
    -------
    Line

    Raises
    ------
    ModelError
        Where x does not vary.

    Examples
    --------
    >>> line = weighted_line([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], [1.0, 2.0, 1.0])
    >>> line.intercept, line.slope, line.rss
    (1.0, 2.0, 0.0)
    """
    x, y, w = (np.asarray(values, float) for values in (x, y, w))
    if np.ptp(x) <= ROUNDING * np.abs(x).max():
        raise ModelError("the predictor is the same in every trial, and no line can be drawn. Nothing can be tested.")
    total = float(w.sum())
    # Both centred twice: the second pass removes what rounding left of the first.
    x_mean = float(w @ x) / total
    x_mean += float(w @ (x - x_mean)) / total
    y_mean = float(w @ y) / total
    y_mean += float(w @ (y - y_mean)) / total
    dx, dy = x - x_mean, y - y_mean
    sxx = float(w @ dx**2)
    slope = float(w @ (dx * dy)) / sxx
    residual = dy - slope * dx
    if np.abs(residual).max() <= ROUNDING * np.abs(y).max():
        residual = np.zeros_like(residual)
    return WeightedLine(
        intercept=y_mean - slope * x_mean,
        slope=slope,
        var_intercept=1.0 / total + x_mean**2 / sxx,
        var_slope=1.0 / sxx,
        covariance=-x_mean / sxx,
        rss=float(w @ residual**2),
    )


def dependence_note(effects: Effects) -> tuple[str, ...]:
    """Say that rows of one trial, or rows that share patients, are taken as independent; nothing if there are none.

    Examples
    --------
    >>> dependence_note(effects)
    ()
    """
    if not effects.blocks and effects.n_trials == effects.k:
        return ()
    return (
        f"{effects.k} rows of {effects.n_trials} trials are taken as independent, which they are not: "
        "SEs and p values are too small",
    )


@on_effects(form=EGGER_FORMS, predictor=PREDICTORS)
def egger_test(
    effects: Effects,
    *,
    form: EggerForm = "weighted",
    predictor: Predictor = "se",
    method: Tau2Method = "REML",
    ci: CiMethod = "wald",
    level: float = 0.95,
) -> AsymmetryTest:
    """Regress effects on their standard error, or on another measure of size (Egger's test).

    Parameters
    ----------
    effects : Effects
    form : {"weighted", "mixed"}
        "weighted": least squares with weights 1 / se^2 and an estimated residual variance, t(k - 2), Egger's own test
        (``regtest(model="lm")`` of R metafor). "mixed": meta-regression with additive residual heterogeneity
        (``regtest(model="rma")``); it uses the covariance of rows that share patients.
    predictor : {"se", "variance", "n", "sqrt_n", "inverse_n", "inverse_sqrt_n", "modified_se"}
        n is the number of participants of both arms. "modified_se" is ``sqrt(1 / n_t + 1 / n_c)``, for standardised
        differences, whose SE depends on the effect and makes a funnel asymmetric by construction.
    method, ci : str
        Of the mixed form, as in `metaregression`.
    level : float

    Returns
    -------
    AsymmetryTest
        `estimate` is the slope: how much effects differ per unit of the predictor. A positive slope says that small
        trials report larger effects. `limit` is the intercept where the predictor vanishes with growing size.

    Raises
    ------
    ModelError
        For fewer than three estimates, a predictor that does not vary, or sizes that are not known.

    References
    ----------
    Egger 1997, doi:10.1136/bmj.315.7109.629; Sterne & Egger 2005, doi:10.1002/0470870168.ch6; forms and predictors as
    in R metafor, doi:10.18637/jss.v036.i03; modified SE: Pustejovsky & Rodgers 2019, doi:10.1002/jrsm.1332.

    Examples
    --------
    >>> test = egger_test(effects)  # from -0.1 at a standard error of 0.1 to -0.2, a mean of three, at 0.2
    >>> round(test.estimate, 3), test.df, round(test.p, 3)
    (-1.0, 2, 0.67)
    """
    require_null(effects.measure, "Egger's test")
    at_least_three(effects.k, "Egger's test")
    x = _predictor(effects, predictor)
    if form == "weighted":
        return _line_test(
            "Egger",
            "weighted",
            predictor,
            x,
            effects.y,
            effects.se**-2,
            level,
            dependence_note(effects),
            limit=predictor in VANISHING,
        )
    if np.ptp(x) <= ROUNDING * np.abs(x).max():
        raise ModelError(_CONSTANT.format(predictor=predictor))
    fit = metaregression(effects, X=np.column_stack([np.ones(effects.k), x]), method=method, ci=ci, level=level)
    notes = fit.notes
    if effects.blocks:
        notes += ("rows that share patients enter with their covariance",)
    elif effects.n_trials < effects.k:
        notes += dependence_note(effects)
    limit = predictor in VANISHING
    return AsymmetryTest(
        name="Egger",
        form="mixed",
        predictor=predictor,
        level=level,
        k=effects.k,
        estimate=float(fit.estimate[1]),
        se=float(fit.se[1]),
        lower=float(fit.lower[1]),
        upper=float(fit.upper[1]),
        stat=_known(fit.stat[1]),
        df=fit.df,
        p=_known(fit.p[1]),
        tau2=fit.tau2,
        limit=float(fit.estimate[0]) if limit else None,
        limit_se=float(fit.se[0]) if limit else None,
        limit_lower=float(fit.lower[0]) if limit else None,
        limit_upper=float(fit.upper[0]) if limit else None,
        limit_p=_known(fit.p[0]) if limit else None,
        notes=notes if limit else (*notes, _no_limit(predictor)),
    )


_CONSTANT = "{predictor} is the same in every trial: small-study effects cannot be seen. Nothing can be tested."


def _no_limit(predictor: str) -> str:
    return f"{predictor} does not vanish in a large trial, so that there is no predicted limit"


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def at_least_three(k: int, what: str) -> None:
    """Refuse fewer than three estimates: a line through two has no error."""
    if k < 3:
        raise ModelError(
            f"{what}: k = {k} estimate{'s' if k > 1 else ''}; a slope with an error needs at least 3. "
            "Report that small-study effects could not be looked at."
        )


def _predictor(effects: Effects, predictor: Predictor) -> FloatArray:
    if predictor == "se":
        return effects.se
    if predictor == "variance":
        return effects.se**2
    sizes = effects.n if effects.n is not None else None if effects.counts is None else effects.counts[:, [1, 3]]
    if sizes is None or np.isnan(sizes).any():
        raise ModelError(
            f"predictor = {predictor!r} needs the participants of both arms in every row (Effects.n). "
            'Use predictor="se".'
        )
    if predictor == "modified_se":
        return np.asarray((1.0 / sizes).sum(axis=1) ** 0.5)
    n: FloatArray = sizes.sum(axis=1)
    return {"n": n, "sqrt_n": n**0.5, "inverse_n": 1.0 / n, "inverse_sqrt_n": n**-0.5}[predictor]


def _line_test(
    name: str,
    form: str,
    predictor: str,
    x: FloatArray,
    y: FloatArray,
    w: FloatArray,
    level: float,
    notes: tuple[str, ...],
    *,
    limit: bool = True,
) -> AsymmetryTest:
    """Weighted least squares with an estimated residual variance, as ``lm`` of R."""
    if np.ptp(x) <= ROUNDING * np.abs(x).max():
        raise ModelError(_CONSTANT.format(predictor=predictor))
    line = weighted_line(x, y, w)
    df = len(y) - 2
    dispersion = line.rss / df
    slope = interval(line.slope, (dispersion * line.var_slope) ** 0.5, level, df)
    at_zero = interval(line.intercept, (dispersion * line.var_intercept) ** 0.5, level, df)
    if dispersion == 0.0:
        notes += ("every estimate lies on the line, so that SEs are 0 and the test is not defined",)
    if not limit:
        notes += (_no_limit(predictor),)
    return AsymmetryTest(
        name=name,
        form=form,
        predictor=predictor,
        level=level,
        k=len(y),
        estimate=line.slope,
        se=(dispersion * line.var_slope) ** 0.5,
        lower=slope.lower,
        upper=slope.upper,
        stat=slope.stat,
        df=df,
        p=slope.p,
        dispersion=dispersion,
        limit=line.intercept if limit else None,
        limit_se=(dispersion * line.var_intercept) ** 0.5 if limit else None,
        limit_lower=at_zero.lower if limit else None,
        limit_upper=at_zero.upper if limit else None,
        limit_p=at_zero.p if limit else None,
        notes=notes,
    )


@on_effects()
def peters_test(effects: Effects, *, level: float = 0.95) -> AsymmetryTest:
    """Regress effects on 1 / n with weights from the pooled event rate (Peters' test), for two-arm counts.

    Weights are ``1 / (1 / events + 1 / non-events)`` over both arms. Unlike an SE, neither they nor 1 / n depend on the
    effect, so that the log odds ratio and its predictor are not related by construction.

    Parameters
    ----------
    effects : Effects
        With `counts`.
    level : float

    Returns
    -------
    AsymmetryTest
        t(k - 2). Trials with no event, or with events only, have weight zero and are left out with a note.

    Raises
    ------
    ModelError
        Without counts, for fewer than three trials, or where all trials have one size.

    References
    ----------
    Peters 2006, doi:10.1001/jama.295.6.676.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCD"), [0.1, 0.3, 0.4, 0.9], [0.1, 0.15, 0.25, 0.4], measure="OR",
    ...                     counts=[[50, 200, 46, 200], [40, 120, 32, 120], [20, 60, 15, 60], [12, 30, 6, 30]])
    >>> round(peters_test(trials).estimate, 1)
    53.6
    """
    require_null(effects.measure, "Peters' test")
    counts, kept, notes = _informative_counts(effects, "Peters' test")
    events = counts[:, 0] + counts[:, 2]
    n = counts[:, 1] + counts[:, 3]
    weight = events * (n - events) / n
    return _line_test("Peters", "weighted", "inverse_n", 1.0 / n, effects.y[kept], weight, level, notes)


@on_effects()
def harbord_test(effects: Effects, *, level: float = 0.95) -> AsymmetryTest:
    """Regress Z / V on 1 / sqrt(V) with weights V (Harbord's test), for two-arm counts.

    Z is the score of the log odds ratio at zero, events of the treated arm less those expected, and V its
    hypergeometric variance. Z / V is Peto's log odds ratio.

    Parameters
    ----------
    effects : Effects
        With `counts`; `y` and `se` play no part.
    level : float

    Returns
    -------
    AsymmetryTest
        t(k - 2). Trials with no event, or with events only, have V = 0 and are left out with a note.

    Raises
    ------
    ModelError
        Without counts, for fewer than three trials, or where V is the same in all.

    References
    ----------
    Harbord 2006, doi:10.1002/sim.2380.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCD"), [0.1, 0.3, 0.4, 0.9], [0.1, 0.15, 0.25, 0.4], measure="OR",
    ...                     counts=[[50, 200, 46, 200], [40, 120, 32, 120], [20, 60, 15, 60], [12, 30, 6, 30]])
    >>> round(harbord_test(trials).estimate, 2)
    2.26
    """
    require_null(effects.measure, "Harbord's test")
    counts, _, notes = _informative_counts(effects, "Harbord's test")
    a, n_t, c, n_c = counts.T
    n = n_t + n_c
    events = a + c
    score = a - events * n_t / n
    variance = n_t * n_c * events * (n - events) / (n**2 * (n - 1.0))
    predictor = "1/sqrt(V)"
    return _line_test("Harbord", "weighted", predictor, variance**-0.5, score / variance, variance, level, notes)


def _informative_counts(effects: Effects, what: str) -> tuple[FloatArray, np.ndarray, tuple[str, ...]]:
    if effects.counts is None:
        raise ModelError(f"{what} needs events and participants of both arms (Effects.counts). Use Egger's test.")
    counts = effects.counts
    events = counts[:, 0] + counts[:, 2]
    kept = (events > 0) & (events < counts[:, 1] + counts[:, 3])
    notes = dependence_note(effects)
    if effects.measure != "OR":
        notes += (f"{what} was made for odds ratios; the measure is {effects.measure}",)
    if not kept.all():
        left = ", ".join(effects.label[row] for row in np.flatnonzero(~kept))
        notes += (f"no event, or events only, in both arms: {left} carry no weight and are left out",)
    at_least_three(int(kept.sum()), what)
    return counts[kept], kept, notes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PetPeese(MeanResult):
    """Effects predicted at a standard error of zero, and the one that the rule chooses.

    Beside what a `MeanResult` has, whose estimate is the adjusted effect that was chosen.

    Attributes
    ----------
    form : str
    alpha : float
        Two-sided level of the test of PET's intercept that decides.
    pet, peese : AsymmetryTest
        Regression on se and on se^2; their `limit` is the adjusted effect.
    chosen : {"PET", "PEESE"}
    """

    form: str
    alpha: float
    pet: AsymmetryTest
    peese: AsymmetryTest
    chosen: Literal["PET", "PEESE"]


@on_effects(form=EGGER_FORMS)
def pet_peese(
    effects: Effects,
    *,
    alpha: float = 0.10,
    form: EggerForm = "weighted",
    method: Tau2Method = "REML",
    ci: CiMethod = "wald",
    level: float = 0.95,
) -> PetPeese:
    """Adjust for small-study effects by the intercept of a regression on se (PET) or se^2 (PEESE).

    PET is unbiased where there is no effect and biased towards zero where there is one, PEESE the reverse; the
    conditional estimator is PEESE if PET's intercept differs from zero at `alpha`, else PET.

    Parameters
    ----------
    effects : Effects
    alpha : float
        Two-sided; 0.10 is the one-sided 5 % of the authors, in either direction.
    form : {"weighted", "mixed"}
        "weighted": multiplicative error, t(k - 2), as published. "mixed": additive heterogeneity by `method`, with
        intervals by `ci`.
    method, ci, level
        As in `egger_test`.

    Returns
    -------
    PetPeese

    Raises
    ------
    ModelError
        As `egger_test`.

    References
    ----------
    Stanley & Doucouliagos 2014, doi:10.1002/jrsm.1095; limits of the method: Stanley 2017,
    doi:10.1177/1948550617693062.

    Examples
    --------
    >>> found = pet_peese(effects)  # the line from -0.2 at a standard error of 0.2 to -0.1 at 0.1 ends in zero
    >>> found.chosen, abs(round(found.estimate, 3))
    ('PET', 0.0)
    """
    require_null(effects.measure, "PET-PEESE")
    if not 0.0 < alpha < 1.0:
        raise ModelError(f"alpha = {alpha}: give a probability between 0 and 1, such as 0.10.")
    pet = egger_test(effects, form=form, predictor="se", method=method, ci=ci, level=level)
    peese = egger_test(effects, form=form, predictor="variance", method=method, ci=ci, level=level)
    significant = pet.limit_p is not None and pet.limit_p < alpha
    chosen: Literal["PET", "PEESE"] = "PEESE" if significant else "PET"
    from_fit = peese if significant else pet
    adjusted = (from_fit.limit, from_fit.limit_se, from_fit.limit_lower, from_fit.limit_upper)
    estimate, se, lower, upper = (math.nan if number is None else number for number in adjusted)
    shown = "not defined" if pet.limit_p is None else f"{pet.limit_p:.3g}"
    notes = (
        *from_fit.notes,
        f"rule: PEESE if the p value of PET's intercept is below {alpha:g}, else PET; p is {shown}, hence {chosen}",
        "the choice is made on the same data, so that the interval of the chosen estimate is too narrow",
    )
    for name, test in (("PET", pet), ("PEESE", peese)):
        if test.dispersion is not None and 0.0 < test.dispersion < 1.0:
            notes += (
                f"{name}: residual variance {test.dispersion:.3g} < 1: SEs are smaller than sampling error alone",
            )
    return PetPeese(
        form=form,
        alpha=alpha,
        level=level,
        k=effects.k,
        pet=pet,
        peese=peese,
        chosen=chosen,
        estimate=estimate,
        se=se,
        lower=lower,
        upper=upper,
        stat=estimate / se if se > 0 else None,
        df=from_fit.df,
        p=from_fit.limit_p,
        notes=notes,
    )
