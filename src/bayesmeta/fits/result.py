"""A model fitted to effects, by whichever engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bayesmeta.columns import as_text, plural
from bayesmeta.effects import Effects
from bayesmeta.errors import Check, ModelError
from bayesmeta.exact import ExactPosterior, NodePosterior
from bayesmeta.fits.digest import sealed
from bayesmeta.fits.posterior import Posterior
from bayesmeta.fits.storage import dumps, write_tree
from bayesmeta.lazy import show_as_html
from bayesmeta.measures import measure
from bayesmeta.model import Design, Model
from bayesmeta.nuts import DrawPosterior
from bayesmeta.plan import Outcome

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["Fit"]


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A model fitted to effects; every question is a function of it.

    Attributes
    ----------
    effects : Effects
    model : Model
    engine : str
        ``"exact"`` or ``"nuts"``.
    checks : tuple of Check
        Diagnostics, each with its limit.
    seed : int
        Of the draws; no number of an exact fit depends on it.
    posterior : Posterior
        What answers: on nodes (`ExactPosterior`), or by draws (`DrawPosterior`).
    outcome : Outcome or None
        When the fit comes from a protocol: direction, thresholds, label.
    analysis : str
        ``"pooled"`` or ``"moderated"``.
    hashes : mapping
        SHA-256 of protocol and data, where they are files.
    second : Fit or None
        The same model by the other engine, where both were requested.
    """

    effects: Effects
    model: Model
    engine: str
    checks: tuple[Check, ...]
    seed: int
    posterior: Posterior
    outcome: Outcome | None = None
    analysis: str = "pooled"
    hashes: Mapping[str, str] = field(default_factory=dict)
    second: Fit | None = None

    def to_frame(self) -> pd.DataFrame:
        """Median and central 95 % interval of every quantity but the trials' effects, on the analysis scale."""
        import pandas as pd

        ends, new = np.array([0.5, 0.025, 0.975]), self.posterior.new_studies
        contrasts = [item.weights for item in self.design.contrasts]
        rows = np.array([self.design.profile()] * (1 + len(new)) + contrasts)
        linear = self.posterior.quantities(rows, [None, *new, *[None] * len(contrasts)]).quantile(ends)
        names = ["mu", *new, *(f"beta[{item.name}]" for item in self.design.contrasts)]
        found = dict(zip(names, linear, strict=True))
        found |= {name: self.posterior.named(name).quantile(ends) for name in self.posterior.scalars}
        index = pd.Index(list(found), name="quantity")
        return pd.DataFrame(list(found.values()), index=index, columns=["median", "lower", "upper"])

    def summary(self) -> str:
        """Posterior as text: medians with central 95 % intervals on the analysis scale, and checks that failed."""
        name = f"{self.effects.name}, " if self.effects.name else ""
        rows = self.effects
        counted = f"{plural(rows.k, 'estimate')} of {plural(rows.n_trials, 'trial')}"
        kind = measure(rows.measure)
        scale = "" if not kind.transformed else ", on the log scale" if kind.log else ", on Fisher's z scale"
        head = f"Fit: {name}{rows.measure}{scale}, {counted}, engine {self.engine}"
        return "\n".join([head, repr(self.model), as_text(self.to_frame(), 3), *self.failed])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str | None:
        return show_as_html(self)

    @property
    def quadrature(self) -> NodePosterior:
        """The posterior on its nodes, of an exact fit.

        Raises
        ------
        ModelError
            For a fit by draws.
        """
        if not isinstance(self.posterior, ExactPosterior):
            raise ModelError("this needs the exact engine, and the fit is by draws (engine 'nuts').")
        return self.posterior.nodes

    @property
    def sample(self) -> DrawPosterior:
        """The posterior by draws, of a sampled fit.

        Raises
        ------
        ModelError
            For an exact fit.
        """
        if not isinstance(self.posterior, DrawPosterior):
            raise ModelError("this needs draws of the sampling engine, and the fit is exact.")
        return self.posterior

    @property
    def exact(self) -> bool:
        """Whether the exact engine made it."""
        return isinstance(self.posterior, ExactPosterior)

    @property
    def simulated(self) -> bool:
        """Whether answers carry simulation error."""
        return bool(self.posterior.settings)

    @property
    def design(self) -> Design:
        """The regression of the study effects."""
        return self.posterior.design

    @property
    def log_evidence(self) -> float | None:
        """Log density of the data under the model; None under an improper prior, and for a fit by draws."""
        return self.posterior.log_evidence

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    @property
    def failed(self) -> tuple[str, ...]:
        """Checks that failed, each in words with its limit."""
        return tuple(
            f"failed: {check.name} {check.value:.3g}, limit {check.limit:.3g}" for check in self.checks if not check.ok
        )

    @cached_property
    def tree(self) -> xr.DataTree:
        """The fit as an `xarray.DataTree` that ArviZ reads; built on first access.

        An exact fit has 4 x 1000 independent draws in it, of which R-hat and effective sample sizes say nothing.
        """
        from bayesmeta.fits.tree import build_tree

        parts = {"model": self.model, "effects": self.effects, "outcome": self.outcome, "checks": self.checks}
        return build_tree(
            self.effects,
            self.model,
            self.posterior,
            seed=self.seed,
            specification={name: dumps(part) for name, part in parts.items()},
            attributes={"engine": self.engine, "analysis": self.analysis, "hashes": json.dumps(dict(self.hashes))},
        )

    def save(self, path: str | Path) -> Path:
        """Write the fit as netCDF, with a digest of all it holds: whole, or not at all.

        Parameters
        ----------
        path : str or Path
            Ends in ``.nc``.
        """
        return write_tree(sealed(self.tree), path)
