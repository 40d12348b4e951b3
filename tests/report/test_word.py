"""The Word files: GRADE's summary of findings and evidence profile, the moderators, the sensitivity analyses.

Authorities: the rows of the summary, whose texts must come through (the page prints the same); GRADE guidelines 12 and
13 (Guyatt 2013, J Clin Epidemiol 66) for what a summary of findings holds; LibreOffice for how many pages it is.
"""

from __future__ import annotations

import dataclasses
import io
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import docx
import pytest
from docx.oxml.ns import qn
from docx.shared import Mm, Pt

import bayesmeta as bm
from bayesmeta.columns import with_minus
from bayesmeta.plan import DOMAINS, BaselineRisk, Judgement, Judgements
from bayesmeta.report import (
    FindingsTable,
    SummaryRow,
    asked_of,
    evidence_profile,
    summary_of,
    summary_of_findings,
    word_findings,
    word_profile,
    word_sections,
)
from bayesmeta.report.certainty import matrix_row
from bayesmeta.report.whom import in_whom
from bayesmeta.sensitivity import read_section, sensitivity_analyses
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"
#: What a panel may say of every outcome at once: as long as footnotes get.
WHY = "the interval holds both no difference and a benefit beyond the threshold that the panel agreed on"
#: Smallest letters of the summary of findings.
LETTERS = Pt(8)


@pytest.fixture(scope="module")
def parts() -> list[bm.Analysis]:
    return list(bm.analyse_all(CANCER))


def rows_of(parts: list[bm.Analysis], judgements: Judgements | None = None) -> list[SummaryRow]:
    return [summary_of(part, "Exercise", judgements) for part in parts]


def judged(parts: list[bm.Analysis]) -> Judgements:
    said = {"imprecision": "serious", "risk of bias": "not serious"}
    return Judgements({part.key: Judgement("low", said, {"imprecision": WHY}) for part in parts})


def table_of(parts: list[bm.Analysis], rows: list[SummaryRow]) -> FindingsTable:
    return summary_of_findings("Exercise in cancer", asked_of(parts[0].protocol.report, parts), rows)


@pytest.fixture(scope="module")
def rows(parts) -> list[SummaryRow]:
    return rows_of(parts)


@pytest.fixture(scope="module")
def document(parts, rows):
    return docx.Document(io.BytesIO(word_findings(table_of(parts, rows))))


def cells(table) -> list[list[str]]:
    return [[cell.text for cell in line.cells] for line in table.rows]


