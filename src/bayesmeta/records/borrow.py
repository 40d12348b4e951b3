"""What `borrow --json` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesmeta.fits import LEVEL
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Threshold
from bayesmeta.questions import CAVEAT, Borrowing, borrowing_table, conflict_table
from bayesmeta.records.form import head, plain, table_records
from bayesmeta.records.parts import about

if TYPE_CHECKING:
    from bayesmeta.fits import Fit
    from bayesmeta.marginals import NormalMixture

__all__ = ["borrow_record"]


def borrow_record(
    found: Borrowing,
    fit: Fit,
    source: Fit,
    name: str,
    threshold: Threshold | None = None,
    *,
    stated: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """One trial with the prior that a review gives it, on the trial's analysis scale.

    Parameters
    ----------
    found : Borrowing
    fit : Fit
        The trial's own analysis.
    source : Fit
        The review.
    name : str
        The outcome's key.
    threshold : Threshold, optional
        In the trial's units.
    stated : mapping, optional
        What the protocol says of borrowing: ``protocol sd sd_source reason``.
    """
    weights = borrowing_table(found, threshold, weights=(found.weight, 1.0), level=level).iloc
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "estimate": found.y,
        "se": found.se,
        "source": {
            **about(source, source.outcome.key if source.outcome is not None else None),
            "prediction": _moments(found.source, level),
            "ess": plain(found.ess_source),
        },
        "stated": {key: (stated or {}).get(key) for key in ("protocol", "sd", "sd_source", "reason")},
        "weight": found.weight,
        "vague": repr(found.vague),
        "unit_sd": found.unit_sd,
        "threshold": None if threshold is None else {"name": threshold.name, "source": threshold.source},
        "alone": _answer(weights[1]),
        "borrowed": _answer(weights[0]),
        "vague_weight": found.vague_weight,
        "ess_prior": plain(found.ess_prior),
        "ess_gained": plain(found.ess_gained),
        "conflict_p": found.conflict_p,
        "kept_lower": found.kept_lower,
        "kept_upper": found.kept_upper,
        "notes": list(found.notes),
        "weights": table_records(borrowing_table(found, threshold, level=level)),
        "conflict": table_records(conflict_table(found, threshold, level=level)),
        "caveat": CAVEAT,
    }


def _moments(form: NormalMixture, level: float) -> dict[str, Any]:
    lower, median, upper = form.quantile(interval_ends(level)).tolist()
    return plain({"mean": form.mean, "sd": form.sd, "median": median, "lower": lower, "upper": upper})


_ANSWER = ("mean", "sd", "median", "lower", "upper", "p_any_benefit", "p_important_benefit", "p_important_harm")


def _answer(row: Any) -> dict[str, Any]:
    return plain({name: row[name] for name in _ANSWER})
