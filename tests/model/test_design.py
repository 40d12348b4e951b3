"""Design matrices and the rules of models: by hand, by numpy, and by algebra of covariances."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.fits import marginal, quantities
from bayesmeta.model import build_design, estimable

# linear algebra of a few columns
ROUNDING = 1e-13

KIND = ["aerobic", "yoga", "aerobic", "resistance", "yoga", "aerobic", "resistance", "yoga"]
TIMING = ["during", "after", "after", "during", "during", "after", "after", "after"]
WEEKS = [6.0, 12, 12, 24, 8, 10, 16, 20]
PRIORS = {"mu": bm.Normal(0, 1), "tau": bm.HalfNormal(0.5)}


def make(k: int = 8, **extra: Any) -> Effects:
    moderators = {"kind": KIND[:k], "timing": TIMING[:k], "weeks": WEEKS[:k], **extra}
    y = np.linspace(-0.5, 0.4, k)
    return Effects([f"t{i}" for i in range(k)], y, np.full(k, 0.2), measure="SMD", moderators=moderators)


def model(**beta: Any) -> bm.Model:
    return bm.Model(PRIORS["mu"], PRIORS["tau"], {name.replace("_x_", ":"): value for name, value in beta.items()})


CONTRAST, SLOPE = bm.Normal(0, 0.5), bm.Normal(0, 0.25)


# ------------------------------------------------------------------------------------------------------- columns


def test_without_moderators_the_design_is_one_column() -> None:
    design = build_design(make(), model())
    assert design.X.tolist() == [[1.0]] * 8
    assert design.profile().tolist() == [1.0]
    assert design.contrasts == ()


@pytest.mark.parametrize("signs", list(product([1.0, -1.0], repeat=3)))
def test_columns_of_a_curve_do_not_depend_on_the_signs_of_eigenvectors(
    signs: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processors give an eigenvector either sign, and a fit kept on one is read on another."""
    curve = model(weeks=bm.Spline(SLOPE, bm.HalfNormal(0.5), knots=5))
    here, eigh = build_design(make(), curve).X, np.linalg.eigh

    def elsewhere(matrix: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        values, vectors = eigh(matrix)
        return values, vectors * np.array([1.0, 1.0, *signs])

    monkeypatch.setattr(np.linalg, "eigh", elsewhere)
    np.testing.assert_array_equal(build_design(make(), curve).X, here)


@pytest.mark.parametrize("knots", [[4.0, 8.0, 12.0], [6.0, 8.0, 11.0, 16.0, 24.0]])
def test_departures_of_a_curve_are_weighted_by_their_smoothness(knots: list[float]) -> None:
    """Their covariance is the generalised inverse of the roughness penalty, scaled to a mean square of one.

    The penalty is written anew: integrals of products of second derivatives of scipy's natural splines, which are
    linear between knots, so that Simpson's rule is exact.
    """
    at = np.array(knots)
    curves = [CubicSpline(at, unit, bc_type="natural") for unit in np.eye(at.size)]
    penalty = np.zeros((at.size, at.size))
    for left, right in pairwise(knots):
        second = np.array([[curve(x, 2) for x in (left, (left + right) / 2, right)] for curve in curves])
        penalty += (right - left) / 6 * (second * np.array([1, 4, 1])) @ second.T
    wanted = np.linalg.pinv(penalty, rcond=1e-10)
    wanted *= at.size / np.trace(wanted)
    effects = make(weeks=np.linspace(knots[0], knots[-1], 8).tolist())
    design = build_design(effects, model(weeks=bm.Spline(SLOPE, bm.HalfNormal(0.5), knots=tuple(knots))))
    # the design's rows are the curve at the trials' values, less its mean over them: natural splines through the knots
    values = np.array([float(x) for x in effects.moderators["weeks"]])
    through = np.column_stack([curve(values) for curve in curves])
    through -= through.mean(axis=0)
    columns = design.X[:, 2:]
    # conditioning of the penalty times rounding
    np.testing.assert_allclose(columns @ columns.T, through @ wanted @ through.T, atol=1e-9)


def test_numeric_columns_are_centred_and_per_unit() -> None:
    design = build_design(make(), model(weeks=bm.Coefficient(SLOPE, per=6)))
    weeks = np.array(WEEKS)
    np.testing.assert_allclose(design.X[:, 1], (weeks - weeks.mean()) / 6, atol=ROUNDING)
    np.testing.assert_allclose(design.profile({"weeks": 30}), [1, (30 - weeks.mean()) / 6], atol=ROUNDING)
    assert [c.name for c in design.contrasts] == ["weeks per 6"]
    assert design.prior_scale.tolist() == [1.0, 1.0]


def test_columns_of_a_factor_are_centred_contrasts() -> None:
    """mu + d_l - sum(f d) with sum-free deviations: the columns span the centred indicators, profiles differ by d."""
    design = build_design(make(), model(kind=CONTRAST))
    np.testing.assert_allclose(design.X[:, 1:].mean(axis=0), 0, atol=ROUNDING)
    indicators = np.array([[v == level for level in ("aerobic", "resistance", "yoga")] for v in KIND], float)
    centred = indicators - indicators.mean(axis=0)
    fitted = design.X[:, 1:] @ np.linalg.lstsq(design.X[:, 1:], centred, rcond=None)[0]
    np.testing.assert_allclose(fitted, centred, atol=1e-12)
    # averaged over the observed mix, profiles give mu
    frequency = indicators.mean(axis=0)
    profiles = np.array([design.profile({"kind": level}) for level in ("aerobic", "resistance", "yoga")])
    np.testing.assert_allclose(frequency @ profiles, [1, 0, 0], atol=ROUNDING)


def test_contrast_weights_are_differences_of_profiles() -> None:
    design = build_design(make(), model(kind=bm.Coefficient(CONTRAST, reference="yoga"), weeks=SLOPE))
    names = [c.name for c in design.contrasts]
    assert names == ["kind: aerobic - yoga", "kind: resistance - yoga", "weeks"]
    for contrast, level in zip(design.contrasts, ("aerobic", "resistance"), strict=False):
        difference = design.profile({"kind": level}) - design.profile({"kind": "yoga"})
        np.testing.assert_allclose(contrast.weights, difference, atol=ROUNDING)
    one_more = design.profile({"weeks": 11}) - design.profile({"weeks": 10})
    np.testing.assert_allclose(design.contrasts[-1].weights, one_more, atol=ROUNDING)


def prior_covariance(effects: Effects, model: bm.Model) -> tuple[np.ndarray, Any]:
    """Prior covariance of the internal coefficients: the stated SD times the design's factor, independent."""
    design = build_design(effects, model)
    sd = np.concatenate(
        [
            [1.0 if item.name == "mu" else item.prior.sd] * item.width  # type: ignore[union-attr]
            for item in design.terms
        ]
    )
    return np.diag(np.square(sd * design.prior_scale)), design


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_every_contrast_of_levels_has_the_stated_prior_sd(levels: int) -> None:
    """Exchangeable deviations of SD s/sqrt(2): every pair of levels differs by N(0, s), and the pairs correlate 1/2."""
    values = [f"level {i % levels}" for i in range(12)]
    effects = Effects([f"t{i}" for i in range(12)], np.zeros(12), np.ones(12), measure="SMD", moderators={"m": values})
    P, design = prior_covariance(effects, bm.Model(bm.Normal(0, 1), None, {"m": CONTRAST}))
    rows = [design.profile({"m": f"level {i}"}) for i in range(levels)]
    for a in range(levels):
        for b in range(a):
            difference = rows[a] - rows[b]
            assert math.sqrt(difference @ P @ difference) == pytest.approx(0.5, rel=ROUNDING)
    if levels > 2:
        correlation = (rows[1] - rows[0]) @ P @ (rows[2] - rows[0]) / 0.25
        assert correlation == pytest.approx(0.5, rel=1e-12)


def test_difference_of_differences_has_the_stated_prior_sd() -> None:
    """Interaction of two factors: every (a1 b1 - a1 b2) - (a2 b1 - a2 b2) ~ N(0, s), by algebra."""
    effects = make()
    interaction = bm.Normal(0, 0.3)
    P, design = prior_covariance(effects, model(kind=CONTRAST, timing=CONTRAST, kind_x_timing=interaction))
    levels = ("aerobic", "resistance", "yoga")
    at = {(k, t): design.profile({"kind": k, "timing": t}) for k, t in product(levels, ("during", "after"))}
    for a, b in ((0, 1), (0, 2), (1, 2)):
        first, second = levels[a], levels[b]
        difference = (at[first, "during"] - at[first, "after"]) - (at[second, "during"] - at[second, "after"])
        assert math.sqrt(difference @ P @ difference) == pytest.approx(0.3, rel=1e-12)
    # the reported coefficients are such differences
    named = [c for c in design.contrasts if " x " in c.name]
    assert [c.name for c in named] == [
        "kind: resistance - aerobic x timing: during - after",
        "kind: yoga - aerobic x timing: during - after",
    ]
    for contrast in named:
        assert math.sqrt(contrast.weights @ P @ contrast.weights) == pytest.approx(0.3, rel=1e-12)


def test_difference_of_differences_by_simulation() -> None:
    """The same from the definition: product deviations e_kt of SD s/2, differences of differences of SD s."""
    rng = np.random.default_rng(1)
    e = rng.normal(0, 0.3 / 2, (200_000, 3, 2))
    difference = (e[:, 0, 0] - e[:, 0, 1]) - (e[:, 1, 0] - e[:, 1, 1])
    design = build_design(make(), model(kind=CONTRAST, timing=CONTRAST, kind_x_timing=bm.Normal(0, 0.3)))
    # four Monte Carlo standard errors of an SD from 200,000 draws: 4 * 0.3 / sqrt(400,000)
    assert difference.std() == pytest.approx(0.3, abs=0.002)
    assert design.prior_scale.tolist() == pytest.approx([1.0, *([2**-0.5] * 3), 0.5, 0.5])


def test_interaction_with_a_number_is_a_difference_of_slopes() -> None:
    effects = make()
    beta = {"kind": CONTRAST, "weeks": bm.Coefficient(SLOPE, per=6), "kind:weeks": bm.Normal(0, 0.2)}
    P, design = prior_covariance(effects, bm.Model(PRIORS["mu"], PRIORS["tau"], beta))
    slopes = {
        k: design.profile({"kind": k, "weeks": 18}) - design.profile({"kind": k, "weeks": 12})
        for k in ("aerobic", "resistance", "yoga")
    }
    difference = slopes["yoga"] - slopes["aerobic"]
    assert math.sqrt(difference @ P @ difference) == pytest.approx(0.2, rel=1e-12)
    names = [c.name for c in design.contrasts]
    assert "kind: yoga - aerobic x weeks per 6" in names
    weights = next(c.weights for c in design.contrasts if c.name == "kind: yoga - aerobic x weeks per 6")
    np.testing.assert_allclose(weights, difference, atol=1e-12)


# ------------------------------------------------------------------------------------------------------ profiles


def test_a_profile_is_standardised_over_the_observed_mix_of_the_others() -> None:
    """Moderators that are not named keep their observed values, over which the row is averaged."""
    effects = make()
    design = build_design(effects, model(kind=CONTRAST, timing=CONTRAST, kind_x_timing=CONTRAST, weeks=SLOPE))
    share = {k: KIND.count(k) / 8 for k in set(KIND)}
    expected = sum(share[k] * design.profile({"kind": k, "timing": "during"}) for k in share)
    np.testing.assert_allclose(design.profile({"timing": "during"}), expected, atol=1e-12)
    assert design.profile({})[0] == 1.0
    np.testing.assert_array_equal(design.profile({}), design.profile(None))
    # a whole profile of an observed row is that row
    row = design.profile({"kind": KIND[3], "timing": TIMING[3], "weeks": WEEKS[3]})
    np.testing.assert_allclose(row, design.X[3], atol=1e-12)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ({"dose": 1}, "no moderator 'dose' in the model. Allowed: kind, weeks"),
        ({"kind": "yogga"}, "Did you mean yoga\\? Allowed: aerobic, resistance, yoga"),
        ({"kind": 3}, "no level of kind 3 in the data"),
        ({"weeks": "12"}, "'12' is not a number"),
        ({"weeks": math.nan}, "nan is not a number"),
        ({"weeks": None}, "None is not a number"),
        ({"weeks": True}, "True is not a number"),
    ],
)
def test_bad_profiles(at: dict[str, Any], message: str) -> None:
    design = build_design(make(), model(kind=CONTRAST, weeks=SLOPE))
    with pytest.raises(bm.ModelError, match=message):
        design.profile(at)


