"""GRADE's tables as Word and Markdown print them: cells in lines, and notes numbered as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesmeta.columns import plural, with_minus
from bayesmeta.plan import DOMAINS, Judgement
from bayesmeta.questions import CAVEAT, NaturalAnswer, in_sentence
from bayesmeta.report.glossary import glossary_of
from bayesmeta.report.panel import chance_slots
from bayesmeta.report.summary import Asked, SummaryRow

__all__ = [
    "FindingsTable",
    "Line",
    "asked_lines",
    "chance_lines",
    "evidence_profile",
    "new_study_words",
    "summary_of_findings",
]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a cell: its text, whose columns are divided by tabs, its notes, and how it is written."""

    text: str
    notes: tuple[int, ...] = ()
    style: str = ""


Cell = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class FindingsTable:
    """A table for paper.

    Parameters
    ----------
    name, title : str
        What kind of table it is, and of what.
    asked : tuple of (str, str)
        What stands above it: population, setting, intervention, comparison.
    heads : tuple of Cell
    widths : tuple of float
        Of the columns, as parts of their sum.
    rows : tuple of tuple of Cell
        A row with one cell is as wide as what follows its first.
    notes : tuple of str
        Numbered from 1.
    """

    name: str
    title: str
    asked: tuple[tuple[str, str], ...]
    heads: tuple[Cell, ...]
    widths: tuple[float, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]


class _Notes:
    """Notes in the order in which they are first used."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def of(self, *texts: str) -> tuple[int, ...]:
        """Numbers of some notes, each text said once."""
        found = []
        for said in (with_minus(text).strip() for text in texts if text):
            text = said if said.endswith(("...", "?")) else f"{said.rstrip('.')}."
            if text not in self.texts:
                self.texts.append(text)
            found.append(self.texts.index(text) + 1)
        return tuple(sorted(set(found)))


def _line(text: str, notes: tuple[int, ...] = (), style: str = "") -> Line:
    return Line(with_minus(text), notes, style)


def asked_lines(asked: Asked) -> tuple[tuple[str, str], ...]:
    """Population, setting, intervention and comparison; what the protocol does not say is left to be written."""
    return tuple(
        (name, text or "not stated")
        for name, text in (
            ("Patient or population", asked.population),
            ("Setting", asked.setting),
            ("Intervention", asked.intervention),
            ("Comparison", asked.comparison),
        )
    )


def new_study_words(natural: NaturalAnswer) -> str:
    """The effect in a new study in a familiar unit: of points the interval, as on the page."""
    words = natural.new.words
    return words.partition("(")[2].rstrip(")") if natural.kind == "points" else words


def chance_lines(row: SummaryRow) -> tuple[tuple[str, str, str], ...]:
    """Chances of a row: of what, for the mean effect and in a new study; in the words of the page."""
    view = chance_slots(row, max(1, len(row.yardsticks)))
    found = [(head, slot) for head, slot in zip(view["heads"], view["slots"], strict=True) if slot is not None]
    harm = view["slots"][-1]
    marked = None if row.single_arm else harm
    return tuple((f"harm {head}" if slot is marked else head, *slot.texts) for head, slot in found)


def _instrument(natural: NaturalAnswer) -> str:
    """What is counted, without the word points, and that the scale is the instrument's."""
    return natural.unit_words.removeprefix("points on ")


def _sources(natural: NaturalAnswer) -> str:
    return "; ".join(f"{what}: {source}" for what, source in natural.sources)


def _reasons(judgement: Judgement) -> list[str]:
    """What the panel said of each domain and why, and of the whole."""
    found = []
    for name in (*DOMAINS, "certainty"):
        said = judgement.certainty or "" if name == "certainty" else judgement.domains.get(name, "")
        why = judgement.reasons.get(name, "")
        if why or said not in ("", "not serious", "undetected", judgement.certainty):
            found.append(f"{name.capitalize()}{f', {said}' if said else ''}{f': {why}' if why else ''}")
    if found and judgement.threshold:
        found.append(f"Judged at {judgement.threshold}")
    return found


def _people(row: SummaryRow) -> Cell:
    trials = Line(f"({plural(row.trials, 'trial')})")
    return (Line(f"{row.participants:,}"), trials) if row.participants else (trials,)


