"""All outcomes at once, mu and tau together, effects in new studies, icons; and what is said beside HKSJ.

Authorities: brute force on a grid of the likelihood with scipy, closed forms (a common tau, flat priors), counting by
hand; elsewhere the functions that other files test against R.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.fits import marginal
from bayesmeta.plots import (
    Plot,
    cumulative_plot,
    deletion_plot,
    drapery_plot,
    icon_array,
    icon_table,
    mu_tau_plot,
    mu_tau_table,
    new_study_plot,
    new_study_table,
    overview_plot,
    overview_table,
    radial_plot,
)
from bayesmeta.questions import share_of_true_effects
from pictures import assert_texts_apart, axes_of, line

ROOT = Path(__file__).parents[2]
# millimetres by which two texts may come near, as in plots/test_plots.py
TOUCH = 0.1
# the same number stored in an artist and computed again
SAME = 1e-12
# a region of 95 % found on 241 x 241 points holds its probability to the mass of a ring one cell wide
REGION = 4e-3
# moments of a posterior by a sum over 161 x 161 points or more of a smooth density
GRID = 2e-3


@cache
def real(protocol: str, key: str) -> bm.Fit:
    chosen = bm.read_protocol(ROOT / f"models/{protocol}.toml")
    outcome = chosen.outcome(key)
    with warnings.catch_warnings():
        # one trial of the interval data has |SMD| > 2, and the reader says so
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        effects = bm.read_effects(chosen, key)
    return bm.fit(effects, outcome.model.on(), outcome=outcome)


@cache
def ratio(better: str = "lower") -> bm.Fit:
    y = np.array([-0.9, -0.3, 0.1]) * (1 if better == "lower" else -1)
    effects = bm.Effects(
        ["A", "B", "C"],
        y,
        [0.3, 0.2, 0.4],
        measure="RR",
        better=better,
        name=f"Event, {better}",
        arms=[("walking", "rest")] * 3,
    )
    return bm.fit(effects, bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5)))


FATIGUE, QOL = ("cancer_exercise", "fatigue_short"), ("cancer_exercise", "qol_short")
RATIO = bm.threshold(0.75, worse=1.25, measure_name="RR", better="lower", name="appreciable")


# -- mu and tau --------------------------------------------------------------------------------------------------------


def brute(fit: bm.Fit, mu: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Joint posterior on a grid, up to a factor: the likelihood with theta integrated out, by its covariance."""
    effects, model = fit.effects, fit.model
    alike = np.eye(effects.k)
    for rows, _ in effects.blocks:
        # three arms: two comparisons with one control have correlated true effects, 0.5 (Higgins & Whitehead 1996)
        for i in rows:
            for j in rows:
                alike[i, j] = 1.0 if i == j else 0.5
    density = np.empty((tau.size, mu.size))
    for i, value in enumerate(tau):
        spread = stats.multivariate_normal(np.zeros(effects.k), effects.covariance() + value**2 * alike)
        density[i] = spread.logpdf(effects.y[None, :] - mu[:, None]) + model.tau.logpdf(value)
    density += model.mu.logpdf(mu)[None, :]
    return np.exp(density - density.max())


@pytest.mark.parametrize("fit", [ratio(), real(*FATIGUE)], ids=["ratio", "fatigue"])
def test_regions_of_mu_and_tau_hold_their_probability(fit: bm.Fit) -> None:
    from matplotlib.path import Path as Outline

    mu = np.linspace(*marginal(fit, "mu").quantile(np.array([1e-5, 1 - 1e-5])), 161)
    tau = np.linspace(1e-4, float(marginal(fit, "tau").quantile(1 - 1e-5)), 161)
    density = brute(fit, mu, tau)
    density /= density.sum()
    # the grid is one of this posterior: its mean is that of the engine
    assert float((density.sum(axis=0) * mu).sum()) == pytest.approx(marginal(fit, "mu").mean, abs=GRID)
    points = np.array(np.meshgrid(mu, tau)).reshape(2, -1).T
    table = mu_tau_table(fit).query("kind == 'region'")
    for level in (0.95, 0.8, 0.5):
        part = table[table["level"] == level]
        assert set(part["part"]) == {0}
        # an outline that is cut at tau = 0 is closed along the axis
        ends = part[["mu", "tau"]].to_numpy(float)
        closed = np.vstack([[ends[0, 0], -1.0], ends, [ends[-1, 0], -1.0]]) if ends[0, 1] < 0.02 else ends
        inside = Outline(closed).contains_points(points)
        # brute force is on a grid of its own, whose cells at the rim are in or out
        assert density.ravel()[inside].sum() == pytest.approx(level, abs=REGION + 8e-3)


