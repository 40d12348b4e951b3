"""How long `bayesmeta pool` takes with the size of a table, and what memory it needs.

Run: python3 -m uv run python benchmarks/large_table.py [ROWS ...]

Machines differ: read how the time grows with the rows. One process per size, with the start of the program.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def table(path: Path, rows: int) -> None:
    rng = np.random.default_rng(rows)
    lines = [f"T{i},{rng.normal(-0.3, 0.4):.4f},{rng.uniform(0.1, 0.5):.4f}" for i in range(rows)]
    path.write_text("\n".join(["study,estimate,se", *lines]), encoding="utf-8")


def main(sizes: list[int]) -> None:
    print(f"{'rows':>8}  {'seconds':>8}  per row in ms  memory")
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            path = Path(folder) / f"{rows}.csv"
            table(path, rows)
            command = ["bayesmeta", "pool", str(path), "--measure", "SMD", "--better", "lower"]
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, str(HERE / "peak.py"), *command], capture_output=True, text=True, check=True
            )
            seconds = time.perf_counter() - start
            print(f"{rows:8}  {seconds:8.1f}  {1e3 * seconds / rows:13.3f}  {done.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [1_000, 10_000, 100_000])
