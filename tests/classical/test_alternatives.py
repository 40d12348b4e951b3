"""Alternative estimators, intervals of tau2, the sign-flip test and the confidence-distribution prediction interval.

References: R metafor 3.8.1 and formulas written out in R (tests/reference/alternatives_metafor.R), closed forms, and
the vignette of R pimeta 1.1.4.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from bayesmeta.classical import (
    WeightedQ,
    alternatives_table,
    bootstrap_prediction,
    generalised_q_interval,
    henmi_copas,
    ivhet,
    kenward_roger,
    permutation_test,
    pool,
    profile_interval,
    tau2_interval,
    tau2_intervals_table,
    weighted_chi2_cdf,
    weighted_q,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from references import effects_of, reference

# closed forms
CLOSED = 1e-9
# metafor's uniroot was made to go to 1e-13 in tau2
ITERATED = 1e-6
# metafor's hc integrates with R's default tolerance of 1.2e-4, which is good to 2.2e-6 at worst here
INTEGRATE = 5e-6
# Imhof's integral by R's integrate; with three weights or more (with fewer it decays too slowly: closed form there)
IMHOF = 1e-8
# our own inversion
INVERSION = 1e-11
# pimeta draws 25,000: three standard errors of its 2.5 % and 97.5 % points on the log scale, and of a probability
DRAWN_PI, DRAWN_CI, DRAWN_P = 0.05, 0.02, 0.005
ROUNDING = 1e-10
# midpoint sums over a grid of 6,000
MIDPOINT = 2e-6

R = reference("alternatives_metafor")
SETS = ("bcg_rr", "eight_schools", "normand_smd", "hackshaw_logor", "raudenbush_smd", "crins_or")
PERMUTED = ("eight_schools", "bcg_first_9", "normand_smd")


def simple(y, se, **options) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, measure="generic", **options)


def blocked() -> Effects:
    return Effects(
        ["A", "A", "B", "C", "D"],
        [0.1, 0.4, 0.9, -0.2, 0.3],
        [0.2, 0.2, 0.3, 0.25, 0.15],
        measure="SMD",
        blocks=[([0, 1], [[0.04, 0.02], [0.02, 0.04]])],
    )


def cisapride() -> Effects:
    """Hartung & Knapp 2001, as in pimeta's vignette: 13 trials of cisapride, log odds ratios with 0.5 in every cell."""
    events_t = np.array([15, 12, 29, 42, 14, 44, 14, 29, 10, 17, 38, 19, 21]) + 0.5
    n_t = np.array([16, 16, 34, 56, 22, 54, 17, 58, 14, 26, 44, 29, 38]) + 1.0
    events_c = np.array([9, 1, 18, 31, 6, 17, 7, 23, 3, 6, 12, 22, 19]) + 0.5
    n_c = np.array([16, 16, 34, 56, 22, 55, 15, 58, 15, 27, 45, 30, 38]) + 1.0
    y = np.log(events_t / (n_t - events_t) / (events_c / (n_c - events_c)))
    return simple(y, np.sqrt(1 / events_t + 1 / (n_t - events_t) + 1 / events_c + 1 / (n_c - events_c)))


def test_the_reference_is_complete():
    for kind in ("henmi_copas", "henmi_copas_90", "ivhet", "kenward_roger", "profile", "genq"):
        assert set(R[kind]) == set(SETS), kind
    assert all(set(R["genq"][name]) == {"DL", "root", "HE"} for name in SETS)
    assert all(set(R["profile"][name]) == {"REML", "ML"} for name in SETS)
    assert set(R["permutation"]) == set(PERMUTED)
    assert all(len(R["permutation"][name]) == 4 for name in PERMUTED)
    assert len(R["chi2"]) == 25


# estimators


