"""Predictive checks, prior against posterior, power-scaling, leave-one-out.

Authorities: closed forms of the normal model with known variances (Gelman et al., Bayesian Data Analysis, 3rd ed.,
section 2.5), scipy for sample statistics, ArviZ for power-scaling and importance sampling, and exact refits for both.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.checking import (
    new_trials,
    overlap_curves,
    overlap_table,
    power_scaling_table,
    powered,
    ppc_table,
    predictive_table,
    prior_check_table,
    statistics,
)
from bayesmeta.sensitivity import loo_table
from sampled import drawn_until

ROOT = Path(__file__).parents[2]
# quadrature settles to 1e-8; overlaps are taken on 4000 cells, one of which holds a crossing
EXACT, CELLS = 1e-7, 1e-3
# standard errors of simulation that a number may be away from the truth; 4000 draws
Z = 4.5

Y, SE = np.array([-0.4, -0.1, -0.3, 0.2]), np.array([0.2, 0.1, 0.2, 0.3])
EFFECTS = bm.Effects(list("ABCD"), Y, SE, measure="SMD", better="lower")


@cache
def common(sd: float = 1.0) -> bm.Fit:
    return bm.fit(EFFECTS, bm.Model(bm.Normal(0, sd), None))


@cache
def fatigue(moderated: bool = True) -> bm.Fit:
    protocol = bm.read_protocol(ROOT / "models/cancer_exercise.toml")
    outcome, effects = protocol.outcome("fatigue_short"), bm.read_effects(protocol, "fatigue_short")
    model = outcome.model.on(effects if moderated else None)
    return bm.fit(effects, model, outcome=outcome)


@cache
def drawn() -> bm.Fit:
    """A fit by draws that answers every check as the exact fit does, within simulation error."""
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    exact = bm.fit(EFFECTS, model)

    def wrong(fit: bm.Fit) -> str:
        found = {
            "predictive checks": replications_agree(exact, fit),
            # a kernel estimate from 4000 draws
            "overlap": np.abs(overlaps(fit) - overlaps(exact)).max() <= 0.03,
            "importance sampling": loo_table(fit).eval("abs(elpd_psis - elpd_exact)").max() <= 0.1,
        }
        return ", ".join(name for name, agree in found.items() if not agree)

    return drawn_until(
        lambda seed, settings: bm.fit(EFFECTS, model, engine="nuts", seed=seed, settings=settings), wrong
    )


def replications_agree(exact: bm.Fit, other: bm.Fit) -> bool:
    first, second = ppc_table(exact), ppc_table(other)
    gap = (first["below"] - second["below"]).abs()
    mixed = predictive_table(other)
    alone = (mixed["below"] - predictive_table(exact)["below"]).abs()
    return bool(
        (gap <= Z * np.hypot(first["mcse"], second["mcse"]) + 1e-3).all() and (alone <= Z * mixed["mcse"]).all()
    )


def overlaps(fit: bm.Fit) -> np.ndarray:
    return overlap_table(fit).set_index("quantity")["overlap"].to_numpy()


def conjugate(y: np.ndarray, se: np.ndarray, sd: float = 1.0, alpha: float = 1.0) -> tuple[float, float]:
    """Mean and variance of mu for known variances and the prior normal(0, sd) to the power alpha."""
    precision = (se**-2.0).sum() + alpha / sd**2
    return float((y / se**2).sum() / precision), float(1 / precision)


# -- predictive checks -------------------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_textbooks() -> None:
    found = statistics(EFFECTS, Y)
    w = SE**-2.0
    mean = (w @ Y) / w.sum()
    assert found["Q"] == pytest.approx(float(w @ (Y - mean) ** 2))
    assert found["SD"] == pytest.approx(np.std(Y, ddof=1))
    assert found["skewness"] == pytest.approx(stats.skew(Y))
    assert found["significant"] == np.sum(np.abs(Y / SE) > 1.96)
    many = statistics(EFFECTS, np.stack([Y, 2 * Y], axis=1))
    assert many["Q"].tolist() == pytest.approx([float(found["Q"]), 4 * float(found["Q"])])
    alone = bm.Effects(["A"], [0.1], [0.2], measure="SMD")
    assert list(statistics(alone, alone.y)) == ["mean", "smallest", "largest", "significant"]


def test_q_takes_the_covariance_of_rows_that_share_patients() -> None:
    fit = fatigue()
    S = fit.effects.covariance()
    P = np.linalg.inv(S)
    one = np.ones(fit.effects.k)
    P = P - np.outer(P @ one, one @ P) / (one @ P @ one)
    assert float(statistics(fit.effects, fit.effects.y)["Q"]) == pytest.approx(fit.effects.y @ P @ fit.effects.y)


def test_a_new_trial_under_a_common_effect_is_normal() -> None:
    mean, var = conjugate(Y, SE)
    table = predictive_table(common())
    z = (Y - mean) / np.sqrt(var + SE**2)
    np.testing.assert_allclose(table["below"], stats.norm.cdf(z), atol=EXACT)
    np.testing.assert_allclose(table["p_value"], 2 * stats.norm.sf(np.abs(z)), atol=EXACT)
    np.testing.assert_allclose(table["upper"] - table["lower"], 2 * 1.959964 * np.sqrt(var + SE**2), atol=1e-5)
    assert (table["mcse"] == 0).all()


@pytest.mark.parametrize("fit", [fatigue(), fatigue(False), common()], ids=["moderated", "pooled", "common"])
def test_drawn_new_trials_have_the_exact_distribution(fit: bm.Fit) -> None:
    table = predictive_table(fit)
    y = new_trials(fit).reshape(fit.effects.k, -1)
    below = (y < fit.effects.y[:, None]).mean(axis=1)
    p = table["below"].to_numpy()
    assert (np.abs(below - p) <= Z * np.sqrt(p * (1 - p) / y.shape[1]) + 1e-3).all()


def test_rows_that_share_a_control_are_replicated_together() -> None:
    # sampling covariance plus rho tau^2, by the law of total variance
    fit = fatigue(False)
    y = new_trials(fit).reshape(fit.effects.k, -1)
    rows, S = fit.effects.blocks[0]
    summary = bm.summarize(fit)
    tau2 = summary.loc["tau", "sd"] ** 2 + summary.loc["tau", "mean"] ** 2
    expected = S[0, 1] + 0.5 * tau2 + summary.loc["mu", "sd"] ** 2
    products = (y[rows[0]] - y[rows[0]].mean()) * (y[rows[1]] - y[rows[1]].mean())
    assert products.mean() == pytest.approx(expected, abs=Z * products.std() / np.sqrt(products.size))


def test_both_engines_give_one_check() -> None:
    exact = bm.fit(EFFECTS, drawn().model)
    assert ppc_table(exact)["statistic"].tolist() == ppc_table(drawn())["statistic"].tolist()
    assert replications_agree(exact, drawn())


def test_a_wild_trial_is_seen_by_new_trials_and_not_by_the_same_ones() -> None:
    effects = bm.Effects([str(i) for i in range(12)], [*np.linspace(-0.1, 0.1, 11), 3.0], [0.1] * 12, measure="SMD")
    table = ppc_table(bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))))
    largest = table[table["statistic"] == "largest"].set_index("replicated")
    assert largest.loc["new trials", "p_value"] < 0.05
    assert largest.loc["same trials", "p_value"] > 0.5


def test_prior_ranges_are_those_of_the_priors() -> None:
    fit = bm.fit(EFFECTS, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    table = prior_check_table(fit).set_index("quantity")
    # quantiles of 4000 draws: standard error sqrt(p q / n) over the density
    assert table.loc["mu", "upper"] == pytest.approx(1.96, abs=0.2)
    assert table.loc["tau", "median"] == pytest.approx(0.5 * 0.6745, abs=0.03)
    prior = fit.tree["prior"].to_dataset()["theta_new"].values
    assert prior.var() == pytest.approx(1 + 0.25, abs=0.15)
    assert table.loc["mu", "observed"] != table.loc["mu", "observed"]
    assert "y[A]" in table.index or "y[C]" in table.index


def test_improper_priors_predict_nothing_and_the_message_says_what_to_do() -> None:
    with pytest.raises(bm.ModelError, match=r"flat\(\), jeffreys\(\) is improper.*normal\(0, 1\)|jeffreys"):
        prior_check_table(bm.fit(EFFECTS, bm.Model(bm.Flat(), bm.Jeffreys())))


# -- prior and posterior -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sd", [1.0, 0.1, 0.02])
def test_overlap_of_two_normals(sd: float) -> None:
    mean, var = conjugate(Y, SE, sd)
    x = np.linspace(-12 * sd - 2, 12 * sd + 2, 2_000_001)
    expected = np.trapezoid(np.minimum(stats.norm.pdf(x, 0, sd), stats.norm.pdf(x, mean, np.sqrt(var))), x)
    row = overlap_table(common(sd)).set_index("quantity").loc["mu"]
    assert row["overlap"] == pytest.approx(expected, abs=CELLS)
    assert row["sd_ratio"] == pytest.approx(np.sqrt(var) / sd, abs=1e-6)
    assert row["width_ratio"] == pytest.approx(np.sqrt(var) / sd, abs=1e-6)
    assert row["shift"] == pytest.approx(mean / sd, abs=1e-6)
    wanted = "learned a lot" if expected < 0.35 else "learned something" if expected <= 0.85 else "prior-driven"
    assert row["verdict"] == wanted


def test_priors_of_contrasts_are_those_that_the_model_states() -> None:
    table = overlap_table(fatigue()).set_index("quantity")
    assert table.loc["beta[exercise: yoga - aerobic]", "prior"] == "normal(0, 0.5)"
    learned = bm.fit(
        fatigue().effects,
        bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"exercise": bm.Exchangeable(bm.HalfNormal(0.35))}),
    )
    table = overlap_table(learned).set_index("quantity")
    assert table.loc["sd[exercise]", "prior"] == "halfnormal(0.35)"
    row = table.loc["beta[exercise: yoga - aerobic]"]
    # variance of a contrast of two levels: 2 E(s^2) = 2 * 0.35^2; 40000 worlds
    posterior = bm.summarize(learned).loc["beta[exercise: yoga - aerobic]", "sd"]
    assert posterior / row["sd_ratio"] == pytest.approx(0.35 * np.sqrt(2), rel=0.03)


def test_improper_priors_have_no_overlap_and_closed_forms_stay() -> None:
    table = overlap_table(bm.fit(EFFECTS, bm.Model(bm.Flat(), bm.HalfNormal(0.5)))).set_index("quantity")
    assert table.loc["mu", "verdict"] == "no proper prior to compare with"
    assert np.isnan(table.loc["mu", "overlap"])
    assert 0 < table.loc["tau", "overlap"] < 1


def test_moments_that_do_not_exist_are_not_compared() -> None:
    table = overlap_table(bm.fit(EFFECTS, bm.Model(bm.Normal(0, 1), bm.HalfCauchy(0.5)))).set_index("quantity")
    assert np.isnan(table.loc["tau", "sd_ratio"])
    assert table.loc["tau", "width_ratio"] < 1


def test_draws_and_closed_forms_overlap_alike() -> None:
    exact = bm.fit(EFFECTS, drawn().model)
    assert overlap_table(exact)["quantity"].tolist() == overlap_table(drawn())["quantity"].tolist()
    np.testing.assert_allclose(overlaps(drawn()), overlaps(exact), atol=0.03)


def test_curves_are_densities() -> None:
    curves = overlap_curves(common(), ["mu"])
    mean, var = conjugate(Y, SE)
    np.testing.assert_allclose(curves["posterior"], stats.norm.pdf(curves["x"], mean, np.sqrt(var)), rtol=1e-6)
    np.testing.assert_allclose(curves["prior"], stats.norm.pdf(curves["x"]), rtol=1e-9)


# -- power-scaling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.7, 1.01, 2.5])
@pytest.mark.parametrize(
    "text",
    [
        "normal(1, 2)",
        "halfnormal(0.5)",
        "studentt(0, 1, 4)",
        "cauchy(0, 2)",
        "halfcauchy(0.5)",
        "halfstudentt(1, 3)",
        "lognormal(-1, 0.7)",
        "exponential(2)",
        "inversegamma(2, 0.5)",
        "uniform(0, 2)",
        "rhodes2015()",
    ],
)
def test_a_powered_prior_is_the_power_of_its_density(text: str, alpha: float) -> None:
    prior = bm.priors.parse(text)
    new = powered(prior, alpha)
    if new is None:
        assert text == "rhodes2015()"
        return
    x = np.linspace(0.05, 1.9, 40)
    ratio = new.logpdf(x) - alpha * prior.logpdf(x)
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-9)


def test_change_of_the_mean_has_a_closed_form() -> None:
    # d mean / d log2(alpha) at 1 for the conjugate model, in posterior SDs
    mean, var = conjugate(Y, SE, 0.1)
    expected = -np.log(2) * mean * var / 0.1**2 / np.sqrt(var)
    table = power_scaling_table(common(0.1)).set_index(["quantity", "component"])
    row = table.loc[("mu", "mu")]
    assert row["exact_change"] == pytest.approx(expected, rel=1e-4)
    assert row["change"] == pytest.approx(expected, rel=0.1)


def test_importance_sampling_agrees_with_exact_refits() -> None:
    for fit in (fatigue(), bm.fit(EFFECTS, bm.Model(bm.Normal(0, 0.3), bm.HalfCauchy(0.2)))):
        table = power_scaling_table(fit)
        both = table[table["exact"].notna()]
        assert len(both) >= 6
        # both are of 4000 draws: ArviZ's values scatter by a few percent, the smallest ones by more
        np.testing.assert_allclose(both["psense"], both["exact"], rtol=0.15, atol=1.5e-3)
        np.testing.assert_allclose(both["change"], both["exact_change"], atol=0.012)


def test_a_constant_density_is_not_sensitive_to_its_power() -> None:
    """A uniform prior to any power is the same prior."""
    effects = bm.Effects(list("ABCDE"), [-0.4, -0.1, 0.2, -0.3, -0.2], [0.2] * 5, measure="SMD")
    table = power_scaling_table(bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.Uniform(0, 1))))
    found = table[table["component"] == "tau"]
    assert set(found["quantity"]) >= {"mu", "tau", "theta_new"}
    assert (found["psense"].dropna() == 0).all()
    assert (found["change"] == 0).all()


def test_levels_with_a_shared_scale_are_not_refitted_with_the_wrong_family() -> None:
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"exercise": bm.StudentT(0, 0.5, 4)})
    table = power_scaling_table(bm.fit(fatigue().effects, model))
    assert table.loc[table["component"] == "beta[exercise]", "exact"].isna().all()
    assert table.loc[table["component"] == "tau", "exact"].notna().any()


def test_a_strong_prior_is_named() -> None:
    strong = bm.fit(EFFECTS, bm.Model(bm.Normal(1, 0.05), bm.HalfNormal(0.1)))
    table = power_scaling_table(strong).set_index(["quantity", "component"])
    assert table.loc[("mu", "mu"), "diagnosis"] == "influential prior; possible conflict with the data"
    weak = bm.fit(EFFECTS.subset([0, 3]), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    words = set(power_scaling_table(weak).query("quantity == 'tau' and component == 'tau'")["diagnosis"])
    assert words <= {"influential prior; weak data", "influential prior; possible conflict with the data"}


# -- leave-one-out -----------------------------------------------------------------------------------------------------


def test_leave_one_out_of_a_common_effect_has_a_closed_form() -> None:
    table = loo_table(common())
    for i in range(4):
        rest = np.arange(4) != i
        mean, var = conjugate(Y[rest], SE[rest])
        expected = stats.norm.logpdf(Y[i], mean, np.sqrt(var + SE[i] ** 2))
        assert table.loc[i, "elpd_exact"] == pytest.approx(expected, abs=EXACT)
        # weights exp((mu - y)^2 / 2 se^2) have Pareto shape var / se^2 under the posterior: 0.6 for the precise trial
        assert table.loc[i, "elpd_psis"] == pytest.approx(expected, abs=0.1)
    assert table.attrs["elpd_exact"] == pytest.approx(table["elpd_exact"].sum())
    assert table.attrs["elpd_psis"] == pytest.approx(table["elpd_psis"].sum())


def test_a_trial_that_moves_the_posterior_is_flagged_with_what_to_do() -> None:
    table = loo_table(fatigue()).set_index("left_out")
    assert table.loc["Hu 2020", "khat"] > 0.7
    assert "use elpd_exact" in table.loc["Hu 2020", "note"]
    assert table.attrs["flagged"] == 1
    others = table.drop(index="Hu 2020")
    assert (others["note"] == "").all()
    # where the shape is below 0.7 the two agree to the error of importance sampling
    assert (others["difference"].abs() < 0.05).all()


def test_a_fit_by_draws_is_compared_with_exact_refits_where_they_exist() -> None:
    table = loo_table(drawn())
    exact = loo_table(bm.fit(EFFECTS, drawn().model))
    np.testing.assert_allclose(table["elpd_exact"], exact["elpd_exact"], atol=EXACT)
    np.testing.assert_allclose(table["elpd_psis"], table["elpd_exact"], atol=0.1)
    assert loo_table(drawn(), exact=False)["elpd_exact"].isna().all()


def test_one_trial_cannot_be_left_out() -> None:
    with pytest.raises(bm.ModelError, match="at least two trials"):
        loo_table(bm.fit(EFFECTS.subset([0]), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))))
