"""The pooled effect without each trial, and as trials are added one at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.classical.boundary import on_effects
from bayesmeta.classical.intervals import CiMethod, interval
from bayesmeta.classical.refits import ClassicalRefits, intervals_of, refit
from bayesmeta.classical.rows import effect_rows
from bayesmeta.classical.tau2 import Tau2Method
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

__all__ = ["cumulative_table", "leave_one_out_table"]

BoolArray = NDArray[np.bool_]


@on_effects()
def leave_one_out_table(
    effects: Effects,
    *,
    method: Tau2Method = "REML",
    ci: CiMethod = "hksj",
    level: float = 0.95,
    rho: float = 0.5,
) -> pd.DataFrame:
    """Pool again without each trial; all deletions are fitted at once.

    A trial leaves with all its rows, and with the trials that share its patients (``effects.units``).

    Parameters
    ----------
    effects : Effects
    method, ci, level, rho
        As in `pool`.

    Returns
    -------
    pandas.DataFrame
        One line per trial: ``left_out k rows estimate se lower upper p tau2 i2 q q_p note``; ``k`` estimates stay,
        ``rows`` have left; ``i2`` in percent from tau2 (from Q for EE). A number that is not defined is nan, and
        ``note`` says why.

    Raises
    ------
    ModelError
        If a name of a method is unknown.

    References
    ----------
    Viechtbauer & Cheung 2010, doi:10.1002/jrsm.11. Agrees with ``leave1out`` of R metafor.

    Examples
    --------
    >>> leave_one_out_table(effects, method="EE", ci="wald")[["left_out", "estimate"]].round(4).values.tolist()
    [['A', -0.1], ['B', -0.2], ['C', -0.1167], ['D', -0.1833]]
    """
    names, unit = effects.units
    member = unit[None, :] != np.arange(len(names))[:, None]
    table = _table(effects, member, method, ci, level, rho)
    table.insert(0, "left_out", names)
    table.insert(2, "rows", (~member).sum(axis=1))
    return table


@on_effects()
def cumulative_table(
    effects: Effects,
    order: Sequence[str] | None = None,
    *,
    method: Tau2Method = "REML",
    ci: CiMethod = "hksj",
    level: float = 0.95,
    rho: float = 0.5,
) -> pd.DataFrame:
    """Pool again each time a trial is added.

    Parameters
    ----------
    effects : Effects
    order : sequence of str, optional
        Trials in the order they enter (names of ``effects.units``); the order of the rows where not given.
    method, ci, level, rho
        As in `pool`.

    Returns
    -------
    pandas.DataFrame
        One line per trial: ``added k rows estimate se lower upper p tau2 i2 q q_p note``; ``k`` estimates so far,
        ``rows`` of them new. A first line that is one estimate shows its own Wald interval, and says so.

    Raises
    ------
    ModelError
        If `order` does not name every trial once, or a name of a method is unknown.

    References
    ----------
    Lau et al. 1992, doi:10.1056/NEJM199207233270406. Agrees with ``cumul`` of R metafor.

    Examples
    --------
    >>> table = cumulative_table(effects, ["C", "A", "B", "D"], method="EE", ci="wald")
    >>> table[["added", "k", "estimate"]].round(4).values.tolist()
    [['C', 1, -0.3], ['A', 2, -0.35], ['B', 3, -0.1833], ['D', 4, -0.1429]]
    """
    names, unit = effects.units
    sequence = list(names) if order is None else list(order)
    unknown = [name for name in sequence if name not in names]
    if unknown or len(sequence) != len(names) or len(set(sequence)) != len(names):
        raise ModelError(
            f"order must name every trial once; {unknown or 'some trials'} do not fit. Trials: {', '.join(names)}."
        )
    place = np.array([sequence.index(name) for name in names])
    member = place[unit][None, :] <= np.arange(len(names))[:, None]
    table = _table(effects, member, method, ci, level, rho)
    table.insert(0, "added", sequence)
    table.insert(2, "rows", np.diff(member.sum(axis=1), prepend=0))
    return table


def _table(
    effects: Effects, member: BoolArray, method: Tau2Method, ci: CiMethod, level: float, rho: float
) -> pd.DataFrame:
    rows = effect_rows(effects, rho=rho)
    unit = effects.units[1]
    units = member.sum(axis=1)
    if effects.blocks:
        units = np.array([np.unique(unit[inside]).size for inside in member], np.intp)
    why = ""
    try:
        fits = refit(rows, member, method)
    except ModelError as error:
        why = str(error)
        fits = _nothing(member)
    se, lower, upper, p = intervals_of(fits, ci, level, units)
    frame = pd.DataFrame(
        {
            "k": fits.k,
            "estimate": fits.estimate[:, 0],
            "se": se,
            "lower": lower,
            "upper": upper,
            "p": p,
            "tau2": fits.tau2,
            "i2": fits.i2,
            "q": np.where(fits.k > 1, fits.q, np.nan),
            "q_p": np.where(fits.k > 1, special.gammaincc(0.5 * np.maximum(fits.k - 1, 1), 0.5 * fits.q), np.nan),
        }
    )
    notes = []
    for line in range(len(member)):
        note = why
        if not why and fits.k[line] == 0:
            note = "no estimate is left"
        elif not why and fits.k[line] == 1:
            row = int(np.flatnonzero(member[line])[0])
            only = interval(float(effects.y[row]), float(effects.se[row]), level, None)
            values = [only.lower, only.upper, only.p]
            frame.loc[line, ["estimate", "se"]] = float(effects.y[row]), float(effects.se[row])
            frame.loc[line, ["lower", "upper", "p"]] = values
            note = "one estimate: its own Wald interval; how trials differ is not known"
        elif not why:
            note = _note(fits, line, ci, int(units[line]), float(se[line]))
        notes.append(note)
    frame["note"] = notes
    return frame


def _note(fits: ClassicalRefits, line: int, ci: CiMethod, units: int, se: float) -> str:
    if np.isnan(fits.tau2[line]):
        return "tau2 is not identified from these rows"
    if ci != "wald" and units < 2:
        return f"{ci}: one trial leaves no degrees of freedom for an interval"
    if se == 0.0:
        return f"{ci}: all estimates are equal, so this SE is 0 and its test is not defined"
    return ""


def _nothing(member: BoolArray) -> ClassicalRefits:
    m = len(member)
    empty = np.full(m, np.nan)
    return ClassicalRefits(
        member.sum(axis=1), empty, np.full((m, 1), np.nan), np.full((m, 1, 1), np.nan), empty, empty, empty, empty
    )
