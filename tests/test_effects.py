"""What `Effects` accepts, refuses and warns of: rules, not numbers. Numbers are by hand or by numpy."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.effects import Effects, component_labels

S2 = np.array([[0.04, 0.01], [0.01, 0.09]])


def quiet(*args: Any, **options: Any) -> Effects:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        return Effects(*args, **options)


# ------------------------------------------------------------------------------------------------------- shape


def test_sequences_become_read_only_arrays() -> None:
    y = [0.1, 0.2]
    effects = Effects(["A", "B"], y, (0.1, 0.2), measure="SMD", moderators={"weeks": [6, 12], "kind": ["x", "y"]})
    assert effects.k == 2
    assert effects.trials == ("A", "B")
    assert effects.n_trials == 2
    for array in (effects.y, effects.se, effects.moderators["weeks"], effects.moderators["kind"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9
    with pytest.raises(TypeError):
        effects.moderators["weeks"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        effects.y = effects.se  # type: ignore[misc]
    assert effects.moderators["weeks"].dtype == float
    assert effects.moderators["kind"].tolist() == ["x", "y"]
    y[0] = 5.0
    assert effects.y.tolist() == [0.1, 0.2]


def test_the_caller_s_arrays_stay_writable_and_apart() -> None:
    y = np.array([0.1, 0.2])
    effects = Effects(["A", "B"], y, [0.1, 0.2], measure="SMD")
    y[0] = 7.0
    assert effects.y[0] == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y": [0.1]}, "y: 1 values for 2 rows"),
        ({"se": [0.1, 0.1, 0.1]}, "se: 3 values for 2 rows"),
        ({"label": ["one"]}, "label: 1 values for 2 rows"),
        ({"moderators": {"weeks": [6]}}, "moderator weeks: 1 values for 2 rows"),
        ({"cluster": ["c"]}, "cluster: 1 values for 2 rows"),
        ({"arms": [("a", "b")]}, "arms: 1 values for 2 rows"),
        ({"n": [[10, 10]]}, "n: 1 values for 2 rows"),
        ({"measure": "smd"}, r"unknown 'smd'.*Allowed: .*SMD"),
        ({"better": "down"}, "unknown 'down'.*Allowed: higher, lower"),
        ({"y": [0.1, math.nan]}, r"row 2 \(B\), y: nan is not finite"),
        ({"y": [math.inf, 0.1]}, r"row 1 \(A\), y: inf is not finite"),
        ({"se": [0.1, 0.0]}, r"row 2 \(B\), se: 0.0 is not a positive number"),
        ({"se": [-0.1, 0.1]}, r"row 1 \(A\), se: -0.1 is not a positive number"),
        ({"se": [math.nan, 0.1]}, "nan is not a positive number"),
        ({"se": [math.inf, 0.1]}, "inf is not a positive number"),
        ({"label": ["same", "same"]}, "label 'same': used 2 times. Labels must be unique"),
    ],
)
def test_faults(options: dict[str, Any], message: str) -> None:
    values = {"study": ["A", "B"], "y": [0.1, 0.2], "se": [0.1, 0.1], "measure": "SMD", **options}
    with pytest.raises(bm.DataError, match=message):
        Effects(**values)


def test_no_rows() -> None:
    with pytest.raises(bm.DataError, match="there are no rows"):
        Effects([], [], [], measure="SMD")


def test_all_faults_are_raised_at_once() -> None:
    with pytest.raises(bm.DataError) as caught:
        Effects(["A", "B", "C"], [math.nan, 0.1, math.inf], [0.0, -1.0, 0.2], measure="SMD", label=["x", "x", "y"])
    assert len(caught.value.faults) == 5
    with pytest.raises(bm.DataError) as caught:
        Effects(["A"], [0.1, 0.2], [0.1, 0.2, 0.3], measure="none", better="up")  # type: ignore[arg-type]
    assert {fault.where for fault in caught.value.faults} == {"y", "se", "measure", "better"}
    assert all(fault.remedy for fault in caught.value.faults)


# ------------------------------------------------------------------------------------------------------- labels


def test_labels() -> None:
    single = Effects(["A", "B"], [0, 1], [1, 1], measure="MD")
    assert single.label == ("A", "B")
    repeated = quiet(["A", "A", "B"], [0, 1, 2], [1, 1, 1], measure="MD")
    assert repeated.label == ("A", "A #2", "B")
    arms = [("aerobic", "usual"), ("resistance", "usual"), ("yoga", "usual")]
    named = quiet(["A", "A", "B"], [0, 1, 2], [1, 1, 1], measure="MD", arms=arms)
    assert named.label == ("A [aerobic]", "A [resistance]", "B")
    same = quiet(["A", "A"], [0, 1], [1, 1], measure="MD", arms=[("aerobic", "usual")] * 2)
    assert same.label == ("A [aerobic] #1", "A [aerobic] #2")
    given = quiet(["A", "A"], [0, 1], [1, 1], measure="MD", label=["early", "late"])
    assert given.label == ("early", "late")


# --------------------------------------------------------------------------------------------------- dependence


def test_repeated_trials_warn_and_name_them() -> None:
    with pytest.warns(bm.BayesmetaWarning, match="A, C: several rows of one trial"):
        Effects(["A", "A", "B", "C", "C"], range(5), [1] * 5, measure="MD")


def test_repeated_trials_with_a_block_or_a_cluster_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Effects(["A", "A"], [0, 1], np.sqrt(np.diag(S2)), measure="MD", blocks=(([0, 1], S2),))
        Effects(["A", "A"], [0, 1], [1, 1], measure="MD", cluster=["A", "A"])


def test_a_row_outside_its_trial_s_block_warns() -> None:
    with pytest.warns(bm.BayesmetaWarning, match="A: several rows"):
        Effects(["A", "A", "A"], [0, 1, 2], [0.2, 0.3, 1], measure="MD", blocks=(([0, 1], S2),))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ((([0, 1], np.eye(3)),), "block 1: 2 rows, covariance"),
        ((([0, 5], S2),), "does not exist"),
        ((([0, 0], S2),), "repeated"),
        ((([0, 1], S2), ([1, 2], S2)), "block 2: a row is repeated"),
        ((([0, 1], 2 * S2),), "diagonal is not se squared"),
        ((([0, 1], [[0.04, 0.01], [0.02, 0.09]]),), "not positive definite"),
        ((([0, 1], [[0.04, 0.06], [0.06, 0.09]]),), "covariance of A, B is not positive definite"),
        ((([0, 1], [[0.04, 0.07], [0.07, 0.09]]),), "not positive definite"),
    ],
)
def test_bad_blocks(blocks: Any, message: str) -> None:
    with pytest.raises(bm.DataError, match=message):
        quiet(["A", "B", "C"], [0, 1, 2], [0.2, 0.3, 0.3], measure="MD", blocks=blocks)


def test_covariance_is_dense_se_squared_and_blocks() -> None:
    effects = quiet(["A", "B", "A"], [0, 1, 2], [0.2, 0.5, 0.3], measure="MD", blocks=(([0, 2], S2),))
    expected = np.array([[0.04, 0, 0.01], [0, 0.25, 0], [0.01, 0, 0.09]])
    np.testing.assert_allclose(effects.covariance(), expected, rtol=1e-15)


def test_from_cov_finds_blocks_through_chains() -> None:
    """1-3 and 3-4 are linked, so 1, 3, 4 are one block although 1 and 4 are uncorrelated; 0 and 2 stand alone."""
    S = np.diag([1.0, 2, 3, 4, 5])
    S[1, 3] = S[3, 1] = 0.5
    S[3, 4] = S[4, 3] = -0.3
    effects = Effects.from_cov(np.arange(5.0), S)
    ((rows, covariance),) = effects.blocks
    assert rows.tolist() == [1, 3, 4]
    np.testing.assert_array_equal(covariance, S[np.ix_([1, 3, 4], [1, 3, 4])])
    np.testing.assert_allclose(effects.covariance(), S, rtol=1e-15)
    assert effects.study == ("trial 1", "trial 2", "trial 3", "trial 2", "trial 2")
    assert effects.measure == "generic"
    named = Effects.from_cov(np.arange(5.0), S, study=["a", "b", "c", "b", "b"], measure="SMD")
    assert named.study == ("a", "b", "c", "b", "b")


@pytest.mark.parametrize(
    "S", [np.eye(3), np.array([[1.0, 0.5], [0.4, 1.0]]), np.ones((2, 3)), np.array([[1.0, 2.0], [2.0, 1.0]])]
)
def test_from_cov_refuses_what_is_no_covariance(S: np.ndarray) -> None:
    with pytest.raises(bm.DataError, match=r"symmetric matrix of shape \(2, 2\)|not positive definite"):
        Effects.from_cov([0.1, 0.2], S)


def test_component_labels_are_the_smallest_row_of_each_component() -> None:
    linked = np.eye(5, dtype=bool)
    linked[0, 4] = linked[4, 0] = linked[2, 3] = linked[3, 2] = True
    assert component_labels(linked).tolist() == [0, 1, 2, 2, 0]


def test_units_join_rows_of_a_trial_and_trials_that_share_patients() -> None:
    effects = quiet(["A", "B", "A", "C", "D"], range(5), [0.2, 0.5, 0.7, 0.3, 1], measure="MD", blocks=(([0, 3], S2),))
    names, unit = effects.units
    assert len(names) == 3
    assert unit.tolist()[0] == unit.tolist()[2] == unit.tolist()[3]
    assert len({unit[0], unit[1], unit[4]}) == 3
    assert [names[i] for i in unit[[1, 4]]] == ["B", "D"]


# -------------------------------------------------------------------------------------------------- participants


def test_participants_count_every_arm_once() -> None:
    """A has one control of 20 for two treated arms of 30 and 25 (75 people), B adds 10 + 12."""
    effects = quiet(
        ["A", "A", "B"],
        range(3),
        [1] * 3,
        measure="MD",
        n=[[30, 20], [25, 20], [10, 12]],
        arms=[("aerobic", "usual"), ("resistance", "usual"), ("aerobic", "usual")],
    )
    assert effects.participants == 97
    # where two rows report an arm with other numbers, the larger is the arm
    other = quiet(
        ["A", "A"],
        range(2),
        [1] * 2,
        measure="MD",
        n=[[30, 20], [25, 22]],
        arms=[("aerobic", "usual"), ("resistance", "usual")],
    )
    assert other.participants == 77
    assert Effects(["A", "B"], [0, 1], [1, 1], measure="MD", n=[[5, 6], [7, 8]]).participants == 26
    assert Effects(["A", "B"], [0, 1], [1, 1], measure="MD").participants is None
    assert Effects(["A", "B"], [0, 1], [1, 1], measure="MD", n=[[5, 6], [7, math.nan]]).participants is None


# --------------------------------------------------------------------------------------------------------- subset


def full() -> Effects:
    return quiet(
        ["A", "B", "A", "C"],
        [0.0, 1, 2, 3],
        [0.2, 0.5, 0.3, 0.4],
        measure="MD",
        blocks=(([0, 2], S2),),
        moderators={"weeks": [6, 8, 10, 12], "kind": list("xyxz")},
        cluster=list("ABAC"),
        n=np.arange(8).reshape(4, 2),
        arms=[("t", "c"), ("t", "c"), ("u", "c"), ("t", "c")],
        name="pain",
        better="lower",
        unit="points",
        label=["r0", "r1", "r2", "r3"],
        ledger=["l0", "l1", "l2", "l3"],
    )


@pytest.mark.parametrize("rows", [[0, 2, 3], [True, False, True, True]])
def test_subset_keeps_everything_of_the_rows_that_stay(rows: Any) -> None:
    part = full().subset(rows)
    assert part.study == ("A", "A", "C")
    assert part.y.tolist() == [0.0, 2.0, 3.0]
    assert part.label == ("r0", "r2", "r3")
    assert part.moderators["weeks"].tolist() == [6, 10, 12]
    assert part.moderators["kind"].tolist() == ["x", "x", "z"]
    assert part.cluster == ("A", "A", "C")
    assert part.arms == (("t", "c"), ("u", "c"), ("t", "c"))
    assert part.n is not None
    assert part.n.tolist() == [[0, 1], [4, 5], [6, 7]]
    assert part.ledger == ("l0", "l2", "l3")
    assert (part.name, part.better, part.unit, part.measure) == ("pain", "lower", "points", "MD")
    ((members, covariance),) = part.blocks
    assert members.tolist() == [0, 1]
    np.testing.assert_array_equal(covariance, S2)


def test_subset_drops_a_block_of_which_one_row_stays() -> None:
    part = full().subset([1, 2])
    assert part.blocks == ()
    assert part.se.tolist() == [0.5, 0.3]


def test_subset_reorders() -> None:
    part = full().subset([3, 2, 0])
    assert part.label == ("r3", "r2", "r0")
    ((members, covariance),) = part.blocks
    # the block's rows are renumbered, and its covariance belongs to them in their order
    np.testing.assert_allclose(part.covariance()[np.ix_([1, 2], [1, 2])], S2[::-1, ::-1], rtol=1e-15)
    assert sorted(members.tolist()) == [1, 2]
    assert covariance.shape == (2, 2)


def test_subset_does_not_warn_again() -> None:
    with pytest.warns(bm.BayesmetaWarning, match="A: several rows"):
        effects = Effects(["A", "A", "B"], [0, 1, 2], [1, 1, 1], measure="MD")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert effects.subset([0, 1]).k == 2
