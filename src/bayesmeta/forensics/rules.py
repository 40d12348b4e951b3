"""What a rule is, how rules are run, and how their findings are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesmeta.errors import Finding

__all__ = ["Hit", "Rule", "findings_table", "numbers_of", "run_rules", "texts_of", "unit_of"]

FloatArray = NDArray[np.float64]
Severity = Literal["info", "warning", "error"]
_ORDER: dict[str, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a rule is broken.

    Parameters
    ----------
    evidence : str
        The file's row, the study and the numbers.
    severity, remedy : str, optional
        Where they differ from the rule's own.

    Examples
    --------
    >>> Hit("row 3 (Hu 2020): SMD -2.3").severity is None
    True
    """

    evidence: str
    severity: Severity | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A check of a table, and what to do where it fails.

    Parameters
    ----------
    name : str
        What the rule is called in findings.
    severity : {"info", "warning", "error"}
        Of its findings, unless a hit says otherwise: ``error`` for what cannot be, ``warning`` for what is improbable,
        ``info`` for what a reader should know.
    question : str
        The question that it answers.
    remedy : str
        What to do.
    check : callable
        From the table to hits.

    Examples
    --------
    >>> rule = Rule("empty", "info", "Are there rows?", "Add some.", lambda rows: [] if rows else [Hit("no rows")])
    >>> run_rules([rule], ())[0].evidence
    'no rows'
    """

    name: str
    severity: Severity
    question: str
    remedy: str
    check: Callable[[Any], Iterable[Hit]]


def run_rules(rules: Iterable[Rule], subject: Any) -> tuple[Finding, ...]:
    """Ask every rule of one subject.

    Parameters
    ----------
    rules : iterable of Rule
        The rules.
    subject : object
        What they are applied to.

    Returns
    -------
    tuple of Finding
        In the order of the rules.

    Examples
    --------
    >>> run_rules([], None)
    ()
    """
    # impossible cells are what is looked for: what they overflow to is compared like any number
    with np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore"):
        return tuple(
            Finding(rule.name, hit.severity or rule.severity, hit.evidence, hit.remedy or rule.remedy)
            for rule in rules
            for hit in rule.check(subject)
        )


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Show findings, the gravest first.

    Parameters
    ----------
    findings : sequence of Finding
        From `examine_table`, `examine_reading` or `audit`.

    Returns
    -------
    pandas.DataFrame
        Columns ``rule``, ``severity`` (error, warning, info), ``evidence``, ``remedy``; none where nothing was found.

    Examples
    --------
    >>> findings_table([Finding("a", "info", "x", "y"), Finding("b", "error", "x", "y")])["rule"].tolist()
    ['b', 'a']
    """
    ordered = sorted(findings, key=lambda finding: _ORDER[finding.severity])
    rows = [(finding.rule, finding.severity, finding.evidence, finding.remedy) for finding in ordered]
    return pd.DataFrame(rows, columns=["rule", "severity", "evidence", "remedy"])


def numbers_of(frame: pd.DataFrame, name: str) -> FloatArray:
    """Return a column as numbers: nan where a cell is empty or not a number, or there is no such column."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    return pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def texts_of(frame: pd.DataFrame, name: str) -> list[str]:
    """Return a column as texts: empty where a cell is empty or there is no such column."""
    if name not in frame.columns:
        return [""] * len(frame)
    return ["" if pd.isna(cell) else _text(cell) for cell in frame[name]]


def _text(cell: Any) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell).strip()


def unit_of(values: FloatArray) -> FloatArray:
    """Return the value of the last decimal that each number shows (1 for whole numbers), nan for nan.

    A trailing zero is lost in a number, so the unit is never too small: what is tested against it is judged mildly.
    """
    units = np.full(np.shape(values), np.nan)
    for i, value in enumerate(np.asarray(values, float)):
        if np.isfinite(value):
            text = np.format_float_positional(abs(value), trim="-")
            units[i] = 10.0 ** -(len(text.partition(".")[2]))
    return units


def significant_digits(value: float) -> int:
    """Count the digits of a number without leading zeros and the point."""
    return len(np.format_float_positional(abs(value), trim="-").replace(".", "").lstrip("0"))


def shown(value: float) -> str:
    """Write a number as a reader expects it in evidence."""
    return f"{value:.4g}"
