"""What can go wrong, and the two records that travel with results: checks and findings."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BayesmetaError",
    "BayesmetaWarning",
    "Check",
    "DataError",
    "Fault",
    "Finding",
    "InferenceError",
    "ModelError",
    "ProtocolError",
    "find_name",
    "pick",
    "warn",
]

_HERE = os.path.dirname(__file__)


class BayesmetaError(Exception):
    """Base of every error that bayesmeta raises on purpose."""


class ModelError(BayesmetaError, ValueError):
    """The model is not defined for these data, or an argument is not one of those allowed."""


class InferenceError(BayesmetaError, RuntimeError):
    """The computation did not reach its accuracy."""


class BayesmetaWarning(UserWarning):
    """Unusual but legal: the number is computed, and someone should look."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an input file: where it is, what is wrong, which rule, and what to do.

    Parameters
    ----------
    where : str
        File, row and column, as far as they are known: ``"trials.csv row 14, column sd_t"``.
    what : str
        The offending value and the rule it breaks: ``"0 is not > 0"``.
    remedy : str
        What to do about it: ``"Correct the row or exclude it under [data]."``

    Examples
    --------
    >>> print(Fault("trials.csv row 14, column sd_t", "0 is not > 0", "Correct the row."))
    trials.csv row 14, column sd_t: 0 is not > 0. Correct the row.
    """

    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


class FaultsError(BayesmetaError, ValueError):
    """An error made of faults, all of which were collected before it was raised."""

    def __init__(self, faults: Iterable[Fault] | str) -> None:
        self.faults: tuple[Fault, ...] = () if isinstance(faults, str) else tuple(faults)
        super().__init__(faults if isinstance(faults, str) else "\n".join(str(fault) for fault in self.faults))


class ProtocolError(FaultsError):
    """The protocol breaks a rule; every broken rule is listed in ``faults``."""


class DataError(FaultsError):
    """The data break a rule; every broken rule is listed in ``faults``."""


@dataclass(frozen=True, slots=True)
class Check:
    """A diagnostic of a fit with its limit.

    Examples
    --------
    >>> Check("quadrature error", True, 3e-12, 1e-8, "").ok
    True
    """

    name: str
    ok: bool
    value: float
    limit: float
    advice: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a rule noticed in data: legal, but a person should look.

    Examples
    --------
    >>> Finding("large SMD", "warning", "row 3: -2.3", "Was a standard error given as an SD?").severity
    'warning'
    """

    rule: str
    severity: Literal["info", "warning", "error"]
    evidence: str
    remedy: str


def pick(name: str, allowed: Iterable[object]) -> str:
    """List what is allowed, the nearest name first.

    Examples
    --------
    >>> pick("smdd", ["SMD", "MD"])
    'Did you mean SMD? Allowed: SMD, MD.'
    """
    names = {str(item).casefold(): str(item) for item in allowed}
    near = difflib.get_close_matches(str(name).casefold(), names, n=1)
    return f"{f'Did you mean {names[near[0]]}? ' if near else ''}Allowed: {', '.join(names.values()) or 'none'}."


def find_name[Name: str](what: str, name: object, allowed: Iterable[Name], *, place: str = "") -> Name:
    """Find one of the allowed names, without regard to case.

    Parameters
    ----------
    what : str
        What it names, for the message: ``"measure"``.
    name : object
        As someone wrote it.
    allowed : iterable of str
    place : str
        Where it was looked for: ``"in the protocol"``.

    Returns
    -------
    str
        The name as it is spelt; where two differ in case alone, the one that is written alike.

    Raises
    ------
    ModelError
        If there is no such name; the message lists those that are allowed, the nearest first.

    Examples
    --------
    >>> find_name("estimator", "reml", ["DL", "REML"])
    'REML'
    >>> find_name("outcome", "pian", ["pain"], place="in the protocol")
    Traceback (most recent call last):
    ...
    bayesmeta.errors.ModelError: there is no outcome 'pian' in the protocol. Did you mean pain? Allowed: pain.
    """
    names = list(allowed)
    if isinstance(name, str):
        if name in names:
            return name
        alike = [item for item in names if item.casefold() == name.strip().casefold()]
        if len(alike) == 1:
            return alike[0]
    where = f" {place}" if place else ""
    raise ModelError(f"there is no {what} {name!r}{where}. {pick(str(name), names)}")


def warn(text: str, category: type[Warning] = BayesmetaWarning) -> None:
    """Warn of something unusual, at the line of the caller that is outside this library."""
    warnings.warn(text, category, skip_file_prefixes=(_HERE,))
