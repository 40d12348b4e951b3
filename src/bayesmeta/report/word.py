"""Word files: the summary of findings, the evidence profile with the moderators, and the sensitivity analyses."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesmeta.boundary import printable
from bayesmeta.columns import with_minus
from bayesmeta.report.findings import FindingsTable, Line

if TYPE_CHECKING:
    from bayesmeta.sensitivity import ReadableSection

__all__ = ["WIDTH", "word_findings", "word_profile", "word_sections"]

#: Millimetres between the margins of a landscape A4 page.
WIDTH = 273.0
_MARGIN = 12
_FONT = "Arial"
_TABLE, _SMALL, _NOTE = 8.0, 7.0, 7.5
#: Where the two chances of a line stand, as parts of the width of their column.
_TABS = (0.67, 0.96)
_SHADE, _RULE = "E8EDF2", "8A94A0"


def word_findings(table: FindingsTable) -> bytes:
    """Write the summary of findings as a Word file.

    Parameters
    ----------
    table : FindingsTable
        From `bayesmeta.report.summary_of_findings`.

    Returns
    -------
    bytes
        Landscape A4, the header row repeated on every page; the same bytes for the same table.
    """
    document = _document(table.name, table.title)
    _add_findings(document, table)
    return _saved(document)


def word_profile(
    table: FindingsTable,
    whom: Mapping[str, Mapping[str, Any]],
    not_told: Mapping[str, str],
) -> bytes:
    """Write the evidence profile as a Word file, and behind it in whom the effect differs.

    Parameters
    ----------
    table : FindingsTable
        From `bayesmeta.report.evidence_profile`.
    whom : mapping
        By what an outcome is called: its levels, differences and tests (`bayesmeta.report.whom.in_whom`).
    not_told : mapping of str to str
        By outcome, why its moderators are not estimable.
    """
    document = _document(table.name, table.title)
    _add_findings(document, table)
    if whom or not_told:
        document.add_page_break()
        document.add_heading("In whom?", level=1)
        _add_note(
            document,
            "Effects by level of a moderator, other moderators averaged over the observed mix. Important: beyond the "
            "first threshold of the summary of findings. P(more): probability that the first does more good than the "
            "second. Levels are compared between trials, not within them, but where a line says so.",
        )
    for label, told in whom.items():
        document.add_heading(printable(label), level=2)
        _add_levels(document, told)
    if not_told:
        document.add_heading("Not estimable", level=2)
    for label, why in not_told.items():
        _add_note(document, f"{label}: {why}.")
    return _saved(document)


def _add_levels(document: Any, told: Mapping[str, Any]) -> None:
    heads = ("Level", "Trials", "Effect (95 %)", "Any benefit", "Important")
    rows = [
        (_named(item), str(item["trials"]), item["effect"], item["any"], item["chance"] or "")
        for item in told["levels"]
    ]
    _add_table(document, heads, rows, (90, 20, 70, 30, 30))
    _gap(document)
    named = [(_named(item), item) for item in told["differences"]]
    named += [(f"{item['name']}, within trials", item) for item in told["within"]]
    lines = [(name, str(item["trials"]), item["effect"], item["more"]) for name, item in named]
    if lines:
        _add_table(document, ("Difference", "Trials", "Median (95 %)", "P(more)"), lines, (90, 20, 70, 60))
    for item in told["tests"]:
        _add_note(document, f"{item['name']}: {item['text']}.")
    for text in told["notes"]:
        _add_note(document, f"{text}.")


def _named(item: Mapping[str, Any]) -> str:
    name = item["name"] if item["part"] not in ("level", "value", "cell") else f"{item['moderator']}: {item['name']}"
    if item["part"] == "interaction":
        name += " (interaction)"
    return f"{name} ({item['mark']})" if item["mark"] else name


def word_sections(title: str, outcomes: Mapping[str, Mapping[str, ReadableSection]]) -> bytes:
    """Write the sensitivity analyses as a Word file: of every outcome the verdicts, then the tables.

    Parameters
    ----------
    title : str
    outcomes : mapping
        By what an outcome is called: its sections (`bayesmeta.sensitivity.read_section`), by name.
    """
    document = _document("Sensitivity analyses", title)
    for label, sections in outcomes.items():
        document.add_heading(printable(label), level=2)
        for read in sections.values():
            if read.verdict:
                paragraph = document.add_paragraph(style="List Bullet")
                _tight(paragraph)
                _write(paragraph, f"{read.question} ", 9, bold=True)
                _write(paragraph, with_minus(read.verdict), 9)
        for read in sections.values():
            document.add_heading(read.question, level=3)
            for table in (read.table, *read.parts):
                if table.cells:
                    _add_table(document, table.headers, table.cells, _natural_widths(table.headers, table.cells))
                    _gap(document)
            _add_note(document, read.note)
    return _saved(document)


# -- parts of a document -----------------------------------------------------------------------------------------------


def _document(heading: str, title: str) -> Any:
    from docx import Document
    from docx.enum.section import WD_ORIENT
    from docx.shared import Mm, Pt

    document = Document()
    section = document.sections[0]
    section.orientation = WD_ORIENT.LANDSCAPE
    section.page_width, section.page_height = Mm(297), Mm(210)
    for side in ("left_margin", "right_margin", "top_margin", "bottom_margin"):
        setattr(section, side, Mm(_MARGIN))
    section.header_distance = section.footer_distance = Mm(6)
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = _FONT, Pt(_TABLE)
    _tight(normal)
    for name, size, before in (("Heading 1", 14, 0), ("Heading 2", 11, 8), ("Heading 3", 9.5, 6)):
        style = document.styles[name]
        style.font.size, style.paragraph_format.space_before = Pt(size), Pt(before)
        style.element.rPr.rFonts.attrib.clear()
        style.font.name = _FONT
        style.paragraph_format.space_after = Pt(2)
    properties = document.core_properties
    properties.title, properties.author, properties.comments = f"{heading}: {title}", "bayesmeta", ""
    # the template's own dates would say when its file was made, the clock would make every file another
    for date in ("created", "modified"):
        for element in properties._element.findall(f"{{http://purl.org/dc/terms/}}{date}"):
            properties._element.remove(element)
    document.add_heading(printable(f"{heading}: {title}"), level=1)
    return document


def _add_findings(document: Any, table: FindingsTable) -> None:
    paragraph = document.add_paragraph()
    _tight(paragraph, after=4)
    for i, (name, text) in enumerate(table.asked):
        _write(paragraph, f"{'   ' if i else ''}{name}: ", 9, bold=True)
        _write(paragraph, text, 9)
    whole = sum(table.widths)
    widths = [WIDTH * width / whole for width in table.widths]
    made = _grid(document, 1 + len(table.rows), widths)
    for line, cells in zip(made.rows, (table.heads, *table.rows), strict=True):
        if len(cells) == 2 < len(widths):
            line.cells[1].merge(line.cells[-1])
        for cell, lines, width in zip(line.cells, cells, widths, strict=False):
            _fill(cell, lines, width)
    _header(made)
    for i, text in enumerate(table.notes, 1):
        paragraph = document.add_paragraph()
        _tight(paragraph, after=0, before=3 if i == 1 else 0)
        _write(paragraph, f"{i} ", _NOTE, raised=True)
        _write(paragraph, text, _NOTE)


def _fill(cell: Any, lines: Sequence[Line], width: float) -> None:
    """Write the lines of a cell, one paragraph each; what follows a tab stands at the right of its own column."""
    from docx.enum.text import WD_TAB_ALIGNMENT
    from docx.shared import Mm

    for i, line in enumerate(lines):
        paragraph = cell.paragraphs[0] if i == 0 else cell.add_paragraph()
        _tight(paragraph)
        if "\t" in line.text:
            for place in _TABS:
                paragraph.paragraph_format.tab_stops.add_tab_stop(Mm(place * (width - 2)), WD_TAB_ALIGNMENT.RIGHT)
        # a note stands before the tabs, so that numbers keep their places
        words, tab, numbers = line.text.partition("\t")
        size, bold = (_SMALL if line.style == "small" else _TABLE), line.style == "bold"
        _write(paragraph, words, size, bold=bold)
        if line.notes:
            _write(paragraph, f"\u202f{','.join(map(str, line.notes))}", _TABLE, raised=True)
        if tab:
            _write(paragraph, tab + numbers, size, bold=bold)
    if not lines:
        _tight(cell.paragraphs[0])


def _add_table(document: Any, heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]) -> None:
    """Add a table whose header Word repeats on every page and screen readers know as one; widths in millimetres."""
    table = _grid(document, 1 + len(rows), widths)
    for line, texts in zip(table.rows, (heads, *rows), strict=True):
        for cell, text in zip(line.cells, texts, strict=True):
            # size and spacing are those of the document's own style: thousands of cells need not state them each
            run = cell.paragraphs[0].add_run(printable(with_minus(text)))
            if texts is heads:
                run.bold = True
    _header(table)


def _natural_widths(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[float]:
    """Widths of columns after the length of their texts; a long text wraps instead of taking the width of others."""
    sizes = [min(36, max(8, *(len(row[i]) for row in (heads, *rows)))) for i in range(len(heads))]
    scale = min(2.0, WIDTH / sum(sizes))
    return [scale * size for size in sizes]


def _grid(document: Any, rows: int, widths: Sequence[float]) -> Any:
    """A table with fixed widths: LibreOffice does not know Word's own fitting of columns."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn
    from docx.shared import Mm

    table = document.add_table(rows=rows, cols=len(widths))
    table.style, table.autofit = "Table Grid", False
    made = table._tbl.tblPr
    margins = OxmlElement("w:tblCellMar")
    borders = OxmlElement("w:tblBorders")
    for side in ("top", "left", "bottom", "right", "insideH", "insideV"):
        rule = OxmlElement(f"w:{side}")
        for name, value in (("val", "single"), ("sz", "4"), ("space", "0"), ("color", _RULE)):
            rule.set(qn(f"w:{name}"), value)
        borders.append(rule)
        if side in ("left", "right"):
            gap = OxmlElement(f"w:{side}")
            gap.set(qn("w:w"), "57")
            gap.set(qn("w:type"), "dxa")
            margins.append(gap)
    # the order of the schema: borders, layout, margins, look
    layout = made.find(qn("w:tblLayout"))
    layout.addprevious(borders)
    layout.addnext(margins)
    sizes = [Mm(width) for width in widths]
    for column, size in zip(table.columns, sizes, strict=True):
        column.width = size
    for line in table.rows:
        # by rows: python-docx collects all cells of the table again for every column that is asked for
        for cell, size in zip(line.cells, sizes, strict=True):
            cell.width = size
        whole = OxmlElement("w:cantSplit")
        line._tr.get_or_add_trPr().append(whole)
    return table


