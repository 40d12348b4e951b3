"""Analyses as text: what each command prints for a person. Ratio measures are back-transformed throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bayesmeta as bm
from bayesmeta.columns import columns_of, plural, readable
from bayesmeta.model import prior_text
from bayesmeta_cli.render import (
    NEW_STUDY,
    laid_out,
    p_words,
    ratios,
    table,
    title,
    together,
    wrapped,
)
from bayesmeta_cli.views_models import engine_lines, further, label_of, overlap_lines, trial_lines

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.studies import Reading

STUDY_ROWS = 20
#: Below this many trials a moderated analysis says how much of it is its prior.
FEW_TRIALS = 10


def counts(effects: bm.Effects) -> str:
    """Estimates, trials, participants, measure and direction in one line."""
    people = effects.participants
    who = "participants not stated" if people is None else plural(people, "participant")
    better = "direction not stated" if effects.better is None else f"{effects.better} is better"
    return (
        f"{plural(effects.k, 'estimate')} of {plural(effects.n_trials, 'trial')}, {who}. {effects.measure}"
        f"{f' in {effects.unit}' if effects.unit else ''}; {better}."
    )


def scale_words(measure: str) -> str:
    """Say on which scale effects and tau are printed."""
    kind = bm.measures.measure(measure)
    if not kind.transformed:
        return ""
    inner = f"the log {kind.label}" if kind.log else kind.scale_name
    return f"Effects are printed as {kind.label}; tau is the SD of {inner}."


def _written(fit: bm.Fit, columns: Sequence[Sequence[Any]]) -> list[list[str]]:
    """Write columns of effects: on one scale with shared decimals, ratios each with the digits they need."""
    return ratios(columns) if bm.measures.measure(fit.effects.measure).log else together(columns)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What is estimated, in the words of two arms or of one: one arm has no effect, but a mean and true values."""

    mean: str
    new_study: str
    shrinkage: str


_TWO_ARMS = _Terms("mean effect", NEW_STUDY, "the trial's effect")
_SINGLE_ARM = _Terms(
    "mean", "New study: the true value in a new study like these, not its result.", "the trial's true value"
)


def _terms(fit: bm.Fit) -> _Terms:
    return _SINGLE_ARM if bm.measures.measure(fit.effects.measure).single_arm else _TWO_ARMS


def name_of(analysis: bm.Analysis) -> str:
    """What an analysis is called, with its key."""
    return _called(analysis.key, analysis.label)


def _called(key: str, label: str) -> str:
    return key if label == key else f"{label} ({key})"


_POOLED = (
    *columns_of("effect", estimate="mean", lower="lower", upper="upper"),
    *columns_of("sd", tau="tau", tau_within="tau within"),
    *columns_of("effect", pi_lower="PI lower", pi_upper="PI upper"),
)


def heading(analysis: bm.Analysis) -> list[str]:
    """What stands above every outcome: counts, the small-k rule, priors with their sources, notes."""
    from bayesmeta.records import small_k_note

    fit = analysis.pooled
    lines = [title(name_of(analysis)), wrapped(counts(fit.effects)), wrapped(small_k_note(fit.effects.n_trials))]
    if words := scale_words(fit.effects.measure):
        lines.append(wrapped(words))
    for role, prior in (("mu", fit.model.mu), ("tau", fit.model.tau)):
        source = analysis.sources.get(role) or "source not stated"
        lines.append(wrapped(f"Prior of {role}: {prior!r} ({source})."))
    if fit.analysis == "moderated":
        lines.append(wrapped("Moderated fit: mu is the mean over the observed mix of its moderators."))
        lines.append(wrapped(_coefficient_priors(fit, analysis)))
    lines += [wrapped(f"{name}: {part}.") for name, part in _further_parts(fit) if part is not None]
    lines += [wrapped(text) for text in engine_lines(fit)]
    lines += [wrapped(f"Note: {note}.") for note in (*analysis.notes, *filter(None, [analysis.unadjusted]))]
    own = [wrapped(analysis.own_result)] if analysis.own_result else []
    return [*lines, *notice_lines(analysis.notices), *own, ""]


def notice_lines(found: Sequence[bm.errors.Finding]) -> list[str]:
    """Findings as text, a paragraph each."""
    return [wrapped(f"{item.severity}: {item.rule}: {item.evidence}. {item.remedy}") for item in found]


