"""Long and wide tables, several arms in a row, and columns named as metafor and JASP name them.

Authority: the table with one row per comparison that each test writes beside it; effects must be the same to the last
bit. Of metafor's names, `tests/reference/review_metafor.json` (R metafor 3.8.1).
"""

from __future__ import annotations

import openpyxl
import pytest

from bayesmeta import DataError, ProtocolError
from bayesmeta.plan import ArmColumns, LongTable, TableShape
from bayesmeta.protocol import read_protocol
from bayesmeta.studies import effect_sizes, read_csv_effects, read_outcome, read_table
from references import reference

MATE = reference("review_metafor")
WIDE = """study,outcome,arm_t,arm_c,n_t,mean_t,sd_t,n_c,mean_c,sd_c
Alpha,fatigue,aerobic,usual care,30,10.1,4.2,31,12.3,4.4
Alpha,fatigue,resistance,usual care,29,10.4,4.0,31,12.3,4.4
Beta,fatigue,aerobic,Usual care,40,9.7,5.1,38,11.0,5.0
Beta,sleep,aerobic,usual care,40,6.0,2.0,37,7.0,2.1
"""
LONG = """study,outcome,group,N,mean,sd,age
Alpha,fatigue,aerobic,30,10.1,4.2,55
Alpha,fatigue,usual care,31,12.3,4.4,54
Alpha,fatigue,resistance,29,10.4,4.0,56
Beta,fatigue,Usual care,38,11.0,5.0,60
Beta,fatigue,aerobic,40,9.7,5.1,61
Beta,sleep,aerobic,40,6.0,2.0,61
Beta,sleep,usual care,37,7.0,2.1,60
"""
DECLARED = TableShape(long=LongTable("group", ("usual care",)))


def written(tmp_path, text, name="trials.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def effects_of(frame):
    return effect_sizes(frame, "SMD", where={"outcome": "fatigue"}, better="lower")


@pytest.fixture
def known(tmp_path):
    return effects_of(read_table(written(tmp_path, WIDE, "wide.csv")))


def test_one_row_per_arm_is_one_row_per_comparison(tmp_path, known):
    frame = read_table(written(tmp_path, LONG), shape=DECLARED, columns={"n": "N"})
    made = effects_of(frame)
    assert made.y.tolist() == known.y.tolist()
    assert made.study == known.study
    # two arms share the control of the trial, as in the table that names them in one row
    assert made.covariance().tolist() == known.covariance().tolist()
    assert frame.index.tolist() == [2, 4, 6, 7]
    assert frame["age"].tolist() == [55, 56, 61, 61]
    assert "from the rows of two arms: resistance against usual care" in made.ledger[1].assumptions


def test_a_fault_of_an_arm_names_its_own_row(tmp_path):
    broken = LONG.replace("31,12.3,4.4", "31,12.3,-4.4")
    frame = read_table(written(tmp_path, broken), shape=DECLARED, columns={"n": "N"})
    with pytest.raises(DataError) as caught:
        effects_of(frame)
    assert {line.partition(":")[0] for line in str(caught.value).splitlines()} == {"trials.csv row 3, column sd"}
    book = openpyxl.Workbook()
    book.active.title = "Arms"
    for row in broken.splitlines():
        cells = row.split(",")
        book.active.append([cell if i < 3 or cell.isalpha() else float(cell) for i, cell in enumerate(cells)])
    book.save(tmp_path / "arms.xlsx")
    with pytest.raises(DataError, match=r"arms\.xlsx Arms!F3, column sd: -4\.4"):
        effects_of(read_table(tmp_path / "arms.xlsx", shape=DECLARED, columns={"n": "N"}))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("Beta,sleep,usual care,37,7.0,2.1,60\n", "", r"row 7 \(Beta\): of its arms \(aerobic\) 0 are controls"),
        ("Beta,sleep,aerobic", "Beta,sleep,usual care", r"\(usual care\) 2 are controls"),
        ("fatigue,resistance", "fatigue,", r"row 4, column group: the cell is empty"),
        ("fatigue,resistance", "fatigue,NR", r"row 4, column group: the cell is empty"),
        ("Alpha,fatigue,resistance", ",fatigue,resistance", r"row 4, column study: the cell is empty"),
        ("group", "arm", r"there is no column 'group', which data\.long"),
    ],
)
def test_trials_without_one_control_are_faults(tmp_path, old, new, what):
    with pytest.raises(DataError, match=what):
        read_table(written(tmp_path, LONG.replace(old, new, 1)), shape=DECLARED, columns={"n": "N"})


