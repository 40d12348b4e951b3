"""One contract for both engines: the same tree, the same questions, the same columns; and no question changes a fit.

Authority: section 3 of the design (groups, dims, coordinates, attributes), and the exact engine for what a table holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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
from bayesmeta.nuts.checks import judge
from bayesmeta.outcome import Outcome

NAMES = ["a", "a", "b", "c", "c", "d", "e", "f", "g"]
Y = [-0.4, -0.1, -0.5, 0.1, -0.3, -0.6, -0.2, 0.05, -0.35]
SE = [0.2, 0.25, 0.15, 0.3, 0.2, 0.25, 0.1, 0.2, 0.3]
LIMIT = bm.Threshold("MID", 0.3, 0.3, 0.3, 0.3, "a panel", "panel", True)
OUTCOME = Outcome("pain", "Pain", {}, "SMD", "lower", mu=bm.Normal(0, 1), tau=bm.HalfNormal(0.5), thresholds=(LIMIT,))
CASES = ("pooled", "moderated", "clusters")
ENGINES = ("exact", "nuts")
# what one engine has and the other cannot have
ONLY = {"exact": {"quadrature"}, "nuts": {"sample_stats", "sampled"}}


@cache
def effects(case: str) -> bm.Effects:
    study = NAMES if case == "clusters" else list("abcdefghi")
    return bm.Effects(
        study, Y, SE, measure="SMD", better="lower", name="Pain", cluster=NAMES if case == "clusters" else None,
        moderators={"kind": list("ppqpqqppq"), "weeks": [4, 6, 8, 12, 10, 9, 5, 7, 6]}, n=np.full((9, 2), 30),
    )  # fmt: skip


@cache
def fitted(case: str, engine: str, seed: int = 3) -> bm.Fit:
    beta = {"kind": bm.Normal(0, 0.5), "weeks": bm.Coefficient(bm.Normal(0, 0.25), per=4)}
    model = bm.Model(
        bm.Normal(0, 1), bm.HalfNormal(0.5), beta if case == "moderated" else {},
        cluster_tau=bm.HalfNormal(0.25) if case == "clusters" else None,
    )  # fmt: skip
    return bm.fit(effects(case), model, engine=engine, seed=seed, outcome=OUTCOME)  # type: ignore[arg-type]


def fingerprint(fit: bm.Fit) -> str:
    """Hash of everything a fit holds: effects, model, draws or nodes, and the tree."""
    digest = hashlib.sha256(repr(fit.model).encode())
    for array in (fit.effects.y, fit.effects.se, *fit.effects.moderators.values()):
        digest.update(repr(array.tolist()).encode())
    for node in fit.tree.subtree:
        for name, values in sorted(node.to_dataset().variables.items(), key=lambda item: str(item[0])):
            digest.update(str(name).encode())
            digest.update(repr(values.values.tolist()).encode() if values.dtype == object else values.values.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("case", CASES)
def test_one_tree(case: str) -> None:
    exact, drawn = (fitted(case, engine).tree for engine in ENGINES)
    assert set(exact.children) - ONLY["exact"] == set(drawn.children) - ONLY["nuts"]
    assert set(exact.attrs) == set(drawn.attrs)
    for group in set(exact.children) - ONLY["exact"]:
        first, second = exact[group].to_dataset(), drawn[group].to_dataset()
        assert set(first.variables) == set(second.variables), group
        for name in first.variables:
            assert first[name].dims == second[name].dims, (group, name)
            assert first[name].dtype.kind == second[name].dtype.kind, (group, name)
        for name in first.coords:
            assert first[name].values.tolist() == second[name].values.tolist(), (group, name)


QUESTIONS: dict[str, Callable[[bm.Fit], Any]] = {
    "summarize": bm.summarize,
    "summarize, shortest": lambda fit: bm.summarize(fit, interval="shortest"),
    "predict": bm.predict,
    "study_table": bm.study_table,
    "contrast_table": bm.contrast_table,
    "heterogeneity_table": bm.heterogeneity_table,
    "benefit_table": bm.benefit_table,
    "benefit_curve": bm.benefit_curve,
    "band_table": lambda fit: bm.band_table(fit, [-0.2, 0.2, 0.5]),
    "responder_table": lambda fit: bm.responder_table(fit, 0.3),
    "compare_table": lambda fit: bm.compare_table(fit.effects, fit),
    "ppc_table": bm.ppc_table,
    "prior_check_table": bm.prior_check_table,
    "overlap_table": bm.overlap_table,
    "power_scaling_table": bm.power_scaling_table,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", QUESTIONS)
def test_one_answer_and_nothing_changes(name: str, case: str) -> None:
    tables: list[pd.DataFrame] = []
    for engine in ENGINES:
        fit = fitted(case, engine)
        before = fingerprint(fit)
        tables.append(QUESTIONS[name](fit))
        assert fingerprint(fit) == before
    first, second = tables
    assert list(first.columns) == list(second.columns)
    assert first.index.tolist() == second.index.tolist()
    # text columns name the same things; numbers are compared elsewhere, in Monte Carlo standard errors
    for column in ("label", "study", "quantity", "threshold", "target", "contrast", "method", "statistic", "band"):
        if column in first.columns and name not in ("responder_table",):
            assert first[column].tolist() == second[column].tolist(), column


@pytest.mark.parametrize("case", CASES)
def test_the_same_names_can_be_asked(case: str) -> None:
    from bayesmeta.quantities import quantities

    exact, drawn = (fitted(case, engine) for engine in ENGINES)
    assert set(quantities(exact)) == set(quantities(drawn))
    for name in quantities(exact):
        for fit in (exact, drawn):
            assert 0.0 <= bm.probability(fit, name, below=0.1) <= 1.0
        forms = [bm.marginal(fit, name) for fit in (exact, drawn)]
        for form in forms:
            low, high = form.interval(0.9)
            assert low < float(form.quantile(0.5)) < high
            assert form.rvs(5, np.random.default_rng(1)).shape == (5,)


def test_a_sampled_fit_reads_back_bit_for_bit(tmp_path: Path) -> None:
    for case in CASES:
        fit = fitted(case, "nuts")
        again = bm.load(fit.save(tmp_path / f"{case}.nc"))
        for name in ("summarize", "study_table", "benefit_table", "contrast_table"):
            pd.testing.assert_frame_equal(QUESTIONS[name](fit), QUESTIONS[name](again), check_exact=True)
        assert again.checks == fit.checks
        assert list(tmp_path.iterdir()) == [tmp_path / f"{case}.nc"]
        (tmp_path / f"{case}.nc").unlink()


def test_same_seed_same_draws_another_seed_others() -> None:
    model = fitted("pooled", "nuts").model
    draws = [bm.fit(effects("pooled"), model, engine="nuts", seed=seed).sample.coefficients for seed in (3, 3, 4)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_statistics_carry_the_names_that_arviz_reads() -> None:
    """With trajectories cut at three doublings, ArviZ's own diagnosis finds the limit, and so does ours."""
    beta = {"kind": bm.Exchangeable(bm.HalfNormal(2)), "weeks": bm.Coefficient(bm.Normal(0, 5), per=0.2)}
    with pytest.warns(bm.BayesmetaWarning, match="sampled once more with 0.99"):
        fit = bm.fit(effects("moderated"), bm.Model(bm.Normal(0, 5), bm.HalfNormal(2), beta), engine="nuts",
                     settings=bm.Settings(max_depth=2))  # fmt: skip
    assert not fit.ok
    assert fit.sample.settings["attempts"] == 2
    failed = {check.name for check in fit.checks if not check.ok}
    assert "tree depth" in failed
    assert {"tree_depth", "reached_max_treedepth", "diverging", "energy"} <= set(fit.tree["sample_stats"].data_vars)
    _, found = az.diagnose(fit.tree, var_names=["mu", "tau"], show_diagnostics=False, return_diagnostics=True)
    assert any("treedepth" in str(key) for key in found)


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
        bm.fit(effects("pooled"), fitted("pooled", "exact").model, engine="nuts")
    assert cancelled == [True]


