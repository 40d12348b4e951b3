"""p-curve: whether significant p values are as small as true effects would make them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from bayesmeta.classical.asymmetry import dependence_note
from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.printing import ClassicalResult
from bayesmeta.classical.rows import FloatArray
from bayesmeta.classical.selection import ALTERNATIVES, Alternative
from bayesmeta.effects import Effects
from bayesmeta.measures import require_null

__all__ = ["PCurve", "p_curve"]

#: Two-sided p below which a result is on the curve, and on its half.
_FULL, _HALF = 0.05, 0.025
#: Power that a curve as flat as inadequate studies would have, and between which power is looked for.
_INADEQUATE, _LEAST, _MOST = 1.0 / 3.0, 0.05, 0.99
#: A conditional p value is no nearer to 0 and 1 than this.
_BOUND = 2.2e-16
#: Normal quantile of the ends of a 90 % interval.
_NINETY = 1.6448536269514722


@dataclass(frozen=True, slots=True, repr=False)
class PCurve(ClassicalResult):
    """A p-curve. Undefined numbers are None, and `notes` says why.

    Attributes
    ----------
    alternative : {"greater", "less", "two-sided"}
        Results in which direction are on the curve.
    k, k_full, k_half : int
        All estimates; those with two-sided p < 0.05, and < 0.025, in that direction.
    right_z, right_p, right_half_z, right_half_p : float or None
        Stouffer's test of right skew on the full and on the half curve: small p speaks for true effects.
    right_binomial_p : float or None
        Of as many p below 0.025.
    flat_z, flat_p, flat_half_z, flat_half_p : float or None
        Of a curve flatter than that of studies with 33 % power.
    flat_binomial_p : float or None
    evidential : bool or None
        Right skew: half curve p < 0.05, or both p < 0.1.
    inadequate : bool or None
        Flatter than 33 % power: full curve p < 0.05, or half curve and binomial both p < 0.1.
    power, power_lower, power_upper : float or None
        Average power of the tests on the curve with its 90 % confidence interval, between 5 and 99 %.
    notes : tuple of str
    """

    alternative: str
    k: int
    k_full: int
    k_half: int
    right_z: float | None = None
    right_p: float | None = None
    right_half_z: float | None = None
    right_half_p: float | None = None
    right_binomial_p: float | None = None
    flat_z: float | None = None
    flat_p: float | None = None
    flat_half_z: float | None = None
    flat_half_p: float | None = None
    flat_binomial_p: float | None = None
    evidential: bool | None = None
    inadequate: bool | None = None
    power: float | None = None
    power_lower: float | None = None
    power_upper: float | None = None
    notes: tuple[str, ...] = ()


@on_effects(alternative=ALTERNATIVES)
def p_curve(effects: Effects, *, alternative: Alternative = "auto") -> PCurve:
    r"""Test the distribution of significant p values, and estimate the power behind it.

    Every significant result is turned into the probability of a p value at least as small, given that it is
    significant: :math:`p / 0.05` without an effect (right skew), and
    :math:`(F_\delta(|z|) - 1 + \pi) / \pi` for tests of power :math:`\pi`, with :math:`F_\delta` the distribution
    function of :math:`|N(\delta, 1)|`. These are combined by Stouffer's method. The power estimate is the one at which
    their sum is zero, its 90 % interval where it is at its 5th and 95th percentile.

    Parameters
    ----------
    effects : Effects
        p values are of normal tests of no effect. Rows are taken as independent; `notes` says so where they are not.
    alternative : {"auto", "greater", "less", "two-sided"}
        Results in which direction are on the curve. "auto" is the better direction of the effects, else that of the
        common-effect mean; "two-sided" takes all significant ones as they come.

    Returns
    -------
    PCurve

    Raises
    ------
    ModelError
        For a measure without a null.

    References
    ----------
    Simonsohn, Nelson & Simmons 2014, doi:10.1037/a0033242; half curves: Simonsohn, Simmons & Nelson 2015,
    doi:10.1037/xge0000104. Its properties are disputed: Morey & Davis-Stober 2025, doi:10.1080/01621459.2025.2544397.

    Examples
    --------
    >>> trials = bm.Effects(list("ABC"), [0.5, 0.6, 0.1], [0.2, 0.2, 0.2], measure="SMD")
    >>> found = p_curve(trials)
    >>> found.k_full, found.evidential, round(found.right_p, 3)
    (2, False, 0.053)
    """
    require_null(effects.measure, "a p-curve")
    z, notes = effects.y / effects.se, dependence_note(effects)
    if alternative == "auto":
        mean = float((effects.y / effects.se**2).sum())
        favoured = {"higher": "greater", "lower": "less", None: "greater" if mean >= 0 else "less"}
        alternative = favoured[effects.better]  # type: ignore[assignment]
        why = "the sign of the common-effect mean" if effects.better is None else f"better = {effects.better!r}"
        notes += (f"alternative: {alternative}, from {why}",)
    turned = {"greater": z, "less": -z, "two-sided": np.abs(z)}[alternative]
    p = 2.0 * special.ndtr(-turned)
    against = int(((2.0 * special.ndtr(-np.abs(z)) < _FULL) & (turned < 0)).sum())
    if against:
        notes += (f"{against} significant in the other direction: not on the curve",)
    on, half = turned[p < _FULL], turned[p < _HALF]
    if on.size == 0:
        return PCurve(alternative, effects.k, 0, 0, notes=(*notes, "no result is significant, and there is no p-curve"))
    if on.size < 3:
        notes += ("fewer than three significant results say next to nothing of the shape of a curve",)
    full_test, half_test = _stouffer(_conditional(on, _FULL, 0.0)), _stouffer(_conditional(half, _HALF, 0.0))
    inadequate = _shift(_INADEQUATE)
    flat, flat_half = _stouffer(_conditional(on, _FULL, inadequate)), _stouffer(_conditional(half, _HALF, inadequate))
    # share of significant results with p < 0.025, without an effect and with a power of a third
    expected = _power(inadequate, _HALF) / _INADEQUATE
    binomial = float(special.bdtrc(half.size - 1, on.size, 0.5)) if half.size else 1.0
    flat_binomial = float(special.bdtr(half.size, on.size, expected))
    ends = [_solved(on, quantile) for quantile in (0.0, _NINETY, -_NINETY)]
    return PCurve(
        alternative,
        effects.k,
        on.size,
        half.size,
        right_z=full_test,
        right_p=_p(full_test),
        right_half_z=half_test,
        right_half_p=_p(half_test),
        right_binomial_p=binomial,
        flat_z=_turned(flat),
        flat_p=None if flat is None else float(special.ndtr(-flat)),
        flat_half_z=_turned(flat_half),
        flat_half_p=None if flat_half is None else float(special.ndtr(-flat_half)),
        flat_binomial_p=flat_binomial,
        evidential=_below(half_test, 0.05) or (_below(full_test, 0.1) and _below(half_test, 0.1)),
        inadequate=_below(_turned(flat), 0.05) or (_below(_turned(flat_half), 0.1) and flat_binomial < 0.1),
        power=ends[0],
        power_lower=ends[1],
        power_upper=ends[2],
        notes=notes,
    )


def _power(shift: float, alpha: float) -> float:
    """Of a two-sided normal test."""
    critical = float(special.ndtri(1.0 - 0.5 * alpha))
    return float(special.ndtr(shift - critical) + special.ndtr(-shift - critical))


def _shift(power: float) -> float:
    """The mean of z at which a test at 0.05 has this power."""
    return 0.0 if power <= _FULL else float(optimize.brentq(lambda d: _power(d, _FULL) - power, 0.0, 20.0, xtol=1e-13))


def _conditional(z: FloatArray, alpha: float, shift: float) -> FloatArray:
    """Probabilities of |z| at least as large, given that it is significant, with this mean of z."""
    above = special.ndtr(shift - z) + special.ndtr(-shift - z)
    return np.asarray(np.clip(above / _power(shift, alpha), _BOUND, 1.0 - _BOUND))


def _stouffer(pp: FloatArray) -> float | None:
    return float(special.ndtri(pp).sum() / math.sqrt(pp.size)) if pp.size else None


def _turned(z: float | None) -> float | None:
    return None if z is None else -z


def _p(z: float | None) -> float | None:
    return None if z is None else float(special.ndtr(z))


def _below(z: float | None, alpha: float) -> bool:
    return z is not None and float(special.ndtr(z)) < alpha


def _solved(z: FloatArray, target: float) -> float:
    """Power at which Stouffer's sum is the negative of a normal quantile, within the limits of what is looked for."""

    def at(shift: float) -> float:
        found = _stouffer(_conditional(z, _FULL, shift))
        assert found is not None
        return found + target

    low, high = _shift(_LEAST), _shift(_MOST)
    if at(low) >= 0.0:
        return _LEAST
    if at(high) <= 0.0:
        return _MOST
    return _power(float(optimize.brentq(at, low, high, xtol=1e-12)), _FULL)
