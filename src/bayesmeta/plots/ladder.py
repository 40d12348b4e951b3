"""From prior to posterior: prior and posterior intervals under each prior."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesmeta.columns import percent
from bayesmeta.errors import BayesmetaError, ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure
from bayesmeta.model import Model
from bayesmeta.plan import Threshold
from bayesmeta.plots.frame import WIDE, bar, pooled_only, shorten, stretched_limits
from bayesmeta.plots.picture import Plot, drawing
from bayesmeta.plots.rows import PlotRows, Row
from bayesmeta.plots.sheet import (
    BAYES,
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
from bayesmeta.plots.tables import threshold_lines
from bayesmeta.plots.wording import axis_label, effect_sentence, level_text, name_of, new_study, numbers_of, size_line
from bayesmeta.priors import Prior, parse, resolve
from bayesmeta.questions import resolve_thresholds
from bayesmeta.sensitivity import NamedPrior, named_priors, prior_bench_table, prior_probability

__all__ = ["ladder_plot", "ladder_table"]

_PRIOR: dict[str, Any] = {"color": "#9A9A9A", "linewidth": 2.2}
_PRIOR_NEW: dict[str, Any] = {"color": "#9A9A9A", "linewidth": 0.8, "linestyle": (0, (3, 1.5))}
_MEAN: dict[str, Any] = {"color": BAYES, "linewidth": 1.8}
_NEW: dict[str, Any] = {"color": BAYES, "linewidth": 0.9, "linestyle": (0, (3, 1.5))}
# halvings of the interval in which a prior quantile is sought, in units of the distribution of the whole axis
_HALVINGS = 90


def ladder_table(
    fit: Fit,
    table: pd.DataFrame | None = None,
    *,
    mu: Sequence[NamedPrior] = (),
    tau: Sequence[NamedPrior] = (),
    threshold: Threshold | float | None = None,
    ref_sd: float | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Posteriors with one prior replaced by another, each with its prior intervals and probabilities.

    Parameters
    ----------
    fit : Fit
        Exact, with heterogeneity, pooled.
    table : pandas.DataFrame, optional
        From `bayesmeta.sensitivity.prior_bench_table`; made where it is not given.
    mu, tau : sequence of NamedPrior
        Those of the table that are not among `bayesmeta.sensitivity.named_priors`.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    ref_sd : float, optional
        As in `bayesmeta.sensitivity.prior_bench_table`.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``label varied`` (``stated``, ``mu`` or ``tau``), ``prior_lower prior_upper prior_new_lower
        prior_new_upper`` (central prior intervals of the mean and of a new study, not a number under an improper
        prior) and those of `bayesmeta.sensitivity.prior_bench_table`.

    Raises
    ------
    ModelError
        If the table has no line of the stated priors.

    Examples
    --------
    >>> table = ladder_table(fit)
    >>> table["varied"].value_counts().to_dict(), round(float(table["prior_upper"].iloc[0]), 3)
    ({'tau': 8, 'mu': 3, 'stated': 1}, 1.96)
    """
    pooled_only(fit, "the ladder of priors")
    mu, tau = list(mu), list(tau)
    if table is None:
        try:
            table = prior_bench_table(fit, threshold, mu=mu or None, tau=tau or None, ref_sd=ref_sd, level=level)
        except ModelError:
            if ref_sd is not None or mu or tau or fit.simulated or fit.model.tau is None:
                raise
            # a scale without general priors has the stated ones alone
            table = prior_bench_table(fit, threshold, mu=[], tau=[], level=level)
    stated = table[table["stated"].astype(bool)]
    if len(stated) != 1:
        raise ModelError("the table holds no line of the stated priors; make it with `prior_bench_table` of this fit.")
    names = stated.iloc[0][["mu_prior", "tau_prior"]]
    same_mu, same_tau = table["mu_prior"] == names["mu_prior"], table["tau_prior"] == names["tau_prior"]
    varied = np.select([same_mu & same_tau, same_tau, same_mu], ["stated", "mu", "tau"], "both")
    part = table[varied != "both"].copy()
    varied = varied[varied != "both"]
    known_mu, known_tau = _known(fit, mu, tau, ref_sd)
    rows = []
    for item, which in zip(part.to_dict("records"), varied.tolist(), strict=True):
        label = {
            "stated": f"Stated: {item['mu_prior']}; tau {item['tau_prior']}",
            "mu": f"Mean: {item['mu_prior']}",
            "tau": f"tau: {item['tau_prior']}",
        }[which]
        first, second = _prior_of(item["mu_prior"], known_mu), _prior_of(item["tau_prior"], known_tau)
        rows.append({"label": label, "varied": which, **_intervals(fit, first, second, level)})
    front = pd.DataFrame(rows, index=part.index)
    whole = pd.concat([front, part], axis=1)
    order = {"stated": 0, "mu": 1, "tau": 2}
    return whole.sort_values("varied", key=lambda s: s.map(order), kind="stable", ignore_index=True)


