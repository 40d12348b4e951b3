"""Sizes of effect between the thresholds of a panel, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from bayesmeta.columns import amount, percent
from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.measures import measure, require_null
from bayesmeta.plan import Threshold
from bayesmeta.questions.benefit import band_table, benefit_table, one_arm_words
from bayesmeta.questions.thresholds import direction, resolve_thresholds

__all__ = ["LITTLE", "NO_NULL", "between_words", "chance_notes", "chance_table", "size_table"]

_Line = tuple[str, float, float]
#: What an effect below every threshold is called.
LITTLE = "little to no effect"
#: Why measures of one arm have no probability of any benefit.
NO_NULL = "One arm is compared with nothing and has no null: there is no probability of any benefit."


def between_words(item: Threshold, thresholds: Sequence[Threshold]) -> str:
    """What an effect between the two sides of a threshold is called, beside the other thresholds.

    Every threshold that a protocol states is a difference that it calls important in some degree; the smallest divides
    little to no effect from the rest (GRADE guidelines 26, doi:10.1016/j.jclinepi.2019.10.014). Below a larger one an
    effect is merely less than that.

    Examples
    --------
    >>> small, large = (bm.threshold(x, measure_name="SMD", better="lower", name=n) for n, x in (("small", 0.2),
    ...                                                                                          ("large", 0.8)))
    >>> between_words(small, [large, small]), between_words(large, [large, small])
    ('little to no effect', 'less than large')
    """

    def smallest(other: Threshold) -> bool:
        pairs = (
            (item.benefit_distance, other.benefit_distance),
            (item.worse_distance, other.worse_distance),
        )
        return all(own <= its for own, its in pairs if isinstance(own, (int, float)) and isinstance(its, (int, float)))

    return LITTLE if all(smallest(other) for other in thresholds) else f"less than {item.name}"


def _ordered(thresholds: Iterable[Threshold], side: str) -> tuple[list[float], list[str]]:
    """Distances in order, and the name of each; thresholds of one distance share it, ranges have none."""
    named: dict[float, list[str]] = {}
    for item in thresholds:
        amount = getattr(item, f"{side}_distance")
        if isinstance(amount, (int, float)):
            named.setdefault(float(amount), []).append(item.name)
    return sorted(named), [", ".join(named[distance]) for distance in sorted(named)]


def size_table(
    fit: Fit, thresholds: Sequence[Threshold | float] | None = None, *, at: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Probabilities of every size of benefit and harm: bands between the thresholds, in order, named by them.

    Parameters
    ----------
    fit : Fit
    thresholds : sequence of Threshold or float, optional
        Default: those of the fit's outcome. Those that are a range or a distribution make no band.
    at : mapping, optional
        A moderator profile.

    Returns
    -------
    pandas.DataFrame
        From the largest benefit to the largest harm: columns ``size lower upper p_mean p_new``; the ends are distances
        in the direction of benefit on the analysis scale, and probabilities sum to one. Below the smallest threshold
        stands ``little to no effect`` (`between_words`).

    Raises
    ------
    ModelError
        Without a direction, and where no threshold is a number.

    Examples
    --------
    >>> size_table(fit, [0.5, 0.2])["size"].tolist()
    ['0.5 benefit', '0.2 benefit', 'little to no effect', '0.2 harm', '0.5 harm']
    """
    require_null(fit.effects.measure, "sizes of benefit and harm")
    stated = resolve_thresholds(fit, thresholds)
    (good, good_names), (bad, bad_names) = (_ordered(stated, side) for side in ("benefit", "worse"))
    if not good or not bad:
        raise ModelError("no threshold is a number: sizes of effect need one, such as 0.5 for an SMD.")
    cuts = [*(-x for x in reversed(bad)), *good]
    names = [
        *(f"{name} harm" for name in reversed(bad_names)),
        LITTLE,
        *(f"{name} benefit" for name in good_names),
    ]
    return band_table(fit, cuts, names, at=at).rename(columns={"band": "size"}).iloc[::-1].reset_index(drop=True)


