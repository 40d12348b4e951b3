"""Keys of models beyond mean and heterogeneity: each in a protocol that is right and in one that is not.

Authority: the rules of the protocol format (docs/data.md, JSON Schema) and the nouns of `bayesmeta.model`.
"""

import tomllib
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.errors import ProtocolError
from bayesmeta.fits import dumps, loads
from bayesmeta.model import (
    Exchangeable,
    MissingLevels,
    MissingNumeric,
    MissingSD,
    Monotone,
    OutlierEffects,
    Spline,
    StudentEffects,
)
from bayesmeta.plan import BIAS_ENSEMBLES, BiasModelPlan, BiasPlan, JointPlan, vary
from bayesmeta.priors import parse
from bayesmeta.protocol import protocol_schema, read_protocol

HEAD = 'schema = 2\ntitle = "T"\n[data]\npath = "t.csv"\n'
PRIORS = 'priors.mu = "normal(0, 1)"\npriors.tau = "halfnormal(0.5)"\n'


def outcome(text: str = "", *, key: str = "pain", measure: str = "SMD", better: str = 'better = "lower"\n') -> str:
    return f'[outcome.{key}]\nlabel = "Pain"\nmeasure = "{measure}"\n{better}{PRIORS}{text}\n'


VALUES = {
    "weeks": np.array([4.0, 8.0, np.nan, 12.0]),
    "type": np.array(["a", "b", None, "a"], dtype=object),
}
WEEKS = '{ name = "weeks", curve = "spline", knots = [4, 8, 12], per = 4 }'
NUMBERS = 'mean = "normal(10, 5)", sd = "halfnormal(5)"'
IMPUTE_A = f'missing = "impute"\nimpute.a = {{ {NUMBERS} }}\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "p.toml"
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path: Path, text: str) -> bm.Protocol:
    protocol = read_protocol(write(tmp_path, text))
    jsonschema.Draft202012Validator(protocol_schema()).validate(tomllib.loads(text))
    return protocol


def model(tmp_path: Path, text: str, **options: str) -> bm.Model:
    """Give the moderated model of one outcome, after its outcome was stored and read again."""
    asked = read(tmp_path, HEAD + outcome(text, **options)).outcomes["pain"]
    assert loads(dumps(asked)) == asked
    return asked.model.on({item.name: VALUES[item.name] for item in asked.model.moderators})


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ProtocolError) as caught:
        read_protocol(write(tmp_path, text))
    return [str(fault) for fault in caught.value.faults]


# -- what each key means -----------------------------------------------------------------------------------------------


def test_binomial_likelihood_with_its_baseline(tmp_path):
    made = model(tmp_path, 'likelihood = "binomial"\npriors.baseline = "normal(-1, 1.5)"', measure="OR")
    assert (made.likelihood, made.baseline) == ("binomial", parse("normal(-1, 1.5)"))


def test_a_sensitivity_analysis_may_go_back_to_the_normal_likelihood(tmp_path):
    text = outcome('likelihood = "binomial"\npriors.baseline = "normal(0, 1.5)"', measure="OR")
    protocol = read(tmp_path, HEAD + text + '[[sensitivity]]\nname = "n"\nlikelihood = "normal"\n')
    varied = vary(protocol, "n").outcomes["pain"].model.on()
    assert (varied.likelihood, varied.baseline) == ("normal", None)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"normal"', None),
        ('{ dist = "student", df = "exponential(0.1)" }', StudentEffects(parse("exponential(0.1)"))),
        (
            '{ dist = "outliers", share = { dist = "uniform", low = 0, high = 0.5 }, extra = "halfnormal(1)" }',
            OutlierEffects(parse("uniform(0, 0.5)"), parse("halfnormal(1)")),
        ),
    ],
)
def test_random_effects(tmp_path, written, expected):
    assert model(tmp_path, f"random = {written}").random == expected


