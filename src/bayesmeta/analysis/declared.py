"""Declared sensitivity analyses and subgroups of an outcome, fitted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bayesmeta.analysis.fitting import fitted, hashes_of, moderated_model, require_sound
from bayesmeta.analysis.reading import collected, concerns, touches_data
from bayesmeta.analysis.result import Analysis
from bayesmeta.columns import plural
from bayesmeta.errors import ModelError
from bayesmeta.fits import Fit
from bayesmeta.plan import Outcome, Protocol, Sensitivity, stated_rows, stated_values, vary
from bayesmeta.sensitivity import SUBGROUP
from bayesmeta.studies import read_outcome

__all__ = ["declared_fits"]

# what changes the moderated analysis and leaves the pooled one as it is
_MODERATED_ONLY = ("moderators", "interactions", "impute", "missing", "priors.beta", "priors.curve")


def declared_fits(protocol: Protocol, item: Analysis, *, progress: bool = False) -> Analysis:
    """Add the fits of each declared variation, and of each level of each declared subgroup alone.

    Parameters
    ----------
    protocol : Protocol
    item : Analysis
        With its pooled fit.
    progress : bool
        Whether draws show their progress.

    Returns
    -------
    Analysis
        The same with ``declared priors_only not_done``.
    """
    fits: dict[str, Fit] = {}
    not_done: dict[str, str] = {}
    priors_only: list[str] = []
    for declared in protocol.sensitivities_of(item.key):
        try:
            found = _vary_one(protocol, item, declared, progress)
        except ModelError as error:
            not_done[declared.name] = str(error)
            continue
        if isinstance(found, str):
            not_done[declared.name] = found
            continue
        fits[declared.name] = found
        if all(change.startswith("priors.") for change in declared.changes):
            priors_only.append(declared.name)
    alone, reasons = _subgroups(protocol, item, progress)
    return dataclasses.replace(item, declared=fits | alone, not_done=not_done | reasons, priors_only=tuple(priors_only))


def _vary_one(protocol: Protocol, item: Analysis, declared: Sensitivity, progress: bool) -> Fit | str:
    outcome, effects = _with_scalings_of(item, declared.outcomes[item.key]), item.effects
    warned = list(item.warned)
    # data are read again only where a change can touch them
    if touches_data(declared):
        with collected(warned):
            effects = read_outcome(vary(protocol, declared.name), item.key).effects
    options: dict[str, Any] = {"hashes": hashes_of(protocol, item.pooled.hashes.get("data")), "progress": progress}
    model = outcome.model.on()
    if any(concerns(change, _MODERATED_ONLY) for change in declared.changes):
        plan = moderated_model(outcome, effects)
        if plan.model is None:
            return plan.reason
        model, effects, options["analysis"] = plan.model, plan.effects, "moderated"
    made = fitted(protocol, outcome, effects, model, warned, **options)
    require_sound([(f"{item.key}, {declared.name}", made)])
    return made


def _with_scalings_of(item: Analysis, outcome: Outcome) -> Outcome:
    """Give a variation the distances that the main analysis' default priors of slopes refer to."""
    main = item.pooled.outcome
    if main is None:
        return outcome
    scalings = {**outcome.model.scalings, **main.model.scalings}
    return dataclasses.replace(outcome, model=dataclasses.replace(outcome.model, scalings=scalings))


def _subgroups(protocol: Protocol, item: Analysis, progress: bool) -> tuple[dict[str, Fit], dict[str, str]]:
    """Fit each level of each declared subgroup alone, under the model as stated."""
    outcome, effects = _with_scalings_of(item, protocol.outcomes[item.key]), item.effects
    fits: dict[str, Fit] = {}
    not_done: dict[str, str] = {}
    for name in outcome.selection.subgroups:
        values = np.asarray(effects.moderators[name])
        if values.dtype.kind == "f":
            not_done[f"{SUBGROUP}{name}"] = f"{name} is a number; make groups of it in a column of text."
            continue
        stated = stated_rows(values)
        if not stated.all():
            lost = int((~stated).sum())
            not_done[f"{SUBGROUP}{name} not reported"] = f"{plural(lost, 'row')} in no subgroup of {name}"
        for level in dict.fromkeys(stated_values(values)):
            label = f"{SUBGROUP}{name} = {level}"
            try:
                alone = effects.subset(values == level)
                made = fitted(
                    protocol, outcome, alone, outcome.model.on(), [], hashes=item.pooled.hashes, progress=progress
                )
            except ModelError as error:
                not_done[label] = str(error)
                continue
            require_sound([(f"{item.key}, {label}", made)])
            fits[label] = made
    return fits, not_done
