"""Streams and signals of a process that runs a command."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AbstractContextManager, redirect_stdout
from typing import Any

from bayesmeta.boundary.text import printable

__all__ = ["escaped_output", "streams_ready"]


class _Escaped:
    """A stream that shows what a terminal would obey or hide."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def escaped_output() -> AbstractContextManager[Any]:
    """Escape controls and overrides of the writing direction on stdout."""
    return redirect_stdout(_Escaped(sys.stdout))


def streams_ready() -> bool:
    """Make stdout and stderr what a command needs, and signals that end it like Ctrl-C; False without stdout."""
    while os.open(os.devnull, os.O_RDWR) <= 2:
        # a file would otherwise be opened under the number of a stream that is closed
        pass
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
    if sys.stdout is None:
        print("error: stdout is closed. Results are printed there; send them to a file or /dev/null.", file=sys.stderr)
        return False
    for stream in (sys.stdout, sys.stderr):
        # a pipe on Windows would otherwise be in the code page of the day
        stream.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` asks that a signal be ignored
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    return True


def _stop(number: int, frame: object) -> None:
    """Stop as by Ctrl-C; what is cleaned up then is not stopped again."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    raise KeyboardInterrupt
