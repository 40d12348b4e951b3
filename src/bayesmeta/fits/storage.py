"""Plain values to JSON and back, exactly: floats keep every bit, and only known types are read."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesmeta.effects import ConditionalEstimates, Effects, RawDifferences
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
from bayesmeta.plan import (
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

__all__ = ["AGAIN", "dumps", "loads", "read_tree", "write_tree"]


@dataclass(frozen=True, slots=True)
class _Noun:
    """A stored noun: its class today, and its fields as files name them.

    Attributes
    ----------
    made : type
    fields : str
        Tags of the fields, in order; ``tag=name`` where the class calls it otherwise today, ``tag?`` where files
        written before the field was there leave it to the class's default.
    """

    made: type
    fields: str

    @property
    def names(self) -> dict[str, str]:
        """Tag of each field and its name today."""
        parts = [item.removesuffix("?").partition("=") for item in self.fields.split()]
        return {tag: name or tag for tag, _, name in parts}

    @property
    def needed(self) -> set[str]:
        """Tags that every file holds."""
        return {item.partition("=")[0] for item in self.fields.split() if not item.endswith("?")}


# what files hold, by a tag that stays what it is: the names that classes and fields had in 0.1.0. A class or a field is
# renamed on the right of a line; nothing on the left ever changes, and no tag gets a second meaning
_NOUNS: dict[str, _Noun] = {
    "BaselineRisk": _Noun(BaselineRisk, "name risk source"),
    "BetaRisk": _Noun(BetaRisk, "a b"),
    "Check": _Noun(Check, "name ok value limit advice"),
    "Coefficient": _Noun(Coefficient, "prior per reference"),
    "Derivation": _Noun(Derivation, "raw formula assumptions y se"),
    "Effects": _Noun(
        Effects,
        "study y se measure label blocks moderators cluster arms n counts tabulated spreads ledger name better unit",
    ),
    "Exchangeable": _Noun(Exchangeable, "sd reference"),
    "Exclusion": _Noun(Exclusion, "where reason"),
    "MissingLevels": _Noun(MissingLevels, "concentration shift"),
    "MissingNumeric": _Noun(MissingNumeric, "mean sd family shift"),
    "MissingSD": _Noun(MissingSD, "meanlog sdlog"),
    "Model": _Noun(Model, "mu tau beta rho cluster_tau likelihood random missing derived missing_sd baseline"),
    "Moderator": _Noun(Moderator, "name kind per reference pooling curve knots"),
    "Monotone": _Noun(Monotone, "total knots"),
    "NaturalUnit": _Noun(NaturalUnit, "name sd sd_source sd_se better mid"),
    "OutlierEffects": _Noun(OutlierEffects, "share extra"),
    "Outcome": _Noun(
        Outcome,
        "key label where measure better mu tau unit beta curve sources moderators interactions subgroups cluster "
        "working_correlation cluster_tau rho likelihood baseline random missing impute derived missing_sd thresholds "
        "measure_options exclude natural_unit baseline_risk engine",
    ),
    "PointsThreshold": _Noun(PointsThreshold, "benefit source kind worse"),
    "Spline": _Noun(Spline, "slope sd per knots"),
    "Spreads": _Noun(RawDifferences, "difference sd"),
    "StudentEffects": _Noun(StudentEffects, "df"),
    "Tabulated": _Noun(ConditionalEstimates, "low high y se log_scale"),
    "Threshold": _Noun(Threshold, "name benefit worse benefit_distance worse_distance source kind primary"),
}
# of xarray's ways to netCDF the one by the netCDF library: a fit is some fifty small variables, on each of which
# h5netcdf spends four times as long. The library ends the process where two threads are in it
_ENGINE: Literal["netcdf4"] = "netcdf4"
_ONE_AT_A_TIME = threading.Lock()
AGAIN = "Write it again with `bayesmeta fit PROTOCOL -o OUT`."
_UPGRADE = "which this version does not know. Upgrade bayesmeta. " + AGAIN


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
    for tag, noun in _NOUNS.items():
        if noun.made is type(value):
            return {"@": tag, "fields": {key: _encode(getattr(value, name)) for key, name in noun.names.items()}}
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
    if kind not in _NOUNS:
        raise DataError(f"the file holds a {kind!r}, {_UPGRADE}")
    noun, stored = _NOUNS[kind], value["fields"]
    if unknown := stored.keys() - noun.names.keys():
        raise DataError(f"{kind} has a field {', '.join(sorted(unknown))}, {_UPGRADE}")
    if missing := noun.needed - stored.keys():
        raise DataError(f"{kind} lacks the field {', '.join(sorted(missing))}. {AGAIN}")
    fields = {noun.names[tag]: _decode(item) for tag, item in stored.items()}
    with warnings.catch_warnings():
        # warnings about these data were given when they were first made
        warnings.simplefilter("ignore", BayesmetaWarning)
        return noun.made(**fields)


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
    """Read what `dumps` wrote.

    Raises
    ------
    DataError
        If the text holds what this version does not know, or lacks what it needs.

    Examples
    --------
    >>> loads('{"@": "BetaRisk", "fields": {"a": 20}}')
    Traceback (most recent call last):
    ...
    bayesmeta.errors.DataError: BetaRisk lacks the field b. Write it again with `bayesmeta fit PROTOCOL -o OUT`.
    """
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
