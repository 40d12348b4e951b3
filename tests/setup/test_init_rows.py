"""Rows that `init` cannot take as they stand: what is said, what is asked, and that no other row goes with them.

Authorities: the signs and rows that each small table was written with; Hedges' g by its formula (Hedges 1981).
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import bayesmeta as bm
from bayesmeta.setup.protocol_text import toml_text
from bayesmeta.studies import read_outcome
from bayesmeta_cli.main import main

HEAD = "Study,Outcome,Horizon,Scale,N exp,Mean exp,SD exp,N con,Mean con,SD con"


@pytest.fixture
def cli(capsys):
    """Run a command without a terminal; return its exit code, stdout and stderr."""

    def run(*arguments):
        code = main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write a table, without the columns that are left out, into an empty folder, which becomes the current one."""
    monkeypatch.chdir(tmp_path)

    def write(*rows, without=()):
        kept = [i for i, name in enumerate(HEAD.split(",")) if name not in without]
        lines = [[row.split(",")[i] for i in kept] for row in (HEAD, *rows)]
        Path("trials.csv").write_text("\n".join(map(",".join, lines)) + "\n", encoding="utf-8")
        return Path("trials.csv")

    return write


def numbers(treated, control=10.0):
    return f"20,{treated},4,20,{control},4"


def signs(key):
    effects = read_outcome("trials.toml", key).effects
    return dict(zip(effects.study, (effects.y > 0).tolist(), strict=True))


# -- directions --------------------------------------------------------------------------------------------------------


def test_one_empty_cell_does_not_turn_off_the_signs_of_the_others(cli, table):
    """All three treated arms do better: higher on FACIT-F, lower on BFI, where lower is better."""
    rows = [f"A,x,,FACIT-F,{numbers(12)}", f"B,x,,FACIT-F,{numbers(13)}", f"C,x,,BFI,{numbers(7)}"]
    path = table(*rows, f"D,x,,,{numbers(12)}", without=("Outcome", "Horizon"))
    ways = ["--better", "FACIT-F=higher", "--better", "BFI=lower"]
    code, _, err = cli("init", path, *ways)
    assert code == 3
    assert "row 5 (D): its instrument is not named" in err
    assert cli("init", path, *ways, "--yes")[0] == 0
    assert signs("fatigue") == {"A": True, "B": True, "C": True}
    (left,) = read_outcome("trials.toml", "fatigue").excluded
    assert (left.study, left.row) == ("D", 5)


def test_an_outcome_without_instruments_has_a_direction_of_its_own(cli, table):
    """Steps in a minute have no questionnaire; the rows of fatigue still have signs by their scales."""
    fatigue = [f"A,fatigue,,FACIT-F,{numbers(12)}", f"B,fatigue,,FACIT-F,{numbers(13)}", f"C,fatigue,,BFI,{numbers(7)}"]
    path = table(*fatigue, f"A,steps,,,{numbers(12)}", f"B,steps,,,{numbers(9)}", without=("Horizon",))
    ways = [word for way in ("FACIT-F=higher", "BFI=lower", "steps=higher") for word in ("--better", way)]
    code, _, err = cli("init", path, *ways[:4])
    assert code == 3
    assert "steps" in err
    assert cli("init", path, *ways)[0] == 0
    assert signs("fatigue") == {"A": True, "B": True, "C": True}
    assert signs("steps") == {"A": True, "B": False}
    assert cli("check", "trials.toml")[0] == 0
    # of fatigue alone nothing has to be said about the steps
    assert cli("init", path, "--outcome", "fatigue", *ways[:4], "--force")[0] == 0
    assert signs("fatigue") == {"A": True, "B": True, "C": True}


