"""The guideline report: its files, its numbers, its page.

Authorities: the library, whose numbers must come through bit for bit; the committed schema; HTML's own rules (unique
ids, one header per column); `bayesmeta benefit --threshold X`, whose printed digits the page must compute by itself.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html.parser
import json
import pickle
import re
import shutil
import zlib
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayesmeta as bm
from bayesmeta.analysis.declared import declared_fits
from bayesmeta.plan import Decision, NaturalUnit, PointsThreshold
from bayesmeta.records import output_schema
from bayesmeta.report import (
    asked_of,
    bibliography,
    block_views,
    extra_tables,
    live_text,
    methods_text,
    packed_form,
    render_page,
    serialised_form,
    summary_of_findings,
    used_references,
    view_of,
)
from bayesmeta.report.writing import _run_one
from bayesmeta.sensitivity import MAIN, SECTIONS, sensitivity_analyses
from bayesmeta.studies import RowRecord, read_outcome
from bayesmeta_cli.main import main
from references import ROOT

CANCER = ROOT / "models" / "cancer_exercise.toml"
OUTCOMES = ("fatigue_short", "anxiety_long")
# a serialised posterior is pruned below 1e-8 and rounded to nine digits
SHIPPED = 5e-8
# nodes left out of the page weigh less than this together, and the coarser rule differs by less
LOST_IN_PAGE = 4e-7


def probability_below(form, name, x):
    """P(quantity < x) from a serialised posterior, as the page's script computes it."""
    if form["representation"] == "grid":
        grid = form[name]
        points = np.asarray(grid["x"])
        if x <= points[0] or x >= points[-1]:
            return 0.0 if x <= points[0] else 1.0
        i = int(np.searchsorted(points, x, side="right")) - 1
        h = points[i + 1] - points[i]
        u = (x - points[i]) / h
        c, d = grid["cdf"], grid["density"]
        return (
            c[i] * (1 + 2 * u) * (1 - u) ** 2
            + c[i + 1] * u * u * (3 - 2 * u)
            + h * (d[i] * u * (1 - u) ** 2 - d[i + 1] * u * u * (1 - u))
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (x - np.asarray(form["m"])) / np.asarray(form["s" if name == "mu" else "t"])
    return float(np.asarray(form["w"]) @ special.ndtr(z))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("report")
    arguments = ["report", str(CANCER), "-o", str(place)]
    for name in OUTCOMES:
        arguments += ["--outcome", name]
    assert main(arguments) == 0
    return place


@pytest.fixture(scope="module")
def results(folder):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads((folder / "results.json").read_text("utf-8"), parse_constant=refuse)


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "index.html").read_text("utf-8")


def fit_of(key: str) -> bm.Fit:
    protocol = bm.read_protocol(CANCER)
    outcome = protocol.outcomes[key]
    return bm.fit(bm.read_effects(protocol, key), outcome.model.on(), outcome=outcome, seed=protocol.sampling.seed)


def part_of(key: str = "anxiety_long", **changes) -> bm.Analysis:
    fit = fit_of(key)
    part = bm.Analysis(key, fit, sections_run=sensitivity_analyses(fit, ["concordance", "small-study"]))
    return dataclasses.replace(part, **changes)


# ---------------------------------------------------------------------------------------------------------------- files


def test_every_file_is_there(folder):
    assert {item.name for item in folder.iterdir()} == {
        "index.html",
        "results.json",
        "references.bib",
        "summary-of-findings.docx",
        "summary-of-findings.md",
        "summary-of-findings.csv",
        "evidence-profile.docx",
        "sensitivity-analyses.docx",
        "figures",
        "tables",
        "fits",
    }
    for name in OUTCOMES:
        for kind in ("forest", "heterogeneity", "benefit"):
            assert (folder / "figures" / f"{name}.{kind}.svg").read_bytes().startswith(b"<?xml")
        assert bm.load(folder / "fits" / f"{name}.nc").effects.k == fit_of(name).effects.k
        assert len(pd.read_csv(folder / "tables" / f"{name}.trials.csv")) == fit_of(name).effects.k
    # PDFs are drawn where they are asked for
    assert not list((folder / "figures").glob("*.pdf"))
    # a funnel of three trials says nothing, and is not drawn
    assert (folder / "figures" / "fatigue_short.funnel.svg").exists()
    assert not (folder / "figures" / "anxiety_long.funnel.svg").exists()


