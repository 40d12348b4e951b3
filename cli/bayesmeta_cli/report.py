"""The commands `report` and `cite`: everything that was run, as one page with its files, and how to cite it."""

from __future__ import annotations

import copyreg
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import bayesmeta as bm
from bayesmeta_cli.analyses import Analysis, chosen, from_protocol, hashes_of, readings
from bayesmeta_cli.bench import recompute_of
from bayesmeta_cli.commands import UNREPORTABLE, variations
from bayesmeta_cli.files import existing, staged_tree
from bayesmeta_cli.messages import noted, say, track

if TYPE_CHECKING:
    from bayesmeta.report.files import Drawn
    from bayesmeta.report.gather import Part

#: Fewer outcomes than this are not worth starting other processes for.
FEW = 3
Made = tuple["Part", "list[Drawn]", "dict[str, str]", "list[str]"]


def _share_views() -> None:
    """Let read-only views of mappings travel between processes, as the mappings they show."""
    copyreg.pickle(MappingProxyType, lambda view: (MappingProxyType, (dict(view),)))  # type: ignore[arg-type,return-value]


def make_part(path: Path, key: str, engine: str | None) -> Made:
    """Run everything for one outcome: fits, declared analyses, the bench, forensics, pictures."""
    from bayesmeta.bench import sensitivity_bench
    from bayesmeta.forensics import examine_reading
    from bayesmeta.report.files import draw_part
    from bayesmeta.report.gather import Part

    _share_views()
    told: list[str] = []
    with noted(told):
        protocol = bm.read_protocol(path)
        reading = readings(protocol, [key])[key][0]
        item: Analysis = from_protocol(protocol, [key], engine=engine)[0]
        declared, not_done, priors_only = variations(protocol, item)
        outcome = protocol.outcomes[key]
        bench = sensitivity_bench(item.pooled, recompute=recompute_of(protocol, key), options=outcome.measure_options)
        findings = (*reading.findings, *examine_reading(reading))
        part = Part(
            key, item.label, item.pooled, item.moderated, item.reason, declared, tuple(priors_only), not_done, bench,
            reading, findings, item.warnings, item.notes, item.sources,
        )  # fmt: skip
        drawn, not_drawn = draw_part(part)
    return part, drawn, not_drawn, told


