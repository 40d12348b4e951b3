"""What a printed estimate, interval, I2 and number of trials say about the trials behind them.

Trials of equal precision stand in for those that are not printed. With k trials of variance ``s**2`` and heterogeneity
tau, Cochran's ``Q`` is ``(1 + tau**2 / s**2)`` times a chi-squared variable with k - 1 degrees of freedom, and

==================  ============================================================================================
fixed effect        ``se**2 = s**2 / k``
random effects      ``se**2 = (s**2 + tau_hat**2) / k``, where ``tau_hat**2 = s**2 max(0, Q / (k - 1) - 1)``, the
                    moment estimate, which REML, Paule-Mandel and Hedges-Olkin give too
I2                  ``max(0, 1 - (k - 1) / Q)``, so that ``tau_hat**2 / (s**2 + tau_hat**2) = I2``
==================  ============================================================================================

With random effects therefore ``tau_hat = sqrt(I2 k) se`` and ``s**2 = k se**2 (1 - I2)``. An I2 above zero gives Q; an
I2 of zero says only that Q was not above k - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.measures import measure, se_from_p
from bayesmeta.published.results import PooledModel, PublishedResult

__all__ = ["Reconstruction", "reconstruct"]

# an estimate further from the middle of its interval than this share of its half-width is worth a remark
OFF_CENTRE = 0.1


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """What can be read out of one published result, on the scale of the analysis.

    Attributes
    ----------
    y, se : float
        Estimate and its standard error.
    se_low, se_high : float or None
        What the rounding of the interval allows; None where the decimals are not known.
    lower, upper : float or None
        The printed interval.
    k : int or None
        Trials.
    s : float or None
        Typical standard error of one trial.
    q : float or None
        Cochran's Q.
    at_most : bool
        Only ``Q <= q`` is known.
    tau : float or None
        The review's own estimate, as its numbers imply it.
    model : {"fixed", "random"}
        As stated or assumed.
    assumptions, unknown, notes : tuple of str
        What was assumed; what cannot be known; what was not used.
    why : str
        Why heterogeneity cannot be analysed; empty where it can.
    """

    y: float
    se: float
    se_low: float | None
    se_high: float | None
    lower: float | None
    upper: float | None
    k: int | None
    s: float | None
    q: float | None
    at_most: bool
    tau: float | None
    model: PooledModel
    assumptions: tuple[str, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    why: str = ""


class _Spread(NamedTuple):
    """Typical standard error, Q, whether Q is an upper bound, and the review's tau."""

    s: float | None = None
    q: float | None = None
    at_most: bool = False
    tau: float | None = None


def reconstruct(result: PublishedResult, *, model: PooledModel = "random") -> Reconstruction:
    """Read estimate, standard error and what is known of heterogeneity out of a published result.

    Parameters
    ----------
    result : PublishedResult
    model : {"fixed", "random"}
        Assumed where the result does not say.

    Returns
    -------
    Reconstruction

    Raises
    ------
    ModelError
        If no effect is printed, nothing says how precise it is, or its numbers contradict each other.

    References
    ----------
    Higgins JPT, Thompson SG. Stat Med 2002;21:1539-1558. doi:10.1002/sim.1186
    Higgins JPT, Thompson SG, Spiegelhalter DJ. J R Stat Soc A 2009;172:137-159 (prediction intervals).
    doi:10.1111/j.1467-985X.2008.00552.x

    Examples
    --------
    >>> found = reconstruct(PublishedResult("symptoms", "SMD", -0.62, -0.99, -0.24, i2=71.6, k=7, model="random"))
    >>> round(found.se, 3), round(found.tau, 3), round(found.s, 3), round(found.q, 2)
    (0.191, 0.428, 0.27, 21.13)
    """
    if result.estimate is None:
        ends = "" if result.lower is None else f"; the interval {result.lower:g} to {result.upper:g} is not one of it"
        raise ModelError(f"no effect is printed{ends}.")
    assumptions: list[str] = []
    unknown: list[str] = []
    notes = list(result.notes)
    y, lower, upper = _on_scale(result)
    quantile = _quantile(result, assumptions)
    se, bounds = _standard_error(result, y, lower, upper, quantile, assumptions, notes)
    if bounds is not None and bounds[1] > 1.01 * bounds[0]:
        unknown.append(f"the standard error beyond its rounding: {bounds[0]:.3g} to {bounds[1]:.3g}")
    used: PooledModel = result.model or model
    if result.interval == "hksj":
        # its standard error is that of the observed scatter, whatever the weights were called
        used = "random"
    elif result.model is None:
        assumptions.append(f"the model is not stated: read as {_MODEL_WORDS[model]}")
    spread, why = _Spread(), ""
    if result.k is None:
        why = "the number of trials in this result is not printed, so that heterogeneity cannot be known"
        unknown.append("heterogeneity, and the effect in a new study: the number of trials is not printed")
    else:
        spread = _spread(result, se, used, assumptions, unknown, notes)
    unknown.append("the trials: their own precision, bias, shared patients, and small trials that were not found")
    low, high = bounds or (None, None)
    return Reconstruction(
        y,
        se,
        low,
        high,
        lower,
        upper,
        result.k,
        spread.s,
        spread.q,
        spread.at_most,
        spread.tau,
        used,
        tuple(assumptions),
        tuple(unknown),
        tuple(notes),
        why,
    )


