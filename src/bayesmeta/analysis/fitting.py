"""One model of an outcome fitted, with its name in front of what goes wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from bayesmeta.analysis.reading import collected
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.fits import Fit, fit
from bayesmeta.model import Model, estimable
from bayesmeta.plan import Outcome, Protocol

if TYPE_CHECKING:
    from bayesmeta.nuts import Settings

__all__ = ["NO_MODERATORS", "fitted", "hashes_of", "moderated_model", "require_sound", "sampling_of"]

NO_MODERATORS = "no moderators are declared"


def fitted(
    protocol: Protocol,
    outcome: Outcome,
    effects: Effects,
    model: Model,
    warned: list[str],
    *,
    hashes: Mapping[str, str],
    engine: str | None = None,
    analysis: str = "pooled",
    progress: bool = False,
) -> Fit:
    """Fit, with the outcome's key in front of what goes wrong; warnings are collected in ``warned``."""
    settings, seed = sampling_of(protocol, progress=progress)
    try:
        with collected(warned):
            return fit(
                effects,
                model,
                engine=cast(Any, engine or outcome.model.engine),
                seed=seed,
                outcome=outcome,
                analysis=analysis,
                hashes=hashes,
                settings=settings,
            )
    except (ModelError, InferenceError) as error:
        raise type(error)(f"{outcome.key}: {error}") from error


def sampling_of(protocol: Protocol, *, progress: bool = False) -> tuple[Settings, int]:
    """How the protocol wants the sampler run, and the seed.

    Examples
    --------
    >>> sampling_of(bm.read_protocol("models/exercise_depression.toml"))[1]
    20261122
    """
    from bayesmeta.nuts import Settings

    settings = Settings(progress=progress)
    if protocol.sampling is None:
        return settings, 1
    names = ("chains", "draws", "tune", "target_accept")
    return dataclasses.replace(settings, **{n: getattr(protocol.sampling, n) for n in names}), protocol.sampling.seed


def require_sound(fits: Iterable[tuple[str, Fit]]) -> None:
    """Stop where draws failed a check, or two engines disagree: such numbers are not printed."""
    lines = [
        f"{key} ({item.analysis}): {check.name} is {check.value:.4g}, limit {check.limit:g}. {check.advice}"
        for key, item in fits
        if item.simulated or item.second is not None
        for check in item.checks
        if not check.ok
    ]
    if lines:
        raise InferenceError("\n".join(lines))


def moderated_model(outcome: Outcome, effects: Effects) -> tuple[Model | None, str, tuple[str, ...]]:
    """Make the model of the moderated analysis.

    Returns
    -------
    Model or None
        None where it is not estimable.
    str
        Trials, coefficients and rank, or why there is none.
    tuple of str
        Moderators left out, because they have one level.

    Examples
    --------
    >>> protocol = bm.read_protocol("models/exercise_depression.toml")
    >>> moderated_model(protocol.outcomes["depression"], bm.read_effects(protocol, "depression"))[1]
    '10 trials, 2 coefficients, rank 2'
    """
    if not outcome.model.moderators:
        return None, NO_MODERATORS, ()
    names = [item.name for item in outcome.model.moderators]
    single = tuple(name for name in names if len(set(effects.moderators[name].tolist())) < 2)
    found = estimable(effects, outcome.model.on(effects.moderators))
    return (found.model if found.ok else None), found.reason, tuple(dict.fromkeys((*single, *found.left_out)))


def hashes_of(protocol: Protocol, data: str | None) -> dict[str, str]:
    """SHA-256 of protocol and data, as fits carry them; a table without a protocol has that of the data alone."""
    return {name: text for name, text in (("protocol", protocol.sha256), ("data", data)) if text}