def test_mu_and_tau_are_drawn_with_both_points() -> None:
    fit = real(*FATIGUE)
    plot = mu_tau_plot(fit)
    axes = axes_of(plot, "mu tau")
    regression = bm.classical.pool(fit.effects, method="REML", ci="hksj", rho=fit.model.rho)
    (x,), (y,) = line(axes, "classical").get_data()
    assert (x, y) == pytest.approx((regression.estimate, regression.tau2**0.5), rel=SAME)
    (x,), (y,) = line(axes, "median").get_data()
    summary = bm.summarize(fit)["median"]
    assert (x, y) == pytest.approx((summary["mu"], summary["tau"]), rel=1e-9)
    for width in (180.0, 90.0):
        assert_texts_apart(mu_tau_plot(fit, width_mm=width), TOUCH)
    assert "REML: -0.28 with tau 0.27" in plot.alt
    with pytest.raises(bm.ModelError, match="common-effect"):
        mu_tau_plot(bm.fit(fit.effects, bm.Model(bm.Normal(0, 1), None)))


def test_another_prior_of_mu_is_drawn_from_draws_and_says_so() -> None:
    fit = bm.fit(ratio().effects, bm.Model(bm.StudentT(0, 2, 4), bm.HalfNormal(0.5)))
    plot = mu_tau_plot(fit)
    assert "kernel density of 10,000 draws" in plot.alt
    # nearly the same prior as the normal one: the regions nearly agree (a kernel widens them by some percent)
    wide = [np.ptp(mu_tau_table(item).query("kind == 'region' and level == 0.95")["mu"]) for item in (fit, ratio())]
    assert wide[0] == pytest.approx(wide[1], rel=0.2)


# -- effects in new studies --------------------------------------------------------------------------------------------


def test_the_curve_is_the_posterior_of_the_share_of_true_effects() -> None:
    fit = ratio()
    table = new_study_table(fit)
    curve = table.query("kind == 'new study'")
    np.testing.assert_allclose(curve["p"], marginal(fit, "theta_new").cdf(curve["x"].to_numpy()), atol=1e-8)
    # brute force on a grid of mu and tau: quantiles of Phi((x - mu) / tau)
    mu = np.linspace(*marginal(fit, "mu").quantile(np.array([1e-5, 1 - 1e-5])), 900)
    tau = np.linspace(1e-4, float(marginal(fit, "tau").quantile(1 - 1e-5)), 900)
    weight = brute(fit, mu, tau).ravel()
    weight /= weight.sum()
    checked = 0
    for row in curve.iloc[[15, 20, 25, 30, 35, 40, 45]].itertuples():
        q = stats.norm.cdf((row.x - mu[None, :]) / tau[:, None]).ravel()
        order = np.argsort(q)
        reached = np.cumsum(weight[order])
        for p, end in ((0.025, row.lower), (0.975, row.upper)):
            # where tau may be near zero the share is 0 or 1 with a probability of its own, and has no such quantile
            if not 1e-6 < end < 1 - 1e-6:
                continue
            checked += 1
            # in probability: the share of the grid below the end
            assert reached[np.searchsorted(q[order], end) - 1] == pytest.approx(p, abs=GRID)
    assert checked >= 6


