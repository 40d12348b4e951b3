"""Coefficients with a hierarchical SD: against mixtures, over that SD, of the ordinary model in which it is stated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

import bayesmeta as bm
from bayesmeta.exact import NodePosterior, build_problem, linear, refined, solve, studies, why_unsupported
from bayesmeta.model import (
    Coefficient,
    Exchangeable,
    MissingNumeric,
    MissingSD,
    Model,
    Monotone,
    OutlierEffects,
    Spline,
    StudentEffects,
    build_design,
)
from bayesmeta.priors import Prior

FloatArray = NDArray[np.float64]

# nested rules agree to 1e-8 in probability and relative moments; each of the mixed models is as good as that
ANSWER = 1e-7
# a question about a contrast itself: `Marginals.settled` refines until 1e-8, here one refinement is made
CONTRAST = 2e-8
PROBABILITY = np.array([-0.3, -0.05, -1e-3, 1e-5, 1e-3, 0.05, 0.3])


def example(k: int = 14, cluster: bool = False) -> bm.Effects:
    rng = np.random.default_rng(5)
    se = rng.uniform(0.1, 0.4, k)
    kind = [("walk", "swim", "yoga", "cycle")[i] for i in rng.integers(0, 4, k)]
    weeks = rng.uniform(4, 24, k)
    y = 0.2 * np.array([name == "yoga" for name in kind]) - 0.3 * np.log(weeks / 10) + rng.normal(0, se)
    trials = [f"trial {i // 2}" for i in range(k)] if cluster else [f"trial {i}" for i in range(k)]
    return bm.Effects(
        trials,
        y,
        se,
        measure="SMD",
        label=[f"row {i}" for i in range(k)],
        moderators={"kind": kind, "weeks": weeks, "two": [("a", "b")[i % 2] for i in range(k)]},
        cluster=trials if cluster else None,
    )


def summary(quadrature: NodePosterior, weights: FloatArray) -> FloatArray:
    """Moments and probabilities of mu and a linear function of the coefficients, and the mean study effects."""
    rows = np.vstack([np.eye(1, weights.size), weights])
    found = linear(quadrature, rows, ["theta_new", None])
    theta = studies(quadrature)
    w = quadrature.weights
    below = [
        special.ndtr((PROBABILITY[:, None] - m) / np.sqrt(v)) @ w for m, v in zip(found.mean, found.var, strict=True)
    ]
    second = (found.var + found.mean**2) @ w
    return np.concatenate([found.mean @ w, second, *below, theta.mean @ w, (theta.var + theta.mean**2) @ w])


def mixed(fixed: Callable[[float], NodePosterior], prior: Prior, weights: FloatArray) -> tuple[float, FloatArray]:
    """Evidence and answers of models with a stated SD, mixed over it: trapezoid in ``log s``, analytic at both ends.

    The steps of 0.25 are far finer than anything on the scale of ``log s`` (width above one), and the range leaves
    1e-9 at zero for a prior with a bounded density.
    """
    typical = float(prior.ppf(np.array([0.5]))[0])
    s = np.exp(np.arange(math.log(1e-9 * min(typical, 1.0)), math.log(1e4 * max(typical, 0.01)), 0.25))
    log_prior = prior.logpdf(s) + np.log(s) + math.log(0.25)
    s, log_prior = s[log_prior > -60], log_prior[log_prior > -60]
    fits = [fixed(value) for value in s]
    log = log_prior + np.array([fit.log_evidence for fit in fits], float)
    evidence = float(special.logsumexp(log))
    return evidence, np.exp(log - evidence) @ np.array([summary(fit, weights) for fit in fits])


def stated(effects: bm.Effects, model: Model, term: str) -> tuple[Callable[[float], NodePosterior], FloatArray]:
    """Model with a term of the given name replaced by one numeric moderator per column, with ``Normal(0, s)`` each."""
    design = build_design(effects, model)
    item = next(item for item in design.terms if item.name == term)
    names = [f"column {j}" for j in range(item.width)]
    values = dict(zip(names, design.X[:, item.columns].T, strict=True))
    line = term.removesuffix(": curve")
    wide = dataclasses.replace(effects, moderators={**effects.moderators, **values})

    def fixed(s: float) -> NodePosterior:
        beta = {name: part for name, part in model.beta.items() if name != line}
        if line != term:
            spline = model.beta[line]
            assert isinstance(spline, Spline)
            beta[line] = Coefficient(spline.slope, per=spline.per)
        return solve(
            wide, dataclasses.replace(model, beta={**beta, **dict.fromkeys(names, Coefficient(bm.Normal(0, s)))})
        )

    order = item.columns
    # coefficients of the term come last in the other model
    others = [j for j in range(design.p) if not order.start <= j < order.stop]
    return fixed, np.array([*others, *range(order.start, order.stop)])


MU, TAU = bm.Normal(0, 1), bm.HalfNormal(0.4)


@pytest.mark.parametrize(
    "prior",
    [
        bm.HalfNormal(0.5),
        bm.HalfNormal(1e-6),
        bm.HalfNormal(1e3),
        bm.HalfCauchy(0.2),
        bm.LogNormal(-2, 0.8),
        bm.Exponential(5),
    ],
    ids=repr,
)
def test_exchangeable_levels_are_a_mixture_over_their_standard_deviation(prior: Prior) -> None:
    """A stated SD is a coefficient's prior: contrasts of levels with SD s have SD ``s sqrt(2)``."""
    effects = example()
    model = Model(MU, TAU, {"kind": Exchangeable(prior)})
    ours = solve(effects, model)
    assert ours.problem.sds == ("tau", "sd[kind]")
    weights = ours.problem.design.contrasts[0].weights

    def fixed(s: float) -> NodePosterior:
        return solve(effects, Model(MU, TAU, {"kind": bm.Normal(0, s * math.sqrt(2))}))

    evidence, expected = mixed(fixed, prior, weights)
    assert ours.log_evidence == pytest.approx(evidence, abs=ANSWER)
    np.testing.assert_allclose(summary(refined(ours, effects, model), weights), expected, atol=ANSWER, rtol=ANSWER)


