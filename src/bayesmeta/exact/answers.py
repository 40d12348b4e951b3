"""What an exact posterior answers: marginals that settle to 1e-8, with more nodes where they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.exact.posterior import (
    Functional,
    NodePosterior,
    conditional_draws,
    linear,
    new_variance,
    row_weights,
    studies,
)
from bayesmeta.exact.quadrature import refined
from bayesmeta.exact.ratios import ratio_marginal
from bayesmeta.exact.truncated import TruncatedMarginals, truncated_below
from bayesmeta.marginals import SETTLED, Gridded, Marginals, NormalMixtures, largest
from bayesmeta.model import Design, Model
from bayesmeta.numerics import roots

__all__ = ["ExactPosterior"]

FloatArray = NDArray[np.float64]
#: Beyond this normal quantile a share is zero or one in double precision.
_FAR = 8.3


# not slotted: finer nodes are made once, when they are first needed
@dataclass(frozen=True, eq=False)
class ExactPosterior:
    """A posterior on nodes that gets more of them where an answer has not settled.

    Attributes
    ----------
    effects : Effects
    model : Model
    nodes : NodePosterior
    """

    effects: Effects
    model: Model
    nodes: NodePosterior

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of the sampler: none, nothing is simulated."""
        return MappingProxyType({})

    @property
    def design(self) -> Design:
        """The regression of the study effects."""
        return self.nodes.problem.design

    @property
    def log_evidence(self) -> float | None:
        """Log density of the data; None under an improper prior."""
        return self.nodes.log_evidence

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of all parameters beyond the coefficients."""
        return (*self.nodes.sd_marginals, *([] if self.ratio is None else [self.ratio]))

    @property
    def ratio(self) -> str | None:
        """Name of the ratio of two taus, ``tau[B] / tau[A]``; None where tau does not differ by two levels."""
        spread = self.nodes.problem.spread
        return f"{spread.names[1]} / {spread.names[0]}" if spread is not None and len(spread.names) == 2 else None

    @property
    def new_studies(self) -> tuple[str, ...]:
        """Names of the effects that a new study may have."""
        return ("theta_new",) if self.model.cluster_tau is None else ("theta_new", "theta_trial")

    @cached_property
    def finer(self) -> ExactPosterior:
        """The same posterior on twice the nodes."""
        return ExactPosterior(self.effects, self.model, refined(self.nodes, self.effects, self.model))

    def _marginals(self, functional: Callable[[NodePosterior], Functional]) -> Marginals:
        nodes, found = self.nodes, functional(self.nodes)

        def more() -> Any:
            return self.finer._marginals(functional)

        if nodes.problem.cut is not None:
            return TruncatedMarginals(nodes, nodes.problem.cut, found, more)
        return NormalMixtures(nodes.weights, nodes.coarse, found.mean, np.sqrt(found.var), found.moments, more)

    def quantities(
        self,
        rows: FloatArray,
        new: Sequence[str | None] | None = None,
        *,
        spread: tuple[str, float] | None = None,
        seed: int = 1,
    ) -> Marginals:
        """Linear functions of the coefficients: see `bayesmeta.fits.Posterior`; nothing is drawn with the seed."""
        flags = [None] * len(rows) if new is None else new
        return self._marginals(lambda nodes: linear(nodes, rows, flags, spread))

    def studies(self, chosen: Sequence[int] | None = None) -> Marginals:
        """Study effects, all in row order or those chosen."""

        def functional(nodes: NodePosterior) -> Functional:
            found = studies(nodes)
            if chosen is None:
                return found
            rows = list(chosen)
            cut_cov = None if found.cut_cov is None else found.cut_cov[rows]
            return Functional(found.mean[rows], found.var[rows], cut_cov, found.moments[rows])

        return self._marginals(functional)

    def named(self, name: str) -> Gridded:
        """One of `scalars`."""
        return self.of_ratio if name == self.ratio else self.nodes.sd_marginals[name]

    @cached_property
    def of_ratio(self) -> Gridded:
        """The ratio of two taus; computed when it is first asked for."""
        return ratio_marginal(self.nodes)

    def largest(self, rows: FloatArray, above: float | None = None) -> tuple[FloatArray, FloatArray]:
        """Probability that each of several linear functions is the largest: see `bayesmeta.fits.Posterior`."""
        if self.nodes.problem.cut is not None:
            raise ModelError(
                "which of several effects is the largest is not available when a coefficient has a truncated or "
                "uniform prior. Use a normal prior."
            )
        posterior = self
        while True:
            nodes = posterior.nodes
            both = np.vstack([nodes.weights, nodes.coarse])
            (p, other), (error, _) = largest(rows, nodes.mean, nodes.cov, both, above)
            # a numerical integral over the levels is the same by both rules, and settles like a closed form
            if np.abs(p - other).max() <= SETTLED:
                return p, error
            posterior = posterior.finer

    def weights(self, effects: Effects) -> FloatArray:
        """Coefficients of the estimates in the posterior mean of mu, up to a factor, shape (k,)."""
        return row_weights(self.nodes)

    def draws(self, rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, FloatArray]:
        """Draws of the parameters together, of shape (..., chains, draws)."""
        found = conditional_draws(self.nodes, shape[0] * shape[1], rng)
        return {name: values.reshape(*values.shape[:-1], *shape) for name, values in found.items()}

    def share_beyond(
        self, row: FloatArray, distance: float, sign: int, p: FloatArray, shares: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Posterior of the share of true effects beyond a distance: see `bayesmeta.fits.Posterior`."""
        posterior, new = self, self.quantities(row[None, :], ["theta_new"])
        mean = float((new.sf(distance) if sign > 0 else new.cdf(-distance))[0, 0])
        quantiles, chances, error = posterior._share(row, distance, sign, p, shares)
        while not error <= SETTLED:
            posterior = posterior.finer
            quantiles, chances, error = posterior._share(row, distance, sign, p, shares)
        return mean, quantiles, chances

    def _share(
        self, row: FloatArray, distance: float, sign: int, p: FloatArray, shares: FloatArray
    ) -> tuple[FloatArray, FloatArray, float]:
        nodes, cut = self.nodes, self.nodes.problem.cut
        if cut is not None and (cut.column != 0 or row[1:].any()):
            raise ModelError(
                "the share of true effects is not available when a coefficient other than mu is truncated, or at a "
                "profile of a model with a truncated mu. Use a normal prior."
            )
        functional = linear(nodes, row[None, :], [None])
        mean, sd = sign * functional.mean[0], np.sqrt(functional.var[0])
        spread = np.sqrt(new_variance(nodes, row[None, :])[0])

        def cdf(z: FloatArray) -> tuple[FloatArray, FloatArray]:
            # a finite tau times an infinite z would be undefined at tau = 0
            edge = distance + np.where(spread > 0, spread * z[:, None], 0.0)
            below = special.ndtr((edge - mean) / sd) if cut is None else truncated_below(nodes, cut, sign, edge)
            return below @ nodes.weights, below @ nodes.coarse

        z = roots(lambda z: cdf(z)[0] - p, np.full(p.size, -_FAR), np.full(p.size, _FAR))
        fine, coarse = cdf(np.concatenate([z, special.ndtri(shares)]))
        # an end of the interval at zero or one is known whatever the nodes; elsewhere it is a quantile, for which a
        # probability to six digits is enough. A truncated mu puts a kink into the integrand that costs one digit more
        change = np.abs(fine - coarse)
        inner = np.abs(z) < _FAR - 0.01
        error = max(float(change[p.size :].max(initial=0.0)), 1e-2 * float(change[: p.size][inner].max(initial=0.0)))
        return special.ndtr(z), 1 - fine[p.size :], error if cut is None else 1e-3 * error
