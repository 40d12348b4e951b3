"""Compile once per shape, sample, and give the sampler's statistics the names that ArviZ reads."""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesmeta.errors import InferenceError, ModelError

if TYPE_CHECKING:
    from bayesmeta.nuts.compiling import Compiled

__all__ = ["SamplerOutput", "Settings", "run", "versions"]

FloatArray = NDArray[np.float64]
#: Compiled models that are kept, the least recently used forgotten first. A protocol has at most a handful of shapes
#: (the twelve outcomes of the cancer review have two), each is 10 to 60 MB of machine code, and one that is needed
#: again comes from PyTensor's cache on disk in about a second.
KEPT = 8
_COMPILED: OrderedDict[Any, Compiled] = OrderedDict()
# what nutpie calls a statistic, and what ArviZ and PyMC call it
_STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "mean_tree_accept": "acceptance_rate",
    "logp": "lp",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How the sampler is run.

    Parameters
    ----------
    chains, draws, tune : int
        Draws and warm-up draws are per chain.
    target_accept : float
        Acceptance that the step size is tuned to; a fit that diverges is run once more with `retry_accept`.
    retry_accept : float
    max_depth : int
        Of the trajectory's tree; 10 is 1023 steps.
    progress : bool
        Show what is being done, where stderr is a terminal.

    Examples
    --------
    >>> Settings(draws=2000).chains
    4
    """

    chains: int = 4
    draws: int = 1000
    tune: int = 1000
    target_accept: float = 0.9
    retry_accept: float = 0.99
    max_depth: int = 10
    progress: bool = False

    def __post_init__(self) -> None:
        for name, least in (("chains", 2), ("draws", 100), ("tune", 100), ("max_depth", 1)):
            if getattr(self, name) < least:
                raise ModelError(f"{name} = {getattr(self, name)}: at least {least}.")
        for name in ("target_accept", "retry_accept"):
            if not 0 < getattr(self, name) < 1:
                raise ModelError(f"{name} = {getattr(self, name)} is not between 0 and 1.")


@dataclass(frozen=True, slots=True, eq=False)
class SamplerOutput:
    """Draws by variable, shape ``(..., chains, draws)``, and the sampler's statistics, ``(chains, draws)``."""

    draws: Mapping[str, FloatArray]
    stats: Mapping[str, FloatArray]


@contextmanager
def _status(text: str, shown: bool) -> Iterator[None]:
    if not (shown and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def compiled(key: Any, build: Any, progress: bool) -> Compiled:
    """Compile the model of a shape, or find it compiled.

    Parameters
    ----------
    key : hashable
        What decides the shape of the graph.
    build : callable
        Makes the `Graph`.
    """
    if key not in _COMPILED:
        from bayesmeta.nuts.compiling import compile_graph

        graph = build()
        with _status("compiling the model", progress), warnings.catch_warnings():
            # numba and pytensor speak of their own future; nothing of it concerns the numbers
            warnings.simplefilter("ignore")
            _COMPILED[key] = compile_graph(graph)
        if len(_COMPILED) > KEPT:
            _COMPILED.popitem(last=False)
    _COMPILED.move_to_end(key)
    return _COMPILED[key]


def run(
    key: Any, build: Any, data: Mapping[str, FloatArray], settings: Settings, seed: int, accept: float
) -> SamplerOutput:
    """Sample a model.

    Raises
    ------
    InferenceError
        Where no start with a finite density is found.
    """
    import nutpie

    model = compiled(key, build, settings.progress)
    shown = settings.progress and sys.stderr.isatty()
    try:
        sampler = nutpie.sample(
            model.with_data(data),
            chains=settings.chains,
            draws=settings.draws,
            tune=settings.tune,
            seed=seed,
            save_warmup=False,
            progress_bar=shown,
            target_accept=accept,
            maxdepth=settings.max_depth,
            # chains that call through Python wait for each other: one after the other they take half the time
            cores=1,
            blocking=False,
        )
        try:
            tree = sampler.wait()
        except BaseException:
            # an interrupted run must not pass for a finished one
            sampler.cancel()
            raise
    except (RuntimeError, ValueError) as error:
        raise InferenceError(
            f"sampling did not start or broke off ({' '.join(str(error).split())[:200]}). Check the scale of the data "
            "and of the priors."
        ) from error
    posterior, statistics = tree["posterior"], tree["sample_stats"]
    draws = {name: np.moveaxis(np.asarray(posterior[name].values, float), (0, 1), (-2, -1)) for name in model.keep}
    stats = {
        ours: np.asarray(statistics[theirs].values) for theirs, ours in _STATISTICS.items() if theirs in statistics
    }
    return SamplerOutput(draws, stats)


def versions() -> dict[str, str]:
    """Versions of what the draws depend on."""
    return {name: metadata.version(name) for name in ("pymc", "pytensor", "nutpie", "numba")}
