"""Rows that depend on each other within trials: metafor 3.8.1 and clubSandwich 0.5.8 (dependence_metafor.R)."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest

from bayesmeta.classical import (
    CHE_COLUMNS,
    CORRELATIONS,
    DEPENDENCE_COLUMNS,
    ROBUST_KINDS,
    aggregate_trials,
    cluster_numbers,
    cluster_robust,
    coefficient_table,
    correlated_hierarchical,
    dependence_table,
    nested_rows,
    nested_sums,
    pool,
    pool_multilevel,
    working_covariance,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import DataError, ModelError

# the script polishes rma.mv's variances to rounding; the rest is closed form there, lost digits are those of the
# inverse of X'WX with years as moderators (2e3 with a column of ones)
POLISHED = 1e-8
# metafor's REML of plain random effects, threshold 1e-14
ITERATED = 1e-7
# where rma.mv's own optimiser stops
OPTIMISER = 1e-4
# likelihood profiled by optimize() inside uniroot()
PROFILED = 1e-6
# a p value or a variance at zero
FLOOR = 1e-12
# two ways round the same sum
ROUNDING = 1e-9
# finite differences of a log likelihood
DIFFERENCES = 1e-5
# published.md 6.1 prints metafor's own tests: eight and five decimals
PRINTED = 5e-6

FOLDER = Path(__file__).parents[1] / "reference"
REFERENCE = json.loads((FOLDER / "dependence_metafor.json").read_text(encoding="utf-8"))
SETS = {content["id"]: content for content in REFERENCE["sets"]}
DESIGNS = [(name, design) for name in SETS for design in ("mean", "moderator")]
NESTED = [name for name in SETS if name != "bcg"]


def known(name: str) -> Effects:
    """Rows with the sampling covariance of the reference."""
    content = SETS[name]
    return Effects.from_cov(
        content["y"],
        content["V"],
        study=content["study"],
        cluster=content["study"],
        moderators={"x": content["moderator"]},
    )


def independent(name: str) -> Effects:
    content = SETS[name]
    return Effects(
        content["study"],
        content["y"],
        np.sqrt(content["v"]),
        measure="generic",
        cluster=content["study"],
        moderators={"x": content["moderator"]},
    )


def moderators(design: str) -> list[str] | None:
    return None if design == "mean" else ["x"]


def close(found, expected, rel):
    return np.ravel(found) == pytest.approx(np.ravel(np.asarray(expected, float)), rel=rel, abs=FLOOR)


def test_the_reference_covers_what_it_should():
    assert list(SETS) == ["assink", "konstantopoulos", "crede", "knapp", "berkey", "bcg"]
    for name in NESTED:
        for design in ("mean", "moderator"):
            fit = SETS[name]["fits"][design]
            assert set(fit) == {"REML", "ML", "robust_multilevel", "robust_random", "robust_common"}
            assert set(fit["robust_multilevel"]) == set(ROBUST_KINDS)
        assert [line["correlation"] for line in SETS[name]["che"]] == list(CORRELATIONS)
    assert sum("profile" in SETS[name]["fits"]["mean"]["REML"] for name in NESTED) == 3


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(("name", "design"), [case for case in DESIGNS if case[0] in NESTED])
def test_multilevel(name, design, method):
    reference = SETS[name]["fits"][design][method]
    found = pool_multilevel(known(name), moderators(design), method=method, profile="profile" in reference)
    assert close([found.tau2, found.cluster_tau2], reference["sigma2"], POLISHED)
    assert close([found.tau2, found.cluster_tau2], reference["sigma2_rma_mv"], OPTIMISER) or name == "berkey"
    for attribute in ("estimate", "se", "stat", "p", "lower", "upper"):
        assert close(getattr(found, attribute), reference[attribute], POLISHED), attribute
    assert close(found.loglik, reference["loglik"], POLISHED)
    assert close([found.i2_between, found.i2_within], reference["i2"], POLISHED)
    t = pool_multilevel(known(name), moderators(design), method=method, ci="t")
    assert t.df == reference["t_df"]
    assert close(t.lower, reference["t_lower"], POLISHED)
    assert close(t.p, reference["t_p"], POLISHED)
    if "profile" in reference:
        assert close([found.tau2_interval, found.cluster_tau2_interval], reference["profile"], PROFILED)


def test_where_rma_mv_stops_beside_the_boundary():
    """berkey: rma.mv leaves 2e-11 of a variance whose likelihood falls from zero on; ours is zero."""
    reference = SETS["berkey"]["fits"]["mean"]["REML"]
    effects = known("berkey")
    found = pool_multilevel(effects)
    rows = nested_rows(effects.y, effects.se, cluster_numbers(effects), blocks=effects.blocks)
    score = nested_sums(rows, [0.0], [found.cluster_tau2], restricted=True).score[0]
    assert found.tau2 == 0.0
    assert score[0] < 0.0
    assert score[1] == pytest.approx(0.0, abs=ROUNDING)
    assert 0.0 < reference["sigma2_rma_mv"][0] < 1e-10


def test_surface_of_rma_mv():
    """multilevel_metafor.json: rma.mv's likelihoods with both variances fixed, on a grid that includes zero."""
    sets = json.loads((FOLDER / "multilevel_metafor.json").read_text(encoding="utf-8"))["sets"]
    assert sum(len(content["surface"]) for content in sets) == 4 * 36
    for content in sets:
        effects = Effects.from_cov(content["y"], content["V"], study=content["cluster"], cluster=content["cluster"])
        X = None
        if content["moderator"]:
            x = np.array(content["moderator"], float)
            X = np.column_stack([np.ones(x.size), x - x.mean()])
        rows = nested_rows(effects.y, effects.se, cluster_numbers(effects), X, blocks=effects.blocks)
        between, within, reml, ml = (
            np.array([point[key] for point in content["surface"]]) for key in ("between", "within", "reml", "ml")
        )
        for restricted, expected in ((True, reml), (False, ml)):
            found = nested_sums(rows, between**2, within**2, restricted=restricted)
            assert found.loglik == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("name", NESTED)
