"""Two arms by mean and SD: every way in which an arm's mean and SD can be had, and the effects that follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

import bayesmeta.measures.continuous as continuous
import bayesmeta.measures.derive as derive
from bayesmeta.measures.registry import measure as find_measure
from bayesmeta.measures.rules import Rules
from bayesmeta.measures.work import Options, Table, Work

__all__ = ["ArmMoments", "arm_moments", "from_arms", "needs_arms"]

EXTREME_SMD = 2.0  # larger ones exist, but a standard error read as an SD is the likelier cause


def _arm_has(table: Table, arm: str, stem: str = "") -> dict[str, np.ndarray]:
    """Return how an arm's mean and SD can be had, by row and in order of preference."""
    mean, n = table.has(f"mean_{stem}{arm}"), table.has(f"n_{arm}")
    ways = {
        "sd": mean & table.has(f"sd_{stem}{arm}"),
        "se": mean & table.has(f"se_{stem}{arm}") & n,
    }
    ways["ci"] = mean & table.has(f"ci_low_{stem}{arm}") & table.has(f"ci_high_{stem}{arm}") & n
    if not stem:
        ends = table.has(f"low_{arm}") & table.has(f"high_{arm}")
        quartiles = table.has(f"q1_{arm}") & table.has(f"q3_{arm}")
        ways["quantiles"] = table.has(f"median_{arm}") & (ends | quartiles) & n
    return ways


def needs_arms(stem: str) -> Callable[[Table, Work], list[tuple[str, np.ndarray]]]:
    """Make the check of which rows have both arms' means and standard deviations."""

    def needs(table: Table, work: Work) -> list[tuple[str, np.ndarray]]:
        found = []
        ways = {arm: np.any(list(_arm_has(table, arm, stem).values()), axis=0) for arm in "tc"}
        for arm, other in ("tc", "ct"):
            any_way = ways[arm]
            if work.options.sd_of_one_arm == "other":
                any_way = any_way | (table.has(f"mean_{stem}{arm}") & ways[other])
            found += [
                (f"n_{arm}", table.has(f"n_{arm}")),
                (f"mean_{stem}{arm}", any_way | table.has(f"mean_{stem}{arm}")),
                (f"sd_{stem}{arm}", any_way | table.has(f"sd_{stem}{arm}")),
            ]
        return found

    return needs


def _resolve(rows: np.ndarray, arm: str, work: Work, stem: str = "") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and SD of one arm in the given rows, and which of them are sound."""
    table = work.table
    mean, sd = table[f"mean_{stem}{arm}"][rows].copy(), table[f"sd_{stem}{arm}"][rows].copy()
    ok, done = np.ones(rows.size, dtype=bool), np.zeros(rows.size, dtype=bool)
    for way, mask in _arm_has(table, arm, stem).items():
        at = np.flatnonzero(mask[rows] & ~done)
        done[at] = True
        if way == "sd" or not at.size:
            continue
        here = rows[at]
        if way == "se":
            names = {"se": f"se_{stem}{arm}", "n": f"n_{arm}"}
            c = table.take(here, names)
            rules = Rules(c)
            rules.positive("se")
            rules.at_least(1, "n")
            text, common = (
                f"{names['se']} to SD: se sqrt(n)",
                (f"{names['se']} is the standard error of the arm's mean",),
            )
        elif way == "ci":
            names = {"lower": f"ci_low_{stem}{arm}", "upper": f"ci_high_{stem}{arm}", "n": f"n_{arm}"}
            c = table.take(here, names)
            rules = derive.rules_of_ci(c)
            rules.at_least(2, "n")
            text = f"interval of mean_{stem}{arm} to SD: sqrt(n) (upper - lower)/(2 t)"
            common = (f"interval of mean_{stem}{arm}: level {work.options.ci_level:g}, t with n - 1 df",)
        else:
            names = {name: f"{name}_{arm}" for name in ("median", "n", "q1", "q3", "low", "high")}
            c = table.take(here, names)
            rules = derive.rules_of_quantiles(c)
            text, common = f"mean_{arm} and sd_{arm} from quantiles", ("normal data within the arm",)
        good = work.sound(here, rules, names)
        ok[at[~good]] = False
        c = {name: x[good] for name, x in c.items()}
        kept = at[good]
        if not kept.size:
            continue
        if way == "se":
            sd[kept] = derive.sd_from_se(c["se"], c["n"])
        elif way == "ci":
            sd[kept] = derive.sd_from_ci(c["lower"], c["upper"], c["n"], work.options.ci_level)
        else:
            moments = derive.mean_sd_from_quantiles(**c)
            mean[kept], sd[kept] = moments.mean, moments.sd
            for note, where in moments.notes:
                work.note(rows[kept][where], f"{'treated' if arm == 't' else 'control'} arm: {note}")
        columns = tuple(names.values()) + ((f"mean_{stem}{arm}",) if way in ("se", "ci") else ())
        work.step(rows[kept], text, columns, *common)
        if way in ("se", "ci"):
            work.printed[rows[kept]] = work.through[rows[kept]] = True
    return mean, sd, ok


def _of_other_arm(rows: np.ndarray, sd_t: np.ndarray, sd_c: np.ndarray, work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Let the SD of one arm stand for that of the other, where only one is reported, and say so."""
    no_t, no_c = np.isnan(sd_t) & np.isfinite(sd_c), np.isnan(sd_c) & np.isfinite(sd_t)
    for at, lacking, other in ((no_t, "treated", "control"), (no_c, "control", "treated")):
        work.note(rows[at], f"SD of the {lacking} arm not reported: that of the {other} arm assumed")
    return np.where(no_t, sd_c, sd_t), np.where(no_c, sd_t, sd_c)


