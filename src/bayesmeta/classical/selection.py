"""Step-function selection models: trials whose p value falls above a step are seen less, or more, often."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import special

from bayesmeta.classical.asymmetry import dependence_note
from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.heterogeneity import chi2_sf
from bayesmeta.classical.intervals import interval
from bayesmeta.classical.printing import MeanResult
from bayesmeta.classical.rows import FloatArray, moments, rows_of
from bayesmeta.classical.tau2 import log_likelihood, tau2_of
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.measures import require_null
from bayesmeta.numerics import ascend

__all__ = ["ALTERNATIVES", "MARK_BEGINS", "SelectionModel", "selection_model"]

Alternative = Literal["auto", "greater", "less", "two-sided"]
ALTERNATIVES: tuple[Alternative, ...] = get_args(Alternative)

# The likelihood is searched on this many means and between-study SDs before Newton steps begin ...
MEANS, SPREADS = 61, 21
# ... from the highest local maxima of that grid, at most this many.
STARTS = 6
# A point from which a Newton step promises a gain in log likelihood above this is no maximum.
TRUSTED = 1e-8
# A relative probability beyond e^12 or below e^-12 is on its way to infinity or zero.
RUNAWAY = 12.0
#: How the note of a weight above 1 begins.
MARK_BEGINS = "a weight of"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SelectionModel(MeanResult):
    """A selection model. Undefined numbers are None, and `notes` says why.

    Beside what a `MeanResult` has: the mean effect before selection, with its SE from the observed information.

    Attributes
    ----------
    steps : tuple of float
        Where the probability of being seen changes, on the scale of p.
    alternative : {"greater", "less", "two-sided"}
        Which p: one-sided for positive or negative effects, or two-sided.
    trials : tuple of int
        Trials with p in each of the J intervals.
    tau2, se_tau2 : float, float or None
        Between-study variance before selection.
    delta, se_delta : tuple of float, tuple of float or None
        Probability of being seen relative to the first interval, whose delta is 1.
    loglik, loglik_unselected : float
        Maximum, and maximum with every delta 1 (the random-effects model by ML).
    lrt, lrt_df, lrt_p : float, int, float
        Likelihood-ratio test of no selection.
    lrt_tau2, lrt_tau2_p : float
        Of tau2 = 0, by chi2(1); as tau2 is at its bound, half this p value is nearer the truth.
    unselected, tau2_unselected : float
        Mean and tau2 with every delta 1.
    mark : str or None
        ``"a weight above 1"`` where a later interval is estimated to be seen more often than the first, which is not
        what selection for small p values does.
    bounded_estimate, bounded_se, bounded_lower, bounded_upper : float
        The mean where every delta is at most 1; the unbounded one where that is so anyway. With one step and the delta
        at its bound it is the mean without selection.
    bounded_delta : tuple of float
    bounded_lrt : float
    bounded_lrt_p : float or None
        Likelihood-ratio test of no selection against deltas of at most 1: an even mixture of 0 and chi2(1) (Self &
        Liang 1987, doi:10.1080/01621459.1987.10478472). None with several steps, where the mixture depends on the data.
    """

    steps: tuple[float, ...]
    alternative: str
    trials: tuple[int, ...]
    tau2: float
    se_tau2: float | None
    delta: tuple[float, ...]
    se_delta: tuple[float | None, ...]
    loglik: float
    loglik_unselected: float
    lrt: float
    lrt_df: int
    lrt_p: float
    lrt_tau2: float
    lrt_tau2_p: float
    unselected: float
    tau2_unselected: float
    mark: str | None = None
    bounded_estimate: float
    bounded_se: float
    bounded_lower: float
    bounded_upper: float
    bounded_delta: tuple[float, ...]
    bounded_lrt: float
    bounded_lrt_p: float | None


@on_effects(alternative=ALTERNATIVES)
def selection_model(
    effects: Effects,
    *,
    steps: Sequence[float] = (0.025,),
    alternative: Alternative = "auto",
    level: float = 0.95,
) -> SelectionModel:
    """Fit a step-function selection model by maximum likelihood; one step makes the three-parameter model.

    Effects are ``y ~ N(mu, se^2 + tau2)``, and a trial is seen with a probability that is constant between steps of its
    p value (``selmodel(type="stepfun")`` of R metafor, by Newton's method with exact derivatives). As there, a
    probability may exceed that of the first interval; `mark` says so, and the result with every probability at most
    that of the first stands beside it.

    Parameters
    ----------
    effects : Effects
        Rows are taken as independent; `notes` says so where they are not.
    steps : sequence of float
        p values, between 0 and 1, in ascending order. 1 need not be given.
    alternative : {"auto", "greater", "less", "two-sided"}
        Which p decides. "greater" and "less" are one-sided, small for positive and negative effects. "auto" takes the
        better direction where ``effects.better`` names one, else that of the unadjusted mean. (metafor's default is
        "greater" whatever the data.)
    level : float

    Returns
    -------
    SelectionModel

    Raises
    ------
    ModelError
        For fewer than three estimates, wrong steps, or an interval of p without a trial: nothing is then known of its
        probability.
    InferenceError
        If the likelihood has no maximum, or none was found.

    References
    ----------
    Vevea & Hedges 1995, doi:10.1007/BF02294384; three parameters: McShane 2016, doi:10.1177/1745691616662243.

    Examples
    --------
    >>> trials = bm.Effects([f"trial {i}" for i in range(10)], [0.12, 0.31, 0.5, 0.4, 0.8, 0.9, 0.1, 0.6, -0.1, 0.2],
    ...                     [0.1, 0.15, 0.2, 0.25, 0.35, 0.4, 0.12, 0.28, 0.2, 0.11], measure="SMD")
    >>> fit = selection_model(trials)
    >>> fit.alternative, fit.trials, round(fit.estimate, 4), round(fit.delta[1], 3)
    ('greater', (5, 5), 0.0858, 0.075)
    """
    require_null(effects.measure, "the selection model")
    steps = _checked_steps(steps)
    k = effects.k
    if k < 3:
        raise ModelError(f"selection model: k = {k} estimates for three parameters or more. At least 3 are needed.")
    plain_rows = rows_of(effects.y, effects.se)
    tau2_plain = tau2_of(plain_rows, "ML")
    at = moments(plain_rows, [tau2_plain.value])
    unselected = float(plain_rows.start[0] + at.gamma[0, 0] / plain_rows.triangle[0, 0])
    loglik_plain = float(log_likelihood(plain_rows, at, restricted=False)[0])
    notes: tuple[str, ...] = ()
    if alternative == "auto":
        favoured = {"higher": "greater", "lower": "less", None: "greater" if unselected >= 0 else "less"}
        alternative = favoured[effects.better]  # type: ignore[assignment]
        why = "the sign of the unadjusted mean" if effects.better is None else f"better = {effects.better!r}"
        notes += (f"alternative: {alternative}, from {why}",)
    flip = -1.0 if alternative == "less" else 1.0
    scale = float(np.median(effects.se))
    problem = _problem(flip * effects.y / scale, effects.se / scale, steps, two=alternative == "two-sided")
    if (problem.trials == 0).any():
        raise ModelError(_empty(steps, problem.trials, alternative))
    best, without, bounded = _maximum(problem, flip * unselected / scale, tau2_plain.value / scale**2)
    at_zero = best.tau2 == 0.0
    covariance = _inverse(-best.hessian[np.ix_(best.free, best.free)])
    if covariance is None:
        raise InferenceError(
            "selection model: the likelihood is flat at its maximum, so that nothing has a standard error. "
            "Use fewer steps."
        )
    errors = np.full(best.hessian.shape[0], np.nan)
    errors[best.free] = np.sqrt(np.diagonal(covariance))
    inside = _inverse(-bounded.hessian[np.ix_(bounded.free, bounded.free)])
    # the mean is the first coordinate, and always free
    bounded_se = math.nan if inside is None else math.sqrt(inside[0, 0]) * scale
    bounded_mean = flip * bounded.mu * scale
    bounded_ends = interval(bounded_mean, bounded_se, level, None)
    bounded_lrt = max(0.0, 2.0 * (bounded.loglik - k * math.log(scale) - loglik_plain))
    delta = np.exp(best.eta)
    loglik = best.loglik - k * math.log(scale)
    lrt = max(0.0, 2.0 * (loglik - loglik_plain))
    lrt_tau2 = max(0.0, 2.0 * (best.loglik - without.loglik))
    found = interval(flip * best.mu * scale, float(errors[0]) * scale, level, None)
    if at_zero:
        notes += ("tau2 is at its bound 0: it has no standard error, and the others take it as known",)
    mark = None
    if delta.max() > 1.0:
        mark = "a weight above 1"
        notes += (
            f"{MARK_BEGINS} {delta.max():.3g} says that trials with larger p values are seen more often, which is not "
            f"selection for small ones: with weights of at most 1 the mean is {bounded_mean:.3f} "
            f"({bounded_ends.lower:.3f} to {bounded_ends.upper:.3f})",
        )
    notes += dependence_note(effects)
    if min(problem.trials) < 4:
        shown = ", ".join(map(str, problem.trials))
        notes += (f"trials per interval of p: {shown}; an interval with fewer than four settles little",)
    return SelectionModel(
        steps=steps,
        alternative=alternative,
        level=level,
        k=k,
        trials=tuple(int(count) for count in problem.trials),
        estimate=flip * best.mu * scale,
        se=float(errors[0]) * scale,
        **found._asdict(),
        tau2=best.tau2 * scale**2,
        se_tau2=None if at_zero else float(errors[1]) * scale**2,
        delta=(1.0, *map(float, delta)),
        se_delta=(None, *map(float, delta * errors[2:])),
        loglik=loglik,
        loglik_unselected=loglik_plain,
        lrt=lrt,
        lrt_df=len(steps),
        lrt_p=chi2_sf(lrt, len(steps)),
        lrt_tau2=lrt_tau2,
        lrt_tau2_p=chi2_sf(lrt_tau2, 1),
        unselected=unselected,
        tau2_unselected=tau2_plain.value,
        mark=mark,
        bounded_estimate=bounded_mean,
        bounded_se=bounded_se,
        bounded_lower=bounded_ends.lower,
        bounded_upper=bounded_ends.upper,
        bounded_delta=(1.0, *map(float, np.exp(bounded.eta))),
        bounded_lrt=bounded_lrt,
        bounded_lrt_p=_half_mixture(bounded_lrt) if len(steps) == 1 else None,
        notes=notes,
    )


def _half_mixture(lrt: float) -> float:
    """P of a likelihood ratio at least as large under an even mixture of 0 and chi2(1)."""
    return 1.0 if lrt == 0.0 else 0.5 * chi2_sf(lrt, 1)


def _checked_steps(steps: Sequence[float]) -> tuple[float, ...]:
    found = tuple(float(step) for step in steps)
    if found and found[-1] == 1.0:
        found = found[:-1]
    if not found or any(not 0.0 < step < 1.0 for step in found) or list(found) != sorted(set(found)):
        raise ModelError(f"steps = {tuple(steps)}: give p values between 0 and 1 in ascending order, such as (0.025,).")
    return found


def _empty(steps: tuple[float, ...], trials: np.ndarray, alternative: str) -> str:
    edges = (0.0, *steps, 1.0)
    where = ", ".join(f"{edges[i]:g} to {edges[i + 1]:g}" for i in np.flatnonzero(trials == 0))
    return (
        f"selection model ({alternative}): no trial has a p value in {where}, and the probability of being seen there "
        "is not estimable. Use other steps or another alternative."
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """y and se in units of the median se; cuts of y that part the cells of constant weight, ascending.

    `member` (cells, J) says to which interval of p a cell belongs, `trials` (J,) how many trials have p there.
    """

    y: FloatArray
    variance: FloatArray
    cuts: FloatArray
    member: FloatArray
    trials: np.ndarray


def _problem(y: FloatArray, se: FloatArray, steps: tuple[float, ...], *, two: bool) -> _Problem:
    count = len(steps)
    tail = np.array(steps) * (0.5 if two else 1.0)
    critical = -special.ndtri(tail)
    p = special.ndtr(-np.abs(y / se)) * 2.0 if two else special.ndtr(-y / se)
    group = np.searchsorted(np.array(steps), p, side="left")
    if two:
        z = np.concatenate([-critical, critical[::-1]])
        cells = np.concatenate([np.arange(count + 1), np.arange(count)[::-1]])
    else:
        z = critical[::-1]
        cells = np.arange(count + 1)[::-1]
    return _Problem(
        y=y,
        variance=se**2,
        cuts=se[:, None] * z,
        member=np.eye(count + 1)[cells],
        trials=np.bincount(group, minlength=count + 1),
    )


def _cells(problem: _Problem, mu: FloatArray, tau2: FloatArray) -> FloatArray:
    """Probability of each interval of p, shape (G, k, J), at G pairs of mean and tau2."""
    spread = np.sqrt(problem.variance + tau2[:, None])
    u = (problem.cuts - mu[:, None, None]) / spread[:, :, None]
    # each difference in the tail where both terms are small, so that nothing is lost far from the mean
    below, above = special.ndtr(u), special.ndtr(-u)
    middle = np.where(u[..., :-1] > 0, above[..., :-1] - above[..., 1:], below[..., 1:] - below[..., :-1])
    cells = np.concatenate([below[..., :1], middle, above[..., -1:]], axis=-1)
    return np.asarray(cells @ problem.member, float)


def _profile(problem: _Problem, mu: FloatArray, tau2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log likelihood maximised over the deltas, which is concave in their logarithms, and those, at G points."""
    cells = _cells(problem, mu, tau2)
    counts = problem.trials[1:].astype(float)
    variance = problem.variance + tau2[:, None]
    normal = -0.5 * (np.log(2.0 * np.pi * variance) + (problem.y - mu[:, None]) ** 2 / variance).sum(axis=1)

    def at(eta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        weighted = cells * np.exp(np.concatenate([np.zeros((len(eta), 1)), eta], axis=1))[:, None, :]
        total = weighted.sum(axis=2)
        share = (weighted / total[:, :, None])[:, :, 1:]
        seen = share.sum(axis=1)
        information = seen[:, :, None] * np.eye(len(counts)) - np.einsum("gkj,gki->gji", share, share)
        return normal + eta @ counts - np.log(total).sum(axis=1), counts - seen, information

    with np.errstate(all="ignore"):
        eta = ascend(at, np.zeros((len(mu), len(counts))), most=2.0, settled=1e-4, steps=40)[0]
        best = at(eta)[0]
    return np.where(np.isfinite(best), best, -np.inf), eta


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """A point of the parameter space, with the log likelihood and its derivatives there."""

    mu: float
    tau2: float
    eta: FloatArray
    loglik: float
    gradient: FloatArray
    hessian: FloatArray
    free: np.ndarray


def _at(problem: _Problem, theta: FloatArray, *, fixed: bool = False) -> _Point:
    """Log likelihood, gradient and Hessian in mu, tau2 and log delta."""
    mu, tau2, eta = float(theta[0]), float(theta[1]), theta[2:]
    variance = problem.variance + tau2
    s = np.sqrt(variance)
    e = problem.y - mu
    u = (problem.cuts - mu) / s[:, None]
    density = np.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)
    cells = _cells(problem, np.array([mu]), np.array([tau2]))[0]
    # derivatives of the distribution function at each cut; those of a cell are differences, zero at both infinities
    s1, s2 = s[:, None], variance[:, None]
    d_mu, d_tau = -density / s1, -0.5 * u * density / s2
    curves = (
        d_mu,
        d_tau,
        -u * density / s2,
        0.5 * density * (1.0 - u * u) / (s2 * s1),
        0.25 * u * density * (3.0 - u * u) / s2**2,
    )
    zero = np.zeros((len(s), 1))
    b_mu, b_tau, b_mm, b_mt, b_tt = (
        np.diff(np.concatenate([zero, curve, zero], axis=1), axis=1) @ problem.member for curve in curves
    )
    delta = np.exp(np.concatenate([[0.0], eta]))
    total = cells @ delta
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (cells * delta / total[:, None])[:, 1:]
        a_mu, a_tau = b_mu @ delta / total, b_tau @ delta / total
        a_mm, a_mt, a_tt = b_mm @ delta / total, b_mt @ delta / total, b_tt @ delta / total
        e_mu, e_tau = (b_mu * delta)[:, 1:] / total[:, None], (b_tau * delta)[:, 1:] / total[:, None]
        loglik = float(
            eta @ problem.trials[1:]
            - 0.5 * (np.log(2.0 * np.pi * variance) + e * e / variance).sum()
            - np.log(total).sum()
        )
    count = len(theta)
    gradient = np.empty(count)
    gradient[0] = (e / variance - a_mu).sum()
    gradient[1] = (-0.5 / variance + 0.5 * (e / variance) ** 2 - a_tau).sum()
    gradient[2:] = problem.trials[1:] - share.sum(axis=0)
    hessian = np.empty((count, count))
    hessian[0, 0] = (-1.0 / variance - a_mm + a_mu**2).sum()
    hessian[0, 1] = (-e / variance**2 - a_mt + a_mu * a_tau).sum()
    hessian[1, 1] = (0.5 / variance**2 - e**2 / variance**3 - a_tt + a_tau**2).sum()
    hessian[0, 2:] = (-e_mu + a_mu[:, None] * share).sum(axis=0)
    hessian[1, 2:] = (-e_tau + a_tau[:, None] * share).sum(axis=0)
    hessian[2:, 2:] = share.T @ share - np.diag(share.sum(axis=0))
    hessian[1, 0] = hessian[0, 1]
    hessian[2:, :2] = hessian[:2, 2:].T
    free = np.ones(count, bool)
    free[1] = not (fixed or (tau2 == 0.0 and gradient[1] <= 0.0))
    if not np.isfinite(loglik):
        loglik = -math.inf
    return _Point(mu, tau2, eta, loglik, gradient, hessian, free)


def _inverse(matrix: FloatArray) -> FloatArray | None:
    """Inverse of a positive definite matrix scaled to a unit diagonal first; None if it is not one."""
    diagonal = np.diagonal(matrix)
    if not np.isfinite(matrix).all() or (diagonal <= 0).any():
        return None
    size = np.sqrt(diagonal)
    scaled = matrix / np.outer(size, size)
    if np.linalg.eigvalsh(scaled)[0] <= 1e-13:
        return None
    return np.asarray(np.linalg.inv(scaled) / np.outer(size, size), float)


def _climb(problem: _Problem, theta: FloatArray, *, fixed: bool = False, bounded: bool = False) -> _Point | None:
    """The maximum uphill from a point, with tau2 >= 0; None where it runs away or does not arrive.

    ``bounded`` keeps every log delta at or below 0, by climbing in their negatives.
    """
    turn = np.where((np.arange(len(theta)) > 1) & bounded, -1.0, 1.0)

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        found = _at(problem, turn * x[0], fixed=fixed)
        inside = np.abs(found.eta).max() <= RUNAWAY
        value = np.array([found.loglik if inside else -math.inf])
        return value, (turn * found.gradient)[None], -(np.outer(turn, turn) * found.hessian)[None]

    low, free = np.full(len(theta), -np.inf), np.ones(len(theta), bool)
    low[1], free[1] = 0.0, not fixed
    low[turn < 0] = 0.0
    most = np.where(np.arange(len(theta)) < 2, np.inf, 3.0)
    with np.errstate(all="ignore"):
        start = np.maximum(turn * theta, low)
        point = _at(problem, turn * ascend(at, start[None], low=low, most=most, free=free)[0][0], fixed=fixed)
    if bounded:
        held = np.concatenate([[False, False], (point.eta == 0.0) & (point.gradient[2:] >= 0.0)])
        point = dataclasses.replace(point, free=point.free & ~held)
    covariance = _inverse(-point.hessian[np.ix_(point.free, point.free)])
    if not math.isfinite(point.loglik) or covariance is None or np.abs(point.eta).max() > RUNAWAY:
        return None
    gradient = point.gradient[point.free]
    return point if gradient @ covariance @ gradient < TRUSTED else None


def _maximum(problem: _Problem, mu: float, tau2: float) -> tuple[_Point, _Point, _Point]:
    """The highest maximum, that with tau2 = 0, and that with every delta at most 1; in units of the median se."""
    low, high = min(0.0, float(problem.y.min())), max(0.0, float(problem.y.max()))
    span = high - low
    means = np.linspace(low - span, high + span, MEANS)
    smallest = 0.1 * float(np.sqrt(problem.variance.min()))
    spreads = np.concatenate([[0.0], np.geomspace(smallest, max(2.0 * span, 2.0 * smallest), SPREADS - 1)])
    grid_mu, grid_tau = np.meshgrid(means, spreads, indexing="ij")
    values, eta = _profile(problem, grid_mu.ravel(), grid_tau.ravel() ** 2)
    surface = values.reshape(grid_mu.shape)
    padded = np.pad(surface, 1, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).max(axis=(2, 3))
    tops = np.flatnonzero((surface >= around).ravel() & np.isfinite(values))
    tops = tops[np.argsort(-values[tops])][:STARTS]
    starts = [np.concatenate([[grid_mu.ravel()[i], grid_tau.ravel()[i] ** 2], eta[i]]) for i in tops]
    starts.append(np.concatenate([[mu, tau2], np.zeros(len(problem.trials) - 1)]))
    zero_values = surface[:, 0]
    first = int(np.argmax(zero_values)) * SPREADS
    # without heterogeneity the maximum may lie between two nodes, next to a trial of vastly greater precision
    common = float((problem.y / problem.variance).sum() / (1.0 / problem.variance).sum())
    flat = starts[-1][2:]
    zeros = [np.concatenate([[grid_mu.ravel()[first], 0.0], eta[first]])]
    zeros += [np.array([mean, 0.0, *flat]) for mean in (mu, common)]
    without = [point for start in zeros if (point := _climb(problem, start, fixed=True)) is not None]
    found = [point for start in (*starts, zeros[-1]) if (point := _climb(problem, start)) is not None]
    highest = max((point.loglik for point in found), default=-math.inf)
    if not found or not without or float(values.max()) > highest + 1e-6:
        raise InferenceError(
            "selection model: no maximum of the likelihood was found; it is too flat, or rises as a probability goes "
            "to zero or infinity. These trials cannot tell selection from a small effect. Use fewer steps."
        )
    best = max(found, key=lambda point: point.loglik)
    bounded = best
    if best.eta.max() > 0.0:
        inside = [
            point for start in (*starts, zeros[-1]) if (point := _climb(problem, start, bounded=True)) is not None
        ]
        if not inside:
            raise InferenceError(
                "selection model: no maximum with weights of at most 1 was found. Use fewer steps, or other ones."
            )
        bounded = max(inside, key=lambda point: point.loglik)
    return best, max(without, key=lambda point: point.loglik), bounded
