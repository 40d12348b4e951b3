"""What a protocol needs to know that its table does not say, as questions, and what an answer is."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesmeta.columns import plural
from bayesmeta.errors import DataError, Fault, ModelError, find_name
from bayesmeta.measures import MEASURES
from bayesmeta.priors import SCALED_MEASURES
from bayesmeta.setup.lacking import rows_text
from bayesmeta.setup.looking import Look, OutcomeRows, Seen, pooled_sd, see
from bayesmeta.setup.names import Proposals

__all__ = ["ANSWERS", "Question", "checked_answer", "column_lines", "columns_of", "next_question", "seen_with"]

#: What can be answered, with the flag of the command line that gives it.
ANSWERS: dict[str, str] = {
    "columns": "--map OURS=THEIRS",
    "outcome": "--outcome NAME",
    "comparator": "--comparator LEVEL",
    "measure": "--measure NAME",
    "better": "--better WHAT=higher|lower",
    "ref_sd": '--ref-sd "SD; SOURCE"',
    "moderators": "--moderator COLUMN",
    "threshold": '--threshold "X; SOURCE"',
    "rows": "--rows proposed|exclude",
    "mu": "--mu PRIOR",
    "tau": "--tau PRIOR",
}
#: Thresholds that have a name.
_CONVENTION = "0.5"
_YES = ("yes", "y", "ok")
#: Trials that one moderator needs (Cochrane Handbook 6.5, section 10.11.5.1).
TRIALS_PER_MODERATOR = 10


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a protocol needs to know, and that its table does not say.

    Parameters
    ----------
    key : str
        A name of `ANSWERS`.
    text : str
        The question, in one line.
    lines : tuple of str
        What someone should read before the answer.
    why : str
        Why it is asked.
    form : str
        How an answer is written.
    default : str or None
        What an empty answer means; None where there is no default.
    safe : bool
        Whether the default may be taken without anybody's confirmation.
    """

    key: str
    text: str
    lines: tuple[str, ...]
    why: str
    form: str
    default: str | None = None
    safe: bool = False

    @property
    def flag(self) -> str:
        """What to give on a command line."""
        return ANSWERS[self.key]


def parts_of(text: str, known: Iterable[str] = (), name_in: Callable[[str], str] = str) -> list[str]:
    """Split an answer at semicolons, or at commas where there is none; the name in a part may hold either.

    Parameters
    ----------
    text : str
    known : iterable of str
        Names that may be meant. The longest that fits is.
    name_in : callable
        Which stretch of a part is the name.

    Examples
    --------
    >>> parts_of("timing, dose, weekly", ["timing", "dose, weekly"])
    ['timing', 'dose, weekly']
    """
    names = {name.strip().casefold() for name in known}
    pieces = re.split("([;,])", text)
    longest = 2 * max((len(re.findall("[;,]", name)) for name in names), default=0)
    parts, start = [], 0
    while start < len(pieces):
        stop = start
        for end in range(min(start + longest, len(pieces) - 1), start - 1, -2):
            if name_in("".join(pieces[start : end + 1])).strip().casefold() in names:
                stop = end
                break
        else:
            while ";" in text and stop + 1 < len(pieces) and pieces[stop + 1] == ",":
                stop += 2
        parts.append("".join(pieces[start : stop + 1]).strip())
        start = stop + 2
    return [part for part in parts if part]


def pairs_of(text: str, what: str, known: Iterable[str]) -> dict[str, str]:
    """Read ``a=b; c=d``: with `what` "better" the names in `known` stand on the left, else on the right."""
    found = {}
    divided = str.rpartition if what == "better" else str.partition
    side = 0 if what == "better" else 2
    for part in parts_of(text, (*known, ""), lambda part: divided(part, "=")[side]):
        left, mark, right = divided(part, "=")
        if not mark:
            raise ModelError(f"{part!r} is not written as {ANSWERS[what].partition(' ')[2]}.")
        found[left.strip()] = right.strip()
    return found


