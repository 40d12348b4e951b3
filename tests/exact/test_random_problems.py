"""Random problems, legal and awkward: every one is answered, and right.

Slow; run with `python3 -m uv run pytest -m slow`. Scales run over eight orders of magnitude, standard errors over four
within one data set, priors over all families. The check is Simpson's rule on 120,000 or more values of log tau, a
formulation without windows, rotations or doubling.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

import bayesmeta as bm
from bayesmeta.priors import Prior

# the sum's own error where the posterior is as narrow as 200 trials make it
TOLERANCE = 1e-7


def problem(rng: np.random.Generator) -> tuple[bm.Effects, bm.Model]:
    k = int(rng.choice([1, 2, 3, 4, 5, 8, 13, 30, 100, 200]))
    scale = 10.0 ** rng.uniform(-4, 4)
    spread = rng.choice([0, 0.1, 1, 10, 100]) * scale
    se = scale * 10.0 ** rng.uniform(-1 if rng.random() < 0.5 else -3, 1, k)
    y = rng.normal(0, 1, k) * se + rng.normal(0, 1, k) * spread + rng.choice([0, 5 * scale])
    s = scale * 10.0 ** rng.uniform(-2, 2)
    taus: list[Prior | None] = [
        bm.HalfNormal(s),
        bm.HalfCauchy(s),
        bm.HalfStudentT(s, 3),
        bm.HalfStudentT(s, 0.5),
        bm.Exponential(1 / s),
        bm.LogNormal(math.log(s), rng.uniform(0.3, 2)),
        bm.LogStudentT(math.log(s), rng.uniform(0.5, 2), 5),
        bm.InverseGamma(rng.uniform(0.5, 3), s),
        bm.Uniform(0, 5 * s),
        bm.Truncated(bm.LogStudentT(math.log(s), 1, 5), 0, 10 * s),
        bm.Truncated(bm.HalfCauchy(s), s / 10, math.inf),
        bm.Flat(),
        bm.Jeffreys(),
        None,
    ]
    mus: list[Prior] = [bm.Normal(0, 10.0 ** rng.uniform(-2, 3) * scale), bm.Flat()]
    effects = bm.Effects([f"{i}" for i in range(k)], y, se, measure="MD", better="lower")
    return effects, bm.Model(mus[rng.integers(2)], taus[rng.integers(len(taus))])


def log_posterior(effects: bm.Effects, model: bm.Model, u: float) -> float:
    """Log of the integrand at one value of log tau, up to a constant."""
    assert model.tau is not None
    tau = math.exp(u)
    V = effects.se**2 + tau**2
    precision0, mean0 = (0.0, 0.0) if model.mu.name == "flat" else (model.mu.sd**-2, model.mu.mean)  # type: ignore[attr-defined]
    A = (1 / V).sum() + precision0
    mean = ((effects.y / V).sum() + precision0 * mean0) / A
    quadratic = ((effects.y - mean) ** 2 / V).sum() + precision0 * (mean - mean0) ** 2
    return float(
        -0.5 * (np.log(V).sum() + math.log(A) + quadratic) + model.tau.logpdf(np.clip(tau, *model.tau.support)) + u
    )


def by_summing(effects: bm.Effects, model: bm.Model, x: float) -> tuple[float, float]:
    """P(mu < x) and P(theta_new < x)."""
    y, v = effects.y, effects.se**2
    if model.tau is None:
        u = np.array([0.0])
        tau = np.zeros(1)
    else:
        centre = math.log(float(np.median(effects.se)))
        # log-Student-t priors keep mass hundreds of nats away; the others have none beyond 60
        reach, points = (320.0, 400_001) if "logstudentt" in repr(model.tau) else (90.0, 120_001)
        low, high = (0.0, math.inf) if not model.tau.proper else model.tau.support
        first = max(centre - reach, math.log(low) if low > 0 else -math.inf)
        last = min(centre + reach, math.log(high))
        if high < math.inf and "logstudentt" not in repr(model.tau):
            first = max(first, last - 40)
        u = np.linspace(first, last, points)
        if high < math.inf:
            # mass may pile up at the bound: only the stretch that holds any is summed
            grid = np.concatenate([np.linspace(first, last, 4001), last - np.geomspace(1e-9, last - first, 400)])
            grid.sort()
            value = np.array([log_posterior(effects, model, z) for z in grid])
            start = int(np.flatnonzero(value > value.max() - 50)[0])
            u = np.linspace(grid[max(start - 1, 0)], last, 400_001)
        tau = np.exp(u)
    precision0, mean0 = (0.0, 0.0) if model.mu.name == "flat" else (model.mu.sd**-2, model.mu.mean)  # type: ignore[attr-defined]
    log, mean, var = np.empty(u.size), np.empty(u.size), np.empty(u.size)
    for start in range(0, u.size, 20_000):
        part = slice(start, start + 20_000)
        V = v + tau[part, None] ** 2
        W = 1 / V
        A = W.sum(axis=1) + precision0
        mean[part] = (W @ y + precision0 * mean0) / A
        var[part] = 1 / A
        r = y - mean[part, None]
        quadratic = (W * r * r).sum(axis=1) + precision0 * (mean[part] - mean0) ** 2
        log[part] = -0.5 * (np.log(V).sum(axis=1) + np.log(A) + quadratic)
        if model.tau is not None and model.tau.name == "jeffreys":
            log[part] += np.log(tau[part]) + 0.5 * np.log((W * W).sum(axis=1)) + u[part]
    if model.tau is not None and model.tau.name != "jeffreys":
        # an end of the support may be missed by rounding
        log = log + model.tau.logpdf(np.clip(tau, *((low, high) if model.tau.proper else (0.0, math.inf)))) + u
    weights = np.exp(log - log.max())
    if weights.size > 1:
        # Simpson's rule, for integrands that end at a bound
        weights[1:-1:2] *= 4
        weights[2:-1:2] *= 2
    weights /= weights.sum()
    return (
        float(weights @ special.ndtr((x - mean) / np.sqrt(var))),
        float(weights @ special.ndtr((x - mean) / np.sqrt(var + tau**2))),
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_random_problem(seed: int) -> None:
    effects, model = problem(np.random.default_rng(seed))
    flat = int(model.mu.name == "flat")
    needed = {"flat": 2, "jeffreys": 1}.get("" if model.tau is None else model.tau.name, 0)
    if needed and effects.k - flat < needed:
        with pytest.raises(bm.ModelError, match="improper"):
            bm.fit(effects, model)
        return
    fit = bm.fit(effects, model)
    table = bm.summarize(fit)
    assert np.isfinite(table[["median", "lower", "upper"]].to_numpy(float)).all()
    bm.share_of_true_effects(fit, 0.3 * float(np.median(effects.se)))
    if effects.k < 50:
        studies = bm.study_table(fit)
        assert (studies["theta_lower"] <= studies["theta"]).all()
    for x in table.loc["mu", ["lower", "median", "upper"]].to_numpy(float):
        mu, new = by_summing(effects, model, float(x))
        assert bm.probability(fit, "mu", below=float(x)) == pytest.approx(mu, abs=TOLERANCE)
        assert bm.probability(fit, "theta_new", below=float(x)) == pytest.approx(new, abs=TOLERANCE)
