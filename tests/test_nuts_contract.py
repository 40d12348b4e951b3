"""A sampled fit beside an exact one, where test_engine_contract.py does not look: shared patients, no heterogeneity.

The same tree to the dtype, every question in the same form, nothing touched, files to the bit; what no engine answers.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.nuts import running
from bayesmeta.outcome import Outcome
from bayesmeta.quantities import marginal, quantities
from bayesmeta.sensitivity import variation_table
from bayesmeta.storage import dumps

Y, SE = [-0.9, -0.2, -0.5, 0.1, -0.35, -0.6, -0.1], [0.3, 0.2, 0.25, 0.4, 0.15, 0.3, 0.2]
BLOCK = np.array([[0.04, 0.02], [0.02, 0.16]])
LIMIT = bm.Threshold("MID", 0.3, 0.2, 0.3, 0.2, "a panel", "panel", True)
OUTCOME = Outcome(
    key="fatigue", label="Fatigue", where={"outcome": "fatigue"}, measure="SMD", better="lower", mu=bm.Normal(0, 1),
    tau=bm.HalfNormal(0.5), thresholds=(LIMIT,),
)  # fmt: skip
BETA = {"kind": bm.Coefficient(bm.Normal(0, 0.5), reference="b"), "weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6)}
N01, HN = bm.Normal(0, 1), bm.HalfNormal(0.5)
# what the automatic repetition would use: that one warns, and a warning is an error
SETTINGS = bm.Settings(target_accept=0.99)
SEED = 20261122
# of means, and of probabilities near one half, in Monte Carlo standard errors; 40 comparisons (0.3 % by chance)
MCSE = 4.0


def effects(*, blocks: bool = False, **options: Any) -> bm.Effects:
    study = [f"trial {i}" for i in range(7)]
    given: dict[str, Any] = {"n": np.full((7, 2), 25.0), **options}
    if blocks:
        study[3] = study[1]
        arms = [("exercise", "usual")] * 7
        arms[3] = ("yoga", "usual")
        given |= {"blocks": ((np.array([1, 3]), BLOCK),), "arms": arms}
    return bm.Effects(study, Y, SE, measure="SMD", better="lower", name="Fatigue", **given)


MODERATORS = {"kind": list("abacbcb"), "weeks": [6.0, 12, 8, 24, 10, 9, 14]}
CASES: dict[str, tuple[bm.Effects, bm.Model]] = {
    "shared patients": (effects(blocks=True), bm.Model(N01, HN)),
    "moderated": (effects(blocks=True, moderators=MODERATORS), bm.Model(N01, HN, BETA)),
    "common effect": (effects(), bm.Model(N01, None)),
}


@cache
def fitted(name: str, engine: str = "nuts") -> bm.Fit:
    made, model = CASES[name]
    hashes = {"data": "ab" * 32}
    fit = bm.fit(made, model, engine=engine, seed=SEED, outcome=OUTCOME, hashes=hashes, settings=SETTINGS)  # type: ignore[arg-type]
    assert fit.ok, fit.checks
    return fit


def pair(name: str) -> tuple[bm.Fit, bm.Fit]:
    return fitted(name, "exact"), fitted(name, "nuts")


# -- the tree ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_one_tree(name: str) -> None:
    exact, drawn = (fit.tree for fit in pair(name))
    assert set(exact.children) - set(drawn.children) == {"quadrature"}
    assert set(drawn.children) - set(exact.children) == {"sample_stats", "sampled"}
    for group in set(exact.children) & set(drawn.children):
        ours, theirs = exact[group].to_dataset(), drawn[group].to_dataset()
        assert list(ours.data_vars) == list(theirs.data_vars), group
        assert list(ours.coords) == list(theirs.coords), group
        for key in ours.variables:
            one, other = ours[key], theirs[key]
            assert (one.dims, one.shape, one.dtype.kind) == (other.dims, other.shape, other.dtype.kind), (group, key)
        for key in ours.coords:
            assert ours[key].values.tolist() == theirs[key].values.tolist(), (group, key)
    assert set(exact.attrs) == set(drawn.attrs)
    for key, value in exact.attrs.items():
        assert type(value) is type(drawn.attrs[key]), key
        if key not in ("engine", "draws", "versions"):
            assert value == drawn.attrs[key], key
    versions = [json.loads(tree.attrs["versions"]) for tree in (exact, drawn)]
    assert set(versions[1]) - set(versions[0]) == {"pymc", "nutpie"}
    # what does not depend on draws is the same in every bit
    for group in ("observed_data", "constant_data"):
        assert exact[group].to_dataset().identical(drawn[group].to_dataset())
    for key in ("model", "effects", "outcome"):
        assert exact["specification"][key].item() == drawn["specification"][key].item()


@pytest.mark.parametrize("name", CASES)
def test_statistics_have_arviz_names(name: str) -> None:
    """PyMC's and ArviZ's names of what a sampler says of itself."""
    stats = fitted(name).tree["sample_stats"]
    assert set(stats.data_vars) == {
        "acceptance_rate", "diverging", "energy", "lp", "n_steps", "reached_max_treedepth", "step_size", "tree_depth",
    }  # fmt: skip
    assert all(values.dims == ("chain", "draw") for values in stats.data_vars.values())
    assert stats["diverging"].dtype == stats["reached_max_treedepth"].dtype == bool


def test_number_of_draws_is_as_asked() -> None:
    made, model = CASES["shared patients"]
    fit = bm.fit(made, model, engine="nuts", settings=dataclasses.replace(SETTINGS, chains=2, draws=1500, tune=500))
    assert dict(fit.tree["posterior"].sizes) == {"chain": 2, "draw": 1500, "estimate": 7}
    assert fit.sample.settings["chains"] == 2
    assert fit.tree["prior"].sizes["draw"] == 1500


# -- answers -----------------------------------------------------------------------------------------------------------


def verbs(name: str) -> Mapping[str, Callable[[bm.Fit], Any]]:
    at = {"kind": "c"} if name == "moderated" else None
    return {
        "summarize": bm.summarize,
        "shortest": lambda fit: bm.summarize(fit, level=0.8, interval="shortest"),
        "predict": lambda fit: bm.predict(fit, at),
        "study_table": bm.study_table,
        "contrast_table": bm.contrast_table,
        "heterogeneity_table": bm.heterogeneity_table,
        "compare_table": lambda fit: bm.compare_table(fit.effects, fit),
        "benefit_table": bm.benefit_table,
        "benefit_curve": lambda fit: bm.benefit_curve(fit, np.linspace(-1, 1, 7), at=at),
        "band_table": lambda fit: bm.band_table(fit, [-0.2, 0.2, 0.5]),
        "responder_table": lambda fit: bm.responder_table(fit, 0.3, at=at),
        "share_of_settings": lambda fit: bm.share_of_settings(fit, 0.3),
        "benefit_sentence": lambda fit: bm.benefit_sentence(fit, LIMIT),
        "variation_table": lambda fit: variation_table({"main": fit}),
        "probability": lambda fit: {key: bm.probability(fit, key, below=-0.1) for key in quantities(fit)},
        "between": lambda fit: bm.probability(fit, "mu", between=(-0.4, 0.0)),
        "marginal": lambda fit: {
            key: (form.mean, form.sd, form.interval(0.9), float(form.density(-0.3)), form.quantile([0.1, 0.5]).tolist())
            for key in quantities(fit)
            for form in [marginal(fit, key)]
        },
        "quantities": quantities,
    }


VERBS = tuple(verbs("moderated"))


def answer(name: str, verb: str, engine: str) -> Any:
    """A verb's answer; the message where it does not apply."""
    try:
        return verbs(name)[verb](fitted(name, engine))
    except bm.ModelError as error:
        return str(error)


