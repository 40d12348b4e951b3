"""What is given today against what 0.1.0 gave (``reference/pinned_0_1_0``): fits, commands, a report.

Authority: our own earlier output, for this one purpose: that rearranging the building moves no number. That the numbers
are right is for the other tests to say.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
import pinned
from bayesmeta.exact import ExactPosterior
from pinned import COMMANDS, EXACT, PINS, QUESTIONS, READ, REFITS, REPORT, SAMPLED, differences, renamed

EXACT_FITS = [
    "clusters",
    "common_effect",
    "exchangeable",
    "interaction",
    "jeffreys",
    "log_student_t_tau",
    "moderated",
    "pooled",
    "protocol",
    "ratio",
    "rhodes",
    "shared_moderated",
    "shared_patients",
    "spline",
    "student_t_mu",
    "truncated_mu",
]
DRAWN_FITS = [
    "binomial",
    "clusters",
    "common_effect",
    "derived",
    "joint",
    "missing_levels",
    "missing_numeric",
    "missing_sd",
    "moderated",
    "monotone",
    "outliers",
    "pooled",
    "shared_patients",
    "student",
]
FITS = [*(f"exact_{name}" for name in EXACT_FITS), *(f"nuts_{name}" for name in DRAWN_FITS)]
#: The chance that any number of a sampling command misses by chance, if the pinned seeds are a fair sample.
CHANCE = 1e-6
#: Rules of findings that 0.1.0 did not have.
YOUNGER = ("columns not read",)


@cache
def loaded(name: str) -> bm.Fit:
    return bm.load(PINS / "fits" / f"{name}.nc")


def told(found: list[str]) -> str:
    return "\n".join([f"{len(found)} differences", *found[:20]])


# -- the pins are all there --------------------------------------------------------------------------------------------


def test_no_pin_disappears() -> None:
    """Two did: a forest plot by level mixed two models in 0.1.0, and variations of a moderated analysis were compared
    with the pooled one (tests/plots, tests/cli/test_json.py)."""

    def names(folder: str, suffix: str) -> set[str]:
        return {path.name.removesuffix(suffix) for path in (PINS / folder).glob(f"*{suffix}")}

    assert names("fits", ".nc") == names("fits", ".json.gz") == set(FITS)
    assert names("commands", ".json.gz") == set(COMMANDS)
    assert names("sampled", ".json.gz") == set(SAMPLED)
    assert (len(FITS), len(COMMANDS), len(SAMPLED), len(QUESTIONS)) == (30, 32, 2, 33)
    assert len(names("report/tables", ".csv")) == 38


def test_every_command_is_pinned() -> None:
    from bayesmeta_cli.main import app

    every = {item.name or item.callback.__name__.replace("_", "-") for item in app.registered_commands}  # type: ignore[union-attr]
    run = {arguments[0] for arguments in (*COMMANDS.values(), *SAMPLED.values(), REPORT)}
    # cite prints text, others write files: none has numbers; three pictures and bias are younger than 0.1.0
    files = {"example", "export", "init", "template", "explain", "doctor"}
    assert every == run | {"cite"} | files | {"mu-tau", "new-study", "icons", "bias"}


@pytest.mark.parametrize("name", FITS)
def test_pins_are_of_0_1_0(name: str) -> None:
    import xarray as xr

    with xr.open_datatree(PINS / "fits" / f"{name}.nc", engine="h5netcdf") as tree:
        assert tree.attrs["schema_version"] == 1
        assert json.loads(tree.attrs["versions"])["bayesmeta"] == "0.1.0"


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FITS)
def test_a_fit_that_0_1_0_saved_answers_as_it_did(name: str) -> None:
    fit = loaded(name)
    was, found = pinned.read(f"fits/{name}.json.gz"), pinned.answers(name, fit)
    assert found.keys() == was.keys()
    # 0.1.0 gave 0 or 1 where no draw, or every draw, lay beyond; that is half a draw today, and twice that between two
    limit = 0.0 if fit.exact else 1.01 / bm.marginal(fit, "mu").values.size  # type: ignore[union-attr]
    differ = [
        f"{question}: {line}"
        for question, answer in was.items()
        for line in differences(answer, found[question], tolerance=pinned.LOOSE.get(question, READ), limit=limit)
    ]
    differ = pinned.meant(name, differ)
    assert not differ, told(differ)


@pytest.mark.parametrize("name", EXACT_FITS)
def test_the_exact_engine_gives_what_it_gave(name: str) -> None:
    old = loaded(f"exact_{name}")
    fit = bm.fit(
        old.effects,
        old.model,
        engine="exact",
        seed=old.seed,
        outcome=old.outcome,
        analysis=old.analysis,
        hashes=old.hashes,
    )
    questions = [key for key in QUESTIONS if key not in pinned.LONG and key not in pinned.OF_THE_TREE]
    was = pinned.read(f"fits/exact_{name}.json.gz")
    found = {key: pinned.asked(QUESTIONS[key], fit) for key in questions}
    differ = pinned.meant(f"exact_{name}", differences({key: was[key] for key in questions}, found))
    assert not differ, told(differ)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in REFITS)) for name in COMMANDS])
def test_a_command_prints_what_it_printed(name: str, tmp_path: Path) -> None:
    was, found = pinned.read(f"commands/{name}.json.gz"), pinned.run([*COMMANDS[name], "--json"], tmp_path)
    # as above, of the 200 draws of a file
    limit = 1.01 / 200 if name == "curve_drawn" else 0.0
    differ = differences(was, of_then(found), skip=REFITS.get(name, frozenset()), limit=limit)
    assert not differ, told(differ)


def test_a_report_holds_the_same_numbers(tmp_path: Path) -> None:
    pinned.run(REPORT, tmp_path)
    found = json.loads((tmp_path / "report" / "results.json").read_text("utf-8"))
    differ = differences(pinned.read("report/results.json.gz"), found)
    for path in sorted((PINS / "report" / "tables").iterdir()):
        now = tmp_path / "report" / "tables" / path.name
        section = path.name.split(".")[1]
        pair = ({section: table(path)}, {section: table(now)})
        differ += [f"{path.name}: {line}" for line in differences(*pair)]
    assert not differ, told(differ)


def of_then(found: Any) -> Any:
    """A record without findings of rules that are younger than 0.1.0."""
    if isinstance(found, dict):
        return {key: of_then(value) for key, value in found.items()}
    if isinstance(found, list):
        return [of_then(item) for item in found if not (isinstance(item, dict) and item.get("rule") in YOUNGER)]
    return found


def table(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV, numbers as numbers."""
    if not path.exists():
        return []

    def value(text: str) -> Any:
        return float(text) if re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", text) else text

    with path.open(encoding="utf-8", newline="") as file:
        return [{key: value(text) for key, text in row.items()} for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLED)
