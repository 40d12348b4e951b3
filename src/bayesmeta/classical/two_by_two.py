"""Pooling two-by-two tables without a continuity correction: Mantel-Haenszel and Peto."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesmeta.classical.heterogeneity import chi2_sf
from bayesmeta.classical.intervals import check_level, interval
from bayesmeta.classical.printing import MeanResult
from bayesmeta.classical.rows import FloatArray
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError, find_name
from bayesmeta.measures import odds_ratio, require_null, risk_difference, risk_ratio

__all__ = ["CountMeasure", "MantelHaenszelFit", "PetoFit", "counts_of", "mantel_haenszel", "no_contrast", "peto"]

CountMeasure = Literal["OR", "RR", "RD"]
COUNT_MEASURES: tuple[CountMeasure, ...] = get_args(CountMeasure)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class MantelHaenszelFit(MeanResult):
    """A Mantel-Haenszel analysis. Undefined numbers are None, and `notes` says why.

    Beside what a `MeanResult` has, on the log scale for OR and RR.

    Attributes
    ----------
    measure : str
        OR, RR or RD.
    double_zero : int
        Tables without an event in either arm, or with one in everybody. For OR neither has weight; for RR those with
        an event in everybody have, and for RD both.
    q, q_df, q_p : float, int, float or None
        Heterogeneity: inverse-variance weighted squares about the estimate, 1/2 added to tables with a zero, and tables
        without a contrast left out, for RD too, as metafor does.
    cmh, cmh_p : float or None
        Cochran-Mantel-Haenszel test (OR only), chi2(1).
    breslow_day, breslow_day_p, tarone, tarone_p : float or None
        Tests of one odds ratio (OR only), chi2(homogeneity_df); Tarone's is the Breslow-Day test corrected.
    homogeneity_df : int or None
    """

    measure: CountMeasure
    double_zero: int
    q: float
    q_df: int
    q_p: float | None
    cmh: float | None
    cmh_p: float | None
    breslow_day: float | None
    breslow_day_p: float | None
    tarone: float | None
    tarone_p: float | None
    homogeneity_df: int | None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PetoFit(MeanResult):
    """Peto's one-step log odds ratio. Undefined numbers are None, and `notes` says why.

    Beside what a `MeanResult` has, on the log scale.

    Attributes
    ----------
    k, double_zero : int
        Number of tables, and of those without a contrast, which have no weight.
    q, q_df, q_p : float, int, float or None
        Heterogeneity among tables with a contrast.
    """

    double_zero: int
    q: float
    q_df: int
    q_p: float | None


def counts_of(source: Effects | ArrayLike) -> FloatArray:
    """Events and participants, treated arm then control, of effects or of an array of shape (k, 4).

    Raises
    ------
    ModelError
        If effects carry no counts, share patients between rows, or an array is not one of counts.

    Examples
    --------
    >>> counts_of([[4, 123, 11, 139]]).tolist()
    [[4.0, 123.0, 11.0, 139.0]]
    """
    source = getattr(source, "effects", source)
    if isinstance(source, Effects):
        if source.counts is None:
            raise ModelError("these effects carry no counts. Give events and participants of both arms.")
        require_null(source.measure, "two-by-two tables")
        # parts of a divided control group stand in one block and share no patients
        if any(np.count_nonzero(covariance) > len(rows) for rows, covariance in source.blocks):
            raise ModelError("rows that share patients (blocks) are not independent tables. Join or leave out arms.")
        return source.counts
    counts = np.array(source, dtype=float)
    if counts.ndim != 2 or counts.shape[1] != 4 or counts.shape[0] == 0:
        raise ModelError(f"counts: shape {counts.shape}; give events_t, n_t, events_c, n_c per row.")
    events, sizes = counts[:, [0, 2]], counts[:, [1, 3]]
    ok = np.isfinite(counts).all(axis=1) & (counts == np.round(counts)).all(axis=1)
    ok &= (events >= 0).all(axis=1) & (events <= sizes).all(axis=1) & (sizes > 0).all(axis=1)
    if not ok.all():
        listed = ", ".join(str(row + 1) for row in np.flatnonzero(~ok)[:10])
        raise ModelError(
            f"counts, rows {listed} (counted from 1): give whole numbers, events from 0 to the size of the arm."
        )
    return counts


def no_contrast(counts: FloatArray) -> NDArray[np.bool_]:
    """Tables without an event in either arm, or with an event in everybody: they know nothing of a ratio.

    Raises
    ------
    ModelError
        If the counts are not a table of events and participants of two arms.

    Examples
    --------
    >>> no_contrast(np.array([[0.0, 10, 0, 12], [1.0, 10, 0, 12]])).tolist()
    [True, False]
    """
    if counts.ndim != 2 or counts.shape[1] != 4:
        raise ModelError(f"counts of shape {counts.shape}: give events and participants of both arms, shape (k, 4).")
    events = counts[:, 0] + counts[:, 2]
    found: NDArray[np.bool_] = (events == 0) | (events == counts[:, 1] + counts[:, 3])
    return found


def mantel_haenszel(
    source: Effects | ArrayLike, *, measure: CountMeasure = "OR", correct: bool = True, level: float = 0.95
) -> MantelHaenszelFit:
    r"""Mantel-Haenszel pooling of odds ratios, risk ratios or risk differences, without a continuity correction.

    With a, b people with and without the event under treatment, c, d under control and N their sum:

    - OR: ``sum(ad/N) / sum(bc/N)``, variance of its logarithm by Robins, Breslow & Greenland (1986).
    - RR: ``sum(a n_c/N) / sum(c n_t/N)``, Greenland & Robins (1985).
    - RD: ``sum((a n_c - c n_t)/N) / sum(n_t n_c/N)``, variance by Sato, Greenland & Robins (1989).

    Parameters
    ----------
    source : Effects or array of shape (k, 4)
        Effects with counts, or events_t, n_t, events_c, n_c per row.
    measure : {"OR", "RR", "RD"}
    correct : bool
        Subtract 1/2 in the Cochran-Mantel-Haenszel test.
    level : float

    Returns
    -------
    MantelHaenszelFit

    Raises
    ------
    ModelError
        If the counts are not counts, or events are so few that the ratio is zero, infinite or not defined.

    References
    ----------
    Mantel & Haenszel 1959, doi:10.1093/jnci/22.4.719; Robins et al. 1986, doi:10.2307/2531052; Greenland & Robins 1985,
    doi:10.2307/2530643; Sato 1989, doi:10.2307/2531784; Tarone 1985, doi:10.1093/biomet/72.1.91. The definitions are
    those of metafor's ``rma.mh``.

    Examples
    --------
    >>> fit = mantel_haenszel([[4, 123, 11, 139], [6, 306, 29, 303], [3, 231, 11, 220]])
    >>> round(math.exp(fit.estimate), 4), round(fit.se, 4)
    (0.2433, 0.3155)
    """
    check_level(level)
    measure = find_name("measure of counts", measure, COUNT_MEASURES)
    counts = counts_of(source)
    a, n_t, c, n_c = counts.T
    b, d, n = n_t - a, n_c - c, n_t + n_c
    notes: tuple[str, ...] = ()
    cmh = cmh_p = bd = bd_p = tarone = tarone_p = None
    df: int | None = None
    if measure == "OR":
        p, q, r, s = (a + d) / n, (b + c) / n, a * d / n, b * c / n
        R, S = float(r.sum()), float(s.sum())
        if R == 0.0 or S == 0.0:
            raise ModelError(_undefined("odds ratio", R, S))
        estimate = math.log(R / S)
        se = math.sqrt(0.5 * ((p * r).sum() / R**2 + (p * s + q * r).sum() / (R * S) + (q * s).sum() / S**2))
        cmh, cmh_p = _cmh(counts, correct=correct)
        bd, tarone, df = _homogeneity(counts, R / S)
        if df > 0:
            bd_p, tarone_p = chi2_sf(bd, df), chi2_sf(tarone, df)
        else:
            notes += ("one table with a contrast: the homogeneity of odds ratios cannot be tested",)
    elif measure == "RR":
        R, S = float((a * n_c / n).sum()), float((c * n_t / n).sum())
        if R == 0.0 or S == 0.0:
            raise ModelError(_undefined("risk ratio", R, S))
        estimate = math.log(R / S)
        se = math.sqrt(float((n_t * n_c * (a + c) / n**2 - a * c / n).sum()) / (R * S))
    else:
        weight = float((n_t * n_c / n).sum())
        estimate = float(((a * n_c - c * n_t) / n).sum()) / weight
        first = ((c * n_t**2 - a * n_c**2) / n**2 + n_t * n_c * (n_c - n_t) / (2.0 * n**2)).sum()
        second = ((a * d + c * b) / n).sum() / 2.0
        se = math.sqrt(max(0.0, estimate * first + second)) / weight
    found = interval(estimate, se, level, None)
    if found.p is None:
        notes += ("no table has both events and people without: the SE is 0 and its test is not defined",)
    spent = no_contrast(counts)
    heterogeneity, q_df = _inverse_variance_q(counts, measure, estimate)
    if q_df == 0:
        notes += ("fewer than two tables with a contrast: heterogeneity cannot be tested",)
    if spent.any():
        silent = {"OR": spent, "RR": counts[:, 0] + counts[:, 2] == 0, "RD": np.zeros_like(spent)}[measure]
        notes += (
            f"{int(spent.sum())} without an event, or with one in everybody, in both arms: {int(silent.sum())} of them "
            "without weight, none in Q",
        )
    return MantelHaenszelFit(
        measure=measure,
        level=level,
        k=counts.shape[0],
        double_zero=int(spent.sum()),
        estimate=estimate,
        se=se,
        **found._asdict(),
        q=heterogeneity,
        q_df=q_df,
        q_p=chi2_sf(heterogeneity, q_df) if q_df > 0 else None,
        cmh=cmh,
        cmh_p=cmh_p,
        breslow_day=bd,
        breslow_day_p=bd_p,
        tarone=tarone,
        tarone_p=tarone_p,
        homogeneity_df=df,
        notes=notes,
    )


def _undefined(what: str, over: float, under: float) -> str:
    value = "not defined" if over == under == 0.0 else "zero" if over == 0.0 else "infinite"
    return (
        f"Mantel-Haenszel: the pooled {what} is {value}, too few events in these tables. "
        'Use measure="RD", Peto\'s method, or a Bayesian model with a binomial likelihood.'
    )


def _observed_expected(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Treated events beyond expectation, and their hypergeometric variance."""
    a, n_t, c, n_c = counts.T
    n, events = n_t + n_c, a + c
    return a - events * n_t / n, events * (n - events) * n_t * n_c / (n**2 * (n - 1.0))


