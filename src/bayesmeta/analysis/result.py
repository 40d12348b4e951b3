"""One outcome with its rows, its fits, and what was assumed and warned of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.analysis.fitting import NOT_ESTIMABLE, one_at_a_time
from bayesmeta.analysis.reading import recompute
from bayesmeta.analysis.unstated import reference_sd_finding
from bayesmeta.classical import check_name, pool, pool_check
from bayesmeta.columns import number, percent, plural, ratios, together
from bayesmeta.errors import Finding, ModelError
from bayesmeta.lazy import show_as_html
from bayesmeta.measures import measure
from bayesmeta.model import effect_correlations
from bayesmeta.plan import ModelPlan, Outcome, Selection
from bayesmeta.questions import (
    CAVEAT,
    NO_NULL,
    benefit_sentence,
    benefit_table,
    compare_table,
    estimate_words,
    hksj_remark,
    predict,
    probability,
    resolve_thresholds,
    summarize,
)

if TYPE_CHECKING:
    from bayesmeta.classical import ClassicalFit, MultilevelMean
    from bayesmeta.effects import Effects
    from bayesmeta.fits import Fit
    from bayesmeta.plan import Borrow, Protocol, Threshold
    from bayesmeta.questions import Borrowing
    from bayesmeta.sensitivity import SensitivityAnalyses
    from bayesmeta.studies import Reading

__all__ = ["Analysis", "BorrowedReview", "heading_of", "headline_table", "headline_texts", "with_threshold"]

#: Rows of one kind that a note names.
SHOWN = 5
# findings in the rows that stand beside the numbers, where they are amber
_BESIDE = ("large effect", "SE given as SD")
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
        return (*self.warnings, *self.notes, *([self.unadjusted] if self.unadjusted else []))

    @property
    def unadjusted(self) -> str:
        """That the headline holds none of the models that ``[bias]`` states; empty where it states none."""
        if self.protocol is None or self.protocol.bias is None:
            return ""
        return (
            "these numbers hold no model of publication bias; the average that [bias] states is printed by `bayesmeta "
            "bias` and stands beside them in the report"
        )

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What the reading of the rows and the rules of forensics found."""
        from bayesmeta.forensics import examine_reading

        return () if self.reading is None else (*self.reading.findings, *examine_reading(self.reading))

    @cached_property
    def notices(self) -> tuple[Finding, ...]:
        """What must be read beside the numbers: priors against the data, and effects too large to be true."""
        from bayesmeta.checking import prior_conflicts
        from bayesmeta.forensics import examine_reading

        known = () if self.reading is None else (*self.reading.findings, *examine_reading(self.reading, _BESIDE))
        rows = [item for item in known if item.rule in _BESIDE and item.severity != "info"]
        stated = None if self.protocol is None else self.protocol.reference_sd
        scale = None if stated is None or self.reading is None else reference_sd_finding(self.reading, stated)
        return (*prior_conflicts(self.pooled), *([] if scale is None else [scale]), *rows)

    @cached_property
    def own_result(self) -> str:
        """The result of a single trial as it stands, before any prior; empty with more trials."""
        if self.effects.n_trials > 1:
            return ""
        kind, alone = measure(self.effects.measure), self.classical
        ends = [[float(kind.back(value))] for value in (alone.estimate, alone.lower, alone.upper)]
        estimate, lower, upper = (text for (text,) in (ratios if kind.log else together)(ends))
        on = " on the analysis scale" if kind.transformed else ""
        return (
            f"The trial's own result is {estimate} (95 % confidence interval {lower} to {upper}; SE "
            f"{number(alone.se)}{on}); what follows rests on the priors too."
        )

    @cached_property
    def sentence(self) -> str:
        """One plain sentence from its numbers; that of a single trial belongs behind `own_result`."""
        fit, better = self.pooled, self.effects.better
        if self.primary is not None and better is not None:
            return benefit_sentence(fit, self.primary)
        kind = measure(self.effects.measure)
        effect = estimate_words(fit, predict(fit, scale="natural").loc["mu"])
        if kind.single_arm:
            way = f"; {better} is better" if better else ""
            return f"{self.label}: the {kind.mean_words} is {effect}{way}. {NO_NULL}"
        start = f"{self.label}: the mean effect ({kind.axis}) is {effect}"
        side = "above" if better == "higher" else "below"
        mean, new = (percent(probability(fit, name, **{side: 0.0})) for name in ("mu", "theta_new"))  # type: ignore[arg-type]
        what = "of any benefit" if better else f"that it is below {kind.natural_null:g}"
        return (
            f"{start}{f'; {better} is better' if better else ''}; the probability {what} is {mean} for the mean "
            f"effect and {new} in a new study."
        )

    @cached_property
    def hksj_remark(self) -> str:
        """What must be said beside REML + HKSJ (`bayesmeta.hksj_remark`); empty where it may stand alone."""
        return hksj_remark(self.pooled)

    @cached_property
    def summary_table(self) -> pd.DataFrame:
        """Posterior summary of the pooled analysis (`bayesmeta.summarize`)."""
        return summarize(self.pooled)

    @cached_property
    def methods(self) -> pd.DataFrame:
        """Its answer beside those of classical methods (`bayesmeta.compare_table`)."""
        return compare_table(self.pooled)

    @cached_property
    def moderators(self) -> pd.DataFrame | None:
        """What the moderated analysis says of its moderators (`bayesmeta.moderator_table`); None without one.

        Where all moderators together are not estimable, of each alone that is.
        """
        from bayesmeta.moderators import moderator_table, moderators_alone

        if self.moderated is not None:
            return moderator_table(self.moderated)
        return moderators_alone(self.alone) if self.alone else None

    @cached_property
    def alone(self) -> Mapping[str, Fit]:
        """A fit of each moderator alone, where all together are not estimable and it is."""
        from bayesmeta.fits import fit

        outcome = self.pooled.outcome
        if self.moderated is not None or outcome is None or self.pooled.analysis != "pooled":
            return {}
        plans = one_at_a_time(outcome, self.effects) if self.reason.startswith(NOT_ESTIMABLE) else {}
        return {
            name: fit(plan.effects, plan.model, seed=self.pooled.seed, outcome=outcome, analysis="moderated")
            for name, plan in plans.items()
            if plan.model is not None
        }

    @cached_property
    def classical(self) -> ClassicalFit | MultilevelMean:
        """The headline of the classical check: REML with the Hartung-Knapp interval, a common effect for one trial.

        Where rows lie in clusters, two variances and t (`bayesmeta.classical.pool_clustered`).

        Raises
        ------
        ModelError
            Where these data do not define it; `methods` says why for each method.
        """
        if len(set(self.effects.study)) < 2:
            return pool(self.pooled, method="EE", ci="wald")
        return pool_check(self.pooled)

    @cached_property
    def variations(self) -> pd.DataFrame:
        """One line per declared analysis, the main one first; those of the moderated analysis after its own."""
        from bayesmeta.sensitivity import MAIN, declared_table

        return declared_table({MAIN: self.pooled, **self.declared}, self.moderated)

    @property
    def risk_of_bias(self) -> pd.DataFrame | None:
        """Judgements by the label of each estimate, a column per domain, ``overall`` last; None without any."""
        return None if self.reading is None else self.reading.risk_of_bias

    def sensitivity(self, sections: Sequence[str] | None = None, **options: Any) -> SensitivityAnalyses:
        """Run sensitivity analyses of the pooled result.

        Parameters
        ----------
        sections : sequence of str, optional
            Default: `bayesmeta.sensitivity.usual_sections` but ``declared``, which sums up what `declared` holds.
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
        stated = None if self.protocol is None else self.protocol.bias
        options = {"moderated": self.moderated, "risk_of_bias": self.risk_of_bias, "bias": stated, **options}
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
        """Its sensitivity analyses: those that were run, else the usual ones."""
        return self.sensitivity() if self.sections_run is None else self.sections_run

    @cached_property
    def publication_bias(self) -> str:
        """What the average that the protocol states under ``[bias]`` gives beside the headline, or why there is none.

        Empty where the protocol states no average: then nothing about publication bias is in any answer.
        """
        from bayesmeta.sensitivity import average_sentence

        if self.protocol is None or self.protocol.bias is None:
            return ""
        table = self.sections.tables.get("publication-bias")
        if table is not None:
            return f"The headline has no model of publication bias. {average_sentence(self.pooled, table)}"
        why = self.sections.not_done.get("publication-bias", "the section publication-bias was not run.")
        return f"Publication bias is in none of these numbers: {why.removeprefix('publication bias: ')}"

    @cached_property
    def grade(self) -> tuple[pd.DataFrame | None, str]:
        """GRADE support of the outcome, or the reason why there is none."""
        from bayesmeta.sensitivity import grade_table

        try:
            return grade_table(self.pooled, tables=self.sections.tables, risk_of_bias=self.risk_of_bias), ""
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

    def _repr_html_(self) -> str | None:
        return show_as_html(self)


def _assumptions(fit: Fit) -> tuple[str, ...]:
    """Say what was assumed of the rows: signs reversed, zero cells, correlations, and what rows of one trial share."""
    effects = fit.effects
    found: dict[str, list[str]] = {}
    for label, derivation in zip(effects.label, effects.ledger or (), strict=False):
        for text in derivation.assumptions:
            found.setdefault(text, []).append(label)
    notes = []
    if effects.blocks:
        shared = sum(int(((covariance != 0).sum(axis=1) > 1).sum()) for _, covariance in effects.blocks)
        divided = sum(len(members) for members, _ in effects.blocks) - shared
        effect = f"their true effects have correlation rho = {fit.model.rho:g}"
        if fit.model.cluster_tau is not None:
            effect = "their true effects share what is common to the trial"
        elif any((R < 0).any() for R in effect_correlations(effects, fit.model.rho)):
            effect += f", and {-fit.model.rho:g} where an arm is treated in one and control in the other"
        if shared:
            notes.append(
                f"{shared} rows share patients with another row of their trial: their "
                f"sampling covariance enters, and {effect}"
            )
        if divided:
            notes.append(
                f"{divided} rows have a part of a control group that was divided between rows of their trial: their "
                f"sampling errors are independent, and {effect}"
            )
    counted = fit.model.likelihood == "binomial"
    for text, labels in found.items():
        if counted and text.startswith("1/2 added"):
            text = f"{text}, in what is plotted and pooled classically; the binomial model takes the counts as they are"
        which = ", ".join(labels[:SHOWN]) + (" ..." if len(labels) > SHOWN else "")
        notes.append(f"{len(labels)} of {effects.k} rows: {text} ({which})")
    return tuple(notes)


def headline_texts(item: Analysis) -> dict[str, str]:
    """The answer in short texts by what they say; effects on the natural scale, with the digits that they share.

    Returns
    -------
    dict
        ``mean effect`` and ``new study``, the classical check by its name, ``tau``, and ``P(important benefit)``: those
        that there are.

    Examples
    --------
    >>> headline_texts(bm.analysis_of(fit))["mean effect"]
    '-0.154 (-0.466 to 0.143)'
    """
    effects, kind = item.effects, measure(item.effects.measure)
    table: Any = item.summary_table
    names = {"mu": "mean effect", "theta_new": "new study"}
    rows = [[float(table.loc[name, column]) for column in ("median", "lower", "upper")] for name in names]
    methods: Any = item.methods.set_index("method")
    defined = methods.index[methods["estimate"].notna()]
    check = next((name for name in (check_name(effects), "common effect") if name in defined), None)
    if check is not None:
        rows.append([float(methods.loc[check, column]) for column in ("estimate", "lower", "upper")])
    back = [kind.back(row).tolist() for row in rows]
    written = [
        f"{a} ({b} to {c})"
        for a, b, c in zip(*(ratios if kind.log else together)(list(zip(*back, strict=True))), strict=True)
    ]
    shown = dict(zip([*names.values(), *([check] if check else [])], written, strict=True))
    if check == "REML + HKSJ" and item.hksj_remark:
        shown[check] += f"; {item.hksj_remark}"
    if "tau" in table.index:
        low, middle, high = (number(float(table.loc["tau", c]), 2) for c in ("lower", "median", "upper"))
        shown["tau"] = f"{middle} ({low} to {high})"
    if item.primary is not None and effects.better is not None:
        answers = benefit_table(item.pooled, [item.primary]).drop_duplicates("target")
        mean, new = (percent(value) for value in answers["p_important_benefit"])
        shown["P(important benefit)"] = f"{mean} on average, {new} in a new study ({item.primary.name})"
    return shown


def heading_of(item: Analysis) -> str:
    """What an answer is of: name, rows, measure, and the better direction.

    Examples
    --------
    >>> heading_of(bm.analysis_of(fit))
    'analysis: 4 estimates of 4 trials, SMD, lower is better'
    """
    effects = item.effects
    better = f", {effects.better} is better" if effects.better else ""
    name = item.key if item.label == item.key else f"{item.label} ({item.key})"
    return f"{name}: {plural(effects.k, 'estimate')} of {plural(effects.n_trials, 'trial')}, {effects.measure}{better}"


def _lines(item: Analysis) -> list[str]:
    """The answer, line by line."""
    shown = headline_texts(item)
    width = max(map(len, shown))
    moderated = [] if item.moderated is None else [f"moderated: {item.reason}"]
    own = [item.own_result] if item.own_result else []
    noticed = [f"{found.severity}: {found.rule}: {found.evidence}. {found.remedy}" for found in item.notices]
    texts = [f"  {name:<{width}}  {text}" for name, text in shown.items()]
    return [heading_of(item), *own, *texts, *noticed, *moderated]


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
    """One line per outcome: counts, quantities, probabilities at the primary threshold, the classical check.

    Returns
    -------
    pandas.DataFrame
        On the analysis scale: ``mu``, ``tau`` and ``theta_new`` with ``_median _lower _upper``; the four probabilities
        of `bayesmeta.benefit_table`, and with ``_new`` those of a new study; ``classical``
        names the classical check (REML + HKSJ, with clusters multilevel REML + t), whose numbers are in ``classical_``.

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
        row["classical"], methods = check_name(effects), item.methods.set_index("method")
        for column in ("estimate", "lower", "upper", "p_value", "pi_lower", "pi_upper", "pi_formula", "tau", "mark"):
            row[f"classical_{column}"] = methods.loc[row["classical"], column]
        adhoc = methods.reindex(["REML + HKSJ ad hoc"]).iloc[0]
        for column in ("lower", "upper"):
            row[f"hksj_adhoc_{column}"] = adhoc[column]
        rows.append({**row, "moderated": item.reason, "level": 0.95, "interval": "central"})
    return pd.DataFrame(rows)
