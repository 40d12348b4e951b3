"""A finished picture with its table and alt text, and how it becomes a file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import xml.sax
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from bayesmeta.boundary import replaced
from bayesmeta.errors import ModelError, warn
from bayesmeta.plots.fonts import FAMILY, GENERIC, drawable, families, missing_letters, quiet, unlogged

__all__ = ["FORMATS", "Plot", "PlotFormat", "drawing", "plot_bytes", "save_plot"]

PlotFormat = Literal["png", "svg", "pdf"]
FORMATS: tuple[PlotFormat, ...] = get_args(PlotFormat)

_SETTINGS: dict[str, Any] = {
    "font.family": [FAMILY, GENERIC],
    "font.sans-serif": [FAMILY, "Verdana"],
    "font.size": 7.0,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    # a name between dollars is a name
    "text.parse_math": False,
    "svg.fonttype": "none",
    # outlines that printers and journals accept
    "pdf.fonttype": 42,
}
#: Points around an SVG: a viewer without its font may take a wider one.
_ROOM = 14.0
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
    token = _inside.set(True)
    try:
        with mpl.rc_context(), unlogged():
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
    more : tuple of Figure
        Further pages of a picture that is longer than one.

    Examples
    --------
    >>> Plot(Figure(), pd.DataFrame(), "An empty picture.", "Nothing").alt
    'An empty picture.'
    """

    figure: Figure
    table: pd.DataFrame
    alt: str
    title: str
    more: tuple[Figure, ...] = ()

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every page in order."""
        return (self.figure, *self.more)

    def save(self, path: str | Path, *, dpi: float = 300) -> Path:
        """Write it as PNG, SVG or PDF, whichever the suffix says, page by page (`save_plot`)."""
        return save_plot(self, path, dpi=dpi)

    def _repr_png_(self) -> bytes:
        return plot_bytes(self, "png", dpi=150)


def plot_bytes(plot: Plot, fmt: PlotFormat, *, dpi: float = 300, key: str | None = None, page: int = 1) -> bytes:
    r"""Render a plot; the same plot gives the same bytes every time.

    Parameters
    ----------
    plot : Plot
    fmt : {"png", "svg", "pdf"}
    dpi : float
        Dots per inch of PNG; it changes nothing in the others.
    key : str, optional
        First part of every id in an SVG, so that several can stand in one page; by default made of title and alt text.
    page : int
        Which page of PNG and SVG; a PDF holds all of them.

    Returns
    -------
    bytes
        With title and alt text inside: PNG ``Title`` and ``Description``, SVG ``<title>`` and ``<desc>``, PDF
        ``Title`` and ``Subject``. No date is written. The text of an SVG is text, with room around the picture for
        viewers that have another font; a PDF holds its fonts.

    Raises
    ------
    ModelError
        For another format, a dpi that is not positive, a key that is no id, or a page that there is not.

    Warns
    -----
    BayesmetaWarning
        Where no installed font has some letters; the sentence names them, and boxes stand in their place.

    Examples
    --------
    >>> picture = Plot(Figure(figsize=(1, 1)), pd.DataFrame(), "An empty picture.", "Nothing")
    >>> plot_bytes(picture, "png")[:4]
    b'\x89PNG'
    >>> b'id="one-title"' in plot_bytes(picture, "svg", key="one")
    True
    """
    if fmt not in FORMATS:
        raise ModelError(f"unknown picture format {fmt!r}. Allowed: {', '.join(FORMATS)}.")
    if not dpi > 0:
        raise ModelError(f"dpi = {dpi} is not > 0; 300 is usual for print.")
    pages = len(plot.figures)
    if not 1 <= page <= pages:
        raise ModelError(f"page = {page}; the picture has {pages}, counted from 1.")
    if key is None:
        key = "plot-" + hashlib.sha256(f"{plot.title}\n{plot.alt}".encode()).hexdigest()[:12]
        key += f"-{page}" if page > 1 else ""
    elif not re.fullmatch(r"[A-Za-z_][\w.-]*", key):
        raise ModelError(f"key = {key!r} is no id: letters, digits, '_', '-' and '.', the first one a letter or '_'.")
    about: dict[str, Any] = {
        "png": {"Title": plot.title, "Description": plot.alt, "Software": "bayesmeta"},
        # title and description are added to the finished picture, where screen readers look for them
        "svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
        "pdf": {
            "Title": plot.title,
            "Subject": plot.alt,
            "Creator": "bayesmeta",
            "Producer": "bayesmeta",
            "CreationDate": None,
        },
    }
    buffer = io.BytesIO()
    figures = plot.figures if fmt == "pdf" else (plot.figures[page - 1],)
    missing = "".join(dict.fromkeys("".join(map(_fonts_set, figures))))
    if missing:
        warn(
            f"No installed font has {', '.join(missing)}: boxes stand in the picture where these letters belong. "
            "Install a font that has them (the Noto fonts cover most scripts) and draw again."
        )
    with drawing(), quiet(missing):
        mpl.rcParams["svg.hashsalt"] = key
        if len(figures) > 1:
            # the backend takes long to load, and few pictures have several pages
            from matplotlib.backends.backend_pdf import PdfPages

            with PdfPages(buffer, metadata=about[fmt]) as book:
                for figure in figures:
                    figure.savefig(book, format="pdf")
        else:
            figures[0].savefig(buffer, format=fmt, dpi=dpi, metadata=about[fmt])
    return _finished_svg(buffer.getvalue(), key, plot.title, plot.alt) if fmt == "svg" else buffer.getvalue()


def _fonts_set(figure: Figure) -> str:
    """Give every text of a figure the families that its letters need; return the letters that none has."""
    missing: dict[str, None] = {}
    for item in _words_of(figure):
        text = item.get_text()
        if not text.isascii() and FAMILY in item.get_fontfamily():
            bold = item.get_fontweight() == "bold"
            item.set_fontfamily(families(text, bold=bold))
            missing |= dict.fromkeys(missing_letters(text, bold=bold))
    return "".join(missing)


def _words_of(figure: Figure) -> Iterator[Text]:
    """Every text but the numbers along axes, which take long to make and are made when they are drawn."""
    yield from figure.texts
    for axes in figure.axes:
        yield from (*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label)


def _finished_svg(content: bytes, key: str, title: str, alt: str) -> bytes:
    """Make Matplotlib's SVG one image with title and description, which shares no id and no style with others."""
    finished = _Finished(key, drawable(title), drawable(alt))
    xml.sax.parseString(content, finished)
    return finished.written.getvalue()


