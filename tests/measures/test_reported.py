"""Effects from what papers print: d, g, t, F, p, adjusted and paired differences, conversions, one arm's SD.

Authorities: metafor's escalc (tests/reference/sizes_metafor.R with its JSON); closed forms and numerical derivatives
written anew here; Borenstein et al. 2009, chapter 7; the Cochrane Handbook as cited.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesmeta import measures as bm
from bayesmeta.errors import DataError

CLOSED = 1e-12  # two roundings of one closed form
QUANTILE = 1e-10  # a quantile of t by two programs
SLOPE = 1e-6  # central differences with a step of 1e-5: the error of truncation is 1e-10, of rounding 1e-11
PRINTED = 0.0005  # half a unit in the third decimal

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "sizes_metafor.json").read_text(encoding="utf-8"))
INPUT = REFERENCE["input"]
SIZES = {"n_t": INPUT["n1"], "n_c": INPUT["n2"]}


def rows(measure: str, options: dict | None = None, **columns: object) -> bm.EffectRows:
    """Effects of a table whose single values stand in every row."""
    k = max(len(x) for x in columns.values() if isinstance(x, list))
    frame = pd.DataFrame({name: x if isinstance(x, list) else [x] * k for name, x in columns.items()})
    return bm.effect_rows(frame, measure, options=options)


def fault(measure: str, options: dict | None = None, **columns: object) -> str:
    """The faults of a table of one row, as text."""
    found = rows(measure, options, **{name: [x] for name, x in columns.items()})
    assert np.isnan(found.y[0])
    return "; ".join(f"{item.column}: {item.rule}. {item.remedy}" for item in found.faults)


def one(measure: str, options: dict | None = None, **columns: object) -> tuple[float, float, bm.Derivation]:
    """Estimate, standard error and derivation of a table of one row that has no fault."""
    found = rows(measure, options, **{name: [x] for name, x in columns.items()})
    assert not found.faults, found.faults
    return float(found.y[0]), float(found.se[0]), found.ledger[0]


def j(df: float) -> float:
    """Hedges' factor by its closed form."""
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)


# -- d, g, t, F, p of two groups ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "columns", "close"),
    [
        ("from_d", {"d": INPUT["d"]}, CLOSED),
        ("from_t", {"t": INPUT["t"]}, CLOSED),
        ("from_f", {"f": INPUT["f"], "sign": [-1, 1, 1]}, CLOSED),
        ("from_f", {"f": INPUT["f"], "sign": ["-", "+", "positive"]}, CLOSED),
        ("from_f", {"f": INPUT["f"], "mean_t": [1.0, 5, 5], "mean_c": [2.0, 4, 4]}, CLOSED),
        ("from_p", {"p": [abs(x) for x in INPUT["p"]], "sign": [-1, 1, 1]}, QUANTILE),
        ("from_p", {"p": ["0.04", "p = .012", "0,6"], "sign": [-1, 1, 1]}, QUANTILE),
        ("from_p", {"p": [abs(x) for x in INPUT["p"]], "md": [-2.0, 0.1, 7]}, QUANTILE),
    ],
)
def test_statistics_of_two_groups_as_metafor(key, columns, close):
    found = rows("SMD", **columns, **SIZES)
    assert not found.faults
    assert np.allclose(found.y, REFERENCE[key]["y"], rtol=close, atol=0)
    assert np.allclose(found.se**2, REFERENCE[key]["v"], rtol=close, atol=0)


def test_a_printed_g_stays_and_has_the_variance_of_its_size():
    g, se, made = one("SMD", g=0.5, n_t=20, n_c=22)
    assert g == 0.5
    assert math.isclose(se**2, 1 / 20 + 1 / 22 + 0.25 / 84, rel_tol=CLOSED)
    assert made.raw == {"g": 0.5, "n_t": 20, "n_c": 22}


