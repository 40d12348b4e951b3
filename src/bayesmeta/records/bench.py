"""The sensitivity bench and presets as plain records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.classical import OURS, Preset, preset_choices
from bayesmeta.fits import LEVEL
from bayesmeta.questions import CAVEAT
from bayesmeta.records.form import head, plain, table_records
from bayesmeta.records.parts import about
from bayesmeta.sensitivity import SECTIONS, prior_range

if TYPE_CHECKING:
    from bayesmeta.fits import Fit
    from bayesmeta.sensitivity import SensitivityAnalyses

__all__ = ["bench_record", "preset_record", "sensitivity_record"]


def section_records(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Every section: its question, its rows, and what belongs to them as a whole."""
    found = {}
    for name, table in tables.items():
        section = SECTIONS[name]
        summary = {
            str(key): table_records(item) if isinstance(item, pd.DataFrame) else plain(item)
            for key, item in section.summary(table).items()
        }
        found[name] = {"question": section.question, "rows": table_records(table), "summary": summary}
    return found


def bench_record(
    fit: Fit, name: str, bench: SensitivityAnalyses, *, warnings: Sequence[str] = (), level: float = LEVEL
) -> dict[str, Any]:
    """Sections of the bench of one outcome, and why others are not there."""
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "sections": section_records(bench.tables),
        "not_done": dict(bench.not_done),
        "caveat": CAVEAT,
    }


def sensitivity_record(
    fit: Fit,
    name: str,
    declared: pd.DataFrame | None,
    bench: SensitivityAnalyses,
    *,
    priors_only: Sequence[str] = (),
    contrasts: pd.DataFrame | None = None,
    not_done: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """Declared variations of one outcome with the range of every probability over them, and the sensitivity bench.

    Parameters
    ----------
    declared : pandas.DataFrame, optional
        From `bayesmeta.sensitivity.variation_table`; the first line is the main analysis.
    bench : SensitivityAnalyses
    priors_only : sequence of str
        The lines (the main one included) that differ in priors alone: the prior range.
    contrasts : pandas.DataFrame, optional
        From `bayesmeta.sensitivity.contrast_variations`: variations of the moderated analysis.
    not_done : mapping
        Declared analyses that could not be run, with the reason.
    """
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "analyses_run": [] if declared is None else table_records(declared),
        "contrasts": [] if contrasts is None else table_records(contrasts),
        "not_done": {**(not_done or {}), **bench.not_done},
        "prior_range": []
        if declared is None
        else table_records(prior_range(declared[declared["analysis"].isin(list(priors_only))])),
        "range": [] if declared is None else table_records(prior_range(declared)),
        "sections": section_records(bench.tables),
        "caveat": CAVEAT,
    }


def preset_record(
    fit: Fit,
    name: str,
    item: Preset,
    table: pd.DataFrame | None,
    reason: str = "",
    *,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """What a preset changes against our choices, choice by choice."""
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "preset": {
            "name": item.name,
            "label": item.label,
            "source": item.source,
            "unverified": list(item.unverified),
            "remark": item.remark,
            "choices": preset_choices(item, fit.effects.measure),
            "ours": preset_choices(OURS, fit.effects.measure),
        },
        "rows": [] if table is None else table_records(table),
        "not_done": reason,
    }
