"""Random-effects odds ratios from the counts themselves: binomial and hypergeometric likelihoods, normal effects."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.classical.baselines import random_baselines
from bayesmeta.classical.heterogeneity import chi2_sf
from bayesmeta.classical.intervals import check_level, interval
from bayesmeta.classical.printing import MeanResult
from bayesmeta.classical.rows import FloatArray
from bayesmeta.classical.two_by_two import counts_of, no_contrast
from bayesmeta.errors import InferenceError, ModelError, find_name
from bayesmeta.numerics import ascend, newton

if TYPE_CHECKING:
    from bayesmeta.effects import Effects

__all__ = ["BINOMIAL_MODELS", "BinomialModel", "BinomialNormalFit", "binomial_normal"]

BinomialModel = Literal["CM.EL", "CM.AL", "UM.FS", "UM.RS"]
BINOMIAL_MODELS: tuple[BinomialModel, ...] = get_args(BinomialModel)

# The integrand is cut where it is exp(-DROP) of its maximum, and summed at NODES equidistant points: the trapezoidal
# rule converges exponentially for analytic integrands that vanish at both ends.
DROP = 36.0
NODES = 161
# Nodes are doubled where that moves the log likelihood by more than this.
SETTLED = 1e-9
STEP = 1e-12
# Steps that stay below this without ending are rounding.
ACCEPTED = 1e-8
MAX_STEPS = 100
# Starting values of tau on the log odds scale, beside zero.
STARTS = (0.05, 0.15, 0.4, 0.8, 1.6, 3.2)
# ... which are compared with fewer nodes, their means to this accuracy.
ROUGH_NODES, ROUGH = 41, 1e-3
# Entries of one array of the exact likelihood; beyond, trials are done one by one.
CHUNK = 2_000_000

# theta of shape (k, n) to the log likelihood and its first two derivatives, each of that shape
Likelihood = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]
# alpha (k,), theta (k, n) to l, l_theta, l_theta_theta, l_alpha, l_alpha_alpha, l_alpha_theta
Parts = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
Joint = Callable[[FloatArray, FloatArray], Parts]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BinomialNormalFit(MeanResult):
    """A binomial-normal (generalised linear mixed) model of odds ratios. Undefined numbers are None; see `notes`.

    Beside what a `MeanResult` has: a mean log odds ratio, with its SE from the observed information.

    Attributes
    ----------
    model : str
    double_zero : int
        Tables without an event, or with one in everybody, in both arms: they have no part in the likelihood.
    tau2 : float
        Variance of log odds ratios between trials, by maximum likelihood.
    se_tau2 : float or None
        From the observed information; None where tau2 is zero.
    baseline_tau2 : float or None
        UM.RS: variance of baselines between trials.
    loglik, loglik_common : float
        At the maximum, and at that of the common-effect model.
    lrt, lrt_p : float
        Likelihood-ratio test of tau2 = 0, p from the mixture of a point at 0 and chi2(1) in equal parts (Self & Liang
        1987).
    lower_lr, upper_lr : float or None
        Profile-likelihood interval of the mean, where asked for.
    """

    model: BinomialModel
    double_zero: int
    tau2: float
    se_tau2: float | None
    baseline_tau2: float | None
    loglik: float
    loglik_common: float
    lrt: float
    lrt_p: float
    lower_lr: float | None
    upper_lr: float | None


def binomial_normal(
    source: Effects | ArrayLike, *, model: BinomialModel = "CM.EL", level: float = 0.95, profile: bool = False
) -> BinomialNormalFit:
    r"""Maximum likelihood for log odds ratios ``theta_i ~ N(mu, tau2)`` given counts, without continuity corrections.

    - CM.EL: events of the treated arm given those of both arms: Fisher's noncentral hypergeometric distribution.
    - CM.AL: its approximation where events are rare, ``Binomial(a + c, expit(log(n_t / n_c) + theta))``.
    - UM.FS: two binomial arms, ``logit p = alpha_i +- theta_i / 2`` with a fixed ``alpha_i`` per trial.
    - UM.RS: the same with ``alpha_i`` normally distributed, independent of ``theta_i``. Tables without a contrast would
      speak of baselines here; they are left out, as metafor does.

    Integrals over ``theta_i`` are computed by the trapezoidal rule on the stretch that matters (UM.RS: by adaptive
    Gauss-Hermite quadrature), to about ten digits; derivatives are exact. As metafor's ``rma.glmm`` with many nodes,
    which approximates both and for UM.RS has Laplace's approximation only.

    Parameters
    ----------
    source : Effects or array of shape (k, 4)
        Effects with counts, or events_t, n_t, events_c, n_c per row.
    model : {"CM.EL", "CM.AL", "UM.FS", "UM.RS"}
    level : float
    profile : bool
        Also give the profile-likelihood interval of the mean; not for UM.RS.

    Returns
    -------
    BinomialNormalFit

    Raises
    ------
    ModelError
        If counts are not counts, fewer than two tables have a contrast, or all of them have their events in one arm, so
        that the estimate is infinite.

    References
    ----------
    Stijnen, Hamza & Ozdemir 2010, doi:10.1002/sim.4040; Jackson et al. 2018, doi:10.1002/sim.7588; Self & Liang 1987,
    doi:10.1080/01621459.1987.10478472.

    Examples
    --------
    >>> fit = binomial_normal([[14, 61, 15, 20], [16, 28, 19, 28], [3, 18, 8, 12], [9, 54, 29, 54], [4, 36, 11, 36],
    ...                        [0, 50, 3, 34]])
    >>> round(fit.estimate, 3), round(fit.tau2, 3)
    (-1.616, 0.106)
    """
    check_level(level)
    model = find_name("binomial-normal model", model, BINOMIAL_MODELS)
    counts = counts_of(source)
    spent = no_contrast(counts)
    kept = counts[~spent]
    if kept.shape[0] < 2:
        raise ModelError(
            f"{model}: fewer than two tables have both an event and a person without one; nothing says how trials "
            "differ. Use mantel_haenszel, or a Bayesian model with a prior on tau."
        )
    a, n_t, c, n_c = kept.T
    least, most = np.maximum(0.0, a + c - n_c), np.minimum(n_t, a + c)
    if model == "CM.AL":
        least, most = np.zeros_like(a), a + c
    if (a == least).all() or (a == most).all():
        side = "control" if (a == least).all() else "treated"
        raise ModelError(
            f"{model}: as many events as possible are in the {side} arm of every table: the odds ratio has no finite "
            "maximum. Use a Bayesian model with a prior on mu, or risk differences."
        )
    limits: tuple[float | None, float | None] = (None, None)
    notes: tuple[str, ...] = ()
    if model == "UM.RS":
        found = _random(kept)
        if profile:
            notes += ("UM.RS: the profile-likelihood interval is not computed for this model",)
    else:
        problem = _Problem.of(kept, model)
        common = _best(problem, 0.0, _start(kept), problem.alpha)
        point = _maximum(problem, common)
        free = [0] if point.tau == 0.0 else [0, 1]
        found = _Found(point.mu, point.tau, *_errors(point.hessian, free), point.loglik, common.loglik, None)
        if profile:
            limits = _likelihood_limits(problem, point, found.se, level)
    if found.tau == 0.0:
        notes += ("tau2 = 0: the normal interval is that of the common-effect model",)
    if spent.any():
        notes += (f"{int(spent.sum())} without an event, or with one in everybody, in both arms: without weight",)
    normal = interval(found.mu, found.se, level, None)
    lrt = max(0.0, 2.0 * (found.loglik - found.loglik_common))
    return BinomialNormalFit(
        model=model,
        level=level,
        k=counts.shape[0],
        double_zero=int(spent.sum()),
        estimate=found.mu,
        se=found.se,
        **normal._asdict(),
        tau2=found.tau**2,
        se_tau2=None if found.se_tau is None else 2.0 * found.tau * found.se_tau,
        baseline_tau2=found.baseline_tau2,
        loglik=found.loglik,
        loglik_common=found.loglik_common,
        lrt=lrt,
        lrt_p=0.5 * chi2_sf(lrt, 1) if lrt > 0 else 1.0,
        lower_lr=limits[0],
        upper_lr=limits[1],
        notes=notes,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    mu: float
    tau: float
    se: float
    se_tau: float | None
    loglik: float
    loglik_common: float
    baseline_tau2: float | None


def _errors(hessian: FloatArray, free: list[int]) -> tuple[float, float | None]:
    """Standard errors of mu and tau (the first two parameters) with the others at their estimates or on a boundary."""
    vcov = np.linalg.inv(-hessian[np.ix_(free, free)])
    return math.sqrt(vcov[0, 0]), math.sqrt(vcov[1, 1]) if 1 in free else None


def _random(counts: FloatArray) -> _Found:
    common, point = random_baselines(counts, common=True), random_baselines(counts)
    free = [i for i, value in enumerate((1.0, point.tau, 1.0, point.sigma)) if value > 0.0]
    errors = _errors(point.hessian, free)
    return _Found(point.mu, point.tau, *errors, point.loglik, common.loglik, point.sigma**2)


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """The likelihood at (mu, tau), trial constants at their best, and its first two derivatives in (mu, tau)."""

    mu: float
    tau: float
    loglik: float
    gradient: FloatArray
    hessian: FloatArray
    alpha: FloatArray
    slope_tau2: float


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    likelihood: Joint
    alpha: FloatArray
    profiled: bool

    @classmethod
    def of(cls, counts: FloatArray, model: BinomialModel) -> _Problem:
        a, n_t, c, n_c = counts.T
        k = a.size
        if model == "UM.FS":
            middle = special.logit((a + c + 0.5) / (n_t + n_c + 1.0))
            return cls(_two_arms(counts), middle, True)
        one = _exact(counts) if model == "CM.EL" else _approximate(counts)

        def joint(_: FloatArray, theta: FloatArray) -> Parts:
            nothing = np.zeros_like(theta)
            return (*one(theta), nothing, nothing, nothing)

        return cls(joint, np.zeros(k), False)


def _start(counts: FloatArray) -> float:
    a, n_t, c, n_c = counts.sum(axis=0)
    return float(special.logit((a + 0.5) / (n_t + 1.0)) - special.logit((c + 0.5) / (n_c + 1.0)))


def _log_choose(n: FloatArray, x: FloatArray) -> FloatArray:
    found: FloatArray = -special.betaln(n - x + 1.0, x + 1.0) - np.log(n + 1.0)
    return found


def _two_arms(counts: FloatArray) -> Joint:
    a, n_t, c, n_c = (column[:, None] for column in counts.T)
    constant = _log_choose(n_t, a) + _log_choose(n_c, c)

    def likelihood(alpha: FloatArray, theta: FloatArray) -> Parts:
        above, below = alpha[:, None] + 0.5 * theta, alpha[:, None] - 0.5 * theta
        p, q = special.expit(above), special.expit(below)
        value = constant + a * above - n_t * np.logaddexp(0.0, above) + c * below - n_c * np.logaddexp(0.0, below)
        s, r = a - n_t * p, c - n_c * q
        v, w = n_t * p * (1.0 - p), n_c * q * (1.0 - q)
        return value, 0.5 * (s - r), -0.25 * (v + w), s + r, -(v + w), -0.5 * (v - w)

    return likelihood


def _approximate(counts: FloatArray) -> Likelihood:
    a, n_t, c, n_c = (column[:, None] for column in counts.T)
    m, offset = a + c, np.log(n_t / n_c)
    constant = _log_choose(m, a)

    def likelihood(theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        eta = offset + theta
        p = special.expit(eta)
        return constant + a * eta - m * np.logaddexp(0.0, eta), a - m * p, -m * p * (1.0 - p)

    return likelihood


def _exact(counts: FloatArray) -> Likelihood:
    a, n_t, c, n_c = counts.T
    least, most = np.maximum(0.0, a + c - n_c), np.minimum(n_t, a + c)
    # events counted from the observed number, so that the likelihood is minus the log of a sum
    x = least[:, None] + np.arange(int((most - least).max()) + 1) - a[:, None]
    inside = x + a[:, None] <= most[:, None]
    events = np.where(inside, x + a[:, None], least[:, None])
    weights = _log_choose(n_t[:, None], events) + _log_choose(n_c[:, None], (a + c)[:, None] - events)
    weights = np.where(inside, weights - (_log_choose(n_t, a) + _log_choose(n_c, c))[:, None], -np.inf)

    def some(rows: slice, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        exponent = weights[rows, None, :] + theta[rows, :, None] * x[rows, None, :]
        top = exponent.max(axis=2)
        share = np.exp(exponent - top[:, :, None])
        total = share.sum(axis=2)
        mean = (share @ x[rows, :, None])[:, :, 0] / total
        square = (share @ (x[rows, :, None] ** 2))[:, :, 0] / total
        return -(top + np.log(total)), -mean, mean**2 - square

    def likelihood(theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        if x.size * theta.shape[1] <= CHUNK:
            return some(slice(None), theta)
        each = [some(slice(i, i + 1), theta) for i in range(x.shape[0])]
        value, first, second = (np.concatenate(part) for part in zip(*each, strict=True))
        return value, first, second

    return likelihood


def _integrate(
    problem: _Problem, mu: float, tau: float, alpha: FloatArray, nodes: int = NODES
) -> dict[str, FloatArray]:
    """Log marginal likelihood of each trial and its first two derivatives in (mu, tau, alpha)."""
    k = alpha.size
    if tau == 0.0:
        z, share, value = np.zeros((k, 1)), np.ones((k, 1)), None
    else:
        low, high = _window(problem, mu, tau, alpha)
        step = (high - low) / (nodes - 1)
        z = low[:, None] + step[:, None] * np.arange(nodes)
        value = step
    parts = problem.likelihood(alpha, mu + tau * z)
    if value is None:
        loglik = parts[0][:, 0]
    else:
        exponent = parts[0] - 0.5 * z * z
        top = exponent.max(axis=1)
        share = np.exp(exponent - top[:, None])
        total = share.sum(axis=1)
        share /= total[:, None]
        loglik = top + np.log(total * value) - 0.5 * math.log(2.0 * math.pi)
    _, t, tt, s, ss, st = parts

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray((share * values).sum(axis=1))

    g_mu, g_tau, g_alpha = mean(t), mean(z * t), mean(s)
    curve, mixed = tt + t * t, st + s * t
    return {
        "loglik": loglik,
        "mu": g_mu,
        "tau": g_tau,
        "alpha": g_alpha,
        "mu_mu": mean(curve) - g_mu**2,
        "mu_tau": mean(z * curve) - g_mu * g_tau,
        "tau_tau": mean(z * z * curve) - g_tau**2,
        "alpha_alpha": mean(ss + s * s) - g_alpha**2,
        "mu_alpha": mean(mixed) - g_mu * g_alpha,
        "tau_alpha": mean(z * mixed) - g_tau * g_alpha,
        "slope_tau2": 0.5 * mean(curve),
    }


def _window(problem: _Problem, mu: float, tau: float, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where ``l(mu + tau z) - z^2/2``, concave with curvature of at least 1, lies within DROP of its maximum."""

    def at(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        value, first, second = problem.likelihood(alpha, mu + tau * z[:, None])[:3]
        return value[:, 0] - 0.5 * z * z, tau * first[:, 0] - z, tau**2 * second[:, 0] - 1.0

    def falls(z: FloatArray, _: NDArray[np.bool_]) -> tuple[FloatArray, Callable[[], FloatArray]]:
        slope, curvature = at(z)[1:]
        return -slope, lambda: slope / curvature

    z = np.zeros(alpha.size)
    slope_at_zero = at(z)[1]
    z = newton(falls, z, np.minimum(z, slope_at_zero) - 1e-9, np.maximum(z, slope_at_zero) + 1e-9, close=1e-6)[0]
    value = at(z)[0]
    ends = []
    for sign in (-1.0, 1.0):
        # Newton from outside a concave function stays outside
        end = z + sign * math.sqrt(2.0 * DROP)
        for _ in range(8):
            here, slope, _ = at(end)
            end = end - np.where(here < value - DROP, (here - (value - DROP)) / slope, 0.0)
        ends.append(end)
    return ends[0], ends[1]


def _evaluate(problem: _Problem, mu: float, tau: float, alpha: FloatArray, nodes: int = NODES) -> _Point:
    """The likelihood with trial constants profiled out."""
    parts = _integrate(problem, mu, tau, alpha, nodes)
    if problem.profiled:
        for _ in range(MAX_STEPS):
            # the marginal likelihood is log-concave in alpha (Prekopa), so bounded Newton steps arrive
            change = np.clip(-parts["alpha"] / parts["alpha_alpha"], -2.0, 2.0)
            if np.abs(change).max() <= STEP * 10:
                break
            alpha = alpha + change
            parts = _integrate(problem, mu, tau, alpha, nodes)
        else:
            raise InferenceError(f"baselines of trials were not found in {MAX_STEPS} steps at mu = {mu:.4g}.")
    gradient = np.array([parts["mu"].sum(), parts["tau"].sum()])
    hessian = np.array(
        [
            [parts["mu_mu"].sum(), parts["mu_tau"].sum()],
            [parts["mu_tau"].sum(), parts["tau_tau"].sum()],
        ]
    )
    if problem.profiled:
        cross = np.array([parts["mu_alpha"], parts["tau_alpha"]])
        hessian = hessian - (cross / parts["alpha_alpha"]) @ cross.T
    return _Point(mu, tau, float(parts["loglik"].sum()), gradient, hessian, alpha, float(parts["slope_tau2"].sum()))


def _climb(
    problem: _Problem, point: _Point, nodes: int = NODES, free: tuple[bool, bool] = (True, True), settled: float = STEP
) -> _Point:
    """The maximum over mu, tau or both, uphill from a point."""
    alpha = point.alpha

    def at(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        nonlocal alpha
        found = _evaluate(problem, float(x[0, 0]), float(x[0, 1]), alpha, nodes)
        alpha = found.alpha
        return np.array([found.loglik]), found.gradient[None], -found.hessian[None]

    x, length = ascend(at, [[point.mu, point.tau]], low=(-np.inf, 0.0), most=(2.0, 1.0), free=free, settled=settled)
    if length[0] > max(ACCEPTED, settled):
        raise InferenceError(f"the maximum was not found from mu = {point.mu:.4g} and tau = {point.tau:.4g}.")
    return _evaluate(problem, float(x[0, 0]), float(x[0, 1]), alpha, nodes)


def _best(
    problem: _Problem, tau: float, mu: float, alpha: FloatArray, nodes: int = NODES, settled: float = STEP
) -> _Point:
    """The best mean for one tau: the likelihood is log-concave in mu."""
    return _climb(problem, _evaluate(problem, mu, tau, alpha, nodes), nodes, (True, False), settled)


def _maximum(problem: _Problem, common: _Point) -> _Point:
    """The highest maximum over (mu, tau): the best of a grid of tau, refined by Newton steps."""
    points = [common]
    for tau in STARTS:
        points.append(_best(problem, tau, points[-1].mu, points[-1].alpha, ROUGH_NODES, ROUGH))
    top = max(range(len(points)), key=lambda i: points[i].loglik)
    if top == 0:
        if common.slope_tau2 <= 0.0:
            return common
        # the maximum lies between zero and the first start: enter from the expansion in tau2
        points[0] = _best(problem, 0.5 * STARTS[0], common.mu, common.alpha)
    point, nodes = _evaluate(problem, points[top].mu, points[top].tau, points[top].alpha), NODES
    for _ in range(4):
        point = _climb(problem, point, nodes)
        if point.tau < 1e-6:
            return common
        finer = _evaluate(problem, point.mu, point.tau, point.alpha, 2 * nodes - 1)
        if abs(finer.loglik - point.loglik) <= SETTLED * (1.0 + abs(point.loglik)):
            return point
        point, nodes = finer, 2 * nodes - 1
    raise InferenceError("the integral over study effects did not settle; are the counts right?")


def _profile_point(problem: _Problem, mu: float, near: _Point) -> _Point:
    """The best tau for one mean."""
    point = _climb(problem, _evaluate(problem, mu, max(near.tau, 0.05), near.alpha), free=(False, True), settled=1e-9)
    zero = _evaluate(problem, mu, 0.0, point.alpha)
    return zero if zero.loglik > point.loglik else point


def _likelihood_limits(problem: _Problem, point: _Point, se: float, level: float) -> tuple[float | None, float | None]:
    """Means at which twice the profile log likelihood has fallen by the quantile of chi2(1)."""
    target = point.loglik - float(special.gammaincinv(0.5, level))
    limits: list[float | None] = []
    for sign in (-1.0, 1.0):
        inside, outside, width, near = point.mu, point.mu + sign * 2.0 * se, 2.0 * se, point
        for _ in range(30):
            near = _profile_point(problem, outside, near)
            if near.loglik < target:
                break
            inside, width = outside, 2.0 * width
            outside += sign * width
        else:
            limits.append(None)
            continue
        x = outside
        for _ in range(MAX_STEPS):
            near = _profile_point(problem, x, near)
            value, slope = near.loglik - target, float(near.gradient[0])
            inside, outside = (x, outside) if value >= 0 else (inside, x)
            new = x - value / slope if slope else x
            if not min(inside, outside) < new < max(inside, outside):
                new = 0.5 * (inside + outside)
            done, x = abs(new - x) <= 1e-9 * (1.0 + abs(x)), new
            if done:
                break
        limits.append(x)
    return limits[0], limits[1]
