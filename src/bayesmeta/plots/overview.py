"""All outcomes in one picture: both posteriors against the thresholds, benefit always on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bayesmeta.columns import percent
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.measures import measure
from bayesmeta.plan import Threshold
from bayesmeta.plots.frame import bar, stretched_limits
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BAYES,
    CLASSICAL,
    DENSITY,
    INK,
    LINE,
    MARGIN,
    THRESHOLD,
    Entry,
    Sheet,
    check_width,
    footer_height,
    head_height,
    signed,
    text_width,
    ticks,
    wrap,
)
from bayesmeta.plots.tables import pool_or_none, threshold_lines
from bayesmeta.plots.wording import NEW_STUDY, axis_label, level_text, name_of, numbers_of, stated_thresholds
from bayesmeta.questions import any_benefit_of, benefit_table, direction, predict

__all__ = ["overview_plot", "overview_table"]

FloatArray = NDArray[np.float64]

# millimetres
_ROW, _CURVE, _BELOW, _AXIS, _BETWEEN, _GAP = 11.5, 6.2, 1.4, 5.0, 3.0, 3.0
_LANE, _NARROWEST = 0.4, 30.0
_CHANCES = ("p_important_benefit", "p_important_harm")
_TAILS = np.array([0.001, 0.999])
_POINTS = 301
_MEAN: dict[str, Any] = {"color": BAYES, "linewidth": 2.2}
_DOT: dict[str, Any] = {
    "marker": "o",
    "markersize": 3.4,
    "markerfacecolor": "white",
    "markeredgecolor": BAYES,
    "markeredgewidth": 0.8,
}
_NEW: dict[str, Any] = {"color": BAYES, "linewidth": 0.8}
_TICK: dict[str, Any] = {"color": CLASSICAL, "linewidth": 1.2}
_FILLS: dict[str, dict[str, Any]] = {
    "mean": {"facecolor": "#66aad1", "edgecolor": BAYES, "linewidth": 0.6},
    "new study": {"facecolor": DENSITY, "edgecolor": BAYES, "linewidth": 0.4},
}


@dataclass(frozen=True, slots=True)
class _Item:
    """One outcome with what is drawn of it, on the axis on which benefit is to the right."""

    name: str
    fit: Fit
    sign: int
    numbers: dict[str, dict[str, float]]
    lines: list[tuple[str, float, bool]]
    cells: tuple[str, ...]


def overview_table(
    fits: Mapping[str, Any] | Sequence[Any],
    *,
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Mean effect, effect in a new study and classical mean of every outcome, with chances of benefit and harm.

    Parameters
    ----------
    fits : sequence of Fit or Analysis, or mapping of names to them
        Pooled fits that state which direction is better.
    threshold : Threshold or float, optional
        Default: the primary one of each outcome.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``outcome measure better kind estimate lower upper p_any_benefit p_important_benefit
        p_important_harm threshold level``, in the outcome's own direction on the scale of the analysis; ``kind`` is
        ``mean``, ``new study`` or ``classical``, whose probabilities are missing. Those against a threshold are missing
        where there is none.

    Raises
    ------
    ModelError
        For something that is no fit, no fits, two of one name, a fit with moderators, or one without a direction.

    Examples
    --------
    >>> overview_table({"Fatigue": fit})["kind"].tolist()
    ['mean', 'new study', 'classical']
    """
    records = []
    for name, fit in _named(fits).items():
        chosen = stated_thresholds(fit, threshold, primary=True)
        predicted = predict(fit, level=level)
        chances = benefit_table(fit, chosen).set_index("target").to_dict("index") if chosen else {}
        stated = chosen[0].name if chosen else ""
        for kind, target, row in (("mean", "mean effect", "mu"), ("new study", "new study", "theta_new")):
            if kind == "new study" and fit.model.tau is None:
                continue
            beyond = {name: chances[target][name] for name in _CHANCES if chances}
            median, lower, upper = predicted.loc[row, ["median", "lower", "upper"]].to_numpy(float)
            records.append(
                {
                    "outcome": name,
                    "kind": kind,
                    "estimate": median,
                    "lower": lower,
                    "upper": upper,
                    "p_any_benefit": any_benefit_of(fit, row),
                    **beyond,
                    "threshold": stated,
                }
            )
        if (classical := pool_or_none(fit, level)) is not None:
            ends = {"estimate": classical.estimate, "lower": classical.lower, "upper": classical.upper}
            records.append({"outcome": name, "kind": "classical", **ends, "threshold": stated})
        for record in records:
            if record["outcome"] == name:
                record |= {"measure": fit.effects.measure, "better": fit.effects.better}
    columns = ["outcome", "measure", "better", "kind", "estimate", "lower", "upper", "p_any_benefit"]
    table = pd.DataFrame(records).reindex(columns=[*columns, *_CHANCES, "threshold"])
    return table.assign(level=level)


