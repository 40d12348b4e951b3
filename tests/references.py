"""Reading the pinned references; shared by tests."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bayesmeta.effects import Effects

FOLDER = Path(__file__).parent / "reference"
ROOT = Path(__file__).parent.parent
R_SETS = (
    "bcg_rr",
    "crins_or",
    "eight_schools",
    "furukawa_smd",
    "furukawa_smdh",
    "gibson_smd",
    "hackshaw_logor",
    "hine_or",
    "hine_rd",
    "normand_md",
    "normand_smd",
    "raudenbush_smd",
)


@cache
def reference(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def effects_of(name: str, **options: Any) -> Effects:
    data = reference(name)
    # R analyses every row as a trial of its own, also the two of one report
    labels = [f"{row} {label}" for row, label in enumerate(data["label"], 1)]
    return Effects(labels, data["yi"], np.sqrt(data["vi"]), measure=data["measure"], **options)


def exact_effects(name: str) -> Effects:
    data = reference("exact")[name]
    return Effects([f"trial {i + 1}" for i in range(len(data["y"]))], data["y"], np.sqrt(data["v"]), measure="generic")


def tool(name: str) -> ModuleType:
    """A script of `tools/`, as a module."""
    # `site` is a module of Python too
    name, file = f"tools_{name}", ROOT / "tools" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by its name
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
