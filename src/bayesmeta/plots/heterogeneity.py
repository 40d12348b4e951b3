"""How much trials differ: tau, I2 and the effect in a new study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesmeta.classical import is_clustered
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    DENSITY,
    GREY,
    INK,
    LINE,
    MARGIN,
    THRESHOLD,
    Entry,
    Sheet,
    check_width,
    draw_area,
    draw_line,
    footer_height,
    head_height,
    ticks,
    wrap,
)
from bayesmeta.plots.tables import heterogeneity_curves, threshold_lines
from bayesmeta.plots.wording import (
    Numbers,
    axis_label,
    effect_sentence,
    level_text,
    name_of,
    new_study,
    numbers_of,
    scale_of,
    size_line,
    stated_thresholds,
)

__all__ = ["heterogeneity_plot"]

# millimetres
_PANEL, _BARS, _AXIS, _BETWEEN = 42.0, 9.0, 5.0, 8.0
# narrower pages stack the panels
_SIDE_BY_SIDE = 140.0
_PERCENT = Numbers(measure("generic"), 1)
_PANELS = ("tau", "i2", "theta_new")


def heterogeneity_plot(
    fit: Fit,
    *,
    thresholds: Threshold | float | Sequence[Threshold | float] | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the posterior of tau against its prior, that of I2, and the effect in a new study.

    Below each density stand intervals: Bayesian above, classical (REML with the Q-profile interval, or its prediction
    interval) below.

    Parameters
    ----------
    fit : Fit
        With a prior on tau.
    thresholds : Threshold, float or several of them, optional
        Marked on the effect in a new study. Default: the primary one of the fit's outcome.
    level, title, width_mm
        As in `forest_plot`; below 140 mm the panels stand above each other.

    Returns
    -------
    Plot
        ``table`` is that of `heterogeneity_curves`.

    Raises
    ------
    ModelError
        For a common-effect model.

    Examples
    --------
    >>> heterogeneity_plot(fit, title="Fatigue").title
    'Fatigue: heterogeneity'
    """
    width = check_width(width_mm)
    table = heterogeneity_curves(fit, level=level)
    chosen = stated_thresholds(fit, thresholds, primary=True)
    title = f"{title or name_of(fit)}: heterogeneity"
    with drawing():
        sheet = _draw(fit, table, threshold_lines(fit, chosen), title, level, width)
    return Plot(sheet.figure, table, _alt(fit, table, title, level), title)


def _labels(fit: Fit) -> dict[str, str]:
    kind = measure(fit.effects.measure)
    return {
        "tau": f"Between-study SD tau ({scale_of(fit.effects) or kind.axis})",
        "i2": "I\u00b2, percent",
        "theta_new": f"New study: {axis_label(fit.effects)}",
    }


def _draw(
    fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]], title: str, level: float, width: float
) -> Sheet:
    panels = [name for name in _PANELS if (table["panel"] == name).any()]
    head = [f"{size_line(fit.effects)}; prior of tau: {fit.model.tau!r}"]
    entries, notes = _legend(fit, table, lines, level), _notes(fit, table, panels)
    beside = width >= _SIDE_BY_SIDE
    number = len(panels) if beside else 1
    panel_width = (width - 2 * MARGIN - 4.0 - _BETWEEN * (number - 1)) / number
    labels = {name: wrap(text, panel_width) for name, text in _labels(fit).items() if name in panels}
    below = _AXIS + LINE * max(len(words) for words in labels.values())
    step = _PANEL + _BARS + below + 4.0
    top = head_height(title, head, width) + 3.0
    footer = top + step * (1 if beside else len(panels))
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    for i, name in enumerate(panels):
        left = MARGIN + 2.0 + (i * (panel_width + _BETWEEN) if beside else 0.0)
        y = top + (0.0 if beside else i * step)
        part = table[table["panel"] == name]
        axes = sheet.axes(left, y, panel_width, _PANEL + _BARS, name)
        _draw_panel(axes, part, panel_width, fit, lines if name == "theta_new" else [])
        for row, words in enumerate(labels[name]):
            at = y + _PANEL + _BARS + _AXIS + (row + 0.5) * LINE
            sheet.text(left + 0.5 * panel_width, at, words, ha="center")
    y = sheet.legend(footer, entries)
    sheet.notes(y, notes)
    return sheet


