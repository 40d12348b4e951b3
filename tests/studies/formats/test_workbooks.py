"""Workbooks and OpenDocument spreadsheets are read as CSV is, and every fault says sheet and cell.

The authority of values is the table that each test writes: the same numbers in CSV give the same effects, to the last
bit. Values of formulas are those that LibreOffice computed.
"""

from __future__ import annotations

import datetime
import io
import shutil
import subprocess
import zipfile

import openpyxl
import pytest
from openpyxl.styles import numbers

import bayesmeta as bm
from bayesmeta import BayesmetaWarning, DataError
from bayesmeta.plan import TableShape
from bayesmeta.protocol import read_protocol
from bayesmeta.studies import read_csv_effects, read_outcome, read_table

HEADER = ["study", "n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c"]
TRIALS = [
    ["Alpha 2010", 30, 10.1, 4.2, 31, 12.3, 4.4],
    ["Beta 2012", 40, 9.7, 5.123456789012345, 38, 11.0, 5.0],
    ["Gamma 2015", 25, 8.8, 3.9, 26, 10.2, 4.1],
]


def saved(tmp_path, rows, name="trials.xlsx", change=None, title="Trials"):
    """Write a workbook of one sheet, by openpyxl."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for row in rows:
        sheet.append(row)
    if change is not None:
        change(book, sheet)
    book.save(tmp_path / name)
    return tmp_path / name


def as_csv(tmp_path):
    path = tmp_path / "same.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in [HEADER, *TRIALS]), encoding="utf-8")
    return path


def lines(path, **how):
    with pytest.raises(DataError) as caught:
        read_csv_effects(path, "SMD", **how)
    return str(caught.value).splitlines()


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Workbooks with formulas, saved by LibreOffice as .xlsx and .ods."""
    folder = tmp_path_factory.mktemp("office")

    def change(book, sheet):
        sheet["C2"] = "=4*2.5+0.1"
        sheet["F4"] = '=IF(A4="Gamma 2015",B4-14.8,0)'
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["G"].hidden = True
        rules = book.create_sheet("Rules")
        for row in (
            ["Study", "Exercise", None, "share", "weeks", "n"],
            [None, "estimate", "se", None, None, None],
            [None, "(SMD)", "(SMD)", None, "(weeks)", None],
            ["A", -0.5, 0.2, 0.25, 12, datetime.datetime(2026, 4, 3)],
            ["B", -0.25, 0.125, 0.5, 8, 30],
        ):
            rules.append(row)
        rules["D4"].number_format, rules["F4"].number_format = "0%", "d-mmm"
        for place in ("A1:A2", "B1:C1", "D1:D2", "E1:E2", "F1:F2"):
            rules.merge_cells(place)
        errors = book.create_sheet("Errors")
        for row in (["study", "estimate", "se"], ["A", "=1/0", 0.2], ["B", 0.1, 0.2]):
            errors.append(row)
        for row in (["Risk", "x"], ["A", "y"]):
            book.create_sheet("Bias").append(row) if "Bias" not in book.sheetnames else book["Bias"].append(row)

    source = saved(folder, [HEADER, *TRIALS], "formulas.xlsx", change)
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        pytest.skip("LibreOffice is not installed")
    for kind in ("xlsx", "ods"):
        out = folder / kind
        command = [office, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", kind]
        subprocess.run([*command, "--outdir", str(out), str(source)], check=True, capture_output=True, timeout=180)
    return folder


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_values_of_formulas_and_hidden_cells_are_read_and_said(converted, tmp_path, kind):
    path = converted / kind / f"formulas.{kind}"
    assert "4 sheets have rows, and none is named" in lines(path)[0]
    assert "Sheets: Trials, Rules, Errors, Bias" in lines(path)[0]
    with pytest.warns(BayesmetaWarning) as said:
        effects = read_csv_effects(path, "SMD", sheet="trials")
    texts = " ".join(str(item.message) for item in said)
    assert "1 row of Trials is hidden and was read: 3" in texts
    assert "1 column of Trials is hidden and was read: sd_c" in texts
    same = read_csv_effects(as_csv(tmp_path), "SMD")
    # 4*2.5+0.1 and 25-14.8 are the CSV's numbers but for their last bits
    assert effects.y == pytest.approx(same.y, rel=1e-12)
    assert effects.study == same.study
    with pytest.warns(BayesmetaWarning):
        assert "2 cells with a formula" in " ".join(read_table(path, sheet="Trials").attrs["notes"])


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_rules_of_cells_are_the_same_in_both_kinds_of_workbook(converted, kind):
    path = converted / kind / f"formulas.{kind}"
    with pytest.raises(DataError) as caught:
        read_table(path, sheet="Rules")
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"formulas.{kind} Rules!F4, column n: it holds the date 2026-04-03, shown as ")
    with pytest.raises(DataError, match=r"Errors!B2, column estimate: the cell holds the error #DIV/0!"):
        read_table(path, sheet="Errors")


