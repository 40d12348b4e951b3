"""Numbers that are not known exactly: averages over them, and quantiles of what they make.

A number enters an average by weighted values: itself, an end of a range, or nodes over the probit of a distribution, in
which any integrand of a posterior probability is smooth.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta import numerics
from bayesmeta.plan.thresholds import Amount, BetaRisk
from bayesmeta.priors import LogNormal, Prior, Uniform

__all__ = ["Quotient", "WeightedValues", "centre", "invert", "quotient", "ratio", "thinned", "weighted_values"]

FloatArray = NDArray[np.float64]

#: Nodes over the probit of one uncertain number; of each of two.
_NODES, _NODES_OF_TWO = 1025, 129
#: Nodes lighter than this change no digit.
_LIGHT = 1e-14


class WeightedValues(NamedTuple):
    """A number as weighted values: one, an end of a range, or the nodes of a distribution.

    Attributes
    ----------
    form : {"", "low end", "high end", "averaged"}
    values, weights : arrays of shape (M,)
        The weights sum to one.
    amount : Prior, BetaRisk or None
        The distribution, where it is one.
    """

    form: str
    values: FloatArray
    weights: FloatArray
    amount: Prior | BetaRisk | None = None

    @property
    def mean(self) -> float:
        """Expectation."""
        return float(self.weights @ self.values)

    def quantile(self, p: FloatArray) -> FloatArray:
        """Quantiles at probabilities ``p``."""
        return np.full(p.shape, self.values[0]) if self.amount is None else np.asarray(self.amount.ppf(p), float)


def weighted_values(amount: Amount | BetaRisk, nodes: int = _NODES) -> list[WeightedValues]:
    """Give a number as weighted values: a range is its two ends, a distribution the average over it.

    Examples
    --------
    >>> [part.form for part in weighted_values((8.0, 12.0))], weighted_values(BetaRisk(20, 80))[0].mean.__round__(10)
    (['low end', 'high end'], 0.2)
    """
    if isinstance(amount, tuple):
        low, high = (np.array([float(end)]) for end in amount)
        return [WeightedValues("low end", low, np.ones(1)), WeightedValues("high end", high, np.ones(1))]
    if isinstance(amount, (Prior, BetaRisk)):
        place, weights = numerics.rule(nodes)
        z = 8.2 * place
        weights = weights * np.exp(-0.5 * z * z)
        kept = weights > _LIGHT * weights.max()
        weights = weights[kept] / weights[kept].sum()
        return [WeightedValues("averaged", np.asarray(amount.ppf(special.ndtr(z[kept])), float), weights, amount)]
    return [WeightedValues("", np.array([float(amount)]), np.ones(1))]


def centre(amount: Amount | BetaRisk) -> float:
    """The number itself, the middle of a range, or the mean of a distribution."""
    parts = weighted_values(amount)
    return float(np.mean([part.mean for part in parts]))


def ratio(one: WeightedValues, other: WeightedValues) -> tuple[FloatArray, FloatArray]:
    """Values and weights of the quotient of two independent numbers."""
    values = (one.values[:, None] / other.values).ravel()
    weights = (one.weights[:, None] * other.weights).ravel()
    kept = weights > _LIGHT
    return values[kept], weights[kept] / weights[kept].sum()


def invert(below: Callable[[FloatArray], FloatArray], p: FloatArray, low: float, high: float) -> FloatArray:
    """Points at which a distribution function is ``p``, found on the probit scale inside a bracket.

    Parameters
    ----------
    below : callable
        Distribution function, from points of shape (P,) to probabilities of shape (P,), at each point its own.
    p : array of shape (P,)
        Between 0 and 1.
    low, high : float
        The bracket.
    """
    goal = special.ndtri(p)

    def gap(x: FloatArray) -> FloatArray:
        # tails beyond the range of a probit only need their sign
        return np.clip(special.ndtri(np.clip(below(x), 0.0, 1.0)), -40, 40) - goal

    return numerics.roots(gap, np.full(p.size, low), high, close=1e-11)


def thinned(part: WeightedValues) -> WeightedValues:
    """The same with fewer nodes, for products of two distributions."""
    return part if part.amount is None else weighted_values(part.amount, _NODES_OF_TWO)[0]


@dataclass(frozen=True, slots=True, repr=False)
class Quotient(Prior):
    """The quotient of two independent positive numbers with distributions, such as points over a standard deviation.

    Examples
    --------
    >>> Quotient(Uniform(3, 4), LogNormal(math.log(10), 0.1)).ppf(0.5).round(4).item()
    0.3491
    """

    over: Prior
    under: Prior
    name: ClassVar[str] = "quotient"

    @property
    def support(self) -> tuple[float, float]:
        """The positive half-line."""
        return (0.0, math.inf)

    def _averages_over(self) -> bool:
        """Whether averages run over the number above: over the uniform one, whose distribution function has corners."""
        return isinstance(self.over, Uniform) or not isinstance(self.under, Uniform)

    def logpdf(self, x: ArrayLike) -> FloatArray:
        """Log density at ``x``."""
        at = np.asarray(x, float)[..., None]
        with np.errstate(divide="ignore", invalid="ignore"):
            if self._averages_over():
                part = weighted_values(self.over)[0]
                density = np.exp(self.under.logpdf(part.values / at)) * part.values / at**2
            else:
                part = weighted_values(self.under)[0]
                density = np.exp(self.over.logpdf(part.values * at)) * part.values
            return np.where(at[..., 0] > 0, np.log(np.where(at > 0, density, 0.0) @ part.weights), -np.inf)

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value not above ``x``."""
        at = np.maximum(np.asarray(x, float), 0.0)[..., None]
        if not self._averages_over():
            part = weighted_values(self.under)[0]
            return np.asarray(self.over.cdf(part.values * at) @ part.weights)
        part = weighted_values(self.over)[0]
        with np.errstate(divide="ignore"):
            return np.asarray((1.0 - self.under.cdf(np.where(at > 0, part.values / at, np.inf))) @ part.weights)

    def ppf(self, p: ArrayLike) -> FloatArray:
        """Quantile at probability ``p``."""
        z = np.clip(special.ndtri(np.asarray(p, float)), -_FAR, _FAR)
        return np.exp(numerics.evaluate(np.ravel(z) / _FAR, _log_quantiles(self))[0]).reshape(z.shape)


