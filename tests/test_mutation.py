"""The stored run of planted mistakes: its scores follow from its lists, every survivor was examined, it is not stale.

The numbers in docs/validation.md are printed from the same file, which tests/docs compares.
"""

from __future__ import annotations

import ast
import json
import re

import pytest

from references import ROOT, tool

MUTATE = tool("mutate")
RUN = json.loads((ROOT / "tests" / "mutation.json").read_text(encoding="utf-8"))
SURVIVORS = {item["name"]: item["examined"] for item in RUN["survivors"]}
SAMPLED = [*SURVIVORS, *RUN["found"]]
#: Of the sampled mistakes, how many may have no place in the sources any more.
STALE = 0.25
KINDS = ("no answer changes: ", "another test finds it: ", "a test was missing; now ", "a test is missing: ")


def room(name: str) -> str:
    return name.split("/")[2]


def test_scores_are_those_of_the_lists() -> None:
    assert len(set(SAMPLED)) == len(SAMPLED)
    for name, score in RUN["scores"].items():
        survived, found = (sum(name in (room(one), "all") for one in names) for names in (SURVIVORS, RUN["found"]))
        assert (score["found"], score["mutants"]) == (found, found + survived)
        assert score["share"] == pytest.approx(found / (found + survived), abs=1e-4)


def test_the_interval_is_that_of_wilson() -> None:
    """The ends p solve (found / n - p)^2 = z^2 p (1 - p) / n."""
    for score in RUN["scores"].values():
        n, share = score["mutants"], score["found"] / score["mutants"]
        for p in score["interval"]:
            assert (share - p) ** 2 == pytest.approx(1.959964**2 * p * (1 - p) / n, rel=5e-3)
        assert score["interval"][0] < share < score["interval"][1]


def test_every_survivor_was_examined_and_the_tests_that_are_named_exist() -> None:
    for name, examined in SURVIVORS.items():
        assert examined.startswith(KINDS), name
        for file, test in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", examined):
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert not test or test in defined, f"{file} has no {test}"


def gone(names: list[str]) -> list[str]:
    """Those of the mistakes that have no place in the sources."""
    files = [ROOT / file for file in {name.split(",")[0] for name in names}]
    present = {one.name for file in files if file.exists() for one in MUTATE.mutants(file)}
    return [name for name in names if name not in present]


def test_the_sampled_mistakes_could_still_be_made() -> None:
    lost = gone(SAMPLED)
    assert len(lost) <= STALE * len(SAMPLED), (
        f"{len(lost)} of {len(SAMPLED)} have no place in the sources any more. Run: python3 -m uv run python "
        f"tools/mutate.py, look at its survivors, and run tests/docs for docs/validation.md"
    )


def test_a_line_that_was_rewritten_is_a_mistake_that_cannot_be_made() -> None:
    name = SAMPLED[0]
    file, _ = name.split(",", 1)
    assert gone([name, f"{file}, no_such_function: 1 -> 2", "src/bayesmeta/exact/no_such_file.py, f: 1 -> 2"])[-2:] == [
        f"{file}, no_such_function: 1 -> 2",
        "src/bayesmeta/exact/no_such_file.py, f: 1 -> 2",
    ]


def test_mistakes_of_one_text_are_told_apart(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the function that they stand in, and within it by their number; other lines above change neither."""
    monkeypatch.setattr(MUTATE, "ROOT", tmp_path)
    file = tmp_path / "src.py"
    code = "class A:\n    def f(self, x):\n        return x < 1 + 1\n\n\ndef g(x):\n    return x < 1\n"
    file.write_text(code)
    names = [one.name for one in MUTATE.mutants(file)]
    assert {"src.py, A.f: 1 -> 2", "src.py, A.f: 1 -> 2 (number 2)", "src.py, g: 1 -> 2"} <= set(names)
    assert len(set(names)) == len(names)
    file.write_text("def before():\n    return 7\n\n\n" + code)
    assert set(names) <= {one.name for one in MUTATE.mutants(file)}
