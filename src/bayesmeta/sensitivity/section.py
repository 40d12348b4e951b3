"""What a sensitivity analysis of one fit is: its question, how it is made, how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bayesmeta.columns import Column
from bayesmeta.errors import find_name
from bayesmeta.fits import LEVEL, main_quantiles
from bayesmeta.questions import resolve_threshold

if TYPE_CHECKING:
    import pandas as pd

    from bayesmeta.classical import ClassicalFit
    from bayesmeta.effects import Effects
    from bayesmeta.fits import Fit
    from bayesmeta.plan import BiasPlan, Threshold

__all__ = ["Computed", "Fold", "Section", "SectionOptions", "answers_of", "notes_of", "trial_order"]

_NONE: Mapping[str, Any] = MappingProxyType({})
Recompute = Callable[[Mapping[str, Any]], "Effects"]


@dataclass(frozen=True, slots=True)
class SectionOptions:
    """Options of sections; `sensitivity_analyses` explains each."""

    threshold: Threshold | float | None = None
    recompute: Recompute | None = None
    options: Mapping[str, Any] = _NONE
    order: Sequence[str] | None = None
    cut: float = 0.8
    ref_sd: float | None = None
    level: float = LEVEL
    declared: Mapping[str, Fit] = _NONE
    priors_only: Sequence[str] = ()
    moderated: Fit | None = None
    risk_of_bias: pd.DataFrame | None = None
    alternative: Literal["auto", "greater", "less", "two-sided"] | None = None
    bias: BiasPlan | None = None

    def threshold_of(self, fit: Fit) -> Threshold | None:
        """The threshold given, else the primary one of the fit's outcome."""
        return resolve_threshold(fit, self.threshold)


def trial_order(effects: Effects, by: str) -> list[str]:
    """Order of trials for the cumulative analysis: that of the rows, or the most precise first.

    Examples
    --------
    >>> trial_order(bm.Effects(["A", "B"], [0.1, 0.2], [0.3, 0.1], measure="SMD"), "precision")
    ['B', 'A']
    """
    names, unit = effects.units
    if find_name("order", by, ("rows", "precision")) == "rows":
        return list(names)
    weight = [float((1 / effects.se[unit == number] ** 2).sum()) for number in range(len(names))]
    return [names[i] for i in sorted(range(len(names)), key=lambda i: -weight[i])]


class Computed(NamedTuple):
    """A table; line by line the fits behind it, None for a line without one; and what else was computed."""

    table: pd.DataFrame
    fits: tuple[Fit | ClassicalFit | None, ...] = ()
    parts: Mapping[str, pd.DataFrame] = _NONE


def _nothing(fit: Fit, table: pd.DataFrame, threshold: Threshold | None) -> str:
    return ""


class Fold(NamedTuple):
    """Which printed lines change nothing, so that a page may fold them.

    Attributes
    ----------
    rows : callable
        From the fit, the printed table and the threshold to one truth value per line.
    rule : str
        What is so of the lines that are folded, to stand behind "12 further lines".
    mean : str
        The column of the mean, whose range over the folded lines is said; empty where there is none.
    """

    rows: Callable[[Fit, pd.DataFrame, Threshold | None], Sequence[bool]]
    rule: str
    mean: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """A sensitivity analysis of one pooled fit. Terminal, page, Word, JSON and its schema read this and nothing else.

    Attributes
    ----------
    name, question : str
    compute : callable
        From a fit and `SectionOptions` to `Computed`; a `ModelError` says that the data do not allow it.
    columns : tuple of Column
        Of the table, and those that are made when it is printed.
    note : str
        What the columns mean.
    printed : callable
        From the table to the lines that are printed, with derived columns.
    notes : callable
        From the table to sentences about these data.
    verdict : callable
        From the fit, the table and the threshold of benefit to one or two sentences that answer the question.
    fold : Fold, optional
        Which printed lines change nothing.
    summary : callable
        From the table to what belongs to it as a whole.
    parts : mapping of str to tuple of Column
        Columns of the tables in the summary; those with headers are printed below the table.
    others : mapping or False
        JSON Schema of columns that depend on the data.
    references : tuple of str
        Keys of the report's bibliography.
    at_threshold : bool
        Whether its answer depends on the threshold of benefit.
    moderated : bool
        Whether it is of the moderated analysis, which has to be there.
    slow : bool
        Made only when it is named, because it refits thousands of times.
    stated : bool
        Made only when it is named, or where the protocol states what it is made of.
    """

    name: str
    question: str
    compute: Callable[[Fit, SectionOptions], Computed]
    columns: tuple[Column, ...]
    note: str = ""
    printed: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table
    notes: Callable[[pd.DataFrame], Sequence[str]] = lambda table: ()
    verdict: Callable[[Fit, pd.DataFrame, Threshold | None], str] = _nothing
    fold: Fold | None = None
    summary: Callable[[pd.DataFrame], Mapping[Any, Any]] = lambda table: table.attrs
    parts: Mapping[str, tuple[Column, ...]] = _NONE
    others: Any = False
    references: tuple[str, ...] = ()
    at_threshold: bool = False
    moderated: bool = False
    slow: bool = False
    stated: bool = False


def notes_of(table: pd.DataFrame) -> list[str]:
    """Notes of the rows of a table with methods, each said once."""
    noted = table[table["note"] != ""]
    methods = noted.groupby(noted["note"].str.rstrip("."), sort=False)["method"].unique()
    return [f"{', '.join(names)}: {note}." for note, names in methods.items()]


def answers_of(fits: Sequence[Fit], level: float) -> list[dict[str, Any]]:
    """Of each refit: median and interval of the mean, median of tau, and interval of a new study."""
    found = []
    for table in main_quantiles(fits, level=level):
        answer = dict(zip(("lower", "mu", "upper"), table["mu"], strict=True))
        answer |= {"tau": table["tau"][1] if "tau" in table else 0.0}
        found.append(answer | {"new_lower": table["theta_new"][0], "new_upper": table["theta_new"][2]})
    return found
