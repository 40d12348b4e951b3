"""Protocols: those that ship, inheritance, thresholds, sensitivity analyses, and every fault at once.

Authority: the rules of the protocol format (docstring of `bayesmeta.protocol`, JSON Schema) and closed forms.
"""

import hashlib
import math
import pickle
import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from bayesmeta.errors import ModelError, ProtocolError
from bayesmeta.plan import vary
from bayesmeta.priors import Normal, parse
from bayesmeta.protocol import protocol_schema, read_protocol

ROOT = Path(__file__).parents[2]
MODELS = sorted((ROOT / "models").glob("*.toml"))
# logarithms of stated ratios are closed forms: only rounding separates them
EXACT = 1e-15

HEAD = 'schema = 2\ntitle = "T"\n[data]\npath = "t.csv"\n'
PRIORS = 'priors.mu = "normal(0, 1)"\npriors.tau = "halfnormal(0.5)"\n'
OUTCOME = f'[outcome.pain]\nlabel = "Pain"\nmeasure = "SMD"\nbetter = "lower"\n{PRIORS}'


def threshold(benefit: object, worse: object) -> str:
    entry = f'{{ name = "a", benefit = {benefit}, worse = {worse}, source = "s", kind = "panel" }}'
    return f"thresholds = [{entry}]\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "p.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        read_protocol(write(tmp_path, text))
    return [str(fault) for fault in caught.value.faults]


# -- the protocols that ship -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_shipped_protocols_are_valid_and_fit_the_schema(path):
    protocol = read_protocol(path)
    assert protocol.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert protocol.data.sha256 == hashlib.sha256(protocol.data.path.read_bytes()).hexdigest()
    jsonschema.Draft202012Validator(protocol_schema()).validate(tomllib.loads(path.read_text(encoding="utf-8")))
    assert pickle.loads(pickle.dumps(protocol)) == protocol


def test_eight_protocols_ship():
    assert {path.stem for path in MODELS} == {
        "cancer_exercise",
        "cancer_horizons",
        "cancer_robust",
        "cipn",
        "depression_dose",
        "exercise_depression",
        "hiit",
        "metastatic",
    }


def test_cancer_protocol_asks_twelve_questions():
    protocol = read_protocol(ROOT / "models/cancer_exercise.toml")
    expected = {f"{o}_{h}" for o in ("fatigue", "qol", "depression", "anxiety") for h in ("short", "medium", "long")}
    assert set(protocol.outcomes) == expected
    for key, outcome in protocol.outcomes.items():
        name, horizon = key.split("_")
        assert outcome.selection.where == {"outcome": name, "horizon": horizon, "comparator": "no exercise"}
        assert outcome.selection.better == ("higher" if name == "qol" else "lower")
        assert (repr(outcome.model.mu), repr(outcome.model.tau), outcome.model.rho) == (
            "normal(0, 1)",
            "halfnormal(0.5)",
            0.5,
        )
        assert outcome.model.interactions == ()
        assert [m.name for m in outcome.model.moderators] == ["exercise", "timing"]
        assert outcome.decision.primary.name == "important"
        assert (outcome.decision.primary.benefit_distance, outcome.decision.thresholds[1].benefit_distance) == (
            0.5,
            0.2,
        )
        assert all(outcome.model.sources[role] for role in ("mu", "tau", "beta"))


def test_cancer_protocol_declares_its_sensitivity_set():
    protocol = read_protocol(ROOT / "models/cancer_exercise.toml")
    taus = {
        repr(item.outcomes["depression_short"].model.tau)
        for item in protocol.sensitivities
        if item.changes == ("priors.tau",) and "depression_short" in item.outcomes
    }
    assert {"halfnormal(0.25)", "halfnormal(1)", "halfcauchy(0.5)"} <= taus
    assert sum(text.startswith("rhodes2015") for text in taus) == 4
    assert sum(text.startswith("cochrane") for text in taus) == 2
    mus = {
        repr(next(iter(item.outcomes.values())).model.mu)
        for item in protocol.sensitivities
        if item.changes == ("priors.mu",)
    }
    assert {"normal(0, 0.2)", "flat()"} <= mus
    assert {i.outcomes["qol_short"].model.rho for i in protocol.sensitivities if i.changes == ("rho",)} == {0.0, 1.0}
    interaction = [item for item in protocol.sensitivities if item.changes == ("interactions",)]
    assert [set(item.outcomes) for item in interaction] == [
        {f"{o}_short" for o in ("fatigue", "qol", "depression", "anxiety")}
    ]
    assert all(item.reason for item in protocol.sensitivities)