@pytest.mark.parametrize("name", SETS)
def test_henmi_copas_and_ivhet(name):
    effects = effects_of(name)
    for found, theirs, rel in (
        (henmi_copas(effects), R["henmi_copas"][name], INTEGRATE),
        (henmi_copas(effects, level=0.9), R["henmi_copas_90"][name], INTEGRATE),
        (ivhet(effects), R["ivhet"][name], CLOSED),
    ):
        for quantity, value in theirs.items():
            close = CLOSED if quantity in ("estimate", "se", "tau2") else rel
            assert getattr(found, quantity) == pytest.approx(value, rel=close, abs=1e-12), quantity


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_henmi_copas_solves_its_equation(name, level):
    """The published equation at the solution, by adaptive quadrature and scipy's gamma distribution."""
    effects = effects_of(name)
    found = henmi_copas(effects, level=level)
    w = effects.se**-2.0
    w1 = w.sum()
    w2, w3, w4 = ((w**power).sum() / w1 for power in (2, 3, 4))
    t, k = found.tau2, effects.k
    vr = 1 + t * w2
    x = (found.upper - found.estimate) / found.se / vr**0.5

    def integrand(z):
        r = vr**0.5 * z
        mean = (k - 1) + t * (w1 - w2) + t**2 * (r**2 / vr**2 - 1 / vr) * (w3 - w2**2)
        var = (
            2 * (k - 1)
            + 4 * t * (w1 - w2)
            + 2 * t**2 * (w1 * w2 - 2 * w3 + w2**2)
            + 4 * t**2 * (r**2 / vr**2 - 1 / vr) * (w3 - w2**2)
            + 4 * t**3 * (r**2 / vr**2 - 1 / vr) * (w4 - 2 * w2 * w3 + w2**3)
            + 2 * t**4 * (1 / vr**2 - 2 * r**2 / vr**3) * (w3 - w2**2) ** 2
        )
        f = (w1 / w2 - 1) * ((z / x) ** 2 - 1) + (k - 1)
        return stats.gamma.cdf(f, mean**2 / var, scale=var / mean) * stats.norm.pdf(z)

    mass = sum(integrate.quad(integrand, x + a, x + b, epsabs=1e-13)[0] for a, b in ((0, 0.5), (0.5, 2), (2, 12)))
    assert mass == pytest.approx(0.5 * (1 - level), rel=1e-8)


@pytest.mark.parametrize("name", SETS)
def test_kenward_roger(name):
    """With dense matrices from the paper in R; "partlett_riley" puts the adjusted variance into the df, as R meta."""
    theirs = R["kenward_roger"][name]
    effects = effects_of(name)
    for form, key in (("kenward_roger", "df"), ("partlett_riley", "df_adjusted")):
        found = kenward_roger(effects, df=form)
        assert found.df == pytest.approx(theirs[key], rel=ITERATED)
        for quantity in ("estimate", "se", "tau2"):
            assert getattr(found, quantity) == pytest.approx(theirs[quantity], rel=ITERATED, abs=1e-12)
        critical = stats.t(theirs[key]).ppf(0.975)
        assert found.upper == pytest.approx(theirs["estimate"] + critical * theirs["se"], rel=ITERATED)
        assert found.p == pytest.approx(2 * stats.t(theirs[key]).sf(abs(found.stat)), rel=ITERATED)
        reach = stats.t(theirs[key] - 1).ppf(0.975) * (theirs["tau2"] + theirs["se"] ** 2) ** 0.5
        assert found.pi_lower == pytest.approx(theirs["estimate"] - reach, rel=ITERATED)
    assert theirs["lambda"] == pytest.approx(1.0)


def test_kenward_roger_with_equal_standard_errors_is_the_t_test():
    y = np.array([0.1, 0.3, 0.4, 0.9, 0.7])
    for form in ("kenward_roger", "partlett_riley"):
        found = kenward_roger(simple(y, [0.1] * 5), df=form)
        assert found.df == pytest.approx(4.0, rel=CLOSED)
        assert found.p == pytest.approx(stats.ttest_1samp(y, 0.0).pvalue, rel=CLOSED)


def test_kenward_roger_with_blocks_by_dense_matrices():
    effects, rho = blocked(), 0.3
    found = kenward_roger(effects, df="kenward_roger", rho=rho)
    S, D = effects.covariance(), np.eye(5)
    D[0, 1] = D[1, 0] = rho
    W = np.linalg.inv(S + found.tau2 * D)
    one = np.ones((5, 1))
    phi = np.linalg.inv(one.T @ W @ one)
    P = -one.T @ W @ D @ W @ one
    Q = one.T @ W @ D @ W @ D @ W @ one
    expected = np.trace(W @ D @ W @ D) - np.trace(2 * phi @ Q - phi @ P @ phi @ P)
    adjusted = phi + 2 * phi @ (2 / expected * (Q - P @ phi @ P)) @ phi
    assert found.se**2 == pytest.approx(adjusted[0, 0], rel=CLOSED)
    assert found.df == pytest.approx(2 / (2 / expected * (P[0, 0] * phi[0, 0]) ** 2), rel=CLOSED)
    assert found.estimate == pytest.approx(pool(effects, rho=rho).estimate, rel=ROUNDING)


