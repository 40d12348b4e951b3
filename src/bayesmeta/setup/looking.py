"""What a table of trials holds: outcomes, scales, measures, moderators, and what its rows lack."""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from bayesmeta.errors import DataError, Fault, ModelError
from bayesmeta.measures import MEASURES
from bayesmeta.plan import MinimalDifference, minimal_difference
from bayesmeta.questions import reference_sd
from bayesmeta.setup.lacking import (
    Lacking,
    change_rows,
    divided_controls,
    filled,
    noted,
    placeless_rows,
    rows_without_effect,
)
from bayesmeta.setup.names import ColumnProposal, Proposals, propose_columns
from bayesmeta.studies import STANDARD_COLUMNS, TEXT_COLUMNS, map_columns, parse_table, possible_measures, table_bytes

__all__ = ["Look", "OutcomeRows", "ScaleRows", "Seen", "look_at", "outcome_key", "see"]

Direction = Literal["higher", "lower"]
_LOWER = r"\blow(?:er)?\b[^.;]{0,20}\bbetter\b|\bhigh(?:er)?\b[^.;]{0,20}\bworse\b"
_HIGHER = r"\bhigh(?:er)?\b[^.;]{0,20}\bbetter\b|\blow(?:er)?\b[^.;]{0,20}\bworse\b"
#: Columns of text that do not tell arms apart.
_NO_ARMS = ("study", "note", "arm_c", "outcome", "horizon", "instrument", "coded_better", "risk_of_bias")
#: Levels that a text column may have to be a moderator: more say who a trial is.
_MOST_LEVELS = 12
#: Measures that a row coded in the other direction enters with its sign reversed.
_SIGNED = {"MD", "SMD", "SMDH", "ZCOR", "generic"}


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A table as it was read, with what its columns seem to be.

    Parameters
    ----------
    path : Path
    frame : pandas.DataFrame
        Its cells as they stand, under the table's own names.
    proposals : Proposals
    sheet : str, optional
        Of a workbook.
    """

    path: Path
    frame: pd.DataFrame
    proposals: Proposals
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class ScaleRows:
    """An instrument as the table names it, and which of its scores seem to be better.

    Parameters
    ----------
    name : str
    better : {"higher", "lower"} or None
        None where nothing says it, or two things disagree.
    reason : str
    listed : MinimalDifference or None
        Of the registry.
    measures : str
        What it measures; empty if that is not known.
    """

    name: str
    better: Direction | None
    reason: str
    listed: MinimalDifference | None = None
    measures: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeRows:
    """One analysis that the table could make: its key, label, filter, rows and scales.

    Parameters
    ----------
    key, label : str
    where : mapping of str to str
    rows : tuple of int
        Rows as the file numbers them.
    scales : tuple of str
        By the number of their rows, most first.
    """

    key: str
    label: str
    where: Mapping[str, Any]
    rows: tuple[int, ...]
    scales: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a direction is stated of: the outcome, at all its horizons."""
        return str(self.where.get("outcome", self.label))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a table holds once it is known which column is what.

    Parameters
    ----------
    frame : pandas.DataFrame
        With our columns.
    columns : mapping of str to str
        Ours to theirs, without those that have our names already.
    outcomes : tuple of OutcomeRows
    scales : tuple of ScaleRows
    coded : str or None
        Column that says which direction each row is coded in: ``coded_better`` or ``instrument``.
    measures : tuple of str
        What the columns make, the likeliest first; one, where nothing needs to be asked.
    possible : tuple of str
        What they could make.
    log : bool
        Whether the estimates are logarithms by their column's name.
    moderators : tuple of str
        Columns that the effect may depend on, as the table calls them.
    comparators : tuple of str
        Levels of ``arm_c`` where there are several.
    arms : str or None
        Column that tells the arms of one trial apart.
    lacking : tuple of Lacking
    """

    frame: pd.DataFrame
    columns: Mapping[str, str]
    outcomes: tuple[OutcomeRows, ...]
    scales: tuple[ScaleRows, ...]
    coded: str | None
    measures: tuple[str, ...]
    possible: tuple[str, ...]
    log: bool
    moderators: tuple[str, ...]
    comparators: tuple[str, ...]
    arms: str | None
    lacking: tuple[Lacking, ...]

    def scale(self, name: str) -> ScaleRows:
        """One of the scales by its name in the table."""
        return next(item for item in self.scales if item.name == name)


def look_at(path: str | Path, *, sheet: str | None = None) -> Look:
    """Read a table and propose what its columns are.

    Parameters
    ----------
    path : str or Path
    sheet : str, optional
        Of a workbook in which several sheets have rows.

    Raises
    ------
    DataError
        If it cannot be read, and for a file of a review, which states its analyses itself.

    Examples
    --------
    >>> look_at("data/exercise_depression_10_trials.csv").proposals.columns[0].ours
    'study'
    """
    path = Path(path)
    frame = _read(path, {}, sheet)
    if frame.attrs.get("analyses"):
        what = "it is a review, which says itself what its analyses are"
        raise DataError([Fault(path.name, what, f"Next: bayesmeta report {path.name} -o report")])
    names = list(map(str, frame.columns))
    return Look(path, frame, propose_columns(names, reserved=STANDARD_COLUMNS & set(names)), sheet)


def _read(path: Path, columns: Mapping[str, str], sheet: str | None) -> pd.DataFrame:
    """The cells of a table as they stand, names and levels as text."""
    text = TEXT_COLUMNS | {columns[name] for name in TEXT_COLUMNS if name in columns}
    return parse_table(table_bytes(path), path.name, text_columns=frozenset(text), sheet=sheet)


def outcome_key(label: str, taken: Sequence[str] = ()) -> str:
    """Make the key of an outcome from its label: lower-case letters, digits and ``_``.

    Examples
    --------
    >>> outcome_key("Müdigkeit, 12 Wochen"), outcome_key("6-minute walk"), outcome_key("疲劳", ["outcome_1"])
    ('mudigkeit_12_wochen', 'outcome_6_minute_walk', 'outcome_2')
    """
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if key and not key[0].isalpha():
        key = f"outcome_{key}"
    if key and key not in taken:
        return key
    stem, place = (key, 2) if key else ("outcome", 1)
    while f"{stem}_{place}" in taken:
        place += 1
    return f"{stem}_{place}"


# -- scales ------------------------------------------------------------------------------------------------------------


@functools.cache
def _known_scales() -> dict[str, dict[str, Any]]:
    text = resources.files("bayesmeta.setup").joinpath("scales.toml").read_text(encoding="utf-8")
    return {_folded(name): item for item in tomllib.loads(text)["scale"] for name in (item["name"], *item["aliases"])}


def _folded(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.casefold()).strip()


def _listed(name: str) -> MinimalDifference | None:
    for text in (name, name.replace(" ", "-")):
        try:
            return minimal_difference(text)
        except ModelError:
            continue
    return None


def _scale(name: str, rows: pd.DataFrame, changes: set[int]) -> ScaleRows:
    """What is known of an instrument from the registry, the list of scales, and the table's own remarks."""
    known = _known_scales().get(_folded(name), {})
    listed = _listed(known.get("registry", name))
    notes = " ; ".join(rows["note"].dropna().astype(str)) if "note" in rows.columns else ""
    said = {
        way for way, pattern in (("lower", _LOWER), ("higher", _HIGHER)) if re.search(pattern, notes, re.IGNORECASE)
    }
    found: dict[str, str] = {}
    measures = listed.measures.partition(",")[0] if listed else known.get("measures", "")
    if listed is not None:
        means = rows[[c for c in ("mean_t", "mean_c") if c in rows.columns]][[r not in changes for r in rows.index]]
        values = means.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float).ravel()
        values = values[np.isfinite(values)]
        if listed.scale and values.size and not (listed.scale[0] <= values.min() and values.max() <= listed.scale[1]):
            low, high = listed.scale
            beyond = values[(values < low) | (values > high)][0]
            return ScaleRows(name, None, f"{listed.instrument} is from {low:g} to {high:g}, and a mean is {beyond:g}")
        found[f"the registry of minimal important differences says so of {listed.instrument}"] = listed.better
    elif known:
        found[f"{known['reference']} (not looked up)"] = known["better"]
    if len(said) == 1:
        found["the remarks in its rows say so"] = next(iter(said))
    ways = {*found.values(), *said}
    if len(ways) != 1:
        reason = "nothing says which" if not ways else f"{' and '.join(found)} disagree"
        return ScaleRows(name, None, reason, listed, measures)
    return ScaleRows(name, cast("Direction", ways.pop()), "; ".join(found), listed, measures)


