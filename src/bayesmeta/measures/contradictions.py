"""Columns that say the same in two ways, and whether they agree within rounding; columns that no way has used."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np

from bayesmeta.measures.derive import critical_value
from bayesmeta.measures.work import Work

__all__ = ["contradictions"]

#: Beyond the rounding of what is printed: a quantile of another table, a number rounded twice.
SLACK = 0.03
#: By which factor two standard errors of one thing differ before the row is refused: no rounding or level does that.
GROSS = 2.0
#: A t interval of unknown degrees of freedom is taken to have at least these.
FEWEST_DF = 10.0
#: Columns that a design needs: a number in one that no formula has used is said aloud.
DESIGN = (
    "icc",
    "cluster_size",
    "cluster_size_t",
    "cluster_size_c",
    "design_effect",
    "correlation",
    "r_squared",
    "covariates",
    "sd_residual",
    "sign",
)

Range = tuple[np.ndarray, np.ndarray]


def contradictions(work: Work) -> None:
    """Compare what each row says twice; warn beyond rounding, refuse what no rounding explains."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # nothing is said twice where fewer than two columns could say it
        given = set(map(str, work.table.frame.columns))
        for value in ("estimate", "md", "adjusted_difference"):
            if value in given and len({"se", "var", "ci_low", "t", "p"} & given) > 1:
                _compare(_ways_of(value, work), work)
        for stem in ("", "change_"):
            for arm in "tc":
                if len({f"{name}_{stem}{arm}" for name in ("sd", "se", "ci_low")} & given) > 1:
                    _compare(_ways_of_arm(stem, arm, work), work)
        if {"md", "g", "d"} & given:
            _compare_differences(work)
    _look_at_sizes(work)
    _note_mixture(work)
    _note_unused(work)


#: Decimals that are looked for, and the size of numbers beyond which none can be told in double precision.
MOST_DECIMALS, LARGEST = 10, 1e8


def _decimals(x: np.ndarray) -> np.ndarray:
    """Decimals that each number is written with, zeros at its end aside."""
    size = np.abs(x)
    units = np.rint(np.where(size < LARGEST, size, 0.0) * 10.0**MOST_DECIMALS).astype(np.int64)
    found = np.zeros(x.shape)
    for place in range(MOST_DECIMALS):
        found[units % 10 ** (MOST_DECIMALS - place) != 0] = place + 1
    return found


#: Quantities of one unit, which a paper prints with much the same decimals.
ONE_UNIT = ("estimate", "md", "adjusted_difference", "ci_low", "ci_high", "se", "mean_t", "mean_c", "sd_t", "sd_c")


def half_unit(name: str, work: Work) -> np.ndarray:
    """Half a unit in the last decimal of each number of a column, as it is written.

    Numbers do not keep the zeros at their end: of 1.00 beside 0.25 one decimal less than its neighbours have is taken.
    """
    decimals = _decimals(work.table[name])
    if name in ONE_UNIT:
        others = [_decimals(work.table[other]) for other in ONE_UNIT if other in work.table.frame.columns]
        decimals = np.maximum(decimals, np.max(others, axis=0, initial=0) - 1)
    return 0.5 * 10.0**-decimals


def _printed(name: str, work: Work) -> Range:
    x, h = work.table[name], half_unit(name, work)
    return x - h, x + h