def _called(text: str, names: Sequence[str]) -> str | None:
    """The name that is meant, written as it is or in other cases; None if there is none."""
    return text if text in names else next((name for name in names if name.casefold() == text.casefold()), None)


def columns_of(look: Look, answers: Mapping[str, str]) -> dict[str, str]:
    """Our columns with the table's: as proposed, and as corrected.

    Raises
    ------
    ModelError
        For a column that the table lacks.
    """
    found = {item.ours: item.theirs for item in look.proposals.columns}
    text = answers.get("columns", "yes")
    if text.casefold() in _YES:
        return found
    names = list(map(str, look.frame.columns))
    for ours, theirs in pairs_of(text, "columns", names).items():
        if not theirs:
            found.pop(ours, None)
            continue
        column = _called(theirs, names) or find_name("column", theirs, names, place=f"in {look.path.name}")
        found = {name: other for name, other in found.items() if other != column or name == ours}
        found[ours] = column
    return found


def seen_with(look: Look, answers: Mapping[str, str]) -> Seen:
    """What the table holds, given what was answered of its columns and outcomes."""
    text = answers.get("outcome", "").strip(" ;")
    columns = columns_of(look, answers)
    levels = look.frame[columns["outcome"]].dropna().astype(str).unique() if "outcome" in columns else ()
    chosen = tuple(parts_of(text, levels)) if len(levels) > 1 else ()
    return _seen(look, tuple(columns.items()), None if chosen else text or None, chosen, answers.get("comparator"))


@functools.lru_cache(maxsize=8)
def _seen(
    look: Look,
    columns: tuple[tuple[str, str], ...],
    label: str | None,
    chosen: tuple[str, ...],
    comparator: str | None,
) -> Seen:
    # every question looks at the same table
    return see(look, dict(columns), label, chosen, comparator)


# -- the questions -----------------------------------------------------------------------------------------------------


def next_question(look: Look, answers: Mapping[str, str]) -> Question | None:
    """Return the first question that is open, or None where a protocol can be written.

    Parameters
    ----------
    look : Look
    answers : mapping of str to str
        What was answered, by the names of `ANSWERS`.

    Examples
    --------
    >>> from bayesmeta.setup import look_at
    >>> look = look_at("data/hiit_trials.csv")
    >>> next_question(look, {}).key
    'columns'
    """
    if "columns" not in answers:
        return _columns(look)
    seen = seen_with(look, answers)
    for ask in (_comparator, _measure, _better, _reference, _moderators, _threshold, _rows):
        question = ask(seen, answers)
        if question is not None and question.key not in answers:
            return question
    return None


def column_lines(found: Proposals) -> tuple[str, ...]:
    """Show what each column seems to be, and why the others are left.

    Examples
    --------
    >>> from bayesmeta.setup import propose_columns
    >>> column_lines(propose_columns(["Trial", "City"]))
    ('study = Trial', '?       City: not read; it may be a moderator')
    """
    width = max((len(item.ours) for item in found.columns), default=0)
    shown = [f"{item.ours:<{width}} = {item.theirs}" for item in found.columns]
    return (*shown, *(f"{'?':<{width}}   {theirs}: {why}" for theirs, why in found.left))


def _columns(look: Look) -> Question:
    found = look.proposals
    whole = not found.ambiguous and any(item.ours == "study" for item in found.columns)
    return Question(
        "columns",
        "Are these columns right?",
        column_lines(found),
        "a protocol says which column holds what; those with ? are not read, but may be moderators",
        "yes, or corrections: n_t=N exercise; note=  (nothing behind = takes it out)",
        "yes" if whole else None,
        whole,
    )


