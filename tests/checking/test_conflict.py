"""Priors against the data: the prior predictive check of mu and tau.

Authorities: closed forms of the normal model, scipy's adaptive quadrature over the prior of tau, simulation of the
quadratic form (an independent path to the distribution of Q), and the two cases whose p-values are stated below.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.checking import prior_conflict_table, prior_conflicts
from bayesmeta.records import failed_checks, unreportable

# the rule settles to 1e-7 of a p-value; scipy's quadrature to about 1e-9
RULE = 1e-6
FIVE = pd.DataFrame(
    [
        (30, 61, 20, 30, 52, 21),
        (40, 66, 19, 42, 50, 22),
        (25, 70, 18, 26, 61, 20),
        (33, 64, 22, 35, 59, 20),
        (50, 69, 21, 50, 55, 21),
    ],
    columns=["n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c"],
).assign(study=list("ABCDE"))
BLOCK = [([0, 1], [[0.04, 0.02], [0.02, 0.0625]])]
DEPENDENT = bm.Effects(["A", "A", "B", "C"], [0.3, 0.5, -0.2, 0.9], [0.2, 0.25, 0.3, 0.15], measure="SMD", blocks=BLOCK)


def row(fit: bm.Fit, name: str) -> dict:
    return prior_conflict_table(fit).set_index("quantity").loc[name].to_dict()


def five(mu: bm.Normal, tau: bm.HalfNormal) -> bm.Fit:
    return bm.fit(bm.effect_sizes(FIVE, measure="MD"), bm.Model(mu, tau))


def wrong_side() -> bm.Fit:
    effects = bm.Effects(list("abc"), [-0.9, -1.1, -0.8], [0.2, 0.25, 0.22], measure="SMD")
    return bm.fit(effects, bm.Model(bm.Normal(0.5, 0.1), bm.HalfNormal(0.1)))


def test_a_prior_on_the_scale_of_an_smd_for_points_of_100_is_not_reportable():
    """Stated value 2.6e-6, to two digits."""
    fit = five(bm.Normal(0, 1), bm.HalfNormal(0.25))
    assert row(fit, "mu")["p"] == pytest.approx(2.6e-6, abs=0.05e-6)
    assert row(fit, "tau")["verdict"] == "agrees"
    severities = [(item.rule, item.severity) for item in prior_conflicts(fit)]
    assert severities == [("prior against data", "error"), ("narrow prior", "warning"), ("narrow prior", "warning")]
    assert failed_checks([fit]) == []
    (reason,) = unreportable([fit])
    assert "normal(0, 1)" in reason
    assert "2.6e-06" in reason


def test_a_prior_in_the_other_direction_is_not_reportable():
    """Stated value 2.7e-10, to two digits: the narrow priors are those of the estimates' own precision."""
    fit = wrong_side()
    assert row(fit, "mu")["p"] == pytest.approx(2.7e-10, abs=0.05e-10)
    assert [item.rule for item in prior_conflicts(fit)] == ["prior against data"]


def test_short_fatigue_agrees_with_its_priors():
    """Stated value 0.79, to two digits."""
    analysis = bm.analyse("models/cancer_exercise.toml", "fatigue_short", declared=False)
    assert row(analysis.pooled, "mu")["p"] == pytest.approx(0.79, abs=0.005)
    assert analysis.notices == ()
    assert unreportable(analysis.fits) == []
    assert row(analysis.moderated, "mu")["verdict"] == "not checked"


def test_declared_sensitivity_analyses_do_not_gate():
    """A wrong prior that is declared as a variation leaves the headline as it is."""
    analysis = bm.analyse("models/exercise_depression.toml", "depression")
    wrong = bm.fit(analysis.effects, bm.Model(bm.Normal(3, 0.01), bm.HalfNormal(0.1)), outcome=analysis.pooled.outcome)
    assert unreportable([wrong]) != []
    varied = dataclasses.replace(analysis, declared={**analysis.declared, "wrong": wrong})
    assert unreportable(varied.fits) == []


