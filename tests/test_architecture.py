"""The rules of docs/architecture.md, held by walking the source."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys

import pytest

import bayesmeta
from references import ROOT, tool

ROOMS = tool("rooms")
SOURCE = ROOT / "src" / "bayesmeta"
HEAVY = {"numpy", "pandas", "scipy", "xarray", "matplotlib", "pymc", "pydantic", "arviz", "netCDF4"}
MAX_LINES = 600
MAX_LAYER, MAX_ROOMS = 12, 30


def test_every_room_has_a_layer() -> None:
    assert set(ROOMS.rooms()) == set(ROOMS.layers())
    assert len(ROOMS.rooms()) <= MAX_ROOMS
    assert max(ROOMS.layers().values()) <= MAX_LAYER


def test_imports_point_downwards() -> None:
    layer = ROOMS.layers()
    upward = [
        f"{path.relative_to(ROOT)}: {name} ({layer[room]} -> {layer.get(name)})"
        for room, paths in ROOMS.rooms().items()
        for path in paths
        for name in {parts[0] for parts in ROOMS.imported(path)} - {room}
        if not layer.get(name, 99) < layer[room]
    ]
    assert not upward


def test_no_import_reaches_into_another_room() -> None:
    """What a room's ``__init__`` does not name is its own business; for the command line as well."""
    inside = [
        f"{path.relative_to(ROOT)}: {'.'.join(parts)}"
        for room, paths in {**ROOMS.rooms(), "cli": sorted((ROOT / "cli").rglob("*.py"))}.items()
        for path in paths
        for parts in ROOMS.imported(path)
        if len(parts) > 1 and parts[0] != room
    ]
    assert not inside


def test_what_is_imported_from_a_room_is_exported() -> None:
    """Type checkers see more than a room gives when it runs, and an import inside a function runs late."""
    missing = []
    for folder in ("src", "cli", "tests", "benchmarks", "docs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            # what wrote the pins speaks of the version that it ran with
            if path.parent.name == "pinned_0_1_0":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module and re.fullmatch(r"bayesmeta\.\w+", node.module):
                    room = node.module.removeprefix("bayesmeta.")
                    inside = {file.stem for file in (SOURCE / room).glob("*.py")}
                    if inside:
                        known = {*dir(importlib.import_module(node.module)), *inside}
                        missing += [f"{path.name}: {room}.{a.name}" for a in node.names if a.name not in {*known, "*"}]
    assert not missing


def test_the_picture_of_the_rooms_is_that_of_the_sources() -> None:
    """After a change of imports: python3 -m uv run python tools/rooms.py."""
    text = ROOMS.PICTURE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"<desc[^>]*>(.*?)</desc>", text, flags=re.DOTALL)
    assert shown == ROOMS.described()


@pytest.mark.parametrize("room", ROOMS.rooms())
def test_importing_a_room_imports_nothing_heavy(room: str) -> None:
    """Folders name what they export; what is imported is what is used. Files import what their functions need."""
    code = f"import sys, bayesmeta.{room}; print(' '.join(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in found if name.startswith("bayesmeta.")}
    if (SOURCE / room).is_dir():
        assert ours == {"bayesmeta.lazy", f"bayesmeta.{room}"}
        assert not HEAVY & {name.split(".")[0] for name in found}
    else:
        assert not HEAVY - {"numpy", "pandas", "scipy"} & {name.split(".")[0] for name in found}


def test_names_that_two_rooms_export_are_listed() -> None:
    """Two public functions of one name answer one question about two things; any other pair would mislead."""
    homes: dict[str, set[str]] = {}
    for room in ROOMS.rooms():
        if (SOURCE / room).is_dir():
            for name in dir(importlib.import_module(f"bayesmeta.{room}")):
                homes.setdefault(name, set()).add(room)
    # the version of trees, and that of JSON records
    assert {name: rooms for name, rooms in homes.items() if len(rooms) > 1} == {"SCHEMA_VERSION": {"fits", "records"}}


@pytest.mark.parametrize("old", bayesmeta.RENAMED)
def test_old_names_stay_for_one_release(old: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"bayesmeta.{old} is now bayesmeta.{bayesmeta.RENAMED[old]}"):
        assert getattr(bayesmeta, old) is getattr(bayesmeta, bayesmeta.RENAMED[old])


