"""How long it takes from a clone to the first forest plot, and to the first report of one's own table.

Run it as ``python3 tools/first_report.py``; it prints the table of docs/start.md. Everything happens in a temporary
folder; packages come from the installer's cache where it has them, as the last line says.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "setup" / "messy_trials.csv"
ANSWERS = ["--yes", "--better", "FACIT-F=higher", "--better", "BFI=lower", "--better", "PFS=lower"]
UV = [sys.executable, "-m", "uv"]


def steps(folder: Path) -> list[tuple[str, list[str], Path]]:
    """What is run, in words, as a command, and where."""
    clone, own = folder / "bayesmeta", folder / "own"
    # what `uv run bayesmeta` runs, in a folder of one's own
    program = str(clone / ".venv" / "bin" / "bayesmeta")
    forest = ["forest", "models/cancer_exercise.toml", "--outcome", "fatigue_short", "-o", "forest.svg"]
    return [
        ("git clone", ["git", "clone", "-q", str(ROOT), str(clone)], folder),
        ("uv sync", [*UV, "sync", "-q"], clone),
        ("**first forest plot**: forest", [*UV, "run", "-q", "bayesmeta", *forest], clone),
        ("init, with the answers as options", [program, "init", "trials.csv", *ANSWERS], own),
        ("check", [program, "check", "trials.toml"], own),
        ("**first report of one's own**: report", [program, "report", "trials.toml", "-o", "report"], own),
    ]


def main() -> None:
    """Run every step and print a line for each."""
    # an environment that is active would be taken for the clone's own
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    print("| step | seconds | since the start |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "own").mkdir()
        shutil.copy(TABLE, folder / "own" / "trials.csv")
        begun = time.perf_counter()
        for words, command, where in steps(folder):
            started = time.perf_counter()
            done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{words}: {done.stderr}")
            now = time.perf_counter()
            print(f"| {words} | {now - started:.0f} | {now - begun:.0f} |", flush=True)
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} processors; packages from the installer's cache.")


if __name__ == "__main__":
    main()
