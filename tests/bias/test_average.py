"""Averages: published numbers, directions, atoms, and that every question is answered."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayesmeta as bm
from bayesmeta import bias
from references import ROOT

# published to three or four digits
PRINTED = 6e-4


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "tests" / "reference" / "bias" / f"{name}.csv")


def effects(name: str, *, better: str | None = "higher") -> bm.Effects:
    found = table(name)
    return bm.Effects(found["study"].tolist(), found["d"], found["se"], measure="SMD", better=better)


def factors(fit: bm.Fit) -> dict[str, float]:
    return bias.model_inclusion_table(fit).set_index("part")["bayes_factor"].to_dict()


@pytest.fixture(scope="module")
def bem() -> bm.Fit:
    return bm.average(effects("Bem2011"), "psma")


def test_psma_of_bem(bem: bm.Fit) -> None:
    """By a plain grid integration on the scale of d; its factor of the effect has three digits, see below."""
    found = factors(bem)
    assert found["heterogeneity"] == pytest.approx(0.1423, rel=PRINTED)
    assert found["bias"] == pytest.approx(16.62, rel=PRINTED)
    # 0.4746 there; our integrals agree with independent sums to 1e-5 (test_integration.py), its grid to 1e-3
    assert found["effect"] == pytest.approx(0.4746, rel=1e-3)
    assert bm.summarize(bem).loc["mu", "mean"] == pytest.approx(0.0372, abs=6e-5)
    assert len(bem.posterior.tables) == 36  # type: ignore[attr-defined]
    assert bem.ok


def test_psma_of_poulsen() -> None:
    fit = bm.average(effects("Poulsen2006"), "psma")
    found = factors(fit)
    assert found["effect"] == pytest.approx(3.601, rel=PRINTED)
    assert found["heterogeneity"] == pytest.approx(2.106, rel=PRINTED)
    assert found["bias"] == pytest.approx(2.668, rel=PRINTED)
    assert bm.summarize(fit).loc["mu", "mean"] == pytest.approx(0.695, abs=6e-4)


def test_a_medicine_prior_of_dentine() -> None:
    """RoBMA's MedicineBMA vignette."""
    fit = bm.average(effects("Poulsen2006"), "bma", mu=bm.StudentT(0, 0.51, 5), tau=bm.InverseGamma(1.79, 0.28))
    found = factors(fit)
    # by the name of the subfield, and where lower is better
    rows = dataclasses.replace(effects("Poulsen2006"), y=-effects("Poulsen2006").y, better="lower")
    mu, tau = (bm.Cochrane("smd", "Oral Health", name) for name in ("mu", "tau"))
    assert factors(bm.average(rows, "bma", mu=mu, tau=tau)) == pytest.approx(found, rel=1e-6)
    assert found["effect"] == pytest.approx(218.53, rel=PRINTED)
    assert found["heterogeneity"] == pytest.approx(3.52, abs=6e-3)
    assert bias.given_models(fit, effect=True).ok
    part = bm.summarize(bias.given_models(fit, effect=True))
    assert part.loc["mu", "median"] == pytest.approx(1.09, abs=0.02)


@pytest.mark.parametrize(
    ("mu", "fixed", "varied", "both"),
    [
        (bm.Cauchy(0, 1 / math.sqrt(2)), 89.57038, 9.374478, 33.13586),
        (bm.StudentT(0.34999, 0.1021, 3), 191.751, 20.689, 71.373),
    ],
)
def test_power_posing(mu: bm.priors.Prior, fixed: float, varied: float, both: float) -> None:
    """Gronau 2017: metaBMA's Bayes factors, the first row to seven digits by an independent integration."""
    y = [0.2507640179, 0.2275179728, 0.3186068502, 0.2832081857, 0.1463948549, 0.1509773271]
    se = [0.2071399180, 0.1931046163, 0.1423227881, 0.1421355599, 0.1416106586, 0.1221165930]
    rows = bm.Effects([*"abcdef"], y, se, measure="SMD")
    fit = bm.average(rows, "bma", mu=bm.Truncated(mu, 0, math.inf), tau=bm.InverseGamma(1, 0.15))
    log = bias.candidate_table(fit)["log_evidence"]
    digits = 2e-6 if both == 33.13586 else 1e-5
    assert math.exp(log[2] - log[0]) == pytest.approx(fixed, rel=digits)
    assert math.exp(log[3] - log[1]) == pytest.approx(varied, rel=5e-5)
    assert factors(fit)["effect"] == pytest.approx(both, rel=2e-5)


