"""The report on disk: every outcome run, put into words and pictures, and written as one page with its files."""

from __future__ import annotations

import copyreg
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from bayesmeta.analysis import Analysis, analyse, analyse_joint, analysis_of, collected, read_outcomes
from bayesmeta.boundary import staged
from bayesmeta.columns import csv_text
from bayesmeta.errors import ModelError, warn
from bayesmeta.fits import Engine, Fit
from bayesmeta.plan import Judgements, Protocol
from bayesmeta.records import head, json_text, run_record, scale_name, table_records, unreportable
from bayesmeta.report import workers
from bayesmeta.report.blocks import block_views, extra_tables
from bayesmeta.report.exports import take_away
from bayesmeta.report.files import BY, IN_PAGE, Drawn, draw_part, overview_of, tables_of
from bayesmeta.report.gather import outcome_record
from bayesmeta.report.methods import bibliography, methods_text, used_references
from bayesmeta.report.page import live_text, render_page, template, view_of
from bayesmeta.report.summary import UNNAMED, summary_of
from bayesmeta.report.together import joint_view

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.joint import JointFit

__all__ = ["WrittenReport", "write_fits", "write_report"]


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report that was written.

    Attributes
    ----------
    page : Path
        Its ``index.html``.
    reasons : tuple of str
        Why it is not reportable: the checks that failed; empty if it is.
    """

    page: Path
    reasons: tuple[str, ...]


class _Told(NamedTuple):
    """What people said: how the intervention is called, what the panel judged, whether patients get a page."""

    who: str = UNNAMED
    judgements: Judgements = Judgements()
    patients: bool = False


class _Outcome(NamedTuple):
    """One outcome, finished: what the page and `results.json` hold of it, and the warnings it gave."""

    analysis: Analysis
    view: dict[str, Any]
    live: str
    record: dict[str, Any]
    warned: list[str]
    pictures: dict[str, str]
    letters: frozenset[str]


def write_report(
    asked: Protocol | str | Path | Fit | Analysis | Sequence[Analysis],
    folder: str | Path,
    *,
    outcomes: Sequence[str] = (),
    engine: Engine | None = None,
    pdf: bool = False,
    title: str | None = None,
    judgements: Judgements | str | Path | None = None,
    joint: bool = True,
    patients: bool = False,
    progress: Callable[[str], None] | None = None,
) -> WrittenReport:
    """Write the report: one page with all results, a Word table, and the tables, pictures and fits behind them.

    Parameters
    ----------
    asked : Protocol, path, Fit, Analysis or sequence of Analysis
        What is reported: a protocol (or its file), whose outcomes are run, several at once where there are several
        processors; or what was already fitted.
    folder : str or Path
        Files of the same names in it are replaced, once all are written.
    outcomes : sequence of str
        Of a protocol; all if none is named.
    engine : {"auto", "exact", "nuts", "both"}, optional
        Of a protocol; default its own.
    pdf : bool
        Whether every picture is drawn as PDF too.
    title : str, optional
        Default: the protocol's, or the label of the outcome.
    judgements : Judgements or path, optional
        What the panel said of the certainty of evidence (`bayesmeta.protocol.read_judgements`).
    joint : bool
        Whether outcomes that the protocol joins are also analysed together, which is sampled and takes longer than
        the rest; only where all of them are reported.
    patients : bool
        Whether with a page for patients, ``patients.html``.
    progress : callable, optional
        Is given the name of each step as it begins.

    Returns
    -------
    WrittenReport

    Raises
    ------
    ProtocolError, DataError, ModelError, InferenceError
        As `bayesmeta.analyse`; nothing is then written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     written = bm.write_report(fit, place, title="Two trials")
    ...     written.reasons, sorted(path.name for path in written.page.parent.glob("*.docx"))
    ((), ['evidence-profile.docx', 'sensitivity-analyses.docx', 'summary-of-findings.docx'])
    """
    folder = Path(folder)
    step = progress or (lambda name: None)
    with staged(folder, last="index.html") as place:
        if isinstance(asked, (Protocol, str, Path)):
            protocol: Protocol | None = _protocol(asked)
            assert protocol is not None
            told = _Told(_who(protocol), _judgements(judgements, protocol), patients)
            joined = (
                protocol.joint is not None
                and joint
                and set(protocol.joint.outcomes) <= set(outcomes or protocol.outcomes)
            )
            made, together = _run(protocol, outcomes, engine, place, pdf, told, joined, step)
        else:
            given = [asked] if isinstance(asked, (Fit, Analysis)) else list(asked)
            items = [analysis_of(item) if isinstance(item, Fit) else item for item in given]
            if not items or not all(isinstance(item, Analysis) for item in items):
                raise ModelError("a report is of a protocol, a fit, or one analysis or more (`bayesmeta.analyse`).")
            _require_apart(items)
            protocol = items[0].protocol
            if any(item.protocol != protocol for item in items):
                raise ModelError("these analyses are of several protocols: write a report of each.")
            told = _Told(_who(protocol), _judgements(judgements, protocol), patients)
            made, together = [_finished(item, [], place, pdf, told) for item in items], None
        # other processes would give them into the progress bar
        for text in dict.fromkeys(text for item in made for text in item.warned):
            warn(text)
        reasons = _write_whole(protocol, made, place, title, told, together, step)
    return WrittenReport(folder / "index.html", tuple(reasons))


def _require_apart(items: Sequence[Analysis]) -> None:
    """Refuse analyses of one key: their files would have the same names."""
    keys = [item.key for item in items]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ModelError(f"several analyses are called {', '.join(twice)}; give each a key: dataclasses.replace.")


def _protocol(asked: Protocol | str | Path) -> Protocol:
    if isinstance(asked, Protocol):
        return asked
    from bayesmeta.protocol import read_protocol

    return read_protocol(asked)


def _who(protocol: Protocol | None) -> str:
    """The intervention, as a sentence begins with it."""
    return str(protocol.report.get("intervention", "")) or UNNAMED if protocol is not None else UNNAMED


def _judgements(asked: Judgements | str | Path | None, protocol: Protocol | None) -> Judgements:
    if isinstance(asked, (str, Path)):
        from bayesmeta.protocol import read_judgements

        return read_judgements(asked, protocol)
    return asked or Judgements()


# -- one outcome -------------------------------------------------------------------------------------------------------


def _share_views() -> None:
    """Let read-only views of mappings travel between processes, as the mappings they show."""
    copyreg.pickle(MappingProxyType, lambda view: (read_only, (dict(view),)))  # type: ignore[arg-type,return-value]


def read_only(content: dict[Any, Any]) -> Mapping[Any, Any]:
    """Make a read-only view again; the type itself has no name that a pickle could look up."""
    return MappingProxyType(content)


def _run_one(
    protocol: Protocol, key: str, engine: Engine | None, place: Path, pdf: bool, told: _Told | None = None
) -> _Outcome:
    """Run everything for one outcome, and write its files."""
    _share_views()
    warned: list[str] = []
    with collected(warned, again=False):
        made = _finished(analyse(protocol, key, engine=engine), warned, place, pdf, told or _Told())
    # a copy without the tables that were made on the way, which would travel from process to process
    return made._replace(analysis=dataclasses.replace(made.analysis))


def _finished(part: Analysis, warned: list[str], place: Path, pdf: bool, told: _Told) -> _Outcome:
    """Put one outcome into words and records, and its files into folders of a place."""
    key = part.key
    drawn, not_drawn = draw_part(part, pdf=pdf)
    files: dict[str, bytes] = {}
    for picture in drawn:
        for name, content in zip(picture.paths(key).values(), (picture.svg, picture.pdf), strict=True):
            if name is not None and content is not None:
                files[name] = content
    for name, frame in tables_of(part).items():
        files[f"tables/{key}.{name}.csv"] = _csv(frame)
    (place / "fits").mkdir(exist_ok=True)
    for fit, name in zip(part.fits, (key, f"{key}.moderated"), strict=False):
        # of a copy: a fit keeps its tree, and would carry thousands of draws from process to process
        dataclasses.replace(fit).save(place / "fits" / f"{name}.nc")
    extra = extra_tables(part)
    for name, frame in extra.items():
        files[f"tables/{key}.{name.replace('_', '-')}.csv"] = _csv(frame)
    rows = {name: table_records(frame) for name, frame in extra.items()}
    record = outcome_record(part, _figures(key, drawn, not_drawn), rows)
    shown = [picture for picture in drawn if picture.name in IN_PAGE or picture.name.startswith(BY)]
    row = summary_of(part, told.who, told.judgements)
    pictures = [picture.in_page(key) for picture in shown]
    view = view_of(part, pictures, block_views(extra, part.pooled.effects.measure), row)
    for name, content in files.items():
        target = place / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    live = live_text(part, row, told.who) if view["live"] else ""
    packed = {f"{key}.{picture.name}": picture.packed for picture in shown}
    letters = frozenset[str]().union(*(picture.markup for picture in shown))
    return _Outcome(part, view, live, record, warned, packed, letters)


def _csv(frame: pd.DataFrame) -> bytes:
    return csv_text(frame).encode("utf-8")


def _figures(key: str, drawn: Sequence[Drawn], not_drawn: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What `results.json` says of the pictures."""
    found: dict[str, dict[str, Any]] = {
        picture.name: {"title": picture.title, "alt": picture.alt, **picture.paths(key), "not_drawn": None}
        for picture in drawn
    }
    return found | {
        name: {"title": None, "alt": None, "svg": None, "pdf": None, "not_drawn": why}
        for name, why in not_drawn.items()
    }


