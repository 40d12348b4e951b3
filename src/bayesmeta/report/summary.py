"""One row of a summary of findings: what page, Word, Markdown and CSV say of an outcome, each number written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.classical import check_name
from bayesmeta.columns import amount, percent
from bayesmeta.errors import Finding, ModelError
from bayesmeta.fits import distribution
from bayesmeta.measures import measure
from bayesmeta.plan import Judgement, Judgements, Threshold, weighted_values
from bayesmeta.priors import Uniform
from bayesmeta.questions import (
    STANDARDISED,
    NaturalAnswer,
    any_benefit_of,
    benefit_sentence,
    direction,
    finding_sentence,
    in_sentence,
    interval_texts,
    natural_answer,
    one_arm_words,
    resolve_thresholds,
    size_of,
    spoken_direction,
)
from bayesmeta.records import failed_checks

if TYPE_CHECKING:
    from bayesmeta.analysis import Analysis
    from bayesmeta.fits import Fit

__all__ = [
    "Asked",
    "Chances",
    "SummaryRow",
    "Yardstick",
    "agreement_words",
    "asked_of",
    "beyond_words",
    "chances_at",
    "natural_of",
    "said_words",
    "short_name",
    "summary_of",
    "written",
    "yardsticks_of",
]

FloatArray = NDArray[np.float64]
#: How the intervention is called where nothing is stated.
UNNAMED = "The intervention"


@dataclass(frozen=True, slots=True, eq=False)
class Yardstick:
    """A smallest important difference as weighted distances on the scale of the analysis.

    Parameters
    ----------
    name, words : str
        What it is called, and the difference as people state it: "3 points", "0.5 SD".
    benefit, worse, weights : arrays of shape (M,)
        Distances in the direction of benefit and of harm; several where the SD of an instrument is uncertain.
    source : str
    natural : bool
        Whether it is the minimal important difference of an instrument.
    """

    name: str
    words: str
    benefit: FloatArray
    worse: FloatArray
    weights: FloatArray
    source: str = ""
    natural: bool = False

    @property
    def distance(self) -> float:
        """Its mean distance of benefit."""
        return float(self.benefit @ self.weights)

    @property
    def worse_distance(self) -> float:
        """Its mean distance of harm."""
        return float(self.worse @ self.weights)


@dataclass(frozen=True, slots=True)
class Chances:
    """Probabilities for the mean effect and for the true effect in a new study."""

    name: str
    words: str
    mean: float
    new: float

    @property
    def texts(self) -> tuple[str, str]:
        """The two, in percent."""
        return percent(self.mean), percent(self.new)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked: the people, what was compared, and when the evidence was collected."""

    population: str
    setting: str
    intervention: str
    comparison: str
    outcomes: str
    searched: str

    @property
    def who(self) -> str:
        """The intervention, as a sentence begins with it."""
        return self.intervention or UNNAMED


