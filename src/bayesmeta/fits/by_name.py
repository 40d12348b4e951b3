"""The posterior of every quantity of a fit, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.exact import Functional, NodePosterior, linear, log_interval, refined, studies
from bayesmeta.fits.result import Fit
from bayesmeta.marginals import Draws, Marginal, NormalMixture, from_density, mixture_cdf, mixture_quantile

__all__ = [
    "LEVEL",
    "SETTLED",
    "Summary",
    "ask",
    "central",
    "cut_marginal",
    "distribution",
    "functional_of",
    "linear_summary",
    "marginal",
    "quantities",
    "study_summary",
    "summary_of",
    "tail_mcse",
]

FloatArray = NDArray[np.float64]

LEVEL = 0.95
# an answer is given when the full and the half set of nodes agree to this
SETTLED = 1e-8


def central(level: float) -> FloatArray:
    """Probabilities of the lower end, the median and the upper end of a central interval."""
    if not 0 < level < 1:
        raise ModelError(f"level = {level} is not between 0 and 1; 0.95 is usual.")
    return np.array([(1 - level) / 2, 0.5, (1 + level) / 2])


def ask[T](fit: Fit, question: Callable[[NodePosterior], tuple[T, float]]) -> T:
    """Answer a question, with more nodes where the answer had not settled.

    Parameters
    ----------
    question : callable
        From the nodes to the answer and the difference that halving the nodes makes to it.
    """
    quadrature = fit.quadrature
    answer, error = question(quadrature)
    while not error <= SETTLED:
        quadrature = refined(quadrature, fit.effects, fit.model)
        answer, error = question(quadrature)
    return answer


def _mixture(quadrature: NodePosterior, functional: Functional, row: int) -> NormalMixture:
    return NormalMixture(
        quadrature.weights, functional.mean[row], np.sqrt(functional.var[row]), int(functional.moments[row])
    )


def _cut_density(
    quadrature: NodePosterior, functional: Functional, row: int, *, coarse: bool = False
) -> Callable[[FloatArray], FloatArray]:
    """Density of a quantity when one coefficient is truncated; in closed form at each node.

    Given the node, quantity q and truncated coefficient c are jointly normal, so that the density of q is its normal
    density times P(low < c < high | q) / P(low < c < high).
    """
    cut = quadrature.problem.cut
    assert cut is not None
    assert functional.cut_cov is not None
    column = cut.column
    # lighter nodes change no digit of a density that is tabulated to 1e-11
    heavy = quadrature.weights > 1e-16 * quadrature.weights.max()
    weights = (quadrature.coarse if coarse else quadrature.weights)[heavy]
    centre, spread = quadrature.mean[column, heavy], quadrature.cov[column, column, heavy]
    mean, var, cov = functional.mean[row, heavy], functional.var[row, heavy], functional.cut_cov[row, heavy]
    left = np.maximum(spread - cov**2 / var, 0.0)
    whole = log_interval((cut.low - centre) / np.sqrt(spread), (cut.high - centre) / np.sqrt(spread))
    # where the quantity is the truncated coefficient itself, or as good as fixes it, the interval is all or nothing
    fixed = left <= 1e-18 * spread
    sd = np.sqrt(np.where(fixed, 1.0, left))

    def density(x: FloatArray) -> FloatArray:
        step = max(1, int(2e6 // mean.size))
        return np.concatenate([piece(x[start : start + step]) for start in range(0, x.size, step)])

    def piece(x: FloatArray) -> FloatArray:
        z = (x[:, None] - mean) / np.sqrt(var)
        given = centre + cov / np.sqrt(var) * z
        slack = 1e-12 * (abs(given) + np.sqrt(spread))
        all_or_nothing = np.where((given >= cut.low - slack) & (given <= cut.high + slack), 0.0, -np.inf)
        inside = np.where(fixed, all_or_nothing, log_interval((cut.low - given) / sd, (cut.high - given) / sd))
        log = inside - whole - 0.5 * z * z - 0.5 * np.log(2 * np.pi * var)
        return np.exp(np.where(np.isnan(log), -np.inf, log)) @ weights

    return density


def _cut_mean(quadrature: NodePosterior) -> FloatArray:
    """Shift of the truncated coefficient's mean by truncation, at each node, shape (N,)."""
    cut = quadrature.problem.cut
    assert cut is not None
    centre, sd = quadrature.mean[cut.column], np.sqrt(quadrature.cov[cut.column, cut.column])
    low, high = (cut.low - centre) / sd, (cut.high - centre) / sd
    whole = log_interval(low, high)
    # normal densities at the ends over the probability between them, in logs because both may underflow
    with np.errstate(over="ignore"):
        ends = [
            np.exp(-0.5 * np.minimum(end * end, 1e300) - 0.5 * math.log(2 * math.pi) - whole) for end in (low, high)
        ]
    return sd * (ends[0] - ends[1])


