"""Two-by-two tables without continuity corrections, and zero cells: metafor 3.8.1 (two_by_two_metafor.R)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bayesmeta.classical.two_by_two import counts_of, mantel_haenszel, no_contrast, peto
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError

# closed forms on both sides
CLOSED = 1e-9
# p values and statistics that are zero up to rounding
FLOOR = 1e-12

FOLDER = Path(__file__).parent / "reference"
SETS = {
    content["id"]: content
    for content in json.loads((FOLDER / "two_by_two_metafor.json").read_text(encoding="utf-8"))["sets"]
}
MEASURES = ("OR", "RR", "RD")
COMMON = ("estimate", "se", "stat", "p", "lower", "upper", "q")
TESTS = ("cmh", "cmh_p", "breslow_day", "breslow_day_p", "tarone", "tarone_p")


def close(found, expected, rel=CLOSED):
    return found == pytest.approx(expected, rel=rel, abs=FLOOR)


def test_the_reference_covers_what_it_should():
    assert len(SETS) == 12
    assert all(set(content["mh"]) == set(MEASURES) for content in SETS.values())
    assert sum(len(content["reml"]) for content in SETS.values()) == 11 * 24
    assert sum(bool(no_contrast(counts_of(content["counts"])).any()) for content in SETS.values()) >= 5


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", SETS)
def test_mantel_haenszel(name, measure):
    reference = SETS[name]["mh"][measure]
    found = mantel_haenszel(SETS[name]["counts"], measure=measure)
    for attribute in COMMON:
        assert close(getattr(found, attribute), reference[attribute]), attribute
    assert found.q_df == reference["k_yi"] - 1
    if found.q_df > 0:
        assert close(found.q_p, reference["q_p"])
    else:
        # metafor prints p = 1 of no degrees of freedom
        assert found.q_p is None
        assert any("heterogeneity cannot be tested" in note for note in found.notes)
    if measure != "OR":
        assert found.cmh is found.tarone is found.homogeneity_df is None
        return
    for attribute in TESTS:
        if reference[attribute] in (None, "NA"):
            assert getattr(found, attribute) is None
        else:
            assert close(getattr(found, attribute), reference[attribute]), attribute
    assert found.homogeneity_df == reference["k_pos"] - 1
    uncorrected = mantel_haenszel(SETS[name]["counts"], correct=False)
    assert close(uncorrected.cmh, reference["cmh_uncorrected"])


@pytest.mark.parametrize("name", SETS)
def test_peto(name):
    reference = SETS[name]["peto"]
    found = peto(SETS[name]["counts"])
    for attribute in COMMON:
        assert close(getattr(found, attribute), reference[attribute]), attribute
    if found.q_df > 0:
        assert close(found.q_p, reference["q_p"])
    else:
        assert found.q_p is None


def swapped(counts):
    return np.asarray(counts)[:, [2, 3, 0, 1]]


def reversed_events(counts):
    counts = np.array(counts, float)
    counts[:, [0, 2]] = counts[:, [1, 3]] - counts[:, [0, 2]]
    return counts


@pytest.mark.parametrize("name", SETS)
def test_swapping_arms_or_events(name):
    counts = SETS[name]["counts"]
    for fit in (
        *(lambda x, measure=measure: mantel_haenszel(x, measure=measure) for measure in MEASURES),
        peto,
    ):
        plain, other = fit(counts), fit(swapped(counts))
        assert close(other.estimate, -plain.estimate)
        assert close(other.se, plain.se)
        assert close(other.p, plain.p)
    for fit in (mantel_haenszel, peto, lambda x: mantel_haenszel(x, measure="RD")):
        assert close(fit(reversed_events(counts)).estimate, -fit(counts).estimate)


def test_one_table_is_its_own_odds_ratio():
    found = mantel_haenszel([[3, 40, 8, 42]])
    assert close(found.estimate, np.log(3 * 34 / (37 * 8)))
    # Robins-Breslow-Greenland is Woolf's variance for one table
    assert close(found.se**2, 1 / 3 + 1 / 37 + 1 / 8 + 1 / 34)


def test_tables_without_a_contrast_change_nothing():
    counts = np.array(SETS["bcg"]["counts"], float)
    more = np.vstack([counts, [[0, 10, 0, 20], [7, 7, 9, 9]]])
    for measure in ("OR", "RR"):
        if measure == "RR":
            more = np.vstack([counts, [[0, 10, 0, 20]]])
        assert close(mantel_haenszel(more, measure=measure).estimate, mantel_haenszel(counts, measure=measure).estimate)
    found = peto(more)
    assert close(found.estimate, peto(counts).estimate)
    assert found.notes == ("1 without an event, or with one in everybody, in both arms: without weight",)
    difference = mantel_haenszel(more, measure="RD")
    assert abs(difference.estimate) < abs(mantel_haenszel(counts, measure="RD").estimate)


def test_effects_carry_their_counts():
    counts = np.array(SETS["crins2014"]["counts"], float)
    k = len(counts)
    effects = Effects([f"trial {i}" for i in range(k)], np.zeros(k), np.ones(k), measure="OR", counts=counts)
    assert mantel_haenszel(effects) == mantel_haenszel(counts)
    assert peto(effects) == peto(counts)


def test_refusals():
    with pytest.raises(ModelError, match="allowed are OR, RR, RD"):
        mantel_haenszel([[1, 5, 2, 6]], measure="HR")
    with pytest.raises(ModelError, match="is zero"):
        mantel_haenszel([[0, 5, 2, 6]])
    with pytest.raises(ModelError, match="infinite"):
        mantel_haenszel([[2, 5, 0, 6]], measure="RR")
    with pytest.raises(ModelError, match="not defined"):
        mantel_haenszel([[0, 5, 0, 6]])
    with pytest.raises(ModelError, match="no table"):
        peto([[0, 5, 0, 6], [4, 4, 3, 3]])
    with pytest.raises(ModelError, match="rows 2"):
        peto([[1, 5, 2, 6], [7, 5, 2, 6]])
    with pytest.raises(ModelError, match="shape"):
        peto([1, 2, 3])
    with pytest.raises(ModelError, match="no counts"):
        peto(Effects(["A"], [0.1], [0.1], measure="OR"))
    nothing = mantel_haenszel([[0, 5, 0, 6]], measure="RD")
    assert (nothing.estimate, nothing.se, nothing.p) == (0.0, 0.0, None)
    assert "SE is 0" in nothing.notes[0]
