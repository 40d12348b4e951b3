"""Risk of bias: restricted and bias-adjusted analyses.

Oracles: dense multivariate normal likelihoods of the stated model on a grid of tau, in which every bias is a
coefficient with its prior and none is integrated out; closed forms of a common effect.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

import bayesmeta as bm
from bayesmeta.model import effect_correlations
from bayesmeta.plan import BiasSize, RiskOfBias
from bayesmeta.records import output_schema, sensitivity_record
from bayesmeta.sensitivity import bias_adjusted_effects, read_section, risk_of_bias_table, sensitivity_analyses

# the oracle's own grid of tau is good to 1e-7 at the ends of the half-normal, the engine's rules to 3e-8
ORACLE = 2e-6
# the same number by another order of operations
SAME = 1e-12
# a crossing is followed to 1e-7 in probability
TIP = 2e-7

Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15])
HIGH = np.array([True, True, False, True, False])
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), rho=0.5)
SIZE = BiasSize(0.15, 0.3)


def effects(kind: str = "plain", better: str | None = "lower", **options: Any) -> bm.Effects:
    """Five rows, 1 and 3 of trial b: in no block, in one (a shared control), or beside a block of other trials."""
    study = ["a", "b", "c", "b", "d"]
    blocks: list[tuple[Any, Any]] = []
    arms = None
    if kind == "three arms":
        blocks, arms = (
            [([1, 3], [[0.04, 0.02], [0.02, 0.16]])],
            [("x", "0"), ("x", "0"), ("x", "0"), ("y", "0"), ("x", "0")],
        )
    if kind == "two pairs":
        # arms of b are all different: no true effects are linked there, and its rows share no patients
        arms = [("x", "0"), ("x", "0"), ("x", "0"), ("y", "1"), ("x", "0")]
        blocks = [([0, 4], [[0.09, 0.01], [0.01, 0.0225]])]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        return bm.Effects(study, Y, SE, measure="SMD", better=better, blocks=blocks, arms=arms, **options)


def dense(data: bm.Effects, rho: float = 0.5) -> tuple[NDArray[Any], NDArray[Any]]:
    """S and R of the effects as they were before any bias."""
    S, R = data.covariance(), np.eye(data.k)
    for (rows, _), part in zip(data.blocks, effect_correlations(data, rho), strict=True):
        R[np.ix_(rows, rows)] = part
    return S, R


def posterior(
    y: NDArray[Any], S: NDArray[Any], R: NDArray[Any], x: float, columns: NDArray[Any], prior: NDArray[Any]
) -> tuple[float, float, float]:
    """Mean, SD and P(mu < x) of the first coefficient of ``y = columns beta + error``, on a grid of tau.

    ``prior`` holds means and SDs of the coefficients. Gauss-Legendre over tau in (0, 5 prior scales) in pieces.
    """
    nodes, weights = np.polynomial.legendre.leggauss(160)
    tau, w = 1.5 * (nodes + 1), 1.5 * weights
    mean0, P0 = prior[:, 0], np.diag(1 / prior[:, 1] ** 2)
    logs, means, sds = [], [], []
    for t in tau:
        V = S + t * t * R
        marginal = V + columns @ np.diag(prior[:, 1] ** 2) @ columns.T
        logs.append(
            stats.multivariate_normal.logpdf(y, columns @ mean0, marginal) + stats.halfnorm.logpdf(t, scale=0.5)
        )
        P = P0 + columns.T @ np.linalg.solve(V, columns)
        means.append(np.linalg.solve(P, P0 @ mean0 + columns.T @ np.linalg.solve(V, y))[0])
        sds.append(math.sqrt(np.linalg.inv(P)[0, 0]))
    p = np.exp(np.array(logs) - max(logs)) * w
    p /= p.sum()
    m, s = np.array(means), np.array(sds)
    mean = float(p @ m)
    return mean, math.sqrt(float(p @ (s**2 + m**2)) - mean**2), float(p @ stats.norm.cdf((x - m) / s))


@pytest.mark.parametrize("form", ["trial", "common"])
@pytest.mark.parametrize("kind", ["plain", "three arms", "two pairs"])
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_adjusted_posterior_is_that_of_biases_as_coefficients(kind: str, form: str, better: str) -> None:
    """The oracle never integrates a bias out: each is a coefficient with its prior, in dense matrices."""
    data = effects(kind, better)
    size = dataclasses.replace(SIZE, form=form)
    fit = bm.fit(bias_adjusted_effects(data, HIGH, size), MODEL)
    S, R = dense(data)
    sign = 1 if better == "higher" else -1
    trials = [[0], [1, 3]] if form == "trial" else [[0, 1, 3]]
    columns = np.zeros((5, 1 + len(trials)))
    columns[:, 0] = 1
    for place, rows in enumerate(trials, 1):
        columns[rows, place] = sign
    prior = np.array([[0.0, 1.0], *[[size.mean, size.sd]] * len(trials)])
    mean, sd, below = posterior(Y, S, R, -0.2, columns, prior)
    found = bm.summarize(fit).loc["mu"]
    assert found["mean"] == pytest.approx(mean, abs=ORACLE)
    assert found["sd"] == pytest.approx(sd, abs=ORACLE)
    assert bm.probability(fit, "mu", below=-0.2) == pytest.approx(below, abs=ORACLE)


@pytest.mark.parametrize("kind", ["plain", "three arms", "two pairs"])
def test_covariance_and_links(kind: str) -> None:
    data = effects(kind)
    S, R = dense(data)
    h = HIGH.astype(float)
    study = np.array(data.study)
    for form, same in (("trial", study[:, None] == study), ("common", np.ones((5, 5)))):
        made = bias_adjusted_effects(data, HIGH, BiasSize(0.15, 0.3, form))
        # lower is better: a bias towards benefit made the estimates too low
        np.testing.assert_allclose(made.y, Y + 0.15 * h, rtol=SAME)
        np.testing.assert_allclose(made.covariance(), S + 0.09 * np.outer(h, h) * same, rtol=SAME)
        # rows that come to share a bias do not come to share true effects
        np.testing.assert_allclose(dense(made)[1], R, atol=SAME)
        assert made.label == data.label
        # what is left when rows leave is what was there of them
        kept = made.subset([0, 1, 2, 3])
        np.testing.assert_allclose(dense(kept)[1], R[:4, :4], atol=SAME)


def test_clusters_have_a_bias_of_each_trial() -> None:
    """Two standard deviations: the oracle is a grid over both, with the bias integrated out by hand."""
    study = ["a", "a", "b", "b", "c"]
    data = bm.Effects(study, Y, SE, measure="SMD", better="lower", cluster=study)
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfNormal(0.3))
    h = np.array([1.0, 1, 0, 1, 0])
    found = bm.summarize(bm.fit(bias_adjusted_effects(data, h, SIZE), model)).loc["mu", "mean"]
    same = (np.array(study)[:, None] == np.array(study)).astype(float)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    logs, means = [], []
    for t, a in zip(1.5 * (nodes + 1), weights, strict=True):
        for u, b in zip(1.5 * (nodes + 1), weights, strict=True):
            V = np.diag(SE**2) + t * t * same + u * u * np.eye(5) + SIZE.sd**2 * np.outer(h, h) * same
            y, w = Y + SIZE.mean * h, np.linalg.inv(V).sum(axis=0)
            means.append(w @ y / (1 + w.sum()))
            density = stats.multivariate_normal.logpdf(y, np.zeros(5), V + 1)
            logs.append(math.log(a * b) + density - t * t / (2 * 0.5**2) - u * u / (2 * 0.3**2))
    p = np.exp(np.array(logs) - max(logs))
    assert found == pytest.approx(p @ np.array(means) / p.sum(), abs=ORACLE)
    judged = pd.DataFrame({"overall": ["high", "high", "low", "high", "low"]})
    table = risk_of_bias_table(bm.fit(data, model), judged, 0.2, bias=dataclasses.replace(SIZE, form="common"))
    assert table[table["form"] == "common"]["note"].str.contains("one bias of all trials links clusters").all()
    assert table[table["form"] == "trial"]["mu"].notna().all()


def test_no_bias_is_no_change() -> None:
    data = effects("three arms")
    plain = bm.fit(data, MODEL)
    for size in (BiasSize(0.0, 0.0), BiasSize(0.0, 0.0, "common")):
        fit = bm.fit(bias_adjusted_effects(data, HIGH, size), MODEL)
        np.testing.assert_allclose(bm.summarize(fit)["mean"], bm.summarize(plain)["mean"], rtol=1e-9)
    nobody = bm.fit(bias_adjusted_effects(data, np.zeros(5, bool), SIZE), MODEL)
    np.testing.assert_allclose(bm.summarize(nobody)["mean"], bm.summarize(plain)["mean"], rtol=1e-9)


def test_closed_form_of_a_common_effect() -> None:
    """All rows biased alike and a common effect: the weighted mean, shifted by m, its variance larger by s^2."""
    data = bm.Effects(["A", "B", "C"], Y[:3], SE[:3], measure="MD", better="higher")
    fit = bm.fit(bias_adjusted_effects(data, [1, 1, 1], BiasSize(0.4, 0.2, "common")), bm.Model(bm.Flat(), None))
    w = 1 / SE[:3] ** 2
    mu = bm.summarize(fit).loc["mu"]
    assert mu["mean"] == pytest.approx(w @ Y[:3] / w.sum() - 0.4, abs=1e-10)
    assert mu["sd"] == pytest.approx(math.sqrt(1 / w.sum() + 0.04), abs=1e-10)
    # one bias of each trial: weights as if each variance were larger
    fit = bm.fit(bias_adjusted_effects(data, [1, 1, 1], BiasSize(0.4, 0.2)), bm.Model(bm.Flat(), None))
    w = 1 / (SE[:3] ** 2 + 0.04)
    mu = bm.summarize(fit).loc["mu"]
    assert mu["mean"] == pytest.approx(w @ Y[:3] / w.sum() - 0.4, abs=1e-10)
    assert mu["sd"] == pytest.approx(math.sqrt(1 / w.sum()), abs=1e-10)


def test_adjusted_effects_are_stored(tmp_path: Path) -> None:
    fit = bm.fit(bias_adjusted_effects(effects("two pairs"), HIGH, SIZE), MODEL)
    fit.save(tmp_path / "x.nc")
    again = bm.load(tmp_path / "x.nc")
    np.testing.assert_allclose(dense(again.effects)[1], dense(fit.effects)[1], atol=0)


def test_what_cannot_be_adjusted() -> None:
    with pytest.raises(bm.ModelError, match="needs a direction"):
        bias_adjusted_effects(effects(better=None), HIGH, SIZE)
    with pytest.raises(bm.ModelError, match="one truth value or number per row, of 5"):
        bias_adjusted_effects(effects(), HIGH[:3], SIZE)
    with pytest.raises(bm.ModelError, match="sd of 0 or more"):
        BiasSize(0.1, -0.1)
    with pytest.raises(bm.ModelError, match="trial, common"):
        BiasSize(0.1, 0.1, "all")  # type: ignore[arg-type]


JUDGED = pd.DataFrame({"overall": ["high", "high", "low", "high", "some concerns"]})


def test_the_table_refits(capsys: pytest.CaptureFixture[str]) -> None:
    data = effects("three arms")
    fit = bm.fit(data, MODEL)
    table = risk_of_bias_table(fit, JUDGED, 0.2, bias=SIZE, cut=0.5)
    assert table["kind"].tolist() == ["main", *["restricted"] * 2, *["adjusted"] * 8, *["tipping"] * 2]
    lines = table.set_index("analysis")
    rest = bm.summarize(bm.fit(data.subset(~HIGH), MODEL)).loc["mu", "median"]
    assert lines.loc["without those at high risk", "mu"] == pytest.approx(rest, abs=SAME)
    # one trial is at low risk: with one there is no restricted analysis
    assert lines.loc["low risk alone", "note"] == "1 trial left"
    assert table[table["stated"]]["form"].tolist() == ["trial"]
    for row in table[table["kind"] == "adjusted"].to_dict("records"):
        size = BiasSize(row["bias_mean"], row["bias_sd"], row["form"])
        again = bm.fit(bias_adjusted_effects(data, HIGH, size), MODEL)
        assert row["mu"] == pytest.approx(bm.summarize(again).loc["mu", "median"], abs=1e-9)
    assert sorted(set(table["bias_mean"].dropna()[:8])) == [0.0, 0.075, 0.15, 0.3]
    for row in table[table["kind"] == "tipping"].to_dict("records"):
        again = bm.fit(bias_adjusted_effects(data, HIGH, BiasSize(row["bias_mean"], 0.3)), MODEL)
        x = 0.0 if "any" in row["analysis"] else -0.2
        assert bm.probability(again, "mu", below=x) == pytest.approx(0.5, abs=TIP)
        # less bias leaves more benefit
        less = bm.fit(bias_adjusted_effects(data, HIGH, BiasSize(row["bias_mean"] - 0.1, 0.3)), MODEL)
        assert bm.probability(less, "mu", below=x) > 0.5


def test_a_cut_off_that_is_not_reached_yet_and_one_that_never_is() -> None:
    fit = bm.fit(effects(), MODEL)
    table = risk_of_bias_table(fit, JUDGED, 0.2, cut=0.97)
    tip = table[table["kind"] == "tipping"].iloc[-1]
    # the probability is below the cut-off, so that only a bias against benefit could raise it
    assert tip["bias_mean"] < 0
    assert tip["bias_sd"] == 0
    # two precise trials without bias decide alone
    firm = bm.Effects(["a", "b", "c"], [-0.5, -0.5, -0.4], [0.01, 0.01, 0.5], measure="SMD", better="lower")
    judged = pd.DataFrame({"overall": ["low", "low", "high"]})
    found = risk_of_bias_table(bm.fit(firm, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.01))), judged, 0.2)
    assert found["note"].iloc[-1].startswith("it stays above the cut-off")
    said = read_section("risk-of-bias", found, bm.fit(firm, MODEL), threshold=0.2).verdict
    assert "stays above the cut-off" in said


def test_the_section_its_verdict_and_its_record() -> None:
    import jsonschema

    data = effects("three arms")
    decision = bm.fit(data, MODEL).outcome
    assert decision is None
    fit = bm.fit(data, MODEL)
    found = sensitivity_analyses(fit, ["risk-of-bias"], threshold=0.2, risk_of_bias=JUDGED, cut=0.5)
    table = found.tables["risk-of-bias"]
    read = read_section("risk-of-bias", table, fit, threshold=0.2)
    # no size of a bias is stated, and none is invented
    assert "adjusted" not in table["kind"].tolist()
    tip = float(table["bias_mean"].iloc[-1])
    assert f"P(important benefit) falls to 50 % at a mean bias of m = {tip:.2g} with s = 0." in read.verdict
    record = sensitivity_record(fit, "x", found)
    jsonschema.validate(record, output_schema("sensitivity"), cls=jsonschema.Draft202012Validator)
    without = sensitivity_analyses(fit, ["risk-of-bias"])
    assert "no judgements of risk of bias" in without.not_done["risk-of-bias"]
    empty = sensitivity_analyses(fit, ["risk-of-bias"], risk_of_bias=pd.DataFrame({"overall": [""] * 5}))
    assert "no trial has an overall judgement" in empty.not_done["risk-of-bias"]
    other = sensitivity_analyses(fit, ["risk-of-bias"], risk_of_bias=JUDGED[:3])
    assert "judgements of 3 rows, and the analysis has 5" in other.not_done["risk-of-bias"]
    calm = sensitivity_analyses(fit, ["risk-of-bias"], risk_of_bias=pd.DataFrame({"overall": ["low"] * 5}))
    assert read_section("risk-of-bias", calm.tables["risk-of-bias"], fit).verdict == "No trial is at high risk of bias."


def lines(*rows: tuple[Any, ...]) -> pd.DataFrame:
    names = ["kind", "stated", "mu", "lower", "upper", "bias_mean"]
    table = pd.DataFrame(rows, columns=names).assign(analysis="P(important benefit) = 80 %", bias_sd=0.1, note="")
    return table


def test_verdicts_of_evident_tables() -> None:
    fit = bm.fit(effects(), MODEL)
    main = ("main", False, -0.4, -0.6, -0.2, math.nan)
    same, other = ("restricted", False, -0.5, -0.7, -0.1, math.nan), ("restricted", False, -0.2, -0.6, 0.2, math.nan)
    stated, grid = ("adjusted", True, -0.1, -0.4, 0.2, 0.1), ("adjusted", False, 0.4, 0.2, 0.6, 0.9)
    tip = ("tipping", False, -0.2, -0.4, 0.0, 0.25)
    section = read_section("risk-of-bias", lines(main, same, grid, tip), fit).verdict
    assert section.startswith(
        "The answer does not rest on trials at risk of bias: without them the mean (SMD) is -0.500"
    )
    assert section.endswith("P(important benefit) falls to 80 % at a mean bias of m = 0.25 with s = 0.1.")
    section = read_section("risk-of-bias", lines(main, other, stated), fit).verdict
    assert section.startswith("It rests on trials at risk: with all trials the interval shows a benefit (")
    assert "The stated bias changes the conclusion: with all trials" in section
    raised = ("tipping", False, -0.2, -0.4, 0.0, -0.25)
    assert "rises to 80 % at a mean bias of m = -0.25" in read_section("risk-of-bias", lines(main, raised), fit).verdict


def test_a_ratio_says_its_bias_as_a_ratio() -> None:
    data = bm.Effects(["a", "b", "c"], [-0.5, -0.4, -0.3], [0.2, 0.2, 0.2], measure="RR", better="lower")
    table = lines(("main", False, -0.4, -0.6, -0.2, math.nan), ("tipping", False, -0.2, -0.4, 0.0, 0.25))
    said = read_section("risk-of-bias", table, bm.fit(data, MODEL)).verdict
    assert f"m = 0.25 (log scale: a ratio of {math.exp(-0.25):.2g})" in said


def test_a_protocol_states_it(tmp_path: Path) -> None:
    """Judgements in columns: read, restricted, adjusted, supported; other columns as they were."""
    (tmp_path / "trials.csv").write_text(
        "study,estimate,se,rob,d1\n"
        "A,-0.5,0.1,High risk,+\nB,-0.4,0.2,low,?\nC,-0.3,0.2,Some concerns,\u2212\nD,-0.2,0.2,+,\n"
    )
    text = """schema = 2
