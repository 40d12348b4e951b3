"""Reviews of RevMan 5: its own files (.rm5, XML) and its exported table of analyses (CSV)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.formats.archive import refuse_declarations
from bayesmeta.studies.formats.review import (
    Kind,
    ReviewAnalysis,
    ReviewRow,
    better_side,
    judgement,
    review_sheet,
    stated_measure,
    with_points,
)
from bayesmeta.studies.formats.sheet import Sheet

__all__ = ["is_revman_table", "revman_sheet", "revman_table"]

_KINDS: dict[str, Kind] = {"DICH": "dichotomous", "CONT": "continuous", "IV": "estimate", "IPD": "observed-expected"}
_ARM_NAMES = {
    "events_t": "EVENTS_1",
    "n_t": "TOTAL_1",
    "mean_t": "MEAN_1",
    "sd_t": "SD_1",
    "events_c": "EVENTS_2",
    "n_c": "TOTAL_2",
    "mean_c": "MEAN_2",
    "sd_c": "SD_2",
}
_NAMES = {**_ARM_NAMES, "estimate": "EFFECT_SIZE", "se": "SE", "o_e": "O_E", "variance": "VAR"}
_TABLE_NAMES = {
    "events_t": "Events 1",
    "n_t": "Total 1",
    "mean_t": "Mean 1",
    "sd_t": "SD 1",
    "events_c": "Events 2",
    "n_c": "Total 2",
    "mean_c": "Mean 2",
    "sd_c": "SD 2",
    "estimate": "Effect Estimate",
    "se": "SE",
    "o_e": "O-E",
    "variance": "Var",
}
_TABLE_TEXTS = {"study": "Name", "year": "Year of study"}
_LOG_DATA = "Entered data are on log-scale (Generic Inverse Variance only)"
_TOTALS: dict[str, Literal["all", "subgroups", "none"]] = {"YES": "all", "SUB": "subgroups", "NO": "none"}


def revman_sheet(content: bytes, source: str) -> Sheet:
    """Read a review that RevMan 5 saved.

    Parameters
    ----------
    content : bytes
        XML with the root ``COCHRANE_REVIEW``.
    source : str
        Name of the file.

    Raises
    ------
    DataError
        If it is no such file, or holds no analysis with trials.

    References
    ----------
    The names of elements and attributes are those that RevMan 5 writes; The Cochrane Collaboration (2020), Review
    Manager (RevMan) 5.4.
    """
    refuse_declarations(content, source)
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        raise DataError([Fault(source, f"it is damaged: {error}", "Save it anew in RevMan.")]) from None
    if root.tag != "COCHRANE_REVIEW":
        raise DataError([Fault(source, f"its root is {root.tag}, not COCHRANE_REVIEW", "Give a file of RevMan 5.")])
    studies = {item.get("ID"): (item.get("NAME") or "", item.get("YEAR") or "") for item in root.iter("STUDY")}
    analyses: dict[str, ReviewAnalysis] = {}
    rows: list[ReviewRow] = []
    notes = [f"a review of RevMan {root.get('REVMAN_VERSION', '5')}: one analysis per outcome"]
    for comparison in root.iter("COMPARISON"):
        for outcome in comparison:
            stem, _, tail = str(outcome.tag).partition("_")
            if tail != "OUTCOME":
                continue
            key = f"{comparison.get('NO')}.{outcome.get('NO')}"
            if stem not in _KINDS:
                notes.append(f"analysis {key} ({_text(outcome, 'NAME')}) holds no numbers: not read")
                continue
            analyses[key] = _analysis(outcome, stem, key, _text(comparison, "NAME"))
            for subgroup, item in _data(outcome, stem):
                name, year = studies.get(item.get("STUDY_ID"), (item.get("STUDY_ID") or "", ""))
                number = "" if subgroup is None else str(subgroup.get("NO"))
                place = f"analysis {key}{'.' if number else ''}{number}, {name}"
                rows.append(
                    ReviewRow(
                        len(rows) + 1,
                        place,
                        key,
                        number,
                        "" if subgroup is None else _text(subgroup, "NAME"),
                        name,
                        year,
                        _values(item),
                        {"YES": True, "NO": False}.get(item.get("ESTIMABLE", "")),
                    )
                )
    judged, differing = _judgements(root, {key: name for key, (name, _) in studies.items()})
    return review_sheet(source, rows, analyses, judged, _NAMES, [*notes, *differing])


def _text(element: Any, tag: str) -> str:
    return " ".join((element.findtext(tag) or "").split())


def _data(outcome: Any, stem: str) -> Iterator[tuple[Any, Any]]:
    """Trials of an outcome, each with its subgroup."""
    for child in outcome:
        if child.tag == f"{stem}_DATA":
            yield None, child
        elif child.tag == f"{stem}_SUBGROUP":
            for item in child.iter(f"{stem}_DATA"):
                yield child, item


def _analysis(outcome: Any, stem: str, key: str, comparison: str) -> ReviewAnalysis:
    kind, log_data = _KINDS[stem], outcome.get("LOG_DATA") == "YES"
    text = outcome.get("EFFECT_MEASURE") or _text(outcome, "EFFECT_MEASURE")
    stated = stated_measure(text, kind, method=outcome.get("METHOD") or "", log_data=log_data)
    notes = [*stated.notes]
    labels = [_text(outcome, name) for name in ("GRAPH_LABEL_1", "GRAPH_LABEL_2", "GROUP_LABEL_1", "GROUP_LABEL_2")]
    better = better_side(*labels)
    if better is not None:
        notes.append(f"{better} is better: the plot's sides are {labels[0]!r} and {labels[1]!r}")
    swapped = stem == "DICH" and (stated.nonevents or outcome.get("SWAP_EVENTS") == "YES")
    return ReviewAnalysis(
        key,
        _text(outcome, "NAME"),
        comparison,
        kind,
        stated.name,
        better,
        swapped,
        _TOTALS.get(outcome.get("TOTALS") or "YES", "all"),
        tuple(notes),
        log_data,
        stated.of_logs,
    )


def _values(item: Any) -> Mapping[str, str]:
    values = {name: item.get(theirs) or "" for name, theirs in _NAMES.items()}
    return values | {"estimate": item.get("ESTIMATE") or "", "effect": values["estimate"]}


def _judgements(root: Any, names: Mapping[str | None, str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Judgements of risk of bias by trial and domain; those that differ between groups of outcomes are left empty."""
    found: dict[str, dict[str, str]] = {}
    split: list[str] = []
    for item in root.iter("QUALITY_ITEM"):
        domain = _text(item, "NAME").rstrip("?")
        words: dict[str, set[str]] = {}
        for entry in item.iter("QUALITY_ITEM_DATA_ENTRY"):
            words.setdefault(names.get(entry.get("STUDY_ID"), ""), set()).add(judgement(entry.get("RESULT") or ""))
        for study, given in words.items():
            found.setdefault(study, {})[domain] = given.pop() if len(given) == 1 else ""
        if any(len(given) > 1 for given in words.values()):
            split.append(domain)
    notes = [f"risk of bias, {name}: judged by group of outcomes; empty where these differ" for name in split]
    return found, notes


