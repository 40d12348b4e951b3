"""Averages with moderators: published numbers, models that are one model in two ways, and draws of selection."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta import bias
from bayesmeta.bias.importance import Sampled, sample_model
from bayesmeta.bias.integration import integrate
from bayesmeta.bias.posterior import mean_of, slope_of, weight_of
from bayesmeta.bias.regression import Columns, regress
from references import ROOT

P = [0.025, 0.5, 0.975]


@pytest.fixture(scope="module")
def chaos() -> bm.Effects:
    """Andrews 2021, household chaos and executive functions, on Fisher's z scale as RoBMA has it.

    It goes from r through d to the number of participants, which gives a standard error of z.
    """
    found = pd.read_csv(ROOT / "tests" / "reference" / "bias" / "Andrews2021.csv")
    r, se = found["r"].to_numpy(), found["se"].to_numpy()
    d, se_d = 2 * r / np.sqrt(1 - r**2), 2 * se / (1 - r**2) ** 1.5
    n = (d**2 + 8) / (2 * se_d**2)
    moderators = {"measure": found["measure"].tolist(), "age": found["age"] / found["age"].std()}
    return bm.Effects(
        [f"study {i}" for i in range(r.size)],
        np.arctanh(r),
        1 / np.sqrt(n - 3),
        measure="ZCOR",
        moderators=moderators,
        better="higher",
    )


# RoBMA's 0.25 on the scale of d
PRIORS = {"measure": bm.Normal(0, 0.125), "age": bm.Normal(0, 0.125)}


def factors(fit: bm.Fit) -> dict[str, float]:
    return bias.model_inclusion_table(fit).set_index("part")["bayes_factor"].to_dict()


def test_meta_regression_without_bias(chaos: bm.Effects) -> None:
    """RoBMA's vignette: 4.74 (4.75 in another version) and 0.245, by JAGS."""
    fit = bm.average(chaos, bias.halved(bias.ensemble("bma")), moderators=PRIORS)
    assert len(bias.candidate_table(fit)) == 16
    found = factors(fit)
    assert found["moderator measure"] == pytest.approx(4.74, rel=2e-3)
    assert found["moderator age"] == pytest.approx(0.245, rel=2e-3)
    # rho = 0.16 [0.12, 0.21], tau = 0.12; direct assessment 0.117, informants 0.208
    table = bm.summarize(fit, scale="natural")
    assert table.loc["mu", ["median", "lower", "upper"]].tolist() == pytest.approx([0.16, 0.12, 0.21], abs=0.011)
    levels = [float(np.tanh(bm.marginal(fit, "mu", {"measure": level}).mean)) for level in ("direct", "informant")]
    assert levels == pytest.approx([0.117, 0.208], abs=0.006)


def test_meta_regression_with_bias(chaos: bm.Effects) -> None:
    """RoBMA's vignette: 28.0 for bias, 0.51 (0.50 in the text) for an effect, rho = 0.032 [0.000, 0.164]."""
    fit = bm.average(chaos, bias.halved(bias.ensemble("psma")), moderators=PRIORS)
    assert len(bias.candidate_table(fit)) == 144
    found = factors(fit)
    # evidences with an error of one percent on both sides
    assert found["bias"] == pytest.approx(28.0, rel=0.02)
    assert found["effect"] == pytest.approx(0.51, rel=0.02)
    assert fit.ok
    assert max(part.error for part in fit.posterior.tables if isinstance(part, Sampled)) <= 0.01  # type: ignore[attr-defined]
    # the mean of the levels, which RoBMA's intercept is; ours is over the observed mix
    both = [bm.marginal(fit, "mu", {"measure": level}).mean for level in ("direct", "informant")]
    assert np.tanh(np.mean(both)) == pytest.approx(0.032, abs=0.003)
    weights = bias.weight_table(fit)
    assert (weights["mean"].diff().iloc[1:4] < 0).all()


