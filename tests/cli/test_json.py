"""Every JSON that the command line prints or writes: its schema, its numbers, and what is undefined.

Authorities: the committed schemas (JSON Schema 2020-12), tests/reference/bcg_rr.json (R metafor 5.1.12),
tests/reference/published.md section 6.1 (quadrature on log tau), and the library, whose numbers must come through bit
for bit.
"""

from __future__ import annotations

import json
import math

import jsonschema
import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.protocol import protocol_schema
from bayesmeta.records import envelope, head, output_schema, plain, small_k_note
from bayesmeta.sensitivity import GRADE_COLUMNS
from bayesmeta_cli.main import main
from references import ROOT
from sampled import command

CANCER = ROOT / "models" / "cancer_exercise.toml"
DEPRESSION = ROOT / "models" / "exercise_depression.toml"
HIIT = ROOT / "models" / "hiit.toml"
DEPRESSION_CSV = ROOT / "data" / "exercise_depression_10_trials.csv"
POOLED = ["pool", DEPRESSION_CSV, "--column", "estimate=smd", "--column", "se=sesmd", "--measure", "SMD"]
SCHEMAS = [
    "audit",
    "benefit",
    "bias",
    "borrow",
    "check",
    "columns",
    "compare",
    "fit",
    "forensics",
    "joint",
    "plot",
    "pool",
    "ppc",
    "preset",
    "profiles",
    "protocol",
    "reanalyse",
    "report",
    "run",
    "sensitivity",
]
METASTATIC = ROOT / "models" / "metastatic.toml"
HORIZONS, CIPN = ROOT / "models" / "cancer_horizons.toml", ROOT / "models" / "cipn.toml"
HEAD = ["schema_version", "bayesmeta", "level", "interval", "scale", "warnings"]
# metafor iterates REML and PM to 1e-10 in tau2, and its closed forms carry 15 digits
METAFOR = 1e-6
# published.md prints six decimals
SIX_DECIMALS = 5.1e-7


def refuse(name):
    raise AssertionError(f"{name} is not JSON")


def strict(text):
    """Parse JSON, refusing NaN and Infinity, which Python would accept."""
    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def record(capsys):
    """Run a command with --json, check its schema, and return the object."""

    def run(schema, *arguments):
        assert command([*map(str, arguments), "--json"], capsys.readouterr) == 0
        found = strict(capsys.readouterr().out)
        jsonschema.validate(found, output_schema(schema), cls=jsonschema.Draft202012Validator)
        for item in found.get("analyses", [found]):
            assert list(item)[: len(HEAD)] == HEAD
        return found

    return run


@pytest.fixture(scope="module")
def bcg():
    return json.loads((ROOT / "tests" / "reference" / "bcg_rr.json").read_text())


@pytest.fixture
def bcg_csv(bcg, tmp_path):
    path = tmp_path / "bcg.csv"
    frame = pd.DataFrame([{"study": name, **raw} for name, raw in zip(bcg["label"], bcg["raw"], strict=True)])
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name):
    jsonschema.Draft202012Validator.check_schema(output_schema(name))


def test_there_are_no_other_schemas():
    with pytest.raises(bm.ModelError, match="Allowed: " + ", ".join(SCHEMAS)):
        output_schema("nothing")


def test_the_schema_of_protocols_is_the_checkers(capsys):
    assert output_schema("protocol") == protocol_schema()
    assert main(["check", "--schema"]) == 0
    assert strict(capsys.readouterr().out) == protocol_schema()


