"""A protocol file to a `Protocol`: every key, every rule, and all faults at once.

The keys are pydantic models, which `protocol_schema` prints as JSON Schema. Nothing of pydantic leaves this package.
"""

from typing import TYPE_CHECKING

from bayesmeta.lazy import exports

if TYPE_CHECKING:
    from bayesmeta.protocol.judgements import *
    from bayesmeta.protocol.keys import *
    from bayesmeta.protocol.migration import *
    from bayesmeta.protocol.pinning import *
    from bayesmeta.protocol.reading import *
else:
    __getattr__, __dir__ = exports(
        __name__,
        {
            "judgements": "read_judgements",
            "keys": "SCHEMA protocol_schema",
            "migration": "changed_meanings migrate",
            "pinning": "pin_data",
            "reading": "read_protocol",
        },
    )
