"""The template: what is filled in is read back without naming a column, and fits.

Authority: the same rows in CSV.
"""

from __future__ import annotations

import openpyxl
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta import ModelError
from bayesmeta.setup import write_template
from bayesmeta.studies import read_csv_effects, read_outcome, unread_columns
from bayesmeta_cli.main import main

ROWS = [
    ("Alpha 2010", 30, 10.1, 4.2, 31, 12.3, 4.4, "low"),
    ("Beta 2012", 40, 9.7, 5.1, 38, 11.0, 5.0, "some concerns"),
    ("Gamma 2015", 25, 8.8, 3.9, 26, 10.2, 4.1, "high"),
]
NUMBERS = ("study", "n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c", "risk_of_bias")
WORDS = {
    "outcome": "fatigue",
    "horizon": "short",
    "coded_better": "lower",
    "arm_t": "aerobic",
    "arm_c": "usual care",
    "exercise": "aerobic",
    "timing": "during",
}


@pytest.fixture
def filled(tmp_path):
    path = write_template(tmp_path / "exercise.xlsx")
    book = openpyxl.load_workbook(path)
    sheet = book["Scores"]
    places = {cell.value: cell.column for cell in sheet[1]}
    for row, cells in enumerate(ROWS, 2):
        for name, value in {**dict(zip(NUMBERS, cells, strict=True)), **WORDS}.items():
            sheet.cell(row, places[name], value)
    book.save(path)
    return path


def test_what_is_filled_in_is_read_back_and_pooled(filled, tmp_path, capsys):
    # the other sheets are empty, so that none need be named
    effects = read_csv_effects(filled, "SMD", better="lower")
    text = tmp_path / "same.csv"
    text.write_text("\n".join([",".join(NUMBERS), *(",".join(map(str, row)) for row in ROWS)]), encoding="utf-8")
    assert effects.y.tolist() == read_csv_effects(text, "SMD", better="lower").y.tolist()
    assert effects.arms == (("aerobic", "usual care"),) * 3
    assert main(["pool", str(filled), "--measure", "SMD", "--better", "lower"]) == 0
    assert "3 estimates of 3 trials, 190 participants" in capsys.readouterr().out
    protocol = bm.table_protocol(filled, measure="SMD", better="lower", moderators=("exercise",))
    reading = read_outcome(protocol, "exercise")
    assert reading.risk_of_bias["overall"].tolist() == ["low", "some concerns", "high"]


def test_the_workbook_helps_to_fill_it_in(tmp_path):
    book = openpyxl.load_workbook(write_template(tmp_path / "new.xlsx"))
    assert book.sheetnames == ["Read me", "Scores", "Events", "Estimates", "Lists"]
    assert book["Lists"].sheet_state == "hidden"
    for name in ("Scores", "Events", "Estimates"):
        sheet = book[name]
        names = [cell.value for cell in sheet[1]]
        assert all(cell.comment is not None for cell in sheet[1])
        assert sheet.protection.sheet
        assert sheet["A1"].protection.locked
        assert not sheet["A2"].protection.locked
        assert sheet.freeze_panes == "B2"
        lists = {
            names[next(iter(item.sqref.ranges)).min_col - 1]: item.formula1
            for item in sheet.data_validations.dataValidation
            if item.type == "list"
        }
        assert {"exercise", "timing", "risk_of_bias", "horizon"} <= set(lists)
        # Excel allows 255 characters in a list that is written out
        assert all(len(text) <= 257 for text in lists.values())
    assert "coded_better" in [cell.value for cell in book["Scores"][1]]
    # every column is one that tables may have
    columns = {cell.value for name in ("Scores", "Events", "Estimates") for cell in book[name][1]}
    assert set(unread_columns(pd.DataFrame(columns=sorted(columns)))) == {"instrument", "exercise", "timing", "weeks"}


def test_a_filled_workbook_is_never_overwritten(filled, tmp_path):
    before = filled.read_bytes()
    assert main(["template", str(filled)]) == 2
    assert filled.read_bytes() == before
    with pytest.raises(ModelError, match=r"\.xlsx"):
        write_template(tmp_path / "new.ods")
    with pytest.raises(ModelError, match="there is no template 'diet'"):
        write_template(tmp_path / "new.xlsx", "diet")
    assert main(["template", str(tmp_path / "made.xlsx")]) == 0
    assert (tmp_path / "made.xlsx").exists()
