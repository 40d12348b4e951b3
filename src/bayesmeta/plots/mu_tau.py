"""The mean effect and the heterogeneity together: regions of highest posterior density."""

from __future__ import annotations

import math
from typing import Any

import contourpy
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, stats

from bayesmeta.columns import percent
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.measures import measure
from bayesmeta.model import effect_correlations
from bayesmeta.plan import Threshold
from bayesmeta.plots.frame import Panel, framed, pooled_only
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import BAYES, CLASSICAL, INK, THRESHOLD, Entry, check_width, ticks
from bayesmeta.plots.tables import pool_or_none, threshold_lines
from bayesmeta.plots.wording import (
    Numbers,
    axis_label,
    effect_sentence,
    heterogeneity_sentence,
    name_of,
    numbers_of,
    scale_of,
    size_line,
    stated_thresholds,
)

__all__ = ["mu_tau_plot", "mu_tau_table"]

FloatArray = NDArray[np.float64]

REGIONS = (0.95, 0.8, 0.5)
_SHADES = ("#d6e9f5", "#9ccbe8", "#56a5d2")
# points along each axis; a region's probability is then right to about 0.1 %
_POINTS = 241
# where the classical tau or the outermost region would touch the axis
_ROOM = 1.06
# of a kernel density, whose cost is that of every draw at every point
_FEWER, _DRAWS = 81, (4, 2500)
_SEED = 20261122


def mu_tau_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Outlines of the regions of highest joint posterior density of mu and tau, and the points of both analyses.

    Given tau, mu is normal, so that the joint density is that of tau times a normal one: exact, for a normal likelihood
    and a normal or flat prior of mu. Otherwise it is a kernel density of draws, and ``attrs["note"]`` says so.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    level : float
        Of the classical check.

    Returns
    -------
    pandas.DataFrame
        Columns ``kind level part mu tau``: outlines (``region``) of the smallest regions that hold 95, 80 and 50 %, a
        ``part`` per closed or cut line; a row ``median`` with both posterior medians; a row ``classical`` with the
        REML estimates, where they are defined.

    Raises
    ------
    ModelError
        For a fit with moderators, a common-effect model, or several taus.

    Examples
    --------
    >>> mu_tau_table(fit)["kind"].unique().tolist()
    ['region', 'median', 'classical']
    """
    mu, tau, density, note = _density(fit)
    mass = density / density.sum()
    ordered = np.sort(mass.ravel())[::-1]
    reached = np.cumsum(ordered)
    rows: list[pd.DataFrame] = []
    outlines = contourpy.contour_generator(mu, tau, mass)
    for region in REGIONS:
        height = float(ordered[np.searchsorted(reached, region)])
        for part, line in enumerate(outlines.lines(height)):
            points = np.asarray(line, float)
            rows.append(
                pd.DataFrame({"kind": "region", "level": region, "part": part, "mu": points[:, 0], "tau": points[:, 1]})
            )
    median = {name: float(marginal(fit, name).quantile(0.5)) for name in ("mu", "tau")}
    rows.append(pd.DataFrame([{"kind": "median", **median}]))
    classical = pool_or_none(fit, level)
    if classical is not None:
        rows.append(pd.DataFrame([{"kind": "classical", "mu": classical.estimate, "tau": math.sqrt(classical.tau2)}]))
    table = pd.concat(rows, ignore_index=True)[["kind", "level", "part", "mu", "tau"]]
    table.attrs["note"] = note
    return table


def mu_tau_plot(
    fit: Fit,
    *,
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the joint posterior of the mean effect and tau, with the classical estimates.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    threshold : Threshold or float, optional
        Marked on the axis of effects. Default: the primary one of the fit's outcome.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `mu_tau_table`.

    Raises
    ------
    ModelError
        As `mu_tau_table`, and for a width outside 80 to 420 mm.

    Examples
    --------
    >>> mu_tau_plot(fit, title="Fatigue").title
    'Fatigue: mean effect and heterogeneity'
    """
    width = check_width(width_mm)
    table = mu_tau_table(fit, level=level)
    chosen = stated_thresholds(fit, threshold, primary=True)
    title = f"{title or name_of(fit)}: mean effect and heterogeneity"
    with drawing():
        panel = _draw(fit, table, threshold_lines(fit, chosen), title, width)
    return Plot(panel.sheet.figure, table, _alt(fit, table, title, level), title)


def _density(fit: Fit) -> tuple[FloatArray, FloatArray, FloatArray, str]:
    """Joint density on a grid, of shape (tau, mu), and what has to be said of it."""
    pooled_only(fit, "the joint posterior of mu and tau")
    model = fit.model
    if model.tau is None:
        raise ModelError("this is a common-effect model; it has no heterogeneity to show. Give tau a prior.")
    if model.tau_by is not None or model.cluster_tau is not None:
        raise ModelError("this model has several taus; the picture is of one.")
    form, across = marginal(fit, "tau"), marginal(fit, "mu")
    plain = (
        model.likelihood == "normal"
        and model.random is None
        and model.missing_sd is None
        and model.baseline is None
        and not model.derived
        and model.mu.name in ("normal", "flat")
        and not fit.simulated
    )
    points = _POINTS if plain else _FEWER
    # the first point is not zero, where a density of log tau's prior is not defined
    tau = np.linspace(0, float(form.quantile(0.9985)), points + 1)[1:]
    low, high = across.quantile(np.array([0.0005, 0.9995]))
    mu = np.linspace(low, high, points)
    if plain:
        mean, sd = _given_tau(fit, tau)
        density = form.density(tau)[:, None] * stats.norm.pdf(mu[None, :], mean[:, None], sd[:, None])
        return mu, tau, density, ""
    draws = fit.posterior.draws(np.random.default_rng(_SEED), _DRAWS)
    drawn, spread = np.ravel(draws["coefficients"][0]), np.ravel(draws["tau"])
    # mirrored at zero, so that no density is lost there
    kernel = stats.gaussian_kde(np.vstack([np.tile(drawn, 2), np.concatenate([spread, -spread])]))
    density = kernel(np.array(np.meshgrid(mu, tau)).reshape(2, -1)).reshape(tau.size, mu.size)
    return mu, tau, density, f"Regions: kernel density of {drawn.size:,} draws."