def cut_marginal(quadrature: NodePosterior, functional: Functional, row: int, *, coarse: bool = False) -> Marginal:
    """Posterior of a quantity when one coefficient is truncated, tabulated from its closed-form density."""
    cut = quadrature.problem.cut
    assert cut is not None
    assert functional.cut_cov is not None
    slope = functional.cut_cov[row] / quadrature.cov[cut.column, cut.column]
    mean, sd = functional.mean[row] + slope * _cut_mean(quadrature), np.sqrt(functional.var[row])
    used = quadrature.weights > 1e-20
    low, high = float((mean - 9 * sd)[used].min()), float((mean + 9 * sd)[used].max())
    own = quadrature.cov[cut.column, cut.column]
    is_cut = bool(
        np.allclose(functional.cut_cov[row], own, rtol=1e-12) and np.allclose(functional.var[row], own, rtol=1e-12)
    )
    if is_cut:
        low, high = max(low, cut.low), min(high, cut.high)
        if not low < high:
            # all mass lies in the outer tail at one end of the truncation
            low, high = cut.low, cut.high
    inner = [edge for edge in (cut.low, cut.high) if low < edge < high]
    middle = np.linspace(low, high, 9)
    breaks = np.unique(np.concatenate([middle, inner]))
    return from_density(
        _cut_density(quadrature, functional, row, coarse=coarse), breaks, moments=int(functional.moments[row])
    )


def functional_of(
    quadrature: NodePosterior, fit: Fit, name: str, at: Mapping[str, Any] | None
) -> tuple[Functional, int]:
    """Find a quantity by its name: the functional that holds it, and its row there."""
    design = fit.design
    if name in ("mu", "theta_new") or (name == "theta_trial" and fit.model.cluster_tau is not None):
        row, new = design.profile(at)[None, :], np.array([name != "mu"])
        return linear(quadrature, row, new, trial=name == "theta_trial"), 0
    if at:
        raise ModelError(f"{name}: a profile (at) is for mu and theta_new.")
    inside = name[name.find("[") + 1 : -1]
    if name.startswith("beta[") and name.endswith("]"):
        names = [contrast.name for contrast in design.contrasts]
        if inside in names:
            return linear(quadrature, design.contrasts[names.index(inside)].weights[None, :], np.array([False])), 0
    if name.startswith("theta[") and name.endswith("]") and inside in fit.effects.label:
        return studies(quadrature), fit.effects.label.index(inside)
    raise ModelError(f"unknown quantity {name!r}. Allowed: {', '.join(quantities(fit))}.")


def quantities(fit: Fit) -> tuple[str, ...]:
    """Names of all quantities of a fit."""
    head = ("mu", *(() if fit.model.tau is None else ("tau",)), "theta_new")
    betas = tuple(f"beta[{contrast.name}]" for contrast in fit.design.contrasts)
    if fit.exact:
        others = tuple(name for name in fit.quadrature.sd_marginals if name != "tau")
        head = (*head, *(("theta_trial",) if fit.model.cluster_tau is not None else ()))
    else:
        others = tuple(fit.sample.others)
        head = (*head, *(name for name in fit.sample.deviations if name not in head))
    return (*head, *betas, *others, *(f"theta[{label}]" for label in fit.effects.label))


