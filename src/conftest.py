"""What the examples of docstrings may assume: CONTRIBUTING.md says the same to readers."""

from __future__ import annotations

from typing import Any

import pytest

import bayesmeta as bm


@pytest.fixture(scope="session", autouse=True)
def documented_example(doctest_namespace: dict[str, Any]) -> None:
    """`bm`, and `effects`, `model` and `fit` of `bm.example`, made once per process."""
    doctest_namespace.update(bm=bm, **bm.example()._asdict())


@pytest.fixture(autouse=True)
def at_the_root(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples that read `data/` or `models/` do so from wherever pytest was started."""
    monkeypatch.chdir(pytestconfig.rootpath)