def _named(fits: Mapping[str, Any] | Sequence[Any]) -> dict[str, Fit]:
    """Pooled fits by what they are called."""
    pairs = list(fits.items()) if isinstance(fits, Mapping) else [("", item) for item in fits]
    found: dict[str, Fit] = {}
    for given, item in pairs:
        fit = getattr(item, "pooled", item)
        if not isinstance(fit, Fit):
            raise ModelError(f"{type(item).__name__} is neither a Fit nor an Analysis; give pooled fits.")
        name = given or name_of(fit)
        if fit.model.beta:
            raise ModelError(f"{name}: the picture is of pooled analyses; this fit has moderators.")
        if fit.effects.better is None:
            raise ModelError(f"{name} does not state which direction is better, and benefit stands on one side.")
        if name in found:
            raise ModelError(f"two outcomes are called {name!r}; give a mapping of names to fits.")
        found[name] = fit
    if not found:
        raise ModelError("no outcomes: give a fit or more.")
    return found


def overview_plot(
    fits: Mapping[str, Any] | Sequence[Any],
    *,
    threshold: Threshold | float | None = None,
    level: float = LEVEL,
    title: str = "All outcomes",
    width_mm: float = 180.0,
) -> Plot:
    """Draw both posteriors of every outcome against its thresholds, with benefit to the right.

    Outcomes of different measures have an axis each: differences are written as distances towards benefit, ratios as
    ratios.

    Parameters
    ----------
    fits, threshold, level
        As in `overview_table`.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `overview_table`.

    Raises
    ------
    ModelError
        As `overview_table`, and for a width outside 80 to 420 mm.

    Examples
    --------
    >>> overview_plot({"Fatigue": fit}).alt.split(": ")[0]
    'All outcomes, benefit to the right. Fatigue'
    """
    width = check_width(width_mm)
    table = overview_table(fits, threshold=threshold, level=level)
    items = [_item(name, fit, table, threshold) for name, fit in _named(fits).items()]
    sections: dict[tuple[Any, ...], list[_Item]] = {}
    for item in items:
        effects = item.fit.effects
        # ratios of outcomes in which more is better run the other way
        way = effects.better if measure(effects.measure).transformed else None
        sections.setdefault((effects.measure, effects.unit, way), []).append(item)
    with drawing():
        sheet = _draw(list(sections.values()), title, level, width)
    alt = " ".join([f"{title}, benefit to the right.", *(_sentence(item, level) for item in items)])
    return Plot(sheet.figure, table, alt, title)


def _item(name: str, fit: Fit, table: pd.DataFrame, threshold: Threshold | float | None) -> _Item:
    rows = table[table["outcome"] == name].set_index("kind")
    numbers = {str(kind): {str(k): v for k, v in row.items()} for kind, row in rows.to_dict("index").items()}
    kind, sign = numbers_of(fit.effects), direction(fit)
    ends = [numbers["mean"][part] for part in ("estimate", "lower", "upper")]
    if not kind.kind.transformed and sign < 0:
        ends = [-ends[0], -ends[2], -ends[1]]
    cells = [kind.cell(*ends)]
    cells += [_chance(numbers["mean"][column]) for column in ("p_any_benefit", "p_important_benefit")]
    cells.append(_chance(numbers.get("new study", {}).get("p_important_benefit", np.nan)))
    lines = threshold_lines(fit, stated_thresholds(fit, threshold, primary=True))
    return _Item(name, fit, sign, numbers, lines, tuple(map(signed, cells)))


def _chance(p: float) -> str:
    return percent(p, 0) if np.isfinite(p) else "\u2013"


