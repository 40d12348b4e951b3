"""Effect sizes from means and standard deviations, correlations, and hazard ratios."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bayesmeta.errors import ModelError
from bayesmeta.measures.derive import se_from_ci
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.rules import Columns, Rules, choose, columns_of

__all__ = [
    "correlation_z",
    "hazard_ratio",
    "mean_difference",
    "ratio_of_means",
    "small_sample_factor",
    "smd",
    "smd_from_md_se",
    "smdh",
    "uisd",
]

VTYPES = ("LS", "LS2", "UB", "AV", "RevMan")
J_FORMS = ("exact", "approx")
SERIES_FROM = (
    50.0  # from here on five terms of the series are exact in double precision; below, gamma does not overflow
)
SD_REMEDY = "Correct the row, or exclude it; a standard error belongs in a column named se."
SIZE_WHY = "A pooled standard deviation needs at least 2 people in each arm."


def small_sample_factor(df: ArrayLike, j: str = "exact") -> np.ndarray:
    """Return Hedges' factor J, which makes a standardised mean difference unbiased.

    Parameters
    ----------
    df : array_like
        Degrees of freedom m of the standard deviation, n_t + n_c - 2; more than 1.
    j : {"exact", "approx"}
        ``exact`` is ``Gamma(m/2) / (sqrt(m/2) Gamma((m-1)/2))`` (Hedges 1981, doi:10.3102/10769986006002107);
        ``approx`` is ``1 - 3/(4m - 1)``, which RevMan uses.

    Returns
    -------
    array

    Raises
    ------
    ModelError
        If ``j`` is not one of those.

    Examples
    --------
    >>> small_sample_factor([2, 10, 100]).round(6)
    array([0.56419 , 0.922746, 0.992478])
    """
    m = np.asarray(df, dtype=float)
    if choose("j", j, J_FORMS) == "approx":
        return np.asarray(1 - 3 / (4 * m - 1))
    z = (m - 1) / 2
    small = np.minimum(z, SERIES_FROM)
    ratio = special.gamma(small + 0.5) / special.gamma(small)
    u = 1 / np.maximum(z, SERIES_FROM)
    series = 1 + u * (
        -1 / 8 + u * (1 / 128 + u * (5 / 1024 + u * (-21 / 32768 + u * (-399 / 262144 + u * 869 / 4194304))))
    )
    return np.asarray(np.where(z < SERIES_FROM, ratio / np.sqrt(m / 2), series * np.sqrt(z / (m / 2))))


def rules_of_means(columns: Columns, least: float = 1) -> Rules:
    """Rules for two arms given by mean, SD and size."""
    rules = Rules(columns)
    rules.present("mean_t", "sd_t", "n_t", "mean_c", "sd_c", "n_c")
    rules.positive("sd_t", "sd_c", remedy=SD_REMEDY)
    rules.at_least(least, "n_t", "n_c", why=SIZE_WHY if least > 1 else "Correct the row or exclude it.")
    return rules


def rules_of_ratio(columns: Columns) -> Rules:
    """Rules for a ratio of two means."""
    rules = rules_of_means(columns)
    ok = ~(columns["mean_t"] * columns["mean_c"] <= 0)
    remedy = "A ratio of means needs a scale with a true zero; use MD or SMD for this outcome."
    rules.require(ok, "mean_t", "and mean_c do not have the same sign", remedy)
    return rules


def mean_difference(
    mean_t: ArrayLike, sd_t: ArrayLike, n_t: ArrayLike, mean_c: ArrayLike, sd_c: ArrayLike, n_c: ArrayLike
) -> Estimate:
    """Return the difference of two means, ``mean_t - mean_c``.

    The variance is ``sd_t^2/n_t + sd_c^2/n_c``; the variances of the arms may differ.

    Parameters
    ----------
    mean_t, sd_t, n_t, mean_c, sd_c, n_c : array_like (k,)
        Means and standard deviations (in the outcome's unit) and sizes of the treated and the control arm.

    Returns
    -------
    Estimate
        In the outcome's unit.

    Raises
    ------
    DataError
        If a standard deviation is not > 0, a size is below 1 or a number is missing; all rows are listed.

    Examples
    --------
    >>> result = mean_difference(55, 47, 155, 75, 64, 156)
    >>> float(result.y[0]), float(result.se[0].round(4))
    (-20.0, 6.3646)
    """
    c = columns_of(mean_t=mean_t, sd_t=sd_t, n_t=n_t, mean_c=mean_c, sd_c=sd_c, n_c=n_c)
    rules_of_means(c).refuse()
    variance = c["sd_t"] ** 2 / c["n_t"] + c["sd_c"] ** 2 / c["n_c"]
    return Estimate(c["mean_t"] - c["mean_c"], np.sqrt(variance), "mean_t - mean_c; se^2 = sd_t^2/n_t + sd_c^2/n_c")


def smd(
    mean_t: ArrayLike,
    sd_t: ArrayLike,
    n_t: ArrayLike,
    mean_c: ArrayLike,
    sd_c: ArrayLike,
    n_c: ArrayLike,
    *,
    vtype: str = "LS",
    j: str = "exact",
) -> Estimate:
    """Return Hedges' g, the standardised mean difference corrected for small samples.

    ``g = J d`` with ``d = (mean_t - mean_c) / s``, s the pooled standard deviation on
    ``m = n_t + n_c - 2`` degrees of freedom, N = n_t + n_c and J from :func:`small_sample_factor`.

    Parameters
    ----------
    mean_t, sd_t, n_t, mean_c, sd_c, n_c : array_like (k,)
        Means and standard deviations (in one unit per row) and sizes of the treated and the control arm.
    vtype : {"LS", "LS2", "UB", "AV", "RevMan"}
        The variance. ``LS``: ``1/n_t + 1/n_c + g^2/(2N)`` (Hedges 1982, doi:10.1037/0033-2909.92.2.490, eq. 8).
        ``LS2``: ``J^2 (1/n_t + 1/n_c + d^2/(2N))`` (Borenstein 2009, eq. 12.17).
        ``UB``: ``1/n_t + 1/n_c + (1 - (m-2)/(m J^2)) g^2``, unbiased (Hedges 1983, doi:10.1037/0033-2909.93.2.388).
        ``AV``: as LS with the N-weighted mean of g over the rows given, which removes the correlation of g with its
        standard error (Lin & Aloe 2021, doi:10.1002/sim.8781). ``RevMan``: ``N/(n_t n_c) + g^2/(2(N - 3.94))``, and
        needs ``j="approx"``.
    j : {"exact", "approx"}
        The form of J.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    ModelError
        If ``vtype`` or ``j`` is not allowed, or RevMan's variance is requested with the exact J.
    DataError
        If a standard deviation is not > 0, an arm has fewer than 2 people or a number is missing.

    Examples
    --------
    >>> result = smd(55, 47, 155, 75, 64, 156)
    >>> float(result.y[0].round(6)), float((result.se[0]**2).round(8))
    (-0.35517, 0.01306468)
    """
    check_variance(vtype, j)
    c = columns_of(mean_t=mean_t, sd_t=sd_t, n_t=n_t, mean_c=mean_c, sd_c=sd_c, n_c=n_c)
    rules_of_means(c, least=2).refuse()
    m = c["n_t"] + c["n_c"] - 2
    pooled = np.sqrt(((c["n_t"] - 1) * c["sd_t"] ** 2 + (c["n_c"] - 1) * c["sd_c"] ** 2) / m)
    return standardised(
        (c["mean_t"] - c["mean_c"]) / pooled, c["n_t"], c["n_c"], vtype, j, "(mean_t - mean_c)/s_pooled"
    )


def smd_from_md_se(
    md: ArrayLike, se: ArrayLike, n_t: ArrayLike, n_c: ArrayLike, *, vtype: str = "LS", j: str = "exact"
) -> Estimate:
    """Return Hedges' g from a mean difference and its standard error, through t = md/se.

    ``d = t sqrt(1/n_t + 1/n_c)``, then as :func:`smd` (Cochrane Handbook 6.5.2.3). Exact where the standard error was
    made with a pooled standard deviation; an adjusted (ANCOVA) standard error is smaller and gives a larger g.

    Parameters
    ----------
    md, se, n_t, n_c : array_like (k,)
        Mean difference and standard error in one unit, and the sizes of the arms.
    vtype : {"LS", "LS2", "UB", "RevMan"}
        As in :func:`smd`; ``AV`` needs all rows of the analysis and is refused.
    j : {"exact", "approx"}
        As in :func:`smd`.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    ModelError
        If an option is not allowed.
    DataError
        If ``se`` is not > 0 or an arm has fewer than 2 people.

    Examples
    --------
    >>> float(smd_from_md_se(2.0, 1.0, 20, 20).y[0].round(4))
    0.6199
    """
    check_variance(vtype, j, averages=False)
    c = columns_of(md=md, se=se, n_t=n_t, n_c=n_c)
    rules_of_md(c).refuse()
    d = c["md"] / c["se"] * np.sqrt(1 / c["n_t"] + 1 / c["n_c"])
    result = standardised(d, c["n_t"], c["n_c"], vtype, j, "(md/se) sqrt(1/n_t + 1/n_c)")
    return Estimate(result.y, result.se, result.formula, ("se comes from a pooled SD, not from an adjusted model",))


def rules_of_md(columns: Columns) -> Rules:
    """Rules for a mean difference with its standard error and sizes."""
    rules = Rules(columns)
    rules.present("md", "se", "n_t", "n_c")
    rules.positive("se")
    rules.at_least(2, "n_t", "n_c", why=SIZE_WHY)
    return rules


def check_variance(vtype: str, j: str, *, averages: bool = True) -> None:
    """Check the options of a variance; ``averages`` is False where the rows of the analysis are not all at hand."""
    choose("vtype", vtype, VTYPES)
    choose("j", j, J_FORMS)
    if vtype == "RevMan" and j != "approx":
        raise ModelError("vtype='RevMan' goes with j='approx', the factor RevMan uses: pass both.")
    if vtype == "AV" and not averages:
        raise ModelError("vtype='AV' averages g over all rows and needs arm means and SDs; use LS, LS2 or UB here.")


def standardised(d: np.ndarray, n_t: np.ndarray, n_c: np.ndarray, vtype: str, j: str, how: str) -> Estimate:
    """Make g and its variance of d, ``how`` d was made being told in the formula."""
    m, total = n_t + n_c - 2, n_t + n_c
    factor = small_sample_factor(m, j)
    g = factor * d
    base = 1 / n_t + 1 / n_c
    if vtype == "LS":
        variance, text = base + g**2 / (2 * total), "1/n_t + 1/n_c + g^2/(2N)"
    elif vtype == "LS2":
        variance, text = factor**2 * (base + d**2 / (2 * total)), "J^2 (1/n_t + 1/n_c + d^2/(2N))"
    elif vtype == "UB":
        variance, text = base + (1 - (m - 2) / (m * factor**2)) * g**2, "1/n_t + 1/n_c + (1 - (m-2)/(m J^2)) g^2"
    elif vtype == "AV":
        mean = np.sum(total * g) / np.sum(total)
        variance, text = base + mean**2 / (2 * total), f"1/n_t + 1/n_c + gbar^2/(2N), gbar = {mean:.6g}"
    else:
        variance, text = base + g**2 / (2 * (total - 3.94)), "N/(n_t n_c) + g^2/(2(N - 3.94))"
    name = "J" if j == "exact" else "(1 - 3/(4m - 1))"
    return Estimate(g, np.sqrt(variance), f"g = {name} {how}; se^2 = {text} [{vtype}]")


def smdh(
    mean_t: ArrayLike, sd_t: ArrayLike, n_t: ArrayLike, mean_c: ArrayLike, sd_c: ArrayLike, n_c: ArrayLike
) -> Estimate:
    """Return the standardised mean difference that lets the arms' variances differ.

    ``g = J (mean_t - mean_c)/s``, ``s^2 = (sd_t^2 + sd_c^2)/2``, J on n_t + n_c - 2 degrees of freedom, variance
    ``g^2 [sd_t^4/(n_t-1) + sd_c^4/(n_c-1)]/(8 s^4) + [sd_t^2/(n_t-1) + sd_c^2/(n_c-1)]/s^2``
    (Bonett 2008, doi:10.1037/1082-989X.13.2.99, eq. 8, with the corrected g).

    Parameters
    ----------
    mean_t, sd_t, n_t, mean_c, sd_c, n_c : array_like (k,)
        As in :func:`smd`.

    Returns
    -------
    Estimate
        In standard deviations.

    Raises
    ------
    DataError
        As in :func:`smd`.

    Examples
    --------
    >>> float(smdh(6.4, 5.4, 13, 11.4, 9.6, 18).y[0].round(6))
    -0.625204
    """
    c = columns_of(mean_t=mean_t, sd_t=sd_t, n_t=n_t, mean_c=mean_c, sd_c=sd_c, n_c=n_c)
    rules_of_means(c, least=2).refuse()
    var_t, var_c, df_t, df_c = c["sd_t"] ** 2, c["sd_c"] ** 2, c["n_t"] - 1, c["n_c"] - 1
    s2 = (var_t + var_c) / 2
    g = small_sample_factor(df_t + df_c) * (c["mean_t"] - c["mean_c"]) / np.sqrt(s2)
    variance = g**2 * (var_t**2 / df_t + var_c**2 / df_c) / (8 * s2**2) + (var_t / df_t + var_c / df_c) / s2
    text = "g = J (mean_t - mean_c)/sqrt((sd_t^2 + sd_c^2)/2); se^2 by Bonett 2008, eq. 8"
    return Estimate(g, np.sqrt(variance), text)


def ratio_of_means(
    mean_t: ArrayLike, sd_t: ArrayLike, n_t: ArrayLike, mean_c: ArrayLike, sd_c: ArrayLike, n_c: ArrayLike
) -> Estimate:
    """Return the log ratio of two means, corrected for bias.

    ``log(mean_t/mean_c) + [sd_t^2/(n_t mean_t^2) - sd_c^2/(n_c mean_c^2)]/2`` with variance
    ``sd_t^2/(n_t mean_t^2) + sd_c^2/(n_c mean_c^2)`` (Hedges et al. 1999,
    doi:10.1890/0012-9658(1999)080[1150:TMAORR]2.0.CO;2; Lajeunesse 2015, doi:10.1890/14-2402.1).

    Parameters
    ----------
    mean_t, sd_t, n_t, mean_c, sd_c, n_c : array_like (k,)
        As in :func:`mean_difference`; the two means of a row have the same sign.

    Returns
    -------
    Estimate
        On the log scale.

    Raises
    ------
    DataError
        If the means of a row differ in sign or one is zero, and as in :func:`mean_difference`.

    Examples
    --------
    >>> float(np.exp(ratio_of_means(12, 3, 50, 10, 2.5, 50).y[0]).round(6))
    1.2
    """
    c = columns_of(mean_t=mean_t, sd_t=sd_t, n_t=n_t, mean_c=mean_c, sd_c=sd_c, n_c=n_c)
    rules_of_ratio(c).refuse()
    part_t = c["sd_t"] ** 2 / (c["n_t"] * c["mean_t"] ** 2)
    part_c = c["sd_c"] ** 2 / (c["n_c"] * c["mean_c"] ** 2)
    y = np.log(c["mean_t"] / c["mean_c"]) + (part_t - part_c) / 2
    text = "log(mean_t/mean_c) + (a - b)/2; se^2 = a + b, a = sd_t^2/(n_t mean_t^2), b = sd_c^2/(n_c mean_c^2)"
    return Estimate(y, np.sqrt(part_t + part_c), text)


def rules_of_correlation(columns: Columns) -> Rules:
    """Rules for a correlation and a sample size."""
    rules = Rules(columns)
    rules.present("r", "n")
    rules.within(-1, 1, "r")
    rules.at_least(4, "n", why="The variance 1/(n - 3) needs at least 4 people.")
    return rules


def correlation_z(r: ArrayLike, n: ArrayLike) -> Estimate:
    """Return Fisher's z of a correlation, ``atanh(r)``, with variance ``1/(n - 3)``.

    Fisher 1921, Metron 1, 3-32.

    Parameters
    ----------
    r : array_like (k,)
        Correlations, in (-1, 1).
    n : array_like (k,)
        Sample sizes, at least 4.

    Returns
    -------
    Estimate
        On the scale of z; :func:`numpy.tanh` goes back.

    Raises
    ------
    DataError
        If r is not in (-1, 1) or n is below 4.

    Examples
    --------
    >>> result = correlation_z(0.62, 15)
    >>> float(result.y[0].round(4)), float((result.se[0]**2).round(4))
    (0.725, 0.0833)
    """
    c = columns_of(r=r, n=n)
    rules_of_correlation(c).refuse()
    return Estimate(np.arctanh(c["r"]), 1 / np.sqrt(c["n"] - 3), "z = atanh(r); se^2 = 1/(n - 3)")


def hazard_ratio(hr: ArrayLike, lower: ArrayLike, upper: ArrayLike, level: float = 0.95) -> Estimate:
    """Return the log of a hazard ratio, with the standard error its interval implies.

    ``log(hr)`` and ``(log(upper) - log(lower))/(2 z)`` (Parmar et al. 1998,
    doi:10.1002/(SICI)1097-0258(19981230)17:24<2815::AID-SIM110>3.0.CO;2-8).

    Parameters
    ----------
    hr, lower, upper : array_like (k,)
        Hazard ratios and limits of their confidence intervals, > 0.
    level : float
        Level of the intervals.

    Returns
    -------
    Estimate
        On the log scale.

    Raises
    ------
    DataError
        If a number is not > 0 or missing, the limits are out of order, or a ratio lies outside its interval.
    ModelError
        If ``level`` is not between 0 and 1.

    Examples
    --------
    >>> result = hazard_ratio(0.72, 0.55, 0.94)
    >>> float(result.y[0].round(4)), float(result.se[0].round(4))
    (-0.3285, 0.1367)
    """
    c = columns_of(hr=hr, lower=lower, upper=upper)
    rules = Rules(c)
    rules.present(*c)
    rules.positive(*c)
    rules.refuse()
    se = se_from_ci(np.log(c["lower"]), np.log(c["upper"]), level, estimate=np.log(c["hr"]))
    return Estimate(np.log(c["hr"]), se, f"log(HR); se = log(upper/lower)/(2 z), level {level:g}")


def uisd(n: ArrayLike, se: ArrayLike) -> float:
    """Return the unit information standard deviation, ``sqrt(sum n / sum se^-2)``.

    The standard deviation that one participant would contribute; a yardstick for priors of tau
    (Röver et al. 2021, doi:10.1002/jrsm.1475).

    Parameters
    ----------
    n : array_like (k,)
        Participants of each study, > 0.
    se : array_like (k,)
        Standard errors, > 0.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If a number is not > 0 or missing.

    Examples
    --------
    >>> uisd([100, 100], [0.2, 0.2])
    2.0
    """
    c = columns_of(n=n, se=se)
    rules = Rules(c)
    rules.present("n", "se")
    rules.positive("n", "se")
    rules.refuse()
    return float(np.sqrt(c["n"].sum() / np.sum(c["se"] ** -2.0)))
