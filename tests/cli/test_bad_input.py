"""Bad input: every fault of a file in one go, one line each, with file, row, column, value, rule and remedy.

Authority: the promise itself. Rows are those that a spreadsheet shows, the header being row 1.
"""

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bayesmeta.errors import BayesmetaWarning, DataError, ModelError, ProtocolError
from bayesmeta.protocol import read_protocol
from bayesmeta.studies import read_csv_effects, read_effects, read_table

MEANS = "study,n_t,mean_t,sd_t,n_c,mean_c,sd_c\n"
GOOD = "Good,30,10,4,30,12,4\n"
COUNTS = "study,events_t,n_t,events_c,n_c\n"
PROTOCOL = """schema = 2
title = "T"
[data]
path = "trials.csv"
[outcome.pain]
label = "Pain"
measure = "SMD"
better = "lower"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
"""


def lines_of(tmp_path: Path, content: str | bytes, measure: str = "SMD", **arguments: object) -> list[str]:
    path = tmp_path / "trials.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        read_csv_effects(path, measure, **arguments)
    faults = caught.value.faults
    assert all(fault.where and fault.what and fault.remedy for fault in faults)
    assert str(caught.value).count("\n") == len(faults) - 1
    return [str(fault) for fault in faults]


# what is wrong, the file, the measure, and per line the beginning and the remedy's beginning
CASES = [
    (
        "a missing column",
        "study,n_t,mean_t,n_c,mean_c,sd_c\nA,30,10,30,12,4\nB,30,10,30,12,4\n",
        "SMD",
        [("trials.csv: there is no column 'sd_t'.", "Give n_t mean_t sd_t n_c mean_c sd_c")],
    ),
    (
        "a misspelt column",
        MEANS.replace("sd_t", "sds_t") + GOOD,
        "SMD",
        [("trials.csv: there is no column 'sd_t'.", "Did you mean 'sds_t'?")],
    ),
    (
        "no column of trials",
        "trial,estimate,se\nA,1,1\n",
        "SMD",
        [("trials.csv: there is no column 'study'.", 'Name the trials in a column "study"')],
    ),
    (
        "no column of effects",
        "study,x\nA,1\n",
        "OR",
        [("trials.csv: no columns to make OR from.", "Columns: study, x.")],
    ),
    (
        "text in numbers",
        MEANS + GOOD + "A,30,ten,4,30,12,4\nB,30,10,4,30 (of 35),12,4\n",
        "SMD",
        [
            ("trials.csv row 3, column mean_t: 'ten' is not a number.", "Give a number"),
            ("trials.csv row 4, column n_c: '30 (of 35)' is not a number.", "Give a number"),
        ],
    ),
    (
        "a typographic minus",
        "study,estimate,se\nA,\u22121,1\n",
        "SMD",
        [("trials.csv row 2, column estimate: '\u22121' is not a number.", "It is written with a typographic dash")],
    ),
    (
        "a quoted decimal comma among points",
        MEANS + GOOD + 'B,30,"10,5",4,30,12,4\n',
        "SMD",
        [("trials.csv row 3, column mean_t: '10,5' is not a number.", "Write the decimals with a point.")],
    ),
    (
        "decimal commas in a comma-separated file",
        MEANS + GOOD + "B,30,10,5,4,30,12,4\n",
        "SMD",
        [("trials.csv row 3: 8 cells, but the header has 7.", "a decimal comma in a comma-separated file needs")],
    ),
    (
        "decimal commas and points",
        MEANS.replace(",", ";") + "A;30;10,5;4;30;12;4.5\n",
        "SMD",
        [
            (
                "trials.csv: decimals are written with a point ('4.5' in row 2, column sd_c) "
                "and with a comma ('10,5' in row 2",
                "Write them all in one way",
            )
        ],
    ),
    ("an empty file", "", "SMD", [("trials.csv: it is empty.", "Give a table")]),
    ("only a header", MEANS, "SMD", [("trials.csv: it has a header but no rows.", "Add one row")]),
    (
        "two columns of one name",
        "study,se,estimate,se\nA,1,1,1\n",
        "SMD",
        [("trials.csv row 1: 2 columns are named 'se'.", "Rename all but one.")],
    ),
    (
        "a column without a name",
        "study,estimate,se,\nA,1,1,x\n",
        "SMD",
        [("trials.csv row 1, column 4: it has cells but no name.", "Name it")],
    ),
    (
        "rows of another length",
        MEANS + "A,30,10,4,30,12\n" + GOOD + "B,30,10,4,30,12,4,9\n",
        "SMD",
        [
            ("trials.csv row 2: 6 cells, but the header has 7.", "Check delimiters"),
            ("trials.csv row 4: 8 cells, but the header has 7.", "Check delimiters"),
        ],
    ),
    (
        "an open quotation mark",
        'study,estimate,se\n"A,1,1\n',
        "SMD",
        [("trials.csv line 2: not valid CSV: unexpected end of data.", "Check the quotation marks")],
    ),
    (
        "a row twice",
        MEANS + GOOD + GOOD,
        "SMD",
        [("trials.csv: rows 2, 3 (Good): all their columns are equal.", "Remove all but one.")],
    ),
    (
        "a trial twice with other numbers",
        MEANS + GOOD + "Good,30,11,4,30,12,4\n",
        "SMD",
        [("trials.csv: rows 2, 3 (Good): one trial, and every column that could tell them", "Correct or exclude")],
    ),
    (
        "negative and zero SDs",
        MEANS + GOOD + "A,30,10,-4,30,12,0\n",
        "SMD",
        [
            ("trials.csv row 3, column sd_t: -4 is not > 0.", "Correct the row, or exclude it"),
            ("trials.csv row 3, column sd_c: 0 is not > 0.", "Correct the row, or exclude it"),
        ],
    ),
    (
        "one participant",
        MEANS + "A,1,10,4,30,12,4\n",
        "SMD",
        [("trials.csv row 2, column n_t: 1 is less than 2.", "A pooled standard deviation needs at least 2")],
    ),
    (
        "no participant",
        MEANS + "A,0,10,4,30,12,4\n",
        "MD",
        [("trials.csv row 2, column n_t: 0 is less than 1.", "Correct the row")],
    ),
    (
        "an empty cell",
        MEANS + GOOD + "A,30,10,,30,12,4\n",
        "SMD",
        [("trials.csv row 3, column sd_t: the cell is empty.", "Give n_t mean_t sd_t")],
    ),
    (
        "an infinite number",
        MEANS + "A,30,inf,4,30,12,4\n" + GOOD,
        "SMD",
        [("trials.csv row 2, column mean_t: 'inf' is not a finite number.", "Give mean_t")],
    ),
    (
        "zero and negative standard errors",
        "study,estimate,se\nA,1,0\nB,1,-2\n",
        "generic",
        [
            ("trials.csv row 2, column se: 0 is not > 0.", "Correct the row"),
            ("trials.csv row 3, column se: -2 is not > 0.", "Correct the row"),
        ],
    ),
    (
        "zero variance",
        "study,estimate,var\nA,1,0\n",
        "generic",
        [("trials.csv row 2, column var: 0 is not > 0.", "Correct the row")],
    ),
    (
        "impossible counts",
        COUNTS + "A,31,30,3,30\nB,-1,30,2.5,30\n",
        "RR",
        [
            ("trials.csv row 2, column events_t: 31 is more than n_t.", "Correct the count"),
            ("trials.csv row 3, column events_t: -1 is negative.", "Correct the count"),
            ("trials.csv row 3, column events_c: 2.5 is not a whole number.", "Give the number of people"),
        ],
    ),
    (
        "an estimate outside its interval",
        "study,estimate,ci_low,ci_high\nA,2,0.5,1.5\nB,1,1.5,0.5\n",
        "OR",
        [
            ("trials.csv row 2, column estimate: 2 lies outside its interval.", "Correct the estimate"),
            ("trials.csv row 3, column ci_low: 1.5 is not below the upper limit.", "Correct the interval"),
        ],
    ),
    (
        "a logarithm where a ratio is expected",
        "study,estimate,ci_low,ci_high\nA,-0.2,-0.5,0.1\n",
        "OR",
        [
            ("trials.csv row 2, column estimate: -0.2 is not > 0.", "if it is a logarithm"),
            ("trials.csv row 2, column ci_low: -0.5 is not > 0.", "if it is a logarithm"),
        ],
    ),
    (
        "an unknown direction",
        "study,coded_better,estimate,se\nA,down,1,1\nB,,1,1\n",
        "SMD",
        [
            ("trials.csv row 2, column coded_better: 'down' is not lower or higher.", "Write which direction"),
            ("trials.csv row 3, column coded_better: the cell is empty", "State it in the file, or list the row"),
        ],
    ),
    (
        "a trial without a name",
        MEANS + ",30,10,4,30,12,4\n",
        "SMD",
        [("trials.csv row 2, column study: the cell is empty.", "Name the trial.")],
    ),
]


