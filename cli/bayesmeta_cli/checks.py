"""The commands `ppc` and `profiles`: what a sceptic asks of a fit, and effects at combinations of levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import bayesmeta as bm
from bayesmeta_cli.commands import show, stacked
from bayesmeta_cli.files import plot_paths
from bayesmeta_cli.messages import say
from bayesmeta_cli.render import NEW_STUDY, ratios, together, wrapped
from bayesmeta_cli.views_models import tables_view

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.plots import Plot

Frames = dict[str, "pd.DataFrame"]
#: Sections of `ppc`, in the order they are printed.
SECTIONS = ("predictive", "trials", "prior", "overlap", "scaling", "loo")
_HEADINGS = {
    "predictive": "Do replicated estimates look like the observed? Statistics of both",
    "trials": "Every estimate beside what the model predicts for a new trial with its standard error",
    "prior": "What the priors say before any trial, and where the observed statistics lie in it",
    "overlap": "What the data taught: overlap of prior and posterior",
    "scaling": "How the answers move when a prior or the likelihood is raised to a power (power-scaling)",
    "loo": "How well every trial is predicted by the others: importance sampling (PSIS) and exact refits",
}
_NOTES = {
    "predictive": "Same trials: given their own effects. New trials: effects drawn anew. Two-sided p-values; small "
    "ones say that the model does not make such data.",
    "trials": "Two-sided p-values. Sampling error and heterogeneity are both in the interval.",
    "prior": "Range: 2.5 %, 50 % and 97.5 % of each quantity under the priors alone.",
    "overlap": "Overlap is 1 where the data taught nothing, 0 where prior and posterior exclude each other; a ratio "
    "near 1 says that the SD is the prior's.",
    "scaling": "Sensitivity above 0.05 is worth a look (Kallioinen 2024, doi:10.1007/s11222-023-10366-5). Change: of "
    "the mean or probability per doubling of the power.",
    "loo": "khat above 0.7: importance sampling cannot stand in for a refit of that trial.",
}
_SHOWN: dict[str, dict[str, str]] = {
    "predictive": {
        "replicated": "replicated",
        "statistic": "statistic",
        "observed": "observed",
        "median": "median",
        "lower": "lower",
        "upper": "upper",
        "p_value": "p",
    },
    "trials": {
        "label": "trial",
        "observed": "observed",
        "median": "median",
        "lower": "lower",
        "upper": "upper",
        "p_value": "p",
    },
    "prior": {
        "quantity": "quantity",
        "observed": "observed",
        "median": "median",
        "lower": "lower",
        "upper": "upper",
        "p_value": "p",
    },
    "overlap": {
        "quantity": "quantity",
        "prior": "prior",
        "overlap": "overlap",
        "sd_ratio": "SD ratio",
        "shift": "shift in prior SDs",
        "verdict": "verdict",
    },
    "scaling": {
        "quantity": "quantity",
        "component": "scaled",
        "psense": "sensitivity",
        "exact": "exact",
        "change": "change",
        "diagnosis": "diagnosis",
    },
    "loo": {
        "left_out": "trial",
        "elpd_psis": "PSIS",
        "khat": "khat",
        "elpd_exact": "exact",
        "difference": "difference",
    },
}


def _tables(fit: bm.Fit, sections: Sequence[str]) -> tuple[Frames, dict[str, str]]:
    """Tables by section, and why others are not there."""
    from bayesmeta import checking
    from bayesmeta.sensitivity import loo_table

    makers: dict[str, Callable[[bm.Fit], pd.DataFrame]] = {
        "predictive": checking.ppc_table,
        "trials": checking.predictive_table,
        "prior": checking.prior_check_table,
        "overlap": checking.overlap_table,
        "scaling": checking.power_scaling_table,
        "loo": loo_table,
    }
    frames: Frames = {}
    lacking: dict[str, str] = {}
    for section in sections:
        try:
            frames[section] = makers[section](fit)
        except bm.ModelError as error:
            lacking[section] = str(error)
    return frames, lacking


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


def _draw(found: Sequence[tuple[bm.Analysis, Plot]], figure: Path | None, kind: str) -> None:
    """Write one picture per outcome beside what is printed."""
    if figure is None:
        return
    for (_, picture), path in zip(found, plot_paths(figure, [item.key for item, _ in found], kind), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        bm.plots.save_plot(picture, path)
        say(f"wrote {path}")


def ppc(
    analyses: Sequence[bm.Analysis],
    sections: Sequence[str],
    moderated: bool,
    figure: Path | None,
    json: bool,
    csv: bool,
) -> None:
    """Print predictive checks, prior against posterior, power-scaling and leave-one-out."""
    from bayesmeta.records import ppc_record

    unknown = [name for name in sections if name not in SECTIONS]
    if unknown:
        raise typer.BadParameter(f"--section {unknown[0]}: allowed are {', '.join(SECTIONS)}.")
    wanted = [name for name in SECTIONS if not sections or name in sections]
    fits = _chosen(analyses, moderated)
    results = [(item, fit, *_tables(fit, wanted)) for item, fit in fits]
    if figure is not None:
        _draw([(item, bm.plots.ppc_plot(fit)) for item, fit in fits], figure, "ppc")
    show(
        json,
        csv,
        lambda: [
            ppc_record(fit, item.key, frames, lacking, warnings=item.warned) for item, fit, frames, lacking in results
        ],
        lambda: stacked(
            (item.key, fit.effects, frame.assign(section=name))
            for item, fit, frames, _ in results
            for name, frame in frames.items()
        ),
        lambda: "\n".join(_view(item, fit, frames, lacking) for item, fit, frames, lacking in results),
    )


def _view(item: bm.Analysis, fit: bm.Fit, frames: Frames, lacking: dict[str, str]) -> str:
    name = item.label if item.label == item.key else f"{item.label} ({item.key})"
    parts = [
        (
            _HEADINGS[section],
            frame[list(_SHOWN[section])].rename(columns=_SHOWN[section]),
            _NOTES[section] + _total(frame),
        )
        for section, frame in frames.items()
    ]
    lines = [tables_view(f"{name}, {fit.analysis}", parts)]
    lines += [wrapped(f"Not done, {section}: {reason}") for section, reason in lacking.items()]
    return "\n".join([*lines, ""])


def _total(frame: pd.DataFrame) -> str:
    """Sums that belong to a table of leave-one-out."""
    attrs: dict[Any, Any] = frame.attrs
    if "elpd_psis" not in attrs:
        return ""
    exact = attrs.get("elpd_exact")
    text = f" Sum: {attrs['elpd_psis']:.2f} by PSIS"
    return text + (f", {exact:.2f} exactly." if exact is not None and exact == exact else ".")


def profiles(
    analyses: Sequence[bm.Analysis], moderators: Sequence[str], figure: Path | None, json: bool, csv: bool
) -> None:
    """Print effects at every combination of levels, with the trials behind each."""
    from bayesmeta.records import profiles_record

    names = tuple(moderators) or None
    fits = _chosen(analyses, True)
    results = [(item, fit, bm.profile_table(fit, names, item.primary)) for item, fit in fits]
    if figure is not None:
        drawn = [(item, bm.plots.profile_plot(fit, names, threshold=item.primary)) for item, fit in fits]
        _draw(drawn, figure, "profiles")
    show(
        json,
        csv,
        lambda: [profiles_record(fit, item.key, frame, warnings=item.warned) for item, fit, frame in results],
        lambda: stacked((item.key, fit.effects, frame) for item, fit, frame in results),
        lambda: "\n".join(_profiles_view(item, fit, frame) for item, fit, frame in results),
    )


def _profiles_view(item: bm.Analysis, fit: bm.Fit, frame: pd.DataFrame) -> str:
    kind = bm.measures.measure(fit.effects.measure)
    names = [str(name) for name in frame.columns[: list(frame.columns).index("k")]]
    shown = frame[names].copy()
    # an asterisk marks what no trial has studied
    shown["trials"] = [
        f"{trials}{'*' if flag else ''}" for flag, trials in zip(frame["extrapolated"], frame["trials"], strict=True)
    ]
    columns = ["median", "lower", "upper"]
    values = [kind.back(frame[column].to_numpy(float)).tolist() for column in columns]
    for column, texts in zip(columns, ratios(values) if kind.log else together(values), strict=True):
        shown[column] = texts
    for column, head in (("p_important_benefit", "P(imp.)"), ("p_important_benefit_new", "P(imp. new)")):
        if column in frame:
            shown[head] = frame[column]
    name = item.label if item.label == item.key else f"{item.label} ({item.key})"
    note = (
        "Medians with 95 % central credible intervals; P(imp.): probability of an important benefit, and in a new "
        f"study. {NEW_STUDY} * no trial has this combination: its effect rests on the assumption that moderators add "
        "up. --json and --csv hold the intervals of a new study too. Differences between trials, not within them."
    )
    return tables_view(name, [("Effect at every combination of levels", shown, note)])
