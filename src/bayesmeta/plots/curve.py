"""Dose-response: the effect along a numeric moderator, by a line, a smooth or a monotone curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from bayesmeta.columns import percent
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.model import Monotone, Spline
from bayesmeta.plan import Threshold
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    DENSITY,
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
    ticks,
    wrap,
)
from bayesmeta.plots.tables import limits_with, threshold_lines
from bayesmeta.plots.wording import axis_label, level_text, name_of, new_study, numbers_of, size_line
from bayesmeta.questions import curve_table, resolve_thresholds, study_weights

__all__ = ["curve_plot"]

# millimetres
_HEIGHT, _NARROW_HEIGHT, _AXIS, _SCALE = 90.0, 65.0, 5.0, 14.0
_LARGEST, _SMALLEST = 5.0, 0.8
_NEW: dict[str, Any] = {"color": BAYES, "linewidth": 0.9, "linestyle": (0, (4, 2))}


def curve_plot(
    fit: Fit,
    moderator: str,
    grid: ArrayLike | None = None,
    *,
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
    x_label: str | None = None,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the effect along a numeric moderator, over the estimates; values beyond the stated ones are hatched.

    Parameters
    ----------
    fit : Fit
    moderator : str
        A numeric one; trials that do not state it are not drawn.
    grid : array, optional
        As in `bayesmeta.questions.profiles.curve_table`.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    x_label : str, optional
        Words for the moderator with its unit; default its name.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.questions.profiles.curve_table`.

    Examples
    --------
    >>> moderated = bm.fit(effects, bm.Model(model.mu, model.tau, {"weeks": bm.Normal(0, 0.25)}))
    >>> len(curve_plot(moderated, "weeks").table)
    41
    """
    width = check_width(width_mm)
    table = curve_table(fit, moderator, grid, threshold=threshold, level=level).sort_values("x", ignore_index=True)
    words = x_label or moderator.replace("_", " ").capitalize()
    title = f"{title or name_of(fit)}: effect along {words[:1].lower() + words[1:]}"
    lines = threshold_lines(fit, resolve_thresholds(fit, threshold, primary=True))
    with drawing():
        sheet = _draw(fit, table, moderator, words, lines, title, level, width)
    return Plot(sheet.figure, table, _alt(fit, table, moderator, words, title, level), title)


def _form(fit: Fit, moderator: str) -> str:
    term = fit.model.beta[moderator]
    if isinstance(term, Spline):
        return f"Smooth curve: natural cubic spline with {fit.design.factors[moderator].width + 1} knots."
    return "Monotone curve: only rising or only falling." if isinstance(term, Monotone) else "Straight line."


