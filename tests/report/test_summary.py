"""One row of the summary of findings, and what the panel's view makes of an analysis.

Authority: the library itself for every chance (`benefit_table`, `natural_table`, `moderator_table`), arithmetic
for places on an axis, and the protocol for what was asked.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.plan import Judgement, Judgements
from bayesmeta.questions import natural_table
from bayesmeta.report.axes import WIDTH, Axis, axes_of, row_picture
from bayesmeta.report.panel import controls_of
from bayesmeta.report.summary import (
    Yardstick,
    agreement_words,
    asked_of,
    beyond_words,
    short_name,
    summary_of,
)
from bayesmeta.report.whom import LANE, in_whom
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"


@pytest.fixture(scope="module")
def parts():
    return {key: bm.analyse(CANCER, key) for key in ("fatigue_short", "qol_medium")}


def test_chances_are_those_of_the_library(parts):
    for part in parts.values():
        row = summary_of(part, "Exercise")
        found = {item.words: item for item in row.chances[1:-1]}
        stated = bm.benefit_table(part.pooled).set_index(["threshold", "target"])
        for name, words in (("small", "0.2 SD"), ("important", "0.5 SD")):
            assert found[words].mean == stated.loc[(name, "mean effect"), "p_important_benefit"]
            assert found[words].new == stated.loc[(name, "new study"), "p_important_benefit"]
        first = row.yardsticks[0]
        assert first.natural
        low = part.pooled.outcome.decision.natural_unit.mid.benefit
        low = low if isinstance(low, float) else low[0]
        points = natural_table(part.pooled, thresholds=[bm.plan.PointsThreshold(low, "x", "panel")])
        points = points.set_index("target")
        # two quadratures of the same integral over the SD: both are good to ten digits
        for target, got, harm in (
            ("mean effect", row.chances[1].mean, row.chances[-1].mean),
            ("new study", row.chances[1].new, row.chances[-1].new),
        ):
            assert got == pytest.approx(points.loc[target, "p_important_benefit"], abs=1e-9)
            assert harm == pytest.approx(points.loc[target, "p_important_harm"], abs=1e-9)


def test_a_row_holds_what_was_judged_and_nothing_that_was_not(parts):
    part = parts["fatigue_short"]
    judged = Judgements({"fatigue_short": Judgement("moderate")})
    assert "[certainty?]" in summary_of(part, "Exercise").sentence
    assert summary_of(part, "Exercise", judged).sentence.startswith("Exercise likely ")
    assert "[certainty?]" in summary_of(parts["qol_medium"], "Exercise", judged).sentence


def yardstick(x: float, name: str = "") -> Yardstick:
    return Yardstick(name, f"{x:g} SD", np.array([x]), np.array([x]), np.ones(1))


def test_two_answers_at_two_thresholds_are_explained():
    marks = [yardstick(0.5, "important"), yardstick(0.2, "small")]
    assert beyond_words(0.3, marks) == "Reaches small (0.2 SD), not important (0.5 SD)."
    assert beyond_words(-0.3, marks) == "Reaches small (0.2 SD), not important (0.5 SD)."
    assert beyond_words(0.1, marks) == ""
    assert beyond_words(0.6, marks) == ""


def test_declared_analyses_that_say_another_size_are_named(parts):
    part = parts["fatigue_short"]
    table = part.variations
    pooled = table[table["varies"] == "pooled"].iloc[1:]
    cut = float(-pooled["mu"].max())
    # a threshold that the analysis furthest from benefit alone does not reach
    words = agreement_words(part, 0.28, [yardstick(cut + 1e-9)])
    worst = pooled["analysis"][pooled["mu"].idxmax()]
    assert words == f"{len(pooled) - 1} of {len(pooled)} declared analyses say the same; not: {worst}"


def test_pictures_of_rows_put_numbers_where_they_are(parts):
    items = list(parts.values())
    rows = [summary_of(part) for part in items]
    axes = axes_of(items, rows)
    for part, row in zip(items, rows, strict=True):
        axis, picture = axes[row.key], row_picture(part, row, axes[row.key])
        sign = 1 if part.effects.better == "higher" else -1
        mu = bm.summarize(part.pooled).loc["mu"]

        def at(x: float, axis: Axis = axis) -> float:
            return WIDTH * (x - axis.low) / (axis.high - axis.low)

        # places are written to a tenth of a unit
        assert picture["mu_dot"] == pytest.approx(at(sign * mu["median"]), abs=0.06)
        assert picture["zero"] == pytest.approx(at(0.0), abs=0.06)
        assert picture["mu_ends"] == pytest.approx(sorted(at(sign * mu[end]) for end in ("lower", "upper")), abs=0.06)
        assert picture["tick"] == pytest.approx(at(sign * part.classical.estimate), abs=0.06)
        # benefit lies to the right, whichever way the measure points
        assert picture["mu_dot"] > picture["zero"]
        for share, text in axis.ticks:
            value = axis.low + share * (axis.high - axis.low)
            assert sign * value == pytest.approx(float(text), abs=1e-3)


def test_levels_are_those_of_the_moderator_table(parts):
    part = parts["fatigue_short"]
    row = summary_of(part)
    told = in_whom(part, row)
    table = part.moderators
    levels = table[table["part"] == "level"]
    assert [(line["moderator"], line["name"], line["trials"]) for line in told["levels"]] == [
        (item["moderator"], item["name"], item["trials"]) for item in levels.to_dict("records")
    ]
    axis = told["axis"]
    for line, median in zip(told["levels"], levels["median"], strict=True):
        # fatigue: lower is better
        assert line["dot"] == pytest.approx(LANE * (-median - axis.low) / (axis.high - axis.low), abs=0.06)
    expected = bm.probability(part.moderated, "mu", below=-0.5, at={"exercise": "yoga"})
    half = dataclasses.replace(row, yardsticks=(yardstick(0.5),))
    (yoga,) = [line for line in in_whom(part, half)["levels"] if line["name"] == "yoga"]
    assert yoga["chance"] == bm.percent(expected)
    assert [line["name"] for line in told["differences"]] == table.loc[table["part"] == "contrast", "name"].tolist()


def test_one_control_for_every_kind_of_outcome(parts):
    rows = [summary_of(part) for part in parts.values()]
    points = controls_of(rows, {})
    assert [(item["unit"], item["value"], item["keys"]) for item in points] == [
        ("points", 3.0, ["fatigue_short"]),
        ("points", 5.0, ["qol_medium"]),
    ]
    plain = [dataclasses.replace(row, yardsticks=row.yardsticks[1:]) for row in rows]
    (one,) = controls_of(plain, {row.key: (0.01, 1.0, 0.01) for row in rows})
    assert (one["value"], one["keys"]) == (0.5, ["fatigue_short", "qol_medium"])


def test_what_was_asked_is_what_the_protocol_says(parts):
    protocol = bm.read_protocol(CANCER)
    asked = asked_of(protocol.report, list(parts.values()))
    assert (asked.who, asked.comparison, asked.outcomes) == ("Exercise", "No exercise", "Fatigue, quality of life")
    assert asked_of({}, list(parts.values())).who == "The intervention"
    assert short_name("Quality of life (EORTC, 0-100) at six months") == "Quality of life"
