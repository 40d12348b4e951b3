"""The command `forensics`: what is improbable or impossible in a table, before anything is pooled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import bayesmeta as bm
from bayesmeta_cli.analyses import pairs
from bayesmeta_cli.commands import show
from bayesmeta_cli.files import existing
from bayesmeta_cli.messages import noted
from bayesmeta_cli.render import title, wrapped

if TYPE_CHECKING:
    pass

SEVERITIES = ("error", "warning", "info")


def finding_lines(findings: Sequence[bm.Finding]) -> list[str]:
    """Findings for a person, the worst first."""
    ordered = sorted(findings, key=lambda item: SEVERITIES.index(item.severity))
    return [wrapped(f"{item.severity}: {item.rule}: {item.evidence.rstrip('.')}. {item.remedy}") for item in ordered]


def _numbers(text: str | None, option: str, count: int) -> list[float] | None:
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise typer.BadParameter(f"{option} {text}: give {'a number' if count == 1 else 'two numbers, as 0,100'}.")
    return values


def forensics(
    path: Path | None, columns: Sequence[str], grain: str | None, bounds: str | None, rules: bool, json: bool, csv: bool
) -> None:
    """Examine a table, or the table of a protocol with its outcomes."""
    from bayesmeta.analysis import read_outcomes
    from bayesmeta.forensics import RULES, examine_reading, examine_table, findings_table
    from bayesmeta.records import forensics_record
    from bayesmeta.studies import read_table

    if rules:
        import pandas as pd

        frame = pd.DataFrame(
            [{"rule": r.name, "severity": r.severity, "question": r.question, "remedy": r.remedy} for r in RULES]
        )
        cells = [[row["rule"], row["severity"], row["question"]] for row in frame.to_dict("records")]
        show(
            json,
            csv,
            lambda: [{"rules": frame.to_dict("records")}],
            lambda: frame,
            lambda: "\n".join(f"{name} ({severity})\n{wrapped(question, '  ')}" for name, severity, question in cells),
            honesty=False,
        )
        return
    if path is None:
        raise typer.BadParameter("give a PROTOCOL or a CSV.")
    existing(path, ("protocol", "table"))
    steps, ends = _numbers(grain, "--grain", 1), _numbers(bounds, "--bounds", 2)
    warned: list[str] = []
    with noted(warned):
        if path.suffix.lower() == ".toml":
            if columns:
                raise typer.BadParameter("--column goes with a table; a protocol states its own.")
            protocol = bm.read_protocol(path)
            source, mapped = protocol.data.path, dict(protocol.data.columns)
            read = [reading for reading, _ in read_outcomes(protocol).values()]
        else:
            source, mapped, read = path, pairs(columns, "--column"), []
        frame = read_table(source, columns=mapped)
    found = list(
        examine_table(
            frame,
            source=source.name,
            grain=None if steps is None else steps[0],
            bounds=None if ends is None else (ends[0], ends[1]),
        )
    )
    # a row that the whole table showed already is not reported again in the direction of its outcome
    seen = {(item.rule, item.evidence.partition(":")[0]) for item in found}
    for reading in read:
        found += [item for item in examine_reading(reading) if (item.rule, item.evidence.partition(":")[0]) not in seen]
    sha = str(frame.attrs["sha256"])

    def text() -> str:
        counts = ", ".join(
            f"{sum(item.severity == name for item in found)} {name}{'' if name == 'info' else 's'}"
            for name in SEVERITIES
        )
        heading = [title(source.name), wrapped(f"{len(frame)} rows, {len(RULES)} rules: {counts}."), ""]
        return "\n".join([*heading, *finding_lines(found)])

    show(
        json,
        csv,
        lambda: [forensics_record(source.name, sha, len(frame), found, warnings=warned)],
        lambda: findings_table(found),
        text,
        honesty=False,
    )