def test_p_of_a_mean_difference_is_of_t_and_of_a_ratio_of_z():
    # Cochrane Handbook 6.5.2.3: MD 3.8, p = 0.008, 25 + 22 people: t 2.78 on 45 df, SE 1.37
    expected = 3.8 / stats.t.isf(0.004, 45)
    assert round(expected, 2) == 1.37
    for columns in ({"md": 3.8}, {"estimate": 3.8}, {"mean_t": 5.8, "mean_c": 2.0}):
        assert math.isclose(one("MD", p=0.008, n_t=25, n_c=22, **columns)[1], expected, rel_tol=QUANTILE)
    _, se, made = one("OR", estimate=0.6, p=0.03, n_t=25, n_c=22)
    assert math.isclose(se, -math.log(0.6) / stats.norm.isf(0.015), rel_tol=QUANTILE)
    assert "normal test (no df given)" in made.assumptions


@pytest.mark.parametrize("cell", ["p < 0.001", "<0.001", "< .001", "P<0,001", "<=0.001", "≤ 0.001"])
def test_p_below_a_number_is_read_as_the_number_and_noted(cell):
    found = rows("SMD", p=[cell], sign=[-1], n_t=[20], n_c=[22])
    exact = rows("SMD", p=[0.001], sign=[-1], n_t=[20], n_c=[22])
    assert found.y.tolist() == exact.y.tolist()
    assert len(exact.warnings) == 0
    (text, mask), *_ = found.warnings
    assert '"p <" is read as "p ="' in text
    assert mask.tolist() == [True]
    assert text in found.ledger[0].assumptions


@pytest.mark.parametrize("cell", ["> 0.05", "p>.05", "≥0.05", "NS", "n.s.", "p = NS", "not significant", "non-sig"])
def test_a_large_p_without_number_is_a_fault_with_a_remedy(cell):
    text = fault("SMD", p=cell, sign=1, n_t=20, n_c=22)
    assert text.startswith("p: gives no standard error: it says only that p is large. Give the exact p")


def test_statistics_without_sign_are_faults():
    for name, x in (("f", 4.0), ("p", 0.03)):
        text = fault("SMD", **{name: x}, n_t=20, n_c=22)
        assert text.startswith(
            f"{name}: has no sign, and nothing says which arm has the higher numbers. Give a column sign"
        )
    assert "sign: is not a sign" in fault("SMD", p=0.03, sign="up", n_t=20, n_c=22)
    assert "t: has another sign than the means" in fault("SMD", t=2.0, mean_t=1.0, mean_c=2.0, n_t=20, n_c=22)


def test_only_an_f_with_one_degree_of_freedom_compares_two_groups():
    assert "f_df: is not 1" in fault("SMD", f=4.0, f_df=2, sign=1, n_t=20, n_c=22)
    assert math.isclose(one("SMD", f=4.0, f_df=1, sign=1, n_t=20, n_c=22)[0], one("SMD", t=2.0, n_t=20, n_c=22)[0])


def test_a_correlation_from_its_t():
    found = rows("ZCOR", t=[2.5, -1.0], n=[30, 50])
    r = np.array([2.5, -1.0]) / np.sqrt(np.array([2.5, 1.0]) ** 2 + [28, 48])
    assert np.allclose(found.y, np.arctanh(r), rtol=CLOSED)
    assert np.allclose(found.se**2, [1 / 27, 1 / 47], rtol=CLOSED)


# -- changes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["MD", "SMD"])
def test_the_interval_of_a_change_gives_its_sd(measure):
    # Cochrane Handbook 6.5.2.2: sqrt(n) (upper - lower)/(2 t) on n - 1 degrees of freedom
    half = stats.t.isf(0.025, 24)
    sizes = {"n_t": 25, "n_c": 25, "mean_change_t": 3.0, "mean_change_c": 1.0, "sd_change_c": 4.0}
    by_ci = one(measure, ci_low_change_t=3 - half, ci_high_change_t=3 + half, **sizes)
    by_sd = one(measure, sd_change_t=5.0, **sizes)
    assert math.isclose(by_ci[0], by_sd[0], rel_tol=QUANTILE)
    assert math.isclose(by_ci[1], by_sd[1], rel_tol=QUANTILE)
    assert "interval of mean_change_t to SD" in by_ci[2].formula


