"""An average over models of publication bias in the report: where it stands, and that it stands nowhere unasked.

Authority: the library's own average, whose numbers must come through.
"""

from __future__ import annotations

import dataclasses
import html
import json
import re
import zipfile
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.records import output_schema
from references import ROOT

BEM = ROOT / "tests" / "reference" / "bias" / "Bem2011.csv"
HEAD = """
schema = 2
title = "Feeling the future"
[data]
path = "trials.csv"
columns = { estimate = "d" }
[outcome.recall]
label = "Recall"
measure = "SMD"
better = "higher"
thresholds = [ { name = "small", benefit = 0.1, worse = 0.1, kind = "panel", source = "Stated" } ]
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
"""


def protocol(folder: Path, bias: str, table: pd.DataFrame | None = None) -> bm.Protocol:
    (pd.read_csv(BEM) if table is None else table).to_csv(folder / "trials.csv", index=False)
    path = folder / "trials.toml"
    path.write_text(HEAD + bias, encoding="utf-8")
    return bm.read_protocol(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bias")
    bm.write_report(protocol(place, '[bias]\nensemble = "pp"\n'), place / "report")
    return place / "report"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = pd.read_csv(BEM)
    effects = bm.Effects(rows["study"].tolist(), rows["d"], rows["se"], measure="SMD", better="higher")
    found: pd.DataFrame = bm.bias.bias_benefit_table(bm.average(effects, "pp"), 0.1).set_index("models")
    return found


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page)).replace("\u2212", "-")


def test_the_page_says_what_the_average_gives(folder: Path, table: pd.DataFrame) -> None:
    text = text_of((folder / "index.html").read_text("utf-8"))
    line = table.loc["average"]
    mean = f"{line['median']:.3f}, {line['lower']:.3f} to {line['upper']:.3f}"
    any_benefit, important = (bm.percent(line[name]) for name in ("p_any_benefit", "p_important_benefit"))
    sentence = (
        "The headline has no model of publication bias. Averaged over models with and without publication bias, the "
        f"mean (SMD) is {mean}, P(any benefit) {any_benefit}, P(important benefit, at the stated threshold) "
        f"{important}."
    )
    # beside the headline of the panel's view and of the statistician's
    assert text.count(sentence) == 2
    assert "What if results were selected for publication?" in text
    without = bm.percent(table.loc["no bias", "p_important_benefit"])
    assert f"P(important) {without} without bias, {important} averaged" in text
    assert "too few to test" in text


def test_its_files_hold_the_numbers(folder: Path, table: pd.DataFrame) -> None:
    results = json.loads((folder / "results.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(output_schema("report")).validate(results)
    (outcome,) = results["outcomes"].values() if isinstance(results["outcomes"], dict) else results["outcomes"]
    rows = outcome["sections"]["publication-bias"]["rows"]
    assert [row["p_important_benefit"] for row in rows] == table["p_important_benefit"].tolist()
    written = pd.read_csv(folder / "tables" / "recall.publication-bias.csv")
    assert written["posterior"].tolist() == pytest.approx(table["posterior"].tolist(), rel=1e-15)
    assert "bartos2023" in (folder / "references.bib").read_text("utf-8")
    for name in ("sensitivity-analyses.docx", "summary-of-findings.docx"):
        with zipfile.ZipFile(folder / name) as archive:
            parts = " ".join(archive.read(part).decode() for part in archive.namelist() if part.endswith(".xml"))
        assert "without publication bias" in text_of(parts), name


def test_without_it_nothing_about_bias_is_included(tmp_path: Path) -> None:
    found = bm.analyse(protocol(tmp_path, ""), "recall")
    assert found.publication_bias == ""
    assert "publication-bias" not in found.sections.tables
    assert not found.grade[0]["item"].str.contains("bias, averaged").any()  # type: ignore[index]


def test_where_it_cannot_be_computed_the_reason_stands_there(tmp_path: Path) -> None:
    rows = pd.read_csv(BEM)
    rows.loc[1, "study"] = rows.loc[0, "study"]
    rows["label"] = [f"row {i}" for i in range(len(rows))]
    asked = protocol(tmp_path, "[bias]\n", rows)
    with pytest.warns(bm.BayesmetaWarning):
        found = bm.analyse(asked, "recall")
    # of the rest only this section is computed
    found = dataclasses.replace(found, sections_run=found.sensitivity(["publication-bias"]))
    why = "several rows of one trial are given as independent"
    assert found.publication_bias.startswith(f"Publication bias is in none of these numbers: {why}")
