"""The report's page in a real browser, opened as the file it is: what its own arithmetic shows.

Authority: `bayesmeta benefit --threshold X`, to every printed digit, and `bayesmeta.summarize`; for other analyses the
library on their own fits. Chromium with its own driver, nothing looked up on a network.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import bayesmeta as bm
from bayesmeta.analysis import recompute
from bayesmeta.columns import number
from bayesmeta.plan import vary
from bayesmeta.questions import WEIGHTS, borrowing_table, threshold
from bayesmeta.report import followed, packed_form, serialised_form
from bayesmeta.sensitivity import grade_table, inconsistency_table, read_section, sensitivity_analyses
from bayesmeta.studies import read_outcome
from bayesmeta_cli.main import main
from browsers import chromium
from references import ROOT

pytestmark = pytest.mark.browser

CANCER = ROOT / "models" / "cancer_exercise.toml"
OUTCOMES = ("fatigue_short", "qol_medium", "anxiety_long")
CELLS = {"any": "p_any_benefit", "important": "p_important_benefit", "trivial": "p_trivial", "harm": "p_important_harm"}
TARGETS = {"mu": "mean effect", "theta_new": "new study"}


@pytest.fixture(scope="module")
def browser():
    driver = chromium()
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
    """The statistician's view of an outcome."""
    return page.find_element("css selector", f'.outcome[data-outcome="{key}"]')


def opened(page, key: str):
    """The statistician's view of an outcome, open."""
    part = section(page, key)
    page.execute_script("arguments[0].open = true;", part)
    return part


def text_of(node) -> str:
    """What a node says; the page writes minus signs as such."""
    return node.get_attribute("textContent").replace("\u2212", "-")


def set_value(page, element, value: str, event: str = "input") -> None:
    """Type a value as a script would: through the element's own event."""
    page.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event(arguments[2], {bubbles: true}));",
        element,
        value,
        event,
    )


def own(page, part) -> None:
    """Give the threshold in the unit of the analysis, where points of an instrument stand there first."""
    for unit in part.find_elements("css selector", "select.unit"):
        if unit.get_attribute("value") != "own":
            set_value(page, unit, "own", "change")


def move(page, part, value: str) -> None:
    """Move the threshold of one outcome, on the measure's own scale."""
    own(page, part)
    set_value(page, part.find_element("css selector", "input.threshold"), value)


def choose(page, part, label: str) -> None:
    """Choose an analysis by its label."""
    select = part.find_element("css selector", "select.analysis")
    options = {
        node.get_attribute("textContent"): node.get_attribute("value")
        for node in select.find_elements("css selector", "option")
    }
    set_value(page, select, options[label], "change")


def press(page, element) -> None:
    """Press a button wherever it stands: the page scrolls smoothly, and a pointer would have to wait for it."""
    page.execute_script("arguments[0].click();", element)


def shown(root) -> dict[str, str]:
    """What the page shows, the lines of declared analyses aside unless one of them is asked."""
    inside = "" if root.tag_name == "tr" else ":not(tr[data-analysis] *)"
    return {
        node.get_attribute("data-live"): text_of(node)
        for node in root.find_elements("css selector", f"[data-live]{inside}")
    }


def printed(path: Path, key: str, threshold: str, capsys) -> dict[str, str]:
    """What the command prints: probabilities in percent, as in its table."""
    capsys.readouterr()
    assert main(["benefit", str(path), "--outcome", key, "--threshold", threshold, "--json"]) == 0
    rows = {row["target"]: row for row in json.loads(capsys.readouterr().out)["benefit"]}
    found = {
        f"{name}.{cell}": bm.percent(rows[target][column])
        for name, target in TARGETS.items()
        for cell, column in CELLS.items()
    }
    new = rows["new study"]
    low, middle, high = (bm.percent(new[f"share_{end}"]) for end in ("lower", "median", "upper"))
    return found | {"share": f"{middle} ({low} to {high})"}