def test_derivatives(name, restricted):
    """Score and observed information by central differences of the likelihood; the expected one by dense matrices."""
    effects = known(name)
    X = np.column_stack([np.ones(effects.k), SETS[name]["moderator"]])
    rows = nested_rows(effects.y, effects.se, cluster_numbers(effects), X, blocks=effects.blocks)
    u, w = 0.11, 0.06
    h = 1e-5
    at = nested_sums(rows, [u, u + h, u - h, u, u], [w, w, w, w + h, w - h], restricted=restricted)
    score, curvature = at.score[0], at.curvature[0]
    assert (at.loglik[1] - at.loglik[2]) / (2 * h) == pytest.approx(score[0], rel=DIFFERENCES, abs=1e-5)
    assert (at.loglik[3] - at.loglik[4]) / (2 * h) == pytest.approx(score[1], rel=DIFFERENCES, abs=1e-5)
    assert (at.score[2] - at.score[1]) / (2 * h) == pytest.approx(curvature[0], rel=DIFFERENCES, abs=1e-3)
    assert (at.score[4] - at.score[3]) / (2 * h) == pytest.approx(curvature[1], rel=DIFFERENCES, abs=1e-3)
    same = np.equal.outer(np.array(effects.study), np.array(effects.study)).astype(float)
    D = (same, np.eye(effects.k))
    W = np.linalg.inv(effects.covariance() + u * D[0] + w * D[1])
    P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W) if restricted else W
    dense = [[0.5 * np.trace(P @ a @ P @ b) for b in D] for a in D]
    # years beside a column of ones cost the dense inverse some digits
    assert at.information[0] == pytest.approx(np.array(dense), rel=1e-6)


