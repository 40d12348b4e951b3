"""From a table of trials to effects: which formula each row allows, applied to all such rows at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

import bayesmeta.measures.continuous as continuous
import bayesmeta.measures.counts as counts
import bayesmeta.measures.prepost as prepost
from bayesmeta.errors import DataError, ModelError
from bayesmeta.measures.arm_rows import SOURCES_OF_ONE_ARM_AND_RATES
from bayesmeta.measures.arm_rows import needs as needs_of
from bayesmeta.measures.arms import from_arms, needs_arms
from bayesmeta.measures.clustered import inflate
from bayesmeta.measures.contradictions import contradictions
from bayesmeta.measures.crossover import PAIRS
from bayesmeta.measures.given import MEANS, from_converted, from_estimate, needs_converted, needs_estimate
from bayesmeta.measures.ledger import EffectRows, Ledger
from bayesmeta.measures.registry import MEASURES, Measure
from bayesmeta.measures.registry import measure as find_measure
from bayesmeta.measures.reported import SOURCES_OF_DIFFERENCES, SOURCES_OF_STATISTICS, refuse_residual_sds
from bayesmeta.measures.rules import RowFault, frozen, overflow_faults
from bayesmeta.measures.work import Needs, Options, Source, Table, Work

__all__ = ["effect_rows"]

# -- before and after --------------------------------------------------------------------------------------------------


def _prepost_columns(measure: str) -> tuple[str, ...]:
    what = (
        ("mean_pre", "sd_pre", "mean_post", "sd_post", "n")
        if measure == "MD"
        else ("mean_pre", "mean_post", "sd_pre", "n")
    )
    return tuple(f"{name}_{arm}" for arm in "tc" for name in what)


def _needs_prepost(table: Table, work: Work) -> Needs:
    # an SMD divides by the SD before alone, and a table may well have the other
    for arm in "tc":
        _ = table[f"sd_post_{arm}"]
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
    work.by_scores[rows] = True


# -- counts, correlations ----------------------------------------------------------------------------------------------


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


SOURCES = (
    *SOURCES_OF_DIFFERENCES,
    *SOURCES_OF_ONE_ARM_AND_RATES,
    Source(
        "counts",
        ("OR", "RR", "RD"),
        needs_of("events_t", "n_t", "events_c", "n_c"),
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
        "n_t mean_change_t sd_change_t n_c mean_change_c sd_change_c (se_*, or ci_low_* ci_high_*)",
    ),
    Source(
        "means before and after",
        ("MD", "SMD"),
        _needs_prepost,
        _from_prepost,
        "n_* mean_pre_* sd_pre_* mean_post_* sd_post_* correlation",
    ),
    Source("correlation", ("ZCOR",), needs_of("r", "n"), _from_correlation, "r n", None),
    Source(
        "estimate",
        tuple(MEASURES),
        needs_estimate,
        from_estimate,
        "estimate with se, var, ci_low ci_high, t or p",
        None,
    ),
    Source(
        "estimate of another measure",
        ("SMD", "OR", "ZCOR"),
        needs_converted,
        from_converted,
        "estimate with its uncertainty and estimate_measure",
        None,
    ),
    *SOURCES_OF_STATISTICS,
    PAIRS,
)


def effect_rows(frame: pd.DataFrame, measure: str, *, options: Mapping[str, object] | None = None) -> EffectRows:
    """Compute an effect and its standard error from every row of a table, by the first way its columns allow.

    Ways are tried in this order, by row. One that is filled only in part is passed over; the ledger says so, and names
    what was left unused:

    - ``adjusted_difference`` (or ``md`` of arms without means) with its uncertainty, ``n_t n_c`` and the SD of scores,
      ``sd`` or ``sd_t sd_c`` (SMD); ``t``, ``f`` or ``p`` of an ANCOVA with ``r_squared`` and ``n_t n_c`` (SMD);
    - counts ``events_t n_t events_c n_c`` (OR, RR, RD); events and person-time ``events_t time_t events_c time_c``
      (IRR);
    - one arm: ``events n`` (PLO), ``mean`` with ``sd n``, ``se`` or ``ci_low ci_high`` (MN), ``events time`` (IRLN);
    - arm means ``n_t mean_t sd_t n_c mean_c sd_c`` (MD, SMD, SMDH, ROM), where each arm may have ``se_*`` or
      ``ci_low_* ci_high_*`` in place of the SD, or ``median_*`` with ``q1_* q3_*``, ``low_* high_*`` or both;
    - change scores ``mean_change_* sd_change_*`` or ``se_change_*`` or ``ci_low_change_* ci_high_change_*`` (MD, SMD);
    - means before and after ``mean_pre_* mean_post_* sd_pre_*`` (MD: and ``sd_post_*``) with ``correlation``;
    - ``r n`` (ZCOR);
    - ``estimate`` with ``se``, ``var``, ``ci_low ci_high``, and but for one arm ``t`` or ``p`` (and ``df`` for a t
      interval or test);
    - the same of another measure, which ``estimate_measure`` names (SMD, OR and ZCOR of each other);
    - ``md`` or ``adjusted_difference`` with ``se``, ``var``, ``ci_low ci_high``, ``t``, ``f`` or ``p`` (MD);
    - ``t``, ``f`` or ``p`` (with ``sign``), or ``md`` with its uncertainty, and ``n_t n_c``; ``g`` or ``d`` (SMD);
    - ``t``, ``f`` or ``p`` with ``n`` (ZCOR).

    Rows whose ``design`` is crossover or paired are made from ``n``, the difference, and either its uncertainty or the
    SDs with ``correlation`` (MD, SMD), or from ``estimate``. Where a row gives ``icc`` and ``cluster_size``, or
    ``design_effect``, its standard error is multiplied by the root of the design effect.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per estimate, columns by these names; others are ignored.
    measure : str
        A name in :data:`MEASURES`.
    options : mapping, optional
        ``vtype`` and ``j`` as in :func:`smd`; ``zero`` as in :func:`odds_ratio`; ``correlation``, of baseline with
        follow-up or of two measurements where the table has none; ``ci_level``; ``scale``: ``"natural"`` (an odds ratio
        is given as 0.8) or
        ``sd_of_one_arm``: ``"other"`` where the SD of one arm may stand for that of the other.

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
    # nan in, nan out: numbers that are at fault are found where a way uses them
    with np.errstate(all="ignore"):
        needs = [source.needs(table, work) for source in sources]
        refuse_residual_sds(work)
    # a p or a sign that is at fault has been read as one
    worded = any(fault.column in ("p", "sign") for fault in table.faults)
    if table.k and not worded and not any(_specific(need).any() for need in needs):
        ways = "; or ".join(source.columns for source in sources)
        raise DataError(f"No columns to make {found.name} from. Give {ways}.")
    suits = [np.ones(table.k, bool) if s.pairs is None else work.paired == s.pairs for s in sources]
    complete = [np.all([has for _, has in need], axis=0) & at for need, at in zip(needs, suits, strict=True)]
    free = np.ones(table.k, dtype=bool)
    free &= ~_at_fault(work)
    if {"md", "estimate"} <= set(frame.columns) and found.name in ("MD", "SMD"):
        free &= ~_ambiguous(work)
    for number, source in enumerate(sources):
        rows = np.flatnonzero(complete[number] & free)
        if rows.size:
            free[rows] = False
            for later in range(number + 1, len(sources)):
                work.note(rows[complete[later][rows]], f"{sources[later].name}: given too, and not used")
            for earlier in range(number):
                part = _specific(needs[earlier]) & suits[earlier]
                work.note(rows[part[rows]], f"{sources[earlier].name}: incomplete, and not used")
            with np.errstate(all="ignore"):
                source.compute(rows, work)
    with np.errstate(all="ignore"):
        inflate(work)
    read = frozenset(table.numbers)
    contradictions(work)
    work.faults += overflow_faults(work.y, work.se, np.flatnonzero(~free & ~_at_fault(work)), found.name)
    _missing(np.flatnonzero(free & ~_at_fault(work)), sources, needs, suits, work)
    faults = sorted((*table.faults, *work.faults), key=lambda fault: fault.row)
    bad = np.unique([fault.row for fault in faults]).astype(int)
    work.y[bad], work.se[bad] = np.nan, np.nan
    y, se = frozen(work.y), frozen(work.se)
    sound = ~work.mask(bad)
    warnings = tuple((text, mask & sound) for text, mask in work.warnings if (mask & sound).any())
    return EffectRows(
        y,
        se,
        Ledger(y, se, table.numbers, work.steps),
        tuple(faults),
        warnings,
        frozen(work.deff),
        frozen(work.deff * work.adjustment),
        ~work.paired & ~work.allowed_for & (work.deff == 1),
        read,
    )


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


