"""Published pooled results beside what they say: the printed interval, the mean, and a new study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bayesmeta.columns import percent
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL
from bayesmeta.measures import Measure, measure
from bayesmeta.plots.frame import WIDE, bar, shorten, stretched_limits
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.rows import PlotRows, Row
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    INK,
    MARGIN,
    THRESHOLD,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    ticks,
)
from bayesmeta.plots.wording import NEW_STUDY, Numbers, level_text
from bayesmeta.published import TARGETS, NotAnalysed, Reanalysis, reanalysis_table

__all__ = ["published_plot"]

_PRINTED: dict[str, Any] = {"color": CLASSICAL, "linewidth": 1.0, "marker": "s", "markersize": 3.0}
_MEAN: dict[str, Any] = {"color": BAYES, "linewidth": 1.8, "marker": "o", "markersize": 3.6}
_ALONE: dict[str, Any] = {**_MEAN, "markerfacecolor": "white"}
_NEW: dict[str, Any] = {"color": BAYES, "linewidth": 0.9, "linestyle": (0, (3, 1.5))}
_APART = 0.24


def published_plot(
    items: Sequence[Reanalysis | NotAnalysed],
    *,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw printed intervals against the posterior of the mean and of a new study, one row per published result.

    Parameters
    ----------
    items : sequence of Reanalysis or NotAnalysed
        From `bayesmeta.published.reanalyse_all`, the effects of one measure. Results that could not be analysed are
        listed below the picture with the reason.
    level : float
        Of the posterior's intervals.
    title : str, optional
    width_mm : float
        Between 80 and 420.

    Returns
    -------
    Plot
        ``table`` is that of `bayesmeta.published.reanalysis_table`.

    Raises
    ------
    ModelError
        If nothing could be analysed, or the results are of several measures.

    Examples
    --------
    >>> printed = bm.PublishedResult("pain", "SMD", -0.4, -0.62, -0.18, i2=0, k=7, model="fixed", better="lower")
    >>> published_plot(bm.reanalyse_all([printed])).alt.splitlines()[0][:39]
    'Published results analysed again: 1 of '
    """
    width = check_width(width_mm)
    done = [item for item in items if isinstance(item, Reanalysis)]
    kinds = dict.fromkeys(item.result.measure for item in done)
    if not done:
        raise ModelError("no published result could be analysed, so that nothing is drawn.")
    if len(kinds) > 1:
        raise ModelError(f"results of several measures ({', '.join(kinds)}) do not share an axis; draw each by itself.")
    table = reanalysis_table(items, level=level)
    title = title or "Published results analysed again"
    lines = _lines(done, reanalysis_table(done, level=level))
    with drawing():
        sheet = _draw(done, items, lines, title, level, width)
    return Plot(sheet.figure, table, _alt(done, items, lines, title, level), title)


def _lines(done: Sequence[Reanalysis], table: pd.DataFrame) -> list[dict[str, Any]]:
    """Numbers of every result by target, the mean with heterogeneity or, where that is not known, as published."""
    size = len(TARGETS)
    found: list[dict[str, Any]] = []
    for i in range(len(done)):
        rows = table.iloc[i * size : (i + 1) * size].set_index("target").to_dict("index")
        mean = rows[TARGETS[1]] if done[i].mu is not None else rows[TARGETS[0]]
        found.append({"mean": mean, "new": rows[TARGETS[2]]})
    return found


def _names(done: Sequence[Reanalysis], width: float) -> list[str]:
    """Outcome and subgroup, with the review where there are several."""
    several = len({item.result.review for item in done}) > 1
    room = 0.42 * width if width >= WIDE else width - 2 * MARGIN
    names = []
    for item in done:
        k = "" if item.result.k is None else f", k = {item.result.k}"
        review = f" [{item.result.review}]" if several and item.result.review else ""
        names.append(shorten(f"{item.result.label}{k}{review}", room))
    return names


def _numbers(kind: Measure, done: Sequence[Reanalysis]) -> Numbers:
    if kind.transformed or kind.name in ("SMD", "SMDH"):
        return Numbers(kind, 2)
    smallest = min(item.rebuilt.se for item in done)
    return Numbers(kind, max(0, min(6, 1 - math.floor(math.log10(smallest)))))


def _chance(numbers: dict[str, float]) -> str:
    p = numbers["p_any_benefit"]
    return "\u2013" if math.isnan(p) else percent(p)


