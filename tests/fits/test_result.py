"""The tree of a fit: its contract, its draws against the exact answers, ArviZ on it, and saving without losing a bit.

The contract is section 3 of the design: one tree for every engine, with coordinates that are labels.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import arviz as az
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesmeta as bm
from bayesmeta.effects import Effects
from bayesmeta.fits import CHAINS, DRAWS, SCHEMA_VERSION, marginal, quantities
from bayesmeta.plan import Decision, ModelPlan, Outcome, Selection
from bayesmeta.sensitivity import cumulative_fits_table, leave_one_out, variation_table

# draws are independent: five standard errors of a mean or a frequency, at a fixed seed
MCSE = 5.0
# PSIS of 4,000 draws against exact refits: its own Monte Carlo error is far below this for elpd near -10
PSIS = 0.1
# sum of densities against scipy's
ROUNDING = 1e-10

SIZE = CHAINS * DRAWS
Y, SE = np.array([-0.9, -0.2, -0.5, 0.1, -0.35, -0.6]), np.array([0.3, 0.2, 0.25, 0.4, 0.15, 0.3])
BLOCK = np.array([[0.04, 0.02], [0.02, 0.16]])
LIMIT = bm.Threshold("MID", 0.3, 0.2, 0.3, 0.2, "a panel", "panel", True)
OUTCOME = Outcome(
    "fatigue",
    "Fatigue, up to 12 weeks",
    Selection("SMD", "lower", {"outcome": "fatigue"}),
    ModelPlan(bm.Normal(0, 1), bm.HalfNormal(0.5)),
    Decision((LIMIT, bm.Threshold("range", (0.2, 0.5), 0.2, (0.2, 0.5), 0.2, "two papers", "anchor", False))),
)


def make(blocks: bool = False, moderators: bool = False) -> Effects:
    options: dict[str, Any] = {}
    study = [f"trial {i}" for i in range(6)]
    if blocks:
        study[3] = study[1]
        arms = [("exercise", "usual")] * 6
        arms[3] = ("yoga", "usual")
        options = {"blocks": ((np.array([1, 3]), BLOCK),), "arms": arms, "n": np.full((6, 2), 25.0)}
    if moderators:
        options["moderators"] = {"kind": list("abacbc"), "weeks": [6.0, 12, 8, 24, 10, 9]}
    return Effects(study, Y, SE, measure="SMD", better="lower", name="Fatigue", **options)


BETA = {"kind": bm.Coefficient(bm.Normal(0, 0.5), reference="b"), "weeks": bm.Coefficient(bm.Normal(0, 0.25), per=6)}
HN = bm.HalfNormal(0.5)
CASES: dict[str, tuple[Effects, bm.Model]] = {
    "plain": (make(), bm.Model(bm.Normal(0, 1), HN)),
    "moderators": (make(moderators=True), bm.Model(bm.Normal(0, 1), HN, BETA)),
    "blocks": (make(blocks=True), bm.Model(bm.Flat(), HN)),
    "blocks and moderators": (make(True, True), bm.Model(bm.Normal(0, 1), bm.HalfCauchy(0.5), BETA, rho=1.0)),
    "common effect": (make(), bm.Model(bm.Flat(), None)),
    "Student-t mu": (make().subset([0, 1, 2, 3]), bm.Model(bm.StudentT(0, 0.4, 5), HN)),
    "truncated mu": (make().subset([0, 1, 2]), bm.Model(bm.Truncated(bm.Normal(0, 1), -0.4, math.inf), HN)),
    "Jeffreys": (make(), bm.Model(bm.Flat(), bm.Jeffreys())),
    "Rhodes": (make(), bm.Model(bm.Normal(0, 1), bm.Rhodes2015())),
}


@cache
def fitted(name: str) -> bm.Fit:
    effects, model = CASES[name]
    return bm.fit(effects, model, seed=20261122, outcome=OUTCOME, hashes={"data": "ab" * 32})


def draws(fit: bm.Fit, name: str) -> np.ndarray:
    posterior = fit.tree["posterior"]
    if name.startswith("theta["):
        return posterior["theta"].sel(estimate=name[6:-1]).values.ravel()
    if name.startswith("beta["):
        return posterior["beta"].sel(moderator=name[5:-1]).values.ravel()
    return posterior[name].values.ravel()


# -------------------------------------------------------------------------------------------------------- contract


@pytest.mark.parametrize("name", CASES)
def test_contract(name: str) -> None:
    fit = fitted(name)
    tree, effects = fit.tree, fit.effects
    proper = name in ("plain", "moderators", "blocks and moderators", "Student-t mu", "truncated mu", "Rhodes")
    expected = {
        "posterior",
        "log_likelihood",
        "posterior_predictive",
        "observed_data",
        "constant_data",
        "quadrature",
        "specification",
        "log_prior",
        *(["prior", "prior_predictive"] if proper else []),
    }
    assert set(tree.children) == expected
    posterior = tree["posterior"]
    sampled = ("chain", "draw")
    assert posterior["mu"].dims == posterior["tau"].dims == posterior["theta_new"].dims == sampled
    assert posterior["theta"].dims == (*sampled, "estimate")
    assert ("beta" in posterior) == bool(fit.model.beta)
    if fit.model.beta:
        assert posterior["beta"].dims == (*sampled, "moderator")
        assert posterior["moderator"].values.tolist() == [c.name for c in fit.design.contrasts]
    assert dict(posterior.sizes) | {"chain": CHAINS, "draw": DRAWS, "estimate": effects.k} == dict(posterior.sizes)
    for group in ("posterior", "posterior_predictive", "observed_data", "constant_data"):
        assert tree[group]["estimate"].values.tolist() == list(effects.label)
        assert tree[group]["study"].dims == ("estimate",)
        assert tree[group]["study"].values.tolist() == list(effects.study)
    names, _ = effects.units
    assert tree["log_likelihood"]["y"].dims == (*sampled, "study")
    assert tree["log_likelihood"]["study"].values.tolist() == list(names)
    assert tree["posterior_predictive"]["y"].dims == (*sampled, "estimate")
    assert tree["observed_data"]["y"].values.tolist() == effects.y.tolist()
    assert tree["constant_data"]["se"].values.tolist() == effects.se.tolist()
    for group in ("posterior", "log_likelihood", "posterior_predictive"):
        for variable in tree[group].data_vars.values():
            assert np.isfinite(variable.values).all()


def test_attributes() -> None:
    attrs = fitted("plain").tree.attrs
    assert attrs["schema_version"] == SCHEMA_VERSION == 2
    assert isinstance(attrs["schema_version"], int)
    assert attrs["engine"] == "exact"
    assert attrs["analysis"] == "pooled"
    assert attrs["seed"] == 20261122
    assert json.loads(attrs["hashes"]) == {"data": "ab" * 32}
    assert set(json.loads(attrs["versions"])) >= {"bayesmeta", "numpy", "scipy"}
    assert "independent" in attrs["draws"]


@pytest.mark.parametrize("name", CASES)
def test_quadrature_group_holds_the_nodes(name: str) -> None:
    fit = fitted(name)
    group = fit.tree["quadrature"]
    assert float(group["weight"].sum()) == pytest.approx(1, abs=1e-12)
    # E(mu) from the stored nodes alone, where truncation does not shift it
    if name != "truncated mu":
        mean = float((group["weight"] * group["coefficient_mean"][0]).sum())
        assert mean == pytest.approx(bm.summarize(fit).loc["mu", "mean"], abs=1e-10)
    evidence = group.attrs["log_evidence"]
    assert math.isnan(evidence) if fit.log_evidence is None else evidence == fit.log_evidence


def test_the_tree_is_built_when_first_asked_and_kept() -> None:
    fit = bm.fit(*CASES["plain"])
    assert "tree" not in fit.__dict__
    assert fit.tree is fit.tree


def test_same_seed_same_draws() -> None:
    one, same, other = (bm.fit(*CASES["plain"], seed=seed).tree for seed in (3, 3, 4))
    assert one.identical(same)
    assert not np.array_equal(one["posterior"]["mu"].values, other["posterior"]["mu"].values)


# ------------------------------------------------------------------------------------------- draws against exact


def check_frequencies(values: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> None:
    """Share of draws below x against its probability, in binomial standard errors."""
    p = np.asarray(cdf(x), float)
    share = (values[:, None] <= x).mean(axis=0)
    assert (np.abs(share - p) <= MCSE * np.sqrt(p * (1 - p) / values.size) + 1e-12).all()


@pytest.mark.parametrize("name", CASES)
def test_draws_agree_with_the_exact_answers(name: str) -> None:
    fit = fitted(name)
    for quantity in quantities(fit):
        form, values = marginal(fit, quantity), draws(fit, quantity)
        assert values.size == SIZE
        check_frequencies(values, form.cdf, form.quantile(np.array([0.025, 0.2, 0.5, 0.8, 0.975])))
        if math.isfinite(form.sd):
            assert abs(values.mean() - form.mean) <= MCSE * form.sd / math.sqrt(SIZE)
    if name == "common effect":
        assert (fit.tree["posterior"]["tau"] == 0).all()
    if name == "truncated mu":
        assert (fit.tree["posterior"]["mu"] >= -0.4).all()


def test_draws_are_independent_and_chains_alike() -> None:
    """Autocorrelation of the chains at lags one to five, and their means, within five standard errors."""
    values = fitted("plain").tree["posterior"]["mu"].values
    centred = values - values.mean()
    for lag in range(1, 6):
        correlation = (centred[:, lag:] * centred[:, :-lag]).mean() / values.var()
        assert abs(correlation) < MCSE / math.sqrt(SIZE)
    assert np.ptp(values.mean(axis=1)) < 2 * MCSE * values.std() / math.sqrt(DRAWS)


def test_joint_draws() -> None:
    """Given mu and tau, theta of a row alone is normal with the known mean and variance (standardised: N(0, 1))."""
    posterior = fitted("plain").tree["posterior"]
    mu, tau = posterior["mu"].values.ravel(), posterior["tau"].values.ravel()
    for row in range(6):
        share = tau**2 / (tau**2 + SE[row] ** 2)
        theta = posterior["theta"].values.reshape(SIZE, 6)[:, row]
        z = (theta - (share * Y[row] + (1 - share) * mu)) / (SE[row] * np.sqrt(share))
        assert stats.kstest(z, "norm").pvalue > 1e-4
    z = (posterior["theta_new"].values.ravel() - mu) / tau
    assert stats.kstest(z, "norm").pvalue > 1e-4


@pytest.mark.parametrize("name", ["blocks", "blocks and moderators"])
def test_log_likelihood_has_the_study_effects_integrated_out(name: str) -> None:
    """Per unit: N(X beta, S + tau^2 R) by scipy, at a few draws."""
    fit = fitted(name)
    tree, effects = fit.tree, fit.effects
    names, unit = effects.units
    R = np.eye(6)
    R[1, 3] = R[3, 1] = fit.model.rho
    for draw in (0, 17, 999):
        at = {"chain": 2, "draw": draw}
        tau, mu = float(tree["posterior"]["tau"].sel(at)), float(tree["posterior"]["mu"].sel(at))
        mean = np.full(6, mu)
        if fit.model.beta:
            # profiles of rows from the reported coefficients: b is the reference
            beta = tree["posterior"]["beta"].sel(at)
            effect = {"b": 0.0, "a": float(beta[0]), "c": float(beta[1])}
            x = np.array([effect[v] for v in effects.moderators["kind"]])
            weeks = effects.moderators["weeks"] / 6 * float(beta[2])
            mean = mean + x - x.mean() + weeks - weeks.mean()
        V = effects.covariance() + tau**2 * R
        for number, label in enumerate(names):
            rows = np.flatnonzero(unit == number)
            expected = stats.multivariate_normal(mean[rows], V[np.ix_(rows, rows)]).logpdf(effects.y[rows])
            ours = float(tree["log_likelihood"]["y"].sel(at | {"study": label}))
            assert ours == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize("name", ["plain", "blocks", "common effect", "Student-t mu"])
def test_posterior_predictive_is_the_study_effect_plus_its_sampling_error(name: str) -> None:
    fit = fitted(name)
    tree = fit.tree
    residual = (tree["posterior_predictive"]["y"] - tree["posterior"]["theta"]).values.reshape(SIZE, -1)
    covariance = np.cov(residual.T)
    # standard error of a covariance: sqrt((s_ii s_jj + s_ij^2) / n)
    S = fit.effects.covariance()
    error = np.sqrt((np.outer(np.diag(S), np.diag(S)) + S**2) / SIZE)
    assert (np.abs(covariance - S) < MCSE * error).all()
    assert (np.abs(residual.mean(axis=0)) < MCSE * fit.effects.se / math.sqrt(SIZE)).all()
    assert stats.kstest(residual[:, 0] / SE[0], "norm").pvalue > 1e-4


@pytest.mark.parametrize("name", ["plain", "Student-t mu", "truncated mu", "Rhodes"])
def test_prior_draws_follow_the_priors(name: str) -> None:
    fit = fitted(name)
    prior = fit.tree["prior"]
    p = np.array([0.025, 0.2, 0.5, 0.8, 0.975])
    check_frequencies(prior["mu"].values.ravel(), fit.model.mu.cdf, fit.model.mu.ppf(p))
    assert fit.model.tau is not None
    check_frequencies(prior["tau"].values.ravel(), fit.model.tau.cdf, fit.model.tau.ppf(p))
    z = (prior["theta_new"] - prior["mu"]) / prior["tau"]
    assert stats.kstest(z.values.ravel(), "norm").pvalue > 1e-4


def test_draws_of_a_truncation_that_leaves_a_far_tail() -> None:
    """mu > 0 and data at -3 with SE 0.06: the posterior is scipy's truncated normal, 52 SDs out."""
    effects = Effects(list("abc"), [-3, -3.1, -2.9], [0.1] * 3, measure="SMD")
    fit = bm.fit(effects, bm.Model(bm.Truncated(bm.Normal(0, 1), 0, math.inf), None))
    mean, sd = -900 / 301, 301**-0.5
    exact = stats.truncnorm(-mean / sd, math.inf, mean, sd)
    values = draws(fit, "mu")
    assert (values >= 0).all()
    check_frequencies(values, exact.cdf, exact.ppf([0.025, 0.5, 0.975]))
    assert bm.summarize(fit).loc["mu", "median"] == pytest.approx(exact.ppf(0.5), rel=1e-6)