def _further_parts(fit: bm.Fit) -> list[tuple[str, Any]]:
    """Parts of the model beyond mean, heterogeneity and coefficients, in words."""
    model = fit.model
    baseline = f", baseline {model.baseline!r}" if model.baseline else ""
    return [
        ("Prior of tau_within", model.cluster_tau),
        ("True effects", model.random),
        ("Likelihood", None if model.likelihood == "normal" else model.likelihood + baseline),
        ("Standard deviations not reported", model.missing_sd),
        *((f"Not reported: {name}", prior) for name, prior in model.derived.items()),
    ]


def _coefficient_priors(fit: bm.Fit, analysis: bm.Analysis) -> str:
    priors = "; ".join(f"{name} {prior_text(item)}" for name, item in fit.model.beta.items())
    source = analysis.sources.get("beta") or "source not stated"
    return f"Priors of coefficients: {priors} ({source})."


def _quantity_table(fit: bm.Fit) -> str:
    natural = bm.summarize(fit, scale="natural")
    terms = _terms(fit)
    named = {"mu": f"{terms.mean} (mu)", "theta_new": "new study (theta_new)", "tau": "heterogeneity SD (tau)"}
    labels = {name: label for name, label in named.items() if name in natural.index}
    labels |= {name: label_of(name) for name in further(fit)}
    rows: list[tuple[Any, ...]] = [
        (label, *natural.loc[name, ["median", "lower", "upper"]]) for name, label in labels.items()
    ]
    classical = bm.compare_table(fit, scale="natural")
    remarks = ["Medians with 95 % central credible intervals."]
    remarks += [terms.new_study] if "theta_new" in natural.index else []
    for method in (check := bm.classical.check_name(fit.effects), "common effect"):
        line = classical[classical["method"] == method].iloc[0]
        if method == "common effect" and fit.effects.n_trials > 1:
            break
        if line["note"]:
            remarks.append(_not_defined(line.to_frame().T))
            continue
        star = " *" if line["mark"] else ""
        place = len(rows) if fit.effects.n_trials > 1 else 0
        name = method + star if place else "the trial alone"
        rows.insert(place, (name, line["estimate"], line["lower"], line["upper"]))
        relation = f", {p_words(line['p_value'])}" if line["p_value"] == line["p_value"] else ""
        remarks.append(f"{name.rstrip(' *')}: 95 % confidence interval{relation}.")
        if method == check:
            rows.append(("  its prediction interval", "", line["pi_lower"], line["pi_upper"]))
            rows.append(("  its tau", line["tau"], "", ""))
            if check != "REML + HKSJ":
                rows.append(("  its tau within", line["tau_within"], "", ""))
                robust = classical.set_index("method").loc["multilevel REML + CR2"]
                (ends,) = _written(fit, [[robust["lower"], robust["upper"]]])
                remarks.append(f"Its cluster-robust interval (CR2, Satterthwaite) is {ends[0]} to {ends[1]}.")
                continue
            remarks.append("Its 95 % prediction interval is by t(k - 1) with the SE of HKSJ (t_km1).")
            if remark := bm.hksj_remark(fit):
                adhoc = classical[classical["method"] == "REML + HKSJ ad hoc"].iloc[0]
                rows.append((adhoc["method"], adhoc["estimate"], adhoc["lower"], adhoc["upper"]))
                remarks.append(f"{star.strip() or 'HKSJ:'} {remark}.")
            if line["tau"] == 0:
                remarks.append("With tau estimated as 0 the prediction interval is the confidence interval.")
    written = _written(fit, [[None if value == "" else value for value in row[1:]] for row in rows])
    cells = [
        [row[0], *("" if value == "" else text for value, text in zip(row[1:], texts, strict=True))]
        for row, texts in zip(rows, written, strict=True)
    ]
    return table(["", "estimate", "lower", "upper"], cells) + "\n" + wrapped(" ".join(remarks))


def _not_defined(lost: pd.DataFrame) -> str:
    """Say once why methods are not defined; messages begin with the name of the estimator."""
    reasons: dict[str, list[str]] = {}
    for method, note in zip(lost["method"], lost["note"], strict=True):
        start, _, rest = str(note).partition(": ")
        reasons.setdefault(rest if method.startswith(start) else str(note), []).append(method)
    return " ".join(f"Not defined: {', '.join(methods)}: {reason}" for reason, methods in reasons.items())


def probability_tables(
    fit: bm.Fit, thresholds: Sequence[bm.Threshold], stated: Sequence[bm.Threshold], *, share: bool
) -> list[str]:
    """Probabilities of benefit and harm against some of the stated thresholds, for the mean effect and a new study."""
    from bayesmeta.questions import chance_notes

    chances, notes = bm.chance_table(fit, stated, asked=thresholds), chance_notes(fit, stated, thresholds, share=share)
    first = f" {_terms(fit).new_study}" if share else ""
    columns = (
        *columns_of("text", chance="probability of"),
        *columns_of("probability", p_mean=_terms(fit).mean, p_new="new study"),
    )
    return [
        laid_out(readable(chances[chances["threshold"] == name], columns), text + first * (i == 0))
        for i, (name, text) in enumerate(notes.items())
    ]