def _ways_of(value: str, work: Work) -> dict[str, Range]:
    """Ranges of the standard error that each column allows for the estimate of a row, by column."""
    table, options = work.table, work.options
    x = table[value]
    if value != "estimate" and table.has("estimate").any():
        # nothing says which of the two an uncertainty belongs to
        x = np.where(table.has("estimate"), np.nan, x)
    kind = np.array([""] * table.k) if work.kind is None else work.kind
    moved = np.zeros(table.k, dtype=bool)
    if value == "estimate" and work.measure.transformed and options.scale == "natural":
        moved = np.isin(kind, ("", work.measure.name))
    log = moved & work.measure.log
    same = np.isfinite(x) & (~moved | log) & np.isin(kind, ("", work.measure.name))
    half = half_unit(value, work)
    low_x, high_x = x - half, x + half
    centre = np.where(log, np.log(np.where(x > 0, x, np.nan)), x)
    reach = np.where(log, half / np.abs(x), half)
    df = np.where(table.has("df"), table["df"], np.where(work.paired, table["n"] - 1, table["n_t"] + table["n_c"] - 2))
    fewest = np.where(np.isfinite(df) & (df > 0), df, FEWEST_DF)
    z = np.full(table.k, critical_value(1 - options.ci_level))
    most = critical_value(1 - options.ci_level, fewest)
    ways: dict[str, Range] = {}
    lower, upper = _printed("ci_low", work), _printed("ci_high", work)
    if log.any():
        lower = tuple(np.where(log, np.log(np.where(e > 0, e, np.nan)), e) for e in lower)  # type: ignore[assignment]
        upper = tuple(np.where(log, np.log(np.where(e > 0, e, np.nan)), e) for e in upper)  # type: ignore[assignment]
    ways["ci_low, ci_high"] = ((upper[0] - lower[1]) / (2 * most), (upper[1] - lower[0]) / (2 * z))
    for name, root in (("se", _same), ("var", np.sqrt)):
        low, high = (root(np.maximum(end, 0)) for end in _printed(name, work))
        # beside a ratio the uncertainty may be of the ratio or of its logarithm
        ways[name] = (
            np.where(log, np.minimum(low, low / high_x), low),
            np.where(log, np.maximum(high, high / low_x), high),
        )
    t = tuple(np.abs(table["t"]) + s * half_unit("t", work) for s in (-1, 1))
    ways["t"] = _ratio(centre, reach, *t)
    p = tuple(np.clip(end, 1e-300, 1) for end in _printed("p", work))
    quantiles = (critical_value(p[1]), critical_value(p[0], fewest))
    # where "<" stands before it the standard error has an upper end alone
    low_se, high_se = _ratio(centre, reach, *quantiles)
    ways["p"] = np.where(table.bounded, 0.0, low_se), high_se
    return {name: (np.where(same, low, np.nan), np.where(same, high, np.nan)) for name, (low, high) in ways.items()}


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _ratio(centre: np.ndarray, reach: np.ndarray, low: np.ndarray, high: np.ndarray) -> Range:
    size = np.abs(centre)
    return np.maximum(size - reach, 0) / high, np.where(low > 0, (size + reach) / low, np.inf)


def _ways_of_arm(stem: str, arm: str, work: Work) -> dict[str, Range]:
    """Ranges of the standard error of one arm's mean, by column."""
    n = work.table[f"n_{arm}"]
    sd, se = _printed(f"sd_{stem}{arm}", work), _printed(f"se_{stem}{arm}", work)
    lower, upper = _printed(f"ci_low_{stem}{arm}", work), _printed(f"ci_high_{stem}{arm}", work)
    most = critical_value(1 - work.options.ci_level, np.where(n > 1, n - 1, FEWEST_DF))
    z = critical_value(1 - work.options.ci_level)
    return {
        f"sd_{stem}{arm}": (sd[0] / np.sqrt(n), sd[1] / np.sqrt(n)),
        f"se_{stem}{arm}": (np.maximum(se[0], 0), se[1]),
        f"ci_low_{stem}{arm}, ci_high_{stem}{arm}": (
            (upper[0] - lower[1]) / (2 * most),
            (upper[1] - lower[0]) / (2 * z),
        ),
    }


def _compare(ways: dict[str, Range], work: Work) -> None:
    """Warn of ranges that do not meet; refuse what differs by more than any rounding."""
    for (one, first), (two, second) in combinations(ways.items(), 2):
        gap = np.fmax(first[0] / second[1], second[0] / first[1])
        known = np.isfinite(first[0] + second[0]) & np.isfinite(gap)
        test = bool({"t", "p"} & {one, two})
        gross = known & (gap > GROSS) & (not test)
        for row in np.flatnonzero(gross):
            text = f"contradicts {two}: they give standard errors that differ by a factor of {gap[row]:.3g} or more"
            work.fault(int(row), one.partition(",")[0], text, "Correct one of them, or leave the wrong one empty.")
        work.warn(
            np.flatnonzero(known & ~gross & (gap > 1 + SLACK)),
            f"{one} and {two} contradict each other beyond rounding: check them",
        )


