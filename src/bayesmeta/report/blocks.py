"""Further tables of an outcome: points of an instrument, absolute risks, a trial with its review, the next trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.columns import Column, columns_of, joined, number, percent, readable
from bayesmeta.errors import ModelError
from bayesmeta.measures import measure as find_measure
from bayesmeta.questions import WEIGHTS, Borrowing, borrowing_table, natural_table, next_trial_table, risk_table

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis

__all__ = ["block_views", "borrowing_weights", "extra_tables"]

#: Participants per arm of the planned trials that the report asks about.
SIZES = (50, 200, 1000)
_NONE = "no plausible result changes it"


def extra_tables(part: Analysis) -> dict[str, pd.DataFrame]:
    """Make the tables that these data and this protocol allow, by their key in `results.json`."""
    outcome = part.pooled.outcome
    found: dict[str, pd.DataFrame] = {}
    if outcome is None:
        return found
    try:
        if outcome.decision.natural_unit is not None:
            found["natural_units"] = natural_table(part.pooled)
        if outcome.decision.baseline_risk:
            found["absolute_risks"] = risk_table(part.pooled)
    except ModelError as error:
        found["natural_units"] = pd.DataFrame([{"note": str(error)}])
    if part.borrowing is not None:
        weights = borrowing_weights(part.borrowing)
        found["borrowing"] = borrowing_table(part.borrowing, part.primary, weights=weights)
    compared = not find_measure(part.effects.measure).single_arm
    if compared and not part.pooled.simulated and part.pooled.effects.better is not None:
        found["next_trial"] = next_trial_table(part.pooled, sizes=SIZES)
    return found


def borrowing_weights(borrowing: Borrowing) -> list[float]:
    """Prior weights of the lines of a trial with its review, in order."""
    return sorted({*WEIGHTS, borrowing.weight})


def block_views(tables: dict[str, pd.DataFrame], measure: str = "generic") -> list[dict[str, Any]]:
    """Put these tables into cells for the page, effects as people read those of the measure."""
    makers = {"natural_units": _natural, "absolute_risks": _risks, "next_trial": _next, "borrowing": _borrowing}
    found = []
    for key, frame in tables.items():
        if len(frame):
            block, columns = makers[key](frame)
            read = readable(
                frame.assign(**block.pop("derived", {})), columns, measure if key == "borrowing" else "generic"
            )
            found.append({"name": key, "table": read, **block})
    return found


def _notes(frame: pd.DataFrame) -> str:
    texts = dict.fromkeys(str(text).rstrip(".") for text in frame["note"] if not pd.isna(text) and text)
    return " ".join(f"{text}." for text in texts)


def _span(name: str, header: str, low: str, high: str) -> tuple[Column, ...]:
    return (Column(name, "interval", header, ends=(low, high)),)


_CHANCES = columns_of("probability", p_important_benefit="important benefit", p_important_harm="important harm")


def _natural(frame: pd.DataFrame) -> tuple[dict[str, Any], tuple[Column, ...]]:
    unit = next((str(text) for text in frame["unit"] if not pd.isna(text)), "")
    sources = "; ".join(dict.fromkeys(str(text) for text in frame["source"] if not pd.isna(text) and text))
    return {
        "title": f"In points of {unit}",
        "derived": {"what": joined(frame["target"], frame["sd_form"])},
        "caption": "The standardised effect times the instrument's SD, with what is not known of it",
        "stays": ("analysis", "points") if frame["mid"].notna().any() else ("analysis",),
        "note": f"{sources}. {_notes(frame)}".strip(),
    }, (
        *columns_of("text", what="target"),
        *columns_of("number", 2, sd="SD of the instrument"),
        *_span("median", "points", "lower", "upper"),
        *columns_of("number", 2, mid="MID"),
        *_CHANCES,
        *_span("mid_units", "MID units", "mid_units_lower", "mid_units_upper"),
    )


def _risks(frame: pd.DataFrame) -> tuple[dict[str, Any], tuple[Column, ...]]:
    per = int(frame["per"].iloc[0])
    return {
        "title": "Absolute risks",
        "derived": {"what": joined(frame["baseline"], frame["form"])},
        "caption": f"Per {per} people: medians with 95 % intervals",
        "stays": ("analysis",),
        "note": _notes(frame),
    }, (
        *columns_of("text", what="baseline", target="target"),
        *_span("without", f"without, per {per}", "without_lower", "without_upper"),
        *_span("with_treatment", "with treatment", "with_lower", "with_upper"),
        *_span("difference", "difference", "difference_lower", "difference_upper"),
        *columns_of("note", nnt="number needed"),
    )


def _borrowing(frame: pd.DataFrame) -> tuple[dict[str, Any], tuple[Column, ...]]:
    return {
        "title": "With what a review says about it",
        "stays": ("threshold",),
        "caption": "This trial alone and with the robust meta-analytic-predictive prior of a review, by the prior "
        "probability (weight) that the review says nothing about it",
        "note": f"Discarded: that probability after the trial. {_notes(frame)}",
    }, (
        *columns_of("number", 1, weight="weight"),
        *columns_of("text", analysis="analysis"),
        *_span("median", "effect", "lower", "upper"),
        *columns_of("probability", p_any_benefit="any benefit"),
        *_CHANCES,
        *columns_of("number", 0, ess_gained="participants' worth gained"),
        *columns_of("probability", vague_weight="review discarded"),
    )


def _next(frame: pd.DataFrame) -> tuple[dict[str, Any], tuple[Column, ...]]:
    cut = percent(float(frame["cutoff"].iloc[0]), 0) if pd.notna(frame["cutoff"].iloc[0]) else ""
    notes = frame["note"].astype(str)
    lost = frame["estimate"].isna() | notes.str.contains("one in a million")
    several = notes.str.contains("more than once").any()
    return {
        "title": "What the next trial would have to show",
        "derived": {"shown": [_NONE if gone else number(x, 2) for gone, x in zip(lost, frame["natural"], strict=True)]},
        "stays": ("threshold", "analysis"),
        "caption": f"The estimate at which the probability crosses {cut}, confirmed by exact refits; and the chance of "
        "such a result, predicted from what is known now",
        "note": "Two arms of equal size."
        + (" Where a result far beyond would bring it back, the first crossing is shown." if several else ""),
    }, (
        *columns_of("count", size="participants per arm"),
        *columns_of("text", question="question", target="target"),
        *columns_of("probability", probability="probability now"),
        *columns_of("text", shown="has to show"),
        *columns_of("probability", p_change="chance that it changes the conclusion"),
    )
