"""Sections whose tables are classical: other estimators and intervals, small studies, influential trials, subsets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bayesmeta.classical import (
    alternatives_table,
    bootstrap_prediction,
    dependence_table,
    gosh,
    gosh_summary,
    influence_table,
    permutation_test,
    pool,
    small_study_table,
    tau2_intervals_table,
    zero_cell_table,
)
from bayesmeta.columns import columns_of, derived, joined, number, p_value, p_words, plural, unprinted
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.measures import measure, require_null
from bayesmeta.plan import Threshold
from bayesmeta.sensitivity.section import Computed, Fold, Section, SectionOptions, notes_of
from bayesmeta.sensitivity.verdicts import Answer, answers, compared, interval_unmoved, largest, listed, span

__all__ = [
    "COUNTS",
    "DEPENDENCE",
    "ESTIMATORS",
    "GOSH",
    "HETEROGENEITY",
    "INFLUENCE",
    "PERMUTATION",
    "SMALL_STUDY",
    "estimators_table",
    "permutation_table",
]

#: Rows of the table of influence that are printed, with all that are marked.
ROWS = 12
#: Notes of a row are joined by semicolons; one inside parentheses belongs to a reference.
_SENTENCES = re.compile(r"; (?![^()]*\))")
_MEAN = columns_of("effect", estimate="mean", lower="lower", upper="upper")
_P, _TAU = columns_of("p", p="p"), columns_of("number", tau="tau")


def estimators_table(effects: Effects, *, level: float = LEVEL, rho: float = 0.5) -> pd.DataFrame:
    """Estimators and intervals of the mean beside REML with Hartung-Knapp, and a prediction interval without plug-in.

    Returns
    -------
    pandas.DataFrame
        That of `bayesmeta.classical.alternatives_table`, with REML + HKSJ in front and the prediction interval from the
        confidence distribution of tau2 (Nagashima 2019, doi:10.1177/0962280218773520) behind.

    Examples
    --------
    >>> estimators_table(effects)["method"].tolist()[:2]
    ['REML + HKSJ', 'Henmi-Copas']
    """
    table = alternatives_table(effects, level=level, rho=rho)
    numeric = [str(column) for column in table.columns if column not in ("method", "note")]

    def line(method: str, make: Callable[[], Any]) -> dict[str, object]:
        try:
            found = make()
        except ModelError as error:
            return {"method": method, "note": str(error)}
        values = {name: getattr(found, name) for name in numeric if hasattr(found, name)}
        return {"method": method, **values, "note": "; ".join(found.notes)}

    rows = [
        line("REML + HKSJ", lambda: pool(effects, method="REML", ci="hksj", level=level, rho=rho)),
        *table.to_dict("records"),
        line("confidence distribution of tau2", lambda: bootstrap_prediction(effects, level=level)),
    ]
    return pd.DataFrame(rows).reindex(columns=table.columns).astype(dict.fromkeys(numeric, float))


def permutation_table(effects: Effects, *, seed: int = 1, rho: float = 0.5, level: float = LEVEL) -> pd.DataFrame:
    """Sign-flip tests of a zero mean effect, by the Wald and the Hartung-Knapp statistic, beside the usual p-values.

    Returns
    -------
    pandas.DataFrame
        Columns ``method ci estimate stat p p_usual number exact smallest note``.

    Examples
    --------
    >>> permutation_table(effects)["p"].tolist()
    [0.25, 0.25]
    """
    rows = []
    for ci in ("wald", "hksj"):
        usual = pool(effects, method="REML", ci=ci, level=level, rho=rho)
        found = permutation_test(effects, ci=ci, seed=seed, rho=rho)
        row: dict[str, object] = {"method": f"REML, {ci}", "ci": ci, "estimate": usual.estimate, "stat": found.stat}
        row |= {"p": found.p, "p_usual": usual.p, "number": found.number, "exact": found.exact}
        rows.append({**row, "smallest": found.smallest, "note": "; ".join(found.notes)})
    return pd.DataFrame(rows)


def _steady(name: str, kept: str, lost: str, by: str = "by") -> Callable[[Fit, pd.DataFrame, Threshold | None], str]:
    """A verdict that holds every line with numbers against the first that has them."""

    def verdict(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
        found = answers(table, name, "estimate")
        if len(found) < 2:
            return (
                "With these data there is one answer, and nothing to compare it with."
                if found
                else ("No such method is defined for these data.")
            )
        main = found[0]._replace(name=f"by {found[0].name}")
        return compared(fit, threshold, main, found[1:], kept=kept, lost=lost, by=by)

    return verdict


_SAME = "the conclusion stays, and mean and interval move by less than a tenth of the interval's half width"


def _guards(table: pd.DataFrame) -> list[str]:
    """What notes say of the whole table, once; then why a method is not defined."""
    parts = [_SENTENCES.split(str(note)) for note in table["note"] if note]
    common = [
        text
        for text in dict.fromkeys(part for note in parts for part in note)
        if sum(text in note for note in parts) > 1
    ]
    found = [f"{text.rstrip('.')}." for text in common]
    lost = table[table["estimate"].isna() & table["k0"].isna()]
    for row in lost.to_dict("records"):
        reasons = [part for part in _SENTENCES.split(str(row["note"])) if part not in common]
        found += [f"{row['method']}: {'; '.join(reasons).rstrip('.')}."] if reasons else []
    return found


def _with_bounded(table: pd.DataFrame) -> pd.DataFrame:
    """Lines that have numbers; below a selection model with a weight above 1 its result with weights of at most 1."""
    stars = table["mark"].map(lambda mark: " *" if mark else "")
    shown = table.assign(name=joined(table["method"], table["form"]) + stars)
    below = shown[shown["mark"] != ""]
    columns = ("estimate", "lower", "upper", "p")
    below = below.assign(name="  weights at most 1", shift=math.nan, **{c: below[f"bounded_{c}"] for c in columns})
    lines = pd.concat([shown, below]).sort_index(kind="stable")
    return lines[lines["estimate"].notna() | lines["k0"].notna()]


def _marked(table: pd.DataFrame) -> list[str]:
    """What the mark means, where it stands."""
    if not (table["mark"] != "").any():
        return []
    return [
        "* a weight above 1: trials with larger p values are seen more often, which no selection for small ones does."
    ]


def _small_study(fit: Fit, options: SectionOptions) -> Computed:
    stated = "auto" if fit.outcome is None else fit.outcome.selection.small_study_alternative
    return Computed(small_study_table(fit.effects, level=options.level, alternative=options.alternative or stated))


#: Tests of small-study effects are read at this level, as their power is small (Cochrane Handbook 13.3.5.2).
SMALL = 0.10


def _small_trials(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    """Tests, and the adjusted estimates; a test whose weight above 1 is no selection counts with that weight at 1."""
    marked = table["mark"] != ""
    tests = table.assign(p=table["p"].mask(marked, table["bounded_p"]))[table["kind"] == "test"]
    tests = tests[tests["p"].notna()]
    if not len(tests):
        return "No test of small-study effects is defined for these data."
    low = tests[tests["p"] < SMALL]
    least = largest(tests, -tests["p"])
    name = joined([least["method"]], [least["form"]])[0]
    start = (
        f"Small trials may differ: {len(low)} of {plural(len(tests), 'test')} with p below {SMALL:g}, the smallest "
        f"{p_words(float(least['p']))} ({name})"
        if len(low)
        else f"No test shows that small trials differ: the smallest of {plural(len(tests), 'p-value')} is "
        f"{p_value(float(least['p']))} ({name})"
    )
    few = "" if table["interpretable"].all() else "; with fewer than ten trials these tests say little"
    adjusted = table[(table["kind"] == "adjusted estimate") & ~marked]
    if not adjusted["shift"].notna().any():
        return f"{start}{few}."
    most = largest(adjusted, adjusted["shift"].abs())
    shift = number(abs(float(most["shift"])), 1)
    return f"{start}{few}. Adjusted estimates shift the mean by at most {shift} standard errors ({most['method']})."


SMALL_STUDY = Section(
    "small-study",
    "Are small trials different?",
    _small_study,
    (
        *derived(columns_of("text", name="method")),
        *columns_of("number", estimate="estimate", lower="lower", upper="upper"),
        *_P,
        *columns_of("count", k0="missing"),
        *columns_of("number", shift="shift in SE"),
        *unprinted(text="method form kind note mark", count="k", number="se stat df", flag="interpretable"),
        *unprinted(number="bounded_estimate bounded_lower bounded_upper bounded_p"),
    ),
    "Tests: estimate is a slope or a correlation. Adjusted estimates are on the analysis scale; shift: from the "
    "unadjusted REML estimate, in its standard errors.",
    printed=_with_bounded,
    notes=lambda table: [*_guards(table), *_marked(table)],
    verdict=_small_trials,
    references=("sterne2011",),
)


def _influential(table: pd.DataFrame) -> pd.DataFrame:
    """The largest by Cook's distance and all that are marked."""
    rank = table["cook"].rank(ascending=False, method="first")
    shown = table[(rank <= ROWS) | table["influential"].astype(bool) | table["outlier"].astype(bool)]
    pairs = zip(shown["influential"], shown["outlier"], strict=True)
    marks = [("*" if influential else "") + ("!" if outlier else "") for influential, outlier in pairs]
    return shown.assign(mark=marks).sort_values("cook", ascending=False)