def chance_table(
    fit: Fit,
    thresholds: Sequence[Threshold | float] | Threshold | float | None = None,
    *,
    asked: Sequence[Threshold | float] | None = None,
) -> pd.DataFrame:
    """Probabilities against thresholds as a reader wants them: any benefit, important benefit, what lies between.

    Parameters
    ----------
    fit : Fit
    thresholds : Threshold, float, or several, optional
        All that are stated, which divide what lies between; default those of the fit's outcome.
    asked : sequence of Threshold or float, optional
        Those that get lines of their own; default all.

    Returns
    -------
    pandas.DataFrame
        Columns ``threshold chance p_mean p_new``, with the names that `bayesmeta.benefit_table` gives to thresholds.
        Bands (`bayesmeta.size_table`) beyond a threshold are parts of its line and begin with two spaces; bands below
        it take the place of what lies between its two sides.

    Raises
    ------
    ModelError
        Without a direction or a threshold.

    Examples
    --------
    >>> small, large = (bm.threshold(x, measure_name="SMD", better="lower") for x in (0.2, 0.5))
    >>> chance_table(fit, [large, small], asked=[large])["chance"].tolist()
    ['any benefit', 'important benefit', '0.2 benefit', 'little to no effect', '0.2 harm', 'important harm']
    """
    stated = resolve_thresholds(fit, thresholds)
    wanted = stated if asked is None else resolve_thresholds(fit, list(asked))
    parts = []
    for item in wanted:
        for name, lines in benefit_table(fit, [item]).groupby("threshold", sort=False):
            columns = (f"p_{what}" for what in ("any_benefit", "important_benefit", "trivial", "important_harm"))
            any_benefit, good, between, bad = ((*lines[column],) for column in columns)
            if measure(fit.effects.measure).single_arm:
                words_of = zip(one_arm_words(fit, item), (good, between, bad), strict=True)
                found = [(text, *values) for text, values in words_of if text]
                parts.append(pd.DataFrame(found, columns=["chance", "p_mean", "p_new"]).assign(threshold=name))
                continue
            single = all(isinstance(side, (int, float)) for side in (item.benefit_distance, item.worse_distance))
            middle: list[_Line] = [(between_words(item, stated), *between)]
            outer: dict[str, list[_Line]] = {"benefit": [], "harm": []}
            if single:
                middle, outer = _divided(fit, item, list(dict.fromkeys((*stated, item))))
            called = "important" if item.primary else item.name
            words = {side: f"{called} {side}{' or larger' if outer[side] else ''}" for side in outer}
            rows: list[_Line] = [("any benefit", *any_benefit), (words["benefit"], *good), *outer["benefit"]]
            rows += [*middle, (words["harm"], *bad), *outer["harm"]]
            parts.append(pd.DataFrame(rows, columns=["chance", "p_mean", "p_new"]).assign(threshold=name))
    if not parts:
        raise ModelError("no threshold is stated: give one, for example 0.5 for an SMD, with its source.")
    return pd.concat(parts, ignore_index=True)[["threshold", "chance", "p_mean", "p_new"]]


def _divided(fit: Fit, item: Threshold, thresholds: Sequence[Threshold]) -> tuple[list[_Line], dict[str, list[_Line]]]:
    """Bands between the two sides of a threshold, and those that its own sides are made of, where there are several."""
    middle: list[_Line] = []
    outer: dict[str, list[_Line]] = {"benefit": [], "harm": []}
    for band in size_table(fit, thresholds).to_dict("records"):
        line = (str(band["size"]), float(band["p_mean"]), float(band["p_new"]))
        if -item.worse_distance <= band["lower"] and band["upper"] <= item.benefit_distance:  # type: ignore[operator]
            middle.append(line)
        else:
            outer[line[0].rpartition(" ")[2]].append((f"  {line[0]}", *line[1:]))
    # one band beyond a threshold is its line again
    return middle, {side: lines if len(lines) > 1 else [] for side, lines in outer.items()}


def chance_notes(
    fit: Fit, thresholds: Sequence[Threshold], asked: Sequence[Threshold], *, share: bool = False
) -> dict[str, str]:
    """What stands below the lines of `chance_table` of each threshold: its distances, its source, and the other bands.

    Parameters
    ----------
    fit : Fit
    thresholds : sequence of Threshold
        All that are stated.
    asked : sequence of Threshold
        Those that have lines.
    share : bool
        Whether the share of true effects beyond each is given.

    Returns
    -------
    dict of str to str
        By the name that `bayesmeta.benefit_table` gives to a threshold.

    Examples
    --------
    >>> small, large = (bm.threshold(x, measure_name="SMD", better="lower") for x in (0.2, 0.5))
    >>> chance_notes(fit, [large, small], [large])["0.5"].partition(". ")[2]
    'Source: stated by the user. "0.2": benefit from 0.2, harm from 0.2.'
    """
    kind, sign = measure(fit.effects.measure), direction(fit)

    def stated(distance: Any, side: int) -> str:
        return amount(float(kind.back(sign * side * distance if kind.log else distance)))

    bands = "".join(
        f' "{item.name}": benefit from {stated(item.benefit_distance, 1)}, harm from {stated(item.worse_distance, -1)}.'
        for item in thresholds
        if item not in asked and all(isinstance(x, (int, float)) for x in (item.benefit_distance, item.worse_distance))
    )
    notes = {}
    table: Any = benefit_table(fit, asked)
    for name, lines in table.groupby("threshold", sort=False):
        mean, new = lines.to_dict("records")
        if kind.single_arm:
            text = f'Threshold "{name}": a value of the {kind.label}, not a difference. '
            text += f"Source: {mean['source']}. {NO_NULL}"
            notes[str(name)] = text + (
                _share_words(mean, new, "studies whose true value is on that side") if share else ""
            )
            continue
        beyond = "beyond a distribution of mean" if str(name).endswith("(averaged)") else "at least"
        text = (
            f'Threshold "{name}": benefit {beyond} {stated(mean["benefit"], 1)}, harm {beyond} '
            f"{stated(mean['worse'], -1)}. Source: {mean['source']}.{bands}"
        )
        text += _share_words(mean, new, "true effects with such a benefit") if share else ""
        notes[str(name)] = text
    return notes


def _share_words(mean: Mapping[str, Any], new: Mapping[str, Any], counted: str) -> str:
    if new["share_median"] != new["share_median"]:
        return ""
    median, lower, upper = (percent(new[f"share_{end}"]) for end in ("median", "lower", "upper"))
    return (
        f" Share of {counted}: median {median}, 95 % central credible interval "
        f"{lower} to {upper}; probability that it is a majority {percent(mean['p_important_benefit'])}."
    )
