"""Standard errors, SDs and means from other statistics, and effects from whole tables row by row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesmeta import measures as bm
from bayesmeta.errors import DataError, ModelError

REFERENCE = Path(__file__).parents[1] / "reference"

CLOSED = 1e-12  # closed forms of the same numbers
QUANTILE = 1e-10  # inverse distribution functions there and back
HANDBOOK = 0.005  # half a unit in the second decimal that the Handbook prints
ORDER = (
    0.01  # Wan 2014 puts Blom's approximation in place of the expected range; a percent bounds its error from n = 10
)


# -- standard errors ---------------------------------------------------------------------------------------------------


def test_quantiles_of_intervals_as_r() -> None:
    # R 4.2.2: qnorm(.975), qt(.975, 10), qt(.995, 3.5), qt(1 - .03/2, 17)
    assert bm.se_from_ci(-1, 1)[0] == pytest.approx(1 / 1.95996398454005, rel=CLOSED)
    assert bm.se_from_ci(-1, 1, df=10)[0] == pytest.approx(1 / 2.22813885198627, rel=CLOSED)
    assert bm.se_from_ci(-1, 1, 0.99, df=3.5)[0] == pytest.approx(1 / 5.08570222309126, rel=CLOSED)
    assert bm.se_from_p(-2, 0.03, df=17)[0] == pytest.approx(2 / 2.36805476091347, rel=CLOSED)


def test_cochrane_handbook_examples() -> None:
    # Handbook 6.5.2.3: MD 3.8, t test p = 0.008, 25 + 22 people: t = 2.78 on 45 df, SE 1.37
    assert bm.se_from_p(3.8, 0.008, df=45)[0] == pytest.approx(1.37, abs=HANDBOOK)
    # Handbook 6.5.2.2: 95 % CI 30.0 to 34.2 of a mean of 25 people, t 2.064: SD 5.09
    assert bm.sd_from_ci(30.0, 34.2, 25)[0] == pytest.approx(5.09, abs=HANDBOOK)


@given(st.floats(-5, 5), st.floats(0.01, 10), st.floats(0.5, 0.999), st.one_of(st.none(), st.floats(1, 200)))
def test_interval_test_and_p_value_return_the_standard_error(
    y: float, se: float, level: float, df: float | None
) -> None:
    half = se / bm.se_from_ci(-1, 1, level, df)[0]
    assert bm.se_from_ci(y - half, y + half, level, df, estimate=y)[0] == pytest.approx(se, rel=1e-9)
    if abs(y) > 0.01:
        assert bm.se_from_t(y, y / se)[0] == pytest.approx(se, rel=CLOSED)


@given(st.floats(1e-12, 0.999), st.one_of(st.none(), st.floats(1, 200)))
def test_p_value_and_interval_agree(p: float, df: float | None) -> None:
    # The interval at level 1 - p just touches 0.
    assert bm.se_from_p(1.0, p, df)[0] == pytest.approx(
        bm.se_from_ci(0, 2, 1 - p, df)[0], rel=1e-3 if p < 1e-9 else 1e-6
    )


def test_variance_and_standard_error_of_a_mean() -> None:
    assert bm.se_from_var([0.04, 9])[1] == 3.0
    assert bm.sd_from_se(2, 25)[0] == 10.0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: bm.se_from_ci(0.1, 0.5, estimate=0.7), "lies outside its interval"),
        (lambda: bm.se_from_ci(0.5, 0.1), "not below the upper limit"),
        (lambda: bm.se_from_ci(0.1, 0.5, df=0), "column df: 0 is not > 0"),
        (lambda: bm.se_from_t(0.5, -2), "gives no standard error"),
        (lambda: bm.se_from_t(0.5, 0), "gives no standard error"),
        (lambda: bm.se_from_p(0.5, 1), "not between 0 and 1"),
        (lambda: bm.se_from_p(0.5, 0), "not between 0 and 1"),
        (lambda: bm.se_from_p(0.0, 0.5), "carries no standard error"),
        (lambda: bm.se_from_var(0), "0 is not > 0"),
        (lambda: bm.sd_from_ci(1, 2, 1), "less than 2"),
        (lambda: bm.change_sd(1, 2, 1), "not between -1 and 1"),
        (lambda: bm.correlation_from_sds(1, 1, 5), "fits no correlation"),
    ],
)
def test_derivations_refuse(call: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        call()  # type: ignore[operator]


def test_level_is_a_proportion() -> None:
    with pytest.raises(ModelError, match=r"0\.95, not 95"):
        bm.se_from_ci(0.1, 0.5, 95)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(-0.99, 0.99))
def test_correlation_and_sd_of_change_invert(pre: float, post: float, r: float) -> None:
    assert bm.correlation_from_sds(pre, post, bm.change_sd(pre, post, r))[0] == pytest.approx(r, abs=1e-6)


# -- medians -----------------------------------------------------------------------------------------------------------


def test_luo_weights_by_hand() -> None:
    # Luo 2018 eq. 7 at n = 16: 16^.75 = 8, w = 1/3: 12/3 + 6 * 2/3 = 8
    assert bm.mean_sd_from_quantiles(6, 16, low=0, high=24).mean[0] == pytest.approx(8, rel=CLOSED)
    # eq. 11 at n = 39: w = 0.71: 17.5 * 0.71 + 15 * 0.29
    assert bm.mean_sd_from_quantiles(15, 39, q1=10, q3=25).mean[0] == pytest.approx(16.775, rel=CLOSED)
    # eq. 15 at n = 16: w1 = 2.2/10.2, w2 = 0.7 - 0.72/16^.55
    w1, w2 = 2.2 / 10.2, 0.7 - 0.72 / 16**0.55
    found = bm.mean_sd_from_quantiles(6, 16, q1=4, q3=9, low=0, high=24).mean[0]
    assert found == pytest.approx(w1 * 12 + w2 * 6.5 + (1 - w1 - w2) * 6, rel=CLOSED)


# Expected range of n standard normals, the constant d2 of quality control (ISO 7870-2; Wan 2014 Table 1 has the same)
D2 = {10: 3.078, 15: 3.472, 25: 3.931}


@pytest.mark.parametrize("n", list(D2))
def test_wan_range_matches_expected_order_statistics(n: int) -> None:
    assert bm.mean_sd_from_quantiles(0, n, low=-D2[n] / 2, high=D2[n] / 2).sd[0] == pytest.approx(1, rel=ORDER)


def test_quartiles_of_a_large_normal_sample() -> None:
    # The upper quartile of the standard normal, 0.674489750196082; at n = 10^7 the correction for n is gone (1e-6).
    q = 0.674489750196082
    result = bm.mean_sd_from_quantiles(50, 1e7, q1=50 - 10 * q, q3=50 + 10 * q)
    assert result.mean[0] == pytest.approx(50, rel=CLOSED)
    assert result.sd[0] == pytest.approx(10, rel=1e-5)


def test_shi_weights_range_and_quartiles() -> None:
    # Shi 2020 eq. 10: u = 1/(1 + 0.07 n^0.6) between the two estimates of Wan
    n = 50
    u = 1 / (1 + 0.07 * n**0.6)
    one = bm.mean_sd_from_quantiles(10, n, low=1, high=22).sd[0]
    two = bm.mean_sd_from_quantiles(10, n, q1=7, q3=14).sd[0]
    both = bm.mean_sd_from_quantiles(10, n, q1=7, q3=14, low=1, high=22).sd[0]
    assert both == pytest.approx(u * one + (1 - u) * two, rel=CLOSED)


def test_skewness_by_shi() -> None:
    # Shi 2023: |low + high - 2 median|/(high - low) against 1/log(n + 9) + 2.5/(n + 1); at n = 100 that is 0.2379
    n, critical = 100, 1 / np.log(109) + 2.5 / 101
    just = bm.mean_sd_from_quantiles([0.5 - 0.499 * critical, 0.5 - 0.501 * critical], n, low=0, high=1)
    assert list(just.skewed) == [False, True]
    quartile = 2.65 / np.sqrt(n) - 6 / n**2
    just = bm.mean_sd_from_quantiles([0.5 - 0.499 * quartile, 0.5 - 0.501 * quartile], n, q1=0, q3=1)
    assert list(just.skewed) == [False, True]
    five = (3 / np.sqrt(n) - 40 / n**3) / (2.65 * np.log(60) / 10)
    mid = np.array([0.5 - 0.499 * five, 0.5 - 0.501 * five])
    just = bm.mean_sd_from_quantiles(mid, n, q1=mid - 0.1, q3=mid + 0.1, low=0, high=1)
    assert list(just.skewed) == [False, True]


@given(st.integers(5, 500), st.floats(-50, 50), st.floats(0.1, 20), st.floats(0.1, 20), st.floats(0.1, 9))
def test_quantile_formulas_move_with_the_unit(n: int, median: float, inner: float, outer: float, unit: float) -> None:
    x = {
        "q1": median - inner,
        "q3": median + 2 * inner,
        "low": median - inner - outer,
        "high": median + 3 * inner + outer,
    }
    one = bm.mean_sd_from_quantiles(median, n, **x)
    two = bm.mean_sd_from_quantiles(3 + unit * median, n, **{key: 3 + unit * value for key, value in x.items()})
    assert two.mean[0] == pytest.approx(3 + unit * one.mean[0], rel=1e-9, abs=1e-9)
    assert two.sd[0] == pytest.approx(unit * one.sd[0], rel=1e-8)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"q1": 5}, "neither both quartiles nor both ends"),
        ({"q1": 12, "q3": 15}, "out of order"),
        ({"q1": 10, "q3": 10}, "no spread"),
        ({"low": 4, "high": 8}, "out of order"),
        ({"q1": 7, "q3": 12, "low": 9, "high": 20}, "out of order"),
    ],
)
def test_impossible_quantiles(numbers: dict[str, float], text: str) -> None:
    with pytest.raises(DataError, match=text):
        bm.mean_sd_from_quantiles(10, 20, **numbers)


def test_too_few_people_for_quantiles() -> None:
    with pytest.raises(DataError, match="4 is less than 5"):
        bm.mean_sd_from_quantiles(10, 4, q1=8, q3=12)


# -- rows --------------------------------------------------------------------------------------------------------------

ARMS = {"n_t": 50, "mean_t": 12.0, "sd_t": 4.0, "n_c": 40, "mean_c": 10.0, "sd_c": 5.0}


@pytest.mark.parametrize("name", ["normand_smd", "normand_md", "furukawa_smdh", "bcg_rr", "hine_or", "hine_rd"])
def test_rows_are_the_formulas(name: str) -> None:
    # R metafor 5.1.12, escalc
    data = json.loads((REFERENCE / f"{name}.json").read_text())
    rows = bm.effect_rows(pd.DataFrame(data["raw"]), data["measure"])
    assert rows.faults == ()
    np.testing.assert_allclose(rows.y, data["yi"], rtol=CLOSED, atol=1e-15)
    np.testing.assert_allclose(rows.se**2, data["vi"], rtol=CLOSED)
    assert rows.ledger[0].raw == data["raw"][0]
    assert (rows.ledger[-1].y, rows.ledger[-1].se) == (rows.y[-1], rows.se[-1])


def test_each_row_takes_its_own_way() -> None:
    se_t, se_c = 4 / np.sqrt(50), 5 / np.sqrt(40)
    frame = pd.DataFrame(
        [
            ARMS,
            {key: x for key, x in ARMS.items() if not key.startswith("sd")} | {"se_t": se_t, "se_c": se_c},
            {"estimate": 0.44, "se": 0.21},
            {"estimate": 0.44, "var": 0.21**2},
            {"estimate": 0.44, "t": 0.44 / 0.21},
            {"md": 2.0, "se": 0.95, "n_t": 50, "n_c": 40},
            {"n_t": 50, "mean_t": 12, "sd_t": 4, "n_c": 40, "median_c": 10, "q1_c": 7, "q3_c": 13.5},
            {"n_t": 50, "mean_change_t": -3, "sd_change_t": 5, "n_c": 40, "mean_change_c": -1, "sd_change_c": 6},
            {
                "n_t": 50,
                "mean_pre_t": 9,
                "sd_pre_t": 4,
                "mean_post_t": 12,
                "n_c": 40,
                "mean_pre_c": 9,
                "sd_pre_c": 5,
                "mean_post_c": 10,
                "correlation": 0.6,
            },
        ]
    )
    rows = bm.effect_rows(frame, "SMD")
    assert rows.faults == ()
    direct = bm.smd(12, 4, 50, 10, 5, 40)
    moments = bm.mean_sd_from_quantiles(10, 40, 7, 13.5)
    expected = [
        (direct.y[0], direct.se[0]),
        (direct.y[0], direct.se[0]),
        (0.44, 0.21),
        (0.44, 0.21),
        (0.44, 0.21),
        *((x.y[0], x.se[0]) for x in (bm.smd_from_md_se(2.0, 0.95, 50, 40),)),
        *((x.y[0], x.se[0]) for x in (bm.smd(12, 4, 50, moments.mean, moments.sd, 40),)),
        *((x.y[0], x.se[0]) for x in (bm.smd(-3, 5, 50, -1, 6, 40),)),
        *((x.y[0], x.se[0]) for x in (bm.smd_change(9, 12, 4, 50, 9, 10, 5, 40, 0.6),)),
    ]
    np.testing.assert_allclose(np.column_stack([rows.y, rows.se]), expected, rtol=CLOSED)
    ledger = list(rows.ledger)
    assert "se sqrt(n)" in ledger[1].formula
    assert ledger[1].raw["se_t"] == pytest.approx(se_t)
    assert any("Luo 2018 eq. 11" in text for text in ledger[6].assumptions)
    assert ledger[6].raw == {"n_t": 50, "mean_t": 12, "sd_t": 4, "n_c": 40, "median_c": 10, "q1_c": 7, "q3_c": 13.5}
    assert any("SD of change scores" in text for text in ledger[7].assumptions)
    assert any("correlation" in text and "from the table" in text for text in ledger[8].assumptions)


def test_correlation_from_the_options_is_an_assumption() -> None:
    frame = pd.DataFrame(
        {
            "n_t": [50],
            "mean_pre_t": [9.0],
            "sd_pre_t": [4.0],
            "mean_post_t": [12.0],
            "sd_post_t": [4.0],
            "n_c": [40],
            "mean_pre_c": [9.0],
            "sd_pre_c": [5.0],
            "mean_post_c": [10.0],
            "sd_post_c": [5.0],
        }
    )
    rows = bm.effect_rows(frame, "MD", options={"correlation": 0.5})
    assert rows.se[0] ** 2 == pytest.approx(16 / 50 + 25 / 40, rel=CLOSED)
    assert "correlation 0.5 of baseline with follow-up assumed in both arms" in rows.ledger[0].assumptions
    without = bm.effect_rows(frame, "MD")
    assert [fault.column for fault in without.faults] == ["correlation"]


def test_ratios_arrive_on_the_natural_scale_unless_said() -> None:
    low, high = 0.8 * np.exp(-1.959963984540054 * 0.15), 0.8 * np.exp(1.959963984540054 * 0.15)
    natural = bm.effect_rows(pd.DataFrame({"estimate": [0.8], "ci_low": [low], "ci_high": [high], "se": [0.1]}), "HR")
    assert natural.y[0] == pytest.approx(np.log(0.8), rel=CLOSED)
    assert natural.se[0] == pytest.approx(0.15, rel=QUANTILE)
    assert "se is given too, and was not used" in natural.ledger[0].assumptions
    log = bm.effect_rows(pd.DataFrame({"estimate": [np.log(0.8)], "se": [0.15]}), "HR", options={"scale": "log"})
    assert (log.y[0], log.se[0]) == (np.log(0.8), 0.15)
    p = bm.effect_rows(pd.DataFrame({"estimate": [0.8], "p": [0.05]}), "OR")
    assert p.se[0] == pytest.approx(-np.log(0.8) / 1.959963984540054, rel=QUANTILE)


def test_a_standard_error_beside_a_natural_ratio_is_not_guessed_at() -> None:
    rows = bm.effect_rows(pd.DataFrame({"estimate": [0.8], "se": [0.1]}), "OR")
    assert [(fault.column, fault.row) for fault in rows.faults] == [("se", 0)]
    assert "does not say its own" in rows.faults[0].rule
    negative = bm.effect_rows(pd.DataFrame({"estimate": [-0.2], "ci_low": [-0.5], "ci_high": [0.1]}), "OR")
    assert {fault.column for fault in negative.faults} == {"estimate", "ci_low"}
    assert "scale='log'" in negative.faults[0].remedy


def test_degrees_of_freedom_are_used_where_given() -> None:
    frame = pd.DataFrame({"estimate": [1.0, 1.0], "ci_low": [0.0, 0.0], "ci_high": [2.0, 2.0], "df": [10, np.nan]})
    rows = bm.effect_rows(frame, "MD")
    # R 4.2.2: qt(.975, 10), qnorm(.975)
    np.testing.assert_allclose(rows.se, [1 / 2.22813885198627, 1 / 1.95996398454005], rtol=CLOSED)
    assert "t interval, with the df given" in rows.ledger[0].assumptions
    assert "normal interval (no df given)" in rows.ledger[1].assumptions


FAULTY = [
    ("SMD", {**ARMS, "sd_t": 0.0}, "sd_t", "is not > 0"),
    ("SMD", {**ARMS, "sd_c": -1.0}, "sd_c", "is not > 0"),
    ("SMD", {**ARMS, "n_t": 1}, "n_t", "is less than 2"),
    ("MD", {**ARMS, "n_c": 0}, "n_c", "is less than 1"),
    ("SMD", {**ARMS, "mean_c": None}, "mean_c", "is missing"),
    ("SMD", {**ARMS, "mean_c": "NR"}, "mean_c", "is not a number"),
    ("SMD", {**ARMS, "mean_c": np.inf}, "mean_c", "is not a finite number"),
    ("ROM", {**ARMS, "mean_c": -10.0}, "mean_t", "do not have the same sign"),
    ("OR", {"events_t": 12, "n_t": 10, "events_c": 2, "n_c": 10}, "events_t", "is more than n_t"),
    ("OR", {"events_t": -1, "n_t": 10, "events_c": 2, "n_c": 10}, "events_t", "is negative"),
    ("OR", {"events_t": 1.5, "n_t": 10, "events_c": 2, "n_c": 10}, "events_t", "is not a whole number"),
    ("MD", {"estimate": 0.5, "se": 0.0}, "se", "is not > 0"),
    ("MD", {"estimate": 0.5, "var": 0.0}, "var", "is not > 0"),
    ("MD", {"estimate": 0.5, "ci_low": 0.6, "ci_high": 0.9}, "estimate", "lies outside its interval"),
    ("MD", {"estimate": 0.5, "ci_low": 0.9, "ci_high": 0.1}, "ci_low", "is not below the upper limit"),
    ("MD", {"estimate": 0.5, "p": 1.2}, "p", "is not between 0 and 1"),
    ("MD", {"estimate": 0.5, "t": -1.2}, "t", "gives no standard error"),
    ("MD", {"estimate": 0.5}, "se", "is missing"),
    ("SMD", {"estimate": 0.5, "md": 3.0, "se": 0.4, "n_t": 9, "n_c": 9}, "se", "stands beside both estimate and md"),
    ("ZCOR", {"r": 1.0, "n": 20}, "r", "is not between -1 and 1"),
]


@pytest.mark.parametrize(("measure", "row", "column", "rule"), FAULTY)
def test_faults_of_rows(measure: str, row: dict, column: str, rule: str) -> None:
    good = {"estimate": 0.3, "ci_low": 0.1, "ci_high": 0.5}
    rows = bm.effect_rows(pd.DataFrame([good, row], dtype=object), measure, options={"scale": "analysis"})
    assert [(fault.row, fault.column) for fault in rows.faults] == [(1, column)]
    assert rule in rows.faults[0].rule
    assert rows.faults[0].remedy
    assert np.isnan(rows.y[1])
    assert np.isnan(rows.se[1])
    assert rows.y[0] == 0.3


def test_a_fault_says_where_what_and_what_to_do() -> None:
    # DESIGN section 8: "trials.csv row 14, column sd_t: 0 is not > 0. ..."
    rows = bm.effect_rows(pd.DataFrame([{**ARMS, "sd_t": 0.0}, {**ARMS, "mean_c": None}]), "MD")
    zero, empty = (str(fault.at(f"trials.csv row {fault.row + 2}")) for fault in rows.faults)
    assert zero.startswith("trials.csv row 2, column sd_t: 0 is not > 0. ")
    assert empty.startswith("trials.csv row 3, column mean_c: (empty) is missing. Give n_t mean_t sd_t")


def test_zero_none_is_a_fault_of_the_row() -> None:
    frame = pd.DataFrame({"events_t": [0, 3], "n_t": [10, 10], "events_c": [2, 2], "n_c": [10, 10]})
    rows = bm.effect_rows(frame, "OR", options={"zero": "none"})
    assert [(fault.row, fault.column) for fault in rows.faults] == [(0, "events_t")]
    assert rows.y[1] == bm.odds_ratio(3, 10, 2, 10).y[0]


def test_text_columns_are_read_and_blanks_are_empty() -> None:
    frame = pd.DataFrame({"estimate": ["0.3", "0.4", "1,5"], "se": [".1", " ", "0.2"]})
    rows = bm.effect_rows(frame, "generic")
    assert rows.y[0] == 0.3
    assert [(fault.row, fault.column, fault.rule) for fault in rows.faults] == [
        (1, "se", "is missing"),
        (2, "estimate", "is not a number"),
    ]


def test_what_was_left_unused_is_in_the_ledger() -> None:
    rows = bm.effect_rows(
        pd.DataFrame([{**ARMS, "estimate": 0.4, "se": 0.2}, {"mean_t": 3, "estimate": 0.4, "se": 0.2}]), "SMD"
    )
    assert "estimate: given too, and not used" in rows.ledger[0].assumptions
    assert "arm means: incomplete, and not used" in rows.ledger[1].assumptions


def test_a_large_g_asks_about_standard_errors() -> None:
    rows = bm.effect_rows(pd.DataFrame([{**ARMS, "sd_t": 0.6, "sd_c": 0.7}]), "SMD")
    assert "|g| > 2: were standard errors given as SDs?" in rows.ledger[0].assumptions


def test_options_and_columns_are_checked_at_the_boundary() -> None:
    frame = pd.DataFrame([ARMS])
    for options, text in (
        ({"vtypes": "LS"}, "vtypes.*is not one of vtype"),
        ({"vtype": "XX"}, "LS, LS2"),
        ({"scale": "log"}, "SMD is not analysed on the log scale"),
        ({"ci_level": 95}, "0.95, not 95"),
        ({"correlation": 1.5}, "not between -1 and 1"),
    ):
        with pytest.raises(ModelError, match=text):
            bm.effect_rows(frame, "SMD", options=options)
    with pytest.raises(DataError, match=r"No columns to make OR from\. Give events_t n_t events_c n_c"):
        bm.effect_rows(frame, "OR")
    with pytest.raises(DataError, match="Column sd_t stands 2 times"):
        bm.effect_rows(pd.concat([frame, frame[["sd_t"]]], axis=1), "SMD")
    with pytest.raises(ModelError, match=r"no measure 'd'.* Allowed: MD"):
        bm.effect_rows(frame, "d")


def test_ten_thousand_rows_keep_a_lazy_ledger() -> None:
    k = 10_000
    frame = pd.DataFrame({name: np.full(k, x) for name, x in ARMS.items()})
    frame["mean_t"] += np.linspace(0, 1, k)
    rows = bm.effect_rows(frame, "SMD")
    assert len(rows.ledger) == k
    assert len(rows.ledger[10:13]) == 3
    assert rows.ledger[k - 1].raw["mean_t"] == 13.0
    assert rows.ledger[-1].y == rows.y[-1]
    with pytest.raises(IndexError):
        rows.ledger[k]


CELL = st.one_of(st.none(), st.floats(-5, 5), st.sampled_from([0, 1, 20, 100, np.inf, np.nan, "NR"]))
NAMES = [
    *ARMS,
    "se_t",
    "median_t",
    "q1_t",
    "q3_t",
    "low_t",
    "high_t",
    "estimate",
    "se",
    "var",
    "ci_low",
    "ci_high",
    "p",
    "t",
    "md",
    "events_t",
    "events_c",
    "r",
    "n",
    "df",
    "correlation",
    "d",
    "g",
    "f",
    "sign",
    "sd",
    "adjusted_difference",
    "r_squared",
    "covariates",
    "sd_residual",
    "icc",
    "cluster_size",
    "design_effect",
]
WORDS = {
    "design": st.sampled_from([None, "crossover", "cluster", "NR"]),
    "clustering": st.sampled_from([None, "adjusted", "ignored"]),
    "estimate_measure": st.sampled_from([None, "OR", "d", "r", "MD"]),
}


@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(NAMES, CELL) | WORDS), min_size=1, max_size=3),
    st.sampled_from(list(bm.MEASURES)),
)
def test_any_table_gives_a_number_or_a_fault(table: list, measure: str) -> None:
    table = [*table, {"estimate": 0.3, "ci_low": 0.1, "ci_high": 0.5}]
    rows = bm.effect_rows(pd.DataFrame(table, dtype=object), measure)
    bad = {fault.row for fault in rows.faults}
    for row in range(len(table)):
        assert (row in bad) == (not (np.isfinite(rows.y[row]) and rows.se[row] > 0))


@pytest.mark.parametrize("name", ["se_t", "sd_t", "n_t", "mean_t", "ci_low_t"])
def test_an_infinite_cell_is_a_fault_of_its_row(name):
    """Whichever column holds it; the other rows are computed."""
    good = {"n_t": 30.0, "mean_t": 10.0, "sd_t": 4.0, "n_c": 30.0, "mean_c": 12.0, "sd_c": 4.0}
    row = {key: value for key, value in good.items() if not (key == "sd_t" and name in ("se_t", "ci_low_t"))}
    row |= {name: np.inf} | ({"ci_high_t": 12.0} if name == "ci_low_t" else {})
    rows = bm.effect_rows(pd.DataFrame([good, row]), "MD")
    assert np.isfinite(rows.y).tolist() == [True, False]
    assert any(fault.row == 1 and fault.column == name and "finite" in fault.rule for fault in rows.faults)
