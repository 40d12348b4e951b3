"""Simulated worlds: parameters from their priors, study effects and data from the parameters, one model each.

Where a model says nothing of how its design came about, the design is fixed and data come from
`bayesmeta.nuts.sample_prior_predictive`. Where stated values inform parameters (moderators, levels, standard
deviations), they are simulated too, after the parameters; were they fixed, parameters from the priors would not be
parameters of this posterior, and ranks not uniform. What is observed behind an SMD is a raw difference: it is
simulated, not the SMD. A world may be rejected for what its *data* are (a level that no trial states): posteriors
given the data do not change. A world with a risk outside 0 to 1 is rejected whole: it has probability zero under the
model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bayesmeta as bm
from bayesmeta.joint import JointModel
from bayesmeta.numerics import rule
from bayesmeta.nuts import HierarchicalRows, build_rows, new_study, sample_prior_predictive
from bayesmeta.priors import Prior, parse

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class World:
    """One simulated meta-analysis.

    Attributes
    ----------
    truth : mapping of str to float
        By the names that `bayesmeta.marginal` takes; ``theta[...]`` of the first row.
    parameters : mapping
        As `bayesmeta.nuts.collapsed.condition` takes them, one draw.
    """

    effects: Any
    model: Any
    truth: Mapping[str, float]
    parameters: Mapping[str, FloatArray]


def draw(prior: Prior | str, rng: np.random.Generator, size: int | None = None) -> FloatArray:
    """Draw from a prior."""
    prior = parse(prior) if isinstance(prior, str) else prior
    return np.asarray(prior.ppf(rng.random(size)), float)


def _truth(
    h: HierarchicalRows, parameters: Mapping[str, FloatArray], theta: FloatArray, rng: np.random.Generator
) -> dict[str, float]:
    beta = parameters["coefficients"][:, 0]
    found = {"mu": beta[0], "theta_new": beta[0] + new_study(h.model, parameters, rng)["theta_new"][0]}
    if h.model.tau is not None:
        found["tau"] = parameters["tau"][0]
    found |= {f"beta[{c.name}]": c.weights @ beta for c in h.design.contrasts}
    found |= {n: parameters[n][0] for n in ("tau_within", "df", "share", "extra", *h.model.derived) if n in parameters}
    for number, term in enumerate(h.design.terms):
        if f"sd{number}" in parameters:
            found[f"sd[{term.name}]"] = parameters[f"sd{number}"][0]
    for item in h.imputed:
        found[f"missing[{item.name}: {item.trials[0]}]"] = parameters[f"missing[{item.name}]"][0, 0]
    if h.sd_rows.size:
        found[f"missing_sd[{h.effects.label[h.row[h.sd_rows[0]]]}]"] = parameters["sd"][0, 0]
    found[f"theta[{h.effects.label[0]}]"] = theta[0]
    return {name: float(value) for name, value in found.items()}


# -- designs that are fixed ------------------------------------------------------------------------------------------

SE = np.array([0.12, 0.35, 0.2, 0.5, 0.15, 0.28, 0.4, 0.22, 0.18, 0.3])
WEEKS = np.array([4.0, 6.0, 8.0, 8.0, 10.0, 12.0, 12.0, 16.0, 20.0, 26.0])
TYPE = np.array(list("aabbbcccca"), object)
KIND = np.array(list("aabbccdddd"), object)
MU, TAU = bm.Normal(0, 1), bm.HalfNormal(0.5)


def _names(k: int) -> list[str]:
    return [f"trial {i + 1}" for i in range(k)]


def _effects(k: int, **options: object) -> bm.Effects:
    return bm.Effects(_names(k), np.zeros(k), SE[:k], measure="MD", **options)  # type: ignore[arg-type]


def fixed(effects: bm.Effects, model: bm.Model) -> Callable[[np.random.Generator], World]:
    """Simulate estimates for a fixed design, by running the model forwards."""
    h = build_rows(effects, model)

    def world(rng: np.random.Generator) -> World:
        forward = sample_prior_predictive(h, 1, rng)
        made = dataclasses.replace(effects, y=forward.y[:, 0])
        truth = _truth(h, forward.parameters, forward.theta[:, 0], rng)
        return World(made, model, truth, forward.parameters)

    return world


def _three_arm() -> bm.Effects:
    """Six trials; two have two treated arms against one control, whose variance is their covariance."""
    se = SE[:8].copy()
    blocks = [([1, 2], 0.02), ([5, 6], 0.05)]
    return bm.Effects(
        ["A", "B", "B", "C", "D", "E", "E", "F"],
        np.zeros(8),
        se,
        measure="MD",
        label=["A", "B1", "B2", "C", "D", "E1", "E2", "F"],
        blocks=[(rows, np.diag(se[rows] ** 2) + c * (1 - np.eye(2))) for rows, c in blocks],
    )


def _clusters() -> bm.Effects:
    groups = list("AAABBCCDEE")
    return _effects(10, cluster=groups)


def _unreported(y_moves: bool) -> Callable[[np.random.Generator], World]:
    """Every second row rests on a correlation r that nobody reports.

    A mean difference is what it is whatever r is, and only its standard error moves. An SMD divides the difference that
    was observed by an SD that depends on r: ``y(r) = difference * factor(r)``. The difference is simulated, and the
    standard error is a function of r alone, so that the density of the difference is a density.
    """
    k, low, high = 8, 0.1, 0.9
    prior = parse(f"truncated(normal(0.6, 0.25), {low}, {high})")
    nodes = low + (rule(17)[0] + 1) / 2 * (high - low)
    moves = np.arange(k) % 2 == 0
    model = bm.Model(MU, TAU, derived={"correlation": prior})

    def se(r: FloatArray) -> FloatArray:
        return np.where(moves[:, None], SE[:k, None] * np.sqrt(2 * (1 - r)), SE[:k, None])

    def factor(r: FloatArray) -> FloatArray:
        return np.where(moves[:, None] & y_moves, 1 / np.sqrt(2 * (1 - r)), 1.0 + 0 * r)

    def world(rng: np.random.Generator) -> World:
        mu, tau, r = draw(MU, rng), draw(TAU, rng), draw(prior, rng)
        theta = mu + tau * rng.standard_normal(k)
        at = np.array([float(r)])
        observed = (theta + se(at)[:, 0] * rng.standard_normal(k)) / factor(at)[:, 0]
        table = bm.ConditionalEstimates(
            low, high, observed[:, None] * factor(nodes), np.repeat(se(nodes), 1, 0), np.log(factor(nodes))
        )
        middle = 8
        effects = bm.Effects(
            _names(k),
            table.y[:, middle],
            table.se[:, middle],
            measure="SMD" if y_moves else "MD",
            tabulated={"correlation": table},
        )
        parameters = {"coefficients": np.array([[mu]]), "tau": np.array([tau]), "correlation": at}
        return World(effects, model, _truth(build_rows(effects, model), parameters, theta, rng), parameters)

    return world


# -- designs that are simulated --------------------------------------------------------------------------------------


def _missing_numeric(family: str, shift: float) -> Callable[[np.random.Generator], World]:
    """Mean and SD of the moderator first, then its values in all trials; three of ten do not state theirs."""
    k, lacking = 10, np.array([1, 4, 7])
    mean, sd = (bm.Normal(12, 4), bm.HalfNormal(5)) if family == "normal" else (bm.Normal(2.3, 0.5), bm.HalfNormal(0.6))
    population = bm.MissingNumeric(mean, sd, family=family, shift=shift)  # type: ignore[arg-type]
    term = bm.Coefficient(bm.Normal(0, 0.4), per=6)
    model = bm.Model(MU, TAU, {"weeks": term}, missing={"weeks": population})

    def world(rng: np.random.Generator) -> World:
        centre, spread = draw(mean, rng), draw(sd, rng)
        x = centre + spread * rng.standard_normal(k)
        x[lacking] += shift
        x = np.exp(x) if family == "lognormal" else x
        stated = x.copy()
        stated[lacking] = np.nan
        mu, slope, tau = draw(MU, rng), draw(term.prior, rng), draw(TAU, rng)
        # mu is the effect at the mean of the stated values
        theta = mu + slope * (x - np.nanmean(stated)) / 6 + tau * rng.standard_normal(k)
        effects = bm.Effects(
            _names(k), theta + SE * rng.standard_normal(k), SE, measure="MD", moderators={"weeks": stated}
        )
        parameters = {
            "coefficients": np.array([[mu], [slope]]),
            "tau": np.array([tau]),
            "missing[weeks]": x[lacking, None],
        }
        return World(effects, model, _truth(build_rows(effects, model), parameters, theta, rng), parameters)

    return world


def _missing_levels(rng: np.random.Generator) -> World:
    """Frequencies from their Dirichlet first, then the level of every trial; three of ten do not state theirs.

    Worlds in which a level is stated by no trial are drawn again: the model knows only levels that are stated.
    """
    k, lacking, levels = 10, np.array([1, 4, 7]), np.array(list("ab"), object)
    shift = {"b": 0.7}
    prior = bm.Normal(0, 0.8)
    model = bm.Model(MU, TAU, {"type": prior}, missing={"type": bm.MissingLevels(2.0, shift=shift)})
    while True:
        p = rng.dirichlet([2.0, 2.0])
        level = (rng.random(k) < p[1]).astype(int)
        odds = p * np.exp([0.0, shift["b"]])
        level[lacking] = rng.random(lacking.size) < odds[1] / odds.sum()
        if np.unique(np.delete(level, lacking)).size == 2:
            break
    stated = levels[level]
    stated[lacking] = None
    mu, contrast, tau = draw(MU, rng), draw(prior, rng), draw(TAU, rng)
    # mu is the effect at the stated mix of levels
    theta = mu + contrast * (level - np.delete(level, lacking).mean()) + tau * rng.standard_normal(k)
    effects = bm.Effects(_names(k), theta + SE * rng.standard_normal(k), SE, measure="MD", moderators={"type": stated})
    h = build_rows(effects, model)
    # the internal coefficient of the one contrast of two levels
    inner = contrast / h.design.contrasts[0].weights[1]
    parameters = {
        "coefficients": np.array([[mu], [inner]]),
        "tau": np.array([tau]),
        "levels[type]": p[:, None],
    }
    truth = _truth(h, parameters, theta, rng)
    truth["missing[type: trial 2 = b]"] = float(level[1] == 1)
    return World(effects, model, truth, parameters)


def _missing_sd(measure: str) -> Callable[[np.random.Generator], World]:
    """Standard deviations over trials first, then the reported ones, then what is observed.

    Two of eight trials report no SD. The SMD of such a trial has variance ``base + g**2 / (2 N)`` at its own value, a
    likelihood that is no density of g: it integrates to Z(theta), a little off one. A world is kept with a probability
    in proportion to the product of Z over such trials, and g drawn from the normalised density, which together is the
    joint density that the engine samples.
    """
    k, lacking = 8, np.array([2, 5])
    n = np.column_stack([np.array([20, 35, 15, 50, 24, 12, 30, 40.0])] * 2)
    meanlog, sdlog = bm.Normal(0, 0.5), bm.HalfNormal(0.4)
    mu_prior, tau_prior = bm.Normal(0, 0.7), bm.HalfNormal(0.4)
    model = bm.Model(mu_prior, tau_prior, missing_sd=bm.MissingSD(meanlog, sdlog))
    base, total = (1 / n).sum(axis=1), n.sum(axis=1)
    grid = np.linspace(-12, 12, 24001)

    def density(theta: float, row: int) -> FloatArray:
        variance = base[row] + grid**2 / (2 * total[row])
        return np.exp(-0.5 * (grid - theta) ** 2 / variance) / np.sqrt(2 * math.pi * variance)

    def once(rng: np.random.Generator) -> World | None:
        centre, spread = draw(meanlog, rng), draw(sdlog, rng)
        sd = np.exp(centre + spread * rng.standard_normal(k))
        # a reported SD estimates its own logarithm with variance 1 / (2 (n - 2))
        reported = np.exp(np.log(sd) + rng.standard_normal(k) / np.sqrt(2 * (total - 2)))
        reported[lacking] = np.nan
        mu, tau = draw(mu_prior, rng), draw(tau_prior, rng)
        theta = mu + tau * rng.standard_normal(k)
        stand_in = np.where(np.isnan(reported), np.exp(np.nanmean(np.log(reported))), reported)
        keep = 1.0
        if measure == "MD":
            # the row of a reported SD has that SD's standard error, as known
            se = stand_in * np.sqrt(base)
            error = np.where(np.isnan(reported), sd, reported) * np.sqrt(base)
            y = difference = theta + error * rng.standard_normal(k)
        else:
            se = np.sqrt(base)
            y = theta + se * rng.standard_normal(k)
            difference = y * stand_in
            m = total - 2
            J = np.exp([math.lgamma(v / 2) - math.log(v / 2) / 2 - math.lgamma((v - 1) / 2) for v in m])
            for row in lacking:
                cumulative = np.cumsum(density(theta[row], row)) * (grid[1] - grid[0])
                keep *= cumulative[-1] / 1.1
                g = np.interp(rng.random() * cumulative[-1], cumulative, grid)
                difference[row] = g * sd[row] / J[row]
                y[row] = difference[row] * J[row] / stand_in[row]
        if measure == "SMD" and keep > 1:
            raise AssertionError(f"the bound of the rejection does not hold at {theta[lacking]}")
        if measure == "SMD" and rng.random() > keep:
            return None
        effects = bm.Effects(_names(k), y, se, measure=measure, n=n, spreads=bm.RawDifferences(difference, reported))
        parameters = {"coefficients": np.array([[mu]]), "tau": np.array([tau]), "sd": sd[lacking, None]}
        return World(effects, model, _truth(build_rows(effects, model), parameters, theta, rng), parameters)

    def world(rng: np.random.Generator) -> World:
        while True:
            made = once(rng)
            if made is not None:
                return made

    return world


def _binomial(measure: str) -> Callable[[np.random.Generator], World]:
    """Control risks and effects from the model, then events; worlds with a risk outside 0 to 1 are drawn again."""
    k = 6
    n = np.array([[40, 38], [120, 118], [25, 27], [60, 60], [15, 15], [200, 190]])
    mu_prior, tau_prior, baseline = {
        "OR": (bm.Normal(0, 1), bm.HalfNormal(0.5), bm.Normal(-1, 1)),
        "RR": (bm.Normal(0, 0.5), bm.HalfNormal(0.3), bm.Normal(-1.5, 0.7)),
        "RD": (bm.Normal(0, 0.15), bm.HalfNormal(0.1), bm.Normal(0, 0.7)),
    }[measure]
    model = bm.Model(mu_prior, tau_prior, likelihood="binomial", baseline=baseline)

    def world(rng: np.random.Generator) -> World:
        while True:
            mu, tau, alpha = draw(mu_prior, rng), draw(tau_prior, rng), draw(baseline, rng, k)
            theta = mu + tau * rng.standard_normal(k)
            control = 1 / (1 + np.exp(-alpha))
            treated = {"OR": 1 / (1 + np.exp(-alpha - theta)), "RR": control * np.exp(theta), "RD": control + theta}
            risk = treated[measure]
            if ((risk > 0) & (risk < 1)).all():
                break
        counts = np.column_stack([rng.binomial(n[:, 0], risk), n[:, 0], rng.binomial(n[:, 1], control), n[:, 1]])
        effects = bm.Effects(_names(k), np.zeros(k), np.ones(k), measure=measure, counts=counts)
        parameters = {
            "coefficients": np.array([[mu]]),
            "tau": np.array([tau]),
            "baseline": alpha[:, None],
            "theta": theta[:, None],
        }
        return World(effects, model, _truth(build_rows(effects, model), parameters, theta, rng), parameters)

    return world


def _joint(rng: np.random.Generator) -> World:
    """Two outcomes of seven trials, five of which report both; y is better high, z is better low.

    A 2 x 2 correlation with an LKJ(eta) prior is ``2 Beta(eta, eta) - 1``.
    """
    both, only_y, only_z = 5, [5], [6]
    eta, within = 2.0, 0.4
    means, taus = (bm.Normal(0, 1), bm.Normal(0, 0.7)), (bm.HalfNormal(0.5), bm.HalfNormal(0.8))
    model = JointModel(
        {"y": bm.Model(means[0], taus[0]), "z": bm.Model(means[1], taus[1])}, correlation=within, eta=eta
    )
    mu = np.array([float(draw(prior, rng)) for prior in means])
    tau = np.array([float(draw(prior, rng)) for prior in taus])
    omega = 2 * rng.beta(eta, eta) - 1
    # the prior of a mean is of the outcome as it is measured; everything else is in the direction of benefit
    sign = np.array([1.0, -1.0])

    def pairs(correlation: float, count: int) -> FloatArray:
        return rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], count)

    theta = sign * mu + tau * pairs(omega, 7)
    se = np.column_stack([SE[:7], 1.5 * SE[6::-1]])
    found = sign * (theta + se * pairs(within, 7))
    rows = {"y": [*range(both), *only_y], "z": [*range(both), *only_z]}
    effects = {
        name: bm.Effects(
            [f"trial {i + 1}" for i in rows[name]],
            found[rows[name], o],
            se[rows[name], o],
            measure="MD",
            better="higher" if name == "y" else "lower",
        )
        for o, name in enumerate("yz")
    }
    new = sign * mu + tau * pairs(omega, 1)[0]
    truth = {"omega": omega}
    for o, name in enumerate("yz"):
        truth |= {f"mu[{name}]": sign[o] * mu[o], f"tau[{name}]": tau[o], f"theta_new[{name}]": new[o]}
        truth[f"theta[{name}: trial 1]"] = theta[0, o]
    factor = np.array([[1, 0], [omega, math.sqrt(1 - omega**2)]])
    parameters = {"mu": (sign * mu)[:, None, None], "tau": tau[:, None, None], "factor": factor[:, :, None, None]}
    return World(effects, model, {name: float(value) for name, value in truth.items()}, parameters)


def _slope(prior: Prior) -> bm.Coefficient:
    return bm.Coefficient(prior, per=6)


_MODERATED = _effects(10, moderators={"weeks": WEEKS, "type": TYPE, "kind": KIND})
_EIGHT = _effects(8)

#: Models that the exact engine covers; both engines are calibrated on them.
BOTH = {
    "pooled": fixed(_EIGHT, bm.Model(MU, TAU)),
    "heavy priors": fixed(_EIGHT, bm.Model(bm.StudentT(0, 0.5, 4), bm.HalfCauchy(0.3))),
    "regression": fixed(
        _MODERATED, bm.Model(MU, TAU, {"type": bm.Normal(0, 0.5), "weeks": _slope(bm.Normal(0, 0.25))})
    ),
    "cut slope": fixed(_MODERATED, bm.Model(MU, TAU, {"weeks": _slope(parse("truncated(normal(0, 0.3), 0, inf)"))})),
    "shared control": fixed(_three_arm(), bm.Model(MU, TAU, rho=0.5)),
    "clusters": fixed(_clusters(), bm.Model(MU, TAU, cluster_tau=bm.HalfNormal(0.3))),
    "exchangeable": fixed(_MODERATED, bm.Model(MU, TAU, {"kind": bm.Exchangeable(bm.HalfNormal(0.5))})),
    "spline": fixed(_MODERATED, bm.Model(MU, TAU, {"weeks": bm.Spline(bm.Normal(0, 0.3), bm.HalfNormal(0.4), per=6)})),
}
#: Models without a closed form given their standard deviations.
SAMPLED = {
    "student": fixed(_EIGHT, bm.Model(MU, TAU, random=bm.StudentEffects(parse("truncated(exponential(0.1), 1, inf)")))),
    "outliers": fixed(_EIGHT, bm.Model(MU, TAU, random=bm.OutlierEffects(bm.Uniform(0, 0.5), bm.HalfNormal(1.5)))),
    "monotone": fixed(_MODERATED, bm.Model(MU, TAU, {"weeks": bm.Monotone(bm.Normal(0, 0.7))})),
    "missing numeric, normal": _missing_numeric("normal", 0.0),
    "missing numeric, lognormal": _missing_numeric("lognormal", 0.3),
    "missing levels": _missing_levels,
    "missing SD, MD": _missing_sd("MD"),
    "missing SD, SMD": _missing_sd("SMD"),
    "unreported correlation, MD": _unreported(y_moves=False),
    "unreported correlation, SMD": _unreported(y_moves=True),
    "binomial OR": _binomial("OR"),
    "binomial RR": _binomial("RR"),
    "binomial RD": _binomial("RD"),
    "joint": _joint,
}
DESIGNS = BOTH | SAMPLED


def world(name: str, number: int, seed: int) -> World:
    """Make one world; the same for the same model, number and seed, whatever else is made."""
    return DESIGNS[name](np.random.default_rng([seed, *name.encode(), number]))