@pytest.mark.parametrize("working", ["random", "multilevel", "common"])
@pytest.mark.parametrize(("name", "design"), DESIGNS)
def test_cluster_robust(name, design, working):
    reference = SETS[name]["fits"][design].get(f"robust_{working}")
    if reference is None:
        assert (name, working) == ("bcg", "multilevel")
        with pytest.raises(ModelError, match="no trial has two rows"):
            cluster_robust(known(name), moderators(design), working=working)
        return
    effects = independent(name) if working == "random" else known(name)
    tolerance = ITERATED if working == "random" else POLISHED
    for kind, expected in reference.items():
        if kind == "tau2":
            continue
        found = cluster_robust(effects, moderators(design), working=working, kind=kind)
        assert close(found.se, expected["se"], tolerance), kind
        if kind in ("CR2", "CR1p"):
            for attribute in ("estimate", "stat", "p", "lower", "upper"):
                assert close(getattr(found, attribute), expected[attribute], tolerance), (kind, attribute)
            assert close(found.df, np.broadcast_to(expected["df"], found.df.shape), tolerance)
        if working == "random":
            assert close(found.tau2, reference["tau2"], ITERATED)


def test_published_bcg():
    """metafor's own tests (../published.md 6.1): CR1-type variance and CR2 of the BCG trials."""
    effects = independent("bcg")
    found = cluster_robust(effects, kind="CR1p")
    assert (found.vcov[0, 0], found.df[0]) == pytest.approx((0.032106, 12.0), abs=PRINTED)
    assert found.stat[0] == pytest.approx(-3.98776, abs=PRINTED)
    found = cluster_robust(effects)
    assert found.vcov[0, 0] == pytest.approx(0.03229357, abs=PRINTED / 1000)
    assert (found.df[0], found.stat[0]) == pytest.approx((11.04125, -3.97616), abs=PRINTED)


def test_cr2_is_unbiased_under_the_working_model():
    """Bell & McCaffrey 2002: E of the CR2 meat is the variance of the coefficients when V is true, here in closed form.

    With one row per cluster and equal variances CR2 of a mean is the usual s^2 / n.
    """
    y = np.array([0.3, -0.2, 0.8, 0.1, 0.5])
    effects = Effects(list("ABCDE"), y, np.full(5, 0.4), measure="MD")
    found = cluster_robust(effects, working="common")
    assert found.se[0] == pytest.approx(math.sqrt(y.var(ddof=1) / 5), rel=ROUNDING)
    assert found.df[0] == pytest.approx(4.0, rel=ROUNDING)


def test_a_cluster_that_a_coefficient_is_spent_on():
    """A moderator that is one trial: the adjustment of its rows has no inverse, only a generalised one."""
    effects = independent("knapp")
    first = np.array([study == effects.study[0] for study in effects.study], float)
    X = np.column_stack([np.ones(effects.k), first])
    found = cluster_robust(effects, X=X, working="common")
    alone = cluster_robust(effects.subset(first == 0), working="common")
    # the other trials know nothing of that coefficient
    assert found.estimate[0] == pytest.approx(alone.estimate[0], rel=ROUNDING)
    assert found.se[0] == pytest.approx(alone.se[0], rel=ROUNDING)
    assert found.df[0] == pytest.approx(alone.df[0], rel=ROUNDING)


@pytest.mark.parametrize("name", NESTED)
def test_correlated_hierarchical(name):
    table = correlated_hierarchical(independent(name))
    assert tuple(table.columns) == CHE_COLUMNS
    expected = SETS[name]["che"]
    for attribute in ("correlation", "estimate", "se", "df", "p", "lower", "upper"):
        assert close(table[attribute], [line[attribute] for line in expected], POLISHED), attribute
    assert close(table[["tau", "cluster_tau"]].to_numpy() ** 2, [line["sigma2"] for line in expected], POLISHED)
    assert close(table[["i2_between", "i2_within"]], [line["i2"] for line in expected], POLISHED)
    few = table.df < 4
    assert (table.note.str.contains("Tipton") == few).all()
    assert few.any() == (name == "berkey")


