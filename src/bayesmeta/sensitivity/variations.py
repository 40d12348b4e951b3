"""Other priors and other models: every variation is an exact refit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesmeta.columns import Column, columns_of, optional, unprinted
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.moderators import contrast_table
from bayesmeta.plan import Threshold
from bayesmeta.questions import benefit_probabilities_of, resolve_threshold, summarize
from bayesmeta.sensitivity.section import Computed, Fold, Section, SectionOptions, answers_of
from bayesmeta.sensitivity.verdicts import Answer, answers, chances_between, compared, little_moved

__all__ = [
    "MAIN",
    "MODERATED_MAIN",
    "SUBGROUP",
    "contrast_variations",
    "declared_table",
    "prior_range",
    "variation_table",
]

#: How the name of an analysis of one subgroup alone begins: it asks another question, so no range counts it.
SUBGROUP = "subgroup: "
#: What tables call the analysis that the others vary.
MAIN = "main analysis"
#: And the moderated analysis, where others vary that.
MODERATED_MAIN = "main analysis, moderated"


def variation_table(
    fits: Mapping[str, Fit], threshold: Threshold | float | None = None, *, level: float = LEVEL
) -> pd.DataFrame:
    """Compare fits of one outcome under different assumptions, one line each.

    Parameters
    ----------
    fits : mapping of str to Fit
        The first is the main analysis.
    threshold : Threshold or float, optional
        Default: the primary one of the main fit's outcome.

    Returns
    -------
    pandas.DataFrame
        Columns ``analysis k mu lower upper tau new_lower new_upper p_any_benefit p_important_benefit
        p_important_harm p_any_benefit_new p_important_benefit_new p_important_harm_new log_evidence change``;
        ``change`` is the shift of the median of mu from the main analysis in its posterior SDs. Without a direction
        or threshold the probabilities are left out.

    Raises
    ------
    ModelError
        If there is no fit.
    """
    if not fits:
        raise ModelError("there is no fit to compare; give at least one.")
    main = next(iter(fits.values()))
    chosen = resolve_threshold(main, threshold)
    reference: Any = summarize(main, level=level).loc["mu"]
    centre, spread = float(reference["median"]), float(reference["sd"])
    items = list(fits.values())
    chances: list[dict[str, float]] = [{} for _ in items]
    if chosen is not None:
        directed = [i for i, item in enumerate(items) if item.effects.better is not None]
        for i, found in zip(directed, benefit_probabilities_of([items[i] for i in directed], chosen), strict=True):
            chances[i] = found
    rows = []
    for name, item, answer, chance in zip(fits, items, answers_of(items, level), chances, strict=True):
        row: dict[str, object] = {"analysis": name, "k": item.effects.k, **answer, **chance}
        row["log_evidence"] = np.nan if item.log_evidence is None else item.log_evidence
        row["change"] = (answer["mu"] - centre) / spread if math.isfinite(spread) else np.nan
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["level"], frame["interval"] = level, "central"
    return frame


def declared_table(
    fits: Mapping[str, Fit],
    moderated: Fit | None = None,
    threshold: Threshold | float | None = None,
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Compare declared analyses, each with the analysis that it varies: pooled with pooled, moderated with moderated.

    Parameters
    ----------
    fits : mapping of str to Fit
        The first is the main, pooled analysis.
    moderated : Fit, optional
        The main moderated analysis; its line comes before those of its variations. Without one their ``change`` is
        missing.
    threshold, level
        As in `variation_table`.

    Returns
    -------
    pandas.DataFrame
        Of `variation_table`, with a column ``varies``: "pooled" or "moderated".

    Raises
    ------
    ModelError
        If there is no fit.
    """
    if not fits:
        raise ModelError("there is no fit to compare; give at least one.")
    ours = {name: item for name, item in fits.items() if item.analysis != "moderated"}
    theirs = {name: item for name, item in fits.items() if item.analysis == "moderated"}
    parts = [variation_table(ours, threshold, level=level).assign(varies="pooled")] if ours else []
    if theirs:
        main = {} if moderated is None else {MODERATED_MAIN: moderated}
        table = variation_table({**main, **theirs}, threshold, level=level).assign(varies="moderated")
        parts.append(table if main else table.assign(change=np.nan))
    return pd.concat(parts, ignore_index=True)


def contrast_variations(fits: Mapping[str, Fit], *, level: float = LEVEL) -> pd.DataFrame:
    """Contrasts and slopes of moderated fits, one line per analysis and contrast.

    Parameters
    ----------
    fits : mapping of str to Fit
        By name; the first is the main analysis.

    Returns
    -------
    pandas.DataFrame
        Columns ``analysis k`` and those of `bayesmeta.contrast_table`; empty without fits.
    """
    parts = []
    for name, item in fits.items():
        table = contrast_table(item, level=level)
        table.insert(0, "analysis", name)
        table.insert(1, "k", item.effects.k)
        parts.append(table)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["analysis", "k"])


