"""What goes to stderr: warnings as one line each, notes, and the step under way on a terminal."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from bayesmeta import BayesmetaWarning
from bayesmeta.boundary import printable
from bayesmeta_cli.terminal import CLEAR, is_terminal

#: What takes less is not worth a line that comes and goes.
PATIENCE = 1.0
_UNDER_WAY: list[_Line] = []


def say(text: str) -> None:
    """Write lines to stderr, if anyone listens there."""
    with suppress(OSError, ValueError), ExitStack() as cleared:
        for line in _UNDER_WAY:
            cleared.enter_context(line.cleared())
        print("\n".join(map(printable, text.split("\n"))), file=sys.stderr)


def tell(text: str, *, named: bool = False) -> None:
    """Write errors, one a line; behind a fault stands in brackets what `bayesmeta explain` calls its rule."""
    from bayesmeta.setup import rule_of

    for line in text.splitlines() or ["unknown"]:
        rule = rule_of(line) if named else None
        say(f"error: {line}{f' [{rule}]' if rule else ''}")


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print every warning that nobody collects as one line instead of Python's two, and once."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        name = "" if issubclass(category, BayesmetaWarning) else f"{category.__name__}: "
        line = f"warning: {name}{' '.join(str(message).split())}"
        if line not in said:
            # a file that is read twice has the same to be said of it
            said.add(line)
            say(line)

    with warnings.catch_warnings():
        warnings.simplefilter("always", BayesmetaWarning)
        # numpy's, of numbers whose results are checked
        warnings.filterwarnings("ignore", ".*encountered in", RuntimeWarning)
        warnings.showwarning = show
        yield


def track[T](items: Sequence[T], what: str) -> Iterator[T]:
    """Go through items; on a terminal the one under way is named once a second has passed."""
    with steps(len(items)) as step:
        for item in items:
            step(f"{what} {getattr(item, 'key', '')}".rstrip())
            yield item


@contextmanager
def steps(total: int = 1) -> Iterator[Callable[[str], None]]:
    """Give a function that names the step which begins; ``STEP: part`` names a part of it and counts once.

    Where stderr is a terminal, the step is shown with its seconds once a second has passed since the first began.
    """
    if not is_terminal(sys.stderr):
        yield lambda name: None
        return
    line = _Line(total)
    _UNDER_WAY.append(line)
    try:
        yield line.step
    finally:
        line.end()
        _UNDER_WAY.remove(line)


def parts(step: Callable[[str], None], name: str) -> Callable[[str], None]:
    """Give a function that names the parts of a step."""
    return lambda part: step(f"{name}: {part}")


class _Line:
    """One line of a terminal, written anew every second by a thread of its own."""

    def __init__(self, total: int) -> None:
        self._total, self._begun = total, 0
        self._name, self._head, self._since = "", "", time.monotonic()
        self._shown = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def step(self, name: str) -> None:
        head = name.partition(":")[0]
        with self._lock:
            self._begun += head != self._head
            self._name, self._head, self._since = name, head, time.monotonic()
        if self._shown:
            self._write()

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Wipe the line out, and let nobody write it anew until what stands in its place is printed."""
        with self._lock:
            with suppress(OSError, ValueError):
                if self._shown:
                    print(CLEAR, end="", file=sys.stderr, flush=True)
            yield

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        with self.cleared():
            pass

    def _tick(self) -> None:
        while not self._ended.wait(PATIENCE):
            self._write()

    def _write(self) -> None:
        with self._lock, suppress(OSError, ValueError):
            if not self._name or self._ended.is_set():
                return
            count = f" ({min(self._begun, self._total)} of {self._total})" if self._total > 1 else ""
            seconds = round(time.monotonic() - self._since)
            text = f"{printable(self._name)}{count}{f', {seconds} s' if seconds else ''}"
            self._shown = True
            width = shutil.get_terminal_size().columns - 1
            print(f"{CLEAR}{text[:width]}", end="", file=sys.stderr, flush=True)