def test_the_same_cells_give_the_same_bits_as_csv(tmp_path):
    book, text = saved(tmp_path, [HEADER, *TRIALS]), as_csv(tmp_path)
    one, two = read_csv_effects(book, "SMD"), read_csv_effects(text, "SMD")
    assert one.y.tolist() == two.y.tolist()
    assert one.se.tolist() == two.se.tolist()
    frame = read_table(book)
    assert frame.index.tolist() == [2, 3, 4]
    assert frame["sd_t"].tolist() == [4.2, 5.123456789012345, 3.9]


def test_cells_as_people_type_them_are_those_of_csv(tmp_path):
    rows = [
        ["Study", "events t", "n t", "events c", "n c"],
        ["A", "12/30", None, "9/31", None],
        ["B", "7", 30, "NR", 28],
    ]
    with pytest.raises(DataError) as caught:
        read_csv_effects(saved(tmp_path, rows), "OR")
    assert str(caught.value).startswith("trials.xlsx Trials!D3, column events c: the cell is empty. ")
    comma = [["study", "estimate", "se"], ["A", "0,5", "0,2"], ["B", 0.25, 0.125]]
    assert read_table(saved(tmp_path, comma, "comma.xlsx"))["estimate"].tolist() == [0.5, 0.25]
    exact = [["study", "n_t"], ["A", 1.234], ["B", 20]]
    # a number is no matter of separators, a text is
    assert read_table(saved(tmp_path, exact, "exact.xlsx"))["n_t"].tolist() == [1.234, 20]
    exact[1][1] = "1.234"
    with pytest.raises(DataError, match=r"typed\.xlsx Trials!B2, column n_t: 1\.234 can be read as 1\.234 and as 1234"):
        read_table(saved(tmp_path, exact, "typed.xlsx"))


def test_every_fault_says_sheet_cell_rule_and_remedy_at_once(tmp_path):
    rows = [HEADER, *[list(row) for row in TRIALS]]
    rows[1][3], rows[2][1], rows[3][6] = -1, "forty", None
    found = lines(saved(tmp_path, rows, title="My trials"))
    assert [line.partition(". ")[0] for line in found] == [
        "trials.xlsx 'My trials'!D2, column sd_t: -1 is not > 0",
        "trials.xlsx 'My trials'!B3, column n_t: 'forty' is not a number",
        "trials.xlsx 'My trials'!G4, column sd_c: the cell is empty",
    ]
    # a remedy follows each
    assert all(line.partition(". ")[2] for line in found)


