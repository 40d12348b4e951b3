"""Plant mistakes in the numeric core, one at a time, and count those that its tests find.

Run: python3 -m uv run python tools/mutate.py [--sample 400] [--seed 1] [--workers 2]

A seeded sample of mutants, in proportion to the places for one in each file, at least one per file. A mutant meets the
tests of its own room that run its line, then those that run its file; tests that sample are left out. The result stands
in tests/mutation.json: the score of each room, the names of all mutants, and every survivor with what was found when
somebody looked at it, which is kept from one run to the next; what it says stands in docs/validation.md.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib.machinery
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src" / "bayesmeta"
RESULTS = ROOT / "tests" / "mutation.json"
ROOMS = ("exact", "classical", "measures", "questions")
#: Seconds of the processor that one mutant may take: where a test of its room never ends, it is found. Seconds of the
#: processor, because a busy machine finds no mistakes; a process that sleeps for ever is ended by the clock.
PATIENCE = 240

_COMPARE: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_BINARY: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
_CALLED = {
    "minimum": "maximum",
    "maximum": "minimum",
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "argmin": "argmax",
    "argmax": "argmin",
}
_DROPPED = ("sqrt", "log", "exp", "abs", "square")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted mistake.

    Attributes
    ----------
    file : str
        From the root.
    place, variant : int
        Which node of the syntax tree, and which of its changes.
    first, last : int
        Its lines.
    before, after : str
    scope : str
        The function, or the class and its method, that it stands in; empty at the level of the file.
    number : int
        Which it is of those in its scope that read alike, from 1.
    """

    file: str
    place: int
    variant: int
    first: int
    last: int
    before: str
    after: str
    scope: str
    number: int

    @property
    def room(self) -> str:
        """Room of the library."""
        return self.file.split("/")[2]

    @property
    def name(self) -> str:
        """What finds it again after other lines of the file have changed."""
        among = f" (number {self.number})" if self.number > 1 else ""
        return f"{self.file}, {self.scope or 'module'}: {self.before} -> {self.after}{among}"


# -- mistakes ----------------------------------------------------------------------------------------------------------