title = "t"
[data]
path = "trials.csv"
[defaults]
measure = "SMD"
better = "lower"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
thresholds = [{ name = "important", benefit = 0.2, worse = 0.2, source = "s", kind = "panel" }]
[defaults.risk_of_bias]
tool = "RoB 2"
overall = "rob"
domains = { "Randomisation process" = "d1" }
bias = { mean = 0.1, sd = 0.1, source = "elicited" }
[outcome.pain]
label = "Pain"
"""
    path = tmp_path / "p.toml"
    path.write_text(text)
    analysis = bm.analyse(bm.read_protocol(path), "pain")
    frame = analysis.risk_of_bias
    assert frame is not None
    assert list(frame.columns) == ["Randomisation process", "overall"]
    assert frame.index.tolist() == list(analysis.effects.label)
    assert frame["overall"].tolist() == ["high", "low", "some concerns", "low"]
    assert frame["Randomisation process"].tolist() == ["low", "some concerns", "high", ""]
    table = analysis.sensitivity(["risk-of-bias"]).tables["risk-of-bias"]
    assert table[table["stated"]][["bias_mean", "bias_sd"]].to_numpy().tolist() == [[0.1, 0.1]]
    assert table["k"].tolist()[:3] == [4, 3, 2]
    support, _ = analysis.grade
    assert support is not None
    items = support[support["domain"] == "risk of bias"].set_index("item")
    assert items.loc["weight of trials at high risk", "value"].startswith(
        "57 % of the weight, 1 of 4 rows; 0 not judged"
    )
    assert "mean adjusted for the stated bias" in items.index
    assert "mean bias that changes the conclusion" in items.index
    assert analysis.pooled.outcome is not None
    assert analysis.pooled.outcome.selection.risk_of_bias == RiskOfBias(
        "RoB 2", "rob", {"Randomisation process": "d1"}, ("high",), BiasSize(0.1, 0.1, "trial", "elicited")
    )
    analysis.pooled.save(tmp_path / "x.nc")
    assert bm.load(tmp_path / "x.nc").outcome == analysis.pooled.outcome

    path.write_text(text.replace('tool = "RoB 2"', 'tool = "ROBINS-I"\nhigh = ["high"]'))
    with pytest.raises(bm.ProtocolError, match="'high' is not a judgement of ROBINS-I"):
        bm.read_protocol(path)
    path.write_text(text.replace('better = "lower"\n', ""))
    with pytest.raises(bm.ProtocolError, match="positive towards benefit"):
        bm.read_protocol(path)


def test_faults_of_judgements_come_together(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text("study,estimate,se,rob,d1\nA,-0.5,0.1,dubious,+\nB,-0.4,0.2,low,bad\n")
    text = (
        'schema = 2\ntitle = "t"\n[data]\npath = "trials.csv"\n[outcome.pain]\nlabel = "Pain"\nmeasure = "SMD"\n'
        'better = "lower"\npriors.mu = "normal(0, 1)"\npriors.tau = "halfnormal(0.5)"\n'
        'risk_of_bias = { overall = "rob", domains = { D1 = "d1", D2 = "d2" } }\n'
    )
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(bm.DataError) as caught:
        bm.read_effects(path, "pain")
    said = str(caught.value)
    assert "row 2, column rob: 'dubious' is not a judgement of RoB 2" in said
    assert "row 3, column d1: 'bad' is not a judgement of RoB 2" in said
    assert "there is no column 'd2'" in said
    assert "low, some concerns, high" in said
