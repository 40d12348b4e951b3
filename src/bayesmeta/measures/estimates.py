"""Estimates: what a formula made of arm summaries, and what it assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesmeta.measures.rules import frozen

__all__ = ["Estimate"]

Note = tuple[str, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Effect estimates with standard errors, the formula they come from and what it assumes.

    Parameters
    ----------
    y : array (k,)
        Estimates on the scale of the analysis (log for ratios).
    se : array (k,)
        Their standard errors, on the same scale.
    formula : str
        The formula, with its source.
    common : tuple of str
        What is assumed in every row.
    notes : tuple of (str, array (k,) of bool)
        What is assumed in some rows, and in which.

    Examples
    --------
    >>> result = Estimate(np.zeros(2), np.ones(2), "y", ("all",), (("only here", np.array([False, True])),))
    >>> result.assumptions
    ('all', 'only here (row 1)')
    >>> result.assumptions_of(0)
    ('all',)
    """

    y: np.ndarray
    se: np.ndarray
    formula: str
    common: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", frozen(self.y))
        object.__setattr__(self, "se", frozen(self.se))
        object.__setattr__(self, "notes", tuple((text, mask) for text, mask in self.notes if mask.any()))

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What is assumed; where not in every row, with the rows (counted from 0)."""
        return (*self.common, *(_with_rows(text, mask) for text, mask in self.notes))

    def assumptions_of(self, row: int) -> tuple[str, ...]:
        """What is assumed in one row."""
        return (*self.common, *(text for text, mask in self.notes if mask[row]))


def _with_rows(text: str, mask: np.ndarray) -> str:
    if mask.all():
        return text
    rows = np.flatnonzero(mask)
    return f"{text} ({'row' if rows.size == 1 else 'rows'} {', '.join(map(str, rows))})"
