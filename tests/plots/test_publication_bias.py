"""Pictures of averages show the numbers of their tables, at both widths, and say them in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from matplotlib.text import Annotation
from scipy import stats

import bayesmeta as bm
from bayesmeta import bias
from bayesmeta.plots import (
    Plot,
    averaged_mean_plot,
    inclusion_plot,
    p_value_plot,
    plot_bytes,
    weight_function_plot,
    z_curve_plot,
)
from pictures import assert_texts_apart, axes_of, line

TOUCH = 0.1
Y, SE = np.array([0.05, 0.3, 0.5, 0.62, -0.1, 0.35]), np.array([0.1, 0.15, 0.2, 0.25, 0.2, 0.3])


@cache
def averaged(better: str = "higher") -> bm.Fit:
    sign = 1 if better == "higher" else -1
    effects = bm.Effects([*"abcdef"], sign * Y, SE, measure="SMD", better=better, name="Sleep")
    forms = [None, bias.StepSelection((0.025, 0.5)), bias.PET()]
    models = [
        bias.CandidateModel(mu, tau, form)
        for mu in (None, bm.Normal(0, 1))
        for tau in (None, bm.HalfNormal(0.5))
        for form in forms
    ]
    return bm.average(effects, bias.Ensemble("own", models))


@cache
def curve() -> bias.ZCurve:
    return bias.z_curve(averaged())


DRAWN: dict[str, Callable[..., Plot]] = {
    "weights": weight_function_plot,
    "mean": averaged_mean_plot,
    "inclusion": inclusion_plot,
    "z-curve": lambda fit, **options: z_curve_plot(fit, curve(), **options),
    "p values": lambda fit, **options: p_value_plot(fit, curve(), **options),
}


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("width", [90.0, 180.0])
def test_texts_stand_apart_and_files_are_made(name: str, width: float) -> None:
    plot = DRAWN[name](averaged(), width_mm=width)
    assert_texts_apart(plot, TOUCH)
    assert plot.title.startswith("Sleep: ")
    assert "Sleep" in plot.alt
    assert len(plot_bytes(plot, "svg")) < 1_000_000


def test_weights_are_those_of_the_table() -> None:
    plot, table = weight_function_plot(averaged()), bias.weight_table(averaged())
    axes = axes_of(plot, "weights")
    np.testing.assert_array_equal(line(axes, "mean").get_ydata()[:-1], table["mean"])
    np.testing.assert_array_equal(line(axes, "prior_mean").get_ydata()[:-1], table["prior_mean"])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", ".025", ".5", "1"]
    (band,) = [item for item in axes.collections if item.get_label() == "band"]
    shown = band.get_paths()[0].vertices[:, 1]
    assert shown.min() == pytest.approx(table["lower"].min())
    assert f"{table['mean'][1]:.2f}" in plot.alt
    assert bm.percent(float(table["p_one"][0])) in plot.alt


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_mean_and_spikes(better: str) -> None:
    fit = averaged(better)
    plot = averaged_mean_plot(fit)
    table = plot.table
    none = float(bias.candidate_table(fit).query("effect == 'none'")["posterior"].sum())
    spikes = table.dropna(subset=["probability"]).set_index("kind")["probability"]
    assert spikes["prior"] == pytest.approx(0.5)
    assert spikes["posterior"] == pytest.approx(none)
    posterior = table[(table["kind"] == "posterior") & table["density"].notna()]
    # between its quantiles 0.001 and 0.999, in 300 steps
    area = np.trapezoid(posterior["density"], posterior["x"])
    assert area == pytest.approx((1 - none), abs=3e-3)
    prior = table[(table["kind"] == "prior") & table["density"].notna()]
    np.testing.assert_allclose(prior["density"], 0.5 * stats.norm.pdf(prior["x"]), rtol=1e-12)
    axes = axes_of(plot, "mean")
    top = axes.get_ylim()[1]
    heights = sorted(item.xy[1] / top for item in axes.texts if isinstance(item, Annotation))
    assert heights == pytest.approx(sorted([0.5, none]))
    mean = (posterior["x"] * posterior["density"]).sum() / posterior["density"].sum()
    assert (mean > 0) == (better == "higher")


def test_inclusion_is_that_of_the_table() -> None:
    plot, table = inclusion_plot(averaged()), bias.model_inclusion_table(averaged())
    axes = axes_of(plot, "inclusion")
    np.testing.assert_allclose(line(axes, "posterior").get_xdata(), 100 * table["posterior"])
    np.testing.assert_allclose(line(axes, "prior").get_xdata(), 100 * table["prior"])
    for value in table["posterior"]:
        assert bm.percent(float(value)) in plot.alt


def test_z_values_and_densities() -> None:
    plot = z_curve_plot(averaged(), curve())
    axes = axes_of(plot, "z-curve")
    bars = [(item.get_x(), item.get_width(), item.get_height()) for item in axes.patches]
    # six trials; z of 0.5, 2, 2.5, 2.48, -0.5 and 1.17
    assert sum(width * height for _, width, height in bars) == pytest.approx(1.0)
    critical = stats.norm.isf(0.025)
    assert sum(w * h for x, w, h in bars if x > critical - 1e-9) == pytest.approx(3 / 6)
    np.testing.assert_array_equal(line(axes, "published").get_ydata(), curve().density["published"])
    np.testing.assert_array_equal(line(axes, "conducted").get_ydata(), curve().density["conducted"])
    rates = curve().summary.set_index("quantity")["mean"]
    for name in ("observed discovery rate", "expected discovery rate", "expected replicability"):
        assert bm.percent(float(rates[name])) in plot.alt


def test_p_values_are_steps_against_what_is_implied() -> None:
    plot = p_value_plot(averaged(), curve())
    p = np.sort(stats.norm.sf(Y / SE))
    np.testing.assert_allclose(plot.table["p"], p, rtol=1e-12)
    axes = axes_of(plot, "p values")
    np.testing.assert_allclose(stats.norm.cdf(line(axes, "observed").get_xdata()[1:-1]), p, rtol=1e-9)
    implied = line(axes, "implied")
    # the share at p = 0.025 is what is published above 1.96
    density = curve().density
    above = density["z"] > stats.norm.isf(0.025)
    expected = np.trapezoid(density["published"][above], density["z"][above])
    found = np.interp(stats.norm.ppf(0.025), implied.get_xdata(), implied.get_ydata())
    assert found == pytest.approx(expected, abs=1e-3)
    assert "0 to .025: 3 trials" in plot.alt


def test_what_is_refused() -> None:
    with pytest.raises(bm.ModelError, match="one model"):
        averaged_mean_plot(bm.example().fit)
    with pytest.raises(bm.ModelError, match="width"):
        inclusion_plot(averaged(), width_mm=10.0)
    nothing = bias.Ensemble("none", [bias.CandidateModel(None, None)])
    plot = averaged_mean_plot(bm.average(averaged().effects, nothing))
    assert plot.table["probability"].dropna().tolist() == [1.0, 1.0]
