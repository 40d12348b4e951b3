"""What was computed for the domains of GRADE, in short lines beside the panel's choices; never a rating."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.columns import plural
from bayesmeta.measures import measure
from bayesmeta.plan import DOMAINS, Threshold, concerns_of
from bayesmeta.report.summary import SummaryRow, Yardstick
from bayesmeta.sensitivity import grade_table

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis

__all__ = ["domain_support", "matrix_row"]


def domain_support(part: Analysis, first: Yardstick | None = None) -> dict[str, list[str]]:
    """What was computed for every domain of GRADE, in short lines; never a rating. Of one arm there is nothing.

    Parameters
    ----------
    part : Analysis
    first : Yardstick, optional
        What is important: the one of the headline.
    """
    found: dict[str, list[str]] = {domain: [] for domain in DOMAINS}
    table, why = part.grade
    if measure(part.effects.measure).single_arm:
        return found
    if table is None:
        return {domain: [why] for domain in DOMAINS}
    if first is not None and first.natural:
        benefit, worse = first.distance, first.worse_distance
        item = Threshold(first.name, benefit, worse, benefit, worse, first.source, "panel", True)
        moved = grade_table(part.pooled, item, tables=part.sections.tables)
        kept = ("imprecision", "inconsistency")
        table = pd.concat([moved[moved["domain"].isin(kept)], table[~table["domain"].isin(kept)]])
    for line in table.to_dict("records"):
        shorten = _SHORT.get(str(line["item"]))
        value = str(line["value"])
        text = f"{line['item']}: {value}" if shorten is None else shorten(value)
        if text:
            found[str(line["domain"])].append(text)
    return found


def _information(value: str) -> str:
    return f"{value.partition(' participants')[0]} people, {value.rpartition('(')[2].rstrip(')')} the information size"


def _sides(value: str) -> str:
    """How many estimates lie on which side, in a few words."""
    good, between, bad = (part.split()[0] for part in value.split(", "))
    return f"trials: {good} important, {between} between, {bad} harm"


_SHORT: Mapping[str, Callable[[str], str]] = {
    "thresholds crossed by the 95 % credible interval": lambda value: f"interval crosses {value.partition(' (')[0]}",
    "thresholds crossed by the Hartung-Knapp interval": lambda value: "",
    "optimal information size": _information,
    "where estimates lie": _sides,
    "overlap of confidence intervals": lambda value: "",
    "tau in units of the threshold": lambda value: f"\u03c4 {value.partition(' (')[0]} of the threshold",
    "thresholds crossed by the prediction interval": lambda value: f"new study's interval crosses {value}",
    "small-study effects": lambda value: f"{plural(int(value.split()[0]), 'trial')}: too few to test (10 needed)",
    "Egger's test": lambda value: f"Egger {value}",
    "Egger's test, random effects": lambda value: "",
    "shift by trim and fill": lambda value: f"trim and fill {value.replace(' standard errors', ' SE')}",
    "shift by limit meta-analysis": lambda value: "",
    "inclusion Bayes factor of bias": lambda value: f"models of bias: Bayes factor {value}",
    "P(important benefit) without bias, and averaged": lambda value: (
        f"P(important) {value.replace(', ', ' without bias, ')} averaged"
    ),
    "judgements of trials": lambda value: "no judgements of trials in the table",
    "people, interventions, comparators, outcomes": lambda value: "judged, not computed",
}


def matrix_row(part: Analysis, row: SummaryRow) -> list[dict[str, Any]]:
    """GRADE's domains for one outcome: the computed support of each cell, what may be chosen, and what was."""
    support = domain_support(part, row.yardsticks[0] if row.yardsticks else None)
    return [
        {
            "domain": domain,
            "support": support[domain],
            "choices": concerns_of(domain),
            "chosen": row.judgement.domains.get(domain, ""),
            "why": row.judgement.reasons.get(domain, ""),
        }
        for domain in DOMAINS
    ]
