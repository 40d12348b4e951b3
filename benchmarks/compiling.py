"""Where the seconds before the first draw go, with an empty and with a filled compile cache.

Run: python3 -m uv run python benchmarks/compiling.py

CPU seconds in new processes: imports; the library's way from a graph to what nutpie calls (`bayesmeta.nuts.compiling`:
PyTensor's functions, kept on disk, called through Python), and nutpie's own (the same functions inside a further numba
function, which is compiled every time). What sampling 4 x 1000 draws then takes is elapsed seconds; memory is what the
process has at its end, after compiling the same model three times.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

CHILD = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
start = time.process_time()
import numpy as np
import bayesmeta as bm
import nutpie
from bayesmeta.nuts.rows import build_rows
from bayesmeta.nuts.compiling import compile_graph
from bayesmeta.nuts.graph import build_graph
from bayesmeta.priors import parse

imports = time.process_time() - start
k = 12
rng = np.random.default_rng(1)
effects = bm.Effects([f"trial {i}" for i in range(k)], rng.normal(size=k), rng.uniform(0.1, 0.4, k), measure="SMD",
                     moderators={"weeks": rng.uniform(4, 20, k), "type": np.array(list("abc" * 4), object)})
pooled = dict(mu=bm.Normal(0, 1), tau=bm.HalfNormal(0.5))
model = {
    "pooled": bm.Model(**pooled),
    "regression": bm.Model(**pooled, beta={"weeks": bm.Normal(0, 0.1), "type": bm.Normal(0, 0.5)}),
    "Student": bm.Model(**pooled, random=bm.StudentEffects(parse("truncated(exponential(0.1), 1, inf)"))),
}[sys.argv[1]]


def compiled():
    graph = build_graph(build_rows(effects, model))
    if sys.argv[2] == "library":
        return compile_graph(graph).with_data(graph.data)
    return nutpie.compile_pymc_model(graph.model, backend="numba", var_names=list(graph.keep))


begin = time.process_time()
made = compiled()
entry = time.process_time() - begin
begin = time.perf_counter()
nutpie.sample(made, chains=4, draws=1000, tune=1000, seed=1, progress_bar=False, target_accept=0.9)
sampling = time.perf_counter() - begin
again = [compiled() for _ in range(2)]
pages = int(open("/proc/self/statm").read().split()[1]) if sys.platform == "linux" else float("nan")
print(json.dumps([imports, entry, sampling, pages * 4096 / 1e6]))
"""


def measured(model: str, way: str, folder: str) -> list[float]:
    flags = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={folder}"}
    command = [sys.executable, "-c", CHILD, model, way]
    return json.loads(subprocess.run(command, env=flags, capture_output=True, check=True).stdout)


def main() -> None:
    print(
        f"{'':24}{'imports':>9}{'library':>10}{'sampling':>10}{'memory':>10}{'nutpie':>10}{'sampling':>10}{'memory':>10}"
        f"{'ratio':>8}"
    )
    for model in ("pooled", "regression", "Student"):
        for cache in ("empty", "filled"):
            ways = {}
            for way in ("library", "nutpie"):
                rounds = []
                for _ in range(2):
                    with tempfile.TemporaryDirectory() as folder:
                        if cache == "filled":
                            measured(model, way, folder)
                        rounds.append(measured(model, way, folder))
                ways[way] = np.min(rounds, axis=0)
            ours, other = ways["library"], ways["nutpie"]
            label = f"{model}, {cache} cache"
            columns = "".join(f"{w[1]:8.2f} s{w[2]:8.2f} s{w[3]:7.0f} MB" for w in (ours, other))
            print(f"{label:24}{ours[0]:7.2f} s{columns}{other[1] / ours[1]:8.1f}", flush=True)


if __name__ == "__main__":
    main()
