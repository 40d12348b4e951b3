"""Effect sizes from two-by-two tables, with a stated policy for zero cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bayesmeta.measures.estimates import Estimate, Note
from bayesmeta.measures.rules import Columns, Rules, choose, columns_of

__all__ = ["ZERO_POLICIES", "odds_ratio", "risk_difference", "risk_ratio"]

ZERO_POLICIES = {
    "half": "1/2 added to all four cells of tables with a zero",
    "half_all": "1/2 added to all four cells of every table",
    "treatment_arm": "n_t/(n_t + n_c) added to the treated arm's cells and n_c/(n_t + n_c) to the control's, "
    "in tables with a zero (Sweeting 2004)",
    "none": "nothing added",
}
"""What may be done about zero cells: the names allowed for ``zero``, and their meaning."""

Cells = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
TINY = 1e-12  # a variance that rounding alone keeps from zero; a real one from counts is far larger


def rules_of_counts(columns: Columns, measure: str = "OR", zero: str = "half") -> Rules:
    """Rules for two arms given by events and sizes."""
    rules = Rules(columns)
    rules.present("events_t", "n_t", "events_c", "n_c")
    rules.positive("n_t", "n_c")
    for arm in "tc":
        rules.counts(f"events_{arm}", f"n_{arm}")
        rules.whole_count(f"n_{arm}", "people in the arm")
    if zero == "none" and not rules.faults:
        with np.errstate(divide="ignore", invalid="ignore"):
            y, variance = FORMULAS[measure](*_cells(columns))
        ok = np.isfinite(y) & np.isfinite(variance) & (variance > TINY)
        remedy = "Use zero='half', zero='treatment_arm' or a binomial likelihood, or exclude the row."
        rules.require(ok, "events_t", f"gives no {measure} with a standard error: a cell is zero", remedy)
    return rules


def _cells(columns: Columns) -> Cells:
    a, c = columns["events_t"], columns["events_c"]
    return a, columns["n_t"] - a, c, columns["n_c"] - c


def _log_odds_ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # paired so that equal arms give exactly 0
    return (np.log(a) - np.log(c)) - (np.log(b) - np.log(d)), 1 / a + 1 / b + 1 / c + 1 / d


def _log_risk_ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = np.log(a / (a + b)) - np.log(c / (c + d))
    return y, b / (a * (a + b)) + d / (c * (c + d))


def _risk_difference(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return a / (a + b) - c / (c + d), a * b / (a + b) ** 3 + c * d / (c + d) ** 3


FORMULAS = {"OR": _log_odds_ratio, "RR": _log_risk_ratio, "RD": _risk_difference}


def corrected(columns: Columns, zero: str) -> tuple[Cells, tuple[Note, ...]]:
    """Return the four cells after the policy for zeros, and what was done in which tables."""
    cells = _cells(columns)
    has_zero = np.any(np.equal(cells, 0), axis=0)
    treated = np.full(has_zero.shape, 0.5)
    touched = has_zero
    if zero == "treatment_arm":
        treated = columns["n_t"] / (columns["n_t"] + columns["n_c"])
    elif zero == "half_all":
        touched = np.ones_like(has_zero)
    elif zero == "none":
        touched = np.zeros_like(has_zero)
    add_t, add_c = np.where(touched, treated, 0.0), np.where(touched, 1 - treated, 0.0)
    a, b, c, d = cells
    none, every = (a == 0) & (c == 0), (b == 0) & (d == 0)
    notes = (
        (ZERO_POLICIES[zero], touched),
        ("no events in either arm", none),
        ("an event in every person of both arms", every),
    )
    return (a + add_t, b + add_t, c + add_c, d + add_c), notes


def _from_counts(
    measure: str, text: str, events_t: ArrayLike, n_t: ArrayLike, events_c: ArrayLike, n_c: ArrayLike, zero: str
) -> Estimate:
    choose("zero", zero, ZERO_POLICIES)
    columns = columns_of(events_t=events_t, n_t=n_t, events_c=events_c, n_c=n_c)
    rules_of_counts(columns, measure, zero).refuse()
    cells, notes = corrected(columns, zero)
    # With zero="none" a lone zero may sit in a cell whose term vanishes; the rules have passed the sum.
    with np.errstate(divide="ignore"):
        y, variance = FORMULAS[measure](*cells)
    return Estimate(y, np.sqrt(variance), text, (), notes)


def odds_ratio(
    events_t: ArrayLike, n_t: ArrayLike, events_c: ArrayLike, n_c: ArrayLike, *, zero: str = "half"
) -> Estimate:
    """Return the log odds ratio, with Woolf's variance ``1/a + 1/b + 1/c + 1/d``.

    a, b are people with and without the event in the treated arm and c, d in the control arm: ``log(ad/(bc))``
    (Woolf 1955, doi:10.1111/j.1469-1809.1955.tb01348.x).

    Parameters
    ----------
    events_t, n_t, events_c, n_c : array_like (k,)
        People with the event, and people, in the treated and the control arm.
    zero : {"half", "half_all", "treatment_arm", "none"}
        What to do about zero cells. ``half`` adds 1/2 to all four cells, only in tables with a zero; ``half_all`` in
        every table; ``treatment_arm`` adds, in tables with a zero, amounts that sum to 1 in proportion to the arms'
        sizes (Sweeting et al. 2004, doi:10.1002/sim.1761); ``none`` refuses such tables. A table without events in
        either arm follows the same policy, and is named in ``assumptions``.

    Returns
    -------
    Estimate
        On the log scale.

    Raises
    ------
    ModelError
        If ``zero`` is not allowed.
    DataError
        If counts or sizes are negative or not whole, or counts more than n; or a cell is zero under ``zero="none"``.

    Examples
    --------
    >>> result = odds_ratio([14, 0], [61, 36], [15, 11], [20, 47])
    >>> result.y.round(4), result.assumptions
    (array([-2.3097, -3.1355]), ('1/2 added to all four cells of tables with a zero (row 1)',))
    """
    text = "log(ad/(bc)); se^2 = 1/a + 1/b + 1/c + 1/d"
    return _from_counts("OR", text, events_t, n_t, events_c, n_c, zero)


def risk_ratio(
    events_t: ArrayLike, n_t: ArrayLike, events_c: ArrayLike, n_c: ArrayLike, *, zero: str = "half"
) -> Estimate:
    """Return the log risk ratio, with variance ``1/a - 1/n_t + 1/c - 1/n_c``.

    ``log((a/n_t)/(c/n_c))``, a and c being the people with the event (Katz et al. 1978, doi:10.2307/2530610).

    Parameters
    ----------
    events_t, n_t, events_c, n_c, zero
        As in :func:`odds_ratio`.

    Returns
    -------
    Estimate
        On the log scale.

    Raises
    ------
    ModelError, DataError
        As in :func:`odds_ratio`.

    Examples
    --------
    >>> result = risk_ratio(4, 123, 11, 139)
    >>> float(result.y[0].round(6)), float((result.se[0]**2).round(6))
    (-0.889311, 0.325585)
    """
    text = "log((a/n_t)/(c/n_c)); se^2 = 1/a - 1/n_t + 1/c - 1/n_c"
    return _from_counts("RR", text, events_t, n_t, events_c, n_c, zero)


def risk_difference(
    events_t: ArrayLike, n_t: ArrayLike, events_c: ArrayLike, n_c: ArrayLike, *, zero: str = "half"
) -> Estimate:
    """Return the risk difference ``p_t - p_c``, with variance ``p_t(1-p_t)/n_t + p_c(1-p_c)/n_c``.

    The policy for zeros changes estimates as well as variances, as in metafor's ``escalc``.

    Parameters
    ----------
    events_t, n_t, events_c, n_c, zero
        As in :func:`odds_ratio`.

    Returns
    -------
    Estimate
        As a difference of proportions.

    Raises
    ------
    ModelError, DataError
        As in :func:`odds_ratio`.

    Examples
    --------
    >>> float(risk_difference(10, 100, 20, 100).y[0])
    -0.1
    """
    text = "a/n_t - c/n_c; se^2 = sum of p(1-p)/n"
    return _from_counts("RD", text, events_t, n_t, events_c, n_c, zero)
