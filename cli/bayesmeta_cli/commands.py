"""What the commands do, once their arguments are parsed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

import bayesmeta as bm
from bayesmeta_cli import views
from bayesmeta_cli.analyses import from_protocol, number, pairs
from bayesmeta_cli.files import existing, pin, plot_paths
from bayesmeta_cli.messages import noted, say, track
from bayesmeta_cli.render import table, title, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.plots import Plot
    from bayesmeta.studies import Reading

UNREPORTABLE = 5
Record = dict[str, Any]


def write_csv(frame: pd.DataFrame) -> None:
    """Print a table as CSV: shortest form that reads back to the same bits, at most 17 significant digits."""
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, lineterminator="\n")
    print(buffer.getvalue(), end="")


def show(
    json: bool,
    csv: bool,
    records: Callable[[], Sequence[Record]],
    frame: Callable[[], pd.DataFrame],
    text: Callable[[], str],
    honesty: bool = True,
) -> None:
    """Print results in the requested format."""
    from bayesmeta.records import envelope, json_text

    if json and csv:
        raise typer.BadParameter("--json and --csv: choose one.")
    if json:
        print(json_text(envelope(records())))
    elif csv:
        write_csv(frame())
    else:
        print(text().rstrip())
        if honesty:
            print("\n" + wrapped(bm.CAVEAT))


def stacked(frames: Iterable[tuple[str, bm.Effects, pd.DataFrame]]) -> pd.DataFrame:
    """One table of several; every line says what it is of and on which scale its numbers are."""
    import pandas as pd

    from bayesmeta.records import scale_name

    parts = []
    for key, of, frame in frames:
        frame = frame.copy()
        frame.insert(0, "outcome", key)
        frame["measure"], frame["scale"] = of.measure, scale_name(of.measure)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def _compared(analyses: Sequence[bm.Analysis]) -> pd.DataFrame:
    effects = [(item.key, item.pooled.effects, item.pooled) for item in analyses]
    return stacked((key, rows, bm.compare_table(fit)) for key, rows, fit in effects)


def pool(analyses: Sequence[bm.Analysis], json: bool, csv: bool) -> None:
    """Print what pooling a table gave."""
    from bayesmeta.records import pool_record

    show(
        json,
        csv,
        lambda: [
            pool_record(
                item.pooled,
                item.key,
                sources=item.sources,
                thresholds=item.thresholds,
                sentence=views.sentence(item),
                warnings=item.warned,
            )
            for item in analyses
        ],
        lambda: _compared(analyses),
        lambda: "\n".join(views.pool_view(item) for item in analyses),
    )


def compare(analyses: Sequence[bm.Analysis], json: bool, csv: bool) -> None:
    """Print Bayesian beside classical pooling."""
    from bayesmeta.records import compare_record

    show(
        json,
        csv,
        lambda: [
            compare_record(item.pooled, item.key, moderated=item.moderated, warnings=item.warned) for item in analyses
        ],
        lambda: stacked((item.key, item.pooled.effects, bm.compare_table(item.pooled)) for item in analyses),
        lambda: "\n".join(views.compare_view(item) for item in analyses),
    )


def with_threshold(analyses: Sequence[bm.Analysis], text: str | None) -> list[bm.Analysis]:
    """Replace the protocol's thresholds by one stated on the command line."""
    from bayesmeta.analysis import with_threshold as judged

    value = number(text, "--threshold")
    return [judged(item, value) for item in analyses] if value is not None else list(analyses)


def benefit(analyses: Sequence[bm.Analysis], threshold: str | None, json: bool, csv: bool) -> None:
    """Print probabilities of benefit and harm."""
    from bayesmeta.records import benefit_record

    found = with_threshold(analyses, threshold)
    lacking = [item.key for item in found if not item.thresholds]
    if lacking:
        raise bm.ModelError(f"{', '.join(lacking)}: no threshold is stated. Give --threshold X, or add it there.")
    show(
        json,
        csv,
        lambda: [benefit_record(i.pooled, i.key, i.thresholds, warnings=i.warned) for i in found],
        lambda: stacked(
            (item.key, item.pooled.effects, bm.benefit_table(item.pooled, item.thresholds)) for item in found
        ),
        lambda: "\n".join(views.benefit_view(item) for item in found),
    )


# -- fit ---------------------------------------------------------------------------------------------------------------


