"""The one answer in units that people know: points of an instrument, or people per 1000, in words and in numbers.

Where a standard deviation, a minimal important difference or a mean score is not known exactly, the answer is an
average over it. A range is averaged over as a uniform distribution here, so that there is one answer; `natural_table`
and `risk_table` give both ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.columns import amount
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, distribution
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import (
    COMPARED,
    Amount,
    BaselineRisk,
    BetaRisk,
    ControlMean,
    Decision,
    NaturalUnit,
    PointsThreshold,
    Threshold,
    WeightedValues,
    centre,
    invert,
    quotient,
    thinned,
    weighted_values,
)
from bayesmeta.priors import Prior, Uniform
from bayesmeta.questions.natural_result import NaturalAnswer, NaturalEffect
from bayesmeta.questions.natural_words import (
    amount_words,
    difference_words,
    level_words,
    people_decimals,
    point_decimals,
)
from bayesmeta.questions.summary import predict
from bayesmeta.questions.thresholds import ANY
from bayesmeta.questions.units import (
    RISK_MEASURES,
    STANDARDISED,
    TARGETS,
    number_needed,
    points_of,
    risk_parts,
    risk_quantiles,
)

__all__ = ["natural_answer", "natural_answers", "natural_threshold"]

FloatArray = NDArray[np.float64]
Ends = tuple[float, float, float]
#: Nodes over the probit of an SD: a mean effect with a standard error of 0.003 moves an average by less than 1e-12.
_NODES = 513
_RANGE = "{what} is stated as a range, {low} to {high}, and averaged over as equally likely values."


# -- thresholds --------------------------------------------------------------------------------------------------------


def natural_threshold(unit: NaturalUnit, *, primary: bool = False) -> Threshold | None:
    """The minimal important difference of an instrument as a threshold on the scale of a standardised difference.

    It is the difference in points divided by the reference SD: a number where both are, else a range or a distribution,
    which holds what is not known of either.

    Parameters
    ----------
    unit : NaturalUnit
    primary : bool
        Whether it is the threshold of the headline.

    Returns
    -------
    Threshold or None
        None where the unit states no smallest important difference.

    Examples
    --------
    >>> unit = NaturalUnit("FACIT-Fatigue", 10.0, "an example", mid=PointsThreshold(3.0, "Cella 2002", "anchor"))
    >>> natural_threshold(unit).benefit_distance
    0.3
    """
    if unit.mid is None:
        return None
    mid, sd = unit.mid, unit.sd_amount
    benefit = quotient(mid.benefit, sd)
    worse = benefit if mid.worse is None else quotient(mid.worse, sd)
    name = f"minimal important difference of {unit.name} ({amount_words(mid.benefit)} points)"
    source = f"{mid.source}; divided by the SD: {unit.sd_source}"
    return Threshold(name, benefit, worse, benefit, worse, source, mid.kind, primary)


# -- points ------------------------------------------------------------------------------------------------------------


def _spread(stated: Amount, what: str, notes: list[str]) -> float | Prior:
    """A number, or a distribution: of a range that of equally likely values, with a note."""
    if isinstance(stated, tuple):
        notes.append(_RANGE.format(what=what, low=amount(stated[0]), high=amount(stated[1])))
        return Uniform(*stated)
    return stated if isinstance(stated, Prior) else float(stated)


def _nodes(stated: Amount | BetaRisk) -> WeightedValues:
    return weighted_values(stated, _NODES)[0]


class _Unit(NamedTuple):
    """What points are, for one fit: the unit as stated, or an outcome's own."""

    name: str
    noun: str
    flip: int
    sd: WeightedValues
    # thresholds on the scale of the analysis
    benefit: WeightedValues | None = None
    worse: WeightedValues | None = None
    # the SD over the minimal important difference, where that is not one number; else the number
    in_mids: WeightedValues | None = None
    mid: float | None = None


