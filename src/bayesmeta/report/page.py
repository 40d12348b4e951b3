"""The page: what `gather` holds, in words and cells, through one template; computes nothing of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmeta.analysis import NO_MODERATORS
from bayesmeta.classical import check_name
from bayesmeta.columns import Column, Readable, columns_of, names_of, readable
from bayesmeta.digits import percent, plural, ratios, together
from bayesmeta.measures import measure
from bayesmeta.model import prior_text
from bayesmeta.moderators import moderator_blocks
from bayesmeta.questions import (
    CAVEAT,
    benefit_probabilities,
    benefit_sentence,
    between_words,
    share_of_true_effects,
)
from bayesmeta.records import failed_checks, finding_rows, size_rows, small_k_note
from bayesmeta.report.checklists import checklists
from bayesmeta.report.gather import natural_range, others, posteriors, stated_threshold
from bayesmeta.report.live import followed, live_outcome
from bayesmeta.report.methods import bibliography, methods_text, used_references
from bayesmeta.report.webfont import font_faces
from bayesmeta.sensitivity import MAIN, SECTIONS, read_section

if TYPE_CHECKING:
    from jinja2 import Template

    from bayesmeta.analysis import Analysis

__all__ = ["Picture", "classical_checks", "live_text", "render_page", "summary_row", "template", "view_of"]

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
            f"{name}.any": percent(any_benefit),
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


def _to_judge(part: Analysis) -> list[dict[str, str]]:
    """What no check of the computation can decide: notices, and findings in the rows that are more than remarks."""
    found = dict.fromkeys((*part.notices, *(item for item in part.findings if item.severity != "info")))
    rows = finding_rows(tuple(found))
    if part.hksj_remark:
        rows.append(
            {
                "rule": "REML + HKSJ",
                "severity": "warning",
                "evidence": part.hksj_remark,
                "remedy": "Read the ad hoc interval.",
            }
        )
    return rows


def _counts(part: Analysis) -> str:
    effects = part.pooled.effects
    people = "" if effects.participants is None else f", {plural(effects.participants, 'participant')}"
    unit = f" in {effects.unit}" if effects.unit else ""
    better = f"; {effects.better} is better" if effects.better else ""
    words = measure(effects.measure).label.capitalize()
    counted = f"{plural(effects.k, 'estimate')} of {plural(effects.n_trials, 'trial')}"
    return f"{counted}{people}. {words}{unit}{better}."


def view_of(part: Analysis, pictures: Sequence[Picture], blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put one outcome into words and cells.

    Parameters
    ----------
    part : Analysis
    pictures : sequence of mapping
        ``name markup title svg pdf``; the markup is SVG that stands in the page, the PDF may be None.
    blocks : sequence of mapping
        Further tables: ``name title table caption stays note``.
    """
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
        "to_judge": [] if reasons else _to_judge(part),
        "follows": followed(part) if live else frozenset(),
        "grade": [] if grade is None else grade.to_dict("records"),
        "grade_not_done": why,
        "check": check_name(effects),
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
    ratio = kind.log and effects.better is not None
    allowed = "below 1" if ratio and effects.better == "lower" else "above 1" if ratio else "above 0"
    return view | {
        "own_result": part.own_result,
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
        "sections": {name: read_section(name, frame, part.pooled) for name, frame in part.sections.tables.items()},
        "sections_not_done": dict(part.sections.not_done),
        "stays": {
            **_STAYS,
            **{key: ("threshold", "analysis")[not item.at_threshold :] for key, item in SECTIONS.items()},
        },
    }