def _draw_panel(axes: Axes, part: pd.DataFrame, length: float, fit: Fit, lines: list[tuple[str, float, bool]]) -> None:
    name = str(part["panel"].iloc[0])
    posterior = part[part["kind"] == "posterior density"]
    prior = part[part["kind"] == "prior density"]
    x, y = posterior["x"].to_numpy(float), posterior["y"].to_numpy(float)
    summary = part[part["kind"] == "posterior"].iloc[0]
    shown = np.array([*x, *(place for _, place, _ in lines), *([0.0] if name == "theta_new" else [])])
    low, high = float(shown.min()), float(shown.max())
    if lines:
        # a threshold at the very edge would look like a frame
        low, high = low - 0.03 * (high - low), high + 0.03 * (high - low)
    limits = {"tau": (0.0, high), "i2": (0.0, 100.0)}.get(name, (low, high))
    ceiling = 1.08 * _peak(name, y)
    # bars stand below zero, on the same share of the height as their millimetres
    floor = -ceiling * _BARS / _PANEL
    axes.set_xlim(*limits)
    axes.set_ylim(floor, ceiling)
    draw_area(axes, x, y, color=DENSITY, linewidth=0, zorder=2)
    inside = (x >= summary["lower"]) & (x <= summary["upper"])
    draw_area(axes, x[inside], y[inside], color="#7FBDE3", linewidth=0, zorder=2)
    draw_line(axes, x, y, color=BAYES, linewidth=1.0, zorder=3, label=f"{name}: posterior density")
    if len(prior):
        draw_line(
            axes,
            prior["x"],
            prior["y"],
            color=GREY,
            linewidth=1.0,
            linestyle=(0, (4, 2)),
            zorder=3,
            label=f"{name}: prior density",
        )
    axes.axhline(0.0, color=INK, linewidth=0.5, zorder=3)
    _draw_bars(axes, part, limits, floor)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.yaxis.set_visible(False)
    kind = measure(fit.effects.measure)
    if name == "theta_new":
        if not kind.single_arm:
            axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1)
        for text, place, benefit in lines:
            axes.axvline(place, zorder=4, label=text, **THRESHOLD[benefit])
        ticks(axes.xaxis, kind, *limits, length)
    else:
        ticks(axes.xaxis, measure("generic"), *limits, length)