#: Needs that are no sign of one source, because several have them.
SHARED = ("n_t", "n_c", "n", "se", "sd", "correlation", "r_squared")


def _specific(need: Needs) -> np.ndarray:
    """Rows that have a number belonging to this source, other than the sizes that several share."""
    own = [has for name, has in need if name not in SHARED]
    return np.asarray(np.any(own, axis=0))


def _missing(rows: np.ndarray, sources: list[Source], needs: list[Needs], suits: list[np.ndarray], work: Work) -> None:
    """Say of rows that no source suits which numbers the nearest one lacks."""
    if not rows.size:
        return
    share = np.array(
        [np.mean([has[rows] for _, has in need], axis=0) - 2 * ~at[rows] for need, at in zip(needs, suits, strict=True)]
    )
    # rows that have nothing of their own lack what the other rows have
    used = np.array([np.all([has for _, has in need], axis=0).sum() for need in needs])
    own = np.any([_specific(need)[rows] for need in needs], axis=0)
    nearest = np.where(own, np.argmax(share, axis=0), np.argmax(used) if used.any() else np.argmax(share, axis=0))
    for at, row in enumerate(rows):
        source, need = sources[nearest[at]], needs[nearest[at]]
        for name, has in need:
            if not has[row]:
                remedy = f"Give {source.columns}, or exclude the row."
                work.faults.append(RowFault(int(row), name, float("nan"), "is missing", remedy))
