"""Ways to an effect from an estimate that a table gives, on its own measure or on another."""

from __future__ import annotations

import numpy as np

import bayesmeta.measures.continuous as continuous
import bayesmeta.measures.conversions as conversions
import bayesmeta.measures.counts as counts
import bayesmeta.measures.derive as derive
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.registry import MEASURES, Measure
from bayesmeta.measures.registry import measure as find_measure
from bayesmeta.measures.rules import Rules
from bayesmeta.measures.work import Needs, Table, Work

__all__ = ["from_converted", "from_estimate", "needs_converted", "needs_estimate"]

OFF_CENTRE = 0.1  # of the interval's width, as metafor's conv.wald
MEANS = ("MD", "SMD", "SMDH", "ROM")

# -- an estimate with its uncertainty ----------------------------------------------------------------------------------

UNCERTAINTY = {"se": ("se",), "var": ("var",), "ci": ("ci_low", "ci_high"), "t": ("t",), "p": ("p",)}


def _uncertainty_has(table: Table, measure: Measure) -> dict[str, np.ndarray]:
    """Rows with each way to a standard error; a test of one arm is against a value that nothing states."""
    ways = {way: names for way, names in UNCERTAINTY.items() if not measure.single_arm or way not in ("t", "p")}
    return {way: np.all([table.has(name) for name in names], axis=0) for way, names in ways.items()}


def needs_estimate(table: Table, work: Work) -> Needs:
    """What a row with an estimate of the analysis's own measure needs."""
    own = np.isin(_kind(table, work), ("", work.measure.name))
    given = _uncertainty_has(table, work.measure).values()
    return [("estimate", table.has("estimate") & own), ("se", np.any(list(given), axis=0))]


def from_estimate(rows: np.ndarray, work: Work) -> None:
    """Take estimates as given, with the first uncertainty that a row has."""
    work.printed[rows] = True
    has = _uncertainty_has(work.table, work.measure)
    # On a natural scale that is transformed only limits and tests say what they mean; se and var come last, as a fault.
    order = ("ci", "t", "p", "se", "var") if _moves(work) else tuple(UNCERTAINTY)
    done = np.zeros(rows.size, dtype=bool)
    for way in (way for way in order if way in has):
        at = has[way][rows] & ~done
        done |= at
        if at.any():
            here = rows[at]
            for other in has:
                if other != way:
                    work.note(here[has[other][here]], f"{other} is given too, and was not used")
            _from_estimate_with(way, here, work)


def _moves(work: Work) -> bool:
    return work.measure.transformed and work.options.scale == "natural"


def _from_estimate_with(way: str, rows: np.ndarray, work: Work) -> None:
    table, level = work.table, work.options.ci_level
    names = ("estimate", *UNCERTAINTY[way])
    sized = way == "p" and work.measure.name in MEANS
    columns = (*names, "df") if way in ("ci", "p") else names
    c = {name: table[name][rows] for name in columns}
    if sized:
        c["df"] = np.where(np.isnan(c["df"]), table["n_t"][rows] + table["n_c"][rows] - 2, c["df"])
        columns = (*columns, "n_t", "n_c")
    good = work.sound(rows, _rules_of_estimate(way, c, work))
    rows, c = rows[good], {name: x[good] for name, x in c.items()}
    if _moves(work):
        for name in set(names) & {"estimate", "ci_low", "ci_high"}:
            c[name] = work.measure.transform(c[name])
    ours = {"ci_low": "lower", "ci_high": "upper"}
    theirs = {new: old for old, new in ours.items()}
    c = {ours.get(name, name): x for name, x in c.items()}
    rules_of = {"ci": derive.rules_of_ci, "t": derive.rules_of_t, "p": derive.rules_of_p}
    if way in rules_of:
        good = work.sound(rows, rules_of[way](c), theirs)
        rows, c = rows[good], {name: x[good] for name, x in c.items()}
    if not rows.size:
        return
    y = c["estimate"]
    if way == "ci":
        se = derive.se_from_ci(c["lower"], c["upper"], level, c["df"])
        off = np.abs((c["lower"] + c["upper"]) / 2 - y) > OFF_CENTRE * (c["upper"] - c["lower"])
        work.note(rows[off], "the estimate is off the middle of its interval by more than a tenth of its width")
    elif way == "t":
        se = derive.se_from_t(y, c["t"])
    elif way == "p":
        se = derive.se_from_p(y, c["p"], c["df"])
    else:
        se = c["se"] if way == "se" else derive.se_from_var(c["var"])
    shown = "estimate as given"
    if _moves(work):
        shown = {"ZCOR": "atanh(estimate)", "PLO": "logit(estimate)"}.get(work.measure.name, "log(estimate)")
    result = Estimate(y, se, f"{shown}; {UNCERTAINTY_TEXT[way]}")
    work.keep(rows, result, columns, *((f"interval of level {level:g}",) if way == "ci" else ()))
    if way == "p":
        text = '"p <" is read as "p =": the standard error is too large rather than too small'
        work.warn(rows[table.bounded[rows]], text)
    if "df" in c:
        what = "interval" if way == "ci" else "test"
        work.note(rows[np.isnan(c["df"])], f"normal {what} (no df given)")
        own = table.has("df")[rows]
        work.note(rows[own & ~np.isnan(c["df"])], f"t {what}, with the df given")
        work.note(rows[~own & ~np.isnan(c["df"])], f"t {what}, with n_t + n_c - 2 df")


