"""Odds ratios, standardised mean differences and correlations made of each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.rules import Rules, columns_of

__all__ = [
    "correlation_z_from_smd",
    "log_odds_ratio_from_smd",
    "smd_from_correlation_z",
    "smd_from_log_odds_ratio",
]

LOGISTIC = np.sqrt(3) / np.pi
ASSUMED = "the outcome is logistic in each arm, with one SD, and was cut at one point"


def _checked(**numbers: ArrayLike) -> dict[str, np.ndarray]:
    c = columns_of(**numbers)
    rules = Rules(c)
    rules.present(*c)
    rules.positive("se")
    rules.refuse()
    return c


def smd_from_log_odds_ratio(log_odds_ratio: ArrayLike, se: ArrayLike) -> Estimate:
    """Return the standardised mean difference behind a log odds ratio, ``d = log(OR) sqrt(3)/pi``.

    The standard error is multiplied by the same (Hasselblad & Hedges 1995, doi:10.1037/0033-2909.117.1.167; Cochrane
    Handbook 10.6). The numbers of a logistic outcome that was cut in two; no small-sample factor is applied.

    Parameters
    ----------
    log_odds_ratio, se : array_like (k,)
        Log odds ratios and their standard errors.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    DataError
        If a standard error is not > 0 or a number is missing.

    Examples
    --------
    >>> result = smd_from_log_odds_ratio(np.log(2), 0.3)
    >>> float(result.y[0].round(4)), float(result.se[0].round(4))
    (0.3822, 0.1654)
    """
    c = _checked(log_odds_ratio=log_odds_ratio, se=se)
    text = "d = log(OR) sqrt(3)/pi; se = se(log OR) sqrt(3)/pi"
    return Estimate(c["log_odds_ratio"] * LOGISTIC, c["se"] * LOGISTIC, text, (ASSUMED,))


def log_odds_ratio_from_smd(d: ArrayLike, se: ArrayLike) -> Estimate:
    """Return the log odds ratio behind a standardised mean difference, ``log(OR) = d pi/sqrt(3)``.

    The standard error is multiplied by the same (Hasselblad & Hedges 1995, doi:10.1037/0033-2909.117.1.167).

    Parameters
    ----------
    d, se : array_like (k,)
        Standardised mean differences and their standard errors.

    Returns
    -------
    Estimate
        On the log scale.

    Raises
    ------
    DataError
        If a standard error is not > 0 or a number is missing.

    Examples
    --------
    >>> float(np.exp(log_odds_ratio_from_smd(0.5, 0.2).y[0]).round(3))
    2.477
    """
    c = _checked(d=d, se=se)
    text = "log(OR) = d pi/sqrt(3); se = se(d) pi/sqrt(3)"
    return Estimate(c["d"] / LOGISTIC, c["se"] / LOGISTIC, text, (ASSUMED,))


def smd_from_correlation_z(z: ArrayLike, se: ArrayLike) -> Estimate:
    """Return the standardised mean difference behind a correlation, ``d = 2 r/sqrt(1 - r^2)``.

    With ``r = tanh(z)`` that is ``2 sinh(z)``, and the standard error ``2 cosh(z) se(z)``: Borenstein et al. 2009,
    Introduction to Meta-Analysis, eq. 7.5 and 7.6, whose variance of r is ``(1 - r^2)^2 var(z)``.

    Parameters
    ----------
    z, se : array_like (k,)
        Fisher's z of correlations of an outcome with membership in one of two groups of equal size, and its standard
        error.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    DataError
        If a standard error is not > 0 or a number is missing.

    Examples
    --------
    >>> float(smd_from_correlation_z(np.arctanh(0.5), 0.1).y[0].round(4))
    1.1547
    """
    c = _checked(z=z, se=se)
    assumed = "r is of the outcome with two groups of equal size"
    return Estimate(
        2 * np.sinh(c["z"]), 2 * np.cosh(c["z"]) * c["se"], "d = 2 r/sqrt(1 - r^2); delta method", (assumed,)
    )


def correlation_z_from_smd(
    d: ArrayLike, se: ArrayLike, n_t: ArrayLike | None = None, n_c: ArrayLike | None = None
) -> Estimate:
    """Return Fisher's z of the correlation behind a standardised mean difference.

    ``r = d/sqrt(d^2 + a)`` with ``a = (n_t + n_c)^2/(n_t n_c)``, or 4 where sizes are not known, and its delta-method
    variance ``a^2 var(d)/(d^2 + a)^3`` (Borenstein et al. 2009, Introduction to Meta-Analysis, eq. 7.7 to 7.9);
    ``z = atanh(r)``, so that ``z = asinh(d/sqrt(a))`` and ``se = se(d)/sqrt(d^2 + a)``.

    Parameters
    ----------
    d, se : array_like (k,)
        Standardised mean differences and their standard errors.
    n_t, n_c : array_like (k,), optional
        Sizes of the arms; nan where not known.

    Returns
    -------
    Estimate
        On the scale of z.

    Raises
    ------
    DataError
        If a standard error is not > 0, or a difference is missing.

    Examples
    --------
    >>> float(np.tanh(correlation_z_from_smd(1.1547, 0.2).y[0]).round(4))
    0.5
    """
    c = _checked(d=d, se=se)
    nan = np.full(c["d"].size, np.nan)
    one, two = (nan if n is None else np.asarray(n, dtype=float) for n in (n_t, n_c))
    a = np.broadcast_to((one + two) ** 2 / (one * two), c["d"].shape)
    known = np.isfinite(a)
    a = np.where(known, a, 4.0)
    z = np.arcsinh(c["d"] / np.sqrt(a))
    text = "r = d/sqrt(d^2 + a), a = (n_t + n_c)^2/(n_t n_c); z = atanh(r); delta method"
    notes = (("arms of equal size (a = 4)", ~known),)
    return Estimate(
        z, c["se"] / np.sqrt(c["d"] ** 2 + a), text, ("the correlation with the arm (point-biserial)",), notes
    )
