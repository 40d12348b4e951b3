"""Influence, leave-one-out, cumulative and baujat against R metafor 3.8.1 (tests/reference/influence_metafor.R)."""

from __future__ import annotations

import numpy as np
import pytest

from bayesmeta.classical import (
    TAU2_METHODS,
    cumulative_table,
    estimate_tau2,
    influence_table,
    leave_one_out_table,
    pool,
    refit,
    rows_of,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import DataError, ModelError
from references import effects_of, reference

# metafor was made to iterate to 1e-13 in tau2
ITERATED = 1e-6
# metafor's stopping rule leaves a tau2 of zero at up to 1e-13, and an I2 of zero at 1e-9 percent
FLOOR = 1e-9
# rma.mv maximises with BFGS, whose tau2 is good to 3e-7 here
BFGS = 3e-6
# the same equations solved one by one
ROUNDING = 1e-10

R = reference("influence_metafor")
SETS = ("bcg_rr", "eight_schools", "normand_smd", "hackshaw_logor", "raudenbush_smd")
METHODS = ("EE", "DL", "REML", "ML", "PM", "HE", "SJ", "HS")
COLUMNS = [
    "fitted",
    "hat",
    "rstandard",
    "rstudent",
    "dffits",
    "cook",
    "cov_ratio",
    "tau2_deleted",
    "qe_deleted",
    "weight",
    "se_residual",
    "baujat_x",
    "baujat_y",
]
NAMES = {"pval": "p", "ci.lb": "lower", "ci.ub": "upper", "Q": "q", "Qp": "q_p", "I2": "i2"}


def blocked() -> Effects:
    case = R["blocks"]
    trial, V = np.array(case["trial"]), np.array(case["V"])
    rows = [np.flatnonzero(trial == name) for name in "ad"]
    return Effects(case["trial"], case["y"], case["se"], measure="SMD", blocks=[(r, V[np.ix_(r, r)]) for r in rows])


def simple(y, se, **options) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, measure="generic", **options)


def test_the_reference_is_complete():
    assert set(R["influence"]) == set(SETS)
    assert all(set(R["influence"][name]) == set(METHODS) for name in SETS)
    assert all(set(case) >= {*COLUMNS, "dfbeta", "influential"} for d in R["influence"].values() for case in d.values())
    assert all(set(R["leave_one_out"][name]) >= {"REML_hksj", "REML_hksj_adhoc", "REML_t", "EE_wald"} for name in SETS)
    assert all(len(R["cumulative"][name]) == 3 for name in SETS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SETS)
def test_influence_and_baujat(name, method):
    theirs = R["influence"][name][method]
    table = influence_table(effects_of(name), method=method)
    for column in (*COLUMNS, "dfbeta"):
        expected = np.array(theirs[column], float).ravel()
        assert table[column].to_numpy() == pytest.approx(expected, rel=ITERATED, abs=FLOOR), column
    assert table.influential.tolist() == theirs["influential"]
    assert set(table.note) == {""}


def test_pinned_references_of_metafor_5_agree():
    """The references made with metafor 5.1.12 hold some of the same numbers for REML."""
    for name in SETS:
        table = influence_table(effects_of(name))
        theirs = reference(name)["classical"]["influence"]
        for column, key in (("rstudent", "rstudent"), ("dffits", "dffits"), ("cook", "cooks"), ("hat", "hat")):
            assert table[column].to_numpy() == pytest.approx(theirs[key], rel=ITERATED, abs=FLOOR), (name, key)


@pytest.mark.parametrize("method", ["REML", "DL"])
def test_influence_with_a_moderator(method):
    case = R["latitude"]
    effects = simple(case["y"], np.sqrt(case["v"]), moderators={"latitude": case["x"]})
    table = influence_table(effects, method=method, moderators=["latitude"])
    for column in COLUMNS:
        assert table[column].to_numpy() == pytest.approx(case[method][column], rel=ITERATED, abs=FLOOR), column
    dfbetas = table[["dfbeta[intercept]", "dfbeta[latitude]"]].to_numpy()
    assert dfbetas == pytest.approx(np.array(case[method]["dfbeta"]), rel=ITERATED)
    assert table.influential.tolist() == case[method]["influential"]


