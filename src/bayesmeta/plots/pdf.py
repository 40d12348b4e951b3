"""A recorded page as PDF: letters stay letters, in the parts of the shipped fonts that it uses."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.path import Path

from bayesmeta.plots.letters import UNITS, Face, face, letters_of
from bayesmeta.plots.recording import Box, Look, Numbers, Recording, Shape, Words

__all__ = ["pdf_file"]

_NUMBERS = Numbers(3, ("{} m\n", "{} l\n", "", "{} {} {} c\n", "h\n"))
_CAPS = {"butt": 0, "round": 1, "square": 2}
_JOINS = {"miter": 0, "round": 1, "bevel": 2}
#: What a page starts with, in the words that set it.
_START: dict[str, str] = {"w": "1", "J": "0", "j": "0", "d": "[] 0", "RG": "0 0 0", "rg": "0 0 0", "gs": "", "Tf": ""}
# thousandths of an em by which a letter may stand off its place
_CLOSE = 0.5


def pdf_file(recording: Recording, title: str, alt: str) -> bytes:
    """Write a file with a title and, as its subject, the alt text; no date."""
    page = _Page(recording)
    content = page.content()
    objects = _Objects()
    catalog, pages, leaf, about = (objects.reserve() for _ in range(4))
    fonts = [f"/{_font(bold)} {_font_object(objects, recording, bold)} 0 R" for bold in page.weights]
    states = [f"/{name} <</Type /ExtGState /ca {fill} /CA {stroke}>>" for (fill, stroke), name in page.alphas.items()]
    stream = objects.stream(content.encode("ascii"))
    objects.fill(catalog, f"<</Type /Catalog /Pages {pages} 0 R>>")
    objects.fill(pages, f"<</Type /Pages /Kids [{leaf} 0 R] /Count 1>>")
    objects.fill(
        leaf,
        f"<</Type /Page /Parent {pages} 0 R /MediaBox [0 0 {recording.width:.7g} {recording.height:.7g}] "
        f"/Contents {stream} 0 R /Resources <</Font <<{' '.join(fonts)}>> /ExtGState <<{' '.join(states)}>>>> "
        "/Group <</Type /Group /S /Transparency /CS /DeviceRGB>>>>",
    )
    objects.fill(
        about,
        f"<</Title {_string(title)} /Subject {_string(alt)} /Creator (bayesmeta) /Producer (bayesmeta)>>",
    )
    return objects.file(catalog, about)


class _Objects:
    """Numbered objects of a file."""

    def __init__(self) -> None:
        self._found: list[bytes] = []

    def reserve(self) -> int:
        self._found.append(b"")
        return len(self._found)

    def fill(self, number: int, text: str) -> None:
        self._found[number - 1] = text.encode("ascii")

    def add(self, text: str) -> int:
        number = self.reserve()
        self.fill(number, text)
        return number

    def stream(self, content: bytes, more: str = "") -> int:
        packed = zlib.compress(content, 6)
        self._found.append(
            f"<</Length {len(packed)} /Filter /FlateDecode{more}>>\nstream\n".encode("ascii") + packed + b"\nendstream"
        )
        return len(self._found)

    def file(self, catalog: int, about: int) -> bytes:
        # four bytes above 127 say that the file is not text
        parts, places = [b"%PDF-1.4\n%\xac\xdc\xab\xba\n"], []
        at = len(parts[0])
        for number, content in enumerate(self._found, start=1):
            places.append(at)
            parts.append(b"%d 0 obj\n%s\nendobj\n" % (number, content))
            at += len(parts[-1])
        count = len(self._found) + 1
        parts.append(f"xref\n0 {count}\n0000000000 65535 f \n".encode("ascii"))
        parts += [b"%010d 00000 n \n" % place for place in places]
        trailer = f"<</Size {count} /Root {catalog} 0 R /Info {about} 0 R>>"
        parts.append(f"trailer\n{trailer}\nstartxref\n{at}\n%%EOF\n".encode("ascii"))
        return b"".join(parts)


def _string(text: str) -> str:
    if text.isascii() and text.isprintable():
        return "(" + text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") + ")"
    return f"<FEFF{text.encode('utf-16-be').hex().upper()}>"


class _Page:
    """One page on its way to PDF; only what changes between marks is written."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._parts: list[str] = []
        self._state = dict(_START)
        self._outside = self._state
        self._clip: Box | None = None
        self.alphas: dict[tuple[float, float], str] = {(1.0, 1.0): "A1"}
        self.weights = [bold for bold in (False, True) if next(recording.lines(bold), None) is not None]

    def content(self) -> str:
        """Write everything on the page."""
        for mark in self._recording.marks:
            self._cut(mark.clip)
            if isinstance(mark, Shape):
                self._shape(mark)
            else:
                self._words(mark)
        self._cut(None)
        return "".join(self._parts)

    def _cut(self, box: Box | None) -> None:
        if box == self._clip:
            return
        if self._clip is not None:
            self._parts.append("Q\n")
            self._state = self._outside
        if box is not None:
            self._outside = dict(self._state)
            x, y, width, height = _NUMBERS.rounded(np.array(box))
            self._parts.append(f"q\n{x:.7g} {y:.7g} {width:.7g} {height:.7g} re W n\n")
        self._clip = box

    def _set(self, operator: str, value: str) -> None:
        if self._state[operator] != value:
            self._state[operator] = value
            self._parts.append(f"{value} {operator}\n")

    def _alpha(self, fill: float, stroke: float) -> None:
        name = self.alphas.setdefault((fill, stroke), f"A{len(self.alphas) + 1}")
        # a page starts opaque
        if self._state["gs"] or (fill, stroke) != (1.0, 1.0):
            self._set("gs", f"/{name}")

    def _look(self, look: Look) -> None:
        self._alpha(look.fill_alpha, look.stroke_alpha)
        if look.fill is not None:
            self._set("rg", _amounts(look.fill))
        if look.stroke is not None:
            self._set("RG", _amounts(look.stroke))
            self._set("w", f"{look.width:.4g}")
            self._set("J", str(_CAPS[look.cap]))
            self._set("j", str(_JOINS[look.join]))
            offset, lengths = look.dashes or (0.0, ())
            self._set("d", f"[{_amounts(lengths)}] {offset:.4g}")

    def _shape(self, shape: Shape) -> None:
        self._look(shape.look)
        vertices, codes = _without_quadratics(shape)
        paint = {(True, True): "B\n", (True, False): "f\n", (False, True): "S\n"}[
            shape.look.fill is not None, shape.look.stroke is not None
        ]
        for place in [(0.0, 0.0)] if shape.places is None else shape.places:
            self._parts += [_NUMBERS.path(vertices + place, codes), paint]

    def _words(self, words: Words) -> None:
        self._alpha(words.alpha, words.alpha)
        self._set("rg", _amounts(words.colour))
        self._set("Tf", f"/{_font(words.bold)} {words.size:.4g}")
        x, y = _NUMBERS.rounded(np.array([words.x, words.y]))
        turn = math.radians(words.angle)
        cos, sin = (round(value, 6) + 0.0 for value in (math.cos(turn), math.sin(turn)))
        matrix = f"{cos:.6g} {sin:.6g} {-sin + 0.0:.6g} {cos:.6g} {x:.7g} {y:.7g}"
        self._parts.append(f"BT {matrix} Tm {_shown(words)} TJ ET\n")