# -- the whole ---------------------------------------------------------------------------------------------------------


def see(
    look: Look,
    columns: Mapping[str, str],
    label: str | None = None,
    chosen: Sequence[str] = (),
    comparator: str | None = None,
) -> Seen:
    """Say what a table holds, once it is known which column is what.

    Parameters
    ----------
    look : Look
    columns : mapping
        Our column to the table's.
    label : str, optional
        What the outcome is called, where the table has one.
    chosen : sequence of str
        Which values of the column ``outcome`` are analysed; all, if none is named.
    comparator : str, optional
        The only level of ``arm_c`` that is analysed.

    Raises
    ------
    DataError
        If the table has no trials' names, or its cells cannot be read.
    """
    renamed = {ours: theirs for ours, theirs in columns.items() if ours != theirs}
    frame = map_columns(_read(look.path, renamed, look.sheet), renamed)
    if "study" not in frame.columns:
        remedy = f"Say which column it is: --map study=COLUMN. Columns: {', '.join(map(str, look.frame.columns))}."
        raise DataError([Fault(look.path.name, "no column names the trials", remedy)])
    _require_one_year(frame, look.path.name)
    hints = [item for item in look.proposals.columns if columns.get(item.ours) == item.theirs]
    changed = change_rows(frame)
    scales: tuple[ScaleRows, ...] = ()
    if "instrument" in frame.columns:
        named = frame["instrument"].astype("str")
        changes = set(frame.index[changed])
        scales = tuple(_scale(str(x), frame[named == x], changes) for x in named.dropna().unique())
    groups = _groups(look, frame, scales, label, chosen)
    possible = _possible(frame, hints)
    measures = _measures(frame, hints, len(scales))
    arms, comparators = _arms(frame, groups, {*_NO_ARMS, *(columns.get(name) for name in _NO_ARMS)})
    grouped = frame.index.isin([row for group in groups for row in group.rows])
    # an outcome of which no row names an instrument has a direction of its own; elsewhere an empty cell has none
    unnamed = frame.index.isin([row for group in groups if group.scales for row in group.rows])
    unnamed &= frame["instrument"].isna().to_numpy() if scales else False
    by_scale = bool(scales) and (not unnamed.any() or bool(_SIGNED & {*possible}))
    coded = "coded_better" if "coded_better" in frame.columns else "instrument" if by_scale else None
    unnamed &= coded == "instrument"
    lacking = placeless_rows(frame, grouped, unnamed, comparator if comparator in comparators else None)
    there = grouped & ~frame.index.isin([row for item in lacking for row in item.rows])
    lacking += rows_without_effect(frame, measures[0] if measures else "", there)
    changed &= there
    if changed.any() and not changed[there].all():
        text = "means are changes since baseline, and those of other trials are not"
        lacking.append(noted("change", frame, changed, text))
    lacking += divided_controls(frame, [group.rows for group in groups])
    return Seen(
        frame,
        renamed,
        groups,
        scales,
        coded,
        measures,
        possible,
        any(item.log for item in hints),
        _moderators(look, frame, {*columns.values()} - {columns.get(name) for name in ("arm_t",)}),
        comparators,
        arms,
        tuple(lacking),
    )


