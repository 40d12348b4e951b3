"""All subsets (GOSH): the mean effect against heterogeneity in every subset of the trials."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from bayesmeta.classical import Subsets, gosh, influence_table, pool
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plots.frame import WIDE, framed, pooled_only
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import BAYES, CLASSICAL, INK, Entry, Sheet, check_width, ticks
from bayesmeta.plots.wording import Numbers, axis_label, name_of, numbers_of, scale_of, size_line

__all__ = ["Spread", "gosh_plot"]

FloatArray = NDArray[np.float64]
Spread = Literal["i2", "tau"]

# up to this many subsets are points, more are counted in cells, so that a file stays small
_POINTS = 1500
_BINS = 40
# fewer points than this are drawn larger
_FEW = 150
# millimetres of the histograms, and their distance from the axes
_SIDE, _NARROW_SIDE, _GAP = 14.0, 9.0, 1.5
_WITH: dict[str, Any] = {"color": CLASSICAL, "linewidth": 1.2, "linestyle": (0, (4, 1.5))}
_WITHOUT: dict[str, Any] = {"color": BAYES, "linewidth": 1.0}


def gosh_plot(
    fit: Fit,
    subsets: Subsets | None = None,
    *,
    highlight: str | None = None,
    spread: Spread = "i2",
    max_subsets: int = 20_000,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the classical mean effect against heterogeneity in every subset of the trials, or in a sample of them.

    Two clouds apart say that the trial which divides them tells another story than the others.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    subsets : Subsets, optional
        From `bayesmeta.classical.gosh`; made (REML, the seed of the fit) where it is not given.
    highlight : str, optional
        A trial; subsets with it have a colour of their own. Default: the one with the largest Cook's distance.
    spread : {"i2", "tau"}
        The y axis.
    max_subsets : int
        With more subsets than this, a random sample of that many.
    level, title, width_mm
        As in `forest_plot`; ``level`` changes nothing here.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.classical.gosh_table` with a column ``highlighted``.

    Raises
    ------
    ModelError
        With fewer than two trials, for a fit with moderators, or a trial that there is not.

    References
    ----------
    Olkin I, Dahabreh IJ, Trikalinos TA. Res Synth Methods 2012;3:214-223. doi:10.1002/jrsm.1053

    Examples
    --------
    >>> plot = gosh_plot(fit)
    >>> len(plot.table), int(plot.table["highlighted"].sum())
    (15, 8)
    """
    pooled_only(fit, "a plot of all subsets")
    if spread not in get_args(Spread):
        raise ModelError(f"unknown spread {spread!r}. Allowed: {', '.join(get_args(Spread))}.")
    width = check_width(width_mm)
    found = subsets
    if found is None:
        found = gosh(fit.effects, max_subsets=max_subsets, seed=fit.seed, rho=fit.model.rho)
    chosen = _highlight(fit, found, highlight)
    table = found.table()
    inside = np.zeros(len(table), bool) if chosen is None else found.member[:, found.trials.index(chosen)]
    table["highlighted"] = inside
    title = f"{title or name_of(fit)}: every subset of trials"
    with drawing():
        sheet = _draw(fit, found, table, chosen, spread, title, width)
    return Plot(sheet.figure, table, _alt(fit, found, table, chosen, spread, title), title)


def _highlight(fit: Fit, subsets: Subsets, name: str | None) -> str | None:
    if name is not None:
        if name not in subsets.trials:
            raise ModelError(f"highlight = {name!r} is not a trial. Allowed: {', '.join(subsets.trials)}.")
        return name
    cook = influence_table(fit.effects, rho=fit.model.rho)["cook"].to_numpy(float)
    if np.isnan(cook).all():
        return None
    names, unit = fit.effects.units
    largest = names[int(unit[int(np.nanargmax(cook))])]
    return largest if largest in subsets.trials else None


def _whole(fit: Fit, subsets: Subsets) -> float | None:
    """The mean effect of all trials by the method of the subsets, which a sample need not hold."""
    try:
        return pool(fit.effects, method=subsets.method, rho=fit.model.rho).estimate
    except ModelError:
        return None


