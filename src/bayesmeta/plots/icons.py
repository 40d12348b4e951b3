"""Icon array: people per 100 or 1000 without and with treatment, and new studies by how much they help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.plan import BaselineRisk, Threshold
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.sheet import (
    BENEFIT,
    INK,
    LINE,
    MARGIN,
    WORSE,
    Entry,
    Sheet,
    check_width,
    draw_line,
    footer_height,
    head_height,
    wrap,
)
from bayesmeta.plots.wording import NEW_STUDY, arm_names, level_text, name_of, size_line, stated_thresholds
from bayesmeta.questions import benefit_table, risk_table

__all__ = ["icon_array", "icon_table"]

# millimetres
_BETWEEN, _WIDEST_PANEL, _MM = 8.0, 75.0, 72 / 25.4
_NONE = "#ffffff"
_GREY = "#9a9a9a"
#: What an icon stands for: its look, and its words.
_LOOKS: dict[str, dict[str, Any]] = {
    "event": {"markerfacecolor": INK, "markeredgecolor": INK, "marker": "o"},
    "no event": {"markerfacecolor": _NONE, "markeredgecolor": _GREY, "marker": "o"},
    "prevented": {"markerfacecolor": BENEFIT, "markeredgecolor": INK, "marker": "s"},
    "caused": {"markerfacecolor": WORSE, "markeredgecolor": INK, "marker": "D"},
    "important benefit": {"markerfacecolor": BENEFIT, "markeredgecolor": INK, "marker": "s"},
    "little or none": {"markerfacecolor": _NONE, "markeredgecolor": _GREY, "marker": "o"},
    "important harm": {"markerfacecolor": WORSE, "markeredgecolor": INK, "marker": "D"},
}
_LISTED = {
    "event": "Has the event",
    "no event": "Does not have it",
    "prevented": "Does not have it because of treatment",
    "caused": "Has it because of treatment",
    "important benefit": "A new study with an important benefit",
    "little or none": "One between the thresholds",
    "important harm": "One with an important harm",
}


@dataclass(frozen=True, slots=True)
class _Panel:
    """A block of icons with its heading, and the line below."""

    name: str
    heading: str
    counts: dict[str, int]
    below: str


def icon_table(
    fit: Fit,
    risk: BaselineRisk | float | None = None,
    *,
    threshold: Threshold | float | None = None,
    per: Literal[100, 1000] = 100,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Whole numbers of icons: people without and with treatment, and new studies.

    People are counted from the posterior medians of `risk_table`, so that numbers are those of the mean effect; new
    studies from the probabilities of `benefit_table`. Shares are rounded so that they add up (largest remainders).

    Parameters
    ----------
    fit : Fit
        The pooled fit.
    risk : BaselineRisk or float, optional
        Without treatment, of an odds ratio, risk ratio, risk difference or hazard ratio. Default: the first of the
        fit's outcome.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    per : {100, 1000}
    level : float
        Of the interval of people with the event.

    Returns
    -------
    pandas.DataFrame
        Columns ``panel kind count share per lower upper level``: panels ``without`` and ``with`` where there is a risk,
        ``new studies`` where there are a threshold and a direction; ``lower`` and ``upper`` are those of the people
        with the event.

    Raises
    ------
    ModelError
        Where neither can be told, with the reason.

    Examples
    --------
    >>> effects = bm.Effects(["A", "B"], [-0.8, -0.5], [0.2, 0.1], measure="RR", better="lower")
    >>> table = icon_table(bm.fit(effects, bm.Model(bm.Flat(), None)), 0.2)
    >>> table[table["panel"] == "with"].set_index("kind")["count"].to_dict()
    {'event': 11, 'prevented': 9, 'no event': 80}
    """
    records: list[dict[str, Any]] = []

    def add(panel: str, shares: dict[str, float], **more: float) -> None:
        counted = _whole(list(shares.values()), per)
        records.extend(
            {"panel": panel, "kind": kind, "count": count, "share": share, "per": per, **more}
            for (kind, share), count in zip(shares.items(), counted, strict=True)
        )

    found: Any = risk_table(fit, [risk] if isinstance(risk, BaselineRisk) else risk, per=1.0, level=level)
    row = found[found["target"] == "mean effect"].iloc[0] if (found["target"] == "mean effect").any() else None
    reason = found["note"].iloc[0]
    if row is not None and math.isfinite(row["with_treatment"]):
        before, after = float(row["without"]), float(row["with_treatment"])
        add(
            "without", {"event": before, "no event": 1 - before}, lower=row["without_lower"], upper=row["without_upper"]
        )
        changed = "prevented" if after < before else "caused"
        shares = {"event": min(before, after), changed: abs(before - after), "no event": 1 - max(before, after)}
        add("with", shares, lower=row["with_lower"], upper=row["with_upper"])
    chosen = stated_thresholds(fit, threshold, primary=True)
    if chosen and fit.model.tau is not None:
        chances = benefit_table(fit, chosen, level=level).set_index("target").to_dict("index")["new study"]
        shares = {
            "important benefit": float(chances["p_important_benefit"]),
            "little or none": float(chances["p_trivial"]),
            "important harm": float(chances["p_important_harm"]),
        }
        add("new studies", shares)
    if not records:
        raise ModelError(f"no people ({reason or 'no risk without treatment'}), and no threshold for new studies.")
    columns = ["panel", "kind", "count", "share", "per", "lower", "upper"]
    return pd.DataFrame(records).reindex(columns=columns).assign(level=level)


