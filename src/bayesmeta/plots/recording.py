"""What is on a finished page: shapes and words with their places, taken down once and written in several formats.

Matplotlib walks through its figure anew for every format, and most of the time of a picture goes there. Here it walks
once, through its public interface for renderers; `bayesmeta.plots.svg` and `bayesmeta.plots.pdf` write what it said.
Pictures that use more than that (images, hatching, formulas, letters that the shipped font lacks) are left to
Matplotlib's own writers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Transform
from numpy.typing import NDArray

from bayesmeta.plots.letters import FAMILY, UNITS, Line, face

__all__ = ["Look", "NotRecordableError", "Numbers", "Recording", "Shape", "Words", "record"]

FloatArray = NDArray[np.float64]
Box = tuple[float, float, float, float]
Colour = tuple[float, float, float]

# more copies of one marker than this are better left to writers that know how to repeat one
_MANY = 500
_WEIGHTS = {"normal": False, "regular": False, 400: False, "bold": True, 700: True}


class NotRecordableError(Exception):
    """The figure holds something that only Matplotlib's own writers can draw."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a shape is filled and stroked; lengths in points.

    Attributes
    ----------
    fill, stroke : colour or None
    fill_alpha, stroke_alpha : float
    width : float
    dashes : (offset, lengths) or None
    cap, join : str
        As SVG names them.
    """

    fill: Colour | None
    stroke: Colour | None
    fill_alpha: float
    stroke_alpha: float
    width: float
    dashes: tuple[float, tuple[float, ...]] | None
    cap: str
    join: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A path in points from the lower left corner, drawn once, or at each of several places.

    Attributes
    ----------
    vertices, codes : arrays
        As in a Matplotlib path, without its end mark.
    places : array of shape (n, 2) or None
        Where the origin of the path is put.
    clip : (x, y, width, height) or None
    """

    vertices: FloatArray
    codes: NDArray[np.uint8]
    places: FloatArray | None
    look: Look
    clip: Box | None


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text from its left end on its baseline.

    Attributes
    ----------
    x, y : float
    angle : float
        Degrees, against the clock.
    anchor : (str, float) or None
        ``start``, ``middle`` or ``end``, and where that is across, for viewers that set the line themselves.
    """

    line: Line
    bold: bool
    size: float
    x: float
    y: float
    angle: float
    colour: Colour
    alpha: float
    anchor: tuple[str, float] | None
    clip: Box | None


@dataclass(frozen=True, slots=True)
class Recording:
    """A page in points, and everything on it from back to front."""

    width: float
    height: float
    marks: tuple[Shape | Words, ...]

    def lines(self, bold: bool) -> Iterator[Line]:
        """Every line of one weight."""
        return (mark.line for mark in self.marks if isinstance(mark, Words) and mark.bold is bold)


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers of paths are written: rounded, with an operator before or after the points that it takes.

    Attributes
    ----------
    digits : int
        After the decimal point.
    operators : tuple of str
        Of a move, a line, a quadratic and a cubic curve, and the end of a loop; ``{}`` stands for a point.
    """

    digits: int
    operators: tuple[str, str, str, str, str]

    def path(self, vertices: FloatArray, codes: NDArray[np.uint8]) -> str:
        """Write a path."""
        points = vertices if (codes != Path.CLOSEPOLY).all() else vertices[codes != Path.CLOSEPOLY]
        return _template(codes.tobytes(), self.operators) % tuple(self.rounded(points))

    def rounded(self, values: FloatArray) -> list[float]:
        """Numbers for a ``%.7g`` that never writes an exponent or a negative zero."""
        found: list[float] = (np.round(values, self.digits) + 0.0).ravel().tolist()
        return found


@lru_cache(maxsize=4096)
def _template(codes: bytes, operators: tuple[str, str, str, str, str]) -> str:
    move, line, quadratic, cubic, end = (text.replace("{}", "%.7g %.7g") for text in operators)
    found, i = [], 0
    steps = {Path.MOVETO: (move, 1), Path.LINETO: (line, 1), Path.CURVE3: (quadratic, 2), Path.CURVE4: (cubic, 3),
             Path.CLOSEPOLY: (end, 1)}  # fmt: skip
    while i < len(codes):
        text, taken = steps[np.uint8(codes[i])]
        found.append(text)
        i += taken
    return "".join(found)


def record(figure: Figure) -> Recording:
    """Walk through a figure once.

    Raises
    ------
    NotRecordableError
        Where only Matplotlib's own writers can draw it.
    """
    dpi = figure.dpi
    try:
        # formats without dots count in points
        figure.dpi = 72
        width, height = (72.0 * float(inches) for inches in figure.get_size_inches())
        recorder = _Recorder(width, height)
        figure.draw(recorder)
    finally:
        figure.dpi = dpi
    return Recording(width, height, tuple(recorder.marks))


