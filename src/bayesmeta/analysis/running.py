"""A protocol, a table or a fit to analyses."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayesmeta.analysis.declared import declared_fits
from bayesmeta.analysis.fitting import fitted, hashes_of, moderated_model, require_sound
from bayesmeta.analysis.reading import read_outcomes
from bayesmeta.analysis.result import Analysis, BorrowedReview
from bayesmeta.boundary import file_bytes
from bayesmeta.errors import DataError, ModelError
from bayesmeta.fits import Engine, Fit, load
from bayesmeta.plan import Protocol
from bayesmeta.questions import robust_map
from bayesmeta.studies import Reading

__all__ = ["analyse", "analyse_all", "analysis_of", "borrow_review", "read_analyses"]


def analyse(
    protocol: Protocol | str | Path,
    outcome: str,
    *,
    engine: Engine | None = None,
    moderated: bool = True,
    declared: bool = True,
) -> Analysis:
    """Read, fit and answer one outcome of a protocol.

    Parameters
    ----------
    protocol : Protocol, str or Path
        A protocol, or its file.
    outcome : str
        The outcome's key.
    engine : {"auto", "exact", "nuts", "both"}, optional
        Default: the protocol's.
    moderated : bool
        Whether the moderated analysis is fitted, where it is estimable.
    declared : bool
        Whether the declared sensitivity analyses and subgroups are fitted.

    Returns
    -------
    Analysis

    Raises
    ------
    ProtocolError, DataError
        With all faults of the protocol, or of the data.
    ModelError
        If there is no such outcome, or its model is not defined for the data.
    InferenceError
        If a computation did not reach its accuracy, or draws failed a check.

    Examples
    --------
    >>> analysis = bm.analyse("models/exercise_depression.toml", "depression", declared=False)
    >>> analysis.pooled.effects.k, analysis.primary.name
    (10, 'important')
    """
    return analyse_all(protocol, [outcome], engine=engine, moderated=moderated, declared=declared)[0]


def analyse_all(
    protocol: Protocol | str | Path,
    outcomes: Sequence[str] = (),
    *,
    engine: Engine | None = None,
    moderated: bool = True,
    declared: bool = True,
    readings: Mapping[str, tuple[Reading, tuple[str, ...]]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Analysis]:
    """Read, fit and answer the outcomes of a protocol; faults of the data of all are raised before any is fitted.

    Parameters
    ----------
    protocol : Protocol, str or Path
    outcomes : sequence of str
        Keys; all if none is named. The analyses come in the protocol's order.
    engine, moderated, declared
        As in `analyse`.
    readings : mapping, optional
        What `read_outcomes` gave of these outcomes, which are then not read again.
    progress : callable, optional
        Is given the key of each outcome before it is fitted, then ``KEY: what`` of parts that may take long.

    Returns
    -------
    list of Analysis

    Raises
    ------
    ProtocolError, DataError, ModelError, InferenceError
        As `analyse`.

    Examples
    --------
    >>> [item.key for item in bm.analyse_all("models/exercise_depression.toml", declared=False)]
    ['depression']
    """
    asked = protocol if isinstance(protocol, Protocol) else _read(protocol)
    read = read_outcomes(asked, outcomes) if readings is None else readings
    made = []
    for key, (reading, warned) in read.items():
        if progress is not None:
            progress(key)
        item = _pooled_and_moderated(asked, key, reading, list(warned), engine, moderated, progress)
        if declared:
            if progress is not None:
                progress(f"{key}: declared analyses")
            item = declared_fits(asked, item)
            if key in asked.borrow:
                item = dataclasses.replace(item, borrowed=borrow_review(asked, item))
        made.append(item)
    return made


def _read(path: str | Path) -> Protocol:
    # only here: without a protocol its checker need not be loaded
    from bayesmeta.protocol import read_protocol

    return read_protocol(path)


def _pooled_and_moderated(
    protocol: Protocol,
    key: str,
    reading: Reading,
    warned: list[str],
    engine: Engine | None,
    moderated: bool,
    progress: Callable[[str], None] | None,
) -> Analysis:
    outcome = protocol.outcomes[key]
    # what default priors of slopes refer to is taken from all rows, once: no refit on fewer of them changes it
    outcome = dataclasses.replace(outcome, model=outcome.model.scaled(reading.effects))
    options: dict[str, Any] = {
        "engine": engine or outcome.model.engine,
        "hashes": hashes_of(protocol, reading.sha256),
        "progress": progress,
    }
    pooled = fitted(protocol, outcome, reading.effects, outcome.model.on(), warned, **options)
    second: Fit | None = None
    reason: str = ""
    left_out: tuple[str, ...] = ()
    if moderated:
        plan = moderated_model(outcome, reading.effects)
        reason, left_out = plan.reason, plan.left_out
        if plan.model is not None:
            second = fitted(protocol, outcome, plan.effects, plan.model, warned, analysis="moderated", **options)
    require_sound((key, item) for item in (pooled, second) if item is not None)
    return Analysis(key, pooled, second, reason, left_out, reading=reading, warnings=tuple(warned), protocol=protocol)


def analysis_of(found: Fit | str | Path) -> Analysis:
    """Make the analysis of one fit, as far as the fit knows it.

    Parameters
    ----------
    found : Fit, str or Path
        A fit, or the netCDF file of one.

    Examples
    --------
    >>> bm.analysis_of(fit).pooled is fit
    True
    """
    path = None
    if not isinstance(found, Fit):
        path = Path(found)
        found = load(path)
    outcome = found.outcome
    key = outcome.key if outcome is not None else path.stem if path is not None else found.effects.name or "analysis"
    second = found if found.analysis == "moderated" else None
    reason = "" if second else "this is the pooled fit alone"
    return Analysis(key, found, second, reason)


def read_analyses(
    protocol: Protocol, folder: str | Path, outcomes: Sequence[str] = (), *, moderated: bool = True
) -> list[Analysis]:
    """Read the fits of a folder, written by `bayesmeta fit -o`, that belong to this protocol and these data.

    Raises
    ------
    FileNotFoundError
        If a fit is not there.
    DataError
        If one was made from another protocol or other data.
    """
    folder = Path(folder)
    hashes = hashes_of(protocol, hashlib.sha256(file_bytes(protocol.data.path)).hexdigest())
    wanted = {protocol.outcome(name).key for name in outcomes}
    made = []
    for key, outcome in protocol.outcomes.items():
        if outcomes and key not in wanted:
            continue
        pooled = _matching(folder / f"{key}.nc", hashes)
        second: Fit | None = None
        reason: str = ""
        left_out: tuple[str, ...] = ()
        if moderated:
            plan = moderated_model(pooled.outcome or outcome, pooled.effects)
            reason, left_out = plan.reason, plan.left_out
            second = None if plan.model is None else _matching(folder / f"{key}.moderated.nc", hashes)
        made.append(Analysis(key, pooled, second, reason, left_out, protocol=protocol))
    return made


def _matching(path: Path, hashes: Mapping[str, str]) -> Fit:
    """Read a fit and refuse it if it was made from something else."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such fit. Run `bayesmeta fit` first.")
    found = load(path)
    for what, wanted in hashes.items():
        if found.hashes.get(what) != wanted:
            raise DataError(
                f"{path}: fitted from another {what} (SHA-256 {str(found.hashes.get(what))[:12]}..., now {wanted[:12]}"
                "...). Run `bayesmeta fit` again."
            )
    return found