@pytest.mark.parametrize("key", OUTCOMES)
@pytest.mark.parametrize("threshold", ["0.5", "0.2", "0.137", "0.35", "1", "0.01"])
def test_a_moved_threshold_gives_what_the_command_prints(page, capsys, key, threshold):
    part = section(page, key)
    move(page, part, threshold)
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
        own(page, section(page, key))
        found = shown(section(page, key))
        for name, text in printed(CANCER, key, "0.5", capsys).items():
            assert found[name] == text
        protocol = bm.read_protocol(CANCER)
        fit = bm.fit(bm.read_effects(protocol, key), protocol.outcomes[key].model.on())
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
    choices = {
        node.get_attribute("textContent"): node.get_attribute("value")
        for node in part.find_elements("css selector", "select.analysis option")
    }
    assert {"as stated", "mu flat", "tau half-normal(1)"} <= set(choices)
    assert any(label.startswith("exercise: ") for label in choices) or len(choices) > 10
    for name in (
        "mu flat",
        "tau half-normal(1)",
        "mu Cochrane, all fields",
        "true effects of one trial's arms uncorrelated (rho 0)",
    ):
        changed = vary(protocol, name)
        outcome = changed.outcomes[key]
        fit = bm.fit(read_outcome(changed, key).effects, outcome.model.on(), outcome=outcome)
        table = bm.benefit_table(fit, [outcome.decision.primary]).set_index("target")
        own(page, part)
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


def test_the_first_table_follows_the_analysis(page):
    part = section(page, "fatigue_short")
    row = page.find_element("css selector", 'tr[data-summary="fatigue_short"]')
    cell = row.find_element("css selector", ".smd .whole")
    before = text_of(cell)
    kept = page.find_element("css selector", "[data-other]")
    assert kept.get_attribute("hidden") is not None
    choose(page, part, "mu sceptical normal(0, 0.2)")
    protocol = bm.read_protocol(CANCER)
    effects, outcome = bm.read_effects(protocol, "fatigue_short"), protocol.outcomes["fatigue_short"]
    model = dataclasses.replace(outcome.model.on(), mu=bm.Normal(0, 0.2))
    table = bm.summarize(bm.fit(effects, model, outcome=outcome)).loc["mu"]
    assert text_of(cell) == f"{table['median']:.2f} ({table['lower']:.2f} to {table['upper']:.2f})"
    assert "mu sceptical" in text_of(row.find_element("css selector", "th"))
    # what is not computed anew says that it is of the analysis as stated
    assert kept.get_attribute("hidden") is None
    press(page, part.find_element("css selector", "button.reset"))
    assert text_of(cell) == before
    assert kept.get_attribute("hidden") is not None


def test_the_digits_of_an_estimate_are_the_same_in_row_and_sentence(page):
    for key in OUTCOMES:
        row = page.find_element("css selector", f'tr[data-summary="{key}"]')
        middle, _, rest = text_of(row.find_element("css selector", ".smd .whole")).partition(" (")
        assert f" is {middle} (95 % central credible interval {rest}" in answers(page, key)[0]


def test_what_cannot_be_a_threshold_leaves_the_last_one(page):
    part = opened(page, "fatigue_short")
    move(page, part, "0.250")
    found = shown(part)
    assert found["threshold"] == "0.25"
    move(page, part, "-1")
    assert shown(part) == found
    # another analysis is shown at the threshold that the tables name
    choose(page, part, "mu flat")
    main = fitted("fatigue_short")
    fit = bm.fit(main.effects, dataclasses.replace(main.model, mu=bm.Flat()), outcome=main.outcome)
    assert answers(page, "fatigue_short") == [bm.benefit_sentence(fit, moved_to(fit, "0.25"))]
    assert shown(part)["analysis"] == "mu flat"
    assert part.find_element("css selector", ".refused").is_displayed()
    press(page, part.find_element("css selector", "button.reset"))
    own(page, part)
    assert shown(part)["threshold"] == "0.5"
    assert not part.find_element("css selector", ".refused").is_displayed()


def marks(part, kind: str) -> dict[str, str]:
    """What says that it stays: by the table or figure, the words."""
    found = {}
    for node in part.find_elements("css selector", f'[data-stays="{kind}"]'):
        if node.get_attribute("hidden") is None:
            owner = node.find_element(
                "xpath", "ancestor::*[self::table or self::figure or self::p or self::summary][1]"
            )
            name = owner.get_attribute("data-table") or owner.get_attribute("textContent")
            found[name] = text_of(node)
    return found


