"""The robust meta-analytic-predictive prior.

Authorities: the vignette "RBesT for a normal endpoint" of R RBesT (github.com/Novartis/RBesT,
articles/introduction_normal.md: crohn data, sigma 88), whose printed mixture goes in and whose printed effective sizes
and posterior probabilities come out; the conjugate normal in closed form; QUADPACK over prior times likelihood;
predictive consistency, which defines the effective size (Neuenschwander et al. 2020, theorem 1). Numbers of the
PREFERABLE-EFFECT trial are checked by hand.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import marginal
from bayesmeta.marginals import NormalMixture
from bayesmeta.priors import Normal
from bayesmeta.questions import (
    WEIGHTS,
    borrowing_probabilities,
    borrowing_table,
    conflict_table,
    effective_size,
    mix,
    predictive_of,
    robust_map,
    update,
)
from references import ROOT

# the same closed form in another order
CLOSED = 1e-12
# QUADPACK over smooth densities
NESTED = 1e-9
# the vignette prints eight digits of the mixture and seven of the probability; the weights enter to 1e-8
PRINTED = 2e-7

# -- R RBesT -----------------------------------------------------------------------------------------------------------

CROHN = NormalMixture(
    # as printed they sum to 1.00000001
    np.array([0.50104846, 0.41871594, 0.08023561]) / 1.00000001,
    [-51.42408665, -47.25917128, -55.07086416],
    [19.04525409, 7.85193726, 44.57325000],
)
SIGMA = 88.0


def test_effective_sizes_are_those_of_rbest() -> None:
    """ess(map) is 39, of the robust prior 28 (both printed without decimals)."""
    assert round(effective_size(CROHN, SIGMA)) == 39
    assert round(effective_size(mix(CROHN, 0.2, Normal(-50, SIGMA)), SIGMA)) == 28


def test_posterior_is_that_of_rbest() -> None:
    """Placebo -63.1 (13.9) with the robust prior, active -29.2 (14.0) with the weak one: P(active < placebo)."""
    weak = NormalMixture([1.0], [-50.0], [SIGMA])
    active, _ = update(weak, -29.2, 14.0)
    placebo = robust_map(CROHN, -63.1, 13.9, weight=0.2, vague=Normal(-50, SIGMA), n=(SIGMA / 13.9) ** 2).posterior

    def difference_below(limit: float) -> float:
        spread = np.hypot(placebo.sds, active.sds[0])
        return float(placebo.weights @ stats.norm.cdf((limit - active.means[0] + placebo.means) / spread))

    assert difference_below(0.0) == pytest.approx(0.06270104, abs=PRINTED)
    assert difference_below(-50.0) == pytest.approx(3.827361e-06, rel=1e-5)


def test_prediction_of_the_crohn_trials_is_that_of_gmap() -> None:
    """gMAP by 4000 draws: tau mean 14.3, median 12.2; prediction mean -50, median -48.6, SD 19.3, -93.1 to -13.8."""
    n = np.array([74, 166, 328, 20, 25, 58])
    y = [-51, -49, -36, -47, -90, -54]
    effects = Effects([f"t{i}" for i in range(6)], y, SIGMA / np.sqrt(n), measure="MD", better="lower")
    fit = bm.fit(effects, bm.Model(Normal(0, SIGMA), bm.HalfNormal(SIGMA / 2)))
    form, tau = predictive_of(fit), marginal(fit, "tau")
    # three Monte Carlo standard errors of a few hundred effective draws
    assert (tau.mean, float(tau.quantile(0.5))) == pytest.approx((14.3, 12.2), abs=0.6)
    assert form.mean == pytest.approx(-50, abs=1.0)
    assert form.sd == pytest.approx(19.3, abs=1.2)
    assert form.quantile([0.025, 0.5, 0.975]) == pytest.approx([-93.1, -48.6, -13.8], abs=2.5)


# -- closed forms and integrals ----------------------------------------------------------------------------------------


def test_one_component_in_closed_form() -> None:
    """A normal review N(m, s^2): posterior weights are the two marginal densities of y, each part is conjugate."""
    m, s, y, se, w, s0 = -0.3, 0.1, 0.15, 0.2, 0.2, 2.0
    found = robust_map(NormalMixture([1.0], [m], [s]), y, se, weight=w, vague=Normal(0, s0), better="lower")
    like, other = stats.norm.pdf(y, m, math.hypot(s, se)), stats.norm.pdf(y, 0, math.hypot(s0, se))
    share = w * other / (w * other + (1 - w) * like)
    assert found.vague_weight == pytest.approx(share, rel=CLOSED)
    one = (m / s**2 + y / se**2) / (1 / s**2 + 1 / se**2)
    two = (y / se**2) / (1 / s0**2 + 1 / se**2)
    assert found.posterior.mean == pytest.approx((1 - share) * one + share * two, rel=CLOSED)
    assert (found.alone.mean, found.alone.sd) == pytest.approx((two, (1 / s0**2 + 1 / se**2) ** -0.5), rel=CLOSED)
    assert found.conflict_p == pytest.approx(2 * stats.norm.sf((y - m) / math.hypot(s, se)), rel=1e-10)
    # where the two weighted densities are equal the review is as likely discarded as kept
    assert found.kept_lower is not None
    assert found.kept_upper is not None
    for end, bracket in ((found.kept_upper, (m, 3.0)), (found.kept_lower, (-4.0, m))):
        root = optimize.brentq(
            lambda x: (1 - w) * stats.norm.pdf(x, m, math.hypot(s, se)) - w * stats.norm.pdf(x, 0, math.hypot(s0, se)),
            *bracket,
            xtol=1e-14,
        )
        assert end == pytest.approx(root, abs=1e-10)


def cancer(outcome: str) -> bm.Fit:
    asked = bm.read_protocol(ROOT / "models/cancer_exercise.toml")
    return bm.fit(bm.read_effects(asked, outcome), bm.Model(Normal(0, 1), bm.HalfNormal(0.5)))


def test_posterior_is_prior_times_likelihood() -> None:
    """QUADPACK over the review's predicted density and the vague normal, without any mixture."""
    fit = cancer("fatigue_short")
    y, se, w = -0.22, 0.0995, 0.3
    found = robust_map(fit, y, se, weight=w, vague=Normal(0, 2))
    form = marginal(fit, "theta_new")

    def joint(theta: float) -> float:
        prior = (1 - w) * float(form.density(theta)) + w * stats.norm.pdf(theta, 0, 2)
        return prior * stats.norm.pdf(y, theta, se)

    def mass(low: float, high: float) -> float:
        return integrate.quad(joint, low, high, epsabs=1e-13, epsrel=1e-12, limit=300)[0]

    total = mass(-1.5, 1.5)
    for edge in (-0.5, -0.2, 0.0):
        assert float(found.posterior.cdf(edge)) == pytest.approx(mass(-1.5, edge) / total, abs=NESTED)
    vague = integrate.quad(lambda t: w * stats.norm.pdf(t, 0, 2) * stats.norm.pdf(y, t, se), -2, 2, epsabs=1e-13)[0]
    assert found.vague_weight == pytest.approx(vague / total, abs=NESTED)
    threshold = bm.threshold(0.2, measure_name="SMD", better="lower")
    chances = borrowing_probabilities(found, threshold)
    assert chances["p_any_benefit"] == pytest.approx(mass(-1.5, 0) / total, abs=NESTED)
    assert chances["p_important_benefit"] == pytest.approx(mass(-1.5, -0.2) / total, abs=NESTED)
    assert chances["p_important_harm"] == pytest.approx(mass(0.2, 1.5) / total, abs=NESTED)


