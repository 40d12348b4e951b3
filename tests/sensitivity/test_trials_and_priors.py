"""Leave-one-out, cumulative fits, variations: each is an exact refit, and is compared with one.

Oracle for predictive densities: the ratio of two evidences, each by QUADPACK over tau from dense covariance matrices.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.fits import marginal
from bayesmeta.sensitivity import cumulative_fits_table, leave_one_out, prior_range, variation_table

# nested rules settle to 1e-8, and the oracle's own estimate of its error is smaller
ENGINE = 3e-8
# a refit asked in two ways is the same refit
SAME = 1e-12
COLUMNS = ["mu", "lower", "upper", "tau", "new_lower", "new_upper"]

Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15])
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))


def make(y: Any = Y, se: Any = SE, **options: Any) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, **{"measure": "SMD", "better": "lower", **options})


def three_arms(rho: float = 0.5) -> tuple[Effects, bm.Model]:
    """Rows 1 and 3 are two arms of one trial against one control."""
    S = np.array([[0.04, 0.015], [0.015, 0.16]])
    effects = Effects(
        ["a", "star", "b", "star", "c"],
        Y,
        [0.3, 0.2, 0.25, 0.4, 0.15],
        measure="SMD",
        blocks=((np.array([1, 3]), S),),
        arms=[("x", "c"), ("x", "c"), ("x", "c"), ("y", "c"), ("x", "c")],
    )
    return effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), rho=rho)


def log_evidence(effects: Effects, rho: float, sd: float = 1.0, scale: float = 0.5) -> float:
    """log of the integral over tau of N(y; 0, S + tau^2 R + sd^2 11') times the half-normal density."""
    S, k = effects.covariance(), effects.k
    R = np.eye(k)
    for rows, _ in effects.blocks:
        R[np.ix_(rows, rows)] = rho
    np.fill_diagonal(R, 1.0)

    def log(t: float) -> float:
        return float(stats.multivariate_normal.logpdf(effects.y, np.zeros(k), S + t * t * R + sd**2)) + float(
            stats.halfnorm.logpdf(t, scale=scale)
        )

    peak = max(log(t) for t in np.linspace(0, 6 * scale, 121))
    edges = np.concatenate([np.linspace(0, 2 * scale, 9), [3 * scale, 5 * scale, 8 * scale]])
    return peak + math.log(
        sum(
            integrate.quad(lambda t: math.exp(log(t) - peak), a, b, epsabs=1e-12, epsrel=1e-10)[0]
            for a, b in pairwise(edges)
        )
    )


CLASSICAL = ["classical_estimate", "classical_lower", "classical_upper", "classical_tau"]


# --------------------------------------------------------------------------------------------------- leave one out


def test_leave_one_out_is_the_fit_of_the_rest() -> None:
    effects = make()
    table = leave_one_out(bm.fit(effects, MODEL))
    assert table["left_out"].tolist() == list(effects.study)
    assert (table["rows"] == 1).all()
    for row in range(effects.k):
        rest = bm.fit(effects.subset([i for i in range(effects.k) if i != row]), MODEL)
        summary = bm.summarize(rest)
        expected = [
            *summary.loc["mu", ["median", "lower", "upper"]],
            summary.loc["tau", "median"],
            *summary.loc["theta_new", ["lower", "upper"]],
        ]
        np.testing.assert_allclose(table.loc[row, COLUMNS].to_numpy(float), expected, rtol=0, atol=SAME)
        assert table.loc[row, "p_below_null"] == pytest.approx(bm.probability(rest, "mu", below=0), abs=SAME)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_log_predictive_is_a_ratio_of_evidences(rho: float) -> None:
    """log p(y_j | rest) = log p(all) - log p(rest); the rows of a three-arm trial leave and are predicted together."""
    effects, model = three_arms(rho)
    table = leave_one_out(bm.fit(effects, model))
    assert table["left_out"].tolist() == ["a", "star", "b", "c"]
    assert table["rows"].tolist() == [1, 2, 1, 1]
    whole = log_evidence(effects, rho)
    _, unit = effects.units
    for number, value in enumerate(table["log_predictive"]):
        assert value == pytest.approx(whole - log_evidence(effects.subset(unit != number), rho), abs=ENGINE)
    assert table.attrs["elpd"] == pytest.approx(table["log_predictive"].sum(), abs=SAME)
    assert table["p_value"].between(0, 1).all()


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_the_p_value_of_a_trial_with_two_rows_is_that_of_their_weighted_mean(rho: float) -> None:
    """Dense matrices and QUADPACK over tau; weights are fixed, from the rows' sampling covariance alone."""
    effects, model = three_arms(rho)
    out = np.array([name == "star" for name in effects.study])
    left, rest = effects.subset(out), effects.subset(~out)
    tau = marginal(bm.fit(rest, model), "tau")
    weights = np.linalg.solve(left.covariance(), np.ones(2))
    weights = weights / weights.sum()
    R = np.array([[1.0, rho], [rho, 1.0]])

    def below(t: float) -> float:
        precision = 1 / (rest.se**2 + t * t)
        whole = precision.sum() + 1  # the prior of mu is normal(0, 1)
        variance = weights @ (left.covariance() + t * t * R) @ weights + 1 / whole
        return float(stats.norm.cdf((weights @ left.y - precision @ rest.y / whole) / math.sqrt(variance)))

    edges = [0, 0.05, 0.2, 0.5, 1, 4]
    p = sum(integrate.quad(lambda t: below(t) * float(tau.density(t)), a, b)[0] for a, b in pairwise(edges))
    table = leave_one_out(bm.fit(effects, model)).set_index("left_out")
    assert table.loc["star", "p_value"] == pytest.approx(2 * min(p, 1 - p), abs=1e-7)


def test_the_classical_answer_stands_beside_every_refit() -> None:
    effects, model = three_arms(0.5)
    table = leave_one_out(bm.fit(effects, model))
    _, unit = effects.units
    for row in range(len(table)):
        rest = effects.subset(unit != row)
        found = bm.classical.pool(rest, method="REML", ci="hksj", rho=0.5)
        expected = [found.estimate, found.lower, found.upper, math.sqrt(found.tau2)]
        assert table.loc[row, CLASSICAL].tolist() == expected
    added = cumulative_fits_table(effects, model)
    assert added.loc[0, CLASSICAL].isna().all()
    last = bm.classical.pool(effects, method="REML", ci="hksj", rho=0.5)
    assert added.iloc[-1][CLASSICAL].tolist() == [last.estimate, last.lower, last.upper, math.sqrt(last.tau2)]


def test_trials_that_share_patients_leave_together() -> None:
    S = np.array([[0.04, 0.015], [0.015, 0.16]])
    effects = make(se=np.sqrt([0.09, 0.04, 0.0625, 0.16, 0.0225]), blocks=((np.array([1, 3]), S),))
    table = leave_one_out(bm.fit(effects, MODEL))
    assert len(table) == 4
    assert table.set_index("left_out").loc["trial 1", "rows"] == 2


def test_predictive_p_value() -> None:
    """Two-sided: twice the smaller tail of the estimate's own predictive distribution, tau integrated by QUADPACK."""
    effects = make()
    row = 0
    rest = marginal(bm.fit(effects.subset([1, 2, 3, 4]), MODEL), "tau")
    y, v = Y[1:], SE[1:] ** 2

    def below(t: float) -> float:
        w = 1 / (v + t * t)
        precision = w.sum() + 1
        return float(stats.norm.cdf((Y[row] - (w @ y) / precision) / math.sqrt(1 / precision + t * t + SE[row] ** 2)))

    edges = [0, 0.05, 0.2, 0.5, 1, 4]
    p = sum(integrate.quad(lambda t: below(t) * float(rest.density(t)), a, b)[0] for a, b in pairwise(edges))
    table = leave_one_out(bm.fit(effects, MODEL))
    assert table.loc[row, "p_value"] == pytest.approx(2 * min(p, 1 - p), abs=1e-7)


def test_nine_trials_near_zero_and_one_at_five() -> None:
    """The refit has nodes of its own: those of the full fit, whose tau is large, do not see the small tau of the nine.

    With the full fit's nodes the log predictive density of the tenth came out near -14; it is below -28.
    """
    y, se = np.array([0.1, -0.1, 0.05, 0.0, -0.05, 0.02, 0.08, -0.03, 0.01, 5.0]), np.full(10, 0.1)
    effects = make(y, se)
    table = leave_one_out(bm.fit(effects, MODEL))
    expected = log_evidence(effects, 0.5) - log_evidence(effects.subset(np.arange(9)), 0.5)
    assert table["log_predictive"].iloc[-1] == pytest.approx(expected, abs=ENGINE)
    assert expected < -28
    assert table["p_value"].iloc[-1] < 1e-4
    assert table["tau"].iloc[-1] < 0.1 < table["tau"].iloc[0]


def test_leave_one_out_with_moderators_predicts_at_the_trial_s_own_values() -> None:
    """The left-out row is predicted from the design of the refit, whose centres differ; oracle: dense matrices."""
    weeks = np.array([6.0, 12, 8, 24, 10])
    effects = make(moderators={"weeks": weeks})
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6)})
    table = leave_one_out(bm.fit(effects, model))

    def evidence(rows: np.ndarray, centre: float) -> float:
        x = (weeks[rows] - centre) / 6

        def integrand(t: float) -> float:
            C = np.diag(SE[rows] ** 2 + t * t) + 1.0 + 0.25**2 * np.outer(x, x)
            return math.exp(
                float(stats.multivariate_normal.logpdf(Y[rows], np.zeros(rows.size), C))
                + float(stats.halfnorm.logpdf(t, scale=0.5))
            )

        edges = [0, 0.1, 0.3, 0.6, 1, 2, 4]
        return math.log(sum(integrate.quad(integrand, a, b, epsrel=1e-10)[0] for a, b in pairwise(edges)))

    for out in range(5):
        rest = np.delete(np.arange(5), out)
        centre = float(weeks[rest].mean())
        expected = evidence(np.arange(5), centre) - evidence(rest, centre)
        assert table.loc[out, "log_predictive"] == pytest.approx(expected, abs=ENGINE)


