"""The rows of outcomes with the warnings they gave; faults of all outcomes are raised at once."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bayesmeta.effects import Effects
from bayesmeta.errors import BayesmetaWarning, DataError, warn
from bayesmeta.plan import Protocol, Sensitivity, vary
from bayesmeta.studies import Reading, read_outcome

__all__ = ["collected", "concerns", "examined", "read_outcomes", "recompute", "touches_data"]

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


@contextmanager
def collected(into: list[str], *, again: bool = True) -> Iterator[None]:
    """Collect bayesmeta's warnings as texts, each once; those not known yet are given again on leaving if ``again``.

    Other warnings pass through.

    Examples
    --------
    >>> texts = []
    >>> with collected(texts, again=False):
    ...     warnings.warn("look here", bm.BayesmetaWarning)
    >>> texts
    ['look here']
    """
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", BayesmetaWarning)
            yield
    finally:
        for item in caught:
            if not issubclass(item.category, BayesmetaWarning):
                warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
                continue
            text = " ".join(str(item.message).split())
            if text not in into:
                into.append(text)
                if again:
                    warn(text)


def concerns(change: str, names: Sequence[str]) -> bool:
    """Whether a changed key is one of these, or inside one."""
    return any(change == name or change.startswith(f"{name}.") for name in names)


def touches_data(declared: Sensitivity) -> bool:
    """Whether a sensitivity analysis can change which rows are used or what is computed from them."""
    return not all(concerns(change, _MODEL_ONLY) for change in declared.changes)


def examined(reading: Reading) -> Reading:
    """Add what the rules of forensics find wrong or improbable in one outcome's rows."""
    from bayesmeta.forensics import examine_reading

    found = (item for item in examine_reading(reading) if item.severity != "info" or item.rule == "large effect")
    more = [item for item in found if item not in reading.findings]
    return dataclasses.replace(reading, findings=(*reading.findings, *more))


def read_outcomes(
    protocol: Protocol, names: Sequence[str] = (), *, declared: bool = False
) -> dict[str, tuple[Reading, tuple[str, ...]]]:
    """Read outcomes of a protocol, each with the warnings it gave.

    Parameters
    ----------
    protocol : Protocol
    names : sequence of str
        Outcomes; all if none is named. They come in the protocol's order.
    declared : bool
        Whether the declared sensitivity analyses are read too, for their faults.

    Raises
    ------
    DataError
        With the faults of all outcomes.
    ModelError
        If there is no outcome of a name.

    Examples
    --------
    >>> reading, texts = read_outcomes(bm.read_protocol("models/exercise_depression.toml"))["depression"]
    >>> reading.effects.k, texts
    (10, ())
    """
    found: dict[str, tuple[Reading, tuple[str, ...]]] = {}
    lines: list[str] = []
    warned: list[str] = []
    wanted = {protocol.outcome(name).key for name in names}
    for key in [key for key, item in protocol.outcomes.items() if not names or item.key in wanted]:
        before = len(warned)
        try:
            with collected(warned):
                reading = read_outcome(protocol, key)
        except DataError as error:
            lines += [line for line in str(error).splitlines() if line not in lines]
            continue
        found[key] = (reading, tuple(warned[before:]))
        for item in protocol.sensitivities_of(key) if declared else ():
            if not touches_data(item):
                continue
            try:
                with collected(warned):
                    read_outcome(vary(protocol, item.name), key)
            except DataError as error:
                lines += [f"sensitivity {item.name!r}: {line}" for line in str(error).splitlines()]
    if lines:
        raise DataError("\n".join(dict.fromkeys(lines)))
    return found


def recompute(protocol: Protocol, key: str) -> Callable[[Mapping[str, Any]], Effects]:
    """Make the function that computes an outcome's effects anew with other options of effect sizes.

    Examples
    --------
    >>> protocol = bm.read_protocol("models/cancer_exercise.toml")
    >>> recompute(protocol, "fatigue_short")({"j": "approx"}).k
    35
    """

    def again(options: Mapping[str, Any]) -> Effects:
        outcome = protocol.outcomes[key]
        selection = dataclasses.replace(outcome.selection, measure_options=dict(options))
        changed = dataclasses.replace(protocol, outcomes={key: dataclasses.replace(outcome, selection=selection)})
        # warnings about the rows were given when they were first read
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BayesmetaWarning)
            return read_outcome(changed, key).effects

    return again
