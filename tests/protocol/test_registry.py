"""The registry of minimal important differences: what ships, how it is found, and how a protocol reads it.

Authority for the numbers: those abstracts and tables that the entries name; the ones that the cancer protocol uses are
written here again from the sources.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import bayesmeta as bm
from bayesmeta.plan import COMPARED
from bayesmeta.protocol import read_protocol

ROOT = Path(__file__).parents[2]
HEAD = """schema = 2
title = "T"
[data]
path = "t.csv"
[outcome.a]
label = "A"
better = "lower"
measure = "SMD"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
"""


def unit_of(folder: Path, keys: str) -> bm.plan.NaturalUnit:
    (folder / "p.toml").write_text(HEAD + f"natural_unit = {{ {keys} }}\n", encoding="utf-8")
    found = read_protocol(folder / "p.toml").outcomes["a"].decision.natural_unit
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "points", "kind", "doi"),
    [
        # Cella 2002: "Fatigue Scale = 3.0; FACT-G total score = 4.0; FACT-An total score = 7.0"
        ("FACIT-Fatigue", 3.0, "anchor", "10.1016/S0885-3924(02)00529-8"),
        ("FACT-G", 4.0, "anchor", "10.1016/S0885-3924(02)00529-8"),
        ("FACT-An", 7.0, "anchor", "10.1016/S0885-3924(02)00529-8"),
        # Osoba 1998: "the mean change in scores was about 5 to 10"
        ("EORTC QLQ-C30 global health status", (5.0, 10.0), "anchor", "10.1200/JCO.1998.16.1.139"),
        # Puhan 2008: anxiety 1.41 and 1.57; depression 1.40 by effect size alone; total 1.68 and 1.60
        ("HADS-A", (1.41, 1.57), "anchor", "10.1186/1477-7525-6-46"),
        ("HADS-D", 1.4, "distribution", "10.1186/1477-7525-6-46"),
        ("HADS total", (1.6, 1.68), "anchor", "10.1186/1477-7525-6-46"),
        ("PHQ-9", 5.0, "distribution", "10.1097/00005650-200412000-00006"),
    ],
)
def test_entries_say_what_their_sources_say(name: str, points: object, kind: str, doi: str) -> None:
    found = bm.minimal_difference(name)
    assert (found.points, found.kind, found.doi) == (points, kind, doi)
    assert found.threshold.benefit == points
    assert found.verified in ("read", "abstract")


def test_every_entry_is_whole() -> None:
    table = bm.mid_registry()
    assert (table["low"] <= table["high"]).all()
    assert (table["low"] > 0).all()
    assert set(table["kind"]) <= {"anchor", "distribution", "convention", "panel"}
    assert set(table["compared"]) <= {"", *(key for key in COMPARED if key)}
    assert set(table["verified"]) <= {"read", "abstract", "secondary", "remembered"}
    for column in ("measures", "method", "population", "citation", "reference", "seen"):
        assert table[column].str.strip().ne("").all(), column
    assert table["doi"].map(lambda doi: doi == "" or re.fullmatch(r"10\.\d{4,}/\S+", doi) is not None).all()
    scaled = table.dropna(subset=["lowest"])
    assert (scaled["high"] < scaled["highest"] - scaled["lowest"]).all()
    assert not table.duplicated(["instrument", "citation"]).any()
    # what is not looked up is not called an anchor or a number of its own kind without the note that says so
    unread = table[table["verified"] == "remembered"]
    assert unread["seen"].str.contains("remembered").all()


def test_names_are_unique_whatever_their_case() -> None:
    text = (ROOT / "src/bayesmeta/plan/minimal_differences.toml").read_text(encoding="utf-8")
    names = [name.casefold() for item in tomllib.loads(text)["instrument"] for name in (item["name"], *item["aliases"])]
    assert len(names) == len(set(names))


def test_names_are_found_by_alias_case_and_citation() -> None:
    assert bm.minimal_difference(" facit-FATIGUE ").instrument == "FACIT-Fatigue"
    assert bm.minimal_difference("FACT-F subscale").instrument == "FACIT-Fatigue"
    assert bm.minimal_difference("fact-g, eton 2004").points == (5.0, 6.0)
    with pytest.raises(bm.ModelError, match="Did you mean HADS-D"):
        bm.minimal_difference("HADS-DD")


def test_sources_say_how_it_was_found_and_what_was_verified() -> None:
    source = bm.minimal_difference("HADS-D").source
    assert "doi:10.1186/1477-7525-6-46" in source
    assert "within people over time" in source
    assert "read in the abstract" in source
    assert "not looked up" in bm.minimal_difference("QLQ-C30 global, Cocks 2011").source
    assert "not stated whether" in bm.minimal_difference("Hand grip").source


def test_a_protocol_reads_the_registry_by_name(tmp_path: Path) -> None:
    unit = unit_of(tmp_path, 'name = "FACIT-Fatigue", sd = 10, sd_source = "x", mid = "facit-fatigue"')
    assert unit.mid == bm.minimal_difference("FACIT-Fatigue").threshold
    # the direction and the range come with the name
    assert (unit.better, unit.scale) == ("higher", (0.0, 52.0))
    own = unit_of(tmp_path, 'name = "our scale", sd = 10, sd_source = "x", scale = [1, 5]')
    assert (own.better, own.scale, own.mid) == (None, (1.0, 5.0), None)


def test_a_protocol_states_means_and_shares(tmp_path: Path) -> None:
    unit = unit_of(
        tmp_path,
        'name = "FACIT-Fatigue", sd = 10, sd_source = "x", control_mean = { points = { low = 30, high = 34 }, '
        'source = "control arms" }, control_share = { share = { dist = "beta", a = 20, b = 80 }, '
        'source = "20 of 100" }',
    )
    assert unit.control_mean is not None
    assert unit.control_share is not None
    assert (unit.control_mean.points, unit.control_mean.source) == ((30.0, 34.0), "control arms")
    assert unit.control_share.risk == bm.plan.BetaRisk(20, 80)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('name = "s", mid = "FACIT-Fatige"', "natural_unit.mid: there is no instrument 'FACIT-Fatige' in the registry"),
        ('name = "s", mid = "FACIT-Fatige"', "Did you mean FACIT-Fatigue?"),
        ('name = "HADS-D", mid = "HADS-A"', "the difference is of HADS-A, the unit is HADS-D"),
        (
            'name = "FACIT-Fatigue", better = "lower"',
            "natural_unit.better: lower scores of FACIT-Fatigue are not better",
        ),
        ('name = "s", scale = [5, 1]', "natural_unit.scale: [5, 1] is no lowest and highest score"),
        ('name = "HADS-D", control_mean = { points = 30, source = "x" }', "30 to 30 is not on the scale, 0 to 21"),
        ('name = "s", control_mean = { points = 30 }', "natural_unit.control_mean.source: the key is missing"),
        ('name = "s", control_share = { share = 1.5, source = "x" }', "is not between 0 and 1"),
    ],
)
def test_faults(tmp_path: Path, keys: str, words: str) -> None:
    with pytest.raises(bm.ProtocolError) as caught:
        unit_of(tmp_path, f'sd = 10, sd_source = "x", {keys}')
    assert words in str(caught.value)
