"""The PyMC graph's log density against numpy: two implementations of every model, which must not drift apart.

The graph integrates study effects (and, beside imputed numbers, coefficients) out of the density that NUTS walks in;
``conditional.condition`` computes the likelihood with study effects integrated out for everything that follows from
draws. Here the graph is evaluated at random points and compared with that likelihood plus priors written with scipy,
up to a constant; where the two differ by construction, with dense matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

import bayesmeta as bm
from bayesmeta.numerics import rule
from bayesmeta.nuts import (
    HierarchicalRows,
    build_graph,
    build_rows,
    collapsible,
    condition,
    control_arms,
    draw_coefficients,
    effect_factor,
)
from bayesmeta.priors import parse
from nuts_cases import problem
from oracle_core import exponential, gaussian, half_cauchy, half_normal, normal, truncated_normal, uniform

FloatArray = NDArray[np.float64]
Values = Mapping[str, FloatArray]

# two sums of some hundred logarithms in double precision
ROUNDING = 1e-8
# a central difference of step 1e-5 stands for a derivative
DIFFERENCE = 1e-6
POINTS = 5
SIZE = 20_000

Y = [-0.9, -0.2, -0.5, 0.1, -0.35, -0.6, 0.2]
SE = [0.3, 0.2, 0.25, 0.4, 0.15, 0.3, 0.2]
STUDY = ["a", "b", "c", "b", "d", "e", "f"]
ARMS = [("x", "usual")] * 3 + [("y", "usual")] + [("x", "usual")] * 3
BLOCKS = ((np.array([1, 3]), np.array([[0.04, 0.03], [0.03, 0.16]])),)
WEEKS = [4.0, 6, 8, 12, 10, 9, 5]
KIND = ["p", "q", "r", "p", "q", "r", "p"]


def effects(*, blocks: bool = True, **options: Any) -> bm.Effects:
    study = STUDY if blocks else list("abcdefg")
    return bm.Effects(
        study, Y, SE, measure="SMD", arms=ARMS if blocks else None, blocks=BLOCKS if blocks else (), **options
    )


@dataclass(frozen=True)
class Density:
    """A model, log priors of the graph's own variables by name, and what else it observes (a function of values)."""

    effects: bm.Effects
    model: bm.Model
    priors: Mapping[str, Callable[[FloatArray], Any]] = field(default_factory=dict)
    more: Callable[[HierarchicalRows, Values], float] = lambda h, v: 0.0


