"""What counts as an important effect: a number, a `Threshold` or nothing, resolved in one place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real

import numpy as np

from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.measures import measure
from bayesmeta.plan import Decision, Threshold, absolute_distances

__all__ = [
    "ANY",
    "STATED",
    "direction",
    "numeric_distance",
    "required_threshold",
    "resolve_threshold",
    "resolve_thresholds",
    "threshold",
]

#: The smallest benefit that is any: an average over models may have probability at exactly no effect, which is none.
ANY = float(np.finfo(float).tiny)
#: Source of a threshold that is given as a number.
STATED = "stated by the user"


def direction(fit: Fit) -> int:
    """+1 if higher is better, -1 if lower is; refuses to guess.

    Raises
    ------
    ModelError
        Where no direction is stated.
    """
    return _sign(fit.effects.better)


def _sign(better: str | None) -> int:
    if better is None:
        raise ModelError(
            'benefit has no direction: say whether "higher" or "lower" is better, in the effects or the outcome.'
        )
    if better not in ("higher", "lower"):
        raise ModelError(f"better = {better!r}. Allowed: higher, lower.")
    return 1 if better == "higher" else -1


def threshold(
    benefit: float, *, worse: float | None = None, measure_name: str, better: str, name: str = ""
) -> Threshold:
    """Make a threshold from numbers as people state them.

    Parameters
    ----------
    benefit : float
        Smallest important benefit: a positive distance, for ratio measures the ratio itself, and for measures of one
        arm the value itself on the natural scale (a proportion of 0.2).
    worse : float, optional
        Smallest important harm; default the same distance in the other direction, of one arm the same value.

    Raises
    ------
    ModelError
        For a number that is no such distance or ratio, and without a direction.

    Examples
    --------
    >>> threshold(0.75, measure_name="RR", better="lower").benefit_distance.__round__(4)
    0.2877
    """
    sign, kind = _sign(better), measure(measure_name)
    label = name or f"{benefit:g}"
    if kind.single_arm:
        for value in (benefit, worse):
            if value is not None and (isinstance(value, bool) or not math.isfinite(value)):
                raise ModelError(f"threshold {value!r}: give a finite number.")
        try:
            found = absolute_distances(measure_name, better, benefit, worse)
        except ModelError as error:
            raise ModelError(f"threshold: {error}.") from None
        return Threshold(label, benefit, benefit if worse is None else worse, *found, STATED, "panel", True)

    def distance(value: float, side: int) -> float:
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ModelError(f"threshold {value!r}: give a finite number.")
        if not kind.log:
            if not value > 0:
                raise ModelError(f"threshold {value:g}: give a positive distance from no effect.")
            return float(kind.transform(value)) if kind.transformed else float(value)
        if not value > 0 or not sign * side * math.log(value) > 0:
            which = "above" if sign * side > 0 else "below"
            raise ModelError(f"threshold {value:g}: for {measure_name} with {better} better, give a ratio {which} 1.")
        return abs(math.log(value))

    plus = distance(benefit, 1)
    minus = plus if worse is None else distance(worse, -1)
    stated_worse = worse if worse is not None else (1 / benefit if kind.log else benefit)
    return Threshold(label, benefit, stated_worse, plus, minus, STATED, "panel", True)


def resolve_thresholds(
    fit: Fit, thresholds: Threshold | float | Iterable[Threshold | float] | None = None, *, primary: bool = False
) -> tuple[Threshold, ...]:
    """Thresholds as a user gives them: numbers on the measure's own scale, `Threshold`, or nothing.

    Parameters
    ----------
    fit : Fit
        Says what a number means: a ratio for a ratio measure, the value itself for one arm, else a positive distance in
        the direction of benefit.
    thresholds : Threshold, float, or several of them, optional
        Default: those of the fit's outcome.
    primary : bool
        Whether the default is the primary one alone.

    Raises
    ------
    ModelError
        For what is neither, and for a number without a direction of benefit.

    Examples
    --------
    >>> [item.benefit_distance for item in resolve_thresholds(fit, [0.2, 0.5])]
    [0.2, 0.5]
    """
    if thresholds is None:
        decision = Decision() if fit.outcome is None else fit.outcome.decision
        return decision.thresholds if not primary or decision.primary is None else (decision.primary,)
    several = [thresholds] if isinstance(thresholds, (Threshold, Real, str)) else thresholds
    if not isinstance(several, Iterable):
        raise ModelError(f"threshold {thresholds!r}: give a number, a Threshold, or a list of them.")
    effects = fit.effects
    return tuple(
        item if isinstance(item, Threshold) else threshold(item, measure_name=effects.measure, better=effects.better)  # type: ignore[arg-type]
        for item in several
    )


def resolve_threshold(fit: Fit, threshold: Threshold | float | None = None) -> Threshold | None:
    """One threshold as a user gives it; by default the primary one of the fit's outcome, None where it states none.

    Raises
    ------
    ModelError
        As `resolve_thresholds`, and for more or less than one.

    Examples
    --------
    >>> resolve_threshold(fit) is None, resolve_threshold(fit, 0.2).benefit_distance
    (True, 0.2)
    """
    found = resolve_thresholds(fit, threshold, primary=True)
    if len(found) != 1 and threshold is not None:
        raise ModelError(f"threshold {threshold!r}: give one number or Threshold.")
    return found[0] if found else None


def required_threshold(fit: Fit, threshold: Threshold | float | None = None) -> Threshold:
    """`resolve_threshold`, for a question that has no answer without one.

    Raises
    ------
    ModelError
        Where none is stated.
    """
    found = resolve_threshold(fit, threshold)
    if found is None:
        raise ModelError("no threshold is stated: give one, for example 0.5 for an SMD, with its source.")
    return found


def numeric_distance(threshold: Threshold | None) -> float | None:
    """Distance of benefit on the analysis scale; None where it is not a number, or nothing is stated."""
    amount = None if threshold is None else threshold.benefit_distance
    return float(amount) if isinstance(amount, (int, float)) else None
