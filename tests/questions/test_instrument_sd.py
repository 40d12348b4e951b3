"""Reference SDs from the arms of a table.

Authorities: the pooled SD and its standard error in closed form; REML of log SDs by maximising the restricted
likelihood with scipy; the density of chi squared for the bias and the variance of a log SD; the shipped tables.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import bayesmeta as bm
from bayesmeta.errors import ModelError
from bayesmeta.questions.instrument_sd import reference_sd

ROOT = Path(__file__).parents[2]
# the same closed form in another order
CLOSED = 1e-12
# two maximisers of one likelihood, which is flat at its top: half the digits of the likelihood itself
MAXIMUM = 1e-5

TABLE = pd.DataFrame(
    {
        "study": ["A", "B", "C", "D"],
        "n_t": [30, 41, 25, 60],
        "sd_t": [9.0, 11.0, 14.0, 8.0],
        "mean_t": [30.0, 31.0, 32.0, 33.0],
        "n_c": [30, 41, 27, 58],
        "sd_c": [10.0, 12.0, 13.0, 7.5],
        "mean_c": [29.0, 28.0, 27.0, 26.0],
    }
)


def by_hand(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Degrees of freedom and pooled variance of each row."""
    f = (table["n_t"] + table["n_c"] - 2).to_numpy(float)
    squares = (table["n_t"] - 1) * table["sd_t"] ** 2 + (table["n_c"] - 1) * table["sd_c"] ** 2
    return f, squares.to_numpy(float) / f


def test_the_pooled_sd_is_the_root_of_the_mean_variance() -> None:
    found, (f, variance) = reference_sd(TABLE), by_hand(TABLE)
    assert found.sd == pytest.approx(math.sqrt(f @ variance / f.sum()), rel=CLOSED)
    assert (found.df, found.arms, found.trials) == (int(f.sum()), 8, ("A", "B", "C", "D"))


def test_one_trial_has_the_sampling_error_alone() -> None:
    found = reference_sd(TABLE.iloc[:1])
    assert found.se == pytest.approx(found.sd / math.sqrt(2 * 58), rel=CLOSED)
    assert found.between == 0
    assert found.amount.sdlog == pytest.approx(1 / math.sqrt(2 * 58), rel=CLOSED)


def test_the_variation_between_trials_is_reml_of_log_sds() -> None:
    found, (f, variance) = reference_sd(TABLE), by_hand(TABLE)
    y = 0.5 * np.log(variance) - 0.5 * (special.digamma(f / 2) - np.log(f / 2))
    v = special.polygamma(1, f / 2) / 4

    def loss(tau2: float) -> float:
        w = 1 / (v + tau2)
        mean = w @ y / w.sum()
        return 0.5 * (np.sum(np.log(v + tau2)) + math.log(w.sum()) + w @ (y - mean) ** 2)

    tau2 = optimize.minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-12}).x
    assert found.between == pytest.approx(math.sqrt(tau2), rel=MAXIMUM)
    weight = f / f.sum()
    assert found.se == pytest.approx(found.sd * math.sqrt(weight**2 @ (tau2 + 1 / (2 * f))), rel=MAXIMUM)
    assert found.amount.meanlog == pytest.approx(math.log(found.sd), rel=CLOSED)
    assert found.amount.sdlog == pytest.approx(math.sqrt((found.se / found.sd) ** 2 + tau2), rel=MAXIMUM)


def test_bias_and_variance_of_a_log_sd() -> None:
    """The moments of a log chi-squared by its own density."""
    f = 12.0
    density = stats.chi2(f)
    mean = density.expect(lambda x: 0.5 * np.log(x / f))
    second = density.expect(lambda x: (0.5 * np.log(x / f)) ** 2)
    assert mean == pytest.approx(0.5 * (special.digamma(f / 2) - math.log(f / 2)), abs=1e-8)
    assert second - mean**2 == pytest.approx(special.polygamma(1, f / 2) / 4, abs=1e-8)


def test_equal_sds_leave_no_variation() -> None:
    table = TABLE.assign(sd_t=10.0, sd_c=10.0)
    found = reference_sd(table)
    assert found.between == 0
    # 1 / (2 sum f) on the log scale
    assert found.se == pytest.approx(10 / math.sqrt(2 * found.df), rel=CLOSED)