def _ordered(values: FloatArray) -> Ends:
    lower, median, upper = np.sort(values)
    return float(median), float(lower), float(upper)


def _points_effect(fit: Fit, place: int, unit: _Unit, table: pd.DataFrame, p: FloatArray) -> NaturalEffect:
    """One target in points; probabilities where there is a direction and a minimal important difference."""
    target, name = TARGETS[place]
    sign = {None: 0, "higher": 1, "lower": -1}[fit.effects.better]
    points = points_of(fit, name, table, unit.sd.values, unit.sd.weights, p)
    difference, benefit = _ordered(unit.flip * points), _ordered((sign or 1) * points)
    decimals = point_decimals(difference)
    words = ("better", "worse") if sign else ("higher", "lower")
    found: dict[str, Any] = {
        "target": target,
        "difference": difference,
        "benefit": benefit,
        "words": difference_words(benefit if sign else difference, *words, unit.noun, decimals),
        "p_any_benefit": _any_benefit(fit, name, sign),
    }
    if sign and unit.benefit is not None and unit.worse is not None:
        edges, harm_edges = unit.benefit, unit.worse
        important = float(distribution(fit, name, sign * edges.values, upper=sign > 0) @ edges.weights)
        harm = float(distribution(fit, name, -sign * harm_edges.values, upper=sign < 0) @ harm_edges.weights)
        important, harm = min(important, 1.0), min(harm, 1.0)
        found |= {
            "p_important_benefit": important,
            "p_important_harm": harm,
            "p_trivial": max(0.0, 1.0 - important - harm),
        }
        if unit.in_mids is not None:
            found["mid_units"] = _ordered(
                sign * points_of(fit, name, table, unit.in_mids.values, unit.in_mids.weights, p)
            )
        elif unit.mid:
            found["mid_units"] = _ordered(np.array(benefit) / unit.mid)
    return NaturalEffect(**found)


def _any_benefit(fit: Fit, name: str, sign: int) -> float | None:
    return min(float(distribution(fit, name, [sign * ANY], upper=sign > 0)[0]), 1.0) if sign else None


def _with_score(
    fit: Fit,
    effect: NaturalEffect,
    unit: _Unit,
    control: WeightedValues,
    scale: tuple[float, float] | None,
    table: pd.DataFrame,
    p: FloatArray,
) -> NaturalEffect:
    """The mean score with exercise beside an effect, cut at the ends of the instrument."""
    name = dict(TARGETS)[effect.target]
    if control.values.size == 1:
        ends = np.array([effect.difference[1], effect.difference[0], effect.difference[2]]) + control.values[0]
    else:
        # given the mean score without exercise and the SD, the score with it is at most x where the effect is
        sd = thinned(unit.sd)
        control = thinned(control)

        def below(x: FloatArray) -> FloatArray:
            steps = (x[:, None, None] - control.values[:, None]) / sd.values
            steps = np.moveaxis(steps, 0, -1) * unit.flip
            inner = distribution(fit, name, steps.ravel(), upper=unit.flip < 0).reshape(steps.shape)
            return np.einsum("csx,c,s->x", inner, control.weights, sd.weights)

        reach = 4 * np.ptp(effect.difference) + np.abs(effect.difference).max()
        ends = invert(below, p, control.values.min() - reach, control.values.max() + reach)
    low, high = scale or (-np.inf, np.inf)
    cut = np.clip(ends, low, high)
    with_exercise = _ordered(cut)
    return replace(
        effect,
        with_exercise=with_exercise,
        with_words=level_words(with_exercise, unit.noun, point_decimals(effect.difference)),
        capped=bool(np.any(cut != ends)),
    )