@pytest.mark.parametrize(
    ("content", "measure", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_every_fault_is_one_line_with_its_place_and_remedy(tmp_path, content, measure, expected):
    found = lines_of(tmp_path, content, measure)
    assert len(found) == len(expected), found
    for line, (start, remedy) in zip(found, expected, strict=True):
        assert line.startswith(start), line
        assert remedy in line[len(start) - 1 :], line


PIECES = (b",", b";", b'"', b"\n", b"\r", b"NA", b"-", b"1e400", b"\xff\xfe", b"\x00", b"abc", b",,,", b"0", b"\xe9")


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30), st.sampled_from(PIECES)), min_size=1, max_size=4)
)
def test_a_damaged_file_is_read_or_told_never_a_crash(tmp_path, edits):
    content = bytearray((MEANS + "".join(GOOD.replace("Good", name) for name in "ABCDEFGH")).encode())
    for place, length, piece in edits:
        content[place % len(content) : place % len(content) + length] = piece
    path = tmp_path / "trials.csv"
    path.write_bytes(bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesmetaWarning)
        told, k = "", 0
        try:
            k = read_csv_effects(path, "SMD").k
        except DataError as error:
            told = str(error)
    assert bool(k) != bool(told)


def test_faults_of_many_kinds_come_together(tmp_path):
    found = lines_of(tmp_path, MEANS + "A,30,ten,4,30,12,4\nB,1,10,-4,30,12,4\nC,30,10,4,30,,4\n" + GOOD)
    assert [line.split(":")[0] for line in found] == [
        "trials.csv row 2, column mean_t",
        "trials.csv row 3, column sd_t",
        "trials.csv row 3, column n_t",
        "trials.csv row 4, column mean_c",
    ]