_MODEL_WORDS = {"fixed": "a fixed effect", "random": "random effects"}


def _on_scale(result: PublishedResult) -> tuple[float, float | None, float | None]:
    """Estimate and interval on the scale of the analysis."""
    kind = measure(result.measure)
    printed = [value for value in (result.estimate, result.lower, result.upper) if value is not None]
    if not all(math.isfinite(value) for value in printed):
        raise ModelError("estimate and interval are not finite numbers.")
    if kind.log and min(printed) <= 0:
        raise ModelError(f"a {kind.label} is above 0; {min(printed):g} is not. Logarithms? Say so in the measure.")
    if result.measure == "ZCOR" and max(map(abs, printed)) >= 1:
        raise ModelError("a correlation is between -1 and 1.")
    assert result.estimate is not None
    if (result.lower is None) != (result.upper is None):
        raise ModelError("one end of the interval is not printed.")
    if result.lower is None or result.upper is None:
        return float(kind.transform(result.estimate)), None, None
    if not result.lower < result.upper:
        raise ModelError(f"the interval {result.lower:g} to {result.upper:g} is upside down or empty.")
    if not result.lower <= result.estimate <= result.upper:
        raise ModelError(f"{result.estimate:g} is outside its interval {result.lower:g} to {result.upper:g}.")
    y, low, high = (float(kind.transform(x)) for x in (result.estimate, result.lower, result.upper))
    return y, low, high


def _quantile(result: PublishedResult, assumptions: list[str]) -> float:
    tail = (1 + result.level) / 2
    if result.interval == "normal":
        if result.lower is not None:
            assumptions.append(f"the {100 * result.level:g} % interval is estimate and normal quantile times SE")
        return float(special.ndtri(tail))
    if result.k is None or result.k < 2:
        raise ModelError("an interval by Student's t is read with k - 1 degrees of freedom, and k is not known.")
    name = "Hartung and Knapp's" if result.interval == "hksj" else "a"
    assumptions.append(f"the {100 * result.level:g} % interval is {name} t interval with {result.k - 1} df")
    return float(special.stdtrit(result.k - 1, tail))


def _standard_error(
    result: PublishedResult,
    y: float,
    lower: float | None,
    upper: float | None,
    quantile: float,
    assumptions: list[str],
    notes: list[str],
) -> tuple[float, tuple[float, float] | None]:
    """Standard error, and the ends that rounding allows."""
    if lower is None or upper is None:
        if result.p is None or not 0 < result.p < 1 or y == 0:
            raise ModelError("no interval is printed, and no p value that a standard error follows from.")
        assumptions.append(f"no interval is printed: the standard error is that of p = {result.p:g}, normal")
        return float(se_from_p(y, result.p)[0]), None
    half = (upper - lower) / 2
    bounds = None
    slack = 0.0
    if result.unit is not None:
        kind = measure(result.measure)
        assert result.lower is not None
        assert result.upper is not None
        with np.errstate(invalid="ignore", divide="ignore"):
            ends = kind.transform(
                np.array(
                    [
                        result.lower - result.unit / 2,
                        result.lower + result.unit / 2,
                        result.upper - result.unit / 2,
                        result.upper + result.unit / 2,
                    ]
                )
            )
        if np.all(np.isfinite(ends)):
            narrow, wide = max(float(ends[2] - ends[1]), 0.0), float(ends[3] - ends[0])
            bounds = (narrow / (2 * quantile), wide / (2 * quantile))
            slack = wide / 2 - half
    distance = abs(y - (upper + lower) / 2)
    if distance > 1.5 * slack + OFF_CENTRE * half:
        notes.append(f"the estimate is {distance / half:.0%} of the half-width off the middle of its interval")
    return half / quantile, bounds


