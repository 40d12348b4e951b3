"""The brute-force posteriors themselves: against closed forms, metafor, Stan, draws from the prior, finer grids."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

import oracles
from oracle_cases import CASES, case, counts_of, pinned
from oracle_core import (
    Array,
    Axis,
    OnAxis,
    Oracle,
    beta,
    exponential,
    gamma,
    half_cauchy,
    half_normal,
    normal,
    truncated_normal,
    uniform,
)
from oracle_counts import conditional, trial
from oracle_joint import both_below, joint_evidence

# exact.json is right to 1e-5, and so are grids of smooth densities
EXACT = 2e-5
# a limit is reached as far as the limiting prior is narrow
LIMIT = 1e-4
# what the oracles promise, in posterior SDs: NUTS is compared within 4 Monte Carlo standard errors, 0.04 SD or more
PROMISE = 1e-3
# where rma.glmm's optimiser stops
GLMM = 1e-5
# published posteriors are printed to two or three digits and are MCMC themselves (TSD 2, 3)
PRINTED = 0.012
# Monte Carlo standard errors
SIGMAS = 4.0

BAYES = {
    "halfnormal(0.5) | mu normal(0,1)": (normal(0, 1), half_normal(0.5)),
    "halfcauchy(0.5) | mu flat": (lambda m: 0.0 * m, half_cauchy(0.5)),
    "halfnormal(1) | mu flat": (lambda m: 0.0 * m, half_normal(1.0)),
}


def normand() -> tuple[Array, Array]:
    data = pinned("exact")["normand1999_smd"]
    return np.array(data["y"]), np.sqrt(data["v"])


def close(oracle: Oracle, other: Oracle, names: Mapping[str, str] | list[str], tolerance: float) -> None:
    pairs = names if isinstance(names, Mapping) else {name: name for name in names}
    for mine, theirs in pairs.items():
        a, b = oracle[mine], other[theirs]
        scale = b.sd if math.isfinite(b.sd) else b.quantile(0.84) - b.quantile(0.5)
        assert abs(a.mean - b.mean) <= tolerance * scale, mine
        if math.isfinite(b.sd):
            assert abs(a.sd - b.sd) <= tolerance * scale, mine
        for p in (0.025, 0.25, 0.5, 0.75, 0.975):
            # a quantile in a flat tail moves more than the mass beyond it
            assert abs(a.cdf(b.quantile(p)) - p) <= tolerance, (mine, p)


# ---------------------------------------------------------------------------------------------------- axes, priors


@pytest.mark.parametrize(
    "axis", [Axis.real(-8, 8), Axis.positive(40.0), Axis.positive(40.0, 3.0, 1.0), Axis.interval(-1, 1)]
)
def test_axes_invert_and_integrate(axis: Axis) -> None:
    u, x, log_weight = axis.nodes(80)
    assert [axis.inverse(v) for v in x[5:-5]] == pytest.approx(u[5:-5], abs=1e-6)
    density = {
        "real": stats.norm(0.3, 1),
        "positive": stats.gamma(3, loc=axis.low),
        "interval": stats.beta(3, 2, -1, 2),
    }
    known = density[axis.kind]
    mass = np.exp(log_weight) * known.pdf(x)
    marginal = OnAxis(axis, u, x, mass)
    assert mass.sum() == pytest.approx(1, abs=1e-8)
    for p in (0.025, 0.5, 0.975):
        assert marginal.quantile(p) == pytest.approx(known.ppf(p), abs=1e-6)
        assert marginal.cdf(known.ppf(p)) == pytest.approx(p, abs=1e-7)


def test_priors_are_densities() -> None:
    for density, low, high in [
        (normal(1, 2), -30, 30),
        (half_normal(0.5), 0, 10),
        (exponential(0.5, 1.0), 1, 100),
        (gamma(2, 0.1, 1.0), 1, 400),
        (beta(2, 3, -1, 1), -1, 1),
        (uniform(0, 0.5), 0, 0.5),
        (truncated_normal(0.6, 0.2, 0, 0.95), 0, 0.95),
    ]:
        assert integrate.quad(lambda x, f=density: math.exp(f(x)), low, high, limit=200)[0] == pytest.approx(
            1, abs=1e-7
        )
    assert integrate.quad(lambda x: math.exp(half_cauchy(0.5)(x)), 0, np.inf)[0] == pytest.approx(1, abs=1e-7)


# ------------------------------------------------------------------------------------------------ normal and Student


@pytest.mark.parametrize("prior", BAYES)
def test_normal_normal_against_exact_quadrature(prior: str) -> None:
    y, se = normand()
    known = pinned("exact")["normand1999_smd"]["bayes"][prior]
    found = oracles.normal_normal(y, se, *BAYES[prior], tau_high=30.0, n=(240, 120))
    for name in ("mu", "tau"):
        assert found[name].mean == pytest.approx(known[name]["mean"], abs=EXACT)
        for key, p in (("median", 0.5), ("q025", 0.025), ("q975", 0.975)):
            assert found[name].quantile(p) == pytest.approx(known[name][key], abs=EXACT)
    assert found["theta_new"].quantile(0.975) == pytest.approx(known["new"]["q975"], abs=10 * EXACT)
    # a new effect is a mixture over the grid of mu, with kernels no narrower than a sixteenth of its step
    if "normal(0,1)" in prior:
        assert found.log_evidence == pytest.approx(known["log_marginal_likelihood"], abs=EXACT)
        assert [found[f"theta[{i}]"].mean for i in range(9)] == pytest.approx(known["theta_mean"], abs=EXACT)


def reference() -> Oracle:
    return oracles.normal_normal(*normand(), normal(0, 1), half_normal(0.5))


def test_student_effects_with_huge_df_are_normal() -> None:
    y, se = normand()
    df = Axis.real(1e7, 1.1e7)
    found = oracles.student_effects(
        y, se, normal(0, 1), half_normal(0.5), uniform(1e7, 1.1e7), df_axis=df, n=(72, 44, 5)
    )
    close(found, reference(), ["mu", "tau", "theta_new"], LIMIT)
    assert found.probabilities["theta_mean"] == pytest.approx(
        [reference()[f"theta[{i}]"].mean for i in range(9)], abs=LIMIT
    )


def test_student_likelihood_of_one_trial() -> None:
    """Integrated over the effect instead of the mixing precision, by QUADPACK."""
    y, se = 1.3, 0.4
    found = oracles.student_effects(
        [y], [se], normal(0, 1), half_normal(0.5), uniform(2, 6), df_axis=Axis.interval(2, 6)
    )

    def given(t: float, v: float) -> float:
        # mu is integrated with the effect: y - mu - deviation
        inner = lambda d: stats.t.pdf(d, v, scale=t) * stats.norm.pdf(y, d, math.hypot(se, 1))  # noqa: E731
        return integrate.quad(inner, -np.inf, np.inf, epsabs=1e-10)[0]

    nodes, weights = np.polynomial.legendre.leggauss(12)
    total = 0.0
    for a, b in ((0.0, 0.3), (0.3, 1.0), (1.0, 3.0)):
        for x, w in zip(nodes, weights, strict=True):
            t = 0.5 * (a + b) + 0.5 * (b - a) * x
            for z, u in zip(*np.polynomial.legendre.leggauss(5), strict=True):
                total += 0.5 * (b - a) * w * 0.5 * u * math.exp(half_normal(0.5)(t)) * given(max(t, 1e-4), 4 + 2 * z)
    assert found.log_evidence == pytest.approx(math.log(total), abs=LIMIT)


def stan(name: str, oracle: Oracle, pairs: Mapping[str, tuple[str, float, float]]) -> None:
    """Compare with pinned draws: each of the oracle's unknowns is ``scale * (x - shift)`` there."""
    for theirs, (mine, shift, scale) in pairs.items():
        known, found = pinned("hierarchical_brms")[name]["posterior"][theirs], oracle[mine]
        assert abs((found.mean - shift) * scale - known["mean"]) < SIGMAS * known["mcse_mean"], theirs
        assert abs(found.sd * scale - known["sd"]) < SIGMAS * known["mcse_sd"], theirs
        for key, p in (("2.5", 0.025), ("25", 0.25), ("50", 0.5), ("75", 0.75), ("97.5", 0.975)):
            gap = (found.quantile(p) - shift) * scale - known[f"q{key}"]
            assert abs(gap) < SIGMAS * known[f"mcse_q{key}"], (theirs, p)


