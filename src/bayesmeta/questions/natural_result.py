"""What an answer in familiar units holds: plain values that pages, tables and files print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bayesmeta.plan import Better, Kind, Threshold
from bayesmeta.questions.units import Target

__all__ = ["NaturalAnswer", "NaturalEffect"]

Ends = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class NaturalEffect:
    """The mean effect, or the effect in a new study, in a familiar unit.

    Parameters
    ----------
    target : {"mean effect", "new study"}
    difference : (float, float, float)
        Median, lower and upper end of the difference, on the unit's own scale: points as the instrument counts them
        (a positive one is a higher score), or people more (positive) or fewer (negative) per ``per``.
    benefit : (float, float, float)
        The same in the direction of benefit: positive is better.
    words : str
        "4.1 points better (2.2 to 6.0)", "34 fewer per 1000 (12 to 50 fewer)".
    p_any_benefit : float or None
        Probability of any benefit; None without a direction.
    p_important_benefit, p_trivial, p_important_harm : float or None
        Probabilities beyond the minimal important difference in either direction, and between; what is not known of
        the SD and of the minimal important difference is integrated. None where no such difference is stated.
    mid_units : (float, float, float) or None
        The difference divided by the minimal important difference, in the direction of benefit.
    with_exercise : (float, float, float) or None
        Mean score, or people per ``per``, with exercise; where it is stated what it is without.
    with_words : str
        The same: "38.1 points (36.2 to 40.0)", "166 per 1000 (150 to 188)"; empty where nothing is stated.
    nnt : str
        "NNTB 6.1 (NNTB 4.0 to NNTB 13)"; an interval that holds no difference passes through infinity. Empty for
        scores without a stated share of responders, and without a direction.
    responders : (float, float, float) or None
        For scores with a stated share of responders without exercise: how many more per 1000 respond with it.
    capped : bool
        Whether the effect leads beyond a risk of 0 or 1, or beyond the ends of the instrument, where it was cut.
    """

    target: Target
    difference: Ends
    benefit: Ends
    words: str
    p_any_benefit: float | None
    p_important_benefit: float | None = None
    p_trivial: float | None = None
    p_important_harm: float | None = None
    mid_units: Ends | None = None
    with_exercise: Ends | None = None
    with_words: str = ""
    nnt: str = ""
    responders: Ends | None = None
    capped: bool = False


@dataclass(frozen=True, slots=True)
class NaturalAnswer:
    """What an effect is in a familiar unit, as a page or a table for a guideline prints it.

    Parameters
    ----------
    kind : {"points", "risk"}
        Points of an instrument (from SMD, SMDH or MD), or people per ``per`` (from OR, RR, RD, HR).
    unit : str
        The instrument; for risks the name of the risk without exercise.
    unit_words : str
        What is counted: "points on FACIT-Fatigue (0 to 52, higher is better)", "people per 1000".
    scale : (float, float) or None
        Lowest and highest score of the instrument.
    better : {"higher", "lower"} or None
        Which scores of the instrument are better (of a risk: whether more or fewer events are).
    level : float
        Of every interval.
    mean, new : NaturalEffect
        Of the mean effect, and of the effect in a new study.
    per : float
        People that risks are counted in.
    sd : (float, float, float) or None
        The reference SD in points: median, lower, upper.
    mid : (float, float) or None
        The minimal important difference in points: lowest and highest; the same where it is one number.
    mid_words : str
        "3 points", "3 to 4 points"; empty where none is stated.
    mid_kind : {"anchor", "distribution", "convention", "panel"} or None
        How it was found.
    threshold : Threshold or None
        The minimal important difference on the scale of the analysis, as a distribution where the SD is one
        (`bayesmeta.natural_threshold`).
    threshold_ends : (float, float, float) or None
        Its median, lower and upper end, as distances.
    threshold_words : str
        Both thresholds in both units, where the outcome's own one is another: "The threshold important, 0.5, is 5.1
        points (4.1 to 6.4); the minimal important difference, 3 points, is 0.29 (0.23 to 0.36) on that scale."
    without : (float, float, float) or None
        Mean score, or people per ``per``, without exercise; None where it is not stated.
    without_words : str
        The same, "34.0 points", "200 per 1000 (150 to 250)"; empty where it is not stated.
    sources : tuple of (str, str)
        What was stated, and its source: ("SD", "..."), ("minimal important difference", "..."), ...
    notes : tuple of str
        What must be read beside the numbers.
    """

    kind: Literal["points", "risk"]
    unit: str
    unit_words: str
    scale: tuple[float, float] | None
    better: Better | None
    level: float
    mean: NaturalEffect
    new: NaturalEffect
    per: float = 1000.0
    sd: Ends | None = None
    mid: tuple[float, float] | None = None
    mid_words: str = ""
    mid_kind: Kind | None = None
    threshold: Threshold | None = None
    threshold_ends: Ends | None = None
    threshold_words: str = ""
    without: Ends | None = None
    without_words: str = ""
    sources: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
