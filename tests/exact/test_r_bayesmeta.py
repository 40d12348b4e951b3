"""The exact engine against R bayesmeta 3.4 (delta 0.001, epsilon 1e-6), on every pinned data set.

R bayesmeta approximates the mixture for mu, theta and theta_new by a coarser one, hence the tolerances of
tests/reference/README.md: tau 1e-5 relative, quantiles of mu and theta 2e-3 of the posterior SD, probabilities 5e-5,
log marginal likelihood 1e-5.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import bayesmeta as bm
from references import R_SETS, effects_of, reference

TAU = 1e-5
QUANTILE = 2e-3  # of the posterior SD
PROBABILITY = 5e-5
LOG_MARGINAL = 1e-5
# R's Bayes factors rest on the same integral twice; both are known to 1e-5 in the logarithm
LOG_BAYES_FACTOR = 2e-5
# where R's approximation of the mixture is off by 5.03e-5: the value by mpmath.quad with 15 digits, from the closed
# conditional posterior of mu given tau
R_IS_COARSER = {("hine_or", "halfcauchy", "p_new_below_0"): 0.0927255825428157}
ROWS = ["mode", "median", "mean", "sd", "95% lower", "95% upper"]


def settings(name: str) -> dict[str, bm.Model]:
    bayes = reference(name)["bayes"]
    scale = bayes["halfnormal"]["scale"]
    mu = bm.Normal(bayes["halfnormal"]["mu_mean"], bayes["halfnormal"]["mu_sd"])
    return {
        "halfnormal": bm.Model(mu, bm.HalfNormal(scale)),
        "halfcauchy": bm.Model(mu, bm.HalfCauchy(bayes["halfcauchy"]["scale"])),
        "flat_mu": bm.Model(bm.Flat(), bm.HalfNormal(bayes["flat_mu"]["scale"])),
        "uniform_tau": bm.Model(bm.Flat(), bm.Flat()),
        "jeffreys_tau": bm.Model(bm.Flat(), bm.Jeffreys()),
    }


CASES = [(name, setting) for name in R_SETS for setting in reference(name)["bayes"]]


def test_no_case_has_disappeared() -> None:
    assert len(CASES) == 60


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_summary_agrees_with_r(name: str, setting: str) -> None:
    result = reference(name)["bayes"][setting]["result"]
    assert result["rows"] == ROWS
    fit = bm.fit(effects_of(name), settings(name)[setting])
    table = bm.summarize(fit)
    columns = ["median", "mean", "sd", "lower", "upper"]
    expected = {key: np.array(result[key], float)[1:] for key in ("tau", "mu", "theta_new")}
    ours = {key: table.loc[key, columns].to_numpy(float) for key in expected}
    # R's heavy-tailed moments are truncated integrals; ours are compared where they exist
    tau_mask = np.isfinite(ours["tau"])
    np.testing.assert_allclose(
        ours["tau"][tau_mask], expected["tau"][tau_mask], rtol=TAU, atol=TAU * expected["tau"][0]
    )
    for key in ("mu", "theta_new"):
        inside = np.isfinite(ours[key])
        spread = expected[key][4] - expected[key][3]
        atol = QUANTILE * (expected[key][2] if np.isfinite(expected[key][2]) else spread / 4)
        np.testing.assert_allclose(ours[key][inside], expected[key][inside], rtol=0, atol=atol)
    for quantity, key in (("mu", "p_mu_below_0"), ("theta_new", "p_new_below_0")):
        better = R_IS_COARSER.get((name, setting, key))
        expected_p, tolerance = (result[key], PROBABILITY) if better is None else (better, 1e-12)
        assert bm.probability(fit, quantity, below=0) == pytest.approx(expected_p, abs=tolerance)


@pytest.mark.parametrize("name", R_SETS)
@pytest.mark.parametrize("setting", ["halfnormal", "halfcauchy"])
def test_evidence_agrees_with_r(name: str, setting: str) -> None:
    result = reference(name)["bayes"][setting]["result"]
    model = settings(name)[setting]
    fit = bm.fit(effects_of(name), model)
    assert fit.log_evidence == pytest.approx(result["log_marginal"], abs=LOG_MARGINAL)
    common = bm.fit(effects_of(name), bm.Model(model.mu, None))
    assert math.log(bm.bayes_factor(common, fit)) == pytest.approx(
        math.log(result["bayes_factor_tau0"]), abs=LOG_BAYES_FACTOR
    )


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_study_effects_agree_with_r(name: str, setting: str) -> None:
    result = reference(name)["bayes"][setting]["result"]
    assert result["theta_rows"] == ["y", "sigma", "mode", "median", "mean", "sd", "95% lower", "95% upper"]
    theta = np.array(list(result["theta"].values()), float)
    table = bm.study_table(bm.fit(effects_of(name), settings(name)[setting]))
    ours = table[["theta", "theta_lower", "theta_upper"]].to_numpy(float)
    assert np.abs((ours - theta[:, [3, 6, 7]]) / theta[:, [5]]).max() < QUANTILE


REGRESSIONS = [
    (name, moderator)
    for name in R_SETS
    for moderator in (reference(name).get("metareg") or {})
    if "bayes" in reference(name)["metareg"][moderator]
]


def test_no_regression_has_disappeared() -> None:
    assert len(REGRESSIONS) == 11


@pytest.mark.parametrize(("name", "moderator"), REGRESSIONS)
def test_regression_agrees_with_r(name: str, moderator: str) -> None:
    """R's bmr: flat coefficients, treatment coding; its intervals are shortest ones, so that only moments and
    medians are compared, and shortest intervals with shortest intervals."""
    data = reference(name)
    spec = data["metareg"][moderator]
    effects = effects_of(name, moderators={moderator: spec["values"]})
    scale = data["bayes"]["halfnormal"]["scale"]
    levels = [term[len(moderator) + 1 : -1] for term in spec["terms"][1:]] if spec["kind"] == "factor" else []
    base = next((value for value in spec["values"] if value not in levels), None) if levels else None
    coefficient = bm.Coefficient(bm.Flat(), reference=base)
    fit = bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(scale), {moderator: coefficient}))
    summary = {key: np.array(value, float) for key, value in spec["bayes"]["summary"].items()}
    table = bm.summarize(fit, interval="shortest")
    tau = table.loc["tau"]
    np.testing.assert_allclose(
        tau[["median", "mean", "sd"]].to_numpy(float), summary["tau"][1:4], rtol=TAU, atol=TAU * summary["tau"][1]
    )
    names = [key for key in summary if key not in ("tau", "X.Intercept.")]
    ours = [f"beta[{moderator}: {level} - {base}]" for level in levels] or [f"beta[{moderator}]"]
    assert len(names) == len(ours) > 0
    for theirs, mine in zip(names, ours, strict=True):
        row = table.loc[mine, ["median", "mean", "sd", "lower", "upper"]].to_numpy(float)
        np.testing.assert_allclose(row[:3], summary[theirs][1:4], rtol=0, atol=QUANTILE * summary[theirs][3])
        # the end of a shortest interval is flat in its length: twice the tolerance of a quantile
        np.testing.assert_allclose(row[3:], summary[theirs][4:6], rtol=0, atol=2 * QUANTILE * summary[theirs][3])
    # R's intercept is the effect at the reference level or at zero
    at = {moderator: 0.0} if spec["kind"] == "numeric" else {moderator: base}
    intercept = bm.predict(fit, at).loc["mu", ["median", "mean", "sd"]].to_numpy(float)
    expected = summary["X.Intercept."]
    np.testing.assert_allclose(intercept, expected[1:4], rtol=0, atol=QUANTILE * expected[3])