def test_alternatives_table():
    table = alternatives_table(effects_of("bcg_rr"))
    numbers = ["estimate", "se", "lower", "upper", "df", "p", "tau2", "pi_lower", "pi_upper"]
    assert table.columns.tolist() == ["method", *numbers, "note"]
    assert table.estimate.notna().all()
    assert table[["df", "pi_lower"]].isna().all(axis=1).tolist() == [True, True, False, False]
    assert (table.note[table.df.isna()] != "").all()
    with_blocks = alternatives_table(blocked())
    assert with_blocks.estimate.isna().tolist() == [True, True, False, False]
    assert with_blocks.note[:2].str.contains("share patients").all()
    one = alternatives_table(simple([0.3], [0.1]))
    assert one.estimate.isna().all()
    assert one.note.str.contains("at least two").all()
    with pytest.raises(ModelError, match="Allowed: partlett_riley"):
        kenward_roger(blocked(), df="XX")


@pytest.mark.parametrize("factor", [-1.0, 1e3])
def test_alternatives_follow_sign_and_unit(factor):
    effects = effects_of("normand_smd")
    before = alternatives_table(effects)
    after = alternatives_table(simple(factor * effects.y, abs(factor) * effects.se))
    lower, upper = ("lower", "upper") if factor > 0 else ("upper", "lower")
    assert after.estimate.to_numpy() == pytest.approx(factor * before.estimate.to_numpy(), rel=CLOSED)
    assert after[lower].to_numpy() == pytest.approx(factor * before["lower"].to_numpy(), rel=CLOSED)
    assert after[upper].to_numpy() == pytest.approx(factor * before["upper"].to_numpy(), rel=CLOSED)


def test_few_trials_and_one_tiny_standard_error():
    for k in (2, 3):
        table = alternatives_table(simple([0.3, 0.9, -0.1][:k], [0.1, 0.2, 0.15][:k]))
        assert table[["estimate", "se", "lower", "upper"]].notna().all(axis=None)
    # so unequal: the adjustment leaves less than one degree of freedom, which is said
    uneven = kenward_roger(simple([0.3, 0.9, 0.5], [1e-4, 0.9, 0.8]))
    assert uneven.df > 0
    assert (uneven.df > 1) == (uneven.pi_lower is not None)
    equal = alternatives_table(simple([0.3] * 4, [0.1, 0.2, 0.1, 0.3]))
    assert equal.estimate.to_numpy() == pytest.approx(np.full(4, 0.3))
    assert equal.tau2.tolist() == [0.0] * 4


# weighted sums of chi-squared variables


def test_weighted_chi2_against_imhof():
    for case in R["chi2"]:
        weights = np.atleast_1d(case["lambda"])
        found = 1.0 - weighted_chi2_cdf([case["q"]], weights)[0]
        expected = case["upper"] if len(weights) > 2 else stats.chi2(len(weights)).sf(case["q"])
        assert found == pytest.approx(expected, abs=IMHOF if len(weights) > 2 else INVERSION), case


@pytest.mark.parametrize("n", [1, 2, 3, 10, 50, 200, 1000])
def test_weighted_chi2_with_equal_weights(n):
    p = np.array([1e-8, 1e-4, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-9])
    q = stats.chi2(n).ppf(p)
    for weight in (1e-6, 1.0, 1e6):
        found = weighted_chi2_cdf(weight * q, np.full((len(q), n), weight))
        assert found == pytest.approx(p, rel=INVERSION)


