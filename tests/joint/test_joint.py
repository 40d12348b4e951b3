"""Several outcomes jointly: against brute force over (tau1, tau2, correlation), limits, symmetries, and sums by hand.

Data: Berkey 1998 (metafor's ``dat.berkey1998``), probing depth and attachment level of five trials.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import special, stats

import bayesmeta as bm
import oracles
from bayesmeta.joint import (
    JointFit,
    JointModel,
    at_least_table,
    borrowed_strength_table,
    correlation_table,
    fit_joint,
    sampling,
    stack,
    tables,
    without_harm_table,
    working_correlation_table,
)
from bayesmeta.marginals import Draws
from bayesmeta.nuts import Data
from nuts_cases import distances, far
from oracle_cases import case, pinned
from oracle_core import Oracle, half_normal
from sampled import LIMIT, drawn_until

# 30 comparisons per fit, 150 in all, at four standard errors (6.3e-5 each by chance): a right sampler is off somewhere
# in 1 % of all sets of draws, and what is off is drawn once more (`sampled`)

# sums of a few products in double precision
ROUNDING = 1e-12
# p-value of a Kolmogorov test that is not to be believed: 18 tests, 0.2 % by chance
KOLMOGOROV = 1e-4
DRAWS = 5000

# what the automatic repetition would use: five trials with SEs far below tau would need it
SETTINGS = bm.Settings(tune=500, target_accept=0.99)
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
NAMES = ("depth", "attachment")
AT = (0.3, -0.3)


def gums(*, partly: bool = False, turned: bool = False) -> dict[str, bm.Effects]:
    """Both outcomes better when higher; with ``turned`` the second is written the other way round."""
    data = case("gums_partly" if partly else "gums").data
    found = {}
    for i, name in enumerate(NAMES):
        rows = np.flatnonzero(~np.isnan(data["y"][:, i]))
        sign = -1 if turned and i else 1
        label = [pinned("joint_metafor")["label"][row] for row in rows]
        better = "lower" if sign < 0 else "higher"
        se = np.sqrt(data["S"][rows, i, i])
        found[name] = bm.Effects(label, sign * data["y"][rows, i], se, measure="MD", better=better, name=name)
    return found


def made_of(correlation: float, eta: float = 2.0) -> JointModel:
    return JointModel(dict.fromkeys(NAMES, MODEL), correlation=correlation, eta=eta)


@cache
def fitted(correlation: float, eta: float = 2.0, *, partly: bool = False, turned: bool = False) -> JointFit:
    return drawn(gums(partly=partly, turned=turned), made_of(correlation, eta))


@cache
def turned_round() -> JointFit:
    """One outcome turned round, by so few draws that its numbers say nothing: for tests that ask where they stand."""
    return fit_joint(gums(turned=True), made_of(0.5), seed=1, settings=bm.Settings(draws=100, tune=200))


def drawn(
    effects: dict[str, bm.Effects],
    model: JointModel,
    wrong: Callable[[JointFit], str] | None = None,
    seed: int = 1,
) -> JointFit:
    """A joint fit whose checks passed and of which nothing is wrong."""
    return drawn_until(
        lambda seed, settings: fit_joint(effects, model, seed=seed, settings=settings), wrong, SETTINGS, seed
    )


def oracle(correlation: float, *, partly: bool = False) -> Oracle:
    """Brute force with the working correlation in place of the trials' own."""
    data = case("gums_partly" if partly else "gums").data
    S = data["S"].copy()
    for trial in S:
        trial[0, 1] = trial[1, 0] = correlation * math.sqrt(trial[0, 0] * trial[1, 1])
    prior = half_normal(0.5)
    return oracles.joint_outcomes(data["y"], S, ((0, 1), (0, 1)), (prior, prior), 2.0, at=AT)


