"""The plain PyMC model: its density against densities written here by scipy, its draws against the exact posterior."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats

import bayesmeta as bm

Y, SE = np.array([-0.6, -0.1, -0.3, 0.2, -0.5]), np.array([0.2, 0.15, 0.3, 0.25, 0.2])
LABELS = list("ABCDE")


def density(written: pm.Model, **values: Any) -> float:
    """Log density of a model on its own scale, without Jacobians, at named values."""
    point = written.initial_point()
    for name, value in values.items():
        variable = written[name]
        place = written.rvs_to_values[variable]
        transform = written.rvs_to_transforms[variable]
        moved = np.asarray(value, float)
        if transform is not None:
            moved = transform.forward(pt.as_tensor(moved), *variable.owner.inputs).eval()
        assert place.name in point
        point[place.name] = np.asarray(moved, float)
    assert len(values) == len(point)
    # one compilation of little code: the interpreter is quicker than a compiler
    return float(written.compile_logp(jacobian=False, mode="FAST_COMPILE")(point))


def near(value: float) -> Any:
    """PyMC holds log 2, a constant of half distributions, in single precision: 2e-9 each, which no posterior knows."""
    return pytest.approx(value, abs=1e-8)


def test_density_with_moderators_and_rows_that_share_an_arm() -> None:
    """Every difference of levels has the stated prior, the mean is that of the observed mix, S and R enter whole."""
    kind = ["yoga", "aerobic", "aerobic", "strength", "aerobic"]
    weeks = np.array([6.0, 12, 8, 16, 10])
    S = np.array([[0.09, 0.03], [0.03, 0.0625]])
    effects = bm.Effects(
        ["A", "B", "C", "C", "E"],
        Y,
        SE,
        measure="SMD",
        label=LABELS,
        moderators={"kind": kind, "weeks": weeks},
        blocks=[([2, 3], S)],
    )
    model = bm.Model(
        bm.Normal(0, 1),
        bm.HalfNormal(0.5),
        {"kind": bm.Normal(0, 0.5), "weeks": bm.Coefficient(bm.Normal(0, 0.2), per=4)},
    )
    written = bm.to_pymc(effects, model)
    assert written.named_vars_to_dims["kind"] == ("kind_level",)
    assert tuple(written.coords["kind_level"]) == ("aerobic", "strength", "yoga")
    mu, tau, level, slope = -0.2, 0.3, np.array([0.1, 0.15, -0.25]), -0.1
    z, z_new = np.array([0.3, -1.0, 0.5, 0.2, -0.4]), 0.7
    found = density(written, mu=mu, tau=tau, kind=level, weeks=slope, z=z, z_new=z_new)
    place = np.array([2, 0, 0, 1, 0])
    R = np.eye(5)
    R[2, 3] = R[3, 2] = 0.5
    values, vectors = np.linalg.eigh(R)
    theta = mu + level[place] - level[place].mean() + slope * (weeks - weeks.mean()) / 4
    theta = theta + tau * (vectors * np.sqrt(values)) @ z
    V = np.diag(SE**2)
    V[2:4, 2:4] = S
    # the zero-sum vector in two orthonormal coordinates, whose variance is half that of a difference
    H = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
    expected = (
        stats.norm.logpdf(mu)
        + stats.halfnorm.logpdf(tau, scale=0.5)
        + stats.norm.logpdf(H @ level, scale=0.5 / math.sqrt(2)).sum()
        + stats.norm.logpdf(slope, scale=0.2)
        + stats.norm.logpdf([*z, z_new]).sum()
        + stats.multivariate_normal.logpdf(Y, theta, V)
    )
    assert found == near(float(expected))


def test_density_of_clusters_counts_and_heavy_tails() -> None:
    model = bm.Model(bm.Normal(0, 1), bm.HalfCauchy(0.5), cluster_tau=bm.Exponential(2))
    effects = bm.Effects(
        ["A", "A", "B", "C", "C"], Y, SE, measure="SMD", cluster=["A", "A", "B", "C", "C"], label=LABELS
    )
    z, u = np.array([0.3, -1.0, 0.5, 0.2, -0.4]), np.array([0.1, -0.2, 0.4])
    found = density(bm.to_pymc(effects, model), mu=0.1, tau=0.2, tau_within=0.1, u=u, z=z, z_new=0.0)
    theta = 0.1 + 0.2 * u[[0, 0, 1, 2, 2]] + 0.1 * z
    expected = stats.norm.logpdf([0.1, *u, *z, 0.0]).sum() + stats.norm.logpdf(Y, theta, SE).sum()
    expected += stats.halfcauchy.logpdf(0.2, scale=0.5) + stats.expon.logpdf(0.1, scale=0.5)
    assert found == near(float(expected))

    counts = np.array([[3, 40, 6, 41], [0, 20, 2, 21], [5, 30, 4, 33]], float)
    trials = bm.Effects(list("ABC"), [-0.7, -1.0, 0.3], [0.7, 1.2, 0.7], measure="OR", counts=counts)
    model = bm.Model(bm.Normal(0, 2), bm.HalfNormal(0.5), likelihood="binomial", baseline=bm.Normal(-1, 2))
    written = bm.to_pymc(trials, model)
    z, control = np.array([0.5, -0.2, 0.1]), np.array([-1.5, -2.0, -1.8])
    found = density(written, mu=-0.2, tau=0.4, z=z, z_new=1.0, control_logit=control)
    treated = control - 0.2 + 0.4 * z
    expected = stats.norm.logpdf(-0.2, scale=2) + stats.halfnorm.logpdf(0.4, scale=0.5)
    expected += stats.norm.logpdf([*z, 1.0]).sum() + stats.norm.logpdf(control, -1, 2).sum()
    for logit, (events, people) in ((treated, counts[:, :2].T), (control, counts[:, 2:].T)):
        expected += stats.binom.logpmf(events, people, 1 / (1 + np.exp(-logit))).sum()
    assert found == near(float(expected))

    model = bm.Model(
        bm.Normal(0, 1), bm.HalfNormal(0.5), random=bm.StudentEffects(bm.Truncated(bm.Exponential(0.1), 2, 99))
    )
    plain = bm.Effects(LABELS, Y, SE, measure="SMD")
    mixing, z = np.array([0.5, 1.0, 2.0, 1.5, 0.8]), np.array([0.3, -1.0, 0.5, 0.2, -0.4])
    found = density(bm.to_pymc(plain, model), mu=0.1, tau=0.2, df=5.0, mixing=mixing, z=z, theta_new=0.3)
    expected = stats.norm.logpdf([0.1, *z]).sum() + stats.halfnorm.logpdf(0.2, scale=0.5)
    expected += stats.gamma.logpdf(mixing, 2.5, scale=1 / 2.5).sum() + stats.t.logpdf(0.3, 5, 0.1, 0.2)
    expected += stats.norm.logpdf(Y, 0.1 + 0.2 * z / np.sqrt(mixing), SE).sum()
    expected += stats.expon.logpdf(5, scale=10) - math.log(math.exp(-0.2) - math.exp(-9.9))
    assert found == near(float(expected))


def test_draws_agree_with_the_exact_posterior() -> None:
    """A third way to the same answer: within five Monte Carlo standard errors, which one run in a million misses."""
    effects, model, fit = bm.example()
    with bm.to_pymc(effects, model):
        draws = pm.sample(
            1000,
            tune=1000,
            chains=4,
            cores=1,
            nuts_sampler="nutpie",
            random_seed=7,
            progressbar=False,
            target_accept=0.95,
        )
    import arviz as az

    found = az.summary(draws, var_names=["mu", "tau", "theta_new"], kind="all", round_to="none")
    exact = bm.summarize(fit)
    for name in ("mu", "tau", "theta_new"):
        error = float(found.loc[name, "mcse_mean"])
        assert abs(float(found.loc[name, "mean"]) - exact.loc[name, "mean"]) < 5 * error
        # the chain is long enough to say something
        assert error < exact.loc[name, "sd"] / 20
    assert draws.posterior["theta"].dims == ("chain", "draw", "estimate")


def test_what_is_not_written_is_refused_in_one_sentence() -> None:
    effects = bm.Effects(LABELS, Y, SE, measure="SMD", moderators={"weeks": [6.0, 12, 8, 16, 10]})
    spline = bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5), {"weeks": bm.Spline(bm.Normal(0, 1), bm.HalfNormal(0.5))})
    with pytest.raises(bm.ModelError, match=r"curves \(weeks\)"):
        bm.to_pymc(effects, spline)
    with pytest.raises(bm.ModelError, match=r"jeffreys"):
        bm.to_pymc(effects, bm.Model(bm.Flat(), bm.Jeffreys()))
