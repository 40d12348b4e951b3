"""Sensitivity analyses of one pooled result, one table each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd

from bayesmeta.checking import power_scaling_table
from bayesmeta.classical import ALTERNATIVES, ClassicalFit
from bayesmeta.columns import Column, Readable, columns_of, readable, unprinted
from bayesmeta.errors import ModelError, find_name
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.plan import BiasPlan, Threshold
from bayesmeta.questions import resolve_threshold
from bayesmeta.sensitivity import (
    bias,
    concordance,
    credibility,
    inconsistency,
    levels,
    multiverse,
    prior_bench,
    publication_bias,
    tipping,
    trials,
    variations,
)
from bayesmeta.sensitivity import classical_sections as classical
from bayesmeta.sensitivity.model_checks import CHECKS, scaling_verdict
from bayesmeta.sensitivity.section import Computed, Fold, Recompute, Section, SectionOptions
from bayesmeta.sensitivity.verdicts import QUANTITIES, Answer, span

__all__ = [
    "SECTIONS",
    "SLOW",
    "ReadableSection",
    "SensitivityAnalyses",
    "check_model",
    "read_section",
    "sensitivity_analyses",
    "usual_sections",
]

SCALING = Section(
    "scaling",
    "What would a little more or less of a prior change?",
    lambda fit, options: Computed(power_scaling_table(fit, options.threshold_of(fit), draws=fit.simulated)),
    (
        Column("quantity", "text", "quantity", labels=QUANTITIES),
        Column("component", "text", "scaled prior of", labels=QUANTITIES),
        *unprinted(number="psense"),
        *columns_of("number", exact="sensitivity"),
        *unprinted(number="change"),
        *columns_of("number", exact_change="change"),
        *columns_of("text", diagnosis="diagnosis"),
    ),
    "By exact refits. Sensitivity above 0.05 is worth a look; change: of the mean in posterior SDs, or of the "
    "probability, per doubling of the prior's power.",
    references=("kallioinen2024",),
    verdict=lambda fit, table, threshold: scaling_verdict(table),
    fold=Fold(
        lambda fit, table, threshold: (~table["diagnosis"].str.startswith("influential")).tolist(),
        "no influential prior",
    ),
    at_threshold=True,
)
_SECTIONS: dict[str, Section] = {
    item.name: item
    for item in (
        variations.SECTION,
        concordance.SECTION,
        prior_bench.SECTION,
        tipping.SECTION,
        SCALING,
        trials.LEAVE_ONE_OUT,
        trials.CUMULATIVE,
        inconsistency.SECTION,
        bias.SECTION,
        levels.HETEROGENEITY_BY,
        levels.BEST_LEVEL,
        credibility.CREDIBILITY,
        credibility.WITHIN_TRIALS,
        classical.SMALL_STUDY,
        publication_bias.SECTION,
        classical.INFLUENCE,
        classical.DEPENDENCE,
        classical.COUNTS,
        classical.HETEROGENEITY,
        classical.ESTIMATORS,
        multiverse.SECTION,
        classical.PERMUTATION,
        classical.GOSH,
    )
}
#: Sections by name, in the order in which they are read.
SECTIONS: Mapping[str, Section] = MappingProxyType(_SECTIONS)
#: Sections that are made only when they are named, because they refit thousands of times.
SLOW = tuple(name for name, item in SECTIONS.items() if item.slow)


def usual_sections(bias: BiasPlan | None = None) -> list[str]:
    """Names of the sections that are made where none is named.

    Parameters
    ----------
    bias : BiasPlan, optional
        Where one is stated, publication bias is one of them.

    Examples
    --------
    >>> "publication-bias" in usual_sections(), "gosh" in usual_sections()
    (False, False)
    """
    return [name for name, item in SECTIONS.items() if not item.slow and (bias is not None or not item.stated)]


@dataclass(frozen=True, slots=True, eq=False)
class SensitivityAnalyses:
    """The sensitivity analyses of one outcome.

    Attributes
    ----------
    tables : mapping of str to pandas.DataFrame
        By section.
    not_done : mapping of str to str
        Sections that these data or this model do not allow, each with the reason.
    fits : mapping of str to tuple
        By section, where there are any: the fit behind each line of the table, or None. They stay in the process
        that made them: a pickle holds tables and reasons.
    parts : mapping of str to mapping of str to pandas.DataFrame
        By section, where there are any: what else was computed.
    threshold : Threshold, float or None
        The one that was given; None for the primary one of the fit's outcome.
    """

    tables: Mapping[str, pd.DataFrame]
    not_done: Mapping[str, str]
    fits: Mapping[str, tuple[Fit | ClassicalFit | None, ...]] = MappingProxyType({})
    parts: Mapping[str, Mapping[str, pd.DataFrame]] = MappingProxyType({})
    threshold: Threshold | float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return SensitivityAnalyses, (dict(self.tables), dict(self.not_done), {}, dict(self.parts), self.threshold)


def sensitivity_analyses(
    fit: Fit,
    sections: Sequence[str] | None = None,
    *,
    threshold: Threshold | float | None = None,
    recompute: Recompute | None = None,
    options: Mapping[str, Any] | None = None,
    order: Sequence[str] | None = None,
    cut: float = 0.8,
    ref_sd: float | None = None,
    level: float = LEVEL,
    declared: Mapping[str, Fit] | None = None,
    priors_only: Sequence[str] = (),
    moderated: Fit | None = None,
    risk_of_bias: pd.DataFrame | None = None,
    alternative: Literal["auto", "greater", "less", "two-sided"] | None = None,
    bias: BiasPlan | None = None,
    progress: Callable[[str], None] | None = None,
) -> SensitivityAnalyses:
    """Ask everything of one fit.

    Parameters
    ----------
    fit : Fit
        The pooled analysis.
    sections : sequence of str, optional
        Names of `SECTIONS`; default `usual_sections` but ``declared``.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome.
    recompute : callable, optional
        From options of effect sizes to the effects of the same trials, for the multiverse.
    options : mapping, optional
        The options that the effects were computed with.
    order : sequence of str, optional
        Trials in the order in which the cumulative analysis adds them; default that of the rows.
    cut : float
        The probability that the panel wants, for tipping points.
    ref_sd : float, optional
        A fixed external SD, for priors on scales without a unit of their own.
    level : float
    declared : mapping of str to Fit, optional
        The main analysis and its declared variations, for the section of that name.
    priors_only : sequence of str
        Those of them that differ in priors alone, the main one included.
    moderated : Fit, optional
        The main moderated analysis, beside which declared ones are set, and whose levels are compared.
    risk_of_bias : pandas.DataFrame, optional
        Judgements of the rows, of which ``overall`` is used (`bayesmeta.studies.Reading`).
    alternative : {"auto", "greater", "less", "two-sided"}, optional
        Of one-sided methods of small-study effects; default what the fit's outcome states, else "auto".
    bias : BiasPlan, optional
        Which models of publication bias are averaged; where it is stated this section is one of the usual ones, and
        where the section is named without it RoBMA's 36 models are.
    progress : callable, optional
        Is given the name of each section before it is computed.

    Returns
    -------
    SensitivityAnalyses
        A section that the data do not allow is in ``not_done`` with the reason; nothing is raised for it. Sections of
        the moderated analysis are passed over where all sections are made and there is none.

    Raises
    ------
    ModelError
        For an unknown section; the message lists those there are.

    Examples
    --------
    >>> found = sensitivity_analyses(fit, ["concordance", "counts"])
    >>> list(found.tables), list(found.not_done)
    (['concordance'], ['counts'])
    """
    usual = [name for name in usual_sections(bias) if name != variations.SECTION.name]
    names = usual if sections is None else sections
    names = list(dict.fromkeys(find_name("section", name, SECTIONS) for name in names))
    if alternative is not None:
        alternative = find_name("alternative", alternative, ALTERNATIVES)
    chosen = SectionOptions(
        threshold,
        recompute,
        options or {},
        order,
        cut,
        ref_sd,
        level,
        declared or {},
        priors_only,
        moderated,
        risk_of_bias,
        alternative,
        bias,
    )
    found = _computed([SECTIONS[name] for name in names], fit, chosen, progress)
    # what no protocol states moderators for is missed by nobody who asks for everything
    silent = {name for name in usual if SECTIONS[name].moderated} if set(usual) <= set(names) else set()
    left = {name: why for name, why in found.not_done.items() if name not in silent or moderated is not None}
    return replace(found, not_done=MappingProxyType(left))


def check_model(
    fit: Fit, checks: Sequence[str] | None = None, progress: Callable[[str], None] | None = None
) -> SensitivityAnalyses:
    """Ask of a fit by either engine whether its model makes such data, and what its priors do.

    Parameters
    ----------
    fit : Fit
    checks : sequence of str, optional
        Names of `CHECKS`; default all.
    progress : callable, optional
        Is given the name of each before it is made.

    Raises
    ------
    ModelError
        For an unknown check; the message lists those there are.

    Examples
    --------
    >>> list(check_model(fit, ["overlap", "trials"]).tables)
    ['trials', 'overlap']
    """
    wanted = list(CHECKS) if checks is None else [find_name("check", name, CHECKS) for name in checks]
    return _computed([item for name, item in CHECKS.items() if name in wanted], fit, SectionOptions(), progress)


def _computed(
    sections: Sequence[Section],
    fit: Fit,
    options: SectionOptions,
    progress: Callable[[str], None] | None,
) -> SensitivityAnalyses:
    found: dict[str, Computed] = {}
    not_done: dict[str, str] = {}
    for section in sections:
        if progress is not None:
            progress(section.name)
        try:
            found[section.name] = section.compute(fit, options)
        except ModelError as error:
            not_done[section.name] = str(error)
    return SensitivityAnalyses(
        MappingProxyType({name: item.table for name, item in found.items()}),
        MappingProxyType(not_done),
        MappingProxyType({name: item.fits for name, item in found.items() if item.fits}),
        MappingProxyType({name: item.parts for name, item in found.items() if item.parts}),
        options.threshold,
    )


@dataclass(frozen=True, slots=True)
class ReadableSection:
    """A section ready to be read.

    Attributes
    ----------
    question : str
    table : Readable
    note : str
        What the columns mean, and what belongs to these data.
    parts : tuple of Readable
        Further tables.
    verdict : str
        The answer to the question, in a sentence or two.
    folded : tuple of int
        Rows of the table that change nothing.
    further : str
        What is so of these, to stand in their place; empty where none is folded.
    """

    question: str
    table: Readable
    note: str
    parts: tuple[Readable, ...] = ()
    verdict: str = ""
    folded: tuple[int, ...] = ()
    further: str = ""


def read_section(
    name: str,
    frame: pd.DataFrame,
    fit: Fit,
    parts: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    *,
    sections: Mapping[str, Section] = SECTIONS,
    threshold: Threshold | float | None = None,
) -> ReadableSection:
    """Make the table of a section readable.

    Parameters
    ----------
    name : str
        Of the section.
    frame : pandas.DataFrame
        Its table.
    fit : Fit
        The analysis.
    parts : mapping of str to pandas.DataFrame
        What else was computed.
    sections : mapping of str to Section
        `SECTIONS` or `CHECKS`.
    threshold : Threshold or float, optional
        The one that the analyses were made with; default the primary one of the fit's outcome.

    Examples
    --------
    >>> from bayesmeta.sensitivity import sensitivity_analyses
    >>> table = sensitivity_analyses(fit, ["concordance"]).tables["concordance"]
    >>> read = read_section("concordance", table, fit)
    >>> read.table.cells[0][:2], read.verdict.split(": ")[0]
    (['REML + HKSJ', '-0.146'], 'They agree')
    """
    section, chosen = sections[name], resolve_threshold(fit, threshold)
    note = " ".join([section.note, *filter(None, section.notes(frame))]).strip()
    measure = fit.effects.measure
    further = (readable(table, section.parts[key], measure) for key, table in parts.items() if len(table))
    printed = section.printed(frame)
    return ReadableSection(
        section.question,
        readable(printed, section.columns, measure),
        note,
        tuple(item for item in further if item.columns),
        section.verdict(fit, frame, chosen),
        *_folded(section.fold, fit, printed, chosen),
    )


def _folded(
    fold: Fold | None, fit: Fit, printed: pd.DataFrame, threshold: Threshold | None
) -> tuple[tuple[int, ...], str]:
    """Numbers of the printed lines that change nothing, and the sentence in their place; one alone is not folded."""
    if fold is None or not len(printed):
        return (), ""
    rows = tuple(i for i, same in enumerate(fold.rows(fit, printed, threshold)) if same)
    if len(rows) < 2:
        return (), ""
    means = [] if not fold.mean else [Answer("", x, x, x) for x in printed[fold.mean].iloc[list(rows)].astype(float)]
    where = f" have the mean {span(fit, means)}" if means else ""
    return rows, f"{len(rows)} further rows{where}: {fold.rule}."
