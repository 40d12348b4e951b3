"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ProtocolFile = Annotated[Path, typer.Argument(metavar="PROTOCOL", help="Analysis protocol (.toml).")]
Source = Annotated[Path, typer.Argument(metavar="PROTOCOL|FIT", help="Protocol (.toml) or fit (.nc).")]
Table = Annotated[Path, typer.Argument(metavar="CSV", help="Table of trials, one row per estimate.")]
OutcomeNames = Annotated[
    list[str] | None, typer.Option("--outcome", metavar="NAME", help="Only this outcome; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, at full precision.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the table as CSV, at full precision.")]
Fits = Annotated[
    Path | None, typer.Option("--fits", metavar="OUT", help="Read the fits that `bayesmeta fit -o OUT` wrote.")
]
Output = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="FILE", help="Picture (.png .svg .pdf); a folder or {outcome} for several."),
]
Figure = Annotated[
    Path | None,
    typer.Option("--figure", metavar="FILE", help="Also draw it (.png .svg .pdf); a folder or {outcome} for several."),
]
Thresholds = Annotated[
    str | None,
    typer.Option(
        "--threshold", metavar="X", help="Smallest important benefit: a distance; for ratio measures the ratio."
    ),
]
Better = Annotated[str | None, typer.Option("--better", metavar="higher|lower", help="Which direction is benefit.")]
Measure = Annotated[str | None, typer.Option("--measure", metavar="NAME", help="SMD MD ROM OR RR RD HR ZCOR generic.")]
Sections = Annotated[list[str] | None, typer.Option("--section", metavar="NAME", help="Only this section; repeatable.")]
Folder = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="DIR", help="Also draw: a folder for the pictures.")
]
Columns = Annotated[
    list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="A column under another name; repeatable.")
]
