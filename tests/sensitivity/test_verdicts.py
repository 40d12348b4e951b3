"""Verdict sentences and folded rows, on tables whose answer is evident from the numbers that stand in the test."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.plan import Threshold
from bayesmeta.records import output_schema, sensitivity_record
from bayesmeta.sensitivity import CHECKS, SECTIONS, check_model, read_section, sensitivity_analyses
from bayesmeta.sensitivity.verdicts import Answer, compared, conclusion, listed, span

# hardly any heterogeneity, so that the intervals of these fits are as narrow as their estimates
MODEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.05))
# the fit says direction, measure and unit; the tables of these tests say everything else
BETTER = {"SMD": "lower", "RR": "lower", "MD": "higher", "plain": None}
NAN = math.nan


def fit_of(kind: str = "SMD", k: int = 2) -> bm.Fit:
    measure, unit = ("SMD", None) if kind == "plain" else (kind, "kg" if kind == "MD" else None)
    y, se = [-0.9, -0.8, -0.7][:k], [0.05, 0.05, 0.05][:k]
    effects = bm.Effects(["A", "B", "C"][:k], y, se, measure=measure, better=BETTER[kind], unit=unit)
    return bm.fit(effects, MODEL)


@pytest.fixture(scope="module")
def fits() -> dict[str, bm.Fit]:
    return {kind: fit_of(kind) for kind in BETTER}


def mid(distance: float = 0.5) -> Threshold:
    return bm.threshold(distance, measure_name="SMD", better="lower")


def means(name: str, *lines: tuple[Any, ...], mean: str = "mu", **more: Any) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=[name, mean, "lower", "upper"]).assign(note="", **more)


def verdict(name: str, fit: bm.Fit, table: pd.DataFrame, threshold: Threshold | None = None) -> str:
    return (CHECKS if name in CHECKS and name not in SECTIONS else SECTIONS)[name].verdict(fit, table, threshold)


def test_what_means_and_names_look_like(fits: dict[str, bm.Fit]) -> None:
    some = [Answer("a", -0.9, -1, 0), Answer("b", -0.2, -1, 0)]
    # lower is better, so that the least benefit comes first; a ratio is on its own scale
    assert span(fits["SMD"], some) == "between -0.200 and -0.900"
    assert span(fits["RR"], some) == f"between {math.exp(-0.2):.2f} and {math.exp(-0.9):.2f}"
    assert span(fits["MD"], some) == "between -0.900 and -0.200"
    assert span(fits["SMD"], some[:1]) == "at -0.900"
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d"]) == "a, b and 2 more"
    assert listed(["a, x", "b", "c"]) == "a, x; b and c"


@pytest.mark.parametrize(
    ("kind", "distance", "interval", "words"),
    [
        ("SMD", 0.5, (-0.9, -0.6), "an important benefit"),
        ("SMD", 0.5, (-0.9, -0.1), "a benefit that may be important"),
        ("SMD", 0.5, (-0.4, -0.1), "a benefit smaller than an important one"),
        ("SMD", None, (-0.9, -0.1), "a benefit"),
        ("SMD", 0.5, (-0.9, 0.1), "no clear direction"),
        ("SMD", 0.5, (0.1, 0.9), "harm"),
        ("MD", 0.5, (0.6, 0.9), "an important benefit"),
        ("plain", 0.5, (0.1, 0.9), "a mean above no effect"),
        ("plain", None, (-0.9, -0.1), "a mean below no effect"),
        ("plain", None, (-0.9, 0.1), "no clear direction"),
    ],
)
def test_conclusions_in_words(
    fits: dict[str, bm.Fit], kind: str, distance: float | None, interval: tuple[float, float], words: str
) -> None:
    threshold = None if distance is None else mid(distance)
    main = Answer("as stated", sum(interval) / 2, *interval)
    said = compared(fits[kind], threshold, main, [main], kept="It stays:", lost="It changes:", by="under")
    assert said.endswith(f"the interval always shows {words}.")
    assert ("(kg)" in said) == (kind == "MD")


def test_one_trial_carries_it_or_none_does() -> None:
    # both estimates are near -0.85 with narrow intervals: the whole fit shows an important benefit
    fit = fit_of(k=3)
    same = means("left_out", ("A", -0.8, -1.0, -0.6), ("B", -0.9, -1.1, -0.7), ("C", -0.85, -1.0, -0.7))
    said = verdict("leave-one-out", fit, same, mid())
    assert said == (
        "No trial carries it: without any one trial the mean (SMD) stays between -0.800 and -0.900, and the interval "
        "always shows an important benefit."
    )
    one = same.assign(mu=[-0.8, -0.2, -0.85], lower=[-1.0, -0.6, -1.0], upper=[-0.6, 0.2, -0.7])
    said = verdict("leave-one-out", fit, one, mid())
    assert said.startswith("One trial decides it: with all trials the interval shows an important benefit (")
    assert said.endswith("without B no clear direction (-0.200, -0.600 to 0.200).")
    two = one.assign(upper=[0.1, 0.2, -0.7])
    said = verdict("leave-one-out", fit, two, mid())
    assert said.startswith("Single trials decide it:")
    assert said.endswith("Another conclusion too without A.")
    failed = one.assign(mu=[-0.8, NAN, -0.85], note=["", "improper", ""])
    assert verdict("leave-one-out", fit, failed, mid()).endswith("1 trial could not be computed.")
    assert "No trial could be left out" in verdict("leave-one-out", fit, failed.assign(mu=NAN), mid())
    # a line without numbers alone, as a table of failed refits has it
    assert "No trial could be left out" in verdict("leave-one-out", fit, failed[["left_out", "note"]], mid())


def test_how_it_came_about(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    lines = [("A", -0.3, -0.9, 0.3), ("B", -0.4, -0.8, 0.0), ("C", -0.4, -0.7, -0.1), ("D", -0.35, -0.6, -0.1)]
    table = means("added", *lines)
    assert verdict("cumulative", fit, table) == (
        "The interval has shown a benefit since C was added, trial 3 of 4; since then the mean lies between -0.350 "
        "and -0.400."
    )
    assert verdict("cumulative", fit, table.iloc[:3]) == (
        "The last trial, C, changed the conclusion: the interval shows a benefit (-0.400, -0.700 to -0.100), before "
        "it no "
        "clear direction (-0.400, -0.800 to 0.000)."
    )
    assert verdict("cumulative", fit, table.iloc[:2]).startswith("From the first trial on the interval shows no clear")
    assert verdict("cumulative", fit, table.iloc[:1]).startswith("There is one trial: its interval shows no clear")
    assert verdict("cumulative", fit, table.assign(mu=NAN)) == "No step could be computed with these data."
    rows = SECTIONS["cumulative"].fold
    assert rows is not None
    assert list(rows.rows(fit, table, None)) == [False, True, False, False]


def bench(*lines: tuple[Any, ...], **more: Any) -> pd.DataFrame:
    table = pd.DataFrame(lines, columns=["tau_prior", "mu", "lower", "upper", "p_important_benefit", "change"])
    table = table.assign(mu_prior="flat", stated=[True] + [False] * (len(lines) - 1), conflict_mu=NAN, conflict_tau=0.5)
    return table.assign(note="", **more)


def test_priors(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    table = bench(
        ("a", -0.6, -0.9, -0.3, 0.7, 0.0), ("b", -0.6, -0.9, -0.3, 0.705, 0.01), ("c", -0.5, -0.9, -0.1, 0.5, 0.7)
    )
    said = verdict("priors", fit, table, mid())
    assert said.startswith("No prior changes the conclusion, alone or in any of 3 pairs: the mean (SMD) stays between")
    assert said.endswith("P(important benefit) is 50.0 % to 70.5 % over all pairs.")
    off = verdict("priors", fit, table.assign(upper=[-0.3, -0.3, 0.1], conflict_tau=0.01), mid())
    assert off.startswith(
        "The answer depends on the prior: under the stated priors the interval shows a benefit that may"
    )
    assert "under mu flat, tau c no clear direction" in off
    assert off.endswith("The stated prior of tau conflicts with the data (p = 0.010).")
    assert "1 pair could not be computed" in verdict("priors", fit, table.assign(mu=[-0.6, -0.6, NAN]), mid())
    assert verdict("priors", fit, table.iloc[:1], mid()) == "No other prior could be tried."
    fold = SECTIONS["priors"].fold
    assert fold is not None
    # b moves the probability by half a point; c by twenty
    assert list(fold.rows(fit, table, mid())) == [False, True, False]
    # two points are worth a look, a conclusion all the more
    assert not any(fold.rows(fit, table.assign(p_important_benefit=[0.7, 0.72, 0.5]), mid()))
    assert not any(fold.rows(fit, table.assign(upper=[-0.3, 0.1, 0.1]), mid()))
    assert not any(fold.rows(fit, table.assign(mu=[NAN, -0.6, -0.6]), mid()))


def test_declared(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    lines = [("main analysis", -0.6, -0.9, -0.3), ("wide", -0.6, -0.95, -0.25), ("subgroup: x", 0.6, 0.3, 0.9)]
    table = means("analysis", *lines, varies="pooled", change=[0.0, 0.0, 9.0])
    said = verdict("declared", fit, table, mid())
    # the subgroup shows harm, and asks another question
    assert said.startswith("No declared pooled analysis changes the conclusion: the mean (SMD) stays at -0.600")
    said = verdict("declared", fit, table.assign(upper=[-0.3, 0.1, 0.9]), mid())
    assert 'under "wide" no clear direction' in said
    assert verdict("declared", fit, table.iloc[:1], mid()).startswith("No variation of the main analysis is declared")
    fold = SECTIONS["declared"].fold
    assert fold is not None
    assert list(fold.rows(fit, table, mid())) == [False, True, False]


def test_concordance(fits: dict[str, bm.Fit]) -> None:
    lines = [("REML + HKSJ", -0.6, -1.3, 0.1), ("step", -0.6, -1.2, 0.0), ("prior of mu", -0.6, -0.9, -0.3)]
    table = means("ingredient", *lines, mean="estimate")
    said = verdict("concordance", fits["SMD"], table)
    assert said.startswith(
        "They lead to different conclusions: in the Bayesian analysis the interval shows a benefit ("
    )
    assert said.endswith("by REML + HKSJ no clear direction (-0.60, -1.30 to 0.10).")
    assert verdict("concordance", fits["SMD"], table.assign(upper=-0.1)).startswith("They agree:")
    lost = table.assign(estimate=[-0.6, -0.6, NAN])
    assert "nothing can be compared" in verdict("concordance", fits["SMD"], lost)


def tips(now: float, *tipped: bool) -> pd.DataFrame:
    moved = ["sceptical prior of mu", "scale of the prior of tau"][: len(tipped)]
    table = pd.DataFrame({"moved": moved, "tipped": tipped}).assign(
        question="important benefit", target="mean effect", probability=now, cutoff=0.8, prior_probability=0.25
    )
    return table.assign(prior=["normal(0, 0.1)" if x else None for x in tipped])


def test_tipping(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    assert verdict("tipping", fit, tips(0.9, True, False)) == (
        "A prior can change the conclusion: P(important benefit) of the mean effect is 90.0 %, which reaches the "
        "panel's "
        "80 %; it falls below it under a sceptical prior of the mean, normal(0, 0.1) (which gave it 25.0 % beforehand)."
    )
    assert "is below the panel's 80 %; it reaches it under" in verdict("tipping", fit, tips(0.3, True, True))
    assert verdict("tipping", fit, tips(0.9, False, False)).endswith(
        "reaches the panel's 80 %, and stays on that side."
    )
    fold = SECTIONS["tipping"].fold
    assert fold is not None
    assert list(fold.rows(fit, tips(0.9, True, False), None)) == [False, True]


def scaled(*lines: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=["quantity", "component", "exact", "psense", "diagnosis"])


@pytest.mark.parametrize("place", ["section", "check"])
def test_scaling(fits: dict[str, bm.Fit], place: str) -> None:
    section = (SECTIONS if place == "section" else CHECKS)["scaling"]
    fine = scaled(("mu", "mu", 0.01, NAN, "not influential"), ("tau", "tau", NAN, 0.03, "not influential"))
    likelihood = scaled(("mu", "likelihood", NAN, 0.5, "informative data"))
    table = pd.concat([fine, likelihood])
    assert section.verdict(fits["SMD"], table, None) == (
        "No answer is sensitive to a prior: the largest sensitivity is 0.03, below 0.05."
    )
    off = scaled(("theta_new", "tau", 0.2, NAN, "influential prior; weak data"))
    assert section.verdict(fits["SMD"], pd.concat([fine, off]), None) == (
        "Some answers are sensitive to a prior, from 0.05 up: new study to the prior of tau (0.2)."
    )
    assert "No sensitivity could be computed" in section.verdict(fits["SMD"], likelihood, None)


def sides(k: int, *shares: float, crosses: int) -> pd.DataFrame:
    row = dict(zip(("estimates_benefit", "estimates_trivial", "estimates_harm"), shares, strict=True))
    return pd.DataFrame([{"threshold": "important", "k": k, **row, "new_crosses": crosses}])


def test_inconsistency(fits: dict[str, bm.Fit]) -> None:
    said = verdict("inconsistency", fits["SMD"], sides(4, 0.5, 0.25, 0.25, crosses=2))
    assert said == (
        "Estimates lie on 3 sides: 2 beyond the threshold of an important benefit, 1 between the thresholds, 1 "
        "beyond that "
        "of an important harm (important). The true effect in a new study may lie on 3 sides: its interval crosses 2 "
        "thresholds."
    )
    said = verdict("inconsistency", fits["SMD"], sides(3, 1.0, 0.0, 0.0, crosses=0))
    assert said.startswith("All 3 estimates lie beyond the threshold of an important benefit (important).")
    assert said.endswith("may lie on one side alone: its interval crosses no threshold.")
    assert verdict("inconsistency", fits["SMD"], sides(1, 0.0, 1.0, 0.0, crosses=1)).startswith(
        "There is one estimate, bet"
    )


def test_levels_of_moderators(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    table = pd.DataFrame({"quantity": ["tau[a] / tau[b]", "tau, common"], "p_above_1": [0.97, NAN]})
    table.attrs["bayes_factor"] = 4.0
    assert verdict("heterogeneity-by", fit, table) == (
        "The heterogeneity differs: P(tau[a] / tau[b] > 1) is 97.0 %; the Bayes factor for different SDs is 4.0."
    )
    table["p_above_1"] = [0.6, NAN]
    table.attrs["bayes_factor"] = None
    assert verdict("heterogeneity-by", fit, table) == (
        "No difference in heterogeneity is sure: P(tau[a] / tau[b] > 1) is 60.0 %."
    )
    assert "No ratio" in verdict("heterogeneity-by", fit, table.assign(p_above_1=NAN))
    best = pd.DataFrame(
        {"moderator": "type", "level": ["a", "b"], "p_best": [0.96, 0.04], "p_best_beyond": [0.5, 0.01]},
    )
    assert verdict("best-level", fit, best) == "Type: the best is a (P 96.0 %; best and beyond the threshold 50.0 %)."
    assert "no level is surely the best; the likeliest is b" in verdict(
        "best-level", fit, best.assign(p_best=[0.3, 0.7])
    )


def test_credibility_and_differences_inside_trials(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    items = pd.DataFrame({"moderator": ["x", "x", "y", "y"], "number": [1, 5, 1, 5]})
    items["known"] = ["between only", "p = 0.500", "2 of 9 trials compare", "not tested"]
    assert verdict("credibility", fit, items) == (
        "For the panel to judge: 1 moderator of 2 compared within trials; tests of a difference: x p = 0.500 and y "
        "not tested."
    )
    lines = [("b - a", 0.3, 0.1, 0.5), ("b - a", 0.2, -0.2, 0.6)]
    table = means("contrast", *lines, mean="estimate", moderator="type").assign(trial=["all trials", "A"])
    assert verdict("within-trials", fit, table) == (
        "Inside trials there is a difference: type, b - a (0.300, 0.100 to 0.500)."
    )
    # without a line of all trials, each trial speaks
    said = verdict("within-trials", fit, table[table["trial"] == "A"])
    assert said.startswith("Inside trials no difference is sure: every interval holds no difference; type, b - a")
    assert said.endswith("(0.200, -0.200 to 0.600).")
    assert "No difference inside trials could" in verdict("within-trials", fit, table.assign(estimate=NAN))


def small_study(p: list[float], shift: float = 0.4, mark: str = "", **more: Any) -> pd.DataFrame:
    table = pd.DataFrame({"method": ["Egger", "Begg", "PET"], "form": ["", "exact", "weighted"], "p": [*p, 0.3]})
    table = table.assign(kind=["test", "test", "adjusted estimate"], shift=[NAN, NAN, shift], interpretable=True)
    return table.assign(mark=["", mark, ""], bounded_p=[NAN, 1.0, NAN], **more)


def test_small_studies(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    assert verdict("small-study", fit, small_study([0.3, 0.2])) == (
        "No test shows that small trials differ: the smallest of 2 p-values is 0.200 (Begg, exact). Adjusted "
        "estimates shift "
        "the mean by at most 0.4 standard errors (PET)."
    )
    said = verdict("small-study", fit, small_study([0.05, 0.2], interpretable=False))
    assert said.startswith(
        "Small trials may differ: 1 of 2 tests with p below 0.1, the smallest p = 0.050 (Egger); with fewer"
    )
    # a weight above 1 is no selection for small p-values: the test counts as bounded, with p = 1
    assert verdict("small-study", fit, small_study([0.3, 1e-6], mark="a weight above 1")).startswith("No test shows")
    assert "No test of small-study effects is defined" in verdict("small-study", fit, small_study([NAN, NAN]))
    assert verdict("small-study", fit, small_study([0.3, 0.2], shift=NAN)).endswith("(Begg, exact).")


def test_influence(fits: dict[str, bm.Fit]) -> None:
    table = pd.DataFrame({"label": ["A", "B"], "cook": [0.1, 0.7], "influential": [False, True], "outlier": False})
    assert verdict("influence", fits["SMD"], table) == (
        "Influential by metafor's rules: B. No estimate is far from the others (residual beyond 1.96)."
    )
    calm = table.assign(influential=False, outlier=[True, False])
    assert verdict("influence", fits["SMD"], calm) == (
        "No estimate is influential by metafor's rules; the largest of Cook's distances is 0.70 (B). Far from the "
        "others "
        "(residual beyond 1.96): A."
    )
    assert "not defined" in verdict("influence", fits["SMD"], table.assign(cook=NAN))


def test_classical_answers(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    lines = [("REML + HKSJ", -0.6, -0.9, -0.3), ("other", -0.601, -0.901, -0.301), ("third", -0.5, -1.1, 0.1)]
    table = means("method", *lines, mean="estimate", correlation=NAN, k=4, n_clusters=3, policy="")
    for name in ("estimators", "dependence", "counts"):
        said = verdict(name, fit, table)
        assert said.startswith("It matters how")
        assert "by REML + HKSJ the interval shows a benefit (" in said
        assert said.endswith("by third no clear direction (-0.50, -1.10 to 0.10).")
        assert "stays between" in verdict(name, fit, table.iloc[:2].assign(estimate=[-0.6, -0.7]))
        assert verdict(name, fit, table.iloc[:1]).startswith("With these data there is one answer")
        assert verdict(name, fit, table.assign(estimate=NAN)) == "No such method is defined for these data."
        fold = SECTIONS[name].fold
        assert fold is not None
        assert list(fold.rows(fit, table, None)) == [False, True, False]
        assert not any(fold.rows(fit, table.assign(estimate=NAN), None))
    assert verdict("dependence", fit, table.assign(k=3)) == "No trial has two rows, so there is no dependence to treat."


@pytest.mark.parametrize(
    ("lower", "words"),
    [
        ([0.1, 0.2], "Trials differ by every method"),
        ([0.0, 0.0], "No method excludes that trials do not differ"),
        ([0.0, 0.2], "Whether trials differ depends on the method: 1 of 2 intervals of tau hold 0"),
        ([NAN, NAN], "No confidence interval of tau is defined"),
    ],
)
def test_intervals_of_tau(fits: dict[str, bm.Fit], lower: list[float], words: str) -> None:
    table = pd.DataFrame({"tau_lower": lower, "tau_upper": [0.5, math.inf]})
    said = verdict("heterogeneity", fits["SMD"], table)
    assert said.startswith(words)
    assert np.isnan(lower[0]) or said.endswith("the highest not finite.")


def test_multiverse(fits: dict[str, bm.Fit]) -> None:
    table = pd.DataFrame({"verdict": ["benefit"] * 4, "estimate": [-0.6, -0.5, -0.4, -0.1]})
    table = table.assign(target=["mean effect"] * 3 + ["new study"], stated=[False, True, False, False])
    assert verdict("multiverse", fits["SMD"], table) == (
        "No combination of choices changes the conclusion: all 3 specifications of the mean effect show a benefit, "
        "with "
        "estimates between -0.400 and -0.600."
    )
    said = verdict("multiverse", fits["SMD"], table.assign(verdict=["not clear", "benefit", "benefit", "harm"]))
    assert said.startswith(
        "The conclusion depends on choices: 2 of 3 specifications of the mean effect show a benefit, as the stated "
        "analysis "
        "does; others show no clear direction in 1."
    )
    assert "No specification could be" in verdict("multiverse", fits["SMD"], table[table["target"] == "new study"])


def test_permutation_and_subsets(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    table = pd.DataFrame({"p": [0.01, 0.02], "p_usual": [0.03, 0.04]})
    assert verdict("permutation", fit, table).startswith(
        "Without a distribution the answer is the same, below 0.05: p = 0.010"
    )
    assert "is the same, not below 0.05" in verdict("permutation", fit, table + 0.5)
    assert "the answer differs at 0.05" in verdict("permutation", fit, table.assign(p=0.2))
    assert "No sign-flip test" in verdict("permutation", fit, table.assign(p=NAN))
    subsets = pd.DataFrame({"trial": ["A", "B"], "with_estimate": [-0.5, -0.7], "without_estimate": [-0.6, -0.3]})
    subsets = subsets.assign(difference=[0.1, -0.4], with_below_null=1.0, without_below_null=[0.99, 0.97])
    assert verdict("gosh", fit, subsets) == (
        "Subsets tell one story: with or without any trial, nearly all of them lie on one side of no effect. B moves "
        "their "
        "median most, between -0.300 and -0.700."
    )
    assert verdict("gosh", fit, subsets.assign(without_below_null=0.6)).startswith("Subsets tell different stories")
    assert "cannot be compared" in verdict("gosh", fit, subsets.assign(difference=NAN))


def test_checks(fits: dict[str, bm.Fit]) -> None:
    fit = fits["SMD"]
    table = pd.DataFrame(
        {"p_value": [0.2, 0.01], "label": ["A", "B"], "quantity": ["mean", "SD"], "statistic": ["m", "s"]}
    )
    table["replicated"] = "same trials"
    assert verdict("predictive", fit, table) == (
        "The model may not make such data: 1 of 2 p-values below 0.05 (s (same trials))."
    )
    assert verdict("trials", fit, table) == (
        "Some trials are far from predicted: 1 of 2 p-values below 0.05 (B). By chance alone 0.1 would be below 0.05."
    )
    assert verdict("prior", fit, table.assign(p_value=0.3)) == (
        "All statistics are what the priors expect: the smallest of 2 p-values is 0.300."
    )
    assert "No p-value" in verdict("prior", fit, table.assign(p_value=NAN))
    learned = pd.DataFrame(
        {"quantity": ["mu", "tau"], "overlap": [0.2, 0.9], "verdict": ["learned a lot", "prior-driven"]}
    )
    assert verdict("overlap", fit, learned).startswith("The data taught little of tau")
    assert verdict("overlap", fit, learned.iloc[:1]).endswith("is 0.20 (mean effect).")
    assert "No prior is proper" in verdict("overlap", fit, learned.iloc[:1].assign(overlap=NAN))
    loo = pd.DataFrame({"left_out": ["A", "B"], "khat": [0.2, 0.9]})
    assert "without B" in verdict("loo", fit, loo)
    assert verdict("loo", fit, loo.iloc[:1]).endswith("the largest khat is 0.20.")


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("kind", list(BETTER))
def test_every_section_of_small_tables_has_a_verdict(kind: str, k: int) -> None:
    """Whatever can be computed for one, two and three trials is answered, in words that people know."""
    import jsonschema

    fit = fit_of(kind, k)
    threshold = 0.8 if kind == "RR" else 0.5
    found = sensitivity_analyses(fit, threshold=threshold if BETTER[kind] else None, ref_sd=1.0)
    for name, table in found.tables.items():
        read = read_section(name, table, fit, found.parts.get(name, {}), threshold=found.threshold)
        assert read.verdict.endswith((".", "?")), name
        assert not re.search(r"\b(nan|inf|theta_new)\b|--|None", read.verdict), read.verdict
        assert all(0 <= row < len(read.table.cells) for row in read.folded)
        assert bool(read.further) == bool(read.folded)
        assert read.further.startswith(f"{len(read.folded)} further rows" if read.folded else "")
    record = sensitivity_record(fit, "x", found)
    jsonschema.validate(record, output_schema("sensitivity"), cls=jsonschema.Draft202012Validator)
    assert all(item["verdict"] for item in record["sections"].values())
    assert ("leave-one-out" in found.tables) == (k > 1)


def test_every_section_says_something_and_nothing_of_the_command_line() -> None:
    for section in (*SECTIONS.values(), *CHECKS.values()):
        assert section.verdict is not CHECKS["loo"].__class__.__dataclass_fields__["verdict"].default, section.name
        for text in (section.question, section.note):
            assert "--" not in text, section.name
            assert "`" not in text, section.name
    fit = fit_of(k=3)
    done = check_model(fit, ["overlap", "trials"])
    for name, table in done.tables.items():
        assert read_section(name, table, fit, sections=CHECKS).verdict


def test_a_given_threshold_is_the_one_of_the_verdict() -> None:
    fit = fit_of(k=3)
    found = sensitivity_analyses(fit, ["leave-one-out"], threshold=0.2)
    read = read_section("leave-one-out", found.tables["leave-one-out"], fit, threshold=found.threshold)
    low, high = conclusion(-1.0, -0.6, -1, 0.2), conclusion(-1.0, -0.6, -1, 0.8)
    assert (low, high) == ("important benefit", "benefit, perhaps important")
    assert read.verdict.endswith("an important benefit.")
