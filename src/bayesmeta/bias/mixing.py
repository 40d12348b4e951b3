"""One-dimensional posteriors averaged over models: a weighted list of forms, atoms among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError
from bayesmeta.marginals import (
    IntervalKind,
    Marginal,
    NormalMixture,
    check_interval,
    check_probabilities,
    shortest,
)
from bayesmeta.numerics import interval_ends

__all__ = ["Weighted", "atom", "mixed"]

FloatArray = NDArray[np.float64]
#: Components of a mixture that hold less than this change no digit.
_NOTHING = 1e-14
#: Halvings of a bracket: a double has 52 binary digits and brackets are no wider than 2^30 times the answer's size.
_HALVINGS = 90


def atom(x: float) -> NormalMixture:
    """All probability at one value.

    Examples
    --------
    >>> atom(1.0).cdf([0.5, 1.0]).tolist()
    [0.0, 1.0]
    """
    return NormalMixture(np.ones(1), np.array([x]), np.zeros(1))


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """A mixture of one-dimensional posteriors.

    Parameters
    ----------
    weights : array of shape (N,)
        Sum to one.
    forms : sequence of Marginal

    Examples
    --------
    >>> spike = Weighted(np.array([0.25, 0.75]), (atom(0.0), NormalMixture([1.0], [1.0], [1.0])))
    >>> spike.mean, float(spike.quantile(0.3).round(6))
    (0.75, 0.0)
    """

    weights: FloatArray
    forms: tuple[Marginal, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(self.forms) or abs(float(np.sum(self.weights)) - 1.0) > 1e-9:
            raise ModelError("a mixture needs one weight for each form, and weights that sum to one.")

    def _sum(self, value: Callable[[Marginal], Any]) -> Any:
        return sum(w * value(form) for w, form in zip(self.weights, self.forms, strict=True))

    @property
    def mean(self) -> float:
        """Expectation, or infinity where it does not exist."""
        return float(self._sum(lambda form: form.mean))

    @property
    def sd(self) -> float:
        """Standard deviation, or infinity where it does not exist."""
        centre = self.mean
        return math.sqrt(self._sum(lambda form: form.sd**2 + (form.mean - centre) ** 2))

    @property
    def mcse(self) -> float:
        """Monte Carlo standard error of the mean; zero where nothing is simulated."""
        return math.sqrt(sum((w * form.mcse) ** 2 for w, form in zip(self.weights, self.forms, strict=True)))

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value not above ``x``, of the shape of ``x``."""
        return np.minimum(np.asarray(self._sum(lambda form: form.cdf(x)), float), 1.0)

    def sf(self, x: ArrayLike) -> FloatArray:
        """Probability of a value above ``x``."""
        return np.minimum(np.asarray(self._sum(lambda form: form.sf(x)), float), 1.0)

    def density(self, x: ArrayLike) -> FloatArray:
        """Density at ``x``; infinite at an atom."""
        return np.asarray(self._sum(lambda form: form.density(x)), float)

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Smallest values whose distribution function is at least ``p``, of the shape of ``p``."""
        p = check_probabilities(p)
        flat = p.ravel()
        found = self._between_atoms(flat)
        for x, share in self._atoms().items():
            top = self.cdf(x)
            found = np.where((flat > top - share) & (flat <= top), x, found)
        return found.reshape(p.shape)

    def _atoms(self) -> dict[float, float]:
        """Values that have probability, with it."""
        found: dict[float, float] = {}
        for w, form in zip(self.weights, self.forms, strict=True):
            if isinstance(form, NormalMixture):
                at = form.sds == 0
                for x, share in zip(form.means[at].tolist(), form.weights[at].tolist(), strict=True):
                    found[x] = found.get(x, 0.0) + float(w) * share
        return found

    def _between_atoms(self, flat: FloatArray) -> FloatArray:
        ends = np.array([form.quantile(flat) for form in self.forms])
        low, high = ends.min(axis=0), ends.max(axis=0)
        for _ in range(_HALVINGS):
            # an infinite end stays where it is
            with np.errstate(invalid="ignore"):
                middle = np.where(np.isfinite(low) & np.isfinite(high), 0.5 * (low + high), high)
            if not ((middle > low) & (middle < high)).any():
                break
            above = self.cdf(middle) >= flat
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return high

    def interval(self, level: float = 0.95, kind: IntervalKind = "central") -> tuple[float, float]:
        """Interval that holds probability ``level``: equal tails, or the shortest."""
        check_interval(level, kind)
        if kind == "shortest":
            return shortest(self, level)
        low, _, high = self.quantile(interval_ends(level))
        return float(low), float(high)

    def rvs(self, size: int, rng: np.random.Generator) -> FloatArray:
        """Independent draws, shape ``(size,)``."""
        counts = rng.multinomial(size, self.weights / np.sum(self.weights))
        drawn = [form.rvs(n, rng) for form, n in zip(self.forms, counts.tolist(), strict=True) if n]
        return np.asarray(rng.permutation(np.concatenate(drawn)), float)


def mixed(weights: ArrayLike, forms: Sequence[Marginal]) -> Marginal:
    """A mixture in the simplest form: mixtures of normals become one, and what has no weight is left out.

    Parameters
    ----------
    weights : array of shape (N,)
        Sum to one.
    forms : sequence of N Marginal

    Examples
    --------
    >>> mixed([0.5, 0.5], [atom(0.0), NormalMixture([1.0], [1.0], [1.0])]).mean
    0.5
    """
    flat: list[tuple[float, Marginal]] = []
    for w, form in zip(np.asarray(weights, float).tolist(), forms, strict=True):
        inner = zip((w * form.weights).tolist(), form.forms, strict=True) if isinstance(form, Weighted) else [(w, form)]
        flat += [item for item in inner if item[0] > 0]
    normal = [(w, form) for w, form in flat if isinstance(form, NormalMixture)]
    others = [(w, form) for w, form in flat if not isinstance(form, NormalMixture)]
    if normal:
        total = math.fsum(w for w, _ in normal)
        parts = [np.array([w / total * form.weights, form.means, form.sds]) for w, form in normal]
        shares, means, sds = np.concatenate(parts, axis=1)
        kept = shares > _NOTHING
        pooled = NormalMixture(
            shares[kept] / shares[kept].sum(), means[kept], sds[kept], min(form.moments for _, form in normal)
        )
        if not others:
            return pooled
        others.append((total, pooled))
    if len(others) == 1:
        return others[0][1]
    return Weighted(np.array([w for w, _ in others]), tuple(form for _, form in others))
