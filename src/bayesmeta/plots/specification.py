"""Specification curve: the answer in every specification, and the choices that make each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.frame import WIDE, shorten, stretched_limits
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    GREY,
    INK,
    LINE,
    MARGIN,
    MM,
    SIZE,
    THRESHOLD,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    text_width,
    ticks,
    wrap,
)
from bayesmeta.plots.tables import threshold_lines
from bayesmeta.plots.wording import NEW_STUDY, axis_label, level_text, name_of, numbers_of, size_line
from bayesmeta.questions import resolve_thresholds
from bayesmeta.sensitivity import CHOICES, multiverse_table

__all__ = ["Target", "specification_plot"]

Target = Literal["mean effect", "new study"]

# millimetres
_CURVE, _NARROW_CURVE, _ROW, _SCALE, _BETWEEN = 58.0, 42.0, 3.3, 10.5, 2.5
# with more specifications than this the marks of choices become an image, so that a file stays small
_MANY = 700
# widest interval, and largest dot, in points
_THICK, _DOT = 1.1, 2.4
_EMPTY = "-"
# from Okabe & Ito's palette; every verdict also has a line of dots of its own below the curve
_COLOURS = {
    "important benefit": "#009E73",
    "benefit, perhaps important": "#56B4E9",
    "benefit, not important": "#0072B2",
    "benefit": "#0072B2",
    "above zero": "#0072B2",
    "below zero": "#D55E00",
    "not clear": "#8C8C8C",
    "harm": "#AA4499",
}
_NAMES = {
    "verdict": "Verdict",
    "engine": "Engine",
    "vtype": "Variance formula",
    "j": "Small-sample factor",
    "zero": "Zero cells",
    "correlation": "Pre-post correlation",
    "tau2_method": "Estimator of tau\u00b2",
    "interval": "Interval",
    "prediction": "Prediction",
    "tau_prior": "Prior of tau",
    "mu_prior": "Prior of the mean",
}
_LEVELS = {
    "wald": "Wald",
    "hksj": "HKSJ",
    "hksj_adhoc": "HKSJ, ad hoc",
    "t_km1": "t(k \u2212 1)",
    "hts_t_km2": "HTS, t(k \u2212 2)",
    "hkpr_t_km2": "HK, t(k \u2212 2)",
}


@dataclass(frozen=True, slots=True)
class _Line:
    """A line below the curve: a heading, or a level of a choice with its specifications."""

    text: str
    at: NDArray[np.intp] | None = None
    colour: str = INK


def specification_plot(
    fit: Fit,
    table: pd.DataFrame | None = None,
    *,
    target: Target = "mean effect",
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the estimate and interval of every specification, sorted, with the choices of each in dots below.

    Parameters
    ----------
    fit : Fit
        The main analysis.
    table : pandas.DataFrame, optional
        From `bayesmeta.sensitivity.multiverse_table`; made where it is not given.
    target : {"mean effect", "new study"}
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.sensitivity.multiverse_table` for the target, sorted by the estimate, with a
        column ``rank``.

    Raises
    ------
    ModelError
        For another target, or one that the table does not hold.

    References
    ----------
    Simonsohn U et al. Nat Hum Behav 2020;4:1208-1214. doi:10.1038/s41562-020-0912-z

    Examples
    --------
    >>> plot = specification_plot(fit)
    >>> bool(plot.table["estimate"].is_monotonic_increasing), int(plot.table["stated"].sum())
    (True, 1)
    """
    if target not in get_args(Target):
        raise ModelError(f"unknown target {target!r}. Allowed: {', '.join(get_args(Target))}.")
    width = check_width(width_mm)
    whole = multiverse_table(fit, threshold=threshold, level=level) if table is None else table
    part = whole[(whole["target"] == target) & whole["estimate"].notna()]
    if part.empty:
        raise ModelError(f"the table holds no specification for the {target}.")
    part = part.sort_values(["estimate", "lower"], kind="stable", ignore_index=True)
    part.insert(0, "rank", np.arange(1, len(part) + 1))
    part.attrs = dict(whole.attrs)
    lines = threshold_lines(fit, resolve_thresholds(fit, threshold, primary=True))
    title = f"{title or name_of(fit)}: {target} in {len(part)} specifications"
    with drawing():
        sheet = _draw(fit, part, lines, target, title, level, width)
    return Plot(sheet.figure, part, _alt(fit, part, target, title, level), title)


def _choices(table: pd.DataFrame) -> list[str]:
    known = [*table.attrs.get("data_choices", ()), *CHOICES[1:]]
    return ["engine", *(name for name in known if name in table)]


