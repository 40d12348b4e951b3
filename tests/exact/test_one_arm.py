"""Proportions of one arm by their counts: the exact engine against brute force, NUTS against the exact engine."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.exact import arm_log_marginal
from bayesmeta.fits import predict_left_out
from bayesmeta.sensitivity import read_section, sensitivity_analyses
from sampled import drawn_until

#: The brute-force rule below has 64 Gauss-Legendre nodes of tau and steps of 0.04 and 0.1 of theta and mu, which is
#: good to about 1e-8; true effects of trials are tabulated to about 1e-6.
BRUTE, TABULATED = 1e-6, 1e-5
SETS = {
    "zeros": ([3, 0, 7, 12, 1], [20, 15, 40, 50, 25]),
    "nobody": ([0, 0, 0], [12, 30, 18]),
    "everybody in one": ([9, 30, 22], [9, 41, 35]),
}
MODEL = bm.Model(bm.Normal(0, 2), bm.HalfNormal(1), likelihood="binomial")


def effects(name: str) -> bm.Effects:
    x, n = (np.array(values, float) for values in SETS[name])
    y, se = np.log((x + 0.5) / (n - x + 0.5)), np.sqrt(1 / (x + 0.5) + 1 / (n - x + 0.5))
    counts = np.column_stack([x, n])
    return bm.Effects(
        [f"T{i}" for i in range(x.size)], y, se, measure="PLO", counts=counts, n=n[:, None], better="lower"
    )


@cache
def brute(name: str) -> dict[str, float]:
    """Sums over grids of theta, mu and tau: nothing of this uses the engine's rules."""
    x, n = SETS[name]
    theta = np.arange(-40.0, 30.0, 0.04)
    likelihood = np.array([stats.binom.pmf(a, b, special.expit(theta)) for a, b in zip(x, n, strict=True)])
    mu = np.arange(-16.0, 12.0, 0.1)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    tau, weights = 3.5 * (nodes + 1), 3.5 * weights
    z, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    # where tau is small the distribution function of a new study is a step in mu, for which steps of 0.1 are too coarse
    fine = np.arange(-16.0, 12.0, 0.005)
    joint, new, trial = np.empty((mu.size, tau.size)), np.empty(tau.size), np.empty((mu.size, tau.size))
    for j, t in enumerate(tau):
        if t < 0.15:
            at = mu[:, None] + t * z
            each = np.array([stats.binom.pmf(a, b, special.expit(at)) @ w for a, b in zip(x, n, strict=True)])
            first = stats.binom.pmf(x[1], n[1], special.expit(at)) * at @ w
        else:
            kernel = stats.norm.pdf(theta[None], mu[:, None], t) * 0.04
            each, first = likelihood @ kernel.T, kernel @ (likelihood[1] * theta)
        prior = stats.norm.pdf(mu, 0, 2) * 2 * stats.norm.pdf(t)
        joint[:, j] = each.prod(axis=0) * prior * weights[j] * 0.1
        new[j] = joint[:, j] @ stats.norm.cdf((-1.5 - mu) / t)
        if t < 0.15:
            at = fine[:, None] + t * z
            p = special.expit(at)
            finer = np.array(
                [np.exp(special.xlogy(a, p) + special.xlog1py(b - a, -p)) @ w for a, b in zip(x, n, strict=True)]
            )
            ways = np.prod([special.comb(b, a) for a, b in zip(x, n, strict=True)])
            density = (
                ways * finer.prod(axis=0) * stats.norm.pdf(fine, 0, 2) * 2 * stats.norm.pdf(t) * weights[j] * 0.005
            )
            new[j] = density @ stats.norm.cdf((-1.5 - fine) / t)
        trial[:, j] = first / each[1]
    total = joint.sum()
    share = joint / total
    return {
        "log_evidence": float(np.log(total)),
        "mu": float(share.sum(axis=1) @ mu),
        "below": float(share[mu < -1.5 - 1e-9].sum() + 0.5 * share[np.abs(mu + 1.5) < 1e-9].sum()),
        "tau": float(share.sum(axis=0) @ tau),
        "new": float(new.sum() / total),
        "trial": float((share * trial).sum()),
    }


@pytest.mark.parametrize("name", SETS)
def test_the_exact_engine_is_brute_force(name: str) -> None:
    fit, known = bm.fit(effects(name), MODEL), brute(name)
    assert fit.engine == "exact"
    assert fit.ok
    assert fit.log_evidence == pytest.approx(known["log_evidence"], abs=BRUTE)
    assert bm.marginal(fit, "mu").mean == pytest.approx(known["mu"], abs=BRUTE)
    assert bm.marginal(fit, "tau").mean == pytest.approx(known["tau"], abs=BRUTE)
    assert bm.probability(fit, "theta_new", below=-1.5) == pytest.approx(known["new"], abs=BRUTE)
    # half a step of a sum that ends at a point: the trapezoidal rule, with an error of its step squared over 12
    assert bm.probability(fit, "mu", below=-1.5) == pytest.approx(known["below"], abs=2e-3)
    assert bm.marginal(fit, "theta[T1]").mean == pytest.approx(known["trial"], abs=TABULATED)


def test_nuts_agrees_with_the_exact_engine() -> None:
    # a check fails where a mean or a probability is more than its Monte Carlo error allows from the exact answer
    found = drawn_until(
        lambda seed, settings: bm.fit(effects("zeros"), MODEL, engine="both", seed=seed, settings=settings)
    )
    assert found.second is not None


