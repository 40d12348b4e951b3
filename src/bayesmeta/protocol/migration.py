"""From one version of a protocol's keys to the next: which keys mean something else now, and the file rewritten."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bayesmeta.boundary import file_bytes, replaced
from bayesmeta.errors import Fault, ProtocolError
from bayesmeta.protocol.places import require_protocol

__all__ = ["changed_meanings", "migrate"]

_SCHEMA = 2
_MEANINGS = {
    "moderators": (
        "if it is numeric, the default prior of its slope is normal(0, 0.5) over two SDs of it over trials, whatever "
        "per is (it was normal(0, 0.25) per stated unit)",
        'To keep it, state priors.beta = {{ {name} = "normal(0, 0.25)" }}.',
    ),
    "missing": (
        'with "exclude" rows without a moderator stay in the pooled analysis and leave the moderated one alone (they '
        "left both)",
        "To leave them out of both, write exclude with a reason.",
    ),
    "rho": (
        "true effects of rows in which an arm has opposite roles have correlation -rho, and those of rows without a "
        "common arm none (it was rho for all rows of a trial)",
        "Nothing changes where all rows of a trial have one control arm.",
    ),
    "cluster": (
        "the classical check of the outcome is a multilevel model (it was REML + HKSJ, as if there were no clusters)",
        "No Bayesian number changes.",
    ),
    "thresholds": (
        "sizes of effect lie between all thresholds in order, and only what is below the smallest is little to no "
        "effect (each threshold had its own trivial effect)",
        "No probability of benefit or harm changes.",
    ),
}


def _table(value: Any) -> Mapping[str, Any]:
    """A table of keys; none where something else stands in its place, which is judged when the keys are read."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _tables(raw: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tables that state analyses, with their place."""
    yield "defaults", _table(raw.get("defaults"))
    yield from ((f"outcome.{key}", _table(table)) for key, table in _table(raw.get("outcome")).items())
    yield from ((f"sensitivity[{i}]", _table(table)) for i, table in enumerate(_list(raw.get("sensitivity"))))


def _inherited(raw: Mapping[str, Any], table: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A table inside of these keys, what is stated under defaults with it."""
    made: dict[str, Any] = {}
    for place in (_table(raw.get("defaults")), table):
        for key in keys:
            place = _table(place.get(key))
        made |= place
    return made


def _numeric(item: Any, beta: Mapping[str, Any]) -> str | None:
    """Name of a moderator whose slope has a default prior; of a bare name nothing says that it is no number."""
    if isinstance(item, str):
        return None if item in beta else item
    item = _table(item)
    name = item.get("name")
    categorical = (
        item.get("kind") == "categorical" or "reference" in item or "pooling" in item or item.get("curve") == "monotone"
    )
    return None if categorical or not isinstance(name, str) or name in beta else name


def changed_meanings(raw: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Keys of a protocol of schema 1 that mean something else in schema 2.

    Parameters
    ----------
    raw : mapping
        The tables of the file.

    Returns
    -------
    list of (key, what, remedy)

    Examples
    --------
    >>> [key for key, _, _ in changed_meanings({"defaults": {"moderators": [{"name": "weeks", "per": 4}], "rho": 0.7}})]
    ['defaults.moderators', 'defaults.rho']
    """
    found = []
    for place, table in _tables(raw):
        beta = _inherited(raw, table, "priors", "beta")
        references = _inherited(raw, table, "reference")
        for item in _list(table.get("moderators")):
            name = _numeric(item, beta)
            if name is not None and name not in references:
                what, remedy = _MEANINGS["moderators"]
                found.append((f"{place}.moderators", f"{name}: {what}", remedy.format(name=name)))
        if table.get("missing") == "exclude":
            found.append((f"{place}.missing", *_MEANINGS["missing"]))
        found += [(f"{place}.{key}", *_MEANINGS[key]) for key in ("rho", "cluster") if key in table]
        if len(_list(table.get("thresholds"))) > 1:
            found.append((f"{place}.thresholds", *_MEANINGS["thresholds"]))
    return found


def migrate(path: str | Path) -> list[str]:
    r"""Rewrite a protocol of schema 1 as schema 2, every other character as it is.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    list of str
        The keys that mean something else now, with what to do where the old meaning is wanted; empty if there is none.

    Raises
    ------
    ProtocolError
        If the file is no TOML, no protocol, or not of schema 1.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     path = Path(place) / "p.toml"
    ...     _ = path.write_text('schema = 1 # keys\n[defaults]\nrho = 0.7\n')
    ...     lines = migrate(path)
    ...     path.read_text().splitlines()[0], len(lines)
    ('schema = 2 # keys', 1)
    """
    path = Path(path)
    content = file_bytes(path).decode("utf-8-sig", errors="strict")
    try:
        raw = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise ProtocolError([Fault(path.name, f"not valid TOML: {error}", "Correct that place.")]) from error
    require_protocol(path, raw)
    if raw.get("schema") != 1:
        raise ProtocolError(
            [Fault(f"{path.name} key schema", f"{raw.get('schema')!r} is not 1", "Only schema 1 is migrated.")]
        )
    line = re.compile(r"^([ \t]*schema[ \t]*=[ \t]*)1\b", re.MULTILINE)
    changed, count = line.subn(rf"\g<1>{_SCHEMA}", content, count=1)
    if not count or tomllib.loads(changed).get("schema") != _SCHEMA:
        raise ProtocolError([Fault(f"{path.name} key schema", "its line was not found", "Write schema = 2 by hand.")])
    with replaced(path) as place:
        place.write_bytes(changed.encode("utf-8"))
    return [f"{key}: {what}. {remedy}" for key, what, remedy in changed_meanings(raw)]
