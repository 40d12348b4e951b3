"""Arguments and options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

ProtocolFile = Annotated[Path, typer.Argument(metavar="PROTOCOL", help="Analysis protocol (.toml).")]
Source = Annotated[Path, typer.Argument(metavar="PROTOCOL|FIT", help="Protocol (.toml) or fit (.nc).")]
Table = Annotated[Path, typer.Argument(metavar="TABLE", help="Table (.csv .xlsx .ods) or review (.rm5 .zip).")]
OutcomeNames = Annotated[
    list[str] | None, typer.Option("--outcome", metavar="NAME", help="Only this outcome; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, at full precision.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the table as CSV, at full precision.")]
Fits = Annotated[
    Path | None, typer.Option("--fits", metavar="OUT", help="Read the fits that `bayesmeta fit -o OUT` wrote.")
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
Engine = Annotated[
    str | None, typer.Option("--engine", metavar="auto|exact|nuts|both", help="Default: the protocol's.")
]
Better = Annotated[str | None, typer.Option("--better", metavar="higher|lower", help="Which direction is benefit.")]
Measure = Annotated[str | None, typer.Option("--measure", metavar="NAME", help="SMD MD ROM OR RR RD HR ZCOR generic.")]
Sections = Annotated[list[str] | None, typer.Option("--section", metavar="NAME", help="Only this section; repeatable.")]
Folder = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="DIR", help="Also draw: a folder for the pictures.")
]
Sheet = Annotated[str | None, typer.Option("--sheet", metavar="NAME", help="Of a workbook with several sheets.")]
Columns = Annotated[
    list[str] | None, typer.Option("--column", metavar="OURS=THEIRS", help="A column under another name; repeatable.")
]
#: What commands that print share.
PRINTED: dict[str, Any] = {"json": Json, "csv": Csv}
OF_OUTCOMES: dict[str, Any] = {"outcome": OutcomeNames, **PRINTED}
FITTED: dict[str, Any] = {"outcome": OutcomeNames, "fits": Fits, **PRINTED}
#: What is said of a table that has no protocol.
OF_A_TABLE: dict[str, Any] = {
    "measure": Measure,
    "better": Better,
    "mu": Annotated[str | None, typer.Option("--mu", metavar="PRIOR", help='Of the mean effect: "normal(0, 2)".')],
    "tau": Annotated[str | None, typer.Option("--tau", metavar="PRIOR", help='Of tau: "halfnormal(0.5)".')],
    "ref_sd": Annotated[
        str | None, typer.Option("--ref-sd", metavar="S", help="SD of the outcome, from outside; scales both priors.")
    ],
    "threshold": Thresholds,
    "by": Annotated[str | None, typer.Option("--by", metavar="COL", help="One analysis per value of COL.")],
    "where": Annotated[
        list[str] | None, typer.Option("--where", metavar="COL=VALUE", help="Only these rows; repeatable.")
    ],
    "exclude": Annotated[list[str] | None, typer.Option(metavar="STUDY", help="Leave a trial out; repeatable.")],
    "reason": Annotated[str | None, typer.Option(metavar="TEXT", help="Why trials are left out; needed with it.")],
    "column": Columns,
    "sheet": Sheet,
    "scale": Annotated[
        str | None, typer.Option("--scale", metavar="natural|log|analysis", help="Of a column `estimate`.")
    ],
}


def taking(options: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command that takes ``**options`` these, in place of the two stars; one that is a plain str is required."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[:-1]
        more = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=kind,
                default={str: inspect.Parameter.empty, bool: False}.get(get_args(kind)[0]),
            )
            for name, kind in options.items()
        ]
        function.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        function.__annotations__ = {item.name: item.annotation for item in (*own, *more)}
        return function

    return decorate
