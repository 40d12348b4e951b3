"""In whom the effect differs, as the panel reads it: levels, differences, tests, and what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesmeta.columns import bayes_factor_text, p_words, percent
from bayesmeta.measures import measure
from bayesmeta.questions import interval_texts
from bayesmeta.report.axes import Axis
from bayesmeta.report.summary import SummaryRow, Yardstick, chances_at, written

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.fits import Fit

__all__ = ["LANE", "in_whom"]

#: Width of the small forest plot of levels.
LANE = 220.0


def in_whom(part: Analysis, row: SummaryRow) -> dict[str, Any] | None:
    """In whom the effect differs: levels with a small forest plot, differences, tests, and what cannot be told.

    Returns
    -------
    dict or None
        ``reason``, ``levels``, ``differences``, ``tests``, ``notes``; None where no moderators are declared or nothing
        can be estimated.
    """
    table = part.moderators
    if table is None:
        return None
    fits = [part.moderated] if part.moderated is not None else list(part.alone.values())
    first = row.yardsticks[0] if row.yardsticks else None
    lines: Any = table.to_dict("records")
    shown = [item for item in lines if item["part"] in ("level", "value", "cell")]
    ends = [float(item[name]) for item in shown for name in ("lower", "upper")]
    sign = 1 if part.effects.better != "lower" else -1
    marks = [] if first is None else [first.distance]
    low = min([0.0, *(sign * x for x in ends)])
    high = max([0.0, *marks, *(sign * x for x in ends)])
    pad = 0.04 * (high - low or 1.0)
    axis = Axis(low - pad, high + pad, (), "")
    return {
        "reason": part.reason,
        "axis": axis,
        "zero": axis.place(0.0, LANE),
        "mark": None if first is None else axis.place(first.distance, LANE),
        "levels": [_level(part, item, fits, axis, sign, first) for item in shown],
        "differences": [_difference(part, item) for item in lines if item["part"] in _CONTRASTS],
        "tests": [told for item in lines if item["part"] == "test" and (told := _test(item))["text"]],
        "within": [
            _difference(part, item)
            for item in lines
            if item["part"] == "within trials" and item["trials"] and item["median"] == item["median"]
        ],
        "notes": [text for text in table.attrs.get("notes", ()) if _matters(text)],
    }


def _matters(note: str) -> bool:
    """Whether a note of the moderator table is for the panel: what is confounded, and what could not be told apart."""
    return note.startswith("All moderators together") or ("Confounding" in note and "none above" not in note)


_CONTRASTS = ("contrast", "slope", "interaction", "simple effect")


def _level(
    part: Analysis, item: Mapping[str, Any], fits: Sequence[Fit], axis: Axis, sign: int, first: Yardstick | None
) -> dict[str, Any]:
    ends = [float(item[name]) for name in ("median", "lower", "upper")]
    median, lower, upper = written(part, ends)
    left, right = sorted(axis.place(sign * x, LANE) for x in ends[1:])
    chance = None
    if first is not None and part.effects.better is not None:
        chance = _level_chance(item, fits, first)
        if chance is None and not first.natural and item["p_important_benefit"] == item["p_important_benefit"]:
            chance = float(item["p_important_benefit"])
    name = str(item["name"])
    return {
        "moderator": str(item["moderator"]),
        "part": str(item["part"]),
        "name": name,
        "trials": int(item["trials"]) if item["trials"] == item["trials"] else "",
        "mark": str(item["mark"] or ""),
        "effect": f"{median} ({lower} to {upper})",
        "dot": axis.place(sign * ends[0], LANE),
        "ends": (left, right),
        "any": _percent(item["p_any_benefit"]),
        "chance": None if chance is None else percent(chance),
        "live": _live_name(item, fits),
    }


def _live_name(item: Mapping[str, Any], fits: Sequence[Fit]) -> str:
    """The posterior in the page that belongs to a level (`bayesmeta.report.gather.posteriors`); empty without one."""
    if item["part"] != "level" or len(fits) != 1 or str(item["moderator"]) not in fits[0].design.factors:
        return ""
    levels = [str(level) for level in fits[0].design.factors[str(item["moderator"])].levels]
    return f"level-{item['moderator']}-{levels.index(str(item['name']))}" if str(item["name"]) in levels else ""


def _level_chance(item: Mapping[str, Any], fits: Sequence[Fit], first: Yardstick) -> float | None:
    """Chance of a benefit beyond the first yardstick in a group; levels and cells of factors only."""
    for fit in fits:
        factors = fit.design.factors
        if item["part"] == "level" and item["moderator"] in factors:
            found, _ = chances_at(fit, first, at={str(item["moderator"]): item["name"]})
            return found.mean
    return None


def _percent(value: Any) -> str:
    return "" if value is None or value != value else percent(float(value))


def _difference(part: Analysis, item: Mapping[str, Any]) -> dict[str, Any]:
    kind = measure(part.effects.measure)
    ends = [float(item[name]) for name in ("median", "lower", "upper")]
    median, lower, upper = written(part, ends) if kind.log else interval_texts(ends, ratio=False)
    more = item["p_more_benefit"]
    return {
        "moderator": str(item["moderator"]),
        "name": str(item["name"]),
        "part": str(item["part"]),
        "trials": int(item["trials"]) if item["trials"] == item["trials"] else "",
        "effect": f"{median} ({lower} to {upper})",
        "more": _percent(more),
        "mark": str(item["mark"] or ""),
    }


def _test(item: Mapping[str, Any]) -> dict[str, str]:
    parts = []
    if item["p_value"] == item["p_value"]:
        parts.append(f"F({item['df1']:g}, {item['df2']:g}) = {item['f']:.2f}, {p_words(float(item['p_value']))}")
    if item["bayes_factor"] == item["bayes_factor"]:
        parts.append(f"Bayes factor {bayes_factor_text(float(item['bayes_factor']))}")
    if item["p_inclusion"] == item["p_inclusion"]:
        parts.append(f"P(in the model) {percent(float(item['p_inclusion']))}")
    return {"name": str(item["moderator"]), "text": "; ".join(parts)}
