"""Ways to an effect from events over person-time, and from the numbers of one arm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import bayesmeta.measures.derive as derive
import bayesmeta.measures.rates as rates
import bayesmeta.measures.single as single
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.rules import Rules, choose
from bayesmeta.measures.work import Needs, Source, Table, Work

__all__ = ["SOURCES_OF_ONE_ARM_AND_RATES", "needs"]


def needs(*columns: str) -> Callable[[Table, Work], Needs]:
    """Say that a row needs a number in each of some columns."""

    def found(table: Table, work: Work) -> Needs:
        del work
        return [(name, table.has(name)) for name in columns]

    return found


def _from_rates(rows: np.ndarray, work: Work) -> None:
    columns, zero = ("events_t", "time_t", "events_c", "time_c"), work.options.zero
    rates.check_rate_zero(zero)
    c = {name: work.table[name][rows] for name in columns}
    good = work.sound(rows, rates.rules_of_rates(c, zero))
    if good.any():
        work.keep(rows[good], rates.incidence_rate_ratio(**{k: x[good] for k, x in c.items()}, zero=zero), columns)


def _from_arm(rows: np.ndarray, work: Work) -> None:
    name, zero = work.measure.name, work.options.zero
    columns = {"PLO": ("events", "n"), "IRLN": ("events", "time"), "MN": ("mean", "sd", "n")}[name]
    c = {column: work.table[column][rows] for column in columns}
    if name == "MN":
        rules = single.rules_of_mean(c)
    else:
        choose("zero", zero, single.SINGLE_ZERO_POLICIES)
        rules = (single.rules_of_proportion if name == "PLO" else single.rules_of_rate)(c, zero)
    good = work.sound(rows, rules)
    if not good.any():
        return
    c = {column: x[good] for column, x in c.items()}
    if name == "MN":
        result = single.arm_mean(**c)
    else:
        result = (single.logit_proportion if name == "PLO" else single.log_incidence_rate)(**c, zero=zero)
    work.keep(rows[good], result, columns)


def _mean_has(table: Table) -> dict[str, np.ndarray]:
    return {
        "sd": table.has("sd") & table.has("n"),
        "se": table.has("se"),
        "ci": table.has("ci_low") & table.has("ci_high"),
    }


def _needs_mean(table: Table, work: Work) -> Needs:
    del work
    return [("mean", table.has("mean")), ("sd", np.any(list(_mean_has(table).values()), axis=0))]


def _from_mean(rows: np.ndarray, work: Work) -> None:
    done = np.zeros(rows.size, dtype=bool)
    ways = {"sd": _from_arm, "se": _from_mean_se, "ci": _from_mean_interval}
    for way, has in _mean_has(work.table).items():
        at = has[rows] & ~done
        done |= at
        if at.any():
            ways[way](rows[at], work)


def _from_mean_se(rows: np.ndarray, work: Work) -> None:
    c = {name: work.table[name][rows] for name in ("mean", "se")}
    rules = Rules(c)
    rules.present("mean", "se")
    rules.positive("se")
    good = work.sound(rows, rules)
    work.printed[rows] = True
    if good.any():
        work.keep(rows[good], Estimate(c["mean"][good], c["se"][good], "mean; se as given"), ("mean", "se"))


def _from_mean_interval(rows: np.ndarray, work: Work) -> None:
    names = ("mean", "ci_low", "ci_high")
    c = {ours: work.table[name][rows] for ours, name in zip(("estimate", "lower", "upper"), names, strict=True)}
    n, level = work.table["n"][rows], work.options.ci_level
    work.printed[rows] = True
    rules = derive.rules_of_ci(c)
    rules.require(~(n < 2), "n", "is less than 2", "Correct the row or exclude it.", n)
    good = work.sound(rows, rules, {"estimate": "mean", "lower": "ci_low", "upper": "ci_high"})
    rows, c, n = rows[good], {name: x[good] for name, x in c.items()}, n[good]
    if not rows.size:
        return
    se = derive.se_from_ci(c["lower"], c["upper"], level, n - 1)
    work.keep(rows, Estimate(c["estimate"], se, "mean; se = (upper - lower)/(2 q)"), (*names, "n"))
    work.note(rows[np.isfinite(n)], f"interval of the mean: level {level:g}, t with n - 1 df")
    work.note(rows[np.isnan(n)], f"interval of the mean: level {level:g}, normal (no n given)")


SOURCES_OF_ONE_ARM_AND_RATES = (
    Source("one arm", ("PLO",), needs("events", "n"), _from_arm, "events n", None),
    Source("one arm", ("MN",), _needs_mean, _from_mean, "mean with sd n, se, or ci_low ci_high", None),
    Source("one arm", ("IRLN",), needs("events", "time"), _from_arm, "events time", None),
    Source(
        "events and person-time",
        ("IRR",),
        needs("events_t", "time_t", "events_c", "time_c"),
        _from_rates,
        "events_t time_t events_c time_c",
    ),
)