# -- all of them -------------------------------------------------------------------------------------------------------


def _run(
    protocol: Protocol,
    outcomes: Sequence[str],
    engine: Engine | None,
    place: Path,
    pdf: bool,
    told: _Told,
    joined: bool,
    step: Callable[[str], None],
) -> tuple[list[_Outcome], JointFit | None]:
    """Run the outcomes, several at once where there are several processors; and those that are joined, together."""
    # faults of every outcome are reported before anything is run
    sizes = {key: reading.effects.k for key, (reading, _) in read_outcomes(protocol, outcomes).items()}
    count = workers.count(len(sizes))
    found: dict[str, _Outcome] = {}
    if count == 1:
        for key in sizes:
            step(f"running {key}")
            found[key] = _run_one(protocol, key, engine, place, pdf, told)
        if joined:
            step("running the joined outcomes")
        return list(found.values()), _run_joint(protocol) if joined else None
    _share_views()
    # the largest first, so that none is left running alone at the end
    order = sorted(sizes, key=lambda key: -sizes[key])
    with workers.pool(count) as pool:
        # sampling takes longest
        whole = pool.submit(_run_joint, protocol) if joined else None
        jobs = [pool.submit(_run_one, protocol, key, engine, place, pdf, told) for key in order]
        # load what the page and the Word file need, while other processes work
        import docx  # noqa: F401

        template()
        for key, job in zip(order, jobs, strict=True):
            step(f"running {key}")
            found[key] = job.result()
        if whole is not None:
            step("running the joined outcomes")
        together = None if whole is None else whole.result()
    return [found[key] for key in sizes], together


