"""Ways to an effect from two means of the same people: crossover trials and pairs."""

from __future__ import annotations

import numpy as np

import bayesmeta.measures.continuous as continuous
import bayesmeta.measures.standardised as standardised
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.reported import by_columns, difference_of, has_statistic, has_uncertainty, pairs_of, se_of, t_of
from bayesmeta.measures.rules import Rules
from bayesmeta.measures.work import Needs, Source, Table, Work

__all__ = ["PAIRS"]


def _sds_of_pairs(table: Table, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    root = np.sqrt(np.where(n > 0, n, np.nan))
    one, two = (np.where(table.has(f"sd_{a}"), table[f"sd_{a}"], table[f"se_{a}"] * root) for a in "tc")
    return np.where(np.isnan(one), table["sd"], one), np.where(np.isnan(two), table["sd"], two)


def _correlation(table: Table, work: Work) -> np.ndarray:
    assumed = np.nan if work.options.correlation is None else work.options.correlation
    return np.where(table.has("correlation"), table["correlation"], assumed)


def _needs_pairs(table: Table, work: Work) -> Needs:
    n = pairs_of(table)
    difference, printed = np.isfinite(difference_of(table)), has_uncertainty(table)
    sd, r = np.isfinite(np.add(*_sds_of_pairs(table, n))), np.isfinite(_correlation(table, work))
    free = ~table.has("estimate")
    if work.measure.name == "MD":
        return [
            ("md", difference & free),
            ("n", np.isfinite(n) | printed),
            ("sd", sd | printed),
            ("correlation", r | printed),
        ]
    t = has_statistic(table) | (difference & printed)
    return [
        ("md", (difference | (t & r)) & free),
        ("n", np.isfinite(n)),
        ("sd", sd | (t & r)),
        ("correlation", r | (difference & printed & sd)),
    ]


def _from_pairs(rows: np.ndarray, work: Work) -> None:
    table, smd = work.table, work.measure.name == "SMD"
    n, r, difference = pairs_of(table)[rows], _correlation(table, work)[rows], difference_of(table)[rows]
    one, two = (x[rows] for x in _sds_of_pairs(table, pairs_of(table)))
    printed, scaled = has_uncertainty(table)[rows], np.isfinite(one + two)
    rules = standardised.rules_of_paired({"n": n})
    for name in ("sd", "sd_t", "sd_c"):
        values = table[name][rows]
        rules.require(~(values <= 0), name, "is not > 0", continuous.SD_REMEDY, value=values)
    if smd:
        good = work.sound(rows, rules)
    else:
        good = work.sound(rows, rules) if np.isfinite(n).all() else np.ones(rows.size, dtype=bool)
    within = Rules({"correlation": r})
    within.within(-1, 1, "correlation", why="Give the correlation of the two measurements.")
    good &= work.sound(rows, within)
    by_t = np.isfinite(difference) & printed & (scaled | (not smd))
    by_sds = ~by_t & np.isfinite(difference) & scaled & np.isfinite(r)
    for at, compute in ((by_t, _pairs_printed), (by_sds, _pairs_of_sds), (~by_t & ~by_sds, _pairs_of_t)):
        if (at & good).any():
            compute(rows[at & good], work)


def _note_correlation(rows: np.ndarray, work: Work) -> None:
    given = work.table.has("correlation")[rows]
    if given.any():
        work.step(rows[given], "", ("correlation",))
    work.note(rows[~given], f"correlation {work.options.correlation or 0:g} of the two measurements assumed")


def _standardise_pairs(rows: np.ndarray, se: np.ndarray, r: np.ndarray, work: Work, text: str) -> None:
    """Keep differences of pairs, divided by the SD of scores for an SMD."""
    table = work.table
    n, difference = pairs_of(table)[rows], difference_of(table)[rows]
    by_columns(rows, work, "n" if table.has("n")[rows].any() else "n_t")
    if work.measure.name == "MD":
        work.keep(rows, Estimate(difference, se, text), ())
        return
    one, two = (x[rows] for x in _sds_of_pairs(table, pairs_of(table)))
    result = standardised.smd_from_raw_sd(
        difference, se, np.sqrt((one**2 + two**2) / 2), standardised.paired_df(n, r), j=work.options.j
    )
    work.step(rows, text, ("sd_t", "sd_c", "sd"))
    common = "standardised by the SD of the scores, sqrt((sd_t^2 + sd_c^2)/2), not by that of differences"
    work.keep(rows, result, (), common)
    work.by_scores[rows] = True


def _pairs_printed(rows: np.ndarray, work: Work) -> None:
    table = work.table
    n, difference = pairs_of(table)[rows], difference_of(table)[rows]
    df = np.where(table.has("df")[rows], table["df"][rows], n - 1)
    se = se_of(rows, difference, df, work)
    work.printed[rows] = True
    good = np.isfinite(se)
    rows, se, n = rows[good], se[good], n[good]
    if not rows.size:
        return
    r = np.zeros(rows.size)
    if work.measure.name == "SMD":
        one, two = (x[rows] for x in _sds_of_pairs(table, pairs_of(table)))
        given = _correlation(table, work)[rows]
        implied = (one**2 + two**2 - n * se**2) / (2 * one * two)
        r = np.where(np.isnan(given), np.clip(implied, -1, 1), given)
        stated = ~np.isnan(given)
        work.step(rows[stated & table.has("correlation")[rows]], "", ("correlation",))
        work.note(rows[~stated], "correlation of the two measurements as SE and SDs imply, for the degrees of freedom")
        odd = np.abs(implied) > 1
        work.warn(
            rows[odd], "no correlation between -1 and 1 fits the SE of the paired difference and the SDs: check them"
        )
    _standardise_pairs(rows, se, r, work, "SE of the paired difference as printed")


def _pairs_of_sds(rows: np.ndarray, work: Work) -> None:
    table = work.table
    one, two = (x[rows] for x in _sds_of_pairs(table, pairs_of(table)))
    n, r = pairs_of(table)[rows], _correlation(table, work)[rows]
    se = np.sqrt((one**2 + two**2 - 2 * r * one * two) / n)
    _note_correlation(rows, work)
    _standardise_pairs(rows, se, r, work, "SE = sqrt(sd_t^2 + sd_c^2 - 2 r sd_t sd_c)/sqrt(n)")


def _pairs_of_t(rows: np.ndarray, work: Work) -> None:
    table = work.table
    n = pairs_of(table)[rows]
    t = t_of(rows, np.where(table.has("df")[rows], table["df"][rows], n - 1), work)
    work.printed[rows] = work.through[rows] = True
    good = np.isfinite(t)
    rows, t, n = rows[good], t[good], n[good]
    if not rows.size:
        return
    _note_correlation(rows, work)
    r = _correlation(table, work)[rows]
    result = standardised.smd_from_paired_t(t, n, r, j=work.options.j)
    work.keep(rows, result, ("n",), "the SDs of both measurements are equal")
    work.by_scores[rows] = True


PAIRS = Source(
    "crossover or paired",
    ("MD", "SMD"),
    _needs_pairs,
    _from_pairs,
    "design = crossover, n, md (or mean_t mean_c), and se (or sd_t sd_c) with correlation (or "
    "measure_options.correlation, or priors.derived.correlation)",
    True,
)
