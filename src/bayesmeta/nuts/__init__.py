"""The sampling engine: PyMC models, sampled by nutpie with study effects integrated out where that is possible."""

from typing import TYPE_CHECKING, Any

from bayesmeta.nuts.running import Settings

if TYPE_CHECKING:
    from bayesmeta.nuts.engine import sample

__all__ = ["Settings", "sample"]


def __getattr__(name: str) -> Any:
    # settings belong to every protocol, PyMC only to those that sample
    if name == "sample":
        from bayesmeta.nuts.engine import sample

        return sample
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
