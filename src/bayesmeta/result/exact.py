"""What a tree holds of an exact fit: draws from its mixture, and its nodes."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.effects import Effects
from bayesmeta.marginals import Gridded, Variable
from bayesmeta.model import Model
from bayesmeta.problem import Quadrature, build_problem, log_interval

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["conditional_draws", "nodes_dataset", "read_nodes"]

FloatArray = NDArray[np.float64]


def conditional_draws(quadrature: Quadrature, size: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Draw the parameters of an exact fit together, as `hierarchy.condition` takes them.

    Returns
    -------
    dict
        ``coefficients`` (p, size), ``tau`` (size,) and, where the model has them, ``tau_within`` and ``sd{term}``.
    """
    problem = quadrature.problem
    tau = np.zeros(size) if quadrature.tau_marginal is None else quadrature.tau_marginal.rvs(size, rng)
    if problem.scales:
        # with mixing scales the node carries them; tau is then drawn on the nodes, which are as fine as the answers
        node = rng.choice(quadrature.tau.size, size=size, p=quadrature.weights)
        tau = quadrature.tau[node]
        mean, cov = quadrature.mean[:, node], quadrature.cov[:, :, node]
    else:
        conditional = problem.conditional(tau, [])
        mean, cov = conditional.mean, conditional.cov
    factor = np.linalg.cholesky(np.moveaxis(cov, -1, 0))
    noise = rng.standard_normal((size, mean.shape[0]))
    beta = mean + np.einsum("nij,nj->in", factor, noise)
    if problem.cut is not None:
        beta = _truncate(beta, mean, cov, problem.cut.column, problem.cut.low, problem.cut.high, rng)
    return {"coefficients": beta, "tau": tau}


def _truncate(
    beta: FloatArray,
    mean: FloatArray,
    cov: FloatArray,
    column: int,
    low: float,
    high: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Replace one coefficient by a draw between two ends and move the others with it."""
    sd = np.sqrt(cov[column, column])
    a, b = (low - mean[column]) / sd, (high - mean[column]) / sd
    # in logarithms, and in the lower tail, so that a truncation that leaves only a far tail keeps its shape
    flip = a > 0
    lower, upper = np.where(flip, -b, a), np.where(flip, -a, b)
    log_p = np.logaddexp(special.log_ndtr(lower), np.log1p(-rng.random(sd.size)) + log_interval(lower, upper))
    z = special.ndtri_exp(np.minimum(log_p, 0.0))
    inside = np.clip(mean[column] + sd * np.where(flip, -z, z), low, high)
    return beta + cov[:, column] / cov[column, column] * (inside - beta[column])


def nodes_dataset(quadrature: Quadrature) -> xr.Dataset:
    """Give the nodes as a dataset."""
    import xarray as xr

    variables: dict[str, Any] = {
        "tau": ("node", quadrature.tau),
        "weight": ("node", quadrature.weights),
        "coarse_weight": ("node", quadrature.coarse),
        "log_scale": (("scale", "node"), quadrature.log_scales),
        "coefficient_mean": (("coefficient", "node"), quadrature.mean),
        "coefficient_cov": (("coefficient", "coefficient_2", "node"), quadrature.cov),
    }
    attributes: dict[str, Any] = {
        "log_evidence": math.nan if quadrature.log_evidence is None else quadrature.log_evidence,
        "error": quadrature.error,
        "rule": list(quadrature.nodes) or [0],
    }
    marginal = quadrature.tau_marginal
    if marginal is not None:
        variables["tau_edges"] = ("edge", marginal.edges)
        variables["tau_density"] = (("panel", "point"), marginal.values)
        attributes["tau_variable"] = json.dumps(
            [marginal.variable.kind, marginal.variable.loc, marginal.variable.scale]
        )
    return xr.Dataset(variables, attrs=attributes)


def read_nodes(tree: xr.DataTree, effects: Effects, model: Model) -> Quadrature:
    """Read the nodes from a tree."""
    group = tree["quadrature"].to_dataset()
    marginal = None
    if "tau_edges" in group:
        kind, loc, scale = json.loads(group.attrs["tau_variable"])
        problem = build_problem(effects, model)
        marginal = Gridded(
            group["tau_edges"].values, group["tau_density"].values, Variable(kind, loc, scale), problem.tau_moments
        )
    else:
        problem = build_problem(effects, model)
    evidence = float(group.attrs["log_evidence"])
    rule = tuple(int(n) for n in np.atleast_1d(group.attrs["rule"]) if n)
    return Quadrature(
        problem,
        group["tau"].values,
        group["log_scale"].values,
        group["weight"].values,
        group["coarse_weight"].values,
        group["coefficient_mean"].values,
        group["coefficient_cov"].values,
        marginal,
        None if math.isnan(evidence) else evidence,
        float(group.attrs["error"]),
        rule,
    )
