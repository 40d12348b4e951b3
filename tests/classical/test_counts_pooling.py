"""Two-by-two tables without continuity corrections, and zero cells: metafor 3.8.1 (two_by_two_metafor.R)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from bayesmeta.classical import (
    BINOMIAL_MODELS,
    ZERO_COLUMNS,
    baseline_likelihood,
    binomial_normal,
    counts_of,
    mantel_haenszel,
    no_contrast,
    peto,
    zero_cell_table,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.measures import ZERO_POLICIES

# closed forms on both sides
CLOSED = 1e-9
# metafor's REML, threshold 1e-14
ITERATED = 1e-7
# rma.glmm as its optimisers left it (counts_metafor.json): estimate, tau2; its SE from a numerical Hessian
OPTIMISER = 2e-4
NUMERICAL_HESSIAN = 1e-3
# likelihoods at the optimum move with the square of that, and at the common-effect optimum are metafor's glm
LIKELIHOOD = 1e-6
# a sum over 721 values of each study effect converges exponentially; scipy's hypergeometric densities carry ten digits
QUAD = 1e-8
# second differences of that
SECOND_DIFFERENCES = 1e-4
# rma.glmm has Laplace's approximation for UM.RS: what that does to estimates and SEs of these sets, and to tau2
LAPLACE, LAPLACE_VARIANCE = 0.02, 0.1
# p values and statistics that are zero up to rounding
FLOOR = 1e-12

FOLDER = Path(__file__).parents[1] / "reference"
SETS = {
    content["id"]: content
    for content in json.loads((FOLDER / "two_by_two_metafor.json").read_text(encoding="utf-8"))["sets"]
}
GLMM = json.loads((FOLDER / "counts_metafor.json").read_text(encoding="utf-8"))["sets"]
MEASURES = ("OR", "RR", "RD")
COMMON = ("estimate", "se", "stat", "p", "lower", "upper", "q")
TESTS = ("cmh", "cmh_p", "breslow_day", "breslow_day_p", "tarone", "tarone_p")


def close(found, expected, rel=CLOSED):
    return found == pytest.approx(expected, rel=rel, abs=FLOOR)


def test_the_reference_covers_what_it_should():
    assert len(SETS) == 12
    assert all(set(content["mh"]) == set(MEASURES) for content in SETS.values())
    assert sum(len(content["reml"]) for content in SETS.values()) == 11 * 24
    assert sum(bool(no_contrast(counts_of(content["counts"])).any()) for content in SETS.values()) >= 5


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", SETS)
def test_mantel_haenszel(name, measure):
    reference = SETS[name]["mh"][measure]
    found = mantel_haenszel(SETS[name]["counts"], measure=measure)
    for attribute in COMMON:
        assert close(getattr(found, attribute), reference[attribute]), attribute
    assert found.q_df == reference["k_yi"] - 1
    if found.q_df > 0:
        assert close(found.q_p, reference["q_p"])
    else:
        # metafor prints p = 1 of no degrees of freedom
        assert found.q_p is None
        assert any("heterogeneity cannot be tested" in note for note in found.notes)
    if measure != "OR":
        assert found.cmh is found.tarone is found.homogeneity_df is None
        return
    for attribute in TESTS:
        if reference[attribute] in (None, "NA"):
            assert getattr(found, attribute) is None
        else:
            assert close(getattr(found, attribute), reference[attribute]), attribute
    assert found.homogeneity_df == reference["k_pos"] - 1
    uncorrected = mantel_haenszel(SETS[name]["counts"], correct=False)
    assert close(uncorrected.cmh, reference["cmh_uncorrected"])


@pytest.mark.parametrize("name", SETS)
def test_peto(name):
    reference = SETS[name]["peto"]
    found = peto(SETS[name]["counts"])
    for attribute in COMMON:
        assert close(getattr(found, attribute), reference[attribute]), attribute
    if found.q_df > 0:
        assert close(found.q_p, reference["q_p"])
    else:
        assert found.q_p is None


def swapped(counts):
    return np.asarray(counts)[:, [2, 3, 0, 1]]


def reversed_events(counts):
    counts = np.array(counts, float)
    counts[:, [0, 2]] = counts[:, [1, 3]] - counts[:, [0, 2]]
    return counts


@pytest.mark.parametrize("name", SETS)
def test_swapping_arms_or_events(name):
    counts = SETS[name]["counts"]
    for fit in (
        *(lambda x, measure=measure: mantel_haenszel(x, measure=measure) for measure in MEASURES),
        peto,
    ):
        plain, other = fit(counts), fit(swapped(counts))
        assert close(other.estimate, -plain.estimate)
        assert close(other.se, plain.se)
        assert close(other.p, plain.p)
    for fit in (mantel_haenszel, peto, lambda x: mantel_haenszel(x, measure="RD")):
        assert close(fit(reversed_events(counts)).estimate, -fit(counts).estimate)


def test_one_table_is_its_own_odds_ratio():
    found = mantel_haenszel([[3, 40, 8, 42]])
    assert close(found.estimate, np.log(3 * 34 / (37 * 8)))
    # Robins-Breslow-Greenland is Woolf's variance for one table
    assert close(found.se**2, 1 / 3 + 1 / 37 + 1 / 8 + 1 / 34)


def test_tables_without_a_contrast_change_nothing():
    counts = np.array(SETS["bcg"]["counts"], float)
    more = np.vstack([counts, [[0, 10, 0, 20], [7, 7, 9, 9]]])
    for measure in ("OR", "RR"):
        if measure == "RR":
            more = np.vstack([counts, [[0, 10, 0, 20]]])
        assert close(mantel_haenszel(more, measure=measure).estimate, mantel_haenszel(counts, measure=measure).estimate)
    found = peto(more)
    assert close(found.estimate, peto(counts).estimate)
    assert found.notes == ("1 without an event, or with one in everybody, in both arms: without weight",)
    difference = mantel_haenszel(more, measure="RD")
    assert abs(difference.estimate) < abs(mantel_haenszel(counts, measure="RD").estimate)


def test_effects_carry_their_counts():
    counts = np.array(SETS["crins2014"]["counts"], float)
    k = len(counts)
    effects = Effects([f"trial {i}" for i in range(k)], np.zeros(k), np.ones(k), measure="OR", counts=counts)
    assert mantel_haenszel(effects) == mantel_haenszel(counts)
    assert peto(effects) == peto(counts)


def test_refusals():
    with pytest.raises(ModelError, match="Allowed: OR, RR, RD"):
        mantel_haenszel([[1, 5, 2, 6]], measure="HR")
    with pytest.raises(ModelError, match="is zero"):
        mantel_haenszel([[0, 5, 2, 6]])
    with pytest.raises(ModelError, match="infinite"):
        mantel_haenszel([[2, 5, 0, 6]], measure="RR")
    with pytest.raises(ModelError, match="not defined"):
        mantel_haenszel([[0, 5, 0, 6]])
    with pytest.raises(ModelError, match="no table"):
        peto([[0, 5, 0, 6], [4, 4, 3, 3]])
    with pytest.raises(ModelError, match="rows 2"):
        peto([[1, 5, 2, 6], [7, 5, 2, 6]])
    with pytest.raises(ModelError, match="shape"):
        peto([1, 2, 3])
    with pytest.raises(ModelError, match="no counts"):
        peto(Effects(["A"], [0.1], [0.1], measure="OR"))
    nothing = mantel_haenszel([[0, 5, 0, 6]], measure="RD")
    assert (nothing.estimate, nothing.se, nothing.p) == (0.0, 0.0, None)
    assert "SE is 0" in nothing.notes[0]


def raw(name):
    return np.array([[row[key] for key in ("events_t", "n_t", "events_c", "n_c")] for row in GLMM[name]["raw"]], float)


GLMM_CASES = [(name, model) for name in GLMM for model in BINOMIAL_MODELS if model != "UM.RS"]


def test_the_glmm_reference_covers_what_it_should():
    assert len(GLMM_CASES) == 27
    assert sum(f"{model} ML" in GLMM[name]["fits"] for name, model in GLMM_CASES) == 24
    assert all(f"{model} EE" in GLMM[name]["fits"] for name, model in GLMM_CASES)


@pytest.mark.parametrize(("name", "model"), GLMM_CASES)
def test_rma_glmm(name, model):
    fits = GLMM[name]["fits"]
    found = binomial_normal(raw(name), model=model)
    common = fits[f"{model} EE"]
    assert found.loglik_common == pytest.approx(common["loglik"], rel=LIKELIHOOD)
    assert found.k - found.double_zero == common["k"]
    reference = fits.get(f"{model} ML")
    if reference is None:
        # rma.glmm did not converge: the maximum is at tau2 = 0, where the common-effect model is the answer
        assert found.tau2 == 0.0
        reference = common
    assert found.estimate == pytest.approx(reference["estimate"], rel=OPTIMISER)
    if model == "CM.EL" and found.tau2 == 0.0:
        # BiasedUrn's densities carry seven digits, and second differences of them two to four: ours is the closed form
        ratio = math.exp(found.estimate)
        variance = [stats.nchypergeom_fisher.var(n_t + n_c, a + c, n_t, ratio) for a, n_t, c, n_c in raw(name)]
        assert found.se == pytest.approx(sum(variance) ** -0.5, rel=QUAD)
        assert found.se == pytest.approx(reference["se"], rel=2e-2)
    else:
        assert found.se == pytest.approx(reference["se"], rel=NUMERICAL_HESSIAN)
    assert found.tau2 == pytest.approx(reference["tau2"], rel=NUMERICAL_HESSIAN, abs=1e-6)
    if reference["se_tau2"] is not None and found.tau2 > 0 and reference["se_tau2"] != "NA":
        assert found.se_tau2 == pytest.approx(reference["se_tau2"], rel=5e-3)
    if model == "CM.EL":
        assert found.loglik == pytest.approx(reference["loglik"], rel=LIKELIHOOD)
    # glmer with many nodes leaves constants out of its log likelihood, so that of UM.FS and CM.AL is checked below


def brute(counts, model, mu, tau, alpha=None):
    """Log likelihood by scipy's distributions summed over a fixed grid of study effects, nothing of ours."""
    z = np.linspace(-9, 9, 721)
    theta = mu + tau * z
    total = 0.0
    for i, (a, n_t, c, n_c) in enumerate(counts):
        if a + c in (0, n_t + n_c):
            continue
        if model == "CM.EL":
            value = stats.nchypergeom_fisher.pmf(a, n_t + n_c, a + c, n_t, np.exp(theta))
        elif model == "CM.AL":
            value = stats.binom.pmf(a, a + c, special.expit(np.log(n_t / n_c) + theta))
        else:
            value = stats.binom.pmf(a, n_t, special.expit(alpha[i] + theta / 2))
            value = value * stats.binom.pmf(c, n_c, special.expit(alpha[i] - theta / 2))
        total += math.log(integrate.trapezoid(value * stats.norm.pdf(z), z))
    return total