def test_a_spline_is_a_mixture_over_the_size_of_its_departure() -> None:
    effects = example()
    model = Model(MU, TAU, {"weeks": Spline(bm.Normal(0, 0.5), bm.HalfNormal(0.3), per=6, knots=5)})
    ours = solve(effects, model)
    assert ours.problem.sds == ("tau", "sd[weeks: curve]")
    fixed, order = stated(effects, model, "weeks: curve")
    profile = ours.problem.design.profile({"weeks": 20.0})
    evidence, expected = mixed(fixed, bm.HalfNormal(0.3), profile[order])
    assert ours.log_evidence == pytest.approx(evidence, abs=ANSWER)
    np.testing.assert_allclose(summary(ours, profile), expected, atol=ANSWER, rtol=ANSWER)


# each a test of its own: a posterior on three axes takes hundreds of megabytes, which the next one need not find taken
@pytest.mark.parametrize(
    ("clustered", "others"),
    [
        pytest.param(True, {}, id="clusters"),
        pytest.param(False, {"weeks": Spline(bm.Normal(0, 0.5), bm.HalfNormal(0.3))}, id="curve"),
    ],
)
def test_exchangeable_levels_beside_clusters_and_a_curve(clustered: bool, others: dict[str, Spline]) -> None:
    """Three axes, mixed over one of them."""
    effects = example(10, cluster=True) if clustered else example()
    within, prior = bm.HalfNormal(0.2) if clustered else None, bm.HalfNormal(0.5)
    model = Model(MU, TAU, {"kind": Exchangeable(prior), **others}, cluster_tau=within)
    ours = solve(effects, model)
    assert len(ours.problem.sds) == 3
    fixed, order = stated(effects, model, "kind")
    weights = ours.problem.design.profile({"kind": "yoga"})
    evidence, expected = mixed(fixed, prior, weights[order])
    assert ours.log_evidence == pytest.approx(evidence, abs=ANSWER)
    np.testing.assert_allclose(summary(ours, weights), expected, atol=ANSWER, rtol=ANSWER)


