"""Moderators as text: ``exercise * timing + weeks``."""

from __future__ import annotations

from itertools import combinations

from bayesmeta.errors import ModelError

__all__ = ["parse_moderators"]

_WRITE = "Write moderators with + between them, a * b for both and their interaction, a:b for the interaction alone."


def parse_moderators(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read moderators and their interactions from text.

    Parameters
    ----------
    text : str
        Names with ``+`` between them; ``a * b`` is a, b and their interaction, ``a:b`` the interaction alone, whose
        moderators are then named too.

    Returns
    -------
    moderators, interactions : tuple of str
        In the order in which they are named; an interaction is ``"a:b"``.

    Raises
    ------
    ModelError
        For an empty name, an interaction of more than two moderators or of one that is not named alone.

    Examples
    --------
    >>> parse_moderators("exercise * timing + weeks")
    (('exercise', 'timing', 'weeks'), ('exercise:timing',))
    """
    names: list[str] = []
    pairs: list[tuple[str, ...]] = []
    for term in text.split("+"):
        crossed = [part.strip() for part in term.split("*")]
        if len(crossed) == 1 and ":" in term:
            pairs.append(tuple(part.strip() for part in term.split(":")))
            continue
        names += crossed
        pairs += list(combinations(crossed, 2)) if len(crossed) == 2 else [tuple(crossed)] * (len(crossed) > 2)
    found = tuple(dict.fromkeys(names))
    if not all(found) or not all(part for pair in pairs for part in pair):
        raise ModelError(f"moderators {text!r}: a name is missing. {_WRITE}")
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1]:
            crossing = " * ".join(pair)
            raise ModelError(f"moderators {text!r}: an interaction is of two moderators, not {crossing}. {_WRITE}")
        if lacking := [name for name in pair if name not in found]:
            raise ModelError(f"moderators {text!r}: {':'.join(pair)} without {lacking[0]} alone. Add it. {_WRITE}")
    # the same pair in another order is the same interaction
    unique = {frozenset(pair): ":".join(pair) for pair in reversed(pairs)}
    return found, tuple(dict.fromkeys(unique[frozenset(pair)] for pair in pairs))
