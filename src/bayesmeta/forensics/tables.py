"""Data forensics on the way in: every rule over a study table, and over a reading of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesmeta.errors import DataError, Finding
from bayesmeta.forensics.arms import ARM_RULES, StudyTable
from bayesmeta.forensics.effects import EFFECT_RULES, ExaminedRows
from bayesmeta.forensics.estimates import ESTIMATE_RULES
from bayesmeta.forensics.rules import Rule, numbers_of, run_rules, texts_of
from bayesmeta.measures import effect_rows

if TYPE_CHECKING:
    from bayesmeta.studies import Reading

__all__ = ["RULES", "examine_reading", "examine_table"]

#: Every rule over study tables, in the order in which they are applied.
RULES: tuple[Rule, ...] = (*ARM_RULES, *ESTIMATE_RULES, *EFFECT_RULES)
_ARM_COLUMNS = ("n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c")


def _groups(table: StudyTable) -> Iterator[ExaminedRows]:
    """Split a table into outcomes and times, with the SMD of each row in one direction."""
    frame = table.frame
    columns = np.array([table.number(name) for name in _ARM_COLUMNS])
    with np.errstate(invalid="ignore"):
        usable = np.isfinite(columns).all(0) & (columns[[0, 3]] > 1).all(0) & (columns[[2, 5]] > 0).all(0)
    measure = np.array([text.upper() for text in texts_of(frame, "measure")] or [""] * len(frame))
    stated = np.isfinite(table.number("estimate")) & (table.number("se") > 0)
    coded = np.array(texts_of(frame, "coded_better"))
    y, se = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    if usable.any():
        arms = frame.loc[usable, list(_ARM_COLUMNS)].apply(pd.to_numeric, errors="coerce")
        made = effect_rows(arms.reset_index(drop=True), "SMD")
        y[usable], se[usable] = made.y, made.se
    given = stated & ~usable & np.isin(measure, ["SMD", "OR"])
    estimate = table.number("estimate")
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = np.where(measure == "OR", np.log(np.where(estimate > 0, estimate, np.nan)), estimate)
    y[given], se[given] = estimate[given], table.number("se")[given]
    kind = np.where(usable, "SMD", np.where(given, measure, ""))
    y = np.where(coded == "higher", -y, y)
    # the instrument may differ within an outcome: a standardised difference compares across instruments
    outcome = texts_of(frame, "outcome" if "outcome" in frame.columns else "endpoint")
    compared = texts_of(frame, "comparator")
    keys = list(zip(outcome, table.time, compared, kind, strict=True))
    for key in dict.fromkeys(keys):
        rows = np.array([i for i, other in enumerate(keys) if other == key and np.isfinite(y[i] + se[i])], dtype=int)
        if rows.size:
            places = [table.place(int(i)) for i in rows]
            yield ExaminedRows(y[rows], se[rows], str(key[3]), places, frame.iloc[rows], given[rows])


def examine_table(
    frame: pd.DataFrame,
    *,
    source: str | None = None,
    grain: float | None = None,
    bounds: tuple[float, float] | None = None,
) -> tuple[Finding, ...]:
    """Ask every rule of a study table: slips of extraction that change a pooled effect more than any prior does.

    Nothing is changed. Rules are quiet where the columns that they need are not there. Standardised differences are
    computed where the table gives both arms, and compared within one outcome, time and comparator, in the direction
    that ``coded_better`` states.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `bayesmeta.studies.read_table` reads it. Columns: ``study``, ``outcome`` (or ``endpoint``), ``horizon``,
        ``instrument``, ``arm_t arm_c``, ``n_t mean_t sd_t n_c mean_c sd_c``, ``events_t events_c``, ``n_total``,
        ``estimate se ci_low ci_high t p measure``, ``coded_better``, ``grain``, ``scale_min scale_max``.
    source : str, optional
        What the table is called; otherwise the file's name.
    grain : float, optional
        Smallest step of one participant's score; means and SDs that no such scores have are found.
    bounds : (float, float), optional
        Ends of the scale.

    Returns
    -------
    tuple of Finding
        ``error`` for what cannot be, ``warning`` for what is improbable, ``info`` for what a reader should know.

    Raises
    ------
    DataError
        If the table has no column of trials, or grain or bounds are none.

    References
    ----------
    Brown NJL, Heathers JAJ (2017). The GRIM test. Social Psychological and Personality Science 8:363-369.
    doi:10.1177/1948550616673876

    Examples
    --------
    >>> table = pd.DataFrame({"study": ["A"], "n_t": [20], "mean_t": [5.15], "sd_t": [2.25],
    ...                       "n_c": [20], "mean_c": [5.15], "sd_c": [2.25]})
    >>> [(finding.rule, finding.severity) for finding in examine_table(table)]
    [('arms are equal', 'error')]
    """
    if "study" not in frame.columns:
        raise DataError('There is no column "study". Name the trials in one, or map it with columns.')
    if grain is not None and not grain > 0:
        raise DataError(f"grain is {grain:g}, not > 0. Give the smallest step of one score: 1 for whole points.")
    if bounds is not None and not bounds[0] < bounds[1]:
        raise DataError(f"bounds are {bounds[0]:g} and {bounds[1]:g}. Give the lower end first.")
    name = source or str(frame.attrs.get("source", "table"))
    table = StudyTable(frame, name, grain, bounds)
    found = [*run_rules((*ARM_RULES, *ESTIMATE_RULES), table)]
    for rows in _groups(table):
        found += run_rules(EFFECT_RULES, rows)
    return tuple(found)


def examine_reading(reading: Reading, rules: Sequence[str] | None = None) -> tuple[Finding, ...]:
    """Ask every rule of the rows of one outcome as they were read, and of its effects.

    Parameters
    ----------
    reading : Reading
        From `bayesmeta.studies.read_outcome`; its own findings are not repeated, except large effects.
    rules : sequence of str, optional
        Names of the rules that are asked; default all. Some compare every two rows.

    Returns
    -------
    tuple of Finding
        As `examine_table`.

    Examples
    --------
    >>> from bayesmeta.studies import read_outcome
    >>> reading = read_outcome("models/exercise_depression.toml", "depression")
    >>> sorted({finding.rule for finding in examine_reading(reading)})
    ['large effect']
    """
    effects, frame = reading.effects, reading.table
    if reading.turned and "coded_better" in frame.columns:
        # the means were reversed in sign, so that the column states the other direction
        frame = frame.drop(columns="coded_better")
    # a given ratio may be a logarithm already: then its estimate is the effect
    as_it_is = np.isclose(np.abs(numbers_of(frame, "estimate")), np.abs(effects.y))
    frame = frame.assign(measure=np.where(as_it_is, "analysis scale", effects.measure))
    table = StudyTable(frame, reading.source)

    def asked(known: Sequence[Rule]) -> list[Rule]:
        return [rule for rule in known if rules is None or rule.name in rules]

    found = [*run_rules(asked((*ARM_RULES, *ESTIMATE_RULES)), table)]
    given = np.isfinite(table.number("estimate"))
    places = [table.place(i) for i in range(len(table))]
    rows = ExaminedRows(effects.y, effects.se, effects.measure, places, frame, given)
    found += run_rules(asked(EFFECT_RULES), rows)
    return tuple(found)
