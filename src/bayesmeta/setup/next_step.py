"""What to do after a check: the next command, or what to correct first."""

from __future__ import annotations

import shlex
from pathlib import Path

from bayesmeta.columns import plural
from bayesmeta.errors import DataError, ProtocolError

__all__ = ["next_after"]


def next_after(
    path: str | Path, error: ProtocolError | DataError | None = None, *, warnings: int = 0
) -> tuple[str, ...]:
    """Say what to do after a file was checked.

    Parameters
    ----------
    path : str or Path
        A protocol, or a table.
    error : ProtocolError or DataError, optional
        What was wrong with it.
    warnings : int
        How many findings someone should look at.

    Returns
    -------
    tuple of str
        Lines, the first of which comes first.

    Examples
    --------
    >>> next_after("my trials.toml")[0]
    "bayesmeta fit 'my trials.toml' -o out"
    >>> next_after("trials.csv")
    ('bayesmeta init trials.csv',)
    >>> next_after("p.toml", ProtocolError("p.toml key title: it is missing. Add it."))
    ('correct p.toml key title first, then bayesmeta check p.toml',)
    """
    name = shlex.quote(str(path))
    if error is not None and str(path).lower().endswith(".provenance.toml"):
        return ("name the protocol, not the file beside its table",)
    if error is not None:
        first = error.faults[0].where if error.faults else str(error).partition(":")[0]
        more = f" (the first of {plural(len(error.faults), 'fault')})" if len(error.faults) > 1 else ""
        return (f"correct {first} first{more}, then bayesmeta check {name}",)
    if Path(path).suffix.lower() != ".toml":
        return (f"bayesmeta init {name}",)
    look = (f"look at the {plural(warnings, 'warning')} above",) if warnings else ()
    return (*look, f"bayesmeta fit {name} -o out", f"bayesmeta report {name} -o report")