def test_pictures_of_the_page_are_the_files(page, folder, results):
    packed = json.loads(re.search(r'id="pictures">(.*?)</script>', page, flags=re.DOTALL).group(1))
    shown = {zlib.decompress(base64.b64decode(text)).decode("utf-8").rstrip() for text in packed.values()}
    files = {path.name: path.read_text("utf-8").partition("?>\n")[2] for path in (folder / "figures").glob("*_*.svg")}
    # all outcomes together are drawn by the page itself; the file is for journals
    assert (folder / "figures" / "overview.svg").is_file()
    # forest, heterogeneity and funnel, and of the moderated outcome a forest plot by each moderator
    said = html.unescape(page).replace("\u2212", "-")
    assert len(packed) == 5 + 2
    assert shown == {text.rstrip() for name, text in files.items() if "benefit" not in name}
    for name in OUTCOMES:
        for kind, item in results["outcomes"][name]["figures"].items():
            if item["not_drawn"] is None:
                assert (item["svg"], item["pdf"]) == (f"figures/{name}.{kind}.svg", None)
                # what cannot be seen is said
                assert kind == "benefit" or item["alt"] in said


def test_pdfs_are_drawn_when_asked_for(tmp_path, capsys):
    assert main(["report", str(CANCER), "--outcome", "anxiety_long", "-o", str(tmp_path), "--pdf"]) == 0
    capsys.readouterr()
    figures = json.loads((tmp_path / "results.json").read_text("utf-8"))["outcomes"]["anxiety_long"]["figures"]
    page = (tmp_path / "index.html").read_text("utf-8")
    assert len(figures) == 3
    for name, item in figures.items():
        assert (tmp_path / item["pdf"]).read_bytes().startswith(b"%PDF")
        assert (item["pdf"] in page) == (name != "benefit")


