"""Cells that papers fill with words: p values with a relation, signs, designs, names of measures."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from bayesmeta.errors import pick
from bayesmeta.measures.rules import RowFault

__all__ = ["designs_of", "signs_of"]

DESIGNS = ("parallel", "crossover", "paired", "cluster")
# words that any trial may have, and those that say nothing of pairs and clusters
_SAY_NOTHING = frozenset(
    [
        *("randomised", "randomized", "controlled", "trial", "trials", "study", "rct", "rcts", "design", "group"),
        *("groups", "arm", "arms", "non", "quasi", "pilot", "feasibility", "individual", "individually", "factorial"),
        *("and", "a", "two", "three", "four", "multi", "2", "3", "4"),
    ]
)
_NOT_STATED = frozenset(["na", "n/a", "nan", "nr", "n.r.", "not reported", "-", "."])

_P = re.compile(r"(?:p\s*(?:-?\s*value)?\s*)?(<=|>=|[<>=≤≥⩽⩾])?\s*(\d*[.,]?\d+(?:e-?\d+)?)", re.IGNORECASE)
_NOT_SIGNIFICANT = re.compile(r"(p\s*[=:]?\s*)?n\.?\s*s\.?|(not|non)[\s-]*sig.*", re.IGNORECASE)
_PLUS, _MINUS = {"+", "1", "+1", "positive", "plus"}, {"-", "-1", "\u2212", "\u22121", "\u2013", "negative", "minus"}
REMEDY_P = (
    "Give the exact p, or another statistic; that p is large says too little of the size of the effect. Else exclude "
    "the row."
)


def p_values(column: pd.Series) -> tuple[np.ndarray, np.ndarray, list[RowFault]]:
    """Read p values as papers print them.

    ``0.03``, ``0,03``, ``.03`` and ``p = 0.03`` are numbers; ``< 0.001`` and ``p<.05`` are read as the number, and
    marked; ``> 0.05`` and ``NS`` are faults.

    Parameters
    ----------
    column : Series (k,)
        Cells, text or numbers.

    Returns
    -------
    numbers : array (k,)
        nan where a cell is empty or at fault.
    bounded : array (k,) of bool
        Where "<" stands before the number.
    faults : list of RowFault
    """
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan).copy()
    bounded, faults = np.zeros(len(column), dtype=bool), []
    for row in np.flatnonzero(np.isnan(numbers) & column.notna().to_numpy()):
        cell = str(column.iloc[row]).strip()
        if not cell:
            continue
        found = _P.fullmatch(cell)
        if found is None or found[1] in (">", ">=", "≥", "⩾"):
            what = "is not a number"
            if found is not None or _NOT_SIGNIFICANT.fullmatch(cell):
                what = "gives no standard error: it says only that p is large"
            faults.append(RowFault(int(row), "p", column.iloc[row], what, REMEDY_P))
            continue
        numbers[row] = float(found[2].replace(",", "."))
        bounded[row] = found[1] not in (None, "=")
    return numbers, bounded, faults


def signs_of(column: pd.Series) -> tuple[np.ndarray, list[RowFault]]:
    """Read a column of signs: 1 or -1, "+" or "-", "positive" or "negative".

    Parameters
    ----------
    column : Series (k,)
        Cells, text or numbers; any number counts by its sign.

    Returns
    -------
    signs : array (k,)
        1, -1, or nan where the cell is empty or at fault.
    faults : list of RowFault

    Examples
    --------
    >>> signs_of(pd.Series(["+", "-", None]))[0]
    array([ 1., -1., nan])
    """
    signs, faults = np.full(len(column), np.nan), []
    for row in np.flatnonzero(column.notna().to_numpy()):
        cell = column.iloc[row]
        text = str(cell).strip().casefold()
        number = pd.to_numeric(pd.Series([cell]), errors="coerce").iloc[0]
        if text in _PLUS or number > 0:
            signs[row] = 1
        elif text in _MINUS or number < 0:
            signs[row] = -1
        elif text:
            remedy = 'Write 1 or "+" where the treated arm has the higher numbers, -1 or "-" where it has the lower.'
            faults.append(RowFault(int(row), "sign", cell, "is not a sign", remedy))
    return signs, faults


def designs_of(frame: pd.DataFrame) -> tuple[np.ndarray, list[RowFault]]:
    """Read from a column ``design`` how each trial was made: parallel, crossover, paired or cluster.

    Words that every trial may have ("randomised", "controlled", "trial") do not matter, and those that say nothing of
    pairs and clusters ("pilot", "two-arm") are of parallel groups. Any other word is a fault: a misspelt "crosover"
    would be read as parallel groups, with a standard error of another design.

    Parameters
    ----------
    frame : DataFrame (k rows)

    Returns
    -------
    designs : array (k,) of str
        "" where nothing is said of pairs or clusters.
    faults : list of RowFault

    Examples
    --------
    >>> designs_of(pd.DataFrame({"design": ["Cross-over RCT", "randomised controlled trial", None]}))[0].tolist()
    ['crossover', '', '']
    >>> print(designs_of(pd.DataFrame({"design": ["crosover"]}))[1][0].remedy)
    Did you mean crossover? Allowed: parallel, crossover, paired, cluster. An empty cell means parallel groups; rename a
    column that says something else.
    """
    words, faults = np.full(len(frame), "", dtype=object), []
    if "design" not in frame.columns:
        return words, []
    column = frame["design"]
    for row in np.flatnonzero(column.notna().to_numpy()):
        typed = str(column.iloc[row]).strip().casefold()
        left = dict.fromkeys(re.findall(r"[^\W_]+", re.sub(r"\bcross[\W_]+over\b", "crossover", typed)))
        told = [word for word in left if word not in _SAY_NOTHING]
        if len(told) == 1 and told[0] in DESIGNS:
            words[row] = told[0]
        elif told and typed not in _NOT_STATED:
            text = " ".join(told)
            rule = f"is not one of {', '.join(DESIGNS)}"
            remedy = (
                f"{pick(text, DESIGNS)} An empty cell means parallel groups; rename a column that says something else."
            )
            faults.append(RowFault(int(row), "design", column.iloc[row], rule, remedy))
    return words, faults
