"""A protocol, a fit or a table to the analyses that the commands print, draw and write."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

import bayesmeta as bm
from bayesmeta_cli.files import existing
from bayesmeta_cli.messages import noted, say, track

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.plan import Sensitivity
    from bayesmeta.studies import Reading

NO_MODERATORS = "no moderators are declared"
# values of a column that a message lists
SHOWN = 10


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """One outcome with its fits.

    Attributes
    ----------
    key : str
        The outcome's key in the protocol; for a table its name, or the value of the column that splits it.
    reason : str
        Trials, coefficients and rank of the moderated analysis, or why there is none.
    sources : mapping
        Where the priors of mu and tau come from.
    thresholds : tuple of Threshold
    """

    key: str
    pooled: bm.Fit
    moderated: bm.Fit | None = None
    reason: str = ""
    left_out: tuple[str, ...] = ()
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)
    thresholds: tuple[bm.Threshold, ...] = ()
    warnings: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of the rows, and which were left out."""
        from bayesmeta.records import data_notes

        return (*data_notes(self.pooled), *self.excluded)

    @property
    def warned(self) -> tuple[str, ...]:
        """Warnings and notes, as they go into JSON."""
        return (*self.warnings, *self.notes)

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.pooled.outcome.label if self.pooled.outcome is not None else self.key

    @property
    def primary(self) -> bm.Threshold | None:
        """The threshold of the headline."""
        return next((item for item in self.thresholds if item.primary), next(iter(self.thresholds), None))


def chosen(protocol: bm.Protocol, names: Sequence[str]) -> list[str]:
    """Return the requested outcomes, in the protocol's order; all if none is named."""
    for name in names:
        protocol.outcome(name)
    return [key for key in protocol.outcomes if not names or key in names]


# what changes the model alone; everything else may change which rows are used, or what is computed from them
_MODEL_ONLY = (
    "priors.mu",
    "priors.tau",
    "priors.beta",
    "priors.curve",
    "priors.cluster_tau",
    "priors.baseline",
    "rho",
    "random",
    "impute",
)
# what changes the moderated analysis and leaves the pooled one as it is
_MODERATED_ONLY = ("moderators", "interactions", "impute", "missing", "priors.beta", "priors.curve")


def _concerns(change: str, names: Sequence[str]) -> bool:
    return any(change == name or change.startswith(f"{name}.") for name in names)


def touches_data(declared: Sensitivity) -> bool:
    """Whether a sensitivity analysis can change which rows are used or what is computed from them."""
    return not all(_concerns(change, _MODEL_ONLY) for change in declared.changes)


def is_moderated(declared: Sensitivity) -> bool:
    """Whether a sensitivity analysis is one of the moderated analysis."""
    return any(_concerns(change, _MODERATED_ONLY) for change in declared.changes)


def settings_of(protocol: bm.Protocol) -> bm.Settings:
    """How the protocol wants the sampler run."""
    sampling = protocol.sampling
    if sampling is None:
        return bm.Settings(progress=True)
    return bm.Settings(
        chains=sampling.chains,
        draws=sampling.draws,
        tune=sampling.tune,
        target_accept=sampling.target_accept,
        progress=True,
    )


def require_sound(fits: Iterable[tuple[str, bm.Fit]]) -> None:
    """Stop where draws failed a check, or two engines disagree: such numbers are not printed."""
    lines = [
        f"{key} ({fit.analysis}): {check.name} is {check.value:.4g}, limit {check.limit:g}. {check.advice}"
        for key, fit in fits
        if not fit.exact or fit.second is not None
        for check in fit.checks
        if not check.ok
    ]
    if lines:
        raise bm.InferenceError("\n".join(lines))


