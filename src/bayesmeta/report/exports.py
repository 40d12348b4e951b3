"""What a guideline group takes away from a report: tables for Word, Markdown and CSV, all of the same rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesmeta.columns import csv_text, with_minus
from bayesmeta.measures import measure
from bayesmeta.questions import natural_answer
from bayesmeta.report.findings import FindingsTable, Line, chance_lines, evidence_profile, summary_of_findings
from bayesmeta.report.patients import patients_page
from bayesmeta.report.summary import Asked, SummaryRow, asked_of
from bayesmeta.report.word import word_findings, word_profile, word_sections

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.analysis import Analysis

__all__ = ["COLUMNS", "findings_frame", "findings_markdown", "take_away"]

#: Columns of `findings_frame`.
COLUMNS = ("outcome", "label", "quantity", "target", "threshold", "unit", "value", "lower", "upper", "text")
_TARGETS = (("mean effect", "mu"), ("new study", "theta_new"))


# -- CSV ---------------------------------------------------------------------------------------------------------------


class _Number(NamedTuple):
    """A row of the table, without the outcome that it belongs to."""

    quantity: str
    text: str
    # the value, and the ends of its interval where it has one
    ends: Sequence[float] = ()
    target: str = ""
    threshold: str = ""
    unit: str = ""


def findings_frame(parts: Sequence[Analysis], rows: Sequence[SummaryRow]) -> pd.DataFrame:
    """The summary of findings as a tidy table: one row per outcome and quantity.

    Parameters
    ----------
    parts : sequence of Analysis
    rows : sequence of SummaryRow
        Of the same outcomes, in the same order.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`. ``value``, ``lower`` and ``upper`` have full precision (median and 95 % interval; chances
        between 0 and 1), ``text`` is what page and Word print. Effects are on the natural scale of the measure.

    Examples
    --------
    >>> from bayesmeta.report import summary_of
    >>> part = bm.analysis_of(fit)
    >>> table = findings_frame([part], [summary_of(part)])
    >>> table.loc[table["quantity"] == "effect", ["target", "text"]].to_numpy().tolist()[0]
    ['mean effect', '−0.15 (−0.47 to 0.14)']
    """
    import pandas as pd

    found = []
    for part, row in zip(parts, rows, strict=True):
        for item in _numbers(part, row):
            numbers = dict(zip(("value", "lower", "upper"), item.ends, strict=False))
            found.append(item._asdict() | numbers | {"outcome": row.key, "label": row.label})
    table = pd.DataFrame(found).reindex(columns=list(COLUMNS))
    numeric = dict.fromkeys(("value", "lower", "upper"), float)
    return table.astype(numeric).assign(text=table["text"].map(with_minus))


def _numbers(part: Analysis, row: SummaryRow) -> Iterator[_Number]:
    yield _Number("trials", str(row.trials), [row.trials])
    if row.participants:
        yield _Number("participants", f"{row.participants:,}", [row.participants])
    if row.reasons:
        yield _Number("failed check", "; ".join(row.reasons))
        return
    unit = f"{row.measure}, {row.unit}" if row.unit and row.unit != "SD" else row.measure
    table: Any = part.summary_table
    for (target, name), text in zip(_TARGETS, (row.effect_words, row.new_words), strict=True):
        yield _Number("effect", text, _back(part, table.loc[name, ["median", "lower", "upper"]]), target, unit=unit)
    if row.classical:
        methods: Any = part.methods.set_index("method")
        ends = methods.loc[row.classical_name, ["estimate", "lower", "upper"]]
        yield _Number(f"classical check: {row.classical_name}", row.classical, _back(part, ends), unit=unit)
    yield from _natural(row)
    names = [item.name for item in row.yardsticks]
    kinds = ["any benefit", *("benefit" for _ in names), "harm"] if names else ["any benefit"]
    chances = list(zip(kinds, row.chances, strict=False))[row.single_arm :]
    # of one arm with one value harm is what benefit is not, and has no line
    for (kind, item), texts in zip(chances, chance_lines(row), strict=False):
        for (target, _), value, text in zip(_TARGETS, (item.mean, item.new), texts[1:], strict=True):
            said = "" if kind == "any benefit" else texts[0].removeprefix("harm ")
            yield _Number(f"chance of {kind}", text, [value], target, threshold=said)
    if row.judgement.certainty:
        yield _Number("certainty (panel)", row.judgement.certainty)
    if row.sentence:
        yield _Number("what it means", row.sentence)


def _back(part: Analysis, ends: Any) -> list[float]:
    return np.asarray(measure(part.effects.measure).back(ends.to_numpy(float)), float).tolist()


def _natural(row: SummaryRow) -> Iterator[_Number]:
    natural = row.natural
    if natural is None:
        return
    unit = natural.unit_words
    if natural.without is not None:
        yield _Number("without the intervention", natural.without_words, natural.without, unit=unit)
    for effect in (natural.mean, natural.new):
        yield _Number("difference", effect.words, effect.difference, effect.target, unit=unit)
        if effect.with_exercise is not None:
            yield _Number("with the intervention", effect.with_words, effect.with_exercise, effect.target, unit=unit)


# -- Markdown ----------------------------------------------------------------------------------------------------------


def findings_markdown(table: FindingsTable) -> str:
    r"""Write a table as Markdown (pipe tables and notes as GitHub and Pandoc read them).

    Examples
    --------
    >>> asked, heads = (("Population", "Adults"),), ((Line("Outcome", (1,), "bold"),), (Line("Chance\tmean"),))
    >>> rows = ((((Line("Pain"),)), (Line("benefit\t<0.1 %"),)),)
    >>> print(findings_markdown(FindingsTable("Summary", "a|b", asked, heads, (1, 1), rows, ("A note.",))))
    # Summary: a\|b
    <BLANKLINE>
    **Population:** Adults
    <BLANKLINE>
    | Outcome[^1] | Chance: mean |
    | --- | --- |
    | Pain | benefit: <0.1 % |
    <BLANKLINE>
    [^1]: A note.
    <BLANKLINE>
    """
    count = len(table.heads)
    lines = [f"# {table.name}: {_escaped(table.title)}", ""]
    lines += ["  \n".join(f"**{name}:** {_escaped(text)}" for name, text in table.asked), ""]
    lines += [_pipes([_cell(head, plain=True) for head in table.heads]), _pipes(["---"] * count)]
    lines += [_pipes([*map(_cell, row), *([""] * (count - len(row)))]) for row in table.rows]
    lines += ["", *(f"[^{i}]: {_escaped(text)}" for i, text in enumerate(table.notes, 1))]
    return "\n".join(lines) + "\n"


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(lines: Sequence[Line], *, plain: bool = False) -> str:
    found = []
    for line in lines:
        first, *others = (_escaped(text) for text in line.text.split("\t"))
        text = f"{first}: {', '.join(others)}" if first and others else ", ".join(filter(None, (first, *others)))
        bold = f"**{text}**" if text and line.style == "bold" and not plain else text
        found.append(bold + "".join(f"[^{number}]" for number in line.notes))
    return (" " if plain else "<br>").join(filter(None, found))


def _escaped(text: str) -> str:
    """What Markdown or HTML would read as markup, as text; a number after "<" is none."""
    return re.sub(r"([\\|*_`\[\]]|<(?=[A-Za-z/!?]))", r"\\\1", " ".join(text.split()))


