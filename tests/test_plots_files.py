"""Pictures as files: what is written from one walk through a figure is what Matplotlib itself would draw.

Authorities: Matplotlib's own SVG (where texts and shapes stand), its outlines of text, and fontTools as a reader of the
fonts inside a PDF.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fontTools.ttLib import TTFont
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle
from matplotlib.textpath import text_to_path

import bayesmeta as bm
from bayesmeta.plots import Plot, benefit_plot, forest_plot, funnel_plot, heterogeneity_plot, plot_bytes
from bayesmeta.plots.letters import FAMILY, UNITS, face
from bayesmeta.plots.picture import drawing, vector_forms
from bayesmeta.plots.recording import NotRecordableError, Shape, Words, record

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
# FreeType counts in 64ths of a dot, here at 100 dots per em; Matplotlib before 3.11 rounds kerning otherwise, at most
# this much in a line of the test
DOTS = 1 / 8
# points by which numbers with three decimals, or with one, may be off after rounding
FILE, PAGE = 1e-3, 0.051
# Matplotlib writes six decimals, and the figure is the same; text that is turned starts half its length away
PLACE, TURNED = 2e-6, 0.01


@cache
def fit() -> bm.Fit:
    labels = ["A trial", "Jónsdóttir 2018 [yoga]", "WAVE (Tőkés)", "Fit & well <2", "E", "F"]
    effects = bm.Effects(
        labels, [-0.9, -0.1, -0.3, 0.2, -0.5, -0.4], [0.3, 0.1, 0.2, 0.25, 0.15, 0.4], measure="SMD", better="lower",
        name="Fatigue",
    )  # fmt: skip
    return bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


IMPORTANT = bm.threshold(0.3, measure_name="SMD", better="lower", name="important")
PICTURES: dict[str, Callable[[], Plot]] = {
    "forest": lambda: forest_plot(fit(), thresholds=[IMPORTANT], common_effect=True),
    "narrow forest": lambda: forest_plot(fit(), width_mm=90),
    "heterogeneity": lambda: heterogeneity_plot(fit(), thresholds=[IMPORTANT]),
    "benefit": lambda: benefit_plot(fit(), thresholds=[IMPORTANT]),
    "funnel": lambda: funnel_plot(fit()),
}
EACH = pytest.mark.parametrize("name", PICTURES)


@cache
def picture(name: str) -> Plot:
    return PICTURES[name]()


def theirs(plot: Plot) -> ET.Element:
    """The picture as Matplotlib writes it, with text as text."""
    buffer = io.BytesIO()
    with drawing():
        mpl.rcParams["svg.fonttype"] = "none"
        plot.figure.savefig(buffer, format="svg", metadata={"Date": None})
    return ET.fromstring(buffer.getvalue())


# -- letters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize(
    "text", ["", " ", "A", "AV To fi Ya.", "\u22120.28 [\u22120.40, \u22120.15]", "\u2190 jÅ\u0151 g\u00b2"]
)
def test_a_line_is_measured_and_outlined_as_by_matplotlib(text: str, bold: bool) -> None:
    with drawing():
        font = FontProperties(family=FAMILY, size=UNITS / 64, weight="bold" if bold else "normal")
        width, height, descent = text_to_path.get_text_width_height_descent(text, font, False)
        vertices, _ = text_to_path.get_text_path(font, text)
    line = face(bold).line(text)
    assert line is not None
    measured = np.array([line.right - line.left, line.high - line.low, -line.low]) / 64
    np.testing.assert_allclose(measured, [width, height, descent], atol=DOTS)
    ours = [
        face(bold).outline(glyph)[0] / 64 + [place / 64, 0]
        for glyph, place in zip(line.glyphs, line.places, strict=True)
    ]
    if np.size(vertices):
        np.testing.assert_allclose(np.concatenate(ours), vertices, atol=DOTS)


def test_letters_that_the_font_lacks_make_no_line() -> None:
    assert face().line("Иванов") is None
    assert face().line("two\nlines") is None


# -- one walk ----------------------------------------------------------------------------------------------------------


@EACH
def test_every_text_stands_where_matplotlib_puts_it(name: str) -> None:
    plot = picture(name)
    with drawing():
        recording = record(plot.figure)
    words = [mark for mark in recording.marks if isinstance(mark, Words)]
    written = list(theirs(plot).iter(f"{SVG}text"))
    assert [mark.line.text for mark in words] == [item.text for item in written]
    for mark, item in zip(words, written, strict=True):
        if "x" in item.attrib:
            assert mark.anchor is not None
            assert mark.anchor[1] == pytest.approx(float(item.attrib["x"]), abs=PLACE)
            assert recording.height - mark.y == pytest.approx(float(item.attrib["y"]), abs=PLACE)
            assert f"text-anchor: {mark.anchor[0]}" in item.attrib["style"]
        else:
            x, y, turn = map(float, re.findall(r"-?[\d.]+", item.attrib["transform"]))
            assert (mark.x, recording.height - mark.y) == pytest.approx((x, y), abs=TURNED)
            assert mark.angle == -turn


@EACH
def test_every_shape_stands_where_matplotlib_puts_it(name: str) -> None:
    plot = picture(name)
    with drawing():
        recording = record(plot.figure)
    root = theirs(plot)
    defined = {item for part in root.iter(f"{SVG}defs") for item in part.iter()}
    # in the order of drawing: paths with their first point, and markers with their places
    found: list[tuple[float, float]] = []
    for item in root.iter():
        if item.tag == f"{SVG}path" and item not in defined:
            x, y = re.findall(r"-?[\d.e-]+", item.attrib["d"])[:2]
            found.append((float(x), float(y)))
        elif item.tag == f"{SVG}use":
            found.append((float(item.attrib["x"]), float(item.attrib["y"])))
    ours: list[tuple[float, float]] = []
    for mark in recording.marks:
        if isinstance(mark, Shape):
            places = mark.vertices[:1] if mark.places is None else mark.places
            ours += [(float(x), recording.height - float(y)) for x, y in places]
    # Matplotlib also writes paths that have neither filling nor line
    missing = [place for place in ours if min(np.hypot(place[0] - x, place[1] - y) for x, y in found) > 10 * PLACE]
    assert not missing
    assert len(ours) > 8


@EACH
def test_outlines_and_text_stand_at_the_same_spot(name: str) -> None:
    plot = picture(name)
    forms = vector_forms(plot, "one")
    outlined = [item for item in ET.fromstring(forms.svg).iter(f"{SVG}g") if "transform" in item.attrib]
    written = list(ET.fromstring(forms.inline).iter(f"{SVG}text"))
    assert len(outlined) == len(written) > 10
    for group, text in zip(outlined, written, strict=True):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", group.attrib["transform"])]
        x, y, scale = numbers[0], numbers[1], numbers[-2]
        assert scale * UNITS == pytest.approx(float(text.attrib["font-size"].removesuffix("px")), rel=1e-5)
        line = face("font-weight" in text.attrib).line(text.text or "")
        assert line is not None
        # a letter for every one that has an outline, each where it starts
        placed = [(int(use.attrib["x"]), use.attrib[LINK]) for use in group]
        assert [place for place, _ in placed] == [
            place for place, letter in zip(line.places, line.text, strict=True) if not letter.isspace()
        ]
        if "transform" in text.attrib:
            assert (x, y) == pytest.approx(
                [float(n) for n in re.findall(r"-?[\d.]+", text.attrib["transform"])[:2]], abs=PAGE + FILE
            )
            continue
        share = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.attrib.get("text-anchor", "start")]
        start = float(text.attrib["x"]) - share * (line.right - line.left) * scale
        assert (x, y) == pytest.approx((start, float(text.attrib["y"])), abs=PAGE + FILE)


@EACH
def test_what_a_picture_refers_to_is_in_it_and_nothing_is_named_twice(name: str) -> None:
    forms = vector_forms(picture(name), "one")
    for text in (forms.svg.decode("utf-8"), forms.inline):
        names = re.findall(r'\bid="([^"]+)"', text)
        assert len(names) == len(set(names))
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)) <= {(n, "") for n in names} | {
            ("", n) for n in names
        }
    assert all(item.startswith("one-") for item in re.findall(r'\bid="([^"]+)"', forms.inline))
    assert forms.svg == plot_bytes(picture(name), "svg")
    assert forms.pdf == plot_bytes(picture(name), "pdf")


# -- PDF ---------------------------------------------------------------------------------------------------------------


def objects(content: bytes) -> dict[int, bytes]:
    """Objects of a file by number, found by its table of places."""
    start = int(content.rpartition(b"startxref\n")[2].split()[0])
    lines = content[start:].split(b"\n")
    assert lines[0] == b"xref"
    count = int(lines[1].split()[1])
    found = {}
    for number, entry in enumerate(lines[3 : 2 + count], start=1):
        head, _, rest = content[int(entry[:10]) :].partition(b" 0 obj\n")
        assert int(head) == number
        found[number] = rest.partition(b"\nendobj\n")[0]
    return found


def stream(content: bytes) -> bytes:
    size = int(content.partition(b"/Length ")[2].split()[0])
    data = content.partition(b"stream\n")[2]
    assert data[size:] == b"\nendstream"
    return zlib.decompress(data[:size])


def part(content: bytes, name: str) -> str:
    found = re.search(rf"/{name} (\d+) 0 R|/{name} \[(\d+) 0 R\]".encode(), content)
    assert found is not None
    return (found.group(1) or found.group(2)).decode()


@EACH
def test_pdf_text_can_be_searched_and_its_fonts_hold_the_letters_it_uses(name: str) -> None:
    plot = picture(name)
    found = objects(plot_bytes(plot, "pdf"))
    page = next(item for item in found.values() if b"/Type /Page " in item)
    fonts = {match[0].decode(): found[int(match[1])] for match in re.findall(rb"/(F\d) (\d+) 0 R", page)}
    meanings, advances = {}, {}
    for key, font in fonts.items():
        pairs = re.findall(rb"<([0-9A-F]{4})> <([0-9A-F]{4,8})>", stream(found[int(part(font, "ToUnicode"))]))
        meanings[key] = {int(a, 16): bytes.fromhex(b.decode()).decode("utf-16-be") for a, b in pairs if b != b"FFFF"}
        below = found[int(part(font, "DescendantFonts"))]
        descriptor = found[int(part(below, "FontDescriptor"))]
        inside = TTFont(io.BytesIO(stream(found[int(part(descriptor, "FontFile2"))])))
        whole = TTFont(face(b"Bold" in font).path)
        order = whole.getGlyphOrder()
        used = set(meanings[key])
        for number, (ours, all_) in enumerate(zip(inside.getGlyphOrder(), order, strict=True)):
            drawn = inside["glyf"][ours]
            if number in used:
                assert drawn.getCoordinates(inside["glyf"]) == whole["glyf"][all_].getCoordinates(whole["glyf"])
        # the parts of accented letters come along, and hardly anything else
        kept = sum(inside["glyf"][ours].numberOfContours != 0 for ours in inside.getGlyphOrder())
        assert kept <= 2 * len(used) + 1
        widths = re.search(rb"/W \[(.*?\])\]", below)
        assert widths is not None
        advances[key] = {int(a): float(b) for a, b in re.findall(rb"(\d+) \[([\d.]+)\]", widths.group(1))}
        for number in used:
            assert advances[key][number] == pytest.approx(whole["hmtx"][order[number]][0] * 1000 / 2048, abs=0.01)
    lines, font_key, size = [], "", 0.0
    with drawing():
        words = [mark for mark in record(plot.figure).marks if isinstance(mark, Words)]
    for row in stream(found[int(part(page, "Contents"))]).decode("ascii").split("\n"):
        if row.endswith(" Tf"):
            font_key, size = row.split()[0][1:], float(row.split()[1])
        shown = re.search(r"\[(<.*>)\] TJ", row)
        if shown is None:
            continue
        text, pen, places = "", 0.0, []
        for letters, step in re.findall(r"<([0-9A-F]*)>|(-?[\d.]+)", shown.group(1)):
            pen -= float(step or 0)
            for i in range(0, len(letters), 4):
                number = int(letters[i : i + 4], 16)
                text += meanings[font_key][number]
                places.append(pen)
                pen += advances[font_key][number]
        mark = words[len(lines)]
        # thousandths of an em: what is not corrected, and the rounding of what is
        np.testing.assert_allclose(places, np.array(mark.line.places) * 1000 / UNITS, atol=0.6)
        assert size == pytest.approx(mark.size)
        lines.append(text)
    assert lines == [mark.line.text.replace("\u00a0", " ") for mark in words]


def test_pdf_says_what_it_is_of() -> None:
    plot = Plot(picture("funnel").figure, pd.DataFrame(), "It's (80 %) \\ of I\u00b2.", "A (b")
    content = plot_bytes(plot, "pdf")
    about = next(item for item in objects(content).values() if b"/Producer" in item)
    assert b"/Title (A \\(b)" in about
    text = re.search(rb"/Subject <([0-9A-F]+)>", about)
    assert text is not None
    assert bytes.fromhex(text.group(1).decode()).decode("utf-16") == plot.alt
    assert b"Date" not in about


# -- the same every time -----------------------------------------------------------------------------------------------


FRESH = """
import hashlib, sys
sys.path.insert(0, {tests!r})
import test_plots_files as t
for name in {names!r}:
    forms = t.vector_forms(t.PICTURES[name](), "one")
    print(name, *(hashlib.sha256(part).hexdigest() for part in (forms.svg, forms.pdf, forms.inline.encode())))
