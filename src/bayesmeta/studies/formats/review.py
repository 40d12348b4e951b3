"""Trials of a review's analyses to one table: what RevMan 5 files and Cochrane data packages have in common."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from bayesmeta.columns import plural
from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.cells import COMMA_NUMBER, NUMBER, is_missing
from bayesmeta.studies.formats.grid import number_text
from bayesmeta.studies.formats.sheet import ExactText, FileAnalysis, Places, Sheet

__all__ = [
    "Kind",
    "ReviewAnalysis",
    "ReviewRow",
    "better_side",
    "judgement",
    "number_of",
    "review_sheet",
    "stated_measure",
    "with_points",
]

Kind = Literal["dichotomous", "continuous", "estimate", "observed-expected"]

_MEASURES = {
    "odds ratio": "OR",
    "or": "OR",
    "peto odds ratio": "OR",
    "peto or": "OR",
    "risk ratio": "RR",
    "rr": "RR",
    "risk difference": "RD",
    "rd": "RD",
    "mean difference": "MD",
    "md": "MD",
    "standardized mean difference": "SMD",
    "standardised mean difference": "SMD",
    "std. mean difference": "SMD",
    "smd": "SMD",
    "hazard ratio": "HR",
    "hr": "HR",
    "log hazard ratio": "HR",
    "log odds ratio": "OR",
    "log risk ratio": "RR",
    "log rate ratio": "IRR",
    "rate ratio": "IRR",
    "incidence rate ratio": "IRR",
    "ratio of means": "ROM",
}
_RATIOS = {"OR", "RR", "HR", "IRR", "ROM"}
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_JUDGEMENTS = {
    "yes": "low",
    "low": "low",
    "low risk": "low",
    "no": "high",
    "high": "high",
    "high risk": "high",
    "unknown": "unclear",
    "unclear": "unclear",
    "unclear risk": "unclear",
    "some concerns": "some concerns",
    "moderate": "moderate",
    "serious": "serious",
    "critical": "critical",
}
_COLUMNS = (
    *("study", "year", "analysis", "outcome", "comparison", "subgroup"),
    *(f"{stem}_{arm}" for stems in (("events", "n"), ("mean", "sd")) for arm in "tc" for stem in stems),
    *("estimate", "se"),
)


class ReviewRow(NamedTuple):
    """A trial of an analysis, as the file has it.

    Attributes
    ----------
    number : int
        Row of the file, or the place in it.
    place : str
        Words that name it; empty where the row's number does.
    analysis, subgroup : str
        Number of the analysis, and of the subgroup in it; the latter may be empty.
    subgroup_name, study, year : str
    values : mapping of str to str
        By our names: events, sizes, means, SDs, ``estimate`` (of a ratio: its logarithm) or else ``effect`` (as the
        plot shows it), ``se``, ``o_e``, ``variance``.
    estimable : bool or None
        What the file says of it; None where it says nothing.
    applies : str
        Whether it counts for the whole, the subgroup, or both.
    """

    number: int
    place: str
    analysis: str
    subgroup: str
    subgroup_name: str
    study: str
    year: str
    values: Mapping[str, str]
    estimable: bool | None = None
    applies: str = "both"


@dataclass(frozen=True, slots=True)
class ReviewAnalysis:
    """An analysis of a review: its name, what it is made of, how the review totals it.

    Parameters
    ----------
    key, label, comparison : str
    kind : str
        Of its rows.
    measure : str
        By our name; empty where the file does not say it.
    better : {"higher", "lower"}, optional
    swapped : bool
        Whether events and people without the event change places.
    totals : {"all", "subgroups", "none"}
    notes : tuple of str
    log_data : bool
        Whether the file calls its estimates logarithms; a plot shows what these are logarithms of.
    of_logs : bool
        Whether the measure is a logarithm by its name, and so is what the plot shows unless ``log_data``.
    """

    key: str
    label: str
    comparison: str
    kind: Kind
    measure: str
    better: Literal["higher", "lower"] | None = None
    swapped: bool = False
    totals: Literal["all", "subgroups", "none"] = "all"
    notes: tuple[str, ...] = ()
    log_data: bool = False
    of_logs: bool = False


@dataclass(slots=True)
class _Made:
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)
    cells: dict[tuple[int, str], str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


class StatedMeasure(NamedTuple):
    """The effect measure that a review states for an analysis.

    Attributes
    ----------
    name : str
        By our name; empty where the file leaves it open.
    nonevents : bool
        Whether it is of the people without the event.
    notes : tuple of str
        What was made of the words of the file.
    of_logs : bool
        Whether it is a logarithm by its name.
    """

    name: str
    nonevents: bool = False
    notes: tuple[str, ...] = ()
    of_logs: bool = False


def stated_measure(text: str, kind: Kind, *, method: str = "", log_data: bool = False) -> StatedMeasure:
    """Find our name of the effect measure that a review states.

    Estimates of a measure that is not known are pooled as they are (``generic``). Counts, means, O-E with variances and
    logarithms serve several measures: there it is left open, because any choice would be a guess.

    Parameters
    ----------
    text : str
        As the file has it.
    kind : str
        Of the rows of the analysis.
    method : str
        The review's method of pooling.
    log_data : bool
        Whether the file calls estimates logarithms.

    Examples
    --------
    >>> stated_measure("Std. Mean Difference", "continuous").name
    'SMD'
    >>> stated_measure("Risk Ratio (Non-event)", "dichotomous")[:2]
    ('RR', True)
    >>> stated_measure("Other", "observed-expected")[::2]
    ('', ("the file states the effect measure 'Other', which is not known",))
    """
    plain = " ".join(text.replace("_", " ").casefold().split())
    nonevents = re.search(r"\bnon[ -]?events?\b", plain) is not None
    bare = re.sub(r"\s*\(.*\)$|[ -]*\bnon[ -]?events?$", "", plain)
    name = _MEASURES.get(bare, "")
    notes = []
    shown = f"the effect measure {text!r}" if plain else "no effect measure"
    if not name and kind == "observed-expected" and method.casefold() == "peto" and not plain:
        name = "OR"
    if nonevents and kind != "dichotomous":
        return StatedMeasure("", False, (f"the file states {shown}, and no counts from which it can be made",))
    if nonevents and name:
        notes.append(f"events are people without the event: the effect measure is {text!r}")
    elif name and bare != plain:
        notes.append(f"the file states {shown}: read as {name}")
    if kind == "dichotomous" and name == "OR" and "peto" in (method.casefold(), *bare.split()):
        notes.append("the review pools Peto odds ratios; here the odds ratio of the counts")
    if not name and kind == "estimate" and not log_data:
        name = "generic"
        notes.append(f"the file states {shown}: its estimates are pooled as they are (generic)")
    elif not name:
        notes.append(f"the file states {shown}" + (", which is not known" if plain else ""))
    return StatedMeasure(name, nonevents, tuple(notes), bare.startswith("log"))


def judgement(text: str) -> str:
    """Write a judgement of risk of bias in our words; empty where nothing is judged.

    Examples
    --------
    >>> judgement("Low risk"), judgement("UNKNOWN"), judgement("Not applicable")
    ('low', 'unclear', '')
    """
    plain = " ".join(text.replace("_", " ").casefold().split()).removesuffix(" of bias")
    return _JUDGEMENTS.get(plain, "")


def better_side(left: str, right: str, treated: str, control: str) -> Literal["higher", "lower"] | None:
    """Which direction is benefit, by the labels on the sides of a forest plot.

    Smaller values stand on the left. Only labels that name opposite arms decide.

    Examples
    --------
    >>> better_side("Favours exercise", "Favours usual care", "Exercise", "Usual care")
    'lower'
    >>> better_side("Favours control", "Favours experimental", "Yoga", "Waiting list")
    'higher'
    >>> better_side("Less pain", "More pain", "Yoga", "Waiting list") is None
    True
    """

    def side(label: str) -> str:
        plain = " ".join(label.casefold().replace("favors", "favours").split())
        if not plain.startswith("favours "):
            return ""
        named = plain.removeprefix("favours ").strip(" []()")
        active = {"experimental", "treatment", "intervention", treated.casefold().strip()} - {""}
        passive = {"control", "comparator", "placebo", control.casefold().strip()} - {""}
        return "t" if named in active - passive else "c" if named in passive - active else ""

    sides = side(left), side(right)
    return {("t", "c"): "lower", ("c", "t"): "higher"}.get(sides)  # type: ignore[return-value]


def number_of(text: str | None) -> float:
    """Read a number of such a file, decimals with a point; nan where there is none.

    Examples
    --------
    >>> number_of("0.52"), number_of("0,52")
    (0.52, nan)
    """
    return float(text) if text and NUMBER.fullmatch(text) else math.nan


def with_points(sheet: Sheet, decimal: str, columns: Collection[str]) -> Sheet:
    """Write the numbers of a table with a decimal point and without separators of thousands.

    A comma before three digits separates thousands only where the decimals of these columns are written with a point,
    and none with a comma. What stays with a comma is not a number, and a fault where it is needed.

    Parameters
    ----------
    sheet : Sheet
    decimal : str
        Of the file.
    columns : collection of str
        Those of numbers.

    Examples
    --------
    >>> table = Sheet("r.csv", ("Name", "SE", "Total 1"), ((2, ("A", "0,52", "40")), (3, ("B", "0,3", "1,200"))))
    >>> with_points(table, ",", ("SE",)).rows
    ((2, ('A', '0.52', '40')), (3, ('B', '0.3', '1,200')))
    """
    held = [i for i, name in enumerate(sheet.header) if name in columns]
    cells = [row[i] for _, row in sheet.rows for i in held]
    commas = [cell for cell in cells if COMMA_NUMBER.fullmatch(cell) and not _THOUSANDS.fullmatch(cell)]
    pointed = any("." in cell and (NUMBER.fullmatch(cell) or _THOUSANDS.fullmatch(cell)) for cell in cells)
    if decimal == ",":
        made = {cell: cell.replace(",", ".") for cell in set(cells) if COMMA_NUMBER.fullmatch(cell)}
    elif pointed and not commas:
        made = {cell: ExactText(cell.replace(",", "")) for cell in set(cells) if _THOUSANDS.fullmatch(cell)}
    else:
        made = {}
    if not made:
        return sheet
    inside = set(held)
    rows = tuple((n, tuple(made.get(c, c) if i in inside else c for i, c in enumerate(row))) for n, row in sheet.rows)
    notes = sheet.notes
    if decimal != ",":
        notes = (*notes, f"commas in numbers separate thousands: {next(iter(sorted(made)))!r}")
    return replace(sheet, rows=rows, notes=notes)


def review_sheet(
    source: str,
    rows: Sequence[ReviewRow],
    analyses: Mapping[str, ReviewAnalysis],
    judgements: Mapping[str, Mapping[str, str]],
    names: Mapping[str, str],
    notes: Sequence[str],
    base: Sheet | None = None,
) -> Sheet:
    """Make one table of all analyses of a review.

    Parameters
    ----------
    source : str
        Name of the file.
    rows : sequence of ReviewRow
    analyses : mapping of str to ReviewAnalysis
    judgements : mapping of str to mapping
        Trial to its judgements of risk of bias, by domain.
    names : mapping of str to str
        Our columns to the file's names for them.
    notes : sequence of str
    base : Sheet, optional
        The table that the rows were read from, whose rows have the same numbers: what it says of its cells is kept.

    Raises
    ------
    DataError
        If there are no rows, or a ratio is not above 0.
    """
    if not rows:
        raise DataError([Fault(source, "no analysis in it holds trials", "Give a review with data and analyses.")])
    made = _Made()
    base = base or Sheet(source, (), ())
    places = _places(base, rows, names)
    for row in rows:
        _add(made, row, analyses[row.analysis], places, source)
    if made.faults:
        raise DataError(made.faults)
    domains = list(dict.fromkeys(name for of in judgements.values() for name, word in of.items() if word))
    overall = next((name for name in domains if "overall" in name.casefold()), None)
    columns = {name: f"rob {name}" for name in domains if name != overall}
    varied = len({row.applies for row in rows}) > 1
    extra = ["applies"] if varied else []
    header = [*_COLUMNS, *extra, "estimable", *(["risk_of_bias"] if domains else []), *columns.values()]
    texts = []
    for number, cells in made.rows:
        of = judgements.get(cells["study"], {})
        cells |= {column: of.get(name, "") for name, column in columns.items()}
        cells["risk_of_bias"] = of.get(overall, "") if overall else ""
        texts.append((number, tuple(cells.get(name, "") for name in header)))
    filled = [i for i, name in enumerate(header) if name == "risk_of_bias" or any(row[i] for _, row in texts)]
    kept = tuple(header[i] for i in filled)
    found = []
    for item in analyses.values():
        found += _declared(item, rows, set(made.left), varied, {d: c for d, c in columns.items() if c in kept})
    left = [f"{row.place or f'row {row.number}'} ({row.study})" for row in rows if row.number in set(made.left)]
    more = [*base.notes, *notes]
    if domains and overall is None:
        more.append("risk of bias is judged by domain and not overall")
    if left:
        more.append(f"{plural(len(left), 'row')} not estimable, left out: {'; '.join(left[:20])}")
    return Sheet(
        source,
        kept,
        tuple((number, tuple(row[i] for i in filled)) for number, row in texts),
        replace(places, cells=made.cells),
        tuple(more),
        base.warnings,
        row_notes={number: (*base.row_notes.get(number, ()), *of) for number, of in made.notes.items()},
        dates={ours: base.dates[theirs] for ours, theirs in names.items() if theirs in base.dates},
        percents={ours: base.percents[theirs] for ours, theirs in names.items() if theirs in base.percents},
        texts=frozenset(kept) - {"year", *_COLUMNS[6:]},
        analyses=tuple(found),
        not_estimable=tuple(made.left),
    )


def _places(base: Sheet, rows: Sequence[ReviewRow], names: Mapping[str, str]) -> Places:
    """Where our columns stand in the file."""
    at = base.places or Places()
    letters = {ours: at.letters[theirs] for ours, theirs in names.items() if theirs in at.letters}
    return Places(at.sheet, letters, {row.number: row.place for row in rows if row.place}, dict(names))


def _add(made: _Made, row: ReviewRow, analysis: ReviewAnalysis, places: Places, source: str) -> None:
    """Write one row under our names: only the cells that its kind of analysis has.

    A cell that holds no number keeps its text, so that whoever needs it names it. What the file does not say of a row
    follows from numbers alone: a row with such a cell, or an empty one, is not called without an estimate.
    """
    held, notes = row.values, [f"read from analysis {analysis.key} of the review"]
    cells = {
        "study": row.study,
        "year": row.year,
        "analysis": analysis.key,
        "outcome": analysis.label,
        "comparison": analysis.comparison,
        "subgroup": row.subgroup_name,
        "applies": row.applies,
    }
    sizes = [number_of(held.get(name)) for name in ("n_t", "n_c")]
    none = False
    if analysis.kind == "dichotomous":
        cells |= {name: held.get(name, "") for name in ("events_t", "n_t", "events_c", "n_c")}
        events = [number_of(held.get(name)) for name in ("events_t", "events_c")]
        if analysis.swapped:
            events = [n - e for n, e in zip(sizes, events, strict=True)]
            cells |= {name: number_text(e) for name, e in zip(("events_t", "events_c"), events, strict=True) if e == e}
            notes.append("events are people without the event, as the analysis says (swapped)")
        ratio = analysis.measure in ("OR", "RR")
        nobody = all(e == 0 for e in events)
        everybody = analysis.measure == "OR" and all(e == n for e, n in zip(events, sizes, strict=True))
        none = any(n < 1 for n in sizes) or (ratio and (nobody or everybody))
        read = [*events, *sizes]
    elif analysis.kind == "continuous":
        cells |= {name: held.get(name, "") for name in ("n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c")}
        spreads = [number_of(held.get(name)) for name in ("sd_t", "sd_c")]
        none = any(n < 1 for n in sizes) or all(sd == 0 for sd in spreads)
        read = [*sizes, *spreads]
    elif analysis.kind == "observed-expected":
        difference, variance = read = [number_of(held.get(name)) for name in ("o_e", "variance")]
        none = variance <= 0
        cells |= {"estimate": held.get("o_e", ""), "se": held.get("variance", "")}
        if variance > 0 and math.isfinite(difference):
            cells |= {"estimate": number_text(difference / variance), "se": number_text(variance**-0.5)}
            notes.append(f"estimate = (O-E)/V and se = 1/sqrt(V), O-E {difference:g}, V {variance:g}")
        elif variance > 0:
            cells["se"] = number_text(variance**-0.5)
        for ours, theirs in (("estimate", "o_e"), ("se", "variance")):
            made.cells[row.number, ours] = places.cell(row.number, theirs)
    else:
        cells |= {"estimate": held.get("estimate", ""), "se": held.get("se", "")}
        cells |= {n: held[n] for n in ("n_t", "n_c") if not is_missing(held.get(n, "")) and number_of(held[n]) != 0}
        read = [number_of(held.get("se"))]
        none = read[0] <= 0
        shown = held.get("effect", "")
        if not cells["estimate"] and shown:
            # what the plot shows; SE is of its logarithm
            effect = number_of(shown)
            ratio = analysis.log_data or (analysis.measure in _RATIOS and not analysis.of_logs)
            cells["estimate"] = number_text(math.log(effect)) if ratio and effect > 0 else shown
            if ratio and effect <= 0 and not (none if row.estimable is None else not row.estimable):
                where = f"{source} {places.cell(row.number, 'estimate')}"
                made.faults.append(Fault(where, f"{shown} is not a ratio: it is not > 0", "Correct the cell."))
    estimable = (not none or any(value != value for value in read)) if row.estimable is None else row.estimable
    cells["estimable"] = "yes" if estimable else "no"
    if not estimable:
        made.left.append(row.number)
    made.rows.append((row.number, cells))
    made.notes[row.number] = tuple(notes)


def _declared(
    analysis: ReviewAnalysis,
    rows: Sequence[ReviewRow],
    left: set[int],
    varied: bool,
    domains: Mapping[str, str],
) -> list[FileAnalysis]:
    """What is pooled: the analysis, or each of its subgroups where the review totals only these."""
    own = [row for row in rows if row.analysis == analysis.key and row.number not in left]
    logs = analysis.kind == "estimate" and (analysis.measure in _RATIOS or analysis.log_data)
    scale: Literal["natural", "log"] | None = "log" if logs or analysis.kind == "observed-expected" else None
    parts: dict[str, list[ReviewRow]] = defaultdict(list)
    notes = list(analysis.notes)
    if analysis.totals == "subgroups":
        notes.append("the review totals its subgroups only: one analysis each")
        for row in own:
            if row.applies != "whole":
                parts[f"{analysis.key}.{row.subgroup}"].append(row)
    else:
        if analysis.totals == "none":
            notes.append("the review gives no total of it")
        parts[analysis.key] = [row for row in own if row.applies != "subgroup"]
    found = []
    for key, inside in parts.items():
        if not inside:
            continue
        where: dict[str, str | tuple[str, ...]] = {"analysis": analysis.key}
        label = analysis.label
        if analysis.totals == "subgroups":
            where["subgroup"] = inside[0].subgroup_name
            label = f"{label}: {inside[0].subgroup_name}"
        if varied:
            where["applies"] = tuple(sorted({row.applies for row in inside}))
        found.append(
            FileAnalysis(
                key,
                label,
                analysis.measure,
                analysis.better,
                where,
                scale,
                dict(domains),
                tuple(notes),
                analysis.kind in ("estimate", "observed-expected"),
            )
        )
    return found
