"""One-dimensional posteriors against scipy.stats, brute force and closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, optimize, stats

import bayesmeta as bm
from bayesmeta import numerics
from bayesmeta.errors import InferenceError
from bayesmeta.fits import distributions
from bayesmeta.marginals import Draws, Gridded, NormalMixture, Variable, from_density, mixture_cdf, mixture_quantile

FloatArray = NDArray[np.float64]

# a sum of a few hundred normal probabilities
ROUNDING = 1e-13
# a quantile is accepted when its probability is right to 1e-13 (mixture) or 1e-12 (table)
QUANTILE = 3e-13
GRID_QUANTILE = 3e-12
# a table of 257 points of a smooth density; its distribution function is the antiderivative of the interpolant
GRID = 1e-10
# bounded minimisation of the length; the length is quadratic in the tail, so half the digits
SHORTEST = 1e-6
# probability that a Kolmogorov-Smirnov test rejects a correct sampler at this seed: fixed seeds make it certain
KS = 1e-3

WEIGHTS = np.array([0.2, 0.5, 0.3])
MEANS = np.array([-1.0, 0.3, 2.0])
SDS = np.array([0.5, 1.2, 0.1])
MIXTURE = NormalMixture(WEIGHTS, MEANS, SDS)
P = np.array([1e-12, 1e-6, 0.001, 0.025, 0.2, 0.5, 0.699, 0.701, 0.975, 0.9999, 1 - 1e-9])


def scipy_sum(function: str, x: Any) -> FloatArray:
    parts = [getattr(stats.norm(m, s), function)(x) for m, s in zip(MEANS, SDS, strict=True)]
    return sum(w * part for w, part in zip(WEIGHTS, parts, strict=True))


# ------------------------------------------------------------------------------------------------ normal mixture


def test_mixture_against_scipy() -> None:
    x = np.linspace(-6, 6, 41)
    np.testing.assert_allclose(MIXTURE.cdf(x), scipy_sum("cdf", x), rtol=ROUNDING)
    np.testing.assert_allclose(MIXTURE.sf(x), scipy_sum("sf", x), rtol=ROUNDING)
    np.testing.assert_allclose(MIXTURE.density(x), scipy_sum("pdf", x), rtol=ROUNDING)
    mean = WEIGHTS @ MEANS
    second = WEIGHTS @ [stats.norm(m, s).moment(2) for m, s in zip(MEANS, SDS, strict=True)]
    assert MIXTURE.mean == pytest.approx(mean, rel=ROUNDING)
    assert MIXTURE.sd == pytest.approx(math.sqrt(second - mean**2), rel=ROUNDING)
    assert MIXTURE.mcse == 0.0


def test_mixture_quantile_inverts() -> None:
    np.testing.assert_allclose(MIXTURE.cdf(MIXTURE.quantile(P)), P, rtol=0, atol=QUANTILE)
    assert MIXTURE.quantile([0.0, 1.0]).tolist() == [-math.inf, math.inf]
    one = NormalMixture([1.0], [0.3], [0.2])
    np.testing.assert_allclose(one.quantile(P[2:9]), stats.norm(0.3, 0.2).ppf(P[2:9]), rtol=1e-10)
    x = optimize.brentq(lambda t: float(scipy_sum("cdf", t)) - 0.37, -5, 5, xtol=1e-14)
    assert float(MIXTURE.quantile(0.37)) == pytest.approx(x, abs=1e-12)


@pytest.mark.parametrize(
    ("weights", "means", "sds"),
    [
        ([0.5, 0.5], [-5.0, 5.0], [1e-3, 1e-3]),  # a gap without mass
        ([1 - 1e-9, 1e-9], [0.0, 0.0], [1.0, 1e8]),  # scales far apart
        ([0.9, 0.1], [0.0, 0.0], [1e-9, 1.0]),  # nearly an atom
        ([0.3, 0.0, 0.7], [0.0, 1e100, 1.0], [1.0, 1.0, 0.5]),  # a component without weight
    ],
)
def test_mixture_quantile_on_awkward_mixtures(weights: list[float], means: list[float], sds: list[float]) -> None:
    mixture = NormalMixture(weights, means, sds)
    p = np.array([0.01, 0.3, 0.499, 0.6, 0.95, 0.99])
    np.testing.assert_allclose(mixture.cdf(mixture.quantile(p)), p, rtol=0, atol=1e-12)


def test_many_mixtures_at_once_agree_with_one_by_one() -> None:
    means, sds = np.vstack([MEANS, MEANS + 5]), np.vstack([SDS, 3 * SDS])
    together = mixture_quantile(P[1:-1], WEIGHTS, means, sds)
    for row in range(2):
        alone = NormalMixture(WEIGHTS, means[row], sds[row])
        np.testing.assert_allclose(alone.cdf(together[row]), P[1:-1], rtol=0, atol=QUANTILE)
    np.testing.assert_allclose(mixture_cdf(together, WEIGHTS, means, sds), [P[1:-1]] * 2, rtol=0, atol=QUANTILE)


def test_tails_keep_their_relative_accuracy() -> None:
    """The upper tail of a normal at 30 SDs, from mpmath's erfc: 4.9067e-198."""
    import mpmath  # type: ignore[import-untyped]

    exact = float(mpmath.erfc(30 / mpmath.sqrt(2)) / 2)
    normal = NormalMixture([1.0], [0.0], [1.0])
    assert float(normal.sf(30.0)) == pytest.approx(exact, rel=1e-11)
    assert float(normal.cdf(-30.0)) == pytest.approx(exact, rel=1e-11)


