"""What trials did not report: imputed moderators, correlations, standard deviations, counts; rows of several times.

Authorities: closed forms written out here (Hedges' g, Morris 2008 eq. 8 and 25 as `bayesmeta.measures.smd_change`
prints them, the Cochrane Handbook's variance of a mean change); Kronecker products of stated correlations.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesmeta.errors import BayesmetaWarning, DataError
from bayesmeta.measures import mean_change_difference, smd_change
from bayesmeta.numerics import rule
from bayesmeta.protocol import read_protocol
from bayesmeta.studies import Reading, effect_sizes, read_outcome

# two roundings of the same closed form
CLOSED = 1e-12

HEAD = """schema = 2
title = "T"
[data]
path = "t.csv"
[outcome.x]
label = "X"
priors.mu = "normal(0, 1)"
priors.tau = "halfnormal(0.5)"
"""


def reading(tmp_path: Path, table: str, text: str) -> Reading:
    (tmp_path / "t.csv").write_text(table, encoding="utf-8")
    path = tmp_path / "p.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return read_outcome(read_protocol(path), "x")


def faults(tmp_path: Path, table: str, text: str) -> list[str]:
    with pytest.raises(DataError) as caught:
        reading(tmp_path, table, text)
    return str(caught.value).splitlines()


# -- moderators --------------------------------------------------------------------------------------------------------

MODERATED = """study,estimate,se,weeks,type
A,0.1,0.1,4,a
B,0.2,0.1,,b
C,0.3,0.1,8,
D,0.3,0.1,12,a
"""
IMPUTE = 'measure = "SMD"\nmoderators = ["weeks", "type"]\nmissing = "impute"\n'
WEEKS = 'impute.weeks = { family = "lognormal", mean = "normal(2, 1)", sd = "halfnormal(1)" }\n'
TYPE = "impute.type = { concentration = 1.0 }\n"


def test_imputed_moderators_stay_missing_and_the_model_says_where_they_come_from(tmp_path):
    made = reading(tmp_path, MODERATED, IMPUTE + WEEKS + TYPE)
    effects = made.effects
    assert [item.evidence.split(":")[0] for item in made.findings if item.rule == "moderator imputed"] == [
        "weeks is not stated by B",
        "type is not stated by C",
    ]
    assert np.isnan(effects.moderators["weeks"]).tolist() == [False, True, False, False]
    assert effects.moderators["type"].tolist() == ["a", "b", None, "a"]
    outcome = read_protocol(tmp_path / "p.toml").outcomes["x"]
    assert set(outcome.model.on(effects).missing) == {"weeks", "type"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            IMPUTE + TYPE,
            "column weeks: 1 of 4 cells are empty, and nothing says what they are drawn from. Write "
            '[outcome.x.impute.weeks] with family = "normal" (or "lognormal"), mean = "normal(8, ...)"',
        ),
        (IMPUTE + WEEKS, "Write [outcome.x.impute.type] with concentration = 1.0"),
        (IMPUTE + TYPE + "impute.weeks = { concentration = 1.0 }\n", "its population is categorical, but the"),
        (IMPUTE + WEEKS + "impute.type = { shift = { z = 1.0 } }\n", "impute.type.shift: there is no level 'z'"),
        (IMPUTE.replace("impute", "fault"), '"impute" to draw moderators from a stated population'),
    ],
)
def test_faults_of_imputed_moderators_say_what_to_write(tmp_path, text, expected):
    found = faults(tmp_path, MODERATED, text)
    assert any(expected in line for line in found), found


def test_a_log_normal_moderator_is_positive(tmp_path):
    found = faults(tmp_path, MODERATED.replace("0.3,0.1,8", "0.3,0.1,0"), IMPUTE + WEEKS + TYPE)
    assert any("row 4, column weeks: 0 is not > 0" in line for line in found), found


# -- correlations ------------------------------------------------------------------------------------------------------

CHANGES = """study,n_t,mean_pre_t,sd_pre_t,mean_post_t,sd_post_t,n_c,mean_pre_c,sd_pre_c,mean_post_c,sd_post_c,\
correlation,coded_better
A,20,30.6,15,38.5,11.6,20,23.1,13.8,19.7,14.8,,higher
B,30,12,4,10,5,28,12.5,4.2,12,4.4,0.6,lower
"""
PREPOST = ("mean_pre_t", "mean_post_t", "sd_pre_t", "n_t", "mean_pre_c", "mean_post_c", "sd_pre_c", "n_c")


@pytest.mark.parametrize("measure", ["SMD", "MD"])
def test_estimates_are_tabulated_over_a_correlation_that_nobody_reported(tmp_path, measure):
    text = f'measure = "{measure}"\nbetter = "lower"\npriors.derived.correlation = "uniform(0, 1)"\n'
    made = reading(tmp_path, CHANGES, text)
    table = made.effects.tabulated["correlation"]
    assert (table.low, table.high, table.rows.tolist()) == (0.0, 0.99, [True, False])
    row = pd.read_csv(tmp_path / "t.csv").iloc[0]
    for node, y, se in zip(0.99 * (rule(17)[0] + 1) / 2, table.y[0], table.se[0], strict=True):
        if measure == "SMD":
            expected = smd_change(*(row[name] for name in PREPOST), node)
        else:
            arms = [row[f"{n}_{arm}"] for arm in "tc" for n in ("mean_pre", "sd_pre", "mean_post", "sd_post", "n")]
            expected = mean_change_difference(*arms, node)
        # the row is coded the other way: turned before anything is computed
        assert math.isclose(y, -expected.y[0], rel_tol=CLOSED)
        assert math.isclose(se, expected.se[0], rel_tol=CLOSED)
    # where one number is needed the median of the prior stands, and the ledger says so
    assert np.allclose(made.effects.se, table.se[:, 8], rtol=CLOSED)
    assert any("correlation 0.495" in text for text in made.effects.ledger[0].assumptions)
    assert "1 of 2 rows were derived with a correlation" in made.findings[0].evidence


def test_a_stated_correlation_is_where_estimates_stand(tmp_path):
    text = 'measure = "MD"\nbetter = "lower"\npriors.derived.correlation = "uniform(0, 1)"\n'
    made = reading(tmp_path, CHANGES, text + "measure_options.correlation = 0.7\n").effects
    plain = reading(tmp_path, CHANGES, 'measure = "MD"\nbetter = "lower"\nmeasure_options.correlation = 0.7\n').effects
    assert made.se.tolist() == plain.se.tolist()
    assert dict(plain.tabulated) == {}


def test_a_prior_of_a_correlation_that_no_row_needs_is_a_fault(tmp_path):
    text = 'measure = "MD"\nbetter = "lower"\npriors.derived.correlation = "uniform(0, 1)"\n'
    found = faults(tmp_path, CHANGES.replace("14.8,,", "14.8,0.5,"), text)
    assert "no row was derived with a correlation that is not in the table. Leave it out." in found[0]


# -- standard deviations -----------------------------------------------------------------------------------------------

SPREADS = """study,n_t,mean_t,sd_t,n_c,mean_c,sd_c,se_c,coded_better
A,20,10,4,22,12,5,,lower
B,30,8,,28,9,,,lower
C,16,-7,3,16,-9,,0.5,higher
"""
MISSING_SD = 'better = "lower"\npriors.missing_sd = { meanlog = "normal(1, 1)", sdlog = "halfnormal(0.5)" }\n'


@pytest.mark.parametrize("measure", ["SMD", "MD"])
def test_rows_without_a_standard_deviation_stand_at_the_geometric_mean(tmp_path, measure):
    with pytest.warns(BayesmetaWarning, match=r"1 of 3 rows \(B\): standard deviation not reported"):
        made = reading(tmp_path, SPREADS, f'measure = "{measure}"\n' + MISSING_SD)
    spreads, effects = made.effects.spreads, made.effects
    pooled = [math.sqrt((19 * 16 + 21 * 25) / 40), math.sqrt((15 * 9 + 15 * 4) / 30)]
    assert np.allclose(spreads.difference, [-2, -1, -2], rtol=CLOSED)
    assert np.allclose(spreads.sd[[0, 2]], pooled, rtol=CLOSED)
    assert np.isnan(spreads.sd[1])
    sd = math.sqrt(pooled[0] * pooled[1])
    base = 1 / 30 + 1 / 28
    if measure == "MD":
        assert math.isclose(effects.y[1], -1, rel_tol=CLOSED)
        assert math.isclose(effects.se[1], sd * math.sqrt(base), rel_tol=CLOSED)
    else:
        g = -math.exp(math.lgamma(28) - math.lgamma(27.5)) / math.sqrt(28) / sd
        assert math.isclose(effects.y[1], g, rel_tol=CLOSED)
        assert math.isclose(effects.se[1] ** 2, base + g * g / (2 * 58), rel_tol=CLOSED)
    assert f"{sd:.4g}, the geometric mean of the 2 stated ones" in effects.ledger[1].assumptions[0]
    assert not any("geometric mean" in text for text in effects.ledger[0].assumptions)
    assert made.table["sd_t"].isna().tolist() == [False, True, False]


def test_a_row_with_the_sd_of_one_arm_draws_its_own_or_takes_the_other(tmp_path):
    table = SPREADS.replace("8,,28,9,,", "8,3,28,9,,")
    with pytest.warns(BayesmetaWarning, match=r"1 of 3 rows \(B\): standard deviation not reported"):
        drawn = reading(tmp_path, table, 'measure = "MD"\n' + MISSING_SD).effects
    assert np.isnan(drawn.spreads.sd).tolist() == [False, True, False]
    declared = 'measure = "MD"\nbetter = "lower"\nmeasure_options.sd_of_one_arm = "other"\n'
    taken = reading(tmp_path, table, declared).effects
    assert math.isclose(taken.se[1], 3 * math.sqrt(1 / 30 + 1 / 28), rel_tol=CLOSED)
    found = faults(tmp_path, table, declared + MISSING_SD.partition("\n")[2])
    assert any("no row lacks its standard deviation" in line for line in found), found


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (SPREADS.replace("8,,28,9,,", "8,3,28,9,3,"), "no row lacks its standard deviation. Leave it out"),
        (SPREADS.replace("B,30,", "B,,"), "row 3: with priors.missing_sd a row is given by the means"),
        (
            SPREADS.replace("10,4,22,12,5,", "10,,22,12,,").replace("-7,3,16,-9,,0.5", "-7,,16,-9,,"),
            "no row states a standard deviation",
        ),
    ],
)
def test_faults_of_missing_standard_deviations(tmp_path, table, expected):
    found = faults(tmp_path, table, 'measure = "MD"\n' + MISSING_SD)
    assert any(expected in line for line in found), found


# -- counts ------------------------------------------------------------------------------------------------------------

COUNTS = "study,events_t,n_t,events_c,n_c,arm_t,arm_c\nA,3,30,8,31,x,c\nA,0,28,8,31,y,c\nB,5,40,5,42,x,c\n"
BINOMIAL = 'likelihood = "binomial"\npriors.baseline = "normal(0, 1.5)"\n'


@pytest.mark.parametrize("measure", ["OR", "RR", "RD"])
def test_counts_are_kept_as_they_are(tmp_path, measure):
    effects = reading(tmp_path, COUNTS, f'measure = "{measure}"\n' + BINOMIAL).effects
    assert effects.counts.tolist() == [[3, 30, 8, 31], [0, 28, 8, 31], [5, 40, 5, 42]]
    assert effects.arms[:2] == (("x", "c"), ("y", "c"))


def test_the_binomial_likelihood_needs_counts_in_every_row(tmp_path):
    table = "study,events_t,n_t,events_c,n_c,estimate,se\nA,3,30,8,31,,\nB,,40,5,42,0.1,0.2\n"
    options = 'measure = "OR"\nmeasure_options.scale = "log"\n'
    assert reading(tmp_path, table, options).effects.counts is None
    found = faults(tmp_path, table, options + BINOMIAL)
    assert found == [
        "t.csv row 3: the binomial likelihood needs counts, and events_t is empty. Give events and participants of "
        "both arms, exclude the row, or use the normal likelihood."
    ]


# -- rows of several times and arms ------------------------------------------------------------------------------------


def times(**columns: object) -> pd.DataFrame:
    """Two arms against one control at two times."""
    base = {
        "study": ["A"] * 4,
        "horizon": ["short", "short", "long", "long"],
        "arm_t": ["x", "y", "x", "y"],
        "arm_c": ["c"] * 4,
        "n_t": [30, 28, 30, 28],
        "mean_t": [10.0, 9.0, 11.0, 10.0],
        "sd_t": [4.0] * 4,
        "n_c": [31] * 4,
        "mean_c": [12.0, 12.0, 12.5, 12.5],
        "sd_c": [4.0] * 4,
    }
    return pd.DataFrame({**base, **columns})


@pytest.mark.parametrize("r", [0.2, 0.5, 0.8, 0.95])
def test_arms_and_times_multiply(r):
    effects = effect_sizes(times(), "MD", working_correlation=r)
    base = np.array([[16 / 30 + 16 / 31, 16 / 31], [16 / 31, 16 / 28 + 16 / 31]])
    assert np.allclose(effects.covariance(), np.kron([[1, r], [r, 1]], base), rtol=CLOSED)
    assert len(effects.blocks) == 1


def test_arms_and_times_multiply_for_smd():
    effects = effect_sizes(times(), "SMD", working_correlation=0.5)
    S, y = effects.covariance(), effects.y
    own = 1 / 31 + y[0] * y[3] * 31 / (2 * 61 * 59)
    assert math.isclose(S[0, 3], 0.5 * own, rel_tol=CLOSED)
    assert math.isclose(S[0, 2], 0.5 * effects.se[0] * effects.se[2], rel_tol=CLOSED)
    assert math.isclose(S[0, 1], 1 / 31 + y[0] * y[1] * 31 / (2 * 61 * 59), rel_tol=CLOSED)


def test_without_a_working_correlation_times_stay_apart():
    effects = effect_sizes(times(n_c=[31, 31, 25, 25]), "MD")
    assert [rows.tolist() for rows, _ in effects.blocks] == [[0, 1], [2, 3]]


def test_a_control_that_shrank_between_times_is_no_contradiction():
    effects = effect_sizes(times(n_c=[31, 31, 25, 25], mean_c=[12.0, 12.0, 14.0, 14.0]), "MD", working_correlation=0.5)
    assert math.isclose(effects.covariance()[0, 3], 0.5 * 16 / 28, rel_tol=CLOSED)


def test_rows_that_share_an_arm_at_two_times_without_its_numbers_get_both_correlations():
    table = pd.DataFrame(
        {
            "study": ["A", "A"],
            "horizon": ["s", "l"],
            "arm_t": ["x", "y"],
            "arm_c": ["c", "c"],
            "estimate": [0.1, 0.2],
            "se": [0.1, 0.2],
        }
    )
    S = effect_sizes(table, "MD", working_correlation=0.5).covariance()
    assert math.isclose(S[0, 1], 0.25 * 0.1 * 0.2, rel_tol=CLOSED)


def test_clusters_come_from_their_column_and_have_no_empty_cells(tmp_path):
    table = "study,team,estimate,se\nA,x,0.1,0.1\nB,x,0.2,0.1\nC,y,0.3,0.1\n"
    text = 'measure = "SMD"\ncluster = "team"\npriors.cluster_tau = "halfnormal(0.25)"\n'
    assert reading(tmp_path, table, text).effects.cluster == ("x", "x", "y")
    found = faults(tmp_path, table.replace("C,y", "C,"), text)
    assert found == ["t.csv row 4, column team: the cell is empty. Name the row's cluster."]
    assert "there is no column 'team'" in faults(tmp_path, table.replace("team", "group"), text)[0]