def _cmh(counts: FloatArray, *, correct: bool) -> tuple[float, float]:
    excess, variance = _observed_expected(counts)
    # metafor does not stop the corrected difference at zero
    stat = float((abs(excess.sum()) - (0.5 if correct else 0.0)) ** 2 / variance.sum())
    return stat, chi2_sf(stat, 1)


def _homogeneity(counts: FloatArray, ratio: float) -> tuple[float, float, int]:
    """Breslow-Day and Tarone statistics at an odds ratio, and their degrees of freedom."""
    a, n_t, c, n_c = counts[~no_contrast(counts)].T
    events, n = a + c, n_t + n_c
    if ratio == 1.0:
        expected = events * n_t / n
    else:
        A = ratio * (n_t + events) + (n_c - events)
        # the smaller root without the cancellation of A - sqrt(A^2 - ...)
        expected = 2.0 * n_t * events * ratio / (A + np.sqrt(A**2 - 4.0 * n_t * events * ratio * (ratio - 1.0)))
    cells = (expected, n_t - expected, events - expected, n_c - events + expected)
    inverse = sum(1.0 / cell for cell in cells)
    excess = a - expected
    bd = float((excess**2 * inverse).sum())
    return bd, max(0.0, bd - float(excess.sum()) ** 2 / float((1.0 / inverse).sum())), a.size - 1