def _require_one_year(frame: pd.DataFrame, source: str) -> None:
    """Refuse one name for what are trials of several years: an author may have published two."""
    year = next((name for name in map(str, frame.columns) if name.casefold() in ("year", "publication year")), None)
    if year is None:
        return
    faults = []
    for study, rows in frame.groupby(frame["study"].astype("str"), sort=False):
        years = rows[year].dropna().unique()
        if len(years) > 1:
            where = f"{source} rows {', '.join(map(str, rows.index))}"
            shown = ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in years)
            remedy = f"Give each trial a name of its own: {study} {shown.partition(',')[0]}."
            faults.append(Fault(where, f"{study!r} is of several years ({shown})", remedy))
    if faults:
        raise DataError(faults)


def _possible(frame: pd.DataFrame, hints: Sequence[ColumnProposal]) -> tuple[str, ...]:
    """What the columns could make, by their names or by what the estimates are called."""
    if named := [item.measure for item in hints if item.measure and item.ours == "estimate"]:
        return (named[0],)
    found = possible_measures(frame)
    return tuple(MEASURES) if found == ("generic",) else found


def _measures(frame: pd.DataFrame, hints: Sequence[ColumnProposal], scales: int) -> tuple[str, ...]:
    """What the columns make, the likeliest first."""
    found = _possible(frame, hints)
    # differences in points make no sense across scales
    if scales > 1 and "SMD" in found:
        return ("SMD",)
    order = {"SMD": 0, "RR": 0, "MD": 1 if scales != 1 else -1}
    return found if len(found) == len(MEASURES) else tuple(sorted(found, key=lambda name: order.get(name, 2)))