def test_effective_size_is_an_integral() -> None:
    """-E[(log p)''] by QUADPACK with the second derivative in closed form, for a mixture of different widths."""
    mixture = NormalMixture([0.5, 0.3, 0.2], [-0.3, -0.1, 0.0], [0.05, 0.2, 2.0])

    def curvature(x: float) -> float:
        w, m, s = mixture.weights, mixture.means, mixture.sds
        parts = w * stats.norm.pdf(x, m, s)
        z = -(x - m) / s**2
        p, first, second = parts.sum(), (parts * z).sum(), (parts * (z * z - 1 / s**2)).sum()
        return float((first / p) ** 2 - second / p) * float(p)

    edges = [-20, -2, -0.6, -0.3, 0.0, 0.6, 2, 20]
    value = sum(integrate.quad(curvature, a, b, epsabs=1e-12, limit=400)[0] for a, b in pairwise(edges))
    assert effective_size(mixture, 2.0) == pytest.approx(4 * value, rel=1e-9)
    assert effective_size(NormalMixture([1.0], [5.0], [0.5]), 2.0) == pytest.approx(16, rel=1e-10)
    assert effective_size(NormalMixture([0.5, 0.5], [5.0, 4.0], [0.5, 0.0]), 2.0) == math.inf


def test_effective_size_is_predictively_consistent() -> None:
    """The expected size of the posterior after m participants is that of the prior plus m."""
    prior, unit, m = mix(NormalMixture([1.0], [-0.3], [0.15]), 0.2, Normal(0, 2)), 2.0, 60
    se = unit / math.sqrt(m)
    predictive = NormalMixture(prior.weights, prior.means, np.hypot(prior.sds, se))
    expected = sum(
        integrate.quad(
            lambda y: effective_size(update(prior, y, se)[0], unit) * float(predictive.density(y)),
            a,
            b,
            epsabs=1e-6,
            limit=60,
        )[0]
        for a, b in ((-12, -1.5), (-1.5, 0.9), (0.9, 12))
    )
    assert expected == pytest.approx(effective_size(prior, unit) + m, rel=1e-5)


