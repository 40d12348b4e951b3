"""What counts as much: thresholds, the points of an instrument, risks without treatment; plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.priors import Prior

__all__ = ["Amount", "BaselineRisk", "BetaRisk", "Better", "Kind", "NaturalUnit", "PointsThreshold", "Threshold"]

Better = Literal["higher", "lower"]
Amount = float | tuple[float, float] | Prior
Kind = Literal["anchor", "distribution", "convention", "panel"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The smallest effect that matters, in the direction of benefit and in that of harm.

    Parameters
    ----------
    name : str
        What the threshold is called in tables.
    benefit, worse : float, (float, float) or Prior
        As the protocol states them: a positive distance from no effect in the outcome's own direction; for ratio
        measures the ratio itself (0.75 where lower is better). A pair is a range of threshold values, a prior a
        distribution over them (of the distance on the analysis scale).
    benefit_distance, worse_distance : float, (float, float) or Prior
        The same as a positive distance on the analysis scale (the absolute log ratio for ratio measures).
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


@dataclass(frozen=True, slots=True)
class PointsThreshold:
    """The smallest difference that matters in the points of an instrument; ``worse`` is ``benefit`` unless stated.

    Examples
    --------
    >>> PointsThreshold((3.0, 6.0), "BMJ Open 2019;9:e029975, table 1", "anchor").worse is None
    True
    """

    benefit: Amount
    source: str
    kind: Kind
    worse: Amount | None = None


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
