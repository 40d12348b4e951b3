"""`bayesmeta borrow`: what it prints, and every fault of its keys by name.

Authorities: the library's functions, tested elsewhere against RBesT and QUADPACK, whose numbers must come through bit
for bit; the messages that docs/data.md promises.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.plan import BetaRisk
from bayesmeta.protocol import read_protocol
from bayesmeta.questions import Borrowing, borrowing_probabilities, borrowing_table, robust_map
from bayesmeta_cli.main import main
from references import ROOT

METASTATIC = ROOT / "models" / "metastatic.toml"


def library(outcome: str = "fatigue", weight: float = 0.2) -> tuple[bm.Protocol, Borrowing]:
    asked = read_protocol(METASTATIC)
    effects = bm.read_effects(asked, outcome)
    source = read_protocol(asked.borrow[outcome].path)
    key = asked.borrow[outcome].outcome
    review = bm.fit(
        bm.read_effects(source, key), bm.Model(source.outcomes[key].model.mu, source.outcomes[key].model.tau)
    )
    found = robust_map(
        review,
        float(effects.y[0]),
        float(effects.se[0]),
        weight=weight,
        scale=float(asked.borrow[outcome].sd or 1),
        n=357,
    )
    return asked, found


def test_json_is_the_librarys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["borrow", str(METASTATIC), "--outcome", "fatigue", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    asked, found = library()
    assert record["vague_weight"] == found.vague_weight
    assert record["source"]["trials"] == 32
    assert record["source"]["measure"] == "SMD"
    assert record["weight"] == 0.2
    mid = asked.outcomes["fatigue"].decision.primary
    assert record["borrowed"]["p_important_benefit"] == borrowing_probabilities(found, mid)["p_important_benefit"]
    assert (
        record["alone"]["p_important_benefit"]
        == borrowing_probabilities(found, mid, found.alone)["p_important_benefit"]
    )
    assert record["kept_lower"] == found.kept_lower
    assert [row["weight"] for row in record["weights"]] == [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0]
    assert record["stated"]["sd"] == 24.09


def test_csv_is_the_librarys_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["borrow", str(METASTATIC), "--csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out), keep_default_na=False)
    assert table["outcome"].unique().tolist() == ["fatigue", "qol"]
    asked, found = library("qol")
    expected = borrowing_table(found, asked.outcomes["qol"].decision.primary)
    mine = table[table["outcome"] == "qol"]
    assert mine["median"].astype(float).tolist() == expected["median"].tolist()


def test_text_says_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["borrow", str(METASTATIC), "--outcome", "fatigue"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    _, found = library()
    own, both = (
        bm.percent(
            borrowing_probabilities(found, read_protocol(METASTATIC).outcomes["fatigue"].decision.primary, form)[
                "p_important_benefit"
            ]
        )
        for form in (found.alone, found.posterior)
    )
    for words in (
        "35 estimates of 32 trials",
        "Put on its scale by a standard deviation of 24.09: 5.3 / 0.22",
        "Why: Trials of up to 12 weeks",
        f"is {own} by the trial alone and {both} with the review",
        f"is discarded with probability {bm.percent(found.vague_weight)}",
        "would discard the review",
        "They are not GRADE certainty ratings",
    ):
        assert words in out


def test_lines_fit_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["borrow", str(METASTATIC)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_weight_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["borrow", str(METASTATIC), "--outcome", "fatigue", "--weight", "0.6", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["weight"], record["vague_weight"]) == (0.6, library(weight=0.6)[1].vague_weight)


def test_figure_is_drawn_from_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bayesmeta.plots import borrow_plot

    assert main(["borrow", str(METASTATIC), "--figure", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fatigue.borrow.png", "qol.borrow.png"]
    assert "wrote" in capsys.readouterr().err
    asked, found = library()
    fit = bm.fit(
        bm.read_effects(asked, "fatigue"),
        bm.Model(asked.outcomes["fatigue"].model.mu, asked.outcomes["fatigue"].model.tau),
        outcome=asked.outcomes["fatigue"],
    )
    picture = borrow_plot(found, fit, asked.outcomes["fatigue"].decision.primary, source="Fatigue")
    axes = next(item for item in picture.figure.axes if item.get_label() == "borrowing")
    for name in ("prior", "alone", "posterior"):
        line = next(item for item in axes.get_lines() if item.get_label() == name)
        part = picture.table[picture.table["curve"] == name]
        assert list(line.get_ydata()) == part["density"].tolist()
    assert bm.percent(found.vague_weight) in picture.alt
    assert "on its own" in picture.alt


def test_benefit_works_for_one_trial(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benefit", str(METASTATIC)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("One trial: nothing is pooled; how trials differ comes from the prior of tau alone.") == 3


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("metastatic", "cancer_exercise"):
        (tmp_path / "models").mkdir(exist_ok=True)
        shutil.copy(ROOT / "models" / f"{name}.toml", tmp_path / "models")
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path / "models" / "metastatic.toml"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'from = "cancer_exercise.toml"',
            'from = "nothing.toml"',
            "borrow.fatigue.from: 'nothing.toml' is no protocol",
        ),
        ('from = "cancer_exercise.toml"', 'from = "../../x.toml"', "is no protocol inside the project"),
        ('from = "cancer_exercise.toml"', "", "borrow.fatigue.from: the key is missing"),
        ('outcome = "fatigue_short"', 'outcome = "fatigue_shot"', "Did you mean fatigue_short?"),
        ("[borrow.fatigue]", "[borrow.fatige]", "key borrow.fatige: 'fatige' is not an outcome"),
        ("weight = 0.2", "weight = 1.0", "borrow.fatigue.weight: 1.0 is not < 1"),
        ("sd = 24.09", "sd = -1.0", "borrow.fatigue.sd: -1.0 is not > 0"),
        ("sd = 24.09", "", "borrow.fatigue.sd: the key is missing"),
        ("sd = 24.09", 'sd = 24.09\nvague = "cauchy(0, 1)"', "borrow.fatigue.vague: cauchy(0, 1) is not a normal"),
        ("sd = 24.09", "sd = 24.09\nshare = 0.1", "borrow.fatigue.share: 'share' is not a key here"),
        ('measure = "MD"', 'measure = "SMD"', "source and outcome are both SMD"),
        ('measure = "MD"', 'measure = "OR"', "the source is SMD and this outcome OR"),
    ],
)
def test_faults_are_told_by_name(
    project: Path, old: str, new: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = project.read_text(encoding="utf-8")
    assert old in text
    project.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert main(["borrow", str(project)]) == 3
    assert words in " ".join(capsys.readouterr().err.split())


def test_sd_and_its_source_go_together(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = project.read_text(encoding="utf-8").splitlines()
    project.write_text("\n".join(line for line in lines if not line.startswith("sd_source")), encoding="utf-8")
    assert main(["borrow", str(project)]) == 3
    assert "borrow.fatigue.sd_source: the key is missing. sd and sd_source go together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--weight", "1"], 2, "give a probability between 0 and 1"),
        (["--weight", "much"], 2, "give a probability between 0 and 1"),
        (["--outcome", "fitness"], 3, "nothing says where fitness may borrow from"),
        (["--outcome", "sleep"], 3, "there is no outcome 'sleep' in the protocol"),
        (["--json", "--csv"], 2, "choose one"),
    ],
)
def test_wrong_arguments(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["borrow", str(METASTATIC), *arguments]) == code
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_protocol_without_borrowing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["borrow", str(ROOT / "models" / "hiit.toml")]) == 3
    assert "nothing says where an outcome may borrow from" in capsys.readouterr().err


def test_several_rows_are_pooled_instead(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = project.read_text(encoding="utf-8")
    # two rows of one trial, as if they were of one outcome in one direction
    both = text.replace(
        'where = { outcome = "fatigue" }\nbetter = "lower"',
        'where = { outcome = ["qol", "fitness"] }\nbetter = "higher"',
    )
    assert both != text
    project.write_text(both, encoding="utf-8")
    assert main(["borrow", str(project), "--outcome", "fatigue"]) == 3
    assert "borrowing is for one trial" in capsys.readouterr().err


# -- the keys of natural units and risks -------------------------------------------------------------------------------

KEYS = """
schema = 2
title = "t"
[data]
path = "d.csv"
[outcome.a]
label = "A"
better = "lower"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
"""


def protocol(tmp_path: Path, text: str) -> bm.Protocol:
    (tmp_path / "p.toml").write_text(KEYS + text, encoding="utf-8")
    return read_protocol(tmp_path / "p.toml")


def test_natural_units_and_risks_are_read(tmp_path: Path) -> None:
    found = protocol(
        tmp_path,
        'measure = "SMD"\nnatural_unit = { name = "FACIT-F", sd = 10.5, sd_se = 0.8, sd_source = "x", '
        'better = "higher", mid = { benefit = { low = 3, high = 6 }, source = "BMJ Open 2019", kind = "anchor" } }\n',
    ).outcomes["a"]
    unit = found.decision.natural_unit
    assert unit is not None
    assert unit.mid is not None
    assert (unit.sd, unit.sd_se, unit.better, unit.mid.benefit) == (10.5, 0.8, "higher", (3.0, 6.0))
    risks = (
        protocol(
            tmp_path,
            'measure = "OR"\nbaseline_risk = [ { name = "low", risk = 0.05, source = "x" }, '
            '{ name = "cohort", risk = { dist = "beta", a = 20, b = 80 }, source = "y" }, '
            '{ name = "range", risk = { low = 0.1, high = 0.3 } }, { name = "vague", risk = "uniform(0.1, 0.4)" } ]\n',
        )
        .outcomes["a"]
        .decision.baseline_risk
    )
    assert [item.risk for item in risks] == [0.05, BetaRisk(20, 80), (0.1, 0.3), bm.Uniform(0.1, 0.4)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('measure = "SMD"\nnatural_unit = { name = "s", sd = -2, sd_source = "x" }', "natural_unit.sd: -2 is not > 0"),
        ('measure = "SMD"\nnatural_unit = { name = "s", sd = 2 }', "natural_unit.sd_source: the key is missing"),
        (
            'measure = "SMD"\nnatural_unit = { name = "s", sd = { low = 1, high = 2 }, sd_se = 1.0, sd_source = "x" }',
            "natural_unit.sd_se: sd is a range or a distribution",
        ),
        (
            'measure = "SMD"\n[outcome.a.natural_unit]\nname = "s"\nsd = 2\nsd_source = "x"\n'
            'mid = { benefit = 1, source = "x" }',
            "natural_unit.mid.kind: the key is missing",
        ),
        ('measure = "MD"\nnatural_unit = { name = "s", sd = 2, sd_source = "x" }', "translates SMD and SMDH, not MD"),
        ('measure = "OR"\nbaseline_risk = 1.2', "is not between 0 and 1"),
        ('measure = "OR"\nbaseline_risk = [ { name = "a", risk = { dist = "beta", a = 1 } } ]', "is not a beta"),
        ('measure = "OR"\nbaseline_risk = [ { name = "a", risk = "normal(0.2, 0.1)" } ]', "Write 0.2, { low = 0.1"),
        ('measure = "OR"\nbaseline_risk = [ { name = "a", risk = "halfnormal(0.2)" } ]', "is not between 0 and 1"),
    ],
)
def test_faults_of_units_and_risks(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(bm.ProtocolError) as caught:
        protocol(tmp_path, text + "\n")
    assert words in str(caught.value)
