"""GRADE support: values and rules, by hand from normal posteriors; it never rates.

Authorities: closed forms (a common effect under a flat prior is normal), the formulas of GRADE guidelines 6 and Core
GRADE 2 and 3 as the docstrings state them, and the library's own classical tests, which R has confirmed elsewhere.
"""

from __future__ import annotations

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.sensitivity import GRADE_COLUMNS, grade_table, sensitivity_analyses

NONE, ONE, TWO = "no reason to rate down", "consider one level", "consider two levels"
Z = stats.norm.ppf(0.975)


def common(y, se, *, better="lower", n=None, measure="SMD", tau=None, study=None):
    """A fit; with tau None the posterior of the mean is N(weighted mean, 1 / sum of weights)."""
    names = study or [f"T{i}" for i in range(len(y))]
    sizes = {} if n is None else {"n": n}
    effects = bm.Effects(names, y, se, measure=measure, better=better, **sizes)
    return bm.fit(effects, bm.Model(bm.Flat(), tau))


def half(better="lower", measure="SMD", benefit=0.5, worse=0.5):
    return bm.threshold(benefit, worse=worse, measure_name=measure, better=better)


def line(table, domain, item):
    found = table[(table["domain"] == domain) & table["item"].str.startswith(item)]
    assert len(found) == 1, table[["domain", "item"]]
    return found.iloc[0]


@pytest.mark.parametrize(
    ("centre", "spread", "crossed"),
    [(-0.9, 0.1, 0), (-0.2, 0.1, 0), (0.9, 0.1, 0), (-0.5, 0.1, 1), (0.45, 0.1, 1), (0.0, 0.3, 2), (-0.1, 0.35, 2)],
)
def test_imprecision_counts_the_thresholds_that_the_interval_crosses(centre, spread, crossed):
    assert crossed == sum(centre - Z * spread < mark < centre + Z * spread for mark in (-0.5, 0.5))
    for sign, better in ((1, "lower"), (-1, "higher")):
        fit = common([sign * centre] * 2, [spread * math.sqrt(2)] * 2, better=better)
        row = line(grade_table(fit, half(better)), "imprecision", "thresholds crossed by the 95 % credible")
        assert row["value"].startswith(f"{crossed} of 2")
        assert row["suggestion"] == (NONE, ONE, TWO)[crossed]


def test_a_ratio_is_shown_as_a_ratio():
    fit = common([math.log(0.6)] * 2, [0.1 * math.sqrt(2)] * 2, measure="OR")
    row = line(
        grade_table(fit, half(measure="OR", benefit=0.8, worse=1.25)), "imprecision", "thresholds crossed by the 95"
    )
    low, high = (math.exp(math.log(0.6) + sign * Z * 0.1) for sign in (-1, 1))
    assert row["value"] == f"0 of 2 ({low:.2f} to {high:.2f})"


@pytest.mark.parametrize(("people", "word"), [(126, NONE), (125, ONE), (63, ONE), (62, TWO)])
def test_information_size_is_that_of_one_adequate_trial(people, word):
    # two arms, SD 1, difference 0.5: N = 4 (z_0.975 + z_0.8)**2 / 0.25 = 125.6
    needed = 4 * (Z + stats.norm.ppf(0.8)) ** 2 / 0.25
    fit = common([-0.5, -0.4], [0.2, 0.2], n=[people - 10, 10])
    row = line(grade_table(fit, half()), "imprecision", "optimal information size")
    assert (
        row["value"] == f"{people} participants; {math.ceil(needed)} would detect 0.5 SD ({people / needed:.1f} times)"
    )
    assert row["suggestion"] == word


def test_inconsistency_looks_at_where_estimates_lie():
    cases = [
        ([-0.8, -0.6, -0.7, -0.9], "4 beyond the threshold of benefit, 0 between, 0 beyond that of harm", NONE),
        ([-0.8, -0.6, -0.1, 0.7], "2 beyond the threshold of benefit, 1 between, 1 beyond that of harm", TWO),
        ([-0.8] * 9 + [-0.1], "9 beyond the threshold of benefit, 1 between, 0 beyond that of harm", ONE),
    ]
    for y, value, word in cases:
        for sign, better in ((1, "lower"), (-1, "higher")):
            fit = common([sign * one for one in y], [0.1] * len(y), better=better)
            row = line(grade_table(fit, half(better)), "inconsistency", "where estimates lie")
            assert (row["value"], row["suggestion"]) == (value, word)


def test_overlap_is_counted_over_pairs():
    # intervals of +-0.196: A and B overlap, C overlaps none
    fit = common([-0.3, -0.2, 0.9], [0.1, 0.1, 0.1])
    assert line(grade_table(fit, half()), "inconsistency", "overlap")["value"] == "33 % of pairs"


def test_heterogeneity_is_set_against_the_threshold():
    prior = bm.HalfNormal(0.5)
    fit = common([-0.9, -0.1, -0.5, 0.3], [0.05] * 4, tau=prior)
    table = grade_table(fit, half())
    tau = bm.summarize(fit).loc["tau"]
    row = line(table, "inconsistency", "tau in units")
    assert row["value"] == f"{tau['median'] / 0.5:.2f} ({tau['lower'] / 0.5:.2f} to {tau['upper'] / 0.5:.2f})"
    assert row["suggestion"] == (TWO if tau["median"] > 0.5 else ONE)
    new = bm.summarize(fit).loc["theta_new"]
    crossed = sum(new["lower"] < mark < new["upper"] for mark in (-0.5, 0.5))
    assert line(table, "inconsistency", "thresholds crossed by the prediction")["value"] == f"{crossed} of 2"


