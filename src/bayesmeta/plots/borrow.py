"""Borrowing: what the review predicts, what the trial says on its own, and both together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesmeta.columns import percent
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.marginals import NormalMixture
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.frame import framed
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import BAYES, CLASSICAL, DENSITY, GREY, INK, THRESHOLD, Entry, Sheet, check_width, ticks
from bayesmeta.plots.tables import threshold_lines
from bayesmeta.plots.wording import axis_label, level_text, name_of, numbers_of, size_line, stated_thresholds
from bayesmeta.questions import Borrowing, borrowing_probabilities

__all__ = ["borrow_plot"]

_LOOKS: dict[str, dict[str, Any]] = {
    "prior": {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.0},
    "alone": {"color": CLASSICAL, "linestyle": (0, (5, 1)), "linewidth": 1.2},
    "posterior": {"color": BAYES, "linestyle": "-", "linewidth": 1.4},
}
_POINTS = 401


def borrow_plot(
    found: Borrowing,
    fit: Fit,
    threshold: Threshold | None = None,
    *,
    source: str = "the review",
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the robust prior, the trial on its own, and the posterior.

    Parameters
    ----------
    found : Borrowing
    fit : Fit
        The trial's own analysis, which names outcome, measure and unit.
    threshold : Threshold, optional
        Marked.
    source : str
        What the review is called.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` has the columns ``curve x density``; ``curve`` is ``prior``, ``alone`` or ``posterior``.

    Examples
    --------
    >>> found = bm.robust_map(NormalMixture([1.0], [-0.3], [0.1]), -0.2, 0.1, vague=bm.Normal(0, 2), better="lower")
    >>> borrow_plot(found, fit, title="Fatigue").title
    'Fatigue: with and without borrowing'
    """
    width = check_width(width_mm)
    table = _curves(found)
    chosen = stated_thresholds(fit, threshold)
    title = f"{title or name_of(fit)}: with and without borrowing"
    with drawing():
        sheet = _draw(found, fit, table, threshold_lines(fit, chosen), source, title, level, width)
    return Plot(sheet.figure, table, _alt(found, fit, threshold, source, title, level), title)


def _forms(found: Borrowing) -> dict[str, NormalMixture]:
    return {"prior": found.prior, "alone": found.alone, "posterior": found.posterior}


def _curves(found: Borrowing) -> pd.DataFrame:
    # the vague part of the prior is too wide to be seen whole
    ends = np.concatenate(
        [
            found.source.quantile([0.005, 0.995]),
            found.alone.quantile([0.001, 0.999]),
            found.posterior.quantile([0.001, 0.999]),
            [0.0],
        ]
    )
    x = np.linspace(float(ends.min()), float(ends.max()), _POINTS)
    parts = [pd.DataFrame({"curve": name, "x": x, "density": form.density(x)}) for name, form in _forms(found).items()]
    return pd.concat(parts, ignore_index=True)


def _words(found: Borrowing, source: str) -> dict[str, str]:
    vague = f"normal({found.vague.mean:.3g}, {found.vague.sd:.3g})"
    return {
        "prior": f"Prior: {percent(1 - found.weight, 0)} {source}, {percent(found.weight, 0)} {vague}",
        "alone": "The trial on its own",
        "posterior": "Both together (posterior)",
    }


def _draw(
    found: Borrowing,
    fit: Fit,
    table: pd.DataFrame,
    lines: list[tuple[str, float, bool]],
    source: str,
    title: str,
    level: float,
    width: float,
) -> Sheet:
    words = _words(found, source)
    entries = [Entry(look, words[name]) for name, look in _LOOKS.items()]
    entries += [Entry(THRESHOLD[benefit], name) for name, _, benefit in lines]
    note = (
        f"Posterior probability that the review says nothing about this trial: {percent(found.vague_weight)}. "
        f"Shaded: central {level_text(level)} of the posterior."
    )
    head = [size_line(fit.effects)]
    panel = framed("borrowing", title, head, entries, [note], (axis_label(fit.effects), "Density"), width, height=55.0)
    axes = panel.axes
    x = table.loc[table["curve"] == "prior", "x"].to_numpy(float)
    shown = np.array([x[0], x[-1], *(place for _, place, _ in lines)])
    low, high = float(shown.min()), float(shown.max())
    axes.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    lower, upper = found.posterior.interval(level)
    density = table.loc[table["curve"] == "posterior", "density"].to_numpy(float)
    axes.fill_between(x, 0, density, where=((x >= lower) & (x <= upper)).tolist(), color=DENSITY, linewidth=0, zorder=1)
    for name, look in _LOOKS.items():
        axes.plot(x, table.loc[table["curve"] == name, "density"], zorder=3, label=name, **look)
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1)
    for text, place, benefit in lines:
        axes.axvline(place, zorder=2, label=text, **THRESHOLD[benefit])
    axes.set_ylim(0, 1.06 * float(table["density"].max()))
    axes.set_yticks([])
    ticks(axes.xaxis, measure(fit.effects.measure), *axes.get_xlim(), panel.length)
    return panel.sheet


def _alt(found: Borrowing, fit: Fit, threshold: Threshold | None, source: str, title: str, level: float) -> str:
    numbers = numbers_of(fit.effects)

    def text(form: NormalMixture) -> str:
        lower, upper = form.interval(level)
        return f"{numbers.value(float(form.quantile(0.5)))} ({level_text(level)} {numbers.interval(lower, upper)})"

    parts = [
        f"Densities of {title.removesuffix(': with and without borrowing')}: {size_line(fit.effects)}. "
        f"The review ({source}) predicts {text(found.source)}; the trial on its own gives {text(found.alone)}; both "
        f"together {text(found.posterior)}.",
        f"The review is discarded with probability {percent(found.vague_weight)} (before the trial "
        f"{percent(found.weight)}).",
    ]
    if found.better is not None and threshold is not None:
        own, both = (borrowing_probabilities(found, threshold, form) for form in (found.alone, found.posterior))
        parts.append(
            f"Probability of an important benefit: {percent(own['p_important_benefit'])} on its own, "
            f"{percent(both['p_important_benefit'])} with the review."
        )
    return " ".join(parts)