def test_a_model_in_two_ways(chaos: bm.Effects) -> None:
    """Without a moderator the regression is the plain model, and importance sampling is quadrature."""
    columns = Columns(np.ones((chaos.k, 1)), np.empty(0), np.empty(0))
    used = np.array([0])
    for form in (None, bias.PET(), bias.PEESE(bm.HalfCauchy(10))):
        for tau in (None, bm.InverseGamma(1, 0.075), bm.HalfNormal(0.3)):
            model = bias.CandidateModel(bm.Normal(0, 0.5), tau, form)
            one, other = integrate(chaos.y, chaos.se, model), regress(chaos.y, chaos.se, columns, model, used)
            assert other.log_evidence == pytest.approx(one.log_evidence, abs=2e-6)
            x = mean_of([one], [1.0]).quantile(P)
            np.testing.assert_allclose(other.quantity(np.ones(1), 1.0, new=False).cdf(x), P, atol=2e-6)
            if form is not None:
                np.testing.assert_allclose(other.slope_of().cdf(slope_of(one).quantile(P)), P, atol=1e-5)
    for steps in ((0.05,), (0.025, 0.05, 0.5)):
        for tau in (None, bm.InverseGamma(1, 0.075)):
            model = bias.CandidateModel(bm.Normal(0, 0.5), tau, bias.StepSelection(steps))
            one, drawn = integrate(chaos.y, chaos.se, model), sample_model(chaos.y, chaos.se, columns, model, used)
            # four standard errors, and a thousandth of the inner rule
            assert drawn.log_evidence == pytest.approx(one.log_evidence, abs=4 * drawn.error + 1e-3)
            x = mean_of([one], [1.0]).quantile(P)
            np.testing.assert_allclose(drawn.quantity(np.ones(1), 1.0, new=False).cdf(x), P, atol=0.02)
            assert weight_of(drawn, 1).mean == pytest.approx(weight_of(one, 1).mean, abs=0.02)


def test_regression_is_the_exact_engine(chaos: bm.Effects) -> None:
    """With the same design and priors, its evidence and the slope."""
    moderators = {"age": chaos.moderators["age"]}
    rows = bm.Effects(chaos.study, chaos.y, chaos.se, measure="ZCOR", moderators=moderators, better="higher")
    model = bias.CandidateModel(bm.Normal(0, 1), bm.HalfNormal(0.3), None, moderators=("age",))
    fit = bm.average(
        rows, bias.Ensemble("one", [bias.CandidateModel(model.mu, model.tau)]), moderators={"age": PRIORS["age"]}
    )
    part = bias.given_moderators(fit, "age", present=True)
    theirs = bm.fit(rows, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.3), {"age": PRIORS["age"]}))
    assert part.log_evidence == pytest.approx(theirs.log_evidence, abs=2e-6)
    ours, exact = bm.summarize(part), bm.summarize(theirs)
    assert ours.index.tolist() == exact.index.tolist()
    columns = ["mean", "sd", "median", "lower", "upper"]
    np.testing.assert_allclose(ours[columns], exact[columns], atol=2e-5)
    draws = part.posterior.draws(np.random.default_rng(3), (4, 5000))
    # four standard errors of twenty thousand draws
    for i, name in enumerate(("mu", exact.index[-1])):
        error = 4 * exact.loc[name, "sd"] / np.sqrt(20_000)
        assert draws["coefficients"][i].mean() == pytest.approx(exact.loc[name, "mean"], abs=error)
    np.testing.assert_allclose(
        bm.study_table(part)[["theta", "theta_lower"]], bm.study_table(theirs)[["theta", "theta_lower"]], atol=1e-5
    )


def test_signs_and_questions_with_moderators(chaos: bm.Effects) -> None:
    ensemble = bias.halved(bias.ensemble("pp"))
    fit = bm.average(chaos, ensemble, moderators=PRIORS)
    turned = bm.Effects(chaos.study, -chaos.y, chaos.se, measure="ZCOR", moderators=chaos.moderators, better="lower")
    other = bm.average(turned, ensemble, moderators=PRIORS)
    assert bm.summarize(other).loc["mu", "lower"] == pytest.approx(-bm.summarize(fit).loc["mu", "upper"], abs=1e-5)
    name = next(name for name in bm.summarize(fit).index if name.startswith("beta[measure"))
    assert bm.summarize(other).loc[name, "mean"] == pytest.approx(-bm.summarize(fit).loc[name, "mean"], abs=1e-7)
    here, there = bm.benefit_table(fit, 0.1), bm.benefit_table(other, 0.1)
    np.testing.assert_allclose(there["p_important_benefit"], here["p_important_benefit"], atol=1e-6)
    at = bm.benefit_table(fit, 0.1, at={"measure": "informant"})
    assert at["p_important_benefit"].iloc[0] > here["p_important_benefit"].iloc[0]


def test_what_moderators_of_an_average_may_not_be(chaos: bm.Effects) -> None:
    with pytest.raises(bm.ModelError, match="normal prior around zero"):
        bm.average(chaos, "bma", moderators={"age": bm.Cauchy(0, 1)})
    with pytest.raises(bm.ModelError, match="normal prior of mu"):
        bm.average(chaos, "bma", mu=bm.StudentT(0, 1, 4), moderators={"age": bm.Normal(0, 1)})
