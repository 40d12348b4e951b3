"""An option of an outcome is a key, a field and its use: between the file and its use nothing lists the options.

The option of these tests is one that no version has: half of a shared control arm for each of two rows.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import pytest

import bayesmeta as bm
from bayesmeta.fits import dumps, loads, storage
from bayesmeta.plan import ModelPlan, Outcome, Selection
from bayesmeta.protocol.keys import OutcomeKeys
from bayesmeta.protocol.rules import _stated
from bayesmeta.studies import read_outcome
from bayesmeta.studies import reading as studies_reading
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"


class Keys(OutcomeKeys):
    """The key."""

    halves: Literal["split", "whole"] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class WithHalves(Selection):
    """The field."""

    halves: str = dataclasses.field(default="whole", metadata=storage.LATER)


def test_a_stated_key_becomes_a_field_and_one_that_is_not_stated_its_default() -> None:
    stated = Keys.model_validate({"measure": "SMD", "better": "lower", "halves": "split"})
    silent = Keys.model_validate({"measure": "SMD", "subgroups": ["type"]})
    assert _stated(WithHalves, stated, measure_options={}, exclude=()).halves == "split"
    assert _stated(WithHalves, silent, measure_options={}, exclude=()) == WithHalves("SMD", subgroups=("type",))


def test_a_field_is_stored_and_an_older_file_gives_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ModelPlan(bm.Normal(0, 1), bm.HalfNormal(0.5))
    old = dumps(Outcome("pain", "Pain", Selection("SMD", "lower"), plan))
    monkeypatch.setitem(storage._NOUNS, "Selection", WithHalves)
    monkeypatch.setitem(storage._TAGS, WithHalves, "Selection")
    outcome = Outcome("pain", "Pain", WithHalves("SMD", "lower", halves="split"), plan)
    assert loads(dumps(outcome)) == outcome
    assert loads(old).selection.halves == "whole"


def test_the_use_finds_it_and_rows_are_chosen_anew_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = bm.read_protocol(CANCER)
    outcome = protocol.outcomes["anxiety_long"]
    fields = {item.name: getattr(outcome.selection, item.name) for item in dataclasses.fields(outcome.selection)}
    seen = []
    chosen = studies_reading.chosen_once

    def choosing(table, asked):
        seen.append(asked.selection.halves)
        return chosen(table, asked)

    monkeypatch.setattr(studies_reading, "chosen_once", choosing)
    for halves in ("whole", "split"):
        asked = dataclasses.replace(outcome, selection=WithHalves(**fields, halves=halves))
        read_outcome(dataclasses.replace(protocol, outcomes={"x": asked}), "x")
    assert seen == ["whole", "split"]