@pytest.mark.parametrize("model", ["CM.EL", "CM.AL"])
def test_maximum_by_quadrature(model):
    """At the estimate an independent likelihood agrees, has no slope, and its curvature gives the standard errors."""
    counts = raw("crins2014")
    found = binomial_normal(counts, model=model)
    tau = math.sqrt(found.tau2)
    assert found.tau2 > 0

    def at(mu, t):
        return brute(counts, model, mu, t)

    top = at(found.estimate, tau)
    assert found.loglik == pytest.approx(top, rel=QUAD)
    h = 1e-3
    around = {(i, j): at(found.estimate + i * h, tau + j * h) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    slope = [(around[1, 0] - around[-1, 0]) / (2 * h), (around[0, 1] - around[0, -1]) / (2 * h)]
    assert slope == pytest.approx([0, 0], abs=1e-5)
    mixed = around[1, 1] - around[1, -1] - around[-1, 1] + around[-1, -1]
    curve = np.array(
        [
            [around[1, 0] + around[-1, 0] - 2 * top, mixed / 4],
            [mixed / 4, around[0, 1] + around[0, -1] - 2 * top],
        ]
    )
    vcov = np.linalg.inv(-curve / h**2)
    assert found.se == pytest.approx(math.sqrt(vcov[0, 0]), rel=SECOND_DIFFERENCES)
    assert found.se_tau2 == pytest.approx(2 * tau * math.sqrt(vcov[1, 1]), rel=10 * SECOND_DIFFERENCES)


def test_fixed_study_effects_by_quadrature():
    """UM.FS of the CRINS trials: no baseline, mean or tau raises an independent likelihood above ours."""
    counts = raw("crins2014")
    found = binomial_normal(counts, model="UM.FS")
    tau = math.sqrt(found.tau2)
    baseline = [math.log((a + c + 0.5) / (n_t + n_c - a - c + 0.5)) for a, n_t, c, n_c in counts]

    def trial(i, mu, tau):
        one = counts[i : i + 1]
        near = (baseline[i] - 0.3, baseline[i] + 0.3)
        best = optimize.minimize_scalar(lambda alpha: -brute(one, "UM.FS", mu, tau, [alpha]), bracket=near, tol=1e-8)
        return -best.fun

    def at(mu, tau):
        return sum(trial(i, mu, tau) for i in range(len(counts)))

    top = at(found.estimate, tau)
    assert found.loglik == pytest.approx(top, rel=QUAD)
    h = 0.02
    for step in ((h, 0), (-h, 0), (0, h), (0, -h)):
        assert at(found.estimate + step[0], tau + step[1]) < top


def brute_pairs(counts, mu, tau, baseline, sigma):
    """Log likelihood of UM.RS by scipy's binomial summed over a fixed grid in two dimensions."""
    axis = np.linspace(-8.5, 8.5, 341)
    z, v = np.meshgrid(axis, axis)
    prior = stats.norm.pdf(z) * stats.norm.pdf(v)
    half, middle = 0.5 * (mu + tau * z), baseline + sigma * v
    total = 0.0
    for a, n_t, c, n_c in counts:
        value = stats.binom.pmf(a, n_t, special.expit(middle + half)) * stats.binom.pmf(
            c, n_c, special.expit(middle - half)
        )
        total += math.log(integrate.trapezoid(integrate.trapezoid(value * prior, axis), axis))
    return total


def test_random_study_effects_by_summation():
    counts = raw("crins2014")
    found = binomial_normal(counts, model="UM.RS")
    at = baseline_likelihood(counts, found.estimate, math.sqrt(found.tau2), -0.5, math.sqrt(found.baseline_tau2))
    point = (found.estimate, math.sqrt(found.tau2), -0.5, math.sqrt(found.baseline_tau2))
    assert at.loglik == pytest.approx(brute_pairs(counts, *point), rel=QUAD)
    h = 1e-4
    for i in range(4):
        low, high = (tuple(x + s * h * (i == j) for j, x in enumerate(point)) for s in (-1, 1))
        slope = (brute_pairs(counts, *high) - brute_pairs(counts, *low)) / (2 * h)
        assert at.gradient[i] == pytest.approx(slope, abs=1e-6)
        numeric = (baseline_likelihood(counts, *high).gradient - baseline_likelihood(counts, *low).gradient) / (2 * h)
        assert at.hessian[i] == pytest.approx(numeric, abs=1e-5)


@pytest.mark.parametrize("name", GLMM)
def test_random_study_effects(name):
    """Where rma.glmm's Laplace approximation is coarser: its optimum has a lower likelihood than ours."""
    reference = GLMM[name]["fits"]["UM.RS ML"]
    counts = raw(name)
    found = binomial_normal(counts, model="UM.RS")
    assert found.estimate == pytest.approx(reference["estimate"], rel=LAPLACE)
    assert found.se == pytest.approx(reference["se"], rel=LAPLACE)
    assert found.tau2 == pytest.approx(reference["tau2"], rel=LAPLACE_VARIANCE, abs=1e-6)
    assert found.baseline_tau2 == pytest.approx(reference["sigma2_baseline"], rel=LAPLACE_VARIANCE, abs=1e-6)
    assert found.loglik == pytest.approx(reference["loglik"], abs=0.1)
    kept = counts[~no_contrast(counts)]
    spread = (math.sqrt(reference["tau2"]), math.sqrt(reference["sigma2_baseline"]))

    def theirs(baseline):
        return -baseline_likelihood(kept, reference["estimate"], spread[0], baseline, spread[1], 48).loglik

    best = optimize.minimize_scalar(theirs, bounds=(-6, 4), method="bounded", options={"xatol": 1e-6})
    assert -best.fun <= found.loglik + QUAD
    assert -best.fun == pytest.approx(found.loglik, abs=0.01)


def test_standard_error_without_heterogeneity():
    """CM.EL with tau2 = 0: the information is the sum of hypergeometric variances."""
    counts = raw("hine1989")
    found = binomial_normal(counts)
    assert found.tau2 == 0.0
    ratio = math.exp(found.estimate)
    variances = [stats.nchypergeom_fisher.var(n_t + n_c, a + c, n_t, ratio) for a, n_t, c, n_c in counts]
    means = [stats.nchypergeom_fisher.mean(n_t + n_c, a + c, n_t, ratio) for a, n_t, c, n_c in counts]
    assert sum(means) == pytest.approx(counts[:, 0].sum(), rel=QUAD)
    assert found.se == pytest.approx(sum(variances) ** -0.5, rel=QUAD)
    assert GLMM["hine1989"]["fits"]["CM.EL EE"]["se"] == pytest.approx(found.se, rel=NUMERICAL_HESSIAN)
    assert (found.lrt, found.lrt_p, found.se_tau2) == (0.0, 1.0, None)


@pytest.mark.parametrize("model", ["CM.EL", "CM.AL"])
def test_likelihood_interval(model):
    counts = raw("crins2014")
    found = binomial_normal(counts, model=model, profile=True)
    for limit in (found.lower_lr, found.upper_lr):
        best = optimize.minimize_scalar(
            lambda tau, limit=limit: -brute(counts, model, limit, tau),
            bounds=(0, 3),
            method="bounded",
            options={"xatol": 1e-6},
        )
        assert 2 * (found.loglik + best.fun) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-6)
    assert found.lower_lr < found.estimate < found.upper_lr