def test_a_ratio_has_no_sign_to_reverse_and_needs_no_instrument(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "A,HADS-D,5,40,9,41\nB,,7,50,9,48\nC,HADS-D,4,35,6,33\n"
    Path("trials.csv").write_text("Study,Scale,Events exp,N exp,Events con,N con\n" + rows)
    assert cli("init", "trials.csv", "--outcome", "Falls", "--better", "lower")[0] == 0
    assert read_outcome("trials.toml", "falls").effects.k == 3


# -- what is left out, and nothing else --------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["Horizon", "Scale", "N exp", "Mean con"])
def test_a_good_row_of_the_same_trial_stays(cli, table, column):
    """The two rows of A differ in one column; only the one whose SDs are not reported goes."""
    names = HEAD.split(",")
    good = f"A,x,,FACIT-F,{numbers(12)}".split(",")
    bad = list(good)
    bad[names.index(column)] = {"Horizon": "late", "Scale": "BFI"}.get(column, "21")
    good[2], bad[2] = "early", bad[2] or "early"
    bad[names.index("SD exp")] = bad[names.index("SD con")] = ""
    rows = [",".join(good), ",".join(bad), f"B,x,early,FACIT-F,{numbers(13)}", f"C,x,late,FACIT-F,{numbers(13)}"]
    rows += [f"D,x,early,BFI,{numbers(7)}"]
    path = table(*rows, without=("Outcome",) if column == "Horizon" else ("Outcome", "Horizon"))
    assert cli("init", path, "--yes", "--better", "FACIT-F=higher", "--better", "BFI=lower", "--measure", "SMD")[0] == 0
    protocol = bm.read_protocol("trials.toml")
    found = [read_outcome(protocol, key) for key in protocol.outcomes]
    assert sorted(row for reading in found for row in reading.rows) == [2, 4, 5, 6]
    assert [record.row for reading in found for record in reading.excluded] == [3]


def test_what_cannot_be_told_apart_is_refused(cli, table):
    good = f"A,x,,FACIT-F,{numbers(12)}"
    bad = "A,x,,FACIT-F,20,12,,20,10.0,"
    path = table(good, bad, f"B,x,,FACIT-F,{numbers(13)}", without=("Outcome", "Horizon"))
    code, _, err = cli("init", path, "--yes", "--better", "higher", "--measure", "SMD")
    assert code == 3
    assert "row 3 (A): no filled cell of it differs from row 2" in err
    assert list(Path().iterdir()) == [path]


def test_a_sensitivity_analysis_leaves_out_its_own_rows_alone(cli, table):
    """Of trial A one row lacks the SD of its control arm; the other one, of another scale, is whole."""
    rows = [f"A,x,,FACIT-F,{numbers(12)}", "A,x,,BFI,20,7,4,20,10,", f"B,x,,FACIT-F,{numbers(13)}"]
    path = table(*rows, without=("Outcome", "Horizon"))
    assert cli("init", path, "--yes", "--better", "FACIT-F=higher", "--better", "BFI=lower")[0] == 0
    stated = tomllib.loads(Path("trials.toml").read_text(encoding="utf-8"))
    (exclude,) = stated["sensitivity"][0]["exclude"]
    assert exclude["where"] == {"study": "A", "instrument": "BFI"}
    # one arm measured by two instruments is not two arms
    assert "constants" not in stated["data"]


# -- rows that belong nowhere ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "without", "what"),
    [
        (["fatigue,early", "steps,early", ",early"], (), "outcome"),
        (["fatigue,early", "fatigue,late", "fatigue,"], (), "horizon"),
        # beside one level an empty cell is not that level
        (["fatigue,early", "fatigue,early", ",early"], ("Horizon",), "outcome"),
    ],
)
def test_a_row_that_belongs_to_no_outcome_is_said_and_asked(cli, table, rows, without, what):
    lines = [
        f"{name},{place},FACIT-F,{numbers(12 + i)}" for i, (name, place) in enumerate(zip("ABC", rows, strict=True))
    ]
    path = table(*lines, without=without)
    code, _, err = cli("init", path, "--better", "higher", "--measure", "SMD")
    assert code == 3
    assert f"row 4 (C): its {what} is not stated" in err
    assert '--rows "proposed"' in err
    assert cli("init", path, "--better", "higher", "--measure", "SMD", "--rows", "proposed")[0] == 0
    protocol = bm.read_protocol("trials.toml")
    assert [(item.where["study"], what in item.reason) for item in protocol.data.exclude] == [("C", True)]
    assert sorted(row for key in protocol.outcomes for row in read_outcome(protocol, key).rows) == [2, 3]


