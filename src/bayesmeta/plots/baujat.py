"""Influential trials: Baujat's plot, and leverage against residuals where that is not defined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from bayesmeta.classical import influence_table
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plots.frame import Panel, framed, name_points, pooled_only
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import CLASSICAL, GREY, INK, MM, Entry, check_width, ticks
from bayesmeta.plots.wording import level_text, name_of, size_line

__all__ = ["baujat_plot", "influence_plot"]

# points named beside those that are influential or outlying
_NAMED = 4
# more names than this cannot be read
_MOST = 10
# millimetres: radius of a point without, and of the one with the largest, Cook's distance
_SMALL, _LARGE = 0.55, 2.4
_PLAIN: dict[str, Any] = {
    "marker": "o",
    "markersize": 3.6,
    "markerfacecolor": "#BDBDBD",
    "markeredgecolor": INK,
    "markeredgewidth": 0.6,
    "linestyle": "none",
}
_FLAGGED: dict[str, Any] = {**_PLAIN, "marker": "D", "markersize": 4.2, "markerfacecolor": CLASSICAL}


def baujat_plot(
    fit: Fit,
    table: pd.DataFrame | None = None,
    *,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw what each trial adds to heterogeneity against what it does to the classical mean effect.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    table : pandas.DataFrame, optional
        From `bayesmeta.classical.influence_table`; made (REML) where it is not given.
    level : float
        A studentized residual beyond this level of the normal distribution is an outlier.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.classical.influence_table`. Where rows of one trial leave together the
        coordinates are not defined; the picture is then that of `influence_plot` and says so.

    Raises
    ------
    ModelError
        Where too few estimates are left when one is taken away, or for a fit with moderators.

    References
    ----------
    Baujat B et al. Stat Med 2002;21:2641-2652. doi:10.1002/sim.1221

    Examples
    --------
    >>> table = baujat_plot(fit).table
    >>> table.loc[table["baujat_y"].idxmax(), "label"]
    'D'
    """
    table = _table(fit, table, level)
    if table["baujat_x"].isna().all() and table["rstudent"].notna().any():
        why = "Baujat's coordinates are not defined, because rows of one trial, or trials with shared patients, leave "
        return influence_plot(fit, table, level=level, title=title, width_mm=width_mm, why=f"{why}together.")
    width = check_width(width_mm)
    title = f"{title or name_of(fit)}: heterogeneity and influence"
    notes = [
        "Classical analysis, REML. Axes: squared Pearson residual; squared change of the fitted mean without the "
        "trial, in its variance (Baujat 2002)."
    ]
    words = ("Contribution to heterogeneity", "Influence on the mean effect")
    shown = table[table["baujat_x"].notna()]
    order = _order(shown, shown["baujat_x"].to_numpy(float), shown["baujat_y"].to_numpy(float))
    with drawing():
        entries = _entries(table, level)
        panel = framed("baujat", title, [size_line(fit.effects)], entries, notes, words, width)
        _points(panel, shown, "baujat_x", "baujat_y", np.full(len(shown), 0.65), order, from_zero=(True, True))
    return Plot(panel.sheet.figure, table, _alt_baujat(fit, table, title, level), title)


def influence_plot(
    fit: Fit,
    table: pd.DataFrame | None = None,
    *,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
    why: str = "",
) -> Plot:
    """Draw studentized residuals against leverage, with Cook's distance as the area of the points.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    table, level, title, width_mm
        As in `baujat_plot`.
    why : str
        A sentence for the notes: why this picture and not another.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.classical.influence_table`.

    Raises
    ------
    ModelError
        As `baujat_plot`.

    References
    ----------
    Viechtbauer W, Cheung MWL. Res Synth Methods 2010;1:112-125. doi:10.1002/jrsm.11

    Examples
    --------
    >>> influence_plot(fit).title
    'Standardised mean difference: leverage and residuals'
    """
    width = check_width(width_mm)
    table = _table(fit, table, level)
    title = f"{title or name_of(fit)}: leverage and residuals"
    shown = table[table["rstudent"].notna()]
    cook = shown["cook"].to_numpy(float)
    largest = float(np.nanmax(cook)) if np.isfinite(cook).any() else 0.0
    share = np.nan_to_num(cook / largest) if largest > 0 else np.zeros(len(shown))
    radius = np.sqrt(_SMALL**2 + (_LARGE**2 - _SMALL**2) * share)
    z = float(special.ndtri((1 + level) / 2))
    entries = [
        *_entries(table, level),
        Entry(
            {"color": GREY, "linewidth": 0.8, "linestyle": (0, (4, 2))},
            f"\u00b1{z:.2f}: {level_text(level)} of residuals lie between",
        ),
    ]
    notes = [
        *([why] if why else []),
        f"Classical analysis, REML. Area of a point: Cook's distance, {largest:.2g} at most. A residual is studentized "
        "by leaving out the trial with all its rows.",
    ]
    words = ("Leverage (hat value)", "Studentized residual")
    residual = np.abs(shown["rstudent"].to_numpy(float))
    with drawing():
        panel = framed("influence", title, [size_line(fit.effects)], entries, notes, words, width)
        _points(panel, shown, "hat", "rstudent", radius, _order(shown, share, residual), band=z)
    return Plot(panel.sheet.figure, table, _alt_influence(fit, table, title, level, why), title)


def _table(fit: Fit, table: pd.DataFrame | None, level: float) -> pd.DataFrame:
    pooled_only(fit, "this picture")
    if table is None:
        table = influence_table(fit.effects, level=level, rho=fit.model.rho)
    if table["rstudent"].isna().all():
        raise ModelError(f"influence is not defined: {table['note'].iloc[0]}.")
    return table


