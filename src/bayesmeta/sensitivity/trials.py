"""Fewer trials: each left out in turn, and added one at a time; every refit is exact."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.classical import pool_check
from bayesmeta.columns import columns_of, unprinted
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, distributions, exactly, fit_many, predict_left_out
from bayesmeta.measures import measure
from bayesmeta.model import Model
from bayesmeta.nuts import units_of
from bayesmeta.plan import Threshold
from bayesmeta.sensitivity.section import Computed, Fold, Section, answers_of
from bayesmeta.sensitivity.verdicts import (
    Answer,
    alike,
    answer_of,
    answers,
    compared,
    concluded,
    left_out,
    other_conclusion,
    shows,
    span,
    written,
)

__all__ = ["cumulative_fits_table", "leave_one_out"]

FloatArray = NDArray[np.float64]
#: Refits that are held at once: more gain nothing, and each holds all rows.
_TOGETHER = 64


def leave_one_out(main: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Leave each trial out, refit exactly, and predict its rows jointly.

    A trial leaves with all rows that share its patients. The refit has nodes of its own: nodes of the full fit can
    miss the posterior without the trial, and doubling them would never show it.

    Returns
    -------
    pandas.DataFrame
        One line per trial. Columns ``left_out rows mu lower upper tau new_lower new_upper p_below_null
        log_predictive p_value classical_estimate classical_lower classical_upper classical_tau``: the summary without
        the trial; the exact log predictive density of its rows given the others; the two-sided predictive p-value of
        its estimate (of the inverse-variance mean of its rows, where it has several); and REML with the
        Hartung-Knapp interval of the same rows, not a number where those do not allow it.
        ``DataFrame.attrs["elpd"]`` is the sum of the log predictive densities, not a number where a line has none;
        such a line says why under ``note``.

    Raises
    ------
    ModelError
        With fewer than two trials.

    References
    ----------
    Vehtari A, Gelman A, Gabry J. Stat Comput 2017;27:1413-1432. doi:10.1007/s11222-016-9696-4
    """
    names, unit = units_of(main.effects)
    if len(names) < 2:
        raise ModelError("leave-one-out needs at least two trials.")
    exactly(main, "leave-one-out")
    rows: list[dict[str, object]] = []
    for start in range(0, len(names), _TOGETHER):
        rows += _left_out(main, names, unit, range(start, min(start + _TOGETHER, len(names))), level)
    frame = pd.DataFrame(rows)
    frame["level"], frame["interval"] = level, "central"
    # a trial that could not be predicted leaves the sum undefined, not smaller
    frame.attrs["elpd"] = float(frame["log_predictive"].sum(skipna=False)) if "log_predictive" in frame else math.nan
    return frame


def _left_out(
    main: Fit, names: Sequence[str], unit: NDArray[np.intp], numbers: Sequence[int], level: float
) -> list[dict[str, object]]:
    """Lines of some trials, each left out in turn."""
    outs = [unit == number for number in numbers]
    tasks = [(main.effects.subset(~out), main.model) for out in outs]
    found: list[tuple[Fit, float, float] | ModelError] = []
    for out, rest in zip(outs, fit_many(tasks, outcome=main.outcome), strict=True):
        try:
            if isinstance(rest, ModelError):
                raise rest
            found.append((rest, *predict_left_out(rest, main.effects.subset(out), _rows_for(main, rest, out))))
        except ModelError as error:
            found.append(error)
    answers = iter(_answers([item[0] for item in found if isinstance(item, tuple)], level))
    rows = []
    for number, out, item in zip(numbers, outs, found, strict=True):
        row: dict[str, object] = {"left_out": names[number], "rows": int(out.sum())}
        if isinstance(item, ModelError):
            rows.append({**row, "note": str(item)})
            continue
        rest, log_density, p_value = item
        row |= {**next(answers), "log_predictive": log_density, "p_value": p_value}
        rows.append({**row, **classical_beside(rest.effects, main.model.rho, level), "note": ""})
    return rows


def _answers(fits: Sequence[Fit], level: float) -> list[dict[str, float]]:
    """Summaries of each refit: mean, heterogeneity, a new study, and the probability of a mean below zero."""
    below = distributions(fits, "mu", np.zeros(1))[:, 0].tolist()
    if fits and measure(fits[0].effects.measure).single_arm:
        below = [math.nan] * len(fits)
    return [{**answer, "p_below_null": p} for answer, p in zip(answers_of(fits, level), below, strict=True)]


def _rows_for(main: Fit, rest: Fit, out: NDArray[np.bool_]) -> FloatArray:
    """Design rows of the left-out estimates in the basis of the refit, whose centres differ from the full fit's."""
    indices = np.flatnonzero(out)
    if not rest.design.factors:
        return np.ones((indices.size, 1))
    rows = []
    for index in indices:
        at = {name: main.effects.moderators[name][index] for name in rest.design.factors}
        rows.append(rest.design.profile(at))
    return np.array(rows)


def classical_beside(effects: Effects, rho: float, level: float) -> dict[str, float]:
    """The classical check of some rows (`bayesmeta.classical.pool_check`); not a number where they do not allow it."""
    try:
        found = pool_check(effects, level=level, rho=rho)
    except ModelError:
        values = [math.nan] * 4
    else:
        values = [found.estimate, found.lower, found.upper, math.sqrt(found.tau2)]
    return dict(zip(("classical_estimate", "classical_lower", "classical_upper", "classical_tau"), values, strict=True))


