"""The exact engine on hard cases, against nested adaptive quadrature of a different formulation.

The oracle integrates over log tau with QUADPACK, from dense covariance matrices: no rotation, no asinh, no
Chebyshev nodes, no scale mixtures (Student-t, Cauchy and truncated priors are integrated over mu itself). One case is
repeated with mpmath at 30 digits, as a check on the oracle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from scipy import integrate, linalg, special

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.fits import marginal
from bayesmeta.priors import Prior

# the engine's own target; the oracle's estimated error is below 1e-10 in every case
TOLERANCE = 1e-8
# what QUADPACK can promise for a two-dimensional integral
NESTED = 1e-7

rng = np.random.default_rng(1)
MANY = 0.2 + 0.3 * np.sin(np.arange(200)) + 0.1 * np.cos(3.7 * np.arange(200))


@dataclass(frozen=True)
class Case:
    y: tuple[float, ...]
    se: tuple[float, ...]
    mu: Prior
    tau: Prior
    at: float = 0.0


CASES = {
    "one trial, flat mu": Case((0.4,), (0.2,), bm.Flat(), bm.HalfNormal(0.5)),
    "one trial, heavy prior": Case((0.4,), (0.2,), bm.Normal(0, 1), bm.HalfCauchy(0.5)),
    "two trials": Case((-0.5, 0.3), (0.2, 0.1), bm.Normal(0, 1), bm.HalfNormal(0.5)),
    "two trials of opposite sign, flat mu, half-Cauchy": Case((-0.5, 0.5), (0.1, 0.1), bm.Flat(), bm.HalfCauchy(0.5)),
    "two hundred trials": Case(tuple(MANY), tuple(0.1 + 0.002 * np.arange(200)), bm.Flat(), bm.HalfNormal(0.5), 0.2),
    "tau prior far below the data": Case((-5.0, 5.0, 4.0, -4.5), (0.2,) * 4, bm.Flat(), bm.HalfNormal(0.05)),
    "mu prior far from the data": Case((3.0, 3.2, 2.9), (0.1, 0.2, 0.1), bm.Normal(0, 0.05), bm.HalfNormal(0.5), 0.1),
    "one tiny standard error": Case((0.3, 0.1, 0.5, 0.2), (1e-6, 0.3, 0.3, 0.2), bm.Flat(), bm.HalfNormal(0.5), 0.3),
    "prior unbounded at zero, no heterogeneity": Case(
        (-0.30, -0.31, -0.29, -0.305), (0.2, 0.22, 0.17, 0.24), bm.Flat(), bm.Rhodes2015(), -0.2
    ),
    "prior unbounded at zero, much heterogeneity": Case(
        (-1.0, 0.5, 2.0, -0.4, 1.1), (0.1, 0.2, 0.1, 0.1, 0.3), bm.Normal(0, 1), bm.Rhodes2015(), 0.3
    ),
    "prior with no mass near zero": Case((0.1, 0.12, 0.09), (0.2, 0.2, 0.3), bm.Flat(), bm.InverseGamma(1.71, 0.4)),
    "log-normal prior": Case((0.1, 0.8, -0.3), (0.2, 0.2, 0.3), bm.Normal(0, 2), bm.Turner2015(), 0.1),
    "flat mu, uniform tau": Case((0.1, 0.5, -0.2, 0.3, 0.9), (0.2, 0.2, 0.3, 0.1, 0.2), bm.Flat(), bm.Flat(), 0.2),
    "flat mu, Jeffreys tau": Case((0.1, 0.5, -0.2, 0.3), (0.2, 0.2, 0.3, 0.1), bm.Flat(), bm.Jeffreys(), 0.2),
    "bounded uniform tau": Case((0.1, 1.5, -0.2), (0.2, 0.2, 0.3), bm.Flat(), bm.Uniform(0, 2), 0.2),
    "truncated tau": Case(
        (0.1, 0.3, 0.2), (0.1, 0.1, 0.1), bm.Flat(), bm.Truncated(bm.HalfCauchy(0.3), 0.05, math.inf), 0.2
    ),
    "nine near zero and one at five": Case(
        (0.1, -0.1, 0.05, 0.0, -0.05, 0.02, 0.08, -0.03, 0.01, 5.0), (0.1,) * 10, bm.Normal(0, 1), bm.HalfNormal(0.5)
    ),
    "a million-fold scale": Case((1e6, 2.5e6, -3e5), (3e5, 4e5, 2e5), bm.Normal(0, 2e6), bm.HalfNormal(5e5), 5e5),
    "prior far wider than the errors": Case((0.1, 0.12, 0.08), (1e-3,) * 3, bm.Flat(), bm.HalfNormal(1e3), 0.1),
}


def log_prior_tau(case: Case, tau: float) -> float:
    if case.tau.name != "jeffreys":
        return float(case.tau.logpdf(tau))
    V = np.square(case.se) + tau**2
    return math.log(tau) + 0.5 * math.log(np.sum(V**-2.0))


def log_likelihood(case: Case, tau: float) -> tuple[float, float, float]:
    """Log integrated likelihood, and mean and SD of mu, from the dense marginal covariance."""
    y = np.array(case.y)
    V = np.diag(np.square(case.se)) + tau**2 * np.eye(y.size)
    one = np.ones(y.size)
    if case.mu.name == "flat":
        P = np.linalg.inv(V) if y.size < 20 else np.diag(1 / np.diag(V))
        information = one @ P @ one
        mean = (one @ P @ y) / information
        r = y - mean
        log = -0.5 * (
            (y.size - 1) * math.log(2 * math.pi) + np.log(np.diag(V)).sum() + math.log(information) + r @ P @ r
        )
        return float(log), float(mean), float(information**-0.5)
    m, s = case.mu.mean, case.mu.sd  # type: ignore[attr-defined]
    C = V + s**2 * np.outer(one, one)
    factor = linalg.cho_factor(C, lower=True)
    r = y - m
    solved = linalg.cho_solve(factor, r)
    log = -0.5 * (y.size * math.log(2 * math.pi) + 2 * np.log(np.diag(factor[0])).sum() + r @ solved)
    mean = m + s**2 * one @ solved
    var = s**2 - s**4 * one @ linalg.cho_solve(factor, one)
    return float(log), float(mean), math.sqrt(var)


def integrate_tau(
    case: Case, functions: list[Callable[[float, float, float], float]], median: float
) -> tuple[float, list[float]]:
    """Log evidence, P(tau < median), and expectations of functions of (tau, mean of mu, SD of mu)."""
    low, high = (1e-200, 1e200) if case.tau.name in ("flat", "jeffreys") else case.tau.support
    grid = np.linspace(
        max(-120.0, math.log(max(low, 1e-200))), min(120.0, math.log(high)) if high < math.inf else 120.0, 4001
    )
    value = np.array([log_likelihood(case, math.exp(u))[0] + log_prior_tau(case, math.exp(u)) + u for u in grid])
    peak = value.max()
    inside = grid[value > peak - 60]
    edges = np.unique(
        np.concatenate([np.linspace(inside[0] - 0.06, inside[-1] + 0.06, 20), inside[:: max(1, inside.size // 20)]])
    )
    # no slivers between two edges that differ by rounding
    edges = np.unique(np.clip(edges.round(9), grid[0], grid[-1]))

    def integral(function: Callable[[float, float, float], float], upper: float = math.inf) -> float:
        def integrand(u: float) -> float:
            tau = math.exp(u)
            log, mean, sd = log_likelihood(case, tau)
            return math.exp(log + log_prior_tau(case, tau) + u - peak) * function(tau, mean, sd)

        return sum(
            integrate.quad(integrand, a, b, epsabs=1e-12, epsrel=1e-11, limit=200)[0]
            for a, b in pairwise(np.append(edges[edges < upper], min(edges[-1], upper)))
            if b > a
        )

    total = integral(lambda tau, mean, sd: 1.0)
    expectations = [integral(function) / total for function in functions]
    return peak + math.log(total), [integral(lambda tau, mean, sd: 1.0, math.log(median)) / total, *expectations]


@pytest.mark.parametrize("name", CASES)
def test_hard_case(name: str) -> None:
    case = CASES[name]
    effects = Effects([f"trial {i}" for i in range(len(case.y))], case.y, case.se, measure="MD")
    fit = bm.fit(effects, bm.Model(case.mu, case.tau))
    table = bm.summarize(fit)
    median = table.loc["tau", "median"]
    new_upper = table.loc["theta_new", "upper"]
    theta_at = table.loc["mu", "median"]
    share = case.se[0] ** 2

    def theta_below(tau: float, mean: float, sd: float) -> float:
        keep = share / (share + tau**2)
        return float(
            special.ndtr(
                (theta_at - (1 - keep) * case.y[0] - keep * mean) / math.sqrt((1 - keep) * share + keep**2 * sd**2)
            )
        )

    functions: list[Callable[[float, float, float], float]] = [
        lambda tau, mean, sd: float(special.ndtr((case.at - mean) / sd)),
        lambda tau, mean, sd: float(special.ndtr((case.at - mean) / math.hypot(sd, tau))),
        lambda tau, mean, sd: float(special.ndtr((new_upper - mean) / math.hypot(sd, tau))),
        theta_below,
    ]
    ours = [
        0.5,
        bm.probability(fit, "mu", below=case.at),
        bm.probability(fit, "theta_new", below=case.at),
        0.975,
        bm.probability(fit, "theta[trial 0]", below=theta_at),
    ]
    scales = [1.0, 1.0, 1.0, 1.0, 1.0]
    if np.isfinite(table.loc["tau", "mean"]):
        functions.append(lambda tau, mean, sd: tau)
        ours.append(table.loc["tau", "mean"])
        scales.append(table.loc["tau", "mean"])
    if np.isfinite(table.loc["mu", "sd"]):
        centre = table.loc["mu", "mean"]
        functions += [lambda tau, mean, sd: mean, lambda tau, mean, sd: sd**2 + (mean - centre) ** 2]
        ours += [centre, table.loc["mu", "sd"] ** 2]
        scales += [table.loc["mu", "sd"], table.loc["mu", "sd"] ** 2]
    log_evidence, expected = integrate_tau(case, functions, median)
    if fit.log_evidence is not None:
        assert fit.log_evidence == pytest.approx(log_evidence, abs=TOLERANCE)
    for mine, theirs, scale in zip(ours, expected, scales, strict=True):
        assert abs(mine - theirs) <= TOLERANCE * scale


def test_moments_that_do_not_exist_are_infinite() -> None:
    """k = 2, flat mu, half-Cauchy tau: means exist, SDs do not (tail exponents 3, by hand)."""
    case = CASES["two trials of opposite sign, flat mu, half-Cauchy"]
    fit = bm.fit(Effects(["a", "b"], case.y, case.se, measure="MD"), bm.Model(case.mu, case.tau))
    table = bm.summarize(fit)
    assert np.isinf(table.loc["mu", "sd"])
    assert np.isinf(table.loc["tau", "sd"])
    assert np.isinf(table.loc["theta_new", "sd"])
    assert np.isfinite(table["mean"]).all()
    assert np.isfinite(table[["median", "lower", "upper"]].to_numpy()).all()


@pytest.mark.parametrize(("k", "mean", "sd"), [(2, False, False), (3, True, False), (4, True, True)])
def test_flat_tau_has_moments_from_three_and_four_trials(k: int, mean: bool, sd: bool) -> None:
    """Uniform tau, one flat coefficient: proper for k - 1 >= 2, E(tau) for >= 3, SD for >= 4 (by hand)."""
    effects = Effects([str(i) for i in range(k + 1)], np.linspace(-1, 1, k + 1), np.full(k + 1, 0.3), measure="MD")
    table = bm.summarize(bm.fit(effects, bm.Model(bm.Flat(), bm.Flat())))
    assert np.isfinite(table.loc["tau", "mean"]) == mean
    assert np.isfinite(table.loc["tau", "sd"]) == sd


@pytest.mark.parametrize(("tau", "k"), [(bm.Flat(), 2), (bm.Jeffreys(), 1)])
def test_improper_posteriors_are_refused(tau: Prior, k: int) -> None:
    effects = Effects([str(i) for i in range(k)], np.linspace(-1, 1, k), np.full(k, 0.3), measure="MD")
    with pytest.raises(bm.ModelError, match="improper"):
        bm.fit(effects, bm.Model(bm.Flat(), tau))


def test_oracle_agrees_with_mpmath() -> None:
    """The oracle's own check: one case again with 30 digits and tanh-sinh quadrature."""
    case = CASES["two trials"]
    y = [mpmath.mpf(v) for v in case.y]
    v = [mpmath.mpf(s) ** 2 for s in case.se]

    def parts(tau: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf, mpmath.mpf]:
        W = [1 / (a + tau**2) for a in v]
        precision = sum(W) + 1
        mean = sum(w * x for w, x in zip(W, y, strict=True)) / precision
        quadratic = sum(w * x * x for w, x in zip(W, y, strict=True)) - mean**2 * precision
        log = -mpmath.log(2 * mpmath.pi) + sum(mpmath.log(w) for w in W) / 2 - mpmath.log(precision) / 2 - quadratic / 2
        prior = mpmath.sqrt(2 / mpmath.pi) / mpmath.mpf("0.5") * mpmath.exp(-((tau / mpmath.mpf("0.5")) ** 2) / 2)
        return mpmath.exp(log) * prior, mean, precision

    with mpmath.workdps(30):
        points = [0, 0.1, 0.3, 0.6, 1, 2, 5, 10]
        total = mpmath.quad(lambda t: parts(t)[0], points)
        below = mpmath.quad(lambda t: parts(t)[0] * mpmath.ncdf(-parts(t)[1] * mpmath.sqrt(parts(t)[2])), points)
        log_evidence, p_below = float(mpmath.log(total)), float(below / total)
    effects = Effects(["a", "b"], case.y, case.se, measure="MD")
    fit = bm.fit(effects, bm.Model(case.mu, case.tau))
    assert fit.log_evidence == pytest.approx(log_evidence, abs=TOLERANCE)
    assert bm.probability(fit, "mu", below=0) == pytest.approx(p_below, abs=TOLERANCE)