def _made(path: Path, keys: Sequence[str], engine: str | None) -> Iterable[Made]:
    """Run the outcomes, several at once where there are several processors."""
    workers = min(len(keys), os.process_cpu_count() or 1)
    if workers < 2 or len(keys) < FEW:
        yield from (make_part(path, key, engine) for key in track(keys, "outcomes"))
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_all_start_methods, get_context

    method = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
    context = get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["bayesmeta.bench", "bayesmeta.plots", "bayesmeta.report.gather", __name__])
    _share_views()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        jobs = [pool.submit(make_part, path, key, engine) for key in keys]
        try:
            yield from (job.result() for job in track(jobs, "outcomes"))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def report(path: Path, names: Sequence[str], output: Path, engine: str | None) -> int:
    """Write the report of a protocol; return the exit code."""
    from bayesmeta.records import dumps, head, unreportable
    from bayesmeta.report.files import tables_of, word_file
    from bayesmeta.report.gather import outcome_record
    from bayesmeta.report.methods import bibliography, methods_text, used_references
    from bayesmeta.report.page import render_page, summary_rows

    existing(path, ("protocol",))
    protocol = bm.read_protocol(path)
    keys = chosen(protocol, names)
    # faults of every outcome are told before anything is run
    readings(protocol, keys, variations=True)
    made = list(_made(path, keys, engine))
    for _, _, _, told in made:
        for text in told:
            say(f"warning: {text}")
    parts = [part for part, *_ in made]
    fits = [fit for part in parts for fit in part.fits]
    reasons = unreportable(fits)
    sections = list(dict.fromkeys(name for part in parts for name in part.bench.tables))
    hashes = hashes_of(protocol, parts[0].pooled.hashes.get("data"))
    seed = parts[0].pooled.seed
    pinned = protocol.data.sha256 is not None
    pictures = {part.key: [picture.in_page(part.key) for picture in drawn] for part, drawn, *_ in made}
    page = render_page(
        parts, title=protocol.title, hashes=hashes, pinned=pinned, seed=seed, pictures=pictures,
        report=protocol.report, reasons=reasons,
    )  # fmt: skip
    record: dict[str, Any] = {
        **head(None), "title": protocol.title, "protocol_sha256": hashes["protocol"],
        "data_sha256": hashes.get("data"), "data_pinned": pinned, "seed": seed, "reportable": not reasons,
        "reasons": reasons, "methods": methods_text(fits, sections), "references": used_references(fits, sections),
        "outcomes": {part.key: outcome_record(part, _figures(part.key, drawn, not_drawn), {})
                     for part, drawn, not_drawn, _ in made},
    }  # fmt: skip
    record["scale"] = _one(item["scale"] for item in record["outcomes"].values())
    with staged_tree(output) as place:
        (place / "index.html").write_text(page, encoding="utf-8")
        (place / "results.json").write_text(dumps(record) + "\n", encoding="utf-8")
        (place / "references.bib").write_text(bibliography(used_references(fits, sections)), encoding="utf-8")
        rows = summary_rows(parts)
        (place / "summary-of-findings.docx").write_bytes(word_file(protocol.title, rows))
        for folder in ("figures", "tables", "fits"):
            (place / folder).mkdir()
        for part, drawn, _, _ in track(made, "writing"):
            for picture in drawn:
                (place / "figures" / f"{part.key}.{picture.name}.svg").write_bytes(picture.svg)
                (place / "figures" / f"{part.key}.{picture.name}.pdf").write_bytes(picture.pdf)
            for name, frame in tables_of(part).items():
                buffer = io.StringIO()
                frame.to_csv(buffer, index=False, lineterminator="\n")
                (place / "tables" / f"{part.key}.{name}.csv").write_text(buffer.getvalue(), encoding="utf-8")
            part.pooled.save(place / "fits" / f"{part.key}.nc")
            if part.moderated is not None:
                part.moderated.save(place / "fits" / f"{part.key}.moderated.nc")
    print(output / "index.html")
    for reason in reasons:
        say(f"not reportable: {reason}")
    return UNREPORTABLE if reasons else 0


def _one(scales: Iterable[str | None]) -> str | None:
    found = set(scales)
    return found.pop() if len(found) == 1 else None


def _figures(key: str, drawn: Sequence[Drawn], not_drawn: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What `results.json` says of the pictures."""
    found: dict[str, dict[str, Any]] = {
        picture.name: {"title": picture.title, "alt": picture.alt, "svg": f"figures/{key}.{picture.name}.svg",
                       "pdf": f"figures/{key}.{picture.name}.pdf", "not_drawn": None}
        for picture in drawn
    }  # fmt: skip
    return found | {name: {"title": None, "alt": None, "svg": None, "pdf": None, "not_drawn": why}
                    for name, why in not_drawn.items()}  # fmt: skip


def cite(path: Path, names: Sequence[str], bibtex: bool, fits: Path | None) -> None:
    """Print the methods paragraph and the references that follow from what a protocol runs."""
    from bayesmeta.bench import SECTIONS, SLOW
    from bayesmeta.report.methods import bibliography, methods_text, used_references
    from bayesmeta_cli.analyses import from_file
    from bayesmeta_cli.render import wrapped

    analyses = from_file(path, names, fits)
    found = [fit for item in analyses for fit in (item.pooled, item.moderated) if fit is not None]
    sections = [name for name in SECTIONS if name not in SLOW]
    if not bibtex:
        print(wrapped(methods_text(found, sections)) + "\n")
    print(bibliography(used_references(found, sections)), end="")
