"""Pooled results as reviews print them, one value each, and the table they are read from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import pandas as pd

from bayesmeta.errors import DataError, Fault, ModelError, pick
from bayesmeta.forensics import numbers_of, texts_of, unit_of
from bayesmeta.measures import MEASURES, measure
from bayesmeta.plan import Better
from bayesmeta.studies import address

__all__ = [
    "INTERVALS",
    "MODELS",
    "IntervalMethod",
    "PooledModel",
    "PublishedResult",
    "directed",
    "measures_of",
    "published_results",
]

IntervalMethod = Literal["normal", "t", "hksj"]
PooledModel = Literal["fixed", "random"]
#: Beyond this a square, or the square of a difference, is no number any more.
_LARGEST = 1e100
INTERVALS: tuple[IntervalMethod, ...] = ("normal", "t", "hksj")
MODELS: tuple[PooledModel, ...] = ("fixed", "random")

_NUMBERS = ("estimate", "ci_low", "ci_high", "k", "i2", "pi_low", "pi_high", "ci_level")
_DIRECTIONS = ("better", "scale_better", "called_better")
# what reviews write for our measures, the more special first
_WORDS = {
    "SMD": r"smd|hedges|cohen|glass|standardi[sz]ed",
    "RD": r"risk difference|\brd\b",
    "ROM": r"ratio of means|response ratio|\brom\b",
    "MD": r"mean difference|\bw?md\b",
    "OR": r"odds ratio|\bor\b",
    "HR": r"hazard ratio|\bhr\b",
    "RR": r"risk ratio|relative risk|\brr\b",
}


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """One pooled result, as printed.

    Parameters
    ----------
    outcome : str
        What was pooled.
    measure : str
        One of `bayesmeta.measures.MEASURES`.
    estimate, lower, upper : float or None
        As printed, on the natural scale; None where nothing is printed.
    level : float
        Of the interval and the prediction interval.
    interval : {"normal", "t", "hksj"}
        How the interval was made: estimate and normal quantile times SE; Student's t with k - 1 degrees of freedom; or
        that with the standard error of Hartung, Knapp, Sidik and Jonkman.
    p : float or None
        Two-sided p value, used where no interval is printed.
    i2 : float or None
        In percent.
    k : int or None
        Number of trials in this result.
    model : {"fixed", "random"} or None
        None where it is not stated.
    pi_lower, pi_upper : float or None
        Prediction interval, natural scale.
    better : {"higher", "lower"} or None
        Which direction of the estimate is benefit.
    review, subgroup, place : str
        Whose, which part of the outcome, and where it stands.
    unit : float or None
        Value of the last decimal printed, where known.
    notes : tuple of str
        How the row was read, and what of it was not used.
    contradiction : str
        Why the direction of benefit is not known although the table says something of it.

    Raises
    ------
    ModelError
        If a value is none of those allowed, or numbers cannot be.

    Examples
    --------
    >>> PublishedResult("pain", "SMD", -0.40, -0.62, -0.18, i2=0.0, k=7, model="fixed", better="lower").label
    'pain'
    """

    outcome: str
    measure: str
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    level: float = 0.95
    interval: IntervalMethod = "normal"
    p: float | None = None
    i2: float | None = None
    k: int | None = None
    model: PooledModel | None = None
    pi_lower: float | None = None
    pi_upper: float | None = None
    better: Better | None = None
    review: str = ""
    subgroup: str = ""
    place: str = ""
    unit: float | None = None
    notes: tuple[str, ...] = ()
    contradiction: str = ""

    def __post_init__(self) -> None:
        measure(self.measure)
        for name, value, allowed in (
            ("interval", self.interval, INTERVALS),
            ("model", self.model, (*MODELS, None)),
            ("better", self.better, ("higher", "lower", None)),
        ):
            if value not in allowed:
                listed = ", ".join(map(str, allowed))
                raise ModelError(f"{self.label}: {name} = {value!r} is none of {listed}.")
        if not 0 < self.level < 1:
            raise ModelError(f"{self.label}: level = {self.level:g} is not between 0 and 1; 0.95 is usual.")
        if self.i2 is not None and not 0 <= self.i2 < 100:
            raise ModelError(f"{self.label}: I2 = {self.i2:g} % is not between 0 and 100. Leave out what cannot be.")
        for name in ("estimate", "lower", "upper", "pi_lower", "pi_upper"):
            value = getattr(self, name)
            if value is not None and abs(value) > _LARGEST:
                raise ModelError(f"{self.label}: {name} = {value:g} is too large to compute with. Check its unit.")
        if self.k is not None and (int(self.k) != self.k or self.k < 1):
            raise ModelError(f"{self.label}: k = {self.k} is not a number of trials.")

    @property
    def label(self) -> str:
        """Outcome and subgroup."""
        return ", ".join(filter(None, (self.outcome, self.subgroup)))


def _measure_of(text: str) -> tuple[str, str]:
    """Find our measure in the words of a review, with a note where it has none of ours."""
    if text in MEASURES:
        return text, ""
    words = text.lower()
    # the logarithm of a ratio has the name of the ratio in it, and another scale
    logs = words.startswith(("log", "ln"))
    for name, pattern in _WORDS.items():
        if re.search(pattern, words) and not (logs and measure(name).log):
            return name, ""
    what = f"measure {text!r}" if text else "no measure is printed, which"
    return "generic", f"{what} is read as an effect on a scale of its own (generic), 0 being no effect"


def _direction(own: str, scale: str, called: str, printed: str) -> tuple[str, str]:
    """Direction of benefit from what the table says, with a note where that contradicts itself."""
    if own:
        return own, ""
    if scale and called and scale != called:
        return "", (
            f"the review calls {called} better, but {scale} is better on the scale: which way the trials were "
            "turned is not known"
        )
    if called or scale:
        return called or scale, ""
    return ("higher", "") if "benefit positive" in printed.lower() else ("", "")


def _faults(frame: pd.DataFrame, texts: dict[str, list[str]]) -> list[Fault]:
    attrs = {"source": "published", **frame.attrs}
    found: list[Fault] = []

    def add(i: int, column: str, what: str, remedy: str) -> None:
        found.append(Fault(address(attrs, frame.index[i], column), what, remedy))

    for column in _NUMBERS:
        if column in frame.columns:
            values = numbers_of(frame, column)
            for i, cell in enumerate(texts_of(frame, column)):
                if cell and not math.isfinite(values[i]):
                    add(i, column, f"{cell!r} is not a number", "Give a number, or leave the cell empty.")
                elif column == "k" and cell and (values[i] < 1 or values[i] != round(values[i])):
                    add(i, column, f"{cell} is not a number of trials", "Give a whole number from 1 on.")
                elif column == "ci_level" and cell and not 50 <= values[i] < 100:
                    add(i, column, f"{cell} is not a level in percent", "Give 95, or 90 or 99.")
    words = {"ci_method": ("", *INTERVALS), **dict.fromkeys(_DIRECTIONS, ("", "higher", "lower"))}
    for column, allowed in words.items():
        for i, cell in enumerate(texts[column]):
            if cell not in allowed:
                remedy = f"Give {', '.join(allowed[1:])}, or leave the cell empty."
                add(i, column, f"{cell!r} is none of those allowed", remedy)
    for i, cell in enumerate(texts["model"]):
        if cell and _model_of(cell) is None:
            add(i, "model", f"{cell!r} is not a model", "Give fixed (common, equal) or random.")
    return found


def _model_of(text: str) -> PooledModel | None:
    word = text.lower()
    if word.startswith("random"):
        return "random"
    return "fixed" if word.startswith(("fixed", "common", "equal")) else None


def published_results(frame: pd.DataFrame) -> tuple[PublishedResult, ...]:
    """Read a table of published pooled results; every row becomes one result, also one without an effect.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `bayesmeta.studies.read_table` reads it. Columns: ``outcome``; and where known ``review``, ``subgroup``,
        ``scope`` ("review" where k is that of the whole review, which is then not used), ``k``, ``measure``,
        ``estimate ci_low ci_high`` (natural scale), ``ci_level`` (percent; 95 unless stated), ``ci_method`` (``normal``
        unless stated, ``t``, ``hksj``), ``p``, ``i2`` (percent), ``model`` (fixed or random), ``pi_low pi_high``, and
        the direction of benefit: ``better``; without it ``called_better`` and ``scale_better``, which must agree.

    Returns
    -------
    tuple of PublishedResult
        In the order of the rows.

    Raises
    ------
    DataError
        With every cell that cannot be read.

    Examples
    --------
    >>> table = pd.DataFrame({"outcome": ["pain"], "measure": ["Hedges g (benefit positive)"], "estimate": [0.28]})
    >>> (found := published_results(table)[0]).measure, found.better
    ('SMD', 'higher')
    """
    if "outcome" not in frame.columns:
        raise DataError('The published results have no column "outcome". Name what was pooled in it.')
    names = ("review", "outcome", "subgroup", "scope", "measure", "model", "ci_method", *_DIRECTIONS)
    texts = {name: texts_of(frame, name) for name in names}
    if faults := _faults(frame, texts):
        raise DataError(faults)
    values = {name: numbers_of(frame, name) for name in (*_NUMBERS, "p")}
    attrs = {"source": "published", **frame.attrs}
    return tuple(
        _result(
            {name: column[i] for name, column in texts.items()},
            {name: float(column[i]) for name, column in values.items()},
            address(attrs, frame.index[i]),
        )
        for i in range(len(frame))
    )


def _result(text: dict[str, str], value: dict[str, float], place: str) -> PublishedResult:
    number = {name: x if math.isfinite(x) else None for name, x in value.items()}
    kind, note = _measure_of(text["measure"])
    better, contradiction = _direction(text["better"], text["scale_better"], text["called_better"], text["measure"])
    notes = [note]
    k = number["k"]
    if text["scope"] == "review" and k is not None:
        notes.append(f"k = {k:g} is that of the whole review: how many trials are in this result is not printed")
        k = None
    if number["estimate"] is None:
        # where there is no effect there is nothing to say of its measure and trials
        notes = []
    i2 = number["i2"]
    if i2 is not None and not 0 <= i2 < 100:
        notes.append(f"I2 of {i2:g} % cannot be, and is not used")
        i2 = None
    # an effect has up to three numbers, printed with the same decimals
    units = unit_of(np.array([value[name] for name in ("estimate", "ci_low", "ci_high")]))
    known = units[np.isfinite(units)]
    return PublishedResult(
        outcome=text["outcome"],
        measure=kind,
        estimate=number["estimate"],
        lower=number["ci_low"],
        upper=number["ci_high"],
        level=0.95 if number["ci_level"] is None else number["ci_level"] / 100,
        interval=cast(IntervalMethod, text["ci_method"] or "normal"),
        p=number["p"],
        i2=i2,
        k=None if k is None else int(k),
        model=_model_of(text["model"]),
        pi_lower=number["pi_low"],
        pi_upper=number["pi_high"],
        better=cast(Better, better) if better else None,
        review=text["review"],
        subgroup=text["subgroup"],
        place=place,
        unit=float(known.min()) if known.size else None,
        notes=tuple(filter(None, notes)),
        contradiction=contradiction,
    )


def directed(results: Sequence[PublishedResult], better: Better | Mapping[str, Better]) -> tuple[PublishedResult, ...]:
    """State the direction of benefit of results.

    Parameters
    ----------
    results : sequence of PublishedResult
    better : {"higher", "lower"} or mapping
        One direction for all results that have none of their own and do not contradict themselves; or by outcome (or
        outcome and subgroup as in `PublishedResult.label`), which decides whatever the table says.

    Returns
    -------
    tuple of PublishedResult

    Raises
    ------
    ModelError
        If there is no such outcome.

    Examples
    --------
    >>> pain, sleep = PublishedResult("pain", "SMD"), PublishedResult("sleep", "SMD", better="higher")
    >>> [item.better for item in directed([pain, sleep], "lower")]
    ['lower', 'higher']
    """
    if isinstance(better, str):
        return tuple(
            replace(item, better=better) if item.better is None and not item.contradiction else item for item in results
        )
    stated = {name.casefold(): value for name, value in better.items()}
    known = {name.casefold() for item in results for name in (item.outcome, item.label)}
    if lacking := [name for name in better if name.casefold() not in known]:
        outcomes = dict.fromkeys(item.outcome for item in results)
        raise ModelError(f"better: there is no outcome {lacking[0]!r}. {pick(lacking[0], outcomes)}")
    found = []
    for item in results:
        own = stated.get(item.label.casefold(), stated.get(item.outcome.casefold()))
        found.append(item if own is None else replace(item, better=own))
    return tuple(found)


def measures_of(results: Sequence[PublishedResult]) -> tuple[str, ...]:
    """List the measures of the results that have an effect, in the order in which they occur.

    Examples
    --------
    >>> measures_of([PublishedResult("pain", "SMD", -0.4), PublishedResult("IL-6", "MD")])
    ('SMD',)
    """
    return tuple(dict.fromkeys(item.measure for item in results if item.estimate is not None))
