"""Study tables to effects: choosing rows, directions, effects, shared arms, moderators, and odd but readable files.

Authorities: closed forms written out here in plain Python (Hedges' g with the gamma-function J; Gleser and Olkin 2009
for arms in common); pooled figures made with R metafor from the rows of the cancer and the interval-exercise
table, as printed; Higgins and Thompson 2004 for the ten trials of depression.
"""

import csv
import dataclasses
import math
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesmeta.classical import pool
from bayesmeta.errors import BayesmetaWarning, DataError
from bayesmeta.plan import Exclusion, vary
from bayesmeta.protocol import read_protocol
from bayesmeta.studies import (
    choosing,
    effect_sizes,
    possible_measures,
    read_csv_effects,
    read_effects,
    read_outcome,
    read_table,
)

ROOT = Path(__file__).parents[2]
CANCER = ROOT / "models/cancer_exercise.toml"
# two roundings of the same closed form
CLOSED = 1e-12
# figures printed with four decimals
FOUR_DIGITS = 5e-5
THREE_DIGITS = 5e-4
TWO_DIGITS = 5e-3
# ten times the rows take nine times as long; work that grew with their square would take a hundred
TEN_TIMES_THE_ROWS = 25.0


def rows_of(**wanted: str) -> list[dict[str, str]]:
    with (ROOT / "data/cancer_exercise_trials.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if all(row[key] == value for key, value in wanted.items())]


def hedges(row: dict[str, str], sign: int = 1) -> tuple[float, float]:
    """Hedges' g with the exact J and its large-sample variance."""
    n_t, n_c = int(row["n_t"]), int(row["n_c"])
    df = n_t + n_c - 2
    sd = math.sqrt(((n_t - 1) * float(row["sd_t"]) ** 2 + (n_c - 1) * float(row["sd_c"]) ** 2) / df)
    j = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
    g = sign * j * (float(row["mean_t"]) - float(row["mean_c"])) / sd
    return g, 1 / n_t + 1 / n_c + g * g / (2 * (n_t + n_c))


# -- the cancer table --------------------------------------------------------------------------------------------------


def test_short_fatigue_effects_are_the_closed_form_row_by_row():
    effects = read_effects(CANCER, "fatigue_short")
    rows = rows_of(outcome="fatigue", horizon="short", comparator="no exercise")
    assert (effects.k, effects.n_trials, len(rows)) == (35, 32, 35)
    assert list(effects.study) == [row["study"] for row in rows]
    assert {row["coded_better"] for row in rows} == {"lower"}
    expected = np.array([hedges(row) for row in rows])
    assert np.allclose(effects.y, expected[:, 0], rtol=CLOSED, atol=0)
    assert np.allclose(effects.se**2, expected[:, 1], rtol=CLOSED, atol=0)
    assert (effects.measure, effects.better, effects.name) == ("SMD", "lower", "Fatigue, up to 12 weeks")


def test_short_fatigue_covariance_is_that_of_the_three_shared_controls():
    effects = read_effects(CANCER, "fatigue_short")
    rows = rows_of(outcome="fatigue", horizon="short", comparator="no exercise")
    S = effects.covariance()
    off = {(i, j) for i in range(35) for j in range(i) if S[i, j] != 0}
    assert {rows[i]["study"].split()[0] for i, _ in off} == {"START", "Piraux", "Segal"}
    assert len(off) == 3
    for i, j in off:
        (g1, _), (g2, _), n = hedges(rows[i]), hedges(rows[j]), int(rows[i]["n_c"])
        n1, n2 = int(rows[i]["n_t"]) + n, int(rows[j]["n_t"]) + n
        assert math.isclose(S[i, j], 1 / n + g1 * g2 * n / (2 * n1 * n2), rel_tol=CLOSED)
    assert "START (Courneya 2007) [aerobic]" in effects.label


def test_participants_of_a_shared_control_are_counted_once():
    rows = rows_of(outcome="fatigue", horizon="short", comparator="no exercise")
    arms = {(r["study"], r["exercise"]): int(r["n_t"]) for r in rows} | {
        (r["study"], "none"): int(r["n_c"]) for r in rows
    }
    assert read_effects(CANCER, "fatigue_short").participants == sum(arms.values())


@pytest.mark.parametrize(
    ("blocks", "rho", "estimate", "lower", "upper", "tau"),
    [
        (False, 0.5, -0.2785, -0.3976, -0.1593, 0.2737),
        (True, 0.0, -0.2770, -0.3969, -0.1572, 0.2699),
        (True, 0.5, -0.2777, -0.4000, -0.1553, 0.2719),
    ],
)
def test_short_fatigue_pooled_by_reml_agrees_with_r(blocks, rho, estimate, lower, upper, tau):
    effects = read_effects(CANCER, "fatigue_short")
    if not blocks:
        # each row its own cluster: rows on purpose taken as independent
        effects = dataclasses.replace(effects, blocks=(), cluster=effects.label)
    fit = pool(effects, method="REML", rho=rho)
    found = (fit.estimate, fit.lower, fit.upper, math.sqrt(fit.tau2))
    assert np.allclose(found, (estimate, lower, upper, tau), rtol=0, atol=FOUR_DIGITS)


def test_short_fatigue_without_its_two_outliers_has_no_heterogeneity():
    protocol = vary(read_protocol(CANCER), "without Hu 2020 and Cantarero-Villanueva 2013")
    reading = read_outcome(protocol, "fatigue_short")
    assert {record.study for record in reading.excluded} == {"Hu 2020", "Cantarero-Villanueva 2013"}
    assert reading.effects.k == 33
    assert pool(reading.effects, method="REML", rho=0.5).tau2 == 0.0


def test_revman_variance_is_that_of_the_source_reviews():
    # SE^2 = N/(n_t n_c) + g^2/(2 (N - 3.94)), J = 1 - 3/(4 N - 9)
    effects = read_effects(vary(read_protocol(CANCER), "variance of SMD as in RevMan"), "fatigue_short")
    effects = dataclasses.replace(effects, blocks=(), cluster=effects.label)
    fit = pool(effects, method="REML")
    assert np.allclose(
        (fit.estimate, fit.lower, fit.upper, math.sqrt(fit.tau2)),
        (-0.2781, -0.3970, -0.1592, 0.2725),
        rtol=0,
        atol=FOUR_DIGITS,
    )


def test_rows_coded_in_the_other_direction_are_turned_before_anything_is_computed():
    reading = read_outcome(CANCER, "fatigue_long")
    rows = rows_of(outcome="fatigue", horizon="long", comparator="no exercise")
    signs = [1 if row["coded_better"] == "lower" else -1 for row in rows]
    assert signs.count(-1) == 1
    expected = [hedges(row, sign)[0] for row, sign in zip(rows, signs, strict=True)]
    assert np.allclose(reading.effects.y, expected, rtol=CLOSED, atol=0)
    assert [record.study for record in reading.turned] == ["START (Courneya 2007)"]
    turned = reading.effects.label.index("START (Courneya 2007) [resistance]")
    derivation = reading.effects.ledger[turned]
    assert derivation.raw["mean_c"] == -41.5
    assert "multiplied by -1" in derivation.assumptions[0]
    # the control arm of both rows is the same once aligned, so its covariance is that of one arm
    assert len(reading.effects.blocks) == 1
    assert not [finding for finding in reading.findings if finding.rule.startswith("shared arm")]


def test_a_shared_control_with_two_printed_means_is_one_arm_and_is_told():
    reading = read_outcome(CANCER, "qol_short")
    assert {reading.effects.study[rows[0]].split()[0] for rows, _ in reading.effects.blocks} == {"START", "Segal"}
    told = [finding for finding in reading.findings if finding.rule == "shared arm with different numbers"]
    assert len(told) == 1
    assert "Segal 2009 / PREVeNT, arm 'no exercise', rows 15 and 79: mean is 89.8 and 89.9" in told[0].evidence


@pytest.mark.parametrize("key", read_protocol(CANCER).outcomes)
def test_every_cancer_outcome_reads_in_its_own_direction(key):
    name, horizon = key.split("_")
    rows = rows_of(outcome=name, horizon=horizon, comparator="no exercise")
    effects = read_effects(CANCER, key)
    better = "higher" if name == "qol" else "lower"
    expected = [hedges(row, 1 if row["coded_better"] == better else -1)[0] for row in rows]
    assert np.allclose(effects.y, expected, rtol=CLOSED, atol=0)
    assert all(np.linalg.eigvalsh(block).min() > 0 for _, block in effects.blocks)


def test_pelzer_is_excluded_with_its_reason_wherever_it_would_be_read():
    protocol = read_protocol(CANCER)
    where = {"outcome": "fatigue", "comparator": "resistance", "horizon": "short"}
    outcome = protocol.outcomes["fatigue_short"]
    outcome = dataclasses.replace(outcome, selection=dataclasses.replace(outcome.selection, where=where))
    reading = read_outcome(dataclasses.replace(protocol, outcomes={"x": outcome}), "x")
    assert [(record.study, record.row) for record in reading.excluded] == [("Pelzer 2023", 113)]
    assert "direction" in reading.excluded[0].reason
    bare = dataclasses.replace(protocol, data=dataclasses.replace(protocol.data, exclude=()))
    with pytest.raises(DataError) as caught:
        read_effects(bare, "fatigue_short")
    assert [fault.where for fault in caught.value.faults] == [
        f"cancer_exercise_trials.csv row {row}, column coded_better" for row in (113, 114)
    ]


# -- the other two tables ----------------------------------------------------------------------------------------------


def test_hiit_directions_come_from_the_file():
    protocol = read_protocol(ROOT / "models/hiit.toml")
    with pytest.warns(BayesmetaWarning, match=r"row 385 \(Wisløff 2007, 4\.37\)"):
        reading = read_outcome(protocol, "vo2max")
    assert (reading.effects.k, reading.effects.n_trials, reading.turned) == (48, 46, ())
    assert {reading.effects.study[rows[0]] for rows, _ in reading.effects.blocks} == {"Helgerud 2007", "Lunt 2014"}
    fit = pool(dataclasses.replace(reading.effects, blocks=(), cluster=reading.effects.label), method="REML")
    assert np.allclose((fit.estimate, fit.lower, fit.upper), (0.387, 0.244, 0.529), rtol=0, atol=THREE_DIGITS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesmetaWarning)
        assert all(not read_outcome(protocol, key).turned for key in protocol.outcomes)


def test_exercise_for_depression_is_as_published():
    effects = read_effects(ROOT / "models/exercise_depression.toml", "depression")
    fit = pool(effects, method="REML")
    assert np.allclose((fit.estimate, fit.lower, fit.upper), (-1.06, -1.54, -0.57), rtol=0, atol=TWO_DIGITS)
    assert effects.moderators["duration"].tolist() == [4, 6, 10, 8, 8, 8, 9, 10, 12, 12]
    assert effects.ledger[0].raw == {"estimate": -2.53, "se": 0.4}


# -- tables of one's own -----------------------------------------------------------------------------------------------


def arms(**columns: object) -> pd.DataFrame:
    base = {
        "study": ["A", "A"],
        "arm_t": ["x", "y"],
        "arm_c": ["c", "c"],
        "n_t": [30, 28],
        "mean_t": [10.0, 9.0],
        "sd_t": [4.0, 5.0],
        "n_c": [31, 31],
        "mean_c": [12.0, 12.0],
        "sd_c": [4.5, 4.5],
    }
    return pd.DataFrame({**base, **columns})


def test_direction_turns_effect_and_covariance_together():
    one = effect_sizes(arms(coded_better=["lower", "lower"]), "SMD", better="lower")
    turned = arms(coded_better=["lower", "higher"], mean_t=[10.0, -9.0], mean_c=[12.0, -12.0])
    two = effect_sizes(turned, "SMD", better="lower")
    assert np.array_equal(one.y, two.y)
    assert np.array_equal(one.covariance(), two.covariance())
    higher = effect_sizes(arms(coded_better=["lower", "lower"]), "SMD", better="higher")
    assert np.array_equal(higher.y, -one.y)
    assert np.array_equal(higher.covariance(), one.covariance())


def test_direction_turns_intervals_and_medians():
    table = pd.DataFrame(
        {
            "study": ["A", "B"],
            "coded_better": ["lower", "higher"],
            "estimate": [-1.0, 1.0],
            "ci_low": [-2.0, -0.5],
            "ci_high": [0.5, 2.0],
        }
    )
    effects = effect_sizes(table, "MD", better="lower")
    assert effects.y.tolist() == [-1.0, -1.0]
    assert effects.se[0] == effects.se[1]
    table = pd.DataFrame(
        {
            "study": ["A", "B"],
            "coded_better": ["lower", "higher"],
            "n_t": [40, 40],
            "n_c": [40, 40],
            "median_t": [5.0, -5.0],
            "q1_t": [3.0, -8.0],
            "q3_t": [8.0, -3.0],
            "median_c": [6.0, -6.0],
            "q1_c": [4.0, -9.0],
            "q3_c": [9.0, -4.0],
        }
    )
    effects = effect_sizes(table, "MD", better="lower")
    assert math.isclose(effects.y[0], effects.y[1], rel_tol=CLOSED)
    assert math.isclose(effects.se[0], effects.se[1], rel_tol=CLOSED)


def test_shared_treated_arm_and_arm_in_both_roles():
    md = effect_sizes(
        arms(arm_t=["x", "x"], arm_c=["c", "d"], sd_t=[4.0, 4.0], n_t=[30, 30], mean_t=[10.0, 10.0]),
        "MD",
        comparators="mixed",
    )
    assert math.isclose(md.covariance()[0, 1], 16 / 30, rel_tol=CLOSED)
    # y v c and c v d: the arm c is added in one difference and taken away in the other
    table = arms(
        arm_t=["x", "c"], arm_c=["c", "d"], n_t=[30, 31], sd_t=[4.0, 4.5], mean_t=[10.0, 12.0], mean_c=[12.0, 11.0]
    )
    covariance = effect_sizes(table, "MD", comparators="mixed").covariance()
    assert math.isclose(covariance[0, 1], -(4.5**2) / 31, rel_tol=CLOSED)


def test_counts_that_share_a_control():
    table = pd.DataFrame(
        {
            "study": ["A", "A"],
            "arm_t": ["x", "y"],
            "arm_c": ["c", "c"],
            "events_t": [3, 5],
            "n_t": [30, 28],
            "events_c": [8, 8],
            "n_c": [31, 31],
        }
    )
    assert math.isclose(effect_sizes(table, "OR").covariance()[0, 1], 1 / 8 + 1 / 23, rel_tol=CLOSED)
    assert math.isclose(effect_sizes(table, "RR").covariance()[0, 1], 1 / 8 - 1 / 31, rel_tol=CLOSED)


def test_arms_are_told_apart_by_outcome_and_horizon():
    with pytest.warns(BayesmetaWarning, match="several rows of one trial"):
        effects = effect_sizes(arms(horizon=["short", "long"]), "SMD")
    assert effects.blocks == ()


def test_rows_that_share_all_patients_get_the_working_correlation():
    effects = effect_sizes(arms(arm_t=["x", "x"], horizon=["short", "long"]), "SMD", working_correlation=0.6)
    assert math.isclose(effects.covariance()[0, 1], 0.6 * effects.se[0] * effects.se[1], rel_tol=CLOSED)
    bare = pd.DataFrame(
        {"study": ["A", "A", "B"], "time": [1, 2, 1], "estimate": [0.1, 0.2, 0.3], "se": [0.1, 0.2, 0.1]}
    )
    S = effect_sizes(bare, "generic", working_correlation=0.5).covariance()
    assert math.isclose(S[0, 1], 0.5 * 0.1 * 0.2, rel_tol=CLOSED)
    assert S[0, 2] == 0


def test_three_comparisons_of_three_arms_are_redundant():
    table = pd.DataFrame(
        {
            "study": ["A"] * 3,
            "arm_t": ["x", "y", "x"],
            "arm_c": ["c", "c", "y"],
            "n_t": [30] * 3,
            "mean_t": [1.0, 2.0, 1.0],
            "sd_t": [1.0] * 3,
            "n_c": [30] * 3,
            "mean_c": [0.0, 0.0, 2.0],
            "sd_c": [1.0] * 3,
        }
    )
    with pytest.raises(DataError, match=r"row 2 \(x v y\): it follows from row 0 \(x v c\), row 1 \(y v c\)"):
        effect_sizes(table, "MD", comparators="mixed")


def test_moderators_keep_their_kind():
    table = pd.DataFrame(
        {
            "study": list("ABC"),
            "estimate": [0.1, 0.2, 0.3],
            "se": [0.1] * 3,
            "weeks": [4, 8, 12],
            "type": ["a", "b", "a"],
        }
    )
    effects = effect_sizes(table, "generic", moderators=["weeks", "type"])
    assert effects.moderators["weeks"].dtype == float
    assert effects.moderators["type"].tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(("missing", "levels"), [("exclude", ["a", "b", None]), ("level", ["a", "b", "not reported"])])
def test_rows_without_a_moderator_stay(tmp_path, missing, levels):
    """With "exclude" the moderated analysis is made without them, not the pooled one (tests/analysis)."""
    (tmp_path / "t.csv").write_text("study,estimate,se,type\nA,0.1,0.1,a\nB,0.2,0.1,b\nC,0.3,0.1,\n", encoding="utf-8")
    path = tmp_path / "p.toml"
    path.write_text(
        f"""schema = 2
title = "T"
[data]
path = "t.csv"
[outcome.x]
label = "X"
measure = "SMD"
moderators = ["type"]
missing = "{missing}"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
""",
        encoding="utf-8",
    )
    reading = read_outcome(path, "x")
    assert reading.effects.k == 3
    assert reading.effects.moderators["type"].tolist() == levels
    assert reading.excluded == ()
    assert any(finding.rule == "data not pinned" for finding in reading.findings)


def test_a_changed_file_is_not_read(tmp_path):
    protocol = read_protocol(CANCER)
    changed = tmp_path / "cancer_exercise_trials.csv"
    changed.write_bytes(protocol.data.path.read_bytes().replace(b"-39.38", b"-39.39"))
    moved = dataclasses.replace(protocol, data=dataclasses.replace(protocol.data, path=changed))
    with pytest.raises(DataError, match="the protocol pins 1bce16"):
        read_effects(moved, "fatigue_short")


def test_an_assumption_fills_empty_cells_and_is_recorded(tmp_path):
    (tmp_path / "t.csv").write_text("study,estimate,se,coded_better\nA,-0.1,0.1,lower\nB,0.2,0.1,\n", encoding="utf-8")
    text = """schema = 2
title = "T"
[data]
path = "t.csv"
assume = [{ where = { study = "B" }, set = { coded_better = "higher" }, reason = "the manual says so" }]
[outcome.x]
label = "X"
measure = "SMD"
better = "lower"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
"""
    path = tmp_path / "p.toml"
    path.write_text(text, encoding="utf-8")
    reading = read_outcome(path, "x")
    assert reading.effects.y.tolist() == [-0.1, -0.2]
    assert [(r.row, r.reason) for r in reading.assumed] == [(3, "coded_better = 'higher' assumed: the manual says so")]
    assert [r.row for r in reading.turned] == [3]
    path.write_text(text.replace('study = "B"', 'study = "A"'), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"row 2, column coded_better: the cell holds 'lower'; an assumption fills empty"
    ):
        read_outcome(path, "x")


REMEMBERED = """schema = 2
title = "T"
[data]
path = "t.csv"
{assume}
[outcome.x]
label = "X"
measure = "SMD"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
"""


def test_a_file_that_changes_between_two_readings_is_read_anew(tmp_path):
    """Also where its size and its time stay as they were."""
    table, path = tmp_path / "t.csv", tmp_path / "p.toml"
    path.write_text(REMEMBERED.format(assume=""), encoding="utf-8")
    table.write_bytes(b"study,estimate,se\nA,0.1,0.1\nB,0.2,0.1\n")
    protocol, stamp = read_protocol(path), table.stat()
    assert read_outcome(protocol, "x").effects.y.tolist() == [0.1, 0.2]
    table.write_bytes(b"study,estimate,se\nA,0.1,0.1\nB,0.3,0.1\n")
    os.utime(table, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert read_outcome(protocol, "x").effects.y.tolist() == [0.1, 0.3]


def test_one_file_under_two_protocols_is_read_by_each(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"study,estimate,se,site\nA,0.1,0.1,1\nB,0.2,0.1,\n")
    path = tmp_path / "p.toml"
    for cell, kind in (("2", "2.0"), ("3", "3.0")):
        assume = f'assume = [{{ where = {{ study = "B" }}, set = {{ site = {cell} }}, reason = "told" }}]'
        path.write_text(REMEMBERED.format(assume=assume), encoding="utf-8")
        reading = read_outcome(path, "x")
        assert [str(value) for value in reading.table["site"]] == ["1.0", kind]
        assert [record.reason for record in reading.assumed] == [f"site = {cell} assumed: told"]


def test_what_is_asked_of_a_table_decides_its_rows_and_not_what_was_asked_before(tmp_path):
    """Each change of an outcome is read as if it were the first."""
    protocol = read_protocol(CANCER)
    outcome = protocol.outcomes["fatigue_short"]
    changes = {
        "where": {**outcome.selection.where, "horizon": "long"},
        "better": "higher",
        "measure": "MD",
        "exclude": (Exclusion({"study": "Dhillon 2017"}, "asked"),),
    }
    changed = [
        *(
            dataclasses.replace(outcome, selection=dataclasses.replace(outcome.selection, **{name: value}))
            for name, value in changes.items()
        ),
        dataclasses.replace(outcome, model=dataclasses.replace(outcome.model, moderators=())),
    ]

    def reading(asked):
        found = read_outcome(dataclasses.replace(protocol, outcomes={"x": asked}), "x")
        return found.rows, found.effects.y.tolist(), found.excluded, found.turned, sorted(found.effects.moderators)

    alone = []
    for asked in changed:
        choosing._chosen.cache_clear()
        alone.append(reading(asked))
    assert len({str(item) for item in [*alone, reading(outcome)]}) == len(alone) + 1
    for _ in range(2):
        assert [reading(asked) for asked in changed] == alone


def test_what_is_done_to_a_table_that_was_read_does_not_reach_the_next_reading(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(REMEMBERED.format(assume=""), encoding="utf-8")
    (tmp_path / "t.csv").write_bytes(b"study,estimate,se\nA,0.1,0.1\nB,0.2,0.1\n")
    for read in (lambda: read_table(tmp_path / "t.csv"), lambda: read_outcome(path, "x").table):
        table = read()
        before, attrs = table.copy(), dict(table.attrs)
        table.loc[2, "estimate"] = 9.0
        # past pandas' own copying
        table["se"].array[0] = 9.0
        table["study"].array[0] = "Z"
        table.attrs["sha256"] = "none"
        again = read()
        pd.testing.assert_frame_equal(again, before, check_exact=True)
        assert again.attrs == attrs


def test_names_of_columns_belong_to_the_table_that_was_read(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(REMEMBERED.format(assume='columns = { se = "error" }'), encoding="utf-8")
    (tmp_path / "t.csv").write_bytes(b"study,estimate,error\nA,0.1,0.1\nB,0.2,0.1\n")
    names = read_outcome(path, "x").table.attrs["columns"]
    names["se"] = "none"
    assert read_outcome(path, "x").table.attrs["columns"] == {"se": "error"}


def test_a_warning_about_a_file_is_given_every_time_it_is_read(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(REMEMBERED.format(assume=""), encoding="utf-8")
    (tmp_path / "t.csv").write_bytes("study,estimate,se\nMüller,0.1,0.1\nB,0.2,0.1\n".encode("cp1252"))
    protocol = read_protocol(path)
    for _ in range(3):
        with pytest.warns(BayesmetaWarning, match=r"t.csv is not UTF-8 \(line 2\); it was read as cp1252"):
            assert read_outcome(protocol, "x").effects.study == ("Müller", "B")


# -- files as people save them -----------------------------------------------------------------------------------------

PLAIN = "study,estimate,se\nCešeiko,-0.5,0.25\nBækkerud,0.125,0.2\n"
FORMS = {
    "plain": PLAIN.encode(),
    "byte-order mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.encode("utf-16"),
    "CRLF": PLAIN.replace("\n", "\r\n").encode(),
    "no last line end": PLAIN.rstrip().encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "bars": PLAIN.replace(",", "|").encode(),
    "semicolons": PLAIN.replace(",", ";").encode(),
    "decimal commas": PLAIN.replace(",", ";").replace(".", ",").encode(),
    "Excel's first line": b"sep=;\n" + PLAIN.replace(",", ";").encode(),
    "quoted": PLAIN.replace("-0.5", '"-0.5"').encode(),
    "empty rows": PLAIN.replace("\nB", "\n,,\n\nB").encode(),
    "empty last columns": PLAIN.replace("\n", ",,\n").encode(),
    "spaces": PLAIN.replace(",", " , ").encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_table_reads_the_same_however_it_was_saved(tmp_path, form):
    path = tmp_path / "t.csv"
    path.write_bytes(FORMS[form])
    table = read_table(path)
    assert table["study"].tolist() == ["Cešeiko", "Bækkerud"]
    assert table[["estimate", "se"]].to_numpy().tolist() == [[-0.5, 0.25], [0.125, 0.2]]
    assert list(table.columns) == ["study", "estimate", "se"]


def test_rows_are_numbered_as_a_spreadsheet_numbers_them(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'study,note\nA,"two\nlines"\n\nB,\n')
    assert read_table(path).index.tolist() == [2, 4]


def test_trial_names_stay_text_and_missing_cells_are_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("trial,weeks,site\n1,4,x\n02,NA,\n", encoding="utf-8")
    table = read_table(path, columns={"study": "trial"})
    assert table["study"].tolist() == ["1", "02"]
    assert np.isnan(table["weeks"].iloc[1])
    assert table["site"].isna().tolist() == [False, True]


def test_columns_say_which_measures_are_possible():
    assert possible_measures(arms()) == ("MD", "SMD", "SMDH", "ROM")
    assert possible_measures(pd.DataFrame(columns=["study", "r", "n"])) == ("ZCOR",)
    assert possible_measures(pd.DataFrame(columns=["study", "x"])) == ()


# -- legal, if unusual -------------------------------------------------------------------------------------------------


def test_one_study_and_two_studies_with_opposite_signs_are_legal():
    table = pd.DataFrame({"study": ["A", "B"], "estimate": [-0.5, 0.5], "se": [0.1, 0.1]})
    assert effect_sizes(table, "SMD").y.tolist() == [-0.5, 0.5]
    assert effect_sizes(table[:1], "SMD").k == 1


def test_a_million_fold_difference_of_scale_is_legal_for_mean_differences():
    small = arms(study=["A", "B"])
    large = small.assign(**{name: small[name] * 1e6 for name in ("mean_t", "sd_t", "mean_c", "sd_c")})
    both = pd.concat([small, large.assign(study=["C", "D"])], ignore_index=True)
    effects = effect_sizes(both, "MD")
    assert np.allclose(effects.y[2:], effects.y[:2] * 1e6, rtol=CLOSED, atol=0)
    # and a standardised difference does not see it
    effects = effect_sizes(both, "SMD")
    assert np.allclose(effects.y[2:], effects.y[:2], rtol=CLOSED, atol=0)


def test_a_standard_error_given_as_a_standard_deviation_is_noticed():
    table = arms(study=["A", "B"], sd_t=[4.0, 0.7], sd_c=[4.5, 0.7])
    with pytest.warns(BayesmetaWarning, match=r"row 1 \(B, -4\.\d\d\)\. Was a standard error given"):
        effect_sizes(table, "SMD")
    # a table that gives the SMD itself made it from no standard deviation
    given = pd.DataFrame({"study": ["A"], "estimate": [-2.5], "se": [0.4]})
    assert effect_sizes(given, "SMD").k == 1


def test_the_time_to_read_grows_with_the_rows_not_with_their_square(tmp_path):
    rng = np.random.default_rng(1)
    seconds = {}
    for k in (1_000, 10_000):
        table = pd.DataFrame(
            {
                "study": [f"S{i // 2}" for i in range(k)],
                "arm_t": ["x", "y"] * (k // 2),
                "arm_c": "c",
                "n_t": rng.integers(20, 90, k),
                "mean_t": rng.normal(0, 0.3, k),
                "sd_t": rng.uniform(1, 2, k),
                "n_c": 95,
                "mean_c": 0.0,
                "sd_c": 1.5,
                "weeks": rng.integers(1, 50, k),
            }
        )
        path = tmp_path / f"{k}.csv"
        table.to_csv(path, index=False)
        runs = []
        for _ in range(3):
            # of this thread alone: a busy machine makes it no longer
            start = time.thread_time()
            effects = read_csv_effects(path, "SMD", moderators=["weeks"])
            runs.append(time.thread_time() - start)
        seconds[k] = min(runs)
        assert (effects.k, len(effects.blocks)) == (k, k // 2)
    assert seconds[10_000] < TEN_TIMES_THE_ROWS * seconds[1_000]


def test_columns_are_found_without_regard_to_case(tmp_path):
    """A header is typed as people type it; one letter alone may mean anything, and stays what it is."""
    path = tmp_path / "trials.csv"
    path.write_text(
        "Study,SMD,SeSMD,T,Arm_T,ARM_C\n1,-0.5,0.2,9,walk,rest\n02,-0.3,0.1,8,yoga,rest\n", encoding="utf-8"
    )
    frame = read_table(path, columns={"estimate": "smd", "SE": "sesmd"})
    assert frame["study"].tolist() == ["1", "02"]
    assert frame["estimate"].tolist() == [-0.5, -0.3]
    # ours stand beside the file's, so that a filter may name either
    assert {"T", "arm_t", "Arm_T", "arm_c", "se", "Study"} <= set(frame.columns)
    assert "t" not in frame.columns
    effects = effect_sizes(frame, "smd")
    assert effects.y.tolist() == [-0.5, -0.3]
    assert effects.arms == (("walk", "rest"), ("yoga", "rest"))
    assert effect_sizes(frame, "SMD", where={"Arm_T": "yoga"}).study == ("02",)
    assert effect_sizes(frame, "SMD", where={"arm_t": "yoga"}).study == ("02",)
    # a column that has the name itself is not taken by one that is spelt alike
    twice = pd.DataFrame({"study": ["A"], "Study": ["B"], "estimate": [0.1], "se": [0.1]})
    assert effect_sizes(twice, "SMD").study == ("A",)
