"""What columns are, proposed from their names: group words, quantity words, and what stays unmapped."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from bayesmeta.studies import ESCALC

__all__ = ["ColumnProposal", "Proposals", "propose_columns"]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Words for the arm with the intervention, and for the other one.
_TREATED = (
    "exp experimental exercise exercisers ex intervention interv int treatment treated treat trt tx active training "
    "t e i 1 group1 arm1"
)
_CONTROL = (
    "control controls contr ctrl ctl con cont comparator comparison comp usual uc c placebo waitlist waiting sham "
    "noexercise 2 group2 arm2"
)
_ARMS = {word: arm for arm, words in (("t", _TREATED), ("c", _CONTROL)) for word in words.split()}
#: Words that say nothing of what a column holds.
_FILLERS = _set(
    "of the in for at with arm arms group groups grp care list value values score scores final post followup follow up "
    "after end endpoint postintervention study analysed analyzed completed no pts 95 90 99 % to and"
)
#: Quantity by its words; the first that is found decides. Weak words must leave no other word unexplained.
_QUANTITIES: tuple[tuple[str, frozenset[str], bool], ...] = tuple(
    (name, frozenset(words.split()), weak)
    for name, words, weak in (
        ("median", "median mdn medians", False),
        ("sd", "sd stdev std stddev sds", False),
        ("se", "se sem stderr", False),
        ("ci", "ci cis", False),
        ("events", "events event responders", False),
        ("events", "cases ev", True),
        ("mean", "mean means average avg", False),
        ("mean", "m", True),
        ("q1", "q1 p25", True),
        ("q3", "q3 p75", True),
        ("low", "min minimum", True),
        ("high", "max maximum", True),
        ("time", "persontime personyears py", True),
        ("n", "n participants patients samplesize", False),
        ("n", "total number size sample", True),
    )
)
_LOW, _HIGH = _set("low lower ll lcl lb lo"), _set("high higher upper ul ucl ub hi")
_CHANGE = _set("change changes delta cfb chg")
_BASELINE = _set("baseline pre preintervention bl")
_TEXTS = (
    (r"standard deviations?", "sd"),
    (r"standard errors?", "se"),
    (r"std\.? err(?:or)?", "se"),
    (r"std\.? dev(?:iation)?", "sd"),
    (r"confidence intervals?", "ci"),
    (r"sample size", "samplesize"),
    (r"usual care|standard care", "usual"),
    (r"no exercise|non exercise", "noexercise"),
    (r"wait(?:ing)? ?list", "waitlist"),
    (r"person[ -]?(?:time|years|months|days)", "persontime"),
    (r"inter ?quartile range", "iqr"),
    (r"[\u0394\u03b4\u2206]", " change "),
    (r"\bno\. ?(?:of )?", " number "),
)
#: Estimates by what their columns are called: our column, the measure, and whether they are logarithms.
_ESTIMATES: dict[str, tuple[str, str | None, bool]] = {
    **dict.fromkeys(("smd", "hedges g", "hedgesg", "cohens d", "g", "d"), ("estimate", "SMD", False)),
    **dict.fromkeys(("md", "wmd", "mean difference"), ("md", "MD", False)),
    **dict.fromkeys(("effect", "effect size", "effectsize", "es", "te", "estimate"), ("estimate", None, False)),
    **{
        name: ("estimate", measure, log)
        for measure, long in (
            ("OR", "odds ratio"),
            ("RR", "risk ratio"),
            ("RR", "relative risk"),
            ("HR", "hazard ratio"),
            ("IRR", "rate ratio"),
            ("ROM", "ratio of means"),
        )
        for short in (measure.casefold(), long)
        for name, log in (
            (short, False),
            (f"log {short}", True),
            (f"ln {short}", True),
            (f"log{short}", True),
            (f"ln{short}", True),
        )
    },
    **dict.fromkeys(("rd", "risk difference"), ("estimate", "RD", False)),
}
_WHOLE: dict[str, list[str]] = tomllib.loads(
    resources.files("bayesmeta.setup").joinpath("spellings.toml").read_text(encoding="utf-8")
)
_WHOLE_NAMES = {name: (ours, place) for ours, names in _WHOLE.items() for place, name in enumerate(names)}
_UNKNOWN = "not read; it may be a moderator"
_GLUED_QUANTITIES = "n|mean|sd|se|events?|total|median|m|ci"


@dataclass(frozen=True, slots=True)
class ColumnProposal:
    """One column of ours with the table's column that seems to hold it.

    Parameters
    ----------
    ours, theirs : str
    reason : str
        Which words of the name say so.
    rank : int
        Of several that seem to hold the same the lowest is meant; equal ones are ambiguous.
    measure : str or None
        What an estimate is of, where its name says it.
    log : bool
        Whether it is a logarithm by its name.

    Examples
    --------
    >>> propose_columns(["SD.t", "SD.c"]).columns[1].ours
    'sd_c'
    """

    ours: str
    theirs: str
    reason: str
    rank: int = 0
    measure: str | None = None
    log: bool = False


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the columns of a table seem to be.

    Parameters
    ----------
    columns : tuple of ColumnProposal
        In the order of the table.
    left : tuple of (str, str)
        Columns that stay unmapped, each with the reason.
    ambiguous : tuple of (str, tuple of str)
        Our columns that several of the table fit equally well; none of them is proposed.
    """

    columns: tuple[ColumnProposal, ...]
    left: tuple[tuple[str, str], ...] = ()
    ambiguous: tuple[tuple[str, tuple[str, ...]], ...] = ()


