"""Rules over published pooled results: numbers that contradict themselves or one another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy import special

from bayesmeta.forensics.estimates import APART, OFF_CENTRE, SHARE, off_centre, z_of_p
from bayesmeta.forensics.literature import Literature, Result
from bayesmeta.forensics.rules import Hit, Rule

__all__ = ["POOLED_RULES", "i2_interval"]

# percentage points by which both ends of a printed interval of I2 may miss the test-based one: methods differ
I2_APART = 10.0
# fall of I2 that is worth a remark
I2_FALLS = 50.0
# how many results of each model show that I2 chose it
FEWEST = 2


def _interval(literature: Literature) -> Iterator[Hit]:
    for r in literature.results:
        if not (math.isfinite(r.low) and math.isfinite(r.high)) or _is_of_i2(r):
            continue
        numbers = f"{r.estimate:g} [{r.low:g}, {r.high:g}]"
        if r.low > r.high:
            yield Hit(f"{r.place}: {numbers} is upside down")
        elif math.isfinite(r.estimate) and not r.has_interval:
            yield Hit(f"{r.place}: {numbers}: the estimate is outside its interval")
        elif r.has_interval:
            with np.errstate(invalid="ignore", divide="ignore"):
                distance, half, rounding = (
                    float(v[0]) for v in off_centre(*np.array([[r.estimate], [r.low], [r.high]]), log=r.ratio)
                )
            if distance > rounding + OFF_CENTRE * half:
                what = f"the estimate is {distance / half:.0%} of the half-width off the middle"
                yield Hit(f"{r.place}: {numbers}: {what}", "warning")


def _p_value(literature: Literature) -> Iterator[Hit]:
    for r in literature.results:
        if not r.has_interval or (printed := z_of_p(r.p)) is None or (r.ratio and r.low <= 0):
            continue
        if r.ratio:
            size, slack = abs(math.log(r.estimate)), r.unit / 2 / r.low
            half, width = math.log(r.high / r.low) / 2, r.unit / 2 / r.low
        else:
            size, slack, half, width = abs(r.estimate), r.unit / 2, (r.high - r.low) / 2, r.unit / 2
        # few studies, Hartung-Knapp: the interval is by Student's t
        student = float(special.stdtrit(max(r.k - 1, 1), 0.975)) if math.isfinite(r.k) and not r.whole else 2.2
        low = max(size - slack, 0.0) / (half + width) * 1.96
        high = (size + slack) / max(half - width, 1e-300) * max(student, 1.96)
        gap = max(low - printed[1], printed[0] - high)
        if gap > max(APART, SHARE * min(high, printed[1])):
            what = f"the interval gives |z| {low:.2f} to {high:.2f}, p {r.p} at least {printed[0]:.2f}"
            yield Hit(f"{r.place}: {r.estimate:g} [{r.low:g}, {r.high:g}]: {what}")


def _is_of_i2(r: Result) -> bool:
    """Whether an interval without an estimate in it holds I2."""
    percent = 0 <= r.low < r.high <= 100 and r.high > 5
    return percent and r.low <= r.i2 <= r.high and not r.low <= r.estimate <= r.high


def i2_interval(i2: float, k: float) -> tuple[float, float]:
    """Return the test-based 95 % interval of I2.

    Parameters
    ----------
    i2 : float
        In percent, below 100.
    k : float
        Number of studies, at least 3.

    Returns
    -------
    low, high : float
        In percent.

    References
    ----------
    Higgins JPT, Thompson SG (2002). Quantifying heterogeneity in a meta-analysis. Statistics in Medicine 21:1539-1558.
    doi:10.1002/sim.1186

    Examples
    --------
    >>> tuple(round(end, 1) for end in i2_interval(71.3, 18))
    (53.8, 82.2)
    """
    df = k - 1
    q = df / (1 - i2 / 100)
    if q > k:
        se = 0.5 * (math.log(q) - math.log(df)) / (math.sqrt(2 * q) - math.sqrt(2 * df - 1))
    else:
        se = math.sqrt(1 / (2 * (k - 2)) * (1 - 1 / (3 * (k - 2) ** 2)))
    middle = 0.5 * math.log(q / df)
    ends = (middle - 1.959963984540054 * se, middle + 1.959963984540054 * se)
    low, high = (100 * max(0.0, 1 - math.exp(-2 * max(end, 0.0))) for end in ends)
    return low, high


def _interval_of_i2(literature: Literature) -> Iterator[Hit]:
    for r in literature.results:
        if _is_of_i2(r):
            printed = "no estimate" if math.isnan(r.estimate) else f"the estimate {r.estimate:g}"
            what = f"{r.low:g} to {r.high:g} holds I2 = {r.i2:g} % and {printed}"
            if math.isfinite(r.k) and r.k >= 3 and 0 < r.i2 < 100:
                low, high = i2_interval(r.i2, r.k)
                if min(abs(low - r.low), abs(high - r.high)) > I2_APART or abs(low - r.low) > 1.5 * I2_APART:
                    what += f"; nor is it the interval of that I2 from {r.k:g} studies, about {low:.0f} to {high:.0f} %"
            yield Hit(f"{r.place}: {what}")
        elif math.isnan(r.estimate) and r.low < r.high:
            yield Hit(f"{r.place}: an interval {r.low:g} to {r.high:g} without an estimate", "warning")


def _i2(literature: Literature) -> Iterator[Hit]:
    for r in literature.results:
        if r.i2 < 0 or r.i2 >= 100:
            yield Hit(f"{r.place}: I2 is {r.i2:g} %")
        elif r.i2 > 0 and r.k == 1:
            yield Hit(f"{r.place}: I2 {r.i2:g} % of one study")


def _reviews(literature: Literature) -> list[list[Result]]:
    names = dict.fromkeys(r.review for r in literature.results)
    return [[r for r in literature.results if r.review == name] for name in names]


def _same_i2(literature: Literature) -> Iterator[Hit]:
    for results in _reviews(literature):
        for one, two in combinations([r for r in results if 0 < r.i2 < 100], 2):
            if one.i2 == two.i2 and one.i2 != round(one.i2):
                near = one.outcome == two.outcome and one.k == two.k
                what = f"I2 {one.i2:g} % twice, of estimates {one.estimate:g} and {two.estimate:g}"
                yield Hit(f"{one.place} and {two.place}: {what}", "warning" if near else "info")


def _same_result(literature: Literature) -> Iterator[Hit]:
    for results in _reviews(literature):
        for one, two in combinations([r for r in results if r.has_interval], 2):
            numbers = (one.estimate, one.low, one.high)
            if numbers == (two.estimate, two.low, two.high) and one.unit < 1:
                lists = "" if set(one.cited) == set(two.cited) else f", from {one.k:g} and {two.k:g} studies"
                what = f"{numbers[0]:g} [{numbers[1]:g}, {numbers[2]:g}] twice{lists}"
                # among many results of similar trials two do agree by chance: parts of one outcome hardly ever
                yield Hit(f"{one.place} and {two.place}: {what}", None if one.outcome == two.outcome else "info")


def _model(literature: Literature) -> Iterator[Hit]:
    for results in _reviews(literature):
        known = [r for r in results if math.isfinite(r.i2) and r.model]
        fixed = [r.i2 for r in known if r.model.startswith(("fixed", "common"))]
        random = [r.i2 for r in known if r.model.startswith("random")]
        stated = any("i2" in r.model.replace("²", "2") for r in known)
        if min(len(fixed), len(random)) >= (1 if stated else FEWEST) and max(fixed) < min(random):
            what = f"{len(fixed)} results with I2 up to {max(fixed):g} % are fixed, "
            what += f"{len(random)} from {min(random):g} % on random"
            yield Hit(f"{results[0].review or 'the review'}: {what}")


def _removed(literature: Literature) -> Iterator[Hit]:
    for results in _reviews(literature):
        lists = [set(r.cited) for r in results]
        for whole in results:
            for part in results:
                dropped = set(whole.cited) - set(part.cited)
                # what is left out of a subgroup is another subgroup, or most of the trials
                few = 0 < len(dropped) <= len(whole.cited) / 3 and dropped not in lists
                within = whole.outcome == part.outcome and set(part.cited) < set(whole.cited)
                if few and within and whole.i2 - part.i2 >= I2_FALLS:
                    what = f"I2 {whole.i2:g} % becomes {part.i2:g} % without {', '.join(sorted(dropped))}"
                    yield Hit(f"{whole.place} and {part.place}: {what}")


def _direction(literature: Literature) -> Iterator[Hit]:
    for r in literature.results:
        if r.called_better and r.scale_better and r.called_better != r.scale_better:
            scale = r.instrument or r.outcome
            what = (
                f"{r.estimate:g} is called better because {r.called_better}, but {r.scale_better} is better on {scale}"
            )
            yield Hit(f"{r.place}: {what}")
    for one, two in combinations([r for r in literature.results if r.instrument and r.has_interval and not r.ratio], 2):
        same = one.instrument.casefold() == two.instrument.casefold() and one.review != two.review
        if same and (one.high < 0 < two.low or two.high < 0 < one.low):
            what = f"{one.estimate:g} and {two.estimate:g} on one scale, {one.instrument}, both intervals without 0"
            yield Hit(f"{one.place} and {two.place}: {what}", "warning")


def _independent(literature: Literature) -> Iterator[Hit]:
    for results in _reviews(literature):
        for whole in results:
            parts = [r for r in results if r is not whole and r.outcome == whole.outcome and r.has_interval and r.cited]
            for one, two in combinations(parts, 2):
                both = [ref for ref in one.cited if ref in two.cited and ref in whole.cited]
                if not whole.has_interval or not both or len(whole.cited) < len(both) or whole in (one, two):
                    continue
                if one.subgroup == whole.subgroup or not _as_if_independent(whole, one, two):
                    continue
                names = [name for ref, name in zip(whole.cited, whole.named, strict=False) if ref in both]
                shared = ", ".join(names if len(names) == len(both) else both)
                what = (
                    f"the interval is as narrow as that of {one.subgroup!r} and {two.subgroup!r} pooled as independent"
                )
                yield Hit(f"{whole.place}: {what}, but {shared} are in both")


def _as_if_independent(whole: Result, one: Result, two: Result) -> bool:
    """Whether a result is the fixed-effect mean of two others, with the SE that independence would give."""
    errors = [r.errors() for r in (whole, one, two)]
    if min(low for low, _ in errors) <= 0:
        return False
    least, most = ((errors[1][at] ** -2 + errors[2][at] ** -2) ** -0.5 for at in (0, 1))
    weights = [(sum(error) / 2) ** -2 for error in errors[1:]]
    middle = (weights[0] * one.estimate + weights[1] * two.estimate) / sum(weights)
    near = abs(middle - whole.estimate) <= 1.5 * whole.unit + 0.1 * abs(one.estimate - two.estimate)
    narrower = errors[0][1] < min(errors[1][0], errors[2][0])
    return near and narrower and errors[0][0] <= most and errors[0][1] >= least


POOLED_RULES = (
    Rule(
        "interval of I2",
        "error",
        "Is the interval that of the effect?",
        "No effect is printed: ask the authors for the pooled estimate and its interval.",
        _interval_of_i2,
    ),
    Rule(
        "pooled interval v estimate",
        "error",
        "Does the estimate stand in the middle of its interval?",
        "Check the forest plot for the numbers.",
        _interval,
    ),
    Rule(
        "pooled p v interval",
        "warning",
        "Do p and the interval say the same?",
        "Check the forest plot; p may be that of another test.",
        _p_value,
    ),
    Rule("impossible I2", "error", "Can I2 have this value?", "Check the forest plot.", _i2),
    Rule(
        "same I2 twice",
        "warning",
        "Has each result its own I2?",
        "One of them was probably copied: check both forest plots.",
        _same_i2,
    ),
    Rule(
        "same result twice",
        "warning",
        "Has each result its own numbers?",
        "One of them was probably copied: check both forest plots.",
        _same_result,
    ),
    Rule(
        "model chosen by I2",
        "warning",
        "Was the model chosen before the results were known?",
        "Re-analyse all outcomes with random effects: I2 of few trials says little about heterogeneity.",
        _model,
    ),
    Rule(
        "heterogeneity removed",
        "info",
        "Were trials left out because of what they found?",
        "Read such a result as a sensitivity analysis; the interval of what is left is too narrow.",
        _removed,
    ),
    Rule(
        "direction v scale",
        "error",
        "Is benefit called in the direction of the scale?",
        "Check how each trial scored the scale, and turn what runs the other way before pooling.",
        _direction,
    ),
    Rule(
        "patients counted twice",
        "error",
        "Are results of the same patients pooled as if independent?",
        "Pool one result per trial, or state the correlation: the interval is too narrow.",
        _independent,
    ),
)