def fit(path: Path, output: Path | None, names: Sequence[str], engine: str | None, json: bool, csv: bool) -> int:
    """Fit the outcomes of a protocol, write the fits, print the results; return the exit code."""
    from bayesmeta.records import fit_record, unreportable

    existing(path, ("protocol",))
    protocol = bm.read_protocol(path)
    analyses = from_protocol(protocol, names, engine=engine)
    if output is None:
        say("note: nothing is written; -o OUT keeps the fits")
    else:
        from bayesmeta.report import write_fits

        count = write_fits(analyses, output)
        say(f"wrote {output / 'run.json'} and {count} fits beside it")
    show(
        json,
        csv,
        lambda: [_fit_record(item, fit_record) for item in analyses],
        lambda: bm.headline_table(analyses),
        lambda: "\n".join([wrapped(protocol.title), "", *(views.fit_view(item) for item in analyses)]),
    )
    failed = unreportable(found for item in analyses for found in item.fits)
    for reason in failed:
        say(f"not reportable: {reason}")
    return UNREPORTABLE if failed else 0


def _fit_record(item: bm.Analysis, make: Callable[..., Record]) -> Record:
    return make(
        item.pooled,
        item.moderated,
        item.key,
        reason=item.reason,
        left_out=item.left_out,
        warnings=item.warned,
    )


# -- check -------------------------------------------------------------------------------------------------------------


def check(
    path: Path | None,
    pinned: bool,
    schema: bool,
    measure: str | None,
    columns: Sequence[str],
    rows: str,
    json: bool,
    csv: bool,
) -> None:
    """Check a protocol with its data, or a table."""
    from bayesmeta.records import json_text

    if schema:
        from bayesmeta.protocol import protocol_schema

        print(json_text(protocol_schema()))
        return
    if path is None:
        raise typer.BadParameter("give a PROTOCOL or a CSV.")
    if not rows.isdigit():
        raise typer.BadParameter(f"--rows {rows}: not a whole number.")
    existing(path, ("protocol", "table"))
    if path.suffix.lower() != ".toml":
        if pinned:
            raise typer.BadParameter("--pin goes with a protocol.")
        _check_table(path, measure, columns, int(rows), json, csv)
        return
    if measure or columns:
        raise typer.BadParameter("--measure and --column go with a table; a protocol states its own.")
    if pinned:
        say(f"pinned: sha256 = {pin(path)}")
    protocol = bm.read_protocol(path)
    from bayesmeta.analysis import examined, moderated_model, read_outcomes

    read = read_outcomes(protocol, declared=True)
    found = {key: (examined(reading), warned) for key, (reading, warned) in read.items()}
    moderated = {
        key: moderated_model(protocol.outcomes[key], reading.effects)[1] for key, (reading, _) in found.items()
    }
    labels = {key: protocol.outcomes[key].label for key in found}
    heading = (
        f"{protocol.title}. {views.plural(len(found), 'outcome')}, {len(protocol.sensitivities)} declared sensitivity "
        "analyses."
    )
    _show_checks(found, labels, moderated, int(rows), heading, json, csv)


def _check_table(path: Path, measure: str | None, columns: Sequence[str], rows: int, json: bool, csv: bool) -> None:
    from bayesmeta.records import head
    from bayesmeta.studies import possible_measures, read_csv_effects, read_table

    warned: list[str] = []
    with noted(warned):
        frame = read_table(path, columns=pairs(columns, "--column"))
        possible = possible_measures(frame)
        if measure is None:
            record = {
                **head(None, warnings=warned),
                "source": path.name,
                "data_sha256": frame.attrs["sha256"],
                "rows": len(frame),
                "columns": list(map(str, frame.columns)),
                "possible_measures": list(possible),
            }
            listed = [
                [str(name), str(frame[name].notna().sum()), "number" if frame[name].dtype.kind == "f" else "text"]
                for name in frame.columns
            ]
            could = ", ".join(possible) or "none"
            advice = f"Measures these columns could make: {could}. Add --measure to see the derived rows."
            text = [title(path.name), f"{len(frame)} rows, {len(frame.columns)} columns.", ""]
            text += [table(["column", "filled", "holds"], listed), "", wrapped(advice)]
            show(json, csv, lambda: [record], lambda: frame, lambda: "\n".join(text), honesty=False)
            return
        effects = read_csv_effects(path, measure, columns=pairs(columns, "--column"), name=path.stem)
    from bayesmeta.analysis import examined
    from bayesmeta.studies import Reading

    reading = examined(
        Reading(effects, path.name, frame.attrs["sha256"], tuple(int(row) for row in frame.index), frame)
    )
    key = path.stem
    _show_checks({key: (reading, tuple(warned))}, {key: key}, {key: ""}, rows, "", json, csv)


