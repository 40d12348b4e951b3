"""Standard errors, standard deviations and means from what papers print instead of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bayesmeta.measures.estimates import Note
from bayesmeta.measures.rules import Columns, Rules, columns_of, frozen, level_of

__all__ = [
    "DerivedMoments",
    "change_sd",
    "correlation_from_sds",
    "mean_sd_from_quantiles",
    "sd_from_ci",
    "sd_from_se",
    "se_from_ci",
    "se_from_p",
    "se_from_t",
    "se_from_var",
]

LEAST_FOR_QUANTILES = 5  # the formulas of Luo, Wan and Shi are fitted for n >= 5


def critical_value(p: ArrayLike, df: ArrayLike | None = None) -> np.ndarray:
    """Return the upper quantile at two-sided probability ``p``: normal, or t where ``df`` is a number."""
    p = np.asarray(p, dtype=float)
    normal = -special.ndtri(p / 2)
    if df is None:
        return np.asarray(normal)
    df = np.asarray(df, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(df), -special.stdtrit(np.where(df > 0, df, 1.0), p / 2), normal)


def rules_of_ci(columns: Columns) -> Rules:
    """Rules for an interval: ``lower``, ``upper``, and if given ``estimate`` and ``df``."""
    rules = Rules(columns)
    rules.present("lower", "upper")
    rules.require(
        ~(columns["lower"] >= columns["upper"]), "lower", "is not below the upper limit", "Correct the interval."
    )
    if "estimate" in columns:
        rules.present("estimate")
        inside = (columns["lower"] < columns["estimate"]) & (columns["estimate"] < columns["upper"])
        ordered = columns["lower"] < columns["upper"]
        remedy = "Correct the estimate or the interval (is one of them on the log scale?)."
        rules.require(
            inside | ~ordered | ~np.isfinite(columns["estimate"]), "estimate", "lies outside its interval", remedy
        )
    _rule_of_df(rules)
    return rules


def _rule_of_df(rules: Rules) -> None:
    if "df" in rules.columns:
        rules.positive("df", remedy="Give positive degrees of freedom, or leave df empty for a normal interval.")


def se_from_ci(
    lower: ArrayLike,
    upper: ArrayLike,
    level: float = 0.95,
    df: ArrayLike | None = None,
    *,
    estimate: ArrayLike | None = None,
) -> np.ndarray:
    """Return the standard error behind a confidence interval, ``(upper - lower)/(2 q)``.

    q is the normal quantile at (1 + level)/2, or Student's t where ``df`` is given (Cochrane Handbook 6.3.1, 6.5.2.3).

    Parameters
    ----------
    lower, upper : array_like (k,)
        Limits on the scale of the analysis (take logs of ratios first).
    level : float
        Level of the interval, 0.95 and not 95.
    df : array_like (k,), optional
        Degrees of freedom of a t interval; normal where nan or not given.
    estimate : array_like (k,), optional
        Checked to lie inside.

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If the limits are out of order or missing, or the estimate is outside.
    ModelError
        If ``level`` is not between 0 and 1.

    Examples
    --------
    >>> se_from_ci(-0.58, 0.2).round(4)
    array([0.199])
    >>> se_from_ci(-0.58, 0.2, df=10).round(4)
    array([0.175])
    """
    level = level_of(level)
    given = {"lower": lower, "upper": upper}
    if df is not None:
        given["df"] = df
    if estimate is not None:
        given["estimate"] = estimate
    c = columns_of(**given)
    rules_of_ci(c).refuse()
    return (c["upper"] - c["lower"]) / (2 * critical_value(1 - level, c.get("df")))


def rules_of_t(columns: Columns) -> Rules:
    """Rules for an estimate with its test statistic."""
    rules = Rules(columns)
    rules.present("estimate", "t")
    both = np.isfinite(columns["estimate"]) & np.isfinite(columns["t"])
    remedy = "Give se, var or an interval; a statistic of 0 carries no standard error."
    rules.require(
        ~both | (columns["estimate"] / np.where(columns["t"] == 0, np.nan, columns["t"]) > 0),
        "t",
        "gives no standard error with this estimate (0, or of the other sign)",
        remedy,
    )
    return rules


def se_from_t(estimate: ArrayLike, t: ArrayLike) -> np.ndarray:
    """Return the standard error behind a test statistic, ``estimate/t``.

    Parameters
    ----------
    estimate : array_like (k,)
        Estimates on the scale of the analysis.
    t : array_like (k,)
        z or t statistics for no effect, of the estimate's sign.

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If the quotient is not > 0.

    Examples
    --------
    >>> se_from_t(-0.5, -2.5)
    array([0.2])
    """
    c = columns_of(estimate=estimate, t=t)
    rules_of_t(c).refuse()
    return c["estimate"] / c["t"]


def rules_of_p(columns: Columns) -> Rules:
    """Rules for an estimate with its two-sided p value."""
    rules = Rules(columns)
    rules.present("estimate", "p")
    remedy = "Give se, var or an interval; p = 1, p = 0 and an estimate of 0 carry no standard error."
    rules.within(0, 1, "p", why=remedy)
    rules.require(columns["estimate"] != 0, "estimate", "carries no standard error beside a p value", remedy)
    _rule_of_df(rules)
    return rules


def se_from_p(estimate: ArrayLike, p: ArrayLike, df: ArrayLike | None = None) -> np.ndarray:
    """Return the standard error behind a two-sided p value, ``|estimate|/q``.

    q is the normal (or, with ``df``, the t) quantile at ``1 - p/2`` (Cochrane Handbook 6.3.2). A rounded p gives a
    rounded standard error, and "p < 0.05" none: do not put 0.05 in its place.

    Parameters
    ----------
    estimate : array_like (k,)
        Estimates on the scale of the analysis, not 0.
    p : array_like (k,)
        Two-sided p values, in (0, 1).
    df : array_like (k,), optional
        Degrees of freedom of a t test; normal where nan or not given.

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If p is not in (0, 1) or the estimate is 0.

    Examples
    --------
    >>> se_from_p(0.5, 0.05).round(4)
    array([0.2551])
    """
    given = {"estimate": estimate, "p": p}
    if df is not None:
        given["df"] = df
    c = columns_of(**given)
    rules_of_p(c).refuse()
    return np.abs(c["estimate"]) / critical_value(c["p"], c.get("df"))


def se_from_var(var: ArrayLike) -> np.ndarray:
    """Return the standard error, the square root of the variance of an estimate.

    Parameters
    ----------
    var : array_like (k,)
        Sampling variances, > 0.

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If a variance is not > 0 or missing.

    Examples
    --------
    >>> se_from_var(0.04)
    array([0.2])
    """
    c = columns_of(var=var)
    rules = Rules(c)
    rules.present("var")
    rules.positive("var")
    rules.refuse()
    return np.sqrt(c["var"])


def sd_from_se(se: ArrayLike, n: ArrayLike) -> np.ndarray:
    """Return the standard deviation behind the standard error of one arm's mean, ``se sqrt(n)``.

    Cochrane Handbook 6.5.2.2. The standard error must be of the arm's mean, not of the difference between arms.

    Parameters
    ----------
    se : array_like (k,)
        Standard errors of means, > 0.
    n : array_like (k,)
        Sizes, at least 1.

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If a number is out of range or missing.

    Examples
    --------
    >>> sd_from_se(2.0, 25)
    array([10.])
    """
    c = columns_of(se=se, n=n)
    rules = Rules(c)
    rules.present("se", "n")
    rules.positive("se")
    rules.at_least(1, "n")
    rules.refuse()
    return c["se"] * np.sqrt(c["n"])


def sd_from_ci(lower: ArrayLike, upper: ArrayLike, n: ArrayLike, level: float = 0.95, *, t: bool = True) -> np.ndarray:
    """Return the standard deviation behind the confidence interval of one arm's mean.

    ``sqrt(n) (upper - lower)/(2 q)`` with q of Student's t on n - 1 degrees of freedom, or normal with ``t=False``
    (Cochrane Handbook 6.5.2.2).

    Parameters
    ----------
    lower, upper : array_like (k,)
        Limits of the interval of the mean.
    n : array_like (k,)
        Sizes, at least 2.
    level : float
        Level of the interval.
    t : bool
        Was it a t interval?

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If limits are out of order, n is below 2 or a number is missing.
    ModelError
        If ``level`` is not between 0 and 1.

    Examples
    --------
    >>> sd_from_ci(30, 34.2, 25).round(4)
    array([5.0875])
    """
    c = columns_of(lower=lower, upper=upper, n=n)
    rules = Rules(c)
    rules.present("n")
    rules.at_least(2, "n")
    rules.refuse()
    return np.sqrt(c["n"]) * se_from_ci(c["lower"], c["upper"], level, c["n"] - 1 if t else None)


def change_sd(sd_pre: ArrayLike, sd_post: ArrayLike, correlation: ArrayLike) -> np.ndarray:
    """Return the standard deviation of change from those before and after.

    ``sqrt(sd_pre^2 + sd_post^2 - 2 r sd_pre sd_post)`` (Cochrane Handbook 6.5.2.8).

    Parameters
    ----------
    sd_pre, sd_post : array_like (k,)
        Standard deviations before and after, > 0.
    correlation : array_like (k,)
        Correlation r of before with after, in (-1, 1): an assumption wherever the paper does not print it. Vary it.

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If a number is out of range or missing.

    Examples
    --------
    >>> change_sd(10, 10, 0.5)
    array([10.])
    """
    c = columns_of(sd_pre=sd_pre, sd_post=sd_post, correlation=correlation)
    rules = Rules(c)
    rules.present(*c)
    rules.positive("sd_pre", "sd_post")
    rules.within(-1, 1, "correlation")
    rules.refuse()
    return np.sqrt(c["sd_pre"] ** 2 + c["sd_post"] ** 2 - 2 * c["correlation"] * c["sd_pre"] * c["sd_post"])


def correlation_from_sds(sd_pre: ArrayLike, sd_post: ArrayLike, sd_change: ArrayLike) -> np.ndarray:
    """Return the correlation of before with after that three standard deviations imply.

    ``(sd_pre^2 + sd_post^2 - sd_change^2)/(2 sd_pre sd_post)`` (Cochrane Handbook 6.5.2.8).

    Parameters
    ----------
    sd_pre, sd_post, sd_change : array_like (k,)
        Standard deviations before, after and of the change, > 0.

    Returns
    -------
    array (k,)

    Raises
    ------
    DataError
        If a standard deviation is not > 0, or no correlation between -1 and 1 fits the three.

    Examples
    --------
    >>> correlation_from_sds(10, 10, 10)
    array([0.5])
    """
    c = columns_of(sd_pre=sd_pre, sd_post=sd_post, sd_change=sd_change)
    rules = Rules(c)
    rules.present(*c)
    rules.positive(*c)
    rules.refuse()
    r = (c["sd_pre"] ** 2 + c["sd_post"] ** 2 - c["sd_change"] ** 2) / (2 * c["sd_pre"] * c["sd_post"])
    rules.require(
        np.abs(r) <= 1, "sd_change", "fits no correlation with the SDs before and after", "Check the three SDs."
    )
    rules.refuse()
    return np.asarray(r)


@dataclass(frozen=True, slots=True, eq=False)
class DerivedMoments:
    """Means and standard deviations estimated from quantiles.

    Parameters
    ----------
    mean, sd : array (k,)
        The estimates.
    skewed : array (k,) of bool
        Where Shi's test finds the data skewed at the 5 % level, so that these formulas do not suit them.
    notes : tuple of (str, array (k,) of bool)
        Which formula was used in which rows, and where the data look skewed.

    Examples
    --------
    >>> mean_sd_from_quantiles(6, 16, low=0, high=24).mean
    array([8.])
    """

    mean: np.ndarray
    sd: np.ndarray
    skewed: np.ndarray
    notes: tuple[Note, ...] = ()


RANGE = "median and range: mean by Luo 2018 eq. 7, SD by Wan 2014 eq. 9"
QUARTILES = "median and quartiles: mean by Luo 2018 eq. 11, SD by Wan 2014 eq. 16"
FIVE = "median, quartiles and range: mean by Luo 2018 eq. 15, SD by Shi 2020 eq. 10"
SKEWED = "quantiles look skewed (Shi 2023 test, 5 %): a mean and SD from them are doubtful"


def rules_of_quantiles(columns: Columns) -> Rules:
    """Rules for a median with quartiles, range, or both."""
    rules = Rules(columns)
    rules.present("median", "n")
    rules.at_least(
        LEAST_FOR_QUANTILES, "n", why="The formulas need at least 5 people; use another source or exclude it."
    )
    order = ("low", "q1", "median", "q3", "high")
    x = np.vstack([columns[name] for name in order])
    present = np.isfinite(x)
    quartiles, ends = present[1] & present[3], present[0] & present[4]
    enough = "has neither both quartiles nor both ends of the range beside it"
    rules.require(quartiles | ends | ~present[2], "median", enough, "Give q1 and q3, or low and high, or both.")
    # A missing quantile cannot break the order: carry the last one seen forward.
    seen = np.fmax.accumulate(x, axis=0)
    tidy = np.all(~present | (x >= seen), axis=0)
    rules.require(tidy, "median", "and its quantiles are out of order", "Expected low <= q1 <= median <= q3 <= high.")
    spread = ~quartiles | (x[3] > x[1])
    rules.require(spread | ~tidy, "q3", "equals q1: no spread", "Give the range or an SD, or exclude the row.")
    rules.require(~ends | (x[4] > x[0]) | ~tidy, "high", "equals low: no spread", "Give an SD, or exclude the row.")
    return rules


def mean_sd_from_quantiles(
    median: ArrayLike,
    n: ArrayLike,
    q1: ArrayLike | None = None,
    q3: ArrayLike | None = None,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> DerivedMoments:
    """Estimate the mean and SD of one arm from its median with quartiles, range, or both.

    Means by Luo et al. 2018 (doi:10.1177/0962280216669183) and SDs by Wan et al. 2014 (doi:10.1186/1471-2288-14-135),
    for normal data. With ``e = 2 Phi^-1((n - 0.375)/(n + 0.25))`` and ``f = 2 Phi^-1((0.75 n - 0.125)/(n + 0.25))``:

    - range: mean ``w (low + high)/2 + (1 - w) median``, ``w = 4/(4 + n^0.75)`` (Luo eq. 7);
      SD ``(high - low)/e`` (Wan eq. 9);
    - quartiles: mean ``w (q1 + q3)/2 + (1 - w) median``, ``w = 0.7 + 0.39/n`` (Luo eq. 11);
      SD ``(q3 - q1)/f`` (Wan eq. 16);
    - both: mean ``w1 (low + high)/2 + w2 (q1 + q3)/2 + (1 - w1 - w2) median``, ``w1 = 2.2/(2.2 + n^0.75)``,
      ``w2 = 0.7 - 0.72/n^0.55`` (Luo eq. 15); SD ``u (high - low)/e + (1 - u)(q3 - q1)/f``,
      ``u = 1/(1 + 0.07 n^0.6)`` (Shi et al. 2020, doi:10.1002/jrsm.1429, eq. 10).

    Skewness is tested as in Shi et al. 2023 (doi:10.1177/09622802231172043) and flagged; nothing is left out for it.

    Parameters
    ----------
    median, n : array_like (k,)
        Medians and sizes (at least 5).
    q1, q3, low, high : array_like (k,), optional
        Quartiles and ends of the range; nan where not reported. One pair must be complete.

    Returns
    -------
    Moments

    Raises
    ------
    DataError
        If quantiles are out of order or have no spread, n is below 5, or no pair is complete.

    Examples
    --------
    >>> result = mean_sd_from_quantiles(15, 39, q1=10, q3=25)
    >>> result.mean, result.sd.round(3), result.skewed
    (array([16.775]), array([11.545]), array([False]))
    """
    missing = float("nan")
    c = columns_of(
        median=median,
        n=n,
        q1=missing if q1 is None else q1,
        q3=missing if q3 is None else q3,
        low=missing if low is None else low,
        high=missing if high is None else high,
    )
    rules_of_quantiles(c).refuse()
    mid, n = c["median"], c["n"]
    quartiles, ends = np.isfinite(c["q1"] + c["q3"]), np.isfinite(c["low"] + c["high"])
    # nan in, nan out: each case is computed for every row and then chosen by what the row has
    midrange, extent = (c["low"] + c["high"]) / 2, c["high"] - c["low"]
    midquart, iqr = (c["q1"] + c["q3"]) / 2, c["q3"] - c["q1"]
    sd_range = extent / (2 * special.ndtri((n - 0.375) / (n + 0.25)))
    sd_iqr = iqr / (2 * special.ndtri((0.75 * n - 0.125) / (n + 0.25)))
    both = quartiles & ends
    cases = [both, quartiles & ~both, ends & ~both]
    w_range, w_iqr = 4 / (4 + n**0.75), 0.7 + 0.39 / n
    w1, w2, u = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55, 1 / (1 + 0.07 * n**0.6)
    mean = np.select(
        cases,
        [
            w1 * midrange + w2 * midquart + (1 - w1 - w2) * mid,
            w_iqr * midquart + (1 - w_iqr) * mid,
            w_range * midrange + (1 - w_range) * mid,
        ],
    )
    sd = np.select(cases, [u * sd_range + (1 - u) * sd_iqr, sd_iqr, sd_range])
    skew_range, skew_iqr = np.abs(2 * (midrange - mid) / extent), np.abs(2 * (midquart - mid) / iqr)
    statistic = np.select(
        cases, [np.maximum(2.65 * np.log(0.6 * n) / np.sqrt(n) * skew_range, skew_iqr), skew_iqr, skew_range]
    )
    critical = np.select(
        cases, [3 / np.sqrt(n) - 40 / n**3, 2.65 / np.sqrt(n) - 6 / n**2, 1 / np.log(n + 9) + 2.5 / (n + 1)]
    )
    skewed = statistic >= critical
    skewed.setflags(write=False)
    notes = zip((FIVE, QUARTILES, RANGE, SKEWED), (*cases, skewed), strict=True)
    return DerivedMoments(frozen(mean), frozen(sd), skewed, tuple((text, mask) for text, mask in notes if mask.any()))