def test_without_tau_the_learned_deviation_is_the_only_one() -> None:
    effects = example()
    model = Model(MU, None, {"kind": Exchangeable(bm.HalfNormal(0.5))})
    ours = solve(effects, model)
    assert ours.problem.sds == ("sd[kind]",)
    assert ours.tau_marginal is None
    assert not ours.tau.any()
    weights = ours.problem.design.contrasts[0].weights
    evidence, expected = mixed(
        lambda s: solve(effects, Model(MU, None, {"kind": bm.Normal(0, s * math.sqrt(2))})), bm.HalfNormal(0.5), weights
    )
    assert ours.log_evidence == pytest.approx(evidence, abs=ANSWER)
    np.testing.assert_allclose(summary(refined(ours, effects, model), weights), expected, atol=ANSWER, rtol=ANSWER)


def test_the_learned_deviation_itself() -> None:
    """``P(s < x)`` by the evidence of the model whose prior ends at x."""
    effects = example()

    def model(high: float) -> Model:
        return Model(MU, TAU, {"kind": Exchangeable(bm.Uniform(0, high))})

    whole, part = solve(effects, model(0.8)), solve(effects, model(0.3))
    assert whole.log_evidence is not None
    assert part.log_evidence is not None
    expected = math.exp(part.log_evidence - whole.log_evidence) * 0.3 / 0.8
    assert float(whole.sd_marginals["sd[kind]"].cdf(0.3)) == pytest.approx(expected, abs=ANSWER)


def test_a_deviation_of_nothing_is_the_model_without_the_moderator() -> None:
    effects = example()
    plain = solve(effects, Model(MU, TAU))
    levels = solve(effects, Model(MU, TAU, {"kind": Exchangeable(bm.HalfNormal(1e-9))}))
    assert levels.log_evidence == pytest.approx(plain.log_evidence, abs=ANSWER)
    line = solve(effects, Model(MU, TAU, {"weeks": bm.Normal(0, 0.5)}))
    curve = solve(effects, Model(MU, TAU, {"weeks": Spline(bm.Normal(0, 0.5), bm.HalfNormal(1e-9))}))
    assert curve.log_evidence == pytest.approx(line.log_evidence, abs=ANSWER)
    assert np.isfinite(linear(levels, np.eye(4), [None] * 4).var).all()


def test_no_contrast_is_an_atom() -> None:
    """At a node with s = 0 a contrast would have no spread, and its quantiles no meaning."""
    quadrature = solve(example(), Model(MU, TAU, {"kind": Exchangeable(bm.HalfNormal(0.5))}))
    weights = np.array([c.weights for c in quadrature.problem.design.contrasts])
    assert (linear(quadrature, weights, [None] * 3).var > 0).all()


def test_a_contrast_near_zero_is_settled_for_every_point() -> None:
    """Its distribution function changes where s is of the size of x, however small x is."""
    effects = example()
    model = Model(MU, TAU, {"kind": Exchangeable(bm.HalfNormal(0.5))})
    quadrature = refined(solve(effects, model), effects, model)
    found = linear(quadrature, quadrature.problem.design.contrasts[0].weights[None], [None])
    x = np.concatenate([-np.geomspace(1e-9, 1, 25), np.geomspace(1e-9, 1, 25)])
    tails = special.ndtr((x[:, None] - found.mean) / np.sqrt(found.var))
    assert np.abs(tails @ (quadrature.weights - quadrature.coarse)).max() < CONTRAST


def test_reference_level_and_order_change_nothing() -> None:
    effects = example()
    base = solve(effects, Model(MU, TAU, {"kind": Exchangeable(bm.HalfNormal(0.5))}))
    other = solve(effects, Model(MU, TAU, {"kind": Exchangeable(bm.HalfNormal(0.5), reference="yoga")}))
    assert other.log_evidence == base.log_evidence
    back = np.arange(effects.k)[::-1]
    turned = solve(effects.subset(back), Model(MU, TAU, {"kind": Exchangeable(bm.HalfNormal(0.5))}))
    assert turned.log_evidence == pytest.approx(base.log_evidence, abs=1e-11)


