"""Answers to `init` in words: names that hold separators, names that differ in little, and what is taken unasked.

Authority: the names that each small table was written with.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bayesmeta as bm
from bayesmeta.setup import checked_answer, look_at, next_question

ODD = ["Fatigue, general", "Fatigue; mental", "Sleep = rest"]


def quoted(cells):
    return ",".join(f'"{cell}"' for cell in cells)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Write a table, given by its header and rows, into an empty folder, which becomes the current one."""
    monkeypatch.chdir(tmp_path)

    def write(head, *rows):
        Path("trials.csv").write_text("\n".join(map(quoted, (head, *rows))) + "\n", encoding="utf-8")
        return Path("trials.csv")

    return write


HEAD = ["Study", "Outcome", "N exp", "Mean exp", "SD exp", "N con", "Mean con", "SD con"]


def rows_of(outcomes, *more):
    return [
        [f"S{i}", name, 20 + i, 12, 4, 20, 10, 4, *(m[i % len(m)] for m in more)] for name in outcomes for i in (0, 1)
    ]


@pytest.mark.parametrize("separator", ["; ", ", ", ";", ","])
def test_names_with_separators_are_answered_as_they_are(table, separator):
    """Any of ``, ; =`` in the name of an outcome, between answers that are separated by either."""
    path = table(HEAD, *rows_of(ODD))
    ways = dict(zip(ODD, ("lower", "lower", "higher"), strict=True))
    text = separator.join(f"{name}={way}" for name, way in ways.items())
    made = bm.initialise(path, {"better": text, "measure": "SMD"})
    protocol = bm.read_protocol(made.protocol)
    assert {item.label: item.selection.better for item in protocol.outcomes.values()} == ways
    made = bm.initialise(path, {"better": "lower", "measure": "SMD", "outcome": separator.join(ODD[:2])}, force=True)
    assert [item.label for item in bm.read_protocol(made.protocol).outcomes.values()] == ODD[:2]


@pytest.mark.parametrize("separator", ["; ", ","])
def test_columns_and_moderators_with_separators(table, separator):
    head = ["Trial, name", "People; exp", *HEAD[3:5], "N, con", *HEAD[6:], "Dose, weekly", "Setting; place"]
    path = table(head, *([*row[:1], *row[2:]] for row in rows_of(["x"], (1, 2), ("home", "ward"))))
    named = separator.join(["study=Trial, name", "n_t=People; exp", "n_c=N, con"])
    answers = {"columns": named, "measure": "SMD", "better": "lower", "outcome": "Fatigue, up to 12 weeks; all"}
    made = bm.initialise(path, {**answers, "moderators": separator.join(["Dose, weekly", "Setting; place"])})
    stated = tomllib.loads(made.protocol.read_text(encoding="utf-8"))
    assert stated["data"]["columns"]["n_t"] == "People; exp"
    assert stated["data"]["columns"]["study"] == "Trial, name"
    assert stated["data"]["columns"]["dose_weekly"] == "Dose, weekly"
    assert stated["defaults"]["moderators"] == ["dose_weekly", "setting_place"]
    # the name of the only outcome is taken as it stands
    assert [item["label"] for item in stated["outcome"].values()] == ["Fatigue, up to 12 weeks; all"]


def test_one_name_with_a_comma_is_answered_at_the_prompt(table):
    """What is typed reaches the same reading as what an option states."""
    look, answers = look_at(table(HEAD, *rows_of([*ODD[:1], "Pain"]))), {"columns": "yes", "measure": "SMD"}
    question = next_question(look, answers)
    typed = "Fatigue, general=lower, pain=higher"
    assert checked_answer(look, question, typed, answers) == "Fatigue, general=lower; Pain=higher"
    with pytest.raises(bm.ModelError, match="there is no scale or outcome 'Fatigue'"):
        checked_answer(look, question, "Fatigue=lower, Pain=higher", answers)


def test_columns_that_differ_in_a_separator_or_in_case_are_two_moderators(table):
    names = ["Dose-1", "Dose 1", "Timing", "timing"]
    path = table([*HEAD, *names], *rows_of(["x"], (1, 2), (3, 4), ("home", "ward"), ("early", "late")))
    answers = {"measure": "SMD", "better": "lower", "moderators": "; ".join(names)}
    made = bm.initialise(path, answers)
    assert made.error is None
    protocol = bm.read_protocol(made.protocol)
    (outcome,) = protocol.outcomes.values()
    found = [item.name for item in outcome.model.moderators]
    assert len(set(found)) == 4
    values = bm.read_effects(protocol, outcome.key).moderators
    assert [values[name].tolist() for name in found] == [[1, 2], [3, 4], ["home", "ward"], ["early", "late"]]


def test_yes_says_on_a_terminal_what_it_took(table):
    """The one question without a safe answer is asked; every other answer is printed, with what it agrees to."""
    rows = rows_of(["x"], (1, 2))
    rows[1][4] = ""
    table([*HEAD, "Dose"], *rows)
    master, slave = pty.openpty()
    try:
        os.write(master, b"lower\n")
        done = subprocess.run(
            [sys.executable, "-m", "bayesmeta_cli.main", "init", "trials.csv", "--yes"],
            stdin=slave,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Answer: ") == 1
    for shown in ("columns = yes", "measure = SMD", "moderators = none", "threshold = 0.5", "rows = proposed"):
        assert f"not asked: {shown}" in done.stderr
    for shown in ("n_t     = N exp", "row 3 (S1): the SD of one arm is not reported"):
        assert shown in done.stderr
    assert "not asked: better" not in done.stderr