def _header(table: Any) -> None:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    mark = OxmlElement("w:tblHeader")
    mark.set(qn("w:val"), "true")
    table.rows[0]._tr.get_or_add_trPr().append(mark)
    for cell in table.rows[0].cells:
        shade = OxmlElement("w:shd")
        for name, value in (("val", "clear"), ("color", "auto"), ("fill", _SHADE)):
            shade.set(qn(f"w:{name}"), value)
        cell._tc.get_or_add_tcPr().append(shade)


def _write(paragraph: Any, text: str, size: float, *, bold: bool = False, raised: bool = False) -> None:
    from docx.shared import Pt

    run = paragraph.add_run(printable(text))
    run.font.size, run.bold, run.font.superscript = Pt(size), bold or None, raised or None


def _tight(paragraph: Any, *, before: float = 0, after: float = 0) -> None:
    from docx.shared import Pt

    form = paragraph.paragraph_format
    form.space_before, form.space_after, form.line_spacing = Pt(before), Pt(after), 1.0


def _gap(document: Any) -> None:
    """Two tables that touch become one."""
    _tight(document.add_paragraph())


def _add_note(document: Any, text: str) -> None:
    if text:
        paragraph = document.add_paragraph()
        _tight(paragraph, before=1, after=1)
        _write(paragraph, with_minus(text), 8)


def _saved(document: Any) -> bytes:
    """The file, without the time at which it was written."""
    buffer, fixed = io.BytesIO(), io.BytesIO()
    document.save(buffer)
    with zipfile.ZipFile(buffer) as made, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as kept:
        for name in made.namelist():
            kept.writestr(zipfile.ZipInfo(name), made.read(name), zipfile.ZIP_DEFLATED)
    return fixed.getvalue()
