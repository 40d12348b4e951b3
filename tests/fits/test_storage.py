"""Stored nouns outlive the names of classes and fields, and what no longer makes a fit says so, with the remedy.

The files are those that 0.1.0 wrote; a rename is a changed line of the registry.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

import bayesmeta as bm
from bayesmeta.fits import SCHEMA_VERSION, dumps, loads, storage
from bayesmeta.fits.storage import _NOUNS, _RENAMED, _TAGS
from pinned import PINS

FITS = sorted((PINS / "fits").glob("*.nc"))
AGAIN = r"Write it again with `bayesmeta fit PROTOCOL -o OUT`\.$"


def specification(path: Path) -> dict[str, str]:
    """The nouns of a file, as text."""
    with xr.open_datatree(path, engine="netcdf4") as tree:
        return {str(name): str(item.item()) for name, item in tree["specification"].data_vars.items()}


def tags(value: Any) -> set[str]:
    """Every tag in a text, read as JSON."""
    if isinstance(value, list):
        return set().union(*map(tags, value))
    if not isinstance(value, dict):
        return set()
    own = {value["@"]} if "fields" in value else set()
    return own.union(*map(tags, value.values()))


#: Nouns that were first written after 0.1.0.
LATER = {
    "BiasSize",
    "ControlMean",
    "Decision",
    "ModelPlan",
    "Outcome in parts",
    "Quotient",
    "RiskOfBias",
    "Selection",
    "TauBy",
    "TrialInteraction",
}


def test_every_tag_is_in_a_file_of_0_1_0_or_later() -> None:
    found = set().union(*(tags(json.loads(text)) for path in FITS for text in specification(path).values()))
    assert found == set(_NOUNS) - LATER


def without_later(value: Any) -> Any:
    """A text read as JSON, without the fields that files of 0.1.0 lack, which hold their defaults."""
    if isinstance(value, list):
        return [without_later(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "fields" not in value:
        return {name: without_later(item) for name, item in value.items()}
    later = {item.name: item.default for item in dataclasses.fields(_NOUNS[value["@"]]) if "later" in item.metadata}
    assert {name: value["fields"][name] for name in later} == later
    return {**value, "fields": {n: without_later(v) for n, v in value["fields"].items() if n not in later}}


@pytest.mark.parametrize("path", FITS, ids=lambda path: path.stem)
def test_nouns_of_0_1_0_are_written_again_letter_for_letter(path: Path) -> None:
    for name, text in specification(path).items():
        if name != "outcome" or text == "null":
            assert json.dumps(without_later(json.loads(dumps(loads(text)))), ensure_ascii=False) == text


def test_an_outcome_of_0_1_0_is_read_as_its_parts_and_loses_no_field() -> None:
    texts = [text for path in FITS if (text := specification(path)["outcome"]) != "null"]
    assert texts
    for text in texts:
        stored, outcome = json.loads(text)["fields"], loads(text)
        held = {
            field.name: getattr(part, field.name)
            for part in (outcome, outcome.selection, outcome.model, outcome.decision)
            for field in dataclasses.fields(part)
            if "later" not in field.metadata
        }
        assert {name: without_later(json.loads(dumps(held[name]))) for name in stored} == stored
        later = {
            field.name
            for part in (outcome, outcome.selection, outcome.model, outcome.decision)
            for field in dataclasses.fields(part)
            if "later" in field.metadata
        }
        assert set(held) - {"selection", "model", "decision"} - later == set(stored)
        assert loads(dumps(outcome)) == outcome


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`Check` under another name, with another name of its first field, and one field more."""

    label: str
    ok: bool
    value: float
    limit: float
    advice: str
    severity: str = dataclasses.field(default="error", metadata=storage.LATER)  # files of 0.1.0 lack it


