"""Tipping points, prior probabilities, conflicts and the bench of priors.

Authorities: brute force over tau (a trapezoidal rule in a variable in which tau decays doubly exponentially), QUADPACK
with scipy's distributions; R bayesmeta's and a 400,001-point rule's answers (tests/reference); closed forms of the
normal distribution; Monte Carlo with its error stated.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.measures import MEASURES
from bayesmeta.model import Model
from bayesmeta.numerics import probit_rule
from bayesmeta.priors import (
    SCALED_MEASURES,
    Cauchy,
    Cochrane,
    Flat,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    LogNormal,
    Normal,
    Prior,
    Rhodes2015,
    StudentT,
    Turner2015,
    Uniform,
)
from bayesmeta.sensitivity import (
    NamedPrior,
    conflict,
    named_priors,
    prior_bench_table,
    prior_probability,
    tipping_table,
)
from references import effects_of, exact_effects, reference

# the engine's rules settle to 1e-8, and so does the brute force; a crossing is followed to 1e-7
ENGINE, CROSSING = 5e-8, 2e-7
# prior probabilities are one rule of 513 nodes in the probit; a bounded prior of mu is stepped over by its quantiles
PRIOR, PRIOR_STEPPED = 1e-8, 1e-6
# R bayesmeta's log marginal (tests/reference/README.md), twice for a difference
EVIDENCE = 2e-5
# a million pairs: the standard error of a two-sided p-value is below 1e-3; four of them
PAIRS, MC = 1_000_000, 4e-3
# closed forms
CLOSED = 1e-9

Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15])
MODEL = Model(Normal(0, 1), HalfNormal(0.5))


def make(y: Any = Y, se: Any = SE, **options: Any) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, **{"measure": "SMD", "better": "lower", **options})


def mid(benefit: float = 0.2, better: str = "lower", measure: str = "SMD") -> bm.Threshold:
    return bm.threshold(benefit, measure_name=measure, better=better)


def beyond(
    effects: Effects, mean: float, sd: float, log_tau: Any, distance: float, sign: int, *, new: bool = False
) -> float:
    """P(sign effect > distance) by brute force, with a normal prior of mu."""
    u = np.linspace(-3.2, 10.0, 4001)
    unit = float(np.median(effects.se))
    tau = unit * np.exp(u - np.exp(-u))
    v = effects.se**2 + tau[:, None] ** 2
    precision = (1 / v).sum(axis=1) + sd**-2
    centre = ((effects.y / v).sum(axis=1) + mean * sd**-2) / precision
    rest = (np.square(effects.y - centre[:, None]) / v).sum(axis=1) + np.square((mean - centre) / sd)
    log = -0.5 * (np.log(v).sum(axis=1) + np.log(precision) + rest) + log_tau(tau) + np.log(tau)
    weight = np.exp(log - log.max()) * (1 + np.exp(-u))
    spread = np.sqrt(1 / precision + (tau**2 if new else 0.0))
    return float(weight @ stats.norm.sf((distance - sign * centre) / spread) / weight.sum())


def half_normal(scale: float) -> Any:
    return lambda tau: stats.halfnorm.logpdf(tau, scale=scale)


# ---------------------------------------------------------------------------------------------- prior probabilities

TAUS: dict[str, tuple[Prior, Any]] = {
    "halfnormal": (HalfNormal(0.5), stats.halfnorm(scale=0.5)),
    "halfcauchy": (HalfCauchy(0.5), stats.halfcauchy(scale=0.5)),
    "lognormal": (LogNormal(-1.0, 0.7), stats.lognorm(0.7, scale=math.exp(-1.0))),
    "inversegamma": (InverseGamma(1.69, 0.42), stats.invgamma(1.69, scale=0.42)),
    # Turner 2015, general: tau2 lognormal(-2.56, 1.74); published in Turner's table IV
    "turner": (Turner2015(), stats.lognorm(1.74 / 2, scale=math.exp(-2.56 / 2))),
}
MUS: dict[str, tuple[Prior, Any]] = {
    "normal": (Normal(0.2, 0.7), stats.norm(0.2, 0.7)),
    "studentt": (StudentT(0.1, 0.5, 4), stats.t(4, 0.1, 0.5)),
    "cauchy": (Cauchy(0, 0.5), stats.cauchy(0, 0.5)),
    "uniform": (Uniform(-1, 2), stats.uniform(-1, 3)),
}


def on_a_grid(mu: Any, tau: Any, distance: float, sign: int) -> float:
    """P(sign theta_new > distance), trapezoidal in the logarithms of tau and of the distance of mu from the threshold.

    theta_new is beyond it with probability Phi(x / tau) where mu is beyond by x: smooth in both logarithms, which decay
    at their ends.
    """
    log_x = np.linspace(-45, 45, 1801)
    x = np.exp(log_x)
    far, near = mu.pdf(sign * (distance + x)) * x, mu.pdf(sign * (distance - x)) * x
    log_t = np.linspace(-45, 45, 1801)
    t = np.exp(log_t)
    weight = tau.pdf(t) * t
    inner = np.array(
        [
            w * (far @ stats.norm.cdf(x / s) + near @ stats.norm.cdf(-x / s)) if w > 1e-18 else 0.0
            for w, s in zip(weight, t, strict=True)
        ]
    )
    return float(inner.sum() * (log_x[1] - log_x[0]) * (log_t[1] - log_t[0]))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("tau", TAUS)
def test_prior_probability_of_a_new_study_under_a_normal_prior(tau: str, sign: int) -> None:
    """theta_new given tau is normal with variances added: one QUADPACK integral over the density of tau."""
    prior, form = TAUS[tau]
    for distance in (0.0, 0.5):

        def inside(log: float, distance: float = distance) -> float:
            t = math.exp(log)
            return float(stats.norm.sf((distance - sign * 0.2) / math.hypot(0.7, t)) * form.pdf(t) * t)

        edges = [-40, -20, -10, -6, -4, -3, -2, -1, 0, 1, 2, 4, 8, 16, 40]
        expected = math.fsum(integrate.quad(inside, a, b, epsabs=1e-12)[0] for a, b in pairwise(edges))
        found = prior_probability(Model(Normal(0.2, 0.7), prior), "theta_new", distance, sign)
        assert found == pytest.approx(expected, abs=PRIOR)


@pytest.mark.parametrize("name", MUS)
def test_prior_probability_of_the_mean_is_its_own_tail(name: str) -> None:
    prior, form = MUS[name]
    for tau in (HalfNormal(0.5), None, Flat()):
        for distance in (0.0, 0.3, 1.5):
            assert prior_probability(Model(prior, tau), "mu", distance, 1) == pytest.approx(
                form.sf(distance), abs=1e-12
            )
            assert prior_probability(Model(prior, tau), "mu", distance, -1) == pytest.approx(
                form.cdf(-distance), abs=1e-12
            )


@pytest.mark.parametrize("tau", ["halfnormal", "halfcauchy", "turner"])
@pytest.mark.parametrize("mu", ["studentt", "cauchy"])
def test_prior_probability_with_heavy_tailed_priors_of_mu(mu: str, tau: str) -> None:
    """The first rule stepped over quantiles of mu and was good to 5e-5 only: t is a scale mixture of normals now."""
    for distance, sign in ((0.5, -1), (0.3, 1)):
        found = prior_probability(Model(MUS[mu][0], TAUS[tau][0]), "theta_new", distance, sign)
        assert found == pytest.approx(on_a_grid(MUS[mu][1], TAUS[tau][1], distance, sign), abs=PRIOR)


@pytest.mark.parametrize("tau", ["halfnormal", "halfcauchy", "turner"])
def test_prior_probability_with_a_bounded_prior_of_mu(tau: str) -> None:
    """The integral of Phi over a uniform mu is in closed form, z Phi(z) + phi(z); tau on a grid of its logarithm."""
    log_t = np.linspace(-45, 45, 4001)
    t = np.exp(log_t)
    for distance, sign in ((0.5, -1), (0.3, 1)):
        ends = np.array([sign * edge - distance for edge in (-1.0, 2.0)])
        z = np.sort(ends)[:, None] / t
        inner = t * np.diff(z * stats.norm.cdf(z) + stats.norm.pdf(z), axis=0)[0] / 3
        expected = float((inner * TAUS[tau][1].pdf(t) * t).sum() * (log_t[1] - log_t[0]))
        found = prior_probability(Model(Uniform(-1, 2), TAUS[tau][0]), "theta_new", distance, sign)
        assert found == pytest.approx(expected, abs=PRIOR_STEPPED)


def test_prior_probability_of_rows_in_clusters_adds_both_deviations() -> None:
    """Three variances add; Monte Carlo with a million draws, standard error 5e-4 at most."""
    model = Model(Normal(0.1, 0.3), HalfNormal(0.5), cluster_tau=HalfNormal(0.3))
    rng = np.random.default_rng(3)
    sds = np.sqrt(0.3**2 + np.square(rng.normal(0, 0.5, PAIRS)) + np.square(rng.normal(0, 0.3, PAIRS)))
    expected = stats.norm.sf((0.4 - 0.1) / sds)
    error = expected.std() / math.sqrt(PAIRS)
    assert prior_probability(model, "theta_new", 0.4, 1) == pytest.approx(expected.mean(), abs=4 * error)


@given(st.floats(-1, 1), st.floats(0.1, 2), st.floats(0.05, 2), st.floats(0, 2))
def test_prior_probabilities_of_both_directions_sum_to_one(mean: float, sd: float, scale: float, x: float) -> None:
    model = Model(Normal(mean, sd), HalfNormal(scale))
    mirrored = Model(Normal(-mean, sd), HalfNormal(scale))
    for name in ("mu", "theta_new"):
        up = prior_probability(model, name, x, 1)
        assert up + prior_probability(model, name, -x, -1) == pytest.approx(1, abs=1e-12)
        assert prior_probability(mirrored, name, x, -1) == pytest.approx(up, abs=1e-12)


def test_improper_priors_have_no_probability() -> None:
    assert math.isnan(prior_probability(Model(Flat(), HalfNormal(0.5)), "mu", 0.5, 1))
    assert math.isnan(prior_probability(Model(Normal(0, 1), Flat()), "theta_new", 0.5, 1))
    # without heterogeneity a new study is the mean
    assert prior_probability(Model(Normal(0, 1), None), "theta_new", 0.5, 1) == pytest.approx(stats.norm.sf(0.5))


def test_the_probit_rule_integrates_a_normal() -> None:
    p, w = probit_rule()
    z = stats.norm.ppf(np.clip(p, 1e-300, 1 - 1e-16))
    assert w.sum() == pytest.approx(1, abs=1e-12)
    assert w @ np.square(z) == pytest.approx(1, abs=1e-10)


# -------------------------------------------------------------------------------------------------------- conflicts


def data_fit(y: Any = Y, se: Any = SE, tau: Prior | None = None) -> bm.Fit:
    return bm.fit(make(y, se), Model(Flat(), tau))


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (0.5, 0.05), (-0.4, 3.0), (2.0, 0.2)])
def test_conflict_of_a_normal_prior_and_a_common_effect_is_a_z_test(mean: float, sd: float) -> None:
    """D - X is normal: z = (estimate - mean) / sqrt(se^2 + sd^2), two-sided; whichever of the two is narrower."""
    w = SE**-2
    z = ((w @ Y) / w.sum() - mean) / math.sqrt(1 / w.sum() + sd**2)
    assert conflict(Normal(mean, sd), data_fit(), "mu") == pytest.approx(2 * stats.norm.sf(abs(z)), abs=CLOSED)


def test_conflict_with_a_student_prior_by_quadpack() -> None:
    w = SE**-2
    form = stats.norm((w @ Y) / w.sum(), w.sum() ** -0.5)
    for prior, mine in ((StudentT(0.5, 0.3, 3), stats.t(3, 0.5, 0.3)), (Cauchy(0.5, 2.0), stats.cauchy(0.5, 2.0))):
        below = math.fsum(
            integrate.quad(lambda x: form.pdf(x) * mine.sf(x), a, b, epsabs=1e-12)[0]  # noqa: B023
            for a, b in pairwise([-3, -1, -0.5, 0, 0.5, 2])
        )
        assert conflict(prior, data_fit(), "mu") == pytest.approx(2 * min(below, 1 - below), abs=1e-7)


@pytest.mark.parametrize(
    ("prior", "form"),
    [
        (HalfNormal(0.5), stats.halfnorm(scale=0.5)),
        (HalfCauchy(0.1), stats.halfcauchy(scale=0.1)),
        (HalfNormal(0.02), stats.halfnorm(scale=0.02)),
        (LogNormal(1.0, 0.3), stats.lognorm(0.3, scale=math.e)),
    ],
)
def test_conflict_of_heterogeneity_by_monte_carlo(prior: Prior, form: Any) -> None:
    """A million pairs: quantiles of the flat posterior of tau from a brute-force table, and of the prior from scipy."""
    data = data_fit(tau=Flat())
    tau = np.exp(np.linspace(-14, 9, 60_001))
    v = SE**2 + tau[:, None] ** 2
    w = (1 / v).sum(axis=1)
    centre = (Y / v).sum(axis=1) / w
    log = -0.5 * (np.log(v).sum(axis=1) + np.log(w) + (np.square(Y - centre[:, None]) / v).sum(axis=1)) + np.log(tau)
    cdf = np.cumsum(np.exp(log - log.max()))
    rng = np.random.default_rng(5)
    drawn = np.interp(rng.random(PAIRS), cdf / cdf[-1], tau)
    below = float((drawn < np.asarray(form.rvs(PAIRS, random_state=rng))).mean())
    assert conflict(prior, data, "tau") == pytest.approx(2 * min(below, 1 - below), abs=MC)


def test_priors_of_one_name_keep_their_own_conflicts() -> None:
    fit, asked = bm.fit(make(), MODEL), [NamedPrior("asked", HalfNormal(scale), "us") for scale in (0.01, 5.0)]
    columns = ["conflict_mu", "conflict_tau"]
    together = prior_bench_table(fit, mu=[], tau=asked).loc[1:, columns].to_numpy()
    alone = [prior_bench_table(fit, mu=[], tau=[prior]).loc[1, columns].tolist() for prior in asked]
    assert together == pytest.approx(np.array(alone), abs=CLOSED)


def test_a_conflict_lies_between_zero_and_one_and_ignores_direction() -> None:
    for mean in (-5.0, 0.0, 0.3, 5.0):
        p = conflict(Normal(mean, 0.2), data_fit(), "mu")
        assert 0 <= p <= 1
        assert conflict(Normal(-mean, 0.2), data_fit(-Y), "mu") == pytest.approx(p, abs=1e-12)
    assert conflict(Normal(5, 0.2), data_fit(), "mu") < 1e-12
    assert math.isnan(conflict(Flat(), data_fit(), "mu"))


# --------------------------------------------------------------------------------------------------------- tipping

COLUMNS = [
    "question",
    "target",
    "benefit",
    "cutoff",
    "probability",
    "main_prior_probability",
    "moved",
    "value",
    "prior",
    "prior_probability",
    "tipped",
    "note",
]


@pytest.mark.parametrize("cut", [0.6, 0.8, 0.93])
@pytest.mark.parametrize(("better", "sign"), [("lower", -1), ("higher", 1)])
def test_at_the_tipping_prior_the_probability_is_the_cut(better: str, sign: int, cut: float) -> None:
    """The posterior at the printed setting by brute force; what the prior itself said by scipy."""
    effects = make(-sign * Y, better=better)
    table = tipping_table(bm.fit(effects, MODEL), mid(better=better), cut=cut)
    assert table.columns.tolist() == COLUMNS
    assert table["tipped"].any()
    for row in table.itertuples():
        new = row.target == "new study"
        main = beyond(effects, 0, 1, half_normal(0.5), row.benefit, sign, new=new)
        assert row.probability == pytest.approx(main, abs=ENGINE)
        spread = 0.5 if new else 0.0
        believed = prior_tail(0.0, 1.0, spread, row.benefit, sign)
        assert row.main_prior_probability == pytest.approx(believed, abs=PRIOR)
        if not row.tipped:
            assert row.note.startswith(f"stays {'at or above' if 'at or' in row.note else 'below'} {cut:g}: ")
            assert math.isnan(row.value)
            continue
        mean, sd, scale = 0.0, 1.0, 0.5
        if row.moved == "sceptical prior of mu":
            sd = row.value
            assert row.prior == f"normal(0, {sd:.3g})"
        elif row.moved == "scale of the prior of tau":
            scale = row.value
            assert row.prior == f"halfnormal({scale:.3g})"
        else:
            mean = row.value
            assert row.moved == "optimistic prior of mu"
            assert row.probability < cut
            assert mean * sign > 0
        assert beyond(effects, mean, sd, half_normal(scale), row.benefit, sign, new=new) == pytest.approx(
            cut, abs=CROSSING
        )
        believed = prior_tail(mean, sd, scale if new else 0.0, row.benefit, sign)
        assert row.prior_probability == pytest.approx(believed, abs=PRIOR)
        assert row.note.startswith(("falls below", "rises to"))
        assert row.prior in row.note


def prior_tail(mean: float, sd: float, scale: float, distance: float, sign: int) -> float:
    """P(sign effect > distance) under a normal prior of mu and, for a new study, a half-normal one of tau."""
    if scale == 0:
        return float(stats.norm.sf((distance - sign * mean) / sd))
    return float(
        integrate.quad(
            lambda q: stats.norm.sf((distance - sign * mean) / np.hypot(sd, scale * stats.halfnorm.ppf(q))),
            0,
            1,
            epsabs=1e-11,
            limit=200,
        )[0]
    )


def test_a_sceptical_prior_s_crossing_is_where_a_common_effect_says() -> None:
    """tau = None: P = Phi(|m| s / (se sqrt(s^2 + se^2))) with a normal(0, s) prior, which is solved for s."""
    w = SE**-2
    m, se = float((w @ Y) / w.sum()), float(w.sum() ** -0.5)
    table = tipping_table(bm.fit(make(), Model(Normal(0, 1), None)), cut=0.95)
    first = table.iloc[0]
    s = optimize.brentq(lambda s: stats.norm.cdf(-m * s / (se * math.hypot(s, se))) - 0.95, 1e-4, 10, xtol=1e-14)
    assert first["value"] == pytest.approx(s, rel=1e-5)
    assert first["note"] == f"falls below 0.95 at normal(0, {s:.3g})"
    assert first["prior_probability"] == pytest.approx(0.5, abs=1e-12)
    # without heterogeneity there is no scale to move, and a new study is the mean
    assert set(table["moved"]) == {"sceptical prior of mu"}
    assert len(set(table["value"].round(9))) == 1


def test_probabilities_that_never_cross_say_on_which_side_they_stay() -> None:
    """A normal(0, s) prior cannot push P(any benefit of the mean) below one half while the estimate is a benefit."""
    table = tipping_table(bm.fit(make(), MODEL), cut=0.45)
    row = table.iloc[0]
    assert not row["tipped"]
    assert row["note"].startswith("stays at or above 0.45: ")
    assert "from normal(0, " in row["note"]
    assert math.isnan(row["value"])
    # an estimate on the wrong side stays below it, except for an optimist
    wrong = tipping_table(bm.fit(make(better="higher"), MODEL), cut=0.9)
    assert wrong.iloc[0]["note"].startswith("stays below 0.9: ")
    optimist = wrong[(wrong["moved"] == "optimistic prior of mu") & (wrong["target"] == "mean effect")].iloc[0]
    assert optimist["tipped"]
    assert optimist["value"] > 0


def test_a_table_without_any_crossing_has_every_column() -> None:
    """One precise trial, a common effect: nothing tips, and the columns that would say where are there."""
    table = tipping_table(bm.fit(make([-5.0], [0.01]), Model(Normal(0, 1), None)), cut=0.3)
    assert table.columns.tolist() == COLUMNS
    assert not table["tipped"].any()
    assert table["note"].str.startswith("stays at or above").all()


def test_more_doubt_falls_first() -> None:
    """The higher the cut-off, the milder the sceptic and the smaller the scale of tau that tip it."""
    fit = bm.fit(make(), MODEL)
    found = [tipping_table(fit, cut=cut).set_index(["moved", "target"])["value"] for cut in (0.7, 0.8, 0.9)]
    sceptic = [float(item["sceptical prior of mu", "mean effect"]) for item in found]
    assert sceptic == sorted(sceptic)
    scale = [float(item["scale of the prior of tau", "new study"]) for item in found]
    assert scale == sorted(scale, reverse=True)


def test_only_a_stated_normal_prior_is_made_optimistic() -> None:
    for mu in (Flat(), StudentT(0, 1, 3)):
        table = tipping_table(bm.fit(make(), Model(mu, HalfNormal(0.5))), cut=0.99)
        assert set(table["moved"]) == {"sceptical prior of mu", "scale of the prior of tau"}
    assert tipping_table(bm.fit(make(), Model(Flat(), HalfNormal(0.5))))["main_prior_probability"].isna().all()


def test_a_mirror_image_tips_at_the_same_priors() -> None:
    down = tipping_table(bm.fit(make(), MODEL), mid(), cut=0.9)
    up = tipping_table(bm.fit(make(-Y, better="higher"), MODEL), mid(better="higher"), cut=0.9)
    sign = np.where(down["moved"] == "optimistic prior of mu", -1, 1)
    np.testing.assert_allclose(up["value"], sign * down["value"], rtol=1e-5)
    np.testing.assert_allclose(up["probability"], down["probability"], atol=1e-9)
    assert up["tipped"].tolist() == down["tipped"].tolist()


def test_units_of_the_outcome_scale_the_tipping_prior() -> None:
    one = tipping_table(bm.fit(make(), MODEL), mid(), cut=0.9)
    far = Model(Normal(0, 1e3), HalfNormal(500.0))
    other = tipping_table(bm.fit(make(1e3 * Y, 1e3 * SE, measure="MD"), far), mid(200.0, measure="MD"), cut=0.9)
    np.testing.assert_allclose(other["value"], 1e3 * one["value"], rtol=1e-5)
    np.testing.assert_allclose(other["prior_probability"], one["prior_probability"], atol=1e-6)


def test_questions_in_place_of_the_threshold_s() -> None:
    table = tipping_table(bm.fit(make(), MODEL), thresholds=[0.1, 0.4])
    assert table["question"].unique().tolist() == ["benefit beyond 0.1", "benefit beyond 0.4"]
    assert sorted(set(table["benefit"])) == [0.1, 0.4]


@pytest.mark.parametrize("y", [[-0.3], [-0.3, -0.1], [-0.3] * 4])
def test_few_and_equal_trials_tip_too(y: list[float]) -> None:
    table = tipping_table(bm.fit(make(y, SE[: len(y)]), MODEL), mid())
    assert table["note"].ne("").all()
    assert table["probability"].between(0, 1).all()
    assert (table["value"].notna() == table["tipped"]).all()


@pytest.mark.parametrize("cut", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_cut_that_is_no_probability_is_refused(cut: float) -> None:
    with pytest.raises(bm.ModelError, match="probability between 0 and 1"):
        tipping_table(bm.fit(make(), MODEL), cut=cut)


@pytest.mark.parametrize("thresholds", [[], [math.nan], [0.2, math.inf]])
def test_distances_that_are_no_numbers_are_refused(thresholds: list[float]) -> None:
    with pytest.raises(bm.ModelError, match="finite distances"):
        tipping_table(bm.fit(make(), MODEL), thresholds=thresholds)


def test_tipping_needs_a_direction() -> None:
    with pytest.raises(bm.ModelError, match="no direction"):
        tipping_table(bm.fit(make(better=None), MODEL))


# ------------------------------------------------------------------------------------------------- bench of priors


def test_the_table_is_every_pair_with_the_stated_one_first() -> None:
    mu, tau = named_priors("SMD")
    table = prior_bench_table(bm.fit(make(), MODEL), mid())
    assert len(table) == len(mu) * len(tau) == 36
    assert table["stated"].tolist() == [True] + [False] * 35
    assert table.loc[0, ["mu_prior", "tau_prior"]].tolist() == ["normal(0, 1)", "halfnormal(0.5)"]
    assert not table.duplicated(["mu_prior", "tau_prior"]).any()
    assert set(table["mu_prior"]) == {item.name for item in mu}
    assert set(table["tau_prior"]) == {item.name for item in tau}
    # stated priors that are not among the named ones come on top
    other = prior_bench_table(bm.fit(make(), Model(Normal(0.1, 0.7), HalfStudentT(0.4, 3))))
    assert len(other) == (len(mu) + 1) * (len(tau) + 1)
    assert other.loc[0, ["mu_source", "tau_source"]].tolist() == ["stated", "stated"]


def test_a_stated_prior_that_a_table_resolves_to_is_not_repeated() -> None:
    """Cochrane's SMD heterogeneity of pain is inverse-gamma(1.69, 0.42)."""
    assert Cochrane("smd", "Pain, Palliative and Supportive Care").resolved == InverseGamma(1.69, 0.42)
    table = prior_bench_table(bm.fit(make(), Model(Normal(0, 1), InverseGamma(1.69, 0.42))))
    assert len(table) == 36
    assert table.loc[0, "tau_prior"] == "inversegamma(1.69, 0.42)"


