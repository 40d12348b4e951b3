"""Radial (Galbraith) plot: standardised estimates against precision; effects are slopes."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical import check_words
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.measures import measure, require_null
from bayesmeta.plots.frame import Box, Panel, framed, name_points, pooled_only
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    DENSITY,
    INK,
    LINE,
    Entry,
    check_width,
    text_width,
    tick_labels,
    tick_positions,
    ticks,
)
from bayesmeta.plots.tables import pool_or_none
from bayesmeta.plots.wording import axis_label, hksj_notes, level_text, name_of, numbers_of, scale_of, size_line
from bayesmeta.questions import predict

__all__ = ["RadialScale", "radial_plot", "radial_table"]

FloatArray = NDArray[np.float64]
RadialScale = Literal["se", "total"]
_ARC = 0.97


def radial_table(fit: Fit, *, scale: RadialScale = "se", level: float = LEVEL) -> pd.DataFrame:
    """Estimates as points whose slope from the origin is the effect.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    scale : {"se", "total"}
        ``x = 1 / se``, or ``x = 1 / sqrt(se^2 + tau^2)`` with the posterior median of tau.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``kind label x z effect lower upper outside``: one row of kind ``estimate`` per estimate, with
        ``z = x effect`` and whether it lies outside the band around the Bayesian mean; then ``mean`` and, where these
        data define it, ``classical mean``, whose ``effect`` is a slope.

    Raises
    ------
    ModelError
        For an unknown scale, or a fit with moderators.

    Examples
    --------
    >>> radial_table(fit)[["x", "z"]].iloc[:2].values.tolist()
    [[5.0, -2.0], [10.0, -1.0]]
    """
    pooled_only(fit, "a radial plot")
    if scale not in get_args(RadialScale):
        raise ModelError(f"unknown scale {scale!r}. Allowed: {', '.join(get_args(RadialScale))}.")
    effects = fit.effects
    tau = 0.0 if scale == "se" or fit.model.tau is None else float(marginal(fit, "tau").quantile(0.5))
    x = 1 / np.sqrt(effects.se**2 + tau**2)
    mu: dict[Any, Any] = predict(fit, level=level).loc["mu"].to_dict()
    half = float(special.ndtri((1 + level) / 2))
    frame = pd.DataFrame(
        {
            "kind": "estimate",
            "label": effects.label,
            "x": x,
            "z": x * effects.y,
            "effect": effects.y,
            "lower": effects.y - half / x,
            "upper": effects.y + half / x,
            "outside": np.abs(x * (effects.y - mu["median"])) > half,
        }
    )
    rows = [("mean", "Bayesian mean effect", mu["median"], mu["lower"], mu["upper"])]
    classical, words = pool_or_none(fit, level), check_words(fit.effects)
    if classical is not None:
        rows.append(
            (
                "classical mean",
                f"Classical mean ({words.model}, {words.interval})",
                classical.estimate,
                classical.lower,
                classical.upper,
            )
        )
    for kind, label, effect, lower, upper in rows:
        frame.loc[len(frame)] = {
            "kind": kind,
            "label": label,
            "x": math.nan,
            "z": math.nan,
            "effect": effect,
            "lower": lower,
            "upper": upper,
            "outside": False,
        }
    return frame


def radial_plot(
    fit: Fit,
    *,
    scale: RadialScale = "se",
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw standardised estimates against their precision; the slope from the origin to a point is its effect.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    scale : {"se", "total"}
        As in `radial_table`: with ``"total"`` points spread as far as the model with heterogeneity says.
    level : float
        Of the band of that many standard errors around the slope of the Bayesian mean.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `radial_table`.

    Raises
    ------
    ModelError
        For a fit with moderators, or another scale.

    References
    ----------
    Galbraith RF. Stat Med 1988;7:889-894. doi:10.1002/sim.4780070807

    Examples
    --------
    >>> radial_plot(fit).title
    'Standardised mean difference: radial plot'
    """
    require_null(fit.effects.measure, "the radial plot")
    width = check_width(width_mm)
    table = radial_table(fit, scale=scale, level=level)
    title = f"{title or name_of(fit)}: radial plot"
    with drawing():
        panel = _draw(fit, table, scale, title, level, width)
    return Plot(panel.sheet.figure, table, _alt(fit, table, scale, title, level), title)


