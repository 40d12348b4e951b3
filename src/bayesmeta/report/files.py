"""The files of a report: pictures, tables, and the Word summary of findings."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.errors import ModelError
from bayesmeta.questions import CAVEAT
from bayesmeta.records import size_rows

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.plots import Plot
    from bayesmeta.sensitivity import ReadableSection

__all__ = ["BY", "IN_PAGE", "Drawn", "draw_part", "tables_of", "word_file", "word_sections"]

#: Trials from which a funnel says something: Cochrane Handbook 13.3.5.4.
FUNNEL = 10
#: Of the pictures those that the page shows; its curve of benefit is drawn live.
IN_PAGE = ("forest", "heterogeneity", "funnel")
#: How the name of a forest plot begins whose trials stand by the levels of a moderator.
BY = "forest-by-"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as files: SVG, and PDF where requested."""

    name: str
    title: str
    alt: str
    svg: bytes
    pdf: bytes | None

    def paths(self, key: str) -> dict[str, str | None]:
        """Where its files lie in the report."""
        name = f"figures/{key}.{self.name}"
        return {"svg": f"{name}.svg", "pdf": None if self.pdf is None else f"{name}.pdf"}

    def in_page(self, key: str) -> dict[str, Any]:
        """What the page needs of it: the SVG is a part of the page as it is, without the line that makes it a file."""
        text = self.svg.decode("utf-8")
        return {"name": self.name, "markup": text[text.index("<svg") :], "title": self.title, **self.paths(key)}


def draw_part(part: Analysis, *, pdf: bool = False) -> tuple[list[Drawn], dict[str, str]]:
    """Draw the pictures of one outcome.

    Parameters
    ----------
    part : Analysis
    pdf : bool
        Whether as PDF too, which takes ten times as long.

    Returns
    -------
    list of Drawn, dict
        The pictures, and why others were not drawn.
    """
    from bayesmeta import plots
    from bayesmeta.plots import drawing

    fit = part.pooled
    makers: dict[str, Callable[[], Plot]] = {
        "forest": lambda: plots.forest_plot(fit),
        "heterogeneity": lambda: plots.heterogeneity_plot(fit),
        "benefit": lambda: plots.benefit_plot(fit),
    }
    if fit.effects.n_trials >= FUNNEL:
        makers["funnel"] = lambda: plots.funnel_plot(fit)
    if part.moderated is not None:
        for factor in (item for item in part.moderated.design.factors.values() if item.levels):
            makers[f"{BY}{factor.name}"] = partial(
                plots.forest_plot,
                fit,
                subgroup=factor.name,
                moderated=part.moderated,
                title=f"{part.label}, by {factor.name}",
            )
    found, not_drawn = [], {}
    with drawing():
        for name, make in makers.items():
            try:
                picture = make()
            except ModelError as error:
                not_drawn[name] = str(error)
                continue
            svg = plots.plot_bytes(picture, "svg", key=f"figure-{part.key}-{name}")
            printed = plots.plot_bytes(picture, "pdf") if pdf else None
            found.append(Drawn(name, picture.title, picture.alt, svg, printed))
    return found, not_drawn


def tables_of(part: Analysis) -> dict[str, pd.DataFrame]:
    """Every table of one outcome, tidy, by the name of its file."""
    from bayesmeta.questions import study_table

    tables = {
        "summary": part.summary_table.reset_index(),
        "trials": study_table(part.pooled),
        "methods": part.methods,
        "declared": part.variations,
        **dict(part.sections.tables),
    }
    if part.moderators is not None:
        tables["moderators"] = part.moderators
    sizes = size_rows(part.pooled, part.thresholds)
    if sizes is not None:
        tables["sizes"] = pd.DataFrame(sizes)
    grade, _ = part.grade
    if grade is not None:
        tables["grade"] = grade
    return tables


def word_file(
    title: str,
    rows: Sequence[Mapping[str, str]],
    *,
    moderators: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    notes: Sequence[str] = (),
) -> bytes:
    """Write the summary of findings as a Word file.

    Parameters
    ----------
    title : str
    rows : sequence of mapping
        One per outcome; keys are the headers, in order.
    moderators : mapping
        By what an outcome is called: the ``blocks``, ``notes`` and ``reason`` of its moderated analysis.
    notes : sequence of str
        Below the table; what a new study is, and what these probabilities do not include, is always added.

    Returns
    -------
    bytes
        Landscape A4, the header row repeated on every page, an empty column for the panel's certainty.
    """
    document = _document("Summary of findings", title)
    _add_table(document, list(rows[0]) if rows else [], [list(row.values()) for row in rows])
    for text in (*notes, "New study: the true effect in a new study like these, not its result.", CAVEAT):
        _add_note(document, text)
    if moderators:
        document.add_heading("In whom?", level=1)
    for label, found in moderators.items():
        document.add_heading(label, level=2)
        _add_note(document, f"Moderated analysis: {found['reason']}.")
        for block in found["blocks"]:
            document.add_heading(block.title, level=3)
            _add_table(document, block.table.headers, block.table.cells)
            _add_note(document, block.note)
        for text in found["notes"]:
            _add_note(document, f"{text}.")
    return _saved(document)


def word_sections(title: str, outcomes: Mapping[str, Mapping[str, ReadableSection]]) -> bytes:
    """Write the sensitivity analyses as a Word file.

    Parameters
    ----------
    title : str
    outcomes : mapping
        By what an outcome is called: its sections (`bayesmeta.sensitivity.read_section`), by name.
    """
    document = _document("Sensitivity analyses", title)
    for label, sections in outcomes.items():
        document.add_heading(label, level=2)
        for read in sections.values():
            document.add_heading(read.question, level=3)
            for table in (read.table, *read.parts):
                if table.cells:
                    _add_table(document, table.headers, table.cells)
            _add_note(document, read.note)
    return _saved(document)


def _document(heading: str, title: str) -> Any:
    from docx import Document
    from docx.enum.section import WD_ORIENT
    from docx.shared import Mm

    document = Document()
    section = document.sections[0]
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width, section.page_height = Mm(297), Mm(210)
    for side in ("left_margin", "right_margin", "top_margin", "bottom_margin"):
        setattr(section, side, Mm(15))
    document.core_properties.title = f"{heading}: {title}"
    document.core_properties.author = "bayesmeta"
    document.add_heading(heading, level=1)
    document.add_paragraph(title)
    return document


def _add_table(document: Any, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Add a table whose header Word repeats on every page and screen readers know as one."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Pt

    table = document.add_table(rows=1 + len(rows), cols=len(heads))
    table.style = "Table Grid"
    for line, texts in zip(table.rows, (heads, *rows), strict=True):
        for cell, text in zip(line.cells, texts, strict=True):
            run = cell.paragraphs[0].add_run(text)
            run.bold, run.font.size = texts is heads or None, Pt(8.5)
    mark = OxmlElement("w:tblHeader")
    mark.set(qn("w:val"), "true")
    table.rows[0]._tr.get_or_add_trPr().append(mark)


def _add_note(document: Any, text: str) -> None:
    from docx.shared import Pt

    document.add_paragraph().add_run(text).font.size = Pt(8)


def _saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()
