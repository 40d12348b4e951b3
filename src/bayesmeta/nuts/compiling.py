"""A PyMC graph as machine code that nutpie calls: log density with gradient, and the variables that are kept.

PyTensor compiles both to numba functions, which it keeps on disk. nutpie's own way in (``compile_pymc_model``) wraps
them in a further numba function, which is compiled anew in every process, takes longer than all the rest, and stays in
numba's registries for as long as the process lives. Here nutpie calls PyTensor's functions through Python: some
microseconds more per gradient, no memory that stays, and the same draws (``benchmarks/compiling.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Compiled", "Graph", "compile_graph"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Graph:
    """A PyMC model, the data that were put into it, and the names of the variables to keep."""

    model: Any
    data: Mapping[str, FloatArray]
    keep: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A compiled function of a point and of the model's data.

    Attributes
    ----------
    call : callable
        Takes the point and the data in the order of ``data``; gives a tuple of arrays. It keeps nothing between calls,
        so that several threads may call it at once.
    data : tuple of str
    """

    call: Callable[..., tuple[Any, ...]]
    data: tuple[str, ...]

    def values(self, data: Mapping[str, Any]) -> list[NDArray[Any]]:
        """Put data in the order and the form that the function takes."""
        return [np.array(data[name], dtype=float, order="C") for name in self.data]


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A compiled model; its data are given with every run.

    Attributes
    ----------
    model : pymc.Model
    keep : tuple of str
        Variables whose draws are kept.
    free : tuple of (str, tuple of int)
        Names and shapes of what is sampled, on the scale on which it is sampled.
    density : Function
        Log density and its gradient, of shape (n,).
    kept : Function
        Values of ``keep``.
    start : callable
        Gives a random start by name, from a seed; it reads the data that the model holds.
    """

    model: Any
    keep: tuple[str, ...]
    free: tuple[tuple[str, tuple[int, ...]], ...]
    density: Function
    kept: Function
    start: Callable[[int], Mapping[str, NDArray[Any]]]

    def with_data(self, data: Mapping[str, Any]) -> Any:
        """Give nutpie's model of these data.

        Where sampling starts depends on the data and the seed alone, not on what was sampled before.
        """
        import pymc as pm
        from nutpie.compiled_pyfunc import from_pyfunc

        with self.model:
            pm.set_data(dict(data))
        density, of_density = self.density.call, self.density.values(data)
        kept, of_kept, names = self.kept.call, self.kept.values(data), self.keep
        lock = Lock()

        def log_density(point: FloatArray) -> tuple[float, FloatArray]:
            value, gradient = density(point, *of_density)
            return float(value), gradient

        def expand(point: FloatArray) -> dict[str, FloatArray]:
            return dict(zip(names, kept(point, *of_kept), strict=True))

        def start(seed: int) -> FloatArray:
            # one function for all chains, and it writes into places of its own
            with lock:
                found = self.start(seed)
            return np.concatenate([np.asarray(found[name], float).ravel() for name, _ in self.free])

        values = expand(start(0))
        return from_pyfunc(
            ndim=sum(int(np.prod(shape)) for _, shape in self.free),
            make_logp_fn=lambda: log_density,
            make_expand_fn=lambda *_: expand,
            expanded_dtypes=[np.dtype("float64")] * len(names),
            expanded_shapes=[values[name].shape for name in names],
            expanded_names=list(names),
            make_initial_point_fn=start,
        )


def compile_graph(graph: Graph) -> Compiled:
    """Compile a graph, or load its functions from PyTensor's cache on disk."""
    import pymc as pm
    import pytensor.tensor as pt
    from pymc.initial_point import make_initial_point_fn
    from pymc.pytensorf import join_nonshared_inputs, rewrite_pregrad

    model = graph.model
    place = model.initial_point()
    kept = model.replace_rvs_by_values([model[name] for name in graph.keep])
    (density, *kept), point = join_nonshared_inputs(place, [rewrite_pregrad(model.logp()), *kept], model.value_vars)
    with model:
        first = pm.compile([point], [density, pt.grad(density, point)], mode="NUMBA")
        second = pm.compile([point], kept, mode="NUMBA")
    start = make_initial_point_fn(model=model, jitter_rvs=set(model.free_RVs))
    free = tuple((value.name, tuple(place[value.name].shape)) for value in model.value_vars)
    return Compiled(model, graph.keep, free, _function(first), _function(second), start)


def _function(made: Any) -> Function:
    """Take the machine code out of a PyTensor function, whose own storage serves one call at a time."""
    return Function(made.vm.jit_fn, tuple(item.name for item in made.get_shared()))
