"""Looks of forest plots: colours, and which columns stand on which side of the drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bayesmeta.errors import find_name
from bayesmeta.plots.sheet import BAYES, CLASSICAL, DENSITY, INK

__all__ = ["Style", "StyleName", "style_of"]

StyleName = Literal["journal", "revman", "jama", "bmj"]


@dataclass(frozen=True, slots=True)
class Style:
    """How a forest plot looks.

    Attributes
    ----------
    squares : (str, str)
        Colours of reported estimates: of differences, and of effects of counts.
    posterior, density, diamond : str
        Colours of posterior intervals and outlines, of densities, and of the filling of the mean's diamond.
    classical : str
        Colour of the classical check.
    before, after : tuple of str
        Groups of columns on the left and on the right of the drawing.
    label : str
        Heading of the first column.
    split : bool
        Whether every number of an arm has a column of its own.
    shrinkage : bool
        Whether shrinkage estimates are shown unless it is said.
    """

    squares: tuple[str, str] = (INK, INK)
    posterior: str = BAYES
    density: str = DENSITY
    diamond: str = BAYES
    classical: str = CLASSICAL
    before: tuple[str, ...] = ("own", "arms")
    after: tuple[str, ...] = ("text", "theta", "weight", "bias")
    label: str = "Estimate"
    split: bool = False
    shrinkage: bool = False


# colours of RevMan 5 (squares by kind of data, black diamonds), of JAMA and of BMJ as their figures have them
_STYLES: dict[str, Style] = {
    "journal": Style(shrinkage=True),
    "revman": Style(
        ("#009900", "#0000cc"),
        posterior=INK,
        density="#d9d9d9",
        diamond=INK,
        classical="#767676",
        before=("own", "arms", "weight", "text", "theta"),
        after=("bias",),
        label="Study or subgroup",
        split=True,
    ),
    "jama": Style(
        ("#00008b", "#00008b"),
        posterior=INK,
        density="#dcebf2",
        diamond="#add8e6",
        classical="#00008b",
        before=("own", "arms", "text", "theta"),
        after=("weight", "bias"),
        label="Source",
    ),
    "bmj": Style(
        ("#6b58a6", "#6b58a6"),
        posterior="#6b58a6",
        density="#dcd7ea",
        diamond="#6b58a6",
        classical="#4d4d4f",
        after=("weight", "text", "theta", "bias"),
        label="Study",
    ),
}
assert tuple(_STYLES) == get_args(StyleName)


def style_of(name: str) -> Style:
    """Find a look by its name.

    Examples
    --------
    >>> style_of("BMJ").label
    'Study'
    """
    return _STYLES[find_name("style", name, _STYLES)]
