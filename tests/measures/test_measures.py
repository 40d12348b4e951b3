"""Effect measures against metafor, published tables, closed forms and simulation."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bayesmeta import measures as bm
from bayesmeta.errors import DataError, ModelError

REFERENCE = Path(__file__).parents[1] / "reference"

CLOSED = 1e-12  # closed forms of the same numbers; metafor's log-gamma J costs it about 1e-13
GAMMA = 1e-10  # UB subtracts J^-2 from 1, which magnifies the error of metafor's log-gamma J by N
PRINTED4 = 6e-5  # half a unit in the fourth decimal of a printed table, and rounding
PRINTED5 = 6e-6  # the same for five decimals
SIM = 200_000  # draws; the standard error of a covariance c is sqrt((v1 v2 + c^2)/SIM)
SIM_SE = 4.0  # allowed distance from the delta method in those standard errors
SIM_BIAS = 0.02  # relative error of the delta method itself at 200 to 400 people per arm (it is of order 1/n)

PINNED = [
    "bcg_rr",
    "crins_or",
    "hine_or",
    "hine_rd",
    "normand_md",
    "normand_smd",
    "furukawa_smd",
    "furukawa_smdh",
    "gibson_smd",
]
FORMULA: dict[str, Callable[..., bm.Estimate]] = {
    "MD": bm.mean_difference,
    "SMD": bm.smd,
    "SMDH": bm.smdh,
    "ROM": bm.ratio_of_means,
    "OR": bm.odds_ratio,
    "RR": bm.risk_ratio,
    "RD": bm.risk_difference,
}


def pinned(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    data = json.loads((REFERENCE / f"{name}.json").read_text())
    keys = data["raw"][0]
    return data, {key: np.array([row[key] for row in data["raw"]], dtype=float) for key in keys}


# -- registry ----------------------------------------------------------------------------------------------------------


ONE_ARM = ["PLO", "MN", "IRLN"]


def test_registry_names_every_measure_of_the_design() -> None:
    assert list(bm.MEASURES) == ["MD", "SMD", "SMDH", "ROM", "OR", "RR", "RD", "HR", "IRR", "ZCOR", *ONE_ARM, "generic"]


@pytest.mark.parametrize("name", list(bm.MEASURES))
def test_back_transform_inverts_transform_and_sends_null_to_null(name: str) -> None:
    found = bm.measure(name)
    x = np.array([0.2, 0.5, 0.9])
    np.testing.assert_allclose(found.back(found.transform(x)), x, rtol=CLOSED)
    assert found.single_arm == (name in ONE_ARM)
    if found.single_arm:
        assert found.null is None
        assert found.natural_null is None
        return
    assert found.null == 0.0
    assert found.back(found.null) == found.natural_null
    assert found.natural_null == (1.0 if name in ("ROM", "OR", "RR", "HR", "IRR") else 0.0)
    assert found.log == (found.natural_null == 1.0)


def test_a_measure_is_found_in_any_case_and_an_unknown_one_lists_the_known_and_the_nearest() -> None:
    assert bm.measure("smd") is bm.measure("SMD")
    with pytest.raises(ModelError, match=r"no measure 'smdd'\. Did you mean SMD\? Allowed: MD, SMD, "):
        bm.measure("smdd")


# -- pinned: R metafor 5.1.12, escalc ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PINNED)
def test_escalc_of_metafor_5(name: str) -> None:
    data, raw = pinned(name)
    result = FORMULA[data["measure"]](**raw)
    np.testing.assert_allclose(result.y, data["yi"], rtol=CLOSED, atol=1e-15)
    np.testing.assert_allclose(result.se**2, data["vi"], rtol=CLOSED)


def test_every_pinned_file_with_raw_data_is_tested() -> None:
    with_raw = {p.stem for p in REFERENCE.glob("*.json") if json.loads(p.read_text()).get("raw")}
    assert with_raw == set(PINNED)


# R metafor 3.8.1, escalc("SMD", vtype=...) on dat.normand1999
VTYPE: dict[str, Any] = {
    "LS2": [
        0.0130022562030212,
        0.0629093892520276,
        0.0455266747906522,
        0.1557283376018675,
        0.1895677553025555,
        0.0363954450126399,
        0.0588909002965283,
        0.0147880322328096,
        0.0357825996187011,
    ],
    "UB": [
        0.0130671503925683,
        0.0645296321798948,
        0.0462968455000617,
        0.1663642906492597,
        0.2061936438904211,
        0.0369154111198517,
        0.0602998452007540,
        0.0148670262483138,
        0.0362846944001576,
    ],
    "AV": [
        0.0132960163301312,
        0.0656512347094280,
        0.0283426329932433,
        0.1148616589493844,
        0.2083525875029739,
        0.0380133419273951,
        0.0617300147429102,
        0.0150162081296555,
        0.0371029691311666,
    ],
}


@pytest.mark.parametrize("vtype", list(VTYPE))
def test_variances_of_g_as_metafor(vtype: str) -> None:
    _, raw = pinned("normand_smd")
    np.testing.assert_allclose(
        bm.smd(**raw, vtype=vtype).se ** 2, VTYPE[vtype], rtol=GAMMA if vtype == "UB" else CLOSED
    )


# R metafor 3.8.1, escalc(add=1/2, to="only0" and "all"): a zero in one arm, the other, both; nobody spared; no zero
ZERO_TABLES = {
    "events_t": [0, 3, 0, 10, 5],
    "n_t": [20, 20, 15, 10, 30],
    "events_c": [2, 0, 0, 10, 4],
    "n_c": [25, 18, 12, 12, 28],
}
ZERO_R = {
    ("OR", "half"): (
        [-1.472862377428350, 2.001480000210124, -0.215111379616946, 1.609437912434101, 0.182321556793954],
        [2.491333679294240, 2.396911196911197, 4.144516129032258, 2.590476190476191, 0.531666666666667],
    ),
    ("OR", "half_all"): (
        [-1.472862377428350, 2.001480000210124, -0.215111379616946, 1.609437912434101, 0.160665360848452],
        [2.491333679294240, 2.396911196911197, 4.144516129032258, 2.590476190476191, 0.484072416845526],
    ),
    ("RR", "half"): (
        [-1.395863812136041, 1.845826690498331, -0.207639364778244, 0.167054084663166, 0.154150679827258],
        [2.3139194139194141, 2.1854636591478696, 3.8605769230769229, 0.0226440226440226, 0.3809523809523810],
    ),
    ("RR", "half_all"): (
        [-1.395863812136041, 1.845826690498331, -0.207639364778244, 0.167054084663166, 0.133979320963479],
        [2.3139194139194141, 2.1854636591478696, 3.8605769230769229, 0.0226440226440226, 0.3372995809035853],
    ),
    ("RD", "half"): (
        [-0.07234432234432235, 0.14035087719298245, -0.00721153846153846, 0.14685314685314688, 0.02380952380952381],
        [0.00444941823172109, 0.00796234970312824, 0.00473687819149693, 0.01589251376527038, 0.00900280747219523],
    ),
    ("RD", "half_all"): (
        [-0.07234432234432235, 0.14035087719298245, -0.00721153846153846, 0.14685314685314688, 0.02224694104560623],
        [0.00444941823172109, 0.00796234970312824, 0.00473687819149693, 0.01589251376527038, 0.00922827820151828],
    ),
}


@pytest.mark.parametrize(("name", "zero"), list(ZERO_R))
def test_zero_cells_as_metafor(name: str, zero: str) -> None:
    y, v = ZERO_R[name, zero]
    result = FORMULA[name](**ZERO_TABLES, zero=zero)
    np.testing.assert_allclose(result.y, y, rtol=CLOSED)
    np.testing.assert_allclose(result.se**2, v, rtol=CLOSED)
    assert any("no events in either arm (row 2)" in text for text in result.assumptions)


def test_an_event_in_everybody_is_named() -> None:
    result = bm.odds_ratio([3, 8], [9, 8], [2, 7], [9, 7])
    assert result.assumptions[-1] == "an event in every person of both arms (row 1)"


def test_treatment_arm_correction_is_proportional_to_size_and_sums_to_one() -> None:
    # Sweeting 2004, doi:10.1002/sim.1761: k_t = 1/(R + 1), k_c = R/(R + 1), R = n_c/n_t; here R = 3
    result = bm.odds_ratio(0, 10, 3, 30, zero="treatment_arm")
    a, b, c, d = 0.25, 10.25, 3.75, 27.75
    assert result.y[0] == pytest.approx(np.log(a * d / (b * c)), rel=CLOSED)
    assert result.se[0] ** 2 == pytest.approx(1 / a + 1 / b + 1 / c + 1 / d, rel=CLOSED)
    equal = bm.odds_ratio(0, 10, 3, 10, zero="treatment_arm")
    assert equal.y[0] == bm.odds_ratio(0, 10, 3, 10, zero="half").y[0]


def test_zero_none_refuses_only_what_has_no_answer() -> None:
    with pytest.raises(DataError, match=r"row 1.*a cell is zero.*zero='half'"):
        bm.odds_ratio([1, 0], [10, 10], [2, 2], [10, 10], zero="none")
    # log RR is defined where nobody was spared in one arm: variance 0 + 1/2 - 1/10
    assert bm.risk_ratio(10, 10, 2, 10, zero="none").se[0] ** 2 == pytest.approx(0.4, rel=CLOSED)
    with pytest.raises(ModelError, match="half, half_all, treatment_arm, none"):
        bm.odds_ratio(1, 10, 2, 10, zero="drop")


def test_correlation_and_standardised_mean_change_as_metafor() -> None:
    # R metafor 3.8.1: escalc("ZCOR"), escalc("SMCR")
    z = bm.correlation_z([0.62, -0.13, 0.99], [15, 41, 6])
    np.testing.assert_allclose(z.y, [0.725005087752999, -0.130739850028878, 2.646652412362246], rtol=CLOSED)
    np.testing.assert_allclose(z.se**2, [1 / 12, 1 / 38, 1 / 3], rtol=CLOSED)
    change = bm.smcr([22, 26.8], [26, 23.5], [30**0.5, 3.1], [60, 12], [0.7, 0.64])
    np.testing.assert_allclose(change.y, [0.720967169259202, -0.989957217070990], rtol=CLOSED)
    np.testing.assert_allclose(change.se**2, [0.0143316138262469, 0.1008339704846225], rtol=CLOSED)


# -- closed forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("df", [2, 3, 10, 100, 101, 102, 3000, 10**6])
def test_small_sample_factor_against_gamma_functions_in_50_digits(df: int) -> None:
    with mpmath.workdps(50):
        m = mpmath.mpf(df)
        exact = float(mpmath.gamma(m / 2) / (mpmath.sqrt(m / 2) * mpmath.gamma((m - 1) / 2)))
    assert bm.small_sample_factor(df) == pytest.approx(exact, rel=1e-14)
    assert bm.small_sample_factor(df, "approx") == pytest.approx(1 - 3 / (4 * df - 1), rel=CLOSED)


def test_revman_variance_by_hand() -> None:
    # Cochrane's statistical methods in RevMan: SE^2 = N/(n1 n2) + g^2/(2(N - 3.94)), g = d (1 - 3/(4N - 9))
    result = bm.smd(12, 4, 20, 10, 4, 20, vtype="RevMan", j="approx")
    g = 0.5 * (1 - 3 / (4 * 40 - 9))
    assert result.y[0] == pytest.approx(g, rel=CLOSED)
    assert result.se[0] ** 2 == pytest.approx(40 / 400 + g**2 / (2 * 36.06), rel=CLOSED)
    with pytest.raises(ModelError, match="j='approx'"):
        bm.smd(12, 4, 20, 10, 4, 20, vtype="RevMan")
    with pytest.raises(ModelError, match="LS, LS2, UB, AV, RevMan"):
        bm.smd(12, 4, 20, 10, 4, 20, vtype="ls")


def test_ratio_of_means_by_hand() -> None:
    # DESIGN and Lajeunesse 2015: a = 9/(25 * 36) = 0.01, b = 4/(4 * 16) = 0.0625
    result = bm.ratio_of_means(6, 3, 25, 4, 2, 4)
    assert result.y[0] == pytest.approx(np.log(1.5) + (0.01 - 0.0625) / 2, rel=CLOSED)
    assert result.se[0] ** 2 == pytest.approx(0.0725, rel=CLOSED)
    # R metafor 3.8.1 escalc("ROM") has the same variances and no bias term
    _, raw = pinned("normand_md")
    v = [0.00937908326060819, 0.00276276785368056, 0.00177721240927502]
    np.testing.assert_allclose(bm.ratio_of_means(**raw).se[:3] ** 2, v, rtol=CLOSED)


def test_negative_means_have_a_ratio_and_mixed_signs_have_none() -> None:
    assert bm.ratio_of_means(-6, 3, 25, -4, 2, 4).y[0] == bm.ratio_of_means(6, 3, 25, 4, 2, 4).y[0]
    with pytest.raises(DataError, match="do not have the same sign"):
        bm.ratio_of_means(-6, 3, 25, 4, 2, 4)


def test_morris_2008_table_5() -> None:
    # Morris 2008, doi:10.1177/1094428106291059, Table 5, column d_ppc2 (approximate J), five training studies
    result = bm.smd_change(
        mean_pre_t=[30.6, 23.5, 0.5, 53.4, 35.6],
        mean_post_t=[38.5, 26.8, 0.7, 75.9, 36.0],
        sd_pre_t=[15.0, 3.1, 0.1, 14.5, 4.7],
        n_t=[20, 50, 9, 10, 14],
        mean_pre_c=[23.1, 24.9, 0.6, 55.7, 34.8],
        mean_post_c=[19.7, 25.3, 0.6, 60.7, 33.4],
        sd_pre_c=[13.8, 4.1, 0.2, 17.3, 3.1],
        n_c=[20, 42, 9, 11, 14],
        correlation=[0.47, 0.64, 0.77, 0.89, 0.44],
        j="approx",
    )
    np.testing.assert_allclose(result.y, [0.77, 0.80, 1.20, 1.05, 0.44], atol=0.005)


def test_variance_of_standardised_change_by_simulation() -> None:
    rng = np.random.default_rng(20080711)
    n_t, n_c, r, effect = 15, 12, 0.6, 0.5
    change_sd = np.sqrt(2 * (1 - r))
    # The pooled baseline variance is independent of the means.
    change = rng.normal(effect, change_sd * np.sqrt(1 / n_t + 1 / n_c), SIM)
    m = n_t + n_c - 2
    g = bm.small_sample_factor(m) * change / np.sqrt(rng.chisquare(m, SIM) / m)
    assert g.mean() == pytest.approx(effect, abs=SIM_SE * g.std() / np.sqrt(SIM))
    # Morris's variance at the true effect is exact: put the population values in.
    exact = bm.smd_change(0, effect / bm.small_sample_factor(m), 1, n_t, 0, 0, 1, n_c, r).se[0] ** 2
    assert g.var() == pytest.approx(exact, rel=SIM_SE * np.sqrt(2.5 / SIM))


def test_mean_change_by_hand_and_as_difference_of_changes() -> None:
    change = bm.change_sd([10, 8], [12, 9], [0.5, 0.7])
    one = bm.mean_change_difference(50, 10, 45, 12, 30, 51, 8, 50, 9, 40, 0.5)
    assert one.y[0] == -4.0
    assert one.se[0] ** 2 == pytest.approx((100 + 144 - 120) / 30 + (64 + 81 - 72) / 40, rel=CLOSED)
    two = bm.mean_difference(-5, change[0], 30, -1, np.sqrt(64 + 81 - 72), 40)
    assert one.se[0] == pytest.approx(two.se[0], rel=CLOSED)


def test_smd_from_mean_difference_inverts_a_pooled_analysis() -> None:
    # With equal SDs the t statistic is (m_t - m_c)/(s sqrt(1/n_t + 1/n_c)), whatever the sizes.
    direct = bm.smd(12, 4, 20, 10, 4, 35)
    through = bm.smd_from_md_se(2, 4 * np.sqrt(1 / 20 + 1 / 35), 20, 35)
    assert through.y[0] == pytest.approx(direct.y[0], rel=CLOSED)
    assert through.se[0] == pytest.approx(direct.se[0], rel=CLOSED)
    with pytest.raises(ModelError, match="AV"):
        bm.smd_from_md_se(2, 1, 20, 35, vtype="AV")


def test_hazard_ratio_recovers_the_standard_error_of_its_interval() -> None:
    result = bm.hazard_ratio(0.7, 0.7 * np.exp(-1.959963984540054 * 0.2), 0.7 * np.exp(1.959963984540054 * 0.2))
    assert result.y[0] == pytest.approx(np.log(0.7), rel=CLOSED)
    assert result.se[0] == pytest.approx(0.2, rel=CLOSED)
    with pytest.raises(DataError, match="outside its interval"):
        bm.hazard_ratio(1.2, 0.5, 0.9)


def test_unit_information_of_crins() -> None:
    # tests/reference/published.md: 5.3658554
    data, raw = pinned("crins_or")
    assert bm.uisd(raw["n_t"] + raw["n_c"], np.sqrt(data["vi"])) == pytest.approx(5.3658554, abs=5e-8)


# -- faults ------------------------------------------------------------------------------------------------------------


def test_all_faults_are_listed_with_row_column_and_remedy() -> None:
    with pytest.raises(DataError) as caught:
        bm.smd([1, 2, 3], [1, 0, -1], [10, 10, 1], [1, np.nan, 1], [1, 1, 1], [10, 10, 10])
    places = {fault.where for fault in caught.value.faults}
    assert places == {"row 1, column sd_t", "row 2, column sd_t", "row 2, column n_t", "row 1, column mean_c"}
    assert "row 1, column sd_t: 0 is not > 0." in str(caught.value)


@pytest.mark.parametrize(
    ("events", "text"),
    [(-1, "is negative"), (2.5, "not a whole number"), (11, "is more than n_t"), (np.nan, "not a finite")],
)
def test_counts_must_be_counts(events: float, text: str) -> None:
    with pytest.raises(DataError, match=text):
        bm.risk_ratio(events, 10, 2, 10)


def test_lengths_that_do_not_match_are_named() -> None:
    with pytest.raises(ModelError, match=r"mean_t, sd_t.*not numbers of one length"):
        bm.mean_difference([1, 2], [1, 2, 3], 10, 1, 1, 10)


def test_results_are_read_only() -> None:
    result = bm.mean_difference(1, 1, 10, 0, 1, 10)
    with pytest.raises(ValueError, match="read-only"):
        result.y[0] = 3


# -- properties --------------------------------------------------------------------------------------------------------

mean = st.floats(1, 100)
sd = st.floats(0.5, 50)
size = st.integers(3, 500)
arms = st.tuples(mean, sd, size, mean, sd, size)


@given(arms, st.sampled_from(["MD", "SMD", "SMDH", "ROM"]))
def test_swapping_arms_negates(x: tuple, name: str) -> None:
    one, two = FORMULA[name](*x), FORMULA[name](*x[3:], *x[:3])
    np.testing.assert_allclose(one.y, -two.y, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.se, two.se, rtol=1e-9)


@given(arms, st.floats(0.01, 100))
def test_units_scale_md_and_leave_the_rest(x: tuple, unit: float) -> None:
    scaled = (x[0] * unit, x[1] * unit, x[2], x[3] * unit, x[4] * unit, x[5])
    for name, factor in (("MD", unit), ("SMD", 1.0), ("SMDH", 1.0), ("ROM", 1.0)):
        one, two = FORMULA[name](*x), FORMULA[name](*scaled)
        np.testing.assert_allclose(two.y, factor * one.y, rtol=1e-9, atol=1e-9 * factor)
        np.testing.assert_allclose(two.se, factor * one.se, rtol=1e-9)


@given(st.integers(0, 30), st.integers(31, 60), st.integers(0, 30), st.integers(31, 60))
def test_odds_ratio_is_symmetric_in_arms_and_in_events(a: int, n_t: int, c: int, n_c: int) -> None:
    one = bm.odds_ratio(a, n_t, c, n_c)
    for other in (bm.odds_ratio(c, n_c, a, n_t), bm.odds_ratio(n_t - a, n_t, n_c - c, n_c)):
        np.testing.assert_allclose(one.y, -other.y, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.se, other.se, rtol=1e-9)
    assert bm.odds_ratio(a, n_t, a, n_t).y[0] == 0.0


# -- shared arms -------------------------------------------------------------------------------------------------------


def gls(y: np.ndarray, V: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    W = np.linalg.inv(V)
    cov = np.linalg.inv(X.T @ W @ X)
    beta = cov @ X.T @ W @ y
    rest = y - X @ beta
    return beta, cov, float(rest @ W @ rest)


def blocks(trial: np.ndarray, variance: np.ndarray, pair: np.ndarray) -> np.ndarray:
    V = np.where(trial[:, None] == trial[None, :], pair, 0.0)
    np.fill_diagonal(V, variance)
    return V


TRIAL = np.array([1, 1, 2, 3, 3, 3])
TREATMENT = np.eye(3)[[0, 1, 0, 0, 1, 2]]
# Gleser & Olkin 2009, Handbook of Research Synthesis and Meta-Analysis, 2nd ed., Table 19.2
TREATED = np.array([[100, 150, 15, 40, 80, 50], [4000, 4000, 400, 1000, 1000, 1000]])
CONTROL = np.array([[40, 40, 10, 150, 150, 150], [1000, 1000, 200, 2000, 2000, 2000]])
# pp. 360-364 as checked in metafor's test_analysis_example_gleser2009.r: y (control - treated), coefficients, QE
GLESER = {
    "RD": ([0.0150, 0.0025, 0.0125, 0.0350, -0.0050, 0.0250], [0.0200, 0.0043, 0.0211], 7.1907),
    "OR": ([0.4855, 0.0671, 0.3008, 0.6657, -0.0700, 0.4321], [0.5099, 0.0044, 0.4301], 2.0563),
    "RR": ([0.4700, 0.0645, 0.2877, 0.6286, -0.0645, 0.4055], [0.4875, 0.0006, 0.4047], 1.8954),
}
GLESER_COV = {
    "RD": np.array([[24.612, 19.954, 13.323], [19.954, 28.538, 13.255], [13.323, 13.255, 69.806]]) * 1e-6,
    "OR": np.array([[0.01412, 0.00712, 0.00425], [0.00712, 0.01178, 0.00455], [0.00425, 0.00455, 0.02703]]),
    "RR": np.array([[0.01287, 0.00623, 0.00371], [0.00623, 0.01037, 0.00399], [0.00371, 0.00399, 0.02416]]),
}


@pytest.mark.parametrize("name", list(GLESER))
def test_gleser_olkin_risks(name: str) -> None:
    y, beta, q = GLESER[name]
    result = FORMULA[name](*TREATED, *CONTROL)
    np.testing.assert_allclose(-result.y, y, atol=PRINTED4)
    # it depends on the shared arm alone, so that each column holds its trial's value
    pair = np.broadcast_to(bm.shared_control_covariance(name, CONTROL[1], events_c=CONTROL[0]), (6, 6))
    found, cov, qe = gls(-result.y, blocks(TRIAL, result.se**2, pair), TREATMENT)
    np.testing.assert_allclose(found, beta, atol=PRINTED4)
    np.testing.assert_allclose(cov, GLESER_COV[name], atol=5.1e-9 if name == "RD" else PRINTED5)
    assert qe == pytest.approx(q, abs=PRINTED4)


def test_gleser_olkin_standardised_by_one_sd() -> None:
    # Gleser & Olkin 2009, pp. 364-367, as checked in metafor's test_analysis_example_gleser2009.r
    trial, X = np.array([1, 1, 2, 3, 4, 4]), np.eye(2)[[0, 1, 0, 0, 0, 1]]
    d = (np.array([7.87, 4.35, 9.32, 8.08, 7.44, 5.34]) - np.array([-1.36, -1.36, 0.98, 1.17, 0.45, 0.45])) / np.array(
        [4.2593, 4.2593, 2.8831, 3.1764, 2.9344, 2.9344]
    )
    n_t, n_c = np.array([25, 22, 38, 50, 30, 30]), np.array([25, 25, 40, 50, 30, 30])
    total = np.array([72, 72, 78, 100, 90, 90])
    variance = 1 / n_t + 1 / n_c + d**2 / (2 * total)
    i, j = np.meshgrid(np.arange(6), np.arange(6), indexing="ij")
    a, b = i.ravel(), j.ravel()
    pair = bm.shared_control_covariance(
        "SMD", n_c[a], y_1=d[a], y_2=d[b], n_1=n_t[a], n_2=n_t[b], n_total=total[a], form="pooled"
    ).reshape(6, 6)
    beta, cov, q = gls(d, blocks(trial, variance, pair), X)
    np.testing.assert_allclose(d, [2.1670, 1.3406, 2.8927, 2.1754, 2.3821, 1.6664], atol=PRINTED4)
    np.testing.assert_allclose(beta, [2.3743, 1.5702], atol=PRINTED4)
    np.testing.assert_allclose(cov, [[0.02257, 0.01244], [0.01244, 0.03554]], atol=PRINTED5)
    assert q == pytest.approx(3.9447, abs=PRINTED4)


def test_pooled_form_counts_three_arms_unless_told_of_more() -> None:
    given_total = bm.shared_control_covariance("SMD", 30, y_1=0.5, y_2=0.4, n_1=20, n_2=25, n_total=75, form="pooled")
    counted = bm.shared_control_covariance("SMD", 30, y_1=0.5, y_2=0.4, n_1=20, n_2=25, form="pooled")
    assert given_total[0] == counted[0] == pytest.approx(1 / 30 + 0.2 / 150, rel=CLOSED)


def simulated(name: str, role: str) -> tuple[np.ndarray, float]:
    """Draw three arms many times; return the empirical covariance of two effects, and the formula's."""
    rng = np.random.default_rng(20090319)
    n = {"1": 200, "2": 260, "c": 240}
    if name in ("OR", "RR", "RD"):
        p = {"1": 0.25, "2": 0.35, "c": 0.3}
        events = {arm: rng.binomial(n[arm], p[arm], SIM) for arm in n}
        arm: dict[str, tuple[Any, ...]] = {key: (events[key], np.full(SIM, n[key])) for key in n}
        shared: dict[str, Any] = {"events_c": p["c"] * n["c"]}
    else:
        mu, sigma = {"1": 14.0, "2": 12.5, "c": 11.0}, {"1": 3.0, "2": 2.5, "c": 3.5}
        if name == "SMD":
            sigma = dict.fromkeys(n, 3.0)
        arm = {
            key: (
                rng.normal(mu[key], sigma[key] / np.sqrt(n[key]), SIM),
                sigma[key] * np.sqrt(rng.chisquare(n[key] - 1, SIM) / (n[key] - 1)),
                np.full(SIM, n[key]),
            )
            for key in n
        }
        shared = {"sd_c": sigma["c"], "mean_c": mu["c"]}
        shared |= {"sd_1": sigma["1"], "sd_2": sigma["2"], "n_1": n["1"], "n_2": n["2"]}
    one = FORMULA[name](*arm["1"], *arm["c"])
    two = FORMULA[name](*arm["2"], *arm["c"]) if role == "same" else FORMULA[name](*arm["c"], *arm["2"])
    formula = bm.shared_control_covariance(
        name, n["c"], y_1=one.y.mean(), y_2=two.y.mean(), same_role=role == "same", **shared
    )
    return np.cov(one.y, two.y), float(formula[0])


