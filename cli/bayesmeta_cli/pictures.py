"""The commands that draw one picture per outcome: what each draws, and its options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bayesmeta as bm
from bayesmeta_cli.analyses import number
from bayesmeta_cli.messages import say, track
from bayesmeta_cli.options import Csv, Fits, Json, OutcomeNames, Source, Thresholds, taking

if TYPE_CHECKING:
    from bayesmeta.plots import Plot

__all__ = ["PICTURES", "command_of"]

_Subgroup = Annotated[
    str | None, typer.Option("--subgroup", metavar="MODERATOR", help="Group trials by a categorical moderator.")
]
_FOREST: dict[str, Any] = {
    "subgroup": _Subgroup,
    "style": Annotated[str | None, typer.Option("--style", metavar="NAME", help="journal, revman, jama or bmj.")],
    "order": Annotated[
        str | None,
        typer.Option("--order", metavar="NAME", help="effect, precision, weight, year or a moderator; -NAME reverses."),
    ],
    "limits": Annotated[str | None, typer.Option("--limits", metavar="LOW,HIGH", help="Ends of the axis.")],
    "arms": Annotated[bool, typer.Option("--arms", help="Columns with n, mean (SD) or events of both arms.")],
    "ridge": Annotated[bool, typer.Option("--ridge", help="Posterior density of every trial's effect.")],
    "no_shrinkage": Annotated[bool, typer.Option("--no-shrinkage", help="Reported estimates only.")],
    "page": Annotated[str | None, typer.Option("--page", metavar="MM", help="Height of a page; more go on further.")],
}
_Risk = Annotated[
    str | None, typer.Option("--risk", metavar="P", help="Risk without treatment. Default: the protocol's.")
]
_Fill = Annotated[str | None, typer.Option("--fill", metavar="L0|R0|Q0", help="Add what trim and fill fills.")]
_Moderator = Annotated[str, typer.Option("--moderator", metavar="NAME", help="A numeric moderator.")]


def _ends(text: str | None) -> tuple[float, float] | None:
    ends = [number(part, "--limits") for part in text.split(",")] if text else []
    if text and len(ends) != 2:
        raise typer.BadParameter(f"--limits {text}: write LOW,HIGH.")
    return (ends[0] or 0.0, ends[1] or 0.0) if ends else None


@dataclass(frozen=True, slots=True)
class Picture:
    """A command that draws, from an analysis (the moderated one, if so) and options beyond those of every picture."""

    name: str
    help: str
    draw: Callable[..., Plot]
    options: dict[str, Any] = field(default_factory=dict)
    moderated: bool = False


PICTURES = (
    Picture(
        "forest",
        "Draw reported and shrinkage estimates of trials, with pooled effects and a new study.",
        lambda item, subgroup, style, order, limits, no_shrinkage, page, **options: bm.plots.forest_plot(
            item.pooled,
            subgroup=subgroup,
            moderated=item.moderated,
            thresholds=item.thresholds or None,
            style=style or "journal",
            order=order or "given",
            limits=_ends(limits),
            shrinkage=False if no_shrinkage else None,
            page_mm=number(page, "--page"),
            **options,
        ),
        _FOREST,
    ),
    Picture(
        "mu-tau",
        "Draw the joint posterior of the mean effect and tau, with the classical estimates.",
        lambda item: bm.plots.mu_tau_plot(item.pooled),
    ),
    Picture(
        "new-study",
        "Draw the distribution of true effects in new studies, with the trials as steps.",
        lambda item: bm.plots.new_study_plot(item.pooled, thresholds=item.thresholds or None),
    ),
    Picture(
        "icons",
        "Draw people per 100 without and with treatment, and new studies by how much they help.",
        lambda item, risk: bm.plots.icon_array(item.pooled, number(risk, "--risk", chance=True)),
        {"risk": _Risk},
    ),
    Picture(
        "heterogeneity",
        "Draw the posterior of tau against its prior and the classical estimate.",
        lambda item: bm.plots.heterogeneity_plot(item.pooled),
    ),
    Picture(
        "benefit-curve",
        "Draw the probability that the benefit exceeds every threshold.",
        lambda item, threshold: bm.plots.benefit_plot(item.pooled, thresholds=item.thresholds or None),
        {"threshold": Thresholds},
    ),
    Picture(
        "funnel",
        "Draw effects against standard errors, with contours of significance.",
        lambda item, fill: bm.plots.funnel_plot(item.pooled, fill=fill),
        {"fill": _Fill},
    ),
    Picture(
        "bubble",
        "Draw effects against a numeric moderator, with the regression and its band.",
        lambda item, moderator: bm.plots.bubble_plot(item.moderated, moderator),
        {"moderator": _Moderator},
        moderated=True,
    ),
    Picture(
        "curve",
        "Draw the dose-response: the effect along a numeric moderator, straight, smooth or monotone.",
        lambda item, moderator: bm.plots.curve_plot(item.moderated, moderator, threshold=item.primary),
        {"moderator": _Moderator},
        moderated=True,
    ),
    Picture(
        "outliers",
        "Draw how probable it is that each trial is an outlier, with the estimates.",
        lambda item: bm.plots.outlier_plot(item.pooled),
    ),
)


def command_of(picture: Picture) -> Callable[..., None]:
    """Make the function that Typer calls: the arguments of every picture, and its own options."""
    default = f"{{outcome}}.{picture.name}.png"

    @taking(picture.options)
    def command(
        path: Source,
        output: Annotated[
            Path,
            typer.Option(
                "-o", "--output", metavar="FILE", help="Picture (.png .svg .pdf); a folder or {outcome} for several."
            ),
        ] = Path(default),
        outcome: OutcomeNames = None,
        fits: Fits = None,
        json: Json = False,
        csv: Csv = False,
        show: Annotated[bool, typer.Option("--open", help="Open the picture.")] = False,
        **options: Any,
    ) -> None:
        from bayesmeta_cli import analyses, commands

        moderated = picture.moderated or options.get("subgroup") is not None
        found = analyses.from_file(path, outcome or [], fits, moderated=moderated)
        if "threshold" in options:
            found = commands.with_threshold(found, options["threshold"])
        for drawn in draw(picture, found, output, json, csv, options):
            if show:
                typer.launch(str(drawn.resolve()))

    command.__doc__ = picture.help
    return command


def draw(
    picture: Picture, analyses: Sequence[bm.Analysis], output: Path, json: bool, csv: bool, options: dict[str, Any]
) -> list[Path]:
    """Draw one picture per outcome and write them; print their names, or the tables they are drawn from."""
    from bayesmeta.records import head, plain, table_records
    from bayesmeta_cli.commands import show_each
    from bayesmeta_cli.files import plot_paths

    if picture.moderated:
        for item in analyses:
            if item.moderated is None:
                say(f"not drawn: {item.key}: {item.reason}")
        analyses = [item for item in analyses if item.moderated is not None]
        if not analyses:
            raise bm.ModelError(
                f"no outcome has an estimable regression on {options['moderator']}; `bayesmeta check` says why."
            )
    paths = dict(
        zip(
            [item.key for item in analyses],
            plot_paths(output, [item.key for item in analyses], picture.name),
            strict=True,
        )
    )
    drawn = {item.key: picture.draw(item, **options) for item in track(analyses, "drawing")}
    for key, made in drawn.items():
        paths[key].parent.mkdir(parents=True, exist_ok=True)
        made.save(paths[key])
    show_each(
        analyses,
        json,
        csv,
        lambda item: {
            **head(item.effects.measure, warnings=item.warned),
            "outcome": item.key,
            "plot": picture.name,
            "file": str(paths[item.key]),
            "title": drawn[item.key].title,
            "alt": drawn[item.key].alt,
            "rows": plain(table_records(drawn[item.key].table)),
        },
        lambda item: drawn[item.key].table,
        lambda item: str(paths[item.key]),
        caveat=False,
    )
    return list(paths.values())