def test_clusters_with_and_without_a_working_correlation(tmp_path):
    both = 'cluster = "study"\nworking_correlation = 0.6\npriors.cluster_tau = "halfnormal(0.25)"'
    protocol = read(tmp_path, HEAD + outcome(both))
    asked = protocol.outcomes["pain"]
    assert (asked.selection.cluster, asked.selection.working_correlation) == ("study", 0.6)
    assert asked.model.on().cluster_tau == parse("halfnormal(0.25)")
    alone = read(tmp_path, HEAD + outcome('cluster = "study"\nworking_correlation = 0.6')).outcomes["pain"]
    assert alone.model.on().cluster_tau is None


def test_exchangeable_levels(tmp_path):
    made = model(
        tmp_path, 'moderators = [{ name = "type", pooling = "exchangeable", reference = "b" }]\nmissing="level"'
    )
    assert made.beta["type"] == Exchangeable(parse("halfnormal(0.35)"), "b")
    stated = 'moderators = [{ name = "type", pooling = "exchangeable" }]\npriors.beta.type = "halfcauchy(0.2)"'
    assert model(tmp_path, stated).beta["type"] == Exchangeable(parse("halfcauchy(0.2)"))


def test_the_default_of_exchangeable_levels_is_as_wide_as_that_of_contrasts():
    # Var of a difference of two levels: 2 E(s^2) = 2 * 0.35^2; half-normal: E(s^2) is its scale squared
    assert abs(2**0.5 * 0.35 - 0.5) < 0.01


def test_curves(tmp_path):
    made = model(tmp_path, f"moderators = [{WEEKS}]")
    assert made.beta["weeks"] == Spline(parse("normal(0, 0.25)"), parse("halfnormal(0.25)"), 4.0, (4.0, 8.0, 12.0))
    stated = f'moderators = [{WEEKS}]\npriors.beta.weeks = "normal(0, 1)"\npriors.curve.weeks = "halfnormal(2)"'
    assert model(tmp_path, stated, measure="MD").beta["weeks"] == Spline(
        parse("normal(0, 1)"), parse("halfnormal(2)"), 4.0, (4.0, 8.0, 12.0)
    )
    made = model(tmp_path, 'moderators = [{ name = "weeks", curve = "monotone" }]')
    assert made.beta["weeks"] == Monotone(parse("normal(0, 0.5)"), 4)
    source = read(tmp_path, HEAD + outcome(f"moderators = [{WEEKS}]")).outcomes["pain"].model.sources["beta"]
    assert "departure of a spline from its line half-normal(0.25)" in source


def test_populations_of_missing_moderators(tmp_path):
    made = model(
        tmp_path,
        f"""moderators = ["weeks", "type"]
missing = "impute"
impute.weeks = {{ family = "lognormal", {NUMBERS}, shift = 0.3 }}
[outcome.pain.impute.type]
concentration = 2
shift = {{ a = 0.7 }}""",
    )
    assert dict(made.missing) == {
        "weeks": MissingNumeric(parse("normal(10, 5)"), parse("halfnormal(5)"), "lognormal", 0.3),
        "type": MissingLevels(2.0, {"a": 0.7}),
    }


def test_a_population_enters_only_where_a_cell_is_empty(tmp_path):
    text = f'moderators = ["weeks"]\nmissing = "impute"\nimpute.weeks = {{ {NUMBERS} }}'
    asked = read(tmp_path, HEAD + outcome(text)).outcomes["pain"]
    assert dict(asked.model.on({"weeks": np.array([4.0, 8.0])}).missing) == {}
    assert dict(asked.model.on().missing) == {}


def test_populations_are_inherited_and_a_sensitivity_analysis_changes_one_number(tmp_path):
    protocol = read(
        tmp_path,
        HEAD
        + f"""[defaults]
missing = "impute"
impute.weeks = {{ {NUMBERS} }}
impute.type = {{ concentration = 1.0 }}
"""
        + outcome('moderators = ["weeks"]')
        + outcome('moderators = ["type"]', key="sleep")
        + """
[[sensitivity]]
name = "later"
outcomes = ["pain"]
impute.weeks.shift = 4
[[sensitivity]]
name = "complete"
missing = "exclude"
""",
    )
    assert set(protocol.outcomes["pain"].model.impute) == {"weeks"}
    assert set(protocol.outcomes["sleep"].model.impute) == {"type"}
    later = protocol.sensitivities[0]
    assert later.changes == ("impute.weeks",)
    assert later.outcomes["pain"].model.impute["weeks"] == MissingNumeric(
        parse("normal(10, 5)"), parse("halfnormal(5)"), "normal", 4.0
    )
    assert vary(protocol, "complete").outcomes["sleep"].selection.missing == "exclude"


