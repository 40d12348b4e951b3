"""Standardised mean differences from d, t and from differences with their standard error and the SD of scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.measures.continuous import SIZE_WHY, check_variance, small_sample_factor, standardised
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.rules import Columns, Rules, columns_of

__all__ = ["smd_from_ancova", "smd_from_d", "smd_from_paired_t", "smd_from_raw_sd", "smd_from_t"]


def rules_of_sizes(columns: Columns, *names: str) -> Rules:
    """Rules for statistics of two groups."""
    rules = Rules(columns)
    rules.present(*names, "n_t", "n_c")
    rules.at_least(2, "n_t", "n_c", why=SIZE_WHY)
    return rules


def smd_from_d(
    d: ArrayLike, n_t: ArrayLike, n_c: ArrayLike, *, corrected: bool = False, vtype: str = "LS", j: str = "exact"
) -> Estimate:
    """Return Hedges' g from a printed standardised mean difference of two independent groups.

    ``g = J d`` with the variance of :func:`smd`; a g that is printed corrected stays as it is.

    Parameters
    ----------
    d : array_like (k,)
        Cohen's d, by the SD pooled over the arms; Hedges' g with ``corrected=True``.
    n_t, n_c : array_like (k,)
        Sizes of the arms, at least 2.
    corrected : bool
        Was J applied already?
    vtype, j : str
        As in :func:`smd`; ``AV`` is refused.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    ModelError
        If an option is not allowed.
    DataError
        If an arm has fewer than 2 people or a number is missing.

    Examples
    --------
    >>> float(smd_from_d(0.5, 20, 20).y[0].round(4)), float(smd_from_d(0.5, 20, 20, corrected=True).y[0])
    (0.4901, 0.5)
    """
    check_variance(vtype, j, averages=False)
    c = columns_of(d=d, n_t=n_t, n_c=n_c)
    rules_of_sizes(c, "d").refuse()
    if not corrected:
        return standardised(c["d"], c["n_t"], c["n_c"], vtype, j, "d")
    factor = small_sample_factor(c["n_t"] + c["n_c"] - 2, j)
    made = standardised(c["d"] / factor, c["n_t"], c["n_c"], vtype, j, "d")
    return Estimate(c["d"], made.se, f"g as given;{made.formula.partition(';')[2]}")


def smd_from_t(t: ArrayLike, n_t: ArrayLike, n_c: ArrayLike, *, vtype: str = "LS", j: str = "exact") -> Estimate:
    """Return Hedges' g from Student's t of two independent groups.

    ``d = t sqrt(1/n_t + 1/n_c)``, then as :func:`smd` (Cochrane Handbook 6.5.2.3). ``t = sign sqrt(F)`` for an F with
    one degree of freedom, and the quantile at ``1 - p/2`` on n_t + n_c - 2 degrees of freedom for a two-sided p.

    Parameters
    ----------
    t : array_like (k,)
        t statistics with the sign of mean_t - mean_c.
    n_t, n_c : array_like (k,)
        Sizes of the arms, at least 2.
    vtype, j : str
        As in :func:`smd`; ``AV`` is refused.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    ModelError
        If an option is not allowed.
    DataError
        If an arm has fewer than 2 people or a number is missing.

    Examples
    --------
    >>> float(smd_from_t(2.0, 20, 20).y[0].round(4))
    0.6199
    """
    check_variance(vtype, j, averages=False)
    c = columns_of(t=t, n_t=n_t, n_c=n_c)
    rules_of_sizes(c, "t").refuse()
    d = c["t"] * np.sqrt(1 / c["n_t"] + 1 / c["n_c"])
    return standardised(d, c["n_t"], c["n_c"], vtype, j, "t sqrt(1/n_t + 1/n_c)")


def smd_from_raw_sd(
    difference: ArrayLike, se: ArrayLike, sd: ArrayLike, df: ArrayLike, *, j: str = "exact"
) -> Estimate:
    """Return Hedges' g from any difference of means with its standard error, by the SD of the scores.

    ``g = J difference/sd`` with variance ``(se/sd)^2 + g^2/(2 df)``: the delta method, for a difference that is
    independent of the SD. The standard error may be of an adjusted (ANCOVA) or paired difference; it makes the variance
    and not g (Cochrane Handbook 23.2.7).

    Parameters
    ----------
    difference, se : array_like (k,)
        Difference of means and its standard error, in one unit.
    sd : array_like (k,)
        Standard deviation of the scores between people, in the same unit: not of residuals, not of differences.
    df : array_like (k,)
        Degrees of freedom of this SD: n_t + n_c - 2 for the pooled SD of two independent arms, ``2 (n - 1)/(1 + r^2)``
        for that of n people measured twice.
    j : {"exact", "approx"}
        As in :func:`smd`.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    DataError
        If se or sd is not > 0, df is not above 1, or a number is missing.

    Examples
    --------
    >>> result = smd_from_raw_sd(-3.0, 1.2, 8.0, 58)
    >>> float(result.y[0].round(4)), float(result.se[0].round(4))
    (-0.3701, 0.1539)
    """
    c = columns_of(difference=difference, se=se, sd=sd, df=df)
    rules = Rules(c)
    rules.present(*c)
    rules.positive("se", "sd")
    rules.require(~(c["df"] <= 1), "df", "is not above 1", "The small-sample factor needs 2 degrees of freedom.")
    rules.refuse()
    g = small_sample_factor(c["df"], j) * c["difference"] / c["sd"]
    return Estimate(
        g,
        np.sqrt((c["se"] / c["sd"]) ** 2 + g**2 / (2 * c["df"])),
        "g = J difference/SD; se^2 = (SE/SD)^2 + g^2/(2 df)",
    )


def smd_from_ancova(
    t: ArrayLike, r_squared: ArrayLike, n_t: ArrayLike, n_c: ArrayLike, df: ArrayLike, *, j: str = "exact"
) -> Estimate:
    """Return Hedges' g from the t of an analysis of covariance.

    ``d = t sqrt(1/n_t + 1/n_c) sqrt(1 - R^2)``, because the t is made with the SD of residuals;
    ``g = J d``, variance ``(1/n_t + 1/n_c)(1 - R^2) + g^2/(2 df)`` (Borenstein 2009, Handbook of Research Synthesis and
    Meta-Analysis, 2nd ed., table 12.3).

    Parameters
    ----------
    t : array_like (k,)
        t statistics of the adjusted difference, with its sign.
    r_squared : array_like (k,)
        Share of the outcome's variance within arms that the covariates explain, in [0, 1).
    n_t, n_c : array_like (k,)
        Sizes of the arms.
    df : array_like (k,)
        Residual degrees of freedom, n_t + n_c - 2 less one for each covariate.
    j : {"exact", "approx"}
        As in :func:`smd`.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    DataError
        If R^2 is not in [0, 1), an arm has fewer than 2 people, df is not above 1 or a number is missing.

    Examples
    --------
    >>> float(smd_from_ancova(2.0, 0.36, 30, 30, 57).y[0].round(4))
    0.4077
    """
    c = columns_of(t=t, r_squared=r_squared, n_t=n_t, n_c=n_c, df=df)
    rules_of_ancova(c).refuse()
    left = (1 / c["n_t"] + 1 / c["n_c"]) * (1 - c["r_squared"])
    g = small_sample_factor(c["df"], j) * c["t"] * np.sqrt(left)
    text = "g = J t sqrt(1/n_t + 1/n_c) sqrt(1 - R^2); se^2 = (1/n_t + 1/n_c)(1 - R^2) + g^2/(2 df)"
    return Estimate(g, np.sqrt(left + g**2 / (2 * c["df"])), text)


def rules_of_ancova(columns: Columns) -> Rules:
    """Rules for the t of an analysis of covariance."""
    rules = rules_of_sizes(columns, "t", "r_squared", "df")
    x = columns["r_squared"]
    rules.require(~((x < 0) | (x >= 1)), "r_squared", "is not in [0, 1)", "Give the share of variance explained.")
    rules.require(~(columns["df"] <= 1), "df", "is not above 1", "Correct the sizes or the number of covariates.")
    return rules


def smd_from_paired_t(t: ArrayLike, n: ArrayLike, correlation: ArrayLike, *, j: str = "exact") -> Estimate:
    """Return Hedges' g, by the SD of scores, from the t of two means of the same people.

    ``d = t sqrt(2 (1 - r)/n)`` (Dunlap et al. 1996, doi:10.1037/1082-989X.1.2.170, eq. 3), ``g = J d`` with J on
    ``df = 2 (n - 1)/(1 + r^2)``, variance ``2 (1 - r)/n + g^2/(2 df)``; the SDs of both are taken to be equal.

    Parameters
    ----------
    t : array_like (k,)
        Paired t statistics, with the sign of the difference.
    n : array_like (k,)
        People (pairs), at least 2.
    correlation : array_like (k,)
        Correlation r of the two measurements, in (-1, 1).
    j : {"exact", "approx"}
        As in :func:`smd`.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    DataError
        If n is below 2, r is not in (-1, 1) or a number is missing.

    Examples
    --------
    >>> float(smd_from_paired_t(2.5, 25, 0.6).y[0].round(4))
    0.4376
    """
    c = columns_of(t=t, n=n, correlation=correlation)
    rules_of_paired(c, "t").refuse()
    left = 2 * (1 - c["correlation"]) / c["n"]
    made = smd_from_raw_sd(c["t"] * np.sqrt(left), np.sqrt(left), 1.0, paired_df(c["n"], c["correlation"]), j=j)
    return Estimate(made.y, made.se, "g = J t sqrt(2 (1 - r)/n); se^2 = 2 (1 - r)/n + g^2/(2 df)")


def rules_of_paired(columns: Columns, *names: str) -> Rules:
    """Rules for two measurements of the same people."""
    rules = Rules(columns)
    rules.present(*names, "n")
    rules.at_least(2, "n", why="A standard deviation needs at least 2 people.")
    if "correlation" in columns:
        rules.present("correlation")
        rules.within(-1, 1, "correlation", why="Give the correlation of the two measurements.")
    return rules


def paired_df(n: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the SD pooled over two measurements of n people, ``2 (n - 1)/(1 + r^2)``.

    Two sample variances of normal variables with correlation r have correlation r^2, so that the variance of their mean
    is ``sigma^4 (1 + r^2)/(n - 1)``: that of a chi-square on these degrees of freedom (Bonett 2008,
    doi:10.1037/1082-989X.13.2.99).
    """
    return np.asarray(2 * (n - 1) / (1 + correlation**2))
