"""One question that is asked of a table: which rows, under which model, judged by which thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from bayesmeta.plan.bias import RiskOfBias
from bayesmeta.plan.modelling import ModelPlan
from bayesmeta.plan.thresholds import BaselineRisk, Better, NaturalUnit, Threshold

__all__ = ["DIVISIONS", "ControlArm", "Decision", "Exclusion", "Outcome", "Selection"]

Division = Literal["shared", "split"]
DIVISIONS: tuple[Division, ...] = get_args(Division)
#: What the control arm of several comparisons is: for every trial, or by trial.
ControlArm = Division | Mapping[str, Division]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Rows left out, with the reason: those whose columns hold the values in ``where``."""

    where: Mapping[str, Any]
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a table are used, and how estimates are made of them.

    Parameters
    ----------
    measure : str
        A name of `bayesmeta.measures.MEASURES`.
    better : {"higher", "lower"} or None
        Which direction is benefit; rows coded otherwise are multiplied by -1.
    where : Mapping
        Column to the value, or tuple of values, of the rows to use.
    exclude : tuple of Exclusion
    unit : str or None
    subgroups : tuple of str
        Categorical columns whose levels are also analysed alone.
    cluster : str or None
        Column whose rows depend on each other beyond sampling.
    working_correlation : float or None
        Sampling correlation of rows that share all their patients.
    control : {"shared", "split"}, or mapping of trials to these, optional
        Whether the control arm that several rows of a trial name is one group, or a group that was divided between
        them. Not stated: one group.
    comparators : {"same", "mixed"}
        Whether a trial may have rows with an arm in common and different controls.
    missing : {"fault", "exclude", "level", "impute"}
        What an empty cell of a moderator is.
    risk_of_bias : RiskOfBias, optional
        Where the judgements of rows stand.
    measure_options : Mapping
        How effects are computed (`bayesmeta.measures.effect_rows`).
    small_study_alternative : {"auto", "greater", "less", "two-sided"}
        Which p decides in one-sided methods of small-study effects.

    Examples
    --------
    >>> Selection("SMD", "lower", {"outcome": "pain"}).missing
    'fault'
    """

    measure: str
    better: Better | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    exclude: tuple[Exclusion, ...] = ()
    unit: str | None = None
    subgroups: tuple[str, ...] = ()
    cluster: str | None = None
    working_correlation: float | None = None
    missing: Literal["fault", "exclude", "level", "impute"] = "fault"
    measure_options: Mapping[str, Any] = field(default_factory=dict)
    # "later": files did not hold them from the first
    control: ControlArm | None = field(default=None, metadata={"later": True})
    comparators: Literal["same", "mixed"] = field(default="same", metadata={"later": True})
    risk_of_bias: RiskOfBias | None = field(default=None, metadata={"later": True})
    small_study_alternative: Literal["auto", "greater", "less", "two-sided"] = field(
        default="auto", metadata={"later": True}
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What an effect is judged by: thresholds, the points of an instrument, risks without treatment.

    Examples
    --------
    >>> Decision().primary is None
    True
    """

    thresholds: tuple[Threshold, ...] = ()
    natural_unit: NaturalUnit | None = None
    baseline_risk: tuple[BaselineRisk, ...] = ()

    @property
    def primary(self) -> Threshold | None:
        """The threshold of the headline: the one marked so, else the first, if any is stated."""
        return next((item for item in self.thresholds if item.primary), next(iter(self.thresholds), None))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question: an outcome at a horizon, as it is read, modelled and judged.

    Parameters
    ----------
    key, label : str
        Its key in the protocol, and the name that tables print.
    selection : Selection
        Which rows are used, and how estimates are made of them; what `bayesmeta.studies` reads.
    model : ModelPlan
        What is assumed; ``outcome.model.on()`` is the pooled analysis, ``outcome.model.on(effects)`` the moderated one.
    decision : Decision
        What an effect is judged by.

    Examples
    --------
    >>> from bayesmeta.priors import HalfNormal, Normal
    >>> Outcome("pain", "Pain", Selection("SMD", "lower"), ModelPlan(Normal(0, 1), HalfNormal(0.5))).model.on()
    Model(mu=normal(0, 1), tau=halfnormal(0.5))
    """

    key: str
    label: str
    selection: Selection
    model: ModelPlan
    decision: Decision = field(default_factory=Decision)
