"""Distribution function of true effects in new studies, with what is not known of it, and the trials' own effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesmeta.columns import percent
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.measures import measure
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Threshold
from bayesmeta.plots.frame import Panel, framed, pooled_only, stretched_limits
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import BAYES, DENSITY, GREY, INK, THRESHOLD, Entry, check_width, ticks
from bayesmeta.plots.tables import threshold_lines
from bayesmeta.plots.wording import (
    axis_label,
    level_text,
    name_of,
    new_study,
    numbers_of,
    size_line,
    stated_thresholds,
)
from bayesmeta.questions import direction, numeric_distance, share_of_true_effects, study_table

__all__ = ["new_study_plot", "new_study_table"]

# points of the band: every one is the root of an equation; a line between 61 of them is straight enough for print
_POINTS = 61
_STEPS: dict[str, Any] = {"color": INK, "linewidth": 0.9}
_REPORTED: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (2, 1.2))}
_CURVE: dict[str, Any] = {"color": BAYES, "linewidth": 1.4}


def new_study_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Shares of true effects in new studies below each value, and the trials as steps.

    The share of true effects below x is ``q = Phi((x - mu) / tau)``, unknown because mu and tau are. Its posterior mean
    is the probability that the effect in a new study is below x.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    level : float
        Of the band, which holds at each x alone.

    Returns
    -------
    pandas.DataFrame
        Columns ``kind label x p lower upper level``: rows ``new study`` along the curve, with the posterior mean of q
        under ``p`` and its central interval; rows ``shrinkage`` and ``reported``, one per estimate from the lowest,
        whose ``p`` is the share of estimates not above it.

    Raises
    ------
    ModelError
        For a fit with moderators and for a common-effect model.

    Examples
    --------
    >>> new_study_table(fit).query("kind == 'reported'")["p"].tolist()
    [0.25, 0.5, 0.75, 1.0]
    """
    pooled_only(fit, "the distribution of effects in new studies")
    if fit.model.tau is None:
        raise ModelError("this is a common-effect model; true effects do not differ. Give tau a prior.")
    studies, form = study_table(fit, level=level), marginal(fit, "theta_new")
    low, high = stretched_limits(
        fit.effects.measure, [*form.quantile(np.array([0.01, 0.99])), *studies["theta"]], studies["y"]
    )
    row, ends = fit.design.profile(None), interval_ends(level)
    records: list[dict[str, Any]] = []
    for x in np.linspace(low, high, _POINTS):
        mean, (lower, _, upper), _ = fit.posterior.share_beyond(row, -x, -1, ends, np.array([0.5]))
        records.append({"kind": "new study", "label": "", "x": x, "p": mean, "lower": lower, "upper": upper})
    for kind, column in (("shrinkage", "theta"), ("reported", "y")):
        ordered = studies.sort_values(column, kind="stable")
        for place, (label, x) in enumerate(zip(ordered["label"], ordered[column], strict=True), 1):
            records.append({"kind": kind, "label": label, "x": float(x), "p": place / len(studies)})
    table = pd.DataFrame(records, columns=["kind", "label", "x", "p", "lower", "upper"])
    return table.assign(level=level)


def new_study_plot(
    fit: Fit,
    *,
    thresholds: Threshold | float | Sequence[Threshold | float] | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the distribution function of true effects in new studies, with its band and the trials as steps.

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    thresholds : Threshold, float or several of them, optional
        Drawn as lines. Default: all of the fit's outcome.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `new_study_table`.

    Raises
    ------
    ModelError
        As `new_study_table`, and for a width outside 80 to 420 mm.

    Examples
    --------
    >>> new_study_plot(fit, title="Fatigue").title
    'Fatigue: effects in new studies'
    """
    width = check_width(width_mm)
    table = new_study_table(fit, level=level)
    chosen = stated_thresholds(fit, thresholds)
    title = f"{title or name_of(fit)}: effects in new studies"
    with drawing():
        panel = _draw(fit, table, threshold_lines(fit, chosen), title, level, width)
    return Plot(panel.sheet.figure, table, _alt(fit, table, chosen, title, level), title)


def _draw(
    fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]], title: str, level: float, width: float
) -> Panel:
    curve = table[table["kind"] == "new study"]
    limits = float(curve["x"].iloc[0]), float(curve["x"].iloc[-1])
    lines = [line for line in lines if limits[0] <= line[1] <= limits[1]]
    entries = [
        Entry(_CURVE, "Share of true effects in new studies below x: posterior mean"),
        Entry({"facecolor": DENSITY, "edgecolor": "none"}, f"{level_text(level)} central credible interval at each x"),
        Entry(_STEPS, "Shrinkage estimates of the trials (posterior medians), as steps"),
        Entry(_REPORTED, "Reported estimates, as steps"),
        *(Entry(THRESHOLD[benefit], name) for name, _, benefit in lines),
    ]
    notes = [
        "Steps of reported estimates are wider than true effects, by sampling error; those of shrinkage estimates are "
        "narrower.",
        *new_study(fit),
    ]
    axis = (axis_label(fit.effects), "Share of true effects below x")
    panel = framed("new study", title, [size_line(fit.effects)], entries, notes, axis, width)
    axes = panel.axes
    axes.set_xlim(*limits)
    axes.set_ylim(0.0, 1.0)
    band = curve[["lower", "upper"]].to_numpy(float).T
    axes.fill_between(curve["x"], *band, color=DENSITY, linewidth=0, zorder=1, label="band")
    axes.plot(curve["x"], curve["p"], zorder=4, label="new study", **_CURVE)
    for kind, look, order in (("reported", _REPORTED, 2), ("shrinkage", _STEPS, 3)):
        part = table[table["kind"] == kind]
        places = np.concatenate([[limits[0]], part["x"], [limits[1]]])
        axes.step(places, np.concatenate([[0.0], part["p"], [1.0]]), where="post", zorder=order, label=kind, **look)
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for name, x, benefit in lines:
        axes.axvline(x, zorder=2, label=name, **THRESHOLD[benefit])
    ticks(axes.xaxis, measure(fit.effects.measure), *limits, panel.length)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    return panel


def _alt(fit: Fit, table: pd.DataFrame, thresholds: Sequence[Threshold], title: str, level: float) -> str:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    shrunken = table.loc[table["kind"] == "shrinkage", "x"]
    low, middle, high = marginal(fit, "theta_new").quantile(np.array([0.1, 0.5, 0.9]))
    parts = [
        f"Distribution of true effects in new studies, {title.removesuffix(': effects in new studies')}: "
        f"{size_line(fit.effects)}. One new study in ten is below {numbers.value(low)}, half below "
        f"{numbers.value(middle)}, nine in ten below {numbers.value(high)}. Shrinkage estimates of the trials range "
        f"from {numbers.interval(float(shrunken.min()), float(shrunken.max()))}."
    ]
    if fit.effects.better is not None:
        for item in thresholds:
            distance = numeric_distance(item)
            if distance is None:
                continue
            found = share_of_true_effects(fit, distance, level=level)
            parts.append(
                f"Share of true effects beyond {numbers.value(direction(fit) * distance)} ({item.name}): "
                f"{percent(found['share_mean'])} on average ({stated} interval {percent(found['share_lower'])} to "
                f"{percent(found['share_upper'])})."
            )
    return " ".join(parts)
