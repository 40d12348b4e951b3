"""Numbers and faults at the edges of what other tests hold: found by mistakes that were planted and not noticed.

Expected values are by hand, with quantiles of SciPy.
"""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy import stats

from bayesmeta import effect_sizes
from bayesmeta import measures as bm
from bayesmeta.errors import DataError

CLOSED = 1e-12
QUANTILE = 1e-10


def rows(measure: str, options: dict | None = None, **columns: list) -> bm.EffectRows:
    return bm.effect_rows(pd.DataFrame(columns), measure, options=options)


def faults(found: bm.EffectRows) -> list[tuple[int, str]]:
    return [(fault.row, fault.column) for fault in found.faults]


def test_a_p_value_of_pairs_has_one_degree_of_freedom_less_than_pairs() -> None:
    found = rows("MD", design=["crossover"], md=[-2.0], p=[0.03], n=[9])
    assert found.se[0] == pytest.approx(2 / stats.t.ppf(1 - 0.03 / 2, 8), rel=QUANTILE)


def test_degrees_of_freedom_below_one_are_taken_as_they_are() -> None:
    """Those of Satterthwaite may be."""
    assert bm.se_from_ci(-1, 1, 0.95, 0.5)[0] == pytest.approx(1 / stats.t.ppf(0.975, 0.5), rel=QUANTILE)


@pytest.mark.parametrize("printed", [{"t": [2.0]}, {"f": [4.0], "sign": [1]}, {"p": [0.04], "sign": [1]}])
def test_a_statistic_with_no_degrees_of_freedom_is_a_fault(printed: dict[str, list[float]]) -> None:
    found = rows("SMD", **printed, df=[0.0], n_t=[10], n_c=[10])
    assert faults(found) == [(0, "df")]
    assert "is not > 0" in found.faults[0].rule


def test_one_degree_of_freedom_of_an_analysis_of_covariance_is_a_fault() -> None:
    """The SD of a g needs two: J is zero at one."""
    with pytest.raises(DataError, match="is not above 1"):
        bm.smd_from_ancova(2.0, 0.5, 2, 2, df=1.0)


@pytest.mark.parametrize("estimate", [0.6, 0.9])
def test_an_estimate_at_an_end_of_its_interval_is_a_fault(estimate: float) -> None:
    assert faults(rows("MD", estimate=[estimate], ci_low=[0.6], ci_high=[0.9])) == [(0, "estimate")]


def test_a_rate_without_events_is_a_fault_where_nothing_is_added() -> None:
    found = rows(
        "IRR", {"zero": "none"}, events_t=[0, 1, 3], time_t=[10.0] * 3, events_c=[1, 2, 0], time_c=[10.0] * 3
    )  # fmt: skip
    assert faults(found) == [(0, "events_t"), (2, "events_c")]
    # log(1/2), and the root of 1/1 + 1/2
    assert (found.y[1], found.se[1]) == pytest.approx((-math.log(2), math.sqrt(1.5)), rel=CLOSED)


def test_numbers_whose_squares_vanish_are_a_fault() -> None:
    found = rows("MD", mean_t=[0.0], sd_t=[1e-200], n_t=[10], mean_c=[0.0], sd_c=[1e-200], n_c=[10])
    assert faults(found) == [(0, "MD")]
    assert math.isnan(found.se[0])


def test_the_ledger_names_the_means_that_were_used() -> None:
    """One mean of the follow-up, without the other arm's, makes no difference; both means of the changes do."""
    found = rows("MD", mean_t=[5.0], mean_change_t=[2.0], mean_change_c=[1.0], se=[0.5])
    assert found.y[0] == 1.0
    assert {"mean_change_t", "mean_change_c"} <= set(found.ledger[0].raw)
    assert "mean_t" not in found.ledger[0].raw


def test_an_empty_row_lacks_what_the_other_rows_have() -> None:
    nothing = math.nan
    found = rows("MD", estimate=[0.5, nothing], se=[0.1, nothing], n_t=[9.0, 9.0], n_c=[9.0, 9.0])
    assert faults(found) == [(1, "estimate"), (1, "se")]


def test_a_ratio_is_compared_with_its_interval_on_the_log_scale_in_a_table_of_several_measures() -> None:
    """(log 0.9 - log 0.3) / 3.92 = 0.28; on the natural scale it would be 0.15."""
    table = {"estimate": [0.5, -0.4], "estimate_measure": ["OR", "SMD"], "se": [0.28, 0.3]}
    found = rows("OR", **table, ci_low=[0.3, math.nan], ci_high=[0.9, math.nan])
    assert not found.faults
    assert not [text for text, at in found.warnings if at[0]]
    other = rows("OR", **{**table, "se": [0.05, 0.3]}, ci_low=[0.3, math.nan], ci_high=[0.9, math.nan])
    assert other.faults or any(at[0] for _, at in other.warnings)


@pytest.mark.parametrize("name", ["OR", "RR", "HR", "ROM", "MD", "SMD", "RD", "PLO", "IRLN", "MN"])
def test_ratios_are_measures_that_compare_by_dividing(name: str) -> None:
    """Of one arm, as with the logarithm of its rate, there is nothing to be a ratio to."""
    assert bm.measure(name).ratio is (name in {"OR", "RR", "HR", "ROM"})


def test_a_difference_of_changes_says_so_beside_a_single_final_mean() -> None:
    """-2 less -0.5, as the changes are, and not the one final mean less nothing."""
    row = {"study": ["A"], "mean_t": [5.0], "mean_change_t": [-2.0], "mean_change_c": [-0.5], "se": [0.4]}
    effects = effect_sizes(pd.DataFrame(row | {"n_t": [30], "n_c": [30]}), "MD")
    assert effects.y[0] == pytest.approx(-1.5)
    assert effects.ledger is not None
    assert "mean_change_t - mean_change_c" in str(effects.ledger[0])
    assert "mean_t - mean_c" not in str(effects.ledger[0])
