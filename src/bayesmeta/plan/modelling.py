"""What an outcome's analyses assume: priors, moderators, and the model made of them for the data at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import find_name
from bayesmeta.model import (
    Coefficient,
    Exchangeable,
    Likelihood,
    MissingLevels,
    MissingNumeric,
    MissingSD,
    Model,
    Monotone,
    OutlierEffects,
    Spline,
    StudentEffects,
    Term,
)
from bayesmeta.priors import HalfNormal, Normal, Prior

__all__ = [
    "CATEGORICAL_PRIOR",
    "DEFAULT_COEFFICIENT_SOURCE",
    "DEPARTURE_PRIOR",
    "EXCHANGEABLE_PRIOR",
    "MONOTONE_PRIOR",
    "NUMERIC_PRIOR",
    "ModelPlan",
    "Moderator",
]

#: Prior of a contrast between two levels of a categorical moderator, on SMD and log-ratio scales.
CATEGORICAL_PRIOR = Normal(0, 0.5)
#: Prior of the slope of a numeric moderator per stated unit, on SMD and log-ratio scales.
NUMERIC_PRIOR = Normal(0, 0.25)
#: Prior of the SD of exchangeable levels, on the same scales: a contrast of two levels then has SD 0.5, as above.
EXCHANGEABLE_PRIOR = HalfNormal(0.35)
#: Prior of the size of a spline's departure from its line (root mean square at the knots), on the same scales.
DEPARTURE_PRIOR = HalfNormal(0.25)
#: Prior of the difference between the ends of a monotone curve, on the same scales.
MONOTONE_PRIOR = Normal(0, 0.5)
DEFAULT_COEFFICIENT_SOURCE = (
    "default of bayesmeta on SMD and log-ratio scales, a judgement: a contrast between levels normal(0, 0.5), "
    "a slope per stated unit normal(0, 0.25)"
)


@dataclass(frozen=True, slots=True)
class Moderator:
    """A study-level column that the effect may depend on.

    Parameters
    ----------
    name : str
        The column.
    kind : {"numeric", "categorical"} or None
        None: numeric where every value is a number, categorical where none is.
    per : float
        Numeric: the unit of the slope, such as 4 weeks. Values are divided by it.
    reference : str or None
        Categorical: the level that contrasts are printed against; it does not change the model.
    pooling : "exchangeable" or None
        Categorical: the levels are draws from a population of levels, whose SD is estimated.
    curve : {"spline", "monotone"} or None
        Numeric: a smooth or a monotone curve in place of a straight line.
    knots : int or tuple of float
        Of a curve: how many, or where.

    Examples
    --------
    >>> Moderator("weeks", "numeric", per=4).per
    4
    """

    name: str
    kind: Literal["numeric", "categorical"] | None = None
    per: float = 1.0
    reference: str | None = None
    pooling: Literal["exchangeable"] | None = None
    curve: Literal["spline", "monotone"] | None = None
    knots: int | tuple[float, ...] = 4


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What is assumed, before the data are known: `on` makes the `bayesmeta.Model` of an analysis.

    ``beta`` holds the coefficient priors that the protocol states, and ``curve`` those of the departures of splines;
    `terms` completes them with the defaults. ``impute`` holds the populations of moderators with empty cells, used
    where the selection's ``missing`` is "impute". ``heterogeneity_by`` names the moderator whose levels' SDs are
    compared, ``tau_by`` their priors where they are not that of tau, ``tau_slope`` that of a numeric moderator's slope
    of log(tau). ``sources`` maps ``mu``, ``tau`` and ``beta`` to where these priors
    come from.

    Examples
    --------
    >>> ModelPlan(Normal(0, 1), HalfNormal(0.5)).on()
    Model(mu=normal(0, 1), tau=halfnormal(0.5))
    """

    mu: Prior
    tau: Prior | None
    beta: Mapping[str, Prior] = field(default_factory=dict)
    curve: Mapping[str, Prior] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    moderators: tuple[Moderator, ...] = ()
    interactions: tuple[str, ...] = ()
    cluster_tau: Prior | None = None
    rho: float = 0.5
    likelihood: Likelihood = "normal"
    baseline: Prior | None = None
    random: StudentEffects | OutlierEffects | None = None
    impute: Mapping[str, MissingNumeric | MissingLevels] = field(default_factory=dict)
    derived: Mapping[str, Prior] = field(default_factory=dict)
    missing_sd: MissingSD | None = None
    engine: Literal["auto", "exact", "nuts", "both"] = "auto"
    # files of earlier versions lack these
    heterogeneity_by: str | None = field(default=None, metadata={"later": True})
    tau_by: Mapping[str, Prior] = field(default_factory=dict, metadata={"later": True})
    tau_slope: Prior | None = field(default=None, metadata={"later": True})

    def on(self, moderators: Mapping[str, NDArray[Any]] | None = None) -> Model:
        """Make the model of an analysis: ``pooled`` without moderators, ``moderated`` with them.

        Parameters
        ----------
        moderators : Mapping, optional
            ``Effects.moderators``; None for the pooled analysis. Populations of missing moderators enter only where a
            cell is empty.

        Raises
        ------
        ModelError
            If a moderator of the plan is not among ``moderators``.
        """
        beta = {} if moderators is None else self.terms(moderators)
        missing = {
            name: population
            for name, population in self.impute.items()
            if moderators is not None and name in beta and len(_stated(moderators[name])) < len(moderators[name])
        }
        return Model(
            mu=self.mu,
            tau=self.tau,
            beta=beta,
            rho=self.rho,
            cluster_tau=self.cluster_tau,
            likelihood=self.likelihood,
            random=self.random,
            missing=missing,
            derived=self.derived,
            missing_sd=self.missing_sd,
            baseline=self.baseline,
        )

    def terms(self, moderators: Mapping[str, NDArray[Any]]) -> dict[str, Term]:
        """How each moderator enters the moderated analysis: with the stated priors, else the defaults.

        Parameters
        ----------
        moderators : Mapping
            Moderator name to its (k,) values, as in ``Effects.moderators``; object arrays are categorical.

        Returns
        -------
        dict
            Name of each moderator that varies, and of each interaction of such, to how it enters: a coefficient with
            its prior (a slope, or a contrast between two levels), exchangeable levels, a spline or a monotone curve.
            A moderator with one value is left out; empty cells are no value.

        Raises
        ------
        ModelError
            If a moderator is not among ``moderators``.

        Notes
        -----
        Defaults, on SMD and log-ratio scales only: contrasts normal(0, 0.5), slopes per stated unit normal(0, 0.25),
        the SD of exchangeable levels half-normal(0.35), a spline's departure half-normal(0.25), the total of a
        monotone curve normal(0, 0.5).

        Examples
        --------
        >>> plan = ModelPlan(Normal(0, 1), HalfNormal(0.5), moderators=(Moderator("weeks", per=4), Moderator("type")))
        >>> plan.terms({"weeks": np.array([1.0, 2.0]), "type": np.array(["a", "a"], dtype=object)})
        {'weeks': Coefficient(prior=normal(0, 0.25), per=4, reference=None)}
        """
        chosen: dict[str, Term] = {}
        numeric: dict[str, bool] = {}
        for moderator in self.moderators:
            values = np.asarray(moderators[find_name("moderator", moderator.name, moderators)])
            stated = _stated(values)
            if len(set(stated)) < 2:
                continue
            numeric[moderator.name] = bool(np.issubdtype(values.dtype, np.number))
            chosen[moderator.name] = _term(self, moderator, numeric[moderator.name], stated)
        for term in self.interactions:
            parts = term.split(":")
            if all(part in numeric for part in parts):
                default = NUMERIC_PRIOR if any(numeric[part] for part in parts) else CATEGORICAL_PRIOR
                chosen[term] = Coefficient(self.beta.get(term, default))
        return chosen


def _stated(values: NDArray[Any]) -> list[Any]:
    """Values that are there: neither nan nor None nor empty."""
    return [value for value in values.tolist() if value is not None and value != "" and value == value]


def _term(plan: ModelPlan, moderator: Moderator, numeric: bool, levels: list[Any]) -> Term:
    stated = plan.beta.get(moderator.name)
    # a reference level that this outcome lacks decides nothing here; whether it exists at all is judged on reading
    reference = moderator.reference if moderator.reference in levels else None
    if moderator.curve == "spline":
        departure = plan.curve.get(moderator.name, DEPARTURE_PRIOR)
        return Spline(stated or NUMERIC_PRIOR, departure, moderator.per, moderator.knots)
    if moderator.curve == "monotone":
        return Monotone(stated or MONOTONE_PRIOR, moderator.knots)
    if moderator.pooling == "exchangeable":
        return Exchangeable(stated or EXCHANGEABLE_PRIOR, reference)
    return Coefficient(stated or (NUMERIC_PRIOR if numeric else CATEGORICAL_PRIOR), moderator.per, reference)