def _of_both(rows: Sequence[Sequence[str]]) -> str:
    return table(["probability of", "mean effect", "new study"], rows)


def _one_side(fit: bm.Fit, side: str) -> list[str]:
    """Probabilities of an effect on one side of zero: of the mean and in a new study."""
    return [bm.percent(bm.probability(fit, name, **{side: 0.0})) for name in ("mu", "theta_new")]  # type: ignore[arg-type]


def _probabilities(analysis: bm.Analysis) -> list[str]:
    fit = analysis.pooled
    if bm.measures.measure(fit.effects.measure).single_arm and not (fit.effects.better and analysis.thresholds):
        return []
    if fit.effects.better is None or not analysis.thresholds:
        null = f"{bm.measures.measure(fit.effects.measure).natural_null:g}"
        return [_of_both([[f"{side} {null}", *_one_side(fit, side)] for side in ("below", "above")])]
    only = list(analysis.thresholds) if analysis.primary is None else [analysis.primary]
    return probability_tables(fit, only, analysis.thresholds, share=False)


def fit_view(analysis: bm.Analysis) -> str:
    """One outcome of `fit`: pooled, classical, probabilities, moderated."""
    lines = [*_answer(analysis), *trial_lines(analysis.pooled), *_moderated_view(analysis)]
    return "\n".join([*lines, wrapped(analysis.sentence), ""])


def _answer(analysis: bm.Analysis) -> list[str]:
    """Heading, quantities and probabilities."""
    blocks = (_quantity_table(analysis.pooled), *_probabilities(analysis))
    return [*heading(analysis), *(line for block in blocks for line in (block, ""))]


def _moderated_view(analysis: bm.Analysis) -> list[str]:
    if analysis.reason == "no moderators are declared":
        return []
    left = f" Left out, because they have one level here: {', '.join(analysis.left_out)}." if analysis.left_out else ""
    if analysis.moderated is None:
        return [wrapped(f"Moderated: {analysis.reason}.{left}"), "", *_moderator_lines(analysis)]
    fit = analysis.moderated
    lines = [wrapped(f"Moderated: {analysis.reason}.{left} {_coefficient_priors(fit, analysis)}")]
    lines += [wrapped(f"Imputed: {name} by {item!r}.") for name, item in fit.model.missing.items()]
    lines += [*(wrapped(text) for text in engine_lines(fit)), ""]
    if fit.effects.n_trials < FEW_TRIALS or fit.model.missing:
        lines += [*overlap_lines(fit), ""]
    return [*lines, *_moderator_lines(analysis), *trial_lines(fit)]


def _moderator_lines(analysis: bm.Analysis, *, compare: bool = False) -> list[str]:
    """Tests, differences and effects of the moderators, and what they must not be read without."""
    from bayesmeta.moderators import moderator_blocks

    found = analysis.moderators
    if found is None:
        return []
    lines = []
    for block in moderator_blocks(found, analysis.effects, "compare" if compare else "answer"):
        lines += [laid_out(block.table, block.note), ""]
    return [*lines, *(wrapped(f"{note}.") for note in found.attrs["notes"]), ""]


def pool_view(analysis: bm.Analysis) -> str:
    """One analysis of `pool`: Bayesian, classical, trials, and a sentence."""
    blocks = (compare_block(analysis.pooled), _study_block(analysis.pooled), wrapped(analysis.sentence))
    return "\n".join([*_answer(analysis), *(line for block in blocks for line in (block, ""))])


def _study_block(fit: bm.Fit) -> str:
    rows, count = bm.study_table(fit, first=STUDY_ROWS), fit.effects.k
    columns = (
        *columns_of("text", label="trial"),
        *columns_of("effect", y="reported", lower="lower", upper="upper", theta="shrinkage"),
        *columns_of("effect", theta_lower="lower", theta_upper="upper"),
        *columns_of("number", 1 if count <= 100 else 2, weight="weight %"),
    )
    terms = _terms(fit)
    note = (
        f"Reported: 95 % confidence intervals. Shrinkage: posterior of {terms.shrinkage}, medians with 95 % central "
        f"credible intervals. Weight: share in the posterior {terms.mean}."
    )
    if count > STUDY_ROWS:
        note += f" {STUDY_ROWS} of {count} rows are shown; --json holds all of them."
    return laid_out(readable(rows, columns, fit.effects.measure), note)