@pytest.mark.parametrize("name", NESTED)
def test_dependence_table(name):
    content = SETS[name]
    table = dependence_table(independent(name))
    assert tuple(table.columns) == DEPENDENCE_COLUMNS
    assert len(table) == 3 + len(CORRELATIONS) + 1
    lines = table.set_index("method")
    for method, reference in (("rows as independent", "independent"), ("one row per trial", "aggregate")):
        for attribute in ("estimate", "se", "lower", "upper", "p"):
            assert close(lines.loc[method, attribute], content[reference][attribute], ITERATED), (method, attribute)
        assert close(lines.loc[method, "tau"] ** 2, content[reference]["tau2"], ITERATED)
    assert lines.loc["one row per trial", "k"] == len(set(content["study"]))
    with_covariance = dependence_table(known(name)).set_index("method")
    assert ("known covariance" in with_covariance.index) == bool(known(name).blocks)
    reference = content["fits"]["mean"]
    assert close(with_covariance.loc["multilevel", "estimate"], reference["REML"]["estimate"], POLISHED)
    for attribute in ("estimate", "se", "lower", "upper", "df", "p"):
        expected = reference["robust_multilevel"]["CR2"][attribute]
        assert close(with_covariance.loc["multilevel, CR2", attribute], expected, POLISHED)


@pytest.mark.parametrize("name", NESTED)
def test_aggregate(name):
    expected = SETS[name]["aggregate"]
    found = aggregate_trials(independent(name), expected["rho"])
    by_study = dict(zip(found.study, zip(found.y, found.se**2, strict=True), strict=True))
    reference = dict(zip(expected["study"], zip(expected["y"], expected["v"], strict=True), strict=True))
    assert set(by_study) == set(reference)
    for study, pair in reference.items():
        assert by_study[study] == pytest.approx(pair, rel=POLISHED)


def test_independent_trials_leave_nothing_to_do():
    table = dependence_table(independent("bcg"))
    assert len(table) == 1
    assert table.note[0].startswith("no trial has two rows")
    assert table.estimate[0] == pytest.approx(-0.714532, abs=1e-6)  # published.md 6.1, REML
    assert table.lower[0] == pytest.approx(-1.108444, abs=1e-6)  # the same, HKSJ
    lone = Effects(["A"], [0.1], [0.1], measure="SMD")
    assert "REML: one estimate" in dependence_table(lone).note[0]


def test_known_covariances_are_kept():
    """A shared control arm's covariance stays where a correlation is assumed for the other pairs."""
    se = np.array([0.2, 0.3, 0.25, 0.2])
    block = (np.array([0, 1]), np.array([[0.04, 0.02], [0.02, 0.09]]))
    effects = Effects(list("AAAB"), [0.1, 0.2, 0.3, 0.4], se, measure="SMD", blocks=[block], cluster=list("AAAB"))
    found = working_covariance(effects, 0.5).covariance()
    assert found[0, 1] == 0.02
    assert found[0, 2] == pytest.approx(0.5 * 0.2 * 0.25)
    assert found[1, 2] == pytest.approx(0.5 * 0.3 * 0.25)
    assert found[3, :3].tolist() == [0, 0, 0]
    opposed = (np.array([0, 1]), np.array([[0.04, -0.055], [-0.055, 0.09]]))
    three = Effects(list("AAA"), [0.1, 0.2, 0.3], se[:3], measure="SMD", blocks=[opposed], cluster=list("AAA"))
    with pytest.raises(ModelError, match="not positive definite"):
        working_covariance(three, 0.8)
    with pytest.raises(ModelError, match="from 0 to below 1"):
        working_covariance(effects, 1.0)
    known_all = dependence_table(known("berkey"))
    assert known_all[known_all.method == "CHE, CR2"].note.str.contains("changes nothing").all()


def made(rng: np.random.Generator, m: int = 8) -> Effects:
    study = np.repeat([f"trial {i}" for i in range(m)], rng.integers(1, 5, m))
    k = study.size
    y = rng.normal(0.3, 0.3, m)[np.unique(study, return_inverse=True)[1]] + rng.normal(0, 0.3, k)
    return Effects(study.tolist(), y, rng.uniform(0.1, 0.4, k), measure="SMD", cluster=study.tolist())