# -- what a protocol means ---------------------------------------------------------------------------------------------


def test_defaults_are_inherited_key_by_key_and_overridden(tmp_path):
    protocol = read_protocol(
        write(
            tmp_path,
            HEAD
            + f"""
[defaults]
measure = "SMD"
better = "lower"
moderators = ["type", {{ name = "weeks", per = 4 }}]
{PRIORS}
priors.beta.weeks = "normal(0, 0.1)"
[outcome.a]
label = "A"
[outcome.b]
label = "B"
better = "higher"
priors.tau = {{ dist = "halfcauchy", scale = 1, source = "Smith 2001" }}
priors.beta.type = "normal(0, 0.3)"
""",
        )
    )
    a, b = protocol.outcomes["a"], protocol.outcomes["b"]
    assert (a.selection.better, b.selection.better) == ("lower", "higher")
    priors = [(item.model.mu, item.model.tau) for item in (a, b)]
    mu = parse("normal(0, 1)")
    assert priors == [(mu, parse("halfnormal(0.5)")), (mu, parse("halfcauchy(1)"))]
    assert b.model.sources["tau"] == "Smith 2001"
    assert set(a.model.beta) == {"weeks"}
    assert set(b.model.beta) == {"weeks", "type"}
    assert (a.model.moderators[1].kind, a.model.moderators[1].per, a.model.moderators[0].kind) == ("numeric", 4.0, None)


def test_default_coefficient_priors_apply_where_none_is_stated(tmp_path):
    outcome = read_protocol(
        write(
            tmp_path,
            HEAD
            + OUTCOME
            + """
moderators = [{ name = "type", reference = "x" }, { name = "weeks", per = 6 }, "site"]
interactions = ["type:weeks"]
""",
        )
    ).outcomes["pain"]
    moderators = {
        "type": np.array(["x", "y"], object),
        "weeks": np.array([6.0, 12.0]),
        "site": np.array(["one", "one"], object),
    }
    beta = outcome.model.terms(moderators)
    assert {name: repr(item.prior) for name, item in beta.items()} == {
        "type": "normal(0, 0.5)",
        # 0.5 over two SDs of 6 and 12 weeks (SD 6 / sqrt(2)), per 6 weeks: 0.5 * 6 / (2 * 6 / sqrt(2))
        "weeks": repr(Normal(0, 0.5 * 6 / (2 * 6 / 2**0.5))),
        "type:weeks": repr(Normal(0, 0.5 * 6 / (2 * 6 / 2**0.5))),
    }
    assert (beta["type"].reference, beta["weeks"].per) == ("x", 6.0)
    assert dict(outcome.model.on().beta) == {}
    assert dict(outcome.model.on(moderators).beta) == beta


def test_coefficient_prior_is_required_where_the_scale_is_the_outcomes_own(tmp_path):
    found = faults(tmp_path, HEAD + OUTCOME.replace("SMD", "MD") + 'moderators = ["type"]\n')
    assert found == [
        "p.toml key outcome.pain.priors.beta.type: the key is missing: MD has no default coefficient prior. "
        "State it in the outcome's own unit."
    ]


@pytest.mark.parametrize(("better", "benefit", "worse"), [("lower", 0.75, 1.25), ("higher", 1.25, 0.8)])
def test_ratio_thresholds_become_distances_on_the_log_scale(tmp_path, better, benefit, worse):
    text = OUTCOME.replace('"lower"', f'"{better}"').replace("SMD", "RR")
    text += f'thresholds = [{{ name = "x", benefit = {benefit}, worse = {worse}, source = "s", kind = "panel" }}]\n'
    (threshold,) = read_protocol(write(tmp_path, HEAD + text)).outcomes["pain"].decision.thresholds
    assert threshold.primary
    assert (threshold.benefit, threshold.worse) == (benefit, worse)
    assert math.isclose(threshold.benefit_distance, abs(math.log(benefit)), rel_tol=EXACT)
    assert math.isclose(threshold.worse_distance, abs(math.log(worse)), rel_tol=EXACT)