def test_robma_on_fishers_z() -> None:
    """The custom ensemble of RoBMA's vignette, by JAGS with a Monte Carlo error of some hundredths.

    Its selection models differ by 0.06 and 0.07, because p values are those of d there, turned into z at the cutoffs:
    integrals with these cutoffs give 13.73 and 12.62 (scipy, two dimensions).
    """
    rows = bias.fishers_z(effects("Bem2011"))
    mu, tau = bm.Truncated(bm.Normal(0.15, 0.1), 0, math.inf), bm.InverseGamma(1, 0.15)
    models = [
        bias.CandidateModel(None, None),
        bias.CandidateModel(mu, None),
        bias.CandidateModel(mu, tau),
        bias.CandidateModel(None, None, bias.StepSelection((0.05,))),
        bias.CandidateModel(None, None, bias.StepSelection((0.05, 0.1))),
        bias.CandidateModel(None, None, bias.PET()),
        bias.CandidateModel(None, None, bias.PEESE()),
    ]
    fit = bm.average(rows, bias.halved(bias.Ensemble("custom", models)))
    log = bias.candidate_table(fit)["log_evidence"].to_numpy()
    np.testing.assert_allclose(log, [-3.28, 14.91, 12.85, 13.70, 12.58, 15.75, 15.65], atol=0.08)
    np.testing.assert_allclose(log[[0, 2, 5, 6]], [-3.28, 12.85, 15.75, 15.65], atol=0.006)
    found = factors(fit)
    assert found["effect"] == pytest.approx(0.584, rel=0.01)
    assert found["heterogeneity"] == pytest.approx(0.132, rel=0.01)
    assert found["bias"] == pytest.approx(3.21, rel=0.01)


def test_acculturation_of_lui() -> None:
    """RoBMA's vignette: 1.232, and 19,168 for heterogeneity, whose Monte Carlo error is a percent."""
    found = table("Lui2015")
    z = bm.Effects(
        found["study"].tolist(), np.arctanh(found["r"]), 1 / np.sqrt(found["n"] - 3), measure="ZCOR", better="higher"
    )
    factor = factors(bm.average(z, bias.halved(bias.ensemble("psma"))))
    assert factor["effect"] == pytest.approx(1.232, rel=PRINTED)
    assert factor["heterogeneity"] == pytest.approx(19_168, rel=0.01)


# -- directions and atoms ----------------------------------------------------------------------------------------------


def test_where_lower_is_better_everything_is_mirrored(bem: bm.Fit) -> None:
    rows = bem.effects
    turned = dataclasses.replace(rows, y=-rows.y, better="lower")
    other = bm.average(turned, "psma")
    np.testing.assert_array_equal(other.posterior.shares, bem.posterior.shares)  # type: ignore[attr-defined]
    here, there = bm.benefit_table(bem, 0.2), bm.benefit_table(other, 0.2)
    columns = ["p_any_benefit", "p_important_benefit", "p_trivial", "p_important_harm", "share_upper", "p_share_80"]
    np.testing.assert_allclose(there[columns].to_numpy(float), here[columns].to_numpy(float), atol=1e-7)
    assert bm.summarize(other).loc["mu", "lower"] == pytest.approx(-bm.summarize(bem).loc["mu", "upper"], abs=1e-6)


def test_no_effect_at_all_is_no_benefit(bem: bm.Fit) -> None:
    """Models without an effect put probability on exactly zero, which neither direction counts as benefit."""
    none = float(bias.candidate_table(bem).query("effect == 'none'")["posterior"].sum())
    chances = bm.benefit_table(bem, 0.2).set_index("target").loc["mean effect"]
    harm = bm.benefit_table(dataclasses.replace(bem, effects=dataclasses.replace(bem.effects, better="lower")), 0.2)
    other = harm.set_index("target").loc["mean effect"]
    assert chances["p_any_benefit"] + other["p_any_benefit"] + none == pytest.approx(1.0, abs=1e-7)
    assert bm.summarize(bem).loc["mu", "median"] == 0.0
    assert bm.summarize(bem).loc["tau", "lower"] == 0.0


