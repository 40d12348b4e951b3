"""The sentence on top of a section: whether its answers lead to another conclusion, in the outcome's own words.

A verdict reads a table that exists; it computes nothing anew and rates nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesmeta.columns import percent, plural, ratios, together
from bayesmeta.fits import main_quantiles
from bayesmeta.measures import measure
from bayesmeta.questions import numeric_distance

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bayesmeta.fits import Fit
    from bayesmeta.plan import Threshold

#: Moves of the mean below this share of its posterior SD, and of a probability below one percentage point, are folded.
TENTH, POINT = 0.1, 0.01

#: What an interval shows, by its conclusion.
_SHOWS = {
    "important benefit": "an important benefit",
    "benefit, perhaps important": "a benefit that may be important",
    "benefit, not important": "a benefit smaller than an important one",
    "benefit": "a benefit",
    "harm": "harm",
    "not clear": "no clear direction",
    "above zero": "a mean above no effect",
    "below zero": "a mean below no effect",
    "beyond the threshold": "a mean beyond the threshold",
    "on the other side": "a mean on the other side of the threshold",
    "either side": "a mean on either side of the threshold",
    "no threshold": "a mean that no threshold is set against",
}
_SIGN = {"higher": 1, "lower": -1, None: 0}


#: What quantities are called in a sentence and in the cells of a table.
QUANTITIES = {"mu": "mean effect", "theta_new": "new study"}


class Answer(NamedTuple):
    """A mean with its interval on the analysis scale, and what gave it."""

    name: str
    mean: float
    lower: float
    upper: float


def conclusion(lower: float, upper: float, sign: int, distance: float | None) -> str:
    """Set an interval against no effect and the threshold of important benefit.

    Parameters
    ----------
    lower, upper : float
    sign : {1, -1, 0}
        Which direction is better; 0 where none is stated.
    distance : float or None
        Of important benefit, on the analysis scale.
    """
    if sign == 0:
        return "above zero" if lower > 0 else "below zero" if upper < 0 else "not clear"
    low, high = (lower, upper) if sign > 0 else (-upper, -lower)
    if high < 0:
        return "harm"
    if low <= 0:
        return "not clear"
    if distance is None:
        return "benefit"
    if low >= distance:
        return "important benefit"
    return "benefit, perhaps important" if high >= distance else "benefit, not important"


def side(lower: float, upper: float, sign: int, item: Threshold | None) -> str:
    """Set an interval of one arm against the threshold, which is a value; there is no effect to speak of.

    Parameters
    ----------
    lower, upper : float
    sign : {1, -1, 0}
        Which direction is better; 0 where none is stated.
    item : Threshold or None
    """
    benefit, worse = (None, None) if item is None else (item.benefit_distance, item.worse_distance)
    if sign == 0 or not isinstance(benefit, (int, float)) or not isinstance(worse, (int, float)):
        return "no threshold"
    low, high = (lower, upper) if sign > 0 else (-upper, -lower)
    return "beyond the threshold" if low >= benefit else "on the other side" if high <= -worse else "either side"


def answers(
    table: pd.DataFrame, name: str, mean: str = "mu", lower: str = "lower", upper: str = "upper"
) -> list[Answer]:
    """Lines of a table that hold a mean with its interval; those without numbers are passed over."""
    if mean not in table:
        return []
    some = table[np.isfinite(table[[mean, lower, upper]].to_numpy(float)).all(axis=1)]
    return [
        Answer(str(what), float(m), float(a), float(b))
        for what, m, a, b in zip(some[name], some[mean], some[lower], some[upper], strict=True)
    ]


def in_words(name: str) -> str:
    """What an interval with that conclusion shows."""
    return _SHOWS[name]


def concluded(fit: Fit, threshold: Threshold | None, answer: Answer) -> str:
    """The conclusion from an answer, in the fit's direction."""
    if measure(fit.effects.measure).single_arm:
        return side(answer.lower, answer.upper, _SIGN[fit.effects.better], threshold)
    return conclusion(answer.lower, answer.upper, _SIGN[fit.effects.better], numeric_distance(threshold))


def shows(fit: Fit, threshold: Threshold | None, answer: Answer) -> str:
    """What its interval shows, in words."""
    return _SHOWS[concluded(fit, threshold, answer)]


def other_conclusion(fit: Fit, threshold: Threshold | None, main: Answer, others: Iterable[Answer]) -> list[Answer]:
    """Those that lead to another conclusion than the main answer."""
    return [item for item in others if concluded(fit, threshold, item) != concluded(fit, threshold, main)]


def _texts(fit: Fit, values: Sequence[float]) -> list[str]:
    """Effects on the natural scale, with the digits that they share."""
    kind = measure(fit.effects.measure)
    natural = np.asarray(kind.back(np.array(values, float)), float).tolist()
    return (ratios if kind.log else together)([natural])[0]


def the_mean(fit: Fit) -> str:
    """The mean, with its measure, or its unit where it has one."""
    name = fit.effects.measure
    scale = fit.effects.unit if name in ("MD", "generic") else name
    return f"the mean ({scale})" if scale else "the mean"


def written(fit: Fit, answer: Answer) -> str:
    """A mean with its interval, on the natural scale."""
    return written_alike(fit, [answer])[0]


def written_alike(fit: Fit, some: Sequence[Answer]) -> list[str]:
    """Means with their intervals, with the digits that they share."""
    texts = iter(_texts(fit, [value for item in some for value in item[1:]]))
    return [f"{mean}, {lower} to {upper}" for mean, lower, upper in zip(texts, texts, texts, strict=True)]


