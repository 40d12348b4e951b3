"""A candidate model integrated over mean and between-study SD, on nodes that are doubled until answers settle.

The integral over the mean is taken inside that over the between-study SD, in a window of its own at each of its nodes:
the mean is known the less the larger tau is, and a rectangle around all of it would be empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayesmeta.bias.dependence import ALONE, Pairs
from bayesmeta.bias.likelihood import Rows, log_likelihood
from bayesmeta.bias.specification import CandidateModel, PublicationBias, StepSelection
from bayesmeta.errors import InferenceError
from bayesmeta.marginals import Variable
from bayesmeta.numerics import embedded, rule
from bayesmeta.priors import InverseGamma, LogNormal, LogStudentT, Prior, Truncated

__all__ = ["TOLERANCE", "Table", "integrate", "tau_variable", "tau_window"]

FloatArray = NDArray[np.float64]
#: Nested rules, and rules of weights and slopes, change no answer by more than this before it is given.
TOLERANCE = 1e-6
#: An integrand this many nats below its maximum is zero.
DEPTH = 28.0
#: And one this many nats below it need not be known to more than a digit.
SHALLOW = 20.0
#: Points at which the integrand is looked for: of the mean in units of its conditional SD, and of tau.
_SCAN_MU, _SCAN_TAU = np.linspace(-9.0, 9.0, 73), 49
#: Values of tau at which windows of the mean are looked for.
_SCAN_WINDOWS = 17
#: Nodes per axis to begin with, and at most.
_FIRST, _MOST = (65, 65), 1025
#: Nodes of each weight, or of the slope, to begin with; each number is compared with the next.
_INNER = {"selection": (4, 8, 12, 16, 24, 32, 48, 64, 96), "small-study effects": (17, 33, 65, 129, 257, 513)}
#: Relative: what a variable and its inverse may lose.
_ROUNDING = 1e-13
#: Points over which they are compared.
_COMPARED = 24


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Posterior of one candidate model on nodes of mean and between-study SD.

    Attributes
    ----------
    model : CandidateModel
    rows : Rows
    log_evidence : float
        Log density of the estimates.
    error : float
        Largest change of an answer by rules with half the nodes.
    tau : array of shape (T,)
        Nodes; one at zero under a common effect.
    mu : array of shape (T, M)
        Nodes of the mean at each of them; one at zero where there is no effect.
    mass : array of shape (T, M)
        Posterior probabilities of the nodes, which sum to one.
    centre, scale : arrays of shape (T,)
        ``mu = centre + scale sinh(z)``.
    ends : array of shape (T, 2)
        Windows of z.
    density : array of shape (T, M)
        Posterior density of the mean given tau, with respect to z, at the nodes.
    tau_variable, tau_ends : Variable, (float, float)
    tau_density : array of shape (T,)
        Posterior density of tau, with respect to its variable.
    inner : tuple of int
        Nodes of each weight, or of the slope.
    """

    model: CandidateModel
    rows: Rows
    log_evidence: float
    error: float
    tau: FloatArray
    mu: FloatArray
    mass: FloatArray
    centre: FloatArray
    scale: FloatArray
    ends: FloatArray
    density: FloatArray
    tau_variable: Variable
    tau_ends: tuple[float, float]
    tau_density: FloatArray
    inner: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Integrand:
    """The log integrand of a model, with respect to the variables of integration."""

    rows: Rows
    model: CandidateModel
    tau_variable: Variable
    inner: tuple[int, ...]

    def tau_of(self, u: FloatArray) -> FloatArray:
        return u if self.model.tau is None else _at_ends(self.tau_variable.x(u), self.model.tau)

    def frame(self, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Centre and scale of the mean at each tau: its moments without prior and bias."""
        products = self.rows.sums(tau, np.ones_like(self.rows.y), self.rows.y)
        total = products[:, 0, 0]
        return products[:, 0, 1] / total, 1.0 / np.sqrt(total)

    def log(self, u: FloatArray, z: FloatArray, chosen: NDArray[np.bool_] | None = None) -> FloatArray:
        """At tau variables (T,) and, for each, variables of the mean (T, M); minus infinity where not chosen."""
        tau = self.tau_of(u)
        centre, scale = self.frame(tau)
        mu = np.zeros(z.shape) if self.model.mu is None else centre[:, None] + scale[:, None] * np.sinh(z)
        prior = np.zeros(z.shape)
        with np.errstate(divide="ignore"):
            if self.model.tau is not None:
                prior = prior + (self.model.tau.logpdf(tau) + self.tau_variable.log_jacobian(u))[:, None]
            if self.model.mu is not None:
                mu = _at_ends(mu, self.model.mu)
                prior = prior + self.model.mu.logpdf(mu) + np.log(scale[:, None] * np.cosh(z))
        used = np.isfinite(prior) if chosen is None else chosen & np.isfinite(prior)
        found = np.full(z.shape, -np.inf)
        found[used] = prior[used] + log_likelihood(
            self.rows, mu[used], np.broadcast_to(tau[:, None], z.shape)[used], self.inner
        )
        return found


def _at_ends(x: FloatArray, prior: Prior) -> FloatArray:
    """Values that rounding has put beside an end of a prior's support, where the density may jump, put on it."""
    for end in prior.support:
        if math.isfinite(end):
            x = np.where(np.abs(x - end) <= _ROUNDING * (abs(end) + np.abs(x).max()), end, x)
    return x


def integrate(
    y: FloatArray, se: FloatArray, model: CandidateModel, pairs: Pairs = ALONE, *, tolerance: float = TOLERANCE
) -> Table:
    """Integrate a candidate model.

    Parameters
    ----------
    y, se : arrays of shape (k,)
        Estimates, turned so that the direction of selection is positive; priors are of turned effects.
    model : CandidateModel
    pairs : Pairs
        Estimates that share patients; all others are independent.
    tolerance : float

    Returns
    -------
    Table

    Raises
    ------
    InferenceError
        Where the integral does not settle.
    """
    rows = Rows.of(y, se, model.bias, pairs)
    coarse = () if model.bias is None or not model.bias.parameters else _coarse(model.bias)
    rough = _Integrand(rows, model, tau_variable(model.tau, se), coarse)
    low, high = tau_window(lambda u: _highest(rough, u), model.tau, rough.tau_variable, se, float(np.ptp(y)))
    windows = _windows_of_mu(rough, low, high)
    counts, left = [1 if model.tau is None else _FIRST[0], 1 if model.mu is None else _FIRST[1]], 0.0
    exact: _Integrand | None = None
    while True:
        u = np.array([low]) if model.tau is None else 0.5 * (low + high) + 0.5 * (high - low) * rule(counts[0])[0]
        ends = windows.at(u)
        if model.mu is None:
            z = np.zeros((u.size, 1))
        else:
            z = 0.5 * ends.sum(axis=1)[:, None] + 0.5 * np.diff(ends) * rule(counts[1])[0]
        if exact is None:
            exact, left = _fine(rough, u, z, tolerance)
        guess = rough.log(u, z)
        # far below the top a coarse rule of weights or slopes is right to a digit or two, and that is enough there
        chosen = guess > guess.max() - SHALLOW
        log = np.where(chosen, exact.log(u, z, chosen), guess)
        peak = float(log.max())
        if not math.isfinite(peak):
            raise InferenceError("bias model: the integrand is undefined. Check the scale of the estimates and priors.")
        value = np.exp(log - peak)
        half = np.ones(u.size) if model.mu is None else 0.5 * (ends[:, 1] - ends[:, 0])
        rules = [_weights(n) for n in counts]
        reach = 1.0 if model.tau is None else 0.5 * (high - low)
        scaled = value * (reach * half)[:, None]
        centre, scale = exact.frame(exact.tau_of(u))
        mu = np.zeros(z.shape) if model.mu is None else centre[:, None] + scale[:, None] * np.sinh(z)
        tau = exact.tau_of(u)
        by_rules = {(i, j): scaled * np.outer(rules[0][i], rules[1][j]) for i, j in ((0, 0), (1, 0), (0, 1))}
        mass = by_rules[0, 0]
        answers = _answers(mass, mu, tau, mass)
        errors = [
            float(np.abs(_answers(by_rules[half_rule], mu, tau, mass) - answers).max())
            for half_rule in ((1, 0), (0, 1))
        ]
        if max(errors) <= tolerance:
            break
        counts = [2 * n - 1 if error > tolerance else n for n, error in zip(counts, errors, strict=True)]
        if max(counts) > _MOST:
            raise InferenceError(
                f"bias model: the integral did not settle to {tolerance:g} (reached {max(errors):.1e}). "
                "Check for a standard error far below all others, or use a smoother prior."
            )
    total = float(mass.sum())
    inside = value @ rules[1][0] * half
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(inside[:, None] > 0, value / inside[:, None], 0.0)
    return Table(
        model=model,
        rows=rows,
        log_evidence=peak + math.log(total),
        error=max(*errors, left),
        tau=tau,
        mu=mu,
        mass=mass / total,
        centre=centre,
        scale=scale,
        ends=ends,
        density=density,
        tau_variable=exact.tau_variable,
        tau_ends=(low, high),
        tau_density=inside / total,
        inner=exact.inner,
    )


def _coarse(bias: PublicationBias) -> tuple[int, ...]:
    """Nodes with which the integrand is looked for: the more, the fewer parameters there are."""
    count = len(bias.parameters)
    return (_INNER[bias.family][max(4 - count, 1) if isinstance(bias, StepSelection) else 0],) * count


def _weights(count: int) -> tuple[FloatArray, FloatArray]:
    """Weights of a rule, and of that with half its nodes."""
    return (np.ones(1), np.ones(1)) if count == 1 else (rule(count)[1], embedded(count))


def _answers(mass: FloatArray, mu: FloatArray, tau: FloatArray, reference: FloatArray) -> FloatArray:
    """What must not change: the log integral, and smooth functions of mean and tau, bounded as probabilities are."""
    total, share = mass.sum(), reference / reference.sum()
    found = [math.log(total)]
    for x in (mu, np.broadcast_to(tau[:, None], mu.shape)):
        mean = float((share * x).sum())
        spread = math.sqrt(float((share * (x - mean) ** 2).sum()))
        if spread > 0:
            t = np.tanh((x - mean) / spread)
            found += [float((mass * t).sum() / total), float((mass * t * t).sum() / total)]
    return np.array(found)


def tau_variable(prior: Prior | None, se: FloatArray) -> Variable:
    """Variable of integration: a logarithm where the prior vanishes at zero faster than any power; else asinh."""
    kernel = prior.prior if isinstance(prior, Truncated) else prior
    scale = float(np.median(se))
    if isinstance(kernel, InverseGamma | LogNormal | LogStudentT):
        return Variable("log", math.log(scale), 1.0)
    return Variable("asinh", 0.0, scale)


def tau_window(
    top: Callable[[FloatArray], FloatArray], prior: Prior | None, variable: Variable, se: FloatArray, span: float
) -> tuple[float, float]:
    """Where a log integrand of the variable of tau is not negligible.

    Parameters
    ----------
    top : callable
        From values of the variable (T,) to logarithms (T,).
    span : float
        Of the estimates.
    """
    if prior is None:
        return 0.0, 0.0
    far = 1e4 * (span + float(se.max()))
    nearest = max(prior.support[0], 0.0 if variable.kind == "asinh" else 1e-8 * float(se.min()))
    low, high = variable.z(np.array([nearest, min(prior.support[1], far)])).tolist()
    for depth in (80.0, DEPTH):
        u = np.linspace(low, high, _SCAN_TAU)
        log = top(u)
        found = np.flatnonzero(log > log.max() - depth)
        low, high = float(u[max(found[0] - 1, 0)]), float(u[min(found[-1] + 1, u.size - 1)])
    return low, high


def _highest(rough: _Integrand, u: FloatArray) -> FloatArray:
    """The log integrand, maximised over the mean, at variables of tau (T,)."""
    z = np.zeros((u.size, 1)) if rough.model.mu is None else np.tile(_SCAN_MU, (u.size, 1))
    return rough.log(u, z).max(axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """Where the integrand of the mean is not negligible, at some values of the variable of tau."""

    rough: _Integrand
    u: FloatArray
    ends: FloatArray

    def at(self, u: FloatArray) -> FloatArray:
        """Windows at others (T, 2): as wide as those of both neighbours."""
        if self.rough.model.mu is None:
            return np.zeros((u.size, 2))
        right = np.clip(np.searchsorted(self.u, u), 1, max(self.u.size - 1, 1)) if self.u.size > 1 else np.zeros(1, int)
        left = np.maximum(right - 1, 0)
        low = np.minimum(self.ends[left, 0], self.ends[right, 0])
        high = np.maximum(self.ends[left, 1], self.ends[right, 1])
        bounds = _bounds(self.rough, u)
        return np.column_stack([np.maximum(low, bounds[:, 0]), np.minimum(high, bounds[:, 1])])


def _bounds(rough: _Integrand, u: FloatArray) -> FloatArray:
    """The support of the mean in its variable at each tau, shape (T, 2)."""
    assert rough.model.mu is not None
    low, high = rough.model.mu.support
    centre, scale = rough.frame(rough.tau_of(u))
    return np.arcsinh(np.column_stack([low - centre, high - centre]) / scale[:, None])


def _windows_of_mu(rough: _Integrand, low: float, high: float) -> _Windows:
    """Look for the windows of the mean over the window of tau."""
    u = np.array([low]) if rough.model.tau is None else np.linspace(low, high, _SCAN_WINDOWS)
    ends = np.zeros((u.size, 2))
    if rough.model.mu is None:
        return _Windows(rough, u, ends)
    bounds = _bounds(rough, u)
    ends = np.column_stack([np.maximum(_SCAN_MU[0], bounds[:, 0]), np.minimum(_SCAN_MU[-1], bounds[:, 1])])
    for _ in range(2):
        z = ends[:, :1] + np.diff(ends) * np.linspace(0.0, 1.0, _SCAN_MU.size)
        log = rough.log(u, z)
        inside = log > (log.max(axis=1) - DEPTH)[:, None]
        first, last = inside.argmax(axis=1), inside.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
        at = np.arange(u.size)
        ends = np.column_stack([z[at, np.maximum(first - 1, 0)], z[at, np.minimum(last + 1, z.shape[1] - 1)]])
    return _Windows(rough, u, ends)


def _fine(rough: _Integrand, u: FloatArray, z: FloatArray, tolerance: float) -> tuple[_Integrand, float]:
    """The integrand with as many nodes of each weight, or of the slope, as it takes, and what is left of error."""
    if not rough.inner:
        return rough, 0.0
    guess = rough.log(u, z)
    used = guess > guess.max() - DEPTH
    # those with most mass, and some over the whole range
    best = np.argsort(-guess, axis=None)[: _COMPARED // 2]
    over = np.flatnonzero(used.ravel())[:: max(1, 2 * int(used.sum()) // _COMPARED)]
    chosen = np.zeros(z.size, bool)
    chosen[np.concatenate([best, over])] = True
    chosen = chosen.reshape(z.shape) & used
    share = np.exp(guess[chosen] - guess.max())
    assert rough.model.bias is not None
    sizes = _INNER[rough.model.bias.family]
    level, left = [sizes.index(n) for n in rough.inner], [math.inf] * len(rough.inner)

    def at(levels: list[int]) -> tuple[_Integrand, FloatArray]:
        integrand = replace(rough, inner=tuple(sizes[i] for i in levels))
        return integrand, integrand.log(u, z, chosen)[chosen]

    integrand, before = at(level)
    while max(left) > tolerance:
        for axis in range(len(level)):
            if left[axis] <= tolerance:
                continue
            if level[axis] + 1 == len(sizes):
                raise InferenceError(
                    f"bias model {rough.model.bias.name}: the integral over its parameters did not settle to "
                    f"{tolerance:g} (reached {left[axis]:.1e})."
                )
            higher = [n + (i == axis) for i, n in enumerate(level)]
            finer, after = at(higher)
            left[axis] = float((share * np.abs(np.expm1(before - after))).max())
            if left[axis] > tolerance:
                level, integrand, before = higher, finer, after
                left = [math.inf] * len(level)
    return integrand, max(left)
