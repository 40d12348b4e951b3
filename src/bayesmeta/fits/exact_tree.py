"""The nodes of an exact fit as a tree holds them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmeta.effects import Effects
from bayesmeta.exact import ExactPosterior, NodePosterior, OneArmPosterior, build_problem, one_arm_problem
from bayesmeta.marginals import Gridded, Variable
from bayesmeta.model import Model

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["nodes_dataset", "read_nodes"]


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


def read_nodes(tree: xr.DataTree, effects: Effects, model: Model) -> ExactPosterior:
    """Read the nodes from a tree."""
    group = tree["quadrature"].to_dataset()
    one_arm = model.likelihood == "binomial"
    problem = one_arm_problem(effects, model) if one_arm else build_problem(effects, model)
    marginals = {}
    for number, name in enumerate(json.loads(group.attrs["sds"])):
        kind, loc, scale, moments = json.loads(group.attrs[f"sd_form_{number}"])
        edges, values = group[f"sd_edges_{number}"].values, group[f"sd_density_{number}"].values
        marginals[name] = Gridded(edges, values, Variable(kind, loc, scale), moments)
    evidence = float(group.attrs["log_evidence"])
    rule = tuple(int(n) for n in np.atleast_1d(group.attrs["rule"]) if n)
    nodes = NodePosterior(
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
    return (OneArmPosterior if one_arm else ExactPosterior)(effects, model, nodes)
