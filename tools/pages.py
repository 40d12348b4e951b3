"""Read the pages of docs, and run what stands in them.

A block is run by its language:

- ``console``: lines that begin with ``$ `` are commands, what follows is what they print; a line ``...`` stands for any
  output between. A command whose output shows ``error:`` must fail, every other must end well.
- ``python``: in one namespace per page; a ``text`` block right after it is what it prints.
- ``pycon``: as a doctest.
- ``csv``, ``toml`` and ``json`` with ``title="NAME"``: a file that the commands of the page use; without, it is parsed.
- ``sh``, ``powershell``, ``r``, ``stata``: for other machines and programs; `OTHER` says who looks at them.

Blocks below the line ``<!-- build only -->`` take longer than a test may: tools/site.py runs them.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import textwrap
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
#: Languages that are not run here, and what looks at them.
OTHER = {
    "sh": "tools/release.py installs the wheel by the same commands",
    "powershell": "Windows only",
    "r": "tools/site.py, where R with its packages is found",
    "stata": "Stata only",
}
#: Commands that pages show and that this version does not have, with the reason: blocks with one are not run.
PENDING: dict[str, str] = {}
RUN = ("console", "python", "pycon", "text", "csv", "toml", "json")
BUILD_ONLY = "<!-- build only -->"
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)
OUTPUT = re.compile(r"\s*^ *```text\n(?P<code>.*?)^ *```$", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code of a page.

    Attributes
    ----------
    language, code : str
    line : int
        Of the page.
    title : str
        Name of the file that it is; empty where it is none.
    printed : str or None
        Of Python and R: what a ``text`` block below says that it prints.
    build_only : bool
        Whether it takes longer than a test may.
    """

    language: str
    code: str
    line: int
    title: str = ""
    printed: str | None = None
    build_only: bool = False


def all_pages() -> list[Path]:
    """Every page of the site."""
    return sorted(DOCS.rglob("*.md"))


def blocks(text: str) -> Iterator[Block]:
    """Give the blocks of a page in order."""
    found = list(BLOCK.finditer(text))
    shown = set()
    for position, match in enumerate(found):
        if position in shown:
            continue
        printed = None
        # what is printed follows at once
        if match["language"] in ("python", "r") and (output := OUTPUT.match(text, match.end())):
            printed = textwrap.dedent(output["code"])
            shown.add(position + 1)
        title = TITLE.search(match["options"])
        yield Block(
            match["language"],
            textwrap.dedent(match["code"]),
            text[: match.start()].count("\n") + 1,
            title[1] if title else "",
            printed,
            text[: match.start()].rstrip().endswith(BUILD_ONLY),
        )


def commands(code: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block with what it prints."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def compare(expected: str, printed: str) -> None:
    """Ask that each part of an output, between lines ``...``, was printed, in order."""
    position = 0
    for part in re.split(r"^\.\.\.\n", expected, flags=re.MULTILINE):
        wanted = part.strip("\n")
        found = printed.find(wanted, position)
        assert found >= 0, f"{wanted}\n\nis not in\n\n{printed[position:]}"
        position = found + len(wanted)


def call(words: Sequence[str]) -> tuple[int, str]:
    """Run a command of bayesmeta in this process; give its exit code and what a terminal of 80 columns shows."""
    from bayesmeta_cli.main import main

    results, messages = io.StringIO(), io.StringIO()
    terminal = mock.patch.dict(os.environ, {"NO_COLOR": "1", "COLUMNS": "80"})
    with terminal, contextlib.redirect_stdout(results), contextlib.redirect_stderr(messages):
        code = main(list(words))
    # messages are one line each, which a terminal wraps
    wrapped = [textwrap.fill(line, 80) for line in messages.getvalue().splitlines()]
    return code, "\n".join([results.getvalue(), *wrapped])


def run_console(block: Block) -> None:
    """Run the commands of a block."""
    for command, expected in commands(block.code):
        program, *words = shlex.split(command)
        assert program == "bayesmeta", command
        code, printed = call(words)
        assert (code != 0) == ("error:" in expected), f"{command}\nended with {code}\n{printed}"
        compare(expected, printed)


def furnish(folder: Path) -> None:
    """Put into a folder what pages may use: models, data, references to read, and a table as people send it."""
    for name in ("models", "data"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "tests").symlink_to(ROOT / "tests")
    shutil.copy(ROOT / "tests" / "setup" / "messy_trials.csv", folder / "messy.csv")
    # a stored fit by draws, for pages that would else sample
    shutil.copy(ROOT / "tests" / "reference" / "pinned_0_1_0" / "fits" / "nuts_pooled.nc", folder / "sampled.nc")


def run_page(text: str, folder: Path, *, build_only: bool = False) -> int:
    """Run the blocks of a page in a folder that is furnished; give how many were run.

    Parameters
    ----------
    text : str
        The page.
    folder : Path
        Becomes the working directory.
    build_only : bool
        Run those that take long, too.
    """
    names: dict[str, Any] = {}
    number = 0
    before = Path.cwd()
    os.chdir(folder)
    try:
        for block in blocks(text):
            if block.language in OTHER or (block.build_only and not build_only):
                continue
            if any(f"$ bayesmeta {name} " in block.code for name in PENDING):
                continue
            try:
                _run_block(block, names)
            except Exception as error:
                raise AssertionError(f"line {block.line}: {error}") from error
            number += 1
    finally:
        os.chdir(before)
    return number


def _run_block(block: Block, names: dict[str, Any]) -> None:
    if block.language == "console":
        run_console(block)
    elif block.language == "python":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + block.code, "page", "exec"), names)
        if block.printed is not None:
            shown, given = (
                "\n".join(map(str.rstrip, part.splitlines())) for part in (block.printed, printed.getvalue())
            )
            compare(shown + "\n", given + "\n")
    elif block.language == "pycon":
        test = doctest.DocTestParser().get_doctest(block.code, names, "page", None, block.line)
        output: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        runner.run(test, out=output.append, clear_globs=False)
        assert runner.summarize(verbose=False).failed == 0, "".join(output)
        names.update(test.globs)
    elif block.title:
        Path(block.title).write_text(block.code, encoding="utf-8")
    elif block.language == "toml":
        tomllib.loads(block.code)
    elif block.language == "json":
        json.loads(block.code)
