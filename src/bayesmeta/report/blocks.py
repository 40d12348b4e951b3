"""Further tables of an outcome: points of an instrument, absolute risks, a trial with its review, the next trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmeta.digits import UNDEFINED, number, numbers, percent
from bayesmeta.errors import ModelError
from bayesmeta.measures import measure as measure_of
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
    if part.pooled.exact and part.pooled.effects.better is not None:
        found["next_trial"] = next_trial_table(part.pooled, sizes=SIZES)
    return found


def borrowing_weights(borrowing: Borrowing) -> list[float]:
    """Prior weights of the lines of a trial with its review, in order."""
    return sorted({*WEIGHTS, borrowing.weight})


def block_views(tables: dict[str, pd.DataFrame], measure: str = "generic") -> list[dict[str, Any]]:
    """Put these tables into cells for the page, effects as people read those of the measure."""
    makers = {
        "natural_units": _natural,
        "absolute_risks": _risks,
        "next_trial": _next,
        "borrowing": lambda frame: _borrowing(_read_back(frame, measure)),
    }
    return [{"table": key, "columns": {}} | makers[key](frame) for key, frame in tables.items() if len(frame)]


def _read_back(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The table of a trial with its review is on the scale of the analysis, logarithms for ratios."""
    kind = measure_of(measure)
    return frame.assign(**{name: kind.back(frame[name].to_numpy(float)) for name in ("median", "lower", "upper")})


def _texts(values: pd.Series[Any]) -> list[str]:
    return ["" if pd.isna(value) else str(value) for value in values]


def _numbers(frame: pd.DataFrame, *columns: str, decimals: int | None = None) -> list[list[str]]:
    return [["" if pd.isna(value) else number(float(value), decimals) for value in frame[column]] for column in columns]


def _percents(frame: pd.DataFrame, *columns: str) -> list[list[str]]:
    return [["" if pd.isna(value) else percent(float(value)) for value in frame[column]] for column in columns]


def _notes(frame: pd.DataFrame) -> str:
    return " ".join(dict.fromkeys(f"{text.rstrip('.')}." for text in _texts(frame["note"]) if text))


def _intervals(frame: pd.DataFrame, name: str, low: str, high: str) -> list[str]:
    # an estimate and its interval have the same digits
    lines = (numbers(line) for line in frame[[name, low, high]].to_numpy(float).tolist())
    # what is stated as one number has no interval
    return ["" if m == UNDEFINED else m if a == m == b else f"{m} ({a} to {b})" for m, a, b in lines]


def _natural(frame: pd.DataFrame) -> dict[str, Any]:
    heads = ("target", "SD of the instrument", "points", "MID", "important benefit", "important harm", "MID units")
    names = [
        f"{target}, {form}" if form else target
        for target, form in zip(_texts(frame["target"]), _texts(frame["sd_form"]), strict=True)
    ]
    columns = [
        names,
        *_numbers(frame, "sd"),
        _intervals(frame, "median", "lower", "upper"),
        *_numbers(frame, "mid"),
        *_percents(frame, "p_important_benefit", "p_important_harm"),
        _intervals(frame, "mid_units", "mid_units_lower", "mid_units_upper"),
    ]
    unit = next(iter(_texts(frame["unit"])), "")
    sources = "; ".join(dict.fromkeys(text for text in _texts(frame["source"]) if text))
    return {
        "title": f"In points of {unit}",
        "heads": heads,
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "caption": "The standardised effect times the instrument's SD, with what is not known of it",
        "texts": (),
        "stays": ("analysis", "points") if frame["mid"].notna().any() else ("analysis",),
        "note": f"{sources}. {_notes(frame)}".strip(),
    }


def _risks(frame: pd.DataFrame) -> dict[str, Any]:
    per = int(frame["per"].iloc[0])
    heads = ("baseline", "target", f"without, per {per}", "with treatment", "difference", "number needed")
    names = [
        f"{name}, {form}" if form else name
        for name, form in zip(_texts(frame["baseline"]), _texts(frame["form"]), strict=True)
    ]
    columns = [
        names,
        _texts(frame["target"]),
        _intervals(frame, "without", "without_lower", "without_upper"),
        _intervals(frame, "with_treatment", "with_lower", "with_upper"),
        _intervals(frame, "difference", "difference_lower", "difference_upper"),
        _texts(frame["nnt"]),
    ]
    return {
        "title": "Absolute risks",
        "heads": heads,
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "caption": f"Per {per} people: medians with 95 % intervals",
        "texts": ("target", "number needed"),
        "stays": ("analysis",),
        "note": _notes(frame),
    }


def _borrowing(frame: pd.DataFrame) -> dict[str, Any]:
    heads = (
        "weight",
        "analysis",
        "effect",
        "any benefit",
        "important benefit",
        "important harm",
        "participants' worth gained",
        "review discarded",
    )
    columns = [
        *_numbers(frame, "weight", decimals=1),
        _texts(frame["analysis"]),
        _intervals(frame, "median", "lower", "upper"),
        *_percents(frame, "p_any_benefit", "p_important_benefit", "p_important_harm"),
        *_numbers(frame, "ess_gained", decimals=0),
        *_percents(frame, "vague_weight"),
    ]
    return {
        "title": "With what a review says about it",
        "heads": heads,
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "texts": ("analysis",),
        "columns": {"important benefit": "p_important_benefit", "important harm": "p_important_harm"},
        "stays": ("threshold",),
        "caption": "This trial alone and with the robust meta-analytic-predictive prior of a review, by the prior "
        "probability (weight) that the review says nothing about it",
        "note": f"Discarded: that probability after the trial. `bayesmeta borrow` names the review. {_notes(frame)}",
    }


def _next(frame: pd.DataFrame) -> dict[str, Any]:
    cut = percent(float(frame["cutoff"].iloc[0]), 0) if pd.notna(frame["cutoff"].iloc[0]) else ""
    heads = (
        "participants per arm",
        "question",
        "target",
        "probability now",
        "has to show",
        "chance that it changes the conclusion",
    )
    shown = [
        _NONE if pd.isna(estimate) or "one in a million" in str(note) else number(float(estimate), 2)
        for estimate, note in zip(frame["natural"], frame["note"], strict=True)
    ]
    sizes = ["" if pd.isna(value) else f"{float(value):.0f}" for value in frame["size"]]
    columns = [
        sizes,
        _texts(frame["question"]),
        _texts(frame["target"]),
        *_percents(frame, "probability"),
        shown,
        *_percents(frame, "p_change"),
    ]
    several = np.array(["more than once" in text for text in _texts(frame["note"])])
    more = " Where a result far beyond would bring it back, the first crossing is shown." if several.any() else ""
    caption = (
        f"The estimate at which the probability crosses {cut}, confirmed by exact refits; and the chance of such a "
        "result, predicted from what is known now"
    )
    return {
        "title": "What the next trial would have to show",
        "heads": heads,
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "texts": ("question", "target", "has to show"),
        "stays": ("threshold", "analysis"),
        "caption": caption,
        "note": f"Two arms of equal size.{more}",
    }
