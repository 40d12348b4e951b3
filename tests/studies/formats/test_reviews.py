"""RevMan 5 reviews and Cochrane data packages: the same trials give the effects and totals that metafor gives.

The files are built here with the names that RevMan writes. Authority: R metafor 3.8.1, by DerSimonian and Laird, which
RevMan 5 uses (tests/reference/review_metafor.R). Tolerance: both compute in double precision; the JSON has 15 digits.
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest

import bayesmeta as bm
from bayesmeta import DataError, ModelError
from bayesmeta.classical import pool
from bayesmeta.studies import read_outcome, read_table
from bayesmeta_cli.main import main
from references import reference

SAME = 1e-9
MATE = reference("review_metafor")

#: Analysis to (element, attributes, labels, rows by subgroup); a row is (study, cells, estimable).
DICH = ("EVENTS_1", "TOTAL_1", "EVENTS_2", "TOTAL_2")
CONT = ("TOTAL_1", "MEAN_1", "SD_1", "TOTAL_2", "MEAN_2", "SD_2")
ANALYSES = {
    "1.1": (
        "DICH",
        {"EFFECT_MEASURE": "OR", "TOTALS": "YES", "METHOD": "MH"},
        ("Falls", "Favours exercise", "Favours control", "Exercise", "Control"),
        {
            "During": [("Alpha 2010", (4, 40, 8, 41), True), ("Empty 2011", (0, 20, 0, 20), False)],
            "After": [("Beta 2012", (6, 35, 9, 36), True), ("Gamma 2015", (9, 60, 10, 58), True)],
        },
    ),
    "1.2": (
        "CONT",
        {"EFFECT_MEASURE": "SMD", "TOTALS": "YES"},
        ("Quality of life", "Favours usual care", "Favours exercise", "Exercise", "Usual care"),
        {
            "": [
                ("Alpha 2010", (30, 62.1, 18.2, 31, 55, 17.4), True),
                ("Beta 2012", (44, 71.4, 16, 40, 66.9, 15.1), True),
                ("Gamma 2015", (25, 66, 15.5, 27, 64.2, 16.2), True),
            ]
        },
    ),
    "1.10": (
        "CONT",
        {"EFFECT_MEASURE": "MD", "TOTALS": "YES"},
        ("Weight", "Less", "More", "Exercise", "Usual care"),
        {
            "": [
                ("Alpha 2010", (30, 80.1, 9.5, 29, 82.0, 10.2), True),
                ("Beta 2012", (28, 75.2, 10.1, 30, 76.3, 9.7), True),
            ]
        },
    ),
    "2.1": (
        "IV",
        {"EFFECT_MEASURE": "Hazard Ratio", "TOTALS": "YES", "LOG_DATA": "YES"},
        ("Death", "Favours [experimental]", "Favours [control]", "Exercise", "Usual care"),
        {"": [("Alpha 2010", (0.8, 0.12), True), ("Beta 2012", (1.1, 0.15), True)]},
    ),
    "2.2": (
        "IPD",
        {"EFFECT_MEASURE": "Hazard Ratio", "TOTALS": "YES"},
        ("Relapse", "Favours control", "Favours control", "Exercise", "Control"),
        {"": [("Alpha 2010", (-3.1, 8.4), True), ("Gamma 2015", (1.2, 6.6), True)]},
    ),
    "2.3": (
        "DICH",
        {"EFFECT_MEASURE": "RR", "TOTALS": "SUB", "SWAP_EVENTS": "YES"},
        ("Adherence", "", "", "Exercise", "Control"),
        {
            "Supervised": [("Alpha 2010", (10, 40, 15, 38), True), ("Beta 2012", (12, 40, 16, 38), True)],
            "At home": [("Gamma 2015", (9, 30, 10, 31), True)],
        },
    ),
}
NAMED = {"1.1": "falls", "1.2": "quality", "1.10": "weight", "2.1": "survival", "2.2": "relapse", "2.3.1": "adhered"}
FIELDS = {"DICH": DICH, "CONT": CONT, "IV": ("EFFECT_SIZE", "SE"), "IPD": ("O_E", "VAR")}
IDS = {"Alpha 2010": "STD-Alpha-2010", "Beta 2012": "STD-Beta", "Gamma 2015": "STD-Gamma", "Empty 2011": "STD-Empty"}


def revman(path: Path, analyses=ANALYSES, before="") -> Path:
    """Write a review as RevMan 5 does."""
    studies = "".join(f'<STUDY ID="{key}" NAME="{name}" YEAR="{name[-4:]}"/>\n' for name, key in IDS.items())
    judged = "".join(
        f'<QUALITY_ITEM_DATA_ENTRY RESULT="{word}" STUDY_ID="{IDS[name]}"/>\n'
        for name, word in (("Alpha 2010", "YES"), ("Beta 2012", "UNKNOWN"), ("Gamma 2015", "NO"))
    )
    quality = (
        f'<QUALITY_ITEM ID="QIT-02" LEVEL="STUDY" NO="2"><NAME>Allocation concealment?</NAME>{judged}</QUALITY_ITEM>'
    )
    comparisons = ""
    for one in dict.fromkeys(key.split(".")[0] for key in analyses):
        outcomes = ""
        for key, (stem, attributes, labels, groups) in analyses.items():
            if key.split(".")[0] != one:
                continue
            inner = "".join(
                f"<{tag}>{text}</{tag}>"
                for tag, text in zip(
                    ("NAME", "GROUP_LABEL_1", "GROUP_LABEL_2", "GRAPH_LABEL_1", "GRAPH_LABEL_2"),
                    (labels[0], labels[3], labels[4], labels[1], labels[2]),
                    strict=True,
                )
            )
            stated = dict(attributes)
            if stem in ("IV", "IPD"):
                inner += f"<EFFECT_MEASURE>{stated.pop('EFFECT_MEASURE')}</EFFECT_MEASURE>"
            for number, (group, rows) in enumerate(groups.items(), 1):
                data = "".join(
                    f'<{stem}_DATA ESTIMABLE="{"YES" if good else "NO"}" STUDY_ID="{IDS[name]}" '
                    + " ".join(f'{field}="{cell}"' for field, cell in zip(FIELDS[stem], cells, strict=True))
                    + "/>\n"
                    for name, cells, good in rows
                )
                inner += (
                    data
                    if not group
                    else f'<{stem}_SUBGROUP NO="{number}"><NAME>{group}</NAME>{data}</{stem}_SUBGROUP>'
                )
            words = " ".join(f'{name}="{value}"' for name, value in stated.items())
            outcomes += f'<{stem}_OUTCOME NO="{key.split(".")[1]}" {words}>{inner}</{stem}_OUTCOME>\n'
        if one == "1":
            outcomes += '<OTHER_OUTCOME NO="4"><NAME>Harms</NAME></OTHER_OUTCOME>'
        comparisons += f'<COMPARISON NO="{one}"><NAME>Exercise versus control</NAME>{outcomes}</COMPARISON>\n'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{before}<COCHRANE_REVIEW REVMAN_VERSION="5" TYPE="INTERVENTION">\n'
    text += f"<STUDIES>{studies}</STUDIES><QUALITY_ITEMS>{quality}</QUALITY_ITEMS>"
    text += f"<ANALYSES_AND_DATA>{comparisons}</ANALYSES_AND_DATA></COCHRANE_REVIEW>\n"
    path.write_text(text, encoding="utf-8")
    return path


SETTINGS = (
    "Analysis group,Analysis number,Analysis name,Analysis group name,Data type,Log-scale data,Statistical method,"
)
SETTINGS += "Effect measure,Analysis model,Subgroup estimates,Overall estimates,Swap event and non-event"
ROWS = "Analysis group,Analysis number,Analysis name,Subgroup,Applicability,Study,Study year,GIV Mean,GIV SE,"
ROWS += "Experimental mean,Experimental SD,Experimental cases,Experimental N,Control mean,Control SD,Control cases,"
ROWS += "Control N,O-E,Variance,Weight,Mean,CI start,CI end,Footnotes"
PLACES = {
    "DICH": ("Experimental cases", "Experimental N", "Control cases", "Control N"),
    "CONT": ("Experimental N", "Experimental mean", "Experimental SD", "Control N", "Control mean", "Control SD"),
    "IV": ("GIV Mean", "GIV SE"),
    "IPD": ("O-E", "Variance"),
}
TYPES = {"DICH": "Dichotomous", "CONT": "Continuous", "IV": "Contrast level", "IPD": "O-E and variance"}
MEASURES = {"OR": "Odds Ratio", "RR": "Risk Ratio", "SMD": "Standardized Mean Difference", "MD": "Mean Difference"}


def text_of(header: str, rows: list[dict[str, object]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, header.split(","), restval="")
    writer.writeheader()
    writer.writerows(rows)
    return "\ufeff" + out.getvalue()


def data_rows(analyses=ANALYSES) -> list[dict[str, object]]:
    """Rows as a data package has them: zeros stand where a type of data has no cells."""
    import math

    found = []
    for key, (stem, _, labels, groups) in analyses.items():
        for group, rows in groups.items():
            for study, cells, good in rows:
                row: dict[str, object] = dict.fromkeys(
                    ("GIV Mean", "GIV SE", "Experimental mean", "Experimental SD", "Control mean", "Control SD"), "0.0"
                )
                row |= dict.fromkeys(("Experimental cases", "Control cases"), "0") | {"O-E": "0.0", "Variance": "0.0"}
                row |= dict(zip(PLACES[stem], cells, strict=True))
                if stem == "IV":
                    row["GIV Mean"] = math.log(cells[0])
                one, two = key.split(".")
                row |= {"Analysis group": one, "Analysis number": two, "Analysis name": labels[0], "Subgroup": group}
                row |= {"Applicability": "SUBGROUP_AND_OVERALL", "Study": study, "Study year": study[-4:]}
                row |= {"Mean": "" if good else "Not estimable"}
                found.append(row)
    return found


def package(path: Path, analyses=ANALYSES) -> Path:
    """Write a data package in the folders of the Cochrane Library."""
    settings = [
        {
            "Analysis group": key.split(".")[0],
            "Analysis number": key.split(".")[1],
            "Analysis name": labels[0],
            "Analysis group name": "Exercise versus control",
            "Data type": TYPES[stem],
            "Effect measure": MEASURES.get(attributes["EFFECT_MEASURE"], attributes["EFFECT_MEASURE"]),
            "Subgroup estimates": "true",
            "Overall estimates": "false" if attributes["TOTALS"] == "SUB" else "true",
            "Swap event and non-event": "true" if attributes.get("SWAP_EVENTS") else "false",
        }
        for key, (stem, attributes, labels, _) in analyses.items()
    ]
    domain, overall = "Domain (judgement): Allocation concealment: All outcomes", "Domain (judgement): Overall bias"
    bias = text_of(
        f"Study,{domain},{overall}",
        [
            {"Study": "Alpha 2010", domain: "Low risk", overall: "Low risk of bias"},
            {"Study": "Beta 2012", domain: "Unclear risk", overall: "Some concerns"},
            {"Study": "Gamma 2015", domain: "Not applicable", overall: "High risk of bias"},
        ],
    )
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as packed:
        packed.writestr("CD000001-analysis-data/CD000001-data-rows.csv", text_of(ROWS, data_rows(analyses)))
        packed.writestr(
            "CD000001-analysis-data/CD000001-overall-estimates-and-settings.csv", text_of(SETTINGS, settings)
        )
        packed.writestr("CD000001-study-data/CD000001-risk-of-bias.csv", bias)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("CD000001-files/CD000001-data.zip", inner.getvalue())
        packed.writestr("CD000001-article.pdf", b"%PDF")
    return path


@pytest.fixture(scope="module", params=["review.rm5", "CD000001.zip"])
def review(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    return (revman if request.param.endswith("rm5") else package)(folder / request.param)


@pytest.fixture(scope="module")
def protocol(review):
    return bm.table_protocol(review)


@pytest.mark.parametrize(("key", "name"), NAMED.items())
def test_effects_and_totals_are_those_of_metafor(protocol, key, name):
    reading = read_outcome(protocol, key)
    theirs = MATE[name]
    assert reading.effects.y == pytest.approx(theirs["yi"], rel=SAME)
    assert reading.effects.se == pytest.approx(theirs["sei"], rel=SAME)
    total = pool(reading.effects, method="DL")
    assert total.estimate == pytest.approx(theirs["mean"], rel=SAME)
    assert total.se == pytest.approx(theirs["se"], rel=SAME)


def test_every_analysis_is_an_outcome_with_what_the_file_says(review, protocol):
    assert list(protocol.outcomes) == ["1.1", "1.2", "1.10", "2.1", "2.2", "2.3.1", "2.3.2"]
    assert [item.selection.measure for item in protocol.outcomes.values()] == [
        "OR",
        "SMD",
        "SMD",
        "HR",
        "HR",
        "RR",
        "RR",
    ]
    assert protocol.outcomes["1.2"].label == "Quality of life"
    assert protocol.outcomes["2.3.2"].label == "Adherence: At home"
    said = "\n".join(protocol.assumptions)
    assert "analysis 1.10 (Weight), SMD: the review pools mean differences" in said
    assert "the review totals its subgroups only: one analysis each" in said
    directions = [item.selection.better for item in protocol.outcomes.values()]
    if review.suffix == ".rm5":
        # sides that name both arms decide; "Less" and "More", and the same arm twice, do not
        assert directions == ["lower", "higher", None, "lower", None, None, None]
        assert "lower is better: the plot's sides are 'Favours exercise' and 'Favours control'" in said
    else:
        assert directions == [None] * 7


def test_rows_that_are_not_estimable_are_left_out_and_said(review, protocol):
    reading = read_outcome(protocol, "1.1")
    assert [(item.study, item.reason) for item in reading.excluded] == [
        ("Empty 2011", "not estimable, as the review has it")
    ]
    assert any("1 row not estimable, left out" in item.evidence for item in reading.findings)
    assert reading.table["subgroup"].tolist() == ["During", "After", "After"]
    assert "read from analysis 1.1 of the review" in reading.effects.ledger[0].assumptions
    swapped = read_outcome(protocol, "2.3.1").effects.ledger[0].assumptions
    assert any("people without the event" in text for text in swapped)


def test_risk_of_bias_comes_with_the_trials(review, protocol):
    judged = read_outcome(protocol, "1.2").risk_of_bias
    assert judged["Allocation concealment"].tolist() == [
        "low",
        "some concerns",
        "high" if review.suffix == ".rm5" else "",
    ]
    overall = ["", "", ""] if review.suffix == ".rm5" else ["low", "some concerns", "high"]
    assert judged["overall"].tolist() == overall


def test_faults_say_where_in_the_review(tmp_path):
    broken = dict(ANALYSES)
    stem, attributes, labels, groups = ANALYSES["1.2"]
    rows = [(name, (*cells[:2], -1, *cells[3:]), good) for name, cells, good in groups[""][:1]]
    broken["1.2"] = (stem, attributes, labels, {"": [*rows, *groups[""][1:]]})
    for path, where in (
        (revman(tmp_path / "r.rm5", broken), "r.rm5 analysis 1.2, Alpha 2010, column SD_1: -1 "),
        (package(tmp_path / "p.zip", broken), "p.zip CD000001-data-rows.csv row 6, column Experimental SD: -1 "),
    ):
        with pytest.raises(DataError) as caught:
            bm.table_protocol(path, where={"analysis": "1.2"})
        assert str(caught.value).startswith(where)
        # beside it the others are answered
        made = bm.table_protocol(path)
        assert list(made.outcomes) == ["1.1", "1.10", "2.1", "2.2", "2.3.1", "2.3.2"]
        (said,) = (text for text in made.assumptions if text.startswith("not answered"))
        assert said.startswith(
            f"not answered, because its rows cannot be read: analysis 1.2 (Quality of life): {where}"
        )


def test_data_rows_alone_name_their_measure_by_the_effects_that_they_print(tmp_path):
    """A table of one analysis says no measure; printed effects agree with one measure alone, or nothing is guessed."""
    rows = [row for row in data_rows() if row["Analysis number"] == "1" and row["Analysis group"] == "1"]
    path = tmp_path / "CD000001-1.1-data-rows.csv"
    path.write_text(text_of(ROWS, rows), encoding="utf-8")
    with pytest.raises(ModelError, match=r"states no effect measure; state the measure"):
        bm.table_protocol(path)
    assert bm.table_protocol(path, measure="RR").outcomes["1.1"].selection.measure == "RR"
    for row in rows[:1] + rows[2:]:
        a, n, c, m = (float(row[name]) for name in PLACES["DICH"])
        row["Mean"] = f"{a / n / (c / m):.6f}"
    path.write_text(text_of(ROWS, rows), encoding="utf-8")
    made = bm.table_protocol(path)
    assert made.outcomes["1.1"].selection.measure == "RR"
    assert "those of RR" in made.assumptions[0]
    assert read_outcome(made, "1.1").effects.k == 3


def test_the_exported_table_of_revman_is_read(tmp_path):
    header = "Comparison Number,Outcome Number,Subgroup Number,Name,Data Type,Statistical Method,Effect Measure,"
    header += (
        "Analysis Model,Totals,Swap event and non-event,Events 1,Mean 1,SD 1,Total 1,Events 2,Mean 2,SD 2,Total 2,"
    )
    header += "Effect Estimate,SE,Group Label 1,Group Label 2,Left Graph Label,Right Graph Label,Year of study"
    at = ("Comparison Number", "Outcome Number", "Subgroup Number")
    rows: list[dict[str, object]] = [{**dict(zip(at, "100", strict=True)), "Name": "Exercise versus control"}]
    rows.append(
        {
            **dict(zip(at, "110", strict=True)),
            "Name": "Falls",
            "Data Type": "DIC",
            "Effect Measure": "OR",
            "Group Label 1": "Exercise",
            "Group Label 2": "Control",
            "Left Graph Label": "Favours exercise",
            "Right Graph Label": "Favours control",
        }
    )
    for number, (group, trials) in enumerate(ANALYSES["1.1"][3].items(), 1):
        rows.append({**dict(zip(at, ("1", "1", number), strict=True)), "Name": group, "Data Type": "DIC"})
        for study, cells, _ in trials:
            names = ("Events 1", "Total 1", "Events 2", "Total 2")
            rows.append(
                {
                    **dict(zip(at, ("1", "1", number), strict=True)),
                    "Name": study,
                    **dict(zip(names, cells, strict=True)),
                }
            )
    path = tmp_path / "review.csv"
    path.write_text(text_of(header, rows), encoding="utf-8")
    made = bm.table_protocol(path)
    assert made.outcomes["1.1"].selection.better == "lower"
    reading = read_outcome(made, "1.1")
    assert reading.effects.y == pytest.approx(MATE["falls"]["yi"], rel=SAME)
    assert reading.excluded[0].study == "Empty 2011"


def test_reviews_with_declarations_or_without_trials_are_refused(tmp_path):
    evil = revman(tmp_path / "evil.rm5", before='<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/passwd">]>\n')
    empty = revman(tmp_path / "empty.rm5", {})
    cut = tmp_path / "cut.rm5"
    cut.write_bytes(revman(tmp_path / "whole.rm5").read_bytes()[:-60])
    for path, what in (
        (evil, "declares a document type"),
        (empty, "no analysis in it holds trials"),
        (cut, "is damaged"),
    ):
        with pytest.raises(DataError, match=f"{path.name}: .*{what}"):
            read_table(path)


def test_what_the_file_says_is_noted_whatever_an_outcome_is_called(tmp_path, capsys):
    """Priors stand above each answer and are not noted; words like theirs in a name change nothing."""
    stem, attributes, labels, groups = ANALYSES["1.1"]
    named = {"1.1": (stem, attributes, ("Falls: mu and: tau ", *labels[1:]), groups)}
    assert main(["pool", str(revman(tmp_path / "review.rm5", named))]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert any("Falls: mu and: tau" in line and "lower is better: the plot's sides" in line for line in notes)
    assert not any("normal(" in line for line in notes)


def test_one_command_answers_every_analysis_and_one_writes_the_report(tmp_path, capsys):
    path = package(tmp_path / "CD000001.zip", {key: ANALYSES[key] for key in ("1.1", "1.10")})
    assert main(["pool", str(revman(tmp_path / "review.rm5"))]) == 0
    shown = capsys.readouterr()
    for name in ("Falls (1.1)", "Quality of life (1.2)", "Death (2.1)", "Adherence: Supervised (2.3.1)"):
        assert name in shown.out
    assert "lower is better: the plot's sides" in shown.err
    assert main(["check", str(tmp_path / "review.rm5")]) == 0
    assert "1 row not estimable, left out: analysis 1.1.1, Empty 2011" in " ".join(capsys.readouterr().out.split())
    assert main(["report", str(path), "-o", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Falls" in page
    assert "standardised mean differences of the same rows" in page
    assert "not estimable, as the review has it" in page


def test_a_mean_difference_keeps_its_unit_with_a_reference_sd_and_analyses_can_be_chosen(review):
    made = bm.table_protocol(review, ref_sd=10.0, where={"analysis": "1.10"})
    assert {key: item.selection.measure for key, item in made.outcomes.items()} == {"1.10": "MD"}
    with pytest.raises(DataError, match=r"no analysis is chosen. Analyses: 1\.1 \(Falls\)"):
        bm.table_protocol(review, where={"analysis": "9.9"})
    with pytest.raises(ModelError, match="several measures"):
        bm.table_protocol(review, threshold=0.9, better="lower")
