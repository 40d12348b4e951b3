"""The effect measures by name: scale, null value, transform and back-transform."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bayesmeta.errors import ModelError, find_name

__all__ = ["MEASURES", "Measure", "measure", "require_null"]


def _same(x: ArrayLike) -> np.ndarray:
    return np.asarray(x, dtype=float)


def _logit(x: ArrayLike) -> np.ndarray:
    return np.asarray(special.logit(np.asarray(x, dtype=float)))


def _expit(x: ArrayLike) -> np.ndarray:
    return np.asarray(special.expit(np.asarray(x, dtype=float)))


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
    natural_null : float or None
        The value of no effect on the natural scale; on the scale of the analysis it is ``null``. None where one arm is
        described, which has no such value.
    null : float or None
        The value of no effect on the scale of the analysis: 0, or None.
    support : (float, float)
        Between which values the measure lies on its natural scale, the ends left out.

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
    natural_null: float | None = 0.0
    null: float | None = 0.0
    support: tuple[float, float] = (-np.inf, np.inf)

    @property
    def single_arm(self) -> bool:
        """True for a proportion, a mean or a rate of one arm, which is compared with nothing and has no null value."""
        return self.null is None

    @property
    def ratio(self) -> bool:
        """True where the natural scale is that of ratios, around 1."""
        return self.log and not self.single_arm

    @property
    def mean_words(self) -> str:
        """What is pooled of one arm, in a sentence: "mean (proportion)"."""
        return "mean" if self.label == "mean" else f"mean ({self.label})"

    @property
    def scale_name(self) -> str:
        """What the scale of the analysis is called; empty where it is the natural one."""
        return "logarithm" if self.log else {"ZCOR": "Fisher's z", "PLO": "logit"}.get(self.name, "")

    @property
    def transformed(self) -> bool:
        """True where the scale of the analysis is not the natural one."""
        return self.transform is not _same


def _ratio(name: str, label: str) -> Measure:
    return Measure(name, label, label.capitalize(), True, np.log, np.exp, 1.0, 0.0, (0.0, np.inf))


def _one_arm(
    name: str,
    label: str,
    transform: Callable[[ArrayLike], np.ndarray] = _same,
    back: Callable[[ArrayLike], np.ndarray] = _same,
    support: tuple[float, float] = (-np.inf, np.inf),
) -> Measure:
    return Measure(name, label, label.capitalize(), transform is np.log, transform, back, None, None, support)


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
            _ratio("IRR", "incidence rate ratio"),
            Measure("ZCOR", "correlation", "Correlation", False, np.arctanh, np.tanh, support=(-1.0, 1.0)),
            _one_arm("PLO", "proportion", _logit, _expit, (0.0, 1.0)),
            _one_arm("MN", "mean"),
            _one_arm("IRLN", "incidence rate", np.log, np.exp, (0.0, np.inf)),
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


def require_null(name: str, what: str) -> None:
    """Refuse what asks for the value of no effect, for a measure of one arm.

    Parameters
    ----------
    name : str
        A name in :data:`MEASURES`.
    what : str
        What asks for it; begins the message.

    Raises
    ------
    ModelError
        For a proportion, a mean or a rate of one arm.

    Examples
    --------
    >>> require_null("SMD", "Egger's test")
    >>> require_null("PLO", "Egger's test")
    Traceback (most recent call last):
    bayesmeta.errors.ModelError: Egger's test: a proportion of one arm is compared with nothing and has no null value...
    """
    kind = measure(name)
    if kind.single_arm:
        article = "an" if kind.label[0] in "aeiou" else "a"
        raise ModelError(
            f"{what}: {article} {kind.label} of one arm is compared with nothing and has no null value, which this "
            "needs. State a threshold on the natural scale, or compare two arms."
        )
