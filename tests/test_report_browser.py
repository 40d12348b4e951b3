"""The report's page in a real browser, opened as the file it is: what its own arithmetic shows.

Authority: `bayesmeta benefit --threshold X`, to every printed digit, and `bayesmeta.summarize`; for other analyses the
library on their own fits. Chromium with its own driver, nothing looked up on a network.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

import bayesmeta as bm
from bayesmeta.outcome import analysis_model, vary
from bayesmeta.studies import read_outcome
from bayesmeta_cli.main import main
from references import ROOT

pytestmark = pytest.mark.browser

CANCER = ROOT / "models" / "cancer_exercise.toml"
OUTCOMES = ("fatigue_short", "qol_medium", "anxiety_long")
CELLS = {"any": "p_any_benefit", "important": "p_important_benefit", "trivial": "p_trivial", "harm": "p_important_harm"}
TARGETS = {"mu": "mean effect", "theta_new": "new setting"}
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
DRIVER = shutil.which("chromedriver") or "/usr/bin/chromedriver"


@pytest.fixture(scope="module")
def browser():
    if not (Path(CHROMIUM).exists() and Path(DRIVER).exists()):
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                     "--disable-background-networking", "--disable-component-update", "--window-size=1280,1000",
                     *(["--no-sandbox"] if os.geteuid() == 0 else [])):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    arguments = ["report", str(CANCER), "-o", str(place)]
    for name in OUTCOMES:
        arguments += ["--outcome", name]
    assert main(arguments) == 0
    return place


@pytest.fixture
def page(browser, folder):
    browser.get((folder / "index.html").as_uri())
    return browser


def section(page, key: str):
    return page.find_element("css selector", f'section[data-outcome="{key}"]')


def set_value(page, element, value: str, event: str = "input") -> None:
    """Type a value as a script would: through the element's own event."""
    page.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event(arguments[2], {bubbles: true}));",
        element, value, event,
    )  # fmt: skip


def press(page, element) -> None:
    """Press a button wherever it stands: the page scrolls smoothly, and a pointer would have to wait for it."""
    page.execute_script("arguments[0].click();", element)


def shown(root) -> dict[str, str]:
    """What the page shows, the lines of declared analyses aside unless one of them is asked."""
    inside = "" if root.tag_name == "tr" else ":not(tr[data-analysis] *)"
    return {node.get_attribute("data-live"): node.get_attribute("textContent")
            for node in root.find_elements("css selector", f"[data-live]{inside}")}  # fmt: skip


def printed(path: Path, key: str, threshold: str, capsys) -> dict[str, str]:
    """What the command prints: probabilities in percent, as in its table."""
    capsys.readouterr()
    assert main(["benefit", str(path), "--outcome", key, "--threshold", threshold, "--json"]) == 0
    rows = {row["target"]: row for row in json.loads(capsys.readouterr().out)["benefit"]}
    found = {f"{name}.{cell}": bm.percent(rows[target][column])
             for name, target in TARGETS.items() for cell, column in CELLS.items()}  # fmt: skip
    new = rows["new setting"]
    low, middle, high = (bm.percent(new[f"share_{end}"]) for end in ("lower", "median", "upper"))
    return found | {"share": f"{middle} ({low} to {high})"}


@pytest.mark.parametrize("key", OUTCOMES)
@pytest.mark.parametrize("threshold", ["0.5", "0.2", "0.137", "0.35", "1", "0.01"])
def test_a_moved_threshold_gives_what_the_command_prints(page, capsys, key, threshold):
    part = section(page, key)
    set_value(page, part.find_element("css selector", "input.threshold"), threshold)
    found = shown(part)
    for name, text in printed(CANCER, key, threshold, capsys).items():
        assert found[name] == text, name
    assert found["threshold"] == threshold
    # the answer on top follows at once
    line = shown(page.find_element("css selector", f'tr[data-summary="{key}"]'))
    for name in ("mu.important", "theta_new.important", "mu.harm"):
        assert line[name] == found[name]


def test_without_a_touch_the_page_shows_the_stated_threshold_and_the_summary(page, capsys):
    for key in OUTCOMES:
        found = shown(section(page, key))
        for name, text in printed(CANCER, key, "0.5", capsys).items():
            assert found[name] == text
        protocol = bm.read_protocol(CANCER)
        fit = bm.fit(bm.read_effects(protocol, key), analysis_model(protocol.outcomes[key]))
        summary = bm.summarize(fit)
        for name in TARGETS:
            decimals = len(found[f"{name}.median"].partition(".")[2])
            assert decimals >= 2
            for column in ("median", "lower", "upper"):
                assert found[f"{name}.{column}"] == f"{summary.loc[name, column]:.{decimals}f}"