def borrow_review(protocol: Protocol, item: Analysis, *, weight: float | None = None) -> BorrowedReview:
    """Fit the review that an outcome's trial borrows from, and put them together.

    Parameters
    ----------
    protocol : Protocol
    item : Analysis
        Of one trial.
    weight : float, optional
        Prior probability that the review says nothing about the trial; default the protocol's.

    Raises
    ------
    ModelError
        If the protocol does not say where the outcome borrows from, or it has more than one row.
    """
    stated = protocol.borrow.get(item.key)
    if stated is None:
        raise ModelError(
            f"{protocol.path.name}: nothing says where {item.key} may borrow from. Add [borrow.{item.key}] with "
            'from = "..." and outcome = "...".'
        )
    effects = item.effects
    if effects.k != 1:
        raise ModelError(f"{item.key}: borrowing is for one trial; these are {effects.k} rows. Pool them instead.")
    source = analyse(stated.path, stated.outcome, moderated=False, declared=False)
    same = source.effects.better == effects.better
    borrowing = robust_map(
        source.pooled,
        float(effects.y[0]),
        float(effects.se[0]),
        weight=stated.weight if weight is None else weight,
        vague=stated.vague,
        n=effects.participants,
        scale=(stated.sd or 1.0) * (1 if same else -1),
    )
    return BorrowedReview(stated, source, borrowing)
