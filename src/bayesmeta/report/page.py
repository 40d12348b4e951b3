"""The page: what `gather` holds, in words and cells, through one template; computes nothing of its own."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata, resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmeta.analysis import NO_MODERATORS
from bayesmeta.classical import check_name
from bayesmeta.columns import (
    DIGITS,
    LEAST_SHARE,
    Column,
    Readable,
    columns_of,
    names_of,
    percent,
    plural,
    ratios,
    readable,
    together,
    with_minus,
)
from bayesmeta.measures import measure
from bayesmeta.model import prior_text
from bayesmeta.moderators import moderator_blocks
from bayesmeta.plan import SYMBOLS, Judgements
from bayesmeta.questions import (
    CAVEAT,
    CERTAINTY_WORDS,
    SIZE_WORDS,
    benefit_probabilities,
    benefit_sentence,
    between_words,
    share_of_true_effects,
)
from bayesmeta.records import failed_checks, finding_rows, size_rows, small_k_note
from bayesmeta.report.certainty import matrix_row
from bayesmeta.report.checklists import checklists
from bayesmeta.report.gather import natural_range, others, posteriors, stated_threshold
from bayesmeta.report.glossary import glossary_of
from bayesmeta.report.live import followed, live_outcome, points_of
from bayesmeta.report.methods import methods_text, reference_texts, used_references
from bayesmeta.report.panel import classical_checks, left_out_texts, panel_view
from bayesmeta.report.summary import UNNAMED, SummaryRow, summary_of
from bayesmeta.report.webfont import font_faces
from bayesmeta.report.whom import in_whom
from bayesmeta.sensitivity import GRADE_RULES, MAIN, SECTIONS, SURE, ReadableSection, read_section

if TYPE_CHECKING:
    from jinja2 import Template

    from bayesmeta.analysis import Analysis

__all__ = ["Picture", "classical_checks", "live_text", "render_page", "template", "view_of"]

Picture = Mapping[str, Any]
#: Scripts of the page, in the order in which they stand: arithmetic, tables, the page itself.
SCRIPTS = ("numbers.js", "tables.js", "page.js")
#: What a picture depends on that is moved or chosen above it.
_STAYS: Mapping[str, tuple[str, ...]] = {
    "picture.funnel": ("analysis",),
    "picture.forest": ("threshold", "analysis"),
    "picture.heterogeneity": ("threshold", "analysis"),
}
_GROUPS = {
    "main": "As stated",
    "prior": "Declared: other priors",
    "declared": "Declared: other models or data",
    "subgroup": "Subgroups, each alone",
    "level": "Subgroups (moderated analysis)",
    "engine": "Other engine",
}


def _written(part: Analysis, values: Sequence[float]) -> list[str]:
    """Effects on the natural scale with the digits that they share."""
    kind = measure(part.pooled.effects.measure)
    back = np.asarray(kind.back(np.asarray(values, float)), float).tolist()
    return ratios([back])[0] if kind.log else together([back])[0]


def _failed(part: Analysis) -> list[str]:
    return failed_checks(part.fits)


def _chances(part: Analysis, threshold: float | None) -> dict[str, str]:
    """The same cells that the script fills, for readers without it, at the threshold as stated."""
    found: dict[str, str] = {}
    table: Any = part.summary_table
    for name in ("mu", "theta_new"):
        texts = _written(part, [float(table.loc[name, column]) for column in ("median", "lower", "upper")])
        found |= dict(zip((f"{name}.median", f"{name}.lower", f"{name}.upper"), texts, strict=True))
    item = part.primary
    if part.pooled.effects.better is None or item is None:
        return found | dict.fromkeys(("mu.important", "theta_new.important", "mu.harm"), "no threshold")
    chances = benefit_probabilities(part.pooled, item)
    for name, end in (("mu", ""), ("theta_new", "_new")):
        any_benefit, important, harm = (
            chances[f"p_{what}{end}"] for what in ("any_benefit", "important_benefit", "important_harm")
        )
        found |= {
            **({} if math.isnan(any_benefit) else {f"{name}.any": percent(any_benefit)}),
            f"{name}.important": percent(important),
            f"{name}.harm": percent(harm),
            f"{name}.trivial": percent(max(0.0, 1 - important - harm)),
        }
    if threshold is None:
        return found
    share = share_of_true_effects(part.pooled, float(item.benefit_distance))  # type: ignore[arg-type]
    low, middle, high = (percent(share[f"share_{name}"]) for name in ("lower", "median", "upper"))
    return found | {"share": f"{middle} ({low} to {high})"}


_MEAN = "mean (95 % interval)"
_FORMULAS = {"predictive": "posterior predictive", "t_km1": "t(k - 1)", "t_clusters": "t(clusters - 1)"}
_ESTIMATES = (
    *columns_of("text", method="method"),
    # an estimate and its interval share their digits, as in the first table
    Column("estimate", "interval", _MEAN, ends=("lower", "upper")),
    *columns_of("number", 3, tau="tau", tau_within="tau within"),
    Column("pi_lower", "interval", "PI", ends=("pi_upper",)),
    Column("pi_formula", "note", "formula", labels=_FORMULAS),
    *columns_of("p", p_value="p"),
)
_DECLARED = (
    *columns_of("count", k="Rows"),
    Column("mu", "interval", _MEAN, ends=("lower", "upper")),
    *columns_of("number", 3, tau="tau"),
    *columns_of("probability", p_important_benefit="P(important), mean", p_important_benefit_new="P(important), new"),
    *columns_of("probability", p_important_harm="P(harm), mean"),
)
_LEDGER = (
    *columns_of("text", trial="trial"),
    *columns_of("count", row="row"),
    *columns_of("number", 4, estimate="estimate", se="SE"),
    *columns_of("text", formula="formula", assumed="assumed"),
)


def _declared(part: Analysis) -> list[dict[str, Any]]:
    table = part.variations
    ids = {item.label: item.id for item in (*posteriors(part), *others(part))}
    read = readable(table, _DECLARED, part.pooled.effects.measure)
    rows = []
    for name, cells in zip(table["analysis"].astype(str), read.cells, strict=True):
        # the row of the main analysis is called as in the list beside the slider
        identity, label = ("main", "as stated") if name == MAIN else (ids.get(name, ""), name)
        found = zip((item.name for item in read.columns), cells, strict=True)
        rows.append({"id": identity, "label": label, **dict.fromkeys(names_of(_DECLARED), ""), **dict(found)})
    return rows


def _ledger(part: Analysis) -> tuple[Readable, list[str], str]:
    effects, reading = part.pooled.effects, part.reading
    ledger = effects.ledger or ()
    lacking = [""] * (effects.k - len(ledger))
    table = pd.DataFrame(
        {
            "trial": effects.label,
            "row": range(1, effects.k + 1) if reading is None else reading.rows,
            "estimate": effects.y,
            "se": effects.se,
            "formula": [*(item.formula for item in ledger), *lacking],
            "assumed": [*("; ".join(item.assumptions) for item in ledger), *lacking],
        }
    )
    notes = list(part.notes)
    if reading is not None:
        for words, items in (
            ("excluded", reading.excluded),
            ("assumed", reading.assumed),
            ("sign reversed", reading.turned),
        ):
            notes += [f"{words}: row {item.row} ({item.study}): {item.reason}" for item in items]
    return readable(table, _LEDGER), list(dict.fromkeys(notes)), "the fit" if reading is None else reading.source


def moderator_view(part: Analysis) -> dict[str, Any] | None:
    """In whom the effect differs, in cells and sentences; None where no moderators are declared."""
    if part.reason == NO_MODERATORS:
        return None
    left = [f"Left out, because they have one level here: {', '.join(part.left_out)}"] if part.left_out else []
    found = {"blocks": [], "notes": left, "reason": part.reason}
    if part.moderators is None:
        return found
    fits = [part.moderated] if part.moderated is not None else list(part.alone.values())
    priors = "; ".join(f"{name} {prior_text(term)}" for item in fits for name, term in item.model.beta.items())
    return found | {
        "blocks": moderator_blocks(part.moderators, part.effects),
        "notes": [*part.moderators.attrs["notes"], *left, f"Priors of coefficients: {priors}"],
    }


_SIZES = (
    *columns_of("text", size="Size"),
    *columns_of("probability", p_mean="mean effect", p_new="new study"),
)


def _sizes(part: Analysis) -> Readable | None:
    """Bands between the thresholds, where there are several; one is in the table above."""
    rows = size_rows(part.pooled, part.thresholds)
    return readable(pd.DataFrame(rows), _SIZES) if rows is not None and len(rows) > 3 else None


def _marked(methods: pd.DataFrame) -> pd.DataFrame:
    """Methods that are defined; a Hartung-Knapp interval that must not stand alone says so beside its name."""
    defined = methods[methods["estimate"].notna()]
    return defined.assign(method=defined["method"] + defined["mark"].map(lambda mark: f" ({mark})" if mark else ""))


def _counts(part: Analysis) -> str:
    effects = part.pooled.effects
    people = "" if effects.participants is None else f", {plural(effects.participants, 'participant')}"
    unit = f" in {effects.unit}" if effects.unit else ""
    better = f"; {effects.better} is better" if effects.better else ""
    words = measure(effects.measure).label.capitalize()
    counted = f"{plural(effects.k, 'estimate')} of {plural(effects.n_trials, 'trial')}"
    return f"{counted}{people}. {words}{unit}{better}."


def view_of(
    part: Analysis,
    pictures: Sequence[Picture],
    blocks: Sequence[Mapping[str, Any]],
    row: SummaryRow | None = None,
) -> dict[str, Any]:
    """Put one outcome into words and cells.

    Parameters
    ----------
    part : Analysis
    pictures : sequence of mapping
        ``name title alt svg pdf``; the PDF may be None.
    blocks : sequence of mapping
        Further tables: ``name title table caption stays note``.
    row : SummaryRow, optional
        Its row in the summary of findings; made here if not given.
    """
    row = row or summary_of(part)
    effects = part.pooled.effects
    kind = measure(effects.measure)
    reasons = _failed(part)
    threshold = stated_threshold(part)
    item = part.primary
    slider = natural_range(part)
    people = effects.participants
    live = not reasons and threshold is not None and slider is not None
    rows, notes, source = _ledger(part)
    grade, why = part.grade
    view: dict[str, Any] = {
        "key": part.key,
        "label": part.label,
        "trials": effects.n_trials,
        "participants": people,
        "measure_words": kind.label,
        "measure": effects.measure,
        "better": effects.better,
        "failed": bool(reasons),
        "reasons": reasons,
        "counts": _counts(part),
        "small_k": small_k_note(effects.n_trials),
        "live": live,
        "ledger": rows,
        "row_notes": notes,
        "source": source,
        "findings": finding_rows(part.findings),
        "moderated": moderator_view(part),
        "notices": finding_rows(part.notices),
        "follows": followed(part) if live else frozenset(),
        "grade": [] if grade is None else grade.to_dict("records"),
        "grade_not_done": why,
        "check": check_name(effects),
        "row": row,
        "left": left_out_texts(part),
        "assumed": _assumed(part),
    }
    if reasons:
        return view
    table: Any = part.summary_table
    effect = _written(part, [float(table.loc["mu", column]) for column in ("median", "lower", "upper")])
    methods: Any = part.methods.set_index("method")
    hksj, check = None, view["check"]
    if check in methods.index and not pd.isna(methods.loc[check, "estimate"]):
        hksj = _written(part, [float(methods.loc[check, column]) for column in ("estimate", "lower", "upper")])
    groups: dict[str, list[dict[str, str]]] = {}
    for entry in posteriors(part):
        groups.setdefault(_GROUPS[entry.kind], []).append({"id": entry.id, "label": entry.label})
    points = points_of(row)
    sections = {name: read_section(name, frame, part.pooled) for name, frame in part.sections.tables.items()}
    ratio = kind.log and effects.better is not None
    allowed = "below 1" if ratio and effects.better == "lower" else "above 1" if ratio else "above 0"
    return view | {
        "in_whom": in_whom(part, row),
        "matrix": matrix_row(part, row),
        "points": points,
        "own_unit": row.unit or ("ratio" if kind.log else ""),
        "folded": {name: _folded(name, read) for name, read in sections.items()},
        "own_result": part.own_result,
        "publication_bias": part.publication_bias,
        "sentence": benefit_sentence(part.pooled, item) if item is not None and effects.better is not None else "",
        "effect": f"{effect[0]} ({effect[1]} to {effect[2]})",
        "classical_effect": f"{hksj[0]} ({hksj[1]} to {hksj[2]})" if hksj else "not defined",
        "classical_remark": part.hksj_remark,
        "threshold": "" if threshold is None else f"{threshold:g}",
        "threshold_text": (f"{threshold:g}" if threshold is not None else "a range" if item is not None else "none"),
        "unit_words": effects.unit or kind.label,
        "between": between_words(item, part.thresholds).capitalize() if item is not None else "",
        "sizes": _sizes(part),
        "slider": slider or (0, 1, 0.01),
        "refused": f"A threshold of benefit lies {allowed}.",
        "chances": _chances(part, threshold),
        "groups": [{"label": label, "entries": entries} for label, entries in groups.items()],
        "estimates": readable(_marked(part.methods), _ESTIMATES, effects.measure),
        "analyses": _declared(part) if part.declared else [],
        "not_declared": dict(part.not_done),
        "pictures": pictures,
        "blocks": blocks,
        "sections": sections,
        "sections_not_done": {
            SECTIONS[name].question if name in SECTIONS else name: why for name, why in part.sections.not_done.items()
        },
        "stays": {
            **_STAYS,
            **{key: ("threshold", "analysis")[not item.at_threshold :] for key, item in SECTIONS.items()},
        },
    }


def _folded(name: str, read: ReadableSection) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows of a section that are shown, and those that change nothing; tables whose lines come and go are whole."""
    folded = () if name in ("multiverse", "inconsistency") else read.folded
    return tuple(i for i in range(len(read.table.cells)) if i not in folded), folded


