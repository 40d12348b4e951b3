"""What must not change, or must change in a known way: no reference value, only what theory says.

Scaling, order, sign and labels; studies that say nothing; identities between answers of one fit; the chain rule.
"""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.fits import marginal
from bayesmeta.sensitivity import leave_one_out

# nested rules agree to 1e-8, relative
ENGINE = 2e-8
# two fits whose integrands are the same function, on the same nodes up to rounding
SAME = 1e-10
# the engine's chain of refits: one tolerance per refit
CHAIN = 1e-7
# the maximum of a density that is flat there: a mode is known to the square root of the engine's accuracy
MODE = 1e-5

FEW = settings(max_examples=8, deadline=None)
COLUMNS = ["mean", "sd", "median", "lower", "upper"]

Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15])
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))


def make(y: Any = Y, se: Any = SE, **options: Any) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, **{"measure": "MD", **options})


def numbers(fit: bm.Fit) -> np.ndarray:
    return bm.summarize(fit)[COLUMNS].to_numpy(float)


_study = st.tuples(st.floats(-2, 2), st.floats(0.05, 1.0))
_studies = st.lists(_study, min_size=2, max_size=8)


# ---------------------------------------------------------------------------------------------- scale, sign, order


@FEW
@given(_studies, st.floats(-6, 6))
def test_results_scale_with_the_data(rows: list[tuple[float, float]], log10: float) -> None:
    """y, se and the priors' scales times c: effects scale with c, and the evidence with c to the power -k."""
    y, se = np.array(rows).T
    c = 10.0**log10
    one = bm.fit(make(y, se), MODEL)
    other = bm.fit(make(c * y, c * se), bm.Model(bm.Normal(0, c), bm.HalfNormal(0.5 * c)))
    scale = numbers(one)[:, 1:2]
    np.testing.assert_allclose(numbers(other) / c / scale, numbers(one) / scale, rtol=0, atol=ENGINE)
    assert one.log_evidence is not None
    assert other.log_evidence is not None
    assert other.log_evidence == pytest.approx(one.log_evidence - len(y) * math.log(c), abs=ENGINE)


@pytest.mark.parametrize(
    ("mu", "tau", "scaled_mu", "scaled_tau"),
    [
        (bm.StudentT(0.1, 0.5, 4), bm.HalfCauchy(0.5), bm.StudentT(0.3, 1.5, 4), bm.HalfCauchy(1.5)),
        (bm.Flat(), bm.LogNormal(-1, 0.8), bm.Flat(), bm.LogNormal(-1 + math.log(3), 0.8)),
        (bm.Flat(), bm.LogStudentT(-1, 0.8, 5), bm.Flat(), bm.LogStudentT(-1 + math.log(3), 0.8, 5)),
        (bm.Flat(), bm.InverseGamma(1.7, 0.4), bm.Flat(), bm.InverseGamma(1.7, 1.2)),
        (bm.Flat(), bm.Jeffreys(), bm.Flat(), bm.Jeffreys()),
        (bm.Flat(), bm.Flat(), bm.Flat(), bm.Flat()),
        (bm.Uniform(-1, 0.5), bm.Uniform(0, 2), bm.Uniform(-3, 1.5), bm.Uniform(0, 6)),
        (bm.Truncated(bm.Normal(0, 1), -1, 0), None, bm.Truncated(bm.Normal(0, 3), -3, 0), None),
    ],
)
def test_every_family_scales(mu: Any, tau: Any, scaled_mu: Any, scaled_tau: Any) -> None:
    one = numbers(bm.fit(make(), bm.Model(mu, tau)))
    three = numbers(bm.fit(make(3 * Y, 3 * SE), bm.Model(scaled_mu, scaled_tau)))
    finite = np.isfinite(one)
    np.testing.assert_array_equal(finite, np.isfinite(three))
    np.testing.assert_allclose(three[finite] / 3, one[finite], rtol=0, atol=ENGINE)


