"""Differences within trials and between them.

Authority: dense Gaussian algebra over a grid of tau, with columns written out row by row.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm

GRID = np.linspace(0, 3, 2401)
#: of probabilities: the trapezoid rule on that grid, as in test_answer.py
PROBABILITY = 2e-6


@cache
def effects() -> bm.Effects:
    """Four trials that compare supervised (1) with home (0) exercise themselves, and six that have one of them."""
    rng = np.random.default_rng(5)
    study, x = [], []
    for trial in range(10):
        both = trial < 4
        study += [f"trial {trial}"] * (2 if both else 1)
        x += [0.0, 1.0] if both else [float(trial % 2)]
    values = np.array(x)
    # within a trial supervised exercise does 0.3 more; between trials 0.1 less
    y = 0.2 + 0.3 * values - 0.4 * np.array([np.mean(values[np.array(study) == s]) for s in study])
    y = y + rng.normal(0, 0.15, y.size)
    blocks = []
    for trial in range(4):
        rows = np.array([2 * trial, 2 * trial + 1])
        blocks.append((rows, np.array([[0.04, 0.015], [0.015, 0.04]])))
    return bm.Effects(
        study, y, np.full(y.size, 0.2), measure="SMD", better="higher", blocks=tuple(blocks), moderators={"sup": values}
    )


def fit(given: bm.Effects) -> bm.Fit:
    return bm.fit(given, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"sup": bm.Normal(0, 0.5)}))


def test_coefficients_are_those_of_the_model_written_out() -> None:
    given = effects()
    x = given.moderators["sup"]
    study = np.array(given.study)
    means = np.array([x[study == s].mean() for s in study])
    X = np.column_stack([np.ones(given.k), x - x.mean(), means - means.mean()])
    prior, S = np.diag([1.0, 0.25, 0.09]), given.covariance()
    R = np.eye(given.k) + 0.5 * ((study[:, None] == study) & ~np.eye(given.k, dtype=bool))
    logs, moments = [], []
    for tau in GRID:
        V = S + tau**2 * R + X @ prior @ X.T
        gain = prior @ X.T @ np.linalg.inv(V)
        density = stats.multivariate_normal.logpdf(given.y, np.zeros(given.k), V)
        logs.append(density + stats.halfnorm.logpdf(tau, 0, 0.5))
        moments.append((gain @ given.y, prior - gain @ X @ prior))
    weights = np.exp(np.array(logs) - max(logs))
    weights[[0, -1]] /= 2
    weights /= weights.sum()
    table = bm.within_between_table(fit(given), {"sup": bm.Normal(0, 0.3)}).set_index("part")
    for part, row in {"within trials": [0, 1, 0], "between trials": [0, 1, 1], "between - within": [0, 0, 1]}.items():
        a = np.array(row, float)
        z = [-(a @ mean) / np.sqrt(a @ cov @ a) for mean, cov in moments]
        assert table.loc[part, "p_below_null"] == pytest.approx(weights @ stats.norm.cdf(z), abs=PROBABILITY)
    assert set(table["trials"]) == {4}
    assert table.loc["within trials", "p_more_benefit"] == 1 - table.loc["within trials", "p_below_null"]
    assert np.isnan(table.loc["between - within", "p_more_benefit"])


def test_levels_go_by_their_indicators() -> None:
    """The same two levels in words, with the prior of their contrast, give the same differences."""
    given = effects()
    words = np.array(["home", "supervised"], object)[given.moderators["sup"].astype(int)]
    named = bm.Effects(
        given.study, given.y, given.se, measure="SMD", better="higher", blocks=given.blocks, moderators={"sup": words}
    )
    numbers, levels = bm.within_between_table(fit(given)), bm.within_between_table(fit(named))
    assert levels["name"].tolist() == ["supervised - home"] * 3
    np.testing.assert_allclose(levels["median"], numbers["median"], rtol=1e-7)
    np.testing.assert_allclose(levels["p_below_null"], numbers["p_below_null"], rtol=1e-7)


def test_one_trial_inside_gives_no_number() -> None:
    given = effects()
    few = given.subset(np.r_[0:2, 2, 4, 6, 8 : given.k])
    table = bm.within_between_table(fit(few))
    assert table[["part", "trials", "mark"]].to_numpy().tolist() == [["within trials", 1, "within: one trial"]]
    assert table[["median", "lower", "upper", "p_below_null"]].isna().all(axis=None)
    alone = given.subset(np.arange(8, given.k))
    assert bm.within_between_table(fit(alone)).empty


def test_a_split_coefficient_is_kept_in_files(tmp_path) -> None:  # type: ignore[no-untyped-def]
    term = bm.Coefficient(bm.Normal(0, 0.5), between=bm.Normal(0, 0.3))
    found = bm.fit(effects(), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"sup": term}))
    found.save(tmp_path / "x.nc")
    again = bm.load(tmp_path / "x.nc")
    assert again.model == found.model
    assert bm.summarize(again).equals(bm.summarize(found))
    names = [name for name in bm.summarize(found).index if name.startswith("beta")]
    assert names == ["beta[sup]", "beta[sup between - within]"]


def test_what_cannot_be_split_says_so() -> None:
    with pytest.raises(bm.ModelError, match="not a moderator"):
        bm.within_between_table(fit(effects()), {"type": bm.Normal(0, 1)})
    with pytest.raises(bm.ModelError, match="interaction is not split"):
        bm.Model(
            bm.Normal(0, 1),
            None,
            {"a": bm.Normal(0, 1), "a:b": bm.Coefficient(bm.Normal(0, 1), between=bm.Normal(0, 1))},
        )


# -- differences inside trials, of rows and as published ---------------------------------------------------------------


def test_within_trial_differences_are_pooled_without_those_between() -> None:
    """Each trial's difference and its variance by hand; the pool is that of these four and a published one."""
    given = effects()
    published = bm.TrialInteraction("trial X", "sup", "slope per 1", 0.1, 0.2, "table 3")
    table = bm.within_trial_table(fit(given), [published])
    trials = table[table["trial"] != "all trials"]
    for number in range(4):
        line = trials.iloc[number]
        assert line["estimate"] == pytest.approx(given.y[2 * number + 1] - given.y[2 * number], rel=1e-12)
        # var(y2 - y1) = 2 * 0.04 - 2 * 0.015
        assert line["se"] == pytest.approx(np.sqrt(0.05), rel=1e-12)
    assert trials.iloc[4][["trial", "estimate", "se", "source"]].tolist() == ["trial X", 0.1, 0.2, "table 3"]
    alone = bm.Effects(trials["trial"], trials["estimate"], trials["se"], measure="SMD")
    expected = bm.summarize(bm.fit(alone, bm.Model(bm.Normal(0, 0.5), bm.HalfNormal(0.5)))).loc["mu"]
    whole = table.iloc[-1]
    assert whole["estimate"] == pytest.approx(expected["median"], rel=1e-9)
    assert whole["lower"] == pytest.approx(expected["lower"], rel=1e-9)
    # trials that have one level alone change nothing
    fewer = given.subset(np.arange(8))
    fewer_table = bm.within_trial_table(fit(fewer), [published])
    assert fewer_table.iloc[-1]["estimate"] == pytest.approx(whole["estimate"], rel=1e-9)