def test_final_and_change_scores_in_one_smd_are_told_aloud():
    columns = {"n_t": [20, 20], "n_c": [20, 20], "mean_t": [5.0, None], "sd_t": [2.0, None], "mean_c": [4.0, None]}
    columns |= {"sd_c": [2.0, None], "mean_change_t": [None, 1.0], "sd_change_t": [None, 1.0]}
    columns |= {"mean_change_c": [None, 0.2], "sd_change_c": [None, 1.0]}
    found = rows("SMD", **columns)
    (text, mask), *_ = found.warnings
    assert "standardised by the SD of changes, and other rows by that of scores" in text
    assert mask.tolist() == [False, True]
    assert text in found.ledger[1].assumptions
    # a mean difference has one unit either way
    assert rows("MD", **columns).warnings == ()


# -- adjusted differences ----------------------------------------------------------------------------------------------


def test_an_adjusted_difference_is_standardised_by_the_raw_sd():
    y, se, made = one("SMD", adjusted_difference=-3.0, se=1.2, sd=8.0, n_t=30, n_c=32)
    assert math.isclose(y, -3 / 8 * j(60), rel_tol=CLOSED)
    assert math.isclose(se**2, (1.2 / 8) ** 2 + y**2 / 120, rel_tol=CLOSED)
    assert "standardised by the SD of the scores, not of residuals" in made.assumptions
    # two arms: the SD pooled over them
    pooled = math.sqrt((29 * 49 + 31 * 81) / 60)
    assert math.isclose(
        one("SMD", adjusted_difference=-3.0, se=1.2, sd_t=7.0, sd_c=9.0, n_t=30, n_c=32)[0], -3 / pooled * j(60)
    )
    # an interval or p of the ANCOVA are of t on its residual degrees of freedom: 62 - 2 - 1
    half = 1.2 * stats.t.isf(0.025, 59)
    for columns in (
        {"ci_low": -3 - half, "ci_high": -3 + half},
        {"p": 2 * stats.t.sf(2.5, 59)},
        {"t": -2.5},
        {"f": 6.25},
    ):
        found = one("SMD", adjusted_difference=-3.0, sd=8.0, n_t=30, n_c=32, **columns)
        assert math.isclose(found[1], se, rel_tol=1e-9), columns  # a quantile there and back


def test_the_variance_of_an_adjusted_difference_is_the_delta_method():
    """Var(D/S) with Var(D) = SE^2 and Var(S) = S^2/(2 df), by numerical derivatives."""
    difference, se, sd, df, h = -3.0, 1.2, 8.0, 60, 1e-5
    by_d = (difference + h) / sd - (difference - h) / sd
    by_s = difference / (sd + h) - difference / (sd - h)
    variance = (by_d / (2 * h) * se) ** 2 + (by_s / (2 * h)) ** 2 * sd**2 / (2 * df)
    made = bm.smd_from_raw_sd(difference, se, sd, df)
    g_for_d = made.y[0] / j(df)
    assert math.isclose(made.se[0] ** 2 + (g_for_d**2 - made.y[0] ** 2) / (2 * df), variance, rel_tol=SLOPE)


def test_the_adjusted_mean_difference_needs_no_sd():
    assert one("MD", adjusted_difference=-3.0, se=1.2)[:2] == (-3.0, 1.2)
    # on 62 - 2 - 1 degrees of freedom
    found = one("MD", adjusted_difference=-3.0, p=0.02, n_t=30, n_c=32)
    assert math.isclose(found[1], 3 / stats.t.isf(0.01, 59), rel_tol=QUANTILE)
    two = one("MD", adjusted_difference=-3.0, p=0.02, n_t=30, n_c=32, covariates=2)
    assert math.isclose(two[1], 3 / stats.t.isf(0.01, 58), rel_tol=QUANTILE)


