"""Bias as it is stated: judgements of trials and how large their bias may be; models of publication bias."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from bayesmeta.errors import ModelError, find_name
from bayesmeta.priors import Prior

__all__ = [
    "BIAS_ENSEMBLES",
    "BIAS_FORMS",
    "BIAS_MODELS",
    "HIGH_RISK",
    "ROB_JUDGEMENTS",
    "BiasEnsemble",
    "BiasForm",
    "BiasModelKind",
    "BiasModelPlan",
    "BiasPlan",
    "BiasSize",
    "RiskOfBias",
    "RobTool",
]

RobTool = Literal["RoB 2", "ROBINS-I"]
BiasForm = Literal["trial", "common"]
BIAS_FORMS: tuple[BiasForm, ...] = get_args(BiasForm)
BiasEnsemble = Literal["psma", "pp", "2w", "bma"]
#: Names of averages that others have published; `bayesmeta.bias.ensemble` makes them.
BIAS_ENSEMBLES: tuple[BiasEnsemble, ...] = get_args(BiasEnsemble)
BiasModelKind = Literal["selection", "PET", "PEESE"]
BIAS_MODELS: tuple[BiasModelKind, ...] = get_args(BiasModelKind)
#: The judgements of each tool, from the best to the worst.
ROB_JUDGEMENTS: Mapping[RobTool, tuple[str, ...]] = MappingProxyType(
    {
        "RoB 2": ("low", "some concerns", "high"),
        "ROBINS-I": ("low", "moderate", "serious", "critical", "no information"),
    }
)
#: Those that count as high risk where nothing else is stated.
HIGH_RISK = ("high", "serious", "critical")


@dataclass(frozen=True, slots=True)
class BiasSize:
    """How large the bias of trials at high risk is thought to be: ``b ~ N(mean, sd**2)``, positive towards benefit.

    Parameters
    ----------
    mean, sd : float
        On the scale of the analysis, the log scale for ratio measures.
    form : {"trial", "common"}
        Whether every trial has a bias of its own, or all have the same.
    source : str

    Examples
    --------
    >>> BiasSize(0.1, 0.1).form
    'trial'
    """

    mean: float
    sd: float
    form: BiasForm = "trial"
    source: str = ""

    def __post_init__(self) -> None:
        find_name("form", self.form, BIAS_FORMS)
        if not (math.isfinite(self.mean) and math.isfinite(self.sd) and self.sd >= 0):
            raise ModelError(f"bias: mean {self.mean:g}, sd {self.sd:g}; give finite numbers, and an sd of 0 or more.")


@dataclass(frozen=True, slots=True)
class RiskOfBias:
    """Where a table holds the judgements of its rows' risk of bias, and what is done with them.

    Parameters
    ----------
    tool : {"RoB 2", "ROBINS-I"}
    overall : str
        Column of the overall judgement.
    domains : mapping of str to str
        What each domain is called, and its column; in the order in which they are drawn.
    high : tuple of str
        Judgements that count as high risk; default high, serious and critical.
    bias : BiasSize, optional

    Examples
    --------
    >>> RiskOfBias("ROBINS-I").judgements
    ('low', 'moderate', 'serious', 'critical', 'no information')
    """

    tool: RobTool = "RoB 2"
    overall: str = "risk_of_bias"
    domains: Mapping[str, str] = field(default_factory=dict)
    high: tuple[str, ...] = HIGH_RISK
    bias: BiasSize | None = None

    def __post_init__(self) -> None:
        find_name("tool", self.tool, ROB_JUDGEMENTS)

    @property
    def judgements(self) -> tuple[str, ...]:
        """The judgements of the tool, from the best to the worst."""
        return ROB_JUDGEMENTS[self.tool]


@dataclass(frozen=True, slots=True)
class BiasModelPlan:
    """One model of publication bias.

    Parameters
    ----------
    kind : {"selection", "PET", "PEESE"}
    steps : tuple of float
        Of a selection model: the p values at which the chance of being seen changes.
    sides : {"one", "two"}
        Of a selection model: which p.
    weight : float
        Prior probability given that there is bias, up to the sum of those of all bias models.
    """

    kind: BiasModelKind
    steps: tuple[float, ...] = ()
    sides: Literal["one", "two"] = "one"
    weight: float = 1.0

    def __post_init__(self) -> None:
        find_name("kind", self.kind, BIAS_MODELS)
        if (self.kind == "selection") != bool(self.steps):
            needed = "needs steps, such as (0.025,)" if self.kind == "selection" else "has no steps"
            raise ModelError(f"bias model {self.kind}: it {needed}.")


@dataclass(frozen=True, slots=True)
class BiasPlan:
    """Which models of publication bias are averaged.

    Parameters
    ----------
    ensemble : {"psma", "pp", "2w", "bma"}
        RoBMA's default of six weight functions, PET and PEESE; PET and PEESE; two two-sided weight functions; no bias.
    direction : {"higher", "lower"}, optional
        Which effects are favoured by selection; default the better ones.
    mu, tau : Prior, optional
        Of the models with an effect, and with heterogeneity. Default: those of the ensemble for standardised mean
        differences, of which they are; those of the analysis for other measures.
    models : tuple of BiasModelPlan
        Bias models in place of those of the ensemble.

    Examples
    --------
    >>> BiasPlan().ensemble
    'psma'
    """

    ensemble: BiasEnsemble = "psma"
    direction: Literal["higher", "lower"] | None = None
    mu: Prior | None = None
    tau: Prior | None = None
    models: tuple[BiasModelPlan, ...] = ()

    def __post_init__(self) -> None:
        find_name("ensemble", self.ensemble, BIAS_ENSEMBLES)
        if self.direction is not None:
            find_name("direction", self.direction, ("higher", "lower"))
