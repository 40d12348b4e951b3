"""One contract for both engines, over cases: the same tree, the same questions, the same columns, nothing touched.

Authority: section 3 of the design (groups, dims, coordinates, attributes), and the exact engine for what a table holds.
Draws are compared with it in Monte Carlo standard errors; how often that fails by chance: `sampled`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmeta as bm
from bayesmeta.errors import InferenceError
from bayesmeta.fits import dumps, marginal, quantities
from bayesmeta.nuts import judge, running
from bayesmeta.plan import Decision, ModelPlan, Outcome, Selection
from bayesmeta.sensitivity import variation_table
from sampled import LIMIT, drawn_until

Y = [-0.9, -0.2, -0.5, 0.1, -0.35, -0.6, -0.1, 0.05, -0.3]
SE = [0.3, 0.2, 0.25, 0.4, 0.15, 0.3, 0.2, 0.2, 0.3]
BLOCK = np.array([[0.04, 0.02], [0.02, 0.16]])
MID = bm.Threshold("MID", 0.3, 0.2, 0.3, 0.2, "a panel", "panel", True)
OUTCOME = Outcome(
    "fatigue",
    "Fatigue",
    Selection("SMD", "lower", {"outcome": "fatigue"}),
    ModelPlan(bm.Normal(0, 1), bm.HalfNormal(0.5)),
    Decision((MID,)),
)
BETA = {"kind": bm.Coefficient(bm.Normal(0, 0.5), reference="b"), "weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6)}
N01, HN = bm.Normal(0, 1), bm.HalfNormal(0.5)
SETTINGS = bm.Settings(target_accept=0.99)
SEED = 20261122
ENGINES = ("exact", "nuts")


def effects(*, blocks: bool = False, **options: Any) -> bm.Effects:
    study = [f"trial {i}" for i in range(9)]
    given: dict[str, Any] = {"n": np.full((9, 2), 25.0), **options}
    if blocks:
        study[3] = study[1]
        arms = [("exercise", "usual")] * 9
        arms[3] = ("yoga", "usual")
        given |= {"blocks": ((np.array([1, 3]), BLOCK),), "arms": arms}
    if "cluster" in options:
        study = [f"trial {name}" for name in options["cluster"]]
    return bm.Effects(study, Y, SE, measure="SMD", better="lower", name="Fatigue", **given)


MODERATORS = {"kind": list("abacbcbca"), "weeks": [6.0, 12, 8, 24, 10, 9, 14, 7, 5]}
CLUSTERS = list("aabccdefg")
CASES: dict[str, tuple[bm.Effects, bm.Model]] = {
    "pooled": (effects(), bm.Model(N01, HN)),
    "shared patients": (effects(blocks=True), bm.Model(N01, HN)),
    "moderated": (effects(blocks=True, moderators=MODERATORS), bm.Model(N01, HN, BETA)),
    "clusters": (effects(cluster=CLUSTERS), bm.Model(N01, HN, cluster_tau=bm.HalfNormal(0.25))),
    "common effect": (effects(), bm.Model(N01, None)),
}


@cache
def fitted(name: str, engine: str) -> bm.Fit:
    made, model = CASES[name]

    def draw(seed: int, settings: bm.Settings) -> bm.Fit:
        return bm.fit(
            made, model, engine=engine, seed=seed, outcome=OUTCOME, hashes={"data": "ab" * 32}, settings=settings
        )  # type: ignore[arg-type]

    return draw(SEED, SETTINGS) if engine == "exact" else drawn_until(draw, settings=SETTINGS, seed=SEED)


def pair(name: str) -> tuple[bm.Fit, bm.Fit]:
    return fitted(name, "exact"), fitted(name, "nuts")


# -- the tree ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_one_tree(name: str) -> None:
    exact, drawn = (fit.tree for fit in pair(name))
    # what one engine has and the other cannot have
    assert set(exact.children) - set(drawn.children) == {"quadrature"}
    assert set(drawn.children) - set(exact.children) == {"sample_stats", "sampled"}
    for group in set(exact.children) & set(drawn.children):
        ours, theirs = exact[group].to_dataset(), drawn[group].to_dataset()
        assert list(ours.data_vars) == list(theirs.data_vars), group
        assert list(ours.coords) == list(theirs.coords), group
        for key in ours.variables:
            one, other = ours[key], theirs[key]
            sampled_dims = {"chain", "draw"} & {str(dim) for dim in one.dims}
            assert one.dims == other.dims, (group, key)
            assert one.dtype.kind == other.dtype.kind, (group, key)
            # a fit that was drawn again has more draws, and only that
            assert {d: n for d, n in one.sizes.items() if d not in sampled_dims} == {
                d: n for d, n in other.sizes.items() if d not in sampled_dims
            }, (group, key)
        for key in set(ours.coords) - {"chain", "draw"}:
            assert ours[key].values.tolist() == theirs[key].values.tolist(), (group, key)
    assert set(exact.attrs) == set(drawn.attrs)
    for key, value in exact.attrs.items():
        assert type(value) is type(drawn.attrs[key]), key
        if key not in ("engine", "draws", "versions", "seed"):
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
    stats = fitted(name, "nuts").tree["sample_stats"]
    assert set(stats.data_vars) == {
        "acceptance_rate",
        "diverging",
        "energy",
        "lp",
        "n_steps",
        "reached_max_treedepth",
        "step_size",
        "tree_depth",
    }
    assert all(values.dims == ("chain", "draw") for values in stats.data_vars.values())
    assert stats["diverging"].dtype == stats["reached_max_treedepth"].dtype == bool


def test_arviz_reads_the_statistics() -> None:
    """With trajectories cut at two doublings, ArviZ's own diagnosis finds the limit, and so does ours."""
    made, model = CASES["moderated"]
    wide = {"kind": bm.Coefficient(bm.Normal(0, 5)), "weeks": bm.Coefficient(bm.Normal(0, 5), per=0.2)}
    with pytest.warns(bm.BayesmetaWarning, match="sampled once more with 0.99"):
        fit = bm.fit(made, dataclasses.replace(model, beta=wide), engine="nuts", settings=bm.Settings(max_depth=2))
    assert not fit.ok
    assert fit.sample.settings["attempts"] == 2
    assert "tree depth" in {check.name for check in fit.checks if not check.ok}
    _, found = az.diagnose(fit.tree, var_names=["mu", "tau"], show_diagnostics=False, return_diagnostics=True)
    assert any("treedepth" in str(key) for key in found)


