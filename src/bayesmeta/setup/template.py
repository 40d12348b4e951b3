"""A workbook to extract trials into: one sheet per role, lists to choose from, an example of every column."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesmeta.errors import ModelError, find_name

__all__ = ["TEMPLATES", "write_template"]

_LISTS = "Lists"
#: Rows that are prepared, with lists to choose from.
_ROWS = 500


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the template.

    Parameters
    ----------
    name : str
    note : str
        What it means, with an example.
    choices : tuple of str
        What may stand in it; empty: anything.
    least : float or None
        The smallest number; None where it holds text.
    whole : bool
    open : bool
        Whether anything else than the choices may stand in it; its choices are the instruments that are known.
    """

    name: str
    note: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    whole: bool = False
    open: bool = False


@dataclass(frozen=True, slots=True)
class _Sheet:
    title: str
    role: str
    columns: tuple[_Column, ...] = field(default=())


_JUDGED = ("low", "some concerns", "high")
_WHO = (
    _Column("study", "First author and year, written alike in every row of the trial and in every sheet: Segal 2009"),
    _Column("outcome", "What was measured; rows are chosen by it: fatigue"),
    _Column("horizon", "short: up to 12 weeks after the start; long: later", ("short", "long")),
    _Column(
        "instrument", "The scale or questionnaire: FACIT-Fatigue. Another than the listed ones may be typed", open=True
    ),
    _Column("coded_better", "Which numbers of this instrument are better: higher or lower", ("higher", "lower")),
    _Column("arm_t", "The exercise arm, written alike where a trial has several rows: aerobic training"),
    _Column("arm_c", "The arm it is compared with: usual care"),
)
_WHAT = (
    _Column(
        "exercise",
        "Type of exercise in the treated arm",
        ("aerobic", "resistance", "combined", "yoga", "tai chi or qigong", "other"),
    ),
    _Column("timing", "When in cancer treatment", ("before", "during", "after", "during and after")),
    _Column("weeks", "Weeks of exercise: 12", least=0),
    _Column("risk_of_bias", "Overall judgement for this result (RoB 2)", _JUDGED),
    _Column("note", "Anything a reader should know: page and table of the numbers. Table 2, p. 346"),
)


def _people(arm: str, who: str) -> _Column:
    return _Column(f"n_{arm}", f"People analysed in the {who} arm, a whole number: 40", least=1, whole=True)


def _means(arm: str, who: str) -> tuple[_Column, ...]:
    return (
        _people(arm, who),
        _Column(f"mean_{arm}", f"Mean after exercise in the {who} arm: 38.2", least=-1e9),
        _Column(f"sd_{arm}", f"Standard deviation of the scores in the {who} arm, not a standard error: 9.5", least=0),
    )


def _counts(arm: str, who: str) -> tuple[_Column, ...]:
    return (
        _Column(f"events_{arm}", f"People with the event in the {who} arm: 7", least=0, whole=True),
        _people(arm, who),
    )


_EXERCISE = (
    _Sheet("Scores", "scores and other means", (*_WHO, *_means("t", "exercise"), *_means("c", "control"), *_WHAT)),
    _Sheet(
        "Events",
        "counts of people with an event",
        (
            *(column for column in _WHO if column.name not in ("instrument", "coded_better")),
            *_counts("t", "exercise"),
            *_counts("c", "control"),
            *_WHAT,
        ),
    ),
    _Sheet(
        "Estimates",
        "results that papers print as an estimate with its interval",
        (
            *_WHO,
            _Column("estimate", "Estimate of treated less control, or ratio of treated to control: -0.45", least=-1e9),
            _Column("ci_low", "Lower limit of its 95 % interval: -0.84", least=-1e9),
            _Column("ci_high", "Upper limit of its 95 % interval: -0.06", least=-1e9),
            _Column(
                "estimate_measure",
                "Measure that the paper prints; one is pooled at a time (--where estimate_measure=HR --measure HR)",
                ("SMD", "MD", "OR", "RR", "RD", "HR", "IRR"),
            ),
            *_WHAT,
        ),
    ),
)
#: Kinds of templates.
TEMPLATES: tuple[str, ...] = ("exercise",)
_READ_ME = (
    "How to fill in this workbook",
    "",
    "1. One row per comparison, outcome and time. Two exercise arms against one control are two rows of one study.",
    "2. Choose the sheet by what the paper reports; leave sheets empty that you do not need.",
    "3. Point at a header for what the column means and an example. Headers are protected; rows are not.",
    "4. Leave a cell empty where the paper does not report it. Do not fill in a guess.",
    "5. A standard error is not a standard deviation: SD = SE times the root of n.",
    "6. Check it with: bayesmeta check FILE --sheet Scores --measure SMD",
    "7. Pool it with: bayesmeta pool FILE --sheet Scores --measure SMD --better lower --where outcome=fatigue",
    "",
    "Sheets",
)