# ----------------------------------------------------------------------------------------------------------- ArviZ


@pytest.mark.parametrize("name", ["plain", "moderators", "blocks"])
def test_arviz_reads_the_tree(name: str) -> None:
    fit = fitted(name)
    exact = bm.summarize(fit)
    table = az.summary(fit.tree, var_names=["mu", "tau", "theta_new"], ci_prob=0.95, ci_kind="eti", round_to="none")
    for quantity in ("mu", "tau", "theta_new"):
        row = exact.loc[quantity]
        assert abs(float(table.loc[quantity, "mean"]) - row["mean"]) <= MCSE * row["sd"] / math.sqrt(SIZE)
    interval = az.eti(fit.tree, prob=0.95)
    for bound, p in (("lower", 0.025), ("upper", 0.975)):
        end = float(interval["mu"].sel(ci_bound=bound))
        assert abs(bm.probability(fit, "mu", below=end) - p) <= MCSE * math.sqrt(p * (1 - p) / SIZE)
    shortest = az.hdi(fit.tree, prob=0.95)
    low, high = (float(shortest["theta"].isel(estimate=0).sel(ci_bound=b)) for b in ("lower", "upper"))
    inside = bm.probability(fit, f"theta[{fit.effects.label[0]}]", between=(low, high))
    # the shortest of 4,000 draws is a little short: its coverage is biased by about their standard error
    assert inside == pytest.approx(0.95, abs=2 * MCSE * math.sqrt(0.95 * 0.05 / SIZE))