def test_inside_a_folder_imports_have_no_cycle() -> None:
    for folder in (path for path in SOURCE.iterdir() if (path / "__init__.py").exists()):
        graph: dict[str, set[str]] = {}
        for path in folder.glob("*.py"):
            text = path.read_text(encoding="utf-8")
            inner = set(re.findall(rf"from bayesmeta\.{folder.name}\.(\w+) import", text))
            graph[path.stem] = inner if path.stem != "__init__" else set()
        done: set[str] = set()
        while graph.keys() - done:
            ready = {name for name in graph.keys() - done if not (graph[name] - done)}
            assert ready, f"{folder.name}: a cycle among {sorted(graph.keys() - done)}"
            done |= ready


def test_nothing_imports_the_command_line() -> None:
    for paths in ROOMS.rooms().values():
        for path in paths:
            assert "bayesmeta_cli" not in path.read_text(encoding="utf-8"), path


def test_pydantic_is_imported_by_protocol_only() -> None:
    for module, paths in ROOMS.rooms().items():
        for path in paths:
            if module != "protocol":
                assert "import pydantic" not in path.read_text(encoding="utf-8"), path
                assert "from pydantic" not in path.read_text(encoding="utf-8"), path


def test_figures_never_come_from_pyplot() -> None:
    for paths in ROOMS.rooms().values():
        for path in paths:
            assert not re.search(r"^\s*(import|from) .*pyplot", path.read_text(encoding="utf-8"), re.MULTILINE), path


def test_no_file_is_too_long() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("src", "cli")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long


def test_no_public_name_is_that_of_a_room() -> None:
    assert set(ROOMS.rooms()) & set(dir(bayesmeta)) == set(bayesmeta.ROOMS)


def test_no_exported_name_is_that_of_a_module_in_its_room() -> None:
    """The module would hide the name once it has been imported."""
    for room, paths in ROOMS.rooms().items():
        if (SOURCE / room).is_dir():
            assert not {path.stem for path in paths} & set(dir(importlib.import_module(f"bayesmeta.{room}"))), room


def test_every_public_name_exists_and_is_documented() -> None:
    for name in set(dir(bayesmeta)) - {"CAVEAT", "__version__"}:
        assert getattr(bayesmeta, name).__doc__, name
    for room, paths in ROOMS.rooms().items():
        if (SOURCE / room).is_dir():
            module = importlib.import_module(f"bayesmeta.{room}")
            assert module.__doc__
            assert all(hasattr(module, name) for name in dir(module)), paths
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = bayesmeta.nothing


def test_examples_begin_with_what_every_example_has() -> None:
    """`bm`, and effects, model and fit of `bm.example()`, stand in each doctest: none makes its own way to them."""
    imports = [
        (path.name, name)
        for path in SOURCE.rglob("*.py")
        for names in re.findall(r">>> from bayesmeta\.[\w.]+ import (.+)", path.read_text(encoding="utf-8"))
        for name in names.split(", ")
    ]
    # what is not public is imported by name
    assert ("robustness.py", "sensitivity_analyses") in imports
    assert [item for item in imports if item[1] in {"Effects", "Model", "fit", "fit_many"}] == []


def test_importing_bayesmeta_imports_nothing_heavy() -> None:
    code = "import sys, bayesmeta; print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)


def test_a_pool_in_python_imports_only_what_it_needs() -> None:
    """numpy, pandas, scipy.special and scipy.linalg: the others cost as much as the answer."""
    code = (
        "import sys, bayesmeta as bm\n"
        "e = bm.Effects('AB', [0.1, 0.2], [0.1, 0.1], measure='SMD', better='lower')\n"
        "f = bm.fit(e, bm.Model(bm.Normal(0, 1), bm.HalfNormal(0.5)))\n"
        "bm.summarize(f); bm.study_table(f); bm.compare_table(f)\n"
        "bm.benefit_table(f, [bm.threshold(0.5, measure_name='SMD', better='lower')])\n"
        "print(' '.join(sys.modules))"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    unwanted = {"scipy.stats", "scipy.optimize", "xarray", "pydantic", "matplotlib", "arviz", "netCDF4"}
    assert not unwanted & loaded


def test_the_readme_test_command_is_what_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.endswith("uv run pytest")]
    assert len(commands) == 1
    assert commands[0] in script.splitlines()


def test_public_functions_that_raise_say_so() -> None:
    """A function of a room that raises has a section Raises."""
    silent = []
    for room, paths in ROOMS.rooms().items():
        if not (SOURCE / room).is_dir():
            continue
        public = set(dir(importlib.import_module(f"bayesmeta.{room}")))
        for path in paths:
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if not isinstance(node, ast.FunctionDef) or node.name not in public:
                    continue
                raises = any(isinstance(item, ast.Raise) and item.exc is not None for item in ast.walk(node))
                if raises and "Raises\n------" not in (ast.get_docstring(node) or ""):
                    silent.append(f"{path.name}: {node.name}")
    assert not silent
