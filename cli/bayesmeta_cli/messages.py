"""What goes to stderr: warnings as one line each, notes, and progress on a terminal."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bayesmeta import BayesmetaWarning


def say(text: str) -> None:
    """Write lines to stderr."""
    print(text, file=sys.stderr)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print every warning that nobody collects as one line instead of Python's two."""

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        name = "" if issubclass(category, BayesmetaWarning) else f"{category.__name__}: "
        say(f"warning: {name}{' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", BayesmetaWarning)
        warnings.showwarning = show
        yield


def track[T](items: Sequence[T], what: str) -> Iterator[T]:
    """Go through items, with a progress bar where stderr is a terminal; it names the one under way."""
    with steps(len(items)) as step:
        for item in items:
            step(f"{what} {getattr(item, 'key', '')}".rstrip())
            yield item


@contextmanager
def steps(total: int) -> Iterator[Callable[[str], None]]:
    """Give a function that names the step which begins, on a progress bar where stderr is a terminal."""
    if total < 2 or not _terminal():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import Progress

    begun = 0

    def step(name: str) -> None:
        nonlocal begun
        progress.update(task, description=name, completed=begun, refresh=True)
        begun += 1

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield step


def _terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
