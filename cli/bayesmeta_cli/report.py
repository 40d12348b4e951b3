"""The commands `report` and `cite`: everything that was run, as one page with its files, and how to cite it."""

from __future__ import annotations

import copyreg
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import bayesmeta as bm
from bayesmeta_cli import workers
from bayesmeta_cli.commands import UNREPORTABLE
from bayesmeta_cli.files import existing, staged_tree
from bayesmeta_cli.messages import say, steps

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.report import Drawn, Part


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """One outcome of the report, finished: what the page and `results.json` hold of it."""

    part: Part
    view: dict[str, Any]
    live: str
    record: str
    scale: str | None
    warned: list[str]


def _share_views() -> None:
    """Let read-only views of mappings travel between processes, as the mappings they show."""
    copyreg.pickle(MappingProxyType, lambda view: (read_only, (dict(view),)))  # type: ignore[arg-type,return-value]


def read_only(content: dict[Any, Any]) -> Mapping[Any, Any]:
    """Make a read-only view again; the type itself has no name that a pickle could look up."""
    return MappingProxyType(content)


@cache
def _protocol(path: Path) -> bm.Protocol:
    """Read a protocol once in a process that makes several outcomes of it."""
    return bm.read_protocol(path)


def make_part(path: Path, key: str, engine: str | None, place: Path, pdf: bool = False) -> Made:
    """Run everything for one outcome: fits, declared analyses, the bench, forensics; write pictures, tables, fits."""
    from bayesmeta.analysis import collected
    from bayesmeta.report import Part
    from bayesmeta.sensitivity import MAIN

    _share_views()
    warned: list[str] = []
    # several outcomes may have the same to say, and other processes would say it into the progress bar
    with collected(warned, again=False):
        item = bm.analyse(_protocol(path), key, engine=engine)  # type: ignore[arg-type]
        part = Part(
            key,
            item.label,
            item.pooled,
            item.moderated,
            item.reason,
            {MAIN: item.pooled, **item.declared},
            (MAIN, *item.priors_only),
            item.not_done,
            item.bench,
            item.reading,
            item.findings,
            item.warnings,
            item.notes,
            item.sources,
            None if item.borrowed is None else item.borrowed.borrowing,
        )
        return _finished(part, warned, place, pdf)


