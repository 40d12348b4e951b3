"""How long the whole report of the cancer protocol takes, beside its fits alone, and how large the page is.

Run: python3 -m uv run python benchmarks/report.py

Machines differ and are noisy: the ratio is to `bayesmeta fit` of the same protocol in the same run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTOCOL = ROOT / "models" / "cancer_exercise.toml"


def seconds(command: str, folder: Path) -> float:
    """Run a command of the protocol in a process of its own, once."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "bayesmeta_cli.main", command, str(PROTOCOL), "-o", str(folder)],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - start


def main() -> None:
    """Print both, the second of two runs each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {}
        for command in ("fit", "report"):
            seconds(command, folder / command)
            found[command] = seconds(command, folder / command)
        size = (folder / "report" / "index.html").stat().st_size / 1e6
    print(f"{'fit, 12 outcomes':24}{found['fit']:7.1f} s")
    print(f"{'report, 12 outcomes':24}{found['report']:7.1f} s   {found['report'] / found['fit']:.1f} times")
    print(f"{'index.html':24}{size:7.2f} MB")


if __name__ == "__main__":
    main()
