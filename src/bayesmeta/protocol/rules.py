"""Rules of an outcome that need more than one key, and the outcome made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from bayesmeta.errors import ModelError
from bayesmeta.measures import MEASURES
from bayesmeta.model import Coefficient, Model
from bayesmeta.outcome import (
    DEFAULT_COEFFICIENT_SOURCE,
    Amount,
    BaselineRisk,
    Exclusion,
    Moderator,
    NaturalUnit,
    Outcome,
    Threshold,
)
from bayesmeta.priors import Prior
from bayesmeta.protocol.faults import Faults, pick
from bayesmeta.protocol.keys import ExclusionKeys, OutcomeKeys, ThresholdKeys

__all__ = ["exclusions", "make_outcome", "merge"]

_STANDARDISED = ("SMD", "SMDH")
_RISK_MEASURES = ("OR", "RR", "RD", "HR")
At = Callable[[str], str]

_MERGED = ("priors", "measure_options", "where", "reference")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table of an analysis over another: tables are joined key by key, exclusions added, the rest replaced."""
    merged = dict(base)
    for key, value in over.items():
        if key in _MERGED and isinstance(value, Mapping):
            merged[key] = {**merged.get(key, {}), **value}
            if key == "priors" and "beta" in value:
                merged[key]["beta"] = {**base.get("priors", {}).get("beta", {}), **value["beta"]}
        elif key == "exclude":
            merged[key] = [*merged.get(key, []), *value]
        else:
            merged[key] = value
    return merged


def _distance(amount: Amount, sign: int) -> Amount | None:
    """Turn a ratio into a positive distance on the log scale; None if it lies on the wrong side of 1."""
    if isinstance(amount, Prior):
        return amount
    if isinstance(amount, tuple):
        ends = sorted(math.log(end) * sign for end in amount)
        return (ends[0], ends[1]) if ends[0] > 0 else None
    log = math.log(amount) * sign
    return log if log > 0 else None


def _thresholds(
    stated: list[ThresholdKeys], measure: str, better: str | None, at: At, faults: Faults
) -> tuple[Threshold, ...]:
    if stated and better is None:
        faults.add(
            at("thresholds"),
            "thresholds need a direction, but `better` is missing",
            'Add better = "lower" or "higher".',
        )
        return ()
    log = MEASURES[measure].log
    made = []
    for index, item in enumerate(stated):
        distances: list[Amount] = []
        for name, points in (("benefit", 1 if better == "higher" else -1), ("worse", -1 if better == "higher" else 1)):
            amount = getattr(item, name)
            distance = _distance(amount, points) if log else amount
            if distance is None:
                shown = f"{amount:g}" if isinstance(amount, float) else f"{amount[0]:g} to {amount[1]:g}"
                faults.add(
                    f"{at('thresholds')}[{index}].{name}",
                    f"{shown} is not a ratio {'>' if points > 0 else '<'} 1 ({measure}, {better} is better)",
                    "State thresholds of ratio measures as ratios: benefit = 0.75, worse = 1.25 where lower is better.",
                )
                continue
            distances.append(distance)
        if len(distances) == 2:
            primary = item.primary or len(stated) == 1
            made.append(
                Threshold(
                    item.name, item.benefit, item.worse, distances[0], distances[1], item.source, item.kind, primary
                )
            )
    names = [item.name for item in stated]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add(at("thresholds"), f"two thresholds are named {name!r}", "Give each a name of its own.")
    if len(stated) > 1 and sum(item.primary for item in stated) != 1:
        faults.add(
            at("thresholds"),
            f"{sum(item.primary for item in stated)} of {len(stated)} thresholds are primary",
            "Mark exactly one with primary = true: the headline uses it.",
        )
    return tuple(made)


def _moderators(keys: OutcomeKeys, at: At, faults: Faults) -> tuple[Moderator, ...]:
    made = []
    for index, item in enumerate(keys.moderators or []):
        where = f"{at('moderators')}[{index}]"
        reference = item.reference or keys.reference.get(item.name)
        numeric = item.per is not None
        if (numeric or item.kind == "numeric") and (reference is not None or item.kind == "categorical"):
            faults.add(
                where,
                f"{item.name!r} is given both as numeric (per) and as categorical (reference)",
                "Keep one of the two.",
            )
            continue
        kind = item.kind or ("numeric" if numeric else "categorical" if reference is not None else None)
        made.append(Moderator(item.name, kind, item.per or 1.0, reference))
    names = [item.name for item in made]
    for name in sorted({name for name in names if names.count(name) > 1}):
        faults.add(at("moderators"), f"moderator {name!r} stands twice", "Remove one.")
    for name in keys.reference:
        if name not in names:
            faults.add(at("reference"), f"{name!r} is not a moderator of this outcome", pick(name, names))
    for term in keys.interactions or []:
        parts = term.split(":")
        if len(parts) != 2 or parts[0] == parts[1] or not set(parts) <= set(names):
            faults.add(
                at("interactions"),
                f"{term!r} is not a pair of this outcome's moderators",
                f'Write it as "a:b". Moderators: {", ".join(names) or "none"}.',
            )
    return tuple(made)


