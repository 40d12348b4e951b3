"""Where the library meets its users: arguments checked, one converter of numbers and names, texts, streams, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.boundary.guard import *
    from bayesmeta.boundary.staging import *
    from bayesmeta.boundary.streams import *
    from bayesmeta.boundary.text import *
    from bayesmeta.boundary.values import *

__getattr__, __dir__ = exports(
    __name__,
    {
        "guard": "guarded",
        "staging": "replaced staged",
        "streams": "escaped_output streams_ready",
        "text": "file_bytes printable require_plain_text require_plain_values",
        "values": "as_levels as_names as_numbers require_one_index",
    },
)
