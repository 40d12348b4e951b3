"""What a review says about one more trial: the robust meta-analytic-predictive prior.

The effect in a new study, as a review predicts it, is a prior for a trial that is like those of the review. Whether
it is like them is not known: with probability w it is not, and then a vague normal is the prior,

    p(theta) = (1 - w) sum_n w_n N(m_n, s_n^2) + w N(m_0, s_0^2).

Every component is normal, so that the posterior given the trial's estimate y with standard error s is again a mixture:
each component is updated by itself, and its weight is multiplied by its density of y, ``N(y; m_n, s_n^2 + s^2)``. Where
y contradicts the review, the weight moves to the vague component and the review is discarded by itself.

References
----------
Schmidli H et al. Biometrics 2014;70:1023-1032. doi:10.1111/biom.12242
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, marginal
from bayesmeta.marginals import NormalMixture
from bayesmeta.measures import measure
from bayesmeta.numerics import interval_ends, roots
from bayesmeta.plan import Better, Threshold, weighted_values
from bayesmeta.priors import Normal

__all__ = [
    "WEIGHTS",
    "Borrowing",
    "borrowing_probabilities",
    "borrowing_table",
    "conflict_table",
    "effective_size",
    "mix",
    "predictive_of",
    "robust_map",
    "update",
]

FloatArray = NDArray[np.float64]

#: Prior probabilities that the source says nothing, for `borrowing_table`.
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
#: What one participant contributes, ``se sqrt(N)``, on scales where it does not depend on the outcome.
_UNIT_SD = 2.0
_COLUMNS = [
    "weight",
    "analysis",
    "vague_weight",
    "mean",
    "sd",
    "median",
    "lower",
    "upper",
    "p_any_benefit",
    "p_important_benefit",
    "p_important_harm",
    "ess_prior",
    "ess_gained",
    "level",
    "note",
]
_CONFLICT_COLUMNS = [
    "y",
    "vague_weight",
    "median",
    "lower",
    "upper",
    "p_any_benefit",
    "p_important_benefit",
    "conflict_p",
    "level",
    "note",
]
#: Estimates that discard the source are looked for this many predictive standard deviations away.
_REACH = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Borrowing:
    """One trial's effect with the prior that a review gives it; everything is on the trial's own scale.

    Attributes
    ----------
    y, se : float
        The trial's estimate.
    weight : float
        Prior probability that the source says nothing about the trial.
    vague : Normal
        What is believed then.
    unit_sd : float
        What one participant contributes: the standard error is this over the root of the participants.
    source, prior, posterior, alone : NormalMixture
        The review's prediction; its mixture with the vague component; the posterior; and the posterior by the vague
        component alone, the trial on its own.
    vague_weight : float
        Posterior probability that the source says nothing: how much of it is discarded.
    ess_source, ess_prior : float
        Effective size of the review's prediction and of the prior, in participants (`effective_size`).
    ess_gained : float
        Precision that borrowing adds to the trial on its own, in participants; negative where it takes some away.
    conflict_p : float
        Two-sided predictive p value of the estimate under the review's prediction.
    kept_lower, kept_upper : float or None
        Estimates between which the source is kept: beyond, its posterior probability is below one half.
    better : {"higher", "lower"} or None
    notes : tuple of str
        Why a number is missing.
    """

    y: float
    se: float
    weight: float
    vague: Normal
    unit_sd: float
    source: NormalMixture
    prior: NormalMixture
    posterior: NormalMixture
    alone: NormalMixture
    vague_weight: float
    ess_source: float
    ess_prior: float
    ess_gained: float
    conflict_p: float
    kept_lower: float | None
    kept_upper: float | None
    better: Better | None
    notes: tuple[str, ...] = ()


# -- mixtures ----------------------------------------------------------------------------------------------------------


def predictive_of(source: Fit) -> NormalMixture:
    """The effect in a new study as a fit predicts it, as a mixture of normals.

    Raises
    ------
    ModelError
        For a fit by draws, or with a truncated prior, whose prediction is no mixture of normals.
    """
    form = marginal(source, "theta_new")
    if not isinstance(form, NormalMixture):
        raise ModelError(
            "borrowing needs the exact prediction as a mixture of normals; this fit is by draws or has a truncated or "
            "uniform prior of a coefficient. Use the exact engine with a normal, Student-t, Cauchy or flat prior."
        )
    # components without weight have variances that may be beyond what can be squared
    used = form.weights > 1e-18
    return NormalMixture(form.weights[used] / form.weights[used].sum(), form.means[used], form.sds[used], form.moments)


def mix(source: NormalMixture, weight: float, vague: Normal) -> NormalMixture:
    """Mix a vague normal into a mixture; it becomes the last component.

    Raises
    ------
    ModelError
        For a weight that is no probability.

    Examples
    --------
    >>> mix(NormalMixture([1.0], [-0.3], [0.1]), 0.2, Normal(0, 2)).weights.tolist()
    [0.8, 0.2]
    """
    if not 0 <= weight <= 1:
        raise ModelError(f"weight = {weight}: a probability, such as 0.2.")
    return NormalMixture(
        np.append((1 - weight) * source.weights, weight),
        np.append(source.means, vague.mean),
        np.append(source.sds, vague.sd),
        source.moments if weight < 1 else 2,
    )


def update(prior: NormalMixture, y: float, se: float) -> tuple[NormalMixture, float]:
    """Posterior of an effect with a mixture prior, given an estimate; and the log marginal density of the estimate.

    Examples
    --------
    >>> posterior, log_density = update(NormalMixture([1.0], [0.0], [1.0]), 1.0, 1.0)
    >>> posterior.means.tolist(), round(posterior.sds[0] ** 2, 12), round(log_density, 4)
    ([0.5], np.float64(0.5), -1.5155)
    """
    total = prior.sds**2 + se * se
    with np.errstate(divide="ignore"):
        log = np.log(prior.weights) - 0.5 * np.log(2 * math.pi * total) - 0.5 * (y - prior.means) ** 2 / total
    peak = float(log.max())
    shares = np.exp(log - peak)
    gain = prior.sds**2 / total
    means, sds = prior.means + gain * (y - prior.means), prior.sds * se / np.sqrt(total)
    return NormalMixture(shares / shares.sum(), means, sds), peak + math.log(float(shares.sum()))


def effective_size(prior: NormalMixture, unit_sd: float) -> float:
    """Participants that a prior is worth: the expected local information ratio.

    ``unit_sd^2 E[-(log p)''] = unit_sd^2 integral p'^2 / p``. For one normal it is ``unit_sd^2 / sd^2``, and it is
    predictively consistent: with m participants more the expected size grows by m.

    Parameters
    ----------
    prior : NormalMixture
    unit_sd : float
        What one participant contributes: a standard error times the root of the participants.

    References
    ----------
    Neuenschwander B et al. Biometrics 2020;76:578-587. doi:10.1111/biom.13252

    Examples
    --------
    >>> round(effective_size(NormalMixture([1.0], [0.0], [0.2]), 2.0), 9)
    100.0
    """
    used = prior.weights > 0
    if np.any(prior.sds[used] == 0):
        return math.inf
    weights, means, sds = prior.weights[used], prior.means[used], prior.sds[used]
    # the trapezoidal rule on a sinh scale converges like exp(-points): the integrand is analytic and dies at both ends
    centre = float(weights @ means)
    unit = float(sds.min())
    reach = math.asinh(float((np.abs(means - centre) + 12 * sds).max()) / unit)
    t = np.linspace(-reach, reach, 8193)
    total = 0.0
    for part in np.array_split(t, 16):
        x = centre + unit * np.sinh(part)
        z = (x[:, None] - means) / sds
        dense = np.exp(-0.5 * z * z) * (weights / sds)
        density = dense.sum(axis=1)
        slope = (dense * (-z / sds)).sum(axis=1)
        total += float((slope**2 / np.maximum(density, 1e-300) * np.cosh(part)).sum())
    return unit_sd**2 * total * unit * float(t[1] - t[0]) / math.sqrt(2 * math.pi)


# -- one trial ---------------------------------------------------------------------------------------------------------


def robust_map(
    source: Fit | NormalMixture,
    y: float,
    se: float,
    *,
    weight: float = 0.2,
    vague: Normal | None = None,
    n: float | None = None,
    scale: float = 1.0,
    better: Better | None = None,
) -> Borrowing:
    """Posterior of a trial's effect with the robust prior that a review gives it.

    Parameters
    ----------
    source : Fit or NormalMixture
        The review, or its prediction of an effect in a new study.
    y, se : float
        The trial's estimate and standard error, in units of its own.
    weight : float
        Prior probability that the source says nothing about this trial.
    vague : Normal, optional
        What is believed then, on the source's scale. Default: unit information, a normal around no effect that is worth
        one participant (Kass and Wasserman 1995): its SD is ``se sqrt(n)``, or 2 on standardised and log-ratio scales
        where ``n`` is not given.
    n : float, optional
        The trial's participants.
    scale : float
        Units of the trial per unit of the source: the SD of the instrument, where the source is standardised and the
        trial is in points. Negative where the trial's instrument points the other way.
    better : {"higher", "lower"}, optional
        Of the trial's units; default that of the source.

    Returns
    -------
    Borrowing

    Raises
    ------
    ModelError
        Where the source has no exact prediction, or no vague component follows from what is stated.

    References
    ----------
    Schmidli H et al. Biometrics 2014;70:1023-1032. doi:10.1111/biom.12242. Kass RE, Wasserman L. J Am Stat Assoc
    1995;90:928-934. doi:10.1080/01621459.1995.10476592

    Examples
    --------
    >>> review = NormalMixture([1.0], [-0.3], [0.1])
    >>> found = robust_map(review, -0.2, 0.2, vague=Normal(0, 2), better="lower")
    >>> round(found.vague_weight, 4), round(found.posterior.mean, 4)
    (0.0297, -0.2776)
    """
    _check(y, se, weight, scale)
    reference = _reference(source, se, n, scale)
    stated = Normal(0.0, reference) if vague is None else Normal(scale * vague.mean, abs(scale) * vague.sd)
    review = source if isinstance(source, NormalMixture) else predictive_of(source)
    review = NormalMixture(review.weights, scale * review.means, abs(scale) * review.sds, review.moments)
    if better is None and isinstance(source, Fit) and source.effects.better is not None:
        same = source.effects.better == ("higher" if scale > 0 else "lower")
        better = "higher" if same else "lower"
    return _borrow(review, y, se, weight, stated, reference, better)


def _check(y: float, se: float, weight: float, scale: float) -> None:
    if not (math.isfinite(y) and math.isfinite(se) and se > 0):
        raise ModelError(f"y = {y}, se = {se}: give a finite estimate with a positive standard error.")
    if not 0 <= weight <= 1:
        raise ModelError(f"weight = {weight}: a probability, such as 0.2.")
    if not (math.isfinite(scale) and scale != 0):
        raise ModelError(f"scale = {scale}: give the units of the trial per unit of the source, such as an SD.")


def _reference(source: Fit | NormalMixture, se: float, n: float | None, scale: float) -> float:
    """What one participant contributes, in the trial's units."""
    if n is not None:
        if not (math.isfinite(n) and n > 0):
            raise ModelError(f"n = {n}: give the number of the trial's participants.")
        return se * math.sqrt(n)
    if isinstance(source, Fit):
        kind = measure(source.effects.measure)
        if not (kind.log or kind.name in ("SMD", "SMDH")):
            raise ModelError(
                f"{kind.name}: what one participant contributes depends on the outcome. Give n, the participants of "
                "the trial."
            )
    return _UNIT_SD * abs(scale)


