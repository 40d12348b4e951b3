"""Legend, footer and alt text of a forest plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesmeta.classical import ClassicalFit, check_words, is_clustered
from bayesmeta.columns import bayes_factor_text, p_value, p_words
from bayesmeta.fits import Fit
from bayesmeta.measures import measure
from bayesmeta.moderators import classical_regression, moderator_test_table
from bayesmeta.plan import Threshold
from bayesmeta.plots.forest.bias import Lights, entry_of
from bayesmeta.plots.forest.marks import COMMON, Marks
from bayesmeta.plots.sheet import INK, THRESHOLD, Entry
from bayesmeta.plots.tables import pool_or_none
from bayesmeta.plots.wording import (
    Numbers,
    benefit_sentence,
    effect_sentence,
    heterogeneity_sentence,
    level_text,
    new_study,
    numbers_of,
    pooled_labels,
    scale_of,
    size_line,
)
from bayesmeta.questions import hksj_remark

__all__ = ["alt_of", "legend_of", "moderator_sentences", "notes_of"]

_TESTED = ("p_value", "bayes_factor")


def legend_of(
    marks: Marks,
    table: pd.DataFrame,
    lines: list[tuple[str, float, bool]],
    lights: Lights | None,
    level: float,
) -> list[Entry]:
    """Entries of the legend."""
    fit, style = marks.fit, marks.style
    mean, new = pooled_labels(fit)
    kinds, stated, words = set(table["kind"]), level_text(level), check_words(fit.effects)
    dot: dict[str, Any] = {"marker": "o", "markersize": 2.6, "markerfacecolor": "white", "markeredgewidth": 0.8}
    open_diamond = {"marker": "D", "markersize": 4.5, "markerfacecolor": "white", "linestyle": "none"}
    square = {"marker": "s", "markersize": 4.5, "markerfacecolor": marks.square, "markeredgewidth": 0}
    entries = [
        Entry(
            {"color": INK if style.squares[0] == INK else marks.square, "linewidth": 0.8, **square},
            f"Reported estimate, {stated} normal confidence interval (CI); area of the square: weight",
        )
    ]
    if marks.shrinkage or marks.ridges:
        entries.append(
            Entry(
                {"color": style.posterior, "linewidth": 0.8, **dot},
                f"Shrinkage estimate (posterior of the trial's effect): median, {stated} central credible interval "
                "(CrI)",
            )
        )
    if marks.ridges:
        entries.append(
            Entry(
                {"facecolor": style.density, "edgecolor": style.posterior, "linewidth": 0.6},
                "Posterior density of the trial's effect; all areas are alike",
            )
        )
    diamond = {"marker": "D", "markersize": 4.5, "markerfacecolor": style.diamond, "linestyle": "none"}
    entries.append(
        Entry(
            {"color": style.posterior, **diamond},
            f"{mean}: posterior median, {stated} central credible interval",
        )
    )
    if "new study" in kinds:
        entries.append(
            Entry(
                {"facecolor": style.density, "edgecolor": style.posterior, "linewidth": 0.6},
                f"{new}: posterior predictive density; bar: {stated} central prediction interval",
            )
        )
    if table.loc[table["kind"] == "classical mean", "estimate"].notna().any():
        entries.append(
            Entry(
                {"color": style.classical, **open_diamond},
                f"Classical mean: {words.model}, {stated} {words.interval} confidence interval",
            )
        )
    if "common effect" in kinds:
        entries.append(
            Entry(
                {"color": style.classical, **open_diamond, "markerfacecolor": COMMON},
                f"Common effect: inverse variance, {stated} normal confidence interval",
            )
        )
    if "classical prediction" in kinds:
        counted = "; k counts trials" if fit.effects.blocks and not is_clustered(fit.effects) else ""
        entries.append(
            Entry(
                {"color": style.classical, "linewidth": 1.4, "linestyle": (0, (5, 1))},
                f"Classical {stated} prediction interval: {words.model}, {words.prediction}{counted}",
            )
        )
    entries += [Entry(THRESHOLD[benefit], name) for name, _, benefit in lines]
    return entries + ([entry_of(item) for item in lights.used] if lights else [])


def notes_of(
    fit: Fit, table: pd.DataFrame, *, cut: bool, total: bool, lights: Lights | None, level: float
) -> list[str]:
    """Lines below the legend: heterogeneity and tests with the names of their estimators, and what a reader needs."""
    notes = [" ".join([heterogeneity_sentence(fit, level), *new_study(fit)])]
    if (table["kind"] == "classical mean").any() and (classical := classical_sentence(fit, level)):
        notes.append(classical)
    if cut:
        notes.append("An arrowhead marks an interval that goes on beyond the axis.")
    if remark := hksj_remark(fit, level=level):
        notes.append(f"* REML, HKSJ: {remark}.")
    for item in table[table["text"].str.startswith("not defined")].to_dict("records"):
        notes.append(f"{item['label']}: {item['text']}")
    if total:
        notes.append("Arms that stand in several rows are not added up.")
    if lights and lights.note:
        notes.append(lights.note)
    return notes


def classical_sentence(fit: Fit, level: float) -> str:
    """tau, I2, Q and the test of the mean effect, each by its estimator; empty where they are not defined."""
    found = pool_or_none(fit, level)
    if not isinstance(found, ClassicalFit):
        return ""
    numbers = Numbers(measure("generic"), numbers_of(fit.effects).digits)
    scale = scale_of(fit.effects)
    parts = [f"tau{f' ({scale})' if scale else ''} {numbers.value(float(np.sqrt(found.tau2)))} (REML)"]
    if found.i2_tau2 is not None:
        parts.append(f"I\u00b2 {found.i2_tau2:.0f} % (from tau\u00b2)")
    if found.q_p is not None:
        parts.append(f"Q {found.q:.1f} ({found.q_df} df, {p_words(found.q_p)})")
    if found.p is not None and found.df is not None and not measure(fit.effects.measure).single_arm:
        parts.append(f"test of the mean effect: t({found.df:g}), {p_words(found.p)} (HKSJ)")
    return f"Classical heterogeneity: {'; '.join(parts)}."


def moderator_sentences(fit: Fit, subgroup: str) -> list[str]:
    """The one model behind a picture of subgroups, and the test that they differ."""
    regression, _ = classical_regression(fit)
    found = moderator_test_table(fit, regression=regression).reindex(columns=["moderator", "f", "df1", "df2", *_TESTED])
    test: Any = found[found["moderator"] == subgroup].iloc[0]
    parts = []
    if np.isfinite(test["f"]):
        p = p_value(test["p_value"])
        parts.append(f"F({test['df1']:g}, {test['df2']:g}) = {test['f']:.2f}, p {p if p[0] == '<' else f'= {p}'}")
    if np.isfinite(test["bayes_factor"]):
        parts.append(f"Bayes factor {bayes_factor_text(test['bayes_factor'])}")
    others = [name for name in fit.design.factors if name != subgroup]
    mix = f", averaged over the observed mix of {' and '.join(others)}" if others else ""
    tested = f" Test of {subgroup}: {'; '.join(parts)}." if parts else ""
    return [f"One model with one tau for all levels: trials, level means and a new study are of it{mix}.{tested}"]


def alt_of(fit: Fit, table: pd.DataFrame, thresholds: tuple[Threshold, ...], title: str, level: float) -> str:
    """One paragraph that says what the picture shows."""
    numbers = numbers_of(fit.effects)
    estimates = table[table["kind"] == "estimate"]
    parts = [
        f"Forest plot of {title}: {size_line(fit.effects)}.",
        f"Reported estimates range from {numbers.interval(estimates['estimate'].min(), estimates['estimate'].max())}, "
        f"shrinkage estimates from {numbers.interval(estimates['theta'].min(), estimates['theta'].max())}.",
        effect_sentence(fit, level),
    ]
    for item in table[table["kind"].isin(["classical mean", "common effect", "classical prediction"])].to_dict(
        "records"
    ):
        if not np.isfinite(item["estimate"]):
            parts.append(f"{item['label']}: {item['text']}")
        elif item["kind"] == "classical prediction":
            parts.append(f"Classical {item['interval']}: {numbers.interval(item['lower'], item['upper'])}.")
        else:
            parts.append(
                f"{item['label']}: {numbers.value(item['estimate'])} "
                f"({item['interval']} {numbers.interval(item['lower'], item['upper'])})."
            )
    for item in table[table["kind"] == "level mean"].to_dict("records"):
        parts.append(
            f"{item['label']}: {numbers.value(item['estimate'])} "
            f"({item['interval']} {numbers.interval(item['lower'], item['upper'])})."
        )
    parts += [heterogeneity_sentence(fit, level), benefit_sentence(fit, thresholds)]
    return " ".join(part for part in parts if part).replace("\u2212", "-")
