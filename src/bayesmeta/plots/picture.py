"""A finished picture with its table and alt text, and how it becomes a file."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
import xml.sax.saxutils
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib as mpl
import pandas as pd
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bayesmeta.errors import ModelError
from bayesmeta.plots.letters import FAMILY, font_files
from bayesmeta.plots.pdf import pdf_file
from bayesmeta.plots.recording import NotRecordableError, Recording, record
from bayesmeta.plots.svg import svg_file, svg_inline

__all__ = ["FORMATS", "Plot", "PlotFormat", "Vector", "drawing", "plot_bytes", "save_plot", "vector_forms"]

PlotFormat = Literal["png", "svg", "pdf"]
FORMATS: tuple[PlotFormat, ...] = get_args(PlotFormat)

_SETTINGS: dict[str, Any] = {
    # DejaVu Sans with the letters that pictures need (tools/make_fonts.py); what it lacks comes from DejaVu itself
    "font.family": [FAMILY, "DejaVu Sans"],
    "font.size": 7.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    # columns are laid out by the width of their text, so a viewer's other font would make them overlap: SVG text is
    # drawn as outlines of DejaVu Sans, and what a screen reader needs stands in <title> and <desc>
    "svg.fonttype": "path",
    "svg.hashsalt": "bayesmeta",
    # outlines that printers and journals accept
    "pdf.fonttype": 42,
}


def _know_fonts() -> None:
    """Tell Matplotlib of the shipped fonts, once in a process."""
    if not any(entry.name == FAMILY for entry in font_manager.fontManager.ttflist):
        for path in font_files():
            font_manager.fontManager.addfont(path)


#: Whether the settings are made already; making them again would take longer than a small picture.
_inside: ContextVar[bool] = ContextVar("drawing", default=False)


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Draw under these settings whatever the user's own are, and leave the user's as they were.

    One inside another costs nothing.

    Examples
    --------
    >>> before = mpl.rcParams["font.size"]
    >>> with drawing():
    ...     inside = mpl.rcParams["font.size"]
    >>> inside, mpl.rcParams["font.size"] == before
    (7.0, True)
    """
    if _inside.get():
        yield
        return
    _know_fonts()
    token = _inside.set(True)
    try:
        with mpl.rc_context():
            mpl.rcdefaults()
            for key, value in _SETTINGS.items():
                mpl.rcParams[key] = value  # type: ignore[index]
            yield
    finally:
        _inside.reset(token)


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """A figure, the table it was drawn from, and what it says in words.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        Not registered with pyplot; in a notebook it shows itself.
    table : pandas.DataFrame
        The numbers drawn, on the scale of the analysis.
    alt : str
        One paragraph for people who do not see the picture, built from the numbers.
    title : str

    Examples
    --------
    >>> Plot(Figure(), pd.DataFrame(), "An empty picture.", "Nothing").alt
    'An empty picture.'
    """

    figure: Figure
    table: pd.DataFrame
    alt: str
    title: str

    def _repr_png_(self) -> bytes:
        return plot_bytes(self, "png", dpi=150)


def plot_bytes(plot: Plot, fmt: PlotFormat, *, dpi: float = 300) -> bytes:
    r"""Render a plot; the same plot gives the same bytes every time.

    Parameters
    ----------
    plot : Plot
    fmt : {"png", "svg", "pdf"}
    dpi : float
        Dots per inch of PNG; it changes nothing in the others.

    Returns
    -------
    bytes
        With title and alt text inside: PNG ``Title`` and ``Description``, SVG ``<title>`` and ``<desc>``, PDF
        ``Title`` and ``Subject``. No date is written.

    Raises
    ------
    ModelError
        For another format, or a dpi that is not positive.

    Examples
    --------
    >>> picture = Plot(Figure(figsize=(1, 1)), pd.DataFrame(), "An empty picture.", "Nothing")
    >>> plot_bytes(picture, "png")[:4]
    b'\x89PNG'
    """
    if fmt not in FORMATS:
        raise ModelError(f"unknown picture format {fmt!r}. Allowed: {', '.join(FORMATS)}.")
    if not dpi > 0:
        raise ModelError(f"dpi = {dpi} is not > 0; 300 is usual for print.")
    recording = None if fmt == "png" else _recorded(plot)
    if recording is not None:
        return (svg_file if fmt == "svg" else pdf_file)(recording, plot.title, plot.alt)
    content = _matplotlib_bytes(plot, fmt, dpi)
    return _described(content, plot.alt) if fmt == "svg" else content


@dataclass(frozen=True, slots=True)
class Vector:
    """One picture in every form that has no dots.

    Attributes
    ----------
    svg, pdf : bytes
        As of `plot_bytes`.
    inline : str
        SVG that stands inside a page, its text as text in the font that the page carries.
    """

    svg: bytes
    pdf: bytes
    inline: str