@pytest.mark.parametrize("way", ["t", "f", "p"])
def test_a_statistic_of_an_ancova_needs_r_squared(way):
    cell = {"t": -2.1, "f": 2.1**2, "p": 2 * stats.t.sf(2.1, 59)}[way]
    columns = {way: cell, "sign": -1, "n_t": 30, "n_c": 32}
    y, se, made = one("SMD", r_squared=0.36, **columns)
    base = (1 / 30 + 1 / 32) * (1 - 0.36)
    assert math.isclose(y, -2.1 * math.sqrt(base) * j(59), rel_tol=1e-9)  # a p there and back
    assert math.isclose(se**2, base + y**2 / (2 * 59), rel_tol=1e-9)
    assert made.raw["r_squared"] == 0.36
    text = fault("SMD", covariates=1, **columns)
    assert f"{way}: of an ANCOVA gives no standardised difference without R^2" in text
    # without R^2 the same t would be larger by 1/sqrt(1 - R^2): that is what is refused
    assert abs(one("SMD", t=-2.1, n_t=30, n_c=32)[0]) > 1.2 * abs(y)


def test_a_residual_sd_is_a_fault():
    text = fault("SMD", adjusted_difference=-3.0, se=1.2, sd_residual=6.0, n_t=30, n_c=32)
    assert text.startswith("sd_residual: is the SD of residuals, smaller than that of scores")
    # named sd, it shows where the SE is what it gives without covariates
    found = rows("SMD", adjusted_difference=[-3.0], se=[6 * math.sqrt(1 / 30 + 1 / 32)], sd=[6.0], n_t=[30], n_c=[32])
    assert any("is it the SD of residuals?" in text for text, _ in found.warnings)


def test_ancova_has_the_t_that_its_raw_sd_gives():
    """With SE = SD sqrt(1/n_t + 1/n_c) sqrt(1 - R^2) the two ways are one."""
    se = 8 * math.sqrt((1 / 30 + 1 / 32) * 0.64)
    by_sd = bm.smd_from_raw_sd(-3.0, se, 8.0, 59)
    by_t = bm.smd_from_ancova(-3 / se, 0.36, 30, 32, 59)
    assert math.isclose(by_sd.y[0], by_t.y[0], rel_tol=CLOSED)
    assert math.isclose(by_sd.se[0], by_t.se[0], rel_tol=CLOSED)


# -- crossover and pairs -----------------------------------------------------------------------------------------------

PAIRS = {"mean_t": INPUT["m1"], "mean_c": INPUT["m2"], "sd_t": INPUT["s1"], "sd_c": INPUT["s2"], "n": INPUT["n"]}


@pytest.mark.parametrize("design", ["crossover", "paired", "Cross-over"])
def test_a_paired_mean_difference_as_metafor(design):
    found = rows("MD", design=design, correlation=INPUT["r"], **PAIRS)
    assert np.allclose(found.y, REFERENCE["mc"]["y"], rtol=CLOSED)
    assert np.allclose(found.se**2, REFERENCE["mc"]["v"], rtol=CLOSED)


def test_a_paired_smd_is_by_the_raw_sd():
    found = rows("SMD", design="crossover", correlation=INPUT["r"], **PAIRS)
    m1, m2, s1, s2, n, r = (np.array(INPUT[name]) for name in ("m1", "m2", "s1", "s2", "n", "r"))
    sd = np.sqrt((s1**2 + s2**2) / 2)
    df = 2 * (n - 1) / (1 + r**2)
    g = np.array([j(x) for x in df]) * (m1 - m2) / sd
    assert np.allclose(found.y, g, rtol=CLOSED)
    assert np.allclose(found.se**2, (s1**2 + s2**2 - 2 * r * s1 * s2) / n / sd**2 + g**2 / (2 * df), rtol=CLOSED)
    # the SD of differences would make it larger: never that
    by_differences = (m1 - m2) / np.sqrt(s1**2 + s2**2 - 2 * r * s1 * s2)
    assert (np.abs(found.y - by_differences) > 0.05).all()


