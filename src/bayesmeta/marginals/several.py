"""Posteriors of several quantities at once, whatever they are made of: vectors of moments, arrays of probabilities.

An answer by quadrature is given when the full rule and the rule embedded in it agree to 1e-8 in probability; else it is
asked again of finer nodes. That is done here and nowhere else.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.marginals.draws import Draws
from bayesmeta.marginals.mixture import Marginal, NormalMixture, mixture_quantile
from bayesmeta.marginals.tabulated import Gridded, grid_quantiles

__all__ = ["SETTLED", "Joined", "Marginals", "NormalMixtures", "Separate", "Summary"]

FloatArray = NDArray[np.float64]
#: Answers of shape (M, P), and how far each row of them is from settled, of shape (M,).
Settling = tuple[FloatArray, FloatArray]
#: An answer is given when the full and the embedded rule agree to this.
SETTLED = 1e-8
#: Numbers in one array of quantities by points by nodes, so that it fits in memory.
_ROOM = 4e6
#: Beyond so many nodes the arithmetic takes the time, and batching gains nothing.
_FEW_NODES = 1024


class Summary(NamedTuple):
    """Mean, SD and Monte Carlo standard error of the mean, shape (M,); quantiles of shape (M, P)."""

    mean: FloatArray
    sd: FloatArray
    quantiles: FloatArray
    mcse: FloatArray


class Marginals(ABC):
    """Posteriors of M quantities; ``form[i]`` is the i-th of them alone."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, row: int) -> Marginal: ...

    @property
    def mean(self) -> FloatArray:
        """Expectations, shape (M,); infinite where they do not exist."""
        return np.array([self[row].mean for row in range(len(self))])

    @property
    def sd(self) -> FloatArray:
        """Standard deviations, shape (M,); infinite where they do not exist."""
        return np.array([self[row].sd for row in range(len(self))])

    @property
    def mcse(self) -> FloatArray:
        """Monte Carlo standard errors of the means, shape (M,); zero where nothing is simulated."""
        return np.array([self[row].mcse for row in range(len(self))])

    @property
    def mixtures(self) -> NormalMixtures | None:
        """The same as finite mixtures of normals, on the same nodes; None where they are none."""
        return None

    @abstractmethod
    def tails(self, x: FloatArray, upper: bool) -> Settling:
        """Lower or upper tail probabilities at ``x`` of shape (P,)."""

    @abstractmethod
    def quantiles(self, p: FloatArray) -> Settling:
        """Quantiles at probabilities ``p`` of shape (P,)."""

    def finer(self) -> Marginals:
        """The same quantities on more nodes."""
        raise NotImplementedError

    def settled[T](self, question: Callable[[Marginals], tuple[T, FloatArray | float]]) -> T:
        """Answer a question, which also says what the embedded rule changes; with more nodes until that is little."""
        form = self
        answer, error = question(form)
        while not np.all(np.asarray(error) <= SETTLED):
            form = form.finer()
            answer, error = question(form)
        return answer

    def cdf(self, x: ArrayLike) -> FloatArray:
        """Probabilities of values not above ``x`` of shape (P,); shape (M, P)."""
        # weights add up to 1 but for rounding
        return np.minimum(self.settled(lambda form: form.tails(np.atleast_1d(np.asarray(x, float)), False)), 1.0)

    def sf(self, x: ArrayLike) -> FloatArray:
        """Probabilities of values above ``x``, accurate where they are small."""
        return np.minimum(self.settled(lambda form: form.tails(np.atleast_1d(np.asarray(x, float)), True)), 1.0)

    def quantile(self, p: ArrayLike) -> FloatArray:
        """Values whose distribution functions are ``p`` of shape (P,); shape (M, P)."""
        return self.settled(lambda form: form.quantiles(np.atleast_1d(np.asarray(p, float))))

    def cdf_mcse(self, x: ArrayLike) -> FloatArray:
        """Monte Carlo standard errors of `cdf`; zero where nothing is simulated."""
        return np.zeros((len(self), np.size(x)))

    def summary(self, p: FloatArray) -> Summary:
        """Moments and quantiles, of the nodes on which the quantiles have settled."""
        form, values = self.settled(lambda form: ((form, (found := form.quantiles(p))[0]), found[1]))
        return Summary(form.mean, form.sd, values, form.mcse)