def _assumed(part: Analysis) -> list[str]:
    """What was assumed of the rows, and what the reading noted; without rows that are left out, which stand apart."""
    return [text for text in part.notes if not text.startswith("excluded: ")]


def live_text(part: Analysis, row: SummaryRow | None = None, who: str = UNNAMED) -> str:
    """Write what the page computes from as JSON that may stand inside a script."""
    return _json(live_outcome(part, row or summary_of(part, who), who))


def _json(content: Any) -> str:
    # a closing tag inside the data would end the script that holds them
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


@cache
def template() -> Template:
    """Compile the page's template, once in a process."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayesmeta.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def render_page(
    parts: Sequence[Analysis],
    views: Sequence[dict[str, Any]],
    lives: Mapping[str, str],
    *,
    title: str,
    hashes: Mapping[str, str],
    pinned: bool,
    seed: int,
    pictures: Mapping[str, str] = MappingProxyType({}),
    report: Mapping[str, Any] | None = None,
    reasons: Sequence[str] = (),
    judgements: Judgements | None = None,
    joint: dict[str, Any] | str | None = None,
    overview: bool = False,
) -> str:
    """Render the page.

    Parameters
    ----------
    parts : sequence of Analysis
    views : sequence of dict
        From `view_of`, in the same order.
    lives : mapping of str to str
        By outcome, what the page computes from, as JSON (`live_text`).
    title : str
    hashes : mapping
        SHA-256 of ``protocol`` and ``data``.
    pinned : bool
    seed : int
    pictures : mapping of str to str
        Compressed drawings by outcome and name (`packed_picture`), and under ``letters`` what their texts need.
    report : mapping, optional
        The protocol's ``[report]``.
    reasons : sequence of str
        Why the run is not reportable.
    judgements : Judgements, optional
        Of the panel.
    joint : dict or str, optional
        From `bayesmeta.report.together.joint_view`.
    overview : bool
        Whether the picture of all outcomes lies beside the page.

    Returns
    -------
    str
        One HTML file that needs nothing else.
    """
    from markupsafe import escape

    stated = dict(report or {})
    fits = [fit for part in parts for fit in part.fits]
    shown: dict[str, str] = {}
    for view in views:
        shown = {name: f"#{view['key']}-{name}" for name in view.get("sections", ())} | shown
    sections = [name for name in SECTIONS if name in shown]
    panel = panel_view(parts, views, stated, judgements, dict(hashes))
    live = {
        "words": {"certainty": dict(CERTAINTY_WORDS), "size": dict(SIZE_WORDS)},
        "symbols": dict(SYMBOLS),
        "rules": {"digits": dict(DIGITS), "least_share": LEAST_SHARE, "sure": SURE, **GRADE_RULES},
        "data": str(hashes.get("data", "")),
    }
    parts_of = ",".join(f"{json.dumps(key)}:{one}" for key, one in lives.items())
    text = f'{_json(live)[:-1]},"outcomes":{{{parts_of}}}}}'
    folder = resources.files("bayesmeta.report").joinpath("templates")
    script = "\n".join(folder.joinpath(name).read_text("utf-8") for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    cited = used_references(fits, sections)
    # what is filled in last stands as marks that no text of a protocol or a table can hold by chance
    marks = {name: f"@{digest}:{name}@" for name in ("fonts", "css", "js", "live", "packed_pictures")}
    page = template().render(
        **panel,
        **marks,
        script_sources=f"'sha256-{digest}'",
        title=title,
        version=metadata.version("bayesmeta"),
        outcomes=views,
        glossary=glossary_of(compared=panel["compared"]),
        overview=overview,
        joint=joint if isinstance(joint, dict) else None,
        joint_words=joint if isinstance(joint, str) else "",
        caveat=CAVEAT,
        reportable=not reasons,
        reasons=list(reasons),
        methods=methods_text(fits, sections),
        references=reference_texts(cited),
        pinned=pinned,
        protocol_hash=str(hashes.get("protocol", ""))[:12],
        data_hash=str(hashes.get("data", "not a file"))[:12],
        hashes=dict(hashes),
        seed=seed,
        checklists=checklists(parts, shown, reasons, hashes=dict(hashes), seed=seed),
        authors=stated.get("authors", []),
        note=stated.get("note", ""),
    )
    fillings = {
        "fonts": font_faces(pictures.get("letters", "")),
        "css": folder.joinpath("page.css").read_text("utf-8"),
        "js": script,
        "live": text,
        "packed_pictures": _json({key: packed for key, packed in pictures.items() if key != "letters"}),
    }
    whole = true_minus(page)
    for name, mark in marks.items():
        # base64 has signs that markup escapes
        whole = whole.replace(str(escape(mark)), fillings[name], 1)
    return whole


_TEXT = re.compile(r">([^<>]+)<")


def true_minus(markup: str) -> str:
    """Write the minus of negative numbers as one, in the text of a page and not in its tags.

    Examples
    --------
    >>> true_minus('<td data-x="-1">-0.3 (-0.4 to 2e-7), 3-4</td>')
    '<td data-x="-1">\u22120.3 (\u22120.4 to 2e-7), 3-4</td>'
    """
    return _TEXT.sub(lambda found: with_minus(found.group()), markup)
