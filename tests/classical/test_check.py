"""The classical check of clustered rows is the multilevel one, wherever a headline shows it.

Authority: metafor 3.8-1 and clubSandwich 0.5.8 on Assink and Wibbelink 2016, 17 studies, 100 rows
(dependence_metafor.json): rma.mv(yi, V, random = ~ 1 | study/esid, test = "t", dfs = "contain") with V at a
correlation of 0.6 within studies, and robust(..., clubSandwich = TRUE). Its predict() prints
-0.68067618 and 1.41618595.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.classical import (
    MultilevelMean,
    aggregate_trials,
    check_name,
    dependence_table,
    pool,
    pool_check,
    pool_clustered,
    working_covariance,
)
from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.sensitivity.trials import classical_beside
from bayesmeta.studies import effect_sizes

FOLDER = Path(__file__).parents[1] / "reference"
ASSINK = {
    item["id"]: item for item in json.loads((FOLDER / "dependence_metafor.json").read_text(encoding="utf-8"))["sets"]
}["assink"]
CHE = {line["correlation"]: line for line in ASSINK["che"]}
# the script polishes rma.mv's variances to rounding
POLISHED = 1e-8
# predict() is printed with eight decimals, at the variances where rma.mv's optimiser stopped
PRINTED = 2e-7
# the numbers have three decimals
THREE = 5e-4


def assink(correlation: float | None = 0.6, **changes: object) -> Effects:
    table = pd.DataFrame({"study": ASSINK["study"], "estimate": ASSINK["y"], "se": np.sqrt(ASSINK["v"])}).assign(
        **changes
    )
    table["row"] = range(len(table))
    table["study"] = table["study"].astype(str)
    return effect_sizes(table, "generic", better="higher", cluster="study", working_correlation=correlation)


def fitted() -> bm.Fit:
    return bm.fit(assink(), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), cluster_tau=bm.HalfNormal(0.25)))


def test_the_check_is_metafors_multilevel_mean():
    found, robust = pool_check(assink()), pool_clustered(assink(), robust=True)
    line = ASSINK["fits"]["mean"]["REML"]
    assert isinstance(found, MultilevelMean)
    assert (found.df, found.n_clusters, found.k) == (16, 17, 100)
    assert [found.estimate, found.se, found.lower, found.p] == pytest.approx(
        [line[name] for name in ("estimate", "se", "t_lower", "t_p")], rel=POLISHED
    )
    assert [found.tau2, found.cluster_tau2] == pytest.approx(line["sigma2"], rel=POLISHED)
    assert [found.pi_lower, found.pi_upper] == pytest.approx([-0.68067618, 1.41618595], abs=PRINTED)
    names = ("estimate", "se", "lower", "upper", "df", "p", "stat")
    assert [getattr(robust, name) for name in names] == pytest.approx([CHE[0.6][name] for name in names], rel=POLISHED)
    assert [found.estimate, found.lower, found.upper] == pytest.approx([0.368, 0.163, 0.572], abs=THREE)
    assert np.sqrt([found.tau2, found.cluster_tau2]) == pytest.approx([0.284, 0.393], abs=THREE)
    assert [robust.lower, robust.upper] == pytest.approx([0.160, 0.575], abs=THREE)


def test_che_varies_the_correlation_that_was_assumed():
    table = dependence_table(assink(0.6), correlations=(0.2, 0.4, 0.6, 0.8))
    lines = table[table["method"] == "CHE, CR2"].set_index("correlation")
    assert lines["estimate"].to_numpy() == pytest.approx([0.405, 0.385, 0.368, 0.354], abs=THREE)
    for correlation, line in lines.iterrows():
        for name in ("estimate", "se", "df", "lower", "upper"):
            assert line[name] == pytest.approx(CHE[correlation][name], rel=POLISHED), (correlation, name)
        assert line["note"] == ""
    # the stated correlation is that of one row per trial; another can be asked for
    assert table.iloc[-1]["correlation"] == 0.6
    aggregate = aggregate_trials(assink(0.6), 0.5)
    assert aggregate.y == pytest.approx(ASSINK["aggregate"]["y"], rel=POLISHED)


def test_what_is_known_stays_and_what_was_assumed_moves():
    # two arms against one control, at two times: known at one time, r at two, the product across
    table = pd.DataFrame(
        {
            "study": ["T"] * 4 + ["U"], "arm_t": ["x", "y", "x", "y", "x"], "arm_c": "c",
            "horizon": ["short", "short", "long", "long", "short"], "n_t": [30, 28, 30, 28, 40], "n_c": [31] * 4 + [40],
            "mean_t": [3.0, 2.0, 4.0, 2.5, 1.0], "mean_c": [1.0] * 5, "sd_t": 4.0, "sd_c": [4.5] * 4 + [4.0],
        }
    )  # fmt: skip
    effects = effect_sizes(table, "MD", working_correlation=0.3)
    moved = working_covariance(working_covariance(effects, 0.8), 0.6)
    expected = effect_sizes(table, "MD", working_correlation=0.6)
    assert np.allclose(moved.covariance(), expected.covariance(), rtol=1e-12, atol=0)
    assert moved.working[0] == 0.6
    # a covariance that someone gives is known
    given = Effects(effects.study, effects.y, effects.se, measure="MD", blocks=effects.blocks, cluster=effects.study)
    assert np.array_equal(working_covariance(given, 0.6).covariance(), given.covariance())


def test_rows_without_clusters_keep_hartung_knapp():
    rows = Effects(["A", "B", "C"], [0.1, 0.4, 0.6], [0.1, 0.2, 0.2], measure="SMD")
    assert pool_check(rows).upper == pool(rows, ci="hksj").upper
    alone = Effects(["A", "B", "C"], rows.y, rows.se, measure="SMD", cluster=["A", "B", "C"])
    assert check_name(alone) == check_name(rows) == "REML + HKSJ"
    two = Effects(["A", "A"], [0.1, 0.4], [0.1, 0.2], measure="SMD", cluster=["A", "A"])
    with pytest.raises(ModelError, match="too few"):
        pool_check(two)
    assert all(math.isnan(value) for value in classical_beside(two, 0.5, 0.95).values())


def test_every_headline_shows_it(tmp_path):
    fit = fitted()
    line = ASSINK["fits"]["mean"]["REML"]
    table = bm.compare_table(fit).set_index("method")
    row = table.loc["multilevel REML + t"]
    assert row["estimate"] == pytest.approx(line["estimate"], rel=POLISHED)
    assert [row["tau"], row["tau_within"]] == pytest.approx(np.sqrt(line["sigma2"]), rel=POLISHED)
    assert table.loc["multilevel REML + CR2", "lower"] == pytest.approx(CHE[0.6]["lower"], rel=POLISHED)
    analysis = bm.analysis_of(fit)
    assert analysis.classical.lower == pytest.approx(line["t_lower"], rel=POLISHED)
    (shown,) = [text for text in analysis.summary().splitlines() if "multilevel" in text]
    assert shown.split("  ")[-1] == "0.37 (0.16 to 0.57)"
    assert "REML + HKSJ" not in analysis.summary()
    headline = bm.headline_table([analysis]).iloc[0]
    assert (headline["classical"], headline["classical_tau"]) == ("multilevel REML + t", row["tau"])
    forest = bm.plots.forest_plot(fit).table
    (mean,) = forest[forest["kind"] == "classical mean"].to_dict("records")
    assert mean["label"] == "Classical mean (multilevel REML, t)"
    assert [mean["lower"], mean["upper"]] == pytest.approx([row["lower"], row["upper"]], rel=1e-12)
    spread = bm.plots.heterogeneity_plot(fit).table
    (tau,) = spread[(spread["kind"] == "classical") & (spread["panel"] == "tau")].to_dict("records")
    assert tau["estimate"] == row["tau"]
    assert math.isnan(tau["lower"])


def test_the_json_records_hold_it():
    jsonschema = pytest.importorskip("jsonschema")
    from bayesmeta.records import compare_record, fit_record, output_schema, pool_record

    fit = fitted()
    for schema, record in (("pool", pool_record(fit, "assink")), ("fit", fit_record(fit, None, "assink"))):
        classical = record["classical"]
        assert next(iter(classical)) == "multilevel+t"
        line = classical["multilevel+t"]
        assert line["lower"] == pytest.approx(ASSINK["fits"]["mean"]["REML"]["t_lower"], rel=POLISHED)
        assert (line["df"], line["n_clusters"]) == (16, 17)
        assert classical["multilevel+CR2"]["upper"] == pytest.approx(CHE[0.6]["upper"], rel=POLISHED)
        part = output_schema(schema)
        resolved = {"$ref": "#/$defs/multilevel", "$defs": part["$defs"]}
        jsonschema.Draft202012Validator(resolved).validate(line)
    methods = compare_record(fit, "assink")["methods"]
    assert [item["method"] for item in methods][-2:] == ["multilevel REML + t", "multilevel REML + CR2"]
    part = output_schema("compare")
    for item in methods:
        jsonschema.Draft202012Validator({"$ref": "#/$defs/method", "$defs": part["$defs"]}).validate(item)


def test_the_methods_say_so():
    from bayesmeta.report import methods_text

    assert "one variance between and one within them" in methods_text([fitted()])


def test_pages_name_the_checks_of_their_outcomes():
    from bayesmeta.report import classical_checks

    views = [{"check": "REML + HKSJ"}, {"check": "multilevel REML + t"}]
    assert classical_checks(views) == "REML + HKSJ or multilevel REML + t"


def test_no_cluster_with_two_rows_is_refused_by_the_multilevel_model():
    rows = Effects(["A", "B", "C"], [0.1, 0.4, 0.6], [0.1, 0.2, 0.2], measure="SMD", cluster=["A", "B", "C"])
    with pytest.raises(ModelError, match="Use pool"):
        pool_clustered(rows)