def _whole(shares: Sequence[float], per: int) -> list[int]:
    """Whole numbers that add up to ``per``, by largest remainders."""
    exact = np.asarray(shares, float) * per / math.fsum(shares)
    counts = np.floor(exact).astype(int)
    rest = np.argsort(-(exact - counts), kind="stable")[: per - int(counts.sum())]
    counts[rest] += 1
    return [int(count) for count in counts]


def icon_array(
    fit: Fit,
    risk: BaselineRisk | float | None = None,
    *,
    threshold: Threshold | float | None = None,
    per: Literal[100, 1000] = 100,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw people per 100 or 1000 without and with treatment, and the share of new studies with an important benefit.

    Parameters
    ----------
    fit, risk, threshold, per, level
        As in `icon_table`.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `icon_table`.

    Raises
    ------
    ModelError
        As `icon_table`, and for a width outside 80 to 420 mm.

    Examples
    --------
    >>> effects = bm.Effects(["A", "B"], [-0.8, -0.5], [0.2, 0.1], measure="RR", better="lower", name="Falls")
    >>> icon_array(bm.fit(effects, bm.Model(bm.Flat(), None)), 0.2).alt
    'Falls, of 100 people: with control 20 have the event; with treatment 11 (95 % 10 to 14).'
    """
    width = check_width(width_mm)
    table = icon_table(fit, risk, threshold=threshold, per=per, level=level)
    chosen = stated_thresholds(fit, threshold, primary=True)
    panels = _panels(fit, table, chosen, level)
    name = title or name_of(fit)
    title = f"{name}: of {per:,}"
    with drawing():
        sheet = _draw(fit, panels, per, title, width)
    return Plot(sheet.figure, table, _alt(panels, name, per), title)


def _panels(fit: Fit, table: pd.DataFrame, chosen: Sequence[Threshold], level: float) -> list[_Panel]:
    treated, control = arm_names(fit.effects)
    panels = []
    for name, rows in table.groupby("panel", sort=False):
        counts = dict(zip(rows["kind"], rows["count"].astype(int), strict=True))
        per, first = int(rows["per"].iloc[0]), rows.iloc[0]
        if name == "new studies":
            below = f"{counts['important benefit']} beyond the threshold of benefit, {chosen[0].name}"
            panels.append(_Panel("new studies", f"Of {per:,} new studies like these", counts, below))
            continue
        events = counts["event"] + counts.get("caused", 0)
        ends = [round(per * float(first[end])) for end in ("lower", "upper")]
        interval = f" ({level_text(level)} {ends[0]} to {ends[1]})" if ends[0] < ends[1] else ""
        arm = control if name == "without" else treated
        panels.append(_Panel(str(name), f"Of {per:,} people with {arm}", counts, f"{events} have the event{interval}"))
    return panels


def _draw(fit: Fit, panels: Sequence[_Panel], per: int, title: str, width: float) -> Sheet:
    across = 10 if per == 100 else 40
    down = per // across
    beside = width >= 140.0
    number = len(panels) if beside else 1
    size = min((width - 2 * MARGIN - _BETWEEN * (number - 1)) / number, _WIDEST_PANEL)
    pitch = size / across
    looks = dict(_LOOKS)
    if fit.effects.better == "higher":
        # the event is what people hope for
        looks["prevented"], looks["caused"] = (
            {**_LOOKS[kind], "markerfacecolor": color} for kind, color in (("prevented", WORSE), ("caused", BENEFIT))
        )
    kinds = dict.fromkeys(kind for panel in panels for kind, count in panel.counts.items() if count)
    entries = [
        Entry({**looks[kind], "linestyle": "none", "markersize": 5.0, "markeredgewidth": 0.6}, _LISTED[kind])
        for kind in kinds
    ]
    notes = []
    if any(panel.name == "with" for panel in panels):
        notes.append("People: by the mean effect (posterior medians), rounded to whole people.")
    if any(panel.name == "new studies" for panel in panels):
        notes.append(NEW_STUDY)
    head = [size_line(fit.effects)]
    heads = {panel.name: wrap(panel.heading, size, bold=True) for panel in panels}
    lines = {panel.name: wrap(panel.below, size) for panel in panels}
    above = LINE * max(map(len, heads.values())) + 1.5
    below = LINE * max(map(len, lines.values())) + 3.0
    step = above + pitch * down + below
    top = head_height(title, head, width) + 2.0
    footer = top + step * (1 if beside else len(panels))
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    for i, panel in enumerate(panels):
        left = MARGIN + (i * (size + _BETWEEN) if beside else 0.0)
        y = top + (0.0 if beside else i * step)
        for row, line in enumerate(heads[panel.name]):
            sheet.text(left, y + (row + 0.5) * LINE, line, weight="bold")
        axes = sheet.axes(left, y + above, size, pitch * down, panel.name)
        axes.set_xlim(0, across)
        axes.set_ylim(down, 0)
        axes.set_axis_off()
        start = 0
        for kind, count in panel.counts.items():
            places = np.arange(start, start + count)
            draw_line(
                axes,
                places % across + 0.5,
                places // across + 0.5,
                linestyle="none",
                markersize=0.62 * pitch * _MM,
                markeredgewidth=0.4,
                label=kind,
                **looks[kind],
            )
            start += count
        for row, line in enumerate(lines[panel.name]):
            sheet.text(left, y + above + pitch * down + 1.0 + (row + 0.5) * LINE, line)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _alt(panels: Sequence[_Panel], name: str, per: int) -> str:
    parts = []
    people = [panel for panel in panels if panel.name != "new studies"]
    if people:
        said = [f"{panel.heading.split('people ')[1]} {panel.below}" for panel in people]
        said[1:] = [text.replace(" have the event", "") for text in said[1:]]
        parts.append(f"{name}, of {per:,} people: {'; '.join(said)}.")
    for panel in panels:
        if panel.name == "new studies":
            counts = ", ".join(f"{count} with {kind}" for kind, count in panel.counts.items())
            parts.append(f"{name}, of {per:,} new studies like these: {counts}.")
    return " ".join(parts)