def pages(content: bytes, folder: Path) -> int:
    """Pages of a Word file as LibreOffice prints it."""
    office = shutil.which("soffice")
    if office is None:
        pytest.skip("LibreOffice is not installed (Debian: libreoffice-writer-nogui)")
    (folder / "table.docx").write_bytes(content)
    own = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
    command = [office, "--headless", own, "--convert-to", "pdf", "--outdir", str(folder), str(folder / "table.docx")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return len(re.findall(rb"/Type\s*/Page\b", (folder / "table.pdf").read_bytes()))


# ------------------------------------------------------------------------------------------------- summary of findings


def test_twelve_outcomes_take_two_pages(parts, tmp_path):
    table = table_of(parts, rows_of(parts, judged(parts)))
    assert len(table.rows) == 12
    assert any(WHY in text for text in table.notes)
    assert pages(word_findings(table), tmp_path) <= 2


def test_every_row_says_what_the_page_says(document, rows):
    (table,) = document.tables
    heads, *lines = cells(table)
    assert [head.split("\n")[0].split("\t")[0].split("\u202f")[0] for head in heads] == [
        "Outcome and follow-up", "Participants", "Difference", "Effect", "Chance of", "Certainty (panel)",
        "What it means",
    ]  # fmt: skip
    for row, line in zip(rows, lines, strict=True):
        outcome, people, difference, effect, chances, certainty, means = line
        assert outcome.startswith(row.label)
        assert row.natural.unit_words.removeprefix("points on ") in outcome
        assert people == f"{row.participants:,}\n({row.trials} trials)"
        assert difference.startswith(row.natural.mean.words)
        assert with_minus(row.effect_words) in effect
        assert with_minus(f"{row.classical_name}: {row.classical}") in effect
        found = [text.split("\t")[1:] for text in chances.split("\n")]
        assert found == [list(chance.texts) for chance in row.chances]
        assert certainty == ""
        assert means.startswith(row.sentence)
        assert row.explained in means


def test_what_was_asked_stands_on_top(document):
    text = document.paragraphs[1].text
    for words in ("Patient or population: People with cancer", "Intervention: Exercise", "Comparison: No exercise"):
        assert words in text
    assert "Setting: not stated" in text


def test_negative_numbers_have_a_minus(document):
    texts = [paragraph.text for paragraph in document.paragraphs]
    texts += [cell for line in cells(document.tables[0]) for cell in line]
    assert not any(re.search(r"(?<![\w.])-[\d.]", text) for text in texts)
    assert any("\u2212" in text for text in texts)


def test_notes_are_numbered_as_they_come(document, parts, rows):
    order: list[int] = []
    for line in document.tables[0].rows:
        for cell in line.cells:
            for run in (run for paragraph in cell.paragraphs for run in paragraph.runs if run.font.superscript):
                order += [int(number) for number in run.text.strip("\u202f").split(",")]
    assert list(dict.fromkeys(order)) == list(range(1, max(order) + 1))
    printed = [paragraph for paragraph in document.paragraphs if paragraph.runs and paragraph.runs[0].font.superscript]
    assert [int(paragraph.runs[0].text) for paragraph in printed] == list(range(1, max(order) + 1))
    texts = [paragraph.runs[1].text for paragraph in printed]
    assert len(set(texts)) == len(texts)
    assert bm.CAVEAT in texts
    assert any(text.startswith("New study: the true effect in a new study") for text in texts)
    for row in rows:
        for _, source in row.natural.sources:
            assert any(with_minus(source) in text for text in texts)
        for _, notice in row.notices:
            assert any(with_minus(notice).rstrip(".") in text for text in texts)
        if row.classical_remark:
            assert any(with_minus(row.classical_remark) in text for text in texts)


def test_it_can_be_read_and_pasted(document):
    (table,) = document.tables
    sizes = {
        run.font.size for line in table.rows for cell in line.cells for text in cell.paragraphs for run in text.runs
    }
    assert min(sizes) >= LETTERS
    # explicit widths that fill a landscape page: LibreOffice and what is pasted into do not fit columns
    assert table.autofit is False
    widths = [column.width for column in table.columns]
    # a width is rounded to 1/20 point
    assert sum(widths) == pytest.approx(Mm(273), abs=len(widths) * Pt(0.05))
    section = document.sections[0]
    assert section.page_width > section.page_height
    header, *others = table.rows
    assert header._tr.trPr.find(qn("w:tblHeader")) is not None
    assert all(line._tr.trPr.find(qn("w:cantSplit")) is not None for line in others)


def test_the_certainty_is_the_panel_s(parts):
    said = Judgements({parts[0].key: Judgement("low", {"imprecision": "serious"}, {"imprecision": WHY})})
    made = docx.Document(io.BytesIO(word_findings(table_of(parts[:2], rows_of(parts[:2], said)))))
    _, first, second = cells(made.tables[0])
    assert first[-2].startswith("\u2295\u2295\u25ef\u25ef\nLow")
    assert second[-2] == ""
    assert first[-1].startswith("Exercise may result in little to no difference in fatigue.")
    assert second[-1].startswith("Exercise [certainty?] ")
    assert any(f"Imprecision, serious: {WHY}." in paragraph.text for paragraph in made.paragraphs)


def test_risks_stand_without_and_with_treatment():
    effects = bm.Effects(["A", "B", "C"], [-0.8, -0.5, -0.6], [0.2, 0.1, 0.2], measure="RR", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))
    part = bm.Analysis("falls", fit)
    natural = bm.natural_answer(fit, BaselineRisk("usual", 0.2, "a cohort"))
    row = dataclasses.replace(summary_of(part, "Exercise"), natural=natural)
    table = summary_of_findings("Falls", asked_of({"intervention": "Exercise"}, [part]), [row])
    made = cells(docx.Document(io.BytesIO(word_findings(table))).tables[0])
    assert [head.split("\n")[0] for head in made[0][2:4]] == ["Without exercise", "With exercise"]
    assert made[1][2:4] == ["200 per 1000", natural.mean.with_words]
    assert made[1][4].startswith(natural.mean.words)
    assert natural.mean.nnt in made[1][4]