@pytest.mark.parametrize(
    ("stated", "used"),
    [
        ("normal(0.5, 0.2)", "truncated(normal(0.5, 0.2), -0.99, 0.99)"),
        ("uniform(0, 1)", "uniform(0, 0.99)"),
        ("truncated(normal(0.5, 0.2), 0, 1)", "truncated(normal(0.5, 0.2), 0, 0.99)"),
        ("uniform(0.3, 0.8)", "uniform(0.3, 0.8)"),
    ],
)
def test_a_prior_of_the_correlation_is_cut_to_the_tabulated_range(tmp_path, stated, used):
    made = model(tmp_path, f'priors.derived.correlation = "{stated}"')
    assert dict(made.derived) == {"correlation": parse(used)}


def test_the_population_of_standard_deviations(tmp_path):
    made = model(tmp_path, 'priors.missing_sd = { meanlog = "normal(2, 1)", sdlog = "halfnormal(0.5)" }', measure="MD")
    assert made.missing_sd == MissingSD(parse("normal(2, 1)"), parse("halfnormal(0.5)"))


@pytest.mark.parametrize("engine", ["auto", "exact", "nuts", "both"])
def test_engines(tmp_path, engine):
    assert read(tmp_path, HEAD + outcome(f'engine = "{engine}"')).outcomes["pain"].model.engine == engine


def test_joint_outcomes_and_their_sensitivity(tmp_path):
    protocol = read(
        tmp_path,
        HEAD
        + outcome()
        + outcome(key="sleep")
        + """
[joint]
outcomes = ["pain", "sleep"]
eta = 1.5
[[sensitivity]]
name = "weak"
joint.correlation = 0.2
""",
    )
    assert protocol.joint == JointPlan(("pain", "sleep"), 0.5, 1.5)
    weak = protocol.sensitivities[0]
    assert (weak.changes, dict(weak.outcomes)) == (("joint.correlation",), {})
    assert vary(protocol, "weak").joint == JointPlan(("pain", "sleep"), 0.2, 1.5)
    assert protocol.sensitivities_of("pain") == ()