def _lines(table: pd.DataFrame) -> tuple[list[_Line], list[str]]:
    """Lines below the curve, and the choices that are the same everywhere."""
    lines: list[_Line] = []
    same: list[str] = []
    for name in ("verdict", *_choices(table)):
        values = table[name].astype(object).where(table[name].notna(), _EMPTY).astype(str)
        found = [value for value in dict.fromkeys(values) if value != _EMPTY]
        if name == "verdict":
            found = [value for value in _COLOURS if value in found]
        if len(found) < 2 and name != "verdict":
            if found:
                same.append(f"{_NAMES.get(name, name)}: {found[0]}")
            continue
        lines.append(_Line(_NAMES.get(name, name.replace("_", " ").capitalize())))
        for value in found:
            at = np.flatnonzero((values == value).to_numpy())
            lines.append(_Line(_LEVELS.get(value, value), at, _COLOURS[value] if name == "verdict" else INK))
    return lines, same


def _draw(
    fit: Fit,
    table: pd.DataFrame,
    thresholds: list[tuple[str, float, bool]],
    target: Target,
    title: str,
    level: float,
    width: float,
) -> Sheet:
    lines, same = _lines(table)
    stated = level_text(level)
    limits = _limits(fit, table, thresholds)
    shown = [line for line in thresholds if limits[0] <= line[1] <= limits[1]]
    kind = "central credible or confidence interval" if target == "mean effect" else "prediction interval"
    entries = [
        *(
            Entry(
                {"color": _COLOURS[item.text], "marker": "o", "markersize": 3.0, "linewidth": 1.2},
                f"{item.text.capitalize()}",
            )
            for item in lines[1:]
            if item.at is not None and item.text in _COLOURS
        ),
        *([Entry(_MAIN_LOOK, "The main Bayesian analysis")] if table["stated"].any() else []),
        *(Entry(THRESHOLD[benefit], text) for text, _, benefit in shown),
    ]
    notes = [
        f"One specification per column, sorted: estimate and {stated} {kind}; below, its choices. Specifications are "
        "not independent, and their number is no evidence.",
        *([NEW_STUDY] if target == "new study" else []),
    ]
    if ((table["lower"] < limits[0]) | (table["upper"] > limits[1])).any():
        notes.append("Intervals that reach the edge of the drawing go on beyond it.")
    if same:
        notes.append(f"The same everywhere: {'; '.join(same)}.")
    left_out = table.attrs.get("left_out", {})
    if left_out:
        notes.append(f"Not defined for these data: {', '.join(str(name) for name in left_out)}.")
    # room for the labels of choices on the left
    widest = max(text_width(line.text) for line in lines)
    left = MARGIN + max(min(widest + 3.5, 0.36 * width), LINE * 2 + _SCALE)
    length = width - MARGIN - left - 2.0
    head = [size_line(fit.effects)]
    top = head_height(title, head, width) + 2.0
    curve = _CURVE if width >= WIDE else _NARROW_CURVE
    matrix_top = top + curve + _BETWEEN
    footer = matrix_top + _ROW * len(lines) + 2.5
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    axes = sheet.axes(left, top, length, curve, "curve")
    _draw_curve(axes, table, limits, shown, length)
    ticks(axes.yaxis, measure(fit.effects.measure), *limits, curve)
    words = wrap(axis_label(fit.effects), curve)
    widest_tick = max((text_width(label.get_text()) for label in axes.get_yticklabels()), default=0.0)
    for i, line in enumerate(words):
        at = left - widest_tick - 3.0 - (len(words) - i - 0.5) * LINE
        sheet.text(at, top + 0.5 * curve, line, rotation=90, ha="center")
    matrix = sheet.axes(left, matrix_top, length, _ROW * len(lines), "choices")
    _draw_choices(matrix, table, lines, length)
    for i, item in enumerate(lines):
        y = matrix_top + (i + 0.5) * _ROW
        bold = "bold" if item.at is None else "normal"
        indent = 0.0 if item.at is None else 1.5
        sheet.text(MARGIN + indent, y, shorten(item.text, left - MARGIN - indent - 1.0), weight=bold)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


_MAIN_LOOK: dict[str, Any] = {"color": INK, "marker": "D", "markersize": 4.2, "linewidth": 1.6}


def _limits(fit: Fit, table: pd.DataFrame, thresholds: Sequence[tuple[str, float, bool]]) -> tuple[float, float]:
    main = table.loc[table["stated"], ["lower", "upper"]].to_numpy(float).ravel()
    usual = [float(table["lower"].quantile(0.1)), float(table["upper"].quantile(0.9))]
    core = [*table["estimate"], *main, *usual, *(x for _, x, benefit in thresholds if benefit)]
    return stretched_limits(fit.effects.measure, core, table[["lower", "upper"]].to_numpy(float), stretch=0.3)