def _borrow(
    review: NormalMixture, y: float, se: float, weight: float, vague: Normal, reference: float, better: Better | None
) -> Borrowing:
    prior = mix(review, weight, vague)
    posterior, _ = update(prior, y, se)
    alone, _ = update(mix(review, 1.0, vague), y, se)
    alone = NormalMixture(alone.weights[-1:], alone.means[-1:], alone.sds[-1:])
    predictive = NormalMixture(review.weights, review.means, np.hypot(review.sds, se))
    lower, upper, notes = _kept(review, se, weight, vague)
    return Borrowing(
        y,
        se,
        weight,
        vague,
        reference,
        review,
        prior,
        posterior,
        alone,
        vague_weight=float(posterior.weights[-1]),
        ess_source=effective_size(review, reference),
        ess_prior=effective_size(prior, reference),
        ess_gained=reference**2 * (1 / posterior.sd**2 - 1 / alone.sd**2),
        conflict_p=_capped(2 * min(predictive.cdf(y), predictive.sf(y))),
        kept_lower=lower,
        kept_upper=upper,
        better=better,
        notes=notes,
    )


def _capped(p: Any) -> float:
    """A probability whose sum was rounded above one."""
    return min(float(p), 1.0)


def _log_odds(review: NormalMixture, y: FloatArray, se: float, weight: float, vague: Normal) -> FloatArray:
    """Log posterior odds of the source against the vague component, at estimates of shape (Y,)."""
    var = review.sds**2 + se * se
    log = np.log(review.weights) - 0.5 * np.log(var) - 0.5 * (y[:, None] - review.means) ** 2 / var
    peak = log.max(axis=1)
    source = peak + np.log(np.exp(log - peak[:, None]).sum(axis=1))
    wide = vague.sd**2 + se * se
    other = -0.5 * math.log(wide) - 0.5 * (y - vague.mean) ** 2 / wide
    return np.asarray(source - other + math.log1p(-weight) - math.log(weight))


