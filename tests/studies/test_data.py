"""The study data that ship with the project: unchanged, and every column explained.

Authority: the provenance file beside each table, whose hashes, row counts and trial counts are those of the files as
they were received (`sha256sum`, `wc -l`). The neuropathy table is computed, and is held against closed forms of the
printed numbers.
"""

import csv
import hashlib
import importlib.util
import math
import tomllib
from pathlib import Path

import pytest
from scipy import special

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"
# name: SHA-256, rows, trials
RECEIVED = {
    "cipn_characteristics": ("7a4defe9f153a2e5dd759cd2a359e08fe8ab72c2fd3cdac76a164d513c622d1c", 5, 5),
    "cipn_extracted": ("7a1b227f4355b6cf41e8aaf2676e9f380a61e02becb9165758b7454dadf2b4ff", 18, 14),
    "cipn_effects": ("17197e8ccfdbf50c69e2ef8c315ff05fcb7e3111a97f7479e5961c8e66b22797", 5, 5),
    "cancer_exercise_trials": ("1bce16f2e827e54f5eecfb4ca81cad0aac7f13b82aceb52d9ac47d5ba5f2a38c", 152, 44),
    "cancer_exercise_instruments": ("da5c5d87b1cf584b27397eb3bfa9638d863394ac62dc061ed1fd8e6c0e332817", 25, 17),
    "exercise_depression_10_trials": ("5f8410d3a50935a2ac732469e81696745457692bf9c75dd254af4beff9343a16", 10, 10),
    "hiit_trials": ("c0cf0996c838c174176f9b01d02725e9b1e12994cb73239b66fc85a4f0a539b9", 391, 56),
    "metastatic_trials": ("c80a6fcae63131e48de9b4d721abc8ca4df42a31ad4f7edef253e3e43e6c9031", 3, 1),
    # printed results of reviews, for audits; the last number counts reviews where a row is a result
    "cipn_published": ("6917d6ce285391df2f6ccb9aa520cf7c601e9ea3bddc8d82e8bc2e3578356e22", 19, 1),
    "cipn_trials": ("18e29d8beaf43b43a9c65bdd9d2c03e9fd8ace9c1607e0b3ccbe72837cf9a8c2", 15, 15),
    "published_other": ("2378c8c48c36da5d99d0e1e1f491d34864cc3815bd97540d688e40fde20be6d5", 27, 12),
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
    key = "study" if "study" in table(name)[0] else "review"
    assert len({row[key] for row in table(name)}) == trials == told["trials" if key == "study" else "reviews"]
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
    segal = {
        r["mean_c"]
        for r in rows
        if r["study"].startswith("Segal 2009") and r["outcome"] == "qol" and r["comparator"] == "no exercise"
    }
    assert segal == {"-89.8", "-89.9"}
    start = {
        r["exercise"]: r["coded_better"]
        for r in rows
        if r["study"].startswith("START")
        and (r["outcome"], r["horizon"], r["comparator"]) == ("fatigue", "long", "no exercise")
    }
    assert start == {"aerobic": "lower", "resistance": "higher"}
    assert {r["study"] for r in rows if not r["coded_better"]} == {"Pelzer 2023"}
    cramer = [r for r in rows if r["study"] == "Cramer 2016"]
    for outcome in ("fatigue", "qol", "depression", "anxiety"):
        numbers = [{abs(float(r[c])) for c in ("mean_t", "mean_c")} for r in cramer if r["outcome"] == outcome]
        assert len(numbers) == 2, outcome
        assert numbers[0] == numbers[1], outcome


def test_the_neuropathy_table_is_built_from_what_was_extracted():
    spec = importlib.util.spec_from_file_location("build_cipn", ROOT / "tools" / "build_cipn.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.table().encode() == (DATA / "cipn_effects.csv").read_bytes()


def test_the_neuropathy_effects_are_the_closed_forms():
    # g = J t sqrt(1/n_t + 1/n_c), written out from the printed numbers; six decimals are stored
    def hedges(t: float, n_t: int, n_c: int) -> float:
        m = n_t + n_c - 2
        j = math.exp(math.lgamma(m / 2) - math.lgamma((m - 1) / 2)) / math.sqrt(m / 2)
        return j * t * math.sqrt(1 / n_t + 1 / n_c)

    z = float(special.ndtri(0.975))
    expected = {
        "Bao 2020": hedges(2 * z * (4.25 - 1.36) / math.hypot(6.20 - 2.29, 3.19 + 0.47), 21, 20),
        "Kleckner 2018": hedges(float(special.ndtri(0.076 / 2)), 170, 185),
        "Cao 2023 (WALC)": hedges(-1.6 * 2 * z / (3.1 - 0.2), 69, 65),
        "MI-Walk 2021": hedges(-float(special.ndtri(0.17 / 2)), 29, 28),
        "Bland 2019": hedges(math.log((1 / 10) / (7 / 7)) * math.sqrt(3) / math.pi, 11, 14)
        / math.sqrt(1 / 11 + 1 / 14),
    }
    rows = {row["study"]: row for row in table("cipn_effects")}
    assert set(rows) == set(expected)
    for study, g in expected.items():
        assert abs(float(rows[study]["g"]) - g) < 1e-6, study
        n_t, n_c = int(rows[study]["n_t"]), int(rows[study]["n_c"])
        variance = 1 / n_t + 1 / n_c + g * g / (2 * (n_t + n_c))
        if study == "Bland 2019":
            variance = (1 + 1 / 10 + 1 / 7 + 1 / 7) * (g / math.log(1 / 10)) ** 2
        assert abs(float(rows[study]["g_se"]) - math.sqrt(variance)) < 1e-6, study


def test_a_duration_is_stored_only_where_its_unit_is_established():
    units = {row["study"]: row["duration_unit"] for row in table("cipn_characteristics")}
    durations = {row["study"]: row["duration"] for row in table("cipn_effects")}
    assert {study for study, unit in units.items() if unit} == {study for study, text in durations.items() if text}
    assert float(durations["Cao 2023 (WALC)"]) == pytest.approx(1.7 * 12)
    # Luo 2018, eq. 7: w (low + high)/2 + (1 - w) median, w = 4/(4 + n^0.75)
    means = []
    for median, low, high, n in ((3.1, 0.5, 10.4, 21), (3.7, 0.9, 15.3, 20)):
        w = 4 / (4 + n**0.75)
        means.append(w * (low + high) / 2 + (1 - w) * median)
    assert float(durations["Bao 2020"]) == pytest.approx(12 * (21 * means[0] + 20 * means[1]) / 41, abs=1e-6)


def test_every_extracted_result_is_used_or_left_out_with_a_reason():
    rows = table("cipn_extracted")
    assert all(row["reason"] for row in rows)
    used = [row["study"] for row in rows if row["use"] == "yes"]
    assert len(used) == len(set(used))
    assert used == [row["study"] for row in table("cipn_effects")]


def test_files_are_marked_so_that_line_ends_do_not_change():
    assert "data/** -text" in (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
