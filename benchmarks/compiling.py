"""Where the seconds before the first draw go, with an empty and with a filled compile cache.

Run: python3 -m uv run python benchmarks/compiling.py

CPU seconds in new processes: imports; PyTensor's rewriting and code generation; numba's compilation of what nutpie
calls, which holds PyTensor's functions (kept on disk) and an entry of nutpie's own around them (compiled every time).
The last columns are another way in: the same functions from PyTensor's cache, called through Python by
`nutpie.compiled_pyfunc`, and what sampling (not CPU but elapsed seconds) then takes.
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
import nutpie.compile_pymc as inside
from nutpie.compiled_pyfunc import from_pyfunc
from pymc.initial_point import make_initial_point_fn
from bayesmeta.hierarchy import build_hierarchy
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
graph = build_graph(build_hierarchy(effects, model))
keep = list(graph.keep)


def sampling(compiled):
    begin = time.perf_counter()
    nutpie.sample(compiled, chains=4, draws=1000, tune=1000, seed=1, progress_bar=False, target_accept=0.9)
    return time.perf_counter() - begin


def point(model):
    return make_initial_point_fn(model=model, default_strategy="support_point", jitter_rvs=set(model.free_RVs),
                                 return_transformed=True)


begin = time.process_time()
dimension, _, density, expand, initial, (names, slices, shapes), _ = inside._make_functions(
    graph.model, mode="NUMBA", compute_grad=True, join_expanded=True, pymc_initial_point_fn=point(graph.model),
    var_names=keep)
rewriting = time.process_time() - begin
if sys.argv[2] == "python":
    begin = time.process_time()
    shared, shared_2 = ([np.array(v.get_value(), order="C") for v in f.get_shared()] for f in (density, expand))
    f, g = density.vm.jit_fn, expand.vm.jit_fn

    def log_density(x):
        value, gradient = f(x, *shared)
        return float(value), gradient

    def expanded(x):
        (values,) = g(x, *shared_2)
        return {name: values[part].reshape(shape) for name, part, shape in zip(names, slices, shapes)}

    log_density(initial(1)), expanded(initial(1))
    compiled = from_pyfunc(
        ndim=dimension, make_logp_fn=lambda: log_density, make_expand_fn=lambda *_: expanded,
        make_initial_point_fn=initial, expanded_dtypes=[np.dtype("float64")] * len(names), expanded_shapes=shapes,
        expanded_names=names)
    entry = time.process_time() - begin
else:
    begin = time.process_time()
    compiled = nutpie.compile_pymc_model(graph.model, backend="numba", var_names=keep)
    # it rewrites once more, which was timed above
    entry = time.process_time() - begin - rewriting
print(json.dumps([imports, rewriting, max(entry, 0.0), sampling(compiled)]))
"""


def measured(model: str, way: str, folder: str) -> list[float]:
    flags = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={folder}"}
    command = [sys.executable, "-c", CHILD, model, way]
    return json.loads(subprocess.run(command, env=flags, capture_output=True, check=True).stdout)


def main() -> None:
    print(f"{'':24}{'imports':>9}{'rewriting':>11}{'entry':>8}{'sampling':>10}{'entry by Python':>17}{'sampling':>10}"
          f"{'ratio of entries':>18}")  # fmt: skip
    for model in ("pooled", "regression", "Student"):
        for cache in ("empty", "filled"):
            ways = {}
            for way in ("nutpie", "python"):
                rounds = []
                for _ in range(2):
                    with tempfile.TemporaryDirectory() as folder:
                        if cache == "filled":
                            measured(model, way, folder)
                        rounds.append(measured(model, way, folder))
                ways[way] = np.min(rounds, axis=0)
            ours, other = ways["nutpie"], ways["python"]
            label = f"{model}, {cache} cache"
            print(f"{label:24}{ours[0]:7.2f} s{ours[1]:9.2f} s{ours[2]:6.2f} s{ours[3]:8.2f} s{other[2]:15.2f} s"
                  f"{other[3]:8.2f} s{ours[2] / other[2]:18.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
