"""Judgements of risk of bias in the spellings that tables have.

Authority: the tools' own words (Sterne 2019, doi:10.1136/bmj.l4898; Sterne 2016, doi:10.1136/bmj.i4919), the signs of
RevMan's summary for RoB 2 and those of R robvis for ROBINS-I.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.errors import DataError
from bayesmeta.plan import RiskOfBias, RobTool
from bayesmeta.studies.columns import FrameFaults
from bayesmeta.studies.risk_of_bias import read_risk_of_bias, undescribed_risk_of_bias

ROB2 = {
    "low": ["low", "Low", "LOW RISK", "low risk of bias", "+", " low "],
    "some concerns": ["Some concerns", "some_concerns", "some", "?", "unclear", "Unclear risk of bias", "!"],
    "high": ["high", "High risk", "-", "\u2212", "\u2013"],
    "": ["", None, float("nan"), "not judged", "NA"],
}
ROBINS = {
    "low": ["low", "+"],
    "moderate": ["Moderate", "moderate risk", "-", "\u2212"],
    "serious": ["serious risk of bias", "X", "x"],
    "critical": ["Critical", "!"],
    "no information": ["No information", "NI", "?"],
    "": [""],
}


@pytest.mark.parametrize(("tool", "spelled"), [("RoB 2", ROB2), ("ROBINS-I", ROBINS)])
def test_spellings(tool: RobTool, spelled: dict[str, list[object]]) -> None:
    cells = [(word, cell) for word, some in spelled.items() for cell in some]
    frame = pd.DataFrame({"study": "A", "rob": pd.Series([cell for _, cell in cells], dtype=object)})
    faults = FrameFaults(frame)
    read = read_risk_of_bias(frame, RiskOfBias(tool, "rob"), faults)
    assert read["overall"].tolist() == [word for word, _ in cells]
    assert not faults.found


def test_words_of_the_other_tool_and_signs_of_two_programs_are_faults() -> None:
    frame = pd.DataFrame({"study": ["A", "B"], "rob": ["serious", "low"], "d": ["-", "x"]})
    faults = FrameFaults(frame)
    read_risk_of_bias(frame, RiskOfBias("RoB 2", "rob", {"D": "d"}), faults)
    with pytest.raises(DataError) as caught:
        faults.raise_if_any()
    said = str(caught.value)
    assert "column rob: 'serious' is not a judgement of RoB 2. Write low, some concerns, high" in said
    assert "column d: '-' stands beside x: it is high risk in RevMan and some concerns in robvis" in said
    # a cross alone is high risk in both
    alone = pd.DataFrame({"study": ["A"], "rob": ["x"]})
    assert read_risk_of_bias(alone, RiskOfBias("RoB 2", "rob"), FrameFaults(alone))["overall"].tolist() == ["high"]


def test_a_plain_column_is_read_and_promises_nothing() -> None:
    frame = pd.DataFrame({"risk_of_bias": ["High risk", "critical", "ask", None]})
    read = undescribed_risk_of_bias(frame)
    assert read is not None
    assert read["overall"].tolist() == ["high", "critical", "ask", ""]
    assert undescribed_risk_of_bias(pd.DataFrame({"rob": ["high"]})) is None


def test_rows_of_one_trial_that_are_judged_otherwise_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("study,estimate,se,risk_of_bias\nA,-0.5,0.1,high\nA,-0.4,0.2,low\nB,-0.3,0.2,low\n")
    (tmp_path / "p.toml").write_text(
        'schema = 2\ntitle = "t"\n[data]\npath = "t.csv"\n[outcome.pain]\nlabel = "Pain"\nmeasure = "SMD"\n'
        'better = "lower"\npriors.mu = "normal(0, 1)"\npriors.tau = "halfnormal(0.5)"\n'
        'risk_of_bias = { tool = "RoB 2" }\n'
    )
    from bayesmeta.studies import read_outcome

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        reading = read_outcome(tmp_path / "p.toml", "pain")
    (found,) = [item for item in reading.findings if item.rule == "risk of bias differs in a trial"]
    assert found.evidence == "A: rows are judged high and low"
    assert reading.risk_of_bias is not None
    assert reading.risk_of_bias.index.tolist() == list(reading.effects.label)
