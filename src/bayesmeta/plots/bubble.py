"""Bubble plot: estimates against a numeric moderator, with the fitted line."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.moderators import contrast_table
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    DENSITY,
    INK,
    LINE,
    MARGIN,
    MM,
    SIZE,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    ticks,
    wrap,
)
from bayesmeta.plots.tables import bubble_table, limits_with
from bayesmeta.plots.wording import Numbers, axis_label, level_text, name_of, new_study, numbers_of, size_line

__all__ = ["bubble_plot"]

# millimetres
_HEIGHT, _NARROW_HEIGHT, _AXIS, _SCALE = 90.0, 65.0, 5.0, 14.0
_LARGEST, _SMALLEST = 5.0, 0.8


def bubble_plot(
    fit: Fit,
    moderator: str,
    *,
    level: float = LEVEL,
    x_label: str | None = None,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw estimates against a numeric moderator, with the mean effect and the effect in a new study along it.

    The line covers the range of the data only.

    Parameters
    ----------
    fit : Fit
        Moderated by ``moderator``.
    moderator : str
        A numeric one.
    x_label : str, optional
        Words for the moderator with its unit; default its name.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bubble_table`.

    Raises
    ------
    ModelError
        If the moderator is categorical or not in the fit; the message lists those that are.

    Examples
    --------
    >>> moderated = bm.fit(effects, bm.Model(model.mu, model.tau, {"weeks": bm.Normal(0, 0.25)}))
    >>> bubble_plot(moderated, "weeks").table["kind"].value_counts().to_dict()
    {'line': 41, 'estimate': 4}
    """
    width = check_width(width_mm)
    table = bubble_table(fit, moderator, level=level)
    words = x_label or moderator.replace("_", " ").capitalize()
    slope = _slope(fit, moderator, words, level)
    title = f"{title or name_of(fit)}: effect by {words[:1].lower() + words[1:]}"
    with drawing():
        sheet = _draw(fit, table, moderator, words, slope, title, level, width)
    return Plot(sheet.figure, table, _alt(fit, table, words, slope, title, level), title)


def _slope(fit: Fit, moderator: str, words: str, level: float) -> str:
    row = contrast_table(fit, level=level).set_index("moderator").loc[moderator].to_dict()
    numbers = numbers_of(fit.effects)
    # a slope needs one digit more than the effects it is added to
    form = Numbers(measure("generic"), numbers.digits + 1)
    what, scale = "Slope", ""
    if numbers.kind.log:
        form, what = numbers, "Ratio of effects"
    elif numbers.kind.transformed:
        scale = ", on the scale of the analysis"
    return (
        f"{what} per {fit.design.factors[moderator].per:g} ({words}{scale}): {form.value(row['median'])} "
        f"({level_text(level)} central credible interval {form.interval(row['lower'], row['upper'])}). "
        "A difference between trials, not within them."
    )


def _draw(
    fit: Fit, table: pd.DataFrame, moderator: str, words: str, slope: str, title: str, level: float, width: float
) -> Sheet:
    stated = level_text(level)
    head = [size_line(fit.effects)]
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
        entries.append(
            Entry(
                {"color": BAYES, "linewidth": 0.9, "linestyle": (0, (4, 2))},
                f"{stated} central prediction interval of the effect in a new study",
            )
        )
    notes = [slope, *new_study(fit)]
    others = [name for name in fit.design.factors if name != moderator]
    if others:
        notes.append(f"Averaged over the observed mix of {', '.join(others)}.")
    x_words = wrap(words, width - 2 * MARGIN - _SCALE)
    top = head_height(title, head, width) + 2.0
    height = _HEIGHT if width >= 140 else _NARROW_HEIGHT
    footer = top + height + _AXIS + LINE * len(x_words) + 2.0
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    left = MARGIN + _SCALE
    length = width - MARGIN - left - 2.0
    axes = sheet.axes(left, top, length, height, "bubble")
    _draw_bubbles(axes, fit, table, length)
    low, high = axes.get_xlim()
    ticks(axes.xaxis, measure("generic"), low, high, length)
    bottom, ceiling = axes.get_ylim()
    ticks(axes.yaxis, measure(fit.effects.measure), bottom, ceiling, height)
    for i, line in enumerate(x_words):
        sheet.text(left + 0.5 * length, top + height + _AXIS + (i + 0.5) * LINE, line, ha="center")
    sheet.text(MARGIN + 1.5, top + 0.5 * height, axis_label(fit.effects), rotation=90, ha="center")
    y = sheet.legend(footer, entries)
    sheet.notes(y, notes)
    return sheet


def _draw_bubbles(axes: Axes, fit: Fit, table: pd.DataFrame, length: float) -> None:
    dots, line = table[table["kind"] == "estimate"], table[table["kind"] == "line"]
    x = dots["x"].to_numpy(float)
    # half the largest bubble stays inside the axes at either end
    room = (x.max() - x.min()) * (0.5 * _LARGEST + 1.0) / (length - _LARGEST - 2.0)
    low, high = limits_with(fit.effects.measure, dots["y"], line["new_lower"], line["new_upper"])
    axes.set_xlim(x.min() - room, x.max() + room)
    axes.set_ylim(low, high)
    if not measure(fit.effects.measure).single_arm:
        axes.axhline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    axes.fill_between(line["x"], line["lower"], line["upper"], color=DENSITY, linewidth=0, zorder=2, label="credible")
    axes.plot(line["x"], line["median"], color=BAYES, linewidth=1.4, zorder=4, label="median")
    if fit.model.tau is not None:
        for name in ("new_lower", "new_upper"):
            axes.plot(line["x"], line[name], color=BAYES, linewidth=0.9, linestyle=(0, (4, 2)), zorder=3, label=name)
    weight = np.maximum(dots["weight"].to_numpy(float), 0.0)
    side = np.maximum(_LARGEST * np.sqrt(weight / weight.max()), _SMALLEST)
    axes.scatter(
        x,
        dots["y"],
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


def _alt(fit: Fit, table: pd.DataFrame, words: str, slope: str, title: str, level: float) -> str:
    numbers = numbers_of(fit.effects)
    line = table[table["kind"] == "line"]
    ends = []
    for item in (line.iloc[0], line.iloc[-1]):
        ends.append(
            f"at {item['x']:g} the mean effect is {numbers.value(item['median'])} ({item['interval']} "
            f"{numbers.interval(item['lower'], item['upper'])}; {level_text(level)} central prediction interval "
            f"{numbers.interval(item['new_lower'], item['new_upper'])})"
        )
    dots = table[table["kind"] == "estimate"]
    return (
        f"Bubble plot of {title}: {size_line(fit.effects)}, {words} from {dots['x'].min():g} to {dots['x'].max():g}. "
        f"{numbers.kind.axis}: {'; '.join(ends)}. {slope}"
    )