def write_template(path: str | Path, kind: str = "exercise") -> Path:
    """Write a workbook to extract trials into; what is filled in is read without naming a column.

    Parameters
    ----------
    path : str or Path
        A file ``.xlsx`` that is not there yet.
    kind : {"exercise"}
        Of `TEMPLATES`.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If there is no template of the kind, or the file is no ``.xlsx``.
    FileExistsError
        If the file is there: it may be filled in.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_template(Path(folder) / "exercise.xlsx").name
    'exercise.xlsx'
    """
    path = Path(path)
    kind = find_name("template", kind, TEMPLATES)
    if path.suffix.lower() != ".xlsx":
        raise ModelError(f"{path}: a template is a workbook. Give a name that ends in .xlsx.")
    if path.exists():
        raise FileExistsError(f"{path}: there already, and may be filled in. Choose another name.")
    content = io.BytesIO()
    _workbook(_EXERCISE).save(content)
    path.write_bytes(content.getvalue())
    return path


def _workbook(sheets: tuple[_Sheet, ...]) -> Any:
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    book = Workbook()
    first = book.active
    first.title = "Read me"
    for line in (*_READ_ME, *(f"{sheet.title}: {sheet.role}" for sheet in sheets)):
        first.append([line])
    first["A1"].font = Font(bold=True, size=14)
    first.column_dimensions["A"].width = 85
    for row in first.iter_rows():
        row[0].alignment = Alignment(wrap_text=True, vertical="top")
    first.protection.sheet = True
    for sheet in sheets:
        _fill(book.create_sheet(sheet.title), sheet)
    names = _instruments()
    lists = book.create_sheet(_LISTS)
    for name in names:
        lists.append([name])
    lists.sheet_state = "hidden"
    for sheet in sheets:
        for number, column in enumerate(sheet.columns, 1):
            if column.open:
                # no fault for another: the list only helps to write alike
                rule = DataValidation("list", formula1=f"={_LISTS}!$A$1:$A${len(names)}", allow_blank=True)
                rule.showErrorMessage = False
                book[sheet.title].add_data_validation(rule)
                letter = get_column_letter(number)
                rule.add(f"{letter}2:{letter}{_ROWS + 1}")
    book.active = 1
    return book


def _instruments() -> list[str]:
    """Instruments whose minimal important differences are known."""
    from bayesmeta.plan import mid_registry

    return sorted(set(mid_registry()["instrument"]), key=str.casefold)


def _fill(page: Any, sheet: _Sheet) -> None:
    """Write the header of one sheet, with what may stand below it."""
    from openpyxl.comments import Comment
    from openpyxl.styles import Alignment, Font, PatternFill, Protection
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.properties import PageSetupProperties

    for number, column in enumerate(sheet.columns, 1):
        letter = get_column_letter(number)
        head = page.cell(1, number, column.name)
        head.font, head.fill = Font(bold=True), PatternFill("solid", fgColor="DCE6F1")
        head.alignment = Alignment(vertical="center")
        listed = f"\nOne of: {', '.join(column.choices)}" if column.choices else ""
        head.comment = Comment(f"{column.note}{listed}", "bayesmeta", width=320, height=110)
        wide = max(len(column.name), *(len(choice) for choice in column.choices or ("",))) + 3
        page.column_dimensions[letter].width = max(
            wide, 22 if column.name in ("study", "arm_t", "arm_c", "note") else 10
        )
        for row in range(2, _ROWS + 2):
            cell = page.cell(row, number)
            cell.protection = Protection(locked=False)
            if column.least is None:
                # text: a spreadsheet makes no date of "3-4"
                cell.number_format = "@"
        if (rule := _rule(column)) is not None:
            page.add_data_validation(rule)
            rule.add(f"{letter}2:{letter}{_ROWS + 1}")
    page.freeze_panes = "B2"
    # one page wide where it is printed
    page.page_setup.orientation, page.page_setup.fitToHeight = "landscape", 0
    page.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    page.protection.sheet = True
    # what people do with a table stays allowed
    for name in ("formatCells", "formatColumns", "formatRows", "insertRows", "deleteRows", "sort", "autoFilter"):
        setattr(page.protection, name, False)


def _rule(column: _Column) -> Any:
    """What may be entered, with the message that says so."""
    from openpyxl.worksheet.datavalidation import DataValidation

    if column.choices:
        rule = DataValidation("list", formula1='"' + ",".join(column.choices) + '"', allow_blank=True)
        rule.error = f"Choose one of: {', '.join(column.choices)}"
    elif column.least is not None:
        kind = "whole" if column.whole else "decimal"
        rule = DataValidation(kind, operator="greaterThanOrEqual", formula1=f"{column.least:.0f}", allow_blank=True)
        least = f" of at least {column.least:g}" if column.least > -1e9 else ""
        rule.error = f"Give a {'whole ' if column.whole else ''}number{least}, or leave the cell empty."
    else:
        return None
    rule.errorTitle, rule.showErrorMessage = column.name, True
    rule.promptTitle, rule.prompt, rule.showInputMessage = column.name, column.note[:250], True
    return rule