def changed(effects: Effects, y, se) -> Effects:
    blocks = [(rows, cov * np.outer((se / effects.se)[rows], (se / effects.se)[rows])) for rows, cov in effects.blocks]
    return Effects(effects.study, y, se, measure=effects.measure, blocks=blocks, cluster=effects.cluster)


@pytest.mark.parametrize("seed", range(12))
def test_units_and_signs(seed):
    effects = working_covariance(made(np.random.default_rng(seed)), 0.4)
    fit = pool_multilevel(effects, profile=seed < 3)
    robust = cluster_robust(effects, working="multilevel")
    for factor in (1e3, -1.0):
        other = changed(effects, factor * effects.y, abs(factor) * effects.se)
        found = pool_multilevel(other, profile=seed < 3)
        assert found.estimate[0] == pytest.approx(factor * fit.estimate[0], rel=ROUNDING)
        assert found.se[0] == pytest.approx(abs(factor) * fit.se[0], rel=ROUNDING)
        assert (found.tau, found.cluster_tau) == pytest.approx(
            (abs(factor) * fit.tau, abs(factor) * fit.cluster_tau), rel=1e-6, abs=1e-9
        )
        if fit.tau2_interval is not None:
            limits = np.array([found.tau2_interval, found.cluster_tau2_interval], float)
            before = np.array([fit.tau2_interval, fit.cluster_tau2_interval], float)
            assert limits == pytest.approx(factor**2 * before, rel=PROFILED)
        again = cluster_robust(other, working="multilevel")
        assert again.estimate[0] == pytest.approx(factor * robust.estimate[0], rel=ROUNDING)
        assert (again.p[0], again.df[0]) == pytest.approx((robust.p[0], robust.df[0]), rel=1e-7)
    order = np.random.default_rng(seed).permutation(effects.k)
    shuffled = effects.subset(order)
    assert pool_multilevel(shuffled).estimate[0] == pytest.approx(fit.estimate[0], rel=ROUNDING)
    assert cluster_robust(shuffled, working="multilevel").se[0] == pytest.approx(robust.se[0], rel=1e-8)


@pytest.mark.parametrize("seed", range(60))
def test_the_maximum_is_the_maximum(seed):
    """No point of a fine grid has a higher likelihood, and the score vanishes or points out of the boundary."""
    effects = made(np.random.default_rng(1000 + seed), m=3 + seed % 5)
    rows = nested_rows(effects.y, effects.se, cluster_numbers(effects), blocks=effects.blocks)
    axis = np.concatenate([[0.0], np.geomspace(1e-5, 3.0, 40)])
    u, w = np.array(np.meshgrid(axis, axis)).reshape(2, -1)
    for method in ("REML", "ML"):
        fit = pool_multilevel(effects, method=method)
        restricted = method == "REML"
        assert nested_sums(rows, u, w, restricted=restricted).loglik.max() <= fit.loglik + FLOOR
        at = nested_sums(rows, [fit.tau2], [fit.cluster_tau2], restricted=restricted)
        for value, score, size in zip((fit.tau2, fit.cluster_tau2), at.score[0], at.size[0], strict=True):
            assert abs(score) <= 1e-9 * size if value > 0 else score <= FLOOR


def test_one_row_far_more_precise_and_a_large_offset():
    effects = made(np.random.default_rng(3))
    se = effects.se.copy()
    se[0] = 1e-6
    fit = pool_multilevel(changed(effects, effects.y, se))
    assert np.isfinite([fit.estimate[0], fit.se[0], fit.loglik]).all()
    plain, moved = pool_multilevel(effects), pool_multilevel(changed(effects, effects.y + 1e6, effects.se))
    # a million costs y ten digits
    assert moved.estimate[0] - 1e6 == pytest.approx(plain.estimate[0], abs=1e-8)
    assert moved.tau2 == pytest.approx(plain.tau2, rel=1e-5)


