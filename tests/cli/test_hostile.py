"""Hostile files, options, streams and signals: an answer or one clear line, and nothing left behind.

Authority: what the operating system says of the process: its exit code, what it wrote, which files are there.
"""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.boundary import file_bytes, printable, replaced, staged
from bayesmeta.columns import csv_text
from bayesmeta.report.word import _document, _saved, _write
from bayesmeta.studies import read_table
from bayesmeta_cli.main import main

GOOD = "study,estimate,se\nA,0.1,0.2\nB,0.2,0.3\nC,0.15,0.1\n"
TOML = """schema = 2
title = "x"
[data]
path = "trials.csv"
[defaults]
measure = "SMD"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
[outcome.pain]
label = "Pain"
better = "lower"
"""
POOL = ("pool", "trials.csv", "--measure", "SMD")
CODES = {0, 2, 3, 4, 5, 130}


@pytest.fixture
def told(tmp_path, capsys, monkeypatch):
    """Run a command in a folder with files: exit code, stdout, stderr; the code is documented and nothing is a bug."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **files):
        for name, content in {"trials.csv": GOOD, "p.toml": TOML, **files}.items():
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        code = main([str(item) for item in arguments])
        out, err = capsys.readouterr()
        assert code in CODES, (arguments, files, err)
        assert "Traceback" not in err
        assert "this is a bug" not in err
        return code, out, err

    return run


# -- characters --------------------------------------------------------------------------------------------------------

CONTROLS = "\x00\x01\x07\x0b\x0c\x1b\x7f\x80\x85\x9b\ufdd0\ufffe\U0010ffff"
OVERRIDES = "\u202a\u202d\u202e\u2066\u2069"


@pytest.mark.parametrize("character", CONTROLS, ids=ascii)
def test_controls_are_one_fault_at_the_door(told, character):
    code, _, err = told(*POOL, **{"trials.csv": GOOD.replace("A,", f"A{character},")})
    assert (code, err.count("\n")) == (3, 1)
    number = ord(character)
    escaped = f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
    code, _, err = told("check", "p.toml", **{"p.toml": TOML.replace('"Pain"', f'"Pain{escaped} {escaped}"')})
    assert (code, err.count("error: "), err.count("\n")) == (3, 1, 2)
    assert f"p.toml key outcome.pain.label: {escaped} is a control character" in err


@pytest.mark.parametrize("character", OVERRIDES, ids=ascii)
def test_overrides_of_direction_warn_and_are_escaped(told, character):
    code, out, err = told(*POOL, **{"trials.csv": GOOD.replace("A,", f"A{character},")})
    assert (code, err.count("turns the order")) == (0, 1)
    assert character not in out + err
    assert printable(character) in out
    code, out, err = told("check", "p.toml", **{"p.toml": TOML.replace('"Pain"', f'"Pain{character}"')})
    assert (code, err.count("turns the order")) == (0, 1)
    assert character not in out + err


def test_a_word_file_stays_well_formed():
    from docx import Document

    document = _document("Summary", "a title")
    _write(document.add_paragraph(), "Pain\x00\x1b\ufffe\u202e", 8)
    assert Document(io.BytesIO(_saved(document))).paragraphs[-1].text == r"Pain\u0000\u001b\ufffe\u202e"


@pytest.mark.parametrize("cell", ["=1+1", "+1+1", "-1+A1", "@SUM(A1)", "\t=1", "\r=1", "-x"], ids=ascii)
def test_cells_like_formulas_are_guarded_and_numbers_are_not(cell):
    text = csv_text(pd.DataFrame({"study": [cell, "A"], "y": [-0.5, 1.0], cell: ["-0.5", "−1 (−2 to 3)"]}))
    read = pd.read_csv(io.StringIO(text, newline=""), dtype={f"'{cell}": "str"})
    assert read["y"].tolist() == [-0.5, 1.0]
    assert read["study"].tolist() == [f"'{cell}", "A"]
    assert read.columns.tolist() == ["study", "y", f"'{cell}"]
    assert read.iloc[:, 2].tolist() == ["-0.5", "−1 (−2 to 3)"]


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ["sep=,", "sep=", "sep=\n", 'sep="\n' + GOOD, "sep=a\n" + GOOD, "sep= \n" + GOOD, "sep=,\n"], ids=ascii
)
def test_a_line_that_states_the_delimiter_alone_or_wrongly(told, content):
    code, _, err = told(*POOL, **{"trials.csv": content})
    assert (code, err.count("\n")) == (3, 1)


def test_a_stated_delimiter_is_used(told):
    assert told(*POOL, **{"trials.csv": "sep=;\n" + GOOD.replace(",", ";")})[0] == 0


@pytest.mark.parametrize(
    "text",
    [
        TOML.replace("trials.csv", "trials\\u0000.csv"),
        *(
            TOML.replace("[defaults]", f'encoding = "{name}"\n[defaults]')
            for name in ("foo", "undefined", "zlib_codec", "a\\u0000")
        ),
        "a = " + "[" * 500 + "]" * 500,
        "a = " + "{a = " * 500 + "1" + "}" * 500,
        "schema = " + "1" * 10_000,
    ],
    ids=range(8),
)
def test_protocols_that_no_reader_expects(told, text):
    code, _, err = told("check", "p.toml", **{"p.toml": text})
    assert (code, err.count("error: "), err.count("\n")) == (3, 1, 2), err


@pytest.mark.parametrize(("command", "name"), [("pool", "x.csv"), ("check", "x.toml"), ("benefit", "x.nc")])
def test_a_pipe_is_refused_and_not_waited_for(told, tmp_path, command, name):
    os.mkfifo(tmp_path / name)
    code, _, err = told(command, name)
    assert (code, err.count("\n")) == (3, 1)
    for read in (file_bytes, read_table, bm.read_protocol, bm.load):
        with pytest.raises((bm.DataError, bm.ProtocolError)):
            read(tmp_path / name)


def test_more_columns_than_a_spreadsheet_has(told):
    wide = "study,estimate,se," + ",".join(f"c{i}" for i in range(100_000)) + "\nA,1,1" + ",1" * 100_000 + "\n"
    code, _, err = told(*POOL, **{"trials.csv": wide})
    assert (code, err.count("\n")) == (3, 1)
    assert "100,003 columns; spreadsheets hold 16,384" in err


@pytest.mark.parametrize("value", ["1e305", "1e200", "-1e307"])
def test_published_numbers_beyond_all_measure(told, value):
    row = f"outcome,measure,estimate,ci_low,ci_high,k,i2\npain,SMD,{value},-1e308,1e308,5,50\n"
    code, _, err = told("reanalyse", "trials.csv", **{"trials.csv": row})
    assert (code in (3, 4), err.count("\n")) == (True, 1)
    assert "too large to compute with" in err


@pytest.mark.parametrize("se", ["1e-300", "1e-9", "1e160", "1e300"])
def test_standard_errors_of_every_size(told, se):
    code, _, err = told(*POOL, **{"trials.csv": f"study,estimate,se\nA,0.1,{se}\nB,0.2,{se}\nC,0.15,{se}\n"})
    assert err.count("\n") == (1 if code else 0)


@pytest.mark.parametrize("arguments", [("fit", "p.toml", "-o", ""), ("forest", "p.toml", "-o", ""), ("pool", "")])
def test_an_empty_argument_is_a_mistake(told, tmp_path, arguments):
    code, _, err = told(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.toml", "trials.csv"]


# -- streams and signals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "code"), [("1>&-", 2), ("2>&-", 0), ("1>&- 2>&-", 2), ("1>/dev/full", 2), ("2>/dev/full", 0)]
)
def test_closed_and_full_streams(tmp_path, closed, code):
    (tmp_path / "trials.csv").write_text(GOOD)
    line = f'"{sys.executable}" -m bayesmeta_cli.main {" ".join(POOL)} {closed}'
    found = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == code, found.stderr
    assert found.stderr.count("\n") == (1 if code and "2>" not in closed else 0)


WAITS = """
import sys, time
from pathlib import Path
from bayesmeta.boundary import staged
from bayesmeta_cli import commands, main
def check(**_):
    with staged(Path("out")) as place:
        (place / "half").write_text("half")
        print("begun", flush=True)
        time.sleep(60)
