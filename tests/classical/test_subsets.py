"""All subsets of trials against gosh of R metafor 3.8.1 (tests/reference/influence_metafor.R)."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bayesmeta.classical import Subsets, gosh, gosh_summary, gosh_table, log_likelihood, moments, pool, rows_of
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from references import effects_of, reference

# metafor was made to iterate to 1e-13 in tau2, and leaves a tau2 of zero at up to that
ITERATED = 1e-6
CLOSED = 1e-9
FLOOR = 1e-9
ROUNDING = 1e-10

R = reference("influence_metafor")["subsets"]
SETS = {"eight_schools": "eight_schools", "bcg_first_8": "bcg_rr"}
METHODS = ("EE", "DL", "REML", "ML")


def eight(name: str) -> Effects:
    return effects_of(SETS[name]).subset(np.arange(8))


def simple(y, se, **options) -> Effects:
    return Effects([f"trial {i}" for i in range(len(y))], y, se, measure="generic", **options)


def by_number(found: Subsets) -> np.ndarray:
    """Position of each subset among all, whatever the order within a size."""
    return found.member @ (1 << np.arange(found.member.shape[1]))


def test_the_reference_holds_every_subset():
    for name in SETS:
        assert set(R[name]) == set(METHODS)
        for case in R[name].values():
            assert sorted(case["member"]) == list(range(1, 256))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SETS)
def test_every_subset_of_eight(name, method):
    """The same 255 subsets as metafor, one of at least one trial each.

    metafor calls tau2 and I2 of one estimate zero; here they are nan. Its Fisher scoring for ML stopped at the lower of
    two maxima once (BCG trials 2, 3, 6, 7): -2.494 at tau2 = 0 against -2.362 at 0.0801. For REML it did not converge
    for one pair of the eight schools, and gives no number.
    """
    found = gosh(eight(name), method=method)
    theirs = R[name][method]
    order = np.argsort(by_number(found))
    expected = {key: np.array(values, float)[np.argsort(theirs["member"])] for key, values in theirs.items()}
    rel = CLOSED if method in ("EE", "DL") else ITERATED
    assert found.exhaustive
    assert found.k[order].tolist() == expected["k"].tolist()
    several, solved = expected["k"] > 1, np.isfinite(expected["estimate"])
    assert (~solved).sum() == ((name, method) == ("eight_schools", "REML"))
    if (name, method) == ("bcg_first_8", "ML"):
        lower_maximum = int(np.flatnonzero(np.sort(theirs["member"]) == 2 + 4 + 32 + 64)[0])
        effects = eight(name).subset([1, 2, 5, 6])
        rows = rows_of(effects.y, effects.se)
        ours = found.tau[order][lower_maximum] ** 2
        heights = log_likelihood(rows, moments(rows, [ours, expected["tau2"][lower_maximum]]), restricted=False)
        assert heights[0] > heights[1] + 0.1
        solved[lower_maximum] = False
    assert found.estimate[order][solved] == pytest.approx(expected["estimate"][solved], rel=rel, abs=FLOOR)
    assert found.q[order][solved] == pytest.approx(expected["q"][solved], rel=CLOSED, abs=FLOOR)
    several &= solved
    assert found.tau[order][several] ** 2 == pytest.approx(expected["tau2"][several], rel=rel, abs=FLOOR)
    assert found.i2[order][several] == pytest.approx(expected["i2"][several], rel=rel, abs=FLOOR)
    assert np.isnan(found.tau[found.k == 1]).all()


def test_sizes_ascend_and_the_table_names_members():
    effects = eight("eight_schools")
    found = gosh(effects)
    assert (np.diff(found.k) >= 0).all()
    table = found.table()
    assert len(table) == 255
    assert table.subset.iloc[-1] == "1" * 8
    assert table.note[table.k == 1].str.contains("one estimate").all()
    assert set(table.note[table.k > 1]) == {""}
    whole = pool(effects)
    assert table.estimate.iloc[-1] == pytest.approx(whole.estimate, rel=ROUNDING)
    assert table.h2.iloc[-1] == pytest.approx(whole.h2, rel=ROUNDING)
    assert not found.member.flags.writeable
    assert gosh_table(effects).equals(table)


def test_summary_is_the_definition():
    """Medians over subsets with and without each trial, from R's own numbers."""
    found = gosh(eight("bcg_first_8"))
    theirs = R["bcg_first_8"]["REML"]
    member = (np.array(theirs["member"])[:, None] >> np.arange(8) & 1).astype(bool)
    estimate, i2, k = (np.array(theirs[key], float) for key in ("estimate", "i2", "k"))
    table = gosh_summary(found, null=-0.5)
    for trial in range(8):
        for name, which in (("with", member[:, trial]), ("without", ~member[:, trial])):
            assert table[f"{name}_subsets"][trial] == which.sum()
            assert table[f"{name}_estimate"][trial] == pytest.approx(np.median(estimate[which]), rel=ITERATED)
            assert table[f"{name}_below_null"][trial] == pytest.approx((estimate[which] < -0.5).mean(), abs=1e-12)
            assert table[f"{name}_i2"][trial] == pytest.approx(np.median(i2[which & (k > 1)]), rel=ITERATED, abs=FLOOR)
    assert (table.difference == table.with_estimate - table.without_estimate).all()