def test_a_failed_check_shows_no_number(parts, rows):
    failed = dataclasses.replace(rows[0], reasons=("quadrature error: 1",), natural=None, chances=())
    made = docx.Document(io.BytesIO(word_findings(table_of(parts[:2], [failed, rows[1]]))))
    line = made.tables[0].rows[1]
    assert {cell.text.split("\u202f")[0] for cell in line.cells[1:]} == {"A check failed: no number is shown."}
    assert any("quadrature error: 1." in paragraph.text for paragraph in made.paragraphs)


def test_the_same_run_gives_the_same_bytes(parts, rows, monkeypatch):
    table = table_of(parts, rows)
    first = word_findings(table)
    # another day: python-docx and zip files take the time from here
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert word_findings(table) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {item.date_time for item in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"dcterms:created" not in archive.read("docProps/core.xml")


# ------------------------------------------------------------------------------------- profile, moderators, sensitivity


def test_the_profile_has_a_column_for_every_domain_and_rates_nothing(parts):
    part = parts[0]
    asked = asked_of(part.protocol.report, parts)
    for said in (None, judged(parts)):
        row = summary_of(part, "Exercise", said)
        matrix = matrix_row(part, row)
        whom = {part.label: in_whom(part, row)}
        content = word_profile(evidence_profile("t", asked, [row], {part.key: matrix}), whom, {"Other": "one trial"})
        document = docx.Document(io.BytesIO(content))
        profile, levels, differences = document.tables
        heads, line = cells(profile)
        assert [head.split("\u202f")[0] for head in heads[2:7]] == [domain.capitalize() for domain in DOMAINS]
        for cell, text in zip(matrix, line[2:7], strict=True):
            support = [with_minus(item) for item in cell["support"]]
            printed = text.split("\n")
            assert printed[-len(support) :] == support
            assert [item.split("\u202f")[0] for item in printed[: -len(support)]] == (
                [cell["chosen"]] if cell["chosen"] else []
            )
        assert line[-1] == ("" if said is None else "\u2295\u2295\u25ef\u25ef\nLow")
        assert row.natural.mean.words in line[-2]
        told = whom[part.label]
        assert len(levels.rows) == 1 + len(told["levels"])
        assert len(differences.rows) == 1 + len(told["differences"]) + len(told["within"])
        assert with_minus(told["levels"][0]["effect"]) in cells(levels)[1]
        assert any("Other: one trial." in paragraph.text for paragraph in document.paragraphs)


def test_sensitivity_analyses_begin_with_their_verdicts():
    _, _, fit = bm.example()
    found = sensitivity_analyses(fit, ["priors", "concordance"])
    sections = {name: read_section(name, frame, fit) for name, frame in found.tables.items()}
    document = docx.Document(io.BytesIO(word_sections("t", {"Pain": sections})))
    order = [item.tag == qn("w:tbl") for item in document.element.body]
    texts = [paragraph.text for paragraph in document.paragraphs]
    for read in sections.values():
        assert read.verdict
        assert f"{read.question} {with_minus(read.verdict)}" in texts
    # heading, title and verdicts, then the first table
    assert order.index(True) > len(sections)
    assert cells(document.tables[0])[0] == next(iter(sections.values())).table.headers
