"""Results as plain records: what `--json` prints and `run.json` holds.

Every record starts with ``schema_version bayesmeta level interval scale warnings``; numbers are on the analysis scale
at full precision, and an undefined number is None, never NaN or infinity. The committed schemas are
`output_schema`'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmeta.classical import CI_METHODS, ClassicalFit, defined_methods, pool_table
from bayesmeta.decision import HONESTY, benefit_sentence, benefit_table
from bayesmeta.errors import ModelError
from bayesmeta.measures import measure
from bayesmeta.outcome import DEFAULT_COEFFICIENT_SOURCE, Threshold
from bayesmeta.posterior import LEVEL, compare_table, contrast_table, predict, probability, study_table, summarize
from bayesmeta.quantities import distribution
from bayesmeta.sensitivity import prior_range

if TYPE_CHECKING:
    from bayesmeta.effects import Effects
    from bayesmeta.result import Fit
    from bayesmeta.studies import Reading

__all__ = [
    "SCHEMA_VERSION",
    "benefit_record",
    "check_record",
    "classical_record",
    "compare_record",
    "dumps",
    "envelope",
    "fit_record",
    "head",
    "level_table",
    "output_schema",
    "plain",
    "pool_record",
    "run_record",
    "sensitivity_record",
    "small_k_note",
    "table_records",
    "unreportable",
]

#: Raised when a key changes its meaning; a new key keeps it.
SCHEMA_VERSION = 1
_CI_NAMES = {"wald": "", "t": "+t", "hksj": "+HKSJ", "hksj_adhoc": "+HKSJ-adhoc"}
# the estimators that are given with every interval method; the others with Wald's alone
_WITH_EVERY_INTERVAL = ("DL", "REML", "PM")


def plain(value: Any) -> Any:
    """Make JSON of numbers, arrays, mappings and sequences; what is not finite becomes None.

    Examples
    --------
    >>> plain({"a": np.float64(0.5), "b": float("inf"), "c": (1, np.nan)})
    {'a': 0.5, 'b': None, 'c': [1, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return None if value is pd.NA else value
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return None if value is pd.NA else str(value)


def dumps(record: Mapping[str, Any]) -> str:
    """Write a record as JSON; every number reads back to the same bits (at most 17 significant digits).

    Examples
    --------
    >>> print(dumps({"x": 0.1}))
    {
      "x": 0.1
    }
    """
    return json.dumps(record, allow_nan=False, ensure_ascii=False, indent=2)


def table_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Make one record of each line of a table.

    Examples
    --------
    >>> table_records(pd.DataFrame({"a": [1.0, np.nan]}))
    [{'a': 1.0}, {'a': None}]
    """
    return [plain(row) for row in frame.to_dict("records")]


def scale_name(measure_name: str) -> str:
    """Name the scale of the analysis: ``log``, ``fisher_z`` (correlations) or ``identity``."""
    kind = measure(measure_name)
    return "log" if kind.log else "fisher_z" if kind.transformed else "identity"


def head(measure_name: str | None, *, level: float = LEVEL, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Begin a record: what every one of them starts with.

    Examples
    --------
    >>> head("RR")["scale"]
    'log'
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "bayesmeta": metadata.version("bayesmeta"),
        "level": level,
        "interval": "central",
        "scale": None if measure_name is None else scale_name(measure_name),
        "warnings": list(warnings),
    }


def envelope(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One record as it is, several under ``analyses``."""
    if len(records) == 1:
        return dict(records[0])
    return {"schema_version": SCHEMA_VERSION, "analyses": list(records)}


def output_schema(name: str) -> dict[str, Any]:
    """Read the JSON Schema of an output: ``pool fit run compare benefit sensitivity check plot protocol``.

    Examples
    --------
    >>> output_schema("pool")["title"]
    'bayesmeta pool --json'
    """
    folder = resources.files("bayesmeta").joinpath("schemas")
    names = sorted(item.name.removesuffix(".json") for item in folder.iterdir() if item.name.endswith(".json"))
    if name not in names:
        raise ModelError(f"there is no schema {name!r}. Allowed: {', '.join(names)}.")
    return json.loads(folder.joinpath(f"{name}.json").read_text("utf-8"))


def small_k_note(n_trials: int) -> str:
    """What the number of trials allows, in one sentence.

    One trial is not pooled; two give a sensitivity analysis and no claim; three or four need an informative prior of
    tau and its variations; from five on Bayesian and classical answers stand side by side.

    References
    ----------
    Lilienthal J et al. Res Synth Methods 2024;15:275-287. doi:10.1002/jrsm.1685; IQWiG, General Methods.

    Examples
    --------
    >>> small_k_note(2)
    'Two trials: a sensitivity analysis only; make no claim from it.'
    """
    if n_trials <= 1:
        return "One trial: nothing is pooled; how trials differ comes from the prior of tau alone."
    if n_trials == 2:
        return "Two trials: a sensitivity analysis only; make no claim from it."
    if n_trials <= 4:
        return "Three or four trials: the prior of tau matters; read this beside `bayesmeta sensitivity`."
    return "Five or more trials: read the Bayesian and the classical answer side by side."


def _moments(row: Any) -> dict[str, Any]:
    return plain({name: row[name] for name in ("mean", "sd", "median", "lower", "upper")})


def _bayes(fit: Fit, level: float) -> dict[str, Any]:
    table = summarize(fit, level=level)
    return {
        "engine": fit.engine,
        **{name: _moments(table.loc[name]) if name in table.index else None for name in ("mu", "tau", "theta_new")},
        "log_evidence": plain(fit.log_evidence),
        "p_below_null": probability(fit, "mu", below=0.0),
        "p_new_below_null": probability(fit, "theta_new", below=0.0),
    }


def _classical(fit: ClassicalFit) -> dict[str, Any]:
    record = {name: getattr(fit, name) for name in ("estimate", "se", "lower", "upper", "p", "df", "tau2")}
    record |= {name: getattr(fit, name) for name in ("i2_q", "i2_tau2", "h2", "q", "q_df", "q_p")}
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
        and so for DL and PM. ``pi`` holds the four prediction intervals as pairs.

    Examples
    --------
    >>> from bayesmeta.effects import Effects
    >>> list(classical_record(Effects(["A"], [0.1], [0.1], measure="SMD")))
    ['EE']
    """
    defined = defined_methods(effects)
    chosen = defined if every else tuple(name for name in defined if name == "REML") or defined
    records = {}
    for name in chosen:
        # one trial with several rows leaves no degrees of freedom for t
        cis = CI_METHODS if name in _WITH_EVERY_INTERVAL and len(effects.units[0]) > 1 else ("wald",)
        for item in pool_table(effects, (name,), cis, level=level, rho=rho):
            records[f"{name}{_CI_NAMES[item.ci]}"] = _classical(item)
    return records


def _about(fit: Fit, name: str | None) -> dict[str, Any]:
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


def _priors(fit: Fit, sources: Mapping[str, str]) -> dict[str, Any]:
    stated = {"mu": repr(fit.model.mu), "tau": repr(fit.model.tau)}
    record = {name: {"prior": text, "source": sources.get(name) or None} for name, text in stated.items()}
    for name, coefficient in fit.model.beta.items():
        source = sources.get(f"beta.{name}") or sources.get("beta") or DEFAULT_COEFFICIENT_SOURCE
        record[f"beta.{name}"] = {"prior": repr(coefficient.prior), "source": source}
    return record


def _stated(fit: Fit, thresholds: Sequence[Threshold] | None) -> tuple[Threshold, ...]:
    if thresholds is not None:
        return tuple(thresholds)
    return fit.outcome.thresholds if fit.outcome is not None else ()


def _benefit(fit: Fit, thresholds: Sequence[Threshold], level: float) -> list[dict[str, Any]] | None:
    if fit.effects.better is None or not thresholds:
        return None
    return table_records(benefit_table(fit, thresholds, level=level))


def _headline(fit: Fit, thresholds: Sequence[Threshold]) -> Threshold | None:
    return next((item for item in thresholds if item.primary), next(iter(thresholds), None))


def unreportable(fits: Iterable[Fit]) -> list[str]:
    """Reasons why results should not be reported: the checks that failed, with their limits."""
    return [
        f"{fit.outcome.key if fit.outcome is not None else fit.effects.name or 'analysis'} ({fit.analysis}): check "
        f"{check.name!r} failed, {check.value:.3g} against a limit of {check.limit:.3g}. {check.advice}"
        for fit in fits
        for check in fit.checks
        if not check.ok
    ]


def _checks(fit: Fit) -> list[dict[str, Any]]:
    return [
        plain({"name": c.name, "ok": c.ok, "value": c.value, "limit": c.limit, "advice": c.advice}) for c in fit.checks
    ]


def pool_record(
    fit: Fit,
    name: str | None,
    *,
    sources: Mapping[str, str] | None = None,
    thresholds: Sequence[Threshold] | None = None,
    sentence: str | None = None,
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
    """
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **_about(fit, name),
        "note": small_k_note(fit.effects.n_trials),
        "priors": _priors(fit, sources or {}),
        "bayes": _bayes(fit, level),
        "benefit": _benefit(fit, _stated(fit, thresholds), level),
        "classical": classical_record(fit.effects, level=level, rho=fit.model.rho),
        "studies": table_records(study_table(fit, level=level)),
        "checks": _checks(fit),
        "sentence": sentence,
        "honesty": HONESTY,
    }


def level_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Effects at each level of each categorical moderator, averaged over the observed mix of the others.

    Parameters
    ----------
    fit : Fit
        A moderated fit.

    Returns
    -------
    pandas.DataFrame
        Columns ``moderator level k trials median lower upper new_lower new_upper`` on the analysis scale and, where a
        direction and a threshold are stated, ``p_any_benefit p_important_benefit p_important_harm`` with ``_new`` for
        a new setting.
    """
    thresholds = _stated(fit, None)
    primary = _headline(fit, thresholds)
    rows = []
    for name, factor in fit.design.factors.items():
        values = np.array([str(value) for value in fit.effects.moderators[name]], dtype=object)
        for value in factor.levels:
            table = predict(fit, {name: value}, level=level)
            here = values == value
            row: dict[str, Any] = {
                "moderator": name,
                "level": value,
                "k": int(here.sum()),
                "trials": len({study for study, used in zip(fit.effects.study, here, strict=True) if used}),
                **{column: table.loc["mu", column] for column in ("median", "lower", "upper")},
                "new_lower": table.loc["theta_new", "lower"],
                "new_upper": table.loc["theta_new", "upper"],
            }
            if primary is not None and fit.effects.better is not None:
                row |= _benefit_at(fit, primary, {name: value})
            rows.append(row)
    return pd.DataFrame(rows)


def _benefit_at(fit: Fit, item: Threshold, at: Mapping[str, Any]) -> dict[str, float]:
    """Probabilities against one threshold at a profile, without the share of settings, which takes most of the time."""
    columns = ("p_any_benefit", "p_important_benefit", "p_important_harm")
    benefit, worse = item.benefit_distance, item.worse_distance
    if not (isinstance(benefit, (int, float)) and isinstance(worse, (int, float))):
        table = benefit_table(fit, [item], at=at)
        return {f"{c}{end}": float(table[c].iloc[i]) for i, end in enumerate(("", "_new")) for c in columns}
    higher = fit.effects.better == "higher"
    sign = 1.0 if higher else -1.0
    row = {}
    for name, end in (("mu", ""), ("theta_new", "_new")):
        above = distribution(fit, name, sign * np.array([0.0, benefit]), at=at, upper=higher)
        harm = distribution(fit, name, [-sign * worse], at=at, upper=not higher)
        row |= {f"{c}{end}": float(p) for c, p in zip(columns, [*above, *harm], strict=True)}
    return row


def _moderated(fit: Fit | None, reason: str, left_out: Sequence[str], level: float) -> dict[str, Any]:
    record: dict[str, Any] = {
        "estimable": fit is not None,
        "reason": reason,
        "left_out": list(left_out),
        "priors": None,
        "log_evidence": None,
        "contrasts": [],
        "levels": [],
    }
    if fit is not None:
        record["priors"] = _priors(fit, fit.outcome.sources if fit.outcome is not None else {})
        record["log_evidence"] = plain(fit.log_evidence)
        record["contrasts"] = table_records(contrast_table(fit, level=level))
        record["levels"] = table_records(level_table(fit, level=level))
    return record


def fit_record(
    pooled: Fit,
    moderated: Fit | None,
    name: str,
    *,
    reason: str = "",
    left_out: Sequence[str] = (),
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
    reason : str
        Trials, coefficients and rank of the moderated analysis, or why there is none.
    left_out : sequence of str
        Moderators with one level in this outcome.
    """
    thresholds = _stated(pooled, None)
    primary = _headline(pooled, thresholds)
    fits = [pooled] if moderated is None else [pooled, moderated]
    reasons = unreportable(fits)
    told = primary is not None and pooled.effects.better is not None
    return {
        **head(pooled.effects.measure, level=level, warnings=warnings),
        **_about(pooled, name),
        "note": small_k_note(pooled.effects.n_trials),
        "priors": _priors(pooled, pooled.outcome.sources if pooled.outcome is not None else {}),
        "bayes": _bayes(pooled, level),
        "benefit": _benefit(pooled, thresholds, level),
        "classical": classical_record(pooled.effects, level=level, rho=pooled.model.rho, every=False),
        "moderated": _moderated(moderated, reason, left_out, level),
        "checks": _checks(pooled) + ([] if moderated is None else _checks(moderated)),
        "reportable": not reasons,
        "reasons": reasons,
        "sentence": benefit_sentence(pooled, primary) if told and primary is not None else None,
        "honesty": HONESTY,
    }


def run_record(
    fits: Mapping[str, Sequence[Fit]], files: Mapping[str, str], *, hashes: Mapping[str, str | None], pinned: bool,
    seed: int, reasons: Mapping[str, str], warnings: Sequence[str] = (), level: float = LEVEL,
) -> dict[str, Any]:  # fmt: skip
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
                "files": {fit.analysis: files[_file_key(key, fit)] for fit in group},
                "k": group[0].effects.k,
                "trials": group[0].effects.n_trials,
                "engine": group[0].engine,
                "moderated": reasons[key],
                "checks": [{"analysis": fit.analysis, **check} for fit in group for check in _checks(fit)],
            }
            for key, group in fits.items()
        },
        "reportable": not failed,
        "reasons": failed,
    }