def _flagged(table: pd.DataFrame) -> pd.Series[Any]:
    return table["influential"].astype(bool) | table["outlier"].astype(bool)


def _order(table: pd.DataFrame, *columns: np.ndarray) -> list[int]:
    """Rows that get a name: flagged ones, then the most extreme in any direction."""
    extreme = sum(column / max(float(np.nanmax(column)), 1e-300) for column in columns)
    rank = np.argsort(-np.asarray(extreme), kind="stable")
    flagged = _flagged(table).to_numpy()
    first = [int(i) for i in rank if flagged[i]]
    return (first + [int(i) for i in rank[:_NAMED] if not flagged[i]])[:_MOST]


def _entries(table: pd.DataFrame, level: float) -> list[Entry]:
    entries = [Entry(_PLAIN, "Estimate")]
    if _flagged(table).any():
        entries.append(
            Entry(_FLAGGED, f"Influential (metafor's rules), or its studentized residual beyond {level_text(level)}")
        )
    return entries


def _points(
    panel: Panel,
    table: pd.DataFrame,
    across: str,
    along: str,
    radius: np.ndarray,
    order: list[int],
    *,
    from_zero: tuple[bool, bool] = (True, False),
    band: float | None = None,
) -> None:
    x, y = table[across].to_numpy(float), table[along].to_numpy(float)
    axes = panel.axes
    ends = []
    for values, zero, extra in ((x, from_zero[0], []), (y, from_zero[1], [] if band is None else [-band, band])):
        low, high = min([0.0, *values, *extra]), max([0.0, *values, *extra])
        room = 0.08 * (high - low) if high > low else 1.0
        ends.append((low if zero and low == 0.0 else low - room, high + room))
    if from_zero[0]:
        # points on the axis itself are drawn whole
        ends[0] = (-0.02 * ends[0][1], ends[0][1])
    if from_zero[1]:
        ends[1] = (-0.03 * ends[1][1], ends[1][1])
    axes.set_xlim(*ends[0])
    axes.set_ylim(*ends[1])
    if band is not None:
        axes.axhline(0.0, color=INK, linewidth=0.5, zorder=1, label="zero")
        for side in (-1, 1):
            axes.axhline(side * band, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1, label="band")
    flagged = _flagged(table).to_numpy()
    size = (2 * radius / MM * 72) ** 2
    for which, look in ((~flagged, _PLAIN), (flagged, _FLAGGED)):
        axes.scatter(
            x[which],
            y[which],
            s=size[which],
            marker=look["marker"],
            facecolor=look["markerfacecolor"],
            edgecolor=INK,
            linewidth=0.6,
            alpha=0.85,
            zorder=4,
            label="flagged" if look is _FLAGGED else "estimates",
        )
    ticks(axes.xaxis, measure("generic"), *ends[0], panel.length)
    ticks(axes.yaxis, measure("generic"), *ends[1], panel.height)
    names = [str(table["label"].iloc[i]) for i in order]
    # names keep off the lines too
    grid = np.linspace(*ends[0], 80)
    across_lines = [] if band is None else [0.0, -band, band]
    others = [
        np.concatenate([values, *extra])
        for values, extra in (
            (x, [grid] * len(across_lines)),
            (y, [np.full(grid.size, level) for level in across_lines]),
        )
    ]
    sizes = radius * np.where(flagged, 1.3, 1.0)
    around = np.concatenate([sizes + 0.2, np.full(grid.size * len(across_lines), 0.3)])
    name_points(
        panel, x[order], y[order], names, others=(others[0], others[1]), other_radius=around, radius=sizes[order]
    )


def _flags(table: pd.DataFrame, level: float) -> list[str]:
    parts = []
    for column, words in (
        ("influential", "Influential by metafor's rules"),
        ("outlier", f"Studentized residual beyond {level_text(level)} of the normal distribution"),
    ):
        named = [f"{item['label']} ({item['rstudent']:.1f})" for item in table[table[column]].to_dict("records")]
        parts.append(f"{words}: {', '.join(named)}." if named else f"{words}: none.")
    return parts


def _alt_baujat(fit: Fit, table: pd.DataFrame, title: str, level: float) -> str:
    def top(column: str) -> str:
        best = table.sort_values(column, ascending=False, kind="stable").head(_NAMED)
        return ", ".join(best["label"].astype(str))

    return " ".join(
        [
            f"Baujat plot of {title.removesuffix(': heterogeneity and influence')}: "
            f"{size_line(fit.effects)}. Classical analysis by "
            "REML.",
            *_flags(table, level),
            f"Largest contribution to heterogeneity: {top('baujat_x')}.",
            f"Largest influence on the mean effect: {top('baujat_y')}.",
        ]
    )


def _alt_influence(fit: Fit, table: pd.DataFrame, title: str, level: float, why: str) -> str:
    cook = table.sort_values("cook", ascending=False, kind="stable").drop_duplicates("study").head(_NAMED)
    named = ", ".join(f"{item['study']} ({item['cook']:.2g})" for item in cook.to_dict("records"))
    return " ".join(
        [
            f"Studentized residuals against leverage of {title.removesuffix(': leverage and residuals')}: "
            f"{size_line(fit.effects)}. "
            "Classical analysis by REML.",
            *([why] if why else []),
            f"Leverage from {table['hat'].min():.2g} to {table['hat'].max():.2g}, residuals from "
            f"{table['rstudent'].min():.1f} to {table['rstudent'].max():.1f}.",
            *_flags(table, level),
            f"Largest Cook's distances: {named}.",
        ]
    )