def test_titles_merged_headers_and_units(tmp_path):
    def change(_, sheet):
        sheet.merge_cells("A3:A4")
        sheet.merge_cells("B3:D3")
        sheet.merge_cells("E3:G3")

    top = [
        ["Review of exercise in cancer", None, None, None, None, None, None],
        ["extracted by AB", None, None, None, None, None, None],
        ["Study", "Exercise", None, None, "Control", None, None],
        [None, "N", "Mean", "SD", "N", "Mean", "SD"],
        [None, "(people)", "(points)", "(points)", "n", "points", "points"],
    ]
    path = saved(tmp_path, [*top, *TRIALS], change=change)
    frame = read_table(path)
    assert list(frame.columns) == [
        *("Study", "Exercise N", "Exercise Mean", "Exercise SD", "Control N", "Control Mean", "Control SD"),
        "study",
    ]
    notes = " ".join(frame.attrs["notes"])
    assert "above the header, not read: 'Review of exercise in cancer'; 'extracted by AB'" in notes
    assert "a header of rows 3 to 4" in notes
    assert "row 5 holds units, not read" in notes
    names = {
        f"{stem}_{arm}": f"{group} {word}"
        for arm, group in (("t", "Exercise"), ("c", "Control"))
        for stem, word in (("n", "N"), ("mean", "Mean"), ("sd", "SD"))
    }
    effects = read_csv_effects(path, "SMD", columns=names)
    assert effects.y.tolist() == read_csv_effects(as_csv(tmp_path), "SMD").y.tolist()
    # what was done stands in findings and, by row, in the ledger
    rows = [*top, *[list(row) for row in TRIALS]]
    rows[6][6] = 0
    found = lines(saved(tmp_path, rows, "fault.xlsx", change), columns=names)
    assert found[0].startswith("fault.xlsx Trials!G7, column Control SD: 0 ")


@pytest.mark.parametrize(
    ("row", "asked"),
    [([None, "people", "points", "(x)", None, None, None], True), (["Delta", "x", "y", "z", "a", "b", "c"], False)],
)
def test_a_row_that_may_be_units_or_a_trial_is_asked_about(tmp_path, row, asked):
    found = " ".join(lines(saved(tmp_path, [HEADER, row, *TRIALS])))
    assert ("Trials row 2: it may be a row of units or a trial without a name" in found) == asked
    assert ("Trials!B2, column n_t: 'x' is not a number" in found) != asked


def test_a_sheet_without_a_header_and_headings_that_were_not_merged_are_faults(tmp_path):
    assert "there is no header" in lines(saved(tmp_path, TRIALS, "none.xlsx"))[0]
    twice = [["study", "N", "Mean", "SD", "N", "Mean", "SD"], *TRIALS]
    found = lines(saved(tmp_path, twice, "twice.xlsx"))
    assert found[0].startswith("twice.xlsx Trials: columns B and E are named 'N'")
    unnamed = [["study", "n_t", "mean_t", "sd_t", "n_c", "mean_c", None], *TRIALS]
    assert lines(saved(tmp_path, unnamed, "unnamed.xlsx"))[0].startswith("unnamed.xlsx Trials!G2: column G has cells")


def test_dates_that_excel_made_of_ranges_are_faults(tmp_path):
    rows = [HEADER, *[list(row) for row in TRIALS]]
    rows[2][1] = datetime.datetime(2026, 4, 3)

    def change(_, sheet):
        sheet["B3"].number_format = "d-mmm"
        for row, day in ((2, 1), (3, 2), (4, 3)):
            sheet.cell(row, 8, datetime.date(2020, 1, day))
        sheet["H1"] = "published"

    found = lines(saved(tmp_path, rows, change=change))
    assert found == [
        "trials.xlsx Trials!B3, column n_t: it holds the date 2026-04-03, shown as d-mmm; spreadsheets make a date of "
        "texts such as 3-4. Format the cell as text or number, and type its content again."
    ]
    # in a column of texts too; a column of dates alone is one of dates
    rows[2][1] = 40
    path = saved(
        tmp_path, rows, "fine.xlsx", change=lambda b, s: (change(b, s), setattr(s["B3"], "number_format", "0"))
    )
    assert read_table(path)["published"].tolist()[0].startswith("2020-01-01")
    # one that is not known makes no others of them
    path = saved(
        tmp_path,
        rows,
        "known.xlsx",
        lambda b, s: (change(b, s), s["B3"].__setattr__("number_format", "0"), s["H3"].__setattr__("value", "NA")),
    )
    assert read_table(path)["published"].isna().tolist() == [False, True, False]
    mixed = [["study", "estimate", "se", "weeks"], ["A", 0.1, 0.2, "8-12"], ["B", 0.2, 0.2, datetime.date(2026, 8, 12)]]
    with pytest.raises(DataError, match=r"mixed\.xlsx Trials!D3, column weeks: it holds the date 2026-08-12"):
        read_table(saved(tmp_path, mixed, "mixed.xlsx"))


