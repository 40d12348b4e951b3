"""The command `bias`: what it prints, of a protocol and of a table, and how it refuses.

Authority: RoBMA's Bayes factor of bias in Bem 2011 (tests/bias/test_average.py says how it was found), and the library.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta import bias
from bayesmeta.records import output_schema
from bayesmeta_cli.main import main
from references import ROOT

Run = Callable[..., tuple[int, str, str]]

BEM = ROOT / "tests" / "reference" / "bias" / "Bem2011.csv"
TABLE = [BEM, "--column", "estimate=d", "--measure", "SMD"]
DIRECTED = [*TABLE, "--better", "higher", "--threshold", "0.1"]
PROTOCOL = """
schema = 2
title = "Feeling the future"
[data]
path = "Bem2011.csv"
columns = { estimate = "d" }
[outcome.recall]
label = "Recall"
measure = "SMD"
better = "higher"
thresholds = [ { name = "small", benefit = 0.1, worse = 0.1, kind = "panel", source = "Stated" } ]
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
"""


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["bias", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def protocol(tmp_path: Path, bias: str = "") -> Path:
    (tmp_path / "Bem2011.csv").write_bytes(BEM.read_bytes())
    path = tmp_path / "bem.toml"
    path.write_text(PROTOCOL + bias, encoding="utf-8")
    return path


def test_a_table_without_a_protocol(cli: Run) -> None:
    code, out, err = cli(*DIRECTED)
    assert code == 0
    assert "The data speak for bias (Bayes factor 17)." in " ".join(out.split())
    assert "5 models with the largest posterior probability; --models prints all 36" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    # of the average, which has other priors than the table's defaults
    assert "halfnormal" not in out + err
    headings = ["P(imp.)", "inclusion Bayes factor", "P(zero)", "mean weight", "evidence"]
    assert [word for word in headings if word not in out] == []


def test_every_model_where_they_are_asked_for(cli: Run) -> None:
    out = cli(*TABLE, "--ensemble", "pp", "--direction", "higher", "--models")[1]
    rows = [line for line in out.splitlines() if line.startswith(("none  ", "PET  ", "PEESE  ")) and "%" in line]
    models = [line for line in rows if " yes " in line or " no " in line]
    assert len(models) == 12
    # without a better direction there are no chances of benefit
    assert "P(any)" not in out


def test_json_is_the_library_to_the_bit(cli: Run) -> None:
    code, out, _ = cli(*DIRECTED, "--ensemble", "pp", "--json")
    assert code == 0
    record = json.loads(out)
    jsonschema.Draft202012Validator(output_schema("bias")).validate(record)
    rows = pd.read_csv(BEM)
    effects = bm.Effects(rows["study"].tolist(), rows["d"], rows["se"], measure="SMD", better="higher")
    averaged = bm.average(effects, "pp")
    factors = bm.bias.model_inclusion_table(averaged).set_index("part")["bayes_factor"]
    assert record["average"]["bias_bayes_factor"] == factors["bias"]
    table = bm.bias.bias_benefit_table(averaged, 0.1)
    assert [row["p_important_benefit"] for row in record["tables"]["chances"]] == table["p_important_benefit"].tolist()
    assert len(record["tables"]["candidates"]) == 12
    assert record["tables"]["weights"] == []
    assert [check["ok"] for check in record["checks"]] == [True]
    assert record["not_done"] == ""


def test_csv(cli: Run) -> None:
    table = pd.read_csv(io.StringIO(cli(*DIRECTED, "--ensemble", "2w", "--csv")[1]))
    assert table["models"].tolist() == ["no bias", "selection by p", "average"]
    assert set(table["outcome"]) == {"Bem2011"}
    models = pd.read_csv(io.StringIO(cli(*DIRECTED, "--ensemble", "2w", "--models", "--csv")[1]))
    assert len(models) == 12


def test_a_protocol_says_what_is_averaged(cli: Run, tmp_path: Path) -> None:
    path = protocol(tmp_path, '[bias]\nensemble = "pp"\nmu = "normal(0, 0.5)"')
    found = json.loads(cli(path, "--json")[1])
    assert found["average"]["ensemble"] == "pp"
    assert found["average"]["priors"].startswith("mu normal(0, 0.5), tau inversegamma(1, 0.15)")
    # what the command line says stands over it
    found = json.loads(cli(path, "--ensemble", "bma", "--tau", "halfnormal(0.3)", "--threshold", "0.2", "--json")[1])
    assert found["average"]["ensemble"] == "bma"
    assert found["average"]["priors"] == "mu normal(0, 0.5), tau halfnormal(0.3)"
    rows = pd.read_csv(BEM)
    effects = bm.Effects(rows["study"].tolist(), rows["d"], rows["se"], measure="SMD", better="higher")
    expected = bm.average(effects, "bma", mu=bm.Normal(0, 0.5), tau=bm.HalfNormal(0.3))
    table = bm.bias.bias_benefit_table(expected, 0.2)
    assert found["tables"]["chances"][-1]["p_important_benefit"] == table["p_important_benefit"].iloc[-1]


def test_an_ensemble_named_replaces_models_of_the_protocol(cli: Run, tmp_path: Path) -> None:
    own = '[[bias.model]]\nkind = "selection"\nsteps = [0.025]'
    path = protocol(tmp_path, own)
    assert json.loads(cli(path, "--json")[1])["average"]["ensemble"] == "own models"
    assert json.loads(cli(path, "--ensemble", "bma", "--json")[1])["average"]["ensemble"] == "bma"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere.csv"], 2, "no such file"),
        ([*TABLE, "--ensemble", "robma"], 2, "psma"),
        ([*TABLE, "--direction", "up"], 2, "higher"),
        ([*TABLE, "--threshold", "0.1"], 2, "--better"),
        (TABLE, 3, 'Give direction = "higher" or "lower"'),
        ([*DIRECTED, "--mu", "flat()"], 3, "improper"),
        ([*DIRECTED, "--mu", "gaussian(0, 1)"], 3, "normal"),
        ([ROOT / "models" / "cancer_horizons.toml", "--outcome", "anxiety"], 3, "cluster"),
        ([ROOT / "models" / "hiit.toml", "--measure", "SMD"], 2, "--measure goes with a table"),
    ],
)
def test_what_it_refuses(cli: Run, arguments: list[object], code: int, words: str) -> None:
    found, out, err = cli(*arguments)
    assert (found, out) == (code, "")
    assert words in err


def test_an_outcome_that_cannot_be_averaged_costs_no_other(cli: Run, tmp_path: Path) -> None:
    other = PROTOCOL.partition("[outcome.recall]")[2].replace('better = "higher"\n', "")
    other = "\n".join(line for line in other.splitlines() if not line.startswith("thresholds"))
    path = protocol(tmp_path, f'[outcome.undirected]{other}\n[bias]\nensemble = "pp"\n')
    found = json.loads(cli(path, "--json")[1])
    jsonschema.Draft202012Validator(output_schema("bias")).validate(found)
    reasons = {item["outcome"]: item["not_done"] for item in found["analyses"]}
    assert reasons["recall"] == ""
    assert "which results are favoured" in reasons["undirected"]
    assert "Not done: one-sided selection, PET and PEESE need to know" in " ".join(cli(path)[1].split())


def test_probabilities_are_none_above_one(cli: Run) -> None:
    """Of two pairs of rows shares add up to one but for rounding, which JSON's schema would refuse."""
    out = cli(ROOT / "models" / "cancer_exercise.toml", "--ensemble", "bma", "--outcome", "qol_short", "--json")[1]
    jsonschema.Draft202012Validator(output_schema("bias")).validate(json.loads(out))


