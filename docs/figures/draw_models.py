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

from bayesmeta.analysis import Analysis
from bayesmeta.fits import Fit
from bayesmeta.joint import JointFit
from bayesmeta.plots import Plot, save_plot

HERE = Path(__file__).parent
PAGE = HERE.parent / "models.md"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```\n(?:\n```text\n(?P<printed>.*?)```\n)?", re.DOTALL)
IMAGE = re.compile(r"\]\(figures/(models_\w+\.png)\)")


def run(page: str) -> Iterator[tuple[re.Match[str], str, Plot | None, bool]]:
    """Run every block of a page in one namespace.

    Gives the block, what it printed, its picture if it made one, and whether anything in it rests on draws.
    """
    names: dict[str, Any] = {}
    drawn: set[str] = set()
    for block in BLOCK.finditer(page):
        names.pop("picture", None)
        printed = io.StringIO()
        line = page[: block.start()].count("\n") + 1
        code = compile("\n" * line + block["code"], str(PAGE), "exec")
        before = dict(names)
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        made = {name for name, value in names.items() if before.get(name) is not value}
        used = set(code.co_names) & set(names)
        # what a name meant before this block says nothing of what it means now
        drawn = (drawn - made) | {name for name in used if _is_drawn(names[name])}
        rests = bool(used & drawn)
        if rests:
            # what is made of draws is drawn too
            drawn |= made
        yield block, printed.getvalue(), names.get("picture"), rests


def _is_drawn(value: Any) -> bool:
    if isinstance(value, (dict, list, tuple)):
        return any(map(_is_drawn, value.values() if isinstance(value, dict) else value))
    if isinstance(value, Analysis):
        return _is_drawn(value.fits)
    return isinstance(value, JointFit) or (isinstance(value, Fit) and value.engine != "exact")


def main() -> None:
    """Draw the figures and write what the code prints into the page."""
    page = PAGE.read_text(encoding="utf-8")
    parts, last = [], 0
    for block, printed, picture, _ in run(page):
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
