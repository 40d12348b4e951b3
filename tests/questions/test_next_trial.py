"""The next trial: what it would have to show, and how probable that is.

Authorities: the conjugate normal model in closed form (Spiegelhalter, Abrams and Myles 2004, chapter 6) under a common
effect; exact refits with the trial as one more row, a different route through the engine; and the ratio of the two
fits' evidences, which is the predictive density, integrated by QUADPACK.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.questions import next_trial_table, planned_se, probability, updated_probability, with_trial
from references import effects_of

# closed forms, found by bisection to the last bits and moved by a refit that is settled to 1e-8
CLOSED = 1e-6
# two sets of nodes, each settled to 1e-8
NODES = 1e-7
# QUADPACK over 1e-8 densities
NESTED = 1e-6

BAYES = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
Y, SE = np.array([-0.9, -0.2, -0.5, 0.1, -0.35]), np.array([0.3, 0.2, 0.25, 0.4, 0.15])
NAMES = [f"trial {i}" for i in range(5)]
MID = bm.threshold(0.2, measure_name="SMD", better="lower")


def smd(scale: float = 1.0, better: str | None = "lower", model: bm.Model = BAYES, **options: Any) -> bm.Fit:
    return bm.fit(Effects(NAMES, scale * Y, abs(scale) * SE, measure="SMD", better=better, **options), model)


@pytest.mark.parametrize("cut", [0.8, 0.95, 0.5])
@pytest.mark.parametrize("se", [0.05, 0.2, 1.0])
def test_common_effect_in_closed_form(cut: float, se: float) -> None:
    """mu ~ N(m, v); after y: precision adds, so that the crossing and its predicted probability are one line each."""
    fit = smd(model=bm.Model(bm.Flat(), None))
    w = 1 / SE**2
    m, v = float(w @ Y / w.sum()), 1 / float(w.sum())
    table = next_trial_table(fit, MID, se=se, cut=cut)
    assert len(table) == 4
    for _, row in table.iterrows():
        edge, z = float(row["benefit"]), stats.norm.ppf(cut)
        total = 1 / (1 / v + 1 / se**2)
        # P(-mu > edge | y) = Phi((-mean - edge) / sd) = cut
        crossing = ((-edge - z * math.sqrt(total)) / total - m / v) * se**2
        assert row["estimate"] == pytest.approx(crossing, rel=CLOSED, abs=CLOSED)
        reaches = stats.norm.cdf(crossing, m, math.sqrt(v + se**2))
        assert row["p_reaches"] == pytest.approx(reaches, abs=CLOSED)
        now = stats.norm.cdf(-edge, m, math.sqrt(v))
        assert row["probability"] == pytest.approx(now, abs=NODES)
        assert row["change"] == ("rise" if now < cut else "fall")
        assert row["p_change"] == pytest.approx(reaches if now < cut else 1 - reaches, abs=CLOSED)
        assert row["predicted_upper"] == pytest.approx(m + stats.norm.ppf(0.975) * math.sqrt(v + se**2), rel=CLOSED)


@pytest.mark.parametrize("name", ["mu", "theta_new"])
def test_every_result_is_a_refit(name: str) -> None:
    fit = smd()
    points = np.array([-3.0, -1.0, -0.3, 0.0, 0.4, 2.0])
    mine = updated_probability(fit, points, 0.15, distance=0.2, target=name)
    refits = [probability(bm.fit(with_trial(fit.effects, float(y), 0.15), BAYES), name, below=-0.2) for y in points]
    assert mine == pytest.approx(refits, abs=NODES)


def test_predicted_probability_is_an_integral_of_evidences() -> None:
    """p(y) = evidence with the trial over evidence without, integrated over the results that change the conclusion."""
    fit = smd()
    row = (
        next_trial_table(fit, MID, se=0.25, cut=0.9)
        .set_index(["question", "target"])
        .loc[("important benefit", "mean effect")]
    )
    assert row["change"] == "rise"
    assert fit.log_evidence is not None

    def density(y: float) -> float:
        more = bm.fit(with_trial(fit.effects, y, 0.25), BAYES).log_evidence
        assert more is not None
        return math.exp(more - float(fit.log_evidence or 0.0))

    chance = integrate.quad(density, -6, float(row["estimate"]), epsabs=1e-8, limit=60)[0]
    assert row["p_change"] == pytest.approx(chance, abs=NESTED)


def test_confirmed_by_a_refit() -> None:
    fit = bm.fit(effects_of("normand_smd", better="lower"), BAYES)
    table = next_trial_table(fit, bm.threshold(0.5, measure_name="SMD", better="lower"), cut=0.8)
    assert len(table) == 24
    found = table[table["estimate"].notna()]
    assert len(found) >= 12
    assert found["confirmed"].to_numpy() == pytest.approx(np.full(len(found), 0.8), abs=NODES)
    for _, row in found.iloc[::6].iterrows():
        again = bm.fit(with_trial(fit.effects, float(row["estimate"]), float(row["se"])), BAYES)
        name = "mu" if row["target"] == "mean effect" else "theta_new"
        assert probability(again, name, below=-float(row["benefit"])) == pytest.approx(0.8, abs=NODES)


def test_large_trials_need_less() -> None:
    """The more participants, the less extreme a result suffices, and the nearer the plain rule."""
    table = next_trial_table(smd(), MID, sizes=(20, 100, 1000), cut=0.9)
    mean = table[(table["question"] == "important benefit") & (table["target"] == "mean effect")]
    assert mean["se"].is_monotonic_decreasing
    assert mean["estimate"].is_monotonic_increasing
    assert mean["p_change"].is_monotonic_increasing


def test_no_result_can_change_it() -> None:
    """Thirty trials that differ: no single one makes benefit in a new study nearly sure."""
    rng = np.random.default_rng(1)
    y = rng.normal(-0.3, 0.3, 30)
    fit = bm.fit(Effects([f"t{i}" for i in range(30)], y, [0.1] * 30, measure="SMD", better="lower"), BAYES)
    table = next_trial_table(fit, MID, sizes=[100], cut=0.95).set_index(["question", "target"])
    row = table.loc[("important benefit", "new study")]
    assert math.isnan(row["estimate"])
    assert row["note"].startswith("no result with a probability above one in a million changes it: the highest")
    assert (row["p_change"], row["p_reaches"]) == (0.0, 0.0)
    # a grid of refits never gets there either
    best = max(
        probability(bm.fit(with_trial(fit.effects, float(x), float(row["se"])), BAYES), "theta_new", below=-0.2)
        for x in np.linspace(-2, 0.5, 26)
    )
    assert best < 0.95
    stated = float(str(row["note"]).rsplit(" ", 1)[1])
    assert best - 2e-3 < stated < 0.95


def test_sign_flip_negates() -> None:
    one = next_trial_table(smd(), MID, se=[0.1, 0.3])
    other = next_trial_table(smd(-1.0, "higher"), bm.threshold(0.2, measure_name="SMD", better="higher"), se=[0.1, 0.3])
    assert other["estimate"].to_numpy() == pytest.approx(-one["estimate"].to_numpy(), rel=CLOSED, nan_ok=True)
    for column in ("probability", "p_change", "p_reaches"):
        assert other[column].to_numpy() == pytest.approx(one[column].to_numpy(), abs=NODES)


def test_huge_scale() -> None:
    """Everything a thousand times as large, the priors too: the crossing is a thousand times as large."""
    model = bm.Model(bm.Normal(0, 1000), bm.HalfNormal(500))
    effects = Effects(NAMES, 1000 * Y, 1000 * SE, measure="MD", better="lower")
    far = next_trial_table(bm.fit(effects, model), bm.threshold(200, measure_name="MD", better="lower"), se=150)
    near = next_trial_table(smd(), MID, se=0.15)
    assert far["estimate"].to_numpy() == pytest.approx(1000 * near["estimate"].to_numpy(), rel=CLOSED, nan_ok=True)
    assert far["p_change"].to_numpy() == pytest.approx(near["p_change"].to_numpy(), abs=NODES)


@pytest.mark.parametrize(
    ("y", "se"), [([-0.3], [0.2]), ([-0.3, -0.3], [0.2, 0.2]), ([-0.3, -0.1, 0.2], [1e-4, 0.2, 0.3])]
)
def test_few_equal_and_sharp_trials(y: list[float], se: list[float]) -> None:
    effects = Effects(NAMES[: len(y)], y, se, measure="SMD", better="lower")
    table = next_trial_table(bm.fit(effects, BAYES), MID, sizes=[50])
    answered = table["estimate"].notna()
    assert table.loc[~answered, "note"].str.startswith("no result with a probability").all()
    assert table.loc[answered, "confirmed"].to_numpy() == pytest.approx(0.8, abs=1e-5)


def test_a_crossing_that_no_refit_confirms_is_not_looked_for_without_end() -> None:
    """Where the nodes are too few they may point to results a billion standard errors away, at which no refit settles.

    By a grid of refits there is no crossing within ten times the range of the results that are not too improbable.
    """
    y = [0.05, 0.06, -0.06, 0.19, 0.06, 0.34, 0.49, -0.13, -0.18, 0.04]
    se = [0.23, 0.13, 0.28, 0.33, 0.36, 0.2, 0.13, 0.22, 0.28, 0.18]
    fit = bm.fit(Effects([f"t{i}" for i in range(10)], y, se, measure="SMD", better="lower"), BAYES)
    asked = bm.threshold(0.5, measure_name="SMD", better="lower")
    table = next_trial_table(fit, asked, se=0.3, cut=0.95).set_index(["question", "target"])
    row = table.loc[("important benefit", "mean effect")]
    assert math.isnan(row["estimate"])
    assert math.isnan(row["confirmed"])
    assert row["note"].startswith("no result with a probability above one in a million changes it")
    refits = [bm.fit(with_trial(fit.effects, float(x), 0.3), BAYES) for x in np.linspace(-30, 30, 61)]
    assert max(probability(item, "mu", below=-0.5) for item in refits) < 0.95


def test_size_and_standard_error() -> None:
    """SMD: sqrt(2/n + g^2/(4n)); other measures by what the trials show, or by a stated SD."""
    fit = smd()
    g = float(bm.summarize(fit).loc["mu", "median"])
    assert planned_se(fit, 50) == pytest.approx(math.sqrt(2 / 50 + g**2 / 200), rel=1e-12)
    effects = Effects(["A", "B"], [3.0, 5.0], [2.0, 1.0], measure="MD", better="higher", n=[[50, 50], [200, 200]])
    md = bm.fit(effects, bm.Model(bm.Normal(0, 10), bm.HalfNormal(5)))
    # 2 sqrt(25) = 10 and 1 sqrt(100) = 10
    assert planned_se(md, 50) == pytest.approx(10 * math.sqrt(2 / 50), rel=1e-12)
    assert planned_se(md, 50, sd=20) == pytest.approx(20 * math.sqrt(2 / 50), rel=1e-12)
    table = next_trial_table(md, bm.threshold(2, measure_name="MD", better="higher"), sizes=[50, 100], sd=20)
    assert table["se"].unique() == pytest.approx([4.0, math.sqrt(8)])
    for bad in (1, math.nan):
        with pytest.raises(ModelError, match="at least 2 participants"):
            planned_se(md, bad)


def test_ratios_are_told_as_ratios() -> None:
    effects = Effects(NAMES, Y, SE, measure="RR", better="lower")
    fit = bm.fit(effects, BAYES)
    table = next_trial_table(fit, bm.threshold(0.8, measure_name="RR", better="lower"), se=0.2)
    assert table["natural"].to_numpy() == pytest.approx(np.exp(table["estimate"].to_numpy()), nan_ok=True)


def test_clusters_and_blocks() -> None:
    """Rows that depend on each other: the next trial is one estimate of a new trial."""
    with pytest.warns(bm.BayesmetaWarning):
        effects = Effects(["A", "A", "B", "C"], Y[:4], SE[:4], measure="SMD", better="lower")
    effects = Effects(
        ["A", "A", "B", "C"],
        Y[:4],
        SE[:4],
        measure="SMD",
        better="lower",
        cluster=["A", "A", "B", "C"],
        label=effects.label,
    )
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfNormal(0.25))
    fit = bm.fit(effects, model)
    points = np.array([-1.0, 0.0, 0.5])
    for name in ("mu", "theta_new"):
        refits = [probability(bm.fit(with_trial(effects, float(y), 0.2), model), name, below=0.0) for y in points]
        # with two SDs each posterior is integrated on a tensor grid of its own
        assert updated_probability(fit, points, 0.2, target=name) == pytest.approx(refits, abs=1e-6)


def test_what_cannot_be_asked_says_why() -> None:
    moderated = bm.fit(
        Effects(NAMES, Y, SE, measure="SMD", better="lower", moderators={"weeks": [4, 8, 12, 16, 20]}),
        bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), beta={"weeks": bm.Coefficient(bm.Normal(0, 0.25))}),
    )
    md = bm.fit(Effects(["A"], [3.0], [1.0], measure="MD", better="lower"), bm.Model(bm.Normal(0, 9), bm.HalfNormal(3)))
    for fit, options, words in (
        (smd(better=None), {}, "no direction"),
        (smd(model=bm.Model(bm.Truncated(bm.Normal(0, 1), -2, 0), bm.HalfNormal(0.5))), {}, "truncated"),
        (moderated, {}, "pooled analysis"),
        (md, {}, "numbers of participants are not stated"),
        (smd(), {"cut": 1.0}, "between 0 and 1"),
        (smd(), {"se": -0.1}, "positive standard error"),
        (smd(), {"sizes": [1]}, "at least 2"),
    ):
        table = next_trial_table(fit, MID, **options)  # type: ignore[arg-type]
        assert len(table) == 1
        assert words in table["note"].iloc[0]
        assert math.isnan(table["estimate"].iloc[0])
    assert list(table.columns) == list(next_trial_table(smd(), se=0.2).columns)
    # without a threshold only any benefit is asked
    assert set(next_trial_table(smd(), se=0.2)["question"]) == {"any benefit"}
    with pytest.raises(ModelError, match="Allowed: mu, theta_new"):
        updated_probability(smd(), 0.0, 0.1, target="tau")
