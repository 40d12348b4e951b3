"""The commands `ppc` and `profiles`: what a sceptic asks of a fit, and effects at combinations of levels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import bayesmeta as bm
from bayesmeta.columns import columns_of, readable
from bayesmeta_cli import views
from bayesmeta_cli.analyses import from_file
from bayesmeta_cli.commands import show, stacked
from bayesmeta_cli.messages import parts, say, steps
from bayesmeta_cli.render import NEW_STUDY, laid_out, title
from bayesmeta_cli.sensitivity import section_lines, section_names, stacked_sections, write_each

if TYPE_CHECKING:
    import pandas as pd


def _chosen(analyses: Sequence[bm.Analysis], moderated: bool) -> list[tuple[bm.Analysis, bm.Fit]]:
    if not moderated:
        return [(item, item.pooled) for item in analyses]
    found = []
    for item in analyses:
        if item.moderated is None:
            say(f"not checked: {item.key}: {item.reason}")
        else:
            found.append((item, item.moderated))
    if not found:
        raise bm.ModelError("no outcome has an estimable moderated analysis; `bayesmeta check` says why.")
    return found


def ppc(
    path: Path,
    section: Sequence[str],
    moderated: bool,
    figure: Path | None,
    outcome: Sequence[str],
    fits: Path | None,
    json: bool,
    csv: bool,
) -> None:
    """Print predictive checks, prior against posterior, power-scaling and leave-one-out."""
    analyses = from_file(path, outcome, fits, moderated=moderated)
    from bayesmeta.records import ppc_record
    from bayesmeta.sensitivity import CHECKS, check_model

    wanted = section_names(section, list(CHECKS), list(CHECKS))
    chosen = _chosen(analyses, moderated)
    with steps(len(chosen)) as step:
        found = [(item, fit, check_model(fit, wanted, parts(step, item.key))) for item, fit in chosen]
    write_each(figure, "ppc", {item.key: fit for item, fit, _ in found}, lambda fit: bm.plots.ppc_plot(fit))
    show(
        json,
        csv,
        lambda: [
            ppc_record(fit, item.key, done.tables, done.not_done, warnings=item.warned) for item, fit, done in found
        ],
        lambda: stacked_sections((item.key, fit, done) for item, fit, done in found),
        lambda: "\n".join(
            "\n".join([title(f"{views.name_of(item)}, {fit.analysis}"), *section_lines(fit, done, CHECKS)])
            for item, fit, done in found
        ),
    )


def profiles(
    path: Path,
    moderator: Sequence[str],
    figure: Path | None,
    outcome: Sequence[str],
    fits: Path | None,
    json: bool,
    csv: bool,
) -> None:
    """Print effects at every combination of levels, with the trials behind each."""
    analyses = from_file(path, outcome, fits)
    from bayesmeta.records import profiles_record

    names = tuple(moderator) or None
    chosen = _chosen(analyses, True)
    results = [(item, fit, bm.profile_table(fit, names, item.primary)) for item, fit in chosen]
    drawn = {item.key: (item, fit) for item, fit in chosen}
    write_each(figure, "profiles", drawn, lambda pair: bm.plots.profile_plot(pair[1], names, threshold=pair[0].primary))
    show(
        json,
        csv,
        lambda: [profiles_record(fit, item.key, frame, warnings=item.warned) for item, fit, frame in results],
        lambda: stacked((item.key, fit.effects, frame) for item, fit, frame in results),
        lambda: "\n".join(_profiles_view(item, fit, frame) for item, fit, frame in results),
    )


def _profiles_view(item: bm.Analysis, fit: bm.Fit, frame: pd.DataFrame) -> str:
    names = [str(name) for name in frame.columns[: list(frame.columns).index("k")]]
    # an asterisk marks what no trial has studied
    trials = frame["trials"].astype(str) + frame["extrapolated"].map({True: "*", False: ""})
    columns = (
        *columns_of("text", **dict(zip(names, names, strict=True)), trials="trials"),
        *columns_of("effect", median="median", lower="lower", upper="upper"),
        *columns_of("probability", p_important_benefit="P(imp.)", p_important_benefit_new="P(imp. new)"),
    )
    note = (
        "Medians with 95 % central credible intervals; P(imp.): probability of an important benefit, and in a new "
        f"study. {NEW_STUDY} * no trial has this combination: its effect rests on the assumption that moderators add "
        "up. --json and --csv hold the intervals of a new study too. Differences between trials, not within them."
    )
    shown = readable(frame.assign(trials=trials), columns, fit.effects.measure)
    lines = [title(views.name_of(item)), "Effect at every combination of levels", laid_out(shown, note), ""]
    return "\n".join(lines)