def test_student_effects_against_stan() -> None:
    found = case("student_normand").oracle()
    stan("student", found, {name: (name, 0.0, 1.0) for name in ("mu", "tau", "df")})
    for i, mean in enumerate(found.probabilities["theta_mean"], 1):
        known = pinned("hierarchical_brms")["student"]["posterior"][f"deviation[{i}]"]
        assert abs(mean - found["mu"].mean - known["mean"]) < SIGMAS * known["mcse_mean"]


# ------------------------------------------------------------------------------------------------------- outliers


def test_outliers_that_are_no_wider_are_no_outliers() -> None:
    y, se = normand()
    found = oracles.outlier_effects(
        y,
        se,
        normal(0, 1),
        half_normal(0.5),
        uniform(0.2, 0.4),
        half_normal(1e-5),
        share_range=(0.2, 0.4),
        extra_high=1e-4,
        n=(72, 44, 9, 9),
    )
    close(found, reference(), {"mu": "mu", "tau": "tau", "theta_new": "theta_new", "theta_typical": "theta_new"}, LIMIT)
    assert found.probabilities["outlier"] == pytest.approx(np.full(9, 0.3), abs=LIMIT)


def test_outliers_by_enumeration() -> None:
    """Three trials: all eight assignments with mu integrated in closed form, on Gauss-Legendre nodes."""
    y, se = np.array([0.1, 0.3, 2.0]), np.array([0.2, 0.15, 0.3])
    found = oracles.outlier_effects(
        y, se, normal(0, 1), half_normal(0.5), uniform(0, 0.5), half_normal(1), share_range=(0.0, 0.5)
    )
    x, w = np.polynomial.legendre.leggauss(24)
    t, wt = np.concatenate([0.25 * (1 + x), 1.75 + 1.25 * x]), np.concatenate([0.25 * w, 1.25 * w])
    p, wp = 0.25 * (1 + x), 0.25 * w
    e, we = 2.5 * (1 + x), 2.5 * w
    T, P, E = np.meshgrid(t, p, e, indexing="ij")
    prior = np.exp(half_normal(0.5)(T) + half_normal(1)(E)) * 2 * wt[:, None, None] * wp[:, None] * we
    total, third = 0.0, 0.0
    for number in range(8):
        out = np.array([number & 1, number & 2, number & 4], bool)
        V = [s**2 + T**2 + (E**2 if o else 0.0) for s, o in zip(se, out, strict=True)]
        precision = 1 + sum(1 / v for v in V)
        mean = sum(a / v for a, v in zip(y, V, strict=True)) / precision
        square = sum(a**2 / v for a, v in zip(y, V, strict=True)) - mean**2 * precision
        value = np.exp(-0.5 * square) / np.sqrt(precision * (2 * np.pi) ** 3 * math.prod(V))
        mass = float((prior * value * P ** out.sum() * (1 - P) ** (3 - out.sum())).sum())
        total += mass
        third += mass if out[2] else 0.0
    assert found.log_evidence == pytest.approx(math.log(total), abs=LIMIT)
    assert found.probabilities["outlier"][2] == pytest.approx(third / total, abs=LIMIT)