def test_the_report_says_of_an_outcome_what_fit_and_check_say():
    report, fit, check = (output_schema(name) for name in ("report", "fit", "check"))
    outcome = report["$defs"]["outcome"]["properties"]
    one = fit["$defs"].pop("analysis")["properties"]
    rows = check["$defs"].pop("analysis")["properties"]["rows"]
    assert {key: outcome[key] for key in one} == one
    assert outcome["ledger"] == rows
    assert list(outcome["grade"]["items"]["properties"]) == list(GRADE_COLUMNS)
    shared = {**fit["$defs"], **check["$defs"]}
    assert {key: report["$defs"][key] for key in shared} == shared


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ("check", ["check", HIIT]),
        ("check", ["check", DEPRESSION_CSV, "--column", "estimate=smd", "--column", "se=sesmd", "--measure", "SMD"]),
        ("columns", ["check", DEPRESSION_CSV]),
        ("pool", [*POOLED]),
        ("pool", [*POOLED, "--by", "itt", "--better", "lower", "--threshold", "0.5"]),
        ("fit", ["fit", CANCER]),
        ("fit", ["fit", DEPRESSION]),
        ("compare", ["compare", CANCER, "--outcome", "qol_short", "--outcome", "qol_long"]),
        ("benefit", ["benefit", HIIT, "--outcome", "hba1c"]),
        ("sensitivity", ["sensitivity", CANCER, "--outcome", "anxiety_medium"]),
        ("sensitivity", ["sensitivity", DEPRESSION]),
        ("fit", ["fit", HORIZONS, "--outcome", "anxiety"]),
        ("fit", ["fit", CANCER, "--outcome", "anxiety_long", "--engine", "both"]),
        ("fit", ["fit", CIPN, "--outcome", "symptoms_by_duration"]),
        ("sensitivity", ["sensitivity", CIPN, "--outcome", "symptoms_by_duration"]),
        ("sensitivity", ["influence", CANCER, "--outcome", "qol_long", "--gosh"]),
        ("sensitivity", ["multiverse", HIIT, "--outcome", "hba1c"]),
        ("preset", ["compare", CANCER, "--preset", "iqwig8"]),
        ("joint", ["joint", CANCER]),
        ("borrow", ["borrow", METASTATIC]),
        ("borrow", ["borrow", METASTATIC, "--outcome", "qol", "--weight", "0.5"]),
        ("ppc", ["ppc", DEPRESSION]),
        ("ppc", ["ppc", CIPN, "--outcome", "symptoms_by_duration", "--moderated"]),
        ("profiles", ["profiles", CANCER, "--outcome", "fatigue_short", "--outcome", "qol_short"]),
    ],
    ids=lambda item: item if isinstance(item, str) else " ".join(str(getattr(i, "name", i)) for i in item[:2]),
)
def test_outputs_keep_to_their_schemas(record, schema, arguments):
    found = record(schema, *arguments)
    assert found["schema_version"] == 2


@pytest.mark.parametrize("kind", ["forest", "heterogeneity", "benefit-curve", "funnel", "bubble"])
def test_pictures_come_with_their_table_and_alt_text(record, tmp_path, kind):
    extra = ["--moderator", "duration"] if kind == "bubble" else []
    found = record("plot", kind, DEPRESSION, "-o", tmp_path / "picture.svg", *extra)
    assert found["plot"] == kind
    assert "10 trials" in found["alt"]
    assert len(found["rows"]) >= 10


@pytest.mark.parametrize("kind", ["mu-tau", "new-study", "icons"])
def test_pictures_of_the_posterior_come_with_their_table(record, tmp_path, kind):
    found = record("plot", kind, DEPRESSION, "-o", tmp_path / "picture.svg")
    assert found["plot"] == kind
    assert found["rows"]


def test_a_long_forest_plot_goes_on_on_numbered_files(record, tmp_path):
    options = ["--page", "120", "--style", "bmj", "--order", "-effect", "--limits=-3,1", "--ridge", "--no-shrinkage"]
    found = record("plot", "forest", DEPRESSION, "-o", tmp_path / "picture.svg", *options)
    assert {path.name for path in tmp_path.glob("*.svg")} >= {"picture.svg", "picture-2.svg"}
    drawn = [row["estimate"] for row in found["rows"] if row["kind"] == "estimate"]
    assert drawn == sorted(drawn, reverse=True)


def test_several_analyses_stand_under_one_key(record):
    found = record("pool", *POOLED, "--by", "itt")
    assert list(found) == ["schema_version", "analyses"]
    assert [item["outcome"] for item in found["analyses"]] == ["No", "Yes"]
    # counted in data/exercise_depression_10_trials.csv
    assert [item["k"] for item in found["analyses"]] == [9, 1]
    assert envelope([head("SMD")]) == head("SMD")


