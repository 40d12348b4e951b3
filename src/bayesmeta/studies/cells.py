"""Cells as people type them: several numbers in one, levels in several spellings, counts with a separator."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from bayesmeta.columns import plural
from bayesmeta.errors import Fault, Finding, warn
from bayesmeta.studies.formats.sheet import address

__all__ = [
    "COMMA_NUMBER",
    "COUNT_COLUMNS",
    "MISSING",
    "NUMBER",
    "PACKED_COLUMNS",
    "CellNotes",
    "Merged",
    "ambiguous_counts",
    "as_typed",
    "is_missing",
    "merge_spellings",
    "one_spelling",
    "similar_names",
    "split_cells",
]

#: What counts as an empty cell, in any case.
MISSING = frozenset({"", "na", "n/a", "nan", "#n/a", "nr", "n.r.", "not reported", "-", "\u2013", "\u2014", "."})
#: Columns that hold numbers of people or events.
COUNT_COLUMNS = frozenset({"n", "events", *(f"{stem}_{arm}" for stem in ("n", "events") for arm in "tc")})
#: Digits in groups of three: a decimal point (or comma), or a separator of thousands.
GROUPED = re.compile(r"[+]?\d{1,3}([.,]\d{3})+")
#: A number with a decimal point or none, and one with a decimal comma.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
COMMA_NUMBER = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
_N = r"[+\-\u2212]?(?:\d+(?:[.,]\d+)?|[.,]\d+)"
_TO = r"\s*(?:to|,|;|-|\u2013|\u2014|\.\.)\s*"
_LEVEL = r"(?:9[05]\s*%\s*)?(?:CI|CrI)?\s*:?\s*"
_INTERVAL = re.compile(rf"({_N})\s*[(\[]\s*{_LEVEL}({_N}){_TO}({_N})\s*[)\]]", re.IGNORECASE)
_SPREAD = re.compile(rf"({_N})\s*(?:\u00b1|\+/-|\+-|\(\s*(?:SD|SE)?\s*[=:]?)\s*({_N})\s*\)?", re.IGNORECASE)
_BARE = re.compile(rf"[(\[]?\s*{_LEVEL}({_N}){_TO}({_N})\s*[)\]]?", re.IGNORECASE)
_QUARTILES = re.compile(rf"({_N})\s*[(\[]\s*(?:IQR|range)?\s*:?\s*({_N}){_TO}({_N})\s*[)\]]", re.IGNORECASE)
_SHARE = re.compile(r"(\d+)\s*(?:/|of|out of)\s*(\d+)(?:\s*\(\s*[\d.,]+\s*%?\s*\))?", re.IGNORECASE)


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is nothing.

    Examples
    --------
    >>> [is_missing(cell) for cell in ("", "NR", "-", "n/a", "0", "-1")]
    [True, True, True, True, False, False]
    """
    return cell.casefold() in MISSING


class CellNotes(NamedTuple):
    """What was made of cells, by the label of their row."""

    rows: Mapping[Any, tuple[str, ...]]


class Merged(NamedTuple):
    """Spellings of one level that differ in case and spaces alone.

    Attributes
    ----------
    column : str
    kept : str
    others : tuple of str
    rows : tuple
        Labels of the rows that had another spelling.
    """

    column: str
    kept: str
    others: tuple[str, ...]
    rows: tuple[Any, ...]


def one_spelling(text: str) -> str:
    """Write a text so that case and spaces do not matter.

    Examples
    --------
    >>> one_spelling(" During  treatment ")
    'during treatment'
    """
    return " ".join(text.casefold().split())


