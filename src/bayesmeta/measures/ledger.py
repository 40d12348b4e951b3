"""The ledger: for every row, which numbers were used, by which formula, assuming what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np

from bayesmeta.measures.estimates import Note
from bayesmeta.measures.rules import RowFault

__all__ = ["Derivation", "EffectRows", "Ledger"]


@dataclass(frozen=True, slots=True)
class Derivation:
    """How one row's estimate and standard error were made.

    Parameters
    ----------
    raw : dict of str to float
        The numbers used, by column.
    formula : str
        The formulas, in the order they were applied, with sources.
    assumptions : tuple of str
        What had to be assumed.
    y, se : float
        The estimate and its standard error on the scale of the analysis; nan where the row is at fault.

    Examples
    --------
    >>> Derivation({"estimate": 0.8, "ci_low": 0.6, "ci_high": 1.1}, "log(estimate)", (), -0.223, 0.155).se
    0.155
    """

    raw: dict[str, float]
    formula: str
    assumptions: tuple[str, ...]
    y: float
    se: float


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One formula, and the rows and columns it was applied to."""

    rows: np.ndarray
    formula: str
    columns: tuple[str, ...]
    common: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


class Ledger(Sequence[Derivation]):
    """A sequence of :class:`Derivation`, one per row, each made when it is accessed.

    Only columns and masks are stored, so that ten thousand rows cost no more than the table they came from.
    """

    __slots__ = ("_numbers", "_se", "_steps", "_y")

    def __init__(self, y: np.ndarray, se: np.ndarray, numbers: dict[str, np.ndarray], steps: Sequence[Step]) -> None:
        self._y, self._se, self._numbers, self._steps = y, se, numbers, tuple(steps)

    def __len__(self) -> int:
        return int(self._y.size)

    @overload
    def __getitem__(self, row: int) -> Derivation: ...

    @overload
    def __getitem__(self, row: slice) -> tuple[Derivation, ...]: ...

    def __getitem__(self, row: int | slice) -> Derivation | tuple[Derivation, ...]:
        """Return the derivation of one row, or of several."""
        if isinstance(row, slice):
            return tuple(self._make(i) for i in range(*row.indices(len(self))))
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a ledger of {len(self)}")
        return self._make(row % len(self))

    def __iter__(self) -> Iterator[Derivation]:
        return (self._make(row) for row in range(len(self)))

    def __repr__(self) -> str:
        return f"<Ledger of {len(self)} rows>"

    def _make(self, row: int) -> Derivation:
        steps = [step for step in self._steps if step.rows[row]]
        names = dict.fromkeys(name for step in steps for name in step.columns)
        raw = {name: float(self._numbers[name][row]) for name in names if np.isfinite(self._numbers[name][row])}
        assumed = dict.fromkeys(
            text for step in steps for text in (*step.common, *(note for note, mask in step.notes if mask[row]))
        )
        formula = "; ".join(dict.fromkeys(step.formula for step in steps if step.formula))
        return Derivation(raw, formula, tuple(assumed), float(self._y[row]), float(self._se[row]))


@dataclass(frozen=True, slots=True, eq=False)
class EffectRows:
    """Effects made from a table, row by row.

    Parameters
    ----------
    y, se : array (k,)
        Estimates and standard errors on the scale of the analysis; nan in rows at fault.
    ledger : Ledger
        How each row was made.
    faults : tuple of RowFault
        Every broken rule, in order of rows; empty if all is well.
    warnings : tuple of (str, array (k,) of bool)
        What someone should look at, and in which rows; the ledger has it too.
    deff : array (k,)
        Design effect of each row whose standard error was multiplied by its root; 1 elsewhere.
    factor : array (k,)
        Sampling variance of the difference over that of as many independent people without covariates, as far as the
        design effect and an analysis of covariance change it; the covariance of effects that share an arm has its root
        from each.
    independent : array (k,) of bool
        False where the row's people are not independent: clusters, crossover, pairs.
    read : frozenset of str
        Columns that a way to an effect has looked at.
    """

    y: np.ndarray
    se: np.ndarray
    ledger: Ledger
    faults: tuple[RowFault, ...] = field(default=())
    warnings: tuple[Note, ...] = ()
    deff: np.ndarray = field(default_factory=lambda: np.ones(0))
    factor: np.ndarray = field(default_factory=lambda: np.ones(0))
    independent: np.ndarray = field(default_factory=lambda: np.ones(0, dtype=bool))
    read: frozenset[str] = frozenset()
