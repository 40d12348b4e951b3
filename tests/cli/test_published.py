"""The commands `reanalyse` and `audit`: what they print, their JSON and CSV, and what they refuse.

Authority: the library, whose numbers must come through bit for bit; the committed schemas; data/cipn_published.csv.
"""

from __future__ import annotations

import io
import json
import re
import shlex

import jsonschema
import pandas as pd
import pytest

from bayesmeta.forensics import AUDIT_RULES, audit, findings_table
from bayesmeta.published import TARGETS, Reanalysis, directed, published_results, reanalyse_all, reanalysis_table
from bayesmeta.records import output_schema
from bayesmeta.studies import read_table
from bayesmeta_cli.main import main
from references import ROOT

CIPN = ROOT / "data" / "cipn_published.csv"
TRIALS = ROOT / "data" / "cipn_trials.csv"
OTHER = ROOT / "data" / "published_other.csv"


@pytest.fixture
def cli(capsys):
    def run(*arguments):
        code = main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def record(cli):
    def run(schema, *arguments):
        code, out, _ = cli(*arguments, "--json")
        assert code == 0
        found = json.loads(out)
        jsonschema.validate(found, output_schema(schema), cls=jsonschema.Draft202012Validator)
        return found

    return run


def written(tmp_path, text):
    path = tmp_path / "published.csv"
    path.write_text(text, encoding="utf-8")
    return path


# -- reanalyse ---------------------------------------------------------------------------------------------------------


def test_text_has_every_row_and_fits_80_columns(cli):
    for path, rows in ((CIPN, 19), (OTHER, 27)):
        code, out, err = cli("reanalyse", path)
        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 80
        assert all(f"(row {row})" in " ".join(out.split()) for row in range(2, rows + 2))
    assert "k = 8 is that of the whole review" in " ".join(out.split())
    assert "no effect is printed; the interval 38.4 to 77.6 is not one of it" in " ".join(out.split())
    assert "GRADE certainty" in " ".join(out.split())


def test_probabilities_need_a_direction_and_a_threshold(cli):
    pain = ("reanalyse", CIPN, "--outcome", "pain")
    assert "benefit" not in cli(*pain)[1].split("Prior of")[0].replace("which direction is benefit", "")
    with_direction = cli(*pain, "--better", "lower")[1]
    assert "any benefit" in with_direction
    assert "important" not in with_direction.lower().split("prior of")[0]
    both = cli(*pain, "--better", "lower", "--threshold", "0.2")[1]
    assert "Important: 0.2 or beyond; lower is better." in both


def test_directions_by_outcome(record):
    found = record("reanalyse", "reanalyse", CIPN, "--better", "lower", "--better", "quality of life=higher")
    better = {(item["outcome"], item["subgroup"]): item["better"] for item in found["analyses"]}
    assert better["pain", "overall"] == "lower"
    assert better["quality of life", "total"] == "higher"
    # one direction for all does not settle what the table contradicts
    assert better["FACT/GOG-NTX", "overall"] is None
    one = record("reanalyse", "reanalyse", CIPN, "--outcome", "FACT/GOG-NTX", "--better", "FACT/GOG-NTX=higher")
    assert one["better"] == "higher"
    assert one["mean_effect"]["p_any_benefit"] < 0.01