# -- tables ------------------------------------------------------------------------------------------------------------


def test_from_full_borrowing_to_the_trial_alone() -> None:
    found = robust_map(cancer("fatigue_short"), -0.1, 0.1)
    mid = bm.threshold(0.2, measure_name="SMD", better="lower")
    table = borrowing_table(found, mid)
    assert table["weight"].tolist() == list(WEIGHTS)
    assert table["vague_weight"].is_monotonic_increasing
    assert (table["vague_weight"].iloc[0], table["vague_weight"].iloc[-1]) == (0.0, 1.0)
    assert table["ess_prior"].is_monotonic_decreasing
    alone = table.iloc[-1]
    assert (alone["mean"], alone["sd"]) == pytest.approx((found.alone.mean, found.alone.sd), rel=CLOSED)
    assert alone["ess_gained"] == pytest.approx(0, abs=1e-9)
    # one participant of unit information
    assert alone["ess_prior"] == pytest.approx(1, rel=1e-9)
    same = table[table["weight"] == 0.2].iloc[0]
    assert same["median"] == pytest.approx(float(found.posterior.quantile(0.5)), rel=CLOSED)
    assert set(borrowing_table(found)["note"]) == {"no threshold is stated"}


def test_conflict_discards_the_review() -> None:
    found = robust_map(cancer("qol_short"), 0.3, 0.1)
    assert found.kept_lower is not None
    assert found.kept_upper is not None
    table = conflict_table(found, y=[found.kept_lower, found.kept_upper, -30.0, 30.0])
    assert table["vague_weight"].iloc[:2].to_numpy() == pytest.approx([0.5, 0.5], abs=1e-8)
    assert (table["conflict_p"].iloc[:2] < 0.05).all()
    inside = conflict_table(found)
    assert found.y in inside["y"].tolist()
    kept = inside["y"].between(found.kept_lower, found.kept_upper)
    assert (inside.loc[kept, "vague_weight"] < 0.5).all()
    assert (inside.loc[~kept, "vague_weight"] > 0.5).all()


def test_what_is_never_discarded_says_so() -> None:
    wide = NormalMixture([1.0], [-0.3], [3.0])
    # .95 N(-.3; -.3, 3.007) = .126 beside .05 N(-.3; 0, .539) = .032, and the review has the longer tails
    found = robust_map(wide, 0.1, 0.2, weight=0.05, vague=Normal(0, 0.5), better="lower")
    assert (found.kept_lower, found.kept_upper) == (None, None)
    assert found.notes == ("no lower or higher estimate discards the source",)
    # .80 of the one is .106, .20 of the other .127
    found = robust_map(wide, 0.1, 0.2, weight=0.2, vague=Normal(0, 0.5), better="lower")
    assert found.notes[0].startswith("the source is discarded even by an estimate that it predicts")
    for weight, words in ((0.0, "never discarded"), (1.0, "no source to discard")):
        assert words in robust_map(CROHN, -50.0, 10.0, weight=weight, n=50, better="lower").notes[0]


# -- scales and directions ---------------------------------------------------------------------------------------------


