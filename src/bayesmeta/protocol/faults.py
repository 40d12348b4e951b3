"""What is wrong with a protocol, collected: pydantic's errors as rules and remedies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from bayesmeta.errors import Fault, ModelError, ProtocolError, pick
from bayesmeta.plan import parse_moderators
from bayesmeta.protocol.values import PUBLISHED, BrokenRuleError, priors_value

__all__ = ["Faults", "check_section", "dotted"]


class Faults:
    """The faults found so far; the same fault found twice (in inherited defaults) is one."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: dict[tuple[str, str], Fault] = {}

    def add(self, key: str, what: str, remedy: str) -> None:
        """Note a fault at a key."""
        where = f"{self.file} key {key}" if key else self.file
        self.found.setdefault((where, what), Fault(where, what, remedy))

    def raise_if_any(self) -> None:
        """Raise all of them at once."""
        if self.found:
            raise ProtocolError(self.found.values())


def dotted(parts: Iterable[str | int], start: str = "") -> str:
    """Write a place in nested tables as ``a.b[0].c``."""
    text = start
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for item in get_args(annotation) if (model := _nested(item)) is not None), None)


def _allowed(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        model = (field and _nested(field.annotation)) or model
    return [field.alias or name for name, field in model.model_fields.items()]


_WRONG_TYPE = {
    "string_type": "text",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list [ ... ]",
    "dict_type": "a table { ... }",
    "model_type": "a table { ... }",
    "finite_number": "a finite number",
    "string_too_short": "a text of at least one character",
}


def _explain(error: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, str]:
    """Turn one of pydantic's errors into a rule and a remedy."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if isinstance(rule := context.get("error"), BrokenRuleError):
        return rule.what, rule.remedy
    if kind == "extra_forbidden":
        allowed = _allowed(model, error["loc"])
        return f"{error['loc'][-1]!r} is not a key here", pick(str(error["loc"][-1]), allowed)
    if kind == "missing":
        return "the key is missing", "Add it."
    if kind == "literal_error":
        return f"{value!r} is not allowed", f"Allowed: {context['expected'].replace(' or ', ', ')}."
    if kind in _WRONG_TYPE:
        return f"{value!r} is not {_WRONG_TYPE[kind]}", "Correct the value."
    if kind == "string_pattern_mismatch":
        return f"{value!r} is not a SHA-256 (64 hexadecimal digits)", "`bayesmeta check --pin` writes it."
    signs = {
        "greater_than": (">", "gt"),
        "greater_than_equal": (">=", "ge"),
        "less_than": ("<", "lt"),
        "less_than_equal": ("<=", "le"),
    }
    if kind in signs:
        sign, bound = signs[kind]
        return f"{value!r} is not {sign} {context[bound]:g}", "Correct the value."
    return f"{value!r}: {error['msg'].lower()}", "Correct the value."


def compiled(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Write moderators and priors that are stated as text as the keys that they stand for; faulty text stays."""
    found = dict(raw)
    if found.get("priors") == PUBLISHED:
        found["priors"] = priors_value(PUBLISHED)
    text = found.get("moderators")
    if isinstance(text, str) and "interactions" not in found:
        try:
            names, pairs = parse_moderators(text)
        except ModelError:
            return found
        found |= {"moderators": list(names), "interactions": list(pairs)}
    return found


def check_section[M: BaseModel](
    model: type[M], raw: Any, key: str, faults: Faults
) -> tuple[M, dict[str, Any], set[str]]:
    """Check one table; keys with faults are left out, so that the rest of it can be checked further.

    Returns the checked table, the raw keys that were sound, and the names of those that were not.
    """
    broken: set[str] = set()
    if not isinstance(raw, dict):
        faults.add(key, f"{raw!r} is not a table", f"Write [{key}] and its keys below it.")
        raw = {}
    sound = compiled(raw)
    while True:
        try:
            return model.model_validate(sound), sound, broken
        except ValidationError as error:
            for item in error.errors(include_url=False):
                what, remedy = _explain(item, model)
                faults.add(dotted(item["loc"], key), what, remedy)
                broken.add(str(item["loc"][0]))
            sound = {name: value for name, value in sound.items() if name not in broken}