def test_a_threshold_may_be_a_range_or_a_prior(tmp_path):
    text = (
        OUTCOME.replace("SMD", "OR")
        + """
thresholds = [
  { name = "a", benefit = { low = 0.7, high = 0.8 }, worse = 1.2, source = "s", kind = "anchor", primary = true },
  { name = "b", benefit = "uniform(0.1, 0.3)", worse = "halfnormal(0.2)", source = "s", kind = "panel" },
]
"""
    )
    first, second = read_protocol(write(tmp_path, HEAD + text)).outcomes["pain"].decision.thresholds
    assert np.allclose(first.benefit_distance, (-math.log(0.8), -math.log(0.7)), rtol=EXACT, atol=0)
    assert repr(second.benefit_distance) == "uniform(0.1, 0.3)"


def test_sensitivity_analyses_are_worked_out_per_outcome(tmp_path):
    second = OUTCOME.replace("pain", "sleep").replace("Pain", "Sleep")
    protocol = read_protocol(
        write(
            tmp_path,
            HEAD
            + OUTCOME
            + second
            + """
[[sensitivity]]
name = "wide"
priors.tau = "halfnormal(1)"
[[sensitivity]]
name = "without X"
outcomes = ["sleep"]
exclude = [{ where = { study = "X" }, reason = "outlier" }]
rho = 1
""",
        )
    )
    wide = vary(protocol, "wide")
    assert {key: repr(outcome.model.tau) for key, outcome in wide.outcomes.items()} == dict.fromkeys(
        ("pain", "sleep"), "halfnormal(1)"
    )
    without = vary(protocol, "without X")
    assert list(without.outcomes) == ["sleep"]
    assert without.outcomes["sleep"].selection.exclude[0].where == {"study": "X"}
    assert without.outcomes["sleep"].model.rho == 1.0
    assert [item.name for item in protocol.sensitivities_of("pain")] == ["wide"]
    with pytest.raises(ModelError, match="Did you mean wide"):
        vary(protocol, "wyde")
    with pytest.raises(ModelError, match="Did you mean pain"):
        protocol.outcome("pane")


def test_priors_in_text_form_and_in_table_form_are_the_same(tmp_path):
    table = OUTCOME.replace('"halfnormal(0.5)"', '{ dist = "halfnormal", scale = 0.5 }')
    assert read_protocol(write(tmp_path, HEAD + table)).outcomes["pain"].model.tau == parse("halfnormal(0.5)")


# -- faults ------------------------------------------------------------------------------------------------------------


