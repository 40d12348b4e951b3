"""Numbers that are not known exactly: averages over them, and quantiles of what they make.

A number enters an average by weighted values: itself, an end of a range, or nodes over the probit of a distribution, in
which any integrand of a posterior probability is smooth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta import numerics
from bayesmeta.plan.thresholds import Amount, BetaRisk
from bayesmeta.priors import Prior

__all__ = ["WeightedValues", "centre", "invert", "ratio", "thinned", "weighted_values"]

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