def _kept(
    review: NormalMixture, se: float, weight: float, vague: Normal
) -> tuple[float | None, float | None, tuple[str, ...]]:
    """Estimates between which the source keeps a posterior probability above one half."""
    if weight == 0:
        return None, None, ("with weight 0 the source is never discarded",)
    if weight == 1:
        return None, None, ("with weight 1 there is no source to discard",)
    used = review.weights > 0
    review = NormalMixture(review.weights[used], review.means[used], review.sds[used])
    middle = float(review.quantile(0.5))
    spread = float(np.ptp(review.quantile([0.16, 0.84]))) / 2 + se
    steps = spread * np.sinh(np.linspace(0, math.asinh(_REACH), 2001))
    ends: list[float | None] = []

    def log_odds(y: FloatArray) -> FloatArray:
        return _log_odds(review, y, se, weight, vague)

    if not log_odds(np.array([middle]))[0] > 0:
        return None, None, ("the source is discarded even by an estimate that it predicts; lower the weight",)
    for side in (-1.0, 1.0):
        odds = log_odds(middle + side * steps)
        below = np.flatnonzero(odds <= 0)
        if below.size == 0:
            ends.append(None)
            continue
        # the odds that the source is kept fall from the middle outwards
        outermost = middle + side * steps[[below[0] - 1, below[0]]]
        ends.append(float(roots(log_odds, outermost[0], outermost[1])[0]))
    missing = [name for name, end in zip(("lower", "higher"), ends, strict=True) if end is None]
    notes = (f"no {' or '.join(missing)} estimate discards the source",) if missing else ()
    return ends[0], ends[1], notes