def _comparator(seen: Seen, answers: Mapping[str, str]) -> Question | None:
    if not seen.comparators:
        return None
    counts = seen.frame["arm_c"].astype("str").value_counts()
    empty = int(seen.frame["arm_c"].isna().sum())
    return Question(
        "comparator",
        "Compared with what?",
        (
            *(f"{name}: {plural(int(counts[name]), 'row')}" for name in seen.comparators),
            *((f"not stated: {plural(empty, 'row')}",) if empty else ()),
        ),
        "rows with different comparators answer different questions",
        "one of these, or all",
    )


def _measure(seen: Seen, answers: Mapping[str, str]) -> Question | None:
    if len(seen.measures) == 1:
        return None
    if not seen.measures:
        columns = ", ".join(map(str, seen.frame.columns))
        raise DataError(
            [Fault("the table", "its columns make no effect", f"Say which they are with --map. Columns: {columns}.")]
        )
    known = len(seen.measures) < len(MEASURES)
    return Question(
        "measure",
        "Which effect measure?",
        tuple(f"{name}: {MEASURES[name].label}" for name in seen.measures) if known else (),
        "the columns could make each of these" if known else "nothing says what the estimates are of",
        f"one of {', '.join(seen.measures)}",
        seen.measures[0] if known else None,
        known,
    )


def measure_of(seen: Seen, answers: Mapping[str, str]) -> str:
    """The effect measure: as answered, or the only one that the columns make."""
    return answers.get("measure") or seen.measures[0]


def _proposed_directions(seen: Seen) -> dict[str, tuple[str | None, str]]:
    """What a direction is asked of, each with what is proposed and why."""
    found: dict[str, tuple[str | None, str]] = {}
    if seen.coded == "coded_better":
        for group in seen.outcomes:
            ways = coded_ways(seen, group)
            counts = f"{ways.count('higher')} rows are coded so that higher is better, {ways.count('lower')} lower"
            found[group.name] = (max(("higher", "lower"), key=ways.count) if ways else None, counts)
        return found
    if seen.coded == "instrument":
        used = {name for group in seen.outcomes for name in group.scales}
        found = {group.name: (None, "no row names an instrument") for group in seen.outcomes if not group.scales}
        return found | {item.name: (item.better, item.reason) for item in seen.scales if item.name in used}
    return {group.name: (None, "nothing says which") for group in seen.outcomes}


_WAYS = {
    "higher": ("higher", "increase", "up", "high", "positive", "more"),
    "lower": ("lower", "decrease", "down", "low", "negative", "less"),
}


def translated(seen: Seen) -> dict[str, str]:
    """The table's words for directions, with ours.

    Raises
    ------
    ModelError
        For a word that is no direction.
    """
    words = [str(word) for word in seen.frame["coded_better"].dropna().unique()]
    ours = {word: next((way for way, known in _WAYS.items() if word.casefold() in known), "") for word in words}
    if unknown := [word for word, way in ours.items() if not way]:
        column = seen.columns.get("coded_better", "coded_better")
        raise ModelError(
            f"{unknown[0]!r} in the column {column!r} is no known direction. Write higher or lower there, or take the "
            "column out: --map coded_better="
        )
    return ours


def coded_ways(seen: Seen, group: OutcomeRows) -> list[str]:
    """Which direction each row of an outcome, at all its horizons, is coded in."""
    rows = seen.frame.loc[list(group.rows)]
    if "outcome" in group.where:
        rows = seen.frame[(seen.frame["outcome"] == group.where["outcome"]).to_numpy(dtype=bool)]
    words = translated(seen)
    return [words[str(word)] for word in rows["coded_better"].dropna()]


