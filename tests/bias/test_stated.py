"""Selection of stated strength against plain sums, and what its likelihoods are by numerical integration."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate as quadrature
from scipy import stats

import bayesmeta as bm
from bayesmeta import bias
from bayesmeta.bias.integration import integrate
from bayesmeta.bias.likelihood import Rows, log_likelihood
from bayesmeta.bias.posterior import mean_of, tau_of
from plain_sums import middles, step_likelihood

FloatArray = NDArray[np.float64]
Y, SE = np.array([0.05, 0.3, 0.5, 0.62, -0.1, 0.35]), np.array([0.1, 0.15, 0.2, 0.25, 0.2, 0.3])
MU, TAU = bm.Normal(0, 1), bm.HalfNormal(0.5)
FORMS: list[Any] = [
    bias.StatedSelection((0.025,), (1.0, 0.2)),
    bias.StatedSelection((0.05, 0.1), (4.0, 2.0, 0.4), "two"),
    bias.ExponentialSelection(3.0),
    bias.ExponentialSelection(2.0, 2.0),
    bias.CopasSelection(-0.5, 0.1, 0.8),
]


def seen(form: Any, y: float, z_of: Any = None) -> float:
    """Relative chance of being seen of a z value."""
    if isinstance(form, bias.ExponentialSelection):
        return math.exp(-form.strength * stats.norm.sf(y) ** form.power)
    p = stats.norm.sf(y) if form.sides == "one" else 2 * stats.norm.sf(abs(y))
    return form.weights[int((p > np.array(form.steps)).sum())]


def by_integral(form: Any, mu: float, tau: float) -> float:
    """Log likelihood with the chance of being seen, and Copas' joint density, by adaptive quadrature."""
    total = 0.0
    for y, se in zip(Y, SE, strict=True):
        if isinstance(form, bias.CopasSelection):
            u = form.gamma0 + form.gamma1 / se
            lam = stats.norm.pdf(u) / stats.norm.cdf(u)
            sigma = se / math.sqrt(1 - form.rho**2 * lam * (u + lam))

            def joint(delta: float, y: float = y, sigma: float = sigma) -> float:
                # y given delta: its error has mean rho sigma delta
                sd = math.sqrt(tau**2 + sigma**2 * (1 - form.rho**2))
                return float(stats.norm.pdf(y, mu + form.rho * sigma * delta, sd) * stats.norm.pdf(delta))

            density = quadrature.quad(joint, -u, 12.0, limit=200)[0] / stats.norm.cdf(u)
            total += math.log(density)
            continue
        sd = math.hypot(se, tau)
        cuts = (
            []
            if isinstance(form, bias.ExponentialSelection)
            else [stats.norm.isf(np.array(form.steps) / k) for k in (1, 2)]
        )
        points = [] if not cuts else [*cuts[0], *cuts[1], *-cuts[1]]
        edges = np.sort([mu - 9 * sd, mu + 9 * sd, *(se * np.array(points, float))])
        chance = sum(
            quadrature.quad(lambda x, se=se, sd=sd: seen(form, x / se) * stats.norm.pdf(x, mu, sd), low, high)[0]
            for low, high in pairwise(edges)
        )
        total += stats.norm.logpdf(y, mu, sd) + math.log(seen(form, y / se)) - math.log(chance)
    return total


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_likelihoods_are_densities_given_that_a_trial_is_seen(form: Any) -> None:
    rows = Rows.of(Y, SE, form)
    points = [(0.2, 0.1), (-0.3, 0.0), (0.5, 1.5)]
    ours = log_likelihood(rows, *(np.array(axis) for axis in zip(*points, strict=True)), ())
    theirs = np.array([by_integral(form, mu, tau) for mu, tau in points])
    if isinstance(form, bias.StatedSelection):
        # weights are relative: their scale drops out
        other = log_likelihood(
            Rows.of(Y, SE, type(form)(form.steps, [7 * w for w in form.weights], form.sides)),
            *(np.array(axis) for axis in zip(*points, strict=True)),
            (),
        )
        np.testing.assert_allclose(other, ours, rtol=1e-13)
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_a_stated_weight_against_a_plain_sum() -> None:
    form = FORMS[0]
    table = integrate(Y, SE, bias.CandidateModel(MU, TAU, form))
    mu, tau = middles(-1.5, 1.6, 620)[:, None], middles(0.0, 1.6, 320)
    log = step_likelihood(Y, SE, mu, tau, 0.025, 0.2, two=False)
    log = log + stats.norm.logpdf(mu) + stats.halfnorm.logpdf(tau, scale=0.5)
    mass = np.exp(log - log.max())
    evidence = log.max() + math.log(mass.sum() * 0.005 * 0.005)
    # cells of a twentieth of a posterior SD; what lies outside holds less than 1e-4
    assert table.log_evidence == pytest.approx(evidence, abs=2e-4)
    mass /= mass.sum()
    for x in (0.0, 0.2):
        expected = float(mass[mu[:, 0] > x].sum())
        assert float(mean_of([table], [1.0]).sf(x)) == pytest.approx(expected, abs=2e-4)
    assert tau_of(table).mean == pytest.approx(float((mass.sum(axis=0) * tau).sum()), abs=2e-4)


