"""Tau by level and along a number, sampled: likelihood against dense matrices, draws against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import bayesmeta as bm
from bayesmeta.nuts import build_rows, condition, sample_prior_predictive, study_draws
from nuts_cases import distances, drawn, far
from sampled import drawn_until

FloatArray = NDArray[np.float64]
SE = np.array([0.3, 0.2, 0.25, 0.4, 0.15, 0.3, 0.2])
Y = np.array([-0.9, -0.2, -0.5, 0.1, -0.35, -0.6, 0.2])
S = np.array([[0.04, 0.03], [0.03, 0.16]])
WEEKS = np.array([4.0, 6, 8, 12, 10, 9, 5])
KIND = np.array(["p", "p", "q", "q", "q", "q", "p"], object)
RHO = 0.7
BY_LEVEL = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"kind": bm.Normal(0, 0.5)}, RHO, tau_by=bm.TauBy("kind"))
ALONG = bm.Model(
    bm.Normal(0, 1),
    bm.HalfNormal(0.5),
    {"weeks": bm.Coefficient(bm.Normal(0, 0.3), per=4)},
    RHO,
    tau_by=bm.TauBy("weeks", slope=bm.Normal(0, 0.5)),
)


def effects(*, blocks: bool = True) -> bm.Effects:
    """Rows 1 and 3 share an arm, and have different taus."""
    study = ["a", "b", "c", "b", "d", "e", "f"] if blocks else list("abcdefg")
    shared = ((np.array([1, 3]), S),) if blocks else ()
    columns = {"kind": KIND, "weeks": WEEKS}
    return bm.Effects(study, Y, SE, measure="SMD", label=list("abcdefg"), blocks=shared, moderators=columns)


def dense(tau: FloatArray, *, blocks: bool = True) -> tuple[FloatArray, FloatArray]:
    """Covariances of estimates and of study effects."""
    V, R = np.diag(SE**2), np.eye(7)
    if blocks:
        V[np.ix_([1, 3], [1, 3])] = S
        R[1, 3] = R[3, 1] = RHO
    C = tau[:, None] * R * tau
    return V + C, C


@pytest.mark.parametrize("kind", ["level", "number"])
def test_likelihood_and_study_effects_are_those_of_the_whole_covariance(kind: str) -> None:
    data, size = effects(), 40_000
    h = build_rows(data, BY_LEVEL if kind == "level" else ALONG)
    beta, taus, slope = np.array([-0.2, 0.1]), {"p": 0.15, "q": 0.5}, -0.6
    if kind == "level":
        tau, given = np.array([taus[level] for level in KIND]), {f"tau[{key}]": value for key, value in taus.items()}
    else:
        tau, given = 0.3 * np.exp(slope * (WEEKS - WEEKS.mean()) / 4), {"tau": 0.3, "tau_slope": slope}
    draws = {"tau": np.ones(size), **{name: np.full(size, value) for name, value in given.items()}}
    draws["coefficients"] = np.repeat(beta[:, None], size, 1)
    found = condition(h, draws)
    V, C = dense(tau)
    mean = h.design.X @ beta
    # two ways of one sum in double precision
    expected = stats.multivariate_normal(mean, V).logpdf(Y)
    assert found.log_likelihood[:, 0].sum() == pytest.approx(expected, abs=1e-10)
    theta, _, _ = study_draws(h, found, np.random.default_rng(3))
    B = np.linalg.solve(V, C).T
    # five standard errors of means and of covariances of 40,000 draws
    cov = C - B @ C
    error = np.sqrt(np.diag(cov) / size)
    assert (np.abs(theta.mean(axis=1) - mean - B @ (Y - mean)) < 5 * error).all()
    spread = np.sqrt((np.square(cov) + np.outer(np.diag(cov), np.diag(cov))) / size)
    assert (np.abs(np.cov(theta) - cov) < 5 * spread).all()


def test_prior_predictive_estimates_have_the_spread_of_their_levels() -> None:
    """Given tau and the coefficients the estimates have the covariance S + T R T; five standard errors."""
    point = bm.Uniform(0.4 - 1e-9, 0.4 + 1e-9)
    narrow = bm.TauBy("kind", {"p": bm.Uniform(1.0 - 1e-9, 1.0 + 1e-9)})
    model = bm.Model(bm.Normal(0, 1e-6), point, {"kind": bm.Normal(0, 1e-6)}, RHO, tau_by=narrow)
    size = 40_000
    found = sample_prior_predictive(build_rows(effects(), model), size, np.random.default_rng(5))
    V, C = dense(np.where(KIND == "p", 1.0, 0.4))
    for values, cov in ((found.y, V), (found.theta, C)):
        spread = np.sqrt((np.square(cov) + np.outer(np.diag(cov), np.diag(cov))) / size)
        assert (np.abs(np.cov(values) - cov) < 5 * spread).all()
    np.testing.assert_allclose(found.parameters["tau"], math.sqrt((3 * 1.0 + 4 * 0.16) / 7), rtol=1e-6)


def test_tau_along_a_number_is_that_of_brute_force() -> None:
    """The joint posterior of tau and its slope on a grid; mean effect and a new study at eight weeks."""
    data = effects(blocks=False)
    z = (WEEKS - WEEKS.mean()) / 4
    X = np.column_stack([np.ones(7), z])
    prior = np.diag([1.0, 0.09])
    # the tails beyond hold less than 1e-6 of the prior
    tau, slope = np.meshgrid(np.linspace(0, 2.5, 251)[1:], np.linspace(-2.5, 2.5, 201), indexing="ij")
    log = stats.halfnorm(scale=0.5).logpdf(tau) + stats.norm(0, 0.5).logpdf(slope)
    row = np.array([1.0, (8 - WEEKS.mean()) / 4])
    # every point of the grid at once: seven estimates are normal given tau and slope
    v = SE**2 + (tau[..., None] * np.exp(slope[..., None] * z)) ** 2
    V = v[..., None] * np.eye(7) + X @ prior @ X.T
    log += -0.5 * (
        7 * math.log(2 * math.pi) + np.linalg.slogdet(V)[1] + (Y * np.linalg.solve(V, Y[:, None])[..., 0]).sum(-1)
    )
    cov = np.linalg.inv(np.linalg.inv(prior) + X.T @ (X / v[..., None]))
    mean = (row @ cov * ((Y / v) @ X)).sum(-1)
    below = stats.norm.cdf(-0.5, mean, np.sqrt(row @ cov @ row + (tau * np.exp(slope * row[1])) ** 2))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    truths = {
        "tau": (float((weight * tau).sum()), {0.2: float(weight[tau <= 0.2 + 0.005].sum())}),
        "tau_slope": (float((weight * slope).sum()), {0.0: float(weight[slope < 0.0125].sum())}),
    }

    def wrong(fit: bm.Fit) -> str:
        found = {}
        for name, (mean, cdf) in truths.items():
            # a step of the grid more or less in a probability is below the Monte Carlo error
            found |= {f"{name}, {key}": value for key, value in distances(drawn(fit, name), mean, {}).items()}
            for x, p in cdf.items():
                form = drawn(fit, name)
                found[f"{name} below {x}"] = (float(form.cdf(x)) - p) / math.hypot(form.cdf_mcse(x), 0.01)
        form = bm.marginal(fit, "theta_new", {"weeks": 8})
        found["theta_new"] = (float(form.cdf(-0.5)) - float((weight * below).sum())) / form.cdf_mcse(-0.5)
        return far(found)

    fit = drawn_until(
        lambda seed, given: bm.fit(data, ALONG, seed=seed, settings=given), wrong, bm.Settings(draws=2000)
    )
    assert fit.engine == "nuts"
    assert fit.posterior.scalars == ("tau", "tau_slope")
