"""Cards in notebooks say what the text says; nothing in them runs or is loaded; light and dark pages show them."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import bayesmeta as bm
from bayesmeta.measures import measure
from bayesmeta.report.notebook.marks import HEIGHT, POSTERIOR, WIDTH, Axis, Mark, axis_of, mark_svg
from pinned import PINS

EFFECTS, MODEL, FIT = bm.example()


class Cells(HTMLParser):
    """Tags, attributes, and the text of every row of the tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"{tag} closes nothing"

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def read(page: str) -> Cells:
    cells = Cells(page)
    assert cells.open == []
    # nothing runs, nothing is loaded, and no id or style meets that of another card
    assert not cells.tags & {"script", "style", "link", "img", "iframe", "object", "a", "image", "use"}
    assert not [name for name, _ in cells.attributes if name.startswith("on") or name in ("src", "href", "id")]
    assert [value for name, value in cells.attributes if name == "class"] == ["bayesmeta"]
    assert "url(" not in page
    for picture in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(picture)
    return cells


def texts(page: str) -> dict[str, str]:
    """The last cell of each row by the first one."""
    return {row[0]: row[-1].replace("\u2212", "-") for row in read(page).rows}


SAMPLED = bm.load(PINS / "fits" / "nuts_pooled.nc")
KINDS = {
    "exact": FIT,
    "sampled": SAMPLED,
    "protocol": bm.load(PINS / "fits" / "exact_protocol.nc"),
    "moderated": bm.load(PINS / "fits" / "exact_moderated.nc"),
    "clusters": bm.load(PINS / "fits" / "exact_clusters.nc"),
    "common effect": bm.load(PINS / "fits" / "exact_common_effect.nc"),
    "ratio": bm.load(PINS / "fits" / "exact_ratio.nc"),
    "one trial": bm.fit(bm.Effects(["A"], [0.2], [0.1], measure="MD", better="higher"), MODEL),
    "one arm": bm.fit(bm.Effects(list("ABC"), [-1.0, -0.5, -0.8], [0.2, 0.3, 0.2], measure="PLO"), MODEL),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_card_says_what_the_text_says(name: str) -> None:
    """Every line of `Analysis.summary`, which other tests hold against the tables, stands in the card."""
    fit = KINDS[name]
    shown = texts(fit._repr_html_() or "")
    lines = [line for line in repr(bm.analysis_of(fit)).splitlines() if line.startswith("  ")]
    assert len(lines) >= 3
    for line in lines:
        head, _, rest = line.strip().partition("  ")
        assert shown[head] == rest.strip()
    assert ("P(any benefit)" in shown) == (fit.effects.better is not None and name != "one arm")


def test_an_analysis_shows_its_notices_its_threshold_and_its_moderators() -> None:
    analysis = bm.analyse("models/cancer_exercise.toml", "qol_short", declared=False)
    page = analysis._repr_html_() or ""
    shown, said = texts(page), unescape(re.sub("<[^>]+>", "", page)).replace("\u2212", "-")
    assert analysis.moderated is not None
    assert {f"beta[{item.name}]" for item in analysis.moderated.design.contrasts} <= set(shown)
    assert "P(important benefit)" in shown
    assert all(found.rule in said for found in analysis.notices)
    assert all(check.name not in said for check in analysis.pooled.checks if check.ok)
    assert "They are not GRADE certainty ratings" in said
    # 20 trials of the largest weight, and how many more there are
    more = analysis.effects.k - 20
    assert (f"and {more} of smaller weight" in shown) == (more > 0)


def test_a_failed_check_is_said() -> None:
    broken = dataclasses.replace(FIT, checks=(bm.Check("r_hat", False, 1.31, 1.01, "sample longer"),))
    assert "failed: r_hat 1.31, limit 1.01" in (broken._repr_html_() or "")


def test_names_stay_texts() -> None:
    name = "<img src=x onerror=alert(1)> & \u202bB"
    effects = bm.Effects([name.replace("\u202b", ""), "B"], [0.1, 0.2], [0.1, 0.1], measure="SMD")
    page = bm.fit(effects, MODEL)._repr_html_() or ""
    assert "&lt;img src=x" in page
    read(page)
    table = pd.DataFrame({"<b>": ["<script>1</script>"], "estimate": [1.0], "lower": [0.0], "upper": [2.0]})
    read(bm.as_html(table))


def test_tables_are_readable_and_draw_their_intervals() -> None:
    table = bm.benefit_table(FIT, 0.5)
    cells = read(bm.as_html(table))
    assert cells.rows[0] == list(map(str, table.columns))
    assert f"{bm.percent(table['p_any_benefit'].iloc[0])}" in cells.rows[1]
    summary = bm.as_html(bm.summarize(FIT))
    assert summary.count("<svg") == len(bm.summarize(FIT))
    assert [row[0] for row in read(summary).rows] == ["quantity", "mu", "tau", "theta_new"]
    assert "and 40 more rows" in bm.as_html(pd.DataFrame({"x": np.arange(100.0)}))
    assert read(bm.as_html(pd.DataFrame())).rows == [[]]
    # an index that is named as a column is shown beside it
    twice = pd.DataFrame({"study": ["A"], "x": [1.0]}).set_index("study", drop=False)
    assert read(bm.as_html(twice)).rows[0] == ["study", "study", "x"]
    assert read(bm.as_html(bm.classical.pool(EFFECTS))).rows[0][1] == "estimate"
    with pytest.raises(bm.ModelError, match="there is no tidy table of a str; give a Fit"):
        bm.as_html("x")


def ends(picture: str) -> list[float]:
    """Where the whisker of a mark begins and ends, in pixels."""
    (found,) = re.findall(r'd="M([0-9.]+) [0-9.]+H([0-9.]+)', picture)
    return [float(item) for item in found]


def test_marks_lie_where_their_numbers_are() -> None:
    """Linear from 10 pixels at the lower limit to 10 before the right edge, by hand."""
    axis = Axis(-2.0, 2.0)
    # half a pixel of the last digit that is written
    assert ends(mark_svg(Mark(0.0, -1.0, 1.5), axis)) == pytest.approx([10 + 240 / 4, 10 + 240 * 3.5 / 4], abs=0.05)
    beyond = mark_svg(Mark(0.0, -9.0, 9.0), axis)
    assert ends(beyond) == [10.0, WIDTH - 10.0]
    assert beyond.count(f"L10.0 {HEIGHT / 2}") == beyond.count(f"L{WIDTH - 10.0} {HEIGHT / 2}") == 1
    assert "<rect" not in mark_svg(Mark(float("nan"), 0.0, 1.0), axis)
    for marks in ([], [Mark(3.0, 3.0, 3.0)], [Mark(float("nan"), 0.0, 1.0)], [Mark(1e9, -1e9, 1e99)]):
        found = axis_of(marks)
        assert found.low < found.high


def contrast(colour: str, page: str) -> float:
    """Contrast of two colours, after WCAG 2.2 (relative luminance)."""
    lights = []
    for text in (colour, page):
        rgb = [int(text[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in rgb]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


# pages of JupyterLab and VS Code, light and dark; 3 to 1 is what WCAG 1.4.11 asks of graphics
@pytest.mark.parametrize("page", ["#ffffff", "#f8f8f8", "#111111", "#1e1e1e", "#000000"])
def test_colours_are_seen_on_light_and_dark_pages(page: str) -> None:
    card = FIT._repr_html_() or ""
    colours = set(re.findall(r"(?:fill|stroke|color|background)[=:]\"?(#?\w+)", card))
    assert colours == {POSTERIOR, "currentColor", "none", "inherit", "transparent"}
    assert contrast(POSTERIOR, page) >= 3


def test_the_axis_is_on_the_natural_scale() -> None:
    """A mark at a ratio of 2 stands above the 2 of the axis."""
    page = KINDS["ratio"]._repr_html_() or ""
    places = {text: float(x) for x, text in re.findall(r'<text x="([0-9.]+)"[^>]*>([0-9.]+)<', page)}
    assert "1" in places
    lines = {dashed: float(x) for x, dashed in re.findall(r'd="M([0-9.]+) 0V[^>]*?(dash|/>)', page)}
    assert measure(KINDS["ratio"].effects.measure).natural_null == 1
    assert lines["/>"] == places["1"]


def test_a_card_loads_no_drawing_and_no_sampler() -> None:
    code = "import sys, bayesmeta as bm; bm.example().fit._repr_html_(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"matplotlib", "pymc", "arviz", "IPython"} & {name.split(".")[0] for name in loaded}
