"""True effects of rows of one trial: signs by the roles of arms, in every engine and the classical estimators.

Authorities: metafor 3.8-1 with the correlation of arms as a known matrix (opposite_roles_metafor.R); closed forms; a
dense grid over tau with matrices made here from arms (Higgins and Whitehead 1996), which share no code with the engine.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.classical import estimate_tau2, influence_table, metaregression, pool, rows_of
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.exact import predict_rows
from bayesmeta.fits import exactly
from bayesmeta.joint import stack
from bayesmeta.model import effect_correlations
from bayesmeta.nuts import build_rows
from bayesmeta.studies import effect_sizes

FOLDER = Path(__file__).parents[1] / "reference"
REFERENCE = json.loads((FOLDER / "opposite_roles_metafor.json").read_text(encoding="utf-8"))
# both solve one equation to rounding, by other routes
SOLVED = 1e-8
# where rma.mv's own optimiser stops
OPTIMISER = 1e-4
# 300 Gauss-Legendre nodes on ten prior scales, and the engine's own 1e-8
GRID = 1e-7
# an interval between two such prior values holds tau at 1 to this precision
FIXED = 1e-4
CLOSED = 1e-12


def frame() -> pd.DataFrame:
    return pd.DataFrame(REFERENCE["rows"])


def effects_of_reference() -> Effects:
    return effect_sizes(frame(), "MD", better="higher", comparators="mixed")


def dense(rho: float) -> np.ndarray:
    R = 2 * rho * np.array(REFERENCE["half"])
    np.fill_diagonal(R, 1.0)
    return R


def contrasts() -> np.ndarray:
    control = frame()["arm_c"]
    return np.column_stack([np.ones(len(control)), control == "z", control == "x"]).astype(float)


def test_rows_have_the_covariances_and_signs_of_their_arms():
    effects = effects_of_reference()
    assert np.allclose(effects.y, REFERENCE["y"], rtol=0, atol=CLOSED)
    assert np.allclose(effects.covariance(), REFERENCE["S"], rtol=CLOSED, atol=CLOSED)
    R = np.eye(effects.k)
    for (rows, _), block in zip(effects.blocks, effect_correlations(effects, 0.3), strict=True):
        R[np.ix_(rows, rows)] = block
    assert np.allclose(R, dense(0.3), rtol=0, atol=CLOSED)


@pytest.mark.parametrize("case", REFERENCE["fits"], ids=lambda case: f"rho {case['rho']}, p {case['p']}")
def test_reml_is_metafors(case):
    effects = effects_of_reference()
    if case["p"] == 1:
        found = pool(effects, method="REML", rho=case["rho"])
        estimate, se, tau2 = [found.estimate], [found.se], found.tau2
        assert found.loglik == pytest.approx(case["loglik"], rel=SOLVED)
    else:
        regression = metaregression(effects, X=contrasts(), method="REML", rho=case["rho"])
        estimate, se, tau2 = regression.estimate, regression.se, regression.tau2
    assert tau2 == pytest.approx(case["tau2"], rel=SOLVED)
    assert tau2 == pytest.approx(case["tau2_rma_mv"], rel=OPTIMISER)
    assert estimate == pytest.approx(np.ravel(case["estimate"]), rel=SOLVED)
    assert se == pytest.approx(np.ravel(case["se"]), rel=SOLVED)


def test_he_and_subsets_use_the_same_matrix():
    effects, R = effects_of_reference(), dense(0.4)
    S, y, k = np.array(REFERENCE["S"]), np.array(REFERENCE["y"]), effects.k
    M = np.eye(k) - 1 / k
    closed = (y @ M @ y - np.trace(M @ S)) / np.trace(M @ R)
    assert pool(effects, method="HE", rho=0.4).tau2 == pytest.approx(closed, rel=SOLVED)
    # leverage: diagonal of X (X'WX)^-1 X'W
    table = influence_table(effects, rho=0.4)
    W = np.linalg.inv(S + pool(effects, rho=0.4).tau2 * R)
    assert table["hat"].to_numpy() == pytest.approx(W.sum(axis=0) / W.sum(), rel=SOLVED)
    # arrays without arms keep rho
    blocks = effects.blocks
    plain = estimate_tau2(effects.y, effects.se, blocks=blocks, rho=0.4).value
    assert plain == pytest.approx(
        pool(Effects(effects.study, effects.y, effects.se, measure="MD", blocks=blocks), rho=0.4).tau2
    )
    with pytest.raises(ModelError, match="one correlation matrix"):
        rows_of(effects.y, effects.se, blocks=blocks, correlations=[np.eye(2)])


def pair(roles, *, se: float = 1e-6) -> Effects:
    S = np.eye(2) * se**2
    return Effects(["T", "T"], [0.3, 0.2], [se, se], measure="MD", arms=roles, blocks=[([0, 1], S)])


@pytest.mark.parametrize(
    ("roles", "sd"), [([("A", "C"), ("C", "B")], 0.5), ([("A", "C"), ("B", "C")], 0.75**0.5), (None, 0.75**0.5)]
)
def test_a_lone_pair_without_sampling_error(roles, sd):
    # var((theta_1 + theta_2) / 2) = (1 + r) / 2 with r = -1/2 and 1/2
    fit = bm.fit(pair(roles), bm.Model(bm.Flat(), bm.Uniform(1 - 1e-5, 1 + 1e-5)))
    assert bm.summarize(fit).loc["mu", "sd"] == pytest.approx(sd, rel=FIXED)


def grid(effects: Effects, X: np.ndarray, sds: list[float], scale: float, rho: float) -> dict[str, np.ndarray]:
    """Posterior by 300 values of tau and dense matrices: coefficients N(0, sds^2), tau half-normal."""
    S, R, y, k = np.array(REFERENCE["S"]), dense(rho), np.array(REFERENCE["y"]), effects.k
    node, length = np.polynomial.legendre.leggauss(300)
    tau, length = 5 * scale * (node + 1), 5 * scale * length
    prior = np.diag(np.square(sds))
    log, means, variances, theta = [], [], [], []
    for t in tau:
        V = S + t**2 * R
        whole = V + X @ prior @ X.T
        log.append(stats.multivariate_normal.logpdf(y, np.zeros(k), whole) + stats.halfnorm.logpdf(t, scale=scale))
        gain = prior @ X.T @ np.linalg.inv(whole)
        mean, covariance = gain @ y, prior - gain @ X @ prior
        means.append(mean)
        variances.append(np.diag(covariance))
        theta.append((X @ prior @ X.T + t**2 * R) @ np.linalg.solve(whole, y))
    weight = np.exp(np.array(log) - max(log)) * length
    total = weight.sum()
    w = weight / total
    mean = w @ np.array(means)
    sd = np.sqrt(w @ (np.array(variances) + np.square(means)) - mean**2)
    return {"mean": mean, "sd": sd, "evidence": np.log(total) + max(log), "theta": w @ np.array(theta), "tau": w @ tau}


@pytest.mark.parametrize("rho", [0.3, 0.5])
def test_the_exact_posterior_is_that_of_a_dense_grid(rho):
    effects = effects_of_reference()
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.8), rho=rho))
    expected = grid(effects, np.ones((effects.k, 1)), [2.0], 0.8, rho)
    table = bm.summarize(fit)
    assert table.loc["mu", "mean"] == pytest.approx(expected["mean"][0], rel=GRID)
    assert table.loc["mu", "sd"] == pytest.approx(expected["sd"][0], rel=GRID)
    assert table.loc["tau", "mean"] == pytest.approx(expected["tau"], rel=GRID)
    assert fit.log_evidence == pytest.approx(expected["evidence"], rel=GRID)
    found = [bm.marginal(fit, f"theta[{label}]").mean for label in effects.label]
    assert found == pytest.approx(expected["theta"], rel=GRID)


def test_a_trial_left_out_is_predicted_with_the_signs_of_its_arms():
    effects = effects_of_reference()
    out = np.array([study == "B" for study in effects.study])
    model = bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.8), rho=0.5)
    rest = bm.fit(effects.subset(~out), model)
    found, _ = predict_rows(exactly(rest, "the test").quadrature, effects.subset(out), np.ones((3, 1)), 0.5)
    whole = bm.fit(effects, model).log_evidence
    # p(left out | rest) = p(all) / p(rest)
    assert found == pytest.approx(whole - rest.log_evidence, abs=10 * GRID)


def test_the_sampling_engine_has_the_same_covariance():
    effects, tau = effects_of_reference(), 0.7
    h = build_rows(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.8), rho=0.4))
    back = h.unrotate(np.eye(effects.k))
    V = back @ np.diag(h.a + tau**2 * h.b) @ back.T
    assert np.allclose(V, np.array(REFERENCE["S"]) + tau**2 * dense(0.4), rtol=0, atol=1e-10)


def loop() -> Effects:
    # three comparisons of three arms at three times: their errors are not redundant
    arms = [("A", "C"), ("C", "B"), ("A", "B")]
    S = 0.01 * np.array([[1, -0.2, 0.2], [-0.2, 1, 0.2], [0.2, 0.2, 1]])
    return Effects(["T"] * 3, [0.1, 0.2, 0.3], [0.1] * 3, measure="MD", arms=arms, blocks=[([0, 1, 2], S)])


def test_a_loop_of_arms_has_rho_of_one_half_at_most():
    R = effect_correlations(loop(), 0.5)[0]
    assert np.allclose(R, [[1, -0.5, 0.5], [-0.5, 1, 0.5], [0.5, 0.5, 1]])
    for refused in (
        lambda: bm.fit(loop(), bm.Model(bm.Normal(0, 1), bm.HalfNormal(1), rho=0.6)),
        lambda: pool(loop(), rho=0.6),
        lambda: build_rows(loop(), bm.Model(bm.Normal(0, 1), bm.HalfNormal(1), rho=0.6)),
    ):
        with pytest.raises(ModelError, match=r"rho = 0.6.*T \(A v C\), T \(C v B\), T \(A v B\).*Use rho up to 0.5"):
            refused()


def test_rows_without_a_common_arm_are_linked_by_their_covariance_alone():
    def made(linked: float) -> Effects:
        S = 0.01 * np.array([[1, 0.3, linked], [0.3, 1, 0.3], [linked, 0.3, 1]])
        arms = [("A", "B"), ("C", "B"), ("C", "D")]
        return Effects(["T"] * 3, [0.1, 0.2, 0.3], [0.1] * 3, measure="MD", arms=arms, blocks=[([0, 1, 2], S)])

    assert effect_correlations(made(0.0), 0.5)[0][0, 2] == 0
    assert effect_correlations(made(0.1), 0.5)[0][0, 2] == 0.5


def test_what_has_no_place_for_opposite_roles_refuses_them():
    arms, counts = [("A", "C"), ("C", "B")], [[3, 30, 5, 30], [5, 30, 8, 30]]
    rows = Effects(
        ["T", "T"], [0.3, 0.2], [0.1, 0.1], measure="OR", arms=arms, counts=counts, better="lower", cluster=["T", "T"]
    )
    prior = bm.Normal(0, 1), bm.HalfNormal(1)
    for model in (
        bm.Model(*prior, likelihood="binomial", baseline=bm.Normal(0, 1.5)),
        bm.Model(*prior, cluster_tau=bm.HalfNormal(1)),
    ):
        with pytest.raises(
            ModelError, match="T, A v C and C v B: an arm is treated in one row and control in the other"
        ):
            build_rows(rows, model)
    with pytest.raises(ModelError, match="A v C and C v B"):
        bm.fit(rows, bm.Model(*prior, cluster_tau=bm.HalfNormal(1)), engine="exact")
    with pytest.raises(ModelError, match="A v C and C v B"):
        stack({"one": rows, "two": rows}, correlation=0.5)


def test_roles_parts_and_assumed_correlations_are_kept(tmp_path):
    table = pd.concat([frame(), frame().assign(study=lambda f: f["study"] + "2", time=2)])
    made = effect_sizes(
        table, "MD", better="higher", comparators="mixed", control={"B": "split"}, working_correlation=0.4
    )
    fit = bm.fit(made, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.8)))
    fit.save(tmp_path / "fit.nc")
    for same in (bm.load(tmp_path / "fit.nc").effects, made.subset(range(made.k))):
        assert same.split.tolist() == made.split.tolist()
        assert same.working[0] == 0.4
        pairs = zip(effect_correlations(same, 0.3), effect_correlations(made, 0.3), strict=True)
        assert all(np.array_equal(one, two) for one, two in pairs)


def test_the_likelihood_at_a_stated_tau2_is_that_of_the_dense_matrices():
    effects = effects_of_reference()
    found = pool(effects, method="ML", rho=0.5)
    V = np.array(REFERENCE["S"]) + found.tau2 * dense(0.5)
    expected = stats.multivariate_normal.logpdf(REFERENCE["y"], np.full(effects.k, found.estimate), V)
    assert found.loglik == pytest.approx(expected, rel=SOLVED)