def vector_forms(plot: Plot, prefix: str) -> Vector:
    """Write a picture as SVG, as PDF and for a page, going through it once.

    Parameters
    ----------
    plot : Plot
    prefix : str
        Of every id in the page, so that no two pictures of a page share one.

    Examples
    --------
    >>> picture = Plot(Figure(figsize=(1, 1)), pd.DataFrame(), "An empty picture.", "Nothing")
    >>> vector_forms(picture, "a").pdf == plot_bytes(picture, "pdf")
    True
    """
    recording = _recorded(plot)
    if recording is None:
        return Vector(plot_bytes(plot, "svg"), plot_bytes(plot, "pdf"), _matplotlib_inline(plot, prefix))
    return Vector(
        svg_file(recording, plot.title, plot.alt),
        pdf_file(recording, plot.title, plot.alt),
        svg_inline(recording, plot.alt, prefix),
    )


def _recorded(plot: Plot) -> Recording | None:
    """What is on the page; None where only Matplotlib can write it."""
    try:
        with drawing():
            return record(plot.figure)
    except NotRecordableError:
        return None


def _matplotlib_bytes(plot: Plot, fmt: PlotFormat, dpi: float, fonttype: str = "path") -> bytes:
    """Let Matplotlib write a picture."""
    metadata: dict[PlotFormat, dict[str, Any]] = {
        "png": {"Title": plot.title, "Description": plot.alt, "Software": "bayesmeta"},
        "svg": {"Title": plot.title, "Description": plot.alt, "Creator": "bayesmeta", "Date": None},
        "pdf": {
            "Title": plot.title,
            "Subject": plot.alt,
            "Creator": "bayesmeta",
            "Producer": "bayesmeta",
            "CreationDate": None,
        },
    }
    buffer = io.BytesIO()
    canvas = plot.figure.canvas
    with drawing():
        mpl.rcParams["svg.fonttype"] = fonttype
        plot.figure.savefig(buffer, format=fmt, dpi=dpi, metadata=metadata[fmt])
    # saving in another format swaps the canvas; a later measurement of text expects the one it had
    plot.figure.set_canvas(canvas if isinstance(canvas, FigureCanvasAgg) else FigureCanvasAgg(plot.figure))
    return buffer.getvalue()


_DECIMALS = re.compile(r"-?\d+\.\d{3,}")
_IDS = re.compile(r'(\bid="|url\(#|href="#)')


def _matplotlib_inline(plot: Plot, prefix: str) -> str:
    """Make markup for a page of the SVG that Matplotlib writes."""
    text = _matplotlib_bytes(plot, "svg", 72, fonttype="none").decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<title>.*?</title>", "", text, flags=re.DOTALL)
    # a tenth of a point is finer than a screen shows
    text = _DECIMALS.sub(lambda match: f"{float(match.group()):.1f}", text)
    text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><")
    text = _IDS.sub(lambda match: f"{match.group(1)}{prefix}-", text)
    head, _, rest = text.partition(">")
    size = re.search(r'width="([\d.]+)pt"', head)
    assert size is not None
    wide = round(float(size.group(1)) * 4 / 3)
    head = re.sub(r' (?:width|height)="[\d.]+pt"', "", head)
    label = xml.sax.saxutils.quoteattr(plot.alt)
    return f'{head} role="img" aria-label={label} style="width:min(100%,{wide}px)">{rest}'


def _described(svg: bytes, alt: str) -> bytes:
    """Add <desc>, which screen readers read, and say that the drawing is one image."""
    text = svg.decode("utf-8")
    description = f'<desc id="description">{xml.sax.saxutils.escape(alt)}</desc>'
    text = text.replace("<title>", '<title id="title">', 1).replace("</title>", f"</title>\n {description}", 1)
    return text.replace("<svg ", '<svg role="img" aria-labelledby="title description" ', 1).encode("utf-8")


def save_plot(plot: Plot, path: str | Path, *, dpi: float = 300) -> Path:
    """Write a plot as PNG, SVG or PDF, whichever the suffix says.

    The file is written under a temporary name and then renamed, so that no half-written picture is left.

    Parameters
    ----------
    plot : Plot
    path : str or Path
        Ends in ``.png``, ``.svg`` or ``.pdf``.
    dpi : float
        Of PNG.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        For another suffix.

    Examples
    --------
    >>> save_plot(Plot(Figure(), pd.DataFrame(), "", ""), "forest.jpg")
    Traceback (most recent call last):
        ...
    bayesmeta.errors.ModelError: forest.jpg: unknown picture format '.jpg'. Allowed: .png, .svg, .pdf.
    """
    path = Path(path)
    suffix = path.suffix.lower().removeprefix(".")
    chosen = next((fmt for fmt in FORMATS if fmt == suffix), None)
    if chosen is None:
        allowed = ", ".join(f".{fmt}" for fmt in FORMATS)
        raise ModelError(f"{path}: unknown picture format {path.suffix!r}. Allowed: {allowed}.")
    content = plot_bytes(plot, chosen, dpi=dpi)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path