@pytest.mark.parametrize("name", ["plain", "blocks", "common effect"])
def test_arviz_loo_agrees_with_exact_refits(name: str) -> None:
    """PSIS-LOO on the log likelihood by trial, with study effects integrated out, against leave-one-out refits."""
    fit = fitted(name)
    loo = az.loo(fit.tree)
    assert loo.n_data_points == fit.effects.n_trials
    exact = leave_one_out(fit).attrs["elpd"]
    assert float(loo.elpd) == pytest.approx(exact, abs=PSIS)


# ------------------------------------------------------------------------------------------------------ save, load


def answers(fit: bm.Fit) -> dict[str, Any]:
    """Every public verb's answer; an error's message where the verb does not apply."""
    at = {"kind": "c"} if fit.model.beta else None
    other = fitted("plain") if not fit.effects.blocks and not fit.model.beta else fit
    verbs: dict[str, Callable[[], Any]] = {
        "summarize": lambda: bm.summarize(fit),
        "shortest": lambda: bm.summarize(fit, level=0.8, interval="shortest"),
        "predict": lambda: bm.predict(fit, at),
        "study_table": lambda: bm.study_table(fit),
        "heterogeneity_table": lambda: bm.heterogeneity_table(fit),
        "contrast_table": lambda: bm.contrast_table(fit),
        "compare_table": lambda: bm.compare_table(fit),
        "benefit_table": lambda: bm.benefit_table(fit),
        "benefit_curve": lambda: bm.benefit_curve(fit, np.linspace(-1, 1, 7), at=at),
        "band_table": lambda: bm.band_table(fit, [-0.2, 0.2, 0.5]),
        "responder_table": lambda: bm.responder_table(fit, 0.3, at=at),
        "benefit_sentence": lambda: bm.benefit_sentence(fit, LIMIT),
        "share_of_settings": lambda: bm.share_of_true_effects(fit, 0.3),
        "variation_table": lambda: variation_table({"main": fit}),
        "bayes_factor": lambda: bm.bayes_factor(fit, other),
        "log_evidence": lambda: fit.log_evidence,
        "checks": lambda: fit.checks,
        "quantities": lambda: quantities(fit),
        "repr": lambda: repr(fit),
        "probability": lambda: [bm.probability(fit, name, below=-0.123) for name in quantities(fit)],
        "quantile": lambda: [marginal(fit, name).quantile([0.1, 0.7]).tolist() for name in quantities(fit)],
        "participants": lambda: fit.effects.participants,
        "outcome": lambda: fit.outcome,
        "hashes": lambda: dict(fit.hashes),
        "seed": lambda: (fit.seed, fit.engine, fit.analysis),
    }
    if fit.model.mu == bm.Normal(0, 1) and isinstance(fit.model.tau, (bm.HalfNormal, bm.HalfCauchy)):
        # these refit, from effects and model alone; once for every form of effects is enough
        verbs["leave_one_out"] = lambda: leave_one_out(fit)
        verbs["cumulative_fits_table"] = lambda: cumulative_fits_table(fit.effects, fit.model)
    result = {}
    for name, verb in verbs.items():
        try:
            result[name] = verb()
        except bm.ModelError as error:
            result[name] = str(error)
    return result


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_fit_answers_every_verb_bit_for_bit(name: str, tmp_path: Path) -> None:
    fit = fitted(name)
    path = fit.save(tmp_path / "fit.nc")
    assert path == tmp_path / "fit.nc"
    loaded = bm.load(path)
    before, after = answers(fit), answers(loaded)
    assert before.keys() == after.keys()
    for verb, value in before.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(after[verb], value, check_exact=True, obj=verb)
        else:
            assert after[verb] == value, verb
    # the draws come from the file, and are those that were saved
    for group in ("posterior", "log_likelihood", "posterior_predictive"):
        for variable in fit.tree[group].data_vars:
            np.testing.assert_array_equal(loaded.tree[group][variable].values, fit.tree[group][variable].values)
    assert loaded.effects.label == fit.effects.label
    assert loaded.model == fit.model
    # and saving again changes nothing
    again = bm.load(loaded.save(tmp_path / "again.nc"))
    pd.testing.assert_frame_equal(bm.summarize(again), bm.summarize(fit), check_exact=True)