def live_text(part: Analysis) -> str:
    """Write what the page computes from as JSON that may stand inside a script."""
    text = json.dumps(live_outcome(part), allow_nan=False, separators=(",", ":"))
    # a closing tag inside the data would end the script that holds them
    return text.replace("<", "\\u003c")


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
    views: Sequence[Mapping[str, Any]],
    lives: Mapping[str, str],
    *,
    title: str,
    hashes: Mapping[str, str],
    pinned: bool,
    seed: int,
    report: Mapping[str, Any] | None = None,
    reasons: Sequence[str] = (),
) -> str:
    """Render the page.

    Parameters
    ----------
    parts : sequence of Analysis
    views : sequence of mapping
        From `view_of`, in the same order.
    lives : mapping of str to str
        By outcome, what the page computes from, as JSON (`live_text`).
    title : str
    hashes : mapping
        SHA-256 of ``protocol`` and ``data``.
    pinned : bool
    seed : int
    report : mapping, optional
        The protocol's ``[report]``: ``authors question note``.
    reasons : sequence of str
        Why the run is not reportable.

    Returns
    -------
    str
        One HTML file that needs nothing else.
    """
    from markupsafe import Markup

    stated = dict(report or {})
    fits = [fit for part in parts for fit in part.fits]
    shown: dict[str, str] = {}
    for view in views:
        shown = {name: f"#{view['key']}-{name}" for name in view.get("sections", ())} | shown
    sections = [name for name in SECTIONS if name in shown]
    text = '{"outcomes":{' + ",".join(f"{json.dumps(key)}:{live}" for key, live in lives.items()) + "}}"
    letters = set[str]().union(*(picture["markup"] for view in views for picture in view.get("pictures", ())))
    folder = resources.files("bayesmeta.report").joinpath("templates")
    return template().render(
        fonts=Markup(font_faces(letters)),
        title=title,
        version=metadata.version("bayesmeta"),
        css=Markup(folder.joinpath("page.css").read_text("utf-8")),
        js=Markup("\n".join(folder.joinpath(name).read_text("utf-8") for name in SCRIPTS)),
        live=Markup(text),
        outcomes=views,
        check=classical_checks(views),
        caveat=CAVEAT,
        reportable=not reasons,
        reasons=list(reasons),
        methods=methods_text(fits, sections),
        bibliography=bibliography(used_references(fits, sections)),
        pinned=pinned,
        protocol_hash=str(hashes.get("protocol", ""))[:12],
        data_hash=str(hashes.get("data", "not a file"))[:12],
        checklists=checklists(parts, shown, reasons, hashes=dict(hashes), seed=seed),
        authors=stated.get("authors", []),
        question=stated.get("question", ""),
        note=stated.get("note", ""),
    )


def classical_checks(views: Sequence[Mapping[str, Any]]) -> str:
    """Name the classical checks of outcomes: one, or several where rows of some outcomes lie in clusters.

    Examples
    --------
    >>> classical_checks([{"check": "REML + HKSJ"}, {"check": "REML + HKSJ"}])
    'REML + HKSJ'
    """
    return " or ".join(dict.fromkeys(view["check"] for view in views))


def summary_row(view: Mapping[str, Any], check: str | None = None) -> dict[str, str]:
    """One row of the summary of findings, every cell a text; certainty is left empty for the panel.

    ``check`` names the classical checks of all rows (`classical_checks`, default its own); where they are several
    each row says which its own is.
    """
    check = check or view["check"]
    own = "" if view["check"] == check else f"; {view['check']}"
    people = f" ({view['participants']})" if view["participants"] else ""
    failed = view["failed"]
    chances = {} if failed else view["chances"]
    noticed = "".join(
        f". {item['severity'].capitalize()}: {item['rule']}: {item['evidence']}" for item in view["notices"]
    )
    remark = "" if failed or not view["classical_remark"] else f"; {view['classical_remark']}"
    better = f"; {view['better']} is better" if view["better"] else ""
    sizes = [] if failed or view["sizes"] is None else [f"{size} {mean}" for size, mean, _ in view["sizes"].cells]
    return {
        "Outcome": f"{view['label']} ({view['measure_words']}{better})",
        "Trials (participants)": f"{view['trials']}{people}",
        "Certainty (panel)": "",
        "Effect (95 % credible interval)": "a check failed" if failed else view["effect"] + noticed,
        f"{check} (95 % confidence interval)": "" if failed else view["classical_effect"] + own + remark,
        "Threshold": "" if failed else view["threshold_text"],
        "P(important benefit), mean": chances.get("mu.important", ""),
        "P(important benefit), new study": chances.get("theta_new.important", ""),
        "P(important harm), mean": chances.get("mu.harm", ""),
        "Size of the mean effect": "; ".join(sizes)
        or f"{view.get('between', '').lower()} {chances.get('mu.trivial', '')}".strip(),
        "Plain statement": "" if failed else f"{view['own_result']} {view['sentence']}".strip(),
    }
