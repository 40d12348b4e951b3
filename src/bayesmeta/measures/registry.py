"""The effect measures by name: scale, null value, transform and back-transform."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.errors import find_name

__all__ = ["MEASURES", "Measure", "measure"]


def _same(x: ArrayLike) -> np.ndarray:
    return np.asarray(x, dtype=float)


@dataclass(frozen=True, slots=True)
class Measure:
    """An effect measure and the scale it is analysed on.

    Parameters
    ----------
    name : str
        The name in tables and protocols, ``"SMD"``.
    label : str
        In words: ``"standardised mean difference"``.
    axis : str
        Label of an axis on the natural scale: ``"Hedges' g"``.
    log : bool
        Analysed on the log scale?
    transform, back : callable
        From the natural scale to the scale of the analysis, and back; they work on arrays.
    natural_null : float
        The value of no effect on the natural scale; on the scale of the analysis it is ``null``.
    null : float
        The value of no effect on the scale of the analysis: 0 for every measure.

    Examples
    --------
    >>> odds_ratio = measure("OR")
    >>> odds_ratio.log, odds_ratio.natural_null, float(odds_ratio.back(odds_ratio.null))
    (True, 1.0, 1.0)
    """

    name: str
    label: str
    axis: str
    log: bool = False
    transform: Callable[[ArrayLike], np.ndarray] = _same
    back: Callable[[ArrayLike], np.ndarray] = _same
    natural_null: float = 0.0
    null: float = 0.0

    @property
    def transformed(self) -> bool:
        """True where the scale of the analysis is not the natural one."""
        return self.transform is not _same


def _ratio(name: str, label: str) -> Measure:
    return Measure(name, label, label.capitalize(), True, np.log, np.exp, 1.0)


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        item.name: item
        for item in (
            Measure("MD", "mean difference", "Mean difference"),
            Measure("SMD", "standardised mean difference", "Hedges' g"),
            Measure("SMDH", "standardised mean difference, unequal variances", "Hedges' g (unequal variances)"),
            _ratio("ROM", "ratio of means"),
            _ratio("OR", "odds ratio"),
            _ratio("RR", "risk ratio"),
            Measure("RD", "risk difference", "Risk difference"),
            _ratio("HR", "hazard ratio"),
            Measure("ZCOR", "correlation", "Correlation", False, np.arctanh, np.tanh),
            Measure("generic", "effect", "Effect"),
        )
    }
)
"""The effect measures by name."""


def measure(name: str) -> Measure:
    """Look up an effect measure.

    Parameters
    ----------
    name : str
        One of the names in :data:`MEASURES`.

    Returns
    -------
    Measure

    Raises
    ------
    ModelError
        If there is none of that name; the message lists those there are.

    Examples
    --------
    >>> measure("SMD").axis
    "Hedges' g"
    """
    return MEASURES[find_name("measure", name, MEASURES)]