def test_a_profile_of_a_model_without_moderators_is_refused() -> None:
    with pytest.raises(bm.ModelError, match=r"no moderator 'kind' in the model. Allowed: none"):
        build_design(make(), model()).profile({"kind": "yoga"})


# ---------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("beta", "extra", "message"),
    [
        ({"dose": SLOPE}, {}, "no moderator 'dose' of the effects. Allowed: kind, timing, weeks"),
        ({"kind": bm.Coefficient(CONTRAST, reference="tai chi")}, {}, "reference 'tai chi' is not in the data"),
        ({"gap": SLOPE}, {"gap": [1.0, math.nan, *range(6)]}, "no value for t1"),
        ({"gap": CONTRAST}, {"gap": ["a", None, "b", "", *"abab"]}, "no value for t1, t3"),
        ({"same": CONTRAST}, {"same": ["a"] * 8}, "moderator same: the same in every row"),
        ({"same": SLOPE}, {"same": [3.0] * 8}, "moderator same: the same in every row"),
    ],
)
def test_bad_moderators(beta: dict[str, Any], extra: dict[str, Any], message: str) -> None:
    with pytest.raises(bm.ModelError, match=message):
        build_design(make(**extra), model(**beta))


def test_effects_without_moderators_say_so() -> None:
    effects = Effects(["a", "b"], [0, 1], [1, 1], measure="MD")
    with pytest.raises(bm.ModelError, match=r"no moderator 'kind' of the effects. Allowed: none"):
        build_design(effects, model(kind=CONTRAST))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: bm.Model(0.5, bm.HalfNormal(1)), "mu: 0.5 is not a prior"),
        (lambda: bm.Model(bm.HalfNormal(1), bm.HalfNormal(1)), "not a prior of a location"),
        (lambda: bm.Model(bm.Normal(0, 1), bm.Normal(0, 1)), "reaches below zero"),
        (lambda: bm.Model(bm.Normal(0, 1), bm.Uniform(-1, 1)), "reaches below zero"),
        (lambda: bm.Model(bm.Normal(0, 1), 0.5), "tau: 0.5 is not a prior"),
        (lambda: bm.Model(bm.Normal(0, 1), None, rho=1.5), "rho = 1.5 is not between 0 and 1"),
        (lambda: bm.Model(bm.Normal(0, 1), None, rho=math.nan), "not between 0 and 1"),
        (lambda: bm.Coefficient(bm.InverseGamma(1, 1)), "not a prior of a location"),
        (lambda: bm.Coefficient(SLOPE, per=0), "per = 0 is not a positive number"),
        (lambda: bm.Coefficient(SLOPE, per=math.inf), "not a positive number"),
    ],
)
def test_bad_models(build: Any, message: str) -> None:
    with pytest.raises(bm.ModelError, match=message):
        build()