def test_the_verbs_leave_the_tree_as_it_is() -> None:
    fit = bm.fit(*CASES["plain"], outcome=OUTCOME)
    before = fit.tree.copy(deep=True)
    nodes = fit.quadrature.weights.copy()
    answers(fit)
    assert fit.tree.identical(before)
    np.testing.assert_array_equal(fit.quadrature.weights, nodes)


def test_repeated_trials_do_not_warn_again_on_loading(tmp_path: Path) -> None:
    with pytest.warns(bm.BayesmetaWarning, match="a: several rows"):
        effects = Effects(["a", "a", "b"], Y[:3], SE[:3], measure="SMD")
    path = bm.fit(effects, bm.Model(bm.Normal(0, 1), HN)).save(tmp_path / "fit.nc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bm.load(path).effects.k == 3


def test_missing_values_survive(tmp_path: Path) -> None:
    """Unknown arm sizes are nan, and text of any language stays."""
    effects = Effects(
        ["Müller 2021", "Şimşek", "陈"], Y[:3], SE[:3], measure="SMD", n=[[10, 12], [math.nan, 9], [8, 7]]
    )
    loaded = bm.load(bm.fit(effects, bm.Model(bm.Normal(0, 1), HN)).save(tmp_path / "fit.nc"))
    assert loaded.effects.study == effects.study
    assert loaded.effects.participants is None
    assert loaded.effects.n is not None
    np.testing.assert_array_equal(loaded.effects.n, effects.n)  # type: ignore[arg-type]


def saved(folder: Path) -> Path:
    return fitted("plain").save(folder / "fit.nc")


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    """Also where the newer file no longer holds what this version would look for."""
    path = saved(tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION + 1
    newer = r"fit.nc: schema version 3; this bayesmeta reads up to 2. Upgrade"
    with pytest.raises(bm.DataError, match=newer):
        bm.load(path)
    with h5py.File(path, "r+") as file:
        del file["specification"]
    with pytest.raises(bm.DataError, match=newer):
        bm.load(path)


def test_another_engine_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs["engine"] = "variational"
        del file.attrs["digest"]
    with pytest.raises(bm.DataError, match="engine 'variational'"):
        bm.load(path)


def test_files_that_are_no_fits_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.nc"
    text.write_text("study,y,se\n")
    foreign = tmp_path / "foreign.nc"
    xr.Dataset({"x": ("i", [1.0, 2.0])}).to_netcdf(foreign, engine="h5netcdf")
    empty = tmp_path / "empty.nc"
    empty.write_bytes(b"")
    half = tmp_path / "half.nc"
    whole = saved(tmp_path).read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    for path in (text, foreign, empty, half):
        with pytest.raises(bm.DataError, match=rf"{path.name}: not a fit of bayesmeta"):
            bm.load(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        bm.load(tmp_path / "nowhere.nc")


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a half-written file nor a changed older one, whatever interrupts."""
    fit = fitted("plain")
    assert fit.tree is not None

    written = xr.DataTree.to_netcdf

    def interrupted(error: BaseException) -> Callable[..., None]:
        def to_netcdf(self: xr.DataTree, path: str, **options: Any) -> None:
            written(self, path, **options)
            whole = Path(path).read_bytes()
            Path(path).write_bytes(whole[: len(whole) // 2])
            raise error

        return to_netcdf

    for error in (OSError("disk full"), KeyboardInterrupt()):
        monkeypatch.setattr(xr.DataTree, "to_netcdf", interrupted(error))
        with pytest.raises(type(error)):
            fit.save(tmp_path / "new.nc")
        assert list(tmp_path.iterdir()) == []
    older = tmp_path / "old.nc"
    older.write_text("older")
    with pytest.raises(KeyboardInterrupt):
        fit.save(older)
    assert [path.name for path in tmp_path.iterdir()] == ["old.nc"]
    assert older.read_text() == "older"


def test_saving_replaces_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "fit.nc"
    path.write_text("older")
    fitted("plain").save(path)
    assert [item.name for item in tmp_path.iterdir()] == ["fit.nc"]
    assert bm.load(path).effects.k == 6
