"""Arms that rows share: different comparators, redundant rows, divided control groups.

Authorities: closed forms written out here; metafor 3.8-1 for the divided control (opposite_roles_metafor.R); the
numbers of START's arms (Courneya 2007) as the cancer table holds them.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.classical import mantel_haenszel, pool
from bayesmeta.errors import BayesmetaWarning, DataError, ModelError
from bayesmeta.model import effect_correlations
from bayesmeta.studies import effect_sizes, read_outcome

ROOT = Path(__file__).parents[2]
REFERENCE = json.loads((ROOT / "tests/reference/opposite_roles_metafor.json").read_text(encoding="utf-8"))
# two solutions of one linear system
CLOSED = 1e-10
FIELDS = ("estimate", "lower", "upper")


def start(**changes: object) -> pd.DataFrame:
    """START's rows of short fatigue: two kinds of exercise against none, and against each other."""
    table = pd.read_csv(ROOT / "data/cancer_exercise_trials.csv", index_col=False)
    rows = table[
        (table["outcome"] == "fatigue") & (table["horizon"] == "short") & table["study"].str.startswith("START")
    ]
    return rows.rename(columns={"exercise": "arm_t", "comparator": "arm_c"}).reset_index(drop=True).assign(**changes)


def divided(**changes: object) -> pd.DataFrame:
    """One trial of two doses whose placebo group of 30 was divided."""
    return pd.DataFrame(
        {
            "study": ["T", "T"],
            "arm_t": ["low", "high"],
            "arm_c": ["placebo"] * 2,
            "n_t": [30, 31],
            "mean_t": [10.0, 11.0],
            "sd_t": [4.0, 4.1],
            "n_c": [15, 15],
            "mean_c": [13.0] * 2,
            "sd_c": [4.2] * 2,
            **changes,
        }
    )


# -- comparators -------------------------------------------------------------------------------------------------------


def test_rows_with_different_comparators_are_a_fault_with_both_remedies():
    with pytest.raises(DataError) as caught:
        effect_sizes(start(), "SMD", better="lower")
    unlike, redundant = str(caught.value).splitlines()
    assert "START (Courneya 2007), row 0 (aerobic v no exercise), row 1 (resistance v no exercise)" in unlike
    assert "comparisons with different controls" in unlike
    assert 'comparators = "mixed"' in unlike
    assert "row 2 (aerobic v resistance): it follows from row 0 (aerobic v no exercise), row 1" in redundant
    assert "a trial of 3 arms gives at most 2 independent comparisons" in redundant


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_redundant_row_is_the_head_to_head_one_in_any_order(order):
    table = start().iloc[order]
    with pytest.raises(DataError, match=r"row 2 \(aerobic v resistance\): it follows from row [01] .*, row [01] "):
        effect_sizes(table, "SMD", better="lower", comparators="mixed")


def test_mixed_comparators_keep_two_rows_with_opposite_signs():
    # resistance is treated in one row and control in the other: -1/n_r + g1 g2 n_r / (2 N1 N2)
    rows = start().iloc[[1, 2]]
    effects = effect_sizes(rows, "SMD", better="lower", comparators="mixed")
    n_r, N = 76, (rows["n_t"] + rows["n_c"]).to_numpy()
    expected = -1 / n_r + effects.y.prod() * n_r / (2 * N.prod())
    assert math.isclose(effects.covariance()[0, 1], expected, rel_tol=CLOSED)
    assert effect_correlations(effects, 0.5)[0][0, 1] == -0.5
    assert effects.participants == 74 + 76 + 73


def test_one_comparator_or_two_controls_without_a_common_arm_are_no_fault():
    assert effect_sizes(start().iloc[:2], "SMD", better="lower").k == 2
    # every row has an arm of its own on either side: nothing is shared, and nothing is warned of
    with warnings.catch_warnings():
        warnings.simplefilter("error", BayesmetaWarning)
        apart = effect_sizes(divided(arm_c=["control 1", "control 2"]), "MD")
    assert apart.blocks == ()
    assert apart.participants == 91


def test_four_rows_of_a_four_arm_loop_name_the_last():
    table = divided().iloc[[0, 0, 0, 0]].assign(arm_t=["a", "b", "c", "d"], arm_c=["b", "c", "d", "a"], n_c=[30] * 4)
    table.index = range(4)
    with pytest.raises(DataError, match=r"row 3 \(d v a\): it follows from .*4 arms gives at most 3"):
        effect_sizes(table, "MD", comparators="mixed")


def test_the_same_arms_by_two_instruments_are_not_redundant():
    table = divided().iloc[[0, 0]].assign(outcome="pain", instrument=["VAS", "NRS"])
    assert effect_sizes(table, "MD", working_correlation=0.5).k == 2


# -- divided control groups --------------------------------------------------------------------------------------------


def test_a_divided_control_gives_metafors_intervals_and_counts_every_part():
    with pytest.warns(BayesmetaWarning, match=r"the control arm 'placebo' has 15, 15 participants in 2 rows"):
        shared = effect_sizes(divided(), "MD", better="lower")
    split = effect_sizes(divided(), "MD", better="lower", control="split")
    for name, effects in (("shared", shared), ("split", split)):
        found, expected = pool(effects, method="EE"), REFERENCE["divided"][name]
        assert [getattr(found, field) for field in FIELDS] == pytest.approx([expected[f] for f in FIELDS], rel=CLOSED)
        exact = bm.summarize(bm.fit(effects, bm.Model(bm.Flat(), None))).loc["mu", ["median", "lower", "upper"]]
        assert exact.astype(float).to_numpy() == pytest.approx([expected[f] for f in FIELDS], rel=1e-7)
    assert (shared.participants, split.participants) == (76, 91)
    assert split.covariance()[0, 1] == 0
    assert effect_correlations(split, 0.5)[0][0, 1] == 0.5
    assert split.units[1].tolist() == [0, 0]
    assert split.subset([True, False]).participants == 45


