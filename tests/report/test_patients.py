"""The page for patients: what it says, what it must not say, and how hard it is to read.

Authorities: the panel's certainty for every verb; `bayesmeta.questions.natural_answer` for every number; the formula of
Kincaid et al. (1975, Research Branch Report 8-75) for the grade, held against sentences whose syllables are counted.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import re

import pytest

import bayesmeta as bm
from bayesmeta.plan import CERTAINTIES, Judgement, Judgements
from bayesmeta.report import SummaryRow, asked_of, patient_groups, patients_page, summary_of
from bayesmeta_cli.main import main
from browsers import chromium
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"
#: Grades of American schools that people of 12 to 14 years are in.
GRADES = (6.0, 8.0)
JARGON = (
    r"\b(SMD|SD|tau|credible|confidence interval|posterior|prior|heterogeneity|meta-analys\w*|p-value|GRADE|HKSJ)\b"
)


def syllables(word: str) -> int:
    """Groups of vowels, without a silent e at the end; at least one. A number is read as one syllable a digit."""
    letters = word.lower()
    if letters.isdigit():
        return len(letters)
    found = len(re.findall(r"[aeiouy]+", letters))
    return max(1, found - (letters.endswith("e") and not letters.endswith(("le", "ee")) and found > 1))


def grade(sentences: list[str]) -> float:
    """Flesch-Kincaid grade: 0.39 words per sentence + 11.8 syllables per word - 15.59."""
    words = [word for text in sentences for word in re.findall(r"[A-Za-z]+|\d+", text)]
    return 0.39 * len(words) / len(sentences) + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


def sentences_of(page: str) -> list[str]:
    """Sentences of paragraphs, answers and points; headings are not sentences."""
    blocks = re.findall(r"<(?:p|dd|li)\b[^>]*>(.*?)</(?:p|dd|li)>", page[page.index("<main>") :], re.DOTALL)
    texts = [html.unescape(block) for block in blocks]
    return [text for block in texts for text in re.split(r"(?<=[.?])\s+", block.strip()) if text]


@pytest.fixture(scope="module")
def parts() -> list[bm.Analysis]:
    return list(bm.analyse_all(CANCER))


def rows_of(parts: list[bm.Analysis], judgements: Judgements | None = None) -> list[SummaryRow]:
    return [summary_of(part, "Exercise", judgements) for part in parts]


@pytest.fixture(scope="module")
def rows(parts) -> list[SummaryRow]:
    return rows_of(parts)


@pytest.fixture(scope="module")
def page(parts, rows) -> str:
    return patients_page(parts[0].protocol.title, asked_of(parts[0].protocol.report, parts), rows)


def answers(rows: list[SummaryRow], who: str = "Exercise") -> list[str]:
    return [answer.text for group in patient_groups(rows, who) for answer in group.answers]


# ------------------------------------------------------------------------------------------------------------- reading


def test_the_formula_gives_known_grades():
    """24 syllables in 13 words are grade 11.3 (Wikipedia, Flesch-Kincaid readability tests)."""
    sentence = "The Australian platypus is seemingly a hybrid of a mammal and reptilian creature."
    assert grade([sentence]) == pytest.approx(0.39 * 13 + 11.8 * 24 / 13 - 15.59, abs=11.8 * 2 / 13)
    # the count of vowels is off by at most two syllables in it
    assert sum(map(syllables, re.findall(r"[A-Za-z]+", sentence))) == pytest.approx(24, abs=2)
    assert grade(["The cat sat on the mat."]) == pytest.approx(0.39 * 6 + 11.8 - 15.59)


def test_people_of_12_to_14_can_read_it(page, capsys):
    found = grade(sentences_of(page))
    with capsys.disabled():
        print(f"\nFlesch-Kincaid grade of the page for patients: {found:.1f}")
    assert found <= GRADES[1]
    lead = re.search(r'<p class="lead">(.*?)</p>', page, re.DOTALL)
    assert lead is not None
    assert grade(re.split(r"(?<=[.?])\s+", lead[1])) <= GRADES[1]
    # a list of names is no sentence: every other one is short
    assert max(len(text.split()) for text in sentences_of(page) if ";" not in text) <= 40


def test_there_is_no_word_of_statistics(page):
    text = html.unescape(re.sub("<[^>]+>", " ", page[page.index("<main>") :]))
    assert not re.search(JARGON, text)
    assert "%" not in text
    assert not re.search(r"-\d", text)


# ------------------------------------------------------------------------------------------------------------- content


def test_numbers_are_those_of_the_answer_in_natural_units(rows):
    for row, text in zip(rows, answers(rows), strict=True):
        words, _, inner = row.natural.mean.words.partition(" (")
        assert f"People scored {words} (likely range: {inner}" in text
        chance = 100 * row.chances[0].mean
        assert f"({chance:.0f} in 100)" in text or (chance > 99 and "more than 99 in 100" in text)
    about = {group.name: group.about for group in patient_groups(rows, "Exercise")}
    # the registry's difference for fatigue rests on anchors, that for depression does not
    assert about["Fatigue"].endswith("from 0 to 52 points. A change that people notice is about 3 points.")
    assert about["Depression"].endswith("A change that may matter is about 1.4 points.")


def test_the_certainty_is_the_panel_s_or_is_said_to_be_missing(parts, page):
    assert "The panel has not said yet how sure it is of: all of the results on this page." in page
    assert all(text.startswith("In these studies, exercise ") for text in answers(rows_of(parts)))
    said = {}
    for certainty in CERTAINTIES:
        judged = rows_of(parts[:1], Judgements({parts[0].key: Judgement(certainty)}))
        said[certainty] = answers(judged)[0]
    assert said["high"].startswith("Exercise makes little or no difference to fatigue.")
    assert said["moderate"].startswith("Exercise probably makes little or no difference to fatigue.")
    assert said["low"].startswith("Exercise may make little or no difference to fatigue.")
    assert said["low"].endswith("The panel has little confidence in this.")
    assert said["very low"] == "We do not know what exercise does to fatigue. The panel is very unsure of the results."


def test_risks_are_people(parts):
    effects = bm.Effects(["A", "B", "C"], [-0.8, -0.5, -0.6], [0.2, 0.1, 0.2], measure="RR", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))
    row = summary_of(bm.Analysis("falls", fit), "Exercise")
    natural = bm.natural_answer(fit, bm.plan.BaselineRisk("usual", 0.2, "a cohort"))
    text = answers([dataclasses.replace(row, short="Falls", label="Falls", natural=natural)])[0]
    (people,) = re.findall(r"and to about (\d+) with it", text)
    assert "It happens to about 200 in 1000 people without exercise" in text
    # 200 times the median ratio, to a whole person
    assert abs(int(people) - 200 * float(row.effect[0])) <= 1
    assert " fewer in 1000 people (likely range: " in text


def test_a_failed_check_shows_no_number(rows):
    failed = dataclasses.replace(rows[0], reasons=("quadrature error",))
    assert answers([failed]) == ["This result could not be worked out."]


def test_names_are_not_markup(parts, rows):
    asked = dataclasses.replace(asked_of({}, parts), intervention="<script>x</script>")
    text = patients_page("<b>", asked, [dataclasses.replace(rows[0], label="<i>, now", short="<i>")])
    assert "<script" not in text
    assert "<b>" not in text
    assert "<i>" not in text


# ---------------------------------------------------------------------------------------------------------------- file


def test_it_is_written_where_it_is_asked_for(tmp_path):
    asked = ["report", str(CANCER), "--outcome", "anxiety_long", "-o", str(tmp_path)]
    assert main(asked) == 0
    assert not (tmp_path / "patients.html").exists()
    assert main([*asked, "--patients"]) == 0
    text = (tmp_path / "patients.html").read_text("utf-8")
    assert "What studies say about exercise" in text
    assert not re.search(r"https?://|<script|src=", text)


@pytest.mark.browser
def test_it_prints_on_two_pages_and_fits_a_phone(page, tmp_path):
    path = tmp_path / "patients.html"
    path.write_text(page, encoding="utf-8")
    driver = chromium()
    try:
        driver.get(path.as_uri())
        printed = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 2
        metrics = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get(path.as_uri())
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 320
    finally:
        driver.quit()