def test_json_and_csv_are_the_librarys_numbers(record, cli):
    results = directed(published_results(read_table(CIPN)), "lower")
    items = reanalyse_all(results, threshold=0.2)
    found = record("reanalyse", "reanalyse", CIPN, "--better", "lower", "--threshold", "0.2")["analyses"]
    assert len(found) == 19
    keys = ("mean_as_published", "mean_effect", "new_study", "tau")
    for item, one in zip(items, found, strict=True):
        if not isinstance(item, Reanalysis):
            assert all(one[key] is None for key in keys)
            assert one["reason"]
            continue
        for target, key in zip(TARGETS, keys, strict=True):
            form = item.marginal(target)
            assert (one[key]["mean"], one[key]["sd"]) == (form.mean, form.sd)
            if target != "tau" and item.better is not None:
                assert {k: one[key][k] for k in item.probabilities(target)} == item.probabilities(target)
        assert one["read"]["se"] == item.rebuilt.se
        assert one["assumptions"] == list(item.rebuilt.assumptions)
        assert one["unknown"] == list(item.unknown)
    _, out, _ = cli("reanalyse", CIPN, "--better", "lower", "--threshold", "0.2", "--csv")
    read = pd.read_csv(io.StringIO(out), dtype=str)
    table = reanalysis_table(items)
    assert read.shape == table.shape
    assert read["mean"].dropna().map(float).tolist() == table["mean"].dropna().tolist()


def test_json_of_other_reviews_keeps_to_its_schema(record):
    found = record("reanalyse", "reanalyse", OTHER)
    assert len(found["analyses"]) == 27
    silent = [item for item in found["analyses"] if item["reason"].startswith("no effect is printed")]
    assert len(silent) == 1
    assert silent[0]["review"].startswith("Arabestanino")
    assert all(item["missing"] for item in found["analyses"] if item["mean_effect"] is None)


def test_priors_are_those_stated(record):
    found = record(
        "reanalyse",
        "reanalyse",
        OTHER,
        "--outcome",
        "IL-6",
        "--mu",
        "normal(0, 2)",
        "--tau",
        "halfnormal(1)",
        "--better",
        "lower",
    )["analyses"]
    assert [item["reason"] == "" for item in found] == [True, True, False]
    assert found[0]["priors"]["tau"] == {"prior": "halfnormal(1)", "source": "stated"}
    # k is that of the whole review in the first, of the result in the second
    assert found[0]["new_study"] is None
    assert found[1]["new_study"]["sd"] > found[1]["mean_effect"]["sd"]
    scaled = record("reanalyse", "reanalyse", OTHER, "--measure", "MD", "--ref-sd", "2")["analyses"]
    # normal(0, 1) of a standardised difference, in points of an instrument whose SD is 2
    assert {item["priors"]["mu"]["prior"] for item in scaled} == {"normal(0, 2)"}
    assert len(scaled) == 10


def test_the_model_where_none_is_stated(record):
    base = ("reanalyse", OTHER, "--outcome", "CIPN symptoms (taxane, breast)")
    random, fixed = record("reanalyse", *base), record("reanalyse", *base, "--model", "fixed")
    assert (random["read"]["model"], fixed["read"]["model"]) == ("random", "fixed")
    assert fixed["read"]["tau"] > random["read"]["tau"]


def test_figures(cli, tmp_path):
    code, _, err = cli("reanalyse", CIPN, "--figure", tmp_path / "cipn.svg")
    assert code == 0
    assert "wrote" in err
    assert "FACT/GOG-NTX" in (tmp_path / "cipn.svg").read_text(encoding="utf-8")
    code, _, err = cli("reanalyse", OTHER, "--measure", "MD", "--figure", tmp_path / "md.png")
    assert code == 0
    assert "not drawn" in err
    assert not (tmp_path / "md.png").exists()


