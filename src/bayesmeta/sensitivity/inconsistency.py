"""Inconsistency against thresholds: on which side trials lie, not how small a p-value is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from bayesmeta.columns import columns_of, names_of, plural, unprinted
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit, distribution, marginal
from bayesmeta.measures import require_null
from bayesmeta.numerics import interval_ends
from bayesmeta.plan import Threshold
from bayesmeta.questions import direction, resolve_thresholds, study_table, summarize
from bayesmeta.sensitivity.section import Computed, Section, SectionOptions

__all__ = ["SURE", "across_trials_index", "decision_index", "inconsistency_table", "side_table"]

FloatArray = NDArray[np.float64]
COLUMNS = (
    *columns_of("text", threshold="threshold"),
    *unprinted(number="benefit worse", count="k"),
    *columns_of("share", estimates_benefit="estimates"),
    *unprinted(share="estimates_trivial estimates_harm"),
    *columns_of("share", theta_benefit="true effects"),
    *unprinted(share="theta_trivial theta_harm"),
    *columns_of("count", sure_benefit="sure"),
    *unprinted(count="sure_trivial sure_harm"),
    *columns_of("number", di="DI", asi="ASI"),
    *unprinted(number="di_estimates asi_estimates"),
    *columns_of("number", tau_units="tau/M", tau_units_lower="lower", tau_units_upper="upper"),
    *unprinted(number="new_lower new_upper"),
    *columns_of("count", new_crosses="PI crosses"),
    *unprinted(share="overlap", number="level"),
)
#: A trial is called on one side of a threshold from this probability on; a convention.
SURE = 0.95


def decision_index(shares: ArrayLike) -> float:
    """Decision Inconsistency index in percent: 0 where all is in one category, 100 where all are equally likely.

    ``DI = 100 (1 - sum_c |1/C - p_c| / (2 (C - 1) / C))`` with p_c the average share of category c over trials.

    Parameters
    ----------
    shares : array_like, shape (trials, categories)
        Each trial's probabilities of the categories, which sum to one.

    References
    ----------
    Sousa-Pinto B et al., R package metainc 0.2-1, doi:10.32614/CRAN.package.metainc

    Examples
    --------
    >>> decision_index([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), round(decision_index([[1, 1, 1]] / np.array(3.0)), 9)
    (0.0, 100.0)
    """
    p = _checked(shares).mean(axis=0)
    categories = p.size
    return float(100 * max(0.0, 1 - 0.5 * np.abs(1 / categories - p).sum() / ((categories - 1) / categories)))


def across_trials_index(shares: ArrayLike) -> float:
    """Across-Studies Inconsistency index in percent: Cramer's V between trials and categories.

    ``V^2 = (1/N) sum_ic (p_ic - pbar_c)^2 / pbar_c / min(N - 1, C - 1)``, which is what metainc estimates from equally
    many draws of each trial; here the shares are exact.

    Parameters
    ----------
    shares : array_like, shape (trials, categories)

    Returns
    -------
    float
        0 where every trial has the same shares, 100 where each trial lies in one category and as many categories are
        used as there are, or as there are trials; not a number for one trial.

    References
    ----------
    Sousa-Pinto B et al., R package metainc 0.2-1, doi:10.32614/CRAN.package.metainc

    Examples
    --------
    >>> across_trials_index(np.eye(3)), across_trials_index([[0.2, 0.8], [0.2, 0.8]])
    (100.0, 0.0)
    """
    p = _checked(shares)
    trials, categories = p.shape
    if trials < 2:
        return math.nan
    average = p.mean(axis=0)
    used = average > 0
    squared = float((np.square(p[:, used] - average[used]) / average[used]).sum()) / trials
    return float(100 * math.sqrt(max(squared, 0.0) / min(trials - 1, categories - 1)))


def _checked(shares: ArrayLike) -> FloatArray:
    p = np.array(shares, dtype=float)
    if p.ndim != 2 or p.shape[1] < 2 or (p < -1e-9).any() or (abs(p.sum(axis=1) - 1) > 1e-6).any():
        raise ModelError(f"shares: shape {p.shape}; give one row per trial whose two or more shares sum to one.")
    return np.maximum(p, 0.0)


def _numeric(fit: Fit, thresholds: Threshold | float | Sequence[Threshold | float] | None) -> list[Threshold]:
    found = [
        item
        for item in resolve_thresholds(fit, thresholds)
        if isinstance(item.benefit_distance, (int, float)) and isinstance(item.worse_distance, (int, float))
    ]
    if not found:
        raise ModelError("no threshold that is a number is stated: give one, for example 0.5 for an SMD.")
    return sorted(found, key=lambda item: (not item.primary, float(item.benefit_distance)))  # type: ignore[arg-type]


def _cuts(items: Sequence[Threshold]) -> FloatArray:
    """Cut points in the direction of benefit, ascending: harms below zero, benefits above."""
    return np.array(
        sorted({*(-float(item.worse_distance) for item in items), *(float(item.benefit_distance) for item in items)})  # type: ignore[arg-type]
    )


def _shares(fit: Fit, cuts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Each estimate's probability of every category, from its posterior and from the estimate alone; worst first."""
    sign = direction(fit)
    posterior = []
    for label in fit.effects.label:
        above = distribution(fit, f"theta[{label}]", sign * cuts, upper=sign > 0)
        posterior.append(-np.diff(np.concatenate([[1.0], above, [0.0]])))
    z = (sign * fit.effects.y[:, None] - cuts) / fit.effects.se[:, None]
    alone = special.ndtr(z)
    edges = np.ones((fit.effects.k, 1))
    return np.array(posterior), -np.diff(np.hstack([edges, alone, 0 * edges]), axis=1)


def inconsistency_table(
    fit: Fit, thresholds: Threshold | float | Sequence[Threshold | float] | None = None, *, level: float = LEVEL
) -> pd.DataFrame:
    """Where trials lie relative to each threshold, and how large tau is in its units.

    Parameters
    ----------
    fit : Fit
        With a direction.
    thresholds : Threshold, float or several of them, optional
        Default: those of the fit's outcome; those that are ranges or distributions are passed over.
    level : float
        Of the interval of tau and of the prediction interval.

    Returns
    -------
    pandas.DataFrame
        One row per threshold, the primary one first, and one for all of them together where there are several.
        Columns ``threshold benefit worse k``; ``estimates_benefit estimates_trivial estimates_harm``: shares of the
        k point estimates; ``theta_benefit theta_trivial theta_harm``: average posterior probability of the true effects
        behind them; ``sure_benefit sure_trivial sure_harm``: how many of them have a probability of 0.95 or more;
        ``di asi``: the indices from the posterior of theta, in percent; ``di_estimates asi_estimates``: from the
        estimates alone, as metainc has them; ``tau_units tau_units_lower tau_units_upper``: tau in units of the
        threshold of benefit; ``new_lower new_upper``: the prediction interval in these units, in the direction of
        benefit; ``new_crosses``: how many of the two thresholds it crosses; ``overlap``: the share of pairs of
        estimates whose confidence intervals overlap; ``level``. In the line of all thresholds only ``k``, the indices
        and ``overlap`` are filled: the rest belongs to one threshold.

    Raises
    ------
    ModelError
        Without a direction or a threshold that is a number.

    References
    ----------
    GRADE guidance 36: doi:10.1016/j.jclinepi.2023.03.003. Indices: doi:10.32614/CRAN.package.metainc

    Examples
    --------
    >>> mid = bm.threshold(0.25, measure_name="SMD", better="lower")
    >>> table = inconsistency_table(fit, [mid])
    >>> table.loc[0, ["estimates_benefit", "estimates_trivial"]].tolist()
    [0.5, 0.5]
    """
    require_null(fit.effects.measure, "inconsistency across a threshold of benefit")
    items = _numeric(fit, thresholds)
    summary = summarize(fit, level=level)
    tau = np.zeros(3)
    if fit.model.tau is not None:
        tau = np.asarray(marginal(fit, "tau").quantile(interval_ends(level)))
    sign = direction(fit)
    new = np.sort(sign * summary.loc["theta_new", ["lower", "upper"]].to_numpy(float))
    lines = study_table(fit, level=level)
    low, high = lines["lower"].to_numpy(float), lines["upper"].to_numpy(float)
    k = fit.effects.k
    meets = (low[:, None] <= high) & (low <= high[:, None])
    overlap = float((meets.sum() - k) / (k * (k - 1))) if k > 1 else math.nan
    rows = []
    groups: list[tuple[str, list[Threshold]]] = [(item.name, [item]) for item in items]
    if len(items) > 1:
        groups.append(("all thresholds", items))
    for name, members in groups:
        posterior, alone = _shares(fit, _cuts(members))
        row: dict[str, object] = {"threshold": name, "k": k}
        row |= {"di": decision_index(posterior), "asi": across_trials_index(posterior)}
        row |= {"di_estimates": decision_index(alone), "asi_estimates": across_trials_index(alone)}
        if len(members) == 1:
            benefit, worse = float(members[0].benefit_distance), float(members[0].worse_distance)  # type: ignore[arg-type]
            y = sign * fit.effects.y
            row |= {"benefit": benefit, "worse": worse}
            row |= {
                "estimates_benefit": float((y >= benefit).mean()),
                "estimates_trivial": float(((y < benefit) & (y > -worse)).mean()),
                "estimates_harm": float((y <= -worse).mean()),
            }
            for words, column in (("benefit", 2), ("trivial", 1), ("harm", 0)):
                row[f"theta_{words}"] = float(posterior[:, column].mean())
                row[f"sure_{words}"] = int((posterior[:, column] >= SURE).sum())
            row |= {
                "tau_units_lower": tau[0] / benefit,
                "tau_units": tau[1] / benefit,
                "tau_units_upper": tau[2] / benefit,
            }
            row |= {"new_lower": new[0] / benefit, "new_upper": new[1] / benefit}
            row["new_crosses"] = int(new[0] < benefit < new[1]) + int(new[0] < -worse < new[1])
        rows.append({**row, "overlap": overlap})
    frame = pd.DataFrame(rows).reindex(columns=names_of(COLUMNS))
    for count in ("sure_benefit", "sure_trivial", "sure_harm", "new_crosses"):
        frame[count] = frame[count].astype("Int64")
    frame["level"] = level
    return frame


def side_table(fit: Fit, threshold: Threshold | float | None = None) -> pd.DataFrame:
    """Each estimate's posterior probability of lying on each side of one threshold.

    Parameters
    ----------
    fit : Fit
        With a direction.
    threshold : Threshold or float, optional
        Default: the primary one of the fit's outcome, where it is a number, else the smallest that is.

    Returns
    -------
    pandas.DataFrame
        Columns ``label study y se p_important_benefit p_trivial p_important_harm`` and ``side``: the side with a
        probability of 0.95 or more, else "unclear".

    Examples
    --------
    >>> far_apart = bm.Effects(["A", "B"], [-0.9, -0.1], [0.1, 0.1], measure="SMD", better="lower")
    >>> mid = bm.threshold(0.5, measure_name="SMD", better="lower")
    >>> side_table(bm.fit(far_apart, model), mid)["side"].tolist()
    ['important benefit', 'trivial']
    """
    require_null(fit.effects.measure, "sides of a threshold of benefit")
    item = _numeric(fit, threshold)[0]
    posterior, _ = _shares(fit, _cuts([item]))
    sides = ("important harm", "trivial", "important benefit")
    frame = pd.DataFrame(
        {"label": fit.effects.label, "study": fit.effects.study, "y": fit.effects.y, "se": fit.effects.se}
    )
    for words, column in (("p_important_benefit", 2), ("p_trivial", 1), ("p_important_harm", 0)):
        frame[words] = posterior[:, column]
    best = posterior.argmax(axis=1)
    frame["side"] = [sides[i] if row[i] >= SURE else "unclear" for i, row in zip(best, posterior, strict=True)]
    return frame


def _computed(fit: Fit, options: SectionOptions) -> Computed:
    # every threshold of the fit's outcome, unless one is given
    stated = None if options.threshold is None else [options.threshold]
    return Computed(inconsistency_table(fit, stated, level=options.level))


def _sides(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    """Of the first line, which is the primary threshold's."""
    line: Any = table.iloc[0]
    k = int(line["k"])
    counts = {
        words: round(k * float(line[f"estimates_{side}"]))
        for side, words in (
            ("benefit", "beyond the threshold of an important benefit"),
            ("trivial", "between the thresholds"),
            ("harm", "beyond that of an important harm"),
        )
    }
    sides = {words: count for words, count in counts.items() if count}
    if k == 1:
        start = f"There is one estimate, {next(iter(sides))}"
    elif len(sides) == 1:
        start = f"All {k} estimates lie {next(iter(sides))}"
    else:
        start = f"Estimates lie on {len(sides)} sides: " + ", ".join(f"{n} {words}" for words, n in sides.items())
    crosses = int(line["new_crosses"])
    new = (
        "one side alone: its interval crosses no threshold"
        if not crosses
        else (f"{crosses + 1} sides: its interval crosses {plural(crosses, 'threshold')}")
    )
    return f"{start} ({line['threshold']}). The true effect in a new study may lie on {new}."


SECTION = Section(
    "inconsistency",
    "On which side of the threshold do trials lie?",
    _computed,
    COLUMNS,
    "Estimates, and true effects of these trials, beyond the threshold of benefit; sure: trials with a probability of "
    "95 % or more. DI, ASI: decision and across-trial inconsistency, 0 to 100, from the posterior. tau/M: tau in units "
    "of the threshold. PI crosses: thresholds that the prediction interval crosses.",
    verdict=_sides,
    at_threshold=True,
)
