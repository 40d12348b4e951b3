"""Sensitivity analyses and presets as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.classical import OURS, Preset, preset_choices
from bayesmeta.fits import LEVEL
from bayesmeta.questions import CAVEAT, resolve_threshold
from bayesmeta.records.form import head, plain, table_records
from bayesmeta.records.parts import about
from bayesmeta.sensitivity import SECTIONS

if TYPE_CHECKING:
    from bayesmeta.fits import Fit
    from bayesmeta.sensitivity import SensitivityAnalyses

__all__ = ["preset_record", "sensitivity_record"]


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