def test_rows_that_share_patients_leave_together():
    """rma.mv with a compound-symmetric trial effect, rho = 0.5; deletion by trial."""
    case = R["blocks"]
    table = influence_table(blocked())
    for column in ("rstudent", "se_residual", "rstandard", "cook", "hat", "dfbeta", "tau2_deleted", "qe_deleted"):
        assert table[column].to_numpy() == pytest.approx(case[column], rel=BFGS), column
    assert table[["dffits", "baujat_x", "baujat_y"]].isna().all(axis=None)
    assert table.note.str.contains("independent rows").all()
    left = leave_one_out_table(blocked(), ci="wald")
    assert left.left_out.tolist() == list("abcdef")
    assert left.rows.tolist() == [2, 1, 1, 3, 1, 1]
    for column in ("estimate", "se", "tau2", "q"):
        expected = [line[column] for line in case["leave_one_out"]]
        assert left[column].to_numpy() == pytest.approx(expected, rel=BFGS), column


@pytest.mark.parametrize("kind", ["leave_one_out", "cumulative"])
@pytest.mark.parametrize("name", SETS)
def test_leave_one_out_and_cumulative(name, kind):
    make = leave_one_out_table if kind == "leave_one_out" else cumulative_table
    # one estimate: metafor sets tau2 and I2 to zero, and Hartung-Knapp to 0/0; here they are nan
    first = 0 if kind == "leave_one_out" else 1
    for key, theirs in R[kind][name].items():
        method, _, ci = key.partition("_")
        table = make(effects_of(name), method=method, ci=ci)
        for quantity, values in theirs.items():
            ours = table[NAMES.get(quantity, quantity)].to_numpy()[first:]
            expected = np.array(values, float)[first:]
            assert ours == pytest.approx(expected, rel=ITERATED, abs=FLOOR), (key, quantity)
        assert set(table.note[first:]) == {""}
        if kind == "cumulative":
            assert table.estimate[0] == pytest.approx(theirs["estimate"][0])
            assert np.isnan(table.tau2[0]) == (method != "EE")
            assert "one estimate" in table.note[0]


def test_leave_one_out_is_pool_without_the_trial():
    effects = blocked()
    for method in ("REML", "ML", "PM", "DL", "HE", "EE"):
        table = leave_one_out_table(effects, method=method, ci="hksj_adhoc", level=0.9, rho=0.3)
        for line, name in enumerate(effects.units[0]):
            rest = effects.subset(np.array(effects.study) != name)
            fit = pool(rest, method=method, ci="hksj_adhoc", level=0.9, rho=0.3)
            ours = table.loc[line, ["estimate", "se", "lower", "upper", "p", "tau2", "q", "q_p"]].to_numpy(float)
            single = [fit.estimate, fit.se, fit.lower, fit.upper, fit.p, fit.tau2, fit.q, fit.q_p]
            assert ours == pytest.approx(single, rel=ROUNDING, abs=ROUNDING), (method, name)
            i2 = fit.i2_q if method == "EE" else fit.i2_tau2
            assert table.i2[line] == pytest.approx(i2, rel=ROUNDING, abs=ROUNDING)


def test_true_effects_that_are_equal_within_a_trial():
    """rho = 1: tau2 is found one by one, and with a single trial it is not identified."""
    effects = blocked()
    table = leave_one_out_table(effects, rho=1.0)
    for line, name in enumerate(effects.units[0]):
        fit = pool(effects.subset(np.array(effects.study) != name), ci="hksj", rho=1.0)
        assert table.estimate[line] == pytest.approx(fit.estimate, rel=ROUNDING)
        assert table.tau2[line] == pytest.approx(fit.tau2, rel=1e-9)
    first = cumulative_table(effects, list("abcdef"), rho=1.0)
    assert np.isnan(first.estimate[0])
    assert "not identified" in first.note[0]
    assert np.isfinite(first.estimate[1])


@pytest.mark.parametrize("method", TAU2_METHODS)
def test_batched_tau2_is_tau2_one_by_one(method):
    """Random subsets of awkward data: one tiny se, two equal estimates, a far outlier."""
    rng = np.random.default_rng(5)
    y = np.array([*rng.normal(0, 0.4, 9), 0.3, 0.3, 6.0])
    se = np.array([*rng.uniform(0.05, 0.6, 9), 1e-4, 0.2, 0.4])
    member = rng.random((80, 12)) < 0.5
    member = member[member.sum(axis=1) > 1]
    for scale in (1.0, 1e3):
        found = refit(rows_of(scale * y, scale * se), member, method).tau2
        single = [estimate_tau2(scale * y[m], scale * se[m], method=method).value for m in member]
        # a tau2 far below the tiny se is rounding
        assert found == pytest.approx(np.array(single), rel=1e-7, abs=1e-12 * scale**2)