@pytest.mark.parametrize("tau", [bm.HalfNormal(0.3), bm.HalfCauchy(0.2), bm.LogNormal(-1.5, 0.8), None])
def test_mu_is_checked_by_its_closed_form_over_the_prior_of_tau(tau):
    """Twice Phi(-|T - m0| / sqrt(s0^2 + Var(T | tau))), integrated by scipy; dependent rows by dense matrices."""
    effects = DEPENDENT
    w = effects.se**-2
    c = w / w.sum()
    R = np.eye(4)
    R[0, 1] = R[1, 0] = 0.3
    apart, common = c @ effects.covariance() @ c, c @ R @ c

    def tail(t: float) -> float:
        return 2 * stats.norm.sf(abs(c @ effects.y - 1.4), scale=math.sqrt(0.25 + apart + t * t * common))

    if tau is None:
        expected = tail(0.0)
    else:
        ends = np.asarray(tau.ppf(np.array([0.0, 0.5, 0.99, 0.9999, 1 - 1e-9])))
        pieces = itertools.pairwise(ends)
        expected = sum(
            integrate.quad(lambda t: tail(t) * math.exp(tau.logpdf(t)), a, b, epsabs=1e-11, limit=400)[0]
            for a, b in pieces
        )
    fit = bm.fit(effects, bm.Model(bm.Normal(1.4, 0.5), tau, rho=0.3))
    assert row(fit, "mu")["p"] == pytest.approx(expected, abs=1e-8 + RULE * expected)


@pytest.mark.parametrize(
    "mu", [bm.StudentT(0.8, 0.2, 3), bm.Cauchy(0.8, 0.2), bm.Uniform(0.6, 1.2), bm.Truncated(bm.Normal(0.5, 1), 0.4, 9)]
)
def test_other_priors_of_mu_by_direct_convolution(mu):
    """P(T_rep <= T) by scipy over the prior of mu; a cut prior is good to 1e-5."""
    fit = bm.fit(DEPENDENT, bm.Model(mu, None))
    found = row(fit, "mu")
    w = DEPENDENT.se**-2
    c = w / w.sum()
    sd, observed = math.sqrt(c @ DEPENDENT.covariance() @ c), float(c @ DEPENDENT.y)
    ends = np.asarray(mu.ppf(np.array([1e-7, 1e-4, 0.01, 0.2, 0.5, 0.8, 0.99, 1 - 1e-4, 1 - 1e-7])))
    below = sum(
        integrate.quad(lambda m: stats.norm.cdf(observed, m, sd) * math.exp(mu.logpdf(m)), a, b, epsabs=1e-11)[0]
        for a, b in itertools.pairwise(ends)
    )
    assert found["p_lower"] == pytest.approx(below, abs=1e-5)
    assert found["p_lower"] + found["p_upper"] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("effects", [DEPENDENT, DEPENDENT.subset([1, 2, 3])])
def test_q_is_that_of_the_whole_covariance_and_its_tails_are_those_of_simulated_trials(effects):
    """400 000 data sets from the prior of tau: the share below Q has a standard error of at most 0.0008."""
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.4), rho=0.7))
    S, k = effects.covariance(), effects.k
    W = np.linalg.inv(S)
    M = W - np.outer(W.sum(axis=0), W.sum(axis=0)) / W.sum()
    R = np.eye(k)
    for rows, _ in effects.blocks:
        R[np.ix_(rows, rows)] = 0.7 + 0.3 * np.eye(len(rows))
    found, rng = row(fit, "tau"), np.random.default_rng(1)
    assert found["observed"] == pytest.approx(effects.y @ M @ effects.y, rel=1e-10)
    tau = 0.4 * np.abs(rng.standard_normal(400_000))
    y = rng.standard_normal((tau.size, k)) @ np.linalg.cholesky(S).T
    y += tau[:, None] * (rng.standard_normal((tau.size, k)) @ np.linalg.cholesky(R).T)
    q = ((y @ M) * y).sum(axis=1)
    below = float((q <= found["observed"]).mean())
    assert found["p_lower"] == pytest.approx(below, abs=5 * math.sqrt(below * (1 - below) / tau.size))


def test_two_estimates_have_a_closed_form():
    """Q of two independent estimates is (1 + 2 tau^2 / (v1 + v2)) chi2(1)."""
    effects = bm.Effects(["A", "B"], [0.0, 1.0], [0.3, 0.4], measure="SMD")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    expected = integrate.quad(
        lambda t: stats.chi2.cdf(4.0 / (1 + 2 * t * t / 0.25), 1) * math.exp(bm.HalfNormal(0.5).logpdf(t)), 0, 5
    )[0]
    assert row(fit, "tau")["p_lower"] == pytest.approx(expected, abs=RULE)