def _with_responders(fit: Fit, effect: NaturalEffect, share: BaselineRisk, table: Any, p: FloatArray) -> NaturalEffect:
    """The number needed to treat of a difference of scores, from the share of responders without treatment.

    Scores are normal with equal SDs, so that the share of people beyond the score that makes a responder moves from c
    to Phi(Phi^-1(c) + d), with d in the direction of benefit (Furukawa and Leucht 2011).
    """
    name = dict(TARGETS)[effect.target]
    stated = replace(share, risk=Uniform(*share.risk)) if isinstance(share.risk, tuple) else share
    [part] = risk_parts(stated)
    lower_better = fit.effects.better == "lower"
    if lower_better:
        # people below a score that respond: those above it move by the effect itself
        part = part._replace(values=(1 - part.values)[::-1], weights=part.weights[::-1])
    _, _, difference = risk_quantiles(fit, name, fit.effects.measure, part, table, p)
    more = np.sort(-difference if lower_better else difference)
    median, lower, upper = _ordered(1000 * more)
    return replace(effect, responders=(median, lower, upper), nnt=number_needed(more))


def _mid_of_outcome(decision: Decision) -> PointsThreshold | None:
    """Of a difference in points that is analysed as it is: the outcome's primary threshold."""
    item = decision.primary
    return None if item is None else PointsThreshold(item.benefit, item.source, item.kind, item.worse)


def _points_answer(fit: Fit, unit: NaturalUnit | None, decision: Decision, level: float) -> NaturalAnswer | None:
    standardised = fit.effects.measure in STANDARDISED
    if unit is None:
        if standardised:
            return None
        own = fit.effects.unit or "points"
        unit = NaturalUnit(own, 1.0, "analysed in this unit", mid=_mid_of_outcome(decision))
    notes: list[str] = []
    noun = "points" if standardised else unit.name
    flip = 1 if unit.better in (None, fit.effects.better) else -1
    sd = _spread(unit.sd_amount, "The SD", notes)
    made = _Unit(unit.name, noun, flip, _nodes(sd))
    if unit.mid is not None:
        mid = _spread(unit.mid.benefit, "The minimal important difference", notes)
        worse = mid if unit.mid.worse is None else _spread(unit.mid.worse, "That for harm", notes)
        made = made._replace(
            benefit=_nodes(quotient(mid, sd)),
            worse=_nodes(quotient(worse, sd)),
            in_mids=_nodes(quotient(sd, mid)) if isinstance(mid, Prior) else None,
            mid=None if isinstance(mid, Prior) else float(mid),
        )
    p, table = interval_ends(level), predict(fit, level=level)
    effects = [_points_effect(fit, place, made, table, p) for place in range(len(TARGETS))]
    better = unit.better or fit.effects.better
    found: dict[str, Any] = {}
    sources = [("SD", unit.sd_source)] if standardised else []
    if unit.mid is not None:
        sources.append(("minimal important difference", f"{unit.mid.source} ({unit.mid.kind})"))
        low, high = unit.mid.benefit if isinstance(unit.mid.benefit, tuple) else (centre(unit.mid.benefit),) * 2
        found |= {
            "mid": (float(low), float(high)),
            "mid_words": f"{amount_words(unit.mid.benefit)} {noun}",
            "mid_kind": unit.mid.kind,
            "threshold": natural_threshold(unit) if standardised else decision.primary,
        }
        found["threshold_ends"] = _ends_of(found["threshold"].benefit_distance, p)
        if standardised:
            found["threshold_words"] = _both_thresholds(
                decision.primary, found["mid_words"], found["threshold_ends"], sd, p
            )
        if unit.mid.compared == "within":
            notes.append(
                f"The minimal important difference was found {COMPARED['within']}; its use for a difference between "
                "groups is a convention."
            )
    if unit.control_mean is not None:
        control = _nodes(_spread(unit.control_mean.points, "The mean score without exercise", notes))
        effects = [_with_score(fit, effect, made, control, unit.scale, table, p) for effect in effects]
        without = _ends_of_values(control, unit.control_mean, p)
        decimals = point_decimals(effects[0].difference)
        found |= {"without": without, "without_words": level_words(without, noun, decimals)}
        sources.append(("without exercise", unit.control_mean.source))
        if any(effect.capped for effect in effects):
            notes.append("The effect leads beyond the ends of the instrument, where it was cut.")
    if unit.control_share is not None and fit.effects.better is not None and standardised:
        effects = [_with_responders(fit, effect, unit.control_share, table, p) for effect in effects]
        sources.append(("responders without exercise", unit.control_share.source))
    scale = "" if unit.scale is None else f"{amount_words(unit.scale)}"
    said = ", ".join(part for part in (scale, f"{better} is better" if better else "") if part)
    where = f"points on {unit.name}" if standardised else unit.name
    return NaturalAnswer(
        kind="points",
        unit=unit.name,
        unit_words=f"{where} ({said})" if said else where,
        scale=unit.scale,
        better=better,
        level=level,
        mean=effects[0],
        new=effects[1],
        sd=_ends_of(unit.sd_amount, p) if standardised else None,
        sources=tuple(sources),
        notes=tuple(notes),
        **found,
    )


