"""The help of the program, by what one wants to do; and what shells need to complete its commands."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer.core import TyperGroup

from bayesmeta.errors import find_name

PROGRAM = "bayesmeta"
_COMPLETE = f"_{PROGRAM.upper()}_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_SHELL_OPTIONS = ("--show-completion", "--install-completion")
_THIS_SHELL = "this"

#: Every command, in the order in which the help lists it (a test compares them with the app's).
GROUPS = {
    "Start": "init check template example explain doctor",
    "Fit": "pool fit joint borrow",
    "Question": "benefit compare profiles reanalyse",
    "Check": "ppc sensitivity bias influence multiverse forensics audit",
    "Draw": "forest mu-tau new-study icons heterogeneity benefit-curve funnel bubble curve outliers",
    "Publish": "report cite export",
}


class Grouped(TyperGroup):
    """Commands under headings, written without rich, which would take longer to load than to print."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the commands in the order of the help."""
        listed = " ".join(GROUPS.values()).split()
        return [*listed, *(name for name in super().list_commands(ctx) if name not in listed)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a list of commands for each group."""
        width = max(len(name) for name in self.list_commands(ctx))
        for heading, names in GROUPS.items():
            with formatter.section(heading):
                commands = ((name, self.get_command(ctx, name)) for name in names.split())
                # names are as wide as the widest of all, so that the columns of all groups are one
                formatter.write_dl(
                    [
                        (name.ljust(width), command.get_short_help_str(200))
                        for name, command in commands
                        if command is not None
                    ]
                )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let an option that may name a shell stand alone."""
        if args and args[-1] in _SHELL_OPTIONS:
            args = [*args, _THIS_SHELL]
        return super().parse_args(ctx, args)


def prepare_completion() -> None:
    """Know how shells ask for completions, where one asks."""
    if os.environ.get(_COMPLETE):
        from typer.completion import completion_init

        completion_init()


def _shell(name: str) -> str:
    if name != _THIS_SHELL:
        return find_name("shell", name, SHELLS)
    import shellingham

    try:
        return find_name("shell", shellingham.detect_shell()[0], SHELLS)
    except shellingham.ShellDetectionFailure:
        raise typer.BadParameter(f"the shell could not be recognised. Name one: {', '.join(SHELLS)}.") from None


def show_completion(name: str | None) -> None:
    """Print the script that a shell reads to complete commands and options."""
    if name is not None:
        from typer.completion import get_completion_script

        print(get_completion_script(prog_name=PROGRAM, complete_var=_COMPLETE, shell=_shell(name)))
        raise typer.Exit


def install_completion(name: str | None) -> None:
    """Write that script where the shell looks for it."""
    if name is not None:
        from typer.completion import install

        print(install(shell=_shell(name), prog_name=PROGRAM, complete_var=_COMPLETE)[1])
        raise typer.Exit
