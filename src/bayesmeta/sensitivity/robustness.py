"""Sensitivity analyses of one pooled result, one table each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import pandas as pd

from bayesmeta.checking import power_scaling_table
from bayesmeta.classical import ClassicalFit
from bayesmeta.columns import Readable, columns_of, readable, unprinted
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.plan import Threshold
from bayesmeta.sensitivity import classical_sections as classical
from bayesmeta.sensitivity import (
    concordance,
    credibility,
    inconsistency,
    levels,
    multiverse,
    prior_bench,
    tipping,
    trials,
    variations,
)
from bayesmeta.sensitivity.model_checks import CHECKS
from bayesmeta.sensitivity.section import Computed, Recompute, Section, SectionOptions

__all__ = [
    "SECTIONS",
    "SLOW",
    "ReadableSection",
    "SensitivityAnalyses",
    "check_model",
    "read_section",
    "sensitivity_analyses",
]

SCALING = Section(
    "scaling",
    "What would a little more or less of a prior change?",
    lambda fit, options: Computed(power_scaling_table(fit, options.threshold_of(fit), draws=fit.simulated)),
    (
        *columns_of("text", quantity="quantity", component="scaled"),
        *unprinted(number="psense"),
        *columns_of("number", exact="sensitivity"),
        *unprinted(number="change"),
        *columns_of("number", exact_change="change"),
        *columns_of("text", diagnosis="diagnosis"),
    ),
    "By exact refits. Sensitivity above 0.05 is worth a look; change: of the mean in posterior SDs, or of the "
    "probability, per doubling of the prior's power.",
    references=("kallioinen2024",),
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
        levels.HETEROGENEITY_BY,
        levels.BEST_LEVEL,
        credibility.CREDIBILITY,
        credibility.WITHIN_TRIALS,
        classical.SMALL_STUDY,
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
    """

    tables: Mapping[str, pd.DataFrame]
    not_done: Mapping[str, str]
    fits: Mapping[str, tuple[Fit | ClassicalFit | None, ...]] = MappingProxyType({})
    parts: Mapping[str, Mapping[str, pd.DataFrame]] = MappingProxyType({})

    def __reduce__(self) -> tuple[Any, ...]:
        return SensitivityAnalyses, (dict(self.tables), dict(self.not_done), {}, dict(self.parts))


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
) -> SensitivityAnalyses:
    """Ask everything of one fit.

    Parameters
    ----------
    fit : Fit
        The pooled analysis.
    sections : sequence of str, optional
        Names of `SECTIONS`; default all but the slow ones and ``declared``.
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
    usual = [name for name, item in SECTIONS.items() if not item.slow and item is not variations.SECTION]
    names = usual if sections is None else list(dict.fromkeys(sections))
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise ModelError(f"section {unknown[0]!r} is not one of {', '.join(SECTIONS)}.")
    chosen = SectionOptions(
        threshold, recompute, options or {}, order, cut, ref_sd, level, declared or {}, priors_only, moderated
    )
    found = _computed([SECTIONS[name] for name in names], fit, chosen)
    # what no protocol states moderators for is missed by nobody who asks for everything
    silent = {name for name in usual if SECTIONS[name].moderated} if set(usual) <= set(names) else set()
    left = {name: why for name, why in found.not_done.items() if name not in silent or moderated is not None}
    return replace(found, not_done=MappingProxyType(left))


def check_model(fit: Fit, checks: Sequence[str] | None = None) -> SensitivityAnalyses:
    """Ask of a fit by either engine whether its model makes such data, and what its priors do.

    Parameters
    ----------
    fit : Fit
    checks : sequence of str, optional
        Names of `CHECKS`; default all.

    Examples
    --------
    >>> list(check_model(fit, ["overlap", "trials"]).tables)
    ['trials', 'overlap']
    """
    return _computed([item for name, item in CHECKS.items() if checks is None or name in checks], fit, SectionOptions())


def _computed(sections: Sequence[Section], fit: Fit, options: SectionOptions) -> SensitivityAnalyses:
    found: dict[str, Computed] = {}
    not_done: dict[str, str] = {}
    for section in sections:
        try:
            found[section.name] = section.compute(fit, options)
        except ModelError as error:
            not_done[section.name] = str(error)
    return SensitivityAnalyses(
        MappingProxyType({name: item.table for name, item in found.items()}),
        MappingProxyType(not_done),
        MappingProxyType({name: item.fits for name, item in found.items() if item.fits}),
        MappingProxyType({name: item.parts for name, item in found.items() if item.parts}),
    )


@dataclass(frozen=True, slots=True)
class ReadableSection:
    """A section ready to be read: its question, its tables, what the columns mean, and what belongs to these data."""

    question: str
    table: Readable
    note: str
    parts: tuple[Readable, ...] = ()


def read_section(
    name: str,
    frame: pd.DataFrame,
    fit: Fit,
    parts: Mapping[str, pd.DataFrame] = MappingProxyType({}),
    *,
    sections: Mapping[str, Section] = SECTIONS,
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

    Examples
    --------
    >>> from bayesmeta.sensitivity import sensitivity_analyses
    >>> table = sensitivity_analyses(fit, ["concordance"]).tables["concordance"]
    >>> read_section("concordance", table, fit).table.cells[0][:2]
    ['REML + HKSJ', '-0.146']
    """
    section = sections[name]
    note = " ".join([section.note, *filter(None, section.notes(frame))]).strip()
    measure = fit.effects.measure
    further = (readable(table, section.parts[key], measure) for key, table in parts.items() if len(table))
    table = readable(section.printed(frame), section.columns, measure)
    return ReadableSection(section.question, table, note, tuple(item for item in further if item.columns))
