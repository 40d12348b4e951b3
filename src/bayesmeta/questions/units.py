"""Effects in units that people know: points of an instrument and absolute risks.

A standardised effect times the standard deviation S of a familiar instrument is an effect in its points. Neither S nor
the instrument's smallest important difference M is known exactly; where they are distributions,

    P(s theta S >= M) = E[ P(s theta >= M / S) ],

an average of exact posterior probabilities over S and M, which are independent of theta. A ratio or a risk difference
and a risk without treatment make a risk with treatment, which increases with the effect, so that its quantiles are
those of the effect; where the risk without treatment is a distribution, its distribution function is an average too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, distribution
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import (
    BaselineRisk,
    NaturalUnit,
    PointsThreshold,
    WeightedValues,
    invert,
    ratio,
    thinned,
    weighted_values,
)
from bayesmeta.questions.benefit import direction
from bayesmeta.questions.summary import predict
from bayesmeta.questions.thresholds import ANY

__all__ = [
    "RISK_MEASURES",
    "STANDARDISED",
    "TARGETS",
    "Target",
    "absolute_risk",
    "natural_table",
    "noted",
    "number_needed",
    "points_of",
    "risk_parts",
    "risk_quantiles",
    "risk_table",
    "risks_of",
]

FloatArray = NDArray[np.float64]

#: Measures that a baseline risk turns into an absolute one.
RISK_MEASURES = ("OR", "RR", "RD", "HR")
STANDARDISED = ("SMD", "SMDH")
Target = Literal["mean effect", "new study"]
TARGETS: tuple[tuple[Target, str], ...] = (("mean effect", "mu"), ("new study", "theta_new"))
_NATURAL_COLUMNS = [
    "unit",
    "sd",
    "sd_form",
    "mid",
    "mid_form",
    "target",
    "median",
    "lower",
    "upper",
    "p_any_benefit",
    "p_important_benefit",
    "p_trivial",
    "p_important_harm",
    "mid_units",
    "mid_units_lower",
    "mid_units_upper",
    "level",
    "source",
    "note",
]
_RISK_COLUMNS = [
    "baseline",
    "form",
    "target",
    "per",
    "without",
    "without_lower",
    "without_upper",
    "with_treatment",
    "with_lower",
    "with_upper",
    "difference",
    "difference_lower",
    "difference_upper",
    "p_important",
    "nnt",
    "level",
    "source",
    "note",
]


def noted(columns: Sequence[str], note: str) -> pd.DataFrame:
    """One line whose numbers are missing, with the reason."""
    texts = ("unit", "sd_form", "mid_form", "target", "source", "baseline", "form", "nnt", "assumption")
    row = {name: "" if name in texts else note if name == "note" else math.nan for name in columns}
    return pd.DataFrame([row], columns=list(columns))


# -- points of an instrument -------------------------------------------------------------------------------------------


def natural_table(
    fit: Fit,
    unit: NaturalUnit | None = None,
    *,
    thresholds: Sequence[PointsThreshold] | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """A standardised effect in the points of a familiar instrument, with what is not known of its SD.

    Parameters
    ----------
    fit : Fit
        Of a standardised mean difference, with a direction.
    unit : NaturalUnit, optional
        Default: that of the fit's outcome. An ``sd`` with ``sd_se`` is log-normal with median ``sd`` and coefficient of
        variation ``sd_se / sd``.
    thresholds : sequence of PointsThreshold, optional
        In points; default the unit's own.
    level : float

    Returns
    -------
    pandas.DataFrame
        One line per SD, threshold and target (``mean effect``, ``new study``). Columns ``unit sd sd_form mid
        mid_form target median lower upper p_any_benefit p_important_benefit p_trivial p_important_harm mid_units
        mid_units_lower mid_units_upper level source note``. A range gives lines for its ``low end`` and ``high end``, a
        distribution one line ``averaged`` over it, where ``sd`` and ``mid`` are its means. ``median lower upper`` point
        as the instrument does; ``mid_units`` count thresholds in the direction of benefit. What cannot be told is a
        missing number whose ``note`` says why.

    Raises
    ------
    ModelError
        For what is no unit; other reasons stand in the table, under ``note``.

    References
    ----------
    Thorlund K et al. Res Synth Methods 2011;2:188-203. doi:10.1002/jrsm.46; Guyatt GH et al. GRADE guidelines 13.
    J Clin Epidemiol 2013;66:173-183. doi:10.1016/j.jclinepi.2012.08.001

    Examples
    --------
    >>> unit = NaturalUnit("FACIT-Fatigue", 10.0, "an example", better="higher")
    >>> natural_table(bm.fit(effects, bm.Model(bm.Flat(), None)), unit).loc[0, ["median", "lower"]].round(3).tolist()
    [1.429, -0.053]
    """
    chosen = unit or (fit.outcome.decision.natural_unit if fit.outcome is not None else None)
    try:
        if fit.effects.measure not in STANDARDISED:
            raise ModelError(
                f"{fit.effects.measure}: only a standardised mean difference is told in points of another instrument; "
                "a mean difference is in points already."
            )
        if chosen is None:
            raise ModelError("no instrument is stated: give a NaturalUnit with its SD and the SD's source.")
        sign, p = direction(fit), interval_ends(level)
    except ModelError as error:
        return noted(_NATURAL_COLUMNS, str(error))
    flip = 1 if chosen.better in (None, fit.effects.better) else -1
    table = predict(fit, level=level)
    stated = thresholds if thresholds is not None else [chosen.mid] if chosen.mid is not None else []
    rows = []
    for sd in weighted_values(chosen.sd_amount):
        points = {name: points_of(fit, name, table, sd.values, sd.weights, p) for _, name in TARGETS}
        for item, mid, worse in _thresholds(stated):
            for target, name in TARGETS:
                lower, median, upper = np.sort(flip * points[name])
                row: dict[str, Any] = dict.fromkeys(_NATURAL_COLUMNS, math.nan)
                row |= {
                    "unit": chosen.name,
                    "sd": sd.mean,
                    "sd_form": sd.form,
                    "mid_form": "",
                    "target": target,
                    "median": median,
                    "lower": lower,
                    "upper": upper,
                    "level": level,
                    "source": chosen.sd_source,
                    "p_any_benefit": min(float(distribution(fit, name, [sign * ANY], upper=sign > 0)[0]), 1.0),
                    "note": "",
                }
                if mid is None or worse is None:
                    row["note"] = "no smallest important difference in points is stated"
                else:
                    row |= _against(fit, name, sign, sd, mid, worse, table, p)
                    row["source"] = f"SD: {chosen.sd_source}; threshold: {item.source} ({item.kind})"
                rows.append(row)
    return pd.DataFrame(rows, columns=_NATURAL_COLUMNS)


def _thresholds(
    stated: Sequence[PointsThreshold],
) -> Iterable[tuple[Any, WeightedValues | None, WeightedValues | None]]:
    if not stated:
        yield None, None, None
    for item in stated:
        benefit = weighted_values(item.benefit)
        worse = benefit if item.worse is None else weighted_values(item.worse)
        # a range beside a number: the number stands at both ends
        for i in range(max(len(benefit), len(worse))):
            yield item, benefit[min(i, len(benefit) - 1)], worse[min(i, len(worse) - 1)]


def points_of(
    fit: Fit, name: str, table: pd.DataFrame, factor: FloatArray, weights: FloatArray, p: FloatArray
) -> FloatArray:
    """Quantiles of an effect times an independent positive factor."""
    effect = table.loc[name, ["lower", "median", "upper"]].to_numpy(float)
    if factor.size == 1:
        return effect * factor[0]

    def below(x: FloatArray) -> FloatArray:
        return distribution(fit, name, x[:, None] / factor) @ weights

    # the interval of the effect times the extremes of the factor, widened until it holds the quantiles
    reach = np.abs(effect).max() + np.ptp(effect)
    high = reach * factor[int(np.argmax(weights))]
    while not (below(np.array([-high]))[0] < p[0] and below(np.array([high]))[0] > p[-1]):
        high *= 2
    return invert(below, p, -high, high)


def _against(
    fit: Fit,
    name: str,
    sign: int,
    sd: WeightedValues,
    mid: WeightedValues,
    worse: WeightedValues,
    table: pd.DataFrame,
    p: FloatArray,
) -> dict[str, Any]:
    """Probabilities beyond a threshold in points, and the effect in units of it."""
    if sd.values.size > 1 and mid.values.size > 1:
        sd, mid, worse = (thinned(part) for part in (sd, mid, worse))
    edges, weights = ratio(mid, sd)
    important = min(float(weights @ distribution(fit, name, sign * edges, upper=sign > 0)), 1.0)
    harm_edges, harm_weights = ratio(worse, sd)
    harm = min(float(harm_weights @ distribution(fit, name, -sign * harm_edges, upper=sign < 0)), 1.0)
    factor, shares = ratio(sd, mid)
    lower, median, upper = np.sort(sign * points_of(fit, name, table, factor, shares, p))
    return {
        "mid": mid.mean,
        "mid_form": mid.form,
        "p_important_benefit": important,
        "p_important_harm": harm,
        "p_trivial": max(0.0, 1.0 - important - harm),
        "mid_units": median,
        "mid_units_lower": lower,
        "mid_units_upper": upper,
    }


# -- absolute risk -----------------------------------------------------------------------------------------------------


def absolute_risk(measure_name: str, baseline: ArrayLike, effect: ArrayLike) -> FloatArray:
    """Risk with treatment, from the risk without it and an effect on the analysis scale.

    Odds ratio: ``p0 OR / (1 - p0 + p0 OR)``; risk ratio: ``p0 RR``; risk difference: ``p0 + RD``; hazard ratio, with
    proportional hazards until the time of the risk: ``1 - (1 - p0)^HR``; standardised difference, of scores that are
    normal with equal SDs and a share ``p0`` beyond some score: ``Phi(Phi^-1(p0) + d)``.

    Parameters
    ----------
    measure_name : {"OR", "RR", "RD", "HR", "SMD", "SMDH"}
    baseline : array
        Between 0 and 1.
    effect : array
        Log ratio, or risk difference.

    Returns
    -------
    array
        Not cut at 0 or 1: a risk ratio or difference may lead beyond.

    Raises
    ------
    ModelError
        For other measures.

    References
    ----------
    Furukawa TA, Leucht S. PLoS One 2011;6:e19070. doi:10.1371/journal.pone.0019070 (of a standardised difference)

    Examples
    --------
    >>> absolute_risk("OR", 0.2, np.log(0.5)).round(4).item()
    0.1111
    """
    p, x = np.asarray(baseline, float), np.asarray(effect, float)
    if measure_name not in RISK_MEASURES + STANDARDISED:
        raise ModelError(f"{measure_name}: absolute risks follow from {', '.join(RISK_MEASURES + STANDARDISED)}.")
    if measure_name in STANDARDISED:
        return np.asarray(special.ndtr(special.ndtri(p) + x))
    if measure_name == "OR":
        return np.asarray(special.expit(special.logit(p) + x))
    if measure_name == "RD":
        return p + x
    with np.errstate(over="ignore"):
        return p * np.exp(x) if measure_name == "RR" else -np.expm1(np.log1p(-p) * np.exp(x))


def _effect_at(measure_name: str, baseline: FloatArray, risk: FloatArray) -> FloatArray:
    """The effect that leads from one risk to another, the inverse of `absolute_risk`; infinite where none does."""
    if measure_name == "RD":
        return risk - baseline
    with np.errstate(divide="ignore", invalid="ignore"):
        if measure_name == "RR":
            return np.where(risk > 0, np.log(np.maximum(risk, 0) / baseline), -np.inf)
        inside = np.clip(risk, 0.0, 1.0)
        if measure_name in STANDARDISED:
            return np.asarray(special.ndtri(inside) - special.ndtri(baseline))
        if measure_name == "OR":
            return np.asarray(special.logit(inside) - special.logit(baseline))
        return np.log(np.log1p(-inside) / np.log1p(-baseline))


def risks_of(fit: Fit, risks: Sequence[BaselineRisk] | float | None) -> Sequence[BaselineRisk]:
    """Risks without treatment: those given, else those of the outcome of the fit."""
    if risks is None:
        return fit.outcome.decision.baseline_risk if fit.outcome is not None else ()
    return [BaselineRisk("baseline", float(risks), "stated by the user")] if isinstance(risks, (int, float)) else risks


def risk_table(
    fit: Fit,
    risks: Sequence[BaselineRisk] | float | None = None,
    *,
    per: float = 1000,
    important: float | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Absolute risks without and with treatment, and their difference, per so many people.

    Parameters
    ----------
    fit : Fit
        Of an odds ratio, risk ratio, risk difference or hazard ratio.
    risks : sequence of BaselineRisk or float, optional
        Risks without treatment; default those of the fit's outcome. A distribution is taken to be independent of the
        effect.
    per : float
        People.
    important : float, optional
        Smallest difference that matters, per ``per`` people in the direction of benefit.
    level : float

    Returns
    -------
    pandas.DataFrame
        One line per baseline risk and target (``mean effect``, ``new study``); a range has lines for its ``low end``
        and ``high end``, a distribution one that is ``averaged``. Columns ``baseline form target per without
        without_lower without_upper with_treatment with_lower with_upper difference difference_lower difference_upper
        p_important nnt level source note``: medians with central intervals. ``nnt`` is text, in which an interval that
        holds no difference passes through infinity; it needs a direction.

    Raises
    ------
    ModelError
        For what is no risk; other reasons stand in the table, under ``note``.

    References
    ----------
    Guyatt GH et al. GRADE guidelines 12. J Clin Epidemiol 2013;66:158-172. doi:10.1016/j.jclinepi.2012.01.012;
    Altman DG. BMJ 1998;317:1309-1312. doi:10.1136/bmj.317.7168.1309

    Examples
    --------
    >>> effects = bm.Effects(["A", "B"], [-0.8, -0.5], [0.2, 0.1], measure="RR", better="lower")
    >>> table = risk_table(bm.fit(effects, bm.Model(bm.Flat(), None)), 0.2)
    >>> table.loc[0, ["without", "with_treatment", "difference"]].round(1).tolist()
    [200.0, 114.2, -85.8]
    """
    kind = fit.effects.measure
    stated = risks_of(fit, risks)
    try:
        if kind not in RISK_MEASURES:
            raise ModelError(f"{kind}: absolute risks follow from {', '.join(RISK_MEASURES)}.")
        if not stated:
            raise ModelError("no risk without treatment is stated: give one, for example 0.2, with its source.")
        if not per > 0:
            raise ModelError(f"per = {per}: give a positive number of people.")
        p = interval_ends(level)
        parts = [(item, part) for item in stated for part in risk_parts(item)]
    except ModelError as error:
        return noted(_RISK_COLUMNS, str(error))
    table = predict(fit, level=level)
    sign = {None: 0, "higher": 1, "lower": -1}[fit.effects.better]
    rows = []
    for item, part in parts:
        for target, name in TARGETS:
            without, treated, difference = risk_quantiles(fit, name, kind, part, table, p)
            row: dict[str, Any] = dict(zip(_RISK_COLUMNS[:4], (item.name, part.form, target, per), strict=True))
            notes = [] if sign else ["the direction is not stated: no number needed to treat"]
            if treated[2] > 1 - 1e-12 or treated[0] < 1e-12:
                notes.append("the effect leads beyond a risk of 0 or 1, where it cannot hold; risks are cut there")
            for head, values in (("without", without), ("with", np.clip(treated, 0, 1)), ("difference", difference)):
                names = (f"{head}_lower", "with_treatment" if head == "with" else head, f"{head}_upper")
                row |= dict(zip(names, (per * values).tolist(), strict=True))
            row["p_important"] = math.nan
            if important is not None and sign:
                row["p_important"] = _p_difference(fit, name, kind, part, sign, important / per)
            row["nnt"] = number_needed(sign * difference) if sign else ""
            rows.append({**row, "level": level, "source": item.source, "note": "; ".join(notes)})
    return pd.DataFrame(rows, columns=_RISK_COLUMNS)