def _known(
    fit: Fit, mu: Sequence[NamedPrior], tau: Sequence[NamedPrior], ref_sd: float | None
) -> tuple[dict[str, Prior], dict[str, Prior]]:
    assert fit.model.tau is not None
    try:
        found = named_priors(fit.effects.measure, ref_sd=ref_sd)
    except ModelError:
        found = ((), ())
    return (
        {item.name: item.prior for item in [*found[0], *mu, NamedPrior(repr(fit.model.mu), fit.model.mu, "")]},
        {item.name: item.prior for item in [*found[1], *tau, NamedPrior(repr(fit.model.tau), fit.model.tau, "")]},
    )


def _prior_of(name: str, known: dict[str, Prior]) -> Prior | None:
    if name in known:
        return known[name]
    try:
        return parse(name)
    except BayesmetaError:
        return None


def _intervals(fit: Fit, mu: Prior | None, tau: Prior | None, level: float) -> dict[str, float]:
    tails = (0.5 * (1 - level), 0.5 * (1 + level))
    found = dict.fromkeys(("prior_lower", "prior_upper", "prior_new_lower", "prior_new_upper"), math.nan)
    if mu is None or not resolve(mu).proper:
        return found
    found["prior_lower"], found["prior_upper"] = (float(np.asarray(resolve(mu).ppf(p))) for p in tails)
    if tau is not None and resolve(tau).proper:
        model = dataclasses.replace(fit.model, mu=mu, tau=tau)
        start = (found["prior_lower"], found["prior_upper"])
        found["prior_new_lower"], found["prior_new_upper"] = (_quantile(model, p, start) for p in tails)
    return found


def _quantile(model: Model, p: float, start: tuple[float, float]) -> float:
    """Quantile of the prior of a new study, by halving."""
    low, high = start
    step = max(high - low, 1e-12)
    while 1 - prior_probability(model, "theta_new", low, 1) > p:
        low, step = low - step, 2 * step
    while 1 - prior_probability(model, "theta_new", high, 1) < p:
        high, step = high + step, 2 * step
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if 1 - prior_probability(model, "theta_new", middle, 1) < p:
            low = middle
        else:
            high = middle
        if high - low <= 1e-10 * max(abs(low), abs(high), 1e-300):
            break
    return 0.5 * (low + high)


def ladder_plot(
    fit: Fit,
    table: pd.DataFrame | None = None,
    *,
    mu: Sequence[NamedPrior] = (),
    tau: Sequence[NamedPrior] = (),
    threshold: Threshold | float | None = None,
    ref_sd: float | None = None,
    level: float = LEVEL,
    title: str | None = None,
    width_mm: float = 180.0,
) -> Plot:
    """Draw the prior and the posterior interval under every prior, one at a time changed from those stated.

    Parameters
    ----------
    fit, table, mu, tau, threshold, ref_sd, level
        As in `ladder_table`.
    title, width_mm
        As in `forest_plot`.

    Returns
    -------
    Plot
        ``table`` is that of `ladder_table`.

    Raises
    ------
    ModelError
        For a fit by draws, without heterogeneity or with moderators.

    Examples
    --------
    >>> ladder_plot(fit).table["label"].tolist()[:2]
    ['Stated: normal(0, 1); tau halfnormal(0.5)', 'Mean: flat']
    """
    width = check_width(width_mm)
    part = ladder_table(fit, table, mu=mu, tau=tau, threshold=threshold, ref_sd=ref_sd, level=level)
    lines = threshold_lines(fit, resolve_thresholds(fit, threshold, primary=True))
    title = f"{title or name_of(fit)}: from prior to posterior"
    with drawing():
        sheet = _draw(fit, part, lines, title, level, width)
    return Plot(sheet.figure, part, _alt(fit, part, title, level), title)


def _change(item: dict[Any, Any], end: str) -> str:
    before, after = item.get(f"prior_p_important{end}", math.nan), item.get(f"p_important_benefit{end}", math.nan)
    return " \u2192 ".join("\u2013" if math.isnan(p) else percent(p) for p in (before, after))


def _shows_chances(table: pd.DataFrame) -> bool:
    return "p_important_benefit" in table and bool(table["p_important_benefit"].notna().any())


