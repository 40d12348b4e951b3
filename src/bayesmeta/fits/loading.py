"""Fits read from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import DataError, ModelError
from bayesmeta.fits.exact_tree import read_nodes
from bayesmeta.fits.result import Fit
from bayesmeta.fits.storage import AGAIN, loads, read_tree
from bayesmeta.fits.tree import SCHEMA_VERSION
from bayesmeta.model import Model, build_design
from bayesmeta.nuts import DrawPosterior

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["load"]

FloatArray = NDArray[np.float64]
_ENGINES = ("exact", "nuts")


def load(path: str | Path) -> Fit:
    """Read a fit that `Fit.save` wrote, with any version up to this; it answers every question bit for bit as before.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    DataError
        If the file is not a fit, was written by a newer version, or holds what no longer makes a fit.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        tree = read_tree(path)
        version = int(tree.attrs["schema_version"])
        names = ("model", "effects", "outcome", "checks") if version <= SCHEMA_VERSION else ()
        specification = {name: str(tree["specification"][name].item()) for name in names}
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise DataError(
            f"{path}: not a fit of bayesmeta ({type(error).__name__}). Write one with `bayesmeta fit`."
        ) from error
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema version {version}; this bayesmeta reads up to {SCHEMA_VERSION}. Upgrade bayesmeta."
        )
    try:
        values = {name: loads(text) for name, text in specification.items()}
    except (ValueError, KeyError, TypeError) as error:
        cause = str(error)
        raise DataError(
            f"{path}: {cause if AGAIN in cause else f'it holds what makes no fit ({cause}). {AGAIN}'}"
        ) from error
    _migrate(tree, version)
    effects, model = values["effects"], values["model"]
    engine = str(tree.attrs["engine"])
    if engine not in _ENGINES:
        raise ModelError(f"{path}: engine {engine!r} is not one of this version's ({', '.join(_ENGINES)}).")
    fit = Fit(
        effects,
        model,
        engine,
        values["checks"],
        int(tree.attrs["seed"]),
        read_nodes(tree, effects, model) if engine == "exact" else _read_sample(tree, effects, model),
        values["outcome"],
        str(tree.attrs["analysis"]),
        json.loads(tree.attrs["hashes"]),
    )
    fit.__dict__["tree"] = tree
    return fit


def _migrate(tree: xr.DataTree, version: int) -> None:
    """Make a tree of an older schema one of this: it can be saved again, and no number changes."""
    if version == 1 and "log_prior" in tree:
        # the names of variables were those of the priors
        for name, values in tree["log_prior"].data_vars.items():
            values.attrs["prior"] = str(name)
    tree.attrs["schema_version"] = SCHEMA_VERSION


def _first(values: FloatArray) -> FloatArray:
    """Move the labelled dim before chains and draws."""
    return np.ascontiguousarray(np.moveaxis(values, -1, 0))


def _read_sample(tree: xr.DataTree, effects: Effects, model: Model) -> DrawPosterior:
    posterior, sampled = tree["posterior"].to_dataset(), tree["sampled"].to_dataset()
    log_likelihood = tree["log_likelihood"].to_dataset()["y"]
    others = {}
    if "other" in posterior:
        values = _first(posterior["other"].values)
        others = {str(name): values[i] for i, name in enumerate(posterior["quantity"].values)}
    deviation = _first(sampled["deviation"].values)
    return DrawPosterior(
        build_design(effects, model),
        model,
        _first(sampled["coefficient"].values),
        posterior["tau"].values,
        _first(posterior["theta"].values),
        {str(name): deviation[i] for i, name in enumerate(sampled["kind"].values)},
        others,
        tuple(str(name) for name in log_likelihood["study"].values),
        _first(log_likelihood.values),
        {str(name): values.values for name, values in tree["sample_stats"].to_dataset().data_vars.items()},
        json.loads(sampled.attrs["settings"]),
        _first(sampled["baseline"].values) if "baseline" in sampled else None,
    )