def _peak(name: str, y: np.ndarray) -> float:
    """Largest density shown: where it grows without bound at an end, that of the middle part."""
    if name == "i2":
        # both ends of I2 can be unbounded however smooth tau is
        middle = y[(len(y) // 25) : -(len(y) // 25)]
        return float(middle.max())
    start = float(y[len(y) // 50 :].max())
    return start * 1.15 if name == "tau" and y[0] > 1.15 * start else float(y.max())


def _draw_bars(axes: Axes, part: pd.DataFrame, limits: tuple[float, float], floor: float) -> None:
    looks = {
        "posterior": (0.25, BAYES, "o", "-"),
        "mean effect": (0.55, BAYES, "D", "-"),
        "classical": (0.85 if (part["kind"] == "mean effect").any() else 0.65, CLASSICAL, "s", (0, (5, 1))),
    }
    for item in part[part["estimate"].notna()].to_dict("records"):
        height, color, marker, style = looks[item["kind"]]
        y = height * floor
        label = f"{item['panel']}: {item['kind']}"
        # an upper limit that does not exist goes on beyond the axis; a lower one always exists with it
        upper = np.inf if np.isnan(item["upper"]) and not np.isnan(item["lower"]) else item["upper"]
        if not np.isnan(item["lower"]):
            shown = [item["lower"], min(upper, limits[1] + (limits[1] - limits[0]))]
            draw_line(
                axes,
                shown,
                [y, y],
                color=color,
                linewidth=1.4,
                linestyle=style,
                solid_capstyle="butt",
                zorder=4,
                label=f"{label} interval",
            )
        for beyond, x, arrow in ((item["lower"] < limits[0], limits[0], "<"), (upper > limits[1], limits[1], ">")):
            if beyond:
                draw_line(axes, [x], [y], marker=arrow, markersize=3.6, color=color, markeredgewidth=0, clip_on=False)
        face = "white" if item["kind"] == "classical" else color
        look: dict[str, Any] = {"markersize": 3.4, "markeredgecolor": color, "markeredgewidth": 0.9, "zorder": 5}
        draw_line(
            axes,
            [item["estimate"]],
            [y],
            marker=marker,
            markerfacecolor=face,
            linestyle="none",
            clip_on=False,
            label=f"{label} estimate",
            **look,
        )


def _legend(fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]], level: float) -> list[Entry]:
    stated = level_text(level)
    entries = [
        Entry(
            {"facecolor": "#7FBDE3", "edgecolor": BAYES, "linewidth": 0.8},
            f"Posterior density; darker: central {stated}",
        )
    ]
    if (table["kind"] == "prior density").any():
        entries.append(Entry({"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.0}, "Prior density of tau"))
    entries += [
        Entry(
            {"color": BAYES, "marker": "o", "markersize": 3.4, "linewidth": 1.4},
            f"Posterior median, {stated} central interval (credible for tau and I\u00b2, prediction for a new study)",
        ),
        Entry(
            {"color": BAYES, "marker": "D", "markersize": 3.4, "linewidth": 1.4},
            f"Bayesian mean effect, {stated} central credible interval",
        ),
    ]
    if (table["kind"] == "classical").any():
        entries.append(
            Entry(
                {
                    "color": CLASSICAL,
                    "marker": "s",
                    "markersize": 3.4,
                    "markerfacecolor": "white",
                    "linestyle": (0, (5, 1)),
                    "linewidth": 1.4,
                },
                "Classical: multilevel REML (tau), t(clusters - 1) prediction interval (new study)"
                if is_clustered(fit.effects)
                else f"Classical: REML, {stated} Q-profile interval (tau, I\u00b2); "
                "REML, HKSJ, t(k - 1) prediction interval (new study)",
            )
        )
    for name, _, benefit in lines:
        entries.append(Entry(THRESHOLD[benefit], name))
    return entries


def _notes(fit: Fit, table: pd.DataFrame, panels: list[str]) -> list[str]:
    notes = new_study(fit)
    if fit.model.tau is not None and not fit.model.tau.proper:
        notes.append("The prior of tau is improper and has no density to draw.")
    if "i2" not in panels:
        notes.append("I\u00b2 is not defined: there are no more estimates than coefficients.")
    elif _starts_high(table):
        notes.append("The density of I\u00b2 grows without bound towards zero, where that of tau is positive.")
    if not (table["kind"] == "classical").any():
        notes.append("Classical estimates are not defined for these data.")
    return notes


def _starts_high(table: pd.DataFrame) -> bool:
    y = table.loc[(table["panel"] == "i2") & (table["kind"] == "posterior density"), "y"].to_numpy(float)
    return bool(y[0] > _peak("i2", y))


def _alt(fit: Fit, table: pd.DataFrame, title: str, level: float) -> str:
    numbers = Numbers(measure("generic"), numbers_of(fit.effects).digits)
    parts = [f"Heterogeneity plot of {title.removesuffix(': heterogeneity')}: {size_line(fit.effects)}."]
    for panel, words, form in (("tau", "Between-study SD tau", numbers), ("i2", "I2 in percent", _PERCENT)):
        for item in table[(table["panel"] == panel) & table["estimate"].notna()].to_dict("records"):
            who = "posterior median" if item["kind"] == "posterior" else "classical REML"
            if np.isnan(item["lower"]):
                interval = "no Q-profile interval"
            elif np.isnan(item["upper"]):
                interval = f"{item['interval']} from {form.value(item['lower'])}, no upper limit"
            else:
                interval = f"{item['interval']} {form.interval(item['lower'], item['upper'])}"
            parts.append(f"{words}: {who} {form.value(item['estimate'])} ({interval}).")
    parts.append(f"Prior of tau: {fit.model.tau!r}.")
    parts.append(effect_sentence(fit, level))
    effects = numbers_of(fit.effects)
    for item in table[(table["panel"] == "theta_new") & (table["kind"] == "classical")].to_dict("records"):
        parts.append(f"Classical {item['interval']}: {effects.interval(item['lower'], item['upper'])}.")
    return " ".join(parts)