def test_trials_are_steps_that_end_at_one() -> None:
    fit = real(*FATIGUE)
    plot = new_study_plot(fit)
    axes, studies = axes_of(plot, "new study"), bm.study_table(fit)
    for kind, column in (("shrinkage", "theta"), ("reported", "y")):
        x, p = line(axes, kind).get_data()
        np.testing.assert_allclose(np.asarray(x, float)[1:-1], np.sort(studies[column]), rtol=SAME)
        np.testing.assert_allclose(np.asarray(p, float)[1:-1], np.arange(1, 36) / 35, rtol=SAME)
    share = share_of_true_effects(fit, 0.5)
    new = bm.benefit_table(fit).query("target == 'new study'")["p_important_benefit"].iloc[0]
    assert f"beyond -0.50 (important): {bm.percent(new)} on average" in plot.alt
    assert share["share_mean"] == pytest.approx(new)
    assert f"interval {bm.percent(share['share_lower'])} to {bm.percent(share['share_upper'])}" in plot.alt
    for fit_, width in ((fit, 90.0), (fit, 180.0), (ratio(), 180.0), (real("hiit", "vo2max"), 180.0)):
        assert_texts_apart(new_study_plot(fit_, width_mm=width), TOUCH)


# -- icons -------------------------------------------------------------------------------------------------------------


def test_icons_are_the_rounded_risks_and_chances() -> None:
    # closed form: a flat prior and no heterogeneity give the inverse-variance mean; risk with = 0.2 exp(mean)
    effects = bm.Effects(["A", "B"], [-0.8, -0.5], [0.2, 0.1], measure="RR", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Flat(), None))
    after = 0.2 * np.exp((-0.8 / 0.04 - 0.5 / 0.01) / (1 / 0.04 + 1 / 0.01))
    table = icon_table(fit, 0.2, per=1000).set_index(["panel", "kind"])["count"]
    assert table["without", "event"] == 200
    assert table["with", "event"] == round(1000 * after) == 114
    assert table["with", "prevented"] == 86
    assert table.groupby("panel").sum().tolist() == [1000, 1000]
    # thirds round to 100 in all
    from bayesmeta.plots.icons import _whole

    assert _whole([1 / 3] * 3, 100) == [34, 33, 33]
    assert _whole([0.005, 0.99, 0.005], 100) == [1, 99, 0]


def test_icons_drawn_are_those_counted() -> None:
    fit = ratio()
    plot = icon_array(fit, 0.3, threshold=RATIO)
    chances = bm.benefit_table(fit, RATIO).query("target == 'new study'").iloc[0]
    for name, rows in plot.table.groupby("panel"):
        axes = axes_of(plot, str(name))
        drawn = {str(item.get_label()): len(item.get_xdata()) for item in axes.lines}
        assert drawn == dict(zip(rows["kind"], rows["count"], strict=True))
        places = {point for item in axes.lines for point in zip(*item.get_data(), strict=True)}
        assert len(places) == 100
    assert plot.table.set_index("kind").loc["important benefit", "share"] == chances["p_important_benefit"]
    assert "with rest 30 have the event; with walking" in plot.alt
    for width in (90.0, 180.0):
        assert_texts_apart(icon_array(fit, 0.3, threshold=RATIO, width_mm=width), TOUCH)
    with pytest.raises(bm.ModelError, match="give one of 100, 1000"):
        icon_array(fit, 0.3, per=50)
    with pytest.raises(bm.ModelError, match="no threshold for new studies"):
        icon_array(fit)


# -- all outcomes ------------------------------------------------------------------------------------------------------


