"""Published pooled results analysed again: the mean, a new study, and the probabilities of benefit of both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL
from bayesmeta.marginals import Gridded, Marginal, NormalMixture
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Better, Threshold
from bayesmeta.priors import Prior, published_priors
from bayesmeta.published.integration import mean_and_heterogeneity, mean_posterior
from bayesmeta.published.rebuilding import Reconstruction, reconstruct
from bayesmeta.published.results import PooledModel, PublishedResult
from bayesmeta.questions import threshold as make_threshold

__all__ = ["NO_THRESHOLD", "TARGETS", "NotAnalysed", "Reanalysis", "reanalyse", "reanalyse_all", "reanalysis_table"]

STATED = "stated"
_NO_DIRECTION = "which direction is benefit is not stated"
NO_THRESHOLD = "no threshold is stated"
#: The quantities reported of every result, in this order.
TARGETS = ("mean effect, as published", "mean effect", "new study", "tau")
_CHANCES = ("p_any_benefit", "p_important_benefit", "p_trivial", "p_important_harm")


@dataclass(frozen=True, slots=True, eq=False)
class Reanalysis:
    """A published result analysed again, on the scale of the analysis.

    Attributes
    ----------
    result : PublishedResult
    rebuilt : Reconstruction
        What was read out of it, with assumptions.
    mu_prior, tau_prior : Prior
    mu_source, tau_source : str
        Where they come from.
    better : {"higher", "lower"} or None
    threshold : Threshold or None
    as_published : NormalMixture
        The mean effect with the standard error as printed.
    mu : NormalMixture or None
        The mean effect with the heterogeneity that I2 leaves possible.
    theta_new : NormalMixture or None
        The effect in a new study.
    tau : Gridded or None
        Heterogeneity.

    Examples
    --------
    >>> found = reanalyse(PublishedResult("pain", "SMD", -0.4, -0.62, -0.18, i2=0, k=7, model="fixed", better="lower"))
    >>> found.probabilities("new study")["p_any_benefit"] < found.probabilities("mean effect")["p_any_benefit"]
    True
    """

    result: PublishedResult
    rebuilt: Reconstruction
    mu_prior: Prior
    tau_prior: Prior
    mu_source: str
    tau_source: str
    better: Better | None
    threshold: Threshold | None
    as_published: NormalMixture
    mu: NormalMixture | None
    theta_new: NormalMixture | None
    tau: Gridded | None

    def marginal(self, target: str) -> Marginal | None:
        """Posterior of one of `TARGETS`, None where it cannot be known."""
        found: dict[str, Marginal | None] = dict(
            zip(TARGETS, (self.as_published, self.mu, self.theta_new, self.tau), strict=True)
        )
        if target not in found:
            raise ModelError(f"unknown target {target!r}. Allowed: {', '.join(TARGETS)}.")
        return found[target]

    def probabilities(self, target: str) -> dict[str, float]:
        """Probabilities of benefit and harm of the mean effect or of a new study; nan where they are not known."""
        chances = dict.fromkeys(_CHANCES, math.nan)
        marginal = self.marginal(target)
        if target == "tau" or marginal is None or self.better is None:
            return chances
        sign = 1 if self.better == "higher" else -1

        def beyond(distance: float, side: int) -> float:
            at = sign * side * distance
            return float(marginal.sf(at) if sign * side > 0 else marginal.cdf(at))

        chances["p_any_benefit"] = beyond(0.0, 1)
        if self.threshold is not None:
            benefit, harm = self.threshold.benefit_distance, self.threshold.worse_distance
            assert isinstance(benefit, float)
            assert isinstance(harm, float)
            chances["p_important_benefit"], chances["p_important_harm"] = beyond(benefit, 1), beyond(harm, -1)
            chances["p_trivial"] = max(0.0, 1.0 - chances["p_important_benefit"] - chances["p_important_harm"])
        return chances

    def note(self, target: str) -> str:
        """Why something of a target is not given; empty where everything is."""
        if self.marginal(target) is None:
            return self.rebuilt.why
        if target == "tau":
            return "a heterogeneity has no direction"
        if self.better is None:
            return self.result.contradiction or _NO_DIRECTION
        return "" if self.threshold is not None else NO_THRESHOLD

    @property
    def unknown(self) -> tuple[str, ...]:
        """What cannot be known from what is printed."""
        lacking = () if self.better is not None else (f"benefit: {self.result.contradiction or _NO_DIRECTION}",)
        return (*lacking, *self.rebuilt.unknown)


@dataclass(frozen=True, slots=True)
class NotAnalysed:
    """A published result that could not be analysed, with the reason and what could be read.

    Examples
    --------
    >>> NotAnalysed(PublishedResult("IL-6", "generic"), "no effect is printed.").rebuilt is None
    True
    """

    result: PublishedResult
    reason: str
    rebuilt: Reconstruction | None = None


def reanalyse(
    result: PublishedResult,
    mu: Prior | None = None,
    tau: Prior | None = None,
    *,
    threshold: float | None = None,
    worse: float | None = None,
    model: PooledModel = "random",
    ref_sd: float | None = None,
) -> Reanalysis:
    """Analyse a published pooled result again, with priors of the mean and of heterogeneity.

    The estimate is ``normal(mu, (s**2 + tau**2) / k)`` and Q, which I2 gives, ``(1 + tau**2 / s**2)`` times a
    chi-squared variable with k - 1 degrees of freedom: the likelihood of k trials of equal precision. The answer is
    that of the trials themselves where their standard errors are equal and I2 is above zero. An I2 of zero says
    ``Q <= k - 1``. Where I2 is not printed tau has its prior, and where k is not, only the mean is analysed. All
    answers are mixtures of normals over nodes of tau.

    Parameters
    ----------
    result : PublishedResult
    mu : Normal or Flat, optional
        Prior of the mean effect on the scale of the analysis; default the recommendation for the measure.
    tau : Prior, optional
        Prior of the heterogeneity; default the recommendation for the measure.
    threshold, worse : float, optional
        Smallest important benefit and harm: positive distances, or for ratio measures ratios.
    model : {"fixed", "random"}
        Assumed where the result does not say.
    ref_sd : float, optional
        A standard deviation of the outcome from outside, that scales default priors.

    Returns
    -------
    Reanalysis

    Raises
    ------
    ModelError
        If no effect is printed, its precision cannot be known, or the measure has no default priors.

    Examples
    --------
    >>> printed = PublishedResult("symptoms", "SMD", -0.62, -0.99, -0.24, i2=71.6, k=7, model="random", better="lower")
    >>> found = reanalyse(printed, threshold=0.2)
    >>> round(found.probabilities("mean effect")["p_important_benefit"], 2)
    0.97
    >>> round(found.probabilities("new study")["p_important_benefit"], 2)
    0.81
    """
    rebuilt = reconstruct(result, model=model)
    return _analyse(result, rebuilt, mu, tau, threshold, worse, ref_sd)


def _analyse(
    result: PublishedResult,
    rebuilt: Reconstruction,
    mu: Prior | None,
    tau: Prior | None,
    threshold: float | None,
    worse: float | None,
    ref_sd: float | None,
) -> Reanalysis:
    sources = [STATED, STATED]
    if mu is None or tau is None:
        advice = published_priors(result.measure, ref_sd=ref_sd)
        mu, sources[0] = (advice.mu, advice.mu_source) if mu is None else (mu, STATED)
        tau, sources[1] = (advice.tau, advice.tau_source) if tau is None else (tau, STATED)
    better = result.better
    mark = None
    if threshold is not None and better is not None:
        mark = make_threshold(threshold, worse=worse, measure_name=result.measure, better=better)
    as_published = mean_posterior(rebuilt.y, rebuilt.se, mu)
    joint = None
    if not rebuilt.why:
        joint = mean_and_heterogeneity(
            rebuilt.y, mu, tau, se=rebuilt.se, s=rebuilt.s, k=rebuilt.k or 1, q=rebuilt.q, at_most=rebuilt.at_most
        )
    known = (None, None, None) if joint is None else (joint.mu, joint.theta_new, joint.tau)
    return Reanalysis(result, rebuilt, mu, tau, sources[0], sources[1], better, mark, as_published, *known)


def reanalyse_all(
    results: Sequence[PublishedResult],
    mu: Prior | None = None,
    tau: Prior | None = None,
    *,
    threshold: float | None = None,
    worse: float | None = None,
    model: PooledModel = "random",
    ref_sd: float | None = None,
) -> tuple[Reanalysis | NotAnalysed, ...]:
    """Analyse every published result again; one that cannot be is kept, with the reason.

    Parameters
    ----------
    results : sequence of PublishedResult
    mu, tau, threshold, worse, model, ref_sd
        As in `reanalyse`, for all results.

    Returns
    -------
    tuple of Reanalysis or NotAnalysed
        In the order of the results.

    Examples
    --------
    >>> reanalyse_all([PublishedResult("IL-6", "generic", lower=38.4, upper=77.6)])[0].reason
    'no effect is printed; the interval 38.4 to 77.6 is not one of it.'
    """
    found: list[Reanalysis | NotAnalysed] = []
    for result in results:
        rebuilt = None
        try:
            rebuilt = reconstruct(result, model=model)
            found.append(_analyse(result, rebuilt, mu, tau, threshold, worse, ref_sd))
        except ModelError as error:
            found.append(NotAnalysed(result, str(error), rebuilt))
    return tuple(found)


def reanalysis_table(items: Sequence[Reanalysis | NotAnalysed], *, level: float = LEVEL) -> pd.DataFrame:
    """Four lines per published result: the mean effect as published, the mean effect, a new study, and tau.

    Parameters
    ----------
    items : sequence of Reanalysis or NotAnalysed
        From `reanalyse_all`.
    level : float
        Of the intervals of the posterior.

    Returns
    -------
    pandas.DataFrame
        Columns ``review outcome subgroup place measure model k i2`` (percent) ``estimate ci_low ci_high`` (as printed,
        natural scale) ``y se s q tau_published`` (what was read, scale of the analysis) ``better threshold target mean
        sd median lower upper p_any_benefit p_important_benefit p_trivial p_important_harm level note``. Posterior
        numbers are on the scale of the analysis; ``note`` says why one is missing.

    Examples
    --------
    >>> printed = PublishedResult("pain", "SMD", -0.4, -0.62, -0.18, i2=0, k=7, model="fixed", better="lower")
    >>> table = reanalysis_table(reanalyse_all([printed], threshold=0.2))
    >>> table["target"].tolist()
    ['mean effect, as published', 'mean effect', 'new study', 'tau']
    >>> bool(table["sd"].iloc[1] > table["sd"].iloc[0])
    True
    """
    tails = interval_ends(level)
    rows: list[dict[str, Any]] = []
    for item in items:
        for target in TARGETS:
            rows.append(
                {
                    **_printed(item),
                    "target": target,
                    **_told(item, target, tails),
                    "level": level,
                    "note": item.reason if isinstance(item, NotAnalysed) else item.note(target),
                }
            )
    return pd.DataFrame(rows)


def _nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _printed(item: Reanalysis | NotAnalysed) -> dict[str, Any]:
    result, rebuilt = item.result, item.rebuilt
    read: Mapping[str, float | None] = (
        dict.fromkeys(("y", "se", "s", "q", "tau_published"))
        if rebuilt is None
        else {"y": rebuilt.y, "se": rebuilt.se, "s": rebuilt.s, "q": rebuilt.q, "tau_published": rebuilt.tau}
    )
    mark = item.threshold if isinstance(item, Reanalysis) else None
    return {
        "review": result.review,
        "outcome": result.outcome,
        "subgroup": result.subgroup,
        "place": result.place,
        "measure": result.measure,
        "model": result.model or "",
        "k": _nan(result.k),
        "i2": _nan(result.i2),
        "estimate": _nan(result.estimate),
        "ci_low": _nan(result.lower),
        "ci_high": _nan(result.upper),
        **{name: _nan(value) for name, value in read.items()},
        "better": result.better or "",
        "threshold": "" if mark is None else mark.name,
    }


def _told(item: Reanalysis | NotAnalysed, target: str, tails: np.ndarray) -> dict[str, float]:
    numbers = dict.fromkeys(("mean", "sd", "median", "lower", "upper"), math.nan)
    if isinstance(item, NotAnalysed):
        return {**numbers, **dict.fromkeys(_CHANCES, math.nan)}
    marginal = item.marginal(target)
    if marginal is not None:
        lower, median, upper = (float(x) for x in marginal.quantile(tails))
        numbers = {"mean": marginal.mean, "sd": marginal.sd, "median": median, "lower": lower, "upper": upper}
    return {**numbers, **item.probabilities(target)}
