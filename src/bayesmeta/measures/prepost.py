"""Effect sizes of change from baseline: raw, standardised, of one arm and between two."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.measures.continuous import SD_REMEDY, SIZE_WHY, small_sample_factor
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.rules import Columns, Rules, choose, columns_of

__all__ = ["mean_change_difference", "smcr", "smd_change"]


def rules_of_prepost(columns: Columns, least: float = 1, *, posttest_sd: bool = True) -> Rules:
    """Rules for two arms given by means before and after."""
    rules = Rules(columns)
    rules.present(*columns)
    sds = ["sd_pre_t", "sd_pre_c"] + (["sd_post_t", "sd_post_c"] if posttest_sd else [])
    rules.positive(*sds, remedy=SD_REMEDY)
    rules.at_least(least, "n_t", "n_c", why=SIZE_WHY if least > 1 else "Correct the row or exclude it.")
    rules.within(-1, 1, "correlation", why="Give the correlation of baseline with follow-up.")
    return rules


def smd_change(
    mean_pre_t: ArrayLike,
    mean_post_t: ArrayLike,
    sd_pre_t: ArrayLike,
    n_t: ArrayLike,
    mean_pre_c: ArrayLike,
    mean_post_c: ArrayLike,
    sd_pre_c: ArrayLike,
    n_c: ArrayLike,
    correlation: ArrayLike,
    *,
    vtype: str = "Morris",
    j: str = "exact",
) -> Estimate:
    """Return the difference of two mean changes, standardised by the pooled baseline SD (d_ppc2).

    ``g = J [(mean_post_t - mean_pre_t) - (mean_post_c - mean_pre_c)] / s_pre`` with s_pre pooled over the arms on
    ``m = n_t + n_c - 2`` degrees of freedom (Morris 2008, doi:10.1177/1094428106291059). With
    ``b = 1/n_t + 1/n_c`` the variance is, for ``vtype="Morris"``,
    ``J^2 m/(m-2) [2(1-r) b + g^2] - g^2`` and for ``"LS"`` ``2(1-r) b + g^2/(2(n_t + n_c))``.

    Parameters
    ----------
    mean_pre_t, mean_post_t, sd_pre_t, n_t, mean_pre_c, mean_post_c, sd_pre_c, n_c : array_like (k,)
        Means at baseline and follow-up, standard deviations at baseline, and sizes of the arms.
    correlation : array_like (k,)
        Correlation r of baseline with follow-up, taken to be the same in both arms.
    vtype : {"Morris", "LS"}
        The variance.
    j : {"exact", "approx"}
        The form of J; Morris prints the approximate one.

    Returns
    -------
    Estimate
        In baseline standard deviations.

    Raises
    ------
    ModelError
        If an option is not allowed.
    DataError
        If a standard deviation is not > 0, an arm is too small, r is not in (-1, 1) or a number is missing.

    Examples
    --------
    >>> result = smd_change(30.6, 38.5, 15.0, 20, 23.1, 19.7, 13.8, 20, 0.47)
    >>> float(result.y[0].round(2))
    0.77
    """
    choose("vtype", vtype, ("Morris", "LS"))
    c = columns_of(
        mean_pre_t=mean_pre_t,
        mean_post_t=mean_post_t,
        sd_pre_t=sd_pre_t,
        n_t=n_t,
        mean_pre_c=mean_pre_c,
        mean_post_c=mean_post_c,
        sd_pre_c=sd_pre_c,
        n_c=n_c,
        correlation=correlation,
    )
    rules_of_prepost(c, 2 if vtype == "LS" else 3, posttest_sd=False).refuse()
    n_t, n_c, r = c["n_t"], c["n_c"], c["correlation"]
    m, base = n_t + n_c - 2, 1 / n_t + 1 / n_c
    pooled = np.sqrt(((n_t - 1) * c["sd_pre_t"] ** 2 + (n_c - 1) * c["sd_pre_c"] ** 2) / m)
    change = c["mean_post_t"] - c["mean_pre_t"] - (c["mean_post_c"] - c["mean_pre_c"])
    factor = small_sample_factor(m, j)
    g = factor * change / pooled
    if vtype == "Morris":
        variance = factor**2 * m / (m - 2) * (2 * (1 - r) * base + g**2) - g**2
        text = "J^2 m/(m-2) [2(1-r)(1/n_t + 1/n_c) + g^2] - g^2 (Morris 2008)"
    else:
        variance, text = 2 * (1 - r) * base + g**2 / (2 * (n_t + n_c)), "2(1-r)(1/n_t + 1/n_c) + g^2/(2N)"
    assumed = ("standardised by the pooled SD at baseline", "SDs at baseline and follow-up are equal in the population")
    return Estimate(g, np.sqrt(variance), f"g = J (change_t - change_c)/s_pre; se^2 = {text}", assumed)


def mean_change_difference(
    mean_pre_t: ArrayLike,
    sd_pre_t: ArrayLike,
    mean_post_t: ArrayLike,
    sd_post_t: ArrayLike,
    n_t: ArrayLike,
    mean_pre_c: ArrayLike,
    sd_pre_c: ArrayLike,
    mean_post_c: ArrayLike,
    sd_post_c: ArrayLike,
    n_c: ArrayLike,
    correlation: ArrayLike,
) -> Estimate:
    """Return the difference of two mean changes in the outcome's unit.

    ``(mean_post_t - mean_pre_t) - (mean_post_c - mean_pre_c)``; each arm's variance is
    ``(sd_pre^2 + sd_post^2 - 2 r sd_pre sd_post)/n`` (Cochrane Handbook 6.5.2.8), and variances add.

    Parameters
    ----------
    mean_pre_t, sd_pre_t, mean_post_t, sd_post_t, n_t : array_like (k,)
        The treated arm.
    mean_pre_c, sd_pre_c, mean_post_c, sd_post_c, n_c : array_like (k,)
        The control arm.
    correlation : array_like (k,)
        Correlation r of baseline with follow-up, the same in both arms.

    Returns
    -------
    Estimate
        In the outcome's unit.

    Raises
    ------
    DataError
        If a standard deviation is not > 0, a size is below 1, r is not in (-1, 1) or a number is missing.

    Examples
    --------
    >>> result = mean_change_difference(50, 10, 45, 10, 50, 50, 10, 49, 10, 50, 0.5)
    >>> float(result.y[0]), float(result.se[0])
    (-4.0, 2.0)
    """
    c = columns_of(
        mean_pre_t=mean_pre_t,
        sd_pre_t=sd_pre_t,
        mean_post_t=mean_post_t,
        sd_post_t=sd_post_t,
        n_t=n_t,
        mean_pre_c=mean_pre_c,
        sd_pre_c=sd_pre_c,
        mean_post_c=mean_post_c,
        sd_post_c=sd_post_c,
        n_c=n_c,
        correlation=correlation,
    )
    rules_of_prepost(c).refuse()
    y = c["mean_post_t"] - c["mean_pre_t"] - (c["mean_post_c"] - c["mean_pre_c"])
    variance = sum(
        (c[f"sd_pre_{a}"] ** 2 + c[f"sd_post_{a}"] ** 2 - 2 * c["correlation"] * c[f"sd_pre_{a}"] * c[f"sd_post_{a}"])
        / c[f"n_{a}"]
        for a in "tc"
    )
    text = "change_t - change_c; se^2 = sum over arms of (sd_pre^2 + sd_post^2 - 2 r sd_pre sd_post)/n"
    return Estimate(y, np.sqrt(variance), text)


def smcr(
    mean_pre: ArrayLike, mean_post: ArrayLike, sd_pre: ArrayLike, n: ArrayLike, correlation: ArrayLike
) -> Estimate:
    """Return the standardised mean change of one arm, by its baseline SD.

    ``g = J(n-1) (mean_post - mean_pre)/sd_pre`` with variance ``2(1-r)/n + g^2/(2n)``
    (Becker 1988, doi:10.1111/j.2044-8317.1988.tb00901.x).

    Parameters
    ----------
    mean_pre, mean_post, sd_pre, n : array_like (k,)
        Means before and after, the standard deviation before, and the arm's size (at least 3).
    correlation : array_like (k,)
        Correlation r of before with after.

    Returns
    -------
    Estimate
        In baseline standard deviations.

    Raises
    ------
    DataError
        If ``sd_pre`` is not > 0, n is below 3, r is not in (-1, 1) or a number is missing.

    Examples
    --------
    >>> result = smcr(22, 26, 30**0.5, 60, 0.7)
    >>> float(result.y[0].round(3)), float((result.se[0]**2).round(4))
    (0.721, 0.0143)
    """
    c = columns_of(mean_pre=mean_pre, mean_post=mean_post, sd_pre=sd_pre, n=n, correlation=correlation)
    rules = Rules(c)
    rules.present(*c)
    rules.positive("sd_pre", remedy=SD_REMEDY)
    rules.at_least(3, "n", why="The small-sample factor needs at least 3 people.")
    rules.within(-1, 1, "correlation")
    rules.refuse()
    g = small_sample_factor(c["n"] - 1) * (c["mean_post"] - c["mean_pre"]) / c["sd_pre"]
    variance = 2 * (1 - c["correlation"]) / c["n"] + g**2 / (2 * c["n"])
    text = "g = J (mean_post - mean_pre)/sd_pre; se^2 = 2(1-r)/n + g^2/(2n) (Becker 1988)"
    return Estimate(g, np.sqrt(variance), text)