def _better(seen: Seen, answers: Mapping[str, str]) -> Question | None:
    asked = _proposed_directions(seen)
    if seen.coded == "coded_better":
        mixed = {group.name for group in seen.outcomes if len(set(coded_ways(seen, group))) != 1}
        asked = {name: item for name, item in asked.items() if name in mixed}
    if not asked:
        return None
    known = all(way for way, _ in asked.values())
    form = "; ".join(f"{name}={way or 'higher|lower'}" for name, (way, _) in asked.items())
    form = "higher|lower" if len(asked) == 1 and not known else form
    return Question(
        "better",
        "Which scores are better?",
        tuple(f"{name}: {way or '?'} ({why})" for name, (way, why) in asked.items()),
        "a wrong direction turns benefit into harm, so it is never taken without you",
        form if known or len(asked) == 1 else f"{form} (or one word for all)",
        form if known else None,
    )


def directions_of(seen: Seen, answers: Mapping[str, str]) -> dict[str, str]:
    """Direction of every scale or outcome that was asked about.

    Raises
    ------
    ModelError
        If one is missing, not asked about, or no direction.
    """
    asked = _proposed_directions(seen)
    text = answers.get("better", "").strip(" ;")
    if text.casefold() in ("higher", "lower"):
        return dict.fromkeys(asked, text.casefold())
    given = dict.fromkeys(asked, "")
    if seen.coded == "coded_better":
        # what the rows agree on needs no statement
        mixed = {group.name for group in seen.outcomes if len(set(coded_ways(seen, group))) != 1}
        given = {name: "" if name in mixed else way or "" for name, (way, _) in asked.items()}
    if text.casefold() in _YES:
        given = {name: way or "" for name, (way, _) in asked.items()}
    else:
        for name, way in pairs_of(text, "better", asked).items():
            known = _called(name, list(asked)) or find_name("scale or outcome", name, list(asked))
            given[known] = find_name("direction", way.casefold(), ("higher", "lower"))
    if missing := [name for name, way in given.items() if not way]:
        flags = " ".join(f'--better "{name}=higher|lower"' for name in missing)
        raise ModelError(f"the direction of {', '.join(missing)} is not stated. Give {flags}.")
    return given


def _reference(seen: Seen, answers: Mapping[str, str]) -> Question | None:
    measure = measure_of(seen, answers)
    if measure not in SCALED_MEASURES or {"mu", "tau"} <= set(answers):
        return None
    return Question(
        "ref_sd",
        "Standard deviation of the outcome between people, and where it comes from?",
        (),
        f"the scale of the priors of {measure}; it must come from outside these data",
        "a number; its source: 10.5; Cella 2002",
    )


def _moderators(seen: Seen, answers: Mapping[str, str]) -> Question | None:
    if not seen.moderators:
        return None
    trials = seen.frame["study"].nunique()
    lines = []
    for name in seen.moderators:
        column = seen.frame[name]
        empty = int(column.isna().sum())
        lack = f"; {plural(empty, 'cell')} empty" if empty else ""
        if column.dtype.kind == "f":
            lines.append(f"{name}: {column.min():g} to {column.max():g}{lack}")
        else:
            lines.append(f"{name}: {', '.join(map(str, column.dropna().unique()))}{lack}")
    return Question(
        "moderators",
        "On what may the effect depend?",
        tuple(lines),
        f"about {TRIALS_PER_MODERATOR} trials are needed for each (Cochrane Handbook 10.11.5.1); "
        f"there are {plural(trials, 'trial')}",
        "names of columns; or none",
        "none",
        True,
    )


def mid_of(seen: Seen, scales: Sequence[str], measure: str) -> tuple[Any, tuple[float, float, str] | None] | None:
    """The instrument whose minimal important difference is offered, with its pooled SD where the measure needs one."""
    for name in scales:
        listed = seen.scale(name).listed
        if listed is None or measure not in ("SMD", "SMDH", "MD"):
            continue
        if measure == "MD":
            return listed, None
        if (pooled := pooled_sd(seen, name)) is not None:
            return listed, pooled
    return None


