"""Presets: each against metafor's options or the program's own formulas, and the walk from our choices to theirs.

Authority: tests/reference/presets_metafor.json (its R script rebuilds what each program prints: RevMan's and Stata's
Hedges' g by hand from their manuals, R meta's ad hoc rule and prediction interval from the source of its `metagen`).
R meta itself was not at hand; its "V" prediction interval has the classic standard error whatever the interval is.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import bayesmeta as bm
from bayesmeta.classical import OURS, PRESETS, Preset, apply_preset, pool, preset, preset_choices, preset_table
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from references import reference

# metafor iterates tau2 to 1e-13 in the script; relative, with a floor where tau2 is at or near its boundary of zero
RTOL, FLOOR = 1e-6, 2e-7
# effect sizes are closed forms; the unbiased variance subtracts two numbers near one, with gamma functions in both
CLOSED = 1e-11
# the same numbers in another order
SAME = 1e-12

SETS = reference("presets_metafor")["sets"]
CASES = [(name, key) for name in SETS for key in SETS[name]["presets"]]
NUMBERS = ("estimate", "lower", "upper", "p", "tau", "i2", "pi_lower", "pi_upper")


def frame_of(name: str) -> pd.DataFrame:
    frame = pd.DataFrame(SETS[name]["raw"])
    return frame.assign(study=[f"trial {i + 1}" for i in range(len(frame))])


def effects_with(name: str, options: Mapping[str, Any]) -> Effects:
    """Effects of a set computed with options; those that do not concern the measure are left out."""
    measure = SETS[name]["measure"]
    keys = ("vtype", "j") if measure == "SMD" else ("zero",)
    chosen = {key: options[key] for key in keys if key in options}
    with warnings.catch_warnings():
        # Normand's third trial has an SMD of -2.3, which is said of every table
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        return bm.effect_sizes(frame_of(name), measure, better="lower", options=chosen)


def numbers(name: str, key: str) -> dict[str, float]:
    pinned = SETS[name]["presets"][key]
    return {column: math.nan if pinned[column] is None else float(pinned[column]) for column in NUMBERS}


def test_the_reference_covers_every_preset() -> None:
    assert {key for _, key in CASES} == {OURS.name, *PRESETS}
    assert len(CASES) == 13 * 9
    # each branch of each rule occurs
    assert {SETS[name]["presets"]["i2_rule"]["common"] for name in SETS} == {True, False}
    assert {SETS[name]["presets"]["iqwig6"]["narrower"] for name in SETS} == {True, False}
    assert {SETS[name]["measure"] for name in SETS} == {"SMD", "OR", "RR", "RD"}


@pytest.mark.parametrize(("name", "key"), CASES)
def test_effect_sizes_are_the_program_s(name: str, key: str) -> None:
    pinned = SETS[name]["presets"][key]
    effects = effects_with(name, preset(key).options)
    if name in ("empty", "empty_rr") and preset(key).empty == "left_out":
        # the last two tables hold no event, and nothing but events; escalc(drop00 = TRUE) drops them
        effects = effects.subset(range(6))
    np.testing.assert_allclose(effects.y, pinned["yi"], rtol=CLOSED, atol=CLOSED)
    np.testing.assert_allclose(effects.se**2, pinned["vi"], rtol=CLOSED)


@pytest.mark.parametrize(("name", "key"), CASES)
def test_a_preset_prints_what_the_program_prints(name: str, key: str) -> None:
    item = preset(key)
    pinned = SETS[name]["presets"][key]
    effects = Effects([f"{i}" for i in range(len(pinned["yi"]))], pinned["yi"], np.sqrt(pinned["vi"]), measure="SMD")
    if effects.k < item.fewest:
        with pytest.raises(ModelError, match="it takes 5"):
            apply_preset(effects, item)
        return
    found = apply_preset(effects, item)
    ours = {
        "estimate": found.fit.estimate,
        "lower": found.fit.lower,
        "upper": found.fit.upper,
        "p": found.fit.p,
        "tau": math.sqrt(found.fit.tau2),
        "i2": found.i2,
        "pi_lower": found.pi_lower,
        "pi_upper": found.pi_upper,
    }
    for column, expected in numbers(name, key).items():
        value = ours[column]
        if math.isnan(expected):
            assert value is None, column
            continue
        # where REML is at the boundary R stops at a tau2 near 1e-13, whose root and I2 are not zero
        floor = 1e-5 if column in ("tau", "i2") else FLOOR
        assert value == pytest.approx(expected, rel=RTOL, abs=floor), column
    assert (found.fit.method == "EE") == pinned["common"]


def test_the_prediction_interval_of_r_meta_keeps_the_classic_standard_error() -> None:
    """Three trials with tau2 = 0: Hartung-Knapp's SE is smaller than the classic one, and is not the ad hoc form's."""
    pinned = SETS["furukawa_three"]["presets"]["iqwig6"]
    effects = Effects("ABC", pinned["yi"], np.sqrt(pinned["vi"]), measure="SMD")
    fit = pool(effects, method="PM", ci="hksj")
    assert fit.tau2 == 0.0
    assert pinned["narrower"] is False
    found = apply_preset(effects, preset("iqwig6"))
    half = special.stdtrit(2, 0.975) / math.sqrt((effects.se**-2).sum())
    assert found.pi_upper == pytest.approx(fit.estimate + half, rel=RTOL)
    assert fit.pi["t_km1"] is not None
    assert abs(fit.pi["t_km1"][1] - float(found.pi_upper or 0)) > 0.01


# --------------------------------------------------------------------------------------------------------- i2 rule


def two_trials(i2: float) -> Effects:
    """Two trials of one SE with a given I2 in percent: Q = d^2 / (2 se^2) and I2 = (Q - 1) / Q."""
    q = 1 / (1 - i2 / 100)
    return Effects("AB", [0.0, math.sqrt(2 * q)], [1.0, 1.0], measure="SMD")


@pytest.mark.parametrize(("i2", "method"), [(0.0, "EE"), (49.99, "EE"), (50.01, "DL"), (90.0, "DL")])
def test_the_i2_rule_takes_the_right_branch(i2: float, method: str) -> None:
    found = apply_preset(two_trials(i2), preset("i2_rule"))
    assert found.i2 == pytest.approx(i2, abs=1e-9)
    assert found.fit.method == method
    assert found.notes == (
        f"I2 = {i2:.1f} % {'<=' if method == 'EE' else '>'} 50 %: the rule took "
        f"{'a common effect' if method == 'EE' else 'random effects'}",
    )
    assert found.pi_lower is None
    assert found.pi_upper is None


def test_a_rule_at_zero_percent_is_a_rule() -> None:
    """common_up_to_i2 = 0 is not the absence of a rule: I2 decides from Q in the walk, too."""
    strict = dataclasses.replace(preset("i2_rule"), name="strict", common_up_to_i2=0.0)
    table = preset_table(two_trials(90.0), strict).set_index("choice")
    assert table.loc["model", "theirs"] == "common effect if I2 <= 0 %, else random effects"
    assert table.loc["model", "i2"] == pytest.approx(90.0, abs=1e-9)
    assert "random effects" in str(table.loc["model", "note"])


# ------------------------------------------------------------------------------------------------------------ walk


@pytest.mark.parametrize(("name", "key"), [case for case in CASES if case[1] != OURS.name])
def test_the_walk_begins_with_ours_and_ends_with_theirs(name: str, key: str) -> None:
    item = preset(key)
    effects = effects_with(name, OURS.options)
    if effects.k < item.fewest:
        with pytest.raises(ModelError, match="it takes 5"):
            preset_table(effects, item)
        return
    table = preset_table(effects, item, lambda options: effects_with(name, options))
    assert table["choice"].iloc[0] == "bayesmeta"
    assert table["choice"].iloc[-1] == item.label
    for line, of in ((0, OURS.name), (-1, key)):
        for column, expected in numbers(name, of).items():
            floor = 1e-5 if column in ("tau", "i2") else FLOOR
            assert table[column].iloc[line] == pytest.approx(expected, rel=RTOL, abs=floor, nan_ok=True), column
    # one line per choice in the order in which it is listed, and a line that exchanges nothing changes nothing
    ours, theirs = preset_choices(OURS, effects.measure), preset_choices(item, effects.measure)
    middle = table.iloc[1:-1]
    assert middle["choice"].tolist() == list(ours) == list(theirs)
    assert middle["ours"].tolist() == list(ours.values())
    assert middle["theirs"].tolist() == list(theirs.values())
    for row in range(1, len(table) - 1):
        if table["same"].iloc[row]:
            pd.testing.assert_series_equal(
                table[list(NUMBERS)].iloc[row], table[list(NUMBERS)].iloc[row - 1], check_names=False
            )
    # shifts telescope, in units of our standard error, and so do the ratios of widths
    unit = pool(effects, method="REML", ci="hksj").se
    gap = table["estimate"].iloc[-1] - table["estimate"].iloc[0]
    assert table["shift_se"].iloc[1:].sum() == pytest.approx(gap / unit, abs=SAME)
    width = table["upper"] - table["lower"]
    assert table["width_ratio"].iloc[1:].prod() == pytest.approx(width.iloc[-1] / width.iloc[0], rel=1e-10)
    assert (table["level"] == 0.95).all()
    assert table["note"].map(type).eq(str).all()


def test_choices_are_exchanged_one_at_a_time() -> None:
    """Gibson to RevMan 5 by hand: J, then the variance, then DL, then the normal interval."""
    effects = effects_with("gibson", OURS.options)
    table = preset_table(effects, preset("revman5"), lambda options: effects_with("gibson", options))
    approx = effects_with("gibson", {"vtype": "LS", "j": "approx"})
    revman = effects_with("gibson", {"vtype": "RevMan", "j": "approx"})
    expected = {
        "bayesmeta": pool(effects, method="REML", ci="hksj"),
        "small-sample factor": pool(approx, method="REML", ci="hksj"),
        "variance of g": pool(revman, method="REML", ci="hksj"),
        "heterogeneity variance": pool(revman, method="DL", ci="hksj"),
        "model": pool(revman, method="DL", ci="hksj"),
        "interval": pool(revman, method="DL", ci="wald"),
        "prediction interval": pool(revman, method="DL", ci="wald"),
        "I2": pool(revman, method="DL", ci="wald"),
    }
    lines = table.set_index("choice")
    for choice, fit in expected.items():
        assert lines.loc[choice, ["estimate", "lower", "upper"]].tolist() == [fit.estimate, fit.lower, fit.upper]
    assert lines["pi_lower"].notna().tolist() == [True] * 6 + [False] * 3


def test_trials_that_say_nothing_are_left_out_by_name() -> None:
    """RevMan, R meta: not in odds and risk ratios, but in risk differences; metafor keeps them with 1/2 added."""
    effects = effects_with("empty", OURS.options)
    found = apply_preset(effects, preset("revman5"))
    assert found.fit.k == 6
    assert found.notes[0].endswith("no events or nothing but events: trial 7, trial 8")
    assert apply_preset(effects, preset("metafor")).fit.k == 8
    assert apply_preset(effects_with("empty_rd", OURS.options), preset("revman5")).fit.k == 8
    table = preset_table(effects, preset("revman5")).set_index("choice")
    assert "trial 7, trial 8" in str(table.loc["trials without events", "note"])
    assert table.loc["zero cells", "estimate"] == table.loc["bayesmeta", "estimate"]
    assert table.loc["trials without events", "estimate"] != table.loc["bayesmeta", "estimate"]
    # the fewest trials are counted among those that stay
    with pytest.raises(ModelError, match="analysis of 1 trials; it takes 2"):
        apply_preset(effects.subset([0, 6, 7]), preset("revman5"))
    with pytest.raises(ModelError, match="analysis of 0 trials"):
        preset_table(effects.subset([6, 7]), preset("revman5"))


def test_effect_sizes_that_cannot_be_computed_again_say_so() -> None:
    effects = effects_with("gibson", OURS.options)
    table = preset_table(effects, preset("revman5")).set_index("choice")
    for choice in ("small-sample factor", "variance of g"):
        assert (
            table.loc[choice, "note"] == "not exchanged: the table holds estimates, not the numbers they were made of"
        )
        assert table.loc[choice, "estimate"] == table.loc["bayesmeta", "estimate"]
    assert table["estimate"].iloc[-1] == pool(effects, method="DL").estimate


def test_the_walk_of_a_sign_flip_is_its_mirror_image() -> None:
    effects = effects_with("furukawa", OURS.options)
    flipped = Effects(effects.study, -effects.y, effects.se, measure="SMD")
    for item in PRESETS.values():
        one, other = preset_table(effects, item), preset_table(flipped, item)
        np.testing.assert_allclose(other["estimate"], -one["estimate"], rtol=1e-12)
        np.testing.assert_allclose(other["lower"], -one["upper"], rtol=1e-12)
        np.testing.assert_allclose(other["pi_lower"], -one["pi_upper"], rtol=1e-12)
        np.testing.assert_allclose(other["width_ratio"], one["width_ratio"], rtol=1e-10)


@given(
    st.lists(st.tuples(st.floats(-2, 2), st.floats(0.1, 1.0)), min_size=5, max_size=9), st.sampled_from(sorted(PRESETS))
)
def test_every_preset_scales(rows: list[tuple[float, float]], key: str) -> None:
    """Multiplying y and se by 1000 multiplies the answers and leaves I2 and p."""
    y, se = np.array(rows).T
    labels = [f"{i}" for i in range(len(rows))]
    one = apply_preset(Effects(labels, y, se, measure="MD"), preset(key))
    far = apply_preset(Effects(labels, 1e3 * y, 1e3 * se, measure="MD"), preset(key))
    assert one.notes == far.notes or abs((one.i2 or 0) - 50) < 1e-6
    if one.notes == far.notes:
        assert far.fit.estimate == pytest.approx(1e3 * one.fit.estimate, rel=1e-6, abs=1e-6)
        assert far.fit.upper == pytest.approx(1e3 * one.fit.upper, rel=1e-5, abs=1e-3)
        assert far.i2 == pytest.approx(one.i2, abs=1e-3)


# ------------------------------------------------------------------------------------------------------- degenerate


def test_equal_estimates_leave_hartung_knapp_without_a_width() -> None:
    """SE 0 (metafor's too): the walk's shift has no unit, IQWiG's rule falls back on the classic SE with t(k - 1)."""
    effects = Effects("ABCDE", [0.3] * 5, [0.1, 0.2, 0.3, 0.2, 0.1], measure="SMD")
    classic = 1 / math.sqrt((effects.se**-2).sum())
    found = apply_preset(effects, preset("iqwig6"))
    assert found.notes
    assert "ad hoc" in found.notes[0]
    assert found.fit.upper == pytest.approx(0.3 + special.stdtrit(4, 0.975) * classic, rel=1e-12)
    table = preset_table(effects, preset("iqwig6"))
    assert table["shift_se"].isna().all()
    assert table["upper"].iloc[0] == table["lower"].iloc[0] == pytest.approx(0.3)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("key", [OURS.name, *PRESETS])
def test_few_trials(key: str, k: int) -> None:
    effects = Effects(
        [f"{i}" for i in range(k)], [0.1, 0.5, 0.2, 0.9, 0.3][:k], [0.1, 0.2, 0.1, 0.3, 0.2][:k], measure="SMD"
    )
    item = preset(key)
    if k < item.fewest:
        with pytest.raises(ModelError, match=f"no random-effects analysis of {k} trials; it takes {item.fewest}"):
            apply_preset(effects, item)
        with pytest.raises(ModelError, match="no random-effects analysis"):
            preset_table(effects, item)
        return
    found = apply_preset(effects, item)
    assert found.fit.lower <= found.fit.estimate <= found.fit.upper
    printed = item.pi is not None and found.fit.method != "EE" and not (item.pi == "hts_t_km2" and k < 3)
    assert (found.pi_lower is not None) is printed


def test_iqwig8_sends_few_trials_to_the_bayesian_answer() -> None:
    effects = Effects("ABCD", [0.1, 0.5, 0.2, 0.9], [0.1, 0.2, 0.1, 0.3], measure="SMD")
    with pytest.raises(ModelError, match="Bayesian analysis with an empirical prior"):
        apply_preset(effects, preset("iqwig8"))


def test_unknown_names_are_answered_with_the_list() -> None:
    with pytest.raises(ModelError, match=r"'revman'. Did you mean revman5. Allowed: bayesmeta, revman5, .*i2_rule"):
        preset("revman")
    assert preset("bayesmeta") is OURS


@pytest.mark.parametrize("item", [OURS, *PRESETS.values()], ids=lambda item: item.name)
def test_every_preset_has_words_and_a_source(item: Preset) -> None:
    assert item.source
    assert item.label
    for measure, extra in (("SMD", 2), ("OR", 2), ("RD", 1), ("HR", 0)):
        choices = preset_choices(item, measure)
        assert len(choices) == 5 + extra
        assert all(choices.values())
