"""Concordance: every line recomputed by another way, and the walk from one to the next.

Authorities: metafor's Hartung-Knapp, t and Wald intervals of twelve data sets and R bayesmeta's uniform prior of tau
(tests/reference); normal and t confidence distributions by scipy; posteriors by brute force, a trapezoidal rule over a
variable in which tau decays doubly exponentially, from dense matrices; closed forms without heterogeneity.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.plan import Threshold
from bayesmeta.sensitivity import NEGLIGIBLE, concordance_sentence, concordance_table
from references import R_SETS, effects_of, reference

# metafor iterated REML to 1e-10
RTOL, ATOL = 1e-6, 1e-9
# the engine's rules settle to 1e-8, a quantile is that over a density; and so does the brute force
ENGINE = 2e-7
# R bayesmeta approximates the mixture for mu: its quantiles are good to this share of the posterior SD
R_QUANTILE = 2e-3
# the same numbers, added in another order
SAME = 1e-12

Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35])
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15])
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))


def make(y: Any = Y, se: Any = SE, **options: Any) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, **{"measure": "SMD", "better": "lower", **options})


def mid(benefit: float = 0.3, better: str = "lower", measure: str = "SMD") -> Threshold:
    return bm.threshold(benefit, measure_name=measure, better=better)


class Brute:
    """The posterior of mu: a mixture of normals over 3,001 values of tau, from dense covariance matrices."""

    def __init__(self, effects: Effects, sd: float, log_prior: Any, rho: float = 0.5) -> None:
        unit = float(np.median(effects.se))
        u = np.linspace(-3.2, 20.0, 3001)
        self.tau = unit * np.exp(u - np.exp(-u))
        S, R = effects.covariance(), np.eye(effects.k)
        for rows, _ in effects.blocks:
            R[np.ix_(rows, rows)] = rho
        np.fill_diagonal(R, 1.0)
        W = np.linalg.inv(S + np.square(self.tau)[:, None, None] * R)
        precision = W.sum(axis=(1, 2)) + sd**-2
        self.mean = (W @ effects.y).sum(axis=1) / precision
        self.sd = precision**-0.5
        rest = effects.y @ (W @ effects.y).T - np.square(self.mean) * precision
        log = 0.5 * (np.linalg.slogdet(W)[1] - np.log(precision) - rest) + log_prior(self.tau)
        log += np.log(self.tau) + np.log1p(np.exp(-u))
        weight = np.exp(log - log.max())
        self.weight = weight / weight.sum()

    def cdf(self, x: float) -> float:
        return float(self.weight @ stats.norm.cdf((x - self.mean) / self.sd))

    def quantile(self, p: float) -> float:
        return float(optimize.brentq(lambda x: self.cdf(x) - p, -1e4, 1e4, xtol=1e-12))

    def numbers(self) -> list[float]:
        """Median, SD and central 95 % interval."""
        middle = self.weight @ self.mean
        variance = self.weight @ (self.sd**2 + np.square(self.mean - middle))
        return [self.quantile(0.5), math.sqrt(variance), self.quantile(0.025), self.quantile(0.975)]

    def median_tau(self) -> float:
        return float(np.interp(0.5, np.cumsum(self.weight) - 0.5 * self.weight, self.tau))


def flat(tau: np.ndarray) -> np.ndarray:
    return np.zeros_like(tau)


def half_normal(tau: np.ndarray) -> np.ndarray:
    return np.asarray(stats.halfnorm.logpdf(tau, scale=0.5))


LINE = ["estimate", "se", "lower", "upper"]


def lines(table: pd.DataFrame, row: int) -> list[float]:
    return [float(table.loc[row, column]) for column in LINE]


# ------------------------------------------------------------------------------------------------------- every line


@pytest.mark.parametrize("name", R_SETS)
def test_classical_lines_are_metafor_s(name: str) -> None:
    pinned = reference(name)["classical"]
    effects = effects_of(name)
    spread = float(np.std(effects.y)) + float(np.median(effects.se))
    table = concordance_table(bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(spread))))
    for row, key in enumerate(("REML_knha", "REML_t", "REML")):
        expected = pinned[key]
        assert lines(table, row) == pytest.approx(
            [expected[column] for column in ("estimate", "se", "ci_low", "ci_high")], rel=RTOL, abs=ATOL
        )
        assert table.loc[row, "tau"] == pytest.approx(math.sqrt(expected["tau2"]), rel=RTOL, abs=1e-5)
    assert table.loc[0, "ingredient"] == "REML + HKSJ"
    assert table.loc[2, "ingredient"] == f"normal in place of t({effects.k - 1})"
    assert table.attrs["se"] == pytest.approx(pinned["REML"]["se"], rel=RTOL)


@pytest.mark.parametrize("name", R_SETS)
def test_the_flat_line_is_r_bayesmeta_s_uniform_prior(name: str) -> None:
    pinned = reference(name)["bayes"]["uniform_tau"]["result"]
    found = dict(zip(pinned["rows"], pinned["mu"], strict=True))
    effects = effects_of(name)
    table = concordance_table(bm.fit(effects, bm.Model(bm.Flat(), bm.HalfNormal(float(np.std(effects.y)) + 0.1))))
    row = table.set_index("ingredient").loc["tau averaged over what the data allow"]
    assert [row["estimate"], row["lower"], row["upper"]] == pytest.approx(
        [found["median"], found["95% lower"], found["95% upper"]], abs=R_QUANTILE * found["sd"]
    )
    tau = dict(zip(pinned["rows"], pinned["tau"], strict=True))
    assert row["tau"] == pytest.approx(tau["median"], rel=1e-5)


@pytest.mark.parametrize(("better", "sign"), [("lower", -1), ("higher", 1)])
def test_bayesian_lines_by_brute_force(better: str, sign: int) -> None:
    effects = make(better=better)
    table = concordance_table(bm.fit(effects, MODEL), mid(better=better))
    assert table["ingredient"].tolist() == [
        "REML + HKSJ",
        "no Hartung-Knapp factor",
        "normal in place of t(4)",
        "tau averaged over what the data allow",
        "prior of tau: halfnormal(0.5)",
        "prior of mu: normal(0, 1)",
    ]
    assert (table["note"] == "").all()
    for row, (sd, prior) in {3: (math.inf, flat), 4: (math.inf, half_normal), 5: (1.0, half_normal)}.items():
        brute = Brute(effects, sd, prior)
        assert lines(table, row) == pytest.approx(brute.numbers(), abs=ENGINE)
        # a step function's median is good to a fraction of its step
        assert table.loc[row, "tau"] == pytest.approx(brute.median_tau(), abs=2e-4)
        for column, x in (("p_any_benefit", 0.0), ("p_important_benefit", 0.3)):
            below = brute.cdf(sign * x)
            assert table.loc[row, column] == pytest.approx(below if sign < 0 else 1 - below, abs=ENGINE)


@pytest.mark.parametrize(("better", "sign"), [("lower", -1), ("higher", 1)])
def test_classical_probabilities_are_confidence_distributions(better: str, sign: int) -> None:
    """One-sided p values read as probabilities: t(k - 1) about the estimate for HKSJ and t, normal for Wald."""
    table = concordance_table(bm.fit(make(better=better), MODEL), mid(better=better))
    for row, form in enumerate((stats.t(4), stats.t(4), stats.norm())):
        estimate, se, lower, upper = lines(table, row)
        for column, x in (("p_any_benefit", 0.0), ("p_important_benefit", 0.3)):
            assert table.loc[row, column] == pytest.approx(form.sf((x - sign * estimate) / se), abs=1e-10)
        # the interval is that of the same distribution
        assert [lower, upper] == pytest.approx([estimate + se * form.ppf(q) for q in (0.025, 0.975)], abs=1e-9)


def test_rows_of_one_trial_keep_their_covariance() -> None:
    """Two arms against one control: dense generalised least squares, k counts trials."""
    S = np.array([[0.04, 0.015], [0.015, 0.16]])
    effects = Effects(
        ["a", "star", "b", "star", "c"],
        Y,
        [0.3, 0.2, 0.25, 0.4, 0.15],
        measure="SMD",
        better="lower",
        blocks=((np.array([1, 3]), S),),
    )
    for rho in (0.0, 0.5, 0.9):
        model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), rho=rho)
        table = concordance_table(bm.fit(effects, model))
        assert table.loc[2, "ingredient"] == "normal in place of t(3)"
        R = np.eye(5)
        R[1, 3] = R[3, 1] = rho
        W = np.linalg.inv(effects.covariance() + table.loc[2, "tau"] ** 2 * R)
        estimate, se = (W @ Y).sum() / W.sum(), W.sum() ** -0.5
        assert lines(table, 2)[:2] == pytest.approx([estimate, se], abs=SAME)
        rest = Y - estimate
        assert table.loc[0, "se"] == pytest.approx(se * math.sqrt(rest @ W @ rest / 4), rel=1e-10)
        for row, (sd, prior) in {3: (math.inf, flat), 4: (math.inf, half_normal), 5: (1.0, half_normal)}.items():
            assert lines(table, row) == pytest.approx(Brute(effects, sd, prior, rho).numbers(), abs=ENGINE)


def test_without_heterogeneity_everything_is_closed_form() -> None:
    effects = make()
    table = concordance_table(bm.fit(effects, bm.Model(bm.Normal(0.2, 0.3), None)), mid())
    assert table["ingredient"].tolist() == [
        "EE + HKSJ",
        "no Hartung-Knapp factor",
        "normal in place of t(4)",
        "prior of mu: normal(0.2, 0.3)",
    ]
    w = SE**-2
    estimate, se = (w @ Y) / w.sum(), w.sum() ** -0.5
    hk = se * math.sqrt(w @ np.square(Y - estimate) / 4)
    t, z = stats.t.ppf(0.975, 4), stats.norm.ppf(0.975)
    for row, (error, half) in enumerate(((hk, t), (se, t), (se, z))):
        expected = [estimate, error, estimate - half * error, estimate + half * error]
        assert lines(table, row) == pytest.approx(expected, abs=1e-10)
    total = w.sum() + 0.3**-2
    centre, sd = (w @ Y + 0.2 / 0.3**2) / total, total**-0.5
    assert lines(table, 3) == pytest.approx([centre, sd, centre - z * sd, centre + z * sd], abs=1e-9)
    assert table.loc[3, "p_important_benefit"] == pytest.approx(stats.norm.cdf((-0.3 - centre) / sd), abs=1e-10)
    assert (table["tau"] == 0).all()


# --------------------------------------------------------------------------------------------------------- the walk


def check_walk(table: pd.DataFrame) -> None:
    """Shifts add up to the gap and ratios of widths multiply to its ratio, over the lines that are there."""
    there = table[table["estimate"].notna()]
    width = there["upper"] - there["lower"]
    assert there["shift"].iloc[1:].to_numpy() == pytest.approx(np.diff(there["estimate"]), abs=SAME)
    unit = table.attrs["se"]
    assert there["shift_se"].iloc[1:].sum() == pytest.approx(table.attrs["total_shift_se"], abs=1e-9)
    gap = there["estimate"].iloc[-1] - there["estimate"].iloc[0]
    assert table.attrs["total_shift_se"] == pytest.approx(gap / unit, abs=SAME)
    if width.iloc[0] > 0:
        assert there["width_ratio"].iloc[1:].prod() == pytest.approx(table.attrs["total_width_ratio"], rel=1e-9)
        assert table.attrs["total_width_ratio"] == pytest.approx(width.iloc[-1] / width.iloc[0], rel=SAME)
    assert table["step"].tolist() == list(range(len(table)))
    # what is not there says why
    assert (table["note"] != "").equals(table["estimate"].isna())


@given(
    st.lists(st.tuples(st.floats(-2, 2), st.floats(0.05, 1.0)), min_size=2, max_size=7),
    st.sampled_from(["hksj", "hksj_adhoc", "t", "wald"]),
)
def test_shifts_add_up(rows: list[tuple[float, float]], ci: Any) -> None:
    y, se = np.array(rows).T
    table = concordance_table(bm.fit(make(y, se), MODEL), ci=ci)
    check_walk(table)
    assert concordance_sentence(table).endswith(".")


def test_a_sign_flip_mirrors_every_line() -> None:
    one = concordance_table(bm.fit(make(), MODEL), mid())
    other = concordance_table(bm.fit(make(-Y, better="higher"), MODEL), mid(better="higher"))
    for ours, theirs in (("estimate", "estimate"), ("lower", "upper"), ("shift", "shift"), ("shift_se", "shift_se")):
        np.testing.assert_allclose(one[ours], -other[theirs], atol=1e-7)
    for column in ("se", "tau", "width_ratio", "p_any_benefit", "p_important_benefit"):
        np.testing.assert_allclose(one[column], other[column], atol=1e-7)


def test_units_of_the_outcome_change_nothing_but_units() -> None:
    far = bm.Model(bm.Normal(0, 1e3), bm.HalfNormal(500.0))
    one = concordance_table(bm.fit(make(), MODEL), mid())
    other = concordance_table(bm.fit(make(1e3 * Y, 1e3 * SE, measure="MD"), far), mid(300.0, measure="MD"))
    for column in ("estimate", "se", "lower", "upper", "tau", "shift"):
        np.testing.assert_allclose(1e3 * one[column], other[column], rtol=1e-6, atol=1e-4)
    for column in ("shift_se", "width_ratio", "p_any_benefit", "p_important_benefit"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("ci", "first", "steps"),
    [("wald", "REML", 4), ("t", "REML + t", 5), ("hksj", "REML + HKSJ", 6), ("hksj_adhoc", "REML + HKSJ, ad hoc", 6)],
)
def test_the_walk_begins_where_it_is_told(ci: Any, first: str, steps: int) -> None:
    table = concordance_table(bm.fit(make(), MODEL), ci=ci)
    assert table["ingredient"].iloc[0] == first
    assert len(table) == steps
    found = bm.classical.pool(make(), method="REML", ci=ci)
    assert lines(table, 0) == [found.estimate, found.se, found.lower, found.upper]
    assert concordance_table(bm.fit(make(), MODEL), method="DL", ci=ci)["tau"].iloc[0] == pytest.approx(
        math.sqrt(bm.classical.pool(make(), method="DL").tau2), abs=SAME
    )


def test_other_levels() -> None:
    fit = bm.fit(make(), MODEL)
    table = concordance_table(fit, level=0.8)
    assert (table["level"] == 0.8).all()
    summary = bm.summarize(fit, level=0.8)
    assert table[["lower", "upper"]].iloc[-1].tolist() == summary.loc["mu", ["lower", "upper"]].tolist()
    estimate, se, lower, _ = lines(table, 2)
    assert lower == pytest.approx(estimate + se * stats.norm.ppf(0.1), abs=1e-10)


# ------------------------------------------------------------------------------------------------------- degenerate


def test_two_trials_pass_over_the_flat_prior_and_say_why() -> None:
    """Uniform tau with flat mu needs k >= 3; the next step starts from the Wald line."""
    table = concordance_table(bm.fit(make(Y[:2], SE[:2]), MODEL), mid())
    assert table["estimate"].isna().tolist() == [False, False, False, True, False, False]
    assert table.loc[3, "note"].startswith("passed over: ")
    assert "improper" in table.loc[3, "note"]
    assert table.loc[4, "shift"] == pytest.approx(table.loc[4, "estimate"] - table.loc[2, "estimate"], abs=SAME)
    check_walk(table)


def test_three_trials_have_a_flat_line_without_an_sd() -> None:
    """Flat priors and k = 3: the posterior is proper, its variance is not finite; the table says infinite."""
    table = concordance_table(bm.fit(make(Y[:3], SE[:3]), MODEL))
    assert table.loc[3, "se"] == math.inf
    assert np.isfinite(table.loc[3, ["estimate", "lower", "upper", "tau"]].to_numpy(float)).all()


def test_one_trial_has_no_classical_counterpart() -> None:
    with pytest.raises(bm.ModelError, match=r"one estimate|degrees of freedom"):
        concordance_table(bm.fit(make(Y[:1], SE[:1]), MODEL))


def test_equal_estimates_begin_with_an_interval_without_width() -> None:
    table = concordance_table(bm.fit(make([-0.3] * 4, SE[:4]), MODEL), mid())
    assert table.loc[0, "lower"] == table.loc[0, "upper"] == pytest.approx(-0.3)
    assert math.isnan(table.attrs["total_width_ratio"])
    assert math.isnan(table.loc[0, "p_any_benefit"])
    check_walk(table)
    assert "wider" not in concordance_sentence(table)


def test_without_direction_or_threshold_there_are_no_probabilities() -> None:
    undirected = concordance_table(bm.fit(make(better=None), MODEL))
    assert undirected[["p_any_benefit", "p_important_benefit"]].isna().all(axis=None)
    directed = concordance_table(bm.fit(make(), MODEL))
    assert directed["p_any_benefit"].notna().all()
    assert directed["p_important_benefit"].isna().all()
    # a range is no number to be beyond
    ranged = Threshold("range", (0.2, 0.5), (0.2, 0.5), (0.2, 0.5), (0.2, 0.5), "panel", "panel", True)
    assert concordance_table(bm.fit(make(), MODEL), ranged)["p_important_benefit"].isna().all()


def test_models_without_a_counterpart_are_refused() -> None:
    effects = make(moderators={"weeks": [6.0, 12, 8, 24, 10]})
    moderated = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"weeks": bm.Normal(0, 0.25)})
    with pytest.raises(bm.ModelError, match="no pooled classical counterpart"):
        concordance_table(bm.fit(effects, moderated))


# ---------------------------------------------------------------------------------------------------------- in words


def test_the_sentence_says_the_table_s_numbers() -> None:
    table = concordance_table(bm.fit(make(Y + 0.8), bm.Model(bm.Normal(-1, 0.2), bm.HalfNormal(0.5))))
    text = concordance_sentence(table)
    assert abs(table.attrs["total_shift_se"]) > 1
    most = table.loc[table["shift_se"].abs().idxmax()]
    assert f"by {table.attrs['total_shift_se']:.2f} standard errors" in text
    assert f"the largest step is {most['ingredient']}: {most['shift_se']:.2f}" in text
    ratio = table.attrs["total_width_ratio"]
    assert f"{abs(100 * (ratio - 1)):.0f} % {'wider' if ratio > 1 else 'narrower'}" in text


def test_the_sentence_of_a_negligible_gap() -> None:
    """A wide prior and a common effect: the Wald interval is the Bayesian one."""
    table = concordance_table(bm.fit(make(), bm.Model(bm.Normal(0, 1e4), None)), ci="wald")
    assert abs(table.attrs["total_shift_se"]) < NEGLIGIBLE
    text = concordance_sentence(table)
    assert text.startswith("The Bayesian mean and EE are the same to within 0.05 standard errors.")
    assert "equally wide to within 1 %" in text
    assert "under 1 %" in text