@dataclass(frozen=True, slots=True, eq=False)
class SummaryRow:
    """One outcome in a summary of findings; every number is a text, written once.

    Parameters
    ----------
    key, label, short : str
        The outcome, and its name inside a sentence.
    trials, participants : int
    measure, measure_words, unit, better : str
    reasons : tuple of str
        Checks that failed; no number is then shown.
    sentence : str
        The finding without numbers (GRADE guidelines 26), of one arm the estimate with the probability of a value
        beyond the threshold; empty without a direction or a threshold.
    size, toward : str
        Of `bayesmeta.questions.size_of`; ``"benefit"``, ``"harm"`` or empty, as for one arm.
    effect, effect_new : (str, str, str)
        Median, lower and upper end on the natural scale of the measure, of the mean effect and in a new study.
    classical, classical_name, classical_remark : str
        The classical check beside it.
    natural : NaturalAnswer or None
        The same in points of an instrument or people per 1000.
    yardsticks : tuple of Yardstick
        What the effect is measured against, the one of the headline first.
    chances : tuple of Chances
        Of any benefit (nan for one arm), of a benefit beyond each yardstick, and of harm beyond the first.
    explained : str
        Which yardsticks the estimate reaches and which not, where that differs.
    agreement : str
        How many of the declared analyses say the same.
    judgement : Judgement
        The panel's.
    notices : tuple of (str, str)
        What must be read beside the numbers: severity and text.
    bias : str
        What an average over models of publication bias gives, where the protocol states one.
    """

    key: str
    label: str
    short: str
    trials: int
    participants: int | None
    measure: str
    measure_words: str
    unit: str
    better: str
    reasons: tuple[str, ...] = ()
    sentence: str = ""
    size: str = ""
    toward: str = ""
    effect: tuple[str, str, str] = ("", "", "")
    effect_new: tuple[str, str, str] = ("", "", "")
    classical: str = ""
    classical_name: str = ""
    classical_remark: str = ""
    natural: NaturalAnswer | None = None
    yardsticks: tuple[Yardstick, ...] = ()
    chances: tuple[Chances, ...] = ()
    explained: str = ""
    agreement: str = ""
    judgement: Judgement = field(default_factory=Judgement)
    notices: tuple[tuple[str, str], ...] = ()
    bias: str = ""
    own_result: str = ""

    @property
    def single_arm(self) -> bool:
        """Whether one arm is described, which is compared with nothing."""
        return measure(self.measure).single_arm

    @property
    def mean_words(self) -> str:
        """What the mean is called: of one arm it is no effect."""
        return "mean" if self.single_arm else "mean effect"

    @property
    def effect_words(self) -> str:
        """The mean effect with its interval."""
        return interval_words(self.effect)

    @property
    def new_words(self) -> str:
        """The true effect in a new study with its interval."""
        return interval_words(self.effect_new)


def interval_words(ends: Sequence[str]) -> str:
    """A number with its interval, from three texts."""
    return f"{ends[0]} ({ends[1]} to {ends[2]})" if ends[0] else ""


def short_name(label: str) -> str:
    """The outcome without its horizon: what stands before the first comma or bracket.

    Examples
    --------
    >>> short_name("Fatigue, up to 12 weeks"), short_name("Insulin resistance (HOMA-IR)")
    ('Fatigue', 'Insulin resistance')
    """
    return label.partition(",")[0].partition(" (")[0].strip()


def asked_of(report: Mapping[str, Any], parts: Sequence[Analysis]) -> Asked:
    """What was asked, from the protocol's ``[report]``; what it does not say is empty.

    ``outcomes`` lists the names of the outcomes, each once.
    """
    names = [short_name(part.label) for part in parts]
    told = {name: str(report.get(name, "")) for name in Asked.__slots__ if name != "outcomes"}
    first, *rest = dict.fromkeys(names)
    return Asked(outcomes=", ".join([first, *map(in_sentence, rest)]), **told)


def written(part: Analysis, values: Sequence[float]) -> tuple[str, ...]:
    """An effect and the ends of its interval on the natural scale, to the digits that the sentence has too."""
    kind = measure(part.effects.measure)
    back = np.asarray(kind.back(np.asarray(values, float)), float).tolist()
    return interval_texts(back, ratio=kind.log)


def natural_of(part: Analysis) -> NaturalAnswer | None:
    """The answer in a familiar unit, where the protocol states one that these data allow."""
    outcome = part.pooled.outcome
    decision = None if outcome is None else outcome.decision
    if decision is None or (decision.natural_unit is None and not decision.baseline_risk):
        return None
    try:
        return natural_answer(part.pooled)
    except ModelError:
        return None


def threshold_words(item: Threshold, part: Analysis) -> str:
    """A threshold as people state it, with the unit of the measure."""
    effects = part.effects
    if measure(effects.measure).single_arm:
        return one_arm_words(part.pooled, item)[0]
    stated = item.benefit
    if isinstance(stated, tuple):
        text = f"{amount(stated[0])} to {amount(stated[1])}"
    elif isinstance(stated, (int, float)):
        text = amount(float(stated))
    else:
        return item.name
    if effects.measure in STANDARDISED:
        return f"{text} SD"
    if measure(effects.measure).log:
        return f"{effects.measure} {text}"
    return f"{text} {effects.unit}" if effects.unit else text


def yardsticks_of(part: Analysis, natural: NaturalAnswer | None = None) -> tuple[Yardstick, ...]:
    """What the effect is measured against: the instrument's minimal important difference, then the stated thresholds.

    The first is that of the headline: the minimal important difference where there is one, else the primary threshold.
    """
    if part.effects.better is None:
        return ()
    found = []
    if natural is not None and natural.mid is not None:
        found.append(_in_points(part, natural))
    primary = part.primary
    stated = resolve_thresholds(part.pooled)
    for item in sorted(stated, key=lambda item: item is not primary):
        found.append(_yardstick(item, item.name, threshold_words(item, part), item.source))
    return tuple(found)


