"""Pictures as files: what Matplotlib is asked to draw, in which fonts, and what makes an SVG a part of a page.

Authorities: Matplotlib's renderers (what they are given to draw), XML and the readers of SVG, and the font files.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.backends.backend_pdf import RendererPdf
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure

import bayesmeta as bm
from bayesmeta.plots import (
    FORMATS,
    Plot,
    benefit_plot,
    drawing,
    forest_plot,
    funnel_plot,
    heterogeneity_plot,
    plot_bytes,
    save_plot,
)
from bayesmeta.plots import fonts as plot_fonts

SVG = "{http://www.w3.org/2000/svg}"
RENDERERS = {"png": RendererAgg, "svg": RendererSVG, "pdf": RendererPdf}
# points: about half a centimetre
ROOM = 14.0


def fitted(labels: list[str], name: str = "Fatigue") -> bm.Fit:
    """One picture's worth of trials with these names."""
    count = len(labels)
    y = [-0.9, -0.1, -0.3, 0.2, -0.5, -0.4, 0.1, -0.2]
    se = [0.3, 0.1, 0.2, 0.25, 0.15, 0.4, 0.2, 0.3]
    effects = bm.Effects(labels, y[:count], se[:count], measure="SMD", better="lower", name=name)
    return bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))


@cache
def fit() -> bm.Fit:
    return fitted(["A trial", "Jónsdóttir 2018 [yoga]", "WAVE (Tőkés)", "Fit & well <2", "E", "F"])


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


def written(plot: Plot) -> list[str]:
    """Texts of the SVG."""
    return [item.text or "" for item in ET.fromstring(plot_bytes(plot, "svg")).iter(f"{SVG}text")]


# -- SVG that stands in a page -----------------------------------------------------------------------------------------


def names(text: str) -> list[str]:
    return re.findall(r'\sid="([^"]+)"', text)


@EACH
def test_what_a_picture_refers_to_is_in_it_and_nothing_is_named_twice(name: str) -> None:
    text = plot_bytes(picture(name), "svg", key="one").decode("utf-8")
    found = names(text)
    assert len(found) == len(set(found)) > 10
    assert all(item == "one" or item.startswith("one-") for item in found)
    used = {first or second for first, second in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)}
    assert used
    assert used <= set(found)


def test_two_pictures_share_no_id_and_neither_styles_the_other() -> None:
    # what Matplotlib writes shares dozens of ids, and its one rule is of every element of the page
    texts = [plot_bytes(picture(name), "svg").decode("utf-8") for name in ("forest", "heterogeneity")]
    assert not set(names(texts[0])) & set(names(texts[1]))
    for text in texts:
        root = ET.fromstring(text)
        (style,) = root.iter(f"{SVG}style")
        rules = re.findall(r"([^{}]+)\{[^{}]+\}", style.text or "")
        assert len(rules) == 2
        assert all(rule.strip().startswith(f'[id="{root.attrib["id"]}"] ') for rule in rules)
    # a picture asked for twice in one page gets two keys
    again = plot_bytes(picture("forest"), "svg", key="again").decode("utf-8")
    assert not set(names(texts[0])) & set(names(again))


@pytest.mark.parametrize("key", ["", "1st", "a b", 'a"', "a#"])
def test_a_key_that_is_no_id_is_refused(key: str) -> None:
    with pytest.raises(bm.ModelError, match="no id"):
        plot_bytes(picture("funnel"), "svg", key=key)


@EACH
def test_svg_is_one_image_with_title_and_description(name: str) -> None:
    plot = picture(name)
    root = ET.fromstring(plot_bytes(plot, "svg", key="one"))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-labelledby"].split() == [child.attrib["id"] for child in root[:2]]
    assert [(child.tag, child.text) for child in root[:2]] == [
        (f"{SVG}title", plot.title),
        (f"{SVG}desc", plot.alt),
    ]
    assert not list(root.iter(f"{SVG}metadata"))


@EACH
def test_svg_has_room_on_every_side_for_wider_letters(name: str) -> None:
    plot = picture(name)
    root = ET.fromstring(plot_bytes(plot, "svg"))
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    wide, high = 72 * plot.figure.get_size_inches()
    assert left <= -ROOM
    assert top <= -ROOM
    assert left + width >= wide + ROOM - 1e-4
    assert top + height >= high + ROOM - 1e-4
    # nothing is enlarged or made smaller by it
    assert [root.attrib["width"], root.attrib["height"]] == [f"{width:.6f}pt", f"{height:.6f}pt"]


