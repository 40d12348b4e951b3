"""Files of a report: the same bytes from the same run, a policy that lets nothing else run, XML that parses."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

import bayesmeta as bm
from bayesmeta.plots import plot_bytes
from bayesmeta_cli.main import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("example")
    assert main(["example", str(place)]) == 0
    folders = [place / name for name in ("one", "two")]
    for folder in folders:
        assert main(["report", str(place / "protocol.toml"), "-o", str(folder)]) == 0
    return folders


def test_identical_runs_give_identical_files(runs):
    one, two = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()} for root in runs
    )
    assert set(one) == set(two)
    assert {".docx", ".html", ".json", ".csv", ".svg", ".nc"} <= {path.suffix for path in one}
    assert [str(path) for path in one if one[path] != two[path]] == []


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.handlers: list[str] = []
        self.policy = ""
        self.scripts: list[str] = []
        self.inside = False

    def handle_starttag(self, tag, attrs):
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        given = dict(attrs)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        self.inside = tag == "script" and given.get("type") in (None, "text/javascript")

    def handle_data(self, data):
        if self.inside:
            self.scripts.append(data)
            self.inside = False


@pytest.mark.parametrize("name", ["index.html"])
def test_scripts_run_by_their_hash_alone(runs, name):
    page = _Page()
    page.feed((runs[0] / name).read_text("utf-8"))
    assert page.handlers == []
    allowed = re.search(r"script-src ([^;]*)", page.policy)[1].split()
    digest = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in page.scripts]
    assert digest
    assert allowed == [f"'sha256-{text}'" for text in digest]
    assert "default-src 'none'" in page.policy


#: What XML cannot hold, and what it holds only escaped.
HOSTILE = ["a\x0bb", "c\x00d", "e\ufffef", "<g & h>", "i\"j'k", "l\u202em", "]]>"]


def test_figures_are_well_formed_whatever_trials_are_called():
    names = [f"{text} {i}" for i, text in enumerate(HOSTILE)]
    effects = bm.Effects(names, np.linspace(-0.5, 0.2, len(names)), [0.2] * len(names), measure="SMD", better="lower")
    fit = bm.fit(effects, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))
    root = ElementTree.fromstring(plot_bytes(bm.plots.forest_plot(fit), "svg"))
    assert root.tag.endswith("svg")


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(bm.DataError, match="study"):
        bm.Effects(["\ud800n", "B"], [0.1, 0.2], [0.1, 0.1], measure="SMD")


def test_every_part_of_the_word_files_is_well_formed(runs):
    for path in sorted(runs[0].glob("*.docx")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith((".xml", ".rels")):
                    ElementTree.fromstring(archive.read(name))
