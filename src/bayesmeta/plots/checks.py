"""What a sceptic looks at: observed against replicated data, and posteriors against priors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesmeta.checking import overlap_curves, overlap_table, ppc_table, predictive_table
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.rows import PlotRows, Row
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    DENSITY,
    GREY,
    INK,
    LINE,
    MARGIN,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    ticks,
    wrap,
)
from bayesmeta.plots.tables import limits_with
from bayesmeta.plots.wording import axis_label, effect_sentence, level_text, name_of, numbers_of, size_line

__all__ = ["ppc_plot", "prior_posterior_plot"]

_SAME, _NEW = "same trials", "new trials"
# millimetres
_PANEL, _AXIS, _BETWEEN, _COLUMN = 22.0, 5.0, 5.0, 52.0


def p_text(p: float) -> str:
    """Write a p-value; never zero.

    Examples
    --------
    >>> p_text(0.0421), p_text(0.0)
    ('0.04', '<0.01')
    """
    return "<0.01" if p < 0.01 else f"{p:.2f}"


def ppc_plot(fit: Fit, *, level: float = LEVEL, title: str | None = None, width_mm: float = 180.0) -> Plot:
    """Draw every estimate in its prediction for a new trial, and statistics of all estimates among replicated ones.

    Parameters
    ----------
    fit : Fit
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` stacks `bayesmeta.checking.predictive_table` (``part`` is ``estimate``) and
        `bayesmeta.checking.ppc_table` (``part`` is ``statistic``).

    Examples
    --------
    >>> ppc_plot(fit).table["part"].value_counts().to_dict()
    {'statistic': 14, 'estimate': 4}
    """
    width = check_width(width_mm)
    single = predictive_table(fit, level=level).sort_values("observed", kind="stable", ignore_index=True)
    whole = ppc_table(fit, level=level)
    title = f"{title or name_of(fit)}: does the model predict its data?"
    with drawing():
        sheet = _draw_ppc(fit, single, whole, title, level, width)
    single.insert(0, "part", "estimate")
    whole.insert(0, "part", "statistic")
    table = pd.concat([single, whole], ignore_index=True)
    return Plot(sheet.figure, table, _alt_ppc(fit, single, whole, title, level), title)


def _draw_ppc(fit: Fit, single: pd.DataFrame, whole: pd.DataFrame, title: str, level: float, width: float) -> Sheet:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    narrow = width < 140
    rows = []
    for item in single.to_dict("records"):
        cells = (
            numbers.value(item["observed"]),
            numbers.interval(item["lower"], item["upper"]),
            p_text(item["p_value"]),
        )
        rows.append(Row(str(item["label"]), cells if not narrow else cells[2:]))
    headings = ("p",) if narrow else ("Observed", "Predicted", "p")
    trials = PlotRows("predicted", ("Estimate", *headings), rows, axis_label(fit.effects), width)
    by = {kind: part.set_index("statistic") for kind, part in whole.groupby("replicated")}
    names = list(by[_SAME].index)
    lines = [
        Row(
            _statistic(name),
            (
                _number(by[_SAME].loc[name, "observed"]),
                p_text(by[_SAME].loc[name, "p_value"]),
                p_text(by[_NEW].loc[name, "p_value"]),
            ),
        )
        for name in names
    ]
    words = "Replications below the observed value, percent"
    statistics = PlotRows(
        "statistics", ("All estimates", "Observed", "p, same trials", "p, new trials"), lines, words, width
    )
    entries = [
        Entry({"color": DENSITY, "linewidth": 3.0}, f"{stated} of new trials with the same standard error"),
        Entry({"color": INK, "marker": "o", "markersize": 3.6, "linestyle": "none"}, "Observed"),
        Entry({"color": CLASSICAL, "marker": "D", "markersize": 3.6, "linestyle": "none"}, "Observed, outside"),
    ]
    second = [
        Entry({"color": BAYES, "marker": "o", "markersize": 3.6, "linestyle": "none"}, "Same trials, replicated"),
        Entry(
            {"color": CLASSICAL, "marker": "s", "markersize": 3.6, "markerfacecolor": "white", "linestyle": "none"},
            "New trials",
        ),
        Entry({"facecolor": "#EDEDED", "edgecolor": "none"}, f"Middle {stated}: no conflict"),
    ]
    count = len(single)
    notes = [
        f"Two-sided p-values. By chance {0.05 * count:.1f} of {count} estimates have one below 0.05. Replications use "
        "the data twice, so that large p-values prove nothing."
    ]
    head = [size_line(fit.effects)]
    top = head_height(title, head, width) + 2.0
    legend = footer_height(entries, [], width) - MARGIN
    middle = top + trials.height + 1.0 + legend + 3.5
    footer = middle + statistics.height + 1.0
    sheet = Sheet(width, footer + footer_height(second, notes, width))
    sheet.head(title, head)
    _draw_estimates(trials.draw(sheet, top), fit, single, trials.length)
    sheet.legend(top + trials.height + 1.0, entries)
    axes = statistics.draw(sheet, middle)
    axes.set_xlim(-2, 102)
    axes.axvspan(50 * (1 - level), 50 * (1 + level), facecolor="#EDEDED", edgecolor="none", zorder=0, label="middle")
    for kind, marker, color, face, shift in ((_SAME, "o", BAYES, BAYES, -0.14), (_NEW, "s", CLASSICAL, "white", 0.14)):
        axes.plot(
            100 * by[kind]["below"].to_numpy(float),
            np.arange(len(names)) + shift,
            linestyle="none",
            marker=marker,
            markersize=3.6,
            color=color,
            markerfacecolor=face,
            zorder=3,
            label=kind,
        )
    ticks(axes.xaxis, measure("generic"), 0.0, 100.0, statistics.length)
    sheet.notes(sheet.legend(footer, second), notes)
    return sheet


def _statistic(name: str) -> str:
    return {"significant": "number significant", "Q": "Cochran's Q"}.get(name, name)


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _draw_estimates(axes: Axes, fit: Fit, single: pd.DataFrame, length: float) -> None:
    low, high = limits_with(fit.effects.measure, single["lower"], single["upper"], single["observed"])
    axes.set_xlim(low, high)
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for i, item in enumerate(single.to_dict("records")):
        axes.plot(
            [item["lower"], item["upper"]],
            [i, i],
            color=DENSITY,
            linewidth=3.0,
            solid_capstyle="butt",
            zorder=2,
            label=f"predicted: {item['label']}",
        )
        outside = not item["lower"] <= item["observed"] <= item["upper"]
        axes.plot(
            [item["observed"]],
            [i],
            marker="D" if outside else "o",
            markersize=3.4,
            linestyle="none",
            zorder=3,
            color=CLASSICAL if outside else INK,
            label=f"observed: {item['label']}",
        )
    ticks(axes.xaxis, measure(fit.effects.measure), low, high, length)


def _alt_ppc(fit: Fit, single: pd.DataFrame, whole: pd.DataFrame, title: str, level: float) -> str:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    outside = single[(single["observed"] < single["lower"]) | (single["observed"] > single["upper"])]
    named = "; ".join(
        f"{item['label']} ({numbers.value(item['observed'])}, p {p_text(item['p_value'])})"
        for item in outside.to_dict("records")
    )
    odd = whole[whole["p_value"] < 1 - level]
    words = "; ".join(
        f"{_statistic(item['statistic'])} of {item['replicated']} (p {p_text(item['p_value'])})"
        for item in odd.to_dict("records")
    )
    return (
        f"Predictive check of {title.partition(':')[0]}: {size_line(fit.effects)}. {len(outside)} of {len(single)} "
        f"estimates lie outside the middle {stated} of their prediction{': ' + named if named else ''}. Statistics in "
        f"the outer {level_text(1 - level)} of replications: {words or 'none'}. {effect_sentence(fit, level)}"
    )


def prior_posterior_plot(
    fit: Fit, names: Sequence[str] | None = None, *, title: str | None = None, width_mm: float = 180.0
) -> Plot:
    """Draw the density of every quantity beside that of its prior.

    Parameters
    ----------
    fit : Fit
    names : sequence of str, optional
        Default: all that `bayesmeta.checking.overlap_table` has.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.checking.overlap_curves`.

    Examples
    --------
    >>> prior_posterior_plot(fit).table["quantity"].unique().tolist()
    ['mu', 'tau', 'theta_new']
    """
    width = check_width(width_mm)
    shared = overlap_table(fit).set_index("quantity")
    table = overlap_curves(fit, names)
    title = f"{title or name_of(fit)}: what the trials taught"
    with drawing():
        sheet = _draw_panels(fit, table, shared, title, width)
    return Plot(sheet.figure, table, _alt_learned(fit, table, shared, title), title)


def _verdict(row: pd.Series) -> str:
    if math.isnan(row["overlap"]):
        return "improper prior"
    return f"overlap {row['overlap']:.2f}: {row['verdict']}"


def _draw_panels(fit: Fit, table: pd.DataFrame, shared: pd.DataFrame, title: str, width: float) -> Sheet:
    names = list(dict.fromkeys(table["quantity"]))
    columns = max(1, min(len(names), int((width - 2 * MARGIN + _BETWEEN) // (_COLUMN + _BETWEEN)), 4))
    columns = max(columns, min(2, len(names)))
    panel = (width - 2 * MARGIN - _BETWEEN * (columns - 1)) / columns
    heads = [[*wrap(name, panel), *wrap(_verdict(shared.loc[name]), panel)] for name in names]
    deepest = max(len(lines) for lines in heads)
    step = LINE * deepest + _PANEL + _AXIS + 4.0
    entries = [
        Entry({"facecolor": DENSITY, "edgecolor": BAYES, "linewidth": 0.8}, "Posterior density"),
        Entry({"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.0}, "Prior density"),
    ]
    notes = [
        "Overlap: area below both curves. Learned a lot: below 0.35; prior-driven: above 0.85. Wide priors run on "
        "beyond the panel."
    ]
    head = [size_line(fit.effects)]
    top = head_height(title, head, width) + 2.0
    footer = top + step * math.ceil(len(names) / columns)
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    for number, name in enumerate(names):
        left = MARGIN + (number % columns) * (panel + _BETWEEN)
        y = top + (number // columns) * step
        for i, line in enumerate(heads[number]):
            first = i < len(wrap(name, panel))
            sheet.text(left, y + (i + 0.5) * LINE, line, weight="bold" if first else "normal")
        axes = sheet.axes(left + 0.5, y + LINE * deepest + 0.5, panel - 1.0, _PANEL, name)
        _draw_panel(axes, table[table["quantity"] == name], panel)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _draw_panel(axes: Axes, part: pd.DataFrame, length: float) -> None:
    x = part["x"].to_numpy(float)
    prior, posterior = part["prior"].to_numpy(float), part["posterior"].to_numpy(float)
    # densities that grow without bound at an end are cut there, not the picture flattened
    inner = slice(4, -4)
    peak = float(np.nanmax(posterior[inner]))
    if np.isfinite(prior).any():
        peak = max(peak, min(float(np.nanmax(prior[inner][np.isfinite(prior[inner])])), 3 * peak))
    axes.set_xlim(float(x.min()), float(x.max()))
    axes.set_ylim(0, 1.08 * peak)
    axes.fill_between(x, 0, posterior, color=DENSITY, linewidth=0, zorder=2)
    axes.plot(x, posterior, color=BAYES, linewidth=1.0, zorder=3, label="posterior")
    if np.isfinite(prior).any():
        axes.plot(x, prior, color=GREY, linestyle=(0, (4, 2)), linewidth=1.0, zorder=4, label="prior")
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.yaxis.set_visible(False)
    ticks(axes.xaxis, measure("generic"), float(x.min()), float(x.max()), length)


def _alt_learned(fit: Fit, table: pd.DataFrame, shared: pd.DataFrame, title: str) -> str:
    parts = [f"{name}: {_verdict(shared.loc[name])}" for name in dict.fromkeys(table["quantity"])]
    return (
        f"Prior and posterior densities of {title.partition(':')[0]}: {size_line(fit.effects)}. Overlap of each "
        f"posterior with its prior (1 is nothing learned): {'; '.join(parts)}. {effect_sentence(fit, LEVEL)}"
    )