def places(tree: ast.Module) -> Iterator[tuple[int, ast.AST]]:
    """Nodes that compute something, numbered: no annotations, messages of errors, decorators or names for export."""
    passed: set[int] = set()
    for node in ast.walk(tree):
        hidden: list[Any] = []
        if isinstance(node, ast.Raise | ast.TypeAlias | ast.ImportFrom | ast.Import | ast.JoinedStr | ast.Assert):
            hidden = [node]
        elif isinstance(node, ast.FunctionDef):
            hidden = [*node.decorator_list, node.returns, *([node] if node.name == "__repr__" else [])]
        elif isinstance(node, ast.ClassDef):
            hidden = [*node.decorator_list]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            hidden = [node.annotation]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            hidden = node.body
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__slots__"):
            hidden = [node]
        passed |= {id(inner) for item in hidden if item is not None for inner in ast.walk(item)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in passed:
            yield number, node


def changes(node: ast.AST) -> list[ast.AST]:
    """What may stand in the place of a node by mistake."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return [ast.Compare(node.left, [new()], node.comparators) for new in _COMPARE.get(type(node.ops[0]), ())]
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        texts = any(isinstance(x, ast.Constant | ast.JoinedStr) and not _number(x) for x in (node.left, node.right))
        return [] if texts else [ast.BinOp(node.left, _BINARY[type(node.op)](), node.right)]
    if isinstance(node, ast.AugAssign) and type(node.op) in _BINARY:
        return [ast.AugAssign(node.target, _BINARY[type(node.op)](), node.value)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return [ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)]
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            return [ast.Constant(not node.value)]
        if _number(node):
            return [ast.Constant(node.value + 1 if isinstance(node.value, int) or not node.value else 2 * node.value)]
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _CALLED:
            new = copy.copy(node.func)
            setattr(new, "attr" if isinstance(new, ast.Attribute) else "id", _CALLED[name])
            return [ast.Call(new, node.args, node.keywords)]
        if name in _DROPPED and len(node.args) == 1:
            return [node.args[0]]
    return []


def _number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def mutants(path: Path) -> list[Mutant]:
    """Every mutant of a file."""
    found, name = [], path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = scopes(tree)
    alike: Counter[tuple[str, str, str]] = Counter()
    for place, node in places(tree):
        for variant, new in enumerate(changes(node)):
            before, after = (ast.unparse(ast.fix_missing_locations(item)) for item in (node, new))
            scope, first, last = inside[id(node)], node.lineno, node.end_lineno  # type: ignore[attr-defined]
            alike[scope, before, after] += 1
            number = alike[scope, before, after]
            found.append(Mutant(name, place, variant, first, last, before, after, scope, number))
    return found


def scopes(tree: ast.Module) -> dict[int, str]:
    """Scope of every node of a tree, by its identity: "Class.method", or empty at the level of the file."""
    found: dict[int, str] = {}

    def enter(node: ast.AST, scope: str) -> None:
        found[id(node)] = scope
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            scope = f"{scope}.{node.name}".removeprefix(".")
        for inner in ast.iter_child_nodes(node):
            enter(inner, scope)

    enter(tree, "")
    return found


def planted(mutant: Mutant) -> ast.Module:
    """Syntax tree of the file with the mistake in it."""
    tree = ast.parse((ROOT / mutant.file).read_text(encoding="utf-8"))
    node = next(item for number, item in enumerate(ast.walk(tree)) if number == mutant.place)
    new = ast.copy_location(changes(node)[mutant.variant], node)

    class Replace(ast.NodeTransformer):
        def visit(self, item: ast.AST) -> Any:
            return new if item is node else self.generic_visit(item)

    return ast.fix_missing_locations(Replace().visit(tree))


def sample(size: int, seed: int, rooms: tuple[str, ...] = ROOMS) -> list[Mutant]:
    """Draw mutants, in proportion to each file's, at least one of each."""
    files = [(path, mutants(path)) for room in rooms for path in sorted((SOURCES / room).glob("*.py"))]
    files = [(path, all_of) for path, all_of in files if all_of]
    total = sum(len(all_of) for _, all_of in files)
    shares = [max(1.0, size * len(all_of) / total) for _, all_of in files]
    shares = [share * size / sum(shares) if share > 1 else share for share in shares]
    counts = [int(share) for share in shares]
    largest = sorted(range(len(files)), key=lambda i: counts[i] - shares[i])
    for i in largest[: max(size - sum(counts), 0)]:
        counts[i] += 1
    draw = random.Random(seed)
    return [
        one for (_, all_of), n in zip(files, counts, strict=True) for one in draw.sample(all_of, min(n, len(all_of)))
    ]


# -- which tests run what ----------------------------------------------------------------------------------------------


class Watch:
    """A plugin of pytest: which lines of a room each test runs, how long it takes, and whether it samples."""

    def __init__(self, room: str) -> None:
        self.room = f"{SOURCES / room}{os.sep}"
        self.sampler = f"{SOURCES / 'nuts'}{os.sep}"
        self.tests: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, set[int]] = {}
        self.sampled = False
        self.began = 0.0
        self.failed: set[str] = set()
        watching = sys.monitoring
        watching.use_tool_id(watching.COVERAGE_ID, "mutate")
        watching.register_callback(watching.COVERAGE_ID, watching.events.LINE, self._line)
        watching.set_events(watching.COVERAGE_ID, watching.events.LINE)

    def _line(self, code: Any, line: int) -> Any:
        if code.co_filename.startswith(self.room):
            self.lines.setdefault(code.co_filename, set()).add(line)
        elif code.co_filename.startswith(self.sampler) and code.co_name != "<module>":
            self.sampled = True
        return sys.monitoring.DISABLE

    def pytest_runtest_logstart(self) -> None:
        self.lines, self.sampled, self.began = {}, False, time.perf_counter()
        sys.monitoring.restart_events()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.tests[nodeid] = {
            "seconds": time.perf_counter() - self.began,
            "sampled": self.sampled,
            "failed": nodeid in self.failed,
            "lines": {str(Path(name).relative_to(ROOT)): sorted(found) for name, found in self.lines.items()},
        }


