"""Rows in clusters: against dense matrices on a grid, against R's metafor, and against models that must be the same."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, special

import bayesmeta as bm
from bayesmeta.exact import (
    NodePosterior,
    build_problem,
    left_out_covariance,
    linear,
    node_draws,
    power_count,
    refined,
    row_weights,
    solve,
    studies,
    why_unsupported,
)
from references import reference

FloatArray = NDArray[np.float64]

# the engine's nested rules agree to 1e-8 in probability and relative moments, and the grid beside it to 1e-10
ANSWER = 1e-7
# two formulas for one density in double precision, k = 100: rounding of a sum of k terms
LOG_LIKELIHOOD = 1e-9
# rma.mv's optimiser stops when the log likelihood changes by 1e-10 relative, where variances have five digits
MODE = 1e-4


def example(*, blocks: bool = True, moderators: bool = True) -> bm.Effects:
    """Nine invented rows in four clusters; two blocks of rows share patients, and rows are in no order."""
    se = np.array([0.2, 0.3, 0.25, 0.15, 0.4, 0.2, 0.35, 0.1, 0.3])
    cluster = ["b", "a", "b", "c", "a", "d", "b", "c", "a"]
    y = [0.5, -0.3, 0.7, 0.1, -0.1, 0.9, 0.3, 0.25, -0.6]

    def block(rows: list[int], r: float) -> tuple[list[int], FloatArray]:
        S = r * np.outer(se[rows], se[rows])
        np.fill_diagonal(S, se[rows] ** 2)
        return rows, S

    return bm.Effects(
        cluster,
        y,
        se,
        measure="SMD",
        label=[f"row {i}" for i in range(9)],
        cluster=cluster,
        blocks=[block([0, 6, 2], 0.4), block([4, 8], -0.3)] if blocks else [],
        moderators={"weeks": [4.0, 8, 12, 6, 20, 16, 10, 5, 9], "kind": list("xyxzzyxyz")} if moderators else {},
    )


class Dense(NamedTuple):
    """Answers on a grid, with everything Gaussian done by dense matrices."""

    log_evidence: float
    weights: FloatArray
    tau: FloatArray
    within: FloatArray
    beta: tuple[FloatArray, FloatArray]
    theta: tuple[FloatArray, FloatArray]


def dense(effects: bm.Effects, model: bm.Model, n: int = 160) -> Dense:
    """Integrate over Gauss-Legendre nodes of ``t / (1 - t)`` in both SDs; the coefficients have normal priors."""
    problem = build_problem(effects, model)
    X, k = problem.design.X, effects.k
    m0, P0 = problem.prior_mean, np.diag(1 / problem.prior_precision)
    S = effects.covariance()
    assert effects.cluster is not None
    Z = np.equal.outer(np.array(effects.cluster), np.array(effects.cluster)).astype(float)
    nodes, w = np.polynomial.legendre.leggauss(n)
    t, w = 0.5 * (nodes + 1), 0.5 * w
    # stretched towards zero, because posteriors end there
    u = t * t
    x, jacobian = 0.5 * u / (1 - u), 0.5 / (1 - u) ** 2 * 2 * t
    assert model.tau is not None
    assert model.cluster_tau is not None
    tau, within = (g.ravel() for g in np.meshgrid(x, x, indexing="ij"))
    log_w = np.log(np.multiply.outer(w * jacobian, w * jacobian)).ravel()
    log_w = log_w + model.tau.logpdf(tau) + model.cluster_tau.logpdf(within)
    prior = tau[:, None, None] ** 2 * Z + within[:, None, None] ** 2 * np.eye(k) + X @ P0 @ X.T
    V = prior + S
    r = effects.y - X @ m0
    L = np.linalg.cholesky(V)
    half = np.linalg.solve(L, np.broadcast_to(r, (tau.size, k))[..., None])[..., 0]
    log = -0.5 * (k * math.log(2 * math.pi) + (half**2).sum(axis=1))
    log = log - np.log(np.einsum("nii->ni", L)).sum(axis=1) + log_w
    weights = np.exp(log - log.max())
    evidence = float(np.log(weights.sum()) + log.max())
    weights = weights / weights.sum()
    Vr = np.linalg.solve(V, np.broadcast_to(r, (tau.size, k))[..., None])[..., 0]
    gain = np.linalg.solve(V, prior)
    theta = X @ m0 + np.einsum("nij,nj->ni", prior, Vr)
    theta_var = np.einsum("nii->ni", prior) - np.einsum("nij,nji->ni", prior, gain)
    beta = m0 + Vr @ (X @ P0)
    beta_cov = P0 - np.einsum("pi,nij,jq->npq", P0 @ X.T, np.linalg.inv(V), X @ P0)
    return Dense(evidence, weights, tau, within, (beta.T, np.einsum("npp->pn", beta_cov)), (theta.T, theta_var.T))


def answers(weights: FloatArray, means: FloatArray, variances: FloatArray) -> FloatArray:
    """Mean, SD and three probabilities of a mixture of normals."""
    centre = float(weights @ means)
    sd = math.sqrt(float(weights @ (variances + (means - centre) ** 2)))
    points = np.array([-0.3, 0.0, 0.4])
    below = special.ndtr((points[:, None] - means) / np.sqrt(variances)) @ weights
    return np.concatenate([[centre, sd], below])


MODELS: dict[str, Any] = {
    "plain": (bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfNormal(0.3)), {}),
    "no blocks": (bm.Model(bm.Normal(0.2, 0.5), bm.HalfNormal(1), cluster_tau=bm.HalfNormal(1)), {"blocks": False}),
    "moderators": (
        bm.Model(
            bm.Normal(0, 1),
            bm.HalfNormal(0.4),
            {"weeks": bm.Coefficient(bm.Normal(0, 0.3), per=6), "kind": bm.Normal(0, 0.5)},
            cluster_tau=bm.HalfNormal(0.3),
        ),
        {},
    ),
    "log-normal and exponential": (
        bm.Model(bm.Normal(0, 1), bm.LogNormal(-1.5, 0.7), cluster_tau=bm.Exponential(4)),
        {},
    ),
    "half-cauchy": (bm.Model(bm.Normal(0, 1), bm.HalfCauchy(0.3), cluster_tau=bm.HalfCauchy(0.2)), {}),
    "Student-t": (bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfStudentT(0.3, 3)), {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_posterior_is_that_of_dense_matrices(name: str) -> None:
    model, options = MODELS[name]
    effects = example(**options)
    quadrature = solve(effects, model)
    grid = dense(effects, model)
    assert quadrature.problem.sds == ("tau", "tau_within")
    assert quadrature.log_evidence == pytest.approx(grid.log_evidence, abs=ANSWER)
    p = quadrature.problem.design.p
    ours = linear(quadrature, np.eye(p), [None] * p)
    for j in range(p):
        np.testing.assert_allclose(
            answers(quadrature.weights, ours.mean[j], ours.var[j]),
            answers(grid.weights, grid.beta[0][j], grid.beta[1][j]),
            atol=ANSWER,
        )
    theta = studies(quadrature)
    for i in range(effects.k):
        np.testing.assert_allclose(
            answers(quadrature.weights, theta.mean[i], theta.var[i]),
            answers(grid.weights, grid.theta[0][i], grid.theta[1][i]),
            atol=ANSWER,
        )
    for sd, values in (("tau", grid.tau), ("tau_within", grid.within)):
        form = quadrature.sd_marginals[sd]
        if form.moments >= 1:
            assert form.mean == pytest.approx(float(grid.weights @ values), rel=ANSWER)
        if form.moments >= 2:
            assert form.sd**2 + form.mean**2 == pytest.approx(float(grid.weights @ values**2), rel=10 * ANSWER)


def test_a_new_estimate_and_a_new_trial() -> None:
    model, options = MODELS["plain"]
    effects = example(**options)
    quadrature, grid = solve(effects, model), dense(effects, model)
    for new, spread in (("theta_trial", grid.tau**2), ("theta_new", grid.tau**2 + grid.within**2)):
        ours = linear(quadrature, np.ones((1, 1)), [new])
        np.testing.assert_allclose(
            answers(quadrature.weights, ours.mean[0], ours.var[0]),
            answers(grid.weights, grid.beta[0][0], grid.beta[1][0] + spread),
            atol=ANSWER,
        )


def test_a_marginal_distribution_is_that_of_the_grid() -> None:
    """Beyond moments: the distribution function of both SDs, from a grid that integrates exactly up to the point."""
    effects = example(moderators=False)
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.Uniform(0, 0.37))
    whole = solve(effects, model)
    cut = dataclasses.replace(model, cluster_tau=bm.Uniform(0, 0.2))
    part = solve(effects, cut)
    assert whole.log_evidence is not None
    assert part.log_evidence is not None
    # P(within < 0.2) by the evidence of the model that ends there
    expected = math.exp(part.log_evidence - whole.log_evidence) * 0.2 / 0.37
    assert float(whole.sd_marginals["tau_within"].cdf(0.2)) == pytest.approx(expected, abs=ANSWER)


# metafor


@pytest.mark.parametrize("number", range(4))
def test_the_likelihood_is_that_of_rma_mv(number: int) -> None:
    """With flat coefficients ours is the restricted likelihood, which metafor gives with its own constant.

    metafor's REML log likelihood adds ``0.5 log det(X'X)`` to the integral over flat coefficients (Harville 1974).
    """
    case = reference("multilevel_metafor")["sets"][number]
    effects, model = metafor_case(case)
    problem = build_problem(effects, model)
    table = case["surface"]
    assert len(table) == 36
    tau, within = (np.array([row[name] for row in table]) for name in ("between", "within"))
    found = problem.conditional(tau, [], np.array([tau, within]))
    X = problem.design.X
    constant = 0.5 * np.linalg.slogdet(X.T @ X)[1]
    np.testing.assert_allclose(
        found.log_marginal + constant, [row["reml"] for row in table], rtol=LOG_LIKELIHOOD, atol=LOG_LIKELIHOOD
    )
    np.testing.assert_allclose(found.mean[0], [row["estimate"] for row in table], rtol=LOG_LIKELIHOOD, atol=1e-12)
    np.testing.assert_allclose(np.sqrt(found.cov[0, 0]), [row["se"] for row in table], rtol=LOG_LIKELIHOOD)


@pytest.mark.parametrize("number", range(4))
def test_the_mode_and_the_predictions_are_those_of_rma_mv(number: int) -> None:
    case = reference("multilevel_metafor")["sets"][number]
    effects, model = metafor_case(case)
    problem = build_problem(effects, model)

    def height(log_sds: FloatArray) -> float:
        tau, within = np.exp(log_sds)[:, None]
        return -float(problem.conditional(tau, [], np.array([tau, within])).log_marginal[0])

    best = optimize.minimize(height, np.log([0.3, 0.3]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    reml = case["REML"]
    np.testing.assert_allclose(np.exp(best.x), [reml["between"], reml["within"]], rtol=MODE)
    # study effects at the mode: metafor's empirical best linear unbiased predictions, intercept (and slope), u and w
    tau, within = (np.array([reml[name]]) for name in ("between", "within"))
    at = problem.conditional(tau, [], np.array([tau, within]))
    one = np.ones(1)
    quadrature = NodePosterior(
        problem, tau, np.empty((0, 1)), one, one, at.mean, at.cov, None, None, 0.0, (), np.array([tau, within]), {}
    )
    u = dict(zip(reml["u"]["cluster"], reml["u"]["value"], strict=True))
    assert effects.cluster is not None
    estimate = np.atleast_1d(reml["estimate"])
    expected = problem.design.X @ estimate + [u[name] for name in effects.cluster] + np.array(reml["w"])
    np.testing.assert_allclose(studies(quadrature).mean[:, 0], expected, rtol=1e-8, atol=1e-8)


def metafor_case(case: dict[str, Any]) -> tuple[bm.Effects, bm.Model]:
    moderator = case["moderator"]
    effects = bm.Effects.from_cov(
        case["y"],
        case["V"],
        study=case["cluster"],
        cluster=case["cluster"],
        moderators={} if not isinstance(moderator, list) else {"year": moderator},
    )
    beta = {"year": bm.Flat()} if effects.moderators else {}
    return effects, bm.Model(bm.Flat(), bm.HalfNormal(1), beta, cluster_tau=bm.HalfNormal(1))


def test_no_case_of_metafor_disappeared() -> None:
    sets = reference("multilevel_metafor")["sets"]
    assert [(case["id"], len(case["y"]), len(set(case["cluster"]))) for case in sets] == [
        ("konstantopoulos", 56, 11),
        ("konstantopoulos_year", 56, 11),
        ("assink", 100, 17),
        ("assink_correlated", 100, 17),
    ]


# models that must be the same


def test_with_one_row_per_cluster_only_the_sum_of_variances_matters() -> None:
    """The likelihood at (tau, within) is that of one SD, their root sum of squares."""
    k = 6
    labels = [f"t{i}" for i in range(k)]
    effects = bm.Effects(
        labels, [0.1, 0.5, -0.2, 0.4, 0.9, 0.0], [0.1, 0.2, 0.3, 0.1, 0.4, 0.2], measure="MD", cluster=labels
    )
    two = build_problem(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfNormal(0.5)))
    one = build_problem(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    tau, within = (g.ravel() for g in np.meshgrid([0.0, 0.1, 1.0, 30.0], [1e-9, 0.2, 1.0, 1e4]))
    ours = two.conditional(tau, [], np.array([tau, within]))
    other = one.conditional(np.hypot(tau, within), [])
    np.testing.assert_allclose(ours.log_marginal, other.log_marginal, rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(ours.cov, other.cov, rtol=1e-10)
    # half-normals of one scale add to a Rayleigh: 2-D half-normal radius, as a quadrature over its density
    radius = np.polynomial.legendre.leggauss(200)
    r, w = 2 * (radius[0] + 1), 2 * radius[1]
    log_prior = np.log(r) - 2 * math.log(0.5) - 0.5 * (r / 0.5) ** 2
    log = one.conditional(r, []).log_marginal + log_prior
    expected = float(special.logsumexp(log, b=w))
    assert solve(
        effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfNormal(0.5))
    ).log_evidence == (pytest.approx(expected, abs=ANSWER))


def test_without_spread_within_clusters_it_is_one_effect_per_cluster() -> None:
    """A prior a million times narrower than standard errors: the ordinary model whose blocks share one true effect."""
    effects = example(moderators=False)
    assert effects.cluster is not None
    blocks = []
    for name in dict.fromkeys(effects.cluster):
        rows = np.flatnonzero([c == name for c in effects.cluster])
        if rows.size > 1:
            blocks.append((rows, effects.covariance()[np.ix_(rows, rows)]))
    ordinary = dataclasses.replace(effects, blocks=tuple(blocks), cluster=None)
    one = solve(ordinary, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), rho=1.0))
    two = solve(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfNormal(1e-6)))
    assert two.log_evidence == pytest.approx(one.log_evidence, abs=ANSWER)
    assert one.tau_marginal is not None
    p = np.array([0.025, 0.5, 0.975])
    np.testing.assert_allclose(two.sd_marginals["tau"].quantile(p), one.tau_marginal.quantile(p), rtol=10 * ANSWER)
    a, b = studies(one), studies(two)
    np.testing.assert_allclose(b.mean @ two.weights, a.mean @ one.weights, atol=ANSWER)
    np.testing.assert_allclose(b.var @ two.weights, a.var @ one.weights, atol=ANSWER)


def test_without_spread_between_clusters_it_is_the_model_of_independent_rows() -> None:
    effects = example(moderators=False)
    one = solve(
        dataclasses.replace(effects, cluster=effects.label, blocks=()), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    )
    two = solve(
        dataclasses.replace(effects, blocks=()),
        bm.Model(bm.Normal(0, 1), bm.HalfNormal(1e-6), cluster_tau=bm.HalfNormal(0.5)),
    )
    assert two.log_evidence == pytest.approx(one.log_evidence, abs=ANSWER)
    assert one.tau_marginal is not None
    assert two.sd_marginals["tau_within"].mean == pytest.approx(one.tau_marginal.mean, rel=ANSWER)


def test_order_of_rows_and_unit_change_nothing() -> None:
    model, _ = MODELS["moderators"]
    effects = example()
    base = solve(effects, model)
    order = np.array([3, 8, 1, 0, 5, 7, 2, 6, 4])
    place = np.argsort(order)
    shuffled = bm.Effects(
        [effects.study[i] for i in order],
        effects.y[order],
        effects.se[order],
        measure="SMD",
        label=[effects.label[i] for i in order],
        cluster=[effects.study[i] for i in order],
        blocks=[(place[rows], S) for rows, S in effects.blocks],
        moderators={name: values[order] for name, values in effects.moderators.items()},
    )
    other = solve(shuffled, model)
    # the same sums in another order
    assert other.log_evidence == pytest.approx(base.log_evidence, abs=1e-11)
    np.testing.assert_allclose(
        studies(other).mean @ other.weights, (studies(base).mean @ base.weights)[order], atol=1e-10
    )
    factor = 1000.0
    scaled = dataclasses.replace(
        effects,
        y=factor * effects.y,
        se=factor * effects.se,
        blocks=tuple((rows, factor**2 * S) for rows, S in effects.blocks),
        measure="MD",
    )
    far = solve(
        scaled,
        bm.Model(
            bm.Normal(0, factor),
            bm.HalfNormal(0.4 * factor),
            {"weeks": bm.Coefficient(bm.Normal(0, 0.3 * factor), per=6), "kind": bm.Normal(0, 0.5 * factor)},
            cluster_tau=bm.HalfNormal(0.3 * factor),
        ),
    )
    assert far.log_evidence == pytest.approx((base.log_evidence or 0) - 9 * math.log(factor), abs=1e-9)
    assert far.sd_marginals["tau_within"].mean == pytest.approx(factor * base.sd_marginals["tau_within"].mean, rel=1e-9)


def test_large_standard_deviations_lose_no_digit() -> None:
    """The textbook Sherman-Morrison formula subtracts numbers that agree to 1e16 here; ours is the dense limit.

    With tau of 1e8 standard errors a cluster's mean says nothing of mu, and its contrasts say all they said: the slope
    has the variance that clusters with flat means of their own give it.
    """
    effects = example(blocks=False)
    model = bm.Model(bm.Flat(), bm.HalfNormal(1), {"weeks": bm.Flat()}, cluster_tau=bm.HalfNormal(1))
    problem = build_problem(effects, model)
    tau, within = np.array([1e8]), np.array([0.2])
    cov = problem.conditional(tau, [], np.array([tau, within])).cov[1, 1, 0]
    assert effects.cluster is not None
    names = list(dict.fromkeys(effects.cluster))
    means = np.array([[name == other for other in names] for name in effects.cluster], float)
    X = np.column_stack([problem.design.X[:, 1], means])
    expected = np.linalg.inv(X.T @ (X / (effects.se**2 + 0.04)[:, None]))[0, 0]
    assert cov == pytest.approx(expected, rel=1e-10)


# what is refused, and which moments exist


def test_clusters_are_refused_where_they_make_no_sense() -> None:
    effects = example(moderators=False)
    two = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfNormal(0.5))
    with pytest.raises(bm.ModelError, match="cluster_tau="):
        solve(dataclasses.replace(effects, blocks=()), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    with pytest.raises(bm.ModelError, match="have no clusters"):
        solve(bm.Effects("ab", [0.1, 0.2], [0.1, 0.1], measure="SMD"), two)
    assert effects.cluster is not None
    torn = list(effects.cluster)
    torn[6] = "d"
    with pytest.raises(bm.ModelError, match=r"row 0 \(b\), row 6 \(d\), row 2 \(b\): these rows share patients"):
        solve(dataclasses.replace(effects, cluster=tuple(torn)), two)
    with pytest.raises(bm.ModelError, match="jeffreys"):
        solve(effects, dataclasses.replace(two, tau=bm.Jeffreys()))


def test_four_axes_are_too_many() -> None:
    model = bm.Model(bm.StudentT(0, 1, 4), bm.HalfNormal(1), {"weeks": bm.Cauchy(0, 1)}, cluster_tau=bm.HalfNormal(1))
    effects = example()
    assert why_unsupported(effects, dataclasses.replace(model, beta={})) is None
    assert "at most 3" in (why_unsupported(effects, model) or "")
    with pytest.raises(bm.ModelError, match=r'engine="nuts"\.$'):
        solve(effects, model)


def test_a_student_prior_beside_clusters() -> None:
    """Three axes: the mixture over its scale is done here by a mixture of normal priors, by quadrature."""
    effects = example(moderators=False)
    tau, within = bm.HalfNormal(0.5), bm.HalfNormal(0.3)
    found = solve(effects, bm.Model(bm.StudentT(0, 0.5, 4), tau, cluster_tau=within))
    # lambda ~ inverse gamma(2, 2), so that x = 2 / lambda ~ gamma(2, 1); the evidence behaves as sqrt(x) at zero
    nodes, w = special.roots_genlaguerre(24, 1.5)
    log = [
        solve(effects, bm.Model(bm.Normal(0, 0.5 / math.sqrt(x / 2)), tau, cluster_tau=within)).log_evidence
        for x in nodes
    ]
    expected = special.logsumexp(np.array(log, float) - 0.5 * np.log(nodes), b=w)
    assert found.log_evidence == pytest.approx(expected, abs=ANSWER)


def test_improper_posteriors_are_refused_and_others_are_not() -> None:
    """Flat SDs and mean: each cluster more makes the posterior fall faster, and three clusters are just enough."""
    y, se = [0.1, 0.4, -0.2, 0.8, 0.3, 0.5, 0.9, 0.2], [0.2] * 8

    def solved(clusters: str) -> NodePosterior:
        rows = len(clusters)
        effects = bm.Effects(list(clusters), y[:rows], se[:rows], measure="MD", cluster=list(clusters))
        return solve(effects, bm.Model(bm.Flat(), bm.Flat(), cluster_tau=bm.Flat()))

    with pytest.raises(bm.ModelError, match="improper"):
        solved("aabb")
    # C clusters: tau falls as tau**-(C - 1) and needs an exponent above 1
    assert [axis.moments for axis in solved("aabbcc").problem.axes] == [0, 2]
    four = solved("aabbccdd").problem
    assert [axis.moments for axis in four.axes] == [1, 2]
    assert four.mu_moments == 1
    with pytest.raises(bm.ModelError, match="improper"):
        # one row per cluster: only the sum is seen, so both share one fall, and k - 1 must exceed two
        solved("abc")
    assert solved("abcd").problem.mu_moments == 0


def test_power_counting_gives_what_one_deviation_is_known_to_need() -> None:
    """With one SD it must be `moment_limit`, which rests on the integral over tau alone."""
    from bayesmeta.exact import moment_limit

    for k in range(2, 8):
        for prior in (bm.Flat(), bm.HalfNormal(1), bm.HalfStudentT(1, 1.5)):
            for p in (1, 2):
                X = np.column_stack([np.ones(k), np.arange(k) - (k - 1) / 2])[:, :p]
                flat = np.ones(p, bool)
                count = power_count([prior], ["rows"], X, flat, None)
                tau, mu, proper = moment_limit(prior, k, p, 0.0)
                assert count.proper == proper
                if proper:
                    assert (count.of_sd(0), count.of_column(0, 0.0)) == (tau, mu)


def test_draws_have_the_moments_of_the_posterior() -> None:
    model, options = MODELS["plain"]
    quadrature = solve(example(**options), model)
    sds, mean, _ = node_draws(quadrature, 20_000, np.random.default_rng(1))
    # five Monte Carlo standard errors
    for sd, form in zip(sds, quadrature.sd_marginals.values(), strict=True):
        assert sd.mean() == pytest.approx(form.mean, abs=5 * form.sd / math.sqrt(20_000))
    assert mean.shape == (1, 20_000)


def test_weights_of_rows_and_covariance_of_new_ones_are_dense_formulas() -> None:
    """The posterior mean of mu is linear in the estimates given the SDs: ``cov X' V**-1``."""
    effects = example()
    model, _ = MODELS["moderators"]
    problem = build_problem(effects, model)
    sds = np.array([[0.3, 2.0], [0.2, 0.01]])
    at = problem.conditional(sds[0], [], sds)
    weights = np.array([0.25, 0.75])
    quadrature = NodePosterior(
        problem, sds[0], np.empty((0, 2)), weights, weights, at.mean, at.cov, None, None, 0.0, (), sds, {}
    )
    new = left_out_covariance(quadrature, effects, 0.9)
    assert effects.cluster is not None
    Z = np.equal.outer(np.array(effects.cluster), np.array(effects.cluster)).astype(float)
    X, P = problem.design.X, np.diag(problem.prior_precision)
    expected = np.zeros(effects.k)
    for n in range(2):
        V = effects.covariance() + sds[0, n] ** 2 * Z + sds[1, n] ** 2 * np.eye(effects.k)
        np.testing.assert_allclose(new[:, :, n], V, rtol=1e-14)
        inverse = np.linalg.inv(V)
        expected += weights[n] * (np.linalg.inv(X.T @ inverse @ X + P) @ X.T @ inverse)[0]
    np.testing.assert_allclose(row_weights(quadrature), expected, rtol=1e-10)


def test_more_nodes_give_the_same_answer() -> None:
    model, options = MODELS["plain"]
    effects = example(**options)
    first = solve(effects, model)
    second = refined(first, effects, model)
    assert second.nodes == tuple(2 * n - 1 for n in first.nodes)
    assert second.log_evidence == pytest.approx(first.log_evidence, abs=1e-8)