def _finished(part: Part, warned: list[str], place: Path, pdf: bool) -> Made:
    """Put one outcome into words and records, and its files into folders of a place."""
    from bayesmeta.records import scale_name, table_records
    from bayesmeta.report import (
        IN_PAGE,
        block_views,
        draw_part,
        extra_tables,
        live_text,
        outcome_record,
        tables_of,
        view_of,
    )

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
    pictures = [picture.in_page(key) for picture in drawn if picture.name in IN_PAGE]
    view = view_of(part, pictures, block_views(extra, part.pooled.effects.measure))
    for name, content in files.items():
        target = place / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    text = json.dumps(record, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    live = live_text(part) if view["live"] else ""
    return Made(part, view, live, text, scale_name(part.pooled.effects.measure), warned)


def _csv(frame: pd.DataFrame) -> bytes:
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue().encode("utf-8")


def _made(
    path: Path, sizes: Mapping[str, int], engine: str | None, place: Path, pdf: bool, step: Callable[[str], None]
) -> list[Made]:
    """Run the outcomes, several at once where there are several processors; ``sizes`` are their estimates."""
    count = workers.count(len(sizes))
    found: dict[str, Made] = {}
    if count == 1:
        for key in sizes:
            step(f"running {key}")
            found[key] = make_part(path, key, engine, place, pdf)
        return list(found.values())
    _share_views()
    # the largest first, so that none is left running alone at the end
    order = sorted(sizes, key=lambda key: -sizes[key])
    with workers.pool(count) as pool:
        jobs = [pool.submit(make_part, path, key, engine, place, pdf) for key in order]
        _made_ready()
        for key, job in zip(order, jobs, strict=True):
            step(f"running {key}")
            found[key] = job.result()
    return [found[key] for key in sizes]


def _made_ready() -> None:
    """Load what the page and the Word file need, while other processes work."""
    import docx  # noqa: F401

    from bayesmeta.report import template

    template()


def report(path: Path, names: Sequence[str], output: Path, engine: str | None, *, pdf: bool = False) -> int:
    """Write the report of a protocol; return the exit code."""
    from bayesmeta.analysis import read_outcomes

    existing(path, ("protocol",))
    protocol = bm.read_protocol(path)
    # faults of every outcome are reported before anything is run
    sizes = {key: reading.effects.k for key, (reading, _) in read_outcomes(protocol, names).items()}
    with staged_tree(output) as place:
        with steps(len(sizes)) as step:
            made = _made(path, sizes, engine, place, pdf, step)
        for text in dict.fromkeys(text for item in made for text in item.warned):
            say(f"warning: {text}")
        with steps(3) as step:
            reasons = _written(protocol, made, place, step)
    print(output / "index.html")
    for reason in reasons:
        say(f"not reportable: {reason}")
    return UNREPORTABLE if reasons else 0


def _written(protocol: bm.Protocol, made: Sequence[Made], place: Path, step: Callable[[str], None]) -> list[str]:
    """Write what is of all outcomes; return why the report is not reportable."""
    from bayesmeta.records import head, json_text, unreportable
    from bayesmeta.report import bibliography, methods_text, render_page, summary_row, used_references, word_file

    parts = [item.part for item in made]
    fits = [fit for part in parts for fit in part.fits]
    reasons = unreportable(fits)
    sections = list(dict.fromkeys(name for part in parts for name in part.bench.tables))
    hashes = dict(parts[0].pooled.hashes)
    about: dict[str, Any] = {"seed": parts[0].pooled.seed, "pinned": protocol.data.sha256 is not None}
    step("writing the page")
    page = render_page(
        parts,
        [item.view for item in made],
        {item.part.key: item.live for item in made if item.live},
        title=protocol.title,
        hashes=hashes,
        report=protocol.report,
        reasons=reasons,
        **about,
    )
    (place / "index.html").write_text(page, encoding="utf-8")
    step("writing results.json")
    cited = used_references(fits, sections)
    record: dict[str, Any] = {
        **head(None),
        "scale": _one(item.scale for item in made),
        "title": protocol.title,
        "protocol_sha256": hashes["protocol"],
        "data_sha256": hashes.get("data"),
        "data_pinned": about["pinned"],
        "seed": about["seed"],
        "reportable": not reasons,
        "reasons": reasons,
        "methods": methods_text(fits, sections),
        "references": cited,
    }
    outcomes = ",\n".join(f"    {json.dumps(item.part.key)}: {item.record}" for item in made)
    whole = json_text(record).rstrip().removesuffix("}").rstrip() + ',\n  "outcomes": {\n' + outcomes + "\n  }\n}\n"
    (place / "results.json").write_text(whole, encoding="utf-8")
    (place / "references.bib").write_text(bibliography(cited), encoding="utf-8")
    step("writing the summary of findings")
    rows = [summary_row(item.view) for item in made]
    (place / "summary-of-findings.docx").write_bytes(word_file(protocol.title, rows))
    return reasons


def _one(scales: Iterable[str | None]) -> str | None:
    found = set(scales)
    return found.pop() if len(found) == 1 else None


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


def cite(path: Path, names: Sequence[str], bibtex: bool, fits: Path | None) -> None:
    """Print the methods paragraph and the references that follow from what a protocol runs."""
    from bayesmeta.report import bibliography, methods_text, used_references
    from bayesmeta.sensitivity import SECTIONS, SLOW
    from bayesmeta_cli.analyses import from_file
    from bayesmeta_cli.render import wrapped

    analyses = from_file(path, names, fits)
    found = [fit for item in analyses for fit in item.fits]
    sections = [name for name in SECTIONS if name not in SLOW]
    if not bibtex:
        print(wrapped(methods_text(found, sections)) + "\n")
    print(bibliography(used_references(found, sections)), end="")
