"""Tau that differs between two levels: against brute force in polar coordinates, closed forms, symmetry and limits."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special, stats

import bayesmeta as bm

FloatArray = NDArray[np.float64]
RNG = np.random.default_rng(20260)
LEVELS = np.array(["home", "supervised"] * 5, object)
SE = np.array([0.12, 0.2, 0.15, 0.25, 0.22, 0.18, 0.3, 0.14, 0.2, 0.26])
Y = np.array([-0.3, -0.9, -0.25, 0.2, -0.45, -0.6, -0.1, 0.35, -0.35, -0.8])
# what the engine promises is 1e-8 between nested rules; the brute force below is good to 1e-10
PROMISED = 2e-8
MU, TAU, HOME, CONTRAST, RHO = bm.Normal(0, 1), bm.HalfNormal(0.5), bm.HalfCauchy(0.3), bm.Normal(0, 0.5), 0.4


def effects(mixed: bool = False) -> bm.Effects:
    """Ten rows; with two trials whose rows share a control arm: one within a level, one across levels."""
    study = [f"trial {i}" for i in range(10)]
    blocks = []
    if mixed:
        for i, j in ((1, 3), (4, 5)):
            study[j] = study[i]
            blocks.append(
                (np.array([i, j]), np.array([[SE[i] ** 2, 0.4 * SE[i] * SE[j]], [0.4 * SE[i] * SE[j], SE[j] ** 2]]))
            )
    labels = [f"row {i}" for i in range(10)]
    return bm.Effects(
        study, Y, SE, measure="SMD", label=labels, blocks=tuple(blocks), moderators={"setting": LEVELS}, better="lower"
    )


def model(**changes: object) -> bm.Model:
    by = bm.TauBy("setting", {"home": HOME})
    return dataclasses.replace(bm.Model(MU, TAU, {"setting": CONTRAST}, rho=RHO, tau_by=by), **changes)


class Brute:
    """The joint posterior of the two taus on Gauss-Legendre nodes of the angle and the distance from the origin."""

    def __init__(self, data: bm.Effects, ends: tuple[float, ...] = (0.0, math.pi / 2)) -> None:
        upper = (data.moderators["setting"] == "supervised").astype(float)
        self.X = np.column_stack([np.ones(data.k), upper - upper.mean()])
        self.prior = np.diag([1.0, 0.25])
        self.upper, self.data = upper, data
        R = np.eye(data.k)
        for rows, _ in data.blocks:
            R[np.ix_(rows, rows)] = RHO
        np.fill_diagonal(R, 1.0)
        self.R = R
        x, w = special.roots_legendre(60)
        # tails of a half-Cauchy: the distance as far as 1e5
        t, tw = special.roots_legendre(160)
        s = 7 * (t + 1)
        rho, drho = 0.05 * np.sinh(s), 0.05 * np.cosh(s) * 7 * tw
        self.tau0, self.tau1, self.weight = (np.empty(0) for _ in range(3))
        for first, last in pairwise(ends):
            phi, dphi = 0.5 * (first + last) + 0.5 * (last - first) * x, 0.5 * (last - first) * w
            self.tau0 = np.append(self.tau0, np.outer(np.cos(phi), rho))
            self.tau1 = np.append(self.tau1, np.outer(np.sin(phi), rho))
            self.weight = np.append(self.weight, np.outer(dphi, rho * drho))
        density = np.exp(stats.halfcauchy(scale=0.3).logpdf(self.tau0) + stats.halfnorm(scale=0.5).logpdf(self.tau1))
        self.joint = (
            self.weight
            * density
            * np.exp([self.log_likelihood(a, b) for a, b in zip(self.tau0, self.tau1, strict=True)])
        )

    def covariance(self, tau0: float, tau1: float) -> FloatArray:
        tau = np.where(self.upper > 0, tau1, tau0)
        return self.data.covariance() + tau[:, None] * self.R * tau

    def log_likelihood(self, tau0: float, tau1: float) -> float:
        V = self.covariance(tau0, tau1) + self.X @ self.prior @ self.X.T
        _, logdet = np.linalg.slogdet(V)
        return -0.5 * float(
            self.data.k * math.log(2 * math.pi) + logdet + self.data.y @ np.linalg.solve(V, self.data.y)
        )

    def expect(self, values: FloatArray) -> float:
        return float((self.joint * values).sum() / self.joint.sum())


@pytest.mark.parametrize("mixed", [False, True])
def test_the_joint_posterior_is_that_of_brute_force(mixed: bool) -> None:
    data = effects(mixed)
    fit = bm.fit(data, model())
    assert fit.exact
    for ratio in (0.5, 1.0, 2.5):
        brute = Brute(data, (0.0, math.atan(ratio), math.pi / 2))
        assert bm.probability(fit, "tau[supervised] / tau[home]", below=ratio) == pytest.approx(
            brute.expect(brute.tau1 < ratio * brute.tau0), abs=PROMISED
        )
    assert fit.log_evidence == pytest.approx(math.log(brute.joint.sum()), abs=PROMISED)
    assert bm.marginal(fit, "tau[supervised]").mean == pytest.approx(brute.expect(brute.tau1), abs=PROMISED)
    # moments of what is Gaussian given the taus
    names = {"mu": None, "home": {"setting": "home"}, "supervised": {"setting": "supervised"}}
    for name, at in names.items():
        row = np.array([1.0, {"mu": 0.0, "home": -0.5, "supervised": 0.5}[name]])
        spread = {"mu": 0.5 * (brute.tau0**2 + brute.tau1**2), "home": brute.tau0**2, "supervised": brute.tau1**2}[name]
        mean, below = np.empty(brute.tau0.size), np.empty(brute.tau0.size)
        for i, (a, b) in enumerate(zip(brute.tau0, brute.tau1, strict=True)):
            precision = np.linalg.solve(brute.covariance(a, b), brute.X)
            cov = np.linalg.inv(np.diag([1.0, 4.0]) + brute.X.T @ precision)
            mean[i] = row @ cov @ precision.T @ Y
            below[i] = special.ndtr((-0.2 - mean[i]) / math.sqrt(row @ cov @ row + spread[i]))
        assert bm.marginal(fit, "mu", at).mean == pytest.approx(brute.expect(mean), abs=PROMISED)
        assert bm.probability(fit, "theta_new", below=-0.2, at=at) == pytest.approx(brute.expect(below), abs=PROMISED)
