"""What every way to an effect works on: the table's numbers, the options, and what has been computed so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

import bayesmeta.measures.continuous as continuous
import bayesmeta.measures.counts as counts
from bayesmeta.errors import DataError, ModelError
from bayesmeta.measures.cells import designs_of, p_values, signs_of
from bayesmeta.measures.estimates import Estimate, Note
from bayesmeta.measures.ledger import Step
from bayesmeta.measures.registry import Measure
from bayesmeta.measures.rules import RowFault, Rules, choose, level_of

__all__ = ["Needs", "Options", "Source", "Table", "Work"]

# One letter may be the name of anything: such a column is ours where a cell of it is a number.
SHORT = ("d", "g", "f")
SD_OF_ONE_ARM = ("refuse", "other")


@dataclass(frozen=True, slots=True)
class Options:
    """The options of :func:`effect_rows`, checked."""

    vtype: str = "LS"
    j: str = "exact"
    zero: str = "half"
    correlation: float | None = None
    ci_level: float = 0.95
    scale: str = "natural"
    icc: float | None = None
    sd_of_one_arm: str = "refuse"

    def __post_init__(self) -> None:
        choose("vtype", self.vtype, continuous.VTYPES)
        choose("j", self.j, continuous.J_FORMS)
        choose("zero", self.zero, counts.ZERO_POLICIES)
        choose("scale", self.scale, ("natural", "log", "analysis"))
        choose("sd_of_one_arm", self.sd_of_one_arm, SD_OF_ONE_ARM)
        level_of(self.ci_level)
        if self.correlation is not None and not -1 < self.correlation < 1:
            raise ModelError(f"correlation={self.correlation!r} is not between -1 and 1.")
        if self.icc is not None and not 0 <= self.icc <= 1:
            raise ModelError(f"icc={self.icc!r} is not between 0 and 1.")


class Table:
    """The numbers of a frame by column, and where a cell is filled but is no number."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame, self.k = frame, len(frame)
        self.numbers: dict[str, np.ndarray] = {}
        self.faults: list[RowFault] = []
        self.bounded = np.zeros(self.k, dtype=bool)

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
        if name == "p":
            x, self.bounded, faults = p_values(column)
            self.faults += faults
            return x
        if name == "sign":
            x, faults = signs_of(column)
            self.faults += faults
            return x
        x = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        if name in SHORT and np.isnan(x).all():
            return x
        for row in np.flatnonzero(np.isnan(x) & column.notna().to_numpy()):
            if str(column.iloc[row]).strip() == "":
                continue
            remedy = "Give a number, or leave the cell empty."
            self.faults.append(RowFault(int(row), name, column.iloc[row], "is not a number", remedy))
        for row in np.flatnonzero(np.isinf(x)):
            what = f"Give {name} or exclude the row."
            self.faults.append(RowFault(int(row), name, float(x[row]), "is not a finite number", what))
        return np.where(np.isinf(x), np.nan, x)

    def has(self, name: str) -> np.ndarray:
        """Rows with a number in this column."""
        return ~np.isnan(self[name])

    def words(self, name: str, allowed: Sequence[str], remedy: str) -> np.ndarray:
        """Read a column of words, shape (k,): one of those allowed, spelled as there, or "" where a cell is empty."""
        words = np.full(self.k, "", dtype=object)
        if name not in self.frame.columns:
            return words
        column, known = self.frame[name], {word.casefold(): word for word in allowed}
        for row in np.flatnonzero(column.notna().to_numpy()):
            text = str(column.iloc[row]).strip()
            if text.casefold() in known:
                words[row] = known[text.casefold()]
            elif text:
                rule = f"is not one of {', '.join(allowed)}"
                self.faults.append(RowFault(int(row), name, column.iloc[row], rule, remedy))
        return words

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
        self.warnings: list[Note] = []
        # what each row says its estimate is, once read
        self.kind: np.ndarray | None = None
        self.deff, self.adjustment = np.ones(table.k), np.ones(table.k)
        # rows of clusters whose numbers allow for them already
        self.allowed_for = np.zeros(table.k, dtype=bool)
        # rows whose uncertainty was printed, and not made of counts or of means, SDs and sizes
        self.printed = np.zeros(table.k, dtype=bool)
        # rows whose effect went through a printed standard error, which must ignore clusters as SDs do
        self.through = np.zeros(table.k, dtype=bool)
        # rows standardised by the SD of scores, and by that of changes
        self.by_scores, self.by_changes = (np.zeros(table.k, dtype=bool) for _ in range(2))
        self.design, faults = designs_of(table.frame)
        table.faults += faults

    @property
    def paired(self) -> np.ndarray:
        """Rows in which the two means are of the same people."""
        return np.isin(self.design, ("crossover", "paired"))

    def fault(self, row: int, column: str, rule: str, remedy: str) -> None:
        """Note a broken rule in one row."""
        known = column in self.table.numbers
        value = float(self.table[column][row]) if known else float("nan")
        self.faults.append(RowFault(int(row), column, value, rule, remedy))

    def warn(self, rows: np.ndarray, text: str) -> None:
        """Enter what someone should look at: in the ledger of these rows, and for whoever reads the table to say."""
        self.note(rows, text)
        if rows.size:
            self.warnings.append((text, self.mask(rows)))

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


Needs = list[tuple[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Source:
    """One way to get an estimate: what a row must have, and what is done then.

    ``pairs`` is False where the way is for independent groups, True where it is for two means of the same people, and
    None where it does not matter.
    """

    name: str
    measures: tuple[str, ...]
    needs: Callable[[Table, Work], Needs]
    compute: Callable[[np.ndarray, Work], None]
    columns: str
    pairs: bool | None = False