# --------------------------------------------------------------------------------------------------------- counts


def glmm_cases() -> list[str]:
    return [name for name, item in pinned("counts_metafor")["sets"].items() if "CM.EL ML" in item["fits"]]


def test_enough_of_rma_glmm_is_pinned() -> None:
    assert len(glmm_cases()) == 6
    assert len(pinned("counts_metafor")["sets"]) == 9


@pytest.mark.parametrize("name", glmm_cases())
def test_conditional_maximum_likelihood_against_rma_glmm(name: str) -> None:
    known = pinned("counts_metafor")["sets"][name]["fits"]["CM.EL ML"]
    estimate, tau, log_likelihood = oracles.conditional_logit_ml(counts_of(name))
    assert estimate == pytest.approx(known["estimate"], abs=GLMM)
    assert tau**2 == pytest.approx(known["tau2"], abs=GLMM)
    assert log_likelihood == pytest.approx(known["loglik"], abs=GLMM)


def test_conditional_likelihood_without_heterogeneity_against_rma_glmm() -> None:
    """Sets whose maximum lies at tau = 0, where rma.glmm's random-effects fit does not converge."""
    for name in ("yusuf1985_table6", "yusuf1985_table9", "hine1989"):
        known = pinned("counts_metafor")["sets"][name]["fits"]["CM.EL EE"]
        estimate, _, log_likelihood = oracles.conditional_logit_ml(counts_of(name))
        assert estimate == pytest.approx(known["estimate"], abs=1e-5)
        assert log_likelihood == pytest.approx(known["loglik"], abs=1e-4)