def test_dates_of_two_parts_are_faults_in_any_column(tmp_path):
    """A moderator whose every cell was "3-4" or "8-12" has dates alone, shown as spreadsheets show what they made."""
    days = (datetime.datetime(2026, 4, 3), datetime.datetime(2026, 12, 8))
    rows = [["study", "estimate", "se", "weeks"], ["A", 0.1, 0.2, days[0]], ["B", 0.2, 0.2, days[1]]]

    def change(_, sheet):
        sheet["D2"].number_format = sheet["D3"].number_format = "d-mmm"

    with pytest.raises(DataError) as caught:
        read_table(saved(tmp_path, rows, change=change))
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "trials.xlsx Trials!D2, column weeks",
        "trials.xlsx Trials!D3, column weeks",
    ]


def test_a_name_that_is_merged_over_rows_is_that_of_each(tmp_path):
    rows = [["study", "outcome", "estimate", "se"], ["A", "fatigue", 0.1, 0.2], [None, "sleep", 0.2, 0.2]]
    path = saved(tmp_path, rows, change=lambda _, sheet: sheet.merge_cells("A2:A3"))
    frame = read_table(path)
    assert frame["study"].tolist() == ["A", "A"]
    assert "A2:A3 are merged: 'A' read in each row" in frame.attrs["notes"]
    # without the merge nothing says so
    with pytest.raises(DataError, match=r"plain\.xlsx Trials!A3, column study"):
        read_csv_effects(saved(tmp_path, rows, "plain.xlsx"), where={"outcome": "sleep"})


@pytest.mark.parametrize("end", ["A", "B", "D", "E", "F", "G"])
def test_a_title_is_no_header_wherever_its_merged_cell_ends(tmp_path, end):
    rows = [["Review of exercise in cancer", *[None] * 6], HEADER, *TRIALS]
    frame = read_table(saved(tmp_path, rows, change=lambda _, sheet: sheet.merge_cells(f"A1:{end}1")))
    assert list(frame.columns) == HEADER
    assert frame.attrs["notes"] == ("above the header, not read: 'Review of exercise in cancer'",)


def test_cells_that_are_merged_over_columns_are_said(tmp_path):
    rows = [
        ["study", "arm", "estimate", "se"],
        *(["A", None, 0.1, 0.2], [None, None, 0.2, 0.2], ["B", "x", 0.3, 0.4], ["C", "y", 0.5, None]),
    ]

    def change(_, sheet):
        sheet.merge_cells("A2:B3")
        sheet.merge_cells("C5:D5")

    frame = read_table(saved(tmp_path, rows, change=change))
    assert frame["study"].tolist() == ["A", "A", "B", "C"]
    assert frame["arm"].isna().tolist() == [True, True, False, False]
    assert frame.attrs["notes"] == (
        "A2:B3 are merged: 'A' read in each row in column A alone",
        "C5:D5 are merged: '0.5' read in column C alone",
    )


def test_percent_cells_are_numbers_and_noted(tmp_path):
    rows = [["study", "estimate", "se", "dropout"], ["A", 0.1, 0.2, 0.25], ["B", 0.2, 0.2, 0.1]]

    def change(_, sheet):
        sheet["D2"].number_format = numbers.FORMAT_PERCENTAGE

    path = saved(tmp_path, rows, change=change)
    assert read_table(path)["dropout"].tolist() == [0.25, 0.1]
    effects = read_csv_effects(path)
    assert "dropout: the cell shows 25 %, read as 0.25" in effects.ledger[0].assumptions
    assert not any("dropout" in text for text in effects.ledger[1].assumptions)
    counts = [["study", "n", "events"], ["A", 20, 0.25], ["B", 30, 4]]
    path = saved(
        tmp_path, counts, "counts.xlsx", lambda _, s: setattr(s["C2"], "number_format", numbers.FORMAT_PERCENTAGE)
    )
    with pytest.raises(DataError, match=r"counts\.xlsx Trials!C2, column events: 0\.25 .*whole"):
        read_csv_effects(path, "PLO")


