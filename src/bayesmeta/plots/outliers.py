"""Outliers: how probable it is that each trial belongs to the wider population."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bayesmeta.columns import bayes_factor_text, percent
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.rows import PlotRows, Row
from bayesmeta.plots.sheet import BAYES, GREY, Entry, Sheet, check_width, footer_height, head_height, ticks
from bayesmeta.plots.wording import effect_sentence, level_text, name_of, numbers_of, size_line
from bayesmeta.questions import outlier_table

__all__ = ["outlier_plot"]

_PRIOR: dict[str, Any] = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.0}


def outlier_plot(fit: Fit, *, level: float = LEVEL, title: str | None = None, width_mm: float = 180.0) -> Plot:
    """Draw every trial's probability of being an outlier, the likeliest above.

    Parameters
    ----------
    fit : Fit
        With an outlier population.
    level, title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.questions.profiles.outlier_table`.
    """
    width = check_width(width_mm)
    table = outlier_table(fit, level=level)
    title = f"{title or name_of(fit)}: outlying trials"
    with drawing():
        sheet = _draw(fit, table, title, level, width)
    return Plot(sheet.figure, table, _alt(fit, table, title, level), title)


def _draw(fit: Fit, table: pd.DataFrame, title: str, level: float, width: float) -> Sheet:
    numbers = numbers_of(fit.effects)
    narrow = width < 140
    rows = []
    for item in table.to_dict("records"):
        own = numbers.cell(item["estimate"], item["lower"], item["upper"])
        cells = (percent(item["probability"]), bayes_factor_text(item["bayes_factor"]))
        rows.append(Row(str(item["trial"]), cells if narrow else (own, *cells)))
    headings = ("Trial", *(() if narrow else (f"Estimate [{level_text(level)}]",)), "P(outlier)", "Bayes factor")
    block = PlotRows("outliers", headings, rows, "Probability of being an outlier, percent", width)
    prior = float(table["prior_share"].iloc[0])
    entries = [
        Entry({"facecolor": BAYES, "edgecolor": "none"}, "Posterior probability"),
        Entry(_PRIOR, f"Before any trial: {percent(prior)}"),
    ]
    notes = ["Bayes factor: the trial's own evidence for being an outlier, given what the other trials say."]
    head = [size_line(fit.effects)]
    top = head_height(title, head, width) + 2.0
    footer = top + block.height + 1.5
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    axes = block.draw(sheet, top)
    axes.set_xlim(0, 100)
    height = 0.62 if block.beside else 0.36
    axes.barh(range(len(table)), 100 * table["probability"], height=height, color=BAYES, zorder=2)
    axes.axvline(100 * prior, zorder=3, label="prior", **_PRIOR)
    ticks(axes.xaxis, measure("generic"), 0.0, 100.0, block.length)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _alt(fit: Fit, table: pd.DataFrame, title: str, level: float) -> str:
    prior = float(table["prior_share"].iloc[0])
    above = table[table["probability"] > prior]
    numbers = numbers_of(fit.effects)
    named = [
        f"{item['trial']} {percent(item['probability'])} (estimate {numbers.value(item['estimate'])}, Bayes factor "
        f"{bayes_factor_text(item['bayes_factor'])})"
        for item in above.to_dict("records")
    ]
    rest = table[table["probability"] <= prior]
    parts = [
        f"Outlying trials of {title.removesuffix(': outlying trials')}: {size_line(fit.effects)}. Before any trial "
        f"each has {percent(prior)}.",
        f"Above that: {'; '.join(named)}." if named else "No trial is above that.",
    ]
    if len(rest):
        parts.append(f"The other {len(rest)} have {percent(rest['probability'].max())} at most.")
    return " ".join([*parts, effect_sentence(fit, level)])