def test_ratios_are_printed_as_ratios(cli, tmp_path):
    head = "outcome,measure,estimate,ci_low,ci_high,k,i2,model,better"
    path = written(tmp_path, f"{head}\nfalls,RR,0.8,0.64,1.0,4,0,fixed,lower\n")
    code, out, _ = cli("reanalyse", path, "--threshold", "0.9")
    assert code == 0
    line = next(line for line in out.splitlines() if line.strip().startswith("mean, SE"))
    assert 0.7 < float(line.split()[4]) < 0.9


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["reanalyse", "nowhere.csv"], 2, "no such file"),
        (["reanalyse", OTHER, "--threshold", "0.2"], 2, "several measures (SMD, MD)"),
        (["reanalyse", OTHER, "--mu", "normal(0, 1)"], 2, "--measure or --outcome"),
        (["reanalyse", CIPN, "--outcome", "sleep"], 3, "there is no outcome 'sleep'"),
        (["reanalyse", CIPN, "--measure", "RR"], 3, "no effect is a RR"),
        (["reanalyse", CIPN, "--better", "up"], 2, "higher, lower"),
        (["reanalyse", CIPN, "--better", "sleep=lower"], 3, "there is no outcome 'sleep'"),
        (["reanalyse", CIPN, "--model", "mixed"], 2, "fixed, random"),
        (["reanalyse", CIPN, "--threshold", "much"], 2, "not a number"),
        (["reanalyse", CIPN, "--tau", "halfnorm"], 3, "not a prior"),
        (["reanalyse", CIPN, "--json", "--csv"], 2, "choose one"),
        (["audit"], 2, "published results"),
        (["audit", CIPN, "nowhere.csv"], 2, "no such file"),
    ],
)
def test_refusals(cli, arguments, code, message):
    found, out, err = cli(*arguments)
    assert found == code
    assert out == ""
    assert message in " ".join(err.split())


def test_faults_of_cells_are_listed(cli, tmp_path):
    path = written(tmp_path, "outcome,estimate,k,model\npain,0.3,2.5,mixed\n")
    code, _, err = cli("reanalyse", path)
    assert code == 3
    assert "published.csv row 2, column k" in err
    assert "published.csv row 2, column model" in err


# -- audit -------------------------------------------------------------------------------------------------------------


def test_audit_prints_findings_and_strict_leaves_with_5(cli):
    code, out, err = cli("audit", CIPN, TRIALS)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    found = audit(read_table(CIPN), read_table(TRIALS))
    assert sum(line.startswith("error: ") for line in out.splitlines()) == sum(f.severity == "error" for f in found) > 0
    strict, same, told = cli("audit", CIPN, TRIALS, "--strict")
    assert (strict, same) == (5, out)
    assert "not reportable" in told


def test_strict_is_quiet_without_errors(cli, tmp_path):
    path = written(tmp_path, "outcome,measure,estimate,ci_low,ci_high\npain,SMD,-0.40,-0.62,-0.18\n")
    assert cli("audit", path, "--strict")[0] == 0


def test_audit_json_and_csv(record, cli):
    found = record("audit", "audit", CIPN, TRIALS)
    asked = audit(read_table(CIPN), read_table(TRIALS))
    assert [item["evidence"] for item in found["findings"]] == [item.evidence for item in asked]
    assert (found["rows"], found["trials"], found["trials_source"]) == (19, 15, "cipn_trials.csv")
    alone = record("audit", "audit", OTHER)
    assert alone["trials"] is None
    _, out, _ = cli("audit", CIPN, TRIALS, "--csv")
    assert pd.read_csv(io.StringIO(out)).equals(findings_table(asked))


def test_audit_lists_its_rules(record, cli):
    found = record("audit", "audit", "--rules")
    assert [item["rule"] for item in found["rules"]] == [rule.name for rule in AUDIT_RULES]
    assert max(map(len, cli("audit", "--rules")[1].splitlines())) <= 80


# -- the document ------------------------------------------------------------------------------------------------------

BLOCKS = re.findall(
    r"```console\n\$ bayesmeta (.*?)\n(.*?)```", (ROOT / "docs" / "published.md").read_text(encoding="utf-8"), re.DOTALL
)


def test_the_document_has_commands():
    assert len(BLOCKS) == 2


@pytest.mark.parametrize(("command", "expected"), BLOCKS)
def test_commands_print_what_the_document_shows(cli, monkeypatch, command, expected):
    monkeypatch.chdir(ROOT)
    code, out, _ = cli(*shlex.split(command))
    assert code == 0
    position = 0
    for part in expected.split("...\n"):
        found = out.find(part.strip("\n"), position)
        assert found >= 0, part
        position = found + len(part)
