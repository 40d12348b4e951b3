"""The joint posterior by NUTS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import Check, ModelError
from bayesmeta.fits import Fit, write_tree
from bayesmeta.joint.stacking import JointEffects, JointModel, stack
from bayesmeta.measures import require_null
from bayesmeta.model import build_design
from bayesmeta.nuts import (
    Data,
    DrawPosterior,
    Graph,
    SamplerOutput,
    Settings,
    deviation,
    family,
    judge,
    run,
    until_sound,
    variable,
)
from bayesmeta.plan import Outcome

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["JointFit", "fit_joint"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class JointFit:
    """Several outcomes fitted together; draws are joint, in the direction of benefit.

    Attributes
    ----------
    effects : JointEffects
    model : JointModel
    checks : tuple of Check
    seed : int
    mu, tau, new : arrays of shape (O, chains, draws)
        Mean effect, heterogeneity, and effect in a new study, positive towards benefit.
    omega : array of shape (O, O, chains, draws)
        Correlations of true effects between trials.
    fits : mapping of str to Fit
        Each outcome's part, on its own scale and in its own direction: every function of a fit applies to it.
    """

    effects: JointEffects
    model: JointModel
    checks: tuple[Check, ...]
    seed: int
    mu: FloatArray
    tau: FloatArray
    new: FloatArray
    omega: FloatArray
    fits: Mapping[str, Fit]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    @property
    def names(self) -> tuple[str, ...]:
        """Outcomes, in order."""
        return self.effects.names

    @cached_property
    def tree(self) -> xr.DataTree:
        """The joint draws as an `xarray.DataTree`, dim ``outcome``; positive is benefit."""
        import xarray as xr

        def last(values: FloatArray, axes: int = 1) -> FloatArray:
            return np.moveaxis(values, range(axes), range(-axes, 0))

        dims = ("chain", "draw")
        coords = {
            "chain": np.arange(self.mu.shape[1]),
            "draw": np.arange(self.mu.shape[2]),
            "outcome": list(self.names),
        }
        posterior = xr.Dataset(
            {
                "mu": ((*dims, "outcome"), last(self.mu)),
                "tau": ((*dims, "outcome"), last(self.tau)),
                "theta_new": ((*dims, "outcome"), last(self.new)),
                "omega": ((*dims, "outcome", "outcome_2"), last(self.omega, 2)),
            },
            {**coords, "outcome_2": list(self.names)},
        )
        stats = xr.Dataset({name: (dims, v) for name, v in next(iter(self.fits.values())).sample.stats.items()})
        tree = xr.DataTree.from_dict({"/posterior": posterior, "/sample_stats": stats})
        tree.attrs = {
            "engine": "nuts",
            "seed": self.seed,
            "direction": "positive is benefit",
            "correlation": self.model.correlation,
            "eta": self.model.eta,
            "priors": json.dumps({name: repr(model) for name, model in self.model.outcomes.items()}),
            "inference_library": "bayesmeta",
        }
        return tree

    def save(self, path: str | Path) -> Path:
        """Write the joint draws as netCDF, whole or not at all."""
        return write_tree(self.tree, path)


def _graph(effects: JointEffects, model: JointModel) -> Graph:
    """Deviations are drawn as standard normals; the sampling errors are whitened beforehand."""
    import pymc as pm
    import pytensor.tensor as pt

    data = Data()
    count, groups = len(effects.names), effects.groups.shape[1]
    with pm.Model() as graph:
        named = list(enumerate(effects.names))
        mu = pt.stack([effects.sign[name] * variable(f"mu{i}", model.outcomes[name].mu, data) for i, name in named])
        tau = pt.stack([deviation(f"tau{i}", _tau(model, name), data) for i, name in named])
        factor = _correlation_factor(count, model.eta, data)
        z = pm.Normal("z", shape=(groups, count))
        deviations = pt.dot(z, factor.T) * tau
        indicator = data("outcome", (effects.outcome[:, None] == np.arange(count)).astype(float))
        rows = pt.sum(pt.dot(data("groups", effects.groups), deviations) * indicator, axis=1)
        theta = pm.Deterministic("theta", pt.dot(indicator, mu) + rows)
        whitening = np.linalg.inv(np.linalg.cholesky(effects.S))
        residual = pt.dot(data("whitening", whitening), data("y", effects.y) - theta)
        pm.Potential("likelihood", -0.5 * pt.sum(residual**2))
        pm.Deterministic("mu", mu)
        pm.Deterministic("tau", tau)
        pm.Deterministic("factor", factor)
    return Graph(graph, data.values, ("mu", "tau", "factor", "theta"))


def _tau(model: JointModel, name: str) -> Any:
    prior = model.outcomes[name].tau
    assert prior is not None
    return prior


def _correlation_factor(count: int, eta: float, data: Data) -> Any:
    """Cholesky factor of a correlation matrix with an LKJ prior, from independent partial correlations.

    The partial correlation of i and j given those before i is Beta(b, b) on (-1, 1) with
    ``b = eta + (count - 1 - i) / 2``, i counted from 1 (Lewandowski et al. 2009, section 2.4).
    """
    import pymc as pm
    import pytensor.tensor as pt

    shape = data("eta", eta)
    rows: list[list[Any]] = [[pt.as_tensor_variable(1.0)] + [pt.as_tensor_variable(0.0)] * (count - 1)]
    for j in range(1, count):
        row: list[Any] = []
        left: Any = pt.as_tensor_variable(1.0)
        for i in range(j):
            b = shape + (count - 2 - i) / 2
            p = 2 * pm.Beta(f"partial_{i}_{j}", alpha=b, beta=b) - 1
            row.append(p * pt.sqrt(left))
            left = left * (1 - p**2)
        rows.append([*row, pt.sqrt(left), *[pt.as_tensor_variable(0.0)] * (count - 1 - j)])
    return pt.stack([pt.stack(row) for row in rows])


def fit_joint(
    effects: Mapping[str, Effects],
    model: JointModel,
    *,
    seed: int = 1,
    settings: Settings | None = None,
    outcomes: Mapping[str, Outcome] | None = None,
) -> JointFit:
    """Fit several outcomes together.

    Parameters
    ----------
    effects : mapping of str to Effects
        The outcomes of ``model``, each with its direction of benefit.
    model : JointModel
    seed : int
    settings : Settings, optional
    outcomes : mapping of str to Outcome, optional
        The outcomes, stored with the fit.

    Returns
    -------
    JointFit

    Raises
    ------
    ModelError
        If outcomes do not match or are of one arm, no trial links them, or the working correlation is impossible.
    """
    if set(effects) != set(model.outcomes):
        raise ModelError(
            f"outcomes of the effects ({', '.join(effects)}) and of the model ({', '.join(model.outcomes)}) differ."
        )
    settings = settings or Settings()
    rho = {item.rho for item in model.outcomes.values()}
    if len(rho) > 1:
        raise ModelError("outcomes of one joint model have one rho.")
    for item in effects.values():
        require_null(item.measure, "outcomes together")
    stacked = stack(effects, correlation=model.correlation, rho=rho.pop())
    graph = _graph(stacked, model)
    key = (
        "joint",
        stacked.groups.shape,
        tuple((family(m.mu), family(m.tau)) for m in model.outcomes.values()),
        tuple(stacked.sign.values()),
    )

    def attempt(accept: float, made: Mapping[str, Any]) -> tuple[JointFit, tuple[Check, ...]]:
        raw = run(key, lambda: graph, graph.data, settings, seed, accept)
        result = _complete(stacked, model, raw, seed, made, outcomes or {})
        return result, result.checks

    return until_sound(attempt, settings, "joint")[0]


def _complete(
    effects: JointEffects,
    model: JointModel,
    raw: SamplerOutput,
    seed: int,
    made: Mapping[str, Any],
    outcomes: Mapping[str, Outcome],
) -> JointFit:
    rng = np.random.default_rng([seed, 3])
    mu, tau, factor, theta = (raw.draws[name] for name in ("mu", "tau", "factor", "theta"))
    z = rng.standard_normal(mu.shape)
    deviation = tau * np.einsum("ijcd,jcd->icd", factor, z)
    omega = np.einsum("ijcd,kjcd->ikcd", factor, factor)
    reported = {f"mu[{name}]": mu[i] for i, name in enumerate(effects.names)}
    reported |= {f"tau[{name}]": tau[i] for i, name in enumerate(effects.names)}
    for i, first in enumerate(effects.names):
        for j in range(i):
            reported[f"omega[{effects.names[j]}, {first}]"] = omega[j, i]
    reported |= {f"theta row {e + 1}": values for e, values in enumerate(theta)}
    checks = judge(reported.items(), raw.stats, int(made["max_depth"]))
    log_likelihood = _log_likelihood(effects, mu, tau, factor)
    fits = {}
    for i, name in enumerate(effects.names):
        own, sign = effects.effects[name], effects.sign[name]
        part = DrawPosterior(
            build_design(own, model.outcomes[name]),
            model.outcomes[name],
            sign * mu[i][None],
            tau[i],
            sign * theta[effects.rows_of(name)],
            {"theta_new": sign * deviation[i]},
            {},
            effects.trials,
            log_likelihood,
            raw.stats,
            {**made, "joint": list(effects.names)},
        )
        fits[name] = Fit(own, model.outcomes[name], "nuts", checks, seed, part, outcomes.get(name), "joint")
    return JointFit(effects, model, checks, seed, mu, tau, mu + deviation, omega, fits)


def _log_likelihood(effects: JointEffects, mu: FloatArray, tau: FloatArray, factor: FloatArray) -> FloatArray:
    """Log density of each trial's rows with its true effects integrated out, shape (trials, chains, draws)."""
    shape = mu.shape[1:]
    flat_mu, flat_tau = mu.reshape(mu.shape[0], -1), tau.reshape(tau.shape[0], -1)
    flat_factor = factor.reshape(*factor.shape[:2], -1)
    omega = np.einsum("ijn,kjn->ikn", flat_factor, flat_factor)
    shared = effects.groups @ effects.groups.T
    result = np.empty((len(effects.trials), flat_mu.shape[1]))
    for t in range(len(effects.trials)):
        rows = np.flatnonzero(effects.trial == t)
        o = effects.outcome[rows]
        V = omega[o[:, None], o[None, :]] * flat_tau[o][:, None] * flat_tau[o][None, :]
        V = V * shared[np.ix_(rows, rows)][:, :, None] + effects.S[np.ix_(rows, rows)][:, :, None]
        L = np.linalg.cholesky(np.moveaxis(V, -1, 0))
        residual = (effects.y[rows][:, None] - flat_mu[o]).T
        scaled = np.linalg.solve(L, residual[:, :, None])[:, :, 0]
        logdet = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
        result[t] = -0.5 * (scaled**2).sum(axis=1) - logdet - 0.5 * rows.size * np.log(2 * np.pi)
    return result.reshape(len(effects.trials), *shape)
