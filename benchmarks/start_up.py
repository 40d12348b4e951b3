"""What the command line costs before and beside its answer.

Run: python3 -m uv run python benchmarks/start_up.py

`bayesmeta --help` against `--help` of an empty Typer app; `bayesmeta
pool` against importing what it needs; `pool` on 10,000 rows,
with its peak memory. Read the ratios; run twice, since the first run compiles bytecode.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

EMPTY = "import typer\napp = typer.Typer()\n@app.command()\ndef main() -> None:\n    'Nothing.'\napp()\n"
IMPORTS = "import typer, rich.table, numpy, pandas, scipy.special, scipy.linalg"
RUN = "import sys; sys.argv[0] = 'bayesmeta'; from bayesmeta_cli.main import run; run()"


def seconds(arguments: list[str], runs: int = 7) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        small, large = Path(folder, "small.csv"), Path(folder, "large.csv")
        for path, k in ((small, 20), (large, 10_000)):
            y, se = rng.normal(-0.3, 0.3, k), rng.uniform(0.1, 0.4, k)
            rows = "".join(f"trial {i},{a:.6f},{b:.6f}\n" for i, (a, b) in enumerate(zip(y, se, strict=True)))
            path.write_text("study,estimate,se\n" + rows, encoding="utf-8")
        pool = ["-c", RUN, "pool", str(small), "--measure", "SMD", "--better", "lower"]
        empty, help_, imports = (
            seconds(["-c", EMPTY, "--help"]),
            seconds(["-c", RUN, "--help"]),
            seconds(["-c", IMPORTS]),
        )
        pooled = seconds(pool)
        print(f"empty Typer app --help        {empty:6.2f} s")
        print(f"bayesmeta --help              {help_:6.2f} s   {help_ / empty:.2f} times the empty app")
        print(f"imports of pool alone         {imports:6.2f} s")
        print(f"bayesmeta pool, 20 rows       {pooled:6.2f} s   {pooled / imports:.2f} times its imports")
        start = time.perf_counter()
        pool[3] = str(large)
        # the measure of memory adds the start of one bare interpreter to the time
        command = [sys.executable, str(Path(__file__).with_name("peak.py")), sys.executable, *pool]
        done = subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        spent = time.perf_counter() - start
        print(f"bayesmeta pool, 10,000 rows   {spent:6.2f} s   {done.stderr.splitlines()[-1]} ({platform.machine()})")


if __name__ == "__main__":
    main()
