"""The rules of docs/architecture.md, held by walking the source."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from references import ROOT

SOURCE = ROOT / "src" / "bayesmeta"
HEAVY = {"numpy", "pandas", "scipy", "xarray", "matplotlib", "pymc", "pydantic", "arviz", "netCDF4"}
MAX_LINES = 600


def layers() -> dict[str, float]:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {name: float(layer) for layer, name in re.findall(r"^\| ([\d.]+) \| `(\w+)` \|", text, flags=re.MULTILINE)}


def modules() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in SOURCE.rglob("*.py"):
        first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if first != "__init__":
            found.setdefault(first, []).append(path)
    return found


def imported(path: Path) -> set[str]:
    """Modules of bayesmeta that a file names, wherever in the file the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bayesmeta":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            pytest.fail(f"{path}: relative imports hide the layer")
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("bayesmeta.")}
    return names


def test_every_module_has_a_layer() -> None:
    assert set(modules()) == set(layers())


def test_imports_point_downwards() -> None:
    layer = layers()
    upward = [
        f"{path.relative_to(ROOT)}: {name} ({layer[module]} -> {layer.get(name)})"
        for module, paths in modules().items()
        for path in paths
        for name in imported(path) - {module}
        if not layer.get(name, 99) < layer[module]
    ]
    assert not upward


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
    for paths in modules().values():
        for path in paths:
            assert "bayesmeta_cli" not in path.read_text(encoding="utf-8"), path


def test_pydantic_is_imported_by_protocol_only() -> None:
    for module, paths in modules().items():
        for path in paths:
            if module != "protocol":
                assert "import pydantic" not in path.read_text(encoding="utf-8"), path
                assert "from pydantic" not in path.read_text(encoding="utf-8"), path


def test_figures_never_come_from_pyplot() -> None:
    for paths in modules().values():
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


def test_no_public_function_shares_a_name_with_a_module() -> None:
    import bayesmeta

    assert not set(modules()) & set(bayesmeta._HOMES)


def test_every_public_name_exists_and_is_documented() -> None:
    import bayesmeta

    for name in bayesmeta._HOMES:
        value = getattr(bayesmeta, name)
        assert name == "CAVEAT" or value.__doc__, name
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
    assert ("sections.py", "sensitivity_analyses") in imports
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
        "bm.summarize(f); bm.study_table(f); bm.compare_table(e, f)\n"
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