def _outcome(row: SummaryRow, notes: _Notes) -> Cell:
    lines = [_line(row.label, style="bold")]
    natural = row.natural
    if natural is not None:
        of = notes.of(f"{natural.unit}. {_sources(natural)}" if natural.sources else "", " ".join(natural.notes))
        lines.append(_line(_instrument(natural), of))
    elif row.better:
        lines.append(Line(f"{row.better} is better"))
    return tuple(lines)


def _difference(row: SummaryRow) -> Cell:
    natural = row.natural
    if natural is None:
        return ()
    lines = [_line(natural.mean.words, style="bold"), _line(f"new study: {new_study_words(natural)}")]
    return (*lines, _line(natural.mean.nnt)) if natural.mean.nnt else tuple(lines)


def _effect(row: SummaryRow, notes: _Notes) -> Cell:
    beside = notes.of(*(f"{severity.capitalize()}: {text}" for severity, text in row.notices), row.own_result, row.bias)
    lines = [_line(f"{row.measure} {row.effect_words}", beside)]
    lines.append(_line(f"new study: {row.effect_new[1]} to {row.effect_new[2]}"))
    remark = f"{row.classical_name}: {row.classical_remark}" if row.classical_remark else ""
    lines.append(_line(f"{row.classical_name}: {row.classical or 'not defined'}", notes.of(remark)))
    return tuple(lines)


def _chances(row: SummaryRow, notes: _Notes) -> Cell:
    lines = [_line("\t".join(texts)) for texts in chance_lines(row)]
    sources = [f"{item.words}: {item.source}" for item in row.yardsticks if item.source and not item.natural]
    both = "" if row.natural is None else row.natural.threshold_words
    if lines:
        lines[0] = Line(lines[0].text, notes.of(*sources, both))
    return tuple(lines)


def _certainty(row: SummaryRow, notes: _Notes) -> Cell:
    judged = row.judgement
    of = notes.of(*_reasons(judged))
    if judged.certainty is None:
        return (Line("", of),) if of else ()
    return (Line(judged.symbol), Line(judged.certainty.capitalize(), of))


def _means(row: SummaryRow, notes: _Notes) -> Cell:
    differs = notes.of(row.agreement if "; not: " in row.agreement else "")
    return (_line(row.sentence, differs), *((_line(row.explained),) if row.explained else ()))


def _definition(name: str, *, compared: bool = True) -> str:
    words, text = glossary_of(compared=compared)[name]
    return f"{words}: {text}"


def _compared(rows: Sequence[SummaryRow]) -> bool:
    """Whether an outcome compares arms: what words say of effects is not so of one arm."""
    return not all(row.single_arm for row in rows)


def _failed(row: SummaryRow, notes: _Notes) -> tuple[Cell, ...]:
    return (
        (_line(row.label, style="bold"),),
        (_line("A check failed: no number is shown.", notes.of("; ".join(row.reasons))),),
    )