def test_weighted_chi2_with_pairs_of_weights():
    """a chi2(2) + b chi2(2) has a closed form: a difference of exponentials; ratios up to 1e6."""
    for a, b in ((1.0, 0.5), (1.0, 0.01), (1.0, 1e-6)):
        q = np.array([1e-7, 0.01, 0.5, 2.0, 20.0])
        expected = 1 - (a * np.exp(-q / (2 * a)) - b * np.exp(-q / (2 * b))) / (a - b)
        assert weighted_chi2_cdf(q, [a, a, b, b]) == pytest.approx(expected, abs=INVERSION)
    assert weighted_chi2_cdf([0.0, -1.0], [1.0, 2.0]).tolist() == [0.0, 0.0]
    with pytest.raises(ModelError, match="not negative"):
        weighted_chi2_cdf([1.0], [-1.0])


# intervals of tau2


@pytest.mark.parametrize("name", SETS)
def test_intervals_of_tau2(name):
    effects = effects_of(name)
    table = tau2_intervals_table(effects).set_index(["method", "form"])
    for form, theirs in R["genq"][name].items():
        line = table.loc["generalised Q", form]
        ours = (line.tau2, line.tau2_lower, line.tau2_upper)
        assert ours == pytest.approx((theirs["tau2"], theirs["lower"], theirs["upper"]), rel=ITERATED, abs=1e-12), form
    for form, theirs in R["profile"][name].items():
        line = table.loc["profile likelihood", form]
        ours = (line.tau2, line.tau2_lower, line.tau2_upper, line.i2_lower, line.i2_upper)
        expected = [theirs[key] for key in ("tau2", "lower", "upper", "i2_lower", "i2_upper")]
        assert ours == pytest.approx(expected, rel=ITERATED, abs=1e-9), form
        wald = table.loc["Wald", form]
        assert (wald.tau2_lower, wald.tau2_upper) == pytest.approx(
            (theirs["wald_lower"], theirs["wald_upper"]), rel=ITERATED, abs=1e-9
        )
    q_profile = table.loc["Q-profile", "PM"]
    assert (q_profile.tau2_lower, q_profile.tau2_upper) == tau2_interval(effects).tau2
    assert q_profile.tau2 == pool(effects, method="PM").tau2
    assert table.tau_upper.to_numpy() ** 2 == pytest.approx(table.tau2_upper.to_numpy())


def test_generalised_q_keeps_its_tail_probabilities():
    effects = effects_of("normand_smd")
    for weights, a in (("DL", effects.se**-2.0), ("HE", np.ones(9))):
        _, lower, upper = generalised_q_interval(effects, weights=weights, level=0.8)
        tails = weighted_q(effects.y, effects.se, a).exceeds([lower, upper])
        assert tails == pytest.approx([0.1, 0.9], rel=1e-9)
    assert WeightedQ(effects.y, effects.se, effects.se**-2.0).tau2 == pytest.approx(pool(effects, method="DL").tau2)


def test_equal_variances_give_the_q_profile():
    """With equal standard errors Q is a scaled chi2 for every tau2, so that all weights give the Q-profile."""
    effects = simple([0.1, 0.9, 0.4, 1.5, -0.2], [0.2] * 5)
    expected = tau2_interval(effects).tau2
    for weights in ("DL", "root", "HE"):
        assert generalised_q_interval(effects, weights=weights)[1:] == pytest.approx(expected, rel=CLOSED)


def test_intervals_that_are_not_defined_say_why():
    table = tau2_intervals_table(blocked())
    by = table.set_index(["method", "form"])
    assert by.loc["generalised Q"].tau2.isna().all()
    assert by.loc["generalised Q"].note.str.contains("share patients").all()
    assert by.loc[["Q-profile", "profile likelihood", "Wald"]].tau2_upper.notna().all()
    one = tau2_intervals_table(simple([0.3], [0.1]))
    assert one.tau2.isna().all()
    assert (one.note != "").all()
    equal = tau2_intervals_table(simple([0.3] * 4, [0.1, 0.2, 0.1, 0.3])).set_index(["method", "form"])
    assert equal.loc["generalised Q"].tau2_upper.tolist() == [0.0] * 3
    assert equal.loc["generalised Q"].note.str.contains("empty").all()
    assert (equal.loc["profile likelihood"].tau2_upper > 0).all()
    with pytest.raises(ModelError, match="Allowed: DL, root, HE"):
        generalised_q_interval(blocked(), weights="XX")
    with pytest.raises(ModelError, match="Allowed: REML, ML"):
        profile_interval(blocked(), method="DL")