def _draw_curve(
    axes: Axes,
    table: pd.DataFrame,
    limits: tuple[float, float],
    thresholds: Sequence[tuple[str, float, bool]],
    length: float,
) -> None:
    count = len(table)
    axes.set_xlim(0.0, count + 1.0)
    axes.set_ylim(*limits)
    # over the intervals, which would hide them
    axes.axhline(0.0, color=INK, linewidth=0.6, zorder=2.5, label="no effect")
    for text, y, benefit in thresholds:
        axes.axhline(y, zorder=2.5, label=text, **THRESHOLD[benefit])
    pitch = length / (count + 1) / MM * 72
    thick = float(np.clip(0.5 * pitch, 0.2, _THICK))
    span = limits[1] - limits[0]
    lower = table["lower"].clip(lower=limits[0] - span).to_numpy(float)
    upper = table["upper"].clip(upper=limits[1] + span).to_numpy(float)
    rank, estimate = table["rank"].to_numpy(float), table["estimate"].to_numpy(float)
    for verdict, colour in _COLOURS.items():
        which = (table["verdict"] == verdict).to_numpy()
        if not which.any():
            continue
        ends = np.column_stack([rank[which], lower[which], rank[which], upper[which]]).reshape(-1, 2, 2)
        lines = LineCollection(list(ends), colors=colour, linewidths=thick, zorder=2, label=f"intervals: {verdict}")
        lines.set_capstyle("butt")
        axes.add_collection(lines, autolim=False)
        size = float(np.clip(0.8 * pitch, 0.8, _DOT))
        axes.plot(
            rank[which],
            estimate[which],
            linestyle="none",
            marker="o",
            markersize=size,
            color=INK,
            markeredgewidth=0,
            zorder=3,
            label=f"estimates: {verdict}",
        )
    for item in table[table["stated"]].to_dict("records"):
        axes.plot(
            [item["rank"]] * 2,
            [max(item["lower"], limits[0] - span), min(item["upper"], limits[1] + span)],
            color=INK,
            linewidth=1.6,
            zorder=4,
            solid_capstyle="butt",
            label="main interval",
        )
        axes.plot(
            [item["rank"]],
            [item["estimate"]],
            marker="D",
            markersize=4.2,
            markerfacecolor="white",
            markeredgecolor=INK,
            markeredgewidth=1.1,
            linestyle="none",
            zorder=5,
            label="main",
        )
    axes.xaxis.set_visible(False)
    for side in ("right", "top", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=SIZE)


def _draw_choices(axes: Axes, table: pd.DataFrame, lines: Sequence[_Line], length: float) -> None:
    count = len(table)
    axes.set_xlim(0.0, count + 1.0)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_axis_off()
    rank = table["rank"].to_numpy(float)
    thick = float(np.clip(0.6 * length / (count + 1) / MM * 72, 0.25, 1.4))
    for i, item in enumerate(lines):
        if item.at is None:
            continue
        if i % 2:
            axes.axhspan(i - 0.5, i + 0.5, facecolor="#F2F2F2", linewidth=0, zorder=0)
        x = rank[item.at]
        ends = np.column_stack([x, np.full(x.size, i - 0.3), x, np.full(x.size, i + 0.3)]).reshape(-1, 2, 2)
        marks = LineCollection(
            list(ends),
            colors=item.colour,
            linewidths=thick,
            zorder=2,
            label=f"{i}: {item.text}",
            rasterized=count > _MANY,
        )
        marks.set_capstyle("butt")
        axes.add_collection(marks, autolim=False)
    for place in table.loc[table["stated"], "rank"]:
        axes.axvline(float(place), color=GREY, linewidth=0.5, linestyle=(0, (2, 1.5)), zorder=1, label="main analysis")


def _alt(fit: Fit, table: pd.DataFrame, target: Target, title: str, level: float) -> str:
    numbers, count = numbers_of(fit.effects), len(table)
    first, last = table.iloc[0], table.iloc[-1]
    parts = [
        f"Specification curve of {title}: {size_line(fit.effects)}. Estimates of the {target} range from "
        f"{numbers.value(first['estimate'])} ({_made(table, first)}) to {numbers.value(last['estimate'])} "
        f"({_made(table, last)}), with a median of {numbers.value(float(table['estimate'].median()))}.",
    ]
    seen = table["verdict"].value_counts()
    parts.append(
        f"Verdicts of the {level_text(level)} intervals: "
        + "; ".join(f"{name} in {number} of {count}" for name, number in seen.items())
        + "."
    )
    for engine, part in table.groupby("engine", sort=False):
        shares = part["verdict"].value_counts()
        parts.append(
            f"{str(engine).capitalize()}: {len(part)} specifications, estimates from "
            f"{numbers.interval(float(part['estimate'].min()), float(part['estimate'].max()))}, mostly "
            f"{shares.index[0]}."
        )
    for item in table[table["stated"]].to_dict("records"):
        parts.append(
            f"The main Bayesian analysis is number {item['rank']}: {numbers.value(item['estimate'])} "
            f"({numbers.interval(item['lower'], item['upper'])}), {item['verdict']}."
        )
    infinite = int((~np.isfinite(table[["lower", "upper"]].to_numpy(float))).any(axis=1).sum())
    if infinite:
        parts.append(f"{infinite} intervals have no finite end.")
    return " ".join(parts)


def _made(table: pd.DataFrame, row: Any) -> str:
    values = (row[name] for name in _choices(table))
    return ", ".join(str(v) for v in values if not (v == _EMPTY or (isinstance(v, float) and math.isnan(v))))