def brute_force_shortest(cdf: Callable[[FloatArray], FloatArray], low: float, high: float, level: float) -> float:
    """Length of the shortest interval by a table of 2 million points: right to the step of the table."""
    x = np.linspace(low, high, 400_001)
    c = cdf(x)
    start = x[c <= 1 - level + 1e-12]
    end = np.interp(c[: start.size] + level, c, x)
    return float((end - start).min())


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.99])
def test_shortest_interval_of_a_mixture(level: float) -> None:
    low, high = MIXTURE.interval(level, "shortest")
    assert float(MIXTURE.cdf(high) - MIXTURE.cdf(low)) == pytest.approx(level, abs=1e-12)
    assert high - low == pytest.approx(
        brute_force_shortest(lambda x: scipy_sum("cdf", x), -8, 8, level), abs=16 / 400_000
    )
    central = MIXTURE.interval(level)
    assert high - low <= central[1] - central[0] + 1e-12


def test_shortest_interval_of_a_normal_is_central() -> None:
    normal = NormalMixture([1.0], [0.3], [0.2])
    assert normal.interval(0.9, "shortest") == pytest.approx(stats.norm(0.3, 0.2).interval(0.9), abs=SHORTEST)
    assert normal.interval(0.9) == pytest.approx(stats.norm(0.3, 0.2).interval(0.9), rel=1e-10)


def test_atoms() -> None:
    """A spike of 0.4 at 0.5 and a normal: distribution function from the right, quantiles on the spike."""
    spiked = NormalMixture([0.4, 0.6], [0.5, 0.0], [0.0, 1.0])
    below = 0.6 * stats.norm.cdf(0.5)
    assert float(spiked.cdf(0.5 - 1e-12)) == pytest.approx(below, abs=1e-11)
    assert float(spiked.cdf(0.5)) == pytest.approx(below + 0.4, abs=1e-15)
    assert float(spiked.sf(0.5)) == pytest.approx(0.6 * stats.norm.sf(0.5), abs=1e-15)
    np.testing.assert_allclose(spiked.quantile([below + 0.001, below + 0.2, below + 0.399]), 0.5, atol=1e-9)
    assert float(spiked.quantile(0.1)) == pytest.approx(stats.norm.ppf(0.1 / 0.6), abs=1e-9)
    assert spiked.mean == pytest.approx(0.2)
    assert spiked.sd**2 == pytest.approx(0.6 * 1 + 0.4 * 0.25 - 0.04)
    draws = spiked.rvs(4000, np.random.default_rng(1))
    assert np.mean(draws == 0.5) == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / 4000))


