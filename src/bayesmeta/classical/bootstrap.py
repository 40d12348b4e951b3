"""Prediction interval from the confidence distribution of tau2, exactly or by seeded draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.polynomial import legendre
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.quadratic_forms import WeightedQ, weighted_q
from bayesmeta.classical.rows import FloatArray
from bayesmeta.errors import ModelError
from bayesmeta.numerics import roots

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayesmeta.effects import Effects

__all__ = ["BootstrapPrediction", "PredictionForm", "bootstrap_prediction"]

PredictionForm = Literal["exact", "sampled"]
FORMS: tuple[PredictionForm, ...] = get_args(PredictionForm)
# the confidence distribution of tau2 is cut where it leaves out this much
TAIL = 1e-13
# nodes and width of panels in log(1 + tau2 / smallest variance)
NODES, WIDTH = 16, 1.0
# step of the trapezoidal rule over the logarithm of the chi-squared variable of t, and its range in nats of density
LOG_STEP, NATS = 0.3, 36.0
# points of the table from which draws of tau2 are interpolated
TABLE = 4000


@dataclass(frozen=True, slots=True, repr=False)
class BootstrapPrediction(ClassicalResult):
    """Confidence and prediction interval by the confidence distribution of tau2.

    Attributes
    ----------
    level : float
    k : int
    estimate : float
        Random-effects mean at the DerSimonian-Laird tau2.
    lower, upper : float
        Confidence interval of the mean.
    pi_lower, pi_upper : float
        Prediction interval of the true effect in a new trial.
    below_null : float
        Predictive probability of a true effect below zero.
    tau2 : float
        DerSimonian-Laird.
    tau2_zero : float
        Confidence that tau2 is zero: the mass at zero of its confidence distribution.
    form : {"exact", "sampled"}
    draws, seed : int or None
        None for the exact form.
    notes : tuple of str
    """

    level: float
    k: int
    estimate: float
    lower: float
    upper: float
    pi_lower: float
    pi_upper: float
    below_null: float
    tau2: float
    tau2_zero: float
    form: PredictionForm
    draws: int | None
    seed: int | None
    notes: tuple[str, ...] = ()


@on_effects(form=FORMS)
def bootstrap_prediction(
    effects: Effects,
    *,
    form: PredictionForm = "exact",
    draws: int = 25_000,
    seed: int = 1,
    level: float = 0.95,
) -> BootstrapPrediction:
    r"""Prediction interval of Nagashima, Noma and Furukawa.

    ``theta_new = m(t) + sqrt(t) Z - sqrt(v(t)) T``, where t has the confidence distribution of tau2,
    ``H(t) = P(Q > q_observed | tau2 = t)`` for Cochran's Q, m(t) is the weighted mean at tau2 = t, v(t) its
    Hartung-Knapp variance, Z standard normal and T Student's t with k - 1 degrees of freedom. The confidence interval
    of the mean leaves Z out.

    R pimeta draws t, Z and T, and calls it a parametric bootstrap. H, the distribution of a weighted sum of
    chi-squared variables, is known exactly here, so that the exact form integrates instead: there is no simulation
    error. The sampled form draws as pimeta does.

    Parameters
    ----------
    effects : Effects
        Independent rows.
    form : {"exact", "sampled"}
    draws, seed : int
        Used only by the sampled form.
    level : float

    Returns
    -------
    BootstrapPrediction

    Raises
    ------
    ModelError
        With blocks, fewer than two estimates, estimates that are all equal, or another form.

    References
    ----------
    Nagashima, Noma & Furukawa 2019, doi:10.1177/0962280218773520.

    Examples
    --------
    >>> trials = bm.Effects(study=list("ABCDEF"), y=[0.1, 0.3, 0.4, 0.9, 0.2, 0.5], se=[0.2] * 6, measure="SMD")
    >>> found = bootstrap_prediction(trials)
    >>> found.pi_lower < found.lower < found.estimate < found.upper < found.pi_upper
    True
    """
    if draws < 1:
        raise ModelError(f"draws = {draws}: at least 1.")
    if effects.blocks:
        raise ModelError("this prediction interval is not defined for estimates that share patients (blocks).")
    if effects.k < 2:
        raise ModelError(f"k = {effects.k}: a prediction interval needs at least two estimates.")
    if np.ptp(effects.y) == 0.0:
        raise ModelError("all estimates are equal: Q is 0, and its confidence distribution says nothing.")
    # about the mean and in units of the typical SE, so that neither offset nor unit matters
    unit = float(np.median(effects.se))
    centre = float(np.mean(effects.y))
    y, se = (effects.y - centre) / unit, effects.se / unit
    found = weighted_q(y, se, se**-2.0)
    estimate = float(_mean(y, se, np.array([found.tau2]))[0][0])
    zero = float(found.exceeds([0.0])[0])
    tail = 0.5 * (1.0 - level)
    null = -centre / unit
    if form == "exact":
        limits, below = _integrated(found, y, se, zero, tail, null)
    else:
        limits, below = _drawn(found, y, se, zero, tail, null, draws, seed)
    lower, upper, pi_lower, pi_upper = (centre + unit * value for value in limits)
    notes: tuple[str, ...] = ()
    if effects.k < 5:
        notes = (f"k = {effects.k}: the confidence distribution of tau2 has a heavy tail, and the interval is wide",)
    return BootstrapPrediction(
        level=level,
        k=effects.k,
        estimate=centre + unit * estimate,
        lower=lower,
        upper=upper,
        pi_lower=pi_lower,
        pi_upper=pi_upper,
        below_null=below,
        tau2=found.tau2 * unit**2,
        tau2_zero=zero,
        form=form,
        draws=None if form == "exact" else draws,
        seed=None if form == "exact" else seed,
        notes=notes,
    )


def _mean(y: FloatArray, se: FloatArray, tau2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted mean and its Hartung-Knapp variance at each tau2."""
    w = 1.0 / (se**2 + tau2[:, None])
    total = w.sum(axis=1)
    mean = (w @ y) / total
    return mean, (w * (y - mean[:, None]) ** 2).sum(axis=1) / (y.size - 1) / total


