"""Confidence intervals, p values and prediction intervals from an estimate, its SEs and degrees of freedom."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.errors import ModelError

__all__ = [
    "CI_METHODS",
    "NARROW",
    "NO_WIDTH",
    "PI_FORMULAS",
    "CiMethod",
    "Interval",
    "Pi",
    "adhoc_beside",
    "check_ci",
    "check_level",
    "critical",
    "hksj_mark",
    "interval",
    "interval_arrays",
    "prediction",
    "scale_factor",
]

FloatArray = NDArray[np.float64]
CiMethod = Literal["wald", "t", "hksj", "hksj_adhoc"]
CI_METHODS: tuple[CiMethod, ...] = get_args(CiMethod)
#: Marks of a Hartung-Knapp interval that must not stand alone.
NARROW, NO_WIDTH = "narrower than Wald", "no width"
# trials up to which tau estimated as 0 says little of tau
_FEW = 4
PI_FORMULAS = ("normal", "t_km1", "hts_t_km2", "hkpr_t_km2")
Pi = dict[str, tuple[float, float] | None]


class Interval(NamedTuple):
    """A test of zero and a confidence interval.

    Attributes
    ----------
    lower, upper : float
    stat, p : float or None
        None where the SE is zero.
    df : int or None
        Degrees of freedom of t; None for the normal distribution.
    """

    lower: float
    upper: float
    stat: float | None
    df: float | None
    p: float | None


def critical(level: float, df: float | None = None) -> float:
    """Half-width of a central interval in standard errors: normal, or Student's t with df degrees of freedom.

    Examples
    --------
    >>> round(critical(0.95), 6)
    1.959964
    """
    tail = 0.5 * (1.0 - level)
    return -float(special.ndtri(tail) if df is None else special.stdtrit(df, tail))


def check_level(level: float) -> None:
    """Refuse a level that is not strictly between 0 and 1.

    Examples
    --------
    >>> check_level(95)
    Traceback (most recent call last):
        ...
    bayesmeta.errors.ModelError: level = 95: give a probability between 0 and 1, such as 0.95.
    """
    if not 0.0 < level < 1.0:
        raise ModelError(f"level = {level}: give a probability between 0 and 1, such as 0.95.")


def interval(estimate: float, se: float, level: float, df: float | None) -> Interval:
    """Normal (df None) or t interval, and the two-sided p value of zero.

    Parameters
    ----------
    estimate, se : float
    level : float
    df : float or None

    Returns
    -------
    Interval

    Examples
    --------
    >>> ci = interval(0.5, 0.25, 0.95, None)
    >>> round(ci.lower, 6), round(ci.p, 6)
    (0.010009, 0.0455)
    """
    half = critical(level, df) * se
    if se == 0.0:
        return Interval(estimate, estimate, None, df, None)
    stat = estimate / se
    p = 2.0 * float(special.ndtr(-abs(stat)) if df is None else special.stdtr(df, -abs(stat)))
    return Interval(estimate - half, estimate + half, stat, df, p)


def interval_arrays(estimate: FloatArray, se: FloatArray, level: float, df: int | None) -> dict[str, FloatArray]:
    """`interval` of each coefficient: arrays of ``lower upper stat p``, nan where these are not defined."""
    tests = [interval(float(b), float(s), level, df) for b, s in zip(estimate, se, strict=True)]
    return {name: np.array([getattr(test, name) for test in tests], float) for name in ("lower", "upper", "stat", "p")}


def scale_factor(ci: CiMethod, rss: float, df: int) -> float:
    """Factor on the classic variance of coefficients: y'Py / (k - p) for Hartung-Knapp, at least 1 for its ad hoc form.

    Hartung 1999 (doi:10.1002/(SICI)1521-4036(199912)41:8<901::AID-BIMJ901>3.0.CO;2-W); Knapp & Hartung 2003
    (doi:10.1002/sim.1482), who also gave the truncated form.

    Examples
    --------
    >>> scale_factor("hksj", 3.0, 6), scale_factor("hksj_adhoc", 3.0, 6), scale_factor("wald", 3.0, 6)
    (0.5, 1.0, 1.0)
    """
    if ci in ("wald", "t"):
        return 1.0
    return rss / df if ci == "hksj" else max(1.0, rss / df)


def hksj_mark(ci: CiMethod, factor: float, df: float | None, level: float) -> str | None:
    """Say what is wrong with the width of a Hartung-Knapp interval, the only place where that is decided.

    With few trials that agree the factor q = y'Py / (k - p) can be so small that the interval is narrower than Wald's
    of the same tau2: ``q t^2 < z^2``. The ad hoc form, ``max(1, q)``, is then the one to read (Jackson 2017,
    doi:10.1002/sim.7411; Roever 2015, doi:10.1186/s12874-015-0091-1).

    Parameters
    ----------
    ci : {"wald", "t", "hksj", "hksj_adhoc"}
    factor : float
        q.
    df : float or None
        Of t.
    level : float

    Returns
    -------
    str or None
        ``"no width"`` where q is 0, ``"narrower than Wald"``, or None; None for other intervals than "hksj".

    Examples
    --------
    >>> hksj_mark("hksj", 0.1, 9, 0.95), hksj_mark("hksj", 0.0, 2, 0.95), hksj_mark("hksj", 0.8, 9, 0.95)
    ('narrower than Wald', 'no width', None)
    """
    if ci != "hksj" or df is None:
        return None
    if factor == 0.0:
        return NO_WIDTH
    return NARROW if factor * critical(level, df) ** 2 < critical(level) ** 2 else None


def adhoc_beside(mark: str | None, tau2: float, units: int) -> bool:
    """Whether the ad hoc interval must stand beside a Hartung-Knapp interval.

    It must where that one is marked, and where up to four trials are estimated not to differ (tau2 = 0).

    Examples
    --------
    >>> adhoc_beside("no width", 0.1, 9), adhoc_beside(None, 0.0, 4), adhoc_beside(None, 0.0, 5)
    (True, True, False)
    """
    return mark is not None or (tau2 == 0.0 and units <= _FEW)


def check_ci(ci: CiMethod, units: int, p: int, *, dependent: bool) -> int | None:
    """Degrees of freedom of an interval method: None for "wald", else independent units - p, which must be > 0."""
    if ci == "wald":
        return None
    if units <= p:
        what = "trials" if dependent else "estimates"
        raise ModelError(
            f'ci="{ci}": {units} {what} for {p} coefficient{"s" if p > 1 else ""} leave no degrees of freedom. '
            'Use ci="wald", or report the Bayesian interval.'
        )
    return units - p


def prediction(
    estimate: float, tau2: float, se: float, se_classic: float, se_hk: float, units: int, level: float
) -> tuple[Pi, tuple[str, ...]]:
    """Prediction intervals for the true effect in a new study, by their names.

    ``normal`` and ``t_km1`` use the SE of the confidence interval beside them, as metafor does;
    ``hts_t_km2`` the classic SE with t(k - 2) (Higgins, Thompson & Spiegelhalter 2009,
    doi:10.1111/j.1467-985X.2008.00552.x); ``hkpr_t_km2`` the Hartung-Knapp SE with t(k - 2) (Partlett & Riley 2017,
    doi:10.1002/sim.7140). With rows that share patients, k counts trials.

    Returns
    -------
    dict, tuple of str
        (lower, upper) or None per name, and why a name is None.

    Examples
    --------
    >>> pi, notes = prediction(0.0, 0.04, 0.1, 0.1, 0.1, 2, 0.95)
    >>> pi["hts_t_km2"], notes
    (None, ('prediction intervals on t(k - 2) need k >= 3 trials; there are 2',))
    """
    pi: Pi = {}
    notes: tuple[str, ...] = ()
    for name, error, df in (
        ("normal", se, None),
        ("t_km1", se, units - 1),
        ("hts_t_km2", se_classic, units - 2),
        ("hkpr_t_km2", se_hk, units - 2),
    ):
        if df is not None and df < 1:
            pi[name] = None
            continue
        half = critical(level, df) * math.sqrt(error**2 + tau2)
        pi[name] = (estimate - half, estimate + half)
    if units < 3:
        notes = (f"prediction intervals on t(k - 2) need k >= 3 trials; there are {units}",)
    if units < 2:
        notes = (f"prediction intervals on t need k >= 2 trials; there is {units}",)
    return pi, notes
