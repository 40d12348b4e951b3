"""What a posterior answers, whichever engine made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.marginals import Marginal, Marginals
from bayesmeta.model import Design

__all__ = ["Posterior"]

FloatArray = NDArray[np.float64]


class Posterior(Protocol):
    """The seam between engines and questions: on nodes, by draws, or a weighted list of posteriors.

    Every answer is as accurate as the posterior can give it: one on nodes takes more of them until probabilities
    settle to 1e-8, one by draws carries a Monte Carlo standard error.
    """

    @property
    def design(self) -> Design:
        """The regression of the study effects."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """How draws were made; empty where nothing is simulated."""
        ...

    @property
    def log_evidence(self) -> float | None:
        """Log density of the data; None where it is not known, or means nothing."""
        ...

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of all parameters beyond the coefficients."""
        ...

    @property
    def new_studies(self) -> tuple[str, ...]:
        """Names of the effects that a new study may have: ``theta_new``, with clusters also ``theta_trial``."""
        ...

    def quantities(
        self,
        rows: FloatArray,
        new: Sequence[str | None] | None = None,
        *,
        spread: tuple[str, float] | None = None,
        seed: int = 1,
    ) -> Marginals:
        """Linear functions of the coefficients.

        Parameters
        ----------
        rows : array of shape (M, p)
        new : sequence of M names or None
            Of `new_studies`, whose deviation is added.
        spread : (str, float), optional
            One more deviation, of so many times the standard deviation of that name.
        seed : int
            Of what has to be drawn for it.
        """
        ...

    def studies(self, chosen: Sequence[int] | None = None) -> Marginals:
        """Study effects, all in row order or those chosen."""
        ...

    def named(self, name: str) -> Marginal:
        """One of `scalars`."""
        ...

    def share_beyond(
        self, row: FloatArray, distance: float, sign: int, p: FloatArray, shares: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Posterior of the share of true effects beyond a distance.

        Parameters
        ----------
        row : array of shape (p,)
            Whose mean effect.
        sign : {1, -1}
            Whether larger effects are beyond, or smaller ones.
        p, shares : arrays of shape (P,), (Q,)

        Returns
        -------
        mean, quantiles at ``p``, probabilities of a share above each of ``shares``
        """
        ...

    def largest(self, rows: FloatArray, above: float | None = None) -> tuple[FloatArray, FloatArray]:
        """Probability that each of several linear functions of the coefficients is the largest of them.

        Parameters
        ----------
        rows : array of shape (L, p)
        above : float, optional
            And exceeds this.

        Returns
        -------
        probability, standard error : arrays of shape (L,); the error is zero where the answer is in closed form
        """
        ...

    def weights(self, effects: Effects) -> FloatArray:
        """Weights of the estimates in the posterior mean of mu, up to a factor, shape (k,)."""
        ...

    def draws(self, rng: np.random.Generator, shape: tuple[int, int]) -> Mapping[str, FloatArray]:
        """Draws of the parameters together, (..., chains, draws); of the given shape where they have to be made."""
        ...
