"""Other priors, other models, fewer trials: every variation is an exact refit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bayesmeta.decision import benefit_table
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.hierarchy import units_of
from bayesmeta.inference import fit
from bayesmeta.model import Model
from bayesmeta.outcome import Threshold
from bayesmeta.posterior import LEVEL, contrast_table, probability, summarize
from bayesmeta.problem import left_out_covariance
from bayesmeta.result import Fit

__all__ = ["contrast_variations", "cumulative_table", "leave_one_out", "prior_range", "variation_table"]

FloatArray = NDArray[np.float64]


def _mean_and_tau(table: pd.DataFrame) -> dict[str, object]:
    """The mean effect with its interval, and the heterogeneity, from a summary."""
    mu = table.loc["mu"]
    tau = table.loc["tau", "median"] if "tau" in table.index else 0.0
    return {"mu": mu["median"], "lower": mu["lower"], "upper": mu["upper"], "tau": tau}


def variation_table(
    fits: Mapping[str, Fit], thresholds: Sequence[Threshold] | None = None, *, level: float = LEVEL
) -> pd.DataFrame:
    """Compare fits of one outcome under different assumptions, one line each.

    Parameters
    ----------
    fits : mapping of str to Fit
        The first is the main analysis.
    thresholds : sequence of Threshold, optional
        The first of them is used; default the primary one of the main fit's outcome.

    Returns
    -------
    pandas.DataFrame
        Columns ``analysis k mu lower upper tau new_lower new_upper p_any_benefit p_important_benefit
        p_important_harm p_any_benefit_new p_important_benefit_new p_important_harm_new log_evidence change``;
        ``change`` is the shift of the median of mu from the main analysis in its posterior SDs. Without a direction
        or threshold the probabilities are left out.
    """
    if not fits:
        raise ModelError("there is no fit to compare; give at least one.")
    main = next(iter(fits.values()))
    if thresholds is None:
        stated = main.outcome.thresholds if main.outcome is not None else ()
        primary = main.outcome.primary if main.outcome is not None else None
        thresholds = (primary,) if primary is not None else stated
    reference = summarize(main, level=level)
    centre, spread = float(reference["median"].iloc[0]), float(reference["sd"].iloc[0])
    rows = []
    for name, item in fits.items():
        table = summarize(item, level=level)
        row: dict[str, object] = {
            "analysis": name,
            "k": item.effects.k,
            **_mean_and_tau(table),
            "new_lower": table.loc["theta_new", "lower"],
            "new_upper": table.loc["theta_new", "upper"],
        }
        if thresholds and item.effects.better is not None:
            benefit = benefit_table(item, thresholds[:1], level=level).drop_duplicates("target").set_index("target")
            for column in ("p_any_benefit", "p_important_benefit", "p_important_harm"):
                row[column] = benefit.loc["mean effect", column]
                row[f"{column}_new"] = benefit.loc["new setting", column]
        row["log_evidence"] = np.nan if item.log_evidence is None else item.log_evidence
        row["change"] = (float(table["median"].iloc[0]) - centre) / spread if math.isfinite(spread) else np.nan
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["level"], frame["interval"] = level, "central"
    return frame


def contrast_variations(fits: Mapping[str, Fit], *, level: float = LEVEL) -> pd.DataFrame:
    """Contrasts and slopes of moderated fits, one line per analysis and contrast.

    Parameters
    ----------
    fits : mapping of str to Fit
        By name; the first is the main analysis.

    Returns
    -------
    pandas.DataFrame
        Columns ``analysis k`` and those of `bayesmeta.contrast_table`; empty without fits.
    """
    parts = []
    for name, item in fits.items():
        table = contrast_table(item, level=level)
        table.insert(0, "analysis", name)
        table.insert(1, "k", item.effects.k)
        parts.append(table)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["analysis", "k"])


def prior_range(table: pd.DataFrame, cuts: Sequence[float] = (0.05, 0.5, 0.8, 0.95)) -> pd.DataFrame:
    """Smallest and largest value of every probability over a table of variations, and whether its category changes.

    Parameters
    ----------
    table : pandas.DataFrame
        From `variation_table`; the first line is the main analysis.
    cuts : sequence of float
        Boundaries between categories of probability; a probability whose category differs between lines is flagged.

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity main minimum maximum category_changes``.

    Examples
    --------
    >>> table = pd.DataFrame({"analysis": ["main", "wide"], "p_any_benefit": [0.96, 0.94]})
    >>> prior_range(table).loc[0, ["minimum", "maximum"]].tolist()
    [0.94, 0.96]
    """
    rows = []
    for column in (name for name in table.columns if name.startswith("p_")):
        values = table[column].to_numpy(float)
        values = values[np.isfinite(values)]
        categories = np.searchsorted(np.asarray(cuts), values)
        rows.append(
            {
                "quantity": column,
                "main": float(values[0]),
                "minimum": float(values.min()),
                "maximum": float(values.max()),
                "category_changes": bool(len(set(categories.tolist())) > 1),
            }
        )
    return pd.DataFrame(rows)


def leave_one_out(main: Fit, *, level: float = LEVEL) -> pd.DataFrame:
    """Leave each trial out, refit exactly, and predict its rows jointly.

    A trial leaves with all rows that share its patients. The refit has nodes of its own: nodes of the full fit can
    miss the posterior without the trial, and doubling them would never show it.

    Returns
    -------
    pandas.DataFrame
        One line per trial. Columns ``left_out rows mu lower upper tau new_lower new_upper p_below_null
        log_predictive p_value``: the summary without the trial; the exact log predictive density of its rows given
        the others; and, for a trial with one row, the two-sided predictive p-value of its estimate.
        ``DataFrame.attrs["elpd"]`` is the sum of the log predictive densities, not a number where a line has none;
        such a line says why under ``note``.

    References
    ----------
    Vehtari A, Gelman A, Gabry J. Stat Comput 2017;27:1413-1432. doi:10.1007/s11222-016-9696-4
    """
    names, unit = units_of(main.effects)
    if len(names) < 2:
        raise ModelError("leave-one-out needs at least two trials.")
    if not main.exact:
        raise ModelError("exact leave-one-out needs the exact engine; for a fit by draws see `bayesmeta.loo_table`.")
    rows = []
    for number, name in enumerate(names):
        out = unit == number
        row: dict[str, object] = {"left_out": name, "rows": int(out.sum())}
        try:
            rest = fit(main.effects.subset(~out), main.model, outcome=main.outcome, analysis=main.analysis)
            log_density, p_value = _predict_left_out(main, rest, out)
        except ModelError as error:
            rows.append({**row, "note": str(error)})
            continue
        table = summarize(rest, level=level)
        rows.append(
            {
                **row,
                **_mean_and_tau(table),
                "new_lower": table.loc["theta_new", "lower"],
                "new_upper": table.loc["theta_new", "upper"],
                "p_below_null": probability(rest, "mu", below=0.0),
                "log_predictive": log_density,
                "p_value": p_value,
                "note": "",
            }
        )
    frame = pd.DataFrame(rows)
    frame["level"], frame["interval"] = level, "central"
    # a trial that could not be predicted leaves the sum undefined, not smaller
    frame.attrs["elpd"] = float(frame["log_predictive"].sum(skipna=False)) if "log_predictive" in frame else math.nan
    return frame


def _predict_left_out(main: Fit, rest: Fit, out: NDArray[np.bool_]) -> tuple[float, float]:
    """Log predictive density of the left-out rows given the rest, and a p-value where there is one row."""
    if rest.quadrature.problem.cut is not None:
        raise ModelError("leave-one-out is not available with a truncated or uniform prior; use a normal prior.")
    quadrature = rest.quadrature
    y = main.effects.y[out]
    X = _rows_for(main, rest, out)
    left = main.effects.subset(out)
    mean = X @ quadrature.mean
    V = left_out_covariance(quadrature, left, main.model.rho)
    V = V + np.einsum("ip,pqn,jq->ijn", X, quadrature.cov, X)
    if y.size == 1:
        sd = np.sqrt(V[0, 0])
        z = (y[0] - mean[0]) / sd
        density = np.exp(-0.5 * z * z) / (sd * math.sqrt(2 * math.pi))
        below = float(special.ndtr(z) @ quadrature.weights)
        return math.log(float(density @ quadrature.weights)), 2 * min(below, 1 - below)
    L = np.linalg.cholesky(np.moveaxis(V, -1, 0))
    scaled = np.linalg.solve(L, (y[:, None] - mean).T[:, :, None])[:, :, 0]
    log = -0.5 * (scaled**2).sum(axis=1) - np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
    log = log - 0.5 * y.size * math.log(2 * math.pi)
    peak = float(log.max())
    return peak + math.log(float(np.exp(log - peak) @ quadrature.weights)), math.nan


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


def cumulative_table(
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
        Columns ``added k mu lower upper tau p_below_null``; a line where the posterior is improper says so in
        ``note``.
    """
    names, unit = units_of(effects)
    sequence = list(order) if order is not None else list(names)
    unknown = [name for name in sequence if name not in names]
    if unknown or len(set(sequence)) != len(names):
        raise ModelError(
            f"order must name every trial once; {unknown or 'some trials'} do not fit. Trials: {', '.join(names)}."
        )
    kept = np.zeros(effects.k, bool)
    rows = []
    for name in sequence:
        kept |= unit == names.index(name)
        row: dict[str, object] = {"added": name, "k": int(kept.sum())}
        try:
            item = fit(effects.subset(kept), model)
        except ModelError as error:
            rows.append({**row, "note": str(error)})
            continue
        table = summarize(item, level=level)
        rows.append(
            {
                **row,
                **_mean_and_tau(table),
                "p_below_null": probability(item, "mu", below=0.0),
                "note": "",
            }
        )
    frame = pd.DataFrame(rows)
    frame["level"], frame["interval"] = level, "central"
    return frame
