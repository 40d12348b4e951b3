"""What was done to rows is said, and numbers are written to the digits that they need."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from bayesmeta_cli.main import main


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def write(folder: Path, text: str) -> Path:
    path = folder / "trials.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_equal_estimates_are_answered(cli, tmp_path):  # type: ignore[no-untyped-def]
    """The Hartung-Knapp SE is zero then; it must neither divide nor pass for certainty."""
    path = write(tmp_path, "study,estimate,se\nA,0.5,0.1\nB,0.5,0.2\n")
    code, out, _ = cli("pool", path, "--measure", "SMD", "--better", "lower")
    assert code == 0
    assert "no width: all estimates are equal; ad hoc" in " ".join(out.split())


def test_turned_rows_are_named(cli, tmp_path):  # type: ignore[no-untyped-def]
    header = "study,n_t,mean_t,sd_t,n_c,mean_c,sd_c,coded_better\n"
    path = write(tmp_path, header + "A,30,12,4,30,10,4,higher\nB,30,8,4,30,10,4,lower\nC,30,9,4,30,10,4,lower\n")
    code, out, _ = cli("pool", path, "--measure", "SMD", "--better", "lower")
    assert code == 0
    assert "1 of 3 rows: multiplied by -1" in out
    _, out, _ = cli("pool", path, "--measure", "SMD", "--better", "lower", "--json")
    assert any("multiplied by -1" in note for note in json.loads(out)["warnings"])


def test_zero_cells_are_named(cli, tmp_path):  # type: ignore[no-untyped-def]
    path = write(tmp_path, "study,events_t,n_t,events_c,n_c\nA,4,123,11,139\nC,3,20,0,20\nD,0,20,0,20\n")
    code, out, _ = cli("pool", path, "--measure", "OR", "--better", "lower")
    text = " ".join(out.split())
    assert code == 0
    assert "2 of 3 rows: 1/2 added to all four cells" in text
    assert "no events in either arm (D)" in text
    # a limit of a ratio is never written as zero
    assert not re.search(r"(?<![\d.])0\.0+(?!\d)", out.split("probability of")[0].split("heterogeneity")[0])


def test_small_numbers_keep_their_digits_in_the_sentence(cli, tmp_path):  # type: ignore[no-untyped-def]
    path = write(tmp_path, "study,estimate,se\nA,0.0031,0.002\nB,0.0028,0.0015\nC,0.0035,0.0025\n")
    code, out, _ = cli("pool", path, "--measure", "RD", "--better", "lower")
    assert code == 0
    sentence = " ".join(out.split()).split("the mean effect (Risk difference) is ")[1]
    median = float(sentence.split()[0])
    assert median == pytest.approx(0.003, abs=0.0005)


def test_csv_says_measure_and_scale(cli, tmp_path):  # type: ignore[no-untyped-def]
    path = write(tmp_path, "study,events_t,n_t,events_c,n_c\nA,4,123,11,139\nB,6,306,29,303\n")
    code, out, _ = cli("pool", path, "--measure", "OR", "--better", "lower", "--csv")
    frame = pd.read_csv(io.StringIO(out))
    assert code == 0
    assert set(frame["measure"]) == {"OR"}
    assert set(frame["scale"]) == {"log"}


def test_contrasts_of_ratios_are_ratios(cli, tmp_path):  # type: ignore[no-untyped-def]
    """Two groups whose odds ratios are 0.5 and 1: the printed contrast lies between and is called a ratio."""
    folder = tmp_path / "models"
    folder.mkdir()
    rows = [
        f"T{i},{0.5 if i % 2 else 1.0},{0.4 if i % 2 else 0.8},{0.625 if i % 2 else 1.25},{'ab'[i % 2]}"
        for i in range(12)
    ]
    write(tmp_path, "study,estimate,ci_low,ci_high,kind\n" + "\n".join(rows) + "\n")
    (folder / "p.toml").write_text(
        'schema = 2\ntitle = "t"\n[data]\npath = "../trials.csv"\n[outcome.x]\nlabel = "X"\nmeasure = "OR"\n'
        'better = "lower"\nmoderators = ["kind"]\npriors.mu = "normal(0, 2)"\npriors.tau = "halfnormal(0.5)"\n',
        encoding="utf-8",
    )
    code, out, _ = cli("fit", folder / "p.toml")
    assert code == 0
    line = next(line for line in out.splitlines() if line.startswith("kind: b - a"))
    assert 0.45 < float(line.split()[5]) < 0.7
    assert "ratio of effects" in out


def test_a_missing_column_does_not_hide_the_faults_of_cells(cli, tmp_path):  # type: ignore[no-untyped-def]
    header = "studyx,n_t,mean_t,sd_t,n_c,mean_c,sd_c\n"
    path = write(tmp_path, header + "A,30,12,-4,30,10,4\nB,1,8,4,30,10,4\nC,30,8,4,30,10,abc\n")
    code, out, err = cli("pool", path, "--measure", "SMD", "--better", "lower")
    assert (code, out) == (3, "")
    lines = err.splitlines()
    assert any("there is no column 'study'" in line for line in lines)
    for where in ("row 2, column sd_t", "row 3, column n_t", "row 4, column sd_c"):
        assert any(where in line for line in lines), where