def prior_range(table: pd.DataFrame, cuts: Sequence[float] = (0.05, 0.5, 0.8, 0.95)) -> pd.DataFrame:
    """Smallest and largest value of every probability over a table of variations, and whether its category changes.

    Parameters
    ----------
    table : pandas.DataFrame
        From `variation_table`; the first line is the main analysis. Subgroups are not counted.
    cuts : sequence of float
        Boundaries between categories of probability; a probability whose category differs between lines is flagged.

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity main minimum maximum category_changes``.

    Examples
    --------
    >>> table = pd.DataFrame({"analysis": ["main", "wide"], "p_any_benefit": [0.96, 0.94]})
    >>> prior_range(table).loc[0, ["minimum", "maximum"]].tolist()
    [0.94, 0.96]
    """
    rows = []
    table = table[~table["analysis"].str.startswith(SUBGROUP)]
    for column in (name for name in table.columns if name.startswith("p_")):
        values = table[column].to_numpy(float)
        values = values[np.isfinite(values)]
        if not values.size:
            continue
        categories = np.searchsorted(np.asarray(cuts), values)
        rows.append(
            {
                "quantity": column,
                "main": float(values[0]),
                "minimum": float(values.min()),
                "maximum": float(values.max()),
                "category_changes": bool(len(set(categories.tolist())) > 1),
            }
        )
    return pd.DataFrame(rows)


#: What the quantities of `prior_range` are called.
_WORDS = {
    f"p_{name}{end}": f"P({name.replace('_', ' ')}), {target}"
    for end, target in (("", "mean effect"), ("_new", "new study"))
    for name in ("any_benefit", "important_benefit", "important_harm")
}


def _computed(fit: Fit, options: SectionOptions) -> Computed:
    fits = options.declared
    if not fits:
        raise ModelError("no variations are declared.")
    table = declared_table(fits, options.moderated, level=options.level)
    known = fits if options.moderated is None else {**fits, MODERATED_MAIN: options.moderated}
    behind = {str(name): known[name] for name in table["analysis"]}
    moderated = {name: item for name, item in behind.items() if item.analysis == "moderated"}
    pooled = table["varies"] == "pooled"
    parts = {
        "prior_range": prior_range(table[table["analysis"].isin(list(options.priors_only))]),
        "range": prior_range(table[pooled]),
        "contrasts": contrast_variations(moderated, level=options.level),
    }
    if MODERATED_MAIN in moderated:
        parts["range_moderated"] = prior_range(table[~pooled])
    return Computed(table, tuple(behind.values()), parts)


def _declared_verdict(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    """Pooled analyses against the main one, and moderated against theirs; subgroups ask another question."""
    said = []
    for varies, name in (("pooled", MAIN), ("moderated", MODERATED_MAIN)):
        some = table[(table["varies"] == varies) & ~table["analysis"].str.startswith(SUBGROUP)]
        mains = [item for item in answers(some, "analysis") if item.name == name]
        others = [item._replace(name=f'"{item.name}"') for item in answers(some, "analysis") if item.name != name]
        if mains and others:
            main = Answer(f"in the {name}", *mains[0][1:])
            which = "pooled" if varies == "pooled" else "moderated"
            kept = f"No declared {which} analysis changes the conclusion:"
            lost = f"A declared {which} analysis changes the conclusion:"
            said.append(compared(fit, threshold, main, others, kept=kept, lost=lost, by="under"))
            if varies == "pooled":
                said += chances_between(some, "over these analyses")
    return " ".join(said) or "No variation of the main analysis is declared that could be compared with it."


def _declared_same(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> list[bool]:
    pooled = table["varies"] == "pooled"
    same = np.zeros(len(table), bool)
    for some in (pooled, ~pooled):
        if some.any():
            same[some] = little_moved(fit, table[some], threshold)
    return (same & ~table["analysis"].str.startswith(SUBGROUP)).tolist()


def _range(words: str) -> tuple[Column, ...]:
    return (
        Column("quantity", "text", words, labels=_WORDS),
        *columns_of("probability", main="main", minimum="minimum", maximum="maximum"),
        *columns_of("flag", category_changes="category changes"),
    )


SECTION = Section(
    "declared",
    "Would what the protocol declared beforehand change it?",
    _computed,
    (
        *columns_of("text", analysis="analysis"),
        *columns_of("count", k="k"),
        *columns_of("effect", mu="mean", lower="lower", upper="upper"),
        *columns_of("sd", tau="tau"),
        *unprinted(number="new_lower new_upper log_evidence change level", text="interval varies"),
        *optional(columns_of("probability", p_important_benefit="P(mean)", p_important_benefit_new="P(new)")),
        *optional(unprinted(probability="p_any_benefit p_important_harm p_any_benefit_new p_important_harm_new")),
    ),
    "Medians with central credible intervals. P: probability of an important benefit, for the mean effect and in a new "
    "study (its true effect, not its result). Categories of probability are cut at 5, 50, 80 and 95 %. A variation of "
    "the moderated analysis is compared with the moderated analysis of the same rows, whose mean is over the observed "
    "mix of its moderators.",
    parts={
        "prior_range": _range("range over priors"),
        "range": _range("range over all pooled analyses"),
        "range_moderated": _range("range over all moderated analyses"),
        "contrasts": (
            *columns_of("text", analysis="moderated analysis", moderator="moderator", contrast="contrast"),
            *columns_of("count", k="k"),
            *columns_of("difference", median="median", lower="lower", upper="upper"),
            *unprinted(text="interval", number="mean sd level", probability="p_below_null p_above_null"),
        ),
    },
    verdict=_declared_verdict,
    fold=Fold(
        _declared_same,
        "the conclusion stays, the mean moves by less than a tenth of its SD and P(important benefit) by less than one "
        "percentage point",
        "mu",
    ),
    at_threshold=True,
)