def _words(fit: Fit, spread: Spread) -> str:
    if spread == "i2":
        return "I\u00b2, percent"
    return f"tau ({scale_of(fit.effects) or measure(fit.effects.measure).axis})"


def _sampled(subsets: Subsets) -> str:
    size = len(subsets.estimate)
    if subsets.exhaustive:
        return f"All {size:,} subsets of the {len(subsets.trials)} trials"
    total = f"{subsets.total:,}" if subsets.total < 10**15 else f"{subsets.total:.2g}"
    return f"A random sample of {size:,} of {total} subsets of the {len(subsets.trials)} trials, seed {subsets.seed}"


def _draw(
    fit: Fit, subsets: Subsets, table: pd.DataFrame, chosen: str | None, spread: Spread, title: str, width: float
) -> Sheet:
    x, y = table["estimate"].to_numpy(float), table[spread].to_numpy(float)
    shown = np.isfinite(x) & np.isfinite(y)
    if not shown.any():
        raise ModelError("no subset of the trials has an estimate of heterogeneity to draw.")
    inside = table["highlighted"].to_numpy(bool)
    cells = int(shown.sum()) > _POINTS
    entries = []
    if chosen is not None:
        form = {"facecolor": CLASSICAL, "edgecolor": "none"} if cells else _dot(CLASSICAL, "D")
        entries.append(Entry(form, f"Subsets with {chosen}"))
    form = {"facecolor": BAYES, "edgecolor": "none"} if cells else _dot(BAYES, "o")
    entries.append(Entry(form, "Subsets without it" if chosen is not None else "Subsets"))
    whole = _whole(fit, subsets)
    if whole is not None:
        entries.append(Entry({"color": INK, "linewidth": 0.9, "linestyle": (0, (1, 1.2))}, "All trials"))
    notes = [f"Classical analysis, {subsets.method}. {_sampled(subsets)}."]
    if cells:
        notes.append("Darker cells hold more subsets; a cell with subsets of both kinds has a mixed colour.")
    if (~shown).any():
        notes.append(
            f"{int((~shown).sum())} subsets are not drawn, because one estimate says nothing of heterogeneity."
        )
    side = _SIDE if width >= WIDE else _NARROW_SIDE
    words = (axis_label(fit.effects), _words(fit, spread))
    panel = framed(
        "gosh",
        title,
        [size_line(fit.effects)],
        entries,
        notes,
        words,
        width,
        right=side + _GAP + 1.0,
        above=side + _GAP,
    )
    limits = _ends(x[shown]), _spread_ends(y[shown], spread)
    axes = panel.axes
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    groups = [(~inside & shown, _WITHOUT, BAYES, "without")]
    if chosen is not None:
        groups.append((inside & shown, _WITH, CLASSICAL, "with"))
    if cells:
        _cells(axes, x, y, [~inside & shown, inside & shown], limits)
    else:
        for group, _, color, name in groups:
            marker, size = "D" if name == "with" else "o", 2.2 if len(x) > _FEW else 4.0
            axes.plot(
                x[group],
                y[group],
                linestyle="none",
                marker=marker,
                markersize=size,
                markerfacecolor=color,
                markeredgewidth=0,
                alpha=0.6,
                zorder=3,
                label=name,
            )
    if limits[0][0] < 0.0 < limits[0][1]:
        axes.axvline(0.0, color=INK, linewidth=0.6, zorder=2, label="no effect")
    if whole is not None:
        axes.axvline(whole, color=INK, linewidth=0.9, linestyle=(0, (1, 1.2)), zorder=4, label="all trials")
    above = panel.sheet.axes(panel.left, panel.top - side - _GAP, panel.length, side, "estimates")
    beside = panel.sheet.axes(panel.left + panel.length + _GAP, panel.top, side, panel.height, "spread")
    for small, values, ends, across in ((above, x, limits[0], True), (beside, y, limits[1], False)):
        _histogram(small, values, ends, groups, across=across)
    ticks(axes.xaxis, measure(fit.effects.measure), *limits[0], panel.length)
    ticks(axes.yaxis, measure("generic"), *limits[1], panel.height)
    return panel.sheet


def _dot(color: str, marker: str) -> dict[str, Any]:
    return {"marker": marker, "markersize": 3.4, "markerfacecolor": color, "markeredgewidth": 0, "linestyle": "none"}