def test_points_are_standardised_and_back() -> None:
    """A trial in points of an instrument with SD 24: everything times 24, probabilities and weights the same."""
    fit = cancer("fatigue_short")
    near = robust_map(fit, -5.3 / 24, 2.4 / 24)
    far = robust_map(fit, -5.3, 2.4, scale=24.0)
    assert far.vague_weight == pytest.approx(near.vague_weight, rel=1e-10)
    assert far.posterior.mean == pytest.approx(24 * near.posterior.mean, rel=1e-10)
    assert far.ess_prior == pytest.approx(near.ess_prior, rel=1e-9)
    assert far.kept_upper == pytest.approx(24 * float(near.kept_upper or 0), rel=1e-9)
    assert far.better == "lower"


@pytest.mark.parametrize("scale", [24.0, -24.0])
def test_a_stated_vague_component_is_on_the_scale_of_the_source(scale: float) -> None:
    fit, vague = cancer("fatigue_short"), Normal(0.1, 1.5)
    near = robust_map(fit, -0.22, 0.1, vague=vague)
    far = robust_map(fit, scale * -0.22, 24 * 0.1, vague=vague, scale=scale)
    assert (far.vague.mean, far.vague.sd) == pytest.approx((scale * 0.1, 36.0), rel=CLOSED)
    assert far.vague_weight == pytest.approx(near.vague_weight, rel=1e-10)
    assert far.posterior.mean == pytest.approx(scale * near.posterior.mean, rel=1e-10)
    assert far.posterior.sd == pytest.approx(24 * near.posterior.sd, rel=1e-10)


def test_an_instrument_that_points_the_other_way() -> None:
    fit = cancer("fatigue_short")
    one, other = robust_map(fit, -5.3, 2.4, scale=24.0), robust_map(fit, 5.3, 2.4, scale=-24.0)
    assert (one.better, other.better) == ("lower", "higher")
    assert other.posterior.mean == pytest.approx(-one.posterior.mean, rel=1e-12)
    first, second = borrowing_probabilities(one), borrowing_probabilities(other)
    assert second["p_any_benefit"] == pytest.approx(first["p_any_benefit"], rel=1e-12)


def test_unit_information() -> None:
    """se sqrt(n) where the participants are given, 2 on standardised scales (SE 2/sqrt(N)), else a refusal."""
    review = cancer("fatigue_short")
    assert robust_map(review, -0.2, 0.1).vague == Normal(0, 2)
    assert robust_map(review, -0.2, 0.1, n=357).vague.sd == pytest.approx(0.1 * math.sqrt(357), rel=CLOSED)
    md = bm.fit(Effects(["A"], [-5.0], [2.0], measure="MD", better="lower"), bm.Model(Normal(0, 20), bm.HalfNormal(5)))
    with pytest.raises(ModelError, match="Give n"):
        robust_map(md, -5.0, 2.0)
    assert robust_map(md, -5.0, 2.0, n=100).vague.sd == pytest.approx(20)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weight": 1.2}, "a probability"),
        ({"y": math.nan}, "finite estimate"),
        ({"se": 0.0}, "positive standard"),
        ({"scale": 0.0}, "units of the trial"),
        ({"n": -1}, "number of the trial's participants"),
    ],
)
def test_refuses(options: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"y": -0.2, "se": 0.1, **options}
    with pytest.raises(ModelError, match=words):
        robust_map(CROHN, given.pop("y"), given.pop("se"), **given)


def test_refuses_what_has_no_mixture_or_no_direction() -> None:
    effects = Effects(["A", "B"], [-0.2, -0.3], [0.1, 0.1], measure="SMD", better="lower")
    cut = bm.fit(effects, bm.Model(bm.Truncated(Normal(0, 1), -2, 0), bm.HalfNormal(0.5)))
    with pytest.raises(ModelError, match="truncated"):
        robust_map(cut, -0.2, 0.1)
    nowhere = robust_map(CROHN, -50.0, 10.0, n=50)
    with pytest.raises(ModelError, match="no direction"):
        borrowing_probabilities(nowhere)
    # a table does not raise: it says why
    assert "no direction" in borrowing_table(nowhere)["note"].iloc[0]
    assert "no direction" in conflict_table(nowhere)["note"].iloc[0]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_reviews_of_few_trials(k: int) -> None:
    effects = Effects([f"t{i}" for i in range(k)], [-0.3] * k, [1e-4, 0.2, 0.2][:k], measure="SMD", better="lower")
    review = bm.fit(effects, bm.Model(Normal(0, 1), bm.HalfNormal(0.5)))
    found = robust_map(review, -0.2, 0.1)
    assert 0 < found.vague_weight < 1
    assert found.ess_prior > 0
    assert math.isfinite(found.posterior.sd)