def test_clusters_enter_the_variance_of_the_mean_with_both_sds():
    """Dense: S + tau^2 ZZ' + w^2 I, averaged over both priors by scipy's double integral."""
    effects = bm.Effects(
        ["A", "A", "B", "C"], [1.3, 1.5, 0.9, 1.1], [0.2, 0.25, 0.3, 0.15], measure="SMD", cluster=["A", "A", "B", "C"]
    )
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 0.3), bm.HalfNormal(0.2), cluster_tau=bm.HalfNormal(0.1)))
    w = effects.se**-2
    c = w / w.sum()
    Z = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    parts = (c @ effects.covariance() @ c, c @ Z @ Z.T @ c, c @ c)

    def tail(a: float, b: float) -> float:
        variance = 0.09 + parts[0] + a * a * parts[1] + b * b * parts[2]
        density = math.exp(bm.HalfNormal(0.2).logpdf(a) + bm.HalfNormal(0.1).logpdf(b))
        return 2 * stats.norm.sf(c @ effects.y, scale=math.sqrt(variance)) * density

    expected = integrate.dblquad(lambda b, a: tail(a, b), 0, 1.6, 0, 0.8, epsabs=1e-12)[0]
    assert row(fit, "mu")["p"] == pytest.approx(expected, rel=1e-5)
    assert "two SDs" in row(fit, "tau")["note"]


def test_the_rate_of_false_alarms_is_that_of_the_p_values():
    """1,500 data sets from the prior: p below 0.01 in 1 %, below 0.1 in 10 %, each within 4 binomial SEs.

    The check needs estimates and priors alone, so each data set is one fit that is never asked for its posterior.
    """
    rng = np.random.default_rng(20)
    se = np.array([0.2, 0.3, 0.25, 0.15, 0.4])
    model, count = bm.Model(bm.Normal(0, 0.5), bm.HalfNormal(0.3)), 1500
    mu, tau = 0.5 * rng.standard_normal(count), 0.3 * np.abs(rng.standard_normal(count))
    y = mu[:, None] + rng.standard_normal((count, 5)) * np.hypot(tau[:, None], se)
    template = bm.fit(bm.Effects(list("ABCDE"), y[0], se, measure="SMD"), model)
    found = []
    for data in y:
        fit = dataclasses.replace(template, effects=bm.Effects(list("ABCDE"), data, se, measure="SMD"))
        found.append(prior_conflict_table(fit)["p"].to_numpy(float))
    p = np.array(found)
    for column in p.T:
        for level in (0.01, 0.1, 0.5):
            share = float((column < level).mean())
            assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / count))


def test_improper_priors_are_said_and_not_checked():
    effects = DEPENDENT
    table = prior_conflict_table(bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(0.5))))
    assert table["verdict"].tolist() == ["not checked", "agrees"]
    assert "flat() is improper" in table["note"][0]
    both = prior_conflict_table(bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.Flat())))
    assert both["verdict"].tolist() == ["not checked", "not checked"]
    assert both["p"].isna().all()


def test_draws_are_checked_as_the_exact_fit_is():
    """Only effects and priors are asked, so the posterior of another engine changes nothing."""
    exact = wrong_side()
    other = dataclasses.replace(exact, engine="nuts")
    pd.testing.assert_frame_equal(prior_conflict_table(exact), prior_conflict_table(other))
    counts = bm.Effects(["A", "B"], [0.1, 0.2], [0.3, 0.3], measure="OR", counts=[[5, 20, 4, 20], [6, 20, 5, 20]])
    binomial = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), likelihood="binomial", baseline=bm.Normal(-1, 1))
    table = prior_conflict_table(dataclasses.replace(exact, effects=counts, model=binomial))
    assert table["verdict"].tolist() == ["not checked"] * 2
    assert "binomial" in table["note"][0]


def test_estimates_that_agree_too_well_are_not_the_fault_of_the_prior():
    """Three equal estimates: Q = 0 is impossible under any tau; it is said, and does not gate."""
    effects = bm.Effects(list("ABC"), [0.5, 0.5, 0.5], [0.2, 0.2, 0.2], measure="SMD")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    assert row(fit, "tau")["p"] == pytest.approx(0, abs=1e-12)
    assert [(item.rule, item.severity) for item in prior_conflicts(fit)] == [("estimates alike", "warning")]
    assert unreportable([fit]) == []


def test_a_prior_without_mass_near_zero_conflicts_with_estimates_that_agree():
    """Estimates with Q at its mean under tau = 0, and a prior of tau near 2: the prior is at fault."""
    effects = bm.Effects(
        [f"{i}" for i in range(8)], [0.1, 0.3, 0.5, 0.2, 0.4, 0.3, 0.1, 0.5], [0.15] * 8, measure="SMD"
    )
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.LogNormal(math.log(2), 0.1)))
    assert row(fit, "tau")["verdict"] == "strong conflict"
    assert len(unreportable([fit])) == 1
