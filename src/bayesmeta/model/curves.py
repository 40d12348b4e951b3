"""Columns of a numeric moderator: a straight line, a smooth curve, monotone ramps; functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import ModelError

__all__ = ["Curve", "Line", "Ramps", "Smooth", "knots_at"]

FloatArray = NDArray[np.float64]


def knots_at(knots: tuple[float, ...] | int, stated: FloatArray) -> FloatArray:
    """Places of the knots: as given, or at quantiles of the distinct values, the ends included.

    Examples
    --------
    >>> knots_at(3, np.array([4.0, 12.0, 12.0, 6.0])).tolist()
    [4.0, 6.0, 12.0]
    """
    if not isinstance(knots, int):
        places = np.array(knots, float)
        if places[0] > stated.min() or places[-1] < stated.max():
            raise ModelError(
                f"knots {places[0]:g} to {places[-1]:g} do not cover the values, {stated.min():g} to {stated.max():g}."
            )
        return places
    distinct = np.unique(stated)
    if distinct.size < knots:
        raise ModelError(f"{distinct.size} distinct values cannot place {knots} knots. Give fewer, or a straight line.")
    return np.quantile(distinct, np.linspace(0, 1, knots))


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line; its coefficient is the slope per ``per`` units."""

    per: float

    @property
    def width(self) -> int:
        """Number of columns."""
        return 1

    @property
    def reported(self) -> tuple[str, FloatArray]:
        """Suffix of the reported coefficient, and its weights on the columns."""
        return ("" if self.per == 1 else f" per {self.per:g}"), np.ones(1)

    def columns(self, values: FloatArray, centre: float) -> FloatArray:
        """Columns at values, shape ``(rows, 1)``."""
        return (values[:, None] - centre) / self.per


@dataclass(frozen=True, slots=True, eq=False)
class Smooth:
    """A natural cubic spline: a line, and departures that are orthogonal to lines at the knots.

    Departures are scaled so that independent unit coefficients make a curve whose root mean square at the knots is one
    on average. Beyond the outer knots the curve is a line.

    References
    ----------
    Green PJ, Silverman BW. Nonparametric Regression and Generalized Linear Models. Chapman & Hall 1994, section 2.1.
    doi:10.1201/b15710

    Examples
    --------
    >>> curve = Smooth(1.0, np.array([0.0, 1.0, 2.0, 4.0]))
    >>> at_knots = curve.columns(curve.knots, 0.0)[:, 1:]
    >>> bool(np.allclose(at_knots.T @ np.column_stack([np.ones(4), curve.knots]), 0))
    True
    """

    per: float
    knots: FloatArray
    _values: FloatArray = field(init=False, repr=False)
    _second: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        h = np.diff(self.knots)
        n = self.knots.size
        Q, R = np.zeros((n, n - 2)), np.zeros((n - 2, n - 2))
        for j in range(n - 2):
            Q[j, j], Q[j + 1, j], Q[j + 2, j] = 1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]
            R[j, j] = (h[j] + h[j + 1]) / 3
            if j + 1 < n - 2:
                R[j, j + 1] = R[j + 1, j] = h[j + 1] / 6
        to_second = np.linalg.solve(R, Q.T)
        eigenvalues, vectors = np.linalg.eigh(Q @ to_second)
        # the two flat directions are the lines; the others, weighted by their smoothness, are the departures. The sign
        # of a vector differs between processors, and a kept fit holds coefficients: all end above zero
        basis = vectors[:, 2:] * np.sign(vectors[-1, 2:]) / np.sqrt(eigenvalues[2:])
        basis = basis / np.sqrt(np.square(basis).sum() / n)
        object.__setattr__(self, "_values", basis)
        object.__setattr__(self, "_second", np.vstack([np.zeros(n - 2), to_second @ basis, np.zeros(n - 2)]))

    @property
    def width(self) -> int:
        """Number of columns: the line and the departures."""
        return self.knots.size - 1

    @property
    def reported(self) -> tuple[str, FloatArray]:
        """Suffix of the reported coefficient (the line), and its weights on the columns."""
        return f" (line per {self.per:g})", np.concatenate([[1.0], np.zeros(self.width - 1)])

    def columns(self, values: FloatArray, centre: float) -> FloatArray:
        """Columns at values, shape ``(rows, knots - 1)``."""
        t = self.knots
        place = np.clip(np.searchsorted(t, values, side="right") - 1, 0, t.size - 2)
        inside = np.clip(values, t[0], t[-1])
        h = (t[1:] - t[:-1])[place][:, None]
        left, right = (inside - t[place])[:, None], (t[place + 1] - inside)[:, None]
        g0, g1, s0, s1 = self._values[place], self._values[place + 1], self._second[place], self._second[place + 1]
        curve = (left * g1 + right * g0) / h - left * right / 6 * ((1 + left / h) * s1 + (1 + right / h) * s0)
        outside = (values - inside)[:, None]
        slope = (g1 - g0) / h + np.where(outside > 0, 1, -1) * h / 6 * np.where(outside > 0, s0 + 2 * s1, 2 * s0 + s1)
        return np.hstack([(values[:, None] - centre) / self.per, curve + outside * slope])


@dataclass(frozen=True, slots=True, eq=False)
class Ramps:
    """Ramps from 0 to 1, one between every two knots; with coefficients of one sign their sum is monotone."""

    knots: FloatArray

    @property
    def width(self) -> int:
        """Number of ramps."""
        return self.knots.size - 1

    @property
    def reported(self) -> tuple[str, FloatArray]:
        """Suffix of the reported coefficient (the total change), and its weights on the columns."""
        return f" ({self.knots[0]:g} to {self.knots[-1]:g})", np.ones(self.width)

    def columns(self, values: FloatArray, centre: float) -> FloatArray:
        """Columns at values, shape ``(rows, knots - 1)``."""
        at = (values[:, None] - self.knots[:-1]) / np.diff(self.knots)
        return np.clip(at, 0.0, 1.0)


Curve = Line | Smooth | Ramps
