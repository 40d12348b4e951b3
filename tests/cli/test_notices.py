"""What must be read beside a number stands beside it: text, JSON, page, Word and exit code.

Authorities: the stated cases (p = 2.6e-6 of five trials on a scale of 0 to 100; one trial of -5.30 with SE 2.40), the
library, whose words must come through, and the committed schemas.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import jsonschema
import pytest
from docx import Document

import bayesmeta as bm
from bayesmeta.records import output_schema
from bayesmeta_cli.main import main
from references import ROOT

FIVE = """study,n_t,mean_t,sd_t,n_c,mean_c,sd_c
A,30,61,20,30,52,21
B,40,66,19,42,50,22
C,25,70,18,26,61,20
D,33,64,22,35,59,20
E,50,69,21,50,55,21
"""
ON_100 = ["--measure", "MD", "--better", "higher", "--threshold", "5"]
NARROW = ["--mu", "normal(0, 1)", "--tau", "halfnormal(0.25)"]
PROTOCOL = """schema = 2
title = "Points of 100"
[data]
path = "five.csv"
[defaults]
measure = "MD"
[defaults.priors]
mu = { dist = "normal", mean = 0, sd = 1, source = "for an SMD" }
tau = { dist = "halfnormal", scale = 0.25, source = "for an SMD" }
[outcome.pain]
label = "Pain"
better = "higher"
"""


@pytest.fixture
def five(tmp_path) -> Path:
    (tmp_path / "five.csv").write_text(FIVE, encoding="utf-8")
    return tmp_path / "five.csv"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_pool_says_it_beside_the_numbers_and_exits_with_5(five, capsys):
    assert main(["pool", str(five), *ON_100, *NARROW]) == 5
    out, err = capsys.readouterr()
    assert "error: prior against data" in out.partition("mean effect (mu)")[0]
    assert "p = 2.6e-06" in flat(out)
    assert "not reportable: five: mu" in err
    assert main(["pool", str(five), *ON_100, *NARROW, "--json"]) == 5
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, output_schema("pool"), cls=jsonschema.Draft202012Validator)
    assert found["reportable"] is False
    assert [row["rule"] for row in found["notices"]] == ["prior against data", "narrow prior", "narrow prior"]
    assert found["prior_predictive"][0]["p"] == pytest.approx(2.6e-6, abs=0.05e-6)


def test_priors_on_the_scale_of_the_table_say_nothing(five, capsys):
    assert main(["pool", str(five), *ON_100, "--ref-sd", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["reportable"], found["reasons"], found["notices"]) == (True, [], [])


@pytest.mark.parametrize(("sd", "noticed"), [("4", True), ("10.5", False), ("41", False), ("42", True)])
def test_a_reference_sd_is_compared_with_the_arms(five, capsys, sd, noticed):
    """The median pooled SD of the five trials is 20.59: a factor of 2 is from 10.3 to 41.2."""
    main(["pool", str(five), *ON_100, "--ref-sd", sd, "--json"])
    rules = [row["rule"] for row in json.loads(capsys.readouterr().out)["notices"]]
    assert ("reference SD" in rules) == noticed


def test_a_run_is_not_reportable_and_its_declared_variation_does_not_gate(five, capsys, tmp_path):
    path = tmp_path / "protocol.toml"
    path.write_text(PROTOCOL, encoding="utf-8")
    assert main(["fit", str(path), "-o", str(tmp_path / "out"), "--json"]) == 5
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, output_schema("fit"), cls=jsonschema.Draft202012Validator)
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert (run["reportable"], run["reasons"]) == (False, found["reasons"])
    assert "2.6e-06" in run["reasons"][0]
    right = PROTOCOL.replace("sd = 1,", "sd = 40,").replace("scale = 0.25", "scale = 10")
    wrong = '[[sensitivity]]\nname = "narrow"\nreason = "No."\npriors.mu = { dist = "normal", mean = 0, sd = 0.1 }\n'
    path.write_text(right + wrong, encoding="utf-8")
    assert main(["fit", str(path), "--json"]) == 0
    capsys.readouterr()
    analysis = bm.analyse(path, "pain")
    assert list(analysis.declared) == ["narrow"]
    assert analysis.notices == ()


def test_the_page_and_word_hold_the_notice_beside_the_number(five, capsys, tmp_path):
    place = tmp_path / "report"
    assert main(["report", str(five), *ON_100, *NARROW, "-o", str(place)]) == 5
    page = (place / "index.html").read_text(encoding="utf-8")
    assert "Not reportable." in page
    cell = re.search(r'<td class="text finding">.*?</td>', page, re.DOTALL)
    assert cell is not None
    assert "prior against data" in cell[0]
    results = json.loads((place / "results.json").read_text(encoding="utf-8"))
    assert results["reportable"] is False
    document = Document(place / "summary-of-findings.docx")
    cell = next(cell for cell in document.tables[0].rows[1].cells if cell.text.startswith("MD 1.97"))
    assert cell.text.startswith("MD 1.97 (0.19 to 3.75)")
    (marks,) = (run.text.strip("\u202f") for run in cell.paragraphs[0].runs if run.font.superscript)
    first = marks.split(",")[0]
    notes = [paragraph.text for paragraph in document.paragraphs]
    assert any(text.startswith(f"{first} Error: prior against data: mu") for text in notes)


def test_equal_estimates_are_marked_wherever_their_interval_stands(tmp_path, capsys):
    """SE 0.2 each: the ad hoc interval is 0.5 -+ 4.303 x 0.2 / sqrt(3)."""
    path = tmp_path / "equal.csv"
    path.write_text("study,estimate,se\nA,0.5,0.2\nB,0.5,0.2\nC,0.5,0.2\n", encoding="utf-8")
    table = ["--measure", "SMD", "--better", "higher", "--threshold", "0.2"]
    assert main(["pool", str(path), *table]) == 0
    out = flat(capsys.readouterr().out)
    assert "REML + HKSJ * 0.50 0.50 0.50" in out
    assert "REML + HKSJ ad hoc 0.50 0.00 1.00" in out
    assert out.count("no width: all estimates are equal; ad hoc 0.003 to 0.997") == 2
    assert main(["pool", str(path), *table, "--json"]) == 0
    classical = json.loads(capsys.readouterr().out)["classical"]
    assert (classical["REML+HKSJ"]["mark"], classical["REML+HKSJ-adhoc"]["mark"]) == ("no width", None)
    place = tmp_path / "report"
    assert main(["report", str(path), *table, "-o", str(place)]) == 0
    page = (place / "index.html").read_text(encoding="utf-8")
    cell = re.search(r'<td class="text finding">.*?</td>', page, re.DOTALL)
    assert cell is not None
    assert "no width" in cell[0]
    assert "REML + HKSJ (no width)" in page
    word = Document(place / "summary-of-findings.docx")
    assert any("REML + HKSJ: no width" in paragraph.text for paragraph in word.paragraphs)
    assert "no width" in (place / "figures" / "equal.forest.svg").read_text(encoding="utf-8")


def test_one_trial_begins_with_its_own_result(tmp_path, capsys):
    path = tmp_path / "one.csv"
    path.write_text("study,estimate,se\nA,-5.3,2.4\n", encoding="utf-8")
    priors = ["--measure", "MD", "--better", "lower", "--mu", "normal(0, 10)", "--tau", "halfnormal(5)"]
    assert main(["pool", str(path), *priors]) == 0
    out = flat(capsys.readouterr().out)
    own = "The trial's own result is -5.30 (95 % confidence interval -10.00 to -0.60; SE 2.40)"
    assert out.index(own) < out.index("the trial alone -5.30 -10.00 -0.60") < out.index("mean effect (mu)")
    place = tmp_path / "report"
    assert main(["report", str(path), *priors, "-o", str(place)]) == 0
    page = html.unescape((place / "index.html").read_text(encoding="utf-8")).replace("\u2212", "-")
    assert own in page


def test_one_trial_with_an_improper_prior_says_what_is_not_defined(tmp_path, capsys):
    """The median of tau is that of its prior: no line prints its 63 digits."""
    path = tmp_path / "one.csv"
    path.write_text("study,estimate,se\nA,-5.3,2.4\n", encoding="utf-8")
    vague = ["--measure", "MD", "--better", "lower", "--mu", "flat()", "--tau", "inversegamma(0.001, 0.001)"]
    assert main(["pool", str(path), *vague]) == 0
    out = capsys.readouterr().out
    assert "warning: one trial" in out
    assert re.search(r"\d{12}", out) is None
    assert main(["pool", str(path), *vague[:-1], "jeffreys()"]) == 3
    assert "improper" in capsys.readouterr().err


def test_benefit_names_the_bands(capsys):
    cancer = ROOT / "models" / "cancer_exercise.toml"
    assert main(["benefit", str(cancer), "--outcome", "fatigue_short", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, output_schema("benefit"), cls=jsonschema.Draft202012Validator)
    sizes = [row["size"] for row in found["sizes"]]
    assert sizes == ["important benefit", "small benefit", "little to no effect", "small harm", "important harm"]
    assert found["notices"] == []


ESTIMATES = "study,estimate,se\nA,-0.2,0.1\nB,-0.3,0.2\nC,-0.1,0.15\n"


@pytest.mark.parametrize(
    ("flags", "notes"),
    [
        (["--measure", "generic", "--ref-sd", "1"], []),
        (["--mu", "normal(0, 1)", "--tau", "halfnormal(1)"], ["the table has estimates and nothing says of what"]),
    ],
)
def test_pool_says_of_what_was_not_stated_only_what_its_answer_does_not(tmp_path, capsys, flags, notes):
    """Priors, direction and thresholds stand above and in the answer; the measure that was taken does not."""
    path = tmp_path / "estimates.csv"
    path.write_text(ESTIMATES, encoding="utf-8")
    assert main(["pool", str(path), *flags]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert [line.removeprefix("note: ").partition(":")[0] for line in said] == notes


def test_what_no_protocol_stated_has_a_kind_each(tmp_path):
    path = tmp_path / "estimates.csv"
    path.write_text(ESTIMATES, encoding="utf-8")
    protocol = bm.table_protocol(path, ref_sd=1.0)
    assert [item.kind for item in protocol.unstated] == ["measure", "prior", "prior", "direction"]
    assert protocol.assumptions == tuple(item.text for item in protocol.unstated)
    protocol = bm.table_protocol(path, measure="SMD", better="lower")
    assert [item.kind for item in protocol.unstated] == ["prior", "prior", "threshold"]


def test_one_arm_has_a_mean_and_true_values_and_no_effect(tmp_path, capsys):
    path = tmp_path / "arms.csv"
    path.write_text("study,events,n\nA,5,40\nB,7,50\nC,4,35\n", encoding="utf-8")
    assert main(["pool", str(path), "--measure", "PLO", "--better", "lower", "--threshold", "0.2"]) == 0
    out = flat(capsys.readouterr().out)
    for words in ("mean (mu)", "probability of mean new study", "New study: the true value in a new study"):
        assert words in out, words
    assert "posterior of the trial's true value" in out
    assert "share in the posterior mean." in out
    assert "mean effect" not in out
    assert "true effect" not in out