def _file_key(key: str, fit: Fit) -> str:
    return key if fit.analysis == "pooled" else f"{key}.{fit.analysis}"


def compare_record(fit: Fit, name: str, *, warnings: Sequence[str] = (), level: float = LEVEL) -> dict[str, Any]:
    """Bayesian beside classical pooling of the same rows."""
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **_about(fit, name),
        "methods": table_records(compare_table(fit.effects, fit, level=level)),
    }


def benefit_record(
    fit: Fit,
    name: str,
    thresholds: Sequence[Threshold] | None = None,
    *,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """Probabilities of benefit and harm against each threshold, with the sentence built from them."""
    stated = _stated(fit, thresholds)
    table = benefit_table(fit, stated, level=level)
    primary = _headline(fit, stated)
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **_about(fit, name),
        "note": small_k_note(fit.effects.n_trials),
        "benefit": table_records(table),
        "sentence": None if primary is None else benefit_sentence(fit, primary),
        "honesty": HONESTY,
    }


def sensitivity_record(
    fit: Fit,
    name: str,
    table: pd.DataFrame,
    *,
    priors_only: Sequence[str] = (),
    leave_one_out: pd.DataFrame | None = None,
    cumulative: pd.DataFrame | None = None,
    not_done: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    level: float = LEVEL,
) -> dict[str, Any]:
    """Declared variations of one outcome, and the range of every probability over them.

    Parameters
    ----------
    table : pandas.DataFrame
        From `bayesmeta.sensitivity.variation_table`; the first line is the main analysis.
    priors_only : sequence of str
        The lines (the main one included) that differ in priors alone: the prior range.
    not_done : mapping
        Declared analyses that could not be run, with the reason.
    """
    return {
        **head(fit.effects.measure, level=level, warnings=warnings),
        **_about(fit, name),
        "analyses_run": table_records(table),
        "not_done": dict(not_done or {}),
        "prior_range": table_records(prior_range(table[table["analysis"].isin(list(priors_only))])),
        "range": table_records(prior_range(table)),
        "leave_one_out": None if leave_one_out is None else table_records(leave_one_out),
        "elpd": None if leave_one_out is None else plain(leave_one_out.attrs["elpd"]),
        "cumulative": None if cumulative is None else table_records(cumulative),
        "honesty": HONESTY,
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
            kind: [{"row": item.row, "study": item.study, "reason": item.reason} for item in getattr(reading, kind)]
            for kind in ("excluded", "assumed", "turned")
        },
        "findings": [
            {"rule": item.rule, "severity": item.severity, "evidence": item.evidence, "remedy": item.remedy}
            for item in reading.findings
        ],
    }
