"""Rules of an outcome that need more than one key, and the outcome made of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesmeta.errors import ModelError, pick
from bayesmeta.measures import MEASURES
from bayesmeta.model import Model
from bayesmeta.plan import (
    Amount,
    BaselineRisk,
    ControlMean,
    Decision,
    Exclusion,
    MinimalDifference,
    ModelPlan,
    NaturalUnit,
    Outcome,
    PointsThreshold,
    Selection,
    Threshold,
    TrialInteraction,
    absolute_distances,
    minimal_difference,
)
from bayesmeta.priors import SCALED_MEASURES, HalfNormal, Normal, Prior, published_priors
from bayesmeta.protocol.faults import Faults
from bayesmeta.protocol.keys import ExclusionKeys, NaturalUnitKeys, OutcomeKeys, ThresholdKeys
from bayesmeta.protocol.parts import (
    At,
    check_heterogeneity_by,
    check_parts,
    default_source,
    derived_priors,
    missing_sd,
    moderators,
    populations,
    risk_of_bias,
)
from bayesmeta.protocol.values import Stated

__all__ = ["exclusions", "make_outcome", "merge"]

_STANDARDISED = ("SMD", "SMDH")
_RISK_MEASURES = ("OR", "RR", "RD", "HR")

_MERGED = ("priors", "measure_options", "where", "reference", "impute")
_NESTED = ("beta", "curve", "derived", "tau_by")
_STAND_IN = {True: np.array([0.0, 1.0]), False: np.array(["a", "b"], dtype=object)}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table of an analysis over another: tables are joined key by key, exclusions added, the rest replaced."""
    merged = dict(base)
    for key, value in over.items():
        if key in _MERGED and isinstance(value, Mapping):
            old = merged.get(key, {})
            if key == "priors" and value.get("published"):
                # what is inherited gives way to the published priors
                old = {name: item for name, item in old.items() if name not in ("mu", "tau")}
            merged[key] = {**old, **value}
            # priors of several numbers, and the population of a moderator, are tables of their own
            for name in value if key == "impute" else _NESTED if key == "priors" else ():
                if isinstance(old.get(name), Mapping) and isinstance(value.get(name), Mapping):
                    merged[key][name] = {**old[name], **value[name]}
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


