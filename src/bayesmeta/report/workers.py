"""Other processes that share the work, started while this one still imports what it needs."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.context import BaseContext

__all__ = ["begin", "count", "pool"]

#: Fewer outcomes than this are not worth starting other processes for.
FEW = 3
_LOADED = ["bayesmeta.sensitivity.robustness", "bayesmeta.plots", "bayesmeta.report.writing"]


def processors() -> int:
    """How many processors this process may use."""
    found = getattr(os, "process_cpu_count", os.cpu_count)()
    return int(found or 1)


def count(outcomes: int) -> int:
    """How many processes share so many outcomes; one is this one alone."""
    return min(outcomes, processors()) if outcomes >= FEW else 1


def begin(path: Path, names: Sequence[str]) -> None:
    """Start the process that others are forked from, where the protocol has enough outcomes.

    It loads what they need while this process reads the protocol, for which nothing heavy is imported here: what is
    wrong with the protocol is for its reader to say.
    """
    import tomllib

    try:
        outcomes = names or tomllib.loads(path.read_text(encoding="utf-8"))["outcome"]
        shared = count(len(outcomes)) > 1
    except (OSError, ValueError, KeyError, TypeError):
        return
    if shared and _context().get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()


def _context() -> BaseContext:
    from multiprocessing import get_all_start_methods, get_context

    # one thread each: the matrices are small, and threads of several processes would wait for each other
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    return context


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Give processes that run functions; what has not begun when something goes wrong is dropped."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children

    with ProcessPoolExecutor(workers, mp_context=_context(), initializer=_leave_signals) as found:
        try:
            yield found
        except BaseException:
            found.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()
            raise


def _leave_signals() -> None:
    """Ctrl-C reaches every process of a terminal; the first one says what becomes of the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