def test_what_cannot_follow_says_so_where_it_stands(page):
    part = section(page, "fatigue_short")
    own(page, part)
    assert not marks(part, "threshold")
    assert not marks(part, "analysis")
    move(page, part, "0.3")
    found = marks(part, "threshold")
    assert {"tipping", "scaling", "next_trial"} <= set(found)
    own_mid = "Important is measured by the instrument's own threshold (MID), which was not moved."
    assert set(found.values()) == {"At the stated threshold of 0.5.", own_mid}
    assert not {"inconsistency", "multiverse", "leave-one-out"} & set(found)
    # with the forest plots by exercise and by timing
    assert sum("SVG" in name for name in found) == 4
    assert not marks(part, "analysis")
    press(page, part.find_element("css selector", "button.reset"))
    own(page, part)
    assert not marks(part, "threshold")
    choose(page, part, "mu flat")
    found = marks(part, "analysis")
    assert {"estimates", "priors", "tipping", "leave-one-out", "inconsistency", "multiverse"} <= set(found)
    # classical tables too: an analysis may be of other rows
    assert {"small-study", "influence", "dependence", "heterogeneity", "estimators"} <= set(found)
    assert any(name.startswith("35 estimates of 32 trials") for name in found)
    assert not marks(part, "threshold")


def fitted(key: str, path: Path = CANCER) -> bm.Fit:
    protocol = bm.read_protocol(path)
    outcome = protocol.outcomes[key]
    return bm.fit(bm.read_effects(protocol, key), outcome.model.on(), outcome=outcome)


def moved_to(fit: bm.Fit, text: str, name: str = "") -> bm.Threshold:
    """What `bayesmeta benefit --threshold` makes of a number."""
    return threshold(float(text), measure_name=fit.effects.measure, better=fit.effects.better, name=name)


def answers(page, key: str) -> list[str]:
    """The plain answer of an outcome."""
    return [
        text_of(node) for node in page.find_elements("css selector", f'[data-outcome="{key}"] [data-live="answer"]')
    ]


@pytest.mark.parametrize("key", OUTCOMES)
def test_the_plain_answer_follows_word_for_word(page, key):
    part, fit = section(page, key), fitted(key)
    own(page, part)
    assert answers(page, key) == [bm.benefit_sentence(fit, fit.outcome.decision.primary)]
    for text in ("0.2", "0.137", "1", "0.01", "0.1234567", "0.00001", "1234567"):
        move(page, part, text)
        assert answers(page, key) == [bm.benefit_sentence(fit, moved_to(fit, text))]


def test_the_plain_answer_is_of_the_chosen_analysis(page):
    key = "fatigue_short"
    part = section(page, key)
    move(page, part, "0.25")
    choose(page, part, "mu flat")
    main = fitted(key)
    fit = bm.fit(main.effects, dataclasses.replace(main.model, mu=bm.Flat()), outcome=main.outcome)
    assert answers(page, key) == [bm.benefit_sentence(fit, moved_to(fit, "0.25"))]
    for place in page.find_elements("css selector", f'[data-outcome="{key}"] .answer'):
        assert text_of(place).endswith("new study. [mu flat]")
    protocol = bm.read_protocol(CANCER)
    model = protocol.outcomes[key].model.on(main.effects)
    fit = bm.fit(main.effects, model, outcome=main.outcome)
    choose(page, part, "timing: during (21 rows)")
    assert answers(page, key) == [bm.benefit_sentence(fit, moved_to(fit, "0.25"), at={"timing": "during"})]


def test_an_analysis_that_cannot_be_chosen_follows_the_threshold(page):
    key, name = "fatigue_short", "exercise type differs between during and after treatment"
    part = section(page, key)
    changed = vary(bm.read_protocol(CANCER), name)
    outcome = changed.outcomes[key]
    effects = read_outcome(changed, key).effects
    fit = bm.fit(effects, outcome.model.on(effects), outcome=outcome)
    move(page, part, "0.2")
    table = bm.benefit_table(fit, [moved_to(fit, "0.2")]).set_index("target")
    row = part.find_element("xpath", f".//tr[@data-analysis][th='{name}']")
    assert shown(row)["mu.important"] == bm.percent(float(table.loc["mean effect", "p_important_benefit"]))
    assert shown(row)["theta_new.important"] == bm.percent(float(table.loc["new study", "p_important_benefit"]))


def cells_of(part, name: str) -> list[list[str]]:
    """Cells of a table; rows that change nothing stand folded in a table of their own, and have their number."""
    rows = part.find_elements("css selector", f'[data-table="{name}"] tbody tr')
    rows.sort(key=lambda row: int(row.get_attribute("data-row") or 0))
    return [[text_of(cell) for cell in row.find_elements("css selector", "th, td")] for row in rows]