def from_arms(stem: str) -> Callable[[np.ndarray, Work], None]:
    """Make the computation of effects from means and standard deviations (of changes, with a stem)."""

    def compute(rows: np.ndarray, work: Work) -> None:
        mean_t, sd_t, ok_t = _resolve(rows, "t", work, stem)
        mean_c, sd_c, ok_c = _resolve(rows, "c", work, stem)
        ok = ok_t & ok_c
        if work.options.sd_of_one_arm == "other":
            sd_t, sd_c = _of_other_arm(rows, sd_t, sd_c, work)
        rows = rows[ok]
        table, name = work.table, work.measure.name
        c = {
            "mean_t": mean_t[ok],
            "sd_t": sd_t[ok],
            "n_t": table["n_t"][rows],
            "mean_c": mean_c[ok],
            "sd_c": sd_c[ok],
            "n_c": table["n_c"][rows],
        }
        names = {f"{what}_{arm}": f"{what}_{stem}{arm}" for what in ("mean", "sd") for arm in "tc"}
        least = 2 if name in ("SMD", "SMDH") else 1
        rules = continuous.rules_of_ratio(c) if name == "ROM" else continuous.rules_of_means(c, least)
        good = work.sound(rows, rules, names)
        rows, c = rows[good], {key: x[good] for key, x in c.items()}
        if not rows.size:
            return
        if name == "SMD":
            result = continuous.smd(**c, vtype=work.options.vtype, j=work.options.j)
        else:
            result = {
                "MD": continuous.mean_difference,
                "SMDH": continuous.smdh,
                "ROM": continuous.ratio_of_means,
            }[name](**c)
        used = tuple(names.get(key, key) for key in c)
        odd = stem and name == "SMD"
        common = ("standardised by the SD of change scores, which is not the SD of scores",) if odd else ()
        work.keep(rows, result, used, *common)
        (work.by_changes if stem else work.by_scores)[rows] = True
        if name in ("SMD", "SMDH"):
            large = np.abs(result.y) > EXTREME_SMD
            work.note(rows[large], f"|g| > {EXTREME_SMD:g}: were standard errors given as SDs?")

    return compute


@dataclass(frozen=True, slots=True, eq=False)
class ArmMoments:
    """Means and standard deviations of both arms, nan where a row does not give them in any way.

    Parameters
    ----------
    mean_t, sd_t, mean_c, sd_c : array (k,)
        From columns of these names, or from standard errors, intervals or quantiles.
    """

    mean_t: np.ndarray
    sd_t: np.ndarray
    mean_c: np.ndarray
    sd_c: np.ndarray


def arm_moments(frame: pd.DataFrame, *, ci_level: float = 0.95) -> ArmMoments:
    """Means and standard deviations of both arms of every row, by the first way that its columns allow.

    Rules are not checked again: `effect_rows` reports what is wrong with a row.

    Parameters
    ----------
    frame : pandas.DataFrame
        With ``mean_* sd_*``, or ``se_*``, ``ci_low_* ci_high_*``, or ``median_*`` with quartiles or range.
    ci_level : float
        Level of intervals of arm means.

    Examples
    --------
    >>> frame = pd.DataFrame({"n_t": [25], "mean_t": [10.0], "se_t": [2.0], "n_c": [25], "mean_c": [9.0]})
    >>> moments = arm_moments(frame)
    >>> moments.sd_t, moments.sd_c
    (array([10.]), array([nan]))
    """
    work = Work(Table(frame), find_measure("MD"), Options(ci_level=ci_level))
    rows = np.arange(len(frame))
    (mean_t, sd_t, _), (mean_c, sd_c, _) = _resolve(rows, "t", work), _resolve(rows, "c", work)
    return ArmMoments(mean_t, sd_t, mean_c, sd_c)
