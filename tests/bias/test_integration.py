"""Evidence and posteriors of single models against plain sums over dense grids."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

import bayesmeta as bm
from bayesmeta.bias import PEESE, PET, CandidateModel, StepSelection
from bayesmeta.bias.integration import Table, integrate
from bayesmeta.bias.posterior import mean_of, new_study_of, share_above, slope_of, study_of, tau_of, weight_of
from bayesmeta.marginals import Marginal
from plain_sums import Sum, middles, slope_likelihood, step_likelihood, summed
from references import ROOT

FloatArray = NDArray[np.float64]
P = [0.025, 0.5, 0.975]
# cells of a tenth of a posterior SD: a midpoint sum is right to (1/10)^2 / 24 of what changes within an SD
SUMMED = 4e-4
CDF = 1e-3


def rows(name: str) -> tuple[FloatArray, FloatArray]:
    table = pd.read_csv(ROOT / "tests" / "reference" / "bias" / f"{name}.csv")
    return table["d"].to_numpy(), table["se"].to_numpy()


SETS = {
    "Bem2011": rows("Bem2011"),
    "Poulsen2006": rows("Poulsen2006"),
    # Gronau 2017
    "power pose": (
        np.array([0.2507640179, 0.2275179728, 0.3186068502, 0.2832081857, 0.1463948549, 0.1509773271]),
        np.array([0.2071399180, 0.1931046163, 0.1423227881, 0.1421355599, 0.1416106586, 0.1221165930]),
    ),
}
MU, TAU = bm.Normal(0, 1), bm.HalfNormal(0.5)
UNIT = middles(0.0, 1.0, 120)
#: Where the means and the between-study SDs have all but 1e-6 of their mass.
AXES = {
    "Bem2011": (middles(-1.3, 1.0, 240), middles(0.0, 0.6, 120)),
    "Poulsen2006": (middles(-2.4, 3.0, 240), middles(0.0, 2.2, 120)),
    "power pose": (middles(-1.5, 1.2, 240), middles(0.0, 0.9, 120)),
}


@dataclass(frozen=True)
class Root:
    """Of the square root of what has this distribution."""

    of: Any

    def logpdf(self, t: FloatArray) -> FloatArray:
        return np.asarray(self.of.logpdf(t * t) + np.log(2 * t))


def by_sum(name: str, bias: StepSelection | PET | PEESE) -> Sum:
    y, se = SETS[name]
    if isinstance(bias, StepSelection):
        two = bias.sides == "two"
        # over the square root of the weight, as small weights matter
        return summed(
            lambda mu, tau, t: step_likelihood(y, se, mu, tau, bias.steps[0], t * t, two=two),
            (stats.norm(0, 1), stats.halfnorm(0, 0.5), Root(stats.beta(bias.alpha[1], bias.alpha[0]))),
            (*AXES[name], UNIT),
        )
    power, scale, far = (1, 1, 14.0) if isinstance(bias, PET) else (2, 5, 70.0)
    return summed(
        lambda mu, tau, slope: slope_likelihood(y, se, mu, tau, slope, power),
        (stats.norm(0, 1), stats.halfnorm(0, 0.5), stats.halfcauchy(0, scale)),
        (*AXES[name], middles(0.0, far, 280)),
    )


FORMS = [StepSelection((0.05,)), StepSelection((0.1,), "two", (2, 1.5)), PET(), PEESE()]


@pytest.fixture(
    scope="module", params=[(name, form) for name in SETS for form in FORMS], ids=lambda p: f"{p[0]}-{p[1].name}"
)
def both(request: pytest.FixtureRequest) -> tuple[Table, Sum]:
    name, form = request.param
    return integrate(*SETS[name], CandidateModel(MU, TAU, form)), by_sum(name, form)


def agrees(form: Marginal, found: FloatArray) -> None:
    """The summed quantiles have the probabilities that they are quantiles of."""
    np.testing.assert_allclose(form.cdf(found), P, atol=CDF)


def test_evidence_and_marginals_are_those_of_a_plain_sum(both: tuple[Table, Sum]) -> None:
    ours, theirs = both
    assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=SUMMED)
    assert ours.error <= 1e-6
    agrees(mean_of([ours], [1.0]), theirs.of(theirs.mu, 0, P))
    agrees(tau_of(ours), theirs.of(theirs.tau, 1, P))
    extra = weight_of(ours, 1) if isinstance(ours.model.bias, StepSelection) else slope_of(ours)
    found = theirs.of(theirs.extra, 2, P)
    agrees(extra, found**2 if isinstance(ours.model.bias, StepSelection) else found)


def test_effects_of_trials_and_of_a_new_study_are_those_of_a_plain_sum(both: tuple[Table, Sum]) -> None:
    ours, theirs = both
    y, se, row = ours.rows.y, ours.rows.se, 1
    joint = theirs.mass.sum(axis=2)
    mu, tau = theirs.mu[:, None], theirs.tau
    for x in (-0.1, 0.2, 0.5):
        expected = float((joint * stats.norm.cdf(x, mu, tau)).sum())
        assert float(new_study_of(ours).cdf(x)) == pytest.approx(expected, abs=CDF)
        assert float(new_study_of(ours, -1.0).sf(-x)) == pytest.approx(expected, abs=CDF)
        bias = ours.model.bias
        power = 1 if isinstance(bias, PET) else 2
        shift = 0.0 if isinstance(bias, StepSelection) else theirs.extra * se[row] ** power
        own = (tau**2 / (tau**2 + se[row] ** 2))[None, :, None]
        expected = sum(
            float(
                (
                    mass * stats.norm.cdf(x, own[0] * (y[row] - shift) + (1 - own[0]) * one, np.sqrt(own[0]) * se[row])
                ).sum()
            )
            for one, mass in zip(theirs.mu, theirs.mass, strict=True)
        )
        assert float(study_of(ours, row).cdf(x)) == pytest.approx(expected, abs=CDF)
    # P(more than three quarters of true effects above 0.1) = P(mu > 0.1 + tau 0.6745)
    z = stats.norm.ppf(0.75)
    expected = float(joint[mu[:, 0][:, None] > 0.1 + tau * z].sum())
    # cells on the line are counted whole
    assert float(share_above(ours, [0.1], [z], 1.0)[0]) == pytest.approx(expected, abs=0.02)


def test_several_steps_are_those_of_random_weights() -> None:
    """Cumulative Dirichlet weights drawn as they are defined, and the likelihood averaged over them."""
    y, se = SETS["Bem2011"]
    form = StepSelection((0.025, 0.05, 0.5))
    ours = integrate(y, se, CandidateModel(None, None, form))
    draws = np.random.default_rng(5).dirichlet(np.ones(4), 400_000)
    # from the least significant interval on
    weight = np.cumsum(draws[:, ::-1], axis=1)[:, ::-1]
    cuts = stats.norm.isf(np.array(form.steps))
    log = np.zeros(len(draws))
    for one, error in zip(y, se, strict=True):
        above = stats.norm.sf(cuts)
        chance = np.diff(np.concatenate([[0.0], above, [1.0]]))
        log += stats.norm.logpdf(one, 0, error) + np.log(weight[:, int((one / error < cuts).sum())])
        log -= np.log(weight @ chance)
    value = np.exp(log)
    # four standard errors of the mean
    assert math.exp(ours.log_evidence) == pytest.approx(value.mean(), abs=4 * value.std() / math.sqrt(value.size))
    for index in (1, 2, 3):
        expected = (value * weight[:, index]).sum() / value.sum()
        spread = np.sqrt((value**2 * (weight[:, index] - expected) ** 2).sum()) / value.sum()
        assert weight_of(ours, index).mean == pytest.approx(expected, abs=4 * spread)


def test_without_bias_it_is_the_exact_engine() -> None:
    y, se = SETS["Poulsen2006"]
    effects = bm.Effects([*"ABCDE"], y, se, measure="SMD")
    for mu, tau in ((MU, TAU), (bm.StudentT(0, 0.5, 4), bm.InverseGamma(1, 0.15)), (bm.Truncated(MU, 0, 9), None)):
        ours, theirs = integrate(y, se, CandidateModel(mu, tau)), bm.fit(effects, bm.Model(mu, tau))
        assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=1e-6)
        form = bm.marginal(theirs, "mu")
        np.testing.assert_allclose(mean_of([ours], [1.0]).cdf(form.quantile(P)), P, atol=1e-6)
        if tau is not None:
            np.testing.assert_allclose(tau_of(ours).cdf(bm.marginal(theirs, "tau").quantile(P)), P, atol=1e-6)
            x = bm.marginal(theirs, "theta_new").quantile(P)
            np.testing.assert_allclose(new_study_of(ours).cdf(x), P, atol=1e-6)
            x = bm.marginal(theirs, "theta[C]").quantile(P)
            np.testing.assert_allclose(study_of(ours, 2).cdf(x), P, atol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_units_do_not_matter(scale: float) -> None:
    """In other units the evidence changes by the density's factor, and every probability stays."""
    y, se = SETS["Bem2011"]
    form = StepSelection((0.05, 0.5))
    one = integrate(y, se, CandidateModel(bm.Normal(0, 1), bm.InverseGamma(1, 0.15), form))
    other = integrate(
        scale * y, scale * se, CandidateModel(bm.Normal(0, scale), bm.InverseGamma(1, 0.15 * scale), form)
    )
    assert other.log_evidence + y.size * math.log(scale) == pytest.approx(one.log_evidence, abs=2e-6)
    assert mean_of([other], [1.0]).quantile(0.9) == pytest.approx(scale * mean_of([one], [1.0]).quantile(0.9), rel=1e-5)


@pytest.mark.parametrize(("mu", "tau"), [(bm.Normal(0.2, 0.03), bm.Uniform(0.12, 0.18)), (bm.Uniform(-0.1, 0.7), TAU)])
def test_jumps_at_the_ends_of_a_prior_cost_nothing(mu: bm.priors.Prior, tau: bm.priors.Prior) -> None:
    """Rounding put the outermost nodes beside the support, where the density is zero, and integrals did not settle."""
    y, se = np.array([0.05, 0.3, 0.5, 0.62, -0.1, 0.35]), np.array([0.1, 0.15, 0.2, 0.25, 0.2, 0.3])
    ours = integrate(y, se, CandidateModel(mu, tau))
    theirs = bm.fit(bm.Effects([*"abcdef"], y, se, measure="SMD"), bm.Model(mu, tau))
    assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=1e-9)
    assert ours.mass.shape[1] <= 129
