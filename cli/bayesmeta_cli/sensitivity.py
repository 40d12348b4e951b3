"""The commands `sensitivity`, `influence`, `multiverse` and `compare --preset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import bayesmeta as bm
from bayesmeta_cli import views
from bayesmeta_cli.analyses import choice, from_file, from_protocol, number
from bayesmeta_cli.commands import show, stacked
from bayesmeta_cli.files import existing, plot_paths
from bayesmeta_cli.messages import parts, say, steps, track
from bayesmeta_cli.render import laid_out, title, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.plots import Plot
    from bayesmeta.sensitivity import SensitivityAnalyses

DECLARED = "declared"


def section_names(requested: Sequence[str], allowed: Sequence[str], default: Sequence[str]) -> list[str]:
    """Names of sections in their own order; default where none is requested."""
    wanted = [choice(name, "--section", allowed) for name in requested]
    return [name for name in allowed if name in (wanted or default)]


def sensitivity(
    path: Path,
    section: Sequence[str],
    outcome: Sequence[str],
    cut: str,
    order: str | None,
    alternative: str | None,
    output: Path | None,
    json: bool,
    csv: bool,
) -> None:
    """Run the sensitivity analyses of every outcome: the declared ones, then every section."""
    from bayesmeta.sensitivity import SECTIONS, trial_order, usual_sections

    named = section_names(section, list(SECTIONS), [])
    chance = number(cut, "--cut", chance=True)
    existing(path, ("protocol",))
    protocol = bm.read_protocol(path)
    wanted = named or usual_sections(protocol.bias)
    stated = DECLARED in wanted
    analyses = from_protocol(
        protocol, outcome, moderated=stated or any(SECTIONS[name].moderated for name in wanted), declared=stated
    )
    found: dict[str, SensitivityAnalyses] = {}
    with steps(len(analyses)) as step:
        for item in analyses:
            trials = trial_order(item.effects, order or "rows")
            found[item.key] = item.sensitivity(
                wanted, order=trials, cut=chance, alternative=alternative, progress=parts(step, item.key)
            )
    if output is not None:
        for item in track(analyses, "drawing"):
            _draw_sections(item, found[item.key], output)
    _show_sections(analyses, found, json, csv)


def _draw_sections(item: bm.Analysis, found: SensitivityAnalyses, output: Path) -> None:
    """Write the pictures of one outcome into a folder."""
    plots = bm.plots
    makers: dict[str, tuple[str, Callable[[], Plot]]] = {
        "leave-one-out": ("leave-one-out", lambda: plots.deletion_plot(item.pooled, found.tables["leave-one-out"])),
        "cumulative": ("cumulative", lambda: plots.cumulative_plot(item.pooled, found.tables["cumulative"])),
        "influence": ("baujat", lambda: plots.baujat_plot(item.pooled, found.tables["influence"])),
        "multiverse": ("multiverse", lambda: plots.specification_plot(item.pooled, found.tables["multiverse"])),
        "small-study": ("funnel", lambda: plots.funnel_plot(item.pooled, fill="L0")),
        "estimators": ("radial", lambda: plots.radial_plot(item.pooled)),
        "concordance": ("drapery", lambda: plots.drapery_plot(item.pooled)),
        "priors": ("ladder", lambda: plots.ladder_plot(item.pooled, found.tables["priors"])),
        "gosh": ("gosh", lambda: plots.gosh_plot(item.pooled)),
    }
    if output.suffix:
        raise typer.BadParameter(f"-o {output}: give a folder; every outcome has several pictures.")
    for section, (name, make) in makers.items():
        if section not in found.tables:
            continue
        try:
            picture = make()
        except bm.ModelError as error:
            say(f"not drawn: {item.key}, {name}: {error}")
            continue
        _write(picture, output / f"{item.key}.{name}.png")


def _write(picture: Plot, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    say(f"wrote {picture.save(path)}")


def write_each[T](figure: Path | None, kind: str, items: Mapping[str, T], draw: Callable[[T], Plot]) -> None:
    """Write a picture of each item beside what is printed."""
    if figure is not None:
        for item, path in zip(items.values(), plot_paths(figure, list(items), kind), strict=True):
            _write(draw(item), path)


def influence(
    path: Path, gosh: bool, figure: Path | None, outcome: Sequence[str], fits: Path | None, json: bool, csv: bool
) -> None:
    """Print influential trials: deletion diagnostics, leave-one-out, and all subsets where requested."""
    from bayesmeta.sensitivity import sensitivity_analyses

    wanted = ["influence", "leave-one-out", *(["gosh"] if gosh else [])]
    analyses = from_file(path, outcome, fits, moderated=False)
    with steps(len(analyses)) as step:
        found = {
            item.key: sensitivity_analyses(item.pooled, wanted, progress=parts(step, item.key)) for item in analyses
        }
    pooled = {item.key: item.pooled for item in analyses}
    write_each(figure, "influence", pooled, lambda fit: (bm.plots.gosh_plot if gosh else bm.plots.baujat_plot)(fit))
    _show_sections(analyses, found, json, csv)


def multiverse(path: Path, figure: Path | None, outcome: Sequence[str], json: bool, csv: bool) -> None:
    """Print how the answer spreads over every combination of choices."""
    existing(path, ("protocol",))
    analyses = from_protocol(bm.read_protocol(path), outcome, moderated=False)
    found = {item.key: item.sensitivity(["multiverse"]) for item in track(analyses, "multiverse")}
    drawn = {item.key: (item.pooled, table) for item in analyses for table in found[item.key].tables.values()}
    write_each(figure, "multiverse", drawn, lambda found: bm.plots.specification_plot(*found))
    _show_sections(analyses, found, json, csv)


def _show_sections(
    analyses: Sequence[bm.Analysis], found: Mapping[str, SensitivityAnalyses], json: bool, csv: bool
) -> None:
    """Print the sections of every outcome."""
    from bayesmeta.records import sensitivity_record

    if csv and not any(item.tables for item in found.values()):
        raise bm.ModelError(
            "; ".join(f"{key}, {name}: {why}" for key, item in found.items() for name, why in item.not_done.items())
        )
    show(
        json,
        csv,
        lambda: [sensitivity_record(item.pooled, item.key, found[item.key], warnings=item.warned) for item in analyses],
        lambda: stacked_sections((item.key, item.pooled, found[item.key]) for item in analyses),
        lambda: "\n".join(
            "\n".join([*views.heading(item), *section_lines(item.pooled, found[item.key])]) for item in analyses
        ),
    )


def stacked_sections(items: Iterable[tuple[str, bm.Fit, SensitivityAnalyses]]) -> pd.DataFrame:
    """The tables of every section in one."""
    return stacked(
        (key, fit.effects, table.assign(section=name))
        for key, fit, found in items
        for name, table in found.tables.items()
    )


def section_lines(fit: bm.Fit, found: SensitivityAnalyses, sections: Any = None) -> list[str]:
    """Sections of one fit: question, tables and notes of each; then why others are not there."""
    from bayesmeta.sensitivity import SECTIONS, read_section

    lines: list[str] = []
    for name, table in found.tables.items():
        parts, which = found.parts.get(name, {}), sections or SECTIONS
        read = read_section(name, table, fit, parts, sections=which, threshold=found.threshold)
        lines += [wrapped(text) for text in (f"{name}: {read.question}", read.verdict) if text]
        lines += [laid_out(read.table)] if read.table.cells else []
        lines += [*([wrapped(read.note)] if read.note else []), ""]
        for part in read.parts:
            lines += [laid_out(part), ""]
    return [*lines, *(wrapped(f"Not done, {name}: {reason}") for name, reason in found.not_done.items()), ""]


def presets(path: Path, names: Sequence[str], requested: str, json: bool, csv: bool) -> None:
    """Print what changes when our choices are exchanged for those of another program, choice by choice."""
    from bayesmeta.analysis import recompute
    from bayesmeta.records import preset_record

    item = bm.classical.preset(requested)
    existing(path, ("protocol",))
    protocol = bm.read_protocol(path)
    analyses = from_protocol(protocol, names, moderated=False)
    tables: dict[str, pd.DataFrame] = {}
    not_done: dict[str, str] = {}
    for analysis in analyses:
        try:
            stated = protocol.outcomes[analysis.key].selection.measure_options
            again = recompute(protocol, analysis.key)

            def computed(options: Mapping[str, Any], stated: Any = stated, again: Any = again) -> bm.Effects:
                made: bm.Effects = again({**stated, **options})
                return made

            ours = bm.classical.OURS.options
            effects = analysis.pooled.effects
            # the first line is ours, whatever effect sizes the protocol asks for
            if any(stated.get(name, value) != value for name, value in ours.items()):
                effects = computed(ours)
            tables[analysis.key] = bm.classical.preset_table(effects, item, computed, rho=analysis.pooled.model.rho)
        except bm.ModelError as error:
            not_done[analysis.key] = str(error)
    if not tables:
        raise bm.ModelError("\n".join(f"{key}: {reason}" for key, reason in not_done.items()))

    def text(analysis: bm.Analysis) -> str:
        lines = views.heading(analysis)
        if analysis.key in tables:
            return "\n".join([*lines, *views.preset_lines(tables[analysis.key], analysis.pooled, item)])
        return "\n".join([*lines, wrapped(f"Not done: {not_done[analysis.key]}"), ""])

    about = [title(item.label), wrapped(f"Read in: {item.source}.")]
    about += [wrapped(f"Not read in a primary source: {'; '.join(item.unverified)}.")] if item.unverified else []
    about += [wrapped(item.remark)] if item.remark else []
    show(
        json,
        csv,
        lambda: [
            preset_record(
                analysis.pooled,
                analysis.key,
                item,
                tables.get(analysis.key),
                not_done.get(analysis.key, ""),
                warnings=analysis.warned,
            )
            for analysis in analyses
        ],
        lambda: stacked(
            (analysis.key, analysis.pooled.effects, tables[analysis.key])
            for analysis in analyses
            if analysis.key in tables
        ),
        lambda: "\n".join(["\n".join([*about, ""]), *(text(analysis) for analysis in analyses)]),
        caveat=False,
    )