def test_no_strength_is_no_selection() -> None:
    plain = integrate(Y, SE, bias.CandidateModel(MU, TAU)).log_evidence
    forms = [
        bias.StatedSelection((0.025, 0.5), (1.0, 1.0, 1.0)),
        bias.ExponentialSelection(0.0),
        bias.CopasSelection(1.0, 0.5, 0.0),
    ]
    for form in forms:
        assert integrate(Y, SE, bias.CandidateModel(MU, TAU, form)).log_evidence == pytest.approx(plain, abs=2e-6)


def test_a_sharp_prior_of_a_weight_is_a_stated_one() -> None:
    """Beta(300, 200) has an SD of 0.02: evidence to second order in that."""
    sharp = integrate(Y, SE, bias.CandidateModel(MU, None, bias.StepSelection((0.025,), "one", (200.0, 300.0))))
    stated = integrate(Y, SE, bias.CandidateModel(MU, None, bias.StatedSelection((0.025,), (1.0, 0.6))))
    # -E[(w - 0.6)^2] / 2 times the curvature, of order k / w^2
    assert sharp.log_evidence == pytest.approx(stated.log_evidence, abs=0.5 * 0.0219**2 * 6 / 0.36 * 2)
    assert mean_of([sharp], [1.0]).mean == pytest.approx(mean_of([stated], [1.0]).mean, abs=2e-3)


def test_averages_of_stated_forms() -> None:
    effects = bm.Effects([*"abcdef"], Y, SE, measure="SMD", better="higher")
    models = [bias.CandidateModel(MU, TAU, form) for form in (None, *FORMS)]
    fit = bm.average(effects, bias.Ensemble("stated", models))
    names = bias.candidate_table(fit)["bias"].tolist()
    assert names == ["none", *(form.name for form in FORMS)]
    parts = bias.bias_benefit_table(fit, 0.2)
    assert parts["count"].tolist() == [1, 5, 6]
    found = bias.weight_table(bm.average(effects, bias.Ensemble("one", [models[1]])))
    assert found[["mean", "lower", "prior_mean"]].to_numpy().tolist() == [[1.0] * 3, [0.2] * 3]
    with pytest.raises(bm.ModelError, match="not available"):
        bm.study_table(fit)
    # two-sided p needs no direction, Copas does
    rows = bm.Effects([*"abcdef"], Y, SE, measure="SMD")
    assert bm.average(rows, bias.Ensemble("two", [models[2]])).ok
    with pytest.raises(bm.ModelError, match="which results are favoured"):
        bm.average(rows, bias.Ensemble("copas", [models[5]]))


def test_what_is_refused() -> None:
    for steps, weights in (((0.05, 0.025), (1, 1, 1)), ((0.05,), (1.0,)), ((0.05,), (1.0, 0.0)), ((), (1.0,))):
        with pytest.raises(bm.ModelError, match=r"steps|weights"):
            bias.StatedSelection(steps, weights)
    with pytest.raises(bm.ModelError, match="one, two"):
        bias.StatedSelection((0.05,), (1, 1), "both")  # type: ignore[arg-type]
    with pytest.raises(bm.ModelError, match="strength from 0"):
        bias.ExponentialSelection(-1.0)
    with pytest.raises(bm.ModelError, match="rho from 0"):
        bias.CopasSelection(0.0, 1.0, 1.0)


def test_copas_standard_errors_are_those_after_selection() -> None:
    """The error of a trial that is seen is rho delta plus an independent rest, delta normal above -u."""
    form = bias.CopasSelection(-0.5, 0.1, 0.8)
    u = -0.5 + 0.1 / SE
    after = form.unselected(SE) * np.sqrt(1 - 0.64 + 0.64 * stats.truncnorm.var(-u, np.inf))
    np.testing.assert_allclose(after, SE, rtol=1e-9)