def exclusions(stated: list[ExclusionKeys]) -> tuple[Exclusion, ...]:
    """Make the nouns of a list of exclusions."""
    return tuple(Exclusion(item.where, item.reason) for item in stated)


def make_outcome(key: str, raw: Mapping[str, Any], broken: set[str], at: At, faults: Faults) -> Outcome | None:
    """Check the rules that need several keys, and make the noun; None where a fault stands in the way."""
    keys = OutcomeKeys.model_validate({name: value for name, value in raw.items() if name not in broken})
    before = len(faults.found)

    def need(name: str, value: Any, remedy: str) -> None:
        if value is None and name.split(".")[0] not in broken:
            faults.add(f"outcome.{key}.{name}", "the key is missing", remedy)

    need("label", keys.label, 'Add label = "...", the name that tables print.')
    need("measure", keys.measure, f"Add it here or under [defaults]. Allowed: {', '.join(MEASURES)}.")
    need(
        "priors.mu", keys.priors.mu, "There is no default: state the prior of the mean effect here or under [defaults]."
    )
    need(
        "priors.tau",
        keys.priors.tau,
        "There is no default: the scale of tau is a judgement. State it here or under [defaults].",
    )
    moderators = () if "moderators" in broken else _moderators(keys, at, faults)
    names = [item.name for item in moderators]
    terms = [*names, *(keys.interactions or [])]
    if "moderators" not in broken:
        for name in keys.priors.beta:
            if name not in terms:
                faults.add(
                    f"{at('priors')}.beta.{name}", f"{name!r} is not a moderator of this outcome", pick(name, terms)
                )
    thresholds: tuple[Threshold, ...] = ()
    if keys.measure is not None and "better" not in broken:
        thresholds = _thresholds(keys.thresholds or [], keys.measure, keys.better, at, faults)
    if keys.measure is not None and not (MEASURES[keys.measure].log or keys.measure in _STANDARDISED):
        for name in terms:
            if name not in keys.priors.beta:
                faults.add(
                    f"outcome.{key}.priors.beta.{name}",
                    f"the key is missing: {keys.measure} has no default coefficient prior",
                    "State it in the outcome's own unit.",
                )
    if keys.natural_unit and keys.measure and keys.measure not in _STANDARDISED:
        faults.add(at("natural_unit"), f"a natural unit translates SMD and SMDH, not {keys.measure}", "Remove it.")
    if keys.baseline_risk and keys.measure and keys.measure not in _RISK_MEASURES:
        faults.add(
            at("baseline_risk"),
            f"a baseline risk belongs to {', '.join(_RISK_MEASURES)}, not to {keys.measure}",
            "Remove it.",
        )
    mu, tau = keys.priors.mu, keys.priors.tau
    rho = 0.5 if keys.rho is None else keys.rho
    if mu is not None and tau is not None:
        try:
            Model(
                mu=mu.prior,
                tau=tau.prior,
                beta={name: Coefficient(stated.prior) for name, stated in keys.priors.beta.items()},
                rho=rho,
            )
        except ModelError as error:
            faults.add(at("priors"), str(error).rstrip("."), "Correct the model's keys.")
    if len(faults.found) > before or broken or keys.measure is None or mu is None or tau is None or keys.label is None:
        return None
    beta_sources = [stated.source for stated in keys.priors.beta.values() if stated.source]
    beta_source = "; ".join(dict.fromkeys(beta_sources)) if keys.priors.beta else DEFAULT_COEFFICIENT_SOURCE
    return Outcome(
        key=key,
        label=keys.label,
        where=keys.where,
        measure=keys.measure,
        better=keys.better,
        unit=keys.unit,
        mu=mu.prior,
        tau=tau.prior,
        beta={name: stated.prior for name, stated in keys.priors.beta.items()},
        sources={"mu": mu.source, "tau": tau.source, "beta": beta_source if moderators else ""},
        moderators=moderators,
        interactions=tuple(keys.interactions or ()),
        subgroups=tuple(keys.subgroups or ()),
        cluster=keys.cluster,
        working_correlation=keys.working_correlation,
        rho=rho,
        likelihood=keys.likelihood or "normal",
        missing=keys.missing or "fault",
        thresholds=thresholds,
        measure_options=keys.measure_options.model_dump(exclude_none=True),
        exclude=exclusions(keys.exclude),
        natural_unit=NaturalUnit(**keys.natural_unit.model_dump()) if keys.natural_unit else None,
        baseline_risk=tuple(BaselineRisk(**item.model_dump()) for item in keys.baseline_risk or ()),
        engine=keys.engine or "auto",
    )
