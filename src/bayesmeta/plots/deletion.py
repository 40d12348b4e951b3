"""Fewer trials: the pooled answers without each trial, and as trials are added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesmeta.classical import check_words
from bayesmeta.columns import percent
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.checks import p_text
from bayesmeta.plots.frame import WIDE, bar, shorten, stretched_limits
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.rows import PlotRows, Row
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    DENSITY,
    INK,
    MARGIN,
    THRESHOLD,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    ticks,
)
from bayesmeta.plots.tables import pool_or_none, threshold_lines
from bayesmeta.plots.wording import (
    Numbers,
    axis_label,
    effect_sentence,
    hksj_notes,
    level_text,
    name_of,
    numbers_of,
    size_line,
)
from bayesmeta.questions import resolve_thresholds, summarize
from bayesmeta.sensitivity import cumulative_fits_table, leave_one_out

__all__ = ["cumulative_plot", "deletion_plot"]

ALL = "All trials"
_CLASSICAL: dict[str, Any] = {"color": CLASSICAL, "linewidth": 1.0, "linestyle": (0, (5, 1))}
# a left-out trial that its prediction holds to be this rare is marked
_RARE = 0.05


def deletion_plot(
    fit: Fit,
    table: pd.DataFrame | None = None,
    *,
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the mean effect without each trial, Bayesian and classical, against that of all trials.

    Parameters
    ----------
    fit : Fit
    table : pandas.DataFrame, optional
        From `bayesmeta.sensitivity.leave_one_out`; made where it is not given.
    threshold : Threshold or float, optional
        Drawn as lines. Default: the primary one of the fit's outcome.
    level, title, width_mm
        As in `forest_plot`; ``level`` is that of the table.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.sensitivity.leave_one_out` below a line for all trials.

    Examples
    --------
    >>> deletion_plot(fit).table["left_out"].tolist()
    ['All trials', 'A', 'B', 'C', 'D']
    """
    width = check_width(width_mm)
    part = leave_one_out(fit, level=level) if table is None else table
    part = part.reindex(columns=[*_full(fit, level), *(c for c in part.columns if c not in _full(fit, level))])
    whole = pd.concat([pd.DataFrame([{"left_out": ALL, **_full(fit, level), "note": ""}]), part], ignore_index=True)
    whole["note"] = whole["note"].astype(object).where(whole["note"].notna(), "")
    title = f"{title or name_of(fit)}: each trial left out"
    numbers, spread = numbers_of(fit.effects), Numbers(measure("generic"), numbers_of(fit.effects).digits)
    rows = []
    for item in whole.to_dict("records"):
        several = item["left_out"] != ALL and item.get("rows", 1) > 1
        label = f"{item['left_out']} ({item['rows']:.0f} rows)" if several else str(item["left_out"])
        chance = item.get("p_value", math.nan)
        p = "" if item["left_out"] == ALL else _or_dash(chance, p_text)
        rows.append(
            (label, (_mean(numbers, item), _or_dash(item["tau"], spread.value), p), bool(chance < _RARE))  # nan is not
        )
    heads = ("Trial left out", "Mean effect [CrI]", "tau", "Predictive p")
    notes = [
        "Predictive p: two-sided, of the left-out trial's estimate given the others; a diamond marks those below "
        f"{_RARE:g}."
    ]
    lines = _threshold_of(fit, threshold)
    with drawing():
        sheet = _draw(fit, whole, rows, heads, lines, notes, title, level, width)
    return Plot(sheet.figure, whole, _alt_deletion(fit, whole, title, level), title)


