"""The panel's view of the report in a real browser: that it fits, reads, follows, is judged and is accessible.

Authority: the limits that the view promises (screens of 1280 x 900 and 390 x 844, A4 pages); the library for every
sentence and chance; `bayesmeta.protocol.read_judgements` for what the page saves; axe-core for accessibility.
"""

from __future__ import annotations

import base64
import json
import os
import re
from itertools import product
from pathlib import Path

import pytest

import bayesmeta as bm
from bayesmeta.plan import CERTAINTIES, DOMAINS, PointsThreshold
from bayesmeta.protocol import read_judgements
from bayesmeta.questions import finding_sentence, natural_table, size_of, spoken_direction
from bayesmeta_cli.main import main
from browsers import chromium
from references import ROOT

pytestmark = pytest.mark.browser

CANCER = ROOT / "models" / "cancer_exercise.toml"
#: What the panel's view may take for the twelve outcomes of the cancer protocol.
SCREENS, PHONE_SCREENS, PAGES, BYTES = 6, 16, 6, 2.5e6
AXE = os.environ.get("AXE", "")


@pytest.fixture(scope="module")
def browser():
    driver = chromium()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("panel")
    assert main(["report", str(CANCER), "--no-joint", "-o", str(place)]) == 0
    return place


def sized(browser, width: int, height: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )


@pytest.fixture
def page(browser, folder):
    sized(browser, 1280, 900)
    browser.get((folder / "index.html").as_uri())
    return browser


def text_of(node) -> str:
    return node.get_attribute("textContent").replace("\u2212", "-")


def row(page, key: str):
    return page.find_element("css selector", f'tr[data-summary="{key}"]')


def live(root, name: str) -> str:
    return text_of(root.find_element("css selector", f'[data-live="{name}"]'))


def set_value(page, element, value: str, event: str = "input") -> None:
    page.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event(arguments[2], {bubbles: true}));",
        element,
        value,
        event,
    )


def fitted(key: str) -> bm.Fit:
    protocol = bm.read_protocol(CANCER)
    outcome = protocol.outcomes[key]
    return bm.fit(bm.read_effects(protocol, key), outcome.model.on(), outcome=outcome)


BOTTOM = "return document.querySelector('.panel').getBoundingClientRect().bottom + scrollY"


@pytest.mark.parametrize(("width", "height", "screens"), [(1280, 900, SCREENS), (390, 844, PHONE_SCREENS)])
def test_the_panels_view_takes_few_screens_and_nothing_in_it_is_closed(page, width, height, screens):
    sized(page, width, height)
    # several outcomes together stand there too where they are sampled: a heading, a note and six lines
    together = 260
    assert page.execute_script(BOTTOM) + together <= screens * height
    assert page.execute_script("return document.querySelectorAll('.panel details').length") == 0
    hidden = """return [...document.querySelectorAll('.panel *')].filter(node =>
        node.scrollHeight > node.clientHeight + 2
        && ['auto', 'scroll', 'hidden'].includes(getComputedStyle(node).overflowY)
        && !node.closest('.unseen, svg, select')).map(node => node.outerHTML.slice(0, 80));"""
    assert page.execute_script(hidden) == []


def test_the_panels_view_prints_on_six_pages_and_all_on_more(page):
    def pages() -> int:
        pdf = page.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
        return len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(pdf["data"])))

    few = pages()
    assert few <= PAGES
    page.execute_script(
        "document.body.classList.add('print-all');"
        "document.querySelectorAll('details').forEach(x => { x.open = true; });"
    )
    assert pages() > 4 * few


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1280, 1920, 2560])
def test_nothing_is_wider_than_the_window_and_nothing_overlaps(page, width):
    sized(page, width, 900)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    # texts of the panel's view: those of a cell stay in it, and cells of a row stay apart
    script = """
        const found = [], near = 1.5;
        const boxes = root => [...root.children].map(n => [n, n.getBoundingClientRect()])
          .filter(x => x[1].width && x[1].height && getComputedStyle(x[0]).position !== 'absolute');
        const roots = '.panel tr, .panel article, .bar, dl.asked, .panel td.chance, .panel td.finding';
        document.querySelectorAll(roots).forEach(root => {
          const all = boxes(root);
          all.forEach(([a, p], i) => all.slice(i + 1).forEach(([b, q]) => {
            if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > near
                && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > near) {
              found.push([root.tagName + '.' + root.className, a.textContent.slice(0, 40), b.textContent.slice(0, 40)]);
            } })); });
        document.querySelectorAll('.panel td, .panel th').forEach(cell => {
          const box = cell.getBoundingClientRect();
          if (box.right > 0 && box.width && cell.scrollWidth > cell.clientWidth + 2) {
            found.push(['wide', cell.textContent.slice(0, 60), cell.scrollWidth + '>' + cell.clientWidth]); } });
        return found;"""
    assert "; ".join(" | ".join(item) for item in page.execute_script(script)) == ""