@FEW
@given(_studies, st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(rows: list[tuple[float, float]], random: Any) -> None:
    y, se = np.array(rows).T
    order = list(range(len(rows)))
    random.shuffle(order)
    whole = make(y, se)
    one, other = bm.fit(whole, MODEL), bm.fit(whole.subset(order), MODEL)
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=0, atol=SAME)
    table, shuffled = bm.study_table(one), bm.study_table(other)
    columns = ["theta", "theta_lower", "theta_upper", "weight"]
    np.testing.assert_allclose(
        shuffled.set_index("label").loc[table["label"], columns], table[columns], rtol=0, atol=1e-8
    )


@FEW
@given(_studies)
def test_swapping_the_arms_negates(rows: list[tuple[float, float]]) -> None:
    y, se = np.array(rows).T
    one, other = bm.fit(make(y, se), MODEL), bm.fit(make(-y, se), MODEL)
    a, b = bm.summarize(one), bm.summarize(other)
    for name in ("mu", "theta_new"):
        left = a.loc[name, ["mean", "median", "lower", "upper"]].to_numpy(float)
        right = b.loc[name, ["mean", "median", "upper", "lower"]].to_numpy(float)
        np.testing.assert_allclose(-left, right, rtol=0, atol=SAME)
    np.testing.assert_allclose(a.loc["tau", COLUMNS].to_numpy(float), b.loc["tau", COLUMNS].to_numpy(float), atol=SAME)
    assert bm.probability(one, "mu", below=0.1) == pytest.approx(bm.probability(other, "mu", above=-0.1), abs=SAME)


def test_swapping_the_arms_swaps_benefit_and_direction() -> None:
    one = bm.fit(make(better="lower"), MODEL)
    other = bm.fit(make(-Y, better="higher"), MODEL)
    limits = [bm.threshold(0.3, measure_name="MD", better=b, name="x") for b in ("lower", "higher")]
    a, b = bm.benefit_table(one, limits[:1]), bm.benefit_table(other, limits[1:])
    columns = [name for name in a.columns if name.startswith(("p_", "share"))]
    np.testing.assert_allclose(a[columns].to_numpy(float), b[columns].to_numpy(float), atol=1e-9)


@pytest.mark.parametrize("mu", [bm.Flat(), bm.Normal(0, 1)], ids=repr)
def test_a_study_that_says_nothing_changes_nothing(mu: Any) -> None:
    one = bm.fit(make(), bm.Model(mu, bm.HalfNormal(0.5)))
    extra = make(np.append(Y, 40.0), np.append(SE, 1e7))
    other = bm.fit(extra, bm.Model(mu, bm.HalfNormal(0.5)))
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=0, atol=ENGINE)
    # under REML too (the same estimating equation)
    reml = [bm.classical.pool(e, method="REML", ci="wald").estimate for e in (make(), extra)]
    assert reml[0] == pytest.approx(reml[1], abs=1e-6)


# ------------------------------------------------------------------------------------------------ classical limits


@pytest.mark.parametrize("name", ["bcg_rr", "normand_smd", "crins_or", "raudenbush_smd"])
def test_flat_prior_mode_of_tau_is_reml(name: str) -> None:
    """Flat tau, flat mu: the posterior of tau is the restricted likelihood, so its mode is the root of REML's tau2."""
    from references import effects_of

    effects = effects_of(name)
    tau = marginal(bm.fit(effects, bm.Model(bm.Flat(), bm.Flat())), "tau")
    reml = math.sqrt(bm.classical.pool(effects, method="REML", ci="wald").tau2)
    x = reml * (1 + np.linspace(-0.02, 0.02, 2001))
    assert x[np.argmax(tau.density(x))] == pytest.approx(reml, rel=2 * MODE + 0.04 / 2000)