def test_the_sd_of_two_measurements_has_the_degrees_of_freedom_that_its_variance_needs():
    """Var(s^2) = 2 sigma^4/df: by simulation of the mean of two sample variances with correlation r."""
    rng, r, n, repeats = np.random.default_rng(3), 0.6, 12, 200_000
    x = rng.standard_normal((repeats, n))
    y = r * x + math.sqrt(1 - r * r) * rng.standard_normal((repeats, n))
    s2 = (x.var(axis=1, ddof=1) + y.var(axis=1, ddof=1)) / 2
    expected = 2 / (2 * (n - 1) / (1 + r * r))
    # the relative error of a sample variance of nearly normal draws is sqrt(2/N) = 0.3 %, here with heavier tails
    assert math.isclose(s2.var(), expected, rel_tol=0.02)


def test_a_paired_se_is_not_that_of_two_groups():
    """20 people twice, r = 0.58: a g of -0.44 that their t, as of two groups of 20, would make -0.68."""
    n, r, sd, g = 20, 0.58, 10.0, -0.45
    difference, se = g * sd, sd * math.sqrt(2 * (1 - r) / n)
    wrong = one("SMD", md=difference, se=se, n_t=n, n_c=n)
    assert round(wrong[0], 2) == -0.68
    assert any("a paired or adjusted se makes g too large" in text for text in wrong[2].assumptions)
    frame = pd.DataFrame({"md": [difference], "se": [se], "n_t": [n], "n_c": [n]})
    assert [text in wrong[2].assumptions for text, _ in bm.effect_rows(frame, "SMD").warnings] == [True]
    assert bm.effect_rows(frame.assign(design="parallel"), "SMD").warnings == ()
    for columns in (
        {"md": difference, "se": se, "sd": sd},
        {"md": difference, "se": se, "sd_t": sd, "sd_c": sd},
        {"md": difference, "se": se, "correlation": r},
        {"md": difference, "sd": sd, "correlation": r},
        {"t": difference / se, "correlation": r},
        {"f": (difference / se) ** 2, "sign": -1, "correlation": r},
        {"p": 2 * stats.t.sf(abs(difference / se), n - 1), "sign": -1, "correlation": r},
    ):
        for sizes in ({"n": n}, {"n_t": n, "n_c": n}):
            y, found, _ = one("SMD", design="paired", **sizes, **columns)
            df = 2 * (n - 1) / (1 + r * r)
            assert math.isclose(y, g * j(df), rel_tol=1e-9), columns  # a p there and back
            assert math.isclose(found**2, 2 * (1 - r) / n + y * y / (2 * df), rel_tol=1e-9)
    assert round(g * j(2 * (n - 1) / (1 + r * r)), 2) == -0.44


def test_a_crossover_without_correlation_takes_a_stated_one_or_is_a_fault():
    columns = {"design": "crossover", "mean_t": 10.0, "sd_t": 4.0, "mean_c": 12.0, "sd_c": 5.0, "n": 24}
    text = fault("SMD", **columns)
    assert "correlation: is missing" in text
    assert "measure_options.correlation" in text
    y, _, made = one("SMD", {"correlation": 0.6}, **columns)
    assert math.isclose(y, one("SMD", correlation=0.6, **columns)[0], rel_tol=CLOSED)
    assert "correlation 0.6 of the two measurements assumed" in made.assumptions


