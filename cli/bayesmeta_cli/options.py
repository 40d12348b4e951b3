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
Mu = Annotated[str | None, typer.Option("--mu", metavar="PRIOR", help='Of the mean effect: "normal(0, 2)".')]
Tau = Annotated[str | None, typer.Option("--tau", metavar="PRIOR", help='Of tau: "halfnormal(0.5)".')]
RefSD = Annotated[
    str | None, typer.Option("--ref-sd", metavar="S", help="SD of the outcome, from outside; scales both priors.")
]
By = Annotated[str | None, typer.Option("--by", metavar="COL", help="One analysis per value of COL.")]
Where = Annotated[list[str] | None, typer.Option("--where", metavar="COL=VALUE", help="Only these rows; repeatable.")]
Scale = Annotated[str | None, typer.Option("--scale", metavar="natural|log|analysis", help="Of a column `estimate`.")]
#: What is said of a table that has no protocol.
OF_A_TABLE = ("measure", "better", "mu", "tau", "ref_sd", "threshold", "by", "where", "column", "scale")
