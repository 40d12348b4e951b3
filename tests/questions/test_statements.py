"""The finding in words: GRADE guidelines 26 (doi:10.1016/j.jclinepi.2019.10.014).

Authority: the statements that its abstract prints for a large effect; its rule that the verb says the certainty and the
object the size; below the smallest important difference there is little to no difference.
"""

from __future__ import annotations

import pytest

from bayesmeta.plan import CERTAINTIES
from bayesmeta.questions import SIZE_WORDS, finding_sentence, in_sentence, size_of, spoken_direction

LESS = spoken_direction("lower", benefit=True)


def test_a_large_effect_is_said_as_the_guidance_says_it():
    said = [finding_sentence("Exercise", "Fatigue", "large", LESS, name) for name in ("high", "moderate", "low")]
    assert said == [
        "Exercise results in a large reduction in fatigue.",
        "Exercise likely results in a large reduction in fatigue.",
        "Exercise may result in a large reduction in fatigue.",
    ]


def test_the_verb_says_how_certain_and_the_object_how_large():
    said = {
        (size, name): finding_sentence("Exercise", "Fatigue", size, LESS, name)
        for size in SIZE_WORDS
        for name in CERTAINTIES
    }
    assert said["effect", "high"] == "Exercise reduces fatigue."
    assert said["slight", "moderate"] == "Exercise likely reduces fatigue slightly."
    assert said["little", "low"] == "Exercise may result in little to no difference in fatigue."
    # of very low certainty no size is claimed
    very_low = {said[size, "very low"] for size in SIZE_WORDS}
    assert very_low == {"The evidence is very uncertain about the effect of exercise on fatigue."}
    # no other two say the same
    assert len(set(said.values())) == 3 * len(SIZE_WORDS) + 1
    assert not any(character.isdigit() for text in said.values() for character in text)


def test_what_the_panel_has_not_judged_is_marked():
    for size in SIZE_WORDS:
        assert "Exercise [certainty?] " in finding_sentence("Exercise", "Fatigue", size, LESS)


@pytest.mark.parametrize(
    ("better", "benefit", "verb"),
    [
        ("lower", True, "reduces"),
        ("lower", False, "increases"),
        ("higher", True, "improves"),
        ("higher", False, "reduces"),
    ],
)
def test_the_verb_follows_the_direction_of_the_outcome(better, benefit, verb):
    spoken = spoken_direction(better, benefit=benefit)
    assert finding_sentence("Exercise", "Fitness", "effect", spoken, "high") == f"Exercise {verb} fitness."


def test_sizes_are_bands_between_thresholds_in_their_order():
    assert [size_of(x, [0.5]) for x in (0.0, 0.4999, 0.5, 3.0)] == ["little", "little", "effect", "effect"]
    for cuts in ([0.2, 0.5], [0.5, 0.2], [0.5, 0.2, 0.2]):
        assert [size_of(x, cuts) for x in (0.19, 0.2, 0.49, 0.5, 9.0)] == [
            "little",
            "slight",
            "slight",
            "effect",
            "effect",
        ]
    assert [size_of(x, [0.8, 0.2, 0.5]) for x in (0.1, 0.3, 0.6, 0.8)] == ["little", "slight", "effect", "large"]


def test_names_keep_their_capitals_inside_a_sentence():
    assert [in_sentence(name) for name in ("Anxiety", "HADS-A", "VO2max", "C-reactive protein", "A", "")] == [
        "anxiety",
        "HADS-A",
        "VO2max",
        "C-reactive protein",
        "a",
        "",
    ]