def off(joint: JointFit, truth: Oracle) -> str:
    """What is off: means and probabilities below 2.5 %, 50 % and 97.5 % points, and of both outcomes together."""
    table: dict[str, float] = {}
    for i in (0, 1):
        values = {"mu": joint.mu, "tau": joint.tau, "theta_new": joint.new}
        for key, draws in values.items():
            form = truth[f"{key}[{i}]"]
            points = {form.quantile(p): p for p in (0.025, 0.5, 0.975)}
            table |= {f"{key}[{i}], {k}": v for k, v in distances(Draws(draws[i]), form.mean, points).items()}
    form = truth["correlation"]
    points = {form.quantile(p): p for p in (0.025, 0.5, 0.975)}
    table |= {f"correlation, {k}": v for k, v in distances(Draws(joint.omega[0, 1]), form.mean, points).items()}
    for name, draws, p in zip(("mu", "new"), (joint.mu, joint.new), truth.probabilities["both_below"], strict=True):
        below = Draws(((draws[0] <= AT[0]) & (draws[1] <= AT[1])).astype(float))
        table[f"both {name}"] = (below.mean - p) / below.mcse
    assert len(table) == 30
    return far(table)


# -- brute force -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", [0.5, pytest.param(-0.3, marks=pytest.mark.slow)])
def test_working_correlation_against_brute_force(correlation: float) -> None:
    truth = oracle(correlation)
    if off(fitted(correlation), truth):
        drawn(gums(), made_of(correlation), lambda joint: off(joint, truth), seed=2)