@pytest.mark.parametrize("name", ["normand_smd", "gibson_smd", "crins_or", "bcg_rr", "hine_or"])
def test_log_bayes_factors_are_differences_of_r_bayesmeta_s_marginals(name: str) -> None:
    pinned = reference(name)["bayes"]
    normal, cauchy = pinned["halfnormal"], pinned["halfcauchy"]
    mu = Normal(normal["mu_mean"], normal["mu_sd"])
    tau = [NamedPrior("half-Cauchy", HalfCauchy(cauchy["scale"]), "R bayesmeta")]
    fit = bm.fit(effects_of(name), Model(mu, HalfNormal(normal["scale"])))
    table = prior_bench_table(fit, mu=(), tau=tau)
    assert len(table) == 2
    assert table.loc[0, "log_bayes_factor"] == 0.0
    expected = cauchy["result"]["log_marginal"] - normal["result"]["log_marginal"]
    assert table.loc[1, "log_bayes_factor"] == pytest.approx(expected, abs=EVIDENCE)


def test_answers_are_those_of_a_rule_with_400001_points() -> None:
    """Normand under the flat prior of mu: every prior of tau that exact.json and the bench both have."""
    pinned = reference("exact")["normand1999_smd"]["bayes"]
    fit = bm.fit(exact_effects("normand1999_smd"), Model(Flat(), HalfNormal(0.5)))
    mu, tau = named_priors("SMD")
    table = prior_bench_table(fit, mu=mu[:1], tau=tau).set_index("tau_prior")
    shared = [key for key in pinned if key.endswith("| mu flat") and key.split(" |")[0] in table.index]
    assert len(shared) >= 3
    for key in shared:
        row, expected = table.loc[key.split(" |")[0]], pinned[key]
        assert [row["mu"], row["lower"], row["upper"]] == pytest.approx(
            [expected["mu"]["median"], expected["mu"]["q025"], expected["mu"]["q975"]], abs=1e-5
        )
        assert [row["tau"], row["tau_lower"], row["tau_upper"]] == pytest.approx(
            [expected["tau"]["median"], expected["tau"]["q025"], expected["tau"]["q975"]], abs=1e-5
        )
        assert [row["new_lower"], row["new_upper"]] == pytest.approx(
            [expected["new"]["q025"], expected["new"]["q975"]], abs=1e-5
        )


