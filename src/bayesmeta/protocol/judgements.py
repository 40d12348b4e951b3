"""A file of a panel's judgements, as the report's page saves it or as people write it, to `Judgements`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from bayesmeta.boundary import file_bytes, require_plain_values
from bayesmeta.errors import DataError, Fault, pick
from bayesmeta.plan import DOMAINS, Judgement, Judgements, Protocol, concerns_of
from bayesmeta.protocol.faults import Faults, check_section

__all__ = ["read_judgements"]

_Text = Annotated[str, StringConstraints(strip_whitespace=True)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class JudgementKeys(_Keys):
    """What is said of one outcome."""

    certainty: Literal["high", "moderate", "low", "very low"] | None = None
    domains: dict[str, _Text] = {}
    reasons: dict[str, _Text] = {}
    threshold: _Text = ""


class FileKeys(_Keys):
    """The file."""

    schema_version: Literal[1] = 1
    panel: _Text = ""
    date: _Text = ""
    data: _Text = ""
    outcomes: dict[str, Any] = {}


def read_judgements(path: str | Path, protocol: Protocol | None = None) -> Judgements:
    r"""Read the judgements of a panel and check every one.

    Parameters
    ----------
    path : str or Path
        JSON, as the report's page saves it, or TOML with the same keys: ``panel``, ``date``, and by outcome
        ``[outcomes.pain]`` its ``certainty``, ``domains``, ``reasons`` and ``threshold`` (`bayesmeta.plan.Judgement`).
    protocol : Protocol, optional
        Whose outcomes they are of.

    Raises
    ------
    ProtocolError
        With all faults: what is no key, no domain, no word of that domain, no outcome of the protocol.
    DataError
        For a file that is neither JSON nor TOML.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     file = Path(place) / "panel.toml"
    ...     _ = file.write_text('[outcomes.pain]\ncertainty = "low"\ndomains = {imprecision = "serious"}')
    ...     read_judgements(file).of("pain")
    Judgement(certainty='low', domains={'imprecision': 'serious'}, reasons={}, threshold='')
    """
    path = Path(path)
    faults = Faults(path.name)
    keys, _, _ = check_section(FileKeys, _content(path), "", faults)
    found = {}
    for key, raw in keys.outcomes.items():
        place = f"outcomes.{key}"
        if protocol is not None and key not in protocol.outcomes:
            faults.add(place, f"{key!r} is not an outcome of {protocol.path.name}", pick(key, protocol.outcomes))
        told, _, _ = check_section(JudgementKeys, raw, place, faults)
        for domain, word in told.domains.items():
            if domain not in DOMAINS:
                faults.add(f"{place}.domains", f"{domain!r} is not a domain", pick(domain, DOMAINS))
            elif word not in concerns_of(domain):
                faults.add(f"{place}.domains.{domain}", f"{word!r} is not allowed", pick(word, concerns_of(domain)))
        for name in told.reasons:
            if name not in (*DOMAINS, "certainty"):
                faults.add(f"{place}.reasons", f"{name!r} is not a domain", pick(name, (*DOMAINS, "certainty")))
        found[key] = Judgement(told.certainty, told.domains, told.reasons, told.threshold)
    faults.raise_if_any()
    return Judgements(found, keys.panel, keys.date, keys.data)


def _content(path: Path) -> Any:
    content = file_bytes(path)
    try:
        text = content.decode("utf-8-sig")
        found = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "not valid TOML" if path.suffix.lower() == ".toml" else "not valid JSON"
        raise DataError(
            [Fault(path.name, f"{what}: {error}", "Save it from the report's page, or correct it.")]
        ) from error
    require_plain_values(found, path.name)
    return found