def test_published_counts() -> None:
    """NICE TSD 3 (BCG) and TSD 2 (beta-blockers) as multinma's tests hold them: `published.md`, section 6.1."""
    bcg, blocker = case("bcg_or").oracle(), case("blocker_or").oracle()
    found = [bcg["mu"].mean, bcg["mu"].sd, bcg["mu"].quantile(0.025), bcg["mu"].quantile(0.975)]
    assert found == pytest.approx([-0.762, 0.22, -1.21, -0.34], abs=PRINTED)
    found = [bcg["tau"].quantile(0.5), bcg["tau"].sd, bcg["tau"].quantile(0.025), bcg["tau"].quantile(0.975)]
    assert found == pytest.approx([0.649, 0.202, 0.39, 1.17], abs=PRINTED)
    assert [bcg["theta_new"].quantile(p) for p in (0.025, 0.975)] == pytest.approx([-2.27, 0.72], abs=PRINTED)
    found = [blocker["mu"].mean, blocker["mu"].sd, blocker["mu"].quantile(0.025), blocker["mu"].quantile(0.975)]
    assert found == pytest.approx([-0.25, 0.066, -0.38, -0.12], abs=PRINTED)
    tau = blocker["tau"]
    found = [tau.mean, tau.quantile(0.5), tau.quantile(0.025), tau.quantile(0.975)]
    assert found == pytest.approx([0.14, 0.13, 0.01, 0.32], abs=PRINTED)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
@pytest.mark.parametrize("row", [(3, 10, 5, 12), (0, 8, 2, 9), (9, 10, 4, 10)])
def test_likelihood_of_one_trial(measure: str, row: tuple[int, int, int, int]) -> None:
    """By QUADPACK over the control risk itself, with scipy's binomial probabilities."""
    x_t, n_t, x_c, n_c = row
    evidence = trial(x_t, n_t, x_c, n_c, measure, normal(-0.5, 1.2), fine=0.02)  # type: ignore[arg-type]

    def treated(p: float, theta: float) -> float:
        if measure == "OR":
            return float(special.expit(special.logit(p) + theta))
        return p * math.exp(theta) if measure == "RR" else p + theta

    for theta in (-0.45, -0.1, 0.2, 0.4):

        def integrand(p: float, theta: float = theta) -> float:
            q = treated(p, theta)
            if not 0 < q < 1:
                return 0.0
            density = math.exp(normal(-0.5, 1.2)(special.logit(p))) / (p * (1 - p))
            return float(stats.binom.pmf(x_c, n_c, p) * stats.binom.pmf(x_t, n_t, q) * density)

        edge = {"OR": 0.5, "RR": math.exp(-theta) if theta > 0 else 0.5, "RD": 1 - theta if theta > 0 else -theta}[
            measure
        ]
        value = (
            integrate.quad(integrand, 0, edge, epsabs=1e-12)[0] + integrate.quad(integrand, edge, 1, epsabs=1e-12)[0]
        )
        assert float(evidence(np.array(theta))) == pytest.approx(math.log(value), abs=1e-5)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_plenty_of_events_are_normal(measure: str) -> None:
    """A hundred thousand participants per arm: normal-normal with escalc's variances, to O(1/events)."""
    p_c, p_t = np.array([0.2, 0.3, 0.25, 0.4]), np.array([0.15, 0.28, 0.16, 0.41])
    n = np.full(4, 1e5)
    y, v = {
        "OR": (special.logit(p_t) - special.logit(p_c), 1 / (n * p_t * (1 - p_t)) + 1 / (n * p_c * (1 - p_c))),
        "RR": (np.log(p_t / p_c), (1 - p_t) / (n * p_t) + (1 - p_c) / (n * p_c)),
        "RD": (p_t - p_c, p_t * (1 - p_t) / n + p_c * (1 - p_c) / n),
    }[measure]
    counts = np.column_stack([n * p_t, n, n * p_c, n])
    tau = half_normal(0.1 if measure == "RD" else 0.5)
    found = oracles.binomial(counts, measure, normal(0, 1), tau, normal(-1, 5))  # type: ignore[arg-type]
    close(found, oracles.normal_normal(y, np.sqrt(v), normal(0, 1), tau), ["mu", "tau", "theta_new"], 5 * PROMISE)