def _positive(item: ThresholdKeys, place: str, faults: Faults) -> bool:
    """Whether a threshold of two arms has both sides, and both are positive."""
    before = len(faults.found)
    if item.worse is None:
        faults.add(f"{place}.worse", "the key is missing", "Add it.")
    for name in ("benefit", "worse"):
        amount = getattr(item, name)
        low = amount[0] if isinstance(amount, tuple) else amount
        if isinstance(low, float) and low <= 0:
            remedy = "State a positive distance from no effect; `better` says which way it points."
            faults.add(f"{place}.{name}", f"{low:g} is not > 0", remedy)
    return len(faults.found) == before


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
    kind = MEASURES[measure]
    made = []
    for index, item in enumerate(stated):
        place = f"{at('thresholds')}[{index}]"
        if kind.single_arm:
            try:
                found = absolute_distances(measure, str(better), item.benefit, item.worse)
            except ModelError as error:
                faults.add(place, str(error), "State thresholds of one arm as values: benefit = 0.3, worse = 0.2.")
                continue
            worse = item.benefit if item.worse is None else item.worse
            primary = item.primary or len(stated) == 1
            made.append(Threshold(item.name, item.benefit, worse, *found, item.source, item.kind, primary))
            continue
        if not _positive(item, place, faults):
            continue
        distances: list[Amount] = []
        for name, points in (("benefit", 1 if better == "higher" else -1), ("worse", -1 if better == "higher" else 1)):
            amount = getattr(item, name)
            distance = _distance(amount, points) if kind.log else amount
            if distance is None:
                shown = f"{amount:g}" if isinstance(amount, float) else f"{amount[0]:g} to {amount[1]:g}"
                faults.add(
                    f"{place}.{name}",
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


def _natural_unit(keys: NaturalUnitKeys | None, at: At, faults: Faults) -> NaturalUnit | None:
    """The instrument as stated; what is not stated of one that the registry lists is as there."""
    if keys is None:
        return None
    listed = _listed(keys.name)
    if listed is not None and keys.better not in (None, listed.better):
        faults.add(
            f"{at('natural_unit')}.better",
            f"{keys.better} scores of {listed.instrument} are not better: the registry says {listed.better}",
            "Remove better, or call the instrument something else.",
        )
    scale = keys.scale or (listed.scale if listed is not None else None)
    control = keys.control_mean
    if control is not None and scale is not None and not isinstance(control.points, Prior):
        ends = control.points if isinstance(control.points, tuple) else (control.points, control.points)
        if not (scale[0] <= ends[0] and ends[1] <= scale[1]):
            what = f"a mean score of {ends[0]:g} to {ends[1]:g} is not on the scale, {scale[0]:g} to {scale[1]:g}"
            faults.add(f"{at('natural_unit')}.control_mean", what, "Correct the mean, or state the scale.")
    mid = None
    if keys.mid is not None:
        mid = PointsThreshold(keys.mid.benefit, keys.mid.source, keys.mid.kind, keys.mid.worse, keys.mid.compared)
        if listed is not None and keys.mid.instrument not in (None, listed.instrument):
            faults.add(
                f"{at('natural_unit')}.mid",
                f"the difference is of {keys.mid.instrument}, the unit is {listed.instrument}",
                f'Write mid = "{listed.instrument}": points of one instrument are not those of another.',
            )
    return NaturalUnit(
        keys.name,
        keys.sd,
        keys.sd_source,
        keys.sd_se,
        keys.better or (listed.better if listed is not None else None),
        mid,
        scale,
        ControlMean(control.points, control.source) if control is not None else None,
        BaselineRisk("responders", keys.control_share.share, keys.control_share.source) if keys.control_share else None,
    )


def _listed(name: str) -> MinimalDifference | None:
    """The instrument in the registry, if it is there by this name."""
    try:
        return minimal_difference(name)
    except ModelError:
        return None


def exclusions(stated: list[ExclusionKeys]) -> tuple[Exclusion, ...]:
    """Make the nouns of a list of exclusions."""
    return tuple(Exclusion(item.where, item.reason) for item in stated)


def _stated[T](noun: type[T], keys: OutcomeKeys, **made: Any) -> T:
    """Make a noun of the keys that bear its fields' names and are stated, and of what was made of others."""
    names = [item.name for item in dataclasses.fields(noun)]  # type: ignore[arg-type]
    plain = {name: getattr(keys, name, None) for name in names if name not in made}
    lists = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    return noun(**{name: value for name, value in lists.items() if value is not None}, **made)


def _main_priors(keys: OutcomeKeys, broken: set[str], at: At, faults: Faults) -> tuple[Stated | None, Stated | None]:
    """The priors of mu and tau: as stated, else the published ones where the protocol asks for them."""
    mu, tau = keys.priors.mu, keys.priors.tau
    scaled = keys.measure in SCALED_MEASURES
    if (keys.ref_sd is None) != (keys.ref_sd_source is None) and not {"ref_sd", "ref_sd_source"} & broken:
        lacking, there = ("ref_sd", "ref_sd_source")[:: 1 if keys.ref_sd is None else -1]
        faults.add(at(there).replace(there, lacking), "the key is missing", "ref_sd and ref_sd_source go together.")
    if keys.ref_sd is not None and keys.measure is not None and not scaled:
        faults.add(
            at("ref_sd"), f"a reference SD is for {', '.join(SCALED_MEASURES)}, not {keys.measure}", "Remove it."
        )
        return mu, tau
    if not keys.priors.published or keys.measure is None or {"priors", "ref_sd"} & broken:
        return mu, tau
    try:
        advice = published_priors(keys.measure, ref_sd=keys.ref_sd)
    except ModelError as error:
        what = str(error).partition(". ")[0]
        faults.add(at("priors"), what, f"State priors.mu and priors.tau{', or ' + _REF_SD if scaled else ''}.")
        stand_in = Stated(Normal(0, 1), "")
        return mu or stand_in, tau or Stated(HalfNormal(1), "")
    of = f" ({keys.ref_sd_source})" if keys.ref_sd is not None else ""
    return (
        mu or Stated(advice.mu, f"published default: {advice.mu_source}{of}"),
        tau or Stated(advice.tau, f"published default: {advice.tau_source}{of}"),
    )


_REF_SD = 'ref_sd = ... (an SD of the outcome from outside the data) with ref_sd_source = "..."'


def _paste(measure: str | None) -> str:
    """The line that a protocol without priors may take instead."""
    line = ' here or under [defaults], or paste there: priors = "published"'
    if measure in SCALED_MEASURES:
        return f"{line}, and add {_REF_SD}."
    return f"{line}."


def make_outcome(key: str, raw: Mapping[str, Any], broken: set[str], at: At, faults: Faults) -> Outcome | None:
    """Check the rules that need several keys, and make the noun; None where a fault stands in the way."""
    keys = OutcomeKeys.model_validate({name: value for name, value in raw.items() if name not in broken})
    if keys.measure == "PLO" and keys.likelihood is None and "likelihood" not in broken:
        # a proportion is pooled by its counts, without a correction for zeros
        keys = keys.model_copy(update={"likelihood": "binomial"})
    before = len(faults.found)

    def need(name: str, value: Any, remedy: str) -> None:
        if value is None and name.split(".")[0] not in broken:
            faults.add(f"outcome.{key}.{name}", "the key is missing", remedy)

    need("label", keys.label, 'Add label = "...", the name that tables print.')
    need("measure", keys.measure, f"Add it here or under [defaults]. Allowed: {', '.join(MEASURES)}.")
    mu, tau = _main_priors(keys, broken, at, faults)
    need("priors.mu", mu, f"There is no default: state the prior of the mean effect{_paste(keys.measure)}")
    need("priors.tau", tau, f"There is no default: the scale of tau is a judgement. State it{_paste(keys.measure)}")
    made = () if "moderators" in broken else moderators(keys, at, faults)
    names = [item.name for item in made]
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
        for item in made:
            if item.curve == "spline" and item.name not in keys.priors.curve:
                faults.add(
                    f"outcome.{key}.priors.curve.{item.name}",
                    f"the key is missing: {keys.measure} has no default prior of a curve",
                    "State the size of the departure from a line, in the outcome's own unit.",
                )
    if not {"moderators", "priors"} & broken:
        check_heterogeneity_by(keys, made, at, faults)
    impute = populations(keys, made, at, faults)
    derived, spread = derived_priors(keys, at, faults), missing_sd(keys, at, faults)
    check_parts(keys, broken, at, faults)
    bias = risk_of_bias(keys, at, faults)
    if keys.natural_unit and keys.measure and keys.measure not in _STANDARDISED:
        faults.add(at("natural_unit"), f"a natural unit translates SMD and SMDH, not {keys.measure}", "Remove it.")
    if keys.natural_unit and keys.natural_unit.sd_se is not None and not isinstance(keys.natural_unit.sd, float):
        faults.add(
            f"{at('natural_unit')}.sd_se",
            "sd is a range or a distribution, which says itself how uncertain it is",
            "Remove sd_se, or make sd a number.",
        )
    unit = _natural_unit(keys.natural_unit, at, faults)
    if keys.baseline_risk and keys.measure and keys.measure not in _RISK_MEASURES:
        faults.add(
            at("baseline_risk"),
            f"a baseline risk belongs to {', '.join(_RISK_MEASURES)}, not to {keys.measure}",
            "Remove it.",
        )
    priors = keys.priors
    if mu is not None and tau is not None:
        try:
            Model(mu=mu.prior, tau=tau.prior)
        except ModelError as error:
            faults.add(at("priors"), str(error).rstrip("."), "Correct the model's keys.")
    if broken or keys.measure is None or mu is None or tau is None or keys.label is None:
        return None
    stated = {**priors.beta, **priors.curve}
    beta_sources = [item.source for item in stated.values() if item.source]
    beta_source = "; ".join(dict.fromkeys(beta_sources)) if stated else default_source(made)
    more = {name: getattr(priors, name).source for name in ("cluster_tau", "baseline") if getattr(priors, name)}
    plan = _stated(
        ModelPlan,
        keys,
        mu=mu.prior,
        tau=tau.prior,
        beta={name: item.prior for name, item in priors.beta.items()},
        curve={name: item.prior for name, item in priors.curve.items()},
        sources={"mu": mu.source, "tau": tau.source, "beta": beta_source if made else "", **more},
        moderators=made,
        trial_interactions=tuple(TrialInteraction(**item.model_dump()) for item in keys.trial_interactions or ()),
        tau_by={name: item.prior for name, item in priors.tau_by.items()},
        tau_slope=priors.tau_slope.prior if priors.tau_slope else None,
        cluster_tau=priors.cluster_tau.prior if priors.cluster_tau else None,
        baseline=priors.baseline.prior if priors.baseline and keys.likelihood == "binomial" else None,
        random=None if keys.random == "normal" else keys.random,
        impute=impute,
        derived=derived,
        missing_sd=spread,
    )
    outcome = Outcome(
        key,
        keys.label,
        _stated(
            Selection,
            keys,
            exclude=exclusions(keys.exclude),
            risk_of_bias=bias,
            measure_options=keys.measure_options.model_dump(exclude_none=True),
        ),
        plan,
        _stated(
            Decision,
            keys,
            thresholds=thresholds,
            natural_unit=unit,
            baseline_risk=tuple(BaselineRisk(item.name, item.risk, item.source) for item in keys.baseline_risk or ()),
        ),
    )
    if len(faults.found) > before:
        return None
    try:
        # two values of each kind stand for the data: every part of the model is made and checked once
        plan.on({item.name: _STAND_IN[item.kind != "categorical"] for item in made})
    except ModelError as error:
        faults.add(at("priors"), str(error).rstrip("."), "Correct the model's keys.")
        return None
    return outcome
