"""A table without a protocol: the protocol that its columns and a few stated numbers make, defaults named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesmeta.analysis.reading import collected
from bayesmeta.analysis.reviews import Requested, review_outcomes
from bayesmeta.columns import number
from bayesmeta.errors import DataError, Finding, ModelError, find_name, pick
from bayesmeta.measures import measure as find_measure
from bayesmeta.plan import DataSource, Decision, Exclusion, ModelPlan, Moderator, Outcome, Protocol, Selection, Unstated
from bayesmeta.priors import SCALED_MEASURES, Prior, parse, published_priors
from bayesmeta.questions import threshold as make_threshold
from bayesmeta.studies import Reading, possible_measures, read_outcome, read_table

__all__ = ["reference_sd_finding", "table_protocol"]

# values of a column that a message lists
_LISTED = 10
#: Factor by which a reference SD may differ from the SDs of the table; populations differ by less.
OFF = 2.0
_OUTSIDE = "a standard deviation of the outcome from outside these data"


def table_protocol(
    path: str | Path,
    *,
    measure: str | None = None,
    better: Literal["higher", "lower"] | None = None,
    mu: Prior | str | None = None,
    tau: Prior | str | None = None,
    ref_sd: float | None = None,
    threshold: float | None = None,
    moderators: tuple[str, ...] = (),
    by: str | None = None,
    where: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] | None = None,
    scale: str | None = None,
    exclude: Sequence[str] | None = None,
    reason: str | None = None,
    sheet: str | None = None,
) -> Protocol:
    """Make the protocol of a table that has none: every default is stated in its ``assumptions``.

    Parameters
    ----------
    path : str or Path
        A table of trials, one row per estimate; or a review of RevMan or a Cochrane data package, whose analyses become
        one outcome each, with the measures and directions that the file states. Those that cannot be answered are named
        in ``assumptions`` with the reason.
    measure : str, optional
        Needed unless the table has bare estimates only, which are then ``generic``.
    better : {"higher", "lower"}, optional
        Which direction is benefit.
    mu, tau : Prior or str, optional
        Default: the published priors of the measure (`bayesmeta.priors.published_priors`), where there is one.
    ref_sd : float, optional
        A standard deviation of the outcome, from outside; scales both priors of a measure with a unit.
    threshold : float, optional
        Smallest important benefit, on the measure's own scale.
    moderators : tuple of str
        Columns that the effect may depend on.
    by : str, optional
        One outcome per value of this column.
    where : mapping, optional
        Column to the value of the rows to use.
    columns : mapping, optional
        Our column name to the table's.
    scale : {"natural", "log", "analysis"}, optional
        Of a column ``estimate``.
    exclude : sequence of str, optional
        Trials that are left out.
    reason : str, optional
        Why; needed with ``exclude``.
    sheet : str, optional
        Of a workbook.

    Returns
    -------
    Protocol
        Its ``path`` is the table's, its ``sha256`` is empty.

    Raises
    ------
    DataError
        If a column or a value is not there, the table holds several outcomes and nothing chooses, or no analysis of a
        review can be read.
    ModelError
        If the measure must be stated, or has no default priors.

    Examples
    --------
    >>> protocol = bm.table_protocol("data/exercise_depression_10_trials.csv", measure="SMD", better="lower",
    ...                              columns={"estimate": "smd", "se": "sesmd"})
    >>> protocol.assumptions[0]
    'mu normal(0, 1): weakly informative for an SMD; the default of RoBMA'
    """
    path = Path(path)
    left_out = _excluded(exclude or (), reason)
    frame = read_table(path, columns=columns, sheet=sheet)
    data = DataSource(path.resolve(), columns=dict(columns or {}), exclude=left_out, sheet=sheet)
    if frame.attrs.get("analyses") and by is None:
        requested = Requested(
            measure, better, threshold, ref_sd, where or {}, lambda kind: _plan(kind, mu, tau, ref_sd, moderators)
        )
        found, assumed, unestimable = review_outcomes(frame, path.name, requested)
        data = dataclasses.replace(data, exclude=(*left_out, *unestimable))
        return _readable(
            Protocol(path.name, path.resolve(), "", data, found, unstated=tuple(assumed), reference_sd=ref_sd)
        )
    assumed = []
    if measure is None:
        possible = possible_measures(frame)
        if possible != ("generic",):
            listed = ", ".join(possible) or f"none; columns: {', '.join(map(str, frame.columns))}"
            raise ModelError(f"{path.name}: state the measure (--measure). Its columns could make: {listed}.")
        what = "the table has estimates and nothing says of what: measure generic. State the measure to name it"
        assumed.append(Unstated("measure", what))
        measure = "generic"
    kind = find_measure(measure).name
    plan, defaults = _plan(kind, mu, tau, ref_sd, moderators)
    assumed += defaults
    if kind == "PLO":
        likelihood, why = _of_proportions(frame)
        plan = dataclasses.replace(plan, likelihood=likelihood)
        assumed.append(Unstated("likelihood", why))
    if better is None and threshold is not None:
        raise ModelError("a threshold needs a direction: state better, higher or lower.")
    if better is None:
        assumed.append(Unstated("direction", "no direction is stated: no probability of benefit"))
    elif threshold is None:
        assumed.append(Unstated("threshold", "no threshold is stated: no probability of an important benefit"))
    names = list(map(str, frame.columns))
    try:
        by = None if by is None else find_name("column", by, names)
        rows = {
            (column := find_name("column", name, names)): _cell(frame, column, v) for name, v in (where or {}).items()
        }
    except ModelError as error:
        raise DataError(f"{path.name}: {error}") from None
    stated = () if threshold is None else (make_threshold(threshold, measure_name=kind, better=str(better)),)
    outcomes = {
        name: Outcome(
            name,
            name,
            Selection(kind, better, chosen, measure_options={} if scale is None else {"scale": scale}),
            plan,
            Decision(stated),
        )
        for name, chosen in _choices(frame, path.name, by, rows).items()
    }
    data = dataclasses.replace(data, where=rows)
    return Protocol(path.name, path.resolve(), "", data, outcomes, unstated=tuple(assumed), reference_sd=ref_sd)


def _readable(protocol: Protocol) -> Protocol:
    """Leave out the analyses of a review whose rows cannot be read, each with its faults; the others are answered.

    Raises
    ------
    DataError
        If none can be read.
    """
    faults: dict[str, list[str]] = {}
    for key in protocol.outcomes:
        try:
            # what there is to warn of is said when the analysis is read
            with collected([], again=False):
                read_outcome(protocol, key)
        except (DataError, ModelError) as error:
            faults[key] = str(error).splitlines()
    if len(faults) == len(protocol.outcomes):
        raise DataError("\n".join(dict.fromkeys(line for lines in faults.values() for line in lines)))
    left = tuple(
        Unstated(
            "unreadable",
            "not answered, because its rows cannot be read: "
            f"analysis {key} ({protocol.outcomes[key].label}): {' '.join(lines).rstrip('.')}",
        )
        for key, lines in faults.items()
    )
    outcomes = {key: item for key, item in protocol.outcomes.items() if key not in faults}
    return dataclasses.replace(protocol, outcomes=outcomes, unstated=(*protocol.unstated, *left))


def _excluded(trials: Sequence[str], reason: str | None) -> tuple[Exclusion, ...]:
    if trials and not (reason or "").strip():
        raise ModelError(f"{', '.join(trials)}: a trial is left out for a reason. State it (--reason).")
    if reason is not None and not trials:
        raise ModelError("a reason is stated, and no trial is left out. Name it (--exclude STUDY).")
    return tuple(Exclusion({"study": trial}, str(reason)) for trial in trials)


def reference_sd_finding(reading: Reading, reference: float) -> Finding | None:
    """Compare a reference SD from outside with the SDs of a table's own arms, pooled in each row.

    Returns
    -------
    Finding or None
        Where their median differs from it by more than a factor of `OFF`; None where no row has both SDs.
    """
    frame, names = reading.table, ("n_t", "sd_t", "n_c", "sd_c")
    if not set(names) <= set(frame.columns):
        return None
    arms = (pd.to_numeric(frame[name], errors="coerce").to_numpy(float, na_value=np.nan) for name in names)
    n_t, sd_t, n_c, sd_c = arms
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = np.sqrt(((n_t - 1) * sd_t**2 + (n_c - 1) * sd_c**2) / (n_t + n_c - 2))
    pooled = pooled[np.isfinite(pooled)]
    if not pooled.size:
        return None
    own = float(np.median(pooled))
    if 1 / OFF <= reference / own <= OFF:
        return None
    return Finding(
        "reference SD",
        "warning",
        f"the priors are scaled by a reference SD of {reference:g}, and the median SD of the arms is {number(own)}: "
        f"they differ by more than a factor of {OFF:g}",
        "State the SD of this instrument, in the points of the table.",
    )


def _plan(
    measure: str, mu: Prior | str | None, tau: Prior | str | None, ref_sd: float | None, moderators: tuple[str, ...]
) -> tuple[ModelPlan, list[Unstated]]:
    """Priors as stated; what is not stated is the published recommendation, if there is one."""
    given = {name: item for name, item in (("mu", mu), ("tau", tau)) if item is not None}
    priors = {name: parse(item) if isinstance(item, str) else item for name, item in given.items()}
    sources = dict.fromkeys(priors, "stated by the user")
    if len(priors) < 2:
        try:
            advice = published_priors(measure, ref_sd=ref_sd)
        except ModelError as error:
            if ref_sd is not None:
                raise
            missing = " and ".join(f"--{name}" for name in ("mu", "tau") if name not in priors)
            scaled = f", or --ref-sd S, {_OUTSIDE}" if measure in SCALED_MEASURES else ""
            raise ModelError(
                f"{measure} has no default priors, because the scale of the outcome decides. Give {missing}{scaled}."
            ) from error
        for name, prior, source in (("mu", advice.mu, advice.mu_source), ("tau", advice.tau, advice.tau_source)):
            if name not in priors:
                priors[name], sources[name] = prior, source
    defaults = [
        Unstated("prior", f"{name} {priors[name]!r}: {sources[name]}") for name in ("mu", "tau") if name not in given
    ]
    columns = tuple(Moderator(name) for name in moderators)
    plan = ModelPlan(priors["mu"], priors["tau"], sources=sources, moderators=columns, ref_sd=ref_sd)
    return plan, defaults


def _of_proportions(frame: pd.DataFrame) -> tuple[Literal["normal", "binomial"], str]:
    """How proportions are pooled: by their counts where every row has them."""
    columns = [name for name in ("events", "n") if name in frame.columns]
    counted = len(columns) == 2 and not frame[columns].isna().any(axis=None)
    if counted:
        return "binomial", "likelihood binomial: the counts as they are, without a correction for zeros"
    return "normal", "likelihood normal, on the logit scale: not every row has events and n"


def _cell(frame: pd.DataFrame, column: str, value: Any) -> Any:
    """A value to look for: a filter may be text, and a column of numbers holds numbers."""
    if frame[column].dtype.kind != "f" or not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        raise ModelError(f"column {column} holds numbers, and {value!r} is not a number.") from None


def _choices(frame: pd.DataFrame, name: str, by: str | None, where: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Filters by the name of their analysis; outcomes are never pooled with each other by accident."""
    for column, value in where.items():
        rows = frame[column] == value
        if not rows.any():
            listed = frame[column].dropna().unique()[:_LISTED]
            raise DataError(f"{name}, column {column}: no row holds {value!r}. {pick(str(value), listed)}")
        frame = frame[rows]
    for column in ("outcome", "horizon"):
        if column in frame.columns and column != by and (count := frame[column].nunique(dropna=False)) > 1:
            values = ", ".join(map(str, frame[column].unique()[:_LISTED]))
            raise DataError(
                f"{name}, column {column}: {count} values ({values}), which are not pooled with each other. Choose one "
                f"with --where {column}=..., or one analysis each with --by {column}."
            )
    if by is None:
        return {Path(name).stem: {}}
    if empty := frame.index[frame[by].isna()].tolist():
        rows_text = ", ".join(map(str, empty[:_LISTED]))
        raise DataError(f"{name} row {rows_text}, column {by}: the cell is empty. Fill it, or do not split by {by}.")
    return {
        f"{by} = {value:g}" if isinstance(value, float) else str(value): {by: value}
        for value in frame[by].unique().tolist()
    }
