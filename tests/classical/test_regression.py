"""Meta-regression against R metafor 5.1.12 (`metareg` of tests/reference/*.json) and closed forms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesmeta.classical import TAU2_METHODS, MetaRegression, metaregression, pool, q_profile
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

# metafor iterated tau2 to 1e-12; the coefficients of uncentred years (1948 to 1980) lose three digits to cancellation
ITERATED = 1e-6
# R2 = 0 and p values near rounding
FLOOR = 1e-9
# published with six decimals by programs that stop iterating at about 1e-5 in tau2
DEFAULT_THRESHOLD = 5e-6
# two ways round the same sum
ROUNDING = 1e-9

REFERENCE = Path(__file__).parents[1] / "reference"
SETS = {
    path.stem: content
    for path in sorted(REFERENCE.glob("*.json"))
    if "yi" in (content := json.loads(path.read_text(encoding="utf-8")))
}
CASES = [
    (name, moderator, key)
    for name, content in SETS.items()
    for moderator, found in (content.get("metareg") or {}).items()
    for key in ("REML", "REML_knha")
    if key in found
]
# Regressions compared with metafor as of the first version of this file: 11 moderators, with and without Knapp-Hartung.
MINIMUM_CASES = 22


def effects_of(name: str, moderator: str) -> Effects:
    content = SETS[name]
    values = content["metareg"][moderator]["values"]
    return Effects(
        [f"trial {i}" for i in range(content["k"])],
        content["yi"],
        np.sqrt(content["vi"]),
        measure="generic",
        moderators={moderator: values},
    )


def fit_case(name: str, moderator: str, key: str) -> MetaRegression:
    # crins_or was made with "yes" as the reference of `randomized`, all others with the first level
    reference = {"randomized": "yes"} if moderator == "randomized" else None
    ci = "hksj" if key == "REML_knha" else "wald"
    return metaregression(effects_of(name, moderator), [moderator], ci=ci, reference=reference)


def test_grid_does_not_shrink():
    assert len(CASES) >= MINIMUM_CASES


@pytest.mark.parametrize(("name", "moderator", "key"), CASES)
def test_metafor(name, moderator, key):
    found = fit_case(name, moderator, key)
    case = SETS[name]["metareg"][moderator]
    reference = case[key]
    assert found.terms == tuple(case["terms"])
    for ours, theirs in (
        ("estimate", "estimate"),
        ("se", "se"),
        ("stat", "stat"),
        ("p", "pval"),
        ("lower", "ci_low"),
        ("upper", "ci_high"),
    ):
        assert getattr(found, ours) == pytest.approx(np.array(reference[theirs]), rel=ITERATED, abs=FLOOR), ours
    for ours, theirs in (
        ("tau2", "tau2"),
        ("se_tau2", "se_tau2"),
        ("i2_tau2", "I2"),
        ("h2", "H2"),
        ("r2", "R2"),
        ("qe", "Q"),
        ("qe_p", "Q_p"),
        ("qm", "QM"),
        ("qm_p", "QM_p"),
        ("loglik", "loglik"),
    ):
        assert getattr(found, ours) == pytest.approx(reference[theirs], rel=ITERATED, abs=FLOOR), ours
    assert list(found.qm_df) == reference["QM_df"]


def test_published_regressions():
    """published.md 6.1 (BCG on centred latitude) and 6.6 (the PyMARE README's example)."""
    effects = effects_of("bcg_rr", "ablat")
    found = metaregression(effects, X=np.column_stack([np.ones(13), effects.moderators["ablat"] - 33]), ci="hksj")
    assert (found.estimate[0], found.se[0]) == pytest.approx((-0.708891, 0.122217), abs=DEFAULT_THRESHOLD)
    assert found.r2 == pytest.approx(75.6266, rel=DEFAULT_THRESHOLD)
    y, v = [-1, 0.5, 0.5, 0.5, 1, 1, 2, 10], [1, 1, 2.4, 0.5, 1, 1, 1.2, 1.5]
    toy = Effects(list("ABCDEFGH"), y, np.sqrt(v), measure="generic", moderators={"x": [1, 1, 2, 2, 4, 4, 2.8, 2.8]})
    found = metaregression(toy, ["x"])
    assert found.estimate == pytest.approx(np.array([-0.106579, 0.769961]), abs=DEFAULT_THRESHOLD)
    assert found.se == pytest.approx(np.array([2.993715, 1.113344]), abs=DEFAULT_THRESHOLD)


def test_centring_moves_the_intercept_only():
    effects = effects_of("bcg_rr", "year")
    raw, centred = metaregression(effects, ["year"]), metaregression(effects, ["year"], centre=True)
    mean = float(np.mean(SETS["bcg_rr"]["metareg"]["year"]["values"]))
    assert centred.centre == {"year": pytest.approx(mean)}
    assert centred.tau2 == pytest.approx(raw.tau2, rel=ROUNDING)
    assert centred.estimate[1] == pytest.approx(raw.estimate[1], rel=ROUNDING)
    assert centred.estimate[0] == pytest.approx(raw.estimate[0] + mean * raw.estimate[1], rel=ROUNDING)


@pytest.mark.parametrize("method", TAU2_METHODS)
def test_intercept_alone_is_pooling(method):
    """Definition: a design of ones is the pooled model."""
    effects = effects_of("gibson_smd", "type")
    for ci in ("wald", "t", "hksj", "hksj_adhoc"):
        regression = metaregression(effects, X=np.ones((effects.k, 1)), method=method, ci=ci)
        pooled = pool(effects, method=method, ci=ci)
        assert regression.tau2 == pytest.approx(pooled.tau2, rel=ROUNDING)
        for name in ("estimate", "se", "lower", "upper", "p"):
            assert getattr(regression, name)[0] == pytest.approx(getattr(pooled, name), rel=ROUNDING)
        assert (regression.qm, regression.r2) == (None, None)
        assert regression.loglik == pytest.approx(pooled.loglik, rel=ROUNDING)


@pytest.mark.parametrize("method", ["DL", "HE", "HS", "SJ", "PM", "EB"])
def test_moment_estimators_by_their_definition(method):
    """rma.uni's formulas with dense matrices, written out (Viechtbauer 2010)."""
    content = SETS["bcg_rr"]
    y, v = np.array(content["yi"]), np.array(content["vi"])
    X = np.column_stack([np.ones(13), content["metareg"]["ablat"]["values"]])
    k, p = X.shape

    def projection(w):
        W = np.diag(w)
        return W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)

    found = metaregression(effects_of("bcg_rr", "ablat"), ["ablat"], method=method)
    P = projection(1 / v)
    if method == "DL":
        expected = (y @ P @ y - (k - p)) / np.trace(P)
    elif method == "HS":
        expected = (y @ P @ y - k) / np.sum(1 / v)
    elif method == "HE":
        M = projection(np.ones(k))
        expected = (y @ M @ y - np.trace(M * v)) / (k - p)
    elif method == "SJ":
        start = np.mean((y - y.mean()) ** 2)
        expected = start * (y @ projection(1 / (v + start)) @ y) / (k - p)
        pv = projection(1 / (v + start)) * v
        traces = np.sum(pv * pv.T) + 2 * expected * np.sum(pv * projection(1 / (v + start)).T)
        traces += expected**2 * np.sum(projection(1 / (v + start)) ** 2)
        assert found.se_tau2 == pytest.approx(start / (k - p) * np.sqrt(2 * traces), rel=ROUNDING)
    else:
        residual = y @ projection(1 / (v + found.tau2)) @ y
        assert residual == pytest.approx(k - p, rel=ROUNDING)
        return
    assert found.tau2 == pytest.approx(expected, rel=ROUNDING)


