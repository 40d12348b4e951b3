"""The pages of docs: their commands and code run, their links, DOIs and pictures exist, their length is bounded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer.main

import bayesmeta as bm
from bayesmeta.sensitivity import SECTIONS
from references import ROOT, tool

PAGES = tool("pages")
API = tool("public_api")
CLI = tool("cli_reference")
SITE = tool("site")
RELEASE = tool("release")
API_NAMES, ROOMS = set(dir(bm)), set(bm.ROOMS)
COMMANDS = typer.main.get_command(CLI.app).commands

#: Pages whose blocks another test runs.
ELSEWHERE = {
    "models.md": "tests/plots/test_model_plots.py",
    "published.md": "tests/cli/test_published.py",
    "sensitivity.md": "tests/test_readme.py",
}
#: Words a page without a picture may have: about seven minutes of reading.
WORDS = 1500
GENERATED = "reference/"

TEXTS = {path.relative_to(PAGES.DOCS).as_posix(): path.read_text(encoding="utf-8") for path in PAGES.all_pages()}
RUNNABLE = {
    name: text
    for name, text in TEXTS.items()
    if name not in ELSEWHERE
    and any(block.language not in PAGES.OTHER and not block.build_only for block in PAGES.blocks(text))
}
README = (ROOT / "README.md").read_text(encoding="utf-8")
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    PAGES.furnish(tmp_path)
    return tmp_path


# the stored sample is small and of three trials, of which PSIS-LOO rightly warns
@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning")
@pytest.mark.filterwarnings("ignore::bayesmeta.BayesmetaWarning")
@pytest.mark.parametrize("name", RUNNABLE)
def test_what_a_page_shows_is_what_its_blocks_print(name: str, project: Path) -> None:
    assert PAGES.run_page(RUNNABLE[name], project) > 0


def test_pending_commands_are_not_there_yet() -> None:
    assert not set(COMMANDS) & set(PAGES.PENDING), (
        "these commands exist now: take them off the list, so that their blocks are run"
    )


def test_no_block_is_of_a_language_that_nobody_runs() -> None:
    languages = {block.language for text in TEXTS.values() for block in PAGES.blocks(text)}
    assert languages <= {*PAGES.RUN, *PAGES.OTHER}
    # every fence is read as a block: none is cut in half
    for name, text in TEXTS.items():
        printed = sum(block.printed is not None for block in PAGES.blocks(text))
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * (len(list(PAGES.blocks(text))) + printed), name


def test_what_is_compared_can_differ() -> None:
    PAGES.compare("a\n...\nc\n", "a\nb\nc\n")
    for wrong in ("b\n...\na\n", "a\n...\nd\n", "a\nc\n"):
        with pytest.raises(AssertionError):
            PAGES.compare(wrong, "a\nb\nc\n")


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    page = PAGES.DOCS / name
    text = re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL))
    for alt, target in IMAGE.findall(text):
        assert len(alt) > 20, f"{target}: a picture needs a description"
        path = (page.parent / target).resolve()
        made = path.parent == PAGES.DOCS / "pictures" and path.name in SITE.PICTURES
        assert made or path.exists(), target
    for target in LINK.findall(text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.is_relative_to(PAGES.DOCS), f"{target}: outside the site"
        assert goal.exists(), target
        if anchor:
            assert anchor in anchors(goal.read_text(encoding="utf-8")), target


def anchors(text: str) -> set[str]:
    """Names of a page's headings, as Python-Markdown makes them."""
    headings = re.findall(r"^#{1,6} (.+?)\s*$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {
        re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower())
        for heading in headings
    }


def test_links_of_the_readme_lead_somewhere() -> None:
    found = [target for _, target in IMAGE.findall(README)] + LINK.findall(README)
    assert len(found) >= 5
    for target in found:
        assert target.startswith("https://") or (ROOT / target.partition("#")[0]).exists(), target


def test_claims_quote_the_readme() -> None:
    """Word for word, but for emphasis, line ends and the case of the first letter."""

    def plain(text: str) -> str:
        return " ".join(text.replace("*", "").split()).casefold()

    quoted = {
        name: [plain(words).rstrip(".") for words in re.findall(r'\*"(.*?)"\*', text, flags=re.DOTALL)]
        for name, text in TEXTS.items()
        if name.startswith("claims/") and name != "claims/index.md"
    }
    assert all(quoted.values())
    lost = [f"{name}: {words}" for name, found in quoted.items() for words in found if words not in plain(README)]
    assert not lost


def test_the_help_of_sensitivity_names_every_section() -> None:
    page = TEXTS["reference/cli.md"]
    about = page[page.index("bayesmeta sensitivity") :]
    named = set(re.findall(r"[a-z-]+", about[: about.index("## ")]))
    assert set(SECTIONS) <= named


