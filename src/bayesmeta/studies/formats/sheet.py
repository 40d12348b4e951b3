"""A table as a file holds it, before anything is made of its cells, and where each cell stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["FILE_FORMATS", "ExactText", "FileAnalysis", "Places", "Sheet", "address"]

#: Names of formats that a protocol may state; ``table`` reads the columns under their own names alone.
FILE_FORMATS = ("table", "metafor", "revman", "cochrane")


class ExactText(str):
    """Text of a cell that holds a number: what it says is not a matter of separators."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Places:
    """Where rows and cells of a table stand in its file, where that is not a row of a text file.

    Parameters
    ----------
    sheet : str
        Of a workbook; empty where the file has none.
    letters : mapping of str to str
        Column of the table to its letters in the workbook.
    rows : mapping of int to str
        Row to the words that name it, in a file that has no rows.
    names : mapping of str to str
        Our column to the name that the file has for it.
    cells : mapping of (int, str) to str
        Row and column of a table whose shape was changed to the place that the cell came from.

    Examples
    --------
    >>> Places("Trials", {"sd_t": "F"}).cell(14, "sd_t")
    'Trials!F14, column sd_t'
    """

    sheet: str = ""
    letters: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[tuple[int, str], str] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> Places:
        # pandas copies what a table carries with every column that is looked at
        return self

    def cell(self, row: int, column: str) -> str:
        """Say where one cell stands."""
        if (row, column) in self.cells:
            return self.cells[row, column]
        if (letters := self.letters.get(column)) is not None and row not in self.rows:
            return f"{self._quoted}!{letters}{row}, column {self.names.get(column, column)}"
        return f"{self.row(row)}, column {self.names.get(column, column)}"

    def row(self, row: int) -> str:
        """Say where a row stands."""
        if row in self.rows:
            return self.rows[row]
        return f"{self._quoted} row {row}" if self.sheet else f"row {row}"

    @property
    def _quoted(self) -> str:
        return self.sheet if self.sheet.isalnum() else "'" + self.sheet.replace("'", "''") + "'"


def address(attrs: Mapping[Any, Any], row: Any = None, column: str | None = None) -> str:
    """Say where a table, a row or a cell stands.

    Parameters
    ----------
    attrs : mapping
        What a table carries (`pandas.DataFrame.attrs`): ``source`` and ``places``.
    row : int, optional
        Label of the row.
    column : str, optional
        As the file calls it.

    Examples
    --------
    >>> address({"source": "trials.csv"}, 14, "sd_t")
    'trials.csv row 14, column sd_t'
    >>> address({"source": "trials.xlsx", "places": Places("Trials", {"SD": "F"})}, 14, "SD")
    'trials.xlsx Trials!F14, column SD'
    """
    source, places = attrs.get("source", "table"), attrs.get("places") or Places()
    if row is None:
        return source if column is None else f"{source}, column {places.names.get(column, column)}"
    return f"{source} {places.row(row) if column is None else places.cell(row, column)}"


@dataclass(frozen=True, slots=True)
class FileAnalysis:
    """A meta-analysis that a file of a review holds.

    Parameters
    ----------
    key : str
        Its number there: ``"1.2"``, of a subgroup ``"1.2.1"``.
    label : str
        The outcome's name.
    measure : str
        Effect measure, by our name.
    better : {"higher", "lower"}, optional
        As far as the labels of the plot say which side favours the experimental group.
    where : mapping of str to str or tuple of str
        Columns to the values of its rows.
    scale : {"natural", "log"}, optional
        Of a column ``estimate``.
    domains : mapping of str to str
        Domain of risk of bias to its column.
    notes : tuple of str
        What was made of what the file says.
    estimates : bool
        Whether its rows hold estimates, and not the counts or means that these are made from.
    """

    key: str
    label: str
    measure: str
    better: Literal["higher", "lower"] | None
    where: Mapping[str, str | tuple[str, ...]]
    scale: Literal["natural", "log"] | None = None
    domains: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    estimates: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of a file: a header and rows of texts, and what was done to get them.

    Parameters
    ----------
    source : str
        Name of the file.
    header : tuple of str
        Names of the columns.
    rows : tuple of (int, tuple of str)
        Number of each row, as the file counts, with its cells.
    places : Places, optional
        Where they stand, if the file is no text file.
    notes : tuple of str
        What was done, said of the whole table.
    warnings : tuple of str
        What someone should look at.
    row_notes : mapping of int to tuple of str
        What was done to a row, for the ledger.
    dates, percents : mapping of str to mapping of int to str
        By column and row: the date that a cell holds; how a percentage is shown.
    made_dates : mapping of str to frozenset of int
        By column, the rows whose date is shown as spreadsheets show what they made of a text.
    spelled : mapping of str to str
        Our name of a column to the name that another program has for it.
    scale : str, optional
        Of estimates, where the names of the columns say it.
    texts : frozenset of str
        Columns that hold texts, even where each looks like a number.
    analyses : tuple of FileAnalysis
    not_estimable : tuple of int
        Rows from which no effect can be made, as the file says.
    """

    source: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    places: Places | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    row_notes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    dates: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    percents: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    made_dates: Mapping[str, frozenset[int]] = field(default_factory=dict)
    spelled: Mapping[str, str] = field(default_factory=dict)
    scale: str | None = None
    texts: frozenset[str] = frozenset()
    analyses: tuple[FileAnalysis, ...] = ()
    not_estimable: tuple[int, ...] = ()
