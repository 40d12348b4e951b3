"""Ways to an effect from what papers print: differences with any uncertainty, statistics, ANCOVA, crossover, d, g."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import bayesmeta.measures.continuous as continuous
import bayesmeta.measures.derive as derive
import bayesmeta.measures.standardised as standardised
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.rules import Rules
from bayesmeta.measures.work import Needs, Source, Table, Work

__all__ = ["SOURCES_OF_DIFFERENCES", "SOURCES_OF_STATISTICS", "refuse_residual_sds"]

WAYS = {"se": ("se",), "var": ("var",), "ci": ("ci_low", "ci_high"), "t": ("t",), "f": ("f",), "p": ("p",)}
STATISTICS = ("t", "f", "p")
SIGN_REMEDY = (
    "Give a column sign (1 where the treated arm has the higher numbers, else -1), both means, or the difference."
)
INDEPENDENT = (
    "taken for a difference of two independent groups without covariates (say design, or covariates, if it is not)"
)


# -- what rows have ----------------------------------------------------------------------------------------------------


def has_uncertainty(table: Table) -> np.ndarray:
    return np.any([np.all([table.has(name) for name in names], axis=0) for names in WAYS.values()], axis=0)


def has_statistic(table: Table) -> np.ndarray:
    return np.any([table.has(name) for name in STATISTICS], axis=0)


def _means(table: Table) -> np.ndarray:
    """Difference of means, of follow-up or else of changes; nan where a mean is missing."""
    final = table["mean_t"] - table["mean_c"]
    change = table["mean_change_t"] - table["mean_change_c"]
    return np.where(np.isnan(final), change, final)


def _adjusted(table: Table) -> np.ndarray:
    """Rows of an analysis of covariance."""
    return table.has("adjusted_difference") | table.has("r_squared") | (table["covariates"] > 0)


def difference_of(table: Table) -> np.ndarray:
    """The printed difference, else that of the means."""
    given = np.where(table.has("adjusted_difference"), table["adjusted_difference"], table["md"])
    return np.where(np.isnan(given), _means(table), given)


def _difference_columns(row: int, table: Table) -> tuple[str, ...]:
    for names in (("adjusted_difference",), ("md",), ("mean_t", "mean_c"), ("mean_change_t", "mean_change_c")):
        if all(table.has(name)[row] for name in names):
            return names
    return ()


def _raw_sd(table: Table) -> np.ndarray:
    """SD of scores: ``sd``, else ``sd_t`` and ``sd_c`` (or ``se_*`` with ``n_*``) pooled over independent arms."""
    with np.errstate(invalid="ignore", divide="ignore"):
        one, two = (
            np.where(table.has(f"sd_{a}"), table[f"sd_{a}"], table[f"se_{a}"] * np.sqrt(table[f"n_{a}"])) for a in "tc"
        )
        n_t, n_c = table["n_t"], table["n_c"]
        pooled = np.sqrt(((n_t - 1) * one**2 + (n_c - 1) * two**2) / (n_t + n_c - 2))
    return np.where(table.has("sd"), table["sd"], pooled)


def pairs_of(table: Table) -> np.ndarray:
    """People measured twice: ``n``, else the size that both columns of arms repeat."""
    same = np.where(table["n_t"] == table["n_c"], table["n_t"], np.nan)
    return np.where(table.has("n"), table["n"], same)


# -- statistics and standard errors ------------------------------------------------------------------------------------


def _size_of_t(rows: np.ndarray, df: np.ndarray, work: Work) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
    """Read |t| from t, F or p (two-sided), nan where it is at fault, and which column it came from in which rows."""
    table = work.table
    size, used, done = np.full(rows.size, np.nan), [], np.zeros(rows.size, dtype=bool)
    for name in STATISTICS:
        at = table.has(name)[rows] & ~done
        done |= at
        here, c = rows[at], {name: table[name][rows[at]], "df": df[at]}
        if not here.size:
            continue
        rules = Rules(c)
        if name == "f":
            rules.require(~(c["f"] < 0), "f", "is negative", "Give F, or t with its sign.")
            one = table["f_df"][here]
            text = "is not 1: only an F with one degree of freedom compares two groups"
            rules.require(np.isnan(one) | (one == 1), "f_df", text, "Give the contrast of the two groups.", value=one)
        elif name == "p":
            rules.within(0, 1, "p", why="p = 1 and p = 0 carry no standard error.")
        rules.require(~(c["df"] <= 0), "df", "is not > 0", "Correct the sizes.")
        good = work.sound(here, rules)
        value = np.sqrt(np.abs(c[name])) if name == "f" else np.abs(c[name])
        if name == "p":
            with np.errstate(invalid="ignore"):
                value = derive.critical_value(np.where(good, c["p"], np.nan), c["df"])
            exact = np.isfinite(c["df"])
            work.note(here[exact], "p two-sided, by Student's t")
            work.note(here[~exact], "p two-sided, by the normal distribution (sizes are not known)")
            _note_bounds(here, work)
        size[at] = np.where(good, value, np.nan)
        used.append((at, name))
    return size, used


def _note_bounds(rows: np.ndarray, work: Work) -> None:
    work.warn(
        rows[work.table.bounded[rows]], '"p <" is read as "p =": the standard error is too large rather than too small'
    )


def _signed_t(rows: np.ndarray, df: np.ndarray, work: Work) -> tuple[np.ndarray, list[tuple[np.ndarray, str]]]:
    """Read t with the sign of treated less control; F and p need it from elsewhere."""
    table = work.table
    size, used = _size_of_t(rows, df, work)
    difference = np.sign(difference_of(table)[rows])
    stated = np.where(table.has("sign")[rows], table["sign"][rows], np.nan)
    own = np.where(table.has("t")[rows], np.sign(table["t"][rows]), np.nan)
    sign = np.where(np.isnan(own), np.where(np.isnan(stated), difference, stated), own)
    for other, name in ((difference, "the means"), (stated, "sign")):
        for row in rows[
            np.isfinite(other) & np.isfinite(sign) & (other != sign) & np.isfinite(size) & (other * sign < 0)
        ]:
            column = "t" if table.has("t")[row] else "sign"
            work.fault(int(row), column, f"has another sign than {name}", "Give t the sign of treated less control.")
            size[rows == row] = np.nan
    for row in rows[np.isnan(sign) & np.isfinite(size)]:
        name = next(name for name in STATISTICS if table.has(name)[row])
        work.fault(int(row), name, "has no sign, and nothing says which arm has the higher numbers", SIGN_REMEDY)
    by_sign = np.isfinite(stated) & np.isnan(own)
    if by_sign.any():
        work.step(rows[by_sign], "", ("sign",))
    return size * sign, used


STATISTIC_TEXT = {"t": "t as given", "f": "t = sqrt(F)", "p": "t = quantile at 1 - p/2"}


def _tell(rows: np.ndarray, used: list[tuple[np.ndarray, str]], work: Work) -> None:
    for at, name in used:
        if at.any():
            work.step(rows[at], STATISTIC_TEXT[name], (name,))


def se_of(rows: np.ndarray, difference: np.ndarray, df: np.ndarray, work: Work) -> np.ndarray:
    """Standard errors of printed differences by the first uncertainty that a row has, nan where it is at fault."""
    table, level = work.table, work.options.ci_level
    se, done = np.full(rows.size, np.nan), np.zeros(rows.size, dtype=bool)
    for way, names in WAYS.items():
        at = np.all([table.has(name)[rows] for name in names], axis=0) & ~done
        if not at.any() or way in STATISTICS:
            continue
        done |= at
        here, c = rows[at], {name: table[name][rows[at]] for name in names}
        rules = Rules(c)
        if way == "ci":
            c |= {"estimate": difference[at], "lower": c["ci_low"], "upper": c["ci_high"]}
            rules = derive.rules_of_ci(c)
            good = work.sound(here, rules, {"lower": "ci_low", "upper": "ci_high", "estimate": "ci_low"})
            found = (c["upper"] - c["lower"]) / (2 * derive.critical_value(1 - level, df[at]))
            exact = np.isfinite(df[at])
            work.step(here[exact], "se = (upper - lower)/(2 t)", names)
            work.step(here[~exact], "se = (upper - lower)/(2 z)", names)
            work.note(here, f"interval of level {level:g}")
        else:
            rules.positive(way)
            good = work.sound(here, rules)
            found = c["se"] if way == "se" else np.sqrt(np.abs(c["var"]))
            work.step(here, "se as given" if way == "se" else "se = sqrt(var)", names)
        se[at] = np.where(good, found, np.nan)
    at = ~done
    if at.any():
        t, used = _signed_t(rows[at], df[at], work)
        remedy = "Give se, var or an interval; a difference or a statistic of 0 carries no standard error."
        for row in rows[at][(t == 0) | (difference[at] == 0)]:
            work.fault(int(row), next(n for n in STATISTICS if table.has(n)[row]), "gives no standard error", remedy)
        with np.errstate(divide="ignore", invalid="ignore"):
            se[at] = np.where((t == 0) | (difference[at] == 0), np.nan, np.abs(difference[at] / t))
        _tell(rows[at], used, work)
        work.step(rows[at], "se = difference/t", ())
    return se


def _residual_df(rows: np.ndarray, work: Work) -> np.ndarray:
    """Degrees of freedom of a test of two groups: as printed, else n_t + n_c - 2 less one for each covariate."""
    table = work.table
    covariates = np.where(
        table.has("covariates")[rows], table["covariates"][rows], _adjusted(table)[rows].astype(float)
    )
    df = table["n_t"][rows] + table["n_c"][rows] - 2 - covariates
    return np.where(table.has("df")[rows], table["df"][rows], df)


def by_columns(rows: np.ndarray, work: Work, *more: str) -> None:
    """Enter the columns that a difference came from, which differ by row."""
    found = [_difference_columns(int(row), work.table) for row in rows]
    for names in dict.fromkeys(found):
        at = np.array([other == names for other in found], dtype=bool)
        if rows.size:
            work.step(rows[at], "", (*names, *more))


# -- differences with an uncertainty -----------------------------------------------------------------------------------


def _is_difference(table: Table) -> np.ndarray:
    """Rows whose difference is printed, or lies between means that have no SD."""
    return table.has("md") | table.has("adjusted_difference") | (np.isfinite(_means(table)) & has_uncertainty(table))


def _needs_md(table: Table, work: Work) -> Needs:
    del work
    free = ~table.has("estimate")
    return [("md", _is_difference(table) & free), ("se", has_uncertainty(table))]


def _from_md(rows: np.ndarray, work: Work) -> None:
    difference, df = difference_of(work.table)[rows], _residual_df(rows, work)
    given = work.table.has("md")[rows] | work.table.has("adjusted_difference")[rows]
    se = se_of(rows, difference, np.where(work.paired[rows], pairs_of(work.table)[rows] - 1, df), work)
    good = np.isfinite(se)
    final = np.isfinite(work.table["mean_t"] - work.table["mean_c"])[rows]
    for at, text in (
        (given & good, "md as given"),
        (~given & final & good, "md = mean_t - mean_c"),
        (~given & ~final & good, "md = mean_change_t - mean_change_c"),
    ):
        if at.any():
            by_columns(rows[at], work)
            work.keep(rows[at], Estimate(difference[at], se[at], text), ())
    work.printed[rows] = True
    sd, n_t, n_c = (x[rows] for x in (_raw_sd(work.table), work.table["n_t"], work.table["n_c"]))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (se / sd) ** 2 / (1 / n_t + 1 / n_c)
    known = _adjusted(work.table)[rows] & ~work.paired[rows] & np.isfinite(part) & (part > 0)
    work.adjustment[rows] = np.where(known, part, 1.0)


def _needs_raw(table: Table, work: Work) -> Needs:
    del work
    free = ~table.has("estimate")
    printed = table.has("adjusted_difference") | table.has("md")
    # of the means of two arms with their SDs more is known than of a difference
    arms = _adjusted(table) | ~np.isfinite(_means(table))
    return [
        ("adjusted_difference", printed & free & arms),
        ("n_t", table.has("n_t")),
        ("n_c", table.has("n_c")),
        ("se", has_uncertainty(table)),
        ("sd", np.isfinite(_raw_sd(table))),
    ]


def _from_raw(rows: np.ndarray, work: Work) -> None:
    table = work.table
    difference, sd = difference_of(table)[rows], _raw_sd(table)[rows]
    se = se_of(rows, difference, _residual_df(rows, work), work)
    work.printed[rows] = True
    c = {"n_t": table["n_t"][rows], "n_c": table["n_c"][rows], "sd": sd}
    rules = standardised.rules_of_sizes(c)
    rules.positive("sd")
    for name in ("sd_t", "sd_c"):
        values = table[name][rows]
        rules.require(~(values <= 0), name, "is not > 0", continuous.SD_REMEDY, value=values)
    good = work.sound(rows, rules) & np.isfinite(se)
    rows, difference, sd, se = rows[good], difference[good], sd[good], se[good]
    if not rows.size:
        return
    n_t, n_c = table["n_t"][rows], table["n_c"][rows]
    by_columns(rows, work, "n_t", "n_c")
    one = table.has("sd")[rows]
    work.step(rows[one], "", ("sd",))
    work.step(rows[~one], "SD pooled over the arms", ("sd_t", "sd_c", "se_t", "se_c"))
    result = standardised.smd_from_raw_sd(difference, se, sd, n_t + n_c - 2, j=work.options.j)
    work.keep(rows, result, (), "standardised by the SD of the scores, not of residuals")
    plain = sd * np.sqrt(1 / n_t + 1 / n_c)
    work.adjustment[rows] = (se / plain) ** 2
    alike = np.abs(se / plain - 1) < RESIDUAL
    work.warn(
        rows[alike & _adjusted(table)[rows]],
        "SE is what this SD gives without covariates: is it the SD of residuals? An adjusted difference is divided by "
        "the SD of the scores",
    )
    work.by_scores[rows] = True


#: How near the printed SE and that of a residual SD are: rounding to two digits.
RESIDUAL = 0.01


def _needs_ancova(table: Table, work: Work) -> Needs:
    del work
    free = _adjusted(table) & ~table.has("estimate")
    t = has_statistic(table) | (np.isfinite(difference_of(table)) & has_uncertainty(table))
    return [
        ("t", t & free),
        ("r_squared", table.has("r_squared")),
        ("n_t", table.has("n_t")),
        ("n_c", table.has("n_c")),
    ]


def _from_ancova(rows: np.ndarray, work: Work) -> None:
    table, df = work.table, _residual_df(rows, work)
    t = t_of(rows, df, work)
    work.printed[rows] = work.through[rows] = True
    c = {"t": t, "df": df} | {name: table[name][rows] for name in ("r_squared", "n_t", "n_c")}
    good = np.isfinite(t)
    good &= work.sound(rows, standardised.rules_of_ancova(c | {"t": np.nan_to_num(t)}))
    rows, c = rows[good], {name: x[good] for name, x in c.items()}
    if not rows.size:
        return
    work.keep(
        rows, standardised.smd_from_ancova(**c, j=work.options.j), ("r_squared", "n_t", "n_c", "covariates", "df")
    )
    work.adjustment[rows] = 1 - c["r_squared"]
    unsaid = ~table.has("covariates")[rows] & ~table.has("df")[rows]
    work.note(rows[unsaid], "one covariate (covariates and df are not given)")
    work.by_scores[rows] = True


def t_of(rows: np.ndarray, df: np.ndarray, work: Work) -> np.ndarray:
    """Signed t of each row: as printed, or from a difference with its standard error."""
    direct = has_statistic(work.table)[rows]
    t = np.full(rows.size, np.nan)
    if direct.any():
        t[direct], used = _signed_t(rows[direct], df[direct], work)
        _tell(rows[direct], used, work)
    if not direct.all():
        rest = rows[~direct]
        difference = difference_of(work.table)[rest]
        t[~direct] = difference / se_of(rest, difference, df[~direct], work)
        by_columns(rest, work)
        work.step(rest, "t = difference/se", ())
    return t


def refuse_residual_sds(work: Work) -> None:
    """Note rows of an analysis of covariance that give no SD of scores and no R^2."""
    if work.measure.name != "SMD":
        return
    table = work.table
    lacking = _adjusted(table) & np.isnan(_raw_sd(table)) & ~table.has("r_squared") & ~work.paired
    lacking &= ~table.has("estimate") & ~table.has("d") & ~table.has("g")
    for row in np.flatnonzero(lacking & table.has("sd_residual")):
        remedy = "Give sd, or sd_t and sd_c, of the scores themselves; or r_squared with t, F or p."
        work.fault(
            int(row), "sd_residual", "is the SD of residuals, smaller than that of scores: g would be too large", remedy
        )
    for row in np.flatnonzero(lacking & ~table.has("sd_residual") & has_uncertainty(table)):
        name = next((name for name in STATISTICS if table.has(name)[row]), "adjusted_difference")
        remedy = "Give r_squared of the covariates, or the difference with its se and the SD of the scores."
        work.fault(
            int(row), name, "of an ANCOVA gives no standardised difference without R^2 or an SD of scores", remedy
        )


# -- statistics, d and g of independent groups -------------------------------------------------------------------------


def _needs_statistic(table: Table, work: Work) -> Needs:
    del work
    free = ~table.has("estimate") & ~_adjusted(table)
    with_error = table.has("md") & has_uncertainty(table)
    return [
        ("t", (has_statistic(table) | with_error) & free),
        ("n_t", table.has("n_t")),
        ("n_c", table.has("n_c")),
    ]


def _from_statistic(rows: np.ndarray, work: Work) -> None:
    table = work.table
    c = {"n_t": table["n_t"][rows], "n_c": table["n_c"][rows]}
    good = work.sound(rows, standardised.rules_of_sizes(c))
    rows = rows[good]
    t = t_of(rows, _residual_df(rows, work), work)
    work.printed[rows] = work.through[rows] = True
    rows, t = rows[np.isfinite(t)], t[np.isfinite(t)]
    if not rows.size:
        return
    n_t, n_c = table["n_t"][rows], table["n_c"][rows]
    result = standardised.smd_from_t(t, n_t, n_c, vtype=work.options.vtype, j=work.options.j)
    work.keep(rows, result, ("n_t", "n_c"))
    silent = ~has_statistic(table)[rows] & (work.design[rows] == "")
    work.note(rows[~silent], INDEPENDENT)
    work.warn(rows[silent], f"g is through t = md/se, {INDEPENDENT}: a paired or adjusted se makes g too large")
    work.by_scores[rows] = True


def _needs_d(name: str) -> Callable[[Table, Work], Needs]:
    def needs(table: Table, work: Work) -> Needs:
        del work
        free = ~table.has("estimate")
        return [(name, table.has(name) & free), ("n_t", table.has("n_t")), ("n_c", table.has("n_c"))]

    return needs


def _from_d(name: str) -> Callable[[np.ndarray, Work], None]:
    def compute(rows: np.ndarray, work: Work) -> None:
        table, options = work.table, work.options
        c = {column: table[column][rows] for column in (name, "n_t", "n_c")}
        good = work.sound(rows, standardised.rules_of_sizes(c, name))
        rows, c = rows[good], {column: x[good] for column, x in c.items()}
        if not rows.size:
            return
        corrected = name == "g"
        d, n_t, n_c = c.values()
        result = standardised.smd_from_d(d, n_t, n_c, corrected=corrected, vtype=options.vtype, j=options.j)
        work.keep(rows, result, tuple(c), f"{name} is by the SD pooled over two independent arms")
        work.by_scores[rows] = True

    return compute


def _needs_test_of_correlation(table: Table, work: Work) -> Needs:
    del work
    return [("t", has_statistic(table) & ~table.has("estimate")), ("n", table.has("n"))]


def _from_test_of_correlation(rows: np.ndarray, work: Work) -> None:
    n = work.table["n"][rows]
    t, used = _signed_t(rows, n - 2, work)
    _tell(rows, used, work)
    c = {"r": t / np.sqrt(t**2 + n - 2), "n": n}
    good = np.isfinite(t)
    good &= work.sound(rows, continuous.rules_of_correlation(c | {"r": np.nan_to_num(c["r"])}), {"r": "t"})
    if good.any():
        work.step(rows[good], "r = t/sqrt(t^2 + n - 2)", ("n",))
        work.keep(rows[good], continuous.correlation_z(c["r"][good], n[good]), ("n",))


SOURCES_OF_DIFFERENCES = (
    Source(
        "adjusted difference with the SD of scores",
        ("SMD",),
        _needs_raw,
        _from_raw,
        "adjusted_difference (or md) with se, var, ci_low ci_high, t, f or p, sd (or sd_t sd_c), n_t n_c",
    ),
    Source("ANCOVA with R^2", ("SMD",), _needs_ancova, _from_ancova, "t, f or p, r_squared, n_t n_c"),
)
SOURCES_OF_STATISTICS = (
    Source(
        "mean difference with se",
        ("MD",),
        _needs_md,
        _from_md,
        "md (or adjusted_difference) with se, var, ci_low ci_high, t, f or p",
    ),
    Source(
        "statistic", ("SMD",), _needs_statistic, _from_statistic, "md se n_t n_c, or t, f or p (with sign) and n_t n_c"
    ),
    Source("g", ("SMD",), _needs_d("g"), _from_d("g"), "g n_t n_c"),
    Source("d", ("SMD",), _needs_d("d"), _from_d("d"), "d n_t n_c"),
    Source("test of a correlation", ("ZCOR",), _needs_test_of_correlation, _from_test_of_correlation, "t, f or p, n"),
)