def test_models_are_values() -> None:
    one, other = model(kind=CONTRAST), model(kind=bm.Coefficient(CONTRAST))
    assert one == other
    assert repr(one) == "Model(mu=normal(0, 1), tau=halfnormal(0.5), beta={'kind': normal(0, 0.5)})"
    assert repr(bm.Model(bm.Flat(), None, rho=0.25)) == "Model(mu=flat(), tau=None, rho=0.25)"
    with pytest.raises(TypeError):
        one.beta["weeks"] = bm.Coefficient(SLOPE)  # type: ignore[index]


@pytest.mark.parametrize(
    ("beta", "message"),
    [
        ({"kind": bm.Normal(0.1, 0.5)}, "not symmetric about zero"),
        ({"kind": bm.Truncated(bm.Normal(0, 1), 0, 1)}, "not symmetric about zero"),
        ({"weeks": bm.Uniform(-1, 1), "more": bm.Uniform(0, 1)}, "only one coefficient can have a truncated"),
        ({"weeks": bm.Cauchy(0, 1), "kind": bm.Cauchy(0, 1), "timing": bm.Cauchy(0, 1)}, "at most 2"),
        ({"weeks": bm.Flat(), "again": bm.Flat()}, "flat priors cannot tell them apart"),
    ],
)
def test_what_the_exact_engine_refuses(beta: dict[str, Any], message: str) -> None:
    effects = make(more=np.arange(8.0) ** 2, again=2 * np.array(WEEKS))
    with pytest.raises(bm.ModelError, match=message):
        bm.fit(effects, model(**beta), engine="exact")


