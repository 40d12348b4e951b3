"""One outcome with its rows, its fits, and what was assumed and warned of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.analysis.reading import recompute
from bayesmeta.classical import pool
from bayesmeta.digits import number, percent, plural, ratios, together
from bayesmeta.errors import Finding, ModelError
from bayesmeta.measures import measure
from bayesmeta.plan import ModelPlan, Outcome, Selection
from bayesmeta.questions import (
    CAVEAT,
    benefit_table,
    compare_table,
    resolve_thresholds,
    summarize,
)

if TYPE_CHECKING:
    from bayesmeta.classical import ClassicalFit
    from bayesmeta.effects import Effects
    from bayesmeta.fits import Fit
    from bayesmeta.plan import Borrow, Protocol, Threshold
    from bayesmeta.questions import Borrowing
    from bayesmeta.sensitivity import SensitivityAnalyses
    from bayesmeta.studies import Reading

__all__ = ["Analysis", "BorrowedReview", "headline_table", "with_threshold"]

#: Rows of one kind that a note names.
SHOWN = 5
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class BorrowedReview:
    """What one outcome borrows: where from, the review it comes from, and what came of it."""

    stated: Borrow
    source: Analysis
    borrowing: Borrowing


# not slotted: tables that the page, the files and the records share are made once, when one of them first asks
@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """One outcome, read, fitted and answered.

    Attributes
    ----------
    key : str
        The outcome's key in the protocol; for a table its name, or the value of the column that splits it.
    pooled : Fit
        The analysis without moderators: the headline.
    moderated : Fit or None
    reason : str
        Trials, coefficients and rank of the moderated analysis, or why there is none.
    left_out : tuple of str
        Moderators with one level in this outcome.
    declared : mapping of str to Fit
        Every declared sensitivity analysis that could be run, and each declared subgroup alone; without the main
        analysis.
    priors_only : tuple of str
        Those of them that differ in priors alone.
    not_done : mapping of str to str
        Declared analyses that could not be run, with the reason.
    reading : Reading or None
        The rows with everything that was done to them; None where the fit came from a file.
    borrowed : BorrowedReview or None
        One trial with the prior that a review gives it, where the protocol says so.
    warnings : tuple of str
    protocol : Protocol or None
    sections_run : SensitivityAnalyses or None
        Sensitivity analyses, where they were run already; `sections` runs them else.

    Examples
    --------
    >>> analysis = bm.analyse("models/exercise_depression.toml", "depression")
    >>> analysis.pooled.effects.k, analysis.moderated is None, list(analysis.declared)[:1]
    (10, False, ['tau half-normal(1)'])
    """

    key: str
    pooled: Fit
    moderated: Fit | None = None
    reason: str = "no moderators are declared"
    left_out: tuple[str, ...] = ()
    declared: Mapping[str, Fit] = field(default_factory=dict)
    priors_only: tuple[str, ...] = ()
    not_done: Mapping[str, str] = field(default_factory=dict)
    reading: Reading | None = None
    borrowed: BorrowedReview | None = None
    warnings: tuple[str, ...] = ()
    protocol: Protocol | None = None
    sections_run: SensitivityAnalyses | None = None

    @property
    def effects(self) -> Effects:
        """What was observed."""
        return self.pooled.effects

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.pooled.outcome.label if self.pooled.outcome is not None else self.key

    @property
    def fits(self) -> tuple[Fit, ...]:
        """The pooled analysis and, where there is one, the moderated."""
        return (self.pooled,) if self.moderated is None else (self.pooled, self.moderated)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """What an effect is judged by."""
        return self.pooled.outcome.decision.thresholds if self.pooled.outcome is not None else ()

    @property
    def primary(self) -> Threshold | None:
        """The threshold of the headline."""
        return self.pooled.outcome.decision.primary if self.pooled.outcome is not None else None

    @property
    def sources(self) -> Mapping[str, str]:
        """Where the priors come from, by role."""
        return self.pooled.outcome.model.sources if self.pooled.outcome is not None else _NOTHING

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of the rows, and which were left out."""
        excluded = self.reading.excluded if self.reading is not None else ()
        return (
            *_assumptions(self.pooled),
            *(f"excluded: row {item.row} ({item.study}): {item.reason.rstrip('.')}" for item in excluded),
        )

    @property
    def borrowing(self) -> Borrowing | None:
        """One trial with the prior that a review gives it, where the protocol says so."""
        return None if self.borrowed is None else self.borrowed.borrowing

    @property
    def warned(self) -> tuple[str, ...]:
        """Warnings and notes, as they go into JSON."""
        return (*self.warnings, *self.notes)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What the reading of the rows and the rules of forensics found."""
        from bayesmeta.forensics import examine_reading

        return () if self.reading is None else (*self.reading.findings, *examine_reading(self.reading))

    @cached_property
    def summary_table(self) -> pd.DataFrame:
        """Posterior summary of the pooled analysis (`bayesmeta.summarize`)."""
        return summarize(self.pooled)

    @cached_property
    def methods(self) -> pd.DataFrame:
        """Its answer beside those of classical methods (`bayesmeta.compare_table`)."""
        return compare_table(self.pooled)

    @cached_property
    def classical(self) -> ClassicalFit:
        """The headline of the classical check: REML with the Hartung-Knapp interval, a common effect for one trial.

        Raises
        ------
        ModelError
            Where these data do not define it; `methods` says why for each method.
        """
        single = len(set(self.effects.study)) < 2
        return pool(self.pooled, method="EE" if single else "REML", ci="wald" if single else "hksj")

    @cached_property
    def variations(self) -> pd.DataFrame:
        """One line per declared analysis, the main one first."""
        from bayesmeta.sensitivity import MAIN, variation_table

        return variation_table({MAIN: self.pooled, **self.declared})

    def sensitivity(self, sections: Sequence[str] | None = None, **options: Any) -> SensitivityAnalyses:
        """Run sensitivity analyses of the pooled result.

        Parameters
        ----------
        sections : sequence of str, optional
            Default: all but the slow ones and ``declared``, which sums up what `declared` holds.
        **options
            Of `bayesmeta.sensitivity.sensitivity_analyses`.
        """
        from bayesmeta.sensitivity import MAIN, sensitivity_analyses

        if self.protocol is not None and self.pooled.outcome is not None:
            options = {
                "recompute": recompute(self.protocol, self.key),
                "options": self.pooled.outcome.selection.measure_options,
                **options,
            }
        options = {"moderated": self.moderated, **options}
        if "declared" not in (sections or ()):
            return sensitivity_analyses(self.pooled, sections, **options)
        found = sensitivity_analyses(
            self.pooled,
            sections,
            declared={MAIN: self.pooled, **self.declared},
            priors_only=(MAIN, *self.priors_only),
            **options,
        )
        return dataclasses.replace(found, not_done={**self.not_done, **found.not_done})

    @cached_property
    def sections(self) -> SensitivityAnalyses:
        """Its sensitivity analyses: those that were run, else all but the slow ones."""
        return self.sensitivity() if self.sections_run is None else self.sections_run

    @cached_property
    def grade(self) -> tuple[pd.DataFrame | None, str]:
        """GRADE support of the outcome, or the reason why there is none."""
        from bayesmeta.sensitivity import grade_table

        judged = None
        if self.reading is not None and "risk_of_bias" in self.reading.table.columns:
            judged = [None if pd.isna(value) else str(value) for value in self.reading.table["risk_of_bias"]]
        try:
            return grade_table(self.pooled, tables=self.sections.tables, risk_of_bias=judged), ""
        except ModelError as error:
            return None, str(error)

    def to_frame(self) -> pd.DataFrame:
        """One line: that of `headline_table`."""
        return headline_table([self])

    def summary(self) -> str:
        """The answer as text: mean effect, heterogeneity, a new study, the classical check, probabilities."""
        return "\n".join([*_lines(self), CAVEAT])

    def __repr__(self) -> str:
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(self.summary())}</pre>"


def _assumptions(fit: Fit) -> tuple[str, ...]:
    """Say what was assumed of the rows: signs reversed, zero cells, correlations, and what rows of one trial share."""
    effects = fit.effects
    found: dict[str, list[str]] = {}
    for label, derivation in zip(effects.label, effects.ledger or (), strict=False):
        for text in derivation.assumptions:
            found.setdefault(text, []).append(label)
    notes = []
    if effects.blocks:
        rows = sum(len(members) for members, _ in effects.blocks)
        effect = f"their true effects have correlation rho = {fit.model.rho:g}"
        if fit.model.cluster_tau is not None:
            effect = "their true effects share what is common to the trial"
        notes.append(
            f"{rows} rows share patients with another row of their trial: their "
            f"sampling covariance enters, and {effect}"
        )
    for text, labels in found.items():
        which = ", ".join(labels[:SHOWN]) + (" ..." if len(labels) > SHOWN else "")
        notes.append(f"{len(labels)} of {effects.k} rows: {text} ({which})")
    return tuple(notes)


def _lines(item: Analysis) -> list[str]:
    """The answer, line by line; effects on the natural scale, with the digits that they share."""
    effects, kind = item.effects, measure(item.effects.measure)
    better = f", {effects.better} is better" if effects.better else ""
    table: Any = item.summary_table
    names = {"mu": "mean effect", "theta_new": "new study"}
    rows = [[float(table.loc[name, column]) for column in ("median", "lower", "upper")] for name in names]
    methods: Any = item.methods.set_index("method")
    defined = methods.index[methods["estimate"].notna()]
    check = next((name for name in ("REML + HKSJ", "common effect") if name in defined), None)
    if check is not None:
        rows.append([float(methods.loc[check, column]) for column in ("estimate", "lower", "upper")])
    back = [kind.back(row).tolist() for row in rows]
    written = [
        f"{a} ({b} to {c})"
        for a, b, c in zip(*(ratios if kind.log else together)(list(zip(*back, strict=True))), strict=True)
    ]
    shown = dict(zip([*names.values(), *([check] if check else [])], written, strict=True))
    if "tau" in table.index:
        low, middle, high = (number(float(table.loc["tau", c]), 2) for c in ("lower", "median", "upper"))
        shown["tau"] = f"{middle} ({low} to {high})"
    if item.primary is not None and effects.better is not None:
        answers = benefit_table(item.pooled, [item.primary]).drop_duplicates("target")
        mean, new = (percent(value) for value in answers["p_important_benefit"])
        shown["P(important benefit)"] = f"{mean} on average, {new} in a new study ({item.primary.name})"
    width = max(map(len, shown))
    name = item.key if item.label == item.key else f"{item.label} ({item.key})"
    counted = f"{plural(effects.k, 'estimate')} of {plural(effects.n_trials, 'trial')}"
    head = f"{name}: {counted}, {effects.measure}{better}"
    moderated = [] if item.moderated is None else [f"moderated: {item.reason}"]
    return [head, *(f"  {name:<{width}}  {text}" for name, text in shown.items()), *moderated]


def with_threshold(item: Analysis, value: float | Threshold) -> Analysis:
    """Judge an analysis by another threshold than the stated ones.

    Parameters
    ----------
    item : Analysis
    value : float or Threshold
        On the measure's own scale: a distance in the direction of benefit, or the ratio for ratio measures.

    Raises
    ------
    ModelError
        If the outcome has no direction, or the number is no threshold of its measure.

    Examples
    --------
    >>> analysis = bm.analyse("models/exercise_depression.toml", "depression", declared=False)
    >>> with_threshold(analysis, 0.2).primary.benefit
    0.2
    """
    effects, model = item.effects, item.pooled.model
    if effects.better is None:
        raise ModelError(f'{item.key}: benefit has no direction. State better = "higher" or "lower".')
    # a fit that was made of effects and a model has no outcome of a protocol
    outcome = item.pooled.outcome or Outcome(
        item.key, item.label, Selection(effects.measure, effects.better), ModelPlan(model.mu, model.tau)
    )
    decision = dataclasses.replace(outcome.decision, thresholds=resolve_thresholds(item.pooled, value))
    judged = dataclasses.replace(outcome, decision=decision)

    def again(fit: Fit) -> Fit:
        return dataclasses.replace(fit, outcome=judged)

    return dataclasses.replace(
        item,
        pooled=again(item.pooled),
        moderated=None if item.moderated is None else again(item.moderated),
        declared={name: again(fit) for name, fit in item.declared.items()},
    )


def headline_table(analyses: Sequence[Analysis]) -> pd.DataFrame:
    """One line per outcome: counts, quantities, probabilities at the primary threshold, REML + HKSJ.

    Returns
    -------
    pandas.DataFrame
        On the analysis scale: ``mu``, ``tau`` and ``theta_new`` with ``_median _lower _upper``; the four probabilities
        of `bayesmeta.benefit_table`, and with ``_new`` those of a new study; ``hksj_`` columns of the classical check.

    Examples
    --------
    >>> table = headline_table(bm.analyse_all("models/exercise_depression.toml", declared=False))
    >>> table[["outcome", "k"]].values.tolist()
    [['depression', 10]]
    """
    rows = []
    for item in analyses:
        effects, found = item.effects, item.summary_table
        row: dict[str, Any] = {
            "outcome": item.key,
            "label": item.label,
            "measure": effects.measure,
            "better": effects.better,
            "k": effects.k,
            "trials": effects.n_trials,
            "participants": effects.participants,
        }
        for name in ("mu", "tau", "theta_new"):
            if name in found.index:
                row |= {f"{name}_{column}": found.loc[name, column] for column in ("median", "lower", "upper")}
        if item.primary is not None and effects.better is not None:
            # a threshold that is a range or a distribution has several lines; the first is the headline
            benefit = benefit_table(item.pooled, [item.primary]).drop_duplicates("target")
            row["threshold"] = benefit["threshold"].iloc[0]
            for column in ("p_any_benefit", "p_important_benefit", "p_trivial", "p_important_harm"):
                row[column], row[f"{column}_new"] = benefit[column].tolist()
        classical = item.methods.set_index("method")
        for column in ("estimate", "lower", "upper", "p_value", "pi_lower", "pi_upper", "pi_formula", "tau"):
            row[f"hksj_{column}"] = classical.loc["REML + HKSJ", column]
        rows.append({**row, "moderated": item.reason, "level": 0.95, "interval": "central"})
    return pd.DataFrame(rows)
