"""Outcomes with their thresholds and priors, the data they are asked of, and the whole protocol.

These are plain values. `bayesmeta.protocol` makes them from a TOML file and checks every rule; whoever consumes them
needs neither the file nor the checker.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import ModelError
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
from bayesmeta.plan.thresholds import Amount, BaselineRisk, BetaRisk, Better, NaturalUnit, PointsThreshold, Threshold
from bayesmeta.priors import HalfNormal, Normal, Prior

__all__ = [
    "CATEGORICAL_PRIOR",
    "DEFAULT_COEFFICIENT_SOURCE",
    "DEPARTURE_PRIOR",
    "EXCHANGEABLE_PRIOR",
    "MONOTONE_PRIOR",
    "NUMERIC_PRIOR",
    "Amount",
    "Assumption",
    "BaselineRisk",
    "BetaRisk",
    "Better",
    "Borrow",
    "DataSource",
    "Exclusion",
    "JointPlan",
    "Moderator",
    "NaturalUnit",
    "Outcome",
    "PointsThreshold",
    "Protocol",
    "Sampling",
    "Sensitivity",
    "Threshold",
    "analysis_model",
    "coefficient_priors",
    "vary",
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
class Borrow:
    """Where an outcome with few trials may borrow strength from.

    Parameters
    ----------
    path : Path
        The protocol whose outcome ``outcome`` is the source.
    outcome : str
        Its key there.
    weight : float
        Prior probability that the source says nothing about the target.
    sd : float or None
        What divides an effect in points to standardise it, where the source is standardised and the target is not.
    sd_source, reason : str
        Where ``sd`` comes from; why it is reasonable to borrow.
    vague : Normal or None
        What is believed where the source says nothing, on the source's scale; None: unit information.
    """

    path: Path
    outcome: str
    weight: float = 0.2
    sd: float | None = None
    sd_source: str = ""
    vague: Normal | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Rows left out, with the reason: those whose columns hold the values in ``where``."""

    where: Mapping[str, Any]
    reason: str


@dataclass(frozen=True, slots=True)
class Assumption:
    """Cells filled with a value that the file does not state, with the reason."""

    where: Mapping[str, Any]
    set: Mapping[str, Any]
    reason: str


