"""Reviews of RevMan 5: its own files (.rm5, XML) and its exported table of analyses (CSV)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.formats.archive import refuse_declarations
from bayesmeta.studies.formats.grid import number_text
from bayesmeta.studies.formats.review import (
    ReviewAnalysis,
    ReviewRow,
    better_side,
    judgement,
    measure_name,
    number_of,
    review_sheet,
)
from bayesmeta.studies.formats.sheet import Sheet

__all__ = ["is_revman_table", "revman_sheet", "revman_table"]

_KINDS = {"DICH": "dichotomous", "CONT": "continuous", "IV": "estimate", "IPD": "observed-expected"}
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
_NAMES = {**_ARM_NAMES, "se": "SE", "o_e": "O_E", "variance": "VAR"}
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
                        _values(item, stem, analyses[key].measure),
                        {"YES": True, "NO": False}.get(item.get("ESTIMABLE", "")),
                    )
                )
    judged, said = _judgements(root, {key: name for key, (name, _) in studies.items()})
    return review_sheet(source, rows, analyses, judged, _NAMES, [*notes, *said])


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
    stated = outcome.get("EFFECT_MEASURE") or _text(outcome, "EFFECT_MEASURE")
    measure = measure_name(stated)
    notes = []
    if stem == "IPD":
        measure = measure or "OR"
    elif not measure:
        measure = "generic"
        notes.append(f"its effect measure is {stated or 'not stated'}: taken as generic")
    if outcome.get("METHOD") == "PETO" or "PETO" in stated.upper():
        notes.append("the review pools Peto odds ratios; here the odds ratio of the counts")
    labels = [_text(outcome, name) for name in ("GRAPH_LABEL_1", "GRAPH_LABEL_2", "GROUP_LABEL_1", "GROUP_LABEL_2")]
    better = better_side(*labels)
    if better is not None:
        notes.append(f"{better} is better: the plot's sides are {labels[0]!r} and {labels[1]!r}")
    swapped = stem == "DICH" and outcome.get("SWAP_EVENTS") == "YES"
    return ReviewAnalysis(
        key,
        _text(outcome, "NAME"),
        comparison,
        _KINDS[stem],  # type: ignore[arg-type]
        measure,
        better,
        swapped,
        _TOTALS.get(outcome.get("TOTALS") or "YES", "all"),
        tuple(notes),
    )


def _values(item: Any, stem: str, measure: str) -> Mapping[str, str]:
    values = {name: item.get(theirs) or "" for name, theirs in _NAMES.items()}
    if stem == "IV":
        effect, given = number_of(item.get("EFFECT_SIZE")), item.get("ESTIMATE")
        if given:
            values["estimate"] = given
        elif measure in ("OR", "RR", "HR", "IRR", "ROM"):
            # EFFECT_SIZE is what the plot shows; SE is of its logarithm
            values["estimate"] = number_text(math.log(effect)) if effect > 0 else ""
        else:
            values["estimate"] = item.get("EFFECT_SIZE") or ""
    return values


def _judgements(root: Any, names: Mapping[str | None, str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Judgements of risk of bias by trial and domain; those that differ between groups of outcomes are left empty."""
    found: dict[str, dict[str, str]] = {}
    split: list[str] = []
    for item in root.iter("QUALITY_ITEM"):
        domain = _text(item, "NAME").rstrip("?")
        words: dict[str, set[str]] = {}
        for entry in item.iter("QUALITY_ITEM_DATA_ENTRY"):
            words.setdefault(names.get(entry.get("STUDY_ID"), ""), set()).add(judgement(entry.get("RESULT") or ""))
        for study, said in words.items():
            found.setdefault(study, {})[domain] = said.pop() if len(said) == 1 else ""
        if any(len(said) > 1 for said in words.values()):
            split.append(domain)
    notes = [f"risk of bias, {name}: judged by group of outcomes; empty where these differ" for name in split]
    return found, notes


# -- the exported table ------------------------------------------------------------------------------------------------


def is_revman_table(header: tuple[str, ...]) -> bool:
    """Whether a header is that of RevMan 5's export of analyses."""
    return {"Comparison Number", "Outcome Number", "Subgroup Number", "Name"} <= set(header)


def revman_table(sheet: Sheet) -> Sheet:
    """Make a table of RevMan 5's export: rows of comparisons, outcomes and subgroups name the trials that follow."""
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
            if analyses[key].measure in ("OR", "RR", "HR", "IRR", "ROM") and values["estimate"]:
                effect = number_of(values["estimate"])
                values["estimate"] = number_text(math.log(effect)) if effect > 0 else ""
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
    return review_sheet(sheet.source, rows, analyses, {}, _TABLE_NAMES, [*sheet.notes, *notes])


def _tabled(cell: Mapping[str, str], key: str, comparison: str) -> ReviewAnalysis:
    kind = {"D": "dichotomous", "C": "continuous", "P": "observed-expected", "O": "observed-expected"}.get(
        cell.get("Data Type", "")[:1].upper(), "estimate"
    )
    if cell.get("Data Type", "").upper().startswith("IPD"):
        kind = "observed-expected"
    measure = measure_name(cell.get("Effect Measure", ""))
    notes = []
    if cell.get("Statistical Method") == "PETO":
        notes.append("the review pools Peto odds ratios; here the odds ratio of the counts")
    labels = [cell.get(n, "") for n in ("Left Graph Label", "Right Graph Label", "Group Label 1", "Group Label 2")]
    better = better_side(*labels)
    if better is not None:
        notes.append(f"{better} is better: the plot's sides are {labels[0]!r} and {labels[1]!r}")
    totals = {"sub": "subgroups", "no": "none"}.get(cell.get("Totals", "")[:3].lower(), "all")
    return ReviewAnalysis(
        key,
        cell["Name"],
        comparison,
        kind,  # type: ignore[arg-type]
        measure or ("OR" if kind == "observed-expected" else "generic"),
        better,
        cell.get("Swap event and non-event", "").lower() in ("yes", "true"),
        totals,  # type: ignore[arg-type]
        tuple(notes),
    )
