"""Rules over estimates, standard errors, intervals, t and p that a study table gives for one comparison."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy import special

from bayesmeta.forensics.arms import StudyTable
from bayesmeta.forensics.rules import FloatArray, Hit, Rule, shown, texts_of, unit_of

__all__ = ["ESTIMATE_RULES", "off_centre", "z_of_p"]

# share of the half-width by which an estimate may miss the middle beyond rounding: intervals of models are not exact
OFF_CENTRE = 0.1
# z values of one result may differ by this share, and by this much, beyond rounding (normal and t, adjusted models)
SHARE, APART = 0.25, 0.35
_RATIOS = frozenset({"OR", "RR", "HR", "ROM", "IRR"})
Z95 = 1.959963984540054


def off_centre(
    estimate: FloatArray, lower: FloatArray, upper: FloatArray, *, log: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return distance from the middle, half-width and what rounding explains, on the scale of analysis.

    Parameters
    ----------
    estimate, lower, upper : array
        As printed.
    log : bool
        Whether they are ratios, analysed as logarithms.

    Returns
    -------
    distance, half, rounding : array

    Examples
    --------
    >>> distance, half, rounding = off_centre(*(np.array([v]) for v in (2.0, 1.0, 4.0)), log=True)
    >>> round(float(distance[0]), 6), round(float(half[0]), 4)
    (0.0, 0.6931)
    """
    three = np.array([estimate, lower, upper], float)
    # intervals are printed to the decimals of their finest number
    unit = np.fmin.reduce([unit_of(values) for values in three])
    slack = np.tile(unit / 2, (3, 1))
    if log:
        with np.errstate(divide="ignore", invalid="ignore"):
            slack = np.where(three > 0, slack / three, np.nan)
            three = np.log(np.where(three > 0, three, np.nan))
    distance = np.abs(three[0] - (three[1] + three[2]) / 2)
    return distance, (three[2] - three[1]) / 2, slack[0] + (slack[1] + slack[2]) / 2


def z_of_p(text: str) -> tuple[float, float] | None:
    """Return the range of |z| that a printed two-sided p allows, None where it is not a p.

    Parameters
    ----------
    text : str
        ``"0.04"``, ``"<0.001"``, ``"> .99"``.

    Examples
    --------
    >>> tuple(round(z, 2) for z in z_of_p("0.04"))
    (2.0, 2.11)
    >>> z_of_p("<0.001")[1], z_of_p("n.s.")
    (inf, None)
    """
    cleaned = text.replace(" ", "").replace("=", "").replace("≤", "<").replace("≥", ">").lower().removeprefix("p")
    sign = cleaned[:1] if cleaned[:1] in "<>" else ""
    try:
        value = float(cleaned.removeprefix(sign or "\0"))
    except ValueError:
        return None
    if not 0 <= value <= 1:
        return None
    half = float(unit_of(np.array([value]))[0]) / 2 if 0 < value < 1 else 0.0005
    low, high = max(value - half, 0.0), min(value + half, 1.0)
    if sign == "<":
        low, high = 0.0, value
    elif sign == ">":
        low, high = value, 1.0
    smallest, largest = -special.ndtri(high / 2), np.inf if low == 0 else -special.ndtri(low / 2)
    return max(float(smallest), 0.0), max(float(largest), 0.0)


def _columns(table: StudyTable) -> tuple[FloatArray, FloatArray, FloatArray, list[bool]]:
    estimate, low, high = (table.number(name) for name in ("estimate", "ci_low", "ci_high"))
    # a row may say what its estimate is, where that is not the measure of the analysis
    pairs = zip(texts_of(table.frame, "estimate_measure"), texts_of(table.frame, "measure"), strict=True)
    measure = [(own or common).upper() for own, common in pairs]
    return estimate, low, high, [name in _RATIOS for name in measure]


def _interval(table: StudyTable) -> Iterator[Hit]:
    estimate, low, high, ratio = _columns(table)
    with np.errstate(divide="ignore", invalid="ignore"):
        plain = off_centre(estimate, low, high, log=False)
        logs = off_centre(estimate, low, high, log=True)
    stated = "measure" in table.frame.columns
    for i in np.flatnonzero(np.isfinite(low + high)):
        numbers = f"{estimate[i]:g} in {low[i]:g} to {high[i]:g}"
        if low[i] > high[i]:
            yield Hit(f"{table.place(int(i))}: the interval {low[i]:g} to {high[i]:g} is upside down", "error")
        elif np.isfinite(estimate[i]) and not low[i] <= estimate[i] <= high[i]:
            yield Hit(f"{table.place(int(i))}: {numbers}: the estimate is outside its interval", "error")
        elif np.isfinite(estimate[i]):
            # without a measure a ratio may stand on either scale, and the kinder one counts
            scales = [logs] if ratio[i] else [plain] if stated or not low[i] > 0 else [plain, logs]
            excess = [float(d[i] - r[i] - OFF_CENTRE * h[i]) for d, h, r in scales]
            if min(excess) > 0:
                distance, half, _ = scales[int(np.argmin(excess))]
                yield Hit(
                    f"{table.place(int(i))}: {numbers}: {distance[i] / half[i]:.0%} of the half-width off its middle"
                )


