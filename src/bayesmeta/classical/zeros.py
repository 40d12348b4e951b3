"""What zero cells do to an answer: every policy and every method that needs none, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bayesmeta.classical.binomial import BinomialModel, BinomialNormalFit, binomial_normal
from bayesmeta.classical.intervals import check_level
from bayesmeta.classical.pooling import ClassicalFit, pool
from bayesmeta.classical.rows import FloatArray
from bayesmeta.classical.two_by_two import (
    COUNT_MEASURES,
    CountMeasure,
    MantelHaenszelFit,
    PetoFit,
    counts_of,
    mantel_haenszel,
    no_contrast,
    peto,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import InferenceError, ModelError, find_name
from bayesmeta.measures import ZERO_POLICIES, odds_ratio, risk_difference, risk_ratio

__all__ = ["ZERO_COLUMNS", "zero_cell_table"]

ZERO_COLUMNS = ("method", "policy", "k", "double_zero", "estimate", "se", "lower", "upper", "p", "tau", "note")
FORMULAS = {"OR": odds_ratio, "RR": risk_ratio, "RD": risk_difference}
GLMM: tuple[BinomialModel, ...] = ("CM.EL", "UM.FS")
# A variance that rounding alone keeps from zero, as in `measures.counts`.
TINY = 1e-12
COMMON = "common effect, no tau"

Line = dict[str, Any]


def zero_cell_table(
    source: Effects | ArrayLike, measure: CountMeasure | None = None, *, level: float = 0.95
) -> pd.DataFrame:
    """Pool counts under every policy for zero cells, and by the methods that need none.

    Inverse-variance REML with the Hartung-Knapp interval under each of `measures.ZERO_POLICIES`; Mantel-Haenszel; for
    odds ratios also Peto and the binomial-normal models CM.EL and UM.FS. Where tables have no event, or one in
    everybody, in both arms, with them and without, as far as they have weight.

    Parameters
    ----------
    source : Effects or array of shape (k, 4)
        Effects with counts, or events_t, n_t, events_c, n_c per row.
    measure : {"OR", "RR", "RD"}, optional
        Default: that of the effects, else OR.
    level : float

    Returns
    -------
    DataFrame
        ``method policy k double_zero estimate se lower upper p tau note``, on the log scale for OR and RR. `k` counts
        the tables used; `double_zero` says whether tables without a contrast are "in" or "out", "none" where there are
        none. What is not defined is nan, and `note` says why.

    References
    ----------
    Sweeting, Sutton & Lambert 2004, doi:10.1002/sim.1761; Bradburn et al. 2007, doi:10.1002/sim.2528.

    Examples
    --------
    >>> table = zero_cell_table([[14, 61, 15, 20], [16, 28, 19, 28], [3, 18, 8, 12], [0, 50, 3, 34]])
    >>> table[["method", "policy", "k"]].values.tolist()[2:5]
    [['REML + HKSJ', 'treatment_arm', 4], ['REML + HKSJ', 'none', 3], ['Mantel-Haenszel', 'none', 4]]
    """
    check_level(level)
    source = getattr(source, "effects", source)
    if measure is None:
        measure = "OR"
        if isinstance(source, Effects):
            measure = next((known for known in COUNT_MEASURES if known == source.measure), "OR")
    measure = find_name("measure of counts", measure, COUNT_MEASURES)
    try:
        counts = counts_of(source)
    except ModelError as error:
        k = source.k if isinstance(source, Effects) else 0
        return pd.DataFrame([_line("none possible", "none", k, "none", _blank(str(error)))], columns=list(ZERO_COLUMNS))
    spent = no_contrast(counts)
    chosen = {"in": np.ones_like(spent), "out": ~spent} if spent.any() else {"none": np.ones_like(spent)}
    lines: list[Line] = []

    def add(method: str, policy: str, label: str, used: FloatArray, answer: Callable[[FloatArray], Line]) -> None:
        lines.append(_line(method, policy, used.shape[0], label, _attempt(answer, used)))

    for policy in ZERO_POLICIES:
        for label, rows in chosen.items():
            if policy == "none" and label == "in":
                continue  # without a correction they have no standard error: the line that follows is the same
            used, left_out = counts[rows], ""
            if policy == "none":
                defined = _defined(used, measure)
                if not defined.all():
                    left_out = f"left out for want of an estimate or standard error: {int((~defined).sum())}"
                used = used[defined]
            add("REML + HKSJ", policy, label, used, partial(_inverse_variance, measure, policy, level))
            lines[-1]["note"] = "; ".join(part for part in (left_out, lines[-1]["note"]) if part)
    for label, rows in chosen.items():
        if measure == "OR" and label == "in":
            continue  # they have no weight
        add("Mantel-Haenszel", "none", label, counts[rows], partial(_mantel_haenszel, measure, level))
    if measure == "OR":
        label = "out" if spent.any() else "none"
        add("Peto", "none", label, counts[~spent], partial(_peto, level))
        for model in GLMM:
            add(f"binomial-normal {model}", "none", label, counts[~spent], partial(_mixed, model, level))
    return pd.DataFrame(lines, columns=list(ZERO_COLUMNS))


def _line(method: str, policy: str, k: int, double_zero: str, found: Line) -> Line:
    return {"method": method, "policy": policy, "k": k, "double_zero": double_zero, **found}


def _blank(note: str) -> Line:
    return {**dict.fromkeys(("estimate", "se", "lower", "upper", "p", "tau"), np.nan), "note": note}


def _attempt(answer: Callable[[FloatArray], Line], counts: FloatArray) -> Line:
    if not counts.shape[0]:
        return _blank("no table is left")
    try:
        return answer(counts)
    except (ModelError, InferenceError) as error:
        return _blank(str(error))


def _defined(counts: FloatArray, measure: CountMeasure) -> np.ndarray:
    """Tables whose estimate and standard error exist as they are."""
    a, n_t, c, n_c = counts.T
    b, d = n_t - a, n_c - c
    if measure == "OR":
        return np.asarray((a > 0) & (b > 0) & (c > 0) & (d > 0))
    if measure == "RR":
        return np.asarray((a > 0) & (c > 0) & (b + d > 0))
    return np.asarray(a * b / n_t**3 + c * d / n_c**3 > TINY)


def _inverse_variance(measure: CountMeasure, policy: str, level: float, counts: FloatArray) -> Line:
    found = FORMULAS[measure](*counts.T, zero=policy)
    trials = Effects([str(i) for i in range(found.y.size)], found.y, found.se, measure=measure)
    try:
        fit = pool(trials, method="REML", ci="hksj", level=level)
    except ModelError as error:
        if trials.k > 1:
            raise
        raise ModelError("one table is left: it says nothing about how trials differ.") from error
    return _numbers(fit, math.sqrt(fit.tau2), [note for note in fit.notes if not note.startswith("prediction")])


def _mantel_haenszel(measure: CountMeasure, level: float, counts: FloatArray) -> Line:
    fit = mantel_haenszel(counts, measure=measure, level=level)
    return _numbers(fit, np.nan, (COMMON, *fit.notes))


def _peto(level: float, counts: FloatArray) -> Line:
    fit = peto(counts, level=level)
    return _numbers(fit, np.nan, (COMMON, *fit.notes))


def _mixed(model: BinomialModel, level: float, counts: FloatArray) -> Line:
    fit = binomial_normal(counts, model=model, level=level)
    return _numbers(fit, math.sqrt(fit.tau2), fit.notes)


def _numbers(
    fit: ClassicalFit | MantelHaenszelFit | PetoFit | BinomialNormalFit, tau: float, notes: Sequence[str]
) -> Line:
    return {
        "estimate": fit.estimate,
        "se": fit.se,
        "lower": fit.lower,
        "upper": fit.upper,
        "p": np.nan if fit.p is None else fit.p,
        "tau": tau,
        "note": "; ".join(notes),
    }