def _draw(
    fit: Fit,
    table: pd.DataFrame,
    moderator: str,
    words: str,
    lines: list[tuple[str, float, bool]],
    title: str,
    level: float,
    width: float,
) -> Sheet:
    stated = level_text(level)
    entries = [
        Entry(
            {
                "marker": "o",
                "markersize": 5,
                "markerfacecolor": "#BDBDBD",
                "markeredgecolor": INK,
                "markeredgewidth": 0.6,
                "linestyle": "none",
            },
            "Reported estimate; area: weight",
        ),
        Entry({"color": BAYES, "linewidth": 1.4}, "Mean effect, posterior median"),
        Entry({"facecolor": DENSITY, "edgecolor": "none"}, f"{stated} central credible interval of the mean effect"),
    ]
    if fit.model.tau is not None:
        entries.append(Entry(_NEW, f"{stated} central prediction interval of the effect in a new study"))
    entries += [Entry(THRESHOLD[benefit], text) for text, _, benefit in lines]
    if table["beyond"].any():
        entries.append(
            Entry(
                {"facecolor": "white", "edgecolor": "#8A8A8A", "hatch": "//////", "linewidth": 0.3},
                "Beyond the stated values",
            )
        )
    notes = [f"{_form(fit, moderator)} Differences between trials, not within them.", *new_study(fit)]
    unknown = int(np.isnan(np.asarray(fit.effects.moderators[moderator], float)).sum())
    if unknown:
        notes.append(f"{unknown} of {fit.effects.k} estimates do not state the value; it is imputed, and not drawn.")
    others = [name for name in fit.design.factors if name != moderator]
    if others:
        notes.append(f"Averaged over the observed mix of {', '.join(others)}.")
    head = [size_line(fit.effects)]
    x_words = wrap(words, width - 2 * MARGIN - _SCALE)
    top = head_height(title, head, width) + 2.0
    height = _HEIGHT if width >= 140 else _NARROW_HEIGHT
    footer = top + height + _AXIS + LINE * len(x_words) + 2.0
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    left = MARGIN + _SCALE
    length = width - MARGIN - left - 2.0
    axes = sheet.axes(left, top, length, height, "curve")
    _draw_curve(axes, fit, table, moderator, lines, length)
    ticks(axes.xaxis, measure("generic"), *axes.get_xlim(), length)
    ticks(axes.yaxis, measure(fit.effects.measure), *axes.get_ylim(), height)
    for i, line in enumerate(x_words):
        sheet.text(left + 0.5 * length, top + height + _AXIS + (i + 0.5) * LINE, line, ha="center")
    sheet.text(MARGIN + 1.5, top + 0.5 * height, axis_label(fit.effects), rotation=90, ha="center")
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _draw_curve(
    axes: Axes, fit: Fit, table: pd.DataFrame, moderator: str, lines: list[tuple[str, float, bool]], length: float
) -> None:
    x = np.asarray(fit.effects.moderators[moderator], float)
    known = ~np.isnan(x)
    x, y = x[known], fit.effects.y[known]
    new = fit.model.tau is not None
    band = ("new_lower", "new_upper") if new else ("lower", "upper")
    ends = np.concatenate([x, table["x"].to_numpy(float)])
    # half the largest bubble stays inside the axes at either end
    room = np.ptp(ends) * (0.5 * _LARGEST + 1.0) / (length - _LARGEST - 2.0)
    low, high = limits_with(fit.effects.measure, y, *(table[name] for name in band), [place for _, place, _ in lines])
    axes.set_xlim(ends.min() - room, ends.max() + room)
    axes.set_ylim(low, high)
    axes.axhline(0.0, color=INK, linewidth=0.6, zorder=3, label="no effect")
    for text, place, benefit in lines:
        axes.axhline(place, zorder=3, label=text, **THRESHOLD[benefit])
    first, last = table.attrs["range"]
    for begin, end in ((ends.min() - room, first), (last, ends.max() + room)):
        if (table["x"] < first).any() if end == first else (table["x"] > last).any():
            axes.axvspan(
                begin,
                end,
                facecolor="none",
                edgecolor="#8A8A8A",
                hatch="////",
                linewidth=0,
                alpha=0.5,
                zorder=0,
                label="beyond",
            )
    at = table["x"].to_numpy(float)
    axes.fill_between(at, table["lower"], table["upper"], color=DENSITY, linewidth=0, zorder=2, label="credible")
    axes.plot(at, table["median"], color=BAYES, linewidth=1.4, zorder=4, label="median")
    if new:
        for name in band:
            axes.plot(at, table[name], zorder=3, label=name, **_NEW)
    weight = np.maximum(study_weights(fit)[known], 0.0)
    side = np.maximum(_LARGEST * np.sqrt(weight / weight.max()), _SMALLEST)
    axes.scatter(
        x,
        y,
        s=(side * 72 / MM) ** 2,
        facecolor="#BDBDBD",
        edgecolor=INK,
        linewidth=0.6,
        alpha=0.75,
        zorder=5,
        label="estimates",
    )
    for name in ("right", "top"):
        axes.spines[name].set_visible(False)
    axes.tick_params(labelsize=SIZE)


def _alt(fit: Fit, table: pd.DataFrame, moderator: str, words: str, title: str, level: float) -> str:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    inside = table[~table["beyond"]] if not table["beyond"].all() else table
    parts = []
    for item in (inside.iloc[i] for i in (0, len(inside) // 2, -1)):
        text = (
            f"at {item['x']:g} the mean effect is {numbers.value(item['median'])} ({stated} central credible interval "
            f"{numbers.interval(item['lower'], item['upper'])})"
        )
        if "p_important_benefit" in table:
            text += f", probability of important benefit {percent(item['p_important_benefit'])}"
        parts.append(text)
    return (
        f"Dose-response curve of {title}: {size_line(fit.effects)}, {words} from {table.attrs['range'][0]:g} to "
        f"{table.attrs['range'][1]:g}. {_form(fit, moderator)} {numbers.kind.axis}: {'; '.join(parts)}."
    )
