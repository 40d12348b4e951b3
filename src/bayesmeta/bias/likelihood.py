"""Likelihood of a candidate model at points of mean and between-study SD, its bias integrated out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.bias.cells import Cells, Chances, cell_probabilities, cells_of, log_weight_integral, weight_rule
from bayesmeta.bias.dependence import ALONE, Pairs, log_determinant, pair_probabilities, precision_times
from bayesmeta.bias.specification import PEESE, PET, PublicationBias, StepSelection
from bayesmeta.bias.stated import CopasSelection, ExponentialSelection, StatedSelection, log_selection
from bayesmeta.errors import ModelError
from bayesmeta.numerics import rule

__all__ = ["Rows", "log_likelihood", "slope_nodes"]

FloatArray = NDArray[np.float64]
#: Conditional standard deviations of a slope to either side of its best value that are integrated over.
_REACH = 9.0
#: Numbers in one array of points by estimates, so that it fits in memory.
_ROOM = 2e5


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Estimates, turned so that the direction of selection is positive, under one form of bias.

    Under Copas selection `se` is what it was before selection, and `visible` are normal quantiles of the chances to be
    seen.
    """

    y: FloatArray
    se: FloatArray
    bias: PublicationBias | None
    pairs: Pairs
    cells: Cells | None
    visible: FloatArray

    @classmethod
    def of(cls, y: FloatArray, se: FloatArray, bias: PublicationBias | None, pairs: Pairs = ALONE) -> Rows:
        """Estimates with their intervals of p."""
        if isinstance(bias, CopasSelection | ExponentialSelection) and pairs.first.size:
            raise ModelError(f"{bias.name}: two results that share patients are selected together by steps of p only.")
        if isinstance(bias, CopasSelection):
            return cls(y, bias.unselected(se), bias, pairs, None, bias.chances(se))
        cells = cells_of(y, se, bias) if isinstance(bias, StepSelection | StatedSelection) else None
        return cls(y, se, bias, pairs, cells, np.zeros(y.size))

    @property
    def regressor(self) -> FloatArray:
        """What a slope multiplies."""
        return self.se if isinstance(self.bias, PET) else self.se**2

    def sums(self, tau: FloatArray, *columns: FloatArray) -> FloatArray:
        """Products of columns (G, k) with the inverse covariance in between: shape (G, q, q) of q columns."""
        A = np.stack([np.broadcast_to(column, (tau.size, self.y.size)) for column in columns], axis=2)
        return np.asarray(np.einsum("gkp,gkq->gpq", A, precision_times(self.se, self.pairs, tau, A)))

    def chances(self, centre: FloatArray, tau: FloatArray) -> Chances:
        """Probabilities of the intervals of p, of means (G, 1) or (G, k) and taus (G,)."""
        assert self.cells is not None
        cells, pairs = self.cells, self.pairs
        spread = np.sqrt(self.se**2 + tau[:, None] ** 2)
        centre = np.broadcast_to(centre, spread.shape)
        alone = np.setdiff1d(np.arange(self.y.size), np.concatenate([pairs.first, pairs.second]))
        own = Cells(cells.cuts[alone], cells.member, cells.group[alone], cells.trials)
        single = cell_probabilities(own, centre[:, alone], spread[:, alone])
        double = [
            pair_probabilities(
                (cells.cuts[i], cells.cuts[j]),
                (centre[:, i], centre[:, j]),
                (spread[:, i], spread[:, j]),
                both / (spread[:, i] * spread[:, j]),
                cells.member,
            )
            for i, j, both in zip(pairs.first, pairs.second, pairs.covariance(tau).T, strict=True)
        ]
        count = cells.member.shape[1] ** 2
        return Chances(single, np.stack(double, axis=1) if double else np.empty((tau.size, 0, count)))


def log_likelihood(rows: Rows, mu: FloatArray, tau: FloatArray, nodes: Sequence[int]) -> FloatArray:
    """Log density of the estimates given mean and between-study SD.

    Parameters
    ----------
    mu : array of shape (G,) or (G, k)
        The mean of all trials, or of each.
    tau : array of shape (G,)
    nodes : sequence of int
        Of each weight, or of the slope.

    Returns
    -------
    array of shape (G,)
    """
    found = np.empty(tau.size)
    step = max(1, int(_ROOM // rows.y.size))
    for start in range(0, tau.size, step):
        part = slice(start, start + step)
        found[part] = _log_likelihood(rows, mu[part], tau[part], nodes)
    return found


def _log_likelihood(rows: Rows, mu: FloatArray, tau: FloatArray, nodes: Sequence[int]) -> FloatArray:
    centre = mu if mu.ndim == 2 else mu[:, None]
    residual = rows.y - centre
    constant = -0.5 * (rows.y.size * math.log(2.0 * math.pi) + log_determinant(rows.se, rows.pairs, tau))
    if isinstance(rows.bias, PET | PEESE):
        products = rows.sums(tau, rows.regressor, residual)
        xx, xr, rr = products[:, 0, 0], products[:, 0, 1], products[:, 1, 1]
        slope, log_mass = slope_nodes(rows.bias, xx, xr, nodes[0])
        log = log_mass - 0.5 * (rr[:, None] - 2.0 * slope * xr[:, None] + slope**2 * xx[:, None])
        peak = log.max(axis=1)
        return np.asarray(constant + peak + np.log(np.exp(log - peak[:, None]).sum(axis=1)))
    plain = constant - 0.5 * rows.sums(tau, residual)[:, 0, 0]
    if isinstance(rows.bias, ExponentialSelection | CopasSelection):
        return np.asarray(plain + log_selection(rows.bias, rows.y, rows.se, rows.visible, mu, tau))
    if rows.cells is None:
        return np.asarray(plain)
    assert isinstance(rows.bias, StepSelection | StatedSelection)
    chances = rows.chances(centre, tau)
    return np.asarray(plain + log_weight_integral(chances, rows.cells.trials, weight_rule(rows.bias, nodes)))


def slope_nodes(form: PET | PEESE, xx: FloatArray, xr: FloatArray, nodes: int) -> tuple[FloatArray, FloatArray]:
    """Nodes of a slope where its conditional posterior has mass, and log prior mass at each, both (G, nodes).

    Parameters
    ----------
    xx, xr : arrays of shape (G,)
        Products of the regressor with itself and with the residuals.
    """
    best, sd = xr / xx, 1.0 / np.sqrt(xx)
    low = np.maximum(best - _REACH * sd, 0.0)
    # a best value below zero leaves an exponential tail at zero, whose length is known
    length = np.where(best < 0, sd / np.maximum(-best / sd, 1.0) * 40.0, np.inf)
    high = np.minimum(np.maximum(best, 0.0) + _REACH * sd, length)
    t, weights = rule(nodes)
    slope = 0.5 * (low + high)[:, None] + 0.5 * (high - low)[:, None] * t
    with np.errstate(divide="ignore"):
        mass = np.log(weights) + np.log(0.5 * (high - low))[:, None]
    return slope, mass + form.slope.logpdf(slope)
