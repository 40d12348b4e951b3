"""A fit, and its tree of labelled arrays: the only place that names groups, dims and variables."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bayesmeta.design import Design
from bayesmeta.effects import Effects
from bayesmeta.errors import Check, DataError, ModelError
from bayesmeta.marginals import Gridded, Variable
from bayesmeta.model import Model
from bayesmeta.outcome import Outcome
from bayesmeta.problem import Quadrature, build_problem, log_interval
from bayesmeta.storage import dumps, loads

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SCHEMA_VERSION", "Fit", "load"]

FloatArray = NDArray[np.float64]
SCHEMA_VERSION = 1
CHAINS, DRAWS = 4, 1000


@dataclass(frozen=True, eq=False)
class Fit:
    """A model fitted to effects; every question is a function of it.

    Attributes
    ----------
    effects : Effects
    model : Model
    engine : str
        ``"exact"``.
    checks : tuple of Check
        Diagnostics, each with its limit.
    seed : int
        Of the draws in ``tree``; no other number depends on it.
    quadrature : Quadrature
        The posterior on its nodes.
    outcome : Outcome or None
        What was asked, when the fit comes from a protocol: direction, thresholds, label.
    analysis : str
        ``"pooled"`` or ``"moderated"``.
    hashes : mapping
        SHA-256 of protocol and data, where they are files.
    """

    effects: Effects
    model: Model
    engine: str
    checks: tuple[Check, ...]
    seed: int
    quadrature: Quadrature
    outcome: Outcome | None = None
    analysis: str = "pooled"
    hashes: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        name = self.effects.name or self.effects.measure
        return f"Fit({name}: k={self.effects.k}, {self.model!r}, engine={self.engine!r})"

    @property
    def design(self) -> Design:
        """The regression of the study effects."""
        return self.quadrature.problem.design

    @property
    def log_evidence(self) -> float | None:
        """Log density of the data under the model; None under an improper prior."""
        return self.quadrature.log_evidence

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    @cached_property
    def tree(self) -> xr.DataTree:
        """The fit as an `xarray.DataTree` that ArviZ reads, with 4 x 1000 independent draws; built when first asked.

        The draws are independent, so R-hat and effective sample sizes say nothing about them.
        """
        return _build_tree(self)

    def save(self, path: str | Path) -> Path:
        """Write the fit as netCDF: under a temporary name, then renamed, so that no half-written file is left.

        Parameters
        ----------
        path : str or Path
            Ends in ``.nc``.
        """
        path = Path(path)
        if path.suffix != ".nc":
            raise ModelError(f"{path}: a fit is saved as netCDF; give a name that ends in .nc.")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        os.close(handle)
        try:
            self.tree.to_netcdf(name, engine="h5netcdf")
            Path(name).chmod(0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
        return path


def conditional_draws(fit: Fit, size: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Draw tau and the coefficients together.

    Returns
    -------
    tau : array of shape (size,)
    beta : array of shape (p, size)
    """
    quadrature = fit.quadrature
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
    return tau, beta


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