def _spread(
    result: PublishedResult,
    se: float,
    model: PooledModel,
    assumptions: list[str],
    unknown: list[str],
    notes: list[str],
) -> _Spread:
    """What k, I2 and a prediction interval say."""
    k = result.k
    assert k is not None
    variance = k * se * se
    if k == 1:
        assumptions.append("one trial: how trials differ comes from the prior of tau alone")
        return _Spread(s=se)
    by_interval = _from_prediction_interval(result, se, model, assumptions, notes)
    equal = "trials are of equal precision, and their true effects normal"
    if by_interval is not None:
        assumptions.append(equal)
        return by_interval
    if result.i2 is None:
        unknown.append("what the trials say of heterogeneity: no I2 and no prediction interval is printed")
        if model == "fixed":
            assumptions.extend((equal, "I2 is not printed: tau comes from its prior alone"))
            return _Spread(s=math.sqrt(variance))
        assumptions.append("I2 is not printed: tau comes from its prior alone, and the SE of the mean is as printed")
        return _Spread()
    share = result.i2 / 100
    if share == 0 and result.interval == "hksj":
        unknown.append("the precision of one trial: with I2 of 0 the standard error of Hartung and Knapp says nothing")
        assumptions.append("I2 of 0 beside a Hartung-Knapp interval is not used: tau comes from its prior alone")
        return _Spread()
    assumptions.append(equal)
    tau2 = variance * share if model == "random" else variance * share / (1 - share)
    s2 = variance - tau2 if model == "random" else variance
    if share == 0:
        assumptions.append(f"I2 of 0 says that Q was not above {k - 1}, and no more")
        return _Spread(math.sqrt(s2), float(k - 1), True, 0.0)
    if model == "fixed":
        unknown.append("the mean that equal weights would give: a fixed effect leans towards the large trials")
    assumptions.append(f"I2 of {result.i2:g} % is an estimate from {k} trials: Q = {(k - 1) / (1 - share):.3g}")
    return _Spread(math.sqrt(s2), (k - 1) / (1 - share), False, math.sqrt(tau2))


def _from_prediction_interval(
    result: PublishedResult, se: float, model: PooledModel, assumptions: list[str], notes: list[str]
) -> _Spread | None:
    """Heterogeneity from the width of a prediction interval; None where there is none that can be used."""
    k, low, high = result.k, result.pi_lower, result.pi_upper
    if low is None or high is None or k is None:
        return None
    if k < 3 or not low < high:
        notes.append(f"the prediction interval {low:g} to {high:g} is not used: it needs three trials and two ends")
        return None
    kind = measure(result.measure)
    ends = kind.transform(np.array([low, high])) if not kind.log or low > 0 else np.array([np.nan, np.nan])
    half = float(ends[1] - ends[0]) / 2
    t = float(special.stdtrit(k - 2, (1 + result.level) / 2))
    tau2 = (half / t) ** 2 - se * se
    s2 = k * se * se - tau2 if model == "random" else k * se * se
    # only what rounding may do is taken as no heterogeneity
    slack = 2 * (half / t) * ((result.unit or 0.0) / t)
    if not (math.isfinite(tau2) and tau2 >= -slack and s2 > 0):
        notes.append(f"the prediction interval {low:g} to {high:g} contradicts the interval and k, and is not used")
        return None
    tau2 = max(tau2, 0.0)
    if tau2 == 0 and result.interval == "hksj":
        notes.append("a prediction interval without heterogeneity is not used beside a Hartung-Knapp interval")
        return None
    formula = f"the prediction interval is estimate and t with {k - 2} df times sqrt(tau2 + SE2)"
    assumptions.append(f"{formula}: tau = {math.sqrt(tau2):.3g}")
    if result.i2 is not None:
        share = result.i2 / 100
        other = k * se * se * (share if model == "random" else share / (1 - share))
        notes.append(f"the printed I2 of {result.i2:g} % would give tau = {math.sqrt(other):.3g}")
    if tau2 == 0:
        return _Spread(math.sqrt(k) * se, float(k - 1), True, 0.0)
    return _Spread(math.sqrt(s2), (k - 1) * (1 + tau2 / s2), False, math.sqrt(tau2))