commands.check = check
sys.argv = ["bayesmeta", "check", "p.toml"]
main.run()
"""


def _heeded() -> None:
    """A suite that runs in the background ignores signals, and so would what it starts."""
    for name in (signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def begun(folder: Path) -> subprocess.Popen[str]:
    """A command that is writing."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], cwd=folder, stdout=pipe, stderr=pipe, text=True, preexec_fn=_heeded
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_with_one_line_and_leaves_nothing(tmp_path, name):
    process = begun(tmp_path)
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "error: stopped\n")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_swept_and_what_is_at_work_is_not(tmp_path):
    killed, works = begun(tmp_path), begun(tmp_path)
    killed.kill()
    killed.communicate(timeout=60)
    assert len(list((tmp_path / "out").glob(".bayesmeta-*"))) == 2
    with staged(tmp_path / "out") as place:
        (place / "whole").write_text("whole")
    assert len(list((tmp_path / "out").glob(".bayesmeta-*"))) == 1
    works.send_signal(signal.SIGTERM)
    works.communicate(timeout=60)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_folders_of_earlier_versions_are_swept_when_they_are_old(tmp_path):
    old, new = tmp_path / ".bayesmeta-old", tmp_path / ".bayesmeta-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (time.time() - 7200,) * 2)
    with replaced(tmp_path / "file") as place:
        place.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bayesmeta-new", "file"]
    with pytest.raises(IsADirectoryError), replaced(new):
        pass
    with pytest.raises(FileNotFoundError), replaced(tmp_path / "no" / "file"):
        pass


