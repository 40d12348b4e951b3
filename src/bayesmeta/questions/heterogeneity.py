"""Whether heterogeneity differs between the levels of a moderator, or changes along it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical import LocationScale, location_scale, metaregression
from bayesmeta.effects import Effects
from bayesmeta.errors import BayesmetaError, ModelError, find_name
from bayesmeta.fits import LEVEL, Fit, fit_many, marginal
from bayesmeta.marginals import Marginal
from bayesmeta.model import Coefficient, TauBy
from bayesmeta.numerics import interval_ends
from bayesmeta.priors import Prior
from bayesmeta.questions.summary import bayes_factor

__all__ = ["TRIALS_PER_LEVEL", "heterogeneity_by_table"]

FloatArray = NDArray[np.float64]
#: Trials that a level needs for a heterogeneity of its own.
TRIALS_PER_LEVEL = 3


def heterogeneity_by_table(
    fit: Fit,
    moderator: str,
    contrast: Prior | None = None,
    priors: Mapping[str, Prior] | None = None,
    *,
    slope: Prior | None = None,
    per: float = 1.0,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Compare the between-study SD of the levels of a moderator, such as supervised and home training.

    Two models of the rows that state the moderator are fitted: one SD for all, and one per level, or along a numeric
    moderator a line of ``log(tau)``. In both the mean effect differs by the moderator too, and by nothing else: a
    difference of means that is left out would be taken for heterogeneity.

    Parameters
    ----------
    fit : Fit
        Its effects, and its model's priors of mu and tau; the prior of tau is also that of the common SD.
    moderator : str
        One of ``fit.effects.moderators``; each level needs three trials, a numeric one three different values.
    contrast : Prior, optional
        Of the contrast between two levels of the mean effect, or of its slope; default that of the model or of the
        outcome's plan.
    priors : mapping of str to Prior, optional
        Of the SD at a level; a level that is not named has the fit's prior of tau.
    slope : Prior, optional
        Numeric: of the change of ``log(tau)`` per unit.
    per : float
        Numeric: the unit.
    level : float

    Returns
    -------
    pandas.DataFrame
        Lines ``tau[LEVEL]``, with two levels ``tau[B] / tau[A]``, and ``tau, common``; of a numeric moderator that at
        its mean, and the ratio per unit. Columns ``quantity prior k trials median lower upper p_above_1 classical mcse
        level``. ``p_above_1`` is the probability that a ratio is above 1; ratios are those of the joint posterior of
        the SDs. ``classical`` is the SD, or ratio, of the location-scale model by REML, and the common SD of
        meta-regression. ``attrs`` hold ``moderator``, ``bayes_factor`` (of different SDs against a common one; None for
        a fit by draws and under an improper prior), ``lrt_p`` (of the classical model against a common SD),
        ``left_out`` (rows that do not state the moderator) and ``note``, why something is missing.

    Raises
    ------
    ModelError
        For fewer than three trials in a level, a common-effect model, no prior of the contrast, and models that
        neither engine covers (clusters, heavy tails).

    References
    ----------
    Viechtbauer W, Lopez-Lopez JA. Res Synth Methods 2022;13:697-715. doi:10.1002/jrsm.1562

    Examples
    --------
    >>> halves = ["before 1970"] * 6 + ["later"] * 6
    >>> estimates = [-0.9, -0.2, -1.4, 0.1, -0.6, -0.4, -0.5, -0.4, -0.6, -0.45, -0.5, -0.55]
    >>> trials = bm.Effects(list("abcdefghijkl"), estimates, [0.2] * 12, measure="SMD", moderators={"year": halves})
    >>> pooled = bm.fit(trials, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    >>> table = heterogeneity_by_table(pooled, "year", bm.Normal(0, 0.5))
    >>> table[["quantity", "trials", "median"]].round(2)
                            quantity  trials  median
    0               tau[before 1970]       6    0.49
    1                     tau[later]       6    0.08
    2  tau[later] / tau[before 1970]      12    0.15
    3                    tau, common      12    0.33
    """
    name = find_name("moderator", moderator, fit.effects.moderators, place="of the effects")
    if fit.model.tau is None:
        raise ModelError("heterogeneity_by: this is a common-effect model; it has no heterogeneity that could differ.")
    effects, left_out = _stating(fit.effects, name)
    numeric = effects.moderators[name].dtype.kind == "f"
    _require_trials(effects, name, numeric=numeric)
    if numeric and slope is None:
        raise ModelError(f"heterogeneity_by: {name} is numeric; give slope=, the prior of the change of log(tau).")
    term = _term(fit, name, contrast, per)
    common = dataclasses.replace(fit.model, beta={name: term}, missing={}, tau_by=None)
    by = TauBy(name, slope=slope) if numeric else TauBy(name, priors or {})
    found = fit_many([(effects, dataclasses.replace(common, tau_by=by)), (effects, common)])
    for item in found:
        if isinstance(item, ModelError):
            raise item
    own, same = (item for item in found if isinstance(item, Fit))
    by_levels = _slope_lines if numeric else _level_lines
    classical, note = _classical(effects, name)
    p = interval_ends(level)
    together = _line("tau, common", repr(common.tau), effects, marginal(same, "tau"), p)
    frame = pd.DataFrame([*by_levels(own, name, p), together])
    frame.insert(8, "classical", _beside(own, name, classical))
    frame["level"] = level
    notes = [note, _draws(own)]
    frame.attrs.update(
        moderator=name,
        bayes_factor=None if own.log_evidence is None or same.log_evidence is None else bayes_factor(own, same),
        lrt_p=None if classical is None else classical.lrt_p,
        left_out=left_out,
        note="; ".join(filter(None, notes)),
    )
    return frame