def test_counts_of_pairs_are_no_two_groups():
    assert "estimate: is missing" in fault("OR", design="crossover", events_t=5, n_t=20, events_c=9, n_c=20)
    assert one("OR", design="crossover", estimate=0.5, ci_low=0.3, ci_high=0.9)[0] == math.log(0.5)


def test_a_design_of_another_word_is_ours_only_where_it_speaks_of_pairs_or_clusters():
    arms = {"mean_t": 10.0, "sd_t": 4.0, "mean_c": 12.0, "sd_c": 5.0, "n_t": 24, "n_c": 24}
    assert one("MD", design="pilot RCT", **arms)[:2] == one("MD", **arms)[:2]
    assert "design: is not one of parallel, crossover, paired, cluster" in fault("MD", design="matched pairs", **arms)


# -- conversions -------------------------------------------------------------------------------------------------------


def test_odds_ratios_and_differences_as_metafor():
    cells = {"events_t": INPUT["a"], "events_c": INPUT["c"]}
    cells |= {"n_t": [a + b for a, b in zip(INPUT["a"], INPUT["b"], strict=True)]}
    cells |= {"n_c": [a + b for a, b in zip(INPUT["c"], INPUT["d2"], strict=True)]}
    found = rows("SMD", estimate_measure="OR", **cells)
    assert np.allclose(found.y, REFERENCE["or2dl"]["y"], rtol=CLOSED)
    assert np.allclose(found.se**2, REFERENCE["or2dl"]["v"], rtol=CLOSED)
    assert "d = log(OR) sqrt(3)/pi" in found.ledger[0].formula
    assert any("logistic" in text for text in found.ledger[0].assumptions)
    # printed with its interval instead
    y, se = np.array(REFERENCE["or"]["y"]), np.sqrt(REFERENCE["or"]["v"])
    z = stats.norm.isf(0.025)
    ends = {"ci_low": list(np.exp(y - z * se)), "ci_high": list(np.exp(y + z * se))}
    printed = rows("SMD", estimate_measure="OR", estimate=list(np.exp(y)), **ends)
    assert np.allclose(printed.y, REFERENCE["or2dl"]["y"], rtol=QUANTILE)
    assert np.allclose(printed.se**2, REFERENCE["or2dl"]["v"], rtol=QUANTILE)
    # and back; escalc's D2ORL starts from d without J and the variance of d
    n = np.array(INPUT["n"])
    d = (np.array(INPUT["m1"]) - INPUT["m2"]) / np.sqrt((np.array(INPUT["s1"]) ** 2 + np.array(INPUT["s2"]) ** 2) / 2)
    back = rows("OR", estimate_measure="d", estimate=list(d), se=list(np.sqrt(2 / n + d**2 / (4 * n))))
    assert np.allclose(back.y, REFERENCE["d2orl"]["y"], rtol=CLOSED)
    assert np.allclose(back.se**2, REFERENCE["d2orl"]["v"], rtol=CLOSED)