def test_a_sampling_command_differs_by_monte_carlo_error(name: str, tmp_path: Path) -> None:
    """Each number against its mean and SD over the pinned seeds: a t distribution, at one CHANCE for all of them."""
    pinned.migrated(tmp_path)
    for path in (tmp_path / "models").glob("*.toml"):
        path.write_text(re.sub(r"(?m)^seed = \d+", "seed = 1000", path.read_text("utf-8")), "utf-8")
    document = pinned.run([*SAMPLED[name], "--json"], tmp_path, models=tmp_path / "models")
    was = pinned.read(f"sampled/{name}.json.gz")
    today = dict(pinned.leaves(document))
    drawn = sum(sd is not None and sd > 0 for _, _, sd in was["leaves"])
    assert drawn >= 25
    limit = stats.t.isf(CHANCE / 2 / drawn, was["seeds"] - 1) * np.sqrt(1 + 1 / was["seeds"])
    differ = []
    for path, value, sd in was["leaves"]:
        way = renamed(tuple(path), pinned.KEYS)
        if way is None:
            continue
        name = ".".join(map(str, way))
        if way not in today:
            # a section that was not requested was null, and is left out today
            differ += [] if value is None and "sections" in way else [f"{name}: is gone"]
        elif sd is not None:
            if not abs(today[way] - value) <= limit * sd + EXACT * abs(value):
                differ.append(f"{name}: {today[way]!r}, was {value!r} with SD {sd!r}")
        elif not pinned.is_prose(way):
            same = pinned.worded(value, pinned.WORDS) if isinstance(value, str) else value
            if today[way] != same:
                differ.append(f"{name}: {today[way]!r}, was {value!r}")
    assert not differ, told(differ)


# -- the comparison itself ---------------------------------------------------------------------------------------------

OLD = {
    "p_majority": 0.7,
    "prior": "normal(0, 0.5)",
    "rows": [{"target": "theta_new", "n": 3, "note": "P is 12 % in 3 trials"}],
    "same": None,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"p_majority": 0.7 * (1 + EXACT / 2)}, None),
        ({"p_majority": 0.7 * (1 + EXACT * 2)}, "p_majority: 0.7"),
        ({"p_majority": None}, "p_majority: None"),
        ({"p_majority": True}, "p_majority: True"),
        ({"rows": []}, "rows.length: 0, was 1"),
        ({"rows": [{"target": "mean", "n": 3, "note": "12 3"}]}, "rows.0.target: 'mean'"),
        ({"rows": [{"target": "theta_new", "n": 3, "note": "words, 12 and 3"}]}, None),
        ({"rows": [{"target": "theta_new", "n": 3, "note": "words, 13 and 3"}]}, "rows.0.note"),
        ({"rows": [{"target": "theta_new", "note": "12 3"}]}, "rows.0.n: is gone"),
        ({"prior": "normal(0, 0.5000000000000001)"}, None),
        ({"prior": "normal(0, 0.51)"}, "prior: 'normal"),
        ({"prior": "cauchy(0, 0.5)"}, "prior: 'cauchy"),
        ({"same": 0.0}, "same: 0.0, was None"),
        ({"more": 1}, None),
    ],
)
def test_differences_are_found(change: dict[str, Any], message: str | None) -> None:
    found = differences(OLD, {**OLD, **change})
    assert (found == []) if message is None else found[0].startswith(message), found


def test_renamed_keys_and_words_are_no_differences() -> None:
    new = {
        "share": {"important": 0.7},
        "prior": "normal(0, 0.5)",
        "lines": [{"target": "new study", "n": 3, "note": "12 3"}],
    }
    keys = {"p_majority": "share.important", "rows": "lines", "same": None}
    assert differences(OLD, new, keys=keys, words={"theta_new": "new study"}) == []
    assert len(differences(OLD, new)) == 6


def test_a_changed_number_in_a_fit_is_found() -> None:
    """The mean at every node, moved by one part in a hundred million, is seen in the answers."""
    old = loaded("exact_pooled")
    moved = dataclasses.replace(old.quadrature, mean=old.quadrature.mean * (1 + 1e-8))
    changed = dataclasses.replace(old, posterior=ExactPosterior(old.effects, old.model, moved))
    was = pinned.read("fits/exact_pooled.json.gz")["summarize"]
    assert differences(was, pinned.asked(QUESTIONS["summarize"], changed))