"""


def test_bytes_do_not_depend_on_what_was_drawn_before() -> None:
    folder = str(Path(__file__).parent)
    runs = []
    for names in (list(PICTURES), list(PICTURES)[::-1]):
        code = FRESH.format(tests=folder, names=names)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        runs.append(sorted(done.stdout.splitlines()))
    assert len(runs[0]) == len(PICTURES)
    assert runs[0] == runs[1]


def test_a_figure_is_left_as_it_was() -> None:
    plot = forest_plot(fit())
    figure = plot.figure
    dpi, canvas, png = figure.dpi, figure.canvas, plot_bytes(plot, "png", dpi=60)
    size = tuple(figure.get_size_inches())
    for fmt in ("svg", "pdf"):
        plot_bytes(plot, fmt)
    assert (figure.dpi, tuple(figure.get_size_inches())) == (dpi, size)
    assert figure.canvas is canvas
    assert plot_bytes(plot, "png", dpi=60) == png


def test_settings_inside_settings_are_those_of_the_outer_ones() -> None:
    with mpl.rc_context({"font.size": 20.0}):
        with drawing():
            with drawing():
                assert mpl.rcParams["font.size"] == 7.0
            assert mpl.rcParams["font.size"] == 7.0
        assert mpl.rcParams["font.size"] == 20.0


# -- what only Matplotlib can write ------------------------------------------------------------------------------------


def drawn(change: Callable[[Figure], object]) -> Plot:
    plot = funnel_plot(fit())
    with drawing():
        change(plot.figure)
    return plot


CHANGES: dict[str, Callable[[Figure], object]] = {
    "a formula": lambda figure: figure.text(0.5, 0.5, "$x^2$"),
    "another font": lambda figure: figure.text(0.5, 0.5, "abc", family="DejaVu Serif"),
    "letters the font lacks": lambda figure: figure.text(0.5, 0.5, "Иванов"),
    "hatching": lambda figure: figure.axes[0].axvspan(0, 1, hatch="//"),
    "an image": lambda figure: figure.axes[0].imshow(np.eye(2)),
    "a part cut out": lambda figure: (
        figure.axes[0].lines[0].set_clip_path(Circle((0, 0), 1).get_path(), figure.transFigure)
    ),
    "a part as dots": lambda figure: figure.axes[0].lines[0].set_rasterized(True),
    "a link": lambda figure: figure.axes[0].lines[0].set_url("https://example.org"),
    "a filling and its edge seen through as one": lambda figure: figure.axes[0].axvspan(0, 1, alpha=0.5, ec="k", lw=1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_only_matplotlib_can_write_is_left_to_it(what: str) -> None:
    plot = drawn(CHANGES[what])
    with drawing(), pytest.raises(NotRecordableError):
        record(plot.figure)
    forms = vector_forms(plot, "one")
    root = ET.fromstring(forms.svg)
    assert root.attrib["role"] == "img"
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert forms.pdf.startswith(b"%PDF")
    page = ET.fromstring(forms.inline)
    assert page.attrib["aria-label"] == plot.alt
    names = re.findall(r'\bid="([^"]+)"', forms.inline)
    assert all(name.startswith("one-") for name in names)
    assert any("estimates" in (text.text or "") for text in page.iter(f"{SVG}text"))
