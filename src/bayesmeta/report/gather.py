"""One outcome of the report: what was run, as records for `results.json` and as posteriors for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.measures import measure
from bayesmeta.records import (
    check_record,
    finding_rows,
    fit_record,
    plain,
    scale_name,
    sensitivity_record,
    table_records,
)
from bayesmeta.report.forms import serialised_form
from bayesmeta.sensitivity import MAIN, SUBGROUP

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.fits import Fit

__all__ = ["Posterior", "others", "outcome_record", "posteriors", "stated_threshold"]


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """One analysis that the page can be switched to: its name, what kind it is, its fit and its profile."""

    id: str
    label: str
    kind: str
    fit: Fit
    at: Mapping[str, Any] | None = None


def stated_threshold(part: Analysis) -> float | None:
    """The primary threshold as the protocol states it; None where one of its sides is not a number."""
    item = part.primary
    if item is None or not all(isinstance(side, (int, float)) for side in (item.benefit, item.worse)):
        return None
    return float(item.benefit)  # type: ignore[arg-type]


def posteriors(part: Analysis) -> list[Posterior]:
    """List what the page can show: the analysis as stated, declared ones, levels of moderators, the other engine."""
    found = [Posterior("main", "as stated", "main", part.pooled)]
    number = 0
    for name, fit in part.declared.items():
        if fit.analysis != "pooled":
            continue
        number += 1
        kind = "prior" if name in part.priors_only else "subgroup" if name.startswith(SUBGROUP) else "declared"
        found.append(Posterior(f"declared-{number}", name, kind, fit))
    if part.moderated is not None:
        for factor_name, factor in part.moderated.design.factors.items():
            values = [str(value) for value in part.moderated.effects.moderators[factor_name]]
            for place, level in enumerate(factor.levels):
                count = values.count(str(level))
                label = f"{factor_name}: {level} ({count} rows)"
                found.append(
                    Posterior(f"level-{factor_name}-{place}", label, "level", part.moderated, {factor_name: level})
                )
    if part.pooled.second is not None:
        found.append(Posterior("engine", "the sampling engine", "engine", part.pooled.second))
    return found


def others(part: Analysis) -> list[Posterior]:
    """List declared analyses that cannot be chosen, because they are of another model than the pooled one."""
    names = [name for name, fit in part.declared.items() if fit.analysis != "pooled"]
    return [Posterior(f"other-{i}", name, "other", part.declared[name]) for i, name in enumerate(names, 1)]


def _reach(part: Analysis) -> float:
    """How far the curve of benefit is drawn: the far end of the new study's interval, in the direction of benefit."""
    table: Any = part.summary_table.loc["theta_new"]
    sign = 1.0 if part.pooled.effects.better == "higher" else -1.0
    far = max(sign * float(table["lower"]), sign * float(table["upper"]), 0.0)
    return far if math.isfinite(far) and far > 0 else 1.0


def live_record(part: Analysis, *, coarsened: bool = False) -> dict[str, Any]:
    """Serialised posteriors of one outcome, the source of every probability; ``coarsened`` as for the page."""
    return {
        "better": part.pooled.effects.better,
        "scale": scale_name(part.pooled.effects.measure),
        "reach": _reach(part),
        "analyses": [
            {
                "id": item.id,
                "label": item.label,
                "kind": item.kind,
                "posterior": serialised_form(item.fit, item.at, coarsened=coarsened),
            }
            for item in posteriors(part)
        ],
    }


def outcome_record(
    part: Analysis, figures: Mapping[str, Mapping[str, Any]], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """One outcome of `results.json`: every number of the report at full precision.

    Parameters
    ----------
    part : Analysis
    figures : mapping
        By name: files and alt text.
    extra : mapping
        Rows of ``natural_units``, ``absolute_risks``, ``borrowing`` and ``next_trial``, where there are any.
    """
    grade, why = part.grade
    checked = None if part.reading is None else check_record(part.reading, part.key)
    record = fit_record(
        part.pooled,
        part.moderated,
        part.key,
        moderators=part.moderators,
        reason=part.reason,
        left_out=part.left_out,
        notices=part.notices,
        warnings=(*part.warnings, *part.notes),
    )
    return {
        **record,
        "declared": table_records(part.variations),
        "priors_only": [MAIN, *part.priors_only],
        "not_done": {**part.not_done, **part.sections.not_done},
        "sections": sensitivity_record(part.pooled, part.key, part.sections)["sections"],
        "grade": [] if grade is None else table_records(grade),
        "grade_not_done": why,
        "findings": finding_rows(part.findings),
        "ledger": [] if checked is None else checked["rows"],
        **{key: extra.get(key, []) for key in ("natural_units", "absolute_risks", "borrowing", "next_trial")},
        "posteriors": live_record(part)["analyses"],
        "figures": plain(figures),
    }


def natural_range(part: Analysis) -> tuple[float, float, float] | None:
    """Ends and step of the threshold's slider; None without a direction, and for one arm, whose page is still."""
    kind = measure(part.pooled.effects.measure)
    if part.pooled.effects.better is None or kind.single_arm:
        return None
    stated = stated_threshold(part)
    far = _reach(part)
    if kind.log:
        start = math.log(stated) if stated is not None else 0.0
        far = max(far, 2 * abs(start), 0.7)
        sign = 1.0 if part.pooled.effects.better == "higher" else -1.0
        ends = sorted(float(np.exp(sign * x)) for x in (0.01, far))
        return ends[0], ends[1], 0.01
    far = max(far, 2 * (stated or 0.0))
    step = 10.0 ** math.floor(math.log10(far / 100))
    return step, far, step
