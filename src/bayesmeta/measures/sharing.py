"""Sampling covariances of two effects that share an arm."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

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
    n_total: ArrayLike | None = None,
    form: str = "pairwise",
    same_role: ArrayLike = True,
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
    add = 0.0 if zero == "none" else np.where(_at_end(c) | (zero == "half_all"), 0.5, 0.0)
    events, others = c["events_c"] + add, size - c["events_c"] + add
    if measure == "OR":
        return sign * (1 / events + 1 / others)
    if measure == "RR":
        return sign * others / (events * (events + others))
    return sign * events * others / (events + others) ** 3


def _at_end(c: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray((c["events_c"] == 0) | (c["events_c"] == c["n_c"]))


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