def risk_parts(item: BaselineRisk) -> list[WeightedValues]:
    """The weighted values of a risk: both ends of a range, the nodes of a distribution.

    Raises
    ------
    ModelError
        For what is not between 0 and 1.
    """
    parts = weighted_values(item.risk)
    for part in parts:
        # the far ends of a distribution round to 0 or 1, where no relative effect moves a risk
        ends = (part.values[0], part.values[-1]) if part.values.size > 1 else (part.values[0],) * 2
        if not (ends[0] >= 0 and ends[1] <= 1) or (part.values.size == 1 and not 0 < ends[0] < 1):
            raise ModelError(f"baseline risk {item.name}: {item.risk!r} is not between 0 and 1.")
    return [part._replace(values=np.clip(part.values, 1e-15, 1 - 1e-15)) for part in parts]


def risk_quantiles(
    fit: Fit, name: str, kind: str, part: WeightedValues, table: pd.DataFrame, p: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Quantiles of the risk without treatment, with it, and of the difference (cut so that risks stay in 0 to 1)."""
    effect = table.loc[name, ["lower", "median", "upper"]].to_numpy(float)
    base, weights = part.values, part.weights
    if base.size == 1:
        treated = absolute_risk(kind, base[0], effect)
        return np.full(3, base[0]), treated, np.clip(treated, 0, 1) - base[0]

    def average(risk: Callable[[FloatArray], FloatArray]) -> Callable[[FloatArray], FloatArray]:
        def below(x: FloatArray) -> FloatArray:
            reached = risk(x[:, None])
            inside = distribution(
                fit, name, np.nan_to_num(_effect_at(kind, base, reached), posinf=1e9, neginf=-1e9).ravel()
            )
            # every risk is at most 1 and at least 0
            value = np.where(reached >= 1, 1.0, np.where(reached < 0, 0.0, inside.reshape(reached.shape)))
            return np.asarray(value @ weights)

        return below

    treated = invert(average(lambda x: np.broadcast_to(x, (x.shape[0], base.size))), p, 0.0, 1.0)
    difference = invert(average(lambda x: base + x), p, -1.0, 1.0)
    return part.quantile(p), treated, difference


def _p_difference(fit: Fit, name: str, kind: str, part: WeightedValues, sign: int, distance: float) -> float:
    """Probability that the risk difference is at least a distance in the direction of benefit."""
    edge = _effect_at(kind, part.values, part.values + sign * distance)
    edge = np.nan_to_num(edge, posinf=1e9, neginf=-1e9)
    return min(float(part.weights @ distribution(fit, name, edge, upper=sign > 0)), 1.0)


def number_needed(benefit: FloatArray) -> str:
    """Number needed to treat for benefit or harm, from the difference and its interval in the direction of benefit."""
    lower, median, upper = np.sort(benefit)

    def one(difference: float) -> str:
        if difference == 0:
            return "infinity"
        number = abs(1 / difference)
        return f"NNT{'B' if difference > 0 else 'H'} {number:.{1 if number < 9.95 else 0}f}"

    inner = f"{one(lower)} to infinity to {one(upper)}" if lower < 0 < upper else f"{one(upper)} to {one(lower)}"
    return f"{one(median)} ({inner})"
