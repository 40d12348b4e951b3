"""One function per output: what each command's `--json` prints, and what `run.json` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.errors import Finding
from bayesmeta.fits import LEVEL, agreement_table
from bayesmeta.moderators import moderator_table
from bayesmeta.plan import Threshold
from bayesmeta.questions import (
    CAVEAT,
    benefit_sentence,
    benefit_table,
    compare_table,
    resolve_thresholds,
    study_table,
)
from bayesmeta.records.form import head, plain, scale_name, small_k_note, table_records
from bayesmeta.records.parts import (
    about,
    bayes_record,
    benefit_rows,
    check_rows,
    classical_record,
    finding_rows,
    headline,
    moderator_record,
    other_records,
    prior_records,
    sampler_record,
    size_rows,
    told,
    unreportable,
)

if TYPE_CHECKING:
    from bayesmeta.fits import Fit
    from bayesmeta.joint import JointFit
    from bayesmeta.studies import Reading

__all__ = [
    "benefit_record",
    "check_record",
    "compare_record",
    "fit_record",
    "forensics_record",
    "joint_record",
    "pool_record",
    "ppc_record",
    "profiles_record",
    "run_record",
]


def pool_record(
    fit: Fit,
    name: str | None,
    *,
    sources: Mapping[str, str] | None = None,
    thresholds: Sequence[Threshold] | None = None,
    sentence: str | None = None,
    notices: Sequence[Finding] | None = None,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """Everything that pooling one table gives: Bayesian, classical, and every row.

    Parameters
    ----------
    fit : Fit
    name : str or None
        What the analysis is called.
    sources : mapping, optional
        Where the priors of ``mu`` and ``tau`` come from.
    thresholds : sequence of Threshold, optional
    sentence : str, optional
        The plain sentence, where the caller has one.
    notices : sequence of Finding, optional
        What must be read beside the numbers (`Analysis.notices`); default what the fit alone can say.
    """
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "note": small_k_note(fit.effects.n_trials),
        "priors": prior_records(fit, sources or {}),
        "bayes": bayes_record(fit, level),
        "benefit": benefit_rows(fit, resolve_thresholds(fit, thresholds), level),
        "sizes": size_rows(fit, resolve_thresholds(fit, thresholds)),
        "classical": classical_record(fit.effects, level=level, rho=fit.model.rho),
        "studies": table_records(study_table(fit, level=level)),
        "checks": check_rows(fit),
        **told([fit], notices),
        "sentence": sentence,
        "caveat": CAVEAT,
    }


def _moderated(
    fit: Fit | None, table: pd.DataFrame | None, reason: str, left_out: Sequence[str], level: float
) -> dict[str, Any]:
    record: dict[str, Any] = {
        **{"estimable": fit is not None, "reason": reason, "left_out": list(left_out)},
        **dict.fromkeys(("priors", "log_evidence", "sampler", "moderators")),
        "others": [],
    }
    if fit is not None:
        record["priors"] = prior_records(fit, fit.outcome.model.sources if fit.outcome is not None else {})
        record["log_evidence"] = plain(fit.log_evidence)
        table = moderator_table(fit, level=level) if table is None else table
        record["others"], record["sampler"] = other_records(fit, level), sampler_record(fit)
    record["moderators"] = moderator_record(table)
    return record


def _agreement(fits: Sequence[Fit]) -> list[dict[str, Any]] | None:
    """Both engines compared, line by line; None where one engine was run."""
    tables = [agreement_table(fit).assign(analysis=fit.analysis) for fit in fits if fit.second is not None]
    return [row for table in tables for row in table_records(table)] if tables else None


def fit_record(
    pooled: Fit,
    moderated: Fit | None,
    name: str,
    *,
    moderators: pd.DataFrame | None = None,
    reason: str = "",
    left_out: Sequence[str] = (),
    notices: Sequence[Finding] | None = None,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """One outcome of a protocol: its pooled analysis, the classical check, and its moderated analysis.

    Parameters
    ----------
    pooled : Fit
    moderated : Fit or None
        None where it is not estimable.
    name : str
        The outcome's key.
    moderators : pandas.DataFrame, optional
        `moderator_table` of the moderated fit, where it was made already.
    reason : str
        Trials, coefficients and rank of the moderated analysis, or why there is none.
    left_out : sequence of str
        Moderators with one level in this outcome.
    notices : sequence of Finding, optional
        As in `pool_record`.
    """
    thresholds = resolve_thresholds(pooled)
    primary = headline(thresholds)
    fits = [pooled] if moderated is None else [pooled, moderated]
    directed = primary is not None and pooled.effects.better is not None
    return {
        **head(pooled.effects.measure, level=level, warnings=warnings),
        **about(pooled, name),
        "note": small_k_note(pooled.effects.n_trials),
        "priors": prior_records(pooled, pooled.outcome.model.sources if pooled.outcome is not None else {}),
        "bayes": bayes_record(pooled, level),
        "benefit": benefit_rows(pooled, thresholds, level),
        "sizes": size_rows(pooled, thresholds),
        "classical": classical_record(pooled.effects, level=level, rho=pooled.model.rho, every=False),
        "moderated": _moderated(moderated, moderators, reason, left_out, level),
        "agreement": _agreement(fits),
        "checks": check_rows(pooled) + ([] if moderated is None else check_rows(moderated)),
        **told(fits, notices),
        "sentence": benefit_sentence(pooled, primary) if directed and primary is not None else None,
        "caveat": CAVEAT,
    }


def run_record(
    fits: Mapping[str, Sequence[Fit]],
    files: Mapping[str, str],
    *,
    hashes: Mapping[str, str | None],
    pinned: bool,
    seed: int,
    reasons: Mapping[str, str],
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """Describe a run: what was fitted from what, into which files, and whether it may be reported.

    Parameters
    ----------
    fits : mapping of str to sequence of Fit
        By outcome: the pooled fit and, where there is one, the moderated.
    files : mapping of str to str
        Analysis (``"pain"``, ``"pain.moderated"``) to file name.
    hashes : mapping
        SHA-256 of ``protocol`` and ``data``.
    pinned : bool
        Whether the protocol pins the data's hash.
    reasons : mapping
        By outcome: the moderated analysis' trials, coefficients and rank, or why there is none.
    """
    scales = {scale_name(fit.effects.measure) for group in fits.values() for fit in group}
    failed = unreportable(fit for group in fits.values() for fit in group)
    return {
        **head(None, level=level, warnings=warnings),
        "scale": scales.pop() if len(scales) == 1 else None,
        "protocol_sha256": hashes["protocol"],
        "data_sha256": hashes["data"],
        "data_pinned": pinned,
        "seed": seed,
        "outcomes": {
            key: {
                "files": {
                    **{fit.analysis: files[_file_key(key, fit)] for fit in group},
                    **{f"{fit.analysis}.nuts": files[f"{_file_key(key, fit)}.nuts"] for fit in group if fit.second},
                },
                "k": group[0].effects.k,
                "trials": group[0].effects.n_trials,
                "engine": group[0].engine,
                "moderated": reasons[key],
                "checks": [{"analysis": fit.analysis, **check} for fit in group for check in check_rows(fit)],
            }
            for key, group in fits.items()
        },
        "reportable": not failed,
        "reasons": failed,
    }


def _file_key(key: str, fit: Fit) -> str:
    return key if fit.analysis == "pooled" else f"{key}.{fit.analysis}"


def compare_record(
    fit: Fit,
    name: str,
    *,
    moderators: pd.DataFrame | None = None,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """Bayesian beside classical pooling of the same rows, and of the moderators (their table) where there are any."""
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "methods": table_records(compare_table(fit, level=level)),
        "moderators": moderator_record(moderators),
    }


def benefit_record(
    fit: Fit,
    name: str,
    thresholds: Sequence[Threshold] | None = None,
    *,
    notices: Sequence[Finding] | None = None,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """Probabilities of benefit and harm against each threshold, with the sentence built from them."""
    stated = resolve_thresholds(fit, thresholds)
    table = benefit_table(fit, stated, level=level)
    primary = headline(stated)
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "note": small_k_note(fit.effects.n_trials),
        "benefit": table_records(table),
        "sizes": size_rows(fit, stated),
        **told([fit], notices),
        "sentence": None if primary is None else benefit_sentence(fit, primary),
        "caveat": CAVEAT,
    }


def joint_record(
    joint: JointFit, tables: Mapping[str, pd.DataFrame], *, warnings: Sequence[str] = (), level: float = LEVEL
) -> dict[str, Any]:
    """Several outcomes together: what was assumed, every table, and the checks of the draws.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        ``correlations``, ``borrowing`` and, where thresholds are stated, ``at_least`` and ``without_harm``; and
        ``working_correlation`` where requested.
    """
    scales = {scale_name(item.measure) for item in joint.effects.effects.values()}
    fits = list(joint.fits.values())
    return {
        **head(None, level=level, warnings=warnings),
        "scale": scales.pop() if len(scales) == 1 else None,
        "outcomes": [about(fit, name) for name, fit in joint.fits.items()],
        "priors": {
            name: prior_records(fit, fit.outcome.model.sources if fit.outcome is not None else {})
            for name, fit in joint.fits.items()
        },
        "correlation": joint.model.correlation,
        "eta": joint.model.eta,
        "sampler": sampler_record(fits[0]),
        **{
            name: table_records(tables[name]) if name in tables else None
            for name in ("correlations", "borrowing", "at_least", "without_harm", "working_correlation")
        },
        "checks": check_rows(fits[0]),
        "caveat": CAVEAT,
    }


def ppc_record(
    fit: Fit,
    name: str,
    tables: Mapping[str, pd.DataFrame],
    not_done: Mapping[str, str],
    *,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """Checks of a fit: every requested table, and why others are not there.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        Of `bayesmeta.checking`, by section: ``predictive trials prior overlap scaling loo``.
    """
    loo = tables.get("loo")
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "analysis": fit.analysis,
        "engine": fit.engine,
        **{
            section: table_records(tables[section]) if section in tables else None
            for section in ("predictive", "trials", "prior", "overlap", "scaling", "loo")
        },
        "loo_totals": None if loo is None else plain(loo.attrs),
        "not_done": dict(not_done),
        "checks": check_rows(fit),
        "caveat": CAVEAT,
    }


def profiles_record(
    fit: Fit, name: str, table: pd.DataFrame, *, warnings: Sequence[str] = (), level: float = LEVEL
) -> dict[str, Any]:
    """Effects at every combination of levels of the categorical moderators."""
    levels = list(table.columns[: list(table.columns).index("k")])
    rows = [{"at": {column: row.pop(column) for column in levels}, **row} for row in table_records(table)]
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **about(fit, name),
        "engine": fit.engine,
        "profiles": rows,
        "caveat": CAVEAT,
    }


def forensics_record(
    source: str, sha256: str, rows: int, findings: Sequence[Finding], *, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """What rules found in a table."""
    return {
        **head(None, warnings=warnings),
        "source": source,
        "data_sha256": sha256,
        "rows": rows,
        "findings": finding_rows(findings),
    }


def check_record(
    reading: Reading, name: str, *, label: str | None = None, moderated: str = "", warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """What was read for one outcome, and everything that was done to its rows."""
    effects = reading.effects
    ledger = effects.ledger or ()
    rows = [
        {
            "row": reading.rows[i],
            "label": effects.label[i],
            "study": effects.study[i],
            "y": float(effects.y[i]),
            "se": float(effects.se[i]),
            "formula": ledger[i].formula if i < len(ledger) else None,
            "assumptions": list(ledger[i].assumptions) if i < len(ledger) else [],
        }
        for i in range(effects.k)
    ]
    return {
        **head(effects.measure, warnings=warnings),
        "outcome": name,
        "label": label,
        "measure": effects.measure,
        "better": effects.better,
        "unit": effects.unit,
        "k": effects.k,
        "trials": effects.n_trials,
        "participants": effects.participants,
        "source": reading.source,
        "data_sha256": reading.sha256,
        "note": small_k_note(effects.n_trials),
        "moderated": moderated,
        "rows": plain(rows),
        **{
            kind: [{"row": item.row, "study": item.study, "reason": item.reason} for item in items]
            for kind, items in (
                ("excluded", reading.excluded),
                ("assumed", reading.assumed),
                ("sign_reversed", reading.turned),
            )
        },
        "findings": finding_rows(reading.findings),
    }