# ------------------------------------------------------------------------------------------------------- estimable


def test_estimable_needs_two_trials_more_than_coefficients() -> None:
    """kind has three levels: mu and two contrasts are three coefficients, so five trials are needed."""
    for k, ok in ((4, False), (5, True), (8, True)):
        result = estimable(make(k), model(kind=CONTRAST))
        assert result.ok == ok
    assert estimable(make(4), model(kind=CONTRAST)).reason == (
        "not estimable: 4 trials, 3 coefficients, rank 3; 5 trials are needed"
    )


def test_estimable_counts_trials_not_rows() -> None:
    S = np.array([[0.04, 0.01], [0.01, 0.04]])
    effects = Effects(
        ["a", "a", "b", "c"],
        [0, 1, 2, 3],
        [0.2] * 4,
        measure="MD",
        blocks=(([0, 1], S),),
        moderators={"weeks": [1.0, 2, 3, 4]},
    )
    assert not estimable(effects, model(weeks=SLOPE)).ok


def test_confounded_moderators_are_not_estimable() -> None:
    result = estimable(make(again=2 * np.array(WEEKS)), model(weeks=SLOPE, again=SLOPE))
    assert not result.ok
    assert result.reason == "not estimable: 8 trials, 3 coefficients, rank 2; the moderators are confounded"


