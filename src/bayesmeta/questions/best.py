"""Which level of a moderator is the best, how sure that is, and how sure the priors were before any trial."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.errors import ModelError, find_name
from bayesmeta.exact import location
from bayesmeta.fits import Fit
from bayesmeta.marginals import largest
from bayesmeta.plan import Threshold
from bayesmeta.questions.thresholds import direction, numeric_distance, resolve_threshold

__all__ = ["ONE_TRIAL", "best_level_table"]

FloatArray = NDArray[np.float64]
#: Mark of a level that rests on a single trial.
ONE_TRIAL = "one trial"


def best_level_table(fit: Fit, moderator: str, threshold: Threshold | float | None = None) -> pd.DataFrame:
    """How probable it is that each level of a categorical moderator has the best mean effect.

    Other moderators are averaged over the observed mix. A level with few trials has a wide posterior and is seldom
    known to be worst: P(best) says which level the data favour, not that it helps, so that it stands beside the
    probability of being the best and beyond the threshold, and beside what the priors alone said.

    Parameters
    ----------
    fit : Fit
        With the moderator and a direction of benefit.
    moderator : str
    threshold : Threshold or float, optional
        Smallest important benefit; default the primary one of the fit's outcome, and no effect where there is none.

    Returns
    -------
    pandas.DataFrame
        One line per level: ``level k trials mark p_best p_best_error p_best_beyond p_best_beyond_error p_best_prior``.
        ``mark`` is "one trial" or empty. Up to three levels P(best) is in closed form given the standard deviations
        (a bivariate normal probability), and settled to 1e-8; else its error is the standard error of a numerical
        integral, or of draws. ``p_best_prior`` is 1 / L where the prior of the contrasts is symmetric; it is not a
        number where the prior is improper, or a level differs by several terms that are not all normal. ``attrs`` hold
        ``moderator`` and ``beyond``, the distance from no effect.

    Raises
    ------
    ModelError
        For a moderator that is not categorical or not in the fit, a threshold that is not a number, effects without a
        direction of benefit, and an exact fit with a truncated coefficient.

    Examples
    --------
    >>> moderated = bm.fit(effects, bm.Model(model.mu, model.tau, {"type": bm.Normal(0, 0.5)}))
    >>> best_level_table(moderated, "type", 0.2)[["level", "p_best", "p_best_beyond", "p_best_prior"]].round(3)
      level  p_best  p_best_beyond  p_best_prior
    0  walk    0.87          0.706           0.5
    1  yoga    0.13          0.069           0.5
    """
    sign, design = direction(fit), fit.design
    name = find_name("moderator", moderator, design.factors, place="in the model")
    factor = design.factors[name]
    if not factor.levels:
        raise ModelError(f"moderator {name} is numeric and has no levels. See curve_table.")
    chosen = resolve_threshold(fit, threshold)
    distance = numeric_distance(chosen)
    if chosen is not None and distance is None:
        raise ModelError(f"threshold {chosen.name}: give one that is a number, not a range or a distribution.")
    beyond = distance or 0.0
    rows = sign * np.array([design.profile({name: level}) for level in factor.levels])
    p, error = fit.posterior.largest(rows)
    p_beyond, error_beyond = fit.posterior.largest(rows, beyond)
    values = np.array([str(value) for value in fit.effects.moderators[name]])
    inside = [values == level for level in factor.levels]
    trials = [len({study for study, here in zip(fit.effects.study, own, strict=True) if here}) for own in inside]
    frame = pd.DataFrame(
        {
            "level": factor.levels,
            "k": [int(own.sum()) for own in inside],
            "trials": trials,
            "mark": [ONE_TRIAL if count == 1 else "" for count in trials],
            "p_best": p,
            "p_best_error": error,
            "p_best_beyond": p_beyond,
            "p_best_beyond_error": error_beyond,
            "p_best_prior": _before(fit, rows),
        }
    )
    frame.attrs.update(moderator=name, beyond=beyond)
    return frame


def _before(fit: Fit, rows: FloatArray) -> FloatArray:
    """P(best) under the priors alone."""
    design, unknown = fit.design, np.full(len(rows), math.nan)
    used = (np.abs(rows - rows.mean(axis=0)) > 1e-12).any(axis=0)
    mean, variance, scaled = np.zeros(design.p), np.zeros(design.p), 0
    terms = [term for term in design.terms if used[term.columns].any()]
    for term in terms:
        scale = np.square(design.prior_scale[term.columns])
        if term.total is not None:
            return unknown
        if term.prior is None:
            # whatever the hierarchical SD is: the order does not change when all contrasts are multiplied
            scaled, variance[term.columns] = scaled + 1, scale
            continue
        loc, spread, df, cut, _ = location(term.prior)
        if cut is not None or not math.isfinite(spread):
            return unknown
        scaled += math.isfinite(df)
        mean[term.columns], variance[term.columns] = loc, spread**2 * scale
    if scaled and (len(terms) > 1 or mean.any()):
        return unknown
    return largest(rows, mean[:, None], np.diag(variance)[:, :, None], np.ones((1, 1)))[0][0]
