"""Sensitivity analyses of one pooled result, one table each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import pandas as pd

from bayesmeta.checking import power_scaling_table
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
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.fits import LEVEL, Fit
from bayesmeta.plan import Threshold
from bayesmeta.sensitivity.concordance import concordance_table
from bayesmeta.sensitivity.inconsistency import inconsistency_table
from bayesmeta.sensitivity.multiverse import multiverse_table, variants_of
from bayesmeta.sensitivity.prior_bench import prior_bench_table
from bayesmeta.sensitivity.tipping import tipping_table
from bayesmeta.sensitivity.trials import cumulative_fits_table, leave_one_out

__all__ = ["SECTIONS", "SLOW", "SensitivityAnalyses", "estimators_table", "permutation_table", "sensitivity_analyses"]

Recompute = Callable[[Mapping[str, Any]], Effects]

#: Sections by name, with what each asks.
SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "concordance": "Why do the Bayesian and the classical answer differ?",
        "priors": "Would another prior change it?",
        "tipping": "How far must a prior move to change the conclusion?",
        "scaling": "What would a little more or less of a prior change?",
        "leave-one-out": "Does one trial carry it?",
        "cumulative": "How did it come about?",
        "inconsistency": "On which side of the threshold do trials lie?",
        "small-study": "Are small trials different?",
        "influence": "Which trials are influential?",
        "dependence": "Are rows of one trial treated right?",
        "counts": "Would another way to pool counts, or to treat zero cells, change it?",
        "heterogeneity": "What are the classical confidence intervals of tau?",
        "estimators": "Would another estimator or interval of the mean change it?",
        "multiverse": "Would any combination of choices change it?",
        "permutation": "What if no distribution is assumed?",
        "gosh": "Do subsets of trials tell different stories?",
    }
)
#: Sections that are made only when they are named, because they refit thousands of times.
SLOW = ("permutation", "gosh")


@dataclass(frozen=True, slots=True, eq=False)
class SensitivityAnalyses:
    """The tables of one outcome's sensitivity bench.

    Attributes
    ----------
    tables : mapping of str to pandas.DataFrame
        By section.
    not_done : mapping of str to str
        Sections that these data or this model do not allow, each with the reason.
    """

    tables: Mapping[str, pd.DataFrame]
    not_done: Mapping[str, str]


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
    rows: list[dict[str, object]] = []
    try:
        usual = pool(effects, method="REML", ci="hksj", level=level, rho=rho)
        rows.append(
            {
                "method": "REML + HKSJ",
                "estimate": usual.estimate,
                "se": usual.se,
                "lower": usual.lower,
                "upper": usual.upper,
                "df": usual.df,
                "p": usual.p,
                "tau2": usual.tau2,
                "pi_lower": usual.pi_lower,
                "pi_upper": usual.pi_upper,
                "note": "; ".join(usual.notes),
            }
        )
    except ModelError as error:
        rows.append({"method": "REML + HKSJ", "note": str(error)})
    rows += [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
    name = "confidence distribution of tau2"
    try:
        found = bootstrap_prediction(effects, level=level)
        rows.append(
            {
                "method": name,
                "estimate": found.estimate,
                "lower": found.lower,
                "upper": found.upper,
                "tau2": found.tau2,
                "pi_lower": found.pi_lower,
                "pi_upper": found.pi_upper,
                "note": "; ".join(found.notes),
            }
        )
    except ModelError as error:
        rows.append({"method": name, "note": str(error)})
    frame = pd.DataFrame(rows).reindex(columns=table.columns)
    numeric = [column for column in frame.columns if column not in ("method", "note")]
    return frame.astype(dict.fromkeys(numeric, float))


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
        rows.append(
            {
                "method": f"REML, {ci}",
                "ci": ci,
                "estimate": usual.estimate,
                "stat": found.stat,
                "p": found.p,
                "p_usual": usual.p,
                "number": found.number,
                "exact": found.exact,
                "smallest": found.smallest,
                "note": "; ".join(found.notes),
            }
        )
    return pd.DataFrame(rows)


def sensitivity_analyses(
    fit: Fit,
    sections: Sequence[str] | None = None,
    *,
    threshold: Threshold | None = None,
    recompute: Recompute | None = None,
    options: Mapping[str, Any] | None = None,
    order: Sequence[str] | None = None,
    cut: float = 0.8,
    ref_sd: float | None = None,
    level: float = LEVEL,
    keep: Callable[[str, Any, Any], None] | None = None,
) -> SensitivityAnalyses:
    """Ask everything of one fit.

    Parameters
    ----------
    fit : Fit
        The pooled analysis.
    sections : sequence of str, optional
        Names of `SECTIONS`; default all but the slow ones.
    threshold : Threshold, optional
        Default: the primary one of the fit's outcome.
    recompute : callable, optional
        From options of effect sizes to the effects of the same trials, for the multiverse.
    options : mapping, optional
        The options that the effects were computed with.
    order : sequence of str, optional
        Trials in the order in which the cumulative analysis adds them; default that of the rows.
    cut : float
        The probability that the panel wants, for tipping points.
    ref_sd : float, optional
        A fixed external SD, for priors on scales without a unit of their own.
    level : float
    keep : callable, optional
        Is given the section (``priors``, ``concordance``), the line and the fit behind it, as each is made: pairs of
        names of priors, numbers of steps.

    Returns
    -------
    Bench
        A section that the data do not allow is in ``not_done`` with the reason; nothing is raised for it.

    Raises
    ------
    ModelError
        For an unknown section; the message lists those there are.

    Examples
    --------
    >>> bench = sensitivity_analyses(fit, ["concordance", "counts"])
    >>> list(bench.tables), list(bench.not_done)
    (['concordance'], ['counts'])
    """
    names = [name for name in SECTIONS if name not in SLOW] if sections is None else list(dict.fromkeys(sections))
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise ModelError(f"section {unknown[0]!r} is not one of {', '.join(SECTIONS)}.")
    effects, rho = fit.effects, fit.model.rho
    chosen = threshold or (fit.outcome.decision.primary if fit.outcome is not None else None)
    stated = None if chosen is None else [chosen]

    def kept(section: str) -> Callable[[Any, Any], None] | None:
        return None if keep is None else partial(keep, section)

    def multiverse() -> pd.DataFrame:
        return multiverse_table(fit, variants_of(effects, options or {}, recompute), chosen, level=level)

    def counts() -> pd.DataFrame:
        if effects.counts is None:
            raise ModelError("the table holds no counts (events and participants of both arms).")
        return zero_cell_table(effects, level=level)

    ways: dict[str, Callable[[], pd.DataFrame]] = {
        "concordance": lambda: concordance_table(fit, chosen, level=level, keep=kept("concordance")),
        "priors": lambda: prior_bench_table(fit, chosen, ref_sd=ref_sd, level=level, keep=kept("priors")),
        "tipping": lambda: tipping_table(fit, chosen, cut=cut),
        "scaling": lambda: power_scaling_table(fit, chosen, draws=not fit.exact),
        "leave-one-out": lambda: leave_one_out(fit, level=level),
        "cumulative": lambda: cumulative_fits_table(effects, fit.model, order, level=level),
        "inconsistency": lambda: inconsistency_table(
            fit, None if fit.outcome is not None and threshold is None else stated, level=level
        ),
        "small-study": lambda: small_study_table(effects, level=level),
        "influence": lambda: influence_table(effects, level=level, rho=rho),
        "dependence": lambda: dependence_table(effects, level=level),
        "counts": counts,
        "heterogeneity": lambda: tau2_intervals_table(effects, level=level, rho=rho),
        "estimators": lambda: estimators_table(effects, level=level, rho=rho),
        "multiverse": multiverse,
        "permutation": lambda: permutation_table(effects, level=level, rho=rho, seed=fit.seed),
        "gosh": lambda: gosh_summary(gosh(effects, rho=rho, seed=fit.seed)),
    }
    tables, not_done = {}, {}
    for name in names:
        try:
            tables[name] = ways[name]()
        except ModelError as error:
            not_done[name] = str(error)
    return SensitivityAnalyses(MappingProxyType(tables), MappingProxyType(not_done))