class _Finished(XMLGenerator):
    """Writes an SVG again as it is read, with what is needed to stand in a page."""

    def __init__(self, key: str, title: str, alt: str) -> None:
        self.written = io.BytesIO()
        super().__init__(self.written, "utf-8", short_empty_elements=True)
        self._key, self._words, self._depth, self._style = key, {"title": title, "desc": alt}, 0, False

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        found = {item: self._own(item, value) for item, value in attrs.items()}
        if self._depth == 0:
            names = " ".join(f"{self._key}-{word}" for word in self._words)
            found |= {"id": self._key, "role": "img", "aria-labelledby": names, **_roomy(found)}
        super().startElement(name, AttributesImpl(found))
        if self._depth == 0:
            for word, text in self._words.items():
                super().startElement(word, AttributesImpl({"id": f"{self._key}-{word}"}))
                super().characters(text)
                super().endElement(word)
        self._depth += 1
        self._style = name == "style"

    def characters(self, content: str) -> None:
        # the one rule that Matplotlib writes is of every element, in a page of those of other pictures too
        here = f'[id="{self._key}"]'
        super().characters(f"{here} {content} {here} text{{white-space: pre}}" if self._style else content)

    def endElement(self, name: str) -> None:  # noqa: N802
        super().endElement(name)
        self._style = False
        self._depth -= 1

    def _own(self, name: str, value: str) -> str:
        """Put the key before every id and before what refers to one."""
        if name == "id":
            return f"{self._key}-{value}"
        return (
            f"#{self._key}-{value[1:]}"
            if name == "xlink:href" and value.startswith("#")
            else value.replace("url(#", f"url(#{self._key}-")
        )


def _roomy(attributes: dict[str, str]) -> dict[str, str]:
    """Width, height and view of a root with room on every side, white like the picture."""
    wide, high = (float(attributes[name].removesuffix("pt")) + 2 * _ROOM for name in ("width", "height"))
    view = f"{-_ROOM:g} {-_ROOM:g} {wide:.6f} {high:.6f}"
    return {"width": f"{wide:.6f}pt", "height": f"{high:.6f}pt", "viewBox": view, "style": "background: #ffffff"}


def save_plot(plot: Plot, path: str | Path, *, dpi: float = 300) -> Path:
    """Write a plot as PNG, SVG or PDF, whichever the suffix says; further pages of PNG and SVG as ``name-2.png`` ...

    A PDF holds all pages. Each file is written under a temporary name and then renamed, so that no half-written picture
    is left.

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
        Of the first page.

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
    for page in range(1, (1 if chosen == "pdf" else len(plot.figures)) + 1):
        place = path if page == 1 else path.with_name(f"{path.stem}-{page}{path.suffix}")
        content = plot_bytes(plot, chosen, dpi=dpi, page=page)
        with replaced(place) as whole:
            whole.write_bytes(content)
    return path
