"""The answer to moderators: coefficients, effects, tests, evidence.

Authorities: metafor 3.8 (tests/reference/moderators_metafor.R) for classical estimates and tests; for posteriors a sum
over a fine grid of tau of dense Gaussian algebra in treatment coding, which shares no step with the engine: it knows
neither its basis of contrasts nor its blocks nor its nodes.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.moderators import moderator_blocks, moderators_alone
from bayesmeta.plan import ModelPlan, Moderator, scaling_of
from references import reference

ROOT = Path(__file__).parents[2]
CANCER = ROOT / "models" / "cancer_exercise.toml"
METAFOR = reference("moderators_metafor")
#: metafor's tau2 is where its optimiser stopped, at about seven digits; F and estimates follow it
RTOL = 2e-6
#: The grid of tau below, to 3, where the prior's density has vanished. The trapezoid rule is wrong by h**2 / 12 times
#: the difference of the slopes at its ends, here below 1e-6 of a probability
GRID = np.linspace(0, 3, 1201)
PROBABILITY = 2e-6


@cache
def fatigue(*interactions: str) -> bm.Fit:
    effects = bm.read_effects(CANCER, "fatigue_short")
    outcome = bm.read_protocol(CANCER).outcomes["fatigue_short"]
    plan = dataclasses.replace(outcome.model, interactions=interactions)
    return bm.fit(effects, plan.on(effects), outcome=outcome, analysis="moderated")


def rows(table: pd.DataFrame, moderator: str, part: str) -> pd.DataFrame:
    return table[(table["moderator"] == moderator) & (table["part"] == part)].set_index("name")


class Brute:
    """Regression with one tau: dense matrices on a grid, tau half-normal(0.5), normal coefficients."""

    def __init__(self, effects: bm.Effects, X: np.ndarray, prior: np.ndarray) -> None:
        self.X, y, S = X, effects.y, effects.covariance()
        R = np.eye(effects.k)
        for members, _ in effects.blocks:
            R[np.ix_(members, members)] = 0.5 + 0.5 * np.eye(len(members))
        total = S + GRID[:, None, None] ** 2 * R + X @ prior @ X.T
        inverse = np.linalg.inv(total)
        gain = prior @ X.T @ inverse
        form = np.einsum("i,tij,j->t", y, inverse, y) + np.linalg.slogdet(total)[1] + len(y) * np.log(2 * np.pi)
        logs = stats.halfnorm.logpdf(GRID, 0, 0.5) - 0.5 * form
        self.means, self.covs = gain @ y, prior - gain @ X @ prior
        step = np.full(GRID.size, GRID[1])
        step[[0, -1]] /= 2
        weights = np.exp(logs - logs.max()) * step
        self.evidence = logs.max() + np.log(weights.sum())
        self.weights = weights / weights.sum()

    def below(self, row: np.ndarray, x: float = 0.0) -> float:
        sd = np.sqrt(np.einsum("i,tij,j->t", row, self.covs, row))
        return float(self.weights @ stats.norm.cdf((x - self.means @ row) / sd))

    def mean(self, row: np.ndarray) -> float:
        return float(self.weights @ (self.means @ row))


def treatment(effects: bm.Effects) -> tuple[np.ndarray, np.ndarray]:
    """Centred columns of exercise, timing and their product, in treatment coding, and the covariance of their priors.

    Levels deviate by N(0, 0.5**2 / 2) each, so that contrasts have SD 0.5; products of contrasts likewise.
    """
    exercise, timing = effects.moderators["exercise"], effects.moderators["timing"]
    a = np.column_stack([exercise == "resistance", exercise == "yoga"]).astype(float)
    b = (timing == "after").astype(float)[:, None]
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    X = np.hstack([np.ones((effects.k, 1)), a, b, a * b])
    X[:, 1:] -= X[:, 1:].mean(axis=0)
    prior = np.zeros((6, 6))
    prior[0, 0] = 1.0
    for block in (slice(1, 3), slice(4, 6)):
        prior[block, block] = 0.25 * (np.eye(2) + 1) / 2
    prior[3, 3] = 0.25
    return X, prior


@cache
def brute(columns: int) -> Brute:
    X, prior = treatment(fatigue().effects)
    return Brute(fatigue().effects, X[:, :columns], prior[:columns, :columns])


# -- classical ---------------------------------------------------------------------------------------------------------


def test_metafor_was_given_what_the_protocol_makes() -> None:
    given, effects = reference("moderators_input"), fatigue().effects
    np.testing.assert_allclose(given["y"], effects.y, rtol=1e-12)
    np.testing.assert_allclose(given["S"], effects.covariance(), rtol=1e-12)
    assert given["exercise"] == effects.moderators["exercise"].tolist()


def test_interaction_is_tested_as_metafors_estimates_give_it_with_degrees_of_freedom_of_trials() -> None:
    """F(2, 26) = 1.702, p = 0.202; metafor itself prints the unscaled F(2, 29) = 1.657, p = 0.208: rows, not trials."""
    expected = METAFOR["fatigue: exercise * timing"]
    line = rows(bm.moderator_table(fatigue("exercise:timing")), "exercise:timing", "test").iloc[0]
    scaled = expected["tests"]["exercise:timing"]["scaled"]
    np.testing.assert_allclose([line["f"], line["p_value"]], [scaled["f"], scaled["p"]], rtol=RTOL)
    assert [line["df1"], line["df2"]] == scaled["df"] == [2, 26]
    unscaled = expected["tests"]["exercise:timing"]["unscaled"]
    assert unscaled["df"] == [2, 29]
    assert unscaled["f"] == pytest.approx(line["f"] * scaled["s2"], rel=RTOL)
    assert round(scaled["f"], 3) == 1.702
    assert round(unscaled["f"], 3) == 1.657


def test_each_moderator_is_tested_beside_the_other() -> None:
    table = bm.moderator_table(fatigue())
    for name in ("exercise", "timing"):
        scaled = METAFOR["fatigue: exercise + timing"]["tests"][name]["scaled"]
        line = rows(table, name, "test").iloc[0]
        # the F of timing is 5e-5, of a coefficient that rounds to nothing
        np.testing.assert_allclose(line["f"], scaled["f"], rtol=RTOL, atol=1e-9)
        np.testing.assert_allclose(line["p_value"], scaled["p"], rtol=RTOL)


def test_classical_interactions_are_metafors() -> None:
    """resistance x after 0.365, yoga x after -0.271; 0.306 and 0.329 are the SEs before Knapp-Hartung scaling."""
    expected = METAFOR["fatigue: exercise * timing"]
    found = rows(bm.moderator_table(fatigue("exercise:timing")), "exercise:timing", "interaction")
    scaled = expected["tests"]["exercise:timing"]["scaled"]
    np.testing.assert_allclose(found["classical"], expected["b"][4:], rtol=RTOL)
    half = stats.t.ppf(0.975, 26) * np.array(scaled["se"][4:])
    np.testing.assert_allclose(found["classical_upper"] - found["classical"], half, rtol=RTOL)
    assert [round(x, 3) for x in expected["se"][4:]] == [0.306, 0.329]


def test_subgroup_test_has_one_tau() -> None:
    expected = METAFOR["fatigue: exercise"]["subgroup"]
    assert (round(expected["q"], 3), round(expected["p"], 3)) == (2.164, 0.339)
    notes = " ".join(bm.moderator_table(fatigue()).attrs["notes"])
    assert "Subgroup test of exercise alone, one tau for all levels: Q(2) = 2.16, p = 0.339" in notes


def test_allocation_beside_latitude() -> None:
    given = METAFOR["bcg"]
    effects = bm.Effects(
        [f"trial {i}" for i in range(13)],
        given["y"],
        np.sqrt(given["v"]),
        measure="RR",
        moderators={"alloc": np.array(given["alloc_levels"], object), "ablat": np.array(given["ablat"], float)},
    )
    model = bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5), {"alloc": bm.Normal(0, 0.5), "ablat": bm.Normal(0, 0.1)})
    table = bm.moderator_table(bm.fit(effects, model))
    line = rows(table, "alloc", "test").iloc[0]
    np.testing.assert_allclose([line["f"], line["p_value"]], [given["alloc"]["f"], given["alloc"]["p"]], rtol=1e-6)
    assert (line["df1"], line["df2"]) == (2, 9)
    slope = rows(table, "ablat", "slope").iloc[0]
    assert slope["classical"] == pytest.approx(given["b"][3], rel=1e-6)
    assert f"{given['r2']:.0f} % of tau squared" in " ".join(table.attrs["notes"])


# -- posteriors and evidence -------------------------------------------------------------------------------------------


def test_interactions_have_coefficients_and_probabilities() -> None:
    """0.256 and -0.155 (means), P(< 0) 0.162 and 0.717, Bayes factor 0.893 against the model without them."""
    fit, dense = fatigue("exercise:timing"), brute(6)
    table = bm.moderator_table(fit)
    found = rows(table, "exercise:timing", "interaction")
    summary = bm.summarize(fit)["mean"]
    for number, (name, line) in enumerate(found.iterrows()):
        row = np.eye(6)[4 + number]
        assert line["p_below_null"] == pytest.approx(dense.below(row), abs=PROBABILITY)
        assert summary[f"beta[{name}]"] == pytest.approx(dense.mean(row), abs=1e-6)
    assert found["p_below_null"].round(3).tolist() == [0.162, 0.717]
    assert [round(summary[f"beta[{name}]"], 3) for name in found.index] == [0.256, -0.155]
    factor = rows(table, "exercise:timing", "test").iloc[0]["bayes_factor"]
    assert factor == pytest.approx(np.exp(dense.evidence - brute(4).evidence), rel=1e-5)
    assert round(factor, 3) == 0.893


def test_cells_and_simple_effects_are_sums_of_coefficients() -> None:
    fit, dense = fatigue("exercise:timing"), brute(6)
    effects = fit.effects
    X, _ = treatment(effects)
    raw = pd.DataFrame({name: effects.moderators[name] for name in ("exercise", "timing")})
    table = bm.moderator_table(fit)
    cells = rows(table, "exercise:timing", "cell")
    assert len(cells) == 6
    for exercise, timing in product(("aerobic", "resistance", "yoga"), ("during", "after")):
        line = cells.loc[f"{exercise} x {timing}"]
        inside = ((raw["exercise"] == exercise) & (raw["timing"] == timing)).to_numpy()
        # rows of one cell have one row of the design
        assert np.ptp(X[inside], axis=0).max() < 1e-12
        assert line["p_any_benefit"] == pytest.approx(dense.below(X[inside][0]), abs=PROBABILITY)
        assert line["k"] == inside.sum()
        assert line["trials"] == len({s for s, here in zip(effects.study, inside, strict=True) if here})
    simple = rows(table, "exercise:timing", "simple effect")
    row = X[((raw["exercise"] == "yoga") & (raw["timing"] == "during")).to_numpy()][0]
    other = X[((raw["exercise"] == "aerobic") & (raw["timing"] == "during")).to_numpy()][0]
    line = simple.loc["exercise: yoga - aerobic at timing = during"]
    assert line["p_more_benefit"] == pytest.approx(dense.below(row - other), abs=PROBABILITY)


def test_inclusion_averages_over_the_models_that_marginality_allows() -> None:
    fit = fatigue("exercise:timing")
    found = bm.inclusion_table(fit).set_index("term")
    X, prior = treatment(fit.effects)
    # without anything, exercise, timing, both, both with their interaction
    chosen = [[0], [0, 1, 2], [0, 3], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5]]
    logs = np.array([Brute(fit.effects, X[:, c], prior[np.ix_(c, c)]).evidence for c in chosen])
    share = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    for term, inside in {"exercise": [1, 3, 4], "timing": [2, 3, 4], "exercise:timing": [4]}.items():
        assert found.loc[term, "p_inclusion"] == pytest.approx(share[inside].sum(), abs=1e-5)
        odds = share[inside].sum() / (1 - share[inside].sum()) / (len(inside) / (5 - len(inside)))
        assert found.loc[term, "inclusion_bayes_factor"] == pytest.approx(odds, rel=1e-4)
    assert set(found["models"]) == {5}


# -- the default prior of a slope --------------------------------------------------------------------------------------


def raudenbush(values: np.ndarray | None = None) -> bm.Effects:
    given = reference("raudenbush_smd")
    weeks = np.array(given["metareg"]["weeks"]["values"], float) if values is None else values
    names = [f"study {i}" for i in range(len(given["yi"]))]
    return bm.Effects(names, given["yi"], np.sqrt(given["vi"]), measure="SMD", moderators={"weeks": weeks})


def plan_of(**options: Any) -> ModelPlan:
    return ModelPlan(bm.Normal(0, 1), bm.HalfNormal(0.5), moderators=(Moderator("weeks", **options),))


@pytest.mark.parametrize("per", [0.5, 1, 25, 100])
def test_the_display_unit_changes_no_probability(per: float) -> None:
    """0.56 % whatever ``per`` is; with a prior per stated unit it was 0.5, 1.3 and 16.4 % for 1, 25 and 100."""
    effects = raudenbush()
    weeks = effects.moderators["weeks"]
    X = np.column_stack([np.ones(effects.k), weeks - weeks.mean()])
    dense = Brute(effects, X, np.diag([1.0, (0.5 / (2 * weeks.std(ddof=1))) ** 2]))
    expected = 1 - dense.below(np.array([0.0, 1.0]))
    slope = rows(bm.moderator_table(bm.fit(effects, plan_of(per=per).on(effects))), "weeks", "slope").iloc[0]
    assert 1 - slope["p_below_null"] == pytest.approx(expected, abs=PROBABILITY)
    assert round(100 * expected, 2) == 0.56


def test_zero_and_one_is_the_contrast_of_two_levels() -> None:
    short = (raudenbush().moderators["weeks"] > 2).astype(float)
    numeric = raudenbush(short)
    categorical = raudenbush(np.array(["short", "long"], object)[short.astype(int)])
    fits = [bm.fit(effects, plan_of().on(effects)) for effects in (numeric, categorical)]
    slope, contrast = (bm.contrast_table(fit).iloc[0] for fit in fits)
    sign = 1 if contrast["contrast"] == "long - short" else -1
    assert slope["mean"] == pytest.approx(sign * contrast["mean"], rel=1e-8)
    assert fits[0].log_evidence == pytest.approx(fits[1].log_evidence, abs=1e-9)


def test_the_scale_is_over_trials_and_frozen() -> None:
    effects = raudenbush()
    plan = plan_of().scaled(effects)
    fewer = effects.subset(np.arange(effects.k) < 9)
    assert plan.on(fewer).beta["weeks"] == plan.on(effects).beta["weeks"]
    assert plan_of().on(fewer).beta["weeks"] != plan.on(fewer).beta["weeks"]
    # two rows of one trial count once, by their mean
    assert scaling_of(np.array([1.0, 3.0, 6.0]), ["A", "A", "B"]) == pytest.approx(2 * np.std([2.0, 6.0], ddof=1))


def test_interactions_take_the_product_of_scalings() -> None:
    effects = dataclasses.replace(
        raudenbush(), moderators={"weeks": raudenbush().moderators["weeks"], "x": np.arange(19.0)}
    )
    plan = ModelPlan(
        bm.Normal(0, 1),
        bm.HalfNormal(0.5),
        moderators=(Moderator("weeks", per=4), Moderator("x", per=2)),
        interactions=("weeks:x",),
    )
    beta = plan.on(effects).beta
    scale = [scaling_of(effects.moderators[name], effects.study) for name in ("weeks", "x")]
    assert beta["weeks:x"].prior.sd == pytest.approx(0.5 * 4 / scale[0] * 2 / scale[1])


# -- what is marked and said -------------------------------------------------------------------------------------------


def test_levels_of_one_trial_are_marked_wherever_they_enter() -> None:
    effects = bm.read_effects(CANCER, "anxiety_short")
    outcome = bm.read_protocol(CANCER).outcomes["anxiety_short"]
    values = effects.moderators["exercise"].copy()
    values[:] = np.where(np.arange(effects.k) == 3, "tai chi", np.where(values == "yoga", "aerobic", values))
    effects = dataclasses.replace(effects, moderators={**effects.moderators, "exercise": values})
    table = bm.moderator_table(bm.fit(effects, outcome.model.on(effects), outcome=outcome))
    levels = rows(table, "exercise", "level")
    assert levels["mark"].to_dict() == {"aerobic": "", "resistance": "", "tai chi": "one trial"}
    contrasts = rows(table, "exercise", "contrast")
    assert contrasts["mark"].to_dict() == {
        "resistance - aerobic": "",
        "tai chi - aerobic": "one trial",
        "tai chi - resistance": "one trial",
    }
    shown = [cell for block in moderator_blocks(table, effects) for row in block.table.cells for cell in row]
    assert "exercise: tai chi (one trial)" in shown
    assert any(note.startswith("One trial: ") for note in table.attrs["notes"])


def test_coefficients_of_trials_with_several_levels_are_called_a_mixture() -> None:
    notes = bm.moderator_table(fatigue()).attrs["notes"]
    assert any(note.startswith("exercise: 3 trials compare several of its values") for note in notes)
    assert "timing: differences between trials, not within them" in notes


def test_where_all_together_are_not_estimable_each_stands_alone() -> None:
    analysis = bm.analyse(CANCER, "qol_medium", declared=False)
    assert analysis.moderated is None
    assert analysis.reason.startswith("not estimable: 5 trials, 4 coefficients")
    assert list(analysis.alone) == ["exercise", "timing"]
    table = analysis.moderators
    assert table is not None
    assert set(table["model"]) == {"exercise alone", "timing alone"}
    assert "each is analysed alone" in table.attrs["notes"][0]
    line = rows(table, "timing", "test").iloc[0]
    own = rows(bm.moderator_table(analysis.alone["timing"]), "timing", "test").iloc[0]
    assert line["bayes_factor"] == own["bayes_factor"]
    with pytest.raises(bm.ModelError, match="no fit"):
        moderators_alone({})


def test_many_moderators_are_tested_without_averaging_over_their_models() -> None:
    """Nine moderators make 512 models, which are not averaged; each is still tested."""
    given, rng = raudenbush(), np.random.default_rng(2)
    names = [f"m{i}" for i in range(9)]
    effects = dataclasses.replace(given, moderators={name: rng.normal(size=given.k) for name in names})
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), dict.fromkeys(names, bm.Normal(0, 0.5))))
    table = bm.moderator_table(fit)
    tests = table[table["part"] == "test"]
    assert len(tests) == 10
    assert tests["p_inclusion"].isna().all()
    assert tests["bayes_factor"].notna().all()
    with pytest.raises(bm.ModelError, match="at most 8 terms"):
        bm.inclusion_table(fit)


def test_a_fit_without_moderators_has_no_answer() -> None:
    effects = raudenbush()
    with pytest.raises(bm.ModelError, match="no moderators"):
        bm.moderator_table(bm.fit(effects, plan_of().on()))