def test_a_direction_is_asked_for() -> None:
    rows = effects("Bem2011", better=None)
    with pytest.raises(bm.ModelError, match="which results are favoured"):
        bm.average(rows, "psma")
    assert bm.average(rows, "2w").ok
    stated = bm.average(rows, "pp", direction="higher")
    assert factors(stated) == factors(bm.average(effects("Bem2011"), "pp"))


def test_selection_against_the_better_direction(bem: bm.Fit) -> None:
    """With the other direction the same results are not favoured, and no bias pulls them there."""
    other = bm.average(bem.effects, "pp", direction="lower")
    assert factors(other)["bias"] < 1 < factors(bm.average(bem.effects, "pp"))["bias"]


# -- every question ----------------------------------------------------------------------------------------------------


def test_questions_of_an_average(bem: bm.Fit) -> None:
    rows = bm.study_table(bem)
    assert (rows["theta_lower"] < rows["theta"] + 1e-12).all()
    # a trial's effect is pulled towards nothing, where most models say it is
    assert (rows["theta"].abs() < rows["y"].abs()).all()
    assert len(bm.predict(bem)) == 2
    assert bm.probability(bem, "mu", above=0.0) == pytest.approx(0.288, abs=1e-3)
    curve = bm.benefit_curve(bem, [0.0, 0.1, 0.2])
    assert (np.diff(curve["p_mean"]) < 0).all()
    draws = bem.posterior.draws(np.random.default_rng(1), (4, 5000))
    # three standard errors of twenty thousand draws
    assert draws["coefficients"].mean() == pytest.approx(bm.summarize(bem).loc["mu", "mean"], abs=3 * 0.08 / 141)
    assert (draws["tau"] == 0).mean() == pytest.approx(
        float(bias.averaged_table(bem).query("parameter == 'tau' and models == 'all'")["p_zero"].iloc[0]), abs=0.01
    )
    with pytest.raises(bm.ModelError, match="not written to a file"):
        bem.save("average.nc")


def test_parts_add_up_to_the_whole(bem: bm.Fit) -> None:
    found = bias.bias_benefit_table(bem, 0.2).set_index("models")
    parts = found.drop("average")
    for column in ("p_any_benefit", "p_important_benefit", "p_important_harm", "p_important_benefit_new"):
        mixed = float((parts["posterior"] * parts[column]).sum())
        assert found.loc["average", column] == pytest.approx(mixed, abs=1e-6)
    assert parts["posterior"].sum() == pytest.approx(1.0)
    assert parts["count"].tolist() == [4, 24, 4, 4]


def test_weights_of_p(bem: bm.Fit) -> None:
    found = bias.weight_table(bem)
    assert found["from"].tolist() == [0, 0.025, 0.05, 0.5, 0.95, 0.975]
    first = found.iloc[0]
    assert first["mean"] == first["lower"] == 1.0
    # with one step of two-sided p, a half a priori; averaged over models that do not select
    form = bias.Ensemble("one", [bias.CandidateModel(None, None, bias.StepSelection((0.05,), "two"))])
    one = bias.weight_table(bm.average(bem.effects, form))
    assert one["prior_mean"].tolist() == [1.0, 0.5, 1.0]
    assert found["trials"].sum() == bem.effects.k
    with pytest.raises(bm.ModelError, match="no model of this average selects"):
        bias.weight_table(bm.average(bem.effects, "pp"))


def test_what_the_data_say_of_bias(bem: bm.Fit) -> None:
    found = bias.bias_prior_table(bem)
    step = found[found["model"] == "two-sided p: .05"].iloc[0]
    assert step["prior_mean"] == 0.5
    assert step["prior_sd"] == pytest.approx(1 / math.sqrt(12))
    assert found["ratio"].dropna().between(0.1, 1.6).all()


