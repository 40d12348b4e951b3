"""Rules over the effects of one outcome: a row that its own table makes improbable."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from bayesmeta.forensics.rules import FloatArray, Hit, Rule, numbers_of, shown, texts_of

__all__ = ["EFFECT_RULES", "ExaminedRows", "left_out"]

#: |SMD| that is noticed, and beyond which a standard error was probably given as an SD.
EXTREME, IMPLAUSIBLE = 2.0, 3.0
# two-sided p of a row by the leave-one-out predictive of the others below which it conflicts, and above which it fits
CONFLICT, FITS = 0.001, 0.15
# the fewest other rows that say what to expect, and the share of them that must agree about the sign
FEWEST, AGREE = 5, 0.8
# variance of an SMD given with its n, as a share of what n allows: adjusted and crossover designs reach half
VARIANCE = 0.4, 2.5
# an SD this many times below the lowest of the other rows of the instrument
BELOW = 2.0
# a ratio of SD to mean this many times the largest of the others is not one of scores
WIDER = 1.5
_SMD = frozenset({"SMD", "SMDH"})
_LOG_ODDS = frozenset({"OR"})


@dataclass(frozen=True, slots=True, eq=False)
class ExaminedRows:
    """The effects of one outcome with what the table says of each row.

    Parameters
    ----------
    y, se : array (k,)
        Effects in one direction.
    measure : str
        Of all of them.
    place : sequence of str
        Where each row stands.
    frame : pandas.DataFrame
        Its rows, with ``n_t mean_t sd_t n_c mean_c sd_c`` where they are known.
    given : bool or array of bool
        Whether ``y`` and ``se`` were given by the table rather than computed from its arms.

    Examples
    --------
    >>> rows = ExaminedRows(np.array([-2.4]), np.array([0.3]), "SMD", ["row 2"], pd.DataFrame({"study": ["A"]}))
    >>> [hit.evidence for hit in EFFECT_RULES[0].check(rows)]
    ['row 2: SMD -2.4']
    """

    y: FloatArray
    se: FloatArray
    measure: str
    place: Sequence[str]
    frame: pd.DataFrame
    given: object = False

    def number(self, name: str) -> FloatArray:
        """Return a column of the table as numbers."""
        return numbers_of(self.frame, name)

    def is_given(self) -> np.ndarray:
        """Return whether each row's effect was given by the table."""
        return np.broadcast_to(np.asarray(self.given, bool), self.y.shape)


_AT_ONCE = 1000