def test_a_refit_that_cannot_be_made_says_so() -> None:
    """Three trials, flat mu and flat tau: without one of them the posterior is improper."""
    effects = make(Y[:3], SE[:3])
    table = leave_one_out(bm.fit(effects, bm.Model(bm.Flat(), bm.Flat())))
    assert len(table) == 3
    assert table["note"].str.contains("improper").all()
    assert math.isnan(table.attrs["elpd"])


def test_one_trial_without_a_prediction_leaves_the_sum_undefined() -> None:
    """The only trial of a level: the refit does not know the level, and elpd is not a sum over the others."""
    effects = make(moderators={"kind": list("aabbc")})
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"kind": bm.Normal(0, 0.5)})
    table = leave_one_out(bm.fit(effects, model))
    assert table["log_predictive"].isna().tolist() == [False] * 4 + [True]
    assert "no level of kind 'c' in the data" in table["note"].iloc[-1]
    assert math.isnan(table.attrs["elpd"])


def test_leave_one_out_needs_two_trials() -> None:
    with pytest.raises(bm.ModelError, match="at least two trials"):
        leave_one_out(bm.fit(make(Y[:1], SE[:1]), MODEL))


def test_leave_one_out_of_a_common_effect_is_closed_form() -> None:
    """y_j | rest ~ N(m, se_j^2 + v) with precision-weighted m, v."""
    table = leave_one_out(bm.fit(make(), bm.Model(bm.Flat(), None)))
    for row in range(5):
        w = np.delete(SE**-2.0, row)
        m, v = w @ np.delete(Y, row) / w.sum(), 1 / w.sum()
        predictive = stats.norm(m, math.sqrt(SE[row] ** 2 + v))
        assert table.loc[row, "log_predictive"] == pytest.approx(predictive.logpdf(Y[row]), abs=SAME)
        assert table.loc[row, "p_value"] == pytest.approx(2 * predictive.sf(m + abs(Y[row] - m)), abs=SAME)
        assert table.loc[row, "tau"] == 0.0