def test_several_arms_in_a_row(tmp_path, known):
    text = """study,a1,n1,m1,s1,a2,n2,m2,s2,nc,mc,sc
Alpha,aerobic,30,10.1,4.2,resistance,29,10.4,4.0,31,12.3,4.4
Beta,aerobic,40,9.7,5.1,,,,,38,11.0,5.0
"""
    three = tuple(
        ArmColumns(arm, tuple(zip(("n", "mean", "sd"), names.split(), strict=True)), arm == "usual care")
        for arm, names in (("a1", "n1 m1 s1"), ("a2", "n2 m2 s2"), ("usual care", "nc mc sc"))
    )
    frame = read_table(written(tmp_path, text), shape=TableShape(arms=three))
    made = effect_sizes(frame, "SMD", better="lower")
    assert made.y.tolist() == known.y.tolist()
    assert made.covariance().tolist() == known.covariance().tolist()
    assert frame[["arm_t", "arm_c"]].values.tolist() == [
        *(["aerobic", "usual care"], ["resistance", "usual care"], ["aerobic", "usual care"]),
    ]
    broken = read_table(written(tmp_path, text.replace("4.0,31", "0,31")), shape=TableShape(arms=three))
    with pytest.raises(DataError, match=r"trials\.csv row 2, column s2: 0 is not > 0"):
        effect_sizes(broken, "SMD", better="lower")
    with pytest.raises(DataError, match=r"row 3: the control arm is empty"):
        read_table(written(tmp_path, text.replace("38,11.0,5.0", ",,")), shape=TableShape(arms=three))


def test_one_group_of_columns_per_outcome(tmp_path):
    text = """study,n_t,n_c,fatigue m1,fatigue s1,fatigue m2,fatigue s2,sleep m1,sleep s1,sleep m2,sleep s2
Alpha,30,31,10.1,4.2,12.3,4.4,,,,
Beta,40,38,9.7,5.1,11.0,5.0,6.0,2.0,7.0,2.1
"""
    names = ("mean_t", "sd_t", "mean_c", "sd_c")
    wide = tuple(
        (
            outcome,
            tuple((ours, f"{outcome} {theirs}") for ours, theirs in zip(names, ("m1", "s1", "m2", "s2"), strict=True)),
        )
        for outcome in ("fatigue", "sleep")
    )
    frame = read_table(written(tmp_path, text), shape=TableShape(wide=wide))
    assert frame[["study", "outcome"]].values.tolist() == [["Alpha", "fatigue"], ["Beta", "fatigue"], ["Beta", "sleep"]]
    rows = ["Alpha,30,10.1,4.2,31,12.3,4.4", "Beta,40,9.7,5.1,38,11.0,5.0"]
    plain = written(tmp_path, "\n".join(["study,n_t,mean_t,sd_t,n_c,mean_c,sd_c", *rows]), "plain.csv")
    assert effects_of(frame).y.tolist() == read_csv_effects(plain, "SMD").y.tolist()
    broken = read_table(written(tmp_path, text.replace("2.1\n", "x\n")), shape=TableShape(wide=wide))
    with pytest.raises(DataError, match=r"trials\.csv row 3, column sleep s2: 'x' is not a number"):
        effect_sizes(broken, "SMD", where={"outcome": "sleep"})


