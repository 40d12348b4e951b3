"""Averages over models of publication bias: weights of p, the mean effect, which parts are in, z values, p values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.bias import ZCurve, given_models, model_inclusion_table, models_of, weight_table, z_curve
from bayesmeta.columns import bayes_factor_text, percent, plural
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.measures import measure
from bayesmeta.plots.frame import framed
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.rows import PlotRows, Row
from bayesmeta.plots.sheet import (
    BAYES,
    DENSITY,
    GREY,
    INK,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    text_width,
    ticks,
)
from bayesmeta.plots.wording import axis_label, effect_sentence, level_text, name_of, size_line

__all__ = ["averaged_mean_plot", "inclusion_plot", "p_value_plot", "weight_function_plot", "z_curve_plot"]

FloatArray = NDArray[np.float64]
_POINTS = 301
_PRIOR: dict[str, Any] = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.0}
_LINE: dict[str, Any] = {"color": BAYES, "linewidth": 1.4}
_CONDUCTED: dict[str, Any] = {"color": INK, "linestyle": (0, (1, 1.2)), "linewidth": 1.2}
_STEPS: dict[str, Any] = {"color": INK, "linewidth": 0.9}
_CUT: dict[str, Any] = {"color": GREY, "linestyle": (0, (1, 1.5)), "linewidth": 0.6}
_BARS: dict[str, Any] = {"facecolor": "#E4E4E4", "edgecolor": GREY, "linewidth": 0.5}
_BAND: dict[str, Any] = {"facecolor": DENSITY, "edgecolor": "none"}
_FAVOURED = "in the favoured direction"
#: Width of the bars of z values: bars end at 0 and at two-sided p = 0.05.
_BIN = 1.959963984540054 / 4


def _p_text(p: float) -> str:
    return f"{p:g}".removeprefix("0") if 0 < p < 1 else f"{p:g}"


def weight_function_plot(fit: Fit, *, level: float = LEVEL, title: str | None = None, width_mm: float = 180.0) -> Plot:
    """Draw how likely results are to be seen by their p value, averaged over all models, against the prior.

    Intervals of p have equal widths, so that those below 0.05 can be read.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`, some of whose models select by p.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.bias.weight_table`.

    Raises
    ------
    ModelError
        Where no model selects by p.

    Examples
    --------
    >>> weight_function_plot(bm.average(effects, "2w"), title="Fatigue").title
    'Fatigue: weight function'
    """
    width, table = check_width(width_mm), weight_table(fit, level=level)
    title = f"{title or name_of(fit)}: weight function"
    entries = [
        Entry(_LINE, "Posterior mean, averaged over all models"),
        Entry(_BAND, f"{level_text(level)} central credible interval"),
        Entry(_PRIOR, "Prior mean"),
    ]
    notes = [
        "Weight: chance of being seen relative to the most significant results. Numbers above: trials with p in the "
        "interval. Intervals of p are drawn equally wide."
    ]
    with drawing():
        words = (f"One-sided p {_FAVOURED}", "Relative chance of being seen")
        panel = framed("weights", title, [size_line(fit.effects)], entries, notes, words, width, above=4.0)
        axes, count = panel.axes, len(table)
        axes.set_xlim(0, count)
        axes.set_ylim(0.0, 1.02)
        edges = np.arange(count + 1)
        for name, look, order in (("prior_mean", _PRIOR, 2), ("mean", _LINE, 3)):
            values = table[name].to_numpy(float)
            axes.step(edges, [*values, values[-1]], where="post", zorder=order, label=name, **look)
        lower, upper = (np.repeat(table[name].to_numpy(float), 2) for name in ("lower", "upper"))
        axes.fill_between(np.repeat(edges, 2)[1:-1], lower, upper, zorder=1, label="band", **_BAND)
        for i, trials in enumerate(table["trials"]):
            (across,), _ = panel.place([i + 0.5], [1.0])
            panel.sheet.text(float(across), panel.top - 2.2, str(int(trials)), ha="center", color=GREY)
        axes.set_xticks(edges, [_p_text(p) for p in [*table["from"], 1.0]])
        axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    last = table.iloc[-1]
    parts = [
        f"Weight function of {title.removesuffix(': weight function')}: {size_line(fit.effects)}. Relative chance of "
        "being seen by one-sided p, posterior mean "
        f"({level_text(level)} interval; prior mean): "
        + "; ".join(
            f"{_p_text(row['from'])} to {_p_text(row['to'])}: {row['mean']:.2f} ({row['lower']:.2f} to "
            f"{row['upper']:.2f}; {row['prior_mean']:.2f}), {plural(int(row['trials']), 'trial')}"
            for row in table.to_dict("records")
        ),
        f"Probability of no selection by p: {percent(float(last['p_one']))}",
    ]
    return Plot(panel.sheet.figure, table, ". ".join(parts) + ".", title)


def averaged_mean_plot(fit: Fit, *, level: float = LEVEL, title: str | None = None, width_mm: float = 180.0) -> Plot:
    """Draw prior and posterior of the mean effect, averaged over models; the probability of no effect is an arrow.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` has ``kind`` "prior" and "posterior", ``x`` and ``density`` of models with an effect (it integrates to
        their probability), and one row each with the ``probability`` of exactly no effect at ``x`` 0.

    Raises
    ------
    ModelError
        For a fit of one model.

    Examples
    --------
    >>> table = averaged_mean_plot(bm.average(effects, "bma")).table
    >>> table.loc[table["kind"] == "prior", "probability"].dropna().tolist()
    [0.5]
    """
    width, table = check_width(width_mm), _mean_table(fit)
    title = f"{title or name_of(fit)}: averaged mean effect"
    spikes = table.dropna(subset=["probability"]).set_index("kind")["probability"]
    entries = [
        Entry(_LINE, "Posterior density of models with an effect"),
        Entry(_PRIOR, "Prior density"),
        Entry({"color": BAYES, "linewidth": 2.4}, f"Posterior P(no effect): {percent(spikes['posterior'])}"),
        Entry({"color": GREY, "linewidth": 2.4}, f"Prior P(no effect): {percent(spikes['prior'])}"),
    ]
    notes = [
        "Arrows are probabilities of exactly no effect, read at the right; areas under curves are those of the rest."
    ]
    with drawing():
        words = (axis_label(fit.effects), "Density")
        right = text_width("100 %") + 3.0
        panel = framed("mean", title, [size_line(fit.effects)], entries, notes, words, width, right=right, above=3.5)
        axes = panel.axes
        drawn = table.dropna(subset=["density"])
        limits = float(drawn["x"].min()), float(drawn["x"].max())
        top = 1.05 * float(drawn["density"].max()) or 1.0
        axes.set_xlim(*limits)
        axes.set_ylim(0.0, top)
        posterior = drawn[drawn["kind"] == "posterior"]
        axes.fill_between(posterior["x"], posterior["density"], color=DENSITY, linewidth=0, zorder=1, label="area")
        # side by side, since both stand at no effect
        offset = 0.004 * (limits[1] - limits[0])
        for kind, look, order, side in (("prior", _PRIOR, 2, -1), ("posterior", _LINE, 3, 1)):
            part = drawn[drawn["kind"] == kind]
            axes.plot(part["x"], part["density"], zorder=order, label=kind, **look)
            height, colour = float(spikes[kind]), look["color"]
            if height > 0:
                axes.annotate(
                    "",
                    (side * offset, height * top),
                    (side * offset, 0.0),
                    arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.0, "shrinkA": 0, "shrinkB": 0},
                    zorder=5,
                )
        for share in (0.0, 0.5, 1.0):
            _, (down,) = panel.place([0.0], [share * top])
            panel.sheet.text(panel.left + panel.length + 1.2, float(down), f"{100 * share:g} %")
        ticks(axes.xaxis, measure(fit.effects.measure), *limits, panel.length)
        ticks(axes.yaxis, measure("generic"), 0.0, top, panel.height)
    alt = (
        f"Averaged mean effect of {title.removesuffix(': averaged mean effect')}: {size_line(fit.effects)}. "
        f"Probability of exactly no effect: {percent(spikes['prior'])} before, {percent(spikes['posterior'])} after. "
        f"{effect_sentence(fit, level)}"
    )
    return Plot(panel.sheet.figure, table, alt, title)


def _mean_table(fit: Fit) -> pd.DataFrame:
    posterior = models_of(fit)
    models, prior = posterior.ensemble.models, posterior.prior_shares
    has = np.array([model.mu is not None for model in models])
    spikes = {"prior": float(prior[~has].sum()), "posterior": float(posterior.shares[~has].sum())}
    y, se = fit.effects.y, fit.effects.se
    low, high = min(0.0, float((y - se).min())), max(0.0, float((y + se).max()))
    parts = [
        pd.DataFrame({"kind": kind, "x": 0.0, "density": math.nan, "probability": [value]})
        for kind, value in spikes.items()
    ]
    if has.any() and spikes["posterior"] < 1.0:
        form = marginal(given_models(fit, effect=True), "mu")
        ends = form.quantile(np.array([0.001, 0.999]))
        x = np.linspace(min(low, float(ends[0])), max(high, float(ends[1])), _POINTS)
        before = sum(
            share * np.exp(model.mu.logpdf(x))
            for share, model in zip(prior, models, strict=True)
            if model.mu is not None
        )
        after = (1.0 - spikes["posterior"]) * form.density(x)
        for kind, density in (("prior", before), ("posterior", after)):
            parts.append(pd.DataFrame({"kind": kind, "x": x, "density": density, "probability": math.nan}))
    else:
        for kind in spikes:
            parts.append(pd.DataFrame({"kind": kind, "x": [low, high], "density": 0.0, "probability": math.nan}))
    return pd.concat(parts, ignore_index=True)


def inclusion_plot(fit: Fit, *, title: str | None = None, width_mm: float = 180.0) -> Plot:
    """Draw the probability of each part of the models, before and after the data.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.bias.model_inclusion_table`.

    Raises
    ------
    ModelError
        For a fit of one model.

    Examples
    --------
    >>> inclusion_plot(bm.average(effects, "bma")).table["part"].tolist()
    ['effect', 'heterogeneity']
    """
    width, table = check_width(width_mm), model_inclusion_table(fit)
    title = f"{title or name_of(fit)}: what is in the models"
    rows = [
        Row(
            item["part"].capitalize() if item["part"].islower() else item["part"],
            (percent(item["prior"]), percent(item["posterior"]), bayes_factor_text(item["bayes_factor"])),
        )
        for item in table.to_dict("records")
    ]
    block = PlotRows(
        "inclusion",
        ("Part", "Prior", "Posterior", "Inclusion BF"),
        rows,
        "Probability of models with it, percent",
        width,
    )
    before: dict[str, Any] = {
        "color": "white",
        "marker": "o",
        "markersize": 4.5,
        "markeredgecolor": GREY,
        "linestyle": "none",
    }
    after: dict[str, Any] = {"color": BAYES, "marker": "o", "markersize": 5.0, "linestyle": "none"}
    entries = [Entry(before, "Before the data"), Entry(after, "After the data")]
    notes = ["Inclusion BF: odds of the models with the part, after over before, averaged over everything else."]
    head = [size_line(fit.effects)]
    with drawing():
        top = head_height(title, head, width) + 2.0
        footer = top + block.height + 1.5
        sheet = Sheet(width, footer + footer_height(entries, notes, width))
        sheet.head(title, head)
        axes = block.draw(sheet, top)
        axes.set_xlim(0, 100)
        places = np.arange(len(table))
        for i, (a, b) in enumerate(100 * table[["prior", "posterior"]].to_numpy(float)):
            axes.plot([a, b], [i, i], color=BAYES, linewidth=0.9, zorder=2, label=f"shift: {table['part'][i]}")
        for name, look, order in (("prior", before, 3), ("posterior", after, 4)):
            axes.plot(100 * table[name], places, zorder=order, label=name, clip_on=False, **look)
        ticks(axes.xaxis, measure("generic"), 0.0, 100.0, block.length)
        sheet.notes(sheet.legend(footer, entries), notes)
    said = [
        f"{item['part']} {percent(item['prior'])} before, {percent(item['posterior'])} after, inclusion Bayes factor "
        f"{bayes_factor_text(item['bayes_factor'])}"
        for item in table.to_dict("records")
    ]
    alt = f"Probabilities of models with each part, {title.removesuffix(': what is in the models')}: {'; '.join(said)}."
    return Plot(sheet.figure, table, alt, title)


def z_curve_plot(fit: Fit, curve: ZCurve | None = None, *, title: str | None = None, width_mm: float = 180.0) -> Plot:
    """Draw the observed z values with the densities that the models imply of published and of all conducted trials.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`.
    curve : ZCurve, optional
        That of the fit, where it is there already.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is the density of `bayesmeta.bias.z_curve`.

    Raises
    ------
    ModelError
        As `bayesmeta.bias.z_curve`.

    Examples
    --------
    >>> z_curve_plot(bm.average(effects, "2w"), title="Fatigue").title
    'Fatigue: z-curve'
    """
    width = check_width(width_mm)
    curve = z_curve(fit) if curve is None else curve
    table, rates = curve.density, dict(zip(curve.summary["quantity"], curve.summary["mean"].tolist(), strict=True))
    title = f"{title or name_of(fit)}: z-curve"
    entries = [
        Entry(_BARS, "Observed z values, as shares per unit of z"),
        Entry(_LINE, "Published, as the models imply"),
        Entry(_CONDUCTED, "All conducted, as the models imply"),
        Entry(_CUT, "Where a weight changes"),
    ]
    missing = curve.summary.query("quantity == 'missing trials'")[["lower", "median", "upper"]]
    low, middle, high = missing.to_numpy(float)[0]
    notes = [
        f"Significant (two-sided p < 0.05): {percent(rates['observed discovery rate'])} observed, "
        f"{percent(rates['expected discovery rate of the published'])} expected of the published and "
        f"{percent(rates['expected discovery rate'])} of all conducted. Missing trials, at least: median "
        f"{middle:.0f} ({low:.0f} to {high:.0f}). Both areas are one."
    ]
    with drawing():
        words = (f"z, positive {_FAVOURED}", "Density")
        panel = framed("z-curve", title, [size_line(fit.effects)], entries, notes, words, width, above=3.5)
        axes = panel.axes
        drawn = table[table["published"] + table["conducted"] > 1e-4]
        low = min(float(drawn["z"].min()), math.floor(curve.z.min() / _BIN) * _BIN)
        high = max(float(drawn["z"].max()), math.ceil(curve.z.max() / _BIN) * _BIN)
        edges = np.arange(math.floor(low / _BIN), math.ceil(high / _BIN) + 1) * _BIN
        heights = np.histogram(curve.z, edges)[0] / (curve.z.size * _BIN)
        axes.set_xlim(edges[0], edges[-1])
        top = 1.05 * max(float(heights.max()), float(table[["published", "conducted"]].to_numpy().max()))
        axes.set_ylim(0.0, top)
        axes.bar(edges[:-1], heights, _BIN, align="edge", zorder=1, label="observed", **_BARS)
        for cut in curve.cuts:
            axes.axvline(cut, zorder=2, label=f"cut {cut:.2f}", **_CUT)
        axes.plot(table["z"], table["conducted"], zorder=3, label="conducted", **_CONDUCTED)
        axes.plot(table["z"], table["published"], zorder=4, label="published", **_LINE)
        ticks(axes.xaxis, measure("generic"), edges[0], edges[-1], panel.length)
        ticks(axes.yaxis, measure("generic"), 0.0, top, panel.height)
    alt = (
        f"z-curve of {title.removesuffix(': z-curve')}: {size_line(fit.effects)}. Observed z values range from "
        f"{curve.z.min():.2f} to {curve.z.max():.2f}. {notes[0].removesuffix(' Both areas are one.')} Expected "
        f"replicability of significant results: {percent(rates['expected replicability'])}."
    )
    return Plot(panel.sheet.figure, table, alt, title)


def p_value_plot(fit: Fit, curve: ZCurve | None = None, *, title: str | None = None, width_mm: float = 180.0) -> Plot:
    """Draw the observed one-sided p values against the steps of the weights and against what the models imply.

    p is drawn on the scale of its normal quantile.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`.
    curve : ZCurve, optional
        That of the fit, where it is there already.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` has one row per trial, by p: ``label z p share``, the share of trials with a p not above it.

    Raises
    ------
    ModelError
        As `bayesmeta.bias.z_curve`.

    Examples
    --------
    >>> p_value_plot(bm.average(effects, "2w")).table["p"].round(3).tolist()
    [0.023, 0.067, 0.159, 0.691]
    """
    width = check_width(width_mm)
    curve = z_curve(fit) if curve is None else curve
    order = np.argsort(-curve.z, kind="stable")
    z, k = curve.z[order], curve.z.size
    table = pd.DataFrame(
        {
            "label": [fit.effects.label[i] for i in order],
            "z": z,
            "p": special.ndtr(-z),
            "share": np.arange(1, k + 1) / k,
        }
    )
    title = f"{title or name_of(fit)}: p values"
    entries = [
        Entry(_STEPS, "Share of trials with p not above"),
        Entry(_LINE, "As the models imply, with selection"),
        Entry(_CUT, "Where a weight changes"),
    ]
    notes = ["A step of the trials at a dotted line that the curve lacks is selection beyond that of the models."]
    at, density = (curve.density[name].to_numpy(float) for name in ("z", "published"))
    below = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(at) * (density[1:] + density[:-1]))])
    shown = [0.001, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.95, 0.999]
    limits = -max(3.3, float(z.max()) + 0.2), max(2.0, float(-z.min()) + 0.2)
    with drawing():
        words = (f"One-sided p {_FAVOURED} (scale of its normal quantile)", "Share of trials")
        panel = framed("p values", title, [size_line(fit.effects)], entries, notes, words, width)
        axes = panel.axes
        axes.set_xlim(*limits)
        axes.set_ylim(0.0, 1.0)
        places = np.concatenate([[limits[0]], -z, [limits[1]]])
        axes.step(places, [0.0, *table["share"], 1.0], where="post", zorder=3, label="observed", **_STEPS)
        axes.plot(-at[::-1], (below[-1] - below)[::-1], zorder=4, label="implied", **_LINE)
        for cut in curve.cuts:
            axes.axvline(-cut, zorder=2, label=f"cut {_p_text(float(special.ndtr(-cut)))}", **_CUT)
        kept: list[float] = []
        for p in shown:
            x = float(special.ndtri(p))
            room = (text_width("0.999") + 1.0) * (limits[1] - limits[0]) / panel.length
            if limits[0] <= x <= limits[1] and (not kept or x - kept[-1] > room):
                kept.append(x)
        axes.set_xticks(kept, [_p_text(round(float(special.ndtr(x)), 6)) for x in kept])
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    edges = sorted({0.0, 1.0, *(round(float(special.ndtr(-cut)), 9) for cut in curve.cuts)})
    counts = np.histogram(table["p"], edges)[0]
    alt = (
        f"One-sided p values of {title.removesuffix(': p values')}: {size_line(fit.effects)}. "
        + "; ".join(
            f"{_p_text(a)} to {_p_text(b)}: {plural(int(n), 'trial')}"
            for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
        )
        + f". Smallest p {table['p'].iloc[0]:.2g}, largest {table['p'].iloc[-1]:.2g}."
    )
    return Plot(panel.sheet.figure, table, alt, title)