# -- tables ------------------------------------------------------------------------------------------------------------


def borrowing_probabilities(
    found: Borrowing, threshold: Threshold | None = None, form: NormalMixture | None = None
) -> dict[str, float]:
    """Probabilities of benefit and harm in the trial.

    Parameters
    ----------
    found : Borrowing
        With a direction.
    threshold : Threshold, optional
        In the trial's units; of a range the low end counts, a distribution is averaged over.
    form : NormalMixture, optional
        Default the posterior; ``found.alone`` is the trial on its own.

    Returns
    -------
    dict
        ``p_any_benefit p_important_benefit p_important_harm``; not a number without a threshold.

    Raises
    ------
    ModelError
        Where no direction is stated.

    Examples
    --------
    >>> found = robust_map(NormalMixture([1.0], [-0.3], [0.1]), -0.2, 0.2, vague=Normal(0, 2), better="lower")
    >>> round(borrowing_probabilities(found)["p_any_benefit"], 4)
    0.9944
    """
    if found.better is None:
        raise ModelError('benefit has no direction: say whether "higher" or "lower" is better.')
    sign, form = (1 if found.better == "higher" else -1), form or found.posterior
    beyond = form.sf if sign > 0 else form.cdf
    worse = form.cdf if sign > 0 else form.sf
    answer = {"p_any_benefit": _capped(beyond(0.0)), "p_important_benefit": math.nan, "p_important_harm": math.nan}
    if threshold is not None:
        benefit, harm = weighted_values(threshold.benefit_distance)[0], weighted_values(threshold.worse_distance)[0]
        answer["p_important_benefit"] = _capped(benefit.weights @ beyond(sign * benefit.values))
        answer["p_important_harm"] = _capped(harm.weights @ worse(-sign * harm.values))
    return answer


