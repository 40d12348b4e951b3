"""NUTS against the exact engine on everything that both cover: every protocol, and every reference data set.

The exact engine's own authority is R bayesmeta, closed forms and dense grids (exact/test_r_bayesmeta.py,
exact/test_clusters.py, exact/test_hierarchical_sd.py). Differences are in Monte Carlo standard errors of the draws.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.exact import why_unsupported
from bayesmeta.nuts import running
from bayesmeta.plan import vary
from exact.test_published_numbers import PRIORS
from exact.test_r_bayesmeta import settings as r_settings
from references import R_SETS, ROOT, effects_of, exact_effects, reference
from sampled import LIMIT, drawn_until

# what the automatic repetition would use: fits of three trials with vague priors would need it
CAREFUL = bm.Settings(target_accept=0.99)


def assert_engines_agree(effects: bm.Effects, model: bm.Model) -> bm.Fit:
    """Fit by both engines, whose agreement is one of the checks; what fails is drawn once more (`sampled`).

    One table holds 12 comparisons and one per study effect: some 6,000 in all, 2,000 of them always.
    """
    assert why_unsupported(effects, model) is None
    fit = drawn_until(
        lambda seed, settings: bm.fit(effects, model, engine="both", seed=seed, settings=settings), settings=CAREFUL
    )
    # the check is made of the table
    assert np.abs(bm.agreement_table(fit)["difference"]).max() <= LIMIT
    return fit


# -- protocols ---------------------------------------------------------------------------------------------------------


def analyses(name: str, analysis: str, change: str | None = None) -> list[tuple[str, bm.Effects, bm.Model]]:
    """Every outcome of a protocol that is estimable and that the exact engine covers."""
    asked = bm.read_protocol(ROOT / f"models/{name}.toml")
    keys = list(asked.outcomes)
    if change is not None:
        keys = list(next(item for item in asked.sensitivities if item.name == change).outcomes)
        asked = vary(asked, change)
    found = []
    for key in keys:
        with warnings.catch_warnings():
            # one trial's large SMD is spoken of on reading, and is as it was printed
            warnings.simplefilter("ignore", bm.BayesmetaWarning)
            effects = bm.read_effects(asked, key)
        model = asked.outcomes[key].model.on(effects if analysis == "moderated" else None)
        if analysis == "moderated":
            if not model.beta:
                continue
            decided = bm.estimable(effects, model)
            if not decided.ok:
                continue
            model = decided.model
        if why_unsupported(effects, model) is None:
            found.append((key, effects, model))
    return found


# protocol, analysis, how many outcomes there are, whether it always runs
ASKED = [
    ("cancer_exercise", "pooled", 12, False),
    ("cancer_exercise", "moderated", 5, False),
    ("cancer_horizons", "pooled", 4, True),
    ("cancer_horizons", "moderated", 4, False),
    ("hiit", "pooled", 16, False),
    ("hiit", "moderated", 16, False),
    ("exercise_depression", "pooled", 1, True),
    ("exercise_depression", "moderated", 1, True),
    ("depression_dose", "pooled", 3, False),
    ("depression_dose", "moderated", 2, False),
    ("cipn", "pooled", 4, False),
    ("cipn", "moderated", 2, False),
    ("metastatic", "pooled", 3, False),
]


def test_every_protocol_is_asked() -> None:
    """The robust protocol is beyond the exact engine, except where it takes true effects to be normal (below)."""
    assert {path.stem for path in Path(ROOT / "models").glob("*.toml")} - {name for name, *_ in ASKED} == {
        "cancer_robust"
    }
    assert not analyses("cancer_robust", "pooled")


@pytest.mark.parametrize(
    ("name", "analysis", "count"),
    [pytest.param(*asked, marks=[] if always else [pytest.mark.slow]) for *asked, always in ASKED],
)
def test_protocol(name: str, analysis: str, count: int) -> None:
    outcomes = analyses(name, analysis)
    assert len(outcomes) == count
    shapes = set()
    for _, effects, model in outcomes:
        assert_engines_agree(effects, model)
        # the last one used
        shapes.add(next(reversed(running._COMPILED)))
    # One compilation serves an analysis, with numbers of rows and priors as data; a second one where only some outcomes
    # have trials whose rows share patients, or where the protocol asks by another moderator or a curve.
    assert len(shapes) <= 2


def test_types_of_exercise_exchangeable() -> None:
    """``cancer_robust`` with normal effects: levels learn from each other, beside a stated contrast."""
    ((_, effects, model),) = analyses("cancer_robust", "moderated", "types of exercise exchangeable")
    fit = assert_engines_agree(effects, model)
    assert "sd[exercise]" in set(bm.agreement_table(fit)["quantity"])


def test_one_compilation_serves_all_numbers() -> None:
    """Other data, priors of the same family, and another number of rows."""
    model = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    quick = bm.Settings(draws=100, tune=200, target_accept=0.99)
    # a fit this short is not to be trusted, and says so by its checks; here it is the compilation that matters
    bm.fit(effects_of("normand_smd"), model, engine="nuts", settings=quick)
    before = set(running._COMPILED)
    for name in ("crins_or", "hackshaw_logor"):
        other = bm.Model(bm.Normal(0.3, 2), bm.HalfNormal(0.1))
        bm.fit(effects_of(name), other, engine="nuts", settings=quick)
    assert set(running._COMPILED) == before
    bm.fit(effects_of("crins_or"), bm.Model(bm.Normal(0, 1), None), engine="nuts", settings=quick)
    assert next(reversed(running._COMPILED)) not in {key for key in before if key[1] is not None}


# -- reference data sets -----------------------------------------------------------------------------------------------

FAST_SETTINGS = ("halfnormal",)


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(name, marks=[] if name in FAST_SETTINGS else [pytest.mark.slow])
        for name in ("halfnormal", "halfcauchy", "flat_mu", "uniform_tau", "jeffreys_tau")
    ],
)
def test_reference_sets(setting: str) -> None:
    """The twelve data sets of R, with the priors of their pinned answers."""
    assert len(R_SETS) == 12
    for name in R_SETS:
        assert_engines_agree(effects_of(name), r_settings(name)[setting])


EXACT_SETS = [name for name in reference("exact") if name != "meta"]


def test_no_pinned_prior_has_disappeared() -> None:
    """Half-normal, half-Cauchy, Turner's log-normal, Rhodes' log-t (three rows) and inverse gamma, on six sets."""
    assert len(EXACT_SETS) == 6
    assert {prior.split(" | ")[0] for name in EXACT_SETS for prior in reference("exact")[name]["bayes"]} == set(PRIORS)


@pytest.mark.slow
@pytest.mark.parametrize("prior", PRIORS)
def test_priors_of_heterogeneity(prior: str) -> None:
    for name in EXACT_SETS:
        assert_engines_agree(exact_effects(name), bm.Model(bm.Flat(), PRIORS[prior]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        bm.Model(bm.Truncated(bm.Normal(0, 1), -np.inf, 0), bm.HalfNormal(0.5)),
        bm.Model(bm.Truncated(bm.StudentT(0, 0.5, 4), -0.6, np.inf), bm.Truncated(bm.HalfCauchy(0.5), 0, 2)),
        bm.Model(bm.Uniform(-1, 0.2), bm.Truncated(bm.Rhodes2015(), 0.05, 1)),
        bm.Model(bm.Cauchy(0, 0.5), bm.Uniform(0, 2)),
        bm.Model(bm.StudentT(0, 0.43, 5), bm.Exponential(2)),
        bm.Model(bm.Normal(0, 1), bm.HalfStudentT(0.3, 4)),
        bm.Model(bm.Normal(0, 1), None),
        bm.Model(bm.Flat(), bm.Truncated(bm.LogNormal(-1, 1), 0.01, 1)),
    ],
    ids=repr,
)
def test_other_priors(model: bm.Model) -> None:
    for name in ("normand_smd", "crins_or", "bcg_rr"):
        assert_engines_agree(effects_of(name), model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "term",
    [
        bm.Coefficient(bm.StudentT(0, 0.5, 4)),
        bm.Coefficient(bm.Cauchy(0, 0.3), reference="systematic"),
        bm.Coefficient(bm.Flat()),
        bm.Exchangeable(bm.HalfNormal(0.5)),
        bm.Exchangeable(bm.HalfCauchy(0.3)),
    ],
    ids=repr,
)
def test_levels(term: bm.Coefficient | bm.Exchangeable) -> None:
    """Three kinds of allocation: heavy-tailed priors share their mixing scale between levels in both engines.

    A Cauchy prior's mixing scale runs towards infinity beside data that say little: two draws in 16,000 diverge there,
    which the fit says (it is not ok) and which moves no number (`sampled.DIVERGENCES`).
    """
    effects = effects_of("bcg_rr", moderators={"kind": reference("bcg_rr")["metareg"]["alloc"]["values"]})
    assert_engines_agree(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"kind": term}))