def draws_of(fit: Fit, name: str, at: Mapping[str, Any] | None = None) -> Draws:
    """Posterior of one quantity of a sampled fit."""
    sample, design = fit.sample, fit.design
    if name == "mu" or name in sample.deviations:
        return sample.form(sample.linear(design.profile(at), None if name == "mu" else name))
    if at:
        raise ModelError(f"{name}: a profile (at) is for mu and theta_new.")
    if name == "tau" and fit.model.tau is not None:
        return sample.form(sample.tau, positive=True)
    if name in sample.others:
        return sample.form(sample.others[name], positive=sample.positive(name))
    inside = name[name.find("[") + 1 : -1]
    for contrast in design.contrasts:
        if name == f"beta[{contrast.name}]":
            return sample.form(sample.linear(contrast.weights))
    if name.startswith("theta[") and inside in fit.effects.label:
        return sample.form(sample.theta[fit.effects.label.index(inside)])
    raise ModelError(f"unknown quantity {name!r}. Allowed: {', '.join(quantities(fit))}.")


def marginal(fit: Fit, name: str, at: Mapping[str, Any] | None = None) -> Marginal:
    """Posterior of one quantity.

    Parameters
    ----------
    fit : Fit
    name : str
        ``mu``, ``tau``, ``theta_new``, ``beta[...]`` or ``theta[...]``.
    at : mapping, optional
        Moderator values for ``mu`` and ``theta_new``; those not named are averaged over the observed mix.

    Returns
    -------
    Marginal
        With ``mean sd cdf sf quantile density interval rvs``, on the analysis scale.

    Examples
    --------
    >>> common = bm.fit(effects, bm.Model(mu=bm.Flat(), tau=None))
    >>> round(7 * marginal(common, "mu").mean, 6)
    -1.0
    """
    if name == "tau" and fit.model.tau is None:
        raise ModelError("tau: this is a common-effect model; it has none.")
    if not fit.exact:
        return draws_of(fit, name, at)
    if name in fit.quadrature.sd_marginals:
        if at:
            raise ModelError(f"{name}: a profile (at) is for mu and theta_new.")
        return fit.quadrature.sd_marginals[name]
    functional, row = functional_of(fit.quadrature, fit, name, at)
    if fit.quadrature.problem.cut is not None:
        return cut_marginal(fit.quadrature, functional, row)
    return _mixture(fit.quadrature, functional, row)


class Summary(NamedTuple):
    """Mean, SD and Monte Carlo standard error of the mean, shape (M,); quantiles of shape (M, P)."""

    mean: FloatArray
    sd: FloatArray
    quantiles: FloatArray
    mcse: FloatArray


def linear_summary(fit: Fit, rows: FloatArray, new: Sequence[str | None], p: FloatArray) -> Summary:
    """Summarise linear functions of the coefficients.

    Parameters
    ----------
    rows : array of shape (M, p)
    new : sequence of M names or None
        ``"theta_new"`` (or ``"theta_trial"``) adds the deviation of a new study.
    p : array of shape (P,)
    """
    if not fit.exact:
        sample = fit.sample
        return _summary_of_draws([sample.form(sample.linear(row, n)) for row, n in zip(rows, new, strict=True)], p)
    return ask(fit, lambda quadrature: summary_of(quadrature, _linear(quadrature, rows, new), p))


def _linear(quadrature: NodePosterior, rows: FloatArray, new: Sequence[str | None]) -> Functional:
    """Linear functions of which some are of a new study's estimate and some of a new trial's mean."""
    result = linear(quadrature, rows, np.array([name is not None for name in new]))
    of_trial = np.array([name == "theta_trial" for name in new])
    if not of_trial.any():
        return result
    trial = linear(quadrature, rows, of_trial, trial=True)
    var = np.where(of_trial[:, None], trial.var, result.var)
    return Functional(result.mean, var, result.cut_cov, np.where(of_trial, trial.moments, result.moments))


def study_summary(fit: Fit, p: FloatArray) -> Summary:
    """Summarise the study effects, in row order of the effects."""
    if not fit.exact:
        return _summary_of_draws([fit.sample.form(values) for values in fit.sample.theta], p)
    return ask(fit, lambda quadrature: summary_of(quadrature, studies(quadrature), p))