def readings(
    protocol: bm.Protocol, keys: Sequence[str], *, variations: bool = False
) -> dict[str, tuple[Reading, tuple[str, ...]]]:
    """Read every outcome with the warnings it gave; faults of all outcomes are raised at once.

    With ``variations`` the declared sensitivity analyses are read too, for their faults.
    """
    from bayesmeta.plan import vary
    from bayesmeta.studies import read_outcome

    found: dict[str, tuple[Reading, tuple[str, ...]]] = {}
    lines: list[str] = []
    warned: list[str] = []
    for key in track(keys, "reading"):
        before = len(warned)
        try:
            with noted(warned):
                reading = read_outcome(protocol, key)
        except bm.DataError as error:
            lines += [line for line in str(error).splitlines() if line not in lines]
            continue
        found[key] = (reading, tuple(warned[before:]))
        for declared in protocol.sensitivities_of(key) if variations else ():
            if not touches_data(declared):
                continue
            try:
                with noted(warned):
                    read_outcome(vary(protocol, declared.name), key)
            except bm.DataError as error:
                lines += [f"sensitivity {declared.name!r}: {line}" for line in str(error).splitlines()]
    if lines:
        raise bm.DataError("\n".join(dict.fromkeys(lines)))
    return found


def moderated_model(protocol_outcome: bm.Outcome, effects: bm.Effects) -> tuple[bm.Model | None, str, tuple[str, ...]]:
    """Return the model of the moderated analysis, or None and why there is none; and moderators left out."""
    if not protocol_outcome.model.moderators:
        return None, NO_MODERATORS, ()
    single = tuple(
        item.name for item in protocol_outcome.model.moderators if len(set(effects.moderators[item.name].tolist())) < 2
    )
    found = bm.estimable(effects, protocol_outcome.model.on(effects.moderators))
    return (found.model if found.ok else None), found.reason, tuple(dict.fromkeys((*single, *found.left_out)))


def fitted(effects: bm.Effects, model: bm.Model, key: str, engine: str, warned: list[str], **options: Any) -> bm.Fit:
    """Fit, with the outcome's key in front of what goes wrong; warnings are collected in ``warned``."""
    try:
        with noted(warned):
            return bm.fit(effects, model, engine=cast(Any, engine), **options)
    except (bm.ModelError, bm.InferenceError) as error:
        raise type(error)(f"{key}: {error}") from error


def from_protocol(
    protocol: bm.Protocol,
    names: Sequence[str] = (),
    *,
    engine: str | None = None,
    moderated: bool = True,
    read: Mapping[str, tuple[Reading, tuple[str, ...]]] | None = None,
) -> list[Analysis]:
    """Fit the outcomes of a protocol, each pooled and (if requested and estimable) moderated.

    What `readings` gave of these outcomes may be handed over, and is not read again.
    """
    read = readings(protocol, chosen(protocol, names)) if read is None else read
    analyses = []
    for key in track(list(read), "fitting"):
        reading, warned = read[key]
        outcome = protocol.outcomes[key]
        options: dict[str, Any] = {
            "engine": engine or outcome.model.engine,
            "seed": protocol.sampling.seed if protocol.sampling is not None else 1,
            "outcome": outcome,
            "hashes": hashes_of(protocol, reading.sha256),
            "settings": settings_of(protocol),
        }
        collected = list(warned)
        pooled = fitted(reading.effects, outcome.model.on(), key, warned=collected, **options)
        second, reason = None, ""
        left_out: tuple[str, ...] = ()
        if moderated:
            model, reason, left_out = moderated_model(outcome, reading.effects)
            if model is not None:
                second = fitted(reading.effects, model, key, warned=collected, analysis="moderated", **options)
        require_sound((key, item) for item in (pooled, second) if item is not None)
        analyses.append(
            Analysis(
                key,
                pooled,
                second,
                reason,
                left_out,
                outcome.model.sources,
                outcome.decision.thresholds,
                tuple(collected),
                tuple(
                    f"excluded: row {item.row} ({item.study}): {item.reason.rstrip('.')}" for item in reading.excluded
                ),
            )
        )
    return analyses