def test_no_text_is_below_twelve_pixels(page):
    for width in (390, 1280):
        sized(page, width, 900)
        script = """
            const drawn = n => n.closest('svg') ? n.closest('svg').getBoundingClientRect().width
              / n.closest('svg').viewBox.baseVal.width : 1;
            return [...document.querySelectorAll('.panel *')].filter(n => n.getBoundingClientRect().width > 2
              && [...n.childNodes].some(t => t.nodeType === 3 && t.textContent.trim())
              && parseFloat(getComputedStyle(n).fontSize) * drawn(n) < 11.9).map(n => n.outerHTML.slice(0, 90));"""
        assert page.execute_script(script) == []


def test_the_page_is_small_and_brings_all_it_needs(page, folder):
    assert (folder / "index.html").stat().st_size <= BYTES
    page.get_log("browser")
    page.get((folder / "index.html").as_uri())
    assert [entry for entry in page.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")] == []
    fetched = page.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def test_no_other_script_runs(page, folder, tmp_path):
    """The policy names the page's own scripts by their hash: one that text smuggled in would be refused."""
    text = (folder / "index.html").read_text("utf-8")
    assert "script-src &#39;sha256-" in text
    other = tmp_path / "other.html"
    other.write_text(text.replace("<main>", "<script>window.smuggled = 1;</script><main>", 1), "utf-8")
    page.get(other.as_uri())
    assert page.execute_script("return [window.smuggled === undefined, window.bayesmeta !== undefined]") == [True, True]


def test_scripts_change_nothing_before_a_touch(page, folder):
    """What the library wrote and what the page's own arithmetic writes over it are the same texts."""
    text = (folder / "index.html").read_text("utf-8")
    written = text[text.index("<main>") : text.index('<section class="layer"')]
    script = """const places = '.panel [data-live], .panel [data-support], .panel [data-level]';
        const said = root => [...root.querySelectorAll(places)]
          .map(n => (n.dataset.live || n.dataset.support || n.dataset.level) + ': ' + n.textContent);
        return [said(new DOMParser().parseFromString(arguments[0], 'text/html')), said(document)];"""
    library, scripts = page.execute_script(script, written)
    assert len(library) > 12 * 20
    assert [pair for pair in zip(library, scripts, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("key", ["fatigue_short", "qol_long"])
def test_the_sentence_follows_threshold_and_certainty(page, key):
    fit = fitted(key)
    better = fit.effects.better
    sign = 1 if better == "higher" else -1
    estimate = sign * float(bm.summarize(fit).loc["mu", "median"])
    line, part = row(page, key), page.find_element("css selector", f'.outcome[data-outcome="{key}"]')
    units = part.find_elements("css selector", "select.unit")
    for unit in units:
        set_value(page, unit, "own", "change")
    # with an instrument's own difference one threshold divides the sizes, else all that are stated
    others = [] if units else [item.benefit for item in fit.outcome.decision.thresholds if not item.primary]
    for certainty, value in product(("", *CERTAINTIES), (0.05, 0.2, 0.9)):
        set_value(page, line.find_element("css selector", "select.panel-choice"), certainty, "change")
        set_value(page, part.find_element("css selector", "input.threshold"), f"{value:g}")
        spoken = spoken_direction(better, benefit=estimate >= 0)
        what = fit.outcome.label.partition(",")[0]
        expected = finding_sentence("Exercise", what, size_of(estimate, [value, *others]), spoken, certainty or None)
        assert live(line, "sentence") == expected


def test_a_comma_is_a_decimal_comma_and_both_are_refused(page):
    control = page.find_element("css selector", ".control")
    key = control.get_attribute("data-keys").split()[0]
    box = control.find_element("css selector", ".kind-threshold")
    for text, same in (("0,3", "0.3"), ("2,5", "2.5")):
        set_value(page, box, same)
        with_point = text_of(row(page, key))
        set_value(page, box, "1")
        set_value(page, box, text)
        assert text_of(row(page, key)) == with_point
        assert box.get_attribute("aria-invalid") == "false"
    for bad in ("1.234,5", "abc", "", "-1", "1e3", "0"):
        set_value(page, box, bad)
        assert box.get_attribute("aria-invalid") == "true"
        assert text_of(row(page, key)) == with_point


def test_one_control_moves_every_outcome_of_its_kind(page):
    for control in page.find_elements("css selector", ".control"):
        keys = control.get_attribute("data-keys").split()
        before = {key: live(row(page, key), "theta_new.important") for key in keys}
        box = control.find_element("css selector", ".kind-threshold")
        set_value(page, box, f"{2.5 * float(box.get_attribute('value')):g}")
        after = {key: live(row(page, key), "theta_new.important") for key in keys}
        assert all(before[key] != after[key] for key in keys)


@pytest.mark.parametrize("points", [1.0, 3.0, 4.5])
def test_a_threshold_in_points_integrates_the_sd_of_the_instrument(page, points):
    """As `bayesmeta.natural_table` at that threshold, to every printed digit."""
    control = page.find_element("css selector", ".control")
    set_value(page, control.find_element("css selector", ".kind-threshold"), f"{points:g}")
    for key in control.get_attribute("data-keys").split():
        table = natural_table(fitted(key), thresholds=[PointsThreshold(points, "moved", "panel")])
        for name, target in (("mu", "mean effect"), ("theta_new", "new study")):
            line = table[table["target"] == target].iloc[0]
            assert live(row(page, key), f"{name}.important") == bm.percent(line["p_important_benefit"])
            assert live(row(page, key), f"{name}.harm") == bm.percent(line["p_important_harm"])


def test_judgements_are_saved_read_and_shown(page, folder, tmp_path):
    line = page.find_element("css selector", 'tr[data-judged="fatigue_short"]')
    chosen = dict(zip(DOMAINS, ("serious", "not serious", "very serious", "serious", "undetected"), strict=True))
    for name, word in {**chosen, "certainty": "low"}.items():
        select = line.find_element("css selector", f'select[data-panel="fatigue_short|{name}"]')
        set_value(page, select, word, "change")
    set_value(page, line.find_element("css selector", "input.why"), "unblinded, self-reported")
    saved = page.execute_async_script(
        """const done = arguments[0], make = URL.createObjectURL;
           URL.createObjectURL = blob => { blob.text().then(done); return make(blob); };
           HTMLAnchorElement.prototype.click = () => {};
           document.getElementById('save-judgements').click();"""
    )
    file = tmp_path / "panel.json"
    file.write_text(saved, "utf-8")
    told = read_judgements(file, bm.read_protocol(CANCER))
    assert told.data == json.loads((folder / "results.json").read_text("utf-8"))["data_sha256"]
    judgement = told.of("fatigue_short")
    assert judgement.certainty == "low"
    assert judgement.domains == chosen
    assert judgement.reasons == {"certainty": "unblinded, self-reported"}
    assert judgement.threshold
    # read back by the page, and by the command
    page.get((folder / "index.html").as_uri())
    assert "[certainty?]" in live(row(page, "fatigue_short"), "sentence")
    page.find_element("css selector", "#load-judgements").send_keys(str(file))
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 10).until(lambda _: "may" in live(row(page, "fatigue_short"), "sentence"))
    place = tmp_path / "again"
    asked = ["report", str(CANCER), "--outcome", "fatigue_short", "-o", str(place), "--judgements", str(file)]
    assert main(asked) == 0
    page.get((place / "index.html").as_uri())
    again = row(page, "fatigue_short")
    assert live(again, "sentence").startswith("Exercise may ")
    assert text_of(again.find_element("css selector", ".symbol")) == "\u2295\u2295\u25ef\u25ef"


def test_judgements_that_are_none_are_faults(tmp_path, capsys):
    file = tmp_path / "panel.toml"
    file.write_text(
        '[outcomes.fatigue]\ncertainty = "fairly high"\ndomains = { imprecision = "bad", luck = "serious" }\n', "utf-8"
    )
    assert main(["report", str(CANCER), "-o", str(tmp_path / "r"), "--judgements", str(file)]) == 3
    told = capsys.readouterr().err
    for words in ("'fatigue' is not an outcome", "'fairly high'", "'bad' is not allowed", "'luck' is not a domain"):
        assert words in told
    assert not (tmp_path / "r").exists()


def test_figures_are_drawn_when_they_are_opened(page):
    part = page.find_element("css selector", '.outcome[data-outcome="fatigue_short"]')
    assert part.find_elements("css selector", "figure.picture svg") == []
    page.execute_script("arguments[0].open = true;", part)
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 10).until(lambda _: len(part.find_elements("css selector", "figure.picture svg")) >= 3)
    width = page.execute_script(
        "const f = arguments[0].querySelector('figure.picture:has(svg)'); "
        "return [f.querySelector('svg').getBoundingClientRect().width, f.getBoundingClientRect().width];",
        part,
    )
    assert width[0] == pytest.approx(width[1], abs=4)


def test_links_lead_into_what_is_closed(page):
    page.execute_script("location.hash = '#fatigue_short-grade'")
    part = page.find_element("css selector", '.outcome[data-outcome="fatigue_short"]')
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 10).until(lambda _: part.get_attribute("open") is not None)
    targets = page.execute_script(
        "return [...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.getAttribute('href').slice(1))"
        ".filter(id => !document.getElementById(id))"
    )
    assert targets == []


@pytest.mark.skipif(not AXE and not os.environ.get("CI"), reason="AXE names no axe.min.js (npm install axe-core)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing(browser, folder, scheme, width):
    sized(browser, width, 900)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        browser.set_script_timeout(120)
        browser.get((folder / "index.html").as_uri())
        # of twelve outcomes that are made alike one is opened, with all that is inside, and the record
        browser.execute_script(
            "document.querySelectorAll('.outcome:first-of-type, .outcome:first-of-type details, .record details')"
            ".forEach(x => { x.open = true; });"
        )
        browser.execute_script(Path(AXE).read_text("utf-8"))
        found = browser.execute_async_script("axe.run(document).then(arguments[0])")
        told = {item["id"]: [node["html"][:120] for node in item["nodes"]][:4] for item in found["violations"]}
        assert told == {}
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
