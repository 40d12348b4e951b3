"""The analyses that a review's file holds, as outcomes of a protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import pandas as pd

from bayesmeta.errors import DataError, ModelError
from bayesmeta.measures import measure as find_measure
from bayesmeta.plan import Decision, Exclusion, ModelPlan, Outcome, RiskOfBias, Selection, Threshold, Unstated
from bayesmeta.questions import threshold as make_threshold
from bayesmeta.studies import FileAnalysis

__all__ = ["Requested", "review_outcomes"]

_NOT_ESTIMABLE = "not estimable, as the review has it"
_ROBINS = {"moderate", "serious", "critical"}


class Requested(NamedTuple):
    """What someone states beside a review's file; the file states the rest."""

    measure: str | None
    better: Literal["higher", "lower"] | None
    threshold: float | None
    ref_sd: float | None
    where: Mapping[str, Any]
    plan_of: Callable[[str], tuple[ModelPlan, list[Unstated]]]


def review_outcomes(
    frame: pd.DataFrame, name: str, requested: Requested
) -> tuple[dict[str, Outcome], list[Unstated], tuple[Exclusion, ...]]:
    """Make an outcome of every analysis of a review that can be answered.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `bayesmeta.studies.read_table` reads it: ``attrs["analyses"]`` lists the analyses.
    name : str
        Of the file.
    requested : Requested

    Returns
    -------
    outcomes : dict of str to Outcome
    unstated : list of Unstated
        What was assumed, and which analyses are not answered and why.
    exclusions : tuple of Exclusion
        Of rows that the file calls not estimable.

    Raises
    ------
    DataError
        If the filter chooses no analysis.
    ModelError
        If no analysis can be answered; each is listed with the reason.
    """
    chosen = [item for item in frame.attrs["analyses"] if _passes(item, requested.where)]
    rest = {column: value for column, value in requested.where.items() if column != "analysis"}
    if not chosen:
        listed = ", ".join(f"{item.key} ({item.label})" for item in frame.attrs["analyses"][:20])
        raise DataError(f"{name}: no analysis is chosen. Analyses: {listed}.")
    outcomes: dict[str, Outcome] = {}
    assumed: list[Unstated] = []
    refused: list[Unstated] = []
    for item in chosen:
        rows = _rows(frame, item)
        kind, why = requested.measure or item.measure, list[str]()
        try:
            if not kind:
                raise ModelError("; ".join((*item.notes, "state the measure (--measure)")))
            kind, why = _measure(item, rows, requested)
            plan, defaults = requested.plan_of(kind)
            better = requested.better or item.better
            if requested.threshold is not None and better is None:
                raise ModelError("a threshold needs a direction: state better, higher or lower")
            stated: tuple[Threshold, ...] = ()
            if requested.threshold is not None:
                stated = (make_threshold(requested.threshold, measure_name=kind, better=str(better)),)
        except ModelError as error:
            head = f"analysis {item.key} ({item.label}), {kind or 'measure not stated'}"
            refused.append(Unstated("refused", f"not answered: {head}: {str(error).rstrip('.')}"))
            continue
        head = f"analysis {item.key} ({item.label}), {kind}"
        assumed += [Unstated("review", f"{head}: {text}") for text in (*item.notes, *why)]
        assumed += [Unstated(default.kind, f"{head}: {default.text}") for default in defaults]
        if better is None:
            assumed.append(Unstated("direction", f"{head}: no direction is stated: no probability of benefit"))
        selection = Selection(
            kind,
            better,
            {**item.where, **rest},
            measure_options={} if item.scale is None else {"scale": item.scale},
            risk_of_bias=_judged(frame, item),
        )
        outcomes[item.key] = Outcome(item.key, item.label, selection, plan, Decision(stated))
    if not outcomes:
        raise ModelError("\n".join([f"{name}: no analysis can be answered.", *(item.text for item in refused)]))
    if requested.threshold is not None and len({item.selection.measure for item in outcomes.values()}) > 1:
        raise ModelError("one threshold, and analyses of several measures. Choose one with --where analysis=NUMBER.")
    left = (Exclusion({"estimable": "no"}, _NOT_ESTIMABLE),) if frame.attrs.get("not_estimable") else ()
    return outcomes, [*assumed, *refused], left


def _passes(item: FileAnalysis, where: Mapping[str, Any]) -> bool:
    wanted = where.get("analysis")
    return wanted is None or str(wanted) in (item.key, item.where["analysis"], item.label)


def _rows(frame: pd.DataFrame, item: FileAnalysis) -> pd.DataFrame:
    return frame[(frame["analysis"] == item.where["analysis"]) & (frame["estimable"] == "yes")]


def _measure(item: FileAnalysis, rows: pd.DataFrame, requested: Requested) -> tuple[str, list[str]]:
    """The measure that is stated, or the file's; a difference in points without an SD from outside is standardised.

    Counts and means are computed anew for the measure that is stated. Estimates stay what the file says they are.
    """
    if requested.measure is not None:
        stated = find_measure(requested.measure)
        if item.estimates and item.measure not in ("", "generic", stated.name):
            raise ModelError(
                f"the file gives estimates of {item.measure} and nothing to compute {stated.name} from. Leave the "
                f"measure out, or state {item.measure}"
            )
        if item.scale == "log" and not stated.ratio:
            raise ModelError(f"its estimates are logarithms of a ratio, and {stated.name} is not a ratio")
        return stated.name, []
    if item.measure == "MD" and requested.ref_sd is None:
        arms = [name for name in ("mean_t", "sd_t", "mean_c", "sd_c") if name in rows.columns]
        try:
            requested.plan_of("MD")
        except ModelError:
            if len(arms) == 4 and rows[arms].notna().all(axis=None):
                if requested.threshold is not None:
                    raise ModelError(
                        f"the review pools mean differences, so that a threshold of {requested.threshold:g} is in "
                        "points. State an SD from outside (--ref-sd S) to keep the points, or the measure SMD with a "
                        "threshold in standard deviations"
                    ) from None
                why = "the review pools mean differences, whose priors need an SD from outside (--ref-sd S)"
                return "SMD", [f"{why}: here standardised mean differences of the same rows"]
    return item.measure, []


def _judged(frame: pd.DataFrame, item: FileAnalysis) -> RiskOfBias | None:
    if "risk_of_bias" not in frame.columns:
        return None
    columns = ["risk_of_bias", *item.domains.values()]
    words = {str(word) for column in columns for word in frame[column].dropna()}
    made = RiskOfBias(domains=dict(item.domains))
    return dataclasses.replace(made, tool="ROBINS-I") if words & _ROBINS else made