def _end(found: WeightedQ, smallest: float) -> float:
    """log(1 + tau2 / smallest) beyond which the confidence distribution has next to nothing."""
    end = 1.0
    while end < 100.0 and 1.0 - float(found.exceeds([smallest * np.expm1(end)])[0]) > TAIL:
        end += 1.0
    return end


def _density(found: WeightedQ, smallest: float) -> tuple[FloatArray, FloatArray]:
    """tau2 at nodes and their share of the confidence distribution, without its mass at zero.

    On each panel H is the polynomial through its values at Gauss nodes, and dH that polynomial's derivative.
    """
    nodes, weights = legendre.leggauss(NODES)
    panels = int(np.ceil(_end(found, smallest) / WIDTH))
    x = WIDTH * (np.arange(panels)[:, None] + 0.5 * (1.0 + nodes))
    tau2 = smallest * np.expm1(x)
    distribution = found.exceeds(tau2.ravel()).reshape(x.shape)
    series = np.linalg.solve(legendre.legvander(nodes, NODES - 1), distribution.T)
    share = legendre.legval(nodes, legendre.legder(series)) * weights
    return tau2.ravel(), share.ravel()


def _integrated(
    found: WeightedQ, y: FloatArray, se: FloatArray, zero: float, tail: float, null: float
) -> tuple[tuple[float, ...], float]:
    tau2, share = _density(found, float((se**2).min()))
    tau2, share = np.concatenate([[0.0], tau2]), np.concatenate([[zero], share])
    # what lies beyond the last node belongs to it
    share[-1] += 1.0 - share.sum()
    mean, variance = _mean(y, se, tau2)
    df = y.size - 1
    scale, mass = _t_scales(df)
    spread = np.sqrt(tau2[:, None] + variance[:, None] * scale)

    def confidence(c: float) -> float:
        return float(share @ special.stdtr(df, (c - mean) / np.sqrt(variance)))

    def predictive(c: float) -> float:
        return float(share @ (special.ndtr((c - mean[:, None]) / spread) @ mass))

    limits = tuple(_solve(function, p) for function in (confidence, predictive) for p in (tail, 1.0 - tail))
    return limits, predictive(null)


def _t_scales(df: int) -> tuple[FloatArray, FloatArray]:
    """Student's t as a mixture of normals: their variances and masses, by the trapezoidal rule in log(chi2 / df)."""
    half = 0.5 * df
    # log density of log(chi2/df) relative to its mode at 0: half (x + 1 - exp(x))
    low, high = -1.0, 1.0
    while half * (low + 1.0 - np.exp(low)) > -NATS:
        low -= LOG_STEP
    while half * (high + 1.0 - np.exp(high)) > -NATS:
        high += LOG_STEP
    x = np.arange(low, high + LOG_STEP, LOG_STEP)
    mass = np.exp(half * (x + 1.0 - np.exp(x)))
    return np.exp(-x), mass / mass.sum()


def _solve(function: Callable[[float], float], p: float) -> float:
    """Quantile of a distribution function in units of the typical SE."""
    low, high = -1.0, 1.0
    while function(low) > p:
        low *= 2.0
    while function(high) < p:
        high *= 2.0
    return float(roots(lambda c: np.array([function(float(c[0])) - p]), low, high, width=1e-13)[0])


def _drawn(
    found: WeightedQ, y: FloatArray, se: FloatArray, zero: float, tail: float, null: float, draws: int, seed: int
) -> tuple[tuple[float, ...], float]:
    rng = np.random.default_rng(seed)
    smallest = float((se**2).min())
    x = np.linspace(0.0, _end(found, smallest), TABLE)
    distribution = np.maximum.accumulate(found.exceeds(smallest * np.expm1(x)))
    u = rng.random(draws)
    tau2 = np.where(u <= zero, 0.0, smallest * np.expm1(np.interp(u, distribution, x)))
    mean, variance = _mean(y, se, tau2)
    centre = mean - rng.standard_t(y.size - 1, draws) * np.sqrt(variance)
    new = centre + rng.standard_normal(draws) * np.sqrt(tau2)
    limits = np.concatenate([np.quantile(values, [tail, 1.0 - tail]) for values in (centre, new)])
    return tuple(float(value) for value in limits), float((new < null).mean())
