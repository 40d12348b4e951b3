"""A protocol of schema 1 becomes one of schema 2, whatever stands in it, and what means something else is named."""

from __future__ import annotations

import pytest

from bayesmeta import ProtocolError
from bayesmeta.protocol import migrate, read_protocol
from bayesmeta.protocol.migration import changed_meanings

TEXT = """
schema = 1
title = "Exercise"
[data]
path = "trials.csv"
[defaults]
measure = "SMD"
better = "lower"
priors = "published"
moderators = ["weeks", { name = "timing", kind = "categorical" }]
[outcome.fatigue]
label = "Fatigue"
priors = { published = true, beta = { weeks = "normal(0, 1)" } }
moderators = ["weeks"]
"""


def test_published_priors_of_schema_1_are_migrated(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(TEXT, encoding="utf-8")
    (tmp_path / "trials.csv").write_text("study,estimate,se,weeks\nA,0.1,0.2,8\nB,0.2,0.2,12\n", encoding="utf-8")
    # the default of a slope has changed where none is stated
    (line,) = migrate(path)
    assert line.startswith("defaults.moderators: weeks: ")
    assert path.read_text(encoding="utf-8") == TEXT.replace("schema = 1", "schema = 2")
    assert list(read_protocol(path).outcomes) == ["fatigue"]


def test_a_protocol_of_schema_1_with_published_priors_is_refused_by_its_schema(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(TEXT, encoding="utf-8")
    with pytest.raises(ProtocolError, match="schema"):
        read_protocol(path)


@pytest.mark.parametrize(
    "raw",
    [
        {"defaults": "x", "outcome": [1], "sensitivity": {"a": 1}},
        {"defaults": {"priors": 3, "reference": "a", "moderators": [{"name": [1]}, 4], "thresholds": 5}},
        {"defaults": {"priors": {"beta": "x"}}, "outcome": {"a": 4, "b": {"priors": "published", "moderators": "x"}}},
    ],
)
def test_what_is_no_table_has_no_changed_meaning(raw):
    """Its faults are those of the keys, and are listed there."""
    assert changed_meanings(raw) == []