def test_intervals_of_tau2_follow_the_unit():
    effects = effects_of("bcg_rr")
    small, large = tau2_intervals_table(effects), tau2_intervals_table(simple(1e3 * effects.y, 1e3 * effects.se))
    for column in ("tau2", "tau2_lower", "tau2_upper"):
        assert large[column].to_numpy() == pytest.approx(1e6 * small[column].to_numpy(), rel=1e-8), column
    assert large.i2_upper.to_numpy() == pytest.approx(small.i2_upper.to_numpy(), rel=1e-8)


# sign flips


@pytest.mark.parametrize("name", PERMUTED)
def test_permutation_test(name):
    effects = effects_of("bcg_rr").subset(np.arange(9)) if name == "bcg_first_9" else effects_of(name)
    for key, theirs in R["permutation"][name].items():
        method, _, ci = key.partition("_")
        found = permutation_test(effects, method=method, ci=ci)
        assert found.exact
        assert found.p == theirs["p"], key
        assert found.number == theirs["number"]
        assert found.stat == pytest.approx(theirs["stat"], rel=ITERATED)


def test_drawn_sign_flips_are_seeded_and_near_the_exact_p():
    effects = effects_of("normand_smd")
    exact = permutation_test(effects)
    drawn = permutation_test(effects, exact=False, draws=20_000, seed=3)
    assert drawn == permutation_test(effects, exact=False, draws=20_000, seed=3)
    assert (drawn.number, drawn.seed, drawn.exact) == (20_001, 3, False)
    # four standard errors
    assert drawn.p == pytest.approx(exact.p, abs=4 * (exact.p * (1 - exact.p) / 20_000) ** 0.5)
    assert not permutation_test(effects_of("hackshaw_logor"), method="DL", draws=200).exact


def test_blocks_flip_together():
    """Flipping whole trials by hand and pooling one by one."""
    effects = blocked()
    found = permutation_test(effects, ci="hksj")
    names, unit = effects.units
    stats_of = []
    for pattern in range(2 ** len(names)):
        sign = np.where(pattern >> unit & 1, -1.0, 1.0)
        flipped = Effects(effects.study, sign * effects.y, effects.se, measure="SMD", blocks=effects.blocks)
        stats_of.append(pool(flipped, ci="hksj").stat)
    assert found.number == 16
    assert found.stat == pytest.approx(stats_of[0], rel=ROUNDING)
    assert found.p == (np.abs(stats_of) >= abs(stats_of[0]) - 1e-8).mean()


def test_permutation_of_few_and_of_equal_estimates():
    few = permutation_test(simple([0.3, 0.5], [0.1, 0.1]))
    assert (few.p, few.smallest) == (0.5, 0.5)
    assert "cannot be below 0.5" in few.notes[0]
    equal = permutation_test(simple([0.3] * 6, [0.1] * 6), ci="hksj")
    assert np.isinf(equal.stat)
    assert equal.p == 2 / 64
    mirrored = permutation_test(simple([-0.3, -0.5, 0.1], [0.1, 0.1, 0.1]))
    assert mirrored.stat == pytest.approx(-permutation_test(simple([0.3, 0.5, -0.1], [0.1, 0.1, 0.1])).stat)
    with pytest.raises(ModelError, match="at least two trials"):
        permutation_test(simple([0.3], [0.1]))
    with pytest.raises(ModelError, match="exact=False"):
        permutation_test(effects_of("hackshaw_logor"), exact=True)
    with pytest.raises(ModelError, match="Allowed: True"):
        permutation_test(blocked(), exact="always")


# prediction by the confidence distribution


