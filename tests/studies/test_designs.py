"""Designs from file to effects: clusters, crossover, unknown and unused columns, p in words, directions.

Authorities: the Cochrane Handbook 23.1.4 (design effects), metafor's escalc on counts divided by the design effect
(tests/reference/sizes_metafor.R), closed forms written out here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.errors import BayesmetaWarning, DataError
from bayesmeta.forensics import examine_reading
from bayesmeta.measures import design_effect, designs_of, effect_rows
from bayesmeta.numerics import rule
from bayesmeta.protocol import read_protocol
from bayesmeta.studies import Reading, effect_sizes, possible_measures, read_csv_effects, read_outcome, with_unread

CLOSED = 1e-12  # two roundings of one closed form
PRINTED = 0.0005  # half a unit in the third decimal

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "sizes_metafor.json").read_text(encoding="utf-8"))
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


def faults(tmp_path: Path, table: str, text: str) -> str:
    with pytest.raises(DataError) as caught:
        reading(tmp_path, table, text)
    return str(caught.value)


# -- clusters ----------------------------------------------------------------------------------------------------------

COUNTS = {"study": ["A"], "events_t": [63], "n_t": [295], "events_c": [84], "n_c": [330]}


def test_the_design_effect_of_the_handbook():
    # 23.1.4: ICC 0.02 and clusters of 29.8 people: 1 + 28.8 * 0.02
    assert math.isclose(design_effect(29.8, 0.02)[0], 1.576, rel_tol=CLOSED)


@pytest.mark.parametrize(
    ("measure", "before", "after"),
    [("OR", (0.795, 0.548, 1.154), (0.795, 0.498, 1.270)), ("RR", (0.839, 0.630, 1.117), (0.839, 0.586, 1.202))],
)
@pytest.mark.parametrize("columns", [{"icc": [0.02], "cluster_size": [29.8]}, {"design_effect": [1.576]}])
def test_a_trial_of_clusters(measure, before, after, columns):
    z = stats.norm.isf(0.025)
    for more, expected in (({}, before), (columns, after)):
        effects = effect_sizes(pd.DataFrame({**COUNTS, **more}), measure)
        y, se = effects.y[0], effects.se[0]
        for x, printed in zip((y, y - z * se, y + z * se), expected, strict=True):
            assert abs(math.exp(x) - printed) < PRINTED
        # people who took part, not effective ones
        assert effects.n.tolist() == [[295, 330]]
        assert effects.participants == 625
    # metafor, of counts divided by the design effect: the same estimate and variance
    assert math.isclose(y, REFERENCE["deff"][measure]["y"], rel_tol=CLOSED)
    assert math.isclose(se**2, REFERENCE["deff"][measure]["v"], rel_tol=CLOSED)


ARMS = {
    "n_t": [40, 30],
    "mean_t": [10.0, 9.0],
    "sd_t": [4.0, 5.0],
    "n_c": [38, 30],
    "mean_c": [12.0, 9.5],
    "sd_c": [4.5, 5.0],
}


@pytest.mark.parametrize(
    ("measure", "columns"),
    [
        ("MD", ARMS),
        ("SMD", ARMS),
        ("SMDH", ARMS),
        ("ROM", ARMS),
        ("SMD", {"d": [0.3, -0.4], "n_t": [40, 30], "n_c": [38, 30]}),
        ("OR", {"events_t": [9, 3], "n_t": [40, 30], "events_c": [12, 4], "n_c": [38, 30]}),
        ("RD", {"events_t": [9, 3], "n_t": [40, 30], "events_c": [12, 4], "n_c": [38, 30]}),
        ("ZCOR", {"r": [0.3, 0.2], "n": [40, 30]}),
        (
            "HR",
            {"estimate": [0.8, 0.7], "ci_low": [0.6, 0.5], "ci_high": [1.0667, 0.98], "clustering": ["ignored"] * 2},
        ),
        ("generic", {"estimate": [0.8, 0.7], "se": [0.2, 0.1], "clustering": ["ignored"] * 2}),
    ],
)
def test_for_every_measure_the_standard_error_alone_grows(measure, columns):
    frame = pd.DataFrame(columns)
    plain = effect_rows(frame, measure)
    made = effect_rows(frame.assign(icc=[0.05, np.nan], cluster_size=[11, np.nan]), measure)
    assert not made.faults
    assert made.y.tolist() == plain.y.tolist()
    assert np.allclose(made.se / plain.se, [math.sqrt(1.5), 1], rtol=CLOSED)
    assert made.ledger[0].raw["icc"] == 0.05
    assert "sqrt(design effect)" in made.ledger[0].formula
    assert "design effect" not in made.ledger[1].formula


def test_clusters_in_one_arm_alone_weigh_by_its_variance():
    """Classes of 10 against people alone: Var = deff sd^2/n_t + sd^2/n_c."""
    frame = pd.DataFrame({name: x[:1] for name, x in ARMS.items()}).assign(sd_c=4.0)
    made = effect_rows(frame.assign(icc=0.05, cluster_size_t=10, cluster_size_c=1), "MD")
    assert math.isclose(made.se[0] ** 2, 1.45 * 16 / 40 + 16 / 38, rel_tol=CLOSED)
    assert not made.warnings


def test_results_that_allow_for_clusters_are_left_alone_and_those_that_say_nothing_are_asked():
    printed = pd.DataFrame({"md": [2.0], "se": [1.0], "icc": [0.05], "cluster_size": [11]})
    assert effect_rows(printed.assign(clustering="adjusted"), "MD").se[0] == 1.0
    assert math.isclose(effect_rows(printed.assign(clustering="ignored"), "MD").se[0], math.sqrt(1.5), rel_tol=CLOSED)
    (fault,) = effect_rows(printed, "MD").faults
    assert (fault.column, fault.remedy[:28]) == ("clustering", 'Say clustering = "adjusted" ')
    (fault,) = effect_rows(printed.assign(clustering="yes"), "MD").faults
    assert fault.rule == "is not one of adjusted, ignored"
    # the standard error of an arm's mean is printed too
    arms = pd.DataFrame({"n_t": [40], "mean_t": [10.0], "se_t": [0.6], "n_c": [38], "mean_c": [12.0], "sd_c": [4.5]})
    (fault,) = effect_rows(arms.assign(design_effect=1.5), "MD").faults
    assert fault.column == "clustering"
    # an SD cannot be had from a statistic that allows for clusters
    statistic = pd.DataFrame({"t": [2.0], "n_t": [40], "n_c": [38], "clustering": ["adjusted"]})
    (fault,) = effect_rows(statistic, "SMD").faults
    assert fault.rule == "gives no standard deviation where it allows for clusters"


@pytest.mark.parametrize(
    ("columns", "column"),
    [
        ({"design": "cluster"}, "cluster_size"),
        ({"cluster_size": 11}, "icc"),
        ({"icc": 0.05}, "cluster_size"),
        ({"design_effect": 0.8}, "design_effect"),
        ({"icc": 1.5, "cluster_size": 11}, "icc"),
    ],
)
def test_what_a_trial_of_clusters_lacks_is_a_fault(columns, column):
    made = effect_rows(pd.DataFrame({name: x[:1] for name, x in ARMS.items()}).assign(**columns), "MD")
    assert [fault.column for fault in made.faults] == [column]


def test_two_comparisons_of_clusters_share_an_arm():
    """Their covariance grows by the design effect as their variances do, so that the correlation stays."""
    frame = pd.DataFrame({"study": ["A", "A"], "arm_t": ["x", "y"], "arm_c": ["c", "c"], **ARMS})
    frame = frame.assign(n_c=38, mean_c=12.0, sd_c=4.5)
    for measure in ("MD", "SMD", "ROM"):
        plain = effect_sizes(frame, measure).covariance()
        made = effect_sizes(frame.assign(icc=0.05, cluster_size=11), measure).covariance()
        assert np.allclose(made, 1.5 * plain, rtol=CLOSED)
        apart = effect_sizes(frame.assign(icc=0.05, cluster_size=[11, 21]), measure).covariance()
        assert math.isclose(apart[0, 1], math.sqrt(1.5 * 2) * plain[0, 1], rel_tol=CLOSED)
    # the classical estimate sees the same matrix: of two estimates with one deff the weights stay, the SE grows
    assert plain[0, 1] > 0


def test_adjusted_comparisons_share_what_the_covariates_leave_of_an_arm():
    """SE^2 = (1 - R^2)(1/n_t + 1/n_c) SD^2 in each row: the covariance of the shared arm is (1 - R^2) SD^2/n_c."""
    sd, n, left = 8.0, 30, 0.64
    se = sd * math.sqrt(left * 2 / n)
    frame = pd.DataFrame({"study": ["A", "A"], "arm_t": ["x", "y"], "arm_c": ["c", "c"], "sd_t": sd, "sd_c": sd})
    frame = frame.assign(adjusted_difference=[-1e-9, 1e-9], se=se, n_t=n, n_c=n)
    for measure, unit in (("MD", sd), ("SMD", 1.0)):
        found = effect_sizes(frame, measure).covariance()
        assert math.isclose(found[0, 1], left * unit**2 / n, rel_tol=1e-6)  # g is 1e-10, not 0
        assert math.isclose(found[0, 1] / found[0, 0], 0.5, rel_tol=1e-6)


def test_the_binomial_likelihood_refuses_clusters(tmp_path):
    table = "study,events_t,n_t,events_c,n_c,icc,cluster_size\nA,63,295,84,330,0.02,29.8\nB,5,40,5,42,,\n"
    text = 'measure = "OR"\n'
    assert reading(tmp_path, table, text).effects.counts is None
    found = faults(tmp_path, table, text + 'likelihood = "binomial"\npriors.baseline = "normal(0, 1.5)"\n')
    assert "row 2: the binomial likelihood is of independent people" in found
    assert "row 3" not in found


CLUSTERED = "study,n_t,mean_t,sd_t,n_c,mean_c,sd_c,icc,cluster_size\nA,40,10,4,38,12,4.5,,11\nB,30,9,5,30,9.5,5,,\n"


def test_an_icc_that_nobody_reported_is_stated_varied_or_has_a_prior(tmp_path):
    text = 'measure = "SMD"\nbetter = "lower"\n'
    found = faults(tmp_path, CLUSTERED, text)
    assert "row 2, column icc: the cell is empty" in found
    assert "measure_options.icc or priors.derived.icc" in found
    plain = effect_sizes(pd.read_csv(tmp_path / "t.csv").drop(columns=["icc", "cluster_size"]), "SMD").se
    made = reading(tmp_path, CLUSTERED, text + "measure_options.icc = 0.05\n").effects
    assert np.allclose(made.se, plain * [math.sqrt(1.5), 1], rtol=CLOSED)
    assert any("ICC 0.05 assumed" in item for item in made.ledger[0].assumptions)
    made = reading(tmp_path, CLUSTERED, text + 'priors.derived.icc = "uniform(0, 0.1)"\n')
    table = made.effects.tabulated["icc"]
    assert (table.low, table.high, table.rows.tolist()) == (0.0, 0.1, [True, False])
    nodes = 0.1 * (rule(17)[0] + 1) / 2
    assert np.allclose(table.se[0], plain[0] * np.sqrt(1 + 10 * nodes), rtol=CLOSED)
    assert (table.scale == 0).all()
    # where one number is needed the median of the prior stands
    assert math.isclose(made.effects.se[0], plain[0] * math.sqrt(1.5), rel_tol=CLOSED)
    assert any("1 of 2 rows were derived with an ICC" in item.evidence for item in made.findings)


def test_a_sensitivity_analysis_may_vary_the_icc(tmp_path):
    (tmp_path / "t.csv").write_text(CLUSTERED, encoding="utf-8")
    text = HEAD + 'measure = "SMD"\nbetter = "lower"\nmeasure_options.icc = 0.02\n'
    text += '[[sensitivity]]\nname = "larger ICC"\nreason = "r"\nmeasure_options.icc = 0.1\n'
    path = tmp_path / "p.toml"
    path.write_text(text, encoding="utf-8")
    protocol = read_protocol(path)
    (changed,) = protocol.sensitivities_of("x")
    assert changed.outcomes["x"].selection.measure_options["icc"] == 0.1


def test_a_prior_of_the_icc_is_proper(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text(HEAD + 'measure = "SMD"\npriors.derived.icc = "flat()"\n', encoding="utf-8")
    with pytest.raises(bm.ProtocolError, match=r"derived\.icc: .*improper.*an intracluster correlation"):
        read_protocol(path)


# -- crossover ---------------------------------------------------------------------------------------------------------

CROSSED = "study,design,n,mean_t,sd_t,mean_c,sd_c,correlation\nA,crossover,25,10,4,12,5,\nB,crossover,17,9,4,11,4,0.6\n"


def test_people_of_a_crossover_count_once_and_its_correlation_may_have_a_prior(tmp_path):
    text = 'measure = "SMD"\nbetter = "lower"\n'
    assert "row 2, column correlation: the cell is empty" in faults(tmp_path, CROSSED, text)
    made = reading(tmp_path, CROSSED, text + 'priors.derived.correlation = "uniform(0.2, 0.8)"\n').effects
    assert made.participants == 42
    table = made.tabulated["correlation"]
    assert table.rows.tolist() == [True, False]
    r = 0.2 + 0.6 * (rule(17)[0] + 1) / 2
    sd, df = math.sqrt(41 / 2), 48 / (1 + r**2)
    g = -2 / sd * np.array([math.exp(math.lgamma(x / 2) - math.lgamma((x - 1) / 2)) / math.sqrt(x / 2) for x in df])
    assert np.allclose(table.y[0], g, rtol=CLOSED)
    assert np.allclose(table.se[0] ** 2, (41 - 40 * r) / 25 / sd**2 + g**2 / (2 * df), rtol=CLOSED)
    # the factor J of the SD moves with r: the density of what was observed, the difference, has its change
    assert np.allclose(table.scale[0], np.log(g / g[0]), atol=1e-9)  # a difference quotient of a linear function
    assert (table.scale[1] == 0).all()


# -- p in words, signs, directions -------------------------------------------------------------------------------------


def test_p_in_words_from_a_file(tmp_path):
    table = "study;n_t;n_c;p;sign\nA;20;22;< 0,001;-\nB;30;28;0,03;+\nC;30;28;p = 0,2;+\n"
    with pytest.warns(BayesmetaWarning, match=r'1 of 3 rows \(A\): "p <" is read as "p ="'):
        made = reading(tmp_path, table, 'measure = "SMD"\n')
    t = stats.t.isf(np.array([0.001, 0.03, 0.2]) / 2, [40, 56, 56]) * [-1, 1, 1]
    expected = effect_sizes(
        pd.DataFrame({"study": list("ABC"), "t": t, "n_t": [20, 30, 30], "n_c": [22, 28, 28]}), "SMD"
    )
    assert np.allclose(made.effects.y, expected.y, rtol=1e-9)  # a quantile there and back
    assert any('"p <" is read as "p ="' in item.evidence for item in made.findings)
    found = faults(tmp_path, table.replace("0,03", "NS").replace("p = 0,2", "> 0,05"), 'measure = "SMD"\n')
    assert "row 3, column p: 'NS' gives no standard error" in found
    assert "row 4, column p: '> 0,05' gives no standard error" in found


@pytest.mark.parametrize(
    "columns",
    [
        {"d": [0.4]},
        {"g": [0.4]},
        {"t": [2.0]},
        {"f": [4.0], "sign": ["+"]},
        {"p": ["0.03"], "sign": ["positive"]},
        {"adjusted_difference": [2.0], "se": [1.0], "sd": [5.0]},
        {"adjusted_difference": [2.0], "ci_low": [0.1], "ci_high": [3.9], "sd": [5.0]},
        {"md": [2.0], "p": [0.03]},
        {
            "mean_change_t": [3.0],
            "ci_low_change_t": [2.0],
            "ci_high_change_t": [4.0],
            "mean_change_c": [1.0],
            "sd_change_c": [2.0],
        },
    ],
)
def test_a_row_coded_in_the_other_direction_changes_its_sign(columns):
    frame = pd.DataFrame({"study": ["A"], "n_t": [20], "n_c": [22], **columns})
    plain = effect_sizes(frame.assign(coded_better="higher"), "SMD", better="higher")
    turned = effect_sizes(frame.assign(coded_better="lower"), "SMD", better="higher")
    assert math.isclose(turned.y[0], -plain.y[0], rel_tol=CLOSED)
    assert math.isclose(turned.se[0], plain.se[0], rel_tol=CLOSED)


def test_an_odds_ratio_in_an_smd_cannot_be_turned_by_a_sign():
    frame = pd.DataFrame(
        {"study": ["A"], "estimate": [0.5], "ci_low": [0.3], "ci_high": [0.8333], "estimate_measure": ["OR"]}
    )
    with pytest.raises(DataError, match="an odds ratio cannot be reversed by a sign"):
        effect_sizes(frame.assign(coded_better="lower"), "SMD", better="higher")


# -- columns -----------------------------------------------------------------------------------------------------------


def test_columns_that_nothing_reads_are_listed_once_and_known_ones_are_warned_of(tmp_path):
    table = "study,n_t,mean_t,sd_t,n_c,mean_c,sd_c,events_t,funding\nA,40,10,4,38,12,4.5,9,x\nB,30,9,5,30,9.5,5,3,y\n"
    with pytest.warns(BayesmetaWarning, match="events_t: known columns that SMD is not computed from"):
        made = reading(tmp_path, table, 'measure = "SMD"\n')
    assert made.unread == ("funding",)
    found = with_unread({"x": made, "y": made})
    assert ["funding" in item.evidence for item in found["x"].findings if item.rule == "columns not read"] == [True]
    assert not [item for item in found["y"].findings if item.rule == "columns not read"]
    assert with_unread({}) == {}


@pytest.mark.parametrize(
    ("columns", "measures"),
    [
        ("d n_t n_c", ("SMD",)),
        ("g n_t n_c", ("SMD",)),
        ("t n_t n_c", ("SMD",)),
        ("p sign n_t n_c", ("SMD",)),
        ("f sign n_t n_c", ("SMD",)),
        ("p n_t n_c", ()),
        ("adjusted_difference se", ("MD",)),
        ("adjusted_difference se sd n_t n_c", ("MD", "SMD")),
        ("md ci_low ci_high", ("MD",)),
        ("design n mean_t sd_t mean_c sd_c", ("MD", "SMD")),
    ],
)
def test_possible_measures_know_what_papers_print(columns, measures):
    assert possible_measures(pd.DataFrame(columns=["study", *columns.split()])) == measures


def test_the_fault_of_a_table_without_columns_lists_the_new_ways():
    with pytest.raises(DataError, match=r"d n_t n_c.*design = crossover") as caught:
        effect_sizes(pd.DataFrame({"study": ["A"], "n_t": [20], "n_c": [20]}), "SMD")
    assert "r_squared" in str(caught.value)


def test_the_interval_of_an_odds_ratio_in_an_smd_is_judged_on_the_log_scale(tmp_path):
    table = "study,estimate,ci_low,ci_high,estimate_measure\nA,0.612,0.307,1.220,OR\nB,-0.3,-0.7,0.1,\n"
    made = reading(tmp_path, table, 'measure = "SMD"\n')
    assert not [item for item in examine_reading(made) if item.rule == "interval v estimate"]
    wrong = reading(tmp_path, table.replace("1.220,OR", "0.713,OR"), 'measure = "SMD"\n')
    assert [item for item in examine_reading(wrong) if item.rule == "interval v estimate"]


@pytest.mark.parametrize(
    ("word", "design"),
    [
        ("crossover", "crossover"),
        ("Cross-over randomised trial", "crossover"),
        ("randomized crossover", "crossover"),
        ("cluster randomised controlled trial", "cluster"),
        ("Cluster-RCT", "cluster"),
        ("parallel groups", "parallel"),
        ("RCT", ""),
        ("two-arm pilot RCT", ""),
        ("non-randomised", ""),
        ("", ""),
    ],
)
def test_words_of_a_design_that_say_which_it_is(word, design):
    words, faults = designs_of(pd.DataFrame({"design": [word]}))
    assert faults == []
    assert words[0] == design


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        *(
            ("crosover", "crossover"),
            ("x-over", None),
            ("pared", "paired"),
            ("clustr", "cluster"),
            ("paralel", "parallel"),
        ),
        *(("matched pairs", None), ("stepped wedge", None), ("n-of-1", None), ("cluster crossover", None)),
    ],
)
def test_a_word_that_is_no_design_is_a_fault_with_the_nearest(tmp_path, word, nearest):
    path = tmp_path / "trials.csv"
    path.write_text(f"study,design,n,mean_t,sd_t,mean_c,sd_c,correlation,n_t,n_c\nA,{word},25,10,4,12,5,0.5,12,13\n")
    with pytest.raises(DataError) as caught:
        read_csv_effects(path, "SMD")
    (line,) = str(caught.value).splitlines()
    assert line.startswith(
        f"trials.csv row 2, column design: {word!r} is not one of parallel, crossover, paired, cluster"
    )
    assert (f"Did you mean {nearest}?" in line) == (nearest is not None)


MEANS = "study,n_t,mean_t,sd_t,n_c,mean_c,sd_c"


def test_sizes_that_are_not_whole_are_effective_sizes_of_means_and_said(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(f"{MEANS}\nA,31,10,4,15.5,12,5\nB,40,10,4,38,12,5\n")
    with pytest.warns(BayesmetaWarning, match=r"1 of 2 rows \(A\): n_c is not a whole number: read as an effective"):
        made = read_csv_effects(path, "MD")
    assert made.se[0] == pytest.approx(math.sqrt(16 / 31 + 25 / 15.5), rel=CLOSED)
    assert any("n_c is not a whole number" in text for text in made.ledger[0].assumptions)
    assert not any("whole" in text for text in made.ledger[1].assumptions)


def test_sizes_that_are_not_whole_beside_a_design_effect_count_clusters_twice(tmp_path):
    path = tmp_path / "trials.csv"
    path.write_text(f"{MEANS},icc,cluster_size\nA,30.5,10,4,31,12,5,0.02,20\nB,40,10,4,38,12,5,,\n")
    with pytest.raises(
        DataError, match=r"row 2, column n_t: 30\.5 is not a whole number, and a design effect is applied"
    ):
        read_csv_effects(path, "MD")


@pytest.mark.parametrize(("measure", "column"), [("OR", "n_t"), ("RR", "n_c"), ("RD", "n_t"), ("PLO", "n")])
def test_sizes_of_counts_are_whole(measure, column):
    rows = {"events_t": [4, 5], "n_t": [30, 31], "events_c": [6, 7], "n_c": [33, 35], "events": [4, 5], "n": [30, 31]}
    rows[column][1] += 0.5
    (fault,) = effect_rows(pd.DataFrame(rows), measure).faults
    assert (fault.row, fault.column, fault.rule) == (1, column, "is not a whole number")
