"""Classical pooling against R metafor 5.1.12 (tests/reference/*.json), published tables and invariances."""

from __future__ import annotations

import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bayesmeta.classical import (
    CI_METHODS,
    TAU2_METHODS,
    ClassicalFit,
    defined_methods,
    estimate_tau2,
    log_likelihood,
    moments,
    pool,
    pool_table,
    q_profile,
    rows_of,
    subgroup_test,
    tau2_interval,
    tau2_of,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

# metafor's closed forms, and everything computed from them (tests/reference/README.md)
CLOSED = 1e-9
# metafor iterated to 1e-10 or 1e-12 in tau2 (same place)
ITERATED = 1e-6
# a tau2 or bound that is zero, and p values near rounding, in metafor's own arithmetic
FLOOR = 1e-12
# exact.json holds metafor 3.8.1 at its default convergence threshold of 1e-5 in tau2; estimates move less than tau2
DEFAULT_THRESHOLD = 2e-5
# exact.json's PM and Q-profile used uniroot's default tolerance, 1.2e-4 absolute
UNIROOT = 2e-4
# published tables print four digits; metafor's own tests of them use .01 relative
PRINTED = 0.01
# two ways round the same sum in double precision
ROUNDING = 1e-10

REFERENCE = Path(__file__).parents[1] / "reference"
SETS = {
    path.stem: content
    for path in sorted(REFERENCE.glob("*.json"))
    if "yi" in (content := json.loads(path.read_text(encoding="utf-8")))
}
EXACT = {name: case for name, case in json.loads((REFERENCE / "exact.json").read_text()).items() if name != "meta"}

CI_OF = {"": "wald", "_knha": "hksj", "_adhoc": "hksj_adhoc", "_t": "t"}
CASES = [
    (name, key, key.partition("_")[0], CI_OF["".join(key.partition("_")[1:])])
    for name, content in SETS.items()
    for key, value in content["classical"].items()
    if isinstance(value, dict) and "se_tau2" in value
]
# Number of numbers compared with metafor, as of the first version of this file: 12 sets, 19 fits each, 15 numbers.
MINIMUM_COMPARISONS = 12 * 19 * 15

Y = np.array([-0.889311333920205, -1.58538865720143, -1.34807314829969, -1.44155119002131, -0.217547322211296])
SE = np.array([0.57, 0.44, 0.64, 0.14, 0.23])


AGAIN = json.loads((REFERENCE / "sets_metafor.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [name for name in AGAIN if name != "made_with"])
def test_the_references_are_made_again_by_another_version_of_metafor(name):
    """The files say 5.1.12; sets_metafor.R makes their fits again with 3.8.1. Both iterate to 1e-10."""
    compared = 0
    for key, row in AGAIN[name].items():
        stored = SETS[name]["classical"]["egger_rma" if key == "regtest" else key]
        for field, value in row.items():
            there = stored["pval" if field == "p" else field]
            if value is not None and there is not None:
                assert value == pytest.approx(there, rel=1e-7, abs=1e-10), (key, field)
                compared += 1
    assert compared > 100


def trials(y, se, **options) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, measure="generic", **options)


def fitted(fit: ClassicalFit) -> dict[str, float | None]:
    """A fit under the names of the reference files."""
    pi = fit.pi["normal" if fit.ci == "wald" else "t_km1"]
    return {
        "estimate": fit.estimate,
        "se": fit.se,
        "stat": fit.stat,
        "pval": fit.p,
        "ci_low": fit.lower,
        "ci_high": fit.upper,
        "tau2": fit.tau2,
        "se_tau2": fit.se_tau2,
        "I2": fit.i2_q if fit.method == "EE" else fit.i2_tau2,
        "H2": fit.h2,
        "Q": fit.q,
        "Q_p": fit.q_p,
        "loglik": fit.loglik,
        "pi_low": None if pi is None else pi[0],
        "pi_high": None if pi is None else pi[1],
    }


@pytest.mark.parametrize(("name", "key", "method", "ci"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_metafor(name, key, method, ci):
    content = SETS[name]
    found = fitted(pool(trials(content["yi"], np.sqrt(content["vi"])), method=method, ci=ci))
    rel = CLOSED if method in ("EE", "DL", "HE", "HS", "SJ") else ITERATED
    for quantity, value in found.items():
        reference = content["classical"][key][quantity]
        if reference is None:
            assert value is None, quantity
        else:
            assert value == pytest.approx(reference, rel=rel, abs=FLOOR), quantity


def test_grid_does_not_shrink():
    numbers = len(fitted(pool(trials(Y, SE)))) * len(CASES)
    assert len(SETS) >= 12
    assert numbers >= MINIMUM_COMPARISONS


@pytest.mark.parametrize("name", SETS)
def test_q_profile_of_metafor(name):
    content = SETS[name]
    reference = content["classical"]["tau2_ci_QP"]
    found = tau2_interval(trials(content["yi"], np.sqrt(content["vi"])))
    for quantity, pair in (("tau2", found.tau2), ("I2", found.i2), ("H2", found.h2)):
        assert pair == pytest.approx(reference[quantity], rel=ITERATED, abs=FLOOR), quantity


@pytest.mark.parametrize("name", EXACT)
def test_metafor_3_8_with_four_prediction_intervals(name):
    """exact.json: metafor 3.8.1 with the four named prediction intervals and the ad hoc form."""
    case = EXACT[name]
    for method, reference in case["classical"].items():
        rel = UNIROOT if method == "PM" else DEFAULT_THRESHOLD
        fits = {
            fit.ci: fit for fit in pool_table(trials(case["y"], np.sqrt(case["v"])), methods=[method], cis=CI_METHODS)
        }
        wald = fits["wald"]
        assert wald.tau2 == pytest.approx(reference["tau2"], rel=rel, abs=UNIROOT if method == "PM" else FLOOR)
        assert (wald.estimate, wald.se) == pytest.approx((reference["mu"], reference["se"]), rel=rel)
        assert (wald.lower, wald.upper) == pytest.approx(reference["ci"], rel=rel, abs=rel)
        for ours, theirs in (("hksj", "knha"), ("hksj_adhoc", "adhoc")):
            if theirs in reference:
                assert fits[ours].se == pytest.approx(reference[theirs]["se"], rel=rel)
                assert (fits[ours].lower, fits[ours].upper) == pytest.approx(reference[theirs]["ci"], rel=rel, abs=rel)
        for formula, pair in reference.get("pi", {}).items():
            assert wald.pi[formula] == pytest.approx(pair, rel=rel, abs=rel), formula
        if "tau2_qprofile" in reference:
            limits = q_profile(case["y"], np.sqrt(case["v"])).tau2
            assert limits == pytest.approx(reference["tau2_qprofile"], rel=UNIROOT, abs=UNIROOT)


def test_published_estimators():
    """Viechtbauer 2005, example 1 (published.md 6.6)."""
    y = [-0.581, 0.530, 0.771, 1.031, 0.553, 0.295, 0.078, 0.573, -0.176, -0.232]
    v = [0.023, 0.052, 0.060, 0.115, 0.095, 0.203, 0.200, 0.211, 0.051, 0.040]
    published = {"HS": 0.2282, "HE": 0.1484, "DL": 0.2768, "ML": 0.1967, "REML": 0.2232, "EB": 0.192, "SJ": 0.1992}
    for method, tau2 in published.items():
        assert estimate_tau2(y, np.sqrt(v), method=method).value == pytest.approx(tau2, rel=PRINTED)
    assert pool(trials(y, np.sqrt(v)), method="DL").i2_tau2 == pytest.approx(80.4447, rel=PRINTED)
    assert pool(trials(y, np.sqrt(v)), method="REML").i2_tau2 == pytest.approx(76.8399, rel=PRINTED)


def test_hksj_paradox():
    """published.md 6.7: four trials that agree too well; HKSJ is not truncated, its ad hoc form is."""
    effects = trials([-0.30, -0.31, -0.29, -0.305], np.sqrt([0.04, 0.05, 0.03, 0.06]))
    plain, adhoc = pool(effects, ci="hksj"), pool(effects, ci="hksj_adhoc")
    assert (plain.lower, plain.upper) == pytest.approx((-0.31374, -0.28521), abs=5e-6)
    assert (adhoc.lower, adhoc.upper) == pytest.approx((-0.62599, 0.02704), abs=5e-6)
    found = tau2_interval(effects)
    assert found.tau2 == (0.0, 0.0)
    assert "empty" in found.notes[0]


def test_reml_is_the_highest_of_two_maxima():
    """A restricted likelihood with two maxima, found by evaluating it on a fine grid."""
    rng = np.random.default_rng(20261122)
    seen_two = 0
    for _ in range(60):
        y = rng.normal(0, rng.choice([0.01, 1.0, 5.0], 6))
        se = rng.choice([0.01, 0.1, 1.0, 3.0], 6)
        rows = rows_of(y, se)
        grid = np.concatenate([[0.0], np.geomspace(1e-7, 1e3, 4001)])
        for method in ("REML", "ML"):
            found = estimate_tau2(y, se, method=method)
            restricted = method == "REML"
            best = log_likelihood(rows, moments(rows, [found.value]), restricted=restricted)[0]
            on_grid = log_likelihood(rows, moments(rows, grid), restricted=restricted)
            assert best >= on_grid.max() - ROUNDING
            inner = (on_grid[1:-1] > on_grid[:-2]) & (on_grid[1:-1] > on_grid[2:])
            two = int(inner.sum()) + int(on_grid[0] > on_grid[1]) > 1
            seen_two += two
            assert bool(found.notes) == two
    assert seen_two >= 3


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1e6])
@pytest.mark.parametrize("method", TAU2_METHODS)
def test_units_do_not_matter(method, factor):
    """Closed form: multiplying y and se by c multiplies the answer by c and tau2 by c^2."""
    content = SETS["gibson_smd"]
    y, se = np.array(content["yi"]), np.sqrt(content["vi"])
    one, other = (
        pool(trials(y, se), method=method, ci="hksj"),
        pool(trials(factor * y, factor * se), method=method, ci="hksj"),
    )
    assert other.tau2 == pytest.approx(factor**2 * one.tau2, rel=ROUNDING)
    for name in ("estimate", "se", "lower", "upper", "pi_lower", "pi_upper"):
        if getattr(one, name) is not None:
            assert getattr(other, name) == pytest.approx(factor * getattr(one, name), rel=ROUNDING)
    for name in ("stat", "p", "i2_q", "i2_tau2", "h2", "q"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=ROUNDING)


@pytest.mark.parametrize("method", TAU2_METHODS)
def test_order_shift_and_sign(method):
    content = SETS["bcg_rr"]
    y, se = np.array(content["yi"]), np.sqrt(content["vi"])
    base = pool(trials(y, se), method=method)
    turned = pool(trials(y[::-1], se[::-1]), method=method)
    moved = pool(trials(y + 1e4, se), method=method)
    swapped = pool(trials(-y, se), method=method)
    for fit in (turned, moved, swapped):
        # y + 1e4 keeps eleven digits of y
        assert fit.tau2 == pytest.approx(base.tau2, rel=1e-9)
        assert fit.se == pytest.approx(base.se, rel=1e-9)
    assert turned.estimate == pytest.approx(base.estimate, rel=ROUNDING)
    assert moved.estimate - 1e4 == pytest.approx(base.estimate, abs=1e-9)
    assert swapped.estimate == pytest.approx(-base.estimate, rel=ROUNDING)


def test_splitting_a_trial_keeps_the_common_effect_only():
    content = SETS["bcg_rr"]
    y, se = np.array(content["yi"]), np.sqrt(content["vi"])
    # one trial of variance v as two halves of variance 2v with the same estimate
    half = se[0] * math.sqrt(2)
    parts = trials(np.append(y, y[0]), np.concatenate([[half], se[1:], [half]]))
    whole = trials(y, se)
    assert pool(parts, method="EE").estimate == pytest.approx(pool(whole, method="EE").estimate, rel=ROUNDING)
    assert pool(parts, method="EE").se == pytest.approx(pool(whole, method="EE").se, rel=ROUNDING)
    assert abs(pool(parts).estimate - pool(whole).estimate) > 1e-3


def test_two_trials_in_closed_form():
    """k = 2 with equal SEs: every random-effects estimate is (d^2 / 2 - v) or, for ML, (d^2 / 4 - v)."""
    d, v = 2.0, 0.25
    for method in ("DL", "PM", "EB", "REML", "HE"):
        assert estimate_tau2([0.0, d], [0.5, 0.5], method=method).value == pytest.approx(d * d / 2 - v, rel=1e-12)
    assert estimate_tau2([0.0, d], [0.5, 0.5], method="ML").value == pytest.approx(d * d / 4 - v, rel=1e-12)
    fit = pool(trials([0.0, d], [0.5, 0.5]), ci="hksj")
    assert fit.pi["hts_t_km2"] is None
    assert fit.pi["hkpr_t_km2"] is None
    # t with one degree of freedom is Cauchy: its 97.5 % point is tan(pi * 0.475)
    assert fit.upper == pytest.approx(1.0 + math.tan(math.pi * 0.475) * d / 2, rel=1e-12)
    assert any("k >= 3" in note for note in fit.notes)


def test_equal_estimates():
    for fit in pool_table(trials([0.3, 0.3, 0.3], [0.1, 0.2, 0.3])):
        assert fit.tau2 == 0.0
        assert fit.q == 0.0
        assert fit.estimate == pytest.approx(0.3, rel=1e-15)
        if fit.ci == "hksj":
            assert (fit.se, fit.stat, fit.p) == (0.0, None, None)
            assert any("not defined" in note for note in fit.notes)
        assert not any(isinstance(v, float) and math.isnan(v) for v in (fit.se, fit.lower, fit.i2_q, fit.h2))


def test_one_very_precise_trial():
    """As its SE goes to zero, the common effect is its estimate, and REML has a finite answer."""
    y, se = [0.1, 0.5, -0.2, 0.8], [1e-7, 0.3, 0.4, 0.3]
    assert pool(trials(y, se), method="EE").estimate == pytest.approx(0.1, abs=1e-9)
    rows = rows_of(y, se)
    found = estimate_tau2(y, se).value
    grid = np.geomspace(1e-6, 10, 5001)
    values = log_likelihood(rows, moments(rows, np.append(grid, found)), restricted=True)
    assert values[-1] >= values[:-1].max() - ROUNDING


def test_one_trial():
    effects = trials([0.4], [0.2])
    fit = pool(effects, method="EE")
    assert (fit.estimate, fit.se) == (0.4, 0.2)
    assert (fit.i2_q, fit.h2, fit.q_p, fit.pi_lower) == (None, None, None, None)
    assert defined_methods(effects) == ("EE",)
    for method in TAU2_METHODS[1:]:
        with pytest.raises(ModelError, match=r"one estimate .*EE"):
            pool(effects, method=method)
    with pytest.raises(ModelError, match="no degrees of freedom"):
        pool(effects, method="EE", ci="hksj")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "FE"}, "Allowed: EE, DL, PM"),
        ({"ci": "knha"}, "Allowed: wald, t, hksj, hksj_adhoc"),
        ({"level": 95}, "between 0 and 1"),
        ({"rho": 1.5}, r"\[0, 1\]"),
    ],
)
def test_options_are_listed(options, message):
    with pytest.raises(ModelError, match=message):
        pool(trials(Y, SE), **options)


