"""p-curves: published results of R dmetar, the corrected half curve of the p-curve app, closed forms; modified SEs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

import bayesmeta as bm
from bayesmeta import bias
from bayesmeta.classical import egger_test, p_curve, selection_model
from references import effects_of

FloatArray = NDArray[np.float64]
# printed with three decimals
PRINTED = 6e-4
#: Third-wave psychotherapies for perceived stress, Harrer et al. 2021, Doing Meta-Analysis with R, chapter 9.
G = [0.7091362, 0.3548641, 1.7911700, 0.1824552, 0.4218509, 0.6300000, 0.7248838, 0.5286638, 0.2840000]
G += [1.2750682, 0.1036082, 0.3883906, 0.5407398, 0.4261593, 0.5153969, 1.4797260, 0.6125782, 0.6]
SE = [0.2608202, 0.1963624, 0.3455692, 0.1177874, 0.1448128, 0.1960000, 0.2246641, 0.2104609, 0.1680000]
SE += [0.3371997, 0.1947275, 0.2307689, 0.2443133, 0.2579379, 0.3512737, 0.3152817, 0.2266834, 0.2490000]
THIRD_WAVE = bm.Effects([f"trial {i}" for i in range(18)], G, SE, measure="SMD", better="higher")


def test_published_results() -> None:
    """`dmetar::pcurve`, chapter 9.2.2: 11 of 18 below 0.05, 10 below 0.025; power 84 % (62.7 to 94.6)."""
    found = p_curve(THIRD_WAVE)
    assert (found.k, found.k_full, found.k_half) == (18, 11, 10)
    assert found.right_z == pytest.approx(-5.943, abs=PRINTED)
    assert found.right_half_z == pytest.approx(-4.982, abs=PRINTED)
    assert found.right_binomial_p == pytest.approx(0.006, abs=PRINTED)
    assert found.flat_z == pytest.approx(3.260, abs=PRINTED)
    assert found.flat_p == pytest.approx(0.999, abs=PRINTED)
    assert found.flat_binomial_p == pytest.approx(0.975, abs=PRINTED)
    assert found.power == pytest.approx(0.84, abs=0.005)
    assert [found.power_lower, found.power_upper] == pytest.approx([0.627, 0.946], abs=PRINTED)
    assert found.evidential
    assert not found.inadequate


def test_the_half_curve_is_conditional_once() -> None:
    """dmetar prints 5.158: it divides by P(p < .025 | p < .05), as the app did until 4.1 of 2024, which says so."""
    z = np.abs(np.array(G) / np.array(SE))
    on = z[2 * stats.norm.sf(z) < 0.025] ** 2
    ncp = optimize.brentq(lambda ncp: stats.ncx2.sf(stats.chi2.isf(0.05, 1), 1, ncp) - 1 / 3, 0.1, 9.0)
    below, share = stats.ncx2.cdf(on, 1, ncp), stats.ncx2.sf(stats.chi2.isf(0.025, 1), 1, ncp)

    def stouffer(total: float) -> float:
        pp = (below - (1 - total)) / total
        return float(stats.norm.ppf(np.clip(pp, 2.2e-16, 1 - 2.2e-16)).sum() / np.sqrt(on.size))

    assert stouffer(3 * share) == pytest.approx(5.158, abs=PRINTED)
    assert p_curve(THIRD_WAVE).flat_half_z == pytest.approx(stouffer(share), rel=1e-9)


def test_power_is_that_at_which_the_sum_is_zero() -> None:
    found = p_curve(THIRD_WAVE)
    z = np.abs(np.array(G) / np.array(SE))
    on = z[2 * stats.norm.sf(z) < 0.05]
    grid = np.linspace(0.5, 5.0, 4501)
    power = stats.ncx2.sf(stats.chi2.isf(0.05, 1), 1, grid**2)
    above = stats.ncx2.sf(on[:, None] ** 2, 1, grid**2) / power
    total = stats.norm.ppf(above).sum(axis=0) / np.sqrt(on.size)
    assert found.power == pytest.approx(float(np.interp(0.0, total, power)), abs=1e-5)
    assert found.power_lower == pytest.approx(float(np.interp(stats.norm.ppf(0.05), total, power)), abs=1e-5)


def test_directions_and_limits() -> None:
    turned = dataclasses.replace(THIRD_WAVE, y=-THIRD_WAVE.y, better="lower")
    assert p_curve(turned).right_z == p_curve(THIRD_WAVE).right_z
    against = p_curve(THIRD_WAVE, alternative="less")
    assert against.k_full == 0
    assert against.power is None
    assert "11 significant in the other direction" in "; ".join(against.notes)
    flat = bm.Effects([*"abcd"], np.array([1.97, 1.98, 2.0, 2.1]) * 0.1, [0.1] * 4, measure="SMD")
    found = p_curve(flat)
    assert found.power == 0.05
    assert found.k_half == 0
    assert found.right_half_z is None
    assert found.inadequate
    assert not found.evidential
    assert found.right_binomial_p == 1.0
    # all of eight below 0.025 by chance: one in 256
    high = bm.Effects([*"abcdefgh"], [0.9] * 8, [0.1] * 8, measure="SMD")
    assert p_curve(high).right_binomial_p == pytest.approx(1 / 256)
    assert p_curve(high).power == 0.99


def test_uniform_p_values_are_no_evidence() -> None:
    """Under no effect p / 0.05 is uniform: quantiles at (i - 1/2) / n sum to zero by symmetry."""
    p = 0.05 * (np.arange(20) + 0.5) / 20
    rows = bm.Effects([f"{i}" for i in range(20)], stats.norm.isf(p / 2), np.ones(20), measure="SMD")
    assert p_curve(rows).right_z == pytest.approx(0.0, abs=1e-9)


# -- Egger's test with the modified standard error ---------------------------------------------------------------------


def test_egger_with_the_modified_standard_error() -> None:
    """Pustejovsky & Rodgers 2019, as ``metabias(method.bias = "Pustejovsky")``: weights 1 / se^2."""
    n = np.array([[20, 25], [40, 35], [60, 70], [15, 12], [100, 90]])
    y, se = np.array([0.5, 0.3, 0.2, 0.9, 0.15]), np.array([0.3, 0.23, 0.18, 0.4, 0.15])
    rows = bm.Effects([*"abcde"], y, se, measure="SMD", n=n)
    found = egger_test(rows, predictor="modified_se")
    x = np.sqrt(1 / n[:, 0] + 1 / n[:, 1])
    (slope, intercept), cov = np.polyfit(x, y, 1, w=1 / se, cov=True)
    assert found.estimate == pytest.approx(slope, rel=1e-10)
    assert found.limit == pytest.approx(intercept, rel=1e-10)
    assert found.se == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-10)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(slope) / np.sqrt(cov[0, 0]), 3), rel=1e-9)


# -- one table ---------------------------------------------------------------------------------------------------------


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index(["method", "form"])


def test_companions_side_by_side() -> None:
    n = np.full((18, 2), 40)
    effects = dataclasses.replace(THIRD_WAVE, n=n)
    table = bias.bias_companions_table(effects)
    assert not table.duplicated(["method", "form", "kind"]).any()
    found = table.set_index(["method", "form", "kind"])
    fit = selection_model(effects)
    as_found = found.loc[("selection model", "one step at .025", "adjusted estimate")]
    bounded = found.loc[("selection model", "one step at .025, weight at most 1", "adjusted estimate")]
    assert [as_found["estimate"], as_found["lower"]] == [fit.estimate, fit.lower]
    assert [bounded["estimate"], bounded["upper"]] == [fit.bounded_estimate, fit.bounded_upper]
    curve = p_curve(effects)
    assert found.loc[("p-curve", "right skew, full curve", "evidence"), "stat"] == curve.right_z
    assert found.loc[("p-curve", "average power", "power"), "upper"] == curve.power_upper
    # every size is the same: not defined, and it says why
    modified = found.loc[("Egger", "weighted, modified SE", "test")]
    assert np.isnan(modified["p"])
    assert "same in every trial" in modified["note"]
    assert not {"Begg", "fail-safe N", "Peters", "Harbord"} & set(table["method"])


def test_companions_of_counts() -> None:
    table = bias.bias_companions_table(dataclasses.replace(effects_of("bcg_rr", better="lower"), counts=COUNTS))
    methods = set(table["method"])
    assert {"Peters", "Harbord", "trim and fill", "PET-PEESE", "limit meta-analysis", "p-curve"} <= methods
    assert not table["form"].str.contains("modified").any()
    assert table.loc[table["method"] == "Peters", "p"].notna().all()


#: Thirteen trials of BCG: events and people with and without the vaccine.
COUNTS = np.array(
    [
        *([4, 123, 11, 139], [6, 306, 29, 303], [3, 231, 11, 220], [62, 13598, 248, 12867], [33, 5069, 47, 5808]),
        *([180, 1541, 372, 1451], [8, 2545, 10, 629], [505, 88391, 499, 88391], [29, 7499, 45, 7277]),
        *([17, 1716, 65, 1665], [186, 50634, 141, 27338], [5, 2498, 3, 2341], [27, 16913, 29, 17854]),
    ]
)


def test_what_is_refused() -> None:
    with pytest.raises(bm.ModelError, match="null"):
        bias.bias_companions_table(bm.Effects([*"abc"], [1.0, 2.0, 3.0], [0.1] * 3, measure="MN"))
    with pytest.raises(bm.ModelError, match="Allowed"):
        p_curve(THIRD_WAVE, alternative="up")  # type: ignore[arg-type]