# ------------------------------------------------------------------- priors of mu that are not normal or flat

Y, SE = np.array([-0.9, -0.2, -0.5, 0.1]), np.array([0.3, 0.2, 0.25, 0.4])
LOCATION_PRIORS = [
    bm.StudentT(0, 0.43, 5),
    bm.Cauchy(0, 0.707),
    bm.Truncated(bm.Normal(0, 1), -math.inf, 0),
    bm.Uniform(-0.4, 1),
    bm.Truncated(bm.Cauchy(0, 0.5), -0.6, 0.3),
    bm.Truncated(bm.StudentT(0.2, 0.5, 3), 0, math.inf),
]


@pytest.mark.parametrize("mu", LOCATION_PRIORS, ids=repr)
def test_other_priors_of_the_mean(mu: Prior) -> None:
    """Integrated over (mu, tau) directly; theta_new and theta have closed forms given both."""
    tau = bm.HalfNormal(0.5)
    low, high = max(mu.support[0], -6.0), min(mu.support[1], 6.0)
    knots = np.unique(np.clip([-6, -2, -1, -0.6, -0.4, -0.2, 0, 0.2, 0.3, 1, 2, 6], low, high))

    nodes, weights = np.polynomial.legendre.leggauss(40)

    def integral(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float:
        # Gauss-Legendre on panels of a tensor grid; smooth integrand on every panel
        total = 0.0
        for a, b in pairwise(knots):
            m = 0.5 * (a + b) + 0.5 * (b - a) * nodes
            for c, d in ((0, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 1.5), (1.5, 5.0)):
                t = 0.5 * (c + d) + 0.5 * (d - c) * nodes
                M, T = np.meshgrid(m, t, indexing="ij")
                V = SE[:, None, None] ** 2 + T**2
                log = -0.5 * np.sum(np.log(2 * np.pi * V) + (Y[:, None, None] - M) ** 2 / V, axis=0)
                value = np.exp(log + mu.logpdf(M) + tau.logpdf(T)) * function(M, T)
                total += 0.25 * (b - a) * (d - c) * float(weights @ value @ weights)
        return total

    fit = bm.fit(Effects([str(i) for i in range(4)], Y, SE, measure="MD"), bm.Model(mu, tau))
    table = bm.summarize(fit)
    evidence = integral(lambda M, T: np.ones_like(M))
    mean = integral(lambda M, T: M) / evidence
    second = integral(lambda M, T: (M - mean) ** 2) / evidence
    # the tails beyond 6 hold less than 1e-9 of the posterior
    assert fit.log_evidence == pytest.approx(math.log(evidence), abs=NESTED)
    assert table.loc["mu", "mean"] == pytest.approx(mean, abs=NESTED)
    assert table.loc["mu", "sd"] == pytest.approx(math.sqrt(second), abs=NESTED)
    share = SE[0] ** 2
    new_form, theta_form = marginal(fit, "theta_new"), marginal(fit, "theta[0]")
    for x in (-0.7, -0.1, 0.35):
        new = integral(lambda M, T, x=x: special.ndtr((x - M) / T)) / evidence  # type: ignore[misc]

        def theta(M: np.ndarray, T: np.ndarray, x: float = x) -> np.ndarray:
            keep = share / (share + T**2)
            return special.ndtr((x - (1 - keep) * Y[0] - keep * M) / np.sqrt((1 - keep) * share))

        # with T near zero these integrands are steps in M, smeared over T; Gauss-Legendre reaches 1e-5 there
        assert new_form.cdf(x) == pytest.approx(new, abs=2e-5)
        assert theta_form.cdf(x) == pytest.approx(integral(theta) / evidence, abs=2e-5)


# ------------------------------------------------------------------- covariance, correlated effects, moderators


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_covariance_and_moderators_against_dense_matrices(rho: float) -> None:
    """y ~ N(X m, S + tau^2 R + X P X') from dense matrices, integrated over log tau by QUADPACK."""
    S = np.diag([0.04, 0.05, 0.09, 0.04, 0.06, 0.02])
    S[0, 1] = S[1, 0] = 0.02
    S[2, 3] = S[3, 2] = 0.01
    R = np.eye(6)
    R[0, 1] = R[1, 0] = R[2, 3] = R[3, 2] = rho
    y = np.array([-0.5, -0.3, 0.1, -0.2, -0.6, 0.0])
    weeks = np.array([6.0, 6, 12, 12, 24, 10])
    kind = np.array(["a", "b", "a", "c", "b", "c"], object)
    effects = Effects.from_cov(y, S, measure="MD", moderators={"weeks": weeks, "kind": kind})
    model = bm.Model(
        bm.Normal(0, 1),
        bm.HalfNormal(0.5),
        {"weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6), "kind": bm.Normal(0, 0.5)},
        rho,
    )
    fit = bm.fit(effects, model)
    # the design in its plainest, overparameterised form: one deviation per level, exchangeable
    dummies = np.array([[value == level for level in "abc"] for value in kind], float)
    X = np.column_stack([np.ones(6), (weeks - weeks.mean()) / 6, dummies - dummies.mean(axis=0)])
    P = np.diag([1.0, 0.25**2, *([0.5**2 / 2] * 3)])
    tau_prior = bm.HalfNormal(0.5)

    def at(tau: float) -> tuple[float, np.ndarray, np.ndarray]:
        C = S + tau**2 * R + X @ P @ X.T
        solved = np.linalg.solve(C, y)
        log = -0.5 * (6 * math.log(2 * math.pi) + np.linalg.slogdet(C)[1] + y @ solved)
        return log, P @ X.T @ solved, P - P @ X.T @ np.linalg.solve(C, X @ P)

    rows = {
        "mu": np.array([1.0, 0, 0, 0, 0]),
        "beta[weeks per 6]": np.array([0, 1.0, 0, 0, 0]),
        "beta[kind: b - a]": np.array([0, 0, -1.0, 1, 0]),
        "beta[kind: c - a]": np.array([0, 0, -1.0, 0, 1]),
    }

    def integral(function: Callable[[float, np.ndarray, np.ndarray], float]) -> float:
        def integrand(tau: float) -> float:
            log, mean, cov = at(tau)
            return math.exp(log + float(tau_prior.logpdf(tau))) * function(tau, mean, cov)

        edges = [0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 5]
        return sum(integrate.quad(integrand, a, b, epsabs=1e-14, epsrel=1e-12)[0] for a, b in pairwise(edges))

    total = integral(lambda tau, mean, cov: 1.0)
    assert fit.log_evidence == pytest.approx(math.log(total), abs=TOLERANCE)
    for name, row in rows.items():
        below = integral(
            lambda tau, mean, cov, row=row: float(special.ndtr(-(row @ mean) / math.sqrt(row @ cov @ row)))
        )  # type: ignore[misc]
        assert bm.probability(fit, name, below=0) == pytest.approx(below / total, abs=TOLERANCE)
    profile = np.array([1.0, (24 - weeks.mean()) / 6, *(np.array([0, 1.0, 0]) - dummies.mean(axis=0))])
    new = integral(
        lambda tau, mean, cov: float(
            special.ndtr((-0.2 - profile @ mean) / math.sqrt(profile @ cov @ profile + tau**2))
        )
    )
    ours = bm.probability(fit, "theta_new", below=-0.2, at={"weeks": 24, "kind": "b"})
    assert ours == pytest.approx(new / total, abs=TOLERANCE)

    def study_mean(tau: float, mean: np.ndarray, cov: np.ndarray) -> float:
        prior = tau**2 * R + X @ P @ X.T
        return float((prior @ np.linalg.solve(S + prior, y))[2])

    assert marginal(fit, f"theta[{effects.label[2]}]").mean == pytest.approx(
        integral(study_mean) / total, abs=TOLERANCE
    )


# ------------------------------------------------------------------- found in review: windows and moments


def test_student_t_prior_a_thousand_scales_from_the_data() -> None:
    """The window of tau is sought with mixing scales that reach the data; against a tensor of Gauss rules."""
    y, se = 5000 + np.linspace(-0.4, 0.4, 12), np.full(12, 0.2)
    prior, tau_prior = bm.StudentT(0, 1, 3), bm.HalfCauchy(1)
    fit = bm.fit(Effects([str(i) for i in range(12)], y, se, measure="MD"), bm.Model(prior, tau_prior))
    # the likelihood allows mu within 5000 +- 1 only, where the prior's tail is smooth: a tensor of Gauss rules
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = first = 0.0
    for a, b in pairwise([4998, 4999, 4999.7, 5000, 5000.3, 5001, 5002]):
        m = 0.5 * (a + b) + 0.5 * (b - a) * nodes
        for c, d in pairwise([0, 0.05, 0.1, 0.2, 0.4, 0.8, 2, 10]):
            t = 0.5 * (c + d) + 0.5 * (d - c) * nodes
            M, T = np.meshgrid(m, t, indexing="ij")
            V = se[:, None, None] ** 2 + T**2
            log = -0.5 * np.sum(np.log(2 * np.pi * V) + (y[:, None, None] - M) ** 2 / V, axis=0)
            value = np.exp(log + prior.logpdf(M) + tau_prior.logpdf(T))
            total += 0.25 * (b - a) * (d - c) * float(weights @ value @ weights)
            first += 0.25 * (b - a) * (d - c) * float(weights @ (value * T) @ weights)
    assert fit.log_evidence == pytest.approx(math.log(total), abs=1e-6)
    assert bm.summarize(fit).loc["tau", "mean"] == pytest.approx(first / total, rel=1e-6)


def test_a_flat_slope_under_flat_tau_has_no_standard_deviation() -> None:
    """k = 4, one flat coefficient, flat tau: tau**-3 falls too slowly for a second moment (by hand)."""
    effects = Effects(list("abcd"), [0, 1, 0.3, 0.2], [0.1] * 4, measure="MD", moderators={"x": [0.0, 1, 2, 3]})
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.Flat(), {"x": bm.Flat()}))
    table = bm.summarize(fit)
    assert np.isinf(table.loc["beta[x]", "sd"])
    assert np.isfinite(table.loc["mu", "sd"])
    assert np.isinf(bm.predict(fit, {"x": 3.0}).loc["mu", "sd"])


def test_a_contrast_within_trials_whose_rows_share_an_effect_costs_no_information() -> None:
    """rho = 1: the flat slope is identified inside the trials, so flat tau stays proper (k - flat counted by trial)."""
    S = [([0, 1], [[0.01, 0.004], [0.004, 0.01]]), ([2, 3], [[0.04, 0.015], [0.015, 0.04]])]
    effects = Effects(
        list("aabb"),
        [0.1, 0.5, 0.3, 0.9],
        [0.1, 0.1, 0.2, 0.2],
        measure="MD",
        blocks=S,
        moderators={"x": [0.0, 1, 0, 1]},
    )
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.Flat(), {"x": bm.Flat()}, rho=1.0))
    assert fit.ok
    assert np.isfinite(bm.summarize(fit)[["lower", "upper"]].to_numpy()).all()