def test_table_equals_single_fits():
    effects = trials(Y, SE)
    table = pool_table(effects)
    assert len(table) == len(TAU2_METHODS) * len(CI_METHODS)
    assert all(fit == pool(effects, method=fit.method, ci=fit.ci) for fit in table)


def test_truncation_is_said():
    fit = pool(trials([0.10, 0.12, 0.11], [0.2, 0.2, 0.2]), method="DL")
    # (Q - 2) / (sum w - sum w^2 / sum w) with Q = 25 * 0.0002 and w = 25
    assert any(f"tau2 = {(25 * 0.0002 - 2) / 50:.6g}" in note for note in fit.notes)


def test_ten_thousand_rows_stay_small():
    """DESIGN: no k x k matrix. Ten thousand rows with 300 three-row blocks would need 800 MB for one."""
    rng = np.random.default_rng(1)
    k = 10_000
    se = rng.uniform(0.1, 0.5, k)
    y = rng.normal(0.3, np.sqrt(se**2 + 0.04))
    correlation = np.where(np.eye(3) == 1, 1.0, 0.5)
    blocks = []
    for start in range(0, 900, 3):
        index = np.arange(start, start + 3)
        block = 0.4 * np.outer(se[index], se[index])
        np.fill_diagonal(block, se[index] ** 2)
        y[index] = 0.3 + np.linalg.cholesky(block + 0.04 * correlation) @ rng.normal(size=3)
        blocks.append((index, block))
    tracemalloc.start()
    rows = rows_of(y, se, blocks=blocks)
    found = {method: tau2_of(rows, method).value for method in ("REML", "DL", "PM", "HE")}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500e6
    # simulated tau2 = 0.04: the standard error of its estimates at k = 10,000 is about 0.002
    assert all(value == pytest.approx(0.04, abs=0.01) for value in found.values())


