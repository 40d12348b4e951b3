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

    control: Literal["split", "whole"] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class WithControl(Selection):
    """The field."""

    control: str = dataclasses.field(default="whole", metadata=storage.LATER)


def test_a_stated_key_becomes_a_field_and_one_that_is_not_stated_its_default() -> None:
    stated = Keys.model_validate({"measure": "SMD", "better": "lower", "control": "split"})
    silent = Keys.model_validate({"measure": "SMD", "subgroups": ["type"]})
    assert _stated(WithControl, stated, measure_options={}, exclude=()).control == "split"
    assert _stated(WithControl, silent, measure_options={}, exclude=()) == WithControl("SMD", subgroups=("type",))


def test_a_field_is_stored_and_an_older_file_gives_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ModelPlan(bm.Normal(0, 1), bm.HalfNormal(0.5))
    old = dumps(Outcome("pain", "Pain", Selection("SMD", "lower"), plan))
    monkeypatch.setitem(storage._NOUNS, "Selection", WithControl)
    monkeypatch.setitem(storage._TAGS, WithControl, "Selection")
    outcome = Outcome("pain", "Pain", WithControl("SMD", "lower", control="split"), plan)
    assert loads(dumps(outcome)) == outcome
    assert loads(old).selection.control == "whole"


def test_the_use_finds_it_and_rows_are_chosen_anew_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = bm.read_protocol(CANCER)
    outcome = protocol.outcomes["anxiety_long"]
    fields = {item.name: getattr(outcome.selection, item.name) for item in dataclasses.fields(outcome.selection)}
    seen = []
    chosen = studies_reading.chosen_once

    def choosing(table, asked):
        seen.append(asked.selection.control)
        return chosen(table, asked)

    monkeypatch.setattr(studies_reading, "chosen_once", choosing)
    for control in ("whole", "split"):
        asked = dataclasses.replace(outcome, selection=WithControl(**fields, control=control))
        read_outcome(dataclasses.replace(protocol, outcomes={"x": asked}), "x")
    assert seen == ["whole", "split"]
