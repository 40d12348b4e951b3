"""What the commands do, once their arguments are parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

import bayesmeta as bm
from bayesmeta.analysis import collected
from bayesmeta.columns import csv_text
from bayesmeta_cli import views
from bayesmeta_cli.analyses import from_file, from_protocol, number, pairs
from bayesmeta_cli.files import existing
from bayesmeta_cli.messages import say, tell
from bayesmeta_cli.render import table, title, wrapped

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.studies import Reading

INPUT, UNREPORTABLE = 3, 5
Record = dict[str, Any]


def write_csv(frame: pd.DataFrame) -> None:
    """Print a table as CSV: shortest form that reads back to the same bits, at most 17 significant digits."""
    print(csv_text(frame), end="")


def show(
    json: bool,
    csv: bool,
    records: Callable[[], Sequence[Record]],
    frame: Callable[[], pd.DataFrame],
    text: Callable[[], str],
    caveat: bool = True,
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
        if caveat:
            print("\n" + wrapped(bm.CAVEAT))


def show_each(
    analyses: Sequence[bm.Analysis],
    json: bool,
    csv: bool,
    record: Callable[[bm.Analysis], Record],
    table_of: Callable[[bm.Analysis], pd.DataFrame],
    view: Callable[[bm.Analysis], str],
    *,
    caveat: bool = True,
) -> None:
    """Print what there is of each analysis: a record, a table, or text."""
    show(
        json,
        csv,
        lambda: [record(item) for item in analyses],
        lambda: stacked((item.key, item.effects, table_of(item)) for item in analyses),
        lambda: "\n".join(view(item) for item in analyses),
        caveat,
    )


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


def reportable(analyses: Sequence[bm.Analysis]) -> int:
    """Say why results may not be reported, and return the exit code."""
    from bayesmeta.records import unreportable

    failed = unreportable(found for item in analyses for found in item.fits)
    for reason in failed:
        say(f"not reportable: {reason}")
    return UNREPORTABLE if failed else 0


def pool(analyses: Sequence[bm.Analysis], json: bool, csv: bool) -> int:
    """Print what pooling a table gave; return the exit code."""
    from bayesmeta.records import pool_record

    show_each(
        analyses,
        json,
        csv,
        lambda item: pool_record(
            item.pooled,
            item.key,
            sources=item.sources,
            thresholds=item.thresholds,
            sentence=item.sentence,
            notices=item.notices,
            warnings=item.warned,
        ),
        lambda item: bm.compare_table(item.pooled),
        views.pool_view,
    )
    return reportable(analyses)


def compare(path: Path, preset: str | None, outcome: Sequence[str], fits: Path | None, json: bool, csv: bool) -> None:
    """Print Bayesian beside classical pooling."""
    if preset is not None:
        from bayesmeta_cli.sensitivity import presets

        presets(path, outcome, preset, json, csv)
        return
    from bayesmeta.records import compare_record

    show_each(
        from_file(path, outcome, fits),
        json,
        csv,
        lambda item: compare_record(item.pooled, item.key, moderators=item.moderators, warnings=item.warned),
        lambda item: bm.compare_table(item.pooled),
        views.compare_view,
    )


def with_threshold(analyses: Sequence[bm.Analysis], text: str | None) -> list[bm.Analysis]:
    """Replace the protocol's thresholds by one stated on the command line."""
    from bayesmeta.analysis import with_threshold as judged

    value = number(text, "--threshold")
    return [judged(item, value) for item in analyses] if value is not None else list(analyses)