def test_a_sampler_that_breaks_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import nutpie

    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("All initialization points failed")

    monkeypatch.setattr(nutpie, "sample", broken)
    with pytest.raises(InferenceError, match="All initialization points failed"):
        bm.fit(effects("pooled"), fitted("pooled", "exact").model, engine="nuts")


def test_both_engines_are_compared_and_a_wrong_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    both = bm.fit(effects("pooled"), fitted("pooled", "exact").model, engine="both", seed=3)
    assert (both.engine, both.ok) == ("exact", True)
    assert both.second is not None
    assert {"quadrature error", "R-hat", "engines agree"} <= {check.name for check in both.checks}
    # half a standard error of every estimate too low
    wrong = bm.Effects(NAMES_PLAIN, np.array(Y) - 0.1, SE, measure="SMD")
    shifted = bm.fit(wrong, both.model, engine="nuts", seed=3)
    object.__setattr__(shifted, "effects", both.effects)
    table = bm.agreement_table(both, shifted)
    assert table["difference"].abs().max() > 4


NAMES_PLAIN = list("abcdefghi")


def test_auto_takes_the_exact_engine_where_it_covers_the_model() -> None:
    assert bm.fit(effects("pooled"), fitted("pooled", "exact").model).engine == "exact"
    from bayesmeta.problem import exact_covers

    heavy = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), random=bm.StudentEffects(bm.priors.parse("exponential(0.1)")))
    assert exact_covers(effects("pooled"), heavy) is not None
    with pytest.raises(bm.ModelError, match='engine="nuts"'):
        bm.fit(effects("pooled"), heavy, engine="exact")
    with pytest.raises(bm.ModelError, match="nothing to compare"):
        bm.fit(effects("pooled"), heavy, engine="both")


def test_trees_are_datatrees_that_arviz_summarises() -> None:
    tree = fitted("moderated", "nuts").tree
    assert isinstance(tree, xr.DataTree)
    summary = az.summary(tree, var_names=["mu", "tau"], ci_prob=0.95, ci_kind="eti")
    assert {"mu", "tau"} <= set(summary.index)