@dataclass(frozen=True, slots=True, eq=False)
class NormalMixtures(Marginals):
    """Finite mixtures of normals.

    Attributes
    ----------
    weights, coarse : arrays of shape (N,) or (M, N)
        By the full rule and by the embedded rule, shared by all quantities or of each.
    means, sds : arrays of shape (M, N)
    moments : array of int of shape (M,)
        Highest moment that exists.
    more : callable or None
        Makes the same on finer nodes.

    Examples
    --------
    >>> form = NormalMixtures(np.ones(1), np.ones(1), np.array([[0.0], [1.0]]), np.ones((2, 1)), np.array([2, 2]))
    >>> form.cdf([0.0, 1.0]).round(4).tolist()
    [[0.5, 0.8413], [0.1587, 0.5]]
    """

    weights: FloatArray
    coarse: FloatArray
    means: FloatArray
    sds: FloatArray
    moments: NDArray[np.intp]
    more: Callable[[], NormalMixtures] | None = None

    def __len__(self) -> int:
        return len(self.means)

    def __getitem__(self, row: int) -> NormalMixture:
        weights = self.weights if self.weights.ndim == 1 else self.weights[row]
        return NormalMixture(weights, self.means[row], self.sds[row], int(self.moments[row]))

    @property
    def mixtures(self) -> NormalMixtures:
        """These."""
        return self

    def finer(self) -> NormalMixtures:
        """The same quantities on more nodes."""
        assert self.more is not None
        return self.more()

    @property
    def mean(self) -> FloatArray:
        """Expectations; infinite where they do not exist."""
        return np.where(self.moments >= 1, _weighed(self.means, self.weights), math.inf)

    @property
    def sd(self) -> FloatArray:
        """Standard deviations; infinite where they do not exist."""
        centre = _weighed(self.means, self.weights)
        spread = np.sqrt(_weighed(self.sds**2 + (self.means - centre[:, None]) ** 2, self.weights))
        return np.where(self.moments >= 2, spread, math.inf)

    @property
    def mcse(self) -> FloatArray:
        """Zeros: nothing is simulated."""
        return np.zeros(len(self))

    def _pieces(self, points: int) -> Iterator[tuple[slice, slice, FloatArray, FloatArray]]:
        """Slices of rows and of points that fit in memory, with the weights of the rows."""
        nodes = self.means.shape[1]
        rows, columns = (max(1, int(_ROOM // (nodes * n))) for n in (max(points, 1), 1))
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            weights, coarse = (form if form.ndim == 1 else form[part] for form in (self.weights, self.coarse))
            for first in range(0, points, columns):
                yield part, slice(first, first + columns), weights, coarse

    def tails(self, x: FloatArray, upper: bool) -> Settling:
        """Tail probabilities by the full rule, and their largest difference from the embedded rule."""
        values, error = np.empty((len(self), x.size)), np.zeros(len(self))
        for rows, columns, weights, coarse in self._pieces(x.size):
            scaled = (x[columns, None] - self.means[rows, None, :]) / self.sds[rows, None, :]
            tails = special.ndtr(-scaled if upper else scaled)
            values[rows, columns] = _weighed(tails, weights)
            change = np.abs(_weighed(tails, coarse) - values[rows, columns]).max(axis=1, initial=0.0)
            error[rows] = np.maximum(error[rows], change)
        return values, error

    def quantiles(self, p: FloatArray) -> Settling:
        """Quantiles by the full rule, and how far the embedded rule is from ``p`` there."""
        values, error = np.empty((len(self), p.size)), np.zeros(len(self))
        for rows, columns, weights, coarse in self._pieces(p.size):
            means, sds = self.means[rows], self.sds[rows]
            values[rows, columns] = mixture_quantile(p[columns], weights, means, sds)
            other = special.ndtr((values[rows, columns, None] - means[:, None, :]) / sds[:, None, :])
            change = np.abs(_weighed(other, coarse) - p[columns]).max(axis=1, initial=0.0)
            error[rows] = np.maximum(error[rows], change)
        return values, error


def _weighed(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Sums over the last axis of values (M, ..., N) by weights of shape (N,) or (M, N)."""
    if weights.ndim == 1:
        return values @ weights
    return (values * weights).sum(axis=1) if values.ndim == 2 else (values @ weights[:, :, None])[:, :, 0]


@dataclass(frozen=True, slots=True, eq=False)
class Separate(Marginals):
    """Quantities of which each has a form of its own: draws, or tabulated densities.

    Examples
    --------
    >>> Separate((NormalMixture([1.0], [0.5], [1.0]), NormalMixture([1.0], [0.0], [2.0]))).mean.tolist()
    [0.5, 0.0]
    """

    forms: Sequence[Marginal]

    def __len__(self) -> int:
        return len(self.forms)

    def __getitem__(self, row: int) -> Marginal:
        return self.forms[row]

    def tails(self, x: FloatArray, upper: bool) -> Settling:
        """Tail probabilities of each."""
        values = [form.sf(x) if upper else form.cdf(x) for form in self.forms]
        return np.array(values).reshape(len(self), x.size), np.zeros(len(self))

    def quantiles(self, p: FloatArray) -> Settling:
        """Quantiles of each, those of tabulated densities together."""
        tabulated = [form for form in self.forms if isinstance(form, Gridded)]
        if len(tabulated) == len(self) > 1:
            return grid_quantiles(tabulated, p), np.zeros(len(self))
        return np.array([form.quantile(p) for form in self.forms]).reshape(len(self), -1), np.zeros(len(self))

    def cdf_mcse(self, x: ArrayLike) -> FloatArray:
        """Monte Carlo standard errors of `cdf`."""
        points = np.atleast_1d(np.asarray(x, float)).tolist()
        return np.array([[f.cdf_mcse(v) if isinstance(f, Draws) else 0.0 for v in points] for f in self.forms])


class Joined(Marginals):
    """One quantity of many posteriors; those on about as many nodes are computed together.

    Examples
    --------
    >>> one = np.ones(1)
    >>> forms = [NormalMixtures(one, one, np.full((1, 1), mean), np.ones((1, 1)), np.array([2])) for mean in (0.0, 1.0)]
    >>> Joined(forms).quantile([0.5]).tolist()
    [[0.0], [1.0]]
    """

    def __init__(self, forms: Sequence[Marginals]) -> None:
        self._alone = forms
        alike: dict[object, list[int]] = {}
        for i, form in enumerate(forms):
            size = math.inf if form.mixtures is None else form.mixtures.weights.size
            # tabulated densities also gain from batching; what settles in a way of its own does not
            key = int(size - 1).bit_length() if size <= _FEW_NODES else Separate if type(form) is Separate else (i,)
            alike.setdefault(key, []).append(i)
        self._groups = [(places, _stacked([forms[i] for i in places])) for places in alike.values()]

    def __len__(self) -> int:
        return len(self._alone)

    def __getitem__(self, row: int) -> Marginal:
        return self._alone[row][0]

    def _gathered(self, question: Callable[[Marginals], tuple[FloatArray, FloatArray]], points: int) -> Settling:
        found = np.empty((len(self), points))
        for places, group in self._groups:
            found[places], error = question(group)
            for i in np.flatnonzero(~(error <= SETTLED)).tolist():
                found[places[i]] = self._alone[places[i]].settled(question)[0]
        return found, np.zeros(len(self))

    def tails(self, x: FloatArray, upper: bool) -> Settling:
        """Tail probabilities, settled."""
        return self._gathered(lambda form: form.tails(x, upper), x.size)

    def quantiles(self, p: FloatArray) -> Settling:
        """Quantiles, settled."""
        return self._gathered(lambda form: form.quantiles(p), p.size)


def _stacked(forms: Sequence[Marginals]) -> Marginals:
    """Forms of one quantity each as one form of many."""
    parts = [form.mixtures for form in forms if form.mixtures is not None]
    if len(forms) == 1:
        return forms[0]
    if not parts:
        return Separate([form[0] for form in forms])
    # what is added to fill a row has no weight
    filled = np.zeros((4, len(forms), max(part.weights.size for part in parts)))
    filled[3] = 1.0
    for i, part in enumerate(parts):
        filled[:, i, : part.weights.size] = part.weights, part.coarse, part.means[0], part.sds[0]
    weights, coarse, means, sds = filled
    return NormalMixtures(weights, coarse, means, sds, np.array([part.moments[0] for part in parts]))