def test_correlations_and_differences_by_borenstein():
    """Chapter 7: d = 2r/sqrt(1 - r^2), V_d = 4 V_r/(1 - r^2)^3; r = d/sqrt(d^2 + a), V_r = a^2 V_d/(d^2 + a)^3."""
    r, se_r = 0.5, 0.07
    se_z = se_r / (1 - r * r)
    made = bm.smd_from_correlation_z(math.atanh(r), se_z)
    assert math.isclose(made.y[0], 2 * r / math.sqrt(1 - r * r), rel_tol=CLOSED)
    assert math.isclose(made.se[0] ** 2, 4 * se_r**2 / (1 - r * r) ** 3, rel_tol=CLOSED)
    # the book's example: r = 0.50, V_r = 0.0058 gives d = 1.1547, V_d = 0.0550
    assert abs(made.y[0] - 1.1547) < 5e-5
    assert abs(4 * 0.0058 / 0.75**3 - 0.0550) < 5e-5
    d, se, n_t, n_c = 0.8, 0.3, 20, 30
    a = (n_t + n_c) ** 2 / (n_t * n_c)
    back = bm.correlation_z_from_smd(d, se, n_t, n_c)
    found = math.tanh(back.y[0])
    assert math.isclose(found, d / math.sqrt(d * d + a), rel_tol=CLOSED)
    assert math.isclose((back.se[0] * (1 - found**2)) ** 2, a * a * se * se / (d * d + a) ** 3, rel_tol=CLOSED)
    # without sizes a is 4, and there and back is the same
    assert math.isclose(bm.correlation_z_from_smd(made.y, made.se).y[0], math.atanh(r), rel_tol=CLOSED)
    # in a table
    y, se, made_row = one("SMD", estimate=0.5, n=50, estimate_measure="r")
    assert math.isclose(y, 2 * 0.5 / math.sqrt(0.75), rel_tol=CLOSED)
    assert math.isclose(se, 2 * math.cosh(math.atanh(0.5)) / math.sqrt(47), rel_tol=CLOSED)
    assert "converted from the correlation (ZCOR) that the trial reports" in made_row.assumptions


def test_a_correlation_reaches_an_odds_ratio_through_d():
    y, _, made = one("OR", estimate=0.3, n=50, estimate_measure="r")
    assert math.isclose(y, 2 * 0.3 / math.sqrt(1 - 0.09) * math.pi / math.sqrt(3), rel_tol=CLOSED)
    assert "d = 2 r/sqrt(1 - r^2)" in made.formula
    assert "log(OR) = d pi/sqrt(3)" in made.formula


def test_what_cannot_be_converted_is_a_fault_that_lists_what_can():
    text = fault("SMD", estimate=0.8, ci_low=0.6, ci_high=1.1, estimate_measure="HR")
    assert "estimate_measure: is not one of d, g, r, SMD, OR, ZCOR" in text
    own = one("SMD", estimate=0.8, se=0.2, estimate_measure="SMD")
    assert own[:2] == (0.8, 0.2)


# -- the SD of one arm -------------------------------------------------------------------------------------------------

ONE_SD = {"n_t": 20, "mean_t": 10.0, "sd_t": 4.0, "n_c": 22, "mean_c": 12.0}


@pytest.mark.parametrize("measure", ["MD", "SMD", "SMDH", "ROM"])
def test_the_sd_of_one_arm_stands_for_both_only_where_that_is_declared(measure):
    assert "sd_c: is missing" in fault(measure, **ONE_SD)
    y, se, made = one(measure, {"sd_of_one_arm": "other"}, **ONE_SD)
    assert (y, se) == one(measure, sd_c=4.0, **ONE_SD)[:2]
    assert "SD of the control arm not reported: that of the treated arm assumed" in made.assumptions


# -- columns that contradict each other --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"estimate": 1.0, "se": 0.1, "ci_low": -5.0, "ci_high": 6.0}, "contradicts se"),
        ({"estimate": 1.0, "se": 0.1, "var": 0.5}, "contradicts var"),
        ({"md": 1.0, "se": 0.1, "ci_low": -5.0, "ci_high": 6.0}, "contradicts se"),
        (
            {"mean_t": 1.0, "sd_t": 4.0, "se_t": 4.0, "n_t": 25, "mean_c": 0.0, "sd_c": 4.0, "n_c": 25},
            "contradicts se_t",
        ),
    ],
)
def test_gross_contradictions_are_faults(columns, text):
    assert text in fault("MD", **columns)