def _words(name: str) -> list[str]:
    """Split the name of a column into words, with what is written together taken apart."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name)).casefold()
    text = re.sub(r"\b([a-z])\.([a-z])\.(?:([a-z])\.)?", r"\1\2\3 ", text)
    text = re.sub(r"[_.]+(?=\S)|_", " ", text)
    for pattern, word in _TEXTS:
        text = re.sub(pattern, f" {word} ", text)
    words: list[str] = []
    for word in re.findall(r"[^\W_]+|%", text):
        if number := re.fullmatch(r"([^\W\d_]+)([12])i?", word):
            words += [word] if number[1] in ("q", "group", "arm") else [*number.groups()]
        elif glued := re.fullmatch(rf"({_GLUED_QUANTITIES})([^\W\d_]+)", word):
            words += list(glued.groups()) if glued[2] in _ARMS and word not in _ALL else [word]
        elif glued := re.fullmatch(rf"([^\W\d_]+)({_GLUED_QUANTITIES})", word):
            # "expn", but not "en": single letters come last
            words += list(glued.groups()) if len(glued[1]) > 1 and glued[1] in _ARMS and word not in _ALL else [word]
        else:
            words.append(word)
    return words


_ALL = frozenset(word for _, words, _ in _QUANTITIES for word in words) | _CHANGE | _BASELINE | _LOW | _HIGH | {*_ARMS}


def _of_an_arm(name: str, more: Mapping[str, str] = MappingProxyType({})) -> ColumnProposal | None:
    """What one arm's column holds: a quantity and a group, in any order; ``more`` says which words are groups too."""
    words, known = _words(name), {**_ARMS, **more}
    found = next(((q, w, weak) for q, w, weak in _QUANTITIES if w & set(words)), None)
    arms = {word: known[word] for word in words if word in known}
    if found is None:
        return None
    quantity, said, weak = found
    if quantity == "sd" and {"mean", "means"} & {*words}:
        # "Mean (SD)": a cell holds both
        quantity, said = "mean", said | {"mean", "means"}
    # "i" and the like say a group only where no longer word does
    long = {word: arm for word, arm in arms.items() if len(word) > 1}
    arms = long or {word: arm for word, arm in arms.items() if word not in said}
    if len(set(arms.values())) != 1:
        return None
    arm = next(iter(arms.values()))
    kinds = {
        "change": _CHANGE & {*words},
        "pre": _BASELINE & {*words},
        "low": _LOW & {*words},
        "high": _HIGH & {*words},
    }
    rest = {*words} - said - {*arms} - _FILLERS - set().union(*kinds.values()) - {"i"}
    rest -= frozenset().union(*(w for q, w, _ in _QUANTITIES if q == quantity))
    if quantity == "median":
        shape = "iqr" if rest & {"iqr", "q1", "q3", "quartiles"} else "range" if rest & {"range", "min", "max"} else ""
        rest -= {"iqr", "range", "q1", "q3", "quartiles", "min", "max"}
        quantity = f"median_{shape}" if shape else "median"
    if quantity == "ci":
        quantity = f"ci_{'low' if kinds['low'] else 'high'}" if kinds["low"] or kinds["high"] else "ci"
    elif kinds["low"] or kinds["high"]:
        return None
    if weak and rest:
        return None
    if kinds["pre"]:
        quantity += "_pre"
    elif kinds["change"]:
        quantity += "_change"
    why = f"{' '.join(sorted(said & {*words}))!r} of {' '.join(sorted(arms))!r}"
    return ColumnProposal(
        f"{quantity}_{arm}", name, why + (f"; {', '.join(sorted(rest))}?" if rest else ""), 1 + bool(rest)
    )


