"""The sections of levels: what a protocol asks for is what the questions answer, and what it does not is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.sensitivity import read_section
from references import ROOT

NAMES = ["heterogeneity-by", "best-level"]


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> bm.Analysis:
    """The shipped protocol, asking whether the heterogeneity of fatigue differs by timing."""
    text = (ROOT / "models" / "cancer_exercise.toml").read_text(encoding="utf-8")
    text = text.replace("[defaults]", '[defaults]\nheterogeneity_by = "timing"', 1)
    folder: Path = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "data", folder / "data")
    path = folder / "models" / "p.toml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return bm.analyse(path, "fatigue_short", declared=False)


def test_sections_are_the_tables_of_their_questions(analysis: bm.Analysis) -> None:
    found = analysis.sensitivity(NAMES)
    assert list(found.tables) == NAMES
    alone = bm.heterogeneity_by_table(analysis.pooled, "timing", bm.Normal(0, 0.5))
    numbers = ["median", "lower", "upper", "p_above_1", "classical"]
    np.testing.assert_array_equal(found.tables["heterogeneity-by"][numbers], alone[numbers])
    assert analysis.moderated is not None
    best = found.tables["best-level"]
    for name in ("exercise", "timing"):
        table = bm.best_level_table(analysis.moderated, name, 0.5)
        np.testing.assert_array_equal(best[best["moderator"] == name]["p_best"], table["p_best"])
    read = read_section("heterogeneity-by", found.tables["heterogeneity-by"], analysis.pooled)
    assert f"P(tau[during] / tau[after] > 1) = {bm.percent(float(alone['p_above_1'].max()))}." in read.note
    assert "Bayes factor for different SDs" in read.note
    assert "rows share patients" in read.note


def test_what_a_protocol_does_not_ask_is_said(analysis: bm.Analysis) -> None:
    plain = bm.fit(analysis.effects, analysis.pooled.model)
    found = bm.sensitivity.sensitivity_analyses(plain, NAMES)
    assert "names no moderator" in found.not_done["heterogeneity-by"]
    assert "no moderated analysis" in found.not_done["best-level"]
    # the headline has one tau, whatever is asked beside it
    assert analysis.pooled.model.tau_by is None
