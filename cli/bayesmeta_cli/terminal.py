"""What only a terminal sees: colour, and a line that is written anew. Files and pipes get plain text."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any

CLEAR = "\r\x1b[2K"
_RED, _YELLOW, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"
#: What stands at the beginning of a line, and how it is painted: faults, findings, what to do, headings.
_PAINT = (
    (re.compile(r"^error:", re.MULTILINE), _RED),
    (re.compile(r"^warning:", re.MULTILINE), _YELLOW),
    (re.compile(r"^(?:next|then):", re.MULTILINE), _BOLD),
    (re.compile(r"^[^\n]+(?=\n={3,}$)", re.MULTILINE), _BOLD),
    (re.compile(r"^[A-Z][A-Za-z ]*:$", re.MULTILINE), _BOLD),
)


def is_terminal(stream: Any) -> bool:
    """Whether a stream obeys what a terminal obeys; the old console of Windows does not."""
    modern = os.name != "nt" or bool(os.environ.get("WT_SESSION") or os.environ.get("TERM"))
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb" and modern


class _Painted:
    """A stream in whose lines headings and what begins with `error:` stand out."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        painted = text
        for pattern, colour in _PAINT:
            painted = pattern.sub(rf"{colour}\g<0>{_PLAIN}", painted)
        self._stream.write(painted)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def colours() -> Iterator[None]:
    """Paint what is written to a terminal; nothing where NO_COLOR is set to something (https://no-color.org)."""
    with ExitStack() as stack:
        if not os.environ.get("NO_COLOR"):
            for redirect, stream in ((redirect_stdout, sys.stdout), (redirect_stderr, sys.stderr)):
                if is_terminal(stream):
                    stack.enter_context(redirect(_Painted(stream)))
        yield