@pytest.mark.parametrize("key", OUTCOMES)
def test_grade_support_follows(page, key):
    part, fit = section(page, key), fitted(key)
    bench = sensitivity_analyses(fit, ["small-study"])
    for text in ("0.2", "0.35", "0.8", "0.05"):
        move(page, part, text)
        table = grade_table(fit, moved_to(fit, text), tables=bench.tables)
        rows = part.find_elements("css selector", "tr[data-grade]")
        found = {
            row.get_attribute("data-grade"): {
                cell.get_attribute("data-col"): text_of(cell)
                for cell in row.find_elements("css selector", "[data-col]")
            }
            for row in rows
        }
        assert found == {
            row["item"]: {name: row[name] for name in ("value", "rationale", "suggestion")}
            for row in table.to_dict("records")
        }


@pytest.mark.parametrize("key", OUTCOMES)
def test_the_table_of_inconsistency_follows(page, key):
    part, fit = section(page, key), fitted(key)
    small = next(item for item in fit.outcome.decision.thresholds if not item.primary)
    for text in ("0.2", "0.3", "0.45"):
        move(page, part, text)
        frame = inconsistency_table(fit, [moved_to(fit, text, f"important, moved to {text}"), small])
        assert cells_of(part, "inconsistency") == read_section("inconsistency", frame, fit).table.cells


def test_thresholds_of_benefit_and_harm_that_differ(browser, tmp_path):
    """After a move and back the page's own arithmetic stands at the stated pair: benefit from 0.4, harm from 0.15."""
    assert main(["example", str(tmp_path)]) == 0
    path = tmp_path / "protocol.toml"
    text = path.read_text("utf-8").replace("benefit = 0.5, worse = 0.5", "benefit = 0.4, worse = 0.15")
    path.write_text(text.replace("benefit = 0.2, worse = 0.2", "benefit = 0.1, worse = 0.3"), encoding="utf-8")
    assert main(["report", str(path), "-o", str(tmp_path / "r")]) == 0
    browser.get((tmp_path / "r" / "index.html").as_uri())
    part, fit = section(browser, "anxiety"), fitted("anxiety", path)
    bench = sensitivity_analyses(fit, ["small-study"])
    stated, small = fit.outcome.decision.thresholds
    assert (stated.benefit, stated.worse) == (0.4, 0.15)
    before = [cells_of(part, name) for name in ("grade", "inconsistency", "priors")]
    move(browser, part, "0.05")
    assert [cells_of(part, name) for name in ("grade", "inconsistency", "priors")] != before
    press(browser, part.find_element("css selector", "button.reset"))
    table = grade_table(fit, stated, tables=bench.tables).set_index("item")
    for row in part.find_elements("css selector", "tr[data-grade]"):
        for cell in row.find_elements("css selector", "[data-col]"):
            assert text_of(cell) == table.loc[row.get_attribute("data-grade"), cell.get_attribute("data-col")]
    frame = inconsistency_table(fit, [stated, small])
    assert cells_of(part, "inconsistency") == read_section("inconsistency", frame, fit).table.cells
    # the two sides are counted by their own distances
    assert frame.iloc[0][["estimates_benefit", "estimates_harm"]].tolist() == [
        pytest.approx(float(np.mean(-fit.effects.y >= 0.4))),
        pytest.approx(float(np.mean(-fit.effects.y <= -0.15))),
    ]


def test_the_multiverse_follows(page):
    key = "anxiety_long"
    part, fit, protocol = section(page, key), fitted(key), bm.read_protocol(CANCER)
    for text in ("0.05", "0.3"):
        move(page, part, text)
        bench = sensitivity_analyses(
            fit, ["multiverse"], threshold=moved_to(fit, text), recompute=recompute(protocol, key)
        )
        assert cells_of(part, "multiverse") == read_section("multiverse", bench.tables["multiverse"], fit).table.cells


