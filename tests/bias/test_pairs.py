"""Two rows that share patients: their density, their selection, and effects of trials; larger groups are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta import bias
from bayesmeta.bias.dependence import pair_probabilities, pairs_of, shrink
from bayesmeta.bias.integration import integrate
from bayesmeta.bias.posterior import mean_of, study_of, weight_of
from plain_sums import middles
from references import ROOT

P = [0.025, 0.5, 0.975]
SAMPLING = 0.012


def paired() -> bm.Effects:
    """Two comparisons of one trial that share a control arm, and three trials alone."""
    se = np.array([0.2, 0.22, 0.15, 0.3, 0.25])
    block = np.array([[se[0] ** 2, SAMPLING], [SAMPLING, se[1] ** 2]])
    return bm.Effects(
        ["A", "A", "B", "C", "D"],
        [0.5, 0.2, 0.3, 0.7, -0.1],
        se,
        measure="SMD",
        better="higher",
        arms=[("yoga", "none"), ("walk", "none"), ("yoga", "none"), ("yoga", "none"), ("walk", "none")],
        blocks=[(np.array([0, 1]), block)],
    )


def test_without_selection_it_is_the_exact_engine() -> None:
    rows = paired()
    for mu, tau in ((bm.Normal(0, 1), bm.HalfNormal(0.5)), (bm.StudentT(0, 0.5, 4), bm.InverseGamma(1, 0.15))):
        theirs = bm.fit(rows, bm.Model(mu, tau))
        ours = bm.average(rows, bias.Ensemble("one", [bias.CandidateModel(mu, tau)]))
        assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=2e-6)
        for name in ("mu", "tau", "theta_new", f"theta[{rows.label[1]}]", f"theta[{rows.label[2]}]"):
            form = bm.marginal(theirs, name)
            np.testing.assert_allclose(bm.marginal(ours, name).cdf(form.quantile(P)), P, atol=3e-6)


def test_selection_of_pairs_is_a_plain_sum() -> None:
    """w(p1) w(p2) over the sum of w_a w_b P(cell ab), by scipy, the mean and the weight on a grid."""
    rows, tau, step = paired(), 0.15, 0.05
    form = bias.StepSelection((step,))
    pairs = pairs_of(rows, 0.5)
    z = stats.norm.isf(step)
    grid, roots = middles(-1.6, 1.9, 140), middles(0.0, 1.0, 120)
    weight = roots**2
    total = np.zeros((grid.size, roots.size))
    for i in (2, 3, 4):
        sd = math.hypot(rows.se[i], tau)
        seen = stats.norm.sf(z * rows.se[i], grid, sd)[:, None]
        total += stats.norm.logpdf(rows.y[i], grid, sd)[:, None] - np.log(seen + weight * (1 - seen))
        total += (rows.y[i] <= z * rows.se[i]) * np.log(weight)
    V = np.array([[rows.se[0] ** 2, SAMPLING], [SAMPLING, rows.se[1] ** 2]]) + tau**2 * np.array([[1, 0.5], [0.5, 1]])
    cuts = z * rows.se[:2]
    for j, mu in enumerate(grid):
        both = stats.multivariate_normal([mu, mu], V)
        below = both.cdf(cuts)
        first, second = (stats.norm.cdf(cuts[i], mu, math.sqrt(V[i, i])) for i in (0, 1))
        chance = (1 - first - second + below) + weight * (first + second - 2 * below) + weight**2 * below
        total[j] += both.logpdf(rows.y[:2]) - np.log(chance)
    total += int((rows.y[:2] <= cuts).sum()) * np.log(weight)
    total += stats.norm.logpdf(grid)[:, None] + np.log(2 * roots)
    expected = np.log(np.exp(total - total.max()).sum()) + total.max() + math.log((grid[1] - grid[0]) / roots.size)
    # a heterogeneity that is all but known
    known = bm.Uniform(tau - 1e-4, tau + 1e-4)
    ours = integrate(rows.y, rows.se, bias.CandidateModel(bm.Normal(0, 1), known, form), pairs)
    assert ours.log_evidence == pytest.approx(expected, abs=4e-4)
    share = np.exp(total - total.max())
    share /= share.sum()
    below_zero = float(share[grid < 0.2].sum())
    assert float(mean_of([ours], [1.0]).cdf(0.2)) == pytest.approx(below_zero, abs=2e-3)
    assert weight_of(ours, 1).mean == pytest.approx(float((share * weight).sum()), abs=1e-3)
    # selection of what was seen says nothing more of a trial's effect, given mean and tau
    own = np.linalg.solve(V, np.array([[1.0], [0.5]]) * tau**2)[:, 0]
    centre = own @ rows.y[:2] + (1 - own.sum()) * grid
    sd = math.sqrt(tau**2 - own @ np.array([1.0, 0.5]) * tau**2)
    expected = float((share.sum(axis=1) * stats.norm.cdf(0.3, centre, sd)).sum())
    assert float(study_of(ours, 0).cdf(0.3)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 0.97])
def test_probabilities_of_two_p_values(correlation: float) -> None:
    cuts, member = np.array([-0.4, 0.1, 0.5]), np.eye(4)
    centre, spread = (0.1, 0.3), (0.3, 0.25)
    ours = pair_probabilities(
        (cuts, cuts + 0.1),
        (np.array([centre[0]]), np.array([centre[1]])),
        (np.array([spread[0]]), np.array([spread[1]])),
        np.array([correlation]),
        member,
    )[0].reshape(4, 4)
    both = stats.multivariate_normal(centre, np.outer(spread, spread) * [[1, correlation], [correlation, 1]])
    edges = [np.concatenate([[-9.0], cuts + shift, [9.0]]) for shift in (0.0, 0.1)]
    table = np.array([[both.cdf([a, b]) for b in edges[1]] for a in edges[0]])
    np.testing.assert_allclose(ours, np.diff(np.diff(table, axis=0), axis=1), atol=1e-7)


def test_shrinkage_of_a_pair_is_a_conditional_normal() -> None:
    rows = paired()
    tau = np.array([0.05, 0.4])
    own, other, partner, variance = shrink(rows.se, pairs_of(rows, 0.5), 1, tau)
    assert partner == 0
    for i, t in enumerate(tau):
        R = t**2 * np.array([[1, 0.5], [0.5, 1]])
        gain = R @ np.linalg.inv(R + rows.covariance()[:2, :2])
        assert [other[i], own[i]] == pytest.approx(gain[1].tolist())
        assert variance[i] == pytest.approx((R - gain @ R)[1, 1])


def test_pairs_with_moderators_and_slopes() -> None:
    """PET is a regression on the standard error: with the exact engine's own moderator it has the same evidence."""
    rows = paired()
    with_weeks = bm.Effects(
        rows.study,
        rows.y,
        rows.se,
        measure="SMD",
        better="higher",
        arms=rows.arms,
        blocks=rows.blocks,
        moderators={"weeks": [1.0, 4.0, 2.0, 3.0, 5.0]},
    )
    prior = {"weeks": bm.Normal(0, 0.2)}
    one = bias.Ensemble("one", [bias.CandidateModel(bm.Normal(0, 1), bm.HalfNormal(0.5))])
    part = bias.given_moderators(bm.average(with_weeks, one, moderators=prior), "weeks")
    theirs = bm.fit(with_weeks, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), prior))
    assert part.log_evidence == pytest.approx(theirs.log_evidence, abs=2e-6)
    label = rows.label[1]
    x = bm.marginal(theirs, f"theta[{label}]").quantile(P)
    np.testing.assert_allclose(bm.marginal(part, f"theta[{label}]").cdf(x), P, atol=1e-5)
    step = bias.CandidateModel(bm.Normal(0, 1), bm.HalfNormal(0.5), bias.StepSelection((0.05,)))
    assert bm.average(with_weeks, bias.Ensemble("step", [step]), moderators=prior).ok


def test_every_outcome_of_the_cancer_protocol_has_an_average() -> None:
    """Two rows of one trial are what its outcomes have; with rows at several times they are refused."""
    for key in ("fatigue_long", "anxiety_short"):
        rows = bm.read_effects(ROOT / "models" / "cancer_exercise.toml", key)
        fit = bm.average(rows, "2w")
        assert fit.ok
        assert bm.study_table(fit)["theta"].notna().all()
    clustered = bm.read_effects(ROOT / "models" / "cancer_horizons.toml", "anxiety")
    with pytest.raises(bm.ModelError, match="rows in clusters"):
        bm.average(clustered)


def test_larger_blocks_are_refused() -> None:
    block = 0.04 * (0.5 * np.eye(3) + 0.5)
    rows = bm.Effects(
        ["A"] * 3,
        [0.1, 0.2, 0.3],
        [0.2] * 3,
        measure="SMD",
        better="higher",
        label=[*"abc"],
        blocks=[(np.arange(3), block)],
    )
    with pytest.raises(bm.ModelError, match="3 rows share patients"):
        bm.average(rows)
