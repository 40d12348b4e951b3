"""Published results and their list of trials, as rules see them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayesmeta.errors import DataError
from bayesmeta.forensics.rules import FloatArray, numbers_of, texts_of
from bayesmeta.studies import address

__all__ = ["Literature", "Result", "Trial", "literature_of"]

_LIST = re.compile(r"[;,/\s]+")
_TEXTS = (
    "review",
    "outcome",
    "subgroup",
    "scope",
    "measure",
    "model",
    "p",
    "studies_cited",
    "studies_named",
    "outcome_code",
    "instrument",
    "scale_better",
    "called_better",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial as a review lists it.

    Parameters
    ----------
    study, ref : str
        Its name and number.
    n_t : tuple of float
        Participants of each treated arm.
    n_c : float
        Participants of the control arm.
    roles : tuple of str
        For each treated arm ``"treatment"``, or anything else for an arm that is not the treatment under review.
    codes : str
        Codes of the outcomes that the list gives it; empty where the list gives none.
    randomised, analysed : float
        What the trial's own report says, nan where it is not known.
    place : str
        Where it stands.

    Examples
    --------
    >>> Trial("Simsek", "29", (30.0, 30.0), 30.0, ("treatment", "other"), "", math.nan, math.nan, "row 2").total
    90.0
    """

    study: str
    ref: str
    n_t: tuple[float, ...]
    n_c: float
    roles: tuple[str, ...]
    codes: str
    randomised: float
    analysed: float
    place: str

    @property
    def total(self) -> float:
        """Participants of all arms."""
        return sum(self.n_t) + self.n_c

    def information(self, *, control_twice: bool = False) -> float:
        """Return 1/variance of an SMD of 0: all treated arms as one, or each against the whole control arm."""
        arms = self.n_t if control_twice else (sum(self.n_t),)
        return sum(n * self.n_c / (n + self.n_c) for n in arms)


@dataclass(frozen=True, slots=True)
class Result:
    """A pooled result as printed.

    Parameters
    ----------
    review, outcome, subgroup : str
        Whose and what.
    whole : bool
        Whether ``k`` and ``n`` are those of the whole review.
    k, n, estimate, low, high, i2 : float
        nan where nothing is printed.
    measure, model, p : str
        As printed.
    cited, named : tuple of str
        Numbers and names of the trials in it.
    code, instrument, scale_better, called_better : str
        Code of the outcome in the list of trials; its scale, the direction of benefit on it, and the direction that
        the review calls benefit. Empty where unknown.
    unit : float
        Value of the last decimal of estimate and interval.
    place : str
        Where it stands.

    Examples
    --------
    >>> literature_of(pd.DataFrame({"outcome": ["pain"], "estimate": [-0.4], "ci_low": [-0.62]})).results[0].label
    'pain'
    """

    review: str
    outcome: str
    subgroup: str
    whole: bool
    k: float
    n: float
    estimate: float
    low: float
    high: float
    i2: float
    measure: str
    model: str
    p: str
    cited: tuple[str, ...]
    named: tuple[str, ...]
    code: str
    instrument: str
    scale_better: str
    called_better: str
    unit: float
    place: str

    @property
    def label(self) -> str:
        """Outcome and subgroup."""
        return ", ".join(filter(None, (self.outcome, self.subgroup)))

    @property
    def has_interval(self) -> bool:
        """Whether an estimate stands inside an interval."""
        return self.low < self.high and self.low <= self.estimate <= self.high

    @property
    def standardised(self) -> bool:
        """Whether the measure is a standardised difference."""
        return "smd" in self.measure.lower() or "hedges" in self.measure.lower() or "cohen" in self.measure.lower()

    @property
    def ratio(self) -> bool:
        """Whether the measure is a ratio."""
        return self.measure.upper().split(" ")[0] in ("OR", "RR", "HR", "ROM", "IRR")

    def errors(self) -> tuple[float, float]:
        """Return the least and the largest standard error that the printed interval allows (normal, 95 %)."""
        half = (self.high - self.low) / 2
        return max(half - self.unit / 2, 0.0) / 1.959963984540054, (half + self.unit / 2) / 1.959963984540054


@dataclass(frozen=True, slots=True)
class Literature:
    """Published results and the trials they rest on.

    Examples
    --------
    >>> literature_of(pd.DataFrame({"outcome": ["pain"]})).trials
    ()
    """

    results: tuple[Result, ...]
    trials: tuple[Trial, ...] = ()
    by_ref: dict[str, Trial] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_ref", {trial.ref: trial for trial in self.trials})

    def trials_of(self, result: Result) -> tuple[Trial, ...] | None:
        """Return the trials in a result, None unless all are in the list with their sizes."""
        found = [self.find(ref, name) for ref, name in named_pairs(result)]
        if not found or any(trial is None or not math.isfinite(trial.total) or trial.n_c <= 0 for trial in found):
            return None
        return tuple(trial for trial in found if trial is not None)

    def find(self, ref: str, name: str) -> Trial | None:
        """Return a trial by its number, or else by its name."""
        if ref in self.by_ref:
            return self.by_ref[ref]
        return next((trial for trial in self.trials if same_name(trial.study, name)), None)


