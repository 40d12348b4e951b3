"""Names that are imported when they are first used: of a room, and of what a room above does for one below."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["exports", "show_as_html", "shown_as_html"]

#: Module and function that make HTML of fits and analyses: stated by the package, which knows all rooms.
_html: list[tuple[str, str]] = []


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


def shown_as_html(module: str, name: str) -> None:
    """State which function shows fits and analyses in a notebook; it is imported when one is shown.

    Parameters
    ----------
    module, name : str
        The function takes the value and gives a text of HTML.
    """
    _html[:] = [(module, name)]


def show_as_html(value: Any) -> str | None:
    """Make the HTML of a value by the function that was stated; None where there is none, for its text to be shown.

    Examples
    --------
    >>> "mean effect" in show_as_html(fit)
    True
    """
    return next((str(getattr(importlib.import_module(module), name)(value)) for module, name in _html), None)