def test_all_faults_of_all_tables_are_told_at_once(tmp_path):
    found = faults(
        tmp_path,
        """
schema = 2
titel = "T"
[data]
path = "../../etc/passwd"
sha256 = "abc"
[defaults]
measure = "SDM"
priors.tau = { dist = "halfnorml", scale = 1 }
[outcome.Pain]
label = "Pain"
better = "down"
moderators = ["type"]
interactions = ["type:weeks"]
priors.mu = { dist = "normal", mean = 0, sd = -1 }
[outcome.sleep]
label = 3
bettr = "lower"
thresholds = [{ name = "m", benefit = -0.5, worse = 0.5, source = "s", kind = "guess" }]
[[sensitivity]]
name = "s"
outcomes = ["slep"]
[[sensitivity]]
[sampling]
seed = "one"
[bia]
ensemble = "x"
""",
    )

    def told(key, *parts):
        return any(f"key {key}:" in line and all(part in line for part in parts) for line in found)

    assert told("titel", "is not a key here", "Did you mean title?", "Allowed: schema, title")
    assert told("bia", "is not a key here")
    assert told("title", "missing")
    assert told("data.sha256", "'abc' is not a SHA-256")
    assert told("defaults.measure", "'SDM'", "Did you mean SMD?", "generic")
    assert told("defaults.priors.tau", "halfnorml", "Did you mean halfnormal?")
    assert told("outcome.Pain", "is not a name")
    assert told("outcome.Pain.better", "'down' is not allowed", "'higher', 'lower'")
    assert told("outcome.Pain.interactions", "'type:weeks' is not a pair")
    assert told("outcome.Pain.priors.mu", "sd = -1 is not > 0")
    assert told("outcome.sleep.label", "3 is not text")
    assert told("outcome.sleep.bettr", "Did you mean better?")
    # a negative threshold is a fault of a measure of two arms, and which measure this is nothing says
    assert not told("outcome.sleep.thresholds[0].benefit", "-0.5 is not > 0")
    assert told(
        "outcome.sleep.thresholds[0].kind", "'guess' is not allowed", "'anchor', 'distribution', 'convention', 'panel'"
    )
    assert told("sensitivity[0]", "changes nothing")
    assert told("sensitivity[0].outcomes", "'slep' is not an outcome", "Did you mean sleep?")
    assert told("sensitivity[1].name", "missing")
    assert told("sampling.seed", "'one' is not a whole number")
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OUTCOME, "key schema: the key is missing"),
        ("schema = 3\n" + HEAD.split("\n", 1)[1] + OUTCOME, "3 is newer than this bayesmeta reads (2)"),
        (HEAD, "there is no outcome"),
        ('schema = 2\ntitle = "T"\n' + OUTCOME, "key data: the table is missing"),
        (HEAD + OUTCOME.replace(PRIORS, ""), "key outcome.pain.priors.tau: the key is missing. There is no default"),
        (HEAD + OUTCOME.replace("halfnormal(0.5)", "normal(0, 1)"), "tau: normal(0, 1) reaches below zero"),
        (HEAD + OUTCOME.replace("normal(0, 1)", "jeffreys()"), "mu: jeffreys() is not a prior of a location"),
        (HEAD + OUTCOME + "rho = 1.5\n", "key outcome.pain.rho: 1.5 is not <= 1"),
        (HEAD + OUTCOME + 'moderators = ["a", "a"]\n', "moderator 'a' stands twice"),
        (HEAD + OUTCOME + 'moderators = [{ name = "a", per = 2, reference = "x" }]\n', "both as numeric"),
        (HEAD + OUTCOME + 'priors.beta.wks = "normal(0, 1)"\nmoderators = ["weeks"]\n', "'wks' is not a moderator of"),
        (HEAD + OUTCOME + 'measure_options = { vtyp = "LS" }\n', "'vtyp' is not a key here. Did you mean vtype?"),
        (HEAD + OUTCOME + 'exclude = [{ where = { study = "X" } }]\n', "exclude[0].reason: the key is missing"),
        (HEAD + OUTCOME + "baseline_risk = 0.2\n", "a baseline risk belongs to OR, RR, RD, HR, not to SMD"),
        (HEAD + OUTCOME + 'likelihood = "normall"\n', "'normall' is not allowed"),
        (HEAD.replace("t.csv", "../../../t.csv") + OUTCOME, "leaves the project"),
        (HEAD.replace("t.csv", "/etc/passwd") + OUTCOME, "leaves the project"),
        (HEAD + OUTCOME + '[joint]\noutcomes = ["pain", "fain"]\n', "'fain' is not an outcome. Did you mean pain?"),
        (HEAD + OUTCOME + "[sampling]\nchains = 4\n", "key sampling.seed: the key is missing"),
        (HEAD + OUTCOME + threshold("nan", 1), "nan is neither a number, a range nor a prior"),
        (HEAD + OUTCOME.replace("SMD", "OR") + threshold(1.2, 1.2), "[0].benefit: 1.2 is not a ratio < 1 (OR"),
        (HEAD + OUTCOME.replace('better = "lower"\n', "") + threshold(1, 1), "thresholds need a direction"),
        (HEAD + OUTCOME + "[[outcome.pain]]\n", "not valid TOML"),
        (HEAD + OUTCOME + "moderators = [\n", "not valid TOML"),
        (HEAD + OUTCOME + 2 * '[[sensitivity]]\nname = "a"\nrho = 0\n', "two sensitivity analyses are named 'a'"),
        (HEAD + OUTCOME + '[sensitivity]\nname = "a"\nrho = 0\n', "Write [[sensitivity]], with two brackets"),
    ],
)
def test_a_broken_rule_is_told_with_its_key(tmp_path, text, expected):
    found = faults(tmp_path, text)
    assert any(expected in line for line in found), found


