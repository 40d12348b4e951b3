"""P(best level) and differing heterogeneity: closed forms, dense integrals, simulation, and the shipped data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, special, stats

import bayesmeta as bm
from bayesmeta.marginals import both_positive, largest, orthant
from references import reference

FloatArray = NDArray[np.float64]
# two quadratures, each settled to 1e-8
SETTLED = 1e-7


def effects(levels: int, *, better: str | None = "lower", single: bool = False) -> bm.Effects:
    rng = np.random.default_rng(levels)
    k = 4 * levels
    kind = np.array([f"kind {i % levels}" for i in range(k)], object)
    if single:
        kind[kind == f"kind {levels - 1}"] = "kind 0"
        kind[-1] = f"kind {levels - 1}"
    y = -0.3 + 0.2 * rng.normal(size=k) - 0.1 * (kind == "kind 1")
    study = [f"trial {i}" for i in range(k)]
    moderators = {"kind": kind, "weeks": rng.uniform(4, 20, k)}
    return bm.Effects(study, y, rng.uniform(0.1, 0.3, k), measure="SMD", better=better, moderators=moderators)


def fitted(levels: int, prior: bm.priors.Prior | bm.Exchangeable | None = None, **options: bool) -> bm.Fit:
    beta = {"kind": prior or bm.Normal(0, 0.5), "weeks": bm.Coefficient(bm.Normal(0, 0.2), per=4)}
    return bm.fit(effects(levels, **options), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), beta))


# -- probabilities of normal variables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [-0.99, -0.5, 0.0, 0.3, 0.8, 0.999])
def test_two_variables_are_both_positive(rho: float) -> None:
    """Against one integral over the first variable; both means zero have a closed form."""
    for m1, m2 in ((0.0, 0.0), (1.0, -0.5), (-2.0, 0.0), (0.0, 1.5), (3.0, 2.0), (-1.0, -1.0)):

        def inner(z: float, m1: float = m1, m2: float = m2) -> float:
            return float(stats.norm.pdf(z) * special.ndtr((m2 + rho * z) / math.sqrt(1 - rho**2)))

        value, _ = integrate.quad(inner, -m1, 40, epsabs=1e-12, points=[-m2 / rho] if rho and -m2 / rho > -m1 else None)
        found = float(both_positive(np.array(m1), np.array(m2), np.array(rho)))
        assert found == pytest.approx(value, abs=1e-10)
    expected = 0.25 + math.asin(rho) / (2 * math.pi)
    assert float(both_positive(np.zeros(1), np.zeros(1), np.array([rho]))[0]) == pytest.approx(expected, abs=1e-14)


def test_more_variables_are_positive_within_the_stated_error() -> None:
    """Equicorrelated one half: all d positive has the closed form 1 / (d + 1); other means against scipy's."""
    for d in (3, 4, 6):
        cov = (np.eye(d) + 1) / 2
        p, error = orthant(np.zeros((d, 1)), cov[:, :, None], np.ones((1, 1)))
        assert error[0] < 1e-4
        assert abs(p[0] - 1 / (d + 1)) < 6 * error[0]
        mean = np.linspace(-0.5, 0.8, d)
        p, error = orthant(mean[:, None], cov[:, :, None], np.ones((1, 1)))
        other = stats.multivariate_normal(-mean, cov, abseps=1e-7, maxpts=10**6).cdf(np.zeros(d))
        # scipy's own error is bounded by 1e-6 here
        assert abs(p[0] - other) < 6 * error[0] + 1e-6


def test_the_largest_of_several_is_that_of_simulation() -> None:
    rng = np.random.default_rng(7)
    A = rng.normal(size=(4, 4))
    mean, cov = rng.normal(size=4), A @ A.T
    p, _ = largest(np.eye(4), mean[:, None], cov[:, :, None], np.ones((1, 1)))
    beyond, _ = largest(np.eye(4), mean[:, None], cov[:, :, None], np.ones((1, 1)), 0.5)
    assert p.sum() == pytest.approx(1.0, abs=1e-4)
    x = rng.multivariate_normal(mean, cov, size=400_000)
    best = x.argmax(axis=1)
    for level in range(4):
        # five standard errors of 400,000 draws
        for value, hits in ((p[0, level], best == level), (beyond[0, level], (best == level) & (x[:, level] > 0.5))):
            assert abs(hits.mean() - value) < 5 * math.sqrt(value * (1 - value) / x.shape[0])