def cumulative_plot(
    fit: Fit,
    table: pd.DataFrame | None = None,
    *,
    order: Sequence[str] | None = None,
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the mean effect as trials are added one at a time, Bayesian and classical.

    Parameters
    ----------
    fit : Fit
    table : pandas.DataFrame, optional
        From `bayesmeta.sensitivity.cumulative_fits_table`; made where it is not given.
    order : sequence of str, optional
        Trials in the order they enter, where no table is given; default the order of the rows.
    threshold, level, title, width_mm
        As in `deletion_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.sensitivity.cumulative_fits_table`.

    Examples
    --------
    >>> plot = cumulative_plot(fit, order=["C", "A", "B", "D"])
    >>> plot.table["added"].tolist()
    ['C', 'A', 'B', 'D']
    """
    width = check_width(width_mm)
    whole = cumulative_fits_table(fit.effects, fit.model, order, level=level) if table is None else table.copy()
    whole = whole.reindex(columns=[*whole.columns, *(c for c in _full(fit, level) if c not in whole.columns)])
    whole["note"] = whole["note"].astype(object).where(whole["note"].notna(), "")
    title = f"{title or name_of(fit)}: trials added one at a time"
    numbers, spread = numbers_of(fit.effects), Numbers(measure("generic"), numbers_of(fit.effects).digits)
    sign = {"higher": 1, "lower": -1, None: 0}[fit.effects.better]
    rows = []
    for item in whole.to_dict("records"):
        below = item["p_below_null"]
        cells = [str(item["k"]), _mean(numbers, item), _or_dash(item["tau"], spread.value)]
        if sign:
            cells.append(_or_dash(1 - below if sign > 0 else below, percent))
        rows.append((f"+ {item['added']}", tuple(cells), False))
    heads = ("Trial added", "k", "Mean effect [CrI]", "tau", *(("P(any benefit)",) if sign else ()))
    notes = ["k: estimates so far. Repeated looks at accumulating data are shown, not corrected for."]
    with drawing():
        sheet = _draw(fit, whole, rows, heads, _threshold_of(fit, threshold), notes, title, level, width)
    return Plot(sheet.figure, whole, _alt_cumulative(fit, whole, title, level), title)


def _full(fit: Fit, level: float) -> dict[str, float]:
    """The answers of all trials, by the names of the tables."""
    table: Any = summarize(fit, level=level)
    classical = pool_or_none(fit, level) if not fit.model.beta else None
    nothing = math.nan
    return {
        **{name: float(table.loc["mu", of]) for name, of in (("mu", "median"), ("lower", "lower"), ("upper", "upper"))},
        "tau": float(table.loc["tau", "median"]) if "tau" in table.index else 0.0,
        "classical_estimate": nothing if classical is None else classical.estimate,
        "classical_lower": nothing if classical is None else classical.lower,
        "classical_upper": nothing if classical is None else classical.upper,
        "classical_tau": nothing if classical is None else math.sqrt(classical.tau2),
    }


def _threshold_of(fit: Fit, threshold: Threshold | float | None) -> list[tuple[str, float, bool]]:
    return threshold_lines(fit, resolve_thresholds(fit, threshold, primary=True))


def _or_dash(value: float, write: Any) -> str:
    return "\u2013" if math.isnan(value) else str(write(value))


def _mean(numbers: Numbers, item: dict[Any, Any]) -> str:
    return "\u2013" if math.isnan(item["mu"]) else numbers.cell(item["mu"], item["lower"], item["upper"])


def _draw(
    fit: Fit,
    table: pd.DataFrame,
    rows: Sequence[tuple[str, tuple[str, ...], bool]],
    heads: tuple[str, ...],
    lines: list[tuple[str, float, bool]],
    notes: list[str],
    title: str,
    level: float,
    width: float,
) -> Sheet:
    stated, full = level_text(level), _full(fit, level)
    keep = list(range(len(heads) - 1))
    if width < WIDE:
        # the interval in numbers leaves room for the drawing
        keep = [i for i in keep if not heads[i + 1].startswith("Mean")]
    heads = (heads[0], *(heads[i + 1] for i in keep))
    listed = [Row(shorten(text, width - 2 * MARGIN), tuple(cells[i] for i in keep)) for text, cells, _ in rows]
    block = PlotRows("deletion", heads, listed, axis_label(fit.effects), width)
    limits = _limits(fit, table, full, lines)
    # a threshold of harm far from every answer would squeeze them
    lines = [line for line in lines if limits[0] <= line[1] <= limits[1]]
    words = check_words(fit.effects)
    entries = [
        Entry(
            {"color": BAYES, "marker": "o", "markersize": 3.6, "linewidth": 1.4},
            f"Bayesian mean effect: posterior median, {stated} central credible interval (CrI)",
        ),
        Entry(
            {"marker": "s", "markersize": 3.2, "markerfacecolor": "white", "markeredgewidth": 0.9, **_CLASSICAL},
            f"Classical mean: {words.model}, {stated} {words.interval} confidence interval",
        ),
        Entry({"facecolor": DENSITY, "edgecolor": BAYES, "linewidth": 0.6}, "Bayesian mean effect of all trials"),
        *(Entry(THRESHOLD[benefit], text) for text, _, benefit in lines),
    ]
    ends = table[["lower", "upper", "classical_lower", "classical_upper"]].to_numpy(float)
    notes = list(notes)
    if (ends < limits[0]).any() or (ends > limits[1]).any():
        notes.append("An arrowhead marks an interval that goes on beyond the axis.")
    notes += [f"{row[0]}: {note}" for row, note in zip(rows, table["note"], strict=True) if note]
    missing = table["classical_estimate"].isna() & (table["note"] == "")
    if missing.any():
        notes.append("Where no classical mean is drawn, there are too few estimates for one.")
    notes += hksj_notes(fit, level)
    head = [size_line(fit.effects)]
    top = head_height(title, head, width) + 2.0
    footer = top + block.height + 1.5
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    axes = block.draw(sheet, top)
    axes.set_xlim(*limits)
    axes.axvspan(full["lower"], full["upper"], facecolor=DENSITY, alpha=0.45, linewidth=0, zorder=0, label="all trials")
    axes.axvline(full["mu"], color=BAYES, linewidth=0.7, zorder=1, label="mean of all trials")
    if not measure(fit.effects.measure).single_arm:
        axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for text, x, benefit in lines:
        axes.axvline(x, zorder=1, label=text, **THRESHOLD[benefit])
    apart = 0.18 if block.beside else 0.11
    for i, (item, row) in enumerate(zip(table.to_dict("records"), rows, strict=True)):
        _draw_row(axes, item, i, apart, limits, row[2])
    ticks(axes.xaxis, measure(fit.effects.measure), *limits, block.length)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _limits(
    fit: Fit, table: pd.DataFrame, full: dict[str, float], lines: list[tuple[str, float, bool]]
) -> tuple[float, float]:
    centres = table[["mu", "classical_estimate"]].to_numpy(float).ravel()
    # the middle of the intervals: one trial alone, first in the order, can have a very wide one
    ends = [np.nanmedian(table["lower"]), np.nanmedian(table["upper"])]
    core = [*centres, *ends, full["lower"], full["upper"], *(x for _, x, benefit in lines if benefit)]
    every = table[["lower", "upper", "classical_lower", "classical_upper"]].to_numpy(float)
    return stretched_limits(fit.effects.measure, core, every)


def _draw_row(
    axes: Axes, item: dict[Any, Any], i: int, apart: float, limits: tuple[float, float], marked: bool
) -> None:
    bar(axes, (item["lower"], item["upper"]), i - apart, limits, f"interval: {i}", color=BAYES, linewidth=1.4)
    axes.plot(
        [item["mu"]],
        [i - apart],
        marker="D" if marked else "o",
        markersize=4.2 if marked else 3.6,
        color=BAYES,
        linestyle="none",
        zorder=5,
        label=f"median: {i}",
    )
    bar(
        axes,
        (item["classical_lower"], item["classical_upper"]),
        i + apart,
        limits,
        f"classical interval: {i}",
        **_CLASSICAL,
    )
    axes.plot(
        [item["classical_estimate"]],
        [i + apart],
        marker="s",
        markersize=3.2,
        markerfacecolor="white",
        markeredgecolor=CLASSICAL,
        markeredgewidth=0.9,
        linestyle="none",
        zorder=5,
        label=f"classical estimate: {i}",
    )


def _extremes(numbers: Numbers, table: pd.DataFrame, column: str, word: str, names: str) -> str:
    known = table[table[column].notna()].sort_values(column, kind="stable")
    low, high = known.iloc[0], known.iloc[-1]
    return f"{numbers.value(low[column])} ({word} {low[names]}) to {numbers.value(high[column])} ({word} {high[names]})"


def _alt_deletion(fit: Fit, table: pd.DataFrame, title: str, level: float) -> str:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    rest = table.iloc[1:]
    parts = [
        f"Leave-one-out plot of {title.removesuffix(': each trial left out')}: {size_line(fit.effects)}.",
        effect_sentence(fit, level),
    ]
    done = rest[rest["mu"].notna()]
    if len(done):
        spread = Numbers(measure("generic"), numbers.digits)
        crossing = int(((done["lower"] < 0) & (done["upper"] > 0)).sum())
        parts += [
            f"With one trial left out the Bayesian mean effect ranges from "
            f"{_extremes(numbers, done, 'mu', 'without', 'left_out')}; the {stated} central credible interval includes "
            f"no effect in {crossing} of {len(done)} analyses.",
            f"tau ranges from {_extremes(spread, done, 'tau', 'without', 'left_out')}.",
        ]
    if rest["classical_estimate"].notna().any():
        parts.append(
            "The classical mean (REML) ranges from "
            f"{_extremes(numbers, rest, 'classical_estimate', 'without', 'left_out')}."
        )
    rare = rest[rest["p_value"] < _RARE] if "p_value" in rest else rest.iloc[:0]
    named = [f"{item['left_out']} ({p_text(item['p_value'])})" for item in rare.to_dict("records")]
    parts.append(
        f"Trials that the others predict badly, with their two-sided predictive p: {', '.join(named)}."
        if named
        else f"No left-out trial has a predictive p below {_RARE:g}."
    )
    parts += hksj_notes(fit, level)
    parts += [f"{item['left_out']}: {item['note']}" for item in rest.to_dict("records") if item["note"]]
    return " ".join(parts)


def _count(k: int) -> str:
    return f"{k} estimate{'s' if k > 1 else ''}"


def _alt_cumulative(fit: Fit, table: pd.DataFrame, title: str, level: float) -> str:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    parts = [
        f"Cumulative plot of {title.removesuffix(': trials added one at a time')}: "
        f"{size_line(fit.effects)}, in the order of entry."
    ]
    done = table[table["mu"].notna()]
    if len(done):
        chosen = sorted({0, len(done) // 4, len(done) // 2, 3 * len(done) // 4, len(done) - 1})
        steps = [
            f"{_count(item['k'])} (up to {item['added']}) {numbers.value(item['mu'])} "
            f"({numbers.interval(item['lower'], item['upper'])})"
            for item in done.iloc[chosen].to_dict("records")
        ]
        parts.append(f"Bayesian mean effect with {stated} central credible interval after {'; '.join(steps)}.")
        clear = ((done["lower"] > 0) | (done["upper"] < 0)).to_numpy()
        if clear[-1]:
            # from the last line that still included no effect
            unclear = np.flatnonzero(~clear)
            first = done.iloc[int(unclear[-1]) + 1 if unclear.size else 0]
            parts.append(f"The interval excludes no effect from {first['added']} on ({_count(first['k'])}).")
        else:
            parts.append("With all of them the interval includes no effect.")
    last, words = table.iloc[-1], check_words(fit.effects)
    if not math.isnan(last["classical_estimate"]):
        parts.append(
            f"Classical mean ({words.model}) of all: {numbers.value(last['classical_estimate'])} ({stated} "
            f"{words.interval} confidence interval "
            f"{numbers.interval(last['classical_lower'], last['classical_upper'])})."
        )
    parts += hksj_notes(fit, level)
    parts += [f"{item['added']}: {item['note']}" for item in table.to_dict("records") if item["note"]]
    return " ".join(parts)
