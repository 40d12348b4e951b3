"""From a table of trials to effects: which formula each row allows, applied to all such rows at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

import bayesmeta.measures.continuous as continuous
import bayesmeta.measures.counts as counts
import bayesmeta.measures.derive as derive
import bayesmeta.measures.prepost as prepost
from bayesmeta.errors import DataError, ModelError
from bayesmeta.measures.arms import from_arms, needs_arms
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.ledger import EffectRows, Ledger
from bayesmeta.measures.registry import Measure
from bayesmeta.measures.registry import measure as find_measure
from bayesmeta.measures.rules import RowFault, Rules, frozen, overflow_faults
from bayesmeta.measures.work import Options, Table, Work

__all__ = ["effect_rows"]

OFF_CENTRE = 0.1  # of the interval's width, as metafor's conv.wald


@dataclass(frozen=True, slots=True)
class Source:
    """One way to get an estimate: what a row must have, and what is done then."""

    name: str
    measures: tuple[str, ...]
    needs: Callable[[Table, Work], list[tuple[str, np.ndarray]]]
    compute: Callable[[np.ndarray, Work], None]
    columns: str


# -- before and after --------------------------------------------------------------------------------------------------


def _prepost_columns(measure: str) -> tuple[str, ...]:
    what = (
        ("mean_pre", "sd_pre", "mean_post", "sd_post", "n")
        if measure == "MD"
        else ("mean_pre", "mean_post", "sd_pre", "n")
    )
    return tuple(f"{name}_{arm}" for arm in "tc" for name in what)


def _needs_prepost(table: Table, work: Work) -> list[tuple[str, np.ndarray]]:
    r = np.full(table.k, work.options.correlation is not None) | table.has("correlation")
    return [(name, table.has(name)) for name in _prepost_columns(work.measure.name)] + [("correlation", r)]


def _from_prepost(rows: np.ndarray, work: Work) -> None:
    table, smd = work.table, work.measure.name == "SMD"
    columns = _prepost_columns(work.measure.name)
    c = {name: table[name][rows] for name in columns}
    given = table.has("correlation")[rows]
    assumed = np.nan if work.options.correlation is None else work.options.correlation
    c["correlation"] = np.where(given, table["correlation"][rows], assumed)
    good = work.sound(rows, prepost.rules_of_prepost(c, 3 if smd else 1, posttest_sd=not smd))
    rows, c, given = rows[good], {key: x[good] for key, x in c.items()}, given[good]
    if not rows.size:
        return
    result = prepost.smd_change(**c, j=work.options.j) if smd else prepost.mean_change_difference(**c)
    work.keep(rows, result, (*columns, "correlation"))
    work.note(rows[given], "correlation of baseline with follow-up taken from the table, the same in both arms")
    work.note(rows[~given], f"correlation {assumed:g} of baseline with follow-up assumed in both arms")


# -- counts, correlations, mean difference with se ---------------------------------------------------------------------


def _needs(*columns: str) -> Callable[[Table, Work], list[tuple[str, np.ndarray]]]:
    def needs(table: Table, work: Work) -> list[tuple[str, np.ndarray]]:
        del work
        return [(name, table.has(name)) for name in columns]

    return needs


def _from_counts(rows: np.ndarray, work: Work) -> None:
    columns = ("events_t", "n_t", "events_c", "n_c")
    c = {name: work.table[name][rows] for name in columns}
    name, zero = work.measure.name, work.options.zero
    rules = counts.rules_of_counts(c, name, "half")
    good = work.sound(rows, rules)
    rows, c = rows[good], {key: x[good] for key, x in c.items()}
    if zero == "none":
        good = work.sound(rows, counts.rules_of_counts(c, name, zero))
        rows, c = rows[good], {key: x[good] for key, x in c.items()}
    if rows.size:
        formula = {"OR": counts.odds_ratio, "RR": counts.risk_ratio, "RD": counts.risk_difference}[name]
        work.keep(rows, formula(**c, zero=zero), columns)


def _from_correlation(rows: np.ndarray, work: Work) -> None:
    c = {"r": work.table["r"][rows], "n": work.table["n"][rows]}
    good = work.sound(rows, continuous.rules_of_correlation(c))
    if good.any():
        work.keep(rows[good], continuous.correlation_z(c["r"][good], c["n"][good]), ("r", "n"))


def _from_md(rows: np.ndarray, work: Work) -> None:
    columns = ("md", "se", "n_t", "n_c") if work.measure.name == "SMD" else ("md", "se")
    c = {name: work.table[name][rows] for name in columns}
    if work.measure.name == "SMD":
        rules = continuous.rules_of_md(c)
    else:
        rules = Rules(c)
        rules.present("md", "se")
        rules.positive("se")
    good = work.sound(rows, rules)
    rows, c = rows[good], {key: x[good] for key, x in c.items()}
    if not rows.size:
        return
    if work.measure.name == "SMD":
        result = continuous.smd_from_md_se(**c, vtype=work.options.vtype, j=work.options.j)
    else:
        result = Estimate(c["md"], c["se"], "md as given; se as given")
    work.keep(rows, result, columns)


# -- an estimate with its uncertainty ----------------------------------------------------------------------------------

UNCERTAINTY = {"se": ("se",), "var": ("var",), "ci": ("ci_low", "ci_high"), "t": ("t",), "p": ("p",)}


def _uncertainty_has(table: Table) -> dict[str, np.ndarray]:
    return {way: np.all([table.has(name) for name in names], axis=0) for way, names in UNCERTAINTY.items()}


def _needs_estimate(table: Table, work: Work) -> list[tuple[str, np.ndarray]]:
    del work
    return [("estimate", table.has("estimate")), ("se", np.any(list(_uncertainty_has(table).values()), axis=0))]


def _from_estimate(rows: np.ndarray, work: Work) -> None:
    has = _uncertainty_has(work.table)
    # On a natural scale that is transformed only limits and tests say what they mean; se and var come last, as a fault.
    order = ("ci", "t", "p", "se", "var") if _moves(work) else tuple(UNCERTAINTY)
    done = np.zeros(rows.size, dtype=bool)
    for way in order:
        at = has[way][rows] & ~done
        done |= at
        if at.any():
            here = rows[at]
            for other in UNCERTAINTY:
                if other != way:
                    work.note(here[has[other][here]], f"{other} is given too, and was not used")
            _from_estimate_with(way, here, work)


def _moves(work: Work) -> bool:
    return work.measure.transformed and work.options.scale == "natural"


def _from_estimate_with(way: str, rows: np.ndarray, work: Work) -> None:
    table, level = work.table, work.options.ci_level
    names = ("estimate", *UNCERTAINTY[way])
    columns = (*names, "df") if way in ("ci", "p") else names
    c = {name: table[name][rows] for name in columns}
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
        shown = "log(estimate)" if work.measure.log else "atanh(estimate)"
    result = Estimate(y, se, f"{shown}; {UNCERTAINTY_TEXT[way]}")
    work.keep(rows, result, columns, *((f"interval of level {level:g}",) if way == "ci" else ()))
    if "df" in c:
        what = "interval" if way == "ci" else "test"
        work.note(rows[np.isnan(c["df"])], f"normal {what} (no df given)")
        work.note(rows[~np.isnan(c["df"])], f"t {what}, with the df given")


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
            rules.within(-1, 1, *moved)
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

MEANS = ("MD", "SMD", "SMDH", "ROM")
SOURCES = (
    Source(
        "counts",
        ("OR", "RR", "RD"),
        _needs("events_t", "n_t", "events_c", "n_c"),
        _from_counts,
        "events_t n_t events_c n_c",
    ),
    Source(
        "arm means",
        MEANS,
        needs_arms(""),
        from_arms(""),
        "n_t mean_t sd_t n_c mean_c sd_c (se_*, ci_low_* ci_high_*, or median_* with q1_* q3_* or low_* high_*)",
    ),
    Source(
        "change scores",
        ("MD", "SMD"),
        needs_arms("change_"),
        from_arms("change_"),
        "n_t mean_change_t sd_change_t n_c mean_change_c sd_change_c",
    ),
    Source(
        "means before and after",
        ("MD", "SMD"),
        _needs_prepost,
        _from_prepost,
        "n_* mean_pre_* sd_pre_* mean_post_* sd_post_* correlation",
    ),
    Source("correlation", ("ZCOR",), _needs("r", "n"), _from_correlation, "r n"),
    Source(
        "estimate",
        (*MEANS, "OR", "RR", "RD", "HR", "ZCOR", "generic"),
        _needs_estimate,
        _from_estimate,
        "estimate with se, var, ci_low ci_high, t or p",
    ),
    Source("mean difference with se", ("SMD",), _needs("md", "se", "n_t", "n_c"), _from_md, "md se n_t n_c"),
    Source("mean difference with se", ("MD",), _needs("md", "se"), _from_md, "md se"),
)


def effect_rows(frame: pd.DataFrame, measure: str, *, options: Mapping[str, object] | None = None) -> EffectRows:
    """Compute an effect and its standard error from every row of a table, by the first way its columns allow.

    Ways are tried in this order, by row. One that is filled only in part is passed over; the ledger says so, and names
    what was left unused:

    - counts ``events_t n_t events_c n_c`` (OR, RR, RD);
    - arm means ``n_t mean_t sd_t n_c mean_c sd_c`` (MD, SMD, SMDH, ROM), where each arm may have ``se_*`` or
      ``ci_low_* ci_high_*`` in place of the SD, or ``median_*`` with ``q1_* q3_*``, ``low_* high_*`` or both;
    - change scores ``mean_change_* sd_change_*`` or ``se_change_*`` (MD, SMD);
    - means before and after ``mean_pre_* mean_post_* sd_pre_*`` (MD: and ``sd_post_*``) with ``correlation``;
    - ``r n`` (ZCOR);
    - ``estimate`` with ``se``, ``var``, ``ci_low ci_high``, ``t`` or ``p`` (and ``df`` for a t interval or test);
    - ``md se n_t n_c`` (SMD) or ``md se`` (MD).

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per estimate, columns by these names; others are ignored.
    measure : str
        A name in :data:`MEASURES`.
    options : mapping, optional
        ``vtype`` and ``j`` as in :func:`smd`; ``zero`` as in :func:`odds_ratio`; ``correlation``, of baseline with
        follow-up where the table has none; ``ci_level``; ``scale``: ``"natural"`` (an odds ratio is given as 0.8) or
        ``"log"`` (as -0.22; ``"analysis"`` is the same for any measure).

    Returns
    -------
    EffectRows
        Estimates, standard errors, ledger and faults. A row at fault is nan, never dropped.

    Raises
    ------
    ModelError
        If the measure or an option is not one of those allowed.
    DataError
        If the table has no set of columns that this measure can be made from.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"estimate": [0.8, 0.9], "ci_low": [0.6, 1.0], "ci_high": [1.1, 1.2]})
    >>> rows = effect_rows(frame, "OR")
    >>> rows.y.round(4), rows.se.round(4)
    (array([-0.2231, nan]), array([0.1546, nan]))
    >>> rows.ledger[0].formula
    'log(estimate); se = (upper - lower)/(2 q)'
    >>> rows.faults[0].column, rows.faults[0].rule
    ('estimate', 'lies outside its interval')
    """
    found = find_measure(measure)
    checked = _options(options or {}, found)
    table = Table(frame)
    work = Work(table, found, checked)
    sources = [source for source in SOURCES if found.name in source.measures]
    needs = [source.needs(table, work) for source in sources]
    if table.k and not any(_specific(need).any() for need in needs):
        ways = "; or ".join(source.columns for source in sources)
        raise DataError(f"No columns to make {found.name} from. Give {ways}.")
    complete = [np.all([has for _, has in need], axis=0) for need in needs]
    free = np.ones(table.k, dtype=bool)
    if {"md", "estimate"} <= set(frame.columns) and found.name in ("MD", "SMD"):
        free &= ~_ambiguous(work)
    for number, source in enumerate(sources):
        rows = np.flatnonzero(complete[number] & free)
        if rows.size:
            free[rows] = False
            for later in range(number + 1, len(sources)):
                work.note(rows[complete[later][rows]], f"{sources[later].name}: given too, and not used")
            for earlier in range(number):
                part = _specific(needs[earlier])
                work.note(rows[part[rows]], f"{sources[earlier].name}: incomplete, and not used")
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                source.compute(rows, work)
    work.faults += overflow_faults(work.y, work.se, np.flatnonzero(~free & ~_at_fault(work)), found.name)
    _missing(np.flatnonzero(free & ~_at_fault(work)), sources, needs, work)
    faults = sorted((*table.faults, *work.faults), key=lambda fault: fault.row)
    bad = np.unique([fault.row for fault in faults]).astype(int)
    work.y[bad], work.se[bad] = np.nan, np.nan
    y, se = frozen(work.y), frozen(work.se)
    return EffectRows(y, se, Ledger(y, se, table.numbers, work.steps), tuple(faults))


def _options(options: Mapping[str, object], measure: Measure) -> Options:
    unknown = [name for name in options if name not in Options.__slots__]
    if unknown:
        raise ModelError(f"option {', '.join(map(repr, unknown))} is not one of {', '.join(Options.__slots__)}.")
    checked = Options(**dict(options))  # type: ignore[arg-type]
    if checked.scale == "log" and not measure.log:
        raise ModelError(f"scale='log' is for ratios; {measure.name} is not analysed on the log scale.")
    return checked


def _at_fault(work: Work) -> np.ndarray:
    return work.mask(np.array([fault.row for fault in (*work.faults, *work.table.faults)], dtype=int))


def _ambiguous(work: Work) -> np.ndarray:
    """Rows where se could belong to the estimate or to the mean difference."""
    table = work.table
    both = table.has("md") & table.has("estimate") & table.has("se")
    for row in np.flatnonzero(both):
        work.faults.append(
            RowFault(
                int(row),
                "se",
                float(table["se"][row]),
                "stands beside both estimate and md",
                "Leave one of them empty.",
            )
        )
    return both


def _specific(need: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Rows that have a number belonging to this source, other than the sizes that several share."""
    own = [has for name, has in need if name not in ("n_t", "n_c", "n", "se", "correlation")]
    return np.asarray(np.any(own, axis=0))


def _missing(rows: np.ndarray, sources: list[Source], needs: list[list[tuple[str, np.ndarray]]], work: Work) -> None:
    """Say of rows that no source suits which numbers the nearest one lacks."""
    if not rows.size:
        return
    share = np.array([np.mean([has[rows] for _, has in need], axis=0) for need in needs])
    nearest = np.argmax(share, axis=0)
    for at, row in enumerate(rows):
        source, need = sources[nearest[at]], needs[nearest[at]]
        for name, has in need:
            if not has[row]:
                remedy = f"Give {source.columns}, or exclude the row."
                work.faults.append(RowFault(int(row), name, float("nan"), "is missing", remedy))
