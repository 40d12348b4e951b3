"""The sampling engine: PyMC models, sampled by nutpie with study effects integrated out where that is possible."""

from bayesmeta.nuts.engine import sample
from bayesmeta.nuts.running import Settings

__all__ = ["Settings", "sample"]