def test_one_trial_is_not_inconsistent():
    table = grade_table(common([-0.4], [0.2]), half())
    assert line(table, "inconsistency", "overlap")["value"] == "one estimate"
    assert line(table, "inconsistency", "where estimates lie")["suggestion"] == NONE


def test_small_study_effects_are_judged_from_ten_trials():
    rng = np.random.default_rng(10)
    se = rng.uniform(0.1, 0.5, 12)
    y = -0.1 - 1.5 * se + rng.normal(0, 0.2 * se)
    fit = common(y.tolist(), se.tolist(), tau=bm.HalfNormal(0.5))
    bench = sensitivity_analyses(fit, ["small-study"])
    table = grade_table(fit, half(), tables=bench.tables)
    # Egger's test is the weighted regression of y on se, by scipy's own t
    design = np.column_stack([np.ones(12), se]) / se[:, None]
    solution, (left,), *_ = np.linalg.lstsq(design, y / se, rcond=None)
    spread = math.sqrt(left / 10 * np.linalg.inv(design.T @ design)[1, 1])
    p = 2 * stats.t(10).sf(abs(solution[1] / spread))
    row = next(r for _, r in table.iterrows() if r["item"] == "Egger's test")
    assert row["value"] == (f"p = {p:.3f}" if p >= 0.001 else "p < 0.001")
    assert row["suggestion"] == ONE
    few = common(y[:9].tolist(), se[:9].tolist(), tau=bm.HalfNormal(0.5))
    assert line(grade_table(few, half()), "publication bias", "small-study")["value"] == "9 trials"
    assert line(grade_table(fit, half()), "publication bias", "small-study")["rationale"] == "No test was run"


@pytest.mark.parametrize(("p", "word"), [(0.0004, ONE), (0.07, ONE), (0.0999, ONE), (0.1, NONE), (0.4, NONE)])
def test_small_study_effects_count_below_a_p_value_of_one_in_ten(p, word):
    """Egger 1997 (doi:10.1136/bmj.315.7109.629) judges his test at 0.1."""
    fit = common([-0.3] * 12, np.linspace(0.1, 0.4, 12).tolist())
    table = pd.DataFrame({"method": ["Egger", "Egger"], "form": ["weighted", "mixed"], "p": [p, p], "shift": np.nan})
    rows = grade_table(fit, half(), tables={"small-study": table})
    told = rows.loc[rows["item"].str.contains("Egger"), "suggestion"]
    assert told.tolist() == [word, word]


@pytest.mark.parametrize(("trials", "few"), [(9, "With 9 trials priors drive it"), (12, "")])
def test_an_average_over_models_of_bias_is_evidence_and_no_rating(trials, few):
    fit = common([-0.3] * 12, np.linspace(0.1, 0.4, 12).tolist())
    table = pd.DataFrame({"models": ["no bias", "average"], "p_important_benefit": [0.45, 0.0503]})
    table.attrs = {"bias_bayes_factor": 16.62, "trials": trials}
    rows = grade_table(fit, half(), tables={"publication-bias": table})
    factor = line(rows, "publication bias", "inclusion Bayes factor of bias")
    moved = line(rows, "publication bias", "P(important benefit)")
    assert (factor["value"], moved["value"]) == ("17", "45.0 %, 5.0 %")
    assert factor["suggestion"] == moved["suggestion"] == ""
    assert few in factor["rationale"]
    # an average without models of bias says nothing of it
    table.attrs["bias_bayes_factor"] = None
    assert not grade_table(fit, half(), tables={"publication-bias": table})["item"].str.startswith("inclusion").any()


def test_risk_of_bias_says_how_much_rests_on_it():
    y, se = [-0.9, -0.2, -0.3, -0.1], [0.1, 0.2, 0.2, 0.2]
    fit = common(y, se)
    table = grade_table(fit, half(), risk_of_bias=["High", "low", None, "some concerns"])
    # weights 100, 25, 25, 25
    value = line(table, "risk of bias", "weight of trials")["value"]
    assert value == "57 % of the weight, 1 of 4 rows; 1 not judged"
    without, whole = np.mean(y[1:]), np.average(y, weights=1 / np.square(se))
    assert line(table, "risk of bias", "mean without")["value"] == f"{without:.3f} (with them {whole:.3f})"
    alone = grade_table(fit, half(), risk_of_bias=["high", "high", "high", "low"])
    assert not alone["item"].str.startswith("mean without").any()
    assert line(grade_table(fit, half()), "risk of bias", "judgements")["value"] == "not in the table"


def test_it_never_rates_and_leaves_the_panel_its_field():
    table = grade_table(common([-0.4, -0.6], [0.2, 0.2], n=[40, 40]), half())
    assert tuple(table.columns) == GRADE_COLUMNS
    assert table["panel"].eq("").all()
    assert set(table["suggestion"]) <= {"", NONE, ONE, TWO}
    text = " ".join(table.astype(str).to_numpy().ravel()).lower()
    assert not re.search(r"\b(high|moderate|low|very low) (certainty|quality)\b", text)


def test_without_a_threshold_nothing_is_judged():
    with pytest.raises(bm.ModelError, match="primary threshold that is a number"):
        grade_table(common([-0.4, -0.6], [0.2, 0.2]))