def test_equal_estimates():
    effects = Effects(list("AABBC"), [0.3] * 5, [0.1, 0.2, 0.3, 0.1, 0.2], measure="SMD", cluster=list("AABBC"))
    fit = pool_multilevel(effects)
    assert (fit.tau2, fit.cluster_tau2) == (0.0, 0.0)
    assert fit.estimate[0] == pytest.approx(0.3, rel=ROUNDING)
    robust = cluster_robust(effects)
    assert robust.se[0] <= 1e-15
    assert pool(effects).tau2 == 0.0


def test_refusals():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pair = Effects(["A", "A"], [0.1, 0.2], [0.1, 0.1], measure="SMD", cluster=["A", "A"])
        three = Effects(["A", "A", "B"], [0.1, 0.2, 0.5], [0.1, 0.1, 0.2], measure="SMD", cluster=["A", "A", "B"])
    lone = Effects(["A"], [0.1], [0.1], measure="SMD")
    for effects, match in ((lone, "no trial has two rows"), (pair, "too few")):
        with pytest.raises(ModelError, match=match):
            pool_multilevel(effects)
        with pytest.raises(ModelError, match="robust standard errors need more clusters"):
            cluster_robust(effects)
        table = dependence_table(effects)
        numbers = table.drop(columns=["correlation", "note", "method", "tau", "cluster_tau", "df"]).isna().any(axis=1)
        assert (table.note[numbers] != "").all()
    assert pool_multilevel(three).k == 3
    assert "Tipton" in cluster_robust(three).notes[0]
    with pytest.raises(ModelError, match="Allowed: REML, ML"):
        pool_multilevel(three, method="DL")
    with pytest.raises(ModelError, match="Allowed: wald, t"):
        pool_multilevel(three, ci="hksj")
    with pytest.raises(ModelError, match="Allowed: CR0, CR1, CR1p, CR1S, CR2"):
        cluster_robust(three, kind="CR3")
    with pytest.raises(ModelError, match="Allowed: common, random, multilevel"):
        cluster_robust(three, working="ols")
    with pytest.raises(ModelError, match="names for 3 rows"):
        pool_multilevel(three, cluster=["A"])
    crossing = Effects(
        list("ABCC"),
        [0.1, 0.2, 0.3, 0.4],
        [0.1] * 4,
        measure="SMD",
        cluster=list("ABCC"),
        blocks=[(np.array([0, 1]), np.array([[0.01, 0.005], [0.005, 0.01]]))],
    )
    with pytest.raises(ModelError, match="across clusters"):
        pool_multilevel(crossing)
    with pytest.raises(ModelError, match="across clusters"):
        cluster_robust(crossing)
    assert pool_multilevel(crossing, cluster=["AB", "AB", "C", "C"]).n_clusters == 2
    dummies = Effects(
        list("AABBCC"),
        np.arange(6) / 3.0,
        [0.2] * 6,
        measure="SMD",
        cluster=list("AABBCC"),
        moderators={"a": [1.0, 1, 0, 0, 0, 0], "b": [0.0, 0, 1, 1, 0, 0]},
    )
    with pytest.raises(ModelError, match="too few"):
        pool_multilevel(dummies, ["a", "b"])
    with pytest.raises(DataError):
        Effects(list("AAB"), [0.1, np.nan, 0.2], [0.1] * 3, measure="SMD")


def test_every_blank_has_a_note():
    for effects in (known("berkey"), independent("bcg"), Effects(["A"], [0.1], [0.1], measure="SMD")):
        for table in (correlated_hierarchical(effects), dependence_table(effects)):
            blank = table[["estimate", "se", "lower", "upper", "p"]].isna().any(axis=1)
            assert (table.note[blank] != "").all()


def test_coefficient_table():
    fit = cluster_robust(independent("knapp"), ["x"])
    table = coefficient_table(fit)
    assert list(table.columns) == ["term", "estimate", "se", "df", "stat", "p", "lower", "upper", "note"]
    assert table.term.tolist() == ["intercept", "x"]
    assert table.se.to_numpy() == pytest.approx(fit.se)