def test_a_trial_with_its_review_follows(browser, tmp_path):
    path = ROOT / "models" / "metastatic.toml"
    assert main(["report", str(path), "--outcome", "fatigue", "-o", str(tmp_path / "r")]) == 0
    browser.get((tmp_path / "r" / "index.html").as_uri())
    part, fit = section(browser, "fatigue"), fitted("fatigue", path)
    told = bm.analyse(path, "fatigue").borrowed.borrowing
    for text in ("5", "2", "8.5"):
        move(browser, part, text)
        table = borrowing_table(told, moved_to(fit, text), weights=sorted({*WEIGHTS, told.weight}))
        for column in ("p_important_benefit", "p_important_harm"):
            cells = part.find_elements("css selector", f'[data-table="borrowing"] [data-col="{column}"]')
            assert [text_of(cell) for cell in cells] == [bm.percent(p) for p in table[column]]


@pytest.mark.parametrize("key", OUTCOMES)
def test_tables_of_refits_follow(page, key):
    part, fit = section(page, key), fitted(key)
    for text in ("0.3", "0.05", "2.5"):
        move(page, part, text)
        moved = sensitivity_analyses(fit, ["priors", "concordance"], threshold=moved_to(fit, text)).tables
        for name, frame in moved.items():
            assert cells_of(part, name) == read_section(name, frame, fit).table.cells
        assert not {"priors", "concordance"} & set(marks(part, "threshold"))
        assert "tipping" in marks(part, "threshold")


def test_a_table_with_lines_whose_refits_are_missing_stays_and_says_so():
    fit = fitted("anxiety_long")
    bench = sensitivity_analyses(fit, ["priors", "concordance"])
    part = bm.Analysis("anxiety_long", fit, sections_run=bench)
    assert {"priors", "concordance"} <= followed(part)
    fits = {**bench.fits, "priors": (*bench.fits["priors"][:4], *[None] * len(bench.fits["priors"]))}
    assert not {"priors"} & followed(dataclasses.replace(part, sections_run=dataclasses.replace(bench, fits=fits)))


def test_refits_are_computed_from_packed_nodes(page):
    """Lines as the bench will send them: a posterior, a classical mean with t or normal, and none."""
    fit = fitted("qol_medium")
    forms = [
        packed_form(serialised_form(fit, coarsened=True)),
        None,
        {"representation": "classical", "estimate": 0.31, "se": 0.12, "df": 7},
        {"representation": "classical", "estimate": 0.31, "se": 0.12, "df": 4},
        {"representation": "classical", "estimate": 0.31, "se": 0.12, "df": None},
    ]
    script = """const b = window.bayesmeta, lines = arguments[0].map(x => x && b.unpack(x));
        return b.tables.refits({better: "higher"}, lines, {benefit: arguments[1]});"""
    for x in (0.05, 0.2, 0.5, 0.9):
        found = page.execute_script(script, forms, x)
        p = [bm.probability(fit, name, above=x) for name in ("mu", "theta_new")]
        assert found[0] == {"p_important_benefit": bm.percent(p[0]), "p_important_benefit_new": bm.percent(p[1])}
        z = (0.31 - x) / 0.12
        assert [line.get("p_important_benefit") for line in found[1:]] == [
            None,
            *(bm.percent(float(q)) for q in (special.stdtr(7, z), special.stdtr(4, z), special.ndtr(z))),
        ]
    # whole degrees of freedom from one on, both tails
    ours = page.execute_script(
        "return arguments[0].map(([x, df]) => window.bayesmeta.studentBelow(x, df));",
        [[x, df] for df in (1, 2, 3, 10, 31, 200) for x in (-6.0, -0.3, 0.0, 2.2)],
    )
    theirs = [special.stdtr(df, x) for df in (1, 2, 3, 10, 31, 200) for x in (-6.0, -0.3, 0.0, 2.2)]
    assert ours == pytest.approx(theirs, abs=1e-14)


def test_numbers_are_written_as_the_command_line_writes_them(page):
    """Halves go to the even digit: probabilities by draws are fractions, which lie half way often enough."""
    values = [k / 40 for k in range(4000)] + [0.5, 1.5, 2.5, 0.125, 0.375, -0.125, -0.04, 1e-9, 12.35, 0.285, 99.95]
    for digits in (0, 1, 2, 3):
        ours = page.execute_script(
            "return arguments[0].map(x => window.bayesmeta.fixed(x, arguments[1]));", values, digits
        )
        assert ours == [number(x, digits) for x in values]
    values = [0.5, 1 / 0.75, 1e-5, 0.0001, 123456.0, 1234567.0, 0.1 + 0.2, 100.0, 999999.5, 2.5e-7, 1e22]
    ours = page.execute_script("return arguments[0].map(window.bayesmeta.general);", values)
    assert ours == [f"{x:g}" for x in values]