def test_extra_columns_are_legal_and_extra_cells_are_not(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text("study,colour,estimate,se\nA,red,1,1\n", encoding="utf-8")
    assert read_csv_effects(path, "SMD", moderators=["colour"]).moderators["colour"].tolist() == ["red"]


def test_a_file_in_another_encoding_is_read_with_a_warning(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_bytes("study,estimate,se\nA,1,1\nMüller,1,1\n".encode("cp1252"))
    with pytest.warns(BayesmetaWarning, match=r"trials\.csv is not UTF-8 \(line 3\); it was read as cp1252"):
        assert read_table(path)["study"].tolist() == ["A", "Müller"]
    # byte 0x81 is none of cp1252's
    path.write_bytes(b"study,estimate,se\nM\x81ller,1,1\n")
    with (
        pytest.warns(BayesmetaWarning, match="read as latin-1"),
        pytest.raises(DataError, match=r"line 2: .u0081 is a"),
    ):
        read_table(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_table(path, encoding="cp850")["study"].tolist() == ["Müller"]
    with pytest.raises(DataError, match="cannot be read as 'utf-99'"):
        read_table(path, encoding="utf-99")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04rest of a workbook", "it is damaged"),
        ("study,se\nA,1\n".encode("utf-16-le"), "it holds zero bytes"),
        (b"\xff\xfes\x00", "it has a header but no rows"),
        (b"\xff\xfes\x00t", "it begins as UTF-16 but is not"),
    ],
)
def test_what_is_not_text_is_refused(tmp_path, content, what):
    assert what in lines_of(tmp_path, content)[0]


def test_text_that_is_named_a_workbook_is_refused(tmp_path):
    path = tmp_path / "trials.xlsx"
    path.write_bytes(b"anything")
    with pytest.raises(
        DataError, match=r"trials\.xlsx: by its name it is a packed file, and its content is not\. Save"
    ):
        read_table(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")


def test_unknown_measure_option_direction_and_columns_are_told(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(MEANS + GOOD, encoding="utf-8")
    with pytest.raises(ModelError, match="Did you mean SMD"):
        read_csv_effects(path, "SDM")
    with pytest.raises(ModelError, match="vtyp"):
        read_csv_effects(path, "SMD", options={"vtyp": "LS"})
    with pytest.raises(ModelError, match="'down' is not one of higher, lower"):
        read_csv_effects(path, "SMD", better="down")
    with pytest.raises(ModelError, match=r"state the measure\. Its columns could make MD, SMD, SMDH, ROM"):
        read_csv_effects(path)
    with pytest.raises(DataError, match="there is no column 'clusters'"):
        read_csv_effects(path, "SMD", cluster="clusters")
    with pytest.raises(DataError, match="there is no column 'weeks'"):
        read_csv_effects(path, "SMD", moderators=["weeks"])
    with pytest.raises(DataError, match="there is no column 'trial'"):
        read_csv_effects(path, "SMD", columns={"study": "trial"})
    with pytest.raises(DataError, match="'study' is mapped to 'n_t', but there is a column 'study' too"):
        read_csv_effects(path, "SMD", columns={"study": "n_t"})


def through_protocol(tmp_path: Path, table: str, extra: str = "", data: str = "") -> list[str]:
    (tmp_path / "trials.csv").write_text(table, encoding="utf-8")
    path = tmp_path / "p.toml"
    path.write_text(PROTOCOL.replace("[outcome", f"{data}[outcome") + extra, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_effects(path, "pain")
    return [str(fault) for fault in caught.value.faults]


TYPED = "study,type,weeks,estimate,se\nA,walking,4,-0.1,0.1\nB,yoga,8,-0.2,0.1\n"


@pytest.mark.parametrize(
    ("extra", "data", "expected"),
    [
        (
            'where = { type = "walkin" }\n',
            "",
            ["trials.csv: where: no row has type = 'walkin'. Did you mean 'walking'? Values: walking, yoga."],
        ),
        ('where = { typ = "walking" }\n', "", ["trials.csv: there is no column 'typ'. Did you mean 'type'?"]),
        ('where = { type = "walking", weeks = 8 }\n', "", ["where: no row has all of type = 'walking', weeks = 8."]),
        (
            'moderators = [{ name = "type", reference = "swimming" }]\n',
            "",
            ["reference of moderator type: no row has type = 'swimming'. Values: walking, yoga."],
        ),
        (
            'moderators = [{ name = "type", kind = "numeric" }]\n',
            "",
            [
                "trials.csv row 2, column type: 'walking' is not a number.",
                "trials.csv row 3, column type: 'yoga' is not",
            ],
        ),
        ('exclude = [{ where = { study = "C" }, reason = "r" }]\n', "", ["exclude[0]: no row has study = 'C'."]),
        ('exclude = [{ where = { study = ["A", "B"] }, reason = "r" }]\n', "", ["no row is left"]),
        (
            "",
            'assume = [{ where = { study = "A" }, set = { kind = "x" }, reason = "r" }]\n',
            ["there is no column 'kind'."],
        ),
        (
            "",
            'columns = { n_t = "size", arm_t = "typ" }\n',
            ["there is no column 'size'.", "there is no column 'typ'. Did you mean 'type'?"],
        ),
        ("", 'constants = { type = "x" }\n', ["'type' is a constant, but there is a column 'type' too."]),
        ("", 'values = { type = { walking = "w" } }\n', ["column type: 'yoga' has no translation."]),
    ],
)
def test_a_protocol_that_does_not_fit_its_table_is_told(tmp_path, extra, data, expected):
    found = through_protocol(tmp_path, TYPED, extra, data)
    assert len(found) == len(expected), found
    assert all(part in line for part, line in zip(expected, found, strict=True)), found


def test_empty_moderators_and_mixed_ones_are_told_by_row(tmp_path):
    table = "study,weeks,estimate,se\nA,4,-0.1,0.1\nB,,-0.2,0.1\nC,six,-0.2,0.1\n"
    (line,) = through_protocol(tmp_path, table, 'moderators = ["weeks"]\n')
    assert line.startswith(
        "trials.csv row 4, column weeks: 'six' is not a number, as other rows of this moderator are."
    )
    (line,) = through_protocol(tmp_path, table.replace("six", "6"), 'moderators = ["weeks"]\n')
    assert line.startswith(
        "trials.csv row 3, column weeks: the cell is empty. Fill it, exclude the row, or state missing"
    )


def test_ratios_cannot_be_reversed_by_a_sign(tmp_path):
    table = "study,events_t,n_t,events_c,n_c,coded_better\nA,3,30,4,30,lower\nB,3,30,4,30,higher\n"
    (line,) = lines_of(tmp_path, table, "RR", better="lower")
    assert line.startswith(
        "trials.csv row 3, column coded_better: coded 'higher', but lower is better: RR cannot be reversed by a sign"
    )


def test_both_directions_without_a_direction_of_the_outcome_is_a_fault(tmp_path):
    table = "study,estimate,se,coded_better\nA,3,1,lower\nB,3,1,higher\n"
    (line,) = lines_of(tmp_path, table, "SMD")
    assert "rows are coded in both directions" in line


def test_half_named_arms_are_told(tmp_path):
    (line,) = lines_of(tmp_path, "study,arm_t,estimate,se\nA,x,1,1\n", "SMD")
    assert line.startswith("trials.csv: there is no column 'arm_c'. Name both arms")


def test_unknown_prior_and_key_are_told_with_the_nearest(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(PROTOCOL.replace("halfnormal", "halfnorml") + "rhoo = 1\n", encoding="utf-8")
    with pytest.raises(ProtocolError) as caught:
        read_protocol(path)
    found = [str(fault) for fault in caught.value.faults]
    assert len(found) == 2
    assert "key outcome.pain.priors.tau: unknown prior 'halfnorml'. Did you mean halfnormal?" in "\n".join(found)
    assert "key outcome.pain.rhoo: 'rhoo' is not a key here. Did you mean rho?" in "\n".join(found)