def cumulative_fits_table(
    effects: Effects, model: Model, order: Sequence[str] | None = None, *, level: float = LEVEL
) -> pd.DataFrame:
    """Add trials one at a time and refit exactly.

    Parameters
    ----------
    order : sequence of str, optional
        Trials in the order they enter; default the order of the rows.

    Returns
    -------
    pandas.DataFrame
        Columns ``added k mu lower upper tau p_below_null classical_estimate classical_lower classical_upper
        classical_tau``; a line where the posterior is improper says so in ``note``.

    Raises
    ------
    ModelError
        If ``order`` does not name every trial once.
    """
    names, unit = units_of(effects)
    sequence = list(order) if order is not None else list(names)
    unknown = [name for name in sequence if name not in names]
    if unknown or len(set(sequence)) != len(names):
        raise ModelError(
            f"order must name every trial once; {unknown or 'some trials'} do not fit. Trials: {', '.join(names)}."
        )
    place = np.array([sequence.index(name) for name in names])[unit]
    rows: list[dict[str, object]] = []
    for start in range(0, len(sequence), _TOGETHER):
        steps = range(start, min(start + _TOGETHER, len(sequence)))
        sets = [effects.subset(place <= step) for step in steps]
        found = fit_many([(some, model) for some in sets])
        answers = iter(_answers([item for item in found if isinstance(item, Fit)], level))
        for step, some, item in zip(steps, sets, found, strict=True):
            row: dict[str, object] = {"added": sequence[step], "k": some.k}
            if isinstance(item, ModelError):
                rows.append({**row, "note": str(item)})
                continue
            answer = {key: value for key, value in next(answers).items() if not key.startswith("new_")}
            rows.append({**row, **answer, **classical_beside(some, model.rho, level), "note": ""})
    frame = pd.DataFrame(rows)
    frame["level"], frame["interval"] = level, "central"
    return frame


_ANSWER = (*columns_of("effect", mu="mean", lower="lower", upper="upper"), *columns_of("number", tau="tau"))
_CLASSICAL = (
    *columns_of("effect", classical_estimate="REML", classical_lower="lower", classical_upper="upper"),
    *unprinted(number="classical_tau", text="note interval"),
    *unprinted(number="level"),
)


def _carried(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    found = answers(table, "left_out")
    if not found:
        return "No trial could be left out with these data and this model."
    main = answer_of(fit, "with all trials")
    many = len(other_conclusion(fit, threshold, main, found)) > 1
    said = compared(
        fit,
        threshold,
        main,
        found,
        kept="No trial carries it: without any one trial",
        lost="Single trials decide it:" if many else "One trial decides it:",
        by="without",
        with_main=False,
    )
    return f"{said} {left_out(table, found, 'trial')}".strip()


def _uncarried(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> list[bool]:
    """Trials without which the conclusion stays, but for the two that move the mean furthest in each direction."""
    same = alike(fit, table, threshold, answer_of(fit, ""))
    mu = table["mu"].astype(float)
    return (same & (mu > mu.min()) & (mu < mu.max())).tolist()


def _history(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    found = answers(table, "added")
    if not found:
        return "No step could be computed with these data."
    last = concluded(fit, threshold, found[-1])
    start = len(found)
    while start and concluded(fit, threshold, found[start - 1]) == last:
        start -= 1
    words = shows(fit, threshold, found[-1])
    if len(found) == 1:
        return f"There is one trial: its interval shows {words} ({written(fit, found[0])})."
    if start == 0:
        return f"From the first trial on the interval shows {words}; the mean lies {span(fit, found)}."
    place = [str(name) for name in table["added"]].index(found[start].name) + 1
    if start == len(found) - 1:
        before = found[start - 1]
        return (
            f"The last trial, {found[start].name}, changed the conclusion: the interval shows {words} "
            f"({written(fit, found[-1])}), before it {shows(fit, threshold, before)} ({written(fit, before)})."
        )
    return (
        f"The interval has shown {words} since {found[start].name} was added, trial {place} of {len(table)}; since "
        f"then the mean lies {span(fit, found[start:])}."
    )


def _steady(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> list[bool]:
    """Steps between the first and the last after which the conclusion is that of the step before."""
    said = [
        concluded(fit, threshold, Answer("", *line)) if np.isfinite(line).all() else ""
        for line in table[["mu", "lower", "upper"]].to_numpy(float).tolist()
    ]
    inner = [said[i] != "" and said[i] == said[i - 1] for i in range(1, len(said) - 1)]
    return [False, *inner, False][: len(said)]


LEAVE_ONE_OUT = Section(
    "leave-one-out",
    "Does one trial carry it?",
    lambda fit, options: Computed(leave_one_out(fit, level=options.level)),
    (
        *columns_of("text", left_out="without"),
        *unprinted(count="rows"),
        *_ANSWER,
        *unprinted(number="new_lower new_upper log_predictive", probability="p_below_null"),
        *columns_of("p", p_value="pred. p"),
        *_CLASSICAL,
    ),
    "Exact refits; pred. p: two-sided, of the trial's own estimate given the others. REML: with the Hartung-Knapp "
    "interval.",
    references=("vehtari2017",),
    verdict=_carried,
    fold=Fold(_uncarried, "the conclusion stays, and others move the mean further in the same direction", "mu"),
)
CUMULATIVE = Section(
    "cumulative",
    "How did it come about?",
    lambda fit, options: Computed(cumulative_fits_table(fit.effects, fit.model, options.order, level=options.level)),
    (
        *columns_of("text", added="adding"),
        *columns_of("count", k="k"),
        *_ANSWER,
        *unprinted(probability="p_below_null"),
        *_CLASSICAL,
    ),
    "Exact refits as trials are added. REML: with the Hartung-Knapp interval.",
    verdict=_history,
    fold=Fold(_steady, "the conclusion is that of the step before", "mu"),
)