def test_errors_and_formulas_without_a_value_are_faults(tmp_path):
    rows = [HEADER, *[list(row) for row in TRIALS]]
    rows[1][2], rows[3][5] = "#DIV/0!", "=B4-14.8"
    rows[2][4] = "#N/A"
    found = lines(saved(tmp_path, rows))
    assert found[0].startswith("trials.xlsx Trials!C2, column mean_t: the cell holds the error #DIV/0!")
    assert found[1].startswith("trials.xlsx Trials!F4, column mean_c: the formula =B4-14.8 has no saved value. Open")
    # as in CSV, #N/A says that there is nothing
    rows[1][2], rows[3][5] = 10.1, 10.2
    assert lines(saved(tmp_path, rows, "na.xlsx"))[0].startswith("na.xlsx Trials!E3, column n_c: the cell is empty")


def repacked(path, *, drop=(), add=()):
    """Write a packed file anew, with other members."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.namelist():
            if item not in drop:
                new.writestr(item, old.read(item))
        for name, data in add:
            new.writestr(name, data)
    return out.getvalue()


def test_what_is_refused(tmp_path):
    good = saved(tmp_path, [HEADER, *TRIALS])
    sheet = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(good) as packed:
        xml = packed.read(sheet)
    entity = xml.replace(b"<worksheet", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><worksheet', 1)
    for name, content, what in (
        ("macro.xlsm", repacked(good, add=[("xl/vbaProject.bin", b"x")]), "it holds macros"),
        ("links.xlsx", repacked(good, add=[("xl/externalLinks/externalLink1.xml", b"<a/>")]), "from other workbooks"),
        ("entity.xlsx", repacked(good, drop=[sheet], add=[(sheet, entity)]), "declares a document type or entities"),
        ("bomb.xlsx", repacked(good, add=[("xl/media/x.bin", b"\0" * (257 * 2**20))]), "it unpacks to"),
        ("cut.xlsx", good.read_bytes()[:-400], "it is damaged"),
        (
            "old.xls",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 600,
            "a workbook of the old kind (.xls), or protected",
        ),
        ("other.zip", repacked(good, drop=["xl/workbook.xml"]), "neither a workbook nor a Cochrane data package"),
        ("~$trials.xlsx", b"AB", "Name trials.xlsx"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        found = lines(path)
        assert len(found) == 1, name
        assert found[0].startswith(name), name
        assert what in found[0], name


def test_one_formatted_cell_at_the_end_of_a_sheet_costs_nothing(tmp_path):
    def change(_, sheet):
        sheet["XFD1048576"].number_format = "0.00"

    assert len(read_table(saved(tmp_path, [HEADER, *TRIALS], change=change))) == 3


def test_a_protocol_reads_a_sheet_pins_it_and_takes_windows_paths(tmp_path):
    book = saved(
        tmp_path, [HEADER, *TRIALS], change=lambda b, _: (b.create_sheet("More").append(["a"]), b["More"].append([1]))
    )
    text = """
schema = 2
title = "Trials in a workbook"
[data]
path = 'data\\trials.xlsx'
sheet = "Trials"
[defaults]
measure = "SMD"
better = "lower"
priors = "published"
[outcome.fatigue]
label = "Fatigue"
"""
    (tmp_path / "data").mkdir()
    shutil.copy(book, tmp_path / "data" / "trials.xlsx")
    protocol = tmp_path / "protocol.toml"
    protocol.write_text(text, encoding="utf-8")
    from bayesmeta.protocol import pin_data

    pin_data(protocol)
    reading = read_outcome(read_protocol(protocol), "fatigue")
    assert reading.effects.y.tolist() == read_csv_effects(as_csv(tmp_path), "SMD").y.tolist()
    assert bm.read_protocol(protocol).data.sha256 == reading.sha256
    assert read_table(book, sheet="Trials", shape=TableShape()).shape == (3, 7)
    (tmp_path / "data" / "trials.xlsx").write_bytes(saved(tmp_path, [HEADER, *TRIALS[:2]], "two.xlsx").read_bytes())
    with pytest.raises(DataError, match=r"trials\.xlsx.*"):
        read_outcome(read_protocol(protocol), "fatigue")


def test_a_text_file_has_no_sheet(tmp_path):
    with pytest.raises(DataError, match="it is a text file"):
        read_table(as_csv(tmp_path), sheet="Trials")