def hashes_of(protocol: bm.Protocol, data: str | None) -> dict[str, str]:
    """SHA-256 of protocol and data, as fits carry them."""
    return {"protocol": protocol.sha256, **({"data": data} if data is not None else {})}


def _matching(path: Path, hashes: Mapping[str, str]) -> bm.Fit:
    """Read a fit and refuse it if it was made from something else."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such fit. Run `bayesmeta fit` first.")
    fit = bm.load(path)
    for what, wanted in hashes.items():
        if fit.hashes.get(what) != wanted:
            raise bm.DataError(
                f"{path}: fitted from another {what} (SHA-256 {str(fit.hashes.get(what))[:12]}..., now {wanted[:12]}"
                "...). Run `bayesmeta fit` again."
            )
    return fit


def from_fits(
    protocol: bm.Protocol, folder: Path, names: Sequence[str] = (), *, moderated: bool = True
) -> list[Analysis]:
    """Read the fits of a folder that belong to this protocol and these data."""
    import hashlib

    hashes = hashes_of(protocol, hashlib.sha256(protocol.data.path.read_bytes()).hexdigest())
    analyses = []
    for key in track(chosen(protocol, names), "reading fits"):
        outcome = protocol.outcomes[key]
        pooled = _matching(folder / f"{key}.nc", hashes)
        second, reason = None, ""
        left_out: tuple[str, ...] = ()
        if moderated:
            model, reason, left_out = moderated_model(outcome, pooled.effects)
            second = None if model is None else _matching(folder / f"{key}.moderated.nc", hashes)
        analyses.append(
            Analysis(key, pooled, second, reason, left_out, outcome.model.sources, outcome.decision.thresholds)
        )
    return analyses


def from_file(
    path: Path, names: Sequence[str] = (), fits: Path | None = None, *, moderated: bool = True
) -> list[Analysis]:
    """Analyses of a protocol, or the one of a fit."""
    existing(path, ("protocol", "fit"))
    if path.suffix.lower() == ".nc":
        if names or fits:
            raise typer.BadParameter(f"--outcome and --fits go with a protocol; {path} is one fit.")
        fit = bm.load(path)
        outcome = fit.outcome
        key = outcome.key if outcome is not None else path.stem
        second = fit if fit.analysis == "moderated" else None
        stated = outcome.decision.thresholds if outcome is not None else ()
        reason = "" if second else "this file is the pooled fit; give the .moderated.nc beside it"
        return [Analysis(key, fit, second, reason, sources=outcome.model.sources if outcome else {}, thresholds=stated)]
    protocol = bm.read_protocol(path)
    if fits is not None:
        return from_fits(protocol, fits, names, moderated=moderated)
    return from_protocol(protocol, names, moderated=moderated)


def pairs(items: Sequence[str], option: str) -> dict[str, str]:
    """Make a mapping of ``NAME=VALUE`` options."""
    made = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise typer.BadParameter(f"{option} {item}: write NAME=VALUE.")
        made[name.strip()] = value.strip()
    return made


def _number(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: not a number.") from None


def from_table(
    path: Path,
    *,
    measure: str | None,
    mu: str | None,
    tau: str | None,
    by: str | None,
    better: str | None,
    threshold: str | None,
    ref_sd: str | None,
    columns: Sequence[str],
    where: Sequence[str],
    scale: str | None,
) -> list[Analysis]:
    """Pool a table without a protocol, whole or once per value of the column ``by``."""
    from bayesmeta.measures import measure as find_measure
    from bayesmeta.studies import effect_sizes, possible_measures, read_table

    existing(path, ("table",))
    warned: list[str] = []
    with noted(warned):
        frame = read_table(path, columns=pairs(columns, "--column"))
        if measure is None:
            possible = possible_measures(frame)
            if possible != ("generic",):
                listed = ", ".join(possible) or f"none; columns: {', '.join(map(str, frame.columns))}"
                raise bm.ModelError(f"{path.name}: state --measure. Its columns could make: {listed}.")
            say("note: the table has estimates and nothing says of what: measure generic. State --measure to name it.")
            measure = "generic"
        kind = find_measure(measure).name
        model, sources = _stated_priors(kind, mu, tau, _number(ref_sd, "--ref-sd"))
        stated = _number(threshold, "--threshold")
        if stated is not None and better is None:
            raise typer.BadParameter("--threshold needs --better higher or --better lower.")
        marks = () if stated is None else (bm.threshold(stated, measure_name=kind, better=str(better)),)
        parts = _parts(frame, path.name, by, pairs(where, "--where"))
        options = {} if scale is None else {"scale": scale}
        effects = {
            name: effect_sizes(part, kind, better=cast(Any, better), options=options, name=name)
            for name, part in parts.items()
        }
    hashes = {"data": str(frame.attrs["sha256"])}
    return [
        Analysis(
            name,
            fitted(item, model, name, "auto", warned, hashes=hashes),
            None,
            NO_MODERATORS,
            (),
            sources,
            marks,
            tuple(warned),
        )
        for name, item in effects.items()
    ]


def _stated_priors(
    measure: str, mu: str | None, tau: str | None, ref_sd: float | None
) -> tuple[bm.Model, dict[str, str]]:
    """Priors as stated; what is not stated is the published recommendation, if there is one."""
    stated = {name: bm.priors.parse(text) for name, text in (("mu", mu), ("tau", tau)) if text is not None}
    sources = dict.fromkeys(stated, "stated on the command line")
    if len(stated) < 2:
        try:
            advice = bm.priors.suggested(measure, ref_sd=ref_sd)
        except bm.ModelError as error:
            if ref_sd is not None:
                raise
            missing = " and ".join(f"--{name}" for name in ("mu", "tau") if name not in stated)
            raise bm.ModelError(
                f"{measure} has no default priors, because the scale of the outcome decides. Give {missing}, or "
                "--ref-sd S, a standard deviation of the outcome from outside these data."
            ) from error
        for name, prior, source in (("mu", advice.mu, advice.mu_source), ("tau", advice.tau, advice.tau_source)):
            if name not in stated:
                stated[name], sources[name] = prior, source
    return bm.Model(mu=stated["mu"], tau=stated["tau"]), sources


def _parts(frame: pd.DataFrame, name: str, by: str | None, where: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Rows by the name of their analysis; outcomes are never pooled with each other by accident."""
    for column in ([] if by is None else [by]) + list(where):
        if column not in frame.columns:
            known = ", ".join(map(str, frame.columns))
            raise bm.DataError(f"{name}: there is no column {column!r}. Columns: {known}.")
    for column, value in where.items():
        # a filter is text on the command line; a column of numbers holds numbers
        wanted = _number(value, f"--where {column}=") if frame[column].dtype.kind == "f" else value
        rows = frame[column] == wanted
        if not rows.any():
            values = ", ".join(map(str, frame[column].dropna().unique()[:SHOWN]))
            raise bm.DataError(f"{name}, column {column}: no row holds {value!r}. Values: {values}.")
        frame = frame[rows]
    for column in ("outcome", "horizon"):
        if column in frame.columns and column != by and (count := frame[column].nunique(dropna=False)) > 1:
            values = ", ".join(map(str, frame[column].unique()[:SHOWN]))
            raise bm.DataError(
                f"{name}, column {column}: {count} values ({values}), which are not pooled with each other. Choose one "
                f"with --where {column}=..., or one analysis each with --by {column}."
            )
    if by is None:
        return {Path(name).stem: frame}
    if empty := frame.index[frame[by].isna()].tolist():
        rows_text = ", ".join(map(str, empty[:SHOWN]))
        raise bm.DataError(f"{name} row {rows_text}, column {by}: the cell is empty. Fill it, or do not split by {by}.")
    return {
        f"{by} = {value:g}" if isinstance(value, float) else str(value): frame[frame[by] == value]
        for value in frame[by].unique().tolist()
    }