def test_an_arm_of_several_rows_counts_once() -> None:
    again = pd.concat([TABLE, TABLE.iloc[:1].assign(n_t=28, sd_t=9.5, mean_t=31.0, mean_c=-29.0)])
    found = reference_sd(again)
    assert found.arms == 9
    # without means nobody can tell: equal arms stay two
    bare = TABLE.iloc[:1].assign(sd_c=9.0).drop(columns=["mean_t", "mean_c"])
    assert reference_sd(bare).arms == 2


def test_changes_and_derived_sds_are_left_out_and_named() -> None:
    table = TABLE.assign(score=["final", "change", "baseline", "final"], sd_from=["reported"] * 3 + ["derived"])
    found = reference_sd(table)
    assert found.trials == ("A", "C")
    assert found.left_out == ("B: score change", "D: sd_from derived")


def test_refusals() -> None:
    with pytest.raises(ModelError, match="lacks the column sd_c"):
        reference_sd(TABLE.drop(columns="sd_c"))
    with pytest.raises(ModelError, match="lacks the column instrument"):
        reference_sd(TABLE, "FACIT-Fatigue")
    with pytest.raises(ModelError, match="Did you mean FACIT-Fatigue"):
        reference_sd(TABLE.assign(instrument="FACIT-Fatigue"), "FACIT-Fatige")
    with pytest.raises(ModelError, match=r"no arm is left for a reference SD \(A: score change"):
        reference_sd(TABLE.iloc[:1].assign(score="change"))
    with pytest.raises(ModelError, match="A: n 1, SD 9"):
        reference_sd(TABLE.iloc[:1].assign(n_t=1))


# -- what ships --------------------------------------------------------------------------------------------------------


def shipped() -> pd.DataFrame:
    trials, known = (pd.read_csv(ROOT / f"data/cancer_exercise_{name}.csv") for name in ("trials", "instruments"))
    rows = trials[trials["comparator"] == "no exercise"].merge(known, on=["study", "outcome", "horizon"])
    assert set(zip(known["study"], known["outcome"], strict=True)) == set(
        zip(rows["study"], rows["outcome"], strict=True)
    )
    return rows


OUTCOMES = {
    "fatigue": "FACIT-Fatigue",
    "qol": "EORTC QLQ-C30 global health status",
    "depression": "HADS-D",
    "anxiety": "HADS-A",
}


@pytest.mark.parametrize(("outcome", "instrument"), OUTCOMES.items())
def test_the_cancer_protocol_states_the_sds_of_its_table(outcome: str, instrument: str) -> None:
    found = reference_sd(shipped(), instrument)
    asked = bm.read_protocol(ROOT / "models/cancer_exercise.toml")
    for horizon in ("short", "medium", "long"):
        unit = asked.outcomes[f"{outcome}_{horizon}"].decision.natural_unit
        assert unit is not None
        assert unit.name == instrument
        # written to three decimals
        assert unit.sd.meanlog == pytest.approx(found.amount.meanlog, abs=5e-4)
        assert unit.sd.sdlog == pytest.approx(found.amount.sdlog, abs=6e-4)
        assert f"{found.arms} arms of {len(found.trials)} trials" in unit.sd_source
        assert unit.mid == bm.minimal_difference(instrument).threshold


@pytest.mark.parametrize("instrument", OUTCOMES.values())
def test_scores_lie_on_the_scale_and_remembered_rows_change_little(instrument: str) -> None:
    rows = shipped().query("instrument == @instrument")
    low, high = bm.minimal_difference(instrument).scale
    means = rows[["mean_t", "mean_c"]].abs().to_numpy()
    assert (means > low).all()
    assert (means < high).all()
    # the SD from rows whose instrument was read lies where all rows say that SDs lie, and the other way round
    every, read = reference_sd(rows), reference_sd(rows[rows["standing"] == "abstract"])
    for one, other in ((every, read), (read, every)):
        assert 0.025 < float(one.amount.cdf(other.sd)) < 0.975