def _groups(
    look: Look, frame: pd.DataFrame, scales: Sequence[ScaleRows], label: str | None, chosen: Sequence[str]
) -> tuple[OutcomeRows, ...]:
    # an empty cell beside levels belongs to none of them
    split = [name for name in ("outcome", "horizon") if name in frame.columns and len(frame[name].unique()) > 1]
    named = frame["instrument"].astype("str") if "instrument" in frame.columns else None
    if not split:
        known = list(dict.fromkeys(item.measures for item in scales if item.measures))
        text = label or (frame["outcome"].iloc[0] if "outcome" in frame.columns else None)
        text = str(text) if pd.notna(text) else None
        text = text or (known[0].capitalize() if len(known) == 1 else look.path.stem)
        counted = tuple(map(str, named.value_counts().index)) if named is not None else ()
        return (OutcomeRows(outcome_key(text), text, {}, tuple(map(int, frame.index)), counted),)
    folded = {text.casefold() for text in chosen}
    if folded and "outcome" in split:
        there = {str(value).casefold(): str(value) for value in frame["outcome"].dropna().unique()}
        if unknown := sorted(folded - set(there)):
            raise ModelError(f"--outcome {unknown[0]}: no such outcome. Outcomes: {', '.join(there.values())}.")
    keys: list[str] = []
    groups = []
    for values, rows in frame.groupby(split, sort=False):
        if folded and "outcome" in split and str(values[split.index("outcome")]).casefold() not in folded:
            continue
        text = ", ".join(map(str, values))
        text = text[:1].upper() + text[1:]
        keys.append(outcome_key(text, keys))
        counted = tuple(map(str, named[rows.index].value_counts().index)) if named is not None else ()
        where = {name: str(value) for name, value in zip(split, values, strict=True)}
        groups.append(OutcomeRows(keys[-1], text, where, tuple(map(int, rows.index)), counted))
    if label and len(groups) == 1:
        groups = [dataclasses.replace(groups[0], key=outcome_key(label), label=label)]
    return tuple(groups)


def _arms(
    frame: pd.DataFrame, groups: Sequence[OutcomeRows], never: set[str | None]
) -> tuple[str | None, tuple[str, ...]]:
    """Which column tells the arms of one trial apart, and the comparators where there are several."""
    comparators: tuple[str, ...] = ()
    # an empty cell beside a level is not that level
    if "arm_c" in frame.columns and len(frame["arm_c"].unique()) > 1:
        comparators = tuple(map(str, frame["arm_c"].value_counts().index))
    if "arm_t" in frame.columns:
        return "arm_t", comparators
    repeated = [
        rows
        for group in groups
        for _, rows in frame.loc[list(group.rows)].groupby("study", sort=False)
        if len(rows) > 1
    ]
    if not repeated:
        return None, comparators
    sides = ["arm_c"] if "arm_c" in frame.columns else []
    for name in map(str, frame.columns):
        column = frame[name]
        if name in never or not pd.api.types.is_string_dtype(column) or column.isna().any():
            continue
        if column.nunique() <= _MOST_LEVELS and all(
            len(rows[[name, *sides]].drop_duplicates()) == len(rows) for rows in repeated
        ):
            return name, comparators
    return None, comparators


def _moderators(look: Look, frame: pd.DataFrame, used: set[Any]) -> tuple[str, ...]:
    """Columns of the table that are not read otherwise and have levels, or numbers, that differ between trials."""
    found = []
    for name in map(str, look.frame.columns):
        column = frame[name] if name in frame.columns else look.frame[name]
        if name in used or column.nunique() < 2 or 2 * column.notna().sum() < len(column):
            continue
        if pd.api.types.is_numeric_dtype(column) or (column.nunique() <= min(_MOST_LEVELS, len(column) - 1)):
            found.append(name)
    return tuple(found)


@functools.lru_cache(maxsize=32)
def pooled_sd(seen: Seen, scale: str) -> tuple[float, float, str] | None:
    """Log-normal SD of an instrument over the arms of the table: mean and SD of its logarithm, and the source."""
    needed = ["study", "n_t", "sd_t", "n_c", "sd_c"]
    if not set(needed) <= set(seen.frame.columns):
        return None
    changed = change_rows(seen.frame)
    rows = seen.frame[(seen.frame["instrument"] == scale).to_numpy(dtype=bool) & filled(seen.frame, *needed) & ~changed]
    if rows.empty:
        return None
    means = [name for name in ("mean_t", "mean_c") if name in rows.columns]
    try:
        found = reference_sd(rows[[*needed, *means]])
    except ModelError:
        return None
    return float(found.amount.meanlog), float(found.amount.sdlog), f"arms of this table with {scale}, {found.source}"
