"""Plain values to JSON and back, exactly: floats keep every bit, and only known types are read."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesmeta.effects import Effects, Spreads, Tabulated
from bayesmeta.errors import BayesmetaWarning, Check, DataError, ModelError
from bayesmeta.measures import Derivation
from bayesmeta.model import (
    Coefficient,
    Exchangeable,
    MissingLevels,
    MissingNumeric,
    MissingSD,
    Model,
    Monotone,
    OutlierEffects,
    Spline,
    StudentEffects,
)
from bayesmeta.outcome import (
    BaselineRisk,
    BetaRisk,
    Exclusion,
    Moderator,
    NaturalUnit,
    Outcome,
    PointsThreshold,
    Threshold,
)
from bayesmeta.priors import Prior, parse

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["dumps", "loads", "read_tree", "write_tree"]

_TYPES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        BaselineRisk,
        BetaRisk,
        Check,
        Coefficient,
        Derivation,
        Effects,
        Exchangeable,
        Exclusion,
        MissingLevels,
        MissingNumeric,
        MissingSD,
        Model,
        Moderator,
        Monotone,
        NaturalUnit,
        OutlierEffects,
        Outcome,
        PointsThreshold,
        Spline,
        Spreads,
        StudentEffects,
        Tabulated,
        Threshold,
    )
}
# of xarray's ways to netCDF the one by the netCDF library: a fit is some fifty small variables, on each of which
# h5netcdf spends five times as long. The library ends the process where two threads are in it
_ENGINE: Literal["netcdf4"] = "netcdf4"
_ONE_AT_A_TIME = threading.Lock()


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return _encode(value.item())
    if isinstance(value, Prior):
        return {"@": "prior", "text": repr(value)}
    if isinstance(value, np.ndarray):
        return {"@": "array", "dtype": "object" if value.dtype == object else value.dtype.str, "values": value.tolist()}
    if isinstance(value, (Path, PurePosixPath)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        if name not in _TYPES:
            raise TypeError(f"{name} is not a stored type")
        fields = {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"@": name, "fields": fields}
    if isinstance(value, Mapping):
        return {"@": "mapping", "items": [[str(key), _encode(item)] for key, item in value.items()]}
    if isinstance(value, Sequence):
        return {"@": "sequence", "items": [_encode(item) for item in value]}
    raise TypeError(f"{type(value).__name__} is not a stored type")


def _decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value["@"]
    if kind == "prior":
        return parse(value["text"])
    if kind == "array":
        return np.array(value["values"], dtype=value["dtype"])
    if kind == "mapping":
        return {key: _decode(item) for key, item in value["items"]}
    if kind == "sequence":
        return tuple(_decode(item) for item in value["items"])
    if kind not in _TYPES:
        raise DataError(f"the file holds a {kind!r}, which this version of bayesmeta does not know. Upgrade bayesmeta.")
    fields = {name: _decode(item) for name, item in value["fields"].items()}
    with warnings.catch_warnings():
        # whatever there was to say of these data was said when they were first made
        warnings.simplefilter("ignore", BayesmetaWarning)
        return _TYPES[kind](**fields)


def dumps(value: Any) -> str:
    """Write a noun as JSON.

    Examples
    --------
    >>> from bayesmeta.priors import HalfNormal, Normal
    >>> loads(dumps(Model(Normal(0, 1), HalfNormal(0.5))))
    Model(mu=normal(0, 1), tau=halfnormal(0.5))
    """
    return json.dumps(_encode(value), ensure_ascii=False)


def loads(text: str) -> Any:
    """Read what `dumps` wrote."""
    return _decode(json.loads(text))


def read_tree(path: Path) -> xr.DataTree:
    """Read a netCDF file whole."""
    import xarray as xr

    with _ONE_AT_A_TIME:
        return xr.load_datatree(path, engine=_ENGINE)


def write_tree(tree: xr.DataTree, path: str | Path) -> Path:
    """Write a tree as netCDF: under a temporary name, then renamed, so that no half-written file is left.

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
        with _ONE_AT_A_TIME:
            tree.to_netcdf(name, engine=_ENGINE)
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path
