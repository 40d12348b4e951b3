"""A posterior known by draws of all its quantities together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.marginals import Draws
from bayesmeta.model import Design, Model, OutlierEffects, StudentEffects

__all__ = ["DrawPosterior"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DrawPosterior:
    """Draws of the posterior; every array has ``chains, draws`` as its last two dims.

    Attributes
    ----------
    coefficients : array of shape (p, chains, draws)
        Of the design's columns.
    tau : array of shape (chains, draws)
        Zero under a common effect.
    theta : array of shape (k, chains, draws)
    deviations : mapping of str to array of shape (chains, draws)
        Of a new study from its mean: ``theta_new``, and ``theta_trial`` where rows are in clusters.
    others : mapping of str to array of shape (chains, draws)
        Every other scalar by its name, such as ``df``, ``sd[exercise]`` or ``missing[duration: Bao 2020]``.
    units : tuple of str
    log_likelihood : array of shape (units, chains, draws)
        Of each unit's data, study effects integrated out.
    stats : mapping of str to array of shape (chains, draws)
        Diagnostics of the sampler, under the names that ArviZ reads.
    settings : mapping
        Chains, draws, target acceptance, attempts, versions.
    baseline : array of shape (arms, chains, draws) or None
        Log odds of each control arm, with the binomial likelihood.
    """

    design: Design
    model: Model
    coefficients: FloatArray
    tau: FloatArray
    theta: FloatArray
    deviations: Mapping[str, FloatArray]
    others: Mapping[str, FloatArray]
    units: tuple[str, ...]
    log_likelihood: FloatArray
    stats: Mapping[str, FloatArray]
    settings: Mapping[str, Any] = field(default_factory=dict)
    baseline: FloatArray | None = None

    def __post_init__(self) -> None:
        # one memory layout, so that sums run in one order and a loaded fit answers bit for bit as before
        def laid(values: FloatArray) -> FloatArray:
            array = np.array(values, float, order="C")
            array.flags.writeable = False
            return array

        for name in ("coefficients", "tau", "theta", "log_likelihood", "baseline"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, laid(getattr(self, name)))
        for name in ("deviations", "others"):
            object.__setattr__(self, name, {key: laid(values) for key, values in getattr(self, name).items()})

    def linear(self, row: FloatArray, new: str | None = None) -> FloatArray:
        """Draws of a linear function of the coefficients, with a new study's deviation added where requested.

        Parameters
        ----------
        row : array of shape (p,)
        new : {"theta_new", "theta_trial"}, optional
        """
        value = np.tensordot(row, self.coefficients, axes=1)
        return value if new is None else value + self.deviations[new]

    def form(self, values: FloatArray, *, positive: bool = False) -> Draws:
        """One quantity's posterior."""
        return Draws(values, low=0.0 if positive else -math.inf)

    def positive(self, name: str) -> bool:
        """Whether a quantity of `others` cannot be below zero."""
        return bool(name.startswith(("tau", "sd", "df", "share", "extra", "outlier")))

    def beyond(self) -> Callable[[FloatArray], FloatArray]:
        """Share of new studies above their mean by more than x, as a function of x of shape (chains, draws).

        For normal effects ``Phi(-x / s)``, with ``s`` the SD of a new study; likewise for Student-t effects and for a
        mixture of two normals.
        """
        random = self.model.random
        within = self.others.get("tau_within")
        spread = self.tau if within is None else np.hypot(self.tau, within)

        def scaled(x: FloatArray, sd: FloatArray) -> FloatArray:
            with np.errstate(divide="ignore", invalid="ignore"):
                z = x / sd
            return np.where(np.isnan(z), 0.0, z)

        if isinstance(random, StudentEffects):
            return lambda x: special.stdtr(self.others["df"], -scaled(x, spread))
        if isinstance(random, OutlierEffects):
            share, wide = self.others["share"], np.hypot(spread, self.others["extra"])
            return lambda x: (1 - share) * special.ndtr(-scaled(x, spread)) + share * special.ndtr(-scaled(x, wide))
        return lambda x: special.ndtr(-scaled(x, spread))

    def require(self, name: str) -> FloatArray:
        """Draws of a scalar by name.

        Raises
        ------
        ModelError
            If there is none of that name.
        """
        if name not in self.others:
            raise ModelError(f"unknown quantity {name!r}. Allowed: {', '.join(self.others) or 'none'}.")
        return self.others[name]
