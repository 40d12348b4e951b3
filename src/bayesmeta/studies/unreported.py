"""What trials did not report: correlations that estimates rest on, standard deviations, and counts where needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.effects import ConditionalEstimates, RawDifferences
from bayesmeta.errors import DataError, Finding, warn
from bayesmeta.measures import EffectRows, arm_moments, effect_rows
from bayesmeta.numerics import rule
from bayesmeta.priors import Prior
from bayesmeta.studies.columns import FrameFaults, numbers_of

__all__ = ["StandIn", "assumed_correlation", "counts_of", "stand_in", "tabulate"]

FloatArray = NDArray[np.float64]
#: Nodes over the range of a derived number; estimates are smooth in it.
NODES = 17
_COUNTS = ("events_t", "n_t", "events_c", "n_c")


# -- a correlation that nobody reported --------------------------------------------------------------------------------


def assumed_correlation(options: Mapping[str, Any], derived: Mapping[str, Prior]) -> dict[str, Any]:
    """Complete the options by the correlation at which estimates stand: as stated, else the median of its prior."""
    if "correlation" not in derived or options.get("correlation") is not None:
        return dict(options)
    return {**options, "correlation": float(derived["correlation"].ppf(0.5))}


def tabulate(
    part: pd.DataFrame,
    measure: str,
    options: Mapping[str, Any],
    prior: Prior,
    made: EffectRows,
    faults: FrameFaults,
    findings: list[Finding],
) -> ConditionalEstimates | None:
    """Compute the estimates at every node of the correlation's range; rows that state their own do not move."""
    low, high = prior.support
    nodes = low + (rule(NODES)[0] + 1) / 2 * (high - low)
    tables = [effect_rows(part, measure, options={**options, "correlation": float(r)}) for r in nodes]
    y = np.column_stack([table.y for table in tables])
    moved = [effect_rows(_moved(part), measure, options={**options, "correlation": float(r)}) for r in nodes]
    slope = np.abs(np.column_stack([table.y for table in moved]) - y)
    # the size of the slope itself says nothing: only how it changes with the correlation does
    log_scale = np.log(slope / slope[:, :1])
    found = ConditionalEstimates(low, high, y, np.column_stack([table.se for table in tables]), log_scale)
    moving = int(found.rows.sum())
    if not moving:
        faults.add(
            "priors.derived.correlation is stated, and no row was derived with a correlation that is not in the table",
            "Leave it out.",
        )
        return None
    findings.append(
        Finding(
            "correlation not reported",
            "info",
            f"{moving} of {len(part)} rows were derived with a correlation of baseline with follow-up that nobody "
            f"reported: {options['correlation']:g} where one number is needed, and a parameter with prior {prior!r} "
            f"in the model",
            "Give the correlation in the table where a trial reports it.",
        )
    )
    return found


def _moved(part: pd.DataFrame) -> pd.DataFrame:
    """The table with every treated mean a little higher, which moves the mean difference that was observed."""
    names = [name for name in ("mean_change_t", "mean_post_t", "mean_t", "estimate") if name in part.columns]
    moved = part.assign(
        **{name: numbers_of(part, name) + 1e-3 * np.abs(numbers_of(part, name)) + 1e-6 for name in names}
    )
    moved.attrs = part.attrs
    return moved


# -- standard deviations -----------------------------------------------------------------------------------------------


class StandIn(NamedTuple):
    """A table whose missing standard deviations are filled with one constant, and what is known of them.

    Attributes
    ----------
    rows : array of bool (k,)
        Rows that report no standard deviation.
    note : str
        What the ledger says of them.
    """

    frame: pd.DataFrame
    rows: NDArray[np.bool_]
    spreads: RawDifferences
    note: str


def stand_in(
    part: pd.DataFrame, measure: str, options: Mapping[str, Any], faults: FrameFaults, findings: list[Finding]
) -> StandIn | None:
    """Fill standard deviations that are missing in both arms by the geometric mean of the stated pooled ones."""
    moments = arm_moments(part, ci_level=options.get("ci_level", 0.95))
    n_t, n_c = (numbers_of(part, name) for name in ("n_t", "n_c"))
    difference = moments.mean_t - moments.mean_c
    whole = np.isfinite(difference) & (n_t > 0) & (n_c > 0) & (n_t + n_c > 2)
    stated = whole & (moments.sd_t > 0) & (moments.sd_c > 0)
    lacking = whole & np.isnan(moments.sd_t) & np.isnan(moments.sd_c) & ~_estimable(part, measure, options)
    for row in np.flatnonzero(~(stated | lacking)):
        faults.add(
            "with priors.missing_sd a row is given by the means of its arms, and this one is not",
            "Give n_t, mean_t, n_c, mean_c and either both standard deviations or none (and no estimate beside them), "
            "or exclude the row.",
            row=int(row),
        )
    if faults.found:
        return None
    if not lacking.any() or not stated.any():
        what = "no row lacks its standard deviation" if not lacking.any() else "no row states a standard deviation"
        remedy = "Leave it out." if not lacking.any() else "Nothing can be learned of the missing ones: exclude rows."
        faults.add(f"priors.missing_sd is stated, and {what}", remedy)
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = (n_t - 1) * moments.sd_t**2 + (n_c - 1) * moments.sd_c**2
        pooled = np.where(stated, np.sqrt(squares / (n_t + n_c - 2)), np.nan)
    constant = float(np.exp(np.mean(np.log(pooled[stated]))))
    names = part["study"].to_numpy(dtype=object)[lacking]
    note = (
        f"standard deviation not reported: {constant:.4g}, the geometric mean of the {int(stated.sum())} stated ones, "
        "stands in for it where one number is needed; the model draws it"
    )
    what = f"{len(names)} of {len(part)} rows ({', '.join(map(str, names[:5]))}{' ...' if len(names) > 5 else ''})"
    findings.append(
        Finding("standard deviation not reported", "warning", f"{what}: {note}", "Look for it in the trial's report.")
    )
    warn(f"{faults.source}: {what}: {note}.")
    cells = {f"sd_{arm}": np.where(lacking, constant, numbers_of(part, f"sd_{arm}")) for arm in "tc"}
    filled = part.assign(**cells)
    filled.attrs = part.attrs
    return StandIn(filled, lacking, RawDifferences(difference, pooled), note)


def _estimable(part: pd.DataFrame, measure: str, options: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Rows that give an effect in another way than by means and standard deviations."""
    try:
        return np.isfinite(effect_rows(part, measure, options=options).y)
    except DataError:
        return np.zeros(len(part), bool)


# -- counts ------------------------------------------------------------------------------------------------------------


def counts_of(part: pd.DataFrame, likelihood: str, faults: FrameFaults) -> FloatArray | None:
    """Events and participants of both arms, shape (k, 4); None where a row has none, a fault if they are needed."""
    table = np.column_stack([numbers_of(part, name) for name in _COUNTS])
    whole = np.isfinite(table).all(axis=1)
    if whole.all():
        return table
    if likelihood == "binomial":
        for row in np.flatnonzero(~whole):
            lacking = ", ".join(name for name, cell in zip(_COUNTS, table[row], strict=True) if not np.isfinite(cell))
            faults.add(
                f"the binomial likelihood needs counts, and {lacking} is empty",
                "Give events and participants of both arms, exclude the row, or use the normal likelihood.",
                row=int(row),
            )
    return None