def test_a_renamed_class_and_a_renamed_field_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = PINS / "fits" / "nuts_pooled.nc"
    expected = bm.load(path)
    monkeypatch.setitem(_NOUNS, "Check", Verdict)
    monkeypatch.setitem(_TAGS, Verdict, "Check")
    monkeypatch.setitem(_RENAMED, "Check", {"name": "label"})
    loaded = bm.load(path)
    assert loaded.checks == tuple(Verdict(c.name, c.ok, c.value, c.limit, c.advice) for c in expected.checks)
    assert bm.summarize(loaded).equals(bm.summarize(expected))
    # and written under the tags of files, with what is new
    text = json.loads(dumps(loaded.checks))["items"][0]
    assert text["@"] == "Check"
    assert list(text["fields"]) == ["name", "ok", "value", "limit", "advice", "severity"]
    again = dataclasses.replace(loaded, checks=(dataclasses.replace(loaded.checks[0], severity="none"),))
    assert bm.load(again.save(tmp_path / "again.nc")).checks == again.checks


def edited(folder: Path, old: str, new: str) -> Path:
    """A file of 0.1.0 with a changed word in its effects."""
    path = shutil.copy(PINS / "fits" / "exact_pooled.nc", folder / "fit.nc")
    with netCDF4.Dataset(path, "a") as file:
        variable = file["specification"].variables["effects"]
        text = str(variable[...])
        assert old in text
        variable[...] = np.array(text.replace(old, new), object)
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"measure": ',
            '"metric": ',
            "Effects has a field metric, which this version does not know. Upgrade",
        ),
        ('"unit": null', '"note": null', "Effects has a field note, which"),
        ('"@": "Effects"', '"@": "Results"', "the file holds a 'Results', which this version"),
        ('"measure": "SMD", ', "", "Effects lacks the field measure."),
        (', "unit": null', "", "Effects lacks the field unit."),
        ('"measure": "SMD"', '"measure": "XYZ"', "it holds what makes no fit .*XYZ"),
        ('"measure": "SMD"', '"measure": SMD', "it holds what makes no fit"),
        ('"measure": "SMD"', '"measure": 3', "it holds what makes no fit"),
        ('"@": "Effects"', '"%": "Effects"', "it holds what makes no fit"),
    ],
)
def test_what_makes_no_fit_is_refused_with_the_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(bm.DataError, match=rf"fit\.nc: {message}.*{AGAIN}"):
        bm.load(edited(tmp_path, old, new))


def test_what_is_not_stored_is_refused() -> None:
    for value in (Verdict("a", True, 1.0, 1.0, ""), object(), {1, 2}):
        with pytest.raises(TypeError, match="is not a stored type"):
            dumps(value)


# -- schema 1 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FITS, ids=lambda path: path.stem)
def test_a_tree_of_schema_1_is_saved_as_one_of_today(path: Path, tmp_path: Path) -> None:
    """Nothing in it is lost or moved by a bit; answers are compared in fits/test_pinned.py."""
    with xr.open_datatree(path, engine="netcdf4") as found:
        old = found.load()
    loaded = bm.load(path)
    new = storage.read_tree(loaded.save(tmp_path / "fit.nc"))
    assert (old.attrs["schema_version"], new.attrs["schema_version"]) == (1, SCHEMA_VERSION)
    assert new.equals(old)
    assert {key: str(value) for key, value in old.attrs.items() if key != "schema_version"} == {
        key: str(value) for key, value in new.attrs.items() if key not in ("schema_version", "digest")
    }
    priors = {str(name): values.attrs["prior"] for name, values in new["log_prior"].data_vars.items()}
    assert list(priors) == list(priors.values()) == [str(name) for name in old["log_prior"].data_vars]
    assert bm.load(tmp_path / "fit.nc").tree.identical(loaded.tree)


def test_what_trials_report_of_differences_inside_them_is_kept() -> None:
    from bayesmeta.plan import ModelPlan, TrialInteraction
    from bayesmeta.priors import HalfNormal, Normal

    stated = TrialInteraction("A", "age", "slope per 10", -0.05, 0.08, "table 4")
    plan = ModelPlan(Normal(0, 1), HalfNormal(0.5), trial_interactions=(stated,), scalings={"age": 20.0})
    assert loads(dumps(plan)) == plan
