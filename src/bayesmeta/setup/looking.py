"""What a table of trials holds: outcomes, scales, measures, moderators, and what its rows lack."""

from __future__ import annotations

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
from bayesmeta.setup.names import ColumnProposal, Proposals, propose_columns
from bayesmeta.studies import STANDARD_COLUMNS, TEXT_COLUMNS, map_columns, parse_table, possible_measures, table_bytes

__all__ = ["Lacking", "Look", "OutcomeRows", "ScaleRows", "Seen", "look_at", "outcome_key", "see"]

Direction = Literal["higher", "lower"]
_LOWER = r"\blow(?:er)?\b[^.;]{0,20}\bbetter\b|\bhigh(?:er)?\b[^.;]{0,20}\bworse\b"
_HIGHER = r"\bhigh(?:er)?\b[^.;]{0,20}\bbetter\b|\blow(?:er)?\b[^.;]{0,20}\bworse\b"
_CHANGE = r"\bchanges? (?:from|since|score|value)|\bchange scores?\b|^\s*changes?\s*$|change from baseline"
_DIVIDED, _GROUP = "(?:split|divided|halved)", "(?:control|comparator|arm|group)"
_SPLIT = rf"{_DIVIDED}[^.;]*{_GROUP}|{_GROUP}[^.;]*{_DIVIDED}"
#: Columns of text that do not tell arms apart.
_NO_ARMS = ("study", "note", "arm_c", "outcome", "horizon")
#: Levels that a text column may have to be a moderator: more say who a trial is.
_MOST_LEVELS = 12
_MEANS = ("MD", "SMD", "SMDH", "ROM")


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


@dataclass(frozen=True, slots=True)
class Lacking:
    """Something that rows lack or say beside their numbers, and what is proposed.

    Parameters
    ----------
    kind : {"one_sd", "exclude", "split", "shared", "change"}
    studies : tuple of str
    rows : tuple of int
    text : str
    """

    kind: Literal["one_sd", "exclude", "split", "shared", "change"]
    studies: tuple[str, ...]
    rows: tuple[int, ...]
    text: str


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


# -- rows --------------------------------------------------------------------------------------------------------------


def _filled(frame: pd.DataFrame, *names: str) -> np.ndarray:
    """Rows in which all of these columns are filled."""
    there = np.ones(len(frame), dtype=bool)
    for name in names:
        there &= frame[name].notna().to_numpy() if name in frame.columns else False
    return there


