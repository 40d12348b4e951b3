"""What an outcome's analyses assume: priors, moderators, and the model made of them for the data at hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name
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
    "TrialInteraction",
    "scaling_of",
    "stated_rows",
    "stated_values",
]

#: Prior of a contrast between two levels of a categorical moderator, on SMD and log-ratio scales.
CATEGORICAL_PRIOR = Normal(0, 0.5)
#: Prior of the slope of a numeric moderator per two standard deviations of it over trials, on the same scales.
NUMERIC_PRIOR = Normal(0, 0.5)
#: Prior of the SD of exchangeable levels, on the same scales: a contrast of two levels then has SD 0.5, as above.
EXCHANGEABLE_PRIOR = HalfNormal(0.35)
#: Prior of the size of a spline's departure from its line (root mean square at the knots), on the same scales.
DEPARTURE_PRIOR = HalfNormal(0.25)
#: Prior of the difference between the ends of a monotone curve, on the same scales.
MONOTONE_PRIOR = Normal(0, 0.5)
DEFAULT_COEFFICIENT_SOURCE = (
    "default of bayesmeta on SMD and log-ratio scales, a judgement: normal(0, 0.5) for a contrast between levels and "
    "for a slope over two SDs of the moderator, as Gelman 2008, doi:10.1002/sim.3107, makes the two comparable"
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
class TrialInteraction:
    """How an effect differs inside one trial, as the trial reports it.

    Parameters
    ----------
    study, moderator, contrast : str
        ``"after - during"``, or what a slope is per; the words are those of the tables where the moderator is theirs.
    estimate, se : float
        Of the difference of effects (of their logarithms for ratio measures), in the outcome's direction.
    source : str

    Raises
    ------
    ModelError
        If the estimate is not a number, or its standard error not a positive one.

    Examples
    --------
    >>> TrialInteraction("START", "age", "slope per 10", -0.05, 0.08, "table 4").estimate
    -0.05
    """

    study: str
    moderator: str
    contrast: str
    estimate: float
    se: float
    source: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.estimate) or not (math.isfinite(self.se) and self.se > 0):
            raise ModelError(
                f"{self.study}, {self.moderator}: estimate {self.estimate} with SE {self.se} is no estimate."
            )


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What is assumed, before the data are known: `on` makes the `bayesmeta.Model` of an analysis.

    ``beta`` holds the coefficient priors that the protocol states, and ``curve`` those of the departures of splines;
    `terms` completes them with the defaults. ``impute`` holds the populations of moderators with empty cells, used
    where the selection's ``missing`` is "impute". ``heterogeneity_by`` names the moderator whose levels' SDs are
    compared, ``tau_by`` their priors where they are not that of tau, ``tau_slope`` that of a numeric moderator's slope
    of log(tau). ``trial_interactions`` are what trials report of differences inside them. ``sources`` maps ``mu``,
    ``tau`` and ``beta`` to where these priors come from. ``scalings`` holds what the default priors of slopes refer to,
    by numeric moderator (`scaling_of`): an analysis fixes them once on all its rows (`scaled`), so that every refit on
    fewer of them has the same prior. ``ref_sd`` is a standard deviation of the outcome from outside the data, which
    scales published priors.

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
    heterogeneity_by: str | None = field(default=None, metadata={"later": True})
    tau_by: Mapping[str, Prior] = field(default_factory=dict, metadata={"later": True})
    tau_slope: Prior | None = field(default=None, metadata={"later": True})
    trial_interactions: tuple[TrialInteraction, ...] = field(default=(), metadata={"later": True})
    scalings: Mapping[str, float] = field(default_factory=dict, metadata={"later": True})
    ref_sd: float | None = field(default=None, metadata={"later": True})
    ref_sd_source: str = field(default="", metadata={"later": True})

    def scaled(self, effects: Effects) -> ModelPlan:
        """Fix what default priors of slopes refer to, from the rows of the whole outcome; what is fixed stays.

        Examples
        --------
        >>> plan = ModelPlan(Normal(0, 1), HalfNormal(0.5), moderators=(Moderator("weeks"),))
        >>> round(plan.scaled(effects).scalings["weeks"], 3)  # 6, 12, 8 and 16 weeks
        8.869
        """
        known = {find_name("moderator", item.name, effects.moderators): item.name for item in self.moderators}
        found = {
            known[name]: scaling_of(values, effects.study)
            for name, values in effects.moderators.items()
            if name in known and np.issubdtype(values.dtype, np.number)
        }
        return dataclasses.replace(self, scalings={**found, **self.scalings})

    def on(self, effects: Effects | Mapping[str, NDArray[Any]] | None = None) -> Model:
        """Make the model of an analysis: ``pooled`` without effects, ``moderated`` with them.

        Parameters
        ----------
        effects : Effects or Mapping, optional
            None for the pooled analysis; the moderators by name stand for effects of as many trials. Populations of
            missing moderators enter only where a cell is empty.

        Raises
        ------
        ModelError
            If a moderator of the plan is not among those of ``effects``.
        """
        moderators = effects.moderators if isinstance(effects, Effects) else effects
        beta = {} if effects is None else self.terms(effects)
        missing = {
            name: population
            for name, population in self.impute.items()
            if moderators is not None and name in beta and not stated_rows(moderators[name]).all()
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

    def terms(self, effects: Effects | Mapping[str, NDArray[Any]]) -> dict[str, Term]:
        """How each moderator enters the moderated analysis: with the stated priors, else the defaults.

        Parameters
        ----------
        effects : Effects or Mapping
            Or moderator name to its (k,) values, as in ``Effects.moderators``, of k trials; object arrays are
            categorical.

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
        Defaults, on SMD and log-ratio scales only: contrasts normal(0, 0.5); slopes normal(0, 0.5) over two standard
        deviations of the moderator (over trials, one value each), or from 0 to 1 where it has these values only, which
        is the same prior as that of two levels; the coefficient of an interaction by the product of the two; the SD of
        exchangeable levels half-normal(0.35), a spline's departure half-normal(0.25), the total of a monotone curve
        normal(0, 0.5). A slope's prior is stated per ``per`` units, and says the same whatever ``per`` is.

        References
        ----------
        Gelman A. Stat Med 2008;27:2865-2873. doi:10.1002/sim.3107

        Examples
        --------
        >>> plan = ModelPlan(Normal(0, 1), HalfNormal(0.5), moderators=(Moderator("weeks", per=4), Moderator("type")))
        >>> plan.terms({"weeks": np.array([4.0, 8.0, 12.0]), "type": np.array(["a", "a", "a"], dtype=object)})
        {'weeks': Coefficient(prior=normal(0, 0.25), per=4, reference=None, between=None)}
        """
        moderators = effects.moderators if isinstance(effects, Effects) else effects
        study = effects.study if isinstance(effects, Effects) else None
        chosen: dict[str, Term] = {}
        numeric: dict[str, bool] = {}
        # what one unit of a coefficient is, in the distances that the default prior refers to
        shares: dict[str, float] = {}
        for moderator in self.moderators:
            values = np.asarray(moderators[find_name("moderator", moderator.name, moderators)])
            stated = stated_values(values)
            if len(set(stated)) < 2:
                continue
            name = moderator.name
            numeric[name] = bool(np.issubdtype(values.dtype, np.number))
            shares[name] = 1.0
            if numeric[name]:
                shares[name] = moderator.per / (self.scalings.get(name) or scaling_of(values, study))
            chosen[name] = _term(self, moderator, _scaled(numeric[name], shares[name]), stated)
        for term in self.interactions:
            parts = term.split(":")
            if all(part in numeric for part in parts):
                default = _scaled(any(numeric[part] for part in parts), math.prod(shares[part] for part in parts))
                chosen[term] = Coefficient(self.beta.get(term, default))
        return chosen


def _scaled(numeric: bool, share: float) -> Normal:
    """Default prior of a coefficient whose unit is this share of the distance that the prior refers to."""
    return Normal(0, NUMERIC_PRIOR.sd * share) if numeric else CATEGORICAL_PRIOR


def scaling_of(values: NDArray[Any], study: Sequence[str] | None = None) -> float:
    """Distance on a numeric moderator that the default prior of its slope refers to.

    Parameters
    ----------
    values : array of shape (k,)
        Missing values are left out.
    study : sequence of k str, optional
        The trial of each row; a trial counts once, by the mean of its rows. Default: every row is a trial.

    Returns
    -------
    float
        Two standard deviations over trials; 1 where all values are 0 or 1, the contrast of the two levels.

    Examples
    --------
    >>> scaling_of(np.array([4.0, 8.0, 12.0])), scaling_of(np.array([0.0, 1.0, 1.0]))
    (8.0, 1.0)
    >>> scaling_of(np.array([4.0, 8.0, 10.0, 14.0]), ["A", "B", "C", "C"])
    8.0
    """
    numbers = np.asarray(values, float)
    seen = stated_rows(numbers)
    if np.isin(numbers[seen], (0.0, 1.0)).all():
        return 1.0
    trials: dict[str, list[float]] = {}
    for row, number in enumerate(numbers):
        if seen[row]:
            trials.setdefault(str(row) if study is None else study[row], []).append(float(number))
    means = [math.fsum(inside) / len(inside) for inside in trials.values()]
    # a moderator that differs within trials alone has no spread over them
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
    return 2.0 * (spread if spread > 0 else float(np.std(numbers[seen], ddof=1)))


def stated_rows(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Rows that state a moderator: neither nan nor None nor empty.

    Examples
    --------
    >>> stated_rows(np.array(["during", None], dtype=object)).tolist()
    [True, False]
    """
    return np.array([value is not None and value != "" and value == value for value in values.tolist()], bool)


def stated_values(values: NDArray[Any]) -> list[Any]:
    """Values that are there.

    Examples
    --------
    >>> stated_values(np.array([4.0, np.nan]))
    [4.0]
    """
    return np.asarray(values)[stated_rows(values)].tolist()


def _term(plan: ModelPlan, moderator: Moderator, default: Normal, levels: list[Any]) -> Term:
    stated = plan.beta.get(moderator.name)
    # a reference level that this outcome lacks decides nothing here; whether it exists at all is judged on reading
    reference = moderator.reference if moderator.reference in levels else None
    if moderator.curve == "spline":
        departure = plan.curve.get(moderator.name, DEPARTURE_PRIOR)
        return Spline(stated or default, departure, moderator.per, moderator.knots)
    if moderator.curve == "monotone":
        return Monotone(stated or MONOTONE_PRIOR, moderator.knots)
    if moderator.pooling == "exchangeable":
        return Exchangeable(stated or EXCHANGEABLE_PRIOR, reference)
    return Coefficient(stated or default, moderator.per, reference)