def _stating(effects: Effects, name: str) -> tuple[Effects, tuple[str, ...]]:
    """The rows that state the moderator, and the labels of the others."""
    values = effects.moderators[name]
    stated = np.array([value is not None and value != "" and value == value for value in values.tolist()])
    if not stated.any():
        raise ModelError(f"heterogeneity_by: no row states {name}.")
    left_out = tuple(label for label, there in zip(effects.label, stated, strict=True) if not there)
    return (effects.subset(stated) if left_out else effects), left_out


def _trials(effects: Effects, rows: NDArray[np.bool_]) -> int:
    return len({study for study, inside in zip(effects.study, rows, strict=True) if inside})


def _require_trials(effects: Effects, name: str, *, numeric: bool) -> None:
    values = effects.moderators[name]
    if numeric:
        if len(set(values.tolist())) < TRIALS_PER_LEVEL:
            raise ModelError(f"heterogeneity_by: {name} has fewer than {TRIALS_PER_LEVEL} different values.")
        return
    counts = {level: _trials(effects, values == level) for level in sorted({str(value) for value in values})}
    few = [f"{level} ({count})" for level, count in counts.items() if count < TRIALS_PER_LEVEL]
    if few or len(counts) < 2:
        what = f"too few in {', '.join(few)}" if few else f"{name} has one level"
        raise ModelError(
            f"heterogeneity_by: a heterogeneity of its own needs at least {TRIALS_PER_LEVEL} trials per level; {what}. "
            "Join levels, or use one tau."
        )


def _term(fit: Fit, name: str, contrast: Prior | None, per: float) -> Coefficient:
    """How the moderator enters the mean effect."""
    if contrast is not None:
        return Coefficient(contrast, per)
    term = fit.model.beta.get(name)
    if term is None and fit.outcome is not None:
        planned = fit.outcome.model.terms(fit.effects.moderators) if fit.outcome.model.moderators else {}
        term = planned.get(name)
    if not isinstance(term, Coefficient):
        raise ModelError(
            f"heterogeneity_by: the mean effect differs by {name} too, and nothing states by how much. Give contrast=, "
            "for example Normal(0, 0.5) on the SMD scale."
        )
    return dataclasses.replace(term, reference=None)


def _line(quantity: str, prior: str, effects: Effects, form: Marginal, p: FloatArray, **more: Any) -> dict[str, Any]:
    lower, median, upper = (float(value) for value in form.quantile(p))
    counts = {"k": effects.k, "trials": effects.n_trials}
    found = {"quantity": quantity, "prior": prior, **counts, "median": median, "lower": lower, "upper": upper}
    return found | {"p_above_1": math.nan, "mcse": form.mcse} | more


def _level_lines(own: Fit, name: str, p: FloatArray) -> list[dict[str, Any]]:
    effects, by, lines = own.effects, own.model.tau_by, []
    assert by is not None
    levels = own.design.factors[name].levels
    for level in levels:
        inside = np.array([str(value) == level for value in effects.moderators[name]])
        prior = repr(by.priors.get(level, own.model.tau))
        counts = {"k": int(inside.sum()), "trials": _trials(effects, inside)}
        lines.append(_line(f"tau[{level}]", prior, effects, marginal(own, f"tau[{level}]"), p, **counts))
    if len(levels) == 2:
        ratio = f"tau[{levels[1]}] / tau[{levels[0]}]"
        form = marginal(own, ratio)
        lines.append(_line(ratio, "", effects, form, p, p_above_1=float(form.sf(1.0)), mcse=math.nan))
    return lines


def _slope_lines(own: Fit, name: str, p: FloatArray) -> list[dict[str, Any]]:
    by, effects, factor = own.model.tau_by, own.effects, own.design.factors[name]
    assert by is not None
    slope = marginal(own, "tau_slope")
    line = _line(f"tau ratio per {factor.per:g}", f"log: {by.slope!r}", effects, slope, p, mcse=math.nan)
    line |= {end: math.exp(line[end]) for end in ("median", "lower", "upper")}
    middle = f"tau at {name} = {factor.centre[0]:.4g}"
    return [
        _line(middle, repr(own.model.tau), effects, marginal(own, "tau"), p),
        {**line, "p_above_1": float(slope.sf(0.0))},
    ]


def _classical(effects: Effects, name: str) -> tuple[LocationScale | None, str]:
    if effects.blocks:
        return None, "no classical location-scale model: rows share patients"
    try:
        found = location_scale(effects, [name])
    except BayesmetaError as error:
        return None, f"no classical location-scale model: {str(error).rstrip('.')}"
    return found, "; ".join(found.notes)


def _beside(own: Fit, name: str, classical: LocationScale | None) -> list[float]:
    """The classical SD or ratio of every line: per level and their ratio, or at the middle and per unit."""
    effects, factor = own.effects, own.design.factors[name]
    common = math.sqrt(metaregression(effects, [name]).tau2)
    values = np.array([str(value) for value in effects.moderators[name]])
    lines = len(factor.levels) + (len(factor.levels) == 2) if factor.levels else 2
    if classical is None:
        return [math.nan] * lines + [common]
    if not factor.levels:
        middle, change = float(classical.scale @ [1, factor.centre[0]]), float(classical.scale[1]) * factor.per
        return [math.exp(middle / 2), math.exp(change / 2), common]
    taus = [math.sqrt(float(classical.tau2[values == level][0])) for level in factor.levels]
    ratio = [math.inf if taus[0] == 0 else taus[1] / taus[0]] if len(taus) == 2 and any(taus) else []
    return [*taus, *ratio, *[math.nan] * (lines - len(taus) - len(ratio)), common]


def _draws(own: Fit) -> str:
    return "no Bayes factor: the SDs are known by draws" if own.simulated else ""
