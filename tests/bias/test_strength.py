"""How strong selection would have to be: against plain sums, the exact engine and limits known by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

import bayesmeta as bm
from bayesmeta import bias
from plain_sums import middles, step_likelihood

FloatArray = NDArray[np.float64]
Y, SE = np.array([0.05, 0.3, 0.5, 0.62, -0.1, 0.35]), np.array([0.1, 0.15, 0.2, 0.25, 0.2, 0.3])
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
EFFECTS = bm.Effects([*"abcdef"], Y, SE, measure="SMD", better="higher")
# cells of a twentieth of a posterior SD, and a probability that changes by 0.1 per unit of log weight
SUMMED = 5e-4


def probabilities(weight: float, distance: float) -> tuple[float, float]:
    """P(mu > distance) and P(new > distance) by a sum over a grid."""
    mu, tau = middles(-2.5, 1.9, 880)[:, None], middles(0.0, 2.0, 400)
    log = step_likelihood(Y, SE, mu, tau, 0.025, weight, two=False)
    log = log + stats.norm.logpdf(mu) + stats.halfnorm.logpdf(tau, scale=0.5)
    mass = np.exp(log - log.max())
    mass /= mass.sum()
    return float(mass[mu[:, 0] > distance].sum()), float((mass * stats.norm.sf(distance, mu, tau)).sum())


def test_the_weight_at_which_the_probability_is_the_cut_off() -> None:
    found = bias.selection_needed(EFFECTS, MODEL, 0.1, cut=0.7).set_index("target")
    row = found.loc["mean effect"]
    assert row["answer"] == "weight"
    assert row["ratio"] == pytest.approx(1 / row["weight"])
    assert probabilities(row["weight"], 0.1)[0] == pytest.approx(0.7, abs=SUMMED)
    assert row["at_limit"] == pytest.approx(probabilities(1e-12, 0.1)[0], abs=2e-3)
    row = found.loc["new study"]
    assert row["answer"] == "weight"
    assert probabilities(row["weight"], 0.1)[1] == pytest.approx(0.7, abs=SUMMED)


def test_without_selection_it_is_the_exact_engine() -> None:
    fit = bm.fit(EFFECTS, MODEL)
    found = bias.selection_needed(EFFECTS, MODEL, 0.2, cut=0.01)["without_selection"]
    expected = [bm.probability(fit, name, above=0.2) for name in ("mu", "theta_new")]
    assert found.tolist() == pytest.approx(expected, abs=1e-7)


def test_not_possible_and_not_needed() -> None:
    high = bm.Effects([*"abcdef"], Y + 2.0, SE, measure="SMD", better="higher")
    found = bias.selection_needed(high, MODEL, cut=0.8)
    assert found["answer"].tolist() == ["not possible", "not possible"]
    assert found["ratio"].tolist() == [math.inf, math.inf]
    assert found["weight"].isna().all()
    assert (found["at_limit"] > 0.8).all()
    found = bias.selection_needed(EFFECTS, MODEL, 0.9, cut=0.8)
    assert found["answer"].tolist() == ["without selection"] * 2
    assert found["weight"].tolist() == [1.0, 1.0]


def test_one_trial_by_hand() -> None:
    """A single significant trial, common effect: its likelihood is phi(y - mu) / (P + w (1 - P))."""
    rows = bm.Effects(["a"], [0.5], [0.2], measure="SMD", better="higher")
    model = bm.Model(bm.Normal(0, 0.5), None)
    mu = middles(-3.0, 3.0, 60_000)

    def probability(log: float) -> float:
        p = stats.norm.sf(1.959963984540054 - mu / 0.2)
        mass = stats.norm.pdf(0.5, mu, 0.2) * stats.norm.pdf(mu, 0, 0.5) / (p + math.exp(log) * (1 - p))
        return float(mass[mu > 0].sum() / mass.sum())

    weight = math.exp(optimize.brentq(lambda log: probability(log) - 0.9, math.log(1e-6), 0.0))
    found = bias.selection_needed(rows, model, cut=0.9).iloc[0]
    assert found["weight"] == pytest.approx(weight, rel=1e-4)


def test_directions() -> None:
    lower = bm.Effects([*"abcdef"], -Y, SE, measure="SMD", better="lower")
    here, there = bias.selection_needed(EFFECTS, MODEL, 0.1), bias.selection_needed(lower, MODEL, 0.1)
    assert there["weight"].tolist() == pytest.approx(here["weight"].tolist(), rel=1e-6, nan_ok=True)
    # the same rows where harm is favoured: benefit is the likelier the stronger selection is
    against = bias.selection_needed(EFFECTS, MODEL, cut=0.9, direction="lower").iloc[0]
    assert against["at_limit"] > against["without_selection"]
    nowhere = dataclasses.replace(EFFECTS, better=None)
    stated = bias.selection_needed(nowhere, MODEL, direction="higher")
    np.testing.assert_allclose(stated["without_selection"], bias.selection_needed(EFFECTS, MODEL)["without_selection"])


def test_a_table_of_stated_selections() -> None:
    forms = [1.0, 0.2, bias.ExponentialSelection(3.0), bias.CopasSelection(0.5, 0.1, 0.5)]
    table = bias.stated_selection_table(EFFECTS, MODEL, forms, 0.1)
    assert table.loc[1, "median"] == pytest.approx(table.loc[0, "median"], abs=1e-7)
    mean, new = probabilities(0.2, 0.1)
    assert table.loc[2, "p_important_benefit"] == pytest.approx(mean, abs=SUMMED)
    assert table.loc[2, "p_important_benefit_new"] == pytest.approx(new, abs=SUMMED)
    assert (table.loc[2:, "median"] < table.loc[0, "median"]).all()
    assert (table["lower"] < table["median"]).all()
    lower = bm.Effects([*"abcdef"], -Y, SE, measure="SMD", better="lower")
    other = bias.stated_selection_table(lower, MODEL, forms, 0.1)
    np.testing.assert_allclose(other["upper"], -table["lower"], atol=1e-6)
    np.testing.assert_allclose(other["p_any_benefit"], table["p_any_benefit"], atol=1e-6)
    assert "p_important_benefit" not in bias.stated_selection_table(EFFECTS, MODEL, [0.5])


def test_what_is_refused() -> None:
    with pytest.raises(bm.ModelError, match="between 0 and 1"):
        bias.selection_needed(EFFECTS, MODEL, cut=1.0)
    with pytest.raises(bm.ModelError, match="which results are favoured"):
        bias.selection_needed(dataclasses.replace(EFFECTS, better=None), MODEL)
    with pytest.raises(bm.ModelError, match="direction of benefit"):
        bias.selection_needed(dataclasses.replace(EFFECTS, better=None), MODEL, 0.2, direction="higher")
    with pytest.raises(bm.ModelError, match="alone"):
        bias.selection_needed(EFFECTS, bm.Model(MODEL.mu, MODEL.tau, random=bm.StudentEffects(bm.Uniform(1, 9))))
    with pytest.raises(bm.ModelError, match="improper"):
        bias.selection_needed(EFFECTS, bm.Model(bm.Flat(), MODEL.tau))
    with pytest.raises(bm.ModelError, match="at least one"):
        bias.stated_selection_table(EFFECTS, MODEL, [])
    mid = dataclasses.replace(bm.threshold(0.2, measure_name="SMD", better="higher"), benefit_distance=(0.1, 0.2))
    with pytest.raises(bm.ModelError, match="one number"):
        bias.selection_needed(EFFECTS, MODEL, mid)