def _arm(frame: pd.DataFrame, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows in which an arm has its size and a mean or median, and those in which it has a spread too."""
    centre, spread = np.zeros(len(frame), dtype=bool), np.zeros(len(frame), dtype=bool)
    for mean, spreads in (
        ("mean", ("sd", "se", "ci_low ci_high")),
        ("mean_change", ("sd_change", "se_change", "ci_low_change ci_high_change")),
        ("median", ("q1 q3", "low high")),
    ):
        has = _filled(frame, f"{mean}_{arm}")
        centre |= has
        for names in spreads:
            spread |= has & _filled(frame, *(f"{name}_{arm}" for name in names.split()))
    size = _filled(frame, f"n_{arm}")
    return size & centre, size & centre & spread


def _lacking(frame: pd.DataFrame, measure: str) -> list[Lacking]:
    """Rows from which an effect cannot be computed as they stand."""
    whole = np.zeros(len(frame), dtype=bool)
    for estimate in ("estimate", "md", "adjusted_difference"):
        for uncertain in ("se", "var", "ci_low ci_high", "t", "p", "f"):
            whole |= _filled(frame, estimate, *uncertain.split())
    for statistic in ("d", "g", "t", "f", "p"):
        whole |= _filled(frame, statistic, "n_t", "n_c") & ("sign" in frame.columns or statistic not in "fp")
    for counts in ("events_t n_t events_c n_c", "events_t time_t events_c time_c", "events n", "events time", "r n"):
        whole |= _filled(frame, *counts.split())
    one = np.zeros(len(frame), dtype=bool)
    if measure in _MEANS:
        (centre_t, spread_t), (centre_c, spread_c) = _arm(frame, "t"), _arm(frame, "c")
        whole |= spread_t & spread_c
        one = ~whole & centre_t & centre_c & (spread_t ^ spread_c)
    if measure == "MN":
        whole |= _filled(frame, "mean", "se") | _filled(frame, "mean", "sd", "n")
        whole |= _filled(frame, "mean", "ci_low", "ci_high")
    if "design" in frame.columns:
        whole |= frame["design"].notna().to_numpy()
    found = []
    for kind, rows, text in (
        ("one_sd", one, "the SD of one arm is not reported: that of the other arm stands for it"),
        ("exclude", ~whole & ~one, "no effect can be computed from what is reported: left out"),
    ):
        if rows.any():
            found.append(_noted(kind, frame, rows, text))
    return found


def _noted(kind: Any, frame: pd.DataFrame, rows: np.ndarray, text: str) -> Lacking:
    names = tuple(dict.fromkeys(frame["study"].astype(str).to_numpy()[rows].tolist()))
    return Lacking(kind, names, tuple(int(row) for row in frame.index[rows]), text)


def _changes(frame: pd.DataFrame) -> np.ndarray:
    """Rows whose means are changes, by the column of scores or by remarks, in columns of final scores."""
    rows = np.zeros(len(frame), dtype=bool)
    if "score" in frame.columns:
        rows |= frame["score"].astype("str").str.casefold().str.contains("change", na=False).to_numpy(dtype=bool)
    if "note" in frame.columns:
        rows |= frame["note"].astype("str").str.contains(_CHANGE, case=False, na=False).to_numpy(dtype=bool)
    return rows & _filled(frame, "mean_t")


def _shared(frame: pd.DataFrame, groups: Sequence[OutcomeRows]) -> list[Lacking]:
    """Trials with several rows in one analysis and one control: divided between rows, or shared."""
    found: dict[tuple[str, str], set[int]] = {}
    for group in groups:
        part = frame.loc[list(group.rows)]
        for study, rows in part.groupby(part["study"].astype(str), sort=False):
            if len(rows) < 2:
                continue
            remarks = " ; ".join(rows["note"].dropna().astype(str)) if "note" in rows.columns else ""
            control = [name for name in ("mean_c", "sd_c") if name in rows.columns]
            same = bool(control) and all(len(set(rows[name])) == 1 for name in control)
            sizes = len(set(rows["n_c"])) if "n_c" in rows.columns else 1
            if re.search(_SPLIT, remarks, re.IGNORECASE) or (same and sizes > 1):
                found.setdefault(("split", str(study)), set()).update(map(int, rows.index))
    return [
        Lacking("split", (study,), tuple(sorted(rows)), "the control group was divided between these rows")
        for (_, study), rows in found.items()
    ]


# -- the whole ---------------------------------------------------------------------------------------------------------


def see(look: Look, columns: Mapping[str, str], label: str | None = None, chosen: Sequence[str] = ()) -> Seen:
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
    changed = _changes(frame)
    scales: tuple[ScaleRows, ...] = ()
    if "instrument" in frame.columns:
        named = frame["instrument"].astype("str")
        changes = set(frame.index[changed])
        scales = tuple(_scale(str(x), frame[named == x], changes) for x in named.dropna().unique())
    whole = "instrument" in frame.columns and frame["instrument"].notna().all()
    coded = "coded_better" if "coded_better" in frame.columns else "instrument" if whole and scales else None
    groups = _groups(look, frame, scales, label, chosen)
    measures = _measures(frame, hints, len(scales))
    arms, comparators = _arms(frame, groups)
    lacking = _lacking(frame, measures[0] if measures else "")
    if coded == "coded_better" and (unknown := frame["coded_better"].isna().to_numpy()).any():
        lacking.append(_noted("exclude", frame, unknown, "the direction of its scale is not stated: left out"))
    if changed.any() and not changed.all():
        text = "means are changes since baseline, and those of other trials are not"
        lacking.append(_noted("change", frame, changed, text))
    lacking += _shared(frame, groups)
    return Seen(
        frame,
        renamed,
        groups,
        scales,
        coded,
        measures,
        _possible(frame, hints),
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
    split = [name for name in ("outcome", "horizon") if name in frame.columns and len(set(frame[name].dropna())) > 1]
    named = frame["instrument"].astype("str") if "instrument" in frame.columns else None
    if not split:
        known = list(dict.fromkeys(item.measures for item in scales if item.measures))
        text = label or (str(frame["outcome"].iloc[0]) if "outcome" in frame.columns else None)
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
    return tuple(groups)


def _arms(frame: pd.DataFrame, groups: Sequence[OutcomeRows]) -> tuple[str | None, tuple[str, ...]]:
    """Which column tells the arms of one trial apart, and the comparators where there are several."""
    comparators: tuple[str, ...] = ()
    if "arm_c" in frame.columns and len(set(frame["arm_c"].dropna())) > 1:
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
        if name in _NO_ARMS or not pd.api.types.is_string_dtype(column) or column.isna().any():
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
    changed = _changes(seen.frame)
    rows = seen.frame[
        (seen.frame["instrument"] == scale).to_numpy(dtype=bool) & _filled(seen.frame, *needed) & ~changed
    ]
    if rows.empty:
        return None
    means = [name for name in ("mean_t", "mean_c") if name in rows.columns]
    try:
        found = reference_sd(rows[[*needed, *means]])
    except ModelError:
        return None
    return float(found.amount.meanlog), float(found.amount.sdlog), f"arms of this table with {scale}, {found.source}"


def told_rows(item: Lacking) -> str:
    """Name rows and trials in words.

    Examples
    --------
    >>> told_rows(Lacking("split", ("A",), (6, 7), "the control was divided"))
    'rows 6, 7 (A): the control was divided'
    """
    rows = ", ".join(map(str, item.rows))
    return f"{'row' if len(item.rows) == 1 else 'rows'} {rows} ({', '.join(item.studies)}): {item.text}"