def test_common_effect_r2():
    """metafor's EE: adjusted R2 of the weighted regression, here by its definition from residual sums."""
    effects = effects_of("bcg_rr", "ablat")
    found = metaregression(effects, ["ablat"], method="EE")
    w, y, x = effects.se**-2, effects.y, effects.moderators["ablat"]
    total = w @ (y - (w @ y) / w.sum()) ** 2
    slope, level = np.polyfit(x, y, 1, w=np.sqrt(w))
    rest = w @ (y - level - slope * x) ** 2
    assert found.r2 == pytest.approx(100 * (1 - rest / total * 12 / 11), rel=ROUNDING)
    assert (found.tau2, found.i2_tau2) == (0.0, 0.0)


def test_interactions_and_reference():
    rng = np.random.default_rng(3)
    k = 24
    weeks, timing = rng.uniform(4, 26, k), rng.choice(["after", "during"], k)
    effects = Effects(
        [f"trial {i}" for i in range(k)],
        rng.normal(0.3, 0.4, k),
        rng.uniform(0.1, 0.4, k),
        measure="SMD",
        moderators={"weeks": weeks, "timing": timing},
    )
    found = metaregression(effects, ["weeks", "timing", "weeks:timing"])
    assert found.terms == ("intercept", "weeks", "timing[during]", "weeks:timing[during]")
    other = metaregression(effects, ["weeks", "timing", "weeks:timing"], reference={"timing": "during"})
    # the other coding is a linear change of the same model
    assert other.tau2 == pytest.approx(found.tau2, rel=ROUNDING)
    assert other.loglik == pytest.approx(found.loglik, rel=ROUNDING)
    assert other.estimate[1] == pytest.approx(found.estimate[1] + found.estimate[3], rel=1e-7)
    assert other.qm == pytest.approx(found.qm, rel=1e-7)