def compare_block(fit: bm.Fit) -> str:
    """Bayesian beside classical pooling."""
    found = bm.compare_table(fit)
    columns = (*columns_of("text", method="method"), *_POOLED)
    columns += columns_of("p", p_value="p") if found["p_value"].notna().any() else ()
    note = (
        "Bayesian: posterior median, 95 % central credible interval, 95 % central predictive interval (PI). Classical: "
        "95 % confidence interval, 95 % prediction interval by t(k - 1) with the SE of that interval (t_km1), "
        "with clusters by t(clusters - 1); - where there is none."
    )
    lost = found[found["estimate"].isna()]
    note += f" {_not_defined(lost)}" if len(lost) else ""
    if remark := bm.hksj_remark(fit):
        note += f" * REML + HKSJ: {remark}."
    found["method"] += found["mark"].map(lambda mark: " *" if mark else "")
    # a common effect has no prediction interval, which is not a number that failed
    shown = readable(found[found["estimate"].notna()], columns, fit.effects.measure, missing="-")
    return laid_out(shown, note)


def compare_view(analysis: bm.Analysis) -> str:
    """One outcome of `compare`."""
    lines = heading(analysis)
    if analysis.pooled.analysis != "moderated":
        lines += [compare_block(analysis.pooled), ""]
    lines += _moderator_lines(analysis, compare=True)
    if analysis.moderated is None and analysis.reason:
        lines += [wrapped(f"Moderators: {analysis.reason}."), ""]
    return "\n".join(lines)


def benefit_view(analysis: bm.Analysis) -> str:
    """One outcome of `benefit`."""
    lines = heading(analysis)
    for block in probability_tables(analysis.pooled, analysis.thresholds, analysis.thresholds, share=True):
        lines += [block, ""]
    return "\n".join([*lines, wrapped(analysis.sentence), ""])


def preset_lines(frame: pd.DataFrame, fit: bm.Fit, item: bm.classical.Preset) -> list[str]:
    """What a preset changes, choice by choice."""
    marked = frame.assign(name=frame["choice"] + frame["same"].map({True: "", False: "*"}))
    columns = (*columns_of("text", name="choice"), *_POOLED, *columns_of("number", 0, i2="I2 %"))
    note = (
        f"From top to bottom one choice more is that of {item.label}; * differs from ours. In all the mean moves by "
        f"{frame['shift_se'].sum():.2f} of our standard errors."
    )
    lines = [laid_out(readable(marked, columns, fit.effects.measure, missing="-"), note)]
    lines += [
        wrapped(f"{row['choice']}: {row['theirs']} (ours: {row['ours']}){'; ' + row['note'] if row['note'] else ''}.")
        for row in frame.iloc[1:-1].to_dict("records")
        if not row["same"] or row["note"]
    ]
    return [*lines, ""]


def check_view(key: str, label: str, reading: Reading, moderated: str, rows: int) -> str:
    """One outcome of `check`: counts, first derived rows, and everything that was done to rows."""
    from bayesmeta.records import small_k_note

    effects = reading.effects
    lines = [title(_called(key, label)), wrapped(counts(effects)), wrapped(small_k_note(effects.n_trials))]
    if moderated:
        lines.append(wrapped(f"Moderated: {moderated}."))
    import pandas as pd

    first = pd.DataFrame({"trial": effects.label, "row": reading.rows, "y": effects.y, "se": effects.se}).head(rows)
    columns = (*columns_of("text", trial="trial", row="row"), *columns_of("sd", y="y", se="se"))
    lines += ["", laid_out(readable(first, columns))]
    scale = bm.measures.measure(effects.measure)
    words = "log scale" if scale.log else scale.scale_name or "scale of the measure"
    shown = min(rows, effects.k)
    lines.append(wrapped(f"First {shown} of {effects.k} derived rows, on the {words}; rows as in {reading.source}."))
    for items, what in (
        (reading.excluded, "left out"),
        (reading.assumed, "filled in"),
        (reading.turned, "sign reversed"),
    ):
        lines += _reasons(items, what)
    return "\n".join([*lines, *notice_lines(reading.findings), ""])


def _reasons(items: Sequence[Any], what: str) -> list[str]:
    """One line per reason, with the rows it concerns."""
    by_reason: dict[str, list[str]] = {}
    for item in items:
        by_reason.setdefault(item.reason, []).append(f"{item.row} ({item.study})")
    return [
        wrapped(f"{what}: row{'s' if len(rows) > 1 else ''} {', '.join(rows)}: {reason}")
        for reason, rows in by_reason.items()
    ]