def _shown(words: Words) -> str:
    """Letters with the steps between them that differ from their widths."""
    advances, pen, found = face(words.bold).advances, 0.0, ["[<"]
    for glyph, place in zip(words.line.glyphs, words.line.places, strict=True):
        step = pen - 1000 * place / UNITS
        if abs(step) > _CLOSE:
            step = round(step, 1)
            found.append(f">{step:.5g}<")
            pen -= step
        found.append(f"{glyph:04X}")
        pen += advances[glyph]
    return "".join([*found, ">]"])


def _amounts(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _without_quadratics(shape: Shape) -> tuple[Any, Any]:
    """Vertices and codes with every quadratic curve as the cubic one that is the same."""
    if not (shape.codes == Path.CURVE3).any():
        return shape.vertices, shape.codes
    vertices: list[Any] = []
    codes: list[int] = []
    i = 0
    while i < len(shape.codes):
        if shape.codes[i] != Path.CURVE3:
            vertices.append(shape.vertices[i])
            codes.append(int(shape.codes[i]))
            i += 1
            continue
        middle, end = shape.vertices[i : i + 2]
        vertices += [(vertices[-1] + 2 * middle) / 3, (end + 2 * middle) / 3, end]
        codes += [int(Path.CURVE4)] * 3
        i += 2
    return np.array(vertices), np.array(codes, dtype=np.uint8)


def _font(bold: bool) -> str:
    return "F2" if bold else "F1"


def _font_object(objects: _Objects, recording: Recording, bold: bool) -> int:
    """Add one font: its outlines, widths, and what each glyph stands for, so that text can be searched."""
    shipped: Face = face(bold)
    letters = letters_of(recording.lines(bold))
    content = shipped.embedded(frozenset(letters))
    data = objects.stream(content, f" /Length1 {len(content)}")
    # six capitals before the name say that the font is a part of one
    name = f"BAYESM+{shipped.name}"
    ascent, descent = shipped.rise
    descriptor = objects.add(
        f"<</Type /FontDescriptor /FontName /{name} /Flags 32 /FontBBox [{' '.join(map(str, shipped.box))}] "
        f"/ItalicAngle 0 /Ascent {ascent} /Descent {descent} /CapHeight {ascent} /StemV {120 if bold else 80} "
        f"/FontFile2 {data} 0 R>>"
    )
    widths = " ".join(f"{glyph} [{shipped.advances[glyph]:.7g}]" for glyph in letters)
    descendant = objects.add(
        f"<</Type /Font /Subtype /CIDFontType2 /BaseFont /{name} /FontDescriptor {descriptor} 0 R "
        "/CIDSystemInfo <</Registry (Adobe) /Ordering (Identity) /Supplement 0>> /CIDToGIDMap /Identity "
        f"/DW 0 /W [{widths}]>>"
    )
    unicode = objects.stream(_meanings(letters).encode("ascii"))
    return objects.add(
        f"<</Type /Font /Subtype /Type0 /BaseFont /{name} /Encoding /Identity-H /DescendantFonts [{descendant} 0 R] "
        f"/ToUnicode {unicode} 0 R>>"
    )


def _meanings(letters: dict[int, str]) -> str:
    pairs = [f"<{glyph:04X}> <{letter.encode('utf-16-be').hex().upper()}>" for glyph, letter in letters.items()]
    # a list may hold a hundred
    parts = [pairs[i : i + 100] for i in range(0, len(pairs), 100)]
    lists = "\n".join(f"{len(part)} beginbfchar\n" + "\n".join(part) + "\nendbfchar" for part in parts)
    return (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        "/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n"
        "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
        f"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n{lists}\n"
        "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
    )