def test_a_bayes_factor_beyond_doubles() -> None:
    y = np.full(40, 3.0)
    rows = bm.Effects([f"s{i}" for i in range(40)], y, np.full(40, 0.1), measure="MD")
    found = bias.model_inclusion_table(bm.average(rows, "bma", mu=bm.Normal(0, 10), tau=bm.HalfNormal(0.01)))
    assert math.isinf(found.loc[0, "bayes_factor"])
    assert math.isfinite(found.loc[0, "log_bayes_factor"])


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_an_average_refuses(bem: bm.Fit) -> None:
    with pytest.warns(bm.BayesmetaWarning, match="as independent"):
        twice = bm.Effects(["A", "A", "B"], [0.1, 0.2, 0.3], [0.1] * 3, measure="SMD", better="higher", label=[*"abc"])
    with pytest.raises(bm.ModelError, match="Give their covariance"):
        bm.average(twice)
    with pytest.raises(bm.ModelError, match="improper"):
        bias.ensemble("bma", mu=bm.Flat())
    with pytest.raises(bm.ModelError, match="psma, pp, 2w, bma"):
        bm.average(bem.effects, "robma")
    with pytest.raises(bm.ModelError, match="fit is of one model"):
        bias.candidate_table(bm.example()[2])
    with pytest.raises(bm.ModelError, match="ascending"):
        bias.StepSelection((0.5, 0.05))
    with pytest.raises(bm.ModelError, match="has priors in its models"):
        bm.average(bem.effects, bias.ensemble("bma"), mu=bm.Normal(0, 1))
    with pytest.raises(bm.ModelError, match="nothing is left"):
        bias.given_models(bm.average(bem.effects, "bma"), bias="PET")
    with pytest.raises(bm.ModelError, match="SMD"):
        bias.fishers_z(dataclasses.replace(bem.effects, measure="MD"))


def test_names_of_ensembles() -> None:
    sizes = {name: len(bias.ensemble(name).models) for name in bias.ENSEMBLES}
    assert sizes == {"psma": 36, "pp": 12, "2w": 12, "bma": 4}
    for name in bias.ENSEMBLES:
        models = bias.ensemble(name).models
        assert math.fsum(m.weight for m in models) == pytest.approx(1.0)
        assert math.fsum(m.weight for m in models if m.mu is not None) == pytest.approx(0.5)
        if name != "bma":
            assert math.fsum(m.weight for m in models if m.bias is None) == pytest.approx(0.5)
    shares = {m.bias.name: m.weight for m in bias.ensemble("psma").models if m.bias is not None}
    # given bias: each weight function 1/12, PET and PEESE 1/4; a quarter of half of it each
    assert shares["PET"] == pytest.approx(1 / 4 / 8)
    assert shares["one-sided p: .025, .05, .5"] == pytest.approx(1 / 12 / 8)


def test_mixtures_with_atoms() -> None:
    from bayesmeta.bias.mixing import Weighted, atom, mixed
    from bayesmeta.marginals import NormalMixture, from_density

    smooth = from_density(lambda x: np.exp(-0.5 * x * x), [-9, 0, 9])
    form = mixed([0.2, 0.1, 0.7], [atom(0.0), atom(0.5), smooth])
    assert isinstance(form, Weighted)
    below = 0.7 * special.ndtr(0.0)
    # half of what lies below the first atom, its middle, and beyond the second
    expected = [special.ndtri(0.25), 0.0, special.ndtri((0.999 - 0.3) / 0.7)]
    np.testing.assert_allclose(form.quantile([0.5 * below, below + 0.1, 0.999]), expected, atol=1e-7)
    assert form.cdf(0.0) == pytest.approx(below + 0.2)
    assert form.sf(0.5) == pytest.approx(0.7 * special.ndtr(-0.5))
    assert form.mean == pytest.approx(0.05)
    one = mixed([0.5, 0.5], [NormalMixture([1.0], [0.0], [1.0]), NormalMixture([1.0], [1.0], [1.0])])
    assert isinstance(one, NormalMixture)
    draws = form.rvs(40_000, np.random.default_rng(2))
    assert (draws == 0.0).mean() == pytest.approx(0.2, abs=0.01)
    low, high = form.interval(0.9, "shortest")
    assert float(form.cdf(high) - form.cdf(low)) == pytest.approx(0.9, abs=0.01)