def borrowing_table(
    found: Borrowing,
    threshold: Threshold | None = None,
    *,
    weights: Sequence[float] = WEIGHTS,
    level: float = LEVEL,
) -> pd.DataFrame:
    """The same trial with other prior probabilities that the source says nothing.

    Parameters
    ----------
    found : Borrowing
    threshold : Threshold, optional
        In the trial's units.
    weights : sequence of float
        0 borrows in full, 1 is the trial on its own.
    level : float

    Returns
    -------
    pandas.DataFrame
        Columns ``weight analysis vague_weight mean sd median lower upper p_any_benefit p_important_benefit
        p_important_harm ess_prior ess_gained level note``. ``vague_weight`` is the posterior probability that the
        source says nothing; ``ess_prior`` what the prior is worth in participants, ``ess_gained`` what borrowing adds.

    Raises
    ------
    ModelError
        For a level or a weight that is not between 0 and 1.

    Examples
    --------
    >>> found = robust_map(NormalMixture([1.0], [-0.3], [0.1]), -0.2, 0.2, vague=Normal(0, 2), better="lower")
    >>> borrowing_table(found, weights=(0, 1))["median"].round(3).tolist()
    [-0.28, -0.198]
    """
    if not 0 < level < 1:
        raise ModelError(f"level = {level} is not between 0 and 1; 0.95 is usual.")
    rows = []
    for weight in weights:
        _check(found.y, found.se, weight, 1.0)
        prior = mix(found.source, weight, found.vague)
        posterior, _ = update(prior, found.y, found.se)
        words = {0.0: "review taken at its word", 1.0: "trial on its own"}.get(float(weight), "robust prior")
        rows.append(
            {
                "weight": float(weight),
                "analysis": words,
                "vague_weight": float(posterior.weights[-1]),
                "ess_prior": effective_size(prior, found.unit_sd),
                "ess_gained": found.unit_sd**2 * (1 / posterior.sd**2 - 1 / found.alone.sd**2),
                **_summary(found, posterior, threshold, level),
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def _summary(found: Borrowing, form: NormalMixture, threshold: Threshold | None, level: float) -> dict[str, Any]:
    lower, median, upper = form.quantile(interval_ends(level)).tolist()
    row: dict[str, Any] = {
        "mean": form.mean,
        "sd": form.sd,
        "median": median,
        "lower": lower,
        "upper": upper,
        "level": level,
        "note": "",
    }
    try:
        row |= borrowing_probabilities(found, threshold, form)
    except ModelError as error:
        row["note"] = str(error)
    else:
        row["note"] = "" if threshold is not None else "no threshold is stated"
    return row


def conflict_table(
    found: Borrowing,
    threshold: Threshold | None = None,
    *,
    y: ArrayLike | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """The same trial with other estimates: when the source is kept, and when it is discarded.

    Parameters
    ----------
    y : array, optional
        Estimates in the trial's units. Default: 81 from where the source is discarded on one side to where it is on the
        other and half as far beyond, the trial's own among them.

    Returns
    -------
    pandas.DataFrame
        Columns ``y vague_weight median lower upper p_any_benefit p_important_benefit conflict_p level note``.

    Examples
    --------
    >>> found = robust_map(NormalMixture([1.0], [-0.3], [0.1]), -0.2, 0.2, vague=Normal(0, 2), better="lower")
    >>> conflict_table(found, y=[-0.3, 0.3])["vague_weight"].round(3).tolist()
    [0.027, 0.502]
    """
    points = _default_points(found) if y is None else np.atleast_1d(np.asarray(y, float))
    predictive = NormalMixture(found.source.weights, found.source.means, np.hypot(found.source.sds, found.se))
    rows = []
    for point in points.tolist():
        _check(point, found.se, found.weight, 1.0)
        posterior, _ = update(found.prior, point, found.se)
        rows.append(
            {
                "y": point,
                "vague_weight": float(posterior.weights[-1]),
                "conflict_p": _capped(2 * min(predictive.cdf(point), predictive.sf(point))),
                **_summary(found, posterior, threshold, level),
            }
        )
    return pd.DataFrame(rows, columns=_CONFLICT_COLUMNS)


def _default_points(found: Borrowing) -> FloatArray:
    lower, middle, upper = found.source.quantile([0.001, 0.5, 0.999]).tolist()
    ends = [
        found.kept_lower if found.kept_lower is not None else lower,
        found.kept_upper if found.kept_upper is not None else upper,
    ]
    low = min(middle + 1.5 * (ends[0] - middle), found.y)
    high = max(middle + 1.5 * (ends[1] - middle), found.y)
    return np.unique(np.append(np.linspace(low, high, 80), found.y))