def test_another_declared_analysis_is_that_of_its_own_fit(page):
    key = "anxiety_long"
    part = section(page, key)
    protocol = bm.read_protocol(CANCER)
    choices = {node.get_attribute("textContent"): node.get_attribute("value")
               for node in part.find_elements("css selector", "select.analysis option")}  # fmt: skip
    assert {"as stated", "mu flat", "tau half-normal(1)"} <= set(choices)
    assert any(label.startswith("exercise: ") for label in choices) or len(choices) > 10
    for name in ("mu flat", "tau half-normal(1)", "mu Cochrane, all fields",
                 "true effects of one trial's arms uncorrelated (rho 0)"):  # fmt: skip
        changed = vary(protocol, name)
        outcome = changed.outcomes[key]
        fit = bm.fit(read_outcome(changed, key).effects, analysis_model(outcome), outcome=outcome)
        table = bm.benefit_table(fit, [outcome.primary]).set_index("target")
        set_value(page, part.find_element("css selector", "select.analysis"), choices[name], "change")
        found = shown(part)
        for target, words in TARGETS.items():
            for cell, column in CELLS.items():
                assert found[f"{target}.{cell}"] == bm.percent(float(table.loc[words, column])), (name, target, cell)
        row = part.find_element("css selector", f'tr[data-analysis="{choices[name]}"]')
        assert "chosen" in row.get_attribute("class")
        # every line of the table holds the numbers of its own fit
        assert shown(row)["mu.important"] == bm.percent(float(table.loc["mean effect", "p_important_benefit"]))
    press(page, part.find_element("css selector", "button.reset"))
    assert part.find_element("css selector", "select.analysis").get_attribute("value") == "main"
    interaction = "exercise type differs between during and after treatment"
    assert all(interaction not in text for text in choices)


def test_the_first_table_follows_and_the_page_says_what_does_not(page):
    part = section(page, "fatigue_short")
    row = page.find_element("css selector", 'tr[data-summary="fatigue_short"]')
    stale = part.find_element("css selector", ".stale")
    before = row.find_element("css selector", '[data-live="effect"]').get_attribute("textContent")
    assert not stale.is_displayed()
    select = part.find_element("css selector", "select.analysis")
    flat = next(node for node in select.find_elements("css selector", "option")
                if node.get_attribute("textContent") == "mu sceptical normal(0, 0.2)")  # fmt: skip
    set_value(page, select, flat.get_attribute("value"), "change")
    protocol = bm.read_protocol(CANCER)
    effects, outcome = bm.read_effects(protocol, "fatigue_short"), protocol.outcomes["fatigue_short"]
    model = dataclasses.replace(analysis_model(outcome), mu=bm.Normal(0, 0.2))
    table = bm.summarize(bm.fit(effects, model, outcome=outcome)).loc["mu"]
    effect = row.find_element("css selector", '[data-live="effect"]').get_attribute("textContent")
    assert effect == f"{table['median']:.3f} ({table['lower']:.3f} to {table['upper']:.3f})"
    assert "mu sceptical" in row.find_element("css selector", "th").get_attribute("textContent")
    assert stale.is_displayed()
    press(page, part.find_element("css selector", "button.reset"))
    after = row.find_element("css selector", '[data-live="effect"]').get_attribute("textContent")
    assert after.split() == before.split()
    assert not stale.is_displayed()
    set_value(page, part.find_element("css selector", "input.threshold"), "0.3")
    assert stale.is_displayed()


def test_a_subgroup_is_the_moderated_fit_at_its_level(page):
    key = "fatigue_short"
    part = section(page, key)
    protocol = bm.read_protocol(CANCER)
    effects = bm.read_effects(protocol, key)
    outcome = protocol.outcomes[key]
    fit = bm.fit(effects, analysis_model(outcome, effects.moderators), outcome=outcome)
    labels = {node.get_attribute("textContent"): node.get_attribute("value")
              for node in part.find_elements("css selector", "select.analysis option")}  # fmt: skip
    levels = {text: value for text, value in labels.items() if text.startswith("timing: ")}
    assert len(levels) == 2
    for text, value in levels.items():
        level = text.removeprefix("timing: ").partition(" (")[0]
        set_value(page, part.find_element("css selector", "select.analysis"), value, "change")
        table = bm.benefit_table(fit, [outcome.primary], at={"timing": level}).set_index("target")
        found = shown(part)
        for target, words in TARGETS.items():
            expected = bm.percent(float(table.loc[words, "p_important_benefit"]))
            assert found[f"{target}.important"] == expected