def test_rows_of_tables_of_rooms_are_whole() -> None:
    rows = re.findall(r"^\| \d+ \| `\w+` \|.*$", TEXTS["architecture.md"], flags=re.MULTILINE)
    assert len(rows) > 20
    assert {row.count(" | ") for row in rows} == {2}


def test_every_page_stands_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1]
    named = re.findall(r"([\w/-]+\.md)$", navigation, re.MULTILINE)
    assert sorted(named) == sorted(TEXTS)


@pytest.mark.parametrize("name", [name for name in [*TEXTS, "README.md"] if not name.startswith(GENERATED)])
def test_names_and_commands_in_the_text_exist(name: str) -> None:
    text = TEXTS.get(name, README)
    for found in re.findall(r"\bbm\.([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)", text):
        first, _, second = found.partition(".")
        assert first in API_NAMES or first in ROOMS, f"bm.{found}"
        assert first not in ROOMS or not second or hasattr(getattr(bm, first), second), f"bm.{found}"
    for words in re.findall(r"`(?:\$ )?bayesmeta ([^`\n]+)`", text):
        command, *rest = words.split()
        if command.startswith(("-", "COMMAND")) or command in PAGES.PENDING:
            continue
        command = command.rstrip(",")
        assert command in COMMANDS, words
        known = {option for item in COMMANDS[command].params for option in (*item.opts, *item.secondary_opts)}
        for option in rest:
            if option.startswith("--"):
                assert option.partition("=")[0].rstrip(",.") in {*known, "--help"}, words


def test_the_citation_is_of_this_version() -> None:
    faults = list(RELEASE.disagreements())
    # the changelog names the version when it is released
    assert all(fault.startswith("the first heading of CHANGELOG.md") for fault in faults), faults


def test_every_picture_that_the_build_makes_is_shown() -> None:
    shown = {Path(target).name for text in TEXTS.values() for _, target in IMAGE.findall(text) if "pictures/" in target}
    assert shown == set(SITE.PICTURES)


def test_a_page_that_loads_something_is_known() -> None:
    for bad in (
        '<script defer src="https://x.org/a.js">',
        "<img src='//x.org/a.png'>",
        '<link rel="s" href="https://x.org/a.css">',
    ):
        assert SITE.LOADS.search(bad), bad
    for good in ('<a href="https://x.org">', '<script src="assets/a.js">', '<img src="../figures/a.png">'):
        assert not SITE.LOADS.search(good), good
    assert SITE.IMPORTS.search("src: url(https://x.org/a.woff2)")
    assert not SITE.IMPORTS.search('background: url("data:image/svg+xml,a")')


DOI = re.compile(r"doi:\s?(\S+)", re.IGNORECASE)


@pytest.mark.parametrize("name", [*TEXTS, "README.md"])
def test_dois_have_their_form(name: str) -> None:
    text = TEXTS.get(name, README)
    for found in DOI.findall(text):
        # registrant and suffix (ISO 26324); a suffix ends with a letter or a digit, but for a closed bracket
        doi = found.rstrip(".,;:`*|\"'")
        while doi.endswith(")") and doi.count("(") < doi.count(")"):
            doi = doi[:-1].rstrip(".,;:`")
        assert re.fullmatch(r"10\.\d{4,9}/[\w.()/:;<>-]*[\w)>]", doi), found


@pytest.mark.parametrize("name", [name for name in TEXTS if not name.startswith(GENERATED)])
def test_no_page_is_long_without_a_picture(name: str) -> None:
    words = len(re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL).split())
    assert words <= WORDS or IMAGE.search(TEXTS[name]), f"{words} words"


def test_the_reference_of_commands_is_that_of_the_program() -> None:
    assert TEXTS["reference/cli.md"] == CLI.written(), "run: python3 -m uv run python tools/cli_reference.py"


def test_the_public_names_are_the_frozen_ones() -> None:
    frozen = json.loads(API.FROZEN.read_text(encoding="utf-8"))
    now = API.frozen()
    again = "if that is meant, run: python3 -m uv run python tools/public_api.py"
    gone = sorted(set(frozen) - set(now))
    assert not gone, f"{gone} went without an alias for one release (docs/policy.md); {again}"
    assert not (set(now) - set(frozen)), f"new names; {again}"
    changed = [name for name in frozen if frozen[name] != now[name]]
    assert not changed, f"{changed} are called in another way (docs/policy.md); {again}"


def test_every_public_name_has_a_place_in_the_reference() -> None:
    for name, text in API.pages().items():
        assert TEXTS[f"reference/api/{name}"] == text, "run: python3 -m uv run python tools/public_api.py"