MU = {"mu": normal(0, 1)}
# an SD that is known by its square is a normal about zero, folded
PLAIN = {**MU, "tau_signed": normal(0, 0.5)}
HN, N01 = bm.HalfNormal(0.5), bm.Normal(0, 1)
UNIT = normal(0, 1)
# a contrast of two levels has the stated SD, an orthonormal column of it 1 / sqrt(2)
BETA = {"kind": bm.Coefficient(bm.Normal(0, 0.5)), "weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6)}
MOVED = {"kind": KIND, "weeks": WEEKS}


def _stated(name: str, log: bool = False) -> Callable[[HierarchicalRows, Values], float]:
    """The population of a numeric moderator, where it is stated."""

    def density(h: HierarchicalRows, v: Values) -> float:
        stated = np.array([x for x in h.effects.moderators[name] if x == x])
        return float(stats.norm.logpdf(np.log(stated) if log else stated, v[f"mean[{name}]"], v[f"sd[{name}]"]).sum())

    return density


def _levels(h: HierarchicalRows, v: Values) -> float:
    """Frequencies of levels: how often each is stated, by trial."""
    counts = dict.fromkeys(h.levels[0].levels, 0)
    for level in dict(zip(h.effects.study, h.effects.moderators["kind"], strict=True)).values():
        if level is not None:
            counts[level] += 1
    return float(np.array(list(counts.values())) @ np.log(v["levels[kind]"]))


def _reported_sds(h: HierarchicalRows, v: Values) -> float:
    """A reported SD estimates its own log SD with variance 1 / (2 (n - 2))."""
    assert h.effects.spreads is not None
    assert h.effects.n is not None
    sd, n = h.effects.spreads.sd, h.effects.n.sum(axis=1)
    known = ~np.isnan(sd)
    scale = np.sqrt(v["sd_sdlog"] ** 2 + 0.5 / (n[known] - 2))
    return float(stats.norm.logpdf(np.log(sd[known]), v["sd_meanlog"], scale).sum())


def tabulated() -> bm.Effects:
    """Three rows move with a number: a difference divided by an SD that depends on it, as an SMD of changes does."""
    low, high = 0.0, 0.9
    nodes = low + (high - low) * (rule(33)[0] + 1) / 2
    scale = np.ones((7, nodes.size))
    scale[:3] = 1 / np.sqrt(2 * (1 - nodes * 0.9))
    y, se = np.array(Y)[:, None] * scale, np.array(SE)[:, None] * scale
    table = bm.ConditionalEstimates(low, high, y, se, np.log(scale))
    return bm.Effects(list("abcdefg"), Y, SE, measure="SMD", tabulated={"r": table})


CASES: dict[str, Density] = {
    "plain": Density(effects(blocks=False), bm.Model(N01, HN), PLAIN),
    "blocks": Density(effects(), bm.Model(N01, HN, rho=0.7), PLAIN),
    "common effect": Density(effects(), bm.Model(N01, None), MU),
    "flat": Density(effects(), bm.Model(bm.Flat(), bm.Flat())),
    "half-Cauchy, Student-t mean": Density(
        effects(),
        bm.Model(bm.StudentT(0, 0.4, 5), bm.HalfCauchy(0.5)),
        {"mu": stats.t(5, 0, 0.4).logpdf, "tau_signed": stats.cauchy(0, 0.5).logpdf},
    ),
    # of the logarithm of tau squared: Rhodes 2015, all areas, t with 5 degrees of freedom about -3.44, scale 2.59
    "log-t": Density(effects(), bm.Model(N01, bm.Rhodes2015()), {**MU, "tau_log": stats.t(5).logpdf}),
    "log-normal": Density(
        effects(), bm.Model(N01, bm.LogNormal(-1, 0.5)), {**MU, "tau": stats.lognorm(0.5, scale=math.exp(-1)).logpdf}
    ),
    "inverse gamma": Density(
        effects(), bm.Model(N01, bm.InverseGamma(1.5, 0.4)), {**MU, "tau": stats.invgamma(1.5, scale=0.4).logpdf}
    ),
    "truncated": Density(
        effects(),
        bm.Model(bm.Truncated(N01, -0.8, math.inf), bm.Uniform(0, 2)),
        {"mu": truncated_normal(0, 1, -0.8, math.inf), "tau": uniform(0, 2)},
    ),
    "moderators": Density(
        effects(moderators=MOVED), bm.Model(N01, HN, BETA), {**PLAIN, "b1_unit": normal(0, 0.5), "b2": normal(0, 0.25)}
    ),
    "levels with Student-t prior": Density(
        effects(moderators=MOVED),
        bm.Model(N01, HN, {"kind": bm.StudentT(0, 0.5, 4)}),
        {**PLAIN, "b1_unit": UNIT, "b1_mixing": stats.gamma(2, scale=1 / 2).logpdf},
    ),
    "exchangeable": Density(
        effects(moderators=MOVED),
        bm.Model(N01, HN, {"kind": bm.Exchangeable(bm.HalfNormal(0.3))}),
        {**PLAIN, "sd1_signed": normal(0, 0.3), "b1_unit": UNIT},
    ),
    "spline": Density(
        effects(moderators=MOVED),
        bm.Model(N01, HN, {"weeks": bm.Spline(bm.Normal(0, 0.5), bm.HalfNormal(0.25), per=4)}),
        {**PLAIN, "b1": normal(0, 0.5), "sd2_signed": normal(0, 0.25), "b2_unit": UNIT},
    ),
    "monotone": Density(
        effects(moderators=MOVED),
        bm.Model(N01, HN, {"weeks": bm.Monotone(bm.Normal(0, 2), (4, 8, 12))}),
        {**PLAIN, "b1_total": normal(0, 2)},  # a flat Dirichlet is a constant
    ),
    "clusters": Density(
        effects(cluster=STUDY, moderators=MOVED),
        bm.Model(N01, HN, {"weeks": bm.Normal(0, 0.1)}, cluster_tau=bm.HalfNormal(0.25)),
        {**PLAIN, "b1": normal(0, 0.1), "tau_within_signed": normal(0, 0.25)},
    ),
    # the rows of the block lie in levels p and p, then in levels p and q: rotated, and factored at every point
    "tau by level": Density(
        effects(moderators={"kind": ["p", "p", "q", "p", "q", "q", "p"]}),
        bm.Model(N01, HN, {"kind": bm.Normal(0, 0.5)}, tau_by=bm.TauBy("kind", {"q": bm.HalfCauchy(0.3)})),
        {
            **MU,
            "b1_unit": normal(0, 0.5),
            "tau[p]_signed": normal(0, 0.5),
            "tau[q]_signed": stats.cauchy(0, 0.3).logpdf,
        },
    ),
    "tau by level across a block": Density(
        effects(moderators={"kind": ["p", "p", "q", "q", "q", "q", "p"]}),
        bm.Model(N01, HN, {"kind": bm.Normal(0, 0.5)}, rho=0.7, tau_by=bm.TauBy("kind")),
        {**MU, "b1_unit": normal(0, 0.5), "tau[p]_signed": normal(0, 0.5), "tau[q]_signed": normal(0, 0.5)},
    ),
    "tau along a number": Density(
        effects(moderators=MOVED),
        bm.Model(N01, HN, {"weeks": bm.Normal(0, 0.1)}, tau_by=bm.TauBy("weeks", slope=bm.Normal(0, 0.3))),
        {**PLAIN, "b1": normal(0, 0.1), "tau_slope": normal(0, 0.3)},
    ),
    "Student-t effects": Density(
        effects(),
        bm.Model(N01, HN, random=bm.StudentEffects(parse("truncated(exponential(0.0345), 1, inf)"))),
        {**MU, "tau": half_normal(0.5), "df": exponential(0.0345, 1.0)},
    ),
    "outliers": Density(
        effects(),
        bm.Model(N01, HN, random=bm.OutlierEffects(bm.Uniform(0, 0.5), bm.HalfCauchy(1))),
        {**PLAIN, "share": uniform(0, 0.5), "extra_signed": lambda x: half_cauchy(1)(abs(x))},
    ),
    "missing levels": Density(
        effects(moderators={"kind": ["p", "q", None, "q", "q", "r", None]}),
        bm.Model(N01, HN, {"kind": bm.Normal(0, 0.5)}, missing={"kind": bm.MissingLevels(2.0, {"q": 0.7})}),
        {**PLAIN, "b1_unit": normal(0, 0.5), "levels[kind]": lambda p: np.log(p)},
        _levels,
    ),
    # rows of one block stand once for every level
    "missing levels of two rows": Density(
        effects(moderators={"kind": ["p", None, "r", None, "q", "r", "p"]}),
        bm.Model(
            N01,
            HN,
            {"kind": bm.Normal(0, 0.5)},
            missing={"kind": bm.MissingLevels()},
            random=bm.OutlierEffects(bm.Uniform(0, 0.5), bm.HalfNormal(1)),
        ),
        {**PLAIN, "b1_unit": normal(0, 0.5), "share": uniform(0, 0.5), "extra_signed": normal(0, 1)},
        _levels,
    ),
    "missing numbers under heavy tails": Density(
        effects(moderators={"weeks": [4.0, math.nan, 8, math.nan, 10, 9, math.nan]}),
        bm.Model(
            N01,
            HN,
            {"weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6)},
            missing={"weeks": bm.MissingNumeric(bm.Normal(2, 1), bm.HalfNormal(1), "lognormal", shift=0.2)},
            random=bm.StudentEffects(bm.Exponential(0.1)),
        ),
        {
            **MU,
            "tau": half_normal(0.5),
            "df": exponential(0.1),
            "b1": normal(0, 0.25),
            "mean[weeks]": normal(2, 1),
            "sd[weeks]": half_normal(1),
            "missing[weeks]_unit": UNIT,
        },
        _stated("weeks", log=True),
    ),
    "derived number": Density(
        tabulated(), bm.Model(N01, HN, derived={"r": bm.Uniform(0, 0.9)}), {**PLAIN, "r": uniform(0, 0.9)}
    ),
    "missing SD, SMD": Density(
        *problem("stay_smd"),
        {**PLAIN, "sd_meanlog": normal(3, 1), "sd_sdlog": half_normal(1), "sd_unit": UNIT},
        _reported_sds,
    ),
    "missing SD, MD": Density(
        *problem("stay_md"),
        {
            "mu": normal(0, 20),
            "tau_signed": normal(0, 10),
            "sd_meanlog": normal(3, 1),
            "sd_sdlog": half_normal(1),
            "sd_unit": UNIT,
        },
        _reported_sds,
    ),
}


@dataclass(frozen=True)
class Graph:
    """The graph as a function of unconstrained points: log density, values of its variables, and what is kept."""

    h: HierarchicalRows
    points: list[dict[str, FloatArray]]
    logp: Callable[[Any], Any]
    variables: Callable[[Any], Values]
    kept: Callable[[Any], Values]


def graph_of(effects: bm.Effects, model: bm.Model, seed: int = 1) -> Graph:
    h = build_rows(effects, model)
    graph = build_graph(h)
    made = graph.model
    rng = np.random.default_rng(seed)
    start = made.initial_point()
    points = [
        {name: value + 0.4 * rng.standard_normal(value.shape) for name, value in start.items()} for _ in range(POINTS)
    ]

    def function(names: list[str]) -> Callable[[Any], Values]:
        outputs = made.replace_rvs_by_values([made[name] for name in names])
        compiled = made.compile_fn(outputs, inputs=made.value_vars, mode="FAST_COMPILE", on_unused_input="ignore")
        return lambda point: dict(zip(names, compiled(point), strict=True))

    logp = made.compile_logp(jacobian=False, mode="FAST_COMPILE")
    return Graph(h, points, logp, function([rv.name for rv in made.free_RVs]), function(list(graph.keep)))


def assert_drawn_from_their_population(graph: Graph, values: Values, kept: Values) -> None:
    """Numbers that nobody reported are ``mean + shift + sd z``, exponentiated where the population is log-normal."""
    for item in graph.h.imputed:
        population, name = item.population, item.name
        x = values[f"mean[{name}]"] + population.shift + values[f"sd[{name}]"] * values[f"missing[{name}]_unit"]
        wanted = np.exp(x) if population.family == "lognormal" else x
        np.testing.assert_allclose(np.asarray(kept[f"missing[{name}]"]), wanted, rtol=1e-12)


def draws_of(kept: Values) -> dict[str, FloatArray]:
    """One point as ``condition`` takes it."""
    draws = {name: np.asarray(value, float)[..., None] for name, value in kept.items()}
    return {"tau": np.zeros(1), **draws}


def assert_equal_up_to_a_constant(ours: list[float], theirs: list[float], tolerance: float = ROUNDING) -> None:
    difference = np.array(ours, float) - np.array(theirs, float)
    assert np.isfinite(difference).all()
    assert np.ptp(ours) > 0.1, "the points do not differ"
    assert np.ptp(difference) < tolerance * (1 + np.abs(ours).max())


@pytest.mark.parametrize("name", CASES)
def test_graph_is_prior_plus_conditional_likelihood(name: str) -> None:
    made = CASES[name]
    graph = graph_of(made.effects, made.model)
    assert not collapsible(graph.h)
    # every variable of the graph has a prior here, or a flat one
    flat = {"mu", "tau"} if name == "flat" else {"b1_shares"} if name == "monotone" else set()
    flat |= {"levels[kind]"} if name == "missing levels of two rows" else set()
    assert set(graph.variables(graph.points[0])) == set(made.priors) | flat
    ours, theirs = [], []
    for point in graph.points:
        values, kept = graph.variables(point), graph.kept(point)
        assert_drawn_from_their_population(graph, values, kept)
        prior = sum(float(np.sum(density(values[key]))) for key, density in made.priors.items())
        likelihood = condition(graph.h, draws_of(kept)).log_likelihood
        ours.append(float(graph.logp(point)))
        theirs.append(prior + float(likelihood.sum()) + made.more(graph.h, {**values, **kept}))
    assert_equal_up_to_a_constant(ours, theirs)


def test_student_likelihood_is_the_integral_over_the_mixing_scale() -> None:
    """Both implementations use one set of nodes; here scipy integrates a row's density over its own true effect."""
    made = effects(blocks=False)
    df, mu, tau = 3.0, 0.1, 0.4
    model = bm.Model(N01, HN, random=bm.StudentEffects(bm.Exponential(0.1)))
    draws = {"coefficients": np.array([[mu]]), "tau": np.array([tau]), "df": np.array([df])}
    ours = condition(build_rows(made, model), draws).log_likelihood[:, 0]
    theta = np.linspace(-60, 60, 600_001)
    density = stats.t.pdf(theta, df, mu, tau)
    for row in range(made.k):
        value = np.trapezoid(density * stats.norm.pdf(made.y[row], theta, made.se[row]), theta)
        assert ours[row] == pytest.approx(math.log(value), abs=1e-4)


# -- coefficients integrated out ---------------------------------------------------------------------------------------


def imputed(*, curve: bool) -> Density:
    """Two moderators, of which one lacks values in rows of a block; coefficients are integrated out."""
    lacking = {"weeks": [4.0, math.nan, 8, math.nan, 10, 9, math.nan], "kind": KIND}
    kind = bm.Exchangeable(bm.HalfNormal(0.3)) if curve else bm.Coefficient(bm.Normal(0, 0.5))
    model = bm.Model(
        bm.Normal(0.2, 1),
        HN,
        {"kind": kind, "weeks": bm.Coefficient(bm.Normal(0.05, 0.25), per=6)},
        missing={"weeks": bm.MissingNumeric(bm.Normal(8, 4), bm.HalfNormal(4), shift=1.0)},
    )
    priors = {"tau_signed": normal(0, 0.5), "mean[weeks]": normal(8, 4), "sd[weeks]": half_normal(4)}
    priors |= {"missing[weeks]_unit": UNIT} | ({"sd1_signed": normal(0, 0.3)} if curve else {})
    return Density(effects(moderators=lacking), model, priors, _stated("weeks"))


def dense(h: HierarchicalRows, kept: Values) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log evidence, mean and covariance of the coefficients given the rest, by dense matrices."""
    # the hierarchy keeps rows of one unit together
    X = np.empty_like(h.X)
    X[h.row] = h.X
    x = np.asarray(kept["missing[weeks]"])
    for position, trial in enumerate(h.imputed[0].trials):
        rows = [
            i
            for i, study in enumerate(h.effects.study)
            if study == trial and np.isnan(h.effects.moderators["weeks"][i])
        ]
        X[rows, 3] += (x[position] - h.imputed[0].centre) / 6
    R = np.eye(7)
    R[1, 3] = R[3, 1] = h.model.rho
    V = h.effects.covariance() + float(kept["tau"]) ** 2 * R
    level = float(np.asarray(kept["sd1"])) if "sd1" in kept else 0.5 / math.sqrt(2)
    return gaussian(h.effects.y, X, V, np.array([0.2, 0, 0, 0.05]), np.diag(np.square([1, level, level, 0.25])))


@pytest.mark.parametrize("curve", [False, True])
def test_graph_with_coefficients_integrated_out(curve: bool) -> None:
    made = imputed(curve=curve)
    graph = graph_of(made.effects, made.model)
    assert collapsible(graph.h)
    assert set(graph.variables(graph.points[0])) == set(made.priors)
    ours, theirs = [], []
    for point in graph.points:
        values, kept = graph.variables(point), graph.kept(point)
        assert_drawn_from_their_population(graph, values, kept)
        prior = sum(float(np.sum(density(values[key]))) for key, density in made.priors.items())
        ours.append(float(graph.logp(point)))
        theirs.append(prior + float(dense(graph.h, kept)[0]) + made.more(graph.h, {**values, **kept}))
    assert_equal_up_to_a_constant(ours, theirs)


@pytest.mark.parametrize("curve", [False, True])
def test_coefficients_are_drawn_from_their_normal_distribution(curve: bool) -> None:
    """Means and covariances of 20,000 draws at one point, in their standard errors (28 comparisons: five of them)."""
    made = imputed(curve=curve)
    graph = graph_of(made.effects, made.model)
    kept = graph.kept(graph.points[1])
    draws = {name: np.repeat(value, SIZE, axis=-1) for name, value in draws_of(kept).items()}
    beta = draw_coefficients(graph.h, draws, np.random.default_rng(3))
    _, mean, cov = dense(graph.h, kept)
    assert (np.abs(beta.mean(axis=1) - mean) < 5 * np.sqrt(np.diag(cov) / SIZE)).all()
    error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / SIZE)
    assert (np.abs(np.cov(beta) - cov) < 5 * error).all()


# -- counts ------------------------------------------------------------------------------------------------------------

COUNTS = [[3, 40, 5, 42], [0, 30, 2, 31], [8, 50, 6, 49], [4, 28, 2, 31], [1, 60, 0, 58]]


def counted(measure: str, *, shared: bool) -> tuple[bm.Effects, bm.Model]:
    """Invented counts; rows 2 and 4 may share a control."""
    arms = [("x", "usual")] * 3 + [("y", "usual"), ("x", "usual")] if shared else None
    study = ["a", "b", "c", "b", "d"] if shared else list("abcde")
    # the covariance of a block plays no part under the binomial likelihood
    blocks = ((np.array([1, 3]), np.array([[0.25, 0.05], [0.05, 0.25]])),) if shared else ()
    made = bm.Effects(study, [0.1] * 5, [0.5] * 5, measure=measure, counts=COUNTS, arms=arms, blocks=blocks)
    tau = bm.HalfNormal(0.05) if measure == "RD" else HN
    return made, bm.Model(bm.Normal(0, 0.1), tau, likelihood="binomial", baseline=bm.Normal(-2, 1), rho=0.6)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_counts(measure: str, shared: bool) -> None:
    """Joint density of study effects and control risks by scipy, times how effects move with what is sampled."""
    made, model = counted(measure, shared=shared)
    graph = graph_of(made, model)
    controls, arm = control_arms(made)
    assert len(controls) == (4 if shared else 5)
    assert (effect_factor(graph.h) is not None) == shared
    R = np.where(arm[:, None] == arm[None, :], 0.6, 0.0)
    np.fill_diagonal(R, 1.0)
    scale = 0.05 if measure == "RD" else 0.5
    ours, theirs = [], []
    for point in graph.points:
        point = {name: value * (0.1 if name == "mu" else 1.0) for name, value in point.items()}
        values, kept = graph.variables(point), graph.kept(point)
        theta, alpha, tau = kept["theta"], kept["baseline"], float(kept["tau"])
        risk = special.expit(alpha)[arm]
        treated = {"OR": special.expit(alpha[arm] + theta), "RR": risk * np.exp(theta), "RD": risk + theta}[measure]
        assert ((treated > 0) & (treated < 1)).all()
        moved = []
        for sign in (1, -1):
            other = {**point, "theta_unit": point["theta_unit"] + sign * 1e-5}
            moved.append(graph.kept(other)["theta"])
        total = normal(0, 0.1)(values["mu"]) + normal(0, scale)(values["tau_signed"]) + normal(-2, 1)(alpha).sum()
        total += stats.binom.logpmf(controls[:, 0], controls[:, 1], special.expit(alpha)).sum()
        total += stats.binom.logpmf(made.counts[:, 0], made.counts[:, 1], treated).sum()  # type: ignore[index]
        total += stats.multivariate_normal(np.full(5, float(values["mu"])), tau**2 * R).logpdf(theta)
        total += np.log((moved[0] - moved[1]) / 2e-5).sum()
        ours.append(float(graph.logp(point)))
        theirs.append(float(total))
    assert_equal_up_to_a_constant(ours, theirs, DIFFERENCE)


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_counts_under_a_common_effect(measure: str) -> None:
    made, model = counted(measure, shared=False)
    graph = graph_of(made, bm.Model(model.mu, None, likelihood="binomial", baseline=model.baseline))
    ours, theirs = [], []
    for point in graph.points:
        # where no risk leaves 0 to 1: one that does has no likelihood
        point = {name: 0.1 * abs(value) if name == "mu" else value for name, value in point.items()}
        values, kept = graph.variables(point), graph.kept(point)
        alpha, mu = kept["baseline"], float(values["mu"])
        risk = special.expit(alpha)
        treated = {"OR": special.expit(alpha + mu), "RR": risk * np.exp(mu), "RD": risk + mu}[measure]
        assert ((treated > 0) & (treated < 1)).all()
        counts = np.array(COUNTS)
        total = normal(0, 0.1)(mu) + normal(-2, 1)(alpha).sum()
        total += stats.binom.logpmf(counts[:, 2], counts[:, 3], risk).sum()
        total += stats.binom.logpmf(counts[:, 0], counts[:, 1], treated).sum()
        ours.append(float(graph.logp(point)))
        theirs.append(float(total))
    assert_equal_up_to_a_constant(ours, theirs)
