"""What trials did not report: correlations that estimates rest on, standard deviations, and counts where needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.effects import ConditionalEstimates, RawDifferences
from bayesmeta.errors import DataError, Finding, warn
from bayesmeta.measures import MEASURES, EffectRows, arm_moments, designs_of, effect_rows
from bayesmeta.numerics import rule
from bayesmeta.priors import Prior
from bayesmeta.studies.columns import FrameFaults, numbers_of

__all__ = ["StandIn", "assumed_numbers", "check_apart", "counts_of", "sizes_of", "stand_in", "tabulate"]

FloatArray = NDArray[np.float64]
#: Nodes over the range of a derived number; estimates are smooth in it.
NODES = 17
_TWO_ARMS = ("events_t", "n_t", "events_c", "n_c")
#: Columns of the counts that the binomial likelihood takes, by measure.
COUNTS = {"OR": _TWO_ARMS, "RR": _TWO_ARMS, "RD": _TWO_ARMS, "PLO": ("events", "n")}


# -- a correlation that nobody reported --------------------------------------------------------------------------------


def assumed_numbers(options: Mapping[str, Any], derived: Mapping[str, Prior]) -> dict[str, Any]:
    """Complete the options by the numbers at which estimates stand: as stated, else the median of the prior."""
    medians = {name: float(prior.ppf(0.5)) for name, prior in derived.items() if options.get(name) is None}
    return {**options, **medians}


#: Numbers that a prior may be stated of, in words.
_DERIVED = {
    "correlation": ("a correlation", "of baseline with follow-up, or of two measurements of the same people,"),
    "icc": ("an ICC", "of the clusters"),
}


def tabulate(
    name: str,
    part: pd.DataFrame,
    measure: str,
    options: Mapping[str, Any],
    prior: Prior,
    made: EffectRows,
    faults: FrameFaults,
    findings: list[Finding],
) -> ConditionalEstimates | None:
    """Compute the estimates at every node of the range of one number; rows that state their own do not move."""
    low, high = prior.support
    nodes = low + (rule(NODES)[0] + 1) / 2 * (high - low)
    tables = [effect_rows(part, measure, options={**options, name: float(x)}) for x in nodes]
    y = np.column_stack([table.y for table in tables])
    moving_y = np.ptp(y, axis=1) > 0
    log_scale = np.zeros(y.shape)
    if moving_y.any():
        moved = [effect_rows(_moved(part), measure, options={**options, name: float(x)}) for x in nodes]
        slope = np.abs(np.column_stack([table.y for table in moved]) - y)[moving_y]
        # the size of the slope itself says nothing: only how it changes with the number does
        log_scale[moving_y] = np.log(slope / slope[:, :1])
    what, of = _DERIVED[name]
    found = ConditionalEstimates(low, high, y, np.column_stack([table.se for table in tables]), log_scale)
    moving = int(found.rows.sum())
    if not moving:
        faults.add(
            f"priors.derived.{name} is stated, and no row was derived with {what} that is not in the table",
            "Leave it out.",
        )
        return None
    findings.append(
        Finding(
            f"{name} not reported",
            "info",
            f"{moving} of {len(part)} rows were derived with {what} {of} that nobody "
            f"reported: {options[name]:g} where one number is needed, and a parameter with prior {prior!r} "
            f"in the model",
            f"Give the {name} in the table where a trial reports it.",
        )
    )
    return found


_TESTS = ("t", "f", "p")


def _moved(part: pd.DataFrame) -> pd.DataFrame:
    """The table with every treated mean a little higher, which moves the mean difference that was observed."""
    names = [
        name
        for name in ("mean_change_t", "mean_post_t", "mean_t", "estimate", "md", "adjusted_difference", *_TESTS)
        if name in part.columns
    ]
    names = [name for name in names if name not in _TESTS or pd.api.types.is_numeric_dtype(part[name])]
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
    sd_t, sd_c = moments.sd_t, moments.sd_c
    if options.get("sd_of_one_arm") == "other":
        sd_t, sd_c = np.where(np.isnan(sd_t), sd_c, sd_t), np.where(np.isnan(sd_c), sd_t, sd_c)
    n_t, n_c = (numbers_of(part, name) for name in ("n_t", "n_c"))
    difference = moments.mean_t - moments.mean_c
    whole = np.isfinite(difference) & (n_t > 0) & (n_c > 0) & (n_t + n_c > 2)
    stated = whole & (sd_t > 0) & (sd_c > 0)
    # of one arm's SD alone the pooled one is not known: the row draws it
    lacking = whole & ~stated & (np.isnan(sd_t) | np.isnan(sd_c)) & ~_estimable(part, measure, options)
    for row in np.flatnonzero(~(stated | lacking)):
        faults.add(
            "with priors.missing_sd a row is given by the means of its arms, and this one is not",
            "Give n_t, mean_t, n_c, mean_c and both standard deviations or fewer (and no estimate beside them), or "
            "exclude the row.",
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
        squares = (n_t - 1) * sd_t**2 + (n_c - 1) * sd_c**2
        pooled = np.where(stated, np.sqrt(squares / (n_t + n_c - 2)), np.nan)
    constant = float(np.exp(np.mean(np.log(pooled[stated]))))
    for row in np.flatnonzero(lacking & _of_pairs_or_clusters(part)):
        faults.add(
            "with priors.missing_sd a row without its standard deviation is of two independent groups of people",
            "Exclude the row, or give its standard deviation.",
            row=int(row),
        )
    if faults.found:
        return None
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


def _of_pairs_or_clusters(part: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows whose design the model of missing standard deviations does not know."""
    columns = ("icc", "cluster_size", "cluster_size_t", "cluster_size_c", "design_effect")
    found = np.any([np.isfinite(numbers_of(part, name)) for name in columns], axis=0)
    return np.asarray(found | ~np.isin(designs_of(part)[0], ("", "parallel")))