# -- the best level ----------------------------------------------------------------------------------------------------


def test_of_two_levels_the_best_is_what_the_contrast_favours() -> None:
    fit = fitted(2)
    table = bm.best_level_table(fit, "kind", 0.2).set_index("level")
    below = bm.probability(fit, "beta[kind: kind 1 - kind 0]", below=0.0)
    assert table.loc["kind 1", "p_best"] == pytest.approx(below, abs=SETTLED)
    assert table["p_best"].sum() == pytest.approx(1.0, abs=SETTLED)
    assert table["p_best_prior"].tolist() == pytest.approx([0.5, 0.5])
    assert (table[["p_best_error", "p_best_beyond_error"]] == 0).all(axis=None)
    assert (table["p_best_beyond"] <= table["p_best"]).all()
    # without a threshold it is beyond no effect
    assert bm.best_level_table(fit, "kind").attrs["beyond"] == 0.0
    turned = bm.best_level_table(fitted(2, better="higher"), "kind").set_index("level")
    assert turned.loc["kind 1", "p_best"] == pytest.approx(1 - below, abs=SETTLED)


@pytest.mark.parametrize("levels", [3, 4])
def test_the_best_level_is_that_of_dense_simulation(levels: int) -> None:
    """Draws of the taus from their weights, and of the coefficients given them."""
    fit = fitted(levels)
    table = bm.best_level_table(fit, "kind", 0.3)
    nodes, rng, size = fit.quadrature, np.random.default_rng(1), 300_000
    rows = np.array([fit.design.profile({"kind": f"kind {i}"}) for i in range(levels)])
    counts = rng.multinomial(size, nodes.weights / nodes.weights.sum())
    drawn = [
        rng.multivariate_normal(rows @ nodes.mean[:, n], rows @ nodes.cov[:, :, n] @ rows.T, size=count)
        for n, count in enumerate(counts)
        if count
    ]
    x = np.concatenate(drawn)
    best = x.argmin(axis=1)
    for level in range(levels):
        beyond = (best == level) & (x[:, level] < -0.3)
        for column, hits in (("p_best", best == level), ("p_best_beyond", beyond)):
            p = float(table[column].iloc[level])
            assert abs(hits.mean() - p) < 5 * math.sqrt(p * (1 - p) / size) + 1e-6
    # up to three levels in closed form; the probability beyond a threshold has one dimension more
    assert (table["p_best_error"] == 0).all() == (levels == 3)
    assert 0 < table["p_best_beyond_error"].max() < 1e-4
    np.testing.assert_allclose(table["p_best_prior"], 1 / levels, atol=1e-4)


def test_priors_that_are_not_symmetric_or_proper_say_so() -> None:
    for prior in (bm.StudentT(0, 0.5, 4), bm.Exchangeable(bm.HalfNormal(0.3))):
        table = bm.best_level_table(fitted(3, prior), "kind")
        # whatever the common scale of the contrasts is, their order is that of exchangeable ones
        np.testing.assert_allclose(table["p_best_prior"], 1 / 3, atol=1e-9)
    assert bm.best_level_table(fitted(3, bm.Flat()), "kind")["p_best_prior"].isna().all()


def test_a_level_with_one_trial_is_marked() -> None:
    table = bm.best_level_table(fitted(3, single=True), "kind").set_index("level")
    assert table["mark"].to_dict() == {"kind 0": "", "kind 1": "", "kind 2": "one trial"}
    assert table.loc["kind 2", ["k", "trials"]].tolist() == [1, 1]


def test_draws_are_counted_with_their_error() -> None:
    exact = fitted(3)
    drawn = bm.fit(exact.effects, exact.model, engine="nuts")
    ours, theirs = (bm.best_level_table(fit, "kind", 0.3) for fit in (drawn, exact))
    for column in ("p_best", "p_best_beyond"):
        # four Monte Carlo standard errors in each of six comparisons
        assert (np.abs(ours[column] - theirs[column]) < 4 * ours[f"{column}_error"]).all()
    assert (ours["p_best_error"] > 0).all()


def test_what_has_no_best_level_is_refused() -> None:
    fit = fitted(2)
    for make, words in (
        (lambda: bm.best_level_table(fit, "weeks"), "numeric"),
        (lambda: bm.best_level_table(fit, "knd"), "kind"),
        (lambda: bm.best_level_table(fitted(2, better=None), "kind"), "no direction"),
        (
            lambda: bm.best_level_table(
                bm.fit(fit.effects, bm.Model(bm.Uniform(-1, 1), bm.HalfNormal(0.5), {"kind": bm.Normal(0, 0.5)})),
                "kind",
            ),
            "truncated",
        ),
    ):
        with pytest.raises(bm.ModelError, match=words):
            make()


