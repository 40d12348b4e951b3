"""What is asked: outcomes with their thresholds and priors, the data they are asked of, and the whole protocol.

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
from bayesmeta.model import Coefficient, Model
from bayesmeta.priors import Normal, Prior

__all__ = [
    "CATEGORICAL_PRIOR",
    "DEFAULT_COEFFICIENT_SOURCE",
    "NUMERIC_PRIOR",
    "Amount",
    "Assumption",
    "BaselineRisk",
    "Better",
    "DataSource",
    "Exclusion",
    "Moderator",
    "NaturalUnit",
    "Outcome",
    "Protocol",
    "Sampling",
    "Sensitivity",
    "Threshold",
    "analysis_model",
    "coefficient_priors",
    "vary",
]

Better = Literal["higher", "lower"]
Amount = float | tuple[float, float] | Prior

#: Prior of a contrast between two levels of a categorical moderator, on SMD and log-ratio scales.
CATEGORICAL_PRIOR = Normal(0, 0.5)
#: Prior of the slope of a numeric moderator per stated unit, on SMD and log-ratio scales.
NUMERIC_PRIOR = Normal(0, 0.25)
DEFAULT_COEFFICIENT_SOURCE = (
    "default of bayesmeta on SMD and log-ratio scales, a judgement: a contrast between levels normal(0, 0.5), "
    "a slope per stated unit normal(0, 0.25)"
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """The smallest effect that matters, in the direction of benefit and in that of harm.

    Parameters
    ----------
    name : str
        What the threshold is called in tables.
    benefit, worse : float, (float, float) or Prior
        As the protocol states them: a positive distance from no effect in the outcome's own direction; for ratio
        measures the ratio itself (0.75 where lower is better). A pair is a range of threshold values, a prior a
        distribution over them (of the distance on the analysis scale).
    benefit_distance, worse_distance : float, (float, float) or Prior
        The same as a positive distance on the analysis scale (the absolute log ratio for ratio measures).
    source : str
        Where the number comes from.
    kind : {"anchor", "distribution", "convention", "panel"}
        How it was found.
    primary : bool
        Whether it is the one of the headline.

    Examples
    --------
    >>> Threshold("MID", 0.5, 0.5, 0.5, 0.5, "Norman 2003", "convention", True).benefit_distance
    0.5
    """

    name: str
    benefit: Amount
    worse: Amount
    benefit_distance: Amount
    worse_distance: Amount
    source: str
    kind: Literal["anchor", "distribution", "convention", "panel"]
    primary: bool


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

    Examples
    --------
    >>> Moderator("weeks", "numeric", per=4).per
    4
    """

    name: str
    kind: Literal["numeric", "categorical"] | None = None
    per: float = 1.0
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class NaturalUnit:
    """A familiar instrument, in whose points a standardised effect is told: ``sd`` is its standard deviation."""

    name: str
    sd: float
    sd_source: str


@dataclass(frozen=True, slots=True)
class BaselineRisk:
    """A risk without treatment, to which a relative effect is applied."""

    name: str
    risk: float
    source: str


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

    ``beta`` holds the coefficient priors that the protocol states; `coefficient_priors` completes them with the
    defaults. ``sources`` maps ``mu``, ``tau`` and ``beta`` to where these priors come from.
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
    sources: Mapping[str, str] = field(default_factory=dict)
    moderators: tuple[Moderator, ...] = ()
    interactions: tuple[str, ...] = ()
    subgroups: tuple[str, ...] = ()
    cluster: str | None = None
    working_correlation: float | None = None
    rho: float = 0.5
    likelihood: str = "normal"
    missing: Literal["fault", "exclude", "level"] = "fault"
    thresholds: tuple[Threshold, ...] = ()
    measure_options: Mapping[str, Any] = field(default_factory=dict)
    exclude: tuple[Exclusion, ...] = ()
    natural_unit: NaturalUnit | None = None
    baseline_risk: tuple[BaselineRisk, ...] = ()
    engine: Literal["auto", "exact"] = "auto"

    @property
    def primary(self) -> Threshold | None:
        """The threshold of the headline, if any threshold is stated."""
        return next((threshold for threshold in self.thresholds if threshold.primary), None)


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
        Where it comes from and why it is asked; empty if not stated.
    """

    name: str
    changes: tuple[str, ...]
    outcomes: Mapping[str, Outcome]
    source: str = ""
    reason: str = ""


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

    ``sha256`` is the hash of the file's bytes. ``classical``, ``bias``, ``joint`` and ``report`` are the plain tables
    of those names, checked for their keys.
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
    joint: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    schema: int = 1

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
    >>> from bayesmeta.priors import HalfNormal
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
    return dataclasses.replace(protocol, outcomes=dict(names[sensitivity].outcomes))


def coefficient_priors(outcome: Outcome, moderators: Mapping[str, NDArray[Any]]) -> dict[str, Coefficient]:
    """Coefficient priors of the moderated analysis: the stated ones, else the defaults.

    Parameters
    ----------
    outcome : Outcome
        With its moderators, interactions and stated priors.
    moderators : Mapping
        Moderator name to its (k,) values, as in ``Effects.moderators``; object arrays are categorical.

    Returns
    -------
    dict
        Name of each moderator that varies, and of each interaction of such, to the prior of its coefficient (a slope,
        or a contrast between two levels). A moderator with one value is left out.

    Raises
    ------
    ModelError
        If a moderator is not among ``moderators``.

    Notes
    -----
    Defaults, on SMD and log-ratio scales only: contrasts normal(0, 0.5), slopes per stated unit normal(0, 0.25).

    Examples
    --------
    >>> from bayesmeta.priors import HalfNormal
    >>> outcome = Outcome("pain", "Pain", {}, "SMD", "lower", mu=Normal(0, 1), tau=HalfNormal(0.5),
    ...                   moderators=(Moderator("weeks", per=4), Moderator("type")))
    >>> coefficient_priors(outcome, {"weeks": np.array([1.0, 2.0]), "type": np.array(["a", "a"], dtype=object)})
    {'weeks': Coefficient(prior=normal(0, 0.25), per=4, reference=None)}
    """
    chosen: dict[str, Coefficient] = {}
    numeric: dict[str, bool] = {}
    for moderator in outcome.moderators:
        if moderator.name not in moderators:
            raise ModelError(_unknown("moderator", moderator.name, moderators))
        values = np.asarray(moderators[moderator.name])
        if len(set(values.tolist())) < 2:
            continue
        numeric[moderator.name] = bool(np.issubdtype(values.dtype, np.number))
        default = NUMERIC_PRIOR if numeric[moderator.name] else CATEGORICAL_PRIOR
        prior = outcome.beta.get(moderator.name, default)
        # a reference level that this outcome lacks decides nothing here; whether it exists at all is judged on reading
        reference = moderator.reference if moderator.reference in values.tolist() else None
        chosen[moderator.name] = Coefficient(prior, moderator.per, reference)
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

    Examples
    --------
    >>> from bayesmeta.priors import HalfNormal
    >>> outcome = Outcome("pain", "Pain", {}, "SMD", "lower", mu=Normal(0, 1), tau=HalfNormal(0.5))
    >>> analysis_model(outcome)
    Model(mu=normal(0, 1), tau=halfnormal(0.5))
    """
    beta = {} if moderators is None else coefficient_priors(outcome, moderators)
    return Model(mu=outcome.mu, tau=outcome.tau, beta=beta, rho=outcome.rho)