def _given_tau(fit: Fit, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and SD of mu given each tau: generalised least squares with the prior as one more observation."""
    effects, model = fit.effects, fit.model
    covariance, alike = effects.covariance(), np.eye(effects.k)
    for (rows, _), part in zip(effects.blocks, effect_correlations(effects, model.rho), strict=True):
        alike[np.ix_(rows, rows)] = part
    prior: Any = model.mu
    known = (1 / prior.sd**2, prior.mean / prior.sd**2) if prior.name == "normal" else (0.0, 0.0)
    sides = np.column_stack([np.ones(effects.k), effects.y])
    found = []
    for value in tau:
        solved = linalg.cho_solve(linalg.cho_factor(covariance + value**2 * alike), sides)
        precision = float(solved[:, 0].sum()) + known[0]
        found.append(((float(solved[:, 1].sum()) + known[1]) / precision, precision**-0.5))
    mean, sd = np.array(found).T
    return mean, sd


def _draw(fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]], title: str, width: float) -> Panel:
    regions = table[table["kind"] == "region"]
    shown = np.array([*table["mu"], 0.0])
    room = 0.04 * float(np.ptp(shown))
    limits = float(shown.min()) - room, float(shown.max()) + room
    # a threshold far from the posterior would squeeze it
    lines = [line for line in lines if limits[0] <= line[1] <= limits[1]]
    point: dict[str, Any] = {"linestyle": "none", "markersize": 5.0}
    looks: dict[str, dict[str, Any]] = {
        "median": {"color": INK, "marker": "o", **point, "markersize": 3.6},
        "classical": {"color": CLASSICAL, "marker": "X", "markeredgecolor": "white", "markeredgewidth": 0.5, **point},
    }
    words = {"median": "Posterior medians", "classical": "Classical estimates (REML)"}
    kinds = set(table["kind"])
    entries = [
        Entry({"facecolor": shade, "edgecolor": BAYES, "linewidth": 0.6}, f"{100 * region:g} %")
        for shade, region in zip(_SHADES, REGIONS, strict=True)
    ]
    entries[0] = Entry(entries[0].look, f"Smallest region that holds {entries[0].text} of the posterior")
    entries += [Entry(look, words[kind]) for kind, look in looks.items() if kind in kinds]
    entries += [Entry(THRESHOLD[benefit], name) for name, _, benefit in lines]
    scale = scale_of(fit.effects) or measure(fit.effects.measure).axis
    axis = (f"Mean effect: {axis_label(fit.effects)}", f"Between-study SD tau ({scale})")
    notes = [table.attrs["note"]] if table.attrs["note"] else []
    panel = framed("mu tau", title, [size_line(fit.effects)], entries, notes, axis, width)
    axes = panel.axes
    axes.set_xlim(*limits)
    axes.set_ylim(0.0, _ROOM * float(table["tau"].max()))
    for shade, region in zip(_SHADES, REGIONS, strict=True):
        for _, part in regions[regions["level"] == region].groupby("part"):
            # an outline that is cut off at tau = 0 is closed along the axis
            axes.fill(part["mu"], part["tau"], facecolor=shade, edgecolor="none", zorder=2)
            axes.plot(part["mu"], part["tau"], color=BAYES, linewidth=0.8, zorder=3, label=f"{100 * region:g} %")
    if not measure(fit.effects.measure).single_arm:
        axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for name, x, benefit in lines:
        axes.axvline(x, zorder=4, label=name, **THRESHOLD[benefit])
    for kind, look in looks.items():
        for row in table[table["kind"] == kind].to_dict("records"):
            axes.plot([row["mu"]], [row["tau"]], zorder=6, clip_on=False, label=kind, **look)
    ticks(axes.xaxis, measure(fit.effects.measure), *limits, panel.length)
    ticks(axes.yaxis, measure("generic"), *axes.get_ylim(), panel.height)
    return panel


def _alt(fit: Fit, table: pd.DataFrame, title: str, level: float) -> str:
    numbers, spread = numbers_of(fit.effects), Numbers(measure("generic"), numbers_of(fit.effects).digits)
    parts = [
        f"Joint posterior of the mean effect and tau, {title.removesuffix(': mean effect and heterogeneity')}: "
        f"{size_line(fit.effects)}.",
        effect_sentence(fit, level),
        heterogeneity_sentence(fit, level),
    ]
    wide = table[(table["kind"] == "region") & (table["level"] == REGIONS[0])]
    parts.append(
        f"The smallest region that holds {percent(REGIONS[0], 0)} reaches from "
        f"{numbers.interval(float(wide['mu'].min()), float(wide['mu'].max()))} in the mean effect and from "
        f"{spread.natural(float(wide['tau'].min()))} to {spread.natural(float(wide['tau'].max()))} in tau."
    )
    for row in table[table["kind"] == "classical"].to_dict("records"):
        parts.append(f"REML: {numbers.value(row['mu'])} with tau {spread.natural(row['tau'])}.")
    return " ".join([*parts, *([table.attrs["note"]] if table.attrs["note"] else [])])
