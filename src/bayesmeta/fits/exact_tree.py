"""What a tree holds of an exact fit: draws from its mixture, and its nodes."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.effects import Effects
from bayesmeta.exact import NodePosterior, build_problem, log_interval, node_draws
from bayesmeta.marginals import Gridded, Variable
from bayesmeta.model import Model

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["conditional_draws", "nodes_dataset", "read_nodes"]

FloatArray = NDArray[np.float64]


def conditional_draws(quadrature: NodePosterior, size: int, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Draw the parameters of an exact fit together, as `hierarchy.condition` takes them.

    Returns
    -------
    dict
        ``coefficients`` (p, size), ``tau`` (size,) and, where the model has them, ``tau_within`` and ``sd{term}``.
    """
    problem = quadrature.problem
    sds, mean, cov = node_draws(quadrature, size, rng)
    factor = np.linalg.cholesky(np.moveaxis(cov, -1, 0))
    noise = rng.standard_normal((size, mean.shape[0]))
    beta = mean + np.einsum("nij,nj->in", factor, noise)
    if problem.cut is not None:
        beta = _truncate(beta, mean, cov, problem.cut.column, problem.cut.low, problem.cut.high, rng)
    draws = {"coefficients": beta, "tau": np.zeros(size)}
    names = {f"sd[{term.name}]": f"sd{number}" for number, term in enumerate(problem.design.terms)}
    return draws | {names.get(name, name): values for name, values in zip(problem.sds, sds, strict=True)}


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


def nodes_dataset(quadrature: NodePosterior) -> xr.Dataset:
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
    variables["sds"] = (("sd", "node"), quadrature.sds)
    for number, marginal in enumerate(quadrature.sd_marginals.values()):
        variables[f"sd_edges_{number}"] = (f"edge_{number}", marginal.edges)
        variables[f"sd_density_{number}"] = ((f"panel_{number}", f"point_{number}"), marginal.values)
        form = [marginal.variable.kind, marginal.variable.loc, marginal.variable.scale, marginal.moments]
        attributes[f"sd_form_{number}"] = json.dumps(form)
    attributes["sds"] = json.dumps(list(quadrature.sd_marginals))
    return xr.Dataset(variables, attrs=attributes)


def read_nodes(tree: xr.DataTree, effects: Effects, model: Model) -> NodePosterior:
    """Read the nodes from a tree."""
    group = tree["quadrature"].to_dataset()
    problem = build_problem(effects, model)
    marginals = {}
    for number, name in enumerate(json.loads(group.attrs["sds"])):
        kind, loc, scale, moments = json.loads(group.attrs[f"sd_form_{number}"])
        edges, values = group[f"sd_edges_{number}"].values, group[f"sd_density_{number}"].values
        marginals[name] = Gridded(edges, values, Variable(kind, loc, scale), moments)
    evidence = float(group.attrs["log_evidence"])
    rule = tuple(int(n) for n in np.atleast_1d(group.attrs["rule"]) if n)
    return NodePosterior(
        problem,
        group["tau"].values,
        group["log_scale"].values,
        group["weight"].values,
        group["coarse_weight"].values,
        group["coefficient_mean"].values,
        group["coefficient_cov"].values,
        marginals.get("tau"),
        None if math.isnan(evidence) else evidence,
        float(group.attrs["error"]),
        rule,
        group["sds"].values,
        marginals,
    )