def same_name(listed: str, named: str) -> bool:
    """Whether two names begin with the same word."""
    one, two = (re.split(r"[\s,.(]+", text.strip().casefold())[0] for text in (listed, named))
    return bool(one) and one == two


def named_pairs(result: Result) -> list[tuple[str, str]]:
    """Return the numbers of a result's trials with their names; names are empty where the lists differ in length."""
    names = result.named if len(result.named) == len(result.cited) else ("",) * len(result.cited)
    return list(zip(result.cited, names, strict=True))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(filter(None, _LIST.split(text)))


def _sizes(text: str, place: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _parts(text)) or (math.nan,)
    except ValueError as error:
        message = f"{place}: {text!r} is not a size. Give a number, several between semicolons, or leave it empty."
        raise DataError(message) from error


def _roles(text: str, arms: int, place: str) -> tuple[str, ...]:
    roles = tuple(part.strip() for part in text.split(";") if part.strip()) or ("treatment",) * arms
    if len(roles) != arms:
        raise DataError(f"{place}: roles_t names {len(roles)} arms, n_t has {arms}. Give one role per treated arm.")
    return roles


def _places(frame: pd.DataFrame, default: str) -> list[str]:
    attrs = {"source": default, **frame.attrs}
    return [address(attrs, row) for row in frame.index]


def _column(frame: pd.DataFrame, *names: str) -> FloatArray:
    return next((numbers_of(frame, name) for name in names if name in frame.columns), np.full(len(frame), np.nan))


def _decimals(values: FloatArray) -> float:
    shown = [np.format_float_positional(abs(v), trim="-").partition(".")[2] for v in values if np.isfinite(v)]
    return 10.0 ** -max(map(len, shown), default=0)


def _results(frame: pd.DataFrame) -> tuple[Result, ...]:
    columns = {
        "estimate": _column(frame, "estimate"),
        "low": _column(frame, "ci_low"),
        "high": _column(frame, "ci_high"),
        "k": _column(frame, "k"),
        "n": _column(frame, "n"),
        "i2": _column(frame, "i2", "I2"),
    }
    text = {name: texts_of(frame, name) for name in _TEXTS}
    found = []
    for i, place in enumerate(_places(frame, "published")):
        numbers = {name: float(values[i]) for name, values in columns.items()}
        label = ", ".join(filter(None, (text["outcome"][i], text["subgroup"][i])))
        found.append(
            Result(
                review=text["review"][i],
                outcome=text["outcome"][i],
                subgroup=text["subgroup"][i],
                whole=text["scope"][i] == "review",
                **numbers,
                measure=text["measure"][i],
                model=text["model"][i].lower(),
                p=text["p"][i],
                cited=_parts(text["studies_cited"][i]),
                named=tuple(filter(None, (name.strip() for name in text["studies_named"][i].split(";")))),
                code=text["outcome_code"][i],
                instrument=text["instrument"][i],
                scale_better=text["scale_better"][i],
                called_better=text["called_better"][i],
                unit=_decimals(np.array([numbers[name] for name in ("estimate", "low", "high")])),
                place=f"{place} ({label})",
            )
        )
    return tuple(found)


def _trials(frame: pd.DataFrame) -> tuple[Trial, ...]:
    text = {name: texts_of(frame, name) for name in ("study", "ref", "n_t", "n_c", "roles_t", "outcome_codes")}
    randomised, analysed = numbers_of(frame, "n_randomised"), numbers_of(frame, "n_analysed")
    found = []
    for i, place in enumerate(_places(frame, "trials")):
        study = text["study"][i]
        where = f"{place} ({study})"
        arms = _sizes(text["n_t"][i], where)
        found.append(
            Trial(
                study,
                text["ref"][i],
                arms,
                _sizes(text["n_c"][i], where)[0],
                _roles(text["roles_t"][i], len(arms), where),
                text["outcome_codes"][i],
                float(randomised[i]),
                float(analysed[i]),
                where,
            )
        )
    return tuple(found)


def literature_of(published: pd.DataFrame, trials: pd.DataFrame | None = None) -> Literature:
    """Read tables of published results and trials.

    Parameters
    ----------
    published : pandas.DataFrame
        One row per result; see `bayesmeta.forensics.audit` for the columns.
    trials : pandas.DataFrame, optional
        One row per trial of the review's list.

    Returns
    -------
    Literature

    Raises
    ------
    DataError
        If a column that names the rows is not there, two trials have one number, or a size is not a number.

    Examples
    --------
    >>> table = pd.DataFrame({"outcome": ["pain"], "studies_cited": ["14 21"], "k": [2]})
    >>> literature_of(table).results[0].cited
    ('14', '21')
    """
    if "outcome" not in published.columns:
        raise DataError('The published results have no column "outcome". Name what was pooled in it.')
    if trials is None:
        return Literature(_results(published))
    if lacking := [name for name in ("study", "ref", "n_t", "n_c") if name not in trials.columns]:
        raise DataError(f"The list of trials has no column {lacking[0]!r}. It needs study, ref, n_t and n_c.")
    listed = _trials(trials)
    refs = [trial.ref for trial in listed]
    if twice := sorted({ref for ref in refs if refs.count(ref) > 1}):
        raise DataError(f"The list of trials has several rows with ref {twice[0]!r}. Give one row per trial.")
    return Literature(_results(published), listed)
