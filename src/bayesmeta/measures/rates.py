"""Incidence rates: the ratio of two arms' rates from events and person-time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.measures.counts import ZERO_POLICIES
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.rules import Columns, Rules, choose, columns_of

__all__ = ["RATE_ZERO_POLICIES", "incidence_rate_ratio"]

RATE_ZERO_POLICIES = {
    "half": "1/2 added to the events of both arms in tables with a zero",
    "half_all": "1/2 added to the events of both arms of every table",
    "none": ZERO_POLICIES["none"],
}
"""What may be done about arms without events: a rate has no cell without the event that sizes could be added to."""


def rules_of_rates(columns: Columns, zero: str = "half") -> Rules:
    """Rules for two arms given by events and person-time."""
    rules = Rules(columns)
    rules.present("events_t", "time_t", "events_c", "time_c")
    rules.positive("time_t", "time_c")
    for name in ("events_t", "events_c"):
        rules.whole_count(name, "events")
        if zero == "none":
            remedy = "Use zero='half', or exclude the row."
            rules.require(columns[name] != 0, name, "gives no IRR with a standard error: no events", remedy)
    return rules


def check_rate_zero(zero: str) -> None:
    """Refuse a policy for zeros that person-time has no place for."""
    choose("zero", zero, RATE_ZERO_POLICIES)


def incidence_rate_ratio(
    events_t: ArrayLike, time_t: ArrayLike, events_c: ArrayLike, time_c: ArrayLike, *, zero: str = "half"
) -> Estimate:
    """Return the log incidence rate ratio, with variance ``1/events_t + 1/events_c``.

    ``log((events_t/time_t)/(events_c/time_c))``, the events being Poisson given the person-time (Rothman, Greenland
    and Lash 2008, Modern Epidemiology, 3rd ed., chapter 14), as ``escalc(measure="IRR")`` of metafor
    (Viechtbauer 2010, doi:10.18637/jss.v036.i03).

    Parameters
    ----------
    events_t, events_c : array_like (k,)
        Events in the treated and the control arm; a person may have several.
    time_t, time_c : array_like (k,)
        Person-time at risk of the arms, in one unit; the unit cancels.
    zero : {"half", "half_all", "none"}
        What to do about arms without events. ``half`` adds 1/2 to the events of both arms, only in tables with a zero;
        ``half_all`` in every table; ``none`` refuses such tables. Person-time is never changed.

    Returns
    -------
    Estimate
        On the log scale.

    Raises
    ------
    ModelError
        If ``zero`` is not allowed.
    DataError
        If events are negative or not whole, person-time is not positive; or there are no events under ``zero="none"``.

    Examples
    --------
    >>> result = incidence_rate_ratio([10, 0], [1000, 200], [20, 4], [1000, 200])
    >>> result.y.round(4), (result.se**2).round(4)
    (array([-0.6931, -2.1972]), array([0.15  , 2.2222]))
    """
    check_rate_zero(zero)
    columns = columns_of(events_t=events_t, time_t=time_t, events_c=events_c, time_c=time_c)
    rules_of_rates(columns, zero).refuse()
    x_t, x_c = columns["events_t"], columns["events_c"]
    none = (x_t == 0) & (x_c == 0)
    touched = {"half": (x_t == 0) | (x_c == 0), "half_all": np.ones(x_t.shape, bool), "none": np.zeros(x_t.shape, bool)}
    x_t, x_c = x_t + 0.5 * touched[zero], x_c + 0.5 * touched[zero]
    # paired so that equal arms give exactly 0
    y = (np.log(x_t) - np.log(x_c)) - (np.log(columns["time_t"]) - np.log(columns["time_c"]))
    notes = ((RATE_ZERO_POLICIES[zero], touched[zero]), ("no events in either arm", none))
    return Estimate(
        y,
        np.sqrt(1 / x_t + 1 / x_c),
        "log((events_t/time_t)/(events_c/time_c)); se^2 = 1/events_t + 1/events_c",
        (),
        notes,
    )
