"""What is assumed of how results are selected: bias models, and weighted lists of models that are averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from bayesmeta.bias.stated import Stated
from bayesmeta.errors import ModelError
from bayesmeta.priors import HalfCauchy, Prior

__all__ = ["PEESE", "PET", "CandidateModel", "Ensemble", "PublicationBias", "StepSelection"]

Sides = Literal["one", "two"]


@dataclass(frozen=True, slots=True)
class StepSelection:
    """Publication by p value: the chance of being seen is constant between steps, and falls from one to the next.

    The most significant interval has weight 1; the others are cumulative sums of a Dirichlet vector, so that no weight
    exceeds that of an interval with smaller p values.

    Parameters
    ----------
    steps : sequence of float
        p values between 0 and 1 at which the weight changes, ascending.
    sides : {"one", "two"}
        Which p: of the direction of selection, or two-sided.
    alpha : sequence of float, optional
        Of the Dirichlet, one more than `steps`, for the intervals from the most to the least significant. Default: 1.

    References
    ----------
    Vevea & Hedges 1995, doi:10.1007/BF02294384; cumulative weights: Maier, Bartos & Wagenmakers 2023,
    doi:10.1037/met0000405.

    Examples
    --------
    >>> StepSelection((0.025, 0.05)).name
    'one-sided p: .025, .05'
    """

    steps: tuple[float, ...]
    sides: Sides = "one"
    alpha: tuple[float, ...] = ()

    if TYPE_CHECKING:

        def __init__(self, steps: Sequence[float], sides: Sides = "one", alpha: Sequence[float] = ()) -> None: ...

    def __post_init__(self) -> None:
        steps = tuple(float(step) for step in self.steps)
        if not steps or list(steps) != sorted(set(steps)) or not all(0 < step < 1 for step in steps):
            raise ModelError(f"steps = {steps}: give p values between 0 and 1 in ascending order, such as (0.025,).")
        if self.sides not in ("one", "two"):
            raise ModelError(f"sides = {self.sides!r}. Allowed: one, two.")
        alpha = tuple(float(a) for a in self.alpha) or (1.0,) * (len(steps) + 1)
        if len(alpha) != len(steps) + 1 or not all(a > 0 and math.isfinite(a) for a in alpha):
            raise ModelError(f"alpha = {alpha}: {len(steps) + 1} positive numbers, one for each interval of p.")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "alpha", alpha)

    @property
    def name(self) -> str:
        """As tables say it."""
        shown = ", ".join(f"{step:g}".removeprefix("0") for step in self.steps)
        return f"{self.sides}-sided p: {shown}"

    @property
    def family(self) -> str:
        """What kind of bias it is."""
        return "selection"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the weights after the first."""
        edges = (*self.steps, 1.0)
        return tuple(f"weight[{edges[j]:g}, {edges[j + 1]:g}]" for j in range(len(self.steps)))


@dataclass(frozen=True, slots=True)
class PET:
    """Effects grow with their standard errors: ``y ~ N(mu + slope se, se^2 + tau^2)``, slope at least zero.

    Parameters
    ----------
    slope : Prior
        On the positive numbers.

    References
    ----------
    Stanley & Doucouliagos 2014, doi:10.1002/jrsm.1095.
    """

    slope: Prior = field(default_factory=lambda: HalfCauchy(1))
    name = "PET"
    family = "small-study effects"
    parameters = ("PET",)


@dataclass(frozen=True, slots=True)
class PEESE:
    """Effects grow with their variances: ``y ~ N(mu + slope se^2, se^2 + tau^2)``, slope at least zero.

    Parameters
    ----------
    slope : Prior
        On the positive numbers.

    References
    ----------
    Stanley & Doucouliagos 2014, doi:10.1002/jrsm.1095.
    """

    slope: Prior = field(default_factory=lambda: HalfCauchy(5))
    name = "PEESE"
    family = "small-study effects"
    parameters = ("PEESE",)


PublicationBias = StepSelection | PET | PEESE | Stated


@dataclass(frozen=True, slots=True)
class CandidateModel:
    """One model of an average.

    Parameters
    ----------
    mu : Prior or None
        Of the mean effect in the outcome's own direction; None is no effect.
    tau : Prior or None
        Of the between-study SD; None is a common effect.
    bias : StepSelection, PET, PEESE, StatedSelection, ExponentialSelection, CopasSelection or None
        How results are selected; None is not at all.
    weight : float
        Prior probability, up to the sum of those of the average.
    moderators : sequence of str
        Those that are in the model, of the ones that `bayesmeta.average` is given.
    """

    mu: Prior | None
    tau: Prior | None
    bias: PublicationBias | None = None
    weight: float = 1.0
    moderators: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ModelError(f"weight = {self.weight!r}: a positive number.")
        for name in ("mu", "tau"):
            prior = getattr(self, name)
            if prior is not None and not prior.proper:
                raise ModelError(
                    f"{name}: {prior!r} is improper, and models under it have no evidence to be averaged by. "
                    "Use a proper prior, such as normal(0, 1)."
                )


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Models that are averaged, with their prior probabilities.

    Parameters
    ----------
    name : str
    models : sequence of CandidateModel
    source : str
        Where it comes from.
    """

    name: str
    models: tuple[CandidateModel, ...]
    source: str = ""

    if TYPE_CHECKING:

        def __init__(self, name: str, models: Sequence[CandidateModel], source: str = "") -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", tuple(self.models))
        if not self.models:
            raise ModelError("an average needs at least one model.")
        total = math.fsum(model.weight for model in self.models)
        if abs(total - 1) > 1e-12:
            models = (replace(model, weight=model.weight / total) for model in self.models)
            object.__setattr__(self, "models", tuple(models))