def form_of(value: Any) -> Any:
    """What must be the same whichever engine answers: columns, index, kinds of values, keys."""
    if isinstance(value, pd.DataFrame):
        kinds = {
            column: "number" if series.dtype.kind in "fiu" else series.dtype.kind for column, series in value.items()
        }
        return list(value.index), value.index.name, kinds
    if isinstance(value, Mapping):
        return {key: form_of(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [form_of(item) for item in value]
    return "number" if isinstance(value, (float, int)) else type(value).__name__


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", CASES)
def test_every_question_has_the_same_form(name: str, verb: str) -> None:
    exact, drawn = (answer(name, verb, engine) for engine in ("exact", "nuts"))
    if verb == "quantities":
        assert exact == drawn
        return
    assert form_of(exact) == form_of(drawn)
    if isinstance(exact, str) and verb != "benefit_sentence":
        # one refusal
        assert exact == drawn
    # text, and everything that is not an answer, is the same too
    if isinstance(exact, pd.DataFrame):
        for column in exact:
            if exact[column].dtype.kind not in "fiu" and column not in ("engine", "nnt", "method"):
                assert exact[column].tolist() == drawn[column].tolist(), column


@pytest.mark.parametrize("name", ["shared patients", "moderated"])
def test_only_simulation_error_is_between_them(name: str) -> None:
    """Means with their errors from the table, and probabilities of benefit."""
    exact, drawn = pair(name)
    one, other = bm.summarize(exact), bm.summarize(drawn)
    assert (one["mcse"] == 0).all()
    assert (other["mcse"] > 0).all()
    assert (np.abs(one["mean"] - other["mean"]) < MCSE * other["mcse"]).all()
    for key in ("mu", "theta_new"):
        p = bm.probability(exact, key, below=-0.3)
        form = marginal(drawn, key)
        assert abs(bm.probability(drawn, key, below=-0.3) - p) < MCSE * form.cdf_mcse(-0.3)  # type: ignore[union-attr]
    share = [bm.share_of_settings(fit, 0.3) for fit in (exact, drawn)]
    assert share[0].keys() == share[1].keys()
    # a share's mean is the probability of a new setting, by Rao-Blackwell: its error is below that of the indicator
    p = share[0]["share_mean"]
    assert share[1]["share_mean"] == pytest.approx(p, abs=MCSE * math.sqrt(p * (1 - p) / 2000))


def test_what_needs_the_evidence_says_so() -> None:
    drawn = fitted("shared patients")
    assert drawn.log_evidence is None
    with pytest.raises(bm.ModelError):
        bm.bayes_factor(drawn, drawn)
    with pytest.raises(bm.ModelError, match="exact engine"):
        _ = drawn.quadrature
    with pytest.raises(bm.ModelError, match="sampling engine"):
        _ = fitted("shared patients", "exact").sample


# -- nothing is touched ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["exact", "nuts"])
@pytest.mark.parametrize("name", CASES)
def test_no_question_touches_anything(name: str, engine: str) -> None:
    made, model = CASES[name]
    fit = fitted(name, engine)

    def state() -> list[str]:
        return [dumps(value) for value in (made, model, fit.effects, fit.model, fit.checks)]

    before, tree = state(), fit.tree.copy(deep=True)
    for verb in VERBS:
        answer(name, verb, engine)
    assert state() == before
    assert fit.tree.identical(tree)
    arrays = [made.y, made.se]
    if engine == "nuts":
        sample = fit.sample
        arrays += [sample.coefficients, sample.tau, sample.theta, sample.log_likelihood, *sample.others.values()]
        arrays += list(sample.deviations.values())
        assert np.array_equal(tree["posterior"]["mu"].values, sample.coefficients[0])
    # and what could be touched cannot be written to
    assert not any(array.flags.writeable for array in arrays)


def test_fitting_leaves_its_arguments_alone() -> None:
    made, model = CASES["moderated"]
    before = dumps(made), dumps(model)
    bm.fit(made, model, engine="both", settings=SETTINGS)
    assert (dumps(made), dumps(model)) == before


# -- seeds, cores, files -----------------------------------------------------------------------------------------------


def posterior_of(fit: bm.Fit) -> dict[str, np.ndarray]:
    return {str(name): values.values for name, values in fit.tree["posterior"].data_vars.items()}


def test_draws_depend_on_the_seed_and_not_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains have their own streams, so that it does not matter how many run at a time."""
    import nutpie

    made, model = CASES["shared patients"]
    first = posterior_of(fitted("shared patients"))
    assert len({values.tobytes() for values in first["mu"]}) == SETTINGS.chains
    original = nutpie.sample
    for cores in (1, 4):
        monkeypatch.setattr(nutpie, "sample", lambda *a, cores=cores, **given: original(*a, **given, cores=cores))
        found = posterior_of(bm.fit(made, model, engine="nuts", seed=SEED, settings=SETTINGS))
        for name, values in first.items():
            np.testing.assert_array_equal(found[name], values)
    other = posterior_of(bm.fit(made, model, engine="nuts", seed=SEED + 1, settings=SETTINGS))
    assert not any(np.array_equal(other[name], values) for name, values in first.items())


@pytest.mark.parametrize("name", CASES)
def test_a_sampled_fit_is_saved_bit_for_bit(name: str, tmp_path: Path) -> None:
    fit = fitted(name)
    loaded = bm.load(fit.save(tmp_path / "fit.nc"))
    assert (loaded.engine, loaded.seed, loaded.checks, loaded.ok) == ("nuts", fit.seed, fit.checks, fit.ok)
    assert loaded.sample.settings == dict(fit.sample.settings)
    for group in fit.tree.children:
        one, other = fit.tree[group].to_dataset(), loaded.tree[group].to_dataset()
        assert set(one.variables) == set(other.variables)
        for key in one.variables:
            np.testing.assert_array_equal(other[key].values, one[key].values)
    for verb, question in verbs(name).items():
        if isinstance(answer(name, verb, "nuts"), str):
            continue
        before, after = question(fit), question(loaded)
        if isinstance(before, pd.DataFrame):
            pd.testing.assert_frame_equal(after, before, check_exact=True, obj=verb)
        else:
            np.testing.assert_equal(after, before)
    again = bm.load(loaded.save(tmp_path / "again.nc"))
    pd.testing.assert_frame_equal(bm.summarize(again), bm.summarize(fit), check_exact=True)


# -- what no engine answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "model", "message"),
    [
        (effects().subset([0, 1]), bm.Model(bm.Flat(), bm.Flat()), "the posterior is improper"),
        (effects().subset([0, 1]), bm.Model(bm.Flat(), bm.HalfNormal(1), {"x": bm.Flat()}), "unknown moderator 'x'"),
        (effects(cluster=list("AABBCDE")), bm.Model(N01, HN), "several rows that share no covariance"),
        (effects(moderators=MODERATORS), bm.Model(N01, HN, {"kind": bm.Normal(0.2, 1)}), "not symmetric about zero"),
        (
            effects(moderators={"kind": ["a", None, "b", "c", "b", "a", "c"]}),
            bm.Model(N01, HN, {"kind": bm.Normal(0.2, 1)}, missing={"kind": bm.MissingLevels()}),
            "not symmetric about zero",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_by_both(
    made: bm.Effects, model: bm.Model, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is compiled: draws of an improper posterior may look converged, so that checks come too late."""

    def compiled(*_: Any) -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr(running, "compiled", compiled)
    for engine in ("auto", "nuts"):
        with pytest.raises(bm.ModelError, match=message):
            bm.fit(made, model, engine=engine)  # type: ignore[arg-type]


@pytest.mark.parametrize("prior", ["flat()", "jeffreys()"])
def test_an_improper_tau_is_refused_where_nothing_shows_that_the_posterior_is_proper(prior: str) -> None:
    """The tail count of the exact engine covers its own models only; likewise for outcomes that are joined."""
    effects = bm.Effects(list("abc"), [0.1, 0.3, -0.2], [0.1, 0.2, 0.2], measure="SMD", better="lower")
    tau = bm.priors.parse(prior)
    heavy = bm.StudentEffects(bm.priors.parse("exponential(0.1)"))
    with pytest.raises(bm.ModelError, match=r"is improper.*proper prior"):
        bm.fit(effects, bm.Model(bm.Normal(0, 1), tau, random=heavy))
    plain = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    with pytest.raises(bm.ModelError, match=r"sleep: .* is improper"):
        bm.JointModel({"pain": plain, "sleep": bm.Model(bm.Normal(0, 1), tau)})