def test_every_outcome_has_benefit_on_the_right() -> None:
    fits = {"Fatigue": real(*FATIGUE), "Quality of life": real(*QOL)}
    plot = overview_plot(fits)
    axes = axes_of(plot, "overview SMD")
    for (name, fit), sign in zip(fits.items(), (-1, 1), strict=True):
        table = bm.predict(fit)
        for kind, row in (("mean", "mu"), ("new study", "theta_new")):
            ends = sorted(sign * table.loc[row, ["lower", "upper"]].to_numpy(float))
            np.testing.assert_allclose(line(axes, f"{kind} interval: {name}").get_xdata(), ends, rtol=SAME)
        (dot,) = line(axes, f"mean: {name}").get_xdata()
        # both help, so that both means lie right of no effect
        assert dot == pytest.approx(sign * table.loc["mu", "median"])
        assert dot > 0
        classical = bm.classical.pool(fit.effects, method="REML", ci="hksj", rho=fit.model.rho)
        np.testing.assert_allclose(line(axes, f"classical: {name}").get_xdata(), [sign * classical.estimate] * 2)
    for word, place in (("benefit", 0.5), ("harm", -0.5)):
        found = [item for item in axes.lines if str(item.get_label()).startswith(f"Threshold of {word}")]
        assert len(found) == 2
        assert {float(x) for item in found for x in np.asarray(item.get_xdata())} == {place}
    chances = bm.benefit_table(fits["Fatigue"]).query("threshold == 'important'").set_index("target")
    rows = plot.table.query("outcome == 'Fatigue'").set_index("kind")
    for kind, target in (("mean", "mean effect"), ("new study", "new study")):
        for column in ("p_any_benefit", "p_important_benefit", "p_important_harm"):
            assert rows.loc[kind, column] == pytest.approx(chances.loc[target, column], abs=1e-8)


def test_ratios_have_an_axis_of_their_own_which_runs_towards_benefit() -> None:
    plot = overview_plot([ratio(), ratio("higher"), real(*FATIGUE)])
    low, high = [axes for axes in plot.figure.axes if axes.get_label() == "overview RR"]
    for axes, sign in ((low, -1), (high, 1)):
        shown = [float(label.get_text()) for label in axes.get_xticklabels()]
        np.testing.assert_allclose(sign * np.log(shown), axes.xaxis.get_majorticklocs(), atol=1e-9)
    # ticks of ratios of which less is better descend to the right
    places = dict(zip(low.xaxis.get_majorticklocs(), [float(t.get_text()) for t in low.get_xticklabels()], strict=True))
    ordered = [places[x] for x in sorted(places)]
    assert ordered == sorted(ordered, reverse=True)


def test_twelve_outcomes_fit_a_page_and_texts_are_apart() -> None:
    protocol = bm.read_protocol(ROOT / "models/cancer_exercise.toml")
    fits = [real("cancer_exercise", key) for key in protocol.outcomes]
    assert len(fits) == 12
    for width in (180.0, 90.0):
        plot = overview_plot(fits, width_mm=width)
        assert_texts_apart(plot, TOUCH)
        assert plot.figure.get_size_inches()[1] * 25.4 < 250.0
    assert overview_table(fits)["outcome"].nunique() == 12
    assert axes_of(overview_plot(fits), "overview SMD").get_position().width >= 0.4 - 1e-9


def test_what_is_no_outcome_is_refused() -> None:
    fit = ratio()
    free = bm.fit(
        bm.Effects(["A", "B"], [0.1, 0.2], [0.1, 0.1], measure="SMD"), bm.Model(bm.Normal(0, 1), bm.HalfNormal(1))
    )
    for wrong, message in (
        ([3], "int is neither a Fit nor an Analysis"),
        ([], "no outcomes"),
        ([fit, fit], "two outcomes are called"),
        ([free], "which direction is better"),
    ):
        with pytest.raises(bm.ModelError, match=message):
            overview_plot(wrong)


# -- what is said beside HKSJ ------------------------------------------------------------------------------------------


def test_pictures_with_a_classical_interval_say_where_hksj_is_too_narrow() -> None:
    # three estimates that differ less than their standard errors: HKSJ is narrower than Wald
    effects = bm.Effects(list("ABC"), [0.30, 0.31, 0.33], [0.1, 0.12, 0.09], measure="SMD", better="higher")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    found = bm.classical.pool(effects, method="REML", ci="hksj")
    assert found.mark == "narrower than Wald"
    remark = bm.hksj_remark(fit)
    makers = {"drapery": drapery_plot, "radial": radial_plot, "deletion": deletion_plot, "cumulative": cumulative_plot}
    for name, maker in makers.items():
        plot: Plot = maker(fit)
        assert remark in plot.alt, name
        assert_texts_apart(plot, TOUCH)
    # nothing is said where there is nothing to say
    assert "ad hoc" not in drapery_plot(real(*FATIGUE)).alt
    assert isinstance(overview_table([fit]), pd.DataFrame)
