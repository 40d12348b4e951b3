"""Likelihood of a candidate model at points of mean and between-study SD, its bias integrated out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesmeta.bias.cells import Cells, cell_probabilities, cells_of, log_weight_integral, weight_rule
from bayesmeta.bias.specification import PEESE, PET, PublicationBias, StepSelection
from bayesmeta.bias.stated import CopasSelection, ExponentialSelection, StatedSelection, log_selection
from bayesmeta.numerics import rule

__all__ = ["Rows", "log_likelihood", "slope_nodes"]

FloatArray = NDArray[np.float64]
#: Conditional standard deviations of a slope to either side of its best value that are integrated over.
_REACH = 9.0


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Independent estimates, turned so that the direction of selection is positive, under one form of bias.

    Under Copas selection `se` is what it was before selection, and `chances` are normal quantiles of those to be seen.
    """

    y: FloatArray
    se: FloatArray
    bias: PublicationBias | None
    cells: Cells | None
    chances: FloatArray

    @classmethod
    def of(cls, y: FloatArray, se: FloatArray, bias: PublicationBias | None) -> Rows:
        """Estimates with their intervals of p."""
        if isinstance(bias, CopasSelection):
            return cls(y, bias.unselected(se), bias, None, bias.chances(se))
        cells = cells_of(y, se, bias) if isinstance(bias, StepSelection | StatedSelection) else None
        return cls(y, se, bias, cells, np.zeros(y.size))

    @property
    def regressor(self) -> FloatArray:
        """What a slope multiplies."""
        return self.se if isinstance(self.bias, PET) else self.se**2


def log_likelihood(rows: Rows, mu: FloatArray, tau: FloatArray, nodes: Sequence[int]) -> FloatArray:
    """Log density of the estimates given mean and between-study SD.

    Parameters
    ----------
    mu, tau : arrays of shape (G,)
    nodes : sequence of int
        Of each weight, or of the slope.

    Returns
    -------
    array of shape (G,)
    """
    variance = rows.se**2 + tau[:, None] ** 2
    residual = rows.y - mu[:, None]
    constant = -0.5 * np.log(2.0 * math.pi * variance).sum(axis=1)
    if isinstance(rows.bias, PET | PEESE):
        slope, log_mass = slope_nodes(rows, mu, tau, nodes[0])
        x = rows.regressor
        xx, xr, rr = (
            (x * x / variance).sum(axis=1),
            (x * residual / variance).sum(axis=1),
            (residual**2 / variance).sum(axis=1),
        )
        log = log_mass - 0.5 * (rr[:, None] - 2.0 * slope * xr[:, None] + slope**2 * xx[:, None])
        peak = log.max(axis=1)
        return np.asarray(constant + peak + np.log(np.exp(log - peak[:, None]).sum(axis=1)))
    plain = constant - 0.5 * (residual**2 / variance).sum(axis=1)
    if isinstance(rows.bias, ExponentialSelection | CopasSelection):
        return np.asarray(plain + log_selection(rows.bias, rows.y, rows.se, rows.chances, mu, tau))
    if rows.cells is None:
        return np.asarray(plain)
    assert isinstance(rows.bias, StepSelection | StatedSelection)
    chances = cell_probabilities(rows.cells, np.broadcast_to(mu[:, None], variance.shape), np.sqrt(variance))
    return np.asarray(plain + log_weight_integral(chances, rows.cells.trials, weight_rule(rows.bias, nodes)))


def slope_nodes(rows: Rows, mu: FloatArray, tau: FloatArray, nodes: int) -> tuple[FloatArray, FloatArray]:
    """Nodes of a slope where its conditional posterior has mass, and log prior mass at each, both (G, nodes)."""
    assert isinstance(rows.bias, PET | PEESE)
    variance, x = rows.se**2 + tau[:, None] ** 2, rows.regressor
    xx = (x * x / variance).sum(axis=1)
    best, sd = (x * (rows.y - mu[:, None]) / variance).sum(axis=1) / xx, 1.0 / np.sqrt(xx)
    low = np.maximum(best - _REACH * sd, 0.0)
    # a best value below zero leaves an exponential tail at zero, whose length is known
    length = np.where(best < 0, sd / np.maximum(-best / sd, 1.0) * 40.0, np.inf)
    high = np.minimum(np.maximum(best, 0.0) + _REACH * sd, length)
    t, weights = rule(nodes)
    slope = 0.5 * (low + high)[:, None] + 0.5 * (high - low)[:, None] * t
    with np.errstate(divide="ignore"):
        mass = np.log(np.maximum(weights, 0.0)) + np.log(0.5 * (high - low))[:, None]
    return slope, mass + rows.bias.slope.logpdf(slope)