def _rules_of_estimate(way: str, c: dict[str, np.ndarray], work: Work) -> Rules:
    """Rules on the scale the numbers came in."""
    rules, found = Rules(c), work.measure
    rules.present("estimate", *UNCERTAINTY[way])
    if way in ("se", "var"):
        rules.positive(way)
    if _moves(work):
        moved = ("estimate", *UNCERTAINTY[way]) if way == "ci" else ("estimate",)
        if found.log:
            rules.positive(*moved, remedy=f"A {found.label} is > 0; if it is a logarithm, say scale='log'.")
        else:
            rules.within(*found.support, *moved)
        if way in ("se", "var"):
            remedy = (
                "Give ci_low and ci_high, or give estimate and se both on the scale of the analysis and say so (scale)."
            )
            text = f"stands beside {found.name} on the natural scale and does not say its own"
            rules.require(np.zeros(c[way].size, dtype=bool), way, text, remedy)
    return rules


UNCERTAINTY_TEXT = {
    "se": "se as given",
    "var": "se = sqrt(var)",
    "ci": "se = (upper - lower)/(2 q)",
    "t": "se = estimate/t",
    "p": "se = |estimate|/q, q the quantile at 1 - p/2 (two-sided p)",
}


# -- an estimate of another measure ------------------------------------------------------------------------------------

#: Spellings of what an estimate may be, and the measure that each is.
SPELLINGS = {"d": "SMD", "g": "SMD", "r": "ZCOR"} | {name: name for name in MEASURES}
#: What an analysis can be made from besides its own measure.
CONVERTED = {"SMD": ("OR", "ZCOR"), "OR": ("SMD", "ZCOR"), "ZCOR": ("SMD", "OR")}


def _kind(table: Table, work: Work) -> np.ndarray:
    """Measure that each row says its estimate is, shape (k,), "" where it says nothing."""
    if work.kind is None:
        own = work.measure.name
        can = (own, *CONVERTED.get(own, ()))
        allowed = [name for name, meant in SPELLINGS.items() if meant in can]
        remedy = f"An analysis of {own} takes {', '.join(can)}; give another estimate, or exclude the row."
        words = table.words("estimate_measure", allowed, remedy)
        work.kind = np.array([SPELLINGS.get(word, "") for word in words], dtype=object)
    return work.kind


def needs_converted(table: Table, work: Work) -> Needs:
    """What a row with an estimate of another measure needs: an uncertainty, the size of a correlation, or counts."""
    kind = _kind(table, work)
    other = ~np.isin(kind, ("", work.measure.name))
    uncertain = np.any(list(_uncertainty_has(table, work.measure).values()), axis=0)
    by_size, by_counts = (kind == "ZCOR") & table.has("n"), kind == "OR"
    if by_counts.any():
        by_counts &= _has_counts(table)
    return [
        ("estimate", (table.has("estimate") | by_counts) & other),
        ("se", uncertain | by_size | by_counts),
    ]


COUNTS = ("events_t", "n_t", "events_c", "n_c")


def _has_counts(table: Table) -> np.ndarray:
    return np.asarray(np.all([table.has(name) for name in COUNTS], axis=0))


def from_converted(rows: np.ndarray, work: Work) -> None:
    """Take estimates on the scale of their own measure, and convert them to that of the analysis."""
    kind = _kind(work.table, work)[rows]
    for name in dict.fromkeys(kind):
        here = rows[kind == name]
        inner = Work(work.table, find_measure(name), work.options)
        inner.kind = np.full(work.table.k, "", dtype=object)
        _take(here, inner)
        work.steps += inner.steps
        work.faults += inner.faults
        work.warnings += inner.warnings
        work.printed |= inner.printed
        here = here[np.isfinite(inner.y[here]) & (inner.se[here] > 0)]
        if here.size:
            _convert(here, inner, work)


def _take(rows: np.ndarray, inner: Work) -> None:
    """Make the estimates of the rows on their own measure, as a table of that measure would."""
    table, name = inner.table, inner.measure.name
    given = table.has("estimate")[rows] & np.any(list(_uncertainty_has(table, inner.measure).values()), axis=0)[rows]
    if given.any():
        from_estimate(rows[given], inner)
    rest = rows[~given]
    if not rest.size:
        return
    names = COUNTS if name == "OR" else ("estimate", "n")
    c = {column: table[column][rest] for column in names}
    if name == "OR":
        good = inner.sound(rest, counts.rules_of_counts(c, name, inner.options.zero))
        c = {column: x[good] for column, x in c.items()}
        if good.any():
            inner.keep(rest[good], counts.odds_ratio(**c, zero=inner.options.zero), names)
        return
    c = {"r": c["estimate"], "n": c["n"]}
    good = inner.sound(rest, continuous.rules_of_correlation(c), {"r": "estimate"})
    if good.any():
        inner.keep(rest[good], continuous.correlation_z(c["r"][good], c["n"][good]), names)


def _convert(rows: np.ndarray, inner: Work, work: Work) -> None:
    y, se, source, target = inner.y[rows], inner.se[rows], inner.measure.name, work.measure.name
    sizes = [work.table[name][rows] for name in ("n_t", "n_c")]
    if source == "ZCOR":
        made = conversions.smd_from_correlation_z(y, se)
    elif source == "OR":
        made = conversions.smd_from_log_odds_ratio(y, se)
    else:
        made = Estimate(y, se, "")
    if source != "SMD" and target != "SMD":
        work.step(rows, made.formula, (), *made.common)
    if target == "OR":
        made = conversions.log_odds_ratio_from_smd(made.y, made.se)
    elif target == "ZCOR":
        made = conversions.correlation_z_from_smd(made.y, made.se, *sizes)
    used = ("n_t", "n_c") if target == "ZCOR" else ()
    work.keep(rows, made, used, f"converted from the {inner.measure.label} ({source}) that the trial reports")
