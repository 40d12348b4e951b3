"""Sampling covariances of two effects that share an arm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.errors import ModelError
from bayesmeta.measures.counts import ZERO_POLICIES
from bayesmeta.measures.rules import Rules, choose, columns_of

__all__ = ["shared_control_covariance"]

NEEDED = {
    "MD": ("sd_c",),
    "SMD": ("y_1", "y_2", "n_1", "n_2"),
    "SMDH": ("y_1", "y_2", "sd_1", "sd_2", "sd_c"),
    "ROM": ("sd_c", "mean_c"),
    "OR": ("events_c",),
    "RR": ("events_c",),
    "RD": ("events_c",),
}


#: Measures of two counts.
COUNTED = ("OR", "RR", "RD")


def shared_control_covariance(
    measure: str,
    n_c: ArrayLike,
    *,
    y_1: ArrayLike | None = None,
    y_2: ArrayLike | None = None,
    n_1: ArrayLike | None = None,
    n_2: ArrayLike | None = None,
    sd_1: ArrayLike | None = None,
    sd_2: ArrayLike | None = None,
    sd_c: ArrayLike | None = None,
    mean_c: ArrayLike | None = None,
    events_c: ArrayLike | None = None,
    events_1: ArrayLike | None = None,
    events_2: ArrayLike | None = None,
    n_total: ArrayLike | None = None,
    form: str = "pairwise",
    same_role: bool | Sequence[bool] | NDArray[np.bool_] = True,
    zero: str = "half",
) -> np.ndarray:
    """Return the sampling covariance of two effects of one trial that share an arm.

    ========  ==============================================================================================
    measure   covariance (c is the shared arm, 1 and 2 the others; ``N_j = n_j + n_c``)
    ========  ==============================================================================================
    MD        ``sd_c^2/n_c``
    SMD       each effect by its own pooled SD: ``1/n_c + g_1 g_2 n_c/(2 N_1 N_2)``; with ``form="pooled"``, by one SD
              over all arms of the trial: ``1/n_c + g_1 g_2/(2 (n_1 + n_2 + n_c))``
              (Gleser & Olkin 2009, Handbook of Research Synthesis and Meta-Analysis, 2nd ed., pp. 357-376)
    SMDH      ``g_1 g_2 sd_c^4/(8 (n_c-1) s_1^2 s_2^2) + sd_c^2/((n_c-1) s_1 s_2)``, ``s_j^2 = (sd_j^2 + sd_c^2)/2``
    ROM       ``sd_c^2/(n_c mean_c^2)``
    OR        ``1/events_c + 1/(n_c - events_c)``
    RR        ``1/events_c - 1/n_c``
    RD        ``p_c (1 - p_c)/n_c``
    ========  ==============================================================================================

    They are the delta-method covariances that go with the variances of :mod:`bayesmeta.measures` (the LS ones for SMD
    and SMDH), so that the matrix of one trial is positive definite.

    Parameters
    ----------
    measure : {"MD", "SMD", "SMDH", "ROM", "OR", "RR", "RD"}
        The effect measure.
    n_c : array_like (k,)
        Size of the shared arm, for each of k pairs of effects.
    y_1, y_2 : array_like (k,)
        The two effects (SMD, SMDH), after their directions have been aligned.
    n_1, n_2 : array_like (k,)
        Sizes of the arms that are not shared (SMD).
    sd_1, sd_2 : array_like (k,)
        Standard deviations of the arms that are not shared (SMDH).
    sd_c, mean_c, events_c : array_like (k,)
        Standard deviation, mean and events of the shared arm.
    events_1, events_2 : array_like (k,), optional
        Events of the arms that are not shared, with ``n_1`` and ``n_2``: where nobody or everybody had one, the effect
        was computed with a correction of the shared arm too.
    n_total : array_like (k,), optional
        People in all arms of the trial, for ``form="pooled"`` with more than three arms.
    form : {"pairwise", "pooled"}
        How SMDs were standardised.
    same_role : array_like (k,) of bool
        False where the shared arm is the treated one of one effect and the control of the other: its own part then
        changes sign.
    zero : {"half", "half_all", "treatment_arm", "none"}
        Policy for a shared arm in which nobody or everybody had the event, as in :func:`odds_ratio`. Under
        ``treatment_arm`` the amount depends on the other arm, and 1/2 is used.

    Returns
    -------
    array (k,)

    Raises
    ------
    ModelError
        If the measure has no such covariance, or a number it needs is not given; the message names those needed.
    DataError
        If a number is out of range or missing.

    Examples
    --------
    >>> shared_control_covariance("MD", 25, sd_c=10)
    array([4.])
    >>> shared_control_covariance("SMD", 30, y_1=0.5, y_2=0.4, n_1=30, n_2=30).round(6)
    array([0.034167])
    """
    choose("measure", measure, NEEDED)
    choose("form", form, ("pairwise", "pooled"))
    choose("zero", zero, ZERO_POLICIES)
    given: dict[str, ArrayLike | None] = {
        "y_1": y_1,
        "y_2": y_2,
        "n_1": n_1,
        "n_2": n_2,
        "sd_1": sd_1,
        "sd_2": sd_2,
        "sd_c": sd_c,
        "mean_c": mean_c,
        "events_c": events_c,
    }
    lacking = [name for name in NEEDED[measure] if given[name] is None]
    if lacking:
        raise ModelError(
            f"The covariance of {measure} needs {', '.join(NEEDED[measure])}; not given: {', '.join(lacking)}."
        )
    wanted: dict[str, ArrayLike] = {"n_c": n_c}
    wanted |= {name: value for name in NEEDED[measure] if (value := given[name]) is not None}
    if form == "pooled" and measure == "SMD" and n_total is not None:
        wanted["n_total"] = n_total
    for j, (events, people) in enumerate(((events_1, n_1), (events_2, n_2)), 1):
        if measure in COUNTED and events is not None and people is not None:
            wanted |= {f"events_{j}": events, f"n_{j}": people}
    wanted["same_role"] = np.asarray(same_role, dtype=float)
    c = columns_of(**wanted)
    _check(c, measure, zero)
    sign = np.where(c["same_role"] > 0, 1.0, -1.0)
    size = c["n_c"]
    if measure == "MD":
        return sign * c["sd_c"] ** 2 / size
    if measure == "ROM":
        return sign * c["sd_c"] ** 2 / (size * c["mean_c"] ** 2)
    if measure == "SMD":
        if form == "pooled":
            scale = 1 / (2 * c.get("n_total", c["n_1"] + c["n_2"] + size))
        else:
            scale = size / (2 * (c["n_1"] + size) * (c["n_2"] + size))
        return sign / size + c["y_1"] * c["y_2"] * scale
    if measure == "SMDH":
        s_1, s_2 = np.sqrt((c["sd_1"] ** 2 + c["sd_c"] ** 2) / 2), np.sqrt((c["sd_2"] ** 2 + c["sd_c"] ** 2) / 2)
        own = c["sd_c"] ** 2 / ((size - 1) * s_1 * s_2)
        return sign * own + c["y_1"] * c["y_2"] * c["sd_c"] ** 4 / (8 * (size - 1) * s_1**2 * s_2**2)
    # a zero in either arm of a row corrects both of its arms
    ends = [_at_end(c) | _at_end(c, f"events_{j}", f"n_{j}") for j in (1, 2)]
    parts = [_own_part(measure, c, end & (zero != "none") | (zero == "half_all")) for end in ends]
    # of a row that is corrected and one that is not, what both hold: so the matrix of a trial stays positive definite
    return sign * np.minimum(*parts)


def _own_part(measure: str, c: dict[str, np.ndarray], corrected: np.ndarray) -> np.ndarray:
    """Variance that the shared arm adds to an effect, with or without one half in each of its cells."""
    add = np.where(corrected, 0.5, 0.0)
    events, others = c["events_c"] + add, c["n_c"] - c["events_c"] + add
    if measure == "OR":
        return 1 / events + 1 / others
    if measure == "RR":
        return others / (events * (events + others))
    return events * others / (events + others) ** 3


def _at_end(c: dict[str, np.ndarray], events: str = "events_c", size: str = "n_c") -> np.ndarray:
    if events not in c:
        return np.zeros(c["n_c"].shape, dtype=bool)
    return np.asarray((c[events] == 0) | (c[events] == c[size]))


def _check(c: dict[str, np.ndarray], measure: str, zero: str) -> None:
    rules = Rules(c)
    rules.present(*c)
    rules.at_least(2 if measure == "SMDH" else 1, *(name for name in c if name.startswith("n_")))
    rules.positive(*(name for name in c if name.startswith("sd_")))
    if "mean_c" in c:
        rules.require(c["mean_c"] != 0, "mean_c", "is zero: a ratio of means is not defined", "Use MD or SMD.")
    if "events_c" in c:
        rules.counts("events_c", "n_c")
        if zero == "none":
            rules.require(~_at_end(c), "events_c", "leaves a cell of the shared arm empty", "Use zero='half'.")
    rules.refuse("pair")