# -- every label as it was typed ---------------------------------------------------------------------------------------

TYPED = [
    "US$ 100 v US$ 200",
    "$$",
    "$x_1$",
    r"\alpha {2} %",
    "a_b^c & <i>",
    "Ελλάδα 2020",
    "Иванов & Петров",
    "دراسة القاهرة",
]


@pytest.mark.parametrize("fmt", FORMATS)
def test_labels_are_drawn_as_typed(fmt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, object]] = []
    renderer = RENDERERS[fmt]
    draw = renderer.draw_text

    def spy(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        given.append((s, ismath))
        return draw(self, gc, x, y, s, prop, angle, ismath=ismath, mtext=mtext)

    monkeypatch.setattr(renderer, "draw_text", spy)
    plot = forest_plot(fitted(TYPED, name="Costs of $a$ and $b$"), favours=("$10 less", "$10 more"))
    plot_bytes(plot, fmt, dpi=60)
    drawn = [text for text, _ in given]
    assert set(TYPED) <= set(drawn)
    assert "Costs of $a$ and $b$" in drawn
    assert any("$10 less" in text for text in drawn)
    assert not any(formula for _, formula in given)


def test_levels_of_moderators_are_drawn_as_typed() -> None:
    levels = ["$x$", "$$", "$x$", "$$", "$x$", "$$"]
    effects = bm.Effects(
        list("ABCDEF"),
        [-0.9, -0.1, -0.3, 0.2, -0.5, -0.4],
        [0.3, 0.1, 0.2, 0.25, 0.15, 0.4],
        measure="SMD",
        better="lower",
        moderators={"dose in $": levels},
    )
    pooled = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    texts = " ".join(written(forest_plot(pooled, subgroup="dose in $")))
    assert "$x$" in texts
    assert "$$" in texts


def test_svg_keeps_spaces_as_typed_and_stays_xml_with_any_character() -> None:
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.5, "a  b")
    assert "a  b" in written(Plot(figure, pd.DataFrame(), "Alt \x07.", "A \x00 title"))
    texts = written(forest_plot(fitted(["a bell \x07", "B", "C"])))
    assert "a bell \ufffd" in texts


# -- letters and fonts -------------------------------------------------------------------------------------------------


def forget() -> None:
    """Let everything that is kept about fonts be looked up again."""
    for item in ("_further", "_letters_of", "_own_letters", "_lacking", "_list_again", "width_per_size"):
        getattr(plot_fonts, item).cache_clear()