def _influence(fit: Fit, options: SectionOptions) -> Computed:
    if fit.model.likelihood == "binomial":
        raise ModelError(
            "influence diagnostics are of normal estimates, and these trials are taken by their counts. Leaving out "
            "one trial at a time refits the counts."
        )
    return Computed(influence_table(fit.effects, level=options.level, rho=fit.model.rho))


def _marks(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    if not table["cook"].notna().any():
        return "Influence is not defined for these data."
    strong = table.loc[table["influential"].astype(bool), "label"].tolist()
    far = table.loc[table["outlier"].astype(bool), "label"].tolist()
    most = largest(table, table["cook"])
    start = (
        f"Influential by metafor's rules: {listed(strong)}"
        if strong
        else f"No estimate is influential by metafor's rules; the largest of Cook's distances is "
        f"{number(float(most['cook']), 2)} ({most['label']})"
    )
    return f"{start}. " + (
        f"Far from the others (residual beyond 1.96): {listed(far)}."
        if far
        else "No estimate is far from the others (residual beyond 1.96)."
    )


INFLUENCE = Section(
    "influence",
    "Which trials are influential?",
    _influence,
    (
        *columns_of("text", label="trial"),
        *columns_of("number", rstudent="rstudent", dffits="DFFITS", cook="Cook", hat="hat"),
        *columns_of("number", cov_ratio="cov. ratio", weight="weight %"),
        *derived(columns_of("text", mark="")),
        *unprinted(
            text="study note",
            number="y fitted rstandard tau2_deleted qe_deleted dfbeta se_residual baujat_x baujat_y",
            flag="influential outlier",
        ),
    ),
    "* influential by metafor's rules; ! studentized residual beyond 1.96. The largest are shown; the files of "
    "this table hold every row.",
    printed=_influential,
    verdict=_marks,
    fold=Fold(
        lambda fit, table, threshold: (table["mark"] == "").tolist(), "neither influential nor far from the others"
    ),
)


def _with_correlation(table: pd.DataFrame) -> pd.DataFrame:
    rho = [f" ({value:g})" if value == value else "" for value in table["correlation"].astype(float)]
    return table.assign(name=table["method"].astype(str) + rho)[table["estimate"].notna()]


def _rows_of_trials(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    if (table["k"] == table["n_clusters"]).all():
        return "No trial has two rows, so there is no dependence to treat."
    named = table.assign(name=_with_correlation(table)["name"].reindex(table.index))
    return _steady(
        "name",
        "No treatment of rows of one trial changes the conclusion:",
        "It matters how rows of one trial are treated:",
    )(fit, named, threshold)


def _dependence(fit: Fit, options: SectionOptions) -> Computed:
    return Computed(_without_tests(dependence_table(fit.effects, level=options.level), fit))


def _without_tests(table: pd.DataFrame, fit: Fit) -> pd.DataFrame:
    """The table without p values where one arm has nothing to be tested against."""
    single = measure(fit.effects.measure).single_arm
    return table.assign(p=np.nan) if single else table


DEPENDENCE = Section(
    "dependence",
    "Are rows of one trial treated right?",
    _dependence,
    (
        *derived(columns_of("text", name="treatment of rows")),
        *_MEAN,
        *columns_of("number", df="df"),
        *_P,
        *_TAU,
        *columns_of("number", cluster_tau="within"),
        *unprinted(text="method note", number="correlation se", count="k n_clusters"),
    ),
    "CHE: correlated and hierarchical effects with a stated sampling correlation, CR2 standard errors and "
    "Satterthwaite degrees of freedom. within: SD between rows of one trial.",
    printed=_with_correlation,
    notes=notes_of,
    references=("pustejovsky2022",),
    verdict=_rows_of_trials,
    fold=Fold(interval_unmoved, _SAME, "estimate"),
)


def _counts(fit: Fit, options: SectionOptions) -> Computed:
    if fit.effects.counts is None:
        raise ModelError("the table holds no counts (events and participants of both arms).")
    require_null(fit.effects.measure, "two-by-two tables")
    return Computed(zero_cell_table(fit.effects, level=options.level))


COUNTS = Section(
    "counts",
    "Would another way to pool counts, or to treat zero cells, change it?",
    _counts,
    (
        *derived(columns_of("text", name="method and zero cells")),
        *columns_of("count", k="k"),
        *_MEAN,
        *_P,
        *_TAU,
        *unprinted(text="method policy double_zero note", number="se"),
    ),
    "Double zero: trials without events in either arm carry no information on a ratio.",
    printed=lambda table: table.assign(name=joined(table["method"], table["policy"]))[table["estimate"].notna()],
    notes=notes_of,
    verdict=lambda fit, table, threshold: _steady(
        "name", "No way to pool counts changes the conclusion:", "It matters how counts are pooled:"
    )(fit, table.assign(name=joined(table["method"], table["policy"])), threshold),
    fold=Fold(interval_unmoved, _SAME, "estimate"),
)


def _heterogeneity(fit: Fit, options: SectionOptions) -> Computed:
    return Computed(tau2_intervals_table(fit.effects, level=options.level, rho=fit.model.rho))


def _tau_range(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    some = table[table["tau_lower"].notna()]
    if not len(some):
        return "No confidence interval of tau is defined for these data."
    zero = int((some["tau_lower"] <= 0).sum())
    lowest, highest = float(some["tau_lower"].min()), float(some["tau_upper"].max())
    ends = f"the lowest end is {number(lowest)}, the highest " + (
        number(highest) if math.isfinite(highest) else "not finite"
    )
    if not zero:
        return f"Trials differ by every method: no interval of tau holds 0; {ends}."
    if zero == len(some):
        return f"No method excludes that trials do not differ: every interval of tau holds 0; {ends}."
    return f"Whether trials differ depends on the method: {zero} of {len(some)} intervals of tau hold 0; {ends}."


HETEROGENEITY = Section(
    "heterogeneity",
    "What are the classical confidence intervals of tau?",
    _heterogeneity,
    (
        *derived(columns_of("text", name="method")),
        *columns_of("number", tau_lower="lower"),
        *derived(_TAU),
        *columns_of("number", tau_upper="upper", i2_lower="I2 lower", i2_upper="I2 upper"),
        *unprinted(text="method form note", number="tau2 tau2_lower tau2_upper"),
    ),
    "Confidence intervals of tau, and of I2 in percent.",
    printed=lambda table: table.assign(
        name=joined(table["method"], table["form"]), tau=np.sqrt(table["tau2"].to_numpy(float))
    )[table["tau_lower"].notna()],
    notes=notes_of,
    verdict=_tau_range,
)

ESTIMATORS = Section(
    "estimators",
    "Would another estimator or interval of the mean change it?",
    lambda fit, options: Computed(
        _without_tests(estimators_table(fit.effects, level=options.level, rho=fit.model.rho), fit)
    ),
    (
        *columns_of("text", method="method"),
        *_MEAN,
        *_P,
        *derived(_TAU),
        *columns_of("effect", pi_lower="PI lower", pi_upper="PI upper"),
        *unprinted(number="se df tau2", text="note"),
    ),
    printed=lambda table: table.assign(tau=np.sqrt(table["tau2"].to_numpy(float)))[table["estimate"].notna()],
    notes=notes_of,
    verdict=_steady(
        "method", "No other estimator or interval changes the conclusion:", "It matters how the mean is estimated:"
    ),
    fold=Fold(interval_unmoved, _SAME, "estimate"),
)


def _without_distribution(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    some = table[table["p"].notna() & table["p_usual"].notna()]
    if not len(some):
        return "No sign-flip test is defined for these data."
    low = [(row["p"] < 0.05, row["p_usual"] < 0.05) for row in some.to_dict("records")]
    p = [f"{p_words(float(a))} (usual {p_words(float(b))})" for a, b in zip(some["p"], some["p_usual"], strict=True)]
    agree = all(a == b for a, b in low)
    start = "Without a distribution the answer is the same" if agree else "Without a distribution the answer differs"
    side = "below" if agree and low[0][0] else "not below"
    same = len(set(low)) == 1 and agree
    return f"{start}{f', {side} 0.05' if same else ' at 0.05'}: {' and '.join(p)}, by the Wald and the HKSJ statistic."


def _permuted(fit: Fit, options: SectionOptions) -> Computed:
    require_null(fit.effects.measure, "the sign-flip test of the mean")
    return Computed(permutation_table(fit.effects, level=options.level, rho=fit.model.rho, seed=fit.seed))


PERMUTATION = Section(
    "permutation",
    "What if no distribution is assumed?",
    _permuted,
    (
        *columns_of("text", method="method"),
        *columns_of("effect", estimate="mean"),
        *columns_of("number", stat="statistic"),
        *_P,
        *columns_of("count", number="flips"),
        *unprinted(text="ci note", p="p_usual smallest", flag="exact"),
    ),
    "Signs of the estimates are flipped in every way, or in a seeded sample of ways.",
    verdict=_without_distribution,
    slow=True,
)


def _gosh(fit: Fit, options: SectionOptions) -> Computed:
    return Computed(gosh_summary(gosh(fit.effects, rho=fit.model.rho, seed=fit.seed)))


def _subsets(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    some = table[table["difference"].notna()]
    if not len(some):
        return "Subsets cannot be compared with these data."
    most = largest(some, some["difference"].abs())
    ends = [Answer("", x, x, x) for x in (float(most["with_estimate"]), float(most["without_estimate"]))]
    shares = some[["with_below_null", "without_below_null"]].to_numpy(float)
    low, high = float(np.nanmin(shares)), float(np.nanmax(shares))
    start = (
        "Subsets tell one story: with or without any trial, nearly all of them lie on one side of no effect"
        if low >= 0.95 or high <= 0.05
        else "Subsets tell different stories: with or without some trials, they lie on both sides of no effect"
    )
    return f"{start}. {most['trial']} moves their median most, {span(fit, ends)}."


GOSH = Section(
    "gosh",
    "Do subsets of trials tell different stories?",
    _gosh,
    (
        *columns_of("text", trial="trial"),
        *columns_of("effect", with_estimate="with it", without_estimate="without"),
        *columns_of("share", with_below_null="below null", without_below_null="without"),
        *columns_of("number", with_i2="I2 with", without_i2="without"),
        *unprinted(count="with_subsets without_subsets", number="difference", text="note"),
    ),
    "Medians over all subsets of trials, or a stated sample of them, that hold the trial and that do not.",
    verdict=_subsets,
    slow=True,
)