def study_draws(fit: Fit, tau: FloatArray, beta: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Draw the study effects given tau and the coefficients, shape ``(k, size)``."""
    problem = fit.quadrature.problem
    a, b = problem.rotation.a[:, None], problem.rotation.b[:, None]
    share = np.square(tau) * b / (a + np.square(tau) * b)
    mean = problem.X @ beta
    rotated = mean + share * (problem.y[:, None] - mean)
    rotated = rotated + np.sqrt(share * a) * rng.standard_normal(rotated.shape)
    return problem.rotation.unapply(rotated)


def trial_log_likelihood(fit: Fit, tau: FloatArray, beta: FloatArray) -> tuple[tuple[str, ...], FloatArray]:
    """Log density of each trial's rows with its study effects integrated out, shape ``(trials, size)``."""
    problem = fit.quadrature.problem
    variance = problem.rotation.a[:, None] + np.square(tau) * problem.rotation.b[:, None]
    residual = problem.y[:, None] - problem.X @ beta
    rows = -0.5 * (math.log(2 * math.pi) + np.log(variance) + residual**2 / variance)
    for members, forward, _ in problem.rotation.blocks:
        rows[members[0]] += math.log(abs(np.linalg.det(forward)))
    names, unit = fit.effects.units
    result = np.zeros((len(names), tau.size))
    np.add.at(result, unit, rows)
    return names, result


def _prior_draws(fit: Fit, size: int, rng: np.random.Generator) -> dict[str, FloatArray] | None:
    """Draws from the prior, or None where one of the priors is improper."""
    if not fit.quadrature.problem.proper:
        return None
    uniform = rng.random((2, size))
    mu = fit.model.mu.ppf(uniform[0])
    tau = np.zeros(size) if fit.model.tau is None else fit.model.tau.ppf(uniform[1])
    return {"mu": mu, "tau": tau, "theta_new": mu + tau * rng.standard_normal(size)}


def _build_tree(fit: Fit) -> xr.DataTree:
    import xarray as xr

    rng = np.random.default_rng(fit.seed)
    size = CHAINS * DRAWS
    effects, quadrature, design = fit.effects, fit.quadrature, fit.design
    tau, beta = conditional_draws(fit, size, rng)
    theta = study_draws(fit, tau, beta, rng)
    trials, log_likelihood = trial_log_likelihood(fit, tau, beta)
    errors = np.linalg.cholesky(effects.covariance()) if effects.k <= 2000 else None
    noise = rng.standard_normal((effects.k, size))
    replicated = theta + (errors @ noise if errors is not None else effects.se[:, None] * noise)

    sampled = ("chain", "draw")
    coords = {"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)}
    estimate = {"estimate": list(effects.label), "study": ("estimate", list(effects.study))}

    def shaped(values: FloatArray) -> FloatArray:
        return values.reshape(*values.shape[:-1], CHAINS, DRAWS)

    def with_rows(values: FloatArray) -> tuple[tuple[str, str, str], FloatArray]:
        return (*sampled, "estimate"), np.moveaxis(shaped(values), 0, -1)

    posterior: dict[str, Any] = {
        "mu": (sampled, shaped(beta[0])),
        "tau": (sampled, shaped(tau)),
        "theta": with_rows(theta),
        "theta_new": (sampled, shaped(beta[0] + tau * rng.standard_normal(size))),
    }
    names: dict[str, Any] = {}
    if design.contrasts:
        weights = np.array([c.weights for c in design.contrasts])
        posterior["beta"] = ((*sampled, "moderator"), np.moveaxis(shaped(weights @ beta), 0, -1))
        names = {"moderator": [c.name for c in design.contrasts]}
    groups = {
        "posterior": xr.Dataset(posterior, {**coords, **estimate, **names}),
        "log_likelihood": xr.Dataset(
            {"y": ((*sampled, "study"), np.moveaxis(shaped(log_likelihood), 0, -1))}, {**coords, "study": list(trials)}
        ),
        "posterior_predictive": xr.Dataset({"y": with_rows(replicated)}, {**coords, **estimate}),
        "observed_data": xr.Dataset({"y": ("estimate", effects.y)}, estimate),
        "constant_data": xr.Dataset({"se": ("estimate", effects.se)}, estimate),
        "quadrature": _nodes_dataset(quadrature),
        "specification": xr.Dataset(
            {
                "model": dumps(fit.model),
                "effects": dumps(effects),
                "outcome": dumps(fit.outcome),
                "checks": dumps(fit.checks),
            }
        ),
    }
    prior = _prior_draws(fit, size, rng)
    if prior is not None:
        groups["prior"] = xr.Dataset({name: (sampled, shaped(values)) for name, values in prior.items()}, coords)
    attributes = {
        "schema_version": SCHEMA_VERSION,
        "engine": fit.engine,
        "analysis": fit.analysis,
        "seed": fit.seed,
        "versions": json.dumps({name: metadata.version(name) for name in ("bayesmeta", "numpy", "scipy", "xarray")}),
        "hashes": json.dumps(dict(fit.hashes)),
        "inference_library": "bayesmeta",
        "draws": "independent draws from the exact posterior; R-hat and ESS do not apply",
    }
    tree = xr.DataTree.from_dict({f"/{name}": group for name, group in groups.items()})
    tree.attrs = attributes
    return tree


def _nodes_dataset(quadrature: Quadrature) -> xr.Dataset:
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


def load(path: str | Path) -> Fit:
    """Read a fit that `Fit.save` wrote; it answers every question bit for bit as before.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    DataError
        If the file is not a fit, or was written by a newer version.
    """
    import xarray as xr

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        tree = xr.load_datatree(path, engine="h5netcdf")
        version = int(tree.attrs["schema_version"])
        names = ("model", "effects", "outcome", "checks") if version <= SCHEMA_VERSION else ()
        specification = {name: str(tree["specification"][name].item()) for name in names}
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: not a fit of bayesmeta ({type(error).__name__}). Write one with `bayesmeta fit`."
        ) from error
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema version {version}; this bayesmeta reads up to {SCHEMA_VERSION}. Upgrade bayesmeta."
        )
    values = {name: loads(text) for name, text in specification.items()}
    effects, model = values["effects"], values["model"]
    if tree.attrs["engine"] != "exact":
        raise ModelError(f"{path}: engine {tree.attrs['engine']!r} is not one of this version's (exact).")
    fit = Fit(
        effects,
        model,
        str(tree.attrs["engine"]),
        values["checks"],
        int(tree.attrs["seed"]),
        _read_nodes(tree, effects, model),
        values["outcome"],
        str(tree.attrs["analysis"]),
        json.loads(tree.attrs["hashes"]),
    )
    fit.__dict__["tree"] = tree
    return fit


def _read_nodes(tree: xr.DataTree, effects: Effects, model: Model) -> Quadrature:
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
