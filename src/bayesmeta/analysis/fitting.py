"""One model of an outcome fitted, with its name in front of what goes wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bayesmeta.analysis.reading import collected
from bayesmeta.columns import plural
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.exact import why_unsupported
from bayesmeta.fits import Fit, fit
from bayesmeta.model import Model, estimable
from bayesmeta.plan import Outcome, Protocol, stated_rows, stated_values

if TYPE_CHECKING:
    from bayesmeta.nuts import Settings

__all__ = [
    "NOT_ESTIMABLE",
    "NO_MODERATORS",
    "ModeratedPlan",
    "fitted",
    "hashes_of",
    "moderated_model",
    "one_at_a_time",
    "require_sound",
    "sampling_of",
]

NO_MODERATORS = "no moderators are declared"
#: How the reason begins why a moderated analysis is not made of these data.
NOT_ESTIMABLE = "not estimable"
#: Trials without a moderator that a line names.
SHOWN_TRIALS = 5


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
    progress: Callable[[str], None] | bool = False,
) -> Fit:
    """Fit, with the outcome's key in front of what goes wrong; warnings are collected in ``warned``.

    A callable in ``progress`` receives the name of the step before draws begin; True shows the sampler's own progress.
    """
    engine = engine or outcome.model.engine
    settings, seed = sampling_of(protocol, progress=progress is True)
    try:
        with collected(warned):
            sampled = engine != "exact" and (engine != "auto" or why_unsupported(effects, model) is not None)
            if callable(progress) and sampled:
                progress(f"{outcome.key}: sampling ({analysis})")
            return fit(
                effects,
                model,
                engine=cast(Any, engine),
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


@dataclass(frozen=True, slots=True, eq=False)
class ModeratedPlan:
    """What the moderated analysis of an outcome is of, or why there is none.

    Attributes
    ----------
    model : Model or None
        None where it is not estimable.
    effects : Effects
        Its rows: all of the outcome, without those that do not state a moderator where ``missing`` is "exclude".
    reason : str
        Trials, coefficients and rank, or why there is none; rows that are left out.
    left_out : tuple of str
        Moderators with one level.
    """

    model: Model | None
    effects: Effects
    reason: str
    left_out: tuple[str, ...] = ()


def moderated_model(outcome: Outcome, effects: Effects) -> ModeratedPlan:
    """Make the model of the moderated analysis.

    Examples
    --------
    >>> protocol = bm.read_protocol("models/exercise_depression.toml")
    >>> moderated_model(protocol.outcomes["depression"], bm.read_effects(protocol, "depression")).reason
    '10 trials, 2 coefficients, rank 2'
    """
    if not outcome.model.moderators:
        return ModeratedPlan(None, effects, NO_MODERATORS)
    plan = outcome.model.scaled(effects)
    names = [item.name for item in plan.moderators]
    used, lost = effects, ""
    if outcome.selection.missing == "exclude":
        stating, lost = _stating(effects, names)
        if stating is None:
            return ModeratedPlan(None, effects, f"{NOT_ESTIMABLE}: {lost}")
        used = stating
    single = tuple(name for name in names if len(set(stated_values(used.moderators[name]))) < 2)
    found = estimable(used, plan.on(used))
    return ModeratedPlan(
        found.model if found.ok else None,
        used,
        "; ".join(filter(None, (found.reason, lost))),
        tuple(dict.fromkeys((*single, *found.left_out))),
    )


def one_at_a_time(outcome: Outcome, effects: Effects) -> dict[str, ModeratedPlan]:
    """Moderators of which each alone is estimable, where all together are not.

    Examples
    --------
    >>> protocol = bm.read_protocol("models/cancer_exercise.toml")
    >>> list(one_at_a_time(protocol.outcomes["depression_medium"], bm.read_effects(protocol, "depression_medium")))
    []
    """
    plan = outcome.model.scaled(effects)
    found = {}
    for item in plan.moderators:
        alone = dataclasses.replace(outcome, model=dataclasses.replace(plan, moderators=(item,), interactions=()))
        made = moderated_model(alone, effects)
        if made.model is not None:
            found[item.name] = made
    return found if len(plan.moderators) > 1 else {}


def _stating(effects: Effects, names: Sequence[str]) -> tuple[Effects | None, str]:
    """Rows that state every moderator, and words for the others; None where no row is left."""
    lacking = [~stated_rows(effects.moderators[name]) for name in names]
    lost = np.any(lacking, axis=0)
    if not lost.any():
        return effects, ""
    which = " or ".join(name for name, rows in zip(names, lacking, strict=True) if rows.any())
    trials = list(dict.fromkeys(study for study, gone in zip(effects.study, lost, strict=True) if gone))
    shown = ", ".join(trials[:SHOWN_TRIALS]) + (" ..." if len(trials) > SHOWN_TRIALS else "")
    words = (
        f"{plural(int(lost.sum()), 'row')} of {plural(len(trials), 'trial')} ({shown}) not used here, because "
        f'{which} is not reported (missing = "exclude"): the pooled analysis has all rows'
    )
    return (None if lost.all() else effects.subset(~lost)), words


def hashes_of(protocol: Protocol, data: str | None) -> dict[str, str]:
    """SHA-256 of protocol and data, as fits carry them; a table without a protocol has that of the data alone."""
    return {name: text for name, text in (("protocol", protocol.sha256), ("data", data)) if text}