def test_trials_without_events_say_nothing_conditionally() -> None:
    assert np.ptp(conditional(0, 20, 0, 20).log) == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------------------------------- draws from the prior


def weighted(log_weight: Array, value: Array) -> tuple[float, float]:
    """A mean by self-normalised importance sampling, and its Monte Carlo standard error."""
    w = np.exp(log_weight - log_weight.max())
    w = w / w.sum()
    mean = float(w @ value)
    return mean, float(np.sqrt(np.sum((w * (value - mean)) ** 2)))


def agree(oracle: Oracle, log_weight: Array, values: Mapping[str, Array]) -> None:
    for name, value in values.items():
        mean, error = weighted(log_weight, value)
        assert abs(oracle[name].mean - mean) < SIGMAS * error, name
        below, error = weighted(log_weight, (value < oracle[name].mean).astype(float))
        assert abs(oracle[name].cdf(oracle[name].mean) - below) < SIGMAS * error, name
    # the log evidence: log of the mean weight, with its error by the delta method
    w = np.exp(log_weight - log_weight.max())
    relative = w.std() / w.mean() / math.sqrt(w.size)
    assert abs(math.log(w.mean()) + log_weight.max() - oracle.log_evidence) < SIGMAS * relative
    assert relative < 0.05


DRAWS = 400_000


def log_normal(x: Array, mean: Array, variance: Array) -> Array:
    return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)


def half(rng: np.random.Generator, scale: float) -> Array:
    return np.abs(rng.normal(0, scale, DRAWS))


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_missing_numbers_against_draws_from_the_prior(shift: float) -> None:
    """Log-normal moderator; (mean, sd) are drawn from a wide proposal, everything else from its prior."""
    rng = np.random.default_rng(1)
    y, se = np.array([-0.2, -0.5, -0.9, 0.1, -0.6]), np.array([0.2, 0.25, 0.2, 0.3, 0.2])
    x = np.array([4.0, 12.0, np.nan, 6.0, 8.0])
    axes = {"mean": Axis.real(-3, 8), "sd": Axis.positive(5.0), "x": Axis.positive(2000.0, 8.0)}
    found = oracles.missing_numeric(
        y,
        se,
        x,
        (0, 1),
        (0, 0.5),
        half_normal(0.3),
        normal(2, 1),
        half_normal(0.7),
        per=5.0,
        family="lognormal",
        shift=shift,
        axes=axes,
    )
    mu, b, tau = rng.normal(0, 1, DRAWS), rng.normal(0, 0.5, DRAWS), half(rng, 0.3)
    m, s = rng.normal(2, 1, DRAWS), half(rng, 0.7)
    lost = np.exp(m + shift + s * rng.normal(size=DRAWS))
    stated = x[~np.isnan(x)]
    log = np.zeros(DRAWS)
    for v in stated:
        log += log_normal(np.log(v), m, s**2) - math.log(v)
    for i in range(5):
        value = lost if np.isnan(x[i]) else x[i]
        log += log_normal(y[i], mu + b * (value - stated.mean()) / 5, se[i] ** 2 + tau**2)
    agree(found, log, {"mu": mu, "slope": b, "tau": tau, "mean": m, "sd": s, "x[2]": lost})


