"""Contour-enhanced funnel plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import special

from bayesmeta.classical import FillEstimator
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure, require_null
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    INK,
    LINE,
    MARGIN,
    SIZE,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    ticks,
)
from bayesmeta.plots.tables import funnel_table, limits_with
from bayesmeta.plots.wording import axis_label, level_text, name_of, numbers_of, scale_of, size_line

__all__ = ["FEW", "funnel_plot"]

# fewer trials than this say nothing about asymmetry: Cochrane Handbook, section 13.3.5.4
FEW = 10
# two-sided p values between which the shades lie, from the null outwards
_P = (0.10, 0.05, 0.01)
_SHADES = ("#FFFFFF", "#C9C9C9", "#E1E1E1", "#F3F3F3")
_WORDS = ("p > 0.10", "p 0.05 to 0.10", "p 0.01 to 0.05", "p < 0.01")
_FILLED_MEAN: dict[str, Any] = {"color": CLASSICAL, "linewidth": 1.2, "linestyle": (0, (5, 1))}

# millimetres
_HEIGHT, _NARROW_HEIGHT, _AXIS, _SCALE = 90.0, 65.0, 5.0, 14.0


def funnel_plot(
    fit: Fit,
    *,
    fill: FillEstimator | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw estimates against their standard errors, over regions of significance around no effect.

    Parameters
    ----------
    fit : Fit
    fill : {"L0", "R0", "Q0"}, optional
        Add the trials that trim and fill would fill in, by this estimator of their number, and the mean with them.
    level : float
        Of the pseudo confidence limits ``mu +- z se`` around the posterior median of mu.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `funnel_table`. With fewer than ten trials the picture says that asymmetry cannot be
        judged.

    Raises
    ------
    ModelError
        Where ``fill`` is given and trim and fill is not defined for these data.

    References
    ----------
    Peters JL et al. J Clin Epidemiol 2008;61:991-996. doi:10.1016/j.jclinepi.2007.11.010. Duval S, Tweedie R.
    Biometrics 2000;56:455-463. doi:10.1111/j.0006-341X.2000.00455.x

    Examples
    --------
    >>> "cannot be judged" in funnel_plot(fit).alt
    True
    """
    require_null(fit.effects.measure, "the funnel plot with its shades around no effect")
    width = check_width(width_mm)
    table = funnel_table(fit, fill=fill, level=level)
    title = f"{title or name_of(fit)}: funnel plot"
    with drawing():
        sheet = _draw(fit, table, fill, title, level, width)
    return Plot(sheet.figure, table, _alt(fit, table, fill, title, level), title)


def _few(fit: Fit) -> list[str]:
    trials = fit.effects.n_trials
    if trials >= FEW:
        return []
    return [
        f"Asymmetry cannot be judged with fewer than {FEW} trials; there {'is' if trials == 1 else 'are'} {trials}."
    ]


def _filled(fit: Fit, table: pd.DataFrame, fill: FillEstimator | None) -> list[str]:
    if fill is None:
        return []
    k0, side = table.attrs["k0"], table.attrs["side"]
    notes = [f"{note[:1].upper()}{note[1:]}." for note in table.attrs["notes"]]
    if not k0:
        return [f"Trim and fill ({fill}) fills in no trial.", *notes]
    number = numbers_of(fit.effects)
    mean = table[table["kind"] == "filled mean"].iloc[0]
    return [
        f"Trim and fill ({fill}) fills in {k0} trial{'s' if k0 > 1 else ''} on the {side}; classical mean with "
        f"{'them' if k0 > 1 else 'it'}: {number.value(mean['y'])} ({mean['interval']} "
        f"{number.interval(mean['lower'], mean['upper'])}). Filled trials are mirror images and not data: a question "
        "about robustness, not a corrected answer.",
        *notes,
    ]


