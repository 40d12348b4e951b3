"""A posterior known by draws of all its quantities together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.effects import Effects
from bayesmeta.marginals import Draws, Separate
from bayesmeta.model import Design, Model, OutlierEffects, StudentEffects, level_shares

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

    @property
    def log_evidence(self) -> None:
        """None: draws do not tell the density of the data."""

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of all parameters beyond the coefficients."""
        # a tau of every level stands for the one of a model without
        several = self.model.tau is None or any(name.startswith("tau[") for name in self.others)
        return (*(() if several else ("tau",)), *self.others)

    @property
    def new_studies(self) -> tuple[str, ...]:
        """Names of the effects that a new study may have."""
        return tuple(self.deviations)

    def linear(self, row: FloatArray, new: str | None = None) -> FloatArray:
        """Draws of a linear function of the coefficients, with a new study's deviation where one is named."""
        value = np.tensordot(row, self.coefficients, axes=1)
        return value if new is None else value + self.deviations[new] * self._widening(row)

    def _widening(self, row: FloatArray) -> FloatArray | float:
        """How much wider than at the observed mix the spread of new studies is, where tau depends on a moderator."""
        by = self.model.tau_by
        if by is None:
            return 1.0
        if "tau_slope" in self.others:
            column = next(item.columns.start for item in self.design.terms if item.name == by.moderator)
            return np.exp(self.others["tau_slope"] * row[column])
        shares = np.clip(level_shares(self.design, by.moderator, row[None])[0], 0.0, 1.0)
        levels = self.design.factors[by.moderator].levels
        variance = sum(w * np.square(self.others[f"tau[{level}]"]) for w, level in zip(shares, levels, strict=True))
        return np.sqrt(variance) / self.tau

    def quantities(
        self,
        rows: FloatArray,
        new: Sequence[str | None] | None = None,
        *,
        spread: tuple[str, float] | None = None,
        seed: int = 1,
    ) -> Separate:
        """Linear functions of the coefficients: see `bayesmeta.fits.Posterior`."""
        drawn = [self.linear(row, name) for row, name in zip(rows, new or [None] * len(rows), strict=True)]
        if spread is not None:
            noise = np.random.default_rng([seed, 5]).standard_normal(self.tau.shape)
            drawn = [values + spread[1] * self.others[spread[0]] * noise for values in drawn]
        return Separate([Draws(values) for values in drawn])

    def studies(self, chosen: Sequence[int] | None = None) -> Separate:
        """Study effects, all in row order or those chosen."""
        return Separate([Draws(values) for values in (self.theta if chosen is None else self.theta[list(chosen)])])

    def named(self, name: str) -> Draws:
        """One of `scalars`."""
        values = self.tau if name == "tau" else self.others[name]
        positive = name != "tau_slope" and name.startswith(("tau", "sd", "df", "share", "extra", "outlier"))
        return Draws(values, low=0.0 if positive else -math.inf)

    def largest(self, rows: FloatArray, above: float | None = None) -> tuple[FloatArray, FloatArray]:
        """Probability that each of several linear functions is the largest: see `bayesmeta.fits.Posterior`."""
        values = np.array([self.linear(row) for row in rows])
        found = []
        for own in range(len(rows)):
            # how far it is ahead of all that it has to beat
            ahead = values[own] - np.delete(values, own, axis=0).max(axis=0)
            form = Draws(ahead if above is None else np.minimum(ahead, values[own] - above))
            found.append((float(form.sf(0.0)), form.cdf_mcse(0.0)))
        p, error = np.array(found).T
        return p, error

    def weights(self, effects: Effects) -> FloatArray:
        """Effect on the posterior mean of mu of moving one estimate, up to a factor, shape (k,).

        By draws, ``d E(mu) / d y_i = cov(mu, d log L / d y_i)``, and the derivative of the log likelihood, study
        effects drawn, is ``(theta_i - y_i) / se_i**2``; sharing patients turns the errors by the inverse covariance.
        """
        score = self.theta - effects.y[:, None, None]
        inner = (1 / effects.se**2)[:, None, None] * score
        for rows, covariance in effects.blocks:
            inner[rows] = np.tensordot(np.linalg.inv(covariance), score[rows], axes=1)
        mu = self.coefficients[0] - self.coefficients[0].mean()
        return (inner * mu).mean(axis=(1, 2))

    def draws(self, rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, FloatArray]:
        """The draws of the parameters together, of shape (..., chains, draws): as many as there are."""
        found = {**self.others, "coefficients": self.coefficients, "tau": self.tau}
        return found if self.baseline is None else found | {"baseline": self.baseline}

    def share_beyond(
        self, row: FloatArray, distance: float, sign: int, p: FloatArray, shares: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Posterior of the share of true effects beyond a distance: see `bayesmeta.fits.Posterior`.

        The share at every draw is that of the model's own distribution of a new study's effect.
        """
        form = Draws(self._share(distance - sign * self.linear(row), self._widening(row)))
        return form.mean, form.quantile(p), form.sf(shares)

    def _share(self, x: FloatArray, widening: FloatArray | float) -> FloatArray:
        """Share of new studies above their mean by more than x of shape (chains, draws).

        For normal effects ``Phi(-x / s)``, with ``s`` the SD of a new study; likewise for Student-t effects and for a
        mixture of two normals.
        """
        random = self.model.random
        within = self.others.get("tau_within")
        spread = self.tau * widening if within is None else np.hypot(self.tau, within)

        def scaled(sd: FloatArray) -> FloatArray:
            with np.errstate(divide="ignore", invalid="ignore"):
                z = x / sd
            return np.where(np.isnan(z), 0.0, z)

        if isinstance(random, StudentEffects):
            return special.stdtr(self.others["df"], -scaled(spread))
        if isinstance(random, OutlierEffects):
            share, wide = self.others["share"], np.hypot(spread, self.others["extra"])
            return (1 - share) * special.ndtr(-scaled(spread)) + share * special.ndtr(-scaled(wide))
        return special.ndtr(-scaled(spread))