# -- fuzzing: one property ---------------------------------------------------------------------------------------------

PIECES = (
    *(b",", b";", b'"', b"'", b"\n", b"\r", b"NA", b"-", b"[", b"]", b"{", b"=", b"#", b"0", b"nan", b"true", b"1e400"),
    *(b"\xff\xfe", b"\x00", b"\xe2\x80\xae", b"\x85", b"1e305", b"1" * 5000, b"sep=,\n", b"\\u0000"),
)
OPTIONS = (
    *("--measure", "SMD", "OR", "--json", "--csv", "--column", "a=b", "=", "--engine", "-o", "--outcome", "pain"),
    *("--threshold", "1e999", "nan", "--rows", "-1", "--section", "x", "--better", "lower", "\u202e", "\x01", "--help"),
)


def damaged(content: bytes, rng: random.Random) -> bytes:
    edited = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(edited) + 1)
        edited[at : at + rng.choice((0, 0, 1, 5, 40))] = rng.choice(PIECES)
    return bytes(edited)


def fuzz(told, rounds: int, seed: int) -> None:
    """The property is asserted in `told`."""
    rng = random.Random(seed)
    told("fit", "p.toml", "-o", "out")
    fit = Path("out/pain.nc").read_bytes()
    for _ in range(rounds):
        told("check", "trials.csv", "--measure", "SMD", **{"trials.csv": damaged(GOOD.encode(), rng)})
        told("check", "p.toml", **{"p.toml": damaged(TOML.encode(), rng)})
        told("benefit", "fit.nc", **{"fit.nc": damaged(fit, rng)})
        command = rng.choice(("check", "benefit", "forensics", "cite"))
        told(command, *rng.choices(("p.toml", "trials.csv", "fit.nc", *OPTIONS), k=rng.randint(0, 4)))


def test_fuzzing_short(told):
    fuzz(told, 15, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_fuzzing_long(told, seed):
    fuzz(told, 150, seed=100 + seed)
