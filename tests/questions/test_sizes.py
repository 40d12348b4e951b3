"""Sizes of effect between thresholds in order: sums of probabilities that `probability` gives, and the words."""

from __future__ import annotations

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.questions import between_words

# distribution functions are good to 1e-8; sums of a few of them
EXACT = 1e-7
EFFECTS = bm.Effects(list("ABCD"), [-0.4, -0.1, -0.3, 0.2], [0.2, 0.1, 0.2, 0.3], measure="SMD", better="lower")
FIT = bm.fit(EFFECTS, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


def limit(x: float, name: str, worse: float | None = None):
    return bm.threshold(x, worse=worse, measure_name="SMD", better="lower", name=name)


def test_bands_are_in_order_whatever_the_order_of_the_thresholds():
    table = bm.size_table(FIT, [limit(0.5, "important"), limit(0.2, "small", worse=0.1)])
    names = ["important benefit", "small benefit", "little to no effect", "small harm", "important harm"]
    assert table["size"].tolist() == names
    assert table["upper"].tolist() == [np.inf, 0.5, 0.2, -0.1, -0.5]
    for column, quantity in (("p_mean", "mu"), ("p_new", "theta_new")):
        ends = [(None, -0.5), (-0.5, -0.2), (-0.2, 0.1), (0.1, 0.5), (0.5, None)]
        expected = [
            bm.probability(FIT, quantity, below=b) if a is None else
            bm.probability(FIT, quantity, above=a) if b is None else
            bm.probability(FIT, quantity, between=(a, b))
            for a, b in ends
        ]  # fmt: skip
        np.testing.assert_allclose(table[column], expected, atol=EXACT)
        assert table[column].sum() == pytest.approx(1, abs=1e-12)


def test_an_effect_beyond_a_stated_threshold_is_never_little():
    """Short fatigue, g = -0.28 beside 0.2: less than important, and not little."""
    analysis = bm.analyse("models/cancer_exercise.toml", "fatigue_short", declared=False, moderated=False)
    important, small = analysis.thresholds
    assert (between_words(important, analysis.thresholds), between_words(small, analysis.thresholds)) == (
        "less than important",
        "little to no effect",
    )
    table = bm.chance_table(analysis.pooled, asked=[important]).set_index("chance")["p_mean"]
    inside = bm.probability(analysis.pooled, "mu", between=(-0.2, 0.2))
    assert table["little to no effect"] == pytest.approx(inside, abs=EXACT)
    assert table["small benefit"] == pytest.approx(
        bm.probability(analysis.pooled, "mu", between=(-0.5, -0.2)), abs=EXACT
    )


def test_bands_beyond_the_headline_are_parts_of_its_line():
    table = bm.chance_table(FIT, [limit(0.8, "large"), limit(0.2, "small")], asked=[limit(0.2, "small")])
    chances = [name for name in table["chance"] if "benefit" in name]
    assert chances == ["any benefit", "important benefit or larger", "  large benefit", "  small benefit"]
    p = table.set_index("chance")["p_mean"]
    parts = p["  large benefit"] + p["  small benefit"]
    assert p["important benefit or larger"] == pytest.approx(parts, abs=EXACT)


def test_one_threshold_divides_little_from_important():
    table = bm.chance_table(FIT, 0.3)
    assert table["chance"].tolist() == ["any benefit", "important benefit", "little to no effect", "important harm"]


def test_a_range_has_lines_of_its_ends_and_makes_no_band():
    item = bm.Threshold("MID", (0.2, 0.5), (0.2, 0.5), (0.2, 0.5), (0.2, 0.5), "a source", "panel", True)
    table = bm.chance_table(FIT, [item])
    assert table["threshold"].unique().tolist() == ["MID (low end)", "MID (high end)"]
    with pytest.raises(bm.ModelError, match="no threshold is a number"):
        bm.size_table(FIT, [item])
    with pytest.raises(bm.ModelError, match="no threshold is stated"):
        bm.chance_table(FIT)