def test_parts_of_a_control_measured_twice_count_once():
    table = pd.concat([divided(horizon="short"), divided(horizon="long")], ignore_index=True)
    effects = effect_sizes(table, "MD", control="split", working_correlation=0.6)
    assert effects.participants == 91
    S, se = effects.covariance(), effects.se
    # the same arms later share all their patients, another arm's rows none
    assert S[0, 2] == pytest.approx(0.6 * se[0] * se[2], rel=CLOSED)
    assert S[0, 1] == S[0, 3] == 0


def test_control_is_stated_by_trial():
    two = pd.concat([divided(), divided(study="U", n_c=30)], ignore_index=True)
    effects = effect_sizes(two, "MD", control={"T": "split"})
    assert effects.split.tolist() == [True, True, False, False]
    assert effects.covariance()[0, 1] == 0
    assert effects.covariance()[2, 3] == pytest.approx(4.2**2 / 30, rel=CLOSED)
    assert effects.participants == 91 + 91
    with pytest.raises(DataError, match=r"control: no row has study = 'X'"):
        effect_sizes(two, "MD", control={"X": "split"})
    with pytest.raises(ModelError, match="shared, split"):
        effect_sizes(two, "MD", control="halved")


@pytest.mark.parametrize(
    "table",
    [
        divided(n_c=[30, 30]),
        divided(n_c=[15, 22]),
        divided(n_c=[20, 20]),
        divided(n_c=[np.nan, np.nan], sd_c=[4.2, 4.2]).assign(estimate=[-1.0, -2.0], se=[1.0, 1.0]),
    ],
    ids=["a whole group", "unequal groups", "two to three", "no sizes"],
)
def test_nothing_is_asked_of_other_controls(table):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        effect_sizes(table, "MD")
    assert not [item for item in caught if "divided" in str(item.message)]


def test_a_statement_silences_the_question():
    for control in ("shared", "split", {"T": "shared"}):
        with warnings.catch_warnings():
            warnings.simplefilter("error", BayesmetaWarning)
            effect_sizes(divided(), "MD", control=control)


def test_many_trials_are_asked_about_at_once():
    table = pd.concat([divided(), divided(study="U")], ignore_index=True)
    with pytest.warns(BayesmetaWarning) as caught:
        effect_sizes(table, "MD")
    (text,) = [str(item.message) for item in caught]
    assert text.startswith("T, U: control arms are so small in several rows")


def test_three_parts_of_a_third_are_asked_about():
    table = pd.concat([divided(n_c=10), divided(n_c=10).iloc[[0]].assign(arm_t="middle")], ignore_index=True)
    with pytest.warns(BayesmetaWarning, match="10, 10, 10 participants in 3 rows"):
        effect_sizes(table, "MD")


PROTOCOL = """
schema = 2
title = "Doses"
[data]
path = "doses.csv"
[defaults]
measure = "MD"
better = "lower"
priors.mu = "flat()"
priors.tau = "halfnormal(2)"
[outcome.pain]
label = "Pain"
{key}
"""


def protocol(folder: Path, key: str) -> Path:
    more = divided(study="U", n_c=[30, 31])
    pd.concat([divided(), more.iloc[[0]]]).to_csv(folder / "doses.csv", index=False)
    path = folder / "doses.toml"
    path.write_text(PROTOCOL.replace("{key}", key), encoding="utf-8")
    return path


def test_the_protocol_states_both_keys(tmp_path):
    with pytest.warns(BayesmetaWarning, match="divided"):
        reading = read_outcome(protocol(tmp_path, ""), "pain")
    (finding,) = [item for item in reading.findings if item.rule == "control looks divided"]
    assert finding.severity == "warning"
    assert 'control = { "T" = "split" }' in finding.remedy
    path = protocol(tmp_path, 'control = { T = "split" }\ncomparators = "mixed"')
    reading = read_outcome(path, "pain")
    assert reading.effects.participants == 91 + 60
    analysis = bm.analyse(path, "pain")
    assert any("2 rows have a part of a control group that was divided" in note for note in analysis.notes)
    assert not any("share patients" in note for note in analysis.notes)
    from bayesmeta.report import methods_text

    assert "Parts of a control group that was divided between rows share no patients." in methods_text(
        [analysis.pooled]
    )
    with pytest.raises(bm.ProtocolError, match=r"control.*shared"):
        bm.read_protocol(protocol(tmp_path, 'control = "halved"'))


def test_the_binomial_likelihood_takes_parts_as_groups_of_their_own():
    from bayesmeta.nuts import control_arms

    counts = pd.DataFrame(
        {
            "study": ["T", "T"], "arm_t": ["low", "high"], "arm_c": ["placebo"] * 2,
            "events_t": [3, 4], "n_t": [30, 31], "events_c": [5, 6], "n_c": [15, 15],
        }
    )  # fmt: skip
    effects = effect_sizes(counts, "OR", control="split")
    # two tables with patients of their own, as they are for Mantel and Haenszel
    tables = mantel_haenszel(np.array([[3, 30, 5, 15], [4, 31, 6, 15]]), measure="OR")
    assert mantel_haenszel(effects, measure="OR").estimate == tables.estimate
    assert control_arms(effects)[0].tolist() == [[5, 15], [6, 15]]
    assert control_arms(effects, whole=True)[1].tolist() == [0, 0]