def _compare_differences(work: Work) -> None:
    """Compare printed differences with what the row's means and SDs give."""
    table = work.table
    means = table["mean_t"] - table["mean_c"]
    room = sum(half_unit(name, work) for name in ("mean_t", "mean_c", "md"))
    off = np.abs(table["md"] - means)
    work.warn(np.flatnonzero(off > room * (1 + SLACK)), "md is not mean_t - mean_c: check them")
    if work.measure.name != "SMD":
        return
    for name in ("g", "d"):
        # J lies between 0.56 and 1, and above 0.9 from df = 8: what is left is rounding
        found, x = work.y, table[name]
        factor = np.where(table["n_t"] + table["n_c"] > 10, 0.1, 0.5)
        away = np.abs(x - found) > half_unit(name, work) * 1.01 + factor * np.abs(found) + 0.02
        work.warn(np.flatnonzero(away), f"{name} is not what the row's other numbers give: check them")


def _look_at_sizes(work: Work) -> None:
    """Warn of sizes that are not whole; refuse them where a design effect is applied too.

    A control group of 31 that was divided between two comparisons is 15.5 in each, and people of clusters over their
    design effect are an effective sample size (Cochrane Handbook 23.1.4, 23.3.4): such rows are legitimate. With a
    design effect of the row the same clusters would count twice. Counts have a rule of their own, which refuses them.
    """
    made = np.isfinite(work.y)
    for name in ("n_t", "n_c", "n"):
        if name not in work.table.frame.columns:
            continue
        n = work.table[name]
        broken = made & (n != np.rint(n)) & ~np.isnan(n)
        for row in np.flatnonzero(broken & (work.deff != 1)):
            remedy = "Give the people who took part, or leave out what makes the design effect."
            work.fault(int(row), name, "is not a whole number, and a design effect is applied too", remedy)
        work.warn(
            np.flatnonzero(broken & (work.deff == 1)),
            f"{name} is not a whole number: read as an effective sample size (a divided group, or clusters); "
            "correct it if it is not one",
        )


def _note_mixture(work: Work) -> None:
    """Say where an SMD mixes rows that are standardised by different standard deviations."""
    made = np.isfinite(work.y)
    by_changes = work.by_changes & made
    if work.measure.name == "SMD" and (work.by_scores & ~work.by_changes & made).any():
        work.warn(
            np.flatnonzero(by_changes),
            "standardised by the SD of changes, and other rows by that of scores: the two are not of one scale "
            "(Cochrane Handbook 10.5.2)",
        )


def _note_unused(work: Work) -> None:
    table = work.table
    used: dict[str, np.ndarray] = {}
    for step in work.steps:
        for name in step.columns:
            used[name] = used.get(name, np.zeros(table.k, dtype=bool)) | step.rows
    made = np.isfinite(work.y)
    by = _why_unused(work)
    for name in DESIGN:
        if name in table.frame.columns:
            rows = table.has(name) & made & ~used.get(name, np.zeros(table.k, dtype=bool)) & ~by(name)
            work.warn(np.flatnonzero(rows), f"{name} is given, and nothing was computed with it")


def _why_unused(work: Work) -> Callable[[str], np.ndarray]:
    """Rows in which a column is rightly not used, by column."""
    table = work.table
    stated = np.zeros(table.k, dtype=bool)
    if "clustering" in table.frame.columns:
        stated = table.frame["clustering"].astype("str").str.strip().str.casefold().eq("adjusted").to_numpy(dtype=bool)

    def why(name: str) -> np.ndarray:
        if name in ("icc", "cluster_size", "cluster_size_t", "cluster_size_c", "design_effect"):
            return stated | (work.deff > 1)
        if name == "sign":
            return table.has("t") | table.has("estimate")
        if name == "correlation":
            return table.has("mean_pre_t") | work.paired
        if name == "covariates":
            return table["covariates"] == 0
        return np.zeros(table.k, dtype=bool)

    return why