# -- differing heterogeneity -------------------------------------------------------------------------------------------


def bcg() -> bm.Fit:
    data = reference("location_scale_metafor")["bcg"]
    study = [f"trial {i}" for i in range(len(data["y"]))]
    columns = {"random": np.array(data["random"], object), "latitude": np.array(data["latitude"], float)}
    trials = bm.Effects(study, data["y"], np.sqrt(data["v"]), measure="RR", better="lower", moderators=columns)
    return bm.fit(trials, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


def test_the_table_is_that_of_its_two_fits_and_of_metafor() -> None:
    pooled, contrast = bcg(), bm.Normal(0, 0.5)
    table = bm.heterogeneity_by_table(pooled, "random", contrast, {"other": bm.HalfNormal(1)})
    known = reference("location_scale_metafor")["bcg"]["binary"]
    by = bm.TauBy("random", {"other": bm.HalfNormal(1)})
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"random": contrast})
    own = bm.fit(pooled.effects, bm.Model(model.mu, model.tau, model.beta, tau_by=by))
    common = bm.fit(pooled.effects, model)
    lines = table.set_index("quantity")
    assert lines.index.tolist() == ["tau[other]", "tau[random]", "tau[random] / tau[other]", "tau, common"]
    assert lines["prior"].tolist() == ["halfnormal(1)", "halfnormal(0.5)", "", "halfnormal(0.5)"]
    assert lines["trials"].tolist() == [6, 7, 13, 13]
    for name in lines.index[:3]:
        assert lines.loc[name, "median"] == pytest.approx(float(bm.marginal(own, name).quantile(0.5)))
    assert lines.loc["tau, common", "median"] == pytest.approx(float(bm.marginal(common, "tau").quantile(0.5)))
    assert lines.loc["tau[random] / tau[other]", "p_above_1"] == pytest.approx(
        bm.probability(own, "tau[random] / tau[other]", above=1)
    )
    assert table.attrs["bayes_factor"] == pytest.approx(math.exp(own.log_evidence - common.log_evidence))
    taus = [math.sqrt(math.exp(known["alpha"][0])), math.sqrt(math.exp(sum(known["alpha"])))]
    # the maximum of metafor's optimiser is good to five digits
    expected = [*taus, taus[1] / taus[0], math.sqrt(known["null_tau2"])]
    np.testing.assert_allclose(lines["classical"], expected, rtol=1e-4)
    lrt = 2 * (known["loglik"] - known["null_loglik"])
    assert table.attrs["lrt_p"] == pytest.approx(float(stats.chi2.sf(lrt, 1)), abs=1e-6)


def test_rows_without_the_moderator_are_left_out_by_name_and_three_trials_are_needed() -> None:
    pooled = bcg()
    values = pooled.effects.moderators["random"].copy()
    values[:2] = None
    some = bm.Effects(
        pooled.effects.study, pooled.effects.y, pooled.effects.se, measure="RR", moderators={"random": values}
    )
    table = bm.heterogeneity_by_table(bm.fit(some, pooled.model), "random", bm.Normal(0, 0.5))
    assert table.attrs["left_out"] == pooled.effects.label[:2]
    few = np.array(["a"] * 11 + ["b"] * 2, object)
    rare = bm.Effects(pooled.effects.study, pooled.effects.y, pooled.effects.se, measure="RR", moderators={"x": few})
    with pytest.raises(bm.ModelError, match=r"at least 3 trials per level; too few in b \(2\)"):
        bm.heterogeneity_by_table(bm.fit(rare, pooled.model), "x", bm.Normal(0, 0.5))
    with pytest.raises(bm.ModelError, match="nothing states by how much"):
        bm.heterogeneity_by_table(pooled, "random")
    with pytest.raises(bm.ModelError, match="give slope="):
        bm.heterogeneity_by_table(pooled, "latitude", bm.Normal(0, 0.5))
    with pytest.raises(bm.ModelError, match="common-effect"):
        bm.heterogeneity_by_table(bm.fit(pooled.effects, bm.Model(bm.Normal(0, 1), None)), "random", bm.Normal(0, 0.5))