def test_keys_move_the_slider_and_a_bad_threshold_is_refused(page):
    from selenium.webdriver.common.keys import Keys

    part = section(page, "fatigue_short")
    slider = part.find_element("css selector", "input.slider")
    before = shown(part)["theta_new.important"]
    slider.send_keys(Keys.ARROW_LEFT * 10)
    assert float(slider.get_attribute("value")) < 0.5
    assert part.find_element("css selector", "input.threshold").get_attribute("value") == slider.get_attribute("value")
    assert shown(part)["theta_new.important"] != before
    box = part.find_element("css selector", "input.threshold")
    set_value(page, box, "-0.5")
    assert part.find_element("css selector", ".refused").is_displayed()
    assert box.get_attribute("aria-invalid") == "true"
    press(page, part.find_element("css selector", "button.reset"))
    assert shown(part)["theta_new.important"] == before
    assert not part.find_element("css selector", ".refused").is_displayed()


def test_ratios_are_computed_on_the_log_scale(browser, tmp_path, capsys):
    bcg = json.loads((ROOT / "tests" / "reference" / "bcg_rr.json").read_text("utf-8"))
    (tmp_path / "models").mkdir()
    lines = ["study,events_t,n_t,events_c,n_c"]
    for name, raw in zip(bcg["label"], bcg["raw"], strict=True):
        lines.append(",".join([name.replace(",", ";"), *(str(raw[c]) for c in ("events_t", "n_t", "events_c", "n_c"))]))
    (tmp_path / "bcg.csv").write_text("\n".join(lines) + "\n")
    path = tmp_path / "models" / "bcg.toml"
    path.write_text(
        'schema = 1\ntitle = "BCG"\n[data]\npath = "../bcg.csv"\n[defaults]\nmeasure = "RR"\n'
        'thresholds = [{ name = "quarter", benefit = 0.75, worse = 1.25, primary = true, kind = "panel", '
        'source = "x" }]\n'
        '[defaults.priors]\nmu = { dist = "normal", mean = 0, sd = 2 }\ntau = { dist = "halfnormal", scale = 0.5 }\n'
        '[outcome.tuberculosis]\nlabel = "Tuberculosis"\nbetter = "lower"\n'
    )
    assert main(["report", str(path), "-o", str(tmp_path / "r")]) == 0
    browser.get((tmp_path / "r" / "index.html").as_uri())
    part = section(browser, "tuberculosis")
    for threshold in ("0.8", "0.6", "0.95"):
        set_value(browser, part.find_element("css selector", "input.threshold"), threshold)
        found = shown(part)
        for name, text in printed(path, "tuberculosis", threshold, capsys).items():
            assert found[name] == text, (threshold, name)
    set_value(browser, part.find_element("css selector", "input.threshold"), "1.2")
    assert part.find_element("css selector", ".refused").is_displayed()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_its_width_and_says_nothing_to_the_console(browser, folder, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    try:
        browser.get_log("browser")
        browser.get((folder / "index.html").as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert [entry for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")] == []
        # nothing was asked of any other address
        fetched = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert [name for name in fetched if not name.startswith("data:")] == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_scripts_the_page_still_answers(browser, folder, tmp_path):
    text = (folder / "index.html").read_text("utf-8")
    still = tmp_path / "still.html"
    start = text.index("<script>")
    still.write_text(text[:start] + text[text.index("</script>", start) :], "utf-8")
    browser.get(still.as_uri())
    found = shown(section(browser, "fatigue_short"))
    assert found["mu.important"] == "<0.1 %"
    assert found["theta_new.important"].endswith(" %")
    assert not section(browser, "fatigue_short").find_element("css selector", ".controls").is_displayed()


def test_the_page_prints_on_a4(browser, folder):
    import base64

    browser.get((folder / "index.html").as_uri())
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    content = base64.b64decode(pdf["data"])
    assert content.startswith(b"%PDF")
    # A4 is 595 x 842 points
    assert b"/MediaBox [0 0 594.95996 841.91998]" in content or b"/MediaBox [0 0 595" in content
