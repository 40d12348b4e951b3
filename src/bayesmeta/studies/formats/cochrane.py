"""Cochrane data packages (.zip) and their tables of data rows (CSV)."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.cells import is_missing
from bayesmeta.studies.formats.archive import unpacked
from bayesmeta.studies.formats.review import (
    Kind,
    ReviewAnalysis,
    ReviewRow,
    judgement,
    number_of,
    review_sheet,
    stated_measure,
    with_points,
)
from bayesmeta.studies.formats.sheet import Sheet

__all__ = ["cochrane_package", "data_rows_table", "is_data_rows"]

_NAMES = {
    "events_t": "Experimental cases",
    "n_t": "Experimental N",
    "mean_t": "Experimental mean",
    "sd_t": "Experimental SD",
    "events_c": "Control cases",
    "n_c": "Control N",
    "mean_c": "Control mean",
    "sd_c": "Control SD",
    "estimate": "GIV Mean",
    "se": "GIV SE",
    "o_e": "O-E",
    "variance": "Variance",
}
_TEXTS = {"study": "Study", "year": "Study year", "subgroup": "Subgroup"}
_KINDS: dict[str, Kind] = {
    "d": "dichotomous",
    "c": "continuous",
    "i": "estimate",
    "g": "estimate",
    "o": "observed-expected",
}

#: Printed effects have six decimals; what agrees to this is the same number, and no two measures agree so by chance.
_SAME = 2e-5


def is_data_rows(header: Sequence[str]) -> bool:
    """Whether a header is that of the data rows of a Cochrane data package."""
    names = set(header)
    return "Study" in names and len(names & set(_NAMES.values())) >= 3 and "CI start" in names


def cochrane_package(content: bytes, source: str) -> Sheet:
    """Read a Cochrane data package, as the Cochrane Library and RevMan give it.

    Parameters
    ----------
    content : bytes
        A packed file that holds ``...-data-rows.csv``, in folders or in an inner ``...-data.zip``.
    source : str
        Name of the file.

    Raises
    ------
    DataError
        If no data rows are in it, or they are of diagnostic test accuracy.

    References
    ----------
    Cochrane, RevMan Knowledge Base: Data package specification, version 1.
    """
    members = dict(unpacked(content, source))
    for name, data in list(members.items()):
        if name.endswith(("-data.zip", "-dataPackage.zip", "-data-package.zip")):
            held = unpacked(data, f"{source} ({name})", members)
            members |= {f"{name}/{inner}": content for inner, content in held.items()}
    tables = {name: data for name, data in members.items() if name.lower().endswith(".csv")}
    if any(name.endswith("-parameters.csv") for name in tables):
        what = "it is of a review of diagnostic test accuracy"
        raise DataError([Fault(source, what, "Give the package of a review of interventions.")])
    found = [name for name in tables if name.endswith("data-rows.csv")]
    if not found:
        listed = ", ".join(sorted(tables)[:8]) or "none"
        raise DataError([Fault(source, "no data-rows.csv is in it", f"Tables in it: {listed}.")])
    settings = [row for name in tables if name.endswith("settings.csv") for _, row in _records(tables[name], name)]
    subgroups = [
        row for name in tables if name.endswith("subgroup-estimates.csv") for _, row in _records(tables[name], name)
    ]
    judged = [row for name in tables if name.endswith("risk-of-bias.csv") for _, row in _records(tables[name], name)]
    rows: list[tuple[int, str, Mapping[str, str]]] = []
    for name in found:
        short = name.rsplit("/", 1)[-1]
        for line, row in _records(tables[name], name):
            rows.append((len(rows) + 2 if len(found) > 1 else line, f"{short} row {line}", row))
    notes = [f"a Cochrane data package: {len(found)} {'table' if len(found) == 1 else 'tables'} of data rows"]
    return _sheet(source, rows, settings, subgroups, judged, notes)


def data_rows_table(sheet: Sheet, decimal: str) -> Sheet:
    """Make a table of data rows that stand in a file of their own."""
    sheet = with_points(sheet, decimal, {*_NAMES.values(), "Mean", "CI start", "CI end"})
    rows = [(number, "", dict(zip(sheet.header, cells, strict=True))) for number, cells in sheet.rows]
    return _sheet(sheet.source, rows, (), (), (), ["data rows of a Cochrane review"], sheet)


def _records(content: bytes, name: str) -> list[tuple[int, dict[str, str]]]:
    try:
        text = content.decode("utf-8-sig")
        records = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError([Fault(name, f"it cannot be read: {error}", "Download the data package anew.")]) from None
    if not records:
        return []
    header = [cell.strip() for cell in records[0]]
    return [
        (
            line,
            {name: "" if is_missing(cell.strip()) else cell.strip() for name, cell in zip(header, cells, strict=False)},
        )
        for line, cells in enumerate(records[1:], 2)
        if any(cells)
    ]


def _key(row: Mapping[str, str]) -> str:
    return ".".join(filter(None, (row.get("Analysis group", ""), row.get("Analysis number", ""))))


def _sheet(
    source: str,
    rows: Sequence[tuple[int, str, Mapping[str, str]]],
    settings: Sequence[Mapping[str, str]],
    subgroups: Sequence[Mapping[str, str]],
    judged: Sequence[Mapping[str, str]],
    notes: Sequence[str],
    base: Sheet | None = None,
) -> Sheet:
    stated = {_key(row): row for row in settings}
    numbers = {(_key(row), row.get("Subgroup", "")): row.get("Subgroup number", "") for row in subgroups}
    analyses: dict[str, ReviewAnalysis] = {}
    made: list[ReviewRow] = []
    for key in dict.fromkeys(_key(row) for _, _, row in rows):
        own = [row for _, _, row in rows if _key(row) == key]
        analyses[key or "1"] = _analysis(key or "1", own, stated.get(key, {}))
    seen: dict[str, list[str]] = {}
    for number, place, row in rows:
        key, group = _key(row), row.get("Subgroup", "")
        order = seen.setdefault(key, [])
        if group and group not in order:
            order.append(group)
        index = numbers.get((key, group)) or (str(order.index(group) + 1) if group else "")
        values = {name: row.get(theirs, "") for name, theirs in _NAMES.items()}
        printed = " ".join(row.get(name, "") for name in ("Mean", "CI start", "CI end", "Weight"))
        barred = False if "not estimable" in printed.replace("_", " ").casefold() else None
        applies = {"SUBGROUP_ONLY": "subgroup", "OVERALL_ONLY": "whole"}.get(row.get("Applicability", ""), "both")
        made.append(
            ReviewRow(
                number,
                place,
                key or "1",
                index,
                group,
                row.get("Study", ""),
                row.get("Study year", ""),
                values,
                barred,
                applies,
            )
        )
    words, differing = _judgements(judged)
    return review_sheet(source, made, analyses, words, {**_NAMES, **_TEXTS}, [*notes, *differing], base)


def _analysis(key: str, rows: Sequence[Mapping[str, str]], stated: Mapping[str, str]) -> ReviewAnalysis:
    label = stated.get("Analysis name") or next((row["Analysis name"] for row in rows if row.get("Analysis name")), key)
    kind = _kind(stated.get("Data type", ""), rows)
    log_data = stated.get("Log-scale data", "").casefold() == "true"
    nonevents = False
    notes: list[str] = []
    if stated:
        method = stated.get("Statistical method", "")
        found = stated_measure(stated.get("Effect measure", ""), kind, method=method, log_data=log_data)
        measure, nonevents = found.name, found.nonevents
        notes += found.notes
    elif measure := _measure_by_numbers(rows, kind):
        notes.append(f"the file states no effect measure; the effects that it prints are those of {measure}")
    else:
        notes.append("the file states no effect measure")
    totalled = [stated.get(name, "").casefold() for name in ("Overall estimates", "Subgroup estimates")]
    totals: Literal["all", "subgroups", "none"] = "all"
    if totalled[0] == "false":
        totals = "subgroups" if totalled[1] == "true" and any(row.get("Subgroup") for row in rows) else "none"
    return ReviewAnalysis(
        key,
        label,
        stated.get("Analysis group name", ""),
        kind,
        measure,
        None,
        nonevents or stated.get("Swap event and non-event", "").casefold() == "true",
        totals,
        tuple(notes),
        log_data,
    )


def _kind(stated: str, rows: Sequence[Mapping[str, str]]) -> Kind:
    """What the rows are made of: as stated, or by the columns that hold other numbers than 0."""
    plain = stated.casefold()
    if plain.startswith("contrast"):
        return "estimate"
    if plain and plain[0] in _KINDS and not plain.startswith("arm"):
        return _KINDS[plain[0]]

    def filled(*names: str) -> bool:
        return any(number_of(row.get(name)) not in (0.0,) and row.get(name, "") for row in rows for name in names)

    if filled("Experimental SD", "Control SD", "Experimental mean"):
        return "continuous"
    if filled("Variance", "O-E"):
        return "observed-expected"
    if filled("Experimental cases", "Control cases"):
        return "dichotomous"
    return "estimate" if filled("GIV SE") else "dichotomous"


def _of_counts(row: Mapping[str, str]) -> dict[str, float]:
    a, n, c, m = (number_of(row.get(_NAMES[name])) for name in ("events_t", "n_t", "events_c", "n_c"))
    if not (0 < a < n and 0 < c < m):
        return {}
    return {"OR": a * (m - c) / (c * (n - a)), "RR": a / n / (c / m), "RD": a / n - c / m}


def _of_means(row: Mapping[str, str]) -> dict[str, float]:
    n, x, s, m, y, u = (number_of(row.get(_NAMES[k])) for k in ("n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c"))
    if not (n > 1 and m > 1 and s > 0 and u > 0):
        return {}
    pooled = math.sqrt(((n - 1) * s**2 + (m - 1) * u**2) / (n + m - 2))
    # RevMan's factor: 1 - 3/(4 N - 9)
    return {"MD": x - y, "SMD": (x - y) / pooled * (1 - 3 / (4 * (n + m) - 9))}


def _measure_by_numbers(rows: Sequence[Mapping[str, str]], kind: Kind) -> str:
    """Name the measure whose effects are those that the file prints in every row, if only one is."""
    makers: dict[str, Callable[[Mapping[str, str]], dict[str, float]]] = {
        "dichotomous": _of_counts,
        "continuous": _of_means,
    }
    if kind not in makers:
        return ""
    agree: dict[str, list[bool]] = {}
    for row in rows:
        printed = number_of(row.get("Mean"))
        for name, value in makers[kind](row).items():
            if math.isfinite(printed):
                agree.setdefault(name, []).append(abs(value - printed) <= _SAME * max(1.0, abs(value)))
    left = [name for name, same in agree.items() if all(same)]
    return left[0] if len(left) == 1 else ""


def _judgements(rows: Sequence[Mapping[str, str]]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Judgements by trial and domain; those that differ between results of a trial are left empty."""
    found: dict[str, dict[str, set[str]]] = {}
    for row in rows:
        for name, cell in row.items():
            if marked := re.match(r"Domain \(judgement\):\s*(.*)", name):
                domain = marked[1].removesuffix(": All outcomes").rstrip("?")
                found.setdefault(row.get("Study", ""), {}).setdefault(domain, set()).add(judgement(cell))
    made = {
        study: {domain: next(iter(words)) if len(words) == 1 else "" for domain, words in of.items()}
        for study, of in found.items()
    }
    split = sorted({domain for of in found.values() for domain, words in of.items() if len(words) > 1})
    notes = [f"risk of bias, {name}: judged by result; empty where these differ" for name in split]
    return made, notes