@dataclass(frozen=True, slots=True)
class DataSource:
    """A study file and how its columns are to be read.

    Parameters
    ----------
    path : Path
        The CSV file.
    sha256 : str or None
        Its pinned hash; None when the data are not pinned.
    columns : Mapping
        Our column name to the file's.
    constants : Mapping
        Our column name to one value for all rows.
    values : Mapping
        Column to a mapping of the file's values to ours.
    exclude, assume : tuple
        Rows left out and cells assumed, each with its reason.
    encoding, delimiter, decimal : str or None
        How the text is to be read; None to find out.
    """

    path: Path
    sha256: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exclude: tuple[Exclusion, ...] = ()
    assume: tuple[Assumption, ...] = ()
    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question: an outcome at a horizon, its direction, priors and thresholds.

    ``beta`` holds the coefficient priors that the protocol states, and ``curve`` those of the departures of splines;
    `coefficient_priors` completes them with the defaults. ``impute`` holds the populations of moderators with empty
    cells, used where ``missing`` is "impute". ``sources`` maps ``mu``, ``tau`` and ``beta`` to where these priors come
    from. `analysis_model` makes the model of all this.
    """

    key: str
    label: str
    where: Mapping[str, Any]
    measure: str
    better: Better | None
    mu: Prior
    tau: Prior
    unit: str | None = None
    beta: Mapping[str, Prior] = field(default_factory=dict)
    curve: Mapping[str, Prior] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    moderators: tuple[Moderator, ...] = ()
    interactions: tuple[str, ...] = ()
    subgroups: tuple[str, ...] = ()
    cluster: str | None = None
    working_correlation: float | None = None
    cluster_tau: Prior | None = None
    rho: float = 0.5
    likelihood: Likelihood = "normal"
    baseline: Prior | None = None
    random: StudentEffects | OutlierEffects | None = None
    missing: Literal["fault", "exclude", "level", "impute"] = "fault"
    impute: Mapping[str, MissingNumeric | MissingLevels] = field(default_factory=dict)
    derived: Mapping[str, Prior] = field(default_factory=dict)
    missing_sd: MissingSD | None = None
    thresholds: tuple[Threshold, ...] = ()
    measure_options: Mapping[str, Any] = field(default_factory=dict)
    exclude: tuple[Exclusion, ...] = ()
    natural_unit: NaturalUnit | None = None
    baseline_risk: tuple[BaselineRisk, ...] = ()
    engine: Literal["auto", "exact", "nuts", "both"] = "auto"

    @property
    def primary(self) -> Threshold | None:
        """The threshold of the headline, if any threshold is stated."""
        return next((threshold for threshold in self.thresholds if threshold.primary), None)


@dataclass(frozen=True, slots=True)
class JointPlan:
    """Several outcomes judged together.

    Parameters
    ----------
    outcomes : tuple of str
        Their keys; each says which direction is better.
    correlation : float
        Sampling correlation of two outcomes of the same patients, in the direction of benefit: an assumption, because
        trials do not report it. Vary it.
    eta : float
        Shape of the LKJ prior of the correlations between the outcomes' true effects; 1 is uniform.

    Examples
    --------
    >>> JointPlan(("pain", "sleep")).correlation
    0.5
    """

    outcomes: tuple[str, ...]
    correlation: float = 0.5
    eta: float = 2.0


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One declared departure from the main analysis.

    Parameters
    ----------
    name : str
        How tables call it.
    changes : tuple of str
        The keys it changes, such as ``"priors.tau"`` or ``"exclude"``.
    outcomes : Mapping
        The outcomes it concerns, each as it is under this analysis.
    source, reason : str
        Where it comes from and why it is analysed; empty if not stated.
    joint : JointPlan, optional
        The joint analysis as it is under this analysis, where it changes that. An entry that changes nothing else
        concerns no outcome alone.
    """

    name: str
    changes: tuple[str, ...]
    outcomes: Mapping[str, Outcome]
    source: str = ""
    reason: str = ""
    joint: JointPlan | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How simulation is run where it is needed; ``seed`` also seeds draws from exact posteriors."""

    seed: int
    chains: int = 4
    draws: int = 1000
    tune: int = 1000
    target_accept: float = 0.9


@dataclass(frozen=True, slots=True)
class Protocol:
    """A whole analysis, stated before it is run.

    ``sha256`` is the hash of the file's bytes. ``classical``, ``bias`` and ``report`` are the plain tables of those
    names, checked for their keys.
    """

    title: str
    path: Path
    sha256: str
    data: DataSource
    outcomes: Mapping[str, Outcome]
    sensitivities: tuple[Sensitivity, ...] = ()
    sampling: Sampling | None = None
    classical: Mapping[str, Any] = field(default_factory=dict)
    bias: Mapping[str, Any] = field(default_factory=dict)
    joint: JointPlan | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    schema: int = 1
    borrow: Mapping[str, Borrow] = field(default_factory=dict)

    def outcome(self, key: str) -> Outcome:
        """Return one outcome by its key.

        Raises
        ------
        ModelError
            If there is none of that key; the message lists the keys.
        """
        if key not in self.outcomes:
            raise ModelError(_unknown("outcome", key, self.outcomes))
        return self.outcomes[key]

    def sensitivities_of(self, key: str) -> tuple[Sensitivity, ...]:
        """Return the sensitivity analyses that concern one outcome."""
        return tuple(item for item in self.sensitivities if key in item.outcomes)


def _unknown(what: str, name: str, allowed: Sequence[str] | Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(allowed), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{what} {name!r} is not in the protocol.{hint} Allowed: {', '.join(allowed) or 'none'}."


def vary(protocol: Protocol, sensitivity: str) -> Protocol:
    """Return the protocol as it is under one of its sensitivity analyses.

    Parameters
    ----------
    protocol : Protocol
        The protocol.
    sensitivity : str
        Name of one of ``protocol.sensitivities``.

    Returns
    -------
    Protocol
        The same, with only the outcomes that the analysis concerns, changed as it says.

    Raises
    ------
    ModelError
        If there is no analysis of that name; the message lists the names.

    Examples
    --------
    >>> data = DataSource(Path("trials.csv"))
    >>> outcome = Outcome("pain", "Pain", {}, "SMD", "lower", mu=Normal(0, 1), tau=HalfNormal(0.5))
    >>> wide = dataclasses.replace(outcome, mu=Normal(0, 2))
    >>> protocol = Protocol("Pain", Path("p.toml"), "", data, {"pain": outcome},
    ...                     (Sensitivity("wide", ("priors.mu",), {"pain": wide}),))
    >>> vary(protocol, "wide").outcomes["pain"].mu
    normal(0, 2)
    """
    names = {item.name: item for item in protocol.sensitivities}
    if sensitivity not in names:
        raise ModelError(_unknown("sensitivity analysis", sensitivity, names))
    chosen = names[sensitivity]
    return dataclasses.replace(protocol, outcomes=dict(chosen.outcomes), joint=chosen.joint or protocol.joint)


def _stated(values: NDArray[Any]) -> list[Any]:
    """Values that are there: neither nan nor None nor empty."""
    return [value for value in values.tolist() if value is not None and value != "" and value == value]


def _term(outcome: Outcome, moderator: Moderator, numeric: bool, levels: list[Any]) -> Term:
    stated = outcome.beta.get(moderator.name)
    # a reference level that this outcome lacks decides nothing here; whether it exists at all is judged on reading
    reference = moderator.reference if moderator.reference in levels else None
    if moderator.curve == "spline":
        departure = outcome.curve.get(moderator.name, DEPARTURE_PRIOR)
        return Spline(stated or NUMERIC_PRIOR, departure, moderator.per, moderator.knots)
    if moderator.curve == "monotone":
        return Monotone(stated or MONOTONE_PRIOR, moderator.knots)
    if moderator.pooling == "exchangeable":
        return Exchangeable(stated or EXCHANGEABLE_PRIOR, reference)
    return Coefficient(stated or (NUMERIC_PRIOR if numeric else CATEGORICAL_PRIOR), moderator.per, reference)


def coefficient_priors(outcome: Outcome, moderators: Mapping[str, NDArray[Any]]) -> dict[str, Term]:
    """How each moderator enters the moderated analysis: with the stated priors, else the defaults.

    Parameters
    ----------
    outcome : Outcome
        With its moderators, interactions and stated priors.
    moderators : Mapping
        Moderator name to its (k,) values, as in ``Effects.moderators``; object arrays are categorical.

    Returns
    -------
    dict
        Name of each moderator that varies, and of each interaction of such, to how it enters: a coefficient with its
        prior (a slope, or a contrast between two levels), exchangeable levels, a spline or a monotone curve. A
        moderator with one value is left out; empty cells are no value.

    Raises
    ------
    ModelError
        If a moderator is not among ``moderators``.

    Notes
    -----
    Defaults, on SMD and log-ratio scales only: contrasts normal(0, 0.5), slopes per stated unit normal(0, 0.25), the
    SD of exchangeable levels half-normal(0.35), a spline's departure half-normal(0.25), the total of a monotone curve
    normal(0, 0.5).

    Examples
    --------
    >>> outcome = Outcome("pain", "Pain", {}, "SMD", "lower", mu=Normal(0, 1), tau=HalfNormal(0.5),
    ...                   moderators=(Moderator("weeks", per=4), Moderator("type")))
    >>> coefficient_priors(outcome, {"weeks": np.array([1.0, 2.0]), "type": np.array(["a", "a"], dtype=object)})
    {'weeks': Coefficient(prior=normal(0, 0.25), per=4, reference=None)}
    """
    chosen: dict[str, Term] = {}
    numeric: dict[str, bool] = {}
    for moderator in outcome.moderators:
        if moderator.name not in moderators:
            raise ModelError(_unknown("moderator", moderator.name, moderators))
        values = np.asarray(moderators[moderator.name])
        stated = _stated(values)
        if len(set(stated)) < 2:
            continue
        numeric[moderator.name] = bool(np.issubdtype(values.dtype, np.number))
        chosen[moderator.name] = _term(outcome, moderator, numeric[moderator.name], stated)
    for term in outcome.interactions:
        parts = term.split(":")
        if all(part in numeric for part in parts):
            default = NUMERIC_PRIOR if any(numeric[part] for part in parts) else CATEGORICAL_PRIOR
            chosen[term] = Coefficient(outcome.beta.get(term, default))
    return chosen


def analysis_model(outcome: Outcome, moderators: Mapping[str, NDArray[Any]] | None = None) -> Model:
    """Make the model of an outcome: ``pooled`` without moderators, ``moderated`` with them.

    Parameters
    ----------
    outcome : Outcome
        With its priors.
    moderators : Mapping, optional
        ``Effects.moderators``; None for the pooled analysis.

    Returns
    -------
    Model
        Populations of missing moderators enter only where a cell is empty.

    Examples
    --------
    >>> outcome = Outcome("pain", "Pain", {}, "SMD", "lower", mu=Normal(0, 1), tau=HalfNormal(0.5))
    >>> analysis_model(outcome)
    Model(mu=normal(0, 1), tau=halfnormal(0.5))
    """
    beta = {} if moderators is None else coefficient_priors(outcome, moderators)
    missing = {
        name: population
        for name, population in outcome.impute.items()
        if moderators is not None and name in beta and len(_stated(moderators[name])) < len(moderators[name])
    }
    return Model(
        mu=outcome.mu,
        tau=outcome.tau,
        beta=beta,
        rho=outcome.rho,
        cluster_tau=outcome.cluster_tau,
        likelihood=outcome.likelihood,
        random=outcome.random,
        missing=missing,
        derived=outcome.derived,
        missing_sd=outcome.missing_sd,
        baseline=outcome.baseline,
    )