def test_subgroups_are_separate_pools_and_q_between():
    """Q between levels in closed form; metafor's own tests compute it the same way (Wald test of the pooled levels)."""
    content = SETS["bcg_rr"]
    alloc = content["metareg"]["alloc"]["values"]
    effects = trials(content["yi"], np.sqrt(content["vi"]), moderators={"alloc": alloc})
    found = subgroup_test(effects, "alloc", method="DL")
    assert found.levels == ("alternate", "random", "systematic")
    fits = [pool(effects.subset([v == level for v in alloc]), method="DL") for level in found.levels]
    m, w = np.array([f.estimate for f in fits]), np.array([f.se for f in fits]) ** -2
    assert found.q_between == pytest.approx(w @ m**2 - (w @ m) ** 2 / w.sum(), rel=1e-9)
    assert found.p == pytest.approx(math.exp(-found.q_between / 2), rel=1e-9)  # chi2(2)
    # the SEs of the test do not depend on the interval method
    assert subgroup_test(effects, "alloc", method="DL", ci="hksj").q_between == pytest.approx(found.q_between)
    common = subgroup_test(effects, "alloc", common_tau2=True)
    reference = content["metareg"]["alloc"]["REML"]
    assert (common.q_between, common.p) == pytest.approx((reference["QM"], reference["QM_p"]), rel=ITERATED)
    assert common.tau2 == pytest.approx(np.full(3, reference["tau2"]), rel=ITERATED)
    assert common.estimate[0] == pytest.approx(reference["estimate"][0], rel=ITERATED)


def test_subgroup_with_one_trial_says_so():
    content = SETS["gibson_smd"]
    effects = trials(content["yi"], np.sqrt(content["vi"]), moderators={"type": content["metareg"]["type"]["values"]})
    found = subgroup_test(effects, "type", ci="hksj")
    single = [i for i, k in enumerate(found.k) if k == 1]
    assert single
    for i in single:
        row = content["metareg"]["type"]["values"].index(found.levels[i])
        assert (found.estimate[i], found.se[i]) == pytest.approx((content["yi"][row], content["vi"][row] ** 0.5))
    assert sum("one estimate" in note for note in found.notes) >= len(single)