def _estimable(part: pd.DataFrame, measure: str, options: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Rows that give an effect in another way than by the means and standard deviations of both arms."""
    try:
        return np.isfinite(effect_rows(part, measure, options=options).y)
    except DataError:
        return np.zeros(len(part), bool)


# -- counts ------------------------------------------------------------------------------------------------------------


def counts_of(
    part: pd.DataFrame, measure: str, likelihood: str, independent: NDArray[np.bool_], faults: FrameFaults
) -> FloatArray | None:
    """Events and participants of each arm, shape (k, 4) or (k, 2); None where a row has none, a fault if needed.

    Counts of people who are not independent (clusters, crossover) are none that a binomial distribution describes.
    """
    if measure not in COUNTS:
        return None
    if not independent.all():
        for row in np.flatnonzero(~independent) if likelihood == "binomial" else ():
            faults.add(
                "the binomial likelihood is of independent people, and those of this row are in clusters or pairs",
                "Use the normal likelihood, which takes the design into the standard error; or exclude the row.",
                row=int(row),
            )
        return None
    columns = COUNTS[measure]
    table = np.column_stack([numbers_of(part, name) for name in columns])
    whole = np.isfinite(table).all(axis=1)
    if whole.all():
        return table
    if likelihood == "binomial":
        arms = "both arms" if columns == _TWO_ARMS else "the arm"
        for row in np.flatnonzero(~whole):
            lacking = ", ".join(name for name, cell in zip(columns, table[row], strict=True) if not np.isfinite(cell))
            faults.add(
                f"the binomial likelihood needs counts, and {lacking} is empty",
                f"Give events and participants of {arms}, exclude the row, or use the normal likelihood.",
                row=int(row),
            )
    return None


def check_apart(tabulated: Mapping[str, ConditionalEstimates], faults: FrameFaults) -> None:
    """Note rows whose estimates follow two numbers that nobody reported: one is tabulated at one value of the other."""
    if len(tabulated) < 2:
        return
    for row in np.flatnonzero(np.all([table.rows for table in tabulated.values()], axis=0)):
        faults.add(
            f"it depends on {' and '.join(tabulated)}, and priors.derived has both",
            "Give one of them in the table, state it in measure_options without a prior, or exclude the row.",
            row=int(row),
        )
    faults.raise_if_any()


def sizes_of(part: pd.DataFrame, measure: str) -> FloatArray | None:
    """Participants of each arm, shape (k, 2) or (k, 1); who was in both is half in each; None if unknown."""
    if MEASURES[measure].single_arm:
        people = numbers_of(part, "n")
        return None if np.isnan(people).all() else people[:, None]
    paired = np.isin(designs_of(part)[0], ("crossover", "paired"))
    if not {"n_t", "n_c"} <= set(part.columns) and not paired.any():
        return None
    sizes = np.column_stack([numbers_of(part, name) for name in ("n_t", "n_c")])
    people = numbers_of(part, "n")
    people = np.where(np.isnan(people) & (sizes[:, 0] == sizes[:, 1]), sizes[:, 0], people)[paired]
    sizes[paired] = np.column_stack([np.ceil(people / 2), np.floor(people / 2)])
    return None if np.isnan(sizes).all() else sizes