def test_a_warning_of_an_outcome_is_told_once(tmp_path, capsys, monkeypatch):
    import warnings

    from bayesmeta.report import writing

    draw = writing.draw_part

    def warned(part, **options):
        warnings.warn("a letter is missing", bm.BayesmetaWarning, stacklevel=1)
        return draw(part, **options)

    monkeypatch.setattr(writing, "draw_part", warned)
    # two outcomes are run in this process, and have the same to say
    arguments = [item for name in OUTCOMES for item in ("--outcome", name)]
    assert main(["report", str(CANCER), *arguments, "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().err.count("a letter is missing") == 1


def test_results_keep_to_their_schema(results):
    validator = jsonschema.Draft202012Validator(output_schema("report"))
    assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(results)] == []
    assert results["reportable"] is True
    assert list(results["outcomes"]) == [name for name in bm.read_protocol(CANCER).outcomes if name in OUTCOMES]


def test_results_are_the_librarys(results):
    for name in OUTCOMES:
        fit, found = fit_of(name), results["outcomes"][name]
        summary = bm.summarize(fit)
        for quantity in ("mu", "tau", "theta_new"):
            for column in ("median", "lower", "upper", "sd"):
                assert found["bayes"][quantity][column] == summary.loc[quantity, column]
        assert found["sections"]["concordance"]["rows"][-1]["estimate"] == summary.loc["mu", "median"]
        assert [row["y"] for row in found["ledger"]] == fit.effects.y.tolist()
        assert all(row["formula"] for row in found["ledger"])
        declared = {item.name for item in bm.read_protocol(CANCER).sensitivities_of(name)}
        assert {row["analysis"] for row in found["declared"]} | set(found["not_done"]) >= declared | {MAIN}
        assert all(row["panel"] == "" for row in found["grade"])
        assert {row["size"] for row in found["next_trial"]} == {50, 200, 1000}


def test_a_serialised_posterior_gives_the_librarys_probabilities(results):
    for name in OUTCOMES:
        fit = fit_of(name)
        form = next(item for item in results["outcomes"][name]["posteriors"] if item["id"] == "main")["posterior"]
        assert form == serialised_form(fit)
        for x in np.linspace(-1.2, 0.8, 41):
            for quantity in ("mu", "theta_new"):
                expected = bm.probability(fit, quantity, below=float(x))
                assert probability_below(form, quantity, float(x)) == pytest.approx(expected, abs=SHIPPED)


def unpacked(form: dict) -> dict:
    """Undo `packed_form`, as the page does."""
    nodes = np.frombuffer(base64.b64decode(form["nodes"]), "<f4").astype(float).reshape(4, -1)
    return {"representation": "mixture", "w": nodes[0], "m": form["centre"] + nodes[1], "s": nodes[2], "t": nodes[3]}


def test_the_pages_fewer_nodes_give_the_same_probabilities():
    for name in OUTCOMES:
        fit = fit_of(name)
        heavy_tailed = bm.fit(fit.effects, dataclasses.replace(fit.model, mu=bm.StudentT(0, 0.5, 3)))
        for item in (fit, heavy_tailed):
            whole, coarsened = serialised_form(item), serialised_form(item, coarsened=True)
            assert len(coarsened["w"]) < 0.6 * len(whole["w"])
            small = unpacked(packed_form(coarsened))
            for x in np.linspace(-1.2, 0.8, 41):
                for quantity in ("mu", "theta_new"):
                    expected = bm.probability(item, quantity, below=float(x))
                    found = probability_below(coarsened, quantity, float(x))
                    assert found == pytest.approx(expected, abs=LOST_IN_PAGE)
                    # single precision
                    assert probability_below(small, quantity, float(x)) == pytest.approx(
                        expected, abs=LOST_IN_PAGE + 1e-7
                    )


def test_a_threshold_with_a_side_that_is_a_range_is_not_moved():
    fit = fit_of("anxiety_long")
    item = dataclasses.replace(fit.outcome.decision.primary, worse=(0.4, 0.6), worse_distance=(0.4, 0.6))
    outcome = dataclasses.replace(fit.outcome, decision=Decision((item,)))
    view = view_of(part_of(pooled=dataclasses.replace(fit, outcome=outcome)), (), ())
    assert not view["live"]
    assert view["threshold_text"] == "a range"
    assert view["chances"]["mu.harm"] == bm.percent(bm.probability(fit, "mu", above=0.4))


def test_points_of_an_instrument_say_that_their_own_threshold_is_not_moved():
    fit = fit_of("anxiety_long")
    mid = PointsThreshold(4.0, "a source", "anchor")
    unit = NaturalUnit("HADS", 4.0, "a source", mid=mid)
    for chosen, said in ((unit, 1), (dataclasses.replace(unit, mid=None), 0)):
        outcome = dataclasses.replace(
            fit.outcome, decision=dataclasses.replace(fit.outcome.decision, natural_unit=chosen)
        )
        part = part_of(pooled=dataclasses.replace(fit, outcome=outcome))
        blocks = block_views({"natural_units": extra_tables(part)["natural_units"]})
        view = view_of(part, (), blocks)
        text = render_page([part], [view], {part.key: live_text(part)}, title="t", hashes={}, pinned=False, seed=1)
        found = re.search(r'<table data-table="natural_units"><caption>(.*?)</caption>', text, flags=re.DOTALL)
        assert found is not None
        assert found.group(1).count("the instrument's own threshold (MID), which was not moved.") == said
        assert found.group(1).count("Of the analysis as stated.") == 1
        assert found.group(1).count(" hidden>") == 1 + said


def test_a_truncated_mean_is_serialised_as_a_grid():
    effects = bm.Effects(["A", "B", "C"], [-0.4, -0.1, -0.3], [0.2, 0.1, 0.2], measure="SMD", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Truncated(bm.Normal(0, 1), -10, 0), bm.HalfNormal(0.5)))
    form = serialised_form(fit)
    assert form["representation"] == "grid"
    for x in (-0.6, -0.31, -0.2, -0.05, 0.0, 0.3):
        for quantity in ("mu", "theta_new"):
            expected = bm.probability(fit, quantity, below=x)
            # a cubic between 801 points of a smooth distribution; mu has a kink at its bound
            assert probability_below(form, quantity, x) == pytest.approx(expected, abs=1e-5)


