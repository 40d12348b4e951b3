"""Sections of the sensitivity bench as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bayesmeta as bm
from bayesmeta.sensitivity import read_section
from bayesmeta_cli.render import table, wrapped

if TYPE_CHECKING:
    import pandas as pd


def section_lines(name: str, frame: pd.DataFrame, fit: bm.Fit) -> list[str]:
    """One section: its question, its table, its notes."""
    read = read_section(name, frame, fit)
    lines = [wrapped(f"{name}: {read.question}")]
    if read.table.cells:
        lines.append(table(read.table.headers, read.table.cells))
    return [*lines, wrapped(read.note), ""] if read.note else [*lines, ""]