def _show_checks(
    found: Mapping[str, tuple[Reading, tuple[str, ...]]],
    labels: Mapping[str, str],
    moderated: Mapping[str, str],
    rows: int,
    heading: str,
    json: bool,
    csv: bool,
) -> None:
    import pandas as pd

    from bayesmeta.records import check_record

    def derived() -> pd.DataFrame:
        return stacked(
            (
                key,
                reading.effects,
                pd.DataFrame(
                    {
                        "row": reading.rows,
                        "label": reading.effects.label,
                        "study": reading.effects.study,
                        "y": reading.effects.y,
                        "se": reading.effects.se,
                    }
                ),
            )
            for key, (reading, _) in found.items()
        )

    show(
        json,
        csv,
        lambda: [
            check_record(reading, key, label=labels[key], moderated=moderated[key], warnings=warned)
            for key, (reading, warned) in found.items()
        ],
        derived,
        lambda: "\n".join(
            ([wrapped(heading), ""] if heading else [])
            + [views.check_view(key, found[key][0], labels[key], moderated[key], rows) for key in found]
        ),
        honesty=False,
    )


#: Plots of the moderated analysis.
MODERATED_PLOTS = ("bubble", "curve")


# -- plots -------------------------------------------------------------------------------------------------------------


def plot(
    kind: str,
    analyses: Sequence[bm.Analysis],
    output: Path,
    json: bool,
    csv: bool,
    *,
    subgroup: str | None = None,
    moderator: str | None = None,
    fill: str | None = None,
) -> None:
    """Draw one picture per outcome and write them; print their names, or the tables they are drawn from."""
    from bayesmeta.records import head, plain, table_records

    if kind in MODERATED_PLOTS:
        for item in analyses:
            if item.moderated is None:
                say(f"not drawn: {item.key}: {item.reason}")
        analyses = [item for item in analyses if item.moderated is not None]
        if not analyses:
            raise bm.ModelError(f"no outcome has an estimable regression on {moderator}; `bayesmeta check` says why.")
    paths = plot_paths(output, [item.key for item in analyses], kind)
    drawn: list[tuple[bm.Analysis, Plot, Path]] = [
        (item, _draw(kind, item, subgroup, moderator, fill), path)
        for item, path in zip(track(analyses, "drawing"), paths, strict=True)
    ]
    for _, picture, path in drawn:
        path.parent.mkdir(parents=True, exist_ok=True)
        bm.plots.save_plot(picture, path)
    show(
        json,
        csv,
        lambda: [
            {
                **head(item.pooled.effects.measure, warnings=item.warned),
                "outcome": item.key,
                "plot": kind,
                "file": str(path),
                "title": picture.title,
                "alt": picture.alt,
                "rows": plain(table_records(picture.table)),
            }
            for item, picture, path in drawn
        ],
        lambda: stacked((item.key, item.pooled.effects, picture.table) for item, picture, _ in drawn),
        lambda: "\n".join(str(path) for _, _, path in drawn),
        honesty=False,
    )


def _draw(kind: str, item: bm.Analysis, subgroup: str | None, moderator: str | None, fill: str | None) -> Plot:
    plots = bm.plots
    thresholds = item.thresholds or None
    if kind == "forest":
        return plots.forest_plot(item.pooled, subgroup=subgroup, moderated=item.moderated, thresholds=thresholds)
    if kind == "heterogeneity":
        return plots.heterogeneity_plot(item.pooled)
    if kind == "benefit-curve":
        return plots.benefit_plot(item.pooled, thresholds=thresholds)
    if kind == "funnel":
        return plots.funnel_plot(item.pooled, fill=cast(Any, fill))
    if kind == "outliers":
        return plots.outlier_plot(item.pooled)
    assert item.moderated is not None
    if kind == "curve":
        return plots.curve_plot(item.moderated, str(moderator), threshold=item.primary)
    return plots.bubble_plot(item.moderated, str(moderator))