#: Probits between which the quantile of a quotient is followed; beyond lies 4e-11 on either side, and a distribution
#: function near 1 has no digits left.
_FAR = 6.5


@functools.lru_cache(maxsize=64)
def _log_quantiles(of: Quotient) -> FloatArray:
    """Chebyshev series of the logarithm of a quantile over its probit, in which it is nearly a line."""
    ends = [amount.ppf(np.array([1e-15, 1 - 1e-15])) for amount in (of.over, of.under)]
    low, high = (math.log(float(ends[0][i] / ends[1][1 - i])) for i in (0, 1))
    at = special.ndtr(_FAR * numerics.rule(257)[0])
    return numerics.coefficients(invert(lambda x: of.cdf(np.exp(x)), at, low, high))


def quotient(over: Amount, under: Amount) -> Amount:
    """One amount over another that is independent of it; in closed form where there is one.

    A number over a number is a number, over or under a range a range; log-normal ones stay log-normal. A range beside a
    distribution is taken to be uniform.

    Examples
    --------
    >>> quotient(3.0, LogNormal(math.log(10), 0.1)), quotient((3.0, 4.0), 10.0)
    (lognormal(-1.2039728043259361, 0.1), (0.3, 0.4))
    """
    if not isinstance(over, Prior) and not isinstance(under, Prior):
        ends = [(amount, amount) if isinstance(amount, (int, float)) else amount for amount in (over, under)]
        low, high = ends[0][0] / ends[1][1], ends[0][1] / ends[1][0]
        return low if low == high else (low, high)
    logs = [
        (math.log(amount), 0.0)
        if isinstance(amount, (int, float))
        else (amount.meanlog, amount.sdlog)
        if isinstance(amount, LogNormal)
        else None
        for amount in (over, under)
    ]
    if logs[0] is not None and logs[1] is not None:
        return LogNormal(logs[0][0] - logs[1][0], math.hypot(logs[0][1], logs[1][1]))
    spread = [Uniform(*amount) if isinstance(amount, tuple) else amount for amount in (over, under)]
    # a number that is known: a distribution too narrow to be told from it
    made = [x if isinstance(x, Prior) else LogNormal(math.log(x), 1e-9) for x in spread]
    return Quotient(made[0], made[1])
