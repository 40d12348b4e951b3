"""Averages that others have published, by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

from bayesmeta.bias.specification import PEESE, PET, CandidateModel, Ensemble, PublicationBias, StepSelection
from bayesmeta.errors import ModelError, find_name
from bayesmeta.plan import BIAS_ENSEMBLES, BiasModelPlan, BiasPlan
from bayesmeta.priors import InverseGamma, Normal, Prior

__all__ = ["ENSEMBLES", "ensemble", "planned_ensemble", "with_moderators"]

_TWO_SIDED = (StepSelection((0.05,), "two"), StepSelection((0.05, 0.1), "two"))
_ONE_SIDED = (
    StepSelection((0.05,)),
    StepSelection((0.025, 0.05)),
    StepSelection((0.05, 0.5)),
    StepSelection((0.025, 0.05, 0.5)),
)
_ROBMA = "Bartos, Maier, Wagenmakers, Doucouliagos & Stanley 2023, doi:10.1002/jrsm.1594"
#: Bias models with their probabilities given that there is bias, and the source.
_BIAS: dict[str, tuple[tuple[tuple[PublicationBias, float], ...], str]] = {
    "psma": (
        (*((form, 1 / 12) for form in (*_TWO_SIDED, *_ONE_SIDED)), (PET(), 1 / 4), (PEESE(), 1 / 4)),
        _ROBMA,
    ),
    "pp": (((PET(), 1 / 2), (PEESE(), 1 / 2)), _ROBMA),
    "2w": (
        tuple((form, 1 / 2) for form in _TWO_SIDED),
        "Maier, Bartos & Wagenmakers 2023, doi:10.1037/met0000405",
    ),
    "bma": ((), "Gronau, Heck, Berkhout, Haaf & Wagenmakers 2021, doi:10.1177/25152459211031256"),
}
ENSEMBLES = BIAS_ENSEMBLES


def ensemble(
    name: str = "psma",
    *,
    mu: Prior | None = None,
    tau: Prior | None = None,
    bias: Sequence[PublicationBias] | None = None,
    weights: Sequence[float] | None = None,
) -> Ensemble:
    """One of the published averages, with its priors or with others.

    Half of the prior probability is for an effect, half for heterogeneity and, where there are bias models, half for
    bias.

    Parameters
    ----------
    name : {"psma", "pp", "2w", "bma"}
        RoBMA's default of six weight functions, PET and PEESE; PET and PEESE; two two-sided weight functions; no bias.
    mu, tau : Prior, optional
        Of the effect and of the between-study SD where there are any. Default: normal(0, 1), inversegamma(1, 0.15).
    bias : sequence, optional
        Other bias models in place of those of the name.
    weights : sequence of float, optional
        Probabilities of these given that there is bias, up to their sum; default equal ones.

    Returns
    -------
    Ensemble

    Raises
    ------
    ModelError
        For an unknown name, and weights that are not one positive number for each bias model.

    Examples
    --------
    >>> len(ensemble("psma").models), len(ensemble("bma").models)
    (36, 4)
    """
    name = find_name("ensemble", name, ENSEMBLES)
    forms, source = _BIAS[name]
    if bias is not None:
        shares = [1.0] * len(bias) if weights is None else [float(weight) for weight in weights]
        if len(shares) != len(bias) or not all(share > 0 and math.isfinite(share) for share in shares):
            raise ModelError(f"weights = {weights}: {len(bias)} positive numbers, one for each bias model.")
        forms = tuple((form, share / math.fsum(shares)) for form, share in zip(bias, shares, strict=True))
    elif weights is not None:
        raise ModelError("weights are of bias models of one's own. Name these with bias = [...].")
    choices: list[tuple[PublicationBias | None, float]] = [(None, 0.5 if forms else 1.0)]
    choices += [(form, 0.5 * share) for form, share in forms]
    effect, spread = mu or Normal(0, 1), tau or InverseGamma(1, 0.15)
    models = [
        CandidateModel(m, t, form, 0.25 * share)
        for m, t, (form, share) in product((None, effect), (None, spread), choices)
    ]
    return Ensemble(name, models, source)


def planned_ensemble(plan: BiasPlan) -> Ensemble:
    """Make the models of a plan, with its priors or those of the ensemble.

    Parameters
    ----------
    plan : BiasPlan

    Returns
    -------
    Ensemble

    Raises
    ------
    ModelError
        For an unknown ensemble, and steps that are no ascending p values.

    Examples
    --------
    >>> from bayesmeta.plan import BiasModelPlan, BiasPlan
    >>> own = (BiasModelPlan("selection", (0.025,)), BiasModelPlan("PET", weight=3))
    >>> planned = planned_ensemble(BiasPlan(models=own))
    >>> [(model.bias.name, model.weight) for model in planned.models[1:3]]
    [('one-sided p: .025', 0.03125), ('PET', 0.09375)]
    """
    if not plan.models:
        return ensemble(plan.ensemble, mu=plan.mu, tau=plan.tau)
    found = ensemble(
        plan.ensemble,
        mu=plan.mu,
        tau=plan.tau,
        bias=[_form(item) for item in plan.models],
        weights=[item.weight for item in plan.models],
    )
    return replace(found, name="own models", source="")


def _form(item: BiasModelPlan) -> PublicationBias:
    if item.kind == "selection":
        return StepSelection(item.steps, item.sides)
    return PET() if item.kind == "PET" else PEESE()


def with_moderators(ensemble: Ensemble, names: Sequence[str]) -> Ensemble:
    """Every model with every subset of moderators, each of which has a prior probability of one half.

    Examples
    --------
    >>> len(with_moderators(ensemble("bma"), ["type", "timing"]).models)
    16
    """
    models = [
        replace(model, weight=model.weight / 2 ** len(names), moderators=chosen)
        for model in ensemble.models
        for size in range(len(names) + 1)
        for chosen in combinations(names, size)
    ]
    return Ensemble(ensemble.name, models, ensemble.source)
