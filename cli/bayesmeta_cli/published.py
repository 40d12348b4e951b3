"""The commands `reanalyse` and `audit`: what published pooled results say, and whether they can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import typer

import bayesmeta as bm
from bayesmeta.analysis import collected
from bayesmeta.columns import Column, columns_of, readable
from bayesmeta.published import (
    NO_THRESHOLD,
    TARGETS,
    NotAnalysed,
    PublishedResult,
    Reanalysis,
    Reconstruction,
    directed,
    measures_of,
    published_results,
    reanalyse_all,
    reanalysis_table,
)
from bayesmeta_cli.analyses import choice, number, pairs
from bayesmeta_cli.commands import show
from bayesmeta_cli.files import existing
from bayesmeta_cli.forensics import findings_view, show_rules
from bayesmeta_cli.messages import say
from bayesmeta_cli.render import NEW_STUDY, amount, table, title, wrapped
from bayesmeta_cli.sensitivity import write_each

UNREPORTABLE = 5
SHOWN = 12
_ROWS = dict(zip(TARGETS, ("mean, SE as printed", "mean effect", "new study", "tau"), strict=True))


def _chosen(results: Sequence[PublishedResult], names: Sequence[str], measure: str | None) -> list[PublishedResult]:
    """Keep the rows of some outcomes, and those of one measure with the rows that have no effect."""
    known = {name.casefold() for item in results for name in (item.outcome, item.label)}
    for name in names:
        if name.casefold() not in known:
            outcomes = list(dict.fromkeys(item.outcome for item in results))
            raise bm.DataError(f"there is no outcome {name!r}. {bm.errors.pick(name, outcomes[:SHOWN])}")
    wanted = {name.casefold() for name in names}
    kept = [item for item in results if not wanted or wanted & {item.outcome.casefold(), item.label.casefold()}]
    if measure is not None:
        kind = bm.measures.measure(measure).name
        if kind not in measures_of(kept):
            raise bm.DataError(f"no effect is a {kind}. Measures: {', '.join(measures_of(kept)) or 'none'}.")
        kept = [item for item in kept if item.measure == kind]
    return kept


def _turned(results: Sequence[PublishedResult], stated: Sequence[str]) -> tuple[PublishedResult, ...]:
    """Directions of the command line: one for all, or OUTCOME=higher."""
    found = tuple(results)
    for text in sorted(stated, key=lambda item: "=" in item):
        name, sign, value = text.rpartition("=")
        if sign and not name.strip():
            raise typer.BadParameter(f"--better {text}: write higher or lower, or OUTCOME=higher.")
        way = cast(Any, choice(value, "--better", ("higher", "lower")))
        found = directed(found, {name.strip(): way} if sign else way)
    return found


def reanalyse(
    path: Path,
    mu: str | None,
    tau: str | None,
    ref_sd: str | None,
    threshold: str | None,
    better: Sequence[str],
    outcome: Sequence[str],
    measure: str | None,
    model: str,
    column: Sequence[str],
    figure: Path | None,
    json: bool,
    csv: bool,
) -> None:
    """Analyse published pooled results again and print what they say."""
    from bayesmeta.records import reanalyse_record
    from bayesmeta.studies import read_table

    existing(path, ("table",))
    model = choice(model, "--model", ("fixed", "random"))
    warned: list[str] = []
    with collected(warned):
        frame = read_table(path, columns=pairs(column, "--column"))
        results = _turned(_chosen(published_results(frame), outcome, measure), better)
    kinds = measures_of(results)
    given = [
        name
        for name, text in (("--mu", mu), ("--tau", tau), ("--ref-sd", ref_sd), ("--threshold", threshold))
        if text is not None
    ]
    if given and len(kinds) > 1:
        raise typer.BadParameter(
            f"{' and '.join(given)}: on one scale, but the results are of several measures ({', '.join(kinds)}). "
            "Choose one with --measure or --outcome."
        )
    items = reanalyse_all(
        results,
        None if mu is None else bm.priors.parse(mu),
        None if tau is None else bm.priors.parse(tau),
        threshold=number(threshold, "--threshold"),
        model=cast(Any, model),
        ref_sd=number(ref_sd, "--ref-sd"),
    )
    if figure is not None:
        _draw(items, kinds, figure)
    sha = str(frame.attrs["sha256"])
    show(
        json,
        csv,
        lambda: [reanalyse_record(item, source=path.name, sha256=sha, warnings=warned) for item in items],
        lambda: reanalysis_table(items),
        lambda: "\n".join(_text(path.name, items)),
    )


def _draw(items: Sequence[Reanalysis | NotAnalysed], kinds: Sequence[str], figure: Path) -> None:
    """One picture per measure in which something could be analysed."""
    from bayesmeta.plots import published_plot

    found = [kind for kind in kinds if any(isinstance(i, Reanalysis) and i.result.measure == kind for i in items)]
    if not found:
        say("not drawn: no result could be analysed")
        return
    # rows without an effect have no measure of their own
    parts = {kind: [i for i in items if i.result.measure == kind or i.result.estimate is None] for kind in found}
    write_each(figure, "published", parts, published_plot)


def _text(source: str, items: Sequence[Reanalysis | NotAnalysed]) -> list[str]:
    done = [item for item in items if isinstance(item, Reanalysis)]
    reviews = list(dict.fromkeys(item.result.review for item in items))
    lines = [title(source)]
    if len(reviews) == 1 and reviews[0]:
        lines.append(wrapped(f"{reviews[0]}."))
    lines += [wrapped(f"{len(done)} of {len(items)} published results could be analysed."), ""]
    for item in items:
        lines += [*_block(item, several=len(reviews) > 1), ""]
    priors = dict.fromkeys(
        f"Prior of {role}, {item.result.measure}: {prior!r} ({source})."
        for item in done
        for role, prior, source in (("mu", item.mu_prior, item.mu_source), ("tau", item.tau_prior, item.tau_source))
    )
    lines += [wrapped(text) for text in priors]
    lines.append(
        wrapped("Mean effect: with the heterogeneity that I2 and the number of trials leave possible. " + NEW_STUDY)
    )
    for name, words in (("assumptions", "Assumed"), ("unknown", "Cannot be known")):
        if listed := _listed(items, name):
            lines += ["", f"{words} (of {len(items)} results):", *listed]
    return lines


# what stands in the lines of each result already
_IN_LINES = ("I2 of ", "the standard error beyond", "benefit: ")


def _listed(items: Sequence[Reanalysis | NotAnalysed], name: str) -> list[str]:
    """Sentences of all results, each once with its count."""
    found: dict[str, int] = {}
    for item in items:
        for text in _sentences(item, name):
            if not text.startswith(_IN_LINES):
                found[text] = found.get(text, 0) + 1
    return ["- " + wrapped(f"{text} ({count})", "  ")[2:] for text, count in found.items()]


def _sentences(item: Reanalysis | NotAnalysed, name: str) -> tuple[str, ...]:
    of = item if isinstance(item, Reanalysis) and name == "unknown" else item.rebuilt
    return () if of is None else tuple(getattr(of, name))


def _block(item: Reanalysis | NotAnalysed, *, several: bool) -> list[str]:
    """One result: as printed, as read, analysed again, and what is particular to it."""
    result, rebuilt = item.result, item.rebuilt
    review = f" [{result.review}]" if several and result.review else ""
    lines = [wrapped(f"{result.label}{review} ({result.place.rpartition('.csv ')[2]})")]
    if result.estimate is not None:
        lines.append(wrapped(f"Printed: {_printed(result)}.", "  "))
    if rebuilt is not None:
        lines.append(wrapped(f"Read: {_read(rebuilt)}.", "  "))
    notes = list(result.notes if rebuilt is None else rebuilt.notes)
    if isinstance(item, Reanalysis):
        lines += _numbers(item)
        known = dict.fromkeys(item.note(target) for target in TARGETS[:3])
        notes = [text for text in known if text and text != NO_THRESHOLD] + notes
    else:
        lines.append(wrapped(f"Not analysed: {item.reason}", "  "))
    return lines + [wrapped(f"Note: {text}.", "  ") for text in notes]


def _printed(result: PublishedResult) -> str:
    decimals = None if result.unit is None else max(0, round(-math.log10(result.unit)))

    def text(value: float) -> str:
        return f"{value:g}" if decimals is None else f"{value:.{decimals}f}"

    parts = [f"{result.measure} {text(cast(float, result.estimate))}"]
    if result.lower is not None and result.upper is not None:
        parts[0] += f" [{text(result.lower)}, {text(result.upper)}]"
    if result.lower is None and result.p is not None:
        parts[0] += f", p = {result.p:g}"
    parts.append("k not printed" if result.k is None else f"k = {result.k}")
    parts.append("I2 not printed" if result.i2 is None else f"I2 {result.i2:g} %")
    if result.pi_lower is not None and result.pi_upper is not None:
        parts.append(f"prediction interval {text(result.pi_lower)} to {text(result.pi_upper)}")
    parts.append({"random": "random effects", "fixed": "fixed effect", None: "model not stated"}[result.model])
    return ", ".join(parts)


def _read(rebuilt: Reconstruction) -> str:
    parts = [f"SE {rebuilt.se:.3g}"]
    if rebuilt.se_low is not None and rebuilt.se_high is not None:
        parts[0] += f" (rounding: {rebuilt.se_low:.3g} to {rebuilt.se_high:.3g})"
    if rebuilt.s is not None and rebuilt.k != 1:
        parts.append(f"SE of one trial {rebuilt.s:.2g}")
    if rebuilt.q is not None:
        parts.append(f"Q {'at most' if rebuilt.at_most else '='} {rebuilt.q:.3g}")
    if rebuilt.tau is not None:
        parts.append(f"tau {rebuilt.tau:.2g}")
    return ", ".join(parts)


def _numbers(item: Reanalysis) -> list[str]:
    frame = reanalysis_table([item]).dropna(subset="median")
    of_tau = frame["target"] == "tau"
    names = Column("target", "text", "", labels=_ROWS)
    columns = (names, *columns_of("effect", median="median", lower="lower", upper="upper"))
    if item.better is not None:
        columns += columns_of("probability", p_any_benefit="any benefit")
        if item.threshold is not None:
            columns += columns_of(
                "probability", p_important_benefit="important benefit", p_important_harm="important harm"
            )
    read = readable(frame[~of_tau], columns, item.result.measure)
    more = readable(frame[of_tau], (names, *columns_of("sd", median="median", lower="lower", upper="upper")))
    cells = [*read.cells, *([*row, *[""] * (len(read.columns) - len(row))] for row in more.cells)]
    lines = table(read.headers, [[f"  {row[0]}", *row[1:]] for row in cells]).splitlines()
    if item.better is not None:
        mark = item.threshold
        important = "" if mark is None else f"Important: {amount(cast(float, mark.benefit))} or beyond; "
        lines.append(wrapped(f"{important}{item.better} is better.", "  "))
    return lines


# -- audit -------------------------------------------------------------------------------------------------------------


def audit(
    path: Path | None, trials: Path | None, column: Sequence[str], strict: bool, rules: bool, json: bool, csv: bool
) -> int:
    """Ask every rule of published results and their list of trials; return the exit code."""
    from bayesmeta.forensics import AUDIT_RULES, findings_table
    from bayesmeta.forensics import audit as run_audit
    from bayesmeta.records import audit_record
    from bayesmeta.studies import read_table

    if rules:
        show_rules(AUDIT_RULES, json, csv)
        return 0
    if path is None:
        raise typer.BadParameter("give a table of published results.")
    warned: list[str] = []
    with collected(warned):
        published = read_table(existing(path, ("table",)), columns=pairs(column, "--column"))
        listed_trials = None if trials is None else read_table(existing(trials, ("table",)))
    found = run_audit(published, listed_trials)
    named = (
        None
        if listed_trials is None or trials is None
        else (trials.name, str(listed_trials.attrs["sha256"]), len(listed_trials))
    )

    size = f"{len(published)} results" + ("" if named is None else f", {named[2]} trials in {named[0]}")
    sha = str(published.attrs["sha256"])
    show(
        json,
        csv,
        lambda: [audit_record(path.name, sha, len(published), found, trials=named, warnings=warned)],
        lambda: findings_table(found),
        lambda: findings_view(path.name, f"{size}, {len(AUDIT_RULES)} rules", found),
        caveat=False,
    )
    errors = sum(item.severity == "error" for item in found)
    if strict and errors:
        say(f"not reportable: {errors} finding{'' if errors == 1 else 's'} of severity error (--strict)")
        return UNREPORTABLE
    return 0