@pytest.mark.parametrize("name", ["bcg", "nielweise2007"])
def test_likelihood_ratio_test(name):
    found = binomial_normal(raw(name))
    expected = 2 * (found.loglik - found.loglik_common)
    assert found.lrt == pytest.approx(expected)
    # a chi-squared variable with one degree of freedom is a squared normal one
    assert found.lrt_p == pytest.approx(stats.norm.sf(math.sqrt(expected)), rel=1e-6, abs=0.0)


@pytest.mark.parametrize("name", ["bcg", "nielweise2007", "crins2014", "blocker"])
def test_glmm_swapping_arms_or_events(name):
    counts = raw(name)
    for model in BINOMIAL_MODELS:
        plain = binomial_normal(counts, model=model)
        others = [swapped(counts)] if model == "CM.AL" else [swapped(counts), reversed_events(counts)]
        for other in others:
            found = binomial_normal(other, model=model)
            # where a maximum lies is known to the root of the rounding of the log likelihood, in standard errors
            assert found.estimate == pytest.approx(-plain.estimate, abs=1e-6 * plain.se)
            assert (found.se, found.tau2) == pytest.approx((plain.se, plain.tau2), rel=1e-6)


@pytest.mark.parametrize(
    "counts",
    [
        # Newton steps that never fall below 1e-12, found among random tables
        [[1, 7, 10, 28], [1, 28, 5, 25]],
        [[116, 966, 96, 516], [772, 974, 548, 651], [343, 922, 29, 33], [590, 869, 645, 823]],
    ],
)
def test_glmm_steps_that_are_rounding(counts):
    found = binomial_normal(counts, model="UM.FS")
    again = binomial_normal(swapped(counts), model="UM.FS")
    assert found.estimate == pytest.approx(-again.estimate, rel=1e-6)
    assert found.loglik == pytest.approx(again.loglik, rel=QUAD)


