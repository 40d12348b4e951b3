"""The moderator table as people read it: tests, differences, effects; the same in text, on the page and in Word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bayesmeta.columns import Column, Readable, columns_of, readable
from bayesmeta.effects import Effects
from bayesmeta.measures import measure
from bayesmeta.moderators.within import SPLIT

__all__ = ["ReadableBlock", "moderator_blocks"]


_TESTED = (
    "F: REML meta-regression with Knapp-Hartung scaling. Bayes factor: for the moderator, with its interactions, "
    "against the same model of the same rows without it. P(in the model) and the inclusion Bayes factor average over "
    "all models of these terms, equally probable beforehand."
)


@dataclass(frozen=True, slots=True, eq=False)
class ReadableBlock:
    """One table of the moderators, ready to be read.

    Attributes
    ----------
    name : str
        ``tests``, ``differences``, ``effects`` or ``within``.
    title : str
    table : Readable
    note : str
        What its columns mean.
    """

    name: str
    title: str
    table: Readable
    note: str


def _span(name: str, header: str, *ends: str) -> tuple[Column, ...]:
    return (Column(name, "interval", header, ends=ends),)


def moderator_blocks(
    table: pd.DataFrame, effects: Effects, show: Literal["answer", "compare", "whole"] = "whole"
) -> list[ReadableBlock]:
    """Put a moderator table into cells.

    Parameters
    ----------
    table : pandas.DataFrame
        From `moderator_table`.
    effects : Effects
        Of the same fit: their measure and direction say how numbers are written.
    show : {"answer", "compare", "whole"}
        The Bayesian columns, those that compare with the classical answer, or all, for which a terminal is too narrow.
    """
    compare, bayes = show != "answer", show != "compare"
    kind = measure(effects.measure)
    chance = "P(more benefit)" if effects.better else "P(below 0)"
    probability = "p_more_benefit" if effects.better else "p_below_null"
    ratio = "ratio of effects" if kind.log else "difference"
    marked = table.assign(
        which=[_which(row) for row in table.to_dict("records")],
        ftext=[_f_text(row) for row in table.to_dict("records")],
    )
    classical = _span("classical", "REML + HKSJ", "classical_lower", "classical_upper") if compare else ()
    differences = (
        *columns_of("text", which=ratio),
        *(columns_of("count", trials="trials") if bayes else ()),
        *_span("median", "median (95 % interval)", "lower", "upper"),
        *(columns_of("probability", **{probability: chance}) if bayes else ()),
        *classical,
        *(columns_of("p", p_value="p") if compare else ()),
    )
    at = (
        *columns_of("text", which="effect at"),
        *(columns_of("count", trials="trials") if bayes else ()),
        *_span("median", "mean (95 % interval)", "lower", "upper"),
        *(_span("new_lower", "new study", "new_upper") if bayes else ()),
        *(columns_of("probability", p_important_benefit="P(imp.)") if bayes else ()),
        *(columns_of("probability", p_important_benefit_new="P(imp.), new") if show == "whole" else ()),
        *classical,
    )
    tests = (
        *columns_of("text", which="test of", ftext="F (df)"),
        *columns_of("p", p_value="p"),
        *columns_of("factor", bayes_factor="Bayes factor"),
        *columns_of("probability", p_inclusion="P(in the model)"),
        *columns_of("factor", inclusion_bayes_factor="inclusion BF"),
    )
    whole = "Ratios of effects" if kind.log else "Differences of effects"
    split = (
        *columns_of("text", which="within trials or between them"),
        *columns_of("count", trials="comparing trials"),
        *_span("median", "median (95 % interval)", "lower", "upper"),
        *columns_of("probability", **{probability: chance}),
    )
    blocks: tuple[tuple[str, str, Sequence[str], tuple[Column, ...], str], ...] = (
        ("tests", "Do the effects differ?", ("test",), tests, _TESTED),
        (
            "differences",
            "By how much",
            ("contrast", "slope", "interaction", "simple effect"),
            differences,
            f"{whole}: medians with 95 % central credible intervals."
            + (" Differences are on the z scale." if kind.transformed and not kind.log else ""),
        ),
        (
            "effects",
            "The effect in each group",
            ("level", "value", "cell"),
            at,
            "Medians with 95 % central credible intervals; new study: 95 % central interval of its true effect. "
            + ("P(imp.): probability of an important benefit. " if table["p_important_benefit"].notna().any() else "")
            + "Other moderators are averaged over the observed mix.",
        ),
        (
            "within",
            "Within trials or between them?",
            SPLIT,
            split,
            "Within trials: what trials find that compare the levels (or values) themselves, between randomised "
            "patients. Between trials: how trials differ, with all else in which they do.",
        ),
    )
    found = []
    for name, title, parts, columns, note in blocks:
        rows = marked[marked["part"].isin(parts)]
        if len(rows):
            # differences of correlations are on the z scale
            natural = name != "tests" and (name == "effects" or kind.log or not kind.transformed)
            cells = readable(rows, columns, effects.measure if natural else "generic", missing="-")
            found.append(ReadableBlock(name, title, cells, note))
    return found


def _which(row: Mapping[Any, Any]) -> str:
    """Name of a line, with what is to be marked of it."""
    named = row["part"] in ("interaction", "simple effect", "cell")
    text = row["moderator"] if row["part"] == "test" else row["name"] if named else f"{row['moderator']}: {row['name']}"
    text += f", {row['part']}" if row["part"] in SPLIT and not row["mark"] else ""
    return f"{text} ({row['mark']})" if row["mark"] else str(text)


def _f_text(row: Mapping[Any, Any]) -> str:
    return "-" if pd.isna(row["f"]) else f"{row['f']:.2f} ({row['df1']:g}, {row['df2']:g})"
