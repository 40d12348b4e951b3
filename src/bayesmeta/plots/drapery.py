"""Drapery plot: p-value functions of every trial and of the pooled answers of both schools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from bayesmeta.classical import check_words
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.measures import measure, require_null
from bayesmeta.plots.frame import Panel, framed, pooled_only, stretched_limits
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import BAYES, CLASSICAL, DENSITY, GREY, INK, Entry, check_width, text_width, ticks
from bayesmeta.plots.tables import pool_or_none
from bayesmeta.plots.wording import axis_label, hksj_notes, level_text, name_of, new_study, numbers_of, size_line
from bayesmeta.questions import predict

__all__ = ["drapery_plot", "drapery_table"]

# points of a curve between the ends of the axis; the peak of each is a point too
_POINTS = 240
# two-sided p values at which lines are drawn
_LEVELS = (0.05, 0.1, 0.2, 0.5)
_TRIAL: dict[str, Any] = {"color": "#9A9A9A", "linewidth": 0.6}
_CLASSICAL: dict[str, Any] = {"color": CLASSICAL, "linewidth": 1.4, "linestyle": (0, (5, 1))}
_MEAN: dict[str, Any] = {"color": BAYES, "linewidth": 1.6}
_NEW: dict[str, Any] = {"color": BAYES, "linewidth": 1.0, "linestyle": (0, (2, 1.2))}


def drapery_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """p-value functions on the points at which they are drawn.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    level : float
        Sets how much of each function is inside.

    Returns
    -------
    pandas.DataFrame
        Columns ``kind label x p``. Kind ``trial``: two-sided normal p value of the effect being x, per estimate;
        ``classical``: the same of the REML mean with the Hartung-Knapp standard error and t; ``mean`` and ``new
        study``: ``2 min(P(effect < x), P(effect > x))`` of the posterior.

    Examples
    --------
    >>> drapery_table(fit)["kind"].unique().tolist()
    ['trial', 'classical', 'mean', 'new study']
    """
    pooled_only(fit, "a drapery plot")
    effects = fit.effects
    table: Any = predict(fit, level=level)
    half = float(special.ndtri((1 + level) / 2))
    ends = table.loc["theta_new" if fit.model.tau is not None else "mu", ["lower", "upper"]].to_numpy(float)
    low, high = stretched_limits(
        effects.measure, [*effects.y, *ends], [effects.y - half * effects.se, effects.y + half * effects.se]
    )
    grid = np.linspace(low, high, _POINTS + 1)
    parts = []

    def add(kind: str, label: str, peak: float, p: Any) -> None:
        x = np.unique(np.append(grid, peak))
        parts.append(pd.DataFrame({"kind": kind, "label": label, "x": x, "p": np.asarray(p(x), float)}))

    for label, y, se in zip(effects.label, effects.y, effects.se, strict=True):
        add("trial", label, float(y), lambda x, y=y, se=se: 2 * special.ndtr(-np.abs(x - y) / se))
    classical, words = pool_or_none(fit, level), check_words(fit.effects)
    if classical is not None and classical.se > 0:
        found = classical
        add(
            "classical",
            f"Classical mean ({words.model}, {words.interval})",
            found.estimate,
            lambda x: 2 * special.stdtr(found.df, -np.abs(x - found.estimate) / found.se),
        )
    for kind, name, label in (
        ("mean", "mu", "Bayesian mean effect"),
        ("new study", "theta_new", "Effect in a new study"),
    ):
        if kind == "new study" and fit.model.tau is None:
            continue
        form = marginal(fit, name)
        add(
            kind,
            label,
            float(table.loc[name, "median"]),
            lambda x, form=form: np.clip(2 * np.minimum(form.cdf(x), form.sf(x)), 0, 1),
        )
    return pd.concat(parts, ignore_index=True)


def drapery_plot(fit: Fit, *, level: float = LEVEL, title: str | None = None, width_mm: float = 180.0) -> Plot:
    """Draw p-value functions of every trial and of the classical mean, with the two-sided tails of the posterior.

    Where a curve is above a horizontal line lies its interval of the level written at the right; a p-value function
    shows the intervals of all levels.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `drapery_table`.

    Raises
    ------
    ModelError
        For a fit with moderators.

    References
    ----------
    Ruecker G, Schwarzer G. Beyond the forest plot: the drapery plot. Res Synth Methods 2021;12:13-19.
    doi:10.1002/jrsm.1410

    Examples
    --------
    >>> drapery_plot(fit).title
    'Standardised mean difference: drapery plot'
    """
    require_null(fit.effects.measure, "the drapery plot")
    width = check_width(width_mm)
    table = drapery_table(fit, level=level)
    title = f"{title or name_of(fit)}: drapery plot"
    with drawing():
        panel = _draw(fit, table, title, level, width)
    return Plot(panel.sheet.figure, table, _alt(fit, table, title, level), title)


def _draw(fit: Fit, table: pd.DataFrame, title: str, level: float, width: float) -> Panel:
    kinds, words = set(table["kind"]), check_words(fit.effects)
    entries = [
        Entry(_TRIAL, "Estimates: two-sided normal p value"),
        *(
            [Entry(_CLASSICAL, f"Classical mean: {words.model}, {words.interval} p value")]
            if "classical" in kinds
            else []
        ),
        Entry(_MEAN, "Bayesian mean effect: two-sided tail of the posterior"),
        *([Entry(_NEW, "Effect in a new study: two-sided tail")] if "new study" in kinds else []),
    ]
    notes = [
        "A curve lies above a horizontal line where its interval of the level at the right does: confidence interval "
        "(p value that the effect is x), or central credible interval (2 min(P(effect < x), P(effect > x))).",
        *new_study(fit),
    ]
    if "classical" not in kinds:
        notes.append("A classical mean with a Hartung-Knapp interval is not defined for these data.")
    notes += hksj_notes(fit, level)
    levels = sorted({*_LEVELS, round(1 - level, 12)})
    written = [level_text(1 - p) for p in levels]
    right = max(text_width(text) for text in written) + 2.5
    axis = (axis_label(fit.effects), "Two-sided p, or tail")
    panel = framed("drapery", title, [size_line(fit.effects)], entries, notes, axis, width, right=right, above=1.5)
    axes = panel.axes
    limits = float(table["x"].min()), float(table["x"].max())
    axes.set_xlim(*limits)
    axes.set_ylim(0.0, 1.0)
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    place = -np.inf
    for p, text in zip(levels, written, strict=True):
        axes.axhline(p, color=GREY, linewidth=0.5, linestyle=(0, (1, 1.5)), zorder=1, label=f"p = {p:g}")
        (_,), (down,) = panel.place([limits[1]], [p])
        if abs(down - place) > 2.9:
            panel.sheet.text(panel.left + panel.length + 1.2, float(down), text)
            place = float(down)
    # the dashed line over the solid one, since they often are the same
    looks = {"classical": (_CLASSICAL, 6), "mean": (_MEAN, 5), "new study": (_NEW, 3)}
    for (kind, label), part in table.groupby(["kind", "label"], sort=False):
        look, order = looks.get(str(kind), (_TRIAL, 2))
        if kind == "new study":
            axes.fill_between(part["x"], 0, part["p"], color=DENSITY, alpha=0.5, linewidth=0, zorder=1)
        name = f"trial: {label}" if kind == "trial" else str(kind)
        axes.plot(part["x"], part["p"], zorder=order, label=name, **look)
    ticks(axes.xaxis, measure(fit.effects.measure), *limits, panel.length)
    axes.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    return panel


def _alt(fit: Fit, table: pd.DataFrame, title: str, level: float) -> str:
    numbers = numbers_of(fit.effects)
    predicted: Any = predict(fit, level=level)
    trials = table[table["kind"] == "trial"]
    effects = fit.effects
    p = 2 * special.ndtr(-np.abs(effects.y) / effects.se)
    parts = [
        f"Drapery plot of {title.removesuffix(': drapery plot')}: {size_line(effects)}. p-value functions peak at the "
        f"estimates, from {numbers.interval(float(effects.y.min()), float(effects.y.max()))}; "
        f"{int((p < 1 - level).sum())} of {trials['label'].nunique()} have a two-sided p below {1 - level:.2g} at no "
        "effect."
    ]
    words = check_words(fit.effects)
    classical = pool_or_none(fit, level) if "classical" in set(table["kind"]) else None
    if classical is not None and classical.p is not None:
        parts.append(
            f"Classical mean ({words.model}, {words.interval}): {numbers.value(classical.estimate)}, "
            f"{level_text(level)} confidence interval {numbers.interval(classical.lower, classical.upper)}, "
            f"{_small(classical.p)} at no effect."
        )
        parts += hksj_notes(fit, level)
    for kind, name, label in (
        ("mean", "mu", "Bayesian mean effect"),
        ("new study", "theta_new", "Effect in a new study"),
    ):
        if kind not in set(table["kind"]):
            continue
        form, row = marginal(fit, name), predicted.loc[name]
        tail = 2 * min(float(form.cdf(0.0)), float(form.sf(0.0)))
        parts.append(
            f"{label}: {numbers.value(row['median'])}, {level_text(level)} central interval "
            f"{numbers.interval(row['lower'], row['upper'])}, two-sided tail at no effect: {_small(tail)}."
        )
    return " ".join(parts)


def _small(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
