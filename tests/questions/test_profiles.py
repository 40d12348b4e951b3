"""Profiles, new types, curves, imputed values, outliers.

Authorities: the model of exchangeable levels written with one deviation per level and conditioned as one Gaussian,
which shares no step with the contrasts of the engine; `predict` and `probability`, which other files test against R;
sums over draws from the priors for the outlier model.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.nuts import build_rows
from bayesmeta.questions import (
    NEW_TYPE,
    compare_types_table,
    curve_table,
    imputed_table,
    outlier_table,
    profile_table,
)
from sampled import drawn_until

ROOT = Path(__file__).parents[2]
SAME = 1e-7
# Gauss-Legendre over the SD of the levels, 400 nodes on a range that holds all but 1e-12
INTEGRATED = 2e-5


@cache
def real(protocol: str, key: str, moderated: bool = True) -> bm.Fit:
    chosen = bm.read_protocol(ROOT / f"models/{protocol}.toml")
    outcome, effects = chosen.outcome(key), bm.read_effects(chosen, key)
    return bm.fit(effects, outcome.model.on(effects if moderated else None), outcome=outcome)


@cache
def exchangeable() -> bm.Fit:
    effects = real("cancer_exercise", "fatigue_short").effects
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"exercise": bm.Exchangeable(bm.HalfNormal(0.35))})
    return bm.fit(effects, model, outcome=real("cancer_exercise", "fatigue_short").outcome)


# -- profiles ----------------------------------------------------------------------------------------------------------


def test_every_cell_is_predict_and_probability() -> None:
    fit = real("cancer_exercise", "fatigue_short")
    table = profile_table(fit)
    assert table[["exercise", "timing"]].drop_duplicates().shape[0] == len(table) == 6
    for row in table.to_dict("records"):
        at = {"exercise": row["exercise"], "timing": row["timing"]}
        predicted = bm.predict(fit, at)
        assert row["median"] == pytest.approx(predicted.loc["mu", "median"], abs=SAME)
        assert row["new_upper"] == pytest.approx(predicted.loc["theta_new", "upper"], abs=SAME)
        assert row["p_important_benefit"] == pytest.approx(bm.probability(fit, "mu", below=-0.5, at=at), abs=SAME)
        assert row["p_any_benefit_new"] == pytest.approx(bm.probability(fit, "theta_new", below=0, at=at), abs=SAME)


def test_cells_count_the_trials_and_people_behind_them() -> None:
    fit = real("cancer_exercise", "fatigue_short")
    table = profile_table(fit).set_index(["exercise", "timing"])
    exercise, timing = fit.effects.moderators["exercise"], fit.effects.moderators["timing"]
    inside = (exercise == "yoga") & (timing == "during")
    row = table.loc[("yoga", "during")]
    assert row["k"] == inside.sum()
    assert row["participants"] == fit.effects.subset(inside).participants
    assert table["k"].sum() == fit.effects.k
    assert not table["extrapolated"].any()


def test_a_combination_without_trials_is_marked() -> None:
    fit = real("cancer_exercise", "fatigue_short")
    exercise, timing = fit.effects.moderators["exercise"], fit.effects.moderators["timing"]
    effects = fit.effects.subset(~((exercise == "yoga") & (timing == "after")))
    table = profile_table(bm.fit(effects, fit.model, outcome=fit.outcome)).set_index(["exercise", "timing"])
    assert table["extrapolated"].to_dict()[("yoga", "after")]
    assert table["extrapolated"].sum() == 1
    assert table.loc[("yoga", "after"), "participants"] == 0


def test_wrong_moderators_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(bm.ModelError, match=r"intensity is not one\. Allowed: exercise, timing"):
        profile_table(real("cancer_exercise", "fatigue_short"), ["intensity"])
    with pytest.raises(bm.ModelError, match="Allowed: none: fit with moderators"):
        profile_table(real("cancer_exercise", "fatigue_short", moderated=False))
    with pytest.raises(bm.ModelError, match="categorical: see profile_table"):
        curve_table(real("cancer_exercise", "fatigue_short"), "exercise")


# -- a new type --------------------------------------------------------------------------------------------------------


def test_the_rest_of_a_new_type_is_independent_of_what_the_data_know() -> None:
    # d_new - dbar has variance s^2 (1 + 1/L) and no correlation with any contrast of the deviations
    rng = np.random.default_rng(5)
    L, s, n = 5, 0.7, 400_000
    d = s * rng.standard_normal((L + 1, n))
    rest = d[L] - d[:L].mean(axis=0)
    assert rest.var() == pytest.approx(s**2 * (1 + 1 / L), rel=0.01)
    for level in range(L):
        contrast = d[level] - d[:L].mean(axis=0)
        assert abs(np.corrcoef(rest, contrast)[0, 1]) < 4.5 / np.sqrt(n)


def test_a_new_type_is_that_of_the_model_with_one_deviation_per_level() -> None:
    # m flat, d_l ~ N(0, s^2), y = m + d_l + e with known variances; conditioned as one Gaussian at every s
    y = np.array([-0.5, -0.3, 0.1, 0.2, -0.2, 0.4])
    se = np.array([0.1, 0.2, 0.15, 0.1, 0.3, 0.25])
    types = np.array(list("aabbcd"))
    effects = bm.Effects(list("ABCDEF"), y, se, measure="SMD", better="lower", moderators={"type": types})
    fit = bm.fit(effects, bm.Model(bm.Flat(), None, {"type": bm.Exchangeable(bm.HalfNormal(0.4))}))
    Z = (types[:, None] == np.array(list("abcd"))).astype(float)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    s_grid = 1.5 * (nodes + 1)
    log, mean, sd = [], [], []
    for s in s_grid:
        V = np.diag(se**2) + s**2 * Z @ Z.T
        W = np.linalg.inv(V)
        one = np.ones(6)
        precision = one @ W @ one
        m = one @ W @ y / precision
        r = y - m
        log.append(-0.5 * np.linalg.slogdet(V)[1] - 0.5 * np.log(precision) - 0.5 * r @ W @ r - 0.5 * (s / 0.4) ** 2)
        # the new type's deviation is independent of the data, so its effect is m plus N(0, s^2)
        mean.append(m)
        sd.append(np.sqrt(1 / precision + s**2))
    p = np.exp(np.array(log) - max(log)) * weights
    p = p / p.sum()
    row = profile_table(fit, threshold=bm.threshold(0.3, measure_name="SMD", better="lower")).set_index("type")
    new = row.loc[NEW_TYPE]
    for column, q in (("lower", 0.025), ("median", 0.5), ("upper", 0.975)):
        assert p @ stats.norm.cdf(new[column], mean, sd) == pytest.approx(q, abs=INTEGRATED)
    assert new["p_important_benefit"] == pytest.approx(p @ stats.norm.cdf(-0.3, mean, sd), abs=INTEGRATED)
    assert new["k"] == 0
    assert new["extrapolated"]


def test_a_new_type_is_less_certain_than_any_that_was_studied() -> None:
    table = profile_table(exchangeable()).set_index("exercise")
    width = table["upper"] - table["lower"]
    assert width.idxmax() == NEW_TYPE
    assert table.loc[NEW_TYPE, "median"] == pytest.approx(table.drop(index=NEW_TYPE)["median"].mean(), abs=0.02)


def test_fixed_levels_have_no_new_type() -> None:
    assert NEW_TYPE not in profile_table(real("cancer_exercise", "fatigue_short"))["exercise"].tolist()


def test_types_side_by_side() -> None:
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"exercise": bm.Normal(0, 0.5)})
    first = bm.fit(exchangeable().effects, model, outcome=exchangeable().outcome)
    table = compare_types_table(first, exchangeable(), "exercise").set_index("type")
    cells = profile_table(first).set_index("exercise")
    assert table.loc["yoga", "fixed"] == cells.loc["yoga", "median"]
    assert np.isnan(table.loc[NEW_TYPE, "fixed"])
    # levels that are pulled together differ less than levels under a fixed prior
    levels = table.drop(index=NEW_TYPE)
    assert np.ptp(levels["exchangeable"]) < np.ptp(levels["fixed"])
    assert table.attrs == {} or table.attrs["log_bayes_factor"] == pytest.approx(
        exchangeable().log_evidence - first.log_evidence
    )
    with pytest.raises(bm.ModelError, match="not exchangeable in the second fit"):
        compare_types_table(exchangeable(), first, "exercise")


# -- curves ------------------------------------------------------------------------------------------------------------


def test_a_line_is_predict_and_its_slope() -> None:
    fit = real("depression_dose", "line")
    table = curve_table(fit, "duration", [4, 8, 40], reference=8)
    predicted = bm.predict(fit, {"duration": 4.0})
    assert table.loc[0, "median"] == pytest.approx(predicted.loc["mu", "median"], abs=SAME)
    assert table.loc[0, "new_lower"] == pytest.approx(predicted.loc["theta_new", "lower"], abs=SAME)
    slope = bm.contrast_table(fit).loc[0]
    assert table.loc[0, "change"] == pytest.approx(-slope["median"], abs=SAME)
    assert table.loc[0, "change_upper"] == pytest.approx(-slope["lower"], abs=SAME)
    assert table.loc[1, ["change", "change_lower", "change_upper"]].tolist() == [0, 0, 0]
    assert table["beyond"].tolist() == [False, False, True]
    assert table.loc[0, "p_important_benefit"] == pytest.approx(
        bm.probability(fit, "mu", below=-0.5, at={"duration": 4.0}), abs=SAME
    )


def test_a_spline_ends_in_lines_and_covers_the_range_by_default() -> None:
    fit = real("depression_dose", "spline")
    weeks = fit.effects.moderators["duration"]
    table = curve_table(fit, "duration")
    assert (table["x"].min(), table["x"].max()) == (weeks.min(), weeks.max())
    assert table.attrs["reference"] == weeks.min()
    beyond = curve_table(fit, "duration", [weeks.max() + d for d in (0, 5, 10)])
    steps = np.diff(beyond["change"])
    # medians of linear functions of one Gaussian mixture that is nearly normal
    assert steps[0] == pytest.approx(steps[1], abs=0.02)
    assert beyond["beyond"].tolist() == [False, True, True]


def test_grids_are_numbers() -> None:
    with pytest.raises(bm.ModelError, match="finite numbers"):
        curve_table(real("depression_dose", "line"), "duration", [])
    with pytest.raises(bm.ModelError, match=r"numeric moderators\. Allowed: duration"):
        curve_table(real("depression_dose", "line"), "weeks")


# -- by draws ----------------------------------------------------------------------------------------------------------


def test_a_monotone_curve_only_rises_or_falls_at_every_draw() -> None:
    fit = real("depression_dose", "monotone")
    weeks = fit.effects.moderators["duration"]
    rows = [fit.design.profile({"duration": float(x)}) for x in np.linspace(weeks.min(), weeks.max(), 9)]
    steps = np.diff([fit.sample.linear(row) for row in rows], axis=0)
    assert ((steps >= -1e-9).all(axis=0) | (steps <= 1e-9).all(axis=0)).all()
    table = curve_table(fit, "duration", [weeks.max(), weeks.max() + 10])
    assert table.loc[0, "median"] == table.loc[1, "median"]
    assert table["mcse"].min() > 0


def test_profiles_by_draws_agree_with_the_exact_ones() -> None:
    exact = exchangeable()
    first = profile_table(exact)

    def wrong(fit: bm.Fit) -> str:
        second = profile_table(fit)
        assert first["exercise"].tolist() == second["exercise"].tolist()
        # four standard errors: of a median, of the upper end of a new type's wide interval, of a probability
        limits = {"median": 0.02, "upper": 0.08, "p_any_benefit_new": 0.03}
        gaps = {column: np.abs(second[column] - first[column]).max() for column in limits}
        return ", ".join(f"{column} by {gap:.3f}" for column, gap in gaps.items() if gap > limits[column])

    drawn_until(
        lambda seed, settings: bm.fit(
            exact.effects, exact.model, engine="nuts", seed=seed, outcome=exact.outcome, settings=settings
        ),
        wrong,
    )


def test_imputed_values_are_named() -> None:
    fit = real("cipn", "symptoms_by_duration")
    table = imputed_table(fit)
    missing = np.isnan(fit.effects.moderators["duration"])
    assert set(table["trial"]) == {fit.effects.study[i] for i in np.flatnonzero(missing)}
    row = table.iloc[0]
    values = fit.sample.others[f"missing[duration: {row['trial']}]"]
    assert row["median"] == np.median(values)
    assert row["lower"] > 0
    with pytest.raises(bm.ModelError, match="nothing was imputed"):
        imputed_table(real("depression_dose", "line"))


def test_outlier_probabilities_and_bayes_factors_by_sums_over_the_prior() -> None:
    effects = bm.Effects(
        list("ABCDE"), [-0.3, -0.2, -0.35, -0.25, -1.6], [0.1, 0.1, 0.15, 0.1, 0.15], measure="SMD", better="lower"
    )
    random = bm.OutlierEffects(bm.Uniform(0, 0.5), bm.HalfNormal(1))
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.3), random=random)
    rng = np.random.default_rng(8)
    n = 600_000
    mu, tau = rng.standard_normal(n), 0.3 * np.abs(rng.standard_normal(n))
    share, extra = 0.5 * rng.random(n), np.abs(rng.standard_normal(n))
    y, se = effects.y[:, None], effects.se[:, None]
    plain = stats.norm.pdf(y, mu, np.sqrt(se**2 + tau**2))
    wide = stats.norm.pdf(y, mu, np.sqrt(se**2 + tau**2 + extra**2))
    each = (1 - share) * plain + share * wide
    truth = {}
    for i, name in enumerate("ABCDE"):
        rest = np.prod(np.delete(each, i, axis=0), axis=0)
        probability = (rest * share * wide[i]).sum() / (rest * each[i]).sum()
        expected = (rest * share).sum() / rest.sum()
        factor = (rest * share * wide[i]).sum() / (rest * share).sum()
        factor = factor / ((rest * (1 - share) * plain[i]).sum() / (rest * (1 - share)).sum())
        truth[name] = {"probability": probability, "others_share": expected, "bayes_factor": factor}

    def wrong(fit: bm.Fit) -> str:
        table = outlier_table(fit).set_index("trial")
        return ", ".join(
            f"{column} of {name}: {table.loc[name, column]:.3f} for {value:.3f}"
            for name, row in truth.items()
            for column, value in row.items()
            # the odds of the outlier are known to 5 % (one standard error) with so many draws
            if abs(table.loc[name, column] - value) > (0.25 * value if column == "bayes_factor" else 0.02)
        )

    fit = drawn_until(
        lambda seed, settings: bm.fit(effects, model, seed=seed, settings=settings), wrong, bm.Settings(draws=8000)
    )
    table = outlier_table(fit).set_index("trial")
    assert table.index[0] == "E"
    assert table["prior_share"].to_numpy() == pytest.approx(0.25, abs=1e-6)
    assert table.loc["E", "bayes_factor"] > 3 > 1 > table.loc["A", "bayes_factor"]


def test_only_a_model_with_outliers_has_them() -> None:
    with pytest.raises(bm.ModelError, match="random=OutlierEffects"):
        outlier_table(real("depression_dose", "line"))


def test_missing_levels_have_probabilities_that_sum_to_one() -> None:
    effects = bm.Effects(
        list("ABCDEF"),
        [-0.5, -0.4, 0.1, 0.0, -0.45, 0.2],
        [0.1, 0.15, 0.1, 0.2, 0.15, 0.1],
        measure="SMD",
        moderators={"timing": ["during", "during", "after", "after", None, "after"]},
    )
    model = bm.Model(
        bm.Normal(0, 1), bm.HalfNormal(0.2), {"timing": bm.Normal(0, 0.5)}, missing={"timing": bm.MissingLevels()}
    )
    fit = drawn_until(lambda seed, settings: bm.fit(effects, model, seed=seed, settings=settings))
    assert build_rows(effects, model).levels
    table = imputed_table(fit)
    assert table["trial"].tolist() == ["E", "E"]
    assert table["probability"].sum() == pytest.approx(1)
    # E looks like the trials during treatment
    assert table.set_index("level_of").loc["during", "probability"] > 0.6
