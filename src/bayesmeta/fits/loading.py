"""Fits read from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.effects import Effects
from bayesmeta.errors import BayesmetaError, DataError, warn
from bayesmeta.fits.digest import take_seal
from bayesmeta.fits.exact_tree import read_nodes
from bayesmeta.fits.result import Fit
from bayesmeta.fits.storage import AGAIN, loads, read_tree
from bayesmeta.fits.tree import SCHEMA_VERSION
from bayesmeta.model import Model, build_design
from bayesmeta.nuts import DrawPosterior
from bayesmeta.plan import Outcome

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["load"]

FloatArray = NDArray[np.float64]
_ENGINES = ("exact", "nuts")
_KINDS: dict[str, Any] = {"model": Model, "effects": Effects, "outcome": (Outcome, type(None)), "checks": tuple}


def load(path: str | Path) -> Fit:
    """Read a fit that `Fit.save` wrote, with any version up to this; it answers every question bit for bit as before.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    DataError
        If the file is not a fit, was written by a newer version, was changed since it was written (its digest covers
        every array and attribute), or holds what no longer makes a fit.

    Warns
    -----
    BayesmetaWarning
        If the file has no digest, as those of earlier versions.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise DataError(f"{path}: not a file. Write a fit with `bayesmeta fit`.")
    try:
        tree = read_tree(path)
        version = int(tree.attrs["schema_version"])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:
        # whatever the libraries of netCDF make of bytes that they did not write
        raise DataError(
            f"{path}: not a fit of bayesmeta ({type(error).__name__}). Write one with `bayesmeta fit`."
        ) from error
    if version > SCHEMA_VERSION:
        raise DataError(
            f"{path}: schema version {version}; this bayesmeta reads up to {SCHEMA_VERSION}. Upgrade bayesmeta."
        )
    try:
        known = take_seal(tree)
        found = _fit_of(tree, version)
    except Exception as error:
        # a file may be damaged anywhere, and so it may fail anywhere
        cause = str(error) if isinstance(error, BayesmetaError) else f"{type(error).__name__}: {error}"
        if AGAIN not in cause:
            cause = f"it holds what makes no fit ({cause.rstrip('.')}). {AGAIN}"
        raise DataError(f"{path}: {cause}") from error
    if not known:
        warn(f"{path}: this fit has no digest, as those of earlier versions; nothing can tell whether it was changed.")
    return found


def _fit_of(tree: xr.DataTree, version: int) -> Fit:
    """Make a fit of a tree; what it makes of a damaged one is an error of any kind."""
    stored = {name: str(tree["specification"][name].item()) for name in ("model", "effects", "outcome", "checks")}
    values = {name: loads(text) for name, text in stored.items()}
    for name, kinds in _KINDS.items():
        if not isinstance(values[name], kinds):
            raise DataError(f"its {name} is {type(values[name]).__name__}")
    _migrate(tree, version)
    effects, model = values["effects"], values["model"]
    engine = str(tree.attrs["engine"])
    if engine not in _ENGINES:
        raise DataError(f"engine {engine!r} is not one of this version's ({', '.join(_ENGINES)})")
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