@FEW
@given(_studies)
def test_common_effect_with_a_flat_mean_is_inverse_variance(rows: list[tuple[float, float]]) -> None:
    y, se = np.array(rows).T
    row = bm.summarize(bm.fit(make(y, se), bm.Model(bm.Flat(), None))).loc["mu"]
    w = se**-2
    normal = stats.norm(w @ y / w.sum(), w.sum() ** -0.5)
    expected = [normal.mean(), normal.std(), normal.ppf(0.5), normal.ppf(0.025), normal.ppf(0.975)]
    np.testing.assert_allclose(row[COLUMNS].to_numpy(float), expected, rtol=0, atol=SAME)


def test_a_tiny_prior_scale_of_tau_is_the_common_effect() -> None:
    common = numbers(bm.fit(make(), bm.Model(bm.Flat(), None)))[0]
    nearly = numbers(bm.fit(make(), bm.Model(bm.Flat(), bm.HalfNormal(1e-6))))[0]
    np.testing.assert_allclose(nearly, common, rtol=0, atol=1e-9)


def test_splitting_a_study_leaves_only_the_common_effect() -> None:
    """Two halves of a trial, with its mean and twice its variance, say as much about mu at tau = 0 only."""
    halves = make(np.append(Y, Y[0]), np.append(np.append(SE[0] * math.sqrt(2), SE[1:]), SE[0] * math.sqrt(2)))
    for mu in (bm.Flat(), bm.Normal(0, 1)):
        whole, split = (numbers(bm.fit(e, bm.Model(mu, None)))[0] for e in (make(), halves))
        np.testing.assert_allclose(split, whole, rtol=0, atol=SAME)
    whole, split = (bm.summarize(bm.fit(e, MODEL)).loc["mu", "mean"] for e in (make(), halves))
    assert abs(split - whole) > 1e-3


# ------------------------------------------------------------------------------------------------- dependence


def test_a_diagonal_covariance_is_independence() -> None:
    diagonal = Effects.from_cov(Y, np.diag(SE**2), measure="MD")
    assert diagonal.blocks == ()
    np.testing.assert_allclose(numbers(bm.fit(diagonal, MODEL)), numbers(bm.fit(make(), MODEL)), rtol=0, atol=SAME)


def test_a_block_without_correlation_is_no_block() -> None:
    """Zero sampling covariance and rho = 0 inside a block."""
    block = ((np.array([1, 3]), np.diag(SE[[1, 3]] ** 2)),)
    blocked = bm.fit(make(blocks=block), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), rho=0))
    free = bm.fit(make(), MODEL)
    np.testing.assert_allclose(numbers(blocked), numbers(free), rtol=0, atol=SAME)
    np.testing.assert_allclose(bm.study_table(blocked)["theta"], bm.study_table(free)["theta"], rtol=0, atol=SAME)
    np.testing.assert_allclose(bm.study_table(blocked)["weight"], bm.study_table(free)["weight"], rtol=0, atol=1e-8)
    assert blocked.log_evidence == pytest.approx(free.log_evidence, abs=SAME)


def test_a_row_repeated_with_correlation_one_is_the_row() -> None:
    """Two copies that share all patients and their true effect carry what one carries (limit rho = 1, r -> 1)."""
    r = 1 - 1e-9
    y, se = np.append(Y, Y[0]), np.append(SE, SE[0])
    S = SE[0] ** 2 * np.array([[1, r], [r, 1]])
    study = ["trial 0", "trial 1", "trial 2", "trial 3", "trial 4", "trial 0"]
    twice = Effects(study, y, se, measure="MD", blocks=((np.array([0, 5]), S),))
    ours = numbers(bm.fit(twice, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), rho=1.0)))
    np.testing.assert_allclose(ours, numbers(bm.fit(make(), MODEL)), rtol=0, atol=1e-6)


def test_order_of_rows_changes_nothing_with_blocks_and_moderators() -> None:
    effects, model = with_moderators()
    order = [3, 0, 6, 2, 5, 1, 4]
    other = effects.subset(order)
    a, b = bm.summarize(bm.fit(effects, model)), bm.summarize(bm.fit(other, model))
    np.testing.assert_allclose(b.loc[a.index, COLUMNS].to_numpy(float), a[COLUMNS].to_numpy(float), rtol=0, atol=SAME)


