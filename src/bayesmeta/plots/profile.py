"""Profiles: the effect at every combination of levels, with the trials behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesmeta.columns import percent
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.rows import PlotRows, Row
from bayesmeta.plots.sheet import BAYES, INK, THRESHOLD, Entry, Sheet, check_width, footer_height, head_height, ticks
from bayesmeta.plots.tables import limits_with, threshold_lines
from bayesmeta.plots.wording import axis_label, level_text, name_of, new_study, numbers_of, size_line
from bayesmeta.questions import NEW_TYPE, direction, profile_table, resolve_thresholds

__all__ = ["profile_plot"]

_NEW: dict[str, Any] = {"color": BAYES, "linewidth": 0.9, "linestyle": (0, (3, 1.5))}


def profile_plot(
    fit: Fit,
    moderators: Sequence[str] | None = None,
    *,
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the effect at every combination of levels; combinations without trials are hatched.

    Parameters
    ----------
    fit : Fit
        With categorical moderators.
    moderators : sequence of str, optional
        Default: all that are categorical.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.questions.profiles.profile_table`.

    Examples
    --------
    >>> profile_plot(bm.fit(effects, bm.Model(model.mu, model.tau, {"type": bm.Normal(0, 0.5)}))).title
    'Standardised mean difference: effect by type'
    """
    width = check_width(width_mm)
    table = profile_table(fit, moderators, threshold, level=level)
    names = list(table.columns[: table.columns.get_loc("k")])
    lines = threshold_lines(fit, resolve_thresholds(fit, threshold, primary=True))
    title = f"{title or name_of(fit)}: effect by {' and '.join(name.replace('_', ' ') for name in names)}"
    with drawing():
        sheet = _draw(fit, table, names, lines, title, level, width)
    return Plot(sheet.figure, table, _alt(fit, table, names, title, level), title)


def _draw(
    fit: Fit,
    table: pd.DataFrame,
    names: list[str],
    lines: list[tuple[str, float, bool]],
    title: str,
    level: float,
    width: float,
) -> Sheet:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    chance = next((name for name in ("p_important_benefit", "p_any_benefit") if name in table), None)
    word = "important benefit" if chance == "p_important_benefit" else "any benefit"
    headings = ["Trials", "People", f"Mean effect [{stated}]"]
    rows = []
    for item in table.to_dict("records"):
        people = f"{item['participants']:,.0f}" if np.isfinite(item["participants"]) else "?"
        cells = [str(item["trials"]), people, numbers.cell(item["median"], item["lower"], item["upper"])]
        if chance:
            cells += [percent(item[chance]), percent(item[f"{chance}_new"])]
        rows.append(Row(", ".join(str(item[name]) for name in names), tuple(cells), bool(item["extrapolated"])))
    if chance:
        headings += [f"P({word}), mean", f"P({word}), new study"]
    narrow = width < 140
    if narrow:
        # people and the interval in numbers leave room for the drawing
        keep = [0, *range(3, len(headings))]
        headings = [headings[i] for i in keep]
        rows = [Row(row.label, tuple(row.cells[i] for i in keep), row.hatched) for row in rows]
    block = PlotRows("profile", (_words(names), *headings), rows, axis_label(fit.effects), width)
    entries = [
        Entry(
            {"color": BAYES, "marker": "o", "markersize": 4, "linewidth": 1.8},
            f"Mean effect: posterior median, {stated} central credible interval",
        ),
    ]
    if fit.model.tau is not None:
        entries.append(Entry(_NEW, f"{stated} central prediction interval of a new study"))
    entries += [Entry(THRESHOLD[benefit], text) for text, _, benefit in lines]
    if table["extrapolated"].any():
        entries.append(
            Entry(
                {"facecolor": "white", "edgecolor": "#8A8A8A", "hatch": "//////", "linewidth": 0.3},
                "No trial: rests on the model",
            )
        )
    notes = _notes(fit, table, names)
    head = [size_line(fit.effects)]
    top = head_height(title, head, width) + 2.0
    footer = top + block.height + 1.5
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    axes = block.draw(sheet, top)
    _draw_cells(axes, fit, table, lines, block.length)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _words(names: list[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names).capitalize()


def _draw_cells(axes: Axes, fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]], length: float) -> None:
    new = fit.model.tau is not None
    shown = [table[name] for name in (("new_lower", "new_upper") if new else ("lower", "upper"))]
    low, high = limits_with(fit.effects.measure, *shown, [x for _, x, _ in lines])
    axes.set_xlim(low, high)
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for text, x, benefit in lines:
        axes.axvline(x, zorder=1, label=text, **THRESHOLD[benefit])
    for i, item in enumerate(table.to_dict("records")):
        if new:
            axes.plot([item["new_lower"], item["new_upper"]], [i, i], zorder=2, label=f"new study: {i}", **_NEW)
        axes.plot(
            [item["lower"], item["upper"]],
            [i, i],
            color=BAYES,
            linewidth=1.8,
            solid_capstyle="butt",
            zorder=3,
            label=f"interval: {i}",
        )
        face = "white" if item["extrapolated"] else BAYES
        axes.plot(
            [item["median"]],
            [i],
            marker="o",
            markersize=4,
            markerfacecolor=face,
            markeredgecolor=BAYES,
            markeredgewidth=1.0,
            linestyle="none",
            zorder=4,
            label=f"median: {i}",
        )
    ticks(axes.xaxis, measure(fit.effects.measure), low, high, length)


def _notes(fit: Fit, table: pd.DataFrame, names: list[str]) -> list[str]:
    notes = new_study(fit)
    others = [name for name in fit.design.factors if name not in names]
    if others:
        notes.append(f"Averaged over the observed mix of {', '.join(others)}.")
    real = table[~(table[names] == NEW_TYPE).any(axis=1)]
    if real["extrapolated"].any():
        crossed = any(":" in name for name in fit.model.beta)
        rest = "its prior fills what no trial tells" if crossed else "effects of levels are assumed to add up"
        notes.append(f"Where there is no trial, {rest}.")
    if len(real) < len(table):
        notes.append("A new type: one that no trial has studied, drawn from the same population as those that were.")
    if fit.model.cluster_tau is None:
        notes.append("Differences between rows are differences between trials, not within them.")
    else:
        notes.append("Differences between rows are between trials, and within those that stand in several of them.")
    return notes


def _alt(fit: Fit, table: pd.DataFrame, names: list[str], title: str, level: float) -> str:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    parts = [
        f"Profiles of {title}: {size_line(fit.effects)}. {numbers.kind.axis}, posterior median with {stated} central "
        "credible interval."
    ]
    for item in table.to_dict("records"):
        who = ", ".join(str(item[name]) for name in names)
        behind = "no trial, extrapolated" if item["extrapolated"] else f"{item['trials']} trials"
        text = f"{who} ({behind}): {numbers.value(item['median'])} ({numbers.interval(item['lower'], item['upper'])})"
        if "p_important_benefit" in item and fit.effects.better is not None:
            text += (
                f"; probability of important benefit {percent(item['p_important_benefit'])} for the mean, "
                f"{percent(item['p_important_benefit_new'])} in a new study"
            )
        parts.append(f"{text}.")
    if fit.effects.better is not None:
        parts.append(f"{'Higher' if direction(fit) > 0 else 'Lower'} is better.")
    return " ".join(parts)
