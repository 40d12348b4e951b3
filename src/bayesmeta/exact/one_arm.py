"""Proportions of one arm by their binomial likelihood: integrals over study effects, the mean and tau.

``x_i ~ Binomial(n_i, expit(theta_i))``, ``theta_i ~ N(mu, tau**2)``. The study effects are integrated out one by one,
at every tau and at equidistant values of mu; nothing is corrected for zeros. Given tau the density of mu is then
written as a sum of narrow normal kernels that interpolates it, so that the posterior is a weighted list of Gaussians
like every other of this engine, and answers the same questions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError
from bayesmeta.exact.answers import ExactPosterior
from bayesmeta.exact.axes import TOLERANCE, moment_limit, require_proper, tau_axis
from bayesmeta.exact.batched import Integrand, Values, is_heavy_tailed, shared_fields
from bayesmeta.exact.posterior import NodePosterior
from bayesmeta.exact.problem import IntegrationProblem, build_problem
from bayesmeta.exact.quadrature import FIRST_NODES, settled
from bayesmeta.exact.windows import seek
from bayesmeta.marginals import Gridded, Marginals, Separate, from_density
from bayesmeta.model import Model
from bayesmeta.priors import Normal, Prior, resolve

__all__ = ["OneArmPosterior", "arm_log_marginal", "arm_study_draws", "one_arm_problem", "solve_one_arm"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# theta = mode + sd sinh(t): 74 standard deviations to either side, however much flatter one tail is than the other;
# the trapezoidal rule converges geometrically at a rate that the poles of the logistic function set, i pi away: with
# nodes in proportion to tau it leaves less than 1e-9, up to the largest number of them (tests/exact/test_one_arm.py)
_REACH, _FEWEST, _LEVELS = 5.0, 48, 4
_TAU_OF_FEWEST = 0.6
# what lies this many nats below the maximum of the density of mu is left out
_DEPTH = 44.0
_STEPS = 60
# of the density of mu: nodes of sums, nodes to start with, and at most
_SUMMED, _FIRST_MU, _MOST_MU = 49, 65, 1025
# nodes of tau, at most
_MOST_TAU = 1025
# by how much the sum of kernels may miss the density between its nodes, as a share of its maximum
_MISS = 1e-9
# SD of the kernels, in steps: their sum is smooth to exp(-2 pi**2 SD**2) = 4e-14, and its equations stay well posed
_KERNEL = 1.25
# by how much the sums over half of the values of mu may differ: those over all have then far more digits
_SETTLED = 1e-5
# numbers in one array of rows by nodes
_ROOM = 4_000_000


def _log_likelihood(counts: FloatArray, theta: FloatArray) -> FloatArray:
    x, n = counts[..., 0], counts[..., 1]
    constant = special.gammaln(n + 1) - special.gammaln(x + 1) - special.gammaln(n - x + 1)
    return constant + x * theta - n * np.logaddexp(0.0, theta)


def _modes(counts: FloatArray, mu: FloatArray, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mode and curvature SD of the effect of each row given mu and tau, by Newton's method kept between two bounds."""
    x, n = counts[:, :1], counts[:, 1:]
    crude = np.log((x + 0.5) / (n - x + 0.5))
    # the mode lies between mu and where the likelihood alone would put it, which may be at infinity
    far = np.where((x > 0) & (x < n), np.log(np.maximum(x, 0.5)) - np.log(np.maximum(n - x, 0.5)), np.inf)
    far = np.where(x == 0, -np.inf, far)
    low, high = np.minimum(mu, far), np.maximum(mu, far)
    reach = n * np.square(tau) + 1.0
    low, high = np.maximum(low, mu - reach), np.minimum(high, mu + reach)
    precision = 1.0 / np.square(tau)
    theta = np.clip((crude * n * 0.2 + mu * precision) / (n * 0.2 + precision), low, high)
    for _ in range(_STEPS):
        p = special.expit(theta)
        slope = x - n * p - (theta - mu) * precision
        low, high = np.where(slope > 0, theta, low), np.where(slope < 0, theta, high)
        step = slope / (n * p * (1 - p) + precision)
        following = theta + step
        following = np.where((following < low) | (following > high), 0.5 * (low + high), following)
        done = np.abs(following - theta) <= 1e-6 * (1e-3 + np.minimum(tau, 1.0))
        theta = following
        if done.all():
            break
    p = special.expit(theta)
    return theta, 1.0 / np.sqrt(n * p * (1 - p) + precision)


