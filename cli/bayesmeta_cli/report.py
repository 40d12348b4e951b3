"""What is taken elsewhere: `report`, one page with its files; `cite`; `export`, scripts for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

import bayesmeta as bm
from bayesmeta_cli.analyses import choice, from_file, protocol_of
from bayesmeta_cli.commands import UNREPORTABLE
from bayesmeta_cli.files import existing
from bayesmeta_cli.messages import say, steps
from bayesmeta_cli.render import wrapped


def report(
    path: Path, names: Sequence[str], output: Path, ask: dict[str, Any], show: bool, table: dict[str, Any]
) -> int:
    """Write the report of a protocol, or of a table without one; return the exit code."""
    existing(path, ("protocol", "table"))
    if ask["judgements"] is not None and not ask["judgements"].is_file():
        raise typer.BadParameter(f"--judgements {ask['judgements']}: no such file.")
    if path.suffix.lower() == ".toml":
        if stated := [name for name, value in table.items() if value]:
            raise typer.BadParameter(f"--{stated[0].replace('_', '-')} goes with a table; a protocol states its own.")
        protocol = bm.read_protocol(path)
    else:
        protocol = protocol_of(path, **table)
        say("note: without a protocol these defaults hold:")
        for text in protocol.assumptions:
            say(wrapped(f"{text}.", "  "))
    with steps(len(names or protocol.outcomes) + 3) as step:
        written = bm.write_report(protocol, output, outcomes=names, progress=step, **ask)
    print(written.page)
    if show:
        typer.launch(written.page.resolve().as_uri())
    else:
        say("open it in any browser, or write it with --open")
    for reason in written.reasons:
        say(f"not reportable: {reason}")
    return UNREPORTABLE if written.reasons else 0


def cite(path: Path, bibtex: bool, outcome: Sequence[str], fits: Path | None) -> None:
    """Print the methods paragraph and the references that follow from what a protocol runs."""
    from bayesmeta.report import bibliography, methods_text, used_references
    from bayesmeta.sensitivity import usual_sections

    analyses = from_file(path, outcome, fits)
    found = [fit for item in analyses for fit in item.fits]
    stated = next((item.protocol.bias for item in analyses if item.protocol is not None), None)
    sections = usual_sections(stated)
    if not bibtex:
        print(wrapped(methods_text(found, sections)) + "\n")
    print(bibliography(used_references(found, sections)), end="")


def export(path: Path, to: str, output: Path, outcome: Sequence[str], fits: Path | None) -> None:
    """Write data, answer and scripts of every outcome."""
    from bayesmeta.setup import LANGUAGES, write_scripts

    language: Any = choice(to, "--to", LANGUAGES)
    for folder in write_scripts(from_file(path, outcome, fits, moderated=False), language, output):
        print(folder)
    say("each has a README.md that says how to run its scripts")