def test_what_priors_believed_and_where_they_conflict_with_data() -> None:
    fit = bm.fit(make(), MODEL)
    table = prior_bench_table(fit, mid())
    flat = bm.fit(make(), Model(Flat(), Flat()))
    main = bm.summarize(fit).loc["mu"]
    for row in table.itertuples():
        if row.mu_prior == "flat":
            assert math.isnan(row.conflict_mu)
            assert math.isnan(row.log_bayes_factor)
            assert math.isnan(row.prior_p_important)
        assert row.change == pytest.approx((row.mu - main["median"]) / main["sd"], abs=1e-12)
    halves = table[table["tau_prior"].isin(["halfnormal(0.25)", "halfnormal(0.5)", "halfnormal(1)"])]
    for (mu, tau), row in halves.set_index(["mu_prior", "tau_prior"]).iterrows():
        scale = float(tau[len("halfnormal(") : -1])
        assert row["conflict_tau"] == pytest.approx(conflict(HalfNormal(scale), flat, "tau"), abs=1e-12)
        if mu not in ("normal(0, 1)", "normal(0, 0.2)"):
            continue
        sd = float(mu[len("normal(0, ") : -1])
        assert row["prior_p_important"] == pytest.approx(stats.norm.sf(0.2 / sd), abs=1e-12)
        assert row["prior_p_important_new"] == pytest.approx(prior_tail(0, sd, scale, 0.2, -1), abs=PRIOR)
        assert row["p_any_benefit"] == pytest.approx(beyond(make(), 0, sd, half_normal(scale), 0, -1), abs=ENGINE)
        assert row["p_important_benefit_new"] == pytest.approx(
            beyond(make(), 0, sd, half_normal(scale), 0.2, -1, new=True), abs=ENGINE
        )
        # D under a flat prior of mu and the line's prior of tau, X from the prior of mu: their difference is a mixture
        against = bm.fit(make(), Model(Flat(), HalfNormal(scale)))
        assert row["conflict_mu"] == pytest.approx(conflict(Normal(0, sd), against, "mu"), abs=1e-12)