@pytest.mark.parametrize("nothing", ["", "NA", "-", "n.r.", "\N{EN DASH}"])
def test_cells_that_say_that_there_is_nothing_fill_no_arm_and_no_outcome(tmp_path, nothing):
    three = tuple(
        ArmColumns(arm, tuple(zip(("n", "mean", "sd"), names.split(), strict=True)), arm == "usual care")
        for arm, names in (("aerobic", "n1 m1 s1"), ("resistance", "n2 m2 s2"), ("usual care", "nc mc sc"))
    )
    text = f"""study,n1,m1,s1,n2,m2,s2,nc,mc,sc
Alpha,30,10.1,4.2,29,10.4,4.0,31,12.3,4.4
Beta,40,9.7,5.1,{nothing},{nothing},{nothing},38,11.0,5.0
"""
    frame = read_table(written(tmp_path, text), shape=TableShape(arms=three))
    assert frame[["study", "arm_t"]].values.tolist() == [
        ["Alpha", "aerobic"],
        ["Alpha", "resistance"],
        ["Beta", "aerobic"],
    ]
    empty = ",".join([nothing] * 3)
    text = f"study,f m1,f m2,f s,s m1,s m2,s s\nAlpha,1,2,3,{empty}\nGamma,{empty},{empty}\n"
    wide = tuple(
        (outcome, (("mean_t", f"{outcome} m1"), ("mean_c", f"{outcome} m2"), ("sd", f"{outcome} s")))
        for outcome in ("f", "s")
    )
    frame = read_table(written(tmp_path, text), shape=TableShape(wide=wide))
    assert frame[["study", "outcome"]].values.tolist() == [["Alpha", "f"]]
    # a trial does not disappear without a word
    assert frame.attrs["notes"][-1] == "no outcome has a number there, not read: row 3 (Gamma)"


PROTOCOL = """
schema = 2
title = "Arms"
[data]
path = "trials.csv"
columns = { n = "N" }
SHAPE
[defaults]
measure = "SMD"
better = "lower"
priors = "published"
[outcome.fatigue]
label = "Fatigue"
where = { outcome = "fatigue" }
"""


def test_a_protocol_declares_the_shape(tmp_path, known):
    written(tmp_path, LONG)
    long = '[data.long]\narm = "group"\ncontrol = ["usual care"]\n'
    path = written(tmp_path, PROTOCOL.replace("SHAPE", long), "protocol.toml")
    reading = read_outcome(read_protocol(path), "fatigue")
    assert reading.effects.y.tolist() == known.y.tolist()
    assert reading.rows == (2, 4, 6)
    assert any("one row per arm: 4 comparisons" in item.evidence for item in reading.findings)
    for shape, what in (
        (long + '[[data.arms]]\narm = "a"\ncolumns = { n = "N" }\n', "long and arms are both stated"),
        ('[[data.arms]]\narm = "a"\ncontrol = true\ncolumns = { n = "N" }\n', "1 of 1 arms are the control"),
        ('[data.long]\narm = "group"\n', "control"),
        ('format = "revmn"\n', "format"),
        (
            '[[data.arms]]\narm = "a"\ncontrol = true\ncolumns = { size = "N" }\n'
            '[[data.arms]]\narm = "b"\ncolumns = { n = "N" }\n',
            "size is not known of an arm",
        ),
    ):
        path = written(tmp_path, PROTOCOL.replace("SHAPE", shape), "protocol.toml")
        with pytest.raises(ProtocolError, match=what):
            read_protocol(path)


ESCALC = """author,year,n1i,m1i,sd1i,n2i,m2i,sd2i
Alpha,2010,30,62.1,18.2,31,55,17.4
Beta,2012,44,71.4,16,40,66.9,15.1
Gamma,2015,25,66,15.5,27,64.2,16.2
"""


