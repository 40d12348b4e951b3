"""The files of a report behind its page: pictures and tables."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesmeta.errors import ModelError
from bayesmeta.records import failed_checks, size_rows

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.plots import Plot

__all__ = ["BY", "IN_PAGE", "Drawn", "draw_part", "overview_of", "tables_of"]

#: Trials from which a funnel says something: Cochrane Handbook 13.3.5.4.
FUNNEL = 10
#: Of the pictures those that the page shows; its curve of benefit is drawn live.
IN_PAGE = ("forest", "heterogeneity", "funnel")
#: How the name of a forest plot begins whose trials stand by the levels of a moderator.
BY = "forest-by-"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as files: SVG, and PDF where requested."""

    name: str
    title: str
    alt: str
    svg: bytes
    pdf: bytes | None

    def paths(self, key: str) -> dict[str, str | None]:
        """Where its files lie in the report."""
        name = f"figures/{key}.{self.name}"
        return {"svg": f"{name}.svg", "pdf": None if self.pdf is None else f"{name}.pdf"}

    @property
    def markup(self) -> str:
        """The SVG as a part of a page: without the line that makes it a file."""
        text = self.svg.decode("utf-8")
        return text[text.index("<svg") :]

    @property
    def packed(self) -> str:
        """The markup compressed, as the page carries it until it is looked at."""
        return base64.b64encode(zlib.compress(self.markup.encode("utf-8"), 9)).decode("ascii")

    def in_page(self, key: str) -> dict[str, Any]:
        """What the page says of it before it is drawn."""
        return {"name": self.name, "title": self.title, "alt": self.alt, **self.paths(key)}


def draw_part(part: Analysis, *, pdf: bool = False) -> tuple[list[Drawn], dict[str, str]]:
    """Draw the pictures of one outcome.

    Parameters
    ----------
    part : Analysis
    pdf : bool
        Whether as PDF too, which takes ten times as long.

    Returns
    -------
    list of Drawn, dict
        The pictures, and why others were not drawn.
    """
    from bayesmeta import plots
    from bayesmeta.plots import drawing

    fit = part.pooled
    makers: dict[str, Callable[[], Plot]] = {
        "forest": lambda: plots.forest_plot(fit, risk_of_bias=part.risk_of_bias),
        "heterogeneity": lambda: plots.heterogeneity_plot(fit),
        "benefit": lambda: plots.benefit_plot(fit),
    }
    if fit.effects.n_trials >= FUNNEL:
        makers["funnel"] = lambda: plots.funnel_plot(fit)
    if part.moderated is not None:
        for factor in (item for item in part.moderated.design.factors.values() if item.levels):
            makers[f"{BY}{factor.name}"] = partial(
                plots.forest_plot,
                fit,
                subgroup=factor.name,
                moderated=part.moderated,
                title=f"{part.label}, by {factor.name}",
            )
    found, not_drawn = [], {}
    with drawing():
        for name, make in makers.items():
            try:
                picture = make()
            except ModelError as error:
                not_drawn[name] = str(error)
                continue
            svg = plots.plot_bytes(picture, "svg", key=f"figure-{part.key}-{name}")
            printed = plots.plot_bytes(picture, "pdf") if pdf else None
            found.append(Drawn(name, picture.title, picture.alt, svg, printed))
    return found, not_drawn


def overview_of(parts: Sequence[Analysis]) -> bytes | None:
    """All outcomes in one picture, as SVG; None where there is one, or none has a direction and sound checks."""
    from bayesmeta import plots
    from bayesmeta.plots import drawing

    shown = [part for part in parts if part.effects.better is not None and not failed_checks(part.fits)]
    if len(shown) < 2:
        return None
    with drawing():
        return plots.plot_bytes(plots.overview_plot(shown), "svg", key="figure-overview")


def tables_of(part: Analysis) -> dict[str, pd.DataFrame]:
    """Every table of one outcome, tidy, by the name of its file."""
    from bayesmeta.questions import study_table

    tables = {
        "summary": part.summary_table.reset_index(),
        "trials": study_table(part.pooled),
        "methods": part.methods,
        "declared": part.variations,
        **dict(part.sections.tables),
    }
    if part.moderators is not None:
        tables["moderators"] = part.moderators
    sizes = size_rows(part.pooled, part.thresholds)
    if sizes is not None:
        tables["sizes"] = pd.DataFrame(sizes)
    grade, _ = part.grade
    if grade is not None:
        tables["grade"] = grade
    return tables
