"""What is taken away besides Word: the tidy CSV, Markdown, and that every file says what the page says.

Authorities: the fit, whose probabilities and quantiles must come through at full precision; the page; CommonMark's rule
that a backslash makes markup text.
"""

from __future__ import annotations

import html
import json
import re

import docx
import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.classical import pool
from bayesmeta.report import FindingsTable, findings_frame, findings_markdown, summary_of
from bayesmeta.report.findings import Line
from bayesmeta_cli.main import main
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"
KEYS = ("fatigue_short", "anxiety_long")
# the same numbers by another way: a sum over the same nodes in another order
SAME = {"rel": 1e-9, "abs": 1e-12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("taken")
    said = place / "said.json"
    judged = {"certainty": "low", "domains": {"imprecision": "serious"}, "reasons": {"imprecision": "few people"}}
    said.write_text(json.dumps({"schema_version": 1, "outcomes": {KEYS[1]: judged}}), encoding="utf-8")
    arguments = ["report", str(CANCER), "--no-joint", "--judgements", str(said), "-o", str(place / "report")]
    for key in KEYS:
        arguments += ["--outcome", key]
    assert main(arguments) == 0
    return place / "report"


@pytest.fixture(scope="module")
def frame(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "summary-of-findings.csv").fillna({"target": "", "threshold": ""})


def of(frame: pd.DataFrame, key: str, quantity: str, target: str = "", threshold: str = ""):
    """The one row of a quantity."""
    found = frame[
        (frame["outcome"] == key)
        & (frame["quantity"] == quantity)
        & (frame["target"] == target)
        & (frame["threshold"] == threshold)
    ]
    assert len(found) == 1, (key, quantity, target, threshold)
    return found.iloc[0]


# ----------------------------------------------------------------------------------------------------------------- CSV


@pytest.mark.parametrize("key", KEYS)
def test_numbers_have_full_precision(frame, folder, key):
    fit = bm.load(folder / "fits" / f"{key}.nc")
    table = bm.summarize(fit)
    for target, name in (("mean effect", "mu"), ("new study", "theta_new")):
        row = of(frame, key, "effect", target)
        expected = [table.loc[name, column] for column in ("median", "lower", "upper")]
        assert [float(row[column]) for column in ("value", "lower", "upper")] == pytest.approx(expected, **SAME)
        # lower is better
        chance = of(frame, key, "chance of any benefit", target)
        assert float(chance["value"]) == pytest.approx(bm.probability(fit, name, below=0.0), **SAME)
        chance = of(frame, key, "chance of benefit", target, "\u2265 0.5 SD")
        assert float(chance["value"]) == pytest.approx(bm.probability(fit, name, below=-0.5), **SAME)
        points = of(frame, key, "difference", target)
        natural = bm.natural_answer(fit)
        effect = natural.mean if target == "mean effect" else natural.new
        assert [float(points[column]) for column in ("value", "lower", "upper")] == pytest.approx(
            effect.difference, **SAME
        )
        assert points["text"] == effect.words
    pooled = pool(fit.effects)
    check = of(frame, key, "classical check: REML + HKSJ")
    assert float(check["value"]) == pytest.approx(pooled.estimate, **SAME)
    assert int(of(frame, key, "trials")["value"]) == fit.effects.n_trials


def test_the_table_is_tidy(frame):
    assert not frame.duplicated(["outcome", "quantity", "target", "threshold"]).any()
    assert list(frame.groupby("outcome", sort=False).groups) == list(KEYS)
    assert of(frame, KEYS[1], "certainty (panel)")["text"] == "low"
    # never filled in
    assert "certainty (panel)" not in set(frame.loc[frame["outcome"] == KEYS[0], "quantity"])


def test_ratios_are_ratios():
    effects = bm.Effects(["A", "B", "C"], np.log([0.5, 0.6, 0.7]), [0.2, 0.1, 0.2], measure="RR", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))
    part = bm.Analysis("falls", fit)
    table = findings_frame([part], [summary_of(part)])
    row = of(table, "falls", "effect", "mean effect")
    assert float(row["value"]) == pytest.approx(np.exp(bm.summarize(fit).loc["mu", "median"]), **SAME)


# ------------------------------------------------------------------------------------------------------ the same words


def test_page_word_markdown_and_csv_say_the_same(folder, frame):
    page = html.unescape(re.sub(r"<[^>]+>", "", (folder / "index.html").read_text("utf-8")))
    document = docx.Document(str(folder / "summary-of-findings.docx"))
    word = "\n".join(cell.text for line in document.tables[0].rows for cell in line.cells)
    markdown = (folder / "summary-of-findings.md").read_text("utf-8").replace("\\", "")
    for row in frame[frame["target"].isin(["mean effect"]) | (frame["quantity"] == "what it means")].itertuples():
        for where in (page, word, markdown):
            assert row.text in where, row
    assert "Exercise may result in little to no difference in anxiety." in word
    assert "Imprecision, serious: few people." in markdown
    profile = docx.Document(str(folder / "evidence-profile.docx"))
    last = [cell.text.split("\u202f")[0] for cell in profile.tables[0].rows[2].cells]
    assert last[5].startswith("serious")
    assert last[-1] == "\u2295\u2295\u25ef\u25ef\nLow"


# ------------------------------------------------------------------------------------------------------------ Markdown


def test_markdown_is_a_table_with_all_its_notes(folder):
    text = (folder / "summary-of-findings.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(KEYS)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    used = set(re.findall(r"\[\^(\d+)\](?!:)", text))
    assert used == set(re.findall(r"^\[\^(\d+)\]: ", text, flags=re.MULTILINE))


def test_names_are_not_markup():
    hostile = "a|b <b>c</b> [d](e) *f* `g` \\"
    heads = ((Line("Outcome"),), (Line("Effect"),))
    rows = (((Line(hostile),), (Line("<0.1 %"),)),)
    text = findings_markdown(FindingsTable("Summary", hostile, (), heads, (1, 1), rows, ()))
    row = text.splitlines()[-2]
    assert row == r"| a\|b \<b>c\</b> \[d\](e) \*f\* \`g\` \\ | <0.1 % |"
