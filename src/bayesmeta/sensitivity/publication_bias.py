"""Publication bias: chances of benefit without it, under each family of models of it, and averaged over all."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.bias import (
    FEW,
    PEESE,
    PET,
    StepSelection,
    average_of,
    averaged_table,
    bias_benefit_table,
    candidate_table,
    favoured,
    model_inclusion_table,
    models_of,
    s_value,
    selection_needed,
    weight_table,
    worst_case_table,
)
from bayesmeta.columns import Column, bayes_factor_text, columns_of, names_of, optional, percent, unprinted
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.fits import LEVEL
from bayesmeta.questions import numeric_distance, resolve_threshold
from bayesmeta.sensitivity.section import Computed, Section, SectionOptions
from bayesmeta.sensitivity.verdicts import QUANTITIES, answers, the_mean, written

if TYPE_CHECKING:
    from bayesmeta.fits import Fit
    from bayesmeta.plan import Threshold

__all__ = ["BIAS_TABLES", "average_sentence", "bias_tables"]

_INCLUSION = (
    *columns_of("text", part="in the model"),
    *columns_of("count", models="models"),
    *columns_of("share", prior="prior"),
    *columns_of("probability", posterior="posterior"),
    *columns_of("factor", bayes_factor="inclusion Bayes factor"),
    *unprinted(number="log_bayes_factor"),
)
_COLUMNS = (
    Column("models", "text", "models", labels={"selection by p": "selection"}),
    *unprinted(count="count"),
    *columns_of("share", prior="prior", posterior="posterior"),
    *columns_of("effect", median="median", lower="lower", upper="upper"),
    *optional(
        (
            *columns_of("probability", p_any_benefit="P(any)", p_important_benefit="P(imp.)"),
            *columns_of("probability", p_important_harm="P(harm)"),
            *unprinted(probability="p_any_benefit_new p_important_benefit_new p_important_harm_new"),
        )
    ),
)
_ESTIMATES = (
    Column("parameter", "text", "", labels={**QUANTITIES, "tau": "heterogeneity SD (tau)"}),
    *columns_of("text", models="models"),
    *unprinted(number="mean sd"),
    *columns_of("effect", median="median", lower="lower", upper="upper"),
    *columns_of("share", p_zero="P(zero)"),
    *unprinted(number="level"),
)
_WEIGHTS = (
    *columns_of("number", 3, **{"from": "p from", "to": "to"}),
    *columns_of("count", trials="trials"),
    *columns_of("number", mean="mean weight", median="median", lower="lower", upper="upper"),
    *columns_of("number", prior_mean="prior mean"),
    *unprinted(probability="p_one", number="level"),
)
_CANDIDATES = (
    *columns_of("text", bias="bias", effect="effect", heterogeneity="heterogeneity"),
    *unprinted(text="moderators"),
    *columns_of("probability", prior="prior", posterior="posterior"),
    *columns_of("factor", bayes_factor="Bayes factor"),
    *columns_of("number", log_evidence="log evidence"),
    *unprinted(number="error"),
    *columns_of("effect", mean="mean"),
)
_NEEDED = (
    *columns_of("text", target="of"),
    *columns_of("probability", cutoff="cut-off", without_selection="without selection", at_limit="at the limit"),
    *columns_of("number", 3, weight="weight needed"),
    *unprinted(number="ratio"),
    Column("answer", "text", "answer", labels={"weight": "possible"}),
)
_METHODS = MappingProxyType({"common effect": "common", "random effects, robust SE": "random, robust"})
_S_VALUES = (
    Column("method", "text", "method", labels=_METHODS),
    *columns_of("text", of="of"),
    *columns_of("effect", q="to", uncorrected="uncorrected", worst_case="worst case"),
    *columns_of("number", 1, ratio="S-value"),
    Column("answer", "text", "answer", labels={"ratio": "possible"}),
    *unprinted(text="note", number="level"),
)
_WORST = (
    *columns_of("text", trials="trials"),
    Column("method", "text", "method", labels=_METHODS),
    *columns_of("count", k="k"),
    *columns_of("effect", estimate="estimate", lower="lower", upper="upper"),
    *unprinted(number="se df level", flag="beyond", text="note"),
    *optional(columns_of("probability", p_any_benefit="P(any)", p_important_benefit="P(imp.)")),
)
#: Columns of the tables of an average, by name.
BIAS_TABLES: Mapping[str, tuple[Column, ...]] = MappingProxyType(
    {
        "chances": _COLUMNS,
        "inclusion": _INCLUSION,
        "estimates": _ESTIMATES,
        "weights": _WEIGHTS,
        "candidates": _CANDIDATES,
        "needed": _NEEDED,
        "worst_case": _WORST,
        "s_values": _S_VALUES,
    }
)
#: Odds from which the data are said to speak for or against bias.
_SPEAKS = 3.0


def _chances(averaged: Fit, threshold: Threshold | float | None, level: float) -> pd.DataFrame:
    """Chances by family of bias, with what they rest on in its ``attrs``."""
    ensemble = models_of(averaged).ensemble
    stated = {"mu": [m.mu for m in ensemble.models], "tau": [m.tau for m in ensemble.models]}
    priors = {name: repr(prior) for name, some in stated.items() for prior in some if prior is not None}
    priors |= {m.bias.name: repr(m.bias.slope) for m in ensemble.models if isinstance(m.bias, PET | PEESE)}
    inclusion = model_inclusion_table(averaged).set_index("part")["bayes_factor"]
    table = bias_benefit_table(averaged, threshold, level=level)
    table.attrs = {
        "ensemble": ensemble.name,
        "source": ensemble.source,
        "direction": favoured(averaged),
        "better": averaged.effects.better or "",
        "trials": averaged.effects.n_trials,
        "priors": ", ".join(f"{name} {text}" for name, text in priors.items()),
        "bias_bayes_factor": float(inclusion["bias"]) if "bias" in inclusion else None,
    }
    return table


def _computed(fit: Fit, options: SectionOptions) -> Computed:
    try:
        averaged = average_of(fit, options.bias)
    except InferenceError as error:
        # one integral that does not settle must not cost the whole report
        raise ModelError(f"publication bias: {error}") from error
    table = _chances(averaged, options.threshold, options.level)
    return Computed(table, (), {"inclusion": model_inclusion_table(averaged)})


def bias_tables(
    fit: Fit,
    threshold: Threshold | float | None = None,
    *,
    pooled: Fit | None = None,
    cut: float = 0.8,
    level: float = LEVEL,
) -> dict[str, pd.DataFrame]:
    """All tables of an average over models of publication bias.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    pooled : Fit, optional
        The analysis without selection, whose model is held against selection of any strength. Default: the priors of
        the average where there are an effect and heterogeneity.
    cut : float
        The probability of benefit below which the answer changes.
    level : float

    Returns
    -------
    dict of str to pandas.DataFrame
        Those of `BIAS_TABLES`: ``chances`` (`bayesmeta.bias.bias_benefit_table`, with what they rest on in its
        ``attrs``), ``inclusion``, ``estimates``, ``weights`` (empty where no model selects by p), ``candidates``; then
        without an average ``needed`` (`bayesmeta.bias.selection_needed`), ``worst_case`` and ``s_values``
        (`bayesmeta.bias.worst_case_table`, `bayesmeta.bias.s_value`), each empty, with the reason in its ``attrs``,
        where the data do not allow it.

    Raises
    ------
    ModelError
        For a fit of one model.

    Examples
    --------
    >>> tables = bias_tables(bm.average(effects, "bma"), 0.2)
    >>> list(tables)[:5], len(tables["weights"]), tables["needed"]["answer"].tolist()
    (['chances', 'inclusion', 'estimates', 'weights', 'candidates'], 0, ['without selection', 'without selection'])
    """
    selects = any(isinstance(model.bias, StepSelection) for model in models_of(fit).ensemble.models)
    return {
        "chances": _chances(fit, threshold, level),
        "inclusion": model_inclusion_table(fit),
        "estimates": averaged_table(fit, level=level),
        "weights": weight_table(fit, level=level) if selects else pd.DataFrame(columns=names_of(_WEIGHTS)),
        "candidates": candidate_table(fit),
        **_strength(fit, pooled or fit, resolve_threshold(fit, threshold), cut, level),
    }


def _strength(fit: Fit, pooled: Fit, threshold: Threshold | None, cut: float, level: float) -> dict[str, pd.DataFrame]:
    """How strong selection would have to be, and what it could do at most; where that cannot be said, why."""
    # where no model of the average favours a direction there may be none
    favours = favoured(fit)
    direction = None if favours == "neither" else favours
    distance = None if threshold is None else numeric_distance(threshold)
    important = threshold if distance is not None else None
    goals: list[Threshold | float] = [0.0, *([important] if important is not None else [])]

    def needed() -> pd.DataFrame:
        return selection_needed(fit.effects, pooled.model, important, cut=cut, direction=direction)

    def worst_case() -> pd.DataFrame:
        return worst_case_table(fit.effects, important, model=pooled.model, direction=direction, level=level)

    def s_values() -> pd.DataFrame:
        return pd.concat(
            [s_value(fit.effects, goal, direction=direction, level=level) for goal in goals], ignore_index=True
        )

    found = {}
    for make in (needed, worst_case, s_values):
        try:
            table = make()
            table.attrs.clear()
        except (ModelError, InferenceError) as error:
            table = pd.DataFrame(columns=names_of(BIAS_TABLES[make.__name__]))
            table.attrs["reason"] = str(error)
        found[make.__name__] = table
    return found


def average_sentence(fit: Fit, table: pd.DataFrame) -> str:
    """Say what the average gives in place of a headline: the mean, and chances of any and of an important benefit.

    Parameters
    ----------
    fit : Fit
        The analysis that the headline is of.
    table : pandas.DataFrame
        Of the section.
    """
    line: Any = table.iloc[-1]
    mean = written(fit, answers(table.iloc[-1:], "models", "median")[0])
    names = {"p_any_benefit": "any benefit", "p_important_benefit": "important benefit, at the stated threshold"}
    chances = [f"P({words}) {percent(float(line[name]))}" for name, words in names.items() if name in table]
    return ", ".join([f"{_averaged(table)}, {the_mean(fit)} is {mean}", *chances]) + "."


def _averaged(table: pd.DataFrame) -> str:
    if table.attrs["bias_bayes_factor"] is None:
        return "Averaged over models without publication bias, with and without an effect and heterogeneity"
    return "Averaged over models with and without publication bias"


def _evidence(factor: float) -> str:
    """Say which way a Bayes factor of bias points."""
    way = "for bias" if factor >= _SPEAKS else "against bias" if factor <= 1 / _SPEAKS else ""
    if not way:
        return f"The data hardly say whether there is bias (Bayes factor {bayes_factor_text(factor)})."
    return f"The data speak {way} (Bayes factor {bayes_factor_text(factor)})."


def _verdict(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    factor = table.attrs["bias_bayes_factor"]
    lines: Any = table.set_index("models")
    names = {"p_important_benefit": "important benefit", "p_any_benefit": "any benefit"}
    shown = next((name for name in names if name in table), None)
    mean = f"{the_mean(fit)} is {written(fit, answers(table.iloc[-1:], 'models', 'median')[0])}"
    if shown is not None:
        chance, without = (percent(float(lines.loc[name, shown])) for name in ("average", "no bias"))
        beside = "" if factor is None else f", without bias {without}"
        mean = f"P({names[shown]}) is {chance}{beside}; {mean}"
    return " ".join([f"{_averaged(table)}, {mean}.", *([] if factor is None else [_evidence(factor)])])


def _notes(table: pd.DataFrame) -> list[str]:
    about = table.attrs
    count = int(table["count"].iloc[-1])
    source = f", {about['source']}" if about["source"] else ""
    said = [f"{count} models ({about['ensemble']}{source}); priors: {about['priors']}."]
    if about["direction"] != "neither":
        of = "the better direction" if about["direction"] == about["better"] else "stated"
        said.append(f"Selection is taken to favour {about['direction']} effects ({of}).")
    elif about["bias_bayes_factor"] is not None:
        said.append("Selection is by two-sided p: it favours neither direction.")
    if about["trials"] < FEW and about["bias_bayes_factor"] is not None:
        said.append(
            f"With fewer than {FEW} trials (here {about['trials']}) priors of the bias models drive this answer."
        )
    return said


SECTION = Section(
    "publication-bias",
    "What if results were selected for publication?",
    _computed,
    _COLUMNS,
    "Prior and posterior: of the models of each line. Medians and probabilities of the mean effect; models without an "
    "effect put it at exactly no effect, which is no benefit. P(imp.): important benefit; P(harm): important harm.",
    notes=_notes,
    verdict=_verdict,
    parts={"inclusion": _INCLUSION},
    references=("bartos2023", "maier2023", "vevea1995", "stanley2014"),
    at_threshold=True,
    stated=True,
)
