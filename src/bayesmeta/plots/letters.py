"""The letters of the shipped fonts: their places in a line, their outlines, and the part of a font that a PDF holds.

The fonts have no layout tables (tools/make_fonts.py), so that a line is its letters side by side, with kerning.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ft2font import FT2Font, LoadFlags
from numpy.typing import NDArray

__all__ = ["FAMILY", "UNITS", "Face", "Line", "face", "font_files"]

FAMILY = "Bayesmeta Sans"
#: Per em. FreeType counts 64ths of a dot, here at 100 dots per em: what Matplotlib measures outlines in.
UNITS = 6400
_FOLDER = Path(__file__).with_name("fonts")
#: What a PDF needs of a TrueType font whose glyphs it names by number.
_TABLES = ("cvt ", "fpgm", "glyf", "head", "hhea", "hmtx", "loca", "maxp", "prep")


def font_files() -> list[Path]:
    """Every shipped font."""
    return sorted(_FOLDER.glob("*.ttf"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text: its glyphs by number, where each starts, and the box around all of them, in units.

    The box holds what is inked and where the next letter would start, as Matplotlib counts it.
    """

    text: str
    glyphs: tuple[int, ...]
    places: tuple[int, ...]
    left: int
    low: int
    right: int
    high: int


class Face:
    """One weight of the shipped font.

    Attributes
    ----------
    name : str
        Of the font in PostScript.
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # its types tell glyphs from other numbers, in some versions only
        self._font: Any = FT2Font(str(path))
        self._font.set_size(UNITS / 64, 72)
        self.name = self._font.postscript_name
        self._numbers: dict[int, int] = dict(self._font.get_charmap())
        self._metrics: dict[int, tuple[int, int, int, int, int]] = {}
        # of whole lines; the same words stand on many pictures
        self.line = lru_cache(maxsize=8192)(self._line)
        self.outline = cache(self._outline)
        self.embedded = lru_cache(maxsize=64)(self._embedded)

    def _metric(self, glyph: int) -> tuple[int, int, int, int, int]:
        found = self._metrics.get(glyph)
        if found is None:
            loaded = self._font.load_glyph(glyph, flags=LoadFlags.NO_HINTING)
            # Matplotlib's older versions stretch all other widths
            advance = int(loaded.linearHoriAdvance * 64 / 65536 + 0.5)
            found = self._metrics[glyph] = (advance, *loaded.bbox)
        return found

    @cached_property
    def _kerns(self) -> dict[tuple[int, int], int]:
        """How much closer pairs of glyphs stand, in units."""
        table = self._file["kern"]
        _, tables, _, _, coverage, count = struct.unpack_from(">6H", table)
        # the one kind that the shipped fonts hold: pairs in order, for lines across
        assert (tables, coverage) == (1, 1)
        pairs = struct.iter_unpack(">HHh", table[18 : 18 + 6 * count])
        # halves go up, as in the library that sets lines for Matplotlib
        return {(a, b): (2 * value * UNITS + self._em) // (2 * self._em) for a, b, value in pairs}

    def _line(self, text: str) -> Line | None:
        """Set one line; None where the font lacks a letter."""
        numbers, kerns = self._numbers, self._kerns
        try:
            glyphs = tuple(numbers[ord(letter)] for letter in text)
        except KeyError:
            return None
        pen = left = low = right = high = 0
        places = []
        before = -1
        for glyph in glyphs:
            if before >= 0:
                pen += kerns.get((before, glyph), 0)
            advance, x0, y0, x1, y1 = self._metric(glyph)
            places.append(pen)
            left, low = min(left, pen + x0), min(low, y0)
            right, high = max(right, pen + x1), max(high, y1)
            pen += advance
            right = max(right, pen)
            before = glyph
        return Line(text, glyphs, tuple(places), left, low, right, high)

    def _outline(self, glyph: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Outline of a glyph in units, as vertices and codes of a path."""
        self._font.load_glyph(glyph, flags=LoadFlags.NO_HINTING)
        vertices, codes = self._font.get_path()
        return np.asarray(vertices) * 64.0, np.asarray(codes, dtype=np.uint8)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Around every glyph, in thousandths of an em."""
        x0, y0, x1, y1 = (round(1000 * value / self._em) for value in self._font.bbox)
        return x0, y0, x1, y1

    @property
    def rise(self) -> tuple[int, int]:
        """Ascender and descender in thousandths of an em."""
        return round(1000 * self._font.ascender / self._em), round(1000 * self._font.descender / self._em)

    @cached_property
    def height(self) -> tuple[float, float, float]:
        """What every line has at least above and below its baseline, and the gap to the next, per em."""
        stated = self._font.get_sfnt_table("OS/2")
        above, below, gap = (stated[f"sTypo{name}"] / self._em for name in ("Ascender", "Descender", "LineGap"))
        return above, -below, gap

    @property
    def _em(self) -> int:
        return int(self._font.units_per_EM)

    @cached_property
    def _file(self) -> dict[str, bytes]:
        """Tables of the font file by tag."""
        data = self.path.read_bytes()
        (count,) = struct.unpack_from(">H", data, 4)
        found = {}
        for i in range(count):
            tag, _, start, length = struct.unpack_from(">4sLLL", data, 12 + 16 * i)
            found[tag.decode("ascii")] = data[start : start + length]
        return found

    @cached_property
    def _offsets(self) -> tuple[int, ...]:
        """Where each glyph starts in the table of outlines, and where the last ends."""
        loca = self._file["loca"]
        long = struct.unpack_from(">h", self._file["head"], 50)[0]
        if long:
            return struct.unpack(f">{len(loca) // 4}L", loca)
        return tuple(2 * place for place in struct.unpack(f">{len(loca) // 2}H", loca))

    @cached_property
    def advances(self) -> tuple[float, ...]:
        """Width of each glyph in thousandths of an em."""
        wide = struct.unpack_from(">H", self._file["hhea"], 34)[0]
        values = struct.unpack_from(">" + "Hh" * wide, self._file["hmtx"])[::2]
        every = [*values, *[values[-1]] * (len(self._offsets) - 1 - wide)]
        return tuple(1000 * value / self._em for value in every)

    def _parts(self, glyph: int) -> list[int]:
        """Glyphs that a composite one is made of."""
        start, end = self._offsets[glyph], self._offsets[glyph + 1]
        outlines = self._file["glyf"]
        if start == end or struct.unpack_from(">h", outlines, start)[0] >= 0:
            return []
        parts, at, more = [], start + 10, True
        while more:
            flags, part = struct.unpack_from(">HH", outlines, at)
            parts.append(part)
            # words or bytes to place it, then one scale, two, or a matrix
            scales = 2 if flags & 0x8 else 4 if flags & 0x40 else 8 if flags & 0x80 else 0
            at += 4 + (4 if flags & 0x1 else 2) + scales
            more = bool(flags & 0x20)
        return parts

    def _embedded(self, glyphs: frozenset[int]) -> bytes:
        """Write the font with these outlines and no others; numbers of glyphs stay."""
        keep = {0, *glyphs}
        waiting = list(keep)
        while waiting:
            new = set(self._parts(waiting.pop())) - keep
            keep |= new
            waiting += new
        count = len(self._offsets) - 1
        outlines, places = bytearray(), [0]
        for glyph in range(count):
            if glyph in keep:
                outlines += self._file["glyf"][self._offsets[glyph] : self._offsets[glyph + 1]]
                outlines += bytes(-len(outlines) % 4)
            places.append(len(outlines))
        head = bytearray(self._file["head"])
        struct.pack_into(">h", head, 50, 1)
        changed = {"glyf": bytes(outlines), "loca": struct.pack(f">{count + 1}L", *places), "head": bytes(head)}
        tables = {tag: changed.get(tag, self._file.get(tag, b"")) for tag in _TABLES}
        return _font_file({tag: content for tag, content in tables.items() if content})


def _font_file(tables: dict[str, bytes]) -> bytes:
    """Write a TrueType file; its checksums are those of the tables as they are."""
    power = len(tables).bit_length() - 1
    head = struct.pack(">LHHHH", 0x00010000, len(tables), 16 << power, power, 16 * len(tables) - (16 << power))
    start, body = len(head) + 16 * len(tables), bytearray()
    for tag, content in sorted(tables.items()):
        padded = content + bytes(-len(content) % 4)
        total = int(np.frombuffer(padded, dtype=">u4").sum(dtype=np.uint64)) & 0xFFFFFFFF
        head += struct.pack(">4sLLL", tag.encode("ascii"), total, start + len(body), len(content))
        body += padded
    return head + bytes(body)


@cache
def face(bold: bool = False) -> Face:
    """One of the shipped fonts."""
    return Face(_FOLDER / f"BayesmetaSans-{'Bold' if bold else 'Regular'}.ttf")


def letters_of(lines: Iterable[Line]) -> dict[int, str]:
    """What each glyph stands for, by its number."""
    found: dict[int, str] = {}
    for line in lines:
        for glyph, letter in zip(line.glyphs, line.text, strict=True):
            # a space and one that does not break are one glyph
            found[glyph] = min(letter, found.get(glyph, letter))
    return dict(sorted(found.items()))