@pytest.mark.parametrize(
    ("measure", "jacobian"),
    [
        ("MD", True),
        *(pytest.param(*given, marks=pytest.mark.slow) for given in (("SMD", True), ("MD", False), ("SMD", False))),
    ],
)
def test_missing_sds_against_draws_from_the_prior(measure: str, jacobian: bool) -> None:
    rng = np.random.default_rng(2)
    difference, sd = np.array([-4.0, -2, -6, -1, -5]), np.array([10.0, np.nan, 12, np.nan, 8])
    n_t, n_c = np.array([20.0, 30, 25, 40, 15]), np.array([20.0, 28, 27, 41, 15])
    scale = 1.0 if measure == "SMD" else 10.0
    found = oracles.missing_sd(
        difference,
        sd,
        n_t,
        n_c,
        measure,
        (0, scale),
        half_normal(0.3 * scale),
        normal(2, 0.5),
        half_normal(0.4),
        jacobian=jacobian,
        tau_high=5 * scale,
    )
    mu, tau = rng.normal(0, scale, DRAWS), half(rng, 0.3 * scale)
    m, w = rng.normal(2, 0.5, DRAWS), half(rng, 0.4)
    log = np.zeros(DRAWS)
    lost = {}
    for i in range(5):
        sigma: Array | float = sd[i]
        if np.isnan(sd[i]):
            lost[f"log_sd[{i}]"] = m + w * rng.normal(size=DRAWS)
            sigma = np.exp(lost[f"log_sd[{i}]"])
        else:
            log = log + log_normal(np.log(sd[i]), m, w**2 + 0.5 / (n_t[i] + n_c[i] - 2))
        N = n_t[i] + n_c[i]
        if measure == "MD":
            log = log + log_normal(difference[i], mu, sigma**2 * N / (n_t[i] * n_c[i]) + tau**2)
            continue
        J = math.exp(math.lgamma((N - 2) / 2) - math.lgamma((N - 3) / 2)) / math.sqrt((N - 2) / 2)
        g = J * difference[i] / sigma
        log = log + log_normal(g, mu, N / (n_t[i] * n_c[i]) + g**2 / (2 * N) + tau**2)
        if np.isnan(sd[i]) and jacobian:
            log = log + np.log(J / sigma)
    agree(found, log, {"mu": mu, "tau": tau, "meanlog": m, "sdlog": w, **lost})


def test_monotone_against_draws_from_the_prior() -> None:
    rng = np.random.default_rng(3)
    y, se = np.array([-0.1, -0.2, -0.6, -0.7, -0.5]), np.array([0.2, 0.25, 0.2, 0.3, 0.2])
    x, knots = np.array([4.0, 6, 8, 11, 12]), np.array([4.0, 6, 9, 12])
    found = oracles.monotone(y, se, x, knots, (0, 1), (0, 1), half_normal(0.3))
    mu, total, tau = rng.normal(0, 1, DRAWS), rng.normal(0, 1, DRAWS), half(rng, 0.3)
    share = rng.dirichlet([1, 1, 1], DRAWS)
    ramp = np.array([[np.interp(v, knots[j : j + 2], [0, 1]) for j in range(3)] for v in x])
    curve = share @ (ramp - ramp.mean(axis=0)).T
    log = sum(log_normal(y[i], mu + total * curve[:, i], se[i] ** 2 + tau**2) for i in range(5))
    agree(found, np.asarray(log), {"mu": mu, "total": total, "tau": tau, "share[0]": share[:, 0]})
    for j in range(3):
        mean, error = weighted(np.asarray(log), total * share[:, j])
        assert abs(found.probabilities["rise_mean"][j] - mean) < SIGMAS * error


def test_joint_outcomes_against_draws_from_the_prior() -> None:
    rng = np.random.default_rng(4)
    y = np.array([[-0.5, -0.3], [-0.2, 0.0], [-0.8, np.nan], [np.nan, -0.1]])
    S = np.array(
        [
            [[v, 0.4 * math.sqrt(v * u)], [0.4 * math.sqrt(v * u), u]]
            for v, u in [(0.04, 0.06), (0.05, 0.03), (0.02, 0.05), (0.08, 0.04)]
        ]
    )
    found = oracles.joint_outcomes(y, S, ((0, 1), (0, 1)), (half_normal(0.5), half_normal(0.3)), 2.0)
    mu, tau = rng.normal(0, 1, (2, DRAWS)), np.array([half(rng, 0.5), half(rng, 0.3)])
    r = 2 * rng.beta(2, 2, DRAWS) - 1
    log = np.zeros(DRAWS)
    for row, within in zip(y, S, strict=True):
        for i in (0, 1):
            if np.isnan(row[1 - i]):
                log += log_normal(row[i], mu[i], within[i, i] + tau[i] ** 2)
        if not np.isnan(row).any():
            a, c = within[0, 0] + tau[0] ** 2, within[1, 1] + tau[1] ** 2
            b = within[0, 1] + r * tau[0] * tau[1]
            # one outcome, then the other given it
            log += log_normal(row[0], mu[0], a)
            log += log_normal(row[1], mu[1] + b / a * (row[0] - mu[0]), c - b * b / a)
    names = {"mu[0]": mu[0], "mu[1]": mu[1], "tau[0]": tau[0], "tau[1]": tau[1], "correlation": r}
    agree(found, log, names)
    below, error = weighted(log, ((mu < 0).all(axis=0)).astype(float))
    assert abs(found.probabilities["both_below"][0] - below) < SIGMAS * error


