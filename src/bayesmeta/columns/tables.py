"""What the columns of a table hold and how they are written: one specification for terminal, page, Word and JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np

from bayesmeta.columns.digits import UNDEFINED, bayes_factor_text, number, numbers, p_value, percent, ratios, together
from bayesmeta.measures import measure as measure_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LEAST_SHARE",
    "Column",
    "ColumnKind",
    "Readable",
    "as_text",
    "columns_of",
    "csv_text",
    "derived",
    "joined",
    "names_of",
    "optional",
    "readable",
    "rounded",
    "rows_schema",
    "unprinted",
]

ColumnKind = Literal[
    "text",
    "note",
    "count",
    "flag",
    "number",
    "effect",
    "difference",
    "sd",
    "interval",
    "probability",
    "share",
    "p",
    "factor",
]
_NUMBER = {"type": ["number", "null"]}
_JSON: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "text": {"type": "string"},
        "note": {"type": ["string", "null"]},
        "count": {"type": ["integer", "null"]},
        "flag": {"type": "boolean"},
        **{kind: {**_NUMBER, "minimum": 0, "maximum": 1} for kind in ("probability", "share", "p")},
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        In the table, and as a key of JSON.
    kind : str
        ``text``, which is always there, and ``note``, which may be missing; ``count``; ``flag``; ``number``; an
        ``effect`` is back-transformed, a ``difference`` of effects for ratios only, and both share their digits with
        each other and with an ``sd`` on the same scale; an ``interval`` is an estimate with two ends in one cell; a
        ``probability`` is never 0 or 100 %, a ``share`` of things counted may be; ``p`` is a p-value, ``factor`` a
        Bayes factor.
    header : str or None
        None: in the table and in JSON, but not printed.
    decimals : int, optional
        Of a number; default as many as its size needs.
    ends : tuple of str
        The columns of an interval's ends; of the upper end alone where ``name`` is the lower one.
    derived : bool
        Printed, but made from other columns: not in the table and not in JSON.
    optional : bool
        Not in every table.
    labels : mapping of str to str
        What its values are called in print.
    """

    name: str
    kind: ColumnKind
    header: str | None = None
    decimals: int | None = None
    ends: tuple[str, ...] = ()
    derived: bool = False
    optional: bool = False
    labels: Mapping[str, str] = MappingProxyType({})

    @property
    def words(self) -> bool:
        """Whether its cells are words, which are flush left."""
        return self.kind in ("text", "note")


def columns_of(kind: ColumnKind, decimals: int | None = None, /, **headers: str) -> tuple[Column, ...]:
    """Columns of one kind that are printed, by name.

    Examples
    --------
    >>> [(item.name, item.header) for item in columns_of("effect", estimate="mean", lower="lower")]
    [('estimate', 'mean'), ('lower', 'lower')]
    """
    return tuple(Column(name, kind, header, decimals) for name, header in headers.items())


def unprinted(**names: str) -> tuple[Column, ...]:
    """Columns that JSON and CSV hold and no table shows, by kind.

    Examples
    --------
    >>> [item.name for item in unprinted(number="se shift", text="note")]
    ['se', 'shift', 'note']
    """
    return tuple(Column(name, cast(ColumnKind, kind)) for kind, some in names.items() for name in some.split())