def _limits(items: Sequence[_Item]) -> tuple[float, float]:
    """Ends of an axis on which benefit is to the right."""
    core, every = [], []
    for item in items:
        ends = [marginal(item.fit, "mu").quantile(np.array([0.01, 0.99]))]
        core += [item.sign * x for x in (*ends[0], *(place for _, place, _ in item.lines))]
        every += [item.sign * row[end] for row in item.numbers.values() for end in ("lower", "upper")]
    low, high = stretched_limits("generic", core, every)
    return low, high


def _draw(sections: Sequence[Sequence[_Item]], title: str, level: float, width: float) -> Sheet:
    items = [item for part in sections for item in part]
    stated = level_text(level)
    headings = (f"Mean effect [{stated} CrI]", "Any benefit", "Important benefit", "Important, new study")
    number = len(headings)
    while True:
        widths = [
            max([text_width(item.cells[i]) for item in items] + [text_width(word) for word in headings[i].split()])
            for i in range(number)
        ]
        used = sum(widths) + _GAP * number
        labels = min(max(text_width(item.name) for item in items) + 0.5, (0.19 if width > 120 else 0.4) * width)
        lane = width - 2 * MARGIN - labels - _GAP - used
        if lane >= max(_LANE * width, _NARROWEST) or not number:
            break
        number -= 1
    words = [wrap(item.name, labels) for item in items]
    heights = [max(_ROW, LINE * len(part) + 2.0) for part in words]
    head = ["Benefit is to the right of every axis. Chances are of the mean effect but where a new study is named"]
    heads = [wrap(headings[i], widths[i] + 0.1) for i in range(number)]
    deepest = max(map(len, heads), default=0)
    top = head_height(title, head, width) + 2.0 + LINE * deepest + 1.5
    entries = _legend(items, stated)
    notes = _notes(items)
    foot = _AXIS + LINE + _BETWEEN
    total = sum(heights) + foot * len(sections)
    sheet = Sheet(width, top + total + footer_height(entries, notes, width))
    sheet.head(title, head)
    left = MARGIN + labels + _GAP
    rights = (left + lane + np.cumsum([size + _GAP for size in widths])).tolist() if number else []
    for right, lines in zip(rights, heads, strict=True):
        for i, line in enumerate(lines[::-1]):
            sheet.text(right, top - 1.8 - (i + 0.5) * LINE, line, ha="right")
    if number:
        sheet.rule(top - 0.8, MARGIN, width - MARGIN)
    y, place = top, 0
    for part in sections:
        high = sum(heights[place : place + len(part)])
        axes = sheet.axes(left, y, lane, high, f"overview {part[0].fit.effects.measure}")
        limits = _limits(part)
        axes.set_xlim(*limits)
        axes.set_ylim(y + high, y)
        axes.yaxis.set_visible(False)
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
        for item in part:
            height = heights[place]
            middle = y + 0.5 * height
            for i, line in enumerate(words[place]):
                sheet.text(MARGIN, middle + (i - 0.5 * (len(words[place]) - 1)) * 0.85 * LINE, line)
            for right, cell in zip(rights, item.cells, strict=False):
                sheet.text(right, middle, cell, ha="right")
            _draw_item(axes, item, y + 0.5 * (height - _CURVE - _BELOW - 1.4) + _CURVE, (y, y + height), limits)
            y += height
            place += 1
        _draw_axis(axes, part[0], limits, lane)
        sheet.text(left + 0.5 * lane, y + _AXIS + 0.5 * LINE, _axis_words(part[0], lane), ha="center")
        y += foot
    sheet.notes(sheet.legend(y, entries), notes)
    return sheet


def _axis_words(item: _Item, lane: float) -> str:
    words = axis_label(item.fit.effects)
    longer = f"{words}, towards benefit \u2192"
    return longer if text_width(longer) <= lane + 10.0 else f"{words} \u2192"


def _draw_axis(axes: Axes, item: _Item, limits: tuple[float, float], lane: float) -> None:
    kind = measure(item.fit.effects.measure)
    if kind.transformed and item.sign < 0:
        ticks(axes.xaxis, kind, -limits[1], -limits[0], lane, sign=-1)
    else:
        ticks(axes.xaxis, kind, *limits, lane)