def test_cisapride_of_pimeta():
    """pimeta 1.1.4, vignette: 4.141, 95 % CI 2.224 to 7.820, PI 0.533 to 33.692, Pr(theta_new < 0) 0.075, tau2 0.718.

    Its 25,000 draws leave about 2 % of error in the limits of the prediction interval; ours have none.
    """
    found = bootstrap_prediction(cisapride())
    assert np.exp(found.estimate) == pytest.approx(4.141, abs=5e-4)
    assert found.tau2 == pytest.approx(0.718, abs=5e-4)
    assert (found.lower, found.upper) == pytest.approx(np.log([2.224, 7.820]), abs=DRAWN_CI)
    assert (found.pi_lower, found.pi_upper) == pytest.approx(np.log([0.533, 33.692]), abs=DRAWN_PI)
    assert found.below_null == pytest.approx(0.075, abs=DRAWN_P)
    sampled = bootstrap_prediction(cisapride(), form="sampled", seed=4)
    assert sampled == bootstrap_prediction(cisapride(), form="sampled", seed=4)
    assert (sampled.pi_lower, sampled.pi_upper) == pytest.approx((found.pi_lower, found.pi_upper), abs=DRAWN_PI)
    assert (sampled.lower, sampled.upper) == pytest.approx((found.lower, found.upper), abs=DRAWN_CI)
    assert (sampled.draws, sampled.seed, found.draws, found.seed) == (25_000, 4, None, None)


@pytest.mark.parametrize("name", ["bcg_rr", "eight_schools"])
def test_exact_prediction_by_brute_force(name):
    """Midpoint sums over 6,000 values of tau2, and a trapezoidal rule over Z with Student's t in closed form."""
    effects = effects_of(name)
    found = bootstrap_prediction(effects)
    y, se = effects.y, effects.se
    grid = np.concatenate([[0.0], float(np.median(se)) ** 2 * np.geomspace(1e-6, 1e7, 6_000)])
    mass = np.diff(weighted_q(y, se, se**-2.0).exceeds(grid), prepend=0.0)
    tau2 = np.concatenate([[0.0], 0.5 * (grid[1:] + grid[:-1])])
    w = 1.0 / (se**2 + tau2[:, None])
    mean = (w * y).sum(axis=1) / w.sum(axis=1)
    sd = ((w * (y - mean[:, None]) ** 2).sum(axis=1) / (effects.k - 1) / w.sum(axis=1)) ** 0.5
    z = np.linspace(-8.0, 8.0, 161)
    density = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
    df = effects.k - 1
    for limit, p in ((found.pi_lower, 0.025), (found.pi_upper, 0.975), (0.0, found.below_null)):
        below = special.stdtr(df, (limit - mean[:, None] - tau2[:, None] ** 0.5 * z) / sd[:, None]) @ density
        assert float(mass @ below) == pytest.approx(p, abs=MIDPOINT)
    for limit, p in ((found.lower, 0.025), (found.upper, 0.975)):
        assert float(mass @ special.stdtr(df, (limit - mean) / sd)) == pytest.approx(p, abs=MIDPOINT)


def test_prediction_follows_sign_and_unit():
    effects = effects_of("normand_smd")
    before = bootstrap_prediction(effects)
    mirrored = bootstrap_prediction(simple(-effects.y, effects.se))
    assert (mirrored.pi_lower, mirrored.pi_upper) == pytest.approx((-before.pi_upper, -before.pi_lower), rel=1e-8)
    assert mirrored.below_null == pytest.approx(1 - before.below_null, rel=1e-8)
    larger = bootstrap_prediction(simple(1e3 * effects.y, 1e3 * effects.se))
    assert (larger.lower, larger.pi_upper) == pytest.approx((1e3 * before.lower, 1e3 * before.pi_upper), rel=1e-8)


def test_prediction_of_few_and_what_is_refused():
    two = bootstrap_prediction(simple([0.3, 0.9], [0.1, 0.2]))
    three = bootstrap_prediction(simple([0.3, 0.9, 0.5], [0.1, 0.2, 1e-3]))
    assert two.pi_lower < two.lower < two.upper < two.pi_upper
    assert three.pi_lower < three.lower < three.upper < three.pi_upper
    assert "heavy tail" in two.notes[0]
    for effects, message in (
        (simple([0.3], [0.1]), "at least two"),
        (simple([0.3] * 3, [0.1] * 3), "all estimates are equal"),
        (blocked(), "share patients"),
    ):
        with pytest.raises(ModelError, match=message):
            bootstrap_prediction(effects)
    with pytest.raises(ModelError, match="Allowed: exact, sampled"):
        bootstrap_prediction(cisapride(), form="XX")