def _draw(
    done: Sequence[Reanalysis],
    items: Sequence[Reanalysis | NotAnalysed],
    lines: Sequence[dict[str, Any]],
    title: str,
    level: float,
    width: float,
) -> Sheet:
    kind = measure(done[0].result.measure)
    numbers, stated = _numbers(kind, done), level_text(level)
    directed = any(item.better is not None for item in done)
    heads = ["Published result"]
    if width >= WIDE:
        heads.append("Mean effect [CrI]")
    if directed:
        heads.append("P(benefit), new study")
    rows = []
    for name, line in zip(_names(done, width), lines, strict=True):
        mean = line["mean"]
        cells = [numbers.cell(mean["median"], mean["lower"], mean["upper"])] if width >= WIDE else []
        rows.append(Row(name, (*cells, *((_chance(line["new"]),) if directed else ()))))
    axis = f"{kind.axis}{' (log scale)' if kind.log else ''}"
    block = PlotRows("published", tuple(heads), rows, axis, width)
    marks = _thresholds(done)
    core = [x for line in lines for x in (line["mean"]["lower"], line["mean"]["upper"])]
    core += [x for _, x, _ in marks]
    core += [x for item in done for x in (item.rebuilt.lower, item.rebuilt.upper) if x is not None]
    every = [x for line in lines for x in (line["new"]["lower"], line["new"]["upper"])]
    limits = stretched_limits(kind.name, core, every)
    entries = [
        Entry(_PRINTED, "As printed: estimate and confidence interval"),
        Entry(_MEAN, f"Mean effect with the heterogeneity that I2 leaves possible: {stated} credible interval (CrI)"),
        Entry(_NEW, f"A new study: {stated} prediction interval"),
    ]
    if any(item.mu is None for item in done):
        entries.append(Entry(_ALONE, "Mean effect where heterogeneity cannot be known"))
    entries += [Entry(THRESHOLD[True], text) for text in dict.fromkeys(text for text, _, _ in marks)]
    notes = [NEW_STUDY, *_notes(items)]
    if directed and any(math.isnan(line["new"]["p_any_benefit"]) for line in lines):
        notes.insert(0, "A dash: which direction is benefit, or the effect in a new study, is not known.")
    sheet_head = [_size(done, items)]
    top = head_height(title, sheet_head, width) + 2.0
    footer = top + block.height + 1.5
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, sheet_head)
    axes = block.draw(sheet, top)
    axes.set_xlim(*limits)
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for text, x, benefit in marks:
        axes.axvline(x, zorder=1, label=text, **THRESHOLD[benefit])
    apart = _APART if block.beside else 0.14
    for i, (item, line) in enumerate(zip(done, lines, strict=True)):
        mean = line["mean"]
        look = _MEAN if item.mu is not None else _ALONE
        stroke = {key: value for key, value in look.items() if not key.startswith("marker")}
        if item.rebuilt.lower is not None and item.rebuilt.upper is not None:
            bar(
                axes,
                (item.rebuilt.lower, item.rebuilt.upper),
                i - apart,
                limits,
                f"printed: {i}",
                color=CLASSICAL,
                linewidth=1.0,
            )
        axes.plot(
            [item.rebuilt.y],
            [i - apart],
            linestyle="none",
            zorder=5,
            label=f"estimate: {i}",
            **{key: value for key, value in _PRINTED.items() if key != "linewidth"},
        )
        bar(axes, (mean["lower"], mean["upper"]), i, limits, f"mean: {i}", **stroke)
        axes.plot(
            [mean["median"]],
            [i],
            linestyle="none",
            zorder=5,
            label=f"median: {i}",
            **{key: value for key, value in look.items() if key != "linewidth"},
        )
        bar(axes, (line["new"]["lower"], line["new"]["upper"]), i + apart, limits, f"new study: {i}", **_NEW)
    ticks(axes.xaxis, kind, *limits, block.length)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _notes(items: Sequence[Reanalysis | NotAnalysed]) -> list[str]:
    """What is not drawn, by reason."""
    left: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item, NotAnalysed):
            left.setdefault(item.reason.rstrip("."), []).append(item.result.label)
    return [f"Not drawn, because {reason}: {'; '.join(labels)}." for reason, labels in left.items()]


def _thresholds(done: Sequence[Reanalysis]) -> list[tuple[str, float, bool]]:
    """Where important benefit begins, on one side or, where results differ in direction, on both."""
    places: dict[float, str] = {}
    for item in done:
        if item.threshold is not None and item.better is not None:
            assert isinstance(item.threshold.benefit_distance, float)
            places[(1 if item.better == "higher" else -1) * item.threshold.benefit_distance] = item.better
    words = "Important benefit" if len(places) == 1 else "Important benefit, in the direction of each result"
    return [(words, x, True) for x in places]


def _size(done: Sequence[Reanalysis], items: Sequence[Reanalysis | NotAnalysed]) -> str:
    return f"{len(done)} of {len(items)} published results could be analysed"


def _alt(
    done: Sequence[Reanalysis],
    items: Sequence[Reanalysis | NotAnalysed],
    lines: Sequence[dict[str, Any]],
    title: str,
    level: float,
) -> str:
    kind = measure(done[0].result.measure)
    numbers = _numbers(kind, done)
    parts = [f"{title}: {_size(done, items)}. {kind.label.capitalize()}, {level_text(level)} intervals."]
    for item, line in zip(done, lines, strict=True):
        read, mean, new = item.rebuilt, line["mean"], line["new"]
        printed = numbers.value(read.y)
        if read.lower is not None and read.upper is not None:
            printed += f" ({numbers.interval(read.lower, read.upper)})"
        mean_text = f"mean {numbers.value(mean['median'])} ({numbers.interval(mean['lower'], mean['upper'])})"
        study = "a new study cannot be known"
        if not math.isnan(new["lower"]):
            study = f"a new study {numbers.interval(new['lower'], new['upper'])}"
            if not math.isnan(new["p_any_benefit"]):
                study += f", benefit {percent(new['p_any_benefit'])}"
        parts.append(f"{item.result.label}: printed {printed}, {mean_text}, {study}.")
    return " ".join(parts)