@pytest.mark.parametrize(
    ("measure", "columns", "text"),
    [
        ("MD", {"estimate": 1.0, "se": 0.50, "ci_low": -0.5, "ci_high": 2.5}, "ci_low, ci_high and se contradict"),
        ("MD", {"estimate": 1.0, "se": 0.25, "p": 0.3}, "se and p contradict"),
        ("MD", {"estimate": 1.0, "se": 0.25, "t": 2.01}, "se and t contradict"),
        ("OR", {"estimate": 0.5, "ci_low": 0.25, "ci_high": 1.0, "p": 0.5}, "ci_low, ci_high and p contradict"),
        (
            "MD",
            {"mean_t": 1.0, "sd_t": 4.0, "se_t": 1.21, "n_t": 25, "mean_c": 0.0, "sd_c": 4.0, "n_c": 25},
            "sd_t and se_t contradict",
        ),
        (
            "MD",
            {"mean_t": 1.2, "sd_t": 4.0, "n_t": 25, "mean_c": 0.1, "sd_c": 4.0, "n_c": 25, "md": 1.5},
            "md is not mean_t - mean_c",
        ),
    ],
)
def test_contradictions_beyond_rounding_are_told_aloud_and_in_the_ledger(measure, columns, text):
    found = rows(measure, **{name: [x] for name, x in columns.items()})
    assert not found.faults
    said = [said for said, _ in found.warnings if text in said]
    assert said, found.warnings
    assert said[0] in found.ledger[0].assumptions


@pytest.mark.parametrize(
    ("measure", "columns"),
    [
        # rounded to the decimals that papers print
        ("MD", {"estimate": 1.04, "se": 0.26, "ci_low": 0.5, "ci_high": 1.6, "p": "<0.001"}),
        ("OR", {"estimate": 0.79, "ci_low": 0.55, "ci_high": 1.15, "p": 0.22}),
        # a t interval of 20 people
        ("MD", {"md": 2.0, "se": 1.0, "ci_low": -0.1, "ci_high": 4.1, "n_t": 10, "n_c": 10}),
        ("MD", {"mean_t": 1.0, "sd_t": 4.1, "se_t": 0.8, "n_t": 25, "mean_c": 0.0, "sd_c": 4.0, "n_c": 25, "md": 1.04}),
    ],
)
def test_what_agrees_within_rounding_is_not_warned_of(measure, columns):
    found = rows(measure, **{name: [x] for name, x in columns.items()})
    assert not found.faults
    assert not [text for text, _ in found.warnings if "contradict" in text or "md is not" in text], found.warnings


@pytest.mark.parametrize(
    "columns",
    [
        {"correlation": 0.5},
        {"r_squared": 0.5},
        {"covariates": 1},
        {"sd_residual": 3.0},
    ],
)
def test_a_column_that_a_design_needs_is_never_ignored_in_silence(columns):
    arms = {"mean_t": 10.0, "sd_t": 4.0, "mean_c": 12.0, "sd_c": 5.0, "n_t": 24, "n_c": 24}
    found = rows("MD", **{name: [x] for name, x in (arms | columns).items()})
    name = next(iter(columns))
    assert [text for text, _ in found.warnings] == [f"{name} is given, and nothing was computed with it"]
    assert found.warnings[0][0] in found.ledger[0].assumptions


def test_functions_refuse_what_they_cannot_use():
    for call, text in (
        (lambda: bm.smd_from_d(0.5, 1, 20), "is less than 2"),
        (lambda: bm.smd_from_t(np.nan, 20, 20), "not a finite number"),
        (lambda: bm.smd_from_raw_sd(1, 1, 0, 20), "0 is not > 0"),
        (lambda: bm.smd_from_raw_sd(1, 1, 1, 1), "is not above 1"),
        (lambda: bm.smd_from_ancova(2, 1.0, 20, 20, 37), r"not in \[0, 1\)"),
        (lambda: bm.smd_from_paired_t(2, 20, 1), "not between -1 and 1"),
        (lambda: bm.smd_from_log_odds_ratio(1, 0), "0 is not > 0"),
        (lambda: bm.correlation_z_from_smd(1, -1), "-1 is not > 0"),
    ):
        with pytest.raises(DataError, match=text):
            call()