# --------------------------------------------------------------------------------- moderators, numbers, joint outcomes


def test_missing_numbers_against_stan() -> None:
    data = pinned("hierarchical_brms")["missing_numeric"]["data"]
    centre, per = data["centre"], data["per"]
    pairs = {"mu": ("mu", 0.0, 1.0), "tau": ("tau", 0.0, 1.0), "slope": ("slope", 0.0, 1.0), "s": ("sd", 0.0, 1 / per)}
    pairs |= {"m": ("mean", centre, 1 / per), "x[2]": ("x[1]", centre, 1 / per), "x[8]": ("x[7]", centre, 1 / per)}
    stan("missing_numeric", case("bcg_latitude").oracle(), pairs)


def test_monotone_against_stan() -> None:
    data = pinned("hierarchical_brms")["monotone"]["data"]
    found = oracles.monotone(data["y"], data["se"], data["x"], data["knots"], (0, 100), (0, 2), half_normal(0.5))
    pairs = {name: (name, 0.0, 1.0) for name in ("mu", "tau", "total")} | {"share[1]": ("share[0]", 0.0, 1.0)}
    stan("monotone", found, pairs)


@pytest.mark.parametrize("shift", [{}, {"b": 0.7, "c": -0.3}])
def test_missing_levels_by_dense_matrices(shift: Mapping[str, float]) -> None:
    """Two trials without a level: nine scenarios, each a multivariate normal; their chances by Dirichlet draws."""
    y, se = np.array([0.1, 0.5, 0.9, 0.2, 0.7, -0.1]), np.full(6, 0.2)
    level = ["a", "b", "c", "a", None, None]
    found = oracles.missing_levels(y, se, level, (0, 1), 0.5, half_normal(0.5), concentration=1.5, shift=shift)
    rng = np.random.default_rng(5)
    pi = rng.dirichlet(np.array([2, 1, 1]) + 1.5, 2_000_000) * np.exp([shift.get(name, 0.0) for name in "abc"])
    pi /= pi.sum(axis=1, keepdims=True)
    frequency = np.array([2, 1, 1]) / 4
    nodes, weights = np.polynomial.legendre.leggauss(60)
    tau, total, chance = 1.5 * (1 + nodes), 0.0, np.zeros(3)
    for i in range(3):
        for j in range(3):
            index = [0, 1, 2, 0, i, j]
            X = np.column_stack([np.ones(6), np.eye(3)[index] - frequency])
            C = X @ np.diag([1.0, *[0.125] * 3]) @ X.T
            value = [stats.multivariate_normal.pdf(y, np.zeros(6), C + np.diag(se**2 + t**2)) for t in tau]
            mass = (
                1.5 * float(weights @ (np.array(value) * np.exp(half_normal(0.5)(tau)))) * (pi[:, i] * pi[:, j]).mean()
            )
            total += mass
            chance[i] += mass
    # two million draws of the frequencies: 1e-3 of a probability
    assert found.log_evidence == pytest.approx(math.log(total), abs=2e-3)
    assert found.probabilities["level[4]"] == pytest.approx(chance / total, abs=2e-3)


def test_stated_correlation_is_normal_normal() -> None:
    data = case("training_prepost").data
    found = oracles.uncertain_number(
        data["y"], data["se"], (0, 1), half_normal(0.5), uniform(0.4999, 0.5001), Axis.interval(0.4999, 0.5001)
    )
    stated = oracles.normal_normal(data["y"](0.5), data["se"](0.5), normal(0, 1), half_normal(0.5))
    close(found, stated, ["mu", "tau", "theta_new"], LIMIT)
    assert found.log_evidence == pytest.approx(stated.log_evidence, abs=LIMIT)


