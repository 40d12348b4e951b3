"""The panel's view, which opens first: controls, rows, what is left out; all that it needs of all outcomes together."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.columns import amount, plural
from bayesmeta.measures import measure
from bayesmeta.plan import CERTAINTIES, DOMAINS, Judgements
from bayesmeta.questions import in_sentence
from bayesmeta.report.axes import axes_of, row_picture
from bayesmeta.report.summary import SummaryRow, Yardstick, asked_of

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis

__all__ = [
    "chance_slots",
    "classical_checks",
    "controls_of",
    "left_out",
    "left_out_texts",
    "panel_view",
    "points_slider",
]

#: So many outcomes are named beside a control.
FEW = 4


# -- controls of thresholds --------------------------------------------------------------------------------------------


def controls_of(
    rows: Sequence[SummaryRow], ranges: Mapping[str, tuple[float, float, float] | None]
) -> list[dict[str, Any]]:
    """One control of the threshold for every kind of outcome: an instrument, else a measure with its unit.

    Parameters
    ----------
    ranges : mapping
        By outcome, the ends and the step of its slider on the measure's own scale.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.reasons or not row.yardsticks:
            continue
        first, natural = row.yardsticks[0], row.natural
        own = ranges.get(row.key)
        if first.natural and natural is not None and natural.mid is not None:
            kind, unit, value = natural.unit, "points", natural.mid[0]
            slider = points_slider(value)
        elif own is not None and first.weights.size == 1:
            kind, unit, value = f"{row.measure} {row.unit}".strip(), row.unit or row.measure_words, _stated(first)
            slider = own
        else:
            continue
        ratio = measure(row.measure).log and not first.natural
        new = {"kind": kind, "unit": unit, "ratio": ratio, "value": value, "slider": slider, "keys": [], "names": []}
        control = found.setdefault(kind, new)
        control["keys"].append(row.key)
        low, high, step = control["slider"]
        control["slider"] = (min(low, slider[0]), max(high, slider[1]), min(step, slider[2]))
        if row.short not in control["names"]:
            control["names"].append(row.short)
    for i, item in enumerate(found.values()):
        item |= {"id": f"kind-{i}", "of": _counted(item["names"], alone=len(found) == 1)}
    return list(found.values())


def _counted(names: Sequence[str], *, alone: bool) -> str:
    """What a control is of: names, or how many where they are many."""
    if len(names) <= FEW:
        return ", ".join([names[0], *map(in_sentence, names[1:])])
    return f"all {len(names)} outcomes" if alone else f"{names[0]} and {len(names) - 1} more"


def points_slider(stated: float) -> tuple[float, float, float]:
    """Ends and step of a slider in points."""
    return (stated / 20, 4 * stated, stated / 20)


def _stated(item: Yardstick) -> float:
    """The number in a yardstick's words."""
    return next(float(word) for word in reversed(item.words.split()) if word.replace(".", "", 1).isdigit())


# -- left out ----------------------------------------------------------------------------------------------------------


def left_out_texts(part: Analysis) -> list[str]:
    """What is not in the answer of one outcome, and why."""
    reading = part.reading
    texts = [] if reading is None else [f"{item.study}: {item.reason.rstrip('.')}" for item in reading.excluded]
    texts += [f"{name}, not run: {why.rstrip('.')}" for name, why in part.not_done.items()]
    if part.left_out:
        texts.append(f"moderators with one level: {', '.join(part.left_out)}")
    return list(dict.fromkeys(texts))


def _of_the_table(part: Analysis) -> list[str]:
    """Rows that the protocol excludes from every analysis, whether or not one of these would have used them."""
    data = None if part.protocol is None else part.protocol.data
    return [
        f"{', '.join(str(value) for value in item.where.values())}: {item.reason.rstrip('.')}"
        for item in (() if data is None else data.exclude)
    ]


