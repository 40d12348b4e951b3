"""A recorded page as SVG: its text as outlines, or as text in the shipped font."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from bayesmeta.plots.letters import FAMILY, UNITS, face
from bayesmeta.plots.recording import Box, Colour, Look, Numbers, Recording, Shape, Words

__all__ = ["svg_file", "svg_inline"]

_OPERATORS = ("M{}", "L{}", "Q{} {}", "C{} {} {}", "z")
# files are printed and enlarged; a tenth of a point is finer than a screen shows
_FINE, _COARSE = Numbers(3, _OPERATORS), Numbers(1, _OPERATORS)
_SPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1"'


def svg_file(recording: Recording, title: str, alt: str) -> bytes:
    """Write a file: one image with title and description, its text as outlines.

    Columns are laid out by the width of their text, so a viewer's other font would make them overlap; what a screen
    reader needs stands in ``<title>`` and ``<desc>``.
    """
    width, height = (f"{value:.7g}" for value in (recording.width, recording.height))
    body = _Writer(recording, _FINE, "").body(outlines=True)
    text = (
        '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n'
        f'<svg role="img" aria-labelledby="title description" width="{width}pt" height="{height}pt" '
        f'viewBox="0 0 {width} {height}" {_SPACES}>\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="description">{escape(alt)}</desc>\n{body}\n</svg>\n'
    )
    return text.encode("utf-8")


def svg_inline(recording: Recording, alt: str, prefix: str) -> str:
    """Write markup that stands inside a page: its text is text, in the font that the page carries.

    Parameters
    ----------
    recording : Recording
    alt : str
    prefix : str
        Of every id, so that no two pictures of a page share one.
    """
    width, height = (f"{round(value, 1):.7g}" for value in (recording.width, recording.height))
    body = _Writer(recording, _COARSE, f"{prefix}-").body(outlines=False)
    # a point is 4/3 of the dots that a page counts in
    wide = round(float(width) * 4 / 3)
    return (
        f'<svg {_SPACES} viewBox="0 0 {width} {height}" role="img" aria-label={quoteattr(alt)} '
        f'style="width:min(100%,{wide}px)">{body.replace(chr(10), "")}</svg>'
    )


class _Writer:
    """One page on its way to SVG, which counts from the top."""

    def __init__(self, recording: Recording, numbers: Numbers, prefix: str) -> None:
        self._recording, self._numbers, self._prefix = recording, numbers, prefix
        self._bottom = np.array([0.0, recording.height])
        self._clips: dict[Box, str] = {}
        self._markers: dict[str, str] = {}
        self._glyphs: dict[tuple[bool, int], str] = {}

    def body(self, *, outlines: bool) -> str:
        """Write everything on the page, what is used several times first."""
        words: Callable[[Words], str] = self._outlined if outlines else self._written
        found = [self._shape(mark) if isinstance(mark, Shape) else words(mark) for mark in self._recording.marks]
        defined = [
            *(f'<clipPath id="{name}">{self._rectangle(box)}</clipPath>' for box, name in self._clips.items()),
            *(f'<path id="{name}" d="{path}"/>' for path, name in self._markers.items()),
            *(f'<path id="{name}" d="{self._glyph(*which)}"/>' for which, name in self._glyphs.items()),
        ]
        font = "" if outlines else f" font-family=\"'{FAMILY}', 'DejaVu Sans'\""
        lines = ["<defs>", *defined, "</defs>", f'<g stroke-linejoin="round"{font}>', *found, "</g>"]
        return "\n".join(lines if defined else lines[3:])

    def _number(self, value: float) -> str:
        return f"{round(value, self._numbers.digits) + 0.0:.7g}"

    def _down(self, y: float) -> float:
        return self._recording.height - y

    def _clip(self, box: Box | None) -> str:
        if box is None:
            return ""
        name = self._clips.setdefault(box, f"{self._prefix}c{len(self._clips) + 1}")
        return f' clip-path="url(#{name})"'

    def _rectangle(self, box: Box) -> str:
        x, y, width, height = box
        placed = zip(("x", "y", "width", "height"), (x, self._down(y + height), width, height), strict=True)
        return "<rect " + " ".join(f'{name}="{self._number(value)}"' for name, value in placed) + "/>"

    def _shape(self, shape: Shape) -> str:
        look = _look(shape.look) + self._clip(shape.clip)
        flipped = shape.vertices * (1.0, -1.0)
        if shape.places is None:
            path = self._numbers.path(flipped + self._bottom, shape.codes)
            return f'<path d="{path}"{look}/>'
        places = shape.places * (1.0, -1.0) + self._bottom
        if len(places) == 1:
            return f'<path d="{self._numbers.path(flipped + places[0], shape.codes)}"{look}/>'
        # markers are small, and what a tenth of a point does to them can be seen
        path = _FINE.path(flipped, shape.codes)
        name = self._markers.setdefault(path, f"{self._prefix}m{len(self._markers) + 1}")
        numbers = iter(self._numbers.rounded(places))
        uses = "".join(f'<use xlink:href="#{name}" x="{x:.7g}" y="{next(numbers):.7g}"/>' for x in numbers)
        return f"<g{look}>{uses}</g>"

    def _ink(self, words: Words) -> str:
        alpha = "" if words.alpha == 1 else f' fill-opacity="{words.alpha:.4g}"'
        return f' fill="{_colour(words.colour)}"{alpha}{self._clip(words.clip)}'

    def _outlined(self, words: Words) -> str:
        uses = []
        for glyph, place, letter in zip(words.line.glyphs, words.line.places, words.line.text, strict=True):
            if letter.isspace():
                continue
            which = (words.bold, glyph)
            name = self._glyphs.setdefault(which, f"{self._prefix}{'b' if words.bold else 'r'}{glyph}")
            uses.append(f'<use xlink:href="#{name}" x="{place}"/>')
        scale = f"{words.size / UNITS:.7g}"
        turn = f" rotate({-words.angle:.7g})" if words.angle else ""
        start = f"translate({self._number(words.x)} {self._number(self._down(words.y))})"
        return f'<g transform="{start}{turn} scale({scale} -{scale})"{self._ink(words)}>{"".join(uses)}</g>'

    def _glyph(self, bold: bool, glyph: int) -> str:
        return _UNITS.path(*face(bold).outline(glyph))

    def _written(self, words: Words) -> str:
        x, y = self._number(words.x), self._number(self._down(words.y))
        placed = f' x="{x}" y="{y}"'
        if words.anchor is not None:
            side, at = words.anchor
            placed = f' x="{self._number(at)}" y="{y}"' + ("" if side == "start" else f' text-anchor="{side}"')
        elif words.angle:
            placed = f' transform="translate({x} {y}) rotate({-words.angle:.7g})"'
        weight = ' font-weight="700"' if words.bold else ""
        look = f'font-size="{words.size:.4g}px"{weight}{placed}{self._ink(words)}'
        return f"<text {look}>{escape(words.line.text)}</text>"


_UNITS = Numbers(0, _OPERATORS)


@lru_cache(maxsize=1024)
def _colour(colour: Colour) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in colour)


@lru_cache(maxsize=1024)
def _look(look: Look) -> str:
    found = [f' fill="{"none" if look.fill is None else _colour(look.fill)}"']
    if look.fill is not None and look.fill_alpha != 1:
        found.append(f' fill-opacity="{look.fill_alpha:.4g}"')
    if look.stroke is not None:
        found.append(f' stroke="{_colour(look.stroke)}"')
        if look.stroke_alpha != 1:
            found.append(f' stroke-opacity="{look.stroke_alpha:.4g}"')
        if look.width != 1:
            found.append(f' stroke-width="{look.width:.4g}"')
        if look.join != "round":
            found.append(f' stroke-linejoin="{look.join}"')
        if look.cap != "butt":
            found.append(f' stroke-linecap="{look.cap}"')
        if look.dashes is not None:
            offset, lengths = look.dashes
            found.append(f' stroke-dasharray="{",".join(f"{value:.4g}" for value in lengths)}"')
            if offset:
                found.append(f' stroke-dashoffset="{offset:.4g}"')
    return "".join(found)