def benefit(path: Path, threshold: str | None, outcome: Sequence[str], fits: Path | None, json: bool, csv: bool) -> int:
    """Print probabilities of benefit and harm; return the exit code."""
    from bayesmeta.records import benefit_record

    found = with_threshold(from_file(path, outcome, fits, moderated=False), threshold)
    lacking = [item.key for item in found if not item.thresholds]
    if lacking:
        raise bm.ModelError(f"{', '.join(lacking)}: no threshold is stated. Give --threshold X, or add it there.")
    show_each(
        found,
        json,
        csv,
        lambda item: benefit_record(item.pooled, item.key, item.thresholds, notices=item.notices, warnings=item.warned),
        lambda item: bm.benefit_table(item.pooled, item.thresholds),
        views.benefit_view,
    )
    return reportable(found)


# -- fit ---------------------------------------------------------------------------------------------------------------


def fit(path: Path, output: Path | None, outcome: Sequence[str], engine: str | None, json: bool, csv: bool) -> int:
    """Fit the outcomes of a protocol, write the fits, print the results; return the exit code."""
    from bayesmeta.records import fit_record

    existing(path, ("protocol",))
    protocol = bm.read_protocol(path)
    analyses = from_protocol(protocol, outcome, engine=engine)
    if output is None:
        say("note: nothing is written; -o OUT keeps the fits")
    else:
        from bayesmeta.report import write_fits

        count = write_fits(analyses, output)
        say(f"wrote {output / 'run.json'} and {count} fits beside it")
    show(
        json,
        csv,
        lambda: [
            fit_record(
                item.pooled,
                item.moderated,
                item.key,
                moderators=item.moderators,
                reason=item.reason,
                left_out=item.left_out,
                notices=item.notices,
                warnings=item.warned,
            )
            for item in analyses
        ],
        lambda: bm.headline_table(analyses),
        lambda: "\n".join([wrapped(protocol.title), "", *(views.fit_view(item) for item in analyses)]),
    )
    return reportable(analyses)


# -- check -------------------------------------------------------------------------------------------------------------


def check(
    path: Path | None,
    pin: bool,
    migrate: bool,
    schema: bool,
    measure: str | None,
    column: Sequence[str],
    sheet: str | None,
    rows: str,
    json: bool,
    csv: bool,
) -> int:
    """Check a protocol with its data, or a table; say what to do next."""
    from bayesmeta.records import json_text

    if schema:
        from bayesmeta.protocol import protocol_schema

        print(json_text(protocol_schema()))
        return 0
    if path is None:
        raise typer.BadParameter("give a PROTOCOL or a CSV.")
    if not rows.isdigit():
        raise typer.BadParameter(f"--rows {rows}: not a whole number.")
    existing(path, ("protocol", "table"))
    table_only = path.suffix.lower() != ".toml"
    if table_only and (pin or migrate):
        raise typer.BadParameter(f"--{'pin' if pin else 'migrate'} goes with a protocol.")
    if not table_only and (measure or column or sheet):
        raise typer.BadParameter("--measure, --column and --sheet go with a table; a protocol states its own.")
    from bayesmeta.setup import next_after

    error, found, unread = None, [], False
    try:
        if not table_only:
            found = _check_protocol(path, pin, migrate, int(rows), json, csv)
        elif (review := _review(path, measure, sheet)) is not None:
            found = _check_outcomes(review, int(rows), json, csv)
            unread = _say_unanswered(review)
        else:
            found = _check_table(path, measure, column, sheet, int(rows), json, csv)
    except (bm.ProtocolError, bm.DataError) as fault:
        error = fault
        tell(str(fault), named=True)
    warnings = sum(item.severity == "warning" for checked in found for item in checked.reading.findings)
    if not (json or csv):
        say("\n".join(f"next: {line}" for line in next_after(path, error, warnings=warnings)))
    return 0 if error is None and not unread else INPUT


def _say_unanswered(review: bm.Protocol) -> bool:
    """Say which analyses of a review are not answered; return whether some of them have rows that cannot be read."""
    unanswered = [item for item in review.unstated if item.kind in ("refused", "unreadable")]
    for item in unanswered:
        say(f"{item.text}.")
    return any(item.kind == "unreadable" for item in unanswered)