def merge_spellings(frame: pd.DataFrame, skipped: Iterable[str] = ()) -> tuple[pd.DataFrame, tuple[Merged, ...]]:
    """Give every level one spelling, the most frequent of those that differ in case and spaces alone.

    Parameters
    ----------
    frame : pandas.DataFrame
    skipped : iterable of str
        Columns that stay as they are: names of trials are not merged.

    Examples
    --------
    >>> table = pd.DataFrame({"timing": ["During", "after", "during", "During"]})
    >>> new, merged = merge_spellings(table)
    >>> new["timing"].tolist(), merged[0].others
    (['During', 'after', 'During', 'During'], ('during',))
    """
    found: list[Merged] = []
    new: dict[str, pd.Series] = {}
    left = set(skipped)
    for name in frame.columns:
        column = frame[name]
        if name in left or not isinstance(column, pd.Series) or not pd.api.types.is_string_dtype(column):
            continue
        counts = column.value_counts(sort=False)
        groups: dict[str, list[str]] = {}
        for text in counts.index:
            groups.setdefault(one_spelling(str(text)), []).append(text)
        renamed: dict[str, str] = {}
        for texts in groups.values():
            if len(texts) > 1:
                # the first of equally frequent ones; value_counts keeps the order of the rows
                kept = max(texts, key=lambda text: counts[text])
                others = tuple(text for text in texts if text != kept)
                renamed |= dict.fromkeys(others, kept)
                rows = tuple(frame.index[column.isin(others).to_numpy()])
                found.append(Merged(str(name), str(kept), tuple(map(str, others)), rows))
        if renamed:
            new[name] = column.replace(renamed)
    return (frame.assign(**new) if new else frame), tuple(found)