def test_classical_numbers_are_metafors(record, bcg, bcg_csv):
    found = record("pool", "pool", bcg_csv, "--measure", "RR")["classical"]
    keys = {"estimate": "estimate", "se": "se", "lower": "ci_low", "upper": "ci_high", "p": "pval", "tau2": "tau2"}
    pairs = {name: name for name in ("EE", "DL", "REML", "ML", "PM", "EB", "HE", "HS", "SJ")}
    pairs |= {
        "REML+t": "REML_t",
        "REML+HKSJ": "REML_knha",
        "REML+HKSJ-adhoc": "REML_adhoc",
        "DL+HKSJ": "DL_knha",
        "PM+HKSJ": "PM_knha",
    }
    for ours, theirs in pairs.items():
        reference = bcg["classical"][theirs]
        for key, name in keys.items():
            assert found[ours][key] == pytest.approx(reference[name], rel=METAFOR, abs=METAFOR), (ours, key)
        assert found[ours]["q"] == pytest.approx(reference["Q"], rel=METAFOR)
    reml = bcg["classical"]["REML"]
    assert found["REML"]["i2_tau2"] == pytest.approx(reml["I2"], rel=METAFOR)
    assert found["REML"]["h2"] == pytest.approx(reml["H2"], rel=METAFOR)
    assert found["REML"]["pi"]["normal"] == pytest.approx([reml["pi_low"], reml["pi_high"]], rel=METAFOR)
    hksj = bcg["classical"]["REML_knha"]
    assert found["REML+HKSJ"]["pi"]["t_km1"] == pytest.approx([hksj["pi_low"], hksj["pi_high"]], rel=METAFOR)
    # published.md 6.1: "HTS t(k-2), classic SE" and "HK-PR t(k-2), HK SE"
    assert found["REML+HKSJ"]["pi"]["hts_t_km2"] == pytest.approx([-2.008376, 0.579311], abs=SIX_DECIMALS)
    assert found["REML+HKSJ"]["pi"]["hkpr_t_km2"] == pytest.approx([-2.009058, 0.579993], abs=SIX_DECIMALS)
    assert found["EE"]["pi"] == dict.fromkeys(("normal", "t_km1", "hts_t_km2", "hkpr_t_km2"))


def test_bayesian_numbers_are_those_of_quadrature_on_log_tau(record, bcg_csv):
    found = record("pool", "pool", bcg_csv, "--measure", "RR", "--mu", "flat()", "--tau", "halfnormal(0.5)")
    bayes = found["bayes"]
    # published.md 6.1, "Bayes HN(0.5), flat mu, exact quadrature"
    expected = {"median": -0.709151, "mean": -0.711860, "sd": 0.187327, "lower": -1.091197, "upper": -0.347000}
    assert bayes["mu"] == pytest.approx(expected, abs=SIX_DECIMALS)
    assert bayes["tau"]["median"] == pytest.approx(0.553754, abs=SIX_DECIMALS)
    assert (bayes["theta_new"]["lower"], bayes["theta_new"]["upper"]) == pytest.approx(
        (-1.958110, 0.517247), abs=SIX_DECIMALS
    )
    assert bayes["p_below_null"] == pytest.approx(0.9996204, abs=SIX_DECIMALS / 10)
    assert bayes["p_new_below_null"] == pytest.approx(0.886091, abs=SIX_DECIMALS)
    # a flat prior has no evidence
    assert bayes["log_evidence"] is None
    assert found["scale"] == "log"


def test_benefit_is_published_md_on_the_threshold_of_a_ratio(record, bcg_csv):
    found = record(
        "pool",
        "pool",
        bcg_csv,
        "--measure",
        "RR",
        "--mu",
        "flat()",
        "--tau",
        "halfnormal(0.5)",
        "--better",
        "lower",
        "--threshold",
        "0.8",
    )
    mean, new = found["benefit"]
    # published.md 6.1, "thresholds, exact"
    assert mean["benefit"] == -math.log(0.8)
    assert mean["p_important_benefit"] == pytest.approx(0.994136, abs=SIX_DECIMALS)
    assert new["p_important_benefit"] == pytest.approx(0.800262, abs=SIX_DECIMALS)
    assert found["sentence"] is not None
    assert found["caveat"] == bm.CAVEAT