def _draw(fit: Fit, table: pd.DataFrame, scale: RadialScale, title: str, level: float, width: float) -> Panel:
    dots = table[table["kind"] == "estimate"]
    half = float(special.ndtri((1 + level) / 2))
    slope = float(table.loc[table["kind"] == "mean", "effect"].iloc[0])
    classical = table.loc[table["kind"] == "classical mean", "effect"]
    entries = [
        Entry({"color": INK, "marker": "o", "markersize": 3.6, "linestyle": "none"}, "Estimate"),
        Entry({"color": BAYES, "linewidth": 1.2}, "Slope: Bayesian mean effect (posterior median)"),
        Entry(
            {"facecolor": DENSITY, "edgecolor": "none"},
            f"Within {half:.2f} of it: {level_text(level)} of estimates "
            + ("if trials did not differ" if scale == "se" else "under the model"),
        ),
    ]
    if len(classical):
        entries.append(
            Entry({"color": CLASSICAL, "linewidth": 1.0, "linestyle": (0, (5, 1))}, "Slope: classical mean (REML)")
        )
    root = "1 / SE" if scale == "se" else "1 / \u221a(SE\u00b2 + tau\u00b2), tau its posterior median"
    on = scale_of(fit.effects)
    words = (f"Precision {root}{f'; SE on the {on}' if on else ''}", "Standardised estimate, effect \u00d7 precision")
    notes = [
        f"Axis at the right: {axis_label(fit.effects)}; a line from the origin through a point ends at its effect."
    ]
    effects, places = _effects(fit, table)
    labels = tick_labels(effects)
    right = max(text_width(text) for text in labels) + 4.0
    panel = framed("radial", title, [size_line(fit.effects)], entries, notes, words, width, right=right)
    axes = panel.axes
    x, z = dots["x"].to_numpy(float), dots["z"].to_numpy(float)
    ends = np.array([*z, slope * x.max(), half, -half, slope * x.max() + half, slope * x.max() - half])
    low, high = float(ends.min()), float(ends.max())
    room = 0.06 * (high - low)
    low, high = low - room, high + room
    # the arc is a circle in millimetres; steep points on a narrow page would lie outside it
    steepest = float(np.abs(z).max()) / (high - low) * panel.height
    extra = max(steepest / (0.8 * panel.length) - 1.0, 0.0) * (high - low)
    low, high = low - 0.5 * extra, high + 0.5 * extra
    down = z / (high - low) * panel.height / panel.length
    far = float(np.max(1.12 * x / np.sqrt(1.0 - (down / 0.92) ** 2)))
    axes.set_xlim(0.0, far / _ARC)
    axes.set_ylim(low, high)
    axes.axhline(0.0, color=INK, linewidth=0.5, zorder=1, label="no effect")
    corners = [(0.0, -half), (far, slope * far - half), (far, slope * far + half), (0.0, half)]
    band = Polygon(corners, closed=True, facecolor=DENSITY, alpha=0.6, linewidth=0, zorder=0, label="band")
    axes.add_patch(band)
    for value, look, name in (
        (slope, {"color": BAYES, "linewidth": 1.2}, "mean"),
        *(
            (float(item), {"color": CLASSICAL, "linewidth": 1.0, "linestyle": (0, (5, 1))}, "classical mean")
            for item in classical
        ),
    ):
        end = _on_arc(panel, value, far)
        axes.plot([0.0, end], [0.0, value * end], zorder=3, label=name, **look)  # type: ignore[arg-type]
    axes.plot(
        x,
        z,
        linestyle="none",
        marker="o",
        markersize=3.6,
        markerfacecolor=INK,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=4,
        label="estimates",
    )
    written, region = _arc(panel, places, labels, far)
    band.set_clip_path(region)
    ticks(axes.xaxis, measure("generic"), *axes.get_xlim(), panel.length)
    ticks(axes.yaxis, measure("generic"), *axes.get_ylim(), panel.height)
    outside = dots[dots["outside"]]
    first = np.argsort(-np.abs((outside["z"] - slope * outside["x"]).to_numpy(float)), kind="stable")[:6]
    named = outside.iloc[first]
    # names keep off the lines too
    along = np.linspace(0.0, far, 60)
    others = (np.concatenate([x, along, along]), np.concatenate([z, slope * along, 0.0 * along]))
    name_points(
        panel, named["x"], named["z"], named["label"].astype(str).tolist(), others=others, radius=0.7, avoid=written
    )
    return panel