@pytest.mark.parametrize("role", ["same", "other"])
@pytest.mark.parametrize("name", list(FORMULA))
def test_covariance_by_simulation(name: str, role: str) -> None:
    empirical, formula = simulated(name, role)
    error = np.sqrt((empirical[0, 0] * empirical[1, 1] + empirical[0, 1] ** 2) / SIM)
    assert formula == pytest.approx(empirical[0, 1], abs=SIM_SE * error + SIM_BIAS * abs(formula))


@given(st.lists(st.tuples(mean, sd, size), min_size=4, max_size=4), st.sampled_from(["MD", "SMD", "SMDH", "ROM"]))
def test_four_arm_matrix_is_positive_definite(arm: list, name: str) -> None:
    *treated, control = arm
    t = np.array(treated).T
    result = FORMULA[name](*t, *control)
    V = np.diag(result.se**2)
    for i in range(3):
        for j in range(i):
            V[i, j] = V[j, i] = bm.shared_control_covariance(
                name,
                control[2],
                y_1=result.y[i],
                y_2=result.y[j],
                n_1=t[2, i],
                n_2=t[2, j],
                sd_1=t[1, i],
                sd_2=t[1, j],
                sd_c=control[1],
                mean_c=control[0],
            )[0]
    scale = np.sqrt(np.diag(V))
    assert np.linalg.eigvalsh(V / np.outer(scale, scale)).min() > 0


