"""Sensitivity analyses and presets as plain records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.classical import OURS, Preset, preset_choices
from bayesmeta.fits import LEVEL
from bayesmeta.questions import CAVEAT, resolve_threshold
from bayesmeta.records.form import head, plain, table_records
from bayesmeta.records.parts import about, check_rows
from bayesmeta.sensitivity import SECTIONS

if TYPE_CHECKING:
    from bayesmeta.fits import Fit
    from bayesmeta.sensitivity import SensitivityAnalyses

__all__ = ["bias_record", "preset_record", "sensitivity_record"]


def section_records(fit: Fit, analyses: SensitivityAnalyses) -> dict[str, Any]:
    """Every section: its question, the verdict, its rows, and what belongs to them as a whole."""
    found, threshold = {}, resolve_threshold(fit, analyses.threshold)
    for name, table in analyses.tables.items():
        section = SECTIONS[name]
        summary = {
            str(key): table_records(item) if isinstance(item, pd.DataFrame) else plain(item)
            for key, item in {**section.summary(table), **analyses.parts.get(name, {})}.items()
        }
        found[name] = {
            "question": section.question,
            "verdict": section.verdict(fit, table, threshold),
            "rows": table_records(table),
            "summary": summary,
        }
    return found


def sensitivity_record(
    fit: Fit, name: str, analyses: SensitivityAnalyses, *, warnings: Sequence[str] = (), level: float = LEVEL
) -> dict[str, Any]:
    """Sensitivity analyses of one outcome, and why others are not there."""
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "sections": section_records(fit, analyses),
        "not_done": dict(analyses.not_done),
        "caveat": CAVEAT,
    }


def bias_record(
    fit: Fit,
    name: str,
    averaged: Fit | None,
    tables: Mapping[str, pd.DataFrame],
    reason: str = "",
    *,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """An average over models of publication bias: what it rests on, its tables, its checks; or why there is none.

    Parameters
    ----------
    fit : Fit
        The pooled analysis.
    name : str
        The outcome's key.
    averaged : Fit or None
        Of `bayesmeta.bias.average_of`.
    tables : mapping of str to pandas.DataFrame
        Of `bayesmeta.sensitivity.bias_tables`.
    reason : str
        Why there is no average.
    """
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "average": None if averaged is None else plain(tables["chances"].attrs),
        "tables": None if averaged is None else {key: table_records(table) for key, table in tables.items()},
        "checks": [] if averaged is None else check_rows(averaged),
        "not_done": reason,
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
