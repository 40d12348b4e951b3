"""Risk of bias as it is stated: where judgements of trials stand, which count as high, how large bias may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from bayesmeta.errors import ModelError, find_name

__all__ = ["BIAS_FORMS", "HIGH_RISK", "ROB_JUDGEMENTS", "BiasForm", "BiasSize", "RiskOfBias", "RobTool"]

RobTool = Literal["RoB 2", "ROBINS-I"]
BiasForm = Literal["trial", "common"]
BIAS_FORMS: tuple[BiasForm, ...] = get_args(BiasForm)
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
