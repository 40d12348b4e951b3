"""Averages that others have published, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

from bayesmeta.bias.specification import PEESE, PET, CandidateModel, Ensemble, PublicationBias, StepSelection
from bayesmeta.errors import find_name
from bayesmeta.priors import InverseGamma, Normal, Prior

__all__ = ["ENSEMBLES", "ensemble", "with_moderators"]

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
ENSEMBLES = tuple(_BIAS)


def ensemble(
    name: str = "psma",
    *,
    mu: Prior | None = None,
    tau: Prior | None = None,
    bias: Sequence[PublicationBias] | None = None,
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
        Other bias models, of equal probability, in place of those of the name.

    Returns
    -------
    Ensemble

    Examples
    --------
    >>> len(ensemble("psma").models), len(ensemble("bma").models)
    (36, 4)
    """
    name = find_name("ensemble", name, ENSEMBLES)
    forms, source = _BIAS[name]
    if bias is not None:
        forms = tuple((form, 1 / len(bias)) for form in bias)
    choices: list[tuple[PublicationBias | None, float]] = [(None, 0.5 if forms else 1.0)]
    choices += [(form, 0.5 * share) for form, share in forms]
    effect, spread = mu or Normal(0, 1), tau or InverseGamma(1, 0.15)
    models = [
        CandidateModel(m, t, form, 0.25 * share)
        for m, t, (form, share) in product((None, effect), (None, spread), choices)
    ]
    return Ensemble(name, models, source)


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