# -------------------------------------------------------------------------------------------------- moderators


def with_moderators(**levels: str) -> tuple[Effects, bm.Model]:
    names = {"a": "a", "b": "b", "c": "c", **levels}
    kind = [names[v] for v in "abacbca"]
    y = [-0.5, -0.3, 0.1, -0.2, -0.6, 0.0, -0.4]
    block = ((np.array([2, 4]), np.array([[0.09, 0.02], [0.02, 0.06]])),)
    effects = Effects(
        ["t0", "t1", "t2", "t3", "t2", "t5", "t6"],
        y,
        np.sqrt([0.04, 0.05, 0.09, 0.04, 0.06, 0.02, 0.05]),
        measure="MD",
        moderators={"kind": kind, "weeks": [6.0, 6, 12, 12, 24, 10, 8]},
        blocks=block,
        label=[f"r{i}" for i in range(7)],
    )
    beta = {"kind": bm.Coefficient(bm.Normal(0, 0.5)), "weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6)}
    return effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), beta)


def test_relabelling_levels_changes_nothing() -> None:
    effects, model = with_moderators()
    renamed, _ = with_moderators(a="zebra", b="ant", c="m")
    one, other = bm.fit(effects, model), bm.fit(renamed, model)
    np.testing.assert_allclose(
        bm.summarize(other).loc[["mu", "tau", "theta_new", "beta[weeks per 6]"], COLUMNS].to_numpy(float),
        bm.summarize(one).loc[["mu", "tau", "theta_new", "beta[weeks per 6]"], COLUMNS].to_numpy(float),
        rtol=0,
        atol=SAME,
    )
    assert other.log_evidence == pytest.approx(one.log_evidence, abs=SAME)
    for old, new in (("a", "zebra"), ("b", "ant"), ("c", "m")):
        a, b = (bm.predict(f, {"kind": v})[COLUMNS].to_numpy(float) for f, v in ((one, old), (other, new)))
        np.testing.assert_allclose(b, a, rtol=0, atol=SAME)


@pytest.mark.parametrize("reference", ["a", "b", "c"])
def test_the_reference_changes_no_number(reference: str) -> None:
    effects, model = with_moderators()
    base = bm.fit(effects, model)
    beta = {**model.beta, "kind": bm.Coefficient(bm.Normal(0, 0.5), reference=reference)}
    other = bm.fit(effects, bm.Model(model.mu, model.tau, beta))
    assert other.log_evidence == base.log_evidence
    for level in "abc":
        np.testing.assert_array_equal(
            bm.predict(other, {"kind": level})[COLUMNS], bm.predict(base, {"kind": level})[COLUMNS]
        )
    # the contrasts that are printed are other ones, and each is minus its mirror image
    table = bm.contrast_table(other).set_index("contrast")
    mirrored = bm.contrast_table(base).set_index("contrast")
    assert {name.split(" - ")[1] for name in table.index[:2]} == {reference}
    for name in table.index[:-1]:
        left, right = name.split(" - ")
        mirror = name if name in mirrored.index else f"{right} - {left}"
        sign = 1 if name in mirrored.index else -1
        assert table.loc[name, "mean"] == pytest.approx(sign * mirrored.loc[mirror, "mean"], abs=SAME)


def test_shifting_a_numeric_moderator_changes_nothing_and_scaling_it_with_per_neither() -> None:
    effects, model = with_moderators()
    moderators = {"kind": effects.moderators["kind"], "weeks": (effects.moderators["weeks"] - 3.0) * 7}
    days = Effects(
        effects.study,
        effects.y,
        effects.se,
        measure="MD",
        moderators=moderators,
        blocks=effects.blocks,
        label=effects.label,
    )
    beta = {**model.beta, "weeks": bm.Coefficient(bm.Normal(0, 0.25), per=42)}
    one, other = bm.fit(effects, model), bm.fit(days, bm.Model(model.mu, model.tau, beta))
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=0, atol=1e-9)
    a, b = bm.predict(one, {"weeks": 20}), bm.predict(other, {"weeks": 119})
    np.testing.assert_allclose(b[COLUMNS].to_numpy(float), a[COLUMNS].to_numpy(float), rtol=0, atol=1e-9)