def assumed_rows(texts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """What was assumed of the rows of which outcomes; how many rows of each stands with the outcome.

    Examples
    --------
    >>> assumed_rows({"Pain": ["6 rows share patients"], "Sleep": ["2 of 9 rows: share patients (A, B)"]})
    [('share patients', 'Pain, 6 rows; Sleep, 2 rows')]
    """
    found: dict[str, list[str]] = {}
    for label, some in texts.items():
        for text in some:
            counted = _COUNTED.match(text)
            what = _NAMED.sub("", counted.group(2)) if counted else text
            rows = f", {plural(int(counted.group(1)), 'row')}" if counted else ""
            found.setdefault(what, []).append(f"{label}{rows}")
    return [(what, "; ".join(labels)) for what, labels in found.items()]


_COUNTED = re.compile(r"(\d+)(?: of \d+)? rows:? (.*)$", re.DOTALL)
#: The trials that a note names at its end; the ledger has all of them.
_NAMED = re.compile(r" \((?:[^()]|\([^()]*\))*\)$")


def left_out(texts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """What is left out of which outcomes, each said once; ``texts`` by what the outcome is called.

    Examples
    --------
    >>> left_out({"Pain": ["A: no SD"], "Sleep": ["A: no SD", "B: no mean"]})
    [('A: no SD', 'all outcomes'), ('B: no mean', 'Sleep')]
    """
    found: dict[str, list[str]] = {}
    for label, some in texts.items():
        for text in some:
            found.setdefault(text, []).append(label)
    whole = len(texts)
    return [(text, "all outcomes" if len(names) == whole > 1 else "; ".join(names)) for text, names in found.items()]


# -- all of it ---------------------------------------------------------------------------------------------------------


def panel_view(
    parts: Sequence[Analysis],
    views: Sequence[dict[str, Any]],
    report: Mapping[str, Any],
    judgements: Judgements | None,
    hashes: Mapping[str, str],
) -> dict[str, Any]:
    """What the panel's view needs of all outcomes together; adds to each view its picture and its chances.

    Parameters
    ----------
    parts, views : sequences
        In the same order.
    report : mapping
        The protocol's ``[report]``.
    judgements : Judgements or None
    hashes : mapping
        SHA-256 of ``protocol`` and ``data``.
    """
    rows = [view["row"] for view in views]
    asked = asked_of(report, parts)
    axes = axes_of(parts, rows)
    columns = max([1, *(len(row.yardsticks) for row in rows)])
    for part, view, row in zip(parts, views, rows, strict=True):
        axis = axes.get(row.key)
        view["picture"] = None if axis is None else row_picture(part, row, axis)
        view |= {"ends": None if axis is None else (axis.low, axis.high), "axis_of": axis}
        view |= chance_slots(row, columns)
    told = {view["label"]: view["left"] for view in views}
    whom = [view for view in views if view.get("in_whom")]
    not_told: dict[str, list[str]] = {}
    for view in views:
        moderated = view.get("moderated")
        if moderated and not view.get("in_whom"):
            not_told.setdefault(moderated["reason"].removeprefix("not estimable: "), []).append(view["label"])
    words = {
        "People": asked.population,
        "Setting": asked.setting,
        "Intervention": asked.intervention,
        "Compared with": asked.comparison,
        "Outcomes": asked.outcomes,
        "Searched": asked.searched,
        "Question": str(report.get("question", "")),
    }
    shared = list(dict.fromkeys(axes.values()))
    return {
        "asked": [(name, text) for name, text in words.items() if text],
        "compared": not all(row.single_arm for row in rows),
        "heading": f"What {in_sentence(asked.who)} does" if asked.intervention else "The answer",
        "columns": columns,
        "controls": controls_of(rows, {view["key"]: view.get("slider") for view in views}),
        "axis": shared[0] if len(shared) == 1 else None,
        "certainties": CERTAINTIES,
        "domains": DOMAINS,
        "check": classical_checks(views),
        "whom": whom,
        "not_told": [(text, "; ".join(labels)) for text, labels in not_told.items()],
        "left": list(
            dict([*((text, "not used in any analysis") for text in _of_the_table(parts[0])), *left_out(told)]).items()
        ),
        "differing": [view for view in views if "; not: " in view["row"].agreement],
        "assumed": assumed_rows({view["label"]: view["assumed"] for view in views}),
        "panel_words": _panel_words(judgements),
        "warned": _judged_elsewhere(judgements, hashes),
    }


def chance_slots(row: SummaryRow, columns: int) -> dict[str, Any]:
    """Chances of a row by column: any benefit, each threshold, harm; columns that a row lacks are empty."""
    n = len(row.yardsticks)
    kind = measure(row.measure)

    def head(item: Yardstick) -> str:
        if kind.single_arm:
            return item.words
        return f"beyond {item.words}" if kind.log else f"\u2265 {item.words}"

    places = [*range(kind.single_arm, n + 1)] if row.chances else []
    slots: list[Any] = [None] * (columns + 2)
    heads, names = [""] * (columns + 2), [""] * (columns + 2)
    for i in places:
        slots[i] = row.chances[i]
        heads[i] = "any benefit" if i == 0 else head(row.yardsticks[i - 1])
        names[i] = "any" if i == 0 else "important" if i == 1 else f"size{i}"
    if n and (harm := harm_words(row)):
        slots[-1], names[-1] = row.chances[-1], "harm"
        heads[-1] = harm
    return {"slots": slots, "heads": heads, "live_names": names}


def harm_words(row: SummaryRow) -> str:
    """The distance from which an effect counts as harm, in the words of the first yardstick.

    Of one arm it is a value; empty where that is the one of benefit, and harm is what benefit is not.
    """
    first, kind = row.yardsticks[0], measure(row.measure)
    if kind.single_arm:
        if np.array_equal(first.benefit, -first.worse):
            return ""
        value = amount(float(kind.back((-1 if row.better == "higher" else 1) * first.worse_distance)))
        return f"{'at most' if row.better == 'higher' else 'at least'} {value}"
    if first.natural or not kind.log:
        even = first.worse_distance == first.distance
        return (
            f"\u2265 {first.words}"
            if even
            else f"\u2265 {amount(float(kind.back(first.worse_distance)))} {row.unit}".strip()
        )
    sign = 1 if row.better == "higher" else -1
    return f"beyond {row.measure} {amount(math.exp(-sign * first.worse_distance))}"


def classical_checks(views: Sequence[Mapping[str, Any]]) -> str:
    """Name the classical checks of outcomes: one, or several where rows of some outcomes lie in clusters.

    Examples
    --------
    >>> classical_checks([{"check": "REML + HKSJ"}, {"check": "REML + HKSJ"}])
    'REML + HKSJ'
    """
    return " or ".join(dict.fromkeys(view["check"] for view in views))


def _panel_words(judgements: Judgements | None) -> str:
    if judgements is None or not judgements.outcomes:
        return ""
    by = f" of {judgements.panel}" if judgements.panel else ""
    when = f", {judgements.date}" if judgements.date else ""
    return f"Judgements{by}{when}."


def _judged_elsewhere(judgements: Judgements | None, hashes: Mapping[str, str]) -> list[str]:
    """What a reader must know of judgements that were made on other data."""
    if judgements is None or not judgements.data or judgements.data == hashes.get("data"):
        return []
    return ["The panel's judgements were made on other data than these: judge again."]
