"""The section on publication bias: what it averages, what it says, and what it refuses.

Authorities: RoBMA's Bayes factors of Bem 2011 (tests/bias/test_average.py says how they were found), the change of
units, and the average over models of no bias alone.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta import bias
from bayesmeta.plan import BiasModelPlan, BiasPlan
from bayesmeta.records import output_schema, plain, sensitivity_record
from bayesmeta.sensitivity import SensitivityAnalyses, read_section, sensitivity_analyses, usual_sections
from references import ROOT

NAME = "publication-bias"


def effects(**changes: Any) -> bm.Effects:
    found = pd.read_csv(ROOT / "tests" / "reference" / "bias" / "Bem2011.csv")
    rows = bm.Effects(found["study"].tolist(), found["d"], found["se"], measure="SMD", better="higher")
    return dataclasses.replace(rows, **changes)


def fitted(**changes: Any) -> bm.Fit:
    return bm.fit(effects(**changes), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


@cache
def done() -> tuple[bm.Fit, SensitivityAnalyses]:
    fit = fitted()
    return fit, sensitivity_analyses(fit, [NAME], threshold=0.1)


def two_sided(fit: bm.Fit, **plan: Any) -> SensitivityAnalyses:
    return sensitivity_analyses(fit, [NAME], threshold=0.1, bias=BiasPlan("2w", **plan))


# -- what it says ------------------------------------------------------------------------------------------------------


def test_chances_without_bias_under_each_family_and_averaged() -> None:
    fit, found = done()
    table = found.tables[NAME].set_index("models")
    assert table.index.tolist() == ["no bias", "selection by p", "PET", "PEESE", "average"]
    assert table["count"].tolist() == [4, 24, 4, 4, 36]
    # the models without bias are an average of their own
    alone = bm.average(fit.effects, "bma")
    expected = bm.questions.benefit_probabilities(alone, bm.threshold(0.1, measure_name="SMD", better="higher"))
    for column, value in expected.items():
        assert table.loc["no bias", column] == pytest.approx(value, abs=1e-6), column
        parts = table.drop("average")
        assert table.loc["average", column] == pytest.approx(float(parts["posterior"] @ parts[column]), abs=1e-6)
    factors = found.parts[NAME]["inclusion"].set_index("part")["bayes_factor"]
    assert factors["bias"] == pytest.approx(16.62, rel=6e-4)
    assert table.attrs["bias_bayes_factor"] == factors["bias"]


def test_the_verdict_holds_the_average_against_no_bias() -> None:
    fit, found = done()
    table = found.tables[NAME]
    chances = table.set_index("models")["p_important_benefit"].map(bm.percent)
    read = read_section(NAME, table, fit, found.parts[NAME], threshold=0.1)
    assert read.verdict.startswith(
        "Averaged over models with and without publication bias, P(important benefit) is "
        f"{chances['average']}, without bias {chances['no bias']}; the mean (SMD) is 0.000, "
    )
    assert read.verdict.endswith("The data speak for bias (Bayes factor 17).")
    assert "Selection is taken to favour higher effects (the better direction)." in read.note
    assert "With fewer than 10 trials (here 9) priors of the bias models drive this answer." in read.note
    assert "36 models (psma" in read.note
    assert read.table.headers == [
        "models",
        "prior",
        "posterior",
        "median",
        "lower",
        "upper",
        "P(any)",
        "P(imp.)",
        "P(harm)",
    ]
    (inclusion,) = read.parts
    assert [row[0] for row in inclusion.cells] == [
        "effect",
        "heterogeneity",
        "bias",
        "selection by p",
        "PET",
        "PEESE",
    ]


def test_enough_trials_carry_no_note_of_priors() -> None:
    rows = effects()
    twice = bm.Effects(
        [f"s{i}" for i in range(18)],
        np.concatenate([rows.y, rows.y]),
        np.concatenate([rows.se, rows.se]),
        measure="SMD",
        better="higher",
    )
    fit = bm.fit(twice, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    table = two_sided(fit).tables[NAME]
    assert "drive this answer" not in read_section(NAME, table, fit).note
    assert "it favours neither direction" in read_section(NAME, table, fit).note


def test_json_follows_the_schema() -> None:
    fit, found = done()
    record = sensitivity_record(fit, "bem", found)
    jsonschema.Draft202012Validator(output_schema("sensitivity")).validate(record)
    section = record["sections"][NAME]
    assert section["summary"]["direction"] == "higher"
    assert len(section["rows"]) == 5
    assert len(section["summary"]["inclusion"]) == 6
    assert plain(section["summary"]["bias_bayes_factor"]) == pytest.approx(16.62, rel=6e-4)


def test_references_are_in_the_bibliography() -> None:
    from bayesmeta.report import bibliography, used_references

    keys = used_references([fitted()], [NAME])
    assert {"bartos2023", "maier2023", "vevea1995", "stanley2014"} <= set(keys)
    assert "10.1002/jrsm.1594" in bibliography(keys)


# -- what is averaged --------------------------------------------------------------------------------------------------


def test_it_is_made_where_it_is_named_or_stated() -> None:
    fit = fitted()
    assert NAME not in usual_sections()
    assert NAME in usual_sections(BiasPlan())
    names = ["concordance", "small-study"]
    assert NAME not in sensitivity_analyses(fit, names).tables
    named = sensitivity_analyses(fit, [NAME], bias=BiasPlan("bma")).tables[NAME]
    assert named["models"].tolist() == ["no bias", "average"]
    # no threshold is stated: the chance of any benefit alone
    assert "p_important_benefit" not in named
    above = bm.probability(bm.average(fit.effects, "bma"), "mu", above=0.0)
    assert named["p_any_benefit"].tolist() == pytest.approx([above] * 2, abs=1e-9)
    assert read_section(NAME, named, fit).verdict.startswith("Averaged over models without publication bias")
    assert "favour" not in read_section(NAME, named, fit).note


def test_models_of_ones_own() -> None:
    models = (BiasModelPlan("selection", (0.025, 0.5), weight=3), BiasModelPlan("PET", weight=1))
    plan = BiasPlan(models=models, mu=bm.Normal(0, 0.5), tau=bm.HalfNormal(0.3))
    found = bias.models_of(bias.average_of(fitted(), plan)).ensemble
    # half for bias, of which three quarters are of the first; a quarter each of effect and heterogeneity
    assert [m.weight for m in found.models] == pytest.approx([1 / 8, 3 / 32, 1 / 32] * 4)
    assert {repr(m.mu) for m in found.models} == {"None", "normal(0, 0.5)"}
    assert {repr(m.tau) for m in found.models} == {"None", "halfnormal(0.3)"}
    assert found.models[1].bias == bias.StepSelection((0.025, 0.5))


def test_another_unit_changes_no_bayes_factor() -> None:
    """Effects in a unit of a tenth, under the priors of the analysis: the published ones are of SMDs."""
    rows = effects()
    tenths = bm.Effects(list(rows.study), 10 * rows.y, 10 * rows.se, measure="MD", better="higher")
    fit = bm.fit(tenths, bm.Model(bm.Normal(0, 10), bm.InverseGamma(1, 1.5)))
    found = bias.model_inclusion_table(bias.average_of(fit)).set_index("part")["log_bayes_factor"]
    expected = done()[1].parts[NAME]["inclusion"].set_index("part")["log_bayes_factor"]
    pd.testing.assert_series_equal(found, expected, rtol=0, atol=1e-5)


def test_the_stated_direction_is_the_one_that_is_favoured() -> None:
    fit = fitted()
    plan = BiasPlan("pp", direction="lower")
    table = sensitivity_analyses(fit, [NAME], bias=plan, threshold=0.1).tables[NAME]
    assert table.attrs["direction"] == "lower"
    assert "Selection is taken to favour lower effects (stated)." in read_section(NAME, table, fit).note
    assert table.attrs["bias_bayes_factor"] < 1


def test_rows_that_share_patients_are_linked_as_in_the_analysis() -> None:
    """The correlation of true effects is the analysis', not the default."""
    rows = bm.Effects(
        [*"AAB"],
        [0.4, 0.2, 0.3],
        [0.2, 0.2, 0.15],
        measure="SMD",
        better="higher",
        label=["A1", "A2", "B"],
        blocks=[([0, 1], [[0.04, 0.02], [0.02, 0.04]])],
    )
    fit = bm.fit(rows, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), rho=0.9))
    found = bias.model_inclusion_table(bias.average_of(fit, BiasPlan("bma")))
    expected = bias.model_inclusion_table(bm.average(rows, "bma", rho=0.9))
    other = bias.model_inclusion_table(bm.average(rows, "bma", rho=0.5))
    assert found["log_bayes_factor"].tolist() == expected["log_bayes_factor"].tolist()
    assert found["log_bayes_factor"].tolist() != other["log_bayes_factor"].tolist()


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_it_refuses() -> None:
    with pytest.warns(bm.BayesmetaWarning, match="as independent"):
        twice = bm.Effects(["A", "A", "B"], [0.1, 0.2, 0.3], [0.1] * 3, measure="SMD", better="higher", label=[*"abc"])
    repeated = bm.fit(twice, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    assert "depend on each other" in sensitivity_analyses(repeated, [NAME]).not_done[NAME]
    undirected = fitted(better=None)
    assert "which results are favoured" in sensitivity_analyses(undirected, [NAME]).not_done[NAME]
    flat = bm.fit(effects(measure="MD"), bm.Model(bm.Normal(0, 1), None))
    assert "State tau in [bias]" in sensitivity_analyses(flat, [NAME]).not_done[NAME]
    with pytest.raises(bm.ModelError, match="needs steps"):
        BiasModelPlan("selection")
    with pytest.raises(bm.ModelError, match="has no steps"):
        BiasModelPlan("PET", (0.05,))
    with pytest.raises(bm.ModelError, match="one for each bias model"):
        bias.ensemble("pp", bias=[bias.PET()], weights=[1, 2])
    with pytest.raises(bm.ModelError, match="of bias models of one's own"):
        bias.ensemble("pp", weights=[1, 2])


def test_an_integral_that_does_not_settle_costs_one_section(monkeypatch: pytest.MonkeyPatch) -> None:
    from bayesmeta.sensitivity import publication_bias

    def unsettled(*_: Any) -> bm.Fit:
        raise bm.InferenceError("bias model: the integral did not settle.")

    monkeypatch.setattr(publication_bias, "average_of", unsettled)
    assert "did not settle" in sensitivity_analyses(fitted(), [NAME]).not_done[NAME]


def test_without_a_better_direction_there_are_estimates_and_no_chances() -> None:
    fit = fitted(better=None)
    table = two_sided(fit).tables[NAME]
    assert "p_any_benefit" not in table
    assert math.isfinite(table["median"].iloc[-1])
    assert ", the mean (SMD) is " in read_section(NAME, table, fit).verdict