def span(fit: Fit, some: Sequence[Answer]) -> str:
    """Where the means lie, from the least benefit to the most."""
    values = sorted((item.mean for item in some), key=lambda x: (_SIGN[fit.effects.better] or 1) * x)
    low, high = _texts(fit, [values[0], values[-1]])
    return f"at {low}" if low == high else f"between {low} and {high}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """A few names, and how many more there are."""
    names, comma = list(names), "; " if any("," in name or ";" in name for name in names) else ", "
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join(filter(None, [comma.join(names[:-1]), *names[-1:]]))


def compared(
    fit: Fit,
    threshold: Threshold | None,
    main: Answer,
    others: Sequence[Answer],
    *,
    kept: str,
    lost: str,
    by: str,
    with_main: bool = True,
) -> str:
    """Whether other answers lead to another conclusion than the main one, with the numbers that decide.

    Parameters
    ----------
    main : Answer
        Its name says how it came about, such as "with all trials".
    others : sequence of Answer
    kept, lost : str
        How the sentence begins where none, or some, lead to another conclusion, with its colon.
    by : str
        What stands before the name of another answer, such as "without".
    with_main : bool
        Whether the range of means counts the main answer.

    Examples
    --------
    >>> main, other = Answer("as stated", -0.3, -0.5, -0.1), Answer("wide", -0.2, -0.45, 0.05)
    >>> compared(fit, None, main, [main], kept="It stays:", lost="It changes:", by="under")
    'It stays: the mean (SMD) stays at -0.300, and the interval always shows a benefit.'
    >>> compared(fit, None, main, [other], kept="It stays:", lost="It changes:", by="under").split(" (")[0]
    'It changes: as stated the interval shows a benefit'
    """
    moved = other_conclusion(fit, threshold, main, others)
    if not moved and len(others) == 1 and not with_main:
        return f"{kept} {the_mean(fit)} is {written(fit, others[0])}: {shows(fit, threshold, main)} too."
    if not moved:
        return (
            f"{kept} {the_mean(fit)} stays {span(fit, [*others, *([main] if with_main else [])])}, and the interval "
            f"always shows "
            f"{shows(fit, threshold, main)}."
        )
    far = max(moved, key=lambda item: abs(item.mean - main.mean))
    by = f"{by} " if by else ""
    ours, theirs = written_alike(fit, [main, far])
    others_too = [item.name for item in moved if item is not far]
    more = f" Another conclusion too {by}{listed(others_too)}." if others_too else ""
    return (
        f"{lost} {main.name} the interval shows {shows(fit, threshold, main)} ({the_mean(fit)} is "
        f"{ours}), {by}{far.name} {shows(fit, threshold, far)} ({theirs}).{more}"
    )


def answer_of(fit: Fit, name: str) -> Answer:
    """The median and central interval of the mean of a fit."""
    lower, mean, upper = main_quantiles([fit])[0]["mu"]
    return Answer(name, float(mean), float(lower), float(upper))


def chances_between(table: pd.DataFrame, where: str) -> list[str]:
    """The range of the probability of an important benefit, as a sentence; none where the table has no such column."""
    if "p_important_benefit" not in table or not table["p_important_benefit"].notna().any():
        return []
    low, high = (percent(float(x)) for x in table["p_important_benefit"].agg(["min", "max"]))
    return [f"P(important benefit) is {low if low == high else f'{low} to {high}'} {where}."]


def largest(table: pd.DataFrame, values: pd.Series[Any]) -> Any:
    """The line of a table where some values are largest; missing ones are passed over."""
    return table.iloc[int(np.nanargmax(values.to_numpy(float)))]


def left_out(table: pd.DataFrame, found: Sequence[Answer], what: str) -> str:
    """A sentence on lines without numbers; empty where there are none."""
    count = len(table) - len(found)
    return f"{plural(count, what)} could not be computed." if count else ""


def little_moved(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> NDArray[np.bool_]:
    """Lines that move neither the conclusion nor a number that is worth a look; the first is the main one.

    The mean by less than `TENTH` of its posterior SD, and the probability of an important benefit, in the mean effect
    and in a new study, by less than `POINT`.
    """
    main = answers(table.iloc[:1], "mu")
    if not main:
        return np.zeros(len(table), bool)
    same = alike(fit, table, threshold, main[0]) & (table["change"].abs() < TENTH).to_numpy()
    for name in ("p_important_benefit", "p_important_benefit_new"):
        if name in table and table[name].notna().any():
            same &= ((table[name] - table[name].iloc[0]).abs() < POINT).to_numpy()
    same[0] = False
    return same


def alike(
    fit: Fit, table: pd.DataFrame, threshold: Threshold | None, main: Answer, mean: str = "mu"
) -> NDArray[np.bool_]:
    """Lines that lead to the conclusion of the main answer."""
    ours = concluded(fit, threshold, main)
    lines = zip(*(table[name].astype(float) for name in (mean, "lower", "upper")), strict=True)
    return np.array(
        [bool(np.isfinite(line).all()) and concluded(fit, threshold, Answer("", *line)) == ours for line in lines], bool
    )


def interval_unmoved(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> list[bool]:
    """Lines whose mean and ends differ from the first that has numbers by less than `TENTH` of its half width."""
    found = answers(table, "estimate", "estimate")
    if not found:
        return [False] * len(table)
    main = found[0]
    ends = table[["estimate", "lower", "upper"]].to_numpy(float)
    near = (np.abs(ends - np.array(main[1:])) < TENTH * (main.upper - main.lower) / 2).all(axis=1)
    near &= alike(fit, table, threshold, main, "estimate")
    near[int(np.argmax(np.isfinite(ends).all(axis=1)))] = False
    return near.tolist()
