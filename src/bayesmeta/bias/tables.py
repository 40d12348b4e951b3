"""What an average says: its models, which parts are in, estimates with and without them, chances of benefit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.bias.averaging import AveragePosterior, log_bayes_factor, models_of
from bayesmeta.bias.integration import Table
from bayesmeta.bias.mixing import atom, mixed
from bayesmeta.bias.posterior import weight_of
from bayesmeta.bias.regression import Regression
from bayesmeta.bias.specification import PEESE, PET, CandidateModel, StepSelection
from bayesmeta.bias.stated import StatedSelection
from bayesmeta.errors import ModelError, find_name
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.marginals import Marginal
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Threshold
from bayesmeta.questions import any_benefit_of, benefit_probabilities, resolve_threshold

__all__ = [
    "BIAS_CHOICES",
    "FEW",
    "averaged_table",
    "bias_benefit_table",
    "bias_prior_table",
    "candidate_table",
    "given_models",
    "given_moderators",
    "model_inclusion_table",
    "weight_table",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
#: What may be said of the bias of the models that are kept.
BIAS_CHOICES = ("none", "any", "selection", "PET", "PEESE")
#: With fewer trials the priors of bias models drive their answer.
FEW = 10


def _bias_of(model: CandidateModel) -> str:
    if model.bias is None:
        return "none"
    return model.bias.name if isinstance(model.bias, PET | PEESE) else "selection"


def given_models(
    fit: Fit, *, effect: bool | None = None, heterogeneity: bool | None = None, bias: str | None = None
) -> Fit:
    """The average over some of the models: conditional on an effect, on heterogeneity, or on a kind of bias.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`.
    effect, heterogeneity : bool, optional
        Only models with it, or only those without. Default: both.
    bias : {"none", "any", "selection", "PET", "PEESE"}, optional
        Only models with this kind of bias.

    Returns
    -------
    Fit
        Answers as the whole average does.

    Raises
    ------
    ModelError
        Where no model is left.

    Examples
    --------
    >>> averaged = bm.average(effects, "bma")
    >>> float(bm.summarize(given_models(averaged, effect=False)).loc["mu", "mean"])
    0.0
    """
    if bias is not None:
        bias = find_name("bias", bias, BIAS_CHOICES)
    posterior = models_of(fit)

    def kept(model: CandidateModel) -> bool:
        kind = _bias_of(model)
        return (
            effect in (None, model.mu is not None)
            and heterogeneity in (None, model.tau is not None)
            and (bias is None or bias == kind or (bias == "any" and kind != "none"))
        )

    return _only(fit, [kept(model) for model in posterior.ensemble.models])


def given_moderators(fit: Fit, name: str, *, present: bool = True) -> Fit:
    """The average over the models that have a moderator, or over those that lack it.

    Raises
    ------
    ModelError
        For a moderator that no model has.

    Examples
    --------
    >>> averaged = bm.average(effects, "bma", moderators={"weeks": bm.Normal(0, 0.1)})
    >>> len(given_moderators(averaged, "weeks").posterior.tables)
    4
    """
    models = models_of(fit).ensemble.models
    find_name("moderator", name, dict.fromkeys(item for model in models for item in model.moderators))
    return _only(fit, [(name in model.moderators) == present for model in models])


def _only(fit: Fit, kept: Sequence[bool]) -> Fit:
    """The average over the models that are kept."""
    posterior, chosen = models_of(fit), np.flatnonzero(kept)
    if not chosen.size:
        raise ModelError("no model of this average is so: nothing is left to average.")
    shares = posterior.shares[chosen]
    if not shares.sum() > 0:
        raise ModelError("the models that are left have no posterior probability in double precision.")
    models = tuple(posterior.ensemble.models[i] for i in chosen)
    part = dataclasses.replace(
        posterior,
        ensemble=dataclasses.replace(posterior.ensemble, models=models),
        tables=tuple(posterior.tables[i] for i in chosen),
        shares=shares / shares.sum(),
    )
    return dataclasses.replace(fit, posterior=part)


def candidate_table(fit: Fit) -> pd.DataFrame:
    """Every model of an average, with its evidence.

    Returns
    -------
    DataFrame
        One row per model: ``effect`` and ``heterogeneity`` (the prior, or "none"), ``bias``, ``moderators``, ``prior``
        and ``posterior`` probability, ``log_evidence``, ``error`` of its integral (largest change of an answer between
        nested rules), ``bayes_factor`` of the model against all others, and ``mean``, its posterior mean effect.

    Raises
    ------
    ModelError
        For a fit of one model.

    Examples
    --------
    >>> candidate_table(bm.average(effects, "bma"))["posterior"].sum().round(12)
    np.float64(1.0)
    """
    posterior = models_of(fit)
    rows = []
    for i, (model, table) in enumerate(zip(posterior.ensemble.models, posterior.tables, strict=True)):
        one = np.arange(posterior.shares.size) == i
        rows.append(
            {
                "effect": "none" if model.mu is None else repr(model.mu),
                "heterogeneity": "none" if model.tau is None else repr(model.tau),
                "bias": "none" if model.bias is None else model.bias.name,
                "moderators": ", ".join(model.moderators),
                "prior": model.weight,
                "posterior": float(posterior.shares[i]),
                "log_evidence": table.log_evidence,
                "error": table.error,
                "bayes_factor": math.exp(log_bayes_factor(posterior.prior_shares, posterior.shares, one))
                if one.size > 1
                else math.nan,
                "mean": _mean(posterior, i),
            }
        )
    return pd.DataFrame(rows)


def _mean(posterior: AveragePosterior, index: int) -> float:
    """Posterior mean effect of one model, over the observed mix of moderators."""
    part = posterior.tables[index]
    if isinstance(part, Table):
        return posterior.sign * float((part.mass * part.mu).sum())
    return part.quantity(posterior.design.profile(), posterior.sign, new=False).mean


def _components(models: Sequence[CandidateModel]) -> dict[str, BoolArray]:
    """Which models have each part that some have and some lack."""
    parts: dict[str, Callable[[CandidateModel], bool]] = {
        "effect": lambda model: model.mu is not None,
        "heterogeneity": lambda model: model.tau is not None,
        "bias": lambda model: model.bias is not None,
        "selection by p": lambda model: _bias_of(model) == "selection",
        "PET": lambda model: _bias_of(model) == "PET",
        "PEESE": lambda model: _bias_of(model) == "PEESE",
    }
    found = {name: np.array([has(model) for model in models]) for name, has in parts.items()}
    for name in dict.fromkeys(name for model in models for name in model.moderators):
        found[f"moderator {name}"] = np.array([name in model.moderators for model in models])
    return {name: has for name, has in found.items() if has.any() and not has.all()}


def model_inclusion_table(fit: Fit) -> pd.DataFrame:
    """How much the data speak for an effect, for heterogeneity and for bias, averaged over everything else.

    The inclusion Bayes factor is the posterior odds of the models that have the part over their prior odds.

    Returns
    -------
    DataFrame
        One row per part: ``part models prior posterior bayes_factor log_bayes_factor``. The factor is infinite where
        the rest has no posterior probability in double precision, where its logarithm still says how much.

    Raises
    ------
    ModelError
        For a fit of one model.

    Examples
    --------
    >>> model_inclusion_table(bm.average(effects, "bma"))["part"].tolist()
    ['effect', 'heterogeneity']
    """
    posterior = models_of(fit)
    prior = posterior.prior_shares
    log = np.log(prior) + np.array([table.log_evidence for table in posterior.tables])
    rows = []
    for name, has in _components(posterior.ensemble.models).items():
        # of logarithms, so that a factor of 10^400 is not lost
        odds = special.logsumexp(log[has]) - special.logsumexp(log[~has])
        factor = float(odds - math.log(prior[has].sum() / prior[~has].sum()))
        rows.append(
            {
                "part": name,
                "models": int(has.sum()),
                "prior": float(prior[has].sum()),
                "posterior": min(1.0, float(posterior.shares[has].sum())),
                "bayes_factor": math.exp(factor) if factor < 709.0 else math.inf,
                "log_bayes_factor": factor,
            }
        )
    return pd.DataFrame(rows, columns=["part", "models", "prior", "posterior", "bayes_factor", "log_bayes_factor"])


def averaged_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Estimates averaged over all models, and over those that have the parameter.

    Returns
    -------
    DataFrame
        Per parameter (``mu``, ``tau``, ``theta_new``, ``PET``, ``PEESE``) two rows, ``models`` "all" and "with it":
        ``mean sd median lower upper p_zero level``. `p_zero` is the probability of models that lack the parameter, in
        which it is exactly zero; of a new study of those without effect and heterogeneity.

    Raises
    ------
    ModelError
        For a fit of one model, and a level that is not between 0 and 1.
    """
    posterior = models_of(fit)
    has = _components(posterior.ensemble.models)
    conditions: dict[str, dict[str, Any]] = {
        "mu": {"effect": True},
        "tau": {"heterogeneity": True},
        "PET": {"bias": "PET"},
        "PEESE": {"bias": "PEESE"},
    }
    parts = {"mu": "effect", "tau": "heterogeneity", "PET": "PET", "PEESE": "PEESE"}
    rows = []
    for name in ("mu", "theta_new", *posterior.scalars):
        zero = float(posterior.shares[~has[parts[name]]].sum()) if parts.get(name) in has else 0.0
        if name == "theta_new":
            models = posterior.ensemble.models
            zero = float(posterior.shares[[m.mu is None and m.tau is None for m in models]].sum())
        rows.append({"parameter": name, "models": "all", **_described(marginal(fit, name), level), "p_zero": zero})
        if name in conditions and 0 < zero < 1:
            part = given_models(fit, **conditions[name])
            rows.append(
                {"parameter": name, "models": "with it", **_described(marginal(part, name), level), "p_zero": 0.0}
            )
    return pd.DataFrame(rows).assign(level=level)


def _described(form: Marginal, level: float) -> dict[str, float]:
    lower, median, upper = form.quantile(interval_ends(level)).tolist()
    return {"mean": form.mean, "sd": form.sd, "median": median, "lower": lower, "upper": upper}


def weight_table(fit: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """How likely results are to be seen by their p value, relative to the most significant ones.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`, some of whose models select by p.

    Returns
    -------
    DataFrame
        One row per interval of the one-sided p of the direction of selection, in ascending order: ``from to mean median
        lower upper prior_mean trials p_one level``. Averaged over all models; one without selection gives the weight 1,
        and `p_one` is the posterior probability of those.

    Raises
    ------
    ModelError
        Where no model selects by p.
    """
    posterior = models_of(fit)
    by_steps = StepSelection | StatedSelection
    chosen = [i for i, model in enumerate(posterior.ensemble.models) if isinstance(model.bias, by_steps)]
    if not chosen:
        raise ModelError("no model of this average selects by p.")
    forms = [posterior.ensemble.models[i].bias for i in chosen]
    edges = sorted({0.0, 1.0, *(edge for form in forms for edge in _one_sided_edges(form))})  # type: ignore[arg-type]
    kept = [i for i in chosen if posterior.shares[i] > 1e-12]
    rest = 1.0 - float(posterior.shares[kept].sum())
    known: dict[tuple[int, int], Marginal] = {}
    rows = []
    y, se = posterior.tables[0].rows.y, posterior.tables[0].rows.se
    p = special.ndtr(-y / se)
    for low, high in pairwise(edges):
        marginals: list[Marginal] = []
        for i in kept:
            j = _interval_of(posterior.ensemble.models[i].bias, 0.5 * (low + high))
            if j and (i, j) not in known:
                known[i, j] = _weight(posterior, i, j)
            marginals.append(known[i, j] if j else atom(1.0))
        form = mixed(np.array([*posterior.shares[kept], rest]), [*marginals, atom(1.0)])
        lower, median, upper = form.quantile(interval_ends(level)).tolist()
        rows.append(
            {
                "from": low,
                "to": high,
                "mean": form.mean,
                "median": median,
                "lower": lower,
                "upper": upper,
                "prior_mean": _prior_weight(posterior, 0.5 * (low + high)),
                "trials": int(((p > low) & (p <= high)).sum()),
                "p_one": rest,
                "level": level,
            }
        )
    return pd.DataFrame(rows)


def _weight(posterior: AveragePosterior, index: int, interval: int) -> Marginal:
    part = posterior.tables[index]
    assert not isinstance(part, Regression)
    form = part.model.bias
    if isinstance(form, StatedSelection):
        return atom(form.weights[interval] / form.weights[0])
    return weight_of(part, interval)


def _one_sided_edges(form: StepSelection | StatedSelection) -> list[float]:
    return [*form.steps] if form.sides == "one" else [end for s in form.steps for end in (0.5 * s, 1.0 - 0.5 * s)]


def _interval_of(form: Any, one_sided: float) -> int:
    """Which interval of a step function a one-sided p lies in, from 0."""
    p = one_sided if form.sides == "one" else 2.0 * min(one_sided, 1.0 - one_sided)
    return int(np.searchsorted(form.steps, p))


def _prior_weight(posterior: AveragePosterior, one_sided: float) -> float:
    """Prior mean of a weight, averaged over all models."""
    total = 0.0
    for model in posterior.ensemble.models:
        mean = 1.0
        if isinstance(model.bias, StepSelection):
            alpha = np.array(model.bias.alpha)
            mean = float(alpha[_interval_of(model.bias, one_sided) :].sum() / alpha.sum())
        if isinstance(model.bias, StatedSelection):
            mean = model.bias.weights[_interval_of(model.bias, one_sided)] / model.bias.weights[0]
        total += model.weight * mean
    return total


def bias_benefit_table(fit: Fit, threshold: Threshold | float | None = None, *, level: float = LEVEL) -> pd.DataFrame:
    """Chances of benefit without bias, under each family of bias, and averaged over all.

    Parameters
    ----------
    fit : Fit
        Of `bayesmeta.average`. Where its effects have no better direction, no chances are given.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome; without one only the chance of any benefit is given.
    level : float
        Of the interval.

    Returns
    -------
    DataFrame
        Rows "no bias", "selection by p", "PET", "PEESE" and "average", those that the average has: ``models count
        prior posterior median lower upper p_any_benefit p_important_benefit p_important_harm``, all of the mean effect,
        and with ``_new`` of a new study.

    Raises
    ------
    ModelError
        For a fit of one model.
    """
    posterior = models_of(fit)
    known = {_bias_of(model) for model in posterior.ensemble.models}
    labels = {"none": "no bias", "selection": "selection by p", "PET": "PET", "PEESE": "PEESE"}
    item = resolve_threshold(fit, threshold) if fit.effects.better is not None else None
    rows = []
    for kind in (*(kind for kind in labels if kind in known), None):
        part = fit if kind is None else given_models(fit, bias=kind)
        chosen = [kind in (None, _bias_of(model)) for model in posterior.ensemble.models]
        lower, median, upper = marginal(part, "mu").quantile(interval_ends(level)).tolist()
        chances: dict[str, float] = {}
        if item is not None:
            chances = benefit_probabilities(part, item)
        elif fit.effects.better is not None:
            ends = {"mu": "", "theta_new": "_new"}
            chances = {f"p_any_benefit{end}": any_benefit_of(part, name) for name, end in ends.items()}
        rows.append(
            {
                "models": "average" if kind is None else labels[kind],
                "count": int(np.sum(chosen)),
                "prior": 1.0 if kind is None else min(1.0, float(posterior.prior_shares[chosen].sum())),
                "posterior": 1.0 if kind is None else min(1.0, float(posterior.shares[chosen].sum())),
                "median": median,
                "lower": lower,
                "upper": upper,
                **chances,
            }
        )
    return pd.DataFrame(rows)


def bias_prior_table(fit: Fit) -> pd.DataFrame:
    """How much the data say of each parameter of bias: its posterior against its prior SD.

    With few trials a bias model says what its priors say.

    Returns
    -------
    DataFrame
        One row per model and parameter: ``model parameter prior_mean prior_sd mean sd ratio``, given the model and
        averaged over effect and heterogeneity. `ratio` is posterior over prior SD, nan where the prior has none (a
        half-Cauchy).

    Raises
    ------
    ModelError
        Where the average has no model of bias.
    """
    posterior = models_of(fit)
    forms = list(dict.fromkeys(model.bias for model in posterior.ensemble.models if model.bias is not None))
    if not forms:
        raise ModelError("this average has no model of bias.")
    rows = []
    for form in forms:
        chosen = [i for i, m in enumerate(posterior.ensemble.models) if m.bias == form and posterior.shares[i] > 0]
        if not chosen:
            continue
        shares = posterior.shares[chosen] / posterior.shares[chosen].sum()
        for j, name in enumerate(form.parameters):
            if isinstance(form, StepSelection):
                alpha = np.array(form.alpha)
                a, total = float(alpha[j + 1 :].sum()), float(alpha.sum())
                prior_mean, prior_sd = a / total, math.sqrt(a * (total - a) / (total**2 * (total + 1.0)))
                found = mixed(shares, [_weight(posterior, i, j + 1) for i in chosen])
            else:
                # half-Cauchy slopes have no moments
                prior_mean = prior_sd = math.nan
                single = models_of(_only(fit, np.isin(np.arange(posterior.shares.size), chosen).tolist()))
                found = single.named(name)
            rows.append(
                {
                    "model": form.name,
                    "parameter": name,
                    "prior_mean": prior_mean,
                    "prior_sd": prior_sd,
                    "mean": found.mean,
                    "sd": found.sd,
                    "ratio": found.sd / prior_sd,
                }
            )
    return pd.DataFrame(rows)
