"""The marks of a forest plot: squares, shrinkage estimates, ridges, diamonds and the density of a new study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from bayesmeta.fits import Fit, marginal
from bayesmeta.measures import measure
from bayesmeta.plots.forest.layout import BAYESIAN, DENSITY_HEIGHT, Row
from bayesmeta.plots.forest.styles import Style
from bayesmeta.plots.sheet import INK, MM, THRESHOLD, draw_line, ticks

__all__ = ["COMMON", "Marks", "draw_frame", "draw_marks", "ridges_of"]

FloatArray = NDArray[np.float64]

# millimetres
_SQUARE = 2.1
_ABOVE, _BELOW = 0.6, 0.75
_RIDGE = 4.2
_POINT = 72 / MM
COMMON = "#F7C9A9"
# a density is drawn between these probabilities
_TAILS = np.array([0.001, 0.999])
_POINTS = 401


@dataclass(frozen=True, slots=True)
class Marks:
    """What the marks of every row need.

    Attributes
    ----------
    limits : (float, float)
        Ends of the axis.
    heaviest : float
        Largest weight, whose square is the largest.
    square : str
        Colour of reported estimates.
    ridges : dict of str to (array, array)
        Posterior density of a row's effect, by label, scaled to the highest of all.
    """

    fit: Fit
    style: Style
    limits: tuple[float, float]
    heaviest: float
    square: str
    shrinkage: bool
    ridges: dict[str, tuple[FloatArray, FloatArray]]


def ridges_of(fit: Fit, table: pd.DataFrame) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Exact posterior density of every trial's effect, on one scale, so that areas are alike."""
    posteriors = fit.posterior.studies()
    found = {}
    for place, label in enumerate(fit.effects.label):
        form = posteriors[place]
        low, high = form.quantile(_TAILS)
        x = np.linspace(low, high, _POINTS)
        found[label] = (x, np.asarray(form.density(x), float))
    shown = table.loc[table["kind"] == "estimate", "label"]
    top = max(float(found[label][1].max()) for label in shown)
    return {label: (found[label][0], found[label][1] / top) for label in shown}


def draw_frame(axes: Axes, fit: Fit, length: float, lines: list[tuple[str, float, bool]]) -> None:
    """Axis with its ticks, no effect and thresholds."""
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.yaxis.set_visible(False)
    if not measure(fit.effects.measure).single_arm:
        axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for name, x, benefit in lines:
        axes.axvline(x, zorder=1, label=name, **THRESHOLD[benefit])
    low, high = axes.get_xlim()
    ticks(axes.xaxis, measure(fit.effects.measure), low, high, length)


def draw_marks(axes: Axes, marks: Marks, row: Row) -> None:
    """Draw what belongs to one row."""
    data, kind, y = row.data, row.data["kind"], row.middle
    if kind == "heading" or not np.isfinite(data["estimate"]):
        return
    ends = (data["lower"], data["upper"])
    name, style = data["label"], marks.style
    if kind == "estimate":
        _draw_estimate(axes, marks, row)
    elif kind == "new study":
        _draw_density(axes, marks, row)
    elif kind == "classical prediction":
        _whisker(axes, ends, y, marks.limits, name, color=style.classical, linewidth=1.4, linestyle=(0, (5, 1)))
    else:
        bayesian = kind in BAYESIAN
        half = 1.1 if kind == "level mean" else 1.5
        face = style.diamond if bayesian else (COMMON if kind == "common effect" else "white")
        edge = style.posterior if bayesian else style.classical
        corners = [(ends[0], y), (data["estimate"], y - half), (ends[1], y), (data["estimate"], y + half)]
        axes.add_patch(
            Polygon(corners, closed=True, facecolor=face, edgecolor=edge, linewidth=0.9, zorder=4, label=name)
        )
        _arrows(axes, ends, y, marks.limits, edge)


def _draw_estimate(axes: Axes, marks: Marks, row: Row) -> None:
    data, name, style = row.data, row.data["label"], marks.style
    ridge = marks.ridges.get(name)
    # in a row with a ridge the reported estimate stands above, and the shrinkage estimate on the ridge's base
    base = row.top + row.height - 1.1 if ridge else row.middle + (_BELOW if marks.shrinkage else 0.0)
    above = row.top + 1.3 if ridge else row.middle - (_ABOVE if marks.shrinkage else 0.0)
    _whisker(
        axes,
        (data["lower"], data["upper"]),
        above,
        marks.limits,
        f"reported whisker: {name}",
        color=INK if style.squares[0] == INK else marks.square,
        linewidth=0.8,
    )
    side = max(_SQUARE * np.sqrt(max(data["weight"], 0.0) / marks.heaviest), 0.5)
    draw_line(
        axes,
        [data["estimate"]],
        [above],
        marker="s",
        markersize=side * _POINT,
        color=marks.square,
        markeredgewidth=0,
        zorder=4,
        label=f"reported: {name}",
    )
    if ridge:
        _area(axes, ridge[0], base, _RIDGE * ridge[1], style, f"ridge: {name}")
    if not (marks.shrinkage or ridge):
        return
    shrinkage = (data["theta_lower"], data["theta_upper"])
    _whisker(axes, shrinkage, base, marks.limits, f"shrinkage whisker: {name}", color=style.posterior, linewidth=0.8)
    draw_line(
        axes,
        [data["theta"]],
        [base],
        marker="o",
        markersize=2.6,
        markerfacecolor="white",
        markeredgecolor=style.posterior,
        markeredgewidth=0.8,
        linestyle="none",
        zorder=5,
        label=f"shrinkage: {name}",
    )


def _area(axes: Axes, x: FloatArray, base: float, height: FloatArray, style: Style, name: str) -> None:
    outline = np.column_stack([np.concatenate([[x[0]], x, [x[-1]]]), np.concatenate([[base], base - height, [base]])])
    axes.add_patch(
        Polygon(
            outline,
            closed=True,
            facecolor=style.density,
            edgecolor=style.posterior,
            linewidth=0.6,
            zorder=2,
            label=name,
        )
    )


def _draw_density(axes: Axes, marks: Marks, row: Row) -> None:
    form = marginal(marks.fit, "theta_new")
    low, high = form.quantile(_TAILS)
    x = np.linspace(low, high, _POINTS)
    height = form.density(x)
    base = row.top + DENSITY_HEIGHT + 0.5
    _area(axes, x, base, DENSITY_HEIGHT * height / height.max(), marks.style, "predictive density")
    color = marks.style.posterior
    ends = (row.data["lower"], row.data["upper"])
    _whisker(axes, ends, base + 1.1, marks.limits, row.data["label"], color=color, linewidth=1.8)
    draw_line(
        axes,
        [row.data["estimate"]],
        [base + 1.1],
        marker="|",
        markersize=4,
        color=color,
        markeredgewidth=1.2,
        zorder=5,
        label="predictive median",
    )


def _whisker(
    axes: Axes, ends: tuple[float, float], y: float, limits: tuple[float, float], name: str, **look: Any
) -> None:
    draw_line(axes, list(ends), [y, y], solid_capstyle="butt", dash_capstyle="butt", zorder=3, label=name, **look)
    _arrows(axes, ends, y, limits, look["color"])


def _arrows(axes: Axes, ends: tuple[float, float], y: float, limits: tuple[float, float], color: str) -> None:
    for beyond, x, marker in ((ends[0] < limits[0], limits[0], "<"), (ends[1] > limits[1], limits[1], ">")):
        if beyond:
            draw_line(
                axes, [x], [y], marker=marker, markersize=3.2, color=color, markeredgewidth=0, clip_on=False, zorder=6
            )