def _ends(x: FloatArray) -> tuple[float, float]:
    low, high = float(x.min()), float(x.max())
    room = 0.04 * (high - low) if high > low else 0.5 * max(abs(high), 1.0)
    return low - room, high + room


def _spread_ends(y: FloatArray, spread: Spread) -> tuple[float, float]:
    # many subsets have no heterogeneity at all: their points stand on the axis and are drawn whole
    high = 100.0 if spread == "i2" else max(1.05 * float(y.max()), 1e-12)
    return -0.02 * high, 1.02 * high


def _cells(
    axes: Axes,
    x: FloatArray,
    y: FloatArray,
    groups: list[NDArray[np.bool_]],
    limits: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    """Count subsets in cells; opacity is the logarithm of the number, hue the share with the highlighted trial."""
    size = (3 * _BINS, 2 * _BINS)
    counts = [np.histogram2d(x[group], y[group], bins=size, range=limits)[0] for group in groups]
    total = counts[0] + counts[1]
    share = np.divide(counts[1], total, out=np.zeros_like(total), where=total > 0)[..., None]
    colour = (1 - share) * np.array(to_rgb(BAYES)) + share * np.array(to_rgb(CLASSICAL))
    depth = np.log1p(total) / math.log1p(float(total.max()))
    alpha = np.where(total > 0, 0.15 + 0.85 * depth, 0.0)
    image = np.concatenate([colour, alpha[..., None]], axis=2).transpose(1, 0, 2)
    axes.imshow(
        image,
        extent=(*limits[0], *limits[1]),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        zorder=1,
        label="cells",
    )


def _histogram(
    axes: Axes,
    values: FloatArray,
    ends: tuple[float, float],
    groups: list[tuple[Any, dict[str, Any], str, str]],
    *,
    across: bool,
) -> None:
    """Draw one outline per group, on one axis of counts."""
    edges = np.linspace(*ends, _BINS + 1)
    tallest = 1.0
    for group, look, color, name in groups:
        counts, _ = np.histogram(values[group], bins=edges)
        tallest = max(tallest, float(counts.max()))
        outline = np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(counts, 2), [0.0]])
        place, height = outline if across else outline[::-1]
        axes.plot(place, height, label=name, zorder=3, **look)
        if name == "without":
            axes.fill(place, height, facecolor=color, alpha=0.25, linewidth=0, zorder=2)
    if across:
        axes.set_xlim(*ends)
        axes.set_ylim(0.0, 1.05 * tallest)
    else:
        axes.set_ylim(*ends)
        axes.set_xlim(0.0, 1.05 * tallest)
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(side == ("bottom" if across else "left"))


def _alt(fit: Fit, subsets: Subsets, table: pd.DataFrame, chosen: str | None, spread: Spread, title: str) -> str:
    numbers = numbers_of(fit.effects)
    second = Numbers(measure("generic"), 1 if spread == "i2" else numbers.digits)
    what = "I2 in percent" if spread == "i2" else "tau"
    parts = [
        f"Plot of subsets of {title.removesuffix(': every subset of trials')}: "
        f"{size_line(fit.effects)}. Classical analysis by "
        f"{subsets.method}. {_sampled(subsets)}.",
        _spoken(table, numbers, second, spread, what, "Over them"),
    ]
    if chosen is not None:
        for word, part in (("with", table[table["highlighted"]]), ("without", table[~table["highlighted"]])):
            parts.append(_spoken(part, numbers, second, spread, what, f"In the {len(part):,} subsets {word} {chosen}"))
    return " ".join(part for part in parts if part)


def _spoken(part: pd.DataFrame, numbers: Numbers, second: Numbers, spread: Spread, what: str, who: str) -> str:
    x, y = (part[name].dropna().to_numpy(float) for name in ("estimate", spread))
    if not x.size:
        return ""
    low, middle, high = np.quantile(x, [0.05, 0.5, 0.95])
    text = (
        f"{who} the median of the mean effect is {numbers.value(float(middle))}, nine tenths lie from "
        f"{numbers.interval(float(low), float(high))}"
    )
    if y.size:
        text += f", and the median of {what} is {second.value(float(np.median(y)))}"
    return f"{text}."