class _Recorder(RendererBase):
    """A renderer that takes down what it is told to draw."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self.width, self.height = width, height
        self.marks: list[Shape | Words] = []

    def flipy(self) -> bool:
        return False

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self.width, self.height

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Any) -> tuple[float, float, float]:
        bold = _weight(prop)
        line = None if ismath or bold is None else face(bold).line(s)
        if line is None:
            return text_to_path.get_text_width_height_descent(s, prop, ismath)
        scale = prop.get_size_in_points() / UNITS
        return (line.right - line.left) * scale, (line.high - line.low) * scale, -line.low * scale

    def _get_font_height_metrics(self, prop: FontProperties) -> tuple[float | None, float | None, float | None]:
        # from 3.11 on Matplotlib asks renderers that have this, and otherwise looks for the font's file at every text
        bold = _weight(prop)
        if bold is None:
            return None, None, None
        above, below, gap = (size * prop.get_size_in_points() for size in face(bold).height)
        return above, below, gap

    def draw_path(self, gc: GraphicsContextBase, path: Path, transform: Transform, rgbFace: Any = None) -> None:
        # lines may be cut at the page and thinned, as in Matplotlib's writers; what is filled may not
        thinned = rgbFace is None
        shape = path.cleaned(
            transform, remove_nans=True, clip=(0.0, 0.0, self.width, self.height) if thinned else None,
            simplify=thinned and path.should_simplify, curves=True,
        )  # fmt: skip
        look = _look(gc, rgbFace)
        if np.shape(shape.vertices)[0] > 1 and (look.fill or look.stroke):
            self.marks.append(_shape(shape, None, look, _clip(gc)))

    def draw_markers(
        self, gc: GraphicsContextBase, marker_path: Path, marker_trans: Transform, path: Path, trans: Transform,
        rgbFace: Any = None,
    ) -> None:  # fmt: skip
        # a marker may reach into the page from beyond it
        wide, high = self.width, self.height
        found: Any = path.iter_segments(trans, clip=(-wide, -high, 2 * wide, 2 * high), simplify=False)
        places = np.array([vertices[-2:] for vertices, _ in found if len(vertices)])
        look = _look(gc, rgbFace)
        if len(places) > _MANY:
            raise NotRecordableError("many markers")
        if len(places) and (look.fill or look.stroke):
            marker = marker_path.cleaned(marker_trans, simplify=False, curves=True)
            self.marks.append(_shape(marker, places, look, _clip(gc)))

    def draw_text(
        self, gc: GraphicsContextBase, x: float, y: float, s: str, prop: FontProperties, angle: float,
        ismath: Any = False, mtext: Text | None = None,
    ) -> None:  # fmt: skip
        bold = _weight(prop)
        line = None if ismath or bold is None or gc.get_url() is not None else face(bold).line(s)
        if line is None or bold is None:
            raise NotRecordableError(f"text {s!r}")
        red, green, blue, alpha = gc.get_rgb()
        anchor = None
        if mtext is not None and angle == 0:
            anchor = (
                {"left": "start", "center": "middle", "right": "end"}[mtext.get_horizontalalignment()],
                float(mtext.get_transform().transform(mtext.get_unitless_position())[0]),
            )
        self.marks.append(
            Words(line, bold, float(prop.get_size_in_points()), float(x), float(y), float(angle), (red, green, blue),
                  gc.get_alpha() if gc.get_forced_alpha() else alpha, anchor, _clip(gc))
        )  # fmt: skip

    def draw_tex(self, *args: Any, **kwargs: Any) -> None:
        raise NotRecordableError("TeX")

    def draw_image(self, *args: Any, **kwargs: Any) -> None:
        raise NotRecordableError("an image")

    def draw_gouraud_triangles(self, *args: Any, **kwargs: Any) -> None:
        raise NotRecordableError("shading")

    def start_rasterizing(self) -> None:
        raise NotRecordableError("a part as dots")

    def start_filter(self) -> None:
        raise NotRecordableError("a filter")


def _weight(prop: FontProperties) -> bool | None:
    """Whether letters are bold; None where they are not of the shipped font."""
    if prop.get_family()[0] != FAMILY or prop.get_style() != "normal" or prop.get_variant() != "normal":
        return None
    return _WEIGHTS.get(prop.get_weight())


def _shape(path: Path, places: FloatArray | None, look: Look, clip: Box | None) -> Shape:
    codes = np.asarray(path.codes, dtype=np.uint8)
    vertices = np.asarray(path.vertices, dtype=float)
    if codes[-1] == Path.STOP:
        codes, vertices = codes[:-1], vertices[:-1]
    return Shape(vertices, codes, places, look, clip)


def _clip(gc: GraphicsContextBase) -> Box | None:
    path, _ = gc.get_clip_path()
    if path is not None:
        raise NotRecordableError("a part cut out along a path")
    box = gc.get_clip_rectangle()
    if box is None:
        return None
    x, y, width, height = box.bounds
    return float(x), float(y), float(width), float(height)


_CAPS: Callable[[str], str | None] = {"projecting": "square"}.get


def _look(gc: GraphicsContextBase, face_colour: Any) -> Look:
    if gc.get_hatch() is not None or gc.get_sketch_params() is not None or gc.get_url() is not None:
        raise NotRecordableError("hatching, a sketch or a link")
    red, green, blue, stroke_alpha = (float(value) for value in gc.get_rgb())
    width = float(gc.get_linewidth())
    offset, lengths = gc.get_dashes()
    dashes = None if lengths is None else tuple(np.asarray(lengths, dtype=float).tolist())
    fill = None if face_colour is None else tuple(float(value) for value in face_colour)
    fill_alpha = 1.0 if fill is None or len(fill) < 4 else fill[3]
    if gc.get_forced_alpha():
        fill_alpha = stroke_alpha = float(gc.get_alpha())
        if fill is not None and width > 0 and fill_alpha != 1:
            raise NotRecordableError("a filling and its edge that are seen through as one")
    cap, join = str(gc.get_capstyle()), str(gc.get_joinstyle())
    return Look(
        None if fill is None or fill_alpha == 0 else (fill[0], fill[1], fill[2]),
        (red, green, blue) if width > 0 and stroke_alpha > 0 else None,
        fill_alpha,
        stroke_alpha,
        width,
        None if dashes is None else (float(offset or 0.0), dashes),
        _CAPS(cap) or cap,
        join,
    )