def test_trees_are_datatrees_that_arviz_summarises() -> None:
    tree = fitted("moderated", "nuts").tree
    assert isinstance(tree, xr.DataTree)
    summary = az.summary(tree, var_names=["mu", "tau"], ci_prob=0.95, ci_kind="eti")
    assert {"mu", "tau"} <= set(summary.index)


def test_number_of_draws_is_as_asked() -> None:
    made, model = CASES["shared patients"]
    fit = bm.fit(made, model, engine="nuts", settings=dataclasses.replace(SETTINGS, chains=2, draws=1500, tune=500))
    assert dict(fit.tree["posterior"].sizes) == {"chain": 2, "draw": 1500, "estimate": 9}
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
        "compare_table": lambda fit: bm.compare_table(fit),
        "benefit_table": bm.benefit_table,
        "benefit_curve": lambda fit: bm.benefit_curve(fit, np.linspace(-1, 1, 7), at=at),
        "band_table": lambda fit: bm.band_table(fit, [-0.2, 0.2, 0.5]),
        "responder_table": lambda fit: bm.responder_table(fit, 0.3, at=at),
        "share_of_settings": lambda fit: bm.share_of_true_effects(fit, 0.3),
        "benefit_sentence": lambda fit: bm.benefit_sentence(fit, MID),
        "variation_table": lambda fit: variation_table({"main": fit}),
        "ppc_table": bm.ppc_table,
        "prior_check_table": bm.prior_check_table,
        "overlap_table": bm.overlap_table,
        "power_scaling_table": bm.power_scaling_table,
        "probability": lambda fit: {key: bm.probability(fit, key, below=-0.1) for key in quantities(fit)},
        "between": lambda fit: bm.probability(fit, "mu", between=(-0.4, 0.0)),
        "marginal": lambda fit: {
            key: (
                form.mean,
                form.sd,
                form.interval(0.9),
                float(form.density(-0.3)),
                form.quantile([0.1, 0.5]).tolist(),
                form.rvs(5, np.random.default_rng(1)).shape,
            )
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


# text that says how sure a number is, or which engine it comes from, is each engine's own
OWN = {
    "compare_table": {"method"},
    "variation_table": {"engine"},
    "responder_table": {"nnt"},
    # what is near a limit is above it by one engine and below by the other
    "overlap_table": {"by", "verdict"},
    "power_scaling_table": {"diagnosis"},
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", CASES)
def test_every_question_has_the_same_form(name: str, verb: str) -> None:
    exact, drawn = (answer(name, verb, engine) for engine in ENGINES)
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
            if exact[column].dtype.kind not in "fiu" and column not in OWN.get(verb, ()):
                assert exact[column].tolist() == drawn[column].tolist(), column


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("engine", ENGINES)
def test_probabilities_and_quantiles_are_in_order(name: str, engine: str) -> None:
    fit = fitted(name, engine)
    for key in quantities(fit):
        form = bm.marginal(fit, key)
        assert 0.0 <= bm.probability(fit, key, below=0.1) <= 1.0
        low, high = form.interval(0.9)
        assert low < float(form.quantile(0.5)) < high


def simulation_error(name: str, drawn: bm.Fit) -> str:
    """Say where draws are too far from the exact answer: means with their errors, probabilities of benefit."""
    exact = fitted(name, "exact")
    one, other = bm.summarize(exact), bm.summarize(drawn)
    far = {f"mean of {key}": abs(gap) for key, gap in ((one["mean"] - other["mean"]) / other["mcse"]).items()}
    for key in ("mu", "theta_new"):
        p, form = bm.probability(exact, key, below=-0.3), marginal(drawn, key)
        far[f"P({key})"] = abs(bm.probability(drawn, key, below=-0.3) - p) / form.cdf_mcse(-0.3)  # type: ignore[union-attr]
    # a share's mean is the probability in a new study, by Rao-Blackwell: its error is below that of the indicator
    shares = [bm.share_of_true_effects(fit, 0.3) for fit in (exact, drawn)]
    assert shares[0].keys() == shares[1].keys()
    p = shares[0]["share_mean"]
    effective = drawn.sample.settings["chains"] * drawn.sample.settings["draws"] / 2
    far["share"] = abs(shares[1]["share_mean"] - p) / math.sqrt(p * (1 - p) / effective)
    return ", ".join(f"{key} by {value:.1f}" for key, value in far.items() if value > LIMIT)


@pytest.mark.parametrize("name", ["pooled", "shared patients", "moderated", "clusters"])
def test_only_simulation_error_is_between_them(name: str) -> None:
    made, model = CASES[name]
    assert (bm.summarize(fitted(name, "exact"))["mcse"] == 0).all()
    assert (bm.summarize(fitted(name, "nuts"))["mcse"] > 0).all()
    if simulation_error(name, fitted(name, "nuts")):
        drawn_until(
            lambda seed, settings: bm.fit(made, model, engine="nuts", seed=seed, outcome=OUTCOME, settings=settings),
            lambda fit: simulation_error(name, fit),
            SETTINGS,
            SEED + 1,
        )


def test_both_engines_are_compared_and_a_wrong_one_is_found() -> None:
    made, model = CASES["pooled"]
    both = drawn_until(
        lambda seed, settings: bm.fit(made, model, engine="both", seed=seed, settings=settings), settings=SETTINGS
    )
    assert both.engine == "exact"
    assert both.second is not None
    assert {"quadrature error", "R-hat", "engines agree"} <= {check.name for check in both.checks}
    # half a standard error of every estimate too low: some ten Monte Carlo standard errors
    wrong = bm.Effects(made.study, made.y - 0.1, made.se, measure="SMD")
    shifted = bm.fit(wrong, model, engine="nuts", seed=3, settings=SETTINGS)
    object.__setattr__(shifted, "effects", made)
    assert bm.agreement_table(both, shifted)["difference"].abs().max() > LIMIT


def test_auto_takes_the_exact_engine_where_it_covers_the_model() -> None:
    from bayesmeta.exact import why_unsupported

    made, model = CASES["pooled"]
    assert bm.fit(made, model).engine == "exact"
    heavy = dataclasses.replace(model, random=bm.StudentEffects(bm.priors.parse("exponential(0.1)")))
    assert why_unsupported(made, heavy) is not None
    with pytest.raises(bm.ModelError, match='engine="nuts"'):
        bm.fit(made, heavy, engine="exact")
    with pytest.raises(bm.ModelError, match="nothing to compare"):
        bm.fit(made, heavy, engine="both")


def test_what_needs_the_evidence_says_so() -> None:
    drawn = fitted("shared patients", "nuts")
    assert drawn.log_evidence is None
    with pytest.raises(bm.ModelError):
        bm.bayes_factor(drawn, drawn)
    with pytest.raises(bm.ModelError, match="exact engine"):
        _ = drawn.quadrature
    with pytest.raises(bm.ModelError, match="sampling engine"):
        _ = fitted("shared patients", "exact").sample


# -- nothing is touched ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
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

    def drawn(seed: int) -> dict[str, np.ndarray]:
        return posterior_of(bm.fit(made, model, engine="nuts", seed=seed, settings=SETTINGS))

    first = drawn(SEED)
    assert len({values.tobytes() for values in first["mu"]}) == SETTINGS.chains
    original = nutpie.sample
    for cores in (1, 4):
        monkeypatch.setattr(nutpie, "sample", lambda *a, cores=cores, **given: original(*a, **given | {"cores": cores}))
        for name, values in drawn(SEED).items():
            np.testing.assert_array_equal(values, first[name])
    other = drawn(SEED + 1)
    assert not any(np.array_equal(other[name], values) for name, values in first.items())


def test_draws_do_not_depend_on_what_was_sampled_before() -> None:
    """A compiled model is used again for other data: they decide where sampling starts, as they do in a new process."""
    made, model = CASES["pooled"]
    quick = bm.Settings(draws=100, tune=100, target_accept=0.99)
    first = posterior_of(bm.fit(made, model, engine="nuts", seed=3, settings=quick))
    far = bm.Effects(list("abc"), [50.0, 60.0, 70.0], [1.0, 1.0, 1.0], measure="SMD")
    # too few draws to be trusted; what matters is that they come from the same compiled model
    before = len(running._COMPILED)
    bm.fit(far, bm.Model(bm.Normal(40, 30), bm.HalfNormal(20)), engine="nuts", settings=quick)
    assert len(running._COMPILED) == before
    for name, values in posterior_of(bm.fit(made, model, engine="nuts", seed=3, settings=quick)).items():
        np.testing.assert_array_equal(values, first[name])


def test_compiled_models_are_forgotten_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long session keeps the last shapes only; what was forgotten comes back with the same draws."""
    monkeypatch.setattr(running, "KEPT", 1)
    monkeypatch.setattr(running, "_COMPILED", type(running._COMPILED)())
    quick = bm.Settings(draws=100, tune=100, target_accept=0.99)
    found = []
    for name in ("pooled", "common effect", "pooled"):
        made, model = CASES[name]
        found.append(posterior_of(bm.fit(made, model, engine="nuts", seed=3, settings=quick)))
        assert len(running._COMPILED) == 1
    for name, values in found[0].items():
        np.testing.assert_array_equal(found[2][name], values)


@pytest.mark.parametrize("name", CASES)
def test_a_sampled_fit_is_saved_bit_for_bit(name: str, tmp_path: Path) -> None:
    fit = fitted(name, "nuts")
    loaded = bm.load(fit.save(tmp_path / "fit.nc"))
    assert [path.name for path in tmp_path.iterdir()] == ["fit.nc"]
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


# -- runs that break off, and checks -----------------------------------------------------------------------------------


GOOD = np.random.default_rng(0).standard_normal((4, 1000))
STATS = {
    "diverging": np.zeros((4, 1000), bool),
    "energy": np.random.default_rng(1).standard_normal((4, 1000)),
    "reached_max_treedepth": np.zeros((4, 1000), bool),
}


def judged(values: np.ndarray = GOOD, **stats: np.ndarray) -> set[str]:
    return {check.name for check in judge([("mu", values)], {**STATS, **stats}, 10) if not check.ok}


def test_every_check_can_fail() -> None:
    assert judged() == set()
    apart = GOOD + np.arange(4)[:, None]
    assert {"R-hat", "bulk ESS"} <= judged(apart)
    slow = np.cumsum(GOOD, axis=1)
    assert {"R-hat", "bulk ESS", "tail ESS"} <= judged(slow)
    one = STATS["diverging"].copy()
    one[2, 17] = True
    assert judged(diverging=one) == {"divergences"}
    assert judged(energy=np.cumsum(STATS["energy"], axis=1)) == {"BFMI"}
    assert judged(reached_max_treedepth=one) == {"tree depth"}


def test_an_interrupted_run_is_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """nutpie would hand back the draws it has; they must not pass for a finished run."""
    import nutpie

    cancelled = []

    class Sampler:
        def wait(self) -> None:
            raise KeyboardInterrupt

        def cancel(self) -> None:
            cancelled.append(True)

    monkeypatch.setattr(nutpie, "sample", lambda *args, **options: Sampler())
    with pytest.raises(KeyboardInterrupt):
        bm.fit(*CASES["pooled"], engine="nuts")
    assert cancelled == [True]


def test_a_sampler_that_breaks_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import nutpie

    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("All initialization points failed")

    monkeypatch.setattr(nutpie, "sample", broken)
    with pytest.raises(InferenceError, match="All initialization points failed"):
        bm.fit(*CASES["pooled"], engine="nuts")


# -- what no engine answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "model", "message"),
    [
        (effects().subset([0, 1]), bm.Model(bm.Flat(), bm.Flat()), "the posterior is improper"),
        (effects().subset([0, 1]), bm.Model(bm.Flat(), bm.HalfNormal(1), {"x": bm.Flat()}), "no moderator 'x'"),
        (effects(cluster=CLUSTERS), bm.Model(N01, HN), "several rows that share no covariance"),
        (effects(moderators=MODERATORS), bm.Model(N01, HN, {"kind": bm.Normal(0.2, 1)}), "not symmetric about zero"),
        (
            effects(moderators={"kind": ["a", None, "b", "c", "b", "a", "c", "a", "b"]}),
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