def test_pairs_without_a_posterior_say_so() -> None:
    """Two trials, flat tau: improper under a flat mu (k - 1 < 2), proper under a normal one."""
    tau = [NamedPrior("flat tau", Flat(), "asked")]
    table = prior_bench_table(bm.fit(make(Y[:2], SE[:2]), MODEL), tau=tau).set_index(["mu_prior", "tau_prior"])
    assert "improper" in table.loc[("flat", "flat tau"), "note"]
    assert math.isnan(table.loc[("flat", "flat tau"), "mu"])
    assert table.loc[("normal(0, 1)", "flat tau"), "note"] == ""
    assert math.isnan(table.loc[("normal(0, 1)", "flat tau"), "log_bayes_factor"])
    assert (table["note"] != "").equals(table["mu"].isna())


def test_one_trial_says_nothing_of_heterogeneity() -> None:
    table = prior_bench_table(bm.fit(make(Y[:1], SE[:1]), MODEL), mid())
    assert table["conflict_tau"].isna().all()
    assert table.loc[0, "mu":"new_upper"].notna().all()  # type: ignore[misc]


def test_a_sign_flip_mirrors_symmetric_priors() -> None:
    symmetric = [NamedPrior("normal(0, 1)", Normal(0, 1), ""), NamedPrior("flat", Flat(), "")]
    one = prior_bench_table(bm.fit(make(), MODEL), mid(), mu=symmetric)
    other = prior_bench_table(bm.fit(make(-Y, better="higher"), MODEL), mid(better="higher"), mu=symmetric)
    np.testing.assert_allclose(one["lower"], -other["upper"], atol=1e-7)
    for column in ("tau", "p_important_benefit", "prior_p_important_new", "conflict_mu", "conflict_tau"):
        np.testing.assert_allclose(one[column], other[column], atol=1e-7)


