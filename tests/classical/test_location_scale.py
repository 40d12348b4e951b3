"""Location-scale models and variance inflation against R metafor 3.8.1 (tests/reference/location_scale_metafor.R)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.classical import CONFOUNDED, gvif, location_scale
from references import reference

REFERENCE = reference("location_scale_metafor")
TEXT = ("alloc", "random", "meta", "setting", "tester")
CASES = {
    ("bcg", "binary"): (["random"], ["random"]),
    ("bcg", "numeric"): (["latitude"], ["latitude"]),
    ("bcg", "crossed"): (["alloc", "latitude"], ["latitude"]),
    ("writing", "binary"): (["meta"], ["meta"]),
    ("writing", "numeric"): (["size"], ["size"]),
}


def effects(name: str, **options: Any) -> bm.Effects:
    data = REFERENCE[name]
    columns = {
        key: np.array(data[key], object if key in TEXT else float)
        for key in data
        if key in (*TEXT, "latitude", "year", "size", "weeks")
    }
    study = [f"trial {i}" for i in range(len(data["y"]))]
    return bm.Effects(study, data["y"], np.sqrt(data["v"]), measure="generic", moderators=columns, **options)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_location_scale_is_that_of_metafor(name: str, kind: str) -> None:
    known = REFERENCE[name][kind]
    found = location_scale(effects(name), *CASES[name, kind])
    # the likelihood is flat at its maximum: optim's BFGS ends where it no longer changes by 1e-15, relative
    assert found.loglik == pytest.approx(known["loglik"], abs=1e-9)
    np.testing.assert_allclose(found.scale, known["alpha"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.estimate, known["beta"], rtol=1e-4)
    np.testing.assert_allclose(found.se, known["se"], rtol=1e-4)
    np.testing.assert_allclose(found.tau2, known["tau2"], rtol=1e-4)
    # its Hessian is a numerical one
    np.testing.assert_allclose(found.scale_se, known["se_alpha"], rtol=1e-3)
    np.testing.assert_allclose(found.scale_p, known["p_alpha"], rtol=1e-3)
    assert found.lrt == pytest.approx(2 * (known["loglik"] - known["null_loglik"]), abs=1e-7)
    assert found.loglik >= known["loglik"] - 1e-12


def test_the_maximum_has_no_slope_and_the_tests_are_those_of_its_likelihood() -> None:
    """By differences of the restricted likelihood, written with dense matrices."""
    data = effects("writing")
    found = location_scale(data, ["meta"])
    X = np.column_stack([np.ones(data.k), data.moderators["meta"] == "yes"]).astype(float)

    def loglik(alpha: np.ndarray) -> float:
        V = np.diag(data.se**2 + np.exp(X @ alpha))
        W = np.linalg.inv(V)
        A = X.T @ W @ X
        r = data.y - X @ np.linalg.solve(A, X.T @ W @ data.y)
        logdets = [np.linalg.slogdet(M)[1] for M in (V, A, X.T @ X)]
        return -0.5 * ((data.k - 2) * math.log(2 * math.pi) + logdets[0] + logdets[1] - logdets[2] + r @ W @ r)

    assert found.loglik == pytest.approx(loglik(found.scale), abs=1e-10)
    step = 1e-4
    H = np.empty((2, 2))
    for i in range(2):
        e = step * np.eye(2)[i]
        # central differences: the error is of the order of step squared
        assert (loglik(found.scale + e) - loglik(found.scale - e)) / (2 * step) == pytest.approx(0, abs=1e-6)
        for j in range(2):
            d = step * np.eye(2)[j]
            H[i, j] = (
                loglik(found.scale + e + d)
                - loglik(found.scale + e - d)
                - loglik(found.scale - e + d)
                + loglik(found.scale - e - d)
            ) / (4 * step**2)
    np.testing.assert_allclose(found.scale_se, np.sqrt(np.diagonal(np.linalg.inv(-H))), rtol=1e-4)


def test_a_group_without_heterogeneity_has_tau2_zero_and_no_coefficient() -> None:
    """Six equal estimates and six scattered ones: the second group's tau2 is that of REML on it alone."""
    y = np.array([0.2] * 6 + [-1.0, 1.2, 0.1, -0.7, 0.9, 0.4])
    group = np.array(["a"] * 6 + ["b"] * 6, object)
    study = [f"trial {i}" for i in range(12)]
    data = bm.Effects(study, y, np.full(12, 0.2), measure="generic", moderators={"group": group})
    found = location_scale(data, ["group"])
    # equal standard errors: REML is the sample variance minus the sampling variance
    np.testing.assert_allclose(found.tau2, [0.0] * 6 + [np.var(y[6:], ddof=1) - 0.04] * 6, atol=1e-8)
    assert np.isnan(found.scale_se).all()
    assert "tau2 is 0 in 6 of 12 rows" in found.notes[0]