def test_mu_is_the_average_over_the_observed_mix() -> None:
    fit = bm.fit(*with_moderators())
    frequency = {"a": 3 / 7, "b": 2 / 7, "c": 2 / 7}
    average = sum(share * bm.predict(fit, {"kind": level}).loc["mu", "mean"] for level, share in frequency.items())
    assert average == pytest.approx(bm.summarize(fit).loc["mu", "mean"], abs=SAME)


# -------------------------------------------------------------------------------------------------- identities


@pytest.mark.parametrize("tau", [bm.HalfNormal(0.5), bm.Rhodes2015(), bm.InverseGamma(1.7, 0.4)], ids=repr)
@pytest.mark.parametrize("benefit", [0.05, 0.3, 1.0])
def test_probabilities_of_one_fit_agree(tau: Any, benefit: float) -> None:
    fit = bm.fit(make(better="lower"), bm.Model(bm.Normal(0, 1), tau))
    limit = bm.threshold(benefit, worse=0.2, measure_name="MD", better="lower")
    table = bm.benefit_table(fit, [limit])
    total = table["p_important_benefit"] + table["p_trivial"] + table["p_important_harm"]
    np.testing.assert_allclose(total, 1.0, atol=1e-12)
    new = table.set_index("target").loc["new study"]
    # the expected share of true effects is the probability in a new study
    share = bm.share_of_true_effects(fit, benefit)
    assert share["share_mean"] == pytest.approx(new["p_important_benefit"], abs=1e-12)
    assert bm.probability(fit, "theta_new", below=-benefit) == pytest.approx(share["share_mean"], abs=1e-12)
    # and the majority of true effects is beneficial when the mean effect does
    assert share["p_majority"] == pytest.approx(bm.probability(fit, "mu", below=-benefit), abs=1e-9)
    for name in ("mu", "tau", "theta_new"):
        below, above = bm.probability(fit, name, below=0.2), bm.probability(fit, name, above=0.2)
        between = bm.probability(fit, name, between=(-0.4, 0.2))
        assert below + above == pytest.approx(1, abs=1e-12)
        assert between == pytest.approx(below - bm.probability(fit, name, below=-0.4), abs=1e-12)


def test_share_of_true_effects_is_the_expectation_over_its_own_distribution() -> None:
    """E(q) = integral of P(q > x): the share's quantiles at many levels average to its mean."""
    fit = bm.fit(make(better="lower"), MODEL)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    levels = 0.5 * (nodes + 1)
    # an interval of level |2p - 1| has its ends at p and 1 - p
    ends = [bm.share_of_true_effects(fit, 0.3, level=abs(2 * p - 1)) for p in levels]
    quantiles = [e["share_lower"] if p < 0.5 else e["share_upper"] for e, p in zip(ends, levels, strict=True)]
    # the quantile function has infinite slope at its ends, hence the tolerance
    assert 0.5 * float(weights @ quantiles) == pytest.approx(ends[0]["share_mean"], abs=1e-4)


