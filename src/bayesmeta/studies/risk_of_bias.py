"""Judgements of risk of bias as a table has them, in one spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bayesmeta.errors import Finding
from bayesmeta.plan import ROB_JUDGEMENTS, RiskOfBias, RobTool
from bayesmeta.studies.columns import FrameFaults

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["OVERALL", "differing", "read_risk_of_bias", "undescribed_risk_of_bias"]

#: The last column of the frame of judgements.
OVERALL = "overall"
_EMPTY = ("", "nan", "none", "<na>", "na", "n/a", "nr", "not judged", "not reported", ".")
#: Signs, as RevMan prints them for RoB 2 and robvis for ROBINS-I, and other spellings.
_SPELLED: Mapping[RobTool, Mapping[str, str]] = {
    "RoB 2": {
        **dict.fromkeys(("+", "l", "low risk"), "low"),
        **dict.fromkeys(
            ("?", "!", "some", "some concern", "sc", "unclear", "unclear risk", "moderate"), "some concerns"
        ),
        **dict.fromkeys(("-", "x", "h", "high risk"), "high"),
    },
    "ROBINS-I": {
        **dict.fromkeys(("+", "l", "low risk"), "low"),
        **dict.fromkeys(("-", "m", "moderate risk"), "moderate"),
        **dict.fromkeys(("x", "s", "serious risk"), "serious"),
        **dict.fromkeys(("!", "c", "critical risk"), "critical"),
        **dict.fromkeys(("?", "ni", "no info", "unclear"), "no information"),
    },
}
# true minus and dashes
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"))


def _word(cell: object, tool: RobTool) -> str | None:
    """The judgement of a cell, empty where there is none; None for what the tool does not know."""
    text = " ".join(str(cell).translate(_DASHES).replace("_", " ").lower().split()).removesuffix(" of bias")
    if text in _EMPTY:
        return ""
    return text if text in ROB_JUDGEMENTS[tool] else _SPELLED[tool].get(text)


def read_risk_of_bias(frame: pd.DataFrame, stated: RiskOfBias, faults: FrameFaults) -> pd.DataFrame:
    """Read the judgements of rows; what the tool does not know is a fault with row and column.

    Parameters
    ----------
    frame : pandas.DataFrame
        The rows.
    stated : RiskOfBias
    faults : FrameFaults

    Returns
    -------
    pandas.DataFrame
        One column per domain, in the order stated, and ``overall``; the tool's words, empty where nothing is judged.

    Examples
    --------
    >>> rows = pd.DataFrame({"study": ["A", "B"], "rob": ["Low risk", "+"], "d1": ["?", None]})
    >>> read_risk_of_bias(rows, RiskOfBias(overall="rob", domains={"Missing data": "d1"}), FrameFaults(rows))
        Missing data overall
    0  some concerns     low
    1                    low
    """
    made: dict[str, list[str]] = {}
    for name, column in {**stated.domains, OVERALL: stated.overall}.items():
        if column not in frame.columns:
            faults.missing_column(column, frame, "Name the columns of the judgements under risk_of_bias.")
            continue
        cells = frame[column].tolist()
        words = [_word(cell, stated.tool) for cell in cells]
        # robvis draws some concerns as a minus and high risk as a cross; RevMan draws high risk as a minus
        crossed = stated.tool == "RoB 2" and any(str(cell).strip().lower() == "x" for cell in cells)
        for row, (cell, word) in enumerate(zip(cells, words, strict=True)):
            if word is None:
                allowed = ", ".join(stated.judgements)
                faults.add(
                    f"{cell!r} is not a judgement of {stated.tool}",
                    f"Write {allowed}, a usual sign (+, -, ?, x) or nothing.",
                    row=row,
                    column=column,
                )
            elif crossed and str(cell).translate(_DASHES).strip() == "-":
                faults.add(
                    f"{cell!r} stands beside x: it is high risk in RevMan and some concerns in robvis",
                    f"Write words: {', '.join(stated.judgements)}.",
                    row=row,
                    column=column,
                )
        made[name] = [word or "" for word in words]
    return pd.DataFrame(made, index=frame.index)


def undescribed_risk_of_bias(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Overall judgements of a column ``risk_of_bias`` that no protocol describes, in any tool's words; None without it.

    What no tool knows stays as it is: nothing was promised of such a column.

    Examples
    --------
    >>> rows = pd.DataFrame({"risk_of_bias": ["High risk", "serious", "ask the authors"]})
    >>> undescribed_risk_of_bias(rows)["overall"].tolist()
    ['high', 'serious', 'ask the authors']
    """
    column = RiskOfBias().overall
    if column not in frame.columns:
        return None
    words = []
    for cell in frame[column].tolist():
        known = next((word for tool in ROB_JUDGEMENTS if (word := _word(cell, tool)) is not None), None)
        words.append(str(cell).strip() if known is None else known)
    return pd.DataFrame({OVERALL: words}, index=frame.index)


def differing(judged: pd.DataFrame, study: Sequence[str]) -> list[Finding]:
    """Say in which trials the overall judgement of rows differs."""
    found = []
    for name, rows in judged[OVERALL].groupby(list(study), sort=False):
        words = list(dict.fromkeys(rows))
        if len(words) > 1:
            what = f"{name}: rows are judged {' and '.join(word or 'not at all' for word in words)}"
            found.append(Finding("risk of bias differs in a trial", "info", what, "Check that this is meant."))
    return found
