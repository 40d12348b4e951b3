"""How numbers are written: where the digits change, by the rules that the docstrings state."""

from __future__ import annotations

import pytest

from bayesmeta.columns import bayes_factor_text, number, numbers, p_value, percent, ratios


@pytest.mark.parametrize(
    ("value", "text"),
    [
        # three significant digits at least, below one tenth as well
        (0.0567, "0.0567"),
        (0.0999, "0.0999"),
        (0.1, "0.100"),
        (0.9994, "0.999"),
        (1.0, "1.00"),
        (60.25, "60.25"),
        (99.25, "99.25"),
        (100.0, "100.0"),
        (1234.5, "1234.5"),
        (0.0, "0.000"),
        (1e-12, "0.00000000"),
        (9.99e8, "999000000.0"),
        (1e9, "1.00e+09"),
    ],
)
def test_decimals_follow_the_size(value, text):
    assert number(value) == text
    assert number(-value) == (text if float(text) == 0 else f"-{text}")


def test_a_column_has_the_decimals_of_its_largest():
    assert numbers([0.05, 0.25, 99.0]) == ["0.05", "0.25", "99.00"]
    assert numbers([0.05, 100.0]) == ["0.1", "100.0"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.06, "0.06"),
        (0.0999, "0.1"),
        (0.1, "0.10"),
        (0.534, "0.53"),
        (60.4, "60.40"),
        (99.4, "99.40"),
        (100.0, "100"),
        (0.0001, "0.0001"),
        (0.000099, "<0.0001"),
        (1e9, "1.00e+09"),
    ],
)
def test_ratios_have_the_digits_that_each_needs(value, text):
    assert ratios([[value]]) == [[text]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9991, ">99.9 %"), (0.999, "99.9 %"), (0.0009, "<0.1 %"), (0.001, "0.1 %"), (0.5, "50.0 %"), (1.0, ">99.9 %")],
)
def test_probabilities_are_never_none_or_all(value, text):
    assert percent(value) == text


def test_small_p_values_and_large_bayes_factors():
    assert [p_value(p) for p in (0.0009, 0.001, 0.05)] == ["<0.001", "0.001", "0.050"]
    factors = (0.0009, 0.001, 0.95, 9.94, 10.4, 1000.0, 1001.0)
    assert [bayes_factor_text(x) for x in factors] == ["<0.001", "0.001", "0.95", "9.9", "10", "1000", ">1000"]