def test_location_scale_refuses_what_it_does_not_answer() -> None:
    block = ((np.array([0, 1]), np.array([[0.04, 0.01], [0.01, 0.04]])),)
    group = np.array(["a", "b", "a", "b", "a"], object)
    shared = bm.Effects(
        ["t", "t", "u", "v", "w"],
        [0.1] * 5,
        [0.2] * 5,
        measure="generic",
        label=list("abcde"),
        blocks=block,
        moderators={"group": group},
    )
    with pytest.raises(bm.ModelError, match="share patients"):
        location_scale(shared, ["group"])
    three = bm.Effects(list("abc"), [0.1, 0.2, 0.4], [0.2] * 3, measure="generic", moderators={"group": group[:3]})
    with pytest.raises(bm.ModelError, match="3 estimates are too few"):
        location_scale(three, ["group"])


@pytest.mark.parametrize(
    ("name", "moderators"), [("bcg", ["alloc", "latitude", "year"]), ("teachers", ["weeks", "setting", "tester"])]
)
def test_gvif_is_that_of_metafor(name: str, moderators: list[str]) -> None:
    known = REFERENCE[name]["gvif"]
    found = gvif(effects(name), moderators)
    # both are exact given tau2, which metafor has to 1e-13
    np.testing.assert_allclose(found["gvif"], known["gvif"], rtol=1e-8)
    # metafor's sif is the square root of the same for one coefficient, GVIF**(1 / (2 df))
    np.testing.assert_allclose(found["inflation"], known["sif"], rtol=1e-8)
    assert not found["confounded"].any()


def test_gvif_does_not_depend_on_the_reference_and_names_the_pair() -> None:
    """Closed form for two numbers: 1 / (1 - r^2), r weighted; a third, unrelated one is not named."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=30)
    z, other = x + 0.2 * rng.normal(size=30), rng.normal(size=30)
    level = np.where(other > 0, "p", "q").astype(object)
    study = [f"trial {i}" for i in range(30)]
    y, se = rng.normal(size=30), rng.uniform(0.1, 0.3, 30)
    columns = {"x": x, "z": z, "level": level}
    found = gvif(bm.Effects(study, y, se, measure="generic", moderators=columns), ["x", "level", "z"]).set_index(
        "moderator"
    )
    assert found["confounded"].to_dict() == {"x": True, "level": False, "z": True}
    assert found.loc["x", "with"] == "z"
    assert found.loc["z", "with"] == "x"
    assert pytest.approx(math.sqrt(5)) == CONFOUNDED
    X = np.column_stack([np.ones(30), x, level == "q", z]).astype(float)
    tau2 = bm.classical.estimate_tau2(y, se, X).value
    w = 1 / (se**2 + tau2)
    centred = np.column_stack([x, z]) - w @ np.column_stack([x, z]) / w.sum()
    S = centred.T @ (w[:, None] * centred)
    r2 = S[0, 1] ** 2 / (S[0, 0] * S[1, 1])
    assert found.loc["x", "pair_inflation"] == pytest.approx(math.sqrt(1 / (1 - r2)), rel=1e-9)
    swapped = {**columns, "level": np.where(level == "p", "z", "a").astype(object)}
    again = gvif(bm.Effects(study, y, se, measure="generic", moderators=swapped), ["x", "level", "z"])
    np.testing.assert_allclose(again["gvif"], found["gvif"], rtol=1e-9)


def test_gvif_with_rows_that_share_an_arm_weighs_by_their_whole_covariance() -> None:
    """Against the determinants of the dense covariance."""
    study = ["t", "t", "u", "v", "w", "x", "z"]
    se = np.array([0.2, 0.3, 0.2, 0.25, 0.15, 0.3, 0.2])
    blocks = ((np.array([0, 1]), np.array([[0.04, 0.03], [0.03, 0.09]])),)
    weeks, timing = np.array([4.0, 8, 6, 12, 10, 5, 9]), np.array(["d", "a", "a", "d", "d", "a", "d"], object)
    y = np.array([0.9, -0.3, 0.5, 0.1, -0.6, 0.8, 0.0])
    data = bm.Effects(
        study,
        y,
        se,
        measure="generic",
        label=list("abcdefg"),
        blocks=blocks,
        moderators={"weeks": weeks, "timing": timing},
    )
    X = np.column_stack([np.ones(7), weeks, timing == "d"]).astype(float)
    tau2 = bm.classical.estimate_tau2(y, se, X, blocks=blocks, rho=0.5).value
    R = np.eye(7)
    R[0, 1] = R[1, 0] = 0.5
    V = np.diag(se**2) + tau2 * R
    V[0, 1] += 0.03
    V[1, 0] += 0.03
    assert tau2 > 0
    cov = np.linalg.inv(X.T @ np.linalg.solve(V, X))[1:, 1:]
    r2 = cov[0, 1] ** 2 / (cov[0, 0] * cov[1, 1])
    np.testing.assert_allclose(gvif(data, ["weeks", "timing"])["gvif"], 1 / (1 - r2), rtol=1e-9)


def test_gvif_refuses_one_moderator_and_interactions() -> None:
    data = effects("bcg")
    with pytest.raises(bm.ModelError, match="at least two"):
        gvif(data, ["latitude"])
    with pytest.raises(bm.ModelError, match="interaction"):
        gvif(data, ["latitude", "year", "latitude:year"])