def summary_of_findings(title: str, asked: Asked, rows: Sequence[SummaryRow]) -> FindingsTable:
    r"""GRADE's summary of findings.

    Parameters
    ----------
    title : str
    asked : Asked
    rows : sequence of SummaryRow

    Returns
    -------
    FindingsTable
        Columns of the scores or risks without and with the intervention, and of the difference in a familiar unit, are
        there where the protocol states what they need. The certainty is the panel's and else empty.

    Examples
    --------
    >>> from bayesmeta.report import asked_of, summary_of
    >>> part = bm.analyse("models/exercise_depression.toml", "depression")
    >>> table = summary_of_findings("Depression", asked_of({}, [part]), [summary_of(part, "Exercise")])
    >>> [head[0].text.partition("\t")[0] for head in table.heads][-3:]
    ['Chance of', 'Certainty (panel)', 'What it means']
    """
    notes = _Notes()
    who = in_sentence(asked.who)
    natural = [row.natural for row in rows if row.natural is not None]
    compared = _compared(rows)
    defined = [_definition(name, compared=compared) for name in ("mean", "new")]
    without = any(item.without_words for item in natural)
    interval = notes.of(_definition("credible", compared=_compared(rows)))
    columns: list[tuple[float, Cell, Callable[[SummaryRow], Cell]]] = [
        (50, (Line("Outcome and follow-up"), Line("instrument")), lambda row: _outcome(row, notes)),
        (20, (Line("Participants"), Line("(trials)")), _people),
    ]
    if without:
        columns += [
            (24, (Line(f"Without {who}"),), lambda row: _only(row, lambda item: item.without_words)),
            (
                27,
                (Line(f"With {who}"), Line("(95 %)", interval)),
                lambda row: _only(row, lambda item: item.mean.with_words),
            ),
        ]
    if natural:
        columns.append((43, (Line("Difference"), Line("(95 %)", interval)), _difference))
    columns += [
        (
            47,
            (Line("Effect"), Line("(95 %), and the classical check", (*interval, *notes.of(_definition("classical"))))),
            lambda row: _effect(row, notes),
        ),
        (
            56,
            (
                Line("Chance of\tmean\tnew", notes.of(*defined, CAVEAT)),
                Line("\teffect\tstudy" if compared else "\t\tstudy"),
            ),
            lambda row: _chances(row, notes),
        ),
        (
            19,
            (Line("Certainty (panel)", notes.of("The panel's; empty where it has not judged")),),
            lambda row: _certainty(row, notes),
        ),
        (42, (Line("What it means"),), lambda row: _means(row, notes)),
    ]
    made = [_failed(row, notes) if row.reasons else tuple(cell(row) for _, _, cell in columns) for row in rows]
    return FindingsTable(
        "Summary of findings",
        title,
        asked_lines(asked),
        tuple(_bold(head) for _, head, _ in columns),
        tuple(width for width, _, _ in columns),
        tuple(made),
        tuple(notes.texts),
    )


def _only(row: SummaryRow, text: Callable[[NaturalAnswer], str]) -> Cell:
    return () if row.natural is None else (_line(text(row.natural)),)


def _bold(head: Cell) -> Cell:
    return tuple(Line(line.text, line.notes, "bold") for line in head)


def evidence_profile(
    title: str, asked: Asked, rows: Sequence[SummaryRow], matrices: Mapping[str, Sequence[Mapping[str, Any]]]
) -> FindingsTable:
    """GRADE's evidence profile: one row per outcome, the domains as columns.

    Parameters
    ----------
    title : str
    asked : Asked
    rows : sequence of SummaryRow
    matrices : mapping
        By outcome, its domains (`bayesmeta.report.certainty.matrix_row`): what the panel chose and why, and what was
        computed, which is never a rating.
    """
    notes = _Notes()
    support = notes.of("Below each choice of the panel stands what was computed for the domain; it is never a rating")
    domains = zip(DOMAINS, (27.0, 45.0, 26.0, 40.0, 33.0), strict=True)
    heads = [
        (38.0, (Line("Outcome and follow-up"),)),
        (20.0, (Line("Participants"), Line("(trials)"))),
        *((width, (Line(name.capitalize(), support if name == DOMAINS[0] else ()),)) for name, width in domains),
        (44.0, (Line("Effect"), Line("(95 %)", notes.of(_definition("credible", compared=_compared(rows)))))),
        (19.0, (Line("Certainty (panel)"),)),
    ]

    def made(row: SummaryRow) -> tuple[Cell, ...]:
        if row.reasons:
            return _failed(row, notes)
        domains = [
            (
                *((_line(cell["chosen"], notes.of(cell["why"]), "bold"),) if cell["chosen"] or cell["why"] else ()),
                *(_line(text, style="small") for text in cell["support"]),
            )
            for cell in matrices[row.key]
        ]
        effect = [_line(f"{row.measure} {row.effect_words}")]
        if row.natural is not None:
            effect.insert(0, _line(row.natural.mean.words))
        judged = row.judgement
        said = () if judged.certainty is None else (Line(judged.symbol), Line(judged.certainty.capitalize()))
        why = notes.of(judged.reasons.get("certainty", ""))
        certainty = (*said[:-1], Line(said[-1].text if said else "", why)) if said or why else ()
        return ((_line(row.label, style="bold"),), _people(row), *domains, tuple(effect), certainty)

    return FindingsTable(
        "Evidence profile",
        title,
        asked_lines(asked),
        tuple(_bold(head) for _, head in heads),
        tuple(width for width, _ in heads),
        tuple(made(row) for row in rows),
        tuple(notes.texts),
    )
