"""The tree of a fit: the same groups, dims and coordinates for every engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import ModelError
from bayesmeta.exact import ExactPosterior, arm_study_draws
from bayesmeta.fits.exact_tree import nodes_dataset
from bayesmeta.fits.posterior import Posterior
from bayesmeta.model import Model
from bayesmeta.nuts import (
    DrawPosterior,
    HierarchicalRows,
    build_rows,
    condition,
    is_proper,
    log_priors,
    marginal_log_likelihood,
    new_study,
    sample_posterior_predictive,
    sample_prior_predictive,
    study_draws,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["CHAINS", "DRAWS", "SCHEMA_VERSION", "build_tree", "parameters"]

FloatArray = NDArray[np.float64]
# 2: log densities of priors carry the prior's name as an attribute, because a variable's may hold no slash
SCHEMA_VERSION = 2
# of an exact fit; a sampled one has as many as were requested
CHAINS, DRAWS = 4, 1000
_SAMPLED = ("chain", "draw")
# bytes of a variable's name that leave room for telling two apart
_LONGEST = 240


def parameters(
    posterior: Posterior, h: HierarchicalRows, rng: np.random.Generator
) -> tuple[dict[str, FloatArray], tuple[int, int]]:
    """Draws of the parameters, chains joined, as `nuts.sample_posterior_predictive` takes them; (chains, draws)."""
    found = posterior.draws(rng, (CHAINS, DRAWS))
    draws = {name: values.reshape(*values.shape[:-2], -1) for name, values in found.items()}
    if h.sd_rows.size:
        draws["sd"] = np.array([draws[f"missing_sd[{h.effects.label[h.row[e]]}]"] for e in h.sd_rows.tolist()])
    chains, size = found["tau"].shape
    return draws, (chains, size)


def _drawn(
    h: HierarchicalRows, draws: dict[str, FloatArray], rng: np.random.Generator
) -> tuple[DrawPosterior, FloatArray]:
    """Draws of all quantities of an exact fit from those of its parameters, and replicated estimates (k, N)."""
    if h.one_arm:
        assert h.effects.counts is not None
        theta = arm_study_draws(h.effects.counts, draws["coefficients"][0], draws["tau"], rng)
        log_likelihood = marginal_log_likelihood(h, draws)
    else:
        conditional = condition(h, draws)
        theta, _, _ = study_draws(h, conditional, rng)
        log_likelihood = conditional.log_likelihood
    replicated = sample_posterior_predictive(h, theta, draws, rng)

    def back(values: FloatArray) -> FloatArray:
        return values.reshape(*values.shape[:-1], CHAINS, DRAWS)

    others = {name: values for name, values in draws.items() if name.startswith(("tau_within", "tau["))}
    for number, term in enumerate(h.design.terms):
        if f"sd{number}" in draws:
            others[f"sd[{term.name}]"] = draws[f"sd{number}"]
    sample = DrawPosterior(
        h.design,
        h.model,
        back(draws["coefficients"]),
        back(draws["tau"]),
        back(theta),
        {name: back(values) for name, values in new_study(h.model, draws, rng).items()},
        {name: back(values) for name, values in others.items()},
        h.units,
        back(log_likelihood),
        {},
    )
    return sample, replicated


def build_tree(
    effects: Effects,
    model: Model,
    posterior: Posterior,
    *,
    seed: int,
    specification: Mapping[str, str],
    attributes: Mapping[str, Any],
) -> xr.DataTree:
    """Make the tree of a fit.

    Parameters
    ----------
    seed : int
        Of what is drawn here: independent draws of an exact fit, replicated data, draws from the priors.
    specification : mapping
        What a fit is made of, as text.
    attributes : mapping
        Of the root.

    Raises
    ------
    ModelError
        For an average of models.
    """
    import xarray as xr

    if not isinstance(posterior, ExactPosterior | DrawPosterior):
        raise ModelError("an average of models is not written to a file. Average again: it takes about a second.")
    rng = np.random.default_rng([seed, 2])
    h = build_rows(effects, model)
    values, (chains, draws) = parameters(posterior, h, rng)
    if isinstance(posterior, DrawPosterior):
        sample, theta = posterior, posterior.theta.reshape(effects.k, -1)
        replicated = sample_posterior_predictive(h, theta, values, rng)
    else:
        sample, replicated = _drawn(h, values, rng)
    # coordinates with their indexes, made once for all groups
    coords = xr.Coordinates({"chain": np.arange(chains), "draw": np.arange(draws)})
    estimate = xr.Coordinates({"estimate": list(effects.label), "study": ("estimate", list(effects.study))})
    both = coords.merge(estimate).coords
    groups = {
        "posterior": xr.Dataset(_posterior(sample), both).assign_coords(_labels(sample)),
        "log_likelihood": xr.Dataset(
            {"y": ((*_SAMPLED, "study"), _last(sample.log_likelihood))}, {**coords, "study": list(sample.units)}
        ),
        "log_prior": xr.Dataset(_log_prior(h, sample), coords),
        "posterior_predictive": xr.Dataset({"y": _rows(replicated.reshape(-1, chains, draws))}, both),
        "observed_data": xr.Dataset({"y": ("estimate", effects.y)}, estimate),
        "constant_data": xr.Dataset({"se": ("estimate", effects.se)}, estimate),
        "specification": xr.Dataset(dict(specification)),
    }
    if is_proper(h):
        groups |= _prior(h, rng, coords, both)
    if isinstance(posterior, ExactPosterior):
        groups["quadrature"] = nodes_dataset(posterior.nodes)
        note = "independent draws from the exact posterior; R-hat and ESS do not apply"
    else:
        groups["sample_stats"] = xr.Dataset({name: (_SAMPLED, v) for name, v in sample.stats.items()}, coords)
        groups["sampled"] = _sampled(sample, coords)
        note = "draws by NUTS with study effects integrated out where the likelihood is normal"
    tree = xr.DataTree.from_dict({f"/{name}": group for name, group in groups.items()})
    tree.attrs = {
        "schema_version": SCHEMA_VERSION,
        **attributes,
        "seed": seed,
        "versions": json.dumps(
            _versions() | {name: sample.settings[name] for name in ("pymc", "nutpie") if name in sample.settings}
        ),
        "inference_library": "bayesmeta",
        "draws": note,
    }
    return tree


@cache
def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("bayesmeta", "numpy", "scipy", "xarray")}


def _last(values: FloatArray) -> FloatArray:
    """Move the labelled dim behind chains and draws; laid out as a file has it, so that sums run in one order."""
    return np.ascontiguousarray(np.moveaxis(values, 0, -1))


def _rows(values: FloatArray) -> tuple[tuple[str, str, str], FloatArray]:
    return (*_SAMPLED, "estimate"), _last(values)


def _posterior(sample: DrawPosterior) -> dict[str, Any]:
    """Variables of the posterior group."""
    mu = sample.coefficients[0]
    variables: dict[str, Any] = {
        "mu": (_SAMPLED, mu),
        "tau": (_SAMPLED, sample.tau),
        "theta": _rows(sample.theta),
        **{name: (_SAMPLED, mu + deviation) for name, deviation in sample.deviations.items()},
    }
    if sample.design.contrasts:
        weights = np.array([contrast.weights for contrast in sample.design.contrasts])
        variables["beta"] = ((*_SAMPLED, "moderator"), _last(np.tensordot(weights, sample.coefficients, axes=1)))
    if sample.others:
        # names hold brackets and trials; they are labels of one variable
        variables["other"] = ((*_SAMPLED, "quantity"), _last(np.array(list(sample.others.values()))))
    return variables


def _labels(sample: DrawPosterior) -> dict[str, list[str]]:
    """Coordinates that only the posterior group has."""
    contrasts = {"moderator": [contrast.name for contrast in sample.design.contrasts]}
    return (contrasts if sample.design.contrasts else {}) | ({"quantity": list(sample.others)} if sample.others else {})


def _log_prior(h: HierarchicalRows, sample: DrawPosterior) -> dict[str, Any]:
    shape = sample.tau.shape
    sds = {"tau": sample.tau.ravel(), **{name: values.ravel() for name, values in sample.others.items()}}
    found = log_priors(h, sample.coefficients.reshape(h.design.p, -1), sds)
    variables: dict[str, Any] = {}
    for name, values in found.items():
        key = _variable(name)
        while key in variables:
            key += "_"
        variables[key] = (_SAMPLED, values.reshape(shape), {"prior": name})
    return variables


def _variable(name: str) -> str:
    """Name a variable after a prior, as netCDF allows it: no slash, nothing unprintable, at most 256 bytes."""
    plain = "".join(c if c.isprintable() and c != "/" else "_" for c in name)
    return plain.encode()[:_LONGEST].decode(errors="ignore")


def _prior(
    h: HierarchicalRows, rng: np.random.Generator, coords: xr.Coordinates, both: xr.Coordinates
) -> dict[str, xr.Dataset]:
    """Draws of parameters and of estimates from the priors."""
    import xarray as xr

    chains, draws = (coords.sizes[dim] for dim in _SAMPLED)
    predictive = sample_prior_predictive(h, chains * draws, rng)
    mu = predictive.parameters["coefficients"][0]
    fresh = new_study(h.model, predictive.parameters, rng)
    values = {
        "mu": mu,
        "tau": predictive.parameters["tau"],
        **{name: mu + deviation for name, deviation in fresh.items()},
    }
    y = (
        predictive.y
        if h.model.likelihood == "normal"
        else sample_posterior_predictive(h, predictive.theta, predictive.parameters, rng)
    )
    shaped = {name: (_SAMPLED, item.reshape(chains, draws)) for name, item in values.items()}
    return {
        "prior": xr.Dataset(shaped, coords),
        "prior_predictive": xr.Dataset({"y": _rows(y.reshape(-1, chains, draws))}, both),
    }


def _sampled(sample: DrawPosterior, coords: xr.Coordinates) -> xr.Dataset:
    """What a sampled fit needs to answer again, beyond what the posterior group shows."""
    import xarray as xr

    variables: dict[str, Any] = {
        "coefficient": ((*_SAMPLED, "column"), _last(sample.coefficients)),
        "deviation": ((*_SAMPLED, "kind"), _last(np.array(list(sample.deviations.values())))),
    }
    if sample.baseline is not None:
        variables["baseline"] = ((*_SAMPLED, "control_arm"), _last(sample.baseline))
    return xr.Dataset(
        variables, {**coords, "kind": list(sample.deviations)}, attrs={"settings": json.dumps(dict(sample.settings))}
    )
