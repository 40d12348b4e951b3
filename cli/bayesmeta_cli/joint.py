"""The command `joint`: several outcomes of a protocol together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import bayesmeta as bm
from bayesmeta.analysis import collected
from bayesmeta.columns import Column, columns_of, readable
from bayesmeta_cli.commands import show
from bayesmeta_cli.files import existing
from bayesmeta_cli.messages import say, steps
from bayesmeta_cli.render import NEW_STUDY, laid_out, title, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.joint import JointFit

Tables = dict[str, "pd.DataFrame"]


def joint(path: Path, output: Path | None, sensitivity: bool, json: bool, csv: bool) -> None:
    """Fit the outcomes that a protocol joins, and print what only a joint model answers."""
    from bayesmeta.analysis import analyse_joint, sampling_of
    from bayesmeta.records import joint_record

    existing(path, ("protocol",))
    protocol = bm.read_protocol(path)
    with steps() as step:
        step("sampling the outcomes together")
        fit, warned = analyse_joint(protocol)
    with collected(warned), steps() as step:
        _require_sound(fit)
        effects = fit.effects.effects
        primary = {key: protocol.outcomes[key].decision.primary for key in effects}
        step("tables of the joint model")
        tables = _tables(fit, effects, primary, sensitivity, sampling_of(protocol)[0])
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        fit.save(output / "joint.nc")
        stated = {key: item for key in effects if (item := protocol.outcomes[key].decision.primary) is not None}
        if len(stated) == len(effects):
            bm.plots.save_plot(bm.plots.joint_plot(fit, stated), output / "joint.png")
        say(f"wrote {', '.join(str(path) for path in sorted(output.glob('joint.*')))}")
    show(
        json,
        csv,
        lambda: [joint_record(fit, tables, warnings=warned)],
        lambda: _stacked(tables),
        lambda: _view(protocol, fit, tables),
    )


def _require_sound(fit: JointFit) -> None:
    bad = [
        f"joint: {check.name} is {check.value:.4g}, limit {check.limit:g}. {check.advice}"
        for check in fit.checks
        if not check.ok
    ]
    if bad:
        raise bm.InferenceError("\n".join(bad))


def _tables(
    fit: JointFit,
    effects: Mapping[str, bm.Effects],
    primary: Mapping[str, bm.Threshold | None],
    sensitivity: bool,
    settings: bm.Settings,
) -> Tables:
    from bayesmeta import joint as questions

    tables = {"correlations": questions.correlation_table(fit), "borrowing": questions.borrowed_strength_table(fit)}
    stated = {key: item for key, item in primary.items() if item is not None}
    if len(stated) == len(effects):
        tables["at_least"] = questions.at_least_table(fit, stated)
        tables["without_harm"] = questions.without_harm_table(fit, stated)
    else:
        say("note: without a primary threshold for every outcome there are no joint probabilities of benefit")
    if sensitivity:
        tables["working_correlation"] = questions.working_correlation_table(fit, effects, settings=settings)
    return tables


def _stacked(tables: Tables) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([frame.assign(table=name) for name, frame in tables.items()], ignore_index=True)


_LAYOUTS: dict[str, tuple[str, tuple[Column, ...], str]] = {
    "correlations": (
        "Correlation of true effects between trials, in the direction of benefit",
        (
            *columns_of("text", first="outcome", second="with"),
            *columns_of("count", trials="trials"),
            *columns_of("number", 3, median="median", lower="lower", upper="upper"),
            *columns_of("probability", p_positive="P(> 0)"),
        ),
        "Prior: LKJ({eta:g}). Trials: those that report both outcomes.",
    ),
    "borrowing": (
        "Borrowing between outcomes: each mean effect alone (exactly) and jointly",
        (
            *columns_of("text", outcome="outcome"),
            *columns_of("count", trials="trials"),
            *columns_of("number", 3, alone="alone", alone_lower="lower", alone_upper="upper"),
            *columns_of("number", 3, joint="joint", joint_lower="lower", joint_upper="upper"),
            *columns_of("number", 3, width_ratio="width ratio"),
        ),
        "Medians with 95 % central credible intervals, each in its outcome's own direction. Width ratio: width of the "
        "joint interval over that alone.",
    ),
    "at_least": (
        "Probability that at least m of the outcomes benefit",
        (
            *columns_of("text", target="target", at_least="at least"),
            *columns_of("probability", p_any_benefit="P(any benefit)", p_important_benefit="P(important)"),
            *columns_of("probability", if_independent="P(if independent)"),
        ),
        "Against the primary threshold of every outcome. If independent: what the same probabilities would give if "
        f"outcomes had nothing to do with each other. {NEW_STUDY}",
    ),
    "without_harm": (
        "Probability of an important benefit with no outcome importantly worse",
        (
            *columns_of("text", target="target", outcome="outcome"),
            *columns_of("probability", p_important_benefit="P(important)", p_no_harm="P(no harm)"),
            *columns_of("probability", p_benefit_without_harm="P(both)"),
        ),
        "Any: at least one outcome benefits importantly and none is importantly worse.",
    ),
    "working_correlation": (
        "The working correlation within trials, which no trial reports, varied",
        (
            *columns_of("text", correlation="correlation", outcome="outcome"),
            *columns_of("number", 3, mu="mean", lower="lower", upper="upper", tau="tau"),
        ),
        "Every line is a fit of its own.",
    ),
}


def _view(protocol: bm.Protocol, fit: JointFit, tables: Tables) -> str:
    shape = fit.mu.shape
    counts = ", ".join(
        f"{key} {item.k} estimates of {item.n_trials} trials" for key, item in fit.effects.effects.items()
    )
    sampled = (
        f"{counts}. Sampling errors of two outcomes of one trial have working correlation "
        f"{fit.model.correlation:g}, in the direction of benefit. Sampled by NUTS: {shape[1]} x {shape[2]} draws; "
        "every check passed."
    )
    priors = "; ".join(f"{key}: mu {item.mu!r}, tau {item.tau!r}" for key, item in fit.model.outcomes.items())
    lines = [
        wrapped(protocol.title),
        "",
        wrapped(sampled),
        wrapped(f"Priors: {priors}."),
        "",
        title("Outcomes together"),
    ]
    for name, frame in tables.items():
        words, columns, note = _LAYOUTS[name]
        lines += [wrapped(words), laid_out(readable(frame, columns), note.format(eta=fit.model.eta)), ""]
    return "\n".join(lines)
