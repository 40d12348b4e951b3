"""Slow proofs are kept with a hash of the sources that they speak of: stale ones are run again by one command."""

from __future__ import annotations

import re

import pytest

from references import ROOT, tool

PROVE = tool("prove")


def test_every_slow_test_belongs_to_a_proof() -> None:
    slow = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"pytest\.mark\.slow\b", path.read_text(encoding="utf-8"))
    } - {"tests/test_proofs.py"}
    assert slow == {name for proof in PROVE.PROOFS.values() for name in proof.tests}


@pytest.mark.parametrize("name", PROVE.PROOFS)
def test_a_proof_speaks_of_these_sources(name: str) -> None:
    found = PROVE.stored()[name]
    assert found["passed"] > 0
    assert found["sources"] == PROVE.fingerprint(PROVE.PROOFS[name]), (
        f"{name}: the sources have changed since it was run. Run: python3 -m uv run python tools/prove.py"
    )


def test_words_do_not_make_a_proof_stale_and_code_does() -> None:
    before = 'def f(x):\n    """One."""\n    return x + 1\n'
    assert PROVE.meaning(before) == PROVE.meaning(
        'def f(x):\n    """Two."""\n    # why\n    return (x\n            + 1)\n'
    )
    assert PROVE.meaning(before) != PROVE.meaning(before.replace("+ 1", "+ 2"))