def _draw(fit: Fit, table: pd.DataFrame, fill: FillEstimator | None, title: str, level: float, width: float) -> Sheet:
    head = [size_line(fit.effects), *_few(fit)]
    stated = level_text(level)
    entries = [
        Entry({"color": INK, "marker": "o", "markersize": 3.6, "linestyle": "none"}, "Estimate"),
        Entry({"color": BAYES, "linewidth": 1.2}, "Bayesian mean effect (posterior median)"),
        Entry(
            {"color": BAYES, "linewidth": 0.9, "linestyle": (0, (4, 2))}, f"Pseudo {stated} confidence limits around it"
        ),
        *(
            [
                Entry(
                    {
                        "marker": "o",
                        "markersize": 4.0,
                        "markerfacecolor": "white",
                        "markeredgecolor": CLASSICAL,
                        "markeredgewidth": 1.0,
                        "linestyle": "none",
                    },
                    "Filled in by trim and fill",
                ),
                Entry(_FILLED_MEAN, "Classical mean with the filled trials (REML)"),
            ]
            if (table["kind"] == "filled").any()
            else []
        ),
        *(
            Entry({"facecolor": shade, "edgecolor": INK, "linewidth": 0.4}, words)
            for shade, words in zip(_SHADES, _WORDS, strict=True)
        ),
    ]
    notes = [
        "Shades: two-sided p value of an estimate against no effect. Small trials can differ for reasons other than "
        "missing studies.",
        *_filled(fit, table, fill),
    ]
    top = head_height(title, head, width) + 2.0
    height = _HEIGHT if width >= 140 else _NARROW_HEIGHT
    footer = top + height + _AXIS + LINE + 2.0
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    left = MARGIN + _SCALE
    length = width - MARGIN - left - 2.0
    axes = sheet.axes(left, top, length, height, "funnel")
    _draw_funnel(axes, fit, table, level)
    low, high = axes.get_xlim()
    ticks(axes.xaxis, measure(fit.effects.measure), low, high, length)
    ticks(axes.yaxis, measure("generic"), 0.0, float(axes.get_ylim()[0]), height)
    axes.tick_params(axis="y", labelsize=SIZE)
    sheet.text(left + 0.5 * length, top + height + _AXIS + 0.5 * LINE, axis_label(fit.effects), ha="center")
    scale = scale_of(fit.effects)
    sheet.text(
        MARGIN + 1.5, top + 0.5 * height, f"Standard error{f', {scale}' if scale else ''}", rotation=90, ha="center"
    )
    y = sheet.legend(footer, entries)
    sheet.notes(y, notes)
    return sheet


def _draw_funnel(axes: Axes, fit: Fit, table: pd.DataFrame, level: float) -> None:
    dots, filled = table[table["kind"] == "estimate"], table[table["kind"] == "filled"]
    mu = float(table.loc[table["kind"] == "mean", "y"].iloc[0])
    deepest = 1.06 * float(dots["se"].max())
    z = float(special.ndtri((1 + level) / 2))
    low, high = limits_with(fit.effects.measure, dots["y"], filled["y"], [mu - z * deepest, mu + z * deepest])
    axes.set_xlim(low, high)
    axes.set_ylim(deepest, 0.0)
    axes.set_facecolor(_SHADES[-1])
    # from the outermost region inwards, each laid over the last
    for p, shade in zip(_P[::-1], _SHADES[-2::-1], strict=True):
        reach = -float(special.ndtri(p / 2)) * deepest
        axes.fill([0.0, -reach, reach], [0.0, deepest, deepest], color=shade, linewidth=0, zorder=1, label=f"p = {p}")
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=2, label="no effect")
    axes.axvline(mu, color=BAYES, linewidth=1.2, zorder=3, label="mean")
    for side in (-1, 1):
        axes.plot(
            [mu, mu + side * z * deepest],
            [0.0, deepest],
            color=BAYES,
            linewidth=0.9,
            linestyle=(0, (4, 2)),
            zorder=3,
            label="pseudo limit",
        )
    axes.plot(
        dots["y"],
        dots["se"],
        linestyle="none",
        marker="o",
        markersize=3.6,
        markerfacecolor=INK,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=4,
        label="estimates",
    )
    if len(filled):
        mean = float(table.loc[table["kind"] == "filled mean", "y"].iloc[0])
        axes.axvline(mean, zorder=3, label="filled mean", **_FILLED_MEAN)
        axes.plot(
            filled["y"],
            filled["se"],
            linestyle="none",
            marker="o",
            markersize=4.0,
            markerfacecolor="white",
            markeredgecolor=CLASSICAL,
            markeredgewidth=1.0,
            zorder=5,
            label="filled",
        )
    for side_name in ("right", "top"):
        axes.spines[side_name].set_visible(False)


def _alt(fit: Fit, table: pd.DataFrame, fill: FillEstimator | None, title: str, level: float) -> str:
    numbers = numbers_of(fit.effects)
    dots = table[table["kind"] == "estimate"]
    mean = table[table["kind"] == "mean"].iloc[0]
    p = dots["p"].to_numpy(float)
    counts = [int((p >= 0.10).sum()), int(((p >= 0.05) & (p < 0.10)).sum()), int(((p >= 0.01) & (p < 0.05)).sum())]
    z = special.ndtri((1 + level) / 2)
    inside = int((np.abs(dots["y"] - mean["y"]) <= z * dots["se"]).sum())
    scale = scale_of(fit.effects)
    parts = [
        f"Contour-enhanced funnel plot of {title.removesuffix(': funnel plot')}: {size_line(fit.effects)}.",
        f"{numbers.kind.axis} against standard errors{f' ({scale})' if scale else ''} from {dots['se'].min():.2g} "
        f"to {dots['se'].max():.2g}, "
        f"around the Bayesian mean effect {numbers.value(mean['y'])} ({mean['interval']} "
        f"{numbers.interval(mean['lower'], mean['upper'])}).",
        f"{inside} of {len(dots)} estimates lie within the pseudo {level_text(level)} confidence limits.",
        f"Two-sided p of the estimates: {counts[0]} at least 0.10, {counts[1]} from 0.05 to 0.10, {counts[2]} from "
        f"0.01 to 0.05, {len(p) - sum(counts)} below 0.01.",
        *_filled(fit, table, fill),
        *_few(fit),
    ]
    return " ".join(parts)