def test_which_moments_exist() -> None:
    """Half-Cauchy s: its density falls as ``s**-2``, the likelihood as ``s**-1`` per contrast that is identified."""
    effects = example()
    for name, s_moments in (("two", 1), ("kind", 2)):
        problem = build_problem(effects, Model(bm.Flat(), TAU, {name: Exchangeable(bm.HalfCauchy(0.5))}))
        assert problem.axes[1].moments == s_moments
        # the contrasts stay where the data put them as s grows, and mu is not confounded with them
        assert problem.column_moments.tolist() == [2] * problem.design.p
    # with tau of the same tail both may grow together; the normal prior of mu has all moments
    problem = build_problem(effects, Model(MU, bm.HalfCauchy(0.5), {"two": Exchangeable(bm.HalfCauchy(0.5))}))
    assert [axis.moments for axis in problem.axes] == [2, 1]
    assert not problem.simple
    # two rows: with flat mu the likelihood falls as 1 / tau, which a flat prior of tau does not survive
    few = bm.Effects("ab", [0.1, 0.5], [0.1, 0.2], measure="MD", moderators={"kind": list("xy")})
    with pytest.raises(bm.ModelError, match=r"improper: flat\(\) for tau, halfnormal\(1\) for sd\[kind\] with 2 rows"):
        solve(few, Model(bm.Flat(), bm.Flat(), {"kind": Exchangeable(bm.HalfNormal(1))}))


def test_what_the_exact_engine_covers() -> None:
    effects = example()
    lacking = dataclasses.replace(effects, moderators={"weeks": np.array([math.nan, *effects.moderators["weeks"][1:]])})
    plain = Model(MU, TAU)
    imputed = MissingNumeric(bm.Normal(10, 5), bm.HalfNormal(5))
    refused: list[tuple[bm.Effects, Model, str]] = [
        (effects, dataclasses.replace(plain, likelihood="binomial", baseline=bm.Normal(0, 1)), "binomial"),
        (effects, dataclasses.replace(plain, random=StudentEffects(bm.Exponential(0.1))), "StudentEffects"),
        (effects, dataclasses.replace(plain, random=OutlierEffects(bm.Uniform(0, 0.5), bm.HalfNormal(1))), "Outlier"),
        (lacking, Model(MU, TAU, {"weeks": bm.Normal(0, 1)}, missing={"weeks": imputed}), "missing values"),
        (effects, dataclasses.replace(plain, derived={"correlation": bm.Uniform(0, 1)}), "correlation"),
        (effects, dataclasses.replace(plain, missing_sd=MissingSD(bm.Normal(0, 1), bm.HalfNormal(1))), "report"),
        (effects, Model(MU, TAU, {"weeks": Monotone(bm.Normal(0, 1))}), "monotone"),
        (effects, Model(bm.Uniform(-1, 1), TAU, {"weeks": bm.Uniform(-1, 1)}), "only one coefficient"),
        (
            effects,
            Model(bm.StudentT(0, 1, 4), TAU, {"weeks": bm.Cauchy(0, 1), "kind": bm.Cauchy(0, 1)}),
            "at most 2",
        ),
        (
            effects,
            Model(
                bm.StudentT(0, 1, 4),
                TAU,
                {"weeks": Spline(bm.Normal(0, 1), bm.HalfNormal(1)), "kind": Exchangeable(bm.HalfNormal(1))},
            ),
            "at most 3",
        ),
    ]
    for data, model, reason in refused:
        assert reason in (why_unsupported(data, model) or "")
        with pytest.raises(bm.ModelError, match=r'engine="nuts"\.$'):
            solve(data, model)
    covered = [
        plain,
        Model(MU, None),
        Model(bm.Cauchy(0, 1), TAU, {"weeks": bm.StudentT(0, 1, 3)}),
        # nothing is missing here, so that nothing is imputed
        Model(MU, TAU, {"weeks": bm.Normal(0, 1)}, missing={"weeks": imputed}),
        Model(MU, TAU, {"weeks": Spline(bm.Normal(0, 1), bm.HalfNormal(1)), "kind": Exchangeable(bm.HalfNormal(1))}),
    ]
    for model in covered:
        assert why_unsupported(effects, model) is None
