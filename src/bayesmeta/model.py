"""What is assumed: pure data, no sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from bayesmeta.distributions import Cauchy, Normal, Prior, StudentT, Truncated, Uniform
from bayesmeta.errors import ModelError
from bayesmeta.prior_tables import resolve

__all__ = ["Coefficient", "Model"]

# priors of a location that the engines can integrate: normal kernels, scale mixtures of them, and cut ones
_LOCATION = "normal, studentt, cauchy, flat, uniform, truncated, cochrane(..., parameter='mu')"


def _check_location(prior: object, where: str) -> None:
    if not isinstance(prior, Prior):
        raise ModelError(f"{where}: {prior!r} is not a prior. Give one, for example Normal(0, 1).")
    kernel = resolve(prior)
    if isinstance(kernel, Truncated):
        kernel = resolve(kernel.prior)
    if not (isinstance(kernel, (Normal, StudentT, Cauchy, Uniform)) or kernel.name == "flat"):
        raise ModelError(f"{where}: {prior!r} is not a prior of a location. Allowed: {_LOCATION}.")


@dataclass(frozen=True, slots=True)
class Coefficient:
    """The prior of one moderator's coefficient, and what the coefficient is of.

    Parameters
    ----------
    prior : Prior
        Numeric moderator: of the slope per ``per`` units. Categorical: of the contrast between any two levels.
        Interaction: of the difference between two such slopes or contrasts.
    per : float
        The unit of a numeric moderator, for example 6 for "per 6 weeks".
    reference : str, optional
        The level that contrasts are printed against; it changes no number of the fit. Default: the first in
        alphabetical order.
    """

    prior: Prior
    per: float = 1.0
    reference: str | None = None

    def __post_init__(self) -> None:
        _check_location(self.prior, "coefficient")
        if not (math.isfinite(self.per) and self.per > 0):
            raise ModelError(f"per = {self.per} is not a positive number.")


@dataclass(frozen=True, slots=True)
class Model:
    """A hierarchical model: estimates around study effects, study effects around a mean or a regression.

    ``y ~ N(theta, S)`` and ``theta ~ N(X beta, tau**2 R)``, where ``R`` is 1 on the diagonal and ``rho`` between
    rows of one block of dependent rows.

    Parameters
    ----------
    mu : Prior
        Of the mean effect, averaged over the observed mix of moderators.
    tau : Prior or None
        Of the between-study SD (never its square); None is the common-effect model.
    beta : mapping of str to Prior or Coefficient, optional
        The moderators that enter, each with the prior of its coefficient; ``"a:b"`` is an interaction.
    rho : float
        Correlation of the true effects of rows that share an arm or patients, from 0 to 1.

    Notes
    -----
    There are no default priors: the scale of tau is a judgement. `bayesmeta.priors.suggested` gives published
    recommendations with their sources.

    Examples
    --------
    >>> from bayesmeta.priors import HalfNormal, Normal
    >>> Model(mu=Normal(0, 1), tau=HalfNormal(0.5))
    Model(mu=normal(0, 1), tau=halfnormal(0.5))
    """

    mu: Prior
    tau: Prior | None
    beta: Mapping[str, Coefficient] = field(default_factory=dict)
    rho: float = 0.5

    if TYPE_CHECKING:
        # a bare prior may stand for a coefficient
        def __init__(
            self,
            mu: Prior,
            tau: Prior | None,
            beta: Mapping[str, Prior | Coefficient] | None = None,
            rho: float = 0.5,
        ) -> None: ...

    def __post_init__(self) -> None:
        _check_location(self.mu, "mu")
        if self.tau is not None:
            if not isinstance(self.tau, Prior):
                raise ModelError(f"tau: {self.tau!r} is not a prior. Give one, or None for a common effect.")
            if self.tau.name != "flat" and resolve(self.tau).support[0] < 0:
                raise ModelError(
                    f"tau: {self.tau!r} reaches below zero. Use a half-family, such as halfnormal(0.5), or cut it at 0."
                )
        beta = {
            name: value if isinstance(value, Coefficient) else Coefficient(value)
            for name, value in (self.beta or {}).items()
        }
        object.__setattr__(self, "beta", MappingProxyType(beta))
        if not (0 <= self.rho <= 1):
            raise ModelError(f"rho = {self.rho} is not between 0 and 1.")

    def __repr__(self) -> str:
        parts = [f"mu={self.mu!r}", f"tau={self.tau!r}"]
        if self.beta:
            inside = ", ".join(f"{name!r}: {c.prior!r}" for name, c in self.beta.items())
            parts.append(f"beta={{{inside}}}")
        if self.rho != 0.5:
            parts.append(f"rho={self.rho:g}")
        return f"Model({', '.join(parts)})"