def test_two_primary_thresholds_in_the_defaults_are_one_fault(tmp_path):
    entry = '{{ name = "{}", benefit = 0.5, worse = 0.5, source = "s", kind = "panel", primary = true }}'
    text = f"[defaults]\nthresholds = [{entry.format('a')}, {entry.format('b')}]\n"
    found = faults(tmp_path, HEAD + text + OUTCOME + OUTCOME.replace("pain", "sleep"))
    assert len(found) == 1
    assert "key defaults.thresholds: 2 of 2 thresholds are primary" in found[0]


def test_a_byte_order_mark_is_read_and_other_encodings_are_refused(tmp_path):
    path = tmp_path / "p.toml"
    path.write_bytes((HEAD + OUTCOME).encode("utf-8-sig"))
    assert read_protocol(path).title == "T"
    path.write_bytes((HEAD + OUTCOME.replace("Pain", "Schmerz für")).encode("latin-1"))
    with pytest.raises(ProtocolError, match=r"p\.toml line 6: the file is not UTF-8\. Save it as UTF-8\."):
        read_protocol(path)
    path.write_bytes((HEAD + OUTCOME).encode("utf-16"))
    with pytest.raises(ProtocolError, match="not UTF-8"):
        read_protocol(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_protocol(tmp_path / "none.toml")


def test_data_may_lie_anywhere_inside_the_project(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "data").mkdir()
    path = tmp_path / "models" / "p.toml"
    path.write_text(HEAD.replace("t.csv", "../data/t.csv") + OUTCOME, encoding="utf-8")
    assert read_protocol(path).data.path == (tmp_path / "data" / "t.csv").resolve()
    path.write_text(HEAD.replace("t.csv", "../../t.csv") + OUTCOME, encoding="utf-8")
    with pytest.raises(ProtocolError, match="leaves the project"):
        read_protocol(path)


def test_the_schema_refuses_what_the_reader_refuses(tmp_path):
    validator = jsonschema.Draft202012Validator(protocol_schema())
    jsonschema.Draft202012Validator.check_schema(protocol_schema())
    good = tomllib.loads(HEAD + OUTCOME)
    validator.validate(good)
    for bad in (
        HEAD + OUTCOME + "x = 1\n",
        HEAD + OUTCOME.replace("SMD", "SDM"),
        OUTCOME,
        HEAD + OUTCOME + "rho = 2\n",
    ):
        assert not validator.is_valid(tomllib.loads(bad))
        assert faults(tmp_path, bad)


@pytest.mark.parametrize(
    ("text", "names", "pairs"),
    [
        ("weeks", ["weeks"], ()),
        ("type * timing + weeks", ["type", "timing", "weeks"], ("type:timing",)),
        ("type + timing + weeks + timing:type", ["type", "timing", "weeks"], ("timing:type",)),
        (" type*timing + timing * type ", ["type", "timing"], ("type:timing",)),
    ],
)
def test_moderators_as_text_are_the_keys_that_they_stand_for(tmp_path, text, names, pairs):
    as_text = read_protocol(write(tmp_path, HEAD + OUTCOME + f'moderators = "{text}"\n')).outcomes["pain"]
    listed = f"moderators = {names!r}\ninteractions = {list(pairs)!r}\n".replace("'", '"')
    as_keys = read_protocol(write(tmp_path, HEAD + OUTCOME + listed)).outcomes["pain"]
    assert as_text == as_keys
    assert as_text.model.interactions == pairs


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("type * timing * weeks", "an interaction is of two moderators, not type * timing * weeks"),
        ("type + ", "a name is missing"),
        ("type:timing", "type:timing without type alone"),
        ("type * type", "an interaction is of two moderators, not type * type"),
    ],
)
def test_moderators_as_text_say_what_is_wrong_with_them(tmp_path, text, what):
    (found,) = faults(tmp_path, HEAD + OUTCOME + f'moderators = "{text}"\n')
    assert found.startswith(f"p.toml key outcome.pain.moderators: {text!r}: {what}. ")
    assert "a * b for both and their interaction" in found


def test_moderators_as_text_go_without_the_key_interactions(tmp_path):
    (found,) = faults(tmp_path, HEAD + OUTCOME + 'moderators = "a * b"\ninteractions = ["a:b"]\n')
    assert "Remove the key interactions" in found
