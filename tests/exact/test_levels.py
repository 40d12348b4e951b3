"""Tau that differs between two levels: against brute force in polar coordinates, closed forms, symmetry and limits."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.exact import power_count, why_unsupported
from bayesmeta.questions import bayes_factor

FloatArray = NDArray[np.float64]
RNG = np.random.default_rng(20260)
LEVELS = np.array(["home", "supervised"] * 5, object)
SE = np.array([0.12, 0.2, 0.15, 0.25, 0.22, 0.18, 0.3, 0.14, 0.2, 0.26])
Y = np.array([-0.3, -0.9, -0.25, 0.2, -0.45, -0.6, -0.1, 0.35, -0.35, -0.8])
# what the engine promises is 1e-8 between nested rules; the brute force below is good to 1e-10
PROMISED = 2e-8
MU, TAU, HOME, CONTRAST, RHO = bm.Normal(0, 1), bm.HalfNormal(0.5), bm.HalfCauchy(0.3), bm.Normal(0, 0.5), 0.4


def effects(mixed: bool = False) -> bm.Effects:
    """Ten rows; with two trials whose rows share a control arm: one within a level, one across levels."""
    study = [f"trial {i}" for i in range(10)]
    blocks = []
    if mixed:
        for i, j in ((1, 3), (4, 5)):
            study[j] = study[i]
            blocks.append(
                (np.array([i, j]), np.array([[SE[i] ** 2, 0.4 * SE[i] * SE[j]], [0.4 * SE[i] * SE[j], SE[j] ** 2]]))
            )
    labels = [f"row {i}" for i in range(10)]
    return bm.Effects(
        study, Y, SE, measure="SMD", label=labels, blocks=tuple(blocks), moderators={"setting": LEVELS}, better="lower"
    )


def model(**changes: object) -> bm.Model:
    by = bm.TauBy("setting", {"home": HOME})
    return dataclasses.replace(bm.Model(MU, TAU, {"setting": CONTRAST}, rho=RHO, tau_by=by), **changes)


class Brute:
    """The joint posterior of the two taus on Gauss-Legendre nodes of the angle and the distance from the origin."""

    def __init__(self, data: bm.Effects, ends: tuple[float, ...] = (0.0, math.pi / 2)) -> None:
        upper = (data.moderators["setting"] == "supervised").astype(float)
        self.X = np.column_stack([np.ones(data.k), upper - upper.mean()])
        self.prior = np.diag([1.0, 0.25])
        self.upper, self.data = upper, data
        R = np.eye(data.k)
        for rows, _ in data.blocks:
            R[np.ix_(rows, rows)] = RHO
        np.fill_diagonal(R, 1.0)
        self.R = R
        x, w = special.roots_legendre(60)
        # tails of a half-Cauchy: the distance as far as 1e5
        t, tw = special.roots_legendre(160)
        s = 7 * (t + 1)
        rho, drho = 0.05 * np.sinh(s), 0.05 * np.cosh(s) * 7 * tw
        self.tau0, self.tau1, self.weight = (np.empty(0) for _ in range(3))
        for first, last in pairwise(ends):
            phi, dphi = 0.5 * (first + last) + 0.5 * (last - first) * x, 0.5 * (last - first) * w
            self.tau0 = np.append(self.tau0, np.outer(np.cos(phi), rho))
            self.tau1 = np.append(self.tau1, np.outer(np.sin(phi), rho))
            self.weight = np.append(self.weight, np.outer(dphi, rho * drho))
        density = np.exp(stats.halfcauchy(scale=0.3).logpdf(self.tau0) + stats.halfnorm(scale=0.5).logpdf(self.tau1))
        self.joint = (
            self.weight
            * density
            * np.exp([self.log_likelihood(a, b) for a, b in zip(self.tau0, self.tau1, strict=True)])
        )

    def covariance(self, tau0: float, tau1: float) -> FloatArray:
        tau = np.where(self.upper > 0, tau1, tau0)
        return self.data.covariance() + tau[:, None] * self.R * tau

    def log_likelihood(self, tau0: float, tau1: float) -> float:
        V = self.covariance(tau0, tau1) + self.X @ self.prior @ self.X.T
        _, logdet = np.linalg.slogdet(V)
        return -0.5 * float(
            self.data.k * math.log(2 * math.pi) + logdet + self.data.y @ np.linalg.solve(V, self.data.y)
        )

    def expect(self, values: FloatArray) -> float:
        return float((self.joint * values).sum() / self.joint.sum())


@pytest.mark.parametrize("mixed", [False, True])
def test_the_joint_posterior_is_that_of_brute_force(mixed: bool) -> None:
    data = effects(mixed)
    fit = bm.fit(data, model())
    assert fit.exact
    for ratio in (0.5, 1.0, 2.5):
        brute = Brute(data, (0.0, math.atan(ratio), math.pi / 2))
        assert bm.probability(fit, "tau[supervised] / tau[home]", below=ratio) == pytest.approx(
            brute.expect(brute.tau1 < ratio * brute.tau0), abs=PROMISED
        )
    assert fit.log_evidence == pytest.approx(math.log(brute.joint.sum()), abs=PROMISED)
    assert bm.marginal(fit, "tau[supervised]").mean == pytest.approx(brute.expect(brute.tau1), abs=PROMISED)
    # moments of what is Gaussian given the taus
    names = {"mu": None, "home": {"setting": "home"}, "supervised": {"setting": "supervised"}}
    for name, at in names.items():
        row = np.array([1.0, {"mu": 0.0, "home": -0.5, "supervised": 0.5}[name]])
        spread = {"mu": 0.5 * (brute.tau0**2 + brute.tau1**2), "home": brute.tau0**2, "supervised": brute.tau1**2}[name]
        mean, below = np.empty(brute.tau0.size), np.empty(brute.tau0.size)
        for i, (a, b) in enumerate(zip(brute.tau0, brute.tau1, strict=True)):
            precision = np.linalg.solve(brute.covariance(a, b), brute.X)
            cov = np.linalg.inv(np.diag([1.0, 4.0]) + brute.X.T @ precision)
            mean[i] = row @ cov @ precision.T @ Y
            below[i] = special.ndtr((-0.2 - mean[i]) / math.sqrt(row @ cov @ row + spread[i]))
        assert bm.marginal(fit, "mu", at).mean == pytest.approx(brute.expect(mean), abs=PROMISED)
        assert bm.probability(fit, "theta_new", below=-0.2, at=at) == pytest.approx(brute.expect(below), abs=PROMISED)


def narrow(value: float) -> bm.Uniform:
    return bm.Uniform(value - 1e-4, value + 1e-4)


# a prior of half-width 1e-4 is a point but for its curvature: 1e-8 times the second derivative of the log likelihood
COLLAPSED = 1e-6


@pytest.mark.parametrize("mixed", [False, True])
def test_as_priors_collapse_everything_is_that_of_fixed_taus(mixed: bool) -> None:
    data = effects(mixed)
    brute = Brute(data)
    tau = {"home": 0.15, "supervised": 0.5}
    by = bm.TauBy("setting", {level: narrow(value) for level, value in tau.items()})
    fit = bm.fit(data, model(tau_by=by))
    assert fit.log_evidence == pytest.approx(brute.log_likelihood(0.15, 0.5), abs=COLLAPSED)
    # study effects and weights, by dense matrices
    each = np.where(brute.upper > 0, 0.5, 0.15)
    C = each[:, None] * brute.R * each
    V = data.covariance() + C
    precision = np.linalg.solve(V, brute.X)
    cov = np.linalg.inv(np.diag([1.0, 4.0]) + brute.X.T @ precision)
    beta = cov @ precision.T @ Y
    B = np.linalg.solve(V, C).T
    slope = brute.X - B @ brute.X
    mean, spread = B @ Y + slope @ beta, C - B @ C + slope @ cov @ slope.T
    for i, label in enumerate(data.label):
        form = bm.marginal(fit, f"theta[{label}]")
        assert form.mean == pytest.approx(mean[i], abs=COLLAPSED)
        assert form.sd == pytest.approx(math.sqrt(spread[i, i]), abs=COLLAPSED)
    weights = cov[0] @ precision.T
    np.testing.assert_allclose(bm.study_table(fit)["weight"], 100 * weights / weights.sum(), atol=1e-3)
    # against a common tau: the ratio of the likelihoods; where all are one point it is 1
    common = bm.fit(data, model(tau=narrow(0.3), tau_by=None))
    expected = brute.log_likelihood(0.15, 0.5) - brute.log_likelihood(0.3, 0.3)
    assert math.log(bayes_factor(fit, common)) == pytest.approx(expected, abs=COLLAPSED)
    same = bm.fit(data, model(tau=narrow(0.3), tau_by=bm.TauBy("setting")))
    assert bayes_factor(same, common) == pytest.approx(1.0, abs=COLLAPSED)


def test_three_levels_have_three_taus() -> None:
    levels = np.array(["a", "b", "c", "a", "b", "c", "a", "b", "c", "a"], object)
    data = bm.Effects([f"t{i}" for i in range(10)], Y, SE, measure="SMD", moderators={"kind": levels})
    taus = {"a": 0.1, "b": 0.3, "c": 0.7}
    by = bm.TauBy("kind", {level: narrow(value) for level, value in taus.items()})
    fit = bm.fit(data, bm.Model(MU, TAU, {"kind": CONTRAST}, tau_by=by))
    assert fit.exact
    assert [name for name in fit.posterior.scalars if name.startswith("tau")] == ["tau[a]", "tau[b]", "tau[c]"]
    # a contrast of any two levels has variance 0.25: deviations of variance 0.125 about their mean over rows
    Z = (levels[:, None] == np.array(["a", "b", "c"])).astype(float)
    Z = Z - Z.mean(axis=0)
    V = np.diag(SE**2 + np.array([taus[level] for level in levels]) ** 2) + np.ones((10, 10)) + 0.125 * Z @ Z.T
    expected = stats.multivariate_normal(np.zeros(10), V).logpdf(Y)
    assert fit.log_evidence == pytest.approx(expected, abs=COLLAPSED)


def test_levels_that_are_alike_are_as_likely_to_have_the_larger_tau() -> None:
    """By symmetry under relabelling, also of the whole distribution: P(ratio < r) = P(ratio > 1 / r)."""
    y, se = np.tile(Y[:5], 2), np.tile(SE[:5], 2)
    halves = np.repeat(np.array(["a", "b"], object), 5)
    data = bm.Effects([f"t{i}" for i in range(10)], y, se, measure="SMD", moderators={"half": halves})
    fit = bm.fit(data, bm.Model(MU, TAU, {"half": CONTRAST}, tau_by=bm.TauBy("half")))
    ratio = bm.marginal(fit, "tau[b] / tau[a]")
    assert float(ratio.cdf(1.0)) == pytest.approx(0.5, abs=PROMISED)
    for r in (0.05, 0.3, 0.8):
        assert float(ratio.cdf(r)) == pytest.approx(float(ratio.sf(1 / r)), abs=PROMISED)
    assert ratio.mean == math.inf
    np.testing.assert_allclose(
        bm.marginal(fit, "tau[a]").quantile([0.1, 0.9]), bm.marginal(fit, "tau[b]").quantile([0.1, 0.9])
    )


@pytest.mark.parametrize(
    "prior", [bm.Rhodes2015(), bm.LogNormal(-1, 1), bm.Uniform(0, 1), bm.InverseGamma(1, 0.1), bm.Flat()], ids=repr
)
def test_the_ratio_agrees_with_the_nodes_for_every_kind_of_prior(prior: bm.priors.Prior) -> None:
    """An indicator on some thousand nodes is good to a few per thousand; the quadrature of the ratio is another one."""
    fit = bm.fit(effects(True), model(tau=prior, tau_by=bm.TauBy("setting")))
    nodes = fit.quadrature
    for r in (0.5, 1.0, 3.0, 20.0):
        share = float(nodes.weights @ (nodes.sds[1] < r * nodes.sds[0]))
        assert bm.probability(fit, "tau[supervised] / tau[home]", below=r) == pytest.approx(share, abs=0.02)


def test_rows_with_one_true_effect_and_taus_without_bound() -> None:
    """rho = 1 across levels, flat taus: V is far from diagonal at every tau, and nothing is lost."""
    fit = bm.fit(effects(True), model(rho=1.0, tau=bm.Flat(), tau_by=bm.TauBy("setting")))
    assert fit.ok
    assert np.isfinite(bm.study_table(fit)["theta"]).all()


@pytest.mark.parametrize(("home", "proper", "moments"), [(2, False, 0), (3, True, 0), (4, True, 1), (5, True, 2)])
def test_flat_taus_need_three_rows_per_level(home: int, proper: bool, moments: int) -> None:
    """With flat coefficients a level alone gives tau**-(n - 1): proper from three rows on, m moments from 3 + m."""
    keep = [*range(0, 2 * home, 2), *range(1, 10, 2)]
    data = effects().subset(keep)
    inside = np.flatnonzero(data.moderators["setting"] == "home").tolist()
    others = np.setdiff1d(np.arange(data.k), inside).tolist()
    X = np.column_stack([np.ones(data.k), np.isin(np.arange(data.k), inside)]).astype(float)
    count = power_count([bm.Flat(), bm.Flat()], [tuple(inside), tuple(others)], X, np.ones(2, bool), None)
    assert (count.proper, count.of_sd(0)) == (proper, moments)
    if not proper:
        flat = bm.Model(bm.Flat(), bm.Flat(), {"setting": bm.Flat()}, tau_by=bm.TauBy("setting"))
        with pytest.raises(bm.ModelError, match="improper"):
            bm.fit(data, flat)


def test_a_saved_fit_answers_as_before(tmp_path: Path) -> None:
    fit = bm.fit(effects(True), model())
    again = bm.load(fit.save(tmp_path / "fit.nc"))
    assert again.model == fit.model
    assert again.to_frame().equals(fit.to_frame())
    assert bm.summarize(again).equals(bm.summarize(fit))


def test_what_has_no_meaning_is_refused_with_the_remedy() -> None:
    data = effects()
    weeks = bm.Effects(data.study, Y, SE, measure="SMD", moderators={"weeks": np.arange(10.0)})
    line = {"weeks": bm.Normal(0, 0.1)}
    by = bm.TauBy("setting")
    for make, words in (
        (lambda: bm.Model(MU, TAU, tau_by=by), "no moderator of the mean effect"),
        (lambda: bm.Model(MU, None, {"setting": CONTRAST}, tau_by=by), "no heterogeneity that could differ"),
        (lambda: model(cluster_tau=TAU), "choose one"),
        (lambda: model(tau=bm.Jeffreys()), "defined for one tau"),
        (lambda: bm.TauBy("weeks", {"a": TAU}, bm.Normal(0, 1)), "give one"),
        (lambda: bm.fit(weeks, bm.Model(MU, TAU, line, tau_by=bm.TauBy("weeks"))), "Give the prior of its slope"),
        (lambda: bm.fit(data, model(tau_by=bm.TauBy("setting", {"gym": TAU}))), "gym"),
        (lambda: bm.marginal(bm.fit(data, model()), "tau"), r"tau\[home\] or tau\[supervised\]"),
    ):
        with pytest.raises(bm.ModelError, match=words):
            make()
    assert why_unsupported(data, model(mu=bm.Uniform(-1, 1))) is not None
    assert why_unsupported(weeks, bm.Model(MU, TAU, line, tau_by=bm.TauBy("weeks", slope=CONTRAST))) is not None


def test_benefit_at_a_profile_has_the_spread_of_its_level() -> None:
    """The share of true effects beyond zero at a level: its mean is the probability for a new study there."""
    data = effects()
    fit = bm.fit(data, model())
    row = fit.design.profile({"setting": "home"})
    mean, _, _ = fit.posterior.share_beyond(row, 0.0, -1, np.array([0.5]), np.array([0.5]))
    assert mean == pytest.approx(bm.probability(fit, "theta_new", below=0.0, at={"setting": "home"}), abs=PROMISED)