def test_a_row_without_a_comparator_is_said_and_asked(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{name},{level},{numbers(12)}" for name, level in (("A", "usual care"), ("B", "stretching"), ("C", ""))]
    head = "Study,Comparator,N exp,Mean exp,SD exp,N con,Mean con,SD con"
    Path("trials.csv").write_text("\n".join([head, *rows]) + "\n")
    flags = ["--better", "higher", "--measure", "SMD"]
    code, _, err = cli("init", "trials.csv", *flags, "--comparator", "usual care")
    assert code == 3
    assert "row 4 (C): its comparator is not stated" in err
    assert cli("init", "trials.csv", *flags, "--comparator", "usual care", "--yes")[0] == 0
    protocol = bm.read_protocol("trials.toml")
    (key,) = protocol.outcomes
    assert [dict(item.where) for item in protocol.data.exclude] == [{"study": "C"}]
    assert read_outcome(protocol, key).rows == (2,)
    # with all of them nothing is lost, and nothing is asked
    assert cli("init", "trials.csv", *flags, "--comparator", "all", "--force")[0] == 0
    assert read_outcome("trials.toml", key).effects.k == 3
    # an empty cell beside one level is asked about too
    Path("trials.csv").write_text("\n".join([head, rows[0], rows[2]]) + "\n")
    code, _, err = cli("init", "trials.csv", *flags, "--force")
    assert code == 3
    assert "--comparator" in err
    assert "not stated: 1 row" in err
    assert cli("init", "trials.csv", *flags, "--comparator", "usual care", "--yes", "--force")[0] == 0
    assert read_outcome("trials.toml", key).rows == (2,)


def test_directions_of_another_outcome_are_not_asked(cli, tmp_path, monkeypatch):
    """A column of directions with an empty cell in an outcome that is not analysed."""
    monkeypatch.chdir(tmp_path)
    rows = [("A", "pain", "lower"), ("B", "pain", "higher"), ("A", "sleep", ""), ("B", "sleep", "higher")]
    lines = [f"{study},{outcome},{way},{numbers(12)}" for study, outcome, way in rows]
    head = "Study,Outcome,coded_better,N exp,Mean exp,SD exp,N con,Mean con,SD con"
    Path("trials.csv").write_text("\n".join([head, *lines]) + "\n")
    flags = ["--measure", "SMD", "--better", "pain=higher", "--outcome", "pain"]
    assert cli("init", "trials.csv", *flags)[0] == 0
    assert signs("pain") == {"A": False, "B": True}


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.1234567890123, 1e-7, 12345678.9, 1 / 3, 90.0, 1e22, -2.5])
def test_numbers_come_back_as_they_were(value):
    assert tomllib.loads(f"x = {toml_text(value)}")["x"] == value
    assert tomllib.loads(f"x = {toml_text({'a b': [value]})}")["x"] == {"a b": [value]}


def test_a_stated_threshold_keeps_its_digits(cli, table):
    path = table(f"A,x,,FACIT-F,{numbers(12)}", f"B,x,,FACIT-F,{numbers(13)}", without=("Outcome", "Horizon"))
    flags = ["--better", "higher", "--measure", "MD", "--ref-sd", "10.1234567; cohort"]
    assert cli("init", path, *flags, "--threshold", "3.14159265; panel")[0] == 0
    stated = tomllib.loads(Path("trials.toml").read_text(encoding="utf-8"))
    assert stated["defaults"]["ref_sd"] == 10.1234567
    (threshold,) = stated["outcome"]["fatigue"]["thresholds"]
    assert threshold["benefit"] == 3.14159265
