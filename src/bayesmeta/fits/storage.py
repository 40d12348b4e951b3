"""Plain values to JSON and back, exactly: floats keep every bit, and only known types are read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayesmeta.boundary import replaced
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
    TauBy,
)
from bayesmeta.plan import (
    BaselineRisk,
    BetaRisk,
    BiasSize,
    ControlMean,
    Decision,
    Exclusion,
    ModelPlan,
    Moderator,
    NaturalUnit,
    Outcome,
    PointsThreshold,
    Quotient,
    RiskOfBias,
    Selection,
    Threshold,
    TrialInteraction,
)
from bayesmeta.priors import Prior, parse

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["AGAIN", "dumps", "loads", "read_tree", "write_tree"]


# what files hold, by a tag that stays what it is: the name that a class had when it was first written. A class is
# renamed on the right of a line; nothing on the left ever changes, and no tag gets a second meaning
_NOUNS: dict[str, type] = {
    **{
        noun.__name__: noun
        for noun in (
            BaselineRisk,
            BetaRisk,
            BiasSize,
            Check,
            Coefficient,
            ControlMean,
            Decision,
            Derivation,
            Effects,
            Exchangeable,
            Exclusion,
            MissingLevels,
            MissingNumeric,
            MissingSD,
            Model,
            ModelPlan,
            Moderator,
            Monotone,
            NaturalUnit,
            OutlierEffects,
            PointsThreshold,
            Quotient,
            RiskOfBias,
            Selection,
            Spline,
            StudentEffects,
            TauBy,
            Threshold,
            TrialInteraction,
        )
    },
    # of 0.1.0: a flat table of fields; the same noun since then is "Outcome in parts"
    "Outcome": Outcome,
    "Outcome in parts": Outcome,
    "Spreads": RawDifferences,
    "Tabulated": ConditionalEstimates,
}
_TAGS = {noun: tag for tag, noun in _NOUNS.items()}
#: Mark of a field that files did not hold from the first: ``field(default=..., metadata=LATER)``.
LATER: Mapping[str, bool] = MappingProxyType({"later": True})
# fields that classes call otherwise today, by tag and the name in files: {"Effects": {"spreads": "raw_differences"}}
_RENAMED: dict[str, dict[str, str]] = {}


def _fields(noun: type, *, needed: bool = False) -> set[str]:
    """Names of a noun's fields; those that every file holds if ``needed``: all but those marked as `LATER`."""
    return {item.name for item in dataclasses.fields(noun) if not (needed and "later" in item.metadata)}


def _made(kind: str, noun: type, fields: Mapping[str, Any]) -> Any:
    if unknown := fields.keys() - _fields(noun):
        raise DataError(f"{kind} has a field {', '.join(sorted(unknown))}, {_UPGRADE}")
    if missing := _fields(noun, needed=True) - fields.keys():
        raise DataError(f"{kind} lacks the field {', '.join(sorted(missing))}. {AGAIN}")
    with warnings.catch_warnings():
        # warnings about these data were given when they were first made
        warnings.simplefilter("ignore", BayesmetaWarning)
        return noun(**fields)


def _in_parts(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of an outcome of 0.1.0, as the parts that it has today."""
    parts = {
        name: _made("Outcome", noun, {key: fields.pop(key) for key in _fields(noun) & fields.keys()})
        for name, noun in (("selection", Selection), ("model", ModelPlan), ("decision", Decision))
    }
    return fields | parts


# of xarray's ways to netCDF the one by the netCDF library: a fit is some fifty small variables, on each of which
# h5netcdf spends four times as long. The library ends the process where two threads are in it
_ENGINE: Literal["netcdf4"] = "netcdf4"
_ONE_AT_A_TIME = threading.Lock()
_SEAL = re.compile(rb"\nbayesmeta sha256 ([0-9a-f]{64})\n\Z")
AGAIN = "Write it again with `bayesmeta fit PROTOCOL -o OUT`."
_UPGRADE = "which this version does not know. Upgrade bayesmeta. " + AGAIN


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return _encode(value.item())
    if isinstance(value, Prior) and not isinstance(value, Quotient):
        return {"@": "prior", "text": repr(value)}
    if isinstance(value, np.ndarray):
        return {"@": "array", "dtype": "object" if value.dtype == object else value.dtype.str, "values": value.tolist()}
    if isinstance(value, (Path, PurePosixPath)):
        return str(value)
    if (tag := _TAGS.get(type(value))) is not None:
        stored_as = {name: key for key, name in _RENAMED.get(tag, {}).items()}
        names = [item.name for item in dataclasses.fields(value)]
        return {"@": tag, "fields": {stored_as.get(name, name): _encode(getattr(value, name)) for name in names}}
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
    noun, renamed = _NOUNS[kind], _RENAMED.get(kind, {})
    fields = {renamed.get(tag, tag): _decode(item) for tag, item in value["fields"].items()}
    return _made(kind, noun, _in_parts(fields) if kind == "Outcome" else fields)


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


def _require_whole(path: Path) -> None:
    """Refuse a file whose last line names another digest of its bytes, before the netCDF library sees any.

    On damaged files that library may wait for ever or end the process. Where it has edited a file the line is gone.
    """
    content = path.read_bytes()
    if (last := _SEAL.search(content)) and last[1].decode() != hashlib.sha256(content[: last.start()]).hexdigest():
        raise DataError(f"it was damaged or changed after it was written: its digest does not match. {AGAIN}")


def read_tree(path: Path) -> xr.DataTree:
    """Read a netCDF file whole.

    Raises
    ------
    DataError
        If its bytes are not those that `write_tree` wrote.
    """
    import xarray as xr

    _require_whole(path)
    with _ONE_AT_A_TIME:
        return xr.load_datatree(path, engine=_ENGINE)


def write_tree(tree: xr.DataTree, path: str | Path) -> Path:
    """Write a tree as netCDF: under a temporary name, then renamed, so that no half-written file is left.

    Parameters
    ----------
    path : str or Path
        Ends in ``.nc``.

    Raises
    ------
    ModelError
        If the name does not end in ``.nc``.
    """
    path = Path(path)
    if path.suffix != ".nc":
        raise ModelError(f"{path}: a fit is saved as netCDF; give a name that ends in .nc.")
    with replaced(path) as whole:
        with _ONE_AT_A_TIME:
            tree.to_netcdf(whole, engine=_ENGINE)
        digest = hashlib.sha256(whole.read_bytes()).hexdigest()
        with open(whole, "ab") as file:
            # behind the end of HDF5, which readers do not look at
            file.write(f"\nbayesmeta sha256 {digest}\n".encode())
    return path