def test_glmm_degenerate():
    with pytest.raises(ModelError, match="fewer than two"):
        binomial_normal([[3, 40, 8, 42]])
    with pytest.raises(ModelError, match="no finite maximum"):
        binomial_normal([[0, 40, 8, 42], [0, 20, 3, 22]])
    with pytest.raises(ModelError, match=r"Allowed: CM\.EL"):
        binomial_normal([[1, 40, 8, 42], [1, 20, 3, 22]], model="UM.XX")
    for model in BINOMIAL_MODELS:
        two = binomial_normal([[1, 40, 8, 42], [1, 20, 3, 22]], model=model)
        assert math.isfinite(two.estimate)
        same = binomial_normal([[5, 50, 5, 50]] * 3, model=model)
        assert same.estimate == pytest.approx(0.0, abs=QUAD)
        assert same.tau2 == 0.0
        # trials that contradict each other by far: a tau of several units, one trial with an empty arm
        far = binomial_normal([[0, 400, 40, 400], [45, 60, 2, 60], [3, 100, 60, 90], [30, 40, 5, 44]], model=model)
        assert 1.0 < math.sqrt(far.tau2) < 10.0


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", SETS)
def test_zero_cell_table(name, measure):
    content = SETS[name]
    counts = counts_of(content["counts"])
    table = zero_cell_table(counts, measure)
    assert tuple(table.columns) == ZERO_COLUMNS
    spent = bool(no_contrast(counts).any())
    inverse = table[table.method == "REML + HKSJ"]
    assert len(inverse) == (7 if spent else 4)
    assert set(inverse.policy) == set(ZERO_POLICIES)
    compared = 0
    for _, line in inverse.iterrows():
        side = "double_out" if line.double_zero == "out" else "double_in"
        reference = content["reml"].get(f"{measure} {line.policy} {side}") if content["reml"] else None
        if reference is None:
            assert line.k < 2
            assert line.note
            continue
        compared += 1
        assert line.k == reference["k"]
        for attribute in ("estimate", "se", "lower", "upper"):
            assert close(line[attribute], reference[attribute], ITERATED), (line.policy, attribute)
        if reference["p"] is not None:
            assert close(line.p, reference["p"], ITERATED)
        assert close(line.tau**2, reference["tau2"], ITERATED)
    assert compared == (0 if name == "one" else len(inverse))
    mh = table[table.method == "Mantel-Haenszel"].iloc[0]
    assert close(mh.estimate, content["mh"][measure]["estimate"])
    assert close(mh.se, content["mh"][measure]["se"])
    if measure == "OR":
        assert close(table[table.method == "Peto"].estimate.iloc[0], content["peto"]["estimate"])
        assert table.method.tolist()[-2:] == ["binomial-normal CM.EL", "binomial-normal UM.FS"]
        if name in GLMM:
            assert table.tau.iloc[-2] ** 2 == binomial_normal(counts).tau2
    blank = table[["estimate", "se", "lower", "upper", "p", "tau"]].isna().any(axis=1)
    assert (table.note[blank] != "").all()


def test_zero_cell_table_of_effects():
    counts = np.array(SETS["crins2014"]["counts"], float)
    k = len(counts)
    labels = [f"trial {i}" for i in range(k)]
    effects = Effects(labels, np.zeros(k), np.ones(k), measure="RR", counts=counts)
    assert zero_cell_table(effects).equals(zero_cell_table(counts, "RR"))
    bare = zero_cell_table(Effects(labels, np.zeros(k), np.ones(k), measure="SMD"))
    assert len(bare) == 1
    assert "carry no counts" in bare.note[0]
    with pytest.raises(ModelError, match="Allowed: OR, RR, RD"):
        zero_cell_table(counts, "HR")
    nothing = zero_cell_table([[0, 10, 0, 10], [0, 12, 0, 11]])
    # 1/2 added to nothing pools to no effect; what adds nothing has nothing to pool
    assert nothing[nothing.double_zero == "in"].estimate.abs().max() < 0.2
    assert (nothing[nothing.double_zero == "out"].note.str.startswith("no table is left")).all()
