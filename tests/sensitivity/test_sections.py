"""A section is one value: what is registered is found in text, JSON and its schema, Word, the page and the references.

Authority: the columns of the section itself, and that no other file names it.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.columns import columns_of, derived, names_of, unprinted, with_minus
from bayesmeta.records import output_schema
from bayesmeta.report import used_references
from bayesmeta.sensitivity import CHECKS, SECTIONS, Computed, Section, check_model, read_section, sensitivity_analyses
from bayesmeta.sensitivity import robustness as registry
from bayesmeta_cli.main import main
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"
KEY = "anxiety_long"
QUESTION = "Does the largest trial agree?"


def largest(fit: bm.Fit, options: object) -> Computed:
    i = int(np.argmin(fit.effects.se))
    table = pd.DataFrame({"trial": [fit.effects.label[i]], "y": [fit.effects.y[i]], "se": [fit.effects.se[i]]})
    return Computed(table, (fit,))


TOY = Section(
    "largest",
    QUESTION,
    largest,
    (
        *columns_of("text", trial="largest trial"),
        *columns_of("effect", y="its estimate"),
        *unprinted(number="se"),
        *derived(columns_of("number", z="z value")),
    ),
    "It is the most precise.",
    printed=lambda table: table.assign(z=table["y"] / table["se"]),
    notes=lambda table: [f"Its SE is {table['se'].iloc[0]:.2f}."],
    references=("sterne2011",),
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> bm.Fit:
    monkeypatch.setitem(registry._SECTIONS, "largest", TOY)
    outcome = bm.read_protocol(CANCER).outcomes[KEY]
    return bm.fit(bm.read_effects(CANCER, KEY), outcome.model.on(), outcome=outcome)


def test_a_new_section_is_found_everywhere(toy: bm.Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import docx

    assert main(["sensitivity", str(CANCER), "--outcome", KEY, "--section", "largest"]) == 0
    text = capsys.readouterr().out
    assert f"largest: {QUESTION}" in text
    assert "largest trial" in text
    assert "It is the most precise. Its SE is" in text
    assert main(["sensitivity", str(CANCER), "--outcome", KEY, "--section", "largest", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, output_schema("sensitivity"), cls=jsonschema.Draft202012Validator)
    (row,) = found["sections"]["largest"]["rows"]
    assert list(row) == ["trial", "y", "se"]

    assert main(["report", str(CANCER), "--outcome", KEY, "-o", str(tmp_path / "report")]) == 0
    found = json.loads((tmp_path / "report" / "results.json").read_text("utf-8"))
    jsonschema.validate(found, output_schema("report"), cls=jsonschema.Draft202012Validator)
    assert found["outcomes"][KEY]["sections"]["largest"]["rows"] == [row]
    read = read_section("largest", sensitivity_analyses(toy, ["largest"]).tables["largest"], toy)
    page = (tmp_path / "report" / "index.html").read_text("utf-8").replace("\u2212", "-")
    assert f"<summary>{QUESTION} <span" in page
    assert '<table data-table="largest"><caption>' + QUESTION in page
    assert all(f">{cell}</t" in page for cell in read.table.cells[0])
    assert used_references([toy], ["largest"])[-1] == "sterne2011"
    document = docx.Document(str(tmp_path / "report" / "sensitivity-analyses.docx"))
    tables = [[cell.text for line in table.rows for cell in line.cells] for table in document.tables]
    assert ["largest trial", "its estimate", "z value", *map(with_minus, read.table.cells[0])] in tables
    assert (tmp_path / "report" / "tables" / f"{KEY}.largest.csv").exists()


def test_rows_are_what_their_columns_say() -> None:
    """The schema of a section is made from its columns: closed, so that a column that is not described is refused."""
    found = output_schema("sensitivity")["$defs"]["sections"]["properties"]
    assert list(found) == list(SECTIONS)
    for name, section in SECTIONS.items():
        rows = found[name]["properties"]["rows"]["items"]
        assert list(rows["properties"]) == names_of(section.columns)
        assert rows["additionalProperties"] in (False, {"type": "string"})
        assert len(names_of(section.columns)) == len(set(names_of(section.columns)))
        assert any(item.header for item in section.columns)


def test_fits_behind_the_lines_stay_in_their_process() -> None:
    _, _, fit = bm.example()
    found = sensitivity_analyses(fit, ["concordance", "priors"])
    for name in found.tables:
        assert len(found.fits[name]) == len(found.tables[name])
    assert found.fits["concordance"][-1] is fit
    assert found.fits["priors"][0] is fit
    again = pickle.loads(pickle.dumps(found))
    assert (list(again.tables), dict(again.fits)) == (list(found.tables), {})


def test_checks_of_a_model_are_sections_too() -> None:
    _, _, fit = bm.example()
    found = check_model(fit)
    assert [*found.tables, *found.not_done] == list(CHECKS)
    for name, table in found.tables.items():
        read = read_section(name, table, fit, sections=CHECKS)
        assert len(read.table.cells) == len(table)
        # a column that all rows lack is left out; no other
        assert {item.name for item in CHECKS[name].columns} >= {item.name for item in read.table.columns}