def _run_joint(protocol: Protocol) -> JointFit:
    """Fit the joined outcomes, also in another process; what their rows warn of is said where each stands alone."""
    _share_views()
    with collected([], again=False):
        return analyse_joint(protocol)[0]


def _write_whole(
    protocol: Protocol | None,
    made: Sequence[_Outcome],
    place: Path,
    title: str | None,
    told: _Told,
    together: JointFit | None,
    step: Callable[[str], None],
) -> list[str]:
    """Write what is of all outcomes; return why the report is not reportable."""
    items = [item.analysis for item in made]
    fits = [fit for item in items for fit in item.fits]
    reasons = unreportable(fits)
    sections = list(dict.fromkeys(name for item in made for name in item.record["sections"]))
    hashes = dict(fits[0].hashes)
    pinned = protocol is not None and protocol.data.sha256 is not None
    title = title or (protocol.title if protocol is not None else items[0].label)
    report = dict(protocol.report) if protocol is not None else {}
    if protocol is not None and protocol.assumptions:
        report["note"] = f"Without a protocol, these defaults were assumed: {'; '.join(protocol.assumptions)}."
    overview = overview_of(items)
    if overview is not None:
        (place / "figures" / "overview.svg").write_bytes(overview)
    step("writing the page")
    page = render_page(
        items,
        [item.view for item in made],
        {item.analysis.key: item.live for item in made if item.live},
        title=title,
        hashes=hashes,
        pinned=pinned,
        seed=fits[0].seed,
        pictures={name: packed for item in made for name, packed in item.pictures.items()}
        | {"letters": "".join(sorted(frozenset[str]().union(*(item.letters for item in made))))},
        report=report,
        reasons=reasons,
        judgements=told.judgements,
        overview=overview is not None,
        joint=None if together is None else joint_view(together, [item.view["row"] for item in made]),
    )
    (place / "index.html").write_text(page, encoding="utf-8")
    step("writing results.json")
    cited = used_references(fits, sections)
    scales = {scale_name(item.effects.measure) for item in items}
    record = {
        **head(None),
        "scale": scales.pop() if len(scales) == 1 else None,
        "title": title,
        "protocol_sha256": hashes.get("protocol"),
        "data_sha256": hashes.get("data"),
        "data_pinned": pinned,
        "seed": fits[0].seed,
        "reportable": not reasons,
        "reasons": reasons,
        "methods": methods_text(fits, sections),
        "references": cited,
        "outcomes": {item.analysis.key: item.record for item in made},
    }
    text = json.dumps(record, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    (place / "results.json").write_text(text + "\n", encoding="utf-8")
    (place / "references.bib").write_text(bibliography(cited), encoding="utf-8")
    step("writing the summary of findings")
    for name, content in take_away(title, items, [item.view for item in made], report, patients=told.patients).items():
        (place / name).write_bytes(content)
    return reasons


def write_fits(analyses: Iterable[Analysis], folder: str | Path) -> int:
    """Write the fits of analyses as netCDF, one file each, and ``run.json`` that describes them.

    Parameters
    ----------
    analyses : iterable of Analysis
    folder : str or Path

    Returns
    -------
    int
        How many fits were written; `bayesmeta.analysis.read_analyses` reads them.

    Raises
    ------
    ModelError
        If there is none, or two have the same key.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     write_fits([bm.analysis_of(fit)], place)
    1
    """
    items = list(analyses)
    if not items:
        raise ModelError("there is no analysis to write.")
    _require_apart(items)
    files: dict[str, str] = {}
    with staged(Path(folder), last="run.json") as place:
        for item in items:
            for found, name in zip(item.fits, (item.key, f"{item.key}.moderated"), strict=False):
                files[name] = found.save(place / f"{name}.nc").name
                if found.second is not None:
                    files[f"{name}.nuts"] = found.second.save(place / f"{name}.nuts.nc").name
        protocol = items[0].protocol
        record = run_record(
            {item.key: item.fits for item in items},
            files,
            hashes={"protocol": None, "data": None, **items[0].pooled.hashes},
            pinned=protocol is not None and protocol.data.sha256 is not None,
            seed=items[0].pooled.seed,
            reasons={item.key: item.reason for item in items},
            warnings=list(dict.fromkeys(text for item in items for text in item.warned)),
        )
        (place / "run.json").write_text(json_text(record) + "\n", encoding="utf-8")
    return len(files)