def left_out(y: FloatArray, se: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Predict every row from the others (random effects, DerSimonian and Laird).

    Parameters
    ----------
    y, se : array (k,)
        Effects, k at least 3.

    Returns
    -------
    mu, tau2, var : array (k,)
        Mean of the others, their variance between trials, and the variance of that mean.

    Examples
    --------
    >>> mu, tau2, var = left_out(np.array([9.0, 1.0, 1.0]), np.ones(3))
    >>> mu.tolist(), tau2.tolist(), var[0]
    ([1.0, 5.0, 5.0], [0.0, 31.0, 31.0], np.float64(0.5))
    """
    w = 1 / se**2
    w1, w2, wy, wyy = ((term.sum() - term) for term in (w, w**2, w * y, w * y**2))
    q = np.maximum(wyy - wy**2 / w1, 0)
    tau2 = np.maximum(q - (y.size - 2), 0) / (w1 - w2 / w1)
    mean, total = np.empty(y.size), np.empty(y.size)
    # a few rows at a time: all at once are the square of their number
    for start in range(0, y.size, _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, y.size))
        weights = 1 / (se[None, :] ** 2 + tau2[rows, None])
        weights[np.arange(rows.size), rows] = 0
        total[rows] = weights.sum(1)
        mean[rows] = (weights @ y) / total[rows]
    return mean, tau2, 1 / total


def _tail(distance: FloatArray, variance: FloatArray, k: int) -> FloatArray:
    """Return the two-sided p of a distance by Student's t with k - 2 degrees (k - 1 rows predict)."""
    return 2 * special.stdtr(k - 2, -np.abs(distance) / np.sqrt(variance))


def _extreme(rows: ExaminedRows) -> Iterator[Hit]:
    if rows.measure in _SMD:
        for i in np.flatnonzero(np.abs(rows.y) > EXTREME).tolist():
            evidence = f"{rows.place[i]}: {rows.measure} {rows.y[i]:.3g}"
            if abs(rows.y[i]) > IMPLAUSIBLE:
                asked = "Was a standard error given as an SD? Or does a total score stand beside an item's SD?"
                yield Hit(evidence, "warning", asked)
            else:
                yield Hit(evidence)


def _sd_is_se(rows: ExaminedRows) -> Iterator[Hit]:
    k = rows.y.size
    columns = [rows.number(name) for name in ("n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c")]
    n_t, mean_t, sd_t, n_c, mean_c, sd_c = columns
    whole = np.isfinite(np.array(columns)).all(0) & (sd_t > 0) & (sd_c > 0) & (n_t > 1) & (n_c > 1)
    found = set()
    if rows.measure in _SMD and k > FEWEST and whole.any():
        mu, tau2, var = left_out(rows.y, rows.se)
        with np.errstate(invalid="ignore", divide="ignore"):
            pooled = np.sqrt(((n_t - 1) * n_t * sd_t**2 + (n_c - 1) * n_c * sd_c**2) / (n_t + n_c - 2))
            smaller = np.sign(rows.y) * np.abs(mean_t - mean_c) / pooled
        allowed = rows.se**2 + tau2 + var
        odd = whole & ~_too_wide(rows, whole) & (np.abs(rows.y) > 1) & (_tail(rows.y - mu, allowed, k) < CONFLICT)
        for i in np.flatnonzero(odd & (_tail(smaller - mu, allowed, k) > FITS)).tolist():
            found.add(int(i))
            yield Hit(
                f"{rows.place[i]}: {rows.measure} {rows.y[i]:.3g} with SDs {sd_t[i]:g} and {sd_c[i]:g}; the others' "
                f"mean "
                f"is {shown(mu[i])}; read as standard errors they give {smaller[i]:.2g}"
            )
    instrument = texts_of(rows.frame, "instrument")
    with np.errstate(invalid="ignore"):
        level = np.where(whole, np.sqrt(np.abs(sd_t * sd_c)), np.nan)
    for i in np.flatnonzero(whole).tolist():
        others = [j for j in np.flatnonzero(whole) if j != i and instrument[j] and instrument[j] == instrument[i]]
        if len(others) < 4 or int(i) in found:
            continue
        low, high = level[others].min(), level[others].max()
        as_sd = level[i] * (n_t[i] * n_c[i]) ** 0.25
        if level[i] < low / BELOW and low / BELOW < as_sd < high * BELOW:
            yield Hit(
                f"{rows.place[i]}: SDs {sd_t[i]:g} and {sd_c[i]:g}, where {len(others)} other rows of {instrument[i]} "
                f"have "
                f"{shown(low)} to {shown(high)}; read as standard errors they give {shown(as_sd)}"
            )


def _too_wide(rows: ExaminedRows, whole: np.ndarray) -> np.ndarray:
    """Return rows whose SDs, read as standard errors, would be too large for their means, as scores go in the table."""
    n_t, mean_t, sd_t, n_c, mean_c, sd_c = (
        np.where(whole, rows.number(name), np.nan) for name in ("n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        variation = np.sqrt(sd_t * sd_c / np.abs(mean_t * mean_c))
        as_error = variation * (n_t * n_c) ** 0.25
    # changes have any ratio of SD to mean
    scores = bool(np.nanmedian(variation) < 1) if np.isfinite(variation).any() else False
    most = np.array([np.fmax.reduce(np.delete(variation, i), initial=0.0) for i in range(rows.y.size)])
    return (as_error > WIDER * most) & scores


def _flipped(rows: ExaminedRows) -> Iterator[Hit]:
    k = rows.y.size
    if k <= FEWEST:
        return
    mu, tau2, var = left_out(rows.y, rows.se)
    allowed = rows.se**2 + tau2 + var
    same = np.array([np.mean(np.sign(np.delete(rows.y, i)) == np.sign(mu[i])) for i in range(k)])
    agree = (same >= AGREE) & (np.abs(mu) > 2 * np.sqrt(var)) & (np.sign(rows.y) != np.sign(mu))
    odd, reversed_p = _tail(rows.y - mu, allowed, k), _tail(-rows.y - mu, allowed, k)
    for i in np.flatnonzero(agree & (odd < CONFLICT) & (reversed_p > FITS)).tolist():
        yield Hit(
            f"{rows.place[i]}: {rows.y[i]:.3g}, where the others have {shown(mu[i])} and {same[i]:.0%} of them its "
            f"sign "
            f"(p {odd[i]:.1g}); with the sign reversed p is {reversed_p[i]:.2g}"
        )


def _variance(rows: ExaminedRows) -> Iterator[Hit]:
    n_t, n_c = rows.number("n_t"), rows.number("n_c")
    known = rows.is_given() & (n_t > 0) & (n_c > 0) & (rows.se > 0)
    if rows.measure in _SMD:
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = 1 / n_t + 1 / n_c + rows.y**2 / (2 * (n_t + n_c))
            ratio = rows.se**2 / expected
        for i in np.flatnonzero(known & ((ratio < VARIANCE[0]) | (ratio > VARIANCE[1]))).tolist():
            what = f"SE {rows.se[i]:.3g} of {rows.measure} {rows.y[i]:.3g}, but n {n_t[i]:g} and {n_c[i]:g} give "
            yield Hit(f"{rows.place[i]}: {what}{math.sqrt(expected[i]):.3g}")
    elif rows.measure in _LOG_ODDS:
        # 1/a + 1/b + 1/c + 1/d is least where all four cells are equal
        for i in np.flatnonzero(known).tolist():
            least = 4 / math.sqrt(n_t[i] + n_c[i])
            if rows.se[i] < 0.98 * least:
                what = (
                    f"SE {rows.se[i]:.3g} of a log odds ratio, but {n_t[i] + n_c[i]:g} participants allow no less than "
                )
                yield Hit(f"{rows.place[i]}: {what}{least:.3g}", "error")


EFFECT_RULES = (
    Rule(
        "large effect",
        "info",
        "Is the standardised difference below 2?",
        "Check whether a standard error was given as an SD, or a total score stands beside an item's SD.",
        _extreme,
    ),
    Rule(
        "SE given as SD",
        "warning",
        "Do the SDs fit those of the other rows?",
        "Check in the report whether these are standard errors, and enter them as se_t and se_c if so.",
        _sd_is_se,
    ),
    Rule(
        "direction flipped",
        "warning",
        "Would the row fit the others with its sign reversed?",
        "Check the direction of the scale and which arm is which; leave it as it is if the report says so.",
        _flipped,
    ),
    Rule(
        "variance v participants",
        "warning",
        "Is the standard error what so many participants allow?",
        "Check n, and whether a variance, an SD or an SE of another scale was entered.",
        _variance,
    ),
)
