"""The whole of what is asked, before it is run: data, outcomes, declared sensitivity analyses.

These are plain values. `bayesmeta.protocol` makes them from a TOML file and checks every rule; whoever consumes them
needs neither the file nor the checker.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bayesmeta.errors import find_name
from bayesmeta.plan.bias import BiasPlan
from bayesmeta.plan.outcome import Exclusion, Outcome
from bayesmeta.plan.shapes import TableShape
from bayesmeta.priors import Normal

__all__ = ["Assumption", "Borrow", "DataSource", "JointPlan", "Protocol", "Sampling", "Sensitivity", "Unstated", "vary"]


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
        The file: CSV, a workbook, or one of another program.
    sha256 : str or None
        Its pinned hash; None when the data are not pinned.
    columns : Mapping
        Our column name to the file's.
    constants : Mapping
        Our column name to one value for all rows.
    values : Mapping
        Column to a mapping of the file's values to ours.
    where : Mapping
        Column to the value of the rows that are used at all; the others are not looked at.
    exclude, assume : tuple
        Rows left out and cells assumed, each with its reason.
    encoding, delimiter, decimal : str or None
        How the text is to be read; None to find out.
    sheet : str or None
        Of a workbook; None for the only one with rows.
    format : str or None
        What made the file; None to find out.
    shape : TableShape
        How it becomes one row per comparison.
    """

    path: Path
    sha256: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    exclude: tuple[Exclusion, ...] = ()
    assume: tuple[Assumption, ...] = ()
    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    sheet: str | None = None
    format: str | None = None
    shape: TableShape = field(default_factory=TableShape)


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
class Unstated:
    """Something that no protocol stated, with what was taken in its place.

    Parameters
    ----------
    kind : {"measure", "prior", "likelihood", "direction", "threshold", "review", "refused", "unreadable"}
        Of the analyses of a review: what its file says of one, or why one is not answered: because of what was not
        stated, or of its rows.
    text : str
    """

    kind: Literal["measure", "prior", "likelihood", "direction", "threshold", "review", "refused", "unreadable"]
    text: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """A whole analysis, stated before it is run.

    ``sha256`` is the hash of the file's bytes; empty where there is no file, and then ``unstated`` says what was taken
    in its place (`bayesmeta.table_protocol`), and ``assumptions`` the same in words. ``classical`` and ``report`` are
    the plain tables of those names, checked for their keys; ``bias`` is None where no average over models of
    publication bias is stated.
    """

    title: str
    path: Path
    sha256: str
    data: DataSource
    outcomes: Mapping[str, Outcome]
    sensitivities: tuple[Sensitivity, ...] = ()
    sampling: Sampling | None = None
    classical: Mapping[str, Any] = field(default_factory=dict)
    bias: BiasPlan | None = None
    joint: JointPlan | None = None
    report: Mapping[str, Any] = field(default_factory=dict)
    schema: int = 1
    borrow: Mapping[str, Borrow] = field(default_factory=dict)
    unstated: tuple[Unstated, ...] = ()
    reference_sd: float | None = None

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was taken where nothing was stated, in words."""
        return tuple(item.text for item in self.unstated)

    def outcome(self, key: str) -> Outcome:
        """Return one outcome by its key.

        Raises
        ------
        ModelError
            If there is none of that key; the message lists the keys.
        """
        return self.outcomes[find_name("outcome", key, self.outcomes, place="in the protocol")]

    def sensitivities_of(self, key: str) -> tuple[Sensitivity, ...]:
        """Return the sensitivity analyses that concern one outcome."""
        return tuple(item for item in self.sensitivities if key in item.outcomes)


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
    >>> from bayesmeta.plan import ModelPlan, Selection
    >>> from bayesmeta.priors import HalfNormal
    >>> outcome = Outcome("pain", "Pain", Selection("SMD", "lower"), ModelPlan(Normal(0, 1), HalfNormal(0.5)))
    >>> wide = dataclasses.replace(outcome, model=ModelPlan(Normal(0, 2), HalfNormal(0.5)))
    >>> protocol = Protocol("Pain", Path("p.toml"), "", data, {"pain": outcome},
    ...                     (Sensitivity("wide", ("priors.mu",), {"pain": wide}),))
    >>> vary(protocol, "wide").outcomes["pain"].model.mu
    normal(0, 2)
    """
    names = {item.name: item for item in protocol.sensitivities}
    chosen = names[find_name("sensitivity analysis", sensitivity, names, place="in the protocol")]
    return dataclasses.replace(protocol, outcomes=dict(chosen.outcomes), joint=chosen.joint or protocol.joint)