def test_huge_scale() -> None:
    small = robust_map(NormalMixture([1.0], [-0.3], [0.1]), 0.1, 0.2, vague=Normal(0, 2), better="lower")
    large = robust_map(
        NormalMixture([1.0], [-300.0], [100.0]), 100.0, 200.0, vague=Normal(0, 2000), better="lower", n=100
    )
    assert large.vague_weight == pytest.approx(small.vague_weight, rel=1e-10)
    assert large.kept_upper == pytest.approx(1000 * float(small.kept_upper or 0), rel=1e-9)


# -- the trial in metastatic breast cancer -----------------------------------------------------------------------------


def test_preferable_effect_by_hand() -> None:
    """Fatigue -5.3 [-10.0, -0.6] is -0.220 (0.0995) SD; the review predicts about -0.28 with SD 0.29.

    By a single normal for the prediction: precision 1/0.0995^2 + 1/0.293^2, mean -0.226; beyond 5 points with
    probability Phi((0.226 - 0.2076) / 0.0942) = 0.58. On its own Phi((5.3 - 5) / 2.398) = 0.55.
    """
    asked = bm.read_protocol(ROOT / "models/metastatic.toml")
    effects = bm.read_effects(asked, "fatigue")
    assert (effects.k, effects.participants) == (1, 357)
    assert (effects.y[0], effects.se[0]) == pytest.approx((-5.3, 9.4 / (2 * stats.norm.ppf(0.975))), rel=1e-12)
    stated = asked.borrow["fatigue"]
    assert stated.sd == pytest.approx(5.3 / 0.22, abs=5e-3)
    assert asked.borrow["qol"].sd == pytest.approx(4.8 / 0.33, abs=5e-3)
    review = cancer(stated.outcome)
    form = predictive_of(review)
    sd = float(effects.se[0]) / 24.09
    mean = (form.mean / form.sd**2 + (-5.3 / 24.09) / sd**2) / (1 / form.sd**2 + 1 / sd**2)
    spread = (1 / form.sd**2 + 1 / sd**2) ** -0.5
    found = robust_map(review, -5.3, float(effects.se[0]), weight=0.2, scale=24.09, n=357)
    chances = borrowing_probabilities(found, asked.outcomes["fatigue"].decision.primary)
    assert found.posterior.mean / 24.09 == pytest.approx(mean, abs=0.003)
    assert chances["p_important_benefit"] == pytest.approx(stats.norm.cdf((-5 / 24.09 - mean) / spread), abs=0.02)
    alone = borrowing_probabilities(found, asked.outcomes["fatigue"].decision.primary, found.alone)
    # the vague prior of one participant pulls by one part in 358
    assert alone["p_important_benefit"] == pytest.approx(stats.norm.cdf(0.3 / float(effects.se[0])), abs=5e-3)
    assert found.vague_weight < 0.1
    assert found.conflict_p > 0.8


def test_preferable_effect_on_its_own() -> None:
    """One trial: mu given tau is conjugate, so that its benefit is one integral over half-normal(12)."""
    asked = bm.read_protocol(ROOT / "models/metastatic.toml")
    effects = bm.read_effects(asked, "fatigue")
    fit = bm.fit(effects, bm.Model(asked.outcomes["fatigue"].model.mu, asked.outcomes["fatigue"].model.tau))
    y, v = -5.3, float(effects.se[0]) ** 2

    def part(tau: float, edge: float) -> float:
        weight = stats.halfnorm.pdf(tau, scale=12) * stats.norm.pdf(y, 0, math.sqrt(24**2 + tau**2 + v))
        gain = 24**2 / (24**2 + tau**2 + v)
        return weight * (1.0 if math.isinf(edge) else stats.norm.cdf((edge - gain * y) / math.sqrt(24**2 * (1 - gain))))

    total = integrate.quad(part, 0, 120, args=(math.inf,), epsabs=1e-13)[0]
    for edge in (0.0, -5.0):
        chance = integrate.quad(part, 0, 120, args=(edge,), epsabs=1e-13)[0] / total
        assert bm.probability(fit, "mu", below=edge) == pytest.approx(chance, abs=1e-8)
