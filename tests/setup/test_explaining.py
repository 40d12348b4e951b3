"""Rules and their examples: every wrong one breaks its rule, and no right one does.

Authority: the readers and rules themselves, which are run on the examples as on any file.
"""

import warnings

import pytest

import bayesmeta as bm
from bayesmeta.analysis import examined, read_outcomes
from bayesmeta.errors import ModelError
from bayesmeta.forensics import AUDIT_RULES, RULES, audit, examine_table
from bayesmeta.setup import explained_rule, explained_rules, rule_of
from bayesmeta.studies import read_csv_effects, read_table, with_unread
from references import ROOT

EXPLAINED = explained_rules()
#: Rules of published results held against a list of trials: two tables, which no short example shows.
OF_TWO_TABLES = {
    "participants v arms",
    "sizes v report",
    "cited, not listed",
    "outcome v list",
    "arm that is not the treatment",
    "control shared by arms",
    "narrower than participants allow",
    "wider than participants explain",
    "random-effects interval v I2",
    "patients counted twice",
}
FAULTS = {name for name, rule in EXPLAINED.items() if rule.pattern}
TABLE = EXPLAINED["study-missing"].right


def said(rule, text, tmp_path):
    """What is said of an example: names of rules of its faults, or of its findings."""
    path = tmp_path / ("protocol.toml" if rule.kind == "protocol" else "trials.csv")
    (tmp_path / "trials.csv").write_text(TABLE, encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if rule.kind in ("examined", "published"):
            found = (audit if rule.kind == "published" else examine_table)(read_table(path))
            return {item.rule for item in found}
        try:
            if rule.kind == "protocol":
                read = read_outcomes(bm.read_protocol(path), declared=True)
                readings = with_unread({key: reading for key, (reading, _) in read.items()})
                return {item.rule for reading in readings.values() for item in examined(reading).findings}
            read_csv_effects(path, rule.measure)
        except (bm.ProtocolError, bm.DataError) as error:
            return {rule_of(line) for line in str(error).splitlines()}
    return set()


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_wrong_example_breaks_the_rule_and_the_right_one_does_not(name, tmp_path):
    rule = EXPLAINED[name]
    assert rule.wrong != rule.right
    assert (rule.finding or name) in said(rule, rule.wrong, tmp_path)
    right = said(rule, rule.right, tmp_path)
    assert (rule.finding or name) not in right
    assert not right & {*FAULTS, None}


def test_every_rule_says_why_and_where_it_is_written():
    for rule in EXPLAINED.values():
        page, _, heading = rule.docs.partition(": ")
        text = (ROOT / page).read_text(encoding="utf-8")
        assert not heading or f"# {heading}\n" in text, rule.name
        assert rule.why.endswith("."), rule.name
        assert bool(rule.pattern) != bool(rule.finding), rule.name


def test_rules_of_forensics_and_audit_are_explained():
    named = {rule.finding for rule in EXPLAINED.values()}
    assert {rule.name for rule in RULES} - named == set()
    assert {rule.name for rule in AUDIT_RULES} - named == OF_TWO_TABLES


def test_names_are_found_as_people_write_them_and_suggested():
    for text in ("SE given as SD", "se-given-as-sd", "[se-given-as-sd]"):
        assert explained_rule(text).finding == "SE given as SD"
    with pytest.raises(ModelError, match="Did you mean ambiguous-count"):
        explained_rule("ambigous-count")
