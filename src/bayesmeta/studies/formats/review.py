"""Trials of a review's analyses to one table: what RevMan 5 files and Cochrane data packages have in common."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bayesmeta.digits import plural
from bayesmeta.errors import DataError, Fault
from bayesmeta.studies.formats.grid import number_text
from bayesmeta.studies.formats.sheet import FileAnalysis, Places, Sheet

__all__ = ["ReviewAnalysis", "ReviewRow", "better_side", "judgement", "measure_name", "number_of", "review_sheet"]

Kind = Literal["dichotomous", "continuous", "estimate", "observed-expected"]

_MEASURES = {
    "odds ratio": "OR",
    "or": "OR",
    "peto odds ratio": "OR",
    "peto or": "OR",
    "odds ratio (non-event)": "OR",
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
    "rate ratio": "IRR",
    "incidence rate ratio": "IRR",
    "ratio of means": "ROM",
}
_RATIOS = {"OR", "RR", "HR", "IRR", "ROM"}
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
        By our names: events, sizes, means, SDs, ``estimate``, ``se``, ``o_e``, ``variance``.
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


@dataclass(slots=True)
class _Made:
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    notes: dict[int, tuple[str, ...]] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)


def measure_name(text: str) -> str:
    """Find our name of an effect measure; empty where there is none.

    Examples
    --------
    >>> measure_name("Std. Mean Difference"), measure_name("PETO_OR"), measure_name("Other")
    ('SMD', 'OR', '')
    """
    plain = " ".join(text.replace("_", " ").casefold().split())
    return _MEASURES.get(plain, _MEASURES.get(re.sub(r"\s*\(.*\)$", "", plain), ""))


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
    """Read a number of such a file; nan where there is none."""
    try:
        return float((text or "").replace(",", ""))
    except ValueError:
        return math.nan


def review_sheet(
    source: str,
    rows: Sequence[ReviewRow],
    analyses: Mapping[str, ReviewAnalysis],
    judgements: Mapping[str, Mapping[str, str]],
    names: Mapping[str, str],
    notes: Sequence[str],
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

    Raises
    ------
    DataError
        If there are no rows.
    """
    if not rows:
        raise DataError([Fault(source, "no analysis in it holds trials", "Give a review with data and analyses.")])
    made = _Made()
    for row in rows:
        _add(made, row, analyses[row.analysis])
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
    said = [*notes]
    if domains and overall is None:
        said.append("risk of bias is judged by domain and not overall")
    if left:
        said.append(f"{plural(len(left), 'row')} not estimable, left out: {'; '.join(left[:20])}")
    return Sheet(
        source,
        kept,
        tuple((number, tuple(row[i] for i in filled)) for number, row in texts),
        Places(rows={row.number: row.place for row in rows if row.place}, names=dict(names)),
        tuple(said),
        row_notes=made.notes,
        texts=frozenset(kept) - {"year", *_COLUMNS[6:]},
        analyses=tuple(found),
        not_estimable=tuple(made.left),
    )


def _add(made: _Made, row: ReviewRow, analysis: ReviewAnalysis) -> None:
    """Write one row under our names: only the cells that its kind of analysis has."""
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
    estimable = row.estimable
    if analysis.kind == "dichotomous":
        cells |= {name: held.get(name, "") for name in ("events_t", "n_t", "events_c", "n_c")}
        events = [number_of(held.get(name)) for name in ("events_t", "events_c")]
        if analysis.swapped:
            events = [n - e for n, e in zip(sizes, events, strict=True)]
            cells |= {name: number_text(e) for name, e in zip(("events_t", "events_c"), events, strict=True) if e == e}
            notes.append("events are people without the event, as the analysis says (swapped)")
        if estimable is None:
            ratio = analysis.measure in ("OR", "RR")
            nobody = all(e == 0 for e in events)
            everybody = analysis.measure == "OR" and all(e == n for e, n in zip(events, sizes, strict=True))
            estimable = not (min(sizes) < 1 or (ratio and (nobody or everybody)))
    elif analysis.kind == "continuous":
        cells |= {name: held.get(name, "") for name in ("n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c")}
        if estimable is None:
            spreads = [number_of(held.get(name)) for name in ("sd_t", "sd_c")]
            estimable = not (min(sizes) < 1 or all(sd == 0 for sd in spreads))
    elif analysis.kind == "observed-expected":
        difference, variance = number_of(held.get("o_e")), number_of(held.get("variance"))
        estimable = variance > 0 if estimable is None else estimable
        if variance > 0:
            cells |= {"estimate": number_text(difference / variance), "se": number_text(variance**-0.5)}
            notes.append(f"estimate = (O-E)/V and se = 1/sqrt(V), O-E {difference:g}, V {variance:g}")
    else:
        cells |= {"estimate": held.get("estimate", ""), "se": held.get("se", "")}
        cells |= {name: held[name] for name in ("n_t", "n_c") if number_of(held.get(name)) > 0}
        estimable = number_of(held.get("se")) > 0 if estimable is None else estimable
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
    scale: Literal["natural", "log"] | None = None
    if analysis.kind in ("estimate", "observed-expected") and analysis.measure in _RATIOS:
        scale = "log"
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
            )
        )
    return found