def similar_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in case and spaces alone, in groups.

    Examples
    --------
    >>> similar_names(["Trial A 2010", "B 2011", "trial a  2010"])
    [('Trial A 2010', 'trial a  2010')]
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(one_spelling(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def ambiguous_counts(
    grouped: Mapping[str, Mapping[Any, str]], columns: Mapping[str, str], attrs: Mapping[Any, Any]
) -> list[Fault]:
    """Return faults of counts that are written with one separator and three digits: decimals, or thousands.

    Parameters
    ----------
    grouped : mapping of str to mapping
        Column of the file to the cells of that form, by their row.
    columns : mapping
        Our name of a column to the file's, for those that the table has.
    attrs : mapping
        What the table carries: ``source``, ``places``.

    Examples
    --------
    >>> fault, = ambiguous_counts({"n": {4: "12.000"}}, {"n_t": "n"}, {"source": "trials.csv"})
    >>> str(fault).partition(". ")[0]
    'trials.csv row 4, column n: 12.000 can be read as 12 and as 12000'
    """
    faults = []
    for ours, theirs in sorted(columns.items()):
        if ours in COUNT_COLUMNS:
            for row, text in grouped.get(theirs, {}).items():
                whole = re.sub("[.,]", "", text)
                head, *rest = re.split("[.,]", text)
                small = f"{float(f'{head}.{rest[0]}'):g}"
                what = (
                    f"{text} can be read as {small} and as {whole}"
                    if len(rest) == 1
                    else f"{text} is not a number: its digits stand in groups"
                )
                remedy = f"Write the count without separators: {small} or {whole}."
                faults.append(Fault(address(attrs, row, theirs), what, remedy))
    return faults


class _Form(NamedTuple):
    """How a cell is split: by which pattern, into which columns, what it is called, and what it looks like."""

    pattern: re.Pattern[str]
    parts: tuple[str, ...]
    words: str
    example: str = ""

    @property
    def named(self) -> str:
        return f"{'an' if self.words[0] in 'aeiou' else 'a'} {self.words}"


def _packed() -> dict[str, _Form]:
    """Columns of which every filled cell holds several numbers."""
    forms: dict[str, _Form] = {}
    for end in ("", "_t", "_c", "_change_t", "_change_c"):
        columns = (f"ci_low{end}", f"ci_high{end}")
        forms[f"ci{end}"] = _Form(_BARE, columns, "interval", "(0.8 to 1.9)")
    for arm in "tc":
        for kind, low, high, words in (("iqr", "q1", "q3", "quartiles"), ("range", "low", "high", "range")):
            parts = (f"median_{arm}", f"{low}_{arm}", f"{high}_{arm}")
            forms[f"median_{kind}_{arm}"] = _Form(_QUARTILES, parts, f"median with its {words}", "3.2 (2.1-4.8)")
    return forms


_PACKED = _packed()
#: Columns of which every filled cell holds several numbers, and which are not read otherwise.
PACKED_COLUMNS = frozenset(_PACKED)


def _forms() -> dict[str, _Form]:
    forms = {"estimate": _Form(_INTERVAL, ("estimate", "ci_low", "ci_high"), "estimate with its interval")}
    for arm in "tc":
        forms[f"events_{arm}"] = _Form(_SHARE, (f"events_{arm}", f"n_{arm}"), "events of participants")
        for stem in ("mean", "mean_change", "mean_pre", "mean_post"):
            sd = f"{stem.replace('mean', 'sd')}_{arm}"
            forms[f"{stem}_{arm}"] = _Form(_SPREAD, (f"{stem}_{arm}", sd), "mean with its standard deviation")
    forms["events"] = _Form(_SHARE, ("events", "n"), "events of participants")
    forms["mean"] = _Form(_SPREAD, ("mean", "sd"), "mean with its standard deviation")
    return forms | _PACKED


FORMS: Mapping[str, _Form] = _forms()


def split_cells(
    frame: pd.DataFrame, used: Collection[str] = ()
) -> tuple[pd.DataFrame, CellNotes, list[tuple[Any, str, str, str]]]:
    """Split cells that hold several numbers, in columns whose names say what the first is.

    ``estimate`` with its interval, ``1.2 (0.8-1.9)``; a mean with its SD, ``12.1 \u00b1 4.0`` or ``12.1 (4.0)``; events
    of participants, ``12/30``. A cell that says SE is a standard error. What the table says in a column of its own as
    well must be the same number. Columns of `PACKED_COLUMNS` hold nothing else: ``ci_t`` ``(0.8 to 1.9)``,
    ``median_iqr_t`` ``3.2 (2.1-4.8)``; a cell of them that cannot be split is a fault.

    Parameters
    ----------
    frame : pandas.DataFrame
    used : collection of str
        Columns that are read under another name, and so not under their own.

    Returns
    -------
    frame : pandas.DataFrame
        A table in which these columns hold numbers, wherever all their cells do.
    notes : CellNotes
        What was split, by row.
    faults : list of (label of the row, column, what, remedy)

    Examples
    --------
    >>> table = pd.DataFrame({"study": ["A", "B"], "events_t": ["12/30", "7"], "n_t": [None, "31"]})
    >>> new, notes, faults = split_cells(table)
    >>> new[["events_t", "n_t"]].to_numpy().tolist()
    [[12.0, 30.0], [7.0, 31.0]]
    >>> notes.rows[0]
    ("events_t '12/30' read as events of participants: events_t 12, n_t 30",)
    """
    changed: dict[str, list[Any]] = {}
    notes: dict[Any, list[str]] = {}
    faults: list[tuple[Any, str, str, str]] = []
    for name, form in FORMS.items():
        if name not in frame.columns or name in used or not isinstance(frame[name], pd.Series):
            continue
        if pd.api.types.is_numeric_dtype(frame[name]) and not form.example:
            continue
        for place, cell in enumerate(frame[name].tolist()):
            found = form.pattern.fullmatch(cell.strip()) if isinstance(cell, str) else None
            if found is None:
                if form.example and not pd.isna(cell) and not is_missing(str(cell).strip()):
                    remedy = f"Write it as {form.example}, or its numbers in columns {', '.join(form.parts)}."
                    faults.append((frame.index[place], name, f"{cell!r} is not {form.named}", remedy))
                continue
            parts = _parts(form, cell)
            numbers = [_number(text) for text in found.groups()]
            label = frame.index[place]
            for part, value in zip(parts, numbers, strict=True):
                held = changed.setdefault(part, _cells(frame, part))
                other = _number(str(held[place])) if part != name and not pd.isna(held[place]) else None
                if other is not None and other != value:
                    what = f"{cell!r} says {part} {value:g}, and the table says {other:g}"
                    faults.append((label, name, what, "Correct one of them, or leave one empty."))
                held[place] = value
            shown = ", ".join(f"{part} {value:g}" for part, value in zip(parts, numbers, strict=True))
            words = form.words.replace("standard deviation", "standard error") if parts[-1][:2] == "se" else form.words
            notes.setdefault(label, []).append(f"{name} {cell!r} read as {words}: {shown}")
    if not changed:
        return frame, CellNotes({}), faults
    new = {name: _column(cells, frame.index) for name, cells in changed.items()}
    return frame.assign(**new), CellNotes({label: tuple(texts) for label, texts in notes.items()}), faults


def _parts(form: _Form, cell: str) -> tuple[str, ...]:
    """Columns of a cell's numbers; the second of a mean is a standard error where the cell says so."""
    if form.pattern is _SPREAD and re.search(r"\bSE\b", cell, re.IGNORECASE):
        return (form.parts[0], re.sub("^sd", "se", form.parts[1]))
    return form.parts


def _cells(frame: pd.DataFrame, name: str) -> list[Any]:
    return frame[name].tolist() if name in frame.columns else [None] * len(frame)


def _number(text: str) -> float:
    plain = text.strip().replace("\u2212", "-")
    try:
        return float(plain.replace(",", ".") if "." not in plain else plain)
    except ValueError:
        return float("nan")


def _column(cells: list[Any], index: pd.Index) -> pd.Series:
    numbers = pd.to_numeric(pd.Series(cells, index, dtype=object), errors="coerce").astype(float)
    empty = pd.isna(pd.Series(cells, index, dtype=object))
    # a cell that is neither a number nor empty stays, for the reader to name it
    return numbers if (numbers.notna() | empty).all() else pd.Series(cells, index, dtype=object)


def as_typed(
    part: pd.DataFrame, used: Collection[str], attrs: Mapping[Any, Any]
) -> tuple[list[tuple[str, ...]], list[Finding]]:
    """Say what was made of cells of some rows: a note per row for the ledger, and what someone should look at.

    Parameters
    ----------
    part : pandas.DataFrame
        Rows of one outcome.
    used : collection of str
        Columns whose levels matter to it, as the file calls them.
    attrs : mapping
        Of the table: ``cells`` and ``merged``.
    """
    notes = [list(attrs.get("cells", {}).get(label, ())) for label in part.index]
    split = sum(map(bool, notes))
    findings = []
    if split:
        example = next(note for row in notes for note in row)
        what = f"{plural(split, 'row')} {'has' if split == 1 else 'have'} several numbers in one cell: {example}"
        findings.append(Finding("cells split", "info", what, "Check that the second number is what it was taken for."))
    places = {label: place for place, label in enumerate(part.index)}
    for item in attrs.get("merged", ()):
        rows = [places[label] for label in item.rows if label in places] if item.column in used else []
        for place in rows:
            notes[place].append(f"{item.column}: {' or '.join(map(repr, item.others))} read as {item.kept!r}")
        if rows:
            what = f"{item.column}: {', '.join(map(repr, item.others))} and {item.kept!r} are one level"
            findings.append(Finding("spellings merged", "info", what, "Write the level in one way."))
    for group in similar_names(part["study"].astype(str)):
        what = f"{' and '.join(map(repr, group))} are {len(group)} trials here"
        warn(f"{what}: their names differ in case and spaces alone.")
        findings.append(
            Finding(
                "trials with similar names", "warning", what, "Write the name of a trial in one way in all its rows."
            )
        )
    return [tuple(row) for row in notes], findings
