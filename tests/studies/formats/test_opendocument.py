"""OpenDocument spreadsheets as odfpy writes them, besides those of LibreOffice (test_workbooks).

The authority of values is the table that each test writes.
"""

from __future__ import annotations

import tracemalloc

import pytest
from odf.opendocument import OpenDocumentSpreadsheet
from odf.style import Style, TableProperties
from odf.table import Table, TableCell, TableColumn, TableHeaderRows, TableRow
from odf.text import P

from bayesmeta import BayesmetaWarning, DataError
from bayesmeta.studies import read_csv_effects, read_table

HEADER = ["study", "estimate", "se"]
TRIALS = [["Alpha", -0.5, 0.25], ["Beta", 0.125, 0.2]]


def cell(value, **more):
    """A cell with a value of any kind; ``more`` are attributes."""
    if value is None:
        return TableCell(**more)
    if isinstance(value, float | int):
        made = TableCell(valuetype="float", value=value, **more)
    else:
        made = TableCell(valuetype="string", **more)
    made.addElement(P(text=str(value)))
    return made


def row(values, **more):
    made = TableRow(**more)
    for value in values:
        made.addElement(value if hasattr(value, "qname") else cell(value))
    return made


def saved(tmp_path, sheets, name="trials.ods"):
    """Write sheets, each a name and its rows; a name with a trailing * is not displayed."""
    book = OpenDocumentSpreadsheet()
    style = Style(name="ta_unseen", family="table")
    style.addElement(TableProperties(display="false"))
    book.automaticstyles.addElement(style)
    for title, rows in sheets.items():
        hidden = {"stylename": style} if title.endswith("*") else {}
        table = Table(name=title.removesuffix("*"), **hidden)
        for item in rows:
            table.addElement(item if hasattr(item, "qname") else row(item))
        book.spreadsheet.addElement(table)
    path = tmp_path / name
    book.save(str(path))
    return path


def test_values_and_places(tmp_path):
    frame = read_table(saved(tmp_path, {"Trials": [HEADER, *TRIALS]}))
    assert frame["estimate"].tolist() == [-0.5, 0.125]
    assert frame.index.tolist() == [2, 3]
    broken = saved(tmp_path, {"Trials": [HEADER, TRIALS[0], ["Beta", 0.1, -1]]}, "broken.ods")
    with pytest.raises(DataError, match=r"broken\.ods Trials!C3, column se: -1 is not > 0"):
        read_csv_effects(broken)


def test_sheets_that_are_not_displayed_are_not_chosen(tmp_path):
    old = [HEADER, ["Alpha", 9, 9], ["Beta", 9, 9]]
    path = saved(tmp_path, {"Old*": old, "Trials": [HEADER, *TRIALS]})
    assert read_table(path)["estimate"].tolist() == [-0.5, 0.125]
    # who names it gets it
    assert read_table(path, sheet="Old")["estimate"].tolist() == [9, 9]
    with pytest.raises(DataError, match=r"there is no sheet 'x'\. Sheets: Old \(hidden\), Trials"):
        read_table(path, sheet="x")


def test_cells_rows_and_columns_that_repeat(tmp_path):
    rows = [
        HEADER,
        row([cell("Alpha"), cell(0.25, numbercolumnsrepeated=2), cell(None, numbercolumnsrepeated=16381)]),
        row([cell(None, numbercolumnsrepeated=16384)], numberrowsrepeated=2),
        row([cell("Beta"), cell(0.5), cell(0.2)], numberrowsrepeated=2),
        row([cell(None, numbercolumnsrepeated=16384)], numberrowsrepeated=1_048_570),
    ]
    frame = read_table(saved(tmp_path, {"Trials": rows}))
    assert frame.index.tolist() == [2, 5, 6]
    assert frame[["estimate", "se"]].values.tolist() == [[0.25, 0.25], [0.5, 0.2], [0.5, 0.2]]


@pytest.mark.parametrize(
    ("repeated", "rows"),
    [({"numbercolumnsrepeated": 2_000_000_000}, 1), ({}, 2_000_000_000), ({"numbercolumnsrepeated": 16000}, 1_000_000)],
)
def test_cells_that_repeat_without_end_are_a_fault_and_take_no_memory(tmp_path, repeated, rows):
    last = row([cell("Gamma"), cell(0.5, **repeated), cell(0.2)], numberrowsrepeated=rows)
    path = saved(tmp_path, {"Trials": [HEADER, *TRIALS, last]})
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"^trials\.ods Trials: filled cells are repeated to row .*16,384 columns"):
            read_table(path)
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()


def test_rows_are_not_cut(tmp_path):
    rows = [HEADER, row([cell("Alpha"), cell(0.5), cell(0.2)], numberrowsrepeated=110_000)]
    assert len(read_table(saved(tmp_path, {"Trials": rows}))) == 110_000


def test_header_rows_hidden_columns_percents_dates_and_formulas(tmp_path):
    head = TableHeaderRows()
    head.addElement(row([*HEADER, "share", "published"]))
    share = TableCell(valuetype="percentage", value=0.25)
    share.addElement(P(text="25%"))
    day = TableCell(valuetype="date", datevalue="2020-01-02")
    day.addElement(P(text="2020-01-02"))
    made = TableCell(valuetype="float", value=-0.5, formula="of:=[.B3]-1")
    made.addElement(P(text="-0.5"))
    rows = [
        TableColumn(numbercolumnsrepeated=3),
        TableColumn(visibility="collapse"),
        head,
        row([cell("Alpha"), made, cell(0.25), share, day]),
    ]
    with pytest.warns(BayesmetaWarning, match="1 column of Trials is hidden and was read: share"):
        frame = read_table(saved(tmp_path, {"Trials": rows}))
    assert frame["share"].tolist() == [0.25]
    assert frame.attrs["percents"] == {"share": {2: "25 %"}}
    assert frame.attrs["dates"] == {"published": {2: "2020-01-02, shown as 2020-01-02"}}
    assert "1 cell with a formula" in " ".join(frame.attrs["notes"])