def test_sensitivity_analyses_may_change_any_of_these(tmp_path):
    base = (
        'cluster = "study"\nworking_correlation = 0.5\npriors.cluster_tau = "halfnormal(0.25)"\nmoderators = ["type"]'
    )
    protocol = read(
        tmp_path,
        HEAD
        + outcome(base)
        + outcome('moderators = ["type"]', key="sleep")
        + """
[[sensitivity]]
name = "a"
outcomes = ["pain"]
working_correlation = 0.8
priors.cluster_tau = "halfnormal(1)"
[[sensitivity]]
name = "b"
outcomes = ["sleep"]
random = { dist = "student", df = "exponential(0.1)" }
moderators = [{ name = "type", pooling = "exchangeable" }]
""",
    )
    a, b = (vary(protocol, name) for name in "ab")
    assert a.outcomes["pain"].selection.working_correlation == 0.8
    assert a.outcomes["pain"].model.cluster_tau == parse("halfnormal(1)")
    assert b.outcomes["sleep"].model.random == StudentEffects(parse("exponential(0.1)"))
    assert b.outcomes["sleep"].model.moderators[0].pooling == "exchangeable"


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (outcome('likelihood = "binomial"', measure="OR"), "needs the prior of the control risks. Add priors.baseline"),
        (outcome('likelihood = "binomial"\npriors.baseline = "normal(0, 1)"'), "is for OR, RR, RD, PLO, not SMD"),
        (outcome('priors.baseline = "normal(0, 1)"', measure="OR"), 'State likelihood = "binomial"'),
        (
            outcome(
                'likelihood = "binomial"\npriors.baseline = "normal(0, 1)"\ncluster = "c"\n'
                'priors.cluster_tau = "halfnormal(1)"',
                measure="OR",
            ),
            "key outcome.pain.priors.cluster_tau: the binomial likelihood goes with normal effects",
        ),
        (outcome('random = "studnt"'), "'studnt' is not a distribution of true effects"),
        (outcome('random = { dist = "student" }'), "student: df is missing"),
        (outcome('random = { dist = "student", df = "normal(0, 1)" }'), "df: normal(0, 1) reaches below zero"),
        (outcome('random = { dist = "outliers", share = "uniform(0, 2)", extra = "halfnormal(1)" }'), "above 1"),
        (outcome('random = { dist = "student", df = "exponential(1)", nu = 3 }'), "'nu' is not a key here"),
        (outcome('cluster = "study"'), "key outcome.pain.cluster: rows of one cluster depend on each other"),
        (outcome('priors.cluster_tau = "halfnormal(1)"'), "priors.cluster_tau: there is no cluster"),
        (outcome('cluster = "study"\npriors.cluster_tau = "normal(0, 1)"'), "cluster_tau: normal(0, 1) reaches below"),
        (
            outcome(
                'cluster = "c"\npriors.cluster_tau = "halfnormal(1)"\n'
                'random = { dist = "student", df = "exponential(1)" }'
            ),
            "key outcome.pain.random: clusters have normal random effects",
        ),
        (outcome('moderators = [{ name = "a", pooling = "partial" }]'), "'partial' is not allowed"),
        (outcome('moderators = [{ name = "a", pooling = "exchangeable", per = 2 }]'), "both as numeric (per, curve)"),
        (
            outcome('moderators = [{ name = "a", pooling = "exchangeable" }]\npriors.beta.a = "normal(0, 1)"'),
            "exchangeable sd: normal(0, 1) reaches below zero",
        ),
        (outcome('moderators = [{ name = "a", curve = "cubic" }]'), "'cubic' is not allowed"),
        (outcome('moderators = [{ name = "a", curve = "spline", knots = 2 }]'), "2 are not knots. Give a"),
        (outcome('moderators = [{ name = "a", curve = "spline", knots = [3, 2, 5] }]'), "[3, 2, 5] are not knots"),
        (outcome('moderators = [{ name = "a", knots = 4 }]'), "has knots and no curve"),
        (outcome('moderators = [{ name = "a", curve = "monotone", per = 4 }]'), "has no slope per unit"),
        (outcome('moderators = ["a"]\npriors.curve.a = "halfnormal(1)"'), "'a' is not a spline of this outcome"),
        (
            outcome('moderators = [{ name = "a", curve = "spline" }]\npriors.beta.a = "normal(0, 1)"', measure="MD"),
            "key outcome.pain.priors.curve.a: the key is missing",
        ),
        (
            outcome('moderators = [{ name = "a", curve = "spline" }, "b"]\ninteractions = ["a:b"]'),
            "a curve has no interactions",
        ),
        (outcome('moderators = ["a"]\nmissing = "imput"'), "'imput' is not allowed"),
        (outcome(f'moderators = ["a"]\nimpute.a = {{ {NUMBERS} }}'), "nothing is imputed"),
        (outcome('moderators = ["b"]\n' + IMPUTE_A), "'a' is not a moderator of pain"),
        (outcome('moderators = ["a"]\nmissing = "impute"\nimpute.a = { mean = "normal(0, 1)" }'), "a.sd: the key is"),
        (outcome('moderators = ["a"]\nmissing = "impute"\nimpute.a = {}'), "the population of 'a' is not stated"),
        (
            outcome(f'moderators = ["a"]\nmissing = "impute"\nimpute.a = {{ {NUMBERS}, concentration = 1 }}'),
            "both numeric and categorical",
        ),
        (
            outcome(f'moderators = ["a"]\nmissing = "impute"\nimpute.a = {{ {NUMBERS}, famly = "normal" }}'),
            "'famly' is not a key here. Did you mean family?",
        ),
        (
            outcome('moderators = ["a"]\nmissing = "impute"\nimpute.a = { concentration = 1, shift = "x" }'),
            "'x' is neither a number nor a table",
        ),
        (
            outcome('moderators = [{ name = "a", reference = "x" }]\n' + IMPUTE_A),
            "'a' is a categorical moderator, and its population is numeric",
        ),
        (
            outcome('moderators = [{ name = "a", curve = "spline" }]\n' + IMPUTE_A),
            "'a' is a curve, on which nothing can be imputed",
        ),
        ("[defaults]\n" + IMPUTE_A + outcome(), "'a' is a moderator of no outcome"),
        (outcome('priors.derived.correlation = "halfnormal(1)"', measure="OR"), "OR is never derived from means"),
        (outcome('heterogeneity_by = "type"'), "heterogeneity_by: 'type' is not a moderator of this outcome"),
        (outcome('priors.tau_by = { a = "halfnormal(1)" }'), "priors.tau_by: there is no heterogeneity_by"),
        (outcome('priors.tau_slope = "normal(0, 1)"'), "priors.tau_slope: there is no heterogeneity_by"),
        (
            outcome('moderators = [{ name = "type", pooling = "exchangeable" }]\nheterogeneity_by = "type"'),
            "'type' enters the mean effect by exchangeable levels",
        ),
        (
            outcome(
                'moderators = ["type"]\nheterogeneity_by = "type"\n'
                'cluster = "study"\npriors.cluster_tau = "halfnormal(1)"'
            ),
            "it goes with normal effects of independent trials",
        ),
        (
            outcome(
                'moderators = ["type"]\nheterogeneity_by = "type"\n'
                'priors.tau_by = { a = "halfnormal(1)" }\npriors.tau_slope = "normal(0, 1)"'
            ),
            "it is for a numeric moderator, and tau_by for levels",
        ),
        (
            outcome('moderators = ["type"]\nheterogeneity_by = "type"\npriors.tau_by = { a = "normal(0, 1)" }'),
            "reaches below zero",
        ),
        (outcome('priors.derived.correlation = "flat()"'), "flat() is improper"),
        (outcome('priors.derived.r = "uniform(0, 1)"'), "'r' is not a key here. Allowed: correlation"),
        (outcome('priors.missing_sd = { meanlog = "normal(0, 1)" }'), "priors.missing_sd.sdlog: the key is missing"),
        (
            outcome('priors.missing_sd = { meanlog = "normal(0, 1)", sdlog = "halfnormal(1)" }', measure="OR"),
            "it is for MD and SMD, not OR",
        ),
        (
            outcome('priors.missing_sd = { meanlog = "flat()", sdlog = "halfnormal(1)" }'),
            "missing sd, meanlog: flat() is improper",
        ),
        (outcome('engine = "pymc"'), "'pymc' is not allowed. Allowed: 'auto', 'exact', 'nuts', 'both'"),
        (outcome() + '[joint]\noutcomes = ["pain"]\n', "key joint.outcomes"),
        (outcome() + "[joint]\neta = 1\n", "key joint.outcomes: the key is missing"),
        (outcome() + '[joint]\noutcomes = ["pain", "pain"]\n', "outcome 'pain' stands twice"),
        (outcome() + outcome(key="b") + '[joint]\noutcomes = ["pain", "b"]\neta = 0\n', "key joint.eta: 0 is not > 0"),
        (
            outcome()
            + outcome(key="b")
            + outcome(key="c")
            + '[joint]\noutcomes = ["pain", "b", "c"]\ncorrelation = -0.5\n',
            "-0.5 between every two of 3 outcomes is impossible. Give a correlation above -0.5",
        ),
        (
            outcome() + outcome(key="b", better="") + '[joint]\noutcomes = ["pain", "b"]\n',
            "'b' does not say which direction is better",
        ),
        (outcome() + '[[sensitivity]]\nname = "a"\njoint.eta = 1\n', "there is no joint analysis to change"),
        (
            outcome('moderators = ["b"]') + '[[sensitivity]]\nname = "s"\n' + IMPUTE_A,
            "'a' is not a moderator of pain",
        ),
    ],
)
def test_a_broken_rule_is_told_with_its_key(tmp_path, text, expected):
    found = faults(tmp_path, HEAD + text)
    assert any(expected in line for line in found), found