@pytest.mark.parametrize(("moments", "mean", "sd"), [(0, False, False), (1, True, False), (2, True, True)])
def test_moments_that_do_not_exist_are_infinite(moments: int, mean: bool, sd: bool) -> None:
    nodes, _ = numerics.rule(33)
    forms = [
        NormalMixture(WEIGHTS, MEANS, SDS, moments),
        Gridded(np.array([0.0, 1.0]), (2 + nodes)[None, :], moments=moments),
    ]
    for form in forms:
        assert math.isfinite(form.mean) == mean
        assert math.isfinite(form.sd) == sd
        assert math.isfinite(float(form.quantile(0.5)))


def test_bad_mixtures_and_questions_are_refused() -> None:
    with pytest.raises(bm.ModelError, match="sum to one"):
        NormalMixture([0.5, 0.6], [0, 1], [1, 1])
    with pytest.raises(bm.ModelError, match="sum to one"):
        NormalMixture([0.5, 0.5], [0, 1], [1, -1])
    with pytest.raises(bm.ModelError, match="one shape"):
        NormalMixture([0.5, 0.5], [0, 1], [1])
    with pytest.raises(bm.ModelError, match="central, shortest"):
        MIXTURE.interval(0.95, "hdi")  # type: ignore[arg-type]
    for level in (0.0, 1.0, 95):
        with pytest.raises(bm.ModelError, match="between 0 and 1"):
            MIXTURE.interval(level)
    for p in ([-0.1], [1.1], [math.nan]):
        with pytest.raises(bm.ModelError, match="between 0 and 1"):
            MIXTURE.quantile(p)


def test_arrays_are_read_only_and_shapes_are_kept() -> None:
    with pytest.raises(ValueError, match="read-only"):
        MIXTURE.weights[0] = 1.0
    for function in (MIXTURE.cdf, MIXTURE.sf, MIXTURE.density):
        assert function(np.zeros((2, 3))).shape == (2, 3)
        assert np.shape(function(0.3)) == ()
    assert MIXTURE.quantile(np.full((2, 3), 0.4)).shape == (2, 3)


# ---------------------------------------------------------------------------------------------- tables of a density


def tabulate(frozen: Any, variable: Variable, low: float, high: float, points: int = 257) -> Gridded:
    nodes, _ = numerics.rule(points)
    z = 0.5 * (low + high) + 0.5 * (high - low) * nodes
    density = np.exp(frozen.logpdf(variable.x(z)) + variable.log_jacobian(z))
    return Gridded(np.array([low, high]), density[None, :], variable)