# ------------------------------------------------------------------------------------------------------ cumulative


def test_cumulative_lines_are_fits_of_the_trials_so_far() -> None:
    effects = make()
    table = cumulative_fits_table(effects, MODEL)
    assert table["added"].tolist() == list(effects.study)
    assert table["k"].tolist() == [1, 2, 3, 4, 5]
    for row in range(5):
        summary = bm.summarize(bm.fit(effects.subset(np.arange(row + 1)), MODEL))
        expected = [*summary.loc["mu", ["median", "lower", "upper"]], summary.loc["tau", "median"]]
        ours = table.loc[row, ["mu", "lower", "upper", "tau"]].to_numpy(float)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=SAME)


def test_cumulative_order_and_whole_trials() -> None:
    effects, model = three_arms()
    table = cumulative_fits_table(effects, model, ["star", "c", "b", "a"])
    assert table["k"].tolist() == [2, 3, 4, 5]
    whole = bm.summarize(bm.fit(effects, model))
    assert table["mu"].iloc[-1] == pytest.approx(whole.loc["mu", "median"], abs=SAME)


def test_cumulative_says_where_the_posterior_is_improper() -> None:
    table = cumulative_fits_table(make(), bm.Model(bm.Flat(), bm.Flat()))
    assert table["note"].str.contains("improper").tolist() == [True, True, False, False, False]
    assert table["mu"].isna().tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("order", [["trial 0"], ["trial 0"] * 5, [*(f"trial {i}" for i in range(4)), "x"]])
