"""The study data that ship with the project: unchanged, and every column explained.

Authority: the provenance file beside each table, whose hashes, row counts and trial counts are those of the files as
they were received (`sha256sum`, `wc -l`).
"""

import csv
import hashlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"
# name: SHA-256, rows, trials
RECEIVED = {
    "cancer_exercise_trials": ("1bce16f2e827e54f5eecfb4ca81cad0aac7f13b82aceb52d9ac47d5ba5f2a38c", 152, 44),
    "exercise_depression_10_trials": ("5f8410d3a50935a2ac732469e81696745457692bf9c75dd254af4beff9343a16", 10, 10),
    "hiit_trials": ("c0cf0996c838c174176f9b01d02725e9b1e12994cb73239b66fc85a4f0a539b9", 391, 56),
}
STANDINGS = {"read", "inferred", "computed", "doubtful"}


def table(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def provenance(name: str) -> dict:
    return tomllib.loads((DATA / f"{name}.provenance.toml").read_text(encoding="utf-8"))


def test_every_table_has_a_provenance_file_and_is_listed_here():
    assert {path.stem for path in DATA.glob("*.csv")} == set(RECEIVED)
    assert {path.name.removesuffix(".provenance.toml") for path in DATA.glob("*.provenance.toml")} == set(RECEIVED)


@pytest.mark.parametrize("name", RECEIVED)
def test_bytes_rows_and_trials_are_as_received(name):
    sha256, rows, trials = RECEIVED[name]
    told = provenance(name)
    assert hashlib.sha256((DATA / f"{name}.csv").read_bytes()).hexdigest() == sha256 == told["sha256"]
    assert len(table(name)) == rows == told["rows"]
    assert len({row["study"] for row in table(name)}) == trials == told["trials"]
    assert told["file"] == f"{name}.csv"


@pytest.mark.parametrize("name", RECEIVED)
def test_every_column_is_explained_and_none_invented(name):
    told = provenance(name)["column"]
    assert list(told) == list(table(name)[0])
    for column, entry in told.items():
        assert entry["meaning"], column
        assert "unit" in entry, column
        assert entry["standing"] in STANDINGS, column
        assert entry["standing"] != "doubtful" or entry["note"], column


@pytest.mark.parametrize("name", RECEIVED)
def test_sources_have_dois_and_the_standing_is_said(name):
    told = provenance(name)
    assert all(source["doi"].startswith("10.") for source in told["source"])
    assert "acts from published trials; cite each review" in told["standing"]
    assert told["licence"]
    assert told["trap"]


def test_rows_of_the_cancer_table_add_up_by_review():
    told = {source["doi"]: source["rows"] for source in provenance("cancer_exercise_trials")["source"]}
    found: dict[str, int] = {}
    for row in table("cancer_exercise_trials"):
        found[row["review_doi"]] = found.get(row["review_doi"], 0) + 1
    assert found == told


def test_timing_is_declared_inferred():
    assert provenance("cancer_exercise_trials")["column"]["timing"]["standing"] == "inferred"


def test_known_traps_of_the_cancer_table_are_still_there():
    rows = table("cancer_exercise_trials")
    segal = {r["mean_c"] for r in rows if r["study"].startswith("Segal 2009") and r["outcome"] == "qol"
             and r["comparator"] == "no exercise"}  # fmt: skip
    assert segal == {"-89.8", "-89.9"}
    start = {r["exercise"]: r["coded_better"] for r in rows if r["study"].startswith("START")
             and (r["outcome"], r["horizon"], r["comparator"]) == ("fatigue", "long", "no exercise")}  # fmt: skip
    assert start == {"aerobic": "lower", "resistance": "higher"}
    assert {r["study"] for r in rows if not r["coded_better"]} == {"Pelzer 2023"}
    cramer = [r for r in rows if r["study"] == "Cramer 2016"]
    for outcome in ("fatigue", "qol", "depression", "anxiety"):
        numbers = [{abs(float(r[c])) for c in ("mean_t", "mean_c")} for r in cramer if r["outcome"] == outcome]
        assert len(numbers) == 2, outcome
        assert numbers[0] == numbers[1], outcome


def test_files_are_marked_so_that_line_ends_do_not_change():
    assert "data/** -text" in (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