def test_fit_gives_the_librarys_numbers_to_the_bit(record):
    found = record("fit", "fit", CANCER, "--outcome", "anxiety_short")
    protocol = bm.read_protocol(CANCER)
    outcome, effects = protocol.outcomes["anxiety_short"], bm.read_effects(protocol, "anxiety_short")
    fit = bm.fit(effects, outcome.model.on(), outcome=outcome)
    summary = bm.summarize(fit)
    for name in ("mu", "tau", "theta_new"):
        assert found["bayes"][name] == summary.loc[name, ["mean", "sd", "median", "lower", "upper"]].to_dict()
    assert found["bayes"]["log_evidence"] == fit.log_evidence
    table = bm.benefit_table(fit)
    assert [row["p_important_harm"] for row in found["benefit"]] == table["p_important_harm"].tolist()
    moderated = bm.fit(effects, outcome.model.on(effects), outcome=outcome, analysis="moderated")
    contrasts = bm.contrast_table(moderated)
    rows = found["moderated"]["moderators"]["rows"]
    for row, (_, expected) in zip([r for r in rows if r["part"] == "contrast"], contrasts.iterrows(), strict=True):
        assert (row["name"], row["median"], row["p_below_null"]) == tuple(
            expected[["contrast", "median", "p_below_null"]]
        )
    levels = [row for row in rows if row["part"] == "level"]
    assert [row["k"] for row in levels] == [6, 2, 4, 5, 7]
    for row in levels:
        at = {row["moderator"]: row["name"]}
        assert row["median"] == bm.predict(moderated, at).loc["mu", "median"]
        benefit = bm.benefit_table(moderated, [outcome.decision.primary], at=at).set_index("target")
        for column in ("p_any_benefit", "p_important_benefit", "p_important_harm"):
            assert row[column] == pytest.approx(benefit.loc["mean effect", column], rel=1e-12)
            assert row[f"{column}_new"] == pytest.approx(benefit.loc["new study", column], rel=1e-12)
    hksj = bm.classical.pool(effects, method="REML", ci="hksj")
    assert found["classical"]["REML+HKSJ"]["upper"] == hksj.upper
    assert found["classical"]["REML+HKSJ"]["pi"]["t_km1"] == [hksj.pi_lower, hksj.pi_upper]


def test_what_is_not_estimable_says_why(record):
    found = record("fit", "fit", CANCER, "--outcome", "qol_long")["moderated"]
    assert found["estimable"] is False
    assert found["reason"] == "not estimable: 3 trials, 3 coefficients, rank 3; 5 trials are needed"
    assert (found["moderators"], found["others"], found["log_evidence"]) == (None, [], None)