def _plain(name: str) -> str:
    text = re.sub(r"['\u2019]", "", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(re.findall(r"[^\W_]+|%", re.sub(r"[_.]", " ", text))).replace(" %", "%")


def _other_groups(names: Iterable[str]) -> dict[str, set[str]]:
    """Words that stand beside quantities in names that have no other unknown word, each with its quantities."""
    found: dict[str, set[str]] = {}
    for name in names:
        words = set(_words(name))
        quantity = next((q for q, w, _ in _QUANTITIES if w & words), None)
        rest = words - _ALL - _FILLERS - {"i", "sd", "mean"} if quantity else set()
        if quantity and len(rest) == 1:
            found.setdefault(rest.pop(), set()).add(quantity)
    return found


def _more_groups(names: Sequence[str], found: Iterable[ColumnProposal]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Words for arms that only this table uses: the other arm's, where one is known; else two of which none is."""
    words = _other_groups(names)
    sides = {item.ours[-1] for item in found if item.ours[-2:] in ("_t", "_c") and not item.ours.startswith("arm")}
    there = {item.ours[:-2] for item in found if item.ours[-2:] in ("_t", "_c")}
    alike = [word for word, quantities in words.items() if "n" in quantities or len(quantities) > 1]
    if len(sides) == 1 and len(alike) == 1 and words[alike[0]] & there:
        return {alike[0]: "c" if sides == {"t"} else "t"}, ()
    if not sides and len(alike) == 2 and words[alike[0]] == words[alike[1]]:
        return {}, tuple(alike)
    return {}, ()


def _of_a_name(name: str) -> ColumnProposal | None:
    """What a column holds by its whole name."""
    text = _plain(name)
    if text in _WHOLE_NAMES:
        ours, rank = _WHOLE_NAMES[text]
        return ColumnProposal(ours, name, f"{text!r}", rank)
    if text in _ESTIMATES:
        ours, measure, log = _ESTIMATES[text]
        return ColumnProposal(ours, name, f"{text!r}", 0, measure, log)
    return None


def _of_escalc(name: str, names: Iterable[str]) -> ColumnProposal | None:
    """What a column holds by the argument names of metafor's ``escalc``."""
    plain = {item.casefold() for item in names}
    ours = ESCALC.get(name.casefold())
    if ours is None or (ours == "events_c" and "ai" not in plain):
        return None
    return ColumnProposal(ours, name, "name of an argument of metafor's escalc")


def propose_columns(names: Sequence[str], reserved: Iterable[str] = ()) -> Proposals:
    """Propose which of our columns each column of a table is, from its name.

    Parameters
    ----------
    names : sequence of str
        Columns of the table, in any of the usual spellings: ``N exp``, ``Mean (intervention)``, ``SD.c``,
        ``Events 1``, ``m1i``.
    reserved : iterable of str
        Our columns that the table has under our names already.

    Returns
    -------
    Proposals
        A column of one arm is proposed only where the table has its partner of the other arm.

    Examples
    --------
    >>> found = propose_columns(["Trial", "N exp", "N ctrl", "Mean (intervention)", "Mean (control)", "SD.t", "SD.c"])
    >>> [item.ours for item in found.columns]
    ['study', 'n_t', 'n_c', 'mean_t', 'mean_c', 'sd_t', 'sd_c']
    >>> propose_columns(["Study", "Events 1", "Events 2", "Total 1", "Total 2", "City"]).left
    (('City', 'not read; it may be a moderator'),)
    """
    taken, found = set(reserved), []
    left: dict[str, str] = {}
    for name in names:
        if name in taken:
            found.append(ColumnProposal(name, name, "our name", -1))
            continue
        # a unit or remark in brackets does not change what a column is, but may name its arm
        item = _of_escalc(name, names) or _of_a_name(name) or _of_an_arm(name)
        item = item or _of_a_name(re.sub(r"\(.*?\)|\[.*?\]", " ", name))
        if item is None:
            non_events = name.casefold() in ("bi", "di") and "ai" in {other.casefold() for other in names}
            left[name] = "people without the event; numbers of people are read" if non_events else _UNKNOWN
        elif item.theirs != name:
            found.append(dataclasses.replace(item, theirs=name))
        else:
            found.append(item)
    more, unknown = _more_groups(list(left), found)
    for name in list(left):
        if more and (item := _of_an_arm(name, more)) is not None:
            found.append(item)
            del left[name]
        elif any(word in unknown for word in _words(name)) and _other_groups([name]):
            left[name] = f"of an arm, but nothing says which of {' and '.join(unknown)} is treated"
    found = _final_scores(found, left)
    found = _partnered(found, left, taken)
    best: dict[str, list[ColumnProposal]] = {}
    for item in found:
        best.setdefault(item.ours, []).append(item)
    chosen, ambiguous = [], []
    for ours, items in best.items():
        lowest = min(item.rank for item in items)
        first = [item for item in items if item.rank == lowest]
        if len(first) > 1:
            ambiguous.append((ours, tuple(item.theirs for item in first)))
        else:
            chosen.append(first[0])
        for item in items:
            if item not in first or len(first) > 1:
                left[item.theirs] = (
                    f"may be {ours} too" if len(first) > 1 else f"{first[0].theirs!r} is taken for {ours}"
                )
    order = {name: place for place, name in enumerate(names)}
    return Proposals(
        tuple(sorted(chosen, key=lambda item: order[item.theirs])),
        tuple((name, left[name]) for name in names if name in left),
        tuple(ambiguous),
    )


def _final_scores(found: list[ColumnProposal], left: dict[str, str]) -> list[ColumnProposal]:
    """Baseline scores stay unmapped: final or change scores are what is compared."""
    kept = []
    for item in found:
        if re.search(r"_pre_[tc]$", item.ours):
            left[item.theirs] = "a baseline score; final or change scores are compared"
        else:
            kept.append(item)
    return kept


def _partnered(found: list[ColumnProposal], left: dict[str, str], taken: set[str]) -> list[ColumnProposal]:
    """Keep columns of one arm whose partner of the other arm is there."""
    there = {item.ours for item in found} | taken
    kept = []
    for item in found:
        stem, _, arm = item.ours.rpartition("_")
        partner = f"{stem}_{'c' if arm == 't' else 't'}"
        if arm in ("t", "c") and stem not in ("arm", "") and item.ours not in taken and partner not in there:
            left[item.theirs] = f"may be {item.ours}, but nothing is {partner}"
        else:
            kept.append(item)
    return kept