def test_a_trial_is_not_counted_by_its_rows_and_by_its_interaction() -> None:
    double = bm.TrialInteraction("trial 2", "sup", "slope per 1", 0.1, 0.2, "table 3")
    with pytest.raises(bm.ModelError, match=r"trial 2: its sup .* counts once"):
        bm.within_trial_table(fit(effects()), [double])


def test_a_contrast_stated_the_other_way_round_is_turned() -> None:
    given = effects()
    words = np.array(["home", "supervised"], object)[given.moderators["sup"].astype(int)]
    named = bm.Effects(
        given.study, given.y, given.se, measure="SMD", better="higher", blocks=given.blocks, moderators={"sup": words}
    )
    turned = bm.TrialInteraction("trial X", "sup", "home - supervised", -0.1, 0.2, "table 3")
    lines = bm.within_trial_table(fit(named), [turned]).set_index("trial")
    assert lines.loc["trial X", ["contrast", "estimate"]].tolist() == ["supervised - home", 0.1]


def test_one_published_interaction_gives_no_pooled_number() -> None:
    pooled = bm.fit(effects(), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    one = bm.TrialInteraction("trial X", "age", "slope per 10", 0.1, 0.2, "table 3")
    table = bm.within_trial_table(None, [one], pooled=pooled)
    assert table["mark"].tolist() == ["", "one trial"]
    assert np.isnan(table.iloc[-1]["estimate"])
    with pytest.raises(bm.ModelError, match="no estimate"):
        bm.TrialInteraction("trial X", "age", "slope per 10", 0.1, 0.0)