# -- the exported table ------------------------------------------------------------------------------------------------


def is_revman_table(header: tuple[str, ...]) -> bool:
    """Whether a header is that of RevMan 5's export of analyses."""
    return {"Comparison Number", "Outcome Number", "Subgroup Number", "Name"} <= set(header)


def revman_table(sheet: Sheet, decimal: str) -> Sheet:
    """Make a table of RevMan 5's export: rows of comparisons, outcomes and subgroups name the trials that follow."""
    sheet = with_points(sheet, decimal, _TABLE_NAMES.values())
    comparisons: dict[str, str] = {}
    analyses: dict[str, ReviewAnalysis] = {}
    groups: dict[tuple[str, str], str] = {}
    rows: list[ReviewRow] = []
    for number, cells in sheet.rows:
        cell = dict(zip(sheet.header, cells, strict=True))
        one, two, three = (cell[f"{name} Number"] for name in ("Comparison", "Outcome", "Subgroup"))
        key = f"{one}.{two}"
        if two in ("", "0"):
            comparisons[one] = cell["Name"]
        elif key not in analyses:
            analyses[key] = _tabled(cell, key, comparisons.get(one, ""))
        elif cell.get("Data Type") and three not in ("", "0"):
            groups[key, three] = cell["Name"]
        else:
            group = "" if three == "0" else three
            values = {name: cell.get(theirs, "") for name, theirs in _TABLE_NAMES.items()}
            values["effect"] = values.pop("estimate")
            rows.append(
                ReviewRow(
                    number,
                    "",
                    key,
                    group,
                    groups.get((key, three), ""),
                    cell["Name"],
                    cell.get("Year of study", ""),
                    values,
                )
            )
    notes = ["a table of analyses that RevMan 5 exported: one analysis per outcome"]
    return review_sheet(sheet.source, rows, analyses, {}, {**_TABLE_NAMES, **_TABLE_TEXTS}, notes, sheet)


def _tabled(cell: Mapping[str, str], key: str, comparison: str) -> ReviewAnalysis:
    type_ = cell.get("Data Type", "").upper()
    kinds: dict[str, Kind] = {
        "D": "dichotomous",
        "C": "continuous",
        "P": "observed-expected",
        "O": "observed-expected",
    }
    kind = "observed-expected" if type_.startswith("IPD") else kinds.get(type_[:1], "estimate")
    log_data = cell.get(_LOG_DATA, "").casefold() == "yes"
    method = cell.get("Statistical Method", "")
    stated = stated_measure(cell.get("Effect Measure", ""), kind, method=method, log_data=log_data)
    notes = [*stated.notes]
    labels = [cell.get(n, "") for n in ("Left Graph Label", "Right Graph Label", "Group Label 1", "Group Label 2")]
    better = better_side(*labels)
    if better is not None:
        notes.append(f"{better} is better: the plot's sides are {labels[0]!r} and {labels[1]!r}")
    totals = {"sub": "subgroups", "no": "none"}.get(cell.get("Totals", "")[:3].lower(), "all")
    return ReviewAnalysis(
        key,
        cell["Name"],
        comparison,
        kind,
        stated.name,
        better,
        stated.nonevents or cell.get("Swap event and non-event", "").lower() in ("yes", "true"),
        totals,  # type: ignore[arg-type]
        tuple(notes),
        log_data,
        stated.of_logs,
    )
