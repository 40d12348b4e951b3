"""The command `bias`: models of publication bias, averaged."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

import bayesmeta as bm
from bayesmeta.columns import Readable, readable
from bayesmeta_cli import views
from bayesmeta_cli.analyses import choice, from_protocol, protocol_of
from bayesmeta_cli.commands import UNREPORTABLE, show, stacked, with_threshold
from bayesmeta_cli.files import existing
from bayesmeta_cli.messages import say, steps
from bayesmeta_cli.render import laid_out, title, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.plan import BiasPlan

#: Models that are printed without --models.
SHOWN = 5
#: What may be said of a protocol's average too.
_OF_BOTH = ("threshold", "mu", "tau")


class Averaged(NamedTuple):
    """One outcome with its average, or the reason why there is none."""

    item: bm.Analysis
    fit: bm.Fit | None
    tables: Mapping[str, pd.DataFrame]
    reason: str = ""


def bias(
    path: Path,
    outcome: Sequence[str],
    ensemble: str | None,
    direction: str | None,
    models: bool,
    output: Path | None,
    json: bool,
    csv: bool,
    table: dict[str, Any],
) -> int:
    """Average the models of every outcome; return the exit code."""
    existing(path, ("protocol", "table"))
    plan = _stated(ensemble, direction, table)
    if path.suffix.lower() == ".toml":
        if stated := [name for name, value in table.items() if value and name not in _OF_BOTH]:
            raise typer.BadParameter(f"--{stated[0].replace('_', '-')} goes with a table; a protocol states its own.")
        protocol = bm.read_protocol(path)
        threshold = table["threshold"]
    else:
        protocol = protocol_of(path, **table)
        threshold = None
        for text in protocol.assumptions:
            # the average has priors of its own, which are printed
            if not text.rpartition(": ")[0].endswith(("mu", "tau")) and not text.startswith(("mu ", "tau ")):
                say(f"note: {text}.")
    chosen = plan_of(protocol.bias, plan)
    analyses = with_threshold(from_protocol(protocol, outcome, moderated=False), threshold)
    found = _averaged(analyses, chosen)
    show(
        json,
        csv,
        lambda: [_record(one) for one in found],
        lambda: stacked((one.item.key, one.item.effects, _csv(one, models)) for one in found if one.fit is not None),
        lambda: "\n".join("\n".join(_view(one, models)) for one in found),
    )
    if output is not None:
        _draw(found, output)
    from bayesmeta.records import failed_checks

    failed = failed_checks(one.fit for one in found if one.fit is not None)
    for reason in failed:
        say(f"not reportable: {reason}")
    return UNREPORTABLE if failed else 0


def _stated(ensemble: str | None, direction: str | None, table: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line says of the average."""
    from bayesmeta.plan import BIAS_ENSEMBLES

    found: dict[str, Any] = {}
    if ensemble is not None:
        found["ensemble"] = choice(ensemble, "--ensemble", BIAS_ENSEMBLES)
    if direction is not None:
        found["direction"] = choice(direction, "--direction", ("higher", "lower"))
    return found | {name: bm.priors.parse(table[name]) for name in ("mu", "tau") if table[name] is not None}


def plan_of(protocols: BiasPlan | None, stated: Mapping[str, Any]) -> BiasPlan:
    """What is averaged: as the protocol says, but for what the command line does; a named ensemble replaces models."""
    from bayesmeta.plan import BiasPlan

    plan = protocols or BiasPlan()
    if "ensemble" in stated:
        plan = dataclasses.replace(plan, models=())
    return dataclasses.replace(plan, **stated)


def _averaged(analyses: Sequence[bm.Analysis], plan: BiasPlan) -> list[Averaged]:
    from bayesmeta.bias import average_of
    from bayesmeta.sensitivity import bias_tables

    found = []
    errors: list[bm.BayesmetaError] = []
    with steps(len(analyses)) as step:
        for item in analyses:
            step(f"averaging {item.key}")
            try:
                fit = average_of(item.pooled, plan)
                found.append(Averaged(item, fit, bias_tables(fit, pooled=item.pooled)))
            except (bm.ModelError, bm.InferenceError) as error:
                errors.append(error)
                found.append(Averaged(item, None, {}, str(error)))
    if len(errors) == len(found):
        kind = bm.InferenceError if isinstance(errors[0], bm.InferenceError) else bm.ModelError
        raise kind("\n".join(f"{one.item.key}: {one.reason}" for one in found))
    return found


