"""The protocols that ship beyond the main one: what they ask, and the rows and covariances they ask it of.

Authority: the data files (held by `studies/test_data.py`), closed forms of shared arms, stated correlations.
"""

import math
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.model import Exchangeable, MissingNumeric, Monotone, OutlierEffects, Spline, StudentEffects
from bayesmeta.plan import JointPlan, vary
from bayesmeta.protocol import read_protocol
from bayesmeta.studies import read_effects, read_outcome

ROOT = Path(__file__).parents[1]
# two roundings of the same closed form
CLOSED = 1e-12


def protocol(name: str) -> bm.Protocol:
    return read_protocol(ROOT / f"models/{name}.toml")


# -- neuropathy --------------------------------------------------------------------------------------------------------


def test_neuropathy_says_what_it_is_and_asks_one_moderator_at_a_time():
    asked = protocol("cipn")
    assert "demonstration of method" in asked.title
    moderators = {key: [item.name for item in outcome.model.moderators] for key, outcome in asked.outcomes.items()}
    assert moderators == {f"symptoms_by_{name}": [name] for name in ("exercise", "timing", "weeks", "duration")}
    for key, outcome in asked.outcomes.items():
        effects = read_effects(asked, key)
        model = outcome.model.on(effects)
        assert (effects.k, effects.n_trials, outcome.selection.missing) == (5, 5, "impute")
        assert bm.estimable(effects, model).ok
        assert all(prior.proper for prior in (model.mu, model.tau))


def test_neuropathy_effects_point_towards_fewer_symptoms():
    effects = read_effects(protocol("cipn"), "symptoms_by_timing")
    signs = dict(zip(effects.study, np.sign(effects.y).tolist(), strict=True))
    # FACT/GOG-Ntx of Bao 2020 is better when higher: 2.89 points more is fewer symptoms; MI-Walk's motor score rose
    assert signs == {"Bao 2020": -1, "Kleckner 2018": -1, "Cao 2023 (WALC)": -1, "MI-Walk 2021": 1, "Bland 2019": -1}


def test_durations_that_are_not_printed_are_imputed_and_shifted():
    asked = protocol("cipn")
    effects = read_effects(asked, "symptoms_by_duration")
    stated = effects.moderators["duration"]
    assert [s for s, x in zip(effects.study, stated, strict=True) if x == x] == ["Bao 2020", "Cao 2023 (WALC)"]
    model = asked.outcomes["symptoms_by_duration"].model.on(effects)
    population = model.missing["duration"]
    assert isinstance(population, MissingNumeric)
    assert (population.family, population.shift) == ("lognormal", 0.0)
    shifts = {
        item.outcomes["symptoms_by_duration"].model.impute["duration"].shift
        for item in asked.sensitivities
        if item.changes == ("impute.duration",)
    }
    assert shifts == {0.7, -0.7}


def test_every_neuropathy_sensitivity_can_be_read():
    asked = protocol("cipn")
    for item in asked.sensitivities:
        for key, outcome in item.outcomes.items():
            effects = read_effects(vary(asked, item.name), key)
            assert outcome.model.on(effects)
    months = read_effects(vary(asked, "Kleckner 2018: duration taken to be in months"), "symptoms_by_duration")
    assert np.isfinite(months.moderators["duration_assumed"]).sum() == 3


# -- all horizons together ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["fatigue", "qol", "depression", "anxiety"])
def test_identical_repeated_rows_enter_once(key):
    asked = protocol("cancer_horizons")
    reading = read_outcome(asked, key)
    cramer = [i for i, study in enumerate(reading.effects.study) if study == "Cramer 2016"]
    assert [reading.effects.moderators["horizon"][i] for i in cramer] == ["short"]
    assert [record.study for record in reading.excluded] == ["Cramer 2016"]
    assert "Identical repeated rows" in reading.excluded[0].reason
    assert asked.outcomes[key].selection.cluster == "study"
    assert repr(asked.outcomes[key].model.on().cluster_tau) == "halfnormal(0.25)"


@pytest.mark.parametrize(("name", "r"), [(None, 0.5), ("nearly independent", 0.2), ("nearly the same", 0.8)])
def test_rows_of_start_have_the_covariance_of_arms_and_times(name, r):
    asked = protocol("cancer_horizons")
    if name is not None:
        asked = vary(asked, next(item.name for item in asked.sensitivities if name in item.name))
    effects = read_effects(asked, "fatigue")
    rows = [i for i, study in enumerate(effects.study) if study.startswith("START")]
    S, y, se, n = effects.covariance(), effects.y, effects.se, effects.n
    cells = [(effects.arms[i][0], effects.moderators["horizon"][i]) for i in rows]
    assert len(set(cells)) == 4
    for i, (arm, horizon) in zip(rows, cells, strict=True):
        for j, (other_arm, other_horizon) in zip(rows, cells, strict=True):
            if i == j:
                expected = se[i] ** 2
            elif arm == other_arm:
                expected = r * se[i] * se[j]
            else:
                # Gleser and Olkin 2009, each effect by its own pooled SD; the control's size may differ between times
                n_c = (n[i, 1] + n[j, 1]) / 2
                expected = 1 / n_c + y[i] * y[j] * n_c / (2 * (n[i, 0] + n_c) * (n[j, 0] + n_c))
                expected *= 1 if horizon == other_horizon else r
            assert math.isclose(S[i, j], expected, rel_tol=CLOSED), (i, j)
    assert np.linalg.eigvalsh(S).min() > 0


def test_trials_with_one_pair_of_arms_at_two_times():
    effects = read_effects(protocol("cancer_horizons"), "fatigue")
    rows = [i for i, study in enumerate(effects.study) if study == "Jong 2018"]
    assert len(rows) == 2
    a, b = rows
    assert math.isclose(effects.covariance()[a, b], 0.5 * effects.se[a] * effects.se[b], rel_tol=CLOSED)


# -- heavy tails, curves, joint outcomes -------------------------------------------------------------------------------


def test_robust_models_of_the_same_rows():
    asked = protocol("cancer_robust")
    kinds = {key: type(outcome.model.on().random) for key, outcome in asked.outcomes.items()}
    assert kinds == {"fatigue_student": StudentEffects, "fatigue_outliers": OutlierEffects}
    main = read_effects(protocol("cancer_exercise"), "fatigue_short")
    for key in asked.outcomes:
        effects = read_effects(asked, key)
        assert np.array_equal(effects.y, main.y)
        assert np.array_equal(effects.covariance(), main.covariance())
    types = vary(asked, "types of exercise exchangeable")
    moderated = types.outcomes["fatigue_student"].model.on(read_effects(types, "fatigue_student").moderators)
    assert isinstance(moderated.beta["exercise"], Exchangeable)
    assert moderated.random is None


def test_curves_of_the_dependence_on_weeks():
    asked = protocol("depression_dose")
    effects = read_effects(asked, "line")
    terms = {key: outcome.model.on(effects).beta["duration"] for key, outcome in asked.outcomes.items()}
    assert isinstance(terms["spline"], Spline)
    assert isinstance(terms["monotone"], Monotone)
    for key, outcome in asked.outcomes.items():
        assert bm.estimable(effects, outcome.model.on(effects)).ok, key


def test_the_four_short_outcomes_are_joint():
    asked = protocol("cancer_exercise")
    names = ("fatigue_short", "qol_short", "depression_short", "anxiety_short")
    assert asked.joint == JointPlan(names, 0.5, 2.0)
    assert {item.joint.correlation for item in asked.sensitivities if item.joint} == {0.2, 0.8}