def test_cumulative_order_is_the_callers():
    effects = effects_of("bcg_rr")
    names = effects.units[0]
    back = cumulative_table(effects, names[::-1], ci="wald")
    forth = cumulative_table(effects, ci="wald")
    assert back.added.tolist() == list(names[::-1])
    assert back.k.tolist() == list(range(1, 14))
    assert back.estimate.iloc[-1] == pytest.approx(forth.estimate.iloc[-1], rel=ROUNDING)
    assert back.estimate.iloc[0] == effects.y[-1]
    with pytest.raises(ModelError, match="nobody"):
        cumulative_table(effects, ["nobody", *names[1:]])
    with pytest.raises(ModelError, match="every trial once"):
        cumulative_table(effects, [*names, names[0]])


def test_signs_and_units():
    effects = effects_of("normand_smd")
    mirrored = influence_table(simple(-effects.y, effects.se))
    larger = influence_table(simple(1e3 * effects.y, 1e3 * effects.se))
    table = influence_table(effects)
    for column in ("fitted", "rstandard", "rstudent", "dffits", "dfbeta"):
        assert mirrored[column].to_numpy() == pytest.approx(-table[column].to_numpy(), rel=1e-9), column
    for column in ("hat", "rstandard", "rstudent", "dffits", "cook", "cov_ratio", "dfbeta", "baujat_x", "baujat_y"):
        assert larger[column].to_numpy() == pytest.approx(table[column].to_numpy(), rel=1e-7), column
    assert larger.tau2_deleted.to_numpy() == pytest.approx(1e6 * table.tau2_deleted.to_numpy(), rel=1e-8)


def test_too_few_trials_are_said_and_not_invented():
    one = influence_table(simple([0.3], [0.1]))
    assert len(one) == 1
    assert np.isnan(one.rstudent[0])
    assert "nothing to leave out" in one.note[0]
    two = influence_table(simple([0.3, 0.5], [0.1, 0.1]))
    assert two.rstudent.isna().all()
    assert two.note.str.contains("leave nothing to estimate tau2 from").all()
    assert influence_table(simple([0.3, 0.5], [0.1, 0.1]), method="EE").rstudent.notna().all()
    three = influence_table(simple([0.3, 0.5, 0.2], [0.1, 0.1, 0.1]))
    assert three[COLUMNS].notna().all(axis=None)
    assert leave_one_out_table(simple([0.3], [0.1])).note.tolist() == ["no estimate is left"]
    left = leave_one_out_table(simple([0.3, 0.5], [0.1, 0.1]))
    assert left.estimate.tolist() == [0.5, 0.3]
    assert left.tau2.isna().all()
    assert left.note.str.contains("own Wald interval").all()


def test_equal_estimates_and_one_precise_trial():
    equal = simple([0.3] * 4, [0.1, 0.2, 0.1, 0.3])
    table = leave_one_out_table(equal)
    assert table.tau2.tolist() == [0.0] * 4
    assert table.note.str.contains("all estimates are equal").all()
    assert table.p.isna().all()
    assert influence_table(equal).rstudent.tolist() == [0.0] * 4
    precise = influence_table(simple([0.3, 0.1, 0.9, 0.5], [1e-6, 0.2, 0.3, 0.2]), method="EE")
    assert precise.hat[0] == pytest.approx(1.0)
    assert precise.influential[0]


def test_a_method_that_is_not_defined_with_blocks_says_so():
    table = leave_one_out_table(blocked(), method="SJ")
    assert table.estimate.isna().all()
    assert table.note.str.contains("SJ is not defined").all()
    table = influence_table(blocked(), method="HS")
    assert table.fitted.isna().all()
    assert table.note.str.contains("HS is not defined").all()
    with pytest.raises(ModelError, match="Allowed: EE"):
        leave_one_out_table(blocked(), method="XX")
    with pytest.raises(ModelError, match="Allowed: wald"):
        leave_one_out_table(blocked(), ci="XX")
    with pytest.raises((ModelError, DataError), match="level"):
        influence_table(blocked(), level=95)


def test_a_moderator_that_one_trial_decides():
    effects = simple([0.1, 0.3, 0.2, 0.9], [0.1] * 4, moderators={"kind": ["a", "a", "a", "b"]})
    table = influence_table(effects, moderators=["kind"])
    assert table.note.iloc[:3].tolist() == [""] * 3
    assert "cannot be estimated" in table.note.iloc[3]
    assert np.isnan(table.rstudent[3])
    assert np.isnan(table.rstandard[3])
    assert table.hat[3] == pytest.approx(1.0)
