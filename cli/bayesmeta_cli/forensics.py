"""The command `forensics`: what is improbable or impossible in a table, before anything is pooled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

import bayesmeta as bm
from bayesmeta.analysis import collected
from bayesmeta_cli.analyses import number, pairs
from bayesmeta_cli.commands import show
from bayesmeta_cli.files import existing
from bayesmeta_cli.render import title, wrapped

SEVERITIES = ("error", "warning", "info")


def findings_view(name: str, size: str, findings: Sequence[bm.Finding]) -> str:
    """Findings for a person, counted, the worst first."""
    ordered = sorted(findings, key=lambda item: SEVERITIES.index(item.severity))
    severities: list[str] = [item.severity for item in findings]
    counts = ", ".join(f"{severities.count(kind)} {kind}{'' if kind == 'info' else 's'}" for kind in SEVERITIES)
    lines = [wrapped(f"{item.severity}: {item.rule}: {item.evidence.rstrip('.')}. {item.remedy}") for item in ordered]
    return "\n".join([title(name), wrapped(f"{size}: {counts}."), "", *lines])


def show_rules(rules: Sequence[Any], json: bool, csv: bool) -> None:
    """Print rules: what each asks, and how much it matters."""
    import pandas as pd

    names = ("rule", "severity", "question", "remedy")
    frame = pd.DataFrame([(r.name, r.severity, r.question, r.remedy) for r in rules], columns=list(names))
    lines = [f"{r.name} ({r.severity})\n{wrapped(r.question, '  ')}" for r in rules]
    records = [{"rules": frame.to_dict("records")}]
    show(json, csv, lambda: records, lambda: frame, lambda: "\n".join(lines), caveat=False)


def _ends(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise typer.BadParameter(f"--bounds {text}: give two numbers, as 0,100.") from None
    return low, high


def forensics(
    path: Path | None,
    column: Sequence[str],
    sheet: str | None,
    grain: str | None,
    bounds: str | None,
    rules: bool,
    json: bool,
    csv: bool,
) -> None:
    """Examine a table, or the table of a protocol with its outcomes."""
    from bayesmeta.analysis import read_outcomes
    from bayesmeta.forensics import RULES, examine_reading, examine_table, findings_table
    from bayesmeta.records import forensics_record
    from bayesmeta.studies import read_table

    if rules:
        return show_rules(RULES, json, csv)
    if path is None:
        raise typer.BadParameter("give a PROTOCOL or a CSV.")
    existing(path, ("protocol", "table"))
    step, ends = number(grain, "--grain"), _ends(bounds)
    warned: list[str] = []
    with collected(warned):
        if path.suffix.lower() == ".toml":
            if column or sheet:
                raise typer.BadParameter("--column and --sheet go with a table; a protocol states its own.")
            protocol = bm.read_protocol(path)
            data = protocol.data
            source = data.path
            how: dict[str, Any] = {"sheet": data.sheet, "format": data.format, "shape": data.shape}
            mapped = dict(data.columns)
            read = [reading for reading, _ in read_outcomes(protocol).values()]
        else:
            source, mapped, how, read = path, pairs(column, "--column"), {"sheet": sheet}, []
        frame = read_table(source, columns=mapped, **how)
    found = list(examine_table(frame, source=source.name, grain=step, bounds=ends))
    # a row that the whole table showed already is not reported again in the direction of its outcome
    seen = {(item.rule, item.evidence.partition(":")[0]) for item in found}
    for reading in read:
        found += [item for item in examine_reading(reading) if (item.rule, item.evidence.partition(":")[0]) not in seen]
    sha = str(frame.attrs["sha256"])

    show(
        json,
        csv,
        lambda: [forensics_record(source.name, sha, len(frame), found, warnings=warned)],
        lambda: findings_table(found),
        lambda: findings_view(source.name, f"{len(frame)} rows, {len(RULES)} rules", found),
        caveat=False,
    )
