"""What a panel asks before it believes that an effect differs: the items of ICEMAN, with what is known of each."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from bayesmeta.columns import columns_of
from bayesmeta.digits import bayes_factor_text, p_value, plural
from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.moderators import classical_regression, moderator_test_table, varies_within
from bayesmeta.sensitivity.section import Computed, Section, SectionOptions

__all__ = ["CREDIBILITY", "credibility_table"]

#: Trials from which a comparison between them is called large: ICEMAN's guide counts more than ten per moderator.
MANY = 10
_ITEMS = (
    "Is the comparison within rather than between trials?",
    "If within: is it similar from trial to trial?",
    "If between: is the number of trials large?",
    "Was the direction hypothesised beforehand, correctly?",
    "Does a test suggest that chance is an unlikely explanation?",
    "Were only few moderators tested?",
    "Was a random-effects model used?",
    "If continuous: were arbitrary cut points avoided?",
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
        within = f"{plural(len(inside), 'trial')} of {moderated.effects.n_trials} compare"
        known = (
            within if inside else "between trials only",
            "see 'within trials or between them'" if inside else "does not apply",
            plural(moderated.effects.n_trials, "trial"),
            "for the panel: the protocol states the moderator, not its direction",
            _chance(tests.loc[name].to_dict()),
            f"{tested} stated in the protocol",
            "yes" if moderated.model.tau is not None else "no: a common effect",
            "a number, without cut points" if numeric else "categories: does not apply unless made of a number",
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


#: The items of ICEMAN, for the panel to judge.
CREDIBILITY = Section(
    "credibility",
    "How credible is it that the effect differs? Items for the panel to judge",
    _computed,
    (
        *columns_of("text", moderator="moderator"),
        *columns_of("count", number="item"),
        *columns_of("text", item="question", known="what is known", judgement="judgement (panel)"),
    ),
    "Items of ICEMAN for meta-analyses (Schandelmaier 2020); numbers are counted from the protocol and the data, and "
    "no item is rated by the program.",
    references=("schandelmaier2020",),
)