# -- all of them -------------------------------------------------------------------------------------------------------


def take_away(
    title: str,
    parts: Sequence[Analysis],
    views: Sequence[Mapping[str, Any]],
    report: Mapping[str, Any],
    *,
    patients: bool = False,
) -> dict[str, bytes]:
    """Make the files that a guideline group takes away, by name.

    Parameters
    ----------
    title : str
    parts : sequence of Analysis
    views : sequence of mapping
        From `bayesmeta.report.view_of`, in the same order.
    report : mapping
        The protocol's ``[report]``.
    patients : bool
        Whether with the page for patients.

    Returns
    -------
    dict of str to bytes
        The same bytes for the same results.
    """
    rows: list[SummaryRow] = [view["row"] for view in views]
    asked: Asked = asked_of(report, parts)
    summary = summary_of_findings(title, asked, rows)
    profile = evidence_profile(title, asked, rows, {view["key"]: view.get("matrix", ()) for view in views})
    whom = {view["label"]: view["in_whom"] for view in views if view.get("in_whom")}
    not_told = {
        view["label"]: view["moderated"]["reason"].removeprefix("not estimable: ")
        for view in views
        if view.get("moderated") and not view.get("in_whom")
    }
    frame = findings_frame(parts, rows)
    found = {
        "summary-of-findings.docx": word_findings(summary),
        "summary-of-findings.md": findings_markdown(summary).encode("utf-8"),
        "summary-of-findings.csv": csv_text(frame).encode("utf-8"),
        "evidence-profile.docx": word_profile(profile, whom, not_told),
        "sensitivity-analyses.docx": word_sections(title, {view["label"]: view.get("sections", {}) for view in views}),
    }
    if patients:
        spoken = [_in_own_points(part, row) for part, row in zip(parts, rows, strict=True)]
        found["patients.html"] = patients_page(title, asked, spoken).encode("utf-8")
    return found


def _in_own_points(part: Analysis, row: SummaryRow) -> SummaryRow:
    """A row whose mean difference is said in its own unit, as people read it: better or worse, without a sign."""
    if row.natural is not None or row.reasons or row.measure != "MD" or not (row.unit and row.better):
        return row
    return replace(row, natural=natural_answer(part.pooled))