def test_run_json_keeps_to_its_schema(capsys, tmp_path):
    assert main(["fit", str(DEPRESSION), "-o", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    found = strict((tmp_path / "out" / "run.json").read_text("utf-8"))
    jsonschema.validate(found, output_schema("run"), cls=jsonschema.Draft202012Validator)
    assert list(found)[: len(HEAD)] == HEAD
    assert found["reportable"] is True
    checks = found["outcomes"]["depression"]["checks"]
    assert [check["analysis"] for check in checks] == ["pooled", "moderated"]
    assert all(check["ok"] and check["value"] <= check["limit"] for check in checks)


def test_undefined_is_null(record, tmp_path):
    # k = 2, flat mu, half-Cauchy tau: the SDs of tau and mu are infinite (posterior tail of tau like tau**-3)
    path = tmp_path / "two.csv"
    path.write_text("study,estimate,se\nA,0.1,0.2\nB,0.4,0.3\n")
    found = record("pool", "pool", path, "--measure", "SMD", "--mu", "flat()", "--tau", "halfcauchy(0.5)")
    assert found["bayes"]["mu"]["sd"] is None
    assert found["bayes"]["tau"]["sd"] is None
    assert found["bayes"]["mu"]["median"] is not None
    assert found["classical"]["REML"]["pi"]["hts_t_km2"] is None
    assert found["benefit"] is None


def test_sensitivity_gives_ranges_over_priors_and_over_everything(record):
    found = record("sensitivity", "sensitivity", CANCER, "--outcome", "fatigue_short", "--section", "declared")
    section = found["sections"]["declared"]
    runs = {row["analysis"]: row for row in section["rows"]}
    declared = {item.name: item for item in bm.read_protocol(CANCER).sensitivities_of("fatigue_short")}
    # an interaction is asked of the moderated analysis, and compared with it
    crossed = "exercise type differs between during and after treatment"
    assert list(runs) == [
        "main analysis",
        *(name for name in declared if name != crossed),
        "main analysis, moderated",
        crossed,
    ]
    assert found["not_done"] == {}
    priors = [key for key, item in declared.items() if all(change.startswith("priors.") for change in item.changes)]
    for name, rows in {
        "prior_range": [runs[key] for key in ("main analysis", *priors)],
        "range": [row for row in runs.values() if row["varies"] == "pooled"],
        "range_moderated": [row for row in runs.values() if row["varies"] == "moderated"],
    }.items():
        for line in section["summary"][name]:
            values = [row[line["quantity"]] for row in rows]
            assert (line["main"], line["minimum"], line["maximum"]) == (values[0], min(values), max(values))
    effects = bm.read_effects(CANCER, "fatigue_short")
    outcome = declared[crossed].outcomes["fatigue_short"]
    fit = bm.fit(effects, outcome.model.on(effects), outcome=outcome)
    assert runs[crossed]["log_evidence"] == fit.log_evidence
    main = bm.analyse(CANCER, "fatigue_short", declared=False).moderated
    mu = bm.summarize(main).loc["mu"]
    assert runs["main analysis, moderated"]["change"] == 0
    assert runs[crossed]["change"] == pytest.approx((runs[crossed]["mu"] - mu["median"]) / mu["sd"], rel=1e-9)


def test_leave_one_out_is_the_librarys(record):
    found = record("sensitivity", "sensitivity", DEPRESSION, "--section", "leave-one-out")
    fit = bm.fit(bm.read_effects(DEPRESSION, "depression"), bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    expected = bm.sensitivity.leave_one_out(fit)
    section = found["sections"]["leave-one-out"]
    assert section["summary"]["elpd"] == expected.attrs["elpd"]
    assert [row["mu"] for row in section["rows"]] == expected["mu"].tolist()
    assert list(found["sections"]) == ["leave-one-out"]


def test_check_tells_rows_with_their_formula_and_what_was_done(record):
    found = record("check", "check", CANCER)
    by_name = {item["outcome"]: item for item in found["analyses"]}
    assert len(by_name) == 12
    long = by_name["fatigue_long"]
    # data/cancer_exercise_trials.provenance.toml: START's resistance row at the long horizon is coded the other way
    assert "START (Courneya 2007)" in {row["study"] for row in long["sign_reversed"]}
    effects = bm.read_effects(CANCER, "fatigue_long")
    assert [row["y"] for row in long["rows"]] == effects.y.tolist()
    assert all(row["formula"] for row in long["rows"])


def test_plain_leaves_nothing_that_json_lacks():
    found = plain({"a": np.array([1.0, np.inf]), "b": np.int64(3), "c": pd.NA, "d": (np.bool_(True), "x"), "e": None})
    assert found == {"a": [1.0, None], "b": 3, "c": None, "d": [True, "x"], "e": None}
    assert strict(json.dumps(found, allow_nan=False)) == found


def test_small_k_notes_follow_the_stated_policy():
    # one, two, three to four, five and more trials each have their own sentence
    notes = [small_k_note(k) for k in range(1, 8)]
    assert notes[2] == notes[3]
    assert len(set(notes[4:])) == 1
    assert len(set(notes)) == 4


# -- rates, and one arm ------------------------------------------------------------------------------------------------

RATES = {
    "PLO": ("events,n", ("3,20", "0,15", "7,40", "12,50"), 0.2, "normal(0, 2)"),
    "MN": ("mean,sd,n", ("24.1,6.2,20", "27.5,7,15", "22.3,5.9,40", "25,6.8,50"), 26, "normal(25, 10)"),
    "IRLN": ("events,time", ("3,200", "1,150", "7,410", "12,520"), 0.03, "normal(-3, 3)"),
    "IRR": ("events_t,time_t,events_c,time_c", ("3,200,7,190", "1,150,4,155", "7,410,9,400"), 0.8, "normal(0, 1)"),
}


@pytest.fixture(params=RATES)
def rates(request, tmp_path):
    """A table and its protocol."""
    head, rows, at, mu = RATES[request.param]
    lines = [f"study,{head}", *(f"T{i},{row}" for i, row in enumerate(rows))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    worse = "worse = 1.25, " if request.param == "IRR" else ""
    (tmp_path / "p.toml").write_text(
        f"""schema = 2
title = "T"
[data]
path = "t.csv"
[defaults]
measure = "{request.param}"
better = "lower"
priors.mu = "{mu}"
priors.tau = "halfnormal(1)"
[outcome.x]
label = "X"
thresholds = [ {{ name = "panel", benefit = {at}, {worse}source = "s", kind = "panel" }} ]
"""
    )
    return request.param, tmp_path, at, mu


def test_of_one_arm_there_is_no_probability_of_an_effect(rates, record):
    name, folder, at, mu = rates
    options = ["--measure", name, "--mu", mu, "--tau", "halfnormal(1)", "--better", "lower", "--threshold", at]
    found = record("pool", "pool", folder / "t.csv", *options)
    fit, benefit = (record(what, what, folder / "p.toml") for what in ("fit", "benefit"))
    for bayes in (found["bayes"], fit["bayes"]):
        assert (bayes["p_below_null"] is None) == (name != "IRR")
        assert (bayes["p_new_below_null"] is None) == (name != "IRR")
    for row in benefit["benefit"]:
        assert (row["p_any_benefit"] is None) == (name != "IRR")
        assert 0 < row["p_important_benefit"] < 1