def test_how_strong_selection_would_have_to_be(cli: Run) -> None:
    """The functions of the library, under the priors of the analysis; the S-value is by hand."""
    arguments = [*DIRECTED, "--ensemble", "2w", "--mu", "normal(0, 1)", "--tau", "halfnormal(0.5)"]
    out, found = cli(*arguments)[1], json.loads(cli(*arguments, "--json")[1])["tables"]
    for words in ("weight needed", "worst case", "S-value", "not possible"):
        assert words in " ".join(out.split())
    rows = pd.read_csv(BEM)
    effects = bm.Effects(rows["study"].tolist(), rows["d"], rows["se"], measure="SMD", better="higher")
    expected = bias.selection_needed(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)), 0.1)
    assert [row["weight"] for row in found["needed"]] == pytest.approx(expected["weight"].tolist(), nan_ok=True)
    # the common effect of the three results that are not significant stays above zero, whatever the selection
    alone = rows[rows["d"] / rows["se"] < 1.959964]
    worst = (alone["d"] / alone["se"] ** 2).sum() / (1 / alone["se"] ** 2).sum()
    lines = [row for row in found["s_values"] if row["method"] == "common effect" and row["of"] == "estimate"]
    assert lines[0]["worst_case"] == pytest.approx(worst)
    assert (lines[0]["answer"], lines[0]["ratio"]) == ("not possible", None)
    assert [row["k"] for row in found["worst_case"] if row["trials"] == "worst case"] == [len(alone)] * 3


def test_what_cannot_be_said_of_selection_has_its_reason(cli: Run) -> None:
    """Two-sided models need no direction; selection of a stated strength does."""
    out = " ".join(cli(*TABLE, "--ensemble", "2w")[1].split())
    assert out.count("Not done:") == 3
    assert "which results are favoured" in out


def test_pictures_are_written_where_a_folder_is_named(cli: Run, tmp_path: Path) -> None:
    code, _, err = cli(*DIRECTED, "--ensemble", "pp", "-o", tmp_path / "pictures")
    assert code == 0
    names = sorted(path.name.split(".")[-2] for path in (tmp_path / "pictures").iterdir())
    assert names == ["averaged-mean", "inclusion", "p-values", "z-curve"]
    # no model of these selects by p
    assert "not drawn" in err
    assert "weight-function" in err
    code, _, err = cli(*DIRECTED, "--ensemble", "pp", "-o", "one.png")
    assert code == 2
    assert "give a folder" in err


@pytest.mark.parametrize("command", ["fit", "benefit"])
def test_a_headline_without_bias_models_says_so_where_the_protocol_states_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    said = "these numbers hold no model of publication bias"
    for stated in ("", '[bias]\nensemble = "bma"\n'):
        path = protocol(tmp_path, stated)
        assert main([command, str(path)]) == 0
        assert (said in " ".join(capsys.readouterr().out.split())) == bool(stated)
        assert main([command, str(path), "--json"]) == 0
        assert (said in capsys.readouterr().out) == bool(stated)