def _inverse_variance_q(counts: FloatArray, measure: CountMeasure, estimate: float) -> tuple[float, int]:
    kept = counts[~no_contrast(counts)]
    if not kept.size:
        return 0.0, 0
    formula = {"OR": odds_ratio, "RR": risk_ratio, "RD": risk_difference}[measure]
    found = formula(*kept.T, zero="half")
    return float((((found.y - estimate) / found.se) ** 2).sum()), kept.shape[0] - 1


def peto(source: Effects | ArrayLike, *, level: float = 0.95) -> PetoFit:
    """Peto's one-step log odds ratio: ``sum(O - E) / sum(V)`` with hypergeometric E and V.

    Good where events are rare, arms of similar size and effects small; biased elsewhere (Greenland & Salvan 1990,
    doi:10.1002/sim.4780090307).

    Parameters
    ----------
    source : Effects or array of shape (k, 4)
        As in `mantel_haenszel`.
    level : float

    Returns
    -------
    PetoFit

    Raises
    ------
    ModelError
        If no table has a contrast.

    References
    ----------
    Yusuf et al. 1985, doi:10.1016/S0033-0620(85)80003-7; as metafor's ``rma.peto``.

    Examples
    --------
    >>> fit = peto([[4, 123, 11, 139], [6, 306, 29, 303], [3, 231, 11, 220]])
    >>> round(fit.estimate, 4), round(fit.se, 4), fit.q_df
    (-1.2373, 0.2566, 2)
    """
    check_level(level)
    counts = counts_of(source)
    spent = no_contrast(counts)
    if spent.all():
        raise ModelError("Peto: no table has both an event and a person without one. Report the counts as they are.")
    excess, variance = (part[~spent] for part in _observed_expected(counts))
    estimate, se = float(excess.sum() / variance.sum()), float(variance.sum()) ** -0.5
    found = interval(estimate, se, level, None)
    q = max(0.0, float((excess**2 / variance).sum() - excess.sum() ** 2 / variance.sum()))
    df = int((~spent).sum()) - 1
    notes: tuple[str, ...] = ()
    if df == 0:
        notes += ("one table with a contrast: heterogeneity cannot be tested",)
    if spent.any():
        notes += (f"{int(spent.sum())} without an event, or with one in everybody, in both arms: without weight",)
    return PetoFit(
        level=level,
        k=counts.shape[0],
        double_zero=int(spent.sum()),
        estimate=estimate,
        se=se,
        **found._asdict(),
        q=q,
        q_df=df,
        q_p=chi2_sf(q, df) if df > 0 else None,
        notes=notes,
    )
