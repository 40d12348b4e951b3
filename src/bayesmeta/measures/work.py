"""What every way to an effect works on: the table's numbers, the options, and what has been computed so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

import bayesmeta.measures.continuous as continuous
import bayesmeta.measures.counts as counts
from bayesmeta.errors import DataError, ModelError
from bayesmeta.measures.estimates import Estimate
from bayesmeta.measures.ledger import Step
from bayesmeta.measures.registry import Measure
from bayesmeta.measures.rules import RowFault, Rules, choose, level_of

__all__ = ["Options", "Table", "Work"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of :func:`effect_rows`, checked."""

    vtype: str = "LS"
    j: str = "exact"
    zero: str = "half"
    correlation: float | None = None
    ci_level: float = 0.95
    scale: str = "natural"

    def __post_init__(self) -> None:
        choose("vtype", self.vtype, continuous.VTYPES)
        choose("j", self.j, continuous.J_FORMS)
        choose("zero", self.zero, counts.ZERO_POLICIES)
        choose("scale", self.scale, ("natural", "log", "analysis"))
        level_of(self.ci_level)
        if self.correlation is not None and not -1 < self.correlation < 1:
            raise ModelError(f"correlation={self.correlation!r} is not between -1 and 1.")


class Table:
    """The numbers of a frame by column, and where a cell is filled but is no number."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.k = frame, len(frame)
        self.numbers: dict[str, np.ndarray] = {}
        self.faults: list[RowFault] = []

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.numbers:
            self.numbers[name] = self._read(name)
        return self.numbers[name]

    def _read(self, name: str) -> np.ndarray:
        if name not in self.frame.columns:
            return np.full(self.k, np.nan)
        column = self.frame[name]
        if isinstance(column, pd.DataFrame):
            raise DataError(f"Column {name} stands {column.shape[1]} times in the table. Keep or rename one.")
        x = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        for row in np.flatnonzero(np.isnan(x) & column.notna().to_numpy()):
            if str(column.iloc[row]).strip() == "":
                continue
            remedy = "Give a number, or leave the cell empty."
            self.faults.append(RowFault(int(row), name, column.iloc[row], "is not a number", remedy))
        return x

    def has(self, name: str) -> np.ndarray:
        """Rows with a number in this column."""
        return ~np.isnan(self[name])

    def take(self, rows: np.ndarray, names: Mapping[str, str]) -> dict[str, np.ndarray]:
        """Columns of some rows, by our names for them."""
        return {ours: self[theirs][rows] for ours, theirs in names.items()}


class Work:
    """What has been computed so far: estimates, steps of the ledger, and faults."""

    def __init__(self, table: Table, measure: Measure, options: Options) -> None:
        self.table, self.measure, self.options = table, measure, options
        self.y, self.se = np.full(table.k, np.nan), np.full(table.k, np.nan)
        self.steps: list[Step] = []
        self.faults: list[RowFault] = []

    def sound(self, rows: np.ndarray, rules: Rules, names: Mapping[str, str] | None = None) -> np.ndarray:
        """Keep the faults that rules found, and return which of the rows have none."""
        ok = np.ones(rows.size, dtype=bool)
        for fault in rules.faults:
            ok[fault.row] = False
            column = (names or {}).get(fault.column, fault.column)
            self.faults.append(fault._replace(row=int(rows[fault.row]), column=column))
        return ok

    def mask(self, rows: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Spread a mask over some rows to a mask over all."""
        full = np.zeros(self.table.k, dtype=bool)
        full[rows if where is None else rows[where]] = True
        return full

    def step(self, rows: np.ndarray, formula: str, columns: tuple[str, ...], *common: str) -> None:
        """Enter a formula that was applied to some rows."""
        self.steps.append(Step(self.mask(rows), formula, columns, common))

    def note(self, rows: np.ndarray, text: str) -> None:
        """Enter an assumption made in some rows."""
        if rows.size:
            self.steps.append(Step(self.mask(rows), "", (), (text,)))

    def keep(self, rows: np.ndarray, result: Estimate, columns: tuple[str, ...], *common: str) -> None:
        """Store estimates of some rows."""
        self.y[rows], self.se[rows] = result.y, result.se
        notes = tuple((text, self.mask(rows, where)) for text, where in result.notes)
        self.steps.append(Step(self.mask(rows), result.formula, columns, (*common, *result.common), notes))