def test_regression_does_not_depend_on_units():
    effects = effects_of("bcg_rr", "ablat")
    x = effects.moderators["ablat"]
    one = metaregression(effects, X=np.column_stack([np.ones(13), x]))
    scaled = Effects(effects.study, 1e6 * effects.y, 1e6 * effects.se, measure="generic")
    other = metaregression(scaled, X=np.column_stack([np.ones(13), 1e-9 * x]))
    assert other.tau2 == pytest.approx(1e12 * one.tau2, rel=ROUNDING)
    assert other.estimate[1] == pytest.approx(1e15 * one.estimate[1], rel=ROUNDING)
    assert (other.qm, other.r2) == pytest.approx((one.qm, one.r2), rel=ROUNDING)


def test_q_profile_solves_its_equation():
    """Viechtbauer 2007: y'P(tau2)y at the limits is the chi2 quantile; chi2(11) from R 4.2.2 qchisq."""
    content = SETS["bcg_rr"]
    y, v = np.array(content["yi"]), np.array(content["vi"])
    X = np.column_stack([np.ones(13), content["metareg"]["ablat"]["values"]])
    lower, upper = q_profile(y, np.sqrt(v), X).tau2

    def q(tau2):
        W = np.diag(1 / (v + tau2))
        return y @ (W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)) @ y

    assert q(lower) == pytest.approx(21.9200492610212, rel=ROUNDING)
    assert q(upper) == pytest.approx(3.81574825223611, rel=ROUNDING)


def test_frame_names_terms():
    effects = effects_of("bcg_rr", "ablat")
    frame = pd.DataFrame({"base": 1.0, "latitude": effects.moderators["ablat"]})
    assert metaregression(effects, X=frame).terms == ("base", "latitude")


def mixed(**moderators) -> Effects:
    return Effects(list("ABCDEF"), [0.1, 0.3, 0.2, 0.6, 0.4, 0.5], [0.1] * 6, measure="SMD", moderators=moderators)


@pytest.mark.parametrize(
    ("moderators", "names", "options", "message"),
    [
        ({"x": [1.0, 2, 3, 4, 5, 6], "z": [2.0, 4, 6, 8, 10, 12]}, ["x", "z"], {}, r"rank 2 with k = 6 .*: z"),
        ({"x": [1.0, 2, 3, 4, 5, np.nan]}, ["x"], {}, "missing or not finite in rows 6"),
        ({"g": ["a", "b", "", "a", "b", "a"]}, ["g"], {}, "in rows 3"),
        ({"g": ["a"] * 6}, ["g"], {}, "one level, 'a'"),
        ({"g": ["a", "b"] * 3}, ["h"], {}, "no moderator 'h' of these data. Allowed: g"),
        ({"g": ["a", "b"] * 3}, ["g"], {"reference": {"g": "c"}}, "Its levels: a, b"),
        ({"x": [1.0, 2, 3, 4, 5, 6], "g": ["a", "b"] * 3}, ["x", "x:g"], {}, "name 'g' before it"),
        ({"g": list("abcdef")}, ["g"], {}, "k = 6 estimates for 6 coefficients"),
    ],
)
def test_designs_that_are_refused(moderators, names, options, message):
    with pytest.raises(ModelError, match=message):
        metaregression(mixed(**moderators), names, **options)


def test_one_of_two_ways_to_say_the_design():
    with pytest.raises(ModelError, match="not both and not neither"):
        metaregression(mixed(x=[1.0, 2, 3, 4, 5, 6]))
