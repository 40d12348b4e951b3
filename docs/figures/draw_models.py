"""Run the code of docs/models.md from the root of the repository: ``python docs/figures/draw_models.py``.

What each block prints is written below it, and each picture beside the others; its alt text is printed.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayesmeta.plots import Plot, save_plot

HERE = Path(__file__).parent
PAGE = HERE.parent / "models.md"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<printed>.*?)```\n)?", re.DOTALL)
IMAGE = re.compile(r"\]\(figures/(models_\w+\.png)\)")


def run(page: str) -> Iterator[tuple[re.Match[str], str, Plot | None]]:
    """Run every block of a page in one namespace; give the block, what it printed, and its picture if it made one."""
    names: dict[str, Any] = {}
    for block in BLOCK.finditer(page):
        names.pop("picture", None)
        printed = io.StringIO()
        line = page[: block.start()].count("\n") + 1
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + block["code"], str(PAGE), "exec"), names)
        yield block, printed.getvalue(), names.get("picture")


def main() -> None:
    """Draw the figures and write what the code prints into the page."""
    page = PAGE.read_text(encoding="utf-8")
    parts, last = [], 0
    for block, printed, picture in run(page):
        if picture is not None:
            following = IMAGE.search(page, block.end())
            assert following is not None
            path = save_plot(picture, HERE / following[1], dpi=200)
            print(f"{path.name}: {picture.alt}\n")
        if block["printed"] is not None:
            parts += [page[last : block.start("printed")], printed]
            last = block.end("printed")
    PAGE.write_text("".join([*parts, page[last:]]), encoding="utf-8")


if __name__ == "__main__":
    main()
