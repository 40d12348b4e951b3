"""Tables of reviews: decimal commas, workbooks, and effect measures that are not those of the event.

Authority: the effects by hand from the counts, means, O-E and variances that each test writes.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile

import openpyxl
import pytest
from openpyxl.styles import numbers

import bayesmeta as bm
from bayesmeta import BayesmetaWarning, DataError, ModelError
from bayesmeta.studies import effect_sizes, read_outcome, read_table

TABLE = [
    *("Comparison Number", "Outcome Number", "Subgroup Number", "Name", "Data Type", "Statistical Method"),
    *("Effect Measure", "Totals", "Swap event and non-event"),
    "Entered data are on log-scale (Generic Inverse Variance only)",
    *("Events 1", "Mean 1", "SD 1", "Total 1", "Events 2", "Mean 2", "SD 2", "Total 2", "O-E", "Var"),
    *("Effect Estimate", "SE", "Year of study"),
]
DICH = ("Events 1", "Total 1", "Events 2", "Total 2")


def analysis(rows, data_type="DIC", measure="OR", **more):
    """Rows of one analysis, as RevMan 5 exports them: comparison, outcome, trials."""
    at = {"Comparison Number": "1", "Outcome Number": "1", "Subgroup Number": "0"}
    head = {"Name": "Falls", "Data Type": data_type, "Effect Measure": measure, **more}
    return [
        {**at, "Outcome Number": "0", "Name": "Exercise versus control"},
        {**at, **head},
        *({**at, "Name": name, **cells} for name, cells in rows.items()),
    ]


def written(tmp_path, rows, name="review.csv", delimiter=","):
    out = io.StringIO()
    writer = csv.DictWriter(out, TABLE, restval="", delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    path = tmp_path / name
    path.write_text(out.getvalue(), encoding="utf-8")
    return path


def workbook(tmp_path, rows, change=None, name="review.xlsx"):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Analyses"
    sheet.append(TABLE)
    for row in rows:
        sheet.append([row.get(column) for column in TABLE])
    if change is not None:
        change(sheet)
    book.save(tmp_path / name)
    return tmp_path / name


def column(name):
    """Number of a column in the workbook."""
    return TABLE.index(name) + 1


def effects(path, measure=None):
    return read_outcome(bm.table_protocol(path, measure=measure), "1.1").effects


GIV = {"A 2010": {"Effect Estimate": "0,52", "SE": "0,2"}, "B 2011": {"Effect Estimate": "1,25", "SE": "0,125"}}


def test_decimal_commas_of_a_review_are_decimals(tmp_path):
    made = effects(written(tmp_path, analysis(GIV, "IV", "Hazard Ratio"), delimiter=";"))
    assert made.y == pytest.approx([math.log(0.52), math.log(1.25)])
    assert made.se == pytest.approx([0.2, 0.125])
    rows = {"A 2010": {"O-E": "-3,1", "Var": "8,4"}, "B 2011": {"O-E": "1,2", "Var": "6,6"}}
    made = effects(written(tmp_path, analysis(rows, "IPD", "Hazard Ratio"), "oe.csv", ";"))
    assert made.y == pytest.approx([-3.1 / 8.4, 1.2 / 6.6])
    assert made.se == pytest.approx([8.4**-0.5, 6.6**-0.5])
    # typed as text into a workbook
    book = workbook(tmp_path, analysis(rows, "IPD", "Hazard Ratio"))
    assert effects(book).y == pytest.approx([-3.1 / 8.4, 1.2 / 6.6])


def test_a_comma_that_is_no_decimal_of_the_file_is_a_fault_of_its_cell(tmp_path):
    # cells are separated by commas: nothing says that numbers have a decimal comma
    path = written(tmp_path, analysis(GIV, "IV", "Hazard Ratio"))
    with pytest.raises(DataError) as caught:
        effects(path)
    assert [line.partition(". ")[0] for line in str(caught.value).splitlines()] == [
        "review.csv row 4, column Effect Estimate: '0,52' is not a number",
        "review.csv row 5, column Effect Estimate: '1,25' is not a number",
        "review.csv row 4, column SE: '0,2' is not a number",
        "review.csv row 5, column SE: '0,125' is not a number",
    ]
    rows = {"A 2010": {"O-E": "-3.1", "Var": "about 8"}, "B 2011": {"O-E": "", "Var": "6.6"}}
    with pytest.raises(DataError) as caught:
        effects(written(tmp_path, analysis(rows, "IPD", "Hazard Ratio"), "oe.csv"))
    assert sorted(line.partition(". ")[0] for line in str(caught.value).splitlines()) == [
        "oe.csv row 4, column Var: 'about 8' is not a number",
        "oe.csv row 5, column O-E: the cell is empty",
    ]


def test_separators_of_thousands_are_read_where_decimals_have_a_point(tmp_path):
    rows = {
        "A 2010": dict(zip(DICH, ("40", "1,200", "60", "1,180"), strict=True), **{"Effect Estimate": "0.64"}),
        "B 2011": dict(zip(DICH, ("6", "35", "9", "36"), strict=True), **{"Effect Estimate": "0.62"}),
    }
    made = effects(written(tmp_path, analysis(rows)))
    assert made.y[0] == pytest.approx(math.log(40 * 1120 / (60 * 1160)))
    for cells in rows.values():
        del cells["Effect Estimate"]
    # nothing says whether 1,200 is a decimal
    with pytest.raises(DataError, match=r"plain\.csv row 4, column Total 1: 1,200 can be read as 1\.2 and as 1200"):
        effects(written(tmp_path, analysis(rows), "plain.csv"))


def test_a_ratio_that_is_not_above_zero_is_a_fault(tmp_path):
    rows = {"A 2010": {"Effect Estimate": "-0.5", "SE": "0.2"}, "B 2011": {"Effect Estimate": "1.25", "SE": "0.1"}}
    with pytest.raises(DataError, match=r"review\.csv row 4, column Effect Estimate: -0\.5 is not a ratio"):
        read_table(written(tmp_path, analysis(rows, "IV", "Hazard Ratio")))
    # what the measure calls a logarithm is one
    made = effects(written(tmp_path, analysis(rows, "IV", "log hazard ratio"), "log.csv"))
    assert made.y == pytest.approx([-0.5, 1.25])
    assert made.measure == "HR"


COUNTS = {
    "A 2010": dict(zip(DICH, (4, 40, 8, 41), strict=True)),
    "B 2011": dict(zip(DICH, (6, 35, 9, 36), strict=True)),
}


def test_a_review_in_a_workbook_keeps_cells_warnings_dates_and_percents(tmp_path):
    def hide(sheet):
        sheet.row_dimensions[5].hidden = True
        sheet.cell(4, column("Events 1")).value = 0.1
        sheet.cell(4, column("Events 1")).number_format = numbers.FORMAT_PERCENTAGE

    path = workbook(tmp_path, analysis(COUNTS), hide)
    with pytest.warns(BayesmetaWarning, match="1 row of Analyses is hidden and was read: 5"):
        frame = read_table(path)
    assert frame.attrs["percents"] == {"events_t": {4: "10 %"}}
    place = f"review.xlsx Analyses!{openpyxl.utils.get_column_letter(column('Events 1'))}4, column Events 1"
    with pytest.warns(BayesmetaWarning), pytest.raises(DataError) as caught:
        effects(path)
    assert str(caught.value).startswith(f"{place}: 0.1 ")

    def dated(sheet):
        import datetime

        sheet.cell(4, column("Total 2")).value = datetime.datetime(2026, 4, 3)
        sheet.cell(4, column("Total 2")).number_format = "d-mmm"

    place = f"dated.xlsx Analyses!{openpyxl.utils.get_column_letter(column('Total 2'))}4, column Total 2"
    with pytest.raises(DataError) as caught:
        read_table(workbook(tmp_path, analysis(COUNTS), dated, "dated.xlsx"))
    assert str(caught.value).startswith(f"{place}: it holds the date 2026-04-03")


def test_dates_of_a_table_of_another_shape_are_faults_of_their_cells(tmp_path):
    from bayesmeta.plan import LongTable, TableShape

    book = openpyxl.Workbook()
    book.active.title = "Arms"
    import datetime

    days = [datetime.datetime(2026, 4, 3), datetime.datetime(2026, 12, 8)]
    for row in (["study", "group", "weeks", "n"], ["A", "aerobic", days[0], 30], ["A", "usual", days[1], 31]):
        book.active.append(row)
    for place in ("C2", "C3"):
        book.active[place].number_format = "d-mmm"
    book.save(tmp_path / "arms.xlsx")
    with pytest.raises(DataError, match=r"Arms!C2, column weeks: it holds the date 2026-04-03"):
        read_table(tmp_path / "arms.xlsx", shape=TableShape(long=LongTable("group", ("usual",))))


def package(tmp_path, setting, rows, name="CD000002.zip"):
    """A data package of one analysis."""
    settings = {"Analysis group": "1", "Analysis number": "1", "Analysis name": "Falls", **setting}

    def text(records):
        out = io.StringIO()
        writer = csv.DictWriter(out, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
        return out.getvalue()

    base = {"Analysis group": "1", "Analysis number": "1", "Analysis name": "Falls", "Subgroup": "", "CI start": ""}
    with zipfile.ZipFile(tmp_path / name, "w") as packed:
        packed.writestr("CD2-data-rows.csv", text([{**base, "Study": study, **cells} for study, cells in rows.items()]))
        packed.writestr("CD2-overall-estimates-and-settings.csv", text([settings]))
    return tmp_path / name


CASES = ("Experimental cases", "Experimental N", "Control cases", "Control N")


def rm5(tmp_path, stem, attributes, inner, rows, name="review.rm5"):
    """A review of RevMan 5 with one outcome."""
    studies = "".join(f'<STUDY ID="S{i}" NAME="{name}" YEAR="2010"/>' for i, name in enumerate(rows))
    words = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    data = "".join(
        f'<{stem}_DATA STUDY_ID="S{i}" ESTIMABLE="YES" '
        + " ".join(f'{name}="{value}"' for name, value in cells.items())
        + "/>"
        for i, cells in enumerate(rows.values())
    )
    (tmp_path / name).write_text(
        f'<COCHRANE_REVIEW REVMAN_VERSION="5"><STUDIES>{studies}</STUDIES><ANALYSES_AND_DATA><COMPARISON NO="1">'
        f'<NAME>X</NAME><{stem}_OUTCOME NO="1" {words}><NAME>Falls</NAME>{inner}{data}</{stem}_OUTCOME></COMPARISON>'
        "</ANALYSES_AND_DATA></COCHRANE_REVIEW>",
        encoding="utf-8",
    )
    return tmp_path / name


def with_measure(tmp_path, kind, measure, swap=False):
    """The same counts with an effect measure of the people without the event, in each kind of file."""
    if kind == "table":
        more = {"Swap event and non-event": "yes" if swap else "no"}
        return written(tmp_path, analysis(COUNTS, "DIC", measure, **more))
    if kind == "rm5":
        names = ("EVENTS_1", "TOTAL_1", "EVENTS_2", "TOTAL_2")
        rows = {study: dict(zip(names, cells.values(), strict=True)) for study, cells in COUNTS.items()}
        attributes = {"EFFECT_MEASURE": measure, "SWAP_EVENTS": "YES" if swap else "NO"}
        return rm5(tmp_path, "DICH", attributes, "", rows)
    rows = {study: dict(zip(CASES, cells.values(), strict=True)) for study, cells in COUNTS.items()}
    setting = {"Data type": "Dichotomous", "Effect measure": measure, "Swap event and non-event": str(swap).lower()}
    return package(tmp_path, setting, rows)


@pytest.mark.parametrize("kind", ["table", "rm5", "package"])
@pytest.mark.parametrize("swap", [False, True])
def test_measures_of_people_without_the_event_are_of_them(tmp_path, kind, swap):
    """The plot of swapped events is labelled so too: both together swap once."""
    made = effects(with_measure(tmp_path, kind, "Risk Ratio (Non-event)", swap))
    assert made.measure == "RR"
    assert made.y == pytest.approx([math.log((36 / 40) / (33 / 41)), math.log((29 / 35) / (27 / 36))])
    protocol = bm.table_protocol(with_measure(tmp_path, kind, "Risk Ratio (Non-event)", swap))
    assert any("events are people without the event" in text for text in protocol.assumptions)


OE = {"A 2010": (-3.1, 8.4), "B 2011": (1.2, 6.6)}


def of_logrank(tmp_path, kind, measure):
    """O-E and V with some effect measure, in each kind of file."""
    if kind == "table":
        rows = {study: dict(zip(("O-E", "Var"), cells, strict=True)) for study, cells in OE.items()}
        return written(tmp_path, analysis(rows, "IPD", measure))
    if kind == "rm5":
        rows = {study: dict(zip(("O_E", "VAR"), cells, strict=True)) for study, cells in OE.items()}
        return rm5(tmp_path, "IPD", {}, f"<EFFECT_MEASURE>{measure}</EFFECT_MEASURE>", rows)
    rows = {study: dict(zip(("O-E", "Variance"), cells, strict=True)) for study, cells in OE.items()}
    return package(tmp_path, {"Data type": "O-E and variance", "Effect measure": measure}, rows)


@pytest.mark.parametrize("kind", ["table", "rm5", "package"])
@pytest.mark.parametrize("measure", ["Other", ""])
def test_observed_less_expected_of_an_unknown_measure_is_not_called_an_odds_ratio(tmp_path, kind, measure):
    path = of_logrank(tmp_path, kind, measure)
    said = "the effect measure 'Other', which is not known" if measure else "no effect measure"
    with pytest.raises(ModelError, match=f"not answered: analysis 1.1 .*{said}.*--measure"):
        bm.table_protocol(path)
    made = effects(path, "HR")
    assert (made.measure, list(made.y)) == ("HR", pytest.approx([-3.1 / 8.4, 1.2 / 6.6]))


@pytest.mark.parametrize("log_data", ["YES", "NO"])
def test_estimates_of_an_unknown_measure_are_generic_unless_they_are_logarithms(tmp_path, log_data):
    rows = {"A": {"EFFECT_SIZE": 0.8, "SE": 0.12}, "B": {"EFFECT_SIZE": 1.1, "SE": 0.15}}
    path = rm5(tmp_path, "IV", {"LOG_DATA": log_data}, "<EFFECT_MEASURE>Ratio of scores</EFFECT_MEASURE>", rows)
    if log_data == "NO":
        made = bm.table_protocol(path, mu="normal(0, 1)", tau="halfnormal(1)")
        assert made.outcomes["1.1"].selection.measure == "generic"
        assert read_outcome(made, "1.1").effects.y.tolist() == [0.8, 1.1]
        assert any("pooled as they are (generic)" in text for text in made.assumptions)
        return
    with pytest.raises(ModelError, match="'Ratio of scores', which is not known"):
        bm.table_protocol(path)
    assert effects(path, "ROM").y == pytest.approx([math.log(0.8), math.log(1.1)])


def test_estimates_that_a_review_keeps_beside_its_plot_are_on_the_scale_of_the_analysis(tmp_path):
    """ESTIMATE is the logarithm of EFFECT_SIZE, with all its digits."""
    rows = {
        "A": {"EFFECT_SIZE": 0.8, "ESTIMATE": -0.2231435513142097, "SE": 0.12},
        "B": {"EFFECT_SIZE": 1.1, "SE": 0.15},
    }
    path = rm5(tmp_path, "IV", {"LOG_DATA": "YES"}, "<EFFECT_MEASURE>Hazard Ratio</EFFECT_MEASURE>", rows)
    made = effects(path)
    assert made.y == pytest.approx([math.log(0.8), math.log(1.1)], rel=1e-14)
    assert made.se.tolist() == [0.12, 0.15]


def test_data_rows_in_a_workbook_keep_their_cells(tmp_path):
    header = ["Study", "Subgroup", "Analysis group", "Analysis number", *CASES, "CI start"]
    book = openpyxl.Workbook()
    book.active.title = "Rows"
    book.active.append(header)
    for row in (["A", None, 1, 1, 4, 40, 8, 41, 0.1], ["B", None, 1, 1, -6, 35, 9, 36, 0.2]):
        book.active.append(row)
    book.save(tmp_path / "rows.xlsx")
    with pytest.raises(DataError, match=r"^rows\.xlsx Rows!E3, column Experimental cases: -6 "):
        effect_sizes(read_table(tmp_path / "rows.xlsx"), "OR")


def two_analyses(first, second):
    """Rows of two analyses of one comparison."""
    return [*first, *({**row, "Outcome Number": "2"} for row in second[1:])]


MEANS = ("Total 1", "Mean 1", "SD 1", "Total 2", "Mean 2", "SD 2")
POINTS = {
    "A 2010": dict(zip(MEANS, (30, 80.1, 9.5, 29, 82.0, 10.2), strict=True)),
    "B 2011": dict(zip(MEANS, (28, 75.2, 10.1, 30, 76.3, 9.7), strict=True)),
}
RATIOS = {"A 2010": {"Effect Estimate": 0.8, "SE": 0.12}, "B 2011": {"Effect Estimate": 1.1, "SE": 0.15}}


def unanswered(protocol):
    return [text for text in protocol.assumptions if text.startswith("not answered")]


def test_a_measure_that_is_stated_does_not_rename_estimates(tmp_path):
    path = written(tmp_path, two_analyses(analysis(COUNTS, "DIC", "RR"), analysis(RATIOS, "IV", "Hazard Ratio")))
    made = bm.table_protocol(path, measure="OR")
    # counts are computed anew
    assert {key: item.selection.measure for key, item in made.outcomes.items()} == {"1.1": "OR"}
    assert read_outcome(made, "1.1").effects.y[0] == pytest.approx(math.log(4 * 33 / (36 * 8)))
    (said,) = unanswered(made)
    assert said.startswith(
        "not answered: analysis 1.2 (Falls), OR: the file gives estimates of HR and nothing to compute"
    )
    assert list(bm.table_protocol(path, measure="HR", where={"analysis": "1.2"}).outcomes) == ["1.2"]
    with pytest.raises(ModelError, match="are logarithms of a ratio, and SMD is not a ratio"):
        bm.table_protocol(of_logrank(tmp_path, "rm5", "Other"), measure="SMD")


def test_an_analysis_that_the_stated_measure_does_not_fit_is_named_beside_the_others(tmp_path, capsys):
    from bayesmeta_cli.main import main

    path = written(tmp_path, two_analyses(analysis(COUNTS, "DIC", "OR"), analysis(POINTS, "CON", "SMD")))
    made = bm.table_protocol(path, measure="SMD")
    assert list(made.outcomes) == ["1.2"]
    (said,) = unanswered(made)
    assert said.startswith("not answered, because its rows cannot be read: analysis 1.1 (Falls): ")
    assert "mean_t" in said
    assert main(["pool", str(path), "--measure", "SMD"]) == 0
    shown = capsys.readouterr()
    assert "Falls (1.2)" in shown.out
    assert "not answered, because its rows cannot be read: analysis 1.1" in " ".join(shown.err.split())
    # rows at fault are what `check` looks for
    assert main(["check", str(path), "--measure", "SMD"]) == 3
    assert "analysis 1.1 (Falls)" in " ".join(capsys.readouterr().err.split())


def test_a_threshold_in_points_is_not_one_in_standard_deviations(tmp_path):
    path = written(tmp_path, analysis(POINTS, "CON", "MD"))
    with pytest.raises(ModelError, match=r"a threshold of 3 is in points\. State an SD from outside"):
        bm.table_protocol(path, threshold=3, better="lower")
    made = bm.table_protocol(path, threshold=3, better="lower", ref_sd=10).outcomes["1.1"]
    assert (made.selection.measure, made.decision.thresholds[0].benefit) == ("MD", 3)
    made = bm.table_protocol(path, threshold=0.3, better="lower", measure="SMD").outcomes["1.1"]
    assert (made.selection.measure, made.decision.thresholds[0].benefit) == ("SMD", 0.3)


@pytest.mark.parametrize(
    ("kind", "stated", "allowed"),
    [
        ("rm5", {"sheet": "Trials"}, "format = 'revman'"),
        ("rm5", {"encoding": "utf-8"}, "format = 'revman'"),
        ("rm5", {"decimal": ","}, "format = 'revman'"),
        ("rm5", {"format": "table"}, "format = 'revman'"),
        ("package", {"delimiter": ";"}, "format = 'cochrane'"),
        ("package", {"format": "revman"}, "format = 'cochrane'"),
        ("book", {"encoding": "utf-8"}, "sheet, decimal, format"),
        ("book", {"delimiter": ";"}, "sheet, decimal, format"),
        ("table", {"sheet": "Trials"}, "encoding, delimiter, decimal, format"),
    ],
)
def test_what_has_no_meaning_for_a_file_is_a_fault_that_lists_what_has(tmp_path, kind, stated, allowed):
    path = workbook(tmp_path, analysis(COUNTS)) if kind == "book" else with_measure(tmp_path, kind, "RR")
    ((name, value),) = stated.items()
    with pytest.raises(DataError) as caught:
        read_table(path, **stated)
    assert str(caught.value).startswith(f"{path.name}: {name} {value!r} is stated, and it is a ")
    assert str(caught.value).endswith(f"may be stated: {allowed}.")


def test_what_has_a_meaning_may_be_stated(tmp_path):
    for kind, how in (("rm5", {"format": "revman"}), ("package", {"format": "cochrane"})):
        assert len(read_table(with_measure(tmp_path, kind, "RR"), **how)) == 2
    with pytest.raises(DataError, match=r"review\.csv: delimiter ';;' is stated\. A delimiter is one character"):
        read_table(with_measure(tmp_path, "table", "RR"), delimiter=";;")


def test_what_lies_in_inner_archives_counts_with_what_lies_beside_them(tmp_path, monkeypatch):
    """The limits are those of the whole file, however often it is packed."""
    from bayesmeta.studies.formats import archive

    def nested(name, files, size):
        with zipfile.ZipFile(tmp_path / name, "w") as packed:
            for number in range(2):
                inner = io.BytesIO()
                with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as data:
                    for file in range(files):
                        data.writestr(f"CD-{file}-data-rows.csv", b"x" * size)
                packed.writestr(f"CD{number}-data.zip", inner.getvalue())
        return tmp_path / name

    monkeypatch.setattr(archive, "MOST_BYTES", 150_000)
    monkeypatch.setattr(archive, "MEMBERS", 15)
    for path in (nested("large.zip", 1, 100_000), nested("many.zip", 10, 1)):
        with pytest.raises(
            DataError, match=rf"{path.name} \(CD1-data\.zip\): it unpacks to .*; allowed are 150,000 and 15"
        ):
            read_table(path)
    # each half alone is within them
    with pytest.raises(DataError, match="no analysis in it holds trials"):
        read_table(nested("small.zip", 1, 10))