def _in_points(part: Analysis, natural: NaturalAnswer) -> Yardstick:
    """The minimal important difference over the instrument's SD; of a range the lowest, which is the smallest."""
    assert part.pooled.outcome is not None
    unit = part.pooled.outcome.decision.natural_unit
    assert unit is not None
    assert natural.mid is not None
    sd = unit.sd_amount if part.effects.measure in STANDARDISED else 1.0
    nodes = weighted_values(Uniform(*sd) if isinstance(sd, tuple) else sd, 129)[0]
    distances = natural.mid[0] / nodes.values
    source = dict(natural.sources).get("minimal important difference", "")
    words = f"{amount(natural.mid[0])} points"
    return Yardstick("minimal important difference", words, distances, distances, nodes.weights, source, natural=True)


def _yardstick(item: Threshold, name: str, words: str, source: str) -> Yardstick:
    benefit, worse = (weighted_values(side, 129)[0] for side in (item.benefit_distance, item.worse_distance))
    if benefit.values.size != worse.values.size:
        many, one = (benefit, worse) if benefit.values.size > 1 else (worse, benefit)
        spread = np.full(many.values.size, one.values[0])
        fixed = many._replace(values=spread)
        benefit, worse = (many, fixed) if many is benefit else (fixed, many)
    return Yardstick(name, words, benefit.values, worse.values, benefit.weights, source)


def chances_at(fit: Fit, item: Yardstick, *, at: Mapping[str, Any] | None = None) -> tuple[Chances, Chances]:
    """Probabilities of a benefit and of a harm beyond a yardstick."""
    sign = direction(fit)
    good, bad = [], []
    for name in ("mu", "theta_new"):
        good.append(float(item.weights @ distribution(fit, name, sign * item.benefit, at=at, upper=sign > 0)))
        bad.append(float(item.weights @ distribution(fit, name, -sign * item.worse, at=at, upper=sign < 0)))
    return Chances(item.name, item.words, *good), Chances("harm", item.words, *bad)


def any_benefit(fit: Fit, *, at: Mapping[str, Any] | None = None) -> Chances:
    """Probabilities of any benefit; nan for one arm."""
    return Chances("any benefit", "", *(any_benefit_of(fit, name, at=at) for name in ("mu", "theta_new")))


def cuts_of(yardsticks: Sequence[Yardstick], *, benefit: bool) -> list[float]:
    """Distances that divide the sizes of a finding: the instrument's own difference, else all thresholds in order."""
    own = [item for item in yardsticks if item.natural] or list(yardsticks)
    return sorted(item.distance if benefit else item.worse_distance for item in own)


def said_words(item: Yardstick) -> str:
    """A yardstick inside a sentence: its name and its size."""
    if item.natural:
        return f"{item.words} (MID)"
    return item.words if item.name in ("", item.words.partition(" ")[0]) else f"{item.name} ({item.words})"


def beyond_words(estimate: float, yardsticks: Sequence[Yardstick]) -> str:
    """Which yardsticks an estimate reaches and which not; empty where it is the same for all.

    Parameters
    ----------
    estimate : float
        In the direction of benefit, on the scale of the analysis.
    """
    sides: dict[bool, list[str]] = {True: [], False: []}
    for item in sorted(yardsticks, key=lambda item: item.distance):
        cut = item.distance if estimate >= 0 else item.worse_distance
        sides[abs(estimate) >= cut].append(said_words(item))
    if not sides[True] or not sides[False]:
        return ""
    return f"Reaches {' and '.join(sides[True])}, not {' or '.join(sides[False])}."