def test_total_expectation_across_tau() -> None:
    """E(mu), Var(mu) and Var(theta_new) from the closed forms given tau, over the posterior density of tau."""
    fit = bm.fit(make(), MODEL)
    tau = marginal(fit, "tau")

    def given(t: float) -> tuple[float, float]:
        w = 1 / (SE**2 + t * t)
        return float(w @ Y / (w.sum() + 1)), float(1 / (w.sum() + 1))

    def average(function: Any) -> float:
        edges = [0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 4]
        return sum(
            integrate.quad(lambda t: function(*given(t), t) * float(tau.density(t)), a, b, epsabs=1e-13)[0]
            for a, b in pairwise(edges)
        )

    table = bm.summarize(fit)
    assert average(lambda m, v, t: 1.0) == pytest.approx(1, abs=ENGINE)
    mean = average(lambda m, v, t: m)
    assert table.loc["mu", "mean"] == pytest.approx(mean, abs=ENGINE)
    assert table.loc["mu", "sd"] ** 2 == pytest.approx(average(lambda m, v, t: v + (m - mean) ** 2), abs=ENGINE)
    assert table.loc["theta_new", "sd"] ** 2 == pytest.approx(
        average(lambda m, v, t: v + t * t + (m - mean) ** 2), abs=ENGINE
    )
    assert table.loc["tau", "mean"] == pytest.approx(average(lambda m, v, t: t), abs=ENGINE)


def test_new_effect_is_as_variable_as_mean_and_heterogeneity_together() -> None:
    table = bm.summarize(bm.fit(make(), MODEL))
    second = table.loc["tau", "sd"] ** 2 + table.loc["tau", "mean"] ** 2
    assert table.loc["theta_new", "sd"] ** 2 == pytest.approx(table.loc["mu", "sd"] ** 2 + second, rel=ENGINE)
    assert table.loc["theta_new", "mean"] == pytest.approx(table.loc["mu", "mean"], abs=SAME)


def test_bayes_factors_are_antisymmetric_and_transitive() -> None:
    a = bm.fit(make(), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    b = bm.fit(make(), bm.Model(bm.StudentT(0, 0.4, 5), None))
    c = bm.fit(make(), bm.Model(bm.Normal(0, 0.1), bm.Rhodes2015()))
    assert bm.bayes_factor(a, b) * bm.bayes_factor(b, a) == pytest.approx(1, rel=1e-12)
    assert bm.bayes_factor(a, b) * bm.bayes_factor(b, c) == pytest.approx(bm.bayes_factor(a, c), rel=1e-12)
    assert bm.bayes_factor(a, a) == 1.0


def test_study_weights_sum_to_one_hundred() -> None:
    for fit in (bm.fit(make(), MODEL), bm.fit(*with_moderators())):
        assert bm.study_table(fit)["weight"].sum() == pytest.approx(100, abs=1e-9)


# -------------------------------------------------------------------------------------------------- chain rule


def sequential(effects: Effects, model: bm.Model) -> float:
    """log p(all) as the sum of log p(unit j | units before it), each from a refit on its own nodes."""
    names, unit = effects.units
    total = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        for number in range(len(names)):
            so_far = effects.subset(unit <= number)
            if number == 0:
                total += bm.fit(so_far, model).log_evidence or math.nan
                continue
            table = leave_one_out(bm.fit(so_far, model)).set_index("left_out")
            total += float(table.loc[names[number], "log_predictive"])
    return total


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        bm.Model(bm.StudentT(0, 0.5, 4), bm.HalfCauchy(0.5)),
        bm.Model(bm.Normal(0, 1), bm.Rhodes2015()),
        bm.Model(bm.Normal(0, 1), None),
    ],
    ids=repr,
)
def test_chain_rule(model: bm.Model) -> None:
    whole = bm.fit(make(), model)
    assert sequential(make(), model) == pytest.approx(whole.log_evidence, abs=CHAIN)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_chain_rule_with_blocks(rho: float) -> None:
    effects, _ = with_moderators()
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), rho=rho)
    assert sequential(effects, model) == pytest.approx(bm.fit(effects, model).log_evidence, abs=CHAIN)


def test_evidence_of_a_common_effect_is_a_multivariate_normal() -> None:
    """y ~ N(0, diag(se^2) + s^2 11'), scipy's density."""
    fit = bm.fit(make(), bm.Model(bm.Normal(0, 0.7), None))
    cov = np.diag(SE**2) + 0.49
    assert fit.log_evidence == pytest.approx(stats.multivariate_normal(np.zeros(5), cov).logpdf(Y), abs=1e-12)
