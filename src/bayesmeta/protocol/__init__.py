"""A protocol file to a `Protocol`: every key, every rule, and all faults at once.

The keys are pydantic models, which `protocol_schema` prints as JSON Schema. Nothing of pydantic leaves this package.
"""

from bayesmeta.outcome import (
    Assumption,
    Exclusion,
    Moderator,
    Outcome,
    Protocol,
    Sensitivity,
    Threshold,
)
from bayesmeta.protocol.keys import SCHEMA, protocol_schema
from bayesmeta.protocol.reading import read_protocol

__all__ = [
    "SCHEMA",
    "Assumption",
    "Exclusion",
    "Moderator",
    "Outcome",
    "Protocol",
    "Sensitivity",
    "Threshold",
    "protocol_schema",
    "read_protocol",
]
