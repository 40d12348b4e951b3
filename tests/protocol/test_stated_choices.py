"""Choices that a protocol states in words: the direction of one-sided methods, and which rows are left out."""

from __future__ import annotations

import pytest

import bayesmeta as bm
from bayesmeta.errors import ProtocolError
from bayesmeta.sensitivity import sensitivity_analyses
from bayesmeta_cli.main import main


@pytest.fixture
def path(tmp_path):
    assert main(["example", str(tmp_path)]) == 0
    return tmp_path / "protocol.toml"


def changed(path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_direction_of_one_sided_methods_is_stated(path):
    changed(path, "[defaults]\n", '[defaults]\nsmall_study_alternative = "less"\n')
    fit = bm.analyse(path, "anxiety", declared=False).pooled
    assert fit.outcome.selection.small_study_alternative == "less"
    found = sensitivity_analyses(fit, ["small-study"]).tables["small-study"]
    by_name = sensitivity_analyses(fit, ["small-study"], alternative="less").tables["small-study"]
    other = sensitivity_analyses(fit, ["small-study"], alternative="two-sided").tables["small-study"]
    at = (found["method"] == "selection model") & (found["kind"] == "adjusted estimate")
    assert found.loc[at, "estimate"].item() == by_name.loc[at, "estimate"].item()
    assert found.loc[at, "estimate"].item() != other.loc[at, "estimate"].item()


def test_an_unknown_direction_lists_those_there_are(path):
    changed(path, "[defaults]\n", '[defaults]\nsmall_study_alternative = "smaller"\n')
    with pytest.raises(ProtocolError, match=r"auto.*greater.*less.*two-sided"):
        bm.read_protocol(path)


@pytest.mark.parametrize("where", ["", "where = {}, "])
def test_an_exclusion_says_which_rows(path, where):
    changed(path, 'path = "trials.csv"\n', f'path = "trials.csv"\nexclude = [ {{ {where}reason = "by mistake" }} ]\n')
    with pytest.raises(ProtocolError, match="where"):
        bm.read_protocol(path)