@pytest.fixture
def only_dejavu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A computer with no fonts but those of Matplotlib."""
    shipped = str(Path(mpl.get_data_path()))
    kept = [entry for entry in font_manager.fontManager.ttflist if str(entry.fname).startswith(shipped)]
    assert kept
    forget()
    monkeypatch.setattr(font_manager.fontManager, "ttflist", kept)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    yield
    forget()


def test_a_font_installed_since_matplotlib_listed_them_is_found(
    only_dejavu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Matplotlib keeps its list over months; here Greek comes from a font that is not on it
    serif = next(str(entry.fname) for entry in font_manager.fontManager.ttflist if entry.name == "DejaVu Serif")
    kept = [entry for entry in font_manager.fontManager.ttflist if entry.name == "cmr10"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", kept)
    assert plot_fonts._further("τ", False) == ((), "τ")
    forget()
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [serif])
    assert plot_fonts._further("τ", False) == (("DejaVu Serif",), "")


def has(path: str, letter: str) -> bool:
    return ord(letter) in font_manager.get_font(path).get_charmap()


def test_greek_cyrillic_and_arabic_need_no_other_font() -> None:
    for text in ("Ελλάδα", "Иванов", "دراسة القاهرة", "\u2212 \u2192 \u2265 \u00b2", "zero\u200dwidth \u2764\ufe0f"):
        assert plot_fonts.families(text) == ["DejaVu Sans", "sans-serif"]
        assert plot_fonts.missing_letters(text) == ""


@pytest.mark.parametrize("fmt", FORMATS)
def test_letters_that_no_font_has_are_told_in_one_sentence(fmt: str, only_dejavu: None) -> None:
    # what is missing is drawn as a box; Matplotlib would warn of each letter each time, and warnings are errors here
    plot = forest_plot(fitted(["研究 2018", "東京", "한국", "E"], name="研 outcome"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plot_bytes(plot, fmt, dpi=60)
    (found,) = caught
    assert issubclass(found.category, bm.BayesmetaWarning)
    assert found.filename == __file__
    sentence = str(found.message)
    for letter in "研究東京한국":
        assert sentence.count(letter) == 1
    assert "2018" not in sentence


def test_names_in_other_scripts_are_drawn_in_a_font_that_has_them(caplog: pytest.LogCaptureFixture) -> None:
    texts = {"研究 2018": "研究", "東京たいちょう": "東京たいちょう", "한국 연구": "한국연구"}
    if any(plot_fonts.missing_letters(text) for text in texts):
        if "CI" in os.environ:
            pytest.fail("fonts-noto-cjk is not installed")
        pytest.skip("no font for Chinese, Japanese and Korean is installed (Debian: fonts-noto-cjk)")
    for text, letters in texts.items():
        first, *others, last = plot_fonts.families(text)
        assert (first, last) == ("DejaVu Sans", "sans-serif")
        paths = [font_manager.findfont(font_manager.FontProperties(family=[name])) for name in others]
        assert all(any(has(path, letter) for path in paths) for letter in letters)
    # two letters that are drawn differ; two boxes would not. A bold heading in a family without bold is no warning
    pictures = [forest_plot(fitted([text, "B", "C"], name="研究")) for text in ("研", "究")]
    for fmt in FORMATS:
        first, second = (plot_bytes(plot, fmt, dpi=100) for plot in pictures)
        assert first != second
    assert not caplog.records


def test_a_box_is_the_same_for_every_letter(only_dejavu: None) -> None:
    # so that the test above can fail
    with pytest.warns(bm.BayesmetaWarning, match="No installed font"):
        first, second = (
            plot_bytes(forest_plot(fitted([text, "B", "C"], name="Pain")), "png", dpi=100) for text in ("研", "究")
        )
    assert first == second


def test_a_letter_that_only_the_regular_weight_has_is_looked_for_where_it_is_bold() -> None:
    regular, bold = (
        set(font_manager.get_font(Path(mpl.get_data_path()) / "fonts" / "ttf" / name).get_charmap())
        for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
    )
    letter = next(chr(code) for code in sorted(regular - bold) if code > 0x250)
    assert plot_fonts.families(letter) == ["DejaVu Sans", "sans-serif"]
    assert not plot_fonts.missing_letters(letter)
    further = plot_fonts.families(letter, bold=True)[1:-1]
    assert bool(further) != bool(plot_fonts.missing_letters(letter, bold=True))
    # a title with it is drawn, or told of, and never makes Matplotlib complain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bm.BayesmetaWarning)
        plot_bytes(forest_plot(fitted(["A", "B", "C"], name=f"Pain {letter}")), "png", dpi=60)


def test_pdf_holds_its_fonts() -> None:
    content = plot_bytes(picture("forest"), "pdf")
    fonts = re.findall(rb"/BaseFont /(\S+)", content)
    assert {name.partition(b"+")[2] for name in fonts} == {b"DejaVuSans", b"DejaVuSans-Bold"}
    # TrueType outlines, of which no font is left to the reader's computer
    assert b"/Subtype /Type3" not in content
    assert content.count(b"/FontFile2 ") == content.count(b"/Type /FontDescriptor") > 0


# -- the same every time -----------------------------------------------------------------------------------------------


FRESH = """
import hashlib, sys
sys.path.insert(0, {tests!r})
import test_files as t
for name in {names!r}:
    plot = t.PICTURES[name]()
    print(name, *(hashlib.sha256(t.plot_bytes(plot, fmt, dpi=60)).hexdigest() for fmt in t.FORMATS))
"""


def test_bytes_depend_neither_on_what_was_drawn_before_nor_on_the_process() -> None:
    folder = str(Path(__file__).parent)
    runs = []
    for seed, chosen in enumerate((list(PICTURES), list(PICTURES)[::-1])):
        code = FRESH.format(tests=folder, names=chosen)
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        runs.append(sorted(done.stdout.splitlines()))
    assert len(runs[0]) == len(PICTURES)
    assert runs[0] == runs[1]


def test_a_figure_is_left_as_it_was(tmp_path: Path) -> None:
    plot = forest_plot(fit())
    figure = plot.figure
    dpi, canvas, png = figure.dpi, figure.canvas, plot_bytes(plot, "png", dpi=60)
    size = tuple(figure.get_size_inches())
    for fmt in ("svg", "pdf"):
        content = plot_bytes(plot, fmt)
        assert plot_bytes(plot, fmt) == content
        assert save_plot(plot, tmp_path / f"forest.{fmt}").read_bytes() == content
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