def _scales(panel: Panel) -> tuple[float, float]:
    """Millimetres per unit of precision and per standard error."""
    (x0, x1), (z0, z1) = panel.axes.get_xlim(), panel.axes.get_ylim()
    return panel.length / (x1 - x0), panel.height / (z1 - z0)


def _on_arc(panel: Panel, effect: float, far: float) -> float:
    """Precision at which the line of an effect meets the arc."""
    per_x, per_z = _scales(panel)
    return far * math.cos(math.atan2(effect * per_z, per_x))


def _effects(fit: Fit, table: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Round effects for the arc, on the natural scale and on that of the analysis."""
    kind = measure(fit.effects.measure)
    values = np.append(table["effect"].to_numpy(float), 0.0)
    natural = tick_positions(kind, float(values.min()), float(values.max()), 9)
    if natural.size < 2:
        low, high = float(values.min()), float(values.max())
        natural = np.asarray(kind.back(np.array([low, high] if high > low else [low - 1.0, 0.0, low + 1.0])), float)
    return natural, np.asarray(kind.transform(natural), float)


def _arc(panel: Panel, places: FloatArray, labels: list[str], far: float) -> tuple[list[Box], Polygon]:
    """Draw the axis of effects: an arc about the origin in millimetres, a tick and a number per effect.

    Returns where the numbers stand, and the region on the left of the arc.
    """
    (x0,), (y0,) = (values.tolist() for values in panel.place([0.0], [0.0]))
    per_x, per_z = _scales(panel)
    radius = far * per_x
    # angles at which the arc is inside the axes
    highest = math.asin(float(np.clip((y0 - panel.top) / radius, -1, 1)))
    lowest = math.asin(float(np.clip((y0 - panel.top - panel.height) / radius, -1, 1)))
    angle = np.linspace(lowest, highest, 181)
    overlay = panel.sheet.overlay
    outline = np.column_stack([x0 + radius * np.cos(angle), y0 - radius * np.sin(angle)])
    overlay.add_line(Line2D(outline[:, 0], outline[:, 1], color=INK, linewidth=0.6))
    corners = [(x0, panel.top + panel.height), *outline.tolist(), (x0, panel.top)]
    region = Polygon(corners, closed=True, transform=overlay.transData)
    written: list[Box] = []
    for value, label in sorted(zip(places.tolist(), labels, strict=True), key=lambda item: abs(item[0])):
        turn = math.atan2(value * per_z, per_x)
        if not lowest <= turn <= highest:
            continue
        across, down = x0 + radius * math.cos(turn), y0 - radius * math.sin(turn)
        overlay.add_line(
            Line2D(
                [across, across + 1.0 * math.cos(turn)], [down, down - 1.0 * math.sin(turn)], color=INK, linewidth=0.6
            )
        )
        left, middle = across + 1.8, down - 0.6 * math.sin(turn)
        box = (left, middle - 0.45 * LINE, left + text_width(label), middle + 0.45 * LINE)
        if all(box[3] < other[1] or other[3] < box[1] for other in written):
            written.append(box)
            panel.sheet.text(left, middle, label)
    return written, region


def _alt(fit: Fit, table: pd.DataFrame, scale: RadialScale, title: str, level: float) -> str:
    numbers = numbers_of(fit.effects)
    dots, half = table[table["kind"] == "estimate"], float(special.ndtri((1 + level) / 2))
    outside = dots[dots["outside"]]
    what = "1 / SE" if scale == "se" else "1 / sqrt(SE^2 + tau^2)"
    parts = [
        f"Radial plot of {title.removesuffix(': radial plot')}: {size_line(fit.effects)}. Precision {what} from "
        f"{dots['x'].min():.2g} to {dots['x'].max():.2g}.",
    ]
    for item in table[table["kind"] != "estimate"].to_dict("records"):
        form = "central credible" if item["kind"] == "mean" else "confidence"
        parts.append(
            f"{item['label']}: {numbers.value(item['effect'])} ({level_text(level)} {form} interval "
            f"{numbers.interval(item['lower'], item['upper'])})."
        )
    if (table["kind"] == "classical mean").any():
        parts += hksj_notes(fit, level)
    expected = (1 - level) * len(dots)
    named = f": {', '.join(outside['label'].astype(str))}" if len(outside) else ""
    parts.append(
        f"{len(outside)} of {len(dots)} estimates lie further than {half:.2f} from the line of the Bayesian mean, "
        f"where {expected:.1f} are expected{' if trials do not differ' if scale == 'se' else ''}{named}."
    )
    return " ".join(parts)
