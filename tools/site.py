"""Build the site into site/: python3 -m uv run --group docs python tools/site.py [--only-pages]

Pictures are drawn from the data in this repository; blocks that are too slow for the tests are run; the pages are built
with warnings as errors and, where the system can take the network away (Linux), without one; formulas become MathML, so
that no page loads anything; spelling is checked. ``--only-pages`` builds the pages and no more.
"""

from __future__ import annotations

import argparse
import html
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
OUT = ROOT / "site"
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
#: What a page may not do: load something from elsewhere. Links for people to follow are fine.
LOADS = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["'](?:https?:)?//|<link\b[^>]*\bhref=["'](?:https?:)?//"""
)
IMPORTS = re.compile(r"""@import|url\(["']?(?:https?:)?//""")


def drawing() -> ModuleType:
    """Load docs/figures/draw_site.py."""
    spec = importlib.util.spec_from_file_location("draw_site", ROOT / "docs" / "figures" / "draw_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PICTURES = drawing().PICTURES


def run_slow_blocks() -> None:
    """Run what pages show and what takes too long for a test."""
    import pages

    for page in pages.all_pages():
        text = page.read_text(encoding="utf-8")
        if not any(block.build_only for block in pages.blocks(text)):
            continue
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            pages.furnish(Path(folder))
            number = pages.run_page(text, Path(folder), build_only=True)
        print(f"{page.relative_to(ROOT)}: {number} blocks", flush=True)


def run_r() -> None:
    """Run the R of the pages and compare what it prints, where R has its packages."""
    import pages

    r = shutil.which("Rscript")
    for page in pages.all_pages():
        for block in pages.blocks(page.read_text(encoding="utf-8")):
            if block.language != "r":
                continue
            wanted = re.findall(r"library\((\w+)\)", block.code)
            probe = (
                "quit(status = !all(sapply(c(" + ",".join(map(repr, wanted)) + "), requireNamespace, quietly = TRUE)))"
            )
            where = f"{page.relative_to(ROOT)} line {block.line}"
            if r is None or subprocess.run([r, "-e", probe], capture_output=True, check=False).returncode:
                print(f"{where}: not run, R with {', '.join(wanted)} was not found")
                continue
            run = subprocess.run([r, "-e", block.code], cwd=ROOT, capture_output=True, text=True, check=True)
            if block.printed is not None:
                pages.compare(block.printed, run.stdout)
            print(f"{where}: run by R")


def build(pictures: Path | None) -> None:
    """Build the pages in a copy, so that nothing made lies among the sources."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        for name in ("docs", "src"):
            shutil.copytree(ROOT / name, stage / name, ignore=shutil.ignore_patterns("__pycache__", "*.py[co]"))
        shutil.copy(ROOT / "mkdocs.yml", stage)
        place = stage / "docs" / "pictures"
        if pictures is None:
            place.mkdir()
            for name in PICTURES:
                (place / name).touch()
        else:
            shutil.copytree(pictures, place)
        # zensical reads docstrings from src; its own command, found beside this Python
        command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
        offline = ["unshare", "--map-root-user", "--net"]
        alone = shutil.which("unshare") is not None and not subprocess.run([*offline, "true"], check=False).returncode
        run = subprocess.run(
            [*(offline if alone else []), *command], cwd=stage, check=False, capture_output=True, text=True
        )
        if run.returncode:
            raise SystemExit(run.stdout[-6000:] + run.stderr[-6000:])
        print("built without a network" if alone else "built with a network in reach: this system has no unshare")
        for made in (stage / "site").rglob("*.py"):
            made.unlink()
        finish(stage / "site")
        shutil.rmtree(OUT, ignore_errors=True)
        shutil.copytree(stage / "site", OUT)


def finish(site: Path) -> None:
    """Turn formulas into MathML, and refuse a page that would load something from a network."""
    from latex2mathml.converter import convert

    formulas = 0
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")

        def mathml(match: re.Match[str]) -> str:
            return convert(html.unescape(match[2]).strip(), display="block" if match[1] == "div" else "inline")

        text, number = FORMULA.subn(mathml, text)
        formulas += number
        if "arithmatex" in text or LOADS.search(text):
            raise SystemExit(f"{page.relative_to(site)}: a formula is left, or something is loaded from a network")
        page.write_text(text, encoding="utf-8")
    for style in site.rglob("*.css"):
        if IMPORTS.search(style.read_text(encoding="utf-8")):
            raise SystemExit(f"{style.relative_to(site)}: loads something from a network")
    print(f"{formulas} formulas, {len(list(site.rglob('*.html')))} pages")


def spell() -> None:
    """Check the spelling of pages and docstrings; docs/words.txt holds names that are right as they are."""
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words", str(ROOT / "docs" / "words.txt")]
    subprocess.run(
        [*command, "docs", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "src", "cli"], cwd=ROOT, check=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only-pages", action="store_true", help="without pictures, slow blocks, R and spelling")
    if parser.parse_args().only_pages:
        build(None)
        return
    spell()
    run_slow_blocks()
    run_r()
    with tempfile.TemporaryDirectory() as folder:
        for name, draw in PICTURES.items():
            draw(Path(folder) / name)
        print(f"{len(PICTURES)} pictures")
        build(Path(folder))
    print(f"{OUT / 'index.html'}; its search needs a server: python3 -m http.server --directory {OUT.name}")


if __name__ == "__main__":
    main()
