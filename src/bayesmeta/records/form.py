"""The form of every record: how it begins, what becomes of numbers, and its committed schema."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata, resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmeta.columns import Column, rows_schema
from bayesmeta.errors import find_name
from bayesmeta.fits import LEVEL
from bayesmeta.measures import measure

if TYPE_CHECKING:
    from bayesmeta.sensitivity import Section

__all__ = [
    "SCHEMA_VERSION",
    "envelope",
    "head",
    "json_text",
    "output_schema",
    "plain",
    "scale_name",
    "small_k_note",
    "table_records",
]

#: Raised when a key changes its meaning; a new key keeps it.
SCHEMA_VERSION = 2


def plain(value: Any) -> Any:
    """Make JSON of numbers, arrays, mappings and sequences; what is not finite becomes None.

    Examples
    --------
    >>> plain({"a": np.float64(0.5), "b": float("inf"), "c": (1, np.nan)})
    {'a': 0.5, 'b': None, 'c': [1, None]}
    """
    # most of what comes here is one of these, and asking for abstract types first would take most of the time
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return None if value is pd.NA else value
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return None if value is pd.NA else str(value)


def json_text(record: Mapping[str, Any]) -> str:
    """Write a record as JSON; every number reads back to the same bits (at most 17 significant digits).

    Examples
    --------
    >>> print(json_text({"x": 0.1}))
    {
      "x": 0.1
    }
    """
    return json.dumps(record, allow_nan=False, ensure_ascii=False, indent=2)


def table_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Make one record of each line of a table.

    Examples
    --------
    >>> table_records(pd.DataFrame({"a": [1.0, np.nan]}))
    [{'a': 1.0}, {'a': None}]
    """
    names = [str(name) for name in frame.columns]
    columns = [[plain(value) for value in column.tolist()] for _, column in frame.items()]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def scale_name(measure_name: str) -> str:
    """Name the scale of the analysis: ``log``, ``fisher_z`` (correlations), ``logit`` (proportions) or ``identity``."""
    kind = measure(measure_name)
    return "log" if kind.log else {"ZCOR": "fisher_z", "PLO": "logit"}.get(measure_name, "identity")


@cache
def _version() -> str:
    return metadata.version("bayesmeta")


def head(measure_name: str | None, *, level: float = LEVEL, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Begin a record: what every one of them starts with.

    Examples
    --------
    >>> head("RR")["scale"]
    'log'
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "bayesmeta": _version(),
        "level": level,
        "interval": "central",
        "scale": None if measure_name is None else scale_name(measure_name),
        "warnings": list(warnings),
    }


def envelope(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One record as it is, several under ``analyses``."""
    if len(records) == 1:
        return dict(records[0])
    return {"schema_version": SCHEMA_VERSION, "analyses": list(records)}


def output_schema(name: str) -> dict[str, Any]:
    """Read the JSON Schema of an output: ``pool fit run compare benefit sensitivity check plot protocol``.

    What it says of sensitivity analyses, of averages and of moderators is made from their columns.

    Examples
    --------
    >>> output_schema("pool")["title"]
    'bayesmeta pool --json'
    """
    folder = resources.files("bayesmeta.records").joinpath("schemas")
    names = [item.name.removesuffix(".json") for item in folder.iterdir() if item.name.endswith(".json")]
    if (name := find_name("schema", name, sorted([*names, "protocol"]))) == "protocol":
        # its keys are the schema
        from bayesmeta.protocol import protocol_schema

        return protocol_schema()
    schema: dict[str, Any] = json.loads(folder.joinpath(f"{name}.json").read_text("utf-8"))
    if "sections" in schema.get("$defs", ()):
        from bayesmeta.sensitivity import SECTIONS

        schema["$defs"]["sections"] = closed({key: _section_schema(item) for key, item in SECTIONS.items()}, ())
    if "tables" in schema.get("$defs", ()):
        from bayesmeta.sensitivity import BIAS_TABLES

        tables = {key: {"type": "array", "items": rows_schema(item)} for key, item in BIAS_TABLES.items()}
        schema["$defs"]["tables"] = closed(tables)
    if "moderators" in schema.get("$defs", ()):
        from bayesmeta.moderators import MODERATOR_COLUMNS

        rows = {"type": "array", "items": rows_schema(MODERATOR_COLUMNS)}
        schema["$defs"]["moderators"] = closed({"rows": rows, "notes": {"type": "array", "items": {"type": "string"}}})
    return schema


def closed(properties: Mapping[str, Any], required: Iterable[str] | None = None) -> dict[str, Any]:
    """Schema of an object that has no other keys; default all are required."""
    names = list(properties if required is None else required)
    return {"type": "object", "additionalProperties": False, "required": names, "properties": dict(properties)}


def _section_schema(section: Section) -> dict[str, Any]:
    def rows(columns: Sequence[Column], others: Any = False) -> dict[str, Any]:
        return {"type": "array", "items": rows_schema(columns, others)}

    return closed(
        {
            "question": {"const": section.question},
            "verdict": {"type": "string"},
            "rows": rows(section.columns, section.others),
            "summary": {"type": "object", "properties": {key: rows(item) for key, item in section.parts.items()}},
        }
    )


def small_k_note(n_trials: int) -> str:
    """What the number of trials allows, in one sentence.

    One trial is not pooled; two give a sensitivity analysis and no claim; three or four need an informative prior of
    tau and its variations; from five on Bayesian and classical answers stand side by side.

    References
    ----------
    Lilienthal J et al. Res Synth Methods 2024;15:275-287. doi:10.1002/jrsm.1685; IQWiG, General Methods.

    Examples
    --------
    >>> small_k_note(2)
    'Two trials: a sensitivity analysis only; make no claim from it.'
    """
    if n_trials <= 1:
        return "One trial: nothing is pooled; how trials differ comes from the prior of tau alone."
    if n_trials == 2:
        return "Two trials: a sensitivity analysis only; make no claim from it."
    if n_trials <= 4:
        return "Three or four trials: the prior of tau matters; read this beside the sensitivity analyses."
    return "Five or more trials: read the Bayesian and the classical answer side by side."
