"""Write docs/reference/cli.md from the app: python3 -m uv run python tools/cli_reference.py

A test compares the page with what this writes, so that a new command or option needs one run of it.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import typer.main

from bayesmeta_cli.main import app

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"
HEAD = """# Commands

Written from the program by `tools/cli_reference.py`; `bayesmeta COMMAND --help` prints the same. Commands, options and
files are the same on Windows, macOS and Linux.

Results go to stdout, messages to stderr. Exit codes: 0 fine, 1 a bug, 2 usage or no such file, 3 protocol or data,
4 inference, 5 computed but not reportable, 130 stopped.
"""


def cell(text: str) -> str:
    """Keep a text inside one cell of a table."""
    return html.escape(text, quote=False).replace("|", "&#124;")


def names(parameter: Any) -> str:
    """Give an option as it is typed, or an argument by its name."""
    if parameter.param_type_name == "argument":
        return parameter.metavar or parameter.name.upper()
    typed = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return typed if parameter.is_flag else f"{typed} {parameter.metavar or 'TEXT'}"


def section(name: str, command: Any) -> str:
    """Write one command: usage, what it does, arguments and options."""
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    usage = " ".join(names(item) if item.required else f"[{names(item)}]" for item in arguments)
    rows = []
    for item in command.params:
        said = cell(" ".join((item.help or "").split())) + (" Needed." if item.required else "")
        rows.append(f"| <code>{cell(names(item))}</code> | {said} |")
    lines = [f"## {name}", "", f"`{' '.join(f'bayesmeta {name} {usage}'.split())} [OPTIONS]`", ""]
    lines += [" ".join(paragraph.split()) + "\n" for paragraph in (command.help or "").split("\n\n")]
    return "\n".join([*lines, "| argument or option | what it says |", "|---|---|", *rows, ""])


def written() -> str:
    """Give the whole page."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n".join([HEAD, *(section(name, command) for name, command in commands.items() if not command.hidden)])


def main() -> None:
    PAGE.write_text(written(), encoding="utf-8")
    print(f"{PAGE}: {written().count(chr(10) + '## ')} commands")


if __name__ == "__main__":
    main()