def agreement_words(part: Analysis, estimate: float, yardsticks: Sequence[Yardstick]) -> str:
    """How many declared analyses find an effect of the same size on the same side."""
    table: Any = part.variations
    sign = direction(part.pooled)
    rows = table[table["mu"].notna() & (table["varies"] == "pooled")].iloc[1:]

    def said(x: float) -> tuple[bool, str]:
        size = size_of(x, cuts_of(yardsticks, benefit=x >= 0)) if yardsticks else "effect"
        return (x >= 0, size)

    values = [sign * float(x) for x in rows["mu"]]
    if not values:
        return ""
    other = [str(name) for name, x in zip(rows["analysis"], values, strict=True) if said(x) != said(estimate)]
    text = f"{len(values) - len(other)} of {len(values)} declared analyses say the same"
    return text + (f"; not: {', '.join(other[:3])}{' ...' if len(other) > 3 else ''}" if other else "")


def summary_of(part: Analysis, who: str = UNNAMED, judgements: Judgements | None = None) -> SummaryRow:
    """Say what was found for one outcome.

    Parameters
    ----------
    part : Analysis
    who : str
        The intervention, as a sentence begins with it.
    judgements : Judgements, optional
        Of the panel.

    Examples
    --------
    >>> row = summary_of(bm.analyse("models/exercise_depression.toml", "depression"), "Exercise")
    >>> row.sentence, row.chances[0].texts
    ('Exercise [certainty?] reduces depression at the end of the programme.', ('>99.9 %', '92.8 %'))
    """
    effects = part.effects
    kind = measure(effects.measure)
    base: dict[str, Any] = {
        "key": part.key,
        "label": part.label,
        "short": short_name(part.label),
        "trials": effects.n_trials,
        "participants": effects.participants,
        "measure": effects.measure,
        "measure_words": kind.label,
        "unit": effects.unit or ("SD" if effects.measure in STANDARDISED else ""),
        "better": effects.better or "",
        "judgement": (judgements or Judgements()).of(part.key),
    }
    if reasons := tuple(failed_checks(part.fits)):
        return SummaryRow(**base, reasons=reasons)
    table: Any = part.summary_table
    ends = ("median", "lower", "upper")
    texts = {name: written(part, [float(table.loc[name, end]) for end in ends]) for name in ("mu", "theta_new")}
    natural = natural_of(part)
    found = base | {
        "effect": texts["mu"],
        "effect_new": texts["theta_new"],
        **_classical(part),
        "natural": natural,
        "notices": tuple((item.severity, f"{item.rule}: {item.evidence}") for item in _to_judge(part)),
        "own_result": part.own_result,
        "bias": part.publication_bias,
    }
    if effects.better is None:
        return SummaryRow(**found)
    yardsticks = yardsticks_of(part, natural)
    estimate = direction(part.pooled) * float(table.loc["mu", "median"])
    pairs = [chances_at(part.pooled, item) for item in yardsticks]
    chances = [any_benefit(part.pooled), *(good for good, _ in pairs), *(bad for _, bad in pairs[:1])]
    if not yardsticks:
        return SummaryRow(**found, chances=tuple(chances))
    if kind.single_arm:
        said = benefit_sentence(part.pooled, part.primary)
        return SummaryRow(**found, sentence=said, yardsticks=yardsticks, chances=tuple(chances))
    size = size_of(estimate, cuts_of(yardsticks, benefit=estimate >= 0))
    spoken = spoken_direction(effects.better, benefit=estimate >= 0)
    return SummaryRow(
        **found,
        sentence=finding_sentence(who, base["short"], size, spoken, base["judgement"].certainty),
        size=size,
        toward="benefit" if estimate >= 0 else "harm",
        yardsticks=yardsticks,
        chances=tuple(chances),
        explained=beyond_words(estimate, yardsticks),
        agreement=agreement_words(part, estimate, yardsticks),
    )


def _to_judge(part: Analysis) -> list[Finding]:
    """What no check of the computation can decide: notices, and findings in the rows that are more than remarks."""
    return list(dict.fromkeys((*part.notices, *(item for item in part.findings if item.severity != "info"))))


def _classical(part: Analysis) -> dict[str, str]:
    """The classical check: its name, its result and what must be said beside it."""
    name = check_name(part.effects)
    methods: Any = part.methods.set_index("method")
    if name not in methods.index or np.isnan(methods.loc[name, "estimate"]):
        return {"classical": "", "classical_name": name}
    ends = written(part, [float(methods.loc[name, column]) for column in ("estimate", "lower", "upper")])
    return {"classical": interval_words(ends), "classical_name": name, "classical_remark": part.hksj_remark}
