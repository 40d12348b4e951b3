"""What counts as much: thresholds, the points of an instrument, risks without treatment; plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.measures import measure
from bayesmeta.priors import LogNormal, Prior

__all__ = [
    "Amount",
    "BaselineRisk",
    "BetaRisk",
    "Better",
    "Compared",
    "ControlMean",
    "Kind",
    "NaturalUnit",
    "PointsThreshold",
    "Threshold",
    "absolute_distances",
]

Better = Literal["higher", "lower"]
Amount = float | tuple[float, float] | Prior
Kind = Literal["anchor", "distribution", "convention", "panel"]
#: What a smallest important difference was found between: two times of the same people, or groups of people.
Compared = Literal["within", "between", "both"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The smallest effect that matters, in the direction of benefit and in that of harm.

    Parameters
    ----------
    name : str
        What the threshold is called in tables.
    benefit, worse : float, (float, float) or Prior
        As the protocol states them: a positive distance from no effect in the outcome's own direction; for ratio
        measures the ratio itself (0.75 where lower is better); for measures of one arm the value itself (a proportion
        of 0.2). A pair is a range of threshold values, a prior a distribution over them (of the distance on the
        analysis scale).
    benefit_distance, worse_distance : float, (float, float) or Prior
        The same as a positive distance on the analysis scale (the absolute log ratio for ratio measures). Of one arm,
        which has no null to be distant from, the value on the analysis scale, its sign that of the direction of
        benefit: important benefit is ``s theta >= benefit_distance`` and harm ``s theta <= -worse_distance`` for all.
    source : str
        Where the number comes from.
    kind : {"anchor", "distribution", "convention", "panel"}
        How it was found.
    primary : bool
        Whether it is the one of the headline.

    Examples
    --------
    >>> Threshold("MID", 0.5, 0.5, 0.5, 0.5, "Norman 2003", "convention", True).benefit_distance
    0.5
    """

    name: str
    benefit: Amount
    worse: Amount
    benefit_distance: Amount
    worse_distance: Amount
    source: str
    kind: Kind
    primary: bool


def absolute_distances(
    measure_name: str, better: str, benefit: Amount, worse: Amount | None = None
) -> tuple[Amount, Amount]:
    """Thresholds of one arm as `Threshold` holds them: on the analysis scale, in the direction of benefit.

    Parameters
    ----------
    measure_name : {"PLO", "MN", "IRLN"}
    better : {"higher", "lower"}
    benefit, worse : float or (float, float)
        Values on the natural scale: a proportion of 0.2, a mean of 30. By default what is no benefit is harm.

    Returns
    -------
    benefit_distance, worse_distance

    Raises
    ------
    ModelError
        For a value outside the measure's range, for a distribution, and for a ``worse`` on the side of benefit.

    Examples
    --------
    >>> benefit, worse = absolute_distances("PLO", "higher", 0.5, 0.2)
    >>> benefit, round(worse, 3)
    (0.0, 1.386)
    """
    kind, sign = measure(measure_name), 1 if better == "higher" else -1

    def places(amount: Amount, name: str) -> list[float]:
        if isinstance(amount, Prior):
            raise ModelError(f"{name} {amount!r}: a threshold of one arm is a number or a range")
        ends = amount if isinstance(amount, tuple) else (amount,)
        low, high = kind.support
        for end in ends:
            if not low < end < high:
                raise ModelError(f"{name} {end:g}: a {kind.label} lies between {low:g} and {high:g}")
        return sorted(sign * float(kind.transform(end)) for end in ends)

    def amount_of(ends: list[float]) -> Amount:
        return ends[0] if len(ends) == 1 else (ends[0], ends[1])

    good = places(benefit, "benefit")
    if worse is None:
        return amount_of(good), amount_of([-end for end in good])
    bad = places(worse, "worse")
    if bad[-1] > good[0]:
        side = "above" if sign > 0 else "below"
        shown = worse if isinstance(worse, tuple) else (worse,)
        raise ModelError(
            f"worse {' to '.join(f'{end:g}' for end in shown)} lies on the side of benefit ({better} is better, and "
            f"important benefit is {benefit if isinstance(benefit, tuple) else format(benefit, 'g')} and {side})"
        )
    return amount_of(good), amount_of([-end for end in reversed(bad)])


@dataclass(frozen=True, slots=True)
class PointsThreshold:
    """The smallest difference that matters in the points of an instrument; ``worse`` is ``benefit`` unless stated.

    ``compared`` says whether it was found within people (a change over time), between groups, or by both; None where
    nobody said.

    Examples
    --------
    >>> PointsThreshold((3.0, 6.0), "BMJ Open 2019;9:e029975, table 1", "anchor").worse is None
    True
    """

    benefit: Amount
    source: str
    kind: Kind
    worse: Amount | None = None
    compared: Compared | None = field(default=None, metadata={"later": True})


@dataclass(frozen=True, slots=True)
class BetaRisk:
    """A risk that is not known exactly: a beta distribution, of ``a`` events and ``b`` people without one.

    Examples
    --------
    >>> BetaRisk(20, 80).mean
    0.2
    """

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Expected risk."""
        return self.a / (self.a + self.b)

    def ppf(self, p: ArrayLike) -> NDArray[np.float64]:
        """Quantile at probability ``p``."""
        return np.asarray(special.betaincinv(self.a, self.b, np.asarray(p, float)))


@dataclass(frozen=True, slots=True)
class BaselineRisk:
    """A risk without treatment, to which a relative effect is applied: a number, a range, or a distribution."""

    name: str
    risk: Amount | BetaRisk
    source: str


@dataclass(frozen=True, slots=True)
class ControlMean:
    """A mean score without treatment, in points of an instrument: a number, a range, or a distribution."""

    points: Amount
    source: str


@dataclass(frozen=True, slots=True)
class NaturalUnit:
    """A familiar instrument, in whose points a standardised effect is expressed.

    Parameters
    ----------
    name : str
        The instrument.
    sd : float, (float, float) or Prior
        Its standard deviation: a number, a range (reported at both ends), or a distribution (averaged over).
    sd_source : str
        Where it comes from.
    sd_se : float or None
        Standard error of an ``sd`` that is a number.
    better : {"higher", "lower"} or None
        Which of its scores are better; None: as the outcome.
    mid : PointsThreshold or None
        Its smallest important difference.
    scale : (float, float) or None
        Lowest and highest score.
    control_mean : ControlMean or None
        Mean score without treatment.
    control_share : BaselineRisk or None
        Share of responders without treatment, which makes a number needed to treat of a difference of scores.

    Examples
    --------
    >>> NaturalUnit("FACIT-Fatigue", 10.5, "control arms at baseline", better="higher").sd
    10.5
    """

    name: str
    sd: Amount
    sd_source: str
    sd_se: float | None = None
    better: Better | None = None
    mid: PointsThreshold | None = None
    scale: tuple[float, float] | None = field(default=None, metadata={"later": True})
    control_mean: ControlMean | None = field(default=None, metadata={"later": True})
    control_share: BaselineRisk | None = field(default=None, metadata={"later": True})

    @property
    def sd_amount(self) -> Amount:
        """The SD with its uncertainty: a number with a standard error is log-normal, of that coefficient of variation.

        Examples
        --------
        >>> NaturalUnit("FACIT-Fatigue", 10.5, "control arms", sd_se=1.05).sd_amount.meanlog == math.log(10.5)
        True
        """
        if self.sd_se is None or not isinstance(self.sd, (int, float)):
            return self.sd
        return LogNormal(math.log(self.sd), math.sqrt(math.log1p((self.sd_se / self.sd) ** 2)))