def test_a_subgroup_is_the_moderated_fit_at_its_level(page):
    key = "fatigue_short"
    part = section(page, key)
    protocol = bm.read_protocol(CANCER)
    effects = bm.read_effects(protocol, key)
    outcome = protocol.outcomes[key]
    fit = bm.fit(effects, outcome.model.on(effects), outcome=outcome)
    labels = {
        node.get_attribute("textContent"): node.get_attribute("value")
        for node in part.find_elements("css selector", "select.analysis option")
    }
    levels = {text: value for text, value in labels.items() if text.startswith("timing: ")}
    assert len(levels) == 2
    for text, value in levels.items():
        level = text.removeprefix("timing: ").partition(" (")[0]
        own(page, part)
        set_value(page, part.find_element("css selector", "select.analysis"), value, "change")
        table = bm.benefit_table(fit, [outcome.decision.primary], at={"timing": level}).set_index("target")
        found = shown(part)
        for target, words in TARGETS.items():
            expected = bm.percent(float(table.loc[words, "p_important_benefit"]))
            assert found[f"{target}.important"] == expected


def test_keys_move_the_slider_and_a_bad_threshold_is_refused(page):
    from selenium.webdriver.common.keys import Keys

    part = opened(page, "fatigue_short")
    own(page, part)
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
    own(page, part)
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
        'schema = 2\ntitle = "BCG"\n[data]\npath = "../bcg.csv"\n[defaults]\nmeasure = "RR"\n'
        'thresholds = [{ name = "quarter", benefit = 0.75, worse = 1.25, primary = true, kind = "panel", '
        'source = "x" }]\n'
        '[defaults.priors]\nmu = { dist = "normal", mean = 0, sd = 2 }\ntau = { dist = "halfnormal", scale = 0.5 }\n'
        '[outcome.tuberculosis]\nlabel = "Tuberculosis"\nbetter = "lower"\n'
    )
    assert main(["report", str(path), "-o", str(tmp_path / "r")]) == 0
    browser.get((tmp_path / "r" / "index.html").as_uri())
    part, fit = section(browser, "tuberculosis"), fitted("tuberculosis", path)
    stated = bm.benefit_table(fit, [fit.outcome.decision.primary]).set_index("target")
    assert shown(part)["mu.harm"] == bm.percent(float(stated.loc["mean effect", "p_important_harm"]))
    for text in ("0.8", "0.6", "0.95"):
        set_value(browser, part.find_element("css selector", "input.threshold"), text)
        found = shown(part)
        for name, cell in printed(path, "tuberculosis", text, capsys).items():
            assert found[name] == cell, (text, name)
        assert answers(browser, "tuberculosis") == [bm.benefit_sentence(fit, moved_to(fit, text))]
        # the other side counts as much when a threshold is moved
        assert f"{1 / float(text):g} or beyond" in answers(browser, "tuberculosis")[0]
    press(browser, part.find_element("css selector", "button.reset"))
    assert answers(browser, "tuberculosis") == [bm.benefit_sentence(fit, fit.outcome.decision.primary)]
    assert "1.25 or beyond" in answers(browser, "tuberculosis")[0]
    browser.execute_script("arguments[0].open = true;", part)
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
        # a caption, and with it what says that a table stays, does not go out of sight with a wide table
        beyond = """document.querySelectorAll('details').forEach(node => { node.open = true; });
            return [...document.querySelectorAll('caption')].filter(node =>
              node.getBoundingClientRect().right > window.innerWidth).length;"""
        assert browser.execute_script(beyond) == 0
        # nothing was asked of any other address
        fetched = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert [name for name in fetched if not name.startswith("data:")] == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_scripts_the_page_still_answers(browser, folder, tmp_path):
    text = (folder / "index.html").read_text("utf-8")
    still = tmp_path / "still.html"
    start = text.rindex("<script>")
    still.write_text(text[:start] + text[text.index("</script>", start) :], "utf-8")
    browser.get(still.as_uri())
    found = shown(browser.find_element("css selector", 'tr[data-summary="fatigue_short"]'))
    assert found["sentence"].startswith("Exercise [certainty?] ")
    assert found["theta_new.important"].endswith(" %")
    assert not opened(browser, "fatigue_short").find_element("css selector", ".controls").is_displayed()
