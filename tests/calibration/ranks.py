"""Where the truth lies in the posterior of its own data: a probability for the exact engine, a rank among draws."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import bayesmeta as bm
from bayesmeta.exact import conditional_draws
from bayesmeta.joint import JointEffects, fit_joint, stack
from bayesmeta.joint.sampling import _graph, _log_likelihood
from bayesmeta.nuts import Graph, build_graph, build_rows, condition, marginal_log_likelihood
from calibration.worlds import World

FloatArray = NDArray[np.float64]

#: Places that a truth can have among the draws: one more than draws are kept.
BINS = 100
SETTINGS = bm.Settings(draws=500, tune=500)
#: A test quantity that depends on the data sees errors that no marginal shows: Modrak et al. 2023, section 3.
LIKELIHOOD = "log likelihood"


@dataclass(frozen=True)
class Placed:
    """Places 0 to 99 of the truth by quantity, probabilities where they are exact, and whether all checks passed."""

    places: Mapping[str, int]
    probabilities: Mapping[str, float]
    ok: bool


def thinned(values: FloatArray) -> FloatArray:
    """Keep 99 draws of shape (chains, draws), equally far apart in every chain."""
    step = values.shape[1] * values.shape[0] // BINS
    return values[:, step - 1 :: step].ravel()[1:]


def rank(draws: FloatArray, truth: float, rng: np.random.Generator) -> int:
    """Number of draws below the truth; a tie is broken by chance."""
    return int((draws < truth).sum() + rng.integers((draws == truth).sum() + 1))


def place(world: World, engine: str, seed: int) -> Placed:
    """Fit one world and find the truths."""
    if isinstance(world.effects, dict):
        return _joint(world, seed)
    return _exact(world, seed) if engine == "exact" else _sampled(world, seed)


def _stacked(world: World) -> JointEffects:
    return stack(world.effects, correlation=world.model.correlation)


def log_likelihood(world: World, parameters: Mapping[str, FloatArray]) -> FloatArray:
    """Of all data, study effects integrated out, at N draws of the parameters; shape (N,)."""
    if isinstance(world.effects, dict):
        return _log_likelihood(_stacked(world), *(parameters[name] for name in ("mu", "tau", "factor"))).sum(
            axis=(0, 2)
        )
    h = build_rows(world.effects, world.model)
    if world.model.likelihood == "binomial":
        return marginal_log_likelihood(h, parameters).sum(axis=0)
    return condition(h, parameters).log_likelihood.sum(axis=0)


def graph_of(world: World) -> Graph:
    """The graph that is sampled, with the data that are put into it."""
    if isinstance(world.effects, dict):
        return _graph(_stacked(world), world.model)
    return build_graph(build_rows(world.effects, world.model))


def graph_density(world: World, compiled: World | None = None) -> dict[str, float]:
    """Log density of the graph, a little off its initial point, and its dimension; not compiled.

    Whatever changes the posterior or its parameterisation changes these; comments, names and order do not.

    Parameters
    ----------
    compiled : World, optional
        Use the graph of this world with the data of the other, as happens where a compiled graph is used again.
    """
    import pytensor
    from pytensor.compile.mode import Mode

    built = graph_of(world)
    graph = built.model if compiled is None else graph_of(compiled).model
    for name, value in built.data.items():
        graph[name].set_value(np.asarray(value, float))
    start = graph.initial_point()
    with warnings.catch_warnings(), pytensor.config.change_flags(cxx=""):
        warnings.simplefilter("ignore")
        density = pytensor.function(graph.value_vars, graph.logp(), mode=Mode(linker="py", optimizer=None))
        value = density(*[start[item.name] + 0.3 for item in graph.value_vars])
    return {"graph": float(value), "dimension": sum(np.size(values) for values in start.values())}


def _exact(world: World, seed: int) -> Placed:
    fit = bm.fit(world.effects, world.model, engine="exact")
    found = {name: float(bm.marginal(fit, name).cdf(value)) for name, value in world.truth.items()}
    places = {name: min(int(BINS * p), BINS - 1) for name, p in found.items()}
    rng = np.random.default_rng([seed, 7])
    draws = conditional_draws(fit.quadrature, BINS - 1, rng)
    places[LIKELIHOOD] = rank(log_likelihood(world, draws), log_likelihood(world, world.parameters)[0], rng)
    return Placed(places, found, fit.ok)


def _sampled(world: World, seed: int) -> Placed:
    with warnings.catch_warnings():
        # a run that fails a check is repeated, and counted
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        fit = bm.fit(world.effects, world.model, engine="nuts", seed=seed, settings=SETTINGS)
    rng = np.random.default_rng([seed, 7])
    places = {}
    for name, truth in world.truth.items():
        values = fit.sample.others[name] if name.startswith("missing[") else bm.marginal(fit, name).values
        places[name] = rank(thinned(values), truth, rng)
    joint = thinned(fit.sample.log_likelihood.sum(axis=0))
    places[LIKELIHOOD] = rank(joint, log_likelihood(world, world.parameters)[0], rng)
    return Placed(places, {}, fit.ok)


def _joint(world: World, seed: int) -> Placed:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        fit = fit_joint(world.effects, world.model, seed=seed, settings=SETTINGS)
    rng = np.random.default_rng([seed, 7])
    draws = {"omega": fit.omega[0, 1]}
    for o, name in enumerate(fit.names):
        draws |= {f"mu[{name}]": fit.mu[o], f"tau[{name}]": fit.tau[o], f"theta_new[{name}]": fit.new[o]}
        draws[f"theta[{name}: trial 1]"] = fit.effects.sign[name] * fit.fits[name].sample.theta[0]
    places = {name: rank(thinned(draws[name]), truth, rng) for name, truth in world.truth.items()}
    joint = thinned(fit.fits[fit.names[0]].sample.log_likelihood.sum(axis=0))
    places[LIKELIHOOD] = rank(joint, log_likelihood(world, world.parameters)[0], rng)
    return Placed(places, {}, fit.ok)