def test_references_follow_from_what_was_run(folder, results):
    text = (folder / "references.bib").read_text("utf-8")
    assert set(re.findall(r"^@\w+\{(\w+),", text, flags=re.MULTILINE)) == set(results["references"])
    # Rhodes 2015 is a declared prior only, and cited where it is the stated one
    fit = fit_of("anxiety_long")
    assert "rhodes2015" not in used_references([fit])
    rhodes = bm.fit(fit.effects, bm.Model(bm.Normal(0, 1), bm.Rhodes2015()))
    assert "rhodes2015" in used_references([rhodes])
    assert "rhodes2015" in bibliography(used_references([rhodes]))
    assert "halfnormal(0.5)" in methods_text([fit])
    assert "nothing was simulated" in methods_text([fit])


# ----------------------------------------------------------------------------------------------------------------- page


class Outline(html.parser.HTMLParser):
    """Tags with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def test_the_page_needs_nothing_else(page, folder):
    outline = Outline(page)
    assert not outline.all("link")
    assert not outline.all("iframe")
    assert [item for item in outline.all("script") if "src" in item] == []
    for item in outline.all("img"):
        assert str(item["src"]).startswith("data:")
    # links lead to a place in the page or to a file beside it
    for item in outline.all("a"):
        assert str(item["href"]).startswith(("#", "figures/")) or (folder / str(item["href"])).is_file()
    policy = next(item for item in outline.all("meta") if item.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy["content"])
    assert "url(http" not in page


def test_the_page_is_a_sound_and_accessible_document(page):
    outline = Outline(page)
    ids = [item["id"] for _, item in outline.tags if item.get("id")]
    assert len(ids) == len(set(ids))
    for item in outline.all("a"):
        if str(item["href"]).startswith("#"):
            assert str(item["href"])[1:] in ids
    assert outline.all("html")[0]["lang"] == "en"
    assert len(outline.all("h1")) == 1
    for item in outline.all("th"):
        assert item.get("scope") in ("col", "row")
    for item in outline.all("svg"):
        # a picture says what it shows, or repeats what stands in the cells beside it
        named = item.get("role") == "img" and (item.get("aria-label") or item.get("aria-labelledby"))
        assert named or item.get("aria-hidden") == "true"
    for name in ("input", "textarea", "select"):
        for item in outline.all(name):
            # each is inside a label or names itself
            assert (
                item.get("aria-label")
                or item.get("class") == "analysis"
                or item.get("id") in ("kind", "load-judgements")
            )
    assert "@media print" in page
    assert 'name="viewport"' in page


def test_the_page_never_claims_certainty(page):
    text = re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", text)
    assert re.findall(r"(?<![\d.])(?:100|0)(?:\.0+)? %", text) == []
    assert re.findall(r"\bnan\b|\bNaN\b|\bNone\b|\bundefined\b", text) == []
    assert bm.CAVEAT.split(".")[0] in text


def rendered(part: bm.Analysis) -> str:
    view = view_of(part, (), ())
    return render_page([part], [view], {part.key: live_text(part)}, title="t", hashes={}, pinned=False, seed=1)


def test_numbers_of_a_line_share_their_digits():
    part = part_of("fatigue_medium")
    view = view_of(part, (), ())
    low, middle, high = (bm.summarize(part.pooled).loc["mu", name] for name in ("lower", "median", "upper"))
    # the upper end alone would have four decimals
    assert 0 < high < 0.1
    expected = f"{middle:.3f} ({low:.3f} to {high:.3f})"
    lines = {row[0]: row[1] for row in view["estimates"].cells}
    assert lines["Bayesian"] == expected
    assert view["effect"] == expected
    assert view["classical_effect"] == lines["REML + HKSJ (narrower than Wald)"]
    assert view["classical_remark"] == bm.hksj_remark(part.pooled)
    twice = part_of("fatigue_medium", declared={"again": part.pooled})
    rows = view_of(twice, (), ())["analyses"]
    assert [(row["label"], row["mu"]) for row in rows] == [(name, expected) for name in ("as stated", "again")]


def test_checklists_lead_to_what_was_run():
    part = part_of()
    assert "priors" not in part.sections.tables
    text = rendered(part)
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= ids
    assert "named priors were not run" in text
    assert "tipping points" not in text


def test_the_page_speaks_of_no_command_and_no_column(page):
    text = re.sub(r"<(script|style|code).*?</\1>", "", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", text)
    assert re.findall(r"`[^`]*`|\bbayesmeta (?!authors)[a-z]+\b|(?<!-)--[a-z]\w+", text) == []
    assert re.findall(r"\b[a-z]+_(?:lower|upper|new|benefit|harm|value|units|null)\b", text) == []


def test_one_trial_is_written_in_the_singular():
    fit = fit_of("anxiety_long")
    one = bm.fit(fit.effects.subset(np.arange(fit.effects.k) == 0), fit.model, outcome=fit.outcome)
    assert view_of(part_of(pooled=one), (), ())["counts"].startswith("1 estimate of 1 trial, ")


def test_every_question_of_the_bench_says_whose_analysis_it_is():
    kinds = view_of(part_of(), (), ())["stays"]
    assert all("analysis" in kinds[name] for name in SECTIONS)


def test_a_ratio_with_its_review_is_shown_as_a_ratio():
    frame = pd.DataFrame(
        {
            "weight": [0.0],
            "analysis": ["robust prior"],
            "median": [np.log(0.5)],
            "lower": [np.log(0.25)],
            "upper": [0.0],
            "p_any_benefit": [0.9],
            "p_important_benefit": [0.5],
            "p_important_harm": [0.01],
            "ess_gained": [10.0],
            "vague_weight": [0.1],
            "note": [""],
        }
    )
    (block,) = block_views({"borrowing": frame}, "RR")
    assert block["table"].cells[0][2] == "0.50 (0.25 to 1.00)"
    (block,) = block_views({"borrowing": frame}, "MD")
    assert block["table"].cells[0][2] == "-0.69 (-1.39 to 0.00)"


def test_text_from_data_cannot_become_markup():
    outcome = dataclasses.replace(fit_of("anxiety_long").outcome, label='<script>alert("x")</script> & Co')
    reading = read_outcome(CANCER, "anxiety_long")
    part = part_of(
        pooled=dataclasses.replace(fit_of("anxiety_long"), outcome=outcome),
        reading=dataclasses.replace(reading, excluded=(RowRecord(1, "A", "<b>bold</b>"),)),
    )
    assert "&lt;b&gt;bold" in rendered(part)
    text = render_page(
        [part],
        [view_of(part, (), ())],
        {part.key: live_text(part)},
        title="</script><i>",
        hashes={},
        pinned=False,
        seed=1,
    )
    assert "<script>alert" not in text
    assert "<b>bold" not in text
    assert "</script><i>" not in text


def test_a_fit_that_failed_a_check_shows_no_number():
    fit = fit_of("anxiety_long")
    failed = dataclasses.replace(fit, checks=(bm.Check("quadrature error", False, 1.0, 1e-8, "Use a smoother prior."),))
    part = part_of(pooled=failed)
    view = view_of(part, (), ())
    assert view["failed"]
    assert not view["live"]
    table = summary_of_findings("t", asked_of({}, [part]), [view["row"]])
    assert [line.text for line in table.rows[0][1]] == ["A check failed: no number is shown."]
    text = render_page([part], [view], {}, title="t", hashes={}, pinned=False, seed=1, reasons=view["reasons"])
    assert "Not reportable" in text
    assert f"{bm.summarize(fit).loc['mu', 'median']:.3f}" not in text


def test_a_run_that_is_not_reportable_ends_with_five(tmp_path, monkeypatch, capsys):
    import bayesmeta.fits.inference as inference

    # nothing settles to a limit of zero, so that every check of the exact engine fails
    monkeypatch.setattr(inference, "TOLERANCE", -1.0)
    shutil.copytree(ROOT / "data", tmp_path / "data")
    (tmp_path / "models").mkdir()
    shutil.copy(CANCER, tmp_path / "models")
    code = main(
        ["report", str(tmp_path / "models" / CANCER.name), "--outcome", "anxiety_long", "-o", str(tmp_path / "r")]
    )
    assert code == 5
    assert "not reportable: anxiety_long" in capsys.readouterr().err
    found = json.loads((tmp_path / "r" / "results.json").read_text("utf-8"))
    assert found["reportable"] is False
    assert found["reasons"]


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_a_fault_leaves_the_previous_report_untouched(folder, tmp_path, capsys):
    place = tmp_path / "report"
    shutil.copytree(folder, place)
    before = digest(place)
    broken = tmp_path / "models" / "broken.toml"
    broken.parent.mkdir()
    shutil.copytree(ROOT / "data", tmp_path / "data")
    broken.write_text(CANCER.read_text("utf-8").replace('measure = "SMD"', 'measure = "SMDX"'), "utf-8")
    assert main(["report", str(broken), "-o", str(place)]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines
    assert all(line.startswith("error: ") for line in lines)
    assert digest(place) == before
    assert [item.name for item in place.iterdir() if item.name.startswith(".")] == []


def test_a_second_report_takes_the_place_of_the_first(folder, tmp_path):
    place = tmp_path / "report"
    shutil.copytree(folder, place)
    assert main(["report", str(CANCER), "--outcome", "anxiety_long", "-o", str(place)]) == 0
    names = {path.name.split(".")[0] for path in (place / "fits").iterdir()}
    assert names == {"anxiety_long"}


def test_cite_prints_a_paragraph_and_references(capsys):
    assert main(["cite", str(CANCER), "--outcome", "anxiety_long"]) == 0
    out = capsys.readouterr().out
    assert "Hartung-Knapp" in out
    assert "@article{roever2020," in out
    assert max(len(line) for line in out.split("@")[0].splitlines()) <= 80


# ------------------------------------------------------------------------------------------------------------ subgroups


@pytest.fixture(scope="module")
def with_subgroups(tmp_path_factory):
    """The cancer protocol, with subgroups declared."""
    place = tmp_path_factory.mktemp("subgroups")
    for name in ("data", "models"):
        (place / name).mkdir()
    shutil.copy(ROOT / "data" / "cancer_exercise_trials.csv", place / "data")
    text = CANCER.read_text("utf-8")
    stated = 'moderators = ["exercise", "timing"]'
    assert stated in text
    path = place / "models" / "review.toml"
    path.write_text(text.replace(stated, f'{stated}\nsubgroups = ["timing"]'), "utf-8")
    return path


def test_declared_subgroups_are_fitted_alone(with_subgroups, tmp_path, capsys):
    assert main(["report", str(with_subgroups), "-o", str(tmp_path / "out"), "--outcome", "anxiety_short"]) == 0
    assert "computes nothing" not in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert [
        error.message for error in jsonschema.Draft202012Validator(output_schema("report")).iter_errors(found)
    ] == []
    found = found["outcomes"]["anxiety_short"]
    whole = fit_of("anxiety_short")
    offered = {item["label"]: item for item in found["posteriors"] if item["kind"] == "subgroup"}
    rows = {row["analysis"]: row for row in found["declared"]}
    assert set(offered) == {"subgroup: timing = during", "subgroup: timing = after"}
    for level in ("during", "after"):
        label = f"subgroup: timing = {level}"
        alone = bm.fit(whole.effects.subset(whole.effects.moderators["timing"] == level), whole.model)
        assert rows[label]["k"] == alone.effects.k
        assert rows[label]["mu"] == pytest.approx(bm.summarize(alone).loc["mu", "median"], abs=1e-8)
        assert probability_below(offered[label]["posterior"], "mu", -0.2) == pytest.approx(
            bm.probability(alone, "mu", below=-0.2), abs=SHIPPED
        )


def test_a_number_makes_no_subgroups():
    protocol = bm.read_protocol(CANCER)
    outcome = protocol.outcomes["anxiety_short"]
    outcome = dataclasses.replace(outcome, selection=dataclasses.replace(outcome.selection, subgroups=("year",)))
    protocol = dataclasses.replace(protocol, outcomes={"anxiety_short": outcome})
    effects = bm.Effects(["A", "B"], [0.1, 0.2], [0.1, 0.1], moderators={"year": [2019.0, 2020.0]}, measure="SMD")
    pooled = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    item = declared_fits(dataclasses.replace(protocol, sensitivities=()), bm.Analysis("anxiety_short", pooled))
    assert not item.declared
    assert list(item.not_done) == ["subgroup: year"]
    assert "make groups of it" in item.not_done["subgroup: year"]


def test_ranges_do_not_count_subgroups(with_subgroups, capsys):
    arguments = ["--outcome", "anxiety_short", "--section", "declared", "--json"]
    assert main(["sensitivity", str(with_subgroups), *arguments]) == 0
    varied = json.loads(capsys.readouterr().out)
    assert main(["sensitivity", str(CANCER), *arguments]) == 0
    plain = json.loads(capsys.readouterr().out)

    first, second = (record["sections"]["declared"] for record in (varied, plain))
    assert first["summary"]["range"] == second["summary"]["range"]
    assert len(first["rows"]) == len(second["rows"]) + 2


# ------------------------------------------------------------------------------------------------------------ borrowing


def test_a_trial_is_shown_with_its_review(tmp_path, capsys):
    protocol = ROOT / "models" / "metastatic.toml"
    assert main(["borrow", str(protocol), "--outcome", "fatigue", "--json"]) == 0
    asked = json.loads(capsys.readouterr().out)
    assert main(["report", str(protocol), "--outcome", "fatigue", "-o", str(tmp_path / "out")]) == 0
    rows = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))["outcomes"]["fatigue"]["borrowing"]
    by_weight = {row["weight"]: row for row in rows}
    for row in asked["weights"]:
        for column in ("median", "lower", "upper", "p_important_benefit", "vague_weight", "ess_gained"):
            assert by_weight[row["weight"]][column] == pytest.approx(row[column], rel=1e-9), column
    assert "With what a review says about it" in (tmp_path / "out" / "index.html").read_text("utf-8")
    assert (tmp_path / "out" / "tables" / "fatigue.borrowing.csv").exists()


def test_an_outcome_travels_between_processes_without_the_draws_of_its_fits(tmp_path):
    made = _run_one(bm.read_protocol(CANCER), "anxiety_long", None, tmp_path, False).analysis
    assert not any("tree" in vars(fit) for fit in made.declared.values())
    kept = len(pickle.dumps(made))
    written = (tmp_path / "fits" / "anxiety_long.nc").read_bytes()
    assert written == made.pooled.save(tmp_path / "again.nc").read_bytes()
    assert kept < len(written)
    # and arrives with everything that the page asks of it
    arrived = pickle.loads(pickle.dumps(made))
    pd.testing.assert_frame_equal(arrived.variations, made.variations, check_exact=True)
    assert bm.summarize(arrived.pooled).equals(made.summary_table)
