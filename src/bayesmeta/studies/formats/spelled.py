"""Names that other programs give to columns: those of metafor's `escalc`, and of JASP."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from bayesmeta.studies.cells import is_missing
from bayesmeta.studies.formats.grid import number_text
from bayesmeta.studies.formats.review import number_of
from bayesmeta.studies.formats.sheet import Sheet

__all__ = ["ESCALC", "spelled_columns"]

#: Arguments of `escalc` and what it adds, by our names (metafor 4, help page of `escalc`).
ESCALC = {
    "yi": "estimate",
    "vi": "var",
    "sei": "se",
    "n1i": "n_t",
    "n2i": "n_c",
    "m1i": "mean_t",
    "m2i": "mean_c",
    "sd1i": "sd_t",
    "sd2i": "sd_c",
    "ai": "events_t",
    "ci": "events_c",
    "x1i": "events_t",
    "x2i": "events_c",
    "t1i": "time_t",
    "t2i": "time_c",
    "ri": "r",
    "ni": "n",
    "xi": "events",
    "mi": "mean",
    "sdi": "sd",
    "slab": "study",
}
_TELLTALE: tuple[set[str], ...] = (
    *({"yi", "vi"}, {"yi", "sei"}, {"ai", "n1i"}, {"ai", "bi"}, {"m1i", "sd1i"}, {"x1i", "t1i"}),
    *({"ri", "ni"}, {"xi", "ni"}, {"mi", "sdi"}),
)
#: What an effect is made from, without yi.
_INPUTS: tuple[set[str], ...] = (
    {"mean_t", "sd_t", "n_t", "mean_c", "sd_c", "n_c"},
    {"events_t", "n_t", "events_c", "n_c"},
    *({"events_t", "time_t", "events_c", "time_c"}, {"r", "n"}, {"events", "n"}, {"mean", "sd", "n"}),
)
#: JASP asks for these by role; its sample files name them so.
_JASP = {
    "effectsize": "estimate",
    "es": "estimate",
    "standarderror": "se",
    "effectsizese": "se",
    "sampleeffectse": "se",
    "effectsizestandarderror": "se",
    "variance": "var",
    "studylabel": "study",
    "studylabels": "study",
}
_TRIALS = ("study", "trial", "studlab", "author")


def spelled_columns(sheet: Sheet) -> Sheet:
    """Note what columns of known names hold, by our names; make those that follow from two of them.

    Examples
    --------
    >>> found = spelled_columns(Sheet("t.csv", ("trial", "yi", "vi"), ((2, ("A", "-0.5", "0.04")),)))
    >>> dict(found.spelled), found.scale
    ({'estimate': 'yi', 'var': 'vi', 'study': 'trial'}, 'analysis')
    """
    names = {name.casefold(): name for name in reversed(sheet.header) if name}
    if any(telling <= names.keys() for telling in _TELLTALE):
        return _escalc(sheet, names)
    plain = {re.sub(r"[\s_.()-]+", "", name): theirs for name, theirs in names.items()}
    found = {ours: plain[name] for name, ours in reversed(_JASP.items()) if name in plain}
    if "estimate" not in found or not {"se", "var"} & (found.keys() | names.keys()):
        return sheet
    note = f"columns named as JASP names them: {', '.join(f'{theirs} is {ours}' for ours, theirs in found.items())}"
    return replace(sheet, spelled=found | _trial(names, found), notes=(*sheet.notes, note))


def _trial(names: dict[str, str], found: dict[str, str]) -> dict[str, str]:
    if "study" in found or "study" in names:
        return {}
    theirs = next((names[name] for name in _TRIALS if name in names), None)
    return {} if theirs is None else {"study": theirs}


def _escalc(sheet: Sheet, names: dict[str, str]) -> Sheet:
    known = {name: ours for name, ours in ESCALC.items() if name in names}
    if "xi" in known and "ni" not in known and "mi" in known:
        # xi and mi are events and people without the event
        known.pop("mi")
    found = {ours: names[name] for name, ours in known.items()}
    made: list[str] = []
    for ours, one, two in (("n_t", "ai", "bi"), ("n_c", "ci", "di"), ("n", "xi", "mi")):
        if ours not in found and one in names and two in names and (one != "xi" or "sdi" not in names):
            sheet = _with(sheet, ours, (names[one], names[two]), lambda a, b: _sum(a, b))
            made.append(f"{ours} = {names[one]} + {names[two]}")
    trial = _trial(names, found)
    if trial.get("study") == names.get("author") and "author" in names and "year" in names:
        sheet = _with(sheet, "study", (names["author"], names["year"]), lambda a, b: f"{a} {b}".strip())
        made.append("study = author and year")
        trial = {}
    raw = {*found, *(ours for ours in ("n_t", "n_c", "n") if ours in sheet.header)}
    beside = "estimate" in found and any(whole <= raw for whole in _INPUTS)
    if beside:
        # yi does not say of which measure it is; the numbers that it was made from serve every one
        found = {ours: theirs for ours, theirs in found.items() if ours not in ("estimate", "var", "se")}
    scale = "analysis" if "estimate" in found else sheet.scale
    listed = [f"{theirs} is {ours}" for ours, theirs in found.items()] + made
    note = f"columns named as metafor's escalc names them: {', '.join(listed)}"
    if scale == "analysis":
        note += "; yi is on the scale of the analysis (the logarithm of a ratio)"
    if beside:
        note += "; yi and its variance stand beside the numbers that they were made from and are not read"
    return replace(sheet, spelled={**found, **trial}, scale=scale, notes=(*sheet.notes, note))


def _sum(one: str, two: str) -> str:
    if is_missing(one) or is_missing(two):
        return ""
    total = number_of(one) + number_of(two)
    # what cannot be added is named by whoever needs the sum
    return number_text(total) if total == total else f"{one} + {two}"


def _with(sheet: Sheet, name: str, of: tuple[str, str], make: Callable[[str, str], str]) -> Sheet:
    """Add a column that is made of two others."""
    if name in sheet.header:
        return sheet
    one, two = (sheet.header.index(item) for item in of)
    rows = tuple((number, (*cells, make(cells[one], cells[two]))) for number, cells in sheet.rows)
    return replace(sheet, header=(*sheet.header, name), rows=rows)