def options(*more: str) -> list[str]:
    """What pytest is told; the options of pyproject.toml are for the whole suite."""
    base = [
        "-o",
        "addopts=",
        "--doctest-modules",
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    # a file that is named is rewritten for its assertions otherwise, from its own source and not from the mistake's
    return [*base, "--assert=plain", "-q", "-x", "--no-header", "-m", "not slow and not browser", *more]


def watch(room: str) -> dict[str, dict[str, Any]]:
    """Run the tests of a room once, in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        import pytest

        _quiet()
        plugin = Watch(room)
        code = pytest.main(options(f"tests/{room}", f"src/bayesmeta/{room}"), plugins=[plugin])
        with os.fdopen(writer, "w") as file:
            json.dump({"code": int(code), "tests": plugin.tests}, file)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        found = json.load(file)
    os.waitpid(child, 0)
    if found["code"]:
        failed = ", ".join(name for name, test in found["tests"].items() if test["failed"])
        raise SystemExit(f"tests/{room} fail without any mistake: {failed}. Mend them first.")
    return {name: test for name, test in found["tests"].items() if not test["sampled"]}


def _quiet() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


# -- a mutant meets its tests ------------------------------------------------------------------------------------------


def meet(mutant: Mutant, tests: list[str]) -> str:
    """Run tests in a process that loads the mistake: "survived", "found", or "never ended", which is found too."""
    if not tests:
        return "survived"
    child = os.fork()
    if child == 0:
        _quiet()
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE, PATIENCE))
        tree, path, get_code = planted(mutant), str(ROOT / mutant.file), importlib.machinery.SourceFileLoader.get_code

        def get(self: Any, fullname: str) -> Any:
            return compile(tree, path, "exec", dont_inherit=True) if self.path == path else get_code(self, fullname)

        importlib.machinery.SourceFileLoader.get_code = get  # type: ignore[method-assign]
        import pytest

        try:
            os._exit(int(pytest.main(options(*tests))))
        finally:
            os._exit(9)
    end = time.monotonic() + 8 * PATIENCE
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return {0: "survived", -signal.SIGXCPU: "never ended", -signal.SIGKILL: "never ended"}.get(code, "found")
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "never ended"


def judge(mutant: Mutant, tests: dict[str, dict[str, Any]]) -> str:
    """Let a mutant meet the tests that run its lines, quickest first, then those that run its file."""
    lines = set(range(mutant.first, mutant.last + 1))
    order = sorted(tests, key=lambda name: tests[name]["seconds"])
    near = [name for name in order if lines & set(tests[name]["lines"].get(mutant.file, ()))]
    far = [name for name in order if mutant.file in tests[name]["lines"] and name not in set(near)]
    # a few quick ones find most mistakes; each stage stops at the first failure
    for stage in (near[:40], near[40:], far):
        verdict = meet(mutant, stage)
        if verdict != "survived":
            return verdict
    return "survived"


# -- the result --------------------------------------------------------------------------------------------------------


def fingerprint(rooms: tuple[str, ...] = ROOMS) -> str:
    """Hash of the sources of the rooms."""
    digest = hashlib.sha256()
    for room in rooms:
        for path in sorted((SOURCES / room).glob("*.py")):
            digest.update(ast.dump(ast.parse(path.read_text(encoding="utf-8"))).encode())
    return digest.hexdigest()


def wilson(found: int, of: int) -> list[float]:
    """95 % interval of a share (Wilson 1927)."""
    z, p = 1.959964, found / of
    middle, half = p + z * z / (2 * of), z * ((p * (1 - p) + z * z / (4 * of)) / of) ** 0.5
    return [round((middle + side * half) / (1 + z * z / of), 4) for side in (-1, 1)]


def main() -> None:
    """Run a sample and keep what it gave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS))
    parser.add_argument("--dry", action="store_true", help="print the sample and write nothing")
    asked = parser.parse_args()
    os.chdir(ROOT)
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    rooms = tuple(asked.rooms)
    drawn = sample(asked.sample, asked.seed, rooms)
    if asked.dry:
        print(*(f"{one.file}:{one.first}: {one.before} -> {one.after}" for one in drawn), sep="\n")
        return
    # what the library stands on is loaded once; the library itself only in the processes of its mutants
    import matplotlib  # noqa: F401
    import pandas  # noqa: F401
    import pytest  # noqa: F401
    import scipy.integrate
    import scipy.optimize
    import scipy.stats  # noqa: F401

    if any(name.split(".")[0] == "bayesmeta" for name in sys.modules):
        raise SystemExit("the library is loaded already, without a mistake")
    began = time.monotonic()
    runs = {room: watch(room) for room in rooms}
    print(
        *(f"{room}: {len(tests)} tests" for room, tests in runs.items()), f"{time.monotonic() - began:.0f} s", sep="\n"
    )

    verdicts = []
    # processes of one thread each, which may be forked
    with multiprocessing.get_context("fork").Pool(asked.workers) as pool:
        met = pool.imap(_one, ((mutant, runs[mutant.room]) for mutant in drawn))
        for mutant, verdict in zip(drawn, met, strict=True):
            print(f"{verdict:12} {mutant.file}:{mutant.first}: {mutant.before} -> {mutant.after}", flush=True)
            verdicts.append((mutant, verdict))
    keep(asked, rooms, verdicts, time.monotonic() - began)


def _one(asked: tuple[Mutant, dict[str, dict[str, Any]]]) -> str:
    return judge(*asked)


def keep(asked: argparse.Namespace, rooms: tuple[str, ...], verdicts: list[tuple[Mutant, str]], seconds: float) -> None:
    """Write the result; what somebody found out about a survivor stays beside it."""
    known = json.loads(RESULTS.read_text(encoding="utf-8"))["survivors"] if RESULTS.exists() else []
    examined = {item["name"]: item["examined"] for item in known if item["examined"]}
    scores = {}
    for room in (*rooms, "all"):
        mine = [verdict for mutant, verdict in verdicts if room in (mutant.room, "all")]
        found = sum(verdict != "survived" for verdict in mine)
        scores[room] = {
            "mutants": len(mine),
            "found": found,
            "share": round(found / len(mine), 4),
            "interval": wilson(found, len(mine)),
        }
    survivors = [
        {"name": one.name, "line": one.first, "examined": examined.get(one.name, "")}
        for one, verdict in verdicts
        if verdict == "survived"
    ]
    told = {
        "run": f"tools/mutate.py --sample {asked.sample} --seed {asked.seed}",
        "minutes": round(seconds / 60, 1),
        "sources": fingerprint(rooms),
        "scores": scores,
        "survivors": survivors,
        "found": [one.name for one, verdict in verdicts if verdict != "survived"],
    }
    RESULTS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
