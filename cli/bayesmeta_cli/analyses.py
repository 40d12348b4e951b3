"""What is named on the command line to the analyses that commands print, draw and write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

import bayesmeta as bm
from bayesmeta_cli.files import existing
from bayesmeta_cli.messages import steps

__all__ = ["choice", "from_file", "from_protocol", "number", "pairs", "protocol_of"]


def from_protocol(protocol: bm.Protocol, names: Sequence[str] = (), **options: Any) -> list[bm.Analysis]:
    """Fit the outcomes of a protocol, without declared analyses unless they are requested."""
    from bayesmeta.analysis import read_outcomes

    read = read_outcomes(protocol, names)
    with steps(len(read)) as step:
        return bm.analyse_all(
            protocol, readings=read, progress=lambda key: step(f"fitting {key}"), **{"declared": False, **options}
        )


def from_file(
    path: Path, names: Sequence[str] = (), fits: Path | None = None, *, moderated: bool = True
) -> list[bm.Analysis]:
    """Analyses of a protocol, or the one of a fit."""
    from bayesmeta.analysis import read_analyses

    existing(path, ("protocol", "fit"))
    if path.suffix.lower() == ".nc":
        if names or fits:
            raise typer.BadParameter(f"--outcome and --fits go with a protocol; {path} is one fit.")
        return [bm.analysis_of(path)]
    protocol = bm.read_protocol(path)
    if fits is not None:
        return read_analyses(protocol, fits, names, moderated=moderated)
    return from_protocol(protocol, names, moderated=moderated)


def pairs(items: Sequence[str], option: str) -> dict[str, str]:
    """Make a mapping of ``NAME=VALUE`` options."""
    made = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise typer.BadParameter(f"{option} {item}: write NAME=VALUE.")
        made[name.strip()] = value.strip()
    return made


def choice(text: str, option: str, allowed: Sequence[str]) -> str:
    """Read one of a few words."""
    try:
        return bm.errors.find_name("choice", text, allowed)
    except bm.ModelError:
        raise typer.BadParameter(f"{option} {text}: {bm.errors.pick(text, allowed)}") from None


def number(text: str | None, option: str, *, chance: bool = False) -> float | None:
    """Read a number; a probability strictly between 0 and 1 if ``chance``."""
    if text is None:
        return None
    wanted = "give a probability between 0 and 1, such as 0.2" if chance else "not a number"
    try:
        value = float(text)
    except ValueError:
        raise typer.BadParameter(f"{option} {text}: {wanted}.") from None
    if chance and not 0 < value < 1:
        raise typer.BadParameter(f"{option} {text}: {wanted}.")
    return value


def protocol_of(
    path: Path,
    *,
    better: str | None,
    threshold: str | None,
    ref_sd: str | None,
    column: Sequence[str] | None,
    where: Sequence[str] | None,
    scale: str | None,
    **options: Any,
) -> bm.Protocol:
    """Make the protocol of a table, as far as the options state one."""
    existing(path, ("table",))
    if better is not None:
        better = choice(better, "--better", ("higher", "lower"))
    if scale is not None:
        scale = choice(scale, "--scale", ("natural", "log", "analysis"))
    stated = number(threshold, "--threshold")
    if stated is not None and better is None:
        raise typer.BadParameter("--threshold needs --better higher or --better lower.")
    return bm.table_protocol(
        path,
        better=better,  # type: ignore[arg-type]
        threshold=stated,
        ref_sd=number(ref_sd, "--ref-sd"),
        columns=pairs(column or [], "--column"),
        scale=scale,
        where=pairs(where or [], "--where"),
        **options,
    )
