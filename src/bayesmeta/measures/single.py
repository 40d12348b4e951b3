"""One arm described by itself: the logit of a proportion, a mean, the log of a rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.rules import Columns, Rules, choose, columns_of

__all__ = ["SINGLE_ZERO_POLICIES", "arm_mean", "log_incidence_rate", "logit_proportion"]

SINGLE_ZERO_POLICIES = {
    "half": "1/2 added to the events, and to the people without one, in rows with a zero",
    "half_all": "1/2 added to the events, and to the people without one, in every row",
    "none": "nothing added",
}
"""What may be done about one arm's zeros."""


def rules_of_proportion(columns: Columns, zero: str = "half") -> Rules:
    """Rules for one arm given by events and size."""
    rules = Rules(columns)
    rules.present("events", "n")
    rules.positive("n")
    rules.counts("events", "n")
    rules.whole_count("n", "people")
    if zero == "none":
        inside = (columns["events"] != 0) & (columns["events"] != columns["n"])
        remedy = "Use zero='half' or the binomial likelihood, or exclude the row."
        rules.require(inside, "events", "gives no PLO with a standard error: nobody or everybody has the event", remedy)
    return rules


def rules_of_rate(columns: Columns, zero: str = "half") -> Rules:
    """Rules for one arm given by events and person-time."""
    rules = Rules(columns)
    rules.present("events", "time")
    rules.positive("time")
    rules.whole_count("events", "events")
    if zero == "none":
        remedy = "Use zero='half', or exclude the row."
        rules.require(columns["events"] != 0, "events", "gives no IRLN with a standard error: no events", remedy)
    return rules


def rules_of_mean(columns: Columns) -> Rules:
    """Rules for one arm given by mean, SD and size."""
    rules = Rules(columns)
    rules.present("mean", "sd", "n")
    rules.positive("sd", "n")
    return rules


def logit_proportion(events: ArrayLike, n: ArrayLike, *, zero: str = "half") -> Estimate:
    """Return the logit of a proportion, with variance ``1/events + 1/(n - events)``.

    ``log(events/(n - events))``, as ``escalc(measure="PLO")`` of metafor (Viechtbauer 2010,
    doi:10.18637/jss.v036.i03). The correction for zeros biases a pooled proportion (Stijnen, Hamza and Ozdemir 2010,
    doi:10.1002/sim.4040): a model with the binomial likelihood takes the counts as they are, and none of these numbers.

    Parameters
    ----------
    events, n : array_like (k,)
        People with the event, and people.
    zero : {"half", "half_all", "none"}
        What to do where nobody or everybody has the event: add 1/2 to both numbers there, in every row, or refuse.

    Returns
    -------
    Estimate
        On the logit scale.

    Raises
    ------
    ModelError
        If ``zero`` is not allowed.
    DataError
        If counts or sizes are negative or not whole, or counts more than n; or there is a zero under ``zero="none"``.

    Examples
    --------
    >>> result = logit_proportion([20, 0], [100, 40])
    >>> result.y.round(4), (result.se**2).round(4)
    (array([-1.3863, -4.3944]), array([0.0625, 2.0247]))
    """
    choose("zero", zero, SINGLE_ZERO_POLICIES)
    columns = columns_of(events=events, n=n)
    rules_of_proportion(columns, zero).refuse()
    x, rest = columns["events"], columns["n"] - columns["events"]
    touched = _touched(zero, (x == 0) | (rest == 0))
    notes = (
        (SINGLE_ZERO_POLICIES[zero], touched),
        ("nobody has the event", x == 0),
        ("everybody has the event", rest == 0),
    )
    x, rest = x + 0.5 * touched, rest + 0.5 * touched
    text = "log(events/(n - events)); se^2 = 1/events + 1/(n - events)"
    return Estimate(np.log(x) - np.log(rest), np.sqrt(1 / x + 1 / rest), text, (), notes)


def arm_mean(mean: ArrayLike, sd: ArrayLike, n: ArrayLike) -> Estimate:
    """Return the mean of one arm, with variance ``sd^2/n``, as ``escalc(measure="MN")`` of metafor.

    Parameters
    ----------
    mean, sd, n : array_like (k,)
        In the units of the outcome; people.

    Returns
    -------
    Estimate

    Raises
    ------
    DataError
        If a standard deviation or a size is not positive.

    Examples
    --------
    >>> arm_mean(31.0, 10.0, 25).se
    array([2.])
    """
    columns = columns_of(mean=mean, sd=sd, n=n)
    rules_of_mean(columns).refuse()
    return Estimate(columns["mean"], columns["sd"] / np.sqrt(columns["n"]), "mean; se = sd/sqrt(n)")


def log_incidence_rate(events: ArrayLike, time: ArrayLike, *, zero: str = "half") -> Estimate:
    """Return the log of an incidence rate, with variance ``1/events``, as ``escalc(measure="IRLN")`` of metafor.

    Parameters
    ----------
    events, time : array_like (k,)
        Events and person-time, in one unit over all rows.
    zero : {"half", "half_all", "none"}
        What to do where there are no events: add 1/2 there, in every row, or refuse.

    Returns
    -------
    Estimate
        On the log scale.

    Raises
    ------
    ModelError
        If ``zero`` is not allowed.
    DataError
        If events are negative or not whole, or person-time is not positive; or there are none under ``zero="none"``.

    Examples
    --------
    >>> result = log_incidence_rate([10, 0], [1000, 500])
    >>> result.y.round(4), (result.se**2).round(4)
    (array([-4.6052, -6.9078]), array([0.1, 2. ]))
    """
    choose("zero", zero, SINGLE_ZERO_POLICIES)
    columns = columns_of(events=events, time=time)
    rules_of_rate(columns, zero).refuse()
    x = columns["events"]
    touched = _touched(zero, x == 0)
    done = f"1/2 added to the events{'' if zero == 'half_all' else ' of rows without any'}"
    notes = ((done, touched), ("no events", x == 0))
    x = x + 0.5 * touched
    text = "log(events/time); se^2 = 1/events"
    return Estimate(np.log(x) - np.log(columns["time"]), 1 / np.sqrt(x), text, (), notes)


def _touched(zero: str, has_zero: np.ndarray) -> np.ndarray:
    return {"half": has_zero, "half_all": np.ones(has_zero.shape, bool), "none": np.zeros(has_zero.shape, bool)}[zero]
