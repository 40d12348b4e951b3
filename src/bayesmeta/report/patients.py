"""The page for patients: what was found, in short sentences without a word of statistics.

It follows the Guidance for writing a Cochrane plain language summary (Handbook, supplementary material III-S2): people
or points with what a point means, how sure, and what is not known. The words for probabilities stand for the
ranges of the IPCC's guidance note on uncertainties (Mastrandrea et al. 2010, table 1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bayesmeta.columns import with_minus
from bayesmeta.questions import STANDARDISED, NaturalAnswer, in_sentence, spoken_direction
from bayesmeta.report.summary import Asked, SummaryRow

__all__ = ["PatientAnswer", "PatientGroup", "patient_groups", "patients_page"]

#: Probability from which a word holds (Mastrandrea et al. 2010, table 1).
_LIKELY = (
    (0.99, "almost certain"),
    (0.9, "very likely"),
    (0.66, "likely"),
    (0.33, "about as likely as not"),
    (0.1, "unlikely"),
    (0.01, "very unlikely"),
    (0.0, "almost ruled out"),
)
_PAST = {"reduce": "reduced", "increase": "increased", "improve": "improved"}
_STRENGTH = {"slight": " a little", "effect": "", "large": " a lot"}
#: By the panel's certainty: the words of Cochrane's plain-language summaries.
_SURE = {
    "high": "The panel is confident in this.",
    "moderate": "The panel is fairly confident in this.",
    "low": "The panel has little confidence in this.",
}
#: Below so many trials a result rests on few.
FEW = 5
#: Chance of any benefit between which it is not known whether there is one.
_OPEN = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class PatientAnswer:
    """One outcome at one time: when, and a few sentences."""

    when: str
    text: str


@dataclass(frozen=True, slots=True)
class PatientGroup:
    """One outcome at all its times: its name, what its numbers mean, and the answers."""

    name: str
    about: str
    answers: tuple[PatientAnswer, ...]


def chance_words(p: float) -> str:
    """A probability as a word and as a count of a hundred.

    Examples
    --------
    >>> chance_words(0.999), chance_words(0.42)
    ('almost certain (more than 99 in 100)', 'about as likely as not (42 in 100)')
    """
    word = next(word for least, word in _LIKELY if p >= least)
    count = "more than 99" if p > 0.99 else "less than 1" if p < 0.01 else f"{100 * p:.0f}"
    return f"{word} ({count} in 100)"


def finding_words(row: SummaryRow, who: str) -> str:
    """What was found, as the panel's certainty allows; of the studies alone where the panel has not judged.

    Examples
    --------
    >>> import dataclasses
    >>> from bayesmeta.plan import Judgement
    >>> from bayesmeta.report import summary_of
    >>> row = summary_of(bm.analyse("models/exercise_depression.toml", "depression"), "Exercise")
    >>> finding_words(row, "Exercise")
    'In these studies, exercise reduced depression at the end of the programme.'
    >>> finding_words(dataclasses.replace(row, judgement=Judgement("low")), "Exercise")
    'Exercise may reduce depression at the end of the programme.'
    """
    certainty, what = row.judgement.certainty, in_sentence(row.short)
    if certainty == "very low":
        return f"We do not know what {in_sentence(who)} does to {what}. The panel is very unsure of the results."
    if not row.size:
        return ""
    spoken = spoken_direction(row.better, benefit=row.toward == "benefit")
    if row.size == "little":
        third, bare, past = (f"{verb} little or no difference to {what}" for verb in ("makes", "make", "made"))
    else:
        third, bare, past = (
            f"{verb} {what}{_STRENGTH[row.size]}" for verb in (spoken["verbs"], spoken["verb"], _PAST[spoken["verb"]])
        )
    if certainty is None:
        return f"In these studies, {in_sentence(who)} {past}."
    return {
        "high": f"{who} {third}.",
        "moderate": f"{who} probably {third}.",
        "low": f"{who} may {bare}.",
    }[certainty]


def _number_words(row: SummaryRow, who: str) -> str:
    """The difference in points or in people with its range, without a full stop."""
    natural = row.natural
    if natural is None:
        return ""
    said, _, inner = natural.mean.words.partition(" (")
    inner = inner.rstrip(")")
    if natural.kind == "points":
        return f"People scored {said} (likely range: {inner})"
    people = f"{natural.per:g} people"
    change = f"That is {said.replace(f' per {natural.per:g}', '')} in {people} (likely range: {inner})"
    if not natural.without_words:
        return change.replace("That is", "It happens to")
    without, with_it = (text.partition(" per ")[0] for text in (natural.without_words, natural.mean.with_words))
    return f"It happens to about {without} in {people} without {who}, and to about {with_it} with it. {change}"


def _when(row: SummaryRow) -> str:
    """What the label says beyond the name of the outcome and what stands in brackets behind it."""
    rest = re.sub(r"^\s*\([^()]*\)", "", row.label.removeprefix(row.short)).strip(" ,")
    return rest[:1].upper() + rest[1:]


def _answer(row: SummaryRow, who: str) -> PatientAnswer:
    if row.reasons:
        return PatientAnswer(_when(row), "This result could not be worked out.")
    if row.single_arm:
        return PatientAnswer(_when(row), "These studies followed one group. They do not say what made a difference.")
    texts, name = [finding_words(row, who)], in_sentence(who)
    if row.judgement.certainty != "very low":
        numbers = _number_words(row, name)
        if row.chances:
            chance = f"it is {chance_words(row.chances[0].mean)} that {name} helps at all"
            numbers = f"{numbers}, and {chance}" if numbers else f"Going by these studies, {chance}"
        texts += [f"{numbers}." if numbers else "", _SURE.get(row.judgement.certainty or "", "")]
    return PatientAnswer(_when(row), " ".join(filter(None, texts)))


def _about(natural: NaturalAnswer | None, measure: str) -> str:
    """What the numbers are, and what a point means."""
    if natural is None or natural.kind == "risk":
        return ""
    texts = []
    if measure in STANDARDISED:
        scale = "" if natural.scale is None else f" It runs from {natural.scale[0]:g} to {natural.scale[1]:g} points."
        texts.append(
            f"The studies used more than one set of questions. The results are shown in points of one of them, "
            f"{natural.unit}.{scale}"
        )
    else:
        texts.append(f"The results are shown in {natural.unit}.")
    if natural.mid_words:
        lead = (
            "A change that people notice is about"
            if natural.mid_kind == "anchor"
            else "A change that may matter is about"
        )
        texts.append(f"{lead} {natural.mid_words}.")
    return " ".join(texts)


def patient_groups(rows: Sequence[SummaryRow], who: str) -> tuple[PatientGroup, ...]:
    """Outcomes with their times, in sentences.

    Parameters
    ----------
    rows : sequence of SummaryRow
    who : str
        The intervention, as a sentence begins with it.
    """
    groups: dict[str, list[SummaryRow]] = {}
    for row in rows:
        groups.setdefault(row.short, []).append(row)
    return tuple(
        PatientGroup(name, _about(some[0].natural, some[0].measure), tuple(_answer(row, who) for row in some))
        for name, some in groups.items()
    )


def _lead(asked: Asked) -> str:
    """What this is about, in one paragraph."""
    who = in_sentence(asked.who)
    against = f" with {in_sentence(asked.comparison)}" if asked.comparison else ""
    people = f" The studies were of {in_sentence(asked.population)}." if asked.population else ""
    return (
        f"Does {who} help, and how much? To find out, we put together the results of studies that compared "
        f"{who}{against}.{people} The numbers below are averages. Some people do better than the average, and some "
        "do worse. No study is perfect, so we say how sure we can be, and what we do not know."
    )


def _unknown(rows: Sequence[SummaryRow], who: str) -> list[str]:
    """What is not known, in a sentence each."""
    shown = [row for row in rows if not row.reasons]

    def names(some: Sequence[SummaryRow]) -> str:
        if len(some) == len(rows) > 1:
            return "all of the results on this page"
        found: dict[str, list[str]] = {}
        for row in some:
            found.setdefault(row.short, []).append(in_sentence(_when(row)))
        counts = {name: sum(row.short == name for row in rows) for name in found}
        return "; ".join(
            in_sentence(name) + (f" ({', '.join(times)})" if any(times) and len(times) < counts[name] else "")
            for name, times in found.items()
        )

    low, high = _OPEN
    judged = [row for row in shown if row.judgement.certainty is not None]
    shown = [row for row in shown if not row.single_arm]
    open_mean = [row for row in shown if row.chances and low < row.chances[0].mean < high]
    open_new = [row for row in shown if row.chances and low < row.chances[0].new < high]
    few = [row for row in shown if row.trials < FEW]
    name = in_sentence(who)
    found = []
    if len(judged) < len(shown):
        left = [row for row in shown if row not in judged]
        found.append(f"The panel has not said yet how sure it is of: {names(left)}.")
    if open_mean:
        found.append(f"We cannot tell for sure if {name} helps at all with: {names(open_mean)}.")
    if few:
        found.append(f"There are fewer than five studies of: {names(few)}.")
    if open_new:
        found.append(f"Studies differ. In a new group of people, {name} might not help with: {names(open_new)}.")
    found.append(
        "The chances count only the studies that were found. They do not count weak points in how the studies "
        "were done, or studies that were never published."
    )
    return found


def patients_page(title: str, asked: Asked, rows: Sequence[SummaryRow]) -> str:
    """Write the page for patients.

    Parameters
    ----------
    title : str
    asked : Asked
    rows : sequence of SummaryRow

    Returns
    -------
    str
        One HTML file that needs nothing else, without a script.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("bayesmeta.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = environment.get_template("patients.html").render(
        title=title,
        who=in_sentence(asked.who),
        lead=_lead(asked),
        groups=patient_groups(rows, asked.who),
        unknown=_unknown(rows, asked.who),
    )
    return with_minus(made)
