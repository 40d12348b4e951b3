"""Estimates that share patients, against dense matrices and rma.mv of R metafor 3.8.1 (covariance_metafor.R)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from bayesmeta.classical import (
    defined_methods,
    metaregression,
    pool,
    pool_table,
    q_profile,
    subgroup_test,
    tau2_interval,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

# the script solves with uniroot to 1e-15 and fixes tau2 in rma.mv, so both sides solve the same equation
SOLVED = 1e-9
# where rma.mv's own optimiser stops
OPTIMISER = 1e-4
# two ways round the same sum
ROUNDING = 1e-10
# data/README.md of the fatigue trials prints four decimals
PRINTED = 5e-5

REFERENCE = json.loads(
    (Path(__file__).parents[1] / "reference" / "covariance_metafor.json").read_text(encoding="utf-8")
)
SETS = REFERENCE["sets"]
CASES = [
    (name, number, method)
    for name, content in SETS.items()
    for number, case in enumerate(content["cases"])
    for method in case["fits"]
]
# fits compared as of the first version of this file: 2 sets, 5 cases, 6 methods
MINIMUM_CASES = 60


def effects_of(name: str) -> Effects:
    content = SETS[name]
    return Effects.from_cov(
        content["y"], content["S"], study=content["study"], measure="SMD", moderators=content["moderators"]
    )


def test_grid_does_not_shrink():
    assert len(CASES) >= MINIMUM_CASES


@pytest.mark.parametrize(("name", "number", "method"), CASES)
def test_metafor(name, number, method):
    case = SETS[name]["cases"][number]
    reference, rho = case["fits"][method], case["rho"]
    effects = effects_of(name)
    estimate, se = np.atleast_1d(reference["estimate"]), np.atleast_1d(reference["se"])
    if case["mods"] is None:
        found = pool(effects, method=method, rho=rho)
        fits = {ci: pool(effects, method=method, ci=ci, rho=rho) for ci in ("t", "hksj", "hksj_adhoc")}
        p, q = 1, found.q
    else:
        moderators = [case["mods"].strip("~ ")]
        found = metaregression(effects, moderators, method=method, rho=rho)
        fits = {
            ci: metaregression(effects, moderators, method=method, ci=ci, rho=rho) for ci in ("t", "hksj", "hksj_adhoc")
        }
        p, q = 2, found.qe
        if method == "REML":
            assert (found.qm, found.qm_p) == pytest.approx((case["QM"], case["QM_p"]), rel=SOLVED)
    assert found.tau2 == pytest.approx(reference["tau2"], rel=SOLVED)
    if reference["tau2_rma_mv"] is not None:
        assert found.tau2 == pytest.approx(reference["tau2_rma_mv"], rel=OPTIMISER)
    assert np.atleast_1d(found.estimate) == pytest.approx(estimate, rel=SOLVED)
    assert np.atleast_1d(found.se) == pytest.approx(se, rel=SOLVED)
    assert np.atleast_1d(found.lower) == pytest.approx(np.atleast_1d(reference["ci_low"]), rel=SOLVED)
    assert found.loglik == pytest.approx(reference["loglik"], rel=SOLVED)
    assert q == pytest.approx(case["Q"], rel=SOLVED)
    if method != "EE":
        assert found.i2_tau2 == pytest.approx(reference["i2"], rel=SOLVED)
    assert fits["t"].df == fits["hksj"].df == case["trials"] - p
    factor = reference["hk_factor"]
    assert np.atleast_1d(fits["t"].se) == pytest.approx(se, rel=SOLVED)
    assert np.atleast_1d(fits["hksj"].se) == pytest.approx(se * math.sqrt(factor), rel=SOLVED)
    assert np.atleast_1d(fits["hksj_adhoc"].se) == pytest.approx(se * math.sqrt(max(1.0, factor)), rel=SOLVED)


@pytest.mark.parametrize("name", SETS)
def test_q_profile(name):
    for case in SETS[name]["cases"]:
        if case["mods"] is not None:
            continue
        found = tau2_interval(effects_of(name), rho=case["rho"])
        lower, upper = case["tau2_qprofile"]
        assert found.tau2[0] == pytest.approx(lower, rel=SOLVED)
        if upper is None:
            # rho = 1: rows of one trial disagree by more than the lower quantile whatever tau2 is
            assert found.tau2[1] is None
            assert "no upper limit" in found.notes[0]
        else:
            assert found.tau2[1] == pytest.approx(upper, rel=SOLVED)


def test_check_figures_of_the_fatigue_trials():
    """data/README.md: 35 rows of 32 trials, as independent rows, with S, and with S and rho = 0.5."""
    effects = effects_of("fatigue_short")
    independent = Effects(
        [f"row {i}" for i in range(35)], effects.y, effects.se, measure="SMD", moderators=effects.moderators
    )
    reference = REFERENCE["independent"]
    assert pool(independent).estimate == pytest.approx(reference["estimate"], rel=SOLVED)
    assert math.sqrt(pool(independent).tau2) == pytest.approx(reference["tau"], rel=SOLVED)
    for found, estimate, lower, upper, tau in (
        (pool(independent), -0.2785, -0.3976, -0.1593, 0.2737),
        (pool(effects, rho=0.0), -0.2770, -0.3969, -0.1572, 0.2699),
        (pool(effects), -0.2777, -0.4000, -0.1553, 0.2719),
    ):
        assert (found.estimate, found.lower, found.upper) == pytest.approx((estimate, lower, upper), abs=PRINTED)
        assert math.sqrt(found.tau2) == pytest.approx(tau, abs=PRINTED)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_standard_errors_of_moment_estimators(rho):
    """var(y'Ay) = 2 tr(AVAV) for normal y, with dense matrices."""
    effects = effects_of("made")
    S = effects.covariance()
    same = np.equal.outer(np.array(effects.study), np.array(effects.study))
    R = np.where(same, rho, 0.0)
    np.fill_diagonal(R, 1.0)
    ones = np.ones((effects.k, 1))
    for method, W in (("DL", np.linalg.inv(S)), ("HE", np.eye(effects.k))):
        found = pool(effects, method=method, rho=rho)
        A = W - W @ ones @ np.linalg.solve(ones.T @ W @ ones, ones.T @ W)
        V = S + found.tau2 * R
        expected = math.sqrt(2 * np.trace(A @ V @ A @ V)) / np.trace(A @ R)
        assert found.se_tau2 == pytest.approx(expected, rel=ROUNDING)
        # an unbiased moment estimator: E[y'Ay] = tr(AV)
        assert effects.y @ A @ effects.y == pytest.approx(np.trace(A @ V), rel=ROUNDING)


def test_diagonal_blocks_with_independent_effects_change_nothing():
    """A block without covariance and rho = 0 is two independent rows."""
    y, se = [0.1, 0.5, -0.2, 0.9], np.array([0.2, 0.3, 0.25, 0.2])
    free = Effects(list("ABCD"), y, se, measure="SMD")
    block = Effects(list("AABC"), y, se, measure="SMD", blocks=[(np.array([0, 1]), np.diag(se[:2] ** 2))])
    for method in ("EE", "DL", "PM", "EB", "REML", "ML", "HE"):
        one, other = pool(free, method=method), pool(block, method=method, rho=0.0)
        for name in ("estimate", "se", "tau2", "se_tau2", "loglik", "q", "i2_tau2", "h2"):
            if getattr(one, name) is not None:
                assert getattr(other, name) == pytest.approx(getattr(one, name), rel=ROUNDING, abs=1e-14), name
    assert pool(block, ci="t", rho=0.0).df == 2  # three trials


def test_rho_has_no_effect_without_blocks():
    effects = Effects(list("ABCD"), [0.1, 0.5, -0.2, 0.9], [0.2, 0.3, 0.25, 0.2], measure="SMD")
    assert pool(effects, rho=0.0) == pool(effects, rho=1.0)


def test_methods_that_are_not_defined_say_so():
    effects = effects_of("made")
    for method in ("HS", "SJ"):
        with pytest.raises(ModelError, match=f"{method} is not defined"):
            pool(effects, method=method)
    assert defined_methods(effects) == ("EE", "DL", "PM", "EB", "REML", "ML", "HE")
    assert {fit.method for fit in pool_table(effects)} == set(defined_methods(effects))


def test_one_trial_with_several_rows():
    S = np.array([[0.04, 0.02], [0.02, 0.05]])
    effects = Effects.from_cov([0.1, 0.4], S, measure="SMD")
    with pytest.raises(ModelError, match="1 trials for 1 coefficient leave no degrees of freedom"):
        pool(effects, ci="hksj")
    with pytest.raises(ModelError, match="not identified"):
        pool(effects, rho=1.0)
    # prediction counts trials too
    assert pool(effects).pi["t_km1"] is None


def test_subgroups_of_dependent_rows():
    effects = effects_of("fatigue_short")
    with pytest.raises(ModelError, match=r"level means are dependent.*common_tau2"):
        subgroup_test(effects, "exercise")
    common = subgroup_test(effects, "exercise", common_tau2=True)
    assert common.df == 2
    # timing does not split a trial: both forms are defined, and the common one is the meta-regression
    assert subgroup_test(effects, "timing").df == 1
    case = next(case for case in SETS["fatigue_short"]["cases"] if case["mods"] is not None)
    assert subgroup_test(effects, "timing", common_tau2=True).q_between == pytest.approx(case["QM"], rel=SOLVED)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.array([[0.04, 0.01], [0.01, 0.10]]), r"se\*\*2 on its diagonal"),
        (np.array([[0.04, 0.07], [0.07, 0.09]]), "not positive definite"),
    ],
)
def test_bad_blocks(block, message):
    with pytest.raises(ModelError, match=message):
        q_profile([0.1, 0.2, 0.3], [0.2, 0.3, 0.1], blocks=[(np.array([0, 1]), block)])
