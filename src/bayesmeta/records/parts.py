"""Parts that several records share: what was analysed, priors, thresholds, checks, and classical pooling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.checking import prior_conflict_table, prior_conflicts
from bayesmeta.classical import CI_METHODS, ClassicalFit, defined_methods, is_clustered, pool_clustered, pool_table
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL
from bayesmeta.measures import measure
from bayesmeta.plan import DEFAULT_COEFFICIENT_SOURCE, Threshold
from bayesmeta.questions import benefit_table, probability, size_table, summarize
from bayesmeta.records.form import plain, table_records

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.effects import Effects
    from bayesmeta.errors import Finding
    from bayesmeta.fits import Fit

__all__ = [
    "about",
    "bayes_record",
    "benefit_rows",
    "check_rows",
    "classical_record",
    "failed_checks",
    "finding_rows",
    "headline",
    "moderator_record",
    "other_records",
    "prior_records",
    "sampler_record",
    "size_rows",
    "told",
    "unreportable",
]

_CI_NAMES = {"wald": "", "t": "+t", "hksj": "+HKSJ", "hksj_adhoc": "+HKSJ-adhoc"}
# the estimators that are given with every interval method; the others with Wald's alone
_WITH_EVERY_INTERVAL = ("DL", "REML", "PM")


def _classical(fit: ClassicalFit) -> dict[str, Any]:
    record = {name: getattr(fit, name) for name in ("estimate", "se", "lower", "upper", "p", "df", "tau2")}
    record |= {name: getattr(fit, name) for name in ("i2_q", "i2_tau2", "h2", "q", "q_df", "q_p", "mark")}
    return plain({**record, "pi": fit.pi, "notes": fit.notes})


def classical_record(
    effects: Effects, *, level: float = LEVEL, rho: float = 0.5, every: bool = True
) -> dict[str, dict[str, Any]]:
    """Classical pooling by every estimator that is defined for these data.

    Parameters
    ----------
    effects : Effects
    level, rho : float
        As in `bayesmeta.classical.pool`.
    every : bool
        False: REML (EE for one estimate) alone, with each interval method.

    Returns
    -------
    dict
        By name: ``EE``, ``DL``, ``REML``, ... with Wald's interval; ``REML+t``, ``REML+HKSJ``, ``REML+HKSJ-adhoc``,
        and so for DL and PM. ``pi`` holds the four prediction intervals as pairs. Where rows lie in clusters
        ``multilevel+t``, the classical check, and ``multilevel+CR2`` come first, where they are defined.

    Examples
    --------
    >>> list(classical_record(bm.Effects(["A"], [0.1], [0.1], measure="SMD")))
    ['EE']
    """
    defined = defined_methods(effects)
    chosen = defined if every else tuple(name for name in defined if name == "REML") or defined
    records: dict[str, dict[str, Any]] = _clustered_records(effects, level)
    for name in chosen:
        # t needs a degree of freedom: trials where rows share patients, else estimates
        free = len(effects.units[0]) if effects.blocks else effects.k
        cis = CI_METHODS if name in _WITH_EVERY_INTERVAL and free > 1 else ("wald",)
        fits = pool_table(effects, (name,), cis, level=level, rho=rho)
        records |= {f"{name}{_CI_NAMES[item.ci]}": _classical(item) for item in fits}
    return records


def _clustered_records(effects: Effects, level: float) -> dict[str, dict[str, Any]]:
    records: dict[str, dict[str, Any]] = {}
    for robust in (False, True) if is_clustered(effects) else ():
        try:
            fit = pool_clustered(effects, level=level, robust=robust)
        except ModelError:
            # `compare` says why
            continue
        names = ("estimate", "se", "lower", "upper", "p", "df", "tau2", "cluster_tau2", "n_clusters")
        pair = None if fit.pi_lower is None else (fit.pi_lower, fit.pi_upper)
        records[f"multilevel+{fit.ci}"] = plain(
            {**{name: getattr(fit, name) for name in names}, "pi": pair, "notes": fit.notes}
        )
    return records


def _moments(row: Any) -> dict[str, Any]:
    return plain({name: row[name] for name in ("mean", "sd", "median", "lower", "upper")})


def below_null(fit: Fit, name: str) -> float | None:
    """Probability of a quantity below the value of no effect; None for one arm, which has no such value."""
    return None if measure(fit.effects.measure).single_arm else probability(fit, name, below=0.0)


def bayes_record(fit: Fit, level: float) -> dict[str, Any]:
    """Posterior of mu, tau and theta_new, log evidence, and the probabilities of an effect below the null value."""
    table = summarize(fit, level=level)
    return {
        "engine": fit.engine,
        **{name: _moments(table.loc[name]) if name in table.index else None for name in ("mu", "tau", "theta_new")},
        "others": _others(table),
        "sampler": sampler_record(fit),
        "log_evidence": plain(fit.log_evidence),
        "p_below_null": below_null(fit, "mu"),
        "p_new_below_null": below_null(fit, "theta_new"),
    }


_NAMED_ELSEWHERE = ("mu", "tau", "theta_new")


def other_records(fit: Fit, level: float) -> list[dict[str, Any]]:
    """Every quantity that a summary holds beyond the mean, its heterogeneity, a new study and the coefficients."""
    return _others(summarize(fit, level=level))


def _others(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table[["mean", "sd", "median", "lower", "upper", "mcse"]].reset_index(names="name")
    named = [name in _NAMED_ELSEWHERE or str(name).startswith("beta[") for name in table.index]
    return table_records(rows[~np.array(named)])


def sampler_record(fit: Fit) -> dict[str, Any] | None:
    """How draws were made, and the Monte Carlo standard errors of the means; None for an exact fit."""
    if not fit.simulated:
        return None
    table = summarize(fit)["mcse"].to_dict()
    errors = {name: float(table[name]) for name in _NAMED_ELSEWHERE if name in table}
    return plain({**fit.posterior.settings, "seed": fit.seed, "mcse": errors})


def about(fit: Fit, name: str | None) -> dict[str, Any]:
    """What was analysed: outcome, measure, direction, counts and hashes."""
    effects = fit.effects
    return {
        "outcome": name,
        "label": fit.outcome.label if fit.outcome is not None else effects.name,
        "measure": effects.measure,
        "better": effects.better,
        "unit": effects.unit,
        "k": effects.k,
        "trials": effects.n_trials,
        "participants": effects.participants,
        "data_sha256": fit.hashes.get("data"),
        "protocol_sha256": fit.hashes.get("protocol"),
    }


def prior_records(fit: Fit, sources: Mapping[str, str]) -> dict[str, Any]:
    """Prior of every role in its text form, with its source; None where none is stated."""
    stated = {"mu": repr(fit.model.mu), "tau": repr(fit.model.tau)}
    for role in ("cluster_tau", "random", "baseline", "missing_sd"):
        if getattr(fit.model, role) is not None:
            stated[role] = repr(getattr(fit.model, role))
    for role in ("missing", "derived"):
        stated |= {f"{role}.{name}": repr(item) for name, item in getattr(fit.model, role).items()}
    record = {name: {"prior": text, "source": sources.get(name) or None} for name, text in stated.items()}
    for name, coefficient in fit.model.beta.items():
        source = sources.get(f"beta.{name}") or sources.get("beta") or DEFAULT_COEFFICIENT_SOURCE
        record[f"beta.{name}"] = {"prior": coefficient.text, "source": source}
    return record


def moderator_record(table: pd.DataFrame | None) -> dict[str, Any] | None:
    """Lines of `moderator_table` with its notes; None without a moderated analysis."""
    return None if table is None else {"rows": table_records(table), "notes": list(table.attrs["notes"])}


def benefit_rows(fit: Fit, thresholds: Sequence[Threshold], level: float) -> list[dict[str, Any]] | None:
    """Lines of `benefit_table`; None where no direction or no threshold is stated."""
    if fit.effects.better is None or not thresholds:
        return None
    return table_records(benefit_table(fit, thresholds, level=level))


def size_rows(fit: Fit, thresholds: Sequence[Threshold]) -> list[dict[str, Any]] | None:
    """Lines of `size_table`; None where no direction, or no threshold that is a number, is stated."""
    numbers = [
        item
        for item in thresholds
        if all(isinstance(x, (int, float)) for x in (item.benefit_distance, item.worse_distance))
    ]
    if measure(fit.effects.measure).single_arm:
        return None
    return None if fit.effects.better is None or not numbers else table_records(size_table(fit, numbers))


def headline(thresholds: Sequence[Threshold]) -> Threshold | None:
    """Return the primary threshold, else the first."""
    return next((item for item in thresholds if item.primary), next(iter(thresholds), None))


def unreportable(fits: Iterable[Fit]) -> list[str]:
    """Reasons why results should not be reported: checks that failed, and headline priors that the data contradict."""
    several = list(fits)
    conflicts = [
        f"{_called(fit)}: {item.evidence}. {item.remedy}"
        for fit in several
        if fit.analysis == "pooled"
        for item in prior_conflicts(fit)
        if item.severity == "error"
    ]
    return [*failed_checks(several), *conflicts]


def _called(fit: Fit) -> str:
    return fit.outcome.key if fit.outcome is not None else fit.effects.name or "analysis"


def failed_checks(fits: Iterable[Fit]) -> list[str]:
    """The checks of the computation that failed, with their limits: such numbers are not shown."""
    return [
        f"{_called(fit)} ({fit.analysis}): check "
        f"{check.name!r} failed, {check.value:.3g} against a limit of {check.limit:.3g}. {check.advice}"
        for fit in fits
        for check in fit.checks
        if not check.ok
    ]


def finding_rows(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings of rules as plain rows."""
    return [
        {"rule": item.rule, "severity": item.severity, "evidence": item.evidence, "remedy": item.remedy}
        for item in findings
    ]


def told(fits: Sequence[Fit], notices: Sequence[Finding] | None) -> dict[str, Any]:
    """What must be read beside the numbers of the first fit, and whether all of them may be reported.

    Parameters
    ----------
    fits : sequence of Fit
        The pooled one, and the moderated where there is one.
    notices : sequence of Finding or None
        Of the analysis; None takes what the fit alone can say (`bayesmeta.checking.prior_conflicts`).
    """
    reasons = unreportable(fits)
    return {
        "prior_predictive": table_records(prior_conflict_table(fits[0])),
        "notices": finding_rows(prior_conflicts(fits[0]) if notices is None else notices),
        "reportable": not reasons,
        "reasons": reasons,
    }


def check_rows(fit: Fit) -> list[dict[str, Any]]:
    """Checks of a fit with value, limit and advice."""
    return [
        plain({"name": c.name, "ok": c.ok, "value": c.value, "limit": c.limit, "advice": c.advice}) for c in fit.checks
    ]
