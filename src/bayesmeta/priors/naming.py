"""Priors by name: reading and writing them.

A prior is written the same way in Python, in a protocol and on the command line: its ``repr`` is the text that
`parse` reads.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import math
from typing import Any

from bayesmeta.errors import ModelError
from bayesmeta.priors.empirical import Cochrane, Rhodes2015, Turner2015, resolve
from bayesmeta.priors.families import (
    Cauchy,
    Exponential,
    Flat,
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    Jeffreys,
    LogNormal,
    LogStudentT,
    Normal,
    Prior,
    StudentT,
    Truncated,
    Uniform,
)

__all__ = [
    "Cauchy",
    "Cochrane",
    "Exponential",
    "Flat",
    "HalfCauchy",
    "HalfNormal",
    "HalfStudentT",
    "InverseGamma",
    "Jeffreys",
    "LogNormal",
    "LogStudentT",
    "Normal",
    "Prior",
    "Rhodes2015",
    "StudentT",
    "Truncated",
    "Turner2015",
    "Uniform",
    "from_dict",
    "parse",
    "resolve",
    "to_dict",
]

_FAMILIES: dict[str, type[Prior]] = {
    cls.name: cls
    for cls in (
        Normal,
        StudentT,
        Cauchy,
        HalfNormal,
        HalfStudentT,
        HalfCauchy,
        LogNormal,
        LogStudentT,
        InverseGamma,
        Exponential,
        Uniform,
        Truncated,
        Flat,
        Jeffreys,
        Rhodes2015,
        Turner2015,
        Cochrane,
    )
}


def _family(name: str) -> type[Prior]:
    if name not in _FAMILIES:
        near = difflib.get_close_matches(name, _FAMILIES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ModelError(f"unknown prior {name!r}.{hint} Allowed: {', '.join(sorted(_FAMILIES))}.")
    return _FAMILIES[name]


def _build(name: str, args: list[Any], kwargs: dict[str, Any]) -> Prior:
    cls = _family(name)
    fields = [f.name for f in dataclasses.fields(cls)]
    required = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
    given = {**dict(zip(fields, args, strict=False)), **kwargs}
    unknown = [key for key in kwargs if key not in fields]
    missing = [key for key in required if key not in given]
    if len(args) > len(fields) or unknown or missing:
        problem = (
            f"unknown field {unknown[0]!r}"
            if unknown
            else f"missing field {missing[0]!r}"
            if missing
            else f"{len(args)} values are too many"
        )
        raise ModelError(f"{name}: {problem}. Its fields are ({', '.join(fields)}).")
    return cls(**given)


def from_dict(spec: dict[str, Any]) -> Prior:
    """Read a prior from its table form, ``{"dist": "halfnormal", "scale": 0.5}``.

    Raises
    ------
    ModelError
        If the table is no prior; the message lists the families, or their fields.

    Examples
    --------
    >>> from_dict({"dist": "halfnormal", "scale": 0.5})
    halfnormal(0.5)
    """
    if not isinstance(spec, dict) or not isinstance(spec.get("dist"), str):
        raise ModelError(f"{spec!r} is not a prior: give a table with 'dist' and its fields.")
    fields = {key: value for key, value in spec.items() if key != "dist"}
    fields = {key: from_dict(value) if isinstance(value, dict) else value for key, value in fields.items()}
    return _build(spec["dist"].lower(), [], fields)


def to_dict(prior: Prior) -> dict[str, Any]:
    """Write a prior in its table form, the inverse of `from_dict`.

    Examples
    --------
    >>> to_dict(Normal(0, 1))
    {'dist': 'normal', 'mean': 0.0, 'sd': 1.0}
    """
    values = {f.name: getattr(prior, f.name) for f in dataclasses.fields(prior)}
    return {"dist": prior.name, **{k: to_dict(v) if isinstance(v, Prior) else v for k, v in values.items()}}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError
        kwargs = {str(keyword.arg): _literal(keyword.value) for keyword in node.keywords}
        return _build(node.func.id.lower(), [_literal(arg) for arg in node.args], kwargs)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_literal(node.operand)
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    raise ValueError


def parse(text: str) -> Prior:
    """Read a prior from its text form; ``parse(repr(prior)) == prior``.

    Parameters
    ----------
    text : str
        For example ``"halfnormal(0.5)"``, ``"normal(mean=0, sd=1)"`` or ``"truncated(normal(0, 1), 0, inf)"``.

    Raises
    ------
    ModelError
        If the family or a field is unknown, missing or out of range; the message lists what is allowed.

    Examples
    --------
    >>> parse("truncated(cauchy(0, 0.5), 0, inf)")
    truncated(cauchy(0, 0.5), 0, inf)
    """
    try:
        value = _literal(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        value = None
    if not isinstance(value, Prior):
        raise ModelError(f"{text!r} is not a prior. Write it like halfnormal(0.5) or normal(0, 1).")
    return value