def test_prepost_estimates_against_escalc() -> None:
    data, known = case("training_prepost").data, pinned("prepost_metafor")
    for item in known["cases"][1:]:
        assert data["y"](item["r"]) == pytest.approx(item["yi"], abs=1e-9)
        assert data["se"](item["r"]) ** 2 == pytest.approx(item["vi"], abs=1e-9)
    J = oracles.exact_j(data["treated"]["n"] - 1)
    arm = J * (data["treated"]["m_post"] - data["treated"]["m_pre"]) / data["treated"]["sd_pre"]
    # printed to four digits by metafor's own test
    assert arm == pytest.approx(known["published"]["yi_t"], abs=6e-5)


def test_joint_likelihood_against_rma_mv() -> None:
    """With flat means the evidence is the restricted likelihood, up to the prior's constant: so is its maximum."""
    data = pinned("joint_metafor")
    y, S, known = np.array(data["y"]), np.array(data["S"]), data["REML"]
    flat = 1e3

    def negative(p: Array) -> float:
        t1, t2, r = (np.array([v]) for v in (math.exp(p[0]), math.exp(p[1]), math.tanh(p[2])))
        return -float(joint_evidence(y, S, np.zeros(2), np.eye(2) * flat**2, t1, t2, r)[0][0])

    best = optimize.minimize(negative, [-2, -2, 0.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    t1, t2, r = math.exp(best.x[0]), math.exp(best.x[1]), math.tanh(best.x[2])
    assert [t1**2, t2**2, r] == pytest.approx([*known["tau2"], known["rho"]], rel=1e-4)
    arrays = (np.array([v]) for v in (t1, t2, r))
    _, b, C, _ = joint_evidence(y, S, np.zeros(2), np.eye(2) * flat**2, *arrays)
    assert b[0] == pytest.approx(known["estimate"], abs=1e-5)
    assert np.sqrt(np.diag(C[0])) == pytest.approx(known["se"], abs=1e-5)
    # metafor's restricted likelihood adds half the log determinant of X'X: two outcomes of five trials
    constant = 2 * math.log(flat) + math.log(2 * math.pi) + 0.5 * math.log(25)
    assert -best.fun + constant == pytest.approx(known["loglik"], abs=1e-4)


def test_both_below_against_scipy() -> None:
    for h, k, r in ((0.3, -0.2, 0.5), (-1.0, 1.5, -0.9), (0.0, 0.0, 0.98)):
        known = stats.multivariate_normal.cdf([h, k], [0, 0], [[1, r], [r, 1]])
        assert float(both_below(np.array(h), np.array(k), np.array(r))) == pytest.approx(known, abs=1e-6)


# ------------------------------------------------------------------------------------------------------ finer grids

FINER: dict[str, dict[str, object]] = {
    "student_normand": {"n": (96, 56, 44), "inner": 90},
    "outliers_normand": {"n": (72, 48, 36, 44)},
    "zeros_or": {"n": (192, 64), "nodes": 300, "fine": 0.1},
    "bcg_rr": {"n": (192, 64), "nodes": 300, "fine": 0.1},
    "hine_rd": {"n": (192, 64), "nodes": 300, "fine": 0.1},
    "bcg_latitude": {"n": (48, 84, 48)},
    "bcg_latitude_shifted": {"n": (48, 84, 48)},
    "training_prepost": {"n": (120, 128)},
    "stay_smd": {"n": (42, 42, 42)},
    "stay_md": {"n": (42, 42, 42)},
    "weeks_four_knots": {"n": (64, 60)},
    "gums_partly": {"n": (60, 60, 54)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FINER)
def test_finer_grids_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = case(name).oracle()
    for function in (
        "student_effects",
        "outlier_effects",
        "binomial",
        "missing_numeric",
        "uncertain_number",
        "missing_sd",
        "monotone",
        "joint_outcomes",
    ):
        whole = getattr(oracles, function)
        monkeypatch.setattr(oracles, function, lambda *a, whole=whole, **k: whole(*a, **(k | FINER[name])))
    fine = CASES[name]().solve()
    close(coarse, fine, list(coarse.marginals), PROMISE)
    assert coarse.log_evidence == pytest.approx(fine.log_evidence, abs=PROMISE)


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_an_answer(name: str) -> None:
    found = case(name).oracle()
    assert math.isfinite(found.log_evidence)
    for marginal in found.marginals.values():
        assert marginal.cdf(marginal.quantile(0.5)) == pytest.approx(0.5, abs=1e-6)
