"""Selection of a stated strength: nothing is estimated, the answer is that if selection were so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.numerics import rule

__all__ = ["CopasSelection", "ExponentialSelection", "Stated", "StatedSelection", "log_selection"]

FloatArray = NDArray[np.float64]
Sides = Literal["one", "two"]
#: A probability of being seen below this, relative to others, is as good as none, and products of sixteen exist.
SMALLEST = 1e-15
#: z values between which a smooth chance of being seen changes, and nodes between them: z has an SD of at least one.
_REACH, _NODES = 8.5, 129


@dataclass(frozen=True, slots=True)
class StatedSelection:
    """Publication by p value with stated weights, constant between steps.

    Parameters
    ----------
    steps : sequence of float
        p values between 0 and 1 at which the weight changes, ascending.
    weights : sequence of float
        Relative chances of being seen, one more than `steps`, from the most to the least significant interval.
    sides : {"one", "two"}
        Which p: of the direction of selection, or two-sided.

    References
    ----------
    Vevea & Woods 2005, doi:10.1037/1082-989X.10.4.428.

    Examples
    --------
    >>> StatedSelection((0.025,), (1.0, 0.2)).name
    'one-sided p: .025, weights 1, 0.2'
    """

    steps: tuple[float, ...]
    weights: tuple[float, ...]
    sides: Sides = "one"
    family = "stated selection"
    parameters = ()

    if TYPE_CHECKING:

        def __init__(self, steps: Sequence[float], weights: Sequence[float], sides: Sides = "one") -> None: ...

    def __post_init__(self) -> None:
        steps, weights = tuple(float(step) for step in self.steps), tuple(float(weight) for weight in self.weights)
        if not steps or list(steps) != sorted(set(steps)) or not all(0 < step < 1 for step in steps):
            raise ModelError(f"steps = {steps}: give p values between 0 and 1 in ascending order, such as (0.025,).")
        if self.sides not in ("one", "two"):
            raise ModelError(f"sides = {self.sides!r}. Allowed: one, two.")
        if len(weights) != len(steps) + 1 or not all(weight / max(weights) >= SMALLEST for weight in weights):
            raise ModelError(
                f"weights = {weights}: {len(steps) + 1} positive numbers, one for each interval of p, none below "
                f"{SMALLEST:g} of the largest."
            )
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "weights", weights)

    @property
    def name(self) -> str:
        """As tables say it."""
        shown = ", ".join(f"{step:g}".removeprefix("0") for step in self.steps)
        return f"{self.sides}-sided p: {shown}, weights {', '.join(f'{weight:g}' for weight in self.weights)}"


@dataclass(frozen=True, slots=True)
class ExponentialSelection:
    """Publication with probability ``exp(-strength p^power)`` of the one-sided p: it falls smoothly.

    Parameters
    ----------
    strength : float
        At least zero, which is no selection; 3 is what Preston et al. call moderate.
    power : float
        1: negative exponential; 1.5 and 2: half-normal and steeper forms.

    References
    ----------
    Preston, Ashby & Smyth 2004, doi:10.1111/j.0006-341X.2004.00257.x.

    Examples
    --------
    >>> ExponentialSelection(3.0).name
    'one-sided p: exp(-3 p^1)'
    """

    strength: float
    power: float = 1.0
    family = "stated selection"
    parameters = ()

    def __post_init__(self) -> None:
        if not (0.0 <= self.strength <= -math.log(SMALLEST) and 0.5 <= self.power <= 4.0):
            raise ModelError(
                f"strength = {self.strength!r}, power = {self.power!r}: a strength from 0 to "
                f"{-math.log(SMALLEST):.0f}, and a power from 0.5 to 4."
            )

    @property
    def name(self) -> str:
        """As tables say it."""
        return f"one-sided p: exp(-{self.strength:g} p^{self.power:g})"

    def log_weight(self, z: FloatArray) -> FloatArray:
        """Logarithm of the probability of being seen at z values, of their shape."""
        return np.asarray(-self.strength * special.ndtr(-z) ** self.power)


@dataclass(frozen=True, slots=True)
class CopasSelection:
    r"""Copas selection: a trial is seen where ``gamma0 + gamma1 / se + delta > 0``, delta correlated with its error.

    With :math:`u_i = \gamma_0 + \gamma_1 / s_i` a trial of standard error s is seen with probability :math:`\Phi(u)`,
    and results further in the favoured direction more often, the more the larger `rho`. Standard errors seen are those
    after selection: :math:`\sigma_i^2 = s_i^2 / (1 - \rho^2 \lambda(u_i) (u_i + \lambda(u_i)))` with
    :math:`\lambda = \phi / \Phi`.

    Parameters
    ----------
    gamma0, gamma1 : float
        Chance of the least precise trials to be seen, and how it grows with precision (at least zero).
    rho : float
        Correlation of error and chance of being seen, from 0 to 0.99.

    References
    ----------
    Copas & Shi 2000, doi:10.1093/biostatistics/1.3.247.

    Examples
    --------
    >>> CopasSelection(-0.5, 0.1, 0.8).name
    'Copas: gamma0 -0.5, gamma1 0.1, rho 0.8'
    """

    gamma0: float
    gamma1: float
    rho: float
    family = "stated selection"
    parameters = ()

    def __post_init__(self) -> None:
        if not (abs(self.gamma0) <= 8.0 and 0.0 <= self.gamma1 < math.inf and 0.0 <= self.rho <= 0.99):
            raise ModelError(
                f"gamma0 = {self.gamma0!r}, gamma1 = {self.gamma1!r}, rho = {self.rho!r}: gamma0 from -8 to 8, gamma1 "
                "at least 0, rho from 0 to 0.99."
            )

    @property
    def name(self) -> str:
        """As tables say it."""
        return f"Copas: gamma0 {self.gamma0:g}, gamma1 {self.gamma1:g}, rho {self.rho:g}"

    def chances(self, se: FloatArray) -> FloatArray:
        """Normal quantile of the chance that a trial of a standard error is seen."""
        return self.gamma0 + self.gamma1 / se

    def unselected(self, se: FloatArray) -> FloatArray:
        """Standard errors before selection."""
        u = self.chances(se)
        ratio = np.exp(-0.5 * u * u - 0.5 * math.log(2.0 * math.pi) - special.log_ndtr(u))
        return np.asarray(se / np.sqrt(1.0 - self.rho**2 * ratio * (u + ratio)))


Stated = StatedSelection | ExponentialSelection | CopasSelection


def log_selection(
    form: ExponentialSelection | CopasSelection,
    y: FloatArray,
    se: FloatArray,
    u: FloatArray,
    mu: FloatArray,
    tau: FloatArray,
) -> FloatArray:
    """What selection adds to the log likelihood: ``sum_i log P(seen | y_i) - log P(seen)``.

    Parameters
    ----------
    y, se, u : arrays of shape (k,)
        Turned so that the direction of selection is positive; for Copas, standard errors before selection and the
        normal quantiles of the chances to be seen.
    mu, tau : arrays of shape (G,)

    Returns
    -------
    array of shape (G,)
    """
    if isinstance(form, CopasSelection):
        spread = np.sqrt(se**2 + tau[:, None] ** 2)
        r = form.rho * se / spread
        seen = (u + r * (y - mu[:, None]) / spread) / np.sqrt(1.0 - r**2)
        return np.asarray((special.log_ndtr(seen) - special.log_ndtr(u)).sum(axis=1))
    sd = np.sqrt(1.0 + (tau[:, None] / se) ** 2)
    centre = mu[:, None] / se
    z, weights = rule(_NODES)
    z = _REACH * z
    weights = _REACH * weights * np.exp(form.log_weight(z)) / math.sqrt(2.0 * math.pi)
    # beyond the nodes the chance is 1 above, and that at p = 1 below
    seen = special.ndtr((centre - _REACH) / sd) + math.exp(-form.strength) * special.ndtr((-_REACH - centre) / sd)
    for i in range(se.size):
        seen[:, i] += np.exp(-0.5 * ((z - centre[:, i, None]) / sd[:, i, None]) ** 2) @ weights / sd[:, i]
    return np.asarray(form.log_weight(y / se).sum() - np.log(seen).sum(axis=1))