def _check_protocol(path: Path, pin: bool, migrate: bool, rows: int, json: bool, csv: bool) -> list[Checked]:
    if migrate:
        from bayesmeta.protocol import migrate as rewritten

        for line in rewritten(path):
            say(f"now means something else: {line}")
        say(f"{path.name} is now of schema 2.")
    if pin:
        from bayesmeta.protocol import pin_data

        say(f"pinned: sha256 = {pin_data(path)}")
    return _check_outcomes(bm.read_protocol(path), rows, json, csv)


def _review(path: Path, measure: str | None, sheet: str | None) -> bm.Protocol | None:
    """The protocol of a file that holds the analyses of a review; None for a table."""
    from bayesmeta.studies import read_table

    if not read_table(path, sheet=sheet).attrs.get("analyses"):
        return None
    return bm.table_protocol(path, measure=measure, sheet=sheet)


def _check_outcomes(protocol: bm.Protocol, rows: int, json: bool, csv: bool) -> list[Checked]:
    from bayesmeta.analysis import examined, moderated_model, read_outcomes
    from bayesmeta.studies import with_unread

    read = read_outcomes(protocol, declared=True)
    readings = with_unread({key: reading for key, (reading, _) in read.items()})
    found = [
        Checked(
            key,
            protocol.outcomes[key].label,
            examined(reading),
            moderated_model(protocol.outcomes[key], reading.effects).reason,
            read[key][1],
        )
        for key, reading in readings.items()
    ]
    outcomes, declared = views.plural(len(found), "outcome"), len(protocol.sensitivities)
    heading = f"{protocol.title}. {outcomes}, {declared} declared sensitivity analyses."
    _show_checks(found, rows, [wrapped(heading), ""], json, csv)
    return found


def _check_table(
    path: Path, measure: str | None, columns: Sequence[str], sheet: str | None, rows: int, json: bool, csv: bool
) -> list[Checked]:
    from bayesmeta.records import head
    from bayesmeta.studies import possible_measures, read_csv_effects, read_table

    warned: list[str] = []
    with collected(warned):
        frame = read_table(path, columns=pairs(columns, "--column"), sheet=sheet)
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
            show(json, csv, lambda: [record], lambda: frame, lambda: "\n".join(text), caveat=False)
            return []
        effects = read_csv_effects(path, measure, columns=pairs(columns, "--column"), sheet=sheet, name=path.stem)
    from bayesmeta.analysis import examined
    from bayesmeta.studies import Reading, unread_columns, with_unread

    rows_read = tuple(int(row) for row in frame.index)
    made = Reading(effects, path.name, frame.attrs["sha256"], rows_read, frame, unread=unread_columns(frame))
    reading = examined(with_unread({path.stem: made})[path.stem])
    found = [Checked(path.stem, path.stem, reading, "", tuple(warned))]
    _show_checks(found, rows, [], json, csv)
    return found


class Checked(NamedTuple):
    """One outcome whose rows were read, and why it has no moderated analysis."""

    key: str
    label: str
    reading: Reading
    moderated: str
    warned: tuple[str, ...]


def _show_checks(found: Sequence[Checked], rows: int, heading: list[str], json: bool, csv: bool) -> None:
    import pandas as pd

    from bayesmeta.records import check_record

    def derived(item: Checked) -> pd.DataFrame:
        effects = item.reading.effects
        columns = {name: getattr(effects, name) for name in ("label", "study", "y", "se")}
        return pd.DataFrame({"row": item.reading.rows, **columns})

    show(
        json,
        csv,
        lambda: [
            check_record(item.reading, item.key, label=item.label, moderated=item.moderated, warnings=item.warned)
            for item in found
        ],
        lambda: stacked((item.key, item.reading.effects, derived(item)) for item in found),
        lambda: "\n".join(
            [*heading, *(views.check_view(item.key, item.label, item.reading, item.moderated, rows) for item in found)]
        ),
        caveat=False,
    )