def _draw(found: Sequence[Averaged], output: Path) -> None:
    """Write the pictures of every average into a folder."""
    if output.suffix:
        raise typer.BadParameter(f"-o {output}: give a folder; every outcome has several pictures.")
    pictures = {
        "averaged-mean": bm.plots.averaged_mean_plot,
        "inclusion": bm.plots.inclusion_plot,
        "weight-function": bm.plots.weight_function_plot,
        "p-values": bm.plots.p_value_plot,
        "z-curve": bm.plots.z_curve_plot,
    }
    for one in found:
        for name, draw in pictures.items():
            if one.fit is None:
                continue
            try:
                picture = draw(one.fit)
            except bm.ModelError as error:
                say(f"not drawn: {one.item.key}, {name}: {error}")
                continue
            output.mkdir(parents=True, exist_ok=True)
            say(f"wrote {picture.save(output / f'{one.item.key}.{name}.png')}")


def _record(one: Averaged) -> dict[str, Any]:
    from bayesmeta.records import bias_record

    return bias_record(
        one.item.pooled, one.item.key, one.fit, one.tables, one.reason, warnings=(*one.item.warnings, *one.item.notes)
    )


def _csv(one: Averaged, models: bool) -> pd.DataFrame:
    return one.tables["candidates" if models else "chances"]


def _view(one: Averaged, models: bool) -> list[str]:
    """Everything of one outcome: the answer, chances by family, inclusion, estimates, weights of p, models."""
    item, fit = one.item, one.item.pooled
    lines = [title(views.name_of(item)), wrapped(views.counts(fit.effects))]
    if words := views.scale_words(fit.effects.measure):
        lines.append(wrapped(words))
    lines += [*(wrapped(f"Note: {note}.") for note in item.notes), ""]
    if one.fit is None:
        return [*lines, wrapped(f"Not done: {one.reason}"), ""]
    from bayesmeta.sensitivity import BIAS_TABLES, read_section

    tables = one.tables
    read = read_section("publication-bias", tables["chances"], fit, {"inclusion": tables["inclusion"]})
    lines += [wrapped(read.verdict), "", laid_out(read.table, read.note), ""]
    lines += [line for part in read.parts for line in (laid_out(part), "")]
    note = "Averaged over all models, and over those with the parameter. P(zero): probability of those without it."
    lines += [laid_out(_estimates(tables["estimates"], fit.effects.measure), note), ""]
    if len(tables["weights"]):
        note = (
            "How likely results are to be seen by their one-sided p in the direction of selection, relative to the "
            "smallest p; averaged over all models."
        )
        lines += [laid_out(readable(tables["weights"], BIAS_TABLES["weights"]), note), ""]
    candidates = tables["candidates"].sort_values("posterior", ascending=False, kind="stable")
    shown = candidates if models else candidates.head(SHOWN)
    told = {name: candidates[name].ne("none").map({True: "yes", False: "no"}) for name in ("effect", "heterogeneity")}
    left = len(candidates) - len(shown)
    note = f"The {len(shown)} models with the largest posterior probability; --models prints all {len(candidates)}."
    return [
        *lines,
        laid_out(readable(shown.assign(**told), BIAS_TABLES["candidates"], fit.effects.measure), note if left else ""),
        "",
        *(line for block in _strength(one) for line in (block, "")),
    ]


#: What is said below each table of how strong selection would have to be.
_NOTES = {
    "needed": (
        "How strong selection would have to be to move the chance of an important benefit (of any benefit, without a "
        "threshold) below the cut-off: how likely results with a one-sided p above 0.025 would be to be seen, relative "
        "to the others, under the analysis' own priors. At the limit: where none of them is seen."
    ),
    "worst_case": (
        "Worst case (Mathur & VanderWeele 2020, doi:10.1111/rssc.12440): the trials alone that are not significant in "
        "the favoured direction."
    ),
    "s_values": (
        "S-value: how many times likelier results significant in the favoured direction would have to be seen for the "
        "estimate, or its confidence limit, to reach a value; not possible where the worst case stays beyond it."
    ),
}


def _strength(one: Averaged) -> list[str]:
    """Blocks on selection of any strength; where the data allow none, why."""
    from bayesmeta.sensitivity import BIAS_TABLES

    blocks = []
    for name, note in _NOTES.items():
        # a ratio that is infinite stands beside "not possible"
        table = one.tables[name].replace(math.inf, math.nan)
        if len(table):
            blocks.append(laid_out(readable(table, BIAS_TABLES[name], one.item.pooled.effects.measure), note))
        else:
            blocks.append(wrapped(f"Not done: {one.tables[name].attrs['reason']}"))
    return blocks


def _estimates(table: pd.DataFrame, measure: str) -> Readable:
    """Effects on their natural scale, above the SD and the slopes, which have none."""
    from bayesmeta.sensitivity import BIAS_TABLES

    effect = table["parameter"].isin(["mu", "theta_new"])
    columns = BIAS_TABLES["estimates"]
    parts = [readable(table[effect], columns, measure), readable(table[~effect], columns)]
    return Readable(parts[0].columns, [row for part in parts for row in part.cells])
