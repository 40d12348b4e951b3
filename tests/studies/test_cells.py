"""Cells as people type them: what is read, what is said of it, and what is a fault.

Authority: the cells themselves, written beside what a person reads in them; numbers of effects by the formulas of
Hedges' g and the log odds ratio, which R confirms elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bayesmeta.errors import BayesmetaWarning, DataError
from bayesmeta.studies import effect_sizes, read_csv_effects, read_outcome, read_table

# the same sums in another order
ROUNDING = 1e-12


def write(folder, text: str, name: str = "trials.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# -- several numbers in one cell ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "1.2 (0.8-1.9)",
        "1.2 (0.8 - 1.9)",
        "1.2 (0.8\u20131.9)",
        "1.2 (0.8 to 1.9)",
        "1.2 (0.8, 1.9)",
        "1.2 (0.8; 1.9)",
        "1.2 [0.8, 1.9]",
        "1.2 (95% CI 0.8 to 1.9)",
        "1.2 (95 % CI: 0.8-1.9)",
        "1,2 (0,8-1,9)",
    ],
)
def test_an_estimate_with_its_interval(cell):
    effects = effect_sizes(pd.DataFrame({"study": ["A"], "estimate": [cell]}), "OR")
    assert effects.y[0] == pytest.approx(math.log(1.2), rel=ROUNDING)
    assert effects.se[0] == pytest.approx(math.log(1.9 / 0.8) / (2 * 1.959963984540054), rel=1e-9)
    (note,) = [text for text in effects.ledger[0].assumptions if "read as" in text]
    assert note == f"estimate {cell!r} read as estimate with its interval: estimate 1.2, ci_low 0.8, ci_high 1.9"


def test_negative_ends_of_an_interval():
    cells = ["-0.5 (-1.2--0.1)", "\u22120.5 (\u22121.2 to \u22120.1)", "-0.5 (-1.2; -0.1)"]
    effects = effect_sizes(pd.DataFrame({"study": list("ABC"), "estimate": cells}), "MD")
    np.testing.assert_allclose(effects.y, -0.5, rtol=ROUNDING)
    np.testing.assert_allclose(effects.se, 1.1 / (2 * 1.959963984540054), rtol=1e-9)


@pytest.mark.parametrize(
    "cell", ["12.1 \u00b1 4.0", "12.1\u00b14", "12.1 +/- 4.0", "12.1 (4.0)", "12.1 (SD 4.0)", "12,1 (SD = 4,0)"]
)
def test_a_mean_with_its_standard_deviation(cell):
    table = pd.DataFrame({"study": ["A"], "n_t": [30], "mean_t": [cell], "n_c": [28], "mean_c": ["14 (5)"]})
    effects = effect_sizes(table, "MD")
    assert effects.y[0] == pytest.approx(-1.9, rel=ROUNDING)
    assert effects.se[0] == pytest.approx(math.sqrt(16 / 30 + 25 / 28), rel=ROUNDING)
    assert any("mean with its standard deviation" in text for text in effects.ledger[0].assumptions)


def test_a_cell_that_says_se_is_a_standard_error():
    table = pd.DataFrame(
        {"study": ["A"], "n_t": [30], "mean_t": ["12.1 (SE 0.8)"], "n_c": [28], "mean_c": ["14 (SE 0.9)"]}
    )
    effects = effect_sizes(table, "MD")
    assert effects.se[0] == pytest.approx(math.hypot(0.8, 0.9), rel=ROUNDING)
    assert any("standard error: mean_t 12.1, se_t 0.8" in text for text in effects.ledger[0].assumptions)


@pytest.mark.parametrize("cell", ["12/30", "12 / 30", "12 of 30", "12/30 (40%)", "12/30 (40.0 %)"])
def test_events_of_participants(cell):
    effects = effect_sizes(pd.DataFrame({"study": ["A"], "events_t": [cell], "events_c": ["20/31"]}), "OR")
    assert effects.y[0] == pytest.approx(math.log(12 / 18 * 11 / 20), rel=ROUNDING)
    assert effects.n.tolist() == [[30.0, 31.0]]


def test_rows_of_both_forms_stand_in_one_table(tmp_path):
    path = write(tmp_path, "study,events_t,n_t,events_c,n_c\nA,12/30,,20/31,\nB,5,20,8,22\n")
    effects = read_csv_effects(path, "OR")
    assert effects.n.tolist() == [[30.0, 31.0], [20.0, 22.0]]
    assert not any("read as" in text for text in effects.ledger[1].assumptions)


@pytest.mark.parametrize("cell", ["(32.8 to 41.0)", "32,8 to 41,0", "[32.8; 41.0]", "(95% CI 32.8\u201341.0)"])
def test_an_interval_of_a_mean_alone_in_its_cell(cell):
    row = {"study": ["F"], "n_t": [22], "mean_t": [36.9], "ci_t": [cell]}
    row |= {"n_c": [21], "mean_c": [33.0], "ci_low_c": [28.5], "ci_high_c": [37.5]}
    apart = {**row, "ci_low_t": [32.8], "ci_high_t": [41.0]}
    del apart["ci_t"]
    one, two = (effect_sizes(pd.DataFrame(item), "SMD") for item in (row, apart))
    assert (one.y[0], one.se[0]) == (two.y[0], two.se[0])
    assert any("read as interval" in text for text in one.ledger[0].assumptions)


@pytest.mark.parametrize("cell", ["3.2 (2.1-4.8)", "3,2 [2,1; 4,8]", "3.2 (IQR: 2.1, 4.8)"])
def test_a_median_with_two_numbers_of_a_kind_that_the_column_says(cell):
    row = {"study": ["C"], "n_t": [25], "n_c": [27], "median_c": [4.1]}
    for kind, low, high in (("iqr", "q1", "q3"), ("range", "low", "high")):
        ends = {f"{low}_c": [2.9], f"{high}_c": [5.9]}
        one = effect_sizes(pd.DataFrame({**row, **ends, f"median_{kind}_t": [cell]}), "MD")
        apart = {"median_t": [3.2], f"{low}_t": [2.1], f"{high}_t": [4.8]}
        two = effect_sizes(pd.DataFrame({**row, **ends, **apart}), "MD")
        assert (one.y[0], one.se[0]) == (two.y[0], two.se[0])


def test_what_a_column_of_packed_cells_cannot_split_is_a_fault(tmp_path):
    header = "study,n_t,mean_t,sd_t,n_c,mean_c,sd_c,ci_t,median_iqr_c\n"
    path = write(tmp_path, header + "A,10,1,1,10,2,1,about 3,n/a\nB,10,1,1,10,2,1,,3.2 (2.7)\n")
    with pytest.raises(DataError) as caught:
        read_csv_effects(path, "SMD")
    texts = [str(fault) for fault in caught.value.faults]
    assert any("row 2, column ci_t: 'about 3' is not an interval" in text for text in texts)
    assert any("row 3, column median_iqr_c" in text and "q1_c, q3_c" in text for text in texts)
    assert len(texts) == 2


def test_what_a_cell_says_and_a_column_contradicts_is_a_fault(tmp_path):
    path = write(tmp_path, "study,events_t,n_t,events_c,n_c\nA,12/30,31,20,31\nB,12/30,30,20,31\n")
    with pytest.raises(DataError, match=r"row 2, column events_t: '12/30' says n_t 30, and the table says 31"):
        read_csv_effects(path, "OR")


@pytest.mark.parametrize("cell", ["12.1 (10.2-14.0)", "12.1 4.0", "about 12", "12/30/2"])
def test_what_cannot_be_split_is_named(cell):
    table = pd.DataFrame(
        {"study": ["A"], "n_t": [30], "mean_t": [cell], "sd_t": [4], "n_c": [28], "mean_c": [14], "sd_c": [5]}
    )
    with pytest.raises(DataError, match="is not a number"):
        effect_sizes(table, "MD")


# -- counts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("delimiter", "decimal"), [(";", "."), (",", "."), ("\t", "."), (";", ",")])
def test_a_count_with_three_decimals_is_a_fault_that_names_both_readings(tmp_path, delimiter, decimal):
    rows = [
        ["study", "n_t", "mean_t", "sd_t", "n_c", "mean_c", "sd_c"],
        ["A", f"12{decimal}000", "10", "4", "30", "12", "4"],
    ]
    path = write(tmp_path, "\n".join(delimiter.join(row) for row in rows))
    with pytest.raises(DataError, match=r"row 2, column n_t: 12[.,]000 can be read as 12 and as 12000"):
        read_csv_effects(path, "SMD")


def test_other_numbers_with_three_decimals_are_numbers(tmp_path):
    path = write(tmp_path, "study,n_t,mean_t,sd_t,n_c,mean_c,sd_c\nA,30,10.125,4.000,30,12.5,4.25\n")
    assert read_csv_effects(path, "MD").y[0] == pytest.approx(-2.375)


def test_a_mapped_column_of_counts_is_one(tmp_path):
    path = write(tmp_path, "study,N exp,mean_t,sd_t,n_c,mean_c,sd_c\nA,1.200,10,4,30,12,4\n")
    with pytest.raises(DataError, match=r"column N exp: 1\.200 can be read as 1.2 and as 1200"):
        read_csv_effects(path, "SMD", columns={"n_t": "N exp"})


# -- spellings ---------------------------------------------------------------------------------------------------------

SPELLED = """study,timing,estimate,se
A,During,-0.5,0.2
B,during ,-0.4,0.2
C,DURING,-0.3,0.2
D,After,-0.2,0.2
E,During,-0.6,0.2
F,after,-0.1,0.2
"""


def test_spellings_of_a_level_are_one_level(tmp_path):
    effects = read_csv_effects(write(tmp_path, SPELLED), moderators=["timing"])
    assert effects.moderators["timing"].tolist() == ["During"] * 3 + ["After", "During", "After"]
    assert effects.ledger[1].assumptions[0] == "timing: 'during' or 'DURING' read as 'During'"
    assert not any("read as" in text for text in effects.ledger[0].assumptions)


def test_a_filter_finds_every_spelling(tmp_path):
    table = read_table(write(tmp_path, SPELLED))
    assert effect_sizes(table, "generic", where={"timing": "during"}).study == ("A", "B", "C", "E")
    assert effect_sizes(table, "generic", where={"timing": "AFTER"}).study == ("D", "F")


def test_trials_with_similar_names_stay_two_and_warn(tmp_path):
    path = write(tmp_path, "study,estimate,se\nTrial A 2010,-0.5,0.2\ntrial a  2010,-0.4,0.2\nB,-0.1,0.2\n")
    with pytest.warns(BayesmetaWarning, match=r"'Trial A 2010' and 'trial a  2010' are 2 trials here"):
        effects = read_csv_effects(path)
    assert effects.n_trials == 3


def test_a_protocol_says_what_was_merged_and_split(tmp_path):
    write(tmp_path, SPELLED.replace("-0.5,0.2", "-0.5 (-0.9 to -0.1),"))
    protocol = tmp_path / "protocol.toml"
    protocol.write_text(
        'schema = 2\ntitle = "T"\n[data]\npath = "trials.csv"\n[outcome.x]\nlabel = "X"\nmeasure = "MD"\n'
        'better = "lower"\nmoderators = ["Timing"]\npriors.mu = "normal(0, 10)"\npriors.tau = "halfnormal(5)"\n'
        'priors.beta.Timing = "normal(0, 5)"\n'
    )
    reading = read_outcome(protocol, "x")
    found = [f"{finding.rule}: {finding.evidence}" for finding in reading.findings]
    assert "spellings merged: timing: 'during', 'DURING' and 'During' are one level" in found
    assert any(text.startswith("cells split: 1 row has several numbers in one cell") for text in found)
    assert reading.effects.moderators["Timing"].tolist().count("During") == 4


# -- nothing, and headers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", ["", "NA", "n/a", "N/A", "NR", "nr", "n.r.", "-", "\u2013", ".", "Not reported", "#N/A", "NaN"]
)
def test_words_for_nothing_are_empty(tmp_path, cell):
    path = write(
        tmp_path,
        f"study,age,n_t,estimate,se,ci_low,ci_high\nA,{cell},30,-0.5,0.2,{cell},{cell}\nB,50,{cell},-0.4,0.2,,\n",
    )
    table = read_table(path)
    assert table["age"].isna().tolist() == [True, False]
    assert table["ci_low"].isna().all()
    assert read_csv_effects(path).k == 2
    frame = pd.DataFrame({"study": ["A"], "estimate": [-0.5], "se": ["0.2"], "ci_low": [cell], "ci_high": [cell]})
    assert effect_sizes(frame, "MD").se[0] == 0.2


def test_a_minus_in_a_column_of_signs_is_a_sign(tmp_path):
    table = read_table(write(tmp_path, "study,sign,age\nA,-,-\nB,-,50\n"))
    assert table["sign"].tolist() == ["-", "-"]
    assert read_table(write(tmp_path, "study,d1\nA,-\nB,x\n"))["d1"].tolist() == ["-", "x"]
    assert read_table(write(tmp_path, "study,side,age\nA,-,-\nB,+,50\n"))["side"].tolist() == ["-", "+"]
    assert table["age"].isna().tolist() == [True, False]


HEADERS = [
    "Study,N T,Mean T,SD T,N C,Mean C,SD C",
    "STUDY,n-t,mean-t,sd-t,n-c,mean-c,sd-c",
    "study,N_t,Mean_t,Sd_t,N_c,Mean_c,Sd_c",
]


@pytest.mark.parametrize("header", HEADERS)
def test_case_and_spaces_of_a_header_do_not_matter(tmp_path, header):
    path = write(tmp_path, f"{header}\nA,30,10,4,30,12,4\n")
    assert read_csv_effects(path, "MD").y.tolist() == [-2.0]


def test_a_column_of_ones_own_is_found_in_any_case(tmp_path):
    path = write(tmp_path, "study,Exercise Type,estimate,se\nA,yoga,-0.5,0.2\nB,walk,-0.1,0.2\n")
    assert list(read_csv_effects(path, moderators=["exercise_type"]).moderators) == ["exercise_type"]


def test_an_empty_row_does_not_choose_the_form(tmp_path):
    """Every other row has an estimate: the row without anything lacks that, and no column of another form."""
    path = write(tmp_path, "study,estimate,se\nA,-0.5,0.2\nB,,\nC,-0.1,0.3\n")
    with pytest.raises(DataError) as caught:
        read_csv_effects(path, "SMD")
    text = str(caught.value)
    assert "row 3, column estimate: the cell is empty" in text
    assert "n_t" not in text.partition("Give")[0]