def _summary_of_draws(forms: Sequence[Draws], p: FloatArray) -> Summary:
    return Summary(
        np.array([form.mean for form in forms]),
        np.array([form.sd for form in forms]),
        np.array([form.quantile(p) for form in forms]),
        np.array([form.mcse for form in forms]),
    )


def tail_mcse(fit: Fit, name: str, x: float, at: Mapping[str, Any] | None = None) -> float:
    """Monte Carlo standard error of a probability that `distribution` gives; zero for an exact fit."""
    return 0.0 if fit.exact else draws_of(fit, name, at).cdf_mcse(x)


def summary_of(quadrature: NodePosterior, functional: Functional, p: FloatArray) -> tuple[Summary, float]:
    """Mean, SD and quantiles of every row, and what halving the nodes would change in probability."""
    if quadrature.problem.cut is not None:
        forms = [cut_marginal(quadrature, functional, row) for row in range(functional.mean.shape[0])]
        summary = Summary(
            np.array([form.mean for form in forms]),
            np.array([form.sd for form in forms]),
            np.array([form.quantile(p) for form in forms]),
            np.zeros(len(forms)),
        )
        # densities at the reported quantiles, in units of the spread, from the full and from the half set of nodes
        change = 0.0
        for row, form in enumerate(forms):
            x = summary.quantiles[row]
            full, half = (_cut_density(quadrature, functional, row, coarse=coarse)(x) for coarse in (False, True))
            here = float(np.abs(full - half).max() * np.ptp(x))
            if here > SETTLED:
                # a sharp density may differ where probabilities agree; they are what is reported
                here = float(np.abs(cut_marginal(quadrature, functional, row, coarse=True).cdf(x) - form.cdf(x)).max())
            change = max(change, here)
        return summary, change
    weights, rows = quadrature.weights, functional.mean.shape[0]
    sds = np.sqrt(functional.var)
    centre = functional.mean @ weights
    spread = np.sqrt((functional.var + (functional.mean - centre[:, None]) ** 2) @ weights)
    quantiles = np.empty((rows, p.size))
    error = 0.0
    step = max(1, int(4e6 // (weights.size * max(p.size, 1))))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        quantiles[part] = mixture_quantile(p, weights, functional.mean[part], sds[part])
        other = mixture_cdf(quantiles[part], quadrature.coarse, functional.mean[part], sds[part])
        error = max(error, float(np.abs(other - p).max(initial=0.0)))
    exists = functional.moments
    return (
        Summary(
            np.where(exists >= 1, centre, math.inf), np.where(exists >= 2, spread, math.inf), quantiles, np.zeros(rows)
        ),
        error,
    )


def distribution(
    fit: Fit, name: str, x: ArrayLike, *, at: Mapping[str, Any] | None = None, upper: bool = False
) -> FloatArray:
    """Distribution function (or upper tail) of a quantity at points ``x``, settled to 1e-8."""
    x = np.asarray(x, float)
    if not fit.exact:
        drawn = draws_of(fit, name, at)
        return drawn.sf(x) if upper else drawn.cdf(x)
    if name == "tau" or name in fit.quadrature.sd_marginals or fit.quadrature.problem.cut is not None:
        form = marginal(fit, name, at)
        return form.sf(x) if upper else form.cdf(x)

    def question(quadrature: NodePosterior) -> tuple[FloatArray, float]:
        functional, row = functional_of(quadrature, fit, name, at)
        means, sds = functional.mean[row], np.sqrt(functional.var[row])
        values = np.empty(x.size)
        error = 0.0
        step = max(1, int(4e6 // means.size))
        flat = x.ravel()
        for start in range(0, flat.size, step):
            part = slice(start, start + step)
            scaled = (flat[part, None] - means) / sds
            tails = special.ndtr(-scaled if upper else scaled)
            values[part] = tails @ quadrature.weights
            error = max(error, float(np.abs(tails @ quadrature.coarse - values[part]).max()))
        return values.reshape(x.shape), error

    return ask(fit, question)
