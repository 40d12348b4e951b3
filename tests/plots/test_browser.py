"""Pictures of the report in a real browser that has no DejaVu Sans: they bring their letters, and keep to themselves.

Authority: Matplotlib's own measure of DejaVu Sans, by which the pictures are laid out.
"""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from bayesmeta.plots import plot_bytes
from bayesmeta_cli.main import main
from browsers import chromium
from plots.test_files import picture

pytestmark = pytest.mark.browser

# a browser and Matplotlib place letters by the same numbers of the font, in whole units of each
WIDTH = 0.01
HIDDEN = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<selectfont><rejectfont><glob>*DejaVu*</glob></rejectfont></selectfont></fontconfig>"""
NAMES = ["US$ 100 v US$ 200", "Ελλάδα 2020 [yoga]", "Иванов & Петров", "Jónsdóttir (Tőkés)", "دراسة القاهرة"]
MEASURED = """
const found = [];
for (const text of document.querySelectorAll("figure.picture text"))
  found.push([text.textContent, parseFloat(getComputedStyle(text).fontSize), getComputedStyle(text).fontWeight,
              text.getComputedTextLength()]);
return found;
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    place = tmp_path_factory.mktemp("fonts")
    (place / "fonts.conf").write_text(HIDDEN, encoding="utf-8")
    driver = chromium(FONTCONFIG_FILE=str(place / "fonts.conf"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    assert main(["example", str(place)]) == 0
    table = place / "trials.csv"
    heads, *rows = csv.reader(table.read_text("utf-8").splitlines())
    for name, row in zip(NAMES, rows, strict=False):
        row[0] = name
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heads, *rows])
    assert main(["report", str(place / "protocol.toml"), "-o", str(place / "out")]) == 0
    return place / "out"


# figures of the report are drawn when what holds them is opened; fonts are loaded once a text needs them
ALL_DRAWN = """const done = arguments[0];
document.querySelectorAll("details").forEach(node => { node.open = true; });
const figures = [...document.querySelectorAll("figure[data-picture]")];
(function wait() {
  if (!figures.every(figure => figure.querySelector("svg"))) { setTimeout(wait, 50); return; }
  document.fonts.ready.then(done);
})();"""


def opened(browser, page: Path):
    browser.set_script_timeout(120)
    browser.get(page.as_uri())
    browser.execute_async_script(ALL_DRAWN)
    return browser


def laid_out(text: str, size: float, weight: str) -> float:
    """How wide Matplotlib takes a text to be."""
    name = "DejaVuSans-Bold.ttf" if weight == "700" else "DejaVuSans.ttf"
    font = FontProperties(fname=str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size=size)
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0])


def test_the_browser_has_no_dejavu(browser, tmp_path):
    spans = [f"<span style=\"font: 40px '{name}', serif\">Widths</span>" for name in ("DejaVu Sans", "No Such Font")]
    (tmp_path / "page.html").write_text("<!DOCTYPE html><br>".join(spans), encoding="utf-8")
    opened(browser, tmp_path / "page.html")
    widths = browser.execute_script("return [...document.querySelectorAll('span')].map(s => s.offsetWidth)")
    assert widths[0] == widths[1]


def test_every_text_is_as_wide_as_it_was_laid_out(browser, folder):
    found = opened(browser, folder / "index.html").execute_script(MEASURED)
    texts = [text for text, *_ in found]
    assert len(found) > 100
    assert set(NAMES) <= set(texts)
    assert {weight for _, _, weight, _ in found} == {"400", "700"}
    for text, size, weight, width in found:
        assert width == pytest.approx(laid_out(text, size, weight), rel=WIDTH, abs=0.1), text


def test_without_its_font_the_page_would_be_another(browser, folder, tmp_path):
    # so that the test above can fail
    page = (folder / "index.html").read_text("utf-8").replace('@font-face{font-family:"DejaVu Sans"', "@font-face{")
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    found = opened(browser, tmp_path / "index.html").execute_script(MEASURED)
    other = [abs(width / laid_out(text, size, weight) - 1) > WIDTH for text, size, weight, width in found if text]
    assert sum(other) > 0.5 * len(other)


def test_pictures_of_one_page_keep_their_styles_to_themselves(browser, tmp_path):
    markup = [plot_bytes(picture(name), "svg").decode("utf-8").partition("?>\n")[2] for name in ("forest", "funnel")]
    own = '<svg id="own"><path d="M0 0L9 9"/><text>a</text></svg><p id="words">b</p>'
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html>{own}{''.join(markup)}", encoding="utf-8")
    opened(browser, tmp_path / "page.html")
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids)) > 100
    joins = browser.execute_script(
        "return [...document.querySelectorAll('#own *, #words, svg:not(#own) > g')]"
        ".map(e => [e.closest('svg') && e.closest('svg').id, getComputedStyle(e).strokeLinejoin, "
        "getComputedStyle(e).whiteSpaceCollapse])"
    )
    outside = [join for join in joins if join[0] in (None, "own")]
    assert outside == [["own", "miter", "collapse"], ["own", "miter", "collapse"], [None, "miter", "collapse"]]
    assert {join[1] for join in joins if join not in outside} == {"round"}
