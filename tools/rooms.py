"""Draw the rooms of the library and what imports what, from the sources, into docs/figures/rooms.svg.

Run: python3 -m uv run python tools/rooms.py

Layers are those of the table in docs/architecture.md. An arrow that follows from others is left out: where A imports B
and B imports C, A may import C too. tests/test_architecture.py compares the picture's description with the sources.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "bayesmeta"
PICTURE = ROOT / "docs" / "figures" / "rooms.svg"


def layers() -> dict[str, int]:
    """Layer of every room, from the table."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {name: int(layer) for layer, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", text, flags=re.MULTILINE)}


def rooms() -> dict[str, list[Path]]:
    """Files of every room: a folder or a file directly below the package."""
    found: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if first != "__init__":
            found.setdefault(first, []).append(path)
    return found


def imported(path: Path) -> set[tuple[str, ...]]:
    """Modules of bayesmeta that a file names, as parts, wherever in the file the import stands."""
    names: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"{path}: relative imports hide the room")
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bayesmeta":
            parts = tuple(node.module.split(".")[1:])
            names |= {parts} if parts else {(alias.name,) for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {tuple(a.name.split(".")[1:]) for a in node.names if a.name.startswith("bayesmeta.")}
    return names


def arrows() -> dict[str, set[str]]:
    """Rooms that each room imports."""
    return {room: {parts[0] for path in paths for parts in imported(path)} - {room} for room, paths in rooms().items()}


def reduced(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out what follows from other arrows."""

    def reached(room: str) -> set[str]:
        return graph[room].union(*(reached(other) for other in graph[room]))

    return {room: others - set().union(*(reached(other) for other in others)) for room, others in graph.items()}


def described() -> str:
    """What the picture says, in words."""
    graph = reduced(arrows())
    layer = layers()
    order = sorted(graph, key=lambda room: (layer[room], room))
    return " ".join(f"{layer[room]} {room}: {', '.join(sorted(graph[room])) or 'nothing'}." for room in order)


def main() -> None:
    import pandas as pd
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    from bayesmeta.plots import Plot, save_plot

    layer, graph = layers(), reduced(arrows())
    floors: dict[int, list[str]] = {}
    for room in sorted(layer):
        # what everything imports would only hide the rest
        if layer[room] > 1:
            floors.setdefault(layer[room], []).append(room)
    figure = Figure(figsize=(7.2, 6.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 12), ylim=(min(floors) - 0.7, max(floors) + 0.6))
    axes.axis("off")
    place: dict[str, tuple[float, float]] = {}
    for floor, names in floors.items():
        # every other floor is shifted, so that arrows pass between boxes
        start = 1.2 + 0.7 * (floor % 2)
        width = 9.8 / max(len(names), 3)
        for number, room in enumerate(names):
            place[room] = (start + width * (number + 0.5) + (3 - min(len(names), 3)) * width / 2, floor)
    for room, others in graph.items():
        for other in others & place.keys() if room in place else ():
            (x, y), (a, b) = place[room], place[other]
            style = {
                "arrowstyle": "-|>",
                "color": "#7a8aa0",
                "lw": 0.6,
                "shrinkA": 0,
                "shrinkB": 0,
                "mutation_scale": 7,
            }
            axes.annotate("", (a, b + 0.22), (x, y - 0.22), arrowprops=style)
    for room, (x, y) in place.items():
        box = FancyBboxPatch(
            (x - 0.72, y - 0.2), 1.44, 0.4, boxstyle="round,pad=0.02", fc="#eef3fa", ec="#2f4a6d", lw=0.7
        )
        axes.add_patch(box)
        axes.text(x, y, room, ha="center", va="center", fontsize=8)
    for floor in floors:
        axes.text(0.35, floor, str(floor), ha="center", va="center", fontsize=8, color="#7a8aa0")
    axes.text(0.35, min(floors) - 0.45, "layer", ha="left", va="center", fontsize=7, color="#7a8aa0")
    axes.text(
        11.9,
        min(floors) - 0.45,
        "errors and lazy are below all of them",
        ha="right",
        va="center",
        fontsize=7,
        color="#7a8aa0",
    )
    save_plot(Plot(figure, pd.DataFrame(), described(), "Rooms of bayesmeta and their imports"), PICTURE)


if __name__ == "__main__":
    main()
