"""z-curves against plain sums over a grid, and against trials simulated from a stated model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

import bayesmeta as bm
from bayesmeta import bias
from plain_sums import middles, step_likelihood

FloatArray = NDArray[np.float64]
Y, SE = np.array([0.05, 0.3, 0.5, 0.62, -0.1, 0.35]), np.array([0.1, 0.15, 0.2, 0.25, 0.2, 0.3])
CRITICAL = stats.norm.isf(0.025)


def curve(*models: Any, y: FloatArray = Y, se: FloatArray = SE, **options: Any) -> bias.ZCurve:
    effects = bm.Effects([f"s{i}" for i in range(y.size)], y, se, measure="SMD", better="higher")
    return bias.z_curve(bm.average(effects, bias.Ensemble("own", models)), **options)


def means(found: bias.ZCurve) -> dict[str, float]:
    return found.summary.set_index("quantity")["mean"].to_dict()


def beyond(mu: Any, se: float, tau: Any = 0.0) -> Any:
    """P(|z| > 1.96) before selection."""
    sd = np.sqrt(1 + (tau / se) ** 2)
    return stats.norm.sf((CRITICAL - mu / se) / sd) + stats.norm.cdf((-CRITICAL - mu / se) / sd)


def test_a_common_effect_with_an_unknown_weight_against_a_plain_sum() -> None:
    """A step at one-sided .05: mean and weight on a grid, the square root of the weight as small weights matter."""
    found = curve(bias.CandidateModel(bm.Normal(0, 1), None, bias.StepSelection((0.05,))))
    mu, root = middles(-1.2, 1.0, 1100)[:, None], middles(0.0, 1.0, 400)
    w = root**2
    log = step_likelihood(Y, SE, mu, 0.0, 0.05, w, two=False) + stats.norm.logpdf(mu) + np.log(2 * root)
    mass = np.exp(log - log.max())
    mass /= mass.sum()
    cut = stats.norm.isf(0.05)
    conducted, discovered, shown = np.zeros((3, *mass.shape))
    density, all_density = 0.0, 0.0
    at = 1.7
    for se in SE:
        p = stats.norm.sf(cut - mu / se)
        chance = p + w * (1 - p)
        conducted += 1 / chance
        discovered += beyond(mu, se) / chance
        # significant upwards is seen fully, downwards by the weight
        up, down = stats.norm.sf(CRITICAL - mu / se), stats.norm.cdf(-CRITICAL - mu / se)
        shown += (up + w * down) / chance / SE.size
        density += float((mass * stats.norm.pdf(at - mu / se) / chance).sum()) / SE.size
    for se in SE:
        p = stats.norm.sf(cut - mu / se)
        all_density += float((mass * stats.norm.pdf(at - mu / se) / (p + w * (1 - p)) / conducted).sum())
    ours = means(found)
    # cells of a twentieth of a posterior SD
    assert ours["expected discovery rate"] == pytest.approx(float((mass * discovered / conducted).sum()), abs=1e-4)
    assert ours["expected discovery rate of the published"] == pytest.approx(float((mass * shown).sum()), abs=1e-4)
    assert ours["missing trials"] == pytest.approx(float((mass * conducted).sum()) - 6, rel=2e-3)
    assert ours["conducted per published"] == pytest.approx(1 + ours["missing trials"] / 6)
    assert ours["observed discovery rate"] == pytest.approx(3 / 6)
    shown_at = np.interp(at, found.density["z"], found.density["published"])
    assert shown_at == pytest.approx(density, abs=2e-4)
    assert np.interp(at, found.density["z"], found.density["conducted"]) == pytest.approx(all_density, abs=2e-4)
    # quantiles of what the same grid gives
    order = np.argsort(conducted, axis=None)
    share = np.cumsum(mass.ravel()[order])
    row = found.summary.set_index("quantity").loc["missing trials"]
    for p, name in ((0.025, "lower"), (0.5, "median"), (0.975, "upper")):
        theirs = conducted.ravel()[order][np.searchsorted(share, p)]
        assert row[name] + 6 == pytest.approx(theirs, rel=0.02)


def test_stated_weights_against_simulated_trials() -> None:
    """Weights are known, mean and heterogeneity nearly: published trials are drawn one by one."""
    weights = (1.0, 0.5, 0.2)
    form = bias.StatedSelection((0.01, 0.05), weights)
    model = bias.CandidateModel(bm.Normal(0.2, 0.03), bm.Uniform(0.12, 0.18), form)
    found = means(curve(model))
    rng, size = np.random.default_rng(11), 150_000
    effects = bm.Effects([*"abcdef"], Y, SE, measure="SMD", better="higher")
    drawn = bm.average(effects, bias.Ensemble("own", [model])).posterior.draws(rng, (1, size))
    mean, tau = drawn["coefficients"].ravel(), drawn["tau"].ravel()
    conducted, seen, discovered, significant, replicated = 0.0, np.zeros(SE.size), 0.0, [], []
    for i, se in enumerate(SE):
        theta = rng.normal(mean, tau)
        z = theta / se + rng.normal(size=size)
        w = np.array(weights)[(stats.norm.sf(z)[:, None] > np.array([0.01, 0.05])).sum(axis=1)]
        shown = rng.random(size) < w
        again = theta / se + rng.normal(size=size)
        same = np.where(z > 0, again > CRITICAL, again < -CRITICAL)
        seen[i] = shown.mean()
        conducted += 1 / seen[i]
        discovered += (np.abs(z) > CRITICAL).mean() / seen[i]
        # per published trial of this standard error
        significant.append((shown & (np.abs(z) > CRITICAL)).mean() / seen[i])
        replicated.append((shown & (np.abs(z) > CRITICAL) & same).mean() / seen[i])
    # four standard errors: shares of some 50,000 published, and relative errors of chances to be seen of 0.4 %
    error = 4 * 0.5 / math.sqrt(50_000)
    assert found["expected discovery rate of the published"] == pytest.approx(np.mean(significant), abs=error)
    assert found["expected discovery rate"] == pytest.approx(discovered / conducted, abs=error)
    assert found["expected replicability"] == pytest.approx(sum(replicated) / sum(significant), abs=error)
    assert found["conducted per published"] == pytest.approx(conducted / 6, rel=4 * 0.004 / math.sqrt(6))


def test_pet_shifts_what_is_published_and_nothing_is_missing() -> None:
    """With a common effect and a slope on a grid."""
    found = curve(bias.CandidateModel(bm.Normal(0, 1), None, bias.PET()))
    mu, slope = middles(-1.2, 1.0, 550)[:, None], middles(0.0, 8.0, 800)
    log = stats.norm.logpdf(mu) + stats.halfcauchy.logpdf(slope)
    for y, se in zip(Y, SE, strict=True):
        log = log + stats.norm.logpdf(y, mu + slope * se, se)
    mass = np.exp(log - log.max())
    mass /= mass.sum()
    shown = sum(float((mass * beyond(mu + slope * se, se)).sum()) for se in SE) / 6
    behind = sum(float((mass * beyond(mu, se)).sum()) for se in SE) / 6
    ours = means(found)
    assert ours["expected discovery rate of the published"] == pytest.approx(shown, abs=1e-4)
    assert ours["expected discovery rate"] == pytest.approx(behind, abs=1e-4)
    assert ours["missing trials"] == pytest.approx(0.0, abs=1e-9)
    height = sum(float((mass * stats.norm.pdf(2.0, mu / se + slope, 1)).sum()) for se in SE) / 6
    assert np.interp(2.0, found.density["z"], found.density["published"]) == pytest.approx(height, abs=1e-4)


def test_densities_integrate_to_the_rates() -> None:
    models = [
        bias.CandidateModel(bm.Normal(0, 1), tau, form)
        for tau in (None, bm.HalfNormal(0.3))
        for form in (None, bias.StepSelection((0.05, 0.5)), bias.StepSelection((0.05,), "two"), bias.PEESE())
    ]
    grid = np.unique(np.concatenate([np.linspace(-14, 14, 5601), [-CRITICAL, CRITICAL]]))
    found = curve(*models, grid=grid)
    z = found.density["z"].to_numpy()
    ours = means(found)
    for column, name in (
        ("published", "expected discovery rate of the published"),
        ("conducted", "expected discovery rate"),
    ):
        f = found.density[column].to_numpy()
        area = 0.5 * np.diff(z) * (f[1:] + f[:-1])
        # steps of a hundredth of an SD, and jumps inside of them
        assert area.sum() == pytest.approx(1.0, abs=3e-3)
        outside = np.abs(0.5 * (z[1:] + z[:-1])) > CRITICAL
        assert area[outside].sum() == pytest.approx(ours[name], abs=3e-3)
    # selection, where it is, is of favourable results
    assert ours["expected discovery rate"] < ours["expected discovery rate of the published"]
    assert found.cuts == pytest.approx([-CRITICAL, 0.0, stats.norm.isf(0.05), CRITICAL])


def test_lower_is_better_is_mirrored_and_what_is_refused() -> None:
    form = bias.StepSelection((0.025,))
    models = [bias.CandidateModel(bm.Normal(0, 1), None, form)]
    effects = bm.Effects([*"abcdef"], -Y, SE, measure="SMD", better="lower")
    fit = bm.average(effects, bias.Ensemble("own", models))
    other = bias.z_curve(fit)
    pd.testing.assert_frame_equal(other.summary, curve(*models).summary)
    np.testing.assert_allclose(other.z, Y / SE)
    for grid in ([1.0], [2.0, 1.0], [[0.0, 1.0]], [0.0, math.inf]):
        with pytest.raises(bm.ModelError, match="ascending"):
            bias.z_curve(fit, grid)
    with pytest.raises(bm.ModelError, match="no steps of p"):
        curve(bias.CandidateModel(None, None, bias.ExponentialSelection(1.0)))
    with pytest.raises(bm.ModelError, match="one model"):
        bias.z_curve(bm.example().fit)


def test_with_no_trial_in_a_lower_interval_the_mean_is_not_given() -> None:
    found = curve(bias.CandidateModel(bm.Normal(0, 1), None, bias.StepSelection((0.025,))), y=3.0 * SE)
    assert math.isnan(means(found)["missing trials"])
    assert found.summary.set_index("quantity").loc["missing trials", "median"] > 0
