"""Judgements of a panel: read from JSON and TOML alike, and every fault named at once."""

from __future__ import annotations

import json

import pytest

import bayesmeta as bm
from bayesmeta.plan import CERTAINTIES, DOMAINS, SYMBOLS, Judgement, concerns_of
from bayesmeta.protocol import read_judgements
from references import ROOT

STATED = {
    "schema_version": 1,
    "panel": "Group",
    "date": "2026-11-30",
    "data": "ab" * 32,
    "outcomes": {
        "depression": {
            "certainty": "low",
            "domains": {"risk of bias": "serious", "publication bias": "strongly suspected"},
            "reasons": {"certainty": "unblinded", "risk of bias": "self-report"},
            "threshold": "3 points",
        }
    },
}


def test_json_and_toml_say_the_same(tmp_path):
    protocol = bm.read_protocol(ROOT / "models" / "exercise_depression.toml")
    (tmp_path / "a.json").write_text(json.dumps(STATED), "utf-8")
    (tmp_path / "a.toml").write_text(
        f'panel = "Group"\ndate = "2026-11-30"\ndata = "{"ab" * 32}"\n[outcomes.depression]\ncertainty = "low"\n'
        'threshold = "3 points"\n'
        'domains = { "risk of bias" = "serious", "publication bias" = "strongly suspected" }\n'
        'reasons = { certainty = "unblinded", "risk of bias" = "self-report" }\n',
        "utf-8",
    )
    one, other = (read_judgements(tmp_path / name, protocol) for name in ("a.json", "a.toml"))
    assert one == other
    assert (one.panel, one.date, one.data) == ("Group", "2026-11-30", "ab" * 32)
    told = one.of("depression")
    assert (told.certainty, told.threshold, told.symbol) == ("low", "3 points", "\u2295\u2295\u25ef\u25ef")
    assert dict(told.domains)["publication bias"] == "strongly suspected"
    assert one.of("another") == Judgement()


def test_all_faults_are_told_at_once(tmp_path):
    wrong = {
        "panels": "x",
        "outcomes": {
            "sleep": {"certainty": "fairly low"},
            "depression": {"domains": {"imprecision": "bad", "luck": "serious", "publication bias": "serious"}},
        },
    }
    (tmp_path / "a.json").write_text(json.dumps(wrong), "utf-8")
    with pytest.raises(bm.ProtocolError) as caught:
        read_judgements(tmp_path / "a.json", bm.read_protocol(ROOT / "models" / "exercise_depression.toml"))
    text = str(caught.value)
    for words in ("'panels'", "'sleep'", "'fairly low'", "'bad'", "'luck'", "'serious' is not allowed"):
        assert words in text


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.toml", "= 3")])
def test_what_is_no_file_of_judgements_says_so(tmp_path, name, text):
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(bm.DataError, match="not valid"):
        read_judgements(tmp_path / name)


def test_every_certainty_has_a_symbol_and_every_domain_words():
    assert [SYMBOLS[name].count("\u2295") for name in CERTAINTIES] == [4, 3, 2, 1]
    assert {len(text) for text in SYMBOLS.values()} == {4}
    assert all(len(set(concerns_of(domain))) >= 2 for domain in DOMAINS)
