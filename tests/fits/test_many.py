"""Many fits at once: batching changes no result, and a fit that fails returns its error in its place.

That a posterior alone is right is shown elsewhere (against R, adaptive quadrature and brute force); here the same
models are solved alone and together, in both orders, and asked one by one and together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayesmeta as bm
from bayesmeta import Effects, Model
from bayesmeta.errors import ModelError
from bayesmeta.exact import likelihood, quadrature
from bayesmeta.fits import distribution, distributions, fit_many, marginal, quantiles
from bayesmeta.questions import summarize
from bayesmeta.sensitivity import cumulative_fits_table, leave_one_out

# sums run in another order when rows are padded, and a quantile is found to 1e-13 in probability
ROUNDING = 1e-10
P = np.array([0.025, 0.5, 0.975])
TAUS: tuple[bm.Prior, ...] = (
    bm.HalfNormal(0.25),
    bm.HalfCauchy(0.5),
    bm.Rhodes2015(),
    bm.Cochrane("smd", "Cochrane"),
    bm.InverseGamma(1.71, 0.4),
    bm.LogNormal(-1.0, 0.8),
    bm.Uniform(0, 2),
    bm.HalfNormal(1e-3),
)
MUS: tuple[bm.Prior, ...] = (bm.Normal(0, 1), bm.Flat(), bm.Truncated(bm.Normal(0, 1), -2, 0.5))


def sets() -> list[Effects]:
    rng = np.random.default_rng(3)
    found = []
    for k in (2, 3, 7, 20):
        se = rng.uniform(0.05, 0.4, k)
        found.append(Effects([f"T{i}" for i in range(k)], rng.normal(-0.3, np.hypot(se, 0.2)), se, measure="SMD"))
    block = (np.array([1, 2]), np.array([[0.04, 0.02], [0.02, 0.09]]))
    found.append(
        Effects("ABBC", [-0.4, -0.1, 0.3, -0.2], [0.1, 0.2, 0.3, 0.2], measure="SMD", label="wxyz", blocks=[block])
    )
    return found


def tasks() -> list[tuple[Effects, Model]]:
    found = [(effects, Model(mu, tau)) for effects, mu, tau in product(sets(), MUS, TAUS)]
    moderated = Effects(
        "ABCDEFG",
        [-0.4, -0.1, 0.3, -0.2, 0.1, 0.0, -0.5],
        [0.1, 0.2, 0.3, 0.2, 0.1, 0.2, 0.3],
        measure="SMD",
        moderators={"weeks": [6, 12, 9, 24, 12, 8, 16]},
    )
    found += [
        (moderated, Model(bm.Normal(0, 1), tau, {"weeks": bm.Coefficient(bm.Normal(0, 0.5), per=6)})) for tau in TAUS
    ]
    # no standard deviation at all, and one Student-t prior: solved on their own
    found += [(sets()[2], Model(bm.Flat(), None)), (sets()[2], Model(bm.StudentT(0, 1, 5), bm.HalfNormal(0.5)))]
    return found


def same(found: bm.Fit, alone: bm.Fit) -> None:
    ours, theirs = found.quadrature, alone.quadrature
    assert ours.nodes == theirs.nodes
    if alone.log_evidence is not None:
        assert found.log_evidence == pytest.approx(alone.log_evidence, abs=ROUNDING)
    for name in ("mu", "theta_new", *(() if alone.model.tau is None else ("tau",))):
        first, second = marginal(found, name), marginal(alone, name)
        np.testing.assert_allclose(second.cdf(first.quantile(P)), P, atol=ROUNDING)
        np.testing.assert_allclose([first.mean, first.sd], [second.mean, second.sd], rtol=1e-8)


@pytest.fixture(scope="module")
def together() -> list[bm.Fit]:
    return [item for item in fit_many(tasks()) if isinstance(item, bm.Fit)]


@pytest.fixture(scope="module")
def alone() -> list[bm.Fit]:
    return [bm.fit(effects, model) for effects, model in tasks()]


def test_company_changes_no_posterior(together: list[bm.Fit], alone: list[bm.Fit]) -> None:
    assert len(together) == len(alone) > 100
    for found, single in zip(together, alone, strict=True):
        same(found, single)


def test_pieces_that_fit_in_memory_change_no_posterior(alone: list[bm.Fit], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadrature, "MAX_ELEMENTS", 5000)
    monkeypatch.setattr(likelihood, "MAX_ELEMENTS", 5000)
    for found, single in zip(fit_many(tasks()), alone, strict=True):
        assert isinstance(found, bm.Fit)
        same(found, single)


def test_the_order_of_the_tasks_is_that_of_the_fits(alone: list[bm.Fit]) -> None:
    for found, single in zip(fit_many(tasks()[::-1]), alone[::-1], strict=True):
        assert isinstance(found, bm.Fit)
        assert found.effects.y.tolist() == single.effects.y.tolist()
        assert found.model == single.model
        same(found, single)


@pytest.mark.parametrize("name", ["mu", "theta_new", "tau"])
def test_quantiles_together_are_those_asked_one_by_one(name: str, alone: list[bm.Fit]) -> None:
    found = quantiles(alone, name, P)
    for row, single in zip(found, alone, strict=True):
        table = summarize(single)
        row_of: Any = table.loc[name] if name in table.index else dict.fromkeys(table.columns, 0.0)
        wanted = [row_of[column] for column in ("lower", "median", "upper")]
        assert row.tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("name", ["mu", "theta_new"])
@pytest.mark.parametrize("upper", [False, True])
def test_probabilities_together_are_those_asked_one_by_one(name: str, upper: bool, alone: list[bm.Fit]) -> None:
    x = np.array([-0.5, 0.0, 0.2])
    found = distributions(alone, name, x, upper=upper)
    for row, single in zip(found, alone, strict=True):
        np.testing.assert_allclose(row, distribution(single, name, x, upper=upper), atol=ROUNDING)


def test_trials_left_out_and_added_in_turns_are_all_there() -> None:
    """More trials than are refitted at once: every line is that of its own refit."""
    rng = np.random.default_rng(5)
    k = 70
    effects = Effects([f"T{i}" for i in range(k)], rng.normal(0, 0.3, k), rng.uniform(0.1, 0.4, k), measure="SMD")
    model = Model(bm.Normal(0, 1), bm.HalfNormal(0.5))
    left, added = leave_one_out(bm.fit(effects, model)), cumulative_fits_table(effects, model)
    assert left["left_out"].tolist() == added["added"].tolist() == list(effects.study)
    assert added["k"].tolist() == list(range(1, k + 1))
    for i in (0, 63, 64, 69):
        for table, kept in ((left, np.arange(k) != i), (added, np.arange(k) <= i)):
            wanted: Any = summarize(bm.fit(effects.subset(kept), model)).loc["mu"]
            assert table.loc[i, ["mu", "lower", "upper"]].tolist() == pytest.approx(
                wanted[["median", "lower", "upper"]].tolist(), rel=1e-9, abs=1e-11
            )


def test_what_cannot_be_fitted_says_so_in_its_place() -> None:
    one = Effects(["A"], [0.1], [0.1], measure="SMD")
    improper, proper = Model(bm.Flat(), bm.Flat()), Model(bm.Flat(), bm.HalfNormal(1))
    found = fit_many([(one, proper), (one, improper), (one, proper)])
    assert [type(item) for item in found] == [bm.Fit, ModelError, bm.Fit]
    assert "improper" in str(found[1])


def test_a_prior_that_no_engine_knows_says_so_in_its_place() -> None:
    effects = sets()[1]
    unknown, known = Model(bm.Truncated(bm.Uniform(0, 1), 0, 0.5), bm.HalfNormal(1)), Model(bm.Flat(), bm.HalfNormal(1))
    found = fit_many([(effects, known), (effects, unknown), (effects, known)])
    assert [type(item) for item in found] == [bm.Fit, ModelError, bm.Fit]
    assert "write uniform" in str(found[1])


def test_nothing_is_asked_of_nothing() -> None:
    assert fit_many([]) == []
    assert quantiles([], "mu", P).shape == (0, 3)
    assert distributions([], "mu", np.zeros(2)).shape == (0, 2)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.floats(-3, 3), st.floats(0.01, 2)), min_size=2, max_size=8),
            st.sampled_from(MUS[:2]),
            st.sampled_from(TAUS),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_batch(data_sets: Sequence[tuple[list[tuple[float, float]], bm.Prior, bm.Prior]]) -> None:
    some = [
        (Effects([f"T{i}" for i in range(len(rows))], *zip(*rows, strict=True), measure="MD"), Model(mu, tau))
        for rows, mu, tau in data_sets
    ]
    for (effects, model), found in zip(some, fit_many(some), strict=True):
        assert isinstance(found, bm.Fit)
        same(found, bm.fit(effects, model))