@example([(0, 40), (0, 49), (0, 64), (20, 40)], "RD")
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(40, 80)), min_size=4, max_size=4),
    st.sampled_from(["OR", "RR", "RD"]),
)
def test_four_arm_matrix_of_counts_is_positive_definite(arm: list, name: str) -> None:
    *treated, control = arm
    t = np.array(treated).T
    result = FORMULA[name](*t, *control)
    V = np.diag(result.se**2)
    for i, j in itertools.permutations(range(3), 2):
        others = {"events_1": t[0, i], "n_1": t[1, i], "events_2": t[0, j], "n_2": t[1, j]}
        V[i, j] = bm.shared_control_covariance(name, control[1], events_c=control[0], **others)[0]
    scale = np.sqrt(np.diag(V))
    assert np.linalg.eigvalsh(V / np.outer(scale, scale)).min() > 0


def test_covariance_names_what_it_needs() -> None:
    with pytest.raises(ModelError, match=r"SMD needs y_1, y_2, n_1, n_2; not given: n_1, n_2"):
        bm.shared_control_covariance("SMD", 30, y_1=0.5, y_2=0.4)
    with pytest.raises(ModelError, match="HR"):
        bm.shared_control_covariance("HR", 30)
    with pytest.raises(DataError, match="pair 0, column sd_c"):
        bm.shared_control_covariance("MD", 30, sd_c=0)
