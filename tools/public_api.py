"""Write tests/public_api.json and the pages of docs/reference/api from what the package exports.

Run: python3 -m uv run python tools/public_api.py

A test compares both with the package. A name that goes stays for one release as an alias that warns (docs/policy.md):
this refuses to drop one without an alias in `bayesmeta.RENAMED`, unless `--removed NAME` says that its time is over.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bayesmeta

ROOT = Path(__file__).parent.parent
FROZEN = ROOT / "tests" / "public_api.json"
PAGES = ROOT / "docs" / "reference" / "api"
#: Rooms by what a reader looks for; a new room that exports a public name is a line here.
THEMES = {
    "read": ("Tables, protocols and effects", ("studies", "effects", "protocol", "plan", "published")),
    "fit": (
        "Models and fits",
        ("model", "fits", "nuts", "joint", "marginals", "analysis"),
    ),
    "ask": ("Questions", ("questions", "moderators", "checking", "columns", "boundary")),
    "report": ("Reports and errors", ("report", "records", "errors")),
    "setup": ("Setting up, and other programs", ("setup",)),
    "sensitivity": ("Sensitivity analyses", ("sensitivity",)),
    "bias": ("Publication bias", ("bias",)),
    "priors": ("Priors", ("priors",)),
    "measures": ("Effect measures", ("measures",)),
    "classical": ("Classical methods", ("classical",)),
    "plots": ("Plots", ("plots",)),
}


def public() -> Iterator[tuple[str, Any]]:
    """Every name that people may use, as they write it after ``bm.``, and what it is."""
    for name in sorted(set(bayesmeta.__all__) - set(bayesmeta.ROOMS)):
        yield name, getattr(bayesmeta, name)
    for room in bayesmeta.ROOMS:
        module = importlib.import_module(f"bayesmeta.{room}")
        for name in sorted(set(dir(module))):
            if not name.startswith("_"):
                yield f"{room}.{name}", getattr(module, name)


def called_with(value: Any) -> str:
    """Give names, order and plain defaults of arguments; annotations may become wider without a break."""
    plain = (str, int, float, bool, type(None))
    parameters = [
        each.replace(
            annotation=each.empty,
            # what has no plain text (a function, a mapping) is there, and that is all
            default=each.default if each.default is each.empty or isinstance(each.default, plain) else ...,
        )
        for each in inspect.signature(value).parameters.values()
    ]
    return str(inspect.Signature(parameters)).replace("Ellipsis", "...")


def described(value: Any) -> dict[str, Any]:
    """Kind, arguments and, of a class, its public members."""
    if inspect.isclass(value):
        if issubclass(value, BaseException):
            return {"kind": "exception", "bases": [base.__name__ for base in value.__mro__[1:-2]]}
        members = sorted(name for name in dir(value) if not name.startswith("_"))
        return {"kind": "class", "signature": called_with(value), "members": members}
    if inspect.isroutine(value):
        return {"kind": "function", "signature": called_with(value)}
    return {"kind": "value"}


def frozen() -> dict[str, dict[str, Any]]:
    """Give the public names as they are now, in the form of the stored file."""
    return {name: described(value) for name, value in public()}


def pages() -> dict[str, str]:
    """Text of every page of the reference, by file name."""
    entries: dict[str, list[str]] = {theme: [] for theme in THEMES}
    values: dict[str, list[str]] = {theme: [] for theme in THEMES}
    places = {room: theme for theme, (_, rooms) in THEMES.items() for room in rooms}
    for name, value in public():
        room, _, short = name.rpartition(".")
        if inspect.isclass(value) or inspect.isroutine(value):
            entries[places[room or value.__module__.split(".")[1]]].append(f"::: {value.__module__}.{short}")
        elif room:
            values[places[room]].append(f"`{short}`")
    return {
        f"{theme}.md": "\n\n".join(
            [
                f"# {title}",
                f"From the docstrings. After `import bayesmeta as bm` {called(theme)}.",
                *([f"Values: {', '.join(values[theme])}."] if values[theme] else []),
                *entries[theme],
            ]
        )
        + "\n"
        for theme, (title, _) in THEMES.items()
    }


def called(theme: str) -> str:
    """Say how the names of a page are called."""
    if theme in bayesmeta.ROOMS:
        return f"names are `bm.{theme}.name`; those that `dir(bm)` lists are `bm.name` too"
    return "names are `bm.name`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--removed", action="append", default=[], metavar="NAME", help="its release has passed")
    removed = parser.parse_args().removed
    now = frozen()
    before = json.loads(FROZEN.read_text(encoding="utf-8")) if FROZEN.exists() else {}
    lost = sorted(set(before) - set(now) - set(bayesmeta.RENAMED) - set(removed))
    if lost:
        raise SystemExit(f"no longer public, and without an alias (docs/policy.md): {', '.join(lost)}")
    FROZEN.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
    print(f"{len(now)} public names")


if __name__ == "__main__":
    main()
