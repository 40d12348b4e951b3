"""The commands and the Python session of the README, and the commands of docs, run as they stand there."""

from __future__ import annotations

import doctest
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from references import ROOT
from sampled import INFERENCE, other_draws

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("sensitivity.md",)]
CONSOLE = [
    block for text in (TEXT, *DOCS) for block in re.findall(r"```console\n\$ (.*?)\n(.*?)```", text, flags=re.DOTALL)
]
SCRIPTS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
SESSIONS = re.findall(r"```pycon\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("models", "data"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_is_something_to_run() -> None:
    assert len(CONSOLE) >= 1
    assert len(SESSIONS) == len(SCRIPTS) == 1


def test_the_script_goes_from_the_table_to_the_report(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (script,) = SCRIPTS
    assert len(script.replace("\n\n", "\n").strip().splitlines()) <= 12
    exec(script, {})
    printed = capsys.readouterr().out
    for words in ("mean effect", "REML + HKSJ", "important benefit", "new study"):
        assert words in printed
    assert (project / "forest.png").stat().st_size > 10_000
    page = (project / "report" / "index.html").read_text(encoding="utf-8")
    assert "Without a protocol, these defaults were assumed: mu normal(0, 1)" in page


@pytest.mark.parametrize(("command", "expected"), CONSOLE)
def test_commands_print_what_the_readme_shows(command: str, expected: str, project: Path) -> None:
    from bayesmeta_cli.main import app

    words = command.split()
    assert words[0] == "bayesmeta"

    def run() -> Any:
        return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"}).invoke(app, words[1:])

    result = run()
    if result.exit_code == INFERENCE:
        with other_draws(1000):
            result = run()
    assert result.exit_code == 0, result.output
    sampled = "robust" in command
    position = 0
    for part in expected.split("...\n"):
        position = after(part.strip("\n"), result.stdout, position, one_off=sampled)


NUMBER = re.compile(r"\d+(?:\.\d+)?")


def after(part: str, text: str, start: int, *, one_off: bool) -> int:
    """Find a part of a text, and give where it ends.

    Draws differ from processor to processor: where they were printed each number may be one off in its last digit.
    """
    if not one_off:
        found = text.find(part, start)
        assert found >= 0, part
        return found + len(part)
    pattern = NUMBER.sub("@", re.escape(NUMBER.sub("@", part))).replace("@", f"({NUMBER.pattern})")
    for match in re.compile(pattern).finditer(text, start):
        shown = NUMBER.findall(part)
        if all(
            abs(float(a) - float(b)) <= 1.01 * 10.0 ** -len(a.partition(".")[2])
            for a, b in zip(shown, match.groups(), strict=True)
        ):
            return match.end()
    raise AssertionError(f"{part}\n\nin\n\n{text[start:]}")


def test_session_prints_what_the_readme_shows(project: Path) -> None:
    test = doctest.DocTestParser().get_doctest(SESSIONS[0], {}, "README", "README.md", 0)
    assert len(test.examples) > 8
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(test, out=output.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(output)


def test_every_command_of_the_readme_exists() -> None:
    from bayesmeta_cli.main import app

    known = {
        command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands
    }
    named = set(
        re.findall(r"`(?:bayesmeta )?([a-z-]+)(?: [A-Z][^`]*)?`", TEXT.split("| command |")[1].split("\n\n")[0])
    )
    assert {"fit", "compare", "benefit", "sensitivity"} <= named
    assert {name.replace("_", "-") for name in known} >= named
