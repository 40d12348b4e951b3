"""Records of published results: what was printed, read out of it, and found again; and what an audit found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayesmeta.errors import Finding
from bayesmeta.fits import LEVEL
from bayesmeta.numerics import interval_ends
from bayesmeta.published import TARGETS, NotAnalysed, Reanalysis
from bayesmeta.questions import CAVEAT
from bayesmeta.records.form import head, plain
from bayesmeta.records.outputs import finding_rows

__all__ = ["audit_record", "reanalyse_record"]

_KEYS = dict(zip(TARGETS, ("mean_as_published", "mean_effect", "new_study", "tau"), strict=True))

#: Keys of what was printed, and of what was read out of it, with the attributes behind them.
_PRINTED = {
    **{"estimate": "estimate", "ci_low": "lower", "ci_high": "upper", "ci_level": "level", "ci_method": "interval"},
    **{"p": "p", "i2": "i2", "k": "k", "model": "model", "pi_low": "pi_lower", "pi_high": "pi_upper"},
}
_READ = {name: name for name in ("y", "se", "se_low", "se_high", "s", "q", "tau", "model")} | {"q_at_most": "at_most"}


def _named(item: object, names: Mapping[str, str]) -> dict[str, Any]:
    return {key: plain(getattr(item, name)) for key, name in names.items()}


def _target(item: Reanalysis, target: str, level: float) -> dict[str, Any] | None:
    marginal = item.marginal(target)
    if marginal is None:
        return None
    found = {"mean": marginal.mean, "sd": marginal.sd}
    found |= dict(zip(("lower", "median", "upper"), marginal.quantile(interval_ends(level)).tolist(), strict=True))
    return plain(found if target == "tau" else {**found, **item.probabilities(target)})


def reanalyse_record(
    item: Reanalysis | NotAnalysed, *, source: str, sha256: str, warnings: Sequence[str] = (), level: float = LEVEL
) -> dict[str, Any]:
    """One published result: as printed, as read, and analysed again.

    Parameters
    ----------
    item : Reanalysis or NotAnalysed
    source, sha256 : str
        The table it stands in.

    Examples
    --------
    >>> item = bm.reanalyse_all([bm.PublishedResult("IL-6", "generic")])[0]
    >>> reanalyse_record(item, source="x.csv", sha256="")["reason"]
    'no effect is printed.'
    """
    result, rebuilt = item.result, item.rebuilt
    done = item if isinstance(item, Reanalysis) else None
    mark = None if done is None else done.threshold
    return {
        **head(result.measure, level=level, warnings=warnings),
        "source": source,
        "data_sha256": sha256,
        "place": result.place,
        "review": result.review,
        "outcome": result.outcome,
        "subgroup": result.subgroup,
        "measure": result.measure,
        "printed": _named(result, _PRINTED),
        "read": None if rebuilt is None else _named(rebuilt, _READ),
        "better": result.better,
        "threshold": None if mark is None else plain({"benefit": mark.benefit, "worse": mark.worse}),
        "priors": None
        if done is None
        else {
            "mu": {"prior": repr(done.mu_prior), "source": done.mu_source},
            "tau": {"prior": repr(done.tau_prior), "source": done.tau_source},
        },
        **{key: None if done is None else _target(done, target, level) for target, key in _KEYS.items()},
        "missing": {
            key: text
            for target, key in _KEYS.items()
            if (text := item.reason if isinstance(item, NotAnalysed) else item.note(target)) and target != "tau"
        },
        "reason": item.reason if isinstance(item, NotAnalysed) else "",
        "assumptions": [] if rebuilt is None else list(rebuilt.assumptions),
        "unknown": list(done.unknown) if done is not None else [] if rebuilt is None else list(rebuilt.unknown),
        "notes": list(result.notes if rebuilt is None else rebuilt.notes),
        "caveat": CAVEAT,
    }


def audit_record(
    source: str,
    sha256: str,
    rows: int,
    findings: Sequence[Finding],
    *,
    trials: tuple[str, str, int] | None = None,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """What rules found in a table of published results.

    Parameters
    ----------
    source, sha256 : str
        The table of results.
    rows : int
        Its results.
    findings : sequence of Finding
        From `bayesmeta.forensics.audit`.
    trials : (str, str, int), optional
        Name, hash and rows of the list of trials.

    Examples
    --------
    >>> audit_record("x.csv", "", 3, ())["findings"]
    []
    """
    named = trials or (None, None, None)
    return {
        **head(None, warnings=warnings),
        "source": source,
        "data_sha256": sha256,
        "rows": rows,
        "trials_source": named[0],
        "trials_sha256": named[1],
        "trials": named[2],
        "findings": finding_rows(findings),
    }
