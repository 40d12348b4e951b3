"""Names of a room that are imported when they are first used, so that a command pays only for what it needs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["exports"]


def exports(
    room: str, modules: Mapping[str, str], guard: str = ""
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package (PEP 562).

    Parameters
    ----------
    room : str
        ``__name__`` of the package.
    modules : mapping of str to str
        Module of the package, and the names that others may use of it, with spaces between them. Everything else is the
        room's own business.
    guard : str
        Module whose ``guarded`` wraps the functions, where users call them by the names of this package.

    Examples
    --------
    >>> get, names = exports("bayesmeta.priors", {"families": "Normal"})
    >>> names(), get("Normal")(0, 1)
    (['Normal'], normal(0, 1))
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{room}.{homes[name]}"), name)
        if guard:
            value = importlib.import_module(guard).guarded(value)
        # found at once from now on
        setattr(sys.modules[room], name, value)
        return value

    def names() -> list[str]:
        return sorted(homes)

    return get, names