def _draw(
    fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]], title: str, level: float, width: float
) -> Sheet:
    stated, numbers = level_text(level), numbers_of(fit.effects)
    chances, narrow = _shows_chances(table), width < WIDE
    heads: list[str] = ["Prior"]
    if not narrow:
        heads.append("Mean effect [CrI]")
    if chances:
        heads.append("P(important benefit), mean" if not narrow else "P(important), mean")
        if not narrow:
            heads.append("P(important benefit), new study")
    rows = []
    for item in table.to_dict("records"):
        mean = "\u2013" if math.isnan(item["mu"]) else numbers.cell(item["mu"], item["lower"], item["upper"])
        cells = [
            *(() if narrow else (mean,)),
            *((_change(item, ""),) if chances else ()),
            *((_change(item, "_new"),) if chances and not narrow else ()),
        ]
        rows.append(Row(shorten(item["label"], width - 2 * MARGIN), tuple(cells)))
    block = PlotRows("ladder", tuple(heads), rows, axis_label(fit.effects), width)
    limits = _limits(fit, table, lines)
    shown = [line for line in lines if limits[0] <= line[1] <= limits[1]]
    entries = [
        Entry(_PRIOR, f"Prior of the mean effect, central {stated} interval"),
        Entry(_PRIOR_NEW, "Prior of a new study"),
        Entry(
            {"marker": "o", "markersize": 3.6, **_MEAN},
            f"Posterior of the mean effect: median, {stated} central credible interval (CrI)",
        ),
        Entry(_NEW, f"Posterior of a new study: {stated} central prediction interval"),
        *(Entry(THRESHOLD[benefit], text) for text, _, benefit in shown),
    ]
    notes = ["The first line has the stated priors; in the others one of the two is another.", *new_study(fit)]
    if chances:
        notes.append("P: probability before any trial \u2192 with all of them.")
    ends = table[
        ["prior_lower", "prior_upper", "prior_new_lower", "prior_new_upper", "lower", "upper", "new_lower", "new_upper"]
    ].to_numpy(float)
    if (ends < limits[0]).any() or (ends > limits[1]).any():
        notes.append("An arrowhead marks an interval that goes on beyond the axis.")
    improper = table["prior_lower"].isna() | table["prior_new_lower"].isna()
    if improper.any():
        notes.append("A prior without a grey line is improper, or its formula is not known here.")
    notes += [f"{item['label']}: {item['note']}" for item in table.to_dict("records") if item.get("note")]
    head = [size_line(fit.effects)]
    top = head_height(title, head, width) + 2.0
    footer = top + block.height + 1.5
    sheet = Sheet(width, footer + footer_height(entries, notes, width))
    sheet.head(title, head)
    axes = block.draw(sheet, top)
    axes.set_xlim(*limits)
    axes.axvline(0.0, color=INK, linewidth=0.6, zorder=1, label="no effect")
    for text, x, benefit in shown:
        axes.axvline(x, zorder=1, label=text, **THRESHOLD[benefit])
    apart = 0.2 if block.beside else 0.12
    for i, item in enumerate(table.to_dict("records")):
        _draw_row(axes, item, i, apart, limits)
    ticks(axes.xaxis, measure(fit.effects.measure), *limits, block.length)
    sheet.notes(sheet.legend(footer, entries), notes)
    return sheet


def _limits(fit: Fit, table: pd.DataFrame, lines: list[tuple[str, float, bool]]) -> tuple[float, float]:
    core = [
        *table[["lower", "upper", "new_lower", "new_upper"]].to_numpy(float).ravel(),
        *(x for _, x, benefit in lines if benefit),
    ]
    return stretched_limits(
        fit.effects.measure, core, table[["prior_lower", "prior_upper"]].to_numpy(float), stretch=1.5
    )


def _draw_row(axes: Axes, item: dict[Any, Any], i: int, apart: float, limits: tuple[float, float]) -> None:
    for name, ends, side, look in (
        ("prior new study", ("prior_new_lower", "prior_new_upper"), -1, _PRIOR_NEW),
        ("prior", ("prior_lower", "prior_upper"), -1, _PRIOR),
        ("new study", ("new_lower", "new_upper"), 1, _NEW),
        ("interval", ("lower", "upper"), 1, _MEAN),
    ):
        bar(axes, (item[ends[0]], item[ends[1]]), i + side * apart, limits, f"{name}: {i}", **look)
    if not math.isnan(item["mu"]):
        axes.plot(
            [item["mu"]],
            [i + apart],
            marker="o",
            markersize=3.6,
            color=BAYES,
            linestyle="none",
            zorder=5,
            label=f"median: {i}",
        )


def _alt(fit: Fit, table: pd.DataFrame, title: str, level: float) -> str:
    numbers, stated = numbers_of(fit.effects), level_text(level)
    parts = [
        f"Ladder from prior to posterior of {title.removesuffix(': from prior to posterior')}: "
        f"{size_line(fit.effects)}; {len(table)} "
        f"combinations of priors.",
        effect_sentence(fit, level),
    ]
    for item in table.to_dict("records"):
        before = "improper or not known"
        if not math.isnan(item["prior_lower"]):
            before = numbers.interval(item["prior_lower"], item["prior_upper"])
        if math.isnan(item["mu"]):
            parts.append(f"{item['label']}: {item['note']}")
            continue
        text = (
            f"{item['label']}: prior {stated} interval of the mean {before}, posterior {numbers.value(item['mu'])} "
            f"({numbers.interval(item['lower'], item['upper'])})"
        )
        if _shows_chances(table):
            text += f", probability of important benefit {_change(item, '')}, in a new study {_change(item, '_new')}"
        parts.append(f"{text}.")
    return " ".join(parts).replace("\u2192", "to").replace("\u2013", "undefined")