def _both_thresholds(
    primary: Threshold | None, mid_words: str, mid_ends: Ends, sd: float | Prior, p: FloatArray
) -> str:
    """Why two thresholds give two answers: each of them in the unit of the other."""
    if primary is None or not isinstance(primary.benefit_distance, (int, float)):
        return ""
    stated = float(primary.benefit_distance)
    in_points = _ordered(stated * np.array(_ends_of(sd, p)))
    own = level_words(in_points, "points", point_decimals(in_points))
    return (
        f"The threshold {primary.name}, {amount(stated)}, is {own}; the minimal important difference, {mid_words}, "
        f"is {level_words(mid_ends, '', 2)} on that scale."
    )


def _ends_of(stated: Amount, p: FloatArray) -> Ends:
    """Median, lower and upper end of an amount; of a range its middle and its ends."""
    if isinstance(stated, Prior):
        return _ordered(np.asarray(stated.ppf(p), float))
    low, high = stated if isinstance(stated, tuple) else (stated, stated)
    return (low + high) / 2, float(low), float(high)


def _ends_of_values(part: WeightedValues, control: ControlMean, p: FloatArray) -> Ends:
    return _ends_of(control.points, p) if isinstance(control.points, tuple) else _ordered(part.quantile(p))


# -- people per 1000 ---------------------------------------------------------------------------------------------------


def _risk_answer(fit: Fit, risk: BaselineRisk | None, per: float, level: float) -> NaturalAnswer | None:
    kind, better = fit.effects.measure, fit.effects.better
    if risk is None and kind != "RD":
        return None
    notes: list[str] = []
    sign = {None: 0, "higher": 1, "lower": -1}[better]
    p, table = interval_ends(level), predict(fit, level=level)
    per_words = f"per {amount(per)}"
    if risk is not None and isinstance(risk.risk, tuple):
        notes.append(_RANGE.format(what="The risk", low=amount(risk.risk[0]), high=amount(risk.risk[1])))
    stated = replace(risk, risk=Uniform(*risk.risk)) if risk is not None and isinstance(risk.risk, tuple) else risk
    effects, without = [], None
    for target, name in TARGETS:
        found: dict[str, Any] = {}
        if stated is None:
            # a risk difference needs no risk without treatment
            difference = table.loc[name, ["lower", "median", "upper"]].to_numpy(float)
        else:
            [part] = risk_parts(stated)
            base, treated, difference = risk_quantiles(fit, name, kind, part, table, p)
            capped = bool(treated[2] > 1 - 1e-12 or treated[0] < 1e-12)
            with_exercise = _ordered(per * np.clip(treated, 0, 1))
            without = _ordered(per * base)
            found = {
                "with_exercise": with_exercise,
                "with_words": level_words(with_exercise, per_words, people_decimals(with_exercise)),
                "capped": capped,
            }
        ends = _ordered(per * difference)
        effects.append(
            NaturalEffect(
                target=target,
                difference=ends,
                benefit=_ordered((sign or 1) * per * difference),
                words=difference_words(ends, "more", "fewer", "", people_decimals(ends), per_words),
                p_any_benefit=_any_benefit(fit, name, sign),
                nnt=number_needed(sign * difference) if sign else "",
                **found,
            )
        )
    if any(effect.capped for effect in effects):
        notes.append("The effect leads beyond a risk of 0 or 1, where it cannot hold; risks were cut there.")
    return NaturalAnswer(
        kind="risk",
        unit=risk.name if risk is not None else "risk",
        unit_words=f"people {per_words}",
        scale=None,
        better=better,
        level=level,
        mean=effects[0],
        new=effects[1],
        per=per,
        without=without,
        without_words="" if without is None else level_words(without, per_words, people_decimals(without)),
        sources=() if risk is None else (("without exercise", risk.source),),
        notes=tuple(notes),
    )