def derived(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns that are made when a table is printed."""
    return tuple(replace(item, derived=True) for item in columns)


def optional(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns that not every table has."""
    return tuple(replace(item, optional=True) for item in columns)


def names_of(columns: Sequence[Column]) -> list[str]:
    """Names of the columns that a table holds."""
    return [item.name for item in columns if not item.derived]


def rows_schema(columns: Sequence[Column], others: Mapping[str, Any] | Literal[False] = False) -> dict[str, Any]:
    """JSON Schema of one row of a table.

    Parameters
    ----------
    columns : sequence of Column
    others : mapping, optional
        Schema of columns that depend on the data; default there are none.

    Examples
    --------
    >>> rows_schema(columns_of("p", p="p"))["properties"]["p"]
    {'type': ['number', 'null'], 'minimum': 0, 'maximum': 1, 'description': 'p'}
    """
    held = [item for item in columns if not item.derived]
    return {
        "type": "object",
        "additionalProperties": others,
        "required": [item.name for item in held if not item.optional],
        "properties": {
            item.name: {**_JSON.get(item.kind, _NUMBER), **({"description": item.header} if item.header else {})}
            for item in held
        },
    }


def joined(first: Iterable[Any], second: Iterable[Any]) -> list[str]:
    """Two names in one, the second where there is one."""
    return [
        f"{a}, {b}" if str(b) not in ("", "nan", "None", "-") else str(a) for a, b in zip(first, second, strict=True)
    ]


class Readable(NamedTuple):
    """A table ready to be read.

    Attributes
    ----------
    columns : tuple of Column
        Those that hold something.
    cells : list of list of str
        By row.
    """

    columns: tuple[Column, ...]
    cells: list[list[str]]

    @property
    def headers(self) -> list[str]:
        """What stands above the columns."""
        return [item.header or "" for item in self.columns]


def readable(
    table: pd.DataFrame, columns: Sequence[Column], measure: str = "generic", *, missing: str = ""
) -> Readable:
    """Write a table cell by cell.

    Parameters
    ----------
    table : pandas.DataFrame
        On the scale of the analysis.
    columns : sequence of Column
        Those without a header are passed over, and those that the table lacks; numbers that no row has as well.
    measure : str
        Of the effects.
    missing : str
        What stands where a number does not exist.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"name": ["mean"], "mu": [np.log(0.5)], "p": [0.9996]})
    >>> shown = (*columns_of("text", name=""), *columns_of("effect", mu="median"), *columns_of("probability", p="P"))
    >>> readable(table, shown, "RR").cells
    [['mean', '0.50', '>99.9 %']]
    """
    shown = [item for item in columns if item.header is not None and item.name in table]
    # what does not exist for any row of a table is not a column of it
    shown = [item for item in shown if item.words or item.kind == "count" or table[item.name].notna().any()]
    kind = measure_of(measure)
    same: Callable[[Any], Any] = np.asarray
    ways = {"effect": kind.back, "difference": kind.back if kind.log else same, "sd": same}
    scaled = [item for item in shown if item.kind in ways]
    values = [np.asarray(ways[item.kind](table[item.name].to_numpy(float)), float).tolist() for item in scaled]
    written = {
        item.name: [missing if text == UNDEFINED else text for text in texts]
        for item, texts in zip(scaled, ratios(values) if kind.log else together(values), strict=True)
    }
    cells = []
    for item in shown:
        if item.name in written:
            cells.append(written[item.name])
        elif item.ends:
            lines = np.asarray(kind.back(table[[item.name, *item.ends]].to_numpy(float)), float).tolist()
            cells.append([_interval(ratios([line])[0] if kind.log else numbers(line), missing) for line in lines])
        else:
            cells.append([_cell(item, value, missing) for value in table[item.name].tolist()])
    return Readable(tuple(shown), [list(row) for row in zip(*cells, strict=True)])


def as_text(table: pd.DataFrame, decimals: int = 2) -> str:
    """Write any table for a terminal: rounded numbers, probabilities in percent, which is never 0 or 100.

    Parameters
    ----------
    table : pandas.DataFrame
        On the scale of the analysis. Columns that begin with ``p_``, ``probability``, ``if_`` or ``others_`` are
        probabilities, ``p`` and what ends in ``p_value`` p-values.
    decimals : int

    Examples
    --------
    >>> import pandas as pd
    >>> print(as_text(pd.DataFrame({"median": [-0.276], "p_any_benefit": [0.99998]})))
     median p_any_benefit
      -0.28       >99.9 %
    """
    shown = rounded(table, decimals)
    return str(shown.to_string(index=not len(table) or isinstance(table.index[0], str)))


def rounded(table: pd.DataFrame, decimals: int = 2) -> pd.DataFrame:
    """Round the numbers of any table, and write its probabilities and p-values, as `as_text` does.

    Examples
    --------
    >>> import pandas as pd
    >>> rounded(pd.DataFrame({"median": [-0.276], "p_any_benefit": [0.99998]})).values.tolist()
    [[-0.28, '>99.9 %']]
    """
    written = {}
    for name in map(str, table.columns):
        if name == "p" or name.endswith("p_value"):
            written[name] = table[name].map(p_value)
        elif name.startswith(("p_", "probability", "if_", "others_")):
            written[name] = table[name].map(percent)
    return table.assign(**written).round(decimals)


def _cell(item: Column, value: Any, missing: str) -> str:
    if str(value) in ("<NA>", "nan", "None"):
        return "" if item.words else missing
    if item.kind == "probability":
        return percent(float(value))
    if item.kind == "p":
        return p_value(float(value))
    if item.kind == "number":
        return _number(float(value), item.decimals)
    if item.kind == "factor":
        return bayes_factor_text(float(value))
    if item.kind == "share":
        return _share(float(value))
    if item.kind == "flag":
        return "yes" if value else "no"
    return str(int(value)) if item.kind == "count" else item.labels.get(str(value), str(value))


def _number(value: float, decimals: int | None) -> str:
    if not np.isfinite(value):
        return "not finite"
    size = abs(value)
    return number(value, decimals if decimals is not None else 0 if size >= 100 else 1 if size >= 10 else 2)


#: The smallest share of things counted that is written as a number.
LEAST_SHARE = 0.01


def _share(value: float) -> str:
    """Write a share of things counted, which may be none or all of them."""
    if value in (0, 1):
        return "all" if value else "none"
    return "<1 %" if value < LEAST_SHARE else ">99 %" if value > 1 - LEAST_SHARE else f"{100 * value:.0f} %"


def _interval(texts: Sequence[str], missing: str) -> str:
    """Write an estimate with its interval, or two ends; what is stated as one number has no interval."""
    if texts[0] == UNDEFINED:
        return missing
    if len(texts) == 2:
        return " to ".join(texts)
    m, a, b = texts
    return m if a == m == b else f"{m} ({a} to {b})"


# cells that spreadsheets compute: a formula, however it begins
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(frame: pd.DataFrame) -> str:
    """Write a table as CSV that a spreadsheet opens without computing anything.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its index is not written.

    Returns
    -------
    str
        Numbers in the shortest form that reads back to the same bits. A text, or the name of a column, that begins like
        a formula (``= + - @``, tab, carriage return) and is no number has an apostrophe before it.

    Examples
    --------
    >>> import pandas as pd
    >>> print(csv_text(pd.DataFrame({"study": ["=1+1", "A"], "y": [-0.5, 1.0], "text": ["-0.5", "-a"]})), end="")
    study,y,text
    '=1+1,-0.5,-0.5
    A,1.0,'-a
    """
    same = frame.rename(columns=_guarded_cell)
    texts = [i for i, kind in enumerate(same.dtypes) if kind.kind == "O" or not hasattr(kind, "itemsize")]
    columns = [same.iloc[:, i].map(_guarded_cell) if i in texts else same.iloc[:, i] for i in range(same.shape[1])]
    made = dict(enumerate(columns))
    text = io.StringIO()
    type(frame)(made, index=frame.index).to_csv(text, index=False, header=list(same.columns), lineterminator="\n")
    return text.getvalue()


def _guarded_cell(cell: Any) -> Any:
    # one character computes nothing: "-" stands where there is nothing
    if not isinstance(cell, str) or len(cell) < 2 or not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