def _levels(tau: FloatArray) -> NDArray[np.intp]:
    """How often the nodes of an effect are doubled at each tau, shape (N,)."""
    return np.clip(np.ceil(np.log2(tau / _TAU_OF_FEWEST)), 0, _LEVELS).astype(np.intp)


def _pieces(counts: FloatArray, tau: FloatArray, chosen: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Some of the chosen places that take as many nodes and fit in memory, with how often nodes are doubled."""
    levels = _levels(tau[chosen])
    for level in np.unique(levels).tolist():
        here = chosen[levels == level]
        step = max(1, int(_ROOM // (len(counts) * _FEWEST * 2**level)))
        for start in range(0, here.size, step):
            yield here[start : start + step], level


def _parts(counts: FloatArray, mu: FloatArray, tau: FloatArray, level: int) -> tuple[FloatArray, FloatArray]:
    """Effects at the nodes of the rule, and log integrand there with weights: two arrays (k, N, nodes)."""
    mode, sd = _modes(counts, mu, tau)
    t = np.linspace(-_REACH, _REACH, _FEWEST * 2**level + 1)
    theta = mode[:, :, None] + sd[:, :, None] * np.sinh(t)
    log = _log_likelihood(counts[:, None, None, :], theta)
    log = log - 0.5 * np.square((theta - mu[:, None]) / tau[:, None]) - np.log(tau)[:, None]
    log += np.log(sd)[:, :, None] + np.log(np.cosh(t) * (t[1] - t[0]) / math.sqrt(2 * math.pi))
    return theta, log


def arm_log_marginal(counts: FloatArray, mu: FloatArray, tau: FloatArray) -> FloatArray:
    """Log probability of each row's events given mu and tau, its effect integrated out.

    Parameters
    ----------
    counts : array of shape (k, 2)
        Events and people.
    mu, tau : arrays of shape (N,)
        Tau may be zero.

    Returns
    -------
    array of shape (k, N)

    Examples
    --------
    A logit of mean zero is as likely above as below, whatever tau:

    >>> np.exp(arm_log_marginal(np.array([[1.0, 1.0]]), np.zeros(2), np.array([0.0, 2.0]))).round(10)
    array([[0.5, 0.5]])
    """
    found = np.empty((len(counts), mu.size))
    fixed = tau <= 1e-8
    found[:, fixed] = _log_likelihood(counts[:, None, :], mu[fixed][None])
    (rest,) = np.nonzero(~fixed)
    for some, level in _pieces(counts, tau, rest):
        found[:, some] = special.logsumexp(_parts(counts, mu[some], tau[some], level)[1], axis=-1)
    return found


def arm_study_draws(counts: FloatArray, mu: FloatArray, tau: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw each row's effect given mu and tau, shape (k, N), by inversion on the nodes of its integral."""
    found = np.broadcast_to(mu, (len(counts), mu.size)).copy()
    (rest,) = np.nonzero(tau > 1e-8)
    for some, level in _pieces(counts, tau, rest):
        theta, log = _parts(counts, mu[some], tau[some], level)
        weight = np.exp(log - log.max(axis=-1, keepdims=True))
        below = np.cumsum(weight, axis=-1)
        below = (below - 0.5 * weight) / below[..., -1:]
        u = rng.random(theta.shape[:2])
        after = np.clip((below < u[..., None]).sum(axis=-1), 1, theta.shape[-1] - 1)[..., None]
        (a, b), (low, high) = (
            [np.take_along_axis(v, i, -1)[..., 0] for i in (after - 1, after)] for v in (below, theta)
        )
        share = np.clip((u - a) / np.maximum(b - a, 1e-300), 0.0, 1.0)
        found[:, some] = low + share * (high - low)
    return found


# -- the mean given tau ------------------------------------------------------------------------------------------------


class _Mean(NamedTuple):
    """The density of mu at each of N taus, at M equidistant values of mu: two arrays (N, M), logs not normalised."""

    mu: FloatArray
    log: FloatArray

    @property
    def step(self) -> FloatArray:
        return self.mu[:, 1] - self.mu[:, 0]

    @property
    def log_total(self) -> FloatArray:
        return np.asarray(special.logsumexp(self.log, axis=1) + np.log(self.step))

    @property
    def moments(self) -> tuple[FloatArray, FloatArray]:
        w = special.softmax(self.log, axis=1)
        mean = (w * self.mu).sum(axis=1)
        return mean, (w * np.square(self.mu - mean[:, None])).sum(axis=1)


def _log_density(counts: FloatArray, prior: Prior, mu: FloatArray, tau: FloatArray) -> FloatArray:
    """Log of the prior of mu times the likelihood, of the shape of mu, (N, M)."""
    wide = np.broadcast_to(tau[:, None], mu.shape)
    total = arm_log_marginal(counts, mu.ravel(), wide.ravel()).sum(axis=0).reshape(mu.shape)
    return np.asarray(total + prior.logpdf(mu))


def _near(counts: FloatArray, prior: Prior, mu: FloatArray, tau: FloatArray) -> FloatArray:
    """`_log_density` by the height and curvature at each mode, which is near enough to see where it is."""
    given, wide = mu.ravel(), np.broadcast_to(np.maximum(tau, 1e-8)[:, None], mu.shape).ravel()
    mode, sd = _modes(counts, given, wide)
    log = _log_likelihood(counts[:, None, :], mode) - 0.5 * np.square((mode - given) / wide) + np.log(sd / wide)
    return np.asarray(log.sum(axis=0).reshape(mu.shape) + prior.logpdf(mu))


def _windows(counts: FloatArray, prior: Prior, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where mu is within `_DEPTH` nats of the maximum of its density at each tau."""
    crude = np.log((counts[:, 0] + 0.5) / (counts[:, 1] - counts[:, 0] + 0.5))
    middle, around = float(crude.mean()), np.concatenate([[0.0], np.geomspace(1e-3, 1e4, 71)])
    scan = np.broadcast_to(middle + np.concatenate([-around[:0:-1], around]), (tau.size, 143)).copy()

    def at(z: FloatArray, going: BoolArray) -> list[FloatArray]:
        return [_near(counts, prior, z, tau[going]) * (46.0 / _DEPTH)]

    low, high, somewhere = seek(at, scan)
    if not somewhere.all():
        raise InferenceError("the posterior density is zero or undefined everywhere; check the counts and priors.")
    return low, high


def _kernel(distance: FloatArray) -> FloatArray:
    """Density of a kernel so many steps from its node, per step."""
    return np.asarray(np.exp(-0.5 * np.square(distance / _KERNEL)) / (_KERNEL * math.sqrt(2 * math.pi)))


def _tabulated(counts: FloatArray, prior: Prior, tau: FloatArray, size: int) -> _Mean:
    """The density of mu at so many equidistant values, at each tau."""
    low, high = _windows(counts, prior, tau)
    mu = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, size)
    return _Mean(mu, _log_density(counts, prior, mu, tau))


def _summed(counts: FloatArray, prior: Prior, tau: FloatArray) -> _Mean:
    """The density of mu at as many values as its sum at every tau needs; it converges sooner than the interpolation."""
    size = _SUMMED
    found = _tabulated(counts, prior, tau, size)
    while size < _MOST_MU:
        # every other value is a sum too
        half = _Mean(found.mu[:, ::2], found.log[:, ::2])
        if np.abs(half.log_total - found.log_total).max() <= _SETTLED:
            break
        size = 2 * size - 1
        found = _tabulated(counts, prior, tau, size)
    return found


def _interpolated(counts: FloatArray, prior: Prior, tau: FloatArray) -> tuple[_Mean, FloatArray]:
    """The density of mu at each tau, and weights of the kernels that interpolate it, (N, M), which sum to one."""
    from scipy import linalg

    size = _FIRST_MU
    while True:
        mu, log = _tabulated(counts, prior, tau, 2 * size - 1)
        density = np.exp(log - log.max(axis=1, keepdims=True))
        places = np.arange(size, dtype=float)
        weights = linalg.solve(linalg.toeplitz(_kernel(places)), density[:, ::2].T, assume_a="pos").T
        # between its nodes the sum must be the density too
        between = _kernel(np.subtract.outer(places[:-1] + 0.5, places))
        miss = np.abs(weights @ between.T - density[:, 1::2]).max()
        if miss <= _MISS:
            break
        if size >= _MOST_MU:
            raise InferenceError(
                "the density of mu given tau did not settle; use a smoother prior of mu, such as normal(0, 2)."
            )
        size = 2 * size - 1
    weights = np.maximum(weights, 0.0)
    return _Mean(mu[:, ::2], log[:, ::2]), weights / weights.sum(axis=1, keepdims=True)


# -- the posterior -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Integrand(Integrand):
    """One model, to be integrated over tau; mu is integrated out at every tau."""

    counts: FloatArray
    mu: Prior

    def take(self, chosen: BoolArray) -> _Integrand:
        return self

    def values(self, z: Sequence[FloatArray]) -> Values:
        ((axis,),) = self.axes
        tau = axis.variable.x(z[0][0])
        mean = _summed(self.counts, self.mu, tau)
        return self._at(mean, tau, z[0][0])

    def _at(self, mean: _Mean, tau: FloatArray, z: FloatArray) -> Values:
        (problem,), ((axis,),) = self.problems, self.axes
        assert problem.tau is not None
        log = mean.log_total + problem.tau.logpdf(tau) + axis.variable.log_jacobian(z)
        centre, variance = mean.moments
        return Values(
            log[None], tau[None, None], np.empty((0, 1, tau.size)), centre[None, None], variance[None, None, None]
        )

    def windows(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        (problem,), ((axis,),) = self.problems, self.axes

        def at(z: FloatArray, going: BoolArray) -> list[FloatArray]:
            tau = axis.variable.x(z[0])
            low, high = _windows(self.counts, self.mu, tau)
            mu = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _SUMMED)
            found = self._at(_Mean(mu, _near(self.counts, self.mu, mu, tau)), tau, z[0])
            if not is_heavy_tailed(problem):
                return [found.log]
            return [found.log, found.log + self.moments[0] * np.log1p(found.sds[0] / self.typical_se)]

        low, high, somewhere = seek(at, axis.scan[None])
        return low[:, None], high[:, None], somewhere

    def within(self, points: Sequence[FloatArray]) -> None:
        """Every node is evaluated."""


def one_arm_problem(effects: Effects, model: Model) -> IntegrationProblem:
    """The problem as that of normal estimates has it, with the moments and the propriety of counts.

    Raises
    ------
    ModelError
        Where the posterior is improper.
    """
    assert effects.counts is not None
    events, people = effects.counts.T
    mu = resolve(model.mu)
    flat = int(not mu.proper)
    if flat and (events.sum() == 0 or (events == people).all()):
        raise ModelError(
            "the posterior is improper: nobody or everybody has the event in every trial, and mu is flat. Use a proper "
            "prior of mu, such as normal(0, 2)."
        )
    # a row in which nobody or everybody has the event stays as likely as tau grows
    rows = int(((events > 0) & (events < people)).sum())
    tau = None if model.tau is None else resolve(model.tau)
    if tau is not None:
        require_proper(tau, rows, flat)
    plain = build_problem(effects, dataclasses.replace(model, mu=_stand_in(mu), likelihood="normal"))
    df = 0.0 if flat else getattr(mu, "df", 1.0 if mu.name == "cauchy" else math.inf)
    tau_moments, mu_moments, _ = moment_limit(tau, rows, flat, df)
    return dataclasses.replace(
        plain,
        tau_moments=tau_moments,
        column_moments=np.array([mu_moments]),
        axes=tuple(axis._replace(moments=tau_moments) for axis in plain.axes),
    )


def _stand_in(mu: Prior) -> Prior:
    """A prior of mu of which the problem is made, whose mixing scale is not integrated over: its density is known."""
    return mu if not mu.proper else Normal(0.0, 1.0)


def solve_one_arm(effects: Effects, model: Model, *, first_nodes: int = FIRST_NODES) -> NodePosterior:
    """Integrate a model of proportions of one arm by their counts.

    Parameters
    ----------
    effects : Effects
        With ``counts`` of shape (k, 2).
    model : Model
        Binomial, without moderators.
    first_nodes : int
        Nodes of tau to start with, ``2**m + 1``.

    Raises
    ------
    ModelError
        Where the posterior is improper.
    InferenceError
        Where the nodes do not settle.
    """
    assert effects.counts is not None
    problem, counts, prior = one_arm_problem(effects, model), effects.counts, resolve(model.mu)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        if problem.tau is None:
            mean, weights = _interpolated(counts, prior, np.zeros(1))
            evidence = float(mean.log_total[0])
            known = NodePosterior(
                problem,
                np.zeros(1),
                np.empty((0, 1)),
                np.ones(1),
                np.ones(1),
                np.zeros((1, 1)),
                np.ones((1, 1, 1)),
                None,
                evidence if prior.proper else None,
                0.0,
                (),
            )
        else:
            axis = tau_axis(problem.axes[0].prior, problem.typical_se)
            batch = _Integrand(**shared_fields([problem], [(axis,)]), counts=counts, mu=prior)
            (found,) = settled(batch, (first_nodes,), TOLERANCE, _MOST_TAU)
            if isinstance(found, InferenceError):
                raise found
            known = found
            mean, weights = _interpolated(counts, prior, known.tau)
    size = weights.shape[1]
    return dataclasses.replace(
        known,
        tau=np.repeat(known.tau, size),
        log_scales=np.empty((0, known.tau.size * size)),
        weights=(known.weights[:, None] * weights).ravel(),
        coarse=(known.coarse[:, None] * weights).ravel(),
        mean=mean.mu.reshape(1, -1),
        cov=np.repeat(np.square(_KERNEL * mean.step), size).reshape(1, 1, -1),
        nodes=(*known.nodes, size),
        sds=np.repeat(known.sds, size, axis=1),
    )


# finer nodes and marginals of trials are made once, when they are first needed
@dataclass(frozen=True, eq=False)
class OneArmPosterior(ExactPosterior):
    """The posterior of proportions of one arm by their counts.

    Mean, new study and tau are as of every exact posterior, settled to 1e-8. True effects of the trials are tabulated
    densities, good to about 1e-6 in probability.
    """

    @cached_property
    def finer(self) -> ExactPosterior:
        """The same posterior on twice the nodes of tau."""
        first = self.nodes.nodes[0] if len(self.nodes.nodes) == 2 else 0
        if not first or 2 * first > _MOST_TAU:
            raise InferenceError("an answer did not settle with the largest number of nodes; use a smoother prior.")
        return OneArmPosterior(
            self.effects, self.model, solve_one_arm(self.effects, self.model, first_nodes=2 * first - 1)
        )

    @property
    def counts(self) -> FloatArray:
        """Events and people, (k, 2)."""
        assert self.effects.counts is not None
        return self.effects.counts

    @cached_property
    def _grid(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Tau (T,), mu (T, M) and log of their joint density with the weights of both rules, (T, M)."""
        nodes = self.nodes
        size = nodes.nodes[-1]
        tau, mu = nodes.tau.reshape(-1, size)[:, 0], nodes.mean[0].reshape(-1, size)
        with np.errstate(divide="ignore"):
            log = _log_density(self.counts, resolve(self.model.mu), mu, tau)
            each = np.log(nodes.weights.reshape(-1, size).sum(axis=1))
        return tau, mu, log - special.logsumexp(log, axis=1, keepdims=True) + each[:, None]

    def studies(self, chosen: Sequence[int] | None = None) -> Marginals:
        """True effects of the trials, all in row order or those chosen."""
        rows = range(self.effects.k) if chosen is None else chosen
        return Separate([self._study(int(row)) for row in rows])

    @cached_property
    def _known(self) -> dict[int, Gridded]:
        return {}

    def _study(self, row: int) -> Gridded:
        if row not in self._known:
            self._known[row] = self._density(row)
        return self._known[row]

    def _density(self, row: int) -> Gridded:
        """Density of one true effect: its likelihood times the mean of its prior given the other trials."""
        tau, mu, log = self._grid
        counts = self.counts[row : row + 1]
        wide = np.broadcast_to(tau[:, None], mu.shape)
        rest = log - arm_log_marginal(counts, mu.ravel(), wide.ravel()).reshape(mu.shape)
        keep = log.max(axis=1) > log.max() - 40.0
        tau, mu, rest = tau[keep], mu[keep], rest[keep]
        narrow = tau < (mu[:, 1] - mu[:, 0])
        z, w = np.polynomial.hermite_e.hermegauss(21)
        w = w / math.sqrt(2 * math.pi)
        peak, curves = rest.max(), [_curve(a, b) for a, b in zip(mu[narrow], rest[narrow], strict=True)]
        shape = np.exp(rest[~narrow] - peak)

        def density(theta: FloatArray) -> FloatArray:
            total = np.zeros(theta.size)
            for t, line, weight in zip(tau[~narrow], mu[~narrow], shape, strict=True):
                total += np.exp(-0.5 * np.square((theta[:, None] - line) / t)) @ weight / (t * math.sqrt(2 * math.pi))
            # a tau below the step of mu: the density of mu is smooth where the effect's spread is narrow
            for t, line, curve in zip(tau[narrow], mu[narrow], curves, strict=True):
                total += np.exp(curve(theta[:, None] + t * z) - peak) @ w / (line[1] - line[0])
            likelihood = _log_likelihood(counts, theta)
            return np.asarray(total * np.exp(likelihood - top))

        mode, sd = _modes(counts, mu.ravel(), np.maximum(np.repeat(tau, mu.shape[1]), 1e-8))
        matters = (log[keep] > log.max() - 40.0).ravel()
        top = float(_log_likelihood(counts, mode[0][matters]).max())
        low, high = (mode - 9 * np.maximum(sd, 1e-3)).ravel()[matters].min(), (mode + 9 * sd).ravel()[matters].max()
        low -= 9 * float(np.sqrt(np.exp(log[keep]).sum(axis=1) @ np.square(tau)))
        return from_density(density, np.linspace(low, high, 9), tolerance=1e-9)

    def predict_events(self, left: Effects) -> tuple[float, float]:
        """Predict the events of a trial that was not fitted: their log probability, and a two-sided p-value.

        The density of the true effect in a new study is summed over equidistant values, a third of the narrowest of
        its parts and of the likelihood apart, where the trapezoidal rule is exact to rounding.

        Raises
        ------
        ModelError
            For more than one row: their effects share a mean, so that the probability is not of one new study.
        """
        if left.k != 1 or left.counts is None:
            raise ModelError("counts of a trial with several rows are not predicted together.")
        x, n = left.counts[0]
        nodes = self.nodes
        keep = nodes.weights > 1e-14 * nodes.weights.max()
        mean, weights = nodes.mean[0][keep], nodes.weights[keep]
        sd = np.sqrt(nodes.cov[0, 0][keep] + np.square(nodes.tau[keep]))
        low, high = float((mean - 9 * sd).min()), float((mean + 9 * sd).max())
        step = min(float(sd.min()), 2.0 / math.sqrt(n)) / 3
        theta = np.linspace(low, high, math.ceil((high - low) / step) + 1)
        density = np.zeros(theta.size)
        rows = max(1, _ROOM // mean.size)
        for start in range(0, theta.size, rows):
            z = (theta[start : start + rows, None] - mean) / sd
            density[start : start + rows] = np.exp(-0.5 * z * z) @ (weights / sd)
        density /= density.sum()
        p = special.expit(theta)
        fewer = float(density @ special.bdtr(x, int(n), p))
        more = 1.0 if x == 0 else float(density @ special.bdtrc(x - 1, int(n), p))
        log = float(np.log(density @ np.exp(_log_likelihood(left.counts, theta))))
        return log, min(1.0, 2 * min(fewer, more))

    def weights(self, effects: Effects) -> FloatArray:
        """Information of each trial on mu: the inverse of its logit's variance at the mean proportion plus tau squared.

        This is approximate, as the likelihood is not normal.
        """
        n, p = self.counts[:, 1], special.expit(float(self.nodes.mean[0] @ self.nodes.weights))
        variance = 1.0 / (n * p * (1 - p))
        return np.asarray((1.0 / (variance[:, None] + np.square(self.nodes.tau))) @ self.nodes.weights)

    def draws(self, rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, FloatArray]:
        """Draws of the parameters together, of shape (..., chains, draws)."""
        nodes, size = self.nodes, shape[0] * shape[1]
        grid = nodes.tau.reshape(-1, nodes.nodes[-1])[:, 0]
        weights = nodes.weights.reshape(grid.size, -1)
        tau = np.zeros(size)
        place = np.zeros(size, np.intp)
        if nodes.tau_marginal is not None:
            tau = nodes.tau_marginal.rvs(size, rng)
            # between two nodes of tau, from either with the share that interpolates
            order = np.argsort(grid)
            place = np.clip(np.searchsorted(grid[order], tau), 1, grid.size - 1)
            low, high = grid[order][place - 1], grid[order][place]
            share = np.clip((tau - low) / (high - low), 0.0, 1.0)
            place = order[np.where(rng.random(size) < share, place, place - 1)]
        below = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        column = np.minimum((below[place] < rng.random(size)[:, None]).sum(axis=1), weights.shape[1] - 1)
        at = place * weights.shape[1] + column
        mu = nodes.mean[0][at] + np.sqrt(nodes.cov[0, 0][at]) * rng.standard_normal(size)
        return {"coefficients": mu.reshape(1, *shape), "tau": tau.reshape(shape)}


def _curve(mu: FloatArray, log: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Log density of mu between its nodes; minus infinity outside them."""
    from scipy import interpolate

    spline: Any = interpolate.CubicSpline(mu, np.maximum(log, log.max() - 600.0), extrapolate=False)
    return lambda x: np.nan_to_num(spline(x), nan=-np.inf)
