"""Fail-safe N: how many trials of no effect would make a result disappear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from scipy import special

from bayesmeta.classical.asymmetry import dependence_note
from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.measures import require_null

__all__ = ["FAIL_SAFE_FORMS", "FailSafe", "fail_safe_n"]

FailSafeForm = Literal["rosenthal", "orwin", "rosenberg"]
FAIL_SAFE_FORMS: tuple[FailSafeForm, ...] = get_args(FailSafeForm)
# A number this close to a whole one is whole, as in R metafor: the square root of the machine epsilon.
WHOLE = 2.0**-26

WARNING = (
    "fail-safe N assumes that missing trials average no effect and says nothing about how many there are; it is not "
    "recommended (Becker 2005; Cochrane Handbook, chapter 13)"
)


@dataclass(frozen=True, slots=True, repr=False)
class FailSafe(ClassicalResult):
    """A fail-safe N. Undefined numbers are None, and `notes` says why.

    Attributes
    ----------
    form : {"rosenthal", "orwin", "rosenberg"}
    k : int
    n : int
        Missing trials.
    alpha : float or None
        Level below which the result counts: one-sided for "rosenthal", two-sided for "rosenberg".
    p : float or None
        p value of the trials at hand, of the same kind.
    mean : float or None
        Mean effect that is to be brought down to `target`, or out of significance.
    target : float or None
        "orwin" only.
    notes : tuple of str
    """

    form: FailSafeForm
    k: int
    n: int
    alpha: float | None
    p: float | None
    mean: float | None
    target: float | None
    notes: tuple[str, ...] = ()


@on_effects(form=FAIL_SAFE_FORMS)
def fail_safe_n(
    effects: Effects,
    *,
    form: FailSafeForm = "rosenthal",
    target: float | None = None,
    alpha: float = 0.05,
    weighted: bool = False,
) -> FailSafe:
    """Count the trials averaging no effect that would have to be missing (``fsn`` of R metafor).

    Parameters
    ----------
    effects : Effects
        Rows are taken as independent; `notes` says so where they are not.
    form : {"rosenthal", "orwin", "rosenberg"}
        "rosenthal": until the one-sided p of Stouffer's combined z is `alpha`. "orwin": until the mean is `target`.
        "rosenberg": until the two-sided p of the common-effect mean is `alpha`, missing trials having average weight.
    target : float, optional
        "orwin" only: the smallest mean that matters, on the scale of y. Its sign is taken from the mean. Half the mean
        if left out, for which the answer is always k.
    alpha : float
        Not for "orwin".
    weighted : bool
        "orwin" only: mean with weights 1 / se^2 instead of the plain one.

    Returns
    -------
    FailSafe

    Raises
    ------
    ModelError
        For an option that is not one of those, or a target of zero, which no number reaches.

    References
    ----------
    Rosenthal 1979, doi:10.1037/0033-2909.86.3.638; Orwin 1983, doi:10.3102/10769986008002157; Rosenberg 2005,
    doi:10.1111/j.0014-3820.2005.tb01004.x. Why not to use it: Becker 2005, doi:10.1002/0470870168.ch7.

    Examples
    --------
    >>> trials = bm.Effects(list("ABCD"), [0.1, 0.3, 0.4, 0.9], [0.1, 0.15, 0.25, 0.4], measure="SMD")
    >>> [fail_safe_n(trials, form=form).n for form in ("rosenthal", "orwin", "rosenberg")]
    [14, 4, 4]
    """
    require_null(effects.measure, "the fail-safe N")
    if not 0.0 < alpha < 1.0:
        raise ModelError(f"alpha = {alpha}: give a probability between 0 and 1, such as 0.05.")
    if form != "orwin" and (target is not None or weighted):
        raise ModelError(f'target and weighted belong to form="orwin"; form = {form!r} has none.')
    y, se, k = effects.y, effects.se, effects.k
    notes = (WARNING, *dependence_note(effects))
    if form == "rosenthal":
        z = abs(float((y / se).sum())) / math.sqrt(k)
        p = float(special.ndtr(-z))
        n = _whole(k * ((z / float(special.ndtri(1.0 - alpha))) ** 2 - 1.0))
        return FailSafe(form, k, n, alpha, p, None, None, notes)
    w = se**-2
    mean = float(w @ y / w.sum()) if weighted or form == "rosenberg" else float(y.mean())
    if form == "rosenberg":
        z = mean * math.sqrt(float(w.sum()))
        p = 2.0 * float(special.ndtr(-abs(z)))
        n = _whole(k * ((z / float(special.ndtri(1.0 - 0.5 * alpha))) ** 2 - 1.0))
        return FailSafe(form, k, n, alpha, p, mean, None, notes)
    if target is None:
        target = 0.5 * mean
        notes += ("target: half the mean, for which N is k whatever the data",)
    if target == 0.0 or mean == 0.0:
        raise ModelError("orwin: no number of trials brings a mean to exactly zero, or from it. Give another target.")
    if not math.isfinite(target):
        raise ModelError(f"target = {target}: give a finite mean effect on the scale of y.")
    target = math.copysign(target, mean)
    return FailSafe(form, k, _whole(k * (mean - target) / target), None, None, mean, target, notes)


def _whole(number: float) -> int:
    number = max(0.0, number)
    return round(number) if abs(number - round(number)) < WHOLE else math.ceil(number)