def _draw_item(axes: Axes, item: _Item, base: float, ends: tuple[float, float], limits: tuple[float, float]) -> None:
    for kind, name, share in (("new study", "theta_new", 0.75), ("mean", "mu", 1.0)):
        if kind not in item.numbers:
            continue
        form = marginal(item.fit, name)
        low, high = form.quantile(_TAILS)
        across = np.linspace(low, high, _POINTS)
        height = np.asarray(form.density(across), float)
        axes.fill_between(
            item.sign * across,
            base,
            base - share * _CURVE * height / height.max(),
            zorder=2 if kind == "new study" else 3,
            label=f"{kind} density: {item.name}",
            **_FILLS[kind],
        )
    for kind, look, down in (("new study", _NEW, _BELOW), ("mean", _MEAN, _BELOW)):
        if kind in item.numbers:
            row = item.numbers[kind]
            pair = sorted((item.sign * row["lower"], item.sign * row["upper"]))
            bar(axes, (pair[0], pair[1]), base + down, limits, f"{kind} interval: {item.name}", **look)
    centre = item.sign * item.numbers["mean"]["estimate"]
    dot: dict[str, Any] = {
        "marker": "o",
        "markersize": 3.4,
        "color": "white",
        "markeredgecolor": BAYES,
        "markeredgewidth": 0.8,
    }
    axes.plot([centre], [base + _BELOW], zorder=6, label=f"mean: {item.name}", **dot)
    if "classical" in item.numbers:
        x = item.sign * item.numbers["classical"]["estimate"]
        axes.plot([x, x], [base + 0.1, base + 2 * _BELOW - 0.1], zorder=7, label=f"classical: {item.name}", **_TICK)
    for name, x, benefit in item.lines:
        axes.plot([item.sign * x] * 2, [ends[0] + 0.6, ends[1] - 0.6], zorder=4, label=name, **THRESHOLD[benefit])


def _legend(items: Sequence[_Item], stated: str) -> list[Entry]:
    entries = [
        Entry(_FILLS["mean"], "Posterior of the mean effect"),
        Entry(_FILLS["new study"], "Posterior predictive density of a new study; each is scaled to its own height"),
        Entry(
            {**_MEAN, **_DOT},
            f"Median and {stated} central credible interval of the mean",
        ),
        Entry(_NEW, f"{stated} prediction interval of a new study"),
    ]
    if any("classical" in item.numbers for item in items):
        mark = {"marker": "|", "markersize": 6.0, "markeredgewidth": 1.2, "color": CLASSICAL, "linestyle": "none"}
        entries.append(Entry(mark, "Classical mean (REML)"))
    found = {benefit for item in items for _, _, benefit in item.lines}
    names = dict.fromkeys(name.rsplit(" (", 1)[0] for item in items for name, _, _ in item.lines)
    for benefit, word in ((True, "benefit"), (False, "harm")):
        if benefit in found:
            kinds = [name.partition(", ")[2] for name in names if name.startswith(f"Threshold of {word}, ")]
            entries.append(Entry(THRESHOLD[benefit], f"Threshold of {word}: {', '.join(dict.fromkeys(kinds))}"))
    return entries


def _notes(items: Sequence[_Item]) -> list[str]:
    return [NEW_STUDY] if any("new study" in item.numbers for item in items) else []


def _sentence(item: _Item, level: float) -> str:
    numbers, mean = numbers_of(item.fit.effects), item.numbers["mean"]
    parts = [
        f"{item.name}: mean effect {numbers.value(mean['estimate'])} ({level_text(level)} "
        f"{numbers.interval(mean['lower'], mean['upper'])}; {item.fit.effects.better} is better)"
    ]
    if np.isfinite(mean["p_any_benefit"]):
        parts.append(f"any benefit {percent(mean['p_any_benefit'])}")
    if np.isfinite(mean["p_important_benefit"]):
        parts.append(f"important benefit {percent(mean['p_important_benefit'])}")
    new = item.numbers.get("new study")
    if new is not None:
        parts.append(f"new study {numbers.interval(new['lower'], new['upper'])}")
    if "classical" in item.numbers:
        parts.append(f"classical mean {numbers.value(item.numbers['classical']['estimate'])}")
    return f"{', '.join(parts)}."