def _threshold(seen: Seen, answers: Mapping[str, str]) -> Question | None:
    measure = measure_of(seen, answers)
    lines = []
    offered = [found for group in seen.outcomes if (found := mid_of(seen, group.scales, measure)) is not None]
    for listed, _ in {id(item[0]): item for item in offered}.values():
        points = f"{listed.points:g}" if isinstance(listed.points, float) else "{:g} to {:g}".format(*listed.points)
        lines.append(f"mid: {points} points of {listed.instrument} ({listed.citation}, {listed.kind})")
    standardised = measure in ("SMD", "SMDH")
    if standardised:
        lines.append(f"{_CONVENTION}: half a standard deviation (Norman 2003), a convention")
    ratio = MEASURES[measure].log
    return Question(
        "threshold",
        "Which difference is important?",
        tuple(lines),
        "the report gives the probability of a benefit at least as large",
        ("mid, " if lines and offered else "")
        + (f"{_CONVENTION}, " if standardised else "")
        + ("a ratio" if ratio else "a number")
        + " with its source (0.3; panel 2025), or none",
        "mid" if offered else _CONVENTION if standardised else "none",
        True,
    )


def _rows(seen: Seen, answers: Mapping[str, str]) -> Question | None:
    if not seen.lacking:
        return None
    return Question(
        "rows",
        "Is this how rows with a remark or a gap are treated?",
        tuple(rows_text(item) for item in seen.lacking),
        "each is written into the protocol with its reason; change scores stay, and an analysis without them is added",
        "proposed, or exclude (leave out every row that needs an assumption)",
        "proposed",
    )


# -- answers -----------------------------------------------------------------------------------------------------------


def numbered(text: str, what: str) -> tuple[float, str]:
    """Read ``0.3; source``.

    Raises
    ------
    ModelError
        If it is no positive number, or has no source.
    """
    value, mark, source = (part.strip() for part in text.partition(";"))
    try:
        amount = float(value.replace(",", "."))
    except ValueError:
        raise ModelError(f"{what} {value!r} is not a number.") from None
    if not amount > 0 or amount == float("inf"):
        raise ModelError(f"{what} {value} is not > 0.")
    if not mark or not source:
        raise ModelError(f'{what} {value} has no source. Write it behind a semicolon: "{value}; SOURCE".')
    return amount, source


def checked_answer(look: Look, question: Question, text: str, answers: Mapping[str, str]) -> str:
    """Return an answer in its plain form.

    Parameters
    ----------
    look : Look
    question : Question
    text : str
        As someone wrote it; empty for the default.
    answers : mapping of str to str
        What was answered before.

    Raises
    ------
    ModelError
        If it is no answer to the question; the message says what is.
    """
    text = text.strip() or (question.default or "")
    if not text:
        raise ModelError(f"{question.text} It has no default. Answer with {question.form}.")
    if question.key == "columns":
        columns_of(look, {"columns": text})
        return text
    seen = seen_with(look, answers)
    if question.key == "better":
        return "; ".join(f"{name}={way}" for name, way in directions_of(seen, {**answers, "better": text}).items())
    if question.key == "moderators":
        if text.casefold() == "none":
            return "none"
        columns = list(map(str, seen.frame.columns))
        names = [_called(x, columns) or find_name("column", x, seen.moderators) for x in parts_of(text, columns)]
        return "; ".join(names)
    if question.key == "ref_sd":
        numbered(text, "the standard deviation")
    elif question.key == "threshold":
        if text.casefold() in ("mid", "none", _CONVENTION):
            word = text.casefold()
            if word == "mid" and question.default != "mid":
                raise ModelError("the registry has no difference of these instruments. Give a number and its source.")
            if word != _CONVENTION or measure_of(seen, answers) in ("SMD", "SMDH"):
                return word
        numbered(text, "the threshold")
    else:
        allowed: dict[str, Sequence[str]] = {
            "measure": seen.possible,
            "comparator": (*seen.comparators, "all"),
            "rows": ("proposed", "exclude"),
        }
        return str(find_name(question.key, "proposed" if text.casefold() in _YES else text, allowed[question.key]))
    return text