_CAUCHY, _LOGNORMAL = stats.halfcauchy(scale=0.5), stats.lognorm(0.87, scale=math.exp(-1.28))
_HALF_NORMAL = stats.halfnorm(scale=0.5)
TABLES = {
    "normal": (stats.norm(0.3, 0.2), tabulate(stats.norm(0.3, 0.2), Variable(), -1.5, 2.1)),
    "half-Cauchy in asinh": (_CAUCHY, tabulate(_CAUCHY, Variable("asinh", 0.0, 0.2), 0.0, 40.0)),
    "log-normal in its logarithm": (
        _LOGNORMAL,
        tabulate(_LOGNORMAL, Variable("log", -1.28, 0.87), -9.0, 9.0),
    ),
    "half-normal in asinh": (_HALF_NORMAL, tabulate(_HALF_NORMAL, Variable("asinh", 0.0, 0.3), 0.0, 3.2)),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_against_scipy(name: str) -> None:
    theirs, ours = TABLES[name]
    p = np.array([1e-6, 0.01, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9999])
    x = theirs.ppf(p)
    np.testing.assert_allclose(ours.cdf(x), p, rtol=0, atol=GRID)
    np.testing.assert_allclose(ours.sf(x), 1 - p, rtol=0, atol=GRID)
    np.testing.assert_allclose(ours.cdf(ours.quantile(p)), p, rtol=0, atol=GRID_QUANTILE)
    np.testing.assert_allclose(ours.quantile(p[1:]), x[1:], rtol=1e-6)
    np.testing.assert_allclose(ours.density(x), theirs.pdf(x), rtol=1e-6)


def test_table_moments_against_scipy() -> None:
    for name in ("normal", "log-normal in its logarithm", "half-normal in asinh"):
        theirs, ours = TABLES[name]
        assert ours.mean == pytest.approx(theirs.mean(), rel=1e-9)
        assert ours.sd == pytest.approx(theirs.std(), rel=1e-9)


def test_table_of_a_log_student_t_in_logsinh() -> None:
    """A density that is unbounded at zero, in the variable in which its polynomial tails become exponential."""
    variable = Variable("logsinh", -1.72, 1.295)
    nodes, _ = numerics.rule(513)
    reach = 9.0
    z = reach * nodes
    u = np.sinh(z)
    log = stats.t(5).logpdf(u) + np.logaddexp(z, -z) - math.log(2)
    table = Gridded(np.array([-reach, reach]), np.exp(log)[None, :], variable, moments=0)
    p = np.array([0.001, 0.025, 0.5, 0.975, 0.999])
    # the ends of the table are at u = sinh(9) = 4052, beyond which a t with 5 df has 1e-17
    np.testing.assert_allclose(table.quantile(p), np.exp(-1.72 + 1.295 * stats.t(5).ppf(p)), rtol=1e-8)
    np.testing.assert_allclose(table.cdf(np.exp(-1.72 + 1.295 * stats.t(5).ppf(p))), p, atol=GRID)


@pytest.mark.parametrize("kind", ["identity", "asinh", "log", "logsinh"])
def test_variables_invert_and_know_their_slope(kind: Any) -> None:
    variable = Variable(kind, -0.4, 0.7)
    z = np.linspace(-2.5, 2.5, 11)
    np.testing.assert_allclose(variable.z(variable.x(z)), z, atol=1e-12)
    step = 1e-6
    slope = (variable.x(z + step) - variable.x(z - step)) / (2 * step)
    np.testing.assert_allclose(np.exp(variable.log_jacobian(z)), slope, rtol=1e-8)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_shortest_interval_of_a_skewed_table(level: float) -> None:
    theirs, ours = TABLES["log-normal in its logarithm"]
    low, high = ours.interval(level, "shortest")
    assert float(theirs.cdf(high) - theirs.cdf(low)) == pytest.approx(level, abs=1e-9)
    found = optimize.minimize_scalar(
        lambda tail: theirs.ppf(tail + level) - theirs.ppf(tail),
        bounds=(0, 1 - level),
        method="bounded",
        options={"xatol": 1e-12},
    )
    assert high - low == pytest.approx(found.fun, abs=SHORTEST)
    assert theirs.pdf(low) == pytest.approx(theirs.pdf(high), rel=1e-5)


def test_shortest_interval_of_a_falling_density_starts_at_its_end() -> None:
    """Half-normal and half-Cauchy: from zero to the quantile at the level."""
    for name in ("half-normal in asinh", "half-Cauchy in asinh"):
        theirs, ours = TABLES[name]
        low, high = ours.interval(0.95, "shortest")
        assert low == 0.0
        assert high == pytest.approx(theirs.ppf(0.95), rel=1e-8)


def test_table_ends() -> None:
    _, table = TABLES["half-normal in asinh"]
    low, high = table.support
    assert (low, high) == (0.0, pytest.approx(0.3 * math.sinh(3.2)))
    assert table.quantile([0.0, 1.0]).tolist() == [low, high]
    assert table.cdf([-1.0, low, high, high + 1]).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert table.density([-1.0, high + 1]).tolist() == [0.0, 0.0]


def test_a_table_without_mass_is_refused() -> None:
    for values in (np.zeros((1, 9)), np.full((1, 9), np.nan)):
        with pytest.raises(InferenceError, match="no finite positive mass"):
            Gridded(np.array([0.0, 1.0]), values)


def test_a_stored_table_is_read_back_bit_for_bit() -> None:
    _, table = TABLES["normal"]
    again = Gridded(table.edges, table.values, table.variable, table.moments)
    np.testing.assert_array_equal(again.values, table.values)
    np.testing.assert_array_equal(again.quantile(P[2:8]), table.quantile(P[2:8]))


# --------------------------------------------------------------------------------------------------- from_density


def test_from_density_of_a_truncated_normal() -> None:
    theirs = stats.truncnorm(-0.7, 1.8, 0.2, 1)
    table = from_density(theirs.pdf, [-0.5, 0.0, 2.0])
    x = np.linspace(-0.5, 2, 21)
    np.testing.assert_allclose(table.cdf(x), theirs.cdf(x), atol=GRID)
    assert table.mean == pytest.approx(theirs.mean(), abs=GRID)
    assert table.sd == pytest.approx(theirs.std(), abs=GRID)
    assert table.support == (-0.5, 2.0)


def test_from_density_of_a_kinked_density() -> None:
    """Laplace: the kink lies at a break, or is found by halving panels."""
    theirs = stats.laplace(0.1, 0.3)
    for breaks in ([-8.0, 0.1, 8.0], [-8.0, 8.0]):
        table = from_density(theirs.pdf, breaks)
        x = np.linspace(-2, 2, 33)
        np.testing.assert_allclose(table.cdf(x), theirs.cdf(x), atol=1e-9)
        np.testing.assert_allclose(table.cdf(table.quantile([0.025, 0.5, 0.975])), [0.025, 0.5, 0.975], atol=1e-11)


def test_from_density_of_a_step_and_of_a_narrow_peak() -> None:
    step = from_density(lambda x: np.where(x < 0.3, 1.0, 3.0), [0.0, 1.0])
    assert float(step.cdf(0.3)) == pytest.approx(0.3 / (0.3 + 2.1), abs=1e-9)
    narrow = stats.norm(0.4321, 1e-4)
    table = from_density(narrow.pdf, np.linspace(-1, 1, 400))
    assert float(table.quantile(0.975)) == pytest.approx(narrow.ppf(0.975), abs=1e-11)


def test_from_density_takes_an_unnormalised_density() -> None:
    def density(x: FloatArray) -> FloatArray:
        return np.exp(-0.5 * x**2) * (1 + np.sin(3 * x) ** 2)

    table = from_density(density, np.linspace(-9, 9, 9))
    total = integrate.quad(lambda x: float(density(np.array(x))), -9, 9, epsabs=1e-13)[0]
    part = integrate.quad(lambda x: float(density(np.array(x))), -9, 0.7, epsabs=1e-13)[0]
    assert float(table.cdf(0.7)) == pytest.approx(part / total, abs=GRID)


# ---------------------------------------------------------------------------------------------------------- draws


@pytest.mark.parametrize("name", TABLES)
def test_draws_of_a_table_follow_it(name: str) -> None:
    theirs, ours = TABLES[name]
    draws = ours.rvs(2000, np.random.default_rng(20261122))
    assert stats.kstest(draws, theirs.cdf).pvalue > KS
    np.testing.assert_array_equal(draws, ours.rvs(2000, np.random.default_rng(20261122)))


def test_draws_of_a_mixture_follow_it() -> None:
    draws = MIXTURE.rvs(5000, np.random.default_rng(20261122))
    assert stats.kstest(draws, lambda x: scipy_sum("cdf", x)).pvalue > KS


# ---------------------------------------------------------------------------------------------------- Chebyshev


@pytest.mark.parametrize("n", [9, 33, 129])
def test_clenshaw_curtis_is_exact_for_polynomials(n: int) -> None:
    """A rule with n points integrates polynomials of degree n - 1 exactly: 2 / (d + 1) for even d, 0 for odd."""
    x, w = numerics.rule(n)
    for degree in range(n):
        expected = 2 / (degree + 1) if degree % 2 == 0 else 0.0
        assert float(w @ x**degree) == pytest.approx(expected, abs=1e-14)
    np.testing.assert_array_equal(x[::2], numerics.rule((n + 1) // 2)[0])


@pytest.mark.parametrize("points", [17, 1001])
def test_chebyshev_series_against_closed_forms_and_numpy(points: int) -> None:
    """Few points and many go different ways."""
    assert 17 < numerics.MANY < 1001
    x, _ = numerics.rule(33)
    values = np.exp(x) * np.sin(4 * x)
    series = numerics.coefficients(values)
    t = np.linspace(-1, 1, points)
    expected = np.exp(t) * np.sin(4 * t)
    np.testing.assert_allclose(np.polynomial.chebyshev.chebval(t, series), expected, atol=1e-13)
    np.testing.assert_allclose(numerics.evaluate(t, series)[0], expected, atol=1e-13)
    integral = np.polynomial.chebyshev.chebint(series, lbnd=-1)
    np.testing.assert_allclose(numerics.antiderivative(series), integral, atol=1e-14)
    np.testing.assert_allclose(numerics.on_nodes(integral), np.polynomial.chebyshev.chebval(x, integral), atol=1e-13)
    # several series at once, one of them for each point
    which = np.arange(points) % 2
    own, whole = numerics.evaluate(t, np.vstack([series, 2 * series])[which], integral)
    np.testing.assert_allclose(own, expected * (1 + which), atol=1e-13)
    np.testing.assert_allclose(whole, np.polynomial.chebyshev.chebval(t, integral), atol=1e-13)


@pytest.mark.parametrize("points", [9, 999])
def test_chebyshev_series_of_high_degree_are_exact_to_the_ends(points: int) -> None:
    """1 / (1 + 100 x**2) needs 400 terms; its integral from -1 is (atan(10 x) + atan(10)) / 10."""
    x, _ = numerics.rule(1025)
    series = numerics.coefficients(1 / (1 + 100 * x**2))
    # half of the points crowd towards the ends, where a recurrence is at its worst; rounding of a thousand terms below
    t = np.concatenate([np.linspace(-1, 1, points), np.tanh(np.linspace(-18, 18, points))])
    density, below = numerics.evaluate(t, series, numerics.antiderivative(series))
    np.testing.assert_allclose(density, 1 / (1 + 100 * t**2), atol=1e-13)
    np.testing.assert_allclose(below, (np.arctan(10 * t) + np.arctan(10)) / 10, atol=1e-14)


def test_a_probability_from_draws_is_0_or_1_only_beyond_the_support() -> None:
    """No draw of n above x says that the probability is small, not that it is zero: half a draw is counted."""
    drawn = Draws(np.linspace(0.1, 1.0, 40).reshape(4, 10), low=0.0)
    assert drawn.cdf([-0.1, 0.0, 0.05, 2.0]).tolist() == [0.0, 0.5 / 40, 0.5 / 40, 1 - 0.5 / 40]
    assert drawn.sf(2.0) == pytest.approx(0.5 / 40, abs=1e-15)
    # what is counted is below the standard error that stands beside it
    assert drawn.cdf_mcse(2.0) == pytest.approx(1 / 40, abs=1e-15)
    # a quantity that is not random is known
    assert Draws(np.zeros((2, 5))).cdf([-1.0, 0.0]).tolist() == [0.0, 1.0]


def test_probabilities_lie_between_0_and_1() -> None:
    """Weights add up to 1 but for rounding; a probability may not be above it."""
    rng = np.random.default_rng(3)
    x = np.linspace(-8, 8, 60)
    for k in range(2, 12):
        y, se = rng.normal(0, 1, k), rng.uniform(0.05, 0.5, k)
        effects = bm.Effects([f"T{i}" for i in range(k)], y, se, measure="SMD")
        fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
        for name in ("mu", "theta_new", "tau", "theta[T0]"):
            form = bm.marginal(fit, name)
            found = np.concatenate([form.cdf(x), form.sf(x), *distributions([fit, fit], name, x)])
            assert 0 <= found.min() <= found.max() <= 1