def test_bad_orders_are_refused(order: list[str]) -> None:
    with pytest.raises(bm.ModelError, match=r"every trial once.*Trials: trial 0"):
        cumulative_fits_table(make(), MODEL, order)


# ----------------------------------------------------------------------------------------------------- variations


def variations() -> dict[str, bm.Fit]:
    effects = make()
    return {
        "main": bm.fit(effects, MODEL),
        "wide": bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(1))),
        "common effect": bm.fit(effects, bm.Model(bm.Normal(0, 1), None)),
        "flat": bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(0.5))),
    }


def test_variation_table() -> None:
    fits = variations()
    limit = bm.threshold(0.3, measure_name="SMD", better="lower")
    table = variation_table(fits, limit).set_index("analysis")
    assert table.index.tolist() == list(fits)
    main = bm.summarize(fits["main"])
    for name, fit in fits.items():
        summary = bm.summarize(fit)
        row = table.loc[name]
        # fits that are asked together are summed in another order than one alone
        said = summary.loc["mu", ["median", "lower", "upper"]].tolist()
        assert row[["mu", "lower", "upper"]].tolist() == pytest.approx(said, rel=1e-12)
        assert row["tau"] == pytest.approx(0.0 if fit.model.tau is None else summary.loc["tau", "median"], rel=1e-12)
        benefit = bm.benefit_table(fit, [limit]).set_index("target")
        for column in ("p_any_benefit", "p_important_benefit", "p_important_harm"):
            # the same sums over nodes, one threshold at a time or several at once
            assert row[column] == pytest.approx(benefit.loc["mean effect", column], abs=SAME)
            assert row[f"{column}_new"] == pytest.approx(benefit.loc["new study", column], abs=SAME)
        change = (summary.loc["mu", "median"] - main.loc["mu", "median"]) / main.loc["mu", "sd"]
        assert row["change"] == pytest.approx(change, abs=SAME)
    assert np.isnan(table.loc["flat", "log_evidence"])
    assert table.loc["main", "log_evidence"] == fits["main"].log_evidence


def test_variations_keep_their_own_direction() -> None:
    limit = bm.threshold(0.3, measure_name="SMD", better="lower")
    fits = {"main": bm.fit(make(), MODEL), "turned": bm.fit(make(better="higher"), MODEL), **variations()}
    table = variation_table(fits, limit).set_index("analysis")
    for name, fit in fits.items():
        mean = bm.benefit_table(fit, [limit]).set_index("target").loc["mean effect"]
        columns = ["p_any_benefit", "p_important_benefit", "p_important_harm"]
        assert table.loc[name, columns].tolist() == pytest.approx(mean[columns].tolist(), abs=SAME)
    assert table.loc["turned", "p_any_benefit"] == pytest.approx(1 - table.loc["main", "p_any_benefit"], abs=SAME)


def test_variation_table_without_a_direction_has_no_probabilities() -> None:
    fit = bm.fit(make(better=None), MODEL)
    limit = bm.threshold(0.3, measure_name="SMD", better="lower")
    assert not any(name.startswith("p_") for name in variation_table({"main": fit}, limit).columns)
    with pytest.raises(bm.ModelError, match="at least one"):
        variation_table({})


def test_prior_range_flags_a_change_of_category() -> None:
    """Boundaries .05, .5, .8, .95: .94 and .96 differ in category, .81 and .94 do not."""
    table = pd.DataFrame(
        {
            "analysis": ["main", "a", "b"],
            "p_any_benefit": [0.96, 0.94, 0.97],
            "p_important_benefit": [0.85, 0.81, 0.94],
            "p_important_harm": [0.01, 0.02, math.nan],
            "mu": [1.0, 2.0, 3.0],
        }
    )
    result = prior_range(table).set_index("quantity")
    assert result.index.tolist() == ["p_any_benefit", "p_important_benefit", "p_important_harm"]
    assert result["category_changes"].tolist() == [True, False, False]
    assert result["main"].tolist() == [0.96, 0.85, 0.01]
    assert result["minimum"].tolist() == [0.94, 0.81, 0.01]
    assert result["maximum"].tolist() == [0.97, 0.94, 0.02]
    assert prior_range(table, cuts=[0.9]).set_index("quantity").loc["p_important_benefit", "category_changes"]


def test_prior_range_of_real_fits() -> None:
    table = variation_table(variations(), bm.threshold(0.3, measure_name="SMD", better="lower"))
    result = prior_range(table).set_index("quantity")
    for name, row in result.iterrows():
        assert row["minimum"] == table[name].min()
        assert row["maximum"] == table[name].max()
        assert row["main"] == table[name].iloc[0]
