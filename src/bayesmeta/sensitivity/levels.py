"""What the levels of a moderator differ by beside their mean effect, and which is the best, as sections."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bayesmeta.columns import bayes_factor_text, columns_of, number, p_value, percent, unprinted
from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.plan import Threshold
from bayesmeta.questions import best_level_table, heterogeneity_by_table
from bayesmeta.sensitivity.section import Computed, Section, SectionOptions
from bayesmeta.sensitivity.verdicts import largest, listed

__all__ = ["BEST_LEVEL", "HETEROGENEITY_BY"]


def _heterogeneity(fit: Fit, options: SectionOptions) -> Computed:
    plan = None if fit.outcome is None else fit.outcome.model
    name = None if plan is None else plan.heterogeneity_by
    if plan is None or name is None:
        raise ModelError("the protocol names no moderator by which the heterogeneity may differ.")
    per = next((item.per for item in plan.moderators if item.name == name), 1.0)
    return Computed(
        heterogeneity_by_table(fit, name, priors=plan.tau_by, slope=plan.tau_slope, per=per, level=options.level)
    )


def _said(table: pd.DataFrame) -> list[str]:
    """The answers that belong to no line."""
    found: dict[Any, Any] = table.attrs
    lines = []
    ratios = table[table["p_above_1"].notna()]
    for quantity, chance in zip(ratios["quantity"], ratios["p_above_1"], strict=True):
        lines.append(f"P({quantity} > 1) = {percent(float(chance))}.")
    if found["bayes_factor"] is not None:
        lines.append(f"Bayes factor for different SDs against a common one: {number(found['bayes_factor'], 2)}.")
    if found["lrt_p"] is not None:
        lines.append(f"Likelihood ratio test of the same, p = {p_value(found['lrt_p'])}.")
    if found["left_out"]:
        lines.append(f"Left out, {found['moderator']} is not stated: {', '.join(found['left_out'])}.")
    return [*lines, *([f"{found['note'][0].upper()}{found['note'][1:]}."] if found["note"] else [])]


#: A probability that is this near 0 or 1 is called an answer; a convention.
SURE = 0.95


def _differs(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    ratios = table[table["p_above_1"].notna()]
    if not len(ratios):
        return "No ratio of heterogeneities could be computed with these data."
    said = [
        f"P({name} > 1) is {percent(float(p))}" for name, p in zip(ratios["quantity"], ratios["p_above_1"], strict=True)
    ]
    sure = ((ratios["p_above_1"] >= SURE) | (ratios["p_above_1"] <= 1 - SURE)).any()
    start = "The heterogeneity differs" if sure else "No difference in heterogeneity is sure"
    factor = table.attrs.get("bayes_factor")
    more = f"; the Bayes factor for different SDs is {bayes_factor_text(float(factor))}" if factor is not None else ""
    return f"{start}: {listed(said)}{more}."


#: Does the heterogeneity differ by the moderator that the protocol names?
HETEROGENEITY_BY = Section(
    "heterogeneity-by",
    "Does the heterogeneity differ between levels, such as supervised and home training?",
    _heterogeneity,
    (
        *columns_of("text", quantity="quantity", prior="prior"),
        *columns_of("count", k="k", trials="trials"),
        *columns_of("number", 3, median="median", lower="lower", upper="upper"),
        *unprinted(number="p_above_1"),
        *columns_of("number", 3, classical="location-scale, REML"),
        *unprinted(number="mcse level"),
    ),
    "The between-study SD of each level and their ratio, from a model in which the mean effect differs by the "
    "moderator too; then one SD for all. Medians with central credible intervals of their joint posterior.",
    notes=_said,
    references=("viechtbauer2022",),
    verdict=_differs,
    moderated=True,
)


def _best(fit: Fit, options: SectionOptions) -> Computed:
    moderated = options.moderated
    if moderated is None:
        raise ModelError("there is no moderated analysis of categorical moderators.")
    names = [name for name, factor in moderated.design.factors.items() if factor.levels]
    if not names:
        raise ModelError("no moderator is categorical.")
    tables = []
    for name in names:
        table = best_level_table(moderated, name, options.threshold_of(fit))
        table.insert(0, "moderator", name)
        tables.append(table)
    frame = pd.concat(tables, ignore_index=True)
    frame.attrs.clear()
    frame.attrs["beyond"] = tables[0].attrs["beyond"]
    return Computed(frame)


def _errors(table: pd.DataFrame) -> list[str]:
    worst = float(table[["p_best_error", "p_best_beyond_error"]].to_numpy().max())
    return [f"Largest standard error of a probability: {worst:.1g}."] if worst > 0 else []


def _winners(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    said = []
    for name, some in table.groupby("moderator", sort=False):
        best = largest(some, some["p_best"])
        sure = "the best is" if best["p_best"] >= SURE else "no level is surely the best; the likeliest is"
        said.append(
            f"{name}: {sure} {best['level']} (P {percent(float(best['p_best']))}; best and beyond the threshold "
            f"{percent(float(best['p_best_beyond']))})."
        )
    return " ".join(f"{text[0].upper()}{text[1:]}" for text in said)


#: Which level of each categorical moderator is the best?
BEST_LEVEL = Section(
    "best-level",
    "Which level of a moderator has the best mean effect, and is it beyond the threshold?",
    _best,
    (
        *columns_of("text", moderator="moderator", level="level"),
        *columns_of("count", k="k", trials="trials"),
        *columns_of("text", mark="mark"),
        *columns_of("probability", p_best="P(best)"),
        *unprinted(number="p_best_error"),
        *columns_of("probability", p_best_beyond="P(best and beyond)"),
        *unprinted(number="p_best_beyond_error"),
        *columns_of("probability", p_best_prior="P(best), prior"),
    ),
    "Of the moderated analysis, other moderators averaged over the observed mix. Beyond: the threshold of an important "
    "benefit, or no effect where none is stated. A level with few trials is seldom known to be worst.",
    notes=_errors,
    verdict=_winners,
    at_threshold=True,
    moderated=True,
)