# -- the answer --------------------------------------------------------------------------------------------------------


def natural_answers(
    fit: Fit,
    unit: NaturalUnit | BaselineRisk | None = None,
    *,
    per: float = 1000,
    level: float = LEVEL,
) -> tuple[NaturalAnswer, ...]:
    """What an effect is in units that people know: one answer in points, or one for each risk without treatment.

    Parameters
    ----------
    fit : Fit
        Of a standardised difference with an instrument, a mean difference, or an OR, RR, HR or RD.
    unit : NaturalUnit or BaselineRisk, optional
        Default: those of the fit's outcome.
    per : float
        People that risks are counted in.
    level : float

    Returns
    -------
    tuple of NaturalAnswer
        Empty where no instrument or risk is stated, and for measures that have no such unit.

    Raises
    ------
    ModelError
        For a risk that is none, and a number of people that is not positive.

    Examples
    --------
    >>> effects = bm.Effects(["A", "B"], [-0.8, -0.5], [0.2, 0.1], measure="RR", better="lower")
    >>> fit = bm.fit(effects, bm.Model(bm.Flat(), None))
    >>> [item.mean.words for item in natural_answers(fit, bm.plan.BaselineRisk("usual", 0.2, "a cohort"))]
    ['86 fewer per 1000 (64 to 104 fewer)']
    """
    if not per > 0:
        raise ModelError(f"per = {per}: give a positive number of people.")
    decision = Decision() if fit.outcome is None else fit.outcome.decision
    if fit.effects.measure in RISK_MEASURES:
        stated = (unit,) if isinstance(unit, BaselineRisk) else decision.baseline_risk or (None,)
        risks = (_risk_answer(fit, risk, per, level) for risk in stated)
        return tuple(answer for answer in risks if answer is not None)
    if fit.effects.measure in (*STANDARDISED, "MD"):
        answer = _points_answer(fit, unit if isinstance(unit, NaturalUnit) else decision.natural_unit, decision, level)
        return () if answer is None else (answer,)
    return ()


def natural_answer(
    fit: Fit,
    unit: NaturalUnit | BaselineRisk | None = None,
    *,
    per: float = 1000,
    level: float = LEVEL,
) -> NaturalAnswer | None:
    """The first of `natural_answers`; None where no instrument or risk is stated.

    Examples
    --------
    >>> mid = bm.minimal_difference("FACIT-Fatigue").threshold
    >>> unit = bm.plan.NaturalUnit("FACIT-Fatigue", 10.0, "an example", better="higher", mid=mid, scale=(0, 52))
    >>> answer = natural_answer(bm.fit(effects, bm.Model(bm.Flat(), None)), unit)
    >>> answer.mean.words, answer.unit_words, answer.mid_words
    ('1.4 points better (0.1 worse to 2.9 better)', 'points on FACIT-Fatigue (0 to 52, higher is better)', '3 points')
    """
    return next(iter(natural_answers(fit, unit, per=per, level=level)), None)