@pytest.mark.parametrize(("measure", "expected"), [("OR", (4, 7)), ("HR", (4, 5)), ("RR", (4, 5)), ("SMDH", (4, 9))])
def test_measures_have_the_priors_of_their_tables(measure: str, expected: tuple[int, int]) -> None:
    mu, tau = named_priors(measure)
    assert (len(mu), len(tau)) == expected
    turner = [item.prior for item in tau if isinstance(item.prior, Turner2015)]
    assert len(turner) == (2 if measure == "OR" else 0)
    rhodes = [item.prior for item in tau if isinstance(item.prior, Rhodes2015)]
    assert len(rhodes) == (3 if measure == "SMDH" else 0)
    assert all(item.source for item in (*mu, *tau))
    names = [item.name for item in tau]
    assert len(set(names)) == len(names)


def test_scales_without_a_unit_need_one() -> None:
    for measure in SCALED_MEASURES:
        with pytest.raises(bm.ModelError, match=rf"{measure}: there are no general priors.*ref_sd"):
            named_priors(measure)
        mu, tau = named_priors(measure, ref_sd=10)
        assert [item.prior for item in tau] == [HalfNormal(2.5), HalfNormal(5), HalfNormal(10), HalfCauchy(5)]
        # those of an SMD times the SD; one arm has no null, and so no sceptic
        assert [item.prior for item in mu] == [Flat(), Normal(0, 10), Normal(0, 2)][: 2 if measure == "MN" else 3]
    for measure in set(MEASURES) - set(SCALED_MEASURES):
        with pytest.raises(bm.ModelError, match=r"a reference SD scales the priors of MD, generic, MN"):
            named_priors(measure, ref_sd=10)
    with pytest.raises(bm.ModelError, match="not one of"):
        named_priors("XY")
    fit = bm.fit(make(10 * Y, 10 * SE, measure="MD"), Model(Normal(0, 10), HalfNormal(5)))
    with pytest.raises(bm.ModelError, match="ref_sd"):
        prior_bench_table(fit)
    assert len(prior_bench_table(fit, ref_sd=10)) == 12
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(bm.ModelError):
            named_priors("MD", ref_sd=bad)


def test_a_common_effect_has_no_bench_of_heterogeneity() -> None:
    with pytest.raises(bm.ModelError, match="common effect"):
        prior_bench_table(bm.fit(make(), Model(Normal(0, 1), None)))


def test_without_threshold_or_direction_the_probabilities_are_left_out() -> None:
    for options, threshold in ((dict[str, Any](), None), ({"better": None}, mid())):
        table = prior_bench_table(bm.fit(make(**options), MODEL), threshold)
        assert isinstance(table, pd.DataFrame)
        assert not [name for name in table.columns if name.startswith("p_")]
        assert table["conflict_mu"].notna().any()