def _arm_intervals(table: StudyTable) -> Iterator[Hit]:
    for arm in "tc":
        mean, low, high = (table.number(f"{stem}_{arm}") for stem in ("mean", "ci_low", "ci_high"))
        with np.errstate(invalid="ignore"):
            outside = (mean < low) | (mean > high)
        for i in np.flatnonzero(outside & np.isfinite(mean + low + high)).tolist():
            yield Hit(f"{table.place(i)}: mean_{arm} {mean[i]:g} is outside its interval {low[i]:g} to {high[i]:g}")


def _difference(table: StudyTable) -> Iterator[Hit]:
    estimate, low, high, ratio = _columns(table)
    mean_t, mean_c = table.number("mean_t"), table.number("mean_c")
    with np.errstate(invalid="ignore"):
        half = np.where(np.isfinite(high - low), (high - low) / 2, Z95 * table.number("se"))
        arms = mean_t - mean_c
        opposite = (estimate * arms < 0) & (np.abs(estimate) > half / 2) & ~np.array(ratio, bool)
    for i in np.flatnonzero(opposite).tolist():
        yield Hit(f"{table.place(i)}: the estimate is {estimate[i]:g}, the arms {mean_t[i]:g} and {mean_c[i]:g}")


def _statistics(table: StudyTable) -> Iterator[Hit]:
    estimate, low, high, ratio = _columns(table)
    n = table.number("n_t") + table.number("n_c")
    se, t = table.number("se"), table.number("t")
    p = texts_of(table.frame, "p") if "p" in table.frame.columns else texts_of(table.frame, "p_value")
    for i in range(len(table)):
        ranges: dict[str, tuple[float, float]] = {}
        # an interval by Student's t is wider than by the normal, by at most this factor
        student = float(special.stdtrit(max(n[i] - 2, 1), 0.975)) / Z95 if np.isfinite(n[i]) else 1.15
        log = ratio[i] and estimate[i] > 0
        value = np.log(estimate[i]) if log else estimate[i]
        unit = float(unit_of(estimate[i : i + 1])[0]) / 2
        slack = unit / estimate[i] if log else unit
        size = max(abs(value) - slack, 0.0), abs(value) + slack
        if np.isfinite(value + low[i] + high[i]) and high[i] > low[i] and (not log or low[i] > 0):
            half = (np.log(high[i] / low[i]) if log else high[i] - low[i]) / 2
            width = max(float(unit_of(np.array([low[i], high[i]])).min()) / 2, 1e-12)
            width = width / low[i] if log else width
            ranges["interval"] = size[0] / (half + width) * Z95, size[1] / max(half - width, 1e-300) * Z95 * student
        if np.isfinite(value + se[i]) and se[i] > 0:
            half_unit = float(unit_of(se[i : i + 1])[0]) / 2
            ranges["standard error"] = size[0] / (se[i] + half_unit), size[1] / max(se[i] - half_unit, 1e-300)
        if np.isfinite(t[i]):
            half_unit = float(unit_of(t[i : i + 1])[0]) / 2
            ranges["t"] = max(abs(t[i]) - half_unit, 0.0), abs(t[i]) + half_unit
        if (found := z_of_p(p[i])) is not None:
            # the t that goes with a p is larger than its z
            ranges["p"] = found[0], found[1] * (student if np.isfinite(n[i]) else 1.15)
        worst: float = 0.0
        pair: tuple[str, ...] = ()
        for names in combinations(ranges, 2):
            one, two = (ranges[name] for name in names)
            gap = max(one[0] - two[1], two[0] - one[1])
            if gap > max(APART, SHARE * min(one[1], two[1]), worst):
                worst, pair = gap, names
        if pair:
            shown_pair = (f"{name} {_range(ranges[name])}" for name in pair)
            yield Hit(f"{table.place(i)}: |estimate/SE| by {' and by '.join(shown_pair)}")


def _range(z: tuple[float, float]) -> str:
    return f"above {z[0]:.2f}" if np.isinf(z[1]) else shown(sum(z) / 2)


ESTIMATE_RULES = (
    Rule(
        "interval v arm mean",
        "error",
        "Does each arm's mean stand in its own interval?",
        "Check the cells of the arm for a lost minus sign.",
        _arm_intervals,
    ),
    Rule(
        "estimate v arms",
        "warning",
        "Does the estimate point where the arms' means point?",
        "Check which arm is which, and whether the estimate is treated minus control.",
        _difference,
    ),
    Rule(
        "interval v estimate",
        "warning",
        "Does the estimate stand in the middle of its interval?",
        "Check for a swapped digit or sign, a ratio taken for a difference, or another number's interval.",
        _interval,
    ),
    Rule(
        "statistics contradict",
        "warning",
        "Do SE, interval, t and p say the same?",
        "Check which is misprinted, and whether p belongs to another comparison or is adjusted for several tests.",
        _statistics,
    ),
)
