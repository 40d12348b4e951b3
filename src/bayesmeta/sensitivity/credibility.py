"""What a panel asks before it believes that an effect differs: the items of ICEMAN, with what is known of each."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bayesmeta.columns import Column, bayes_factor_text, columns_of, derived, p_value, plural, unprinted
from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.moderators import classical_regression, moderator_test_table, varies_within, within_trial_table
from bayesmeta.plan import Threshold
from bayesmeta.sensitivity.section import Computed, Section, SectionOptions
from bayesmeta.sensitivity.verdicts import answers, listed, written

__all__ = ["CREDIBILITY", "WITHIN_TRIALS", "credibility_table"]

_ITEMS = (
    "compared within trials?",
    "if within: alike in each trial?",
    "if between: many trials?",
    "direction hypothesised?",
    "chance unlikely by a test?",
    "few moderators tested?",
    "random effects?",
    "no arbitrary cut points?",
)


def credibility_table(moderated: Fit, declared: int | None = None) -> pd.DataFrame:
    """The eight items of ICEMAN for meta-analyses, per moderator, with what protocol and data say of each.

    The instrument asks for a judgement; the numbers here are what it is made from, and no item is rated.

    Parameters
    ----------
    moderated : Fit
    declared : int, optional
        Moderators and interactions that the protocol names; default those of the fit.

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator number item known judgement``; the last is empty, for the panel.

    Raises
    ------
    ModelError
        If the fit has no moderators.

    References
    ----------
    Schandelmaier S, Briel M, Varadhan R, et al. CMAJ 2020;192:E901-E906. doi:10.1503/cmaj.200077

    Examples
    --------
    >>> moderated = bm.fit(effects, bm.Model(model.mu, model.tau, {"type": bm.Normal(0, 0.5)}))
    >>> credibility_table(moderated)["known"][2]
    '4 trials'
    """
    regression, _ = classical_regression(moderated)
    tests = moderator_test_table(moderated, regression=regression).set_index("moderator")
    tested = len(moderated.model.beta) if declared is None else declared
    rows = []
    for name in moderated.model.beta:
        parts = name.split(":")
        inside = set.intersection(*(set(varies_within(moderated.effects, part)) for part in parts))
        numeric = any(not moderated.design.factors[part].levels for part in parts)
        within = f"{len(inside)} of {plural(moderated.effects.n_trials, 'trial')} compare"
        known = (
            within if inside else "between only",
            "see within and between" if inside else "does not apply",
            plural(moderated.effects.n_trials, "trial"),
            "not in the protocol",
            _chance(tests.loc[name].to_dict()),
            f"{tested} in the protocol",
            "yes" if moderated.model.tau is not None else "no: a common effect",
            "no cut points" if numeric else "categories",
        )
        rows += [
            {"moderator": name, "number": number, "item": item, "known": text, "judgement": ""}
            for number, (item, text) in enumerate(zip(_ITEMS, known, strict=True), 1)
        ]
    return pd.DataFrame(rows)


def _chance(test: dict[Any, Any]) -> str:
    parts = []
    if math.isfinite(test.get("p_value", math.nan)):
        text = p_value(test["p_value"])
        parts.append(f"p {text}" if text.startswith("<") else f"p = {text}")
    if math.isfinite(test.get("bayes_factor", math.nan)):
        parts.append(f"Bayes factor {bayes_factor_text(test['bayes_factor'])}")
    return "; ".join(parts) or "not tested"


def _computed(fit: Fit, options: SectionOptions) -> Computed:
    if options.moderated is None:
        raise ModelError("there is no moderated analysis.")
    plan = None if fit.outcome is None else fit.outcome.model
    return Computed(
        credibility_table(options.moderated, None if plan is None else len(plan.moderators) + len(plan.interactions))
    )


def _unrated(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    names = table["moderator"].unique().tolist()
    between = table.loc[(table["number"] == 1) & (table["known"] == "between only"), "moderator"].tolist()
    within = len(names) - len(between)
    compared = f"{plural(within, 'moderator')} of {len(names)} compared within trials"
    tests = table[table["number"] == 5]
    said = [f"{name} {known}" for name, known in zip(tests["moderator"], tests["known"], strict=True)]
    return f"For the panel to judge: {compared}; tests of a difference: {listed(said, 4)}."


#: The items of ICEMAN, for the panel to judge.
CREDIBILITY = Section(
    "credibility",
    "How credible is it that the effect differs? Items for the panel to judge",
    _computed,
    (
        *columns_of("text", moderator="moderator"),
        *unprinted(count="number"),
        *columns_of("text", item="item", known="what is known", judgement="panel"),
    ),
    "Items of ICEMAN for meta-analyses (Schandelmaier 2020); numbers are counted from the protocol and the data, and "
    "no item is rated by the program.",
    references=("schandelmaier2020",),
    verdict=_unrated,
    moderated=True,
)


def _within(fit: Fit, options: SectionOptions) -> Computed:
    published = () if fit.outcome is None else fit.outcome.model.trial_interactions
    table = within_trial_table(options.moderated, published, pooled=fit, level=options.level)
    if not len(table):
        raise ModelError("no trial compares levels of a moderator itself, and no differences inside trials are stated.")
    return Computed(table)


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """What is compared, and who says so: a published number with its source."""
    source = table["source"].map(lambda text: f" ({text})" if text not in ("", "rows") else "")
    mark = table["mark"].map(lambda text: f" ({text})" if text else "")
    return table.assign(which=table["moderator"] + ": " + table["contrast"], who=table["trial"] + source + mark)


def _inside(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    """Of the lines that hold all trials; where there are none, of each trial."""
    whole = table[table["trial"] == "all trials"]
    some = whole if len(whole) else table
    found = answers(some.assign(what=some["moderator"] + ", " + some["contrast"]), "what", "estimate")
    if not found:
        return "No difference inside trials could be computed."
    sure = [item for item in found if item.lower > 0 or item.upper < 0]
    if sure:
        return f"Inside trials there is a difference: {listed([f'{x.name} ({written(fit, x)})' for x in sure])}."
    wide = [f"{item.name} ({written(fit, item)})" for item in found]
    return f"Inside trials no difference is sure: every interval holds no difference; {listed(wide)}."


#: Differences inside trials, of rows and as published.
WITHIN_TRIALS = Section(
    "within-trials",
    "What do trials find inside themselves, between randomised patients?",
    _within,
    (
        *unprinted(text="moderator contrast trial source"),
        *derived(columns_of("text", which="difference", who="trial")),
        Column("estimate", "interval", "estimate (95 %)", ends=("lower", "upper")),
        *unprinted(number="lower upper"),
        *columns_of("probability", p_more_benefit="P(more)"),
        *unprinted(number="se tau level", probability="p_below_null", text="interval mark"),
    ),
    "Trials: the difference of their rows, or as they print it, with its normal interval. All trials: posterior median "
    "and central interval, under the prior of the moderator's coefficient and that of tau. P(more): of more benefit. "
    "Differences between trials enter none of it.",
    printed=_whole,
    references=("fisher2017",),
    verdict=_inside,
    moderated=True,
)