def test_names_of_escalc_are_read(tmp_path):
    made = read_csv_effects(written(tmp_path, ESCALC), "SMD")
    # both compute in double precision; the JSON has 15 digits
    assert made.y == pytest.approx(MATE["quality"]["yi"], rel=1e-9)
    assert made.study == ("Alpha 2010", "Beta 2012", "Gamma 2015")
    counts = "trial,ai,bi,ci,di\nA,4,36,8,33\nB,6,29,9,27\nC,9,51,10,48\n"
    made = read_csv_effects(written(tmp_path, counts), "OR")
    assert made.y == pytest.approx(MATE["falls"]["yi"], rel=1e-9)
    assert made.study == ("A", "B", "C")
    given = "study,yi,vi\nA,-0.2231,0.0144\nB,0.0953,0.0225\n"
    made = read_csv_effects(written(tmp_path, given), "HR")
    # yi is the logarithm already, and vi its variance
    assert made.y.tolist() == [-0.2231, 0.0953]
    assert made.se == pytest.approx([0.12, 0.15], rel=1e-12)
    notes = read_table(written(tmp_path, given)).attrs["notes"]
    assert "yi is estimate, vi is var; yi is on the scale of the analysis (the logarithm of a ratio)" in notes[0]


@pytest.mark.parametrize(
    ("cell", "what"),
    [("many", r"'4 \+ many' is not a number"), ("1,036", r"'4 \+ 1,036' is not a number"), ("NA", "the cell is empty")],
)
def test_a_sum_of_what_is_no_number_is_a_fault_that_shows_it(tmp_path, cell, what):
    path = written(tmp_path, f"trial;ai;bi;ci;di\nA;4;{cell};8;33\nB;6;29;9;27\n")
    with pytest.raises(DataError, match=rf"trials\.csv row 2, column n_t: {what}"):
        read_csv_effects(path, "OR")


def test_what_is_stated_stands_before_names_of_other_programs(tmp_path):
    path = written(tmp_path, "study,yi,vi,mine\nA,-0.2,0.01,0.5\nB,0.1,0.02,0.4\n")
    assert read_table(path, columns={"estimate": "mine"})["estimate"].tolist() == [0.5, 0.4]
    assert "estimate" not in read_table(path, format="table").columns
    with pytest.raises(DataError, match=r"format = 'metafor', and no columns are named"):
        read_table(written(tmp_path, WIDE), format="metafor")


def test_names_of_jasp_are_read(tmp_path):
    path = written(tmp_path, '"Study Label","Effect Size","Standard Error"\nA,-0.2,0.1\nB,0.1,0.2\n')
    made = read_csv_effects(path)
    assert made.y.tolist() == [-0.2, 0.1]
    assert made.se.tolist() == [0.1, 0.2]
    assert made.study == ("A", "B")


def test_a_units_row_of_a_text_file_is_seen_too(tmp_path):
    text = "study,estimate,se,weeks\n,(SMD),(SMD),(weeks)\nA,-0.2,0.1,12\n"
    frame = read_table(written(tmp_path, text))
    assert frame["weeks"].tolist() == [12.0]
    assert frame.index.tolist() == [3]


def test_what_escalc_added_is_not_read_beside_what_it_was_made_from(tmp_path):
    """Nothing says of which measure yi is: log odds ratios must not be pooled as risk ratios."""
    text = "trial,ai,n1i,ci,n2i,yi,vi\nA,4,40,8,41,-0.78,0.43\nB,6,35,9,36,-0.48,0.35\n"
    path = written(tmp_path, text)
    plain = written(tmp_path, "study,events_t,n_t,events_c,n_c\nA,4,40,8,41\nB,6,35,9,36\n", "plain.csv")
    assert read_csv_effects(path, "RR").y.tolist() == read_csv_effects(plain, "RR").y.tolist()
    assert "are not read" in read_table(path).attrs["notes"][0]