def test_moderators_with_one_level_are_left_out_by_name() -> None:
    effects = make(site=["clinic"] * 8, dose=[3.0] * 8)
    result = estimable(effects, model(kind=CONTRAST, site=CONTRAST, dose=SLOPE, kind_x_site=CONTRAST))
    assert result.ok
    assert result.left_out == ("site", "dose")
    assert tuple(result.model.beta) == ("kind",)
    nothing = estimable(effects, model(site=CONTRAST))
    assert not nothing.ok
    assert nothing.reason == "not estimable: every moderator has one level"


# ------------------------------------------------------------------------------------------------- named quantities


def test_quantities_by_name() -> None:
    fit = bm.fit(make(), model(kind=CONTRAST, weeks=SLOPE))
    names = quantities(fit)
    assert names[:3] == ("mu", "tau", "theta_new")
    assert "beta[kind: yoga - aerobic]" in names
    assert "theta[t7]" in names
    assert len(names) == 3 + 3 + 8
    for name in names:
        assert math.isfinite(marginal(fit, name).mean)
    for bad in ("beta", "beta[dose]", "theta[t99]", "sigma"):
        with pytest.raises(bm.ModelError, match=r"no quantity.*Allowed: mu, tau"):
            marginal(fit, bad)
    for name in ("tau", "theta[t7]", "beta[weeks]"):
        with pytest.raises(bm.ModelError, match="profile"):
            marginal(fit, name, {"kind": "yoga"})


def test_truth_values_in_any_container_are_the_numbers_one_and_zero() -> None:
    """An array of objects, of truth values or a list answers alike; their texts are levels with the same difference."""
    y, se = [0, 1, 0.3, 0.2, 0.9, 1.2], [0.1] * 6
    values = [True, False, True, True, False, False]
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"rct": bm.Normal(0, 0.5)})
    columns = (values, np.array(values), np.array(values, object), [str(value) for value in values])
    *numbers, texts = [
        bm.contrast_table(bm.fit(Effects(list("abcdef"), y, se, measure="MD", moderators={"rct": column}), model))
        for column in columns
    ]
    assert numbers[0].equals(numbers[1])
    assert numbers[0].equals(numbers[2])
    assert numbers[0].loc[0, "contrast"] == "slope per 1"
    assert texts.loc[0, "contrast"] == "True - False"
    assert abs(texts.loc[0, "mean"]) > 0.5
    # one integral, once over a slope and once over a difference: digits lost by rounding only
    assert texts.loc[0, "mean"] == pytest.approx(numbers[0].loc[0, "mean"], rel=1e-9)


def test_mixed_objects_keep_their_levels() -> None:
    """One word among truth values makes every value a level."""
    mixed = np.array([True, False, "unclear", True, False, None], object)
    held = Effects(list("abcdef"), [0.0] * 6, [0.1] * 6, measure="MD", moderators={"rct": mixed}).moderators["rct"]
    assert held.tolist() == ["True", "False", "unclear", "True", "False", None]