@pytest.mark.parametrize("partly", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_reported_covariances_against_brute_force(partly: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trials' own covariances, which the library has no place for, put in where the working correlation was."""
    found = case("gums_partly" if partly else "gums")

    def with_reported(*arguments: Any, **options: Any) -> Any:
        stacked = stack(*arguments, **options)
        S = stacked.S.copy()
        label = pinned("joint_metafor")["label"]
        for i in range(len(S)):
            for j in range(len(S)):
                if stacked.trial[i] == stacked.trial[j]:
                    trial = label.index(stacked.trials[stacked.trial[i]])
                    S[i, j] = found.data["S"][trial, stacked.outcome[i], stacked.outcome[j]]
        return dataclasses.replace(stacked, S=S)

    monkeypatch.setattr(sampling, "stack", with_reported)
    truth = found.oracle()
    drawn(gums(partly=partly), made_of(0.0), lambda joint: off(joint, truth))


@pytest.mark.slow
def test_an_outcome_turned_round_gives_the_mirrored_answers() -> None:
    """Direction of benefit decides, not the sign of the scale: the same posterior, and answers in the own direction."""
    truth, other = oracle(0.5), fitted(0.5).fits["attachment"]

    def wrong(joint: JointFit) -> str:
        part = joint.fits["attachment"]
        pairs = {label: [bm.marginal(fit, f"theta[{label}]") for fit in (part, other)] for label in part.effects.label}
        apart = {
            f"theta[{label}]": (one.mean + two.mean) / math.hypot(one.mcse, two.mcse)  # type: ignore[union-attr]
            for label, (one, two) in pairs.items()
        }
        # benefit of the same amount has the same probability, told of either direction; errors of some 1000 draws
        p = [bm.probability(part, "mu", above=0.3), bm.probability(other, "mu", below=-0.3)]
        apart["P(benefit)"] = (p[0] - p[1]) / math.sqrt(2 * 0.25 / 1000)
        return off(joint, truth) or far(apart)

    turned = fitted(0.5, turned=True)
    if wrong(turned):
        turned = drawn(gums(turned=True), made_of(0.5), wrong, seed=2)
    assert turned.effects.sign == {"depth": 1, "attachment": -1}
    part = turned.fits["attachment"]
    np.testing.assert_array_equal(bm.marginal(part, "mu").values, -turned.mu[1])  # type: ignore[union-attr]
    np.testing.assert_allclose(bm.marginal(part, "theta_new").values, -turned.new[1], atol=ROUNDING)  # type: ignore[union-attr]
    rows = turned.effects.rows_of("attachment")
    for row in range(part.effects.k):
        assert turned.effects.y[rows[row]] == -part.effects.y[row]


@pytest.mark.slow
def test_without_any_correlation_every_outcome_stands_alone() -> None:
    """No working correlation and an LKJ prior that leaves none: the separate exact fits.

    Priors of the means are not centred at zero and lie on the side of each outcome's own scale, of which one is turned
    towards benefit inside: with the sign lost the mean of attachment moves by several standard errors.
    """
    effects = gums(turned=True)
    models = {
        "depth": bm.Model(bm.Normal(0.5, 0.1), bm.HalfNormal(0.5)),
        "attachment": bm.Model(bm.Normal(0.6, 0.1), bm.HalfNormal(0.5)),
    }
    exact = {name: bm.fit(item, models[name]) for name, item in effects.items()}

    def wrong(joint: JointFit) -> str:
        found = {}
        for name, part in joint.fits.items():
            table = bm.agreement_table(exact[name], part)
            assert len(table) == 3 * 4 + part.effects.k
            found[name] = table["difference"].abs().max()
        return far(found)

    joint = drawn(effects, JointModel(models, correlation=0.0, eta=1e6), wrong)
    assert np.abs(joint.omega[0, 1]).max() < 0.01


# -- the prior of correlations -----------------------------------------------------------------------------------------


def log_lkj_constant(n: int, eta: float) -> float:
    """Log of the integral of ``det(R)**(eta - 1)``: Lewandowski 2009, eq. 16."""
    total = 0.0
    for k in range(1, n):
        a = eta + (n - k - 1) / 2
        total += (2 * eta - 2 + n - k) * (n - k) * math.log(2) + (n - k) * special.betaln(a, a)
    return total


@pytest.mark.parametrize("eta", [0.7, 1.0, 2.0])
def test_correlations_of_four_outcomes_are_lkj(eta: float) -> None:
    """Every correlation is Beta(b, b) on (-1, 1) with b = eta + (n - 2) / 2, and E det(R) is a ratio of constants."""
    import pymc as pm

    with pm.Model():
        factor = sampling._correlation_factor(4, eta, Data())
        drawn = pm.draw(factor, draws=DRAWS, random_seed=5, mode="FAST_COMPILE")
    R = drawn @ np.swapaxes(drawn, 1, 2)
    np.testing.assert_allclose(np.diagonal(R, axis1=1, axis2=2), 1.0, atol=ROUNDING)
    assert np.all(np.triu(drawn[0], 1) == 0)
    b = eta + 1
    for i in range(4):
        for j in range(i):
            p = stats.kstest((R[:, i, j] + 1) / 2, stats.beta(b, b).cdf).pvalue
            assert p > KOLMOGOROV, (i, j)
    det = np.linalg.det(R)
    expected = math.exp(log_lkj_constant(4, eta + 1) - log_lkj_constant(4, eta))
    assert abs(det.mean() - expected) < LIMIT * det.std() / math.sqrt(DRAWS)


# -- rows that share patients ------------------------------------------------------------------------------------------


def three_arms() -> dict[str, bm.Effects]:
    """Trial T compares aerobic and yoga with usual care in both outcomes; U has one pair of arms, V one outcome."""
    arms = [("aerobic", "usual"), ("yoga", "usual"), ("aerobic", "usual")]
    fatigue = bm.Effects(
        ["T", "T", "U"],
        [-0.5, -0.3, -0.2],
        [0.2, 0.25, 0.3],
        measure="SMD",
        better="lower",
        arms=arms,
        blocks=(([0, 1], [[0.04, 0.02], [0.02, 0.0625]]),),
    )
    vigour = bm.Effects(
        ["V", "U", "T", "T"],
        [0.4, 0.1, 0.3, 0.2],
        [0.4, 0.3, 0.22, 0.24],
        measure="SMD",
        better="higher",
        arms=[("yoga", "usual"), ("aerobic", "usual"), ("yoga", "usual"), ("aerobic", "usual")],
        blocks=(([2, 3], [[0.0484, 0.022], [0.022, 0.0576]]),),
    )
    return {"fatigue": fatigue, "vigour": vigour}


def test_stacked_covariance_by_hand() -> None:
    found = stack(three_arms(), correlation=0.6, rho=0.3)
    assert found.names == ("fatigue", "vigour")
    assert found.trials == ("T", "U", "V")
    assert found.y.tolist() == [0.5, 0.3, 0.2, 0.4, 0.1, 0.3, 0.2]
    assert found.outcome.tolist() == [0, 0, 0, 1, 1, 1, 1]
    se = [0.2, 0.25, 0.3, 0.4, 0.3, 0.22, 0.24]
    S = np.diag(np.square(se))
    S[0, 1] = 0.02  # two arms of one outcome share their control: as stated
    S[5, 6] = 0.022
    S[0, 6] = 0.6 * 0.2 * 0.24  # the same patients twice: aerobic
    S[1, 5] = 0.6 * 0.25 * 0.22  # and yoga
    # different arms in different outcomes: the working correlation times what the shared control gives, on average
    shared = (0.02 / (0.2 * 0.25) + 0.022 / (0.22 * 0.24)) / 2
    S[0, 5] = 0.6 * shared * 0.2 * 0.22
    S[1, 6] = 0.6 * shared * 0.25 * 0.24
    S[2, 4] = 0.6 * 0.3 * 0.3  # trial U
    np.testing.assert_allclose(found.S, np.triu(S) + np.triu(S, 1).T, atol=ROUNDING)
    # true effects: one arm's are one, two arms of a trial correlate by rho, trials are independent
    R = np.eye(7)
    for i, j, r in [(0, 1, 0.3), (0, 5, 0.3), (0, 6, 1), (1, 5, 1), (1, 6, 0.3), (5, 6, 0.3), (2, 4, 1)]:
        R[i, j] = R[j, i] = r
    np.testing.assert_allclose(found.groups @ found.groups.T, R, atol=ROUNDING)


def test_two_arms_that_no_outcome_reports_together_share_half_of_their_variance() -> None:
    """Arms of equal size with SD s: differences from one control have variances 2 s^2 / n and covariance s^2 / n."""
    arms = {"fatigue": [("aerobic", "usual care")], "vigour": [("yoga", "usual care")]}
    effects = {
        name: bm.Effects(
            ["T", f"{name} only"], [0.5, 0.2], [0.2, 0.3], measure="SMD", arms=[*pair, ("a", "b")], better="higher"
        )
        for name, pair in arms.items()
    }
    found = stack(effects, correlation=0.6)
    both = np.flatnonzero(found.trial == 0)
    assert found.S[both[0], both[1]] == pytest.approx(0.6 * 0.5 * 0.2 * 0.2, rel=ROUNDING)


@pytest.mark.slow
def test_three_arms_draws_and_likelihood() -> None:
    """The log likelihood of every trial is that of its rows with true effects integrated out, by scipy."""
    effects = three_arms()
    joint = drawn(effects, JointModel(dict.fromkeys(effects, MODEL), 0.6))
    stacked = joint.effects
    shared = stacked.groups @ stacked.groups.T
    kept = joint.fits["fatigue"].sample.log_likelihood
    for at in ((0, 0), (1, 700), (3, 999)):
        tau, mu, omega = (values[(..., *at)] for values in (joint.tau, joint.mu, joint.omega))
        between = (tau[:, None] * tau * omega)[np.ix_(stacked.outcome, stacked.outcome)] * shared
        for number in range(3):
            rows = np.flatnonzero(stacked.trial == number)
            V = (between + stacked.S)[np.ix_(rows, rows)]
            value = stats.multivariate_normal(mu[stacked.outcome[rows]], V).logpdf(stacked.y[rows])
            assert kept[(number, *at)] == pytest.approx(value, abs=1e-9)


# -- tables ------------------------------------------------------------------------------------------------------------

THRESHOLDS = {
    "depth": bm.Threshold("MID", 0.3, 0.1, 0.3, 0.1, "a panel", "panel", True),
    "attachment": bm.Threshold("MID", 0.1, 0.4, 0.1, 0.4, "a panel", "panel", True),
}


def test_at_least_m_adds_up() -> None:
    """The number of outcomes that benefit has the mean of their probabilities, whatever their correlation."""
    joint = fitted(0.5)
    table = at_least_table(joint, THRESHOLDS)
    for target, draws in (("mean effect", joint.mu), ("new study", joint.new)):
        rows = table[table["target"] == target]
        assert rows["at_least"].tolist() == [1, 2]
        for column, limits in (("p_important_benefit", (0.3, 0.1)), ("p_any_benefit", (0.0, 0.0))):
            alone = [(values >= limit).mean() for values, limit in zip(draws, limits, strict=True)]
            assert (np.diff(rows[column]) <= 0).all()
            assert rows[column].sum() == pytest.approx(sum(alone), abs=ROUNDING)
            both = ((draws[0] >= limits[0]) & (draws[1] >= limits[1])).mean()
            assert rows[column].iloc[1] == pytest.approx(both, abs=ROUNDING)
        p, q = ((values >= limit).mean() for values, limit in zip(draws, (0.3, 0.1), strict=True))
        assert rows["if_independent"].tolist() == pytest.approx([1 - (1 - p) * (1 - q), p * q], abs=ROUNDING)
        assert (rows["mcse"] > 0).all()


def test_benefit_without_harm_is_no_likelier_than_either() -> None:
    table = without_harm_table(fitted(0.5), THRESHOLDS)
    assert table["outcome"].tolist() == ["depth", "attachment", "any"] * 2
    assert (table["p_benefit_without_harm"] <= table[["p_important_benefit", "p_no_harm"]].min(axis=1)).all()
    # nor less likely than if what can be lost were all lost at once (Bonferroni)
    assert (table["p_benefit_without_harm"] >= table["p_important_benefit"] + table["p_no_harm"] - 1 - ROUNDING).all()
    for _, rows in table.groupby("target"):
        assert rows["p_no_harm"].nunique() == 1
        assert rows["p_benefit_without_harm"].iloc[2] >= rows["p_benefit_without_harm"].iloc[:2].max()


def test_what_was_borrowed() -> None:
    """Alone is the exact fit; jointly is the part's own summary."""
    joint = fitted(0.5)
    table = borrowed_strength_table(joint).set_index("outcome")
    for name, part in joint.fits.items():
        alone, together = bm.summarize(bm.fit(gums()[name], MODEL)), bm.summarize(part)
        row = table.loc[name]
        assert (
            row[["alone", "alone_lower", "alone_upper"]].tolist()
            == alone.loc["mu", ["median", "lower", "upper"]].tolist()
        )
        assert row["joint"] == together.loc["mu", "median"]
        assert row["trials"] == 5
        widths = [t.loc["mu", "upper"] - t.loc["mu", "lower"] for t in (together, alone)]
        assert row["width_ratio"] == pytest.approx(widths[0] / widths[1], abs=ROUNDING)


def test_correlations_are_told_with_their_trials() -> None:
    row = correlation_table(fitted(0.5)).iloc[0]
    assert (row["first"], row["second"], row["trials"]) == (*NAMES, 5)
    assert row["median"] == np.median(fitted(0.5).omega[0, 1])
    assert row["lower"] < row["median"] < row["upper"]


def test_working_correlations_are_varied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stated one is not sampled again, and every other one is fitted as the joint fit was."""
    asked = []
    stands_in = turned_round()

    def fit_again(effects: Any, model: JointModel, **options: Any) -> JointFit:
        asked.append((model, options["seed"], options["settings"]))
        return stands_in

    monkeypatch.setattr(tables, "fit_joint", fit_again)
    table = working_correlation_table(fitted(0.5), gums(), (0.5, -0.3), settings=SETTINGS)
    assert asked == [(made_of(-0.3), fitted(0.5).seed, SETTINGS)]
    assert table["correlation"].tolist() == [0.5, 0.5, -0.3, -0.3]
    assert table["outcome"].tolist() == [*NAMES] * 2
    expected = [
        bm.summarize(joint.fits[name]).loc["mu", "median"] for joint in (fitted(0.5), stands_in) for name in NAMES
    ]
    assert table["mu"].tolist() == expected
    assert table["ok"].tolist() == [joint.ok for joint in (fitted(0.5), stands_in) for _ in NAMES]


def test_the_tree_is_in_the_direction_of_benefit(tmp_path: Path) -> None:
    joint = turned_round()
    posterior = joint.tree["posterior"]
    assert posterior["mu"].dims == ("chain", "draw", "outcome")
    assert posterior["omega"].dims == ("chain", "draw", "outcome", "outcome_2")
    assert posterior["outcome"].values.tolist() == list(NAMES)
    np.testing.assert_array_equal(posterior["theta_new"].sel(outcome="attachment").values, joint.new[1])
    np.testing.assert_array_equal(posterior["omega"].values[..., 1, 0], joint.omega[1, 0])
    with xr.open_datatree(joint.save(tmp_path / "joint.nc"), engine="h5netcdf") as tree:
        assert tree["posterior"].to_dataset().identical(posterior.to_dataset())
        assert tree.attrs["direction"] == "positive is benefit"
    assert [path.name for path in tmp_path.iterdir()] == ["joint.nc"]


def test_same_seed_same_draws() -> None:
    # too few draws to be trusted; where the target is the last one nothing is repeated, and the fit is not ok
    short = bm.Settings(draws=100, tune=200, target_accept=0.99)
    one, same, other = (fit_joint(gums(), made_of(0.5), seed=seed, settings=short) for seed in (1, 1, 2))
    assert not one.ok
    assert one.fits["depth"].checks == one.checks
    np.testing.assert_array_equal(same.mu, one.mu)
    np.testing.assert_array_equal(same.new, one.new)
    assert not np.array_equal(other.mu, one.mu)


# -- refusals ----------------------------------------------------------------------------------------------------------


def undirected() -> dict[str, bm.Effects]:
    first, second = gums().values()
    return {"depth": first, "attachment": bm.Effects(second.study, second.y, second.se, measure="MD")}


def unlinked() -> dict[str, bm.Effects]:
    first, second = gums().values()
    return {"depth": first.subset([0, 1]), "attachment": second.subset([2, 3, 4])}


def contradicting() -> dict[str, bm.Effects]:
    """Arms that go together in one outcome and apart in the other cannot be as alike between outcomes."""
    found = three_arms()
    fatigue, vigour = found.values()
    options: dict[str, Any] = {"measure": "SMD", "better": "lower", "arms": fatigue.arms}
    near = 0.95 * 0.2 * 0.25
    block = ([0, 1], [[0.04, near], [near, 0.0625]])
    found["fatigue"] = bm.Effects(fatigue.study, fatigue.y, fatigue.se, blocks=(block,), **options)
    apart = -0.5 * 0.22 * 0.24
    block = ([2, 3], [[0.0484, apart], [apart, 0.0576]])
    options |= {"better": "higher", "arms": vigour.arms}
    found["vigour"] = bm.Effects(vigour.study, vigour.y, vigour.se, blocks=(block,), **options)
    return found


@pytest.mark.parametrize(
    ("effects", "model", "message"),
    [
        (undirected(), made_of(0.5), r'attachment: a joint model needs the direction of benefit. State better = "hi'),
        (unlinked(), made_of(0.5), "no trial reports two of depth, attachment: nothing links them"),
        ({"depth": gums()["depth"]}, made_of(0.5), r"outcomes of the effects \(depth\) and of the model .* differ"),
        (contradicting(), JointModel({"fatigue": MODEL, "vigour": MODEL}, 0.9), "T: the covariance of its rows is not"),
        (
            gums(),
            JointModel({"depth": MODEL, "attachment": dataclasses.replace(MODEL, rho=0.2)}),
            "outcomes of one joint model have one rho",
        ),
    ],
)
def test_refusals_of_data(effects: dict[str, bm.Effects], model: JointModel, message: str) -> None:
    with pytest.raises(bm.ModelError, match=message):
        fit_joint(effects, model, settings=SETTINGS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outcomes": {"a": MODEL}}, "at least two outcomes"),
        ({"outcomes": dict.fromkeys("ab", MODEL), "correlation": 1.0}, "correlation = 1.0 is not between -1 and 1"),
        ({"outcomes": dict.fromkeys("ab", MODEL), "eta": 0.0}, "eta = 0.0 is not a positive number"),
        ({"outcomes": {"a": MODEL, "b": bm.Model(bm.Normal(0, 1), None)}}, "b: a joint model takes a mean and a"),
        (
            {"outcomes": {"a": MODEL, "b": bm.Model(bm.Normal(0, 1), bm.HalfNormal(1), {"x": bm.Normal(0, 1)})}},
            "nothing else",
        ),
    ],
)
def test_refusals_of_models(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(bm.ModelError, match=message):
        JointModel(**arguments)


def test_refusals_of_tables() -> None:
    joint = fitted(0.5)
    with pytest.raises(bm.ModelError, match=r"no threshold for attachment\. Give one"):
        at_least_table(joint, {"depth": THRESHOLDS["depth"]})
    ranged = dataclasses.replace(THRESHOLDS["depth"], benefit=(0.1, 0.3), benefit_distance=(0.1, 0.3))
    with pytest.raises(bm.ModelError, match="numbers, not ranges or distributions"):
        without_harm_table(joint, {**THRESHOLDS, "depth": ranged})
    with pytest.raises(bm.ModelError, match="level = 95 is not between 0 and 1"):
        correlation_table(joint, level=95)
    with pytest.raises(bm.ModelError, match=r"ends in .nc"):
        joint.save("joint.txt")