def test_a_sample_is_seeded_distinct_and_said():
    effects = effects_of("raudenbush_smd")
    found = gosh(effects, method="DL", max_subsets=5000, seed=7)
    again = gosh(effects, method="DL", max_subsets=5000, seed=7)
    other = gosh(effects, method="DL", max_subsets=5000, seed=8)
    assert not found.exhaustive
    assert found.seed == 7
    assert found.total == 2**19 - 1
    assert len(np.unique(by_number(found))) == 5000
    assert (found.estimate == again.estimate).all()
    assert not np.array_equal(by_number(found), by_number(other))
    assert "5000 of 524287 subsets, seed 7" in found.notes[0]
    assert "seed 7" in gosh_table(effects, method="DL", max_subsets=5000, seed=7).attrs["note"]
    # each trial is in with probability one half: 5000 draws have a standard deviation of 0.7 %
    assert found.member.mean(axis=0) == pytest.approx(np.full(19, 0.5), abs=0.035)
    # when most are wanted they are drawn without repetition all the same
    most = gosh(effects, method="EE", max_subsets=400_000)
    assert len(np.unique(by_number(most))) == 400_000


def test_more_trials_than_bits():
    rng = np.random.default_rng(1)
    found = gosh(simple(rng.normal(size=80), rng.uniform(0.1, 0.4, 80)), method="DL", max_subsets=300)
    assert found.member.shape == (300, 80)
    assert len(np.unique(np.packbits(found.member, axis=1), axis=0)) == 300
    assert np.isfinite(found.estimate).all()


def test_trials_that_share_patients_are_in_or_out_together():
    effects = Effects(
        ["A", "A", "B", "C"],
        [0.1, 0.4, 0.9, -0.2],
        [0.2, 0.2, 0.3, 0.25],
        measure="SMD",
        blocks=[([0, 1], [[0.04, 0.02], [0.02, 0.04]])],
    )
    found = gosh(effects)
    assert found.trials == ("A", "B", "C")
    assert len(found.k) == 7
    for member, estimate, tau in zip(found.member, found.estimate, found.tau, strict=True):
        rows = np.isin(effects.study, np.array(found.trials)[member])
        if rows.sum() > 1:
            fit = pool(effects.subset(rows))
            assert estimate == pytest.approx(fit.estimate, rel=ROUNDING)
            assert tau**2 == pytest.approx(fit.tau2, rel=1e-9, abs=1e-12)
        else:
            assert estimate == effects.y[rows][0]


def test_degenerate_subsets():
    equal = gosh(simple([0.3] * 4, [0.1, 0.2, 0.1, 0.3]))
    assert equal.estimate == pytest.approx(np.full(15, 0.3), rel=ROUNDING)
    assert set(equal.tau[equal.k > 1]) == {0.0}
    assert equal.q == pytest.approx(np.zeros(15), abs=1e-12)
    y, se = np.array([0.3, 0.1, 0.9, 0.5]), np.array([1e-6, 0.2, 0.3, 0.2])
    small, large, mirrored = (gosh(simple(f * y, abs(f) * se)) for f in (1.0, 1e3, -1.0))
    assert large.estimate == pytest.approx(1e3 * small.estimate, rel=1e-9)
    assert large.tau == pytest.approx(1e3 * small.tau, rel=1e-7, nan_ok=True)
    assert mirrored.estimate == pytest.approx(-small.estimate, rel=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        two = gosh(simple([0.3, 0.5], [0.1, 0.1]))
    assert two.estimate == pytest.approx([0.3, 0.5, 0.4])


def test_what_is_refused():
    with pytest.raises(ModelError, match="at least two trials"):
        gosh(simple([0.3], [0.1]))
    with pytest.raises(ModelError, match="Allowed: EE"):
        gosh(simple([0.3, 0.2], [0.1, 0.1]), method="XX")
    with pytest.raises(ModelError, match="at least 1"):
        gosh(simple([0.3, 0.2], [0.1, 0.1]), max_subsets=0)
    table = gosh_table(simple([0.3], [0.1]))
    assert not len(table)
    assert "at least two trials" in table.attrs["note"]