def test_the_moderator_that_heterogeneity_may_differ_by_is_read_and_stored(tmp_path):
    text = 'moderators = ["type"]\nheterogeneity_by = "type"\npriors.tau_by = { a = "halfnormal(0.3)" }'
    plan = read(tmp_path, HEAD + outcome(text)).outcomes["pain"].model
    assert (plan.heterogeneity_by, plan.tau_by, plan.tau_slope) == ("type", {"a": bm.HalfNormal(0.3)}, None)
    assert loads(dumps(plan)) == plan
    # the headline stays pooled, with one tau
    assert plan.on().tau_by is None
    assert plan.on(VALUES).tau_by is None


def test_faults_of_several_parts_are_told_at_once(tmp_path):
    found = faults(
        tmp_path,
        HEAD
        + outcome(
            'cluster = "study"\nmoderators = [{ name = "a", knots = 4 }]\nrandom = "t"\n'
            'priors.derived.correlation = "flat()"'
        ),
    )
    assert len(found) == 4, found


# -- [bias] ------------------------------------------------------------------------------------------------------------


def test_models_of_publication_bias(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    assert read(tmp_path, HEAD + outcome()).bias is None
    assert read(tmp_path, HEAD + outcome() + "[bias]\n").bias == BiasPlan()
    stated = '[bias]\nensemble = "pp"\ndirection = "lower"\nmu = "normal(0, 0.5)"\ntau = "halfnormal(0.3)"\n'
    expected = BiasPlan("pp", "lower", parse("normal(0, 0.5)"), parse("halfnormal(0.3)"))
    assert read(tmp_path, HEAD + outcome() + stated).bias == expected
    own = '[[bias.model]]\nkind = "selection"\nsteps = [0.025, 0.5]\nsides = "two"\nweight = 3\n'
    own += '[[bias.model]]\nkind = "PET"\n'
    found = read(tmp_path, HEAD + outcome() + own).bias
    assert found == BiasPlan(models=(BiasModelPlan("selection", (0.025, 0.5), "two", 3.0), BiasModelPlan("PET")))
    # it is computed now, and nothing is said of it
    assert not recwarn.list


def test_names_of_ensembles_are_those_that_there_are() -> None:
    from bayesmeta.bias import ENSEMBLES, ensemble

    assert ENSEMBLES == BIAS_ENSEMBLES
    assert [ensemble(name).name for name in ENSEMBLES] == ["psma", "pp", "2w", "bma"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('ensemble = "robma"', ["bias.ensemble", "'robma'", "psma", "2w", "bma"]),
        ('direction = "up"', ["bias.direction", "higher", "lower"]),
        ("models = 1", ["'models' is not a key here", "model"]),
        ('mu = "flat()"', ["bias.mu", "improper", "normal(0, 1)"]),
        ('tau = "normal(0, 1)"', ["bias.tau", "not of positive numbers", "halfnormal"]),
        ('ensemble = "pp"\n[[bias.model]]\nkind = "PET"', ["ensemble and model are both stated"]),
        ('[[bias.model]]\nkind = "copas"', ["bias.model[0].kind", "selection", "PEESE"]),
        ('[[bias.model]]\nkind = "selection"', ["bias.model[0].steps", "needs steps", "[0.025, 0.5]"]),
        ('[[bias.model]]\nkind = "selection"\nsteps = [0.5, 0.05]', ["bias.model[0].steps", "do not ascend"]),
        ('[[bias.model]]\nkind = "selection"\nsteps = [0.0]', ["bias.model[0].steps[0]", "is not > 0"]),
        ('[[bias.model]]\nkind = "PET"\nsteps = [0.05]', ["bias.model[0]", "PET has no steps"]),
        ('[[bias.model]]\nkind = "PET"\nsides = "one"', ["bias.model[0]", "PET has no steps"]),
        ('[[bias.model]]\nkind = "PET"\nweight = 0', ["bias.model[0].weight", "is not > 0"]),
    ],
)
def test_faults_of_bias_models(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ProtocolError) as found:
        read_protocol(write(tmp_path, f"{HEAD}{outcome()}[bias]\n{text}\n"))
    assert len(found.value.faults) == 1
    assert [word for word in words if word not in str(found.value)] == []
