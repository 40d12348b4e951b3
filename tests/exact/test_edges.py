"""Numbers at the edges of what other tests hold: found by mistakes that were planted and that no test noticed.

Expected values are closed forms, sums by hand, or dense sums on grids that use nothing of the engine.
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.exact import conditional_draws, narrow, solve
from bayesmeta.exact.answers import ExactPosterior
from bayesmeta.exact.batched import Values
from bayesmeta.exact.quadrature import _differences
from bayesmeta.fits import marginal
from bayesmeta.marginals import SETTLED

# the engine's own target; the grids below are good to 1e-11
TOLERANCE = 1e-8

Y, SE = np.array([-0.9, -0.2, -0.5, 0.1, -0.35]), np.array([0.3, 0.2, 0.25, 0.4, 0.15])
S = np.diag(SE**2)
S[0, 1] = S[1, 0] = 0.5 * SE[0] * SE[1]


def trials(blocks: bool = False, **options: Any) -> Effects:
    rows = [(np.array([0, 1]), S[:2, :2])] if blocks else []
    names = ["A", "A", "B", "C", "D"] if blocks else list("ABCDE")
    return Effects(names, Y, SE, measure="SMD", better="lower", blocks=rows, **options)


def on_grids(V: Any, prior_mu: Any, prior_tau: Any) -> tuple[float, float]:
    """Log evidence and mean of mu, by sums over mu and tau of dense normal densities of the five estimates."""
    nodes, weights = np.polynomial.legendre.leggauss(120)
    tau, weights = 2.5 * (nodes + 1), 2.5 * weights
    mu = np.arange(-60.0, 60.0, 0.01)
    joint = np.empty((tau.size, mu.size))
    for i, t in enumerate(tau):
        C = V(t)
        P = np.linalg.inv(C)
        r = Y[:, None] - mu
        log = -0.5 * (5 * math.log(2 * math.pi) + np.linalg.slogdet(C)[1] + np.einsum("im,ij,jm->m", r, P, r))
        joint[i] = weights[i] * 0.01 * np.exp(log) * prior_mu(mu) * prior_tau(t)
    return float(np.log(joint.sum())), float(joint.sum(axis=0) @ mu / joint.sum())


def test_rows_that_share_patients_under_a_prior_with_a_mixing_scale() -> None:
    """A Student-t mean is a mixture that is integrated as an axis of its own, with correlated rows."""
    R = np.eye(5)
    R[0, 1] = R[1, 0] = 0.5
    evidence, mean = on_grids(
        lambda t: S + t * t * R, stats.t(4, 0.3, 0.2).pdf, lambda t: 2 * stats.norm.pdf(t, 0, 0.5)
    )
    fit = bm.fit(trials(blocks=True), bm.Model(bm.StudentT(0.3, 0.2, 4), bm.HalfNormal(0.5), rho=0.5))
    assert fit.engine == "exact"
    assert fit.log_evidence == pytest.approx(evidence, abs=TOLERANCE)
    assert marginal(fit, "mu").mean == pytest.approx(mean, abs=TOLERANCE)


def test_an_inverse_gamma_prior_far_below_the_errors_is_the_prior() -> None:
    """Errors of 100 say nothing of a tau of about 1e-4, so that its quantiles are those of the prior."""
    effects = Effects(list("ABC"), [1.0, -2.0, 0.5], [100.0] * 3, measure="MD")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.InverseGamma(6.0, 1e-3)))
    p = np.array([0.025, 0.5, 0.975])
    # tau = scale / Gamma(shape)
    expected = 1e-3 / stats.gamma.ppf(1 - p, 6.0)
    assert marginal(fit, "tau").quantile(p) == pytest.approx(expected, rel=1e-7)


def test_a_wide_prior_of_a_proportion_is_summed_on_as_many_values_as_it_needs() -> None:
    """One person with an event, and a mean that is as often above zero as below: probability one half."""
    effects = Effects(["A"], [1.1], [1.6], measure="PLO", counts=[[1, 1]], n=[[1]], better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 20), bm.HalfNormal(0.5), likelihood="binomial"))
    assert fit.log_evidence == pytest.approx(math.log(0.5), abs=TOLERANCE)


def test_a_log_normal_prior_of_tau_beside_many_counts_is_summed_on_grids() -> None:
    """Sums over log tau, mu and each effect, of smooth densities: they converge faster than any power of the step."""
    x, n = np.array([3, 9, 14, 2, 20, 6, 11, 5, 17, 8, 1, 25], float), np.full(12, 40.0)
    y, se = np.log(x / (n - x)), np.sqrt(1 / x + 1 / (n - x))
    names = [f"T{i}" for i in range(12)]
    effects = Effects(names, y, se, measure="PLO", counts=np.column_stack([x, n]), n=n[:, None], better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.LogNormal(0, 2), likelihood="binomial"))
    # a tau far below the errors is as likely as none, so that the prior's lower tail counts
    log_tau, mu, z = np.linspace(-16.0, 2.4, 93), np.linspace(-5.0, 2.5, 76), np.linspace(-8.0, 8.0, 201)
    theta = mu[:, None, None] + np.exp(log_tau)[:, None] * z
    weights = stats.norm.pdf(z)
    never = 40 * np.logaddexp(0.0, theta)
    total = np.zeros((mu.size, log_tau.size))
    for events in x:
        total += np.log(np.exp(events * theta - never) @ (weights / weights.sum())) + math.log(special.comb(40, events))
    total += stats.norm.logpdf(mu, 0, 2)[:, None] + stats.norm.logpdf(log_tau, 0, 2)
    evidence = special.logsumexp(total) + math.log((mu[1] - mu[0]) * (log_tau[1] - log_tau[0]))
    assert fit.log_evidence == pytest.approx(evidence, abs=1e-6)


def test_a_window_closes_in_on_a_maximum_between_two_points_of_a_scan() -> None:
    """A spike with an SD of 0.02 stands 60 nats above a shoulder with an SD of 1, which the scan sees nearly alone."""
    centre = 5.125

    def log(z: np.ndarray) -> np.ndarray:
        return np.logaddexp(-0.5 * np.square(z - centre), 60 - 0.5 * np.square((z - centre) / 0.02))

    low, high = narrow(log, np.linspace(0, 10, 41))
    # 46 nats below the maximum are 9.6 SDs of the spike
    assert low <= centre - 9.59 * 0.02
    assert high >= centre + 9.59 * 0.02
    assert high - low < 1.0


def given(*, moments: int, sds: list[float], means: list[float]) -> tuple[Any, Values]:
    """Two nodes of one problem without moments of mu."""
    batch = SimpleNamespace(mu_moments=np.array([[0]]), moments=np.array([[[moments]]]), typical_se=np.array([[1.0]]))
    one = np.array([sds])[None]
    return batch, Values(
        np.zeros((1, 2)), one, np.empty((0, 1, 2)), np.array([[means]]), np.ones((1, 1, 1, 2))
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_rules_that_differ_in_a_probability_have_not_settled(share: float) -> None:
    """A tenth of the mass moves from one node to the other, either way: at the middle by 0.1 (Phi(1) - Phi(-1))."""
    batch, values = given(moments=0, sds=[1.0, 1.0], means=[-1.0, 1.0])
    (found,) = _differences(
        batch, values, np.array([[0.5, 0.5]]), [np.array([[share, 1 - share]])], np.ones((1, 2), bool)
    )
    assert found[0] >= 0.1 * (special.ndtr(1) - special.ndtr(-1)) - 1e-12


def test_rules_that_differ_in_the_second_moment_of_tau_have_not_settled() -> None:
    """E tau^2 of 1 and 3 is 5 with equal weights and 4.2 with 0.6 and 0.4; E tau is 2 and 1.8."""
    batch, values = given(moments=2, sds=[1.0, 3.0], means=[0.0, 0.0])
    (found,) = _differences(batch, values, np.array([[0.5, 0.5]]), [np.array([[0.6, 0.4]])], np.ones((1, 2), bool))
    assert found[0] == pytest.approx(0.8 / 5)


def skewed(model: bm.Model) -> tuple[ExactPosterior, ExactPosterior]:
    """A posterior, and the same with an embedded rule that is wrong."""
    nodes = solve(trials(), model)
    coarse = nodes.weights * nodes.tau
    wrong = replace(nodes, coarse=coarse / coarse.sum())
    return ExactPosterior(trials(), model, nodes), ExactPosterior(trials(), model, wrong)


def test_a_share_is_answered_by_finer_nodes_where_a_quantile_has_not_settled() -> None:
    good, wrong = skewed(bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    row, p = np.ones(1), np.array([0.4, 0.6])
    nothing = np.empty(0)
    _, _, error = wrong._share(row, 0.2, -1, p, nothing)
    assert error > SETTLED
    _, expected, _ = good.share_beyond(row, 0.2, -1, p, nothing)
    _, quantiles, _ = wrong.share_beyond(row, 0.2, -1, p, nothing)
    assert quantiles == pytest.approx(expected, abs=1e-6)


def test_a_quantile_of_a_truncated_posterior_has_not_settled_where_one_of_several_has_not() -> None:
    _, wrong = skewed(bm.Model(bm.Truncated(bm.Normal(0, 1), -math.inf, 0.0), bm.HalfNormal(0.5)))
    # far out in the tail both rules agree
    _, change = wrong.quantities(np.ones((1, 1)), ["theta_new"]).quantiles(np.array([1e-12, 0.5]))
    assert change[0] > SETTLED


def test_a_new_study_beside_a_mean_that_is_cut_far_from_the_data() -> None:
    """Two trials at -2 with errors of 0.1, and a mean that may not be negative: 28 standard deviations away."""
    effects = Effects(["A", "B"], [-2.0, -2.0], [0.1, 0.1], measure="MD")
    fit = bm.fit(effects, bm.Model(bm.Truncated(bm.Normal(0, 1), 0, math.inf), bm.HalfNormal(1e-3)))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    tau, share = 4e-3 * (nodes + 1), np.empty(60)
    # beyond its end the mean falls as exp(-400 mu)
    mu, at = np.linspace(0.0, 0.1, 20_001), np.array([-1e-3, 0.0, 1e-3, 5e-3])
    below = np.empty((60, 4))
    for i, t in enumerate(tau):
        log = 2 * stats.norm.logpdf(-2, mu, math.hypot(0.1, t)) + stats.norm.logpdf(mu) + stats.norm.logpdf(t, 0, 1e-3)
        density = np.exp(log + 390)
        share[i] = weights[i] * np.trapezoid(density, mu)
        below[i] = np.trapezoid(density * special.ndtr((at[:, None] - mu) / t), mu) / np.trapezoid(density, mu)
    # the trapezoidal rule at the end of mu, where the integrand of the smallest tau is nearly a step
    assert marginal(fit, "theta_new").cdf(at) == pytest.approx(share @ below / share.sum(), abs=1e-5)


def test_draws_of_a_truncated_mean_follow_its_distribution() -> None:
    """Ends on both sides, away from zero: the normal distribution between them, for a tau of none."""
    low, high = -0.5, -0.3
    model = bm.Model(bm.Truncated(bm.Normal(0, 1), low, high), None)
    draws = conditional_draws(solve(trials(), model), 20_000, np.random.default_rng(2))["coefficients"][0]
    precision = (1 / SE**2).sum() + 1
    mean, sd = (Y / SE**2).sum() / precision, precision**-0.5
    known = stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
    # four standard errors of a share of 20,000
    for p in (0.1, 0.5, 0.9):
        assert (draws < known.ppf(p)).mean() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 20_000))


def test_draws_of_a_mean_proportion_given_tau_have_its_moments() -> None:
    """The mean moves with tau: mixture weights and moments by hand from the nodes, which brute force has confirmed."""
    counts = np.array([[3, 20], [0, 15], [7, 40], [12, 50], [1, 25]], float)
    x, n = counts.T
    y, se = np.log((x + 0.5) / (n - x + 0.5)), np.sqrt(1 / (x + 0.5) + 1 / (n - x + 0.5))
    effects = Effects(list("ABCDE"), y, se, measure="PLO", counts=counts, n=n[:, None], better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(1), likelihood="binomial"))
    nodes = fit.posterior.nodes
    mu = fit.posterior.draws(np.random.default_rng(3), (1, 400_000))["coefficients"].ravel()
    square = np.square(nodes.mean[0]) + nodes.cov[0, 0]
    for drawn, expected in ((mu, nodes.mean[0] @ nodes.weights), (np.square(mu), square @ nodes.weights)):
        assert abs(drawn.mean() - expected) < 4 * drawn.std() / math.sqrt(mu.size)