def test_a_common_proportion_is_a_beta_like_integral() -> None:
    fit = bm.fit(effects("zeros"), bm.Model(bm.Normal(0, 2), None, likelihood="binomial"))
    x, n = map(sum, SETS["zeros"])
    mu = np.linspace(-12, 8, 40001)
    density = stats.norm.pdf(mu, 0, 2) * special.expit(mu) ** x * special.expit(-mu) ** (n - x)
    assert bm.marginal(fit, "mu").mean == pytest.approx(float(density @ mu / density.sum()), abs=1e-8)


def test_nothing_is_corrected_for_zeros() -> None:
    fit = bm.fit(effects("zeros"), MODEL)
    moved: Any = effects("zeros")
    other = bm.Effects(moved.study, moved.y + 0.7, 3 * moved.se, measure="PLO", counts=moved.counts, better="lower")
    # estimates and standard errors, which a correction makes finite, play no part
    assert bm.fit(other, MODEL).log_evidence == pytest.approx(fit.log_evidence, abs=1e-8)


def test_what_has_no_posterior_is_refused() -> None:
    flat = bm.Model(bm.Flat(), bm.HalfNormal(1), likelihood="binomial")
    with pytest.raises(ModelError, match="improper"):
        bm.fit(effects("nobody"), flat)
    assert bm.fit(effects("zeros"), flat).ok
    baseline = bm.Model(bm.Normal(0, 2), bm.HalfNormal(1), likelihood="binomial", baseline=bm.Normal(0, 1))
    with pytest.raises(ModelError, match="baseline"):
        bm.fit(effects("zeros"), baseline, engine="nuts")


def test_a_saved_fit_answers_as_before(tmp_path: Any) -> None:
    fit = bm.fit(effects("zeros"), MODEL)
    fit.save(tmp_path / "fit.nc")
    loaded = bm.load(tmp_path / "fit.nc")
    assert bm.summarize(loaded).equals(bm.summarize(fit))
    assert bm.marginal(loaded, "theta[T1]").mean == bm.marginal(fit, "theta[T1]").mean
    theta = fit.tree["posterior"]["theta"].values[..., 1]
    # 4,000 independent draws: four standard errors of their mean
    exact = bm.marginal(fit, "theta[T1]")
    assert abs(theta.mean() - exact.mean) < 4 * exact.sd / np.sqrt(theta.size)


@pytest.mark.parametrize(("x", "n"), [(0, 15), (7, 40), (40, 40)])
def test_events_of_a_trial_are_predicted_from_the_others(x: int, n: int) -> None:
    fit = bm.fit(effects("zeros"), MODEL)
    left = bm.Effects(["new"], [0.0], [1.0], measure="PLO", counts=[[x, n]], n=[[n]])
    log, p = predict_left_out(fit, left, np.ones((1, 1)))
    # the distribution function of a new study's effect, in 20,000 cells: an error of about their width squared
    edges = np.linspace(-40, 30, 20001)
    cells = np.diff(bm.fits.distribution(fit, "theta_new", edges))
    chance = special.expit((edges[1:] + edges[:-1]) / 2)
    assert log == pytest.approx(np.log(cells @ stats.binom.pmf(x, n, chance)), abs=1e-5)
    fewer, more = (cells @ found for found in (stats.binom.cdf(x, n, chance), stats.binom.sf(x - 1, n, chance)))
    assert p == pytest.approx(min(1.0, 2 * min(fewer, more)), abs=1e-5)


def test_what_would_take_counts_as_normal_estimates_is_refused() -> None:
    fit = bm.fit(effects("zeros"), MODEL)
    found = sensitivity_analyses(
        fit, ["concordance", "tipping", "influence", "inconsistency", "small-study"], threshold=0.2
    )
    assert not found.tables
    assert all(text.count(".") <= 2 for text in found.not_done.values())
    two = bm.Effects(["A", "B"], [0.0, 0.0], [1.0, 1.0], measure="PLO", counts=[[1, 9], [2, 9]], n=[[9], [9]])
    with pytest.raises(ModelError, match="several rows"):
        predict_left_out(fit, two, np.ones((2, 1)))
    with pytest.raises(ModelError, match="one arm"):
        bm.sensitivity.grade_table(fit, 0.2)


def test_sections_of_one_arm_speak_of_sides_and_not_of_benefit() -> None:
    fit = bm.fit(effects("zeros"), MODEL)
    found = sensitivity_analyses(fit, ["leave-one-out", "cumulative", "scaling"], threshold=0.2)
    for name, table in found.tables.items():
        said = read_section(name, table, fit, threshold=0.2).verdict
        assert not {"benefit", "harm", "effect"} & set(said.replace(",", " ").split())
    assert not found.tables["scaling"]["quantity"].str.contains("benefit").any()
    assert found.tables["leave-one-out"]["p_below_null"].isna().all()
    assert np.isfinite(found.tables["leave-one-out"].attrs["elpd"])


@pytest.mark.parametrize("tau", [0.05, 0.59, 0.61, 1.0, 2.5, 5.0, 20.0])
@pytest.mark.parametrize("people", [1, 5, 200])
def test_probabilities_of_all_numbers_of_events_sum_to_one(tau: float, people: int) -> None:
    """However large the heterogeneity and far the mean; the rule promises 1e-9 of each, and most of them are small."""
    counts = np.array([[events, people] for events in range(people + 1)], float)
    mu = np.array([-8.0, -3.0, 0.0, 4.0])
    total = np.exp(arm_log_marginal(counts, mu, np.full(mu.size, tau))).sum(axis=0)
    np.testing.assert_allclose(total, 1.0, atol=2e-9)
