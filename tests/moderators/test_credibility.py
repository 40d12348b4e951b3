"""Items of ICEMAN and the share of heterogeneity that goes with moderators."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import bayesmeta as bm
from bayesmeta.moderators import explained_share
from bayesmeta.sensitivity import credibility_table


def one_binary(k: int = 12) -> bm.Effects:
    rng = np.random.default_rng(3)
    x = (np.arange(k) % 2).astype(float)
    y = 0.2 + 0.5 * x + rng.normal(0, 0.3, k)
    return bm.Effects(
        [f"t{i}" for i in range(k)], y, np.full(k, 0.2), measure="SMD", better="higher", moderators={"x": x}
    )


def test_share_is_that_of_brute_force() -> None:
    """One 0/1 moderator: Var(x b) = b**2 / 4, b normal given tau; the distribution function of the share on a grid."""
    effects = one_binary()
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"x": bm.Normal(0, 0.5)}))
    X = np.column_stack([np.ones(effects.k), effects.moderators["x"] - 0.5])
    prior = np.diag([1.0, 0.25])
    grid = np.linspace(1e-4, 2.5, 2500)
    logs, means, sds = [], [], []
    for tau in grid:
        V = np.diag(effects.se**2 + tau**2)
        total = V + X @ prior @ X.T
        gain = prior @ X.T @ np.linalg.inv(total)
        density = stats.multivariate_normal.logpdf(effects.y, np.zeros(effects.k), total)
        logs.append(density + stats.halfnorm.logpdf(tau, 0, 0.5))
        means.append((gain @ effects.y)[1])
        sds.append(np.sqrt((prior - gain @ X @ prior)[1, 1]))
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    for q, found in zip((0.025, 0.5, 0.975), explained_share(fit), strict=True):
        # share <= r where |b| <= 2 tau sqrt(r / (1 - r))
        bound = 2 * grid * np.sqrt(found / (1 - found))
        inside = stats.norm.cdf((bound - means) / sds) - stats.norm.cdf((-bound - means) / sds)
        assert weights @ inside == pytest.approx(q, abs=4 * np.sqrt(q * (1 - q) / 100_000) + 1e-4)


def test_share_needs_one_tau() -> None:
    effects = one_binary()
    with pytest.raises(bm.ModelError, match="one tau"):
        explained_share(bm.fit(effects, bm.Model(bm.Normal(0, 1), None, {"x": bm.Normal(0, 0.5)})))
    with pytest.raises(bm.ModelError, match="one tau"):
        explained_share(bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5))))


def test_items_are_counted_and_not_rated() -> None:
    effects = one_binary()
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"x": bm.Normal(0, 0.5)}))
    table = credibility_table(fit, declared=3).set_index("number")
    assert len(table) == 8
    assert table["judgement"].tolist() == [""] * 8
    assert table.loc[1, "known"] == "between only"
    assert table.loc[3, "known"] == "12 trials"
    assert table.loc[5, "known"].startswith("p ")
    assert table.loc[6, "known"] == "3 in the protocol"
    assert table.loc[8, "known"] == "no cut points"
    common = bm.fit(effects, bm.Model(bm.Normal(0, 1), None, {"x": bm.Normal(0, 0.5)}))
    assert credibility_table(common).set_index("number").loc[7, "known"] == "no: a common effect"
