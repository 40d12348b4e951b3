"""The files of a report: pictures, tables, and the Word summary of findings."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.errors import ModelError
from bayesmeta.questions import CAVEAT

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.plots import Plot

__all__ = ["IN_PAGE", "Drawn", "draw_part", "tables_of", "word_file"]

#: Trials from which a funnel says something: Cochrane Handbook 13.3.5.4.
FUNNEL = 10
#: Of the pictures those that the page shows; its curve of benefit is drawn live.
IN_PAGE = ("forest", "heterogeneity", "funnel")


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
    grade, _ = part.grade
    if grade is not None:
        tables["grade"] = grade
    return tables


def word_file(title: str, rows: Sequence[Mapping[str, str]], *, notes: Sequence[str] = ()) -> bytes:
    """Write the summary of findings as a Word file.

    Parameters
    ----------
    title : str
    rows : sequence of mapping
        One per outcome; keys are the headers, in order.
    notes : sequence of str
        Below the table; what a new study is, and what these probabilities do not include, is always added.

    Returns
    -------
    bytes
        Landscape A4, the header row repeated on every page, an empty column for the panel's certainty.
    """
    from docx import Document
    from docx.enum.section import WD_ORIENT
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Mm, Pt

    document = Document()
    section = document.sections[0]
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width, section.page_height = Mm(297), Mm(210)
    for side in ("left_margin", "right_margin", "top_margin", "bottom_margin"):
        setattr(section, side, Mm(15))
    document.core_properties.title = f"Summary of findings: {title}"
    document.core_properties.author = "bayesmeta"
    document.add_heading("Summary of findings", level=1)
    document.add_paragraph(title)
    heads = list(rows[0]) if rows else []
    table = document.add_table(rows=1, cols=len(heads))
    table.style = "Table Grid"
    for cell, text in zip(table.rows[0].cells, heads, strict=True):
        cell.text = ""
        run = cell.paragraphs[0].add_run(text)
        run.bold = True
        run.font.size = Pt(8.5)
    # a header that Word repeats and screen readers know as one
    properties = table.rows[0]._tr.get_or_add_trPr()
    mark = OxmlElement("w:tblHeader")
    mark.set(qn("w:val"), "true")
    properties.append(mark)
    for row in rows:
        cells = table.add_row().cells
        for cell, text in zip(cells, row.values(), strict=True):
            cell.text = ""
            cell.paragraphs[0].add_run(text).font.size = Pt(8.5)
    for text in (*notes, "New study: the true effect in a new study like these, not its result.", CAVEAT):
        document.add_paragraph().add_run(text).font.size = Pt(8)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()
